"""Best fits against another optimiser, and where the theory covariance ends up."""

import jax
import numpy as np
import pytest
from near import near
from scipy.optimize import minimize

from jaxdark.dark.model import ConstantWilson
from jaxdark.inference.best_fit import BestFit, at_best_fit
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.priors import Prior, Range
from jaxdark.measurements import load_dataset

CONTACT = Prior("contact", {"C9": Range(-3.0, 3.0), "C10": Range(-2.0, 3.0)}, ConstantWilson)


@pytest.fixture(scope="module")
def like():
    return Likelihood(load_dataset("lhcb_core"))


def best_of_scipy(like):
    """Vector and log-likelihood of the maximum from BFGS at the centre of the prior."""
    loss = jax.jit(jax.value_and_grad(lambda x: -like.log_density(x, CONTACT)))
    found = minimize(lambda x: jax.device_get(loss(x)), np.array([0.0, 0.5]), jac=True, method="BFGS")
    return found.x, -found.fun


def test_best_fit_is_the_maximum(like):
    minima = BestFit(like, CONTACT, points=2**8, starts=10)(like.whitening)
    expected, maximum = best_of_scipy(like)
    assert minima.chi2.min() == near(-2 * maximum, abs=1e-8)
    vector = np.asarray(CONTACT.vector(minima.best))
    np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert -1.5 < vector[0] < -0.3  # the anomalies: less C_9


def test_there_is_a_start_in_each_slice_the_best_of_it(like):
    search = BestFit(like, CONTACT, points=2**8, starts=10)
    values = search.values(like.whitening, search._u)
    chosen = search._best_of_slices(values, 10)
    for k, index in enumerate(chosen):
        inside = (search._u[:, 0] * 10).astype(int) == k
        assert inside[index] and values[index] == values[inside].max()
    assert len(chosen) == 10


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_covariance_is_taken_at_the_best_fit_iterated_once(like, theory):
    like = Likelihood(like.data, theory=theory)
    fit = at_best_fit(like, CONTACT)
    by_hand = like.marginalised()
    for _ in range(2):
        vector, _ = best_of_scipy(by_hand)
        by_hand = by_hand.at(CONTACT.model(vector))
    np.testing.assert_allclose(fit.reference, vector, atol=1e-4)
    np.testing.assert_allclose(fit.like.covariance, by_hand.covariance, rtol=1e-3, atol=1e-6)
    assert fit.like.theory == "marginalised"
    assert fit.log_likelihood == near(float(fit.like.log_density(fit.vector, CONTACT)), rel=1e-9)
    assert fit.log_likelihood == near(best_of_scipy(by_hand)[1], abs=1e-6)
    u = (fit.vector - [-3.0, -2.0]) / [6.0, 5.0]
    assert fit.values(u[None])[0] == near(fit.log_likelihood, rel=1e-9)
