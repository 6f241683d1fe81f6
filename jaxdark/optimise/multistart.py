"""Descents from many starts at once over the prior of one region.

Inputs: a likelihood, a prior, and where the theory covariance is taken. Outputs: minima of chi2 = -2 ln L. Section 4.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdark.compute.batch import batched
from jaxdark.compute.bounds import checked_seed
from jaxdark.compute.cluster import threads
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, prior_points
from jaxdark.optimise.descents import TOLERANCE, Solutions
from jaxdark.optimise.optax_descents import LEVENBERG_MARQUARDT, Optimizer, make_descents

STARTS = 64
MOST_STARTS = _POINTS = 2**16
"""Prior points, each of which is one start at most."""
SAME_CHI2, SAME_PREDICTIONS = 1e-2, 0.1
"""Two minima are one if chi2 agrees to this and the predictions agree to this many standard deviations in all."""


class MultiStart:
    """Best fits of one likelihood at varying theory covariances or pseudo-data: compiled once for all of them.

    Starts are the best of many quasi-random prior points in each slice of the first parameter (m_V): the local optima
    differ in m_V, and a search that drops a slice while the covariance still moves can freeze in the wrong one.

    Args:
        like: the likelihood; mode "marginalised" is used in place of "full".
        prior: parameters and their ranges.
        seed: of the prior points.
        points: number of prior points, a power of two.
        starts: number of slices, each of which gives a start.
        optimizer: of all descents, as `make_descents` takes it.

    Attributes:
        like: the likelihood.
        prior: parameters and their ranges.
        points: prior quantiles of the prior points, (points, d).
    """

    def __init__(
        self,
        like: Likelihood,
        prior: Prior,
        *,
        seed: int = 0,
        points: int = _POINTS,
        starts: int = STARTS,
        optimizer: Optimizer = LEVENBERG_MARQUARDT,
    ):
        self.like, self.prior, self._starts, seed = like, prior, starts, checked_seed(seed)
        self._rebuild = partial(MultiStart, like, prior, seed=seed, points=points, starts=starts, optimizer=optimizer)
        self.points = prior_points(len(prior.names), points, seed)
        self._residuals = batched(lambda whitening, u: self._residuals_at(whitening, None, u), workers=threads())
        self._descend = make_descents(optimizer, self._residuals_at, threads())

    def __reduce__(self):
        """Another process makes points and programs anew."""
        return self._rebuild, ()

    def _residuals_at(self, whitening, offset, u: Float[Array, " d"]) -> Float[Array, " residuals+1"]:
        model = self.prior.model(self.prior.vector(u))
        return jnp.concatenate(list(self.like.whitened_residuals(model, None, whitening, offset).values()))

    @property
    def most_steps(self) -> int:
        """Steps after which a descent is given up."""
        return self._descend.most_steps

    def whitened_residuals(
        self, whitening: Float[np.ndarray, "residuals residuals"], u: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n residuals+1"]:
        """Whitened residuals and the (g-2) pull at prior quantiles."""
        return self._residuals(whitening, u)

    def values(
        self, whitening: Float[np.ndarray, "residuals residuals"], u: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        """Log-likelihood at prior quantiles."""
        return -0.5 * (self._residuals(whitening, u) ** 2).sum(axis=1)

    def __call__(self, whitening: Float[np.ndarray, "residuals residuals"]) -> Solutions:
        """Where the descents from all starts end."""
        chosen = self.best_of_slices(self.values(whitening, self.points), self._starts)
        return self.minimise(whitening, self.points[chosen])

    def minimise(
        self,
        whitening: Float[np.ndarray, "residuals residuals"],
        starts: Float[np.ndarray, "n d"],
        offsets: Float[np.ndarray, "n residuals+1"] | None = None,
        *,
        tolerance: float = TOLERANCE,
    ) -> Solutions:
        """Where the descents from given starts end.

        Args:
            whitening: of the likelihood.
            starts: prior quantiles.
            offsets: of each start, added to the whitened residuals and the (g-2) pull; 0 unless given.
            tolerance: gradient norm below which a descent ends.
        """
        offsets = np.zeros((len(starts), self.like.n_residuals + 1)) if offsets is None else offsets
        return self._descend(whitening, starts, offsets, tolerance=tolerance)

    def distinct(self, whitening: Float[np.ndarray, "residuals residuals"], minima: Solutions) -> list[list[int]]:
        """Indices of converged minima, those with the same chi2 and predictions together, best first."""
        residuals, groups = self.whitened_residuals(whitening, minima.u), []
        for i in (i for i in np.argsort(minima.chi2) if minima.converged[i]):
            for group in groups:
                first = group[0]
                distance = np.linalg.norm(residuals[i] - residuals[first])
                if minima.chi2[i] - minima.chi2[first] < SAME_CHI2 and distance < SAME_PREDICTIONS:
                    group.append(i)
                    break
            else:
                groups.append([i])
        return groups

    def best_of_slices(self, values: Float[np.ndarray, " points"], slices: int) -> np.ndarray:
        """Index of the prior point of the largest value in each slice of the first parameter that holds a point."""
        return best_of_slices(values, self.points[:, 0], slices)


def best_of_slices(
    values: Float[np.ndarray, " points"], first: Float[np.ndarray, " points"], slices: int
) -> Int[np.ndarray, " found"]:
    """Index of the largest value in each slice of the first prior quantile that holds a point."""
    slice_of = np.minimum((first * slices).astype(int), slices - 1)
    order = np.lexsort((values, slice_of))
    last = np.flatnonzero(np.diff(slice_of[order], append=slices))
    return order[last]
