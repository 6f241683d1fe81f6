"""B -> M chi chi by Phi and V exchange: checkpoints, explicit traces, mpmath, limits and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chi_pairs import GAMMA, GAMMA5, dgamma_by_traces, slash
from chi_pairs import MODES as THEIRS
from complete_points import checkpoints, model_of
from near import near
from pairs_table import KEPT, inputs, random_rows, table, widths
from printed import printed

from jaxdark.constraints.b_to_k_invisible import pair_spectra
from jaxdark.constraints.b_to_k_invisible.pair_spectra import PairCouplings, dgamma_dq2, squares
from jaxdark.constraints.b_to_k_invisible.pairs import (
    br_bs_chichi,
    br_chichi_bins,
    br_on_shell,
    dbr_dq2_chichi,
    tree_couplings,
)
from jaxdark.constraints.b_to_k_invisible.rates import br_k_invisible_bins, br_kst_invisible
from jaxdark.constraints.vector_emission import MODES
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector, width_total
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.neutrinos import dbr_dq2_k_nunu, dbr_dq2_kst_nunu

POINTS = checkpoints()["points"]
Q2 = ((0.0, 5.76), (11.56, 16.0))
BOTH = ("B+->K+", "B0->K*0")


@pytest.fixture
def sm():
    return inputs()


@jax.jit
def binned(model):
    return br_chichi_bins(model, inputs(), q2=Q2)


@jax.jit
def binned_with_yukawas(model):
    return br_chichi_bins(model, inputs())


@partial(jax.jit, static_argnames="mode")
def spectra(q2, model, mode):
    return dbr_dq2_chichi(q2, model, inputs(), mode)


@jax.jit
def printed_bins(model):
    return br_k_invisible_bins(model, inputs(), s_B=(), q2=Q2)


@jax.jit
def kst_by_two_rules(model):
    sm = load_inputs()
    return br_kst_invisible(model, sm), br_chichi_bins(model, sm, modes=("B0->K*0",))["B0->K*0"].total


def decoupled(r, m_chi, **changes):
    """No V: it is very heavy."""
    return SplitDarkSector(
        m_V=1e6, g_mu_V=0.0, r_AV=0.0, g_D=1.0, r=r, m_chi=m_chi, m_Phi=1000.0, physics="complete", **changes
    )


# ---- Checkpoints ----


@pytest.mark.parametrize("point", POINTS, ids=[f"{p['width']} {p['m_V']}" for p in POINTS])
class TestPoints:
    def test_integrals(self, point):
        found = binned(model_of(point))
        assert found["B+->K+"].total == near(point["BR_Kp_chichi"], rel=1e-8)
        assert found["B0->K*0"].total == near(point["BR_Kst0_chichi"], rel=1e-8)
        expected = [point["BR_Kp_chichi_q2[0,5.76]"], point["BR_Kp_chichi_q2[11.56,16]"]]
        assert found["B+->K+"].q2.tolist() == near(expected, rel=1e-8)

    def test_v_exchange_alone(self, point):
        found = binned(model_of(point, tree=False))
        assert found["B+->K+"].total == near(point["BR_Kp_chichi_V_only"], rel=1e-8)

    def test_spectra(self, point):
        for mode, name in zip(BOTH, ("Kp", "Kst0"), strict=True):
            q2, expected = np.transpose(point[f"dBR_dq2_{name}_chichi"])
            found = spectra(q2, model_of(point), mode).sum((0, 1))
            np.testing.assert_allclose(found, expected, rtol=1e-9)

    def test_two_body(self, point, sm):
        model = model_of(point)
        assert br_bs_chichi(model, sm).sum() == near(point["BR_Bs_chichi"], rel=1e-9)
        for mode, name in zip(BOTH, ("BR_Kp_V_onshell", "BR_Kst0_V_onshell"), strict=True):
            if name in point:
                assert br_on_shell(model, sm, mode) == near(point[name], rel=1e-9)

    def test_printed_switches_are_eq_22(self, point):
        model = model_of(
            point, loop="printed", tree=False, dipole=False, width="constant", eta7=None,
            m_chi=np.maximum(point["m_chi"], 1e-12),
        )  # fmt: skip
        found, known = binned(model)["B+->K+"], printed_bins(model)
        assert found.total == near(point["BR_Kp_chichi_paper"], rel=1e-8)
        assert found.total == near(float(known.total), rel=2e-8)
        assert found.q2.tolist() == near(known.q2.tolist(), rel=2e-8)


@pytest.mark.parametrize("case", checkpoints()["off_diagonal"], ids=("close", "far"))
def test_all_pairs(case):
    y_s, y_b = np.array(case["y_s"]), np.array(case["y_b"])
    model = decoupled(y_s * y_b, case["m_chi"], y_s=y_s, y_b=y_b)
    found = binned_with_yukawas(model)
    for mode, name in zip(BOTH, ("Kp", "Kst0"), strict=True):
        assert found[mode].total == near(case[f"BR_{name}_all_pairs"], rel=1e-8)
        assert spectra(9.0, model, mode)[0, 1] == near(case[f"dBR_dq2_{name}_pair_12_at_q2_9"], rel=1e-9)


@pytest.mark.parametrize("row", checkpoints()["tree_only_mPhi_1TeV"], ids=lambda row: str(row["m_chi"]))
def test_tree_alone(row, sm):
    model = decoupled(1.0, (row["m_chi"],))
    found = binned(model)
    assert found["B+->K+"].total == near(row["BR_Kp_per_yy2"], rel=1e-8)
    assert found["B0->K*0"].total == near(row["BR_Kst0_per_yy2"], rel=1e-8)
    expected = [row["BR_Kp_q2[0,5.76]_per_yy2"], row["BR_Kp_q2[11.56,16]_per_yy2"]]
    assert found["B+->K+"].q2.tolist() == near(expected, rel=1e-8)
    assert br_bs_chichi(model, sm)[0, 0] == near(row["BR_Bs_per_yy2"], rel=1e-9)
    assert np.sqrt(1.6e-5 / found["B+->K+"].total) == near(row["yy_max_for_BR_Kp_1p6em5"], rel=1e-8)


# ---- Independent routes ----


@pytest.mark.parametrize("mode", THEIRS)
@pytest.mark.parametrize("m_1, m_2, s", [(0.3, 1.1, 9.0), (1.2, 0.0, 14.0), (0.7, 0.7, 3.1), (1e-3, 2.0, 4.3)])
def test_spectrum_against_traces(mode, m_1, m_2, s, sm):
    """Gamma matrices, polarisation vectors and covariant form factors, for couplings of every kind."""
    channel = MODES[mode]
    m_B, m_M, _ = channel.masses(sm)
    ff = (vector_form_factors if channel.spin else pseudoscalar_form_factors)(s, channel.form_factors(sm))
    C_V, C_A = 0.3 - 0.8j, 0.7 + 0.2j
    expected = dgamma_by_traces(s, float(m_B), float(m_M), ff, m_1, m_2, C_V, C_A)
    couplings = squares(PairCouplings(jnp.asarray(C_V), jnp.asarray(C_A)))
    assert dgamma_dq2(jnp.asarray(s), channel, sm, (m_1, m_2), couplings) == near(expected, rel=1e-11)


def rows_and_trees():
    """Every row with Phi exchange or without it, the other way round in a long run."""
    for k, row in enumerate(table()):
        name, tree = f"{row['width']} {row['m_V']:.4g} {len(row['m_chi'])}", (k + k // 2) % 2 == 0
        yield pytest.param(row, tree, id=name)
        yield pytest.param(row, not tree, id=f"{name} other", marks=pytest.mark.slow)


@pytest.mark.parametrize("row, tree", list(rows_and_trees()))
def test_against_mpmath(row, tree, sm):
    model = model_of(row, tree=tree)
    found, stable = binned(model), float(width_total(model, sm)) == 0
    for mode, lifetime in zip(BOTH, (sm.tau_Bp, sm.tau_B0), strict=True):
        on_shell = float(br_on_shell(model, sm, mode)) if stable else 0.0
        assert found[mode].total == near(float(lifetime) * row[KEPT[tree]][mode] + on_shell, rel=1e-8)


def test_the_table_has_the_rows_of_its_script():
    assert [{name: row[name] for name in row if name not in KEPT.values()} for row in table()] == random_rows()


@pytest.mark.slow
@pytest.mark.parametrize("tree", KEPT, ids=KEPT.values())
@pytest.mark.parametrize("k", range(13))
def test_the_table_is_that_of_mpmath(k, tree):
    row = random_rows()[k]
    assert table()[k][KEPT[tree]] == near(widths(row, tree), rel=1e-12)


def test_bins_add_up(sm):
    model = model_of(POINTS[2])
    edges = (0.0, 1.0, 4.41, 4.5, 10.0, 19.0, 30.0)
    bins = tuple(zip(edges[:-1], edges[1:], strict=True))
    s_B = ((0.0, 0.2), (0.2, 1.0))
    found = jax.jit(lambda model: br_chichi_bins(model, sm, tuple(MODES), s_B=s_B, q2=bins))(model)
    for rates in found.values():
        assert rates.q2.sum() == near(float(rates.total), rel=1e-9)
        assert rates.s_B.sum() == near(float(rates.total), rel=1e-9)
    # Decays with others beside them have other nodes.
    assert found["B+->K+"].total == near(POINTS[2]["BR_Kp_chichi"], rel=1e-9)


# ---- Limits and signs ----


def test_light_chi_have_the_spectrum_of_neutrinos(sm):
    q2 = np.linspace(0.1, 18.0, 7)
    model = decoupled(0.05, (1e-7,))
    for mode, nunu in (("B+->K+", dbr_dq2_k_nunu), ("B0->K*0", dbr_dq2_kst_nunu)):
        ratio = spectra(q2, model, mode)[0, 0] / nunu(q2, sm)
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


@pytest.mark.parametrize("r", [0.1, -0.1])
def test_v_adds_to_phi_below_its_mass_and_cancels_it_above(r):
    def spectrum(q2, **switches):
        model = SplitDarkSector(
            m_V=3.0, g_mu_V=0.0, r_AV=0.0, g_D=1.0, r=r, m_chi=(0.1,), physics="complete", dipole=False, **switches
        )
        return float(spectra(q2, model, "B+->K+")[0, 0])

    for q2, sign in ((6.0, 1), (13.0, -1)):
        tree = spectrum(q2, width="constant") - spectrum(q2, width="constant", tree=False)
        alone = float(spectra(q2, decoupled(r, (0.1,), dipole=False), "B+->K+")[0, 0])
        assert sign * (tree - alone) > 0


def test_closed_decays(sm):
    """K*0 is closed at 2.3 GeV, everything at 3 GeV: no rate and no slope, not even from masses."""

    def rates(m_chi):
        model = SplitDarkSector(
            m_V=1.0, g_mu_V=0.1, r_AV=0.0, g_D=1.0, r=0.1, m_chi=(m_chi,), physics="complete", eta7=0.5
        )
        return jnp.stack([rates.total for rates in br_chichi_bins(model, sm).values()])

    found, slopes = (np.array(x) for x in jax.jit(jax.vmap(lambda m: jax.jvp(rates, (m,), (1.0,))))(np.array([2.3, 3])))
    assert (found[:, 1] == 0).all() and found[1, 0] == 0 and found[0, 0] > 0
    assert (slopes[:, 1] == 0).all() and slopes[1, 0] == 0 and slopes[0, 0] < 0


def test_v_that_cannot_decay_is_unseen(sm):
    model = model_of(POINTS[2], m_V=0.1, m_chi=(0.06,), width="constant")
    found = jax.jit(lambda model: br_chichi_bins(model, sm, q2=((0.0, 0.009), (0.009, 0.012), (1.0, 9.0))))(model)
    for mode, rates in found.items():
        on_shell = float(br_on_shell(model, sm, mode))
        assert rates.q2[1] == near(on_shell, rel=1e-12)  # below the threshold of the pair
        assert rates.q2[0] == 0 and rates.total > on_shell > 0


# ---- Yukawa couplings ----


def test_requests_that_make_no_sense(sm):
    model = decoupled((0.06, -0.06), (0.5, 1.2))
    assert tree_couplings(model)[0, 1] == 0
    with pytest.raises(RequestError, match="must be one of"):
        br_chichi_bins(model, sm, ("B->K",))
    with pytest.raises(RequestError, match="0 <= lower < upper"):
        br_chichi_bins(model, sm, q2=((2.0, 1.0),))


def test_bs_to_different_chi(sm):
    """As an explicit trace: |ubar pslash P_R v|^2 with p = p_1 + p_2."""
    M, m_1, m_2, T = float(sm.m_Bs), 0.4, 1.9, 3e-8
    E_1, E_2 = (M**2 + m_1**2 - m_2**2) / (2 * M), (M**2 + m_2**2 - m_1**2) / (2 * M)
    k = np.sqrt(E_1**2 - m_1**2)
    p_1, p_2 = np.array([E_1, 0, 0, k]), np.array([E_2, 0, 0, -k])
    vertex = slash(p_1 + p_2) @ (np.eye(4) + GAMMA5) / 2
    conjugate = GAMMA[0] @ vertex.conj().T @ GAMMA[0]
    trace = np.trace((slash(p_1) + m_1 * np.eye(4)) @ vertex @ (slash(p_2) - m_2 * np.eye(4)) @ conjugate).real
    expected = (float(sm.f_Bs) * T / 2) ** 2 * trace * k / (8 * np.pi * M**2)
    found = pair_spectra.width_bs_chichi(jnp.array([[0, T], [T, 0]]), jnp.array([m_1, m_2]), sm)
    assert found[0, 1] == near(expected, rel=1e-12) and found[1, 0] == near(expected, rel=1e-12)
    assert pair_spectra.width_bs_chichi(jnp.full((1, 1), T), jnp.array([3.0]), sm)[0, 0] == 0


# ---- Gradients ----

NAMES = ("m_V", "m_chi", "g_D", "r", "g_mu_V", "r_AV", "m_Phi")


@pytest.mark.parametrize(
    "width", ["running", *(pytest.param(name, marks=pytest.mark.slow) for name in ("constant", "dispersive"))]
)
def test_gradient(width, sm):
    def rates(values):
        point = dict(zip(NAMES, values, strict=True))
        model = SplitDarkSector(**(point | {"m_chi": (point["m_chi"],)}), physics="complete", width=width)
        found = br_chichi_bins(model, sm, q2=((0.0, 5.76),))
        return jnp.stack([found["B+->K+"].q2[0], found["B0->K*0"].total])

    at = np.array([[2.1, 0.4, 1.5, 0.1, 0.05, -0.4, 1000.0], [4.0, 0.03, 2.5, -0.2, 0.3, 0.6, 1500.0]])
    value, slopes = jax.jit(jax.vmap(lambda x: (rates(x), jax.jacrev(rates)(x))))(at)
    steps = 1e-4 * at[:, None] * np.eye(len(NAMES))
    around = jax.jit(jax.vmap(jax.vmap(rates)))
    near_ones = [around(at[:, None] + k * steps) for k in (-2, -1, 1, 2)]
    by_differences = (near_ones[0] - 8 * near_ones[1] + 8 * near_ones[2] - near_ones[3]) / 12e-4
    found = np.moveaxis(np.asarray(slopes), 1, 2) * at[:, :, None]
    np.testing.assert_allclose(found, by_differences, rtol=1e-6, atol=1e-9 * float(np.max(value)))


@pytest.mark.parametrize(
    ("m_V", "g_D", "m_chi"), [(3.0, 1.0, 1e-3), (5.0, 3.0, 0.5), (2.0, 0.01, 0.9), (1.0, 1e-4, 0.3)]
)
def test_printed_width_of_kst_by_two_rules(m_V, g_D, m_chi):
    """The subtraction at the pole and the graded panels."""
    model = printed(m_V=m_V, g_mu_V=0.01, r_AV=-0.4, g_D=g_D, r=0.3, m_chi=m_chi)
    subtracted, panels = kst_by_two_rules(model)
    assert float(subtracted) == near(float(panels), rel=1e-8)
