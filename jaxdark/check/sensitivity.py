"""What a posterior rests on: which measurement drives it, how far the prior does, and whether it describes the data.

Inputs: a result of `jaxdark sample`. Outputs: tables that follow from its draws by reweighting, without a new run.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import logsumexp
from scipy.stats import chi2

from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.likelihood.priors import Range
from jaxdark.sampling.importance import effective_size

RELIABLE_K = 0.7
"""Pareto shape of the weights above which reweighting cannot stand for a new run (Vehtari et al., 1507.02646)."""
NEEDS = ("derived", "log_likelihood", "posterior_predictive", "observed_data", "measured")
"""What is read of a result beside draws and summary, see `results.load`."""
_SAMPLE = ("chain", "draw")
_NO_GOODNESS = "there is no goodness of fit: fewer measured values than free parameters"


class LeaveOneOut(NamedTuple):
    """The posterior without each measurement in turn, by Pareto-smoothed importance sampling.

    Attributes:
        measurements: ids.
        log_density: log predictive density of each measurement given all others, (measurements,); their sum is
            ArviZ's elpd_loo.
        pareto_k: reliability, see RELIABLE_K.
        shift: of each parameter's mean when it is dropped, in posterior standard deviations, (measurements, d).
        p_value: posterior predictive probability of a value above the measured one.
    """

    measurements: tuple[str, ...]
    log_density: Float[np.ndarray, " measurements"]
    pareto_k: Float[np.ndarray, " measurements"]
    shift: Float[np.ndarray, "measurements d"]
    p_value: Float[np.ndarray, " measurements"]


def leave_one_out(tree) -> LeaveOneOut:
    """Influence of every measurement.

    They are correlated; the weights are 1/p(one | all others, parameters), the conditional densities that the group
    log_likelihood holds (Buerkner, Gabry and Vehtari, 1810.10559).
    """
    _require(tree, "log_likelihood", "posterior_predictive", "observed_data")
    pointwise = tree["log_likelihood"]["obs"]
    log_weight, pareto_k = _smoothed(-pointwise)
    weights = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
    parameters = _parameters(tree)
    dropped = weights @ parameters
    log_density = logsumexp(log_weight + _flat(pointwise), axis=1) - logsumexp(log_weight, axis=1)
    replicated, observed = tree["posterior_predictive"]["obs"], np.asarray(tree["observed_data"]["obs"])
    return LeaveOneOut(
        tuple(map(str, pointwise["measurement"].values)),
        log_density,
        pareto_k,
        (dropped - parameters.mean(axis=0)) / parameters.std(axis=0, ddof=1),
        (_flat(replicated) > observed[:, None]).mean(axis=1),
    )


def goodness_of_fit(tree) -> float | None:
    """Posterior predictive p-value of chi2: the probability of data made at a draw to be further from it; None where
    there are fewer measured values than free parameters.
    """
    measured = results.attributes(tree)["measured"]
    if measured < sum(r.lower < r.upper for r in _ranges(tree).values()):
        return None
    return float(chi2.sf(-2 * np.asarray(_of_data(tree)), measured).mean())


def power_scaling(tree) -> dict[str, dict[str, float]]:
    """ArviZ's power-scaling sensitivity of each parameter to its prior and to the likelihood (2107.14054).

    Values above 0.05 say that raising the prior or the likelihood to a power slightly off one moves the posterior. A
    prior that is uniform in the parameter cannot show up here, see `prior_variants`.
    """
    ranges = _ranges(tree)
    posterior = xr.Dataset({name: tree["posterior"][name] for name in ranges})
    log_prior = {
        name: -np.log(np.abs(posterior[name])) if r.log else xr.zeros_like(posterior[name])
        for name, r in ranges.items()
    }
    groups = {
        "posterior": posterior,
        "log_likelihood": xr.Dataset({"joint": _of_data(tree)}),
        "log_prior": xr.Dataset(log_prior),
    }
    found = {part: _power_scaled(results.make_tree(groups, {}), part) for part in ("prior", "likelihood")}
    return {name: {part: float(found[part][name]) for part in found} for name in ranges}


def prior_variants(tree) -> dict[str, dict[str, Any]]:
    """The posterior under other priors: each parameter in turn uniform where it was log-uniform, and the reverse.

    Returns:
        For each variant, "shift" of the parameters' means in posterior standard deviations and the "ess" of the
        reweighted draws. Ranges that reach zero have no log-uniform variant.
    """
    parameters, ranges, found = _parameters(tree), _ranges(tree), {}
    for column, (name, r) in zip(parameters.T, ranges.items(), strict=True):
        if not r.log and r.lower * r.upper <= 0:
            continue
        log_weight = (1.0 if r.log else -1.0) * np.log(np.abs(column))
        probability = np.exp(log_weight - logsumexp(log_weight))
        shift = (probability @ parameters - parameters.mean(axis=0)) / parameters.std(axis=0, ddof=1)
        found[f"{name} {'uniform' if r.log else 'log-uniform'}"] = {
            "shift": dict(zip(ranges, shift.tolist(), strict=True)),
            "ess": effective_size(log_weight),
        }
    return found


def check(tree):
    """The result with the group `leave_one_out` and the entry `checks` of its summary.

    Raises:
        RequestError: the result lacks the groups of `jaxdark sample`.
    """
    loo = leave_one_out(tree)
    names, summary = list(_ranges(tree)), results.summary(tree)
    group = xr.Dataset(
        {name: ("measurement", getattr(loo, name)) for name in ("log_density", "pareto_k", "p_value")}
        | {"shift": (("measurement", "parameter"), loo.shift)},
        {"measurement": list(loo.measurements), "parameter": names},
    )
    order = np.argsort(-np.abs(loo.shift).max(axis=1))
    checks = {
        "p_value": (p_value := goodness_of_fit(tree)),
        **({"p_value_reason": _NO_GOODNESS} if p_value is None else {}),
        "elpd_loo": float(loo.log_density.sum()),
        "unreliable_measurements": [loo.measurements[i] for i in np.flatnonzero(loo.pareto_k > RELIABLE_K)],
        "measurements": [
            {
                "id": loo.measurements[i],
                "shift": dict(zip(names, loo.shift[i].tolist(), strict=True)),
                "pareto_k": float(loo.pareto_k[i]),
                "p_value": float(loo.p_value[i]),
            }
            for i in order
        ],
        "power_scaling": power_scaling(tree),
        "prior_variants": prior_variants(tree),
    }
    return results.with_group(tree, "leave_one_out", group, summary=summary | {"checks": checks})


def _require(tree, *groups: str) -> None:
    present = results.datasets(tree)
    for group in groups:
        if group not in present:
            raise RequestError(f"expected a result of `jaxdark sample` with the group {group}; sample it again")


def _ranges(tree) -> dict[str, Range]:
    return {name: Range(**r) for name, r in results.attributes(tree)["prior"].items()}


def _parameters(tree) -> Float[np.ndarray, "n d"]:
    return np.stack([np.asarray(tree["posterior"][name]).ravel() for name in _ranges(tree)], axis=1)


def _of_data(tree) -> xr.DataArray:
    """Log-likelihood of the data at each draw, in mode "full" at its nuisances."""
    derived = tree["derived"]
    return derived["log_likelihood_at_nuisances" if "log_likelihood_at_nuisances" in derived else "log_likelihood"]


def _flat(values: xr.DataArray) -> Float[np.ndarray, "measurements n"]:
    """All draws of each measurement."""
    return values.transpose("measurement", *_SAMPLE).values.reshape(values.sizes["measurement"], -1)


def _smoothed(log_weight: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Pareto-smoothed log-weights (measurements, n) and shapes (measurements,), by ArviZ of either API."""
    az = results.arviz()
    if hasattr(az, "psislw"):
        smoothed, pareto_k = az.psislw(log_weight.stack(__sample__=_SAMPLE))
        return smoothed.transpose("measurement", "__sample__").values, pareto_k.values
    # 1.x takes log-likelihoods to be left out, not log-weights
    smoothed, pareto_k = (-log_weight).azstats.psislw(dim=list(_SAMPLE))
    return _flat(smoothed), pareto_k.values


def _power_scaled(tree, part: str) -> xr.Dataset:
    az = results.arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a flat prior gives weights without a tail to fit
        return az.psens(tree, component=part) if hasattr(az, "psens") else az.psense(tree, group=part)
