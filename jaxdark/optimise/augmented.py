"""Least squares under limits: the augmented Lagrangian of Hestenes and Powell, by Levenberg-Marquardt descents.

Inputs: whitened residuals and the excess over each limit as functions of u, and starts. Outputs: where the descents end
and the Lagrange multipliers there. Minus half the sum of squares is maximised subject to excess <= 0. The term
max(0, lambda + mu c)^2/(2 mu) that the method adds to chi2/2 for a limit of excess c, multiplier lambda and stiffness
mu is half the square of one more residual, so `least_squares` takes all its steps as for a fit without limits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdark.optimise.descents import NOT_FINITE, TOLERANCE
from jaxdark.optimise.least_squares import LeastSquares

Excess = Callable[[Float[Array, " d"]], Float[Array, " k"]]
"""u -> excess over each of the k limits, negative where one is kept."""
Judge = Callable[[Any, Float[np.ndarray, "n d"]], tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n k"]]]
"""(shared, u) of many points -> chi2 and the excess over each limit."""
KEPT = 1e-6
"""Excess up to which a limit counts as kept, and within which one with a multiplier counts as reached."""
CONVERGED, FEASIBLE, INFEASIBLE = "converged", "feasible", "infeasible"
STATUS_SENTENCES = {
    CONVERGED: f"All limits are kept, and to first order the point is an optimum: the gradient norm of the Lagrange "
    f"function came below {TOLERANCE:g}.",
    FEASIBLE: "All limits are kept, but the gradient norm stayed above its tolerance: the descent ended at an edge of "
    "a search, or where two of its bins limit equally.",
    INFEASIBLE: "No point that keeps all limits was found.",
    NOT_FINITE: "chi2, a limit or a gradient is not a finite number where the descent started or went.",
}
"""What each status of a descent under limits means."""
_STIFFNESS, _STIFFEST = 10.0, 1e7
_STIFFER, _ENOUGH = 5.0, 0.25
"""Factor on the stiffness where a round leaves more than this share of the violation of the last."""
ROUNDS, _STEPS = 24, 60
"""Updates of the multipliers, and Levenberg-Marquardt steps between two of them."""


class ConstrainedSolutions(NamedTuple):
    """Where descents under limits ended, one entry per start.

    Attributes:
        u: prior quantiles, (n, d).
        chi2: sum of squared residuals there, without the terms of the limits, (n,).
        excess: over each limit, (n, k).
        multipliers: of each limit, >= 0: what chi2/2 would gain per unit of excess that is allowed, (n, k).
        gradient_norm: of the Lagrange function, see `descents.Solutions`, (n,).
        violation: largest of excess, and of -excess where a multiplier is not 0, (n,).
        stiffness: of the last round, (n,).
        steps: of Levenberg-Marquardt, over all rounds, (n,).
    """

    u: Float[np.ndarray, "n d"]
    chi2: Float[np.ndarray, " n"]
    excess: Float[np.ndarray, "n k"]
    multipliers: Float[np.ndarray, "n k"]
    gradient_norm: Float[np.ndarray, " n"]
    violation: Float[np.ndarray, " n"]
    stiffness: Float[np.ndarray, " n"]
    steps: Float[np.ndarray, " n"]

    @property
    def feasible(self) -> Bool[np.ndarray, " n"]:
        """Whether all limits are kept."""
        return np.isfinite(self.chi2) & (self.excess.max(axis=1, initial=-np.inf) <= KEPT)

    @property
    def converged(self) -> Bool[np.ndarray, " n"]:
        """Whether the conditions of first order of a constrained optimum hold."""
        return self.feasible & (self.violation <= KEPT) & (self.gradient_norm < TOLERANCE)

    @property
    def status(self) -> list[str]:
        """Of each descent: a key of STATUS_SENTENCES."""
        kept = np.where(self.converged, CONVERGED, np.where(self.feasible, FEASIBLE, INFEASIBLE))
        return np.where(np.isfinite(self.gradient_norm), kept, NOT_FINITE).tolist()

    def take(self, index: Any) -> "ConstrainedSolutions":
        """The entries of some starts."""
        return ConstrainedSolutions(*(field[index] for field in self))


class AugmentedLagrangian:
    """Descents under limits of one family of problems, compiled once for all starts and all problems.

    Args:
        whitened_residuals: (shared, u) -> vector.
        excess: over each limit, smooth where it is near 0; steps and kinks cost convergence, never feasibility.
        judge: the sum of squared residuals and the excess, of many points.
        workers: threads, by default one per core.
    """

    def __init__(
        self,
        whitened_residuals: Callable[[Any, Float[Array, " d"]], Float[Array, " n"]],
        excess: Excess,
        judge: Judge,
        workers: int | None = None,
    ):
        def extended(shared, own, u: Float[Array, " d"]) -> Float[Array, " n+k"]:
            multipliers, stiffness = own
            pushing = jnp.maximum(multipliers + stiffness * excess(u), 0.0) / jnp.sqrt(stiffness)
            return jnp.concatenate([whitened_residuals(shared, u), pushing])

        self._descend, self._judge = LeastSquares(extended, workers), judge

    def __call__(
        self,
        shared: Any,
        starts: Float[np.ndarray, "n d"],
        multipliers: Float[np.ndarray, "n k"] | None = None,
        stiffness: Float[np.ndarray, " n"] | None = None,
    ) -> ConstrainedSolutions:
        """Descend from starts on the unit cube.

        Each round minimises chi2/2 with the terms of the limits, then sets lambda to max(0, lambda + mu c). The
        stiffness mu grows where that does not bring the excess down.

        Args:
            shared: what all descents have in common.
            starts: prior quantiles.
            multipliers, stiffness: to begin with, as from an earlier solution nearby.
        """
        n, (chi2, excess) = len(starts), map(np.array, self._judge(shared, starts))  # to be written to
        multipliers = np.zeros_like(excess) if multipliers is None else multipliers.copy()
        stiffness = np.full(n, _STIFFNESS) if stiffness is None else stiffness.copy()
        ends = ConstrainedSolutions(
            np.clip(starts, 0.0, 1.0), chi2, excess, multipliers, np.full(n, np.inf), np.full(n, np.inf), stiffness,
            np.zeros(n, int),
        )  # fmt: skip
        running = np.arange(n)
        for _ in range(ROUNDS):
            own = ends.multipliers[running], ends.stiffness[running]
            solutions = self._descend(shared, ends.u[running], own, steps=_STEPS)
            hopeless = self._take_over(shared, ends, running, solutions)
            unfinished = ~ends.converged[running] & np.isfinite(ends.gradient_norm[running])
            running = running[unfinished & ~hopeless]
            if len(running) == 0:
                break
        return ends

    def _take_over(self, shared: Any, ends: ConstrainedSolutions, running: np.ndarray, solutions) -> np.ndarray:
        """Put the ends of a round in the place of the former ones, and update their multipliers and stiffness.

        Returns:
            Which of them stay where they are however stiff their limits.
        """
        chi2, excess = self._judge(shared, solutions.u)
        multipliers, stiffness = ends.multipliers[running], ends.stiffness[running]
        violation = np.abs(np.maximum(excess, -multipliers / stiffness[:, None])).max(axis=1, initial=0.0)
        stuck = violation > np.maximum(_ENOUGH * ends.violation[running], KEPT)
        multipliers = np.maximum(multipliers + stiffness[:, None] * excess, 0.0)
        ends.u[running], ends.chi2[running], ends.excess[running] = solutions.u, chi2, excess
        ends.multipliers[running], ends.violation[running] = multipliers, violation
        ends.gradient_norm[running] = solutions.gradient_norm
        ends.stiffness[running] = np.where(stuck, np.minimum(_STIFFER * stiffness, _STIFFEST), stiffness)
        ends.steps[running] += solutions.steps
        return stuck & (stiffness >= _STIFFEST)
