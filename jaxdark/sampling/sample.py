"""Posterior of a model's parameters, Section 4 of the paper: by NUTS with one of three kernels, or by two other routes.

Inputs: a likelihood and a prior. Outputs: an ArviZ object with draws, diagnostics and everything needed to read them.
"""

import time
from collections.abc import Callable
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import logsumexp

from jaxdark.choices import Kernel, Method
from jaxdark.compute.batch import batched
from jaxdark.compute.bounds import checked_seed, count, fits_memory
from jaxdark.compute.cluster import connected
from jaxdark.errors import RequestError, one_of
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.io.results import Result
from jaxdark.likelihood.likelihood import Likelihood, check_likelihood
from jaxdark.likelihood.priors import Prior, prior_of
from jaxdark.likelihood.provenance import provenance
from jaxdark.optimise.region_fit import RegionFit
from jaxdark.precision import usual_rules
from jaxdark.sampling.coordinates import Coordinates, log_density
from jaxdark.sampling.density import floor_share
from jaxdark.sampling.diagnostics import Weighted, diagnose
from jaxdark.sampling.flow import TrainedFlow, prior_map, train_flow
from jaxdark.sampling.importance import resampled_indices, sample_prior
from jaxdark.sampling.nested import nested_sample
from jaxdark.sampling.nuts import (
    NutsRun,
    NutsSettings,
    dispersed_init_params,
    run_nuts,
    run_nuts_on_cluster,
)
from jaxdark.sampling.resume import finished_chains, kept_chains, kept_fit, kept_parts, load_or_train_flow
from jaxdark.sampling.to_arviz import Sampled, evidence_of, posterior_tree
from jaxdark.sampling.weighted import diagnose_weighted

Report = Callable[[str, int, int], None]
"""Progress: called with the stage's name, steps done and all steps."""

_ADAPTED = NutsSettings(warmup=500, draws=2000, step_size=0.2, adapt=True, target_accept=0.8, gradient_clip=np.inf)
_SETTINGS: dict[Kernel, NutsSettings] = {
    "flow": NutsSettings(warmup=100, draws=2000),
    "gradient": _ADAPTED,
    "plain": _ADAPTED._replace(warmup=1000),
}
_PLAIN_POINTS = 2**18
"""Of the prior: starts for chains without a flow, and the importance sample that they are judged against."""
_FULL_POINTS = 2**14
_POINTS: dict[Method, tuple[str, int]] = {"nested": ("n_live", 2000), "importance": ("n_samples", 2**21)}
"""Of each method that has weighted points: the argument with their number, and its default."""
_MOST_POINTS = 2**30
"""That Sobol sequences have."""
_RECORDED, _COPIES = 40, 4
"""Numbers kept of each draw beside parameters and rows, and arrays that weighted points are held in, about."""


@usual_rules()
def sample(
    like: Likelihood,
    prior: str | Prior = "high",
    *,
    method: Method = "nuts",
    kernel: Kernel = "flow",
    chains: int = 4,
    draws: int | None = None,
    warmup: int | None = None,
    n_samples: int | None = None,
    n_live: int | None = None,
    seed: int = 0,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
    scheduler: Any = None,
) -> Result:
    """Sample the posterior of a model in one region.

    The theory covariance of a marginalised likelihood is taken at the region's best fit, iterated to a fixed point,
    whatever reference the likelihood came with; the reference is stated in the result.

    Args:
        like: the likelihood, in any mode.
        prior: a `Prior`, or the name of a region of Table 1, "high" or "low".
        method: "nuts", Markov chains; "importance", points of the prior weighted by the likelihood; or "nested",
            nested sampling, which needs the extra crosscheck. The last two take marginalised likelihoods, and their
            equally weighted draws come as one chain without R-hat, with the effective sizes of the weights.
        kernel: of the method nuts, see `Kernel`: "flow", "gradient" or "plain". The last two evaluate the likelihood's
            gradient at each leapfrog step.
        chains: number of chains, at least 2, started apart.
        draws, warmup: per chain, rounded up to hundreds; by default enough for the effective sizes asked for.
        n_samples: of the method importance: points of the prior, rounded up to a power of two.
        n_live: of the method nested: live points.
        seed: fixes the result.
        report: called with (stage, done, all) as work proceeds.
        checkpoints: where an interrupted run is taken up; its result is that of an uninterrupted one.
        scheduler: address of a Dask scheduler, or a Dask client or cluster, whose workers run one chain each, with the
            same draws; None is this process. For the method nuts.

    Returns:
        An ArviZ object (InferenceData or DataTree): posterior, derived, sample_stats, log_likelihood (per row, given
        all other rows), posterior_predictive, observed_data and prior; `jaxdark.io.results.summary` gives the summary.

    Raises:
        RequestError: single precision, an unknown region, numbers of chains or draws that cannot be used, a method that
            does not go with the likelihood or a scheduler, a scheduler that does not answer, or checkpoints of a run
            with other settings.
        OSError: the cluster failed; the same call goes on from the checkpoints.
    """
    check_likelihood(like)
    one_of("method", method, get_args(Method))
    one_of("kernel", kernel, get_args(Kernel))
    if method != "nuts" and kernel != "flow":
        raise RequestError(f"a kernel belongs to the method nuts, got the method {method}; leave it out")
    prior, settings, seed = prior_of(prior), _settings(kernel, chains, draws, warmup), checked_seed(seed)
    points = _points(method, like, n_samples=n_samples, n_live=n_live)
    _fits_memory(like, prior, settings, chains, points)
    report, store = report or (lambda stage, done, total: None), checkpoints or Checkpoints(None)
    counts = {"chains": chains, "draws": settings.draws, "warmup": settings.warmup, "points": points}
    made_of = provenance(like, prior, seed=seed, settings={"method": method, "kernel": kernel, **counts})
    if scheduler is not None and method != "nuts":
        raise RequestError(f"a scheduler runs the chains of the method nuts, got the method {method}; leave it out")
    with connected(scheduler) as client:
        store.begin(made_of.json())
        clock = time.perf_counter()
        report("best fit", 0, 1)
        fit = kept_fit(store, like, prior, seed)
        report("best fit", 1, 1)
        if method == "nuts":
            sampled = _by_nuts(like, prior, fit, kernel, settings, chains, seed, report, store, clock, client)
        else:
            sampled = _by_weights(method, prior, fit, chains * settings.draws, points, seed, report, store, clock)
    report("result", 0, 1)
    tree = posterior_tree(like if like.theory == "full" else fit.like, prior, fit, sampled, made_of)
    report("result", 1, 1)
    return tree


