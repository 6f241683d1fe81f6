"""The likelihood of a data set: nuisances as parameters, or propagated into a covariance, of one point or of each.

Inputs: a data set, inputs, a model. Outputs: named log-likelihood terms, their sum, pulls and theory errors. Section 4.
A model that is traced meets a covariance that is taken once, at a reference; a model that is evaluated by itself has
the nuisances at their best values for it, so that two models compare without a choice of reference.
"""

import copy
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from scipy.linalg import block_diag, solve_triangular

from jaxdark.choices import MEASURED_G_MINUS_2, GMinus2, Theory
from jaxdark.compute.aot import AotFunction
from jaxdark.constraints.choice import SubjectTo
from jaxdark.constraints.terms import terms_of
from jaxdark.errors import RequestError, one_of
from jaxdark.inputs import StandardModel, check_inputs, load_inputs, read_data
from jaxdark.likelihood.evaluation import Evaluation
from jaxdark.likelihood.nuisance_integral import Integrated, integrated, lower_triangular_times
from jaxdark.likelihood.nuisance_profile import Linearise, Linearised, profiled_chi2
from jaxdark.likelihood.priors import Prior, prior_of
from jaxdark.likelihood.residuals import Residuals
from jaxdark.measurements.dataset import DataSet, load_dataset
from jaxdark.models.base import Model
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.wilson import SM_ONLY, NewPhysics, Resonance
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.predictor import Predictor, moving

# The Standard Model as a resonance without couplings, so that it shares a compiled program with the models.
_NO_COUPLINGS = NewPhysics(resonance=Resonance(kappa9=0.0, kappa10=0.0, m_V=1.0, width=1.0))


