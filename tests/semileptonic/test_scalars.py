"""Scalar and pseudoscalar coefficients: amplitudes and rates against Secs. 4 and 5, written out in complex numbers."""

import numpy as np
import pytest
from near import near

from jaxdark.inputs import load_inputs
from jaxdark.models.wilson import Contact, NewPhysics
from jaxdark.semileptonic.amplitudes import (
    J_NAMES,
    Pseudoscalar,
    Transversity,
    amplitude,
    decay_at,
    rate_form,
    sm_coefficients,
)
from jaxdark.semileptonic.bins import with_contact
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.leptonic import br_bs_mumu

SM = load_inputs()
Q2 = np.array([0.05, 0.3, 3.0, 17.0])  # GeV^2; the muon's velocity squared is 0.11 at the first
CONTACT = Contact(
    C10=0.3 - 0.2j, C10p=-0.1 + 0.4j, CP=0.02 + 0.01j, CPp=0.05 - 0.03j, CS=0.04 - 0.02j, CSp=-0.03 + 0.06j
)


def random_amplitude(kind):
    parts = np.random.default_rng(3).normal(size=(2, len(kind._fields), Q2.size))
    return kind(*(parts[0] + 1j * parts[1]))


def squares_of_section_5(A, beta, mass_over_root):
    """J_i of Sec. 5.4, one by one."""
    perp_L, perp_R, par_L, par_R, zero_L, zero_R, t, S = A
    star, mod2, r = np.conj, lambda z: np.abs(z) ** 2, mass_over_root
    transverse = mod2(perp_L) + mod2(par_L) + mod2(perp_R) + mod2(par_R)
    return {
        "1s": (2 + beta**2) / 4 * transverse + 4 * r**2 * (perp_L * star(perp_R) + par_L * star(par_R)).real,
        "1c": mod2(zero_L) + mod2(zero_R) + 4 * r**2 * (mod2(t) + 2 * (zero_L * star(zero_R)).real) + beta**2 * mod2(S),
        "2s": beta**2 / 4 * transverse,
        "2c": -(beta**2) * (mod2(zero_L) + mod2(zero_R)),
        "3": beta**2 / 2 * (mod2(perp_L) - mod2(par_L) + mod2(perp_R) - mod2(par_R)),
        "4": beta**2 / np.sqrt(2) * (zero_L * star(par_L) + zero_R * star(par_R)).real,
        "5": np.sqrt(2) * beta * (zero_L * star(perp_L) - zero_R * star(perp_R) - r * (par_L + par_R) * star(S)).real,
        "6s": 2 * beta * (par_L * star(perp_L) - par_R * star(perp_R)).real,
        "6c": 4 * beta * r * ((zero_L + zero_R) * star(S)).real,
        "7": np.sqrt(2) * beta * (zero_L * star(par_L) - zero_R * star(par_R) + r * (perp_L + perp_R) * star(S)).imag,
        "8": beta**2 / np.sqrt(2) * (zero_L * star(perp_L) + zero_R * star(perp_R)).imag,
        "9": beta**2 * (star(par_L) * perp_L + star(par_R) * perp_R).imag,
    }


