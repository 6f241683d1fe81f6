"""Decays of the mediator V, Eq. (9): a dark-sector point enters, widths in GeV and branching ratios leave.

A channel is closed up to and at its threshold: value and gradient are 0 there. Above it both are the formula's; the
gradient grows like 1/velocity towards the threshold but stays finite for every floating-point mass.
"""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.loops import Scalar
from jaxdark.precision import usual_rules

if TYPE_CHECKING:
    from jaxdark.models.split import SplitDarkSector


def width_fermions(
    s: Scalar, m: Float[Array, "*axes"], g_V: Scalar, g_A: Scalar, mass: Scalar | None = None
) -> Float[Array, "*axes"]:
    """Width of a vector of mass sqrt(s) into a pair of Dirac fermions, one channel of Eq. (9), GeV.

    Args:
        s: squared mass of the vector, GeV^2.
        m: mass of the fermion, positive, GeV.
        g_V, g_A: vector and axial-vector coupling of the fermion, dimensionless.
        mass: of the vector, GeV, where it is known: its square has lost the digits that a threshold close by wants.
    """
    above = s - 4 * m**2 if mass is None else (mass - 2 * m) * (mass + 2 * m)
    is_open = above > 0
    # With 16 m^2 in place of a closed channel's s the root stays away from zero.
    safe_s = jnp.where(is_open, s, 16 * m**2)
    beta = jnp.sqrt(jnp.where(is_open, above, 12 * m**2) / safe_s)
    width = jnp.sqrt(safe_s) * beta / (12 * jnp.pi) * ((1 + 2 * m**2 / safe_s) * g_V**2 + beta**2 * g_A**2)
    return jnp.where(is_open, width, 0.0)


def width_chichi(model: "SplitDarkSector", sm: StandardModel, s: Scalar | None = None) -> Float[Array, " n_chi"]:
    """Partial widths of V into each dark fermion, Eq. (9), GeV, shape (n_chi,).

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs (not used: every width takes the same arguments).
        s: squared invariant mass of the pair, GeV^2; m_V^2 unless given, as Eq. (22) needs off the mass shell.
    """
    s, mass = (model.m_V**2, model.m_V) if s is None else (s, None)
    return width_fermions(s, model.m_chi, model.g_D * model.Q_Phi, 0.0, mass)


def width_mumu(model: "SplitDarkSector", sm: StandardModel, s: Scalar | None = None) -> Float[Array, ""]:
    """Partial width of V into muons, Eq. (9), GeV; s as in `width_chichi`."""
    g_V = model.g_mu_V
    s, mass = (model.m_V**2, model.m_V) if s is None else (s, None)
    return width_fermions(s, jnp.asarray(sm.m_mu), g_V, model.r_AV * g_V, mass)


@usual_rules()
def width_total(model: "SplitDarkSector", sm: StandardModel) -> Float[Array, ""]:
    """Total width of V, Eq. (9), GeV; 0 when every channel is closed."""
    return jnp.sum(width_chichi(model, sm)) + width_mumu(model, sm)


def width_running(s: Scalar, model: "SplitDarkSector", sm: StandardModel) -> Float[Array, ""]:
    """Total width Gamma_V(s) of a V of squared mass s (GeV^2), GeV: Eq. (9) with m_V replaced by sqrt(s)."""
    return jnp.sum(width_chichi(model, sm, s)) + width_mumu(model, sm, s)


def br_chichi(model: "SplitDarkSector", sm: StandardModel) -> Float[Array, " n_chi"]:
    """Branching ratios of V into each dark fermion, shape (n_chi,); 0 when V cannot decay."""
    return _ratio(width_chichi(model, sm), width_total(model, sm))


def br_mumu(model: "SplitDarkSector", sm: StandardModel) -> Float[Array, ""]:
    """Branching ratio of V into muons; 0 when V cannot decay."""
    return _ratio(width_mumu(model, sm), width_total(model, sm))


def _ratio(part: Float[Array, "*axes"], total: Float[Array, ""]) -> Float[Array, "*axes"]:
    return part / jnp.where(total > 0, total, 1.0)
