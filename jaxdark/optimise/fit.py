"""Best fit with its errors, the other minima, and how well the data are described, Section 4.

Inputs: a likelihood and a region. Outputs: the record of `fit.json`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.aot import AotFunction
from jaxdark.compute.bounds import checked_seed, count, fits_memory
from jaxdark.compute.cluster import connected
from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import ITSELF, Likelihood, check_likelihood
from jaxdark.likelihood.priors import Prior, prior_of, unit
from jaxdark.likelihood.provenance import provenance
from jaxdark.models.base import Model
from jaxdark.models.wilson import SM_ONLY
from jaxdark.optimise.least_squares import TOLERANCE
from jaxdark.optimise.multistart import MOST_STARTS, PSEUDO_TOLERANCE, RegionFit, fit_with_covariance
from jaxdark.precision import usual_rules

Report = Callable[[str, int, int], None]

_EDGE = 1e-6
_NO_CURVATURE = 1e-10
"""Eigenvalue of a matrix of unit diagonal below which a direction is not determined: rounding leaves 1e-12."""
_DRAGS = 0.1
"""A parameter counts as determined if the directions that are not move it, from end to end of the prior, by less than
this share of its error."""
_LISTED = 20
_BYTES_PER_SET = 64
"""chi2 and gradient norm of each set of pseudo-data, as they come and put together."""


class Fit(NamedTuple):
    """Best fit of a model in a region.

    Attributes:
        model: at the best fit.
        like: the likelihood that was maximised, with its theory covariance at `record["covariance_at"]`.
        record: the content of fit.json.
    """

    model: Model
    like: Likelihood
    record: dict[str, Any]


@usual_rules()
def fit(
    like: Likelihood,
    region: str | Prior = "high",
    *,
    starts: int = 256,
    pseudo: int = 500,
    seed: int = 0,
    report: Report | None = None,
    scheduler: Any = None,
) -> Fit:
    """Best fit of a model in one region by many starts at once, with errors and goodness of fit.

    chi2 is -2 ln L: all rows with experimental and theory covariance, and (g-2). The theory covariance is taken at the
    region's best fit, iterated to a fixed point, as for `sample`; the gain over the Standard Model is that of two
    profile likelihoods, with the nuisances at their best values for either, see `Likelihood.evaluate`. Errors are those
    of chi2 = minimum + 1 for a parabola, from the Hessian and from J^T J of the whitened residuals (Fisher); parameters
    that are fixed or on an edge of the prior are held, and those that the data do not determine have no error and take
    none from the others.

    Args:
        like: the likelihood, in mode "marginalised".
        region: "high" or "low", or any other `Prior`.
        starts: descents, one in each slice of the first parameter.
        pseudo: sets of pseudo-data for the p-value, each fitted by descents from the best fit and from the best prior
            points of three slices; 0 leaves it out.
        seed: of scan and pseudo-data.
        report: called with (stage, done, all) as work proceeds.
        scheduler: address of a Dask scheduler, or a Dask client or cluster, whose workers fit the pseudo-data; None is
            this process, with the same result.

    Raises:
        RequestError: single precision, mode "full", an unknown region, impossible numbers of starts or pseudo-data, or
            a scheduler that does not answer or has nothing to do.
        OSError: the cluster failed.
    """
    prior, seed = prior_of(region), checked_seed(seed)
    marginalised_only(like)
    if not 1 <= starts <= MOST_STARTS or pseudo < 0:
        raise RequestError(
            f"expected 1 to {MOST_STARTS} starts, the number of prior points they are chosen from, and at least 0 sets "
            f"of pseudo-data, got {count(starts)} and {count(pseudo)}"
        )
    fits_memory(pseudo * _BYTES_PER_SET, f"{count(pseudo)} sets of pseudo-data", "take fewer sets")
    if scheduler is not None and not pseudo:
        raise RequestError("a scheduler fits sets of pseudo-data, got one and 0 sets; give some, or leave it out")
    report = report or (lambda stage, done, total: None)
    with connected(scheduler) as client:
        report("best fit", 0, 1)
        found = fit_with_covariance(like, prior, seed=seed, starts=starts)
        report("best fit", 1, 1)
        errors, directions = _errors(found, prior)
        minima = _distinct(found, prior)
        goodness = _goodness(found, prior, pseudo, seed, client, report)
    model = prior.model(found.vector)
    record = provenance(like, prior, seed=seed).json() | {"covariance_at": covariance_at(prior, found)}
    record |= _status(found, minima, errors, goodness, starts)
    record |= {"parameters": errors, "not_determined": directions}
    record |= {"minima": minima[:_LISTED], "minima_found": len(minima)}
    record |= _against_data(found, model)
    record["missing"] = goodness.pop("missing")
    record |= goodness
    if not record["missing"]:
        del record["missing"]
    return Fit(model, found.like, record)


def marginalised_only(like: Likelihood) -> None:
    """Raise RequestError for a likelihood in mode "full", or for what is none."""
    check_likelihood(like)
    if like.theory != "marginalised":
        raise RequestError(
            "fits and profiles need theory='marginalised', which minimises over the nuisances to first order, got "
            f"theory={like.theory!r}; `jaxdark sample --theory full` has the nuisances as parameters"
        )


def covariance_at(prior: Prior, found: RegionFit) -> dict[str, float]:
    """Parameters of the point at which the theory covariance is taken."""
    return dict(zip(prior.names, found.reference.tolist(), strict=True))


def curvature(
    like: Likelihood, prior: Prior, u: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
    """Derivatives of chi2/2 in the prior quantiles: first, second, and J^T J of the whitened residuals (Fisher)."""

    def whitened_residuals(u: Float[Array, " d"]) -> Float[Array, " n"]:
        return jnp.concatenate(list(like.whitened_residuals(prior.model(prior.vector(u))).values()))

    def both(u: Float[Array, " d"]):
        slope = jax.grad(lambda v: 0.5 * jnp.sum(whitened_residuals(v) ** 2))

        def column(direction: Float[Array, " d"]):
            return jax.jvp(slope, (u,), (direction,))[1], jax.jvp(whitened_residuals, (u,), (direction,))[1]

        hessian, J = jax.lax.map(column, jnp.eye(len(u)))
        return slope(u), hessian, J @ J.T

    return AotFunction(both)(u)


def _errors(found: RegionFit, prior: Prior) -> tuple[dict[str, dict[str, Any]], list[dict[str, float]]]:
    """Value and errors of each parameter, null with a reason where there is none; and the directions without one, each
    as the shares of the parameters' ranges that change together.
    """
    u, fixed = found.minima.best, prior.fixed
    first, *second = curvature(found.like, prior, u)
    # A slope that the search would follow no further holds nothing: such an edge was met by chance.
    pushed = first / np.sqrt(1 + np.diag(second[1]))
    edge = ((u < _EDGE) & (pushed > TOLERANCE)) | ((u > 1 - _EDGE) & (pushed < -TOLERANCE))
    slope = np.abs(np.asarray(jax.jvp(prior.vector, (u,), (np.ones_like(u),))[1]))
    names = np.array(prior.names)
    of_kind = {
        kind: standard_errors(matrix, ~edge & ~fixed)
        for kind, matrix in zip(("hessian", "fisher"), second, strict=True)
    }
    record = {}
    for i, name in enumerate(prior.names):
        entry: dict[str, Any] = {"value": float(found.vector[i]), "unit": unit(name), "on_edge": bool(edge[i])}
        for kind, (errors, undetermined) in of_kind.items():
            reason = _why_none(i, names, errors[i], undetermined, bool(edge[i]), bool(fixed[i]))
            entry[f"{kind}_error"] = None if reason else float(errors[i] * slope[i])
            if reason:
                entry[f"{kind}_reason"] = reason
        record[name] = entry
    directions = [
        {str(names[i]): float(direction[i]) for i in np.flatnonzero(np.abs(direction) > 1e-3)}
        for direction in of_kind["fisher"][1]
    ]
    return record, directions


def _why_none(
    i: int, names: np.ndarray, error: float, undetermined: Float[np.ndarray, "k d"], on_edge: bool, fixed: bool
) -> str | None:
    """Why a parameter has no error, or None if it has one; undetermined are directions in prior quantiles."""
    if fixed:
        return "fixed by its prior"
    if on_edge:
        return "on an edge of the prior"
    if np.isfinite(error):
        return None if error < 1 else "not determined: the error exceeds the prior's range"
    mixed = np.abs(undetermined[np.argmax(np.abs(undetermined[:, i]))]) > 1e-3
    if mixed.sum() == 1:
        return "not determined: the data do not depend on it"
    return f"not determined: {', '.join(names[mixed])} can change together without a change of the data"


def standard_errors(
    matrix: Float[np.ndarray, "d d"], free: np.ndarray
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "k d"]]:
    """Errors of a parabola with the parameters that are not free held, from a pseudo-inverse of the second derivatives.

    Directions without curvature are left out: they are told by the eigenvalues of the matrix scaled to a unit diagonal,
    which knows no units. A parameter that they move has no error; the others have that of the remaining directions.

    Args:
        matrix: second derivatives of chi2/2 in prior quantiles.
        free: which parameters are not held.

    Returns:
        Errors in prior quantiles, NaN where there is none, and the directions that are not determined, the largest
        component of each 1.
    """
    errors, curved = np.full(len(matrix), np.nan), free & (np.diag(matrix) > 0)
    flat = np.eye(len(matrix))[free & ~curved]
    if not curved.any():
        return errors, flat
    scale = np.sqrt(np.diag(matrix)[curved])
    values, vectors = np.linalg.eigh(matrix[np.ix_(curved, curved)] / np.outer(scale, scale))
    vectors, lost = vectors / scale[:, None], values < _NO_CURVATURE
    undetermined = np.zeros((lost.sum(), len(matrix)))
    undetermined[:, curved] = vectors[:, lost].T
    undetermined /= np.abs(undetermined).max(axis=1, keepdims=True, initial=1e-300)
    kept = np.sqrt((vectors[:, ~lost] ** 2 / values[~lost]).sum(axis=1))
    moved = np.abs(undetermined[:, curved]).max(axis=0, initial=0.0)
    errors[curved] = np.where(moved < _DRAGS * kept, kept, np.nan)
    return errors, np.concatenate([flat, undetermined])


def _distinct(found: RegionFit, prior: Prior) -> list[dict[str, Any]]:
    """Minima that differ in chi2 or predictions, best first, each with the number of starts that reached it, and those
    that contend for the best with chi2 where the theory covariance is taken at themselves.
    """
    minima, modes = found.minima, found.modes
    vectors = np.asarray(prior.vector(minima.u))
    own = {tuple(u): chi2 for u, chi2 in zip(modes.u, modes.own_chi2.tolist(), strict=True)}
    return [
        {
            "chi2": float(minima.chi2[group[0]]),
            **({"own_chi2": own[place]} if (place := tuple(minima.u[group[0]])) in own else {}),
            "starts": len(group),
            "gradient_norm": float(minima.gradient_norm[group[0]]),
            "parameters": dict(zip(prior.names, vectors[group[0]].tolist(), strict=True)),
            # Parameters far apart with the same predictions are one valley; a fixed one is apart from nothing.
            "spread": dict(zip(prior.names, (np.ptp(minima.u[group], axis=0) * ~prior.fixed).tolist(), strict=True)),
        }
        for group in found.search.distinct(found.like.whitening, minima)
    ]


def _status(found: RegionFit, minima, errors, goodness, starts: int) -> dict[str, Any]:
    """Whether the fit converged, and a sentence that says what a user should know of it."""
    norm = float(found.minima.gradient_norm[np.argmin(found.minima.chi2)])
    ran, stopped = len(found.minima.chi2), int((~found.minima.converged).sum())
    converged = norm < TOLERANCE and bool(minima)
    remarks = []
    if converged:
        which = "the only minimum" if len(minima) == 1 else f"the best of {len(minima)} minima"
        remarks.append(f"converged: {minima[0]['starts']} of {ran} starts reached {which}")
    else:
        remarks.append(
            f"not converged: the gradient norm at the lowest chi2 is {norm:.2g}, above {TOLERANCE:g}; "
            f"try more than {starts} starts or another seed"
        )
    if not found.settled:
        remarks.append(
            "the theory covariance has not come to rest: with that at covariance_at the best fit lies elsewhere; "
            "compare own_chi2 of the minima"
        )
    if stopped:
        remarks.append(f"{stopped} starts were given up before they converged")
    wide = [name for name, spread in (minima[0]["spread"] if minima else {}).items() if spread > 0.05]
    if wide:
        remarks.append(f"degenerate: points with different {', '.join(wide)} predict the same")
    edges = [name for name, entry in errors.items() if entry["on_edge"]]
    if edges:
        remarks.append(f"{', '.join(edges)} on an edge of the prior")
    reasons: dict[str, list[str]] = {}
    for name, entry in errors.items():
        if not entry["on_edge"] and entry["hessian_error"] is None:
            reasons.setdefault(entry["hessian_reason"], []).append(name)
    remarks += [f"no error for {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if goodness["pseudo_data"]["not_converged"]:
        remarks.append(
            f"{goodness['pseudo_data']['not_converged']} of {goodness['pseudo_data']['sets']} fits to pseudo-data "
            "were given up before they converged"
        )
    reached = minima[0]["starts"] if minima else 0
    return {
        "converged": converged,
        "status": "; ".join(remarks),
        "gradient_norm": norm,
        "tolerance": TOLERANCE,
        "starts": {"run": ran, "converged": ran - stopped, "at_best": reached},
    }


def _goodness(found: RegionFit, prior: Prior, pseudo: int, seed: int, client: Any, report: Report) -> dict[str, Any]:
    """chi2, degrees of freedom, and the share of fits to pseudo-data that are worse."""
    u, chi2 = found.minima.best, float(found.minima.chi2.min())
    like, free = found.like, int((~prior.fixed).sum())
    measured = len(like.data) + int(like.measures_g_minus_2(prior.model(found.vector)))
    dof = measured - free if measured > free else None
    record: dict[str, Any] = {"chi2": chi2, "dof": dof, "p_value": None}
    sets: dict[str, Any] = {"sets": pseudo, "not_converged": 0}
    missing = {}
    if dof is None:
        sets["sets"] = 0
        reason = (
            f"there is no goodness of fit: {free} free parameter{'s' * (free != 1)} for {measured} measured "
            f"value{'s' * (measured != 1)}"
        )
        missing = {"dof": reason, "p_value": reason}
    elif pseudo:
        report("pseudo-data", 0, pseudo)
        drawn, norm = found.search.pseudo(
            like.whitening, u, pseudo, seed, scheduler=client, progress=partial(report, "pseudo-data")
        )
        worse = int((drawn >= chi2).sum())
        p = worse / pseudo
        record["p_value"] = p
        sets |= {
            "worse": worse,
            "p_value_error": float(np.sqrt(max(p * (1 - p), 1 / pseudo) / pseudo)),
            "mean_chi2": float(drawn.mean()),
            "not_converged": int((norm > PSEUDO_TOLERANCE).sum()),
        }
    else:
        missing = {"p_value": "no pseudo-data were asked for"}
    return record | {"pseudo_data": sets, "missing": missing}


def _against_data(found: RegionFit, model: Model) -> dict[str, Any]:
    """Pulls, and the distance to the Standard Model: both with the nuisances at their own best values, and with the
    theory errors of either.
    """
    either = found.like.at(None)
    at_sm, at_best = either.evaluate(SM_ONLY), either.evaluate(model)
    return {
        "log_likelihood": found.log_likelihood,
        "profile_log_likelihood": at_best.log_likelihood,
        "sm_log_likelihood": at_sm.log_likelihood,
        "delta_chi2_sm": 2 * (at_best.log_likelihood - at_sm.log_likelihood),
        "compared_at": ITSELF,
        "terms": found.like.evaluate(model).terms,
        "pulls": [
            {"id": row.id, "sm": float(sm), "best": float(best)}
            for row, sm, best in zip(found.like.data.rows, at_sm.pulls, at_best.pulls, strict=True)
        ],
    }
