"""The largest gain in log-likelihood over the Standard Model among the points of a prior that break no chosen limit.

Inputs: a likelihood, a prior, the limits. Outputs: a `ConstrainedFit`, the record of `fit.json` with --subject-to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdark.compute.bounds import checked_seed, count
from jaxdark.constraints.choice import APPLIED, SubjectTo, choose
from jaxdark.errors import RequestError, listed
from jaxdark.io.results import plain
from jaxdark.likelihood.likelihood import Likelihood, check_likelihood
from jaxdark.likelihood.priors import Prior, prior_of, unit
from jaxdark.likelihood.provenance import provenance
from jaxdark.models.base import Model
from jaxdark.optimise.augmented import CONVERGED, ROUNDS, STATUS_SENTENCES, ConstrainedSolutions
from jaxdark.optimise.conditional import Report
from jaxdark.optimise.constrained_search import STARTS, ConstrainedSearch, LargestGain, largest_gain
from jaxdark.optimise.descents import TOLERANCE
from jaxdark.optimise.fit import against_data, covariance_at
from jaxdark.optimise.fit_result import Descents, Pull, StartCounts, fields_of
from jaxdark.optimise.multistart import MOST_STARTS
from jaxdark.precision import usual_rules

_LISTED = 8
"""Optima in the record, each with a profile likelihood of its own."""
_EDGE = 1e-6
_REACHED = 1e-3
"""Distance of a ratio from 1 within which a limit is reached."""


@dataclass(frozen=True)
class ParameterAtBest:
    """A parameter at the optimum.

    Attributes:
        value: in `unit`.
        unit: "GeV" or "1".
        on_edge: whether it is at an end of its prior.
    """

    value: float
    unit: str
    on_edge: bool


@dataclass(frozen=True)
class LimitAtBest:
    """One of the limits, at the optimum.

    Attributes:
        value: what is predicted, in `unit`.
        limit: in the same unit; None where there is none at this point.
        ratio: of the two, see `LimitResult`; at most 1 where the limit is kept.
        active: whether the limit is reached and holds the optimum: its multiplier is not 0.
        multiplier: what ln L would gain per relative loosening of this limit, to first order.
        unit: of value and limit.
        quality: of the limit, see `Constraint`.
        applied: whether it takes part in the verdict on a point by default.
    """

    value: float
    limit: float | None
    ratio: float
    active: bool
    multiplier: float
    unit: str
    quality: str
    applied: bool


@dataclass(frozen=True)
class Optimum:
    """One optimum, which several starts may have reached.

    Attributes:
        gain: in profile log-likelihood over the Standard Model.
        chi2: with the theory covariance of the fit.
        starts: how many descents ended there.
        status: of the best of them, a key of `Descents.meaning`.
        parameters: by name, in their units.
        active: the limits that hold it.
    """

    gain: float
    chi2: float
    starts: int
    status: str
    parameters: Mapping[str, float]
    active: Sequence[str]


@dataclass(frozen=True, eq=False)
class ConstrainedFit:
    """Best fit of a model in a region among the points that break no chosen limit.

    Attributes:
        model: at the optimum.
        like: the likelihood that was maximised, with its theory covariance at `provenance["covariance_at"]`.
        provenance: as in `FitResult`, and `subject_to`, the limits as they were asked for.
        feasible: whether the optimum keeps all limits; without, it is the point that breaks them least.
        converged: whether the conditions of first order hold there, too.
        status: a sentence that says what a user should know of it.
        gain: half of `delta_chi2_sm`.
        gradient_norm: of the Lagrange function at the optimum, see `Solutions`.
        tolerance: for it.
        starts: how many descents were run, keep all limits and have converged, and reached the optimum.
        descents: all of these; their chi2 is that of the data alone.
        parameters: by name.
        limits: every one that has a limit somewhere in the region, by id.
        active: ids of those that hold the optimum, the largest multiplier first.
        optima: the distinct ones, largest gain first, at most 8.
        optima_found: how many there are.
        log_likelihood: with the theory covariance of the fit, constants left out.
        profile_log_likelihood, sm_log_likelihood, delta_chi2_sm, compared_at: as in `FitResult`.
        terms: of the log-likelihood, by name.
        pulls: of every measurement.
    """

    model: Model
    like: Likelihood
    provenance: Mapping[str, Any]
    feasible: bool
    converged: bool
    status: str
    gain: float
    gradient_norm: float
    tolerance: float
    starts: StartCounts
    descents: Descents
    parameters: Mapping[str, ParameterAtBest]
    limits: Mapping[str, LimitAtBest]
    active: Sequence[str]
    optima: Sequence[Optimum]
    optima_found: int
    log_likelihood: float
    profile_log_likelihood: float
    sm_log_likelihood: float
    delta_chi2_sm: float
    compared_at: str
    terms: Mapping[str, float]
    pulls: Sequence[Pull]

    def to_dict(self) -> dict[str, Any]:
        """The content of fit.json: all but model and likelihood in JSON's types, the provenance at the top."""
        content = fields_of(self, leave_out=("model", "like"))
        return plain(content.pop("provenance") | content)


