"""Integrals of N(s)/((s - m_V^2)^2 + g^2) from 4 m^2 to s_max = (M_B - M_K)^2, Eq. (22), in many ranges of s at once.

Inputs: N with square-root ends, m, m_V, g > 0 of any size. Outputs: the integrals, and first derivatives of them. In
the lower half of the range y^2 = s - 4 m^2, in the upper one y^2 = s_max - s, so that N/y is analytic. Panels and nodes
do not depend on the pole: from N/y its interpolant at the poles, linear in s, is subtracted and integrated in closed
form.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

# H(s, s - 4 m^2, s_max - s) of N = sqrt((s - 4 m^2) (s_max - s)) H, real or complex, analytic around the range.
Numerator = Callable[..., Array]

_LOW_PANELS = 6  # below the first cut, equal in arcosh(sqrt(s)/2m): for m > 1e-4 GeV a factor of at most 5 in y each
# A pole at a distance d from the range is widened to 1e-5 d, a change of 1e-10, lest it and its mirror image cancel.
_WIDENED = 1e-5
# Poles within the Bernstein ellipse rho = 4 of a panel are subtracted; those beyond it cost 4^-20. Its half axes over
# half the panel's length:
_LONG, _SHORT = (4 + 1 / 4) / 2, (4 - 1 / 4) / 2
# How far out they are: below threshold down to this part of 4 m^2, as sqrt(s) is no polynomial near 0, and
# above s_max by this part of the range, and by so many GeV^2, where the form factor still lies far from its own pole.
_LOWEST, _HIGHEST, _BEYOND = 0.1, 0.5, 2.5

_fixed = jax.lax.stop_gradient


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
    """Ranges of s and the places at which to cut them into panels, in GeV^2; every end is among the cuts.

    Attributes:
        lower, upper: ends of each range, shape (ranges,).
        cuts: the first is the lowest, and the panels between them must be short for N, shape (cuts,).
    """

    lower: Float[Array, " ranges"]
    upper: Float[Array, " ranges"]
    cuts: Float[Array, " cuts"]


class Place(NamedTuple):
    """Masses that fix range and pole, GeV: m of the pair, M_B - M_K > 2 m, and m_V."""

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


def live(value, moving):
    """A fixed value with the derivative of another one."""
    return value + (moving - _fixed(moving))


def root(z):
    """Square root of a real number, or the principal one of a complex number that is not real."""
    if not jnp.iscomplexobj(z):
        return jnp.sqrt(z)
    # Not jnp.sqrt, which takes long to compile as it guards against overflow.
    on_right = z.real >= 0
    size = jnp.where(on_right, z.real, -z.real)
    larger = jnp.sqrt((size + jnp.sqrt(size**2 + z.imag**2)) / 2)
    smaller = jnp.abs(z.imag) / (2 * larger)
    real, imag = jnp.where(on_right, larger, smaller), jnp.where(on_right, smaller, larger)
    return jax.lax.complex(real, jnp.where(z.imag > 0, imag, -imag))


def integrals(numerator: Numerator, place: Place, g: Float[Array, ""], ranges: Ranges) -> Float[Array, " ranges"]:
    """Integrals over each range for a constant g (GeV^2), to 1e-8 relative for g/m_V^2 from 0 to 1."""
    panels = _panels(*_fixed((place, ranges)))
    g = jnp.maximum(g, _WIDENED * _fixed(jnp.maximum(-place.above, -place.below)))
    pole = _seen_from(panels, *_pole(numerator, place, g))
    return panels.owner @ (_sums(numerator, place, g, pole, panels) + _closed_forms(g, pole, panels))


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


def _panels(place: Place, ranges: Ranges) -> _Panels:
    """Panels between the cuts."""
    p, span = 4 * place.m**2, place.span
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
    """The pole at s = m_V^2 + i g as y sees it, from one half of the range or from every panel.

    With d the real part of y^2 at the pole and F the rest N/y there, Re F + Im F/g (y^2 - d) meets N/y at both poles.
    In the upper half, where y^2 runs against s, all are the complex conjugates.

    Attributes:
        d: m_V^2 - 4 m^2 or s_max - m_V^2, GeV^2.
        y: real and imaginary part, both positive, GeV.
        numerator, rest: N and N/y at the pole, real and imaginary part; 0 where it is too far away to be subtracted.
    """

    d: Float[Array, "*panels"]
    y: tuple[Float[Array, "*panels"], Float[Array, "*panels"]]
    numerator: tuple[Float[Array, "*panels"], Float[Array, "*panels"]]
    rest: tuple[Float[Array, "*panels"], Float[Array, "*panels"]]


def _pole(numerator: Numerator, place: Place, g: Float[Array, ""]) -> tuple[_Pole, _Pole]:
    """The pole as seen from the lower and from the upper half."""
    above, below, p, span = _fixed((place.above, place.below, 4 * place.m**2, place.span))
    is_lower = (above > (_LOWEST - 1) * p) & (below > 0)
    is_upper = (above > 0) & (below > -jnp.minimum(_HIGHEST * span, _BEYOND))
    used = is_lower | is_upper
    # Where no half subtracts it, N is taken elsewhere, free of singularities of its own.
    elsewhere = span * (0.5 + 0.3j)
    s = jnp.where(used, jax.lax.complex(place.m_V**2, g), p + elsewhere)
    above_there = jnp.where(used, jax.lax.complex(place.above, g), elsewhere)
    below_there = jnp.where(used, jax.lax.complex(place.below, -g), span - elsewhere)
    root_above, root_below, shape = root(above_there), root(below_there), numerator(s, above_there, below_there)

    def seen(d, moving, of_N, rest, subtracted):
        # The panels are fixed: in y the pole moves with m_V alone, while N and its own roots move with all masses.
        y0, shift = root(jax.lax.complex(d, g)), (moving - d) / (2 * (d**2 + g**2))
        rest = rest * (1 + jax.lax.complex(shift * d, -shift * g))
        parts = (jnp.where(subtracted, part, 0.0) for part in (of_N.real, of_N.imag, rest.real, rest.imag))
        real, imag, rest_real, rest_imag = parts
        return _Pole(d, (y0.real, y0.imag), (real, imag), (rest_real, rest_imag))

    of_N, of_above, of_below = root_above * root_below * shape, root_above * shape, root_below * shape
    return (
        seen(live(above, place.m_V**2), place.above, of_N, of_below, is_lower),
        seen(live(below, -(place.m_V**2)), place.below, of_N.conj(), of_above.conj(), is_upper),
    )


def _seen_from(panels: _Panels, lower: _Pole, upper: _Pole) -> _Pole:
    """Of the pole as seen from both halves, what each panel needs."""
    pole = jax.tree.map(lambda *pair: jnp.where(panels.is_lower, *pair), lower, upper)
    half, off = (panels.upper - panels.lower) / 2, pole.y[0] - (panels.upper + panels.lower) / 2
    near = (off / _LONG) ** 2 + (pole.y[1] / _SHORT) ** 2 < half**2
    subtracted = (tuple(jnp.where(near, part, 0.0) for part in number) for number in (pole.numerator, pole.rest))
    return _Pole(pole.d, pole.y, *subtracted)


def _sums(numerator: Numerator, place: Place, g, pole: _Pole, panels: _Panels) -> Float[Array, " panels"]:
    """Sums over the nodes of each panel, the interpolant subtracted from N."""
    above, below = live(panels.above, -4 * place.m**2), live(panels.below, place.released**2)
    of_N = jnp.sqrt(above * below) * numerator(panels.s, above, below)
    length = panels.upper - panels.lower
    from_pole = panels.y**2 - pole.d[:, None]
    interpolant = pole.rest[0][:, None] + (pole.rest[1] / g)[:, None] * from_pole
    peak = length[:, None] * panels.y / (from_pole**2 + g**2)
    # The rule that has no node near the pole: there the difference would be one of equal numbers over a small one.
    y, both = jnp.sqrt(jnp.maximum(_fixed(pole.d), 0.0)), panels.lower + panels.upper
    place_in_panel = jnp.where((panels.lower < y) & (y < panels.upper), (2 * y - both) / length, 0.0).sum()
    weights = jnp.where((place_in_panel > _BETWEEN).sum() % 2 == 0, _WEIGHTS[0], _WEIGHTS[1])
    return ((of_N - panels.y * interpolant) * peak * weights).sum(-1)


def _closed_forms(g, pole: _Pole, panels: _Panels) -> Float[Array, " panels"]:
    """Integral of what is subtracted over each panel: with y0 at the pole, Im (N/y0 (2 y + y0 ln (y - y0)/(y + y0)))/g.

    The phase of the logarithm is counted from where it vanishes on the one axis, 0 or pi, lest narrow V lose digits.
    """
    y, (real, imag) = jnp.stack([panels.lower, panels.upper]), pole.y
    beyond = y**2 - (real**2 + imag**2)
    is_beyond = beyond >= 0
    phase = -jnp.arctan2(jnp.where(is_beyond, 2.0, -2.0) * y * imag, jnp.abs(beyond))
    modulus = 0.5 * jnp.log(((y**2 - pole.d) ** 2 + g**2) / ((y + real) ** 2 + imag**2) ** 2)
    turned = phase[1] - phase[0] + jnp.where(is_beyond[1] & ~is_beyond[0], jnp.pi, 0.0)
    of_logarithm = pole.numerator[0] * turned + pole.numerator[1] * (modulus[1] - modulus[0])
    return (2 * (panels.upper - panels.lower) * pole.rest[1] + of_logarithm) / g
