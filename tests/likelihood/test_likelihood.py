"""The likelihood in its two modes against linear algebra by hand, and finite everywhere on the prior."""

import dataclasses
import os
import pickle
import subprocess
import sys
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer
from near import near
from printed import printed
from scipy.optimize import least_squares

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import PRIORS, Prior, Range, prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.base import Model
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import DarkSector
from jaxdark.models.wilson import SM_ONLY, Contact, NewPhysics, Resonance
from jaxdark.semileptonic.leptonic import br_bs_mumu

HIGH = prior_of("high")
VECTOR = np.array([5.5, 0.03, -0.4, 1.0, -3.0])
POINT = HIGH.model(VECTOR)


# ---- One row: everything by hand ----


def only_bs_mumu(name="lhcb_core"):
    """The data set cut down to BR(Bs -> mu mu) of LHCb."""
    data = load_dataset(name)
    (i,) = [i for i, row in enumerate(data.rows) if row.process == "Bs->mumu" and row.experiment == "LHCb"]
    return dataclasses.replace(data, rows=data.rows[i : i + 1], correlation=data.correlation[i : i + 1, i : i + 1])


@pytest.fixture(scope="module")
def one_row():
    return Likelihood(only_bs_mumu())


def by_hand(like, model, reference=SM_ONLY):
    """chi2 of the one row: nothing but f_Bs and lambda_t has an uncertainty, and BR goes with f_Bs^2.

    In lambda_t it is a parabola, of which a central difference of any step gives the slope.
    """
    (row,) = like.data.rows
    error = (row.error_plus + row.error_minus) / 2
    up, down = (
        float(br_bs_mumu(reference, load_inputs({"lambda_t": float(like.sm.lambda_t) + h}))) for h in (1e-3, -1e-3)
    )
    of_lambda_t = (up - down) / 2e-3 * 0.000473797
    theory = np.hypot(2 * 0.0013 / 0.2303 * float(br_bs_mumu(reference, like.sm)), of_lambda_t)
    return (float(br_bs_mumu(model, like.sm)) - row.value) ** 2 / (error**2 + theory**2)


def test_one_row(one_row):
    assert one_row.nuisance_names == ("lambda_t", "f_Bs")
    for model in (SM_ONLY, POINT, ConstantWilson(C9=-1.0, C10=0.7)):
        assert one_row.terms(model)["flavour"] == near(-0.5 * by_hand(one_row, model), rel=1e-12)
    relative = one_row.theory_error[0] / one_row.predictions(SM_ONLY)[0]
    assert relative == near(2 * np.hypot(0.0013 / 0.2303, 0.0115), rel=1e-4)


def test_reference_moves_the_covariance_alone(one_row):
    heavy = ConstantWilson(C10=-4.0)
    moved = one_row.at(heavy)
    np.testing.assert_array_equal(moved.predictions(POINT), one_row.predictions(POINT))
    for like, reference in ((one_row, SM_ONLY), (moved, heavy), (moved.at(None), SM_ONLY), (moved.at(POINT), POINT)):
        assert like(NewPhysics()) == near(-0.5 * by_hand(like, SM_ONLY, reference), rel=1e-12)
    assert one_row.reference is None
    whitened = one_row.terms(SM_ONLY, whitening=moved.whitening)["flavour"]
    assert whitened == moved.terms(SM_ONLY)["flavour"] != one_row.terms(SM_ONLY)["flavour"]


def test_reference_given_at_the_start():
    heavy = ConstantWilson(C10=-4.0)
    like = Likelihood(only_bs_mumu(), reference=heavy)
    assert like(SM_ONLY) == near(-0.5 * by_hand(like, SM_ONLY, heavy), rel=1e-12)


def test_inputs_of_ones_own(one_row):
    like = Likelihood(only_bs_mumu(), inputs=load_inputs({"f_Bs": 0.25}))
    assert like.predictions(SM_ONLY)[0] / one_row.predictions(SM_ONLY)[0] == near((0.25 / 0.2303) ** 2)


def test_no_constants():
    """A prediction on the measured value has log-likelihood zero."""
    data = only_bs_mumu()
    exact = dataclasses.replace(data.rows[0], value=float(br_bs_mumu(SM_ONLY, load_inputs())))
    assert Likelihood(dataclasses.replace(data, rows=(exact,)))(SM_ONLY) == near(0.0, abs=1e-20)


