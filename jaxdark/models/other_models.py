"""Models beside the paper's own: a Z' with constant couplings, the box of Sec. 2.1, a vector-like fermion in the loop.

Named parameters enter and are checked, one `NewPhysics` record leaves.
"""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.checks import float64, one_of, refuse_unknown, scalar, share_axis
from jaxdark.models.couplings import Bound, muon_yukawa_limit, tree_level
from jaxdark.models.loops import Scalar, box_F, box_F_mixing, penguin_loop
from jaxdark.models.split import Model, MuonVector
from jaxdark.models.widths import width_mumu
from jaxdark.models.wilson import Contact, NewPhysics, Resonance
from jaxdark.precision import require_x64

MuonChirality = Literal["L", "R"]
TEV = 1000.0  # GeV


class SimplifiedZPrime(Model):
    """A Z' with constant couplings, L = Z'_nu (g_bs sbar gamma^nu P_L b + h.c. + mubar gamma^nu (g_V + g_A gamma5) mu).

    C_9(q2) = (4 pi N/alpha) g_bs g_mu_V/(q2 - m_Zp^2 + i m_Zp width), C_10 with g_mu_A. A Z' above the bins lowers C_9
    where g_bs g_mu_V < 0, because V_tb V_ts^* is negative. The end of Sec. 4 compares with it at 10 GeV.

    Args:
        m_Zp: mass, GeV.
        g_bs: coupling to sbar gamma P_L b, real.
        g_mu_V, g_mu_A: vector and axial-vector coupling to muons, as in Eq. (6).
        width: total width, GeV.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or a value is not one finite number, positive
            for mass and width.
    """

    m_Zp: Float[Array, ""]
    g_bs: Float[Array, ""]
    g_mu_V: Float[Array, ""]
    g_mu_A: Float[Array, ""]
    width: Float[Array, ""]

    def __init__(
        self,
        *,
        m_Zp: ArrayLike,
        g_bs: ArrayLike,
        g_mu_V: ArrayLike,
        g_mu_A: ArrayLike = 0.0,
        width: ArrayLike,
        **unknown: object,
    ):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.m_Zp = scalar("m_Zp", m_Zp, positive="a mass in GeV")
        self.g_bs = scalar("g_bs", g_bs)
        self.g_mu_V = scalar("g_mu_V", g_mu_V)
        self.g_mu_A = scalar("g_mu_A", g_mu_A)
        self.width = scalar("width", width, positive="a width in GeV")

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """A resonance with a constant numerator; a massive Z' has the longitudinal part of the unitary gauge."""
        strength = tree_level(sm) * self.g_bs
        return NewPhysics(
            resonance=Resonance(strength * self.g_mu_V, strength * self.g_mu_A, self.m_Zp, self.width, power=0)
        )

    def muon_couplings(self) -> MuonVector:
        """The Z' with its couplings to muons."""
        return MuonVector(self.m_Zp, self.g_mu_V, self.g_mu_A)


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

        Tends to r (ln x - 3)/(192 pi^2 m_Psi^2) for a light scalar, against r (2 ln x - 3)/(192 pi^2 m_Phi^2) for a
        light fermion, x the squared ratio of heavy to light mass: a light scalar counts half of a light fermion.
        """
        loops = jax.vmap(penguin_loop)((self.m_Psi / self.m_pi) ** 2)
        return -jnp.sum(self.r * loops / (32 * jnp.pi**2 * self.m_pi**2))

    def width_total(self, sm: StandardModel) -> Float[Array, ""]:
        """Width of V into muons, Eq. (9), and into pairs of complex scalars, g^2 m_V beta^3/(48 pi) each, GeV."""
        beta2 = 1 - 4 * (self.m_pi / self.m_V) ** 2
        is_open = beta2 > 0
        beta3 = jnp.where(is_open, jnp.where(is_open, beta2, 1.0) ** 1.5, 0.0)
        dark = (self.g_D * self.Q_Psi) ** 2 * self.m_V / (48 * jnp.pi) * jnp.sum(beta3)
        return width_mumu(self, sm) + dark

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """C_9 and C_10 of Eq. (7) as one resonance with a constant total width."""
        kappa9 = tree_level(sm) * self.g_tilde * self.g_mu_V
        return NewPhysics(resonance=Resonance(kappa9, self.r_AV * kappa9, self.m_V, self.width_total(sm)))

    def muon_couplings(self) -> MuonVector:
        """V with the couplings of Eq. (6)."""
        return MuonVector(self.m_V, self.g_mu_V, self.r_AV * self.g_mu_V)


class BoxModel(Model):
    """New fermions and scalars with Yukawa couplings to b, s and muons in a box, Sec. 2.1; no light particle needed.

    The heaviest one, 4, is coloured; b couples to (2, 4), s to (3, 4), the muons to (1, 2) and (1, 3), Fig. 1(a). The
    box also shifts (g-2), which the paper bounds by Eq. (4): `muon_yukawa`; the function `delta_a_mu` is that of a
    vector and stays 0.

    Args:
        m_1, m_2, m_3, m_4: masses in the loop, GeV.
        Y_s, Y_b, Y_mu: Yukawa couplings of Eq. (1), real.
        muon: chirality of the muon in the loop; C_10 = -C_9 for L, +C_9 for R.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or a value is impossible.
    """

    m_1: Float[Array, ""]
    m_2: Float[Array, ""]
    m_3: Float[Array, ""]
    m_4: Float[Array, ""]
    Y_s: Float[Array, ""]
    Y_b: Float[Array, ""]
    Y_mu: Float[Array, ""]
    muon: MuonChirality = eqx.field(static=True)

    def __init__(
        self,
        *,
        m_1: ArrayLike,
        m_2: ArrayLike,
        m_3: ArrayLike,
        m_4: ArrayLike = 1000.0,
        Y_s: ArrayLike,
        Y_b: ArrayLike,
        Y_mu: ArrayLike,
        muon: MuonChirality = "L",
        **unknown: object,
    ):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.m_1, self.m_2, self.m_3, self.m_4 = (
            scalar(f"m_{i}", m, positive="a mass in GeV") for i, m in enumerate((m_1, m_2, m_3, m_4), start=1)
        )
        self.Y_s, self.Y_b, self.Y_mu = scalar("Y_s", Y_s), scalar("Y_b", Y_b), scalar("Y_mu", Y_mu)
        self.muon = one_of("muon", muon, get_args(MuonChirality))

    @property
    def C9(self) -> Float[Array, ""]:
        """C_9 of the muon, Eq. (2), dimensionless."""
        return -self.Y_s * self.Y_b * self.Y_mu**2 * box_strength(self.m_1, self.m_2, self.m_3, self.m_4)

    @property
    def mixing_C1(self) -> Float[Array, ""]:
        """Coefficient C_1 of B_s mixing, GeV^-2."""
        return (self.Y_s * self.Y_b) ** 2 * box_mixing_strength(self.m_2, self.m_3, self.m_4)

    @property
    def muon_yukawa(self) -> Bound:
        """|Y_mu| against what (g-2) allows, Eq. (4)."""
        return Bound(self.Y_mu, muon_yukawa_limit(jnp.maximum(self.m_1, self.m_2)))

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """C_9 of Eq. (2) and the C_10 of a chiral muon current as contact terms."""
        return NewPhysics(contact=Contact(C9=self.C9, C10=self.C9 if self.muon == "R" else -self.C9))

    def muon_couplings(self) -> None:
        """No vector."""
        return None


def box_strength(m_1: Scalar, m_2: Scalar, m_3: Scalar, m_4: Scalar) -> Float[Array, ""]:
    """-C_9 over Y_s* Y_b |Y_mu|^2, Eq. (2), dimensionless; masses in GeV.

    F of Eq. (3) over (m_4/TeV)^2, which is symmetric in all four masses.
    """
    return (TEV / m_4) ** 2 * box_F((m_1 / m_4) ** 2, (m_2 / m_4) ** 2, (m_3 / m_4) ** 2)


def box_mixing_strength(m_2: Scalar, m_3: Scalar, m_4: Scalar) -> Float[Array, ""]:
    """C_1 of B_s mixing over (Y_s* Y_b)^2, GeV^-2, masses in GeV: Eq. (17), (18) with the particles at the quarks."""
    return box_F_mixing((m_2 / m_4) ** 2, (m_3 / m_4) ** 2) / (128 * np.pi**2 * m_4**2)
