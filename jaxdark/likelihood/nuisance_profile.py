"""The likelihood of one model with the nuisances at their best values for it.

Inputs: predictions linearised about any point xi of the nuisances, the experimental correlation. Outputs: the smallest
chi2 over xi. Section 4.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_GAUSS_NEWTON_STEPS, _SETTLED = 30, 1e-3
"""Most steps, and what a parabola would still gain in chi2 where they end."""


class Linearised(NamedTuple):
    """Predictions at a point xi of the nuisances.

    Attributes:
        predictions: in the units of the rows.
        jacobian: derivative of the predictions with respect to xi.
        z: residuals of unit error: of the rows, then of the constraints.
        slopes: dz/dprediction of the rows.
        of_constraints: derivative of the constraints' residuals with respect to xi.
    """

    predictions: Float[np.ndarray, " rows"]
    jacobian: Float[np.ndarray, "rows nuisances"]
    z: Float[np.ndarray, " residuals"]
    slopes: Float[np.ndarray, " rows"]
    of_constraints: Float[np.ndarray, "constraints nuisances"]

    @property
    def standardised_jacobian(self) -> Float[np.ndarray, "residuals nuisances"]:
        """The Jacobian of the residuals z."""
        return np.concatenate([self.slopes[:, None] * self.jacobian, self.of_constraints])


Linearise = Callable[[Float[np.ndarray, " nuisances"]], Linearised]
"""Predictions of a model, linearised about the xi that it is called with."""


class Profiled(NamedTuple):
    """Smallest chi2 over the nuisances, dimensionless, and the residuals z there."""

    chi2: float
    z: Float[np.ndarray, " residuals"]


def profiled_chi2(
    linearise: Linearise, central: Linearised, correlation: Float[np.ndarray, "residuals residuals"]
) -> Profiled:
    """Smallest z(xi)^T R^-1 z(xi) + xi^2 over xi, R the experimental correlation.

    Gauss-Newton steps, each with the predictions linearised where the last one ended; a step that does not lower chi2
    is halved.

    Args:
        linearise: the model's predictions about any xi.
        central: those about xi = 0, where the steps start.
        correlation: R, that of the rows with ones for the constraints.
    """
    here, xi, weight = central, np.zeros(central.jacobian.shape[1]), np.linalg.inv(correlation)
    chi2, gain = float(here.z @ weight @ here.z), np.inf
    for _ in range(_GAUSS_NEWTON_STEPS):
        J = here.standardised_jacobian
        gradient = J.T @ weight @ here.z + xi
        step = -np.linalg.solve(np.eye(len(xi)) + J.T @ weight @ J, gradient)
        gain = float(-gradient @ step)
        if gain < _SETTLED:
            break
        for size in (1.0, 0.5, 0.25, 0.125, 0.0625):
            there = linearise(xi + size * step)
            value = float(there.z @ weight @ there.z + np.sum((xi + size * step) ** 2))
            if value < chi2:
                xi, here, chi2 = xi + size * step, there, value
                break
        else:
            break
    return Profiled(chi2 - gain if gain < _SETTLED else chi2, here.z)
