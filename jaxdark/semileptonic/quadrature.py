"""Legendre-Q rule: integrals over a q2 panel of smooth numerators times 1, D and |D|^2, D = 1/(q2 - s0 + i g).

Inputs: panel edges and the pole (s0, g). Outputs: weights at fixed Gauss-Legendre nodes, accurate to 1e-11 for any
g > 0 and any place of the pole; to 2e-10 in panels bent about an end of the spectrum, where the numerator is no
polynomial in q2 but one in the root of the distance from that end. Section 10.2 of the semileptonic formulas.

The numerator is the polynomial through its values at 20 nodes. Where the pole is away from a panel, 32 nodes integrate
that polynomial times the propagator; where it is near, exact Legendre moments do, on the few panels it can be near to.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

N_NODES = 20
NODES, WEIGHTS = np.polynomial.legendre.leggauss(N_NODES)
FINE_NODES, FINE_WEIGHTS = np.polynomial.legendre.leggauss(32)

LEGENDRE_FINE = np.polynomial.legendre.legvander(FINE_NODES, N_NODES - 1)
"""P_l at the fine nodes, shape (32, 20)."""
_ORDERS = np.arange(N_NODES)
# Row j, column l: w_j (2l+1)/2 P_l(x_j), so that sum_l _MOMENTS_TO_FINE[j, l] M_l is the weight at node j.
_MOMENTS_TO_FINE = FINE_WEIGHTS[:, None] * (_ORDERS + 0.5) * LEGENDRE_FINE
INTERPOLATION = LEGENDRE_FINE @ (
    (_ORDERS + 0.5)[:, None] * np.polynomial.legendre.legvander(NODES, N_NODES - 1).T * WEIGHTS
)
"""Values at the fine nodes of the polynomial through values at the nodes, shape (32, 20)."""

# Sum of the distances from the pole to the two ends, in half widths, of the Bernstein ellipse rho = 1.8: beyond it the
# fine nodes are good to rho^-(64 - l) in the l-th moment, within it the forward recursion loses rho^N_NODES eps.
_NEAR = 1.8 + 1 / 1.8
# The same for rho = 2: a pole nearer than that to the mirror image of a bent panel takes the moments of both at once.
_NEAR_BOTH = 2.5

# Whether each panel's numerator is a polynomial in s itself (0) or in u of s = end +- u^2, and how much of the parabola
# the panel takes up: half its length in u over the u of its middle, with a minus sign where the parabola ends it. So 1
# begins at a threshold, -1 ends at an end point.
Bend = Float[np.ndarray, "*panels"] | Float[Array, "*panels"]


def bend(lower: np.ndarray, upper: np.ndarray, end: float) -> np.ndarray:
    """Bend of panels whose numerators are polynomials in the square root of the distance from `end`, GeV^2.

    Such are the rates: both the velocity of the leptons and the momentum of the meson are square roots, of the distance
    from threshold and from the end point. All panels lie on one side of the end.
    """
    near, far = (np.sqrt(np.abs(edges - end)) for edges in ((lower, upper) if lower.min() >= end else (upper, lower)))
    return (far - near) / (far + near) * (1 if lower.min() >= end else -1)


def in_panels(
    x: Float[np.ndarray, " nodes"], weights: Float[np.ndarray, " nodes"], bend: Bend
) -> tuple[Float[Array, "*panels nodes"], Float[Array, "*panels nodes"]]:
    """Nodes and weights of a rule on [-1, 1] as they lie in bent panels, in half widths, shape (*panels, nodes)."""
    bend = bend[..., None]
    return x + bend * (x**2 - 1) / 2, weights * (1 + bend * x)


def fine_pole_weights(
    lower: Float[Array, "*panels"],
    upper: Float[Array, "*panels"],
    s0: Float[Array, "*#panels"],
    g: Float[Array, "*#panels"],
    bend: Bend | None = None,
    n_poles: int = 1,
) -> tuple[Float[Array, "*panels fine"], Float[Array, "*panels fine"]]:
    """Weights (Re W, V) at the fine nodes of the integrals over N D and N |D|^2 for polynomials N of degree 19.

    int N D ds = sum_j (Re W_j - i gamma V_j) N(s_j) and int N |D|^2 ds = sum_j V_j N(s_j)/half, with gamma = g/half and
    half = (upper - lower)/2.

    Args:
        lower, upper: edges of the panels, GeV^2. As NumPy arrays of one axis they tell how many panels a pole can be
            near to, which saves the exact moments of all others.
        s0, g: the pole at q2 = s0 - i g, GeV^2, g > 0; one for all panels, or one for each.
        bend: of the panels, see `bend`; None if no panel is bent.
        n_poles: how many different poles there are among those of the panels.
    """
    half = (upper - lower) / 2
    most, ends = None, ()
    if isinstance(lower, np.ndarray) and lower.ndim == 1 and (bend is None or isinstance(bend, np.ndarray)):
        most = n_poles * _most_near(lower, upper, bend)
        ends = () if bend is None else tuple(np.flatnonzero(_is_at_end(bend)).tolist())
    elif bend is not None:
        ends = tuple(range(len(bend)))
    return _weights(most, ends, (upper - s0) / half, (s0 - lower) / half, g / half, bend)


def _is_at_end(bend: np.ndarray) -> np.ndarray:
    """Whether a pole can be near to both the panel and its mirror image."""
    return 1 / np.maximum(np.abs(bend), 1e-9) - 1 < _NEAR_BOTH / 2 - 1


def _most_near(lower: np.ndarray, upper: np.ndarray, bend: np.ndarray | None = None) -> int:
    """How many panels one pole can be near to.

    The ellipses about straight panels mirror themselves in the real axis and are convex, so they overlap most on it. Of
    bent ones, which are ellipses in u, the range of the real part of s serves.
    """
    long, short = _NEAR / 2, np.sqrt((_NEAR / 2) ** 2 - 1)
    half = (upper - lower) / 2
    first, last = lower - (long - 1) * half, upper + (long - 1) * half
    if bend is not None:
        middle = 1 / np.where(bend == 0, 1.0, np.abs(bend))
        least, greatest = np.maximum(middle - long, 0.0) ** 2 - short**2, (middle + long) ** 2
        # u in units of half the panel's length in u, whose square is half |bend|/2; s relative to the nearer edge.
        unit, edge = half / (2 * middle), (middle - 1) ** 2
        inward, outward = (greatest - edge) * unit, (edge - least) * unit
        first = np.where(bend == 0, first, np.where(bend > 0, lower - outward, upper - inward))
        last = np.where(bend == 0, last, np.where(bend > 0, lower + inward, upper + outward))
    return max(int(((first <= edge) & (edge <= last)).sum()) for edge in (*first, *last))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _weights(most: int | None, ends: tuple[int, ...], up, um, gamma, bend):
    """Weights from the distances of the pole to the ends of each panel, in half widths.

    Args:
        most: how many panels can be near to the pole, None for all.
        ends: which panels may lie at the end of a parabola.
        up, um, gamma: distances.
        bend: None if no panel is bent.
    """
    near = _is_near(up, um, gamma, bend)
    W, V, _, _ = _far_weights(near, up, um, gamma, bend)
    weights = _with_near(_near_weights, (W, V), most, near, up, um, gamma, bend)
    return _with_both_near(_both_near_weights, weights, ends, up, um, gamma, bend)


@_weights.defjvp
def _weights_jvp(most, ends, primals, tangents):
    """The derivatives in closed form, or by the differentiated recursion on the near panels alone.

    As arrays that multiply the tangents: what autodiff would keep of each step of the recursion costs three times more.
    """
    up, um, gamma, bend = primals
    near = _is_near(up, um, gamma, bend)
    W, V, distance, weights = _far_weights(near, up, um, gamma, bend)
    # With V = w/(d^2 + gamma^2): d/dx0 = -d/dd.
    slope = 2 * V**2 / weights
    of_gamma = -gamma[..., None] * slope
    values = (W, V, distance**2 * slope - V, distance * slope, distance * of_gamma, of_gamma)
    values = _with_near(_with_slopes(_near_weights), values, most, near, up, um, gamma, bend)
    values = _with_both_near(_with_slopes(_both_near_weights), values, ends, up, um, gamma, bend)
    W, V, W_x, V_x, W_gamma, V_gamma = values
    x_dot, gamma_dot = (tangents[1] - tangents[0])[..., None] / 2, tangents[2][..., None]
    return (W, V), (W_x * x_dot + W_gamma * gamma_dot, V_x * x_dot + V_gamma * gamma_dot)


def _is_near(up, um, gamma, bend):
    if bend is not None:
        up, um, gamma = _own(up, um, gamma, bend)
    return jnp.sqrt(up**2 + gamma**2) + jnp.sqrt(um**2 + gamma**2) <= _NEAR


def _far_weights(near, up, um, gamma, bend):
    """Weights, distances to the nodes and the nodes' own weights; harmless values where the panel is near."""
    nodes, weights = (FINE_NODES, FINE_WEIGHTS) if bend is None else in_panels(FINE_NODES, FINE_WEIGHTS, bend)
    distance = nodes - ((um - up) / 2)[..., None]
    V = weights / jnp.where(near[..., None], 1.0, distance**2 + gamma[..., None] ** 2)
    return distance * V, V, distance, weights