@usual_rules()
def constrained_fit(
    like: Likelihood,
    prior: str | Prior = "high",
    *,
    subject_to: SubjectTo = APPLIED,
    n_starts: int = STARTS,
    seed: int = 0,
    report: Report | None = None,
) -> ConstrainedFit:
    """Best fit of a model in one region among the points that break no limit, by many starts at once.

    As for `fit`, chi2 is -2 ln L with the theory covariance at the optimum, and the gain over the Standard Model is
    that of two profile likelihoods, with the nuisances at their best values for either. Here this gain itself is as
    large as the limits allow, see `largest_gain`, so that no further limit can raise it. The descents are
    those of `fit` on an augmented Lagrangian, see `augmented`. A gradient knows nothing of a step: where a search ends
    in mass, or goes from bin to bin, its ratio is not smooth, and optima there are reached from either side by starts
    of their own alone.

    Args:
        like: the likelihood, in mode "marginalised".
        prior: a `Prior`, or the name of a region of Table 1, "high" or "low".
        subject_to: the limits: "applied", "all", a family such as "invisible", the id of a constraint, a `Constraint`,
            or several of these; see `limits.choose`.
        n_starts: descents, one in each slice of the first parameter.
        seed: of the scan that starts are taken from.
        report: called with (stage, done, all) as work proceeds.

    Raises:
        RequestError: single precision, mode "full", an unknown region, an impossible number of starts, an unknown
            constraint, or one that is not defined for the model or has no limit anywhere in the region.
    """
    prior, seed = prior_of(prior), checked_seed(seed)
    check_likelihood(like)
    if like.theory != "marginalised":
        raise RequestError(f"a fit under limits needs the theory marginalised, got {like.theory}; take that")
    if not 1 <= n_starts <= MOST_STARTS:
        raise RequestError(f"expected 1 to {MOST_STARTS} starts, got {count(n_starts)}")
    middle = prior.model(np.asarray(prior.vector(np.full(len(prior.names), 0.5))))
    limits = choose(subject_to, type(middle), like.g_minus_2)
    report = report or (lambda stage, done, total: None)
    report("scan of the limits", 0, 1)
    search = ConstrainedSearch(like, prior, limits, seed=seed, starts=n_starts)
    report("scan of the limits", 1, 1)
    report("best fit", 0, 1)
    best = largest_gain(search)
    report("best fit", 1, 1)
    return _record(search, best, limits.words, seed)


