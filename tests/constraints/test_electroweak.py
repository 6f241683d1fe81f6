"""Numbers (12) to (16), (27) of the paper, neutrino tridents, Z -> mu mu, perturbativity by independent routes."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from near import near
from scipy.integrate import quad
from scipy.optimize import brentq

from jaxdark.constraints.electroweak import (
    _photon_dissociation,
    constraints,
    landau_pole,
    largest_g_D,
    log_landau_pole,
    perturbative_g_D,
    perturbative_yukawas,
    trident,
    trident_ccfr,
    trident_limit,
    trident_ratio,
    vertex_loop,
    z_mumu_shift,
)
from jaxdark.inputs import load_inputs
from jaxdark.models.coefficients import c9
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import DarkSector

M_MU, GF, S2W = 0.1056583755, 1.1663788e-5, 0.23121
C_V = 0.5 + 2 * S2W


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


@pytest.fixture(scope="module")
def paper_sm():
    """The alpha and V_tb V_ts* with which the paper's numbers come out."""
    return load_inputs({"alpha_em": 1 / 133, "lambda_t": -0.0405, "GF": 1.1663787e-5, "m_mu": 0.1056583745})


def point(m_V, g_mu_V=0.02, r_AV=-0.4, g_D=1.0, r=-2.0):
    return DarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=r_AV, g_D=g_D, r=r, physics="paper")


def printed(number, digits=1):
    """Rounded to the digits that the paper prints."""
    return float(f"{float(number):.{digits - 1}e}")


# Numbers of Sec. 2.2 ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def needed(paper_sm):
    """By m_V: g_tilde g_mu^V in GeV^-2 for C_9 = -0.6, and the g_mu^V that takes (g-2) to 4e-9 without g_mu^A.

    At q2 = 3.5 GeV^2, the middle of the bin from 1 to 6 GeV^2; g_tilde is the 2.7579e-8 GeV^-2 of r = 1.
    """

    def both(m_V):
        model = point(m_V, g_mu_V=1.0, r_AV=0.0, g_D=1e-6, r=1.0)
        return 0.6 * 2.7579e-8 / jnp.abs(c9(3.5, model, paper_sm)), jnp.sqrt(4e-9 / delta_a_mu(model, paper_sm))

    m_V = [1e-4, 1e-3, 0.01, 0.1, 1.0, 1e4]
    return dict(zip(m_V, np.transpose(jax.jit(jax.vmap(both))(np.array(m_V))), strict=True))


def test_eq_12_and_15(needed):
    """1.4e-10 m_V^2/GeV^4, printed as 1e-10, and 4.8e-10 GeV^-2, printed as 5e-10."""
    heavy, light = needed[1e4][0] / 1e8, needed[1e-3][0]
    assert (printed(heavy, 2), printed(heavy)) == (1.4e-10, 1e-10)
    assert (printed(light, 2), printed(light)) == (4.8e-10, 5e-10)


def test_eq_14_and_16(needed):
    """6.8e-3 m_V/GeV, printed as 7e-3; 0.6e-3 for light V and 1e-3 from 100 MeV on."""
    assert (printed(needed[1.0][1], 2), printed(needed[1.0][1])) == (6.8e-3, 7e-3)
    assert printed(needed[0.01][1], 2) == 6.4e-4
    assert printed(needed[1e-4][1]) == 6e-4
    assert printed(needed[0.1][1]) == 1e-3


def test_g_tilde_for_light_mediators(needed):
    """What Eq. (15) and (16) need together: 7.6e-7 GeV^-2, of which the paper gives the order, 1e-6."""
    product, g_mu_V = needed[0.01]
    assert printed(product / g_mu_V, 2) == 7.6e-7


# Neutrino tridents --------------------------------------------------------------------------------------------------


def test_eq_27(sm):
    assert [float(trident_limit(m)) for m in (1e-3, 0.99, 1.0, 5.0)] == near([1e-3, 1e-3, 2e-3, 0.01], rel=1e-12)
    model = point(5.0)
    assert tuple(map(float, trident(model, sm))) == (0.0, 0.01, 0.0)
    assert tuple(map(float, trident(model, sm, model.g_mu_V))) == near((0.02, 0.01, 2.0), rel=1e-12)


def test_trident_without_neutrinos(sm):
    """The paper's default: the Standard Model's cross section, 0.32 of the way from CCFR's to its two-sigma bound."""
    verdict = trident_ccfr(point(5.0), sm)
    assert tuple(map(float, verdict)) == near((1.0, 1.38, 0.18 / 0.56), rel=1e-12)


