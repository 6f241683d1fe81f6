"""A five-parameter likelihood with the difficulties of the real one: walls, a curved ridge, a cliff, full prior edges.

A vector of mass m_V and width Gamma in closed-form bin integrals, two groups of bins, and a (g-2) term. Prior quantiles
u stand for m_V in [2, 15], log g in log [1e-3, 0.2], r_AV in [-1, 0], g_D in [0, 4], log r in log [0.03, 10].
"""

import jax.numpy as jnp
import numpy as np

DIMENSION = 5
NAMES = ("m_V", "log_g", "r_AV", "g_D", "log_r")
_BINS = np.array([(1.1, 6.0), (4.0, 6.0), (6.0, 8.0), (15.0, 17.0), (17.0, 19.0)])
_TARGET, _SIGMA = np.array([-0.8, -0.8, -0.8, 0.0, 0.0]), np.array([0.25, 0.25, 0.3, 0.4, 0.4])
_LOWER = np.array([2.0, np.log(1e-3), -1.0, 0.0, np.log(0.03)])
_UPPER = np.array([15.0, np.log(0.2), 0.0, 4.0, np.log(10.0)])


def log_likelihood(u):
    m_V, log_g, r_AV, g_D, log_r = _LOWER + (_UPPER - _LOWER) * u
    g, mass2 = jnp.exp(log_g), m_V**2
    width = mass2 / (12 * np.pi) * (g_D**2 + g**2 * (1 + r_AV**2))  # m_V Gamma
    strength = 33.7 * jnp.exp(log_r) * g

    def primitive(q2):
        x = q2 - mass2
        log, angle = jnp.log(x**2 + width**2), jnp.arctan(x / width)
        interference = x - width * angle + mass2 / 2 * log
        resonance = x - width * angle + mass2 * log + mass2**2 / width * angle
        return strength * interference + strength**2 * resonance / 8.4

    bins = (primitive(_BINS[:, 1]) - primitive(_BINS[:, 0])) / (_BINS[:, 1] - _BINS[:, 0])
    delta_a = (2 / 3 * g**2 - 10 / 3 * g**2 * r_AV**2) * (0.1057 / m_V) ** 2 / (8 * np.pi**2)
    return -0.5 * jnp.sum(((bins - _TARGET) / _SIGMA) ** 2) - 0.5 * (delta_a / 2e-9) ** 2
