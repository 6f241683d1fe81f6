"""B_s mixing against mpmath, the shared checkpoints and the numbers of the papers."""

from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import yaml
from complete_points import checkpoint_inputs, checkpoints
from near import near
from printed import printed

from jaxdark.constraints import mixing
from jaxdark.constraints.mixing import C1, C1_SM, C1_V, R_BB, C1_box, delta_m_s_ratio, measured_ratio, residual
from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector

CHECKPOINTS = yaml.safe_load((Path(__file__).parents[1] / "checkpoints" / "dark_sector.yaml").read_text("utf-8"))
CONSTRAINTS = mixing.constraints()
NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi")
POINTS = np.array(
    [
        [2.5, 0.05, -0.4, 1.0, 0.3, 1e-3],
        [5.3, 0.1, -0.9, 0.2, -0.1, 1e-3],
        [5.36, 0.01, 0.0, 0.05, 0.01, 4.0],
        [0.9, 0.02, -0.5, 3.0, 8.0, 0.2],
        [12.0, 0.2, -1.0, 4.0, -9.0, 0.05],
        [60.0, 0.2, -0.3, 2.0, 2.0, 700.0],
    ]
)


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def point(values, names=NAMES):
    return printed(**dict(zip(names, values, strict=True)))


def box(yy, m_chi, m_Phi, g_D=1.7, Q_Phi=0.5):
    """C_1 of the boxes in TeV^-2, from products of Yukawa couplings."""
    r = np.array(yy) * g_D * Q_Phi
    model = printed(m_V=5.0, g_mu_V=0.1, r_AV=0.0, g_D=g_D, Q_Phi=Q_Phi, r=r, m_chi=m_chi, m_Phi=m_Phi)
    return 1e6 * float(C1_box(model))


def box_precise(yy, m_chi, m_Phi):
    """Eq. (17) with (18) as printed, 120 digits; equal arguments are moved 1e-40 apart."""
    with mpmath.workdps(120):
        x = [(mpmath.mpf(m) / mpmath.mpf(m_Phi)) ** 2 for m in m_chi]

        def F(x, y):
            y = y * (1 + mpmath.mpf(10) ** -40)
            term = x**2 * mpmath.log(x) / ((1 - x) ** 2 * (x - y)) + y**2 * mpmath.log(y) / ((1 - y) ** 2 * (y - x))
            return 1 / ((1 - x) * (1 - y)) + term

        total = sum(mpmath.mpf(a) * mpmath.mpf(b) * F(u, v) for a, u in zip(yy, x) for b, v in zip(yy, x))  # noqa: B905
        return float(10**6 * total / (128 * mpmath.pi**2 * mpmath.mpf(m_Phi) ** 2))


def V_exchange(values, sm):
    """C_1 of V by Eq. (9), (10) and the formula of the s channel in Python's complex numbers."""
    m_V, g_V, r_AV, g_D, r, m_chi = values
    width = 0.0
    for m, g2_V, g2_A in ((m_chi, g_D**2, 0.0), (sm.m_mu, g_V**2, (g_V * r_AV) ** 2)):
        beta2 = max(1 - 4 * m**2 / m_V**2, 0.0)
        width += m_V / (12 * np.pi) * beta2**0.5 * ((1 + 2 * m**2 / m_V**2) * g2_V + beta2 * g2_A)
    x = m_chi**2 / 1e6
    loop = (3 * (x - 1) - (x + 2) * np.log(x)) / (6 * (x - 1) ** 2)
    coupling = r * loop / (32 * np.pi**2 * 1e6) * sm.m_Bs**2
    return -(coupling**2) / (2 * (sm.m_Bs**2 - m_V**2 + 1j * m_V * width))


def with_C1(value, sm):
    """A point whose C_1 is the given real number in GeV^-2: of V alone, with chi too heavy for it to decay.

    V heavier than the B_s makes C_1 > 0, a lighter one C_1 < 0; a large dark charge makes the boxes vanish.
    """
    m_V = 150.0 if value > 0 else 1e-2
    r = float(np.sqrt(abs(value / V_exchange([m_V, 0.0, 0.0, 0.0, 1.0, 100.0], sm))))
    return printed(m_V=m_V, g_mu_V=0.0, r_AV=0.0, g_D=1e5, Q_Phi=1e5, r=r, m_chi=100.0)


