"""Whether the chains of a run can be trusted.

Inputs: draws (chains, draws) of named quantities, and optionally an importance sample of the same posterior. Outputs:
means, intervals, R-hat and effective sizes, and warnings in plain sentences.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from jaxdark.io.results import arviz

MAX_R_HAT = 1.01
MIN_ESS = 400
MAX_DIVERGENT = 0.005
MAX_STAY = 0.05
"""Longest stay of a chain on one point, as a fraction of its draws."""
MAX_FLOOR_SHARE = 1e-3
"""Largest share of the sampled probability that the floor of the likelihood may hold, see `density.floor_share`."""
REGIONS = np.array([0.25, 0.5, 0.75])
FALSE_ALARM = 1e-4
"""Probability that a run whose chains agree is told that they do not."""

KINDS = ("r_hat", "ess_bulk", "ess_tail")
"""Diagnostics that every quantity has."""

Named = Mapping[str, Float[np.ndarray, "chains draws"]]


class Diagnosis(NamedTuple):
    """Diagnostics of a run.

    Attributes:
        parameters: for each quantity mean, sd, hdi95, r_hat, ess_bulk and ess_tail.
        warnings: what is wrong with the draws, one sentence each.
        nuisances: the same as of the parameters for each nuisance that was sampled.
    """

    parameters: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]
    nuisances: Mapping[str, dict[str, Any]] = {}

    @property
    def converged(self) -> bool:
        """Whether nothing is wrong."""
        return not self.warnings


class Weighted(NamedTuple):
    """The same quantities at weighted points: values by name, (n,), and probabilities adding up to one, (n,)."""

    values: Mapping[str, Float[np.ndarray, " n"]]
    probability: Float[np.ndarray, " n"]


def diagnose(
    parameters: Named,
    diverging: Bool[np.ndarray, "chains draws"],
    log_likelihood: Float[np.ndarray, "chains draws"],
    importance: Weighted | None = None,
    *,
    nuisances: Named | None = None,
    fixed: Collection[str] = (),
    floor_share: float = 0.0,
) -> Diagnosis:
    """Summary of a run, and what is wrong with it.

    A warning is given for R-hat (rank-normalised) above 1.01 or a bulk or tail effective size below 400, for any
    parameter, any nuisance or the log-likelihood; more than 0.5 % of draws divergent; a chain that stays on one point
    for 5 % of its draws; chains that give a region different probabilities; an importance sample that gives a region
    another probability than all chains together; a floor of the likelihood that holds more than 0.1 % of what is
    sampled. Nuisances share one sentence for each thing that is wrong: it names
    the worst.

    Args:
        parameters: draws by name.
        diverging: flags of the sampler.
        log_likelihood: of each draw.
        importance: weighted points of the same posterior, which see modes that all chains missed.
        nuisances: draws of theory parameters, where they were sampled.
        fixed: parameters that the prior leaves one value, which cannot converge or fail to.
        floor_share: probability under the floor of the likelihood, see `density.floor_share`.
    """
    quantities = {**parameters, "the log-likelihood": log_likelihood}
    free = {name: draws for name, draws in quantities.items() if name not in fixed}
    moving = {name: draws for name, draws in parameters.items() if name not in fixed}
    summary, of_nuisances = summarised(quantities), summarised(nuisances or {})
    warnings = [
        *_convergence({name: summary[name] for name in free}),
        *_convergence_of_nuisances(of_nuisances),
        *_divergences(diverging),
        *_stays(moving),
        *_unequal_chains(free),
        *_unequal_chains(nuisances or {}, of="the nuisance "),
        *([] if importance is None else _against_importance(moving, summary, importance)),
        *_floor(floor_share),
    ]
    return Diagnosis({name: summary[name] for name in parameters}, tuple(warnings), of_nuisances)


def summarised(quantities: Named) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation, 95 % highest-density interval, R-hat, bulk and tail effective size of each quantity."""
    if not quantities:
        return {}
    r_hat, bulk, tail = _r_hat(quantities), _ess(quantities, "bulk"), _ess(quantities, "tail")
    return {
        name: {
            "mean": float(draws.mean()),
            "sd": float(draws.std(ddof=1)),
            "hdi95": list(shortest_interval(draws.ravel(), 0.95)),
            "r_hat": float(r_hat[name]),
            "ess_bulk": float(bulk[name]),
            "ess_tail": float(tail[name]),
        }
        for name, draws in quantities.items()
    }


