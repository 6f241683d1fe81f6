"""Scans of a likelihood, constraints and observables over grids or points of a prior, `jaxdark scan`.

Inputs: a likelihood and points. Outputs: a Zarr store with labelled axes; memory is that of a chunk, and a scan that
was killed goes on where it was.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from jaxdark._version import versions
from jaxdark.compute import fingerprint
from jaxdark.compute.bounds import checked_seed
from jaxdark.compute.cluster import map_chunks
from jaxdark.errors import RequestError
from jaxdark.likelihood import identity
from jaxdark.likelihood.likelihood import Likelihood, check_likelihood
from jaxdark.likelihood.priors import Prior, name_of, prior_of
from jaxdark.likelihood.provenance import prior_provenance, provenance
from jaxdark.models.base import Model
from jaxdark.models.registry import check_parameters
from jaxdark.models.wilson import SM_ONLY, NewPhysics
from jaxdark.optimise.descents import TOLERANCE
from jaxdark.optimise.region_fit import fit_with_covariance
from jaxdark.precision import require_x64, usual_rules
from jaxdark.scans import store
from jaxdark.scans.outputs import Work, selected
from jaxdark.scans.points import Points, grid, of_prior, of_profile

Report = Callable[[str, int, int], None]
DEFAULT_OUTPUTS = ("log_likelihood", "constraints")
_CHUNK, _PROFILE_CHUNK = 2**16, 2**10
"""Points; those of a profile take some 300 evaluations each."""
_READ = 2**17
"""Points that are read together: 2**20 would set the peak memory of a long scan."""


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
        prior: str | Prior | None = None,
        outputs: Sequence[str] = DEFAULT_OUTPUTS,
        reference: str | Mapping[str, Any] | Model | NewPhysics | None = None,
        profile: bool = False,
        chunk: int | None = None,
        seed: int = 0,
        force: bool = False,
        report: Report | None = None,
    ):
        require_x64()
        check_likelihood(like)
        store.require_zarr()
        seed = checked_seed(seed)
        self.path, self._report = Path(out), report or (lambda stage, done, total: None)
        if like.theory == "full":
            raise RequestError(
                "expected the likelihood in mode marginalised or following, got full, which needs values of the "
                "nuisances at every point; take theory marginalised for a scan"
            )
        if isinstance(reference, str) and reference not in ("sm", "fit"):
            raise RequestError(
                f"expected the reference sm or fit, or parameters of a point, got {reference!r}; leave it out for the "
                "default"
            )
        usual = _PROFILE_CHUNK if profile else _CHUNK
        self.chunk = chunk = usual if chunk is None else chunk
        if chunk < 16 or chunk & (chunk - 1):
            raise RequestError(f"expected a chunk of a power of two of points, at least 16, got {chunk}; take {usual}")
        points = _points(parameters or {}, random, sobol, profile, model, prior, seed, chunk)
        found = selected(outputs, like, points.model_type)
        of_region = profile or random is not None or sobol is not None or prior is not None
        like, reference = _referred(like, reference, of_region and (found.log_likelihood or profile), points.build)
        prior = _prior(prior, model) if profile or reference == "fit" else None
        store.fits(self.path, points, found, chunk)
        settings = _settings(like, points, found, prior if reference == "fit" else None, chunk, seed)
        former = store.attributes(self.path)
        if force and former and former["settings"] != settings:
            former = None
        _check_same(former, settings, self.path)
        if former is None:
            store.refuse_link(self.path)
        places, start = former or self._places(like, prior, reference, seed), None
        if prior is not None and reference == "fit":
            like = like.at(prior.model_at(places["covariance_at"]))
        if prior is not None and profile:
            best = np.asarray(prior.cube(np.array([*places["best_fit"].values()])))
            start = best[[prior.names.index(name) for name in points.profiled]]
        self.work = Work(like, points, found, start)
        self._settings = settings
        with store.held(self.path):
            if former is None:
                kept = set(found.measurements)
                store.create(
                    self.path,
                    points,
                    {"settings": settings, **places, "versions": settings["versions"] | versions("zarr")},
                    log_likelihood=found.log_likelihood,
                    constraints=self.work.constraints,
                    rows=[row for row in like.data.rows if row.id in kept],
                )
            self._store = store.Store(self.path, points)

    def _places(self, like: Likelihood, prior: Prior | None, reference: str | None, seed: int) -> dict[str, Any]:
        """Where the theory covariance is taken and, if asked for, the best fit; those of an earlier run stay."""
        here = {"covariance_at": _leaves(like.reference) or "standard_model"}
        if prior is None:
            return here
        self._report("best fit", 0, 1)
        fit = fit_with_covariance(like, prior, seed=seed)
        self._report("best fit", 1, 1)
        at, best = (dict(zip(prior.names, v.tolist(), strict=True)) for v in (fit.reference, fit.vector))
        return ({"covariance_at": at} if reference == "fit" else here) | {"best_fit": best}

    def run(self, scheduler: Any = None) -> xr.Dataset:
        """Do what is not done; returns the dataset, read as it is used.

        Raises:
            RequestError: another process works on the store, or has put a scan of other settings in its place.
        """
        with store.held(self.path):
            _check_same(store.attributes(self.path), self._settings, self.path)
            self._do(scheduler)
        return store.open_scan(self.path)

    def _do(self, scheduler: Any) -> None:
        points = self.work.points
        todo, total = self._store.missing(), math.prod(points.shape)
        sizes = {k: math.prod(part.stop - part.start for part in points.region(k)) for k in todo}
        done = total - sum(sizes.values())
        self._report("scan", done, total)
        for k, values in map_chunks(self.work, todo, scheduler=scheduler):
            self._store.write(k, values)
            done += sizes[k]
            self._report("scan", done, total)


@usual_rules()
def scan(
    like: Likelihood, parameters: Mapping[str, Any] | None = None, *, out: str | Path, scheduler: Any = None, **settings
) -> xr.Dataset:
    """Scan of log-likelihood, constraints and predictions over a grid or points of a prior, streamed to a Zarr store.

    A scan that was stopped or killed goes on by the same call, to the same result bit for bit.

    Args:
        like: the likelihood, in mode "marginalised" or "following".
        parameters: for a grid an `Axis` or LOWER:UPPER:COUNT[:log] per axis and a value for every other parameter, in
            GeV; for points of a prior the parameters that are fixed; for a profile axes and what is fixed.
        out: the store.
        scheduler: address of a Dask scheduler, or a Dask client or cluster; None is this process.
        settings: random or sobol (number of points); profile (at each grid point the likelihood is maximised over the
            parameters that are not given, within their prior, and the outputs are those of the maximum); model (a name,
            or a class or function of keywords, for a grid); prior (a `Prior` or the name of a region, for points of a
            prior, a profile and reference); outputs (of "log_likelihood", "constraints", "observables", ids of
            constraints and measurements; by default the first two); reference of the theory covariance, which the
            log-likelihoods of a scan share ("fit": the region's best fit, the default for points of a prior, a profile,
            or where a prior is given; "sm": the Standard Model, the default for other grids; parameters of a point, or
            a model; it is where `like` has it if one was chosen there); chunk (points, a power of two); seed; force
            (replace a scan of other settings); report (called with stage, done, all).

    Returns:
        The dataset, with the axes of the grid or `point`, then `constraint` or `measurement`; in a profile also the
        profiled parameters and `gradient_norm`, below 1e-4 where the minimum was reached.

    Raises:
        RequestError: the request is wrong, or the store holds a scan of other settings.
        OSError: the store cannot be written any more, or the cluster failed; the same call goes on.
    """
    return Scan(like, parameters, out=out, **settings).run(scheduler)


def best_point(result: xr.Dataset) -> dict[str, Any] | None:
    """Highest log-likelihood of a scan and the parameters there, read in chunks; None where it has no such output."""
    if "log_likelihood" not in result:
        return None
    best = (-np.inf, {})
    for part in _parts(result["log_likelihood"]):
        if np.isfinite(part).any() and float(part.max()) > best[0]:
            place = part.isel(part.argmax(...))
            best = float(place), {str(name): place[name].values.tolist() for name in place.coords}
    return {"log_likelihood": best[0], "parameters": best[1]} if best[1] else None


def converged_fraction(result: xr.Dataset) -> float:
    """Share of a profile's points that reached a minimum, read in chunks."""
    norm = result["gradient_norm"]
    return sum(int((part < TOLERANCE).sum()) for part in _parts(norm)) / norm.size