def _with_near(exact: Callable, far: tuple, most: int | None, near, up, um, gamma, bend):
    """The arrays `far` with those that `exact` gives on the near panels in their place."""
    given = (up, um, gamma) if bend is None else (up, um, gamma, bend)
    if most is None or most >= near.size:
        # Each branch sees arguments at which it is harmless wherever the other one is taken.
        values = exact(*(jnp.where(near, value, 1.0) for value in given))
        return tuple(jnp.where(near[..., None], x, y) for x, y in zip(values, far, strict=True))
    # The k-th of the near panels, as a mask over the panels.
    chosen = near & (jnp.cumsum(near) == np.arange(1, most + 1)[:, None])
    picked = (jnp.where(chosen, value, 0.0).sum(axis=1) for value in given)
    values = exact(*(jnp.where(chosen.any(axis=1), value, 1.0) for value in picked))
    for k in range(most):
        far = tuple(jnp.where(chosen[k, :, None], x[k], y) for x, y in zip(values, far, strict=True))
    return far


def _with_both_near(exact: Callable, weights: tuple, ends: tuple[int, ...], up, um, gamma, bend):
    """The arrays with those that `exact` gives where a pole is near to a bent panel and to its mirror image."""
    if not ends:
        return weights
    place, panels = np.array(ends), up
    up, um, gamma, bend = (value[place] for value in (up, um, gamma, bend))
    straight = bend == 0
    pole = _seen(up, um, gamma, jnp.where(straight, 1.0, bend))
    k, x, y = pole.middle, pole.x, pole.y
    near = jnp.sqrt((k + 1 + x) ** 2 + y**2) + jnp.sqrt((k - 1 + x) ** 2 + y**2) <= _NEAR_BOTH
    near &= ~straight
    values = exact(*(jnp.where(near, value, 1.0) for value in (up, um, gamma, bend)))
    chosen = (np.arange(len(panels)) == place[:, None]) & near[:, None]
    for k in range(len(ends)):
        weights = tuple(jnp.where(chosen[k, :, None], v[k], w) for v, w in zip(values, weights, strict=True))
    return weights


