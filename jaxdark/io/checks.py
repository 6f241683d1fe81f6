"""Checks of single numbers and choices that enter a record; a RequestError in one sentence is raised.

Inputs: a name and a value. Outputs: nothing, or the value. Inside jit, vmap and grad shape and type are checked, not
the value.
"""

import numpy as np
from jax.core import Tracer

from jaxdark.errors import RequestError, shown


def check_number(name: str, value: object, *, is_complex: bool = False, positive: str = "", least: str = "") -> None:
    """Raise RequestError unless the value is one finite number.

    Args:
        name: what it is called in the message, such as "m_V of Resonance".
        value: a number, or an array or a tracer of shape ().
        is_complex: whether an imaginary part is allowed.
        positive: what it is, such as "a mass in GeV", if it must be positive.
        least: likewise if it must not be negative.
    """
    traced = isinstance(value, Tracer)
    shape, kind = (value.shape, value.dtype.kind) if traced else _shape_and_kind(value)
    wanted = "number" if is_complex else "real number"
    if kind not in ("iufc" if is_complex else "iuf"):
        got = f"a traced value of type {value.dtype}" if traced else repr(value)
        raise RequestError(f"{name} must be one {wanted}, got {got}")
    if shape:
        raise RequestError(f"{name} must be one {wanted}, got shape {shape}: make batches with jax.vmap")
    if traced:
        return
    value = np.asarray(value)  # while something else is traced, comparing an array of JAX would be as well
    if not np.isfinite(value):
        raise RequestError(f"{name} must be finite, got {value}")
    if positive and not value > 0:
        raise RequestError(f"{name} is {positive} and must be positive, got {value}")
    if least and not value >= 0:
        raise RequestError(f"{name} is {least} and must not be negative, got {value}")


def _shape_and_kind(value: object) -> tuple[tuple[int, ...], str]:
    """Shape and NumPy's letter for the type; the letter O for what is no number, such as a list."""
    if isinstance(value, bool) or not (hasattr(value, "dtype") or isinstance(value, int | float | complex)):
        return (), "O"
    array = np.asarray(value)
    return array.shape, array.dtype.kind


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """The value if it is among the known ones; else raises RequestError."""
    if value not in known:
        raise RequestError(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    return value
