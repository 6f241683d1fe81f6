"""Chains of the No-U-Turn sampler in normal coordinates z, in segments that can be stored and resumed.

Inputs: a log-density of z, built from a likelihood and a transport map, and the chains' first points. Outputs: draws
with their sample statistics. The transition is NumPyro's; the loop is our own, so that a run compiles once, reports its
progress and continues after any segment bit for bit.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from jaxdark.compute.aot import compiler_options
from jaxdark.compute.batch import processors
from jaxdark.compute.cluster import map_chunks
from jaxdark.errors import RequestError
from jaxdark.precision import usual_rules
from jaxdark.sampling.density import LogDensity, potential
from jaxdark.sampling.flow import TransportMap
from jaxdark.sampling.importance import ImportanceSample, Progress, resampled_indices

Checkpoint = Mapping[str, np.ndarray]
ChainMethod = Literal["parallel", "sequential", "vectorized"]
_STAGES = ("compile", "warmup", "sample")


class NutsSettings(NamedTuple):
    """Tuning of the sampler; the defaults suit a map whose image has an efficiency above about 0.1.

    Attributes:
        warmup: steps not kept.
        draws: kept steps per chain.
        step_size: of the leapfrog, in units of the reference normal; the first one where it is adapted.
        adapt: adapt step size and dense inverse mass matrix in the warm-up. Off by default: the map has done it, and
            an acceptance below target, which comes from the map's errors, would only shrink the steps.
        target_accept: mean acceptance the step size is adapted to.
        max_tree_depth: of a trajectory; 2^depth - 1 leapfrog steps at most.
        gradient_clip: see `potential`; for all coordinates or one each.
        segment: steps between two reports.
        chain_method: "parallel" (a thread per core), "sequential", "vectorized" (all chains in one program, each waits
            for the longest trajectory); None is vectorized on a GPU and parallel elsewhere.
    """

    warmup: int = 100
    draws: int = 1500
    step_size: float = 0.8
    adapt: bool = False
    target_accept: float = 0.7
    max_tree_depth: int = 10
    gradient_clip: float | Float[np.ndarray, " n"] = 0.0
    segment: int = 100
    chain_method: ChainMethod | None = None


class Draws(NamedTuple):
    """Steps of all chains, each (chains, steps) and z (chains, steps, n)."""

    z: Float[np.ndarray, "chains steps n"]
    log_density: Float[np.ndarray, "chains steps"]
    energy: Float[np.ndarray, "chains steps"]
    accept_prob: Float[np.ndarray, "chains steps"]
    step_size: Float[np.ndarray, "chains steps"]
    num_steps: np.ndarray
    diverging: np.ndarray

    @property
    def tree_depth(self) -> np.ndarray:
        """Doublings of each trajectory."""
        return np.ceil(np.log2(self.num_steps + 1)).astype(int)

    def between(self, start: int, stop: int | None) -> "Draws":
        """The steps start to stop."""
        return Draws(*(array[:, start:stop] for array in self))


class NutsRun(NamedTuple):
    """Result of a run.

    Attributes:
        draws: after warm-up.
        warmup: the same record of the warm-up.
        seconds: wall time of "compile", "warmup" and "sample"; a resumed run adds to the last two.
    """

    draws: Draws
    warmup: Draws
    seconds: dict[str, float]


def run_nuts(
    log_density: LogDensity,
    init_params: Float[np.ndarray, "chains n"],
    args: tuple = (),
    *,
    seed: int,
    settings: NutsSettings = NutsSettings(),
    progress: Progress | None = None,
    on_segment: Callable[[Checkpoint], None] | None = None,
    resume: Checkpoint | None = None,
    first: int = 0,
) -> NutsRun:
    """Draws from exp(log_density(z, *args)) by NUTS; the chains are independent of each other and of their number.

    Args:
        log_density: scalar function of z (n,) and args, finite everywhere. What it closes over is compiled in.
        init_params: first point of each chain, see `dispersed_init_params`.
        args: pytrees of arrays, such as the transport map; new values need no new compilation.
        seed: fixes the result.
        settings: tuning.
        progress: called with (steps done per chain, all of them), warm-up included.
        on_segment: called after each segment with named arrays that `resume` takes, fit for numpy.savez.
        resume: continue from here, with all other arguments unchanged; the result is that of an uninterrupted run.
        first: number of the first of these chains among all those of the seed.

    Raises:
        RequestError: warm-up and draws are not whole segments, or a start has no finite density.
    """
    total = settings.warmup + settings.draws
    if settings.warmup % settings.segment or settings.draws % settings.segment:
        raise RequestError(
            f"warm-up and draws must be whole numbers of segments of {settings.segment} steps; "
            f"got {settings.warmup} and {settings.draws}"
        )
    clock = time.perf_counter()
    sampler = _sampler(log_density, _hashable(settings))
    states = _initial_states(sampler, init_params, args, seed, first)
    advance = _segment_of_all(sampler, states, args, settings.chain_method)
    parts = []
    if resume is not None:
        leaves, structure = jax.tree.flatten(states)
        states = jax.tree.unflatten(structure, [jnp.asarray(resume[f"state_{k}"]) for k in range(len(leaves))])
        parts = [Draws(*(np.asarray(resume[name]) for name in Draws._fields))]
    done = parts[0].z.shape[1] if parts else 0
    warmup, sample = (0.0, 0.0) if resume is None else resume["seconds"].tolist()
    seconds = dict(zip(_STAGES, (time.perf_counter() - clock, warmup, sample), strict=True))
    while done < total:
        clock = time.perf_counter()
        states, part = advance(states)
        parts = [Draws(*(np.concatenate(pair, axis=1) for pair in zip(*parts, part, strict=True)))] if parts else [part]
        seconds["warmup" if done < settings.warmup else "sample"] += time.perf_counter() - clock
        done += settings.segment
        if on_segment is not None:
            leaves = {f"state_{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(states))}
            spent = np.array([seconds["warmup"], seconds["sample"]])
            on_segment(leaves | parts[0]._asdict() | {"seconds": spent})
        if progress is not None:
            progress(done, total)
    return _run(parts[0], settings, seconds)


def run_nuts_on_cluster(
    log_density: LogDensity,
    init_params: Float[np.ndarray, "chains n"],
    args: tuple = (),
    *,
    seed: int,
    settings: NutsSettings = NutsSettings(),
    scheduler: Any,
    progress: Progress | None = None,
    on_chain: Callable[[int, Checkpoint], None] | None = None,
    finished: Mapping[int, Checkpoint] | None = None,
) -> NutsRun:
    """`run_nuts` with one task of a Dask cluster for each chain; on machines like this one the draws are the same.

    Args:
        log_density, init_params, args, seed, settings: as for `run_nuts`; all of them travel, and each worker compiles.
        scheduler: as `map_chunks` takes it.
        progress: called with (chains done, all of them).
        on_chain: called with each chain's number and named arrays when it is done, in any order.
        finished: what on_chain was given by a run with the same arguments; those chains are not run again.

    Returns:
        The run; its seconds are those of the slowest chain.

    Raises:
        RequestError: no scheduler answers.
        ClusterError: a chain failed, or the scheduler is lost.
    """
    done = dict(finished or {})
    left = [c for c in range(len(init_params)) if c not in done]
    for c, chain in map_chunks(
        partial(_one_chain, log_density, init_params, args, seed, settings), left, scheduler=scheduler
    ):
        done[c] = chain
        if on_chain is not None:
            on_chain(c, chain)
        if progress is not None:
            progress(len(done), len(init_params))
    chains = [done[c] for c in range(len(init_params))]
    seconds = np.max([chain["seconds"] for chain in chains], axis=0).tolist()
    draws = Draws(*(np.concatenate([chain[name] for chain in chains]) for name in Draws._fields))
    return _run(draws, settings, dict(zip(_STAGES, seconds, strict=True)))


def _one_chain(log_density: LogDensity, init_params, args, seed: int, settings: NutsSettings, c: int) -> Checkpoint:
    run = run_nuts(log_density, init_params[c : c + 1], args, seed=seed, settings=settings, first=c)
    steps = {
        name: np.concatenate([getattr(part, name) for part in (run.warmup, run.draws)], 1) for name in Draws._fields
    }
    return steps | {"seconds": np.array([run.seconds[stage] for stage in _STAGES])}


def _run(draws: Draws, settings: NutsSettings, seconds: dict[str, float]) -> NutsRun:
    """The run of all its steps."""
    return NutsRun(draws.between(settings.warmup, None), draws.between(0, settings.warmup), seconds)


def _initial_states(sampler: "_Sampler", init_params, args, seed: int, first: int):
    """State of every chain at its first point, with keys that depend on the chain's number alone."""
    # one chain at a time: a batched program of its own would take longer to compile than it saves
    values, gradients = (np.stack(a) for a in zip(*(sampler.slope(z, args) for z in init_params), strict=True))
    if not np.isfinite(values).all():
        raise RequestError(f"every chain must start at a point of finite density; the potentials are {values.tolist()}")
    # raw keys, so that a checkpoint is made of plain arrays
    numbers = first + np.arange(len(init_params))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.PRNGKey(seed), numbers)
    return sampler.start(keys, init_params, values, gradients, args)