class _Pole(NamedTuple):
    """The pole as a bent panel sees it in u, in units of half the panel's length, the end of the parabola at u = 0.

    Attributes:
        middle: u of the panel's middle.
        up, um: distances of the pole's real part to the ends of the panel, counted as for s.
        x, y: the pole at u = x - i y, both positive; its mirror image is at -x + i y.
    """

    middle: Float[Array, "*panels"]
    up: Float[Array, "*panels"]
    um: Float[Array, "*panels"]
    x: Float[Array, "*panels"]
    y: Float[Array, "*panels"]


def _seen(up, um, gamma, bend) -> _Pole:
    """Square root of the pole's distance from the end of the parabola; bend must not be 0."""
    forward, k = bend > 0, 1 / jnp.abs(bend)
    far, near = jnp.where(forward, up, um), jnp.where(forward, um, up)
    # u^2 at the pole is d - 2i k gamma.
    d, g = (k - 1) ** 2 + 2 * k * near, 2 * k * gamma
    above = d > 0
    # Not |d|, whose derivative JAX takes as 0 for a pole exactly at the end.
    larger = jnp.sqrt((jnp.where(above, d, -d) + jnp.sqrt(d**2 + g**2)) / 2)
    smaller = g / (2 * larger)
    x, y = jnp.where(above, larger, smaller), jnp.where(above, smaller, larger)
    # Of the squares, which keep all digits at the edges; beyond the end the pole is nowhere near to one.
    um = jnp.where(above, (2 * k * near + y**2) / (k - 1 + x), x - (k - 1))
    return _Pole(k, (2 * k * far - y**2) / (k + 1 + x), um, x, y)


def _own(up, um, gamma, bend):
    """Distances in the variable that the panel is straight in."""
    pole = _seen(up, um, gamma, jnp.where(bend == 0, 1.0, bend))
    pairs = ((up, pole.up), (um, pole.um), (gamma, pole.y))
    return tuple(jnp.where(bend == 0, *pair) for pair in pairs)


