"""Bin integrals with resonances against adaptive integration of the rates, limits and sums."""

import operator

import equinox as eqx
import jax
import numpy as np
import pytest
from near import near
from scipy.integrate import quad_vec

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.wilson import SM_ONLY, Contact, NewPhysics, Resonance
from jaxdark.semileptonic.amplitudes import J_NAMES, decay_at, side_by_side
from jaxdark.semileptonic.bins import amplitude_at, check_bin, integrated_rates, join_panels, make_panels, rates
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.observables import INTEGRAL_MATRIX, binned_angular, binned_dBR, lepton_ratio

SM = load_inputs()
KST, K, KST_E, PHI = "B0->K*0mumu", "B+->K+mumu", "B0->K*0ee", "Bs->phimumu"
BINS = ((0.045, 1.1), (0.1, 0.98), (1.1, 6.0), (4.0, 6.0), (15.0, 19.0))
PARTS = ((1.1, 2.5), (2.5, 4.0), (4.0, 6.0))

compiled = jax.jit(integrated_rates)
decay_of = jax.jit(decay_at, static_argnums=1)
compiled_rates = jax.jit(rates, static_argnums=2)
compiled_amplitude = jax.jit(amplitude_at, static_argnums=2)


def one_structure(physics):
    """With contact terms and a resonance, if need be without couplings, so that all share compiled programs."""
    contact, resonant = physics.contact or Contact(), physics.resonance or Resonance(0.0, 0.0, 1.0, 1.0)
    contact = jax.tree.map(lambda value: np.asarray(value, complex), contact)
    return NewPhysics(contact, jax.tree.map(lambda value: np.asarray(value, float), resonant))


def rates_at(q2, process, physics):
    return np.asarray(compiled_rates(q2, one_structure(physics), CHANNELS[process], SM))


def amplitudes_at(q2, process, physics, sm=SM):
    return jax.tree.map(complex, compiled_amplitude(q2, one_structure(physics), CHANNELS[process], sm))


class Integrals:
    """Over bins of channels of one spin, none sharing panels with another, from one compiled program."""

    def __init__(self, *wanted, sm=SM):
        parts = [(make_panels([q2], CHANNELS[name], sm), CHANNELS[name]) for name, q2 in wanted]
        self.wanted, self.sm, self.panels = wanted, sm, join_panels([panels for panels, _ in parts])
        self.decay = side_by_side([decay_of(panels.nodes, channel, sm) for panels, channel in parts])

    def __call__(self, physics):
        integrals = compiled(floats(physics), self.decay, self.panels, self.sm)
        return dict(zip(self.wanted, np.asarray(integrals), strict=True))


def floats(physics):
    return jax.tree.map(np.asarray, physics)


@pytest.fixture(scope="module")
def vector():
    bins = dict.fromkeys((*BINS, *PARTS))
    others = ((KST_E, (1.1, 6.0)), (KST_E, (15.0, 17.0)), (PHI, (1.1, 6.0)), (PHI, (15.0, 19.0)))
    return Integrals(*((KST, q2) for q2 in bins), *others)


@pytest.fixture(scope="module")
def pseudoscalar():
    return Integrals(*((K, q2) for q2 in dict.fromkeys((*BINS, *PARTS))))


@pytest.fixture
def both(vector, pseudoscalar):
    """All integrals of both spins."""
    return lambda physics: vector(physics) | pseudoscalar(physics)


def rate(J):
    """dGamma of a row of integrals."""
    return J[0] if len(J) == 1 else INTEGRAL_MATRIX[0] @ J


def resonance(m_V, width, kappa9=0.3, kappa10=-0.1, bs_current="paper"):
    """width in units of m_V."""
    return NewPhysics(resonance=Resonance(kappa9, kappa10, m_V, width * m_V, bs_current))


