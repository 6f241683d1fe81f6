"""The density that the chains sample, in normal coordinates z, and the force that their trajectories follow.

Inputs: a log-likelihood of prior quantiles and a transport map. Outputs: its log-density with a floor, what the floor
adds to the posterior, and the potential energy of a trajectory.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import expit

from jaxdark.sampling.flow import TransportMap
from jaxdark.sampling.importance import LogLikelihood

LogDensity = Callable[..., Float[Array, ""]]
"""(z, *args) -> scalar; args are pytrees of arrays."""

FLOOR = -35.0
"""Log of the smallest likelihood relative to the best: walls end there. What that adds to the posterior is negligible
unless it fills less than 1e-12 of the prior, see `floor_share`."""


def floored(log_likelihood: Float[Array, ""], log_best: Float[Array, ""] | float) -> Float[Array, ""]:
    """Log-likelihood with a floor at e^-35 of the best, log(L + e^-35 L_best): smooth, and flat inside walls."""
    return jnp.logaddexp(log_likelihood - log_best, FLOOR) + log_best


def floor_share(log_evidence: float, log_best: float) -> float:
    """Weight s of the prior in what is sampled with a floored likelihood, (1 - s) posterior + s prior.

    With Z the prior mean of L, the floored one has the prior mean Z + e^-35 L_best, so s = e^-35 L_best over that; no
    probability changes by more.
    """
    return float(expit(FLOOR + log_best - log_evidence))


def transported(log_likelihood: LogLikelihood) -> LogDensity:
    """Posterior log-density in the normal coordinates of a map: (z, map, log L_best) -> log L(u(z)) + log |du/dz|."""

    def log_density(z, transport: TransportMap, log_best):
        u, log_slope = transport.forward(z)
        return floored(log_likelihood(u), log_best) + log_slope

    return log_density


def potential(
    log_density: Callable[[Float[Array, " n"]], Float[Array, ""]], gradient_clip: Float[np.ndarray, " n"] | float
) -> Callable[[Float[Array, " n"]], Float[Array, ""]]:
    """Potential energy -log_density whose gradient is the force the trajectories follow, not always its own.

    The force is that of the standard normal, -z, plus what the density adds, clipped to +-gradient_clip coordinate
    by coordinate. Leapfrog steps with any force that depends on the position alone are reversible and keep the volume,
    and states are weighed with the true energy, so the draws are exact whatever the limit. Zero everywhere never
    differentiates the density; infinity is ordinary NUTS.
    """
    limit = np.asarray(gradient_clip, float)

    def gradient(z):
        excess = jax.grad(lambda z: -log_density(z))(z) - z
        return z + jnp.clip(jnp.where(jnp.isfinite(excess), excess, 0.0), -limit, limit)

    @jax.custom_vjp
    def energy(z):
        return -log_density(z)

    energy.defvjp(lambda z: (-log_density(z), gradient(z) if limit.any() else z), lambda slope, scale: (scale * slope,))
    return energy
