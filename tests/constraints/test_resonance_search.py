"""Dimuon resonances in B -> K(*) V against adaptive quadrature of formulas written out here, and the tables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from printed import printed
from scipy.integrate import quad_vec

from jaxdark.constraints import resonance_search
from jaxdark.constraints.resonance_search import F1, br_bins, br_kst_v_mumu, k_search, kst_search, width_kst_v
from jaxdark.inputs import load_inputs, read_data

NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi")
SEARCHES = {"lhcb_kstar_mumu_2015": kst_search, "lhcb_k_mumu_2016": k_search}
VERDICTS = {entry.id: entry.verdict for entry in resonance_search.constraints()}
# Widths over masses between 1e-9 and 1; poles below, within and above the grids, and in their vetoes.
POINTS = np.array(
    [
        [0.214, 1e-3, -0.5, 1e-4, 0.1, 1e-3],
        [0.6, 1e-3, -0.5, 0.01, 0.1, 1e-3],
        [0.77, 0.05, 0.0, 0.8, 0.4, 1e-3],
        [1.2345, 0.1, -1.0, 0.1, -0.03, 0.2],
        [2.5013, 0.02, -0.4, 0.05, 1.0, 1e-3],
        [3.0, 0.2, -0.9, 4.0, -10.0, 1e-3],
        [4.3402, 0.01, -0.1, 0.01, 0.03, 2.5],
        [4.69, 0.02, -0.4, 0.3, -3.0, 1.0],
        [12.0, 0.2, -0.4, 3.0, -8.0, 1e-3],
    ]
)


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def point(values):
    return printed(**dict(zip(NAMES, values, strict=True)))


def z(q2, t_plus, t_0):
    return (np.sqrt(t_plus - q2) - np.sqrt(t_plus - t_0)) / (np.sqrt(t_plus - q2) + np.sqrt(t_plus - t_0))


def form_factors_kst(q2, ff):
    """V, A_1 and A_12 of arXiv:1503.05534, eq. (15)."""
    given, pole = dict(zip(ff.names, ff.coefficients, strict=True)), dict(ff.pole_masses)
    given["A12:a0"] = given["A0:a0"] * (ff.m_B**2 - ff.m_M**2) / (8 * ff.m_B * ff.m_M)
    t_plus, t_minus = (ff.m_B + ff.m_M) ** 2, (ff.m_B - ff.m_M) ** 2
    t_0 = t_plus - np.sqrt(t_plus * (t_plus - t_minus))
    dz = z(q2, t_plus, t_0) - z(0, t_plus, t_0)
    return [sum(given[f"{f}:a{k}"] * dz**k for k in range(3)) / (1 - q2 / pole[f] ** 2) for f in ("V", "A1", "A12")]


def f_plus(q2, ff):
    """f_+ of B -> K, arXiv:1509.06235, with its condition at threshold."""
    b = [dict(zip(ff.names, ff.coefficients, strict=True))[f"f+:b{n}"] for n in range(3)]
    x = z(q2, (ff.m_B + ff.m_M) ** 2, (ff.m_B + ff.m_M) * (ff.m_B**0.5 - ff.m_M**0.5) ** 2)
    series = sum(b[n] * (x**n - (-1) ** (n - 3) * n / 3 * x**3) for n in range(3))
    return series / (1 - q2 / dict(ff.pole_masses)["f+"] ** 2)


def momentum(s, m_B, m):
    """Of the V in the rest frame of the B."""
    return np.sqrt(np.maximum((m_B**2 - (m + np.sqrt(s)) ** 2) * (m_B**2 - (m - np.sqrt(s)) ** 2), 0)) / (2 * m_B)


def coupling(r, m_chi):
    """g_tilde of Eq. (11) at m_Phi = 1 TeV."""
    x = m_chi**2 / 1e6
    return r * (3 * (x - 1) - (x + 2) * np.log(x)) / (6 * (x - 1) ** 2) / (32e6 * np.pi**2)


def width_kst(s, g_tilde, sm):
    """Eq. (23): the three helicity amplitudes one by one."""
    V, A1, A12 = form_factors_kst(s, sm.B_to_Kst)
    m_B, m, p = sm.m_B0, sm.m_Kst0, momentum(s, sm.m_B0, sm.m_Kst0)
    g = g_tilde * s
    H_0 = 4 * g * m_B * m * A12 / np.sqrt(s)
    H_plus, H_minus = (g / 2 * ((m_B + m) * A1 - sign * 2 * m_B * p / (m_B + m) * V) for sign in (1, -1))
    return p / (8 * np.pi * m_B**2) * (H_0**2 + H_plus**2 + H_minus**2)


def width_k(s, g_tilde, sm):
    """Eq. (21); lambda(1, x, y)^(1/2) is 2 |p|/M_B."""
    p = momentum(s, sm.m_Bp, sm.m_Kp)
    return f_plus(s, sm.B_to_K) ** 2 * g_tilde**2 * s * sm.m_Bp**3 * (2 * p / sm.m_Bp) ** 3 / (64 * np.pi)


WIDTHS = {"lhcb_kstar_mumu_2015": (width_kst, "tau_B0"), "lhcb_k_mumu_2016": (width_k, "tau_Bp")}


def width_pair(s, m, g_V, g_A):
    """One channel of Eq. (9)."""
    beta = np.sqrt(np.maximum(1 - 4 * m**2 / s, 0))
    return np.sqrt(s) / (12 * np.pi) * beta * ((1 + 2 * m**2 / s) * g_V**2 + beta**2 * g_A**2)


def width_of_V(values, sm):
    m_V, g_V, r_AV, g_D, _, m_chi = values
    return width_pair(m_V**2, m_chi, g_D, 0) + width_pair(m_V**2, sm.m_mu, g_V, g_V * r_AV)


@functools.cache
def table(name):
    """Edges of the bins in GeV, lifetimes in ps, limits with infinity where there is none."""
    data = read_data("limits/resonance.yaml")[name]
    limits = np.array([[np.inf if limit is None else limit for limit in row] for row in data["limit"]])
    if "mass_GeV" in data:
        edges = np.array([0.2115 + 0.005 * i for i in range(limits.shape[1] + 1)])
        return edges, np.array(data["lifetime_ps"]), limits
    return np.array(data["mass_edges_MeV"]) / 1000, np.ravel(data["lifetime_bins_ps"]), np.repeat(limits, 2, axis=0)


def expected_bins(name, values, sm):
    """Branching ratio in every bin by adaptive quadrature; s = m_V^2 + m_V Gamma sinh(t) spreads the line out."""
    edges, _, _ = table(name)
    width, tau = WIDTHS[name]
    m_V, g_V, r_AV, _, r, m_chi = values
    pole, gamma = m_V**2, m_V * width_of_V(values, sm)
    t = np.arcsinh((edges**2 - pole) / gamma)
    start, step = t[:-1], np.diff(t)

    def integrand(u):
        t = start + step * u
        s = np.clip(pole + gamma * np.sinh(t), edges[:-1] ** 2, edges[1:] ** 2)
        rate = np.sqrt(s) / np.pi * width_pair(s, sm.m_mu, g_V, g_V * r_AV) * width(s, coupling(r, m_chi), sm)
        return getattr(sm, tau) * rate * step / (gamma * np.cosh(t))

    return quad_vec(integrand, 0, 1, epsrel=1e-9, norm="max", limit=500)[0]


@pytest.fixture(scope="module")
def functions(sm):
    """Bins, value, limit and ratio of each search at all points of the shape of POINTS, compiled once."""

    def at(name):
        def both(values):
            model = point(values)
            return br_bins(model, sm, SEARCHES[name]()), jnp.stack(VERDICTS[name](model, sm))

        return jax.jit(jax.vmap(both))

    return {name: at(name) for name in SEARCHES}


@pytest.fixture(scope="module")
def verdict_at(functions):
    """Value, limit and ratio of one search at up to as many points as POINTS has."""

    def verdict(name, points):
        points = np.atleast_2d(points)
        filled = np.concatenate([points, POINTS[len(points) :]])
        return np.array(functions[name](filled)[1])[: len(points)]

    return verdict


@pytest.mark.parametrize("name", SEARCHES)
def test_every_bin(functions, sm, name):
    bins = np.array(functions[name](POINTS)[0])
    for values, found in zip(POINTS, bins, strict=True):
        expected = expected_bins(name, values, sm)
        np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-4, err_msg=str(values))
        # The muon threshold lies 0.2 MeV below the first bin of one search: its root is no polynomial.
        assert found[0] == near(expected[0], rel=1e-2)
        assert found.sum() == near(expected.sum(), rel=1e-4 if values[0] > 0.217 else 2e-3)


@pytest.mark.parametrize("name", SEARCHES)
def test_strongest_bin(functions, sm, name):
    """No V of these is long-lived: the first row of the table is the limit in all bins."""
    verdicts = np.array(functions[name](POINTS)[1])
    _, _, limits = table(name)
    for values, found in list(zip(POINTS, verdicts, strict=True))[1:]:
        assert sm.hbar / width_of_V(values, sm) < 1e-13
        expected = expected_bins(name, values, sm)
        i = np.argmax(expected / limits[0])
        np.testing.assert_allclose(found, [expected[i], limits[0, i], expected[i] / limits[0, i]], rtol=2e-5)


def narrow(m_V, lifetime, sm, r=0.1):
    """A point that decays into muons alone after a lifetime in ps."""
    g_mu_V = np.sqrt(sm.hbar * 1e12 / lifetime / width_pair(m_V**2, sm.m_mu, 1.0, 0.5))
    return np.array([m_V, g_mu_V, -0.5, 0.0, r, 10.0])


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("lifetime", [1e-4, 30.0])
def test_narrow_limit(verdict_at, sm, name, lifetime):
    """Gamma(B -> K(*) V) BR(V -> mu mu) tau_B, in the bin that holds m_V."""
    width, tau = WIDTHS[name]
    masses = [0.3, 0.6013, 1.4999, 2.2, 3.3, 4.05, 4.3]
    edges, _, limits = table(name)
    verdicts = verdict_at(name, [narrow(m, lifetime, sm) for m in masses])
    for m, found in zip(masses, verdicts, strict=True):
        assert found[0] == near(getattr(sm, tau) * width(m**2, coupling(0.1, 10.0), sm), rel=2e-5)
        if lifetime < 0.1:
            assert found[1] == near(limits[0, np.searchsorted(edges, m) - 1], rel=1e-14)
        assert found[2] == near(found[0] / found[1], rel=1e-12)


def test_narrow_branching_ratio(verdict_at, sm):
    """The bare prediction is that of the bin, with another channel open too."""
    values = np.array([2.2, 3e-6, -0.3, 5e-6, 0.5, 0.4])
    partial = width_pair(2.2**2, sm.m_mu, 3e-6, 0.9e-6) / width_of_V(values, sm)
    br = float(br_kst_v_mumu(point(values), sm))
    assert br == near(sm.tau_B0 * width_kst(2.2**2, coupling(0.5, 0.4), sm) * partial, rel=1e-10)
    assert verdict_at("lhcb_kstar_mumu_2015", values)[0, 0] == near(br, rel=2e-5)
    assert VERDICTS["BR_B0_Kst0_V_mumu"](point(values), sm).value == br


@pytest.mark.parametrize("name", SEARCHES)
def test_lifetime(verdict_at, sm, name):
    """Straight lines between the logarithms of limit and lifetime; the shortest lifetime stands for prompt decay."""
    edges, lifetimes, limits = table(name)
    m = 2.2
    column = limits[:, np.searchsorted(edges, m) - 1]
    asked = np.array([1e-3, 0.09, 0.11, 0.4, 1.2, 9.0, 37.0, *lifetimes[-2:]])
    expected = np.exp(np.interp(np.log(asked), np.log(lifetimes), np.log(column)))
    assert len(set(expected)) > 5
    found = verdict_at(name, [narrow(m, lifetime, sm) for lifetime in asked])
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-9)


def test_beyond_the_longest_lifetime(verdict_at, sm):
    """The search with K* says how its limit goes on, the one with K does not."""
    edges, lifetimes, limits = table("lhcb_kstar_mumu_2015")
    asked = np.array([915.0, 5e3, 1e7])
    last = limits[-1, np.searchsorted(edges, 2.2) - 1]
    expected = last * (1 - np.exp(-1000 / lifetimes[-1])) / -np.expm1(-1000 / asked)
    points = [narrow(2.2, lifetime, sm) for lifetime in asked]
    np.testing.assert_allclose(verdict_at("lhcb_kstar_mumu_2015", points)[:, 1], expected, rtol=1e-9)
    inside, outside = verdict_at("lhcb_k_mumu_2016", [narrow(2.2, lifetime, sm) for lifetime in (1258.9, 1259.1)])
    assert inside[2] > 1
    assert outside[2] < 1e-8


def test_vetoes(verdict_at, sm):
    """At the phi no limit for a lifetime below 1 ps, at the J/psi none at all: only the far tail of V is left there."""
    points = [narrow(1.02, 0.05, sm), narrow(1.02, 0.9, sm), narrow(1.02, 1.001, sm), narrow(3.1, 5.0, sm)]
    for name in SEARCHES:
        limited = verdict_at(name, points)[:, 2] > 1
        np.testing.assert_array_equal(limited, [False, False, True, False])


def test_no_limit_outside_the_mass_range(verdict_at, sm):
    points = [narrow(4.36, 0.01, sm), narrow(4.75, 0.01, sm), narrow(4.36, 5.0, sm), narrow(9.0, 0.01, sm)]
    found = verdict_at("lhcb_kstar_mumu_2015", points)
    assert (found[:, 2] < 1e-6).all()
    assert verdict_at("lhcb_k_mumu_2016", points)[1, 2] < 1e-6


def test_width_into_kst(sm):
    s = np.array([1e-6, 0.3, 4.0, 9.0, 16.0, 19.2])
    for values in POINTS[:2]:
        found = jax.vmap(lambda s, model=point(values): width_kst_v(s, model, sm))(s)
        np.testing.assert_allclose(found, width_kst(s, coupling(*values[4:]), sm), rtol=1e-11)
    edge = (sm.m_B0 - sm.m_Kst0) ** 2
    assert width_kst_v(edge, point(POINTS[0]), sm) == width_kst_v(30.0, point(POINTS[0]), sm) == 0


def test_printed_limit_of_F1(sm):
    """0.1 sqrt(x) (y + 1.2 x) of the print is six times too small at y = 0; with 1.2 sqrt(x) it holds to 5 %."""
    x, A12 = (sm.m_Kst0 / sm.m_B0) ** 2, form_factors_kst(0.0, sm.B_to_Kst)[2]
    assert F1(1e-9, sm) == near(64 * x**2 * (1 - x) * A12**2, rel=1e-6)
    assert F1(1e-9, sm) == near(3.59e-3, rel=2e-3)
    for y in (1e-9, 0.02, 0.05, 0.1):
        exact = float(F1(y * sm.m_B0**2, sm))
        assert 0.1 * x**0.5 * (y + 1.2 * x**0.5) == near(exact, rel=0.05)
        assert 0.1 * x**0.5 * (y + 1.2 * x) < 0.5 * exact


def test_F1_defines_the_width(sm):
    """Eq. (23) as printed."""
    x, y, values = (sm.m_Kst0 / sm.m_B0) ** 2, 6.0 / sm.m_B0**2, POINTS[2]
    root = np.sqrt(1 + x**2 + y**2 - 2 * (x + y + x * y))
    g2 = coupling(*values[4:]) ** 2
    printed = g2 * 6.0 * sm.m_B0**5 / (64 * np.pi * sm.m_Kst0**2 * (1 - x)) * root * F1(6.0, sm)
    assert width_kst_v(6.0, point(values), sm) == near(float(printed), rel=1e-12)


@pytest.fixture(scope="module")
def number(sm):
    """The sum of what the three constraints say, of order one for each, and its gradient, at the shape of POINTS."""

    def at(values):
        br, *ratios = (verdict(point(values), sm) for verdict in reversed(VERDICTS.values()))
        return 1e8 * br.value + sum(found.ratio for found in ratios)

    return jax.jit(jax.vmap(jax.value_and_grad(at)))


def test_gradients_are_those_of_finite_differences(number):
    value, gradient = (np.array(found) for found in number(POINTS))
    for i in range(len(NAMES)):
        step = np.zeros_like(POINTS)
        # Well within the width of a line where an edge of a bin cuts through it.
        step[:, i] = (1e-7 if i == 0 else 1e-6) * POINTS[:, i]
        difference = np.array(number(POINTS + step)[0] - number(POINTS - step)[0]) / 2
        error = np.abs(gradient[:, i] * step[:, i] - difference)
        assert (error <= 1e-4 * np.abs(difference) + 1e-12 * value).all(), NAMES[i]


def test_nothing_is_ever_undefined(number, sm):
    rng = np.random.default_rng(5)
    n, threshold = 440, float(sm.m_B0 - sm.m_Kst0)
    random = np.stack(
        [
            10 ** rng.uniform(-5, 4, n),
            10 ** rng.uniform(-9, -0.7, n),
            rng.uniform(-1, 0, n),
            rng.uniform(0, 4, n) * rng.choice([0, 1e-6, 1], n),
            rng.choice([-1, 1], n) * 10 ** rng.uniform(-1.5, 1, n),
            10 ** rng.uniform(-5, 3, n),
        ],
        axis=1,
    )
    random[::2, 0] = rng.uniform(0.2, 6, n // 2)
    special = [
        [2.0, 0.0, 0.0, 0.0, 0.0, 1e-3],
        [2.0, 0.0, 0.0, 0.0, 1.0, 1e-3],
        [2.0, 0.1, -1.0, 1.0, 1.0, 1.0],
        [2 * float(sm.m_mu), 0.1, -1.0, 0.0, 1.0, 1.0],
        [threshold, 0.1, -1.0, 0.0, 1.0, 1.0],
        [threshold, 0.1, -1.0, 1.0, 1.0, 1e-3],
        [float(sm.m_Bp - sm.m_Kp), 0.1, -1.0, 1.0, 1.0, 1e-3],
        [0.2115, 1e-9, 0.0, 0.0, 1.0, 1.0],
        [2.5015, 1e-30, 0.0, 0.0, 1.0, 1.0],
        [0.15, 0.1, -1.0, 0.0, 1.0, 1.0],
    ]
    points = np.concatenate([random, special]).reshape(-1, *POINTS.shape)
    assert points.size == 450 * len(NAMES)
    for batch in points:
        values, gradients = number(batch)
        assert np.isfinite(values).all() and np.isfinite(gradients).all()
    np.testing.assert_array_equal(number(np.array(special[:1] * len(POINTS)))[0], 0.0)


def test_bins_that_take_the_expansion(functions):
    """Of any pole, the bins nearer than twelve half widths are among the thirteen around it."""
    for search in (kst_search(), k_search()):
        lower, upper = search.centre - search.half, search.centre + search.half
        distance = np.maximum(lower[None, :] - search.centre[:, None], search.centre[:, None] - upper[None, :])
        near = distance / search.half[:, None] < 12
        i, j = np.nonzero(near)
        assert np.abs(i - j).max() <= 6


def test_tables():
    """Sizes, and the vetoes that arXiv:1508.04094 names, as found in its grid."""
    edges, lifetimes, limits = table("lhcb_kstar_mumu_2015")
    assert limits.shape == (5, 827)
    assert edges[-1] == near(4.3465)
    assert limits[np.isfinite(limits)].max() < 1e-5
    masses = 1000 * (edges[:-1] + edges[1:]) / 2
    for row, windows in enumerate(
        [[(742, 822), (1000, 1040), (2913, 3211), (3609, 3875)], [(2913, 3211), (3609, 3875)]]
    ):
        vetoed = np.any([(masses > low) & (masses < high) for low, high in windows], axis=0)
        np.testing.assert_array_equal(np.isinf(limits[row]), vetoed)
    edges, lifetimes, limits = table("lhcb_k_mumu_2016")
    assert (limits.shape, lifetimes.size) == ((10, 1283), 10)
    assert (edges[0], edges[-1]) == (0.25, 4.7)
    assert np.isfinite(limits[0]).sum() == 1283 - 265


def test_names():
    assert list(VERDICTS) == ["lhcb_kstar_mumu_2015", "lhcb_k_mumu_2016", "BR_B0_Kst0_V_mumu"]
    assert [entry.cl for entry in resonance_search.constraints()] == [0.95, 0.95, None]


@pytest.mark.parametrize("name", SEARCHES)
def test_strongest_bin_away_from_the_pole(sm, name):
    """The maximum of integers finds what an argmax over all bins finds, up to ties."""
    search = SEARCHES[name]()

    @jax.jit
    @jax.vmap
    def found(values):
        line, moments = resonance_search._line(point(values), sm), resonance_search._moments(point(values), sm, search)
        ratios = resonance_search._away(line, moments, search) * search.strength[0]
        return ratios[resonance_search._strongest_away(line, moments, search)], ratios.max()

    rng, n = np.random.default_rng(8), 300
    random = [rng.uniform(0.2, 15, n), 10 ** rng.uniform(-9, -0.7, n), rng.uniform(-1, 0, n), rng.uniform(0, 4, n)]
    points = np.column_stack([*random, 10 ** rng.uniform(-1.5, 1, n), np.full(n, 1e-3)])
    points[:20, 2] = 0.0
    strongest, expected = found(points)
    assert (expected > 0).all()
    np.testing.assert_allclose(strongest, expected, rtol=1e-12)


def test_strongest_bin_away_from_the_pole_is_that_of_the_integrals():
    """Numerators that fall or rise by their own size within a bin, which no width does, against quadrature."""
    random, n, pole, gamma, axial = np.random.default_rng(2), 30, 5.0, 0.7, 0.6
    x, w = np.polynomial.legendre.leggauss(20)
    half, centre = np.ones(n), 18 + 2.0 * np.arange(n)
    line = resonance_search._Line(pole, gamma, 1.0, axial)
    for _ in range(50):
        numerators = 1 + random.uniform(-1, 1, (2, n)) * x[:, None, None]
        moments = np.einsum("x,xm,xcb->mcb", w, x[:, None] ** np.arange(3), numerators)
        s = centre + x[:, None]
        rates = w @ ((numerators[:, 0] + axial * numerators[:, 1]) / ((s - pole) ** 2 + gamma**2))
        strength = random.uniform(0.98, 1.02, n) * ((centre - pole) ** 2 + gamma**2)
        search = resonance_search.Search(None, None, "", centre, half, np.ones(1), strength[None], None)
        ratios = rates * strength
        assert ratios[int(resonance_search._strongest_away(line, moments, search))] > (1 - 3e-3) * ratios.max()


def test_index_of_the_largest_of_many_numbers():
    values = 10 ** np.random.default_rng(2).uniform(-300, 300, (50, 1283))
    found = jax.jit(jax.vmap(resonance_search._argmax))(values)
    np.testing.assert_array_equal(found, values.argmax(axis=1))
    assert resonance_search._argmax(jnp.array([0.0, 2.0, 2.0, 1.0])) == 2
