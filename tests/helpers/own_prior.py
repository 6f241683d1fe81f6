"""A made-up result of any prior, for tests of what is shown."""

import numpy as np
import xarray as xr
from synthetic_result import synthetic_result

from jaxdark.io import results
from jaxdark.likelihood.priors import Prior


def result_of(ranges, values=None, chains=4, draws=250, **changed):
    """A result whose parameters are those of the ranges, uniform or as values[name] draws n of them.

    Args:
        ranges: priors by name.
        values: functions n -> (n,) by name, for parameters that are not to be drawn from the prior.
        chains, draws: how many.
        changed: entries of the summary.
    """
    random, names = np.random.default_rng(2), list(ranges)
    vectors = np.asarray(Prior("all", ranges).vector(random.random((chains, draws, len(names)))))
    columns = {name: vectors[..., i] for i, name in enumerate(names)}
    columns |= {name: draw(chains * draws).reshape(chains, draws) for name, draw in (values or {}).items()}
    log_likelihood = -50.0 - random.exponential(2.0, (chains, draws))
    at = np.unravel_index(log_likelihood.argmax(), log_likelihood.shape)
    per_draw = ("chain", "draw")
    plain = synthetic_result(chains=chains, draws=draws)
    attributes = results.attributes(plain)
    convergence = next(iter(attributes["summary"]["parameters"].values()))
    attributes["prior"] = {name: r._asdict() for name, r in ranges.items()}
    attributes["summary"] |= {
        "model": "own",
        "region": "all",
        "parameters": {name: convergence for name in names},
        "max_likelihood_draw": {
            "log_likelihood": float(log_likelihood.max()),
            "parameters": {name: float(column[at]) for name, column in columns.items()},
        },
    } | changed
    groups = results.datasets(plain) | {
        "posterior": xr.Dataset({name: (per_draw, column) for name, column in columns.items()}),
        "derived": xr.Dataset({"log_likelihood": (per_draw, log_likelihood)}),
    }
    return results.make_tree(groups, attributes)
