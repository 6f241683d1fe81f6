"""What is recorded of a draw, in both modes of the likelihood."""

import numpy as np
import pytest
from linear import (
    CENTRE,
    DESIGN,
    EXPERIMENT,
    NUISANCES,
    PRIOR,
    SIGMA,
    TOTAL,
    VALUES,
    LinearLikelihood,
    log_marginal,
    posterior,
)
from linear import fitted as of_linear
from near import near
from scan_worker import toy_likelihood
from scipy.stats import chi2, multivariate_normal, norm

import jaxdark as jd
from jaxdark.check.sensitivity import goodness_of_fit, leave_one_out
from jaxdark.io import results
from jaxdark.likelihood.priors import prior_of
from jaxdark.likelihood.provenance import provenance
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.sampling.diagnostics import Diagnosis, diagnose
from jaxdark.sampling.to_arviz import Sampled, posterior_tree

CONSTANT = prior_of("all", "constant")


def made_up(draws, diagnose=lambda *_: Diagnosis({}, ())):
    return Sampled(
        vectors=draws,
        stats={"diverging": np.zeros(draws.shape[:2], bool)},
        diagnose=diagnose,
        evidence=(0.0, 0.1),
        summary={},
        attributes={},
    )


def tree_of(like, prior, fit, sampled, seed):
    return posterior_tree(like, prior, fit, sampled, provenance(like, prior, seed=seed))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    like = toy_likelihood(tmp_path_factory.mktemp("toy"))
    return like, fit_with_covariance(like, CONSTANT, starts=4)


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_log_likelihoods_of_a_draw(fitted, theory):
    """That of the parameters compares with the Standard Model's; that at the nuisances is without their prior."""
    like, fit = fitted
    used = fit.like if theory == "marginalised" else jd.Likelihood(like.data, theory="full")
    n = len(used.nuisance_names) if theory == "full" else 0
    draws = np.random.default_rng(1).normal(size=(2, 5, 2 + n))
    tree = tree_of(used, CONSTANT, fit, made_up(draws), seed=0)
    derived, summary = tree["derived"], results.summary(tree)
    at_nuisances = np.empty((2, 5))
    for place in np.ndindex(2, 5):
        vector = draws[place]
        model = jd.ConstantWilson(C9=vector[0], C10=vector[1])
        expected = fit.like.evaluate(model).log_likelihood
        assert float(derived["log_likelihood"].values[place]) == near(expected, rel=1e-9)
        z = used.residuals(used.predictions(model, vector[2:] if n else None))
        whitened = used.whitening @ np.asarray(z)
        at_nuisances[place] = -0.5 * whitened @ whitened
    if theory == "full":
        np.testing.assert_allclose(derived["log_likelihood_at_nuisances"].values, at_nuisances, rtol=1e-9)
    assert summary["max_likelihood_draw"]["log_likelihood"] == float(derived["log_likelihood"].max())
    # two rows; the limit on (g-2) says nothing of a model without a vector
    assert results.attributes(tree)["measured"] == 2
    assert goodness_of_fit(tree) == near(float(chi2.sf(-2 * at_nuisances, 2).mean()), rel=1e-9)


def test_the_gain_over_the_standard_model_is_that_of_the_marginal_likelihoods():
    """Twice their difference at the best draw, in closed form."""
    draws = np.random.default_rng(2).normal(size=(2, 10, 2))
    summary = results.summary(tree_of(LinearLikelihood(), PRIOR, of_linear(), made_up(draws), seed=0))
    best = max(draws.reshape(-1, 2), key=log_marginal)
    assert list(summary["max_likelihood_draw"]["parameters"].values()) == best.tolist()
    assert summary["delta_chi2_sm"] == near(2 * (log_marginal(best) - log_marginal(np.zeros(2))), rel=1e-9)


def of_chains(posterior, nuisances, log_likelihood):
    return diagnose(posterior, np.zeros(log_likelihood.shape, bool), log_likelihood, nuisances=nuisances)


