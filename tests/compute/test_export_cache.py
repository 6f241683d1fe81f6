"""Files of traced programs: read again where nothing that fixes them has changed; any failure is a cache miss."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near

import jaxdark as jd
from jaxdark import _version
from jaxdark.compute import export_cache, xla_cache
from jaxdark.compute.aot import AotFunction
from jaxdark.constraints.limit import LimitResult
from jaxdark.models.base import Model
from jaxdark.models.wilson import NewPhysics

pytest.importorskip("flatbuffers", reason="what jax.export writes with")
X = np.array([0.3, 1.2])


@pytest.fixture
def folder(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "jaxdark-programs"
    jax.config.update("jax_compilation_cache_dir", before)


class Counted:
    """A function that counts its traces."""

    def __init__(self, factor=2.0):
        self.traces, self.factor = 0, factor

    def __call__(self, model, x):
        self.traces += 1
        constant = np.arange(2.0)
        return {"C9": model.C9, "rest": [self.factor * x + constant, (None, x.sum())]}


def call(closure, factor=2.0, model=None, x=X):
    """Result and number of traces of a program as a new process would make it."""
    function = Counted(factor)
    return AotFunction(function, closure=closure)(model or jd.ConstantWilson(C9=-0.5, C10=0.1), x), function.traces


def test_a_kept_program_is_not_traced_and_gives_the_same_bits(folder):
    (first, once), (again, more) = call(("a", 1)), call(("a", 1))
    assert (once, more) == (1, 0) and len(list(folder.iterdir())) == 1
    assert jax.tree.structure(first) == jax.tree.structure(again) and again["C9"] == -0.5
    jax.tree.map(np.testing.assert_array_equal, first, again)
    np.testing.assert_array_equal(again["rest"][0], 2.0 * X + [0.0, 1.0])


def test_new_values_need_no_new_program_but_new_shapes_do(folder):
    call(("a",))
    other, traces = call(("a",), x=X + 1)
    assert traces == 0 and other["rest"][1][1] == near(X.sum() + 2)
    with pytest.raises(TypeError):
        call(("a",), x=np.ones(3))
    assert call(("a",), x=X.astype(np.float32))[1] == 1


@pytest.mark.parametrize(
    "closure",
    [("a", 2), ("a", 1.0), ("a", True), ("b", 1), ["a", 1], ("a", 1, None), ("a", np.array(1)), ("a", "1"), {"a": 1}],
)
def test_what_is_closed_over_tells_programs_apart(folder, closure):
    call(("a", 1))
    assert call(closure, factor=3.0)[0]["rest"][0][0] == near(3 * X[0])


@pytest.mark.parametrize("change", ["code", "version", "setting"])
def test_another_code_version_or_setting_is_another_program(folder, monkeypatch, change):
    call(("a",))
    if change == "code":
        monkeypatch.setattr(_version, "CODE", "other")
    if change == "version":
        monkeypatch.setattr(_version, "_version", lambda name: "9")
    with jax.default_matmul_precision("float32" if change == "setting" else None):
        assert call(("a",))[1] == 1


def test_the_last_bit_of_an_array_counts(folder):
    assert export_cache.cache_path((X,), ()) != export_cache.cache_path((np.nextafter(X, 2),), ())
    assert export_cache.cache_path((X,), ()) == export_cache.cache_path((X.copy(),), ())


class Mine(Model):
    """A user's model, whose code is not this package's."""

    C9: float

    def new_physics(self, sm):
        return NewPhysics()

    def muon_couplings(self):
        return None


class Record(NamedTuple):
    a: float


class Registered(NamedTuple):
    a: float


@pytest.mark.parametrize(
    "closure, model", [(("a",), Mine(C9=1.0)), ((Record(1.0),), None), ((len,), None), ((np.array([None]),), None)]
)
def test_what_the_package_does_not_know_is_not_kept(folder, closure, model):
    assert call(closure, model=model)[1] == call(closure, model=model)[1] == 1
    assert not folder.exists()


@pytest.mark.parametrize("cls", [Record, LimitResult, lambda x: jd.ConstantWilson(C9=x[0], C10=x[1])])
def test_a_result_of_other_classes_than_pythons_own_is_not_stored(folder, cls):
    """So that no file can name one."""
    program = AotFunction(lambda x: cls(*([x] * (3 if cls is LimitResult else 1))), closure=("a",))
    np.testing.assert_array_equal(jax.tree.leaves(program(X))[0], X if isinstance(cls, type) else X[0])
    assert not folder.exists()


def test_without_a_compile_cache_nothing_is_kept(folder):
    jax.config.update("jax_compilation_cache_dir", None)
    assert call(("a",))[1] == call(("a",))[1] == 1
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped", "other", "folder"])
def test_a_damaged_file_is_replaced(folder, damage):
    expected = call(("a",))[0]["rest"][0]
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "other":
        np.savez(path, program=np.zeros(10, np.uint8))
    else:
        middle = len(whole) // 2
        broken = {"cut": whole[:middle], "empty": b"", "text": b"no program",
                  "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]}  # fmt: skip
        path.write_bytes(broken[damage])
    found, traces = call(("a",))
    assert traces == 1
    np.testing.assert_array_equal(found["rest"][0], expected)
    assert call(("a",))[1] == (1 if damage == "folder" else 0)
    assert not list(folder.glob("*.part"))


def with_other_constants(path):
    """Without a hash that belongs to them."""
    content, constant = path.read_bytes(), np.arange(2.0).tobytes()
    assert content.count(constant) == 1
    path.write_bytes(content.replace(constant, np.arange(2.0, 4.0).tobytes()))


def with_content(path, content):
    """With the hash that belongs to it, as whoever may write the user's files could make it."""
    path.write_bytes(export_cache._digest(path, content) + content)


