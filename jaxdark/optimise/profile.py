"""Profile likelihood in one or two parameters: at every grid point the smallest chi2 over all the others.

Inputs: a likelihood, a prior and the values of the axes. Outputs: an xarray dataset of chi2 with the parameters that
reach it. Section 4.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float

from jaxdark.compute.bounds import checked_seed, count, fits_memory
from jaxdark.errors import RequestError, nearest
from jaxdark.io.results import plain
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, prior_of, unit
from jaxdark.likelihood.provenance import provenance
from jaxdark.optimise.conditional import Conditional, Report, keep_lower
from jaxdark.optimise.descents import Solutions
from jaxdark.optimise.fit import covariance_at, without_nuisances_only
from jaxdark.optimise.region_fit import RegionFit, fit_with_covariance
from jaxdark.precision import usual_rules

_SCANNED = 2**20
"""Points of the scan that starts are taken from, over all grid points together."""
_ROUNDS = 40
"""Most exchanges of solutions between neighbours."""
_BYTES_PER_POINT = 2000
"""About: eight starts of descents, the states of these, and solutions with those of neighbours."""
_LOWER = 1e-4
"""Gain in chi2 for which a neighbour's solution is taken over."""


@usual_rules()
def profile(
    like: Likelihood,
    prior: str | Prior = "high",
    *,
    axes: Mapping[str, Float[np.ndarray, " n"]],
    seed: int = 0,
    report: Report | None = None,
) -> xr.Dataset:
    """Profile likelihood: chi2 = -2 ln L minimised over the parameters that are not on an axis.

    Every grid point descends from the best points of a scan of its own; then solutions spread from neighbour to
    neighbour until none lowers another, in a plane those that already lie lower. The theory covariance is taken at the
    region's best fit, as for `sample`.

    Args:
        like: the likelihood, in mode "marginalised" or "following".
        prior: a `Prior`, or the name of a region of Table 1, "high" or "low".
        axes: values of one or two parameters in their units, within the prior.
        seed: of the scan.
        report: called with (stage, done, all) as work proceeds.

    Returns:
        `chi2`, `delta_chi2` (to the smaller of the region's best fit and the grid's smallest), `gradient_norm` and the
        other parameters at each grid point; `attrs["record"]` is JSON with the best fit, `covariance_at`, the share
        of converged points and provenance.

    Raises:
        RequestError: single precision, mode "full", an unknown parameter, or values outside the prior.
    """
    prior, seed = prior_of(prior), checked_seed(seed)
    without_nuisances_only(like)
    fits_grid(math.prod(map(np.size, axes.values())))
    axes = checked_axes(prior, axes)
    columns = [_quantiles(prior, name, values).clip(0.0, 1.0) for name, values in axes.items()]
    fixed = np.stack([a.ravel() for a in np.meshgrid(*columns, indexing="ij")], axis=1)
    report = report or (lambda stage, done, total: None)
    report("best fit", 0, 1)
    fit = fit_with_covariance(like, prior, seed=seed)
    report("best fit", 1, 1)
    grid = _Grid(fit, prior, tuple(axes), [len(values) for values in axes.values()])
    solutions = grid.minimise(fixed, seed=seed, report=report)
    return _dataset(like, fit, prior, axes, grid, fixed, solutions, seed)


def fits_grid(points: int) -> None:
    """Raise RequestError unless a profile at so many grid points fits into memory."""
    advice = "take fewer points, or `jaxdark scan --profile`, which keeps one chunk in memory"
    fits_memory(points * _BYTES_PER_POINT, f"a profile at {count(points)} grid points", advice)


def checked_axes(prior: Prior, axes: Mapping[str, Float[np.ndarray, " n"]]) -> dict[str, Float[np.ndarray, " n"]]:
    """The axes as arrays; raises RequestError for the number or names of parameters, or values outside the prior."""
    if len(axes) not in (1, 2):
        raise RequestError(f"expected one or two parameters to profile in, got {', '.join(axes) or 'none'}")
    for name in axes:
        if name not in prior.names:
            advice = nearest(name, prior.names)
            raise RequestError(f"unknown parameter {name!r} of the model {prior.model_name}; {advice}")
    arrays = {name: np.asarray(values, float) for name, values in axes.items()}
    for name, values in arrays.items():
        u, range_ = _quantiles(prior, name, values), prior.ranges[name]
        if not np.all((u > -1e-9) & (u < 1 + 1e-9)):
            low, high = sorted(range_.sign * end for end in (range_.lower, range_.upper))
            raise RequestError(
                f"expected values of {name} within its prior, {low:g} to {high:g}, got "
                f"{values.min():g} to {values.max():g}"
            )
    return arrays


