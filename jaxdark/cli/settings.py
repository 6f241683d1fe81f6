"""Settings of a command and their flags: each is one field of a pydantic model, with its default, range, words to
choose from and help.

Inputs: a model of settings, and a function of them. Outputs: the command as Typer reads it, and checked settings: flags
win over the config file, and that over the defaults.
"""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_args

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from jaxdark.choices import FormFactors, GMinus2, ModelName, PhysicsName, Theory, VcbName
from jaxdark.compute.bounds import LARGEST_SEED
from jaxdark.errors import RequestError, near_name, nearest, shown
from jaxdark.io.text_files import read_toml

if TYPE_CHECKING:
    from jaxdark.likelihood.priors import Prior

Config = Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings; flags win over them.")]


class Flag(NamedTuple):
    """What the flag of a setting needs beside its field.

    Attributes:
        metavar: stands for the value in the help; unless given, the words to choose from, or the type.
        default: words for the default where the field's own says too little.
        parse: the setting from the text of the flag, or from the list of texts of an argument.
        is_argument: written without a flag, as NAME=VALUE ...; mappings add to that of the config file.
        name: of the flag, where it is not that of the setting.
    """

    metavar: str | None = None
    default: str | None = None
    parse: Callable[[Any], Any] | None = None
    is_argument: bool = False
    name: str | None = None


def parse_names(text: str) -> list[str]:
    """Names between commas; those within the brackets of a measurement's id belong to it."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", text) if name.strip()]


def _read_inputs(file: str) -> dict[str, float]:
    from jaxdark.inputs import read_overrides

    return read_overrides(file)


class Settings(BaseModel):
    """What fixes the numbers of a command; unknown names and wrong types are refused.

    A field with a description is a flag. data_sha256, which a resolved configuration has, makes sure that the data are
    still the same.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    data: Annotated[str, Flag("NAME|FILE")] = Field(
        "paper2020", description="Data set, see jaxdark data list, or your own file."
    )
    g_minus_2: GMinus2 = Field("limit", description="Reading of (g-2) of the muon.")
    constraints: Annotated[list[str], Flag("LIST", "no constraints", parse=parse_names, name="with")] = Field(
        [],
        description="Terms in the likelihood beside the data set: all, a family (invisible, colliders, mixing, ...) or "
        "ids of constraints.",
    )
    inputs: Annotated[dict[str, Any], Flag("FILE.yaml", parse=_read_inputs)] = Field(
        {}, description="name: value lines over jaxdark data show inputs."
    )
    form_factors: FormFactors = Field("bsz2015", description="Form factors of B -> K, B -> K* and Bs -> phi.")
    V_cb: VcbName = Field("inclusive", description="|V_cb|, 42.0e-3 or 39.6e-3, and its error.")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Fixes every random number.")
    data_sha256: str | None = None

    @field_validator("inputs")
    @classmethod
    def _known_inputs(cls, inputs: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        from jaxdark.inputs import check_overrides

        return check_overrides(inputs, f"{info.context}, inputs")


class ModelSettings(Settings):
    """Those of a command for one model, which may have the nuisances as parameters."""

    model: ModelName = Field("split", description="Model.")
    physics: PhysicsName = Field(
        "complete", description="Of the model split: the complete leading order, or the paper as printed."
    )
    lepton_universal: bool = Field(False, description="Electrons and taus feel what muons do.")
    theory: Theory = Field(
        "marginalised", description="Hadronic nuisances in one covariance, in that of each point, or as parameters."
    )


class RegionSettings(ModelSettings):
    """Those of a command for one model in one region of its parameters."""

    region: Annotated[str | None, Flag("high|low|all", default="the model's first")] = Field(
        None, description="m_V above or below the bins, Table 1."
    )

    @property
    def prior(self) -> "Prior":
        """The prior that model and region mean."""
        from jaxdark.likelihood.priors import prior_of

        return prior_of(self.region, self.model, self.physics, lepton_universal=self.lepton_universal)


def command(cls: type[Settings]) -> Callable[[Callable], Callable]:
    """A command from a function of settings; its flags are theirs, --config, and the function's other parameters.

    Args:
        cls: the model of the function's first argument.
    """

    def decorate(function: Callable) -> Callable:
        own = sorted(cls.model_fields, key=lambda name: name in ModelSettings.model_fields)  # before the shared ones
        flags = [_flag(name, field) for name in own if (field := cls.model_fields[name]).description]
        config = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config)
        others = [*inspect.signature(function).parameters.values()][1:]
        parameters = [*flags, config, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others)]

        @wraps(function)
        def run(config: Path | None = None, **given: Any) -> Any:
            settings = {flag.name: given.pop(flag.name) for flag in flags}
            return function(resolve(cls, settings, config), **given)

        run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


