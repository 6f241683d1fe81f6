"""Speed of the likelihood and of the constraints, run by name: pytest benchmarks --benchmark-only (extra `bench`).

Each entry records points per second and the seconds spent compiling; `extra_info` carries device and versions.
"""

import time

import jax
import numpy as np
import pytest

import jaxdark as jd
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.inference.priors import prior_of

jd.enable_x64()
SIZES = (1, 64, 256, 1024)


@pytest.fixture(scope="module")
def marginalised():
    return jd.Likelihood(jd.load_dataset("paper2020"))


@pytest.fixture(scope="module")
def full():
    return jd.Likelihood(jd.load_dataset("paper2020"), theory="full")


def points(like, n):
    generator = np.random.default_rng(0)
    vectors = np.asarray(prior_of("high").vector(generator.random((n, 5))))
    if like.theory == "marginalised":
        return vectors
    return np.concatenate([vectors, generator.normal(size=(n, len(like.nuisance_names)))], axis=1)


def run(benchmark, function, batch):
    """Time the compiled vmap of a function over a batch; compile time goes to extra_info."""
    start = time.perf_counter()
    compiled = jax.jit(jax.vmap(function)).lower(batch).compile()
    benchmark.extra_info |= {
        "compile_s": round(time.perf_counter() - start, 2),
        "device": str(jax.devices()[0]),
        "jax": jax.__version__,
        "dtype": str(batch.dtype),
    }
    benchmark.pedantic(lambda: jax.block_until_ready(compiled(batch)), rounds=7, warmup_rounds=2)
    if benchmark.stats:
        benchmark.extra_info["points_per_s"] = round(len(batch) / benchmark.stats.stats.min)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("what", ["value", "value_and_grad"])
@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_likelihood(benchmark, request, theory, what, n):
    like = request.getfixturevalue(theory)
    function = like.log_density if what == "value" else jax.value_and_grad(like.log_density)
    run(benchmark, function, points(like, n))


@pytest.mark.parametrize("n", SIZES)
def test_all_constraints(benchmark, marginalised, n):
    prior, wanted = prior_of("high"), all_constraints(jd.DarkSector)
    run(benchmark, lambda v: verdicts(prior.model(v), marginalised.sm, wanted), points(marginalised, n))
