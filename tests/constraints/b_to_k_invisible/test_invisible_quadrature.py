"""Integrals over a pole from fixed nodes, against nodes graded towards the pole and against mpmath."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from graded_nodes import integrals_running
from near import near

from jaxdark.compute.aot import AotFunction
from jaxdark.compute.roots import root
from jaxdark.constraints.b_to_k_invisible.quadrature import _NODES, PoleGeometry, Ranges, integrals

RELEASED = 4.8
CUTS = np.array([2.0, 4.5, 7.0, 9.5, 12.0, 14.5, 17.0, 19.5, 22.0])
RANGES = Ranges(np.array([0.0, 0.0, *CUTS[:-1]]), np.array([30.0, *CUTS]), CUTS)


def numerator(s, above, below):
    return root(s) * (1 + 0.1 * s) * below / (32 - s)


def fixed_nodes(m, m_V, g):
    return integrals(numerator, PoleGeometry(m, jnp.asarray(RELEASED), m_V), g, RANGES)


@AotFunction
@jax.vmap
def both(m, m_V, g):
    geometry = PoleGeometry(m, jnp.asarray(RELEASED), m_V)
    graded = integrals_running(numerator, geometry, lambda s: g + 0 * s, RANGES, jnp.zeros(0))
    return fixed_nodes(m, m_V, g), graded


def random_poles():
    """Masses of the pair and of V, and g: anywhere, about thresholds and edges, exactly on edges and on nodes."""
    rng, n = np.random.default_rng(4), 320
    m = np.concatenate([10 ** rng.uniform(-4, 0.3, n // 2), rng.uniform(0.01, 2.39, n // 2)])
    m_V = np.concatenate([rng.uniform(0.02, 8, n // 2), rng.uniform(2 * m[n // 2 :], RELEASED)])
    close = 10 ** rng.uniform(-6, -2, n) * rng.choice([-1, 1], n)
    m_V[::5] = (2 * m * (1 + close))[::5]
    m_V[1::5] = np.sqrt(rng.choice(CUTS, n) * (1 + close))[1::5]
    m_V[2::20] = RELEASED * (1 + close[2::20])
    m_V[3::20] = np.sqrt(rng.choice(CUTS, n // 20))
    # Nodes of both rules in the panel from 7 to 9.5 GeV^2, in y.
    p = 4 * m[4::20] ** 2
    low, high = (np.sqrt(np.maximum(x - p, 0.1)) for x in (7.0, 9.5))
    m_V[4::20] = np.sqrt(p + (low + (high - low) * (1 + rng.choice(_NODES, n // 20)) / 2) ** 2)
    return m, m_V, m_V**2 * 10 ** rng.uniform(-7, 0, n)


def test_against_graded_nodes():
    poles = random_poles()
    found, graded = both(*poles)
    assert np.isfinite(found).all() and (found >= 0).all()
    # Where a bin is almost closed, both lose digits to the place of the threshold.
    floor = 1e-12 * graded[:, :1]
    np.testing.assert_array_less(np.abs(found - graded), 1e-8 * graded + floor + 1e-300)


def test_pole_on_a_node_and_narrow():
    """The rule is changed there: as narrow a V as one likes keeps its place and its area, pi N/g."""
    m, width = 1e-3, 1e-12
    low, high = np.sqrt([7.0 - 4 * m**2, 9.5 - 4 * m**2])
    y = low + (high - low) * (1 + _NODES) / 2
    m_V = np.sqrt(4 * m**2 + y**2)
    s, g = m_V**2, width * m_V**2
    found = AotFunction(jax.vmap(fixed_nodes, (None, 0, 0)))(m, m_V, g)
    exact = np.sqrt((s - 4 * m**2) * (RELEASED**2 - s)) * numerator(s, None, RELEASED**2 - s) * np.pi / g
    np.testing.assert_allclose(found[:, 4], exact, rtol=1e-9)


@mp.workdps(30)
def slope_in_m_V(m, m_V, g):
    """Derivative of the whole integral in m_V, pieces around the pole."""
    s0, p, end = m_V**2, 4 * m**2, mp.mpf(RELEASED) ** 2

    def integrand(s):
        of_N = mp.sqrt((s - p) * (end - s)) * mp.sqrt(s) * (1 + s / 10) * (end - s) / (32 - s)
        return of_N * 4 * m_V * (s - s0) / ((s - s0) ** 2 + g**2) ** 2

    around = [s0 + sign * g * 4**k for sign in (-1, 1) for k in range(40)]
    marks = sorted(x for x in (s0, *around, *(p * 4**k for k in range(1, 14))) if p < x < end)
    return mp.quad(integrand, [p, *marks, end])


@pytest.mark.parametrize("beyond", [-1e-3, 5e-6, 1e-4, 0.1])
@pytest.mark.parametrize("m", [0.05, 1.0])
def test_derivative_about_threshold(beyond, m):
    """Narrow V just above 2 m too, where only fixed nodes get it right."""
    m_V = 2 * m * (1 + beyond)
    g = 1e-8 * m_V**2
    slope = jax.jit(jax.jacfwd(lambda m_V: fixed_nodes(m, m_V, g)))(m_V)[0]
    if beyond < 0:  # widened there by 1e-5 of the distance
        g = 1e-5 * (4 * m**2 - m_V**2)
    assert float(slope) == near(float(slope_in_m_V(*map(mp.mpf, (m, m_V, g)))), rel=1e-7)


def test_root_of_complex_numbers():
    rng = np.random.default_rng(1)
    z = rng.normal(size=200) + 1j * 10 ** rng.uniform(-30, 3, 200) * rng.choice([-1, 1], 200)
    z = np.append(z, [1e-50j, -1e-50j, 1j, -4 + 1e-40j])
    np.testing.assert_allclose(root(z).real, np.sqrt(z).real, rtol=1e-15)
    np.testing.assert_allclose(root(z).imag, np.sqrt(z).imag, rtol=1e-15)
    assert root(4.0) == 2.0
    slope = jax.grad(lambda x: root(jax.lax.complex(x, 1.0)).real)(0.0)
    assert slope == near((0.5 / np.sqrt(1j)).real, rel=1e-15)
