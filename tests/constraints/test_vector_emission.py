"""B -> K(*) V with the complete vertex: the shared checkpoints, amplitudes written again, and LHCb's bins of any V."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from complete_points import checkpoint_inputs, checkpoints, model_of
from near import near
from scipy.integrate import quad_vec

from jaxdark.constraints import resonance_search
from jaxdark.constraints.resonance_search import br_bins, k_search, kst_search, strongest_bin, width_kst_v
from jaxdark.constraints.vector_emission import (
    emission_k,
    emission_kst,
    width_k_v_complete,
    width_kst_v_complete,
)
from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector, br_mumu, width_total
from jaxdark.models.widths import width_fermions
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors

SEARCHES = {"kst": kst_search, "k": k_search}
NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi")


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def point(values, **switches):
    return SplitDarkSector(**dict(zip(NAMES, values, strict=True)), **({"physics": "complete"} | switches))


# On shell -----------------------------------------------------------------------------------------------------------

ON_SHELL = [row for row in checkpoints()["points"] if "BR_Kp_V_onshell" in row]


@pytest.mark.parametrize("row", ON_SHELL, ids=lambda row: f"{row['m_V']:.3g}")
def test_checkpoints_on_shell(row):
    """The z of B -> K has the masses of B+ and K+ there."""
    sm, model = checkpoint_inputs(), model_of(row)
    sm = dataclasses.replace(sm, B_to_K=dataclasses.replace(sm.B_to_K, m_B=float(sm.m_Bp), m_M=float(sm.m_Kp)))
    s = model.m_V**2
    assert sm.tau_Bp * width_k_v_complete(s, model, sm) == near(row["BR_Kp_V_onshell"], rel=1e-9)
    assert sm.tau_B0 * width_kst_v_complete(s, model, sm) == near(row["BR_Kst0_V_onshell"], rel=1e-9)
    narrow = resonance_search.br_kst_v_mumu(model, sm) / br_mumu(model, sm)
    assert narrow == near(row["BR_Kst0_V_onshell"], rel=1e-9)


def test_dipole_of_a_light_V():
    """BR(B -> K* V) = 7.4e-6 r^2 at 5 MeV and m_chi = 2.5 GeV, all of it the dipole's; without it ~ m_V^2."""
    sm = checkpoint_inputs()

    def br(m_V, **switches):
        model = point([m_V, 1e-4, 0.0, 1.0, 1.0, 2.5], **switches)
        return float(sm.tau_B0 * width_kst_v_complete(m_V**2, model, sm))

    assert br(5e-3, eta7=0.53) == near(7.4e-6, rel=1e-2)
    assert br(5e-3, eta7=0.53) == near(br(5e-4, eta7=0.53), rel=1e-3)
    assert br(5e-3, dipole=False) == near(100 * br(5e-4, dipole=False), rel=1e-3) != near(0.0, abs=1e-10)


def test_parts_are_those_of_the_helicity_amplitudes(sm):
    """Section 3 of the complete physics with C = g s and W7 = d m_b s, amplitude by amplitude."""
    g, d = 0.7 - 1.9j, 0.4
    for s in (0.02, 3.0, 11.0, 18.9):
        m_B, m, ff = sm.m_B0, sm.m_Kst0, vector_form_factors(s, sm.B_to_Kst)
        lam = m_B**4 + m**4 + s**2 - 2 * (m_B**2 * m**2 + (m_B**2 + m**2) * s)
        C, W7 = g * s, d * sm.mb * s
        perp = np.sqrt(lam) * (C * ff.V / (m_B + m) + W7 * ff.T1 / s)
        par = (m_B**2 - m**2) * (C * ff.A1 / (m_B - m) + W7 * ff.T2 / s)
        H_0 = 4 * m_B * m / np.sqrt(s) * (C * ff.A12 + W7 * ff.T23 / (2 * (m_B + m)))
        total = abs((par - perp) / 2) ** 2 + abs((par + perp) / 2) ** 2 + abs(H_0) ** 2
        expected = np.sqrt(lam) / (2 * m_B) / (8 * np.pi * m_B**2) * total
        assert emission_kst(s, sm).width(np.complex128(g), d) == near(float(expected), rel=1e-12)
        m_B, m, ff = sm.m_Bp, sm.m_Kp, pseudoscalar_form_factors(s, sm.B_to_K)
        lam = m_B**4 + m**4 + s**2 - 2 * (m_B**2 * m**2 + (m_B**2 + m**2) * s)
        amplitude = abs(g * ff.plus + d * sm.mb * ff.tensor / (m_B + m))
        expected = lam**1.5 * s / (64 * np.pi * m_B**3) * amplitude**2
        assert emission_k(s, sm).width(np.complex128(g), d) == near(float(expected), rel=1e-12)


