"""What an unfinished run keeps: whole files, one process at a time, and only for the settings it was begun with."""

import fcntl
import resource
import shutil

import numpy as np
import pytest

from jaxdark.errors import RequestError
from jaxdark.io import result_dir
from jaxdark.io.checkpoints import Checkpoints, file_lock, numbered

SETTINGS = {"seed": 1, "prior": {"m_V": (2.0, 15.0)}}


def test_arrays_come_back_to_the_bit(tmp_path):
    arrays = {"draws": np.random.default_rng(0).random((3, 4)), "count": np.array(7)}
    Checkpoints(tmp_path).save("map", arrays)
    loaded = Checkpoints(tmp_path).load("map")
    assert loaded.keys() == arrays.keys()
    assert all(np.array_equal(loaded[name], value) for name, value in arrays.items())
    assert Checkpoints(tmp_path).load("fit") is None


def test_a_series_ends_at_its_first_gap(tmp_path):
    store = Checkpoints(tmp_path)
    for k in (1, 2, 4):
        store.save(numbered("chains", k), {"k": np.array(k)})
    assert [int(part["k"]) for part in store.series("chains")] == [1, 2]


def test_without_a_folder_nothing_is_kept():
    store = Checkpoints(None)
    store.begin(SETTINGS)
    store.save("map", {"a": np.zeros(1)})
    assert store.load("map") is None and store.series("map") == []


def test_only_the_run_that_was_begun_is_resumed(tmp_path):
    said = []
    folder = tmp_path / "run"
    store = Checkpoints(folder, say=said.append)
    store.begin(SETTINGS)
    store.begin(SETTINGS | {"seed": 2})  # nothing is lost: there is nothing yet
    store.save("map", {"a": np.zeros(1)})
    with pytest.raises(RequestError, match=r"other settings \(seed: 2, now 1\); give the same ones to resume it"):
        store.begin(SETTINGS)
    assert not said and store.load("map") is not None
    store.begin(SETTINGS | {"seed": 2})
    assert said == [f"resuming the unfinished run kept in {folder}"]
    Checkpoints(folder, restart=True).begin(SETTINGS)
    assert store.load("map") is None


def test_a_damaged_file_is_named(tmp_path):
    store = Checkpoints(tmp_path)
    store.save("map", {"a": np.arange(1000.0)})
    content = bytearray((tmp_path / "map.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "map.npz").write_bytes(content)
    with pytest.raises(RequestError, match="map.npz"):
        store.load("map")


def test_a_disk_that_is_full_costs_nothing_that_was_there(tmp_path):
    """A limit on the size of files stands for it: the write ends in the middle with an OSError."""
    store = Checkpoints(tmp_path)
    store.save("map", {"a": np.zeros(10)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.save("map", {"a": np.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert np.array_equal(store.load("map")["a"], np.zeros(10))
    assert [path.name for path in tmp_path.iterdir()] == ["map.npz"]


def test_one_process_at_a_time(tmp_path):
    lock = tmp_path / "lock"
    with file_lock(lock, tmp_path):
        with pytest.raises(RequestError, match=f"another process works on {tmp_path}"), file_lock(lock, tmp_path):
            pass
    with file_lock(lock, tmp_path):
        pass


def test_a_lock_removed_between_opening_and_locking_is_taken_anew(tmp_path, monkeypatch):
    """The former holder removes its lock as it ends; who had opened that file before must not count it as held."""
    lock, flock, others = tmp_path / "lock", fcntl.flock, []

    def late(file, how):
        if not others:
            lock.unlink()
            others.append(lock.open("w"))
            flock(others[0], fcntl.LOCK_EX)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(RequestError, match="another process works on"), file_lock(lock, tmp_path):
        pass
    others[0].close()
    with file_lock(lock, tmp_path):
        lock.unlink()
    with file_lock(lock, tmp_path):
        pass


def test_a_lock_is_no_way_to_another_file(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with (
        pytest.raises(RequestError, match="expected a place that can be written"),
        file_lock(tmp_path / "lock", tmp_path),
    ):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_in_a_folder_that_is_gone_makes_it_again(tmp_path):
    with file_lock(tmp_path / "folder" / "lock", tmp_path / "folder"):
        shutil.rmtree(tmp_path / "folder")
    with file_lock(tmp_path / "folder" / "lock", tmp_path / "folder"):
        assert (tmp_path / "folder" / "lock").exists()


def test_an_interrupted_run_is_found_again_and_leaves_nothing_when_it_is_done(tmp_path):
    path, said = tmp_path / "deep" / "result", []
    with pytest.raises(KeyboardInterrupt) as stop, result_dir.resumable_folder(path) as (stage, store):
        store.begin(SETTINGS)
        store.save("map", {"a": np.arange(3)})
        (stage / "half").write_text("half")
        raise KeyboardInterrupt
    assert "give the same command to resume" in stop.value.__notes__[0]
    assert [part.name for part in path.parent.iterdir()] == [".result.partial"]
    with result_dir.resumable_folder(path, say=said.append) as (stage, store):
        store.begin(SETTINGS)
        assert np.array_equal(store.load("map")["a"], np.arange(3)) and not list(stage.iterdir())
        (stage / "whole").write_text("whole")
    assert len(said) == 1
    assert [part.name for part in path.parent.iterdir()] == ["result"]
    assert [part.name for part in path.iterdir()] == ["whole"]


def test_a_run_stopped_before_anything_was_kept_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt) as stop,
        result_dir.resumable_folder(tmp_path / "deep" / "result") as (_, store),
    ):
        store.begin(SETTINGS)
        raise KeyboardInterrupt
    assert not hasattr(stop.value, "__notes__") and not list(tmp_path.iterdir())


def test_checkpoints_survive_a_refusal(tmp_path):
    path = tmp_path / "result"
    with pytest.raises(OSError), result_dir.resumable_folder(path) as (_, store):
        store.save("map", {"a": np.arange(3)})
        raise OSError
    path.mkdir()
    with pytest.raises(RequestError, match="exists"), result_dir.resumable_folder(path):
        pass
    assert (tmp_path / ".result.partial" / "map.npz").is_file()
