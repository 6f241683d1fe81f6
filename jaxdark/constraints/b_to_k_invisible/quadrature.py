"""Integrals of N(s)/((s - m_V^2)^2 + g^2) from 4 m^2 to s_max = (M_B - M_K)^2, Eq. (22), in many ranges of s at once.

Inputs: N with square-root ends, m, m_V, g > 0 of any size. Outputs: the integrals, and first derivatives of them.

The variable is y, with y^2 = s - 4 m^2 in the lower half of the range and y^2 = s_max - s in the upper one, so that N/y
is analytic. There the integrand is 2 y^2 (N/y)/((y^2 - d)^2 + g^2), with poles at y^2 = d +- i g. Panels and nodes do
not depend on the pole: what is subtracted from N/y is linear in y^2, equals N/y at both poles and is integrated in
closed form.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.compute.roots import root

# H(s, s - 4 m^2, s_max - s) of N = sqrt((s - 4 m^2) (s_max - s)) H, real or complex, analytic around the range.
Numerator = Callable[..., Array]

_LOW_PANELS = 6  # below the first cut, equal in arcosh(sqrt(s)/2m): for m > 1e-4 GeV a factor of at most 5 in y each
# A pole at a distance d from the range is widened to 1e-5 d, a change of 1e-10, lest it and its mirror image cancel.
_WIDENED = 1e-5
# Poles within the Bernstein ellipse rho = 4 of a panel are subtracted; those beyond it cost 4^-20. Its half axes over
# half the panel's length:
_LONG, _SHORT = (4 + 1 / 4) / 2, (4 - 1 / 4) / 2
# Poles outside of the range are subtracted too: below threshold down to this part of 4 m^2, as sqrt(s) is no polynomial
# near 0, and above s_max by this part of the range but at most by so many GeV^2, still far from the form factor's pole.
_LOWEST, _HIGHEST, _BEYOND = 0.1, 0.5, 2.5


def _interlaced(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre rules of n and n + 1 nodes: their nodes in order, both weights, and what lies between the nodes.

    The nodes of the two alternate, so that one of the rules keeps away from any given point.
    """
    rules = [np.polynomial.legendre.leggauss(k) for k in (n, n + 1)]
    nodes, weights = np.empty(2 * n + 1), np.zeros((2, 2 * n + 1))
    nodes[1::2], nodes[::2] = rules[0][0], rules[1][0]
    weights[0, 1::2], weights[1, ::2] = rules[0][1], rules[1][1]
    return nodes, weights, (nodes[1:] + nodes[:-1]) / 2


_NODES, _WEIGHTS, _BETWEEN = _interlaced(10)


class Ranges(NamedTuple):
    """Ranges of s and the values of s at which to cut them into panels, in GeV^2; every end is among the cuts.

    Attributes:
        lower, upper: ends of each range, shape (ranges,).
        cuts: the first is the lowest, and the panels between them must be short for N, shape (cuts,).
    """

    lower: Float[Array, " ranges"]
    upper: Float[Array, " ranges"]
    cuts: Float[Array, " cuts"]


class PoleGeometry(NamedTuple):
    """Masses that fix the range and the pole, GeV: m of each of the pair, the released M_B - M_K > 2 m, and m_V."""

    m: Float[Array, ""]
    released: Float[Array, ""]
    m_V: Float[Array, ""]

    @property
    def above(self):
        """m_V^2 - 4 m^2, GeV^2."""
        return (self.m_V - 2 * self.m) * (self.m_V + 2 * self.m)

    @property
    def below(self):
        """s_max - m_V^2, GeV^2."""
        return (self.released - self.m_V) * (self.released + self.m_V)

    @property
    def span(self):
        """s_max - 4 m^2, GeV^2."""
        return (self.released - 2 * self.m) * (self.released + 2 * self.m)


def with_gradient_of(value, moving):
    """The value of `value` with the gradient of `moving`."""
    return value + (moving - stop_gradient(moving))


def integrals(
    numerator: Numerator, geometry: PoleGeometry, g: Float[Array, ""], ranges: Ranges
) -> Float[Array, " ranges"]:
    """Integrals of N(s)/((s - m_V^2)^2 + g^2) over each range, to 1e-8 relative for g/m_V^2 from 0 to 1.

    Args:
        numerator: H of N = sqrt((s - 4 m^2)(s_max - s)) H, called as H(s, s - 4 m^2, s_max - s) with GeV^2.
        geometry: the masses.
        g: imaginary part of the pole's position, m_V Gamma_V, GeV^2.
        ranges: of s, clipped to 4 m^2 and s_max.

    Returns:
        The integrals, in units of N/GeV^2, shape (ranges,).
    """
    panels = _panels(*stop_gradient((geometry, ranges)))
    g = jnp.maximum(g, _WIDENED * stop_gradient(jnp.maximum(-geometry.above, -geometry.below)))
    pole = _on_panels(panels, *_poles(numerator, geometry, g))
    return panels.owner @ (_sums(numerator, geometry, g, pole, panels) + _closed_forms(g, pole, panels))


