"""What a scan computes at its points: log-likelihood, constraints, predictions, all of them or some by name; in a
profile after it has minimised over the parameters that are left.

Inputs: names and a likelihood. Outputs: arrays of a chunk. Travels to the workers of a cluster.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdark.compute.batch import mapped
from jaxdark.compute.cluster import threads
from jaxdark.constraints.limit import Constraint
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.errors import RequestError, nearest
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.models.base import Model
from jaxdark.optimise.conditional import Conditional
from jaxdark.optimise.descents import Solutions
from jaxdark.scans.points import Points

GROUPS = ("log_likelihood", "constraints", "observables")
_FIT_BATCH, _CONSTRAINT_BATCH = 256, 512
"""Points per call on a CPU: what fits a core's cache."""
_STARTS_FROM = 128
"""Quasi-random points at which the starts of a profile are looked for, the same at every point of its axes."""


class Outputs(NamedTuple):
    """What is computed.

    Attributes:
        log_likelihood: whether it is.
        constraints: ids of the constraints, in the order of the registry.
        measurements: ids of the data set's rows whose predictions are wanted, in its order.
    """

    log_likelihood: bool
    constraints: tuple[str, ...]
    measurements: tuple[str, ...]


def selected(names: Sequence[str], like: Likelihood, model: type[Model]) -> Outputs:
    """Outputs by name: groups, ids of constraints, ids of measurements.

    Raises:
        RequestError: no name, or an unknown one.
    """
    constraints = [entry.id for entry in all_constraints(model, like.g_minus_2)]
    rows = [row.id for row in like.data.rows]
    known = (*GROUPS, *constraints, *rows)
    if not names:
        raise RequestError(f"expected outputs, got none; choose from {', '.join(GROUPS)}, or single names")
    for name in names:
        if name not in known:
            raise RequestError(f"unknown output {name!r}; {nearest(name, known)}")
    return Outputs(
        "log_likelihood" in names,
        tuple(name for name in constraints if {name, "constraints"} & set(names)),
        tuple(name for name in rows if {name, "observables"} & set(names)),
    )


class Work:
    """Arrays of a chunk from its number, by name, each of shape (points of the chunk, ...).

    Args:
        like: the likelihood, its theory covariance where it shall be.
        points: the points.
        outputs: what is wanted.
        start: of a profile, prior quantiles of what is profiled from which each point descends too.
    """

    def __init__(
        self, like: Likelihood, points: Points, outputs: Outputs, start: Float[np.ndarray, " d"] | None = None
    ):
        self.like, self.points, self.outputs, self.start = like, points, outputs, start
        _ = like.whitening  # made here, so that all workers have the same bits

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("like", "points", "outputs", "start")}

    def __call__(self, k: int) -> dict[str, np.ndarray]:
        """The arrays of chunk k; `parameters` are always among them, in a profile also `gradient_norm`."""
        points, further = self.points.at(self.points.region(k)), {}
        if self.points.profiled:
            minima = self._minima(points)
            points, further = np.concatenate([points, minima.u], axis=1), {"gradient_norm": minima.gradient_norm}
        fit, constraints = self._programs
        found = fit(self.like.whitening, points) | further
        return found | (constraints(self.like.sm, points) if constraints else {})

    def _minima(self, points: Float[np.ndarray, "n axes"]) -> Solutions:
        """Where chi2 is smallest over what is profiled, each point by itself, so that no chunk asks for another."""
        return self._conditional.minimise(
            self.like.whitening,
            points,
            points=_STARTS_FROM,
            seed=self.points.settings["seed"],
            more_starts=[] if self.start is None else [self.start],
        )

    @cached_property
    def _conditional(self) -> Conditional:
        def whitened_residuals(whitening, axes, u):
            model = self.points.model(self.points.vector(jnp.concatenate([axes, u])))
            return jnp.concatenate(list(self.like.whitened_residuals(model, whitening=whitening).values()))

        return Conditional(whitened_residuals, len(self.points.profiled), threads())

    @property
    def constraints(self) -> list[Constraint]:
        """The constraints wanted."""
        return [
            entry for entry in all_constraints(g_minus_2=self.like.g_minus_2) if entry.id in self.outputs.constraints
        ]

    @cached_property
    def _programs(self):
        """Two programs, as one of all outputs is slower than both: what the likelihood is made of, and the verdicts."""
        wanted, rows = self.constraints, np.isin(self.like.data.ids, self.outputs.measurements).nonzero()[0]

        def fit(whitening, point) -> dict[str, Any]:
            vector = self.points.vector(point)
            model = self.points.model(vector)
            found = {"parameters": vector}
            if self.outputs.log_likelihood:
                terms = self.like.terms(model, whitening=whitening)
                found["log_likelihood"] = sum(terms.values(), jnp.zeros(()))
            return found | ({"prediction": self.like.predictions(model)[rows]} if len(rows) else {})

        def verdict(sm, point) -> dict[str, Any]:
            found = verdicts(self.points.model(self.points.vector(point)), sm, wanted)
            return {"constraint_value": found.value, "constraint_ratio": found.ratio}

        fits = mapped(fit, _batch(_FIT_BATCH), threads())
        return fits, mapped(verdict, _batch(_CONSTRAINT_BATCH), threads()) if wanted else None


def _batch(on_cpu: int) -> int | None:
    import jax

    return on_cpu if jax.default_backend() == "cpu" else None
