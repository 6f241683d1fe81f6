"""Pseudo-data of a projection and what they exclude, where all is Gaussian and rows are correlated."""

import math

import numpy as np
from linear import CENTRE, CORRELATION, DESIGN, PRIOR, LinearLikelihood, posterior

from jaxdark.analysis.projection import excluded, future_errors, pseudo_data


def test_the_region_of_two_parameters_ends_at_95_per_cent():
    """chi2 of two parameters exceeds -2 ln 0.05 = 5.99 in 5 per cent; of one it would be 3.84."""
    mean, covariance = posterior()
    angle = np.linspace(0, 2 * np.pi, 9)
    ellipse = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(covariance).T
    edge = np.sqrt(-2 * np.log(0.05))
    for radius, outside in ((0.0, False), (0.999 * edge, False), (1.001 * edge, True)):
        found = excluded(LinearLikelihood(), PRIOR, mean + radius * ellipse, PRIOR.model(mean))
        assert found.tolist() == [outside] * len(angle)


def test_fluctuations_are_correlated_like_the_data():
    """Over many seeds, in units of the future errors; neighbours have -1/2."""
    like, truth = LinearLikelihood(), np.array([-0.3, 0.2])
    sigma = np.array([math.hypot(e.stat, e.syst) for e in future_errors(like.data)])
    contents = [pseudo_data(like, PRIOR.model(truth), seed=seed) for seed in range(400)]
    values = np.array([[row["value"] for entry in c["entries"] for row in entry["rows"]] for c in contents])
    noise = (values - CENTRE - DESIGN @ truth) / sigma
    np.testing.assert_allclose(noise.T @ noise / len(noise), CORRELATION, rtol=0, atol=5 * np.sqrt(2 / len(noise)))
    np.testing.assert_allclose(noise.mean(axis=0), 0, rtol=0, atol=5 / np.sqrt(len(noise)))
