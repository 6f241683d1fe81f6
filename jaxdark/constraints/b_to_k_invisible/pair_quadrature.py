"""Nodes and weights in q2 for spectra of chi pairs with a pole of V of any width, for several decays at once.

Inputs: ends, thresholds, pole. Outputs: nodes with their distances from ends and pole, weights, and the panels of every
range of q2.

A spectrum is analytic in the root of the distance from its ends and from thresholds inside of it. The range is cut at
these points and half-way between them, so that each piece touches one of them, S, and y^2 = |s - S| is its variable.
Singular near the piece are the pole and s = 0, both in s and at some y = a +- i b in the complex plane of y; with
y = a + b sinh(u) they are moved to Im u = +-pi/2, wherever they were, and panels of length 2 to 3 in u are short
enough. Each piece is cut once more, between what belongs to the pole and what to s = 0 or to a point beyond S. All
panels of a point are about equally long in u; their number is fixed, and how many a piece gets depends on the point.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.quadrature import with_gradient_of

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_LEAST_MASS = 2e-4
"""GeV: for lighter pairs the logarithm of s is not resolved below its square, which no spectrum feels."""
_LEAST_DISTANCE, _MOST_DISTANCE = 1e-10, 2.0
"""Of the pole from the real axis of y: the least over m_V that panels resolve, and, in GeV, that of the form factors'
own poles."""
_CLOSE, _FAR = 1.0, 1e6
"""GeV: a point beyond the one that is touched counts in y where it is closer; and what stands for nowhere."""
_TINY = 1e-300


class PoleOfV(NamedTuple):
    """What fixes the panels about the pole of V.

    Attributes:
        m_V: mass, GeV.
        g: m_V Gamma_V(m_V^2), GeV^2.
        slope: c of each start of a piece, GeV: there g has a part c sqrt(s - S); 0 elsewhere, shape (1 + thresholds,).
    """

    m_V: Float[Array, ""]
    g: Float[Array, ""]
    slope: Float[Array, " starts"]


class Span(NamedTuple):
    """The points at which spectra are not analytic, as masses, square roots of values of s, GeV.

    Attributes:
        pair: sum of the masses of the pair, where all spectra start.
        thresholds: of other channels, inside the range or outside, shape (thresholds,).
        released: m_B - m_M of each decay, shape (decays,); one of them at least exceeds `pair`.
    """

    pair: Float[Array, ""]
    thresholds: Float[Array, " thresholds"]
    released: Float[Array, " decays"]


class Cuts(NamedTuple):
    """Ranges of s by the values at which to cut, so that every range is made of whole panels.

    Attributes:
        at: values of s, GeV^2, shape (cuts,).
        lower, upper: ends of each range: 0 for the start of the spectrum, 1, 2, ... for the cuts, and 1 + number of
            cuts for the end of the spectrum; plain integers.
    """

    at: Float[Array, " cuts"]
    lower: tuple[int, ...]
    upper: tuple[int, ...]


class Nodes(NamedTuple):
    """Nodes of all panels. They are fixed: the integrand alone depends on the parameters, which the distances carry.

    Attributes:
        s: q2, GeV^2, shape (panels, n).
        above: s - (sum of the masses)^2, GeV^2.
        below: (m_B - m_M)^2 - s of each decay, GeV^2, shape (decays, panels, n).
        from_pole: s - m_V^2, GeV^2.
        weights: of the integral over s, GeV^2.
        owner: 1 where a panel is part of a range, shape (ranges, panels).
    """

    s: Float[Array, "panels n"]
    above: Float[Array, "panels n"]
    below: Float[Array, "decays panels n"]
    from_pole: Float[Array, "panels n"]
    weights: Float[Array, "panels n"]
    owner: Float[Array, "ranges panels"]


def nodes(span: Span, pole: PoleOfV, cuts: Cuts, panels: int) -> Nodes:
    """Nodes in the range from `pair` to the largest of `released`.

    Args:
        span: the points where spectra are not analytic.
        pole: of V.
        cuts: the ranges.
        panels: how many beside one for each cut; no piece goes without one if there are four for each threshold and
            decay.
    """
    fixed = stop_gradient((span, pole, cuts.at))
    # Computed once: without the barrier the compiler would do it over wherever they are used.
    found = jax.lax.optimization_barrier(_nodes(fixed[0], fixed[1], cuts._replace(at=fixed[2]), panels + len(cuts.at)))
    return found._replace(
        above=with_gradient_of(found.above, -(span.pair**2)),
        below=with_gradient_of(found.below, span.released[:, None, None] ** 2),
        from_pole=with_gradient_of(found.from_pole, -(pole.m_V**2)),
    )


class _Pieces(NamedTuple):
    """Pieces of the range in the order of s, each entry of shape (pieces,).

    Attributes:
        S: mass of the point that the piece touches, GeV.
        sign: of s - S^2.
        a, b: y = a + b sinh(u), GeV.
        from_V: a - y_V without a difference of close numbers, GeV; y_V is the place of m_V^2 in y, or 0.
        u: at the lower end in s.
        upper: end in s, GeV^2.
        start, length: of the piece in c, which grows by the length in u from piece to piece.
    """

    S: Float[Array, " pieces"]
    sign: Float[Array, " pieces"]
    a: Float[Array, " pieces"]
    b: Float[Array, " pieces"]
    from_V: Float[Array, " pieces"]
    u: Float[Array, " pieces"]
    upper: Float[Array, " pieces"]
    start: Float[Array, " pieces"]
    length: Float[Array, " pieces"]


def _pole_in_y(d: Float[Array, " n"], pole: PoleOfV, c: Float[Array, " n"] | float):
    """a, b and a - y_V for the poles of 1/(y^2 - d + i (g' + c y)) with g' + c y = m_V Gamma_V at y_V = sqrt(d) or 0.

    They lie at -i c/2 +- (a - i b'), b' > 0. Next to a threshold the second one, of Re y < 0, may be the closer one.
    """
    y_V = jnp.sqrt(jnp.maximum(d, 0.0))
    rest, D = jnp.maximum(pole.g - c * y_V, 0.0), d - c**2 / 4
    size = jnp.hypot(D, rest)
    larger = jnp.sqrt((size + jnp.abs(D)) / 2)
    smaller = rest / (2 * larger + _TINY)
    a, b = jnp.where(D > 0, larger, smaller), jnp.where(D > 0, smaller, larger)
    from_V = jnp.where(d > 0, (b**2 - c**2 / 4) / (a + y_V + _TINY), a)
    distance = jnp.minimum(b + c / 2, jnp.hypot(a, b - c / 2))
    return a, jnp.clip(distance, _LEAST_DISTANCE * pole.m_V, _MOST_DISTANCE), from_V


def _pieces(span: Span, pole: PoleOfV) -> _Pieces:
    """Four for each interval between neighbouring points: its halves, each by what is closer, a point or the pole."""
    end = span.released.max()
    points = jnp.clip(jnp.concatenate([span.thresholds, span.released]), span.pair, end)
    slopes = jnp.concatenate([pole.slope[1:], jnp.zeros(len(span.released))])
    points, slopes = jax.lax.sort((points, slopes), num_keys=1)
    S, next_S = jnp.append(span.pair, points[:-1]), points
    # Points below the start were pulled to it, where the pair's own slope counts.
    slopes = jnp.where(S > span.pair, jnp.append(0.0, slopes[:-1]), pole.slope[0])
    middle = jnp.sqrt((next_S - S) * (next_S + S) / 2)
    up = _pole_in_y((pole.m_V - S) * (pole.m_V + S), pole, slopes)
    down = _pole_in_y((next_S - pole.m_V) * (next_S + pole.m_V), pole, 0.0)
    # The nearest point on the other side of the one that is touched, in y, where s = 0 counts as one.
    apart = (S[:, None] - S) * (S[:, None] + S)
    up_own = jnp.minimum(jnp.sqrt(jnp.where(apart > 0, apart, jnp.inf).min(1)), jnp.maximum(S, _LEAST_MASS))
    apart = (next_S - next_S[:, None]) * (next_S + next_S[:, None])
    down_own = jnp.sqrt(jnp.where(apart > 0, apart, jnp.inf).min(1))
    down_own = jnp.where(down_own < _CLOSE, down_own, _FAR)
    up_split, down_split = _equally_far(*up[:2], up_own, middle), _equally_far(*down[:2], down_own, middle)
    zero, one = jnp.zeros_like(S), jnp.ones_like(S)

    def rows(*four):
        return jnp.stack(four, 1).ravel()

    a, b = rows(zero, up[0], down[0], zero), rows(up_own, up[1], down[1], down_own)
    lower, upper = rows(zero, up_split, middle, down_split), rows(up_split, middle, down_split, zero)
    u_lower, u_upper = jnp.arcsinh((lower - a) / b), jnp.arcsinh((upper - a) / b)
    length = jnp.where(lower != upper, jnp.abs(u_upper - u_lower), 0.0)
    touched, sign = rows(S, S, next_S, next_S), rows(one, one, -one, -one)
    return _Pieces(
        S=touched,
        sign=sign,
        a=a,
        b=b,
        from_V=rows(up[2] - up[0], up[2], down[2], down[2] - down[0]),
        u=u_lower,
        upper=touched**2 + sign * upper**2,
        start=jnp.cumsum(length) - length,
        length=length,
    )


def _equally_far(a, b, own, middle):
    """y from 0 to the middle where both singularities, at +- i own and at a +- i b, are equally far."""
    return jnp.clip((a**2 + b**2 - own**2) / (2 * a + _TINY), 0.0, middle)


def _chosen(values: tuple[Float[Array, " n"], ...], index: Float[Array, " m"]):
    """Entries of the values at an index."""
    is_it = index[:, None] == np.arange(len(values[0]))
    return tuple(jnp.where(is_it, value, 0.0).sum(1) for value in values)


def _places(pieces: _Pieces, s: Float[Array, " cuts"]) -> Float[Array, " cuts"]:
    """c at values of s."""
    piece = jnp.minimum((s[:, None] > pieces.upper).sum(1), len(pieces.S) - 1)
    S, sign, a, b, u, start, length = _chosen(
        (pieces.S, pieces.sign, pieces.a, pieces.b, pieces.u, pieces.start, pieces.length), piece
    )
    m = jnp.sqrt(s)
    y = jnp.sqrt(jnp.maximum(sign * (m - S) * (m + S), 0.0))
    return start + jnp.clip(sign * (jnp.arcsinh((y - a) / b) - u), 0.0, length)


def _nodes(span: Span, pole: PoleOfV, cuts: Cuts, panels: int) -> Nodes:
    pieces = _pieces(span, pole)
    total = pieces.start[-1] + pieces.length[-1]
    places = jnp.zeros(0)
    if len(cuts.at):
        places = _places(pieces, cuts.at)
    edges = jnp.sort(jnp.concatenate([jnp.zeros(1), pieces.start + pieces.length, places]))
    length = edges[1:] - edges[:-1]
    is_empty = length <= 1e-12 * total
    # Rounding up costs each part one panel at most.
    spare = panels - (~is_empty).sum()
    count = jnp.where(is_empty, 0.0, jnp.maximum(jnp.ceil(length / total * spare - 1e-9), 1.0))
    up_to = jnp.cumsum(count)
    panel = jnp.arange(float(panels))
    is_used = panel < up_to[-1]
    # Panels that are left over repeat the first one and belong to nobody.
    panel = jnp.where(is_used, panel, 0.0)
    part = (panel[:, None] >= up_to).sum(1)
    first, begin, size = _chosen((up_to - count, edges[:-1], length / jnp.maximum(count, 1.0)), part)
    lower = begin + (panel - first) * size
    middle = lower + size / 2
    of = jnp.minimum((middle[:, None] > pieces.start + pieces.length).sum(1), len(pieces.S) - 1)
    S, sign, b, from_V, u, start = (
        value[:, None]
        for value in _chosen((pieces.S, pieces.sign, pieces.b, pieces.from_V, pieces.u, pieces.start), of)
    )
    half = size[:, None] / 2
    # Faster than jnp.sinh, and as good: near u = 0 nothing is that counts.
    exp = jnp.exp(u + sign * ((lower[:, None] - start) + half * (1 + _NODES)))
    sinh = (exp - 1 / exp) / 2
    d = sign * (pole.m_V - S) * (pole.m_V + S)
    y_V = jnp.sqrt(jnp.maximum(d, 0.0))
    from_V = from_V + b * sinh
    y = jnp.abs(y_V + from_V) + _TINY
    step = sign * y**2
    marks = jnp.concatenate([jnp.zeros(1), places, total[None]])
    begins, ends = marks[np.array(cuts.lower)], marks[np.array(cuts.upper)]
    owner = (begins[:, None] < middle) & (middle < ends[:, None]) & is_used
    released = span.released[:, None, None]
    return Nodes(
        s=S**2 + step,
        above=(S - span.pair) * (S + span.pair) + step,
        below=(released - S) * (released + S) - step,
        from_pole=sign * (from_V * (y + y_V) + jnp.maximum(-d, 0.0)),
        weights=y * b * (exp + 1 / exp) * half * _WEIGHTS,
        owner=owner.astype(float),
    )
