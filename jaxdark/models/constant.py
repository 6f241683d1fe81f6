"""New physics far above the b mass.

Inputs: constant shifts of C_9 and C_10. Outputs: one `NewPhysics` record of contact terms.
"""

import equinox as eqx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model
from jaxdark.models.checks import check_truth, refuse_unknown, scalar
from jaxdark.models.wilson import Contact, NewPhysics
from jaxdark.precision import require_x64


class ConstantWilson(Model):
    """New physics far above the b mass: real constant shifts of C_9 and C_10, dimensionless.

    Args:
        C9, C10: of the muon.
        lepton_universal: whether they are those of the electron as well.
    """

    C9: Float[Array, ""]
    C10: Float[Array, ""]
    lepton_universal: bool = eqx.field(static=True)

    def __init__(self, *, C9: ArrayLike = 0.0, C10: ArrayLike = 0.0, lepton_universal: bool = False, **unknown: object):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.C9 = scalar("C9", C9)
        self.C10 = scalar("C10", C10)
        self.lepton_universal = check_truth("lepton_universal", lepton_universal)

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """The two shifts as contact terms."""
        contact = Contact(C9=self.C9, C10=self.C10)
        return NewPhysics(contact, contact_e=contact if self.lepton_universal else None)

    def muon_couplings(self) -> None:
        """No vector: nothing is said about (g-2)."""
        return None
