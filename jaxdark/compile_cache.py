"""JAX's compile cache in the user's cache folder, and the switch that leaves it off.

Enters: the environment. Leaves: a setting of JAX.
"""

import os
import sys
from pathlib import Path

CACHE_SWITCH = "JAXDARK_COMPILE_CACHE"
"""Environment variable; 0 leaves JAX's compile cache off."""


def switched_off() -> bool:
    """Whether the user wants no programs kept."""
    return os.environ.get(CACHE_SWITCH) == "0"


def use_compile_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless switched off or set up by the user already.

    Only speed depends on it: JAX compiles again whatever it cannot read.
    """
    import jax

    if switched_off() or jax.config.jax_compilation_cache_dir:
        return
    try:
        folder = _user_cache() / "jaxdark" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # By default programs that compile in less than a second are not kept, and a point is made of such.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home()))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
