"""The transport map against automatic differentiation, quadrature, root finding and a Gaussian copula."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from near import near
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import norm
from toy import DIMENSION, log_likelihood

from jaxdark.compute.batch import batched
from jaxdark.sampling.flow import (
    RANGE,
    TrainingRound,
    TransportMap,
    inverse_spline,
    knots,
    prior_map,
    sample_image,
    spline,
    tempered,
    train_flow,
    trained,
)
from jaxdark.sampling.importance import effective_size, sample_prior


def rough_map(dimension, seed=0):
    """A map far from the identity: random weights everywhere, slopes from about 1/4 to 4."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(a + generator.normal(size=a.shape) / 8), prior_map(dimension, seed=seed))


ROUGH = rough_map(3)
points = arrays(float, 3, elements=st.floats(-6, 6))
# compiled once, the map an argument: the examples are many
forward, inverse, log_density = (
    eqx.filter_jit(f) for f in (TransportMap.forward, TransportMap.inverse, TransportMap.log_density)
)
jacobian = eqx.filter_jit(lambda transport, z: jax.jacfwd(lambda z: transport.forward(z)[0])(z))
force = eqx.filter_jit(lambda transport, z: jax.grad(lambda z: transport.forward(z)[1])(z))

densities = batched(TransportMap.log_density)


@given(points)
def test_untrained_map_is_the_prior(z):
    u, log_slope = forward(prior_map(3), z)
    np.testing.assert_allclose(u, ndtr(z), rtol=1e-12)
    assert float(log_slope) == near(norm.logpdf(z).sum(), rel=1e-12)
    assert float(log_density(prior_map(3), ndtr(np.clip(z, -5, 5)))) == near(0, abs=1e-9)


@given(points)
def test_inverse_undoes_forward(z):
    u, log_slope = forward(ROUGH, z)
    back, log_inverse = inverse(ROUGH, u)
    # u itself is rounded near 1, which moves its normal quantile by 1e-16 / density
    lost = 1e-15 / np.exp(float(log_slope)) if np.any(np.asarray(u) > 0.999) else 1e-9
    if lost < 1e-6:
        np.testing.assert_allclose(back, z, atol=max(1e-9, 100 * lost))
        assert float(log_inverse) == near(-float(log_slope), abs=max(1e-8, 1e3 * lost))


@given(points)
def test_log_slope_is_the_determinant_of_the_jacobian(z):
    derivative = np.asarray(jacobian(ROUGH, z))
    sign, log_det = np.linalg.slogdet(derivative)
    assert sign == 1
    assert float(forward(ROUGH, z)[1]) == near(log_det, rel=1e-10)
    assert np.array_equal(derivative, np.tril(derivative))


def test_gradient_of_the_log_slope_matches_differences():
    z, steps = np.array([0.3, -1.2, 2.1]), 1e-5 * np.eye(3)
    differences = [float(forward(ROUGH, z + step)[1] - forward(ROUGH, z - step)[1]) / 2e-5 for step in steps]
    np.testing.assert_allclose(force(ROUGH, z), differences, rtol=1e-6)


@given(points)
def test_forces_are_finite_everywhere(z):
    assert np.isfinite(force(ROUGH, z)).all()


@pytest.mark.parametrize("seed", range(3))
def test_image_is_a_normalised_density(seed):
    """Integral of the density over the square, by Gauss-Legendre panels in normal quantiles."""
    transport = rough_map(2, seed)
    nodes, weights = leggauss(4)
    edges = np.linspace(-6, 6, 121)
    half = np.diff(edges)[:, None] / 2
    x = ((edges[1:] + edges[:-1])[:, None] / 2 + half * nodes).ravel()
    w = (half * weights).ravel() * norm.pdf(x)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(densities(transport, ndtr(grid)))
    # the density has kinks at the joints of the splines: twice the nodes halve the 5e-5 that is left
    assert float(np.outer(w, w).ravel() @ density) == near(1, abs=1e-4)


def test_image_has_the_density_it_claims():
    """An importance sample of constant likelihood: the mean weight is the volume of the cube."""
    sample = sample_image(batched(lambda u: 0.0 * u[0]), ROUGH, 2**15, seed=1)
    assert sample.log_evidence == near(0, abs=4 * sample.log_evidence_error)
    density = np.exp(densities(ROUGH, sample.u))
    np.testing.assert_allclose(density * np.exp(sample.log_weight), 1, rtol=1e-8)


spline_at, inverse_spline_at = jax.jit(spline), jax.jit(inverse_spline)
spline_slope = jax.jit(jax.grad(lambda z, table: spline(z, table)[0]))
TABLE = knots(jnp.asarray(np.random.default_rng(4).normal(size=23) * 2))


