"""What the benchmarks under pytest share: likelihoods, points, and `measured`, which times a call and takes notes."""

import time
from pathlib import Path

import jax
import numpy as np
import pytest
from measure import Record, compiled, machine, prior_vectors, publish, table

import jaxdark as jd
from jaxdark.likelihood.priors import prior_of

jd.enable_x64()
_ROWS = pytest.StashKey[list[Record]]()


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="benchmarks: sizes that only show that everything runs")
    parser.addoption("--out", type=Path, help="benchmarks: Markdown file whose section on the library is replaced")


def pytest_configure(config):
    config.stash[_ROWS] = []


def pytest_sessionfinish(session):
    rows, out = session.config.stash[_ROWS], session.config.getoption("--out")
    if rows and out:
        columns = ["benchmark", "seconds", *dict.fromkeys(k for row in rows for k in row if k not in _NOT_SHOWN)]
        publish(out, "The library", table(columns, rows), rows)


_NOT_SHOWN = ("benchmark", "seconds", "device", "dtype", *machine())


@pytest.fixture(scope="session")
def quick(request) -> bool:
    return request.config.getoption("--quick")


@pytest.fixture(scope="session")
def prior():
    return prior_of("high", physics="paper")


@pytest.fixture(scope="session")
def marginalised():
    return jd.Likelihood(jd.load_dataset("paper2020"))


@pytest.fixture(scope="session")
def full():
    return jd.Likelihood(jd.load_dataset("paper2020"), theory="full")


@pytest.fixture
def measured(benchmark, request):
    """Time a call: measured(call, rounds=, warmup=, points=, **about).

    Keyword arguments are recorded beside the time; `points` becomes a rate.
    """

    def run(call, *, rounds: int = 7, warmup: int = 1, points: int | None = None, **about) -> None:
        benchmark.extra_info |= {"device": str(jax.devices()[0]), "dtype": "float64", **machine(), **about}
        clock = []

        def timed():
            start = time.perf_counter()
            result = jax.block_until_ready(call())
            clock.append(time.perf_counter() - start)
            return result

        benchmark.pedantic(timed, rounds=rounds, warmup_rounds=warmup)
        if points:
            benchmark.extra_info["points_per_s"] = round(points / min(clock))

    yield run
    if benchmark.stats:
        row = {"benchmark": request.node.name, "seconds": float(benchmark.stats.stats.min), **benchmark.extra_info}
        request.config.stash[_ROWS].append(row)


@pytest.fixture
def compiled_rate(measured, benchmark):
    """Time a compiled function of one argument, a batch of points; compile time and memory go to extra_info."""

    def run(function, batch, *, points: int | None = None) -> None:
        program, compile_s = compiled(function, batch)
        memory = program.memory_analysis()
        measured(
            lambda: program(batch),
            points=points or len(jax.tree.leaves(batch)[0]),
            compile_s=round(compile_s, 2),
            temporary_MiB=round(memory.temp_size_in_bytes / 2**20, 2) if memory else None,
        )

    return run


@pytest.fixture
def vectors(prior):
    """n random points of the prior as a likelihood takes them, with nuisances in mode "full"."""

    def draw(like, n: int) -> np.ndarray:
        found = prior_vectors(prior, n)
        if like.theory == "marginalised":
            return found
        return np.concatenate([found, np.random.default_rng(1).normal(size=(n, len(like.nuisance_names)))], axis=1)

    return draw