def adaptive(process, q2, physics, marks=()):
    """Gauss-Kronrod on ever smaller intervals between marks."""
    lower, upper = CHANNELS[process].q2_range(SM)
    q2 = max(q2[0], lower), min(q2[1], upper)
    marks = [mark for mark in (0.05, 0.1, *marks) if q2[0] < mark < q2[1]]
    f = lambda s: rates_at(s, process, physics)  # noqa: E731
    return quad_vec(f, *q2, points=marks, epsrel=1e-13, epsabs=0.0, norm="max", limit=3000)[0]


def around_the_pole(physics):
    s0, g = physics.resonance.propagator.pole(0.0)
    return [float(s0 + k * g) for k in (-30, -3, 0, 3, 30)]


# m_V below, above, inside and on the edges of the bins; widths from narrow to broad.
RESONANCES = [
    *((0.8, 0.2), (0.7, 1e-3), (np.sqrt(1.1), 0.03), (1.5, 1e-4), (2.2, 0.3)),
    *((2.0, 1e-3), (4.1, 3e-3), (4.3, 0.1), (6.0, 0.3)),
]


@pytest.mark.parametrize(("m_V", "width"), RESONANCES, ids=lambda x: f"{x:.4g}")
def test_integrals_agree_with_adaptive_integration(m_V, width, both):
    """To 5e-12 of dGamma; at high q2 3e-9 as in Sec. 10.3, and 3e-8 where a bin runs into the end point's root."""
    physics = resonance(m_V, width)
    results, marks = both(physics), around_the_pole(physics)
    for process, q2 in [(name, q2) for name in (KST, K) for q2 in BINS] + [(PHI, (1.1, 6.0)), (PHI, (15.0, 19.0))]:
        expected = adaptive(process, q2, physics, marks)
        accuracy = (5e-12 if q2[1] < 9 else 3e-8 if process == PHI else 3e-9) * rate(expected)
        np.testing.assert_allclose(results[process, q2], expected, rtol=0, atol=accuracy, err_msg=f"{process} {q2}")


@pytest.mark.parametrize("s0", [2.5, 4.0, 3.0])
@pytest.mark.parametrize("width", [1e-8, 1e-3, 0.1])
def test_a_bin_is_the_sum_of_its_parts(s0, width, both):
    """Also with the peak on the edge between two of them."""
    results = both(resonance(np.sqrt(s0), width))
    for process in (KST, K):
        whole = results[process, (1.1, 6.0)]
        np.testing.assert_allclose(
            sum(results[process, q2] for q2 in PARTS), whole, rtol=0, atol=1e-10 * rate(whole), err_msg=process
        )


def test_overlapping_bins_share_panels_and_keep_their_integrals(pseudoscalar):
    bins = [(1.1, 6.0), *PARTS, (0.1, 0.98), (0.045, 1.1)]
    physics = floats(resonance(np.sqrt(2.5), 1e-3))
    panels = make_panels(bins, CHANNELS[K], SM)
    assert np.all(panels.upper[:-1] <= panels.lower[1:])
    together = compiled(physics, decay_of(panels.nodes, CHANNELS[K], SM), panels, SM)
    for q2, J in zip(bins, together, strict=True):
        np.testing.assert_allclose(J, pseudoscalar(physics)[K, q2], rtol=5e-12)


def test_how_many_panels_bins_take():
    """As few as the photon pole and the charm threshold allow, whatever the resonance."""
    few = {(1.1, 6.0): 1, (0.1, 0.98): 1, (0.045, 1.1): 2, (4.0, 6.0): 1, (15.0, 19.0): 1}
    for q2, most in few.items():
        panels = make_panels([q2], CHANNELS[KST], SM)
        assert len(panels.lower) <= most, q2
        assert (panels.lower[0], panels.upper[-1]) == q2


# ---- Bins of electrons, from the threshold up ----

E_CHANNELS = (KST_E, "Bs->phiee", "B+->K+ee", "B0->K0ee")


