"""Programs kept between processes beside JAX's compile cache, so that a second call need not trace again.

Inputs: what a program is made of, and the program. Outputs: a file of StableHLO and constants under a hash of all that
fixes them: the package's own code and data, versions, settings of JAX, and what the caller's function closes over. What
cannot be read, written or told apart with certainty is as if it were not there.
"""

import dataclasses
import hashlib
import importlib
import io
import json
import os
import secrets
import stat
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np
from jax import export

from jaxdark._version import CODE as _CODE
from jaxdark.compute.xla_cache import is_private, make_private, switched_off

_MOST = 64
"""Files kept; those not used for longest go."""
_LARGEST = 2**28
"""Bytes of a file, and of what is in it: those of today have some megabytes."""
_BINARY = getattr(os, "O_BINARY", 0)
_PACKAGE = "jaxdark"


class Program(NamedTuple):
    """A program of flat arguments.

    Attributes:
        call: (constants, *leaves) -> list of arrays.
        constants: its first argument.
        shape: a PyTree of the structure of its result.
    """

    call: Callable[..., list]
    constants: list[np.ndarray]
    shape: Any

    def result(self, arrays: list[np.ndarray]) -> Any:
        """The PyTree that the function it was made of returns."""
        return jax.tree.unflatten(jax.tree.structure(self.shape), arrays)


def place(of: Any, args: Any) -> Path | None:
    """Where the program of a function is kept; None without a compile cache, or for what has no sure description.

    Args:
        of: everything the function closes over that is not fixed by the code of the package.
        args: its arguments, PyTrees of arrays.
    """
    folder, on = jax.config.jax_compilation_cache_dir, jax.config.jax_enable_compilation_cache
    # JAX takes addresses of remote stores too
    if not (folder and on) or "://" in folder or switched_off():
        return None
    names = ("jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_dtype_promotion")
    settings = [str(getattr(jax.config, name)) for name in names]
    versions = [sys.version, jax.__version__, jaxlib.__version__, np.__version__]
    try:
        parts = [described(of, content), described(args, _shape)]
        text = json.dumps([_CODE, versions, jax.default_backend(), settings, parts])
    except (TypeError, OSError):
        return None
    return Path(folder) / f"{_PACKAGE}-programs" / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"


def load(path: Path) -> Program | None:
    """The program kept there, if there is one that can be read, is whole and was kept by this user.

    Its hash guards against damage and mixing. Who may write this user's files could make one that fits.
    """
    try:
        arrays = _read(path)
        os.utime(path)
        exported = export.deserialize(bytearray(arrays.pop("program").tobytes()))
        shape = _restored(json.loads(str(arrays.pop("form"))))
        return Program(exported.call, [arrays[f"constant_{k}"] for k in range(len(arrays))], shape)
    except Exception:
        # A file that is missing, cut off, somebody else's, or of a format that is not read any more.
        return None


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; raises ValueError or OSError unless it is a plain file of this user's with its own hash."""
    if not is_private(path.parent.lstat(), stat.S_ISDIR):
        raise PermissionError(f"{path.parent} may be written by others")
    # Neither through a link nor waiting for whoever may write to a pipe.
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with open(opened, "rb") as file:
        found = os.fstat(opened)
        if not is_private(found, stat.S_ISREG) or found.st_size > _LARGEST:
            raise PermissionError(f"{path} is no file that this user keeps")
        whole = io.BytesIO(file.read(_LARGEST))
    with zipfile.ZipFile(whole) as parts:
        if sum(part.file_size for part in parts.infolist()) > _LARGEST:
            raise ValueError(f"{path} is too large")
    with np.load(whole, allow_pickle=False) as stored:
        arrays = dict(stored)
    if str(arrays.pop("sha256")) != _digest(path, arrays):
        raise ValueError(f"{path} has changed since it was written")
    return arrays


