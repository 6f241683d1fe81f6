"""Best fits against iminuit, errors against its HESSE and MINOS, and what the record says where there are none."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iminuit import Minuit
from near import near
from scipy.stats import chi2 as chi2_distribution

from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, Range, prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.constant import ConstantWilson
from jaxdark.optimise.fit import fit
from jaxdark.optimise.profile import profile
from jaxdark.optimise.uncertainties import covariance_of
from jaxdark.output.tables import fit_tables, to_json
from jaxdark.sampling.sample import sample
from jaxdark.scans.scan import scan

CONSTANT = prior_of("all", "constant")


@pytest.fixture(scope="module")
def like():
    return Likelihood(load_dataset("lhcb_core"))


@pytest.fixture(scope="module")
def few(like):
    """Three ratios and B_s -> mu mu, whose programs compile soon."""
    rows, data = [0, 1, 2, 51], like.data
    part = tuple(data.rows[row] for row in rows)
    return Likelihood(dataclasses.replace(data, rows=part, correlation=data.correlation[np.ix_(rows, rows)]))


@pytest.fixture(scope="module")
def constant(like):
    return fit(like, CONSTANT, n_starts=16, toys=400)


def minuit(like, prior, start):
    """MIGRAD with our gradients in the model's own parameters, from a start a little off."""
    value = jax.jit(jax.value_and_grad(lambda x: -2 * like.log_likelihood(x, prior)))
    search = Minuit(lambda x: float(value(np.asarray(x))[0]), start, grad=lambda x: np.asarray(value(np.asarray(x))[1]))
    ends = [sorted((r.sign * r.lower, r.sign * r.upper)) for r in prior.ranges.values()]
    search.limits = ends
    search.strategy, search.tol = 2, 1e-4
    return search.migrad(ncall=5000)


def test_migrad_finds_the_same_minimum_and_hesse_the_same_errors(constant):
    parameters = constant.parameters
    best = np.array([parameter.value for parameter in parameters.values()])
    search = minuit(constant.like, CONSTANT, best + [0.3, -0.2])
    assert search.fval == near(constant.chi2, abs=1e-4)
    np.testing.assert_allclose(search.values, best, atol=1e-3)
    search.hesse()
    np.testing.assert_allclose(search.errors, [p.hessian_error for p in parameters.values()], rtol=5e-3)


def test_covariance_and_correlation_are_those_of_minuit(constant):
    parameters, hessian = constant.parameters, constant.hessian
    search = minuit(constant.like, CONSTANT, np.array([p.value for p in parameters.values()]))
    search.hesse()
    assert hessian.names == ("C9", "C10") and hessian.units == ("1", "1")
    errors = [p.hessian_error for p in parameters.values()]
    np.testing.assert_allclose(hessian.covariance, np.outer(errors, errors) * hessian.correlation, rtol=1e-12)
    expected = np.array(search.covariance.correlation())
    assert np.abs(expected[0, 1]) > 0.1
    np.testing.assert_allclose(hessian.correlation, expected, atol=5e-3)


def test_covariance_follows_the_signs_of_the_parameters(few):
    """C10 by its negative, as the high region has r: correlations change their sign, errors do not."""
    upright = Prior("up", {"C9": Range(-3.0, 3.0), "C10": Range(0.01, 3.0)}, ConstantWilson)
    turned = Prior(
        "down", {"C9": Range(-3.0, 3.0), "b": Range(0.01, 3.0, sign=-1)}, lambda C9, b: ConstantWilson(C9=C9, C10=-b)
    )
    one, other = (fit(few, prior, n_starts=4, toys=0).fisher for prior in (upright, turned))
    assert np.abs(one.correlation[0, 1]) > 1e-3
    np.testing.assert_allclose(other.correlation[0, 1], -one.correlation[0, 1], rtol=1e-6)
    np.testing.assert_allclose(np.diag(other.covariance), np.diag(one.covariance), rtol=1e-6)


