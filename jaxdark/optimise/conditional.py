"""Conditional minima: the smallest chi2 over some parameters at given values of the others, at many points at once.

Inputs: whitened residuals as a function of what is given and of the prior quantiles of the rest. Outputs: for each
point the
lowest end of its own descents. Profiles in memory and profile scans stand on it. Section 4.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import prior_points
from jaxdark.optimise.least_squares import LeastSquares, Solutions

Report = Callable[[str, int, int], None]


class Conditional:
    """The small problems of all points, compiled once.

    Args:
        whitened_residuals: (shared, given, u) -> vector; `shared` is the same for all points, `given` belongs to each,
            u are the prior quantiles of the free parameters.
        free: number of free parameters.
        workers: threads, by default one per core.
    """

    def __init__(
        self,
        whitened_residuals: Callable[[Any, Any, Float[Array, " d"]], Float[Array, " n"]],
        free: int,
        workers: int | None = None,
    ):
        self._free = free
        self._chi2 = batched(lambda shared, point: jnp.sum(whitened_residuals(shared, *point) ** 2), workers=workers)
        self._descend = LeastSquares(whitened_residuals, workers)

    def chi2(self, shared, given, u: Float[np.ndarray, "points d"]) -> Float[np.ndarray, " points"]:
        """Value at one u for each point."""
        return self._chi2(shared, (given, u))

    def minimise(self, shared, given, starts: Float[np.ndarray, "points d"]) -> Solutions:
        """Where one descent for each point ends."""
        return self._descend(shared, starts, given)

    def minimised(
        self, shared, given, starts: Sequence[Float[np.ndarray, "points d"]], report: Report | None = None
    ) -> Solutions:
        """The lowest ends of descents from several starts for each point; steps add up."""
        n = len(given)
        best = Solutions(np.zeros((n, self._free)), np.full(n, np.inf), np.full(n, np.inf), np.zeros(n, int))
        report = report or (lambda stage, done, total: None)
        for count, start in enumerate(starts):
            report("descents", count, len(starts))
            keep(best, np.arange(n), self.minimise(shared, given, start))
        report("descents", len(starts), len(starts))
        return best

    def starts(
        self, shared, given, *, points: int, seed: int, report: Report | None = None
    ) -> list[Float[np.ndarray, "points d"]]:
        """Starts for each point: the best of each group of quasi-random points of the prior, evaluated there.

        Args:
            shared, given: as for the residuals.
            points: number of quasi-random points, the same for all, a power of two; there are 2 to 8 groups.
            seed: of these.
            report: called with (stage, done, all) as work proceeds.
        """
        n, scan = len(given), prior_points(self._free, points, seed)
        groups = min(8, max(2, len(scan) // 16))
        report = report or (lambda stage, done, total: None)
        chi2, start = np.full((groups, n), np.inf), np.zeros((groups, n, self._free))
        for index, point in enumerate(scan):
            report("scan", index, len(scan))
            found = self.chi2(shared, given, np.tile(point, (n, 1)))
            lower = found < chi2[index % groups]
            chi2[index % groups][lower], start[index % groups][lower] = found[lower], point
        report("scan", len(scan), len(scan))
        return list(start)


def keep(best: Solutions, where: np.ndarray, found: Solutions) -> None:
    """Put what was found at the points `where` into `best` wherever it is lower; steps add up."""
    lower = found.chi2 < best.chi2[where]
    for name in ("u", "chi2", "gradient_norm"):
        getattr(best, name)[where[lower]] = getattr(found, name)[lower]
    best.steps[where] += found.steps
