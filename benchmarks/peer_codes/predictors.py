"""Rows of the first two tables: the log-likelihood of paper2020 by jaxdark, and by others where they have the model.

Every function returns rows; "points/s" and "seconds before" (tables, compilation, first call) are what they measure.
"""

import json
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
from measure import Record, compiled, fastest, prior_vectors
from peer_codes.surrogate import Surrogate, in_batches

import jaxdark as jd
from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import prior_of

CONSTANT, SPLIT = "constant C9, C10", "split dark sector"
MODELS = {CONSTANT: prior_of(None, "constant"), SPLIT: prior_of("high", physics="paper")}
BATCHES, GRADIENT_BATCHES = (64, 256, 1024), (32, 64, 256)
GPU_BATCHES = tuple(10**k for k in range(3, 8))
SURROGATE_BATCHES = (64, 128, 256, 512, 1024, 2048)


def _likelihood() -> jd.Likelihood:
    """With tables and theory covariance made, which no clock shall see."""
    jd.enable_x64()
    like = jd.Likelihood(jd.load_dataset("paper2020"))
    _ = like.whitening, like.tabulated
    return like


def _functions(like, prior):
    value = lambda vector: like.log_likelihood(vector, prior)  # noqa: E731
    return {"value": value, "value and gradient": jax.value_and_grad(value)}


def jaxdark_rows(threads: int, quick: bool) -> list[Record]:
    """One call, one point inside a program, batches; with several threads the batches alone."""
    like, rows = _likelihood(), []
    many = 2**10 if quick else 2**15
    for model, prior in MODELS.items():
        for what, function in _functions(like, prior).items():

            def row(how, points, call, before, model=model, what=what):
                rate = points / fastest(call)
                rows.append(
                    {"model": model, "code": "jaxdark", "what": what, "how": how, "points/s": rate, "before s": before}
                )

            vectors = prior_vectors(prior, many)
            if threads == 1:
                row("one call from Python", 1, *_once(function, vectors[0]))
                some = vectors[: 16 if quick else 512]
                row("one point inside a program", len(some), *_once(lambda v, f=function: jax.lax.map(f, v), some))
            for batch in BATCHES[:1] if quick else BATCHES if what == "value" else GRADIENT_BATCHES:
                mapped = batched(function, batch=batch, workers=threads)
                start = time.perf_counter()
                mapped(vectors[:1])
                before = time.perf_counter() - start
                row(f"{many} points, batches of {batch}", many, lambda m=mapped, v=vectors: m(v), before)
    return rows


def _once(function, argument):
    """Call of a compiled function of one argument, and the seconds until its first result."""
    start = time.perf_counter()
    program, _ = compiled(function, argument)
    jax.block_until_ready(program(argument))
    return lambda: jax.block_until_ready(program(argument)), time.perf_counter() - start


def gpu_rows(threads: int, quick: bool) -> list[Record]:
    """Batches on a GPU, and the largest relative difference to the CPU."""
    common = {"code": "jaxdark on GPU", "threads": "GPU"}
    if jax.default_backend() != "gpu":
        return [{**common, "model": model, "what": "value", "how": "not measured: no GPU here"} for model in MODELS]
    like, rows = _likelihood(), []
    for model, prior in MODELS.items():
        for what, function in _functions(like, prior).items():
            mapped = jax.vmap(function)
            for n in GPU_BATCHES[: 1 if quick else None]:
                row = {**common, "model": model, "what": what, "how": f"a batch of {n}"}
                rows.append(row | on_gpu(mapped, prior_vectors(prior, n)))
    return rows


def on_gpu(mapped, vectors: np.ndarray) -> Record:
    on_gpu = jax.device_put(vectors, jax.devices("gpu")[0])
    try:
        program, before = compiled(mapped, on_gpu)
        rate = len(vectors) / fastest(lambda: jax.block_until_ready(program(on_gpu)))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"note": "does not fit in the GPU's memory"}
    some = vectors[:1000]
    here, there = (mapped_on(mapped, some, name) for name in ("cpu", "gpu"))
    return {"points/s": rate, "before s": before, "note": f"differs from the CPU by {_worst(there, here):.1e} at most"}


def mapped_on(mapped, vectors: np.ndarray, platform: str):
    """Result of a mapped function on the first device of a platform, on the host."""
    return jax.device_get(jax.jit(mapped)(jax.device_put(vectors, jax.devices(platform)[0])))