@pytest.mark.parametrize("process", ["B0->K*0mumu", "B0->K*0ee", "Bs->phimumu"])
def test_every_angular_coefficient_of_any_amplitude(process):
    """Each of the eight amplitudes of order one, near the threshold too, where velocities are not 1."""
    A, channel = random_amplitude(Transversity), CHANNELS[process]
    decay = decay_at(Q2, channel, SM)
    m_l = getattr(SM, channel.lepton)
    expected = squares_of_section_5(A, np.sqrt(1 - 4 * m_l**2 / Q2), m_l / np.sqrt(Q2))
    found = dict(zip(J_NAMES, rate_form(A, A, decay, SM), strict=True))
    for name, value in expected.items():
        np.testing.assert_allclose(np.real(found[name]), value, rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_rate_of_any_pseudoscalar_amplitude():
    """2 (a + c/3) of Sec. 4."""
    A = F_V, F_A, F_P, F_S = random_amplitude(Pseudoscalar)
    m_B, m_K, m_l = SM.m_Bp, SM.m_Kp, SM.m_mu
    kal = m_B**4 + m_K**4 + Q2**2 - 2 * (m_B**2 * m_K**2 + m_B**2 * Q2 + m_K**2 * Q2)
    beta = np.sqrt(1 - 4 * m_l**2 / Q2)
    G = (SM.GF * SM.alpha_em * SM.lambda_t) ** 2 / (2**9 * np.pi**5 * m_B**3) * np.sqrt(kal) * beta
    vectors = np.abs(F_A) ** 2 + np.abs(F_V) ** 2
    a = Q2 * (beta**2 * np.abs(F_S) ** 2 + np.abs(F_P) ** 2) + kal / 4 * vectors
    a += 2 * m_l * (m_B**2 - m_K**2 + Q2) * (F_P * np.conj(F_A)).real + 4 * m_l**2 * m_B**2 * np.abs(F_A) ** 2
    c = -kal * beta**2 / 4 * vectors
    (found,) = rate_form(Pseudoscalar(*A), Pseudoscalar(*A), decay_at(Q2, CHANNELS["B+->K+mumu"], SM), SM)
    np.testing.assert_allclose(np.real(found), 2 * G * (a + c / 3), rtol=1e-11)


def test_scalar_and_timelike_amplitudes_of_a_vector():
    """A_S and A_t of Sec. 5.1: differences of the coefficients and their primes."""
    channel = CHANNELS["B0->K*0mumu"]
    decay = decay_at(Q2, channel, SM)
    A = amplitude(with_contact(sm_coefficients(decay, SM), NewPhysics(CONTACT), decay), decay, SM)
    m_B, m_V, m_l = SM.m_B0, SM.m_Kst0, SM.m_mu
    kal = m_B**4 + m_V**4 + Q2**2 - 2 * (m_B**2 * m_V**2 + m_B**2 * Q2 + m_V**2 * Q2)
    phase_space = Q2 * np.sqrt(kal) * np.sqrt(1 - 4 * m_l**2 / Q2)
    N = SM.GF * SM.alpha_em * SM.lambda_t * np.sqrt(phase_space / (3 * 2**10 * np.pi**5 * m_B**3))
    A0, masses = np.asarray(decay.ff.A0), SM.mb + SM.ms
    timelike = 2 * (SM.C10 + 0.4 - 0.6j) + Q2 / (m_l * masses) * (-0.03 + 0.04j)
    np.testing.assert_allclose(A.S, -2 * N * np.sqrt(kal) * (0.07 - 0.08j) / masses * A0, rtol=1e-11)
    np.testing.assert_allclose(A.t, N * np.sqrt(kal / Q2) * timelike * A0, rtol=1e-11)


def test_scalar_amplitudes_of_a_pseudoscalar():
    """F_S and F_P of Sec. 4: sums of the coefficients and their primes."""
    decay = decay_at(Q2, CHANNELS["B+->K+mumu"], SM)
    A = amplitude(with_contact(sm_coefficients(decay, SM), NewPhysics(CONTACT), decay), decay, SM)
    m_B, m_K, f = SM.m_Bp, SM.m_Kp, decay.ff
    scalar = (m_B**2 - m_K**2) / (2 * (SM.mb - SM.ms)) * np.asarray(f.zero)
    C10 = SM.C10 + 0.2 + 0.2j
    axial = SM.m_mu * C10 * ((m_B**2 - m_K**2) / Q2 * (f.zero - f.plus) - f.plus)
    np.testing.assert_allclose(A.S, scalar * (0.01 + 0.04j), rtol=1e-12)
    np.testing.assert_allclose(A.P, scalar * (0.07 - 0.02j) + axial, rtol=1e-12)


def test_scalars_in_the_leptonic_decay():
    """Sec. 7: differences here too, and the scalar's velocity."""
    found = br_bs_mumu(NewPhysics(contact=Contact(CS=0.04, CSp=-0.03, CP=0.02, CPp=0.05)), SM)
    helicity = SM.m_Bs**2 / (2 * SM.m_mu * (SM.mb + SM.ms))
    beta2 = 1 - 4 * SM.m_mu**2 / SM.m_Bs**2
    P2, S2 = (SM.C10 - 0.03 * helicity) ** 2, beta2 * (0.07 * helicity) ** 2
    sm = br_bs_mumu(NewPhysics(), SM)
    expected = sm * (P2 * (1 + SM.y_s) + S2 * (1 - SM.y_s)) / (SM.C10**2 * (1 + SM.y_s))
    assert found == near(float(expected), rel=1e-12)
