"""A Z' with constant couplings, the box and the vector-like fermion: limits, printed formulas, adaptive integration."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from near import near
from printed import printed
from scipy.integrate import quad_vec
from scipy.optimize import brentq

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.box import BoxModel, box_scan
from jaxdark.models.coefficients import c9, c10, c_p
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import g_tilde, width_mumu, width_total
from jaxdark.models.vector_like import SplitVectorLike
from jaxdark.models.wilson import Contact, NewPhysics, Resonance
from jaxdark.models.zprime import SimplifiedZPrime
from jaxdark.semileptonic.bins import rates
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.leptonic import br_bs_mumu
from jaxdark.semileptonic.predictor import Predictor

SM = load_inputs()
ZPRIME = {"m_Zp": 10.0, "g_bs": -5e-6, "g_mu_V": 1e-2, "g_mu_A": -1e-2, "width": 0.1}
SPLIT = {"m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -3.0}
BOX = {"m_1": 150.0, "m_2": 200.0, "m_3": 300.0, "m_4": 1100.0, "Y_s": 0.2, "Y_b": 0.4, "Y_mu": 1.7}
LONGITUDINAL = {"paper": lambda s, s0: s / s0, "without_C_P": lambda s, s0: 0.0, "conserved": lambda s, s0: 1.0}


def strength(g_bs, g_mu):
    """Numerator of C_9 or C_10, from G_F, alpha and V_tb V_ts^* by hand, GeV^2."""
    return np.sqrt(2) * np.pi * g_bs * g_mu / (SM.alpha_em * SM.GF * SM.lambda_t)


def constant(kappa9=2.5, kappa10=-1.2, m_V=2.0, width=0.1, bs_current="paper"):
    return NewPhysics(resonance=Resonance(*map(np.float64, (kappa9, kappa10, m_V, width)), bs_current, power=0))


def as_contact(s, physics):
    """The constant numerator at one q2 as contact terms, C_P and C_P' of Sec. 9.3."""
    R = physics.resonance
    propagator = 1 / (s - R.m_V**2 + 1j * R.m_V * R.width)
    C10 = R.kappa10 * propagator
    C_P = -2 * SM.m_mu / s * LONGITUDINAL[R.bs_current](s, R.m_V**2) * C10
    return Contact(C9=R.kappa9 * propagator, C10=C10, CP=C_P * SM.mb, CPp=-C_P * SM.ms)


# ---- Z' with constant couplings ----


@pytest.mark.parametrize("q2", [0.0, 0.5, 3.5, 17.0])
def test_coefficients_of_the_Zprime(q2):
    model = SimplifiedZPrime(**ZPRIME)
    propagator = 1 / (q2 - 100.0 + 1j)
    assert complex(c9(q2, model, SM)) == near(strength(-5e-6, 1e-2) * propagator, rel=1e-13)
    assert complex(c10(q2, model, SM)) == near(strength(-5e-6, -1e-2) * propagator, rel=1e-13)
    expected = -2 * SM.m_mu * (SM.mb + SM.ms) / 100.0 * strength(-5e-6, -1e-2) * propagator
    assert complex(c_p(q2, model, SM)) == near(expected, rel=1e-13)


def test_solution_of_the_end_of_section_4():
    """m = 10 GeV, g_V = -g_A = 1e-2 and |g_bs| = 5e-6 solve the anomalies: C_9 = -C_10 = -0.63 in the bins."""
    model = SimplifiedZPrime(**ZPRIME)
    assert complex(c9(3.5, model, SM)).real == near(-0.633, abs=1e-3)
    assert complex(c10(3.5, model, SM)) == -complex(c9(3.5, model, SM))


@pytest.mark.parametrize("bs_current", LONGITUDINAL)
@pytest.mark.parametrize("q2", [0.3, 4.0, 28.0])
def test_pseudoscalar_coefficient_in_every_treatment(bs_current, q2):
    physics = constant(bs_current=bs_current)
    contact = as_contact(q2, physics)
    assert complex(c_p(q2, physics, SM)) == near(contact.CP - contact.CPp, rel=1e-13, abs=1e-20)