def _record(search: ConstrainedSearch, best: LargestGain, words: Sequence[str], seed: int) -> ConstrainedFit:
    prior, u, last = search.prior, best.ends.u[0], search.last
    assert last is not None
    vector, end = np.asarray(prior.vector(u)), search.end_at(u)
    model = prior.model(vector)
    compared = against_data(best.like, model)
    optima = _optima(search, best, compared["sm_log_likelihood"])
    limits = _limits_at(search, u, end)
    active = sorted((id for id, limit in limits.items() if limit.active), key=lambda id: -limits[id].multiplier)
    feasible = bool(end.feasible[0]) and all(limit.ratio <= 1 for limit in limits.values())
    converged = feasible and bool(end.converged[0]) and best.settled
    return ConstrainedFit(
        model=model,
        like=best.like,
        provenance=provenance(search.like, prior, seed=seed).json()
        | {"covariance_at": covariance_at(prior, best.reference), "subject_to": list(words)},
        feasible=feasible,
        converged=converged,
        status=_status(end, limits, optima, last, feasible, best.settled),
        gain=compared["delta_chi2_sm"] / 2,
        gradient_norm=float(end.gradient_norm[0]),
        tolerance=TOLERANCE,
        starts=StartCounts(len(last.u), int(last.converged.sum()), optima[0].starts if optima else 0),
        descents=Descents.of(
            last,
            "lm, augmented Lagrangian",
            f"the gradient norm is below {TOLERANCE:g} and all limits are kept, when it meets a value that is not "
            f"finite, or after {ROUNDS} updates of the multipliers",
            STATUS_SENTENCES,
        ),
        parameters={
            name: ParameterAtBest(float(value), unit(name), bool(min(at, 1 - at) < _EDGE and not fixed))
            for name, value, at, fixed in zip(prior.names, vector, u, prior.fixed, strict=True)
        },
        limits=limits,
        active=active,
        optima=optima[:_LISTED],
        optima_found=len(optima),
        log_likelihood=-0.5 * float(end.chi2[0]),
        **compared,
    )


def _limits_at(search: ConstrainedSearch, u: Any, end: ConstrainedSolutions) -> dict[str, LimitAtBest]:
    found = search.limits_at(u)
    return {
        entry.id: LimitAtBest(
            value=float(found.value[i]),
            limit=float(found.limit[i]) if np.isfinite(found.limit[i]) else None,
            ratio=float(found.ratio[i]),
            active=_is_active(end, i),
            multiplier=float(end.multipliers[0, i]),
            unit=entry.unit,
            quality=entry.quality,
            applied=entry.applied,
        )
        for i, entry in enumerate(search.constraints)
    }


def _is_active(end: ConstrainedSolutions, i: int) -> bool:
    return bool(end.multipliers[0, i] > 0 and end.excess[0, i] > -_REACHED)


def _optima(search: ConstrainedSearch, best: LargestGain, sm: float) -> list[Optimum]:
    """The distinct optima, that of the fit first, the others by their gain."""
    prior, ends, optima = search.prior, best.ends, []
    groups = search.distinct(best.like.whitening, ends)
    for group in sorted(groups, key=lambda group: 0 not in group):
        first = 0 if 0 in group else group[0]
        vector, end = np.asarray(prior.vector(ends.u[first])), search.end_at(ends.u[first])
        optima.append(
            Optimum(
                gain=best.like.at(None).evaluate(prior.model(vector)).log_likelihood - sm,
                chi2=float(ends.chi2[first]),
                starts=len(group) - (0 in group),
                status=end.status[0],
                parameters=dict(zip(prior.names, vector.tolist(), strict=True)),
                active=[entry.id for i, entry in enumerate(search.constraints) if _is_active(end, i)],
            )
        )
    return optima[:1] + sorted(optima[1:], key=lambda optimum: -optimum.gain)


def _status(
    end: ConstrainedSolutions,
    limits: Mapping[str, LimitAtBest],
    optima: Sequence[Optimum],
    last: ConstrainedSolutions,
    feasible: bool,
    settled: bool,
) -> str:
    """A sentence that says whether the fit converged and what else a user should know of it."""
    ran = len(last.u)
    if not feasible:
        broken = [f"{id} (ratio {limit.ratio:.4g})" for id, limit in limits.items() if limit.ratio > 1]
        return f"no point that keeps all limits was found from {ran} starts; the nearest breaks {listed(broken)}"
    which = "the only optimum" if len(optima) == 1 else f"the best of {len(optima)} optima"
    if end.status[0] == CONVERGED:
        remarks = [f"converged: {optima[0].starts} of {ran} starts reached {which}"]
    else:
        remarks = [
            f"all limits are kept, but the gradient norm at the optimum is {end.gradient_norm[0]:.2g}, above "
            f"{TOLERANCE:g}: it lies at an edge of a search or between two of its bins, and could be a little better"
        ]
    if not settled:
        remarks.append(
            "the theory covariance has not come to rest: with that at covariance_at a better optimum may lie elsewhere"
        )
    lost = ran - int(last.feasible.sum())
    if lost:
        remarks.append(f"{lost} starts found no point that keeps all limits")
    return "; ".join(remarks)
