"""Eq. (28), (29), the decays of V and the limits of dark-photon searches, against a loop over the tables."""

import math
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from near import near
from printed import printed

from jaxdark.constraints.kinetic_mixing import (
    constraints,
    decays,
    displaced_verdict,
    epsilon,
    epsilon_exact,
    invisible_verdict,
    mass_curves,
    prompt_verdict,
)
from jaxdark.inputs import load_inputs, read_data
from jaxdark.models.split import DarkSector

E0 = math.sqrt(4 * math.pi / 137.035999084)
M_MU, M_E = 0.1056583755, 0.00051099895


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


@pytest.fixture(scope="module")
def tables():
    return yaml.safe_load((resources.files("jaxdark") / "data/limits/dark_photon.yaml").read_text(encoding="utf-8"))


def point(m_V, g_mu_V=1e-3, r_AV=0.0, g_D=1.0, r=1.0, m_chi=1e-3, Q_Phi=1.0):
    return printed(m_V=m_V, g_mu_V=g_mu_V, r_AV=r_AV, g_D=g_D, r=r, m_chi=(m_chi,), Q_Phi=Q_Phi)


def batch(rows, function):
    """A function of a model on rows of (m_V, g_mu_V, r_AV, g_D, r, m_chi), compiled once."""
    return jax.jit(jax.vmap(lambda row: function(point(*row))))(np.asarray(rows))


def random_rows(n, seed):
    """Half of them with dark fermions too heavy for V."""
    rng = np.random.default_rng(seed)
    m_V, g = 10 ** rng.uniform(-3.3, 2.2, n), 10 ** rng.uniform(-3, -0.7, n)
    m_chi = np.where(np.arange(n) % 2, m_V * rng.uniform(0.51, 2, n), 10 ** rng.uniform(-4, 0, n))
    return np.stack([m_V, g, rng.uniform(-1, 0, n), rng.uniform(0.1, 4, n), rng.uniform(-9, 9, n), m_chi], axis=1)


def beta(m_V, m):
    return math.sqrt(1 - 4 * m**2 / m_V**2) if m_V > 2 * m else 0.0


def shares(m_V, g_V, r_AV, g_D, m_chi):
    """(invisible, mumu, ee) from Eq. (9) with epsilon e for the charge of the electron, in units of m_V/(12 pi)."""
    eps = E0 * g_D / (96 * math.pi**2)
    vector = [(1 + 2 * m**2 / m_V**2) * beta(m_V, m) for m in (m_chi, M_MU, M_E)]
    widths = [
        g_D**2 * vector[0],
        g_V**2 * (vector[1] + r_AV**2 * beta(m_V, M_MU) ** 3),
        (eps * E0) ** 2 * vector[2],
    ]
    total = sum(widths)
    return [width / total for width in widths] if total else [1.0, 0.0, 0.0]


def look_up(table, m, column="limit"):
    """The limit of one experiment by a linear search, None where there is none."""
    if "rows" in table:
        found = [row[3] for row in table["rows"] if row[0] <= m < row[1]]
        return found[0] if found else None
    if not table["m"][0] <= m <= table["m"][-1]:
        return None
    return math.exp(np.interp(math.log(m), np.log(table["m"]), np.log(table[column])))


def test_epsilon_of_the_paper(sm):
    """Eq. (28) at g_D = 3: 9.6e-4, which Eq. (29) prints as 8e-4."""
    assert epsilon(point(5.0, g_D=3.0), sm) == near(9.588217e-4, rel=1e-6)
    assert epsilon(point(5.0, g_D=3.0, Q_Phi=-2.0), sm) == near(-2 * 9.588217e-4, rel=1e-6)
    assert epsilon(point(5.0, g_mu_V=0.2, r_AV=-1.0, m_chi=3.0), sm) == epsilon(point(9.0), sm)


