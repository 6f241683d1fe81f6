"""Files of traced programs beside JAX's compile cache, so that another process need not trace them again.

Inputs: what a program is made of, and the program. Outputs: a file of StableHLO and constants under a hash of all that
fixes them: the package's own code and data, versions, settings of JAX, and what the caller's function closes over. Any
failure is a cache miss. A file holds arrays and a program whose result is made of tuples, lists and dicts: no class is
made from it.
"""

import hashlib
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from jaxdark._version import versions
from jaxdark.compute.fingerprint import record_fingerprint, shape_and_type
from jaxdark.compute.xla_cache import is_private, make_private, switched_off

_MOST_FILES = 64
"""The files that were not used for longest are removed."""
_LARGEST = 2**28
"""Bytes of a file: those of today have at most some megabytes."""
_DIGEST = hashlib.sha256().digest_size


class Program(NamedTuple):
    """A program of flat arguments.

    Attributes:
        call: (constants, *leaves) -> PyTree of arrays.
        constants: its first argument.
    """

    call: Callable[..., Any]
    constants: list[np.ndarray]


def cache_path(closure: Any, args: Any) -> Path | None:
    """Where the program of a function is stored; None without a compile cache, or if the closure cannot be hashed.

    Args:
        closure: everything the function closes over that is not fixed by the code of the package.
        args: its arguments, PyTrees of arrays, of which the shapes and types count.
    """
    folder, on = jax.config.jax_compilation_cache_dir, jax.config.jax_enable_compilation_cache
    # JAX takes addresses of remote stores too
    if not (folder and on) or "://" in folder or switched_off():
        return None
    # Of JAX's settings `usual_rules` fixes those that change a trace, but for this one.
    environment = [versions(), sys.version, jax.default_backend(), str(jax.config.jax_default_matmul_precision)]
    try:
        key = json.dumps([environment, record_fingerprint(closure), record_fingerprint(args, shape_and_type)])
    except TypeError:
        return None
    return Path(folder) / "jaxdark-programs" / hashlib.sha256(key.encode()).hexdigest()


def load(path: Path) -> Program | None:
    """The program of a file; None unless it is a plain file of this user's that is whole.

    Its hash guards against damage and mixing. Who may write this user's files could make one that fits.
    """
    try:
        # In a folder that nobody else may write to, nobody else can exchange the file after this look at it.
        private = is_private(path.parent.lstat(), stat.S_ISDIR) and is_private(path.lstat(), stat.S_ISREG)
        if not private or path.lstat().st_size > _LARGEST:
            return None
        content = path.read_bytes()
        if content[:_DIGEST] != _digest(path, content[_DIGEST:]):
            return None
        os.utime(path)
        file, arrays = io.BytesIO(content[_DIGEST:]), []
        while file.tell() < len(content) - _DIGEST:
            arrays.append(np.lib.format.read_array(file, allow_pickle=False))
        return Program(export.deserialize(bytearray(arrays[0].tobytes())).call, arrays[1:])
    except Exception:  # those of the file system, of NumPy's format, and of JAX for formats of other versions
        return None


def save(path: Path, program: Program, leaves: Sequence[np.ndarray]) -> Program:
    """Write a program for arguments like `leaves`; returns what `load` will, or the program if it has no such form."""
    content = io.BytesIO()
    try:
        exported = export.export(jax.jit(program.call))(program.constants, *leaves)
        for array in (np.frombuffer(exported.serialize(), np.uint8), *program.constants):
            np.save(content, array, allow_pickle=False)
    except (TypeError, ValueError, NotImplementedError, ImportError):  # a result or an operation that is not exported
        return program
    with suppress(OSError):
        make_private(path.parent)
        _write(path, _digest(path, content.getvalue()) + content.getvalue())
        for old in sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime)[:-_MOST_FILES]:
            old.unlink(missing_ok=True)
    return program._replace(call=exported.call)


def _digest(path: Path, content: bytes) -> bytes:
    """Hash of the content and of the name, which says what the program is made of."""
    return hashlib.sha256(path.name.encode() + content).digest()


def _write(path: Path, content: bytes) -> None:
    """Under a name of its own at first, so that no process reads half of a file."""
    opened, part = tempfile.mkstemp(".part", dir=path.parent)
    try:
        with open(opened, "wb") as file:
            file.write(content)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
