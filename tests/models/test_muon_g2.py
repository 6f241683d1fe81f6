"""(g-2) of the muon against adaptive quadrature of the printed integral (25), its limits and the paper's numbers."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from near import near

from jaxdark.inputs import load_inputs
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.muon_g2 import delta_a_mu, kernels
from jaxdark.models.split import DarkSector

SM = load_inputs({"m_mu": 0.1056583745})
MASSES = [
    *np.logspace(-5, 2, 15),
    # The joins of the three evaluations, and the double root of the denominator at m_V = 2 M_mu.
    *(SM.m_mu / np.sqrt(a) for a in (0.2, 0.2 + 1e-12, 0.25, 0.25 + 1e-9, 1.0, 2.0, 2.0 - 1e-12)),
]


def point(m_V, g_mu_V=1.0, r_AV=0.0):
    return DarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=r_AV, g_D=1.0, r=1.0)


def printed_parts(m_V):
    """Vector and axial part of Eq. (24) at unit couplings and their derivatives in m_V, 25 digits."""
    with mpmath.workdps(25):
        m_V = mpmath.mpf(float(m_V))
        x2 = (mpmath.mpf(float(SM.m_mu)) / m_V) ** 2

        def denominator(z):
            return x2 * z + (1 - z) * (1 - x2 * z)

        def vector(z):
            return 2 * z**2 * (1 - z)

        def axial(z):
            return 2 * z * (1 - z) * (z - 4) - 4 * x2 * z**3

        def slope(numerator, its_slope):
            return lambda z: (its_slope(z) - numerator(z) * z**2 / denominator(z)) / denominator(z)

        powers = [mpmath.mpf(10) ** k for k in range(-9, 0)]
        breaks = [0, *powers, *(1 - p for p in reversed(powers)), 1]
        parts = []
        for numerator, its_slope in ((vector, lambda z: 0), (axial, lambda z: -4 * z**3)):
            kernel = mpmath.quad(lambda z, n=numerator: n(z) / denominator(z), breaks)
            kernel_slope = mpmath.quad(slope(numerator, its_slope), breaks)
            value = x2 * kernel / (8 * mpmath.pi**2)
            derivative = -2 * x2 / m_V * (kernel + x2 * kernel_slope) / (8 * mpmath.pi**2)
            parts.append((float(value), float(derivative)))
        return parts


@pytest.fixture(scope="module")
def parts():
    """Axes: mass, vector or axial, value or derivative."""
    return np.array([printed_parts(m_V) for m_V in MASSES])


@pytest.mark.parametrize("r_AV", [0.0, -0.2, -0.447, -1.0])
def test_printed_integral(parts, r_AV):
    function = jax.jit(jax.vmap(jax.value_and_grad(lambda m_V: delta_a_mu(point(m_V, r_AV=r_AV), SM))))
    computed = np.stack(function(jnp.array(MASSES)), axis=1)
    weights = np.array([1.0, r_AV**2])
    expected = np.einsum("mpd,p->md", parts, weights)
    larger_part = np.max(np.abs(parts) * weights[:, None], axis=1)
    errors = np.max(np.abs(computed - expected) / larger_part, axis=0)
    assert errors[0] < 1e-12
    # A light V leaves a constant, so its slope in m_V is what remains of a cancellation.
    assert errors[1] < 1e-11


def test_heavy_limits():
    vector, axial = kernels((SM.m_mu / 1e5) ** 2)
    assert vector == near(2 / 3, rel=1e-9)
    assert axial == near(-10 / 3, rel=1e-9)
    cancelled = delta_a_mu(point(1e5, r_AV=-1 / np.sqrt(5)), SM)
    assert abs(cancelled) < 1e-9 * delta_a_mu(point(1e5), SM)


def test_massless_vector():
    assert delta_a_mu(point(1e-7, g_mu_V=0.3), SM) == near(0.3**2 / (8 * np.pi**2), rel=1e-5)


def test_cancellation_at_1_GeV():
    vector, axial = kernels(SM.m_mu**2)
    assert np.sqrt(-vector / axial) == near(0.432, abs=5e-4)


@pytest.mark.parametrize(
    ("m_V", "bound", "digits"),
    [(1.0, 6.8e-3, 5e-5), (1e-2, 6.4e-4, 5e-6)],
    ids=["eq14", "eq16"],
)
def test_two_sigma_bound_on_the_vector_coupling(m_V, bound, digits):
    assert np.sqrt(4e-9 / delta_a_mu(point(m_V), SM)) == near(bound, abs=digits)


def test_no_vector_no_contribution():
    assert delta_a_mu(ConstantWilson(C9=-1.0), SM) == 0


def test_zero_coupling():
    value, gradient = jax.value_and_grad(lambda g: delta_a_mu(point(1.0, g_mu_V=g), SM))(0.0)
    assert (value, gradient) == (0, 0)
