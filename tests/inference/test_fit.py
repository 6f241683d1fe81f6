"""Best fits against iminuit, errors against its HESSE and MINOS, and what the record says where there are none."""

import dataclasses

import jax
import numpy as np
import pytest
from iminuit import Minuit
from near import near
from scipy.stats import chi2 as chi2_distribution

from jaxdark.dark.model import ConstantWilson
from jaxdark.errors import RequestError
from jaxdark.inference.fit import fit
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.priors import Prior, Range, prior_of
from jaxdark.measurements import load_dataset

CONSTANT = prior_of("all", "constant")


@pytest.fixture(scope="module")
def like():
    return Likelihood(load_dataset("lhcb_core"))


@pytest.fixture(scope="module")
def constant(like):
    return fit(like, CONSTANT, starts=16, pseudo=400)


def minuit(like, prior, start):
    """MIGRAD with our gradients in the model's own parameters, from a start a little off."""
    value = jax.jit(jax.value_and_grad(lambda x: -2 * like.log_density(x, prior)))
    search = Minuit(lambda x: float(value(np.asarray(x))[0]), start, grad=lambda x: np.asarray(value(np.asarray(x))[1]))
    ends = [sorted((r.sign * r.lower, r.sign * r.upper)) for r in prior.ranges.values()]
    search.limits = ends
    search.strategy, search.tol = 2, 1e-4
    return search.migrad(ncall=5000)


def test_migrad_finds_the_same_minimum_and_hesse_the_same_errors(constant):
    parameters = constant.record["parameters"]
    best = np.array([entry["value"] for entry in parameters.values()])
    search = minuit(constant.like, CONSTANT, best + [0.3, -0.2])
    assert search.fval == near(constant.record["chi2"], abs=1e-4)
    np.testing.assert_allclose(search.values, best, atol=1e-3)
    search.hesse()
    np.testing.assert_allclose(search.errors, [e["hessian_error"] for e in parameters.values()], rtol=5e-3)