def test_trident_of_heavy_V(sm):
    """Closed form for L_mu - L_tau, arXiv:1406.2332, Eq. (11), and its extension to an axial coupling."""
    v2 = 1 / (math.sqrt(2) * GF)
    for g, r_AV in ((0.5, 0.0), (2.0, 0.0), (1.0, -0.5), (1.0, 0.7)):
        m_V = 1e4 * g
        up = 2 * v2 * (g / m_V) ** 2
        expected = ((1 - r_AV * up) ** 2 + (1 + 4 * S2W + up) ** 2) / (1 + (1 + 4 * S2W) ** 2)
        assert trident_ratio(point(m_V, g, r_AV), sm, g) - 1 == near(expected - 1, rel=1e-6)


def structure_functions(x, Q2):
    """F_2 and F_L of the photon into muons over alpha/pi, as in hep-ph/9912049."""
    m2 = M_MU**2
    beta = math.sqrt(1 - 4 * m2 * x / (Q2 * (1 - x)))
    log = math.log((1 + beta) / (1 - beta))
    split = x**2 + (1 - x) ** 2 + x * (1 - 3 * x) * 4 * m2 / Q2 - x**2 * 8 * m2**2 / Q2**2
    F_2 = x * (split * log + beta * (-1 + 8 * x * (1 - x) - x * (1 - x) * 4 * m2 / Q2))
    return F_2, 4 * x**2 * (beta * (1 - x) - 2 * m2 * x / Q2 * log)


def unit_nodes(n):
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


@pytest.fixture(scope="module")
def momentum_transfer():
    """Nodes and normalised weights of Q2 at CCFR, from the variables Q2 and x."""
    radius, E, m2 = 1.3 * 55.845 ** (1 / 3) / 0.1973269804, 160.0, M_MU**2
    t, w = unit_nodes(48)
    ln_s = math.log(4.0001 * m2) + t * math.log(300 / (4.0001 * m2))
    per_photon = [
        quad(lambda v, q=math.exp(y) / (2 * E): math.exp(-((radius * q) ** 2) / 5 * math.exp(v)), 0, 20)[0]
        for y in ln_s
    ]
    s = np.exp(ln_s)[:, None, None]
    ln_top = np.log(s - 4 * m2)
    Q2 = np.exp(-16 + (ln_top + 16) * t[:, None])
    # The square softens the threshold of the muon pair.
    span = np.log((s - Q2) / (4 * m2))
    W2 = 4 * m2 * np.exp(span * t**2)
    y = (Q2 + W2) / s
    F_2, F_L = np.vectorize(structure_functions)(Q2 / (Q2 + W2), Q2)
    rate = ((1 + (1 - y) ** 2) * F_2 - y**2 * F_L) / (Q2 + W2) * W2 * span * 2 * t * Q2 * (ln_top + 16)
    weights = np.einsum("suw,s,s,u,w->su", rate, np.array(per_photon), w, w, w)
    return Q2[..., 0], weights / np.sum(weights)


POINTS = [
    (0.01, 8e-4, 0.0),
    (0.1, 2e-3, -0.4),
    (0.5, 1e-3, 0.3),
    (1.0, 4e-3, -1.0),
    (3.0, 6e-3, 0.0),
    (10.0, 0.02, -0.4),
]


def test_trident_ratio_against_other_variables(sm, momentum_transfer):
    """With both signs of the product of couplings."""
    Q2, weights = momentum_transfer
    ratio = jax.jit(lambda m_V, g, r_AV, g_nu: trident_ratio(point(m_V, g, r_AV), sm, g_nu))
    for m_V, g, r_AV in POINTS:
        for g_nu in (g, -g / 2):
            shift = g_nu * g / (math.sqrt(2) * GF) / (m_V**2 + Q2)
            expected = np.sum(weights * ((C_V + shift) ** 2 + (0.5 - r_AV * shift) ** 2)) / (C_V**2 + 0.25)
            assert ratio(m_V, g, r_AV, g_nu) - 1 == near(expected - 1, rel=1e-4)


# Dirac matrices, upper and lower index.
PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
METRIC = np.diag([1.0, -1.0, -1.0, -1.0])
GAMMA = np.array([np.kron(PAULI[2], np.eye(2)), *(np.kron(1j * PAULI[1], sigma) for sigma in PAULI)])
GAMMA_5 = 1j * GAMMA[0] @ GAMMA[1] @ GAMMA[2] @ GAMMA[3]


