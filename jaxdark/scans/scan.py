"""Scans of a likelihood, constraints and observables over grids or points of a prior, `jaxdark scan`.

Enters: a likelihood and points. Leaves: a Zarr store with labelled axes; memory is that of a chunk, and a scan that was
killed goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from jaxdark import __version__
from jaxdark.cluster import map_chunks
from jaxdark.dark.model import Model
from jaxdark.errors import RequestError
from jaxdark.inference.best_fit import at_best_fit
from jaxdark.inference.likelihood import Likelihood
from jaxdark.inference.priors import Prior, prior_of
from jaxdark.precision import require_x64
from jaxdark.scans import store
from jaxdark.scans.outputs import Work, selected
from jaxdark.scans.points import Points, grid, of_prior

Report = Callable[[str, int, int], None]
DEFAULT_OUTPUTS = ("log_likelihood", "constraints")


class Scan:
    """A scan whose store is there, new or of an earlier run; arguments as in `scan`."""

    def __init__(
        self,
        like: Likelihood,
        parameters: Mapping[str, Any] | None = None,
        *,
        out: str | Path,
        random: int | None = None,
        sobol: int | None = None,
        model: str | Callable[..., Model] = "split",
        region: str | Prior | None = None,
        outputs: Sequence[str] = DEFAULT_OUTPUTS,
        reference: str | None = None,
        chunk: int = 2**16,
        seed: int = 0,
        force: bool = False,
        report: Report | None = None,
    ):
        require_x64()
        store.require_zarr()
        self.path, self._report = Path(out), report or (lambda stage, done, total: None)
        if like.theory != "marginalised":
            raise RequestError(
                "expected the likelihood in mode marginalised, got full, which needs values of the nuisances at every "
                "point; take theory marginalised for a scan"
            )
        if reference not in (None, "fit"):
            raise RequestError(f"expected the reference sm or fit, got {reference!r}; leave it out for the default")
        if chunk < 16 or chunk & (chunk - 1):
            raise RequestError(f"expected a chunk of a power of two of points, at least 16, got {chunk}; take 65536")
        points = _points(parameters or {}, random, sobol, model, region, seed, chunk)
        first = points.at(tuple(slice(0, 1) for _ in points.shape))[0]
        found = selected(outputs, like, type(points.model(np.asarray(points.vector(first)))))
        prior = prior_of(region, model if isinstance(model, str) else "split") if reference == "fit" else None
        settings = _settings(like, points, found, prior, chunk, seed)
        former = store.attributes(self.path)
        if force and former and former["settings"] != settings:
            former = None
        _check_same(former, settings, self.path)
        like, at = self._referenced(like, prior, seed, former)
        self.work = Work(like, points, found)
        if former is None:
            kept = set(found.rows)
            store.create(
                self.path,
                points,
                {"settings": settings, "covariance_at": at, "versions": _versions()},
                log_likelihood=found.log_likelihood,
                constraints=self.work.constraints,
                rows=[row for row in like.data.rows if row.id in kept],
            )
        self._store = store.Store(self.path, points)

    def _referenced(self, like: Likelihood, prior: Prior | None, seed: int, former: dict[str, Any] | None):
        """The likelihood with its theory covariance at the reference, and that point; an earlier run's stays."""
        if prior is None:
            return like, _leaves(like.reference) or "standard_model"
        if former is None:
            self._report("best fit", 0, 1)
            fit = at_best_fit(like, prior, seed=seed)
            self._report("best fit", 1, 1)
            at = dict(zip(prior.names, fit.reference.tolist(), strict=True))
        else:
            at = former["covariance_at"]
        return like.at(prior.build(**at)), at

    def run(self, scheduler: Any = None) -> xr.Dataset:
        """Do what is not done; returns the dataset, read as it is used."""
        points = self.work.points
        todo, total = self._store.missing(), int(np.prod(points.shape))
        sizes = {k: int(np.prod([part.stop - part.start for part in points.region(k)])) for k in todo}
        done = total - sum(sizes.values())
        self._report("scan", done, total)
        for k, values in map_chunks(self.work, todo, scheduler=scheduler):
            self._store.write(k, values)
            done += sizes[k]
            self._report("scan", done, total)
        return store.open_scan(self.path)