def _settings(kernel: Kernel, chains: int, draws: int | None, warmup: int | None) -> NutsSettings:
    if chains < 2:
        raise RequestError(f"at least 2 chains are needed to tell whether they agree, got {chains}")
    given = {name: value for name, value in {"draws": draws, "warmup": warmup}.items() if value is not None}
    for name, value in given.items():
        if value < 1:
            raise RequestError(f"{name} must be a positive number per chain, got {value}")
    settings = _SETTINGS[kernel]
    segment = settings.segment
    return settings._replace(**{name: -(-value // segment) * segment for name, value in given.items()})


def _fits_memory(like: Likelihood, prior: Prior, settings: NutsSettings, chains: int, points: int) -> None:
    """Raise RequestError unless the draws with what is recorded of each, and weighted points, fit into memory."""
    recorded = _RECORDED + 4 * len(like.data) + 3 * (len(prior.names) + len(like.nuisance_names))
    steps = chains * (settings.draws + settings.warmup)
    fits_memory(
        8 * steps * recorded, f"{count(chains)} chains of {count(settings.draws)} draws", "take fewer draws or chains"
    )
    per_point = _COPIES * (len(prior.names) + 2)
    fits_memory(8 * points * per_point, f"{points} points", "take fewer points")


def _points(method: Method, like: Likelihood, **given: int | None) -> int:
    """How many weighted points a method makes; 0 for the method nuts, which has none."""
    for owner, (name, _) in _POINTS.items():
        if given[name] is not None and method != owner:
            raise RequestError(f"{name} belongs to the method {owner}, got the method {method}; leave it out")
    if method == "nuts":
        return 0
    if like.theory == "full":
        raise RequestError(f"the method {method} needs the theory marginalised, got full; take it, or the method nuts")
    name, points = _POINTS[method]
    points = points if (asked := given[name]) is None else asked
    if not 100 <= points <= _MOST_POINTS:
        raise RequestError(f"{name} must be at least 100 and at most {_MOST_POINTS}, got {count(points)}")
    return points


def _by_nuts(
    like: Likelihood,
    prior: Prior,
    fit: RegionFit,
    kernel: Kernel,
    settings: NutsSettings,
    chains: int,
    seed: int,
    report: Report,
    store: Checkpoints,
    clock: float,
    client: Any,
) -> Sampled:
    """Markov chains, in the coordinates of a flow or in prior quantiles."""

    def learn() -> TrainedFlow:
        dimension = len(prior.names)
        show = lambda done, total: report("prior points" if kernel == "plain" else "flow", done, total)  # noqa: E731
        if kernel == "plain":
            sample = sample_prior(fit.values, dimension, n=_PLAIN_POINTS, seed=seed, progress=show)
            return TrainedFlow(prior_map(dimension, seed=seed), sample, ())
        return train_flow(fit.values, dimension, seed=seed, progress=show)

    learned = load_or_train_flow(store, learn)
    coordinates = Coordinates.build(like, fit, prior, learned.transport)
    log_best = float(learned.sample.log_likelihood.max())
    init_params = dispersed_init_params(learned.sample, learned.transport, chains, seed=seed)
    eta = np.random.default_rng(seed).normal(size=(chains, len(coordinates.spread)))
    prepared = time.perf_counter() - clock
    target = log_density, np.concatenate([init_params, eta], axis=1), (coordinates, log_best)
    options = {"seed": seed, "settings": settings, "progress": lambda done, total: report("chains", done, total)}
    if client is None:
        on_segment, resume = kept_chains(store)
        run = run_nuts(*target, **options, on_segment=on_segment, resume=resume)
    else:
        _ = coordinates.like.whitening  # made here, so that all workers have the same bits
        on_chain, finished = finished_chains(store, chains)
        run = run_nuts_on_cluster(*target, **options, scheduler=client, on_chain=on_chain, finished=finished)
    z = run.draws.z
    to_vector = batched(lambda coordinates, z: coordinates.vector(z)[0], batch=64, quick=True)
    vectors = to_vector(coordinates, z.reshape(-1, z.shape[2]))
    importance = _importance(coordinates, learned, seed)
    return Sampled(
        vectors=vectors.reshape(z.shape),
        stats=_sample_stats(run),
        diagnose=lambda posterior, nuisances, log_likelihood: diagnose(
            posterior,
            run.draws.diverging,
            log_likelihood,
            importance,
            nuisances=nuisances,
            fixed=_fixed(prior),
            floor_share=floor_share(learned.sample.log_evidence, log_best),
        ),
        evidence=evidence_of(learned.sample),
        summary={
            "method": "nuts",
            "kernel": kernel,
            "seconds": {**run.seconds, "compile": run.seconds["compile"] + prepared},
            "divergences": int(run.draws.diverging.sum()),
        },
        attributes={
            "importance": {"ess": learned.sample.ess, "transport_efficiencies": learned.efficiencies},
            "sampling": {
                "steps_per_draw": run.draws.num_steps.mean(),
                "acceptance_rate": run.draws.accept_prob.mean(),
            },
        },
    )


def _by_weights(
    method: Method,
    prior: Prior,
    fit: RegionFit,
    draws: int,
    points: int,
    seed: int,
    report: Report,
    store: Checkpoints,
    clock: float,
) -> Sampled:
    """Weighted points of the prior or of nested sampling, resampled to equal weights."""
    prepared = time.perf_counter()
    on_part, parts = kept_parts(store, method)
    if method == "importance":
        show = lambda done, total: report("prior points", done, total)  # noqa: E731
        sample = sample_prior(
            fit.values, len(prior.names), n=points, seed=seed, progress=show, on_chunk=on_part, resume=parts
        )
        evidence = evidence_of(sample)
    else:
        show = lambda done, total: report("nested", done, total)  # noqa: E731
        on_cube = lambda u: fit.like(prior.model(prior.vector(u)))  # noqa: E731
        sample, evidence = nested_sample(
            on_cube, len(prior.names), seed=seed, n_live=points, progress=show, on_segment=on_part, resume=parts
        )
    chosen = resampled_indices(sample.log_weight, draws, seed)
    spent = time.perf_counter() - prepared + sum(float(part["seconds"]) for part in parts)
    seconds = {"compile": prepared - clock, "warmup": 0.0, "sample": spent}
    return Sampled(
        vectors=np.asarray(prior.vector(sample.u[chosen]))[None],
        stats={"diverging": np.zeros((1, draws), bool)},
        diagnose=lambda *_: diagnose_weighted(
            prior.names,
            np.asarray(prior.vector(sample.u)),
            sample.log_weight,
            argument=_POINTS[method][0],
            fixed=_fixed(prior),
        ),
        evidence=evidence,
        summary={
            "method": method,
            "seconds": seconds,
            "divergences": 0,
            "importance": {"points": len(sample.u), "ess": sample.ess, "distinct_draws": len(np.unique(chosen))},
        },
        attributes={"importance": {"ess": sample.ess}},
    )


def _fixed(prior: Prior) -> tuple[str, ...]:
    """Parameters that the prior leaves one value."""
    return tuple(name for name, r in prior.ranges.items() if r.lower == r.upper)


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


def _importance(coordinates: Coordinates, learned: TrainedFlow, seed: int) -> Weighted:
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
    log_weight = coordinates.like.log_likelihood(vector, coordinates.prior) + log_slope + 0.5 * jnp.sum(z**2)
    return vector[: len(coordinates.prior.names)], log_weight