def _worst(found, expected) -> float:
    """Largest difference of two results; of gradients relative to the largest entry, which sets the rounding."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    scale = lambda a: np.abs(a) if a.ndim == 1 else np.abs(a).max(axis=-1, keepdims=True)  # noqa: E731
    return max(float((np.abs(a - b) / (scale(b) + 1e-300)).max()) for a, b in pairs)


def surrogate_rows(threads: int, quick: bool) -> list[Record]:
    """NumPy with precomputed quadratic forms: single points, batches of 64, and the best batch."""
    like, prior = _likelihood(), MODELS[CONSTANT]
    start = time.perf_counter()
    surrogate = Surrogate(like)
    before = time.perf_counter() - start
    vectors = prior_vectors(prior, 2**10 if quick else 2**15)
    some = vectors[:256]
    ours = mapped_on(jax.vmap(lambda v: like.log_likelihood(v, prior)), some, "cpu")
    note = f"differs by {np.abs(surrogate(some) / ours - 1).max():.0e} at most"
    common = {"model": CONSTANT, "code": "NumPy surrogate", "what": "value", "before s": before, "note": note}
    rows = []
    if threads == 1:
        rows.append({**common, "how": "one call", "points/s": 1 / fastest(lambda: surrogate(vectors[:1]))})
    for batch in SURROGATE_BATCHES[: 2 if quick else None]:
        rate = len(vectors) / fastest(lambda b=batch: in_batches(surrogate, vectors, b, threads))
        rows.append({**common, "how": f"{len(vectors)} points, batches of {batch}", "points/s": rate})
    return rows


def flavio_rows(threads: int, quick: bool, python: str) -> list[Record]:
    """flavio 2.7.1 at its default accuracy, and emcee on it."""
    n = 1 if quick else 3
    found = _foreign("flavio_code.py", "flavio", n, python, {"emcee": {"walkers": 4, "steps": n}})
    rows = found["rows"]
    if not found.get("emcee"):
        return [*rows, {"model": CONSTANT, "code": "emcee on flavio", "what": "value", "how": "not installed"}]
    steps = found["emcee"]
    rate, how = steps["calls"] / steps["seconds"], f"{steps['calls']} calls"
    return [*rows, {"model": CONSTANT, "code": "emcee on flavio", "what": "value", "how": how, "points/s": rate}]


def eos_rows(threads: int, quick: bool, python: str) -> list[Record]:
    """EOS through its Python package, with its observable cache: QCD factorisation, and its cheapest amplitude."""
    n = 1 if quick else 10
    rows = []
    for tag in ("BFS2004", "GvDV2020"):
        found = _foreign("eos_code.py", "eos", n, python, {"tag": tag})["rows"]
        rows += [row | {"code": f"{row['code']}, {tag}"} for row in found]
    return rows


def _foreign(script: str, package: str, n: int, python: str, settings: Record) -> Record:
    """Run a code that only gives predictions, in an interpreter that has it, and compare them with ours."""
    row = {"model": CONSTANT, "code": package, "what": "predictions", "how": "one call"}
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    if subprocess.run([python, "-c", probe]).returncode:
        return {"rows": [row | {"how": "not installed"}]}
    like, points = _likelihood(), np.random.default_rng(0).uniform(-1, 1, (n, 2))
    rows = like.data.rows
    asked = {
        "rows": [(row.process, row.observable, row.q2) for row in rows],
        "points": points.tolist(),
        "likelihood": _gaussian(like),
        **settings,
    }
    done = subprocess.run(
        [python, Path(__file__).with_name(script)], input=json.dumps(asked), capture_output=True, text=True
    )
    if done.returncode:
        return {"rows": [row | {"how": f"failed: {done.stderr.strip().splitlines()[-1]}"}]}
    found = json.loads(done.stdout.splitlines()[-1])
    ours = [like.predictions(jd.NewPhysics(jd.Contact(C9=c9, C10=c10))) for c9, c10 in points]
    apart = np.abs(np.array(found["predictions"]) - np.array(ours)) / like.data.sigma
    note = f"{np.median(apart):.2g} sigma from ours in the median, {apart.max():.2g} at most"
    row |= {"code": f"{package} {found['version']}", "points/s": 1 / min(found["seconds"]), "note": note}
    return {"rows": [row | {"before s": found["first_s"]}], "emcee": found.get("emcee")}


def _gaussian(like) -> Record:
    return {
        "centre": like.data.values.tolist(),
        "error": like.data.sigma.tolist(),
        "whitening": like.whitening.tolist(),
    }
