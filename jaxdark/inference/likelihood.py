"""The likelihood of a data set in two modes that agree: nuisances as parameters, or propagated into a covariance.

Enters: a data set, inputs, a model. Leaves: named log-likelihood terms, their sum, pulls and theory errors. Section 4.
"""

import copy
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import solve_triangular

from jaxdark.ahead import Ahead
from jaxdark.dark.checks import one_of
from jaxdark.dark.model import Model
from jaxdark.dark.muon_g2 import delta_a_mu
from jaxdark.inference.priors import Prior, prior_of
from jaxdark.inference.residuals import Residuals
from jaxdark.inputs import StandardModel, load_inputs, read_data
from jaxdark.measurements import DataSet
from jaxdark.precision import require_x64
from jaxdark.predictions import Predictor
from jaxdark.wilson import SM_ONLY, NewPhysics, Resonance

Theory = Literal["marginalised", "full"]
GMinus2 = Literal["limit", "upper", "measurement"]
# The Standard Model as a resonance without couplings, so that it shares a compiled program with the models.
_NO_COUPLINGS = NewPhysics(resonance=Resonance(kappa9=0.0, kappa10=0.0, m_V=1.0, width=1.0))


class Likelihood:
    """Log-likelihood of a data set; call it with a model, or differentiate `log_density` of a parameter vector.

    In mode "marginalised" the theory parameters of `nuisances` are propagated linearly, at the reference model, into a
    covariance that is added to the experimental one and kept fixed. In mode "full" they are parameters xi with a
    standard-normal prior. Constants are left out: a model on all measured values has log-likelihood 0.

    Args:
        data: the data set.
        theory: "marginalised" or "full".
        g_minus_2: "limit" (Gaussian of mean 0 whose 2-sigma point is the limit), "upper" (its upper half alone) or
            "measurement" (experiment minus Standard Model).
        inputs: Standard Model inputs; the shipped ones unless given.
        reference: the model at which the theory covariance is taken; the Standard Model unless given.

    Raises:
        RequestError: single precision, an unknown mode, or a row without prediction.
    """

    def __init__(
        self,
        data: DataSet,
        theory: Theory = "marginalised",
        g_minus_2: GMinus2 = "limit",
        inputs: StandardModel | None = None,
        reference: Model | NewPhysics | None = None,
    ):
        require_x64()
        one_of("theory", theory, get_args(Theory))
        one_of("g_minus_2", g_minus_2, get_args(GMinus2))
        self.data, self.theory, self.g_minus_2 = data, theory, g_minus_2
        self.sm = load_inputs() if inputs is None else inputs
        self.reference = reference
        self.predictor = Predictor(data.rows, self.sm)
        self.residuals = Residuals(data.rows)

    def at(self, reference: Model | NewPhysics | None) -> "Likelihood":
        """The same likelihood with the theory covariance taken at another model; None is the Standard Model."""
        return self._changed(reference=reference)

    def marginalised(self) -> "Likelihood":
        """The same likelihood in mode "marginalised", with the theory covariance at the Standard Model."""
        return self._changed(reference=None, theory="marginalised")

    def _changed(self, **attributes) -> "Likelihood":
        of_covariance = ("_at_reference", "standardised_jacobian", "covariance", "whitening")
        other = copy.copy(self)
        kept = {name: value for name, value in self.__dict__.items() if name not in of_covariance}
        other.__dict__ = kept | attributes
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without compiled programs and tables, which another process makes anew."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_programs", "tabulated")}

    @property
    def nuisance_names(self) -> tuple[str, ...]:
        """Names of the nuisance parameters, free in mode "full", propagated in mode "marginalised"."""
        return self.predictor.nuisances.names

    @cached_property
    def tabulated(self):
        """Predictions at the central inputs, from tables: a function of the model."""
        return self.predictor.tabulated()

    @cached_property
    def _programs(self):
        """Programs model -> (new physics, its slopes in xi, (g-2) term) and new physics -> what `_Linear` holds."""

        def linear(physics: NewPhysics, slopes: NewPhysics) -> _Linear:
            predictions, jacobian = self.predictor.linearised(physics, slopes)
            return _Linear(predictions, jacobian, self.residuals(predictions), self.residuals.slopes(predictions))

        def of_model(model: Model | NewPhysics):
            return *self.predictor.new_physics(model), -0.5 * self._pull_g_minus_2(model) ** 2

        of = (self.g_minus_2, self.data.rows, self.sm)
        return Ahead(of_model, of=("model", *of)), Ahead(linear, of=("linear", *of))

    def _linear(self, model: Model | NewPhysics) -> tuple["_Linear", float]:
        """Linearised predictions and the (g-2) term of a model that is not traced; one program serves all models."""
        of_model, linear = self._programs
        physics, slopes, g_minus_2 = of_model(model)
        if physics.resonance is None and physics.contact is None:
            physics = _NO_COUPLINGS
            slopes = jax.tree.map(lambda _: np.zeros(len(self.nuisance_names)), physics)
        return linear(physics, slopes), float(g_minus_2)

    @cached_property
    def _at_reference(self) -> "_Linear":
        return self._linear(SM_ONLY if self.reference is None else self.reference)[0]

    @property
    def theory_jacobian(self) -> Float[np.ndarray, "rows nuisances"]:
        """Derivative of the predictions with respect to the standard-normal nuisances, at the reference."""
        return self._at_reference.jacobian

    @property
    def theory_error(self) -> Float[np.ndarray, " rows"]:
        """Theory error of each prediction at the reference, in its own units."""
        return np.sqrt((self.theory_jacobian**2).sum(axis=1))

    @cached_property
    def standardised_jacobian(self) -> Float[np.ndarray, "rows nuisances"]:
        """The Jacobian of the residuals z."""
        return self._at_reference.slopes[:, None] * self.theory_jacobian

    @cached_property
    def covariance(self) -> Float[np.ndarray, "rows rows"]:
        """Covariance of the residuals z: the experimental correlation plus the theory's part in mode "marginalised"."""
        if self.theory == "full":
            return self.data.correlation
        return self.data.correlation + self.standardised_jacobian @ self.standardised_jacobian.T

    @cached_property
    def whitening(self) -> Float[np.ndarray, "rows rows"]:
        """Inverse Cholesky factor of the covariance, lower triangular."""
        cholesky = np.linalg.cholesky(self.covariance)
        return solve_triangular(cholesky, np.eye(len(cholesky)), lower=True)

    def predictions(
        self, model: Model | NewPhysics, xi: Float[Array, " nuisances"] | None = None
    ) -> Float[Array, " rows"]:
        """Predictions in the order of the data set's rows."""
        return self.tabulated(model) if xi is None else self.predictor(model, xi)

    def terms(
        self,
        model: Model | NewPhysics,
        xi: Float[Array, " nuisances"] | None = None,
        whitening: Float[Array, "rows rows"] | None = None,
    ) -> dict[str, Float[Array, ""]]:
        """Named log-likelihood terms; `nuisances` (the prior of xi) only where xi is given.

        A whitening passed in place of the likelihood's own, lower triangular like that, lets one compiled program serve
        several references.
        """
        parts = self.deviations(model, xi, whitening)
        return {name: -0.5 * jnp.sum(part**2) for name, part in parts.items()}

    def deviations(
        self,
        model: Model | NewPhysics,
        xi: Float[Array, " nuisances"] | None = None,
        whitening: Float[Array, "rows rows"] | None = None,
        offset: Float[Array, " rows+1"] | None = None,
    ) -> dict[str, Float[Array, " n"]]:
        """Standard-normal deviations by term: minus half the sum of their squares is the log-likelihood.

        Arguments as for `terms`; the offset is added to the whitened residuals and to the pull of (g-2), which makes
        pseudo-data.
        """
        z = self.residuals(self.predictions(model, xi))
        flavour = _lower_triangular_times(self.whitening if whitening is None else whitening, z)
        added = np.zeros(len(self.data) + 1) if offset is None else offset
        parts = {"flavour": flavour + added[:-1], "g_minus_2": self._pull_g_minus_2(model, added[-1])[None]}
        return parts if xi is None else parts | {"nuisances": xi}

    def __call__(self, model: Model | NewPhysics, xi: Float[Array, " nuisances"] | None = None) -> Float[Array, ""]:
        """Sum of the terms: the log-likelihood, in mode "full" times the nuisances' prior."""
        return sum(self.terms(model, xi).values(), jnp.zeros(()))

    def log_density(self, vector: Float[Array, " d"], prior: Prior | None = None) -> Float[Array, ""]:
        """Log-likelihood of a vector: the parameters in the order of the prior's names, then xi in mode "full".

        The prior fixes names and model alone (those of Table 1 unless given); its density is not part of the value.
        """
        prior = prior_of("high") if prior is None else prior
        d = len(prior.names)
        return self(prior.model(vector[:d]), vector[d:] if self.theory == "full" else None)

    def measures_g_minus_2(self, model: Model) -> bool:
        """Whether (g-2) is a datum of the model, for degrees of freedom and pseudo-data.

        A one-sided limit is no measurement, and a limit says nothing of a model without a vector.
        """
        return self.g_minus_2 == "measurement" or (self.g_minus_2 == "limit" and model.muon_couplings() is not None)

    def _pull_g_minus_2(self, model, offset=0.0) -> Float[Array, ""]:
        if isinstance(model, Model):
            shift = delta_a_mu(model, self.sm)
        elif model.resonance is None:  # the Standard Model and contact terms: no vector that could shift it
            shift = jnp.zeros(())
        else:  # a bare record does not say how its vector couples to muons
            return jnp.zeros(())
        data = read_data("muon_g2.yaml")
        if self.g_minus_2 == "measurement":
            return (shift - data["measurement"]["value"]) / data["measurement"]["error"] + offset
        pull = shift / (data["limit"]["delta_a_mu"] / 2) + offset
        return jnp.maximum(pull, 0.0) if self.g_minus_2 == "upper" else pull

    def evaluate(self, model: Model | NewPhysics) -> "Evaluation":
        """Everything about a model that is not traced, at central nuisances; needs no tables."""
        (predictions, _, z, _), g_minus_2 = self._linear(model)
        terms = {"flavour": -0.5 * float(np.sum((self.whitening @ z) ** 2)), "g_minus_2": g_minus_2}
        log_likelihood = sum(terms.values())
        experiment = float(z @ np.linalg.solve(self.data.correlation, z))
        chi2 = {"experiment": experiment, "total": -2 * log_likelihood, "rows": len(self.data)}
        pulls = z / np.sqrt(1 + (self.standardised_jacobian**2).sum(axis=1))
        return Evaluation(predictions, pulls, terms, log_likelihood, chi2)