def shortest_interval(values: Float[np.ndarray, " n"], probability: float) -> tuple[float, float]:
    """Shortest interval that holds the probability: the highest-density interval of a density with one peak."""
    ordered = np.sort(values)
    inside = int(np.ceil(probability * len(ordered)))
    start = int(np.argmin(ordered[inside - 1 :] - ordered[: len(ordered) - inside + 1]))
    return float(ordered[start]), float(ordered[start + inside - 1])


def _r_hat(quantities: Named) -> dict[str, float]:
    az = arviz()
    with np.errstate(invalid="ignore", divide="ignore"):  # a quantity that never changes has no R-hat
        result = az.rhat(az.convert_to_dataset(dict(quantities)), method="rank")
    return {name: float(result[name]) for name in quantities}


def _ess(quantities: Mapping[str, np.ndarray], method: str) -> dict[str, np.ndarray]:
    """Effective sizes; axes of a quantity after (chains, draws) remain."""
    az = arviz()
    options = {"prob": (0.05, 0.95)} if method == "tail" else {}
    with np.errstate(invalid="ignore", divide="ignore"):
        result = az.ess(az.convert_to_dataset(dict(quantities)), method=method, **options)
    return {name: result[name].values for name in quantities}


def _fault(kind: str, name: str, value: float) -> str | None:
    """What is wrong with one diagnostic of a quantity; NaN, from a chain that never moved, is wrong as well."""
    if kind == "r_hat":
        agree = value <= MAX_R_HAT
        return None if agree else f"R-hat of {name} is {value:.4f}, above {MAX_R_HAT}: the chains do not agree"
    if value >= MIN_ESS:
        return None
    word = kind.removeprefix("ess_")
    return f"the {word} effective sample size of {name} is {value:.0f}, below {MIN_ESS}: draw more"


