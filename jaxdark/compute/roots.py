"""Square roots of complex numbers that compile fast.

Inputs: real or complex arrays. Outputs: the principal square root.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact


def root(z: Inexact[Array, "*axes"]) -> Inexact[Array, "*axes"]:
    """Square root of a real number, or the principal one of a complex number that is not 0."""
    if not jnp.iscomplexobj(z):
        return jnp.sqrt(z)
    # Not jnp.sqrt, which takes long to compile as it guards against overflow.
    on_right = z.real >= 0
    size = jnp.where(on_right, z.real, -z.real)
    larger = jnp.sqrt((size + jnp.sqrt(size**2 + z.imag**2)) / 2)
    smaller = jnp.abs(z.imag) / (2 * larger)
    real, imag = jnp.where(on_right, larger, smaller), jnp.where(on_right, smaller, larger)
    return jax.lax.complex(real, jnp.where(z.imag > 0, imag, -imag))
