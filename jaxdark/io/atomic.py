"""Places on disk: where a result may be written, and how it appears there whole and costs nothing that was there.

Inputs: paths. Outputs: hidden folders beside them to work in, and files and folders renamed into place. A working
folder `.NAME.HEX` (`.NAME.partial` for a run that can be resumed) is locked while its process lives; those of processes
that were killed are put away when the next one starts beside the same place.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from unicodedata import category

from jaxdark.errors import RequestError
from jaxdark.io.checkpoints import fsync_dir, has_checkpoints

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

_LOCK, _RESULT, _FORMER = "lock", "result", "former"
_AT_FDCWD, _NO_REPLACE, _EXCHANGE = -100, 1, 2
"""Of renameat2: linux/fcntl.h and linux/fs.h."""
_LONGEST = 200
"""Bytes of a name; those of working folders are longer, and disks take 255."""
_OURS = re.compile(
    r"(posterior|profile|draws-.+)\.nc|(summary|fit)\.json|config\.toml|report\.html|claims\.(json|md)|scan\.zarr|"
    r"(corner|trace|plane|pulls|profile|overlay|box|figure_.+)\.(png|pdf)|\..+\.([0-9a-f]{8}|part|lock|png|pdf)"
)
"""Names in the folder of a result that are of jaxdark, with what killed processes left of them."""

_at_work: dict[Path, Path] = {}
"""Working folders of this process, and the places that they are for."""


def checked(place: str | Path) -> Path:
    """The absolute path of a file or folder that is to be written, through a link to what exists.

    Raises:
        RequestError: nothing can have that name, or it is a link to nothing.
    """
    path, text = Path(place), os.fspath(place)
    if path.name in ("", "..") or not text.strip():
        raise RequestError(f"expected the name of a new file or folder, got {text!r}; name one with --out")
    if any(category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        raise RequestError(f"expected a name of printable characters, got {text!r}; name another one with --out")
    if (size := len(path.name.encode())) > _LONGEST:
        raise RequestError(
            f"expected a name of at most {_LONGEST} bytes, got {path.name[:40]}... of {size}; name another one with "
            "--out"
        )
    try:
        if path.is_symlink() and not path.exists():
            raise RequestError(f"{path} is a link to {path.readlink()}, where nothing is; name another one with --out")
        return path.resolve() if path.is_symlink() else path.absolute()
    except OSError as error:
        raise not_writable(path, error) from None


def not_writable(path: Path, error: OSError, advice: str = "name another one with --out") -> RequestError:
    """What is said of a place that cannot be written."""
    return RequestError(f"expected a place that can be written, got {path} ({error.strerror or error}); {advice}")


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` to write into, gone when the block ends, with parents that were made for it.

    Raises:
        RequestError: the place cannot be written.
    """
    parents: list[Path] = []
    try:
        parents = missing_parents(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        clear(path)
        place, lock = _new(path)
    except OSError as error:
        remove_empty(parents)
        raise not_writable(path, error) from None
    try:
        with at_work(place, path):
            yield place
    finally:
        _close(lock)
        remove_empty(parents)


@contextmanager
def at_work(place: Path, path: Path) -> Iterator[None]:
    """Put the working folder `place` for `path` away when the block ends, or the process by `abandon`."""
    _at_work[place] = path
    try:
        yield
    finally:
        put_away(place, path)
        del _at_work[place]


def abandon() -> list[Path]:
    """Put away all working folders of this process, which ends at once; returns those that keep an unfinished run."""
    for place, path in (left := dict(_at_work)).items():
        put_away(place, path)
    return [place for place in left if place.exists()]


def put_away(place: Path, path: Path) -> None:
    """Remove a working folder but for what an unfinished run keeps there; a folder that was moved aside comes back."""
    clean(place, path)
    if not has_checkpoints(place):
        shutil.rmtree(place, ignore_errors=True)


def clean(place: Path, path: Path) -> None:
    """Remove what a working folder holds of a result; a folder that was moved aside for it comes back."""
    if (place / _FORMER).exists() and not path.exists():
        with suppress(OSError):
            (place / _FORMER).rename(path)
    for part in (_FORMER, _RESULT):
        shutil.rmtree(place / part, ignore_errors=True)


def new_name(path: Path) -> Path:
    """A name for a working folder beside a path."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _new(path: Path) -> tuple[Path, int]:
    """A working folder beside a path, and its lock."""
    while True:
        place = new_name(path)
        _at_work[place] = path
        lock = None
        try:
            place.mkdir()
            with suppress(FileNotFoundError):  # somebody who clears up may be faster
                lock = _taken(place / _LOCK, os.O_CREAT)
        finally:
            if lock is None:
                put_away(place, path)
                del _at_work[place]
        if lock is not None:
            return place, lock


def clear(path: Path) -> None:
    """Put away what killed processes left beside a path."""
    for place in path.parent.iterdir():
        if not re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}", place.name):
            continue
        with suppress(OSError):
            if not any(place.iterdir()):
                place.rmdir()
            elif (lock := _taken(place / _LOCK)) is not None and lock != _NO_LOCKS:
                put_away(place, path)
                _close(lock)


_NO_LOCKS = -1


def _taken(lock: Path, flags: int = 0, *, wait: bool = False) -> int | None:
    """Take a lock that lasts as long as the process at most; None if another one has it, and does not wait.

    Returns:
        What `_close` takes; _NO_LOCKS on a system without locks.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        file = os.open(lock, os.O_RDWR | flags, 0o666)
        try:
            if fcntl is None:
                raise OSError(errno.ENOLCK, "no locks")
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.stat(lock), os.fstat(file)):
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(file)
            return _NO_LOCKS
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the file went while it was waited for: whoever had the lock has removed it


