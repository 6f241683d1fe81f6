"""Best fit in a region by many starts at once, and the likelihood with its theory covariance taken there.

Enters: a likelihood and a prior. Leaves: the best parameter vector, or the likelihood at it. Section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import ndtr
from jaxtyping import Array, Float
from scipy.special import ndtri

from jaxdark.inference.importance import HostFunction, batched, prior_points
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.priors import Prior

_SLICES = 24
_STEPS = 400


class BestFit:
    """Best fits of one likelihood at varying theory covariances: compiled once, for all references.

    Starts are the best of many quasi-random prior points in each of 24 slices of the first parameter (m_V): the local
    optima differ in m_V, and a search that drops a slice while the covariance still moves can freeze in the wrong one.

    Args:
        like: the likelihood; mode "marginalised" is used whatever its mode.
        prior: parameters and their ranges.
        seed: of the prior points.
        points: number of prior points, a power of two.
    """

    def __init__(self, like: Likelihood, prior: Prior, *, seed: int = 0, points: int = 2**16):
        self._like, self._prior = like, prior
        self._u = prior_points(len(prior.names), points, seed)
        self.values = batched(self._log_likelihood, batch=256)
        self._descend = jax.jit(jax.vmap(self._descent, in_axes=(0, None)))

    def _log_likelihood(self, whitening, u: Float[Array, " d"]) -> Float[Array, ""]:
        terms = self._like.terms(self._prior.model(self._prior.vector(u)), whitening=whitening)
        return sum(terms.values(), jnp.zeros(()))

    def _descent(self, start: Float[Array, " d"], whitening):
        """Adam with a falling step in normal quantiles of u, where the prior's edges are at infinity."""
        loss = jax.value_and_grad(lambda x: -self._log_likelihood(whitening, ndtr(x)))
        optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(0.1, _STEPS)))

        def step(carry, _):
            x, state, best = carry
            value, gradient = loss(x)
            best = jax.tree.map(lambda new, old: jnp.where(value < best[0], new, old), (value, x), best)
            update, state = optimiser.update(gradient, state)
            return (jnp.clip(x + update, -4.0, 4.0), state, best), None

        (_, _, best), _ = jax.lax.scan(step, (start, optimiser.init(start), (jnp.inf, start)), None, length=_STEPS)
        return best

    def __call__(self, whitening: Float[np.ndarray, "rows rows"]) -> tuple[Float[np.ndarray, " d"], float]:
        """Parameter vector and log-likelihood of the best fit."""
        values = self.values(whitening, self._u)
        slices = np.minimum((self._u[:, 0] * _SLICES).astype(int), _SLICES - 1)
        chosen = [np.argmax(np.where(slices == k, values, -np.inf)) for k in range(_SLICES)]
        loss, x = jax.device_get(self._descend(ndtri(self._u[chosen]), whitening))
        best = int(np.argmin(loss))
        return np.asarray(self._prior.vector(ndtr(x[best]))), -float(loss[best])


class RegionFit(NamedTuple):
    """Best fit of a region.

    Attributes:
        like: the marginalised likelihood with its theory covariance at `reference`.
        reference: parameter vector at which the covariance is taken.
        vector: best fit of `like` itself.
        log_likelihood: there.
        values: log-likelihood at (n, d) prior quantiles, compiled already.
    """

    like: Likelihood
    reference: Float[np.ndarray, " d"]
    vector: Float[np.ndarray, " d"]
    log_likelihood: float
    values: HostFunction

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What `restored_fit` takes."""
        return {
            "reference": self.reference,
            "vector": self.vector,
            "log_likelihood": np.array(self.log_likelihood),
        }


def at_best_fit(like: Likelihood, prior: Prior, *, seed: int = 0) -> RegionFit:
    """The marginalised likelihood with its theory covariance at the region's best fit, iterated once.

    The first fit takes the covariance at the Standard Model, the second at the first's result; the likelihood returned
    has it at the second's.
    """
    marginalised = like.marginalised()
    fit = BestFit(marginalised, prior, seed=seed)
    for _ in range(2):
        reference, _ = fit(marginalised.whitening)
        marginalised = marginalised.at(prior.model(reference))
    return _region_fit(fit, marginalised, reference, *fit(marginalised.whitening))


def restored_fit(
    like: Likelihood,
    prior: Prior,
    *,
    reference: Float[np.ndarray, " d"],
    vector: Float[np.ndarray, " d"],
    log_likelihood: float,
    seed: int = 0,
) -> RegionFit:
    """The fit that `at_best_fit` returned, from its `arrays`."""
    marginalised = like.marginalised()
    fit = BestFit(marginalised, prior, seed=seed)
    return _region_fit(fit, marginalised.at(prior.model(reference)), reference, vector, float(log_likelihood))


def _region_fit(fit: BestFit, like: Likelihood, reference, vector, log_likelihood: float) -> RegionFit:
    whitening = like.whitening
    return RegionFit(like, reference, vector, log_likelihood, lambda u: fit.values(whitening, u))
