"""Whether two routes give the same posterior: distances between marginal distributions and their Monte Carlo error.

Inputs: two results of `jaxdark sample`. Outputs: Kolmogorov-Smirnov distances with the probability of larger ones.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import ks_2samp, kstwobign

from jaxdark.errors import RequestError
from jaxdark.io import results


def made_of(tree) -> dict[str, Any]:
    """The provenance of a result, as `Provenance.json` has it, among other attributes of its file."""
    return results.attributes(tree) | results.summary(tree)


_FORMERLY: dict[str, Any] = {"form_factors": "bsz2015", "V_cb": "inclusive"}
"""What results had that do not say."""


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs in the provenance of two posteriors, a few words each; data are the same if their hash is."""
    one, other = {**_FORMERLY, **one}, {**_FORMERLY, **other}
    found = [
        f"{words} {one.get(key)} and {other.get(key)}"
        for key, words in (
            ("model", "model"),
            ("physics", "physics"),
            ("region", "region"),
            ("theory", "theory"),
            ("g_minus_2", "(g-2) read as"),
            ("terms_beside", "terms beside the data"),
            ("form_factors", "form factors"),
            ("V_cb", "V_cb"),
        )
        if one.get(key) != other.get(key)
    ]
    if one["data_sha256"] != other["data_sha256"]:
        first, second = (f"{setting['data']} (sha256 {setting['data_sha256'][:12]})" for setting in (one, other))
        found.append(f"data {first} and {second}")
    for key, words in (("inputs", "inputs"), ("prior", "prior of")):
        names = [n for n in {**one[key], **other[key]} if one[key].get(n) != other[key].get(n)]
        if names:
            found.append(f"{words} {', '.join(names)}")
    return found


def marginal_distances(one, other) -> dict[str, dict[str, float | None]]:
    """For each parameter the largest difference of the two distribution functions, and its p-value.

    The p-value is for as many independent draws as the smaller of the bulk and tail effective sizes of each result, and
    None for a parameter that is fixed.

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
        found[name] = {"distance": distance, "p_value": None}
        if None not in sizes:
            size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
            found[name]["p_value"] = float(kstwobign.sf(np.sqrt(size) * distance))
    return found


def _independent(summary, name: str) -> float | None:
    """Number of independent draws; None of a parameter that is fixed."""
    row = summary["parameters"][name]
    if None in (row["ess_bulk"], row["ess_tail"]):
        return None
    size = min(row["ess_bulk"], row["ess_tail"])
    # draws made of weighted points add an error of their own
    return (
        size if summary.get("method", "nuts") == "nuts" else 1 / (1 / size + 1 / (summary["chains"] * summary["draws"]))
    )