def test_checkpoints_of_the_coefficient():
    rows = CHECKPOINTS["mixing_C1_TeV^-2"]
    assert len(rows) == 3
    for row in rows:
        assert box(row["yy"], row["m_chi"], row["m_Phi"]) == near(row["C1"], rel=1e-8)


def test_checkpoints_of_the_loop_function():
    """F(x, y) is half of what two fermions have beyond each alone."""
    for row in CHECKPOINTS["loop_mixing"]:
        masses = (1000 * row["x"] ** 0.5, 1000 * row["y"] ** 0.5)
        both, first, second = (box(yy, masses, 1000.0) for yy in ((1, 1), (1, 0), (0, 1)))
        assert (both - first - second) / 2 * 128 * np.pi**2 == near(row["F"], rel=1e-8)


@pytest.mark.parametrize("delta", [0.0, 1e-12, -1e-7, 1e-4, 0.05])
@pytest.mark.parametrize("m_chi", [(1e-3, 10.0), (1e-3, 2e-3), (0.5, 300.0), (1e-5, 1e-3)])
def test_cancellation_between_two_fermions(delta, m_chi):
    """To 1e-6 of what is left, though the terms of the sum are up to 1e13 times larger; g_D = 1 keeps delta exact."""
    yy = (0.3, -0.3 + delta)
    assert box(yy, m_chi, 1000.0, g_D=1.0, Q_Phi=1.0) == near(box_precise(yy, m_chi, 1000.0), rel=1e-6)


@pytest.mark.parametrize("m_chi", [(1e-3,), (1e-3, 10.0, 200.0), (900.0, 1000.1, 1500.0), (3.0, 3.0)])
def test_any_number_of_fermions(m_chi):
    yy = (0.4, -0.7, 0.2)[: len(m_chi)]
    assert box(yy, m_chi, 1000.0) == near(box_precise(yy, m_chi, 1000.0), rel=1e-9)


def test_bound_on_the_yukawa_couplings(sm):
    """Sec. 2.1: |Y_b Y_s| < 0.09 at 1 TeV, which is 6.4e-6 TeV^-2, 7 % above the upper end of the interval."""
    assert box([0.09], (1e-3,), 1000.0) == near(6.4e-6, abs=5e-8)
    verdict = CONSTRAINTS[0].verdict(point([1e4, 0.0, 0.0, 1.0, 0.09, 1e-3]), sm)
    assert verdict.value / verdict.limit == near(6.41 / 6.0, rel=1e-3)


@pytest.mark.parametrize("end", [-2.1e-5, 6.0e-6])
def test_ends_of_the_interval_of_R_BB(sm, end):
    """Those of C_1 in TeV^-2, whatever C_1 of the Standard Model is."""
    assert CONSTRAINTS[0].verdict(with_C1(end / 1e6, sm), sm).ratio == near(1, rel=1e-9)
    other = load_inputs({"lambda_t": -0.0405})
    assert CONSTRAINTS[0].verdict(with_C1(end / 1e6, other), other).ratio == near(1, rel=1e-9)


def test_standard_model_coefficient(sm):
    assert 1e6 * C1_SM(load_inputs({"lambda_t": -0.0411, "GF": 1.1664e-5})) == near(8.7e-5, abs=5e-7)
    assert measured_ratio(2017) == near((0.887, 0.055, 0.055), abs=6e-4)
    assert measured_ratio(2019) == near((0.965, 0.063, 0.037), abs=6e-4)


@pytest.mark.parametrize("values", POINTS)
def test_V_exchange(sm, values):
    assert complex(C1_V(point(values), sm)) == near(V_exchange(values, sm), rel=1e-11)


