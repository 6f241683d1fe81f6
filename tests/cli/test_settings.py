"""Settings of the commands: their defaults are those of the library, and the flags are made from them alone."""

import inspect
from typing import Annotated, get_args

import pytest
from pydantic import Field

from jaxdark import choices
from jaxdark.check.evidence import evidence
from jaxdark.cli.evidence import EvidenceSettings
from jaxdark.cli.fit import FitSettings
from jaxdark.cli.profile import ProfileSettings
from jaxdark.cli.sample import SampleSettings
from jaxdark.cli.scan import ScanSettings
from jaxdark.cli.settings import Flag, ModelSettings, command, resolve
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.models.registry import MODELS
from jaxdark.optimise.fit import fit
from jaxdark.optimise.profile import profile
from jaxdark.sampling.sample import sample
from jaxdark.scans.scan import Scan


@pytest.mark.parametrize(
    ("cls", "function", "shared"),
    [
        (ModelSettings, Likelihood, {"theory", "g_minus_2", "constraints"}),
        (ModelSettings, load_inputs, {"form_factors", "V_cb"}),
        (FitSettings, fit, {"n_starts", "toys", "optimizer", "seed"}),
        (ProfileSettings, profile, {"seed"}),
        (SampleSettings, sample, {"method", "kernel", "chains", "draws", "warmup", "n_samples", "n_live", "seed"}),
        (EvidenceSettings, evidence, {"region", "seed"}),
        (ScanSettings, Scan, {"random", "sobol", "model", "outputs", "reference", "profile", "chunk", "seed"}),
    ],
)
def test_defaults_are_those_of_the_functions(cls, function, shared):
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    settings = cls().model_dump()
    found = {name: settings[name] for name in cls.model_fields if name in defaults and name not in ("axes", "out")}
    assert found.keys() - {"parameters", "inputs", "data"} == shared
    for name in shared:
        assert found[name] == (list(defaults[name]) if name in ("outputs", "constraints") else defaults[name]), name


def test_the_models_are_those_of_the_registry():
    assert get_args(choices.ModelName) == tuple(MODELS)


class Made(ModelSettings):
    """Settings that no command has."""

    number: Annotated[int | None, Flag(default="a guess")] = Field(None, gt=0, description="A number.")
    values: Annotated[list[str], Flag("A,B", parse=lambda text: text.split(","))] = Field(
        ["x", "y"], description="Values."
    )
    pairs: Annotated[dict[str, int], Flag("NAME...", parse=dict.fromkeys, is_argument=True)] = Field(
        {}, description="Pairs."
    )
    hidden: int = 3


@command(Made)
def made(settings: Made, quiet: bool = False) -> tuple:
    """Hands back what it was given."""
    return settings, quiet


def test_a_command_has_a_flag_for_each_setting_with_a_description():
    parameters = inspect.signature(made).parameters
    own = ["number", "values", "pairs"]
    shared = ["data", "g_minus_2", "constraints", "inputs", "form_factors", "V_cb", "seed"]
    shared += ["model", "physics", "lepton_universal", "theory"]
    assert [*parameters] == [*own, *shared, "config", "quiet"]
    kinds = {name: get_args(get_args(parameters[name].annotation)[0]) for name in own}
    assert kinds["number"][0] is int and kinds["values"][0] is str and kinds["pairs"][0] == list[str]
    about = {name: p.annotation.__metadata__[0] for name, p in parameters.items() if name != "quiet"}
    assert about["theory"].metavar == "marginalised|following|full" and about["theory"].show_default == "marginalised"
    assert (about["number"].show_default, about["values"].show_default, about["seed"].show_default) == (
        "a guess", "x,y", "0",
    )  # fmt: skip


def test_flags_win_over_the_config_file_and_arguments_add_to_it(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('number = 5\nvalues = ["z"]\nhidden = 4\n[pairs]\na = 1\n')
    flags = {"number": None, "values": "p,q", "pairs": None, "theory": "full"}
    found = resolve(Made, flags, config)
    assert (found.number, found.values, found.pairs, found.hidden, found.theory) == (5, ["p", "q"], {"a": 1}, 4, "full")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("numbr = 5", "unknown setting 'numbr'; the nearest right name is number"),
        ("number = 0", "wrong value of number: Input should be greater than 0, got 0"),
        (
            "theory = 'ful'",
            "theory must be one of marginalised, following, full, got 'ful'; the nearest right name is full",
        ),
        ("theory = 3", "theory must be one of marginalised, following, full, got 3$"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path, content, sentence):
    config = tmp_path / "run.toml"
    config.write_text(content)
    with pytest.raises(RequestError, match=f"run.toml: {sentence}"):
        resolve(Made, {}, config)
