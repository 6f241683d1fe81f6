"""B+ -> K+ invisible against the shared checkpoints, mpmath on formulas written out here, and closed limits."""

import dataclasses
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import yaml
from near import near
from printed import printed

from jaxdark.compute.aot import AotFunction
from jaxdark.constraints.b_to_k_invisible import searches
from jaxdark.constraints.b_to_k_invisible.rates import (
    S_B_BINS,
    InvisibleBR,
    br_k_invisible_bins,
    width_kv,
)
from jaxdark.constraints.b_to_k_invisible.searches import babar_bin_limits, babar_hadronic, br_k_invisible, constraints
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs, read_data
from jaxdark.models.split import SplitDarkSector, g_tilde
from jaxdark.semileptonic.neutrinos import br_k_nunu

CHECKPOINTS = yaml.safe_load((Path(__file__).parents[2] / "checkpoints" / "dark_sector.yaml").read_text("utf-8"))
GIVEN = CHECKPOINTS["inputs"]
NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi")
# The two ranges of the checkpoints; three that make up the whole; one without any phase space.
Q2 = ((0.0, 5.76), (11.56, 16.0), (0.0, 0.01), (0.01, 1.5), (1.5, 25.0), (23.0, 25.0))
M_V_AT_EDGE = float(np.sqrt(0.2) * GIVEN["MB"])
BATCH = 64
IN_BINS = [f"BR_Bp_Kp_inv_sB_{low:g}_{high:g}" for low, high in S_B_BINS]


@cache
def checkpoint_inputs():
    """The inputs in the head of the checkpoint file, whose f_+ has the meson masses of the decay in z(q2) too."""
    names = {"m_Bp": "MB", "m_Kp": "MK", "m_mu": "Mmu", "lambda_t": "VtbVts", "alpha_em": "alpha", "GF": "GF"}
    sm = load_inputs(
        {ours: GIVEN[theirs] for ours, theirs in names.items()} | {"tau_Bp": GIVEN["tauBp_ps"] * 1e-12 / GIVEN["hbar"]}
    )
    return dataclasses.replace(sm, B_to_K=dataclasses.replace(sm.B_to_K, m_B=GIVEN["MB"], m_M=GIVEN["MK"]))


@pytest.fixture
def sm():
    return checkpoint_inputs()


def point(values):
    return printed(**dict(zip(NAMES, values, strict=True)))


def predictions(values):
    """Every number a point has, so that few programs need compiling."""
    model, sm = point(values), checkpoint_inputs()
    verdicts = [constraint.verdict(model, sm) for constraint in constraints()]
    scaled = babar_hadronic(model, sm, scale=1.6)
    return {
        "bins": br_k_invisible_bins(model, sm, q2=Q2),
        "verdicts": {constraint.id: verdict for constraint, verdict in zip(constraints(), verdicts, strict=True)},
        "scaled": scaled,
        "width_kv": width_kv(model.m_V**2, model, sm),
    }


def ranges(values):
    rates = br_k_invisible_bins(point(values), checkpoint_inputs(), q2=Q2)
    return jnp.concatenate([rates.total[None], rates.s_B, rates.q2])


_predictions = AotFunction(jax.vmap(predictions))
_derivatives = AotFunction(jax.vmap(jax.jacfwd(ranges)))


def in_batches(function, rows):
    """Applied to rows (n, 6) in batches of one size, so that it is compiled once."""
    rows = np.atleast_2d(np.asarray(rows, float))
    padded = np.concatenate([rows, np.repeat(rows[:1], -len(rows) % BATCH, axis=0)])
    parts = [jax.tree.map(np.asarray, function(padded[i : i + BATCH])) for i in range(0, len(padded), BATCH)]
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(rows)], *parts)


def predict(rows):
    return in_batches(_predictions, rows)


# ---- Independent formulas ----


def f_plus(q2):
    """f_+ of arXiv:1509.06235."""
    (b0, b1, b2), m_pole = GIVEN["fplus_FNALMILC"]["b"], GIVEN["fplus_FNALMILC"]["m_pole"]
    t_plus = (GIVEN["MB"] + GIVEN["MK"]) ** 2
    t_0 = (GIVEN["MB"] + GIVEN["MK"]) * (np.sqrt(GIVEN["MB"]) - np.sqrt(GIVEN["MK"])) ** 2
    a, b = mp.sqrt(t_plus - q2), mp.sqrt(t_plus - t_0)
    z = (a - b) / (a + b)
    return (b0 + b1 * (z - z**3 / 3) + b2 * (z**2 + 2 * z**3 / 3)) / (1 - q2 / m_pole**2)


