"""Binned observables: definitions, conventions, requests that are refused, and gradients in the model's parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from printed import printed
from scipy.integrate import quad

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.coefficients import c9
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import width_total
from jaxdark.models.wilson import SM_ONLY, Contact, NewPhysics, Resonance
from jaxdark.semileptonic.amplitudes import J_NAMES
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.leptonic import br_bs_mumu, resonant_pseudoscalar
from jaxdark.semileptonic.neutrinos import br_k_nunu, br_kst_nunu, dbr_dq2_k_nunu, dbr_dq2_kst_nunu
from jaxdark.semileptonic.observables import (
    ANGULAR_NAMES,
    INTEGRAL_MATRIX,
    angular_observables,
    binned_angular,
    binned_dBR,
    binned_rate,
    channel_of,
    lepton_ratio,
)

SM = load_inputs()
KST, K = "B0->K*0mumu", "B+->K+mumu"


# ---- Definitions ----


def hand_written(J):
    """Sec. 6 term by term from integrated J_i."""
    dG = 0.75 * (2 * J["1s"] + J["1c"]) - 0.25 * (2 * J["2s"] + J["2c"])
    D = 2 * np.sqrt(-J["2s"] * J["2c"])
    return {
        "FL": -J["2c"] / dG,
        "AFB": -(0.75 * J["6s"] + 0.375 * J["6c"]) / dG,
        "S3": J["3"] / dG,
        "S4": -J["4"] / dG,
        "S5": J["5"] / dG,
        "S7": -J["7"] / dG,
        "S8": J["8"] / dG,
        "S9": -J["9"] / dG,
        "S1s": J["1s"] / dG,
        "S1c": J["1c"] / dG,
        "S2s": J["2s"] / dG,
        "S2c": J["2c"] / dG,
        "S6s": -J["6s"] / dG,
        "S6c": -J["6c"] / dG,
        "P1": J["3"] / (2 * J["2s"]),
        "P2": -J["6s"] / (8 * J["2s"]),
        "P3": J["9"] / (4 * J["2s"]),
        "P4p": -J["4"] / D,
        "P5p": J["5"] / D,
        "P6p": -J["7"] / D,
        "P8p": J["8"] / D,
    }


def test_observables_are_the_ratios_of_section_6():
    values = np.random.default_rng(1).normal(size=(12, 5))
    values[[0, 1, 2]], values[3] = np.abs(values[[0, 1, 2]]) + 3, -np.abs(values[3]) - 0.1
    expected = hand_written(dict(zip(J_NAMES, values, strict=True)))
    result = angular_observables(INTEGRAL_MATRIX @ values)
    assert set(result) == set(expected) == set(ANGULAR_NAMES)
    for name, value in expected.items():
        np.testing.assert_allclose(result[name], value, rtol=1e-13, err_msg=name)


@pytest.fixture(scope="module")
def electrons():
    """Every angular observable of B0 -> K*0 e e in [1.1, 6]."""
    return {name: float(v) for name, v in binned_angular("B0->K*0ee", (1.1, 6.0), SM_ONLY, SM).items()}


def test_lhcb_relations_between_observables_of_massless_leptons(electrons):
    """P_1 = 2 S_3/(1 - F_L), P_2 = 2/3 A_FB/(1 - F_L), P_3 = -S_9/(1 - F_L), P'_i = S_i/sqrt(F_L (1 - F_L))."""
    o = electrons
    transverse = 1 - o["FL"]
    root = np.sqrt(o["FL"] * transverse)
    expected = {"P1": 2 * o["S3"] / transverse, "P2": 2 / 3 * o["AFB"] / transverse, "P3": -o["S9"] / transverse}
    expected |= {"S1c": o["FL"], "S2c": -o["FL"], "S1s": 3 / 4 * transverse, "S2s": transverse / 4}
    expected |= {"S6s": 4 / 3 * o["AFB"]}
    expected |= {f"P{i}p": o[f"S{j}"] / root for i, j in ((4, 4), (5, 5), (6, 7), (8, 8))}
    for name, value in expected.items():
        assert o[name] == near(value, rel=2e-6, abs=1e-8), name


