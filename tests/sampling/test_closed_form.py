"""`jaxdark.sample` end to end on a posterior in closed form: a Gaussian that one end of the prior cuts off.

The draws are those of the density that the chains see, with the slope of the flow in it, and in mode "full" the
verdict compares them with the importance weights of the nuisances.
"""

import numpy as np
import pytest
from linear import (
    CENTRE,
    CORRELATION,
    DESIGN,
    NUISANCES,
    PRIOR,
    SIGMA,
    SLOPES,
    VALUES,
    LinearLikelihood,
    log_evidence,
    log_marginal,
    posterior,
)
from monte_carlo import assert_mean, assert_moments
from scipy.stats import multivariate_normal, truncnorm

import jaxdark as jd
from jaxdark.io import results
from jaxdark.likelihood.priors import Prior, Range
from jaxdark.sampling import sample
from jaxdark.sampling.density import FLOOR
from jaxdark.sampling.flow import TrainedFlow, prior_map
from jaxdark.sampling.importance import ImportanceSample

MEAN, COVARIANCE = posterior()
SD = np.sqrt(np.diag(COVARIANCE))
CUT = -0.3
"""End of the prior of C9, in standard deviations from the mean of the whole Gaussian."""
TRUNCATED = Prior(
    "all", {"C9": Range(-1.4, float(MEAN[0] + CUT * SD[0])), "C10": PRIOR.ranges["C10"]}, jd.ConstantWilson, "constant"
)


def truncated_moments():
    """Mean and covariance of (C9, C10): C9 is a truncated normal, and C10 given C9 a linear regression on it."""
    mean, variance = truncnorm.stats(-np.inf, CUT, MEAN[0], SD[0], moments="mv")
    slope = COVARIANCE[0, 1] / COVARIANCE[0, 0]
    rest = COVARIANCE[1, 1] - slope * COVARIANCE[0, 1]
    covariance = variance * np.array([[1, slope], [slope, slope**2]]) + np.diag([0, rest])
    return np.array([mean, MEAN[1] + slope * (mean - MEAN[0])]), covariance


def nuisance_moments(mean, covariance):
    """The same of the nuisances, which given the parameters are a linear regression on the residuals."""
    J, R = SLOPES / SIGMA[:, None], CORRELATION
    spread = np.linalg.inv(np.eye(len(NUISANCES)) + J.T @ np.linalg.solve(R, J))
    gain = spread @ J.T @ np.linalg.inv(R)
    slope = -gain @ (DESIGN / SIGMA[:, None])
    return -gain @ ((CENTRE + DESIGN @ mean - VALUES) / SIGMA), spread + slope @ covariance @ slope.T


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_the_draws_are_those_of_the_truncated_gaussian(theory):
    tree = jd.sample(LinearLikelihood(theory), TRUNCATED, draws=500, seed=3)
    summary = results.summary(tree)
    assert summary["converged"], summary["warnings"]
    mean, covariance = truncated_moments()
    draws = np.stack([np.asarray(tree["posterior"][name]) for name in TRUNCATED.names], axis=-1)
    assert_moments(draws, mean, covariance)
    for probability in (0.05, 0.5, 0.95):
        quantile = truncnorm.ppf(probability, -np.inf, CUT, MEAN[0], SD[0])
        assert_mean((draws[..., 0] < quantile).astype(float), probability, f"quantile {probability}")
    if theory == "full":
        assert_moments(np.asarray(tree["posterior"]["nuisances"]), *nuisance_moments(mean, covariance))


HALF_WIDTH = 1e7
"""Of a prior 10^8 standard deviations wide: at e^-35 of the best likelihood it weighs more than the posterior."""
WIDE = Prior(
    "all",
    {name: Range(float(m - HALF_WIDTH), float(m + HALF_WIDTH)) for name, m in zip(PRIOR.names, MEAN, strict=True)},
    jd.ConstantWilson,
    "constant",
)


def exact_sample():
    """Importance sample of the Gaussian under the wide prior, drawn from the Gaussian itself, in place of a flow."""
    x = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, 2000)
    log_likelihood = np.array([log_marginal(parameters) for parameters in x])
    log_proposal = multivariate_normal(MEAN, COVARIANCE).logpdf(x) + 2 * np.log(2 * HALF_WIDTH)
    u = np.asarray(WIDE.cube(x))
    return TrainedFlow(prior_map(2), ImportanceSample(u, log_likelihood, log_likelihood - log_proposal), (1.0,))


def test_a_run_says_so_where_the_floor_of_the_likelihood_counts(monkeypatch):
    flow = exact_sample()
    monkeypatch.setattr(sample, "train_flow", lambda *_, **__: flow)
    summary = results.summary(jd.sample(LinearLikelihood(), WIDE, draws=100, seed=0))
    evidence = np.exp(log_evidence()) / HALF_WIDTH**2  # the ranges of PRIOR have the half-width 1
    share = 1 / (1 + evidence / np.exp(FLOOR + log_marginal(MEAN)))
    sentence = f"the prior at the floor of the likelihood holds {100 * share:.2g} % of what is sampled"
    assert 0.1 < share < 1 and any(sentence in reason for reason in summary["warnings"]), summary["warnings"]