def gamma_kv(s, coupling):
    x_K, x_V = (GIVEN["MK"] / GIVEN["MB"]) ** 2, s / GIVEN["MB"] ** 2
    kallen = 1 + x_K**2 + x_V**2 - 2 * (x_K + x_V + x_K * x_V)
    return f_plus(s) ** 2 * coupling**2 * s * GIVEN["MB"] ** 3 * mp.sqrt(kallen) ** 3 / (64 * mp.pi)


def gamma_pair(s, m, g_V, g_A=0.0):
    if s <= 4 * m**2:
        return mp.mpf(0)
    beta = mp.sqrt(1 - 4 * m**2 / s)
    return mp.sqrt(s) * beta / (12 * mp.pi) * ((1 + 2 * m**2 / s) * g_V**2 + beta**2 * g_A**2)


def gamma_v(s, values, masses):
    _, g_mu_V, r_AV, g_D, *_ = values
    into_chi = sum(gamma_pair(s, m, g_D) for m in masses)
    return into_chi + gamma_pair(s, mp.mpf(GIVEN["Mmu"]), g_mu_V, r_AV * g_mu_V)


@mp.workdps(40)
def expected(values, q2, masses=None, coupling=None, running=False):
    """Eq. (22) by tanh-sinh quadrature between breakpoints about the pole and the thresholds."""
    m_V, *_, g_D, _, m_chi = map(mp.mpf, values)
    masses = [m_chi] if masses is None else [mp.mpf(m) for m in masses]
    coupling = float(g_tilde(point(values))) if coupling is None else coupling
    s0, tau = m_V**2, GIVEN["tauBp_ps"] * 1e-12 / GIVEN["hbar"]
    at_pole = m_V * gamma_v(s0, values, masses)
    total = mp.mpf(0)
    for m in masses:
        lower, upper = max(mp.mpf(q2[0]), 4 * m**2), min(mp.mpf(q2[1]), (mp.mpf(GIVEN["MB"]) - GIVEN["MK"]) ** 2)
        if lower >= upper:
            continue

        def integrand(s, m=m):
            m_gamma = mp.sqrt(s) * gamma_v(s, values, masses) if running else at_pole
            return mp.sqrt(s) / mp.pi * gamma_pair(s, m, g_D) * gamma_kv(s, coupling) / ((s - s0) ** 2 + m_gamma**2)

        distances = [max(at_pole, 1e-9 * s0) * 8**k for k in range(12)]
        marks = [
            s0,
            *(s0 - d for d in distances),
            *(s0 + d for d in distances),
            *(4 * m**2 * 4**k for k in range(1, 14)),
        ]
        marks += [4 * mp.mpf(other) ** 2 for other in (*masses, GIVEN["Mmu"])]
        total += mp.quad(integrand, [lower, *sorted(x for x in marks if lower < x < upper), upper])
    return float(tau * total)


# ---- Eq. (21) and (22) ----


def test_checkpoints_of_the_points():
    rows = CHECKPOINTS["points"]
    found = predict([[row[name] for name in NAMES] for row in rows])["bins"]
    for i, row in enumerate(rows):
        exact = {"rel": 1e-8, "abs": 0.0}
        assert found.total[i] == near(row["BR_BtoK_chichi_total"], **exact)
        assert found.q2[i][0] == near(row["BR_BtoK_chichi_q2[0,5.76]"], **exact)
        assert found.q2[i][1] == near(row["BR_BtoK_chichi_q2[11.56,16]"], **exact)
        assert found.s_B[i] == near(np.array(row["BR_BtoK_chichi_sB_bins_0.1"]), **exact)


def test_checkpoints_of_narrow_v():
    rows = CHECKPOINTS["narrow"]
    per_r = float(g_tilde(point([1.0, 0.0, 0.0, 1.0, 1.0, 0.001])))
    found = predict([[row["m_V"], 0.0, 0.0, row["g_D"], row["g_tilde"] / per_r, row["m_chi"]] for row in rows])
    np.testing.assert_allclose(found["bins"].total, [row["BR_total"] for row in rows], rtol=1e-8, atol=0)