@pytest.mark.parametrize("m_Zp", [0.7, 5.36, 10.0])
@pytest.mark.parametrize("bs_current", LONGITUDINAL)
def test_Bs_to_mumu_equals_that_of_contact_terms(m_Zp, bs_current):
    """The width's phase is strong, so that the modulus of the amplitude counts."""
    physics = constant(m_V=m_Zp, width=0.05 * m_Zp, bs_current=bs_current)
    C = as_contact(SM.m_Bs**2, physics)
    P = SM.C10 + C.C10 + SM.m_Bs**2 / (2 * SM.m_mu * (SM.mb + SM.ms)) * (C.CP - C.CPp)
    equal = NewPhysics(contact=Contact(C10=abs(P) - SM.C10))
    assert br_bs_mumu(physics, SM) == near(float(br_bs_mumu(equal, SM)), rel=1e-13)


@pytest.mark.parametrize("m_Zp", [1.0, 5.367, 12.0])
def test_Bs_to_mumu_of_a_narrow_Zprime(m_Zp):
    """kappa10 (1 - m_Bs^2/m^2)/(m_Bs^2 - m^2) = -kappa10/m^2: that of a contact term, at any mass."""
    model = SimplifiedZPrime(**(ZPRIME | {"m_Zp": m_Zp, "g_bs": 1e-8, "width": 1e-12}))
    equal = ConstantWilson(C10=-strength(1e-8, -1e-2) / m_Zp**2)
    assert br_bs_mumu(model, SM) == near(float(br_bs_mumu(equal, SM)), rel=1e-6)


class Row(NamedTuple):
    process: str
    observable: str
    q2: tuple[float, float]


BIN = (1.1, 6.0)
ROWS = [Row("B+->K+mumu", "dBR", BIN), Row("B0->K*0mumu", "P5p", BIN)]


class Predictions(NamedTuple):
    """Of the same rows with full amplitudes and from tables, one function for both powers of q2."""

    full: Callable
    tables: Callable

    @classmethod
    def of(cls, rows):
        predictor = Predictor(rows, SM)
        return cls(jax.jit(lambda physics: predictor(physics)), jax.jit(predictor.tabulated()))


@pytest.fixture(scope="module")
def both_spins():
    return Predictions.of(ROWS)


@pytest.fixture(scope="module")
def kaon():
    """B -> K mu mu, whose pseudoscalar part sees the longitudinal part of the Z'."""
    return Predictions.of(ROWS[:1])


@pytest.mark.parametrize(("m_V", "width"), [(0.8, 0.2), (2.0, 0.02), (2.3, 1e-6), (6.0, 0.5)])
def test_a_binned_rate_by_adaptive_integration(m_V, width, kaon):
    physics, rate = constant(m_V=m_V, width=width), jax.jit(rates, static_argnums=2)
    channel = CHANNELS["B+->K+mumu"]
    real = lambda s: float(rate(s, NewPhysics(contact=as_contact(s, physics)), channel, SM)[0])  # noqa: E731
    marks = [m_V**2 + sign * m_V * width * 10**k for k in range(7) for sign in (-1, 0, 1)]
    marks = sorted(s for s in set(marks) if BIN[0] < s < BIN[1])
    integral = quad_vec(real, *BIN, points=marks, epsrel=1e-11, epsabs=0.0, limit=2000)[0]
    expected = integral * SM.tau_Bp / (BIN[1] - BIN[0])
    for predictions in kaon:
        assert float(predictions(physics)[0]) == near(expected, rel=1e-9)


@pytest.mark.parametrize("bs_current", LONGITUDINAL)
def test_tables_equal_full_amplitudes(bs_current, kaon):
    physics = constant(bs_current=bs_current)
    np.testing.assert_allclose(kaon.tables(physics), kaon.full(physics), rtol=1e-12)


def test_tables_of_both_spins_equal_full_amplitudes(both_spins):
    np.testing.assert_allclose(both_spins.tables(constant()), both_spins.full(constant()), rtol=1e-12)


def test_one_set_of_tables_does_not_disturb_the_other(kaon):
    """Powers in turn."""
    resonant = NewPhysics(resonance=Resonance(*map(np.float64, (0.4, -0.2, 2.0, 0.1))))
    for physics in (constant(), resonant, constant()):
        np.testing.assert_allclose(kaon.tables(physics), kaon.full(physics), rtol=1e-12)


