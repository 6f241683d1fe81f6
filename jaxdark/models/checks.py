"""Checks of what a model is built from: values enter, double-precision arrays leave or a RequestError is raised.

Inside jit, vmap and grad the values are not checked, but that they are real is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.errors import RequestError, nearest, shown
from jaxdark.io.checks import one_of as one_of


def scalar(name: str, value: ArrayLike, *, positive: str = "") -> Float[Array, ""]:
    """One finite real number, positive if `positive` says what it is: "a mass in GeV"; else raises RequestError."""
    number = float64(name, value, positive=positive)
    if isinstance(value, list | tuple) and len(value) > 1:
        raise RequestError(f"{name} must be one number, got {len(value)}: {shown(value)}; write decimals with a point")
    if number.shape:
        raise RequestError(f"{name} must be one number, got shape {number.shape}: make batches with jax.vmap")
    return number


def float64(name: str, value: ArrayLike | tuple[ArrayLike, ...], *, positive: str = "") -> Float[Array, "*axes"]:
    """Finite real numbers, `positive` as in `scalar`; else raises RequestError."""
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
    elif any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(value)):
        raise RequestError(
            f"{name} must be a real number, got a complex one: models here have real couplings; "
            "write a Model whose new_physics returns complex ones"
        )
    return jnp.asarray(value, dtype=float)


def share_axis(name: str, mass: Float[Array, "*axes"], r: Float[Array, "*axes"], particle: str) -> None:
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
