"""The sampler on distributions known in closed form, and end to end on the toy likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from scipy.special import expit, ndtr
from scipy.stats import kstest, norm
from toy import DIMENSION, NAMES, log_likelihood

from jaxdark.compute.batch import batched
from jaxdark.errors import RequestError
from jaxdark.sampling.density import FLOOR, floored, potential, transported
from jaxdark.sampling.diagnostics import Weighted, diagnose, summarised
from jaxdark.sampling.flow import prior_map, train_flow
from jaxdark.sampling.importance import ImportanceSample
from jaxdark.sampling.nuts import NutsSettings, dispersed_init_params, run_nuts

MEAN, SD, CORRELATION = np.array([0.5, -0.3]), np.array([0.7, 1.3]), 0.6
COVARIANCE = np.outer(SD, SD) * np.array([[1, CORRELATION], [CORRELATION, 1]])
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian(z):
    return -0.5 * (z - MEAN) @ PRECISION @ (z - MEAN)


def starts(chains=4, n=2):
    return np.random.default_rng(0).normal(size=(chains, n))


def thinned(draws, column):
    """About independent draws, for a test of the whole distribution."""
    ess = min(summarised({"z": draws[..., column]})["z"][k] for k in ("ess_bulk", "ess_tail"))
    step = int(np.ceil(draws[..., column].size / ess))
    return draws[:, ::step, column].ravel()


@pytest.mark.parametrize("limit", [0.0, 0.3, np.inf])
def test_any_force_gives_the_same_distribution(limit):
    """The draws of a correlated Gaussian, whether or not the trajectories feel its force."""
    settings = NutsSettings(warmup=100, draws=2500, gradient_clip=limit, step_size=0.6)
    draws = run_nuts(gaussian, starts(), seed=1, settings=settings).draws
    for k in range(2):
        assert kstest(thinned(draws.z, k), norm(MEAN[k], SD[k]).cdf).pvalue > 1e-3
    product = (draws.z - MEAN).prod(axis=-1)
    row = summarised({"product": product})["product"]
    assert abs(row["mean"] - COVARIANCE[0, 1]) < 4 * row["sd"] / np.sqrt(row["ess_bulk"])
    np.testing.assert_allclose(draws.log_density[0, :5], [gaussian(z) for z in draws.z[0, :5]], rtol=1e-12)


def test_walls_and_a_cliff_keep_their_weights():
    """A standard normal cut by a wall of depth 1e5 and by a step: probabilities of the three parts in closed form."""

    def density(z):
        wall = jnp.where(jnp.abs(z[0] - 0.5) < 0.1, -1e5, 0.0)
        return -0.5 * jnp.sum(z**2) + floored(wall, 0.0) + jnp.where(z[1] > 0, jnp.log(3.0), 0.0)

    draws = run_nuts(density, starts() - 1, seed=2, settings=NutsSettings(draws=2500)).draws
    left, right = norm.cdf(0.4), norm.sf(0.6)
    for inside, expected in (
        (draws.z[..., 0] < 0.5, left / (left + right)),
        (draws.z[..., 1] > 0, 0.75),
    ):
        row = summarised({"inside": inside.astype(float)})["inside"]
        assert abs(row["mean"] - expected) < 4 * row["sd"] / np.sqrt(row["ess_bulk"])
    assert not np.any(np.abs(draws.z[..., 0] - 0.5) < 0.1)
    assert not draws.diverging.any()


@pytest.mark.parametrize("limit", [0.0, 0.7, np.array([0.0, np.inf])])
def test_potential_is_the_energy_and_its_gradient_the_limited_force(limit):
    z = np.array([1.7, -2.0])
    value, gradient = jax.value_and_grad(potential(gaussian, limit))(z)
    assert float(value) == near(-float(gaussian(z)), rel=1e-14)
    excess = np.broadcast_to(np.minimum(np.abs(PRECISION @ (z - MEAN) - z), limit), 2)
    np.testing.assert_allclose(gradient, z + np.sign(PRECISION @ (z - MEAN) - z) * excess, rtol=1e-12)


def test_force_is_finite_where_the_density_has_no_derivative():
    gradient = jax.grad(potential(lambda z: -jnp.sqrt(z[0] - z[0]) * 1e5, np.inf))(np.array([0.4]))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("depth", [0.0, -10.0, -34.0, -40.0, -1e5])
def test_saturation_adds_the_floor_and_nothing_else(depth):
    value, slope = jax.value_and_grad(floored)(depth - 50.0, -50.0)
    assert float(value) == near(max(depth, FLOOR) - 50 + np.log1p(np.exp(-abs(depth - FLOOR))), rel=1e-14)
    assert float(slope) == near(expit(depth - FLOOR), rel=1e-10)


SHORT = NutsSettings(warmup=20, draws=60, segment=20, adapt=True)


def test_a_run_resumed_after_any_segment_ends_with_the_same_bits(tmp_path):
    checkpoints = []
    whole = run_nuts(gaussian, starts(2), seed=5, settings=SHORT, on_segment=checkpoints.append)
    assert len(checkpoints) == 4
    for k in (0, 2, 3):
        np.savez(tmp_path / "checkpoint.npz", **checkpoints[k])
        with np.load(tmp_path / "checkpoint.npz") as stored:
            again = run_nuts(gaussian, starts(2), seed=5, settings=SHORT, resume=dict(stored))
        for a, b in zip(whole.draws + whole.warmup, again.draws + again.warmup, strict=True):
            np.testing.assert_array_equal(a, b)


def test_chain_methods_give_the_same_chains():
    runs = {
        method: run_nuts(gaussian, starts(3), seed=5, settings=SHORT._replace(chain_method=method)).draws.z
        for method in ("parallel", "sequential", "vectorized")
    }
    np.testing.assert_array_equal(runs["parallel"], runs["sequential"])
    # another order of summation; the chains are too short to amplify it
    np.testing.assert_allclose(runs["vectorized"], runs["sequential"], atol=1e-8)


def test_a_chain_does_not_depend_on_how_many_run_beside_it():
    one, three = (run_nuts(gaussian, starts(3)[:n], seed=5, settings=SHORT).draws.z for n in (1, 3))
    np.testing.assert_array_equal(one[0], three[0])


def test_density_is_traced_once_per_program_whatever_the_length():
    def traces(draws):
        count = []

        def counted(z):
            count.append(1)
            return gaussian(z)

        run_nuts(counted, starts(2), seed=0, settings=SHORT._replace(draws=draws))
        return len(count)

    assert traces(20) == traces(200)


def test_progress_and_statistics():
    seen = []
    run = run_nuts(gaussian, starts(2), seed=0, settings=SHORT, progress=lambda *a: seen.append(a))
    assert seen == [(20, 80), (40, 80), (60, 80), (80, 80)]
    assert run.draws.z.shape == (2, 60, 2) and run.warmup.z.shape == (2, 20, 2)
    assert np.all(2 ** (run.draws.tree_depth - 1) <= run.draws.num_steps)
    assert np.all(run.draws.num_steps < 2**run.draws.tree_depth)
    assert set(run.seconds) == {"compile", "warmup", "sample"}


def test_warmup_that_is_not_whole_segments_is_refused():
    with pytest.raises(RequestError, match="whole numbers of segments of 20 steps; got 30 and 60"):
        run_nuts(gaussian, starts(), seed=0, settings=SHORT._replace(warmup=30))


def test_a_start_outside_is_refused():
    with pytest.raises(RequestError, match="every chain must start at a point of finite density"):
        run_nuts(lambda z: jnp.where(z[0] > 9, 0.0, -jnp.inf), starts(), seed=0, settings=SHORT)


def test_starts_are_posterior_points_in_different_modes():
    generator = np.random.default_rng(3)
    u = np.concatenate([generator.normal(c, 0.01, (500, 2)) for c in (0.2, 0.5, 0.8)])
    sample = ImportanceSample(u, np.zeros(1500), np.zeros(1500))
    chosen = ndtr(dispersed_init_params(sample, prior_map(2), 3, seed=0))
    assert {round(float(c), 1) for c in chosen[:, 0]} == {0.2, 0.5, 0.8}
    assert all((np.abs(u - point).max(axis=1) < 1e-9).any() for point in chosen)


@pytest.mark.slow
def test_toy_posterior():
    """The goals for the real posterior, on the toy: mixing, cost, and marginals equal to importance sampling."""
    learned = train_flow(batched(log_likelihood), DIMENSION, seed=1)
    sample = learned.sample
    run = run_nuts(
        transported(log_likelihood),
        dispersed_init_params(sample, learned.transport, 4, seed=1),
        (learned.transport, sample.log_likelihood.max()),
        seed=1,
        settings=NutsSettings(draws=2000),
    )
    u, _ = batched(learned.transport.forward)(run.draws.z.reshape(-1, DIMENSION))
    u = u.reshape(4, 2000, DIMENSION)
    draws = dict(zip(NAMES, np.moveaxis(u, -1, 0), strict=True))
    exact = dict(zip(NAMES, sample.u.T, strict=True))
    result = diagnose(draws, run.draws.diverging, run.draws.log_density, Weighted(exact, sample.probability))
    assert result.converged, result.warnings
    assert run.draws.num_steps.mean() <= 10
    assert run.draws.diverging.mean() <= 1e-3
    for name, row in result.parameters.items():
        assert row["r_hat"] <= 1.005
        assert min(row["ess_bulk"], row["ess_tail"]) >= 1000
        mean = sample.probability @ exact[name]
        error = np.sqrt(sample.probability**2 @ (exact[name] - mean) ** 2 + row["sd"] ** 2 / row["ess_bulk"])
        assert abs(row["mean"] - mean) < 4 * error
