"""Heavy particles in a box, Sec. 2.1.

Inputs: masses and Yukawa couplings. Outputs: C_9 and C_10, and whether B_s mixing and (g-2) leave room for them.

B_s mixing limits the quark couplings, so that C_9 asks for a least muon coupling; (g-2) and perturbativity cap it.
"""

from typing import Literal, NamedTuple, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxdark.errors import one_of
from jaxdark.inputs import StandardModel
from jaxdark.models.base import PERTURBATIVE, Bound, Model
from jaxdark.models.checks import refuse_unknown, scalar
from jaxdark.models.loops import Scalar, box_F, box_F_mixing
from jaxdark.models.muon_g2 import muon_yukawa_limit
from jaxdark.models.wilson import Contact, NewPhysics
from jaxdark.precision import require_x64

MuonChirality = Literal["L", "R"]
TEV = 1000.0  # GeV

# Largest C_1 of B_s mixing, GeV^-2: |Y_b Y_s| = 0.09 at 1 TeV and light partners, Sec. 2.1.
MIXING_LIMIT = 0.09**2 / (128 * np.pi**2 * TEV**2)


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
        """C_9 of the muon, -Y_s* Y_b |Y_mu|^2 F(x, y, z)/(m_4/TeV)^2, Eq. (2), (3), dimensionless."""
        return -self.Y_s * self.Y_b * self.Y_mu**2 * box_strength(self.m_1, self.m_2, self.m_3, self.m_4)

    @property
    def mixing_C1(self) -> Float[Array, ""]:
        """Coefficient C_1 of B_s mixing, (Y_s* Y_b)^2 F(y, z)/(128 pi^2 m_4^2), Eq. (17), (18), GeV^-2."""
        return (self.Y_s * self.Y_b) ** 2 * box_mixing_strength(self.m_2, self.m_3, self.m_4)

    @property
    def muon_yukawa(self) -> Bound:
        """|Y_mu| against what (g-2) allows, 1e-2 max(m_1, m_2)/GeV, Eq. (4)."""
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


class BoxScan(NamedTuple):
    """What `box_scan` finds at each point, dimensionless.

    Attributes:
        quarks: largest |Y_s* Y_b| under the bound from B_s mixing.
        needed: |Y_mu| that gives the C_9 asked for with it.
        g_minus_2: largest |Y_mu| under the bound from (g-2), Eq. (4).
        C9: most negative C_9 with all couplings at their bounds.
        common: whether C_9 can be reached.
    """

    quarks: Float[Array, "*grid"]
    needed: Float[Array, "*grid"]
    g_minus_2: Float[Array, "*grid"]
    C9: Float[Array, "*grid"]
    common: Bool[Array, "*grid"]


def box_scan(
    m_1: ArrayLike, m_2: ArrayLike, m_3: ArrayLike, m_4: ArrayLike = 1000.0, *, C9: float = -0.6,
    perturbative: float = PERTURBATIVE,
) -> BoxScan:  # fmt: skip
    """Where the box of Eq. (2) reaches C_9 under the bounds from B_s mixing, (g-2) and perturbativity.

    Args:
        m_1, m_2, m_3, m_4: masses in the loop as in `BoxModel`, GeV, arrays that broadcast to the grid.
        C9: the C_9 asked for, negative.
        perturbative: largest |Y_mu|.

    Raises:
        RequestError: JAX is in single precision.
    """
    require_x64()
    masses = jnp.broadcast_arrays(*(jnp.asarray(m, float) for m in (m_1, m_2, m_3, m_4)))
    quarks = jnp.sqrt(MIXING_LIMIT / jnp.vectorize(box_mixing_strength)(*masses[1:]))
    per_Y_mu2 = quarks * jnp.vectorize(box_strength)(*masses)
    needed, allowed = jnp.sqrt(-C9 / per_Y_mu2), muon_yukawa_limit(jnp.maximum(*masses[:2]))
    largest = jnp.minimum(allowed, perturbative)
    return BoxScan(quarks, needed, allowed, -per_Y_mu2 * largest**2, needed <= largest)
