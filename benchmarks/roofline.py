"""How far the likelihood is from what the machine can do: python benchmarks/roofline.py --out benchmarks/RESULTS.md

Three tables: operations and bytes per point, counted in three ways; the largest rates measured here, of a matrix
product and of a copy; and the fraction of them that is reached, by batch size. All of paper2020, split dark sector.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from measure import Record, child, fastest, publish, table, use_cores

BATCHES = (64, 256, 1024, 4096)
POINTS = 2**13
WORK_WORDS = """
Floating-point operations and bytes of one point. "compiled": XLA's count for the compiled program at a batch of 256,
which takes the body of a loop once and every operand as coming from memory; "traced": operations of the traced program,
loops at their length, what does not depend on the point left out; "special": logarithms, roots and the like among them,
one each; "by hand": from the sizes of the tables. "tables": bytes of constants, read once per batch.
"""
REACHED_WORDS = """
"GFlop/s" and "GB/s": traced operations and compiled bytes at the measured rate; the fractions are those of the faster
matrix product and the faster copy above on as many cores. Bytes that stay in a core's cache count as well, so that the
fraction of the copy may exceed 1.
"""


def by_hand(like, table_bytes: int) -> float:
    """Operations of the value from the sizes of its parts: the one function to change with the kernel.

    Each entry of a table meets one weight or one residual, the whitening matrix included; every panel of muons has two
    weights at each fine node; a row costs a ratio and the quintic of its residual. The exact moments of the near
    panels, one or two of them, are left out.
    """
    from jaxdark.semileptonic.quadrature import FINE_NODES

    panels = sum(len(spin.panels.lower) for spin in like.predictor._spins)
    weights = 8 * panels * len(FINE_NODES)
    return weights + 2 * table_bytes / 8 + 20 * len(like.data)


def work(threads: int, quick: bool) -> list[Record]:
    """Operations and bytes of a point, value and gradient."""
    import jax
    import numpy as np
    from measure import compiled, prior_vectors
    from operations import constants, operations

    like, prior, functions = _functions()
    vectors = prior_vectors(prior, 256)
    rows = []
    for what, function in functions.items():
        traced = jax.make_jaxpr(function)(vectors[0])
        counted, table_bytes = operations(traced.jaxpr), sum(constants(traced.jaxpr, traced.consts).values())
        program, _ = compiled(jax.vmap(function), vectors)
        cost = program.cost_analysis() or {}
        rows.append(
            {
                "what": what,
                "compiled": cost.get("flops", np.nan) / len(vectors),
                "traced": float(counted.total()),
                **{kind: float(counted[kind]) for kind in ("contractions", "elementwise", "special")},
                "by hand": by_hand(like, table_bytes) if what == "value" else None,
                "bytes compiled": cost.get("bytes accessed", np.nan) / len(vectors),
                "tables": float(table_bytes),
            }
        )
    return rows


def peaks(threads: int, quick: bool) -> list[Record]:
    """Largest rates of a float64 matrix product and of a copy, by NumPy and by JAX."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    gpu = jax.default_backend() == "gpu"
    n, size = (256, 2**20) if quick else (8192, 2**27) if gpu else (2048, 2**24)
    A, x = np.random.default_rng(0).random((n, n)), np.zeros(size)
    to = np.empty_like(x)
    a, y = jnp.asarray(A), jnp.asarray(x)
    product, copy = jax.jit(jnp.matmul), jax.jit(lambda y: y + 1.0)
    calls = {"JAX": (lambda: product(a, a).block_until_ready(), lambda: copy(y).block_until_ready())}
    if not gpu:
        calls["NumPy"] = (lambda: A @ A, lambda: np.copyto(to, x))
    return [
        {"by": name, "GFlop/s": 2e-9 * n**3 / fastest(multiply), "GB/s": 2e-9 * x.nbytes / fastest(move)}
        for name, (multiply, move) in calls.items()
    ]


