"""What the commands share: flags that are no settings, texts of parameters, the likelihood, and what is said.

Inputs: settings and texts. Outputs: a likelihood, names of folders, sentences and tables on the screen.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxdark.cli.settings import ModelSettings, Settings
from jaxdark.errors import RequestError, visible

if TYPE_CHECKING:
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.likelihood.priors import Prior

Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler.", show_default="this process")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no tables and no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the files of an existing folder.")]


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


def with_switches(settings: ModelSettings, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a model with what --physics and --lepton-universal say, where the model does otherwise.

    Raises:
        RequestError: another model than split was asked for as printed, or --physics and a parameter say two things.
    """
    if settings.lepton_universal:
        parameters = {**parameters, "lepton_universal": True}
    if settings.physics == ModelSettings.model_fields["physics"].default:
        return parameters
    if settings.model != "split":
        raise RequestError(
            f"--physics {settings.physics} is of the model split, got the model {settings.model}; leave one of them out"
        )
    given = parameters.get("physics", settings.physics)
    if given != settings.physics:
        raise RequestError(f"expected the physics once, got --physics {settings.physics} and physics={given}")
    return {**parameters, "physics": settings.physics}


def result_name(prefix: str, prior: "Prior", data: str) -> str:
    """Default folder of a result: prefix, model if it is not the default, region and data set."""
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
    chosen = settings.model_dump(include={"theory", "g_minus_2", "constraints"})
    inputs = load_inputs(settings.inputs, form_factors=settings.form_factors, V_cb=settings.V_cb)
    return Likelihood(data, inputs=inputs, **chosen)


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
