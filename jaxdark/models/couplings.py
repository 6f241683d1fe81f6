"""Effective couplings of Sec. 2 and 3.1: a dark-sector point enters; g_tilde, kappa_9, kappa_10 and box C_1 leave."""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.loops import Scalar, box_mixing_sum, penguin_loop
from jaxdark.precision import usual_rules

if TYPE_CHECKING:
    from jaxdark.models.split import SplitDarkSector


class Bound(NamedTuple):
    """A predicted value, the limit on its magnitude in the same units, and their ratio: excluded above 1."""

    value: Float[Array, "*axes"]
    limit: float

    @property
    def ratio(self) -> Float[Array, "*axes"]:
        """Magnitude of the value over the limit, dimensionless."""
        return jnp.abs(self.value) / self.limit


def normalisation(sm: StandardModel) -> Scalar:
    """N of Eq. (8), GeV^2: the inverse of (4 G_F/sqrt 2) V_tb V_ts*, negative as lambda_t is."""
    return 1 / (4 * sm.GF / np.sqrt(2) * sm.lambda_t)


def tree_level(sm: StandardModel) -> Scalar:
    """4 pi N/alpha of Eq. (19), GeV^2: what turns a product of couplings over q2 - m_V^2 into C_9 or C_10."""
    return 4 * jnp.pi / sm.alpha_em * normalisation(sm)


@usual_rules()
def g_tilde(model: "SplitDarkSector") -> Float[Array, ""]:
    """Coupling of V to sbar gamma_mu P_L b per q2, Eq. (11), GeV^-2; the sign is that of r."""
    loops = jax.vmap(penguin_loop)((model.m_chi / model.m_Phi) ** 2)
    return jnp.sum(model.r * loops) / (32 * jnp.pi**2 * model.m_Phi**2)


def g_Vbs(q2: Scalar, model: "SplitDarkSector") -> Float[Array, ""]:
    """Coupling of V to sbar gamma_mu P_L b at q2 (GeV^2), g_tilde q2 of Eq. (11), dimensionless."""
    return g_tilde(model) * q2


def kappa9(model: "SplitDarkSector", sm: StandardModel) -> Float[Array, ""]:
    """Strength of C_9(q2) = kappa9 q2/(q2 - m_V^2 + i m_V Gamma_V), Eq. (7), dimensionless."""
    return tree_level(sm) * g_tilde(model) * model.g_mu_V


def kappa10(model: "SplitDarkSector", sm: StandardModel) -> Float[Array, ""]:
    """Strength of C_10(q2), Eq. (7) with the axial coupling, dimensionless."""
    return model.r_AV * kappa9(model, sm)


def mixing_C1_box(yy: Float[Array, " n_chi"], x: Float[Array, " n_chi"], m_Phi: Scalar) -> Float[Array, ""]:
    """Box contribution to the B_s mixing coefficient C_1, Eq. (17), GeV^-2.

    Args:
        yy: products y_s^i* y_b^i of the Yukawa couplings, dimensionless, shape (n_chi,).
        x: m_chi_i^2/m_Phi^2, dimensionless, shape (n_chi,).
        m_Phi: mass of the coloured scalar, GeV.
    """
    return box_mixing_sum(yy, x) / (128 * jnp.pi**2 * m_Phi**2)


def muon_yukawa_limit(m: Scalar) -> Scalar:
    """Largest |Y| of the muon that (g-2) allows in a box of uncoloured particles of mass m (GeV), Eq. (4)."""
    return 1e-2 * m


def perturbativity_gauge(model: "SplitDarkSector") -> Bound:
    """g_D against sqrt(4 pi)."""
    return Bound(model.g_D, float(np.sqrt(4 * np.pi)))


def perturbativity_yukawa(model: "SplitDarkSector") -> Bound:
    """y_s^i* y_b^i = r_i/(g_D Q_Phi) against 4 pi, in the shape of r; infinite without a gauge coupling."""
    return Bound(model.r / (model.g_D * model.Q_Phi), 4 * np.pi)
