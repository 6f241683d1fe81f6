"""Best fit in a region by many starts at once, and the likelihood with its theory covariance taken there.

Enters: a likelihood and a prior. Leaves: minima of chi2 = -2 ln L, or the likelihood at the best. Section 4.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.bounds import checked_seed
from jaxdark.cluster import map_chunks, threads
from jaxdark.inference.importance import HostFunction, batched, prior_points
from jaxdark.inference.least_squares import LeastSquares, Minima
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.priors import Prior

STARTS = 64
MOST_STARTS = _POINTS = 2**16
"""Prior points, each of which is one start at most."""
# Of a fit to one set of pseudo-data: starts beside the fit to the data, from so many slices.
_PSEUDO_STARTS, _PSEUDO_SLICES = 3, 12
_PSEUDO_CHUNK = 128
"""Sets of pseudo-data fitted together, here or by one worker of a cluster: eight batches of descents."""
PSEUDO_TOLERANCE = 1e-2
"""Gradient norm up to which a fit to pseudo-data has converged: chi2 of many measurements spreads by much more."""


class BestFit:
    """Best fits of one likelihood at varying theory covariances or pseudo-data: compiled once for all of them.

    Starts are the best of many quasi-random prior points in each slice of the first parameter (m_V): the local optima
    differ in m_V, and a search that drops a slice while the covariance still moves can freeze in the wrong one.

    Args:
        like: the likelihood; mode "marginalised" is used whatever its mode.
        prior: parameters and their ranges.
        seed: of the prior points.
        points: number of prior points, a power of two.
        starts: number of slices, each of which gives a start.
    """

    def __init__(self, like: Likelihood, prior: Prior, *, seed: int = 0, points: int = _POINTS, starts: int = STARTS):
        self._like, self.prior, self._starts, seed = like, prior, starts, checked_seed(seed)
        self._made_anew = partial(BestFit, like, prior, seed=seed, points=points, starts=starts)
        self._u = prior_points(len(prior.names), points, seed)
        self._deviations = batched(lambda whitening, u: self._deviations_at(whitening, None, u), workers=threads())
        self._descend = LeastSquares(self._deviations_at, threads())

    def __reduce__(self):
        """Another process makes points and programs anew."""
        return self._made_anew, ()

    def _deviations_at(self, whitening, offset, u: Float[Array, " d"]) -> Float[Array, " rows+1"]:
        model = self.prior.model(self.prior.vector(u))
        return jnp.concatenate(list(self._like.deviations(model, None, whitening, offset).values()))

    def deviations(self, whitening: Float[np.ndarray, "rows rows"], u: Float[np.ndarray, "n d"]):
        """Whitened residuals and the (g-2) pull at prior quantiles, (n, rows + 1)."""
        return self._deviations(whitening, u)

    def values(self, whitening: Float[np.ndarray, "rows rows"], u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Log-likelihood at prior quantiles."""
        return -0.5 * (self._deviations(whitening, u) ** 2).sum(axis=1)

    def __call__(self, whitening: Float[np.ndarray, "rows rows"]) -> Minima:
        """Where the descents from all starts end."""
        chosen = self._best_of_slices(self.values(whitening, self._u), self._starts)
        return self._descend(whitening, self._u[chosen], np.zeros((len(chosen), len(self._like.data) + 1)))

    def pseudo(
        self,
        whitening: Float[np.ndarray, "rows rows"],
        best: Float[np.ndarray, " d"],
        sets: int,
        seed: int,
        *,
        scheduler: Any = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, " sets"]]:
        """Smallest chi2 of pseudo-data drawn from the covariance at the best fit, and its gradient norm.

        Starts are the best fit and the best prior points of three out of twelve slices. Chunks of 128 sets are fitted
        one after the other or on a cluster, with the same result.

        Args:
            whitening: of the likelihood.
            best: prior quantiles of the best fit.
            sets: how many sets of pseudo-data.
            seed: of the noise.
            scheduler: of a cluster, as `map_chunks` takes it; None is this process.
            progress: called with (sets done, all of them).
        """
        fits, found, done = _PseudoFits(self, whitening, best, sets, seed), {}, 0
        for k, result in map_chunks(fits, range(-(-sets // _PSEUDO_CHUNK)), scheduler=scheduler):
            found[k], done = result, done + len(result[0])
            if progress is not None:
                progress(done, sets)
        chi2, norm = (np.concatenate(parts) for parts in zip(*(found[k] for k in sorted(found)), strict=True))
        return chi2, norm

    def _best_of_slices(self, values: Float[np.ndarray, " n"], slices: int) -> np.ndarray:
        """Index of the largest value in each slice of the first parameter that holds a point."""
        of_point = np.minimum((self._u[:, 0] * slices).astype(int), slices - 1)
        order = np.lexsort((values, of_point))
        last = np.flatnonzero(np.diff(of_point[order], append=slices))
        return order[last]


class _PseudoFits:
    """What `BestFit.pseudo` returns, of one chunk from its number; travels to the workers of a cluster."""

    def __init__(self, search: BestFit, whitening, best, sets: int, seed: int):
        self._search, self._whitening, self._best, self._sets, self._seed = search, whitening, best, sets, seed

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_scan"}

    def __call__(self, k: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        search, best, scan = self._search, self._best, self._scan
        offset = self._noise(k, scan.shape[1]) - search.deviations(self._whitening, best[None])
        own = (scan**2).sum(axis=1)
        starts = np.empty((len(offset), _PSEUDO_STARTS + 1, len(best)))
        starts[:, 0] = best
        for start, shift in zip(starts, offset, strict=True):
            chi2 = own + 2 * scan @ shift
            candidates = search._best_of_slices(-chi2, _PSEUDO_SLICES)
            start[1:] = search._u[candidates[np.argsort(chi2[candidates])[:_PSEUDO_STARTS]]]
        per_start = np.repeat(offset, starts.shape[1], axis=0)
        found = search._descend(self._whitening, starts.reshape(-1, len(best)), per_start, tolerance=PSEUDO_TOLERANCE)
        chi2, norm = (a.reshape(len(offset), -1) for a in (found.chi2, found.gradient_norm))
        smallest = np.argmin(chi2, axis=1)[:, None]
        return np.take_along_axis(chi2, smallest, 1)[:, 0], np.take_along_axis(norm, smallest, 1)[:, 0]

    def _noise(self, k: int, columns: int) -> Float[np.ndarray, "n columns"]:
        """Of chunk k: its part of one stream, so that the sets do not depend on the size of a chunk."""
        generator = np.random.default_rng(self._seed)
        for _ in range(k):
            generator.normal(size=(_PSEUDO_CHUNK, columns))
        noise = generator.normal(size=(min(_PSEUDO_CHUNK, self._sets - k * _PSEUDO_CHUNK), columns))
        search = self._search
        if not search._like.measures_g_minus_2(search.prior.model(search.prior.vector(self._best))):
            noise[:, -1] = 0.0
        return noise

    @cached_property
    def _scan(self) -> Float[np.ndarray, "points rows+1"]:
        """Deviations at all prior points, which serve every chunk of this process."""
        return self._search.deviations(self._whitening, self._search._u)


class RegionFit(NamedTuple):
    """Best fit of a region.

    Attributes:
        like: the marginalised likelihood with its theory covariance at `reference`.
        reference: parameter vector at which the covariance is taken.
        vector: best fit of `like` itself.
        log_likelihood: there.
        values: log-likelihood at (n, d) prior quantiles, compiled already.
        minima: of `like`, one per start.
        search: what found them, compiled already.
    """

    like: Likelihood
    reference: Float[np.ndarray, " d"]
    vector: Float[np.ndarray, " d"]
    log_likelihood: float
    values: HostFunction
    minima: Minima
    search: BestFit

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What `restored_fit` takes."""
        return {"reference": self.reference, **self.minima._asdict()}


def at_best_fit(like: Likelihood, prior: Prior, *, seed: int = 0, starts: int = STARTS) -> RegionFit:
    """The marginalised likelihood with its theory covariance at the region's best fit, iterated once.

    The first fit takes the covariance at the Standard Model, the second at the first's result; the likelihood returned
    has it at the second's.
    """
    marginalised = like.marginalised()
    search = BestFit(marginalised, prior, seed=seed, starts=starts)
    for _ in range(2):
        reference = np.asarray(prior.vector(search(marginalised.whitening).best))
        marginalised = marginalised.at(prior.model(reference))
    return _region_fit(search, marginalised, reference, search(marginalised.whitening))


def restored_fit(like: Likelihood, prior: Prior, arrays: Mapping[str, np.ndarray], *, seed: int = 0) -> RegionFit:
    """The fit that `at_best_fit` returned, from its `arrays`."""
    marginalised, reference = like.marginalised(), arrays["reference"]
    minima = Minima(*(arrays[name] for name in Minima._fields))
    return _region_fit(
        BestFit(marginalised, prior, seed=seed), marginalised.at(prior.model(reference)), reference, minima
    )


def _region_fit(search: BestFit, like: Likelihood, reference: Float[np.ndarray, " d"], minima: Minima) -> RegionFit:
    whitening = like.whitening
    vector, log_likelihood = np.asarray(search.prior.vector(minima.best)), -0.5 * float(minima.chi2.min())
    return RegionFit(like, reference, vector, log_likelihood, lambda u: search.values(whitening, u), minima, search)
