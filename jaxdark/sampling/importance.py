"""Importance sampling on the unit cube of prior quantiles.

Inputs: a log-likelihood u -> log L on (0, 1)^d, where the prior is uniform, and points drawn from the prior or a
proposal.
Outputs: weights, effective size, log-evidence with its error and resampled draws. Works without Markov chains, so it is
the check on every chain.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from scipy.special import logsumexp

from jaxdark.compute.batch import HostFunction
from jaxdark.errors import RequestError
from jaxdark.likelihood.priors import prior_points

LogLikelihood = Callable[[Float[Array, " d"]], Float[Array, ""]]
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
