"""Constraints as terms of a likelihood: shapes known in closed form, and nuisances shared with the rows."""

import dataclasses
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from printed import printed
from scipy.integrate import quad
from scipy.optimize import minimize

import jaxdark as jd
from jaxdark.constraints.limit import Constraint, upper_limit
from jaxdark.constraints.mixing import delta_m_s_ratio, measured_ratio
from jaxdark.constraints.registry import all_constraints
from jaxdark.constraints.terms import Terms, takes_part, terms_of
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.wilson import SM_ONLY


def point(**changes):
    return printed(**dict(m_V=3.0, g_mu_V=0.02, r_AV=-0.4, g_D=0.8, r=-0.3) | changes)


POINT = point()
BY_ID = {constraint.id: constraint for constraint in all_constraints()}


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def made(cl, power=1):
    """A constraint whose ratio is g_mu_V."""
    return Constraint("made", lambda model, sm: upper_limit(model.g_mu_V, 1.0), "nowhere", cl=cl, power=power)


@pytest.mark.parametrize("cl", [0.68, 0.9, 0.95])
@pytest.mark.parametrize("power", [1, 2])
def test_the_share_below_a_limit_is_its_confidence_level(sm, cl, power):
    """Of the likelihood of a signal strength, the ratio to some power, as much lies below 1 as the level says."""
    residual = made(cl, power).term.residual

    def likelihood(strength):
        model = jd.DarkSector(m_V=3.0, g_mu_V=strength ** (1 / power), r_AV=0.0, g_D=1.0, r=0.0)
        return np.exp(-0.5 * float(residual(model, sm)) ** 2)

    below, beyond = quad(likelihood, 0, 1, epsrel=1e-9)[0], quad(likelihood, 1, 8, epsrel=1e-9)[0]
    assert below / (below + beyond) == near(cl, rel=1e-7)


def test_limits_on_couplings_are_those_of_their_squares():
    """A rate grows with the square of a coupling and linearly with itself."""
    assert {name for name, c in BY_ID.items() if c.power == 2} == {
        *("drell_yan", "belle2_invisible_2019", "babar_4mu_2016", "electrons_visible", "electrons_invisible"),
    }


def test_groups_mean_what_counts_once():
    """No alternative of another term, nothing that has no likelihood, and (g-2) not twice."""
    everything = terms_of("all").names
    assert {"bs_mixing_R_BB", "bs_mixing_dMs_2017", "delta_a_mu", "babar_hadronic_sB_bins"}.isdisjoint(everything)
    assert {"bs_mixing_dMs_2019", "cleo_2001", "lhcb_k_mumu_2016", "drell_yan"} <= set(everything)
    assert terms_of("mixing").names == ("bs_mixing_dMs_2019",)
    assert all(takes_part(BY_ID[name]) for name in everything)
    assert terms_of(()) == Terms() and terms_of(["mixing", "drell_yan"]).names == ("bs_mixing_dMs_2019", "drell_yan")


def test_delta_m_s_is_a_gaussian_on_each_side(sm):
    value, up, down = measured_ratio(2019)
    for r in (-0.3, 0.3):
        model = point(r=r)
        off = float(delta_m_s_ratio(model, sm)) - value
        expected = off / (up if off > 0 else down)
        assert float(terms_of("mixing").residuals(model, sm)[0]) == near(expected, rel=1e-9)


def test_models_that_do_not_feel_a_constraint_have_the_term_of_the_standard_model(sm):
    terms = terms_of(["mixing", "drell_yan"])
    null = jd.DarkSector(m_V=2.0, g_mu_V=0.0, r_AV=0.0, g_D=0.0, r=0.0)
    of_sm = terms.residuals(null, sm)
    for model in (SM_ONLY, jd.ConstantWilson(C9=-1.0, C10=0.0)):
        np.testing.assert_allclose(terms.residuals(model, sm), of_sm, rtol=1e-12)
    assert float(of_sm[0]) != 0 and float(of_sm[1]) == 0


@pytest.fixture(scope="module")
def joint():
    """BR(B_s -> mu mu), which goes with lambda_t^2 f_Bs^2, and Delta M_s, whose new part goes with 1/lambda_t^2."""
    data = jd.load_dataset("lhcb_core")
    (i,) = [i for i, row in enumerate(data.rows) if row.process == "Bs->mumu" and row.experiment == "LHCb"]
    one = dataclasses.replace(data, rows=data.rows[i : i + 1], correlation=data.correlation[i : i + 1, i : i + 1])
    return jd.Likelihood(one, constraints="mixing")


