"""New physics far above the b mass.

Inputs: constant shifts of C_9 and C_10 of the muon. Outputs: one `NewPhysics` record of contact terms.
"""

from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model
from jaxdark.models.checks import refuse_unknown, scalar
from jaxdark.models.wilson import Contact, NewPhysics
from jaxdark.precision import require_x64


class ConstantWilson(Model):
    """New physics far above the b mass: real constant shifts of C_9 and C_10 of the muon, dimensionless."""

    C9: Float[Array, ""]
    C10: Float[Array, ""]

    def __init__(self, *, C9: ArrayLike = 0.0, C10: ArrayLike = 0.0, **unknown: object):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.C9 = scalar("C9", C9)
        self.C10 = scalar("C10", C10)

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """The two shifts as contact terms."""
        return NewPhysics(contact=Contact(C9=self.C9, C10=self.C10))

    def muon_couplings(self) -> None:
        """No vector: nothing is said about (g-2)."""
        return None
