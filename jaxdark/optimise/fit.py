"""Best fit with its errors, the other minima, and how well the data are described, Section 4.

Inputs: a likelihood and a prior. Outputs: a `FitResult`, the record of `fit.json`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.compute.bounds import checked_seed, count, fits_memory
from jaxdark.compute.cluster import connected
from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import Likelihood, check_likelihood
from jaxdark.likelihood.priors import Prior, prior_of
from jaxdark.likelihood.provenance import provenance
from jaxdark.models.base import Model
from jaxdark.models.wilson import SM_ONLY
from jaxdark.optimise.conditional import Report
from jaxdark.optimise.descents import CONVERGED, STATUS_SENTENCES, TOLERANCE
from jaxdark.optimise.fit_result import Descents, FitResult, FittedParameter, Minimum, PseudoData, Pull, StartCounts
from jaxdark.optimise.multistart import MOST_STARTS
from jaxdark.optimise.optax_descents import LEVENBERG_MARQUARDT, Optimizer, optimizer_name
from jaxdark.optimise.region_fit import RegionFit, fit_with_covariance
from jaxdark.optimise.toys import TOY_TOLERANCE, fit_toys
from jaxdark.optimise.uncertainties import uncertainties
from jaxdark.precision import usual_rules

_LISTED = 20
"""Minima in the record."""
_DEGENERATE = 0.05
"""Spread in prior quantiles, of descents to one minimum, above which a parameter is called degenerate."""
_BYTES_PER_SET = 64
"""chi2 and gradient norm of each set of pseudo-data, as they come and put together."""


@usual_rules()
def fit(
    like: Likelihood,
    prior: str | Prior = "high",
    *,
    n_starts: int = 256,
    toys: int = 500,
    optimizer: Optimizer = LEVENBERG_MARQUARDT,
    seed: int = 0,
    report: Report | None = None,
    scheduler: Any = None,
) -> FitResult:
    """Best fit of a model in one region by many starts at once, with errors and goodness of fit.

    chi2 is -2 ln L: all rows with experimental and theory covariance, and (g-2). The theory covariance is taken at the
    region's best fit, iterated to a fixed point, as for `sample`; the gain over the Standard Model is that of two
    profile likelihoods, with the nuisances at their best values for either, see `Likelihood.evaluate`. Errors are those
    of chi2 = minimum + 1 for a parabola, from the Hessian and from J^T J of the whitened residuals (Fisher); parameters
    that are fixed or on an edge of the prior are held, and those that the data do not determine have no error and take
    none from the others.

    The default optimiser is our own Levenberg-Marquardt method in the form of an optax transformation, see
    `least_squares`. Any optax optimiser may take its place, on the same starts and in the same prior quantiles, for
    all descents of the fit. A descent ends when its gradient norm (see `Solutions`) is below 1e-4, 1e-2 for
    pseudo-data, when it meets a value that is not finite, or after 200 steps (2000 of an optax optimiser).

    Args:
        like: the likelihood, in mode "marginalised" or "following", the latter without pseudo-data.
        prior: a `Prior`, or the name of a region of Table 1, "high" or "low".
        n_starts: descents, one in each slice of the first parameter.
        toys: sets of pseudo-data for the p-value, each fitted by descents from the best fit and from the best prior
            points of three slices; 0 leaves it out.
        optimizer: "lm" (our Levenberg-Marquardt), "lbfgs" or "adam" (learning rate 0.01) of optax, or an optax
            transformation such as `optax.lbfgs(memory_size=20)`. The alternatives take longer.
        seed: of scan and pseudo-data.
        report: called with (stage, done, all) as work proceeds.
        scheduler: address of a Dask scheduler, or a Dask client or cluster, whose workers fit the pseudo-data; None is
            this process, with the same result.

    Raises:
        RequestError: single precision, mode "full", an unknown region or optimiser, impossible numbers of starts or
            pseudo-data, or a scheduler that does not answer or has nothing to do.
        OSError: the cluster failed.
    """
    prior, seed = prior_of(prior), checked_seed(seed)
    without_nuisances_only(like)
    if toys and like.theory == "following":
        raise RequestError(
            f"pseudo-data are drawn from one covariance, got the theory following and {count(toys)} sets; take 0 sets, "
            "or the theory marginalised"
        )
    name = optimizer_name(optimizer)
    if not 1 <= n_starts <= MOST_STARTS or toys < 0:
        raise RequestError(
            f"expected 1 to {MOST_STARTS} starts, the number of prior points they are chosen from, and at least 0 sets "
            f"of pseudo-data, got {count(n_starts)} and {count(toys)}"
        )
    fits_memory(toys * _BYTES_PER_SET, f"{count(toys)} sets of pseudo-data", "take fewer sets")
    if scheduler is not None and not toys:
        raise RequestError("a scheduler fits sets of pseudo-data, got one and 0 sets; give some, or leave it out")
    report = report or (lambda stage, done, total: None)
    with connected(scheduler) as client:
        report("best fit", 0, 1)
        region_fit = fit_with_covariance(like, prior, seed=seed, starts=n_starts, optimizer=optimizer)
        report("best fit", 1, 1)
        known = uncertainties(region_fit.like, prior, region_fit.minima.best)
        minima = _distinct_minima(region_fit, prior)
        goodness = _goodness(region_fit, prior, toys, seed, client, report)
    model, solutions = prior.model(region_fit.vector), region_fit.minima
    norm = float(solutions.gradient_norm[np.argmin(solutions.chi2)])
    converged = norm < TOLERANCE and bool(minima)
    return FitResult(
        model=model,
        like=region_fit.like,
        provenance=provenance(like, prior, seed=seed).json()
        | {"covariance_at": covariance_at(prior, region_fit.reference)},
        converged=converged,
        status=_status(region_fit, converged, minima, known.parameters, goodness.pseudo_data),
        gradient_norm=norm,
        tolerance=TOLERANCE,
        starts=StartCounts(len(solutions.chi2), int(solutions.converged.sum()), minima[0].starts if minima else 0),
        descents=Descents.of(
            solutions,
            name,
            f"its gradient norm is below {TOLERANCE:g}, when it meets a value that is not finite, or after "
            f"{region_fit.search.most_steps} steps",
            STATUS_SENTENCES,
        ),
        **known._asdict(),
        minima=minima[:_LISTED],
        minima_found=len(minima),
        **against_data(region_fit.like, model),
        log_likelihood=region_fit.log_likelihood,
        **goodness._asdict(),
    )


def without_nuisances_only(like: Likelihood) -> None:
    """Raise RequestError for a likelihood in mode "full", or for what is none."""
    check_likelihood(like)
    if like.theory == "full":
        raise RequestError(
            "fits and profiles need theory='marginalised' or 'following', which minimise over the nuisances to first "
            f"order, got theory={like.theory!r}; `jaxdark sample --theory full` has the nuisances as parameters"
        )


def covariance_at(prior: Prior, reference: Float[np.ndarray, " d"]) -> dict[str, float]:
    """Parameters by name of the point at which the theory covariance is taken."""
    return dict(zip(prior.names, reference.tolist(), strict=True))


def _distinct_minima(region_fit: RegionFit, prior: Prior) -> list[Minimum]:
    """Minima that differ in chi2 or predictions, best first, each with the number of starts that reached it, and those
    that contend for the best with chi2 where the theory covariance is taken at themselves.
    """
    minima, modes = region_fit.minima, region_fit.modes
    vectors = np.asarray(prior.vector(minima.u))
    own_chi2 = {tuple(u): chi2 for u, chi2 in zip(modes.u, modes.own_chi2.tolist(), strict=True)}
    return [
        Minimum(
            chi2=float(minima.chi2[group[0]]),
            own_chi2=own_chi2.get(tuple(minima.u[group[0]])),
            starts=len(group),
            gradient_norm=float(minima.gradient_norm[group[0]]),
            parameters=dict(zip(prior.names, vectors[group[0]].tolist(), strict=True)),
            # Parameters far apart with the same predictions are one valley; a fixed one is apart from nothing.
            spread=dict(zip(prior.names, (np.ptp(minima.u[group], axis=0) * ~prior.fixed).tolist(), strict=True)),
        )
        for group in region_fit.search.distinct(region_fit.like.whitening, minima)
    ]


def _status(
    region_fit: RegionFit,
    converged: bool,
    minima: Sequence[Minimum],
    parameters: dict[str, FittedParameter],
    pseudo_data: PseudoData,
) -> str:
    """A sentence that says whether the fit converged and what else a user should know of it."""
    solutions, remarks = region_fit.minima, []
    ran = len(solutions.chi2)
    if converged:
        which = "the only minimum" if len(minima) == 1 else f"the best of {len(minima)} minima"
        remarks.append(f"converged: {minima[0].starts} of {ran} starts reached {which}")
    else:
        norm = solutions.gradient_norm[np.argmin(solutions.chi2)]
        remarks.append(
            f"not converged: the gradient norm at the lowest chi2 is {norm:.2g}, above {TOLERANCE:g}; "
            f"try more than {ran} starts or another seed"
        )
    if not region_fit.settled:
        remarks.append(
            "the theory covariance has not come to rest: with that at covariance_at the best fit lies elsewhere; "
            "compare own_chi2 of the minima"
        )
    given_up = sum(status != CONVERGED for status in solutions.status)
    if given_up:
        remarks.append(f"{given_up} starts were given up before they converged")
    degenerate = [name for name, spread in (minima[0].spread if minima else {}).items() if spread > _DEGENERATE]
    if degenerate:
        remarks.append(f"degenerate: points with different {', '.join(degenerate)} predict the same")
    edges = [name for name, parameter in parameters.items() if parameter.on_edge]
    if edges:
        remarks.append(f"{', '.join(edges)} on an edge of the prior")
    reasons: dict[str, list[str]] = {}
    for name, parameter in parameters.items():
        if not parameter.on_edge and parameter.hessian_reason is not None:
            reasons.setdefault(parameter.hessian_reason, []).append(name)
    remarks += [f"no error for {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if pseudo_data.not_converged:
        remarks.append(
            f"{pseudo_data.not_converged} of {pseudo_data.sets} fits to pseudo-data were given up before they converged"
        )
    return "; ".join(remarks)


class _Goodness(NamedTuple):
    """The fields of `FitResult` that tell how well the data are described."""

    chi2: float
    dof: int | None
    p_value: float | None
    pseudo_data: PseudoData
    missing: dict[str, str] | None


def _goodness(region_fit: RegionFit, prior: Prior, sets: int, seed: int, client: Any, report: Report) -> _Goodness:
    """chi2, degrees of freedom, and the share of fits to pseudo-data that are worse."""
    like, solutions, free = region_fit.like, region_fit.minima, int((~prior.fixed).sum())
    chi2 = float(solutions.chi2.min())
    measured = like.measured(prior.model(region_fit.vector))
    if measured <= free:
        reason = (
            f"there is no goodness of fit: {free} free parameter{'s' * (free != 1)} for {measured} measured "
            f"value{'s' * (measured != 1)}"
        )
        return _Goodness(chi2, None, None, PseudoData(0), {"dof": reason, "p_value": reason})
    if not sets:
        return _Goodness(chi2, measured - free, None, PseudoData(0), {"p_value": "no pseudo-data were asked for"})
    report("pseudo-data", 0, sets)
    toys, norm = fit_toys(
        region_fit.search,
        like.whitening,
        solutions.best,
        sets,
        seed,
        scheduler=client,
        progress=partial(report, "pseudo-data"),
    )
    worse = int((toys >= chi2).sum())
    p_value = worse / sets
    pseudo_data = PseudoData(
        sets=sets,
        not_converged=int((norm > TOY_TOLERANCE).sum()),
        worse=worse,
        p_value_error=float(np.sqrt(max(p_value * (1 - p_value), 1 / sets) / sets)),
        mean_chi2=float(toys.mean()),
    )
    return _Goodness(chi2, measured - free, p_value, pseudo_data, None)


def against_data(like: Likelihood, model: Model) -> dict[str, Any]:
    """Pulls, and the distance to the Standard Model: both with the nuisances at their own best values (integrated over
    in mode "following") and with the theory errors of either; the terms are those of the likelihood as it is given.
    """
    either = like.at(None)
    at_sm, at_best = either.evaluate(SM_ONLY), either.evaluate(model)
    return {
        "profile_log_likelihood": at_best.log_likelihood,
        "sm_log_likelihood": at_sm.log_likelihood,
        "delta_chi2_sm": 2 * (at_best.log_likelihood - at_sm.log_likelihood),
        "compared_at": like.compared_at,
        "terms": like.evaluate(model).terms,
        "pulls": [
            Pull(row.id, float(sm), float(best))
            for row, sm, best in zip(like.data.rows, at_sm.pulls, at_best.pulls, strict=True)
        ],
    }
