"""The command line: one command per step, no logic of its own.

Enters: arguments. Leaves: exit code 0, 1 (the job failed) or 2 (the request is wrong, one sentence on stderr says how).
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from jaxdark import __version__
from jaxdark.cli import (
    check,
    compare,
    constrain,
    data,
    evidence,
    fit,
    plot,
    point,
    profile,
    project,
    report,
    reproduce,
    sample,
    scan,
)
from jaxdark.cli.options import tell
from jaxdark.errors import DataWarning, RequestError, shortened

app = typer.Typer(
    name="jaxdark",
    help="Flavour observables b -> s of a light dark sector, differentiable, with inference on top (arXiv:2002.11150).",
    epilog="Example: jaxdark point m_V=5.5 g_mu_V=0.03 r_AV=-0.4 g_D=1 r=-3",
    add_completion=False,
)
app.command(epilog="Example: jaxdark point m_V=5.5 g_mu_V=0.03 r_AV=-0.4 g_D=1 r=-3 --q2 0.5,3.5,17 --json")(
    point.point
)
app.command(epilog="Example: jaxdark fit --region high --data paper2020 --out results/fit")(fit.fit)
app.command(
    epilog="Example: jaxdark profile m_V=2:15:200 g_mu_V=1e-3:0.2:200:log --region high --posterior results/high"
)(profile.profile)
app.command(epilog="Example: jaxdark sample --region high --data paper2020 --out results/high")(sample.sample)
app.command(epilog="Example: jaxdark constrain results/high-paper2020")(constrain.constrain)
app.command(epilog="Example: jaxdark check results/high-paper2020")(check.check)
app.command(epilog="Example: jaxdark compare results/high-paper2020 results/nested")(compare.compare)
app.command(epilog="Example: jaxdark project results/high-paper2020 --truth best --out future.yaml")(project.project)
app.command(epilog="Example: jaxdark evidence --region high --data paper2020 --json")(evidence.evidence)
app.command(epilog="Example: jaxdark scan m_V=2:15:200 g_mu_V=1e-3:0.2:200:log r_AV=-0.4 g_D=1 r=-3")(scan.scan)
app.command(epilog="Example: jaxdark reproduce --quick --out results/paper")(reproduce.reproduce)
app.command(epilog="Example: jaxdark plot results/high")(plot.plot)
app.command(epilog="Example: jaxdark report results/high-paper2020")(report.report)
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def _jaxdark(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        print(f"jaxdark {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; those of the process unless given.
    """
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its own future at every import.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _say_warning(warnings.showwarning)
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _say_warning(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Shows what data are to be warned of in one sentence, and other warnings as before."""

    def show(message: Warning | str, kind: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(kind, DataWarning):
            tell(f"warning: {message}")
        else:
            otherwise(message, kind, *where, **more)

    return show


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("jaxdark", arguments) as context:
            return command.invoke(context) or 0
    except typer.Exit as stop:
        return stop.exit_code
    except RequestError as error:
        return _refuse("; ".join(filter(None, [str(error), _notes(error)])))
    except KeyboardInterrupt as stop:
        kept = _notes(stop) or "nothing unfinished is kept; give the same command to start again"
        tell(f"stopped, {kept}")
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        tell("; ".join(filter(None, [f"the job failed: {error}", _notes(error)])))
        return 1
    except Exception as error:
        # Typer carries its own copy of click in some versions, so its usage errors have no importable common class.
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)  # of the command that was being read
        command = "jaxdark" if context is None else context.command_path
        return _refuse(f"{error.format_message().rstrip('.')}; see {command} --help")


def _notes(error: BaseException) -> str:
    return "; ".join(getattr(error, "__notes__", []))


def _refuse(sentence: str) -> int:
    tell(shortened(" ".join(sentence.split()), 2000))
    return 2