def test_fisher_errors_are_those_of_the_linearised_fit(constant):
    """Finite differences of the whitened residuals."""
    like, entries = constant.like, constant.parameters
    best = np.array([entry.value for entry in entries.values()])

    def whitened(x):
        return like.whitening @ np.asarray(like.residuals(like.predictions(CONSTANT.model(x))))

    J = np.stack([(whitened(best + h) - whitened(best - h)) / 2e-5 for h in 1e-5 * np.eye(2)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
    np.testing.assert_allclose([e.fisher_error for e in entries.values()], errors, rtol=1e-5)


def test_goodness_of_fit_from_pseudo_data(constant):
    """Two parameters in an almost linear model: the asymptotic distribution holds."""
    record = constant.to_dict()
    rows = len(constant.like.data)
    assert record["dof"] == rows - 2  # no vector, so (g-2) does not count
    sets = record["pseudo_data"]
    assert sets["mean_chi2"] == near(record["dof"], abs=5 * np.sqrt(2 * record["dof"] / 400))
    expected = chi2_distribution.sf(record["chi2"], record["dof"])
    assert record["p_value"] == near(expected, abs=4 * np.sqrt(0.25 / 400))
    assert sets["not_converged"] == 0


@pytest.mark.parametrize(("reading", "dof"), [("limit", 3), ("upper", 3), ("measurement", 4)])
def test_g_minus_2_is_in_chi2_and_pseudo_data_where_it_is_a_datum(few, reading, dof):
    """Four rows and one parameter without a vector: few degrees of freedom, so that one more shows."""
    part = few.data
    prior = Prior("constant", {"C9": Range(-3.0, 3.0)}, lambda C9: ConstantWilson(C9=C9))
    found = fit(Likelihood(part, g_minus_2=reading), prior, n_starts=4, toys=2000)
    assert found.dof == dof
    assert found.pseudo_data.mean_chi2 == near(dof, abs=5 * np.sqrt(2 * dof / 2000))
    either = Likelihood(part, g_minus_2=reading)
    at_sm, at_best = either.evaluate(ConstantWilson()).log_likelihood, either.evaluate(found.model).log_likelihood
    assert found.sm_log_likelihood == near(at_sm, rel=1e-9)
    assert found.delta_chi2_sm == near(2 * (at_best - at_sm), rel=1e-9)
    assert found.delta_chi2_sm >= 0


def test_record(constant):
    record, like = constant.to_dict(), constant.like
    assert record["converged"] and record["status"].startswith("converged: ")
    assert record["gradient_norm"] < record["tolerance"]
    assert record["starts"] == {"run": 16, "converged": 16, "at_best": record["minima"][0]["starts"]}
    assert record["chi2"] == near(-2 * float(like(constant.model)), rel=1e-9)
    assert record["chi2"] == near(like.chi2_at_itself(constant.model), abs=1e-4)  # a fixed point
    sm = like.at(None).evaluate(ConstantWilson(C9=0.0, C10=0.0))
    gain = record["profile_log_likelihood"] - record["sm_log_likelihood"]
    assert record["delta_chi2_sm"] == near(2 * gain, rel=1e-12) and "itself" in record["compared_at"]
    assert record["sm_log_likelihood"] == near(sm.log_likelihood, rel=1e-9)
    assert [p["id"] for p in record["pulls"]] == list(like.data.ids)
    assert [p["sm"] for p in record["pulls"]] == near(sm.pulls.tolist(), rel=1e-9)  # those of `jaxdark point`
    assert list(record["covariance_at"]) == ["C9", "C10"]
    assert sum(m["starts"] for m in record["minima"]) == record["starts"]["converged"]
    chi2 = [m["chi2"] for m in record["minima"]]
    assert chi2 == sorted(chi2)
    descents = record["descents"]
    assert descents["status"] == ["converged"] * 16 and set(descents["meaning"]) == {"converged"}
    assert min(descents["chi2"]) == record["chi2"] and len(descents["steps"]) == 16
    json.loads(to_json(record))
    assert {"jaxdark", "jax", "optax"} <= set(record["versions"]) and record["seed"] == 0


def test_a_minimum_on_an_edge_has_no_error_and_says_so(like):
    prior = Prior("edge", {"C9": Range(-0.2, 3.0), "C10": Range(-3.0, 3.0)}, ConstantWilson)
    record = fit(like, prior, n_starts=8, toys=0).to_dict()
    entry = record["parameters"]["C9"]
    assert record["converged"] and entry["value"] == near(-0.2) and entry["on_edge"]
    assert entry["hessian_error"] is None and "edge" in entry["hessian_reason"]
    assert record["parameters"]["C10"]["hessian_error"] > 0
    assert "C9 on an edge" in record["status"]
    assert record["p_value"] is None and "p_value" in record["missing"]


def without_information(name, **others):
    """C9 in its usual range, and further parameters: a model, and its prior."""
    return Prior(name, {"C9": Range(-3.0, 3.0), **others}, lambda C9, **further: ConstantWilson(C9=C9))


@pytest.fixture(scope="module")
def alone(few):
    """C9 by itself."""
    return fit(few, without_information("alone"), n_starts=4, toys=0).to_dict()


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"idle": Range(-1.0, 1.0)}, "not determined: the data do not depend on it"),
        ({"idle": Range(1e-12, 1e12, log=True)}, "not determined: the data do not depend on it"),
        ({"idle": Range(0.5, 0.5)}, "fixed by its prior"),
        ({"idle": Range(2.0, 2.0, log=True, sign=-1)}, "fixed by its prior"),
    ],
)
def test_a_parameter_without_information_costs_the_others_nothing(few, alone, others, reason):
    record = fit(few, without_information("idle", **others), n_starts=8, toys=0).to_dict()
    entries, expected = record["parameters"], alone["parameters"]["C9"]
    for kind in ("hessian", "fisher"):
        assert entries["C9"][f"{kind}_error"] == near(expected[f"{kind}_error"], rel=1e-3)
        assert entries["idle"][f"{kind}_error"] is None and entries["idle"][f"{kind}_reason"] == reason
    assert record["converged"] and f"no error for idle: {reason}" in record["status"]
    determined = reason.startswith("fixed")
    assert record["not_determined"] == ([] if determined else [{"idle": 1.0}])
    assert record["dof"] == alone["dof"] - (not determined)
    if determined:
        (range_,) = others.values()
        assert entries["idle"]["value"] == near(range_.sign * range_.lower, rel=1e-12)


