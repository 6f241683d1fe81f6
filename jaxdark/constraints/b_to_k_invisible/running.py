"""Integrals of N(s)/((s - m_V^2)^2 + g(s)^2) as in `invisible_quadrature`, for a width that runs with s.

With s = 4 m^2 cosh^2(eta), the integrand is analytic in v = sqrt(eta_max - eta) at both ends, since N is odd in each
root; Gauss-Legendre panels shrink towards the pole and the thresholds of g.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.quadrature import Numerator, Place, Ranges, live

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_LOW_PANELS = 5  # below the first cut, equal in eta: for m > 1e-4 GeV a factor of at most 50 in s each
# Panels shrink by 3 towards the pole and towards thresholds above which g grows like a root.
_PEAK_STEPS, _THRESHOLD_STEPS = 3.0 ** -np.arange(38), 3.0 ** -np.arange(1, 16)
_TINY = 1e-300

_fixed = jax.lax.stop_gradient


def integrals_running(
    numerator: Numerator, place: Place, g: Callable[[Array], Array], ranges: Ranges, thresholds: Float[Array, " n"]
) -> Float[Array, " ranges"]:
    """Integrals over each range for g(s) (GeV^2), to 1e-8 relative for g(m_V^2)/m_V^2 > 1e-11.

    The thresholds (GeV^2) are those of g, next to 4 m^2. Costs far more than a constant g.
    """
    panels = _panels(*_fixed((place, ranges, thresholds)))
    above, below = live(panels.above, -4 * place.m**2), live(panels.below, place.released**2)
    from_pole = live(panels.from_pole, -(place.m_V**2))
    of_N = jnp.sqrt(above * below) * numerator(panels.s, above, below)
    return panels.owner @ (panels.weights * of_N / (from_pole**2 + g(panels.s) ** 2)).sum(-1)


class _Chart(NamedTuple):
    """The variable v: threshold p = 4 m^2, length of the range above it, and eta and v at the ends.

    Points enter as s - p and are pulled into the range.
    """

    p: Float[Array, ""]
    span: Float[Array, ""]
    eta_max: Float[Array, ""]
    v_max: Float[Array, ""]

    def eta(self, above):
        """eta at s - p."""
        return jnp.arcsinh(jnp.sqrt(jnp.clip(above, 0.0, self.span) / self.p))

    def eta_difference(self, above, other):
        """Difference of eta between two points, without cancellation where they are close."""
        sinh_of_sum = jnp.sinh(self.eta(above) + self.eta(other))
        apart = jnp.clip(above, 0.0, self.span) - jnp.clip(other, 0.0, self.span)
        return jnp.arcsinh(apart / (self.p * sinh_of_sum + _TINY))

    def v(self, above):
        """v at s - p."""
        return jnp.sqrt(self.eta_difference(self.span, above))


class _Panels(NamedTuple):
    """Nodes of the panels, all fixed: at fixed nodes the integrand alone depends on the parameters.

    Attributes:
        s, above, below, from_pole: s, s - 4 m^2, s_max - s and s - m_V^2 at the nodes, GeV^2, shape (panels, n).
        weights: of the integral over s, GeV^2, shape (panels, n).
        owner: 1 where a panel is part of a range, shape (ranges, panels).
    """

    s: Float[Array, "panels n"]
    above: Float[Array, "panels n"]
    below: Float[Array, "panels n"]
    from_pole: Float[Array, "panels n"]
    weights: Float[Array, "panels n"]
    owner: Float[Array, "ranges panels"]


def _panels(place: Place, ranges: Ranges, thresholds) -> _Panels:
    """Panels between the cuts, graded towards the pole and the thresholds, in t = v - c with c the v of the pole."""
    p, span, pole = 4 * place.m**2, place.span, place.above
    eta_max = jnp.arcsinh(jnp.sqrt(span / p))
    chart = _Chart(p, span, eta_max, jnp.sqrt(eta_max))
    c, eta_c = chart.v(pole), chart.eta(pole)

    def t_at(s):
        return chart.eta_difference(pole, s - p) / (chart.v(s - p) + c + _TINY)

    threshold, end = t_at(p), -c
    eta_low = chart.eta(ranges.cuts[0] - p) * np.arange(1, _LOW_PANELS) / _LOW_PANELS
    low = (eta_c - eta_low) / (jnp.sqrt(chart.eta_max - eta_low) + c + _TINY)
    steps = t_at(thresholds)[:, None] - chart.v_max * np.append(0.0, _THRESHOLD_STEPS)
    graded = [chart.v_max * _PEAK_STEPS, -chart.v_max * _PEAK_STEPS, steps.ravel()]
    cuts = [jnp.stack([threshold, 0.0 * c, end]), low, t_at(ranges.cuts), *graded]
    edges = jnp.sort(jnp.clip(jnp.concatenate(cuts), end, threshold))
    middle = (edges[1:] + edges[:-1]) / 2
    inside = (t_at(ranges.upper)[:, None] < middle) & (middle < t_at(ranges.lower)[:, None])
    # An empty panel belongs to nobody and gets nodes all over the range, at none of which a root is 0.
    filled = edges[1:] > edges[:-1]
    lo, hi = jnp.where(filled, edges[:-1], end), jnp.where(filled, edges[1:], threshold)
    half = (hi - lo)[:, None] / 2
    offsets = half * (1 + _NODES)
    t, v = lo[:, None] + offsets, (c + lo)[:, None] + offsets
    eta = ((threshold - hi)[:, None] + half * (1 - _NODES)) * (c + threshold + v)
    # s and its distances from the ends and the pole as products in u = exp(2 eta) - 1, none of them a difference.
    u, u_c, u_max = (jnp.expm1(2 * x) for x in (eta, eta_c, chart.eta_max))
    quarter = p / (4 * (1 + u))
    from_c = jnp.expm1(-2 * t * (c + v)) * (u_c + u + u_c * u) * quarter
    return _Panels(
        s=(2 + u) ** 2 * quarter,
        above=u**2 * quarter,
        below=-jnp.expm1(-2 * v**2) * (u_max + u + u_max * u) * quarter,
        from_pole=from_c + (jnp.clip(pole, 0.0, chart.span) - pole),
        weights=half * _WEIGHTS * 4 * v * u * (2 + u) * quarter,
        owner=(inside & filled).astype(float),
    )
