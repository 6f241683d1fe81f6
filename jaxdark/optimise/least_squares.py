"""Levenberg-Marquardt descents on the unit cube of prior quantiles: the default optimiser of all fits.

Inputs: whitened residuals as a function of u, and starts. Outputs: minima with their gradient norms. The method is our
own, not one of optax; it has the form of an optax transformation. To the usual damped Gauss-Newton step it adds the
edges of the cube, by active sets, and what J^T J leaves out of the Hessian, by symmetric rank-one (SR1) updates. Steps
are straight in u: the long valleys of this problem, along which a product of couplings stays the same, are straight
lines in the logarithms, and a map of u to the whole line would bend them. `optax_descents` has optax's own methods.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched
from jaxdark.optimise.descents import (
    TOLERANCE,
    Solutions,
    WhitenedResiduals,
    gradient_norm,
    half_chi2_derivatives,
    run_descents,
)

MOST_STEPS = 200
"""Evaluations of residuals and Jacobian after which a descent is given up."""
_BLOCK, _BATCH = 5, 16
"""Steps in one call, and descents side by side: a fixed point follows one at a time, which costs what a batch does."""
_LARGEST_STEP = 0.3
_ROUNDING = 1e-10
_TINY = 1e-300


class _State(NamedTuple):
    """State of one descent.

    Attributes:
        params: the best point so far.
        value: chi2/2 there.
        gradient: of chi2/2 there.
        curvature: J^T J there.
        second_order: SR1 estimate of the second-order term of the Hessian, which J^T J leaves out.
        damping: relative to the diagonal of the curvature.
        expected: what the last step should gain.
    """

    params: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    curvature: Float[Array, "d d"]
    second_order: Float[Array, "d d"]
    damping: Float[Array, ""]
    expected: Float[Array, ""]


def levenberg_marquardt(initial_damping: float = 1e-2) -> optax.GradientTransformationExtraArgs:
    """Levenberg-Marquardt steps within the unit cube as a transformation of gradients.

    `update` needs `value` (chi2/2) and `curvature` (J^T J) beside the gradient. A step that does not lower the value is
    taken back and tried again with more damping, and so shorter.

    Args:
        initial_damping: relative to the diagonal of the curvature.
    """

    def init(params: Float[Array, " d"]) -> _State:
        zero, d = jnp.zeros_like(params), len(params)
        start, one = jnp.array(initial_damping), jnp.array(1.0)
        return _State(params, jnp.array(jnp.inf), zero, jnp.eye(d), jnp.zeros((d, d)), start, one)

    def update(gradient, state: _State, params, *, value, curvature, **_):
        finite = jnp.isfinite(value + jnp.sum(gradient) + jnp.sum(curvature))
        second_order = jnp.where(
            finite & jnp.isfinite(state.value), _sr1_update(state, params, gradient, curvature), state.second_order
        )
        accepted = (value < state.value + _ROUNDING) & finite
        damping = _next_damping(state, value, accepted)
        best = jax.tree.map(
            lambda new, old: jnp.where(accepted, new, old), (params, value, gradient, curvature), state[:4]
        )
        step, expected = _damped_step(best[0], best[2], best[3], second_order, damping)
        return best[0] + step - params, _State(*best, second_order, damping, expected)

    return optax.GradientTransformationExtraArgs(init, update)


def _next_damping(state: _State, value: Float[Array, ""], accepted: Float[Array, ""]) -> Float[Array, ""]:
    """Less damping after a step that gained what was expected, more after one that gained little or nothing."""
    gain = (state.value - value) / state.expected
    factor = jnp.where(accepted, jnp.where(gain > 0.75, 0.2, jnp.where(gain < 0.25, 3.0, 1.0)), 4.0)
    return jnp.clip(state.damping * factor, 1e-9, 1e6)


def _damped_step(
    u: Float[Array, " d"],
    slope: Float[Array, " d"],
    gram: Float[Array, "d d"],
    second_order: Float[Array, "d d"],
    damping: Float[Array, ""],
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """The next step from u, at most _LARGEST_STEP in any coordinate, and what it should gain in chi2/2."""
    added = jnp.diag(damping * (jnp.diag(gram) + 1e-3) + 1e-9)
    # Of coordinates that an edge holds the steps tell nothing.
    free = jnp.where(slope > 0, u > 0, u < 1)
    hessian = gram + jnp.where(free[:, None] & free, second_order, 0.0)
    convex = jnp.isfinite(jnp.linalg.cholesky(hessian + added)).all()
    hessian = jnp.where(convex, hessian, gram)
    step = _step_in_cube(u, slope, hessian + added)
    step *= jnp.minimum(1.0, _LARGEST_STEP / (jnp.max(jnp.abs(step)) + _TINY))
    return step, jnp.maximum(-step @ (slope + 0.5 * hessian @ step), _TINY)


def _sr1_update(state: _State, params, gradient, curvature) -> Float[Array, "d d"]:
    """SR1 estimate of the second-order term of the Hessian, after a step from the best point to params.

    The change of the gradient along the step is that of the whole Hessian; what J^T J and the estimate so far do not
    explain of it is added as a matrix of rank one. Descents thus end with the steps of Newton's method.
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
        unbounded = step - (slope + curved @ step) / jnp.diag(curved)
        held = (unbounded < -u) | (unbounded > 1 - u)
        ends, free = jnp.where(unbounded < -u, -u, 1 - u), ~held
        matrix = jnp.where(free[:, None] & free, curved, jnp.eye(len(u)))
        force = jnp.where(held, ends, -slope - curved @ jnp.where(held, ends, 0.0))
        return jax.scipy.linalg.solve(matrix, force, assume_a="pos")

    newton = jax.scipy.linalg.solve(curved, -slope, assume_a="pos")
    return jnp.clip(jax.lax.fori_loop(0, len(u) + 2, settle, newton), -u, 1 - u)


