"""Nested sampling of a posterior, a route to it and to its evidence that shares nothing with the chains.

Inputs: a log-likelihood of prior quantiles. Outputs: weighted points and the log-evidence with its error.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float
from scipy.special import logsumexp

from jaxdark.errors import RequestError
from jaxdark.sampling.importance import Arrays, ImportanceSample

_SEGMENT = 10
"""Replacements of a tenth of the live points between two reports of the state."""


def nested_sample(
    log_likelihood: Callable[[Float[Array, " d"]], Float[Array, ""]],
    dimension: int,
    *,
    seed: int,
    n_live: int = 2000,
    progress: Callable[[int, int], None] | None = None,
    on_segment: Callable[[Arrays], None] | None = None,
    resume: Sequence[Arrays] = (),
) -> tuple[ImportanceSample, tuple[float, float]]:
    """Nested slice sampling by BlackJAX in normal quantiles of the prior, where it has no edges.

    A tenth of the live points is replaced at a time, each by 5 d slices from a live point that survives, until the live
    points hold less than e^-5 of the evidence.

    Args:
        log_likelihood: of prior quantiles u (d,), traceable, finite.
        dimension: d.
        seed: fixes the result.
        n_live: number of live points.
        progress: called with (hundredths of the nats by which the prior volume has shrunk, those foreseen).
        on_segment: called now and then with named arrays, fit for numpy.savez: the state, and the points that died
            since.
        resume: what on_segment was given, in order, by a call with the same arguments that was stopped; the result is
            that of one that was not.

    Returns:
        The weighted points, and log-evidence with its error from simulated volumes.

    Raises:
        RequestError: BlackJAX is not installed.
    """
    blackjax, base, utils = _blackjax()
    delete = max(n_live // 10, 1)
    algorithm = blackjax.nss(
        logprior_fn=lambda x: jnp.sum(norm.logpdf(x)),
        loglikelihood_fn=lambda x: log_likelihood(ndtr(x)),
        num_delete=delete,
        num_inner_steps=5 * dimension,
    )
    first, *keys = jax.random.split(jax.random.key(seed), 3)
    positions, k, dead = jax.random.normal(first, (n_live, dimension)), _SEGMENT * len(resume), []
    if resume:
        like_these = jax.eval_shape(algorithm.init, positions)
        state = _tree("state", like_these, resume[-1])
        dead = [base.NSInfo(_tree("dead", like_these.particles, part), None) for part in resume]
    else:
        state = jax.jit(algorithm.init)(positions)
    step = jax.jit(algorithm.step)
    while not state.integrator.logZ_live - state.integrator.logZ < -5:
        state, info = step(jax.random.fold_in(keys[0], k), state)
        dead.append(jax.device_get(info._replace(update_info=None)))
        k += 1
        if on_segment is not None and k % _SEGMENT == 0:
            since = jax.tree.map(lambda *a: np.concatenate(a), *(info.particles for info in dead[-_SEGMENT:]))
            on_segment(_arrays("state", state) | _arrays("dead", since))
        if progress is not None:
            done = int(100 * k * delete / n_live)
            progress(done, max(done + 100, 1000))
    final = utils.finalise(state, dead, update_info=False)
    log_weights = np.asarray(utils.log_weights(keys[1], final, shape=200))
    log_evidence = logsumexp(log_weights, axis=0)
    points = final.particles
    sample = ImportanceSample(
        np.asarray(ndtr(points.position)), np.asarray(points.loglikelihood), log_weights.mean(axis=1)
    )
    return sample, (float(log_evidence.mean()), float(log_evidence.std(ddof=1)))


def _arrays(name: str, tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree by numbered names."""
    return {f"{name}_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def _tree(name: str, like_this: Any, arrays: Arrays) -> Any:
    """The tree that `_arrays` took apart."""
    leaves, structure = jax.tree.flatten(like_this)
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[f"{name}_{i}"]) for i in range(len(leaves))])


def _blackjax():
    try:
        import blackjax
        import blackjax.ns.base as base
        import blackjax.ns.utils as utils
    except ImportError as error:
        raise RequestError(
            f"nested sampling needs BlackJAX ({error}): pip install 'jaxdark[crosscheck]', or take --method importance"
        ) from None
    return blackjax, base, utils
