"""Everything at one parameter point: couplings, Wilson coefficients, observables with pulls, constraints, likelihood.

Inputs: a model and a likelihood. Outputs: the record that `jaxdark point --json` prints.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdark.compute.aot import AotFunction
from jaxdark.constraints.kinetic_mixing import epsilon
from jaxdark.constraints.limit import Constraint
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.inputs import StandardModel
from jaxdark.likelihood.evaluation import Evaluation
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.models.base import Model
from jaxdark.models.coefficients import c9, c10, c_p
from jaxdark.models.split import SplitDarkSector, br_chichi, br_mumu, g_tilde, kappa9, kappa10, width_total
from jaxdark.models.switches import Switches
from jaxdark.models.wilson import SM_ONLY
from jaxdark.precision import usual_rules

Function = Callable[[Any, StandardModel], ArrayLike]
"""Of a model and the inputs."""


@usual_rules()
def point_record(name: str, model: Model, like: Likelihood, q2s: Sequence[float]) -> dict[str, Any]:
    """The object of `jaxdark point --json`.

    The model and the Standard Model each have their own theory errors, and the nuisances at their own best values.

    Args:
        name: of the model on the command line.
        model: the model at its parameters.
        like: the likelihood, without a chosen reference.
        q2s: where to show C_9 and C_10, GeV^2.
    """
    like.terms_beside.check(type(model))
    wanted = all_constraints(type(model), like.g_minus_2)
    derived = _derived(model, np.array(q2s))

    def beside_the_fit(model, sm):
        return tuple(verdicts(model, sm, wanted)), [function(model, sm) for function in derived.values()]

    # Two programs compile side by side: most of a first call is that.
    with ThreadPoolExecutor(1) as pool:
        program = AotFunction(beside_the_fit, closure=("point", like.g_minus_2, list(q2s)))
        beside = pool.submit(usual_rules(in_thread=True)(program), model, like.sm)
        either = like.at(None)
        here, standard_model = either.evaluate(model), either.evaluate(SM_ONLY)
        found, values = beside.result()
    return {
        "model": name,
        "physics": model.physics,
        "data": like.data.name,
        "data_cut_off": like.data.cut_off,
        "parameters": _parameters(model),
        "derived": _labelled(dict(zip(derived, values, strict=True)), q2s),
        "observables": _observables(like, here, standard_model),
        "constraints": [_verdict(*row) for row in zip(wanted, *found, strict=True)],
        "log_likelihood": here.log_likelihood,
        "chi2": here.chi2,
        "by_experiment": _by_experiment(like, here, standard_model),
        "terms": here.terms,
        "sm_terms": standard_model.terms,
        "terms_beside": like.terms_beside.forms(),
        "sm_log_likelihood": standard_model.log_likelihood,
        "compared_at": like.compared_at,
    }


def _derived(model: Model, q2s: np.ndarray) -> dict[str, Function]:
    """What follows from the parameters: couplings and widths where there is a V, Wilson coefficients at q2s."""
    printed: dict[str, Function] = {
        "g_tilde": lambda model, sm: g_tilde(model), "kappa9": kappa9, "kappa10": kappa10,
    }  # fmt: skip
    exact: dict[str, Function] = {
        "g_tilde_mV2": lambda model, sm: model.vertex(model.m_V**2), "d_tilde": lambda model, sm: model.vertex.dipole,
    }  # fmt: skip
    is_exact = isinstance(model, SplitDarkSector) and model.switches.loop == "exact"
    of_V: dict[str, Function] = (exact if is_exact else printed) | {
        "width_V": width_total,
        "br_V_chichi": lambda model, sm: jnp.sum(br_chichi(model, sm)),
        "br_V_mumu": br_mumu,
        "epsilon": epsilon,
    }
    coefficients: dict[str, Function] = {
        "C9": lambda model, sm: jax.vmap(lambda q2: c9(q2, model, sm) + 0j)(q2s),
        "C10": lambda model, sm: jax.vmap(lambda q2: c10(q2, model, sm) + 0j)(q2s),
        "C_P_mBs2": lambda model, sm: c_p(sm.m_Bs**2, model, sm) + 0j,
    }
    return (of_V if isinstance(model, SplitDarkSector) else {}) | coefficients


def _parameters(model: Model) -> dict[str, Any]:
    """Fields of the model by name, its switches one by one; not what a model leaves out or is not."""
    fields: dict[str, Any] = {}
    for name in model.__dataclass_fields__:
        value = getattr(model, name)
        fields |= value._asdict() if isinstance(value, Switches) else {name: value}
    left_out = {name for name, value in fields.items() if value is None or (name, value) == ("lepton_universal", False)}
    return {name: _number(value) for name, value in fields.items() if name not in left_out}


def _labelled(derived: Mapping[str, Any], q2s: Sequence[float]) -> dict[str, Any]:
    labelled = {name: _number(value) for name, value in derived.items()}
    for name in ("C9", "C10"):
        labelled[name] = {f"{q2:.15g}": pair for q2, pair in zip(q2s, labelled[name], strict=True)}
    return labelled


def _number(value: Any) -> Any:
    """Plain number, [re, im] pair, list of them, or what is no number."""
    if isinstance(value, str | bool):
        return value
    array = np.asarray(value)
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    return array.tolist()


def _verdict(constraint: Constraint, value: float, limit: float, ratio: float) -> dict[str, Any]:
    limited = bool(np.isfinite(limit))
    return {
        "id": constraint.id,
        "value": float(value),
        "limit": float(limit) if limited else None,
        "unit": constraint.unit,
        "cl": constraint.cl,
        "ratio": float(ratio) if limited else None,
        "excluded": bool(ratio > 1),
        "applied": constraint.applied,
        "quality": constraint.quality,
        "reference": constraint.reference,
    }


def _by_experiment(like: Likelihood, here: Evaluation, standard_model: Evaluation) -> dict[str, dict[str, Any]]:
    """Rows of each experiment and their chi2 at the best nuisances, that of the Standard Model beside it, and what the
    nuisances cost.
    """
    rows = Counter(row.experiment for row in like.data.rows)
    return {
        name: {"rows": rows[name], "chi2": chi2, "sm_chi2": standard_model.by_experiment[name]}
        for name, chi2 in sorted(here.by_experiment.items(), key=lambda item: -rows[item[0]])
    }


def _observables(like: Likelihood, here: Evaluation, standard_model: Evaluation) -> list[dict[str, Any]]:
    """One record per row of the data set: prediction, measurement and pull, with that of the Standard Model."""
    columns = (here.predictions, here.theory_error, like.data.sigma, here.pulls, standard_model.pulls)
    return [
        {
            "id": row.id,
            "name": row.observable,
            "process": row.process,
            "q2": None if row.q2 is None else list(row.q2),
            "prediction": float(prediction),
            "theory_error": float(theory_error),
            "measurement": row.value,
            "error": float(error),
            "pull": float(pull),
            "sm_pull": float(sm_pull),
            "quality": row.quality,
            "reference": row.reference,
        }
        for row, prediction, theory_error, error, pull, sm_pull in zip(like.data.rows, *columns, strict=True)
    ]