class Unpickled:
    def __reduce__(self):
        return exec, ("import antigravity",)


def with_a_pickle(path):
    array = io.BytesIO()
    np.save(array, np.array([Unpickled()], dtype=object), allow_pickle=True)
    with_content(path, array.getvalue())


def with_an_archive(path):
    archive = io.BytesIO()
    np.savez_compressed(archive, np.zeros(2**20))
    with_content(path, archive.getvalue())


def with_a_larger_array_than_there_is(path):
    array = io.BytesIO()
    np.save(array, np.zeros(2, np.uint8))
    with_content(path, array.getvalue().replace(b"(2,), }          ", b"(200000000000,)} "))


def with_the_name_of_a_class(path):
    """Where a program's result is of a class that JAX was told to write by name."""
    jax.export.register_namedtuple_serialization(Registered, serialized_name="test_recordings")
    program = jax.export.export(jax.jit(lambda constants, *leaves: Registered(leaves[0])))([], np.array(-0.5), X)
    array = io.BytesIO()
    np.save(array, np.frombuffer(program.serialize(), np.uint8))
    assert array.getvalue().count(b"test_recordings") == 1
    with_content(path, array.getvalue().replace(b"test_recordings", b"antigravity:Fly"))


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def linked(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def writable_by_others(path):
    with_other_constants(path)
    path.chmod(0o666)


def too_large(path):
    with path.open("r+b") as file:
        file.truncate(export_cache._LARGEST + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="what a file system there does not have")
@pytest.mark.parametrize(
    "change",
    [
        with_other_constants,
        with_a_pickle,
        with_an_archive,
        with_a_larger_array_than_there_is,
        with_the_name_of_a_class,
        pipe,
        endless,
        linked,
        writable_by_others,
        too_large,
    ],
)
def test_a_file_that_is_not_what_was_kept_is_as_if_it_were_not_there(folder, change):
    expected = call(("a",))[0]["rest"][0]
    (path,) = folder.iterdir()
    change(path)
    found, traces = call(("a",))
    assert traces == 1 and "antigravity" not in sys.modules
    np.testing.assert_array_equal(found["rest"][0], expected)


def test_a_program_under_the_name_of_another_is_not_taken(folder):
    call(("a",))
    (path,) = folder.iterdir()
    call(("b",), factor=3.0)
    (other,) = set(folder.iterdir()) - {path}
    other.replace(path)
    assert call(("a",))[0]["rest"][0][0] == near(2 * X[0])


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files")
def test_what_is_kept_is_nobody_elses(folder):
    """Also in a folder that had been open to others, which is not read before it is closed to them."""
    call(("a",))
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o077 == 0 and folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)
    assert call(("a",))[1] == 1
    assert folder.stat().st_mode & 0o022 == 0 and call(("a",))[1] == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners of files")
