"""Results on disk as the commands read and change them: posterior.nc and the summary.json that follows from it.

Inputs: the folder of a result, or its file. Outputs: the ArviZ object; both files whole, and of the same numbers.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxdark.errors import RequestError


def load(place: Path, *needs: str):
    """A result, see `results.load`; a summary.json that a killed process left behind is brought up to date.

    Raises:
        RequestError: there is none, or it lacks what is needed.
    """
    from jaxdark.io import atomic, results

    path = results.file_of(place)
    tree = results.load(path, *needs)
    for left in (path, path.with_name("figures"), path.with_name("report.html")):
        with suppress(OSError):
            atomic.clear(left.absolute())
    if _is_behind(path, tree) or path.with_name(f".{path.name}.lock").exists():
        try:
            with atomic.changing(path, wait=False) as mine:
                if mine and _is_behind(path, tree):
                    tree = results.load(path, *needs)
                    _write_summary(path, tree)
        except (RequestError, OSError):
            pass  # of somebody else, who has the files: the summary that is used is that of posterior.nc
    return tree


@contextmanager
def held(place: Path, *needs: str) -> Iterator[Any]:
    """A result, as `load` gives it, that nobody else changes until the block ends.

    Raises:
        RequestError: there is none, it lacks what is needed, or its folder cannot be written.
    """
    from jaxdark.io import atomic, results

    path = results.file_of(place)
    load(path, *needs)  # refused before anything is written beside it
    with atomic.changing(path):
        yield results.load(path, *needs)


def change(place: Path, with_more: Callable, *needs: str) -> dict[str, Any]:
    """Add to a result; whoever else adds to it meanwhile waits.

    Args:
        place: folder or file.
        with_more: from an ArviZ object to the one with more in it.
        needs: as in `load`.

    Returns:
        The new summary.

    Raises:
        RequestError: there is no result, it lacks what is needed, or it cannot be written.
    """
    from jaxdark.io import results

    path = results.file_of(place)
    with held(place, *needs) as tree:
        tree = with_more(tree)
        results.save(tree, path)
        _write_summary(path, tree)
    return results.summary(tree)


def _summary_text(tree) -> str:
    from jaxdark.io import results
    from jaxdark.output import tables

    return tables.to_json(results.summary(tree)) + "\n"


def _write_summary(path: Path, tree) -> None:
    """After posterior.nc, from which it follows: `load` does it again if the process is killed between the two."""
    from jaxdark.io import result_dir

    result_dir.write_text(path.with_name("summary.json"), _summary_text(tree))


def _is_behind(path: Path, tree) -> bool:
    beside = path.with_name("summary.json")
    if path.name != "posterior.nc" or not beside.is_file():
        return False
    try:
        return json.loads(beside.read_text(encoding="utf-8")) != json.loads(_summary_text(tree))
    except (OSError, ValueError):
        return True
