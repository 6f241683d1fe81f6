"""Imported before the package, whose physics then checks shapes (jaxtyping) and types (beartype) of its arguments.

Whole numbers count as real ones, and constants are NumPy's or Python's. What users call with input of their own, which
answers by itself, is left out.
"""

from importlib import import_module

import equinox  # noqa: F401  before jaxtyping's Array is another one
import jax
import jaxtyping
from beartype import BeartypeConf, beartype

_SEMILEPTONIC = "amplitudes bins form_factors kinematics nonlocal_terms nuisances predictor quadrature tables"
_CHECKED = [
    *(f"jaxdark.semileptonic.{name}" for name in _SEMILEPTONIC.split()),
    *(f"jaxdark.models.{name}" for name in ("loops", "widths")),
]
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def _import_checked() -> None:
    array, jaxtyping.Array = jaxtyping.Array, jax.typing.ArrayLike
    try:
        with jaxtyping.install_import_hook(_CHECKED, "typechecks.checked"):
            for name in _CHECKED:
                import_module(name)
    finally:
        jaxtyping.Array = array  # other libraries ask it what an array is


_import_checked()
