"""Double precision: switched on by the user, demanded by the library, never changed behind anyone's back.

Also the rules by which JAX's arrays meet, those that the library is written for, whatever the user has set.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax

from jaxdark.errors import RequestError

_USUAL_RULES = {
    "enable_x64": True,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "transfer_guard": "allow",
}
"""Settings of JAX by the names of their context managers, `jax.NAME`; `jax_NAME` for a whole process."""


def enable_x64() -> None:
    """Switch JAX to double precision for the whole process."""
    jax.config.update("jax_enable_x64", True)


def require_x64() -> None:
    """Raise RequestError unless JAX computes in double precision.

    The loop functions divide by (x - 1)^4 and the bin integrals cancel over many orders of magnitude, so single
    precision gives wrong numbers rather than inaccurate ones.
    """
    if not jax.config.jax_enable_x64:
        raise RequestError(
            "jaxdark needs double precision but JAX is set to float32: call jaxdark.enable_x64() first, "
            "or set the environment variable JAX_ENABLE_X64=1"
        )


@contextmanager
def usual_rules(*, in_thread: bool = False) -> Iterator[None]:
    """Double precision and JAX's own rules of promotion and transfer for this thread, also as a decorator.

    Who sets stricter ones for the own code finds mistakes there; in here real and complex numbers, scalars and arrays
    meet on purpose, and constants travel to the device. The precision is never changed, only handed on.

    Args:
        in_thread: of a thread of the library's own, which has nothing of what the user's thread has set for itself,
            such as `with jax.enable_x64(True)`, and where that was in double precision.

    Raises:
        RequestError: single precision, of any other thread.
    """
    if not in_thread:
        require_x64()
    with ExitStack() as rules:
        for name, value in _USUAL_RULES.items():
            rules.enter_context(getattr(jax, name)(value))
        yield


def set_usual_rules() -> None:
    """The rules of `usual_rules` for a process in which no code but this package's runs."""
    for name, value in _USUAL_RULES.items():
        jax.config.update(f"jax_{name}", value)
