"""Constraints as further terms of a likelihood, beside the rows of a data set.

Inputs: names of constraints; a model and the Standard Model inputs. Outputs: one residual of unit error per constraint,
a pure function of both, so that nuisances which move the inputs move them as well.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.choices import GMinus2
from jaxdark.constraints.choice import SubjectTo, choose
from jaxdark.constraints.limit import Constraint, Term
from jaxdark.constraints.registry import all_constraints, evaluated
from jaxdark.errors import RequestError, listed
from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model
from jaxdark.models.split import SplitDarkSector

_NO_COUPLINGS = dict.fromkeys(("g_mu_V", "r_AV", "g_D", "r"), 0.0) | {"m_V": 1.0}
"""Stands for the Standard Model where a constraint is not defined for a model."""


def takes_part(constraint: Constraint) -> bool:
    """Whether the name of a group means this constraint in a likelihood: it has a term, holds without a further
    assumption or is a measurement, and is no alternative to another one.
    """
    counted = constraint.applied or constraint.measurement is not None
    return counted and not constraint.alternative and constraint.term is not None


class Terms(NamedTuple):
    """Terms of constraints in a likelihood, in the order of the registry.

    Attributes:
        words: as they were asked for.
        constraints: that have a term each.
        named: ids of those that were asked for by themselves.
    """

    words: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    named: frozenset[str] = frozenset()

    def __reduce__(self):
        """By name, as constraints are made of local functions; another process has the same ones."""
        known = {constraint.id for constraint in all_constraints()}
        named = [constraint.id if constraint.id in known else constraint for constraint in self.constraints]
        return _restored, (self.words, named, self.named)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(constraint.id for constraint in self.constraints)

    @property
    def _each(self) -> list[Term]:
        return [term for constraint in self.constraints if (term := constraint.term) is not None]

    @property
    def are_measurements(self) -> np.ndarray:
        """Which of them count as measured values."""
        return np.array([term.is_measurement for term in self._each], bool)

    def forms(self) -> Mapping[str, str]:
        """What each term is, by its name."""
        return {name: term.form for name, term in zip(self.names, self._each, strict=True)}

    def check(self, model: type[Model]) -> None:
        """Raise RequestError if a constraint was named that models of a class cannot feel."""
        unfelt = [c.id for c in self.constraints if c.id in self.named and not issubclass(model, c.models)]
        if unfelt:
            raise RequestError(
                f"the model {model.__name__} cannot feel {listed(unfelt)}, whose term would be that of the Standard "
                "Model everywhere; leave it out, or name its group"
            )

    def residuals(self, model: object, sm: StandardModel) -> Float[Array, " terms"]:
        """Residual of each term; that of the Standard Model where a constraint is not defined for the model."""
        if not self.constraints:
            return jnp.zeros(0)
        felt = [isinstance(model, constraint.models) for constraint in self.constraints]
        found = {}
        for of, chosen in ((model, True), (SplitDarkSector(**_NO_COUPLINGS), False)):
            functions = [term.residual for term, feels in zip(self._each, felt, strict=True) if feels is chosen]
            found[chosen] = iter(evaluated(functions, of, sm) if functions else ())
        return jnp.stack([jnp.asarray(next(found[feels]), float) for feels in felt])


def _restored(words: tuple[str, ...], constraints: list[str | Constraint], named: frozenset[str]) -> Terms:
    known = {constraint.id: constraint for constraint in all_constraints()}
    return Terms(words, tuple(known[c] if isinstance(c, str) else c for c in constraints), named)


def terms_of(words: SubjectTo, g_minus_2: GMinus2 = "limit") -> Terms:
    """The terms that a request means.

    Args:
        words: as `choose` takes them: ids of constraints, families, "all" (whatever takes part), constraints of one's
            own; none for no terms.
        g_minus_2: reading of (g-2), which has a term of its own in every likelihood.

    Raises:
        RequestError: an unknown name, or a constraint that has neither a measurement nor a confidence level.
    """
    if not words:
        return Terms()
    chosen = choose(words, None, g_minus_2, counts=takes_part, everything=takes_part)
    without = [constraint.id for constraint in chosen.constraints if constraint.term is None]
    if without:
        raise RequestError(
            f"expected constraints with a measured value or a confidence level, got {listed(without)}, which have no "
            "likelihood; leave them out, or take them as limits of `jaxdark fit --subject-to`"
        )
    if "delta_a_mu" in (constraint.id for constraint in chosen.constraints):
        raise RequestError("(g-2) has a term in every likelihood already, got delta_a_mu as well; leave it out")
    return Terms(*chosen)
