"""Imported before the package, whose physics then checks shapes (jaxtyping) and types (beartype) of its arrays.

Whole numbers count as real ones, and constants are NumPy's or Python's. What users call with input of their own, which
answers by itself, is left out.
"""

import jax
import jaxtyping
from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
jaxtyping.Array = jax.typing.ArrayLike
_SEMILEPTONIC = "amplitudes bins form_factors kinematics nonlocal_terms nuisances predictor quadrature tables"
jaxtyping.install_import_hook(
    [
        *(f"jaxdark.semileptonic.{name}" for name in _SEMILEPTONIC.split()),
        *(f"jaxdark.models.{name}" for name in ("loops", "widths")),
    ],
    "typechecks.checked",
)
