"""The narrow waist between models and b -> s observables: what new physics does to C_9, C_10, C_P, C_S of the muon.

Every model ends in one `NewPhysics` record and every semileptonic observable starts from one.
"""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

BsCurrent = Literal["paper", "without_C_P", "conserved"]
"""How the resonant C_10 meets the longitudinal part of the propagator, Eq. (20).

paper: the unitary-gauge propagator on the vertex q2 sbar gamma^mu P_L b, a factor 1 - q2/m_V^2 on the timelike part;
without_C_P: that factor is 1, so C_10 alone; conserved: the vertex q2 gamma^mu - q^mu qslash, the timelike part is 0.
B_s mixing has no longitudinal part in any of them (`constraints.mixing.C1_V`).
"""


class Contact(eqx.Module):
    """Constant shifts of the muonic coefficients, dimensionless, real or complex.

    C_P and C_S multiply alpha/(4 pi) (sbar P_R b)(lbar gamma5 l) and (lbar l), primes exchange P_L and P_R.
    """

    C9: Inexact[Array, ""] | float = 0.0
    C10: Inexact[Array, ""] | float = 0.0
    C9p: Inexact[Array, ""] | float = 0.0
    C10p: Inexact[Array, ""] | float = 0.0
    CP: Inexact[Array, ""] | float = 0.0
    CPp: Inexact[Array, ""] | float = 0.0
    CS: Inexact[Array, ""] | float = 0.0
    CSp: Inexact[Array, ""] | float = 0.0


CONTACT_NAMES = ("C9", "C10", "C9p", "C10p", "CP", "CPp", "CS", "CSp")


class Resonance(eqx.Module):
    """A vector in the s channel: C_9(q2) = kappa9 n(q2)/(q2 - m_V^2 + i m_V Gamma), C_10(q2) with kappa10, Eq. (7).

    The numerator n is q2 for a coupling to b and s from a loop, as in Eq. (7), and 1 for a constant one, as a Z' has.

    Attributes:
        kappa9: strength with the vector muon current, real, in units of GeV^(2 - 2 power).
        kappa10: strength with the axial muon current, in the same units.
        m_V: mass, GeV.
        width: total width Gamma, GeV, the same at all q2.
        bs_current: treatment of the longitudinal part.
        power: of q2 in the numerator.
    """

    kappa9: Float[Array, ""] | float
    kappa10: Float[Array, ""] | float
    m_V: Float[Array, ""] | float
    width: Float[Array, ""] | float
    bs_current: BsCurrent = eqx.field(static=True, default="paper")
    power: Literal[0, 1] = eqx.field(static=True, default=1)

    def numerator(self, q2: Float[Array, "*q2"] | float) -> Float[Array, "*q2"] | float:
        """q2^power at q2 (GeV^2): what kappa9 and kappa10 multiply."""
        return q2 if self.power == 1 else jnp.ones_like(q2)

    @property
    def pole(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Position (m_V^2, m_V Gamma) of the pole in q2, GeV^2.

        A width below 1e-9 m_V is raised to it: a narrower peak cannot be resolved in double precision.
        """
        return self.m_V**2, self.m_V * jnp.maximum(self.width, 1e-9 * self.m_V)


class NewPhysics(eqx.Module):
    """Contact terms and a resonance; None leaves one out and costs nothing."""

    contact: Contact | None = None
    resonance: Resonance | None = None

    def new_physics(self, sm) -> "NewPhysics":
        """Itself, so that an observable takes a model or a record alike."""
        return self


SM_ONLY = NewPhysics()