def test_a_degenerate_direction_is_named(few, alone):
    """Only the sum of two parameters enters; a third keeps its error."""
    ranges = {"a": Range(-2.0, 2.0), "C10": Range(-3.0, 3.0), "b": Range(-2.0, 2.0)}
    prior = Prior("sum", ranges, lambda a, b, C10: ConstantWilson(C9=a + b, C10=C10))
    record = fit(few, prior, n_starts=8, toys=0).to_dict()
    assert record["converged"]
    assert record["minima_found"] == 1 and record["minima"][0]["starts"] == 8
    assert "degenerate: points with different a, b predict the same" in record["status"]
    assert "no error for a, b: not determined: a, b can change together" in record["status"]
    for name in ("a", "b"):
        entry = record["parameters"][name]
        assert entry["hessian_error"] is None and entry["hessian_reason"]
    assert record["fisher"]["names"] == ["C10"] and record["fisher"]["correlation"] == [[1.0]]
    (direction,) = record["not_determined"]
    assert {name: abs(share) for name, share in direction.items()} == near({"a": 1.0, "b": 1.0}, rel=1e-6)
    assert direction["a"] * direction["b"] < 0
    both = fit(few, CONSTANT, n_starts=8, toys=0).to_dict()["parameters"]["C10"]
    assert record["parameters"]["C10"]["fisher_error"] == near(both["fisher_error"], rel=1e-3)
    assert record["parameters"]["C10"]["hessian_error"] == near(both["hessian_error"], rel=1e-3)


