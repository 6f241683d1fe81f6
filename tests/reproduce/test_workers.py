"""Studies in processes of their own: what comes back, how it fails, and that nothing runs on.

The processes run a made-up study in place of a sampled one; that of the slow test is real.
"""

import os
import threading
import time

import jax
import numpy as np
import pytest

from jaxdark.constraints.limit import LimitResult
from jaxdark.reproduce import workers
from jaxdark.reproduce.study import Selection, Study, study

SELECTIONS = (Selection("high"), Selection("low"), Selection("high", g_minus_2="upper"))
MADE_UP = """
import os, sys, time
import jax, numpy as np
from jaxdark.constraints.limit import LimitResult
from jaxdark.reproduce.study import Study

def made_up(selection, draws, *, seed, report):
    print("a word that is no progress")
    report("chains", 1, 2)
    {body}
    three = np.arange(3.0) + seed
    return Study(selection, {{"m_V": three, "g_D": -three}}, three, -54.1, np.ones((3, 2)) * draws, ("a", "b"), ("c",),
                 LimitResult(three[:, None], np.full((3, 1), np.inf), three[:, None]),
                 f"{{os.getpid()}} {{jax.config.jax_enable_x64}} {{jax.config.jax_compilation_cache_dir}}")

workers.study = made_up
"""


def made_up(monkeypatch, body="pass"):
    head, tail = workers._START.split("from jaxdark.reproduce.workers import work\n")
    middle = (
        "from jaxdark.reproduce import workers\n"
        + MADE_UP.format(body=body)
        + "from jaxdark.reproduce.workers import work\n"
    )
    monkeypatch.setattr(workers, "_START", head + middle + tail)


def small(selection, value):
    x = np.full(2, float(value))
    verdicts = LimitResult(x[:, None], x[:, None], x[:, None])
    return Study(selection, {"m_V": x}, x, -1.0, x[:, None], ("a",), ("c",), verdicts, "converged")


def same(a: Study, b: Study):
    assert a._replace(parameters={}, log_likelihood=None, pulls=None, verdicts=None) == b._replace(
        parameters={}, log_likelihood=None, pulls=None, verdicts=None
    )
    assert list(a.parameters) == list(b.parameters)
    for x, y in zip(jax.tree.leaves(a[1:]), jax.tree.leaves(b[1:]), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(workers, "processors", lambda: 2)


def test_a_study_outlives_its_process(tmp_path):
    random = np.random.default_rng(1)
    x = random.normal(size=(5, 2))
    made = Study(
        Selection("low", "hepfit2019", "upper"),
        {"m_V": x[:, 0], "log_likelihood": x[:, 1]},
        x[:, 0],
        -1 / 3,
        x,
        ("α", "b"),
        ("c.d", "words"),
        LimitResult(x, x + 1, np.where(x > 0, x, np.inf)),
        'R-hat of m_V is 1.2; "bad"',
    )
    made.save(tmp_path / "study.npz")
    same(Study.load(tmp_path / "study.npz"), made)


def test_studies_come_back_in_order_with_their_progress(monkeypatch, tmp_path, two_cores):
    made_up(monkeypatch)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
    steps = []
    try:
        found = workers.studies(SELECTIONS, 7, seed=3, folder=tmp_path, report=lambda *step: steps.append(step))
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
    assert [s.selection for s in found] == list(SELECTIONS)
    assert sorted(steps) == sorted((selection, "chains", 1, 2) for selection in SELECTIONS)
    np.testing.assert_array_equal(found[0].parameters["g_D"], [-3.0, -4.0, -5.0])
    assert found[0].pulls.max() == 7 and found[0].sm_log_likelihood == -54.1
    processes, settings = zip(*(s.chains.split(" ", 1) for s in found), strict=True)
    assert set(settings) == {f"True {tmp_path / 'cache'}"}
    assert processes[0] == processes[2] != processes[1] and str(os.getpid()) not in processes
    assert not list(tmp_path.glob(".studies*"))


def test_a_failure_is_told_and_ends_the_others(monkeypatch, tmp_path, two_cores):
    made_up(monkeypatch, 'if selection.region == "low": raise ValueError("no such fit")\n    time.sleep(600)')
    started = time.monotonic()
    with pytest.raises(ChildProcessError, match=r"exit code 1: (?s:.*)ValueError: no such fit"):
        workers.studies(SELECTIONS, 7, seed=3, folder=tmp_path, report=lambda *step: None)
    assert time.monotonic() - started < 120
    assert not list(tmp_path.iterdir())


def test_stopping_stops_the_processes(monkeypatch, tmp_path, two_cores):
    made_up(monkeypatch, "time.sleep(600)")
    started, seen = [], threading.Event()
    popen = workers.subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def interrupted(futures):
        assert seen.wait(120)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.studies(SELECTIONS[:2], 7, seed=3, folder=tmp_path, report=lambda *step: seen.set())
    assert len(started) == 2 and all(process.poll() is not None for process in started)
    assert not list(tmp_path.iterdir())


def test_one_core_makes_no_process(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "processors", lambda: 1)
    monkeypatch.setattr(workers, "study", lambda selection, draws, *, seed, report: small(selection, draws + seed))
    monkeypatch.setattr(workers.subprocess, "Popen", None)
    found = workers.studies(SELECTIONS, 7, seed=3, folder=tmp_path, report=lambda *step: None)
    for one, selection in zip(found, SELECTIONS, strict=True):
        same(one, small(selection, 10))


def test_finished_studies_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "processors", lambda: 1)
    done = []

    def stopped(selection, draws, *, seed, report):
        if selection == SELECTIONS[2]:
            raise KeyboardInterrupt
        done.append(selection)
        return small(selection, draws)

    monkeypatch.setattr(workers, "study", stopped)
    request = {"seed": 3, "folder": tmp_path, "report": lambda *step: None}
    with pytest.raises(KeyboardInterrupt):
        workers.studies(SELECTIONS, 7, **request)
    assert done == list(SELECTIONS[:2])
    monkeypatch.setattr(workers, "study", lambda selection, draws, *, seed, report: small(selection, -1.0))
    found = workers.studies(SELECTIONS, 7, **request)
    assert [study.log_likelihood[0] for study in found] == [7.0, 7.0, -1.0]


@pytest.mark.slow
def test_a_process_draws_what_this_one_would(tmp_path, two_cores):
    jax.config.update("jax_disable_most_optimizations", False)  # as there: bit for bit
    apart_ones = workers.studies(SELECTIONS[:2], 100, seed=0, folder=tmp_path, report=lambda *step: None)
    same(apart_ones[1], study(SELECTIONS[1], 100, seed=0))
