"""Programs kept between processes beside JAX's compile cache, so that a second call need not trace again.

Enters: what a program is made of, and the program. Leaves: a file of StableHLO and constants under a hash of all that
fixes them: the package's own code and data, versions, settings of JAX, and what the caller's function closes over. What
cannot be read, written or told apart with certainty is as if it were not there.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np
from jax import export

from jaxdark.compile_cache import switched_off

_MOST = 64
"""Files kept; those not used for longest go."""
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
        parts = [described(of, _content), described(args, _shape)]
        text = json.dumps([_CODE, versions, jax.default_backend(), settings, parts])
    except (TypeError, OSError):
        return None
    return Path(folder) / f"{_PACKAGE}-programs" / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"


def load(path: Path) -> Program | None:
    """The program kept there, if there is one that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = dict(content)
        os.utime(path)
        exported = export.deserialize(bytearray(arrays.pop("program").tobytes()))
        shape = _restored(json.loads(str(arrays.pop("form"))))
        return Program(exported.call, [arrays[f"constant_{k}"] for k in range(len(arrays))], shape)
    except Exception:
        # A file that is missing, cut off, or of a format that is not read any more.
        return None


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
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, arrays)
        for old in sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)
    return program._replace(call=exported.call)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Under a name of its own at first, so that no process reads half of a file."""
    part = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _code() -> str:
    """Hash of all files of the package as they are now."""
    total = hashlib.sha256()
    waiting = [files(_PACKAGE)]
    while waiting:
        for entry in sorted(waiting.pop().iterdir(), key=lambda entry: entry.name):
            if entry.is_dir():
                waiting.append(entry)
            elif not entry.name.endswith(".pyc"):
                total.update(f"{entry.name}\n".encode() + hashlib.sha256(entry.read_bytes()).digest())
    return total.hexdigest()


_CODE = _code()
"""Taken when this module is imported, not when a program is kept: the files may have changed by then."""


def described(value: Any, of_array: Callable[[np.ndarray], Any]) -> Any:
    """A value in JSON's types, exactly, with arrays as `of_array` has them.

    Raises:
        TypeError: a type other than plain ones, arrays and records of this package; another's code may change.
    """
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return of_array(np.asarray(value))
    if type(value) in (list, tuple):
        return {type(value).__name__: [described(part, of_array) for part in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: described(value[key], of_array) for key in sorted(value)}}
    name, fields = _record(type(value))
    return {name: {field: described(getattr(value, field), of_array) for field in fields}}


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
    cls = getattr(importlib.import_module(module), name)
    if issubclass(cls, tuple):
        return cls(**values)
    # As JAX does it: what a constructor checks are values from outside.
    record = object.__new__(cls)
    for field, value in values.items():
        object.__setattr__(record, field, value)
    return record


def _record(cls: type) -> tuple[str, tuple[str, ...]]:
    """Full name and fields of a NamedTuple or dataclass of the package."""
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        fields: Sequence[str] = cls._fields
    elif dataclasses.is_dataclass(cls):
        fields = [field.name for field in dataclasses.fields(cls)]
    else:
        raise TypeError(f"no description of {cls}")
    if cls.__module__.split(".")[0] != _PACKAGE or "." in cls.__qualname__:
        raise TypeError(f"{cls} belongs to somebody else")
    return f"{cls.__module__}:{cls.__qualname__}", tuple(fields)


def _content(array: np.ndarray) -> Any:
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no description")
    return {"array": [*_shape(array)["array"], hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]}


def _shape(array: np.ndarray) -> dict[str, list]:
    return {"array": [list(array.shape), array.dtype.str]}
