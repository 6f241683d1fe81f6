"""Rows of the third table: effective samples per second on one posterior, ours, by several samplers.

All sample the split dark sector in the high region of paper2020 with the theory covariance at the region's best fit,
which is found first and stated apart, as all need it. Our chains run in the coordinates of a learned map; BlackJAX and
emcee in normal quantiles of the prior, from points of an importance sample of the prior, which is what they have to
prepare. Chains run in threads, one per core, as ours do.
"""

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from measure import Record
from scipy.special import ndtri

import jaxdark as jd
from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import prior_of
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.sampling.coordinates import Coordinates, log_density
from jaxdark.sampling.diagnostics import summarised
from jaxdark.sampling.flow import TrainingRound, train_flow
from jaxdark.sampling.importance import sample_prior
from jaxdark.sampling.nested import nested_sample
from jaxdark.sampling.nuts import NutsSettings, dispersed_init_params, run_nuts

CHAINS = 4
_QUICK_MAP = {"n_prior": 2**10, "exploration": TrainingRound(5, 2**8), "refinement": (TrainingRound(5, 2**8),)}


class Posterior:
    """What all samplers share: the likelihood at its best fit, the prior, and points to start from.

    Attributes:
        fit_s, fit_again_s: seconds of the best fit, and of its three searches without compilation.
        starting_s: seconds of the importance sample that gives starting points, without compilation.
    """

    def __init__(self, threads: int, quick: bool):
        jd.enable_x64()
        self.threads, self.quick, self.prior = threads, quick, prior_of("high", physics="paper")
        start = time.perf_counter()
        self.fit = fit_with_covariance(
            jd.Likelihood(jd.load_dataset("paper2020")), self.prior, starts=8 if quick else 64
        )
        self.fit_s = time.perf_counter() - start
        self.fit_again_s = 3 * _seconds(lambda: self.fit.search(self.fit.like.whitening))
        self.dimension = len(self.prior.names)
        clock = time.perf_counter()
        self.sample = sample_prior(self.fit.values, self.dimension, n=2**12 if quick else 2**16, seed=0)
        self.starting_s = time.perf_counter() - clock

    def log_likelihood(self, u):
        """Of prior quantiles (d,)."""
        return self.fit.like(self.prior.model(self.prior.vector(u)))

    def log_density(self, x):
        """Of normal quantiles of the prior (d,)."""
        return self.log_likelihood(ndtr(x)) - 0.5 * jnp.sum(x**2)

    def starts(self, n: int) -> np.ndarray:
        """Points of the posterior in normal quantiles, (n, d)."""
        return ndtri(self.sample.resampled(n, seed=1))

    def judged(self, vectors: np.ndarray) -> Record:
        """Smallest bulk effective size and largest R-hat over the parameters, of draws (chains, draws, d)."""
        found = summarised({name: vectors[..., i] for i, name in enumerate(self.prior.names)}).values()
        return {"ESS": min(entry["ess_bulk"] for entry in found), "R-hat": max(entry["r_hat"] for entry in found)}

    def in_parameters(self, x: np.ndarray) -> np.ndarray:
        """Parameter vectors at normal quantiles of the prior."""
        return np.asarray(self.prior.vector(np.asarray(ndtr(x))))


def sampler_rows(threads: int, quick: bool) -> list[Record]:
    """One row per sampler."""
    posterior = Posterior(threads, quick)
    rows = [{"sampler": "(best fit)", "prepare s": posterior.fit_again_s, "compile s": posterior.fit_s}]
    for function in (_ours, _blackjax_nuts, _emcee, _importance, _nested):
        for row in function(posterior):
            sampled, ess = row.get("sample s"), row.get("ESS")
            if sampled:
                row["ESS/s"] = ess / sampled
                row["ESS/s prepared"] = ess / (sampled + row["prepare s"])
                row["ESS/s with fit"] = ess / (sampled + row["prepare s"] + posterior.fit_again_s)
                row["ESS/s all"] = ess / (sampled + row["prepare s"] + row["compile s"] + posterior.fit_s)
            rows.append(row)
    return rows


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _missing(name: str, package: str) -> list[Record] | None:
    found = importlib.util.find_spec(package)
    return None if found else [{"sampler": name, "note": "not installed"}]


def _ours(p: Posterior) -> list[Record]:
    """NUTS in the learned map's coordinates, and the importance sample that comes with the map."""

    def learn():
        return train_flow(p.fit.values, p.dimension, seed=0, **(_QUICK_MAP if p.quick else {}))

    first = _seconds(learn)
    start = time.perf_counter()
    learned = learn()  # compiled by now
    prepare = time.perf_counter() - start
    coordinates = Coordinates.build(p.fit.like, p.fit, p.prior, learned.transport)
    init_params = dispersed_init_params(learned.sample, learned.transport, CHAINS, seed=0)
    settings = NutsSettings(draws=100 if p.quick else 2000, chain_method="sequential" if p.threads == 1 else "parallel")
    args = coordinates, float(learned.sample.log_likelihood.max())
    run = run_nuts(log_density, init_params, args, seed=0, settings=settings)
    z = run.draws.z
    vectors = batched(lambda c, z: c.vector(z)[0], batch=64)(coordinates, z.reshape(-1, p.dimension)).reshape(z.shape)
    chains = p.judged(vectors)
    calls = float(run.draws.num_steps.sum() + run.warmup.num_steps.sum())
    nuts = {
        "sampler": "jaxdark: NUTS in learned coordinates",
        "prepare s": prepare,
        "compile s": first - prepare + run.seconds["compile"],
        "sample s": run.seconds["warmup"] + run.seconds["sample"],
        "draws": z.shape[0] * z.shape[1],
        **chains,
        "values/ESS": calls / chains["ESS"],
        "gradients/ESS": calls / chains["ESS"] if np.any(settings.gradient_clip) else 0.0,
        "note": f"{CHAINS} chains, warm-up included; prepare: the map" + _disagree(chains),
    }
    weighted = {
        "sampler": "jaxdark: importance sample of map and prior",
        "prepare s": 0.0,
        "compile s": first - prepare,
        "sample s": prepare,
        "draws": len(learned.sample.u),
        "ESS": learned.sample.ess,
        "values/ESS": len(learned.sample.u) / learned.sample.ess,
        "note": "comes with the map; its points of the earlier rounds are not counted",
    }
    return [nuts, weighted]


