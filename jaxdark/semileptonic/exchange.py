"""Integration weights of a resonance over q2 panels: what multiplies smooth numerators of the amplitude.

Inputs: a `Resonance` and panels. Outputs: weights at the fine nodes of each panel, for the interference with the rest
of the amplitude and for the square, of the vertex and of the dipole.

The exchange of a vector is h(s) D(s) times an amplitude that is a polynomial N(s) on a panel, with D = 1/(s - s0 + i g)
and a smooth complex h: the vertex times what `Propagator.remainder` leaves of the propagator. So the weights of D, of
the rule in `quadrature`, are multiplied by h at the nodes. h has cusps at thresholds: the panels around one are cut
there and bent about it, and what they give for the Legendre polynomials of the whole panel makes its weights.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from jaxdark.models.wilson import Resonance
from jaxdark.semileptonic.quadrature import (
    INTERPOLATION,
    NODES,
    WEIGHTS,
    Bend,
    fine_pole_weights,
    in_panels,
    weights_at_fine_nodes,
)

# Bernstein ellipse within which a cusp is too near to a panel.
_RHO = 3.0


class Weights(NamedTuple):
    """Weights at the fine nodes, shape (panels, fine); those of the dipole are None where there is none.

    With N real, int N h D ds = sum_j (re_j + i im_j) N(s_j) and int N |h D|^2 ds = sum_j square_j N(s_j)/half.

    Attributes:
        re, im: of the interference of the vertex.
        square: of its square.
        dipole_re, dipole_im, dipole_square: the same of the dipole.
        cross_re, cross_im: of h times the conjugate of the dipole's.
    """

    re: Float[Array, "panels fine"]
    im: Float[Array, "panels fine"]
    square: Float[Array, "panels fine"]
    dipole_re: Float[Array, "panels fine"] | None = None
    dipole_im: Float[Array, "panels fine"] | None = None
    dipole_square: Float[Array, "panels fine"] | None = None
    cross_re: Float[Array, "panels fine"] | None = None
    cross_im: Float[Array, "panels fine"] | None = None


def exchange_weights(resonance: Resonance, lower: np.ndarray, upper: np.ndarray, bend: np.ndarray) -> Weights:
    """Weights of the resonance on panels, which are plain NumPy: see `quadrature.fine_pole_weights`.

    A panel is cut at one threshold: of two different ones within its reach the later one counts.
    """
    known = not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(resonance.thresholds))
    thresholds = np.unique(np.asarray(resonance.thresholds)) if known else jnp.asarray(resonance.thresholds)
    low, high = threshold_reach(lower, upper, bend)
    pole, n_poles = _poles(resonance, thresholds, (lower + upper) / 2)
    weights = _on_panels(resonance, lower, upper, bend, pole, n_poles)
    for threshold in thresholds:
        count = int(((low <= threshold) & (threshold <= high)).sum()) if known else _most(low, high)
        if count:
            weights = _around(threshold, count, resonance, weights, (low, high), lower, upper, bend)
    return weights


def threshold_reach(
    lower: Float[np.ndarray, " panels"], upper: Float[np.ndarray, " panels"], bend: Bend
) -> tuple[Float[np.ndarray, " panels"], Float[np.ndarray, " panels"]]:
    """Least and greatest s (GeV^2) at which a square-root cusp is too near to a panel for the polynomial at its nodes.

    Those are the points within the Bernstein ellipse rho = 3 in the panel's own variable; beyond it the 20 orders leave
    3^-20 of the cusp.
    """
    long, short = (_RHO + 1 / _RHO) / 2, (_RHO - 1 / _RHO) / 2
    middle, half = (lower + upper) / 2, (upper - lower) / 2

    def s_at(x, minus_r2=0.0):
        """s at x + i r, of points on the real axis of s."""
        return middle + half * (x + bend * (x**2 + minus_r2 - 1) / 2)

    # The parabola ends at x = -1/bend, and s beyond its end is at -1/bend +- i r.
    end = -1 / np.where(bend == 0, 1e-9, bend)
    r2 = short**2 * np.clip(1 - (end / long) ** 2, 0.0, None)
    ends = [np.where((0 < end * side) & (end * side < long), s_at(end, -r2), s_at(side * long)) for side in (-1, 1)]
    return np.minimum(*ends), np.maximum(*ends)


def _poles(resonance: Resonance, thresholds, middle: np.ndarray):
    """s0 and g of the pole for every panel, and how many different ones there are: they change at thresholds alone."""
    below = (thresholds[:, None] < middle).sum(0) if len(thresholds) else np.zeros(len(middle), int)
    if isinstance(below, np.ndarray):
        _, first, index = np.unique(below, return_index=True, return_inverse=True)
        representatives = middle[first]
    else:
        # Of the panels with k thresholds below them the last one; any panel stands in where there is none.
        counts = np.arange(len(thresholds) + 1)[:, None]
        representatives, index = jnp.where(below == counts, middle, middle[0]).max(1), below
    poles = (jnp.broadcast_to(p, representatives.shape) for p in resonance.propagator.pole(representatives))
    # A product, as the gradient of what is picked by an index is a slow scattered sum.
    mine = jnp.asarray(index[:, None] == np.arange(len(representatives)), float)
    return tuple(mine @ p for p in poles), len(representatives)


def _most(low: np.ndarray, high: np.ndarray) -> int:
    """How many of the closed intervals overlap at most."""
    return max(int(((low <= edge) & (edge <= high)).sum()) for edge in (*low, *high))


def _on_panels(resonance: Resonance, lower, upper, bend: Bend, pole, n_poles: int) -> Weights:
    """Weights on panels on which h is smooth, with the pole of each."""
    half = (upper - lower) / 2
    # h at the nodes that N has; the product with a matrix also keeps the compiler from computing h once per use.
    x, _ = in_panels(NODES, WEIGHTS, bend)
    s = (lower + half)[..., None] + half[..., None] * x
    W, V = fine_pole_weights(lower, upper, *pole, bend, n_poles)
    # In real arithmetic throughout, which is several times faster. D = d_re + i d_im.
    d_re, d_im = W, -(pole[1] / half)[..., None] * V
    k_re, k_im = resonance.propagator.remainder(s, *(jnp.broadcast_to(p, half.shape)[..., None] for p in pole))
    h_re, h_im = k_re, k_im
    if resonance.vertex is not None:
        F = resonance.vertex(s)
        h_re, h_im = _times(k_re, k_im, jnp.real(F), jnp.imag(F))
    parts = (h_re, h_im, k_re, k_im)
    h_re, h_im, k_re, k_im = (part if np.ndim(part) == 0 else part @ INTERPOLATION.T for part in parts)
    weights = Weights(*_times(h_re, h_im, d_re, d_im), V * (h_re**2 + h_im**2))
    if resonance.dipole is None:
        return weights
    k_re, k_im = resonance.dipole * k_re, resonance.dipole * k_im
    dipole_re, dipole_im = _times(k_re, k_im, d_re, d_im)
    cross_re, cross_im = _times(h_re, h_im, k_re, -k_im)
    return weights._replace(
        dipole_re=dipole_re,
        dipole_im=dipole_im,
        dipole_square=V * (k_re**2 + k_im**2),
        cross_re=V * cross_re,
        cross_im=V * cross_im,
    )


def _times(a, b, c, d):
    """Real and imaginary part of (a + i b) (c + i d)."""
    return a * c - b * d, a * d + b * c


def _around(threshold, count: int, resonance: Resonance, weights: Weights, reach, lower, upper, bend) -> Weights:
    """The weights with those of the panels within reach of a threshold in their place."""
    near = (reach[0] <= threshold) & (threshold <= reach[1])
    # The k-th of the panels within reach, as a mask over the panels.
    chosen = near & (jnp.cumsum(near) == np.arange(1, count + 1)[:, None])
    there = chosen.any(axis=1)
    picked = (jnp.where(there, jnp.where(chosen, values, 0.0).sum(1), values[0]) for values in (lower, upper, bend))
    exact = jax.vmap(partial(_cut_panel, resonance, threshold))(*picked)

    def replaced(old, new):
        for k in range(count):
            old = jnp.where((chosen[k] & there[k])[:, None], new[k], old)
        return old

    return jax.tree.map(replaced, weights, exact)


def _cut_panel(resonance: Resonance, threshold, lower, upper, bend) -> Weights:
    """Weights of one panel that is cut at a threshold; the cuts are fixed to JAX, as the nodes of all panels are."""
    low, high, centre = _cuts(*stop_gradient((threshold, lower, upper, bend)))
    filled = high > low
    # An empty part gets nodes between which there is nothing to divide by, and no weight.
    low, high = jnp.where(filled, low, lower), jnp.where(filled, high, upper)
    parts = _bend_about(low, high, jnp.where(filled, centre, 2 * lower - upper))
    pole = resonance.propagator.pole((low + high) / 2)
    on_parts = _on_panels(resonance, low, high, parts, tuple(jnp.broadcast_to(p, low.shape) for p in pole), 1)
    half, part_half = (upper - lower) / 2, (high - low) / 2
    # Polynomials are smooth on the parts as well: their values at the 20 nodes are enough.
    x, _ = in_panels(NODES, WEIGHTS, parts)
    s = (low + part_half)[:, None] + part_half[:, None] * x
    given = {name: values for name, values in on_parts._asdict().items() if values is not None}
    # The squares are in units of each part's own half width.
    linear = ("re", "im", "dipole_re", "dipole_im")
    scale = jnp.stack([jnp.ones_like(low) if name in linear else half / part_half for name in given])
    values = (jnp.stack(list(given.values())) @ INTERPOLATION) * jnp.where(filled, scale, 0.0)[..., None]
    whole = weights_at_fine_nodes(values.reshape(len(given), -1), s.ravel(), lower, upper, bend)
    return Weights(**dict(zip(given, whole, strict=True)))


def _cuts(threshold, lower, upper, bend):
    """Lower and upper edges of the parts of a panel and the point that each one is bent about, shape (4,).

    Let e be where the panel's own parabola ends and d how far the threshold is from it. Parts between e and half way to
    the threshold are bent about e, those up to 3 d from the threshold on either side about the threshold: in each of
    these variables the other point is outside of the Bernstein ellipse rho = 3. A threshold beyond e, where no decay is
    possible, cuts nothing off: there parts that grow with the distance from e do.
    """
    inverse = 1 / jnp.where(bend == 0, 1.0, bend)
    # In half widths the end lies at x = -1/bend, where s is least or greatest.
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    end = jnp.where(bend == 0, -1e6, middle - half * (inverse + bend) / 2)
    forward, distance = bend >= 0, jnp.abs(threshold - end)
    direction = jnp.where(forward, 1.0, -1.0)
    beyond = (threshold - end) * direction < 0
    inner = end + direction * distance * jnp.where(beyond, np.array([3.0, 36.0, 432.0]), np.array([0.5, 1.0, 4.0]))
    centres = jnp.where(beyond, end, jnp.stack([end, threshold, threshold, threshold]))
    inner = jnp.clip(inner, lower, upper)
    edges = jnp.concatenate([jnp.where(forward, lower, upper)[None], inner, jnp.where(forward, upper, lower)[None]])
    low, high = jnp.minimum(edges[:-1], edges[1:]), jnp.maximum(edges[:-1], edges[1:])
    return low, high, centres


def _bend_about(lower, upper, centre) -> Float[Array, " parts"]:
    """As `quadrature.bend`, of panels each of which lies on one side of its own centre."""
    above = lower + upper >= 2 * centre
    near, far = (jnp.sqrt(jnp.maximum(d, 0.0)) for d in _distances(lower, upper, centre, above))
    return (far - near) / (far + near) * jnp.where(above, 1.0, -1.0)


def _distances(lower, upper, centre, above):
    below = (centre - upper, centre - lower)
    return tuple(jnp.where(above, a, b) for a, b in zip((lower - centre, upper - centre), below, strict=True))
