"""Chunks over a cluster of spawned workers on this machine, some of them killed, and one program on two processes."""

import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from scan_worker import OUTPUTS, content, toy_likelihood
from toy_data import TOY_OF_THREE

import jaxdark as jd
import jaxdark.sampling.sample
from jaxdark.compute.batch import batched
from jaxdark.compute.cluster import ClusterError, map_chunks, threads
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.likelihood.priors import prior_of, prior_points
from jaxdark.sampling.flow import TrainingRound, train_flow

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))


@pytest.fixture(scope="module")
def cluster():
    os.environ["PYTHONPATH"] = PATH
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as found:  # fmt: skip
        yield found


@pytest.fixture
def two_workers(cluster):
    cluster.scale(2)
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2)
    yield cluster
    cluster.scale(1)


def in_double_precision(chunk):
    return chunk, jax.numpy.asarray(chunk / 3).dtype.name, threads()


class FailsOnce:
    """Ends the first attempt at each chunk, by an error or with the whole process."""

    def __init__(self, folder, *, fatal):
        self.folder, self.fatal = folder, fatal

    def __call__(self, chunk):
        try:
            (self.folder / str(chunk)).touch(exist_ok=False)
        except FileExistsError:
            return chunk**2
        if self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("not today")


def always_fails(chunk):
    raise RuntimeError(f"never {chunk}")


def test_in_this_process_chunks_come_in_order():
    taken = []

    def chunks():
        for chunk in itertools.count():
            taken.append(chunk)
            yield chunk

    found = itertools.islice(map_chunks(lambda chunk: chunk + 1, chunks()), 3)
    assert list(found) == [(0, 1), (1, 2), (2, 3)]
    assert taken == [0, 1, 2]
    assert threads() is None


def test_workers_compute_in_double_precision_and_know_their_threads(cluster):
    found = dict(map_chunks(in_double_precision, range(5), scheduler=cluster))
    assert found == {chunk: (chunk, "float64", 1) for chunk in range(5)}


def test_chunks_are_taken_as_workers_get_free(cluster):
    taken = []

    def chunks():
        for chunk in itertools.count():
            taken.append(chunk)
            yield chunk

    found = map_chunks(in_double_precision, chunks(), scheduler=cluster.scheduler_address)
    assert len(list(itertools.islice(found, 5))) == 5
    found.close()
    assert len(taken) <= 5 + 2


@pytest.mark.parametrize("fatal", [False, True], ids=["error", "death"])
def test_what_fails_once_is_done_again(two_workers, tmp_path, fatal):
    found = dict(map_chunks(FailsOnce(tmp_path, fatal=fatal), range(2), scheduler=two_workers))
    assert found == {0: 0, 1: 1}
    assert len(list(tmp_path.iterdir())) == 2


def test_results_that_are_lost_with_their_workers_are_made_again(two_workers):
    with distributed.Client(two_workers) as client:
        found = map_chunks(abs, range(4), scheduler=client)  # four at once: two for each thread
        first = next(found)
        deadline = time.monotonic() + 60
        while sum("_applied" in str(key) for key in client.who_has()) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        there = client.run(os.getpid)
        for pid in there.values():
            os.kill(pid, signal.SIGKILL)
        while there.keys() & client.nthreads().keys():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert dict([first, *found]) == {chunk: chunk for chunk in range(4)}


def test_what_always_fails_ends_the_job(cluster):
    with pytest.raises(ClusterError, match="chunk 7 failed on the cluster .*RuntimeError: never 7"):
        list(map_chunks(always_fails, [7], scheduler=cluster))


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("jaxdark.compute.cluster._TIMEOUT", 1)
    for address in ("tcp://127.0.0.1:1", "not an address"):
        with pytest.raises(jd.RequestError, match="expected the address of a Dask scheduler"):
            list(map_chunks(abs, [1], scheduler=address))


def test_no_distributed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(jd.RequestError, match=r'pip install "jaxdark\[scan\]"'):
        list(map_chunks(abs, [1], scheduler="tcp://127.0.0.1:1"))


