"""A heavy vector-like fermion and light scalars in the penguin loop, the other half of Sec. 2.2.

Inputs: masses and couplings. Outputs: g_tilde, the width of V, and one `NewPhysics` record.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model, MuonVector
from jaxdark.models.checks import float64, refuse_unknown, scalar, share_axis
from jaxdark.models.coefficients import tree_level
from jaxdark.models.loops import penguin_loop
from jaxdark.models.split import width_mumu
from jaxdark.models.widths import width_scalars
from jaxdark.models.wilson import NewPhysics, Resonance
from jaxdark.precision import require_x64


class SplitVectorLike(Model):
    """The other half of Sec. 2.2: light scalars pi_i and a heavy coloured vector-like fermion Psi in the penguin loop.

    Eq. (11) with heavy and light mass exchanged: the scalar's mass stands in front, x_i = m_Psi^2/m_pi_i^2, and
    Q_pi = -Q_Psi. Its g_tilde is less than half that of `SplitDarkSector` at the same couplings and masses, not a few
    per cent less as Sec. 2.2 says: see `g_tilde`. The width of V into scalars is not in the paper.

    Args:
        m_V: mass of V, GeV.
        g_mu_V: vector coupling of V to muons.
        r_AV: axial over vector coupling of V to muons.
        g_D: dark gauge coupling.
        r: g_D Q_Psi y_s* y_b of each light scalar, signed; one number for one scalar, else shape (n_pi,).
        m_pi: masses of the light scalars, GeV, shape (n_pi,).
        m_Psi: mass of the coloured fermion, GeV.
        Q_Psi: dark charge of the fermion.

    Raises:
        RequestError: as `SplitDarkSector`.
    """

    m_V: Float[Array, ""]
    g_mu_V: Float[Array, ""]
    r_AV: Float[Array, ""]
    g_D: Float[Array, ""]
    r: Float[Array, "*n_pi"]
    m_pi: Float[Array, " n_pi"]
    m_Psi: Float[Array, ""]
    Q_Psi: Float[Array, ""]

    def __init__(
        self,
        *,
        m_V: ArrayLike,
        g_mu_V: ArrayLike,
        r_AV: ArrayLike,
        g_D: ArrayLike,
        r: ArrayLike,
        m_pi: ArrayLike | tuple[ArrayLike, ...] = (1e-3,),
        m_Psi: ArrayLike = 1000.0,
        Q_Psi: ArrayLike = 1.0,
        **unknown: object,
    ):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.m_V = scalar("m_V", m_V, positive="a mass in GeV")
        self.g_mu_V = scalar("g_mu_V", g_mu_V)
        self.r_AV = scalar("r_AV", r_AV)
        self.g_D = scalar("g_D", g_D)
        self.r = float64("r", r)
        self.m_pi = jnp.atleast_1d(float64("m_pi", m_pi, positive="a mass in GeV"))
        self.m_Psi = scalar("m_Psi", m_Psi, positive="a mass in GeV")
        self.Q_Psi = scalar("Q_Psi", Q_Psi)
        share_axis("pi", self.m_pi, self.r, "light scalar")

    @property
    def g_tilde(self) -> Float[Array, ""]:
        """Coupling of V to sbar gamma_mu P_L b per q2, Eq. (11), GeV^-2; the sign is that of r.

        -sum_i r_i [F9(x_i) + G9(x_i)]/(32 pi^2 m_pi_i^2) with x_i = m_Psi^2/m_pi_i^2.

        Tends to r (ln x - 3)/(192 pi^2 m_Psi^2) for a light scalar, against r (2 ln x - 3)/(192 pi^2 m_Phi^2) for a
        light fermion, x the squared ratio of heavy to light mass: a light scalar counts half of a light fermion.
        """
        loops = jax.vmap(penguin_loop)((self.m_Psi / self.m_pi) ** 2)
        return -jnp.sum(self.r * loops / (32 * jnp.pi**2 * self.m_pi**2))

    def width_total(self, sm: StandardModel) -> Float[Array, ""]:
        """Width of V into muons, Eq. (9), and into pairs of complex scalars, g^2 m_V beta^3/(48 pi) each, GeV."""
        dark = width_scalars(self.m_V, self.m_pi, self.g_D * self.Q_Psi)
        return width_mumu(self, sm) + jnp.sum(dark)

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """C_9 and C_10 of Eq. (7) as one resonance with a constant total width."""
        kappa9 = tree_level(sm) * self.g_tilde * self.g_mu_V
        return NewPhysics(resonance=Resonance(kappa9, self.r_AV * kappa9, self.m_V, self.width_total(sm)))

    def muon_couplings(self) -> MuonVector:
        """V with the couplings of Eq. (6)."""
        return MuonVector(self.m_V, self.g_mu_V, self.r_AV * self.g_mu_V)
