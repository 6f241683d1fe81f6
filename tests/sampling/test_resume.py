"""A run that is killed resumes, and ends with the bits of one that was not."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from killed_chain import SETTINGS, chains
from toy_data import TOY

from jaxdark.cli import main
from jaxdark.io import results
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.sampling.flow import TrainedFlow, prior_map
from jaxdark.sampling.importance import ImportanceSample, sample_prior
from jaxdark.sampling.nested import nested_sample
from jaxdark.sampling.resume import kept_parts
from jaxdark.sampling.sample import sample

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture
def toy_likelihood(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    path.write_text(TOY)
    return Likelihood(load_dataset(str(path)))


def in_a_process_of_its_own(*command, **options):
    paths = [str(HELPERS), str(HELPERS.parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=os.environ | {"PYTHONPATH": ":".join(paths)}, **options
    )


def test_chains_killed_while_they_write_go_on_to_the_same_bits(tmp_path):
    whole = chains(None)
    killed = in_a_process_of_its_own(HELPERS / "killed_chain.py", tmp_path, 4)
    assert killed.wait(120) == -signal.SIGKILL
    # three whole files, and a fourth that was never renamed
    assert len(list(tmp_path.glob("*.npz"))) == 3 and len(list(tmp_path.glob(".*.part"))) == 1
    resumed = chains(tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == (SETTINGS.warmup + SETTINGS.draws) // SETTINGS.segment
    assert not list(tmp_path.glob(".*.part"))
    for name, a, b in zip(whole.draws._fields, whole.draws, resumed.draws, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_learned_map_survives_its_arrays():
    sample = ImportanceSample(np.random.default_rng(0).random((5, 3)), np.arange(5.0), -np.arange(5.0))
    learned = TrainedFlow(prior_map(3, seed=4), sample, (0.25, 0.5))
    again = TrainedFlow.from_arrays({name: np.asarray(value) for name, value in learned.arrays.items()})
    assert jax.tree.structure(again) == jax.tree.structure(learned) and again.efficiencies == learned.efficiencies
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(learned), strict=True):
        np.testing.assert_array_equal(a, b)


def stop_when(reached):
    """What Ctrl-C does."""
    if reached:
        raise KeyboardInterrupt


def test_points_of_the_prior_are_not_computed_twice(tmp_path):
    asked = []

    def log_likelihood(u):
        asked.append(len(u))
        return -np.sum(u**2, axis=1)

    def points(store, **further):
        on_chunk, resume = kept_parts(store, "points")
        return sample_prior(log_likelihood, 2, n=1000, seed=3, chunk=300, on_chunk=on_chunk, resume=resume, **further)

    whole = points(Checkpoints(None))
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        points(Checkpoints(tmp_path), progress=lambda done, _: stop_when(done == 600))
    resumed = points(Checkpoints(tmp_path))
    assert asked == [300, 300, 300, 124]
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    points(Checkpoints(tmp_path))
    assert len(asked) == 4


def test_nested_sampling_goes_on_to_the_same_bits(tmp_path):
    pytest.importorskip("blackjax")

    def points(store, **further):
        on_segment, resume = kept_parts(store, "nested")
        log_likelihood = lambda u: -50 * jnp.sum((u - 0.3) ** 2)  # noqa: E731
        request = {"seed": 1, "n_live": 100, "on_segment": on_segment, "resume": resume}
        return nested_sample(log_likelihood, 2, **request, **further), len(resume)

    (whole, evidence), _ = points(Checkpoints(None))
    seen = []
    for stop in (170, 350):  # in the second segment, and in the fourth of the run that resumed
        with pytest.raises(KeyboardInterrupt):
            points(
                Checkpoints(tmp_path), progress=lambda done, _, stop=stop: seen.append(done) or stop_when(done == stop)
            )
    (resumed, again), parts = points(Checkpoints(tmp_path))
    assert parts == 3 and seen[:17] == [*range(10, 171, 10)] and seen[17] == 110
    assert again == evidence
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("method", "stage", "points"),
    [
        ("importance", "prior points", {"n_samples": 2**18}),
        pytest.param("nested", "nested", {"n_live": 200}, marks=pytest.mark.slow),
    ],
)
def test_weighted_points_of_a_run_are_kept(method, stage, points, tmp_path, toy_likelihood):
    """A run that is stopped twice ends as one that is not."""
    if method == "nested":
        pytest.importorskip("blackjax")

    def run(store, stop=None):
        count = 0

        def report(name, done, total):
            nonlocal count
            count += name == stage
            stop_when(count == stop)

        request = {"method": method, **points, "draws": 200, "chains": 2, "seed": 4}
        return sample(toy_likelihood, prior_of(model="constant"), report=report, checkpoints=store, **request), count

    whole, all_steps = run(Checkpoints(None))
    for stop in (2, 1) if method == "importance" else (14, 9):
        with pytest.raises(KeyboardInterrupt):
            run(Checkpoints(tmp_path), stop)
    resumed, steps = run(Checkpoints(tmp_path))
    assert 0 < steps < all_steps
    (summary, arrays), (again, draws) = content_of(whole), content_of(resumed)
    assert again == summary
    assert arrays.keys() == draws.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(draws[name], values, err_msg=name)


def command(out, *flags):
    program = "import sys; from jaxdark.cli import main; sys.exit(main())"
    flags = ["--data", "lhcb_core", "--draws", "4000", "--seed", "5", *flags]
    return in_a_process_of_its_own("-c", program, "sample", *flags, "--out", out, stderr=subprocess.PIPE, text=True)


def contents(folder):
    return content_of(results.load(folder / "posterior.nc"))


def content_of(tree):
    """Summary without its times, and all arrays by name."""
    kept = results.summary(tree)
    del kept["seconds"]
    groups = ("posterior", "derived", "sample_stats", "log_likelihood", "posterior_predictive", "prior")
    return kept, {f"{g}/{name}": np.asarray(tree[g][name]) for g in groups for name in tree[g].data_vars}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    # Lazily: readers of results may hold files open until they are collected.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk(small_disk, tmp_path, capsys, monkeypatch):
    """One sentence, what was done stays, and the same numbers once there is space."""
    monkeypatch.setenv("JAXDARK_COMPILE_CACHE", "0")
    data = tmp_path / "toy.yaml"
    data.write_text(TOY)
    flags = ["--data", data, "--model", "constant", "--method", "importance", "--n-samples", 2**18, "--draws", 200]

    def run(out):
        code = main(["sample", *map(str, flags), "--out", str(out), "--quiet"])
        return code, capsys.readouterr().err

    assert run(tmp_path / "whole") == (0, "")
    out, partial, filler = small_disk / "result", small_disk / ".result.partial", small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    filler.write_bytes(bytes(free - 5 * 2**18))  # room for the fit and two of the four chunks
    code, said = run(out)
    assert code == 1 and "No space left on device" in said and "give the same command to resume" in said
    assert said.count("\n") == 1 and not out.exists()
    assert {path.name for path in partial.glob("*.npz")} == {"fit.npz", "importance-00001.npz", "importance-00002.npz"}
    filler.unlink()
    assert run(out) == (0, "") and not partial.exists()
    (summary, arrays), (again, draws) = contents(tmp_path / "whole"), contents(out)
    assert again == summary
    for name, values in arrays.items():
        np.testing.assert_array_equal(draws[name], values, err_msg=name)


@pytest.mark.slow
def test_kill_9_at_ten_random_moments(tmp_path):
    """Two of the ten fall into the preparation, the others into the chains, wherever they are.

    pytest -m slow tests/sampling/test_resume.py -k kill_9
    """
    generator = random.Random(7)
    partial, prepared = tmp_path / ".whole.partial", tmp_path / "prepared"
    start, first, last = time.monotonic(), None, None  # of the chains; the files go when the result is in place
    whole = command(tmp_path / "whole")
    while whole.poll() is None:
        if not prepared.exists() and (partial / "map.npz").exists():
            shutil.copytree(partial, prepared, ignore=shutil.ignore_patterns("chains*", ".*", "result", "lock"))
        if first is None and (partial / "chains-00001.npz").exists():
            first = time.monotonic()
        if last is None and (partial / "chains-00041.npz").exists():
            last = time.monotonic()
        time.sleep(0.01)
    whole.communicate()
    assert whole.returncode == 0 and last - first > 1
    summary, arrays = contents(tmp_path / "whole")
    for k in range(10):
        out = tmp_path / f"killed{k}"
        partial = tmp_path / f".killed{k}.partial"
        wait = generator.uniform(3, first - start) if k < 2 else generator.uniform(0, last - first)
        if k >= 2:
            shutil.copytree(prepared, partial)
        run = command(out)
        while k >= 2 and not (partial / "chains-00001.npz").exists():
            time.sleep(0.01)
        time.sleep(wait)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        assert run.returncode == -signal.SIGKILL and not out.exists()
        done = len(list(partial.glob("chains-*.npz")))
        run = command(out)
        _, said = run.communicate()
        assert run.returncode == 0, said
        assert k < 2 or (done > 0 and "resuming the unfinished run" in said)
        again, draws = contents(out)
        assert again == summary
        for name, values in arrays.items():
            np.testing.assert_array_equal(draws[name], values, err_msg=f"{name}, killed with {done} segments done")
        assert not partial.exists()