def test_a_scan_with_one_and_two_workers_one_of_them_killed(cluster, tmp_path):
    like, request = toy_likelihood(tmp_path), {"sobol": 700, "chunk": 128, "outputs": OUTPUTS}
    jd.scan(like, out=tmp_path / "here", **request)
    jd.scan(like, out=tmp_path / "one", scheduler=cluster, **request)
    cluster.scale(2)
    killed = []

    def kill(stage, done, total):
        if done and not killed:
            pids = client.run(os.getpid)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

    with distributed.Client(cluster) as client:
        client.wait_for_workers(2)
        jd.scan(like, out=tmp_path / "two", scheduler=client, report=kill, **request)
    assert killed
    assert content(tmp_path / "one") == content(tmp_path / "here")
    assert content(tmp_path / "two") == content(tmp_path / "here")


CONSTANT = prior_of("all", "constant")


def test_fits_to_pseudo_data_are_those_of_one_process(cluster, tmp_path):
    like, seen = toy_likelihood(tmp_path, TOY_OF_THREE), []
    request = {"prior": CONSTANT, "n_starts": 8, "toys": 200, "seed": 3}
    here = jd.fit(like, **request).to_dict()
    there = jd.fit(like, **request, scheduler=cluster, report=lambda *stage: seen.append(stage)).to_dict()
    assert there == here and here["pseudo_data"]["sets"] == 200
    assert seen[-1] == ("pseudo-data", 200, 200)
    assert {done for stage, done, _ in seen if stage == "pseudo-data"} > {0, 200}  # in more than one chunk


@pytest.fixture
def small_map(monkeypatch):
    """A map that is learned in a second, and serves badly."""
    rounds = {"exploration": TrainingRound(20, 2**9), "refinement": (TrainingRound(20, 2**9),)}
    monkeypatch.setattr(jaxdark.sampling.sample, "train_flow", partial(train_flow, n_prior=2**10, **rounds))