@pytest.mark.parametrize("m_Zp", [1e3, 1e5])
def test_a_heavy_Zprime_is_a_contact_term(m_Zp, both_spins):
    C9, C10 = -0.8, 0.3
    heavy = constant(-C9 * m_Zp**2, -C10 * m_Zp**2, m_Zp, 1e-9 * m_Zp)
    equal = NewPhysics(contact=Contact(C9=np.float64(C9), C10=np.float64(C10)))
    for predictions in both_spins:
        np.testing.assert_allclose(predictions(heavy), predictions(equal), rtol=20 / m_Zp**2 + 1e-9)


def test_gradient_with_respect_to_the_Zprime(kaon):
    names = tuple(ZPRIME)
    vector = np.array([2.2, -2e-8, 1e-2, -4e-3, 0.05])
    f = jax.jit(lambda v: kaon.tables(SimplifiedZPrime(**dict(zip(names, v, strict=True)))))
    slopes = jax.jacfwd(f)(vector)
    for i, step in enumerate(np.diag(1e-5 * vector)):
        difference = (f(vector + step) - f(vector - step)) / (2 * step[i])
        np.testing.assert_allclose(slopes[:, i], difference, rtol=2e-6, atol=2e-6 * np.abs(f(vector)).min())


def test_muon_g_minus_2_of_the_Zprime():
    """That of V with the same couplings; g_V^2/(8 pi^2) without mass, (M_mu/m)^2 (g_V^2/12 - 5 g_A^2/12)/pi^2 heavy."""
    model = SimplifiedZPrime(**ZPRIME)
    same = printed(m_V=10.0, g_mu_V=1e-2, r_AV=-1.0, g_D=1.0, r=1.0)
    assert delta_a_mu(model, SM) == delta_a_mu(same, SM)
    heavy = (SM.m_mu / 10.0) ** 2 * (1e-4 * 2 / 3 - 1e-4 * 10 / 3) / (8 * np.pi**2)
    assert delta_a_mu(model, SM) == near(heavy, rel=2e-3)
    light = SimplifiedZPrime(**(ZPRIME | {"m_Zp": 1e-5, "g_mu_A": 0.0}))
    assert delta_a_mu(light, SM) == near(1e-4 / (8 * np.pi**2), rel=2e-3)


# ---- Vector-like fermion ----


def printed_loop(x):
    """F9 + G9 as Eq. (10) prints them, 60 digits."""
    with mpmath.workdps(60):
        x = mpmath.mpf(float(x))
        log = mpmath.log(x)
        F = -2 + 9 * x - 18 * x**2 + 11 * x**3 - 6 * x**3 * log
        G = -16 + 45 * x - 36 * x**2 + 7 * x**3 + 6 * (3 * x - 2) * log
        return (F + G) / (36 * (x - 1) ** 4)


@pytest.mark.parametrize("m_pi", [1e-3, 1.0, 100.0, 999.0])
def test_coupling_with_the_masses_exchanged(m_pi):
    model = SplitVectorLike(**SPLIT, m_pi=m_pi, m_Psi=1200.0)
    expected = 3.0 * printed_loop((1200.0 / m_pi) ** 2) / (32 * np.pi**2 * m_pi**2)
    assert float(model.g_tilde) == near(float(expected), rel=1e-9)


def test_a_light_scalar_counts_half_of_a_light_fermion():
    """Of the logarithm, as in the vacuum polarisation of chiral fermion and scalar; 47 per cent at 1 MeV and 1 TeV."""
    ratio = SplitVectorLike(**SPLIT).g_tilde / g_tilde(printed(**SPLIT))
    assert ratio == near(0.4713, abs=1e-4)
    log = lambda model: (model(1e-3) - model(1e-2)) / np.log(100)  # noqa: E731
    scalar = log(lambda m: SplitVectorLike(**SPLIT, m_pi=m).g_tilde)
    fermion = log(lambda m: g_tilde(printed(**SPLIT, m_chi=m)))
    assert scalar / fermion == near(0.5, rel=1e-8)


def test_two_light_scalars_add():
    both = SplitVectorLike(**(SPLIT | {"r": (-3.0, 1.0)}), m_pi=(1e-3, 10.0))
    each = [SplitVectorLike(**(SPLIT | {"r": r}), m_pi=m).g_tilde for r, m in ((-3.0, 1e-3), (1.0, 10.0))]
    assert both.g_tilde == near(float(sum(each)), rel=1e-14)


