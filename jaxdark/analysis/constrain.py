"""Verdict of every constraint on every draw of a posterior, `jaxdark constrain`.

Inputs: a result of `jaxdark sample`. Outputs: the same result with a group
`constraints`, and how many draws each one cuts.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from jaxdark import __version__
from jaxdark.choices import GMinus2
from jaxdark.compute.batch import batched
from jaxdark.constraints.limit import Constraint, LimitResult
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, stored_inputs
from jaxdark.io import results
from jaxdark.likelihood.identity import prior_of_result
from jaxdark.likelihood.priors import Prior
from jaxdark.measurements.dataset import dataset_names, load_dataset
from jaxdark.models.base import Model
from jaxdark.models.registry import MODELS
from jaxdark.precision import usual_rules

_MANY = 50_000
"""Draws from which a program that takes seconds longer to compile and runs in a fifth of the time pays."""


@usual_rules()
def constrain(tree, prior: Prior | None = None):
    """The result with the group `constraints` and with what each constraint cuts in its summary.

    The group holds value, limit (infinite where there is none) and ratio (above 1: excluded) with the dimensions
    (constraint, chain, draw), and unit, cl, quality, reference and applied of each constraint.

    Args:
        tree: an ArviZ object of `jaxdark.sample`; its own inputs are used.
        prior: the one it was sampled with, where that was not one of jaxdark's.

    Raises:
        RequestError: the result was made by another version, from data that have changed since, or with another prior.
    """
    attributes, posterior = results.attributes(tree), tree["posterior"]
    summary, sm = attributes["summary"], stored_inputs(attributes)
    _check_origin(attributes)
    prior = prior_of_result(attributes, prior, instead="jaxdark.analysis.constrain.constrain(tree, prior)")
    vectors = np.stack([np.asarray(posterior[name]) for name in prior.names], axis=-1)
    wanted, found = on_vectors(vectors.reshape(-1, len(prior.names)), prior, sm, summary["g_minus_2"])
    shape = (len(wanted), *vectors.shape[:2])
    of_draws = {name: values.T.reshape(shape) for name, values in found._asdict().items()}
    words = {name: [getattr(entry, name) for entry in wanted] for name in ("unit", "quality", "reference", "applied")}
    words["cl"] = [np.nan if entry.cl is None else entry.cl for entry in wanted]
    group = xr.Dataset(
        {name: (("constraint", "chain", "draw"), values) for name, values in of_draws.items()}
        | {name: ("constraint", values) for name, values in words.items()},
        {"constraint": [entry.id for entry in wanted]} | {name: posterior[name].values for name in ("chain", "draw")},
    )
    return results.with_group(tree, "constraints", group, summary=summary | cuts(found.ratio > 1, wanted))


def _check_origin(attributes: dict[str, Any]) -> None:
    """Refuse a result that the present code or data would not have made."""
    summary = attributes["summary"]
    if summary["versions"]["jaxdark"] != __version__:
        raise RequestError(
            f"expected a result of jaxdark {__version__}, got one of {summary['versions']['jaxdark']}; sample it again"
        )
    if summary["data"] in dataset_names():
        known, used = load_dataset(summary["data"]).sha256, attributes["data_sha256"]
        if used != known:
            raise RequestError(
                f"expected a result from the data set {summary['data']} as it ships (sha256 {known[:12]}), got one "
                f"from an earlier state of it ({used[:12]}), or from a file of your own of that name; sample it again"
            )


def on_vectors(
    vectors: Float[np.ndarray, "n d"], prior: Prior, sm: StandardModel, g_minus_2: GMinus2
) -> tuple[tuple[Constraint, ...], LimitResult]:
    """All constraints on the model of a prior, and their verdicts on parameter vectors, fields (n, constraints).

    Args:
        vectors: parameters in the order of the prior's names.
        prior: builds the model.
        sm: the inputs.
        g_minus_2: reading of (g-2).
    """
    wanted = all_constraints(type(prior.model(vectors[0])), g_minus_2)
    # What another function builds may change with what that closes over: its program serves this call alone.
    program = _program if prior.build in MODELS.values() else _program.__wrapped__
    arguments = tuple(prior.arguments.items())
    return wanted, program(prior.build, prior.names, arguments, wanted, len(vectors) < _MANY)(sm, vectors)


@cache
def _program(
    build: Callable[..., Model],
    names: tuple[str, ...],
    arguments: tuple[tuple[str, Any], ...],
    wanted: tuple[Constraint, ...],
    quick: bool,
):
    """One compiled program for all regions of a shipped model."""

    def of_vector(sm, vector):
        return verdicts(build(**dict(arguments), **dict(zip(names, vector, strict=True))), sm, wanted)

    return batched(of_vector, quick=quick)


def cuts(excluded: np.ndarray, constraints: Sequence[Constraint]) -> dict[str, Any]:
    """The fields `constraints` and `n_allowed` of summary.json: numbers of draws.

    Args:
        excluded: of shape (draws, constraints).
        constraints: in the same order; those that are not applied are shown but decide nothing.
    """
    cut = excluded & np.array([entry.applied for entry in constraints])
    how_many = cut.sum(axis=1)
    return {
        "constraints": {
            entry.id: {
                "cut_alone": int(column.sum()),
                "cut_given_others": int((column & (how_many - cut[:, i] == 0)).sum()),
                "quality": entry.quality,
                "applied": entry.applied,
            }
            for i, (entry, column) in enumerate(zip(constraints, excluded.T, strict=True))
        },
        "n_allowed": int((how_many == 0).sum()),
    }
