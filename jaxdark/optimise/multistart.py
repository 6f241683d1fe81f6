"""Best fit in a region by many starts at once, and the likelihood with its theory covariance taken there.

Inputs: a likelihood and a prior. Outputs: minima of chi2 = -2 ln L, or the likelihood at the best. Section 4.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.batch import HostFunction, batched
from jaxdark.compute.bounds import checked_seed
from jaxdark.compute.cluster import map_chunks, threads
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, prior_points
from jaxdark.optimise.least_squares import LeastSquares, Solutions

STARTS = 64
MOST_STARTS = _POINTS = 2**16
"""Prior points, each of which is one start at most."""
# Of a fit to one set of pseudo-data: starts beside the fit to the data, from so many slices.
_PSEUDO_STARTS, _PSEUDO_SLICES = 3, 12
_PSEUDO_CHUNK = 128
"""Sets of pseudo-data fitted together, here or by one worker of a cluster: eight batches of descents."""
PSEUDO_TOLERANCE = 1e-2
"""Gradient norm up to which a fit to pseudo-data has converged: chi2 of many measurements spreads by much more."""
_SAME_CHI2, _SAME_PREDICTIONS = 1e-2, 0.1
"""Two minima are one if chi2 agrees to this and the predictions agree to this many standard deviations in all."""
_CONTENDERS, _CONTENDS = 8, 6.0
"""Minima that are looked at with the covariance at themselves: so many, and within so much of the smallest chi2, which
a covariance taken elsewhere can be wrong by."""
_MOST_STEPS, _MOST_ROUNDS = 20, 4
"""Of one minimum to its fixed point, and of the search of the whole region."""
_SETTLED = 1e-4
"""Change of chi2, of prior quantiles and of predictions in standard deviations at which a fixed point is reached."""


class MultiStart:
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
        self._made_anew = partial(MultiStart, like, prior, seed=seed, points=points, starts=starts)
        self._u = prior_points(len(prior.names), points, seed)
        self._residuals = batched(lambda whitening, u: self._residuals_at(whitening, None, u), workers=threads())
        self._descend = LeastSquares(self._residuals_at, threads())

    def __reduce__(self):
        """Another process makes points and programs anew."""
        return self._made_anew, ()

    def _residuals_at(self, whitening, offset, u: Float[Array, " d"]) -> Float[Array, " rows+1"]:
        model = self.prior.model(self.prior.vector(u))
        return jnp.concatenate(list(self._like.whitened_residuals(model, None, whitening, offset).values()))

    def whitened_residuals(self, whitening: Float[np.ndarray, "rows rows"], u: Float[np.ndarray, "n d"]):
        """Whitened residuals and the (g-2) pull at prior quantiles, (n, rows + 1)."""
        return self._residuals(whitening, u)

    def values(self, whitening: Float[np.ndarray, "rows rows"], u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Log-likelihood at prior quantiles."""
        return -0.5 * (self._residuals(whitening, u) ** 2).sum(axis=1)

    def __call__(self, whitening: Float[np.ndarray, "rows rows"]) -> Solutions:
        """Where the descents from all starts end."""
        chosen = self._best_of_slices(self.values(whitening, self._u), self._starts)
        return self.minimise(whitening, self._u[chosen])

    def minimise(self, whitening: Float[np.ndarray, "rows rows"], starts: Float[np.ndarray, "n d"]) -> Solutions:
        """Where the descents from given starts end."""
        return self._descend(whitening, starts, np.zeros((len(starts), len(self._like.data) + 1)))

    def distinct(self, whitening: Float[np.ndarray, "rows rows"], minima: Solutions) -> list[list[int]]:
        """Indices of converged minima, those with the same chi2 and predictions together, best first."""
        whitened_residuals, members = self.whitened_residuals(whitening, minima.u), []
        for i in (i for i in np.argsort(minima.chi2) if minima.converged[i]):
            for group in members:
                first = group[0]
                distance = np.linalg.norm(whitened_residuals[i] - whitened_residuals[first])
                if minima.chi2[i] - minima.chi2[first] < _SAME_CHI2 and distance < _SAME_PREDICTIONS:
                    group.append(i)
                    break
            else:
                members.append([i])
        return members

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
    """What `MultiStart.pseudo` returns, of one chunk from its number; travels to the workers of a cluster."""

    def __init__(self, search: MultiStart, whitening, best, sets: int, seed: int):
        self._search, self._whitening, self._best, self._sets, self._seed = search, whitening, best, sets, seed

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_scan"}

    def __call__(self, k: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        search, best, scan = self._search, self._best, self._scan
        offset = self._noise(k, scan.shape[1]) - search.whitened_residuals(self._whitening, best[None])
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
        return self._search.whitened_residuals(self._whitening, self._search._u)


class Modes(NamedTuple):
    """Minima that contend for the best, each judged with the theory covariance at itself, smallest such chi2 first.

    Attributes:
        u: prior quantiles, (k, d).
        chi2: with the covariance that the fit ended with, (k,).
        own_chi2: with the covariance at the minimum itself, (k,).
    """

    u: Float[np.ndarray, "k d"]
    chi2: Float[np.ndarray, " k"]
    own_chi2: Float[np.ndarray, " k"]


class RegionFit(NamedTuple):
    """Best fit of a region.

    Attributes:
        like: the marginalised likelihood with its theory covariance at `reference`.
        reference: parameter vector at which the covariance is taken.
        vector: best fit of `like` itself, the same up to `_SETTLED` where the fit settled.
        log_likelihood: there.
        values: log-likelihood at (n, d) prior quantiles, compiled already.
        minima: of `like`, one per start.
        search: what found them, compiled already.
        modes: the minima that contend for the best.
        settled: whether the best fit with the covariance at the reference is the reference.
    """

    like: Likelihood
    reference: Float[np.ndarray, " d"]
    vector: Float[np.ndarray, " d"]
    log_likelihood: float
    values: HostFunction
    minima: Solutions
    search: MultiStart
    modes: Modes
    settled: bool

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What `restored_fit` takes."""
        modes = {f"mode_{name}": array for name, array in self.modes._asdict().items()}
        return {"reference": self.reference, "settled": np.array(self.settled), **modes, **self.minima._asdict()}


def fit_with_covariance(like: Likelihood, prior: Prior, *, seed: int = 0, starts: int = STARTS) -> RegionFit:
    """The marginalised likelihood with its theory covariance at the region's best fit: a fixed point.

    A first search takes the covariance at the Standard Model. The minima that contend for the best are then judged with
    the covariance at themselves: each is followed, covariance to minimum to covariance, until chi2, parameters and
    predictions stay, and the smallest chi2 of these is the reference. A search of the whole region with the covariance
    there must end at it; should it end elsewhere, what it found contends as well. `RegionFit.settled` says whether
    that came to an end.
    """
    marginalised = like.marginalised()
    search = MultiStart(marginalised, prior, seed=seed, starts=starts)
    at_u, minima, u, settled = marginalised, search(marginalised.whitening), None, False
    for _ in range(_MOST_ROUNDS):
        u, still = _best_mode(search, marginalised, at_u.whitening, minima, u)
        at_u = marginalised.at(prior.model(prior.vector(u)))
        minima, here = search(at_u.whitening), search.minimise(at_u.whitening, u[None])
        if settled := still and _same_place(search, at_u.whitening, here, minima):
            _take(minima, here)
            break
    groups = search.distinct(at_u.whitening, minima)[:_CONTENDERS]
    first = np.array([group[0] for group in groups if minima.chi2[group[0]] < minima.chi2.min() + _CONTENDS], int)
    own = np.array([_own_chi2(marginalised, prior, u) for u in minima.u[first]])
    order = np.argsort(own, kind="stable")
    modes = Modes(minima.u[first][order], minima.chi2[first][order], own[order])
    return _region_fit(search, at_u, np.asarray(prior.vector(u)), minima, modes, settled)


def _own_chi2(like: Likelihood, prior: Prior, u: Float[np.ndarray, " d"]) -> float:
    return like.chi2_at_itself(prior.model(prior.vector(u)))


def _best_mode(
    search: MultiStart,
    like: Likelihood,
    whitening: Float[np.ndarray, "rows rows"],
    minima: Solutions,
    former: Float[np.ndarray, " d"] | None,
) -> tuple[Float[np.ndarray, " d"], bool]:
    """The fixed point of smallest chi2 among those that the contending minima lead to, and whether it was reached."""
    groups = search.distinct(whitening, minima)
    best = minima.chi2.min()
    contend = [minima.u[group[0]] for group in groups[:_CONTENDERS] if minima.chi2[group[0]] < best + _CONTENDS]
    contend = (contend or [minima.best]) + ([] if former is None else [former])
    own = np.array([_own_chi2(like, search.prior, u) for u in contend])
    ends = [_followed(search, like, u) for u, value in zip(contend, own, strict=True) if value < own.min() + 1.0]
    u, _, still = min(ends, key=lambda end: end[1])
    return u, still


def _followed(search: MultiStart, like: Likelihood, u: Float[np.ndarray, " d"]):
    """Where covariance and minimum agree, from a minimum; chi2 there, and whether they came to agree."""
    prior, chi2 = search.prior, np.inf
    for _ in range(_MOST_STEPS):
        whitening = like.at(prior.model(prior.vector(u))).whitening
        found = search.minimise(whitening, u[None])
        moved = search.whitened_residuals(whitening, np.stack([u, found.best]))
        changes = abs(found.chi2[0] - chi2), np.abs(found.best - u).max(), np.linalg.norm(moved[1] - moved[0])
        u, chi2 = found.best, float(found.chi2[0])
        if max(changes) < _SETTLED:
            return u, chi2, True
    return u, chi2, False


def _same_place(
    search: MultiStart, whitening: Float[np.ndarray, "rows rows"], here: Solutions, minima: Solutions
) -> bool:
    """Whether the lowest of the minima is the one minimum `here`, or another that is no lower."""
    if minima.chi2.min() > here.chi2[0] - _SETTLED:
        return True
    there, at = search.whitened_residuals(whitening, np.stack([minima.best, here.best]))
    return minima.chi2.min() > here.chi2[0] - _SAME_CHI2 and float(np.linalg.norm(there - at)) < _SAME_PREDICTIONS


def _take(minima: Solutions, here: Solutions) -> None:
    """Put the one minimum `here`, which was followed further, in the place of the lowest of the minima: along a
    direction that nothing determines they may lie apart.
    """
    lowest = np.argmin(minima.chi2)
    minima.u[lowest], minima.gradient_norm[lowest] = here.u[0], here.gradient_norm[0]
    minima.chi2[lowest] = min(minima.chi2[lowest], here.chi2[0])


def restored_fit(like: Likelihood, prior: Prior, arrays: Mapping[str, np.ndarray], *, seed: int = 0) -> RegionFit:
    """The fit that `fit_with_covariance` returned, from its `arrays`."""
    marginalised, reference = like.marginalised(), arrays["reference"]
    minima = Solutions(*(arrays[name] for name in Solutions._fields))
    modes = Modes(*(arrays[f"mode_{name}"] for name in Modes._fields))
    search, at_reference = MultiStart(marginalised, prior, seed=seed), marginalised.at(prior.model(reference))
    return _region_fit(search, at_reference, reference, minima, modes, bool(arrays["settled"]))


def _region_fit(
    search: MultiStart,
    like: Likelihood,
    reference: Float[np.ndarray, " d"],
    minima: Solutions,
    modes: Modes,
    settled: bool,
) -> RegionFit:
    whitening = like.whitening
    vector, log_likelihood = np.asarray(search.prior.vector(minima.best)), -0.5 * float(minima.chi2.min())
    values = partial(search.values, whitening)
    return RegionFit(like, reference, vector, log_likelihood, values, minima, search, modes, settled)
