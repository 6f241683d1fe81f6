"""Folders and files of results: whole or not at all, nothing of others touched, nothing of killed processes left."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxdark.errors import RequestError
from jaxdark.io import atomic, result_dir

ONE_STEP, TWO_STEPS = "one step", "two steps"


@pytest.fixture(params=[ONE_STEP, TWO_STEPS])
def renames(request, monkeypatch):
    """With renameat2 of Linux, and as where there is none."""
    if request.param == TWO_STEPS:
        monkeypatch.setattr(atomic, "_renameat2", lambda: None)
    elif atomic._renameat2() is None:
        pytest.skip("this system has no renameat2")
    return request.param


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "make", [result_dir.result_folder, result_dir.resumable_folder, result_dir.new_file, result_dir.holds_result]
)
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "name of a new file or folder, got ''"),
        ("  ", "name of a new file or folder, got '  '"),
        (".", "name of a new file or folder, got '.'"),
        ("..", "name of a new file or folder, got '..'"),
        ("a/..", "name of a new file or folder, got 'a/..'"),
        ("/", "name of a new file or folder, got '/'"),
        ("two\nlines", "printable characters, got 'two\\nlines'"),
        ("\x1b[2J", "printable characters, got '\\x1b[2J'"),
        ("\udcff", "printable characters, got '\\udcff'"),
        ("x" * 201, "at most 200 bytes"),
        ("ü" * 127, "at most 200 bytes"),
        ("dangling", "dangling is a link to nowhere, where nothing is"),
        ("file/below", "file/below"),
        ("y" * 300 + "/result", "File name too long"),
    ],
)
def test_names_that_cannot_be_written_are_refused(tmp_path, monkeypatch, make, name, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("mine")
    if make is result_dir.holds_result and name[0:1] == "y":
        pytest.skip("the lock of a store says so")
    with pytest.raises(RequestError) as refused:
        context = make(name)
        with context:
            pass
    assert sentence in str(refused.value) and "--out" in str(refused.value)
    assert names(tmp_path) == ["dangling", "file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("meanwhile", ["empty folder", "folder", "file"])
def test_what_is_made_meanwhile_is_left_alone(tmp_path, renames, meanwhile):
    path = tmp_path / "result"
    with (
        pytest.raises(RequestError, match="made by somebody else while the work was done"),
        result_dir.result_folder(path) as folder,
    ):
        (folder / "fit.json").write_text("ours")
        if meanwhile == "file":
            path.write_text("mine")
        else:
            path.mkdir()
            if meanwhile == "folder":
                (path / "fit.json").write_text("mine")
    assert names(tmp_path) == ["result"]
    if meanwhile == "file":
        assert path.read_text() == "mine"
    else:
        assert names(path) == (["fit.json"] if meanwhile == "folder" else [])


def test_a_file_made_meanwhile_is_left_alone(tmp_path, renames):
    path = tmp_path / "future.yaml"
    with pytest.raises(RequestError, match="made by somebody else"), result_dir.new_file(path) as part:
        part.write_text("ours")
        path.write_text("mine")
    assert names(tmp_path) == ["future.yaml"] and path.read_text() == "mine"
    with result_dir.new_file(path, replace=True) as part:
        part.write_text("ours")
    assert names(tmp_path) == ["future.yaml"] and path.read_text() == "ours"


def older_result(path):
    """A folder of a result with everything that commands add to it, and with things of the user's."""
    (path / "mine" / "deep").mkdir(parents=True)
    (path / "mine" / "deep" / "note").write_text("mine")
    (path / "link").symlink_to("mine")
    for name in ("posterior.nc", "summary.json", "report.html", "corner.png", "fit.json", "notes.txt", "my.nc"):
        (path / name).write_text("older")


def test_force_replaces_a_result_whole_and_keeps_what_is_not_of_jaxdark(tmp_path, renames):
    path = tmp_path / "result"
    older_result(path)
    with result_dir.result_folder(path, force=True) as folder:
        (folder / "profile.nc").write_text("new")
        assert "posterior.nc" in names(path)  # until the new one is done
    assert names(path) == ["link", "mine", "my.nc", "notes.txt", "profile.nc"]
    assert (path / "link" / "deep" / "note").read_text() == "mine" and (path / "link").is_symlink()
    assert names(tmp_path) == ["result"]


def test_force_through_a_link_keeps_the_link(tmp_path, renames):
    older_result(tmp_path / "disk" / "result")
    link = tmp_path / "result"
    link.symlink_to("disk/result")
    with result_dir.result_folder(link, force=True) as folder:
        (folder / "fit.json").write_text("new")
    assert link.is_symlink() and (tmp_path / "disk" / "result" / "fit.json").read_text() == "new"
    assert names(tmp_path / "disk") == ["result"]