def test_closed_decays(sm):
    for emission, edge in ((emission_k, sm.m_Bp - sm.m_Kp), (emission_kst, sm.m_B0 - sm.m_Kst0)):
        assert max(emission(edge**2, sm)) == max(emission(30.0, sm)) == 0
        assert np.isfinite(jax.grad(lambda s, of=emission: of(s, sm).dipole)(30.0))


# In the bins of LHCb ------------------------------------------------------------------------------------------------

# Narrow and broad; poles within and above the grids; below and above 2 m_chi, with a threshold inside the grid or none.
POINTS = np.array(
    [
        [0.6, 1e-3, -0.5, 0.02, 0.1, 1e-3],
        [2.1, 0.002, 0.0, 3.2, 0.11, 0.01],
        [2.909, 0.00285, -0.127, 0.3, -0.01, 0.4],
        [2.2, 1e-3, -0.3, 1.5, 0.5, 1.3],
        [5.5, 0.08, -0.447, 3.0, -0.15, 1e-3],
    ]
)


def edges_of(search):
    return np.append(search.centre - search.half, search.centre[-1] + search.half[-1])


def expected_bins(name, model, sm):
    """|P|^2 of the model and widths at every s by adaptive quadrature; s = m_V^2 + m_V Gamma sinh(t) spreads it out."""
    search, P = SEARCHES[name](), model.propagator(sm)
    tau, width = {"kst": (sm.tau_B0, width_kst_v_complete), "k": (sm.tau_Bp, width_k_v_complete)}[name]
    edges, m2, g_V = edges_of(search), float(model.m_V) ** 2, model.g_mu_V
    gamma = float(model.m_V * width_total(model, sm))
    t = np.arcsinh((edges - m2) / gamma)

    @jax.jit
    def rate(s):
        mumu = width_fermions(s, sm.m_mu, g_V, model.r_AV * g_V)
        return tau * s**0.5 / np.pi * mumu * width(s, model, sm) * abs(P(s)) ** 2

    def integrand(u):
        at = t[:-1] + np.diff(t) * u
        s = np.clip(m2 + gamma * np.sinh(at), edges[:-1], edges[1:])
        return np.asarray(rate(s)) * np.diff(t) * gamma * np.cosh(at)

    return quad_vec(integrand, 0, 1, epsrel=1e-6, norm="max", limit=500)[0]


@pytest.fixture(scope="module")
def line(sm):
    """Bins, the strongest of them and the rate of a narrow V at as many points as POINTS has, compiled once."""

    @functools.cache
    def program(width, name):
        search = SEARCHES[name]()
        tau, of = {"kst": (sm.tau_B0, width_kst_v_complete), "k": (sm.tau_Bp, width_k_v_complete)}[name]

        def at(values):
            model = point(values, width=width)
            narrow = tau * of(model.m_V**2, model, sm) * br_mumu(model, sm)
            return br_bins(model, sm, search), strongest_bin(model, sm, search), narrow

        return jax.jit(jax.vmap(at))

    return program


@pytest.mark.parametrize(("width", "name"), [("constant", "kst"), ("running", "kst"), ("dispersive", "k")])
def test_every_bin(sm, line, width, name):
    search = SEARCHES[name]()
    bins, (value, limit, ratio), _ = line(width, name)(POINTS)
    edges, strength = edges_of(search), search.strength[0]
    for k, values in enumerate(POINTS):
        expected = expected_bins(name, point(values, width=width), sm)
        away = np.abs(edges[1:] - 4 * values[5] ** 2) > 0.2 if values[5] > 0.1 else np.full(len(expected), True)
        away[0] = False  # the threshold of the muons
        np.testing.assert_allclose(bins[k][away], expected[away], rtol=1.5e-3, err_msg=str(values))
        np.testing.assert_allclose(bins[k][1:], expected[1:], rtol=3e-2, err_msg=str(values))
        strongest = np.argmax(expected * strength)
        assert (value[k], limit[k]) == near((expected[strongest], 1 / strength[strongest]), rel=2e-3)
        assert ratio[k] == near(float(value[k] / limit[k]), rel=1e-12)


