"""Quark loops, two-loop matrix elements and spectator scattering: the q2 dependence of the Standard Model amplitude.

Inputs: q2 in GeV^2 and the inputs. Outputs: Y, dC_9, dC_7, T_perp, T_par, all complex.
Section 2 of the semileptonic formulas.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from jaxdark.inputs import StandardModel, read_data

HIGH_TABLE_FROM = 11.5
"""q2 (GeV^2) above which the high-q2 two-loop tables are used."""
SPECTATOR_UP_TO = 8.9
"""q2 (GeV^2) above which spectator scattering is zero."""


def h_loop(q2, m, mu) -> Complex[Array, "*q2"]:
    """One-loop function h(q2, m) of a quark of mass m > 0 at the scale mu (GeV), dimensionless, Sec. 2.1.

    -4/9 (ln(m^2/mu^2) - 2/3 - x) - 4/9 (2 + x) R(x) with x = 4 m^2/q2, R = sqrt(x-1) arctan(1/sqrt(x-1)) for x > 1,
    else sqrt(1-x) [ln((1 + sqrt(1-x))/sqrt(x)) - i pi/2].
    """
    x = 4 * m**2 / q2
    below = x > 1
    x_below, x_above = jnp.where(below, x, 2.0), jnp.where(below, 0.5, x)
    root_below, root_above = jnp.sqrt(x_below - 1), jnp.sqrt(1 - x_above)
    real_below = root_below * jnp.arctan(1 / root_below)
    logarithm = jnp.log((1 + root_above) / jnp.sqrt(x_above))
    R = jnp.where(below, real_below, root_above * (logarithm - 0.5j * jnp.pi))
    return -4 / 9 * (jnp.log(m**2 / mu**2) - 2 / 3 - x) - 4 / 9 * (2 + x) * R


def h_loop_massless(q2, mu) -> Complex[Array, "*q2"]:
    """One-loop function of a massless quark, 8/27 - 4/9 ln(q2/mu^2) + 4 i pi/9, q2 in GeV^2, mu in GeV, Sec. 2.1."""
    return 8 / 27 - 4 / 9 * jnp.log(q2 / mu**2) + 4j * jnp.pi / 9


def Y(q2: Float[Array, "*q2"], sm: StandardModel) -> Complex[Array, "*q2"]:
    """One-loop matrix elements of the four-quark operators at q2 (GeV^2), a shift of C_9, dimensionless, Sec. 2.1.

    F_c h(q2, m_c) - F_b/2 h(q2, m_b) - F_0/2 h(q2, 0) + F_4 + eps_u (4/3 C_1 + C_2) [h(q2, m_c) - h(q2, 0)], where
    eps_u is the real part of lambda_u/lambda_t and the F are sums of the Standard Model's C_1 to C_6.
    """
    F_c = 4 / 3 * sm.C1 + sm.C2 + 6 * sm.C3 + 60 * sm.C5
    F_b = 7 * sm.C3 + 4 / 3 * sm.C4 + 76 * sm.C5 + 64 / 3 * sm.C6
    F_0 = sm.C3 + 4 / 3 * sm.C4 + 16 * sm.C5 + 64 / 3 * sm.C6
    F_4 = 4 / 3 * sm.C3 + 64 / 9 * sm.C5 + 64 / 27 * sm.C6
    h_c, h_b, h_0 = h_loop(q2, sm.mc_pole, sm.mu_b), h_loop(q2, sm.mb_pole, sm.mu_b), h_loop_massless(q2, sm.mu_b)
    up = sm.eps_u * (4 / 3 * sm.C1 + sm.C2) * (h_c - h_0)
    return F_c * h_c - F_b / 2 * h_b - F_0 / 2 * h_0 + F_4 + up


def _chebyshev(q2, table: dict, lowest: float) -> Complex[Array, "*q2"]:
    """Clenshaw sum of a table, q2 clipped to [lowest, upper end of the interval]."""
    a, b = table["interval"]
    q2 = jnp.clip(q2, lowest, b)
    x = (2 * q2 - a - b) / (b - a)
    coefficients = np.array(table["re"]) + 1j * np.array(table["im"])
    later = last = jnp.zeros_like(x) * 0j
    for c in coefficients[:0:-1]:
        later, last = last, c + 2 * x * last - later
    return coefficients[0] + x * last - later + complex(*table["log"]) * jnp.log(q2)


def _two_loop(q2, name: str) -> Complex[Array, "*q2"]:
    table = read_data("nonlocal.yaml")[name]
    low, high = _chebyshev(q2, table["low"], 0.03), _chebyshev(q2, table["high"], table["high"]["interval"][0])
    return jnp.where(q2 < HIGH_TABLE_FROM, low, high)


def dC9(q2: Float[Array, "*q2"]) -> Complex[Array, "*q2"]:
    """Two-loop matrix elements of O_1, O_2 and O_8 in C_9eff at q2 (GeV^2), tabulated, dimensionless, Sec. 2.2."""
    return _two_loop(q2, "dC9")


def dC7(q2: Float[Array, "*q2"]) -> Complex[Array, "*q2"]:
    """Two-loop matrix elements of O_1, O_2 and O_8 in C_7eff at q2 (GeV^2), tabulated, dimensionless, Sec. 2.2."""
    return _two_loop(q2, "dC7")


def spectator(q2: Float[Array, "*q2"], process: str) -> tuple[Complex[Array, "*q2"], Complex[Array, "*q2"]]:
    """Spectator scattering and weak annihilation (T_perp, T_par) of "B0Kst", "BpKst" or "Bsphi", Sec. 2.3.

    Zero above 8.9 GeV^2.
    """
    tables = read_data("nonlocal.yaml")["spectator"][process]
    values = (_chebyshev(q2, tables[name], 0.03) for name in ("T_perp", "T_par"))
    T_perp, T_par = (jnp.where(q2 < SPECTATOR_UP_TO, value, 0.0) for value in values)
    return T_perp, T_par