def test_epsilon_of_one_loop(sm):
    """1.9e-3 (g_D/3) for a logarithm of one: a quarter of a Dirac fermion for each of Phi's six scalars of Y = 1/6."""
    complete = DarkSector(m_V=5.0, g_mu_V=1e-3, r_AV=0.0, g_D=3.0, r=1.0, physics="complete")
    per_log = float(epsilon_exact(complete, sm))
    assert per_log == near(1.9e-3, rel=1e-2)
    assert per_log == near(E0 / (12 * math.pi**2) * 6 * (1 / 6) * 3.0 / 4, rel=1e-9)
    assert epsilon(complete, sm) == per_log == epsilon_exact(point(5.0, g_D=3.0), sm)
    assert epsilon(complete, sm, log=4.2) == near(4.2 * per_log, rel=1e-12)
    assert epsilon(point(5.0, g_D=3.0), sm, log=4.2) == near(per_log / 2, rel=1e-12)
    for model in (complete, point(5.0, g_D=3.0)):
        shown = {entry.id: entry.verdict(model, sm) for entry in constraints()}
        assert float(shown["epsilon_printed"].value) == near(per_log / 2, rel=1e-12)
        assert float(shown["epsilon_per_log"].value) == near(per_log, rel=1e-12)
        assert shown["epsilon_per_log"].ratio == 0
        assert float(shown["kinetic_mixing_visible"].value) == float(epsilon(model, sm))


def test_muons_of_one_loop(sm):
    """A Dirac fermion of charge -1 with a neutrino that couples alike: -e g/(12 pi^2) per logarithm."""
    model = point(5.0, g_mu_V=0.1, g_D=0.0)
    assert epsilon_exact(model, sm, muons=True, g_nu=0.1) == near(-E0 * 0.1 / (12 * math.pi**2), rel=1e-9)


def test_epsilon_with_muons(sm):
    """Sum over the Weyl fermions of Eq. (28): Y = -1/2 for mu_L and nu_mu, -1 for mu_R, charges g_V -+ g_A and g_nu."""
    g_V, g_A, g_nu, g_D = 0.1, -0.04, 0.07, 2.0
    model = point(5.0, g_mu_V=g_V, r_AV=g_A / g_V, g_D=g_D)
    doublet = 2 * 3 / 6 / 8 * g_D
    expected = E0 / (12 * math.pi**2) * (doublet - (g_V - g_A) / 2 - (g_V + g_A) - g_nu / 2)
    assert epsilon(model, sm, muons=True, g_nu=g_nu) == near(expected, rel=1e-9)
    small = point(5.0, g_mu_V=1e-12)
    assert epsilon(small, sm, muons=True) == near(float(epsilon(small, sm)), rel=1e-10)


def test_decays(sm):
    rows = random_rows(200, 1)
    found = np.stack(batch(rows, lambda model: decays(model, sm)), axis=1)
    expected = [shares(m_V, g, r_AV, g_D, m_chi) for m_V, g, r_AV, g_D, _, m_chi in rows]
    assert found == near(np.array(expected), rel=1e-9, abs=1e-300)


def test_a_V_without_decays_is_invisible(sm):
    assert tuple(map(float, decays(point(1e-3, m_chi=1.0), sm))) == (1.0, 0.0, 0.0)
    assert tuple(map(float, decays(point(0.1, m_chi=1.0, g_D=0.0), sm))) == (1.0, 0.0, 0.0)


def test_strongest_limits(sm, tables):
    """Both verdicts at random points against a loop over the experiments."""
    rows = random_rows(300, 2)
    prompt, invisible = batch(rows, lambda model: (prompt_verdict(model, sm), invisible_verdict(model, sm)))
    limited = 0
    for i, (m_V, g, r_AV, g_D, _, m_chi) in enumerate(rows):
        unseen, mumu, ee = shares(m_V, g, r_AV, g_D, m_chi)
        br = {"ee": ee, "mumu": mumu}
        candidates = {
            "visible": [
                (look_up(table, m_V), sum(br[final] for final in table["decays"])) for table in tables["visible"]
            ],
            "invisible": [(look_up(table, m_V), unseen) for table in tables["invisible"]],
        }
        for kind, verdict in (("visible", prompt), ("invisible", invisible)):
            limits = [limit / math.sqrt(share) for limit, share in candidates[kind] if limit and share]
            expected = min(limits, default=math.inf)
            limited += bool(limits)
            assert verdict.limit[i] == near(expected, rel=1e-9)
            assert verdict.ratio[i] == near(float(verdict.value[i]) / expected, rel=1e-9)
    assert limited > 150


