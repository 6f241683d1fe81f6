"""The result of a run as one ArviZ object, whatever the method that drew from the posterior.

Inputs: draws of the parameters with the likelihood they were drawn from. Outputs: predictions, derived quantities and
row-by-row log-likelihoods of every draw, and the summary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from jaxdark.compute.batch import batched
from jaxdark.inputs import StandardModel
from jaxdark.io.results import Result, make_tree
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.likelihood.provenance import Provenance
from jaxdark.models.base import Model
from jaxdark.models.coefficients import c9, c10
from jaxdark.models.propagator import RunningWidth
from jaxdark.models.split import SplitDarkSector, g_tilde
from jaxdark.models.wilson import SM_ONLY
from jaxdark.optimise.region_fit import RegionFit
from jaxdark.sampling.diagnostics import Diagnosis
from jaxdark.sampling.importance import ImportanceSample

PER_DRAW = ("chain", "draw")
_IN_SUMMARY = (
    *("model", "physics", "region", "theory", "data", "data_cut_off", "g_minus_2", "terms_beside"),
    *("form_factors", "V_cb", "versions", "seed"),
)
"""What summary.json says of the provenance; all of it is in posterior.nc."""
Diagnose = Callable[[dict[str, np.ndarray], dict[str, np.ndarray], Float[np.ndarray, "chains draws"]], Diagnosis]


class Sampled(NamedTuple):
    """What a method hands over.

    Attributes:
        vectors: parameters, then xi in mode "full".
        stats: of the sampler, by name, (chains, draws).
        diagnose: summary of the draws and what is wrong with them, from the parameters by name, the nuisances by name
            and the log-likelihood.
        evidence: weighted points whose mean weight is the evidence of the marginalised likelihood.
        summary: entries of summary.json that the method knows.
        attributes: further ones of the ArviZ object.
    """

    vectors: Float[np.ndarray, "chains draws n"]
    stats: dict[str, np.ndarray]
    diagnose: Diagnose
    evidence: tuple[float, float]
    summary: dict[str, Any]
    attributes: dict[str, Any]


def evidence_of(sample: ImportanceSample) -> tuple[float, float]:
    """Log-evidence and its error."""
    return sample.log_evidence, sample.log_evidence_error


def posterior_tree(like: Likelihood, prior: Prior, fit: RegionFit, sampled: Sampled, made_of: Provenance) -> Result:
    """The ArviZ object of a run."""
    seed = made_of.seed
    chains, draws, n = sampled.vectors.shape
    quick = like.theory != "full"
    at_draw = batched(lambda vector: _at_draw(like, fit.like, prior, vector), batch=64, quick=quick)
    recorded = jax.tree.map(lambda a: a.reshape(chains, draws, *a.shape[1:]), at_draw(sampled.vectors.reshape(-1, n)))
    d = len(prior.names)
    axes = {"chain": np.arange(chains), "draw": np.arange(draws)}
    axis = {"measurement": [row.id for row in like.data.rows]}

    def draws_of(values: dict[str, np.ndarray], **extra) -> xr.Dataset:
        dims = (*PER_DRAW, *extra)
        return xr.Dataset({name: (dims[: value.ndim], value) for name, value in values.items()}, axes | extra)

    posterior = {name: sampled.vectors[..., i] for i, name in enumerate(prior.names)}
    names = {"nuisance": list(like.nuisance_names)} if n > d else {}
    nuisances = {name: sampled.vectors[..., d + i] for i, name in enumerate(names.get("nuisance", ()))}
    noise = np.random.default_rng(seed).normal(size=recorded["predictions"].shape)
    covariance = like.covariance[: len(like.data), : len(like.data)]
    replicated = recorded["predictions"] + like.data.sigma * (noise @ np.linalg.cholesky(covariance).T)
    groups = {
        "posterior": draws_of(posterior | ({"nuisances": sampled.vectors[..., d:]} if n > d else {}), **names),
        "derived": draws_of(recorded["derived"]),
        "sample_stats": draws_of(sampled.stats),
        "log_likelihood": draws_of({"obs": recorded["pointwise"]}, **axis),
        "posterior_predictive": draws_of({"obs": replicated}, **axis),
        "observed_data": xr.Dataset({"obs": ("measurement", [row.value for row in like.data.rows])}, axis),
        "prior": _prior_draws(prior, seed, draws),
    }
    log_likelihood = recorded["derived"]["log_likelihood"]
    attributes = {
        "summary": _summary(like, prior, fit, sampled, (posterior, nuisances, log_likelihood), made_of),
        "best_fit": {
            "parameters": dict(zip(prior.names, fit.vector.tolist(), strict=True)),
            "log_likelihood": fit.log_likelihood,
        },
        "measured": like.measured(prior.model(fit.vector)),
    }
    return make_tree(groups, made_of.json() | attributes | sampled.attributes)


def _at_draw(like: Likelihood, marginalised: Likelihood, prior: Prior, vector: Float[Array, " n"]) -> dict[str, Any]:
    """What is recorded of one draw beside its vector.

    The log-likelihood is that of the parameters, so that draws of both modes and the Standard Model compare; in mode
    "full" that of the data at the draw's nuisances stands beside it, without their prior.
    """
    d = len(prior.names)
    model, xi = prior.model(vector[:d]), (vector[d:] if like.theory == "full" else None)
    predictions = like.predictions(model, xi)
    whitening = jnp.asarray(like.whitening)
    # log p(row | all others) of a Gaussian: the row's entry of K^-1 z over the diagonal of K^-1.
    z, n = like.standardised(predictions, model, xi), len(like.data)
    weighted, diagonal = (whitening.T @ (whitening @ z))[:n], jnp.sum(whitening**2, axis=0)[:n]
    derived = {"log_likelihood": marginalised(model)}
    if xi is not None:
        terms = like.terms(model, xi)
        derived["log_likelihood_at_nuisances"] = sum(terms.values()) - terms["nuisances"]
    derived |= _real_columns(_of_resonance(model, like.sm))
    pointwise = -0.5 * weighted**2 / diagonal + 0.5 * jnp.log(diagonal / (2 * jnp.pi))
    return {"predictions": predictions, "pointwise": pointwise, "derived": derived}


def _of_resonance(model: Model, sm: StandardModel) -> dict[str, Any]:
    """Strengths and width of a resonance; C_9 and C_10 at 4 GeV^2 where the strengths depend on q2."""
    resonance = model.new_physics(sm).resonance
    if resonance is None:
        return {}
    running = isinstance(resonance.width, RunningWidth)
    s0 = resonance.m_V**2
    width = {"width_V": resonance.width.absorptive(s0) / resonance.m_V if running else resonance.width}
    if resonance.vertex is None:
        coupling = {"g_tilde": g_tilde(model)} if isinstance(model, SplitDarkSector) else {}
        return {"kappa9": resonance.kappa9, "kappa10": resonance.kappa10} | width | coupling
    coupling = {"g_tilde": resonance.vertex(s0)} if isinstance(model, SplitDarkSector) else {}
    return {"C9_4GeV2": c9(4.0, model, sm), "C10_4GeV2": c10(4.0, model, sm)} | width | coupling


def _real_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Complex values as two columns, `re NAME` and `im NAME`, as the files hold real numbers alone."""
    columns = {}
    for name, value in values.items():
        is_complex = jnp.iscomplexobj(value)
        columns |= {f"re {name}": jnp.real(value), f"im {name}": jnp.imag(value)} if is_complex else {name: value}
    return columns


