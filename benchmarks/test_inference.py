"""Speed of what users wait for: a scan, the best fit, chains by effective samples, importance sampling."""

import time

import numpy as np
import pytest

import jaxdark as jd
from jaxdark.compute.batch import batched
from jaxdark.optimise.multistart import MultiStart
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.sampling.coordinates import Coordinates, log_density
from jaxdark.sampling.diagnostics import summarised
from jaxdark.sampling.flow import TrainingRound, train_flow
from jaxdark.sampling.importance import sample_prior
from jaxdark.sampling.nuts import NutsSettings, dispersed_init_params, run_nuts

QUICK_MAP = {"n_prior": 2**10, "exploration": TrainingRound(5, 2**8), "refinement": (TrainingRound(5, 2**8),)}


@pytest.mark.parametrize("outputs", [("log_likelihood",), ("constraints",)], ids=lambda names: names[0])
def test_scan(measured, marginalised, tmp_path_factory, quick, outputs):
    pytest.importorskip("zarr")
    n = 2**10 if quick else 2**15
    scan = lambda: jd.scan(  # noqa: E731
        marginalised, sobol=n, prior="high", outputs=outputs, out=tmp_path_factory.mktemp("scan") / "scan.zarr"
    )
    start = time.perf_counter()
    scan()
    # every scan compiles its programs anew: that is part of what a user waits for
    measured(scan, rounds=1, warmup=0, points=n, first_s=round(time.perf_counter() - start, 2))


@pytest.mark.parametrize("n", [2**14, 2**17, 2**20])
def test_length_of_a_scan(measured, benchmark, marginalised, tmp_path_factory, quick, n):
    """Likelihood and all constraints; time per point once the first chunk is done, which includes compilation."""
    pytest.importorskip("zarr")
    if quick and n > 2**14:
        pytest.skip("--quick")
    clock = []

    def scan():
        jd.scan(
            marginalised,
            sobol=n,
            prior="high",
            out=tmp_path_factory.mktemp("scan") / "scan.zarr",
            chunk=2**13,
            report=lambda stage, done, total: clock.append((time.perf_counter(), done)),
        )

    measured(scan, rounds=1, warmup=0, points=n)
    _, (start, first), *_, (end, last) = clock
    benchmark.extra_info["us_per_point"] = round(1e6 * (end - start) / (last - first), 2)


@pytest.mark.parametrize("optimizer", ["lm", "lbfgs", "adam"])
def test_best_fit(measured, marginalised, prior, quick, optimizer):
    """One search; `jaxdark fit` makes three, with the theory covariance at the last one's result."""
    points = 2**10 if quick else 2**16
    search = MultiStart(marginalised, prior, starts=8 if quick else 256, points=points, optimizer=optimizer)
    start = time.perf_counter()
    minima = search(marginalised.whitening)
    first = time.perf_counter() - start
    measured(
        lambda: search(marginalised.whitening),
        rounds=1 if quick else 3,
        warmup=0,
        first_s=round(first, 2),
        starts=len(minima.chi2),
        steps_per_start=float(np.mean(minima.steps)),
        converged=float(minima.converged.mean()),
        at_best=float((minima.chi2 < minima.chi2.min() + 0.01).mean()),
    )


@pytest.fixture(scope="module")
def prepared(marginalised, prior, quick):
    """Fit, map learned there, and the seconds both took with compilation."""
    start = time.perf_counter()
    fit = fit_with_covariance(marginalised, prior, starts=8 if quick else 64)
    learned = train_flow(fit.values, len(prior.names), seed=0, **(QUICK_MAP if quick else {}))
    return fit, learned, time.perf_counter() - start


@pytest.mark.parametrize("chains", [2, 4, 8])
def test_nuts(measured, benchmark, marginalised, prior, prepared, quick, chains):
    """Draws after compilation; effective samples are those of the worst parameter, over all chains."""
    if quick and chains > 2:
        pytest.skip("--quick")
    fit, learned, seconds = prepared
    coordinates = Coordinates.build(marginalised, fit, prior, learned.transport)
    init_params = dispersed_init_params(learned.sample, learned.transport, chains, seed=0)
    settings = NutsSettings(warmup=100, draws=100 if quick else 2000)
    args = coordinates, float(learned.sample.log_likelihood.max())
    runs = []
    measured(
        lambda: runs.append(run_nuts(log_density, init_params, args, seed=0, settings=settings)),
        rounds=1,
        warmup=0,
        prepared_s=round(seconds, 1),
    )
    run = runs[0]
    z = run.draws.z
    flat = batched(lambda c, z: c.vector(z)[0], batch=64)(coordinates, z.reshape(-1, z.shape[-1]))
    values = flat.reshape(z.shape)
    ess = min(
        entry["ess_bulk"] for entry in summarised({n: values[..., i] for i, n in enumerate(prior.names)}).values()
    )
    sampling = run.seconds["warmup"] + run.seconds["sample"]
    calls = float(run.draws.num_steps.sum() + run.warmup.num_steps.sum())
    benchmark.extra_info |= {
        "compile_s": round(run.seconds["compile"], 2),
        "worst_ess": round(ess),
        "ess_per_s": round(ess / sampling, 1),
        # without a force the density is never differentiated: every leapfrog step costs its value alone
        "gradients_per_ess": round(calls / ess, 2) if settings.gradient_clip else 0.0,
        "values_per_ess": round(calls / ess, 2),
    }


def test_importance(measured, benchmark, prior, prepared, quick):
    """Points of the prior weighted by the likelihood."""
    n = 2**10 if quick else 2**18
    found = []
    measured(lambda: found.append(sample_prior(prepared[0].values, len(prior.names), n=n, seed=0)), rounds=1, points=n)
    benchmark.extra_info["ess"] = round(found[0].ess, 1)
