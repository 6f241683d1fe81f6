"""jaxdark beside other codes and samplers, in one run: python benchmarks/peers.py --out benchmarks/RESULTS.md

Codes, samplers and kernels are tables of their own, so that one may be made again without the others.

Each job runs in a process of its own that is kept on the stated number of cores. What is not installed becomes a row
that says so: pip install ".[bench,flavio]" eoshep brings everything, or --eos-python names an interpreter that has EOS.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from measure import Record, child, publish, table, use_cores

LIKELIHOOD = ["code", "what", "how", "threads", "points/s", "us/point", "ratio", "before s", "note"]
SAMPLERS = [
    *("sampler", "threads", "prepare s", "compile s", "sample s", "draws", "ESS", "R-hat"),
    *("ESS/s", "ESS/s prepared", "ESS/s with fit", "ESS/s all", "ratio", "values/ESS", "gradients/ESS", "note"),
]
LIKELIHOOD_WORDS = """
Points per second of the log-likelihood of data set paper2020 (120 rows). "ratio": points/s over that of jaxdark's best
value on one core for the same model. "before s": compilation and the first call; the surrogate's coefficients, which
are made by jaxdark. flavio and EOS compute the predictions alone, with their own inputs; the note says how far those
are from ours.
"""
SAMPLER_WORDS = """
One posterior: split dark sector, high region, paper2020. ESS: smallest bulk effective size of a parameter; of weighted
points that of the weights. "ESS/s": after compilation and preparation; "prepared": preparation counted; "with fit": the
best fit, which fixes the theory covariance and which all need, counted too; "all": and compilation. "ratio": of "ESS/s
prepared" to that of jaxdark's NUTS on as many cores.
"""
KERNELS = [
    *("region", "kernel", "prepare and compile s", "chains s", "CPU s", "draws", "ESS", "R-hat", "ESS/s", "ESS/CPU s"),
    *("values/ESS", "gradients/ESS", "mean shift", "KS distance", "of", "smallest p", "converged"),
]
KERNEL_WORDS = """
`jaxdark.sample` with its defaults by each kernel, split dark sector, paper2020. ESS: smallest bulk effective size of a
parameter, over all chains. "ESS/s", "ESS/CPU s": of the wall and of the processors, with everything after the best fit
counted: flow or prior points, compilation, warm-up, draws; on a machine that does other work beside, the latter is the
one to compare. Evaluations are those of the draws, without warm-up. Against the kernel flow of the same region: largest
shift of a mean in units of the error of both, largest Kolmogorov-Smirnov distance of a marginal and whose it is, and
the smallest p-value of all parameters. "converged": the run's own word, with its first warning.
"""
# Job and cores.
JOBS = [
    ("jaxdark", 1),
    ("jaxdark", 2),
    ("surrogate", 1),
    ("surrogate", 2),
    ("flavio", 1),
    ("eos", 1),
    ("gpu", 1),
    ("samplers", 1),
    ("samplers", 2),
    ("kernels", 2),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file whose sections are replaced; JSON goes beside it")
    parser.add_argument("--quick", action="store_true", help="sizes that only show that everything runs")
    parser.add_argument("--jobs", help="some of them, such as surrogate,eos")
    parser.add_argument("--eos-python", default=sys.executable, help="interpreter that has eoshep")
    parser.add_argument("--job", nargs=2, metavar=("NAME", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        name, threads = options.job
        print(json.dumps(run_job(name, int(threads), options), default=float))
        return
    wanted = options.jobs.split(",") if options.jobs else [name for name, _ in JOBS]
    rows = [row for name, threads in JOBS if name in wanted for row in in_child(name, threads, options)]
    for title, report, own in (
        ("Other codes", of_codes, [row for row in rows if row["job"] not in ("samplers", "kernels")]),
        ("Samplers", of_samplers, [row for row in rows if row["job"] == "samplers"]),
        ("Kernels", of_kernels, [row for row in rows if row["job"] == "kernels"]),
    ):
        if own:
            publish(options.out, title, report(own), own)


def in_child(name: str, threads: int, options: argparse.Namespace) -> list[Record]:
    """Rows of a job, run on so many cores; a job that fails is a row that says why."""
    command = [sys.executable, __file__, "--job", name, str(threads), "--eos-python", options.eos_python]
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    # the CPU's rows are the CPU's, also where there is a GPU
    backend = {} if name == "gpu" else {"JAX_PLATFORMS": "cpu"}
    print(f"{name} on {threads} core(s) ...", file=sys.stderr, flush=True)
    done = child([*command, *(["--quick"] if options.quick else [])], env={**os.environ, **numbers, **backend})
    if done.code:
        found = [{"code": name, "sampler": name, "note": f"failed: {done.stderr.strip().splitlines()[-1]}"}]
    else:
        found = json.loads(done.stdout.splitlines()[-1])
    return [{"job": name, "threads": threads, "peak MiB": round(done.peak_MiB)} | row for row in found]


def run_job(name: str, threads: int, options: argparse.Namespace) -> list[Record]:
    """Rows of a job in this process."""
    use_cores(threads)
    # imported only now: thread pools are made for the cores a process has when it starts them
    from peer_codes import kernels, predictors, samplers

    if name == "eos":
        return predictors.eos_rows(threads, options.quick, options.eos_python)
    if name == "flavio":
        return predictors.flavio_rows(threads, options.quick, sys.executable)
    jobs = {
        "jaxdark": predictors.jaxdark_rows,
        "surrogate": predictors.surrogate_rows,
        "gpu": predictors.gpu_rows,
        "samplers": samplers.sampler_rows,
        "kernels": kernels.kernel_rows,
    }
    return jobs[name](threads, options.quick)


def of_codes(rows: list[Record]) -> str:
    """The tables of the likelihood, one per model."""
    parts = [LIKELIHOOD_WORDS]
    for model in dict.fromkeys(row.get("model", "no result") for row in rows):
        own = [row for row in rows if row.get("model", "no result") == model]
        best = [
            row["points/s"]
            for row in own
            if row["code"] == "jaxdark" and row["threads"] == 1 and row["what"] == "value"
        ]
        for row in own:
            if "points/s" in row:
                row["us/point"] = 1e6 / row["points/s"]
                row["ratio"] = row["points/s"] / max(best) if best else None
        parts += [f"## {model}\n", table(LIKELIHOOD, own)]
    return "\n".join(parts)


def of_samplers(rows: list[Record]) -> str:
    """The table of the samplers."""
    ours = {row["threads"]: row["ESS/s prepared"] for row in rows if "NUTS in learned" in row["sampler"]}
    for row in rows:
        if "ESS/s prepared" in row and row["threads"] in ours:
            row["ratio"] = row["ESS/s prepared"] / ours[row["threads"]]
    return "\n".join([SAMPLER_WORDS, table(SAMPLERS, rows)])


def of_kernels(rows: list[Record]) -> str:
    """The table of the kernels."""
    return "\n".join([KERNEL_WORDS, table(KERNELS, rows)])


if __name__ == "__main__":
    main()
