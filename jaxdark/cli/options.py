"""What the commands share: flags, and their merger with a config file into checked settings.

Inputs: the context of a command. Outputs: settings; flags win over the config file, and that over the defaults.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jaxdark.compute.bounds import LARGEST_SEED
from jaxdark.errors import RequestError, nearest, shown, visible
from jaxdark.io.text_files import read_toml

if TYPE_CHECKING:
    import numpy as np

    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.likelihood.priors import Prior

Config = Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings; flags win over them.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|FILE",
        help="Data set, see jaxdark data list, or your own file.",
        show_default="paper2020",
    ),
]
Theory = Annotated[
    str | None,
    typer.Option(
        "--theory",
        metavar="marginalised|full",
        help="Hadronic nuisances in a covariance or as parameters.",
        show_default="marginalised",
    ),
]
GMinus2 = Annotated[
    str | None,
    typer.Option(
        "--g-minus-2",
        metavar="limit|upper|measurement",
        help="Reading of (g-2) of the muon.",
        show_default="limit",
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model", metavar="split|zprime|constant|box", help="Model.", show_default="split")
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="high|low|all", help="m_V above or below the bins, Table 1.", show_default="the model's first"
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option("--inputs", metavar="FILE.yaml", help="name: value lines over jaxdark data show inputs."),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler.", show_default="this process")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Fixes every random number.", show_default="0")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no tables and no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the files of an existing folder.")]


class Settings(BaseModel):
    """What fixes the numbers of a command; unknown names and wrong types are refused.

    A data_sha256, which a resolved configuration has, makes sure that the data are still the same.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = "split"
    data: str = "paper2020"
    theory: str = "marginalised"
    g_minus_2: str = "limit"
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    inputs: dict[str, Any] = {}
    data_sha256: str | None = None


S = TypeVar("S", bound=Settings)


def resolve(cls: type[S], context: typer.Context, **further: Any) -> S:
    """Settings of a command.

    Args:
        cls: the kind of settings.
        context: of the command; those of its flags that are settings.
        further: settings that the command made of its arguments; a mapping is merged into that of the config file.

    Raises:
        RequestError: the config file cannot be read, or a setting is unknown or has a wrong type.
    """
    config = context.params.get("config")
    content = {} if config is None else read_toml(config, "a config file, TOML of settings")
    params = {name: value for name, value in context.params.items() if name not in further and value is not None}
    flags = {name: value for name, value in params.items() if name in cls.model_fields}
    for name, value in further.items():
        former = content.get(name)
        content[name] = former | value if isinstance(former, dict) and isinstance(value, dict) else value
    if "data" in flags:
        content.pop("data_sha256", None)
    given = content | flags
    if isinstance(inputs := given.get("inputs"), Path | dict):
        from jaxdark.inputs import check_overrides, read_overrides

        file = isinstance(inputs, Path)
        given["inputs"] = read_overrides(inputs) if file else check_overrides(inputs, f"{config}, inputs")
    try:
        return cls(**given)
    except ValidationError as error:
        raise _request_error(cls, error, config) from None


def _request_error(cls: type[Settings], error: ValidationError, config: Path | None) -> RequestError:
    first = error.errors()[0]
    name, *inner = map(str, first["loc"])
    origin = f"{config}: " if config else ""
    if first["type"] == "extra_forbidden":
        return RequestError(f"{origin}unknown setting {name!r}; {nearest(name, cls.model_fields)}")
    where = ".".join([name, *inner])
    return RequestError(f"{origin}wrong value of {where}: {first['msg']}, got {shown(first['input'])}")


def parse_parameters(words: list[str]) -> dict[str, Any]:
    """Parameters from NAME=VALUE arguments: a number, several separated by commas, or a word."""
    parameters: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise RequestError(f"expected NAME=VALUE such as m_V=5.5, got {word!r}")
        if name in parameters:
            raise RequestError(f"expected each parameter once, got {name} twice; leave one out")
        values = [_number(part) for part in text.split(",")]
        parameters[name] = values[0] if len(values) == 1 else values
    return parameters


