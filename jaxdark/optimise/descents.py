"""Many descents of small least-squares problems at once, whatever optimiser takes the steps.

Inputs: starts on the unit cube of prior quantiles, and a function that advances all descents by a block of steps.
Outputs: where they end, with the gradient norm that judges them and a status for each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WhitenedResiduals = Callable[[Any, Any, Float[Array, " d"]], Float[Array, " n"]]
"""(shared, own, u) -> vector; `shared` is the same for all descents, `own` belongs to each."""
TOLERANCE = 1e-4
"""Gradient norm, see `Solutions`, below which a descent has converged."""
CONVERGED, STEP_LIMIT, NOT_FINITE = "converged", "step_limit", "not_finite"
STATUS_SENTENCES = {
    CONVERGED: f"The gradient norm came below {TOLERANCE:g}.",
    STEP_LIMIT: f"The largest number of steps was taken before the gradient norm came below {TOLERANCE:g}.",
    NOT_FINITE: "chi2 or its gradient is not a finite number where the descent started or went.",
}
"""What each status of a descent means."""


class Solutions(NamedTuple):
    """Where descents ended, one entry per start.

    Attributes:
        u: prior quantiles, (n, d).
        chi2: sum of squared residuals there, (n,).
        gradient_norm: |g| in the metric 1/(1 + H), with g_i = d(chi2/2)/du_i times the room left in the direction of
            descent and H the curvature J^T J in the same units, (n,). It is at most the distance to the minimum in
            standard deviations, and at most what chi2/2 could gain to first order within the prior. Infinite where
            the descent met a value that is not finite and could not go on.
        steps: steps of the optimiser until it converged or was given up, (n,).
    """

    u: Float[np.ndarray, "n d"]
    chi2: Float[np.ndarray, " n"]
    gradient_norm: Float[np.ndarray, " n"]
    steps: Float[np.ndarray, " n"]

    @classmethod
    def empty(cls, u: Float[np.ndarray, "n d"]) -> "Solutions":
        """Of descents that have not begun: infinite chi2 and gradient norm after no steps."""
        n = len(u)
        return cls(np.array(u, float), np.full(n, np.inf), np.full(n, np.inf), np.zeros(n, int))

    @property
    def converged(self) -> Float[np.ndarray, " n"]:
        """Whether the gradient norm is below the tolerance."""
        return self.gradient_norm < TOLERANCE

    @property
    def status(self) -> list[str]:
        """Of each descent: a key of STATUS_SENTENCES."""
        unfinished = np.where(np.isfinite(self.gradient_norm), STEP_LIMIT, NOT_FINITE)
        return np.where(self.converged, CONVERGED, unfinished).tolist()

    @property
    def best(self) -> Float[np.ndarray, " d"]:
        """Prior quantiles of the smallest chi2."""
        return self.u[np.argmin(self.chi2)]


def half_chi2_derivatives(
    residuals: Callable[[Float[Array, " d"]], Float[Array, " n"]], u: Float[Array, " d"]
) -> tuple[Float[Array, ""], Float[Array, " d"], Float[Array, "d d"]]:
    """chi2/2 at u, its gradient, and J^T J, with J the derivative of the residuals."""

    def twice(u):
        values = residuals(u)
        return values, values

    J, values = jax.jacfwd(twice, has_aux=True)(u)
    return 0.5 * values @ values, J.T @ values, J.T @ J


def gradient_norm(u: Float[Array, " d"], gradient: Float[Array, " d"], gram: Float[Array, "d d"]) -> Float[Array, ""]:
    """Gradient norm of `Solutions` from the derivatives of chi2/2 at u; gram is J^T J."""
    room = jnp.where(gradient > 0, u, 1 - u)
    scaled, curvature = room * gradient, room[:, None] * gram * room
    return jnp.sqrt(scaled @ jax.scipy.linalg.solve(jnp.eye(len(u)) + curvature, scaled, assume_a="pos"))


def run_descents(
    advance: Callable[[Any, Any], tuple[Any, dict[str, np.ndarray]]],
    shared: Any,
    starts: Float[np.ndarray, "n d"],
    carry: tuple,
    own: Any,
    *,
    block: int,
    steps: int,
    tolerance: float,
) -> Solutions:
    """Advance all descents block by block; those that have ended make room for the others.

    Args:
        advance: (shared, (*carry, own)) -> (carry, {u, chi2, gradient_norm}), of all descents that go on.
        shared: what all descents have in common.
        starts: prior quantiles.
        carry: state of each descent, a tuple of PyTrees of arrays (n, ...).
        own: what belongs to each descent, a PyTree of arrays (n, ...).
        block: steps in one call of `advance`.
        steps: steps after which a descent is given up, rounded up to whole blocks.
        tolerance: gradient norm below which a descent ends.
    """
    solutions, running = Solutions.empty(starts), np.arange(len(starts))
    for _ in range(-(-steps // block)):
        carry, ends = advance(shared, (*carry, own))
        # A descent that has never met a finite value has no gradient either: its norm would read as converged.
        ends["gradient_norm"] = np.where(np.isfinite(ends["chi2"]), ends["gradient_norm"], np.inf)
        for name, values in ends.items():
            getattr(solutions, name)[running] = values
        solutions.steps[running] += block
        goes_on = np.isfinite(ends["gradient_norm"]) & (ends["gradient_norm"] >= tolerance)
        running, carry, own = running[goes_on], *jax.tree.map(lambda a, on=goes_on: a[on], (carry, own))
        if len(running) == 0:
            break
    return solutions
