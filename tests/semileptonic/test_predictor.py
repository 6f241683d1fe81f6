"""The vector of predictions: rows equal the public functions, tables equal the full amplitudes, nuisances enter."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from near import near
from printed import printed

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs, read_data
from jaxdark.measurements.schema import PROCESSES
from jaxdark.models.wilson import CONTACT_NAMES, SM_ONLY, Contact, NewPhysics, Resonance
from jaxdark.semileptonic.leptonic import br_bs_mumu, tau_mumu
from jaxdark.semileptonic.observables import ANGULAR_NAMES, binned_angular, binned_dBR, lepton_ratio
from jaxdark.semileptonic.predictor import Predictor

SM = load_inputs()
LOW, EDGE, HIGH = (1.1, 6.0), (4.0, 6.0), (15.0, 17.0)
RATIOS = {"B+->K+ll": "B+->K+", "B0->K0ll": "B0->K0", "B0->K*0ll": "B0->K*0", "B+->K*+ll": "B0->K*0"}


class Wanted(NamedTuple):
    process: str
    observable: str
    q2: tuple[float, float] | None


def all_rows():
    """Every observable of every channel at low and high q2, in overlapping bins, in no order, one of them twice."""
    spin_one = ("B0->K*0mumu", "Bs->phimumu", "B+->K*+mumu")
    spin_zero = ("B+->K+mumu", "B0->K0mumu", "B+->K+ee")
    rows = [Wanted(p, name, q2) for p in spin_one for name in ("dBR", *ANGULAR_NAMES) for q2 in (LOW, HIGH)]
    rows += [Wanted("B0->K*0mumu", name, EDGE) for name in ("dBR", *ANGULAR_NAMES)]
    rows += [Wanted("B0->K*0ee", name, LOW) for name in ("dBR", "FL", "P4p")]
    rows += [Wanted(p, "dBR", q2) for p in spin_zero for q2 in (LOW, (15.0, 22.0))]
    rows += [Wanted(p, "R_Kst" if "K*" in p else "R_K", LOW) for p in RATIOS]
    rows += [Wanted("Bs->mumu", "BR", None), Wanted("Bs->mumu", "tau_mumu", None), Wanted("B0->K*0mumu", "P5p", EDGE)]
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


ROWS = all_rows()
INDEX = {row: i for i, row in enumerate(ROWS)}


@pytest.fixture(scope="module")
def predictor():
    return Predictor(ROWS, SM)


@pytest.fixture(scope="module")
def at_xi(predictor):
    """Full amplitudes at every node, nuisances at xi."""
    return jax.jit(lambda physics, xi: predictor(physics, xi))


@pytest.fixture(scope="module")
def full(at_xi, predictor):
    """The same at the centre."""
    return lambda physics: np.asarray(at_xi(physics, np.zeros(len(predictor.nuisances))))


@pytest.fixture(scope="module")
def tables(predictor):
    return jax.jit(predictor.tabulated())


def record(m_V=2.0, width=0.05, kappa9=0.4, kappa10=-0.15, contact=None, bs_current="paper"):
    """width in units of m_V."""
    return NewPhysics(contact, Resonance(*map(np.float64, (kappa9, kappa10, m_V, width * m_V)), bs_current))


def scale(values):
    """The value for rates and ratios of rates, 1 for normalised angular observables."""
    return np.array([1.0 if row.observable in ANGULAR_NAMES else v for row, v in zip(ROWS, values, strict=True)])


def assert_equal(result, expected, accuracy=1e-12):
    error = np.abs(np.asarray(result) - expected) / scale(expected)
    assert error.max() <= accuracy, (ROWS[error.argmax()], error.max())


# ---- Rows ----


def public(physics):
    """What a user would call for some of the rows."""
    angular = {(p, q2): binned_angular(p, q2, physics, SM) for p, q2 in (("B0->K*0mumu", EDGE), ("Bs->phimumu", LOW))}
    values = {
        Wanted(p, name, q2): value
        for (p, q2), named in angular.items()
        for name, value in named.items()
        if name in ANGULAR_NAMES
    }
    for process, q2 in (("B0->K*0mumu", LOW), ("B+->K+mumu", (15.0, 22.0)), ("B0->K*0ee", LOW)):
        values[Wanted(process, "dBR", q2)] = binned_dBR(process, q2, physics, SM)
    for process, name in (("B+->K+ll", "R_K"), ("B0->K*0ll", "R_Kst")):
        values[Wanted(process, name, LOW)] = lepton_ratio(RATIOS[process], LOW, physics, SM)
    leptonic = {"BR": br_bs_mumu(physics, SM), "tau_mumu": tau_mumu(physics, SM)}
    return values | {Wanted("Bs->mumu", name, None): value for name, value in leptonic.items()}


def test_rows_equal_the_public_functions(full):
    result, expected = full(record()), jax.jit(public)(record())
    assert len(expected) == 2 * len(ANGULAR_NAMES) + 3 + 2 + 2
    for row, value in expected.items():
        assert result[INDEX[row]] == near(float(value), rel=1e-11), row


def test_a_row_given_twice_and_modes_with_the_same_ratio(full):
    result = full(record())
    first = ROWS.index(Wanted("B0->K*0mumu", "P5p", EDGE))
    assert first != INDEX[ROWS[first]]
    assert result[first] == result[INDEX[ROWS[first]]]
    assert result[INDEX[Wanted("B+->K*+ll", "R_Kst", LOW)]] == result[INDEX[Wanted("B0->K*0ll", "R_Kst", LOW)]]


def test_the_checks_of_data_know_what_is_predicted():
    Predictor([
        Wanted(process, observable, LOW if known.q2_range else None)
        for process, known in PROCESSES.items()
        for observable in known.observables
    ], SM)  # fmt: skip


def test_order_of_the_rows_is_kept(full):
    chosen = [ROWS[i] for i in (30, 4, 17)] + [Wanted("Bs->mumu", "BR", None)]
    some = jax.jit(Predictor(chosen, SM).tabulated())(record())
    np.testing.assert_allclose(some, full(record())[[INDEX[row] for row in chosen]], rtol=1e-11)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            Wanted("B0->K*0mumu", "P6", LOW),
            r"no prediction for .* 'P6' of 'B0->K\*0mumu'; known are dBR of",
        ),
        (Wanted("B+->K+mumu", "FL", LOW), r"no prediction for the observable 'FL' of 'B\+->K\+mumu'"),
        (Wanted("B+->K+mumu", "R_K", LOW), r"R_K or R_Kst of B\+->K\+ll"),
        (Wanted("Bs->ee", "BR", None), "BR and tau_mumu of Bs->mumu"),
        (Wanted("B0->K*0mumu", "P5p", (8.0, 10.0)), "touches the narrow charmonia"),
    ],
)
def test_rows_without_prediction_are_refused(row, words):
    with pytest.raises(RequestError, match=words):
        Predictor([ROWS[0], row], SM)


# ---- Tables ----


def random_resonances(n):
    rng = np.random.default_rng(7)
    m_V, width = np.exp(rng.uniform(np.log(0.3), np.log(20), n)), 10 ** rng.uniform(-8, 0, n)
    # Far away a resonance acts with kappa/m_V^2.
    kappa9, kappa10 = rng.normal(size=(2, n)) * 0.3 * np.maximum(1.0, m_V**2 / 8)
    return [record(*values) for values in zip(m_V, width, kappa9, kappa10, strict=True)]


def test_tables_equal_full_amplitudes(full, tables):
    for physics in random_resonances(100):
        assert_equal(tables(physics), full(physics))


@pytest.mark.parametrize("edge", [1.1, 4.0, 6.0, 15.0])
def test_tables_equal_full_amplitudes_with_the_peak_on_an_edge(edge, full, tables):
    for width in (1e-8, 1e-3):
        assert_equal(tables(record(np.sqrt(edge), width)), full(record(np.sqrt(edge), width)))


def test_tables_without_a_resonance(full, tables):
    assert_equal(tables(SM_ONLY), full(record(kappa9=0.0, kappa10=0.0)))


def test_tables_in_every_treatment_of_the_longitudinal_part():
    sensitive = (("B0->K*0mumu", "dBR", LOW), ("B+->K+mumu", "dBR", LOW), ("Bs->mumu", "BR", None))
    few = Predictor([Wanted(*row) for row in sensitive], SM)
    full, tables = jax.jit(lambda physics: few(physics)), jax.jit(few.tabulated())
    for bs_current in ("without_C_P", "conserved"):
        for m_V in (0.7, 2.3, 6.0):
            physics = record(m_V, bs_current=bs_current)
            np.testing.assert_allclose(tables(physics), full(physics), rtol=1e-12)


def test_tables_with_contact_terms(full, tables):
    """Complex ones and, with zero imaginary part, real ones; beside a resonance and alone."""
    rng = np.random.default_rng(3)
    for imaginary in (0.5, 0.5, 0.0):
        values = rng.normal(size=(8, 2)) @ [0.5, 1j * imaginary]
        contact = Contact(**dict(zip(CONTACT_NAMES, values, strict=True)))
        assert_equal(tables(record(contact=contact)), full(record(contact=contact)))
        assert_equal(tables(NewPhysics(contact)), full(record(contact=contact, kappa9=0.0, kappa10=0.0)))
    real = jax.tree.map(lambda z: np.float64(z.real), contact)
    assert_equal(tables(NewPhysics(real)), np.asarray(tables(NewPhysics(contact))))


def model(vector):
    return printed(**dict(zip(("m_V", "g_mu_V", "r_AV", "g_D", "r"), vector, strict=True)))


@pytest.fixture(scope="module")
def gradient(predictor):
    """Value of the tables at a parameter vector and derivative along a direction."""
    tabulated = predictor.tabulated()
    return jax.jit(lambda v, t: jax.jvp(lambda x: tabulated(model(x)), (v,), (t,)))


@pytest.mark.parametrize("m_V", [0.9, 2.2, np.sqrt(6.0), 5.5])
def test_gradients_of_the_tables(m_V, gradient, full):
    """Along one direction of all parameters, against finite differences of the full amplitudes."""
    vector = np.array([m_V, 0.03, -0.4, 0.7, -2.0])
    direction = 3e-3 * vector * [0.2, -2.0, 0.5, 0.3, 1.0]
    value, slope = gradient(vector, direction)
    f = lambda step: full(jax.tree.map(np.asarray, model(vector + step * direction).new_physics(SM)))  # noqa: E731
    difference = [(f(h) - f(-h)) / (2 * h) for h in (1.0, 0.5, 0.25)]
    first = [(4 * difference[i + 1] - difference[i]) / 3 for i in range(2)]
    assert_equal(value, f(0.0))
    expected = (16 * first[1] - first[0]) / 15
    assert np.all(np.abs(slope - expected) <= 1e-6 * np.maximum(np.abs(slope), 3e-3 * np.abs(value)))


# ---- Nuisance parameters ----


@pytest.fixture(scope="module")
def slopes(predictor, at_xi):
    """Derivatives of the Standard Model's predictions by each coordinate, by finite differences."""
    sm, n = record(kappa9=0.0, kappa10=0.0), len(predictor.nuisances)
    columns = [(at_xi(sm, 0.01 * unit) - at_xi(sm, -0.01 * unit)) / 0.02 for unit in np.eye(n)]
    return dict(zip(predictor.nuisances.names, np.array(columns), strict=True))