def _disagree(found: Record) -> str:
    return "" if found["R-hat"] <= 1.01 else "; the chains disagree, so that ESS means nothing"


def _blackjax_nuts(p: Posterior) -> list[Record]:
    name = "BlackJAX: NUTS, window adaptation"
    if missing := _missing(name, "blackjax"):
        return missing
    import blackjax

    warmup, draws = (20, 50) if p.quick else (1000, 1000)

    def chain(key, start):
        adapting, sampling = jax.random.split(key)
        adaptation = blackjax.window_adaptation(blackjax.nuts, p.log_density)
        (state, parameters), adapted = adaptation.run(adapting, start, num_steps=warmup)
        step = blackjax.nuts(p.log_density, **parameters).step

        def one(state, key):
            state, info = step(key, state)
            return state, (state.position, info.num_integration_steps)

        _, (x, steps) = jax.lax.scan(one, state, jax.random.split(sampling, draws))
        return x, steps.sum() + adapted.info.num_integration_steps.sum()

    keys, starts = jax.random.split(jax.random.key(0), CHAINS), p.starts(CHAINS)
    start = time.perf_counter()
    program = jax.jit(chain).lower(keys[0], starts[0]).compile()
    compile_s = time.perf_counter() - start
    start = time.perf_counter()
    with ThreadPoolExecutor(p.threads) as pool:
        results = list(pool.map(lambda k: jax.block_until_ready(program(keys[k], starts[k])), range(CHAINS)))
    seconds = time.perf_counter() - start
    x, calls = (np.stack([np.asarray(result[i]) for result in results]) for i in (0, 1))
    found = p.judged(p.in_parameters(x))
    row = {"sampler": name, "prepare s": p.starting_s, "compile s": compile_s, "sample s": seconds, **found}
    per_ess = float(calls.sum()) / found["ESS"]
    note = f"{CHAINS} chains, {warmup} steps of warm-up included" + _disagree(found)
    return [row | {"draws": CHAINS * draws, "values/ESS": per_ess, "gradients/ESS": per_ess, "note": note}]


def _emcee(p: Posterior) -> list[Record]:
    if missing := _missing("emcee on our density", "emcee"):
        return missing
    import emcee

    walkers, burn, draws = (16, 5, 20) if p.quick else (256, 1000, 2000)
    mapped = batched(p.log_density, batch=walkers // 2 // p.threads, workers=p.threads)
    compile_s = _seconds(lambda: mapped(p.starts(1)))
    sampler = emcee.EnsembleSampler(walkers, p.dimension, mapped, vectorize=True)
    sampler.random_state = np.random.RandomState(0).get_state()
    seconds = _seconds(lambda: sampler.run_mcmc(p.starts(walkers), burn + draws))
    x = np.moveaxis(sampler.get_chain(discard=burn), 0, 1)
    found = p.judged(p.in_parameters(x))
    row = {"sampler": "emcee on our density", "prepare s": p.starting_s, "compile s": compile_s, "sample s": seconds}
    note = f"{walkers} walkers, {burn} steps of burn-in included" + _disagree(found)
    per_ess = walkers * (burn + draws) / found["ESS"]
    return [row | found | {"draws": walkers * draws, "values/ESS": per_ess, "note": note}]


def _importance(p: Posterior) -> list[Record]:
    n = 2**12 if p.quick else 2**20
    start = time.perf_counter()
    sample = sample_prior(p.fit.values, p.dimension, n=n, seed=0)
    row = {"sampler": "jaxdark: points of the prior, weighted", "prepare s": 0.0, "compile s": 0.0}
    row |= {"sample s": time.perf_counter() - start, "draws": n, "ESS": sample.ess, "values/ESS": n / sample.ess}
    return [row | {"note": "compiled by the best fit"}]


def _nested(p: Posterior) -> list[Record]:
    if missing := _missing("nested sampling", "blackjax"):
        return missing
    n_live = 50 if p.quick else 2000
    clock = [time.perf_counter()]
    tick = lambda done, total: clock.append(time.perf_counter())  # noqa: E731
    sample, _ = nested_sample(p.log_likelihood, p.dimension, seed=0, n_live=n_live, progress=tick)
    # the first step waits for the compiler
    later = clock[2:]
    seconds = (later[-1] - clock[1]) * (len(later) + 1) / len(later)
    compile_s = time.perf_counter() - clock[0] - seconds
    row = {"sampler": "nested sampling (BlackJAX)", "prepare s": 0.0, "compile s": compile_s}
    row |= {"sample s": seconds, "draws": len(sample.u), "ESS": sample.ess}
    return [row | {"note": f"{n_live} live points, to the end"}]