class LeastSquares:
    """Levenberg-Marquardt descents of one family of problems, compiled once for all starts and all problems.

    Args:
        whitened_residuals: of the problems, see `WhitenedResiduals`.
        workers: threads, by default one per core.
    """

    most_steps = MOST_STEPS

    def __init__(self, whitened_residuals: WhitenedResiduals, workers: int | None = None):
        self._residuals = whitened_residuals
        self._optimiser = levenberg_marquardt()
        self._advance = batched(self._block, _BATCH, workers)

    def _block(self, shared, point):
        """Some steps of one descent; point is (u, state, own)."""
        own = point[-1]

        def step(carry, _):
            u, state = carry
            value, gradient, curvature = half_chi2_derivatives(lambda u: self._residuals(shared, own, u), u)
            change, state = self._optimiser.update(gradient, state, u, value=value, curvature=curvature)
            # Rounding must not lead out of the cube.
            return (jnp.clip(optax.apply_updates(u, change), 0.0, 1.0), state), None

        (u, state), _ = jax.lax.scan(step, point[:-1], None, length=_BLOCK)
        norm = gradient_norm(state.params, state.gradient, state.curvature)
        return (u, state), {"u": state.params, "chi2": 2 * state.value, "gradient_norm": norm}

    def __call__(
        self, shared, starts: Float[np.ndarray, "n d"], own, *, steps: int = MOST_STEPS, tolerance: float = TOLERANCE
    ) -> Solutions:
        """Descend from starts on the unit cube.

        Args:
            shared: what all descents have in common.
            starts: prior quantiles.
            own: what belongs to each, a PyTree of arrays (n, ...).
            steps: evaluations after which a descent is given up.
            tolerance: gradient norm at which it ends.
        """
        u = np.clip(starts, 0.0, 1.0)
        carry = (u, jax.device_get(jax.vmap(self._optimiser.init)(u)))
        return run_descents(self._advance, shared, starts, carry, own, block=_BLOCK, steps=steps, tolerance=tolerance)