S = TypeVar("S", bound=Settings)


def resolve(cls: type[S], flags: dict[str, Any], config: Path | None) -> S:
    """Settings of a command.

    Args:
        cls: the kind of settings.
        flags: settings as texts or numbers by name; None is one that was not given.
        config: a TOML file of settings.

    Raises:
        RequestError: the config file cannot be read, or a setting is unknown or has a wrong value.
    """
    content = {} if config is None else read_toml(config, "a config file, TOML of settings")
    for name, value in flags.items():
        if value is None:
            continue
        flag = _flag_of(cls.model_fields[name])
        value = flag.parse(value) if flag.parse else value
        if flag.is_argument and isinstance(value, dict) and isinstance(former := content.get(name), dict):
            value = former | value
        content[name] = value
    if flags.get("data") is not None:
        content.pop("data_sha256", None)
    try:
        return cls.model_validate(content, context=config)
    except ValidationError as error:
        raise _request_error(cls, error, config) from None


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    """The parameter that Typer makes a flag or an argument of; None where it is not given."""
    flag = _flag_of(field)
    types = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
    words = all(isinstance(word, str) for word in types)
    kind: Any = types[0] if types[0] in (bool, int, float) else str
    about: dict[str, Any] = {
        "metavar": flag.metavar or ("|".join(types) if words else None),
        "help": field.description,
        "show_default": flag.default or _default_in_words(field.default),
    }
    if flag.is_argument:
        annotation = Annotated[list[str] | None, typer.Argument(**about)]
    else:
        annotation = Annotated[kind | None, typer.Option(f"--{flag.name or name.replace('_', '-')}", **about)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _default_in_words(default: Any) -> str | Literal[False]:
    """What the help shows; nothing of a default that is empty."""
    if isinstance(default, list):
        return ",".join(map(str, default)) or False
    return False if isinstance(default, dict | bool | NoneType) else str(default)


def _flag_of(field: FieldInfo) -> Flag:
    return next((item for item in field.metadata if isinstance(item, Flag)), Flag())


def _request_error(cls: type[Settings], error: ValidationError, config: Path | None) -> RequestError:
    """The first thing that pydantic finds wrong, as our sentence."""
    first = error.errors()[0]
    if isinstance(cause := first.get("ctx", {}).get("error"), RequestError):
        return cause
    name, *inner = map(str, first["loc"])
    origin = f"{config}: " if config else ""
    if first["type"] == "extra_forbidden":
        return RequestError(f"{origin}unknown setting {name!r}; {nearest(name, cls.model_fields)}")
    if first["type"] == "literal_error":
        words, got = get_args(cls.model_fields[name].annotation), first["input"]
        near = near_name(got, words)
        hint = "" if near is None else f"; the nearest right name is {near}"
        return RequestError(f"{origin}{name} must be one of {', '.join(words)}, got {shown(got)}{hint}")
    where = ".".join([name, *inner])
    return RequestError(f"{origin}wrong value of {where}: {first['msg']}, got {shown(first['input'])}")
