"""What a run leaves on disk: its folder, whole or not at all, and its resolved configuration.

Inputs: paths and settings. Outputs: files written under a temporary name and renamed.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxdark.errors import RequestError
from jaxdark.io import atomic
from jaxdark.io.checkpoints import Checkpoints, atomic_write, file_lock, has_checkpoints


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that it is never seen half-written."""
    atomic_write(path, lambda file: file.write(text.encode()))


@contextmanager
def result_folder(path: str | Path, *, force: bool = False, keep: Sequence[str] = ()) -> Iterator[Path]:
    """A hidden folder beside `path` to write into, which becomes `path` when the block ends without an error.

    It is made before the work starts, so that a place that cannot be written is known at once, and removed if the work
    fails or is stopped.

    Args:
        path: the folder of the result.
        force: if it exists, the new folder takes its place in one step. All that jaxdark wrote into the old one goes,
            of whatever command; files of others go along into the new one.
        keep: names of jaxdark's that go along too.

    Raises:
        RequestError: the folder exists, or was made meanwhile, and force is not set; it is a file; or it cannot be
            written.
    """
    path = _new_folder(path, force)
    with atomic.workplace(path) as place:
        stage = place / "result"
        stage.mkdir()
        yield stage
        _publish(stage, path, force, keep)


@contextmanager
def resumable_folder(
    path: str | Path, *, force: bool = False, say: Callable[[str], None] | None = None
) -> Iterator[tuple[Path, Checkpoints]]:
    """A folder to write into, as `result_folder`, and checkpoints beside it that outlive an interruption.

    Both lie in a hidden folder `.NAME.partial` beside `path`, which is removed once the result is in place. If the
    work fails or is killed its checkpoints stay, and the next call with the same path finds them.

    Args:
        path: the folder of the result.
        force: as in `result_folder`; and drop checkpoints of a run with other settings.
        say: told in one sentence when an earlier run is taken up again.

    Raises:
        RequestError: as `result_folder`; or another process is at work on the same folder.
    """
    path = _new_folder(path, force)
    partial, parents = path.with_name(f".{path.name}.partial"), atomic.missing_parents(path)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        atomic.clear(path)
    except OSError as error:
        atomic.remove_empty(parents)
        raise atomic.not_writable(path, error) from None
    stage = partial / "result"
    try:
        with file_lock(partial / "lock", path), atomic.at_work(partial, path):
            atomic.clean(partial, path)
            stage.mkdir()
            try:
                yield stage, Checkpoints(partial, restart=force, say=say)
                _publish(stage, path, force)
            except BaseException as error:
                if has_checkpoints(partial):
                    error.add_note(f"what was done is kept in {partial}; give the same command to resume there")
                raise
            done = atomic.new_name(path)  # whoever is killed from here on leaves nothing to resume
            partial.rename(done)
            shutil.rmtree(done, ignore_errors=True)
    finally:
        atomic.remove_empty(parents)


@contextmanager
def new_file(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """A hidden path to write to, which becomes the file `path` when the block ends without an error.

    Args:
        path: of the file.
        replace: an older file.

    Raises:
        RequestError: something is there, or was made meanwhile, or it cannot be written.
    """
    given, path = path, atomic.checked(path)
    if path.exists() and not replace:
        raise RequestError(f"expected a new file, got {given}, which exists; name another one with --out")
    with atomic.workplace(path) as place:
        part = place / path.name
        yield part
        if replace:
            part.replace(path)
        else:
            atomic.publish(part, path)


@contextmanager
def added_to(folder: Path) -> Iterator[Path]:
    """A hidden folder in an existing one, whose files replace those of the same names there, each whole.

    Raises:
        RequestError: it cannot be written.
    """
    with atomic.workplace(folder.absolute() / "figures") as place:
        stage = place / "result"
        stage.mkdir()
        try:
            yield stage
        except (OSError, KeyboardInterrupt) as error:
            error.add_note(f"the numbers are in {folder}, and `jaxdark plot` draws them")
            raise
        for part in stage.iterdir():
            part.replace(folder / part.name)


def holds_result(path: str | Path) -> bool:
    """Whether a place that can be written is a folder with files of jaxdark.

    Raises:
        RequestError: it cannot be written, or is a file.
    """
    given, path = path, atomic.checked(path)
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir():
        raise RequestError(f"expected a folder, got {given}, where {there} is a file; name another place with --out")
    if not os.access(there, os.W_OK):
        raise RequestError(f"expected a place that can be written, got {given}; name another one with --out")
    return path.is_dir() and atomic.ours(path)


def _new_folder(path: str | Path, force: bool) -> Path:
    """The path of a folder that is to be made or, with force, replaced."""
    given, path = path, atomic.checked(path)
    if not path.exists():
        return path
    if not (force and path.is_dir()):
        advice = "name another folder with --out" + (", or replace its files with --force" if path.is_dir() else "")
        if (path / "posterior.nc").exists():
            advice += "; `jaxdark plot` draws its figures"
        raise RequestError(f"expected a new folder for the result, got {given}, which exists; {advice}")
    if path.is_mount() or not os.access(path, os.W_OK):
        reason = "the root of a disk, which cannot be replaced" if path.is_mount() else "Permission denied"
        raise RequestError(
            f"expected a folder that can be written, got {given} ({reason}); name another one with --out"
        )
    return path


def _publish(stage: Path, path: Path, force: bool, keep: Sequence[str] = ()) -> None:
    if force and path.is_dir():
        atomic.replace_folder(stage.parent, path, keep)
    else:
        atomic.publish(stage, path)


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