def _lower_triangular_times(matrix: Float[Array, "n n"], vector: Float[Array, " n"]) -> Float[Array, " n"]:
    """The product in three bands of rows, each without the zeros right of it: a third of the work less."""
    n = len(vector)
    edges = [0, n // 3, 2 * n // 3, n]
    return jnp.concatenate([matrix[a:b, :b] @ vector[:b] for a, b in pairwise(edges)])


class _Linear(NamedTuple):
    """Predictions, their derivative with respect to xi, residuals z and dz/dprediction."""

    predictions: Float[np.ndarray, " rows"]
    jacobian: Float[np.ndarray, "rows nuisances"]
    z: Float[np.ndarray, " rows"]
    slopes: Float[np.ndarray, " rows"]


class Evaluation(NamedTuple):
    """A model against the data.

    Attributes:
        predictions: in the units of the rows.
        pulls: (prediction - measurement)/error of each row, errors of experiment and theory together, uncorrelated.
        terms: named log-likelihood terms.
        log_likelihood: their sum.
        chi2: "experiment" (flavour rows with the experimental covariance alone), "total" (minus twice the
            log-likelihood) and "rows".
    """

    predictions: Float[np.ndarray, " rows"]
    pulls: Float[np.ndarray, " rows"]
    terms: dict[str, float]
    log_likelihood: float
    chi2: dict[str, float]
