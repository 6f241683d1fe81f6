"""Fits to pseudo-data drawn at the best fit, from which the p-value of a fit follows.

Inputs: the search that made the fit, and its minimum. Outputs: the smallest chi2 of each set of pseudo-data. Section 4.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdark.compute.cluster import map_chunks
from jaxdark.optimise.multistart import MultiStart

TOY_TOLERANCE = 1e-2
"""Gradient norm below which a fit to pseudo-data has converged: chi2 of many measurements spreads by much more."""
_STARTS, _SLICES = 3, 12
"""Of a fit to one set: starts beside the fit to the data, from so many slices of the prior."""
_CHUNK = 128
"""Sets fitted together, here or by one worker of a cluster: eight batches of descents."""


def fit_toys(
    search: MultiStart,
    whitening: Float[np.ndarray, "residuals residuals"],
    best: Float[np.ndarray, " d"],
    sets: int,
    seed: int,
    *,
    scheduler: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, " sets"]]:
    """Smallest chi2 of each set of pseudo-data drawn from the covariance at the best fit, and its gradient norm.

    Chunks of 128 sets are fitted one after the other or on a cluster, with the same result.

    Args:
        search: of the fit to the data.
        whitening: of the likelihood.
        best: prior quantiles of the best fit.
        sets: how many sets of pseudo-data.
        seed: of the noise.
        scheduler: of a cluster, as `map_chunks` takes it; None is this process.
        progress: called with (sets done, all of them).
    """
    fits, results, done = ToyFits(search, whitening, best, sets, seed), {}, 0
    for chunk, result in map_chunks(fits, range(-(-sets // _CHUNK)), scheduler=scheduler):
        results[chunk], done = result, done + len(result[0])
        if progress is not None:
            progress(done, sets)
    chi2, norm = (np.concatenate(parts) for parts in zip(*(results[k] for k in sorted(results)), strict=True))
    return chi2, norm


class ToyFits:
    """What `fit_toys` returns, of one chunk from its number; travels to the workers of a cluster.

    Pseudo-data are an offset on the whitened residuals: standard-normal noise less the residuals at the best fit. Each
    set is fitted by descents from the best fit and from the three best of twelve prior points, one in each slice.
    """

    def __init__(
        self,
        search: MultiStart,
        whitening: Float[np.ndarray, "residuals residuals"],
        best: Float[np.ndarray, " d"],
        sets: int,
        seed: int,
    ):
        self._search, self._whitening, self._best, self._sets, self._seed = search, whitening, best, sets, seed

    def __getstate__(self) -> dict[str, Any]:
        """Without the residuals at the prior points, which another process makes anew."""
        return {name: value for name, value in self.__dict__.items() if name != "_residuals"}

    def __call__(self, chunk: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Smallest chi2 and its gradient norm for each set of a chunk."""
        offsets = self._noise(chunk) - self._search.whitened_residuals(self._whitening, self._best[None])
        # A limit stays what it is: pseudo-data are those of measured values.
        limits = np.flatnonzero(~self._search.like.terms_beside.are_measurements)
        offsets[:, len(self._search.like.data) + limits] = 0.0
        starts = np.stack([self._starts(offset) for offset in offsets])
        sets, per_set, d = starts.shape
        solutions = self._search.minimise(
            self._whitening, starts.reshape(-1, d), np.repeat(offsets, per_set, axis=0), tolerance=TOY_TOLERANCE
        )
        chi2, norm = solutions.chi2.reshape(sets, per_set), solutions.gradient_norm.reshape(sets, per_set)
        smallest = np.arange(sets), np.argmin(chi2, axis=1)
        return chi2[smallest], norm[smallest]

    def _starts(self, offset: Float[np.ndarray, " residuals+1"]) -> Float[np.ndarray, "starts d"]:
        """Prior quantiles of the starts for one set: the best fit to the data first."""
        squares, residuals = self._residuals
        chi2 = squares + 2 * residuals @ offset  # less |offset|^2, which is the same at all points
        best_of_slices = self._search.best_of_slices(-chi2, _SLICES)
        chosen = best_of_slices[np.argsort(chi2[best_of_slices])[:_STARTS]]
        return np.concatenate([self._best[None], self._search.points[chosen]])

    def _noise(self, chunk: int) -> Float[np.ndarray, "n residuals+1"]:
        """Noise of one chunk: its part of one stream, so that the sets do not depend on the size of a chunk."""
        search = self._search
        generator, columns = np.random.default_rng(self._seed), search.like.n_residuals + 1
        for _ in range(chunk):
            generator.normal(size=(_CHUNK, columns))
        noise = generator.normal(size=(min(_CHUNK, self._sets - chunk * _CHUNK), columns))
        like = search.like
        measured = [*np.ones(len(like.data), bool), *like.terms_beside.are_measurements]
        measured.append(like.measures_g_minus_2(search.prior.model(search.prior.vector(self._best))))
        return noise * measured

    @cached_property
    def _residuals(self) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points residuals+1"]]:
        """Sums of squares of the whitened residuals at all prior points, and these, for every chunk of this process."""
        residuals = self._search.whitened_residuals(self._whitening, self._search.points)
        return (residuals**2).sum(axis=1), residuals
