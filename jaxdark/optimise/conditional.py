"""Conditional minima: the smallest chi2 over some parameters at given values of the others, at many points at once.

Inputs: whitened residuals as a function of what is given and of the prior quantiles of the rest. Outputs: for each
point the lowest end of its own descents. Profiles in memory and profile scans stand on it. Section 4.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import prior_points
from jaxdark.optimise.descents import Solutions, WhitenedResiduals
from jaxdark.optimise.least_squares import LeastSquares

Report = Callable[[str, int, int], None]


class Conditional:
    """The small problems of all points, compiled once.

    Args:
        whitened_residuals: (shared, given, u) -> vector; `shared` is the same for all points, `given` belongs to each,
            u are the prior quantiles of the free parameters.
        free: number of free parameters.
        workers: threads, by default one per core.
    """

    def __init__(self, whitened_residuals: WhitenedResiduals, free: int, workers: int | None = None):
        self._free = free
        self._chi2 = batched(lambda shared, point: jnp.sum(whitened_residuals(shared, *point) ** 2), workers=workers)
        self._descend = LeastSquares(whitened_residuals, workers)

    def chi2(self, shared, given, u: Float[np.ndarray, "points d"]) -> Float[np.ndarray, " points"]:
        """Value at one u for each point."""
        return self._chi2(shared, (given, u))

    def descend(self, shared, given, starts: Float[np.ndarray, "points d"]) -> Solutions:
        """Where one descent for each point ends."""
        return self._descend(shared, starts, given)

    def minimise(
        self,
        shared,
        given,
        *,
        points: int,
        seed: int,
        more_starts: Sequence[Float[np.ndarray, " d"]] = (),
        report: Report | None = None,
    ) -> Solutions:
        """The smallest minimum at each point, over descents from the starts of `starts` and from others.

        Args:
            shared, given: as for the residuals.
            points, seed: as for `starts`.
            more_starts: prior quantiles from which every point descends too.
            report: called with (stage, done, all) as work proceeds.
        """
        n = len(given)
        starts = self.starts(shared, given, points=points, seed=seed, report=report)
        starts += [np.tile(start, (n, 1)) for start in more_starts]
        lowest = Solutions.empty(np.zeros((n, self._free)))
        report = report or (lambda stage, done, total: None)
        for count, start in enumerate(starts):
            report("descents", count, len(starts))
            keep_lower(lowest, np.arange(n), self.descend(shared, given, start))
        report("descents", len(starts), len(starts))
        return lowest

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
        n, candidates = len(given), prior_points(self._free, points, seed)
        groups = min(8, max(2, len(candidates) // 16))
        report = report or (lambda stage, done, total: None)
        smallest, start = np.full((groups, n), np.inf), np.zeros((groups, n, self._free))
        for index, candidate in enumerate(candidates):
            report("scan", index, len(candidates))
            chi2, group = self.chi2(shared, given, np.tile(candidate, (n, 1))), index % groups
            lower = chi2 < smallest[group]
            smallest[group][lower], start[group][lower] = chi2[lower], candidate
        report("scan", len(candidates), len(candidates))
        return list(start)


def keep_lower(lowest: Solutions, index: Float[np.ndarray, " k"], solutions: Solutions) -> None:
    """Keep the lower minimum at each of the points `index`, that of `lowest` or the new one; steps add up."""
    lower = solutions.chi2 < lowest.chi2[index]
    for name in ("u", "chi2", "gradient_norm"):
        getattr(lowest, name)[index[lower]] = getattr(solutions, name)[lower]
    lowest.steps[index] += solutions.steps