@pytest.mark.parametrize("q2", [(0.06, 0.98), (1.1, 2.5), (15.0, 17.0)])
def test_lhcb_relations_between_observables_with_lepton_masses(q2):
    """arXiv:2512.18053: P_i of S_i, S_2s and S_2c, exact; S_2s of S_1c and S_2c but for the mass in S_1s = 3 S_2s."""
    scalars = NewPhysics(contact=Contact(C9=-0.8, C10=0.4, CS=0.5))
    o = {name: float(v) for name, v in binned_angular(KST, q2, scalars, SM).items()}
    root = 2 * np.sqrt(-o["S2s"] * o["S2c"])
    expected = {"P1": o["S3"] / (2 * o["S2s"]), "P2": (o["AFB"] - 3 / 8 * o["S6c"]) / (6 * o["S2s"])}
    expected |= {"P3": -o["S9"] / (4 * o["S2s"]), "AFB": 3 / 4 * o["S6s"] + 3 / 8 * o["S6c"], "FL": -o["S2c"]}
    expected |= {f"P{i}p": o[f"S{j}"] / root for i, j in ((4, 4), (5, 5), (6, 7), (8, 8))}
    assert {name: o[name] for name in expected} == near(expected, rel=1e-12)
    assert 3 / 4 * (2 * o["S1s"] + o["S1c"]) - 1 / 4 * (2 * o["S2s"] + o["S2c"]) == near(1.0, rel=1e-12)
    assert abs(o["S6c"]) > 1e-4
    partially_massive = (1 - 3 / 4 * o["S1c"] + 1 / 4 * o["S2c"]) / 4
    mass = SM.m_mu**2 / q2[0]
    assert 0 < partially_massive / o["S2s"] - 1 < 6 * mass


# S_1s/S_2s and -S_1c/S_2c, 3 and 1 without lepton masses, of EOS 1.0.21 with form factors BSZ2015 and the amplitudes
# BFS2004 and GP2004; its S_6s has LHCb's sign under the name S_6s@LHCb.
EOS = {
    (0.06, 0.98): (4.26446, 1.29150), (1.1, 2.5): (3.08356, 1.05432), (4.0, 6.0): (3.00209, 1.01856),
    (15.0, 17.0): (3.00475, 1.00438), (17.0, 19.0): (3.00438, 1.00311),
}  # fmt: skip


@pytest.mark.parametrize("q2", EOS)
def test_what_lepton_masses_do_is_the_same_in_eos(q2):
    """The amplitudes of EOS are others, and weigh the masses within the transverse part of a bin differently."""
    o = {name: float(v) for name, v in binned_angular(KST, q2, SM_ONLY, SM).items()}
    transverse, longitudinal = EOS[q2]
    assert -o["S1c"] / o["S2c"] == near(longitudinal, abs=1e-3)
    assert o["S1s"] / o["S2s"] == near(transverse, rel=6e-3)


def test_standard_model_table():
    """Sec. 11.2 in [4, 6], to the digits printed there."""
    angular = binned_angular(KST, (4.0, 6.0), SM_ONLY, SM)
    assert 1e8 * binned_dBR(KST, (4.0, 6.0), SM_ONLY, SM) == near(4.94, abs=0.006)
    printed = {"FL": 0.712, "AFB": 0.122, "P4p": -0.503, "P5p": -0.758, "P2": 0.293}
    assert {name: float(angular[name]) for name in printed} == near(printed, abs=6e-4)


def test_ratios_of_the_standard_model():
    """Sec. 11.2, no QED corrections."""
    assert lepton_ratio("B+->K+", (1.1, 6.0), SM_ONLY, SM) == near(1.00048, abs=6e-6)
    assert lepton_ratio("B0->K*0", (1.1, 6.0), SM_ONLY, SM) == near(0.9965, abs=6e-5)


def test_clipped_bin_keeps_its_nominal_width():
    """Below the threshold and beyond the end point there is no rate, but the width counts."""
    threshold, end = CHANNELS[KST].q2_range(SM)
    for wide, inside in (((0.01, 0.98), (threshold, 0.98)), ((18.0, 25.0), (18.0, end))):
        assert binned_rate(KST, wide, SM_ONLY, SM) == binned_rate(KST, inside, SM_ONLY, SM)
        ratio = binned_dBR(KST, wide, SM_ONLY, SM) / binned_dBR(KST, inside, SM_ONLY, SM)
        assert ratio == near((inside[1] - inside[0]) / (wide[1] - wide[0]), rel=1e-14)


