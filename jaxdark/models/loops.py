"""One-loop functions of Sec. 2 and 3.1, and those of the complete vertex.

Inputs: squared mass ratios. Outputs: dimensionless numbers.

Every function but `vacuum_polarisation` is an integral with a positive denominator, so value and gradient need no limit
at coinciding masses.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.compute.roots import root

Scalar = Float[Array, ""] | float

_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(12)
_S, _S_WEIGHTS = (_LEGENDRE_NODES + 1) / 2, _LEGENDRE_WEIGHTS / 2

# Trapezoidal rule in ln t: the nearest singularities lie pi off the axis, hence an error of exp(-2 pi^2/step), times
# some (2 pi/step)^3 for a pole of fourth order, where all masses are equal: 1e-15. The range holds those of all
# mass ratios between 1e-16 and 1e4.
_STEP = 7 / 16  # exact, as then are the nodes
_T = np.exp(np.arange(-46.0, 40.5, _STEP))
_T_WEIGHTS = _STEP * _T

# K(t) = -sum_n c_n t^n/n with c_n = ((n+1)!)^2/(2n+3)!: 18 terms reach 1e-17 of the first one for |t| < 1/2.
SMALL_T = 0.5
SERIES_OF_K = [math.factorial(n + 1) ** 2 / math.factorial(2 * n + 3) for n in range(1, 19)]


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


def dipole_loop(x: Scalar) -> Float[Array, ""]:
    """F7phi + F7chi of the dipole vertex, 1/2 int_0^1 s (1-s)/(1-s+x s) ds, dimensionless; x as in `F9`.

    F7phi = (1 - 6x + 3x^2 + 2x^3 - 6x^2 ln x)/(12 (1-x)^4) with V on the scalar line, F7chi = (2 + 3x - 6x^2 + x^3
    + 6x ln x)/(12 (1-x)^4) with V on the fermion line: together (1 - x^2 + 2x ln x)/(4 (1-x)^3); 1/4 at x = 0, 1/12 at
    x = 1.
    """

    def closed(x: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - x**2 + 2 * x * jnp.log(x)) / (4 * (1 - x) ** 3)

    return _regular_at_one(x, closed, _S * (1 - _S) / 2)


def F7phi(x: Scalar) -> Float[Array, ""]:
    """Dipole function with the vector on the scalar line, 1/2 int_0^1 s (1-s)^2/(1-s+x s) ds, see `dipole_loop`.

    That of a photon or a gluon, which couple to Phi and not to chi.
    """

    def closed(x: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - 6 * x + 3 * x**2 + 2 * x**3 - 6 * x**2 * jnp.log(x)) / (12 * (1 - x) ** 4)

    return _regular_at_one(x, closed, _S * (1 - _S) ** 2 / 2)


def vacuum_polarisation(t: Float[Array, "*axes"]) -> Complex[Array, "*axes"]:
    """K(t) = int_0^1 dz z (1-z) ln(1 - z (1-z) t - i0), dimensionless, of a pair of fermions of mass m at t = q2/m^2.

    [-5/3 - tau + (1 + tau/2) R]/6 with tau = 4/t and R = b [ln((1+b)/|1-b|) - i pi theta(t > 4)], b^2 = 1 - tau, or
    2 b arctan(1/b), b^2 = tau - 1, for 0 < t < 4; the series around t = 0, where the closed form loses its digits.

    On the threshold t = 4, where the slopes of R on both sides are infinite, the value is -4/9 and the slope that of
    the rest.
    """
    small = jnp.abs(t) < SMALL_T
    near_zero, series = jnp.where(small, t, 0.0), jnp.zeros_like(t, float)
    # By Horner's rule, whose gradient costs far less than that of a sum of powers.
    for n in range(len(SERIES_OF_K), 0, -1):
        series = (series - SERIES_OF_K[n - 1] / n) * near_zero
    tau = 4 / jnp.where(small, 4.0, t)
    bound = (tau > 1) & ~small
    # Every branch sees arguments at which it is harmless wherever another one is taken.
    velocity2 = jnp.where(bound | small, 0.5, 1 - tau)
    at_threshold = velocity2 == 0
    velocity = jnp.where(at_threshold, 0.0, jnp.sqrt(jnp.where(at_threshold, 1.0, velocity2)))
    logarithm = jnp.log((1 + velocity) ** 2 / jnp.where(bound | small, 0.5, jnp.abs(tau)))
    below = jnp.sqrt(jnp.where(bound, tau - 1, 1.0))
    real = jnp.where(bound, 2 * below * jnp.arctan(1 / below), velocity * logarithm)
    imaginary = jnp.where((tau > 0) & ~bound, -jnp.pi * velocity, 0.0)
    closed = (-5 / 3 - tau + (1 + tau / 2) * real) / 6, (1 + tau / 2) * imaginary / 6
    return jax.lax.complex(jnp.where(small, series, closed[0]), jnp.where(small, 0.0, closed[1]))


def even_polarisation(
    s: Complex[Array, "*s"],
    m: Float[Array, " channels"],
    beta: Complex[Array, "*s channels"],
    is_open: Bool[Array, "*s channels"],
) -> Complex[Array, "*s channels"]:
    """Re K(s/m^2) as it continues from real s to complex s, whichever sheet of a pair that is open there.

    K is this less i pi beta (1 + 2 m^2/s)/6 where the pair is open: both are analytic in beta. For m = 0, where K grows
    without bounds, ln(s)/6, which has the same differences.

    Args:
        s: GeV^2.
        m: mass of the fermions, GeV.
        beta: sqrt(1 - 4 m^2/s) of either sign where the pair is open.
        is_open: whether it is at the real s.
    """
    massless, s = m == 0, s[..., None]
    t = s / jnp.where(massless, 1.0, m) ** 2
    small = ~is_open & (jnp.abs(t.real) + jnp.abs(t.imag) < SMALL_T)
    near_zero, series = jnp.where(small, t, 0.0), jnp.zeros_like(t)
    for n, c in reversed(list(enumerate(SERIES_OF_K, 1))):  # powers of complex numbers take long to compile
        series = near_zero * (series - c / n)
    tau = 4 / jnp.where(small, 1.0, t)
    # On the threshold of a closed channel below vanishes with gamma.
    bound = ~is_open & (tau != 1)
    velocity, gamma = jnp.where(is_open, beta, 0.5), root(jnp.where(bound, tau - 1, 0.5))
    above = velocity * (2 * jnp.log1p(velocity) - jnp.log(jnp.where(is_open, tau, 1.0)))
    below = 1j * gamma * (jnp.log(1 - 1j / gamma) - jnp.log(1 + 1j / gamma))
    below = jnp.where(bound, below, 0.0)
    closed = (-5 / 3 - tau + (1 + tau / 2) * jnp.where(is_open, above, below)) / 6
    return jnp.where(massless, jnp.log(s) / 6, jnp.where(small, series, closed))


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