def test_full_mode():
    """Nuisances as parameters: BR goes with (V_tb V_ts^*)^2 and f_Bs^2, the prior of xi is a term of its own."""
    like = Likelihood(only_bs_mumu(), theory="full")
    (row,), xi = like.data.rows, np.array([0.7, -1.3])
    relative = (1 - 0.000473797 / 0.0411997 * xi[0]) * (1 + 0.0013 / 0.2303 * xi[1])
    z = (relative**2 * float(br_bs_mumu(SM_ONLY, like.sm)) - row.value) / ((row.error_plus + row.error_minus) / 2)
    terms = like.terms(SM_ONLY, xi)
    assert terms == {"flavour": near(-0.5 * z**2), "g_minus_2": 0, "nuisances": near(-0.5 * xi @ xi)}
    assert like(SM_ONLY, xi) == near(float(sum(terms.values())), rel=1e-14)
    assert like.log_likelihood(np.concatenate([VECTOR, xi])) == near(float(like(POINT, xi)), rel=1e-13)


class Following(Model):
    """A resonance whose mass goes with a power of V_tb V_ts^*."""

    power: float

    def new_physics(self, sm):
        return NewPhysics(resonance=Resonance(-1.0, 0.8, 3.0 * (sm.lambda_t / -0.0411997) ** self.power, 0.1))

    def muon_couplings(self):
        return None


def test_all_that_the_nuisances_move_counts(one_row):
    """A mass that they move, as well as one that they do not; by central differences."""
    found = []
    for model in (Following(power=0.0), Following(power=1.0)):
        ends = [[one_row.predictor(model, sign * 0.01 * e)[0] for sign in (1, -1)] for e in np.eye(2)]
        found.append(one_row.at(model).theory_jacobian[0])
        assert found[-1] == near(np.subtract(*np.transpose(ends)) / 0.02, rel=1e-5)
    assert abs(found[1][0] - found[0][0]) > 0.01 * abs(found[0][0])


G_MINUS_2 = {
    "limit": lambda a: -0.5 * (a / 2e-9) ** 2,
    "upper": lambda a: -0.5 * (max(a, 0.0) / 2e-9) ** 2,
    "measurement": lambda a: -0.5 * ((a - 2.74e-9) / 7.6e-10) ** 2,
    # 116592071.5(14.5)e-11 of 2025 minus 116591810(43)e-11 of the White Paper of 2020; 38(63)e-11 with that of 2025
    "wp2020": lambda a: -0.5 * ((a - 2.615e-9) / 4.54e-10) ** 2,
    "wp2025": lambda a: -0.5 * ((a - 3.8e-10) / 6.3e-10) ** 2,
}


@pytest.mark.parametrize("reading", G_MINUS_2)
def test_muon_g_minus_2(reading):
    """4e-9 is the 2-sigma point of a Gaussian of mean zero; its upper half alone; or the measured difference."""
    like = Likelihood(only_bs_mumu(), g_minus_2=reading)
    for r_AV in (0.0, -0.3, -1.0):
        model = DarkSector(m_V=2.0, g_mu_V=0.01, r_AV=r_AV, g_D=1.0, r=-1.0)
        a = float(delta_a_mu(model, like.sm))
        assert (a < 0) == (r_AV == -1.0)
        assert like.terms(model)["g_minus_2"] == near(G_MINUS_2[reading](a), rel=1e-12)
        assert like.evaluate(model).terms["g_minus_2"] == near(G_MINUS_2[reading](a), rel=1e-12)


@pytest.mark.parametrize("reading", G_MINUS_2)
def test_muon_g_minus_2_of_a_model_without_a_vector(reading):
    """Contact terms and the Standard Model predict no shift; a bare record of a vector does not say what it does."""
    like = Likelihood(only_bs_mumu(), g_minus_2=reading)
    expected = near(G_MINUS_2[reading](0.0))
    for model in (ConstantWilson(C9=-1.0), NewPhysics(Contact(C9=-1.0)), SM_ONLY):
        assert like.terms(model)["g_minus_2"] == expected
        assert like.evaluate(model).terms["g_minus_2"] == expected
    assert like.terms(NewPhysics(resonance=Resonance(-1.0, 0.1, 3.0, 0.01)))["g_minus_2"] == 0


def test_smooth_start_of_the_upper_limit():
    """Value and slope are zero at no shift."""
    like = Likelihood(only_bs_mumu(), g_minus_2="upper")
    slope = jax.grad(lambda g: like.terms(DarkSector(m_V=2.0, g_mu_V=g, r_AV=0.0, g_D=1.0, r=-1.0))["g_minus_2"])
    assert slope(0.0) == 0


