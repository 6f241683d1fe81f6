"""What model a prior or a scan holds, as two short hashes: of what it predicts at some points, and of its code.

Inputs: a function from a parameter vector to a model. Outputs: hashes that are the same in every process, by which
unfinished runs, scans and results tell models apart, whatever they are called.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import qmc

from jaxdark.compute import fingerprint
from jaxdark.compute.aot import compiler_options
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.likelihood.priors import PRIORS, Prior, prior_of
from jaxdark.models.base import Model

_POINTS = 5
_DIGITS = 11
"""After the first: processors differ in the last ones of a double."""


def of_prior(prior: Prior) -> dict[str, str]:
    """The hashes of a prior's model, at fixed points inside its ranges."""
    shipped = PRIORS.get(prior.model_name, {}).get(prior.region)
    return dict(_of_shipped(prior.model_name, prior.region) if prior is shipped else _of_any(prior))


@cache
def _of_shipped(model: str, region: str) -> dict[str, str]:
    return _of_any(PRIORS[model][region])


def _of_any(prior: Prior) -> dict[str, str]:
    return of_model(prior.model, np.asarray(prior.vector(fractions(len(prior.ranges)))))


def fractions(dimension: int) -> Float[np.ndarray, "n d"]:
    """Some fixed points well inside the unit cube, quasi-random, the same in every version."""
    return qmc.Halton(dimension, scramble=False).random(_POINTS + 1)[1:] if dimension else np.zeros((1, 0))


def of_model(model: Callable[[Float[Array, " d"]], Model], vectors: Float[np.ndarray, "n d"]) -> dict[str, str]:
    """The hashes of a model as a function of a parameter vector.

    Args:
        model: the function; it is traced as the likelihood traces it.
        vectors: where it is evaluated.

    Returns:
        "behaviour": of classes, static fields and values of the model, of its `NewPhysics` and of what (g-2) needs, in
        the shipped inputs; "code": of the code behind it, where it is not this package's, and what that closes over.
    """
    sm, forms = load_inputs(), []

    def at(vector):
        arrays: list[Any] = []
        built = model(vector)
        forms.append(_structure((built, built.new_physics(sm), built.muon_couplings()), arrays))
        return [jnp.asarray(array) for array in arrays]

    program = jax.jit(jax.vmap(at), compiler_options=compiler_options(quick=True))
    values = [np.asarray(value) for value in program(vectors)]
    behaviour = [forms[0], [[value.shape, [_rounded(x) for x in value.ravel().tolist()]] for value in values]]
    code = fingerprint.fingerprint(model)
    jax.eval_shape(at, jax.ShapeDtypeStruct(vectors.shape[1:], float))
    if fingerprint.fingerprint(model) != code:  # it counts its calls, or the like
        code = fingerprint.fingerprint(model, mutable=False)
    return {"behaviour": fingerprint.digest(behaviour), "code": fingerprint.digest(code)}


def _structure(value: Any, arrays: list[Any]) -> Any:
    """Classes and static fields; what changes with the parameters goes into `arrays`."""

    def of_array(array):
        arrays.append(array)
        return "array"

    def of_other(value):
        fields = fingerprint.record_fields(type(value))
        if fields is None:
            return fingerprint.short_name(value) if callable(value) else type(value).__name__
        parts = [[name, fingerprint.record_fingerprint(getattr(value, name), of_array, of_other)] for name in fields]
        return {type(value).__name__: parts}

    return fingerprint.record_fingerprint(value, of_array, of_other)


def _rounded(x: Any) -> str:
    if isinstance(x, complex):
        return f"{_rounded(x.real)} {_rounded(x.imag)}"
    return f"{x + 0.0:.{_DIGITS}e}" if isinstance(x, float) else repr(x)


def prior_of_result(attributes: Mapping[str, Any], given: Prior | None = None, *, instead: str) -> Prior:
    """The prior a result was sampled with.

    Args:
        attributes: of the result, see `results.attributes`.
        given: the prior, where it was not one of jaxdark's.
        instead: what to call from Python with a prior of one's own.

    Raises:
        RequestError: the result is of a model of the user's own and no prior is given, or it is of another model.
    """
    summary = attributes["summary"]
    name, region, identity = summary["model"], summary["region"], attributes.get("model_identity")
    which = f"model {name}, region {region}"
    if given is None and (name not in PRIORS or region not in PRIORS[name]):
        raise RequestError(
            f"expected a result of a model and prior that ship with jaxdark, got one of your own ({which}), which no "
            f"file can hold; call {instead} from Python with the prior it was sampled with"
        )
    prior = prior_of(region, name) if given is None else given
    whose = f"the prior of jaxdark for the {which}" if given is None else f"the prior given, {prior.model_name}"
    other = (
        "one with other ranges"
        if {name: r._asdict() for name, r in prior.ranges.items()} != attributes["prior"]
        else "one of a model that predicts something else"
        if identity is not None and of_prior(prior)["behaviour"] != identity["behaviour"]
        else None
    )
    if other is not None:
        raise RequestError(
            f"expected a result with {whose}, got {other} ({which}); call {instead} from Python with the prior it was "
            "sampled with"
        )
    return prior
