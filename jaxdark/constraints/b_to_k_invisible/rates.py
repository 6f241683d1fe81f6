"""B+ -> K+ invisible as printed, Eq. (21) and (22).

Inputs: a dark-sector point. Outputs: branching ratios in ranges of q2. What the complete leading order makes of them,
with Phi exchange and for other decays, stands in `pairs`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.roots import root
from jaxdark.constraints.b_to_k_invisible.quadrature import PoleGeometry, Ranges, integrals
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.split import SplitDarkSector, g_tilde, m_gamma, width_total
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.kinematics import Bin

S_B_BINS: tuple[Bin, ...] = tuple((k / 10, (k + 1) / 10) for k in range(9))
"""Bins in s_B = q2/M_B^2 of BaBar's hadronic-tag analysis, up to the end of the spectrum at 0.82."""

_CUTS = tuple(upper for _, upper in S_B_BINS[:-1])  # in s_B, close enough for the form factor


class InvisibleBR(NamedTuple):
    """BR(B+ -> K+ chi chi) in the whole q2 range, in bins of s_B and in bins of q2."""

    total: Float[Array, ""]
    s_B: Float[Array, " s_B_bins"]
    q2: Float[Array, " q2_bins"]


def width_kv(s: Float[Array, "*s"], model: SplitDarkSector, sm: StandardModel) -> Float[Array, "*s"]:
    """Width of B+ -> K+ V for a V of squared mass s, Eq. (21) at any s, GeV.

    Gamma = f_+(s)^2 g_tilde^2 s M_B^3/(64 pi) lambda(1, M_K^2/M_B^2, s/M_B^2)^(3/2), 0 from (M_B - M_K)^2 on.

    Args:
        s: squared mass, not negative, GeV^2, of any shape.
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    below = (sm.m_Bp - sm.m_Kp) ** 2 - s
    is_open = below > 0
    shape = kv_shape(jnp.where(is_open, s, 0.0), jnp.where(is_open, below, 1.0), sm)
    return jnp.where(is_open, g_tilde(model) ** 2 * s * shape, 0.0)


@usual_rules()
def br_k_invisible_bins(
    model: SplitDarkSector,
    sm: StandardModel,
    s_B: Sequence[Bin] = S_B_BINS,
    q2: Sequence[Bin] = (),
) -> InvisibleBR:
    """New-physics part of BR(B+ -> K+ invisible), Eq. (22) as printed, in all ranges at once.

    tau_B sum_i int ds (sqrt(s)/pi) Gamma_{V->chi_i chi_i}(s) Gamma_KV(s)/((s - m_V^2)^2 + m_V^2 Gamma_V^2), from
    s = 4 m_chi_i^2, where the print has 4 M_mu^2, to (M_B - M_K)^2, with Eqs. (9) and (21) at sqrt(s).

    The on-shell B -> K V with V -> chi chi is part of Eq. (22). A V that cannot decay at all leaves unseen as well:
    then Eq. (21) at s = m_V^2 is added to the total and to the bins [lower, upper) that hold m_V^2.

    Relative accuracy 1e-8 for Gamma_V/m_V from 0 to 1. First derivatives are those of the integral; second ones hold
    for couplings and m_V, not for the masses of chi, B and K.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        s_B: bins of q2/M_B^2, plain numbers.
        q2: bins of q2 in GeV^2, plain numbers.

    Returns:
        Branching ratios, dimensionless, of shapes (), (len(s_B),) and (len(q2),).

    Raises:
        RequestError: a bin is not ordered.
    """
    check_inputs(sm)
    for lower, upper in (*s_B, *q2):
        if not 0 <= lower < upper:
            raise RequestError(f"a bin needs 0 <= lower < upper, got [{lower:g}, {upper:g}]")
    ranges = _ranges(s_B, q2, sm)
    shapes = jax.vmap(lambda m: _chi_integrals(m, model, sm, ranges))(model.m_chi).sum(0)
    rates = (g_tilde(model) * model.g_D * model.Q_Phi) ** 2 / (12 * jnp.pi**2) * shapes
    s0 = model.m_V**2
    unseen = (width_total(model, sm) == 0) & (ranges.lower <= s0) & (s0 < ranges.upper)
    br = sm.tau_Bp * (rates + jnp.where(unseen, width_kv(s0, model, sm), 0.0))
    return InvisibleBR(br[0], br[1 : 1 + len(s_B)], br[1 + len(s_B) :])


def br_kst_invisible(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """New-physics part of BR(B0 -> K*0 invisible), Eq. (22) with the width of B0 -> K*0 V in place of Eq. (21).

    Gamma_KV(s) = |p|/(8 pi M_B^2) (g_tilde s)^2 (|H_perp|^2/2 + |H_par|^2/2 + |H_0|^2) with |p| = sqrt(lambda)/(2 M_B),
    H_perp = sqrt(lambda) V/(M_B + M_K*), H_par = (M_B + M_K*) A_1 and H_0 = 4 M_B M_K* A_12/sqrt(s). A V that cannot
    decay adds nothing. Accuracy and gradients as in `br_k_invisible_bins`.
    """
    m_B, m_K = sm.m_B0, sm.m_Kst0
    released = m_B - m_K
    ranges = Ranges(jnp.zeros(1), jnp.full(1, 2 * m_B**2), jnp.array(_CUTS) * m_B**2)

    def of_one(m):
        is_open = 2 * m < released
        m = jnp.where(is_open, m, released / 4)

        def numerator(s, above, below):
            ff, far = vector_form_factors(s, sm.B_to_Kst), (m_B + m_K) ** 2 - s
            transverse = (below * far * ff.V**2 / (m_B + m_K) ** 2 + (m_B + m_K) ** 2 * ff.A1**2) * s / 2
            shape = root(far) / (16 * jnp.pi * m_B**3) * (transverse + (4 * m_B * m_K * ff.A12) ** 2)
            return root(s) * (s + 2 * m**2) * shape

        found = integrals(numerator, PoleGeometry(m, released, model.m_V), m_gamma(model, sm), ranges)
        return jnp.where(is_open, found[0], 0.0)

    shapes = jax.vmap(of_one)(model.m_chi).sum()
    return sm.tau_B0 * (g_tilde(model) * model.g_D * model.Q_Phi) ** 2 / (12 * jnp.pi**2) * shapes


def _ranges(s_B: Sequence[Bin], q2: Sequence[Bin], sm: StandardModel) -> Ranges:
    """The whole range and the bins; an edge of both kinds of cuts makes one cut, for each costs a panel."""
    ends = np.array([[0.0, 2.0], *s_B]) * sm.m_Bp**2
    lower, upper = jnp.concatenate([ends, np.reshape(q2, (-1, 2))]).T
    inner = sorted(set(np.ravel(s_B)) - {0.0, *_CUTS}), sorted(set(np.ravel(q2)) - {0.0})
    return Ranges(lower, upper, jnp.concatenate([np.array([*_CUTS, *inner[0]]) * sm.m_Bp**2, np.array(inner[1])]))


def _chi_integrals(m, model: SplitDarkSector, sm: StandardModel, ranges: Ranges):
    """int ds sqrt(s - 4 m^2) (s + 2 m^2) sqrt(s) Gamma_KV(s)/(g_tilde^2 s)/((s - m_V^2)^2 + m_V^2 Gamma_V^2), GeV^5.

    Eq. (22) for one chi without (g_tilde g_D Q_Phi)^2/(12 pi^2), shape (ranges,); 0 where the decay is closed.
    """
    released = sm.m_Bp - sm.m_Kp
    is_open = 2 * m < released
    m = jnp.where(is_open, m, released / 4)
    geometry = PoleGeometry(m, released, model.m_V)

    def numerator(s, above, below):
        return root(s) * (s + 2 * m**2) * kv_shape_smooth(s, below, sm)

    # A V without width is felt only at m_V = 2 m_chi, where Eq. (22) diverges for it.
    rates = integrals(numerator, geometry, m_gamma(model, sm), ranges)
    return jnp.where(is_open, rates, 0.0)


def kv_shape(s, below, sm: StandardModel):
    """Eq. (21) without g_tilde^2 s: f_+(s)^2 lambda(M_B^2, M_K^2, s)^(3/2)/(64 pi M_B^3), GeV^3.

    Args:
        s: squared mass of V, GeV^2, real or complex.
        below: (M_B - M_K)^2 - s, GeV^2, likewise.
        sm: Standard Model inputs.
    """
    return root(below) * kv_shape_smooth(s, below, sm)


def kv_shape_smooth(s, below, sm: StandardModel):
    """`kv_shape` without the root of below, GeV^2: what is analytic at the end of the range."""
    f_plus = pseudoscalar_form_factors(s, sm.B_to_K).plus
    far_below = (sm.m_Bp + sm.m_Kp) ** 2 - s
    return f_plus**2 * below * far_below * root(far_below) / (64 * jnp.pi * sm.m_Bp**3)