@pytest.mark.parametrize("mode", ["marginalised", "following", "full"])
def test_first_use_inside_a_trace(mode):
    """Tables and covariance are made on first use, which may be inside jit, grad or vmap of the user."""
    like, fresh = (Likelihood(only_bs_mumu(), theory=mode) for _ in range(2))
    xi = np.array([0.3, -0.2]) if mode == "full" else None
    expected = like(POINT, xi)
    value, gradient = jax.jit(jax.value_and_grad(lambda model: fresh(model, xi)))(POINT)
    assert value == near(float(expected), rel=1e-13)
    assert np.isfinite(gradient.m_V)
    assert fresh(POINT, xi) == near(float(expected), rel=1e-13)
    assert jax.vmap(lambda c: fresh(ConstantWilson(C10=c), xi))(np.array([0.0, 1.0])).shape == (2,)


@pytest.mark.parametrize("arguments", [{"theory": "both"}, {"g_minus_2": "lower"}])
def test_unknown_modes_are_refused(arguments):
    (name, value), known = (
        *arguments.items(),
        {"theory": "marginalised, following, full", "g_minus_2": "limit, upper, measurement, wp2020, wp2025"},
    )
    with pytest.raises(RequestError, match=f"^{name} must be one of {known[name]}, got '{value}'$"):
        Likelihood(only_bs_mumu(), **arguments)


def test_rows_without_prediction_are_refused():
    data = only_bs_mumu()
    row = dataclasses.replace(data.rows[0], process="Bs->ee")
    with pytest.raises(RequestError, match="no prediction for the observable 'BR' of 'Bs->ee'"):
        Likelihood(dataclasses.replace(data, rows=(row,)))


def test_a_model_that_is_no_resonance_in_evaluate(one_row):
    at_sm = one_row.at(SM_ONLY)
    for model in (NewPhysics(contact=Contact(C10=1)), ConstantWilson(C10=1.0), SM_ONLY, POINT):
        assert at_sm.evaluate(model).log_likelihood == near(float(one_row(model)), rel=1e-11)


# ---- All rows ----


@pytest.fixture(scope="module")
def z_at(paper2020):
    """Residuals at a parameter vector and nuisances xi, from the full amplitudes."""
    compiled = jax.jit(lambda v, xi: paper2020.residuals(paper2020.predictor(HIGH.model(v), xi)))
    return lambda vector, xi: np.asarray(compiled(vector, xi))


@pytest.fixture(scope="module")
def z_and_slopes(paper2020, z_at):
    """z at a parameter vector and its derivatives by xi, the latter by finite differences."""
    units = np.eye(len(paper2020.nuisance_names))

    def evaluate(vector):
        D = {h: np.array([z_at(vector, h * e) - z_at(vector, -h * e) for e in units]) / (2 * h) for h in (0.02, 0.04)}
        return z_at(vector, 0 * units[0]), ((4 * D[0.02] - D[0.04]) / 3).T

    return evaluate


NO_COUPLING = np.array([5.5, 1e-9, 0.0, 1.0, -1e-9])


def test_marginalised_likelihood(paper2020, z_and_slopes):
    """z^T (R + J J^T)^-1 z with J at the Standard Model, predictions and J from the other road."""
    _, J = z_and_slopes(NO_COUPLING)
    R = paper2020.data.correlation
    for vector in (VECTOR, np.array([2.4, 0.05, -0.6, 0.5, -0.4])):
        z, _ = z_and_slopes(vector)
        chi2 = z @ np.linalg.solve(R + J @ J.T, z)
        assert paper2020.terms(HIGH.model(vector))["flavour"] == near(-0.5 * chi2, rel=1e-8)