def in_log_q2(process, q2):
    """SciPy's adaptive quadrature of the rates in log q2, cut where they bend: by threshold, and at kinks."""
    lower, upper = CHANNELS[process].q2_range(SM)
    ends = max(q2[0], lower), min(q2[1], upper)
    marks = [lower * (1 + 10.0**k) for k in (-12, -9, -6, -4, -2, -1, 0)] + [
        0.03,
        8.9,
        *(upper - np.array([1e-6, 0.01])),
    ]
    f = lambda x: np.exp(x) * rates_at(np.exp(x), process, SM_ONLY)  # noqa: E731
    points = [np.log(mark) for mark in marks if ends[0] < mark < ends[1]]
    return quad_vec(f, *np.log(ends), points=points, epsrel=1e-11, epsabs=0.0, norm="max", limit=400)[0]


def random_bins(n, rng):
    """Below 9 GeV^2 and a few above 14; some begin at the threshold or end at the end point."""
    for i in range(n):
        process = E_CHANNELS[i % len(E_CHANNELS)]
        threshold, end = CHANNELS[process].q2_range(SM)
        if i % 5 == 4:
            yield process, (rng.uniform(14.0, 17.0), rng.choice([rng.uniform(17.0, end), end, 25.0]))
        else:
            lower = rng.choice([threshold, threshold + 10 ** rng.uniform(-9.0, 0.0)])
            yield process, (lower, lower + 10 ** rng.uniform(np.log10(lower), np.log10(9.0 - lower)))


@pytest.mark.parametrize("n", [pytest.param(8, id="few"), pytest.param(50, marks=pytest.mark.slow, id="fifty")])
def test_bins_of_electrons(n):
    """All twelve J_i, and dGamma of B -> K, to 1e-8 of each; what the photon pole at q2 = 0 does to the lowest bins."""
    wanted = dict.fromkeys(random_bins(n, np.random.default_rng(10)))
    for spin in (0, 1):
        results = Integrals(*(key for key in wanted if CHANNELS[key[0]].spin == spin))(SM_ONLY)
        for (process, q2), found in results.items():
            expected = in_log_q2(process, q2)
            # J_6c is 0, and others cross it: relative to each J_i or to a millionth of the rate.
            scale = np.maximum(np.abs(expected), 1e-6 * rate(expected))
            assert np.max(np.abs(found - expected) / scale) < 1e-8, (process, q2)


def test_lowest_bins_of_electrons_by_name():
    """What a user asks for, from the threshold: 13 % were missing."""
    assert binned_dBR(KST_E, (0.0, 1.0), SM_ONLY, SM) == near(4.707184617e-7, rel=1e-9)
    assert lepton_ratio("B0->K*0", (0.0, 1.1), SM_ONLY, SM) == near(0.2494396, rel=1e-6)
    assert binned_angular(KST_E, (4 * SM.m_e**2, 1.1), SM_ONLY, SM)["FL"] == near(0.08598808337, rel=1e-9)


# ---- A pole at an end of the spectrum ----


def graded(process, q2, physics):
    """Gauss-Legendre on panels that shrink towards the pole and both ends of the spectrum."""
    threshold, end = (float(s) for s in CHANNELS[process].q2_range(SM))
    s0, g = (float(x) for x in physics.resonance.propagator.pole(0.0))
    steps, widths = 10 ** np.arange(-14.0, 2.01, 0.5), g * 10 ** np.arange(-3.0, 13.0, 0.5)
    fine = g * 10 ** np.arange(-2.0, 3.0, 0.2)
    marks = [[s0], threshold + steps, end - steps, *(s0 + side * w for side in (1, -1) for w in (widths, fine))]
    edges = np.sort(np.clip(np.concatenate(marks), max(q2[0], threshold), min(q2[1], end)))
    x, w = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    return np.einsum("pk,pki->i", half * w, rates_at(edges[:-1, None] + half * (1 + x), process, physics))


