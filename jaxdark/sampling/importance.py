"""Importance sampling on the unit cube of prior quantiles.

In: a log-likelihood u -> log L on (0, 1)^d, where the prior is uniform, and points drawn from the prior or a proposal.
Out: weights, effective size, log-evidence with its error and resampled draws. Works without Markov chains, so it is
the check on every chain.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import logsumexp
from scipy.stats import qmc

from jaxdark.compute.aot import compiler_options
from jaxdark.errors import RequestError
from jaxdark.precision import usual_rules
from jaxdark.repeats import without_repeats

LogLikelihood = Callable[[Float[Array, " d"]], Float[Array, ""]]
HostFunction = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
Progress = Callable[[int, int], None]
Arrays = Mapping[str, np.ndarray]


class ImportanceSample(NamedTuple):
    """Weighted points on the unit cube.

    Attributes:
        u: prior quantiles, (n, d).
        log_likelihood: log L at each point, (n,).
        log_weight: log L - log q, (n,), with q the density the points were drawn from (1 for the prior).
    """

    u: Float[np.ndarray, "n d"]
    log_likelihood: Float[np.ndarray, " n"]
    log_weight: Float[np.ndarray, " n"]

    @property
    def probability(self) -> Float[np.ndarray, " n"]:
        """Posterior probability of each point, adding up to one."""
        return np.exp(self.log_weight - logsumexp(self.log_weight))

    @property
    def ess(self) -> float:
        """Effective sample size (sum w)^2 / sum w^2."""
        return effective_size(self.log_weight)

    @property
    def log_evidence(self) -> float:
        """Log of the prior mean of the likelihood."""
        return float(logsumexp(self.log_weight) - np.log(len(self.log_weight)))

    @property
    def log_evidence_error(self) -> float:
        """Standard error of log_evidence for independent points; an upper bound for quasi-random ones."""
        return float(np.sqrt(max(1.0 / self.ess - 1.0 / len(self.log_weight), 0.0)))

    def resampled(self, n: int, seed: int) -> Float[np.ndarray, "n d"]:
        """Draw n equally weighted points (systematic resampling, then shuffled); heavy points repeat."""
        return self.u[resampled_indices(self.log_weight, n, seed)]


def effective_size(log_weight: Float[np.ndarray, " n"]) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of log-weights."""
    return float(np.exp(2 * logsumexp(log_weight) - logsumexp(2 * log_weight)))


def resampled_indices(log_weight: Float[np.ndarray, " n"], n: int, seed: int) -> np.ndarray:
    """Indices of n equally weighted draws by systematic resampling, in random order."""
    generator = np.random.default_rng(seed)
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max()))
    position = (np.arange(n) + generator.random()) / n * cumulative[-1]
    return generator.permutation(np.searchsorted(cumulative, position).clip(max=len(log_weight) - 1))


_BLOCKS = 8
"""Batches in one call of a compiled program, so that most of the time is spent in it."""


