"""Processes from their start: the import, `jaxdark point` with an empty and a filled cache, memory of many points."""

import sys

import pytest
from measure import child

POINT = ["m_V=5.5", "g_mu_V=0.03", "r_AV=-0.4", "g_D=1", "r=-3"]
COMMAND = [sys.executable, "-c", "import sys; from jaxdark.cli import main; sys.exit(main())", "point", *POINT]
IMPORT = "import time, jax\nstart = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"

MANY_POINTS = """
import sys
import numpy as np
import jaxdark as jd
from jaxdark.sampling.importance import batched
from jaxdark.likelihood.priors import prior_of
jd.enable_x64()
prior = prior_of("high", physics="paper")
u = np.random.default_rng(0).random((int(sys.argv[1]), len(prior.names)))
batched(jd.Likelihood(jd.load_dataset("paper2020")).log_likelihood)(np.asarray(prior.vector(u)))
"""


def run(cache):
    done = child(COMMAND, env={"XDG_CACHE_HOME": str(cache)})
    assert done.code == 0, done.stderr
    return done


@pytest.mark.parametrize("cache", ["empty", "filled"])
def test_point(measured, benchmark, tmp_path_factory, quick, cache):
    shared = tmp_path_factory.mktemp("filled")
    peaks = []

    def call():
        peaks.append(run(shared if cache == "filled" else tmp_path_factory.mktemp("empty")).peak_MiB)

    measured(call, rounds=1 if quick else 3, warmup=1 if cache == "filled" else 0)
    benchmark.extra_info["peak_MiB"] = round(max(peaks))


@pytest.mark.parametrize("what", ["import jaxdark", "from jaxdark import *"])
def test_import_beyond_jax(measured, benchmark, quick, what):
    """`import jaxdark` fetches nothing yet; the second line is what a user of all names waits for."""
    beyond = []
    measured(lambda: beyond.append(float(child([sys.executable, "-c", IMPORT.format(what)]).stdout)), rounds=3)
    benchmark.extra_info["beyond_jax_s"] = round(min(beyond), 4)


@pytest.mark.parametrize("n", [2**10, 2**17])
def test_memory_of_many_points(measured, benchmark, quick, n):
    """Largest memory of a process that evaluates the likelihood at n points, compilation included."""
    if quick and n > 2**10:
        pytest.skip("--quick")
    found = []
    measured(lambda: found.append(child([sys.executable, "-c", MANY_POINTS, str(n)])), rounds=1, warmup=0, points=n)
    assert found[0].code == 0, found[0].stderr
    benchmark.extra_info["peak_MiB"] = round(found[0].peak_MiB)
