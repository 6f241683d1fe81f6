"""Which constraints a request means, by their ids and by names of groups.

Inputs: names as a user wrote them, and the class of a model. Outputs: the constraints.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from jaxdark.choices import GMinus2
from jaxdark.constraints.limit import Constraint
from jaxdark.constraints.registry import FAMILIES, all_constraints
from jaxdark.errors import RequestError, listed, nearest, shown
from jaxdark.models.base import Model

APPLIED, ALL = "applied", "all"
SubjectTo = str | Constraint | Sequence[str | Constraint]


class ChosenConstraints(NamedTuple):
    """What a request means.

    Attributes:
        words: as they were asked for, a constraint of one's own by its id.
        constraints: in the order of the registry, those of one's own last; each once.
        named: ids of those asked for by themselves; of a group those without a limit drop out.
    """

    words: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    named: frozenset[str]


@cache
def families() -> dict[str, frozenset[str]]:
    """Ids of the constraints of each family, by its name; every constraint of the registry belongs to one."""
    return {
        name: frozenset(entry.id for module in modules for entry in module.constraints())
        for name, modules in FAMILIES.items()
    }


def is_applied(constraint: Constraint) -> bool:
    """Whether a constraint takes part in the verdict on a point."""
    return constraint.applied


def choose(
    subject_to: SubjectTo,
    model: type[Model] | None,
    g_minus_2: GMinus2,
    *,
    counts: Callable[[Constraint], bool] = is_applied,
    everything: Callable[[Constraint], bool] = lambda constraint: True,
) -> ChosenConstraints:
    """The constraints that a request means.

    Args:
        subject_to: one or several of: the id of a constraint, whether it counts or not; "applied" or a family
            (`families`), those of it that count; "all", everything; or a `Constraint` of one's own.
        model: the class of models that it is for; None for all.
        g_minus_2: reading of the limit on (g-2).
        counts: which members of a group are meant by its name; those that take part in the verdict on a point.
        everything: which constraints "all" means; whatever has a limit.

    Raises:
        RequestError: no name, an unknown one, a constraint that is not defined for the model, or a group without any.
    """
    words = [subject_to] if isinstance(subject_to, str | Constraint) else list(subject_to)
    if not words:
        raise RequestError(f"expected a limit to be subject to, got none; name {APPLIED}, a family or a constraint")
    for_model = {entry.id: entry for entry in all_constraints(model, g_minus_2)}
    chosen: set[str] = set()
    named: set[str] = set()
    own: dict[str, Constraint] = {}
    for word in words:
        if isinstance(word, Constraint):
            own[word.id] = word
        elif word in (APPLIED, ALL) or word in families():
            wanted = everything if word == ALL else counts
            chosen |= _group(word, for_model, _name(model), wanted)
        else:
            named.add(_known(word, for_model, _name(model)))
    constraints = [entry for id, entry in for_model.items() if id in chosen | named and id not in own]
    return ChosenConstraints(
        tuple(word.id if isinstance(word, Constraint) else word for word in words),
        (*constraints, *own.values()),
        frozenset(named | own.keys()),
    )


def _name(model: type[Model] | None) -> str:
    return "any model" if model is None else f"the model {model.__name__}"


def _group(name: str, for_model: dict[str, Constraint], model: str, wanted: Callable[[Constraint], bool]) -> set[str]:
    """Ids of a group for a model."""
    members = for_model.keys() & families().get(name, for_model.keys())
    if not members:
        raise RequestError(f"no constraint of the group {name} is defined for {model}")
    counted = {id for id in members if wanted(for_model[id])}
    if not counted:
        raise RequestError(
            f"no constraint of the group {name} is taken by default; name those that are meant: "
            f"{listed(sorted(members))}"
        )
    return counted


def _known(id: str, for_model: dict[str, Constraint], model: str) -> str:
    """The id of a constraint on a model, if it is one."""
    if id in for_model:
        return id
    everywhere = {entry.id for entry in all_constraints()}
    if id in everywhere:
        raise RequestError(
            f"the constraint {id} is not defined for {model}; leave it out, or take one of {listed(for_model)}"
        )
    raise RequestError(f"unknown constraint {shown(id)}; {nearest(id, [APPLIED, ALL, *families(), *for_model])}")
