"""The command line: one command per step, no logic of its own.

Inputs: arguments. Outputs: exit code 0, 1 (the job failed), 2 (the request is wrong, one sentence on stderr says how),
130 or 143 (stopped by Ctrl-C, or by a termination signal).
"""

import codecs
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jaxdark.cli.stopping import Stopping, put_away, said_of
from jaxdark.errors import DataWarning, RequestError, shortened, visible


def __getattr__(name: str):
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jaxdark.cli.commands import app

    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; without them those of the process, which then ends with this call where
            it was stopped.
    """
    with Stopping() as stopping, warnings.catch_warnings():
        # ArviZ 0.23 announces its own future at every import.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _say_warning(warnings.showwarning)
        code = _run(list(sys.argv[1:] if arguments is None else arguments), stopping)
    if arguments is None:
        stopping.end_process(code)
    return code


def _say_warning(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Shows what data are to be warned of in one sentence, and other warnings as before."""

    def show(message: Warning | str, kind: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(kind, DataWarning):
            _tell(f"warning: {message}")
        else:
            otherwise(message, kind, *where, **more)

    return show


def _tell(sentence: str) -> None:
    """`options.tell`, before the options are imported."""
    print(f"jaxdark: {visible(sentence)}", file=sys.stderr)


_ASCII = {"±": "+-", "×": "x", "−": "-", "…": "...", "→": "->", "’": "'", "–": "-", "χ": "chi", "μ": "mu", "σ": "sigma"}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an output cannot show; any others are question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error("jaxdark", _in_ascii)


def _run(arguments: list[str], stopping: Stopping) -> int:
    try:
        _open_streams()
        # Here and not above, so that a signal meets a handler while they are imported.
        import typer

        from jaxdark.cli.commands import app

        command = typer.main.get_command(app)
        with command.make_context("jaxdark", arguments) as context:
            code = command.invoke(context) or 0
        sys.stdout.flush()
        return code
    except BaseException as error:
        code = stopping.exit_code(error)
        if code is None:
            return _failed(error)
        kept = put_away()  # what the signal kept from being put away
        _tell(f"stopped, {_notes(error) or said_of(kept)}")
        return code
    finally:
        stopping.done()


def _failed(error: BaseException) -> int:
    """Exit code of a command that ended with an error, after its one sentence; errors of the program itself go on."""
    if isinstance(error, RequestError):
        return _refuse("; ".join(filter(None, [str(error), _notes(error)])))
    if isinstance(error, SystemExit):  # of Rich, when whoever read the output has seen enough
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, OSError):
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            _tell("; ".join(filter(None, [f"the job failed: {error}", _notes(error)])))
        return 1
    if hasattr(error, "exit_code") and not hasattr(error, "format_message"):
        return error.exit_code  # of --help and --version
    # Typer carries its own copy of click in some versions, so its errors have no importable common class.
    if not hasattr(error, "format_message"):
        raise error
    context = getattr(error, "ctx", None)  # of the command that was being read
    command = "jaxdark" if context is None else context.command_path
    return _refuse(f"{error.format_message().rstrip('.')}; see {command} --help")


def _notes(error: BaseException) -> str:
    return "; ".join(getattr(error, "__notes__", []))


def _refuse(sentence: str) -> int:
    _tell(shortened(" ".join(sentence.split()), 2000))
    return 2


def _open_streams() -> None:
    """Let output go nowhere where a stream was closed, and write letters that a stream does not know in ASCII."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="jaxdark")


def _drop_output() -> None:
    """What is left in the buffer goes nowhere, or Python would complain again when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