def _close(lock: int) -> None:
    if lock != _NO_LOCKS:
        os.close(lock)


@contextmanager
def changing(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a file that is read, changed and written again; yields whether it is held, without waiting it may not be.

    Raises:
        RequestError: its folder cannot be written.
    """
    path = file.with_name(f".{file.name}.lock")
    try:
        lock = _taken(path, os.O_CREAT, wait=wait)
    except OSError as error:
        raise not_writable(file, error, "make its folder writable, or work on a copy of it") from None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)  # before the lock goes, so that nobody holds a file that is not there
            _close(lock)


def publish(part: Path, path: Path) -> None:
    """Rename a file or folder to a name that nothing has.

    Raises:
        RequestError: something was made there meanwhile; it stays as it is.
    """
    try:
        _rename(part, path, _NO_REPLACE)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):
            raise
        raise RequestError(
            f"{path} was made by somebody else while the work was done, and is left as it is; name another one with "
            "--out"
        ) from None
    fsync_dir(path.parent)


def ours(path: Path) -> bool:
    """Whether a folder holds files that jaxdark writes into the folder of a result."""
    return any(_OURS.fullmatch(part.name) and not part.name.startswith(".") for part in path.iterdir())


def replace_folder(place: Path, path: Path, keep: Collection[str] = ()) -> None:
    """Let the folder `result` of a working folder take the place of the folder `path`, in one step where there is one.

    Files that are not of jaxdark, and those to `keep`, go along. Where the system cannot exchange two names the old
    folder is moved aside first, and back by `put_away` if the process is killed before the new one is in place.
    """
    stage = place / _RESULT
    with changing(path / "posterior.nc"):
        for part in path.iterdir():
            goes = _OURS.fullmatch(part.name) and part.name not in keep
            if not (goes or (stage / part.name).exists()):
                _link(part, stage / part.name)
        shutil.copymode(path, stage)
        fsync_dir(stage)
        try:
            _rename(stage, path, _EXCHANGE)
        except OSError as error:
            if error.errno not in _NOT_KNOWN:
                raise
            path.rename(place / _FORMER)
            try:
                stage.rename(path)
            except BaseException:
                (place / _FORMER).rename(path)
                raise
    fsync_dir(path.parent)


_NOT_KNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def _rename(old: Path, new: Path, flag: int) -> None:
    """renameat2 of Linux, or what comes next to it where the system or the disk has none."""
    try:
        if (call := _renameat2()) is None:
            raise OSError(errno.ENOSYS, "no renameat2")
        if call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flag):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(new))
    except OSError as error:
        if error.errno not in _NOT_KNOWN or flag != _NO_REPLACE:
            raise
        if old.is_dir():
            if new.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
            old.rename(new)  # refuses what is not empty
        else:
            _link(old, new)
            old.unlink()


@cache
def _renameat2():
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


def _link(old: Path, new: Path) -> None:
    """The same file, link or folder of files under a second name; a copy where the disk has no second names."""
    if old.is_dir() and not old.is_symlink():
        new.mkdir()
        for part in old.iterdir():
            _link(part, new / part.name)
        shutil.copystat(old, new)
        return
    try:
        os.link(old, new, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(old, new, follow_symlinks=False)


def missing_parents(path: Path) -> list[Path]:
    """Parents of a path that are not there, the nearest first."""
    return [parent for parent in path.parents if not parent.exists()]


def remove_empty(parents: list[Path]) -> None:
    """Remove those of some folders, the innermost first, that are empty."""
    for parent in parents:
        with suppress(OSError):
            parent.rmdir()
