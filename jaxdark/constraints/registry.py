"""All constraints beside the fit, in the order of Sec. 3, and their verdicts on one model at once.

Inputs: a model and the Standard Model inputs. Outputs: value, limit and ratio of every constraint.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax.numpy as jnp

from jaxdark.choices import GMinus2
from jaxdark.constraints import (
    bs_invisible,
    colliders,
    electroweak,
    kinetic_mixing,
    mixing,
    relic,
    resonance_search,
    scalar,
    without_limit,
)
from jaxdark.constraints.b_to_k_invisible import belle2, searches
from jaxdark.constraints.limit import Constraint, LimitResult, SharedPrediction
from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.base import Model
from jaxdark.precision import usual_rules

FAMILIES = {
    "g_minus_2": (without_limit,),
    "invisible": (searches, belle2, bs_invisible),
    "resonance_search": (resonance_search,),
    "mixing": (mixing,),
    "scalar": (scalar,),
    "electroweak": (electroweak,),
    "colliders": (colliders,),
    "kinetic_mixing": (kinetic_mixing,),
    "relic": (relic,),
}
"""Modules of each family of constraints, in the order of all constraints."""


@cache
def all_constraints(model: type[Model] | None = None, g_minus_2: GMinus2 = "limit") -> tuple[Constraint, ...]:
    """Every constraint, or those defined for a class of models.

    Args:
        model: the class; None for all.
        g_minus_2: reading of the limit on (g-2) of the muon.
    """
    modules = [module for of_family in FAMILIES.values() for module in of_family if module is not without_limit]
    entries = (*without_limit.constraints(g_minus_2), *(entry for module in modules for entry in module.constraints()))
    return tuple(entry for entry in entries if model is None or issubclass(model, entry.models))


def evaluated(functions: Sequence[Callable], model: Model, sm: StandardModel) -> list[Any]:
    """Functions (model, sm) -> anything of one model, what is shared by several of them made once."""
    shared = dict.fromkeys(f.prediction for f in functions if isinstance(f, SharedPrediction))
    made = {prediction: prediction(model, sm) for prediction in shared}
    return [
        f.evaluate(made[f.prediction], model, sm) if isinstance(f, SharedPrediction) else f(model, sm)
        for f in functions
    ]


@usual_rules()
def verdicts(model: Model, sm: StandardModel, constraints: Sequence[Constraint]) -> LimitResult:
    """Verdicts on a model, each field of shape (constraints,); pure, to be jitted and mapped over draws."""
    check_inputs(sm)
    found = evaluated([constraint.verdict for constraint in constraints], model, sm)
    return LimitResult(*(jnp.stack(field) for field in zip(*found, strict=True)))
