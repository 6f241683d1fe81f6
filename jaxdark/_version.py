"""Versions of everything that numbers depend on, and a hash of this package's own code and data.

Inputs: what is installed. Outputs: words by name, the same in two processes exactly if they compute the same.
"""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from jaxdark import __version__

_PACKAGE = "jaxdark"
_LIBRARIES = ("jax", "jaxlib", "numpy", "scipy")


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


CODE = _code()
"""Taken when this module is imported, not when a result is written: the files may have changed by then."""


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions(*further: str) -> dict[str, str]:
    """Of this package, its code, and the libraries; of further ones, those that are installed."""
    found = {name: _version(name) for name in (*_LIBRARIES, *further)}
    return {"jaxdark": __version__, "jaxdark_code": CODE[:16]} | {name: v for name, v in found.items() if v is not None}
