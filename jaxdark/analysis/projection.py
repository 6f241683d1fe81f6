"""Future data: present measurements with the errors of larger samples, and what they would exclude.

Inputs: a data set, a scenario of data/projections.yaml, an injected model. Outputs: pseudo-data as a file of the
measurements' schema, and the points that it would exclude.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float
from scipy.stats import chi2

from jaxdark.compute.batch import batched
from jaxdark.compute.bounds import checked_seed
from jaxdark.errors import one_of
from jaxdark.inputs import read_data
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.measurements.dataset import DataSet, Row
from jaxdark.measurements.schema import SCHEMA
from jaxdark.models.base import Model
from jaxdark.models.wilson import NewPhysics
from jaxdark.precision import usual_rules

CONFIDENCE = 0.95


class Scaled(NamedTuple):
    """Future errors of a row: statistical and systematic, in its own units, and the luminosity they came from.

    A row that cannot be scaled keeps its total error as `stat`; `reason` says why, and is empty for the others.
    """

    stat: float
    syst: float
    luminosity: float | None
    reason: str = ""


def future_errors(data: DataSet, scenario: str = "lhcb50_belle50") -> tuple[Scaled, ...]:
    """Errors of each row in a scenario, from the published parts of its own error.

    Statistical parts fall like the root of the luminosity, systematic ones by the scenario's factor. A total that was
    published in one number counts as statistical, which is the least that its future error can be. The present
    luminosity is that of the row where the file gives one, else that of its reference in data/projections.yaml. Rows of
    experiments outside of the scenario, and those of no known luminosity, keep theirs.

    Raises:
        RequestError: an unknown scenario.
    """
    content = read_data("projections.yaml")
    one_of("scenario", scenario, tuple(content["scenarios"]))
    plan, known = content["scenarios"][scenario], content["luminosities"]
    return tuple(_scaled(row, plan, known) for row in data.rows)


def _scaled(row: Row, plan: dict[str, Any], known: dict[str, Any]) -> Scaled:
    parts = {name: _mean(errors) for name, errors in row.parts.items()}
    future = plan["luminosity"].get(row.experiment)
    present = row.luminosity or known.get(row.reference, {}).get("luminosity")
    reason = (
        f"{row.experiment} has no future luminosity in the scenario"
        if future is None
        else f"the luminosity behind {row.reference} is not known; write luminosity: NUMBER (fb^-1) into its entry"
        if present is None
        else f"it has {present:g} fb^-1 already, the scenario {future:g}"
        if present >= future
        else ""
    )
    if reason or not parts:
        return Scaled(_mean((row.error_plus, row.error_minus)), 0.0, None, reason or "its errors are not given by part")
    stat = math.sqrt(present / future) * math.hypot(*(parts.get(name, 0.0) for name in ("stat", "total")))
    syst = plan["systematic_factor"] * math.hypot(*(parts.get(name, 0.0) for name in ("syst", "norm")))
    return Scaled(stat, syst, present)


def _mean(errors: tuple[float, float]) -> float:
    return 0.5 * sum(errors)


@usual_rules()
def pseudo_data(
    like: Likelihood, injected: Model | NewPhysics, scenario: str = "lhcb50_belle50", seed: int | None = None
) -> dict[str, Any]:
    """A measurements file of future data at a model that is injected.

    Args:
        like: the present likelihood; its data set, inputs and predictions are used.
        injected: the model that the data are made from.
        scenario: of data/projections.yaml.
        seed: of the fluctuations within the experimental errors; None puts every measurement on its prediction.
    """
    data, errors = like.data, future_errors(like.data, scenario)
    seed = None if seed is None else checked_seed(seed)
    values = like.evaluate(injected).predictions
    if seed is not None:
        noise = np.linalg.cholesky(data.correlation) @ np.random.default_rng(seed).normal(size=len(data))
        values = values + noise * np.array([math.hypot(e.stat, e.syst) for e in errors])
    entries = []
    for name in dict.fromkeys(row.entry for row in data.rows):
        chosen = [i for i, row in enumerate(data.rows) if row.entry == name]
        first = data.rows[chosen[0]]
        rows = [_future_row(data.rows[i], float(values[i]), errors[i]) for i in chosen]
        entry = {
            "id": f"future_{name}",
            "experiment": first.experiment,
            "year": 2035,
            "reference": f"projection of {first.reference}",
            "source": f"pseudo-data, scenario {scenario}; jaxdark/data/projections.yaml",
            "quality": "recast",
            "rows": rows,
        }
        if len(chosen) > 1:
            entry["correlation"] = data.correlation[np.ix_(chosen, chosen)].tolist()
        entries.append(entry)
    return {"schema": SCHEMA, "title": f"Projection of {data.name}, {scenario}", "errors": "mean", "entries": entries}


def _future_row(row: Row, value: float, errors: Scaled) -> dict[str, Any]:
    bin_of = {} if row.q2 is None else {"q2": list(row.q2)}
    parts = {"stat": errors.stat, "syst": errors.syst} if errors.syst else {"total": errors.stat}
    return {"process": row.process, "observable": row.observable, **bin_of, "value": value, **parts}


def file_text(content: dict[str, Any]) -> str:
    """The measurements file as YAML with every digit."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=200)


@usual_rules()
def excluded(
    future: Likelihood, prior: Prior, vectors: Float[np.ndarray, "n d"], injected: Model | NewPhysics
) -> Float[np.ndarray, " n"]:
    """Whether each parameter point lies outside the 95 % region around the injected model that future data would draw.

    That is twice the loss of log-likelihood against it above the quantile of chi2 with d degrees of freedom; the
    theory covariance is that of `future`, (g-2) is left out, being no part of the projection.
    """

    def flavour(vector):
        return future.terms(prior.model(vector))["flavour"]

    of_injected = future.evaluate(injected).terms["flavour"]
    loss = 2 * (of_injected - batched(flavour)(vectors))
    return loss > chi2.isf(1 - CONFIDENCE, len(prior.names))