def _near_weights(up, um, gamma, bend=None):
    if bend is None:
        return _from_moments(_moments(up, um, gamma))
    W, V = _from_moments(_moments(*_own(up, um, gamma, bend)))
    straight = bend == 0
    pole = _seen(up, um, gamma, jnp.where(straight, 1.0, bend))
    # 2u du/(u^2 - z^2) = du/(u - z) + du/(u + z): the mirror image is away from the panel.
    from_image = (pole.middle + pole.x)[..., None] + FINE_NODES
    V_image = FINE_WEIGHTS / (from_image**2 + pole.y[..., None] ** 2)
    bent = W + from_image * V_image, (pole.middle / pole.x)[..., None] * (V - V_image)
    return tuple(jnp.where(straight[..., None], *pair) for pair in zip((W, V), _turned(*bent, bend), strict=True))


def _both_near_weights(up, um, gamma, bend):
    """The same for a pole near to a panel and its mirror image: sums and differences of their moments by recursion.

    With r, v the moments of the pole and r', v' those of its image, R = r + r', S = v + v', Q = (r - r')/2x and
    T = (v - v')/2x, which keep their digits when the two are close, as they are for a narrow pole beyond the end.
    """
    pole = _seen(up, um, gamma, bend)
    k, x, y = pole.middle, pole.x, pole.y
    far, near = (jnp.where(bend > 0, *pair) for pair in ((up, um), (um, up)))
    angles = (jnp.arctan2(2 * y, y**2 - a * b) for a, b in ((pole.up, pole.um), (k + 1 + x, -(k - 1 + x))))
    R = 0.5 * jnp.log((far**2 + gamma**2) / (near**2 + gamma**2))
    S = sum(angles) / y
    Q = _half_logarithm(k - 1, pole.um, pole) - _half_logarithm(k + 1, pole.up, pole)
    T = jnp.arctan2(2 * gamma, gamma**2 - near * far) / (2 * k * gamma)

    def after(now, before, l):
        R, S, Q, T = now
        a, b = (2 * l + 1) / (l + 1), l / (l + 1)
        new = (
            2 * x**2 * Q - k * R - y**2 * S,
            2 * x**2 * T - k * S + R,
            R / 2 - k * Q - y**2 * T,
            S / 2 - k * T + Q,
        )
        return tuple(a * n - b * o for n, o in zip(new, before, strict=True))

    def step(pairs, l):
        new = after(pairs[1], pairs[0], l)
        return (pairs[1], new), (new[0], new[3])

    first = (R, S, Q, T)
    R1, *rest = after(first, first, 0.0)
    second = (R1 + 4, *rest)
    _, (more_R, more_T) = jax.lax.scan(step, (first, second), np.arange(1.0, N_NODES - 1))
    W, V = _from_moments(
        tuple(jnp.concatenate([jnp.stack([first[i], second[i]]), more]) for i, more in ((0, more_R), (3, more_T)))
    )
    return _turned(W, 2 * k[..., None] * V, bend)


def _half_logarithm(u, distance, pole: _Pole):
    """ln(|u + z|/|u - z|)/2x at an end u of the panel, whose distance from the pole's real part is given."""
    x, y = pole.x, pole.y
    m = u**2 + x**2 + y**2
    q = 2 * u * x / m
    small = q < 0.1
    square = jnp.where(small, q, 0.0) ** 2
    series = sum(square**n / (2 * n + 1) for n in range(9))
    apart = jnp.where(small, 1.0, distance**2 + y**2)
    logarithm = jnp.log(jnp.where(small, 1.0, (u + x) ** 2 + y**2) / apart) / (4 * jnp.where(small, 1.0, x))
    return jnp.where(small, u / m * series, logarithm)


def _turned(W, V, bend):
    """Weights in u, counted from the end of the parabola, as weights in s: panels before an end point run backwards."""
    backward = (bend < 0)[..., None]
    return jnp.where(backward, -W[..., ::-1], W), jnp.where(backward, V[..., ::-1], V)


def _from_moments(moments):
    return tuple(jnp.moveaxis(M, 0, -1) @ _MOMENTS_TO_FINE.T for M in moments)


