"""Effective couplings against the paper's numbers, and B_s mixing in its limits."""

import jax
import jax.numpy as jnp
import numpy as np
from near import near
from printed import printed

from jaxdark.inputs import load_inputs
from jaxdark.models.coefficients import normalisation
from jaxdark.models.loops import mixing_C1_box
from jaxdark.models.muon_g2 import muon_yukawa_limit
from jaxdark.models.split import (
    g_tilde,
    g_Vbs,
    kappa9,
    kappa10,
    perturbativity_gauge,
    perturbativity_yukawa,
)

SM = load_inputs()


def one_fermion(**changes):
    return printed(**({"m_V": 1.0, "g_mu_V": 1.0, "r_AV": -0.5, "g_D": 1.0, "r": 1.0} | changes))


def test_g_tilde_per_r():
    """Sec. 4 prints 2.76e-8 GeV^-2 at m_chi = 1 MeV and m_Phi = 1 TeV."""
    assert g_tilde(one_fermion()) == near(2.7579e-8, abs=5e-13)
    assert g_tilde(one_fermion(r=-3.0)) == near(-3 * float(g_tilde(one_fermion())), rel=1e-14)


def test_second_fermion_of_figure_6():
    """An opposite coupling to a fermion of 10 GeV takes g_tilde from 2.758e-8 to 1.94e-8 per r."""
    model = one_fermion(r=(1.0, -1.0), m_chi=(1e-3, 10.0))
    assert g_tilde(model) == near(1.94e-8, abs=5e-11)


def test_g_Vbs():
    model = one_fermion()
    assert g_Vbs(3.5, model) == near(3.5 * 2.7579e-8, rel=2e-5)


def test_normalisation():
    """-7.35735e5 GeV^2, Sec. 9.1 of the amplitude formulas; the sign is that of V_tb V_ts*."""
    assert normalisation(SM) == near(-7.35735e5, abs=5)


def test_kappa():
    """-33.688 r g at the default inputs, with the coupling of its own current."""
    assert kappa9(one_fermion(r=2.0, g_mu_V=0.1), SM) == near(-33.688 * 0.2, abs=2e-4)
    assert kappa10(one_fermion(r=2.0, g_mu_V=0.1, r_AV=-0.4), SM) == near(33.688 * 0.08, abs=1e-4)


def test_size_of_the_couplings_that_C9_needs(checkpoint_sm):
    """|C_9| = 0.6 for heavy V at q2 = 3.5 GeV^2 (12), for light V at any q2 (15); printed 1e-10 and 5e-10."""
    model = one_fermion()
    needed = 0.6 * abs(g_tilde(model) / kappa9(model, checkpoint_sm))
    assert needed / 3.5 == near(1.4e-10, abs=5e-12)
    assert needed == near(4.8e-10, abs=5e-12)


def test_mixing_bound_of_section_2():
    """|Y_b Y_s| < 0.09 for masses of 1 TeV, which is C_1 = 6.4e-6 TeV^-2 at F = 1."""
    C1 = mixing_C1_box(jnp.array([0.09]), jnp.array([1e-12]), 1000.0)
    assert C1 * 1e6 == near(6.4e-6, abs=5e-8)


def test_mixing_is_one_number_however_a_fermion_is_split():
    yy, x = jnp.array([0.3, 0.5]), jnp.array([0.02, 0.02])
    split = mixing_C1_box(yy, x, 900.0)
    assert split == near(float(mixing_C1_box(jnp.array([0.8]), jnp.array([0.02]), 900.0)), rel=1e-14)


def test_muon_yukawa_limit():
    assert muon_yukawa_limit(100.0) == near(1.0)


def test_perturbativity():
    model = one_fermion(g_D=2.0, r=(-6.0, 3.0), m_chi=(1e-3, 1.0), Q_Phi=0.5)
    gauge, yukawa = perturbativity_gauge(model), perturbativity_yukawa(model)
    assert (gauge.value, gauge.ratio) == (2.0, near(2 / np.sqrt(4 * np.pi)))
    np.testing.assert_allclose(yukawa.value, [-6.0, 3.0])
    np.testing.assert_allclose(yukawa.ratio, np.array([6.0, 3.0]) / (4 * np.pi))


def test_gradient_of_g_tilde_is_that_of_a_finite_difference():
    """In the logarithms of both masses, where the derivative in m_chi is not hidden by its small scale."""

    @jax.jit
    def function(logs):
        return g_tilde(one_fermion(r=(1.0, -2.0), m_chi=jnp.exp(logs[:2]), m_Phi=jnp.exp(logs[2]))) * 1e8

    logs = np.log([0.01, 12.0, 800.0])
    gradient = jax.grad(function)(jnp.array(logs))
    for i, step in enumerate(1e-4 * np.eye(3)):
        difference = (function(logs + step) - function(logs - step)) / 2e-4
        assert gradient[i] == near(float(difference), rel=1e-7)