@pytest.mark.parametrize(("width", "name"), [("constant", "kst"), ("running", "kst"), ("dispersive", "k")])
def test_a_narrow_V_is_in_its_bin(line, width, name):
    """tau_B Gamma(B -> K(*) V) BR(V -> mu mu), as well with a chi just above half its mass."""
    points = np.array([[2.2, 1e-5, -0.3, 1e-4, 0.5, m_chi] for m_chi in (0.3, 5.0, 1.11, 0.7, 1.3)])
    _, found, expected = line(width, name)(points)
    np.testing.assert_allclose(found.value, expected, rtol=2e-5)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_printed_line_is_a_case_of_the_complete_one(sm, name, monkeypatch):
    """Both ways of computing it, for the switches of the paper."""
    search = SEARCHES[name]()

    def bins():
        return jax.jit(jax.vmap(lambda values: br_bins(point(values, physics="paper"), sm, search)))(POINTS)

    printed = bins()
    monkeypatch.setattr(resonance_search, "_is_printed", lambda model: False)
    found = bins()
    assert not np.array_equal(found, printed)  # it was the other way
    np.testing.assert_allclose(found, printed, rtol=1e-9)


def test_narrow_rate_of_the_paper(sm):
    model = point(POINTS[0], physics="paper")
    expected = sm.tau_B0 * width_kst_v(0.36, model, sm) * br_mumu(model, sm)
    assert resonance_search.br_kst_v_mumu(model, sm) == near(float(expected), rel=1e-14)


@pytest.fixture(scope="module")
def ratio_and_slope(sm):
    """Of the rate of a narrow V and its strongest bin with K*, at 42 points at a time."""

    def ratio(values):
        model = point(values)
        return 1e6 * resonance_search.br_kst_v_mumu(model, sm) + strongest_bin(model, sm, kst_search()).ratio

    return jax.jit(jax.vmap(jax.value_and_grad(ratio)))


def test_gradients_are_those_of_finite_differences(ratio_and_slope):
    at = POINTS[[1, 2, 3]]
    steps = np.where(np.arange(6) == 0, 2e-7, 1e-6) * at
    moved = np.concatenate([at[:, None] + sign * steps[..., None] * np.eye(6) for sign in (1, -1)]).reshape(-1, 6)
    value, gradient = ratio_and_slope(np.concatenate([at, moved, at]))
    up, down = np.asarray(value[3:39]).reshape(2, 3, 6)
    error = np.abs(np.asarray(gradient[:3]) * steps - (up - down) / 2)
    assert (error <= 1e-4 * np.abs(up - down) + 1e-11 * np.asarray(value[:3])[:, None]).all()


def test_nothing_is_ever_undefined(sm, ratio_and_slope):
    rng, n = np.random.default_rng(5), 120
    random = np.stack(
        [
            10 ** rng.uniform(-5, 4, n),
            10 ** rng.uniform(-9, -0.7, n),
            rng.uniform(-1, 0, n),
            rng.uniform(0, 4, n) * rng.choice([0, 1e-6, 1], n),
            rng.choice([-1, 1], n) * 10 ** rng.uniform(-1.5, 1, n),
            10 ** rng.uniform(-5, 3, n) * rng.choice([0, 1], n, p=[0.1, 0.9]),
        ],
        axis=1,
    )
    random[::2, 0] = rng.uniform(0.2, 6, n // 2)
    special = [
        [2.0, 0.0, 0.0, 0.0, 0.0, 1e-3],
        [2.0, 0.1, -1.0, 1.0, 1.0, 1.0],
        [2 * float(sm.m_mu), 0.1, -1.0, 0.0, 1.0, 1.0],
        [float(sm.m_Bp - sm.m_Kp), 0.1, -1.0, 1.0, 1.0, 0.0],
        [2.5015, 1e-30, 0.0, 0.0, 1.0, 1.0],
        [0.15, 0.1, -1.0, 0.0, 1.0, 0.0],
    ]

    def by_k(values):
        return strongest_bin(point(values, width="dispersive"), sm, k_search()).ratio

    for program in (ratio_and_slope, jax.jit(jax.vmap(jax.value_and_grad(by_k)))):
        for batch in np.concatenate([random, special]).reshape(3, 42, 6):
            values, gradients = program(batch)
            assert np.isfinite(values).all() and np.isfinite(gradients).all()