def rates(threads: int, quick: bool) -> list[Record]:
    """Points per second by batch size, in threads on a CPU and in single batches on a GPU."""
    import jax
    from measure import prior_vectors
    from peer_codes.predictors import GPU_BATCHES, on_gpu

    from jaxdark.compute.batch import batched

    _, prior, functions = _functions()
    if jax.default_backend() == "gpu":
        batches = GPU_BATCHES[: 1 if quick else None]
        return [
            {"what": what, "batch": n, **on_gpu(jax.vmap(function), prior_vectors(prior, n))}
            for what, function in functions.items()
            for n in batches
        ]
    vectors = prior_vectors(prior, 2**9 if quick else POINTS)
    rows = []
    for what, function in functions.items():
        for batch in BATCHES[: 1 if quick else None]:
            mapped = batched(function, batch=batch, workers=threads)
            rate = len(vectors) / fastest(lambda m=mapped: m(vectors), rounds=3)
            rows.append({"what": what, "batch": batch, "points/s": rate})
    return rows


def _functions():
    import jax

    import jaxdark as jd
    from jaxdark.likelihood.priors import prior_of

    jd.enable_x64()
    like, prior = jd.Likelihood(jd.load_dataset("paper2020")), prior_of("high", physics="paper")
    value = lambda vector: like.log_likelihood(vector, prior)  # noqa: E731
    return like, prior, {"value": value, "value and gradient": jax.value_and_grad(value)}


JOBS = {"work": work, "peaks": peaks, "rates": rates}
PLACES = {"1 core": 1, "2 cores": 2, "GPU": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file whose section is replaced; JSON goes beside it")
    parser.add_argument("--quick", action="store_true", help="sizes that only show that everything runs")
    parser.add_argument("--job", nargs=2, metavar=("NAME", "PLACE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(run_job(*options.job, options.quick), default=float))
        return
    found = {"work": in_child("work", "1 core", options.quick)}
    for name in ("peaks", "rates"):
        found[name] = [row for place in PLACES for row in in_child(name, place, options.quick)]
    publish(options.out, "Roofline", report(**found), found)


def in_child(name: str, place: str, quick: bool) -> list[Record]:
    """Rows of a job in a process of its own, kept on its cores."""
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(PLACES[place]))
    backend = {} if place == "GPU" else {"JAX_PLATFORMS": "cpu"}
    print(f"{name} on {place} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--job", name, place, *(["--quick"] if quick else [])]
    done = child(command, env={**os.environ, **numbers, **backend})
    if done.code:
        sys.exit(done.stderr)
    return [{"where": place, **row} for row in json.loads(done.stdout.splitlines()[-1])]


def run_job(name: str, place: str, quick: bool) -> list[Record]:
    """Rows of a job in this process; one without numbers where there is no GPU."""
    if place == "GPU":
        import jax

        if jax.default_backend() != "gpu":
            return [{"note": "not measured: no GPU here"}]
    else:
        use_cores(PLACES[place])
    return JOBS[name](PLACES[place], quick)


def report(work: list[Record], peaks: list[Record], rates: list[Record]) -> str:
    """The three tables."""
    of_what = {row["what"]: row for row in work}
    highest = {
        place: {key: max(row.get(key, 0.0) for row in peaks if row["where"] == place) for key in ("GFlop/s", "GB/s")}
        for place in PLACES
    }
    for row in rates:
        if "points/s" not in row:
            continue
        cost, top = of_what[row["what"]], highest[row["where"]]
        row["us/point"] = 1e6 / row["points/s"]
        row["GFlop/s"], row["GB/s"] = (1e-9 * row["points/s"] * cost[key] for key in ("traced", "bytes compiled"))
        row["of product"], row["of copy"] = (row[key] / top[key] for key in ("GFlop/s", "GB/s"))
    counts = [
        "what",
        "compiled",
        "traced",
        "contractions",
        "elementwise",
        "special",
        "by hand",
        "bytes compiled",
        "tables",
    ]
    reached = ["where", "what", "batch", "us/point", "points/s", "GFlop/s", "of product", "GB/s", "of copy", "note"]
    return "\n".join(
        [
            *("## Work of one point\n", WORK_WORDS.lstrip(), table(counts, work)),
            *("## What the machine can do\n", table(["where", "by", "GFlop/s", "GB/s", "note"], peaks)),
            *("## What is reached\n", REACHED_WORDS.lstrip(), table(reached, rates)),
        ]
    )


if __name__ == "__main__":
    main()
