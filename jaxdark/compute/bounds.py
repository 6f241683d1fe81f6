"""Bounds on what is asked for, said before the work starts: seeds, and sizes that must fit into memory or on a disk.

Inputs: numbers of a request. Outputs: nothing, or one sentence with the size, what is there and what to do.
"""

import math
import operator
import os
import shutil
from pathlib import Path
from typing import Any

from jaxdark.errors import RequestError

LARGEST_SEED = 2**63 - 1
"""What every generator in use takes."""
_MANY = 10**20
_SHARE = 0.8
"""Of the memory that is free, what one piece of work may fill."""


def checked_seed(seed: Any) -> int:
    """The seed as an integer.

    Raises:
        RequestError: it is not a whole number from 0 to `LARGEST_SEED`.
    """
    try:
        found = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        found = -1
    if not 0 <= found <= LARGEST_SEED:
        shown = count(seed) if isinstance(seed, int) and not isinstance(seed, bool) else repr(seed)
        raise RequestError(f"expected a whole number from 0 to {LARGEST_SEED} as seed, got {shown}; take such a one")
    return found


def fits_memory(size: int, what: str, advice: str) -> None:
    """Raise RequestError unless so many bytes fit into the memory that is free.

    Args:
        size: bytes.
        what: what needs them, for the sentence, such as "a profile of 100 points".
        advice: what to do, such as "take fewer points".
    """
    free = _free_memory()
    if free is not None and size > _SHARE * free:
        raise RequestError(
            f"expected what fits into the memory that is free, {readable(free)}, got {what}, which needs "
            f"{readable(size)}; {advice}"
        )


def fits_disk(size: int, place: Path, what: str, advice: str) -> None:
    """Raise RequestError unless so many bytes fit on the disk of a place, which need not exist yet; else as above."""
    there = next((part for part in (place.absolute(), *place.absolute().parents) if part.exists()), None)
    try:
        free = None if there is None else shutil.disk_usage(there).free
    except OSError:  # some network file systems do not say
        return
    if free is not None and size > free:
        raise RequestError(
            f"expected what fits on the disk of {place}, where {readable(free)} are free, got {what}, which needs "
            f"{readable(size)}; {advice}"
        )


def readable(size: float) -> str:
    """A number of bytes with a unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size = size / 1000 if size < _MANY else size // 1000
    return f"{count(int(size))} EB"


def count(n: int) -> str:
    """A whole number, a very large one by its power of ten: Python writes out no more than some thousand digits."""
    return str(n) if abs(n) < _MANY else f"{'-' if n < 0 else ''}10^{math.log10(abs(n)):.1f}"


def _free_memory() -> float | None:
    """Bytes, of this machine or of the share of it this process may use; None where the system does not say."""
    found = [part for part in (_of_machine(), _of_group()) if part is not None]
    return min(found) if found else None


def _of_machine() -> float | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None


def _of_group() -> float | None:
    """What a container or a batch system leaves, by Linux's control groups."""
    group = Path("/sys/fs/cgroup")
    try:
        most, used = ((group / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        return None if most == "max" else max(0.0, float(most) - float(used))
    except (OSError, ValueError):
        return None
