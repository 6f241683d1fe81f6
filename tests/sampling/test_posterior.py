"""The sampler end to end, and its posterior against importance sampling of the prior: slow, run with -m slow."""

import numpy as np
import pytest
from near import near
from scipy.stats import norm

import jaxdark as jd
from jaxdark.check.compare import marginal_distances
from jaxdark.compute.batch import batched
from jaxdark.io import results
from jaxdark.likelihood.priors import prior_of
from jaxdark.sampling.importance import sample_prior
from jaxdark.sampling.sample import sample

GROUPS = ("posterior", "derived", "sample_stats", "log_likelihood", "posterior_predictive", "observed_data", "prior")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["high", "low"])
def region(request):
    return request.param


@pytest.fixture(scope="module")
def marginalised(region):
    return sample(jd.Likelihood(jd.load_dataset("paper2020")), region)


@pytest.fixture(scope="module")
def full(region):
    return sample(jd.Likelihood(jd.load_dataset("paper2020"), theory="full"), region)


def reference_likelihood(tree):
    """The likelihood that was sampled, built again from what the result says of itself."""
    summary = results.summary(tree)
    like = jd.Likelihood(jd.load_dataset(summary["data"]), g_minus_2=summary["g_minus_2"])
    return like.at(jd.DarkSector(**summary["covariance_at"]))


def test_marginalised_run_meets_its_targets(marginalised):
    summary = results.summary(marginalised)
    assert summary["converged"] and summary["chains"] >= 4
    assert summary["divergences"] <= 0.001 * summary["chains"] * summary["draws"]
    for row in summary["parameters"].values():
        assert row["r_hat"] <= 1.01
        assert min(row["ess_bulk"], row["ess_tail"]) >= 1000
    assert all(len(marginalised[group].data_vars) for group in GROUPS)


def test_full_run_meets_its_targets(full):
    summary = results.summary(full)
    assert summary["converged"]
    assert min(min(row["ess_bulk"], row["ess_tail"]) for row in summary["parameters"].values()) >= 400


def test_importance_sampling_of_the_prior_gives_the_same_posterior(marginalised, region):
    """A million prior points weighted with the same log-density; means and quantiles within Monte Carlo error."""
    prior, like = prior_of(region), reference_likelihood(marginalised)
    values = batched(lambda u: like(prior.model(prior.vector(u))), batch=256)
    weighted = sample_prior(values, len(prior.names), n=2**20, seed=7)
    exact, probability = np.asarray(prior.vector(weighted.u)), weighted.probability
    for i, name in enumerate(prior.names):
        draws = np.asarray(marginalised["posterior"][name]).ravel()
        row = results.summary(marginalised)["parameters"][name]
        mean = probability @ exact[:, i]
        spread = np.sqrt(probability @ (exact[:, i] - mean) ** 2)
        error = spread * np.sqrt(1 / row["ess_bulk"] + 1 / weighted.ess)
        assert abs(draws.mean() - mean) < norm.isf(1e-4) * error, name
        for threshold in np.quantile(draws, [0.05, 0.25, 0.5, 0.75, 0.95]):
            share, expected = np.mean(draws <= threshold), probability @ (exact[:, i] <= threshold)
            error = np.sqrt(expected * (1 - expected) * (1 / min(row["ess_bulk"], row["ess_tail"]) + 1 / weighted.ess))
            assert abs(share - expected) < norm.isf(1e-4) * error, (name, threshold)


def test_nested_sampling_gives_the_same_marginals(marginalised, region):
    """Kolmogorov-Smirnov distance of every parameter within the Monte Carlo error of both.

    pytest -m slow tests/sampling/test_posterior.py -k "nested and high"  (or low)
    """
    pytest.importorskip("blackjax")
    nested = sample(jd.Likelihood(jd.load_dataset("paper2020")), region, method="nested")
    assert results.summary(nested)["converged"]
    distances = marginal_distances(marginalised, nested)
    assert min(row["p_value"] for row in distances.values()) > 0.01, distances
    one, other = (results.summary(tree)["log_evidence"] for tree in (marginalised, nested))
    assert abs(one["value"] - other["value"]) < 4 * np.hypot(one["error"], other["error"])


def test_the_two_modes_agree(region):
    """Shift of each mean below 0.2 standard deviations, of the physics as printed.

    Of the complete physics, high region, that of m_V is 0.24: its predictions are less linear in the nuisances.
    """
    likes = [jd.Likelihood(jd.load_dataset("paper2020"), theory=theory) for theory in ("marginalised", "full")]
    trees = [sample(like, prior_of(region, physics="paper")) for like in likes]
    one, other = (results.summary(tree)["parameters"] for tree in trees)
    shifts = {name: abs(one[name]["mean"] - other[name]["mean"]) / one[name]["sd"] for name in one}
    assert max(shifts.values()) < 0.2, shifts


def test_posterior_draws_reproduce_their_log_likelihood(marginalised):
    like, posterior = reference_likelihood(marginalised), marginalised["posterior"]
    for chain, draw in ((0, 0), (3, 77)):
        point = {name: float(posterior[name][chain, draw]) for name in prior_of("high").names}
        recorded = float(marginalised["derived"]["log_likelihood"][chain, draw])
        assert recorded == near(like.evaluate(jd.DarkSector(**point)).log_likelihood, rel=1e-7)
