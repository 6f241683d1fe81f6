"""Many small least-squares problems at once: damped Gauss-Newton steps on the unit cube of prior quantiles.

Inputs: whitened residuals as a function of u, and starts. Outputs: minima with the gradient norm that judges
them. Steps are straight in u and end at the edges of the cube: the long valleys of this problem, along which a product
of couplings stays the same, are straight lines in the logarithms, and any map of u to the whole line would bend them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched

TOLERANCE = 1e-4
"""Gradient norm, see `Solutions`, up to which a descent has converged."""
_BLOCK, _BATCH = 5, 64
_LARGEST_STEP = 0.3
_ROUNDING = 1e-10
_TINY = 1e-300


class Solutions(NamedTuple):
    """Where descents ended, one entry per start.

    Attributes:
        u: prior quantiles, (n, d).
        chi2: sum of squared residuals there, (n,).
        gradient_norm: |g| in the metric 1/(1 + H), with g_i = d(chi2/2)/du_i times the room left in the direction of
            descent and H the curvature J^T J in the same units, (n,). It is at most the distance to the minimum in
            standard deviations, and at most what chi2/2 could gain to first order within the prior.
        steps: evaluations of residuals and Jacobian until it converged or was given up, (n,).
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
    """Best point so far with value, gradient and curvature there; the rest of the Hessian, as far as steps tell;
    damping; what the last step was expected to gain.
    """

    params: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    curvature: Float[Array, "d d"]
    second_order: Float[Array, "d d"]
    damping: Float[Array, ""]
    expected: Float[Array, ""]


def levenberg_marquardt(initial_damping: float = 1e-2) -> optax.GradientTransformationExtraArgs:
    """Damped Newton steps within the unit cube as a transformation of gradients; `update` also wants `value` and
    `curvature`.

    A step that does not lower the value is taken back and tried again, shorter.

    Args:
        initial_damping: relative to the diagonal of the curvature.
    """

    def init(params: Float[Array, " d"]) -> _State:
        zero, d = jnp.zeros_like(params), len(params)
        start, one = jnp.array(initial_damping), jnp.array(1.0)
        return _State(params, jnp.array(jnp.inf), zero, jnp.eye(d), jnp.zeros((d, d)), start, one)

    def update(gradient, state: _State, params, *, value, curvature, **_):
        finite = jnp.isfinite(value + jnp.sum(gradient) + jnp.sum(curvature))
        better = (value < state.value + _ROUNDING) & finite
        gain = (state.value - value) / state.expected
        factor = jnp.where(better, jnp.where(gain > 0.75, 0.2, jnp.where(gain < 0.25, 3.0, 1.0)), 4.0)
        second_order = jnp.where(
            finite & jnp.isfinite(state.value), _bending(state, params, gradient, curvature), state.second_order
        )
        here = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), (params, value, gradient, curvature), state[:4]
        )
        damping = jnp.clip(state.damping * factor, 1e-9, 1e6)
        best, _, slope, curved = here
        added = jnp.diag(damping * (jnp.diag(curved) + 1e-3) + 1e-9)
        # Of coordinates that an edge holds the steps tell nothing.
        free = jnp.where(slope > 0, best > 0, best < 1)
        hessian = curved + jnp.where(free[:, None] & free, second_order, 0.0)
        convex = jnp.isfinite(jnp.linalg.cholesky(hessian + added)).all()
        hessian = jnp.where(convex, hessian, curved)
        step = _step_in_cube(best, slope, hessian + added)
        step *= jnp.minimum(1.0, _LARGEST_STEP / (jnp.max(jnp.abs(step)) + _TINY))
        expected = jnp.maximum(-step @ (slope + 0.5 * hessian @ step), _TINY)
        return best + step - params, _State(*here, second_order, damping, expected)

    return optax.GradientTransformationExtraArgs(init, update)


def _bending(state: _State, params, gradient, curvature) -> Float[Array, "d d"]:
    """What J^T J leaves out of the Hessian, by a symmetric rank-one update: the change of the gradient from the best
    point to the present one is that of the whole Hessian. The steps of a descent thus become those of Newton's method.
    """
    s = params - state.params
    missing = gradient - state.gradient - 0.5 * (state.curvature + curvature) @ s - state.second_order @ s
    along = missing @ s
    safe = jnp.abs(along) > 1e-8 * jnp.linalg.norm(missing) * jnp.linalg.norm(s)
    return state.second_order + jnp.where(safe, jnp.outer(missing, missing) / jnp.where(safe, along, 1.0), 0.0)