# Poles inside and outside the range asked for, at its edges, at both thresholds; widths over masses from 1e-11 to 0.4.
AGAINST_MPMATH = (
    ([2.5, 0.03, -0.4, 4.0, 1.0, 1e-3], (0.0, 25.0), 0),
    ([2.5, 1e-3, -0.4, 2e-5, 1.0, 1e-4], (0.0, 5.76), 10),
    ([M_V_AT_EDGE + 1e-4, 1e-3, 0.0, 1e-2, 1.0, 0.3], (0.2 * GIVEN["MB"] ** 2, 0.3 * GIVEN["MB"] ** 2), 3),
    ([M_V_AT_EDGE + 1e-4, 1e-3, 0.0, 1e-2, 1.0, 0.3], (0.1 * GIVEN["MB"] ** 2, 0.2 * GIVEN["MB"] ** 2), 2),
    ([2.0 * (1 + 1e-6), 1e-3, 0.0, 0.5, 1.0, 1.0], (0.0, 25.0), 0),
    ([2.0 * (1 - 1e-3), 1e-3, 0.0, 0.5, 1.0, 1.0], (0.0, 25.0), 0),
    ([4.7, 0.01, -1.0, 1.0, 1.0, 2.3], (0.0, 25.0), 0),
    ([4.786, 0.01, 0.0, 1e-2, 1.0, 1e-3], (0.8 * GIVEN["MB"] ** 2, 25.0), 9),
    ([3e-3, 1e-3, 0.0, 0.1, 1.0, 1e-3], (0.0, 0.01), 12),
    ([15.0, 0.1, -0.3, 3.0, 1.0, 0.2], (0.01, 1.5), 13),
)


@pytest.mark.parametrize("case", AGAINST_MPMATH, ids=str)
def test_against_mpmath(case):
    values, q2, index = case
    rates = predict(values)["bins"]
    found = np.concatenate([rates.total, rates.s_B[0], rates.q2[0]])[index]
    assert found == near(expected(values, q2), rel=1e-8)


def test_narrow_v_is_produced_on_its_mass_shell():
    """Gamma_KV(m_V^2) BR(V -> chi chi) up to O(Gamma/m_V), however small the couplings."""
    rows = [[m_V, g, -0.5, g, 1.0, m] for m_V in (0.7, 3.1, 4.7) for m in (1e-3, 0.3) for g in (1e-4, 1e-7, 1e-12)]
    found = predict(rows)
    for row, total, width in zip(rows, found["bins"].total, found["width_kv"], strict=True):
        s0 = row[0] ** 2
        gamma_kv_there = gamma_kv(s0, float(g_tilde(point(row))))
        branching = gamma_pair(s0, row[5], row[3]) / gamma_v(s0, row, [row[5]])
        tau = GIVEN["tauBp_ps"] * 1e-12 / GIVEN["hbar"]
        assert width == near(float(gamma_kv_there), rel=1e-12)
        assert total == near(float(tau * gamma_kv_there * branching), rel=1e-7)


def test_bins_add_up():
    rng = np.random.default_rng(1)
    low, high = [0.05, 1e-3, -1.0, 1e-3, -5.0, 1e-3], [15.0, 0.2, 0.0, 4.0, 5.0, 2.3]
    found = predict(rng.uniform(low, high, (BATCH, 6)))
    rates = found["bins"]
    np.testing.assert_allclose(rates.s_B.sum(-1), rates.total, rtol=1e-13)
    np.testing.assert_allclose(rates.q2[:, 2:5].sum(-1), rates.total, rtol=1e-13)
    assert not rates.q2[:, 5].any()


def test_v_that_cannot_decay_leaves_unseen():
    """A line at m_V^2, alone (m_chi = 5 GeV) or on top of virtual V (1.06 GeV); none once V -> mu mu opens."""
    rows = [[m_V, 0.1, 0.0, 1.0, 1.0, m_chi] for m_chi in (5.0, 1.06) for m_V in (0.0999, 0.1001, 0.2112, 0.2114)]
    found = predict(rows)
    line = found["width_kv"] * GIVEN["tauBp_ps"] * 1e-12 / GIVEN["hbar"]
    alone, together = found["bins"].q2[:4, 2:5], found["bins"].q2[4:, 2:5]
    bin_of_the_line = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]], float)
    np.testing.assert_allclose(alone, bin_of_the_line * line[:4, None], rtol=1e-14)
    np.testing.assert_allclose(found["bins"].total[:4], alone.sum(-1), rtol=1e-14)
    np.testing.assert_allclose(found["bins"].s_B[:4, 0], alone.sum(-1), rtol=1e-14)
    virtual = [expected(row, (1.5, 25.0)) for row in rows[4:]]
    np.testing.assert_allclose(together[:, 2], virtual, rtol=1e-8)
    np.testing.assert_allclose(together[:, :2], bin_of_the_line[:, :2] * line[4:, None], rtol=1e-14)