def test_refused_requests():
    with pytest.raises(RequestError, match=r"unknown process 'B0->K\*0tautau'; the known ones are B0->K\*0mumu, "):
        channel_of("B0->K*0tautau")
    with pytest.raises(RequestError, match=r"need a vector .*, got B\+->K\+mumu; take B0->K\*0mumu for instance"):
        binned_angular(K, (1.1, 6.0), SM_ONLY, SM)
    with pytest.raises(RequestError, match="unknown process 'B0->Kmumu'"):
        lepton_ratio("B0->K", (1.1, 6.0), SM_ONLY, SM)


# ---- B_s -> mu mu and B -> K nu nu ----


@pytest.mark.parametrize("m_V", [0.7, 2.0, float(SM.m_Bs), 12.0])
@pytest.mark.parametrize("bs_current", ["paper", "without_C_P", "conserved"])
def test_bs_mumu_of_a_resonance_equals_that_of_contact_terms(m_V, bs_current):
    """C_10 at q2 = m_Bs^2 and C_P of Sec. 9.3 beside each other; the width's phase is strong, so the modulus counts."""
    width, s = 0.05 * m_V, SM.m_Bs**2
    C10 = -0.1 * s / (s - m_V**2 + 1j * m_V * width)
    C_P = -2 * SM.m_mu * C10 * {"paper": 1 / m_V**2, "without_C_P": 0.0, "conserved": 1 / s}[bs_current]
    helicity = SM.m_Bs**2 / (2 * SM.m_mu * (SM.mb + SM.ms))
    P = SM.C10 + C10 + helicity * C_P * (SM.mb + SM.ms)
    equal = NewPhysics(contact=Contact(C9=0.4, C10=abs(P) - SM.C10))
    resonant = NewPhysics(resonance=Resonance(0.4, -0.1, m_V, width, bs_current))
    assert br_bs_mumu(resonant, SM) == near(float(br_bs_mumu(equal, SM)), rel=1e-13)


@pytest.mark.parametrize("m_V", [0.8, 3.0, 5.36, 9.0])
def test_narrow_resonance_in_bs_mumu(m_V):
    """(1 - m_Bs^2/m_V^2)/(m_Bs^2 - m_V^2) = -1/m_V^2: the effect is -kappa10 m_Bs^2/m_V^2 at any mass, no peak."""
    effect = resonant_pseudoscalar(Resonance(0.0, 0.3, m_V, 1e-9 * m_V), SM)
    assert complex(effect) == near(-0.3 * SM.m_Bs**2 / m_V**2, rel=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e-16, 1e-9, -1e-6])
def test_a_resonance_on_the_bs_mass_has_no_peak(offset):
    m_V = float(SM.m_Bs) * (1 + offset)
    record = lambda m: NewPhysics(resonance=Resonance(0.0, 0.3, m, 1e-9))  # noqa: E731
    assert abs(resonant_pseudoscalar(record(m_V).resonance, SM)) <= 0.3 * (1 + 1e-5)
    assert np.isfinite(jax.value_and_grad(lambda m: br_bs_mumu(record(m), SM))(m_V)).all()


@pytest.mark.parametrize(
    ("total", "spectrum", "end", "accuracy"),
    [(br_k_nunu, dbr_dq2_k_nunu, SM.m_Bp - SM.m_Kp, 1e-6), (br_kst_nunu, dbr_dq2_kst_nunu, SM.m_B0 - SM.m_Kst0, 1e-5)],
    ids=["K", "K*"],
)
def test_neutrino_modes_are_the_integrals_of_their_spectra(total, spectrum, end, accuracy):
    """40 nodes; the K* spectrum ends like a square root, which costs them a digit."""
    f = jax.jit(lambda q2: spectrum(q2, SM))
    # In t of q2 = end^2 (1 - t^2) the root at the end point is a smooth function.
    expected = quad(lambda t: 2 * t * end**2 * float(f(end**2 * (1 - t**2))), 0, 1, epsabs=0, epsrel=1e-10)[0]
    assert total(SM) == near(expected, rel=accuracy)


def test_neutrino_mode_of_the_standard_model():
    """Sec. 8."""
    assert br_k_nunu(SM) == near(4.75e-6, abs=0.005e-6)


# ---- Gradients in the parameters of the dark sector ----

NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r")
KINDS = (*ANGULAR_NAMES, "dBR(K*)", "dBR(K)", "R_K", "R_K*", "BR(Bs)", "delta_a_mu")