def _step_in_cube(u: Float[Array, " d"], slope: Float[Array, " d"], curved: Float[Array, "d d"]) -> Float[Array, " d"]:
    """The step to the minimum of a parabola in the unit cube: primal-dual active sets (Hintermueller, Ito and Kunisch).

    Coordinates at an edge that pushes them back are held there, the others take the best step that is left to them. The
    sets settle in a few rounds; should they not, a step that gains nothing is tried again with more damping, and for a
    diagonal curvature two rounds suffice.
    """

    def settle(_, step):
        wish = step - (slope + curved @ step) / jnp.diag(curved)
        held = (wish < -u) | (wish > 1 - u)
        ends, free = jnp.where(wish < -u, -u, 1 - u), ~held
        matrix = jnp.where(free[:, None] & free, curved, jnp.eye(len(u)))
        force = jnp.where(held, ends, -slope - curved @ jnp.where(held, ends, 0.0))
        return jax.scipy.linalg.solve(matrix, force, assume_a="pos")

    newton = jax.scipy.linalg.solve(curved, -slope, assume_a="pos")
    return jnp.clip(jax.lax.fori_loop(0, len(u) + 2, settle, newton), -u, 1 - u)


class LeastSquares:
    """Descents of one family of problems, compiled once for all starts and all problems.

    Args:
        whitened_residuals: (shared, own, u) -> vector; `shared` is the same for all descents, `own` belongs to each.
        workers: threads, by default one per core.
    """

    def __init__(
        self,
        whitened_residuals: Callable[[Any, Any, Float[Array, " d"]], Float[Array, " n"]],
        workers: int | None = None,
    ):
        self._residuals = whitened_residuals
        self._optimiser = levenberg_marquardt()
        self._advance = batched(self._block, _BATCH, workers)

    def _model(self, shared, own, u: Float[Array, " d"]):
        """Half of chi2 with its gradient and J^T J."""

        def twice(u):
            value = self._residuals(shared, own, u)
            return value, value

        J, values = jax.jacfwd(twice, has_aux=True)(u)
        return 0.5 * values @ values, J.T @ values, J.T @ J

    def _block(self, shared, point):
        """Some steps of one descent; point is (u, state, own)."""
        own = point[-1]

        def step(carry, _):
            u, state = carry
            value, gradient, curvature = self._model(shared, own, u)
            change, state = self._optimiser.update(gradient, state, u, value=value, curvature=curvature)
            # Rounding must not lead out of the cube.
            return (jnp.clip(optax.apply_updates(u, change), 0.0, 1.0), state), None

        (u, state), _ = jax.lax.scan(step, point[:-1], None, length=_BLOCK)
        norm = _norm(state.params, state.gradient, state.curvature)
        return (u, state), {"u": state.params, "chi2": 2 * state.value, "gradient_norm": norm}

    def __call__(
        self, shared, starts: Float[np.ndarray, "n d"], own, *, steps: int = 200, tolerance: float = TOLERANCE
    ) -> Solutions:
        """Descend from starts on the unit cube.

        Args:
            shared: what all descents have in common.
            starts: prior quantiles.
            own: what belongs to each, a pytree of arrays (n, ...).
            steps: evaluations after which a descent is given up.
            tolerance: gradient norm at which it ends.
        """
        n = len(starts)
        u = np.clip(starts, 0.0, 1.0)
        carry = (u, jax.device_get(jax.vmap(self._optimiser.init)(u)))
        found = Solutions(np.array(starts, float), np.full(n, np.inf), np.full(n, np.inf), np.zeros(n, int))
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


def _norm(u: Float[Array, " d"], gradient: Float[Array, " d"], gram: Float[Array, "d d"]) -> Float[Array, ""]:
    """Gradient norm of `Solutions`."""
    room = jnp.where(gradient > 0, u, 1 - u)
    scaled, curvature = room * gradient, room[:, None] * gram * room
    return jnp.sqrt(scaled @ jax.scipy.linalg.solve(jnp.eye(len(u)) + curvature, scaled, assume_a="pos"))
