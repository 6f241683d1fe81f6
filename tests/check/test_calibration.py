"""Calibration: uniform ranks where the posterior is right, and not where it is wrong; the real one is slow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near

import jaxdark as jd
from jaxdark.check import calibration
from jaxdark.check.calibration import calibrate, residuals_of
from jaxdark.likelihood.priors import prior_of
from jaxdark.optimise.region_fit import fit_with_covariance

NAMES = ("a", "b")


def residuals(u):
    """Three measurements of two parameters, one of them curved."""
    return jnp.array([u[0] / 0.1, u[0] * u[1] / 0.05, (u[1] - 0.5) ** 2 / 0.1])


def test_a_right_posterior_has_uniform_ranks():
    found = calibrate(residuals, NAMES, n=200, n_samples=2**15, seed=1)
    assert found.ranks.shape == (200, 2) and found.tried >= 200 and found.ess.min() >= 400
    assert min(found.p_values.values()) > 0.01


def test_a_wrong_posterior_is_found_out(monkeypatch):
    """A likelihood to the power of four: errors half of what they should be."""
    right = calibration._below
    monkeypatch.setattr(
        calibration, "_below", lambda sample, *rest: right(sample._replace(log_weight=4 * sample.log_weight), *rest)
    )
    assert min(calibrate(residuals, NAMES, n=200, n_samples=2**15, seed=1).p_values.values()) < 1e-4


def test_points_that_resolve_no_data_set_are_refused():
    with pytest.raises(jd.RequestError, match="got 0 of 50 with 64 points; increase n_samples"):
        calibrate(residuals, NAMES, n=1, n_samples=64, seed=1)


def test_chains_and_weights_give_a_data_set_the_same_ranks():
    by_weights, by_nuts = (
        calibrate(residuals, NAMES, n=2, n_samples=2**15, seed=4, method=method) for method in ("importance", "nuts")
    )
    assert by_weights.tried == by_nuts.tried
    np.testing.assert_allclose(by_nuts.ranks, by_weights.ranks, atol=0.1)


@pytest.fixture(scope="module", params=["high", "low"])
def real(request):
    prior = prior_of(request.param)
    like = fit_with_covariance(jd.Likelihood(jd.load_dataset("paper2020")), prior).like
    return residuals_of(like, prior), prior.names


@pytest.mark.slow
@pytest.mark.parametrize(("method", "n", "points"), [("importance", 300, 2**20), ("nuts", 40, 2**18)])
def test_the_posterior_is_calibrated(real, method, n, points):
    """Both regions of the paper; 300 data sets by weights, 40 by chains.

    pytest -m slow tests/check/test_calibration.py -k "calibrated and importance"  (or nuts; and high or low)
    """
    found = calibrate(*real, n=n, method=method, n_samples=points, seed=2)
    print(f"{n} of {found.tried} data sets were resolved, smallest effective size {found.ess.min():.0f}")
    assert min(found.p_values.values()) > 0.01, found.p_values


def test_residuals_make_up_the_likelihood(paper2020):
    prior, u = prior_of("high"), np.full(5, 0.4)
    vector = np.asarray(jax.jit(residuals_of(paper2020, prior))(u))
    assert vector.shape == (len(paper2020.data) + 1,)
    log_likelihood = float(jax.jit(paper2020)(prior.model(prior.vector(u))))
    assert -0.5 * float(vector @ vector) == near(log_likelihood, rel=1e-12)
    with pytest.raises(jd.RequestError, match="pseudo-data need"):
        residuals_of(jd.Likelihood(paper2020.data, g_minus_2="upper"), prior)
