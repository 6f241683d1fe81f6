"""Widths of V: thresholds, limits, properties, and gradients."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near
from printed import printed

from jaxdark.inputs import load_inputs
from jaxdark.models.split import br_chichi, br_mumu, width_chichi, width_mumu, width_running, width_total
from jaxdark.models.widths import width_fermions

SM = load_inputs()
M_MU = float(SM.m_mu)


def point(**changes):
    return printed(**({"m_V": 3.0, "g_mu_V": 0.1, "r_AV": -0.5, "g_D": 1.0, "r": 1.0} | changes))


def masses_around(threshold):
    steps = [0.0, 1e-16, 2e-16, 1e-15, 1e-12, 1e-8, 1e-4, 0.1]
    return sorted({threshold * (1 + sign * step) for step in steps for sign in (1, -1)})


def all_finite(tree):
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))


@jax.jit
def widths_and_ratios_with_gradients(model):
    functions = (width_total, br_mumu, lambda m, sm: br_chichi(m, sm)[-1])
    return [jax.value_and_grad(function)(model, SM) for function in functions]


def test_massless_limit():
    """m_V g^2/(12 pi) for each current."""
    model = point(m_V=1e4)
    assert width_chichi(model, SM)[0] == near(1e4 / (12 * np.pi), rel=1e-12)
    assert width_mumu(model, SM) == near(1e4 * 0.0125 / (12 * np.pi), rel=1e-9)


def test_printed_formula_just_above_both_thresholds():
    m, m_V, g_V, g_A = 0.7, 1.5, 0.3, -0.2
    y = 4 * m**2 / m_V**2
    vector = np.sqrt(1 - y) * (2 * m**2 / m_V**2 + 1) * g_V**2
    expected = m_V / (12 * np.pi) * (vector + (1 - y) ** 1.5 * g_A**2)
    assert width_fermions(m_V**2, m, g_V, g_A) == near(expected, rel=1e-14)


@pytest.mark.parametrize("m_V", masses_around(1.0) + masses_around(2 * M_MU))
def test_thresholds_have_finite_value_and_gradient(m_V):
    """Of the second dark fermion and of the muon, exactly on them and on the next floating-point numbers too."""
    model = point(m_V=m_V, m_chi=(1e-3, 0.5), r=(1.0, 1.0))
    assert all_finite(widths_and_ratios_with_gradients(model))
    opened = [float(width_chichi(model, SM)[1]) > 0, float(width_mumu(model, SM)) > 0]
    assert opened == [m_V > 1.0, m_V > 2 * M_MU]


def test_at_threshold_the_gradient_is_that_of_the_closed_channel():
    gradient = jax.grad(lambda m_V: width_chichi(point(m_V=m_V, m_chi=0.5), SM)[0])
    assert gradient(1.0) == 0
    d = 1e-10
    assert gradient(1 + d) == near(1.5 / (12 * np.pi) / np.sqrt(2 * d), rel=1e-5)


@pytest.mark.parametrize("above", [2.3e-16, 1e-15, 1e-14, 3e-13, 1e-10, 1e-6])
@pytest.mark.parametrize("m", [M_MU, 0.7123])
def test_widths_keep_their_digits_at_a_threshold(above, m):
    """Value and slopes in both masses against mpmath at the same floating-point numbers."""
    m_V, g_V, r_AV = 2 * m * (1 + above), 0.3, -0.4

    def width(m_V, m):
        if m == M_MU:
            return width_mumu(point(m_V=m_V, g_mu_V=g_V, r_AV=r_AV), SM)
        return width_chichi(point(m_V=m_V, m_chi=m, g_D=g_V), SM)[0]

    def exact(m_V, m):
        axial = g_V * r_AV if m == M_MU else 0.0
        y = (2 * m / m_V) ** 2
        return m_V / (12 * mp.pi) * (mp.sqrt(1 - y) * (1 + y / 2) * g_V**2 + (1 - y) ** 1.5 * axial**2)

    with mp.workdps(60):
        value, slope, in_m = (
            float(mp.diff(exact, (mp.mpf(m_V), mp.mpf(m)), n, h=mp.mpf(10) ** -40))
            if n
            else float(exact(*map(mp.mpf, (m_V, m))))
            for n in (None, (1, 0), (0, 1))
        )
    assert width(m_V, m) == near(value, rel=1e-14)
    assert jax.grad(lambda m_V: width(m_V, m))(m_V) == near(slope, rel=1e-13)
    if m != M_MU:
        found = jax.grad(lambda m: width_chichi(point(m_V=m_V, m_chi=m, g_D=g_V), SM)[0])(m)
        assert found == near(in_m, rel=1e-13)
    assert width_total(point(m_V=m_V, m_chi=m, g_D=g_V, g_mu_V=0.0), SM) == near(
        float(width_chichi(point(m_V=m_V, m_chi=m, g_D=g_V), SM)[0]), rel=1e-15
    )


def test_nothing_open():
    """Zero width, zero branching ratios, gradients finite."""
    model = point(m_V=0.1, m_chi=0.06)
    assert (width_total(model, SM), br_mumu(model, SM), br_chichi(model, SM)[0]) == (0, 0, 0)
    assert all_finite(widths_and_ratios_with_gradients(model))


def test_no_coupling_no_width():
    model = point(g_D=0.0, g_mu_V=0.0)
    value, gradient = jax.value_and_grad(width_total)(model, SM)
    assert value == 0
    assert (gradient.g_D, gradient.g_mu_V, gradient.m_V) == (0, 0, 0)


def test_running_width():
    model = point(m_chi=(0.2, 1.0), r=(1.0, 1.0))
    assert width_running(model.m_V**2, model, SM) == width_total(model, SM)
    assert width_running(6.25, model, SM) == near(float(width_total(point(**two_fermions(2.5)), SM)), rel=1e-14)
    for s in (-1.0, 0.0, 4 * M_MU**2):
        assert jax.value_and_grad(width_running)(s, model, SM) == (0, 0)


def two_fermions(m_V):
    return {"m_V": m_V, "m_chi": (0.2, 1.0), "r": (1.0, 1.0)}


def test_branching_ratios_add_up_to_one():
    model = point(**two_fermions(2.5))
    assert jnp.sum(br_chichi(model, SM)) + br_mumu(model, SM) == near(1.0, rel=1e-15)


def test_gradients_are_those_of_finite_differences():
    def function(v):
        return width_total(point(m_V=v[0], g_mu_V=v[1], r_AV=v[2], g_D=v[3], m_chi=v[4]), SM)

    vectors = np.array([[3.0, 0.1, -0.5, 1.0, 0.3], [0.25, 0.1, -0.5, 0.1, 0.12], [3.0, 0.1, 0.0, 0.0, 1e-3]])
    gradient, width = np.array(jax.vmap(jax.grad(function))(vectors)), jax.jit(jax.vmap(function))
    for i, step in enumerate(1e-6 * np.eye(5)):
        difference = np.array(width(vectors + step) - width(vectors - step)) / 2e-6
        assert gradient[:, i] == near(difference, rel=1e-6), i


masses, coupling = st.floats(1e-5, 100.0), st.floats(-4.0, 4.0)
widths = jax.jit(lambda m_V, m, g_D, g_mu_V, r_AV: _widths(m_V, m, g_D, g_mu_V, r_AV))


def _widths(m_V, m, g_D, g_mu_V, r_AV):
    model = point(m_V=m_V, m_chi=m, g_D=g_D, g_mu_V=g_mu_V, r_AV=r_AV)
    return width_chichi(model, SM)[0], width_mumu(model, SM)


@given(masses, masses, coupling, coupling, coupling)
def test_widths_are_positive_and_quadratic_in_the_couplings(m_V, m, g_D, g_mu_V, r_AV):
    dark, muonic = widths(m_V, m, g_D, g_mu_V, r_AV)
    assert dark >= 0
    assert muonic >= 0
    doubled = widths(m_V, m, 2 * g_D, -2 * g_mu_V, r_AV)
    np.testing.assert_allclose(doubled, (4 * dark, 4 * muonic), rtol=1e-14)
