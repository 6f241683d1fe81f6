"""Rows of the table of kernels: `jaxdark.sample` with its defaults by each of them, in both regions of paper2020.

The best fit, which all kernels need and which costs the same for each, is left out of every time; what a kernel
prepares (the flow, points of the prior) and its compilation are stated apart from the chains.
"""

import time
from typing import get_args

import numpy as np
from measure import Record

import jaxdark as jd
from jaxdark.check.compare import marginal_distances
from jaxdark.io import results
from jaxdark.sampling.sample import Kernel

REGIONS = ("high", "low")


class Clock:
    """Progress of a run: when each stage was last heard of, in seconds of the wall and of the processors."""

    def __init__(self):
        self.last: dict[str, np.ndarray] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.last[stage] = np.array([time.perf_counter(), time.process_time()])


def kernel_rows(threads: int, quick: bool) -> list[Record]:
    """One row per region and kernel."""
    jd.enable_x64()
    like, rows = jd.Likelihood(jd.load_dataset("paper2020")), []
    for region in REGIONS[:1] if quick else REGIONS:
        reference = None
        for kernel in get_args(Kernel):
            clock = Clock()
            tree = jd.sample(
                like, region, kernel=kernel, report=clock, **({"draws": 100, "warmup": 100} if quick else {})
            )
            reference = tree if reference is None else reference
            rows.append({"region": region, "kernel": kernel} | _figures(tree, clock) | _agreement(tree, reference))
    return rows


def _figures(tree, clock: Clock) -> Record:
    summary = results.summary(tree)
    parameters = summary["parameters"].values()
    ess = min(row["ess_bulk"] for row in parameters)
    wall, processors = clock.last["chains"] - clock.last["best fit"]
    chains = summary["seconds"]["warmup"] + summary["seconds"]["sample"]
    evaluations = float(np.asarray(tree["sample_stats"]["n_steps"]).sum()) / ess
    return {
        "prepare and compile s": wall - chains,
        "chains s": chains,
        "CPU s": processors,
        "draws": summary["chains"] * summary["draws"],
        "ESS": ess,
        "R-hat": max(row["r_hat"] for row in parameters),
        "ESS/s": ess / wall,
        "ESS/CPU s": ess / processors,
        "values/ESS": evaluations,
        "gradients/ESS": 0.0 if summary["kernel"] == "flow" else evaluations,
        "converged": "yes"
        if not summary["warnings"]
        else f"no: {len(summary['warnings'])} warnings, first: {summary['warnings'][0]}",
    }


def _agreement(tree, reference) -> Record:
    """Largest departure of a marginal from that of the reference: of the mean in its error, of the distribution."""
    if tree is reference:
        return {}
    ours, theirs = (results.summary(one)["parameters"] for one in (tree, reference))
    shifts = {
        name: abs(row["mean"] - theirs[name]["mean"])
        / np.hypot(row["sd"] / np.sqrt(row["ess_bulk"]), theirs[name]["sd"] / np.sqrt(theirs[name]["ess_bulk"]))
        for name, row in ours.items()
    }
    distances = marginal_distances(tree, reference)
    worst = max(distances, key=lambda name: distances[name]["distance"])
    return {
        "mean shift": float(max(shifts.values())),
        "KS distance": distances[worst]["distance"],
        "smallest p": min(row["p_value"] for row in distances.values()),
        "of": worst,
    }
