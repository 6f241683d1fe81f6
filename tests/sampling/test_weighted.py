"""Routes to a posterior without chains, on a Gaussian in the unit square whose integrals are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from scipy.stats import norm

from jaxdark.sampling.weighted import diagnose_weighted

CENTRE, WIDTH = np.array([0.3, 0.6]), np.array([0.1, 0.2])
NAMES = ("a", "b")


def log_likelihood(u):
    return -0.5 * jnp.sum(((u - CENTRE) / WIDTH) ** 2)


def test_effective_sizes_are_those_of_independent_draws():
    """Standard errors of the mean and of a tail probability over many weighted samples."""
    generator, means, tails, bulk, tail = np.random.default_rng(0), [], [], [], []
    for _ in range(300):
        u = generator.random((2000, 2))
        log_weight = -0.5 * (((u - CENTRE) / WIDTH) ** 2).sum(axis=1)
        row = diagnose_weighted(NAMES, u, log_weight).parameters["a"]
        weight = np.exp(log_weight) / np.exp(log_weight).sum()
        means.append(row["mean"])
        tails.append(weight @ (u[:, 0] < CENTRE[0] + norm.ppf(0.05) * WIDTH[0]))
        bulk.append(row["sd"] ** 2 / row["ess_bulk"])
        tail.append(0.05 * 0.95 / row["ess_tail"])
    assert np.var(means) == near(np.mean(bulk), rel=0.3)
    # the less certain of both tails is quoted
    assert 0.6 < np.var(tails) / np.mean(tail) < 1.3


def test_equal_weights_are_independent_draws():
    values = np.random.default_rng(1).normal(size=(4000, 1))
    found = diagnose_weighted(("x",), values, np.zeros(4000))
    row = found.parameters["x"]
    assert found.converged and row["r_hat"] is None
    assert row["ess_bulk"] == near(4000) and row["ess_tail"] == near(4000, rel=1e-2)
    assert row["hdi95"] == near([-1.96, 1.96], abs=0.15)


def test_few_or_heavy_points_are_bad():
    values = np.random.default_rng(2).random((1000, 2))
    log_weight = np.zeros(1000)
    log_weight[0] = np.log(500)
    found = diagnose_weighted(NAMES, values, log_weight)
    assert not found.converged and "one point holds 33 % of the posterior" in found.warnings[-1]
    assert "effective sample size of a" in found.warnings[0] and "increase n_samples" in found.warnings[0]


def test_nested_sampling_finds_evidence_and_moments():
    pytest.importorskip("blackjax")
    from jaxdark.sampling.nested import nested_sample

    sample, (value, error) = nested_sample(log_likelihood, 2, seed=1, n_live=200)
    inside = norm.cdf((1 - CENTRE) / WIDTH) - norm.cdf(-CENTRE / WIDTH)
    assert 0.01 < error < 0.2
    assert value == near(np.log(np.prod(np.sqrt(2 * np.pi) * WIDTH * inside)), abs=4 * error)
    rows = diagnose_weighted(NAMES, sample.u, sample.log_weight).parameters
    low, high = -CENTRE / WIDTH, (1 - CENTRE) / WIDTH
    mean = CENTRE + WIDTH * (norm.pdf(low) - norm.pdf(high)) / (norm.cdf(high) - norm.cdf(low))
    for row, expected in zip(rows.values(), mean, strict=True):
        assert abs(row["mean"] - expected) < 5 * row["sd"] / np.sqrt(row["ess_bulk"])
