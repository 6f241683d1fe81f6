"""All constraints beside the fit, in the order of Sec. 3, and their verdicts on one model at once."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import jax.numpy as jnp

from jaxdark.constraints import (
    bare,
    belle2_knunu,
    colliders,
    invisible,
    kinetic_mixing,
    mixing,
    precision,
    relic,
    resonance_search,
)
from jaxdark.constraints.verdict import Constraint, Verdict
from jaxdark.dark.model import Model
from jaxdark.inputs import StandardModel

_MODULES = (invisible, belle2_knunu, resonance_search, mixing, precision, colliders, kinetic_mixing, relic)


@cache
def all_constraints(
    model: type[Model] | None = None, g_minus_2: Literal["limit", "upper", "measurement"] = "limit"
) -> tuple[Constraint, ...]:
    """Every constraint, or those defined for a class of models.

    Args:
        model: the class; None for all.
        g_minus_2: reading of the limit on (g-2) of the muon.
    """
    found = (*bare.constraints(g_minus_2), *(entry for module in _MODULES for entry in module.constraints()))
    return tuple(entry for entry in found if model is None or issubclass(model, entry.of))


def verdicts(model: Model, sm: StandardModel, constraints: Sequence[Constraint]) -> Verdict:
    """Verdicts on a model, each field of shape (constraints,); pure, to be jitted and mapped over draws."""
    each = [constraint.verdict(model, sm) for constraint in constraints]
    return Verdict(*(jnp.stack(field) for field in zip(*each, strict=True)))