def test_covariance_at_the_standard_model(paper2020, z_and_slopes):
    _, J = z_and_slopes(NO_COUPLING)
    np.testing.assert_allclose(paper2020.standardised_jacobian, J, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(paper2020.covariance, paper2020.data.correlation + J @ J.T, rtol=1e-6, atol=1e-8)
    assert np.linalg.eigvalsh(paper2020.covariance).min() > 0


def test_covariance_at_a_model(paper2020, z_and_slopes):
    """All that xi moves in mode "full" counts, the couplings' dependence on V_tb V_ts^* included."""
    z, J = z_and_slopes(VECTOR)
    like = paper2020.at(POINT)
    chi2 = z @ np.linalg.solve(like.data.correlation + J @ J.T, z)
    assert like.terms(POINT)["flavour"] == near(-0.5 * chi2, rel=1e-8)
    np.testing.assert_allclose(like.standardised_jacobian, J, rtol=1e-6, atol=1e-8)


def test_marginalised_is_full_at_its_maximum_in_the_nuisances(paper2020, z_at, z_and_slopes):
    """With linear predictions: min over xi of (z + J xi)^T R^-1 (z + J xi) + xi^2 equals z^T (R + J J^T)^-1 z."""
    z, (_, J) = z_at(VECTOR, np.zeros(len(paper2020.nuisance_names))), z_and_slopes(NO_COUPLING)
    weight = np.linalg.inv(paper2020.data.correlation)
    xi = np.linalg.solve(J.T @ weight @ J + np.eye(J.shape[1]), -J.T @ weight @ z)
    smallest = (z + J @ xi) @ weight @ (z + J @ xi) + xi @ xi
    assert -2 * paper2020.terms(POINT)["flavour"] == near(smallest, rel=1e-8)


def test_terms_add_up(paper2020):
    terms = paper2020.terms(POINT)
    assert set(terms) == {"flavour", "g_minus_2"}
    assert paper2020(POINT) == near(float(terms["flavour"] + terms["g_minus_2"]), rel=1e-15)
    assert paper2020.log_likelihood(VECTOR) == near(float(paper2020(POINT)), rel=1e-13)


@pytest.mark.parametrize("vector", [VECTOR, NO_COUPLING, np.array([2.0, 0.2, -1.0, 0.1, -0.1])], ids=str)
def test_evaluation_agrees_with_the_tables(vector, paper2020):
    """Two roads, the full amplitudes in one, tables in the other."""
    model = HIGH.model(vector)
    evaluation, predictions = paper2020.at(SM_ONLY).evaluate(model), np.asarray(paper2020.predictions(model))
    np.testing.assert_allclose(evaluation.predictions, predictions, rtol=1e-9)
    assert evaluation.log_likelihood == near(float(paper2020(model)), rel=1e-9)
    assert evaluation.terms == near({k: float(v) for k, v in paper2020.terms(model).items()}, rel=1e-9)
    z = np.asarray(paper2020.residuals(predictions))
    np.testing.assert_allclose(evaluation.pulls, z / np.sqrt(np.diag(paper2020.covariance)), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(evaluation.theory_error, paper2020.theory_error, rtol=1e-12)
    experiment = z @ np.linalg.solve(paper2020.data.correlation, z)
    assert evaluation.chi2 == near({"experiment": experiment, "total": -2 * evaluation.log_likelihood, "rows": 120})
    # By least squares over the nuisances, then experiment by experiment: none are correlated with another.
    R, J = paper2020.data.correlation, paper2020.standardised_jacobian
    whitening = np.linalg.inv(np.linalg.cholesky(R))
    stacked = np.concatenate([whitening @ J, np.eye(J.shape[1])])
    xi = np.linalg.lstsq(stacked, -np.concatenate([whitening @ z, np.zeros(J.shape[1])]))[0]
    expected, names = {"nuisances": xi @ xi}, np.array([row.experiment for row in paper2020.data.rows])
    for name in set(names):
        rows = names == name
        expected[name] = (z + J @ xi)[rows] @ np.linalg.solve(R[np.ix_(rows, rows)], (z + J @ xi)[rows])
    assert len(expected) > 3 and evaluation.by_experiment == near(expected, rel=1e-7)


# ---- Gains over another model: each with the nuisances at their own best values ----


def profile_by_scipy(like, model):
    """-2 ln L of mode "full", minimised over the nuisances by MINPACK's Levenberg-Marquardt."""
    full = Likelihood(like.data, theory="full", g_minus_2=like.g_minus_2)

    def whitened_residuals(xi):
        return jnp.concatenate(list(full.whitened_residuals(model, xi).values()))

    value, jacobian = jax.jit(whitened_residuals), jax.jit(jax.jacfwd(whitened_residuals))
    tight = {"method": "lm", "ftol": 1e-13, "xtol": 1e-13, "gtol": 1e-13}
    start = np.zeros(len(full.nuisance_names))
    return 2 * least_squares(lambda xi: np.asarray(value(xi)), start, lambda xi: np.asarray(jacobian(xi)), **tight).cost


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_evaluation_is_the_profile_over_the_nuisances(theory):
    """Where rates go with the square of what is uncertain and the measurement lies ten theory errors off."""
    data = only_bs_mumu()
    far = dataclasses.replace(data.rows[0], value=2.4e-9, error_plus=2e-11, error_minus=2e-11)
    like = Likelihood(dataclasses.replace(data, rows=(far,)), theory=theory)
    for model in (SM_ONLY, POINT, ConstantWilson(C10=0.5)):
        found = like.evaluate(model)
        assert -2 * found.log_likelihood == near(profile_by_scipy(like, model), rel=1e-5)
        assert found.chi2["total"] == near(-2 * sum(found.terms.values()), rel=1e-14)
        assert sum(found.by_experiment.values()) == near(-2 * found.terms["flavour"], rel=1e-12)
    assert like.evaluate(SM_ONLY).chi2["total"] != near(like.chi2_at_itself(SM_ONLY), rel=0.1)


def test_covariance_at_the_model_itself(one_row):
    heavy = ConstantWilson(C10=-4.0)
    for model in (heavy, SM_ONLY):
        assert one_row.chi2_at_itself(model) == near(by_hand(one_row, model, model), rel=1e-9)
    _, central, pulls, *_ = one_row.evaluate(heavy)
    assert central[0] == near(one_row.at(heavy).theory_error[0], rel=1e-12)
    assert central[0] != near(one_row.theory_error[0], rel=0.1)
    assert pulls[0] ** 2 == near(by_hand(one_row, heavy, heavy), rel=1e-9)


# Of `jaxdark fit --region high --physics paper` on paper2020.
BEST = {"m_V": 2.81622951, "g_mu_V": 2.78333026e-3, "r_AV": -0.130380574, "g_D": 3.00760924, "r": -10.0}


def test_gain_of_the_best_fit_over_the_standard_model(paper2020):
    """22.65: that of the profile over all nuisances; with the covariance at the Standard Model it would be 27.9, at the
    best fit 21.4, with that of either in turn 27.6.
    """
    best = printed(**BEST)
    gain = 2 * (paper2020.evaluate(best).log_likelihood - paper2020.evaluate(SM_ONLY).log_likelihood)
    assert gain == near(22.65, abs=0.02)
    assert 2 * float(paper2020(best) - paper2020(SM_ONLY)) == near(27.9, abs=0.1)
    assert paper2020.chi2_at_itself(SM_ONLY) - paper2020.chi2_at_itself(best) == near(27.6, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("model", [SM_ONLY, printed(**BEST)], ids=["SM", "best"])
def test_profile_of_all_nuisances_against_scipy(model, paper2020):
    assert -2 * paper2020.evaluate(model).log_likelihood == near(profile_by_scipy(paper2020, model), abs=1e-3)


# ---- What is asked in another way ----


def test_a_data_set_by_its_name():
    assert Likelihood("lhcb_core").data.sha256 == load_dataset("lhcb_core").sha256
    with pytest.raises(RequestError, match="nearest right name is lhcb_core"):
        Likelihood("lhcb_cor")
    for other in (None, 3, load_dataset("lhcb_core").rows):
        with pytest.raises(RequestError, match=r"^expected a data set, got \w+; take jaxdark.load_dataset"):
            Likelihood(other)


NO_MODELS = [
    ({"m_V": 5.5}, r"got dict; build one, for instance jaxdark.DarkSector\(\*\*parameters\)"),
    (VECTOR, "got ndarray; log_likelihood takes vectors of parameters"),
    ([5.5, 0.03], "got list; log_likelihood takes vectors"),
    ("split", "got str; a model of your own is a subclass"),
    (DarkSector, "a model of your own is a subclass"),
]


@pytest.mark.parametrize(("wrong", "sentence"), NO_MODELS)
def test_what_is_no_model_is_refused(one_row, wrong, sentence):
    calls = [one_row, one_row.terms, one_row.predictions, one_row.evaluate, one_row.at]
    if not isinstance(wrong, str | type):
        calls.append(jax.jit(one_row))
    for call in calls:
        with pytest.raises(RequestError, match="expected a model or a NewPhysics record as the") as refused:
            call(wrong)
        if call is one_row:
            assert refused.match(sentence)


def test_inputs_are_those_of_load_inputs():
    with pytest.raises(RequestError, match=r"^expected the inputs of jaxdark.load_inputs\(...\), got dict; "):
        Likelihood(only_bs_mumu(), inputs={"f_Bs": 0.25})


def test_a_vector_of_a_region_by_its_name():
    like, vector = Likelihood(only_bs_mumu()), np.array(VECTOR)
    assert like.log_likelihood(vector, "low") == near(float(like.log_likelihood(vector)), rel=1e-14)
    with pytest.raises(RequestError, match="unknown region 'lwo'"):
        like.log_likelihood(vector, "lwo")


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_a_vector_of_the_wrong_length_is_refused(theory):
    like = Likelihood(only_bs_mumu(), theory=theory)
    n = 5 + 2 * (theory == "full")
    for shape in ((n - 1,), (n + 1,), (), (3, n)):
        with pytest.raises(RequestError, match=f"expected a vector of {n} numbers, m_V, g_mu_V, r_AV, g_D, r"):
            like.log_likelihood(np.ones(shape))
    for xi in (np.zeros(3), np.zeros(()), np.zeros((2, 2))):
        with pytest.raises(RequestError, match="expected 2 nuisances"):
            like(POINT, xi)


def test_single_precision_after_the_construction_is_refused():
    """Constructed where double precision is switched on for a while, called outside of it, also within a trace."""
    like = Likelihood(only_bs_mumu())
    record = NewPhysics(Contact(C10=0.5))
    double = float(like(record))
    with jax.enable_x64(False):
        for call in (like, like.terms, like.predictions, like.evaluate, jax.jit(like), jax.grad(like)):
            with pytest.raises(RequestError, match="float32"):
                call(record)
    assert like(record) == near(double, rel=1e-14)


def test_eager_calls_are_compiled_and_become_part_of_a_program(monkeypatch):
    """`jax.grad(like)` without jit is traced once for all points and references, and compiled; inside jit nothing of
    that is left in the trace.
    """
    traced, terms = [], Likelihood._terms
    monkeypatch.setattr(Likelihood, "_terms", lambda self, *of: traced.append(of) or terms(self, *of))
    like = Likelihood(only_bs_mumu())
    compiled = jax.jit(jax.grad(like))
    del traced[:]
    points = (
        {"m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "r": -3.0},
        {"m_V": 3.5, "g_mu_V": 0.01, "r_AV": -0.1, "r": -1.0},
    )
    for model in (printed(g_D=1.0, **values) for values in points):
        assert jax.grad(like)(model).r == near(float(compiled(model).r), rel=1e-12)
        assert jax.grad(like.at(ConstantWilson(C10=-4.0)))(model).r != compiled(model).r
    assert len(traced) <= 2  # once within jit, once outside
    trace = str(jax.make_jaxpr(like)(POINT))
    assert "name=_terms" not in trace


class Looks(Model):
    """A model that looks at its own value, which nothing that is traced can do."""

    C9: float

    def new_physics(self, sm):
        return NewPhysics(contact=Contact(C9=float(self.C9) if self.C9 > -9 else 0.0))

    def muon_couplings(self):
        return None


def test_a_model_that_cannot_be_compiled_still_has_a_value(one_row):
    assert one_row(Looks(C9=-1.0)) == near(float(one_row(ConstantWilson(C9=-1.0))), rel=1e-12)


# ---- Pseudo-data ----


def test_an_offset_is_a_measurement_that_came_out_lower(one_row):
    """A value lower by 0.7 of the row's total error is a deviation larger by 0.7, and (g-2) likewise."""
    (row,), whitening = one_row.data.rows, one_row.whitening
    shifted = dataclasses.replace(row, value=row.value - 0.7 * row.error_plus / whitening[0, 0])
    other = Likelihood(dataclasses.replace(one_row.data, rows=(shifted,)))
    lower = other.whitened_residuals(POINT, whitening=whitening)["flavour"]
    for offset in ([0.7, 0.0], [0.7, 0.3]):
        found = one_row.whitened_residuals(POINT, offset=np.array(offset))
        assert found["flavour"] == near(np.asarray(lower), rel=1e-9)
        expected = one_row.whitened_residuals(POINT)["g_minus_2"] + offset[1]
        assert found["g_minus_2"] == near(np.asarray(expected), rel=1e-12)


# ---- Other processes ----


def test_likelihoods_travel_between_processes(tmp_path):
    """To a new interpreter as a pool with the method spawn sends it, before double precision is switched on there."""
    like = Likelihood(only_bs_mumu(), reference=POINT)
    (tmp_path / "like").write_bytes(pickle.dumps((like, POINT)))
    program = (
        "import pickle, sys\n"
        "like, point = pickle.load(open(sys.argv[1], 'rb'))\n"
        "import jaxdark\n"
        "jaxdark.enable_x64()\n"
        "print(repr(float(like(point))), repr(float(like.evaluate(point).log_likelihood)))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "like")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_ENABLE_X64": "0"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.split()
    assert [float(word) for word in found] == near([float(like(POINT)), like.evaluate(POINT).log_likelihood], rel=1e-13)


def test_what_users_hold_can_be_pickled(one_row):
    for theory in ("marginalised", "full"):
        like = Likelihood(one_row.data, theory=theory)
        again = pickle.loads(pickle.dumps(like))
        arguments = (POINT, np.zeros(len(like.nuisance_names))) if theory == "full" else (POINT,)
        assert again.data.ids == like.data.ids and again(*arguments) == near(float(like(*arguments)), rel=1e-14)
    # With its programs and tables made.
    assert pickle.loads(pickle.dumps(like))(*arguments) == like(*arguments)
    for name, regions in PRIORS.items():
        for prior in regions.values():
            again = pickle.loads(pickle.dumps(prior))
            u = np.full(len(prior.names), 0.3)
            model, same = prior.model(prior.vector(u)), again.model(again.vector(u))
            assert again == prior and type(same) is type(model), name
            assert jax.tree.leaves(pickle.loads(pickle.dumps(model))) == jax.tree.leaves(same)


def test_names_and_shapes(paper2020):
    n = len(paper2020.nuisance_names)
    assert len(set(paper2020.nuisance_names)) == n
    assert paper2020.theory_jacobian.shape == (len(paper2020.data), n)
    assert paper2020.covariance.shape == (len(paper2020.data),) * 2


def test_whitening_of_the_full_mode_is_that_of_the_experiment():
    full = Likelihood(load_dataset("paper2020"), theory="full")
    np.testing.assert_array_equal(full.covariance, full.data.correlation)
    weight = full.whitening.T @ full.whitening
    np.testing.assert_allclose(weight @ full.data.correlation, np.eye(len(full.data)), atol=1e-10)


def test_anomalies_of_the_standard_model(paper2020):
    """C_9 = -1 is preferred to the Standard Model by these data, C_9 = +1 is not."""
    sm, lower, higher = (float(paper2020(ConstantWilson(C9=c))) for c in (0.0, -1.0, 1.0))
    assert lower - sm > 5
    assert higher < sm


# ---- Finite everywhere ----

CHUNK = 256


@pytest.fixture(scope="module")
def value_and_gradient(paper2020):
    """Log-density and gradient at vectors and masses of chi (GeV), in chunks of one size."""

    def log_density(vector, m_chi):
        prior = Prior("any", HIGH.ranges, partial(DarkSector, m_chi=m_chi))
        return paper2020.log_likelihood(vector, prior)

    compiled = jax.jit(jax.vmap(jax.value_and_grad(log_density, argnums=(0, 1))))

    def evaluate(vectors, m_chi=1e-3):
        vectors, m_chi = np.asarray(vectors), np.broadcast_to(m_chi, len(vectors))
        for start in range(0, len(vectors), CHUNK):
            rows = np.arange(start, start + CHUNK).clip(max=len(vectors) - 1)
            yield vectors[rows], m_chi[rows], compiled(vectors[rows], m_chi[rows])

    return evaluate


def assert_finite(chunks):
    for vectors, m_chi, (value, gradient) in chunks:
        good = np.isfinite(value) & np.isfinite(gradient[0]).all(axis=1) & np.isfinite(gradient[1])
        assert good.all(), (vectors[~good][0].tolist(), m_chi[~good][0])


def random_points(region, n, seed):
    return np.asarray(prior_of(region).vector(np.random.default_rng(seed).random((n, 5))))


@pytest.mark.parametrize("region", ["high", "low"])
def test_finite_on_the_prior(region, value_and_gradient):
    assert_finite(value_and_gradient(random_points(region, 8 * CHUNK, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("region", ["high", "low"])
def test_finite_on_the_prior_at_many_points(region, value_and_gradient):
    assert_finite(value_and_gradient(random_points(region, 100_000, 2)))


@pytest.mark.parametrize("region", ["high", "low"])
def test_finite_in_the_corners_of_the_prior(region, value_and_gradient):
    corners = [*product((0.0, 1.0), repeat=5), *product((0.0, 0.5, 1.0), repeat=5)]
    assert_finite(value_and_gradient(prior_of(region).vector(np.array(corners))))


def test_finite_with_the_peak_on_an_edge(paper2020, value_and_gradient):
    """Of each bin, exactly and on the next floating-point numbers, for narrow and wide peaks."""
    edges = sorted({edge for row in paper2020.data.rows if row.q2 for edge in row.q2})
    panels = sorted({*edges, 0.046655, 0.054655, 0.084655, 0.204655, 0.6, 17.0})
    roots = np.sqrt(panels)
    m_V = [*roots, *np.nextafter(roots, 0), *np.nextafter(roots, 99), *(roots * (1 + 1e-7)), *(roots * (1 - 1e-7))]
    assert_finite(value_and_gradient(with_couplings(m_V)))


def with_couplings(m_V):
    """Vectors at masses: dark width none, tiny, moderate and large."""
    couplings = [(1e-3, 0.0), (1e-3, 1e-3), (0.2, 0.0), (0.05, 0.1), (0.05, 1.0), (0.2, 4.0)]
    return np.array(
        [(m, g, r_AV, g_D, r) for m in m_V for g, g_D in couplings for r_AV in (0, -0.7) for r in (-10, 0.1)]
    )


def test_finite_with_the_peak_on_the_muon_threshold(value_and_gradient):
    threshold = 2 * 0.1056583755
    m_V = [
        threshold,
        np.nextafter(threshold, 0),
        np.nextafter(threshold, 1),
        *(threshold * (1 + np.logspace(-12, -2, 6))),
    ]
    assert_finite(value_and_gradient(with_couplings(m_V)))


def test_finite_at_thresholds_and_coincidences(value_and_gradient):
    """V at twice the mass of chi or of the muon, chi as heavy as Phi, V on the B_s, nothing that V could decay into."""
    m_mu = 0.1056583755
    shifts = (0.0, 1e-16, -1e-16, 1e-12, -1e-12, 1e-6, -1e-6, 1e-2, -1e-2)
    pairs = [(m * (1 + s), m / 2) for m in (0.5, 2 * m_mu, 2.4, 5.0, 12.0) for s in shifts]
    pairs += [(2 * m_mu * (1 + s), m) for m in (1e-3, 1.0) for s in shifts]
    pairs += [(m, 1000.0 * (1 + s)) for m in (0.7, 5.0) for s in shifts]
    pairs += [(5.36692 * (1 + s), m) for m in (1e-3, 10.0) for s in shifts]
    pairs += [(0.01, 1e-3), (1e-3, 0.01), (0.15, 1.0), (60.0, 1e-5), (5.0, 700.0), (5.0, 1e4)]
    couplings = [(0.03, -0.4, 1.0, -3.0), (0.03, 0.0, 0.0, -3.0), (1e-3, -1.0, 1e-6, 10.0), (0.0, 0.0, 0.0, 0.0)]
    points = [((m_V, *others), m_chi) for m_V, m_chi in pairs for others in couplings]
    assert_finite(value_and_gradient(np.array([p for p, _ in points]), np.array([m for _, m in points])))


def test_gradient_of_the_log_likelihood(value_and_gradient):
    """Against finite differences of sixth order along each parameter."""
    centre = random_points("high", 8, 3)
    steps = 1e-3 * np.abs(centre) * np.array([0.05, 1, 1, 1, 1])
    size = np.array([1.0, 0.5, 0.25])
    moved = (
        centre[:, None, None, None]
        + (size * np.array([[1.0], [-1.0]]))[..., None] * (steps[:, None] * np.eye(5))[:, :, None, None]
    )
    (_, _, (values, _)) = next(value_and_gradient(moved.reshape(-1, 5)))
    values = np.asarray(values)[: 8 * 5 * 6].reshape(8, 5, 2, 3)
    D = (values[:, :, 0] - values[:, :, 1]) / (2 * size)
    first = (4 * D[..., 1:] - D[..., :-1]) / 3
    expected = (16 * first[..., 1] - first[..., 0]) / 15 / steps
    (_, _, (value, (gradient, _))) = next(value_and_gradient(centre))
    scale = np.maximum(np.abs(expected), np.abs(np.asarray(value)[:8, None]) / np.abs(centre))
    assert np.all(np.abs(np.asarray(gradient)[:8] - expected) <= 1e-6 * scale)


def test_log_likelihood_of_another_prior(paper2020):
    prior = Prior("contact", {"C9": Range(-2.0, 2.0), "C10": Range(-2.0, 2.0)}, ConstantWilson)
    value = paper2020.log_likelihood(np.array([-1.0, 0.3]), prior)
    assert value == near(float(paper2020(ConstantWilson(C9=-1.0, C10=0.3))), rel=1e-13)


def test_what_a_program_knows_of_a_model_stays_known():
    """Masses that are no parameters are no inputs of the program either: cuts at thresholds then cost nothing."""
    seen = []

    class Watched(DarkSector):
        def new_physics(self, sm):
            seen.append(isinstance(self.m_chi, Tracer))
            return super().new_physics(sm)

    like = Likelihood(load_dataset("paper2020"))
    prior = prior_of("high")._replace(build=partial(Watched, physics="complete"))
    jax.eval_shape(lambda vector: like.log_likelihood(vector, prior), np.full(5, 0.5))
    assert seen and not any(seen)
