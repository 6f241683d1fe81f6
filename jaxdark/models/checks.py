"""Checks of what models and records are built from.

Inputs: values as a user gives them. Outputs: double-precision arrays, or RequestError with one sentence.

Inside jit, vmap and grad shape and type are checked, not the value. Every function raises RequestError.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.errors import RequestError, nearest, shown


def scalar(name: str, value: ArrayLike, *, positive: str = "") -> Float[Array, ""]:
    """One finite real number, positive if `positive` says what it is: "a mass in GeV"; else raises RequestError."""
    number = float64(name, value, positive=positive)
    if isinstance(value, list | tuple) and len(value) > 1:
        raise RequestError(f"{name} must be one number, got {len(value)}: {shown(value)}; write decimals with a point")
    if number.shape:
        raise RequestError(f"{name} must be one number, got shape {number.shape}: make batches with jax.vmap")
    return number


def float64(
    name: str, value: ArrayLike | tuple[ArrayLike, ...], *, positive: str = "", least: str = ""
) -> Float[Array, "*axes"]:
    """Finite real numbers, `positive` as in `scalar`, `least` likewise for what may be 0; else raises RequestError."""
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
        try:
            if np.asarray(value).dtype.kind in "bUS":  # true and "5" are no numbers, though NumPy makes some of them
                raise TypeError
            value = np.asarray(value, dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise RequestError(f"{name} must be a real number, got {shown(value)}") from None
        if not np.all(np.isfinite(value)):
            raise RequestError(f"{name} must be finite, got {value}")
        if positive and not np.all(value > 0):
            raise RequestError(f"{name} is {positive} and must be positive, got {value}")
        if least and not np.all(value >= 0):
            raise RequestError(f"{name} is {least} and must not be negative, got {value}")
    elif any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(value)):
        raise RequestError(
            f"{name} must be a real number, got a complex one: models here have real couplings; "
            "write a Model whose new_physics returns complex ones"
        )
    return jnp.asarray(value, dtype=float)


def share_axis(name: str, mass: Float[Array, "..."], r: Float[Array, "..."], particle: str) -> None:
    """Raise RequestError unless there is one r per mass m_`name`; a single r may be without an axis."""
    if mass.ndim != 1 or (r.shape != mass.shape and (r.shape, mass.size) != ((), 1)):
        raise RequestError(
            f"m_{name} and r must share one axis n_{name}, got shapes {mass.shape} and {r.shape}: "
            f"give one r per {particle}"
        )


def refuse_unknown(unknown: dict[str, object], cls: type) -> None:
    """Raise RequestError with the nearest name of the fields of cls if there is an unknown one."""
    for name in unknown:
        raise RequestError(f"unknown parameter {name!r} of {cls.__name__}; {nearest(name, cls.__dataclass_fields__)}")


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
    expected = "number" if is_complex else "real number"
    if kind not in ("iufc" if is_complex else "iuf"):
        got = f"a traced value of type {value.dtype}" if traced else repr(value)
        raise RequestError(f"{name} must be one {expected}, got {got}")
    if shape:
        raise RequestError(f"{name} must be one {expected}, got shape {shape}: make batches with jax.vmap")
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


def check_truth(name: str, value: Any) -> bool:
    """A switch from the command line or from Python; raises RequestError unless it is true or false."""
    words = {"true": True, "false": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise RequestError(f"{name} must be true or false, got {shown(value)}")
    return found