def _parts(values: xr.DataArray) -> Iterator[xr.DataArray]:
    """The values chunk by chunk of the store, some chunks together along the first axis."""
    first, *others = values.encoding["chunks"]
    first *= max(1, _READ // (first * math.prod(others)))
    steps = (first, *others)
    starts = (range(0, n, step) for n, step in zip(values.shape, steps, strict=True))
    for place in itertools.product(*starts):
        yield values[tuple(slice(at, at + step) for at, step in zip(place, steps, strict=True))].load()


def _referred(like: Likelihood, reference: Any, of_region: bool, build: Callable[..., Model]) -> tuple[Likelihood, Any]:
    """The likelihood with its theory covariance where it shall be, and "fit" where that is still to be found."""
    if reference is None and like.reference is None and of_region:
        return like, "fit"
    if isinstance(reference, Mapping):
        check_parameters("of the reference", build, reference)
        reference = build(**reference)
    if reference is None or reference == "fit":
        return like, reference
    return like.at(SM_ONLY if isinstance(reference, str) else reference), None


def _points(parameters, random, sobol, profile, model, prior, seed, chunk) -> Points:
    if profile and (random is not None or sobol is not None):
        raise RequestError("expected a profile on a grid, got random or sobol points; leave out one of the two")
    if profile:
        return of_profile(parameters, _prior_of_points(prior, model), seed, chunk)
    if random is None and sobol is None:
        return grid(parameters, model, chunk)
    if random is not None and sobol is not None:
        raise RequestError("expected random or sobol points, got both; leave one of them out")
    kind, n = ("random", random) if sobol is None else ("sobol", sobol)
    return of_prior(kind, n, _prior_of_points(prior, model), parameters, seed, chunk)


def _prior(prior: str | Prior | None, model: str | Callable[..., Model]) -> Prior:
    """Prior of a region; that of a model of one's own must be given."""
    if not isinstance(model, str) and not isinstance(prior, Prior):
        raise RequestError(f"expected a Prior of a model of your own, got {prior!r}; pass one")
    return prior_of(prior, model if isinstance(model, str) else "split")


def _prior_of_points(prior: str | Prior | None, model: str | Callable[..., Model]) -> Prior:
    """The same where the prior's own model is scanned; raises RequestError where another one is given beside it."""
    prior = _prior(prior, model)
    if not isinstance(model, str) and prior.build != model:
        raise RequestError(
            f"expected a prior that builds the model given, {name_of(model)}, got one that builds {prior.model_name}; "
            "leave out the model, or give the prior build=MODEL"
        )
    return prior


def _settings(like: Likelihood, points: Points, outputs, prior: Prior | None, chunk: int, seed: int) -> dict[str, Any]:
    """All that fixes the numbers of the store, in JSON's types."""
    settings = {
        **points.settings,
        "reference": {"fit": prior_provenance(prior) | {"seed": seed}}
        if prior
        else _leaves(like.reference) or "standard_model",
        "reference_identity": fingerprint.digest(fingerprint.fingerprint(like.reference)),
        "outputs": outputs._asdict(),
        "chunk": chunk,
    }
    made_of = provenance(
        like,
        settings=settings,
        model=points.model(points.examples[0]),
        model_identity=identity.of_model(points.model, points.examples),
    )
    try:
        return json.loads(json.dumps(made_of.json()))
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


def _check_same(former: dict[str, Any] | None, settings: dict[str, Any], path: Path) -> None:
    if former is None or former["settings"] == settings:
        return
    known = former["settings"]
    other = [name for name in {**known, **settings} if known.get(name) != settings.get(name)]
    raise RequestError(
        f"expected a scan of the same settings in {path}, got one of other {', '.join(other)}; name another place with "
        "--out, or replace it with --force"
    )
