"""Best fit of a region, with the theory covariance taken at that best fit: a fixed point.

Inputs: a likelihood and a prior. Outputs: the likelihood with its covariance there, and its minima. Section 4.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.compute.batch import HostFunction
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.optimise.descents import Solutions
from jaxdark.optimise.multistart import SAME_CHI2, SAME_PREDICTIONS, STARTS, MultiStart
from jaxdark.optimise.optax_descents import LEVENBERG_MARQUARDT, Optimizer

_MOST_CONTENDERS, _CONTENDS_WITHIN = 8, 6.0
"""Minima that are looked at with the covariance at themselves: so many, and within so much of the smallest chi2, which
a covariance taken elsewhere can be wrong by."""
_MOST_STEPS, _MOST_ROUNDS = 20, 4
"""Of one minimum to its fixed point, and of the search of the whole region."""
_SETTLED = 1e-4
"""Change of chi2, of prior quantiles and of predictions in standard deviations at which a fixed point is reached."""


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
        search: of the minima, compiled already.
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


def fit_with_covariance(
    like: Likelihood,
    prior: Prior,
    *,
    seed: int = 0,
    starts: int = STARTS,
    optimizer: Optimizer = LEVENBERG_MARQUARDT,
) -> RegionFit:
    """The marginalised likelihood with its theory covariance at the region's best fit: a fixed point.

    A first search takes the covariance at the Standard Model. The minima that contend for the best are then judged with
    the covariance at themselves: each is followed, covariance to minimum to covariance, until chi2, parameters and
    predictions stay, and the smallest chi2 of these is the reference. A search of the whole region with the covariance
    there must end at it; should it end elsewhere, that minimum contends as well. `RegionFit.settled` says whether that
    came to an end. Arguments as for `MultiStart`.
    """
    marginalised = like.without_nuisances()
    like.terms_beside.check(type(prior.model(prior.vector(np.full(len(prior.names), 0.5)))))
    search = MultiStart(marginalised, prior, seed=seed, starts=starts, optimizer=optimizer)
    at_reference, minima, reference, settled = marginalised, search(marginalised.whitening), None, False
    for _ in range(_MOST_ROUNDS):
        candidates = contenders(search, at_reference.whitening, minima)
        candidates = minima.u[candidates] if len(candidates) else minima.best[None]
        if reference is not None:
            candidates = np.concatenate([candidates, reference[None]])
        reference, agrees = _lowest_fixed_point(search, candidates)
        at_reference = marginalised.at(prior.model(prior.vector(reference)))
        whitening = at_reference.whitening
        minima, again = search(whitening), search.minimise(whitening, reference[None])
        if settled := agrees and _same_minimum(search, whitening, again, minima):
            _replace_lowest(minima, again)
            break
    contending = contenders(search, at_reference.whitening, minima)
    own_chi2 = _own_chi2(search, minima.u[contending])
    order = np.argsort(own_chi2, kind="stable")
    modes = Modes(minima.u[contending][order], minima.chi2[contending][order], own_chi2[order])
    return _region_fit(search, at_reference, np.asarray(prior.vector(reference)), minima, modes, settled)


def contenders(
    search: MultiStart, whitening: Float[np.ndarray, "rows rows"], minima: Solutions
) -> Float[np.ndarray, " k"]:
    """Indices of the distinct minima whose chi2 is near enough to the smallest to be the best at another covariance."""
    groups = search.distinct(whitening, minima)[:_MOST_CONTENDERS]
    smallest = minima.chi2.min()
    return np.array([group[0] for group in groups if minima.chi2[group[0]] < smallest + _CONTENDS_WITHIN], int)


def _own_chi2(search: MultiStart, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
    """chi2 of each point with the theory covariance at itself."""
    prior = search.prior
    return np.array([search.like.chi2_at_itself(prior.model(prior.vector(u))) for u in points])


def _lowest_fixed_point(search: MultiStart, candidates: Float[np.ndarray, "k d"]) -> tuple[np.ndarray, bool]:
    """The fixed point of smallest chi2 among those that the candidates lead to, and whether it was reached.

    Candidates whose chi2 with the covariance at themselves is more than 1 above the smallest are left out.
    """
    own_chi2 = _own_chi2(search, candidates)
    ends = [_fixed_point(search, u) for u in candidates[own_chi2 < own_chi2.min() + 1.0]]
    u, _, agrees = min(ends, key=lambda end: end[1])
    return u, agrees


def _fixed_point(search: MultiStart, u: Float[np.ndarray, " d"]) -> tuple[np.ndarray, float, bool]:
    """Where covariance and minimum agree, from a minimum; chi2 there, and whether they came to agree."""
    prior, chi2 = search.prior, np.inf
    for _ in range(_MOST_STEPS):
        whitening = search.like.at(prior.model(prior.vector(u))).whitening
        minimum = search.minimise(whitening, u[None])
        before, after = search.whitened_residuals(whitening, np.stack([u, minimum.best]))
        changes = abs(minimum.chi2[0] - chi2), np.abs(minimum.best - u).max(), np.linalg.norm(after - before)
        u, chi2 = minimum.best, float(minimum.chi2[0])
        if max(changes) < _SETTLED:
            return u, chi2, True
    return u, chi2, False


def _same_minimum(
    search: MultiStart, whitening: Float[np.ndarray, "rows rows"], one: Solutions, minima: Solutions
) -> bool:
    """Whether the lowest of the minima is the minimum `one`, or another that is no lower."""
    if minima.chi2.min() > one.chi2[0] - _SETTLED:
        return True
    lowest, other = search.whitened_residuals(whitening, np.stack([minima.best, one.best]))
    return minima.chi2.min() > one.chi2[0] - SAME_CHI2 and float(np.linalg.norm(lowest - other)) < SAME_PREDICTIONS


def _replace_lowest(minima: Solutions, one: Solutions) -> None:
    """Replace the lowest of the minima by the minimum `one`, which was followed from the reference.

    Along a direction that nothing determines the two may lie apart.
    """
    lowest = np.argmin(minima.chi2)
    minima.u[lowest], minima.gradient_norm[lowest] = one.u[0], one.gradient_norm[0]
    minima.chi2[lowest] = min(minima.chi2[lowest], one.chi2[0])


def restored_fit(like: Likelihood, prior: Prior, arrays: Mapping[str, np.ndarray], *, seed: int = 0) -> RegionFit:
    """The fit that `fit_with_covariance` returned, from its `arrays`."""
    marginalised, reference = like.without_nuisances(), arrays["reference"]
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