def worst(summary: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """Name of the quantity with the largest R-hat or the smallest effective size; none at all is worse than any."""

    def badness(name: str) -> float:
        value = summary[name][kind]
        if value is None or np.isnan(value):
            return np.inf
        return value if kind == "r_hat" else -value

    return max(summary, key=badness)


def _convergence(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    faults = (_fault(kind, name, row[kind]) for name, row in summary.items() for kind in KINDS)
    return [fault for fault in faults if fault]


def _convergence_of_nuisances(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """For each diagnostic one sentence about the worst nuisance, and how many others share its fault."""
    warnings = []
    for kind in KINDS if summary else ():
        faults = [name for name, row in summary.items() if _fault(kind, name, row[kind])]
        if faults:
            name = worst(summary, kind)
            others = f" (so for {len(faults) - 1} more nuisances)" if len(faults) > 1 else ""
            warnings.append(f"{_fault(kind, f'the nuisance {name}', summary[name][kind])}{others}")
    return warnings


def _divergences(diverging: np.ndarray) -> list[str]:
    count = int(diverging.sum())
    if count <= MAX_DIVERGENT * diverging.size:
        return []
    return [f"{count} of {diverging.size} draws are divergent, more than {100 * MAX_DIVERGENT} %"]


def _floor(share: float) -> list[str]:
    if share <= MAX_FLOOR_SHARE:
        return []
    return [
        f"the prior at the floor of the likelihood holds {100 * share:.2g} % of what is sampled, more than "
        f"{100 * MAX_FLOOR_SHARE:.2g} %: the posterior fills too small a part of the prior; take narrower ranges"
    ]


def _stays(parameters: Named) -> list[str]:
    """Chains that rest on one point: there the proposal has too little weight, and the time spent is luck."""
    if not parameters:
        return []
    stacked = np.stack(list(parameters.values()), axis=-1)
    warnings = []
    for c, chain in enumerate(stacked):
        moved = np.flatnonzero(np.any(np.diff(chain, axis=0) != 0, axis=1))
        stay = int(np.diff(np.concatenate([[-1], moved, [len(chain) - 1]])).max())
        if stay > max(MAX_STAY * len(chain), 10):
            warnings.append(f"chain {c} stayed on one point for {stay} of its {len(chain)} draws")
    return warnings


def _occupancy(draws: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """1 where a draw is in each of the four regions between the edges, else 0; a last axis is added."""
    region = np.searchsorted(edges, draws)
    return (region[..., None] == np.arange(len(edges) + 1)).astype(float)


def _ess_of_each(series: np.ndarray) -> np.ndarray:
    """Effective size for the mean of every chain by itself, (chains, k), of series (chains, draws, k)."""
    chains, draws, k = series.shape
    return _ess({"series": np.moveaxis(series, 0, 1).reshape(1, draws, -1)}, "mean")["series"].reshape(chains, k)


def _unequal_chains(quantities: Named, of: str = "") -> list[str]:
    """Chains whose share of a quarter of the pooled draws departs from that of the other chains beyond its error.

    Args:
        quantities: draws by name.
        of: what the names stand for, before each of them in a sentence.
    """
    names = [name for name, draws in quantities.items() if np.ptp(draws) > 0]
    shares = {name: _occupancy(quantities[name], np.quantile(quantities[name], REGIONS)) for name in names}
    warnings = []
    for name, inside in shares.items():
        share = inside.mean(axis=1)
        ess = _ess_of_each(inside)
        # a chain always or never inside does not show its memory there: take that of the quantity itself
        ess = np.where((share > 0) & (share < 1), ess, _ess_of_each(quantities[name][..., None]))
        ess = np.nan_to_num(np.clip(ess, 1.0, inside.shape[1]), nan=1.0)
        rest = (ess * share).sum(axis=0) - ess * share
        others = ess.sum(axis=0) - ess
        expected = (ess * share).sum(axis=0) / ess.sum(axis=0)
        error = np.sqrt(expected * (1 - expected) * (1 / ess + 1 / others))
        z = np.divide(np.abs(share - rest / others), error, out=np.zeros_like(error), where=error > 0)
        c, k = np.unravel_index(np.argmax(z), z.shape)
        if z[c, k] > norm.isf(FALSE_ALARM / (2 * z.size * len(names))):
            warnings.append(
                f"the chains sit in modes of unequal weight: chain {c} spends {100 * share[c, k]:.0f} % of its draws "
                f"in a quarter of the range of {of}{name} where the others spend {100 * (rest / others)[c, k]:.0f} %"
            )
    return warnings


def _against_importance(parameters: Named, summary: dict[str, dict[str, Any]], importance: Weighted) -> list[str]:
    """Quarters of the importance sample whose share of the pooled draws differs beyond the errors of both."""
    warnings = []
    for name in parameters:
        values = importance.values[name]
        order = np.argsort(values)
        edges = values[order][np.searchsorted(np.cumsum(importance.probability[order]), REGIONS)]
        inside = _occupancy(values, edges)
        expected = importance.probability @ inside
        # sum p^2 (inside - expected)^2, the variance of a ratio of means
        variance = importance.probability**2 @ (inside - expected[None]) ** 2
        share = _occupancy(parameters[name], edges).mean(axis=(0, 1))
        ess = min(summary[name]["ess_bulk"], summary[name]["ess_tail"])
        z = np.abs(share - expected) / np.sqrt(variance + expected * (1 - expected) / ess)
        k = int(np.argmax(z))
        if not z[k] <= norm.isf(FALSE_ALARM / (2 * z.size * len(importance.values))):
            warnings.append(
                f"chains and importance sampling disagree: a region of {name} holds {100 * share[k]:.1f} % of the "
                f"draws but {100 * expected[k]:.1f} % of the importance weight"
            )
    return warnings