def test_nuisances_reach_the_rows_they_belong_to(slopes, full):
    rows = lambda test: np.array([test(row) for row in ROWS])  # noqa: E731
    bs, rate = rows(lambda row: row.observable == "BR"), rows(lambda row: row.observable in ("BR", "dBR"))
    families = {
        ("B_to_K/", " K_"): rows(lambda row: row.process.startswith(("B+->K+", "B0->K0"))),
        ("Bs_to_phi/", " phi_"): rows(lambda row: "phi" in row.process),
        ("B_to_Kst/", " Kst_"): rows(lambda row: "K*" in row.process),
    }
    sm = np.abs(full(record(kappa9=0.0, kappa10=0.0)))
    assert np.array_equal(slopes["f_Bs"] != 0, bs)
    assert np.array_equal(np.abs(slopes["lambda_t"]) > 1e-10 * sm, rate)
    for name, column in slopes.items():
        for marks, reached in families.items():
            if any(mark in name for mark in marks):
                assert not column[~reached].any(), name
                assert column[reached].any(), name


def test_hadronic_parameters_act_in_their_region_alone(slopes):
    high = np.array([row.q2 is not None and row.q2[0] > 14 for row in ROWS])
    for name, column in slopes.items():
        if "_low/" in name:
            assert not column[high].any(), name
        if "_high/" in name:
            assert not column[~high].any(), name