def test_width_into_scalars():
    """A quarter of that into Dirac fermions without mass; beta^3; nothing at and below the threshold, gradient too."""
    model = SplitVectorLike(**SPLIT, m_pi=1e-6)
    fermion = printed(**SPLIT, m_chi=1e-6)
    dark, of_fermion = (m.width_total(SM) if m is model else width_total(m, SM) for m in (model, fermion))
    muons = width_mumu(model, SM)
    assert dark - muons == near(float(of_fermion - muons) / 4, rel=1e-9)
    slower = SplitVectorLike(**SPLIT, m_pi=2.2).width_total(SM) - muons
    assert slower / (dark - muons) == near((1 - 0.8**2) ** 1.5, rel=1e-9)
    for m_pi in (2.75, 3.0):
        width, slope = jax.value_and_grad(lambda m: SplitVectorLike(**SPLIT, m_pi=m).width_total(SM))(m_pi)
        assert (width, slope) == (muons, 0.0)


def test_vector_like_coefficients_scale_with_the_coupling():
    model = SplitVectorLike(**SPLIT)
    physics = model.new_physics(SM).resonance
    assert physics.kappa9 == near(strength(float(model.g_tilde), 0.03), rel=1e-12)
    assert (physics.kappa10 / physics.kappa9, physics.width) == (-0.4, model.width_total(SM))
    assert delta_a_mu(model, SM) == delta_a_mu(printed(**SPLIT), SM)


# ---- Box ----


def printed_box(*masses):
    """F of Eq. (3)."""
    *light, heavy = (mpmath.mpf(m) ** 2 for m in masses)
    x, y, z = (m / heavy for m in light)
    term = lambda a, b, c: a**2 * mpmath.log(a) / ((a - 1) * (a - b) * (a - c))  # noqa: E731
    return term(x, y, z) + term(y, x, z) + term(z, x, y)


def test_C9_of_the_box():
    model = BoxModel(**BOX)
    expected = -0.2 * 0.4 * 1.7**2 / 1.1**2 * float(printed_box(150.0, 200.0, 300.0, 1100.0))
    assert float(model.C9) == near(expected, rel=1e-12)
    assert c9(3.5, model, SM) == model.C9
    assert c10(3.5, model, SM) == -model.C9
    assert c10(3.5, BoxModel(**BOX, muon="R"), SM) == model.C9
    assert delta_a_mu(model, SM) == 0


def test_C9_of_the_box_is_symmetric_in_the_masses():
    """Eq. (2) and (3) together do not know which one is called the heaviest."""
    swapped = BOX | {"m_1": 1100.0, "m_4": 150.0}
    assert float(BoxModel(**swapped).C9) == near(float(BoxModel(**BOX).C9), rel=1e-11)


def test_bounds_of_the_box():
    """|Y_b Y_s| = 0.09 at 1 TeV is C_1 = 6.4e-6 TeV^-2; |Y_mu| < 1e-2 m/GeV."""
    light = BoxModel(**(BOX | {"m_2": 1e-3, "m_3": 1e-3, "m_4": 1000.0, "Y_s": 0.3, "Y_b": 0.3}))
    assert light.mixing_C1 == near(0.09**2 / (128 * np.pi**2 * 1e6), rel=1e-6)
    bound = BoxModel(**BOX).muon_yukawa
    assert (bound.value, bound.limit, bound.ratio) == near((1.7, 2.0, 0.85), rel=1e-15)


def test_box_scan_of_heavy_partners_ends_at_perturbativity():
    """At 1 TeV (g-2) allows |Y_mu| = 10, beyond sqrt(4 pi): C_9 is quadratic in the muon coupling."""
    scan = box_scan(1000.0, 1000.0, 1000.0, C9=-0.6)
    assert scan.g_minus_2 == near(10.0, rel=1e-12)
    assert float(scan.C9) == near(-0.6 * 4 * np.pi / float(scan.needed) ** 2, rel=1e-12)
    assert bool(scan.common) == (scan.needed < 3.5449)


