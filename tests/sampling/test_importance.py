"""Importance sampling against closed forms of Gaussian likelihoods on the unit cube."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near
from scipy.stats import beta, norm

from jaxdark.compute.batch import batched
from jaxdark.errors import RequestError
from jaxdark.likelihood.priors import prior_points
from jaxdark.sampling.importance import (
    ImportanceSample,
    effective_size,
    mixture_sample,
    resampled_indices,
    sample_prior,
)

CENTRE, WIDTH = np.array([0.3, 0.9]), np.array([0.1, 0.2])


def log_likelihood(u):
    return -0.5 * jnp.sum(((u - CENTRE) / WIDTH) ** 2)


def integral(power):
    """Integral of L^power over the unit square."""
    width = WIDTH / np.sqrt(power)
    inside = norm.cdf((1 - CENTRE) / width) - norm.cdf(-CENTRE / width)
    return np.prod(np.sqrt(2 * np.pi) * width * inside)


def truncated_mean():
    low, high = -CENTRE / WIDTH, (1 - CENTRE) / WIDTH
    return CENTRE + WIDTH * (norm.pdf(low) - norm.pdf(high)) / (norm.cdf(high) - norm.cdf(low))


@pytest.fixture(scope="module")
def sample():
    return sample_prior(batched(log_likelihood), 2, n=2**16, seed=3)


def test_evidence_effective_size_and_mean_are_those_of_the_closed_form(sample):
    assert len(sample.u) == 2**16
    # quasi-random points beat the independent ones the error is quoted for
    assert sample.log_evidence == near(np.log(integral(1)), abs=sample.log_evidence_error / 5)
    assert sample.ess == near(2**16 * integral(1) ** 2 / integral(2), rel=1e-3)
    np.testing.assert_allclose(sample.probability @ sample.u, truncated_mean(), atol=1e-4)
    assert sample.probability.sum() == near(1, abs=1e-12)


def test_quoted_error_is_the_scatter_of_independent_samples():
    generator = np.random.default_rng(0)
    values = batched(log_likelihood)
    samples = [ImportanceSample(u, values(u), values(u)) for u in generator.random((200, 500, 2))]
    scatter = np.std([s.log_evidence for s in samples], ddof=1)
    assert scatter == near(np.mean([s.log_evidence_error for s in samples]), rel=4 / np.sqrt(2 * 199))


def test_resampled_draws_have_the_posterior_mean(sample):
    draws = sample.resampled(4000, seed=1)
    assert draws.shape == (4000, 2)
    sd = np.sqrt(sample.probability @ (sample.u - truncated_mean()) ** 2)
    assert np.all(np.abs(draws.mean(axis=0) - truncated_mean()) < 4 * sd / np.sqrt(4000))


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 1000))
def test_resampling_takes_each_point_its_expected_number_of_times(log_weight, n, seed):
    log_weight = np.array(log_weight)
    expected = n * np.exp(log_weight - np.logaddexp.reduce(log_weight))
    counts = np.bincount(resampled_indices(log_weight, n, seed), minlength=len(log_weight))
    assert counts.sum() == n
    assert np.all(np.abs(counts - expected) < 1 + 1e-9)


@given(st.integers(1, 1000), st.floats(-1e5, 1e5))
def test_equal_weights_have_full_effective_size(n, log_weight):
    assert effective_size(np.full(n, log_weight)) == near(n, rel=1e-9)


@pytest.mark.parametrize("n", [1, 64, 100, 129])
def test_batches_give_what_one_call_gives(n):
    def function(scale, u):
        return {"value": scale * log_likelihood(u), "point": u}

    u = np.random.default_rng(n).random((n, 2))
    result = batched(function, batch=64)(2.0, u)
    np.testing.assert_array_equal(result["point"], u)
    np.testing.assert_allclose(result["value"], jax.vmap(lambda u: function(2.0, u)["value"])(u), rtol=1e-14)


def test_mixture_is_unbiased_and_the_prior_bounds_its_weights(sample):
    """A proposal that misses half of the posterior is repaired by the prior's points."""
    proposal = beta([3, 6], [7, 2])
    u = proposal.rvs((2**14, 2), random_state=5)
    values = batched(log_likelihood)(u)
    image = ImportanceSample(u, values, values - proposal.logpdf(u).sum(axis=1))
    everywhere = np.concatenate([sample.u, u])
    pool = mixture_sample([sample, image], [np.zeros(len(everywhere)), proposal.logpdf(everywhere).sum(axis=1)])
    assert pool.log_evidence == near(np.log(integral(1)), abs=4 * pool.log_evidence_error)
    assert pool.ess > sample.ess
    assert np.max(pool.log_weight - pool.log_likelihood) <= np.log(len(everywhere) / len(sample.u)) + 1e-9


def test_progress_counts_the_points():
    seen = []
    sample_prior(batched(log_likelihood), 2, n=1000, seed=0, chunk=300, progress=lambda *a: seen.append(a))
    assert seen == [(300, 1024), (600, 1024), (900, 1024), (1024, 1024)]


def test_points_fill_the_cube_evenly_and_depend_on_the_seed():
    u = prior_points(3, 2**10, seed=0)
    # one point in each of 2^10 slices along every axis is what a Sobol net is
    for column in u.T:
        assert np.array_equal(np.sort((column * 2**10).astype(int)), np.arange(2**10))
    assert not np.array_equal(u, prior_points(3, 2**10, seed=1))
    assert u.min() > 0 and u.max() < 1


def test_nan_is_refused_and_says_where():
    holed = batched(lambda u: jnp.where(u[0] > 0.5, jnp.nan, log_likelihood(u)))
    with pytest.raises(RequestError, match=r"must be a number everywhere on the prior, but it is nan .* u = \[0\."):
        sample_prior(holed, 2, n=64, seed=0)
