"""Priors of the model parameters, Table 1 of the paper, and the map from the unit cube to a model.

Enters: the names of a model and a region. Leaves: a `Prior` whose cube coordinates u are uniform on (0, 1)^d a priori.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.dark.model import ConstantWilson, DarkSector, Model
from jaxdark.dark.other_models import BoxModel, SimplifiedZPrime
from jaxdark.errors import RequestError, near_name


class Range(NamedTuple):
    """Prior of one parameter: uniform in the value or in its logarithm between lower and upper, times a fixed sign."""

    lower: float
    upper: float
    log: bool = False
    sign: int = 1


class Prior(NamedTuple):
    """Independent priors of a model's free parameters. One of your own is taken wherever a region is.

    Attributes:
        region: its name.
        ranges: one `Range` per parameter name, in the order of the parameter vector; first the one that tells local
            optima apart, a mass.
        build: keyword arguments of those names to a model.
        model_name: name of the model in results and on the command line.
    """

    region: str
    ranges: dict[str, Range]
    build: Callable[..., Model] = DarkSector
    model_name: str = "split"

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of the vector."""
        return tuple(self.ranges)

    def vector(self, u: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Parameters, signed and in their units, at the cube coordinates u."""
        lower, upper = self._edges()
        scaled = lower + (upper - lower) * u
        return self._signs() * jnp.where(self._logs(), jnp.exp(scaled), scaled)

    def cube(self, vector: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Cube coordinates of parameters; outside (0, 1) where a parameter is outside its range."""
        lower, upper = self._edges()
        value = self._signs() * vector
        scaled = jnp.where(self._logs(), jnp.log(jnp.where(self._logs() & (value > 0), value, 1.0)), value)
        return jnp.where(self._logs() & (value <= 0), -jnp.inf, (scaled - lower) / (upper - lower))

    def model(self, vector: Float[Array, " d"]) -> Model:
        """The model at a parameter vector."""
        return self.build(**dict(zip(self.names, vector, strict=True)))

    def _logs(self) -> np.ndarray:
        return np.array([r.log for r in self.ranges.values()])

    def _signs(self) -> np.ndarray:
        return np.array([float(r.sign) for r in self.ranges.values()])

    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        edges = np.array([(r.lower, r.upper) for r in self.ranges.values()]).T
        return tuple(np.where(self._logs(), np.log(np.where(self._logs(), edges, 1.0)), edges))


_MASS = {"high": Range(2.0, 15.0), "low": Range(0.6, 2.0)}
"""Of the mediator, above and below the bins, Table 1, GeV."""
# C_9 < 0 in the bins wants r g_mu^V < 0 for V above them and > 0 for V below, with g_mu^V > 0 always.
_SIGN = {"high": -1, "low": +1}
_MUON = {"g_mu_V": Range(1e-3, 0.2, log=True), "r_AV": Range(-1.0, 0.0)}


def _split(region: str) -> Prior:
    """Table 1."""
    r = Range(0.03, 10.0, log=True, sign=_SIGN[region])
    return Prior(region, {"m_V": _MASS[region], **_MUON, "g_D": Range(0.0, 4.0), "r": r})


def _zprime(region: str) -> Prior:
    """Muon couplings of Table 1; g_bs and the width over decades around what C_9 = -0.6 and one open channel need."""

    def build(m_Zp, g_bs, g_mu_V, r_AV, width) -> SimplifiedZPrime:
        return SimplifiedZPrime(m_Zp=m_Zp, g_bs=g_bs, g_mu_V=g_mu_V, g_mu_A=r_AV * g_mu_V, width=width)

    g_bs, width = Range(1e-9, 1e-4, log=True, sign=_SIGN[region]), Range(1e-6, 1.0, log=True)
    return Prior(region, {"m_Zp": _MASS[region], "g_bs": g_bs, **_MUON, "width": width}, build, "zprime")


def _constant() -> Prior:
    return Prior("all", {"C9": Range(-3.0, 3.0), "C10": Range(-3.0, 3.0)}, ConstantWilson, "constant")


def _box() -> Prior:
    """Perturbative Yukawa couplings, and masses of 10 GeV to the coloured particle's 1 TeV, Sec. 2.1."""
    masses = {f"m_{i}": Range(10.0, 1000.0, log=True) for i in (1, 2, 3)}
    largest = float(np.sqrt(4 * np.pi))
    couplings = {"Y_s": Range(-largest, largest), "Y_b": Range(0.0, largest), "Y_mu": Range(0.0, largest)}
    return Prior("all", masses | couplings, BoxModel, "box")


PRIORS = {
    "split": {region: _split(region) for region in _MASS},
    "zprime": {region: _zprime(region) for region in _MASS},
    "constant": {"all": _constant()},
    "box": {"all": _box()},
}
"""By model and region; those of `split` are Table 1 of the paper, the others our own choice."""


def prior_of(region: str | Prior | None = None, model: str = "split") -> Prior:
    """Prior of a model in a region.

    Args:
        region: "high" or "low" for models with a mediator, "all" for the others; None is a model's first. A prior of
            your own is handed back.
        model: "split", "zprime", "constant" or "box".

    Raises:
        RequestError: there is no such model or region.
    """
    if isinstance(region, Prior):
        return region
    regions = PRIORS[_known("model", model, PRIORS)]
    return regions[_known("region", region, regions)] if region is not None else next(iter(regions.values()))


def unit(name: str) -> str:
    """Unit of a parameter: GeV for masses and widths, else 1."""
    return "GeV" if name.startswith("m_") or name == "width" else "1"


def _known(kind: str, name: str, names: Collection[str]) -> str:
    if name not in names:
        near = near_name(name, names)
        hint = "" if near is None else f" (nearest: {near})"
        raise RequestError(f"unknown {kind} {name!r}; take {' or '.join(names)}{hint}")
    return name
