"""JAX's compile cache in the user's cache folder, and the switch that leaves it off.

Inputs: the environment. Outputs: a setting of JAX.
"""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

CACHE_SWITCH = "JAXDARK_COMPILE_CACHE"
"""Environment variable; 0 leaves JAX's compile cache off."""


def switched_off() -> bool:
    """Whether the user wants no programs kept."""
    return os.environ.get(CACHE_SWITCH) == "0"


def use_compile_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless switched off or set up by the user already.

    Only speed depends on it: JAX compiles again whatever it cannot read. A folder that belongs to somebody else, or
    that others may write to, is not used: JAX runs what it finds there. Nor is one that holds a pipe or a link: JAX
    would wait for the one for ever, and follow the other to a device.
    """
    import jax

    if switched_off() or jax.config.jax_compilation_cache_dir:
        return
    try:
        folder = _user_cache() / "jaxdark" / "xla"
        make_private(folder)
        usable = is_private(folder.stat(), stat.S_ISDIR) and os.access(folder, os.W_OK)
        with os.scandir(folder) as entries:
            kinds = (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) for entry in entries)
            usable = usable and all(kinds)
    except (OSError, RuntimeError):
        return
    if usable:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # By default programs that compile in less than a second are not kept, and a point is made of such.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def is_private(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether a file or folder is of a kind of `stat`, belongs to this user, and nobody else may write to it."""
    if not is_kind(found.st_mode):
        return False
    if not hasattr(os, "geteuid"):  # Windows, whose folders of a user are private as they are
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may read or write; take the right to write from others where it is there."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if stat.S_ISDIR(found.st_mode) and hasattr(os, "geteuid") and found.st_uid == os.geteuid():
        folder.chmod(stat.S_IMODE(found.st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home()))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