def test_heavy_limit_of_V_exchange(sm):
    """Eq. (13): the bound of 6e-6 TeV^-2 is |g_tilde| < 1.2e-7 m_V/GeV^3, against the printed 7e-8.

    V hardly decays: its width would add Gamma_V/m_V, 2.7e-4 for a muon coupling of 0.1.
    """
    m_V = 2000.0
    model = point([m_V, 1e-4, 0.0, 1e-3, 1.0, 1e-3])
    coupling = float(mixing.g_Vbs(sm.m_Bs**2, model))
    assert complex(C1_V(model, sm)) == near(coupling**2 / (2 * m_V**2), rel=2e-5)
    bound = coupling / sm.m_Bs**2 / m_V * np.sqrt(6e-12 / abs(complex(C1_V(model, sm))))
    assert bound == near(1.2e-7, abs=5e-9)


@pytest.mark.parametrize("values", POINTS)
def test_R_BB_and_ratio_of_a_complex_coefficient(sm, values):
    total = box_precise([values[4] / values[3]], [values[5]], 1000.0) / 1e6 + V_exchange(values, sm)
    in_SM = sm.GF**2 * 80.4**2 / (4 * np.pi**2) * sm.lambda_t**2 * 2.31
    assert complex(C1(point(values), sm)) == near(total, rel=1e-9)
    assert R_BB(point(values), sm) == near(abs(1 + total / in_SM) - 1, rel=1e-8, abs=1e-14)
    C_bs = total * np.sqrt(2) / (4 * sm.GF * sm.lambda_t**2)
    assert delta_m_s_ratio(point(values), sm) == near(abs(1 + C_bs / 1.3397e-3), rel=1e-9)


def test_interval_of_2017_excludes_the_standard_model(sm):
    """R in [-0.22, -0.003] at two sigma."""
    no_effect = point([5.0, 0.1, 0.0, 1.0, 0.0, 1e-3])
    verdict = mixing.bs_mixing_dMs(no_effect, sm, 2017)
    assert verdict.value == 1
    assert (verdict.limit - 1, verdict.ratio > 1) == (near(-0.003, abs=2e-3), True)
    measured = measured_ratio(2017)
    assert measured.value - 2 * measured.down - 1 == near(-0.22, abs=5e-3)
    assert mixing.bs_mixing_dMs(no_effect, sm, 2019).ratio < 1


@pytest.mark.parametrize("year", [2017, 2019])
@pytest.mark.parametrize("pull", [-2.0, -0.5, 0.0, 1.0, 2.0])
def test_likelihood_and_interval(sm, year, pull):
    """At a pull from the measured ratio the logarithm is -pull^2/2; the ends of the interval are at two."""
    value, up, down = measured_ratio(year)
    ratio = value + pull * (up if pull > 0 else down)
    model = with_C1((ratio - 1) * 1.3397e-3 * 4 * sm.GF / np.sqrt(2) * sm.lambda_t**2, sm)
    assert residual(model, sm, year) ** 2 == near(pull**2, rel=1e-8, abs=1e-15)
    assert (mixing.bs_mixing_dMs(model, sm, year).ratio == near(1, rel=1e-8)) == (abs(pull) == 2)


@pytest.fixture(scope="module")
def numbers(sm):
    """What each constraint says, a likelihood, and their derivatives, at as many points as POINTS has."""

    def at(values):
        R, C, *ratios = (entry.verdict(point(values), sm) for entry in CONSTRAINTS)
        likelihood = -(residual(point(values), sm, 2019) ** 2) / 2
        return jnp.stack([R.ratio, R.value, C.value, likelihood, *(found.ratio for found in ratios)])

    return jax.jit(jax.vmap(lambda values: (at(values), jax.jacrev(at)(values))))


