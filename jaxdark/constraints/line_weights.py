"""Weights of the moments of a numerator in integrals of a Breit-Wigner line over bins.

Inputs: position u and width v of the line, in half widths from the middle of each bin. Outputs: weights of the moments
of f in int f(x) dx/((x + u)^2 + v^2) over [-1, 1], in powers of x.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

NEAR = 12.0
"""A bin takes the closed form when the pole is nearer, in half widths, else an expansion in half/|distance|.

The remainder of that after three terms is below NEAR^-4 = 5e-5.
"""
N_MOMENTS = 5
_POWERS = np.arange(N_MOMENTS)
# The inverse of int x^(n+m) dx over [-1, 1] turns the moments of a polynomial into its coefficients.
_EXPONENTS = _POWERS[:, None] + _POWERS
_FROM_MOMENTS = np.linalg.inv(np.where(_EXPONENTS % 2, 0.0, 2 / (_EXPONENTS + 1)))


def is_near(u: Float[Array, " bins"], v: Float[Array, " bins"]) -> Bool[Array, " bins"]:
    """Whether the pole is nearer than `NEAR` half widths."""
    return u**2 + v**2 < NEAR**2


def expansion(u: Float[Array, " bins"], v: Float[Array, " bins"], terms: int) -> list[Float[Array, " bins"]]:
    """Weights of as many moments as there are terms; not near the pole."""
    scale = 1 / jnp.maximum(u**2 + v**2, NEAR**2)
    weights = [scale, -2 * u * scale**2]
    while len(weights) < terms:
        weights.append(-scale * (2 * u * weights[-1] + weights[-2]))
    return weights


def closed_form(u: Float[Array, " bins"], v: Float[Array, " bins"], terms: int) -> list[Float[Array, " bins"]]:
    """The same weights for a polynomial f, exact near the pole, not away from it, where the recursion loses digits."""
    near = is_near(u, v)
    u, v = jnp.where(near, u, 0.0), jnp.where(near, v, 1.0)
    d2 = u**2 + v**2
    J0 = jnp.arctan2(2 * v, d2 - 1) / v
    J = [J0, 0.5 * jnp.log(((1 + u) ** 2 + v**2) / ((1 - u) ** 2 + v**2)) - u * J0]
    while len(J) < terms:
        n = len(J) - 2
        J.append((1 + (-1) ** n) / (n + 1) - 2 * u * J[-1] - d2 * J[-2])
    return list(_FROM_MOMENTS @ jnp.stack(J))