class _Panels(NamedTuple):
    """Panels and their nodes; all fixed, as at fixed nodes the integrand alone depends on the parameters.

    Attributes:
        is_lower: whether y^2 is s - 4 m^2, else s_max - s, shape (panels,).
        lower, upper: edges in y, GeV, shape (panels,).
        y, s, above, below: y, s, s - 4 m^2 and s_max - s at the nodes of both rules, shape (panels, n).
        owner: 1 where a panel is part of a range, shape (ranges, panels).
    """

    is_lower: Bool[Array, " panels"]
    lower: Float[Array, " panels"]
    upper: Float[Array, " panels"]
    y: Float[Array, "panels n"]
    s: Float[Array, "panels n"]
    above: Float[Array, "panels n"]
    below: Float[Array, "panels n"]
    owner: Float[Array, "ranges panels"]


def _panels(geometry: PoleGeometry, ranges: Ranges) -> _Panels:
    """Panels between the cuts; p is 4 m^2."""
    p, span = 4 * geometry.m**2, geometry.span
    cuts = jnp.clip(ranges.cuts - p, 0.0, span)
    eta = jnp.arcsinh(jnp.sqrt(cuts[0] / p))
    low = p * jnp.sinh(eta * np.arange(1, _LOW_PANELS) / _LOW_PANELS) ** 2
    edges = jnp.sort(jnp.concatenate([jnp.stack([0 * span, span / 2, span]), low, cuts]))
    is_lower = edges[1:] <= span / 2
    filled = edges[1:] > edges[:-1]
    ends = [jnp.sqrt(jnp.where(is_lower, e, span - e)) for e in (edges[:-1], edges[1:])]
    # An empty panel belongs to nobody and gets nodes at none of which a root is 0.
    lower = jnp.where(filled, jnp.minimum(*ends), 0.0)
    upper = jnp.where(filled, jnp.maximum(*ends), jnp.sqrt(span / 2))
    y = lower[:, None] + (upper - lower)[:, None] * (1 + _NODES) / 2
    near, far = y**2, span - y**2
    above, below = jnp.where(is_lower[:, None], near, far), jnp.where(is_lower[:, None], far, near)
    middle = (edges[1:] + edges[:-1]) / 2
    inside = (ranges.lower[:, None] - p < middle) & (middle < ranges.upper[:, None] - p)
    return _Panels(is_lower, lower, upper, y, p + above, above, below, (inside & filled).astype(float))


class _Pole(NamedTuple):
    """The pole at s = m_V^2 + i g in the variable y, for one half of the range or for every panel.

    In the upper half, where y^2 runs against s, all complex numbers are those of the conjugate pole.

    Attributes:
        d: real part of y^2 there: m_V^2 - 4 m^2 or s_max - m_V^2, GeV^2.
        y: the pole's position, real and imaginary part positive, GeV.
        N: the numerator there; 0 where the pole is too far away to be subtracted.
        N_over_y: N/y there; 0 likewise.
    """

    d: Float[Array, "*panels"]
    y: Complex[Array, "*panels"]
    N: Complex[Array, "*panels"]
    N_over_y: Complex[Array, "*panels"]


def _poles(numerator: Numerator, geometry: PoleGeometry, g: Float[Array, ""]) -> tuple[_Pole, _Pole]:
    """The pole in the variables of the lower and of the upper half."""
    above, below, p, span = stop_gradient((geometry.above, geometry.below, 4 * geometry.m**2, geometry.span))
    in_lower = (above > (_LOWEST - 1) * p) & (below > 0)
    in_upper = (above > 0) & (below > -jnp.minimum(_HIGHEST * span, _BEYOND))
    used = in_lower | in_upper
    # Where neither half subtracts it, N is taken at another point, at which it has no singularity.
    harmless = span * (0.5 + 0.3j)
    s = jnp.where(used, jax.lax.complex(geometry.m_V**2, g), p + harmless)
    s_above = jnp.where(used, jax.lax.complex(geometry.above, g), harmless)
    s_below = jnp.where(used, jax.lax.complex(geometry.below, -g), span - harmless)
    y_lower, y_upper, H = root(s_above), root(s_below), numerator(s, s_above, s_below)
    N = y_lower * y_upper * H
    # The panels do not move with the masses of the range: in their y the pole moves with m_V alone.
    d_lower = with_gradient_of(above, geometry.m_V**2)
    d_upper = with_gradient_of(below, -(geometry.m_V**2))
    return (
        _pole(d_lower, geometry.above, g, N, y_upper * H, in_lower),
        _pole(d_upper, geometry.below, g, N.conj(), (y_lower * H).conj(), in_upper),
    )


