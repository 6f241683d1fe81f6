"""Descents from many starts under limits: a search that takes the place of `MultiStart` in a fit.

Inputs: a likelihood, a prior, the constraints. Outputs: optima of the log-likelihood among the points that break none,
and the one of largest gain.
"""

from functools import cached_property, partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched
from jaxdark.compute.cluster import threads
from jaxdark.constraints.choice import ChosenConstraints
from jaxdark.constraints.limit import LimitResult
from jaxdark.constraints.registry import verdicts
from jaxdark.errors import RequestError, listed
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.optimise.augmented import AugmentedLagrangian, ConstrainedSolutions
from jaxdark.optimise.descents import TOLERANCE, Solutions
from jaxdark.optimise.multistart import MultiStart
from jaxdark.optimise.region_fit import contenders

STARTS = 64
_POINTS = 2**14
_TIGHTER = 1e-5
"""By which limits are made tighter, so that an optimum on one breaks it not even by rounding."""
_PENALTY = 20.0
"""On the square of each excess, in chi2, where prior points are ranked."""
_MOST_ROUNDS, _MOST_STEPS = 4, 12
"""Searches from all starts, and steps of one optimum to that of the profile log-likelihood."""
_SAME, _SETTLED = 0.02, 1e-4
"""Distance in prior quantiles within which an optimum has been followed already, and in these and in the log-likelihood
within which it has come to rest."""
_STEP, _NO_SLOPE = 1e-4, 1e-5
"""Of central differences, in prior quantiles, and share of the largest slope below which a direction has none."""
_OUTSIDE = 1e6
"""chi2 at which points that break limits begin, in the ranking of ends."""