def test_theory_errors_of_the_standard_model(slopes, full):
    """Sec. 11.2: two digits from random draws, V_tb V_ts^* left out; those of B -> K are the form factors' alone."""
    sm = full(record(kappa9=0.0, kappa10=0.0))
    error = np.sqrt(sum(column**2 for name, column in slopes.items() if name != "lambda_t"))
    printed = {"FL": 0.049, "AFB": 0.039, "P4p": 0.025, "P5p": 0.074, "P2": 0.070, "dBR": 0.76e-8}
    found = {name: error[INDEX[Wanted("B0->K*0mumu", name, EDGE)]] for name in printed}
    assert found == near(printed, rel=0.08)
    error = np.sqrt(sum(column**2 for name, column in slopes.items() if "B_to_K/" in name))
    for q2, relative in ((LOW, 0.16), ((15.0, 22.0), 0.05)):
        i = INDEX[Wanted("B+->K+mumu", "dBR", q2)]
        assert error[i] / sm[i] == near(relative, rel=0.05)


def test_scales_of_the_nuisances(predictor):
    """One standard deviation of each: Sec. 2.4, 1.15 per cent of V_tb V_ts^*, f_Bs of Sec. 1.2."""
    nuisances = predictor.nuisances
    unit = lambda name: nuisances.inputs(np.eye(len(nuisances))[nuisances.names.index(name)], SM)  # noqa: E731
    assert unit("lambda_t").lambda_t / SM.lambda_t - 1 == near(-0.0115, abs=1e-6)
    assert unit("f_Bs").f_Bs - SM.f_Bs == near(0.0013)
    assert unit("Re Kst_low/a_0").hadronic.Kst_low.tolist() == [0.186, 0, 0, 0, 0, 0]
    assert unit("Im Kst_low/b_plus").hadronic.Kst_low.tolist() == [0, 0, 0, 0, 0, 0.216j]
    assert unit("Im phi_low/b_0").hadronic.phi_low.tolist() == [0, 2.2j, 0, 0, 0, 0]
    assert unit("Re phi_high/c_minus").hadronic.phi_high.tolist() == [0, 0.3, 0]
    assert unit("Re K_low/b").hadronic.K_low.tolist() == [0, 0.03]
    assert unit("Im K_high/c").hadronic.K_high.tolist() == [0.2j]


@pytest.mark.parametrize(
    ("field", "entry"),
    [("B_to_K", "B_to_K_FNALMILC2015"), ("B_to_Kst", "B_to_Kst_BSZ2015"), ("Bs_to_phi", "Bs_to_phi_BSZ2015")],
)
def test_form_factor_coordinates_have_the_published_uncertainties(field, entry, predictor):
    nuisances, entry = predictor.nuisances, read_data("form_factors.yaml")[entry]
    units = [unit for unit, name in zip(np.eye(len(nuisances)), nuisances.names, strict=True) if f"{field}/" in name]
    coefficients = lambda xi: getattr(nuisances.inputs(xi, SM), field).coefficients  # noqa: E731
    shifts = np.array([coefficients(unit) - coefficients(0 * unit) for unit in units])
    error = np.sqrt((shifts**2).sum(axis=0))
    np.testing.assert_allclose(error, entry["uncertainty"], rtol=1e-6)
    if "correlation" in entry:
        np.testing.assert_allclose(shifts.T @ shifts / np.outer(error, error), entry["correlation"], atol=1e-6)
