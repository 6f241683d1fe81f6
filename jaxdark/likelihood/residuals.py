"""Standardised residuals: how far each prediction is from its measurement, in units of the measurement's error.

Inputs: rows of a data set and predictions. Outputs: z, whose -z^2/2 is each row's log-likelihood; asymmetric errors and
published likelihood scans are made smooth here and nowhere else.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator

from jaxdark.measurements.dataset import Row

_QUINTIC = 4.0
"""Ratio of the two errors up to which a quintic joins them; from 6.4 on the residual would fall in between."""


class Residuals:
    """The map from predictions to z for the rows of a data set, monotonic for every row.

    A row with errors +a and -b has z = (prediction - value)/sigma, sigma going from b at value - b to a at value + a by
    a quintic with two continuous derivatives and constant beyond: the one-sigma points are exact, and each side has its
    own error. Errors that differ by more than 4 to 1 leave no room for that; there z itself goes through the value and
    the one-sigma points as a monotonic cubic with a continuous derivative (Fritsch and Butland), the same beyond.
    A row with a likelihood scan has z = sign(x - peak) sqrt(-2 ln(L/L_max)) through a cubic spline of that quantity,
    which is nearly linear, and straight on beyond the scan; where that spline would turn back, a monotonic one.
    """

    def __init__(self, rows: Sequence[Row]):
        plus, minus = (np.array([getattr(row, f"error_{side}") for row in rows]) for side in ("plus", "minus"))
        self._value = np.array([row.value for row in rows])
        self._plus, self._minus = plus, minus
        self._scans = {index: _scan_spline(*row.scan) for index, row in enumerate(rows) if row.scan is not None}
        self._unlike = np.flatnonzero(np.maximum(plus / minus, minus / plus) > _QUINTIC)

    def __call__(self, predictions: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """z of each row."""
        distance = predictions - self._value
        t = jnp.clip((distance + self._minus) / (self._plus + self._minus), 0.0, 1.0)
        switch = t**3 * (10 + t * (6 * t - 15))
        z = distance / (self._minus + (self._plus - self._minus) * switch)
        if len(self._unlike):
            unlike = self._unlike
            z = z.at[unlike].set(_unlike_errors(distance[unlike], self._plus[unlike], self._minus[unlike]))
        for index, spline in self._scans.items():
            z = z.at[index].set(_evaluate(spline, predictions[index]))
        return z

    def slopes(self, predictions: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """dz/dprediction of each row."""
        return jax.jvp(self, (predictions,), (jnp.ones_like(predictions),))[1]


def _unlike_errors(
    distance: Float[Array, " n"], plus: Float[np.ndarray, " n"], minus: Float[np.ndarray, " n"]
) -> Float[Array, " n"]:
    """z from -1 at -minus through 0 to 1 at plus, a cubic on each side, and straight on with slopes 1/minus, 1/plus.

    The slope at 0 is the weighted harmonic mean of those two, at most three times the smaller one, with which both
    cubics rise everywhere.
    """
    centre = 3 * (plus + minus) / (plus**2 + 4 * plus * minus + minus**2)
    inner = jnp.clip(distance, -minus, plus)
    above = distance > 0
    side, error = jnp.where(above, 1.0, -1.0), jnp.where(above, plus, minus)
    t = side * inner / error
    return side * t * (centre * error * (1 - t) ** 2 + t * (2 - t)) + (distance - inner) / error


def _scan_spline(x: np.ndarray, likelihood: np.ndarray) -> CubicSpline | CubicHermiteSpline:
    """Signed root of -2 ln(L/L_max) as a spline that never falls; the peak is that of a spline through ln L."""
    log_likelihood = CubicSpline(x, np.log(likelihood))
    peak = _peak(log_likelihood, x, int(np.argmax(likelihood)))
    depth = np.maximum(2 * (log_likelihood(peak) - np.log(likelihood)), 0.0)
    z = np.sign(x - peak) * np.sqrt(depth)
    smooth = CubicSpline(x, z)
    return smooth if _rises(smooth) else _monotonic_spline(x, z)


def _peak(log_likelihood: CubicSpline, x: np.ndarray, top: int) -> float:
    """Where the spline is largest beside the largest value that was given."""
    turning = log_likelihood.derivative().roots(extrapolate=False)
    near = [x[top], *turning[(turning > x[top - 1]) & (turning < x[top + 1])]]
    return float(near[np.argmax(log_likelihood(near))])


def _rises(spline: CubicSpline) -> bool:
    """Whether the slope is positive everywhere: at the knots, and where it is smallest between them."""
    slope = spline.derivative()
    inside = slope.derivative().roots(extrapolate=False)
    return bool(np.all(slope(np.concatenate([spline.x, inside[np.isfinite(inside)]])) > 0))


def _monotonic_spline(x: np.ndarray, z: np.ndarray) -> CubicHermiteSpline:
    """Cubics that stay between the values at their ends, and go on beyond the last ones with the mean slope there."""
    slopes = PchipInterpolator(x, z).derivative()(x)
    secants = np.diff(z) / np.diff(x)
    slopes[[0, -1]] = secants[[0, -1]]
    return CubicHermiteSpline(x, z, slopes)


def _evaluate(spline: CubicSpline | CubicHermiteSpline, x: Float[Array, ""]) -> Float[Array, ""]:
    """The spline at x, continued straight beyond its ends."""
    knots, coefficients = spline.x, spline.c
    inside = jnp.clip(x, knots[0], knots[-1])
    piece = jnp.clip(jnp.sum(inside >= knots) - 1, 0, len(knots) - 2)
    value = jnp.polyval(jnp.asarray(coefficients)[:, piece], inside - jnp.asarray(knots)[piece])
    slope = jnp.where(x < knots[0], spline(knots[0], 1), spline(knots[-1], 1))
    return value + slope * (x - inside)
