"""The public vocabulary, what importing does, and the demand for double precision."""

import inspect
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxdark
from jaxdark.errors import RequestError

ROOT = Path(jaxdark.__file__).parents[1]
SENTENCE = (
    "jaxdark needs double precision but JAX is set to float32: call jaxdark.enable_x64() first, "
    "or set the environment variable JAX_ENABLE_X64=1"
)


def python(code, **environment):
    """Standard output of a fresh interpreter; ArviZ announces its own future at every import."""
    command = [sys.executable, "-W", "error", "-W", "ignore::FutureWarning", "-c", code]
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": ""} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", jaxdark.__all__)
def test_public_name(name):
    value = getattr(jaxdark, name)
    documentation = inspect.getdoc(value)
    assert documentation
    assert documentation.splitlines()[0].endswith((".", ":"))


def test_names_are_listed_found_and_typed_once():
    assert jaxdark.__all__ == sorted(set(jaxdark.__all__))
    assert set(jaxdark.__all__) <= set(dir(jaxdark))
    source = Path(jaxdark.__file__).read_text(encoding="utf-8")
    typed = {line.split(" as ")[1] for line in source.splitlines() if line.startswith("    from ")}
    assert typed == set(jaxdark.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'jaxdark' has no attribute 'DarkSectr'"):
        jaxdark.DarkSectr  # noqa: B018


def test_the_paper_in_public_names():
    """Some forty names; those that the documents promise are among them."""
    promised = (
        "DarkSector ConstantWilson NewPhysics Contact Resonance Likelihood fit profile sample load_inputs load_dataset "
        "Model Prior Range results Checkpoints numpyro_model"
    )
    assert set(promised.split()) <= set(jaxdark.__all__)
    assert len(jaxdark.__all__) <= 40


def test_importing_does_not_import_jax():
    loaded = python(
        "import sys, jaxdark; print(sorted({'jax', 'numpy', 'equinox', 'scipy', 'yaml'} & set(sys.modules)))"
    )
    assert loaded == "[]"


def test_importing_everything_changes_no_setting_of_jax():
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import jaxdark; [getattr(jaxdark, name) for name in jaxdark.__all__]\n"
        "print(jax.config.jax_enable_x64, before == dict(jax.config.values))"
    )
    assert python(code) == "False True"


def test_importing_makes_no_arrays():
    """Arrays made at import would be in single precision for good."""
    code = (
        "import jax, jaxdark, jaxdark.semileptonic.predictor, jaxdark.optimise.multistart\n"
        "[getattr(jaxdark, name) for name in jaxdark.__all__]\n"
        "print(len(jax.live_arrays()))"
    )
    assert python(code) == "0"


REFUSING = {
    "load_inputs": "jaxdark.load_inputs()",
    "DarkSector": "jaxdark.DarkSector(m_V=5.0, g_mu_V=0.03, r_AV=0.0, g_D=1.0, r=-1.0)",
    "ConstantWilson": "jaxdark.ConstantWilson(C9=-1.0)",
    "Likelihood": "jaxdark.Likelihood(jaxdark.load_dataset('lhcb_core'))",
}


@pytest.mark.parametrize("call", REFUSING.values(), ids=REFUSING.keys())
def test_single_precision_is_refused(call):
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RequestError) as caught:
            eval(call, {"jaxdark": jaxdark})
    finally:
        jax.config.update("jax_enable_x64", True)
    assert str(caught.value) == SENTENCE


def test_both_ways_to_double_precision():
    made = "jaxdark.load_inputs(); print(jax.numpy.zeros(1).dtype)"
    assert python(f"import jax, jaxdark; jaxdark.enable_x64(); {made}") == "float64"
    assert python(f"import jax, jaxdark; {made}", JAX_ENABLE_X64="1") == "float64"


def test_a_request_error_is_a_value_error():
    assert issubclass(RequestError, ValueError)


def test_types_are_shipped():
    assert (ROOT / "jaxdark" / "py.typed").is_file()
