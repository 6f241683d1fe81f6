"""Run the command line in this process on a toy data set of two rows, with a compile cache of the tests' own."""

import jax
import pytest
from toy_data import TOY

from jaxdark.cli import main


@pytest.fixture(autouse=True)
def compile_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "compile-cache"))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], None)  # as a user's process begins
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture
def jaxdark(capsys):
    """Call the command line; returns exit code, standard output and standard error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def refused(jaxdark):
    """Call the command line with a wrong request; returns its one sentence."""

    def call(*arguments):
        code, out, err = jaxdark(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("jaxdark: ") and err.count("\n") == 1
        return err.removeprefix("jaxdark: ")

    return call