def test_the_compile_cache_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(xla_cache.CACHE_SWITCH, raising=False)
    monkeypatch.setattr(xla_cache, "_user_cache", lambda: tmp_path)
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        xla_cache.use_compile_cache()
        made = tmp_path / "jaxdark" / "xla"
        assert jax.config.jax_compilation_cache_dir == str(made) and made.stat().st_mode & 0o777 == 0o700
        for other in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            jax.config.update("jax_compilation_cache_dir", None)
            other(made / "jit_f-0-cache")
            xla_cache.use_compile_cache()
            assert jax.config.jax_compilation_cache_dir is None
            (made / "jit_f-0-cache").unlink()
        monkeypatch.setattr(os, "geteuid", lambda: made.stat().st_uid + 1)
        xla_cache.use_compile_cache()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_without_jit_a_function_is_called_as_it_is(folder):
    with jax.disable_jit():
        first, second = call(("a",)), call(("a",))
    assert first[1] == second[1] == 1 and not folder.exists()
    np.testing.assert_allclose(first[0]["rest"][0], 2.0 * X + [0.0, 1.0], rtol=1e-15)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(folder):
    folder.parent.chmod(0o500)
    assert call(("a",))[1] == 1


def test_a_file_in_place_of_the_folder(folder):
    folder.write_text("")
    assert call(("a",))[1] == call(("a",))[1] == 1


def test_writers_at_once_leave_one_whole_file(folder):
    threads = [threading.Thread(target=call, args=(("a",),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.suffix for path in folder.iterdir()] == [""]
    assert call(("a",))[1] == 0


def test_what_was_not_used_for_longest_goes(folder, monkeypatch):
    monkeypatch.setattr(export_cache, "_MOST_FILES", 2)
    call(("a",))
    (first,) = folder.iterdir()
    call(("b",))
    (second,) = set(folder.iterdir()) - {first}
    os.utime(first, (1, 1))
    call(("a",))  # is used again
    os.utime(second, (1, 1))
    call(("c",))
    assert first.exists() and not second.exists() and len(list(folder.iterdir())) == 2


def test_a_program_may_run_while_another_is_traced(folder):
    def outer(y):
        return y + AotFunction(lambda x: jnp.sin(x), closure=("sin",))(X)

    for _ in range(2):
        np.testing.assert_allclose(jax.jit(outer)(1.0), 1.0 + np.sin(X), rtol=1e-14)


def test_a_second_process_traces_nothing_of_a_point(tmp_path):
    code = """
import json, sys, jax, jaxdark as jd
from jaxdark.compute import aot
from jaxdark.analysis.point import point_record
jd.enable_x64()
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
traced, original = [], aot._traced
aot._traced = lambda function, args: traced.append(function.__name__) or original(function, args)
like = jd.Likelihood(jd.load_dataset(sys.argv[2]))
model = jd.DarkSector(m_V=5.5, g_mu_V=0.03, r_AV=-0.4, g_D=1.0, r=-3.0)
record = point_record("split", model, like, [3.5])
print(json.dumps([traced, record]))
"""
    from toy_data import TOY

    (tmp_path / "toy.yaml").write_text(TOY)
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "cache"), str(tmp_path / "toy.yaml")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(jd.__file__).parents[1]), *sys.path])}
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    (once, record), (again, same) = map(json.loads, (first, second))
    assert {"linear", "beside_the_fit", "at_nodes"} <= set(once) and same == record
    assert set(again) == {"record"}  # a user's model may be anything
