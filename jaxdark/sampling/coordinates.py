"""From normal coordinates, in which the sampler works, to parameters and nuisances.

Inputs: a likelihood, its fit in a region and a learned map. Outputs: the posterior's log-density in z.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import solve_triangular

from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.optimise.region_fit import RegionFit
from jaxdark.sampling.density import floored
from jaxdark.sampling.flow import TransportMap


class Coordinates(eqx.Module):
    """Map from normal coordinates z to the vector that `Likelihood.log_likelihood` takes.

    The first d coordinates pass through the learned map to the model's parameters. In mode "full" the others, eta, are
    the nuisances' departure from their mean given those parameters, in units of their spread, both from the linearised
    predictions: xi = -gain z(parameters) + spread eta. Given the parameters, eta is then nearly standard normal.
    """

    transport: TransportMap
    gain: Float[Array, "nuisances residuals"]
    spread: Float[Array, "nuisances nuisances"]
    like: Likelihood = eqx.field(static=True)
    prior: Prior = eqx.field(static=True)

    @classmethod
    def build(cls, like: Likelihood, fit: RegionFit, prior: Prior, transport: TransportMap) -> "Coordinates":
        """Coordinates for a likelihood in any mode, with the linearisation at the region's fit."""
        if like.theory != "full":
            return cls(transport, np.zeros((0, like.n_residuals)), np.zeros((0, 0)), fit.like, prior)
        J = fit.like.standardised_jacobian
        weighted = np.linalg.solve(like.covariance, J)
        precision = np.eye(J.shape[1]) + J.T @ weighted
        spread = solve_triangular(np.linalg.cholesky(precision), np.eye(len(precision)), lower=True).T
        return cls(transport, np.linalg.solve(precision, weighted.T), spread, like, prior)

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.prior.names) + len(self.spread)

    def vector(self, z: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
        """Parameters, then xi in mode "full", at z, and log |du/dz| of the first d coordinates."""
        d = len(self.prior.names)
        u, log_slope = self.transport.forward(z[:d])
        vector = self.prior.vector(u)
        if len(self.spread) == 0:
            return vector, log_slope
        model = self.prior.model(vector)
        residuals = self.like.standardised(self.like.predictions(model), model)
        return jnp.concatenate([vector, self.spread @ z[d:] - self.gain @ residuals]), log_slope

    def split(self, vector: Float[Array, " n"]):
        """Model and xi (None in mode "marginalised") of a vector."""
        d = len(self.prior.names)
        return self.prior.model(vector[:d]), (vector[d:] if len(self.spread) else None)


def log_density(z: Float[Array, " n"], coordinates: Coordinates, log_best: float) -> Float[Array, ""]:
    """Posterior log-density in z; walls end e^-35 below the best likelihood, see `density.FLOOR`."""
    vector, log_slope = coordinates.vector(z)
    # What a Gaussian eta would give is taken out before the floor is applied: it is not a wall.
    normal = -0.5 * jnp.sum(z[len(coordinates.prior.names) :] ** 2)
    value = coordinates.like.log_likelihood(vector, coordinates.prior)
    return floored(value - normal, log_best) + log_slope + normal
