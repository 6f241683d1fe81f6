"""What is recorded of a draw, in both modes of the likelihood."""

import numpy as np
import pytest
from near import near
from scan_worker import toy_likelihood
from scipy.stats import chi2

import jaxdark as jd
from jaxdark import results
from jaxdark.inference.best_fit import at_best_fit
from jaxdark.inference.diagnostics import Diagnosis
from jaxdark.inference.priors import prior_of
from jaxdark.inference.record import Sampled, posterior_tree
from jaxdark.inference.sensitivity import goodness_of_fit

CONSTANT = prior_of("all", "constant")


def made_up(draws):
    return Sampled(
        vectors=draws,
        stats={"diverging": np.zeros(draws.shape[:2], bool)},
        judge=lambda *_: Diagnosis({}, "good", ()),
        evidence=(0.0, 0.1),
        summary={},
        attributes={},
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    like = toy_likelihood(tmp_path_factory.mktemp("toy"))
    return like, at_best_fit(like, CONSTANT, starts=4)


@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_log_likelihoods_of_a_draw(fitted, theory):
    """That of the parameters compares with the Standard Model's; that at the nuisances is without their prior."""
    like, fit = fitted
    used = fit.like if theory == "marginalised" else jd.Likelihood(like.data, theory="full")
    n = len(used.nuisance_names) if theory == "full" else 0
    draws = np.random.default_rng(1).normal(size=(2, 5, 2 + n))
    tree = posterior_tree(used, CONSTANT, fit, made_up(draws), seed=0)
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
    assert summary["best"]["log_likelihood"] == float(derived["log_likelihood"].max())
    # two rows; the limit on (g-2) says nothing of a model without a vector
    assert results.attributes(tree)["measured"] == 2
    assert goodness_of_fit(tree) == near(float(chi2.sf(-2 * at_nuisances, 2).mean()), rel=1e-9)