def scan(
    like: Likelihood, parameters: Mapping[str, Any] | None = None, *, out: str | Path, scheduler: Any = None, **settings
) -> xr.Dataset:
    """Scan of log-likelihood, constraints and predictions over a grid or points of a prior, streamed to a Zarr store.

    A scan that was stopped or killed goes on by the same call, to the same result bit for bit.

    Args:
        like: the likelihood, in mode "marginalised".
        parameters: for a grid an `Axis` or LOWER:UPPER:COUNT[:log] per axis and a value for every other parameter, in
            GeV; for points of a prior the parameters that are fixed.
        out: the store.
        scheduler: address of a Dask scheduler, or a Dask client or cluster; None is this process.
        settings: random or sobol (number of points); model (a name, or a class or function of keywords, for a grid);
            region (name or `Prior`, for points of a prior and for reference); outputs (of "log_likelihood",
            "constraints", "observables", ids of constraints and rows; by default the first two); reference ("fit"
            takes the theory covariance at the region's best fit, by default it is where `like` has it); chunk (points,
            a power of two); seed; force (replace a scan of other settings); report (called with stage, done, all).

    Returns:
        The dataset, with the axes of the grid or `point`, then `constraint` or `row`.

    Raises:
        RequestError: the request is wrong, or the store holds a scan of other settings.
        OSError: the store cannot be written any more, or the cluster failed; the same call goes on.
    """
    return Scan(like, parameters, out=out, **settings).run(scheduler)


def best_point(result: xr.Dataset, chunk: int = 2**20) -> dict[str, Any] | None:
    """Highest log-likelihood of a scan and the parameters there, read in chunks; None where it has no such output."""
    if "log_likelihood" not in result:
        return None
    values, best = result["log_likelihood"], (-np.inf, {})
    step = max(1, chunk // max(1, values.size // values.shape[0]))
    for start in range(0, values.shape[0], step):
        part = values[start : start + step].load()
        if np.isfinite(part).any() and float(part.max()) > best[0]:
            place = part.isel(part.argmax(...))
            best = float(place), {name: place[name].values.tolist() for name in place.coords}
    return {"log_likelihood": best[0], "parameters": best[1]} if best[1] else None


def _points(parameters, random, sobol, model, region, seed, chunk) -> Points:
    if random is None and sobol is None:
        return grid(parameters, model, chunk)
    if random is not None and sobol is not None:
        raise RequestError("expected random or sobol points, got both; leave one of them out")
    kind, n = ("random", random) if sobol is None else ("sobol", sobol)
    return of_prior(kind, n, prior_of(region, model), parameters, seed, chunk)


def _versions() -> dict[str, str]:
    return {"jaxdark": __version__} | {name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy", "zarr")}


def _settings(like: Likelihood, points: Points, outputs, prior: Prior | None, chunk: int, seed: int) -> dict[str, Any]:
    """All that fixes the numbers of the store, in JSON's types."""
    fit = (
        {}
        if prior is None
        else {"region": prior.region, "seed": seed, "prior": {n: [*r] for n, r in prior.ranges.items()}}
    )
    settings = {
        **points.settings,
        "data": like.data.name,
        "data_sha256": like.data.sha256,
        "inputs": {name: float(value) for name, value in like.sm.scalars.items()},
        "inputs_sha256": _digest(like.sm),
        "g_minus_2": like.g_minus_2,
        "theory": like.theory,
        "reference": {"fit": fit} if fit else _leaves(like.reference) or "standard_model",
        "outputs": outputs._asdict(),
        "chunk": chunk,
        "versions": {name: _versions()[name] for name in ("jaxdark", "jax", "jaxlib")},
    }
    try:
        return json.loads(json.dumps(settings))
    except TypeError as error:
        raise RequestError(
            f"expected parameters that are numbers or words, got others ({error}); convert them"
        ) from None


def _leaves(model: Any) -> dict[str, Any]:
    """Numbers of a model by their place in it."""
    return {
        jax.tree_util.keystr(path): np.asarray(leaf).tolist()
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
    }


def _digest(tree: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))).hexdigest()


def _check_same(former: dict[str, Any] | None, settings: dict[str, Any], path: Path) -> None:
    if former is None or former["settings"] == settings:
        return
    known = former["settings"]
    other = [name for name in {**known, **settings} if known.get(name) != settings.get(name)]
    raise RequestError(
        f"expected a scan of the same settings in {path}, got one of other {', '.join(other)}; name another place with "
        "--out, or replace it with --force"
    )