def _quantiles(prior: Prior, name: str, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Prior quantiles of one parameter's values."""
    column = prior.names.index(name)
    vectors = np.tile(np.asarray(prior.vector(np.full(len(prior.names), 0.5))), (len(values), 1))
    vectors[:, column] = values
    return np.asarray(prior.cube(vectors))[:, column]


class _Grid:
    """The small problems of all grid points, and the exchange of solutions between neighbours."""

    def __init__(self, fit: RegionFit, prior: Prior, names: tuple[str, ...], shape: list[int]):
        self._like, self._prior, self._shape = fit.like, prior, shape
        self._order = [prior.names.index(n) for n in (*names, *(m for m in prior.names if m not in names))]
        self.free = [prior.names[i] for i in self._order[len(names) :]]
        self._conditional = Conditional(self._residuals, len(self.free))

    def _residuals(self, _, fixed: Float[Array, " k"], free: Float[Array, " d-k"]) -> Float[Array, " n"]:
        u = jnp.concatenate([fixed, free])[np.argsort(self._order)]
        return jnp.concatenate(list(self._like.whitened_residuals(self._prior.model(self._prior.vector(u))).values()))

    def minimise(self, fixed: Float[np.ndarray, "points k"], *, seed: int, report: Report) -> Solutions:
        """The smallest minimum at each grid point, those that neighbours lead to included."""
        n = len(fixed)
        if not self.free:
            none = np.zeros((n, 0))
            return Solutions(none, self._conditional.chi2(None, fixed, none), np.zeros(n), np.zeros(n, int))
        scanned = 1 << max(5, min(10, (_SCANNED // n).bit_length() - 1))
        lowest = self._conditional.minimise(None, fixed, points=scanned, seed=seed, report=report)
        exchange = self._descend_from_neighbours if len(self._shape) == 1 else self._adopt_lower_neighbours
        changed = np.ones(n, bool)
        for done in range(_ROUNDS):
            report("neighbours", done, _ROUNDS)
            changed = exchange(lowest, fixed, changed)
            if not changed.any():
                break
        report("neighbours", _ROUNDS, _ROUNDS)
        return lowest

    def _descend_from_neighbours(self, lowest: Solutions, fixed, changed: Bool[np.ndarray, " points"]):
        """On a line, descend from the solution of each neighbour that has changed; returns which points got lower.

        There are few points, and minima far apart that differ by 1e-3 are not seen before the descent.
        """
        lowered = np.zeros(len(fixed), bool)
        for points, neighbours in _neighbours(np.arange(len(fixed))):
            points, neighbours = points[changed[neighbours]], neighbours[changed[neighbours]]
            if len(points):
                before = lowest.chi2[points]
                keep_lower(lowest, points, self._conditional.descend(None, fixed[points], lowest.u[neighbours]))
                lowered[points] |= lowest.chi2[points] < before - _LOWER
        return lowered

    def _adopt_lower_neighbours(self, lowest: Solutions, fixed, changed: Bool[np.ndarray, " points"]):
        """In a plane, descend where the solution of a neighbour that has changed lies lower, diagonal neighbours too;
        returns which points those were.
        """
        smallest, start = lowest.chi2.copy(), lowest.u.copy()
        for points, neighbours in _neighbours(np.arange(len(fixed)).reshape(self._shape)):
            points, neighbours = points[changed[neighbours]], neighbours[changed[neighbours]]
            if len(points):
                chi2 = self._conditional.chi2(None, fixed[points], lowest.u[neighbours])
                lower = chi2 < smallest[points] - _LOWER
                smallest[points[lower]], start[points[lower]] = chi2[lower], lowest.u[neighbours[lower]]
        adopting = smallest < lowest.chi2
        points = np.flatnonzero(adopting)
        if len(points):
            keep_lower(lowest, points, self._conditional.descend(None, fixed[points], start[points]))
        return adopting


def _neighbours(index: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Flat indices of points and of their neighbours, for each direction on the grid, diagonal ones too."""
    for shift in product((-1, 0, 1), repeat=index.ndim):
        if any(shift):
            inside = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(shift, index.shape, strict=True))
            shifted = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(shift, index.shape, strict=True))
            yield index[inside].ravel(), index[shifted].ravel()


def _dataset(
    like, fit: RegionFit, prior: Prior, axes, grid: _Grid, fixed, solutions: Solutions, seed: int
) -> xr.Dataset:
    shape, dims = tuple(len(values) for values in axes.values()), tuple(axes)
    u = np.concatenate([fixed, solutions.u], axis=1)[:, np.argsort(grid._order)]
    vectors = np.asarray(prior.vector(u))
    best = min(-2 * fit.log_likelihood, float(solutions.chi2.min()))
    fields: dict[str, tuple[Any, str, str]] = {
        "delta_chi2": (solutions.chi2 - best, "1", "-2 ln(L/L_max)"),
        "chi2": (solutions.chi2, "1", "-2 ln L"),
        "gradient_norm": (solutions.gradient_norm, "1", "of the descent that ended there"),
    }
    fields |= {n: (vectors[:, prior.names.index(n)], unit(n), "at the conditional minimum") for n in grid.free}
    dataset = xr.Dataset(
        {
            name: (dims, values.reshape(shape), {"units": units, "long_name": meaning})
            for name, (values, units, meaning) in fields.items()
        },
        {name: (name, np.asarray(values), {"units": unit(name)}) for name, values in axes.items()},
    )
    record: dict[str, Any] = provenance(like, prior, seed=seed).json() | {
        "covariance_at": covariance_at(prior, fit.reference),
        "best": {"chi2": best, "parameters": dict(zip(prior.names, fit.vector.tolist(), strict=True))},
        "converged_fraction": float(solutions.converged.mean()),
        "steps_per_point": float(solutions.steps.mean()),
    }
    if best < -2 * fit.log_likelihood:
        at = vectors[np.argmin(solutions.chi2)]
        record["best"]["parameters"] = dict(zip(prior.names, at.tolist(), strict=True))
    return dataset.assign_attrs(record=json.dumps(plain(record)))


def record_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Best fit, `covariance_at`, share of converged points and provenance of a profile."""
    return json.loads(dataset.attrs["record"])
