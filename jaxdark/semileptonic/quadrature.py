"""Legendre-Q rule: integrals over a q2 panel of smooth numerators times 1, D and |D|^2, D = 1/(q2 - s0 + i g).

Enters: panel edges and the pole (s0, g). Leaves: weights at fixed Gauss-Legendre nodes, accurate to 1e-11 for any
g > 0 and any place of the pole. Section 10.2 of the semileptonic formulas.

The numerator is the polynomial through its values at 20 nodes. Where the pole is away from a panel, 32 nodes integrate
that polynomial times the propagator; where it is near, exact Legendre moments do, on the few panels it can be near to.
"""

from collections.abc import Callable
from functools import partial

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


def fine_pole_weights(
    lower: Float[Array, "*panels"], upper: Float[Array, "*panels"], s0: Float[Array, ""], g: Float[Array, ""]
) -> tuple[Float[Array, "*panels fine"], Float[Array, "*panels fine"]]:
    """Weights (Re W, V) at the fine nodes of the integrals over N D and N |D|^2 for polynomials N of degree 19.

    int N D ds = sum_j (Re W_j - i gamma V_j) N(s_j) and int N |D|^2 ds = sum_j V_j N(s_j)/half, with gamma = g/half and
    half = (upper - lower)/2.

    Args:
        lower, upper: edges of the panels, GeV^2. As NumPy arrays of one axis they tell how many panels a pole can be
            near to, which saves the exact moments of all others.
        s0, g: the pole at q2 = s0 - i g, GeV^2, g > 0.
    """
    half = (upper - lower) / 2
    known = isinstance(lower, np.ndarray) and lower.ndim == 1
    return _weights(_most_near(lower, upper) if known else None, (upper - s0) / half, (s0 - lower) / half, g / half)


def _most_near(lower: np.ndarray, upper: np.ndarray) -> int:
    """How many panels one pole can be near to.

    The ellipses about the panels mirror themselves in the real axis and are convex, so they overlap most on it.
    """
    reach = (_NEAR / 2 - 1) * (upper - lower) / 2
    first, last = lower - reach, upper + reach
    return max(int(((first <= edge) & (edge <= last)).sum()) for edge in (*first, *last))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _weights(most: int | None, up, um, gamma):
    """Weights from the distances of the pole to the ends of each panel, in half widths; at most `most` are near."""
    near = _is_near(up, um, gamma)
    W, V, _ = _far_weights(near, up, um, gamma)
    return _with_near(_near_weights, (W, V), most, near, up, um, gamma)


@_weights.defjvp
def _weights_jvp(most, primals, tangents):
    """The derivatives in closed form, or by the differentiated recursion on the near panels alone.

    As arrays that multiply the tangents: what autodiff would keep of each step of the recursion costs three times more.
    """
    up, um, gamma = primals
    near = _is_near(up, um, gamma)
    W, V, distance = _far_weights(near, up, um, gamma)
    # With V = w/(d^2 + gamma^2): d/dx0 = -d/dd.
    slope = 2 * V**2 / FINE_WEIGHTS
    of_gamma = -gamma[..., None] * slope
    far = (W, V, distance**2 * slope - V, distance * slope, distance * of_gamma, of_gamma)
    W, V, W_x, V_x, W_gamma, V_gamma = _with_near(_near_weights_and_slopes, far, most, near, up, um, gamma)
    x_dot, gamma_dot = (tangents[1] - tangents[0])[..., None] / 2, tangents[2][..., None]
    return (W, V), (W_x * x_dot + W_gamma * gamma_dot, V_x * x_dot + V_gamma * gamma_dot)


def _is_near(up, um, gamma):
    return jnp.sqrt(up**2 + gamma**2) + jnp.sqrt(um**2 + gamma**2) <= _NEAR


def _far_weights(near, up, um, gamma):
    """Weights and distances to the nodes; harmless values where the panel is near."""
    distance = FINE_NODES - ((um - up) / 2)[..., None]
    V = FINE_WEIGHTS / jnp.where(near[..., None], 1.0, distance**2 + gamma[..., None] ** 2)
    return distance * V, V, distance


def _with_near(exact: Callable, far: tuple, most: int | None, near, up, um, gamma):
    """The arrays `far` with those that `exact` gives on the near panels in their place."""
    if most is None or most >= near.size:
        # Each branch sees arguments at which it is harmless wherever the other one is taken.
        values = exact(*(jnp.where(near, value, 1.0) for value in (up, um, gamma)))
        return tuple(jnp.where(near[..., None], x, y) for x, y in zip(values, far, strict=True))
    # The k-th of the near panels, as a mask over the panels.
    chosen = near & (jnp.cumsum(near) == np.arange(1, most + 1)[:, None])
    picked = (jnp.where(chosen, value, 0.0).sum(axis=1) for value in (up, um, gamma))
    values = exact(*(jnp.where(chosen.any(axis=1), value, 1.0) for value in picked))
    for k in range(most):
        far = tuple(jnp.where(chosen[k, :, None], x[k], y) for x, y in zip(values, far, strict=True))
    return far


def _near_weights(up, um, gamma):
    return tuple(jnp.moveaxis(M, 0, -1) @ _MOMENTS_TO_FINE.T for M in _moments(up, um, gamma))


def _near_weights_and_slopes(up, um, gamma):
    """Weights and their derivatives by x0 = (um - up)/2 and by gamma."""
    zero, one = jnp.zeros_like(up), jnp.ones_like(up)
    directions = (jnp.stack([-one, zero]), jnp.stack([one, zero]), jnp.stack([zero, one]))
    at = lambda *direction: jax.jvp(_near_weights, (up, um, gamma), direction)  # noqa: E731
    (W, V), (dW, dV) = jax.vmap(at, out_axes=(None, 0))(*directions)
    return W, V, dW[0], dV[0], dW[1], dV[1]


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


def pole_weights(lower, upper, s0, g):
    """Weights (Re W, V) at the 20 nodes, for numerators that are not tabulated; see `fine_pole_weights`."""
    return tuple(weights @ INTERPOLATION for weights in fine_pole_weights(lower, upper, s0, g))
