"""The Zarr store of a scan: labelled axes, units, settings; written chunk by chunk, each whole or not at all.

Inputs: points, what is computed there and attributes, then arrays of chunks. Outputs: a store that xarray opens at any
moment; chunks that are not done read as NaN.
"""

import json
import math
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from jaxdark.compute.bounds import fits_disk, fits_memory
from jaxdark.constraints.limit import Constraint
from jaxdark.errors import RequestError
from jaxdark.io.checkpoints import file_lock, fsync_dir
from jaxdark.likelihood.priors import unit
from jaxdark.measurements.dataset import Row
from jaxdark.optimise.descents import TOLERANCE
from jaxdark.scans.outputs import Outputs
from jaxdark.scans.points import Points

_BLOCK = 2**16
_PROGRESS, _DONE = "progress", "progress/done"
_MOST_CHUNKS = 2**22
"""Each is a file of every array."""
_COPIES = 4
"""Of a chunk's arrays in memory, about: points, results of the threads, results put together, what is compressed."""


def require_zarr() -> None:
    """Raise RequestError unless Zarr is installed."""
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise RequestError('a scan is written with Zarr, which is not installed; pip install "jaxdark[scan]"') from None


def attributes(path: Path) -> dict[str, Any] | None:
    """What `create` was given, or None if nothing is there; raises RequestError if something else is."""
    if not path.exists():
        return None
    try:
        raw = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        words = {name: json.loads(raw[name]) for name in ("settings", "covariance_at", "versions")}
        return words | {name: json.loads(raw[name]) for name in ("best_fit",) if name in raw}
    except (OSError, KeyError, ValueError, TypeError):
        raise RequestError(
            f"expected the store of a scan or nothing, got {path}; name another place with --out"
        ) from None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a store, whether or not it is there yet, for this process alone.

    Raises:
        RequestError: another process holds it, or the place cannot be written.
    """
    lock = path.absolute().with_name(f".{path.name}.lock")
    with file_lock(lock, path):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def fits(path: Path, points: Points, outputs: Outputs, chunk: int) -> None:
    """Raise RequestError unless a scan fits on its disk, and a chunk into memory, before any work is done.

    Args:
        path: of the store; what is there already counts as room.
        points: the points.
        outputs: what is computed.
        chunk: most points in a chunk.
    """
    n, chunks = math.prod(points.shape), math.prod(points.chunks)
    columns = len(points.names) - len(points.axes) + outputs.log_likelihood + bool(points.profiled)
    columns += 2 * len(outputs.constraints) + len(outputs.measurements)
    what = f"a scan of {n} points with {columns} numbers each"
    if chunks > _MOST_CHUNKS:
        raise RequestError(f"expected at most {_MOST_CHUNKS} chunks, got {chunks}; take larger ones with --chunk")
    size = 8 * (n * columns + sum(axis.n for axis in points.axes.values()))
    there = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    fits_disk(size - there, path, what, "take fewer points or outputs, or name a place on a larger disk with --out")
    size = 8 * _COPIES * min(n, chunk) * (columns + len(points.names))
    fits_memory(size, f"{what} in chunks of {chunk}", "take a smaller --chunk")


def refuse_link(path: Path) -> None:
    """Raise RequestError for a link where a store shall be made: what it means is not to be replaced unseen."""
    if path.is_symlink():
        raise RequestError(
            f"expected a place for a new store, got the link {path} to {path.resolve()}; name that place with --out, "
            "or remove the link"
        )


def create(
    path: Path,
    points: Points,
    words: dict[str, Any],
    *,
    log_likelihood: bool,
    constraints: Sequence[Constraint],
    rows: Sequence[Row],
) -> None:
    """Write the store without its chunks under a hidden name, then rename it; an existing store is replaced.

    Args:
        path: of the store.
        points: the points.
        words: attributes, in JSON's types.
        log_likelihood, constraints, rows: what is computed.
    """
    import zarr

    stage = path.absolute().with_name(f".{path.name}.{secrets.token_hex(4)}")
    coordinates = [
        *points.names,
        *_columns(points.fixed),
        *(_CONSTRAINT_WORDS if constraints else ()),
        *(_MEASUREMENT_WORDS if rows else ()),
    ]
    attrs = {name: json.dumps(value) for name, value in words.items()} | {"coordinates": " ".join(coordinates)}
    try:
        group = zarr.open_group(stage, mode="w", zarr_format=3, attributes=attrs)
        _coordinates(group, points)
        if points.profiled:
            _numbers(
                group, "gradient_norm", points, units="1", long_name=f"of the descent; converged below {TOLERANCE:g}"
            )
        if log_likelihood:
            _numbers(group, "log_likelihood", points, units="1", long_name="log-likelihood")
        if constraints:
            _words(group, "constraint", {"constraint": [c.id for c in constraints]})
            _words(group, "constraint", {name: [getattr(c, name) for c in constraints] for name in _CONSTRAINT_WORDS})
            _numbers(group, "constraint_value", points, ("constraint", len(constraints)), units="see unit")
            _numbers(group, "constraint_ratio", points, ("constraint", len(constraints)), units="1",
                     long_name="above 1: excluded")  # fmt: skip
        if rows:
            units = ["GeV-2" if row.observable == "dBR" else "1" for row in rows]
            _words(group, "measurement", {"measurement": [row.id for row in rows], "measurement_unit": units})
            _numbers(group, "prediction", points, ("measurement", len(rows)), units="see measurement_unit")
        # In a group of its own: beside the results it would be a further axis of their table.
        group.create_group(_PROGRESS).create_array(
            "done", shape=(math.prod(points.chunks),), chunks=(1,), dtype="bool", fill_value=False,
            dimension_names=("chunk",), attributes={"long_name": "chunk is written"},
        )  # fmt: skip
        with warnings.catch_warnings():
            # Without it xarray warns whenever somebody opens the store.
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            zarr.consolidate_metadata(group.store)
        if path.exists():
            former = stage.with_name(f"{stage.name}.former")
            path.rename(former)
            stage.rename(path)
            shutil.rmtree(former)
        else:
            stage.rename(path)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


_CONSTRAINT_WORDS = ("unit", "quality", "reference", "cl", "applied")
_MEASUREMENT_WORDS = ("measurement_unit",)


def _coordinates(group: Any, points: Points) -> None:
    for name, axis in points.axes.items():
        array = group.create_array(
            name, shape=(axis.n,), chunks=(min(axis.n, _BLOCK),), dtype="f8", dimension_names=(name,),
            attributes={"units": unit(name), "scale": "log" if axis.log else "linear"},
        )  # fmt: skip
        for start in range(0, axis.n, _BLOCK):
            part = slice(start, min(start + _BLOCK, axis.n))
            array[part] = axis.values(part)
    for name in points.names:
        if name not in points.axes:
            _numbers(group, name, points, units=unit(name))
    for name, value in _columns(points.fixed).items():
        dtype = str if isinstance(value, str) else "f8"
        array = group.create_array(
            name, shape=(), dtype=dtype, dimension_names=(), attributes={"units": unit(name)}
        )  # fmt: skip
        array[...] = value


def _columns(fixed: Mapping[str, Any]) -> dict[str, str | float]:
    """Fixed parameters, each entry of a vector by itself: an axis of its own would multiply the rows of the table."""
    found: dict[str, str | float] = {}
    for name, value in fixed.items():
        if isinstance(value, str) or np.ndim(value) == 0:
            found[name] = value if isinstance(value, str) else float(value)
        else:
            found |= {f"{name}_{i}": float(part) for i, part in enumerate(np.ravel(value), start=1)}
    return found


def _numbers(group: Any, name: str, points: Points, further: tuple[str, int] | None = None, **attrs: str) -> None:
    """An array of doubles along the points, and whole along one further axis."""
    dims, sizes = ((further[0],), (further[1],)) if further else ((), ())
    group.create_array(
        name, shape=points.shape + sizes, chunks=points.chunk + sizes, dtype="f8", fill_value=float("nan"),
        dimension_names=points.dims + dims, attributes=attrs,
    )  # fmt: skip


def _words(group: Any, dim: str, columns: dict[str, list]) -> None:
    for name, values in columns.items():
        if name == "cl":
            values = [np.nan if value is None else value for value in values]
        first = values[0]
        dtype = str if isinstance(first, str) else "bool" if isinstance(first, bool) else "f8"
        array = group.create_array(name, shape=(len(values),), dtype=dtype, dimension_names=(dim,))
        array[:] = np.array(values, dtype=object if dtype is str else None)


class Store:
    """A store to be filled.

    Args:
        path: where `create` wrote it.
        points: the same points.
    """

    def __init__(self, path: Path, points: Points):
        import zarr

        self.path, self.points = path, points
        for left in path.rglob("*.partial"):  # of a process that was killed
            left.unlink()
        for marker in (path / _PROGRESS / "done" / "c").glob("*"):  # made without content by a power cut
            if not marker.stat().st_size:
                marker.unlink()
        self._group = zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)
        self._arrays = {name: array for name, array in self._group.arrays()} | {_DONE: self._group[_DONE]}
        self._here = (path / "zarr.json").stat()

    def missing(self) -> list[int]:
        """Numbers of the chunks that are not done."""
        return np.flatnonzero(~np.asarray(self._arrays[_DONE][:])).tolist()

    def write(self, k: int, values: dict[str, np.ndarray]) -> None:
        """Write the arrays of chunk k, make sure that they are on the disk, then mark it as done.

        Raises:
            OSError: they cannot be written; chunks that are done stay readable. Or the store is gone.
        """
        self._check_there()
        region = self.points.region(k)
        shape = tuple(part.stop - part.start for part in region)
        parameters = values["parameters"]
        columns = dict(zip(self.points.names, parameters.T, strict=True))
        columns = {name: column for name, column in columns.items() if name not in self.points.axes}
        columns |= {name: value for name, value in values.items() if name != "parameters"}
        place = np.unravel_index(k, self.points.chunks)
        try:
            for name, value in columns.items():
                further = value.shape[1:]
                self._arrays[name][region + (slice(None),) * len(further)] = value.reshape(shape + further)
                self._to_disk(name, (*place, *[0] * len(further)))
            self._arrays[_DONE][k : k + 1] = True
            self._to_disk(_DONE, (k,))
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror} while writing to {self.path}; what is done is kept and readable, so put that right "
                "and give the same command again",
            ) from error

    def _to_disk(self, name: str, chunk: tuple[int, ...]) -> None:
        path = self.path / name / "c" / "/".join(map(str, chunk))
        if path.exists():  # Zarr writes no file for a chunk that is all NaN
            with path.open("rb") as file:
                os.fsync(file.fileno())
            fsync_dir(path.parent)

    def _check_there(self) -> None:
        """Zarr would make the folders of a store anew that somebody has removed meanwhile."""
        try:
            there = os.path.samestat((self.path / "zarr.json").stat(), self._here)
        except OSError:
            there = False
        if not there:
            raise OSError(
                f"{self.path} was removed or replaced while the scan ran; give the same command to start anew"
            )


def done(path: Path) -> np.ndarray:
    """Which chunks of a store are done, (chunks,)."""
    import zarr

    return np.asarray(zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False)[_DONE][:])


def open_scan(path: str | Path) -> xr.Dataset:
    """The result of a scan, finished or not, read as it is used; what is not done is NaN.

    Raises:
        RequestError: there is no scan.
    """
    require_zarr()
    if attributes(Path(path)) is None:
        raise RequestError(f"expected the store of a scan, got {path}, where nothing is; check the path")
    return xr.open_zarr(path, chunks=None)