@pytest.mark.parametrize("process", [KST, PHI, K])
def test_poles_at_the_ends_of_the_spectrum(process):
    """On both ends, and below and above them, to 1e-6; q2 itself has no more digits where Gamma is 1e-9 GeV."""
    bins = [(0.0, 1.1), (15.0, 25.0)]
    integrals = Integrals(*((process, q2) for q2 in bins))
    for q2, end in zip(bins, CHANNELS[process].q2_range(SM), strict=True):
        for shift in (0.0, 1e-9, -1e-9, 1e-6, -1e-6, 1e-3, -1e-3):
            for width in (1e-9, 1e-6, 1e-3, 1.0):
                m_V = np.sqrt(float(end)) * (1 + shift)
                physics = NewPhysics(resonance=Resonance(0.3, -0.1, m_V, width))
                expected = graded(process, q2, physics)
                error = np.abs(integrals(physics)[process, q2] - expected).max() / rate(expected)
                assert error < (1e-6 if width < 1e-8 else 1e-8), (q2, shift, width)


@pytest.mark.parametrize("process", [KST, K])
@pytest.mark.parametrize("end", [0, 1], ids=["threshold", "end point"])
def test_gradients_of_a_pole_at_the_ends_of_the_spectrum(process, end):
    """By m_V and by the width, against differences of the integrals by Gauss-Legendre."""
    q2 = [(0.0, 1.1), (15.0, 25.0)][end]
    channel = CHANNELS[process]
    panels = make_panels([q2], channel, SM)
    decay = decay_of(panels.nodes, channel, SM)

    def total(m_V, width):
        J = integrated_rates(NewPhysics(resonance=Resonance(0.3, -0.1, m_V, width)), decay, panels, SM)[0]
        return J[0] if channel.spin == 0 else INTEGRAL_MATRIX[0] @ J

    gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
    at = lambda m_V, width: rate(graded(process, q2, NewPhysics(resonance=Resonance(0.3, -0.1, m_V, width))))  # noqa: E731
    for shift in (0.0, 1e-3, -1e-3):
        m_V, width = np.sqrt(float(channel.q2_range(SM)[end])) * (1 + shift), 1e-4
        by_m_V, by_width = gradient(m_V, width)
        scale = at(m_V, width) / width
        for slope, step in ((by_m_V, np.array([1e-6, 0.0])), (by_width, np.array([0.0, 1e-6]))):
            up, down, far_up, far_down = (at(m_V + k * step[0], width + k * step[1]) for k in (1, -1, 2, -2))
            expected = (8 * (up - down) - (far_up - far_down)) / 12e-6
            assert abs(slope - expected) < 1e-6 * max(abs(expected), scale), (shift, step)


# ---- Limits ----


def test_without_couplings_it_is_the_standard_model(both):
    with_nothing, sm = both(resonance(2.0, 1e-3, 0.0, 0.0)), both(SM_ONLY)
    for key, J in sm.items():
        np.testing.assert_allclose(with_nothing[key], J, rtol=0, atol=1e-14 * rate(J), err_msg=key)


def test_small_couplings_act_linearly(both):
    sm, one, two = (both(resonance(2.0, 0.05, k * 1e-6, -k * 2e-6)) for k in (0, 1, 2))
    for key in sm:
        np.testing.assert_allclose(two[key] - sm[key], 2 * (one[key] - sm[key]), rtol=0, atol=1e-10 * rate(sm[key]))


def contact(**shifts):
    """Complex constant shifts."""
    return NewPhysics(contact=Contact(**{name: np.asarray(value, complex) for name, value in shifts.items()}))


@pytest.mark.parametrize("m_V", [1e3, 1e5])
def test_heavy_resonance_is_a_contact_term_growing_with_q2(m_V, both):
    """C_9 = -kappa9 q2/m_V^2 up to a relative q2/m_V^2, C_10 likewise."""
    C9, C10 = 0.3, -0.2
    results = both(resonance(m_V, 1e-9, -C9 * m_V**2, -C10 * m_V**2))
    for process, q2 in ((KST, (1.1, 6.0)), (K, (1.1, 6.0)), (KST, (15.0, 19.0))):
        expected = quad_vec(
            lambda s, name=process: rates_at(s, name, contact(C9=C9 * s, C10=C10 * s)), *q2, epsrel=1e-12, norm="max"
        )[0]
        accuracy = (4 * q2[1] / m_V**2 + 4e-9) * rate(expected)
        np.testing.assert_allclose(results[process, q2], expected, rtol=0, atol=accuracy)


