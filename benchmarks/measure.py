"""What all benchmarks share: clocks, points of the prior, child processes, the record of the machine, tables.

Nothing here knows what is measured. Times are those of the fastest round: on a machine that does something else beside,
only the fastest round says what the program costs.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PACKAGES = ("jaxdark", "jax", "jaxlib", "numpy", "scipy", "numpyro", "blackjax", "emcee", "flavio", "eoshep")
Record = dict[str, Any]


def fastest(call: Callable[[], Any], *, rounds: int = 5, at_least: float = 2.0) -> float:
    """Seconds of the fastest of several calls, the first one left out; `call` blocks until its result is there.

    Two seconds of calls are more than most bursts of other work on a shared machine.
    """
    call()
    times: list[float] = []
    while len(times) < rounds or sum(times) < at_least:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compiled(function: Callable, *args):
    """Program of a function at the shapes of args, and the seconds spent on tracing and compiling it."""
    import jax

    start = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    return program, time.perf_counter() - start


def prior_vectors(prior, n: int, seed: int = 0) -> np.ndarray:
    """Parameter vectors at random points of a prior, (n, d)."""
    return np.asarray(prior.vector(np.random.default_rng(seed).random((n, len(prior.names)))))


def use_cores(n: int) -> None:
    """Keep this process on n cores; to be called before NumPy's and JAX's thread pools start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Child(NamedTuple):
    """A process that ended: its wall time, largest memory and output; `code` is its exit code."""

    seconds: float
    peak_MiB: float
    stdout: str
    stderr: str
    code: int


def child(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str = "") -> Child:
    """Run a command to its end, with `env` on top of this process's environment."""
    # A small interpreter stands between: a process starts with the peak of the one it was forked from.
    relay = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:]).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", relay, *map(str, command)],
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    *errors, peak = done.stderr.rstrip().split("\n")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Child(seconds, int(peak) / unit, done.stdout, "\n".join(errors), done.returncode)


@cache
def machine() -> Record:
    """Machine, software and date of a run; every table states them."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "gpu": _gpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "load average before the run": round(load, 2),
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _gpu_model() -> str:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() or "none"
    except (OSError, subprocess.CalledProcessError):
        return "none"


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of the named columns; what a row lacks stays empty."""
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | str):
        return str(value)
    if isinstance(value, float) and 1000 <= abs(value) < 1e5:
        return f"{value:.0f}"
    return f"{value:.3g}"


def publish(out: Path | None, title: str, body: str, record: Any) -> None:
    """Print a section, and put it in the place of its predecessor in a Markdown file, its numbers in JSON beside.

    Every script has its own section, so that one may be run again without the others.
    """
    about = machine()
    text = (
        f"# {title}\n\n" + table(["what", "value"], [{"what": k, "value": v} for k, v in about.items()]) + "\n" + body
    )
    print(text)
    if out is None:
        return
    sections = _sections(out.read_text()) if out.exists() else {}
    sections[title] = text.strip() + "\n"
    out.write_text("\n".join(sections.values()))
    beside = out.with_suffix(".json")
    known = json.loads(beside.read_text()) if beside.exists() else {}
    known[title] = {"machine": about, "results": record}
    beside.write_text(json.dumps(known, indent=1, default=float) + "\n")


def _sections(text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        title = line[2:] if line.startswith("# ") else title
        found.setdefault(title, []).append(line)
    return {name: "\n".join(lines).strip() + "\n" for name, lines in found.items() if name}