def test_several_chi_and_the_running_width(sm):
    """Sum over chi in the rate and in the width; the second of them opens inside the range, or stays closed."""

    @AotFunction
    @jax.vmap
    def rates(values, masses, r):
        m_V, g_mu_V, r_AV, g_D, _, _ = values
        values = {"m_V": m_V, "g_mu_V": g_mu_V, "r_AV": r_AV, "g_D": g_D, "r": r, "m_chi": masses}
        model, running = printed(**values), printed(**values, width="running")
        totals = [br_k_invisible(either, sm) for either in (model, running)]
        return g_tilde(model), br_k_invisible(model, sm, bin=(0.1, 0.2)), totals

    rows = [
        ([3.0, 0.1, -0.3, 2.0, 0, 0], (1e-3, 1.2)),
        ([1.5, 0.1, -0.3, 1.0, 0, 0], (1e-3, 1.2)),
        ([2.2, 0.01, 0.0, 0.01, 0, 0], (0.2, 10.0)),
        ([0.6, 0.2, -0.5, 3.0, 0, 0], (1e-3, 10.0)),
    ]
    values, masses = (np.array(column) for column in zip(*rows, strict=True))
    couplings, second, found = rates(values, masses, np.array([[1.0, 0.3]] * len(rows)))
    for i, (row, pair) in enumerate(rows):
        given = {"masses": pair, "coupling": float(couplings[i])}
        in_second = expected(row, (0.1 * GIVEN["MB"] ** 2, 0.2 * GIVEN["MB"] ** 2), **given)
        assert second[i] == near(in_second, rel=1e-8)
        assert found[0][i] == near(expected(row, (0.0, 25.0), **given), rel=1e-8)
        assert found[1][i] == near(expected(row, (0.0, 25.0), **given, running=True), rel=1e-8)


def test_width_kv_ends_at_its_end(sm):
    model = point([1.0, 0.01, 0.0, 1.0, 1.0, 1e-3])
    end = float(sm.m_Bp - sm.m_Kp) ** 2
    s = jnp.array([0.0, 1.0, 12.0, end - 1e-9, end, end + 1e-9, 30.0, 1e4])
    widths, slopes = AotFunction(jax.vmap(jax.value_and_grad(lambda s: width_kv(s, model, sm))))(s)
    exact = [float(gamma_kv(float(x), float(g_tilde(model)))) for x in s[:3]]
    np.testing.assert_allclose(widths[:3], exact, rtol=1e-12)
    assert not widths[4:].any() and not slopes[4:].any() and np.isfinite(slopes).all()


# ---- Derivatives ----

STEPS = np.array([1e-3, 1e-4, 1e-5, 1e-6])


def differences(rows, k):
    """Central differences with respect to the logarithm of parameter k, extrapolated, for each of STEPS."""

    def slope(step):
        up, down = rows.copy(), rows.copy()
        up[:, k] *= 1 + step
        down[:, k] *= 1 - step
        high, low = (np.column_stack([r.total, r.s_B, r.q2]) for r in (predict(x)["bins"] for x in (up, down)))
        return (high - low) / (2 * step)

    return np.array([(4 * slope(step / 2) - slope(step)) / 3 for step in STEPS])


@pytest.mark.parametrize("k", range(6), ids=NAMES)
def test_derivatives(k):
    """Also with the pole on its way through the edge of a bin, and at the ends of the range."""
    m_V = [0.9, M_V_AT_EDGE * (1 - 3e-4), M_V_AT_EDGE, M_V_AT_EDGE * (1 + 3e-4), 4.7, 4.79, 6.0]
    rows = np.array(
        [[x, 0.02, -0.3, g, 2.0, m] for x in m_V for g, m in ((1.0, 1e-3), (0.1, 0.02), (0.1, 1.0))]
        + [[2.0 * (1 + x), 0.02, -0.3, 1.0, 2.0, 1.0] for x in (-0.01, 0.01)]
    )
    exact = in_batches(_derivatives, rows)[:, :, k] * rows[:, k, None]
    rates = predict(rows)["bins"]
    size = np.maximum(np.abs(exact), np.column_stack([rates.total, rates.s_B, rates.q2])) + 1e-300
    errors = np.abs(differences(rows, k) - exact) / size
    assert errors.min(axis=0).max() < 1e-7


