"""Influence and sensitivity by reweighting, against closed forms of a linear Gaussian model and of uniform draws."""

import numpy as np
import pytest
import xarray as xr
from near import near
from scipy.stats import loguniform, norm

from jaxdark.check import sensitivity
from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.likelihood.priors import Range
from jaxdark.output import tables

CHAINS, DRAWS, ROWS = 4, 5000, tuple("abcdefgh")
DESIGN = np.array([[1.0, 0.2], [0.8, -0.3], [0.1, 1.0], [0.3, 0.9], [0.7, 0.7], [-0.6, 0.8], [0.9, 0.4], [-0.2, 0.9]])
SIGMA = np.array([0.8, 1.0, 0.7, 1.2, 0.9, 0.9, 1.1, 1.0])
COVARIANCE = np.outer(SIGMA, SIGMA) * (0.2 + 0.8 * np.eye(8))
ALL = list(range(8))
MEASURED = np.array([5.9, 3.1, 4.9, 6.4, 7.2, 0.9, 7.5, 3.0])
RANGES = {"x": Range(1.0, 30.0, log=True), "y": Range(-20.0, 30.0)}


def posterior(rows):
    """Mean and covariance of x and y from some of the rows, with a flat prior."""
    precision = np.linalg.inv(COVARIANCE[np.ix_(rows, rows)])
    covariance = np.linalg.inv(DESIGN[rows].T @ precision @ DESIGN[rows])
    return covariance @ DESIGN[rows].T @ precision @ MEASURED[rows], covariance


@pytest.fixture(scope="module")
def tree():
    generator = np.random.default_rng(1)
    mean, covariance = posterior(ALL)
    draws = generator.multivariate_normal(mean, covariance, (CHAINS, DRAWS))
    predictions = draws @ DESIGN.T
    precision = np.linalg.inv(COVARIANCE)
    weighted, diagonal = (MEASURED - predictions) @ precision, np.diag(precision)
    pointwise = -0.5 * weighted**2 / diagonal + 0.5 * np.log(diagonal / (2 * np.pi))
    joint = -0.5 * np.einsum("...i,ij,...j", MEASURED - predictions, precision, MEASURED - predictions)
    replicated = predictions + generator.multivariate_normal(np.zeros(8), COVARIANCE, (CHAINS, DRAWS))
    per_draw, row = ("chain", "draw"), {"measurement": list(ROWS)}
    groups = {
        "posterior": xr.Dataset({"x": (per_draw, draws[..., 0]), "y": (per_draw, draws[..., 1])}),
        "derived": xr.Dataset({"log_likelihood": (per_draw, joint)}),
        "log_likelihood": xr.Dataset({"obs": ((*per_draw, "measurement"), pointwise)}, row),
        "posterior_predictive": xr.Dataset({"obs": ((*per_draw, "measurement"), replicated)}, row),
        "observed_data": xr.Dataset({"obs": ("measurement", MEASURED)}, row),
    }
    attributes = {"prior": {n: r._asdict() for n, r in RANGES.items()}, "summary": {"seed": 0}, "measured": len(ROWS)}
    return results.make_tree(groups, attributes)


def test_dropping_a_row_moves_the_means_as_a_new_fit_would(tree):
    found = sensitivity.leave_one_out(tree)
    mean, covariance = posterior(ALL)
    assert found.measurements == ROWS and found.pareto_k.max() < 0.7
    for i in ALL:
        others = [j for j in ALL if j != i]
        without, of_rest = posterior(others)
        np.testing.assert_allclose(found.shift[i], (without - mean) / np.sqrt(np.diag(covariance)), atol=0.05)
        gain = COVARIANCE[i, others] @ np.linalg.inv(COVARIANCE[np.ix_(others, others)])
        slope = DESIGN[i] - gain @ DESIGN[others]
        expected = DESIGN[i] @ without + gain @ (MEASURED[others] - DESIGN[others] @ without)
        spread = np.sqrt(COVARIANCE[i, i] - gain @ COVARIANCE[others, i] + slope @ of_rest @ slope)
        assert found.log_density[i] == near(norm.logpdf(MEASURED[i], expected, spread), abs=0.05)