def test_displaced_bands(sm, tables):
    rng = np.random.default_rng(3)
    rows = np.stack([10 ** rng.uniform(-3.1, 0, 150), *np.full((2, 150), 0.0), 10 ** rng.uniform(-4, 0.6, 150)], axis=1)
    rows = np.concatenate([rows, np.ones((150, 1)), np.full((150, 1), 5.0)], axis=1)
    found = batch(rows, lambda model: displaced_verdict(model, sm))
    for i, row in enumerate(rows):
        m_V, eps = row[0], E0 * row[3] / (96 * math.pi**2)
        edges = [(look_up(table, m_V), look_up(table, m_V, "upper_edge")) for table in tables["displaced"]]
        depths = [(min(eps / low, high / eps), low) for low, high in edges if low and m_V > 2 * M_E]
        ratio, limit = max(depths, default=(0.0, math.inf))
        assert (found.ratio[i], found.limit[i]) == near((ratio, limit), rel=1e-9)
    assert 20 < np.sum(found.ratio > 1) < 130


# Mass and the limit on epsilon at BR = 1 that leads there, as published: BaBar and LEP; NA48/2, LHCb and CMS.
INVISIBLE = [(2.4, 7.069e-4), (10.0, 0.0393), (90.0, 2.327e-3)]
VISIBLE = [(0.0207, 5.293e-4), (0.06, 9.246e-4), (0.22, 2.145e-4), (9.9, 5.076e-4), (60.0, 1.659e-3)]


def test_limits_as_transcribed(sm):
    """The numbers of the tables, in models where V has one decay: unseen, or to electrons or muons."""
    unseen = batch([[m, 0.0, 0.0, 1.0, 1.0, 1e-3] for m, _ in INVISIBLE], lambda model: invisible_verdict(model, sm))
    seen = batch([[m, 1.0, 0.0, 0.1, 1.0, 100.0] for m, _ in VISIBLE], lambda model: prompt_verdict(model, sm))
    assert unseen.limit == near(np.array(INVISIBLE)[:, 1], rel=1e-6)
    assert seen.limit == near(np.array(VISIBLE)[:, 1], rel=1e-6)


def test_no_limit_outside_the_searches(sm):
    rows = [[m_V, 1e-3, 0.0, 4.0, 1.0, m_chi] for m_V, m_chi in ((8.5, 1e-3), (200.0, 1e-3), (1e-4, 5.0), (1e4, 1e-3))]
    for verdict in batch(rows, lambda model: (invisible_verdict(model, sm), displaced_verdict(model, sm))):
        assert np.all(np.isinf(verdict.limit)) and np.all(verdict.ratio == 0)


def test_other_open_channels_lift_the_displaced_limits(sm):
    assert displaced_verdict(point(0.005, m_chi=5.0), sm).ratio > 1
    assert displaced_verdict(point(0.005, m_chi=0.001), sm).ratio == 0
    assert displaced_verdict(point(0.25, m_chi=5.0), sm).ratio == 0


def test_light_mediator_of_the_paper_is_excluded(sm):
    """End of Sec. 4: a V of a few MeV that cannot decay to dark fermions is excluded by searches for displaced V."""
    for m_V in (0.002, 0.003, 0.005):
        for g_D in (0.3, 1.0, 3.0):
            assert displaced_verdict(point(m_V, g_mu_V=7e-4, g_D=g_D, m_chi=5.0), sm).ratio > 1


def test_rows_are_ordered(sm):
    """The strongest published limit in an interval excludes most, the weakest least."""
    names = ("best", "median", "weakest")
    rows = random_rows(60, 4)
    best, median, weakest = batch(rows, lambda model: [prompt_verdict(model, sm, rows=name).ratio for name in names])
    assert np.all(best >= median) and np.all(median >= weakest) and np.any(best > weakest)


def test_curves_have_their_points_gaps_and_ends():
    """A curve with a vertical piece and rows with a gap."""
    curve = {"m": [1.0, 2.0, 2.0, 8.0], "limit": [1.0, 4.0, 9.0, 9.0]}
    rows = {"rows": [[1.0, 3.0, 1.0, 5.0, 6.0], [4.0, 5.0, 2.0, 7.0, 8.0]]}
    curves = mass_curves([curve, rows])
    m = np.array([0.9, 1.0, math.sqrt(2), 2.0, 3.0, 3.5, 4.0, 5.0, 8.0, 8.1])
    expected = [
        [math.inf, 1.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, math.inf],
        [math.inf, 5.0, 5.0, 5.0, math.inf, math.inf, 7.0, math.inf, math.inf, math.inf],
    ]
    assert np.array(jax.vmap(curves.at)(m)).T == near(np.array(expected), rel=1e-12)