def test_box_scan_saturates_its_bounds():
    """The model at what the scan returns has the wanted C_9 and the largest C_1."""
    masses = (150.0, 250.0, 400.0, 1300.0)
    scan = box_scan(*masses, C9=-0.9)
    named = dict(zip(("m_1", "m_2", "m_3", "m_4"), masses, strict=True))
    model = BoxModel(**named, Y_s=scan.quarks, Y_b=1.0, Y_mu=scan.needed)
    assert model.C9 == near(-0.9, rel=1e-12)
    assert model.mixing_C1 == near(0.09**2 / (128 * np.pi**2 * 1e6), rel=1e-12)
    assert scan.g_minus_2 == model.muon_yukawa.limit
    assert bool(scan.common) == bool(model.muon_yukawa.ratio <= 1)
    allowed = min(float(scan.g_minus_2), np.sqrt(4 * np.pi))
    assert scan.C9 == near(float(BoxModel(**named, Y_s=scan.quarks, Y_b=1.0, Y_mu=allowed).C9), rel=1e-12)


def test_no_common_region_below_100_GeV():
    """End of Sec. 2.1, with the coloured particle from 1 TeV up; it opens at 162 GeV for three equal masses."""
    light = np.geomspace(1e-3, 100.0, 16)
    third, heavy = np.geomspace(1e-3, 3000.0, 20), np.array([1000.0, 1200.0, 2000.0])
    scan = box_scan(light[:, None, None, None], light[:, None, None], third[:, None], heavy)
    assert scan.common.shape == (16, 16, 20, 3)
    assert not scan.common.any()
    edge = brentq(lambda m: float(box_scan(m, m, m).needed - box_scan(m, m, m).g_minus_2), 50, 500)
    assert edge == near(162.2, abs=0.1)
    assert box_scan(edge + 1, edge + 1, edge + 1).common


def test_muon_yukawa_that_the_box_needs():
    """Sec. 2.1 says above 3: so it is with F = 1 (2.6), but F(0.01, 0.01, 0.01) is 3.22."""
    assert box_scan(100.0, 100.0, 100.0).needed == near(np.sqrt(0.6 / (0.09 / np.sqrt(0.93558) * 3.2208)), rel=1e-4)


@pytest.mark.parametrize(
    ("cls", "good", "change", "sentence"),
    [
        (
            SimplifiedZPrime,
            ZPRIME,
            {"m_Z": 1.0},
            "unknown parameter 'm_Z' of SimplifiedZPrime; the nearest right name is m_Zp",
        ),
        (SimplifiedZPrime, ZPRIME, {"m_Zp": -1.0}, "m_Zp is a mass in GeV and must be positive, got -1"),
        (SimplifiedZPrime, ZPRIME, {"width": 0.0}, "width is a width in GeV and must be positive, got 0"),
        (SimplifiedZPrime, ZPRIME, {"g_bs": 1j}, "g_bs must be a real number"),
        (BoxModel, BOX, {"muon": "V"}, "muon must be one of L, R, got 'V'"),
        (BoxModel, BOX, {"m_3": 0.0}, "m_3 is a mass in GeV"),
        (BoxModel, BOX, {"Y_mu": [1.0, 2.0]}, "Y_mu must be one number"),
        (SplitVectorLike, SPLIT, {"m_Phi": 1.0}, "unknown parameter 'm_Phi' of SplitVectorLike"),
        (SplitVectorLike, SPLIT, {"m_pi": (1.0, 2.0)}, "share one axis n_pi"),
    ],
)
def test_refusals(cls, good, change, sentence):
    with pytest.raises(RequestError, match=sentence):
        cls(**(good | change))


@pytest.mark.parametrize(("cls", "good"), [(SimplifiedZPrime, ZPRIME), (BoxModel, BOX), (SplitVectorLike, SPLIT)])
def test_values_and_gradients_are_finite_also_at_coincidences(cls, good):
    """Equal masses, m = m_Bs, no couplings."""
    names = tuple(good)

    def sizes(v, q2):
        model = cls(**dict(zip(names, v, strict=True)))
        values = [f(q2, model, SM) for f in (c9, c10, c_p)]
        return jnp.stack([jnp.abs(z) ** 2 for z in values] + [delta_a_mu(model, SM), br_bs_mumu(model, SM)])

    both = jax.jit(lambda v, q2: (sizes(v, q2), jax.jacfwd(sizes)(v, q2)))
    vector = np.array(list(good.values()))
    mass = np.array([name.startswith("m_") for name in names])
    for changed in (vector, np.where(mass, SM.m_Bs, vector), np.where(mass, vector, 0.0) + ("width" in names) * ~mass):
        for q2 in (0.0, 28.8):
            assert all(np.isfinite(part).all() for part in both(changed, q2))