def test_an_idle_parameter_beside_one_on_an_edge(like):
    ranges = {"C9": Range(-0.2, 3.0), "idle": Range(0.0, 1.0), "C10": Range(-3.0, 3.0)}
    build = lambda C9, C10, idle: ConstantWilson(C9=C9, C10=C10)  # noqa: E731
    entries = fit(like, Prior("edge", ranges, build), n_starts=8, toys=0).to_dict()["parameters"]
    assert entries["C9"]["on_edge"] and "edge" in entries["C9"]["fisher_reason"]
    assert entries["idle"]["fisher_error"] is None and entries["C10"]["fisher_error"] > 0


scales = st.lists(st.floats(-12.0, 12.0), min_size=3, max_size=3).map(lambda powers: 10.0 ** np.array(powers))
numbers = st.floats(-1.0, 1.0)


@given(st.lists(numbers, min_size=12, max_size=12), scales)
def test_errors_do_not_depend_on_the_units(entries, units):
    """J^T J of four data and three parameters beside an idle one: errors scale with the units."""
    J = np.array(entries).reshape(4, 3) + 2 * np.eye(4, 3)
    expected = np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
    matrix = np.zeros((4, 4))
    matrix[1:, 1:] = (J / units).T @ (J / units)
    covariance, undetermined = covariance_of(matrix, np.ones(4, bool))
    errors = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(errors[1:], expected * units, rtol=1e-6)
    assert np.isnan(errors[0])
    np.testing.assert_array_equal(undetermined, [[1.0, 0.0, 0.0, 0.0]])


@given(numbers, numbers, st.floats(0.1, 1.0), st.floats(-1.0, 1.0))
def test_errors_beside_a_direction_without_curvature(first, second, weight, coupling):
    """Two parameters by w a + b alone, c by itself and with them: c has the error it has with a held."""
    rows = np.array([[weight, 1.0, coupling], [first * weight, first, 2.0], [second * weight, second, 1.0]])
    covariance, undetermined = covariance_of(rows.T @ rows, np.ones(3, bool))
    errors = np.sqrt(np.diag(covariance))
    held = rows[:, 1:]
    if np.linalg.cond(held) < 100:
        assert errors[2] == near(float(np.sqrt(np.linalg.inv(held.T @ held)[1, 1])), rel=1e-4)
        assert np.isnan(errors[:2]).all()
        assert undetermined[0] / undetermined[0, 0] == near([1.0, -weight, 0.0], abs=1e-5)


def test_more_parameters_than_data_have_no_goodness_of_fit(few):
    data = few.data
    two = dataclasses.replace(data, rows=data.rows[2:], correlation=data.correlation[2:, 2:])
    for prior, free in (
        (without_information("a", x=Range(0.0, 1.0)), 2),
        (without_information("b", y=Range(1.0, 1.0)), 1),
    ):
        record = fit(Likelihood(two), prior, n_starts=4, toys=20).to_dict()
        if free == 1:  # the other is fixed
            assert record["dof"] == 1 and 0 <= record["p_value"] <= 1
            continue
        assert record["dof"] is None and record["p_value"] is None and record["pseudo_data"]["sets"] == 0
        for name in ("dof", "p_value"):
            assert record["missing"][name] == "there is no goodness of fit: 2 free parameters for 2 measured values"
        *_, goodness, _ = fit_tables(record)
        assert "there is no goodness of fit" in goodness and "None" not in goodness
        json.loads(to_json(record))


BAD_RANGES = [
    (Range(0.0, 3.0, log=True), "runs from 0.0 to 3.0 in its logarithm; give positive ends"),
    (Range(-3.0, -1.0, log=True), "sign=-1"),
    (Range(-np.inf, 3.0), "give two finite numbers"),
    (Range(0.0, np.nan), "give two finite numbers"),
    (Range("0", 3.0), "give two finite numbers"),
    (Range(3.0, 0.0), "give the smaller end first"),
    (Range(0.0, 3.0, sign=2), "has the sign 2; give 1 or -1"),
    ((0.0, 3.0), "expected a Range as the prior of C9"),
]


