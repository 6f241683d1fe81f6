"""The result of a best fit as one frozen record; the content of `fit.json` is derived from it.

Inputs: what a fit found. Outputs: records with names, shapes and units, and JSON's types of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdark.io.results import plain
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.models.base import Model
from jaxdark.optimise.augmented import ConstrainedSolutions
from jaxdark.optimise.descents import Solutions


@dataclass(frozen=True)
class FittedParameter:
    """A parameter at the best fit.

    Attributes:
        value: in `unit`.
        unit: "GeV" or "1".
        on_edge: whether an edge of the prior holds it there.
        hessian_error: from the second derivatives of chi2; None where there is none.
        fisher_error: from J^T J of the whitened residuals; None where there is none.
        hessian_reason, fisher_reason: why there is none.
    """

    value: float
    unit: str
    on_edge: bool
    hessian_error: float | None
    fisher_error: float | None
    hessian_reason: str | None = None
    fisher_reason: str | None = None


@dataclass(frozen=True, eq=False)
class ParameterCovariance:
    """Covariance and correlation of the k parameters that have an error, the others held.

    Attributes:
        names: in the order of rows and columns.
        units: of the parameters; an entry of the covariance has the product of two of them.
        covariance: (k, k).
        correlation: (k, k), dimensionless.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    covariance: Float[np.ndarray, "k k"]
    correlation: Float[np.ndarray, "k k"]


@dataclass(frozen=True)
class Minimum:
    """One minimum, which several starts may have reached.

    Attributes:
        chi2: with the theory covariance of the fit.
        starts: how many descents ended there.
        gradient_norm: of the lowest of them, see `Solutions`.
        parameters: by name, in their units.
        spread: by name, how far apart these descents ended, in prior quantiles: a valley of equal predictions.
        own_chi2: of a minimum that contends for the best, with the theory covariance at itself.
    """

    chi2: float
    starts: int
    gradient_norm: float
    parameters: Mapping[str, float]
    spread: Mapping[str, float]
    own_chi2: float | None = None


@dataclass(frozen=True)
class StartCounts:
    """How many descents were run, have converged, and reached the best minimum."""

    run: int
    converged: int
    at_best: int


@dataclass(frozen=True)
class Descents:
    """The n descents of the last search, one entry each.

    Attributes:
        optimizer: "lm" (our Levenberg-Marquardt), another name, or that it was the caller's.
        stopping_rule: a sentence.
        status: a key of `meaning` each.
        meaning: a sentence for each status that occurs.
        chi2: where each ended.
        gradient_norm: there, see `Solutions`.
        steps: of the optimiser.
    """

    optimizer: str
    stopping_rule: str
    status: Sequence[str]
    meaning: Mapping[str, str]
    chi2: Sequence[float]
    gradient_norm: Sequence[float]
    steps: Sequence[int]

    @classmethod
    def of(
        cls,
        solutions: Solutions | ConstrainedSolutions,
        optimizer: str,
        ends_when: str,
        sentences: Mapping[str, str],
    ) -> "Descents":
        """The record of finished descents; `ends_when` completes the stopping rule."""
        status = solutions.status
        return cls(
            optimizer=optimizer,
            stopping_rule=f"A descent ends when {ends_when}.",
            status=status,
            meaning={name: sentence for name, sentence in sentences.items() if name in status},
            chi2=solutions.chi2.tolist(),
            gradient_norm=solutions.gradient_norm.tolist(),
            steps=solutions.steps.tolist(),
        )


@dataclass(frozen=True)
class PseudoData:
    """Fits to pseudo-data drawn at the best fit.

    Attributes:
        sets: how many.
        not_converged: of these.
        worse: sets whose smallest chi2 is at least that of the data; None without sets, as are the others.
        p_value_error: binomial error of the p-value.
        mean_chi2: of the sets.
    """

    sets: int
    not_converged: int = 0
    worse: int | None = None
    p_value_error: float | None = None
    mean_chi2: float | None = None


@dataclass(frozen=True)
class Pull:
    """Pull of one measurement, (prediction - measurement)/error, in the Standard Model and at the best fit."""

    id: str
    sm: float
    best: float


@dataclass(frozen=True, eq=False)
class FitResult:
    """Best fit of a model in a region, with errors, the other minima and the goodness of fit.

    Attributes:
        model: at the best fit.
        like: the likelihood that was maximised, with its theory covariance at `provenance["covariance_at"]`.
        provenance: model, region, data, modes, point of the theory covariance, versions, seed.
        converged: whether the fit can be used.
        status: a sentence that says what a user should know of it.
        gradient_norm: at the best fit, see `Solutions`; below `tolerance` where it converged.
        starts: how many descents were run, have converged, and reached the best minimum.
        descents: all of these.
        parameters: values and errors by name.
        hessian, fisher: covariance and correlation of the parameters.
        not_determined: directions that the data do not determine, each as the shares of the parameters' ranges that
            change together.
        minima: the distinct ones, lowest first, at most 20.
        minima_found: how many there are.
        log_likelihood: with the theory covariance of the fit, constants left out.
        profile_log_likelihood, sm_log_likelihood: of the best fit and of the Standard Model, each with the nuisances at
            their best values for it.
        delta_chi2_sm: twice the difference of these two.
        compared_at: where the theory covariance is taken for these two.
        terms: of the log-likelihood, by name.
        pulls: of every measurement.
        chi2: -2 ln L at the best fit.
        dof: degrees of freedom; None where there are not more data than parameters.
        p_value: share of the fits to pseudo-data that are worse; None where there is none.
        pseudo_data: these fits.
        missing: by name, why a value is None.
    """

    model: Model
    like: Likelihood
    provenance: Mapping[str, Any]
    converged: bool
    status: str
    gradient_norm: float
    tolerance: float
    starts: StartCounts
    descents: Descents
    parameters: Mapping[str, FittedParameter]
    hessian: ParameterCovariance
    fisher: ParameterCovariance
    not_determined: Sequence[Mapping[str, float]]
    minima: Sequence[Minimum]
    minima_found: int
    log_likelihood: float
    profile_log_likelihood: float
    sm_log_likelihood: float
    delta_chi2_sm: float
    compared_at: str
    terms: Mapping[str, float]
    pulls: Sequence[Pull]
    chi2: float
    dof: int | None
    p_value: float | None
    pseudo_data: PseudoData
    missing: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The content of fit.json: all but model and likelihood in JSON's types, the provenance at the top."""
        content = fields_of(self, leave_out=("model", "like"))
        return plain(content.pop("provenance") | content)


def fields_of(value: Any, leave_out: Sequence[str] = ()) -> Any:
    """Records within a value as dictionaries, without the optional fields that are None."""
    if is_dataclass(value):
        named = {field: getattr(value, field.name) for field in fields(value) if field.name not in leave_out}
        return {f.name: fields_of(item) for f, item in named.items() if item is not None or f.default is MISSING}
    if isinstance(value, Mapping):
        return {name: fields_of(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [fields_of(item) for item in value]
    return value