@partial(jax.jit, static_argnums=0)
def z_at(like, model, xi):
    """Both residuals at some nuisances, by the inputs alone."""
    sm = like.predictor.nuisances.inputs(xi, like.sm)
    return jnp.concatenate([like.residuals(like.predictor(model, xi)), like.terms_beside.residuals(model, sm)])


def test_one_covariance_for_rows_and_constraints(joint):
    """1 + J J^T with J by central differences in the nuisances at the reference; ln L is that of a Gaussian."""
    like = joint.at(POINT)
    step, n = 1e-4, len(like.nuisance_names)
    columns = [(z_at(like, POINT, step * e) - z_at(like, POINT, -step * e)) / (2 * step) for e in np.eye(n)]
    covariance = np.eye(2) + np.transpose(columns) @ columns
    np.testing.assert_allclose(like.covariance, covariance, rtol=1e-6)
    assert abs(covariance[0, 1]) > 1e-3  # they share lambda_t
    model = point(r=-0.2, g_mu_V=0.05)
    z = z_at(like, model, np.zeros(n))
    terms = like.terms(model)
    total = float(terms["flavour"] + terms["bs_mixing_dMs_2019"])
    assert total == near(float(-0.5 * z @ np.linalg.solve(covariance, z)), rel=1e-8)
    assert float(terms["flavour"]) == near(float(-0.5 * z[0] ** 2 / covariance[0, 0]), rel=1e-8)
    assert like.evaluate(model).log_likelihood == near(float(like(model)), rel=1e-9)


def test_the_profile_is_the_minimum_over_shared_nuisances(joint):
    """Of both residuals and the nuisances' own prior, by a minimiser that knows nothing of them."""
    model = point(r=-0.2)
    n = len(joint.nuisance_names)

    def chi2(xi):
        z = z_at(joint, model, xi)
        return z @ z + xi @ xi

    found = minimize(jax.jit(chi2), np.zeros(n), jac=jax.jit(jax.grad(chi2)), tol=1e-10)
    evaluated = joint.evaluate(model)
    terms = evaluated.terms
    assert -2 * (terms["flavour"] + terms["bs_mixing_dMs_2019"]) == near(found.fun, rel=1e-4)
    assert terms["bs_mixing_dMs_2019"] == near(-0.5 * float(z_at(joint, model, found.x)[1]) ** 2, rel=2e-2)
    assert -2 * joint.at(model).evaluate(model).log_likelihood + 2 * terms["g_minus_2"] != near(found.fun, rel=1e-3)


def test_full_mode_moves_the_constraint_with_the_nuisances(joint):
    full = jd.Likelihood(joint.data, "full", constraints="mixing")
    xi = np.linspace(-1, 1, len(full.nuisance_names))
    z = z_at(full, POINT, xi)
    terms = {name: float(value) for name, value in full.terms(POINT, xi).items()}
    assert [terms["flavour"], terms["bs_mixing_dMs_2019"]] == near((-0.5 * z**2).tolist(), rel=1e-9)
    assert terms["nuisances"] == near(-0.5 * float(xi @ xi), rel=1e-12)


def test_gradients_are_those_of_finite_differences(joint):
    prior = jd.Prior("one", {"r": jd.Range(0.1, 1.0, log=True, sign=-1)}, lambda r: point(r=r), "one")
    like = jd.Likelihood(joint.data, constraints=["mixing", "drell_yan", "cleo_2001"])

    def value(vector):
        return like.log_likelihood(vector, prior)

    r, step = np.array([-0.4]), 1e-5
    expected = (float(value(r + step)) - float(value(r - step))) / (2 * step)
    assert float(jax.grad(value)(r)[0]) == near(expected, rel=1e-6)


def test_form_factors_of_the_invisible_decays_are_nuisances():
    """Also where no row of the data set has a kaon: without constraints there are lambda_t and f_Bs alone."""
    data = jd.load_dataset("lhcb_core")
    one = dataclasses.replace(data, rows=data.rows[-1:], correlation=np.eye(1))
    assert one.rows[0].process == "Bs->mumu"
    names = jd.Likelihood(one, constraints="cleo_2001").nuisance_names
    assert set(jd.Likelihood(one).nuisance_names) == {"lambda_t", "f_Bs"}
    assert {"B_to_K/f+:b0", "B_to_Kst/A0:a0", "lambda_t"} <= set(names)


