"""Evidence of two Wilson coefficients against their integral on a grid, with the covariances that are stated."""

from types import SimpleNamespace

import numpy as np
import pytest
from near import near
from scan_worker import toy_likelihood

import jaxdark as jd
from jaxdark.check.evidence import evidence
from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import prior_of, prior_points
from jaxdark.sampling.importance import ImportanceSample


@pytest.mark.slow
def test_evidence_is_the_mean_of_the_likelihood_over_the_prior():
    like = jd.Likelihood(jd.load_dataset("lhcb_core"))
    found = evidence(like, models=["constant"])
    names = list(found["covariances"])
    assert found["covariances"][names[0]] is None and set(found["covariances"][names[1]]) == {"C9", "C10"}
    prior = prior_of(model="constant")
    middles = (np.arange(400) + 0.5) / 400
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    for name, reference in found["covariances"].items():
        at = like.at(None if reference is None else jd.ConstantWilson(**reference))
        values = batched(lambda u, at=at: at(prior.model(prior.vector(u))))(grid)
        entry = found["models"]["constant"][name]
        assert entry["log_evidence"] == near(np.log(np.exp(values).mean()), abs=5 * entry["error"])
        of_sm = float(at(jd.NewPhysics()))  # with the covariance that all models share
        assert found["models"]["SM"][name]["log_evidence"] == near(of_sm, rel=1e-6)
        assert entry["log_bayes_factor"] == near(entry["log_evidence"] - of_sm, rel=1e-6)


def test_covariances_and_bayes_factors(tmp_path, monkeypatch):
    """Of two rows, every evidence by points of the prior in place of a learned map, against a grid."""

    def brute(values, dimension, seed):
        u = prior_points(dimension, 2**12, seed)
        log_likelihood = values(u)
        return SimpleNamespace(sample=ImportanceSample(u, log_likelihood, log_likelihood))

    monkeypatch.setattr("jaxdark.check.evidence.train_flow", brute)
    like, prior = toy_likelihood(tmp_path), prior_of(model="constant")
    found = evidence(like, models=["constant"])
    middles = (np.arange(100) + 0.5) / 100
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    of_sm = []
    for name, reference in found["covariances"].items():
        at = like.at(None if reference is None else jd.ConstantWilson(**reference))
        values = batched(lambda u, at=at: at(prior.model(prior.vector(u))))(grid)
        of_sm.append(float(at(jd.NewPhysics())))
        entry = found["models"]["constant"][name]
        assert entry["log_evidence"] == near(np.log(np.exp(values).mean()), abs=0.01)
        assert found["models"]["SM"][name]["log_evidence"] == near(of_sm[-1], rel=1e-6)
        assert entry["log_bayes_factor"] == near(entry["log_evidence"] - of_sm[-1], rel=1e-6)
    assert of_sm[0] != near(of_sm[1], rel=1e-3)
    ranges = {name: limits._asdict() for name, limits in prior.ranges.items()}
    assert found["priors"]["constant"]["prior"] == ranges
    assert (found["data_sha256"], found["theory"], found["seed"]) == (like.data.sha256, "marginalised", 0)


def test_no_model_and_unknown_ones_are_refused(paper2020):
    for models, sentence in (([], "at least one model"), (["splitt"], "nearest: split")):
        with pytest.raises(jd.RequestError, match=sentence):
            evidence(paper2020, models=models)
