"""Results on disk as the commands read and change them: posterior.nc and the summary.json that follows from it.

Inputs: the folder of a result, or its file. Outputs: the ArviZ object; both files whole, and of the same numbers.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxdark.errors import RequestError


def load(result: Path, *needs: str):
    """A result, see `results.load`; a summary.json that a killed process left behind is brought up to date.

    Raises:
        RequestError: there is none, or it lacks what is needed.
    """
    from jaxdark.io import atomic, results

    path = results.file_of(result)
    tree = results.load(path, *needs)
    for written in (path, path.with_name("figures"), path.with_name("report.html")):
        with suppress(OSError):
            atomic.clear(written.absolute())
    if _is_behind(path, tree) or path.with_name(f".{path.name}.lock").exists():
        try:
            with atomic.changing(path, wait=False) as acquired:
                if acquired and _is_behind(path, tree):
                    tree = results.load(path, *needs)
                    _write_summary(path, tree)
        except (RequestError, OSError):
            pass  # another process holds the files, or they are read-only; what is used is the summary in posterior.nc
    return tree


@contextmanager
def locked(result: Path, *needs: str) -> Iterator[Any]:
    """A result, as `load` gives it, that no other process changes until the block ends.

    Raises:
        RequestError: there is none, it lacks what is needed, or its folder cannot be written.
    """
    from jaxdark.io import atomic, results

    path = results.file_of(result)
    load(path, *needs)  # a wrong result is refused before anything is written beside it
    with atomic.changing(path):
        yield results.load(path, *needs)


def change(result: Path, with_more: Callable, *needs: str) -> dict[str, Any]:
    """Add to a result; another process that adds to it waits.

    Args:
        result: folder or file.
        with_more: from an ArviZ object to the one with more in it.
        needs: as in `load`.

    Returns:
        The new summary.

    Raises:
        RequestError: there is no result, it lacks what is needed, or it cannot be written.
    """
    from jaxdark.io import results

    path = results.file_of(result)
    with locked(result, *needs) as tree:
        tree = with_more(tree)
        results.save(tree, path)
        _write_summary(path, tree)
    return results.summary(tree)


def _summary_text(tree) -> str:
    from jaxdark.io import results
    from jaxdark.output import tables

    return tables.to_json(results.summary(tree)) + "\n"


def _write_summary(path: Path, tree) -> None:
    """Written after posterior.nc, from which it follows; `load` does it again if the process is killed between them."""
    from jaxdark.io import result_dir

    result_dir.write_text(path.with_name("summary.json"), _summary_text(tree))


def _is_behind(path: Path, tree) -> bool:
    """Whether summary.json says something else than the result beside it."""
    summary_file = path.with_name("summary.json")
    if path.name != "posterior.nc" or not summary_file.is_file():
        return False
    try:
        return json.loads(summary_file.read_text(encoding="utf-8")) != json.loads(_summary_text(tree))
    except (OSError, ValueError):
        return True