def test_finite_everywhere():
    """Values and derivatives at random points over many decades, at coincidences and without couplings."""
    rng = np.random.default_rng(2)
    log = rng.uniform([-5, -8, 0, -8, 0, -5], [4, 0, 0, 0.7, 0, 1], (3 * BATCH, 6))
    rows = 10**log * [1, 1, -1, 1, 1, 1]
    end, m_mu = GIVEN["MB"] - GIVEN["MK"], GIVEN["Mmu"]
    rows[:12, 0] = 2 * rows[:12, 5]
    rows[12:21, 0] = np.sqrt(np.arange(1, 10) / 10) * GIVEN["MB"]
    rows[21:25, 0] = end, 2 * m_mu, GIVEN["MB"] + GIVEN["MK"], GIVEN["fplus_FNALMILC"]["m_pole"]
    rows[25:28, 5] = end / 2, end / 2 * (1 - 1e-15), m_mu
    rows[28:40, 3], rows[32:44, 1], rows[40:50, 4] = 0.0, 0.0, 0.0
    found = predict(rows)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((found["bins"], in_batches(_derivatives, rows))))
    assert all((x >= 0).all() for x in found["bins"])


# ---- Appendix A ----


def test_verdicts_compare_rates_with_limits(sm):
    rows = [[row[name] for name in NAMES] for row in CHECKPOINTS["points"]]
    found = predict(rows)
    verdicts, nunu = found["verdicts"], float(br_k_nunu(sm))
    plain = {
        "cleo_2001": (found["bins"].total, 4.9e-5),
        "babar_semileptonic_low_q2": (found["bins"].q2[:, 0], 1.1e-5),
        "babar_semileptonic_high_q2": (found["bins"].q2[:, 1], 4.6e-5),
        "belle_hadronic_2013": (found["bins"].total + nunu, 5.5e-5),
        "belle_semileptonic_2017": (found["bins"].total + nunu, 1.9e-5),
    }
    for name, (value, limit) in plain.items():
        np.testing.assert_allclose(verdicts[name].value, value, rtol=1e-9)
        np.testing.assert_allclose(verdicts[name].limit, limit)
        np.testing.assert_allclose(verdicts[name].ratio, value / limit, rtol=1e-9)
    np.testing.assert_allclose(verdicts["BR_Bp_Kp_inv"].value, found["bins"].total, rtol=1e-9)
    assert np.isinf(verdicts["BR_Bp_Kp_inv"].limit).all() and not verdicts["BR_Bp_Kp_inv"].ratio.any()


def test_strongest_bin_of_babar():
    """The weakest limits of the recast in its three bins, read off the table of the source."""
    found = predict([[row[name] for name in NAMES] for row in CHECKPOINTS["points"]])
    ratios = found["bins"].s_B[:, :3] / [1.029e-5, 7.358e-6, 7.874e-6]
    np.testing.assert_allclose(found["verdicts"]["babar_hadronic_sB_bins"].ratio, ratios.max(-1), rtol=1e-9)
    np.testing.assert_allclose(found["scaled"].ratio, ratios.max(-1) / 1.6, rtol=1e-9)
    strongest = np.take_along_axis(found["bins"].s_B, ratios.argmax(-1)[:, None], axis=-1)[:, 0]
    np.testing.assert_allclose(found["verdicts"]["babar_hadronic_sB_bins"].value, strongest, rtol=1e-9)
    assert len(set(ratios.argmax(-1))) > 1


def test_the_strongest_bin_is_not_the_fullest():
    """The second bin has the smaller rate and exceeds its limit; the first does not."""
    s_B = np.zeros(len(S_B_BINS))
    s_B[:3] = 9e-6, 8e-6, 1e-6
    verdict = searches._strongest_s_B(InvisibleBR(1.8e-5, s_B, np.zeros(2)), 1.0)
    assert tuple(map(float, verdict)) == near((8e-6, 7.358e-6, 8e-6 / 7.358e-6), rel=1e-12)


def test_published_bins_replace_the_proxy(monkeypatch, sm):
    rows = [{"s_B": [0.0, 0.1], "limit": 2e-6}, {"s_B": [0.5, 0.6], "limit": 3e-6}]
    monkeypatch.setitem(read_data("limits/invisible.yaml")["babar_hadronic_2013"], "published_bins", rows)
    babar_bin_limits.cache_clear()
    try:
        entry = {constraint.id: constraint for constraint in constraints()}["babar_hadronic_sB_bins"]
        verdict = AotFunction(lambda values: entry.verdict(point(values), sm))(
            np.array([15.0, 0.01, 0.0, 3.0, 1.0, 1e-3])
        )
    finally:
        babar_bin_limits.cache_clear()
    in_bin = predict([15.0, 0.01, 0.0, 3.0, 1.0, 1e-3])["bins"].s_B[0, 5]
    assert verdict.ratio == near(in_bin / 3e-6, rel=1e-9)
    assert (entry.quality, entry.reference) == ("published", "BaBar, arXiv:1303.7465")


