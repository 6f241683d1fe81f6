"""Best fits against another optimiser, and where the theory covariance ends up."""

import dataclasses

import jax
import numpy as np
import pytest
from near import near
from scipy.optimize import minimize

from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, Range
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.constant import ConstantWilson
from jaxdark.optimise import region_fit as module
from jaxdark.optimise.fit import fit
from jaxdark.optimise.multistart import MultiStart
from jaxdark.optimise.region_fit import fit_with_covariance, restored_fit

CONTACT = Prior("contact", {"C9": Range(-3.0, 3.0), "C10": Range(-2.0, 3.0)}, ConstantWilson)


@pytest.fixture(scope="module")
def like():
    return Likelihood(load_dataset("lhcb_core"))


@pytest.fixture(scope="module")
def best_of_scipy(like):
    """Vector and log-likelihood of the maximum from BFGS at the centre of the prior, one program for all references."""
    terms = lambda x, whitening: like.terms(CONTACT.model(x), None, whitening).values()  # noqa: E731
    loss = jax.jit(jax.value_and_grad(lambda x, whitening: -sum(terms(x, whitening))))

    def best(reference):
        function = lambda x: jax.device_get(loss(x, reference.whitening))  # noqa: E731
        found = minimize(function, np.array([0.0, 0.5]), jac=True, method="BFGS")
        return found.x, -found.fun

    return best


def test_best_fit_is_the_maximum(like, best_of_scipy):
    minima = MultiStart(like, CONTACT, points=2**8, starts=10)(like.whitening)
    expected, maximum = best_of_scipy(like)
    assert minima.chi2.min() == near(-2 * maximum, abs=1e-8)
    vector = np.asarray(CONTACT.vector(minima.best))
    np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert -1.5 < vector[0] < -0.3  # the anomalies: less C_9


def test_there_is_a_start_in_each_slice_the_best_of_it(like):
    search = MultiStart(like, CONTACT, points=2**8, starts=10)
    values = search.values(like.whitening, search.points)
    chosen = search.best_of_slices(values, 10)
    for k, index in enumerate(chosen):
        inside = (search.points[:, 0] * 10).astype(int) == k
        assert inside[index] and values[index] == values[inside].max()
    assert len(chosen) == 10


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_covariance_is_taken_at_the_best_fit_until_both_agree(like, best_of_scipy, theory):
    like = Likelihood(like.data, theory=theory)
    fit = fit_with_covariance(like, CONTACT)
    by_hand = like.without_nuisances()
    for _ in range(8):
        vector, _ = best_of_scipy(by_hand)
        by_hand = by_hand.at(CONTACT.model(vector))
    np.testing.assert_allclose(fit.reference, vector, atol=1e-4)
    np.testing.assert_allclose(fit.like.covariance, by_hand.covariance, rtol=1e-3, atol=1e-6)
    assert fit.like.theory == "marginalised"
    assert fit.log_likelihood == near(float(fit.like.log_likelihood(fit.vector, CONTACT)), rel=1e-9)
    assert fit.log_likelihood == near(best_of_scipy(by_hand)[1], abs=1e-6)
    u = (fit.vector - [-3.0, -2.0]) / [6.0, 5.0]
    assert fit.values(u[None])[0] == near(fit.log_likelihood, rel=1e-9)
    # a fixed point: with the covariance at the best fit the best fit is where it was
    assert fit.settled
    np.testing.assert_allclose(fit.vector, fit.reference, atol=6e-4)
    assert -2 * fit.log_likelihood == near(like.chi2_at_itself(CONTACT.model(fit.vector)), abs=1e-4)


def restored_equals(fit, again):
    np.testing.assert_array_equal(again.vector, fit.vector)
    np.testing.assert_array_equal(again.like.covariance, fit.like.covariance)
    assert again.settled == fit.settled and again.log_likelihood == fit.log_likelihood
    for name, array in fit.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_each_minimum_is_judged_with_the_covariance_at_itself():
    """BR(Bs -> mu mu) is the same for C_10 on either side of where it vanishes; an imprecise S5 tells them apart."""
    data = load_dataset("lhcb_core")
    leptonic = next(row for row in data.rows if row.process == "Bs->mumu")
    angular = next(row for row in data.rows if row.observable == "S5")
    rows = (leptonic, dataclasses.replace(angular, error_plus=0.3, error_minus=0.3))
    part = dataclasses.replace(data, rows=rows, correlation=np.eye(2))
    like, prior = Likelihood(part), Prior("two", {"C10": Range(-3.0, 12.0)}, ConstantWilson)
    fit = fit_with_covariance(like, prior, starts=16)
    again = fit_with_covariance(like, prior, starts=16)
    np.testing.assert_array_equal(again.vector, fit.vector)
    restored_equals(fit, restored_fit(like, prior, fit.arrays))
    assert len(fit.modes.u) == 2 and fit.settled
    for u, chi2, own in zip(*fit.modes, strict=True):
        model = prior.model(prior.vector(u))
        assert own == near(-2 * like.at(model).evaluate(model).log_likelihood, rel=1e-6, abs=1e-9)
        assert chi2 == near(-2 * fit.like.evaluate(model).log_likelihood, rel=1e-6, abs=1e-9)
    assert list(fit.modes.own_chi2) == sorted(fit.modes.own_chi2)
    first, second = np.sort(np.asarray(prior.vector(fit.modes.u))[:, 0])
    assert (first + second) / 2 == near(-float(like.sm.C10), rel=0.02)


def test_a_covariance_that_does_not_come_to_rest_is_said(like, monkeypatch):
    monkeypatch.setattr(module, "_MOST_STEPS", 1)
    monkeypatch.setattr(module, "_MOST_ROUNDS", 1)
    found = fit(like, CONTACT, n_starts=8, toys=0)
    assert "the theory covariance has not come to rest" in found.status