def _pole(d, moving, g, N, N_over_own_y, subtracted) -> _Pole:
    """The pole in the variable of one half.

    Args:
        d: real part of y^2 at the pole, with the gradient that it has in the fixed panels.
        moving: the same with its own gradient, that of m_V and of the masses which end the range.
        g: imaginary part of y^2.
        N, N_over_own_y: the numerator at the pole, and over sqrt(moving + i g).
        subtracted: whether this half subtracts the pole.
    """
    # sqrt(moving + i g)/sqrt(d + i g) to first order in their difference, whose value is 0.
    change = (moving - d) / (2 * (d**2 + g**2))
    N_over_y = N_over_own_y * (1 + jax.lax.complex(change * d, -change * g))
    return _Pole(d, root(jax.lax.complex(d, g)), jnp.where(subtracted, N, 0.0), jnp.where(subtracted, N_over_y, 0.0))


def _on_panels(panels: _Panels, lower: _Pole, upper: _Pole) -> _Pole:
    """The pole in the variable of each panel, N and N/y 0 for those that are far from it."""
    pole = jax.tree.map(lambda *pair: jnp.where(panels.is_lower, *pair), lower, upper)
    half, off = (panels.upper - panels.lower) / 2, pole.y.real - (panels.upper + panels.lower) / 2
    near = (off / _LONG) ** 2 + (pole.y.imag / _SHORT) ** 2 < half**2
    return pole._replace(N=jnp.where(near, pole.N, 0.0), N_over_y=jnp.where(near, pole.N_over_y, 0.0))


def _sums(numerator: Numerator, geometry: PoleGeometry, g, pole: _Pole, panels: _Panels) -> Float[Array, " panels"]:
    """Sums over the nodes of each panel of what is left of N/y when its interpolant at the poles is subtracted."""
    above = with_gradient_of(panels.above, -4 * geometry.m**2)
    below = with_gradient_of(panels.below, geometry.released**2)
    N = jnp.sqrt(above * below) * numerator(panels.s, above, below)
    length = panels.upper - panels.lower
    from_pole = panels.y**2 - pole.d[:, None]
    interpolant = pole.N_over_y.real[:, None] + (pole.N_over_y.imag / g)[:, None] * from_pole
    peak = length[:, None] * panels.y / (from_pole**2 + g**2)
    # The rule that has no node near the pole: there the difference would be one of equal numbers over a small one.
    y, both = jnp.sqrt(jnp.maximum(stop_gradient(pole.d), 0.0)), panels.lower + panels.upper
    x = jnp.where((panels.lower < y) & (y < panels.upper), (2 * y - both) / length, 0.0).sum()
    weights = jnp.where((x > _BETWEEN).sum() % 2 == 0, _WEIGHTS[0], _WEIGHTS[1])
    return ((N - panels.y * interpolant) * peak * weights).sum(-1)


def _closed_forms(g, pole: _Pole, panels: _Panels) -> Float[Array, " panels"]:
    """Integral of the interpolant over each panel, Im [(N/y0) (2 y + y0 ln((y - y0)/(y + y0)))]/g between its edges.

    y0 is the pole. The phase of the logarithm is counted from 0 where y > |y0| and from -pi elsewhere, so that neither
    loses digits for a narrow V.
    """
    y, real, imag = jnp.stack([panels.lower, panels.upper]), pole.y.real, pole.y.imag
    beyond = y**2 - (real**2 + imag**2)
    is_beyond = beyond >= 0
    phase = -jnp.arctan2(jnp.where(is_beyond, 2.0, -2.0) * y * imag, jnp.abs(beyond))
    modulus = 0.5 * jnp.log(((y**2 - pole.d) ** 2 + g**2) / ((y + real) ** 2 + imag**2) ** 2)
    turned = phase[1] - phase[0] + jnp.where(is_beyond[1] & ~is_beyond[0], jnp.pi, 0.0)
    logarithm = pole.N.real * turned + pole.N.imag * (modulus[1] - modulus[0])
    return (2 * (panels.upper - panels.lower) * pole.N_over_y.imag + logarithm) / g
