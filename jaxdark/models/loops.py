"""One-loop functions of Sec. 2 and 3.1.

Inputs: squared mass ratios. Outputs: dimensionless numbers.

Every function is an integral with a positive denominator, so value and gradient need no limit at coinciding masses.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalar = Float[Array, ""] | float

_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(12)
_S, _S_WEIGHTS = (_LEGENDRE_NODES + 1) / 2, _LEGENDRE_WEIGHTS / 2

# Trapezoidal rule in ln t: the nearest singularities lie pi off the axis, hence an error of exp(-2 pi^2/step), times
# some (2 pi/step)^3 for a pole of fourth order, where all masses are equal: 1e-15. The range holds those of all
# mass ratios between 1e-16 and 1e4.
_STEP = 7 / 16  # exact, as then are the nodes
_T = np.exp(np.arange(-46.0, 40.5, _STEP))
_T_WEIGHTS = _STEP * _T


def F9(x: Scalar) -> Float[Array, ""]:
    """Penguin function with V on the scalar line, Eq. (10), as -1/6 int_0^1 (1-s)^3/(1-s+x s) ds, dimensionless.

    x is the squared mass ratio of fermion and scalar, positive; F9(0) = -1/18, F9(1) = -1/24.
    """

    def closed(x: Float[Array, ""]) -> Float[Array, ""]:
        return (-2 + 9 * x - 18 * x**2 + 11 * x**3 - 6 * x**3 * jnp.log(x)) / (36 * (x - 1) ** 4)

    return _regular_at_one(x, closed, -((1 - _S) ** 3) / 6)


def G9(x: Scalar) -> Float[Array, ""]:
    """Penguin function with V on the fermion line, Eq. (10), as 1/6 int_0^1 s^2 (3-s)/(1-s+x s) ds, dimensionless.

    x as in `F9`; grows like -(ln x)/3 for small x, G9(1) = 1/8.
    """

    def closed(x: Float[Array, ""]) -> Float[Array, ""]:
        return (-16 + 45 * x - 36 * x**2 + 7 * x**3 + 6 * (3 * x - 2) * jnp.log(x)) / (36 * (x - 1) ** 4)

    return _regular_at_one(x, closed, _S**2 * (3 - _S) / 6)


def penguin_loop(x: Scalar) -> Float[Array, ""]:
    """F9 + G9 of Eq. (10), which simplifies to (3 (x-1) - (x+2) ln x)/(6 (x-1)^2), dimensionless; x as in `F9`."""

    def closed(x: Float[Array, ""]) -> Float[Array, ""]:
        return (3 * (x - 1) - (x + 2) * jnp.log(x)) / (6 * (x - 1) ** 2)

    return _regular_at_one(x, closed, (3 * _S - 1) / 6)


def _regular_at_one(
    x: Scalar, closed: Callable[[Float[Array, ""]], Float[Array, ""]], numerator: Float[np.ndarray, " s"]
) -> Float[Array, ""]:
    """The closed form away from x = 1; its integral over s where numerator and denominator vanish together."""
    near = (x > 0.5) & (x < 2.0)
    integral = jnp.sum(_S_WEIGHTS * numerator / (1 - _S + jnp.where(near, x, 1.0) * _S))
    return jnp.where(near, integral, closed(jnp.where(near, 4.0, x)))


def box_F(x: Scalar, y: Scalar, z: Scalar) -> Float[Array, ""]:
    """Box function of Eq. (3), as int_0^infinity t^2 dt/((t+1)(t+x)(t+y)(t+z)).

    Args:
        x, y, z: squared mass ratios to the heaviest particle, dimensionless, between 1e-16 and 1e4.

    Returns:
        F(x, y, z), dimensionless, symmetric; F(1, 1, 1) = 1/3. Grows like -ln x when two arguments vanish together.
    """
    return jnp.sum(_T_WEIGHTS * (_T / (_T + x)) * (_T / (_T + y)) / ((_T + z) * (_T + 1)))


def box_F_mixing(x: Scalar, y: Scalar) -> Float[Array, ""]:
    """Box function of B_s mixing, Eq. (18), which is Eq. (3) at z = 1; F(0, 0) = 1."""
    return box_F(x, y, 1.0)


def box_mixing_sum(yy: Float[Array, " n_chi"], x: Float[Array, " n_chi"]) -> Float[Array, ""]:
    """Sum over i, j of y_i y_j F(x_i, x_j) with F of Eq. (18), as int_0^infinity (sum_i y_i t/(t+x_i))^2 dt/(t+1)^2.

    Args:
        yy: products y_s^i* y_b^i of the Yukawa couplings, dimensionless, shape (n_chi,).
        x: m_chi_i^2/m_Phi^2, dimensionless, shape (n_chi,).

    Returns:
        The sum, dimensionless. Squaring under the integral keeps its digits when the couplings add up to almost zero
        and the double sum cancels to O(x ln x).
    """
    lost = jnp.sum((yy * x)[:, None] / (_T[None, :] + x[:, None]), axis=0)
    return jnp.sum(_T_WEIGHTS * ((jnp.sum(yy) - lost) / (_T + 1)) ** 2)


def mixing_C1_box(yy: Float[Array, " n_chi"], x: Float[Array, " n_chi"], m_Phi: Scalar) -> Float[Array, ""]:
    """Box contribution to the B_s mixing coefficient, C_1 = sum_ij y_i y_j F(x_i, x_j)/(128 pi^2 m_Phi^2), GeV^-2.

    Eq. (17), with F of Eq. (18).

    Args:
        yy: products y_s^i* y_b^i of the Yukawa couplings, dimensionless, shape (n_chi,).
        x: m_chi_i^2/m_Phi^2, dimensionless, shape (n_chi,).
        m_Phi: mass of the coloured scalar, GeV.
    """
    return box_mixing_sum(yy, x) / (128 * jnp.pi**2 * m_Phi**2)