def test_gradients_are_those_of_finite_differences(numbers):
    value, gradient = (np.array(found) for found in numbers(POINTS))
    for i in range(len(NAMES)):
        step = np.zeros_like(POINTS)
        step[:, i] = 1e-6 * POINTS[:, i]
        difference = np.array(numbers(POINTS + step)[0] - numbers(POINTS - step)[0]) / 2
        error = np.abs(gradient[:, :, i] * step[:, i, None] - difference)
        # C_1 in TeV^-2 is rounded like itself, all others like the ratios to 1 that they are made of.
        rounded = np.maximum(np.abs(value), np.where(np.arange(value.shape[1]) == 2, 0.0, 1.0))
        assert (error < 1e-5 * np.abs(difference) + 4e-15 * rounded).all(), NAMES[i]


def test_nothing_is_ever_undefined(sm, numbers):
    rng = np.random.default_rng(3)
    n = 400
    random = np.stack(
        [
            10 ** rng.uniform(-5, 4, n),
            10 ** rng.uniform(-3, -0.7, n),
            rng.uniform(-1, 0, n),
            rng.uniform(0, 4, n),
            rng.choice([-1, 1], n) * 10 ** rng.uniform(-1.5, 1, n),
            10 ** rng.uniform(-5, 3, n),
        ],
        axis=1,
    )
    special = [
        [5.0, 0.1, 0.0, 0.0, 1.0, 1e-3],
        [5.0, 0.1, 0.0, 0.0, 0.0, 1e-3],
        [5.0, 0.0, 0.0, 1.0, 0.0, 1e-3],
        [5.0, 0.1, 0.0, 1e-200, 1.0, 1e-3],
        [float(sm.m_Bs), 0.0, 0.0, 0.0, 0.1, 1e-3],
        [float(sm.m_Bs), 0.1, -1.0, 1.0, 0.1, 1e-3],
        [2 * float(sm.m_mu), 0.1, -1.0, 1.0, 0.1, float(sm.m_mu)],
        [5.0, 0.1, 0.0, 1.0, 1.0, 1000.0],
    ]
    points = np.concatenate([random, special])
    found = [numbers(batch) for batch in points.reshape(-1, *POINTS.shape)]
    values, gradients = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
    # Without a dark charge the couplings that r asks for are infinite: excluded by any bound.
    assert (values[n, [0, 1, 4, 5]] > 1e20).all()


def test_coefficient_in_TeV(sm):
    """The magnitude, with the sign of the real part: below the B_s mass the exchange of V wins."""
    shown = CONSTRAINTS[1].verdict(point(POINTS[1]), sm)
    expected = complex(C1(point(POINTS[1]), sm))
    assert expected.imag != 0
    assert shown.value == near(1e6 * np.sign(expected.real) * abs(expected), rel=1e-12)
    assert CONSTRAINTS[1].verdict(with_C1(-3e-6, sm), sm).value == near(-3.0, rel=1e-9)
    assert (shown.limit, shown.ratio) == (np.inf, 0)


def test_names():
    ids = ["bs_mixing_R_BB", "C1_TeV-2", "bs_mixing_dMs_2017", "bs_mixing_dMs_2019"]
    assert [entry.id for entry in CONSTRAINTS] == ids
    assert [entry.applied for entry in CONSTRAINTS] == [True, True, False, False]
    assert [entry.quality for entry in CONSTRAINTS] == ["unverified", "published", "published", "published"]
    assert all(entry.models is SplitDarkSector for entry in CONSTRAINTS)


# The complete leading order ------------------------------------------------------------------------------------------


def complete(values, **switches):
    return SplitDarkSector(**dict(zip(NAMES, values, strict=True)), physics="complete", **switches)


def test_share_of_a_conserved_vertex():
    """0.40 for the masses of the shared checkpoints; without a strange quark 3/8 is left, whatever m_b is."""
    assert mixing.transverse_share(checkpoint_inputs()) == near(0.40, abs=5e-3)
    assert mixing.transverse_share(load_inputs({"mb": 4.18, "ms": 0.095})) == near(1 - 0.625 * (4.18 / 4.275) ** 2)
    strange = {name: load_inputs({"mb": mb, "ms": 0.038}) for name, mb in (("light", 8.0), ("heavy", 2.1))}
    shares = [float(mixing.transverse_share(inputs)) for inputs in strange.values()]
    assert 3 / 8 < shares[0] < shares[1] < 0.4