def slash(p):
    return np.einsum("...a,ab,bij->...ij", p, METRIC, GAMMA)


def matrix_element(K2, W2, s, axial=False, n=24):
    """sum |M|^2 of nu gamma -> nu mu mu by (nubar gamma P_L nu)(mubar gamma mu), averaged over the angles of the muons.

    From the traces, in the rest frame of the muon pair, the photon (unit charge, averaged polarisation) along z.
    """
    E, beta = (W2 + K2) / (2 * math.sqrt(W2)), math.sqrt(1 - 4 * M_MU**2 / W2)
    photon, q = np.array([E, 0, 0, E]), np.array([math.sqrt(W2) - E, 0, 0, -E])
    k0, k3 = np.linalg.solve([[E, -E], [q[0], E]], [s / 2, -K2 / 2])
    nu = np.array([k0, math.sqrt(k0**2 - k3**2), 0, k3])
    left = (np.eye(4) - GAMMA_5) / 2
    neutrinos = np.einsum("ij,ajk,kl,lm,bmi->ab", slash(nu - q), GAMMA, left, slash(nu), GAMMA)
    # Equal steps in the rapidity tame the collinear peaks.
    x, w = np.polynomial.legendre.leggauss(n)
    rapidity = x * math.atanh(beta)
    cosine, weight = np.tanh(rapidity) / beta, w * math.atanh(beta) / np.cosh(rapidity) ** 2 / (2 * beta) / 8
    c, phi = np.meshgrid(cosine, np.arange(8) * math.pi / 4, indexing="ij")
    sine = np.sqrt(1 - c**2)
    half = math.sqrt(W2) / 2
    minus = half * np.stack([np.ones_like(c), beta * sine * np.cos(phi), beta * sine * np.sin(phi), beta * c], axis=-1)
    plus = minus * [1, -1, -1, -1]
    first = (slash(minus - photon) + M_MU * np.eye(4)) / (-2 * minus @ METRIC @ photon)[..., None, None]
    second = (slash(photon - plus) + M_MU * np.eye(4)) / (-2 * plus @ METRIC @ photon)[..., None, None]
    current = (GAMMA @ GAMMA_5 if axial else GAMMA)[:, None, None, None]
    for_photon = GAMMA[None, :, None, None]
    amplitude = for_photon @ first @ current + current @ second @ for_photon
    conjugate = GAMMA[0] @ np.conj(np.swapaxes(amplitude, -1, -2)) @ GAMMA[0]
    mass = M_MU * np.eye(4)
    muons = -np.einsum(
        "xyij,mzxyjk,xykl,nzxyli,z,x->mn",
        slash(minus) + mass,
        amplitude,
        slash(plus) - mass,
        conjugate,
        np.diag(METRIC),
        weight,
        optimize=True,
    )
    return np.einsum("ab,ac,bd,cd->", neutrinos, METRIC, METRIC, muons).real / 2


def test_cross_section_of_the_photon_against_traces():
    """d sigma/(d K2 d W2) from three-body phase space: beta |M|^2/(8 s^2) in the units of the structure functions."""
    for K2, W2, s in ((1e-4, 0.06, 5.0), (0.3, 0.2, 4.0), (2.0, 1.0, 30.0), (5.0, 0.1, 10.0), (0.02, 20.0, 25.0)):
        u = math.acosh(math.sqrt(W2) / (2 * M_MU))
        expected = matrix_element(K2, W2, s) * math.tanh(u) / (8 * s**2)
        assert _photon_dissociation(K2, W2, s, u, M_MU**2) == near(expected, rel=1e-5)


