"""Starts of conditional minima against a search of all of them by hand."""

import jax.numpy as jnp
import numpy as np

from jaxdark.likelihood.priors import prior_points
from jaxdark.optimise.conditional import Conditional


def test_starts_are_the_best_of_each_group_at_each_point():
    """Of 64 quasi-random points, every fourth one is a group."""
    given, scan = np.random.default_rng(0).random((5, 1)), prior_points(2, 64, seed=3)
    conditional = Conditional(lambda shared, point, u: jnp.stack([u[0] - point[0], shared * u[1] - u[0]]), 2)
    starts = conditional.starts(0.7, given, points=64, seed=3)
    assert len(starts) == 4
    for group, start in enumerate(starts):
        members = scan[group::4]
        chi2 = (members[:, 0] - given) ** 2 + (0.7 * members[:, 1] - members[:, 0]) ** 2
        np.testing.assert_array_equal(start, members[chi2.argmin(axis=1)])
