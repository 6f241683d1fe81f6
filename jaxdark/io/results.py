"""Results of a sampling run as one ArviZ object, and the summary read off it.

Inputs: draws with what was recorded beside them. Outputs: netCDF files and the dictionary of summary.json. The only
module that knows both ArviZ APIs (InferenceData of 0.23 and DataTree from 1.0); access is by `tree[group][variable]`.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jaxdark.errors import RequestError
from jaxdark.io import atomic
from jaxdark.io.checkpoints import fsync_dir

if TYPE_CHECKING:
    import xarray as xr

Result: TypeAlias = "xr.DataTree"
"""A result as ArviZ 1.x has it; of ArviZ 0.23 it is an InferenceData, which is read by `tree[group][variable]` too."""
_OVERHEAD = 2**20
"""Bytes that HDF5 adds to the arrays."""


def arviz() -> ModuleType:
    """ArviZ, of either API."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0.23 announces 1.0 on import
        import arviz  # takes a second or more
    return arviz


def make_tree(groups: "Mapping[str, xr.Dataset]", attributes: Mapping[str, Any]) -> Result:
    """ArviZ object of the installed version from datasets by group name; attributes go to the posterior as JSON, and
    the format with them.
    """
    import xarray as xr  # brings pandas: a third of a second, which `jaxdark point` need not wait for

    from jaxdark.io.result_schema import FORMAT

    encoded = {name: json.dumps(plain(value)) for name, value in {"format": FORMAT, **attributes}.items()}
    groups = {name: dataset.assign_attrs(encoded if name == "posterior" else {}) for name, dataset in groups.items()}
    az = arviz()
    if int(az.__version__.split(".")[0]) == 0:  # asking 1.x for InferenceData warns
        return az.InferenceData(**groups)
    return xr.DataTree.from_dict(dict(groups))


def attributes(tree) -> dict[str, Any]:
    """What `make_tree` was given beside the draws."""
    return {name: json.loads(value) for name, value in tree["posterior"].attrs.items()}


def summary(tree) -> dict[str, Any]:
    """The dictionary of summary.json."""
    return attributes(tree)["summary"]


def with_group(tree, name: str, dataset: "xr.Dataset", **changed: Any) -> Result:
    """The result with a group added or replaced and some attributes changed."""
    return make_tree(datasets(tree) | {name: dataset}, attributes(tree) | changed)


def datasets(tree) -> "dict[str, xr.Dataset]":
    """The groups of a result by name."""
    import xarray as xr

    kept: list[str] = list(tree.groups() if callable(tree.groups) else tree.children)
    return {key: tree[key] if isinstance(tree[key], xr.Dataset) else tree[key].to_dataset() for key in kept}


def save(result, path: str | Path) -> None:
    """Write a result or a dataset as netCDF under a temporary name, then rename.

    Raises:
        RequestError: the folder cannot be written.
        OSError: the disk is full, or fails.
    """
    import xarray as xr

    path = Path(path).absolute()
    parts = [result] if isinstance(result, xr.Dataset) else datasets(result).values()
    with atomic.workplace(path) as place:
        temporary = place / path.name
        _reserve(temporary, sum(dataset.nbytes for dataset in parts) + _OVERHEAD)
        result.to_netcdf(str(temporary), engine="h5netcdf")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    fsync_dir(path.parent)


def _reserve(path: Path, size: int) -> None:
    """Raise OSError unless the disk has room: HDF5 does not survive a disk that fills up while it writes."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None


def file_of(place: str | Path) -> Path:
    """The file of a result from its folder or from the file itself."""
    place = Path(place)
    return place / "posterior.nc" if place.is_dir() else place


def load(place: str | Path, *needs: str) -> Result:
    """Read a result.

    Args:
        place: its folder or its file.
        needs: groups and attributes that will be read, beside the draws, their prior and the summary.

    Raises:
        RequestError: there is none, or the file is no result of jaxdark, or one that lacks what is needed.
    """
    path = file_of(place)
    try:
        if not path.is_file():
            raise FileNotFoundError
    except OSError:
        raise RequestError(f"no result at {path}: give the folder or posterior.nc of a `jaxdark sample` run") from None
    from jaxdark.io.result_schema import problem

    try:
        tree = arviz().from_netcdf(str(path), engine="h5netcdf")
        wrong = problem(datasets(tree), needs)
    except Exception as error:  # h5py, h5netcdf, xarray and ArviZ each have their own for bytes that they cannot read
        wrong = str(error) or type(error).__name__
    if wrong:
        raise RequestError(f"{path} is not a result of `jaxdark sample` that can be read ({wrong}); run it again")
    return tree


def plain(value: Any) -> Any:
    """The value in JSON's types: arrays become lists, and what is not finite None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
