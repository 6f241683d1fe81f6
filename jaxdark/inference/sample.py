"""Posterior of a model's parameters by NUTS in learned coordinates, Section 4 of the paper.

Enters: a likelihood and a region. Leaves: an ArviZ object with draws, diagnostics and everything needed to read them.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from jaxdark import __version__
from jaxdark.dark.couplings import g_tilde
from jaxdark.dark.model import SplitDarkSector
from jaxdark.errors import RequestError
from jaxdark.inference.best_fit import RegionFit, at_best_fit
from jaxdark.inference.diagnostics import Diagnosis, Weighted, diagnose
from jaxdark.inference.importance import batched
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.nuts import NutsRun, NutsSettings, dispersed_starts, run_nuts, saturated
from jaxdark.inference.priors import Prior, prior_of
from jaxdark.inference.transport import Learned, TransportMap, learned_transport
from jaxdark.precision import require_x64
from jaxdark.results import make_tree
from jaxdark.wilson import SM_ONLY

Report = Callable[[str, int, int], None]
"""Progress: called with the stage's name, steps done and all steps."""

_SETTINGS = NutsSettings(warmup=100, draws=2000)
_FULL_POINTS = 2**14


class Coordinates(eqx.Module):
    """Map from normal coordinates z to the vector that `Likelihood.log_density` takes.

    The first d coordinates pass through the learned map to the model's parameters. In mode "full" the others, eta, are
    the nuisances' departure from their mean given those parameters, in units of their spread, both from the linearised
    predictions: xi = -gain z(parameters) + spread eta. Given the parameters, eta is then nearly standard normal.
    """

    transport: TransportMap
    gain: Float[Array, "nuisances rows"]
    spread: Float[Array, "nuisances nuisances"]
    like: Likelihood = eqx.field(static=True)
    prior: Prior = eqx.field(static=True)

    @classmethod
    def build(cls, like: Likelihood, fit: RegionFit, prior: Prior, transport: TransportMap) -> "Coordinates":
        """Coordinates for a likelihood in either mode, with the linearisation at the region's fit."""
        if like.theory == "marginalised":
            return cls(transport, np.zeros((0, len(like.data))), np.zeros((0, 0)), fit.like, prior)
        J = fit.like.standardised_jacobian
        weighted = np.linalg.solve(like.data.correlation, J)
        precision = np.eye(J.shape[1]) + J.T @ weighted
        spread = solve_triangular(np.linalg.cholesky(precision), np.eye(len(precision)), lower=True).T
        return cls(transport, np.linalg.solve(precision, weighted.T), spread, like, prior)

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.prior.names) + len(self.spread)

    def vector(self, z: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
        """Parameters, then xi in mode "full", at z, and log |du/dz| of the first d coordinates."""
        d = len(self.prior.names)
        u, log_slope = self.transport.forward(z[:d])
        vector = self.prior.vector(u)
        if len(self.spread) == 0:
            return vector, log_slope
        residuals = self.like.residuals(self.like.predictions(self.prior.model(vector)))
        return jnp.concatenate([vector, self.spread @ z[d:] - self.gain @ residuals]), log_slope

    def split(self, vector: Float[Array, " n"]):
        """Model and xi (None in mode "marginalised") of a vector."""
        d = len(self.prior.names)
        return self.prior.model(vector[:d]), (vector[d:] if len(self.spread) else None)


def log_density(z: Float[Array, " n"], coordinates: Coordinates, log_best: float) -> Float[Array, ""]:
    """Posterior log-density in z; walls end e^-35 below the best likelihood, see `nuts.FLOOR`."""
    vector, log_slope = coordinates.vector(z)
    # What a Gaussian eta would give is taken out before the floor is applied: it is not a wall.
    normal = -0.5 * jnp.sum(z[len(coordinates.prior.names) :] ** 2)
    value = coordinates.like.log_density(vector, coordinates.prior)
    return saturated(value - normal, log_best) + log_slope + normal


def sample(
    like: Likelihood,
    region: str | Prior = "high",
    *,
    chains: int = 4,
    draws: int | None = None,
    warmup: int | None = None,
    seed: int = 0,
    report: Report | None = None,
):
    """Sample the posterior of a model in one region.

    The theory covariance of a marginalised likelihood is taken at the region's best fit, iterated once, whatever
    reference the likelihood came with; the reference is stated in the result.

    Args:
        like: the likelihood, in either mode.
        region: prior of Table 1, "high" or "low"; or any other `Prior`, see `prior_of`.
        chains: number of chains, at least 2, started apart.
        draws, warmup: per chain, rounded up to hundreds; by default enough for the effective sizes asked for.
        seed: fixes the result.
        report: called with (stage, done, all) as work proceeds.

    Returns:
        An ArviZ object (InferenceData or DataTree): posterior, derived, sample_stats, log_likelihood (per row, given
        all other rows), posterior_predictive, observed_data and prior; `jaxdark.results.summary` gives the summary.

    Raises:
        RequestError: single precision, an unknown region, or numbers of chains or draws that cannot be used.
    """
    require_x64()
    prior, settings = prior_of(region), _settings(chains, draws, warmup)
    report, clock = report or (lambda stage, done, total: None), time.perf_counter()
    report("best fit", 0, 1)
    fit = at_best_fit(like, prior, seed=seed)
    report("best fit", 1, 1)
    learned = learned_transport(
        fit.values, len(prior.names), seed=seed, progress=lambda done, total: report("transport map", done, total)
    )
    coordinates = Coordinates.build(like, fit, prior, learned.transport)
    starts = dispersed_starts(learned.sample, learned.transport, chains, seed=seed)
    eta = np.random.default_rng(seed).normal(size=(chains, len(coordinates.spread)))
    prepared = time.perf_counter() - clock
    run = run_nuts(
        log_density,
        np.concatenate([starts, eta], axis=1),
        (coordinates, float(learned.sample.log_likelihood.max())),
        seed=seed,
        settings=settings,
        progress=lambda done, total: report("chains", done, total),
    )
    report("result", 0, 1)
    seconds = {**run.seconds, "compile": run.seconds["compile"] + prepared}
    tree = _tree(coordinates, fit, learned, run, {"seed": seed, "seconds": seconds})
    report("result", 1, 1)
    return tree


def _settings(chains: int, draws: int | None, warmup: int | None) -> NutsSettings:
    if chains < 2:
        raise RequestError(f"at least 2 chains are needed to tell whether they agree, got {chains}")
    given = {name: value for name, value in {"draws": draws, "warmup": warmup}.items() if value is not None}
    for name, value in given.items():
        if value < 1:
            raise RequestError(f"{name} must be a positive number per chain, got {value}")
    segment = _SETTINGS.segment
    return _SETTINGS._replace(**{name: -(-value // segment) * segment for name, value in given.items()})


def _tree(coordinates: Coordinates, fit: RegionFit, learned: Learned, run: NutsRun, record: dict[str, Any]):
    """The ArviZ object of a run."""
    like, prior, seed = coordinates.like, coordinates.prior, record["seed"]
    chains, draws, n = run.draws.z.shape
    recorded = batched(_at_draw, batch=64)(coordinates, run.draws.z.reshape(-1, n))
    recorded = jax.tree.map(lambda a: a.reshape(chains, draws, *a.shape[1:]), recorded)
    d, per_draw = len(prior.names), ("chain", "draw")
    axes = {"chain": np.arange(chains), "draw": np.arange(draws)}
    row_axis = {"row": [row.id for row in like.data.rows]}

    def draws_of(values: dict[str, np.ndarray], **extra) -> xr.Dataset:
        dims = (*per_draw, *extra)
        return xr.Dataset({name: (dims[: value.ndim], value) for name, value in values.items()}, axes | extra)

    posterior = {name: recorded["vector"][..., i] for i, name in enumerate(prior.names)}
    names = {"nuisance": list(like.nuisance_names)} if n > d else {}
    noise = np.random.default_rng(seed).normal(size=recorded["predictions"].shape)
    replicated = recorded["predictions"] + like.data.sigma * (noise @ np.linalg.cholesky(like.covariance).T)
    groups = {
        "posterior": draws_of(posterior | ({"nuisances": recorded["vector"][..., d:]} if n > d else {}), **names),
        "derived": draws_of(recorded["derived"]),
        "sample_stats": draws_of(_sample_stats(run)),
        "log_likelihood": draws_of({"rows": recorded["pointwise"]}, **row_axis),
        "posterior_predictive": draws_of({"rows": replicated}, **row_axis),
        "observed_data": xr.Dataset({"rows": ("row", [row.value for row in like.data.rows])}, row_axis),
        "prior": _prior_draws(prior, seed, draws),
    }
    importance = _importance(coordinates, learned, seed)
    diagnosis = diagnose(posterior, run.draws.diverging, recorded["derived"]["log_likelihood"], importance)
    attributes = {
        "summary": _summary(
            fit,
            coordinates,
            posterior,
            recorded["derived"]["log_likelihood"],
            diagnosis,
            record | {"divergences": int(run.draws.diverging.sum())},
        ),
        "prior": {name: r._asdict() for name, r in prior.ranges.items()},
        "best_fit": {"parameters": _named(prior, fit.vector), "log_likelihood": fit.log_likelihood},
        "importance": {
            "log_evidence": learned.sample.log_evidence,
            "log_evidence_error": learned.sample.log_evidence_error,
            "ess": learned.sample.ess,
            "transport_efficiencies": learned.efficiencies,
        },
        "data_sha256": like.data.sha256,
        "inputs": like.sm.scalars,
        "sampling": {
            "steps_per_draw": run.draws.num_steps.mean(),
            "acceptance_rate": run.draws.accept_prob.mean(),
        },
    }
    return make_tree(groups, attributes)


def _at_draw(coordinates: Coordinates, z: Float[Array, " n"]) -> dict[str, Any]:
    """What is recorded of one draw beside its coordinates."""
    like = coordinates.like
    vector, _ = coordinates.vector(z)
    model, xi = coordinates.split(vector)
    predictions = like.predictions(model, xi)
    whitening = jnp.asarray(like.whitening)
    # log p(row | other rows) of a Gaussian: the row's entry of K^-1 z over the diagonal of K^-1.
    weighted, diagonal = whitening.T @ (whitening @ like.residuals(predictions)), jnp.sum(whitening**2, axis=0)
    derived = {"log_likelihood": like(model, xi)}
    resonance = model.new_physics(like.sm).resonance
    if resonance is not None:
        derived |= {"kappa9": resonance.kappa9, "kappa10": resonance.kappa10, "width_V": resonance.width}
    if isinstance(model, SplitDarkSector):
        derived["g_tilde"] = g_tilde(model)
    pointwise = -0.5 * weighted**2 / diagonal + 0.5 * jnp.log(diagonal / (2 * jnp.pi))
    return {"vector": vector, "predictions": predictions, "pointwise": pointwise, "derived": derived}


def _sample_stats(run: NutsRun) -> dict[str, np.ndarray]:
    draws = run.draws
    return {
        "diverging": draws.diverging,
        "lp": draws.log_density,
        "energy": draws.energy,
        "n_steps": draws.num_steps,
        "tree_depth": draws.tree_depth,
        "acceptance_rate": draws.accept_prob,
        "step_size": draws.step_size,
    }


def _prior_draws(prior: Prior, seed: int, draws: int) -> xr.Dataset:
    values = np.asarray(prior.vector(np.random.default_rng(seed).random((1, draws, len(prior.names)))))
    axes = {"chain": [0], "draw": np.arange(draws)}
    return xr.Dataset({name: (("chain", "draw"), values[..., i]) for i, name in enumerate(prior.names)}, axes)


def _importance(coordinates: Coordinates, learned: Learned, seed: int) -> Weighted:
    """Weighted points of the density that was sampled: those the map was learned from, or new ones in mode "full"."""
    prior = coordinates.prior
    if len(coordinates.spread) == 0:
        values, log_weight = np.asarray(prior.vector(learned.sample.u)), learned.sample.log_weight
    else:
        z = np.random.default_rng(seed).normal(size=(_FULL_POINTS, coordinates.dimension))
        values, log_weight = batched(_weighted_point, batch=64)(coordinates, z)
    values = {name: values[:, i] for i, name in enumerate(prior.names)}
    return Weighted(values, np.exp(log_weight - logsumexp(log_weight)))


def _weighted_point(coordinates: Coordinates, z: Float[Array, " n"]):
    """Parameters at z and the log-density over that of the standard normal z was drawn from."""
    vector, log_slope = coordinates.vector(z)
    log_weight = coordinates.like.log_density(vector, coordinates.prior) + log_slope + 0.5 * jnp.sum(z**2)
    return vector[: len(coordinates.prior.names)], log_weight


def _named(prior: Prior, vector: Float[np.ndarray, " d"]) -> dict[str, float]:
    return dict(zip(prior.names, vector.tolist(), strict=True))


def _summary(
    fit: RegionFit,
    coordinates: Coordinates,
    posterior: dict[str, np.ndarray],
    log_likelihood: Float[np.ndarray, "chains draws"],
    diagnosis: Diagnosis,
    record: dict[str, Any],
) -> dict[str, Any]:
    """The dictionary of summary.json; pulls with the theory errors at the region's best fit."""
    like, prior = coordinates.like, coordinates.prior
    chains, draws = log_likelihood.shape
    chain, draw = np.unravel_index(np.argmax(log_likelihood), log_likelihood.shape)
    best = {name: float(values[chain, draw]) for name, values in posterior.items()}
    at_sm, at_best = fit.like.evaluate(SM_ONLY), fit.like.evaluate(prior.build(**best))
    return {
        "model": prior.model_name,
        "region": prior.region,
        "theory": like.theory,
        "data": like.data.name,
        "g_minus_2": like.g_minus_2,
        "covariance_at": dict(zip(best, fit.reference.tolist(), strict=True)),
        "chains": chains,
        "draws": draws,
        "seconds": record["seconds"],
        "parameters": diagnosis.parameters,
        "divergences": record["divergences"],
        "verdict": diagnosis.verdict,
        "reasons": list(diagnosis.reasons),
        "best": {"log_likelihood": float(log_likelihood[chain, draw]), "parameters": best},
        "sm_log_likelihood": at_sm.log_likelihood,
        "pulls": [
            {"id": row.id, "sm": float(sm), "best": float(best_draw)}
            for row, sm, best_draw in zip(like.data.rows, at_sm.pulls, at_best.pulls, strict=True)
        ],
        "versions": {"jaxdark": __version__} | {name: version(name) for name in ("jax", "numpyro", "arviz", "numpy")},
        "seed": record["seed"],
    }