def test_a_run_that_fails_costs_nothing_of_the_older_result(tmp_path, renames, monkeypatch):
    path = tmp_path / "result"
    older_result(path)
    before = names(path)
    with pytest.raises(OSError, match="full"), result_dir.result_folder(path, force=True) as folder:
        (folder / "posterior.nc").write_text("half")
        raise OSError(28, "the disk is full")
    assert names(path) == before and (path / "posterior.nc").read_text() == "older"
    original = Path.rename

    def stopped(self, target):
        if self.name == "result" and self.parent != tmp_path:  # the second of two steps
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(Path, "rename", stopped)
    if renames == TWO_STEPS:
        with pytest.raises(KeyboardInterrupt), result_dir.result_folder(path, force=True) as folder:
            (folder / "posterior.nc").write_text("new")
        assert names(path) == before and (path / "posterior.nc").read_text() == "older"
    assert names(tmp_path) == ["result"]


def test_a_reader_never_sees_two_results_at_once(tmp_path):
    path, mixed, stop = tmp_path / "result", [], threading.Event()

    def write(number):
        with result_dir.result_folder(path, force=True) as folder:
            for name in ("posterior.nc", "summary.json"):
                (folder / name).write_text(str(number))

    def content(name, folder):
        with open(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:
            return file.read()

    def read():
        while not stop.is_set():
            opened = os.open(path, os.O_RDONLY)  # never fails: the folder is there at every moment
            try:
                first, second = (content(name, opened) for name in ("posterior.nc", "summary.json"))
                mixed.extend([(first, second)] if first != second else [])
            except FileNotFoundError:
                pass  # the older folder is being removed: no file, not one of another result
            finally:
                os.close(opened)

    if atomic._renameat2() is None:
        pytest.skip("this system has no renameat2")
    write(0)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 100):
        write(number)
    stop.set()
    reader.join()
    assert not mixed and (path / "posterior.nc").read_text() == "99"


AT_WORK = """
import sys, time
from jaxdark.io import result_dir
with getattr(result_dir, sys.argv[1])(sys.argv[2]) as at:
    print("at work", flush=True)
    time.sleep(60)
"""


def start(kind, path):
    process = subprocess.Popen([sys.executable, "-c", AT_WORK, kind, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.parametrize("kind", ["result_folder", "new_file"])
def test_what_killed_processes_left_goes_and_what_living_ones_have_stays(tmp_path, kind):
    path = tmp_path / "result"
    killed, living = start(kind, path), start(kind, path)
    mine = tmp_path / ".result.notes"
    mine.mkdir()
    (tmp_path / ".result.0123abcd").mkdir()  # killed before its lock was there
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(names(tmp_path)) == 4
        with result_dir.result_folder(path):
            pass
        assert "result" in names(tmp_path) and ".result.notes" in names(tmp_path) and len(names(tmp_path)) == 3
    finally:
        for process in (killed, living):
            process.kill()
            process.wait()
            process.stdout.close()
    with result_dir.result_folder(path, force=True):
        pass
    assert names(tmp_path) == [".result.notes", "result"]


def test_a_folder_that_was_moved_aside_by_a_killed_process_comes_back(tmp_path):
    place = tmp_path / ".result.0123abcd"
    older_result(place / "former")
    (place / "lock").touch()
    with pytest.raises(OSError), result_dir.result_folder(tmp_path / "result"):
        assert "posterior.nc" in names(tmp_path / "result")
        raise OSError
    assert names(tmp_path) == ["result"]


def test_changes_wait_for_each_other(tmp_path):
    file = tmp_path / "posterior.nc"
    file.write_text("0")

    def add():
        for _ in range(20):
            with atomic.changing(file) as mine:
                number = int(file.read_text())
                time.sleep(0.001)
                assert mine
                file.write_text(str(number + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() == "80" and names(tmp_path) == ["posterior.nc"]
    with atomic.changing(file), atomic.changing(file, wait=False) as mine:
        assert not mine


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_must_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(RequestError, match="Permission denied"), result_dir.result_folder(tmp_path / "result"):
            pass
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("number", [30, 28, 122, 13])
def test_a_disk_that_takes_nothing_is_a_wrong_request(tmp_path, monkeypatch, number):
    def refuse(self, *args, **keywords):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    for make in (result_dir.result_folder, result_dir.resumable_folder, result_dir.new_file):
        with pytest.raises(RequestError, match=os.strerror(number)), make(tmp_path / "result"):
            pass
    assert not names(tmp_path)
