"""Relic density: Eq. (31) against its checkpoints, <sigma v> and the freeze-out against scipy, and each other."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from near import near
from scipy.integrate import quad, solve_ivp
from scipy.interpolate import CubicSpline
from scipy.special import kve

from jaxdark.constraints.relic import bessel_K, constraints, omega_h2, omega_h2_estimate, omega_h2_fast, sigma_v
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.split import DarkSector, width_total

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints" / "dark_sector.yaml"
SM = load_inputs()
M_MU = float(SM.m_mu)
NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "m_chi")
# The couplings that Eq. (31) is written with.
TYPICAL = np.array([8.0, 0.05, 0.0, np.sqrt(4 * np.pi), 0.1])


def from_vector(v):
    return DarkSector(r=1.0, **dict(zip(NAMES, v, strict=True)))


def at_mass(m_chi):
    return np.array([*TYPICAL[:4], m_chi])


average = jax.jit(lambda x, v: sigma_v(x, from_vector(v), SM))
average_and_slope = jax.jit(jax.value_and_grad(lambda v, x: sigma_v(x, from_vector(v), SM)))
printed = jax.jit(lambda v: omega_h2_estimate(from_vector(v), SM, exponent=-2.0))
estimate = jax.jit(lambda v: omega_h2_estimate(from_vector(v), SM))
fast = jax.jit(lambda v: omega_h2_fast(from_vector(v), SM))


@pytest.fixture(scope="module")
def integrated():
    pytest.importorskip("diffrax", reason="the freeze-out needs the relic extra")
    program = jax.jit(lambda v, g_star: omega_h2(from_vector(v), SM, g_star))
    return lambda v, g_star=10.75: float(program(v, g_star))


# ---- Eq. (31) ----


def test_estimate_against_the_checkpoints():
    content = yaml.safe_load(CHECKPOINTS.read_text(encoding="utf-8"))
    sm = load_inputs({"m_mu": content["inputs"]["Mmu"]})
    assert len(content["relic"]) >= 3
    for row in content["relic"]:
        model = DarkSector(r_AV=0.0, r=1.0, **{name: row[name] for name in ("m_V", "g_mu_V", "g_D", "m_chi")})
        assert omega_h2_estimate(model, sm, exponent=-2.0) == near(row["omega_h2"], rel=1e-8)


def test_the_lightest_fermion_counts_with_its_charge():
    """The heavy one is closed to V."""
    two = DarkSector(m_V=8.0, g_mu_V=0.05, r_AV=0.0, g_D=0.5, r=(1.0, 1.0), m_chi=(30.0, 0.1), Q_Phi=4.0)
    one = from_vector([8.0, 0.05, 0.0, 2.0, 0.1])
    assert omega_h2_estimate(two, SM) == omega_h2_estimate(one, SM)
    of_two = jax.jit(lambda model: sigma_v(15.0, model, SM))(two)
    assert float(of_two) == near(float(average(15.0, [8.0, 0.05, 0.0, 2.0, 0.1])), rel=1e-12)


def test_constraint_is_the_bare_density():
    """At 90 MeV the freeze-out leaves 21, where Eq. (31) as printed says 1.6e-4."""
    (entry,) = constraints()
    assert (entry.id, entry.unit, entry.cl) == ("omega_h2", "1", None)
    verdict = jax.jit(lambda v: entry.verdict(from_vector(v), SM))(at_mass(0.09))
    assert (verdict.limit, verdict.ratio) == (np.inf, 0)
    assert float(verdict.value) == near(21.0, rel=0.05)
    assert float(printed(at_mass(0.09))) == near(1.6e-4, rel=0.03)


@pytest.mark.parametrize("density", [omega_h2_estimate, omega_h2_fast])
def test_densities_for_draws_are_finite_everywhere(density):
    values = jax.jit(jax.vmap(jax.value_and_grad(lambda v: density(from_vector(v), SM))))
    random = np.random.default_rng(5)
    m_V, m_chi = 10 ** random.uniform(-5, 4, 500), 10 ** random.uniform(-5, 3, 500)
    g_mu_V, g_D = random.choice([0.0, 1e-3, 0.2], 500), random.choice([0.0, 1e-3, 4.0], 500)
    batch = np.column_stack([m_V, g_mu_V, 0 * m_V, g_D, m_chi])
    batch[:50, 4] = M_MU
    for part in values(batch):
        assert np.isfinite(part).all()


# ---- <sigma v> ----


@pytest.mark.parametrize("order", [1, 2])
def test_bessel_functions(order):
    z = 10 ** np.linspace(-3, 5, 300)
    np.testing.assert_allclose(jax.jit(lambda z: bessel_K(order, z))(z), kve(order, z), rtol=1e-10)


def pair(s, m, g_V, g_A):
    """(1 + 2 m^2/s) g_V^2 + (1 - 4 m^2/s) g_A^2 times the velocity."""
    beta2 = max(1 - 4 * m**2 / s, 0.0)
    return np.sqrt(beta2) * ((1 + 2 * m**2 / s) * g_V**2 + beta2 * g_A**2)


def cross_section_v(x, vector, suppressed=True):
    """Adaptive integration of sigma (s - 4 m^2) sqrt(s) K_1 in u of sqrt(s) = threshold + T u^2, the peak marked.

    sigma = s pair(chi) pair(mu)/(12 pi beta_chi^2 |propagator|^2), the textbook's for two vector couplings. Without the
    Boltzmann factor of a forbidden channel unless suppressed.
    """
    m_V, g_V, r_AV, g_D, m = (float(value) for value in vector)
    T, threshold = m / x, 2 * max(m, M_MU)
    damping = m_V * max(float(width_total(from_vector(vector), SM)), 1e-9 * m_V)

    def integrand(u):
        root = threshold + T * u**2
        s = root**2
        over_beta2 = s * pair(s, m, g_D, 0.0) * pair(s, M_MU, g_V, r_AV * g_V) / (12 * np.pi)
        flux = s * root * kve(1, root / T) * np.exp(-(u**2))
        return over_beta2 * flux / ((s - m_V**2) ** 2 + damping**2) * 4 * T * u * root

    peak = m_V**2 + damping * np.concatenate([-(4.0 ** np.arange(-1, 16)), [0.0], 4.0 ** np.arange(-1, 16)])
    u = np.sqrt(np.maximum(np.sqrt(np.maximum(peak, 0.0)) - threshold, 0.0) / T)
    edges = np.unique([*np.linspace(0, 8.2, 12), *u[(u > 0) & (u < 8.2)]])
    total = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in zip(edges[:-1], edges[1:], strict=True))
    forbidden = np.exp(-(threshold - 2 * m) / T) if suppressed else 1.0
    return total * forbidden / (8 * m**4 * T * kve(2, x) ** 2)


@pytest.mark.parametrize(
    ("x", "change"),
    [
        (20.0, {}),
        (0.3, {}),
        (25.0, {"m_chi": 0.5, "r_AV": -0.7}),
        (25.0, {"m_chi": M_MU}),
        (30.0, {"m_chi": 0.05, "m_V": 0.3, "g_D": 0.5}),
        (22.0, {"m_chi": 0.3, "m_V": 0.61, "g_D": 0.05, "g_mu_V": 1e-3}),
        (22.0, {"m_chi": 0.3, "m_V": 0.9, "g_D": 0.03, "g_mu_V": 0.03}),
        (5.0, {"m_chi": 0.2, "m_V": 0.4002, "g_D": 0.1, "g_mu_V": 0.1}),
        (40.0, {"m_chi": 0.15, "m_V": 0.29, "g_D": 2.0, "g_mu_V": 0.1}),
        (3e4, {"m_chi": 0.2}),
        (0.02, {"m_chi": 2e-3, "m_V": 0.5, "r_AV": -1.0}),
    ],
    ids=str,
)
def test_thermal_average_by_adaptive_integration(x, change):
    """Annihilation open and forbidden; the peak far away, below, at and above the threshold, broad and narrow."""
    vector = np.array([{**dict(zip(NAMES, TYPICAL, strict=True)), **change}[name] for name in NAMES])
    assert float(average(x, vector)) == near(cross_section_v(x, vector), rel=1e-8)


def test_cold_limit_above_the_muon_threshold():
    """sigma v at rest, g_D^2 (2 m^2 + M_mu^2) g_V^2 sqrt(1 - M_mu^2/m^2)/(2 pi m_V^4) for heavy V."""
    m = 0.3
    expected = 1e-4 * (2 * m**2 + M_MU**2) * 1e-4 * np.sqrt(1 - (M_MU / m) ** 2) / (2 * np.pi * 100.0**4)
    assert float(average(2e4, [100.0, 1e-2, 0.0, 1e-2, m])) == near(expected, rel=3e-4)


@pytest.mark.parametrize("m_V", [0.63, 0.8])
def test_narrow_width_limit(m_V):
    """All of a narrow peak: 3 pi^2 m_V^2 Gamma_chi Gamma_mu K_1(m_V/T)/(2 m^4 T K_2(x)^2 Gamma_V), order g^2."""
    m, x, g = 0.3, 10.0, 3e-4
    widths = [m_V / (12 * np.pi) * pair(m_V**2, mass, g, 0.0) for mass in (m, M_MU)]
    boltzmann = kve(1, m_V * x / m) * np.exp(-(m_V * x / m) + 2 * x) / kve(2, x) ** 2
    expected = 1.5 * np.pi**2 * m_V**2 * np.prod(widths) / sum(widths) * boltzmann * x / m**5
    assert float(average(x, [m_V, g, 0.0, g, m])) == near(expected, rel=1e-6)


def test_thermal_average_is_finite_with_finite_gradient():
    """Thresholds, m_V = 2 m_chi, no couplings, V from 1e-5 to 1e4 GeV."""
    rows = [at_mass(m) for m in (1e-5, 1e-3, M_MU, 2.0, 4.0, 30.0)]
    rows += [np.array([m_V, 0.05, -0.4, 1.0, 0.1]) for m_V in (1e-5, 0.2, 2 * M_MU, 1e4)]
    rows += [np.array([1.0, 0.0, 0.0, 1.0, 0.1]), np.array([1.0, 0.05, 0.0, 0.0, 0.1])]
    for row in rows:
        for x in (0.01, 1.0, 30.0):
            for part in average_and_slope(row, x):
                assert np.isfinite(part).all()


@pytest.mark.parametrize(("m_V", "m_chi"), [(8.0, 0.1), (0.25, 0.1), (8.0, 0.2)])
def test_gradient_of_the_thermal_average(m_V, m_chi):
    vector = np.array([m_V, 0.05, -0.3, 1.0, m_chi])
    slopes = np.asarray(average_and_slope(vector, 20.0)[1])
    for i, step in enumerate(np.diag(1e-5 * vector)):
        difference = (average(20.0, vector + step) - average(20.0, vector - step)) / (2 * step[i])
        assert slopes[i] == near(float(difference), rel=1e-6)


# ---- Freeze-out ----


def freeze_out(vector, x_end=3e3):
    """Omega h^2 by scipy's Radau for ln Y in ln x, <sigma v> from `cross_section_v`, today's numbers as in the PDG."""
    m = float(vector[4])
    logs = np.log(np.geomspace(3.0 * m / max(m, M_MU), x_end, 90))
    forbidden = 2 * (max(m, M_MU) / m - 1)
    smooth = CubicSpline(logs, [np.log(cross_section_v(x, vector, suppressed=False)) for x in np.exp(logs)])
    planck_mass, g_star = 1.220890e19, 10.75

    def log_Y_eq(x):
        return np.log(2 / g_star * 45 / (4 * np.pi**4) * x**2 * kve(2, x)) - x

    def rate(x):
        T = m / x
        entropy, hubble = 2 * np.pi**2 / 45 * g_star * T**3, np.sqrt(4 * np.pi**3 * g_star / 45) * T**2 / planck_mass
        return entropy * np.exp(smooth(np.log(x)) - forbidden * x) / hubble

    def slope(log_x, log_Y):
        x = np.exp(log_x)
        return rate(x) * np.exp(log_Y) * np.expm1(2 * (log_Y_eq(x) - log_Y))

    log_Y = solve_ivp(slope, logs[[0, -1]], [log_Y_eq(np.exp(logs[0]))], method="Radau", rtol=1e-9, atol=1e-9).y[0, -1]
    Y = 1 / (np.exp(-log_Y) + rate(x_end))
    entropy_today, critical = 2891.2, 1.053672e-5  # 1/cm^3, GeV/cm^3
    return 2 * m * Y * entropy_today / critical


@pytest.mark.parametrize("m_chi", [0.5, 0.1, 0.07, 0.01])
def test_freeze_out_against_scipy(m_chi, integrated):
    """Open and forbidden, and so forbidden that chi decouples while it is relativistic."""
    assert integrated(at_mass(m_chi)) == near(freeze_out(at_mass(m_chi)), rel=5e-5)


def test_freeze_out_of_a_resonance_against_scipy(integrated):
    """V a little above 2 m_chi, where chi annihilates through the peak."""
    vector = np.array([0.42, 1e-3, -0.3, 0.1, 0.2])
    assert integrated(vector) == near(freeze_out(vector), rel=2e-4)


@pytest.mark.parametrize("m_chi", [0.15, 0.3, 0.5])
def test_estimate_holds_where_muons_are_light(m_chi, integrated):
    """Eq. (31) to ten per cent above the muon mass, and its powers of m_V and of the couplings where V is narrow."""
    vector = at_mass(m_chi)
    assert float(estimate(vector)) == near(integrated(vector), rel=0.1)
    vector[3] = 0.5
    for change in (1.05, 1, 1, 1, 1), (1, 1.05, 1, 1, 1), (1, 1, 1, 1.05, 1):
        logarithms = [np.log(f(vector * change) / f(vector)) for f in (integrated, estimate)]
        # The freeze-out temperature moves like the logarithm of the cross section, 1/20 of the effect.
        assert logarithms[0] / float(logarithms[1]) == near(0.95, abs=0.07)


def test_forbidden_annihilation_leaves_more():
    """The density grows as chi gets lighter, as the text says and exponent +2 has it; the printed one makes it fall."""
    heavier, lighter = at_mass(0.1), at_mass(0.09)
    assert printed(lighter) / printed(heavier) < 0.05
    assert estimate(lighter) / estimate(heavier) > 20


def test_density_of_forbidden_annihilation(integrated):
    heavier, lighter = (integrated(at_mass(m)) for m in (0.1, 0.09))
    assert lighter / heavier == near(17.6, rel=0.01)
    for vector, value in ((at_mass(0.1), heavier), (at_mass(0.09), lighter)):
        assert 1 / 3 < value / float(estimate(vector)) < 3


# Open, forbidden, and decoupling at relativistic speed; V heavy and light, weakly coupled, 20 % off its resonance.
DENSITIES = [
    *(at_mass(m) for m in (1e-3, 0.01, 0.03, 0.06, 0.08, 0.09, 0.1, 0.11, 0.2, 0.5, 1.0, 3.0, 10.0)),
    np.array([0.6, 1e-3, -1.0, 0.1, 0.05]),
    np.array([3.0, 0.1, -0.4, 3.0, 0.03]),
    np.array([1.0, 0.05, -0.4, 1.0, 0.4]),
    np.array([8.0, 1e-3, -0.4, 0.01, 0.5]),
    np.array([0.5, 0.05, -0.4, 1.0, 0.3]),
]


@pytest.mark.parametrize("vector", DENSITIES, ids=str)
def test_fast_density_against_the_accurate_one(vector, integrated):
    assert float(fast(vector)) == near(integrated(vector), rel=0.05)


def test_without_annihilation_the_relativistic_abundance_stays(integrated):
    """Without couplings Y is that of equilibrium at T = M_mu, 45/(2 pi^4) 2/g_* for a light chi."""
    vector = np.array([8.0, 0.0, 0.0, 1.0, 1e-3])
    Y = 45 / (2 * np.pi**4) * 2 / 10.75
    assert integrated(vector) == near(2 * 1e-3 * Y * 2891.2 / 1.053672e-5, rel=1e-4)


def test_more_degrees_of_freedom_leave_less(integrated):
    """Omega goes like x_f/sqrt(g_*), and x_f falls by ln 2 of about 20."""
    ratio = integrated(at_mass(0.5), 4 * 10.75) / integrated(at_mass(0.5))
    assert ratio == near((1 - np.log(2) / 20) / 2, rel=0.01)


@pytest.mark.slow
def test_gradient_of_the_density(integrated):
    vector = at_mass(0.1) + np.array([0.0, 0.0, -0.2, 0.0, 0.0])
    slopes = np.asarray(jax.jit(jax.grad(lambda v: omega_h2(from_vector(v), SM)))(vector))
    for i, step in enumerate(np.diag(3e-3 * vector)):  # by smaller ones the steps of the integrator show
        one, two = (integrated(vector + k * step) - integrated(vector - k * step) for k in (1, 2))
        assert slopes[i] == near((8 * one - two) / (12 * step[i]), rel=1e-4)


def test_without_diffrax_the_request_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(RequestError, match=r"needs the package diffrax: run `pip install '.\[relic\]'` in a clone"):
        omega_h2(from_vector(TYPICAL), SM)