def parse_axes(words: list[str]) -> "dict[str, np.ndarray]":
    """Grid points by parameter from NAME=FROM:TO:POINTS[:log] arguments."""
    import numpy as np

    from jaxdark.optimise.profile import fits_grid

    axes: dict[str, np.ndarray] = {}
    total = 1
    for word in words:
        name, _, text = word.partition("=")
        low, high, count, *spacing = text.split(":") + [""] * (2 - text.count(":"))
        try:
            values = np.array([float(low), float(high)])
            points = int(count)
        except ValueError:
            values, points = np.full(2, np.nan), 0
        if not (name and np.all(np.isfinite(values)) and points > 1 and spacing in ([], ["log"])):
            raise RequestError(f"expected NAME=FROM:TO:POINTS[:log] such as m_V=2:15:200, got {word!r}")
        if name in axes:
            raise RequestError(f"expected each parameter once, got {name} twice; leave one out")
        if spacing and np.prod(values) <= 0:
            raise RequestError(f"a logarithmic axis cannot hold or cross zero, got {word!r}; leave :log out")
        total *= points
        fits_grid(total)
        axes[name] = np.geomspace(*values, points) if spacing else np.linspace(*values, points)
    return axes


def result_name(prefix: str, prior: "Prior", data: str) -> str:
    """Default folder of a result: prefix, model if it is not the paper's, region and data set."""
    parts = (prefix, "" if prior.model_name == "split" else prior.model_name, prior.region, Path(data).stem)
    return "results/" + "-".join(filter(None, parts))


def out_folder(out: str | None, prefix: str, prior: "Prior", data: str) -> Path:
    """The folder of a result: the one that was asked for, or the default."""
    from jaxdark.io import atomic

    folder = result_name(prefix, prior, data) if out is None else out
    atomic.checked(folder)
    return Path(folder)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def build_likelihood(settings: Settings) -> "Likelihood":
    """The likelihood that the settings describe."""
    from jaxdark.inputs import load_inputs
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.measurements.dataset import load_dataset

    data = load_dataset(settings.data)
    if settings.data_sha256 not in (None, data.sha256):
        raise RequestError(
            f"the data set {settings.data} has changed since the configuration was written (sha256 {data.sha256[:12]}, "
            f"then {settings.data_sha256[:12]}); restore it, or take data_sha256 out of the config file"
        )
    return Likelihood(
        data,
        theory=settings.theory,  # pyright: ignore[reportArgumentType]
        g_minus_2=settings.g_minus_2,  # pyright: ignore[reportArgumentType]
        inputs=load_inputs(settings.inputs),
    )


def resolved(settings: Settings, like: "Likelihood") -> dict[str, Any]:
    """The settings with everything in them that it takes to run again elsewhere: full paths and the data's hash."""
    from jaxdark.measurements.dataset import dataset_names

    data = settings.data if settings.data in dataset_names() else str(Path(settings.data).resolve())
    return settings.model_dump(exclude={"out"}) | {"data": data, "data_sha256": like.data.sha256}


def prepare() -> None:
    """Double precision, JAX's own rules for arrays (see `precision.usual_rules`) and the compile cache.

    To be called before the first computation.

    Raises:
        RequestError: JAX has no device of the kind that it was told to use.
    """
    import jax

    from jaxdark.compute.xla_cache import use_compile_cache
    from jaxdark.precision import set_usual_rules

    set_usual_rules()
    use_compile_cache()
    try:
        jax.default_backend()
    except (RuntimeError, AssertionError):  # of unknown kinds and of known ones that are not there
        raise RequestError(
            f"expected a device of the kind that JAX was told to use, {jax.config.jax_platforms}, and found none; "
            "unset JAX_PLATFORMS, or install JAX for that device"
        ) from None


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For a command that ends at once: JAX's tracing makes many objects and few cycles, and looking for those takes a
    fifth of the time.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def say(quiet: bool) -> Callable[[str], None]:
    """Prints a sentence on standard error, unless all is to be quiet."""

    def told(sentence: str) -> None:
        if not quiet:
            tell(sentence)

    return told


def drawn(draw: Callable[[], Any], numbers: str) -> bool:
    """Whether figures could be drawn; if not, one sentence on standard error says so and where the numbers are.

    Args:
        draw: makes the figures.
        numbers: where what they show is safe.
    """
    from jaxdark.output.drawing import FigureError

    try:
        draw()
    except FigureError as error:
        tell(f"{error}; the numbers are {numbers}")
        return False
    return True


def tell(sentence: str) -> None:
    """Print a sentence on standard error, whatever it holds, on one line."""
    print(f"jaxdark: {visible(sentence)}", file=sys.stderr)


def console(*, quiet: bool = False):
    """Where tables and sentences go, whatever text they hold: the screen, or plain text of a width that holds them."""
    from jaxdark.output import table

    return table.console(width=None if sys.stdout.isatty() else 140, quiet=quiet)
