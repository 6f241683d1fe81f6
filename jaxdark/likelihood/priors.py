"""Priors of the model parameters, Table 1 of the paper, and the map from the unit cube to a model.

Inputs: the names of a model and a region. Outputs: a `Prior` whose cube coordinates u are uniform on (0, 1)^d a priori.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdark.choices import PhysicsName
from jaxdark.compute.fingerprint import short_name
from jaxdark.errors import RequestError, near_name, one_of
from jaxdark.models.base import PERTURBATIVE, Model
from jaxdark.models.box import BoxModel
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.registry import MODELS
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.zprime import SimplifiedZPrime


class Range(NamedTuple):
    """Prior of one parameter: uniform in the value or in its logarithm between lower and upper, times a fixed sign.

    Two equal ends fix the parameter.
    """

    lower: float
    upper: float
    log: bool = False
    sign: int = 1

    def check(self, name: str) -> None:
        """Raise RequestError unless it is the range of a parameter of that name."""
        shown = f"the prior of {name} runs from {self.lower!r} to {self.upper!r}"
        if not (_is_finite(self.lower) and _is_finite(self.upper)):
            raise RequestError(f"{shown}; give two finite numbers, Range(lower, upper)")
        if self.lower > self.upper:
            raise RequestError(f"{shown}; give the smaller end first, and a negative parameter by sign=-1")
        if self.log and self.lower <= 0:
            raise RequestError(
                f"{shown} in its logarithm; give positive ends, and a negative parameter by sign=-1, or leave out log"
            )
        if not _is_finite(self.sign) or self.sign not in (1, -1):
            raise RequestError(f"the prior of {name} has the sign {self.sign!r}; give 1 or -1")


def _is_finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except (TypeError, ValueError):
        return False


class _Fields(NamedTuple):
    region: str
    ranges: dict[str, Range]
    build: Callable[..., Model] = SplitDarkSector
    model_name: str = ""
    arguments: Mapping[str, Any] = {}


class Prior(_Fields):
    """Independent priors of a model's free parameters. One of your own is taken wherever the name of a region is.

    Attributes:
        region: its name.
        ranges: one `Range` per parameter name, in the order of the parameter vector; first the one that tells local
            optima apart, a mass.
        build: keyword arguments of those names to a model.
        model_name: name of the model in results; unless given, that of a shipped class on the command line, or else of
            the class or function that builds.
        arguments: further keyword arguments of `build`, the same at every point, such as {"physics": "paper"}; programs
            that evaluate the model know them.
    """

    __slots__ = ()

    def __new__(
        cls,
        region: str,
        ranges: dict[str, Range],
        build: Callable[..., Model] = SplitDarkSector,
        model_name: str = "",
        arguments: Mapping[str, Any] | None = None,
    ) -> "Prior":
        """The fields, with a name for the model."""
        return super().__new__(cls, region, ranges, build, model_name or name_of(build), arguments or {})

    def _replace(self, **changed) -> "Prior":
        """A copy with other fields; another `build` gives another name to a model that had none of its own."""
        derived = self.model_name in MODELS or self.model_name == name_of(self.build)
        if derived and changed.get("build", self.build) is not self.build:
            changed.setdefault("model_name", name_of(changed["build"]))
        return Prior(**self._asdict() | changed)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of the vector."""
        return tuple(self.ranges)

    def check(self) -> "Prior":
        """The prior; raises RequestError if it has no parameter or one without a possible range."""
        if not self.ranges:
            raise RequestError(f"the prior {self.region!r} has no parameter; give at least one Range")
        for name, range_ in self.ranges.items():
            if not isinstance(range_, Range):
                raise RequestError(
                    f"expected a Range as the prior of {name}, got {range_!r}; write Range(lower, upper), with two "
                    "equal ends for a fixed value"
                )
            range_.check(name)
        return self

    @property
    def fixed(self) -> Bool[np.ndarray, " d"]:
        """Which parameters have one value only."""
        return np.array([r.lower == r.upper for r in self.ranges.values()])

    def vector(self, u: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Parameters, signed and in their units, at the cube coordinates u."""
        lower, upper = self._edges()
        scaled = lower + (upper - lower) * u
        return self._signs() * jnp.where(self._logs(), jnp.exp(scaled), scaled)

    def cube(self, vector: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """Cube coordinates of parameters: outside (0, 1) where one is outside its range, 1/2 where it is fixed."""
        lower, upper = self._edges()
        value = self._signs() * vector
        scaled = jnp.where(self._logs(), jnp.log(jnp.where(self._logs() & (value > 0), value, 1.0)), value)
        u = jnp.where(
            self._logs() & (value <= 0), -jnp.inf, (scaled - lower) / np.where(self.fixed, 1.0, upper - lower)
        )
        if not self.fixed.any():
            return u
        off = jnp.abs(scaled - lower) > 1e-9 * np.maximum(1.0, np.abs(lower))
        return jnp.where(self.fixed, jnp.where(off, jnp.sign(u) * jnp.inf, 0.5), u)

    def log_prob(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        """Log of the prior's density at parameters, per unit of each; minus infinity outside, 0 for fixed ones."""
        u, (lower, upper) = self.cube(vector), self._edges()
        inside = jnp.all((u >= 0) & (u <= 1))
        free = ~self.fixed
        widths = np.log(np.where(free, upper - lower, 1.0))
        per_logarithm = jnp.where(self._logs() & free & inside, jnp.log(jnp.where(inside, jnp.abs(vector), 1.0)), 0.0)
        return jnp.where(inside, -jnp.sum(widths + per_logarithm), -jnp.inf)

    def model(self, vector: Float[Array, " d"]) -> Model:
        """The model at a parameter vector."""
        return self.model_at(dict(zip(self.names, vector, strict=True)))

    def model_at(self, parameters: Mapping[str, Any]) -> Model:
        """The model at parameters by name."""
        return self.build(**self.arguments, **parameters)

    @property
    def physics(self) -> str | None:
        """What of the model is computed where there is a choice, see `Model.physics`."""
        return self.model(np.asarray(self.vector(np.full(len(self.names), 0.5)))).physics

    def _logs(self) -> np.ndarray:
        return np.array([r.log for r in self.ranges.values()])

    def _signs(self) -> np.ndarray:
        return np.array([float(r.sign) for r in self.ranges.values()])

    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        self.check()
        edges = np.array([(r.lower, r.upper) for r in self.ranges.values()]).T
        return tuple(np.where(self._logs(), np.log(np.where(self._logs(), edges, 1.0)), edges))


def name_of(build: Callable[..., Model]) -> str:
    """Name of the model that something builds."""
    shipped = [name for name, cls in MODELS.items() if build is cls]
    return shipped[0] if shipped else short_name(build)


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

    g_bs, width = Range(1e-9, 1e-4, log=True, sign=_SIGN[region]), Range(1e-6, 1.0, log=True)
    return Prior(region, {"m_Zp": _MASS[region], "g_bs": g_bs, **_MUON, "width": width}, _zprime_model, "zprime")


def _zprime_model(m_Zp, g_bs, g_mu_V, r_AV, width, lepton_universal=False) -> SimplifiedZPrime:
    """By the ratio of the muon couplings, as in Table 1."""
    couplings = {"g_bs": g_bs, "g_mu_V": g_mu_V, "g_mu_A": r_AV * g_mu_V}
    return SimplifiedZPrime(m_Zp=m_Zp, width=width, lepton_universal=lepton_universal, **couplings)


def _constant() -> Prior:
    return Prior("all", {"C9": Range(-3.0, 3.0), "C10": Range(-3.0, 3.0)}, ConstantWilson, "constant")


def _box() -> Prior:
    """Perturbative Yukawa couplings, and masses of 10 GeV to the coloured particle's 1 TeV, Sec. 2.1."""
    masses = {f"m_{i}": Range(10.0, 1000.0, log=True) for i in (1, 2, 3)}
    couplings = {"Y_s": Range(-PERTURBATIVE, PERTURBATIVE)} | dict.fromkeys(("Y_b", "Y_mu"), Range(0.0, PERTURBATIVE))
    return Prior("all", masses | couplings, BoxModel, "box")


_PRINTED, _UNIVERSAL = "split-paper", "-universal"


def _universal(regions: dict[str, Prior]) -> dict[str, Prior]:
    return {
        region: prior._replace(
            model_name=f"{prior.model_name}{_UNIVERSAL}", arguments={**prior.arguments, "lepton_universal": True}
        )
        for region, prior in regions.items()
    }


PRIORS = {
    "split": {region: _split(region) for region in _MASS},
    _PRINTED: {
        region: _split(region)._replace(model_name=_PRINTED, arguments={"physics": "paper"}) for region in _MASS
    },
    "zprime": {region: _zprime(region) for region in _MASS},
    "constant": {"all": _constant()},
    "box": {"all": _box()},
}
PRIORS |= {f"{model}{_UNIVERSAL}": _universal(regions) for model, regions in PRIORS.items() if model != "box"}
"""By model and region; those of `split`, complete or as printed, are Table 1 of the paper, the others our own.

Universal ones have the muon's couplings for electrons, and for taus.
"""


def prior_of(
    prior: str | Prior | None = None,
    model: str = "split",
    physics: PhysicsName = "complete",
    *,
    lepton_universal: bool = False,
) -> Prior:
    """The prior that a request means: a `Prior`, or that of a model in a region.

    Args:
        prior: a `Prior`, which is handed back; or the name of a region, "high" or "low" for models with a mediator,
            "all" for the others; None is a model's first.
        model: "split", "zprime", "constant" or "box".
        physics: of the model "split", the "complete" leading order or the "paper" as printed, see `models.switches`.
        lepton_universal: whether electrons feel what muons do.

    Raises:
        RequestError: there is no such model or region, the model "box" is asked to be universal, another model than
            "split" has no such physics, or the range of a parameter is none.
    """
    if isinstance(prior, Prior):
        return prior.check()
    if one_of("physics", physics, get_args(PhysicsName)) == "paper":
        if model != "split":
            raise RequestError(
                f"the physics as printed is of the model split, got the model {model}; leave one of the two out"
            )
        model = _PRINTED
    if lepton_universal:
        if model == "box":
            raise RequestError(
                "the model box has no coupling to electrons, got lepton_universal; leave one of the two out"
            )
        model = f"{model}{_UNIVERSAL}"
    regions = PRIORS[_known("model", model, PRIORS)]
    return regions[_known("region", prior, regions)] if prior is not None else next(iter(regions.values()))


def unit(name: str) -> str:
    """Unit of a parameter: GeV for masses and widths, else 1."""
    return "GeV" if name.startswith(("m_", "width")) else "1"


def _known(kind: str, name: str, names: Collection[str]) -> str:
    if name not in names:
        near = near_name(name, names)
        hint = "" if near is None else f" (nearest: {near})"
        raise RequestError(f"unknown {kind} {name!r}; take {' or '.join(names)}{hint}")
    return name


def prior_points(dimension: int, n: int, seed: int) -> Float[np.ndarray, "n d"]:
    """Scrambled Sobol points, strictly inside the unit cube, (n, d); n is a power of two."""
    from scipy.stats import qmc  # half a second, which `jaxdark point` need not wait for

    points = qmc.Sobol(dimension, rng=seed).random_base2(n.bit_length() - 1)
    return points.clip(2.0**-53, 1 - 2.0**-53)
