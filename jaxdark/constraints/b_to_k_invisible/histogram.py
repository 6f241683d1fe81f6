"""B+ -> K+ chi chi, Eq. (22), in a histogram of q2.

Inputs: a dark-sector point and the edges of the bins. Outputs: the branching ratio in every bin.

For a hundred bins at once, where `rates.br_k_invisible_bins` is too slow for draws: two nodes per bin, accurate to
1e-5 of the whole for m_chi = 1 MeV, to 4e-4 for any m_chi < m_V and to 2e-2 for V far lighter than 2 m_chi. With
t = sqrt(s - 4 m^2) the integrand is analytic at threshold; the pole at s0 = m_V^2 + i g, g = m_V Gamma_V, adds to the
bins about it its residue times what two nodes get wrong in int ds/(s - s0), so that narrow V cost nothing more.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.roots import root
from jaxdark.constraints.b_to_k_invisible.rates import kv_shape, width_kv
from jaxdark.inputs import StandardModel
from jaxdark.models.split import SplitDarkSector, g_tilde, m_gamma, width_total

_NODES = np.array([[-1.0], [1.0]]) / np.sqrt(3)
_WINDOW = 13  # bins about the pole that are corrected; two nodes get 1/(s - s0) right to 3e-6 in all others
_BELOW = 1.0  # GeV^2 below threshold from where on a pole is smooth enough for two nodes
_WIDENED = 1e-5  # as in `quadrature`: a change of 1e-10


def br_k_invisible_histogram(
    model: SplitDarkSector, sm: StandardModel, edges: Float[np.ndarray, " edges"]
) -> Float[Array, " bins"]:
    """New-physics part of BR(B+ -> K+ invisible), Eq. (22), with constant width of V, in adjacent bins of q2.

    The formula, and what is added for a V that cannot decay, are those of `rates.br_k_invisible_bins`.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        edges: of the bins, GeV^2, increasing, at distances of about 0.2 GeV^2, shape (bins + 1,).

    Returns:
        Branching ratios, dimensionless, shape (bins,).
    """
    s0 = model.m_V**2
    window = jnp.clip((edges < s0).sum() - 1 - _WINDOW // 2, 0, len(edges) - 1 - _WINDOW) + np.arange(_WINDOW)
    plain, missed = (
        parts.sum(0) for parts in jax.vmap(lambda m: _chi_integrals(m, model, sm, edges, window))(model.m_chi)
    )
    shapes = plain.at[window].add(missed)
    rates = (g_tilde(model) * model.g_D * model.Q_Phi) ** 2 / (12 * jnp.pi**2) * shapes
    unseen = (width_total(model, sm) == 0) & (edges[:-1] <= s0) & (s0 < edges[1:])
    return sm.tau_Bp * (rates + jnp.where(unseen, width_kv(s0, model, sm), 0.0))


def _chi_integrals(
    m, model: SplitDarkSector, sm: StandardModel, edges, window
) -> tuple[Float[Array, " bins"], Float[Array, " window"]]:
    """Eq. (22) for one chi without its couplings by two nodes, and what they miss in the bins of the window, GeV^5.

    Both are 0 where the decay is closed.
    """
    released = sm.m_Bp - sm.m_Kp
    is_open = 2 * m < released
    m = jnp.where(is_open, m, released / 4)
    p, end = 4 * m**2, released**2

    def numerator(s, t, below):
        return root(s) * t * (s + 2 * m**2) * kv_shape(s, below, sm)

    above = jnp.minimum(edges, end) - p
    t = jnp.where(above > 0, jnp.sqrt(jnp.where(above > 0, above, 1.0)), 0.0)
    half = (t[1:] - t[:-1]) / 2
    nodes = (t[1:] + t[:-1]) / 2 + half * _NODES
    # Bins without phase space have no weight, and nodes where nothing is singular.
    nodes = jnp.where(half > 0, nodes, jnp.sqrt(end - p) / 2)
    s = nodes**2 + p
    from_threshold, from_end = model.m_V**2 - p, end - model.m_V**2
    g = jnp.maximum(m_gamma(model, sm), _WIDENED * jax.lax.stop_gradient(-from_threshold))
    plain = (half * 2 * nodes * numerator(s, nodes, end - s) / ((s - model.m_V**2) ** 2 + g**2)).sum(0)

    # N is odd in t: 2 t/(s - s0) splits into poles at t0 and -t0 with residues N(t0) and -N(t0).
    is_near = (from_threshold > -_BELOW) & (from_end > 0)
    t0 = root(jax.lax.complex(jnp.where(is_near, from_threshold, 1.0), g))
    residue = numerator(t0**2 + p, t0, end - p - t0**2)
    t = t[jnp.append(window, window[-1] + 1)]
    modulus = 0.5 * jnp.log(((t - t0.real) ** 2 + t0.imag**2) / ((t + t0.real) ** 2 + t0.imag**2))
    phase = -jnp.arctan2(2 * t * t0.imag, t**2 - t0.real**2 - t0.imag**2)
    exact = jax.lax.complex(jnp.diff(modulus), jnp.diff(phase))
    from_pole = s[:, window] - model.m_V**2
    peak = half[window] / (from_pole**2 + g**2)
    by_nodes = 2 * t0 * jax.lax.complex((peak * from_pole).sum(0), g * peak.sum(0))
    missed = jnp.where(is_near, (residue * (exact - by_nodes)).imag / g, 0.0)
    return jnp.where(is_open, plain, 0.0), jnp.where(is_open, missed, 0.0)
