"""Eq. (26), Belle II, BaBar and Eq. (30) against numbers of the paper, of the searches, and formulas written again."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from printed import printed

from jaxdark.constraints.colliders import (
    babar_4mu,
    belle2_invisible,
    br_mumu_L_mu_L_tau,
    constraints,
    drell_yan,
    drell_yan_limit,
    muon_coupling,
    top_charm_mumu,
)
from jaxdark.inputs import load_inputs
from jaxdark.models.split import DarkSector

M_MU, M_TAU = 0.1056583755, 1.77686


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def point(m_V, g_mu_V=0.02, r_AV=-0.4, g_D=1.0, r=-2.0, m_chi=1e-3):
    return printed(m_V=m_V, g_mu_V=g_mu_V, r_AV=r_AV, g_D=g_D, r=r, m_chi=(m_chi,))


def batch(rows, function):
    """A function of a model on rows of (m_V, g_mu_V, r_AV, g_D, r, m_chi), compiled once."""
    return jax.jit(jax.vmap(lambda row: function(point(*row))))(np.asarray(rows, dtype=float))


def vector_width(m_V, m):
    """Of a unit vector coupling, in units of m_V/(12 pi)."""
    return (1 + 2 * m**2 / m_V**2) * math.sqrt(1 - 4 * m**2 / m_V**2) if m_V > 2 * m else 0.0


def br_mumu(m_V, g_V, r_AV, g_D, m_chi):
    beta = math.sqrt(1 - 4 * M_MU**2 / m_V**2)
    mumu = g_V**2 * (vector_width(m_V, M_MU) + r_AV**2 * beta**3)
    return mumu / (mumu + g_D**2 * vector_width(m_V, m_chi))


def test_drell_yan_of_the_paper(sm):
    """Eq. (26), printed for 1 to 5 GeV: 0.056 (1 + 0.13 m_V)."""
    assert [float(drell_yan_limit(m)) for m in (1.0, 3.0, 5.0)] == near([0.06328, 0.07784, 0.0924], rel=1e-12)
    assert all(math.isinf(drell_yan_limit(m)) for m in (1e-5, 0.999, 5.001, 15.0, 1e4))
    verdict = drell_yan(point(2.0, g_mu_V=0.06, r_AV=-4 / 3), sm)
    assert tuple(map(float, verdict)) == near((0.1, 0.07056, 0.1 / 0.07056), rel=1e-12)


def test_muon_coupling():
    for g_V, g_A in ((0.1, 0.0), (0.03, -0.04), (-0.2, 0.1)):
        assert muon_coupling(point(3.0, g_mu_V=g_V, r_AV=g_A / g_V)) == near(math.hypot(g_V, g_A), rel=1e-14)


# Mass and limit on g' as published, arXiv:1912.11276.
BELLE2 = [(0.002, 0.051), (1.157, 0.051), (2.567, 0.115), (3.212, 0.18), (4.901, 0.494), (5.905, 0.96)]


def test_belle2(sm):
    """Without muonic decays the limit is the published one; between two points it is their power law."""
    m_V = [m for m, _ in BELLE2] + [math.sqrt(2.567 * 2.81)]
    expected = [limit for _, limit in BELLE2] + [math.sqrt(0.115 * 0.129)]
    verdict = batch([[m, 1e-6, -0.5, 1.0, -1.0, 1e-4] for m in m_V], lambda model: belle2_invisible(model, sm))
    # A share of 1e-8 goes to electrons through kinetic mixing.
    assert verdict.limit == near(np.array(expected), rel=1e-8)
    assert verdict.ratio == near(1e-6 * math.sqrt(1.25) / np.array(expected), rel=1e-8)


def test_belle2_with_muonic_decays(sm):
    """The limit grows like 1/sqrt(BR) and is gone without invisible decays."""
    rows = [
        [2.567, 0.2, -0.4, 0.1, -1.0, 0.001],
        [2.567, 0.2, -0.4, 0.1, -1.0, 1.0],
        [2.567, 0.2, -0.4, 4.0, -1.0, 2.0],
    ]
    limits = batch(rows, lambda model: belle2_invisible(model, sm).limit)
    expected = [0.115 / math.sqrt(1 - br_mumu(m, g, r_AV, g_D, chi)) for m, g, r_AV, g_D, _, chi in rows[:2]]
    assert limits[:2] == near(np.array(expected), rel=1e-6)
    assert math.isinf(limits[2])


# Mass and median limit on g' in its interval, arXiv:1606.03501.
BABAR = [(0.215, 0.001173), (0.225, 0.0008389), (0.8, 0.001817), (0.85, 0.001581), (0.9, 0.001813), (7.5, 0.08004)]


def test_babar_for_muons_alone(sm):
    """A V that decays to muons alone is seen more often than that of L_mu - L_tau."""
    verdict = batch([[m, 1.0, -0.3, 1.0, -1.0, 50.0] for m, _ in BABAR], lambda model: babar_4mu(model, sm))
    for i, (m, limit) in enumerate(BABAR):
        mu, tau = vector_width(m, M_MU), vector_width(m, M_TAU)
        assert verdict.limit[i] == near(limit * math.sqrt(mu / (mu + tau + 1)), rel=1e-6)


def test_babar_with_invisible_decays(sm):
    rows = [[m, 0.1, -0.3, 0.5, -1.0, 1e-3] for m, _ in BABAR]
    found = batch(rows, lambda model: (babar_4mu(model, sm).limit, br_mumu_L_mu_L_tau(model.m_V, sm)))
    for i, (m, limit) in enumerate(BABAR):
        share = br_mumu(m, 0.1, -0.3, 0.5, 1e-3)
        assert found[0][i] == near(limit * math.sqrt(float(found[1][i]) / share), rel=1e-6)


def test_br_of_L_mu_L_tau(sm):
    """Nothing below 2 M_mu, half above with the neutrinos, a third with the taus."""
    found = [float(br_mumu_L_mu_L_tau(m, sm)) for m in (0.2, 3.0, 1e4)]
    assert found == near([0.0, 1 / 2, 1 / 3], rel=1e-4)
    mu, tau = vector_width(5.0, M_MU), vector_width(5.0, M_TAU)
    assert br_mumu_L_mu_L_tau(5.0, sm) == near(mu / (mu + tau + 1), rel=1e-12)


def test_top(sm):
    """Eq. (30) with the paper's g_tilde = 2.76e-8 r GeV^-2: never near in its prior."""
    verdict = top_charm_mumu(point(8.0, g_mu_V=0.2, r=-10.0), sm)
    assert verdict.value == near(-2.76e-8 * 10 * 0.2, rel=2e-3)
    assert (float(verdict.limit), float(verdict.ratio)) == near((1e-6, 0.0552), rel=2e-3)
    assert math.isinf(top_charm_mumu(point(100.0), sm).limit)