def test_chains_are_those_of_one_process_and_finished_ones_are_kept(cluster, small_map, tmp_path):
    like, folder, seen = toy_likelihood(tmp_path), tmp_path / "kept", []
    request = {"prior": CONSTANT, "chains": 2, "draws": 100, "warmup": 100, "seed": 3}

    def stop(stage, done, total):
        if (stage, done) == ("chains", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jd.sample(like, **request, scheduler=cluster, report=stop, checkpoints=Checkpoints(folder))
    assert len(list(folder.glob("chain-*.npz"))) == 1
    shutil.copytree(folder, tmp_path / "copy")
    report = lambda *stage: seen.append(stage)  # noqa: E731
    there = jd.sample(like, **request, scheduler=cluster, report=report, checkpoints=Checkpoints(folder))
    assert [done for stage, done, _ in seen if stage == "chains"] == [2]
    here = jd.sample(like, **request, checkpoints=Checkpoints(tmp_path / "copy"))  # takes fit and map alone
    for group in ("posterior", "sample_stats", "log_likelihood"):
        for name, values in here[group].items():
            np.testing.assert_array_equal(there[group][name], values)
    assert np.ptp(here["posterior"]["C9"].values, axis=1).all()


def test_a_scheduler_that_has_nothing_to_do_is_refused(tmp_path):
    like = toy_likelihood(tmp_path)
    with pytest.raises(jd.RequestError, match="runs the chains of the method nuts, got the method importance"):
        jd.sample(like, method="importance", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(jd.RequestError, match="fits sets of pseudo-data, got one and 0 sets"):
        jd.fit(like, toys=0, scheduler="tcp://127.0.0.1:1")


PROCESS = """
import sys, numpy as np, jax
index, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index, local_device_ids=[0])
import jaxdark as jd
from jaxdark.likelihood.priors import prior_points
from jaxdark.likelihood.priors import prior_of
from jaxdark.compute.batch import sharded
from scan_worker import toy_likelihood
assert (jax.device_count(), jax.local_device_count()) == (2, 1)
like, prior = toy_likelihood(folder), prior_of("high", physics="paper")
points = prior_points(5, 512, 0)[:500]
values = sharded(lambda u: like(prior.model(prior.vector(u))), batch=128)(points)
np.save(f"{folder}/values.npy", values)
"""


def test_one_program_on_two_processes(tmp_path):
    """Each has half of the points and gets all values, those of one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": PATH}
    folders = [tmp_path / str(index) for index in range(2)]
    processes = []
    for index, folder in enumerate(folders):
        folder.mkdir()
        command = [sys.executable, "-c", PROCESS, str(index), str(port), str(folder)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    like, prior = toy_likelihood(tmp_path), prior_of("high", physics="paper")
    points = prior_points(5, 512, 0)[:500]
    expected = batched(lambda u: like(prior.model(prior.vector(u))), batch=128)(points)
    for folder in folders:
        assert np.array_equal(np.load(folder / "values.npy"), expected)


OTHER_CODE = """
import sys
import jaxdark._version
jaxdark._version.CODE = "0" * 64
from distributed.cli.dask_worker import main
main(sys.argv[1:])
"""


def test_a_worker_with_another_code_is_refused_by_name(cluster):
    """Its jaxdark has the same version and other code; it joins, and nothing is asked of it."""
    command = [sys.executable, "-c", OTHER_CODE, cluster.scheduler_address, "--name", "stranger", "--no-dashboard"]
    # Without a nanny, which would start a process of its own with the right code.
    worker = subprocess.Popen(
        [*command, "--nthreads", "1", "--no-nanny"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with distributed.Client(cluster) as client:
            found, end = [], time.monotonic() + 60
            while not found and time.monotonic() < end:
                time.sleep(0.1)
                workers = client.scheduler_info(n_workers=-1)["workers"]
                found = [address for address, about in workers.items() if about["id"] == "stranger"]
            (stranger,) = found
            with pytest.raises(jd.RequestError, match=f"got {stranger} with jaxdark_code 0000000000000000 .here"):
                list(map_chunks(abs, range(20), scheduler=client))
    finally:
        worker.terminate()
        worker.wait()


def test_a_worker_that_joins_later_is_asked_too(cluster, monkeypatch):
    """Each chunk brings along what its worker must have."""
    monkeypatch.setattr("jaxdark.compute.cluster._check_workers", lambda client: None)
    monkeypatch.setattr("jaxdark._version._version", lambda name: "99")
    with pytest.raises(jd.RequestError, match=r"got tcp://.* with jax [0-9.]+ \(here 99\).*install the same there"):
        list(map_chunks(abs, [1], scheduler=cluster))


def test_a_lost_scheduler_is_one_sentence(monkeypatch):
    """At whatever the client asks of it."""

    def lost(*_, **__):
        raise distributed.comm.core.CommClosedError("in <TCP (closed) ConnectionPool.ncores>")

    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as here:
        with distributed.Client(here) as client:
            for ask in ("run", "nthreads", "submit"):
                with monkeypatch.context() as patch:
                    patch.setattr(client, ask, lost)
                    with pytest.raises((ClusterError, jd.RequestError), match="scheduler is lost; start it again"):
                        list(map_chunks(abs, [1], scheduler=client))


def test_of_a_killed_scheduler_nothing_else_is_said():
    """Not what its client logs while it tries to reach it again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address, quiet = f"tcp://127.0.0.1:{port}", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    commands = (
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"],
        [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"],
    )
    environment = os.environ | {"PYTHONPATH": PATH}
    started = [subprocess.Popen(command, env=environment, **quiet) for command in commands]
    logged = []
    handler = logging.Handler()
    handler.emit = logged.append
    logging.getLogger("distributed.client").addHandler(handler)
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            threading.Timer(2.0, started[0].kill).start()  # while results are waited for
            with pytest.raises(ClusterError, match="scheduler is lost; start it again"):
                list(map_chunks(time.sleep, [60, 60], scheduler=client))
    finally:
        logging.getLogger("distributed.client").removeHandler(handler)
        for process in started:
            process.kill()
            process.wait()
    assert logged == []