@given(st.floats(-RANGE - 1, RANGE + 1))
def test_inverse_spline_is_the_root_of_the_spline(x):
    root = brentq(lambda z: float(spline_at(z, TABLE)[0]) - x, -RANGE - 2, RANGE + 2, xtol=1e-13)
    z, log_slope = inverse_spline_at(x, TABLE)
    slope = spline_slope(z, TABLE)
    assert float(z) == near(root, abs=1e-11 / min(1.0, float(slope)))
    assert float(log_slope) == near(-np.log(float(slope)), abs=1e-7)


@given(st.integers(0, 7))
def test_spline_passes_through_its_knots_with_their_slopes(k):
    inside = np.nextafter(float(TABLE.z1[k]), -np.inf)
    assert float(spline_at(inside, TABLE)[0]) == near(float(TABLE.x1[k]), abs=1e-9)
    assert np.exp(float(spline_at(inside, TABLE)[1])) == near(float(TABLE.slope1[k]), rel=1e-6)
    assert float(spline_at(TABLE.z0[k], TABLE)[0]) == near(float(TABLE.x0[k]), abs=1e-12)


def copula(n, seed=0):
    """Normal quantiles with unit variance, correlation 0.9, and their Kullback-Leibler divergence from the prior."""
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    return np.random.default_rng(seed).multivariate_normal(np.zeros(2), covariance, n), -0.5 * np.log(1 - 0.9**2)


def test_training_reaches_the_divergence_of_a_gaussian_copula():
    x, divergence = copula(40000)
    transport = trained(prior_map(2), x[:20000], jax.random.key(0), 1500, 1e-2)
    reached = densities(transport, ndtr(x[20000:])).mean()
    assert divergence - 0.02 < reached < divergence + 4 * 0.9 / np.sqrt(20000)
    assert transport.w1.dtype == jnp.float64


@pytest.fixture(scope="module")
def small():
    """A run that takes seconds: a Gaussian of correlation 0.95 in u, 5 nats from the prior."""
    covariance = 0.05**2 * np.array([[1.0, 0.95], [0.95, 1.0]])
    precision = np.linalg.inv(covariance)

    def likelihood(u):
        return -0.5 * (u - 0.5) @ precision @ (u - 0.5)

    def run():
        return train_flow(
            batched(likelihood),
            2,
            seed=2,
            n_prior=2**13,
            exploration=TrainingRound(300, 2**12),
            refinement=(TrainingRound(700, 2**13),),
        )

    return run, np.log(2 * np.pi * np.sqrt(np.linalg.det(covariance)))


def test_learned_map_finds_the_posterior_and_its_evidence(small):
    run, log_evidence = small
    learned = run()
    assert learned.efficiencies[-1] > 0.85
    assert learned.sample.log_evidence == near(log_evidence, abs=4 * learned.sample.log_evidence_error)
    assert learned.sample.log_evidence_error < 0.01


def test_the_seed_fixes_the_map_bit_for_bit(small):
    first, second = small[0](), small[0]()
    assert eqx.tree_equal(first.transport, second.transport)
    np.testing.assert_array_equal(first.sample.log_weight, second.sample.log_weight)


def test_progress_ends_at_the_total():
    seen = []
    train_flow(
        batched(lambda u: -jnp.sum(u)),
        2,
        seed=0,
        n_prior=2**12,
        exploration=TrainingRound(10, 2**10),
        refinement=(TrainingRound(10, 2**10),),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] and all(a[0] < b[0] for a, b in zip(seen, seen[1:], strict=False))


@given(st.floats(1.5, 900))
def test_tempering_reaches_the_size_asked_for(minimum):
    log_weight = np.random.default_rng(0).normal(size=1000) * 10
    assert effective_size(tempered(log_weight, minimum)) == near(max(minimum, effective_size(log_weight)), rel=1e-2)


@pytest.mark.slow
def test_toy_evidence_agrees_with_brute_force():
    """Half a million points of the map against two million of the prior."""
    values = batched(log_likelihood)
    learned = train_flow(values, DIMENSION, seed=1)
    brute = sample_prior(values, DIMENSION, n=2**21, seed=9)
    error = np.hypot(learned.sample.log_evidence_error, brute.log_evidence_error)
    assert learned.sample.log_evidence == near(brute.log_evidence, abs=4 * error)
    assert learned.efficiencies[-1] > 0.5
    for power in (1, 2):
        a, b = (s.probability @ s.u**power for s in (learned.sample, brute))
        scatter = np.sqrt(brute.probability**2 @ (brute.u**power - b) ** 2)
        assert np.all(np.abs(a - b) < 5 * scatter)


def test_normal_quantiles_of_the_edges_stay_finite():
    """Prior points next to 0 and 1 have finite normal quantiles, so every map can be evaluated there."""
    edge = np.array([2.0**-53, 1 - 2.0**-53, 0.5])
    assert np.isfinite(ndtri(edge)).all() and np.isfinite(log_density(ROUGH, edge))