def test_belle2_in_a_joint_likelihood(joint):
    """A spectrum that fits better than the Standard Model's, and the slope of its term in the joint likelihood."""
    like = jd.Likelihood(joint.data, constraints="belle2_2023")
    prior = jd.Prior("one", {"r": jd.Range(1e-3, 1.0, log=True, sign=-1)}, lambda r: point(m_V=2.1, r=r), "one")
    value = jax.jit(lambda vector: like.log_likelihood(vector, prior))
    r, step = np.array([-0.06]), 1e-5
    expected = (float(value(r + step)) - float(value(r - step))) / (2 * step)
    assert float(jax.jit(jax.grad(value))(r)[0]) == near(expected, rel=1e-3)
    assert like.terms(point(m_V=2.1, r=-0.06))["belle2_2023"] > like.terms(SM_ONLY)["belle2_2023"] + 1
    assert like.measured(POINT) == 3


def test_a_likelihood_with_constraints_can_be_sent_to_another_process(joint):
    """Constraints are made of local functions: they travel by name."""
    terms = pickle.loads(pickle.dumps(terms_of(["mixing", "drell_yan"])))
    assert terms.names == ("bs_mixing_dMs_2019", "drell_yan")
    assert terms.words == ("mixing", "drell_yan") and terms.named == {"drell_yan"}
    assert float(pickle.loads(pickle.dumps(joint))(POINT)) == float(joint(POINT))


def test_a_fit_and_its_pseudo_data(joint):
    """Of r alone: the minimum is that of the likelihood on a line, and a limit is no datum."""
    prior = jd.Prior("one", {"r": jd.Range(0.01, 0.4, log=True, sign=-1)}, lambda r: point(r=r), "one")
    like = jd.Likelihood(joint.data, constraints=["mixing", "cleo_2001"])
    fit = jd.fit(like, prior, n_starts=8, toys=16)
    line = np.geomspace(0.01, 0.4, 400)
    values = jax.jit(jax.vmap(lambda r: fit.like(point(r=-r))))(line)
    assert fit.log_likelihood == near(float(values.max()), abs=2e-3)
    assert -fit.parameters["r"].value == near(line[np.argmax(values)], rel=0.01)
    assert fit.dof == 3 - 1  # the row, Delta M_s and (g-2)
    assert set(fit.terms) == {"flavour", "bs_mixing_dMs_2019", "cleo_2001", "g_minus_2"}
    assert 0 <= fit.p_value <= 1 and fit.provenance["terms_beside"] == dict(like.terms_beside.forms())


def test_a_fit_refuses_what_its_model_cannot_feel(joint):
    like = jd.Likelihood(joint.data, constraints="bs_mixing_dMs_2019")
    with pytest.raises(RequestError, match="cannot feel bs_mixing_dMs_2019"):
        jd.fit(like, jd.Prior("all", {"C9": jd.Range(-1.0, 1.0)}, jd.ConstantWilson, "constant"))


def test_measured_values_are_counted(joint):
    """Delta M_s is one, a limit is none, and (g-2) is one in the reading limit."""
    assert joint.measured(POINT) == 3
    assert jd.Likelihood(joint.data, constraints="drell_yan").measured(POINT) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("bs_mxing_dMs_2019", "nearest"),
        ("babar_hadronic_sB_bins", "measured value or a confidence level"),
        ("delta_a_mu", r"\(g-2\) has a term"),
        ("relic", "no constraint of the group relic is taken"),
    ],
)
def test_requests_that_mean_nothing(words, sentence):
    with pytest.raises(RequestError, match=sentence):
        terms_of(words)


def test_what_a_model_cannot_feel_is_refused_by_name_only():
    with pytest.raises(RequestError, match="ConstantWilson cannot feel bs_mixing_dMs_2019"):
        terms_of("bs_mixing_dMs_2019").check(jd.ConstantWilson)
    terms_of("mixing").check(jd.ConstantWilson)
    terms_of("bs_mixing_dMs_2019").check(type(POINT))