def alone(process, s0, g):
    """N_2(s0): J_i at q2 = s0 of a resonance there, so strong that all else is 1e-9 of it, times g^2."""
    strong = NewPhysics(resonance=Resonance(3e8, -1e8, np.sqrt(s0), g / np.sqrt(s0)))
    return rates_at(s0, process, strong) * g**2 / 1e18


@pytest.mark.parametrize("s0", [3.3, 4.9])
def test_narrow_width_limit(s0, both):
    """pi N_2(s0)/g with corrections of order g."""
    whitened_residuals = []
    for width in (1e-6, 1e-7):
        results = both(resonance(np.sqrt(s0), width))
        for process in (KST, K):
            expected = np.pi / (width * s0) * alone(process, s0, width * s0)
            whitened_residuals.append((results[process, (1.1, 6.0)] - expected) / rate(expected))
            assert np.abs(whitened_residuals[-1]).max() < 300 * width
    np.testing.assert_allclose(
        [*map(rate, whitened_residuals[2:])], np.array([*map(rate, whitened_residuals[:2])]) / 10, rtol=2e-3
    )


@pytest.mark.parametrize("width", [1e-9, 1e-12, 1e-16, 1e-20, 1e-24])
def test_a_peak_holds_the_on_shell_decay_however_narrow(width, both):
    """pi N_2(s0)/g, which is Gamma(B -> K V) BR(V -> mu mu) where V decays to muons alone; value and gradient."""
    s0 = 4.84
    g = width * s0
    for process, found in both(resonance(np.sqrt(s0), width)).items():
        if process in ((KST, (4.0, 6.0)), (K, (4.0, 6.0))):
            expected = np.pi / g * alone(process[0], s0, 1e-6)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * rate(expected))


@pytest.mark.parametrize("m_V", [0.15, 0.2113, 2.2, 4.7, np.sqrt(1.1)])
def test_a_resonance_without_width_stays_finite(m_V):
    """Outside of the bin it is one of tiny width; inside it diverges, and the floor of the width keeps it finite."""
    panels = make_panels([(1.1, 6.0)], CHANNELS[K], SM)
    decay = decay_of(panels.nodes, CHANNELS[K], SM)

    def total(m_V, width):
        return integrated_rates(NewPhysics(resonance=Resonance(0.3, -0.1, m_V, width)), decay, panels, SM)[0, 0]

    (value, gradient), tiny = jax.value_and_grad(total, argnums=(0, 1))(m_V, 0.0), total(m_V, 1e-20)
    assert np.isfinite([value, *gradient]).all()
    if m_V**2 < 1.0 or m_V**2 > 6.0:
        assert value == near(float(tiny), rel=1e-12)
    else:
        assert value > 1e30 * tiny


@pytest.mark.parametrize("s0", BINS[2])
def test_half_of_a_narrow_peak_on_an_edge(s0, both):
    """Corrections of order g ln g."""
    g = 1e-8 * s0
    results = both(NewPhysics(resonance=Resonance(0.3, -0.1, np.sqrt(s0), g / np.sqrt(s0))))
    for process in (KST, K):
        expected = np.pi / (2 * g) * alone(process, s0, g)
        np.testing.assert_allclose(results[process, (1.1, 6.0)], expected, rtol=0, atol=3e-5 * rate(expected))