def _digest(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Hash of all parts, and of the name, which says what the program is made of."""
    text = json.dumps([path.name, {name: content(array) for name, array in arrays.items()}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: Path, program: Program, leaves: Sequence[np.ndarray]) -> Program:
    """Keep a program for arguments like `leaves`; returns what will be loaded, or itself if it cannot be kept."""
    try:
        form = _form(program.shape)
        exported = export.export(jax.jit(program.call))(program.constants, *leaves)
        arrays = {"program": np.frombuffer(exported.serialize(), np.uint8), "form": np.array(json.dumps(form))}
    except (TypeError, ValueError, NotImplementedError, ImportError):
        # A result or an operation that has no form of its own in a file.
        return program
    arrays |= {f"constant_{k}": value for k, value in enumerate(program.constants)}
    with suppress(OSError):
        make_private(path.parent)
        _write(path, arrays | {"sha256": np.array(_digest(path, arrays))})
        for old in sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)
    return program._replace(call=exported.call)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Under a name of its own at first, so that no process reads half of a file."""
    part = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), "wb") as file:
            np.savez(file, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def described(value: Any, of_array: Callable[[Any], Any], of_other: Callable[[Any], Any] | None = None) -> Any:
    """A value in JSON's types, exactly, with arrays as `of_array` has them.

    Args:
        value: the value.
        of_array: describes an array.
        of_other: describes what is neither plain nor an array nor a record of this package, another's code may change;
            without it there is no description of such.

    Raises:
        TypeError: there is no description.
    """
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return of_array(value)
    if type(value) in (list, tuple):
        return {type(value).__name__: [described(part, of_array, of_other) for part in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: described(value[key], of_array, of_other) for key in sorted(value)}}
    if of_other is not None and not _is_own(type(value)):
        return of_other(value)
    name, fields = _record(type(value))
    return {name: {field: described(getattr(value, field), of_array, of_other) for field in fields}}


def _form(shape: Any) -> Any:
    """The structure of a PyTree in JSON's types, for `_restored`.

    Raises:
        TypeError: it has no description, or would not come back the same.
    """
    form = described(jax.tree.map(lambda _: np.zeros(()), shape), _shape)
    if jax.tree.structure(_restored(form)) != jax.tree.structure(shape):
        raise TypeError(f"{shape} has more to it than its description")
    return form


def _restored(description: Any) -> Any:
    """The value that was `described`, with zeros for its arrays."""
    if not isinstance(description, dict):
        return description
    ((kind, content),) = description.items()
    if kind == "array":
        return np.zeros(())
    if kind == "float":
        return float.fromhex(content)
    if kind in ("list", "tuple"):
        parts = [_restored(part) for part in content]
        return parts if kind == "list" else tuple(parts)
    values = {name: _restored(part) for name, part in content.items()}
    if kind == "dict":
        return values
    module, _, name = kind.partition(":")
    if module.split(".")[0] != _PACKAGE:
        raise TypeError(f"{kind} belongs to somebody else")
    cls = getattr(importlib.import_module(module), name)
    if not (isinstance(cls, type) and _record(cls) == (kind, tuple(values))):
        raise TypeError(f"{kind} is no record with the fields {', '.join(values)}")
    if issubclass(cls, tuple):
        return cls(**values)
    # As JAX does it: what a constructor checks are values from outside.
    record = object.__new__(cls)
    for field, value in values.items():
        object.__setattr__(record, field, value)
    return record


def record_fields(cls: type) -> tuple[str, ...] | None:
    """Fields of a NamedTuple or dataclass; None for other classes."""
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else None


def _is_own(cls: type) -> bool:
    """Whether a class is a record of the package, which can be found again by its name."""
    named = cls.__module__.split(".")[0] == _PACKAGE and "." not in cls.__qualname__
    return named and record_fields(cls) is not None


def _record(cls: type) -> tuple[str, tuple[str, ...]]:
    """Full name and fields of a NamedTuple or dataclass of the package."""
    if not _is_own(cls):
        raise TypeError(f"no description of {cls}, or it belongs to somebody else")
    return f"{cls.__module__}:{cls.__qualname__}", record_fields(cls) or ()


def content(array: Any) -> dict[str, list]:
    """Shape, type and hash of an array."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no description")
    return {"array": [*_shape(array)["array"], hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]}


def _shape(array: Any) -> dict[str, list]:
    return {"array": [[*np.shape(array)], np.asarray(array).dtype.str]}
