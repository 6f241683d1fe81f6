"""Widths of a vector into pairs of fermions or scalars, Eq. (9).

Inputs: masses in GeV and couplings, plain numbers. Outputs: partial widths in GeV.

A channel is closed up to and at its threshold: value and gradient are 0 there. Above it both are the formula's; the
gradient grows like 1/velocity towards the threshold but stays finite for every floating-point mass.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdark.models.loops import Scalar


def width_fermions(
    s: Float[Array, "*#axes"], m: Float[Array, "*#axes"], g_V: Scalar, g_A: Scalar, mass: Scalar | None = None
) -> Float[Array, "*axes"]:
    """Width of a vector of mass sqrt(s) into a pair of Dirac fermions, one channel of Eq. (9), GeV.

    sqrt(s)/(12 pi) [beta (1 + 2 m^2/s) g_V^2 + beta^3 g_A^2] with beta^2 = 1 - 4 m^2/s.

    Args:
        s: squared mass of the vector, GeV^2.
        m: mass of the fermion, positive, GeV.
        g_V, g_A: vector and axial-vector coupling of the fermion, dimensionless.
        mass: of the vector, GeV, where it is known: its square has lost the digits that a threshold close by wants.
    """
    above = s - 4 * m**2 if mass is None else (mass - 2 * m) * (mass + 2 * m)
    is_open = above > 0
    # With 16 m^2 in place of a closed channel's s the root stays away from zero.
    safe_s = jnp.where(is_open, s, 16 * m**2)
    beta = jnp.sqrt(jnp.where(is_open, above, 12 * m**2) / safe_s)
    width = jnp.sqrt(safe_s) * beta / (12 * jnp.pi) * ((1 + 2 * m**2 / safe_s) * g_V**2 + beta**2 * g_A**2)
    return jnp.where(is_open, width, 0.0)


def width_scalars(m_V: Scalar, m: Float[Array, "*axes"], g: Scalar) -> Float[Array, "*axes"]:
    """Width of a vector of mass m_V (GeV) into a pair of complex scalars of mass m and charge g, GeV.

    g^2 m_V beta^3/(48 pi) with beta^2 = 1 - 4 m^2/m_V^2, which is not in the paper.
    """
    beta2 = 1 - 4 * (m / m_V) ** 2
    is_open = beta2 > 0
    beta3 = jnp.where(is_open, jnp.where(is_open, beta2, 1.0) ** 1.5, 0.0)
    return g**2 * m_V * beta3 / (48 * jnp.pi)
