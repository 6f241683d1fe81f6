"""What a run leaves on disk: its folder, whole or not at all, and its resolved configuration.

Enters: paths and settings. Leaves: files written under a temporary name and renamed.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxdark.checkpoints import Checkpoints, is_worth_keeping, names_to_disk, only_one, written_whole
from jaxdark.errors import RequestError


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that it is never seen half-written."""
    written_whole(path, lambda file: file.write(text.encode()))


@contextmanager
def result_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A hidden folder beside `path` to write into, which becomes `path` when the block ends without an error.

    It is made before the work starts, so that a place that cannot be written is known at once, and removed if the work
    fails or is stopped.

    Args:
        path: the folder of the result.
        force: if it exists, replace the files of the same names in it and leave the others.

    Raises:
        RequestError: the folder exists and force is not set, it is a file, or it cannot be written.
    """
    stage = path.absolute().with_name(f".{path.name}.{secrets.token_hex(4)}")
    parents = _make(stage, path, force)
    try:
        yield stage
        _publish(stage, path)
    except BaseException:
        _remove(stage, parents)
        raise


@contextmanager
def resumable_folder(
    path: Path, *, force: bool = False, say: Callable[[str], None] | None = None
) -> Iterator[tuple[Path, Checkpoints]]:
    """A folder to write into, as `result_folder`, and checkpoints beside it that outlive an interruption.

    Both lie in a hidden folder `.NAME.partial` beside `path`, which is removed once the result is in place. If the
    work fails or is killed its checkpoints stay, and the next call with the same path finds them.

    Args:
        path: the folder of the result.
        force: if it exists, replace the files of the same names in it; drop checkpoints of a run with other settings.
        say: told in one sentence when an earlier run is taken up again.

    Raises:
        RequestError: as `result_folder`; or another process is at work on the same folder.
    """
    partial = path.absolute().with_name(f".{path.name}.partial")
    parents, stage = _make(partial, path, force), partial / "result"
    with only_one(partial / "lock", path):
        try:
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            yield stage, Checkpoints(partial, restart=force, say=say)
            _publish(stage, path)
            shutil.rmtree(partial, ignore_errors=True)
        except BaseException as error:
            shutil.rmtree(stage, ignore_errors=True)
            if is_worth_keeping(partial):
                error.add_note(f"what was done is kept in {partial}; give the same command to resume there")
            else:
                _remove(partial, parents)
            raise


def _make(stage: Path, path: Path, force: bool) -> list[Path]:
    """Make the folder `stage` beside `path`; returns those of its parents that were not there before."""
    if path.exists() and not (force and path.is_dir()):
        advice = "name another folder with --out" + (", or replace its files with --force" if path.is_dir() else "")
        if (path / "posterior.nc").exists():
            advice += "; `jaxdark plot` draws its figures"
        raise RequestError(f"expected a new folder for the result, got {path}, which exists; {advice}")
    parents = [parent for parent in path.absolute().parents if not parent.exists()]
    try:
        stage.mkdir(parents=True, exist_ok=True)
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(None, "Permission denied")
    except OSError as error:
        if not is_worth_keeping(stage):
            _remove(stage, parents)
        raise RequestError(
            f"expected a folder that can be written, got {path} ({error.strerror}); name another one with --out"
        ) from None
    return parents


def _publish(stage: Path, path: Path) -> None:
    if path.exists():
        for part in stage.iterdir():
            part.replace(path / part.name)
        stage.rmdir()
    else:
        stage.replace(path)
    for folder in (path, path.absolute().parent):
        names_to_disk(folder)


def _remove(stage: Path, parents: list[Path]) -> None:
    shutil.rmtree(stage, ignore_errors=True)
    for parent in parents:
        with suppress(OSError):
            parent.rmdir()


def config_toml(command: str, settings: Mapping[str, Any]) -> str:
    """The resolved settings of a run as TOML that `--config` reads back, tables last."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping) and value is not None}
    tables = {name: value for name, value in settings.items() if isinstance(value, Mapping) and value}
    lines = [f"# jaxdark {command} --config config.toml", *(f"{name} = {_toml(v)}" for name, v in plain.items())]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A number, truth value, text or list of them; what JSON and TOML share, numbers with all their digits."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
