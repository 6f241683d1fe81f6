"""What every constraint beside the fit is and says: value, limit and ratio, with level, quality and reference.

Inputs: a pure function of a model and the Standard Model inputs, which can be jitted, differentiated and mapped over
draws. Outputs: `LimitResult` of a model, and what the constraint adds to a likelihood; the words travel beside it in a
`Constraint`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy.special import ndtri

from jaxdark.inputs import StandardModel
from jaxdark.models.base import Model
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.vector_like import SplitVectorLike
from jaxdark.models.zprime import SimplifiedZPrime

WithAVector = SplitDarkSector | SplitVectorLike | SimplifiedZPrime
"""A model whose `muon_couplings` are those of a vector."""
WITH_A_VECTOR = get_args(WithAVector)


class LimitResult(NamedTuple):
    """A prediction against its limit; excluded where the ratio exceeds 1.

    Attributes:
        value: what is predicted, in the constraint's unit.
        limit: in the same unit; infinite where there is no limit (outside the mass range of a search).
        ratio: how close to exclusion, dimensionless, >= 0; 0 where there is no limit.
    """

    value: Float[Array, ""]
    limit: Float[Array, ""]
    ratio: Float[Array, ""]


def upper_limit(value: ArrayLike, limit: ArrayLike, *, one_sided: bool = False) -> LimitResult:
    """Limit on the magnitude of a value, ratio |value|/limit, or on its positive part alone, ratio max(value, 0)/limit.

    Args:
        value, limit: in the same unit.
        one_sided: whether negative values are allowed however large.
    """
    value, limit = jnp.asarray(value, float), jnp.asarray(limit, float)
    size = jnp.maximum(value, 0.0) if one_sided else jnp.abs(value)
    return LimitResult(value, limit, size / limit)


def interval(value: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> LimitResult:
    """Two-sided interval: the ratio is the distance from its centre over half its length.

    The limit shown is the end on the value's side of the centre.
    """
    centre, half = (jnp.asarray(upper, float) + lower) / 2, (jnp.asarray(upper, float) - lower) / 2
    off = jnp.asarray(value, float) - centre
    return LimitResult(value=centre + off, limit=jnp.where(off < 0, lower, upper), ratio=jnp.abs(off) / half)


def without_limit(value: ArrayLike) -> LimitResult:
    """A prediction without a limit."""
    value = jnp.asarray(value, float)
    return LimitResult(value, jnp.full_like(value, jnp.inf), jnp.zeros_like(value))


class SharedPrediction(NamedTuple):
    """Evaluation of a prediction that others take as well: `registry.evaluated` makes it once for all.

    Attributes:
        prediction: pure function (model, sm) -> anything.
        evaluate: pure function (prediction, model, sm) -> LimitResult of scalars, or a residual.
    """

    prediction: Callable[[Model, StandardModel], Any]
    evaluate: Callable[[Any, Model, StandardModel], Any]

    def __call__(self, model: Model, sm: StandardModel) -> Any:
        """What is evaluated, by itself."""
        return self.evaluate(self.prediction(model, sm), model, sm)


class Term(NamedTuple):
    """What a constraint adds to a log-likelihood: minus half the square of a residual.

    Attributes:
        residual: pure function (model, sm) -> scalar of unit error.
        form: what it is, in a few words, with the approximation that it makes.
        is_measurement: whether it counts as a measured value, in degrees of freedom and in pseudo-data.
    """

    residual: Callable[[Model, StandardModel], Float[Array, ""]]
    form: str
    is_measurement: bool = False


class Constraint(NamedTuple):
    """A named constraint.

    Attributes:
        id: its name in files and on the command line.
        verdict: pure function (model, sm) -> LimitResult of scalars.
        reference: of the limit, or of the prediction where there is none.
        cl: confidence level of the limit, None where none is stated or there is no limit.
        quality: published, digitised, recast, proxy or unverified, as the data file says.
        unit: of value and limit, "1" if dimensionless.
        models: it is defined for.
        applied: whether it takes part in the verdict on a point; what holds only under a further assumption does not.
        power: of the ratio that the expected signal grows with: 2 for limits on a coupling, 1 for those on a rate.
        measurement: what it adds to a likelihood, if that is known better than by the confidence level of a limit.
        alternative: whether another constraint says the same, so that groups leave it out of a likelihood.
    """

    id: str
    verdict: Callable[[Model, StandardModel], LimitResult]
    reference: str
    cl: float | None = None
    quality: str = "published"
    unit: str = "1"
    models: type[Model] | tuple[type[Model], ...] = Model
    applied: bool = True
    power: int = 1
    measurement: Term | None = None
    alternative: bool = False

    @property
    def term(self) -> Term | None:
        """What it adds to a log-likelihood; None if it has neither a measurement nor a confidence level.

        For a limit of which nothing but its level CL is public: the likelihood of a signal strength s >= 0 is taken as
        a Gaussian of mean 0, exp(-s^2/(2 sigma^2)), of which the share CL lies below the limit, so that the residual is
        Phi^-1((1 + CL)/2) ratio^power. An excess or a deficit of the data is not known to it.
        """
        if self.measurement is not None or self.cl is None:
            return self.measurement
        sigmas = float(ndtri((1 + self.cl) / 2))

        def residual(model: Model, sm: StandardModel) -> Float[Array, ""]:
            return sigmas * self.verdict(model, sm).ratio ** self.power

        if isinstance(self.verdict, SharedPrediction):
            prediction, evaluate = self.verdict
            residual = SharedPrediction(prediction, lambda made, *at: sigmas * evaluate(made, *at).ratio ** self.power)
        return Term(residual, f"half a Gaussian of no signal, {100 * self.cl:.4g} % of it below the limit")
