"""A result that no sampler made, independent draws of the Table 1 prior, so that tests of what is shown are fast."""

import numpy as np
import xarray as xr

from jaxdark import __version__
from jaxdark.inputs import load_inputs
from jaxdark.io.results import make_tree, with_group
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset

ROWS = ["a", "b"]


def synthetic_result(region="high", warnings=(), chains=4, draws=300):
    """ArviZ object with the groups and the summary of `jaxdark.sample`, as far as figures and tables read them."""
    prior, random = prior_of(region), np.random.default_rng(1)
    vector = np.asarray(prior.vector(random.random((chains, draws, len(prior.names)))))
    log_likelihood = -50.0 - random.exponential(2.0, (chains, draws))
    best = vector[np.unravel_index(log_likelihood.argmax(), log_likelihood.shape)]
    per_draw, coords = ("chain", "draw"), {"chain": np.arange(chains), "draw": np.arange(draws)}
    groups = {
        "posterior": xr.Dataset({n: (per_draw, vector[..., i]) for i, n in enumerate(prior.names)}, coords),
        "derived": xr.Dataset({"log_likelihood": (per_draw, log_likelihood)}, coords),
        "sample_stats": xr.Dataset({"diverging": (per_draw, random.random((chains, draws)) < 0.002)}, coords),
    }
    convergence = {"r_hat": 1.002, "ess_bulk": 800.0, "ess_tail": 700.0}
    summary = {
        "model": "split",
        "physics": "complete",
        "region": region,
        "theory": "marginalised",
        "data": "paper2020",
        "g_minus_2": "limit",
        "chains": chains,
        "draws": draws,
        "seconds": {"compile": 1.5, "warmup": 2.5, "sample": 3.5},
        "parameters": {
            name: {"mean": values.mean(), "sd": values.std(), "hdi95": [values.min(), values.max()]} | convergence
            for name, values in zip(prior.names, np.moveaxis(vector, -1, 0), strict=True)
        },
        "divergences": int(groups["sample_stats"]["diverging"].sum()),
        "converged": not warnings,
        "warnings": list(warnings),
        "max_likelihood_draw": {
            "log_likelihood": log_likelihood.max(),
            "parameters": dict(zip(prior.names, best.tolist(), strict=True)),
        },
        "sm_log_likelihood": -62.5,
        "pulls": [{"id": f"toy/P5p[{i},{i + 1}]", "sm": random.normal(), "best": random.normal()} for i in range(40)],
        "versions": {"jaxdark": __version__},
        "seed": 0,
    }
    attributes = {
        "summary": summary,
        "inputs": load_inputs().scalars,
        "prior": {name: r._asdict() for name, r in prior.ranges.items()},
        "data_sha256": load_dataset("paper2020").sha256,
        "measured": 121,
    }
    return make_tree(groups, attributes)


def complete_result(seed=0, chains=4, draws=300, **keywords):
    """A synthetic result with the groups that the checks read."""
    tree, generator = synthetic_result(chains=chains, draws=draws, **keywords), np.random.default_rng(seed)
    shape, axes = (chains, draws, len(ROWS)), (("chain", "draw", "measurement"), {"measurement": ROWS})
    for name, values in {
        "log_likelihood": -generator.exponential(1.0, shape),
        "posterior_predictive": generator.normal(size=shape),
    }.items():
        tree = with_group(tree, name, xr.Dataset({"obs": (axes[0], values)}, axes[1]))
    return with_group(tree, "observed_data", xr.Dataset({"obs": ("measurement", [0.0, 1.0])}, axes[1]))
