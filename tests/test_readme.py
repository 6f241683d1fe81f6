"""The README keeps its word: its Python runs, its shell blocks are what newcomers need, its names exist."""

import re
import tomllib
from pathlib import Path

import pytest
from scan_worker import toy_likelihood
from synthetic_result import synthetic_result
from toy_data import TOY_OF_THREE

import jaxdark
from jaxdark.cli import app, main
from jaxdark.io.results import save
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import PRIORS, prior_of
from jaxdark.measurements.dataset import check_file, dataset_names, load_dataset

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = [command.callback.__name__ for command in app.registered_commands]


def blocks(*languages):
    return re.findall(rf"^```(?:{'|'.join(languages)})\s*\n(.*?)^```", README, re.S | re.M)


def test_every_python_block_runs(tmp_path, monkeypatch, capsys):
    """The first as it stands; those after it on three rows in place of its likelihood, by the formulas as printed."""
    folder = tmp_path / "results" / "high-paper2020"
    folder.mkdir(parents=True)
    save(synthetic_result(), folder / "posterior.nc")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    printed = []
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
        printed.append(capsys.readouterr().out)
        names["like"] = toy_likelihood(tmp_path, TOY_OF_THREE)
        monkeypatch.setitem(PRIORS, "split", {"high": prior_of("high", physics="paper")})
    slope, gain = map(float, printed[0].split()[-2:])
    assert gain > 5.0 and abs(slope) > 1.0
    assert printed[1].startswith("True ")
    assert len(blocks("python")[0].splitlines()) <= 10


def test_the_first_two_shell_blocks_install_and_run_and_test():
    first, second = blocks("sh", "bash", "shell", "console")[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert first.startswith("python3 -m venv ") and "pip install . &&" in first
    assert first.rstrip().endswith("jaxdark sample --region high")
    assert second.startswith("python3 -m venv ") and 'pip install ".[test,flavio]" &&' in second
    assert "pytest" in second and "-n 2" in second


def test_the_data_file_passes_its_check(tmp_path):
    (block,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(block)
    assert check_file(tmp_path / "mine.yaml") == []


@pytest.mark.parametrize("command", [*COMMANDS, "data list", "data show", "data check"])
def test_commands_and_their_flags_are_those_of_the_program(command, capsys):
    assert command.split()[0] in README
    assert main([*command.split(), "--help"]) == 0
    assert "Example: jaxdark" in capsys.readouterr().out


def test_every_flag_that_is_named_exists(capsys):
    flags = set(re.findall(r"--[a-z][a-z0-9-]*", README)) - {"--help"}
    for command in COMMANDS:
        main([command, "--help"])
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert flags and flags <= known


def test_data_sets_and_names_of_the_notation_table_exist():
    for name in dataset_names():
        assert f"`{name}`" in README
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(jaxdark.__file__).parent.rglob("*.py"))
    table = README.split("## Notation")[1].split("## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ") and "`" in line]
    for row in rows:
        for name in re.findall(r"`([A-Za-z_0-9]+)`", row[2]):
            assert re.search(rf"\b{name}\b", source), name
        for file in re.findall(r"`([a-z_0-9/]+\.(?:py|yaml))`", row[4]):
            assert (Path(jaxdark.__file__).parent / file).is_file(), file
    assert len(rows) > 10


def test_nuisances_and_parameters_are_counted_as_the_likelihood_does():
    nuisances = len(Likelihood(load_dataset("paper2020"), theory="full").nuisance_names)
    text = " ".join(README.split())
    assert {int(n) for n in re.findall(r"(\d+) nuisances", text)} == {nuisances}
    (together,) = re.findall(r"nuisances as parameters too \((\d+) in all\)", text)
    assert int(together) == nuisances + len(prior_of("high").names)


def test_what_is_to_be_installed_is_this_clone():
    """The package is on no index; its extras are those of pyproject.toml."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = re.findall(r"pip install ((?:-e )?)(\"[^\"]+\"|[^\s`]+)", README)
    assert len(asked) > 4
    for _, wanted in asked:
        place, extras = re.fullmatch(r"([^\[]+)(?:\[([a-z,]+)\])?", wanted.strip('"')).groups()
        assert place == ".", wanted
        assert set((extras or "").split(",")) - {""} <= set(project["optional-dependencies"]), wanted