def test_fisher_errors_are_those_of_the_linearised_fit(constant):
    """Finite differences of the whitened residuals."""
    like, entries = constant.like, constant.record["parameters"]
    best = np.array([entry["value"] for entry in entries.values()])

    def whitened(x):
        return like.whitening @ np.asarray(like.residuals(like.predictions(CONSTANT.model(x))))

    J = np.stack([(whitened(best + h) - whitened(best - h)) / 2e-5 for h in 1e-5 * np.eye(2)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
    np.testing.assert_allclose([e["fisher_error"] for e in entries.values()], errors, rtol=1e-5)


def test_goodness_of_fit_from_pseudo_data(constant):
    """Two parameters in an almost linear model: the asymptotic distribution holds."""
    record = constant.record
    rows = len(constant.like.data)
    assert record["dof"] == rows - 2  # no vector, so (g-2) does not count
    sets = record["pseudo_data"]
    assert sets["mean_chi2"] == near(record["dof"], abs=5 * np.sqrt(2 * record["dof"] / 400))
    expected = chi2_distribution.sf(record["chi2"], record["dof"])
    assert record["p_value"] == near(expected, abs=4 * np.sqrt(0.25 / 400))
    assert sets["not_converged"] == 0


@pytest.mark.parametrize(("reading", "dof"), [("limit", 4), ("upper", 4), ("measurement", 5)])
def test_g_minus_2_is_in_chi2_and_pseudo_data_where_it_is_a_datum(reading, dof):
    """Five rows and one parameter without a vector: few degrees of freedom, so that one more shows."""
    data = load_dataset("lhcb_core")
    part = dataclasses.replace(data, rows=data.rows[3:8], correlation=data.correlation[3:8, 3:8])
    prior = Prior("constant", {"C9": Range(-3.0, 3.0)}, lambda C9: ConstantWilson(C9=C9))
    found = fit(Likelihood(part, g_minus_2=reading), prior, starts=4, pseudo=2000)
    assert found.record["dof"] == dof
    assert found.record["pseudo_data"]["mean_chi2"] == near(dof, abs=5 * np.sqrt(2 * dof / 2000))
    at_sm = {name: found.record[name] for name in ("sm_log_likelihood", "delta_chi2_sm")}
    assert at_sm["sm_log_likelihood"] == near(float(found.like(ConstantWilson())), rel=1e-9)
    assert at_sm["delta_chi2_sm"] >= 0


def test_record(constant):
    record, like = constant.record, constant.like
    assert record["converged"] and record["status"].startswith("converged: ")
    assert record["gradient_norm"] < record["tolerance"]
    assert record["starts"] == {"run": 16, "converged": 16, "at_best": record["minima"][0]["starts"]}
    assert record["chi2"] == near(-2 * float(like(constant.model)), rel=1e-9)
    sm = like(ConstantWilson(C9=0.0, C10=0.0))
    assert record["delta_chi2_sm"] == near(-2 * float(sm) - record["chi2"], rel=1e-6)
    assert [p["id"] for p in record["pulls"]] == list(like.data.ids)
    assert list(record["covariance_at"]) == ["C9", "C10"]
    assert sum(m["starts"] for m in record["minima"]) == record["starts"]["converged"]
    chi2 = [m["chi2"] for m in record["minima"]]
    assert chi2 == sorted(chi2)
    assert {"jaxdark", "jax", "optax"} <= set(record["versions"]) and record["seed"] == 0


def test_a_minimum_on_an_edge_has_no_error_and_says_so(like):
    prior = Prior("edge", {"C9": Range(-0.2, 3.0), "C10": Range(-3.0, 3.0)}, ConstantWilson)
    record = fit(like, prior, starts=8, pseudo=0).record
    entry = record["parameters"]["C9"]
    assert record["converged"] and entry["value"] == near(-0.2) and entry["on_edge"]
    assert entry["hessian_error"] is None and "edge" in entry["hessian_reason"]
    assert record["parameters"]["C10"]["hessian_error"] > 0
    assert "C9 on an edge" in record["status"]
    assert record["p_value"] is None and "p_value" in record["missing"]


def test_a_degenerate_direction_is_named(like):
    """Only the sum of two parameters enters."""
    ranges = {"a": Range(-2.0, 2.0), "b": Range(-2.0, 2.0)}
    record = fit(like, Prior("sum", ranges, lambda a, b: ConstantWilson(C9=a + b)), starts=8, pseudo=0).record
    assert record["converged"]
    assert record["minima_found"] == 1 and record["minima"][0]["starts"] == 8
    assert "degenerate: points with different a, b predict the same" in record["status"]
    for entry in record["parameters"].values():
        assert entry["hessian_error"] is None and entry["hessian_reason"]


@pytest.mark.parametrize(
    ("keywords", "words"), [({"starts": 0}, "at least 1 start"), ({"pseudo": -1}, "sets of pseudo-data")]
)
def test_impossible_numbers_are_refused(like, keywords, words):
    with pytest.raises(RequestError, match=words):
        fit(like, CONSTANT, **keywords)


def test_free_nuisances_are_refused(like):
    with pytest.raises(RequestError, match="theory='marginalised'"):
        fit(Likelihood(like.data, theory="full"), CONSTANT)


@pytest.mark.slow
@pytest.mark.parametrize("region", ["high", "low"])
def test_256_starts_and_migrad_agree_on_the_paper(region):
    prior = prior_of(region)
    found = fit(Likelihood(load_dataset("paper2020")), region, pseudo=0)
    record = found.record
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
    record = fit(like, prior_of(region, model), pseudo=0, starts=64).record
    assert record["converged"]
    assert record["delta_chi2_sm"] > 0
    for entry in record["parameters"].values():
        assert entry["hessian_error"] is not None or entry["hessian_reason"]
