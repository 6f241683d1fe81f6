"""Many small least-squares problems at once: damped Gauss-Newton steps on the unit cube of prior quantiles.

Enters: standard-normal deviations as a function of u, and starts. Leaves: minima with the gradient norm that judges
them. The search runs in angles y with u = sin^2 y: they are unconstrained, and a minimum on an edge of the cube is an
ordinary one in y, at a finite place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdark.inference.importance import batched

TOLERANCE = 1e-4
"""Gradient norm, see `Minima`, up to which a descent has converged."""
_BLOCK, _BATCH = 5, 64
_LARGEST_STEP = 0.3
_ROUNDING = 1e-10
_INSIDE, _TINY = 1e-4, 1e-300
_NEAR_EDGE, _OFF_EDGE = 1e-6, 1e-2
"""In u: where steps in y are too short or too long, and the longest step that leaves."""


class Minima(NamedTuple):
    """Where descents ended, one entry per start.

    Attributes:
        u: prior quantiles, (n, d).
        chi2: sum of squared deviations there, (n,).
        gradient_norm: |g| in the metric 1/(1 + H), with g_i = d(chi2/2)/du_i times the room left in the direction of
            descent and H the curvature J^T J in the same units, (n,). It is at most the distance to the minimum in
            standard deviations, and at most what chi2/2 could gain to first order within the prior.
        steps: evaluations of deviations and Jacobian until it converged or was given up, (n,).
    """

    u: Float[np.ndarray, "n d"]
    chi2: Float[np.ndarray, " n"]
    gradient_norm: Float[np.ndarray, " n"]
    steps: Float[np.ndarray, " n"]

    @property
    def converged(self) -> Float[np.ndarray, " n"]:
        """Whether the gradient norm is below the tolerance."""
        return self.gradient_norm < TOLERANCE

    @property
    def best(self) -> Float[np.ndarray, " d"]:
        """Prior quantiles of the smallest chi2."""
        return self.u[np.argmin(self.chi2)]


class _State(NamedTuple):
    """Best point so far with value, gradient and curvature there; what the last step was expected to gain."""

    params: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    curvature: Float[Array, "d d"]
    damping: Float[Array, ""]
    expected: Float[Array, ""]


def levenberg_marquardt(initial_damping: float = 1e-2) -> optax.GradientTransformationExtraArgs:
    """Damped Newton steps as a transformation of gradients; `update` also wants `value` and `curvature`.

    A step that does not lower the value is taken back and tried again, shorter.

    Args:
        initial_damping: relative to the diagonal of the curvature.
    """

    def init(params: Float[Array, " d"]) -> _State:
        zero, d = jnp.zeros_like(params), len(params)
        return _State(params, jnp.array(jnp.inf), zero, jnp.eye(d), jnp.array(initial_damping), jnp.array(1.0))

    def update(gradient, state: _State, params, *, value, curvature, **_):
        better = value < state.value + _ROUNDING
        gain = (state.value - value) / state.expected
        factor = jnp.where(better, jnp.where(gain > 0.75, 0.2, jnp.where(gain < 0.25, 3.0, 1.0)), 4.0)
        here = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), (params, value, gradient, curvature), state[:4]
        )
        damping = jnp.clip(state.damping * factor, 1e-9, 1e6)
        best, _, slope, curved = here
        damped = curved + jnp.diag(damping * (jnp.diag(curved) + 1e-3) + 1e-9)
        step = -jax.scipy.linalg.solve(damped, slope, assume_a="pos")
        step *= jnp.minimum(1.0, _LARGEST_STEP / (jnp.max(jnp.abs(step)) + _TINY))
        expected = jnp.maximum(-step @ (slope + 0.5 * curved @ step), _TINY)
        return best + step - params, _State(*here, damping, expected)

    return optax.GradientTransformationExtraArgs(init, update)


class LeastSquares:
    """Descents of one family of problems, compiled once for all starts and all problems.

    Args:
        deviations: (shared, own, u) -> vector; `shared` is the same for all descents, `own` belongs to each.
    """

    def __init__(self, deviations: Callable[[Any, Any, Float[Array, " d"]], Float[Array, " n"]]):
        self._deviations = deviations
        self._optimiser = levenberg_marquardt()
        self._advance = batched(self._block, batch=_BATCH)

    def _model(self, shared, own, y: Float[Array, " d"]):
        """Half of chi2 with gradient and curvature in y; gradient and J^T J in u."""

        def twice(u):
            value = self._deviations(shared, own, u)
            return value, value

        u, slope = jnp.sin(y) ** 2, jnp.sin(2 * y)
        J, values = jax.jacfwd(twice, has_aux=True)(u)
        in_u = J.T @ values
        # The curvature of the map itself is known; where it is negative Newton steps would climb.
        bend = jnp.maximum(in_u * 2 * jnp.cos(2 * y), 0.0)
        curvature = slope[:, None] * (J.T @ J) * slope + jnp.diag(bend)
        return 0.5 * values @ values, slope * in_u, curvature, (in_u, J.T @ J)

    def _block(self, shared, point):
        """Some steps of one descent; point is (y, state, gradient and J^T J in u of the best, own)."""
        own = point[-1]

        def step(carry, _):
            y, state, best_in_u = carry
            value, gradient, curvature, in_u = self._model(shared, own, y)
            better = value < state.value + _ROUNDING
            best_in_u = jax.tree.map(lambda new, old: jnp.where(better, new, old), in_u, best_in_u)
            change, state = self._optimiser.update(gradient, state, y, value=value, curvature=curvature)
            y = _off_edges(optax.apply_updates(y, change), state, *best_in_u)
            return (y, state, best_in_u), None

        (y, state, in_u), _ = jax.lax.scan(step, point[:-1], None, length=_BLOCK)
        u = jnp.sin(state.params) ** 2
        return (y, state, in_u), {"u": u, "chi2": 2 * state.value, "gradient_norm": _norm(u, *in_u)}

    def __call__(
        self, shared, starts: Float[np.ndarray, "n d"], own, *, steps: int = 200, tolerance: float = TOLERANCE
    ) -> Minima:
        """Descend from starts on the unit cube.

        Args:
            shared: what all descents have in common.
            starts: prior quantiles.
            own: what belongs to each, a pytree of arrays (n, ...).
            steps: evaluations after which a descent is given up.
            tolerance: gradient norm at which it ends.
        """
        n = len(starts)
        y = np.arcsin(np.sqrt(np.clip(starts, _INSIDE, 1 - _INSIDE)))
        carry = (
            y,
            jax.device_get(jax.vmap(self._optimiser.init)(y)),
            (np.zeros_like(y), np.zeros((*y.shape, y.shape[1]))),
        )
        found = Minima(np.array(starts, float), np.full(n, np.inf), np.full(n, np.inf), np.zeros(n, int))
        left = np.arange(n)
        for _ in range(-(-steps // _BLOCK)):
            carry, reached = self._advance(shared, (*carry, own))
            for name, values in reached.items():
                getattr(found, name)[left] = values
            found.steps[left] += _BLOCK
            on = ~(reached["gradient_norm"] < tolerance)
            left, carry, own = left[on], *jax.tree.map(lambda a, on=on: a[on], (carry, own))
            if len(left) == 0:
                break
        return found


def _off_edges(
    y: Float[Array, " d"], state: _State, gradient: Float[Array, " d"], gram: Float[Array, "d d"]
) -> Float[Array, " d"]:
    """The next point, with coordinates taken off an edge of the cube that does not hold them.

    At an edge du/dy = 0, so that a step in y, however large the slope in u, goes nowhere or, very near, much too far. A
    coordinate that would take a longer damped Newton step of its own in u than it is away from the edge takes that one.

    Args:
        y: the next point.
        state: of the optimiser, with the best point.
        gradient: of chi2/2 in u at the best point.
        gram: J^T J in u there.
    """
    u = jnp.sin(state.params) ** 2
    low, room = u < 0.5, jnp.minimum(u, 1 - u)
    inwards = jnp.where(low, -gradient, gradient)
    curvature = jnp.diag(gram)
    step = inwards / (curvature + state.damping * (curvature + 1e-3) + _TINY)
    off = jnp.arcsin(jnp.sqrt(jnp.clip(room + step, 0.0, _OFF_EDGE)))
    return jnp.where((room < _NEAR_EDGE) & (step > room), jnp.where(low, off, jnp.pi / 2 - off), y)


def _norm(u: Float[Array, " d"], gradient: Float[Array, " d"], gram: Float[Array, "d d"]) -> Float[Array, ""]:
    """Gradient norm of `Minima`."""
    room = jnp.where(gradient > 0, u, 1 - u)
    scaled, curvature = room * gradient, room[:, None] * gram * room
    return jnp.sqrt(scaled @ jax.scipy.linalg.solve(jnp.eye(len(u)) + curvature, scaled, assume_a="pos"))