def excess_over(ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Excess over a limit from the ratio of value and limit: ratio - 1 below 1, ln(ratio) above, as ratios reach 1e6.

    Value and slope are continuous at 1, where a multiplier is thus the gain per relative loosening of the limit.
    """
    above = ratio > 1
    return jnp.where(above, jnp.log(jnp.where(above, ratio, 1.0)), ratio - 1) + _TIGHTER


class ConstrainedSearch(MultiStart):
    """Best fits under limits, at varying theory covariances: compiled once for all of them.

    Starts are the best of the prior points in each slice of the first parameter, by chi2 with a penalty on what they
    exceed. Of `Solutions`, chi2 is that of the likelihood for ends that keep all limits; the others come behind.

    Args:
        like: the likelihood; mode "marginalised" is used whatever its mode.
        prior: parameters and their ranges.
        limits: those to keep.
        seed: of the prior points.
        starts: number of slices.

    Attributes:
        constraints: those that have a limit at some prior point, in the order of all excesses and multipliers.
        last: the ends of the last search from all starts.

    Raises:
        RequestError: a constraint that was named has no limit in the region, or none has.
    """

    def __init__(
        self, like: Likelihood, prior: Prior, limits: ChosenConstraints, *, seed: int = 0, starts: int = STARTS
    ):
        super().__init__(like.without_nuisances(), prior, seed=seed, points=_POINTS, starts=starts)
        self._rebuild = partial(ConstrainedSearch, like, prior, limits, seed=seed, starts=starts)
        self._all = limits.constraints
        self._judged = batched(self._judged_at, workers=threads())
        _, found = self._judged(self.like.whitening, self.points)
        limited = np.isfinite(found.limit).any(axis=0)
        _check_limited(limits, limited, prior)
        self._limited = np.flatnonzero(limited)
        self.constraints = tuple(self._all[i] for i in self._limited)
        self._penalty = _PENALTY * (np.maximum(self._excess_of(found), 0.0) ** 2).sum(axis=1)
        self._known: dict[bytes, ConstrainedSolutions] = {}
        self.last: ConstrainedSolutions | None = None

    def _judged_at(self, whitening, u: Float[Array, " d"]) -> tuple[Float[Array, ""], LimitResult]:
        model = self.prior.model(self.prior.vector(u))
        return jnp.sum(self._residuals_at(whitening, None, u) ** 2), verdicts(model, self.like.sm, self._all)

    def _excess_of(self, found: LimitResult) -> Float[np.ndarray, "n k"]:
        return np.asarray(excess_over(found.ratio[:, self._limited]))

    @cached_property
    def _descend_under_limits(self) -> AugmentedLagrangian:
        def excess(u: Float[Array, " d"]) -> Float[Array, " k"]:
            model = self.prior.model(self.prior.vector(u))
            return excess_over(verdicts(model, self.like.sm, self.constraints).ratio)

        def judge(shared, u):
            chi2, found = self._judged(shared[0], u)
            return chi2, self._excess_of(found)

        return AugmentedLagrangian(lambda shared, u: self._residuals_at(*shared, u), excess, judge, threads())

    def limits_at(self, u: Float[np.ndarray, " d"]) -> LimitResult:
        """Value, limit and ratio of the constraints at prior quantiles, fields of shape (constraints,)."""
        _, found = self._judged(self.like.whitening, u[None])
        return LimitResult(*(field[0, self._limited] for field in found))

    def end_at(self, u: Float[np.ndarray, " d"]) -> ConstrainedSolutions:
        """The end of a descent at u, with its multipliers."""
        return self._known[u.tobytes()]

    def __call__(
        self,
        whitening: Float[np.ndarray, "residuals residuals"],
        offset: Float[np.ndarray, " residuals+1"] | None = None,
    ) -> Solutions:
        """Where the descents from all starts end, with an offset on the residuals of all."""
        offsets = None if offset is None else offset[None]
        if self.last is not None and not self.last.feasible.any():
            return self.minimise(whitening, self.last.u, offsets)
        ranking = self._penalty - 2 * self.values(whitening, self.points)
        chosen = self.best_of_slices(-ranking, self._starts)
        solutions = self.minimise(whitening, self.points[chosen], offsets)
        self.last = self._ends
        return solutions

    def minimise(
        self,
        whitening: Float[np.ndarray, "residuals residuals"],
        starts: Float[np.ndarray, "n d"],
        offsets: Float[np.ndarray, "1 residuals+1"] | None = None,
        *,
        tolerance: float = TOLERANCE,
    ) -> Solutions:
        """Where the descents from given starts end; those from earlier ends begin with the multipliers of these.

        Ends that break limits stay as they are if all do: limits know nothing of the covariance.

        Args:
            whitening: of the likelihood.
            starts: prior quantiles.
            offsets: one for all starts, added to the residuals that are minimised, not to the chi2 that is handed back.
            tolerance: of a search without limits, not used.
        """
        former = [end for u in starts if (end := self._known.get(u.tobytes())) is not None]
        begin = None
        if len(former) == len(starts):
            begin = ConstrainedSolutions(*(np.concatenate(field) for field in zip(*former, strict=True)))
        if begin is not None and not begin.feasible.any():
            ends = begin
        else:
            own = (None, None) if begin is None else (begin.multipliers, begin.stiffness)
            offset = np.zeros(self.like.n_residuals + 1) if offsets is None else offsets[0]
            ends = self._descend_under_limits((whitening, offset), starts, *own)
        self._ends = ends
        self._known |= {u.tobytes(): ends.take([i]) for i, u in enumerate(ends.u)}
        largest = ends.excess.max(axis=1)
        chi2 = np.where(ends.feasible, ends.chi2, _OUTSIDE * (1 + np.maximum(largest, 0.0)))
        return Solutions(ends.u.copy(), np.where(np.isnan(chi2), np.inf, chi2), ends.gradient_norm.copy(), ends.steps)

    def distinct(self, whitening: Float[np.ndarray, "residuals residuals"], minima: Solutions) -> list[list[int]]:
        """As in a search without limits, of the ends that keep all of them, whether they have converged or not."""
        return super().distinct(whitening, minima._replace(gradient_norm=np.where(minima.chi2 < _OUTSIDE, 0.0, np.inf)))


def _check_limited(limits: ChosenConstraints, limited: Float[np.ndarray, " k"], prior: Prior) -> None:
    """Raise RequestError unless all that were asked for by themselves, and at least one, have a limit somewhere."""
    without = [
        entry.id for entry, has in zip(limits.constraints, limited, strict=True) if entry.id in limits.named and not has
    ]
    where = f"nowhere in the region {prior.region} of the model {prior.model_name}"
    if without:
        raise RequestError(f"{listed(without)} has a limit {where}; leave it out of what the fit is subject to")
    if not limited.any():
        raise RequestError(
            f"of the constraints asked for ({listed(limits.words)}) any has a limit {where}; name others"
        )


class LargestGain(NamedTuple):
    """The optimum of largest gain over the Standard Model.

    Attributes:
        like: the marginalised likelihood with its theory covariance at `reference`.
        reference: parameter vector at which the covariance is taken.
        ends: of the last search from all starts, made with that covariance; the optimum itself before them.
        settled: whether the optimum is that of the profile log-likelihood, and that search found no larger gain.
    """

    like: Likelihood
    reference: Float[np.ndarray, " d"]
    ends: Solutions
    settled: bool


class _Followed(NamedTuple):
    """An optimum of the profile log-likelihood under limits, and whether it came to rest there."""

    log_likelihood: float
    u: np.ndarray
    settled: bool


def largest_gain(search: ConstrainedSearch) -> LargestGain:
    """Follow the optima that contend for the largest gain, each to an optimum of the profile log-likelihood.

    The first search takes the theory covariance at the Standard Model, the others that of the best so far, until a
    search finds no better one. Where no end keeps all limits it is that which breaks them least.
    """
    like, prior = search.like, search.prior
    followed: list[_Followed] = []
    at_best, offset, best, settled = like, None, None, False
    for _ in range(_MOST_ROUNDS):
        ends = search(at_best.whitening, offset)
        for u in ends.u[contenders(search, at_best.whitening, ends)]:
            if all(np.abs(u - other.u).max() > _SAME for other in followed):
                followed.append(_follow(search, u))
        better = max(followed, key=lambda one: one.log_likelihood, default=None)
        settled = better is None or (best is not None and better.log_likelihood < best.log_likelihood + _SETTLED)
        if better is None or settled:
            break
        best = better
        at_best, offset = _tangent(search, best.u)
    u = ends.best if best is None else best.u
    again = search.minimise(at_best.whitening, u[None], None if offset is None else offset[None])
    ends = Solutions(*(np.concatenate(fields) for fields in zip(again, ends, strict=True)))
    settled = settled and (best is None or best.settled)
    return LargestGain(at_best, np.asarray(prior.vector(u)), ends, settled)


def _follow(search: ConstrainedSearch, u: Float[np.ndarray, " d"]) -> _Followed:
    """From an optimum at some covariance to one of the profile log-likelihood: tangent to optimum to tangent."""
    best = _Followed(_profiled(search, u), u, False)
    for _ in range(_MOST_STEPS):
        at_u, offset = _tangent(search, u)
        before, end = _profiled(search, u), search.minimise(at_u.whitening, u[None], offset[None])
        if not search.end_at(end.best).feasible[0]:
            break
        change, u = np.abs(end.best - u).max(), end.best
        after = _profiled(search, u)
        settled = max(change, abs(after - before)) < _SETTLED
        if after > best.log_likelihood or settled:
            best = _Followed(after, u, settled)
        if settled:
            break
    return best


def _profiled(search: ConstrainedSearch, u: Float[np.ndarray, " d"]) -> float:
    """Profile log-likelihood at prior quantiles, see `Likelihood.evaluate`."""
    return search.like.evaluate(search.prior.model(search.prior.vector(u))).log_likelihood


def _tangent(
    search: ConstrainedSearch, u: Float[np.ndarray, " d"]
) -> tuple[Likelihood, Float[np.ndarray, " residuals+1"]]:
    """A likelihood with a fixed theory covariance that is stationary where the profile log-likelihood is.

    A covariance that is taken at u and kept fixed does not know that the theory's errors change with the parameters:
    its optimum may lie lower in the gain, even below that under more limits. The smallest offset on its residuals is
    added that makes the gradient of its chi2/2 at u that of the profile. Gradients are by central differences, of which
    an optimum needs few.

    Returns:
        The likelihood with its covariance at u, and the offset.
    """
    like = search.like.at(search.prior.model(search.prior.vector(u)))
    step = _STEP * np.eye(len(u))
    up, down = np.clip(u + step, 0.0, 1.0), np.clip(u - step, 0.0, 1.0)
    spacing = np.diag(up - down)[:, None]
    residuals = search.whitened_residuals(like.whitening, np.concatenate([u[None], up, down]))
    J = (residuals[1 : len(u) + 1] - residuals[len(u) + 1 :]) / spacing
    profile = np.array([[-_profiled(search, point) for point in points] for points in (up, down)])
    slope = (profile[0] - profile[1]) / spacing[:, 0]
    return like, np.linalg.lstsq(J, slope - J @ residuals[0], rcond=_NO_SLOPE)[0]