def test_transverse_exchange_alone_of_the_switches(sm):
    """The switch by itself multiplies what is printed."""
    for values in POINTS:
        changed = complex(C1_V(printed(**dict(zip(NAMES, values, strict=True)), mixing_transverse=True), sm))
        assert changed / complex(C1_V(point(values), sm)) == near(float(mixing.transverse_share(sm)) + 0j, rel=1e-14)


@pytest.mark.parametrize("width", ["constant", "running", "dispersive"])
def test_exchange_with_the_vertex_of_the_checkpoints(width):
    """g_tilde(M_Bs^2) of 30 digits, and a propagator written out: m_chi = 2.5, m_V = 9 GeV."""
    sm = checkpoint_inputs()
    row = next(row for row in checkpoints()["g_tilde_GeV^-2"] if row["m_chi"] == [2.5])
    s, m2, g_D, g_V, r_AV = row["q2"], 9.0**2, 1.3, 0.05, -0.4
    assert s == near(sm.m_Bs**2, rel=1e-9)

    def absorptive(s):
        return sum(
            np.sqrt(1 - 4 * m**2 / s) * ((s + 2 * m**2) * V + (s - 4 * m**2) * A) / (12 * np.pi)
            for m, V, A in ((2.5, g_D**2, 0.0), (sm.m_mu, g_V**2, (r_AV * g_V) ** 2))
        )

    inverse = s - m2 + 1j * absorptive(m2 if width == "constant" else s)
    if width == "dispersive":
        with mpmath.workdps(30):

            def real_K(s):
                return mpmath.quad(
                    lambda z: z * (1 - z) * mpmath.log(abs(1 - z * (1 - z) * s / mpmath.mpf(6.25))),
                    [0, *sorted((1 - sign * mpmath.sqrt(1 - 25 / s)) / 2 for sign in (1, -1)), 1],
                )

            inverse -= g_D**2 / (2 * np.pi**2) * s * float(real_K(s) - real_K(m2))
    expected = -((complex(*row["g_tilde"]) * s) ** 2) / (2 * inverse) * (1 - 0.625 * (4.18 / 4.275) ** 2)
    found = complex(C1_V(complete([9.0, g_V, r_AV, g_D, 1.0, 2.5], width=width), sm))
    assert found == near(expected, rel=1e-8)


def test_absorptive_part_leaves_delta_m_alone(sm):
    """A V on the B_s mass, whose exchange is all absorptive but for the phase of the vertex."""
    model = complete([float(sm.m_Bs), 0.02, 0.0, 4.0, -10.0, 4.0])
    shift = complex(C1(model, sm) / C1_SM(sm))
    assert mixing.mass_difference(1e-3 + 2j, model) == near(1.001, rel=1e-15)
    assert mixing.mass_difference(-3 + 2j, model) == 2
    assert R_BB(model, sm) == near(abs(1 + shift.real) - 1, rel=1e-12)
    assert mixing.mass_difference(3 + 4j, point(POINTS[0])) == near(abs(4 + 4j), rel=1e-15)


def test_gradients_of_the_complete_coefficient(sm):
    """Of C_1 of the boxes and V together, by central differences of fourth order."""

    def parts(values):
        z = 1e6 * C1(complete(values), sm)
        return jnp.stack([z.real, z.imag])

    for at in (np.array([2.5, 0.05, -0.4, 1.0, 0.3, 0.4]), np.array([6.0, 0.1, -0.9, 0.7, -2.0, 1.3])):
        jacobian = np.asarray(jax.jacfwd(parts)(at))
        for k, step in enumerate(np.diag(1e-3 * np.abs(at))):
            a, b, c, d = (np.asarray(parts(at + n * step)) for n in (-2, -1, 1, 2))
            slope = (a - 8 * b + 8 * c - d) / (12 * step[k])
            assert np.abs(jacobian[:, k] - slope).max() < 1e-7 * np.abs(parts(at)).max() / abs(at[k]), NAMES[k]
