"""Whether two routes give the same posterior: distances between marginal distributions and their Monte Carlo error.

Enters: two results of `jaxdark sample`. Leaves: Kolmogorov-Smirnov distances with the probability of larger ones.
"""

import numpy as np
from scipy.stats import ks_2samp, kstwobign

from jaxdark import results
from jaxdark.errors import RequestError


def marginal_distances(one, other) -> dict[str, dict[str, float]]:
    """For each parameter the largest difference of the two distribution functions, and its p-value.

    The p-value is for as many independent draws as the smaller of the bulk and tail effective sizes of each result.

    Raises:
        RequestError: the results are of different models or regions.
    """
    summaries = [results.summary(tree) for tree in (one, other)]
    for key in ("model", "region", "parameters"):
        first, second = ([*s[key]] if key == "parameters" else s[key] for s in summaries)
        if first != second:
            raise RequestError(f"expected two results of the same {key}, got {first} and {second}; choose another one")
    found = {}
    for name in summaries[0]["parameters"]:
        draws = [np.asarray(tree["posterior"][name]).ravel() for tree in (one, other)]
        sizes = [_independent(summary, name) for summary in summaries]
        distance = float(ks_2samp(*draws, method="asymp").statistic)
        size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
        found[name] = {"distance": distance, "p_value": float(kstwobign.sf(np.sqrt(size) * distance))}
    return found


def _independent(summary, name: str) -> float:
    row = summary["parameters"][name]
    if row["ess_bulk"] is None or row["ess_tail"] is None:
        raise RequestError(
            f"the draws of {name} have no effective size ({summary['verdict']}: {'; '.join(summary['reasons'])}); "
            "sample it again"
        )
    size = min(row["ess_bulk"], row["ess_tail"])
    # draws made of weighted points add an error of their own
    return (
        size if summary.get("method", "nuts") == "nuts" else 1 / (1 / size + 1 / (summary["chains"] * summary["draws"]))
    )