def test_each_bin_is_shown(sm):
    """Values of all bins add up to the total; a limit only where the recast has one, and the strongest is the one
    that counts.
    """
    found = predict([[row[name] for name in NAMES] for row in CHECKPOINTS["points"]])["verdicts"]
    values = np.stack([found[name].value for name in IN_BINS])
    np.testing.assert_allclose(values.sum(axis=0), found["BR_Bp_Kp_inv"].value, rtol=1e-7)
    assert [bool(np.isfinite(found[name].limit).all()) for name in IN_BINS] == [True] * 3 + [False] * 6
    strongest = np.max([found[name].ratio for name in IN_BINS], axis=0)
    np.testing.assert_allclose(strongest, found["babar_hadronic_sB_bins"].ratio, rtol=1e-9)


def test_belles_limits_count_where_the_spectrum_is_that_of_neutrinos(sm):
    """Light chi and no V in the range; with V far away |y_s y_b| < 0.064 and 0.034 by the tree-level rates."""
    names = ("belle_semileptonic_2017_sm_like", "belle_semileptonic_kst_2017_sm_like")
    limits = {entry.id: entry for entry in constraints() if entry.id in names}

    def ratios(yy, m_chi=1e-3, m_V=1e4, **switches):
        values = {"m_V": m_V, "g_mu_V": 0.0, "r_AV": 0.0, "g_D": 1.0, "r": yy, "m_chi": m_chi}
        model = SplitDarkSector(**values, **switches)
        return [float(limits[name].verdict(model, sm).ratio) for name in names]

    for k, (rate, most) in enumerate(((3.459e-3, 1.9e-5), (7.159e-3, 1.8e-5))):
        neutrinos = ratios(0.0)[k] * most
        at_limit = np.sqrt((most - neutrinos) / rate)
        assert ratios(at_limit)[k] == near(1.0, rel=5e-3)
        assert 0.6 * most > neutrinos > 4e-6
    assert ratios(0.05, m_V=4.7) == [0.0, ratios(0.05, m_V=4.7)[1]] and ratios(0.05, m_V=4.7)[1] > 0.5
    assert ratios(0.05, m_V=4.0) == ratios(0.05, m_chi=0.3) == ratios(0.05, tree=False) == [0.0, 0.0]
    assert ratios(0.05, physics="paper") == [0.0, 0.0]


def test_words_of_the_constraints():
    entries = {constraint.id: constraint for constraint in constraints()}
    assert list(entries) == [
        "cleo_2001",
        "babar_hadronic_sB_bins",
        "babar_semileptonic_low_q2",
        "babar_semileptonic_high_q2",
        "BR_Bp_Kp_inv",
        *IN_BINS,
        "belle_hadronic_2013",
        "belle_semileptonic_2017",
        "belle_semileptonic_kst_2017",
        "belle_semileptonic_2017_sm_like",
        "belle_semileptonic_kst_2017_sm_like",
    ]
    assert [entry.id for entry in entries.values() if not entry.applied] == [
        *IN_BINS,
        "belle_hadronic_2013",
        "belle_semileptonic_2017",
        "belle_semileptonic_kst_2017",
    ]
    assert entries["babar_hadronic_sB_bins"].quality == "proxy"
    assert all(entry.models is SplitDarkSector for entry in entries.values())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"s_B": ((0.2, 0.1),)}, "lower < upper, got \\[0.2, 0.1\\]"),
        ({"q2": ((-1.0, 2.0),)}, "got \\[-1, 2\\]"),
    ],
)
def test_requests_that_make_no_sense(sm, arguments, complaint):
    with pytest.raises(RequestError, match=complaint):
        br_k_invisible_bins(point([1.0, 0.01, 0.0, 1.0, 1.0, 1e-3]), sm, **arguments)


def test_bins_of_babar_cover_the_spectrum():
    assert S_B_BINS[0] == (0.0, 0.1) and S_B_BINS[-1][1] > ((GIVEN["MB"] - GIVEN["MK"]) / GIVEN["MB"]) ** 2
    assert searches.babar_bin_limits().limit.shape == (3,)
