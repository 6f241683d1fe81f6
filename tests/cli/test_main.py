"""The command line as a program: help without JAX, version, listing of data, compile cache."""

import json
import os
import subprocess
import sys

import jax
import pytest

from jaxdark import __version__
from jaxdark.compute import xla_cache
from jaxdark.inputs import read_data
from jaxdark.measurements.dataset import dataset_names, load_dataset, load_entries


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["point", "sample", "plot", "data", "Example: jaxdark point"]),
        ([], ["point", "sample", "plot", "data"]),
        (["point", "--help"], ["--inputs", "--g-minus-2", "Example: jaxdark point m_V=5.5"]),
        (["sample", "--help"], ["--region", "--force", "Example: jaxdark sample --region high"]),
        (["plot", "--help"], ["--out", "Example: jaxdark plot"]),
        (["data", "list", "--help"], ["Example: jaxdark data list"]),
        (["data", "show", "--help"], ["Example: jaxdark data show"]),
        (["data", "check", "--help"], ["Example: jaxdark data check"]),
    ],
)
def test_help_has_an_example(jaxdark, arguments, expected):
    code, out, err = jaxdark(*arguments)
    assert (code, err) == (0, "")
    assert all(part in out for part in expected)


def test_version(jaxdark):
    assert jaxdark("--version") == (0, f"jaxdark {__version__}\n", "")


def test_help_does_not_import_jax():
    code = "import sys; from jaxdark.cli import main; main(['--help']); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_reader_that_stops_reading_is_no_error():
    code = "import sys; from jaxdark.cli import main; sys.exit(main(['data', 'list']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_data_list(jaxdark):
    listed = json.loads(jaxdark("data", "list", "--json")[1])
    assert [item["name"] for item in listed["datasets"]] == list(dataset_names())
    assert {item["name"]: item["rows"] for item in listed["datasets"]}["paper2020"] == len(load_dataset("paper2020"))
    assert [item["id"] for item in listed["entries"]] == list(load_entries())
    code, out, _ = jaxdark("data", "list")
    assert code == 0 and "LHCb_RK_2019" in out and "hepfit2019" in out


def test_data_show(jaxdark):
    shown = json.loads(jaxdark("data", "show", "LHCb_2015_S_4-6", "--json")[1])
    entry = load_entries()["LHCb_2015_S_4-6"]
    assert [row["value"] for row in shown["rows"]] == [row.value for row in entry.rows]
    assert shown["correlation"] == entry.correlation.tolist()
    scan = json.loads(jaxdark("data", "show", "LHCb_RK_2019", "--json")[1])["rows"][0]["scan"]
    assert len(scan) == 2 and len(scan[0]) == len(scan[1]) > 4
    dataset = json.loads(jaxdark("data", "show", "lhcb_core", "--json")[1])
    assert [row["id"] for row in dataset["rows"]] == list(load_dataset("lhcb_core").ids)
    inputs = json.loads(jaxdark("data", "show", "inputs", "--json")[1])
    assert inputs == read_data("inputs.yaml")["inputs"]
    for name in ("LHCb_2015_S_4-6", "lhcb_core", "inputs"):
        assert jaxdark("data", "show", name)[0] == 0
    assert "LHCb_2015_S_2.5-4/S5[2.5,4]" in jaxdark("data", "show", "lhcb_core")[1]


def test_a_good_file_passes_the_check(jaxdark, toy):
    assert jaxdark("data", "check", toy) == (0, f"{toy}: 2 rows in 2 entries, nothing wrong\n", "")


def test_the_compile_cache_is_in_the_users_folder_and_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv(xla_cache.CACHE_SWITCH, "0")
    xla_cache.use_compile_cache()
    assert jax.config.jax_compilation_cache_dir is None and not list(tmp_path.iterdir())
    monkeypatch.delenv(xla_cache.CACHE_SWITCH)
    xla_cache.use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == os.fspath(tmp_path / "jaxdark" / "xla")
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    xla_cache.use_compile_cache()
    assert jax.config.jax_compilation_cache_dir == os.fspath(tmp_path / "jaxdark" / "xla")


def test_a_cache_folder_that_cannot_be_made_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(sys, "platform", "linux")
    jax.config.update("jax_compilation_cache_dir", None)
    xla_cache.use_compile_cache()
    assert jax.config.jax_compilation_cache_dir is None