def _segment_of_all(
    sampler: "_Sampler", states, args, method: ChainMethod | None
) -> Callable[[Any], tuple[Any, Draws]]:
    """Compiled function that advances all chains by one segment, by one of the methods of `NutsSettings`."""
    method = method or ("vectorized" if jax.default_backend() == "gpu" else "parallel")
    if method == "vectorized":
        segment = sampler.compiled_segment(states, args, vectorized=True)
        return lambda states: _on_host(segment(states, args))
    chains = range(len(states.z))
    segment = sampler.compiled_segment(_chain(states, 0), args)
    workers = 1 if method == "sequential" else min(len(chains), processors())

    @usual_rules(in_thread=True)
    def advance_one(state):
        return jax.block_until_ready(segment(state, args))

    def advance(states):
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(advance_one, [_chain(states, c) for c in chains]))
        return _on_host(jax.tree.map(lambda *a: jnp.stack(a), *results))

    return advance


def _hashable(settings: NutsSettings) -> NutsSettings:
    return settings._replace(gradient_clip=tuple(np.atleast_1d(np.asarray(settings.gradient_clip, float)).tolist()))


@lru_cache(maxsize=1)
def _sampler(log_density: LogDensity, settings: NutsSettings) -> "_Sampler":
    """The sampler of a density, remembered so that the next run of the same one compiles nothing."""
    return _Sampler(log_density, settings)


