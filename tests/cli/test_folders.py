"""Where commands write: every place that cannot be written is one sentence, before any work; what else they meet."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_result import complete_result

import jaxdark
from jaxdark.io import results

ROOT = Path(jaxdark.__file__).parents[1]
WRITERS = {
    "fit": ["--model", "constant"],
    "profile": ["C9=-2:1:16", "--model", "constant"],
    "sample": ["--model", "constant"],
    "scan": ["C9=-2:1:16", "C10=0", "--model", "constant"],
    "reproduce": ["--quick"],
    "compare": ["one", "two"],
    "project": ["one"],
    "plot": ["one"],
    "report": ["one"],
}
FILES = ("project", "report")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Two results."""
    folder, tree = tmp_path_factory.mktemp("results"), complete_result(chains=2, draws=30)
    for name in ("one", "two"):
        (folder / name).mkdir()
        results.save(tree, folder / name / "posterior.nc")
    return folder


@pytest.fixture
def place(shared, toy, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(shared / name)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "fit.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_cannot_be_written_is_refused(refused, place, toy, command):
    with_data = [] if command in ("reproduce", *FILES, "compare", "plot") else ["--data", toy]
    before = everything(place)
    for out in ("", ".", "..", "/", "a\nb", "\x1b[2J", "x" * 300, "dangling", "file/below", "file", "taken"):
        if out == "taken" and command == "scan":
            assert "holds another result" in refused(command, *WRITERS[command], *with_data, "--out", out)
        else:
            assert "--out" in refused(command, *WRITERS[command], *with_data, "--out", out), out
    assert everything(place) == before and (place / "taken" / "fit.json").read_text() == "mine"


@pytest.mark.parametrize("command", ["check", "constrain"])
def test_a_result_on_a_disk_that_takes_nothing_is_refused(refused, place, monkeypatch, command):
    """What adds to a result has no --out."""

    def read_only(path, flags, *args, opened=os.open, **keywords):
        if flags & os.O_CREAT and "one" in Path(path).parts:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *args, **keywords)

    monkeypatch.setattr(os, "open", read_only)
    assert "(Read-only file system); make its folder writable, or work on a copy of it" in refused(command, "one")


@pytest.mark.parametrize("command", ["check", "constrain", "plot", "report", "compare", "project"])
def test_what_is_no_result_is_refused(refused, place, command):
    for name, content in {"empty": b"", "text": b"no netCDF"}.items():
        (place / name).mkdir()
        (place / name / "posterior.nc").write_bytes(content)
        before = everything(place)
        more = ["one"] if command == "compare" else []
        assert "is not a result of `jaxdark sample`" in refused(command, name, *more)
        assert everything(place) == before


def program(*arguments, **environment):
    command = [sys.executable, "-m", "jaxdark", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAXDARK_COMPILE_CACHE": "0"} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_kind_of_device_that_is_not_there(toy):
    request = ["point", "C9=-1", "C10=0", "--model", "constant", "--data", str(toy)]
    found = program(*request, JAX_PLATFORMS="nonsense")
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr.count("\n") == 1 and "was told to use, nonsense, and found none" in found.stderr


def test_rules_for_the_users_own_code_do_not_reach_a_command(toy):
    strict = {
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_TRANSFER_GUARD": "disallow",
    }
    request = ["profile", "C9=-2:0:3", "--model", "constant", "--region", "all", "--data", str(toy)]
    found = program(*request, "--out", str(toy.parent / "profile"), "--json", **strict)
    assert found.returncode == 0, found.stderr


def test_the_package_runs_as_a_module_and_shows_what_a_stream_does_not_know():
    found = program("data", "show", "inputs", PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stderr) == (0, "") and "GF" in found.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_output_that_cannot_be_written_is_one_sentence():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "jaxdark", "data", "list"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        found = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 1
    assert found.stderr == "jaxdark: the job failed: [Errno 28] No space left on device\n"