def every_kind(vector, m_chi):
    """Angular observables and dBR in [4, 6], the other bins [1.1, 6]."""
    model = printed(**dict(zip(NAMES, vector, strict=True)), m_chi=m_chi)
    wide = (1.1, 6.0)
    angular = binned_angular(KST, (4.0, 6.0), model, SM)
    others = (
        binned_dBR(KST, (4.0, 6.0), model, SM),
        binned_dBR(K, wide, model, SM),
        lepton_ratio("B+->K+", wide, model, SM),
        lepton_ratio("B0->K*0", wide, model, SM),
        br_bs_mumu(model, SM),
        delta_a_mu(model, SM),
    )
    return jnp.stack([*(angular[name] for name in ANGULAR_NAMES), *others])


tangent = jax.jit(lambda vector, direction, m_chi: jax.jvp(lambda v: every_kind(v, m_chi), (vector,), (direction,)))


def central_difference(vector, direction, m_chi):
    """Of sixth order, from steps of once, a half and a quarter the direction; in units of the direction."""
    f = lambda step: np.asarray(tangent(vector + step * direction, direction, m_chi)[0])  # noqa: E731
    D = [(f(step) - f(-step)) / (2 * step) for step in (1.0, 0.5, 0.25)]
    first = [(4 * D[1] - D[0]) / 3, (4 * D[2] - D[1]) / 3]
    return (16 * first[1] - first[0]) / 15


# Gamma/m_V is g_D^2/(12 pi) where chi is light: 0.03 and 1e-3 here. Each point: parameters, m_chi, and the relative
# scale in m_V on which observables vary.
WIDE, NARROW = 1.06, 0.194
POINTS = {
    "high": ({"m_V": 5.5, "g_D": 1.0, "r": -3.0}, 1e-3, 0.1),
    "low": ({"m_V": 0.8, "g_D": 2.0, "r": 0.5}, 1e-3, 0.1),
    **{
        f"edge {edge} {shift:+g} {name}": ({"m_V": np.sqrt(edge) + shift, "g_D": g_D}, 1e-3, g_D**2 / 12 / np.pi)
        for edge in (1.1, 4.0, 6.0)
        for shift in (-1e-5, 0.0, 1e-7)
        for name, g_D in (("wide", WIDE), ("narrow", NARROW))
    },
    **{f"2 m_mu {d:+g}": ({"m_V": 2 * SM.m_mu * (1 + d), "r": 0.1}, 1e-3, abs(d)) for d in (-1e-3, 1e-3, 0.1)},
    **{f"2 m_chi {d:+g}": ({"m_V": 2.4 * (1 + d)}, 1.2, abs(d)) for d in (-1e-2, 1e-3, 1e-2)},
}


@pytest.mark.parametrize("name", POINTS)
def test_gradients_of_every_observable(name):
    """Against finite differences, relative to the derivative or to value/parameter where that is larger."""
    values, m_chi, scale = POINTS[name]
    values = {"g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -1.0} | values
    vector = np.array([float(values[parameter]) for parameter in NAMES])
    for i, parameter in enumerate(NAMES):
        direction = np.zeros(5)
        direction[i] = 0.03 * vector[i] * (scale if parameter == "m_V" else 1.0)
        value, gradient = tangent(vector, direction, m_chi)
        allowed = 1e-6 * np.maximum(np.abs(gradient), np.abs(value * direction[i] / vector[i]))
        error = np.abs(gradient - central_difference(vector, direction, m_chi))
        wrong = {kind: (e, a) for kind, e, a in zip(KINDS, error, allowed, strict=True) if not e <= a}
        assert not wrong, (parameter, wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda sm: binned_dBR("B0->K*0mumu", (1.1, 6.0), SM_ONLY, sm),
        lambda sm: br_bs_mumu(SM_ONLY, sm),
        lambda sm: c9(3.5, SM_ONLY, sm),
        lambda sm: width_total(printed(m_V=5, g_mu_V=0.01, r_AV=0, g_D=1, r=1), sm),
    ],
)
def test_inputs_that_are_none_are_one_sentence(call):
    """A dictionary of overrides is what `load_inputs` takes."""
    with pytest.raises(RequestError, match=r"expected the inputs of jaxdark.load_inputs\(...\), got dict; that takes"):
        call({"GF": 1.2e-5})
