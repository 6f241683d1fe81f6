"""What a projection excludes, where the region is an ellipse."""

import numpy as np
from linear import PRIOR, LinearLikelihood, posterior

from jaxdark.projection import excluded


def test_the_region_of_two_parameters_ends_at_95_per_cent():
    """chi2 of two parameters exceeds -2 ln 0.05 = 5.99 in 5 per cent; of one it would be 3.84."""
    mean, covariance = posterior()
    angle = np.linspace(0, 2 * np.pi, 9)
    ellipse = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(covariance).T
    edge = np.sqrt(-2 * np.log(0.05))
    for radius, outside in ((0.0, False), (0.999 * edge, False), (1.001 * edge, True)):
        found = excluded(LinearLikelihood(), PRIOR, mean + radius * ellipse, PRIOR.model(mean))
        assert found.tolist() == [outside] * len(angle)