# Rows away from edges of the tables, for differences.
SMOOTH = [[3.3, 0.02, -0.4, 1.3, -2.0, 1e-3], [0.03, 1e-3, 0.0, 0.4, 1.0, 5.0], [0.3, 0.01, -0.2, 2.0, 1.0, 1.0]]
SPECIAL = [2 * M_MU, 2 * M_E, 2e-3, 1e-5, 1e4, 0.02024, 10.32, 8.0, 1.006, 0.02475]
CORNERS = [(m, *couplings, 1e-3) for m in SPECIAL for couplings in ((0, 0, 0, 0), (0.1, -1, 4, 9), (0, 0, 1, 1))]


def test_gradients_and_finite_everywhere(sm):
    """Central differences at smooth points; finite at random points, thresholds, edges and without couplings."""

    def mixture(row):
        """With weights, as one gradient then holds all."""
        ratios = jnp.stack([entry.verdict(point(*row), sm).ratio for entry in constraints()])
        return jnp.arange(1.0, len(ratios) + 1.0) @ ratios, ratios

    steps = (1e-6 * np.abs(SMOOTH) + 1e-9)[..., None] * np.eye(6)
    moved = np.array(SMOOTH)[:, None] + np.stack([steps, -steps])
    rows = np.concatenate([SMOOTH, moved.reshape(-1, 6), CORNERS, random_rows(400, 5)])
    (values, ratios), gradient = jax.jit(jax.vmap(jax.value_and_grad(mixture, has_aux=True)))(rows)
    assert np.all(np.isfinite(ratios)) and np.all(np.isfinite(gradient)) and np.all(ratios >= 0)
    up, down = np.array(values)[3:39].reshape(2, 3, 6)
    assert gradient[:3] == near((up - down) / (2 * steps.max(axis=-1)), rel=1e-5, abs=1e-7)
    assert np.all(np.max(ratios[:3, 2:5], axis=0) > 0)


def test_entries():
    entries = {entry.id: entry for entry in constraints()}
    for name in ("epsilon_printed", "epsilon_per_log"):
        assert entries.pop(name).applied
    of_electrons = {name: entries.pop(f"electrons_{name}") for name in ("visible", "invisible")}
    assert all((entry.applied, entry.power) == (True, 2) for entry in of_electrons.values())
    assert set(entries) == {f"kinetic_mixing_{kind}" for kind in ("visible", "displaced", "invisible")}
    assert all((entry.cl, entry.quality, entry.applied) == (0.9, "digitised", False) for entry in entries.values())
    assert "1702.03327" in entries["kinetic_mixing_invisible"].reference


def test_couplings_to_electrons_meet_searches_with_electrons(sm):
    """g_e = e epsilon against the published limits on epsilon: of BaBar where V is unseen, of what is off electrons."""
    tables, entries = read_data("limits/dark_photon.yaml"), {entry.id: entry for entry in constraints()}
    babar = next(t for t in tables["invisible"] if "1702.03327" in t["reference"])
    k = len(babar["m"]) // 2
    m_V, limit, e = babar["m"][k], babar["limit"][k], np.sqrt(4 * np.pi * tables["couplings"]["alpha_em_0"]["value"])
    dark = {"m_V": m_V, "g_mu_V": 1e-6, "r_AV": 0.0, "g_D": 3.0, "r": 0.1}
    for share in ({"g_e_V": 0.5}, {"g_e_A": -0.5}, {"g_e_V": 0.3, "g_e_A": 0.4}):
        couplings = {name: value * e * limit for name, value in share.items()}
        found = entries["electrons_invisible"].verdict(DarkSector(**dark, **couplings), sm)
        assert found.ratio == near(0.5, rel=1e-4)  # the rest of the decays is e+e-, 1e-6 of them
    nothing = entries["electrons_invisible"].verdict(DarkSector(**dark), sm)
    assert nothing.ratio == 0
    babar = next(t for t in tables["visible"] if "1406.2980" in t["reference"])
    (limit,) = (median for low, high, _, median, _ in babar["rows"] if low <= 1.0 < high)
    seen = DarkSector(**dark | {"m_V": 1.0, "g_D": 0.0, "r": 0.0}, g_e_V=0.5 * e * limit)
    assert entries["electrons_visible"].verdict(seen, sm).ratio == near(0.5, rel=1e-3)
