"""Nodes and weights in q2 for spectra of chi pairs, for several decays at once, and the correction for a pole of V.

Inputs: ends, thresholds, cuts. Outputs: nodes, weights, the panels of every range of q2; what the nodes miss of a pole.

A spectrum is analytic in the root of the distance from its ends and from thresholds inside of it. The range is cut at
these points and half-way between them, so that each piece touches one of them, S, and y^2 = |s - S| is its variable.
Singular near the piece are s = 0 or a point beyond S, at y = +- i b; with y = b sinh(u) they are moved to
Im u = +- pi/2, and panels short enough in u need few nodes. All panels are about equally long in u; their number is
fixed, and how many a piece gets depends on the masses.

Neither panels nor nodes know V: where the masses of the dark fermions are, all that depends on the nodes alone is the
same for all points. Of a pole of V at z, in the variable x of a panel from -1 to 1, a rule of nodes x_j and weights w_j
gets 1/(x - z) wrong by `missed`, whose product with the residue is the whole error: so V may be as narrow as it likes.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.compute.roots import root
from jaxdark.constraints.b_to_k_invisible.quadrature import with_gradient_of

_LEAST_MASS = 2e-4
"""GeV: for lighter pairs the logarithm of s is not resolved below its square, which no spectrum feels."""
_CLOSE, _FAR = 1.0, 10.0
"""GeV: a point beyond the one that is touched counts in y where it is closer; b where there is none."""
_TINY = 1e-300
ON_A_NODE = 1.5e-4
"""Distance in half lengths, from which on a node is told from a pole to enough digits."""


class Rule(NamedTuple):
    """Gauss-Legendre nodes and weights, and how many panels need them.

    Attributes:
        nodes, weights: on [-1, 1], shape (n,).
        without: what the weights change by where one node is left out, a row each, shape (n, n).
        panels: for the longest range, beside one for each piece and cut.
        reach: poles further from the middle of a panel, in its half lengths, are no concern of its nodes: what these
            miss of one is less than its rounding, times a strength that may be 1e9 times the rate.
    """

    nodes: np.ndarray
    weights: np.ndarray
    without: np.ndarray
    panels: int
    reach: float


@cache
def rule_for(cuts: int) -> Rule:
    """Fewer nodes in each panel where cuts make many of them anyway."""
    n, panels, reach = (8, 9, 3.5) if cuts < 30 else (5, 16, 5.0)
    x, w = np.polynomial.legendre.leggauss(n)
    without = np.zeros((n, n))
    for j in range(n):
        others = np.delete(np.arange(n), j)
        # The node's own term becomes that of the polynomial through all others.
        lagrange = [np.prod([(x[j] - x[i]) / (x[k] - x[i]) for i in others if i != k]) for k in others]
        without[j, others], without[j, j] = w[j] * np.array(lagrange), -w[j]
    return Rule(x, w, without, panels, reach)


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


class Panels(NamedTuple):
    """How the variable x of each panel, from -1 to 1 as s grows, is related to s; all fixed, each of shape (panels,).

    Attributes:
        S: mass of the point that the piece of the panel touches, GeV.
        sign: of s - S^2.
        b: y = sqrt(|s - S^2|) = b sinh(u), GeV.
        middle, half: of the panel in u.
        is_used: whether it is not left over.
    """

    S: Float[Array, " panels"]
    sign: Float[Array, " panels"]
    b: Float[Array, " panels"]
    middle: Float[Array, " panels"]
    half: Float[Array, " panels"]
    is_used: Bool[Array, " panels"]

    @property
    def middle_s(self) -> Float[Array, " panels"]:
        """s in the middle of each panel, GeV^2."""
        return self.S**2 + self.sign * (self.b * jnp.sinh(self.middle)) ** 2


class Nodes(NamedTuple):
    """Nodes of all panels. They are fixed: the integrand alone depends on the parameters, which the distances carry.

    Attributes:
        s: q2, GeV^2, shape (panels, n).
        above: s - (sum of the masses)^2, GeV^2.
        below: (m_B - m_M)^2 - s of each decay, GeV^2, shape (decays, panels, n).
        weights: of the integral over s, GeV^2.
        owner: 1 where a panel is part of a range, shape (ranges, panels).
        panels: their geometry.
        rule: that of the nodes.
    """

    s: Float[Array, "panels n"]
    above: Float[Array, "panels n"]
    below: Float[Array, "decays panels n"]
    weights: Float[Array, "panels n"]
    owner: Float[Array, "ranges panels"]
    panels: Panels
    rule: Rule


def nodes(span: Span, cuts: Cuts) -> Nodes:
    """Nodes in the range from `pair` to the largest of `released`.

    Args:
        span: the points where spectra are not analytic.
        cuts: the ranges.
    """
    fixed = stop_gradient((span, cuts.at))
    found = _nodes(fixed[0], cuts._replace(at=fixed[1]))
    return found._replace(
        above=with_gradient_of(found.above, -(span.pair**2)),
        below=with_gradient_of(found.below, span.released[:, None, None] ** 2),
    )


class _Pieces(NamedTuple):
    """Pieces of the range in the order of s, each entry of shape (pieces,).

    Attributes:
        S: mass of the point that the piece touches, GeV.
        sign: of s - S^2.
        b: y = b sinh(u), GeV.
        u: at the lower end in s.
        upper: end in s, GeV^2.
        start, length: of the piece in c, which grows by the length in u from piece to piece.
    """

    S: Float[Array, " pieces"]
    sign: Float[Array, " pieces"]
    b: Float[Array, " pieces"]
    u: Float[Array, " pieces"]
    upper: Float[Array, " pieces"]
    start: Float[Array, " pieces"]
    length: Float[Array, " pieces"]


def _pieces(span: Span) -> _Pieces:
    """Two for each interval between neighbouring points, its halves."""
    end = span.released.max()
    next_S = jnp.sort(jnp.clip(jnp.concatenate([span.thresholds, span.released]), span.pair, end))
    S = jnp.append(span.pair, next_S[:-1])
    middle = jnp.sqrt((next_S - S) * (next_S + S) / 2)
    # The nearest point on the other side of the one that is touched, in y, where s = 0 counts as one.
    apart = (S[:, None] - S) * (S[:, None] + S)
    up = jnp.minimum(jnp.sqrt(jnp.where(apart > 0, apart, jnp.inf).min(1)), jnp.maximum(S, _LEAST_MASS))
    apart = (next_S - next_S[:, None]) * (next_S + next_S[:, None])
    down = jnp.sqrt(jnp.where(apart > 0, apart, jnp.inf).min(1))
    down = jnp.where(down < _CLOSE, down, _FAR)

    def rows(*two):
        return jnp.stack(two, 1).ravel()

    zero, one = jnp.zeros_like(S), jnp.ones_like(S)
    b, lower, upper = rows(up, down), rows(zero, middle), rows(middle, zero)
    u_lower, u_upper = jnp.arcsinh(lower / b), jnp.arcsinh(upper / b)
    length = jnp.where(lower != upper, jnp.abs(u_upper - u_lower), 0.0)
    touched, sign = rows(S, next_S), rows(one, -one)
    return _Pieces(touched, sign, b, u_lower, touched**2 + sign * upper**2, jnp.cumsum(length) - length, length)


def _chosen(values: tuple[Float[Array, " n"], ...], index: Float[Array, " m"]):
    """Entries of the values at an index."""
    is_it = index[:, None] == np.arange(len(values[0]))
    return tuple(jnp.where(is_it, value, 0.0).sum(1) for value in values)


def _places(pieces: _Pieces, s: Float[Array, " cuts"]) -> Float[Array, " cuts"]:
    """c at values of s."""
    piece = jnp.minimum((s[:, None] > pieces.upper).sum(1), len(pieces.S) - 1)
    S, sign, b, u, start, length = _chosen(
        (pieces.S, pieces.sign, pieces.b, pieces.u, pieces.start, pieces.length), piece
    )
    m = jnp.sqrt(s)
    y = jnp.sqrt(jnp.maximum(sign * (m - S) * (m + S), 0.0))
    return start + jnp.clip(sign * (jnp.arcsinh(y / b) - u), 0.0, length)


def _nodes(span: Span, cuts: Cuts) -> Nodes:
    pieces, rule = _pieces(span), rule_for(len(cuts.at))
    panels = rule.panels + len(pieces.S) + len(cuts.at)
    total = pieces.start[-1] + pieces.length[-1]
    places = _places(pieces, cuts.at) if len(cuts.at) else jnp.zeros(0)
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
    middle = begin + (panel - first + 0.5) * size
    of = jnp.minimum((middle[:, None] > pieces.start + pieces.length).sum(1), len(pieces.S) - 1)
    S, sign, b, u, start = _chosen((pieces.S, pieces.sign, pieces.b, pieces.u, pieces.start), of)
    geometry = Panels(S, sign, b, u + sign * (middle - start), size / 2, is_used)
    marks = jnp.concatenate([jnp.zeros(1), places, total[None]])
    begins, ends = marks[np.array(cuts.lower)], marks[np.array(cuts.upper)]
    owner = (begins[:, None] < middle) & (middle < ends[:, None]) & is_used
    S, sign, b, u, half = (value[:, None] for value in geometry[:-1])
    # Faster than jnp.sinh, and as good: near u = 0 nothing is that counts.
    exp = jnp.exp(u + sign * half * rule.nodes)
    y = b * jnp.abs(exp - 1 / exp) / 2 + _TINY
    step = sign * y**2
    released = span.released[:, None, None]
    return Nodes(
        s=S**2 + step,
        above=(S - span.pair) * (S + span.pair) + step,
        below=(released - S) * (released + S) - step,
        weights=y * b * (exp + 1 / exp) * half * rule.weights,
        owner=owner.astype(float),
        panels=geometry,
        rule=rule,
    )


def place_in_panels(y: Complex[Array, "poles panels"], panels: Panels) -> Complex[Array, "poles panels"]:
    """x of poles in panels, from their places in the variable y of each."""
    # arcsinh of a complex number: odd, and without a difference of close numbers where the real part is not negative.
    # In real arithmetic, which is faster than the complex logarithm.
    side = jnp.where(y.real < 0, -1.0, 1.0)
    t = y * (side / panels.b)
    w = t + root(1 + t**2)
    re, im = side * 0.5 * jnp.log(w.real**2 + w.imag**2), side * jnp.arctan2(w.imag, w.real)
    return jax.lax.complex(panels.sign * (re - panels.middle), panels.sign * im) / panels.half


def missed(
    z: Complex[Array, "poles panels"], nodes: np.ndarray, weights: Float[Array, "poles panels n"]
) -> tuple[Float[Array, "poles panels"], Float[Array, "poles panels"]]:
    """int dx/(x - z) over [-1, 1] less the sum over the nodes, real and imaginary part."""
    re, im = z.real, z.imag
    size = re**2 + im**2
    real = 0.5 * jnp.log(((1 - re) ** 2 + im**2) / ((1 + re) ** 2 + im**2))
    imaginary = jnp.arctan2(2 * im, size - 1)
    x = nodes - re[..., None]
    inverse = weights / (x**2 + im[..., None] ** 2)
    return real - (inverse * x).sum(-1), imaginary - im * inverse.sum(-1)