def test_massless_lepton_identities():
    """J_1s = 3 J_2s and J_1c = -J_2c for electrons, up to terms in m_e^2/q2."""
    for m_e, accuracy in ((None, 1e-6), (1e-8, 1e-13)):
        sm = SM if m_e is None else load_inputs({"m_e": m_e})
        for J in Integrals((KST_E, (1.1, 6.0)), (KST_E, (15.0, 17.0)), sm=sm)(SM_ONLY).values():
            J = dict(zip(J_NAMES, J, strict=True))
            assert J["1s"] == near(3 * J["2s"], rel=accuracy)
            assert J["1c"] == near(-J["2c"], rel=accuracy)
            assert J["6c"] == 0


def test_electrons_feel_no_new_physics(both):
    sm, new = both(SM_ONLY), both(resonance(2.0, 0.1))
    for q2 in ((1.1, 6.0), (15.0, 17.0)):
        np.testing.assert_allclose(new[KST_E, q2], sm[KST_E, q2], rtol=0, atol=1e-15 * rate(sm[KST_E, q2]))


# ---- The resonance at one q2 is a set of complex contact terms ----

LONGITUDINAL = {"paper": lambda s, s0: s / s0, "without_C_P": lambda s, s0: 0.0, "conserved": lambda s, s0: 1.0}


@pytest.mark.parametrize("bs_current", LONGITUDINAL)
@pytest.mark.parametrize("process", [KST, K])
def test_resonance_at_one_q2_equals_contact_terms(bs_current, process):
    """C_P and C_P' of Sec. 9.3 through the pseudoscalar amplitudes, whose quark masses differ between the channels."""
    physics = resonance(1.5, 0.05, bs_current=bs_current)
    s0, g = physics.resonance.propagator.pole(0.0)
    for s in (0.3, 2.25, 5.0, 17.0):
        propagator = 1 / (s - s0 + 1j * g)
        C10 = -0.1 * s * propagator
        C_P = -2 * SM.m_mu / s * LONGITUDINAL[bs_current](s, s0) * C10
        equal = contact(C9=0.3 * s * propagator, C10=C10, CP=C_P * SM.mb, CPp=-C_P * SM.ms)
        result, expected = rates_at(s, process, physics), rates_at(s, process, equal)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13 * rate(expected), err_msg=f"q2 = {s}")


def test_conserved_current_leaves_the_timelike_amplitude_alone():
    sm, resonant = (amplitudes_at(2.3, KST, p) for p in (SM_ONLY, resonance(1.5, 0.05, bs_current="conserved")))
    assert resonant.t == near(sm.t, rel=1e-14)
    assert abs(resonant.zero_L / sm.zero_L - 1) > 0.1


def test_pseudoscalar_coefficient_moves_the_timelike_amplitude_like_C10():
    """C_P - C_P' over 2 m_l (m_b + m_s)/q2, Sec. 5.1."""
    s, C_P = 3.0, 0.4 - 0.1j
    C10 = s / (2 * SM.m_mu * (SM.mb + SM.ms)) * C_P
    sm = amplitudes_at(s, KST, SM_ONLY).t
    by_C10 = amplitudes_at(s, KST, contact(C10=C10)).t
    assert abs(by_C10 / sm - 1) > 0.1
    assert amplitudes_at(s, KST, contact(CP=C_P)).t == near(by_C10, rel=1e-13)
    assert amplitudes_at(s, KST, contact(CPp=-C_P)).t == near(by_C10, rel=1e-13)


# ---- Hadronic nuisances, Sec. 2.4 and 5.3, as shifts of C_7 and C_9 ----


def with_hadronic(**shifts):
    parts = {name: np.asarray(values, complex) for name, values in shifts.items()}
    return eqx.tree_at(lambda sm: [getattr(sm.hadronic, name) for name in parts], SM, list(parts.values()))