def _with_slopes(exact: Callable) -> Callable:
    """The weights and their derivatives by x0 = (um - up)/2 and by gamma."""

    def weights_and_slopes(up, um, gamma, *bend):
        zero, one = jnp.zeros_like(up), jnp.ones_like(up)
        directions = (jnp.stack([-one, zero]), jnp.stack([one, zero]), jnp.stack([zero, one]))
        at = lambda *direction: jax.jvp(lambda *p: exact(*p, *bend), (up, um, gamma), direction)  # noqa: E731
        (W, V), (dW, dV) = jax.vmap(at, out_axes=(None, 0))(*directions)
        return W, V, dW[0], dV[0], dW[1], dV[1]

    return weights_and_slopes


@jax.custom_jvp
def _moments(up, um, gamma):
    """r_l = Re int P_l/(x - z) dx and v_l = int P_l/|x - z|^2 dx over [-1, 1], z = x0 - i gamma, l on the leading axis.

    By forward recursion; started from (up, um), which keeps all digits when the pole sits on an edge.
    """
    x0, gamma2 = (um - up) / 2, gamma**2
    r0 = 0.5 * jnp.log((up**2 + gamma2) / (um**2 + gamma2))
    v0 = jnp.arctan2(2 * gamma, gamma2 - up * um) / gamma
    r1, v1 = 2 + x0 * r0 - gamma2 * v0, x0 * v0 + r0

    def step(pairs, l):
        (r_before, v_before), (r, v) = pairs
        a, b = (2 * l + 1) / (l + 1), l / (l + 1)
        after = a * (x0 * r - gamma2 * v) - b * r_before, a * (x0 * v + r) - b * v_before
        return ((r, v), after), after

    _, (r, v) = jax.lax.scan(step, ((r0, v0), (r1, v1)), np.arange(1.0, N_NODES - 1))
    return jnp.concatenate([jnp.stack([r0, r1]), r]), jnp.concatenate([jnp.stack([v0, v1]), v])


@_moments.defjvp
def _moments_jvp(primals, tangents):
    """Slopes of w_l = r_l - i gamma v_l, -2 Q_l(z), which is analytic in z: (z^2 - 1) w_l' = l (z w_l - w_(l-1)).

    So dw/dx0 = w' and dw/dgamma = -i w'. Nothing is lost at z = +-1, where the quotient itself is that large.
    """
    up, um, gamma = primals
    r, v = _moments(up, um, gamma)
    x0, l = (um - up) / 2, np.arange(1.0, N_NODES).reshape(-1, *[1] * jnp.ndim(up))
    # z^2 - 1 = real - i gamma imaginary
    real, imaginary = -up * um - gamma**2, um - up
    size = (up**2 + gamma**2) * (um**2 + gamma**2)
    a = l * (x0 * r[1:] - gamma**2 * v[1:] - r[:-1])
    b = l * (x0 * v[1:] + r[1:] - v[:-1])
    r_x = jnp.concatenate([2 * real[None], a * real + gamma**2 * b * imaginary]) / size
    v_x = jnp.concatenate([-2 * imaginary[None], b * real - a * imaginary]) / size
    x_dot, gamma_dot = (tangents[1] - tangents[0]) / 2, tangents[2]
    return (r, v), (r_x * x_dot - gamma * v_x * gamma_dot, v_x * x_dot + (r_x - v) / gamma * gamma_dot)


def weights_at_fine_nodes(
    weights: Float[Array, "kinds n"],
    s: Float[Array, " n"],
    lower: Float[Array, ""],
    upper: Float[Array, ""],
    bend: Float[Array, ""],
) -> Float[Array, "kinds fine"]:
    """Weights at the fine nodes of one panel that do to its polynomials what weights at any s inside it do.

    Args:
        weights: of several integrals at the nodes s.
        s: nodes, GeV^2.
        lower, upper, bend: of the panel.
    """
    half = (upper - lower) / 2
    c = 1 - bend / 2 - (s - lower) / half
    # Root of bend/2 x^2 + x + c = 0 that is -c for a straight panel.
    x = -2 * c / (1 + jnp.sqrt(jnp.maximum(1 - 2 * bend * c, 0.0)))
    legendre = [jnp.ones_like(x), x]
    for l in range(1, N_NODES - 1):
        legendre.append(((2 * l + 1) * x * legendre[-1] - l * legendre[-2]) / (l + 1))
    # The orders last: as a transposed matrix the product takes four times as long.
    return (weights @ jnp.stack(legendre, axis=-1)) @ _MOMENTS_TO_FINE.T


def pole_weights(lower, upper, s0, g, bend=None):
    """Weights (Re W, V) at the 20 nodes, for numerators that are not tabulated; see `fine_pole_weights`."""
    return tuple(weights @ INTERPOLATION for weights in fine_pole_weights(lower, upper, s0, g, bend))
