"""A Z' with constant couplings, with which the end of Sec. 4 compares.

Inputs: mass, couplings and width. Outputs: one `NewPhysics` record with a resonance whose numerator is 1.
"""

import equinox as eqx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model, MuonVector
from jaxdark.models.checks import check_truth, refuse_unknown, scalar
from jaxdark.models.coefficients import tree_level
from jaxdark.models.wilson import NewPhysics, Resonance
from jaxdark.precision import require_x64


class SimplifiedZPrime(Model):
    """A Z' with constant couplings, L = Z'_nu (g_bs sbar gamma^nu P_L b + h.c. + mubar gamma^nu (g_V + g_A gamma5) mu).

    C_9(q2) = (4 pi N/alpha) g_bs g_mu_V/(q2 - m_Zp^2 + i m_Zp width), C_10 with g_mu_A. A Z' above the bins lowers C_9
    where g_bs g_mu_V < 0, because V_tb V_ts^* is negative. The end of Sec. 4 compares with it at 10 GeV.

    Args:
        m_Zp: mass, GeV.
        g_bs: coupling to sbar gamma P_L b, real.
        g_mu_V, g_mu_A: vector and axial-vector coupling to muons, as in Eq. (6).
        width: total width, GeV.
        lepton_universal: whether electrons have the couplings of the muon.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or a value is not one finite number, positive
            for mass and width.
    """

    m_Zp: Float[Array, ""]
    g_bs: Float[Array, ""]
    g_mu_V: Float[Array, ""]
    g_mu_A: Float[Array, ""]
    width: Float[Array, ""]
    lepton_universal: bool = eqx.field(static=True)

    def __init__(
        self,
        *,
        m_Zp: ArrayLike,
        g_bs: ArrayLike,
        g_mu_V: ArrayLike,
        g_mu_A: ArrayLike = 0.0,
        width: ArrayLike,
        lepton_universal: bool = False,
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
        self.lepton_universal = check_truth("lepton_universal", lepton_universal)

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """A resonance with a constant numerator; a massive Z' has the longitudinal part of the unitary gauge."""
        strength = tree_level(sm) * self.g_bs
        kappas = strength * self.g_mu_V, strength * self.g_mu_A
        electron = dict(zip(("kappa9_e", "kappa10_e"), kappas, strict=True)) if self.lepton_universal else {}
        return NewPhysics(resonance=Resonance(*kappas, self.m_Zp, self.width, power=0, **electron))

    def muon_couplings(self) -> MuonVector:
        """The Z' with its couplings to muons."""
        return MuonVector(self.m_Zp, self.g_mu_V, self.g_mu_A)