def _prior_draws(prior: Prior, seed: int, draws: int) -> xr.Dataset:
    values = np.asarray(prior.vector(np.random.default_rng(seed).random((1, draws, len(prior.names)))))
    axes = {"chain": [0], "draw": np.arange(draws)}
    return xr.Dataset({name: (PER_DRAW, values[..., i]) for i, name in enumerate(prior.names)}, axes)


def _summary(
    like: Likelihood,
    prior: Prior,
    fit: RegionFit,
    sampled: Sampled,
    draws: tuple[dict[str, np.ndarray], dict[str, np.ndarray], Float[np.ndarray, "chains draws"]],
    made_of: Provenance,
) -> dict[str, Any]:
    """The dictionary of summary.json; the Standard Model and the maximum-likelihood draw are compared with the
    nuisances at their own best values, and have the theory errors of either in their pulls.
    """
    posterior, _, log_likelihood = draws
    diagnosis = sampled.diagnose(*draws)
    chain, draw = np.unravel_index(np.argmax(log_likelihood), log_likelihood.shape)
    best = {name: float(values[chain, draw]) for name, values in posterior.items()}
    either = fit.like.at(None)
    at_sm, at_best = either.evaluate(SM_ONLY), either.evaluate(prior.model_at(best))
    known = made_of.json()
    return {name: known[name] for name in _IN_SUMMARY if name in known} | {
        "covariance_at": dict(zip(best, fit.reference.tolist(), strict=True)),
        "covariance_settled": fit.settled,
        "modes": [
            {"parameters": dict(zip(best, vector, strict=True)), "chi2": chi2, "own_chi2": own}
            for vector, chi2, own in zip(
                np.asarray(prior.vector(fit.modes.u)).tolist(), fit.modes.chi2, fit.modes.own_chi2, strict=True
            )
        ],
        "chains": log_likelihood.shape[0],
        "draws": log_likelihood.shape[1],
        **sampled.summary,
        "parameters": diagnosis.parameters,
        "nuisances": dict(diagnosis.nuisances),
        "converged": diagnosis.converged,
        "warnings": list(diagnosis.warnings),
        "log_evidence": {"value": sampled.evidence[0], "error": sampled.evidence[1]},
        "max_likelihood_draw": {
            "log_likelihood": float(log_likelihood[chain, draw]),
            "profile_log_likelihood": at_best.log_likelihood,
            "parameters": best,
        },
        "sm_log_likelihood": at_sm.log_likelihood,
        "delta_chi2_sm": 2 * (at_best.log_likelihood - at_sm.log_likelihood),
        "compared_at": like.compared_at,
        "pulls": [
            {"id": row.id, "sm": float(sm), "best": float(best_draw)}
            for row, sm, best_draw in zip(like.data.rows, at_sm.pulls, at_best.pulls, strict=True)
        ],
    }