def test_a_nuisance_that_has_not_converged_fails_the_run():
    """Parameters and log-likelihood are independent draws; of one nuisance the chains do not agree."""
    draws = np.random.default_rng(1).normal(size=(4, 1000, 2 + len(NUISANCES)))
    like, fit = LinearLikelihood("full"), of_linear()
    good = results.summary(tree_of(like, PRIOR, fit, made_up(draws, of_chains), seed=0))
    assert (good["converged"], good["warnings"], list(good["nuisances"])) == (True, [], list(NUISANCES))
    assert set(good["parameters"]) == set(PRIOR.names)
    for i, name in enumerate(NUISANCES):
        row = good["nuisances"][name]
        assert row["mean"] == near(draws[..., 2 + i].mean(), rel=1e-9) and row["r_hat"] < 1.01
        assert min(row["ess_bulk"], row["ess_tail"]) > 3000
    draws[2, :, 2 + NUISANCES.index("idle")] += 0.6  # a direction that no row and no parameter sees
    summary = results.summary(tree_of(like, PRIOR, fit, made_up(draws, of_chains), seed=0))
    assert not summary["converged"] and all("idle" in warning for warning in summary["warnings"])
    assert any(warning.startswith("R-hat of the nuisance idle is 1.0") for warning in summary["warnings"])
    assert summary["nuisances"]["idle"]["r_hat"] > 1.01


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_the_posterior_predictive_has_the_covariance_of_the_data(theory):
    """At one point: that of the experiment, and of the theory where no nuisances are drawn."""
    n = 0 if theory == "marginalised" else len(NUISANCES)
    vector = np.concatenate([[0.3, -0.2], np.full(n, 0.5)])
    draws = np.broadcast_to(vector, (2, 20_000, 2 + n))
    like = LinearLikelihood(theory)
    rows = np.asarray(tree_of(like, PRIOR, of_linear(), made_up(draws), seed=3)["posterior_predictive"]["obs"])
    rows = rows.reshape(-1, len(VALUES))
    expected = TOTAL if theory == "marginalised" else EXPERIMENT
    spread = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(rows.mean(axis=0), like.predictions(PRIOR.model(vector[:2]), vector[2:] if n else None),
                               rtol=0, atol=5 * spread.max() / np.sqrt(len(rows)))  # fmt: skip
    np.testing.assert_allclose(
        np.cov(rows.T) / np.outer(spread, spread), expected / np.outer(spread, spread), atol=0.03
    )


def test_the_density_of_a_row_is_conditional_on_the_others():
    """By brute force: the density of all rows over that of all but one, with its normalisation, at every draw."""
    draws = np.random.default_rng(5).normal(size=(1, 6, 2))
    tree = tree_of(LinearLikelihood(), PRIOR, of_linear(), made_up(draws), seed=0)
    found = np.asarray(tree["log_likelihood"]["obs"])[0]
    for place, vector in enumerate(draws[0]):
        mean = CENTRE + DESIGN @ vector
        everything = multivariate_normal(mean, TOTAL).logpdf(VALUES)
        for i in range(len(VALUES)):
            others = np.delete(np.arange(len(VALUES)), i)
            without = multivariate_normal(mean[others], TOTAL[np.ix_(others, others)]).logpdf(VALUES[others])
            # of the residual in units of the experimental error, as all log-likelihoods are
            assert found[place, i] == near(everything - without + np.log(SIGMA[i]), rel=1e-8)


def test_elpd_loo_is_that_of_fits_without_each_row():
    """Of draws of the exact posterior: the normal density of each row given all others, parameters integrated."""
    mean, covariance = posterior()
    draws = np.random.default_rng(7).multivariate_normal(mean, covariance, (2, 10_000))
    found = leave_one_out(tree_of(LinearLikelihood(), PRIOR, of_linear(), made_up(draws), seed=0))
    assert found.pareto_k.max() < 0.7
    for i in range(len(VALUES)):
        others = [j for j in range(len(VALUES)) if j != i]
        without, of_rest = posterior(others)
        gain = np.linalg.solve(TOTAL[np.ix_(others, others)], TOTAL[others, i])
        slope = DESIGN[i] - gain @ DESIGN[others]
        predicted = CENTRE[i] + DESIGN[i] @ without + gain @ (VALUES - CENTRE - DESIGN @ without)[others]
        variance = TOTAL[i, i] - gain @ TOTAL[others, i] + slope @ of_rest @ slope
        expected = norm.logpdf(VALUES[i], predicted, np.sqrt(variance)) + np.log(SIGMA[i])
        assert found.log_density[i] == near(expected, abs=0.05)
