"""Nested sampling of a posterior, a route to it and to its evidence that shares nothing with the chains.

Enters: a log-likelihood of prior quantiles. Leaves: weighted points and the log-evidence with its error.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float
from scipy.special import logsumexp

from jaxdark.errors import RequestError
from jaxdark.inference.importance import ImportanceSample


def nested_sample(
    log_likelihood: Callable[[Float[Array, " d"]], Float[Array, ""]],
    dimension: int,
    *,
    seed: int,
    live: int = 2000,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImportanceSample, tuple[float, float]]:
    """Nested slice sampling by BlackJAX in normal quantiles of the prior, where it has no edges.

    A tenth of the live points is replaced at a time, each by 5 d slices from a live point that survives, until the live
    points hold less than e^-5 of the evidence.

    Args:
        log_likelihood: of prior quantiles u (d,), traceable, finite.
        dimension: d.
        seed: fixes the result.
        live: number of live points.
        progress: called with (nats of prior volume compressed, those foreseen).

    Returns:
        The weighted points, and log-evidence with its error from simulated volumes.

    Raises:
        RequestError: BlackJAX is not installed.
    """
    blackjax, utils = _blackjax()
    delete = max(live // 10, 1)
    algorithm = blackjax.nss(
        logprior_fn=lambda x: jnp.sum(norm.logpdf(x)),
        loglikelihood_fn=lambda x: log_likelihood(ndtr(x)),
        num_delete=delete,
        num_inner_steps=5 * dimension,
    )
    first, *keys = jax.random.split(jax.random.key(seed), 3)
    state = jax.jit(algorithm.init)(jax.random.normal(first, (live, dimension)))
    step, dead, k = jax.jit(algorithm.step), [], 0
    while not state.integrator.logZ_live - state.integrator.logZ < -5:
        state, info = step(jax.random.fold_in(keys[0], k), state)
        dead.append(jax.device_get(info._replace(update_info=None)))
        k += 1
        if progress is not None:
            done = int(100 * k * delete / live)
            progress(done, max(done + 100, 1000))
    final = utils.finalise(state, dead, update_info=False)
    log_weights = np.asarray(utils.log_weights(keys[1], final, shape=200))
    log_evidence = logsumexp(log_weights, axis=0)
    points = final.particles
    sample = ImportanceSample(
        np.asarray(ndtr(points.position)), np.asarray(points.loglikelihood), log_weights.mean(axis=1)
    )
    return sample, (float(log_evidence.mean()), float(log_evidence.std(ddof=1)))


def _blackjax():
    try:
        import blackjax
        import blackjax.ns.utils as utils
    except ImportError as error:
        raise RequestError(
            f"nested sampling needs BlackJAX ({error}): pip install 'jaxdark[crosscheck]', or take --method importance"
        ) from None
    return blackjax, utils
