"""Evidence of several models from the same data, with one theory covariance for all of them.

Inputs: a likelihood and a region. Outputs: log-evidences with their errors. Section 4, comparison of models.
"""

from collections.abc import Callable, Sequence
from typing import Any

from jaxdark.compute.bounds import checked_seed
from jaxdark.errors import RequestError
from jaxdark.io.results import plain
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import PRIORS, Prior, prior_of
from jaxdark.likelihood.provenance import prior_provenance, provenance
from jaxdark.models.wilson import SM_ONLY
from jaxdark.optimise.multistart import MultiStart
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.precision import usual_rules
from jaxdark.sampling.flow import train_flow

MODELS = ("split", "split-paper", "zprime", "constant")


@usual_rules()
def evidence(
    like: Likelihood,
    region: str = "high",
    *,
    models: Sequence[str | Prior] = MODELS,
    seed: int = 0,
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Log-evidence of models and of the Standard Model.

    The theory covariance is the same for all models: once that at the Standard Model, once that at the best fit of the
    first model in its region. The Standard Model has no parameters, so its evidence is its likelihood. Each evidence is
    the mean weight of an importance sample of the model's prior, see `train_flow`; it depends on the ranges of
    the prior.

    Args:
        like: the likelihood; mode "marginalised" is used in place of "full". In mode "following" each point has its own
            covariance.
        region: of the models that have regions.
        models: names of `PRIORS`, or priors of your own, which go by their `model_name`.
        seed: fixes the result.
        report: called with (stage, done, all).

    Returns:
        {"region": .., "covariances": {name: parameters of the point, None for the Standard Model},
        "physics": {model: ..}, "models": {model: {covariance: {"log_evidence": .., "error": .., "log_bayes_factor":
        .. over the Standard Model, "best_log_likelihood": ..}}}, "priors": {model: what `prior_provenance` says}}, and
        the `Provenance` of the data, inputs, seed and versions.

    Raises:
        RequestError: an unknown model or region.
    """
    seed = checked_seed(seed)
    if not models:
        raise RequestError(f"expected at least one model, got none; take some of {', '.join(PRIORS)}")
    report = report or (lambda stage, done, total: None)
    chosen = [model if isinstance(model, Prior) else _shipped(model, region) for model in models]
    priors = {prior.model_name: prior.check() for prior in chosen}
    first = chosen[0]
    report("best fit", 0, 1)
    fit = fit_with_covariance(like, first, seed=seed)
    report("best fit", 1, 1)
    at_fit = f"best fit of {first.model_name}, {first.region}"
    at_sm = like.without_nuisances().at(SM_ONLY)
    likes = {"each point": at_sm} if like.theory == "following" else {"Standard Model": at_sm, at_fit: fit.like}
    found = {"SM": {name: _entry(at.evaluate(SM_ONLY).log_likelihood, 0.0) for name, at in likes.items()}}
    for k, (model, prior) in enumerate(priors.items()):
        values, found[model] = MultiStart(at_sm, prior, seed=seed).values, {}
        for i, (name, at) in enumerate(likes.items()):
            whitening = at.whitening
            sample = train_flow(lambda u: values(whitening, u), len(prior.names), seed=seed).sample  # noqa: B023
            found[model][name] = _entry(
                sample.log_evidence,
                sample.log_evidence_error,
                found["SM"][name]["log_evidence"],
                float(sample.log_likelihood.max()),
            )
            report("evidences", len(likes) * k + i + 1, len(likes) * len(priors))
    reference = dict(zip(first.names, fit.reference.tolist(), strict=True))
    made_of = provenance(like.without_nuisances(), seed=seed, settings={"region": region})
    return made_of.json() | {
        "priors": {name: plain(prior_provenance(prior)) for name, prior in priors.items()},
        "covariances": {name: reference if name == at_fit else None for name in likes},
        "physics": {name: physics for name, prior in priors.items() if (physics := prior.physics) is not None},
        "models": found,
    }


def _shipped(model: str, region: str) -> Prior:
    return prior_of(None if [*PRIORS.get(model, ())] == ["all"] else region, model)


def _entry(value: float, error: float, of_sm: float | None = None, best: float | None = None) -> dict[str, float]:
    return {
        "log_evidence": value,
        "error": error,
        "log_bayes_factor": 0.0 if of_sm is None else value - of_sm,
        "best_log_likelihood": value if best is None else best,
    }