def test_closed_limits_of_the_photon_cross_section():
    """7/18 of arXiv:1406.2332 for a massless V, and 2 G_F^2 alpha s (ln(s/m^2) - 8/3)/(9 pi^2) for a heavy one."""

    t, w = unit_nodes(100)

    def over_W2(K2, s, u_max):
        u = u_max * t
        rate = np.sinh(2 * u) * _photon_dissociation(K2, 4 * np.cosh(u) ** 2, s, u, 1.0)
        return 4 * u_max[..., 0] * (rate @ w)

    assert over_W2(1e-9, 1e30, np.array([15.0])) / 1e-9 == near(2 * 7 / 18, rel=1e-6)

    def total(s):
        span = math.log(s - 4) + 20
        K2 = np.exp(-20 + t * span)[:, None]
        return span * np.sum(w * K2[:, 0] * over_W2(K2, s, np.arccosh(np.sqrt((s - K2) / 4))))

    assert (total(1e10) / 1e10 - total(1e8) / 1e8) / math.log(100) == near(4 / 9, rel=1e-4)
    assert total(1e10) / 1e10 * 9 / 4 - math.log(1e10) == near(-8 / 3, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("axial", [False, True])
def test_the_constant_beside_the_logarithm_by_traces(axial):
    """-8/3 for the vector and for the axial current, not -19/6; what is left at s = 100 GeV^2 falls like m^2/s."""
    s, m2 = 1e4, M_MU**2
    t, w = unit_nodes(36)
    span = math.log((s - 4 * m2) / (1e-6 * m2))
    total = 0.0
    for K2, w_K in zip(1e-6 * m2 * np.exp(span * t), span * w, strict=True):
        u_max = math.acosh(math.sqrt((s - K2) / (4 * m2)))
        for u, w_u in zip(u_max * t, u_max * w, strict=True):
            per_W2 = matrix_element(K2, 4 * m2 * math.cosh(u) ** 2, s, axial, 40) * math.tanh(u) / (8 * s**2)
            total += w_K * K2 * w_u * 4 * m2 * math.sinh(2 * u) * per_W2
    assert total / s * 9 / 4 - math.log(s / m2) == near(-8 / 3, rel=1e-3)


def test_ccfr_gives_eq_27(sm):
    """Couplings at the two-sigma bound: 0.002 m_V for heavy V; the paper's 0.001 for light ones is that at 20 MeV."""
    ratio = jax.jit(lambda m_V, g: trident_ccfr(point(m_V, g, 0.0), sm, g).ratio)
    bound = {m_V: brentq(lambda g, m=m_V: float(ratio(m, g)) - 1, 1e-5, 1.0) for m_V in (0.01, 1.0, 5.0, 15.0)}
    assert [printed(bound[m_V] / m_V) for m_V in (5.0, 15.0)] == [2e-3, 2e-3]
    assert printed(bound[0.01]) == 9e-4
    assert printed(bound[1.0], 2) == 2.9e-3


# Z -> mu mu ---------------------------------------------------------------------------------------------------------


def vertex_by_dispersion(w):
    """Real part of the vertex function from its imaginary part, which unitarity gives, subtracted at s = 0; m_V = 1."""

    def imaginary_over_s(s):
        """2 pi int_0^1 (1-t)^2/(1/s + t) dt/s: the exchange of V between the fermions, projected on spin 1."""
        if s < 0.02:  # the closed form cancels
            return 2 * math.pi * sum((-s) ** n * 2 / ((n + 1) * (n + 2) * (n + 3)) for n in range(12))
        return 2 * math.pi * ((1 + 1 / s) ** 2 * math.log1p(s) - 1 / s - 1.5) / s

    s = 1 / w
    pole = quad(imaginary_over_s, 0, 2 * s, weight="cauchy", wvar=s, epsrel=1e-11)[0]
    rest = quad(lambda v: imaginary_over_s(s * math.exp(v)) / (1 - math.exp(-v)), math.log(2), 60, epsrel=1e-11)[0]
    return s / math.pi * (pole + rest)


@pytest.mark.parametrize(
    ("w", "accuracy"), [(0.01, 1e-8), (0.05, 1e-8), (0.3, 1e-8), (1.0, 1e-8), (5.0, 1e-8), (100.0, 1e-7)]
)
def test_vertex_loop_against_dispersion_relation(w, accuracy):
    assert vertex_loop(w) == near(vertex_by_dispersion(w), rel=accuracy)


def test_vertex_loop_keeps_its_digits():
    """From m_V = 1e-5 to 1e4 GeV, against 40 digits."""
    with mpmath.workdps(40):
        for m_V in (1e-5, 0.01, 1.0, 30.0, 91.0, 300.0, 1e3, 1e4):
            w = mpmath.mpf((m_V / 91.1876) ** 2)
            dilogarithm = mpmath.re(mpmath.polylog(2, 1 + 1 / w)) - mpmath.pi**2 / 6
            exact = -mpmath.mpf(7) / 2 - 2 * w - (2 * w + 3) * mpmath.log(w) + 2 * (1 + w) ** 2 * dilogarithm
            assert vertex_loop(float(w)) == near(float(exact), rel=1e-13, abs=1e-13 * (1 + float(w) ** 2))


def test_z_mumu_shift(sm):
    """A vector coupling changes both chiralities alike; couplings to one chirality only its part of the width."""
    loop = float(vertex_loop((5.0 / 91.1876) ** 2)) / (16 * math.pi**2)
    assert z_mumu_shift(point(5.0, 0.1, 0.0), sm) == near(2 * 0.1**2 * loop, rel=1e-12)
    left, right = (0.5 - S2W) ** 2, S2W**2
    for r_AV, share in ((-1.0, left), (1.0, right)):
        expected = 2 * 0.2**2 * loop * share / (left + right)
        assert z_mumu_shift(point(5.0, 0.1, r_AV), sm) == near(expected, rel=1e-12)


# Perturbativity and all ---------------------------------------------------------------------------------------------


def test_perturbativity(sm):
    assert float(perturbative_g_D(point(5.0, g_D=3.5), sm).ratio) == near(3.5 / math.sqrt(4 * math.pi), rel=1e-12)
    several = DarkSector(m_V=5.0, g_mu_V=0.1, r_AV=0.0, g_D=2.0, Q_Phi=0.5, r=(1.0, -9.0, 3.0), m_chi=(0.1, 0.2, 3.0))
    assert tuple(map(float, perturbative_yukawas(several, sm)[:2])) == near((-9.0, 4 * math.pi), rel=1e-12)
    verdict = perturbative_yukawas(point(5.0, g_D=0.0, r=0.1), sm)
    assert math.isfinite(verdict.value) and verdict.ratio > 1e6
    assert perturbative_yukawas(point(5.0, g_D=0.0, r=0.0), sm).ratio == 0


def dark(g_D, m_chi=(1e-3,), m_V=5.0, m_Phi=1000.0, Q_Phi=1.0):
    r = (1.0,) * len(m_chi)
    return DarkSector(m_V=m_V, g_mu_V=0.1, r_AV=0.0, g_D=g_D, r=r, m_chi=m_chi, m_Phi=m_Phi, Q_Phi=Q_Phi)


def test_landau_pole_of_one_and_two_light_fermions(sm):
    """202 GeV for g_D(5 GeV) = 4; no pole below 1 TeV for g_D < 3.34 and 2.36."""
    verdict = landau_pole(dark(4.0), sm)
    assert tuple(map(float, verdict)) == near((202.0, 1000.0, 1000 / 202), rel=3e-3)
    assert verdict.value == near(5 * math.exp(6 * math.pi**2 / 16), rel=1e-12)
    one, two = dark(1.0), dark(1.0, (1e-3, 0.2))
    assert (float(largest_g_D(one)), float(largest_g_D(two))) == near((3.34, 2.36), abs=5e-3)
    assert landau_pole(dark(1.0, Q_Phi=-4.0), sm) == near(tuple(map(float, verdict)), rel=1e-12)


def pole_by_integration(model):
    """Where 1/g_D^2 reaches zero, every fermion and Phi running above its own mass and above m_V."""
    charge2, m_V = float(model.g_D * model.Q_Phi) ** 2, float(model.m_V)
    running = [(float(m), 1.0) for m in model.m_chi] + [(float(model.m_Phi), 1.5)]

    def inverse(t):
        slopes = (n * max(t - math.log(max(m, m_V)), 0.0) for m, n in running)
        return 1 / charge2 - sum(slopes) / (6 * math.pi**2)

    return brentq(inverse, math.log(m_V), 60.0, xtol=1e-13)


@pytest.mark.parametrize(
    "model",
    [
        dark(3.0, (1e-3, 40.0)),
        dark(3.0, (700.0, 40.0, 2.0), m_V=9.0),
        dark(2.2, (2.0,), Q_Phi=-0.9),
        dark(3.2, (1e-3, 5000.0), m_V=60.0),
        dark(3.4, (20.0, 20.0), m_V=300.0, m_Phi=200.0),
        dark(1.2, (1e-3,)),
    ],
)
def test_landau_pole_with_thresholds(sm, model):
    """A heavy chi does not run at m_V; Phi runs above its mass."""
    log_pole = pole_by_integration(model)
    assert log_landau_pole(model) == near(min(log_pole, math.log(1.22e19)), rel=1e-12)
    is_below = log_pole < math.log(float(model.m_Phi))
    assert bool(landau_pole(model, sm).ratio > 1) == is_below == bool(model.g_D > largest_g_D(model))


def test_no_pole_without_running(sm):
    """No charge, or dark fermions above m_Phi alone: then the pole is beyond m_Phi."""
    for model in (dark(0.0), dark(1e-200), dark(3.0, Q_Phi=0.0)):
        assert landau_pole(model, sm).value == near(1.22e19, rel=1e-12)
    heavy = dark(8.0, (2000.0,))
    assert math.isinf(largest_g_D(heavy)) and landau_pole(heavy, sm).ratio < 1


def test_a_heavy_chi_does_not_raise_the_largest_coupling():
    assert largest_g_D(dark(3.2, (1e-3, 5000.0))) == near(float(largest_g_D(dark(3.2))), rel=1e-14)


def test_gradient_of_the_landau_pole():
    """d ln mu/d g_D = -12 pi^2/g_D^3 and d ln mu/d ln m_V = 1 for one light fermion; finite without a charge."""
    slope = jax.grad(lambda g_D, m_V: log_landau_pole(dark(g_D, m_V=m_V)), (0, 1))
    assert tuple(map(float, slope(3.8, 5.0))) == near((-12 * math.pi**2 / 3.8**3, 1 / 5), rel=1e-12)
    assert slope(0.0, 5.0) == (0, 0)
    largest = jax.grad(lambda m_V: largest_g_D(dark(1.0, m_V=m_V)))
    expected = math.sqrt(1.5) * math.pi * math.log(1000 / 5) ** -1.5 / 5
    assert largest(5.0) == near(expected, rel=1e-12)


SMOOTH = [[2.7, 0.02, -0.4, 1.3, -2.0], [0.4, 0.003, -0.8, 0.4, 1.0], [60.0, 0.1, 0.2, 0.02, 1.0]]
SPECIAL = [2 * M_MU, 1e-5, 1e4, 1.0, 91.1876, 0.3]
CORNERS = [(m, *couplings) for m in SPECIAL for couplings in ((0, 0, 0, 0), (0.1, -1, 4, 9), (0, 0, 1, 1))]


def test_gradients_and_finite_everywhere(sm):
    """Central differences at smooth points; finite at random points, thresholds and without couplings."""

    def mixture(row):
        """With weights, as one gradient then holds all; of the shift of the Z, which has no limit, the value."""
        verdicts = [entry.verdict(point(*row), sm) for entry in constraints(g_nu_over_g_mu_V=1.0)]
        numbers = jnp.stack([verdict.ratio for verdict in verdicts] + [verdicts[2].value])
        return jnp.arange(1.0, 8.0) @ numbers, numbers

    rng = np.random.default_rng(8)
    random = rng.uniform(*np.array([[-5, -3, -1, 0, -9], [4, -0.7, 0, 4, 9]]), (400, 5))
    random[:, :2] = 10 ** random[:, :2]
    steps = (1e-6 * np.abs(SMOOTH) + 1e-9)[..., None] * np.eye(5)
    moved = np.array(SMOOTH)[:, None] + np.stack([steps, -steps])
    rows = np.concatenate([SMOOTH, moved.reshape(-1, 5), CORNERS, random])
    (values, ratios), gradient = jax.jit(jax.vmap(jax.value_and_grad(mixture, has_aux=True)))(rows)
    assert np.all(np.isfinite(ratios)) and np.all(np.isfinite(gradient)) and np.all(ratios[:, :6] >= 0)
    up, down = np.array(values)[3:33].reshape(2, 3, 5)
    assert gradient[:3] == near((up - down) / (2 * steps.max(axis=-1)), rel=1e-5, abs=1e-7)


def test_entries(sm):
    """Neutrinos are shown coupled like muons but count only if asked; perturbativity never cuts."""
    entries = {entry.id: entry for entry in constraints()}
    expected = "neutrino_trident neutrino_trident_CCFR Z_mumu_width_shift perturbativity_g_D perturbativity_y_s_y_b"
    expected += " landau_pole"
    assert list(entries) == expected.split()
    assert [entry.applied for entry in entries.values()] == [False, False, True, False, False, False]
    assert [entry.applied for entry in constraints(g_nu_over_g_mu_V=0.0)] == [True, True, True, False, False, False]
    model, tridents = point(5.0, g_mu_V=0.03), ("neutrino_trident", "neutrino_trident_CCFR")
    for asked, excluded in ((None, [True, True]), (1.0, [True, True]), (0.0, [False, False])):
        found = {entry.id: entry.verdict for entry in constraints(g_nu_over_g_mu_V=asked)}
        assert [bool(found[name](model, sm).ratio > 1) for name in tridents] == excluded
    assert float(entries["neutrino_trident"].verdict(model, sm).ratio) == near(3.0, rel=1e-12)
    assert math.isinf(entries["Z_mumu_width_shift"].verdict(model, sm).limit)