@pytest.mark.parametrize(("range_", "sentence"), BAD_RANGES)
def test_a_range_that_is_none_is_refused(like, range_, sentence):
    prior = Prior("bad", {"C10": Range(-3.0, 3.0), "C9": range_}, ConstantWilson)
    calls = [
        lambda: fit(like, prior),
        lambda: profile(like, prior, axes={"C10": [0.0]}),
        lambda: prior_of(prior),
        lambda: prior.vector(np.full(2, 0.5)),
        lambda: prior.cube(np.ones(2)),
    ]
    for call in calls:
        with pytest.raises(RequestError) as refused:
            call()
        assert "the prior of C9" in str(refused.value) and sentence in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_prior_without_parameters_is_refused():
    with pytest.raises(RequestError, match="the prior 'none' has no parameter"):
        prior_of(Prior("none", {}, ConstantWilson))


def test_a_fixed_parameter_has_its_value_at_every_quantile():
    prior = Prior("fixed", {"C9": Range(-2.0, -2.0), "C10": Range(0.0, 4.0)}, ConstantWilson)
    np.testing.assert_array_equal(prior.vector(np.array([[0.0, 0.5], [0.9, 0.25]])), [[-2.0, 2.0], [-2.0, 1.0]])
    np.testing.assert_array_equal(prior.cube(np.array([[-2.0, 2.0], [-1.0, 1.0]])), [[0.5, 0.5], [np.inf, 0.25]])
    assert prior.fixed.tolist() == [True, False]


@pytest.mark.parametrize(
    ("keywords", "words"), [({"n_starts": 0}, "expected 1 to 65536 starts"), ({"toys": -1}, "sets of pseudo-data")]
)
def test_impossible_numbers_are_refused(like, keywords, words):
    with pytest.raises(RequestError, match=words):
        fit(like, CONSTANT, **keywords)


def test_what_is_no_likelihood_is_refused(like):
    calls = [lambda: fit(like.data), lambda: profile("lhcb_core", CONSTANT, axes={"C9": [0.0]})]
    for call in (*calls, lambda: sample(like.data), lambda: scan(like.data, {"C9": 0.0}, model="constant", out="scan")):
        with pytest.raises(RequestError, match="expected a jaxdark.Likelihood, got"):
            call()


def test_free_nuisances_are_refused(like):
    with pytest.raises(RequestError, match="theory='marginalised'"):
        fit(Likelihood(like.data, theory="full"), CONSTANT)


@pytest.mark.slow
@pytest.mark.parametrize("region", ["high", "low"])
def test_256_starts_and_migrad_agree_on_the_paper(region):
    prior = prior_of(region)
    found = fit(Likelihood(load_dataset("paper2020")), region, toys=0)
    record = found.to_dict()
    assert record["converged"] and record["starts"]["at_best"] >= 10
    best = np.array([entry["value"] for entry in record["parameters"].values()])
    search = minuit(found.like, prior, best)
    assert search.fval == near(record["chi2"], abs=1e-4)
    # A global check that shares no code with the search: the best of many MIGRADs is no better.
    starts = np.asarray(prior.vector(np.random.default_rng(1).random((20, len(best)))))
    others = [minuit(found.like, prior, start).fval for start in starts]
    assert min(others) > record["chi2"] - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "region"), [("zprime", "high"), ("zprime", "low"), ("constant", "all"), ("box", "all")]
)
def test_every_model_fits(model, region, like):
    record = fit(like, prior_of(region, model), toys=0, n_starts=64).to_dict()
    assert record["converged"]
    assert record["delta_chi2_sm"] > 0
    for entry in record["parameters"].values():
        assert entry["hessian_error"] is not None or entry["hessian_reason"]
