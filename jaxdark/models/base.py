"""What a model of new physics is.

Inputs: named parameters, which are checked. Outputs: one `NewPhysics` record, and the couplings that (g-2) needs.

A model of your own is a `Model` with two methods; every b -> s observable and (g-2) then works for it.
"""

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.checks import check_number
from jaxdark.models.loops import Scalar
from jaxdark.models.wilson import NewPhysics

PERTURBATIVE = float(np.sqrt(4 * np.pi))
"""Largest coupling that counts as perturbative, Sec. 2.2; for a product of two it is 4 pi."""


class MuonVector(eqx.Module):
    """What (g-2) needs: mass of V in GeV and its vector and axial-vector coupling to muons, Eq. (6), in this order.

    Raises:
        RequestError: a value is not one finite real number, or the mass is not positive; values that are traced by
            JAX are not checked.
    """

    m_V: Scalar
    g_V: Scalar
    g_A: Scalar

    def __check_init__(self):
        """Check what the record holds; runs where one is written, not where JAX puts one together again."""
        check_number("m_V of MuonVector", self.m_V, positive="a mass in GeV")
        for name in ("g_V", "g_A"):
            check_number(f"{name} of MuonVector", getattr(self, name))

    def __iter__(self) -> Iterator[Scalar]:
        """Mass and couplings, to be unpacked."""
        return iter((self.m_V, self.g_V, self.g_A))


class Model(eqx.Module):
    """New physics in b -> s mu mu and (g-2) of the muon."""

    def __getstate__(self) -> dict[str, Any]:
        """Values as NumPy arrays, which another process reads in double precision whatever JAX is set to there."""
        return {name: _on_host(value) for name, value in self.__dict__.items()}

    @property
    def physics(self) -> str | None:
        """What of a model is computed, in words, where there is a choice, see `jaxdark.models.switches`."""
        return None

    @abc.abstractmethod
    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """Shifts of the muonic Wilson coefficients, contact terms and a resonance."""

    @abc.abstractmethod
    def muon_couplings(self) -> MuonVector | None:
        """The vector that enters (g-2) of the muon, None if there is none."""


class Bound(NamedTuple):
    """A predicted value, the limit on its magnitude in the same units, and their ratio: excluded above 1."""

    value: Float[Array, "*axes"]
    limit: float

    @property
    def ratio(self) -> Float[Array, "*axes"]:
        """Magnitude of the value over the limit, dimensionless."""
        return jnp.abs(self.value) / self.limit


def _on_host(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, jax.Array) and not isinstance(value, Tracer) else value