def batched(
    function: Callable, batch: int | None = None, workers: int | None = None, *, quick: bool = False
) -> Callable:
    """Host function that maps `function` over the first axis of its last argument in batches of one fixed size.

    One compilation serves every number of points, memory is that of a few batches per worker, and the result does not
    depend on the number of threads.

    Args:
        function: (*leading, point) -> pytree of arrays; the leading arguments are shared by all points, and a point is
            an array or a pytree of such.
        batch: points at a time; by default what fits a core's cache, 128, or on an accelerator 65536.
        workers: threads, by default one per core.
        quick: the program runs a few times only, see `ahead.compiler_options`.
    """

    def blocks(count, leading, points):
        """The first `count` of several batches, one after the other."""

        def of_block(k):
            return jax.vmap(lambda point: function(*leading, point))(jax.tree.map(lambda a: a[k], points))

        empty = jax.tree.map(lambda a: jnp.zeros((_BLOCKS, *a.shape), a.dtype), jax.eval_shape(of_block, 0))
        put = lambda k, done: jax.tree.map(lambda all_, one: all_.at[k].set(one), done, of_block(k))  # noqa: E731
        return jax.lax.fori_loop(0, count, put, empty)

    @cache
    def program():
        return jax.jit(without_repeats(blocks), compiler_options=compiler_options(quick=quick))

    def apply(*args):
        compiled, threads = program(), workers or os.cpu_count() or 1
        *leading, points = args
        size = batch or (128 if jax.default_backend() == "cpu" else 2**16)
        n = len(jax.tree.leaves(points)[0])
        # Few batches are shared among the threads, not all left to one.
        count = min(_BLOCKS, -(-n // (size * threads)))

        @usual_rules(in_thread=True)
        def call(start: int):
            here = min(count, -(-(n - start) // size))

            def laid_out(a):
                part = np.asarray(a[start : start + here * size])
                # The last point is repeated to fill the batches.
                filled = np.concatenate([part, np.repeat(part[-1:], _BLOCKS * size - len(part), axis=0)])
                return filled.reshape(_BLOCKS, size, *part.shape[1:])

            result = jax.device_get(compiled(here, leading, jax.tree.map(laid_out, points)))
            return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[: min(here * size, n - start)], result)

        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(call, range(0, n, count * size))
            return jax.tree.map(lambda *a: np.concatenate(a), *parts)

    return apply


def prior_points(dimension: int, n: int, seed: int) -> Float[np.ndarray, "n d"]:
    """Scrambled Sobol points, strictly inside the unit cube, (n, d); n is a power of two."""
    points = qmc.Sobol(dimension, rng=seed).random_base2(n.bit_length() - 1)
    return points.clip(2.0**-53, 1 - 2.0**-53)


def checked(log_likelihood: Float[np.ndarray, " n"], u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The same values; raises RequestError where the log-likelihood is NaN or infinite from above."""
    bad = np.isnan(log_likelihood) | (log_likelihood == np.inf)
    if bad.any():
        raise RequestError(
            f"the log-likelihood must be a number everywhere on the prior, but it is {log_likelihood[bad][0]} at the "
            f"prior quantiles u = {u[bad][0].tolist()} ({bad.sum()} of {len(u)} points): mend the model there"
        )
    return log_likelihood


def sample_prior(
    log_likelihood: HostFunction,
    dimension: int,
    *,
    n: int,
    seed: int,
    chunk: int = 2**16,
    progress: Progress | None = None,
    on_chunk: Callable[[Arrays], None] | None = None,
    resume: Sequence[Arrays] = (),
) -> ImportanceSample:
    """Brute-force importance sample: n quasi-random points of the prior weighted by the likelihood.

    Args:
        log_likelihood: host function of (n, d) points, from `batched`.
        dimension: d.
        n: number of points, a power of two (others are rounded up).
        seed: of the scrambling.
        chunk: points between two calls of progress.
        progress: called with (points done, n).
        on_chunk: called after each chunk with named arrays, fit for numpy.savez.
        resume: what on_chunk was given, in order, by a call with the same arguments that was stopped; the result is
            that of one that was not.

    Raises:
        RequestError: the log-likelihood is NaN somewhere.
    """
    n = 1 << (n - 1).bit_length()
    u = prior_points(dimension, n, seed)
    values = np.empty(n)
    former = np.concatenate([part["log_likelihood"] for part in resume]) if resume else np.zeros(0)
    values[: len(former)] = former
    for start in range(len(former), n, chunk):
        part = slice(start, min(start + chunk, n))
        values[part] = checked(log_likelihood(u[part]), u[part])
        if on_chunk is not None:
            on_chunk({"log_likelihood": values[part]})
        if progress is not None:
            progress(part.stop, n)
    return ImportanceSample(u, values, values)


def mixture_sample(samples: list[ImportanceSample], log_densities: list[Float[np.ndarray, " n"]]) -> ImportanceSample:
    """Pool of samples from several proposals, weighted against their mixture (the balance heuristic).

    The weight of a point is bounded by what the prior, if it is among the proposals, gives it: a proposal that misses
    a mode cannot make one point dominate.

    Args:
        samples: one per proposal.
        log_densities: for each proposal, its log-density at all points of all samples in order, (sum of n,).
    """
    sizes = np.array([len(s.u) for s in samples])
    log_fraction = np.log(sizes / sizes.sum())
    log_mixture = logsumexp([f + q for f, q in zip(log_fraction, log_densities, strict=True)], axis=0)
    values = np.concatenate([s.log_likelihood for s in samples])
    return ImportanceSample(np.concatenate([s.u for s in samples]), values, values - log_mixture)