class Likelihood:
    """Log-likelihood of a data set; call it with a model, or differentiate `log_likelihood` of a parameter vector.

    In mode "marginalised" the theory parameters of `nuisances` are propagated linearly, at the reference model, into a
    covariance that is added to the experimental one and kept fixed. In mode "full" they are parameters xi with a
    standard-normal prior. In mode "following" they are integrated over with the predictions linearised at the very
    model: the covariance is its own, and the log-determinant counts. Constants are left out: a model on all measured
    values has log-likelihood 0, but for that log-determinant.

    A fixed covariance favours models on one side of its reference: with that of the Standard Model a model of smaller
    rates is given too large errors, with that of the best fit the Standard Model too small ones. Gains over the
    Standard Model are therefore differences of `evaluate`, or of calls in mode "following". Calls and their gradients
    are compiled, also outside of jit.

    Args:
        data: the data set, or what `load_dataset` takes: a name, or the path of a file.
        theory: "marginalised", "following" or "full".
        g_minus_2: "limit" (Gaussian of mean 0 whose 2-sigma point is the limit), "upper" (its upper half alone) or
            experiment minus Standard Model, "measurement" as of 2020 or that of 2025 with the White Paper of 2020 or
            2025, "wp2020" and "wp2025".
        inputs: Standard Model inputs; the shipped ones unless given.
        reference: the model at which the theory covariance is taken. Unless given it is the Standard Model for calls,
            and none for `evaluate`. In mode "following" the theory errors of calls need none.
        constraints: which constraints beside the data set have a term as well, such as "all", "mixing" or a list of
            names, see `constraints.terms_of`. They share the nuisances with the rows.

    Attributes:
        terms_beside: those of the constraints.

    Raises:
        RequestError: single precision, an unknown data set, mode or constraint, or a row without prediction.
    """

    @usual_rules()
    def __init__(
        self,
        data: DataSet | str | Path,
        theory: Theory = "marginalised",
        g_minus_2: GMinus2 = "limit",
        inputs: StandardModel | None = None,
        reference: Model | NewPhysics | None = None,
        constraints: SubjectTo = (),
    ):
        one_of("theory", theory, get_args(Theory))
        one_of("g_minus_2", g_minus_2, get_args(GMinus2))
        if reference is not None:
            _checked_model(reference, "reference")
        self.data, self.theory, self.g_minus_2 = _data_set(data), theory, g_minus_2
        self.sm = load_inputs() if inputs is None else inputs
        check_inputs(self.sm)
        self.reference = reference
        self.terms_beside = terms_of(constraints, g_minus_2)
        # Searches for V and for what is invisible depend on these, whatever the rows are.
        shared = ("B_to_K", "B_to_Kst") if self.terms_beside.constraints else ()
        self.predictor = Predictor(self.data.rows, self.sm, shared)
        self.residuals = Residuals(self.data.rows)

    def at(self, reference: Model | NewPhysics | None) -> "Likelihood":
        """The same likelihood with the theory covariance taken at another model; None chooses none."""
        if reference is not None:
            _checked_model(reference, "reference")
        return self._changed(reference=reference)

    def without_nuisances(self) -> "Likelihood":
        """The same likelihood without a chosen reference, in mode "marginalised" if it was in mode "full"."""
        return self._changed(reference=None, theory="marginalised" if self.theory == "full" else self.theory)

    def _changed(self, **attributes) -> "Likelihood":
        at_reference = ("_at_reference", "standardised_jacobian", "covariance", "whitening")
        # Shared, so that they are compiled once for all references.
        _ = self._programs, self._compiled, self._tabulated_linearised
        other = copy.copy(self)
        shared = {name: value for name, value in self.__dict__.items() if name not in at_reference}
        other.__dict__ = shared | attributes
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without compiled programs and tables, which another process makes anew."""
        made = ("_programs", "_compiled", "tabulated", "_tabulated_linearised")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @property
    def nuisance_names(self) -> tuple[str, ...]:
        """Names of the nuisance parameters, free in mode "full", else propagated."""
        return self.predictor.nuisances.names

    @cached_property
    def tabulated(self) -> Callable[[Model | NewPhysics], Float[Array, " rows"]]:
        """Predictions at the central inputs, from tables: a function of the model."""
        return self.predictor.tabulated()

    @cached_property
    def _tabulated_linearised(self):
        """Made at the first call, so that all references share it."""
        return cache(lambda: self.predictor.tabulated_linearised())

    @cached_property
    def _programs(self):
        """Programs (model, xi) -> (new physics, its slopes in xi, the constraints' residuals, theirs, (g-2) term) and
        (new physics, its slopes, xi) -> the fields of `Linearised` that the rows have.
        """

        def linear(physics: NewPhysics, slopes: NewPhysics, xi: Float[Array, " nuisances"]):
            predictions, jacobian = self.predictor.linearised(physics, slopes, xi)
            return predictions, jacobian, self.residuals(predictions), self.residuals.slopes(predictions)

        def record(model: Model | NewPhysics, xi: Float[Array, " nuisances"]):
            beside = self._residuals_beside(model, xi)
            return *self.predictor.new_physics(model, xi), *beside, -0.5 * self._pull_g_minus_2(model) ** 2

        # The first is traced in as little time as a stored program is read in.
        return AotFunction(record), AotFunction(linear, closure=("linear", self.data.rows, self.sm))

    def _linearise(self, model: Model | NewPhysics) -> tuple[Linearise, float]:
        """Linearised predictions of a model that is not traced, as a function of where in xi, and its (g-2) term.

        One program serves all models and all xi.
        """
        record, linear = self._programs
        central = record(model, np.zeros(len(self.nuisance_names)))

        def linearise(xi: Float[np.ndarray, " nuisances"]) -> Linearised:
            physics, slopes, z_beside, of_constraints, _ = record(model, xi) if np.any(xi) else central
            if not jax.tree.leaves(physics):
                physics = _NO_COUPLINGS
                slopes = jax.tree.map(lambda _: np.zeros(len(xi)), physics)
            predictions, jacobian, z, slope = linear(physics, moving(slopes), xi)
            return Linearised(predictions, jacobian, np.concatenate([z, z_beside]), slope, of_constraints)

        return linearise, float(central[-1])

    def _residuals_beside(
        self, model: Model | NewPhysics, xi: Float[Array, " nuisances"]
    ) -> tuple[Float[Array, " constraints"], Float[Array, "constraints nuisances"]]:
        """Residuals of the constraints and their derivative with respect to xi."""
        directions = np.eye(len(self.nuisance_names))
        if not self.terms_beside.constraints:
            return jnp.zeros(0), jnp.zeros((0, len(directions)))

        def there(xi):
            return self.terms_beside.residuals(model, self.predictor.nuisances.inputs(xi, self.sm))

        residuals, columns = jax.lax.map(lambda direction: jax.jvp(there, (xi,), (direction,)), directions)
        return residuals[0], columns.T

    def _central(self, model: Model | NewPhysics) -> tuple[Linearised, float]:
        """The same at the central nuisances."""
        linearise, g_minus_2 = self._linearise(model)
        return linearise(np.zeros(len(self.nuisance_names))), g_minus_2

    @usual_rules()
    def chi2_at_itself(self, model: Model | NewPhysics) -> float:
        """-2 ln L of a model that is not traced with the theory covariance taken at this very model; in mode
        "following" with its log-determinant.
        """
        central, g_minus_2 = self._central(model)
        if self.theory == "following":
            parts = self._integrated(central.z, central.standardised_jacobian)
            return sum(float(jnp.sum(part**2)) for part in parts) - 2 * g_minus_2
        return float(central.z @ np.linalg.solve(self._covariance_at(central), central.z)) - 2 * g_minus_2

    def _integrated(self, z, jacobian, offset: Float[Array, " residuals"] | float = 0.0) -> Integrated:
        """The residuals whose squares are -2 ln L, integrated over the nuisances."""
        return integrated(self._experimental_whitening, z, jacobian, offset)

    @cached_property
    def _at_reference(self) -> Linearised:
        return self._central(SM_ONLY if self.reference is None else self.reference)[0]

    @property
    def theory_jacobian(self) -> Float[np.ndarray, "rows nuisances"]:
        """Derivative of the predictions with respect to the standard-normal nuisances, at the reference."""
        return self._at_reference.jacobian

    @property
    def theory_error(self) -> Float[np.ndarray, " rows"]:
        """Theory error of each prediction at the reference, in its own units."""
        return np.sqrt((self.theory_jacobian**2).sum(axis=1))

    @cached_property
    def standardised_jacobian(self) -> Float[np.ndarray, "residuals nuisances"]:
        """The Jacobian of the residuals z."""
        return self._at_reference.standardised_jacobian

    @cached_property
    def covariance(self) -> Float[np.ndarray, "residuals residuals"]:
        """Covariance of the residuals z: the experimental correlation, plus the theory's part but in mode "full"."""
        return self._experimental if self.theory == "full" else self._covariance_at(self._at_reference)

    @cached_property
    def _experimental(self) -> Float[np.ndarray, "residuals residuals"]:
        """Experimental correlation of all residuals: those of the constraints have none."""
        return block_diag(self.data.correlation, np.eye(len(self.terms_beside.constraints)))

    def _covariance_at(self, theory: Linearised) -> Float[np.ndarray, "residuals residuals"]:
        J = theory.standardised_jacobian
        return self._experimental + J @ J.T

    @cached_property
    def whitening(self) -> Float[np.ndarray, "residuals residuals"]:
        """Inverse Cholesky factor of the covariance, lower triangular."""
        return _inverse_cholesky(self.covariance)

    @cached_property
    def _experimental_whitening(self) -> Float[np.ndarray, "residuals residuals"]:
        return _inverse_cholesky(self._experimental)

    @cached_property
    def _slopes_of_constraints(self) -> Float[np.ndarray, "constraints nuisances"]:
        """Derivative of the constraints' residuals with respect to the nuisances, which no mode follows."""
        return self._central(SM_ONLY)[0].of_constraints

    @usual_rules()
    def predictions(
        self, model: Model | NewPhysics, xi: Float[Array, " nuisances"] | None = None
    ) -> Float[Array, " rows"]:
        """Predictions in the order of the data set's rows."""
        _checked_model(model, "model")
        self._check_nuisances(xi)
        return self.tabulated(model) if xi is None else self.predictor(model, xi)

    @usual_rules()
    def terms(
        self,
        model: Model | NewPhysics,
        xi: Float[Array, " nuisances"] | None = None,
        whitening: Float[Array, "residuals residuals"] | None = None,
    ) -> dict[str, Float[Array, ""]]:
        """Named log-likelihood terms; `nuisances` (the prior of xi) where xi is given. In mode "following" `nuisances`
        is the prior at the best xi of the linearised predictions, which the other terms are taken at, and
        `log_determinant` what the integral over xi adds.

        A whitening passed in place of the likelihood's own, lower triangular like that, lets one compiled program serve
        several references. Mode "following" needs none.

        Raises:
            RequestError: single precision, what is no model, a wrong number of nuisances, or none in mode "full".
        """
        _checked_model(model, "model")
        self._check_nuisances(xi)
        if self.theory == "full" and xi is None:
            raise RequestError(
                f"expected {len(self.nuisance_names)} nuisances xi with the theory full, got none: the theory errors "
                "would be left out; give them (zeros are the central values), or take the theory marginalised"
            )
        arguments = model, xi, self.whitening if whitening is None else whitening
        if isinstance(jnp.zeros(()), Tracer):
            # Inside someone's program: what of the model is known, such as its masses, stays known to it.
            return self._terms(*arguments)
        try:
            return self._compiled(*arguments)
        except TypeError:  # a model that looks at its own values, or holds what is no number
            return self._terms(*arguments)

    def _terms(self, model, xi, whitening) -> dict[str, Float[Array, ""]]:
        parts = self.whitened_residuals(model, xi, whitening)
        return {name: -0.5 * jnp.sum(part**2) for name, part in parts.items()}

    @cached_property
    def _compiled(self):
        """The terms compiled for eager calls and their derivatives, which take a minute operation by operation."""
        return jax.jit(self._terms, inline=True)

    def _check_nuisances(self, xi) -> None:
        expected = (len(self.nuisance_names),)
        if xi is not None and jnp.shape(xi) != expected:
            raise RequestError(
                f"expected {expected[0]} nuisances, in the order of nuisance_names, got an array of shape "
                f"{jnp.shape(xi)}; give one number for each"
            )

    @usual_rules()
    def whitened_residuals(
        self,
        model: Model | NewPhysics,
        xi: Float[Array, " nuisances"] | None = None,
        whitening: Float[Array, "residuals residuals"] | None = None,
        offset: Float[Array, " residuals+1"] | None = None,
    ) -> dict[str, Float[Array, " n"]]:
        """Whitened residuals by term: minus half the sum of their squares is the log-likelihood.

        Arguments as for `terms`; the offset is added to the whitened residuals and to the pull of (g-2), which makes
        pseudo-data.
        """
        added = np.zeros(self.n_residuals + 1) if offset is None else offset
        of_theory = {}
        if self.theory == "following":
            _checked_model(model, "model")
            if xi is not None:
                raise RequestError("expected no nuisances xi with the theory following, which integrates over them")
            predictions, jacobian = self._tabulated_linearised()(model)
            of_rows = self.residuals.slopes(predictions)[:, None] * jacobian
            jacobian = jnp.concatenate([of_rows, self._slopes_of_constraints])
            whitened, *rest = self._integrated(self.standardised(predictions, model), jacobian, added[:-1])
            of_theory = dict(zip(Integrated._fields[1:], rest, strict=True))
        else:
            z = self.standardised(self.predictions(model, xi), model, xi)
            whitened = lower_triangular_times(self.whitening if whitening is None else whitening, z) + added[:-1]
        n = len(self.data)
        beside = {name: whitened[n + i, None] for i, name in enumerate(self.terms_beside.names)}
        parts = {"flavour": whitened[:n]} | beside
        parts |= {"g_minus_2": self._pull_g_minus_2(model, added[-1])[None]} | of_theory
        return parts if xi is None else parts | {"nuisances": xi}

    def standardised(
        self,
        predictions: Float[Array, " rows"],
        model: Model | NewPhysics,
        xi: Float[Array, " nuisances"] | None = None,
    ) -> Float[Array, " residuals"]:
        """Residuals z of unit error, of the rows and then of the constraints, whose covariance is `covariance`."""
        z = self.residuals(predictions)
        if not self.terms_beside.constraints:
            return z
        sm = self.sm if xi is None else self.predictor.nuisances.inputs(xi, self.sm)
        return jnp.concatenate([z, self.terms_beside.residuals(model, sm)])

    @property
    def compared_at(self) -> str:
        """Where `evaluate` takes the theory errors if no reference was chosen, in words."""
        nuisances = "integrated over" if self.theory == "following" else "at their best values"
        return f"each model itself, nuisances {nuisances}"

    @property
    def n_residuals(self) -> int:
        """Number of residuals that share a covariance: of rows and of constraints."""
        return len(self.data) + len(self.terms_beside.constraints)

    @usual_rules()
    def __call__(self, model: Model | NewPhysics, xi: Float[Array, " nuisances"] | None = None) -> Float[Array, ""]:
        """Sum of the terms: the log-likelihood, in mode "full" times the nuisances' prior."""
        return sum(self.terms(model, xi).values(), jnp.zeros(()))

    @usual_rules()
    def log_likelihood(self, vector: Float[Array, " d"], prior: str | Prior | None = None) -> Float[Array, ""]:
        """Log-likelihood of a vector: the parameters in the order of the prior's names, then xi in mode "full".

        The prior, or its region, fixes names and model alone (those of Table 1 unless given); its density is not part
        of the value.

        Raises:
            RequestError: the vector has another length.
        """
        prior = prior_of("high" if prior is None else prior)
        d = len(prior.names)
        n = d + (len(self.nuisance_names) if self.theory == "full" else 0)
        if jnp.shape(vector) != (n,):
            nuisances = f" and then {n - d} nuisances" if n > d else ""
            raise RequestError(
                f"expected a vector of {n} numbers, {', '.join(prior.names)}{nuisances}, got one of shape "
                f"{jnp.shape(vector)}; map over several with jax.vmap"
            )
        return self(prior.model(vector[:d]), vector[d:] if self.theory == "full" else None)

    @usual_rules()
    def log_posterior(self, vector: Float[Array, " d"], prior: str | Prior | None = None) -> Float[Array, ""]:
        """Log-likelihood plus log-prior of a vector, arguments as there; minus infinity outside the prior.

        Normalised but for the evidence and, in mode "full", a factor (2 pi)^(1/2) for each nuisance. Values and
        gradients are finite inside the prior, whatever the model does outside of it.
        """
        prior = prior_of("high" if prior is None else prior)
        d = len(prior.names)
        log_prob = prior.log_prob(vector[:d])
        inside = jnp.isfinite(log_prob)
        somewhere = prior.vector(jnp.full(d, 0.5))
        safe = jnp.concatenate([jnp.where(inside, vector[:d], somewhere), vector[d:]])
        return jnp.where(inside, self.log_likelihood(safe, prior) + log_prob, -jnp.inf)

    def measured(self, model: Model) -> int:
        """Number of measured values for a model: rows, constraints that are measurements, and (g-2) if it is one."""
        return len(self.data) + int(self.terms_beside.are_measurements.sum()) + int(self.measures_g_minus_2(model))

    def measures_g_minus_2(self, model: Model) -> bool:
        """Whether (g-2) is a datum of the model, for degrees of freedom and pseudo-data.

        A one-sided limit is no measurement, and a limit says nothing of a model without a vector.
        """
        return self.g_minus_2 in MEASURED_G_MINUS_2 or (
            self.g_minus_2 == "limit" and model.muon_couplings() is not None
        )

    def _pull_g_minus_2(self, model, offset=0.0) -> Float[Array, ""]:
        if isinstance(model, Model):
            shift = delta_a_mu(model, self.sm)
        elif model.resonance is None:  # the Standard Model and contact terms: no vector that could shift it
            shift = jnp.zeros(())
        else:  # a bare record does not say how its vector couples to muons
            return jnp.zeros(())
        data = read_data("muon_g2.yaml")
        if self.g_minus_2 in MEASURED_G_MINUS_2:
            measured = data[self.g_minus_2]
            return (shift - measured["value"]) / measured["error"] + offset
        pull = shift / (data["limit"]["delta_a_mu"] / 2) + offset
        return jnp.maximum(pull, 0.0) if self.g_minus_2 == "upper" else pull

    @usual_rules()
    def evaluate(self, model: Model | NewPhysics) -> Evaluation:
        """Everything about a model that is not traced; needs no tables.

        Unless a reference was chosen the log-likelihood is the profile over the nuisances: xi where
        (z(xi)^T R^-1 z(xi) + xi^2)/2 is smallest, see `nuisance_profile`. With a reference it is that of a call, with
        the fixed covariance, and in mode "following" that of a call.

        Raises:
            RequestError: single precision, or what is no model.
        """
        _checked_model(model, "model")
        linearise, g_minus_2 = self._linearise(model)
        central = linearise(np.zeros(len(self.nuisance_names)))
        follows, n = self.theory == "following", len(self.data)
        if self.reference is None and not follows:
            theory, (chi2, z) = central, profiled_chi2(linearise, central, self._experimental)
            squares = (self._experimental_whitening @ z) ** 2
            of_nuisances, of_determinant = chi2 - float(squares.sum()), 0.0
        else:
            theory = central if follows else self._at_reference
            parts = self._integrated(central.z, theory.standardised_jacobian)
            squares = np.asarray(parts.data) ** 2
            of_nuisances, of_determinant = (float(jnp.sum(part**2)) for part in parts[1:])
        by_experiment = {"nuisances": of_nuisances}
        for row, square in zip(self.data.rows, squares, strict=False):
            by_experiment[row.experiment] = by_experiment.get(row.experiment, 0.0) + float(square)
        fixed = self.reference is not None and not follows
        beside = (self.whitening @ central.z)[n:] ** 2 if fixed else squares[n:]
        flavour = float(squares.sum() - beside.sum()) + (0.0 if follows else of_nuisances)
        terms = {"flavour": -0.5 * flavour}
        terms |= dict(zip(self.terms_beside.names, (-0.5 * beside).tolist(), strict=True)) | {"g_minus_2": g_minus_2}
        if follows:
            terms |= {"nuisances": -0.5 * of_nuisances, "log_determinant": -0.5 * of_determinant}
        return Evaluation.build(central, theory, self.data.correlation, terms, by_experiment)


def check_likelihood(like: Any) -> None:
    """Raise RequestError for what is no likelihood."""
    if not isinstance(like, Likelihood):
        raise RequestError(f"expected a jaxdark.Likelihood, got {type(like).__name__}; build one of a data set")


def _data_set(data: Any) -> DataSet:
    """The data set, loaded where it is given by its name or file; raises RequestError for anything else."""
    if isinstance(data, str | Path):
        return load_dataset(data)
    if not isinstance(data, DataSet):
        raise RequestError(
            f"expected a data set, got {type(data).__name__}; take jaxdark.load_dataset(...) of a name or a file"
        )
    return data


def _checked_model(model: Any, name: str) -> None:
    if isinstance(model, Model | NewPhysics):
        return
    advice = (
        "log_likelihood takes vectors of parameters"
        if hasattr(model, "shape") or isinstance(model, list | tuple)
        else "build one, for instance jaxdark.DarkSector(**parameters)"
        if isinstance(model, dict)
        else "a model of your own is a subclass of jaxdark.models.base.Model"
    )
    raise RequestError(f"expected a model or a NewPhysics record as the {name}, got {type(model).__name__}; {advice}")


def _inverse_cholesky(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    cholesky = np.linalg.cholesky(matrix)
    return solve_triangular(cholesky, np.eye(len(cholesky)), lower=True)
