"""Three kernels and NumPyro's own sampler on one posterior whose mean and covariance are known by quadrature."""

from functools import cache

import jax
import numpy as np
import pytest
from monte_carlo import SIGMAS, assert_moments, mean_and_error
from near import near
from numpyro.infer import MCMC, NUTS
from toy_data import TOY_OF_THREE

import jaxdark as jd
from jaxdark.errors import RequestError
from jaxdark.likelihood.priors import prior_of

CONSTANT = prior_of("all", "constant")


@pytest.fixture(scope="module")
def like(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    path.write_text(TOY_OF_THREE)
    like = jd.Likelihood(jd.load_dataset(str(path)))
    return like.at(jd.fit(like, CONSTANT, n_starts=8, toys=0).model)


@pytest.fixture(scope="module")
def moments(like):
    """Mean and covariance of (C9, C10) on a grid over the whole prior."""
    x = np.linspace(-3, 3, 301)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    log_posterior = jax.jit(jax.vmap(lambda v: like.log_posterior(v, CONSTANT)))(points)
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    mean = weight @ points
    return mean, (weight[:, None] * (points - mean)).T @ (points - mean)


@pytest.fixture(scope="module")
def run_of(like):
    """Result of a kernel's run, made once."""
    return cache(lambda kernel: jd.sample(like, CONSTANT, kernel=kernel, chains=4, draws=500, warmup=200, seed=1))


def draws_of(tree):
    return np.stack([np.asarray(tree["posterior"][name]) for name in CONSTANT.names], axis=-1)


@pytest.mark.parametrize("kernel", ["flow", "gradient", "plain"])
def test_every_kernel_draws_from_the_posterior(run_of, moments, kernel):
    summary = jd.results.summary(run_of(kernel))
    assert summary["kernel"] == kernel and summary["converged"], summary["warnings"]
    assert_moments(draws_of(run_of(kernel)), *moments)


def test_numpyro_samples_the_same(like, run_of, moments):
    """Means and standard deviations against those of `jaxdark.sample` within the errors of both, and by quadrature."""
    mcmc = MCMC(NUTS(jd.numpyro_model(like, CONSTANT)), num_warmup=300, num_samples=2000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    samples = mcmc.get_samples(group_by_chain=True)
    theirs, ours = np.stack([samples[name] for name in CONSTANT.names], axis=-1), draws_of(run_of("flow"))
    assert_moments(theirs, *moments)
    for i, name in enumerate(CONSTANT.names):
        for quantity in (lambda x: x, lambda x, centre=moments[0][i]: (x - centre) ** 2):
            (one, error), (other, other_error) = (mean_and_error(quantity(x[..., i])) for x in (theirs, ours))
            assert abs(one - other) < SIGMAS * np.hypot(error, other_error), name


def test_a_kernel_is_one_of_three_and_belongs_to_the_chains(like):
    with pytest.raises(RequestError, match="kernel must be one of flow, gradient, plain, got 'hmc'"):
        jd.sample(like, CONSTANT, kernel="hmc")
    with pytest.raises(RequestError, match="a kernel belongs to the method nuts, got the method importance"):
        jd.sample(like, CONSTANT, kernel="plain", method="importance")


def test_log_prob_is_the_density_of_table_1():
    """By hand: uniform in m_V, r_AV, g_D, log-uniform in g_mu_V and r, which is negative."""
    prior, vector = prior_of("high"), np.array([5.0, 0.01, -0.4, 1.0, -2.0])
    widths = np.array([13.0, 0.01 * np.log(0.2 / 1e-3), 1.0, 4.0, 2.0 * np.log(10 / 0.03)])
    assert float(prior.log_prob(vector)) == near(-np.log(widths).sum(), rel=1e-12)
    for i, outside in enumerate((1.9, 0.3, 0.1, -0.1, 2.0)):
        moved = vector.copy()
        moved[i] = outside
        assert float(prior.log_prob(moved)) == -np.inf


def test_log_posterior_is_finite_inside_alone(like):
    prior, inside = prior_of("high"), np.array([5.0, 0.01, -0.4, 1.0, -2.0])
    value, slope = jax.jit(jax.value_and_grad(lambda v: like.log_posterior(v, prior)))(inside)
    expected = float(like.log_likelihood(inside, prior)) + float(prior.log_prob(inside))
    assert float(value) == near(expected, rel=1e-12) and np.isfinite(slope).all()
    assert float(like.log_posterior(np.array([-5.0, 0.01, -0.4, 1.0, -2.0]), prior)) == -np.inf


def test_the_full_mode_asks_for_its_nuisances(like):
    full = jd.Likelihood(like.data, theory="full")
    with pytest.raises(RequestError, match="expected [0-9]+ nuisances xi with the theory full, got none"):
        full(jd.ConstantWilson(C9=-1.0))
