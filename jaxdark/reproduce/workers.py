"""Studies in processes of their own, two at once: tracing and most of compiling is serial within one process.

Inputs: what is to be fitted. Outputs: studies, handed over as files. The processes are new interpreters in which
nothing of the caller's program runs again, so that it needs no guard.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxdark.compute.batch import processors
from jaxdark.reproduce.study import Selection, Study, study

Report = Callable[[Selection, str, int, int], None]

_SETTINGS = (
    "jax_enable_x64",
    "jax_platforms",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)
"""Of JAX, the same in all processes."""
_START = """\
import json, pathlib, sys
sys.path[:] = json.loads(sys.argv[1])
from jaxdark.reproduce.workers import work
work(pathlib.Path(sys.argv[2]))
"""


def studies(selections: Sequence[Selection], draws: int, *, seed: int, folder: Path, report: Report) -> list[Study]:
    """Studies of several selections in their order; the draws are those of `study` in this process.

    Args:
        selections: what to fit.
        draws: per chain.
        seed: of every study.
        folder: an existing one in which every finished study is kept; those that are there are taken as they are.
        report: called with (selection, stage, done, all), also by several threads at once.

    Raises:
        ChildProcessError: a study failed; its traceback is the message.
    """
    paths = {selection: folder / f"study-{'-'.join(selection)}.npz" for selection in selections}
    todo = [selection for selection in selections if not paths[selection].exists()]
    workers = min(2, processors(), len(todo))
    if workers < 2 or jax.default_backend() != "cpu" or not sys.executable:
        # On one core there is nothing to gain, and an accelerator's memory belongs to one process.
        for selection in todo:
            study(selection, draws, seed=seed, report=partial(report, selection)).save(paths[selection])
    else:
        jobs = [{"selection": s, "draws": draws, "seed": seed, "path": str(paths[s])} for s in todo]
        _in_processes(jobs, workers, folder, report)
    return [Study.load(path) for path in paths.values()]


def _in_processes(jobs: list[dict[str, Any]], workers: int, folder: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix=".studies-", dir=folder) as place, ExitStack() as stack:
        shares = [_Worker(jobs[k::workers], Path(place) / f"{k}.json") for k in range(workers)]
        # Threads wait for the ends of processes, which are therefore stopped first.
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        for worker in shares:
            stack.callback(worker.end)
        for done in as_completed([pool.submit(worker.follow, report) for worker in shares]):
            done.result()


class _Worker:
    """A process at work on some jobs, one after the other."""

    def __init__(self, jobs: list[dict[str, Any]], request: Path):
        settings = {name: getattr(jax.config, name) for name in _SETTINGS}
        request.write_text(json.dumps({"settings": settings, "jobs": jobs}), encoding="utf-8")
        self._log = request.with_suffix(".log")
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), str(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
            )

    def follow(self, report: Report) -> None:
        """Hand on the worker's progress until it ends."""
        assert self._process.stdout
        for line in self._process.stdout:
            selection, *step = json.loads(line)
            report(Selection(*selection), *step)
        if code := self._process.wait():
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()
            raise ChildProcessError(f"a study ended with exit code {code}: {words[-2000:] or 'no message'}")

    def end(self) -> None:
        """Stop the process if it still runs."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def work(request: Path) -> None:
    """What a worker does: progress goes out on standard output, studies into files."""
    content = json.loads(request.read_text(encoding="utf-8"))
    for name, value in content["settings"].items():
        jax.config.update(name, value)
    # Progress has standard output for itself; what else is printed goes where errors go.
    channel, sys.stdout = sys.stdout, sys.stderr
    for job in content["jobs"]:
        selection = Selection(*job["selection"])

        def report(*step: str | int, selection: Selection = selection) -> None:
            print(json.dumps([selection, *step]), file=channel, flush=True)

        study(selection, job["draws"], seed=job["seed"], report=report).save(Path(job["path"]))
