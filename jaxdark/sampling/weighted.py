"""Diagnostics of a posterior without Markov chains: weighted points of importance or nested sampling.

Inputs: parameters of the points and their log-weights. Outputs: means, intervals and effective sizes that carry the
errors of the weights, and warnings.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from jaxdark.sampling.diagnostics import MIN_ESS, Diagnosis, shortest_interval

_TAILS = (0.05, 0.95)
MAX_WEIGHT = 0.01
"""Largest share of one point in the posterior."""


def diagnose_weighted(
    names: tuple[str, ...],
    values: Float[np.ndarray, "n d"],
    log_weight: np.ndarray,
    *,
    argument: str = "n_samples",
    fixed: Collection[str] = (),
) -> Diagnosis:
    """Summary of weighted points, and what is wrong with them.

    There are no chains, so there is no R-hat. Effective sizes are those of independent draws with the same error: of
    the mean ("bulk"), and of the less certain of the two probabilities beyond the 5 and 95 % quantiles ("tail").

    A warning is given for an effective size below 400 of a parameter that is not fixed, and for a point that weighs
    more than 1 % of all.

    Args:
        names: of the parameters.
        values: of the parameters.
        log_weight: of the points, (n,).
        argument: of `sample`, which gives the number of points.
        fixed: parameters that the prior leaves one value.
    """
    probability = np.exp(log_weight - logsumexp(log_weight))
    rows = {name: _row(column, probability) for name, column in zip(names, values.T, strict=True)}
    warnings = [
        f"the {kind} effective sample size of {name} is {row[f'ess_{kind}']:.0f}, below {MIN_ESS}: increase {argument}"
        for name, row in rows.items()
        for kind in ("bulk", "tail")
        if name not in fixed and not row[f"ess_{kind}"] >= MIN_ESS
    ]
    if not probability.max() <= MAX_WEIGHT:
        warnings.append(f"one point holds {100 * probability.max():.2g} % of the posterior: increase {argument}")
    return Diagnosis(rows, tuple(warnings))


def _row(column: Float[np.ndarray, " n"], probability: Float[np.ndarray, " n"]) -> dict[str, Any]:
    mean = probability @ column
    variance = probability @ (column - mean) ** 2
    order = np.argsort(column)
    ordered, cumulative = column[order], np.cumsum(probability[order])
    tails = []
    for quantile in _TAILS:
        inside = column <= ordered[np.searchsorted(cumulative, quantile).clip(max=len(column) - 1)]
        with np.errstate(divide="ignore"):
            tails.append(quantile * (1 - quantile) / (probability**2 @ (inside - quantile) ** 2))
    grid = np.interp((np.arange(2**14) + 0.5) / 2**14, cumulative, ordered)
    return {
        "mean": float(mean),
        "sd": float(np.sqrt(variance)),
        "hdi95": list(shortest_interval(grid, 0.95)),
        "r_hat": None,
        "ess_bulk": float(variance / (probability**2 @ (column - mean) ** 2)),
        "ess_tail": float(min(tails)),
    }
