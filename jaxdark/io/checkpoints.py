"""What an unfinished run has done so far, on disk: named arrays in a folder, each file whole or not there at all.

Inputs: arrays. Outputs: the same arrays in a later process, once its settings are found to be those of the first.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from jaxdark.errors import RequestError

Arrays = Mapping[str, np.ndarray]
_SETTINGS = "settings.json"
_ATTEMPTS = 100
"""At a lock that its holders remove meanwhile."""


class Checkpoints:
    """Named sets of arrays, kept in a folder.

    Args:
        folder: where they are kept, made on first use; None keeps nothing.
        restart: where the folder holds a run with other settings, drop that instead of refusing.
        say: called with one sentence when an earlier run is taken up again.
    """

    def __init__(self, folder: str | Path | None, *, restart: bool = False, say: Callable[[str], None] | None = None):
        self.folder = None if folder is None else Path(folder)
        self._restart, self._say = restart, say or (lambda sentence: None)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Take up the run in the folder, or start one there.

        Args:
            settings: everything that fixes the result, in JSON's types.

        Raises:
            RequestError: the folder holds a run with other settings.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path, settings = self.folder / _SETTINGS, json.loads(json.dumps(settings))
        former = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if former == settings and has_checkpoints(self.folder):
            self._say(f"resuming the unfinished run kept in {self.folder}")
            return
        if former is not None and has_checkpoints(self.folder):
            if not self._restart:
                raise RequestError(_difference(self.folder, former, settings))
            for part in self.folder.glob("*.npz"):
                part.unlink()
        atomic_write(path, lambda file: file.write(json.dumps(settings, indent=2).encode()))

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name; they survive whatever stops the process after this call."""
        if self.folder is not None:
            atomic_write(self.folder / f"{name}.npz", lambda file: np.savez(file, **arrays))

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a name, None where there are none; raises RequestError where the file was damaged."""
        if self.folder is None or not (path := self.folder / f"{name}.npz").is_file():
            return None
        try:
            with np.load(path) as stored:
                return dict(stored)
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise RequestError(f"cannot read {path} ({error}); remove {self.folder} to start the run anew") from None

    def series(self, name: str) -> list[dict[str, np.ndarray]]:
        """What was saved as name-00001, name-00002 and so on."""
        found = []
        while (arrays := self.load(numbered(name, len(found) + 1))) is not None:
            found.append(arrays)
        return found


def numbered(name: str, k: int) -> str:
    """Name of the k-th set of a series."""
    return f"{name}-{k:05d}"


def atomic_write(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a file under a temporary name, wait until the disk has it, and rename it."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def fsync_dir(folder: Path) -> None:
    """Wait until the disk has the names in a folder; where folders cannot be opened, not."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _difference(folder: Path, former: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    names, then, now = [], former, settings
    while isinstance(then, Mapping) and isinstance(now, Mapping):
        name = next(key for key in {**then, **now} if then.get(key) != now.get(key))
        names, then, now = [*names, name], then.get(name), now.get(name)
    then, now = (str(value) if len(str(value)) < 80 else "another" for value in (then, now))
    return (
        f"the unfinished run kept in {folder} has other settings ({'.'.join(names)}: {then}, now {now}); give the same "
        "ones to resume it, start anew with --force, or name another folder with --out"
    )


@contextmanager
def file_lock(lock: Path, work: Path) -> Iterator[None]:
    """Hold a lock for this process, as long as it lives and no longer; where the system has no such locks, not.

    The holder may remove the file, alone or with its folder: who had opened it meanwhile sees that the name means
    another file now, and tries again.

    Args:
        lock: file that stands for it, made if it is not there, with its folder.
        work: what is held, for the message.

    Raises:
        RequestError: another process holds it, or the place cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    for _ in range(_ATTEMPTS):
        opened = _opened(lock, work)
        try:
            with suppress(OSError):  # a file system without locks
                try:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise _at_work(work) from None
            if _is_at(lock, opened):
                yield
                return
        finally:
            os.close(opened)
    raise _at_work(work)


def _opened(lock: Path, work: Path) -> int:
    """The file of a lock, opened without looking through a link or waiting for a pipe."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    for left in reversed(range(_ATTEMPTS)):
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            return os.open(lock, flags, 0o666)
        except OSError as error:
            if left and isinstance(error, FileNotFoundError):  # the last holder has just removed the folder
                continue
            raise RequestError(
                f"expected a place that can be written, got {work} ({error.strerror}); name another one with --out"
            ) from None
    raise _at_work(work)


def _at_work(work: Path) -> RequestError:
    return RequestError(f"another process works on {work}; wait for it, or name another place with --out")


def _is_at(path: Path, opened: int) -> bool:
    """Whether a path still means the file that was opened."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(opened))
    except FileNotFoundError:
        return False


def has_checkpoints(folder: Path) -> bool:
    """Whether a run left anything there that saves time."""
    return any(folder.glob("*.npz"))
