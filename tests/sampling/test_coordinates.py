"""The sampled density and the weights that check it, against closed forms of a linear Gaussian model."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from linear import (
    CENTRE,
    DESIGN,
    NUISANCES,
    PRIOR,
    SIGMA,
    VALUES,
    LinearLikelihood,
    fitted,
    log_evidence,
    log_marginal,
    posterior,
)
from near import near

from jaxdark.sampling import sample
from jaxdark.sampling.coordinates import Coordinates, log_density
from jaxdark.sampling.density import floor_share
from jaxdark.sampling.flow import prior_map


def bent_map():
    """A map that is neither the identity nor the prior: slopes differ from place to place."""
    plain = prior_map(2, seed=3)
    noise = np.random.default_rng(5).normal(size=plain.b3.shape)
    return replace(plain, b3=plain.b3 + 0.3 * noise)


class Evaluated:
    """Vector, density and weight at any z, by one program, and at random places the volume of the map."""

    def __init__(self, theory):
        self.coordinates = Coordinates.build(LinearLikelihood(theory), fitted(), PRIOR, bent_map())
        best = log_marginal(posterior()[0])

        def of_one(z):
            density = log_density(z, self.coordinates, best)
            return self.coordinates.vector(z)[0], density, sample._weighted_point(self.coordinates, z)[1]

        self._of_each = jax.jit(jax.vmap(of_one))
        self.z = np.random.default_rng(0).normal(size=(400, self.coordinates.dimension))
        self.vectors, self.log_density, self.log_weight = self(self.z)
        self.log_marginal = np.array([log_marginal(vector[:2]) for vector in self.vectors])
        self.near_the_best = self.log_marginal > best - 15  # further down the floor of the walls shows
        self.log_volume = self._log_volume()

    def __call__(self, z):
        return tuple(map(np.asarray, self._of_each(z)))

    def _log_volume(self):
        """Log of the cube's volume element over that of each z, by central differences of the parameters."""
        steps = 1e-5 * np.eye(2, self.z.shape[1])
        cubes = [[np.asarray(PRIOR.cube(self(self.z + sign * e)[0][:, :2])) for sign in (1, -1)] for e in steps]
        return np.log(np.abs(np.linalg.det(np.stack([(up - down) / 2e-5 for up, down in cubes], axis=1))))


@pytest.fixture(scope="module")
def marginalised():
    return Evaluated("marginalised")


@pytest.fixture(scope="module")
def full():
    return Evaluated("full")


@pytest.fixture(scope="module", params=["marginalised", "full"])
def evaluated(request):
    return request.getfixturevalue(request.param)


def test_the_density_is_that_of_parameters_and_nuisances_in_the_volume_of_z(evaluated):
    """Of an exactly linear model: the marginal likelihood, the volume of the map, a standard normal eta."""
    expected = evaluated.log_marginal + evaluated.log_volume - 0.5 * (evaluated.z[:, 2:] ** 2).sum(axis=1)
    chosen = evaluated.near_the_best
    assert chosen.sum() > 10
    np.testing.assert_allclose(evaluated.log_density[chosen], expected[chosen], rtol=0, atol=1e-6)


def test_the_density_integrates_to_the_evidence(marginalised):
    """Over z by the trapezoidal rule; without the slope of the map the integral is another one."""
    line, step = np.linspace(-3, 3, 801, retstep=True)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    total = np.log(np.exp(marginalised(grid)[1]).sum() * step**2)
    assert total == near(log_evidence(), abs=2e-4)


@pytest.mark.parametrize("lift", [28.0, 33.0])
def test_the_floor_holds_the_share_that_is_stated(marginalised, lift):
    """Integral of a density whose floor is far too high, by the trapezoidal rule."""
    log_best = log_marginal(posterior()[0]) + lift
    line, step = np.linspace(-6, 6, 1201, retstep=True)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    density = jax.jit(jax.vmap(lambda z: log_density(z, marginalised.coordinates, log_best)))
    total = np.log(np.exp(np.asarray(density(grid))).sum() * step**2)
    share = floor_share(log_evidence(), log_best)
    assert 1e-3 < share < 1 and total == near(log_evidence() - np.log1p(-share), abs=3e-4)


def test_nuisances_follow_their_conditional_distribution(full):
    """At given parameters xi has the mean and the covariance of a linear regression on the residuals."""
    like, spread = full.coordinates.like, np.asarray(full.coordinates.spread)
    J, R = like.standardised_jacobian, like.data.correlation
    covariance = np.linalg.inv(np.eye(len(NUISANCES)) + J.T @ np.linalg.solve(R, J))
    residuals = (CENTRE + full.vectors[:, :2] @ DESIGN.T - VALUES) / SIGMA
    mean = -residuals @ np.linalg.solve(R, J) @ covariance
    np.testing.assert_allclose((full.vectors[:, 2:] - mean), full.z[:, 2:] @ spread.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spread @ spread.T, covariance, rtol=1e-9, atol=1e-12)


def test_a_weight_is_the_density_over_that_of_the_normal_it_was_drawn_from(evaluated):
    """In the exact model the nuisances drop out of it."""
    expected = evaluated.log_marginal + evaluated.log_volume + 0.5 * (evaluated.z[:, :2] ** 2).sum(axis=1)
    np.testing.assert_allclose(evaluated.log_weight, expected, rtol=0, atol=1e-6)


def test_weighted_points_of_mode_full_have_the_posterior_mean_and_spread(full):
    weighted = sample._importance(full.coordinates, None, seed=4)
    mean, covariance = posterior()
    ess = 1 / (weighted.probability**2).sum()
    assert ess > 100
    for i, name in enumerate(PRIOR.names):
        found = weighted.probability @ weighted.values[name]
        spread = np.sqrt(weighted.probability @ (weighted.values[name] - found) ** 2)
        assert abs(found - mean[i]) < 4 * np.sqrt(covariance[i, i] / ess)
        assert spread == near(np.sqrt(covariance[i, i]), rel=4 / np.sqrt(2 * ess))


def test_the_toy_is_the_one_its_closed_form_describes(marginalised, full):
    """Its likelihood in both modes: the highest value over the nuisances is the marginal one."""
    like, J, R = (
        full.coordinates.like,
        full.coordinates.like.standardised_jacobian,
        full.coordinates.like.data.correlation,
    )
    for parameters in np.random.default_rng(2).normal(size=(3, 2)):
        model = PRIOR.model(parameters)
        assert float(marginalised.coordinates.like(model)) == near(log_marginal(parameters), rel=1e-9)
        residuals = np.asarray(like.residuals(like.predictions(model)))
        best = -np.linalg.solve(
            np.eye(len(NUISANCES)) + J.T @ np.linalg.solve(R, J), J.T @ np.linalg.solve(R, residuals)
        )
        assert float(like(model, best)) == near(log_marginal(parameters), rel=1e-9)
