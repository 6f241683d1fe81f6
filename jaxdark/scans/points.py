"""Points of a scan, cut into chunks: a grid, the grid of a profile, or random or quasi-random points of a prior.

Inputs: axes, or a prior and a number. Outputs: the points of any chunk, a pure function of the settings and the chunk's
number, so that nothing of the whole scan is ever in memory.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from jaxdark.compute.bounds import count, readable
from jaxdark.errors import RequestError
from jaxdark.likelihood.identity import fractions
from jaxdark.likelihood.priors import Prior, name_of
from jaxdark.models.base import Model
from jaxdark.models.registry import check_parameters, model_class

_MOST_SOBOL = 2**30
_MOST = 2**40
"""Points of a scan: at a million in a second they take two weeks."""
_SMALLEST, _LARGEST = 2.0**-53, 1 - 2.0**-53
"""Prior quantiles lie strictly inside the unit cube."""


class Axis(NamedTuple):
    """n values from lower to upper, both included, in equal steps of the value or of its logarithm."""

    lower: float
    upper: float
    n: int
    log: bool = False

    @classmethod
    def parse(cls, name: str, text: str) -> "Axis":
        """An axis from LOWER:UPPER:COUNT or LOWER:UPPER:COUNT:log; raises RequestError if it is not one."""
        try:
            lower, upper, n, *scale = text.split(":")
            axis = cls(float(lower), float(upper), int(n), scale == ["log"])
        except ValueError:
            axis, scale = None, []
        if axis is None or scale not in ([], ["log"]):
            raise RequestError(
                f"expected LOWER:UPPER:COUNT or LOWER:UPPER:COUNT:log for {name}, got {text!r}; "
                f"write for instance {name}=1:10:50:log"
            )
        return axis.checked(name)

    def checked(self, name: str) -> "Axis":
        """The axis; raises RequestError if no grid can be made of it."""
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise RequestError(
                f"expected an axis of {name} from a smaller to a larger number, got {self.lower:g} to {self.upper:g}; "
                "exchange its ends"
            )
        if self.n < 2:
            raise RequestError(
                f"expected at least 2 values on the axis of {name}, got {self.n}; fix it by {name}=VALUE"
            )
        if self.log and self.lower <= 0 <= self.upper:
            raise RequestError(
                f"expected ends of one sign on the logarithmic axis of {name}, got {self.lower:g} to {self.upper:g}; "
                "leave out :log or change the ends"
            )
        return self

    def values(self, index: np.ndarray | slice = slice(None)) -> Float[np.ndarray, " n"]:
        """Values at indices, or at all of a slice."""
        index = np.arange(self.n)[index] if isinstance(index, slice) and index == slice(None) else index
        index = np.arange(index.start, index.stop) if isinstance(index, slice) else np.asarray(index)
        t = index / (self.n - 1)
        if not self.log:
            return self.lower * (1 - t) + self.upper * t
        sign, (lower, upper) = np.sign(self.lower), np.log(np.abs([self.lower, self.upper]))
        inner = sign * np.exp(lower * (1 - t) + upper * t)
        return np.where(index == 0, self.lower, np.where(index == self.n - 1, self.upper, inner))


class Points(NamedTuple):
    """Points of a scan.

    Attributes:
        names: scanned parameters, in the order of a point; those that are profiled come last.
        dims: names of the axes of the result: the parameters of a grid, or `point`.
        shape: lengths of those axes.
        chunk: lengths of a chunk; the last along an axis may be shorter.
        at: points (n, len(names)) of a region of the grid of chunks, a slice per axis; without what is profiled.
        in_cube: whether points are coordinates of the prior's cube or the parameters themselves.
        vector: parameters from a point, traceable.
        model: the model from the parameters, traceable.
        fixed: parameters that are the same everywhere.
        axes: of a grid, by name.
        settings: all that fixes the points, in JSON's types.
        profiled: parameters that are minimised at each point of the axes; as coordinates they are prior quantiles.
    """

    names: tuple[str, ...]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    at: Callable[[tuple[slice, ...]], Float[np.ndarray, "n d"]]
    vector: Callable
    model: Callable[..., Model]
    fixed: dict[str, Any]
    axes: dict[str, Axis]
    settings: dict[str, Any]
    profiled: tuple[str, ...] = ()

    @property
    def build(self) -> Callable[..., Model]:
        """Keyword arguments to a model."""
        return self.model.args[0]  # pyright: ignore[reportFunctionMemberAccess]

    @property
    def model_type(self) -> type[Model]:
        """The class of the models at the points."""
        return type(self.model(self.examples[0]))

    @property
    def examples(self) -> Float[np.ndarray, "n names"]:
        """Parameters of some points inside the axes or the prior, whatever the seed and the number of points."""
        points = fractions(len(self.names))
        for i, axis in enumerate(self.axes.values()):  # what is profiled or drawn has the cube for its coordinates
            points[:, i] = axis.lower + (axis.upper - axis.lower) * points[:, i]
        return np.stack([np.asarray(self.vector(point)) for point in points])

    @property
    def chunks(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.chunk, strict=True))

    def region(self, k: int) -> tuple[slice, ...]:
        """Slices of chunk k, chunks counted with the last axis fastest."""
        place = np.unravel_index(k, self.chunks)
        edges = zip(place, self.chunk, self.shape, strict=True)
        return tuple(slice(int(i) * size, min((int(i) + 1) * size, n)) for i, size, n in edges)


def grid(parameters: Mapping[str, Any], model: str | Callable[..., Model], chunk: int) -> Points:
    """Points of a grid.

    Args:
        parameters: an `Axis` or its text for the scanned ones, a value for the others.
        model: its name on the command line, or a class or function of keywords.
        chunk: most points in a chunk.

    Raises:
        RequestError: an axis is wrong, or a parameter is unknown, missing or impossible.
    """
    name, build = (model, model_class(model)) if isinstance(model, str) else (name_of(model), model)
    check_parameters(name, build, parameters)
    axes, fixed = _axes(parameters)
    if not axes:
        raise RequestError(
            "expected an axis such as m_V=2:15:200, or --random N or --sobol N, got neither; "
            "`jaxdark point` serves a single point"
        )
    names, shape = tuple(axes), _shape(axes)
    for end in _ends(axes):  # inside a compiled program no value is checked
        build(**fixed, **end)
    settings = {"kind": "grid", "model": name, "axes": {n: axis._asdict() for n, axis in axes.items()}, "fixed": fixed}
    return Points(
        names, names, shape, _chunk_shape(shape, chunk), partial(_at, axes), _unchanged,
        partial(_built, build, names, fixed), fixed, axes, settings,
    )  # fmt: skip


def of_profile(parameters: Mapping[str, Any], prior: Prior, seed: int, chunk: int) -> Points:
    """Points of a grid whose further parameters are profiled: minimised within their prior at each of them.

    Args:
        parameters: an `Axis` or its text for the scanned ones, a value for those that are fixed.
        prior: of all parameters; those that are not given are profiled.
        seed: of the starts.
        chunk: most points in a chunk.

    Raises:
        RequestError: an axis is wrong or missing, a parameter unknown or impossible, or none left to profile.
    """
    check_parameters(prior.model_name, prior.build, {**prior.ranges, **prior.arguments, **parameters})
    axes, fixed = _axes({**prior.arguments, **parameters})
    if not axes:
        raise RequestError(
            "expected an axis such as m_V=2:15:200 for --profile, got none; `jaxdark fit` minimises over all parameters"
        )
    ranges = {name: r for name, r in prior.ranges.items() if name not in parameters}
    if not ranges:
        raise RequestError(
            f"expected a parameter left to profile, got all of {', '.join(prior.names)}; "
            "leave one of them out, or leave out --profile"
        )
    free, shape = prior._replace(ranges=ranges), _shape(axes)
    names = (*axes, *ranges)
    for u, end in zip((_SMALLEST, _LARGEST), _ends(axes), strict=True):
        values = np.asarray(free.vector(np.full(len(ranges), u)))
        _built(prior.build, names, fixed, np.concatenate([[*end.values()], values]))
    settings = {
        "kind": "profile", "model": prior.model_name, "region": prior.region, "seed": seed,
        "axes": {n: axis._asdict() for n, axis in axes.items()}, "fixed": fixed,
        "prior": {name: r._asdict() for name, r in prior.ranges.items()},
    }  # fmt: skip
    return Points(
        names, tuple(axes), shape, _chunk_shape(shape, chunk), partial(_at, axes), partial(_joined, len(axes), free),
        partial(_built, prior.build, names, fixed), fixed, axes, settings, tuple(ranges),
    )  # fmt: skip


def of_prior(kind: str, n: int, prior: Prior, fixed: Mapping[str, Any], seed: int, chunk: int) -> Points:
    """Random or quasi-random points of a prior.

    Args:
        kind: "random" or "sobol".
        n: number of points.
        prior: what they are drawn from.
        fixed: parameters that are not drawn but have one value.
        seed: of the points.
        chunk: points in a chunk, a power of two.

    Raises:
        RequestError: no points, too many, a wrong parameter, or none left to draw.
    """
    if n < 1 or (kind == "sobol" and n > _MOST_SOBOL):
        limit = f"1 to {_MOST_SOBOL}" if kind == "sobol" else "at least 1"
        raise RequestError(f"expected {limit} points after --{kind}, got {count(n)}; change the number")
    _not_too_many(n)
    for name, value in fixed.items():
        if _axis(name, value) is not None:
            raise RequestError(
                f"expected NAME=VALUE beside --{kind}, got the axis {name}={value}; leave out one of the two"
            )
    fixed = {**prior.arguments, **fixed}
    check_parameters(prior.model_name, prior.build, {**prior.ranges, **fixed})
    ranges = {name: r for name, r in prior.ranges.items() if name not in fixed}
    if not ranges:
        raise RequestError(
            f"expected a parameter left to draw after --{kind}, got values of all of {', '.join(fixed)}; "
            "leave one out, or take `jaxdark point`"
        )
    free, names = prior._replace(ranges=ranges), tuple(ranges)
    for u in (_SMALLEST, _LARGEST):
        _built(prior.build, names, fixed, np.asarray(free.vector(np.full(len(names), u))))
    draw = _Sobol(len(names), seed, chunk) if kind == "sobol" else partial(_random, seed, len(names))
    settings = {
        "kind": kind, "model": prior.model_name, "region": prior.region, "points": n, "seed": seed,
        "prior": {name: r._asdict() for name, r in ranges.items()}, "fixed": fixed,
    }  # fmt: skip
    return Points(
        names, ("point",), (n,), (min(n, chunk),), lambda region: draw(region[0].start, region[0].stop), free.vector,
        partial(_built, prior.build, names, fixed), fixed, {}, settings,
    )  # fmt: skip


def _shape(axes: Mapping[str, Axis]) -> tuple[int, ...]:
    """Lengths of the axes; raises RequestError where a grid has too many points."""
    shape = tuple(axis.n for axis in axes.values())
    _not_too_many(math.prod(shape))
    return shape


def _not_too_many(n: int) -> None:
    if n > _MOST:
        raise RequestError(
            f"expected at most {_MOST} points in a scan, got {count(n)}, of which each number alone is "
            f"{readable(8 * n)}; take fewer points"
        )


def _axis(name: str, value: Any) -> Axis | None:
    if isinstance(value, Axis):
        return value.checked(name)
    return Axis.parse(name, value) if isinstance(value, str) and ":" in value else None


def _axes(parameters: Mapping[str, Any]) -> tuple[dict[str, Axis], dict[str, Any]]:
    """Axes, and what has one value."""
    axes = {name: axis for name, value in parameters.items() if (axis := _axis(name, value)) is not None}
    return axes, {name: value for name, value in parameters.items() if name not in axes}


def _ends(axes: Mapping[str, Axis]) -> list[dict[str, float]]:
    return [{name: getattr(axis, end) for name, axis in axes.items()} for end in ("lower", "upper")]


def _at(axes: Mapping[str, Axis], region: tuple[slice, ...]) -> Float[np.ndarray, "n d"]:
    values = [axis.values(part) for axis, part in zip(axes.values(), region, strict=True)]
    return np.stack([v.ravel() for v in np.meshgrid(*values, indexing="ij")], axis=-1)


def _unchanged(point):
    return point


def _joined(n: int, free: Prior, point):
    """Parameters from values on n axes and the prior quantiles of the others."""
    return jnp.concatenate([point[:n], free.vector(point[n:])])


def _built(build: Callable[..., Model], names: tuple[str, ...], fixed: Mapping[str, Any], vector) -> Model:
    return build(**fixed, **dict(zip(names, vector, strict=True)))


def _chunk_shape(shape: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Boxes of at most `most` points: the last axes whole, one cut evenly, the first ones of length 1."""
    chunk, left = [], most
    for n in reversed(shape):
        pieces = -(-n // max(left, 1))
        chunk.append(-(-n // pieces))
        left //= n
    return tuple(reversed(chunk))


def _random(seed: int, dimension: int, start: int, stop: int) -> Float[np.ndarray, "n d"]:
    """Points start to stop of one stream that is counted, not walked: Philox makes four numbers per count."""
    count, skipped = divmod(start * dimension, 4)
    generator = np.random.Generator(np.random.Philox(key=seed).advance(count))
    numbers = generator.random(skipped + (stop - start) * dimension)[skipped:]
    return numbers.reshape(-1, dimension).clip(_SMALLEST, _LARGEST)


class _Sobol:
    """Scrambled Sobol points start to stop; goes on from where it is, as skipping costs a little for each point."""

    def __init__(self, dimension: int, seed: int, chunk: int):
        self._arguments, self._chunk, self._engine, self._lock = (dimension, seed), chunk, None, Lock()

    def __reduce__(self):
        return _Sobol, (*self._arguments, self._chunk)

    def __call__(self, start: int, stop: int) -> Float[np.ndarray, "n d"]:
        with self._lock:  # several threads of one worker of a cluster share the engine
            return self._next(start, stop)

    def _next(self, start: int, stop: int) -> Float[np.ndarray, "n d"]:
        if self._engine is None or self._engine.num_generated > start:
            dimension, seed = self._arguments
            self._engine = qmc.Sobol(dimension, rng=seed)
        if start > self._engine.num_generated:
            self._engine.fast_forward(start - self._engine.num_generated)
        # Whole chunks, a power of two: SciPy warns of any other number at the start.
        return self._engine.random(self._chunk)[: stop - start].clip(_SMALLEST, _LARGEST)