def test_p_values_are_those_of_the_predictive_distribution(tree):
    mean, covariance = posterior(ALL)
    spread = np.sqrt(np.diag(COVARIANCE + DESIGN @ covariance @ DESIGN.T))
    found = sensitivity.leave_one_out(tree).p_value
    np.testing.assert_allclose(found, norm.sf(MEASURED, DESIGN @ mean, spread), atol=4 * 0.5 / np.sqrt(CHAINS * DRAWS))
    distance = (
        np.asarray(tree["posterior_predictive"]["obs"])
        - np.stack([np.asarray(tree["posterior"][name]) for name in ("x", "y")], axis=-1) @ DESIGN.T
    )
    replicated = np.einsum("...i,ij,...j", distance, np.linalg.inv(COVARIANCE), distance)
    further = np.mean(replicated > -2 * np.asarray(tree["derived"]["log_likelihood"]))
    assert sensitivity.goodness_of_fit(tree) == near(further, abs=4 * 0.5 / np.sqrt(CHAINS * DRAWS))


def test_other_priors_weigh_the_draws_by_their_ratio(tree):
    found = sensitivity.prior_variants(tree)
    assert list(found) == ["x uniform"]  # y may vanish, so it has no logarithm
    x = np.asarray(tree["posterior"]["x"]).ravel()
    assert found["x uniform"]["shift"]["x"] == near((np.average(x, weights=x) - x.mean()) / x.std(), abs=1e-3)
    assert found["x uniform"]["ess"] == near(x.sum() ** 2 / (x**2).sum(), rel=1e-9)


def test_power_scaling_sees_the_likelihood_and_not_a_flat_prior(tree):
    found = sensitivity.power_scaling(tree)
    assert set(found) == set(RANGES) and all(row["likelihood"] > 0.05 for row in found.values())
    assert 0 < found["y"]["prior"] < found["x"]["prior"] < 0.05  # y by its correlation with x alone


def test_the_scaled_prior_is_that_of_the_ranges(tree, monkeypatch):
    """Up to a constant; ArviZ's distances hardly tell a density from its inverse."""
    seen = {}

    def caught(groups, part):
        seen.update(results.datasets(groups))
        return dict.fromkeys(RANGES, 0.0)

    monkeypatch.setattr(sensitivity, "_power_scaled", caught)
    sensitivity.power_scaling(tree)
    off = seen["log_prior"]["x"].values - loguniform(1.0, 30.0).logpdf(tree["posterior"]["x"].values)
    assert np.ptp(off) < 1e-12 and np.ptp(seen["log_prior"]["y"].values) == 0
    np.testing.assert_array_equal(seen["log_likelihood"]["joint"], tree["derived"]["log_likelihood"])


def test_the_checks_are_added_to_the_result(tree):
    checked = sensitivity.check(tree)
    group, checks = checked["leave_one_out"], results.summary(checked)["checks"]
    assert list(group["measurement"].values) == list(ROWS) and group["shift"].dims == ("measurement", "parameter")
    largest = [max(map(abs, row["shift"].values())) for row in checks["measurements"]]
    assert largest == sorted(largest, reverse=True) and checks["unreliable_measurements"] == []
    assert checks["elpd_loo"] == near(float(group["log_density"].sum()))


def test_a_result_without_predictions_is_refused(tree):
    bare = results.make_tree({"posterior": results.datasets(tree)["posterior"].assign_attrs({})}, {"prior": {}})
    with pytest.raises(RequestError, match="with the group log_likelihood"):
        sensitivity.leave_one_out(bare)


def test_more_parameters_than_data_have_no_goodness_of_fit(tree):
    """One free parameter more than measured values, a fixed one not among them."""
    free = sum(r["lower"] < r["upper"] for r in results.attributes(tree)["prior"].values())
    few, enough = (
        results.make_tree(results.datasets(tree), results.attributes(tree) | {"measured": n}) for n in (free - 1, free)
    )
    assert sensitivity.goodness_of_fit(few) is None and 0 <= sensitivity.goodness_of_fit(enough) <= 1
    checks = results.summary(sensitivity.check(few))["checks"]
    assert checks["p_value"] is None and "there is no goodness of fit" in checks["p_value_reason"]
    assert "there is no goodness of fit" in tables.check_tables(checks, 1)[-1]