class _Sampler:
    """NumPyro's NUTS for one density and one tuning, with its compiled programs.

    Attributes:
        slope: program (z, args) -> (potential energy, its gradient) of one chain.
        start: program (keys, z, energies, gradients, args) -> states of all chains.
    """

    def __init__(self, log_density: LogDensity, settings: NutsSettings):
        self._log_density, self._settings = log_density, settings
        self._init_one, self._transition = hmc(potential_fn_gen=self._potential, algo="NUTS")
        self._segments: dict[Any, Callable] = {}
        quick = compiler_options(quick=True)
        self.slope = jax.jit(lambda z, args: jax.value_and_grad(self._potential(*args))(z), compiler_options=quick)
        self.start = jax.jit(jax.vmap(self._start_one, (0, 0, 0, 0, None)), compiler_options=quick)

    def _potential(self, *args):
        return potential(lambda z: self._log_density(z, *args), np.squeeze(self._settings.gradient_clip))

    def _start_one(self, key, z, energy, gradient, args):
        settings = self._settings
        return self._init_one(
            ParamInfo(z, energy, gradient),
            settings.warmup,
            step_size=settings.step_size,
            adapt_step_size=settings.adapt,
            adapt_mass_matrix=settings.adapt,
            dense_mass=settings.adapt,
            target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_tree_depth,
            model_args=args,
            rng_key=key,
        )

    def _segment(self, state, args):
        """One chain's state after a segment, and the record of its steps."""

        def step(state, _):
            state = self._transition(state, args)
            return state, _record(state)

        return jax.lax.scan(step, state, None, length=self._settings.segment)

    def compiled_segment(self, state, args, *, vectorized: bool = False) -> Callable:
        """`_segment` compiled for one chain, or for all at once; once for each shape of state and args."""
        function = jax.vmap(self._segment, (0, None)) if vectorized else self._segment
        if jax.config.jax_disable_jit:
            return function
        leaves, structure = jax.tree.flatten((state, args))
        shapes = tuple((np.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves)
        key = vectorized, structure, shapes
        if key not in self._segments:
            # ahead of the first call, so that compilation has a time of its own in the result
            self._segments[key] = jax.jit(function).lower(state, args).compile(compiler_options())
        return self._segments[key]


def _chain(state: Any, c: int) -> Any:
    return jax.tree.map(lambda a: a[c], state)


def _record(state: Any) -> Draws:
    return Draws(
        state.z,
        -state.potential_energy,
        state.energy,
        state.accept_prob,
        state.adapt_state.step_size,
        state.num_steps,
        state.diverging,
    )


def _on_host(result) -> tuple[Any, Draws]:
    state, record = jax.block_until_ready(result)
    return state, Draws(*(np.asarray(array) for array in record))


def dispersed_init_params(
    sample: ImportanceSample, transport: TransportMap, chains: int, *, seed: int, candidates: int = 200
) -> Float[np.ndarray, "chains d"]:
    """Starting points in z, far apart: of resampled posterior points, each next one the farthest from those taken.

    Every start is a point of the posterior, so no warm-up is spent on finding it, and different modes come first.
    """
    u = sample.u[resampled_indices(sample.log_weight, candidates, seed)]
    z = np.asarray(jax.vmap(transport.inverse)(u)[0])
    taken = [0]
    for _ in range(chains - 1):
        distance = np.linalg.norm(z[:, None] - z[taken][None], axis=2).min(axis=1)
        taken.append(int(distance.argmax()))
    return z[taken]
