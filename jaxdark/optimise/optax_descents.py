"""Descents by any optax optimiser, in place of our Levenberg-Marquardt and judged by the same gradient norm.

Inputs: the name of an optimiser or an optax transformation, whitened residuals, starts. Outputs: minima of chi2/2 on
the unit cube of prior quantiles. After each step u is projected onto the cube; the gradient is that of the projected
problem, without the components that an edge holds.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched
from jaxdark.errors import RequestError, nearest, shown
from jaxdark.optimise.descents import (
    TOLERANCE,
    Solutions,
    WhitenedResiduals,
    gradient_norm,
    half_chi2_derivatives,
    run_descents,
)
from jaxdark.optimise.least_squares import LeastSquares

Optimizer = str | optax.GradientTransformation
LEVENBERG_MARQUARDT = "lm"
OPTIMIZERS = {"lbfgs": optax.lbfgs, "adam": lambda: optax.adam(1e-2)}
"""optax's own optimisers that have a name, beside "lm", which is ours."""
MOST_STEPS = 2000
"""Steps after which a descent is given up: first-order methods need many."""
_BLOCK, _BATCH = 20, 64


def make_descents(
    optimizer: Optimizer, whitened_residuals: WhitenedResiduals, workers: int | None = None
) -> "LeastSquares | OptaxDescents":
    """Descents by an optimiser.

    Args:
        optimizer: "lm" (our Levenberg-Marquardt), "lbfgs", "adam" (learning rate 0.01), or an optax transformation,
            such as `optax.lbfgs(memory_size=20)`.
        whitened_residuals: of the problems.
        workers: threads, by default one per core.

    Raises:
        RequestError: an unknown name, or what is no optimiser.
    """
    if optimizer_name(optimizer) == LEVENBERG_MARQUARDT:
        return LeastSquares(whitened_residuals, workers)
    return OptaxDescents(
        whitened_residuals, OPTIMIZERS[optimizer]() if isinstance(optimizer, str) else optimizer, workers
    )


def optimizer_name(optimizer: Optimizer) -> str:
    """Name of an optimiser in results; raises RequestError for an unknown name or what is no optimiser."""
    if isinstance(optimizer, optax.GradientTransformation):
        return "an optax transformation of the caller"
    known = (LEVENBERG_MARQUARDT, *OPTIMIZERS)
    if not isinstance(optimizer, str):
        raise RequestError(
            f"expected one of the optimisers {', '.join(known)} or an optax transformation such as optax.lbfgs(), got "
            f"{shown(optimizer)}"
        )
    if optimizer not in known:
        raise RequestError(f"unknown optimiser {optimizer!r}; {nearest(optimizer, known)}")
    return optimizer


class OptaxDescents:
    """Descents of one family of problems by an optax optimiser, compiled once for all starts and all problems.

    Args:
        whitened_residuals: of the problems, see `WhitenedResiduals`.
        optimiser: steps in u, in prior quantiles; `update` is also given `value`, `grad` and `value_fn`, of chi2/2,
            which line searches need.
        workers: threads, by default one per core.
    """

    most_steps = MOST_STEPS

    def __init__(
        self,
        whitened_residuals: WhitenedResiduals,
        optimiser: optax.GradientTransformation,
        workers: int | None = None,
    ):
        self._residuals = whitened_residuals
        self._optimiser = optax.with_extra_args_support(optimiser)
        self._advance = batched(self._block, _BATCH, workers)

    def _block(self, shared, point):
        """Some steps of one descent; point is (u, state, best u, smallest chi2/2, own)."""
        *carry, own = point

        def residuals(u: Float[Array, " d"]) -> Float[Array, " n"]:
            return self._residuals(shared, own, u)

        def half_chi2(u: Float[Array, " d"]) -> Float[Array, ""]:
            return 0.5 * jnp.sum(residuals(_projected(u)) ** 2)

        def step(carry, _):
            u, state, best, lowest = carry
            value, gradient = _value_and_gradient(half_chi2, u, state)
            lower = value < lowest
            best, lowest = jnp.where(lower, u, best), jnp.where(lower, value, lowest)
            held = jnp.where(gradient > 0, u <= 0, u >= 1)
            gradient = jnp.where(held, 0.0, gradient)
            change, state = self._optimiser.update(gradient, state, u, value=value, grad=gradient, value_fn=half_chi2)
            u = optax.projections.projection_hypercube(optax.apply_updates(u, change))
            return (u, state, best, lowest), None

        carry, _ = jax.lax.scan(step, tuple(carry), None, length=_BLOCK)
        u, _, best, lowest = carry
        _, gradient, gram = half_chi2_derivatives(residuals, best)
        # A state that is not finite cannot recover; the best point before is still told.
        norm = jnp.where(jnp.isfinite(u).all(), gradient_norm(best, gradient, gram), jnp.inf)
        return carry, {"u": best, "chi2": 2 * lowest, "gradient_norm": norm}

    def __call__(
        self, shared, starts: Float[np.ndarray, "n d"], own, *, steps: int = MOST_STEPS, tolerance: float = TOLERANCE
    ) -> Solutions:
        """Descend from starts on the unit cube; every 20 steps the lowest point so far is judged.

        Args:
            shared: what all descents have in common.
            starts: prior quantiles.
            own: what belongs to each, a PyTree of arrays (n, ...).
            steps: steps of the optimiser after which a descent is given up.
            tolerance: gradient norm at which it ends.
        """
        u = np.clip(starts, 0.0, 1.0)
        state = jax.device_get(jax.vmap(self._optimiser.init)(u))
        carry = (u, state, u, np.full(len(u), np.inf))
        return run_descents(self._advance, shared, starts, carry, own, block=_BLOCK, steps=steps, tolerance=tolerance)


def _projected(u: Float[Array, " d"]) -> Float[Array, " d"]:
    """u projected onto the cube, with derivative 1 up to the edges and 0 beyond; that of `clip` is 1/2 on an edge."""
    return jnp.where((u < 0) | (u > 1), jnp.clip(u, 0.0, 1.0), u)


def _value_and_gradient(function, u: Float[Array, " d"], state: Any):
    """Of a function at u; optimisers with a line search have both in their state."""
    stored = all(optax.tree.get(state, name) is not None for name in ("value", "grad"))
    return optax.value_and_grad_from_state(function)(u, state=state) if stored else jax.value_and_grad(function)(u)