def test_top_with_the_exact_vertex(sm):
    """|g_tilde(m_V^2)| of the shared checkpoints: r = 1, m_chi = 1 MeV, q2 = 3.5 GeV^2; real below 2 m_chi."""
    values = {"g_mu_V": -0.2, "r_AV": 0.0, "g_D": 1.0}
    model = DarkSector(m_V=math.sqrt(3.5), m_chi=1e-3, r=1.0, physics="complete", **values)
    size = abs(2.686998944179963e-08 + 6.6314559621590576e-09j)
    assert top_charm_mumu(model, sm).value == near(-0.2 * size, rel=1e-12)
    assert top_charm_mumu(model, sm).ratio == near(0.2 * size / 1e-6, rel=1e-12)
    negative = DarkSector(m_V=math.sqrt(3.5), m_chi=2.0, r=-1.0, physics="complete", **values)
    assert top_charm_mumu(negative, sm).value == near(-0.2 * abs(complex(negative.vertex(3.5))), rel=1e-12)


def test_no_limit_outside_the_searches(sm):
    names = {"belle2_invisible_2019": (1e-3, 6.0, 1e3), "babar_4mu_2016": (0.1, 0.2136, 7.7, 1e3)}
    entries = {entry.id: entry for entry in constraints()}
    for name, masses in names.items():
        verdict = batch([[m, 0.1, 0.0, 1.0, 1.0, 1e-4] for m in masses], lambda m, n=name: entries[n].verdict(m, sm))
        assert np.all(np.isinf(verdict.limit)) and np.all(verdict.ratio == 0)


# Rows away from edges of the tables, for differences.
SMOOTH = [[2.7, 0.02, -0.4, 1.3, -2.0, 1e-3], [4.0, 0.1, -0.8, 0.4, 1.0, 1.0], [1.4, 0.01, -0.2, 0.02, 1.0, 0.6]]
SPECIAL = [2 * M_MU, 2 * M_TAU, 0.2137, 1e-5, 1e4, 1.0, 5.0, 5.974, 17.3, 0.002]
CORNERS = [(m, *couplings, 1e-3) for m in SPECIAL for couplings in ((0, 0, 0, 0), (0.1, -1, 4, 9), (0, 0, 1, 1))]


def test_gradients_and_finite_everywhere(sm):
    """Central differences at smooth points; finite at random points, thresholds, edges and without couplings."""

    def mixture(row):
        """With weights, as one gradient then holds all."""
        ratios = jnp.stack([entry.verdict(point(*row), sm).ratio for entry in constraints()])
        return jnp.arange(1.0, 5.0) @ ratios, ratios

    rng = np.random.default_rng(7)
    low, high = np.array([[-5, -3, -1, 0, -9, -4], [4, -0.7, 0, 4, 9, 1]])
    random = rng.uniform(low, high, (400, 6))
    random[:, [0, 1, 5]] = 10 ** random[:, [0, 1, 5]]
    steps = (1e-6 * np.abs(SMOOTH) + 1e-9)[..., None] * np.eye(6)
    moved = np.array(SMOOTH)[:, None] + np.stack([steps, -steps])
    rows = np.concatenate([SMOOTH, moved.reshape(-1, 6), CORNERS, random])
    (values, ratios), gradient = jax.jit(jax.vmap(jax.value_and_grad(mixture, has_aux=True)))(rows)
    assert np.all(np.isfinite(ratios)) and np.all(np.isfinite(gradient)) and np.all(ratios >= 0)
    up, down = np.array(values)[3:39].reshape(2, 3, 6)
    assert gradient[:3] == near((up - down) / (2 * steps.max(axis=-1)), rel=1e-5, abs=1e-7)
    assert np.all(np.max(ratios[:3], axis=0) > 0)


def test_entries():
    entries = {entry.id: entry for entry in constraints()}
    assert list(entries) == ["drell_yan", "belle2_invisible_2019", "babar_4mu_2016", "top_charm_mumu"]
    assert [entry.quality for entry in entries.values()] == ["published", "digitised", "digitised", "proxy"]
    assert [entry.cl for entry in entries.values()] == [0.9545, 0.9, 0.9, None]
    assert entries["top_charm_mumu"].unit == "GeV^-2"
