"""Speed of the likelihood of data set paper2020: value and gradient, batch sizes, threads, number of rows."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxdark as jd
from jaxdark.compute.batch import batched

SIZES = (1, 64, 256, 1024, 4096)


def wanted(like, what):
    return like.log_likelihood if what == "value" else jax.value_and_grad(like.log_likelihood)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("what", ["value", "value_and_grad"])
@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_batch(compiled_rate, request, vectors, quick, theory, what, n):
    if quick and n not in (1, 64):
        pytest.skip("--quick")
    like = request.getfixturevalue(theory)
    compiled_rate(jax.vmap(wanted(like, what)), vectors(like, n))


@pytest.mark.parametrize("what", ["value", "value_and_grad"])
@pytest.mark.parametrize("theory", ["marginalised", "full"])
def test_one_point_inside_jit(compiled_rate, request, vectors, quick, theory, what):
    """Points one after the other in one program, as a sampler meets them: no dispatch from Python counts."""
    like = request.getfixturevalue(theory)
    function = wanted(like, what)
    compiled_rate(lambda points: jax.lax.map(function, points), vectors(like, 8 if quick else 512))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("what", ["value", "value_and_grad"])
@pytest.mark.parametrize(("theory", "batch"), [("marginalised", 64), ("marginalised", 256), ("full", 1), ("full", 8)])
def test_host_threads(measured, request, vectors, quick, theory, batch, what, workers):
    """What scans, fits and importance sampling use: fixed batches, one thread per core."""
    if quick and (theory, batch) != ("marginalised", 64):
        pytest.skip("--quick")
    like = request.getfixturevalue(theory)
    function = batched(wanted(like, what), batch=batch, workers=workers)
    points = vectors(like, 2**10 if quick else 2**15 if theory == "marginalised" else 2**12)
    measured(lambda: function(points), points=len(points), rounds=3, workers=workers)


@pytest.mark.parametrize("rows", [10, 30, 60, 120])
def test_number_of_rows(compiled_rate, marginalised, vectors, quick, rows):
    if quick and rows > 10:
        pytest.skip("--quick")
    data = marginalised.data
    # spread over the data set, so that every size has all kinds of rows
    chosen = np.linspace(0, len(data) - 1, rows).astype(int)
    part = dataclasses.replace(
        data, rows=tuple(data.rows[i] for i in chosen), correlation=data.correlation[np.ix_(chosen, chosen)]
    )
    like = jd.Likelihood(part)
    compiled_rate(jax.vmap(like.log_likelihood), vectors(like, 256))
