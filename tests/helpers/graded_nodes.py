"""Integrals of N(s)/((s - m_V^2)^2 + g(s)^2) as in `quadrature`, for a width that runs with s.

Inputs: N with square-root ends, the masses and g(s) with its thresholds. Outputs: the integrals over ranges of s.
With s = 4 m^2 cosh^2(eta), the integrand is analytic in v = sqrt(eta_max - eta) at both ends, since N is odd in each
root; Gauss-Legendre panels shrink towards the pole and the thresholds of g.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.quadrature import Numerator, PoleGeometry, Ranges, with_gradient_of

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_LOW_PANELS = 5  # below the first cut, equal in eta: for m > 1e-4 GeV a factor of at most 50 in s each
# Panels shrink by 3 towards the pole and towards thresholds above which g grows like a root.
_PEAK_STEPS, _THRESHOLD_STEPS = 3.0 ** -np.arange(38), 3.0 ** -np.arange(1, 16)
_TINY = 1e-300


def integrals_running(
    numerator: Numerator,
    geometry: PoleGeometry,
    g: Callable[[Array], Array],
    ranges: Ranges,
    thresholds: Float[Array, " n"],
) -> Float[Array, " ranges"]:
    """Integrals of N(s)/((s - m_V^2)^2 + g(s)^2) over each range, to 1e-8 relative for g(m_V^2)/m_V^2 > 1e-11.

    Costs far more than `quadrature.integrals` with a constant g.

    Args:
        numerator, geometry, ranges: as there.
        g: sqrt(s) Gamma_V(s) as a function of s, both in GeV^2.
        thresholds: of g beside 4 m^2, GeV^2.

    Returns:
        The integrals, in units of N/GeV^2, shape (ranges,).
    """
    panels = _panels(*stop_gradient((geometry, ranges, thresholds)))
    above = with_gradient_of(panels.above, -4 * geometry.m**2)
    below = with_gradient_of(panels.below, geometry.released**2)
    from_pole = with_gradient_of(panels.from_pole, -(geometry.m_V**2))
    N = jnp.sqrt(above * below) * numerator(panels.s, above, below)
    return panels.owner @ (panels.weights * N / (from_pole**2 + g(panels.s) ** 2)).sum(-1)


class _Chart(NamedTuple):
    """The variable t = v - v_pole, which falls from threshold (t > 0) to the end of the range, and is 0 at the pole.

    Points enter as x = s - 4 m^2 and are pulled into the range; a pole outside of it counts as at the nearer end.

    Attributes:
        p: threshold 4 m^2, GeV^2.
        span: length of the range above it, GeV^2.
        pole: m_V^2 - p, GeV^2.
    """

    p: Float[Array, ""]
    span: Float[Array, ""]
    pole: Float[Array, ""]

    @property
    def eta_max(self):
        """eta at the end of the range."""
        return jnp.arcsinh(jnp.sqrt(self.span / self.p))

    @property
    def v_pole(self):
        """v at the pole."""
        return self.v(self.pole)

    def eta(self, x):
        """eta at s = p + x."""
        return jnp.arcsinh(jnp.sqrt(jnp.clip(x, 0.0, self.span) / self.p))

    def eta_difference(self, x, other):
        """Difference of eta between two points, without cancellation where they are close."""
        sinh_of_sum = jnp.sinh(self.eta(x) + self.eta(other))
        distance = jnp.clip(x, 0.0, self.span) - jnp.clip(other, 0.0, self.span)
        return jnp.arcsinh(distance / (self.p * sinh_of_sum + _TINY))

    def v(self, x):
        """v = sqrt(eta_max - eta) at s = p + x."""
        return jnp.sqrt(self.eta_difference(self.span, x))

    def t(self, x):
        """t = (v^2 - v_pole^2)/(v + v_pole) at s = p + x."""
        return self.eta_difference(self.pole, x) / (self.v(x) + self.v_pole + _TINY)


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


def _panels(geometry: PoleGeometry, ranges: Ranges, thresholds: Float[Array, " n"]) -> _Panels:
    """Panels between the edges, with the ranges they belong to."""
    chart = _Chart(4 * geometry.m**2, geometry.span, geometry.above)
    edges = _edges(chart, ranges, thresholds)
    middle = (edges[1:] + edges[:-1]) / 2
    # t falls with s.
    inside = (chart.t(ranges.upper - chart.p)[:, None] < middle) & (middle < chart.t(ranges.lower - chart.p)[:, None])
    # An empty panel belongs to nobody and gets nodes all over the range, at none of which a root is 0.
    filled = edges[1:] > edges[:-1]
    lower, upper = jnp.where(filled, edges[:-1], edges[0]), jnp.where(filled, edges[1:], edges[-1])
    return _Panels(*_nodes(chart, lower, upper), owner=(inside & filled).astype(float))


def _edges(chart: _Chart, ranges: Ranges, thresholds: Float[Array, " n"]) -> Float[Array, " edges"]:
    """Edges of the panels in t, increasing: the ends of the range, all cuts, and steps towards pole and thresholds."""
    end, threshold, v_max = -chart.v_pole, chart.t(0.0 * chart.p), jnp.sqrt(chart.eta_max)
    eta_low = chart.eta(ranges.cuts[0] - chart.p) * np.arange(1, _LOW_PANELS) / _LOW_PANELS
    edges = (
        jnp.stack([threshold, 0.0 * end, end]),
        (chart.eta(chart.pole) - eta_low) / (jnp.sqrt(chart.eta_max - eta_low) + chart.v_pole + _TINY),
        chart.t(ranges.cuts - chart.p),
        v_max * _PEAK_STEPS,
        -v_max * _PEAK_STEPS,
        (chart.t(thresholds - chart.p)[:, None] - v_max * np.append(0.0, _THRESHOLD_STEPS)).ravel(),
    )
    return jnp.sort(jnp.clip(jnp.concatenate(edges), end, threshold))


def _nodes(chart: _Chart, lower: Float[Array, " panels"], upper: Float[Array, " panels"]):
    """s, s - 4 m^2, s_max - s, s - m_V^2 and the weights at the nodes of panels from lower to upper in t.

    s and its distances are products in u = exp(2 eta) - 1, none of them a difference of close numbers.
    """
    v_pole, threshold = chart.v_pole, chart.t(0.0 * chart.p)
    half = (upper - lower)[:, None] / 2
    offsets = half * (1 + _NODES)
    t, v = lower[:, None] + offsets, (v_pole + lower)[:, None] + offsets
    eta = ((threshold - upper)[:, None] + half * (1 - _NODES)) * (v_pole + threshold + v)
    u, u_pole, u_max = (jnp.expm1(2 * x) for x in (eta, chart.eta(chart.pole), chart.eta_max))
    quarter = chart.p / (4 * (1 + u))
    from_pole = jnp.expm1(-2 * t * (v_pole + v)) * (u_pole + u + u_pole * u) * quarter
    return (
        (2 + u) ** 2 * quarter,
        u**2 * quarter,
        -jnp.expm1(-2 * v**2) * (u_max + u + u_max * u) * quarter,
        from_pole + (jnp.clip(chart.pole, 0.0, chart.span) - chart.pole),
        half * _WEIGHTS * 4 * v * u * (2 + u) * quarter,
    )