def test_nuisances_of_a_pseudoscalar_are_shifts_of_C9():
    a, b, c = 0.1 - 0.2j, 0.03j, -0.2 + 0.1j
    sm = with_hadronic(K_low=[a, b], K_high=[c])
    for s, shift in ((3.0, a + 3 * b), (8.9, a + 8.9 * b), (14.1, c), (20.0, c)):
        result, expected = amplitudes_at(s, K, SM_ONLY, sm), amplitudes_at(s, K, contact(C9=shift))
        np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_nuisances_of_a_vector_at_high_q2_equal_to_each_other_are_a_shift_of_C9():
    c = 0.3 - 0.2j
    result = amplitudes_at(16.0, KST, SM_ONLY, with_hadronic(Kst_high=[c, c, c]))
    np.testing.assert_allclose(result, amplitudes_at(16.0, KST, contact(C9=c)), rtol=1e-13)


def test_nuisances_of_a_vector_at_low_q2_are_shifts_of_C7_by_helicity():
    """x_0 as C_7 in A_0; x_- and x_+ as C_7 and C_7' in the helicities they are named after."""
    s = 3.0
    sm_amplitude = amplitudes_at(s, KST, SM_ONLY)
    moved = lambda sm: jax.tree.map(operator.sub, amplitudes_at(s, KST, SM_ONLY, sm), sm_amplitude)  # noqa: E731
    C7 = moved(eqx.tree_at(lambda sm: sm.C7, SM, SM.C7 + 1.0))
    x = lambda a, b: (a + b * s / SM.m_B0**2) * SM.m_B0 / (2 * SM.mb)  # noqa: E731
    a, b = 0.2 - 0.1j, 0.5 + 0.4j
    zero, minus, plus = (moved(with_hadronic(Kst_low=np.roll([a, b, 0, 0, 0, 0], 2 * i))) for i in range(3))
    half = x(a, b) * (C7.perp_L - C7.par_L) / 2
    for side in ("L", "R"):
        perp, par, longitudinal = (f"{name}_{side}" for name in ("perp", "par", "zero"))
        assert getattr(zero, longitudinal) == near(x(a, b) * getattr(C7, longitudinal), rel=1e-11)
        assert (getattr(minus, perp), getattr(minus, par)) == near((half, -half), rel=1e-11)
        assert (getattr(plus, perp), getattr(plus, par)) == near((half, half), rel=1e-11)
        assert (getattr(zero, perp), getattr(minus, longitudinal), getattr(plus, longitudinal)) == (0, 0, 0)


# ---- What bins there are ----


def test_a_bin_is_clipped_to_the_kinematic_range():
    lower, upper = CHANNELS[KST].q2_range(SM)
    panels = make_panels([(0.01, 0.98), (17.0, 25.0)], CHANNELS[KST], SM)
    assert (panels.lower[0], panels.upper[-1]) == (lower, upper)
    assert panels.owner.sum(axis=0).tolist() == [1.0] * len(panels.lower)


@pytest.mark.parametrize(
    ("q2", "words"),
    [
        ((6.0, 1.1), r"lower < upper, got \[6, 1.1\] for B0->K\*0mumu"),
        ((2.0, 2.0), "lower < upper"),
        ((20.0, 25.0), r"\[20, 25\] GeV\^2 lies outside the range \[0.04465, 19.22\] of B0->K\*0mumu"),
        ((0.001, 0.04), "lies outside the range"),
        ((8.0, 9.1), r"\[8, 9.1\] GeV\^2 of B0->K\*0mumu touches the narrow charmonia .* below 9 or above 14"),
        ((13.0, 15.0), "narrow charmonia"),
        ((1.0, 19.0), "narrow charmonia"),
    ],
)
def test_impossible_bins_are_refused(q2, words):
    with pytest.raises(RequestError, match=words):
        check_bin(q2, CHANNELS[KST], SM)
    with pytest.raises(RequestError, match=words):
        make_panels([(1.1, 6.0), q2], CHANNELS[KST], SM)


@pytest.mark.parametrize("q2", [(6.0, 9.0), (14.0, 15.0), (0.001, 1.0), (15.0, 25.0)])
def test_bins_up_to_the_limits_are_accepted(q2):
    check_bin(q2, CHANNELS[KST], SM)
