"""Errors and correlations of the parameters at a best fit, and the directions that the data do not determine.

Inputs: a likelihood, a prior, the best fit. Outputs: a value and errors for each parameter, and covariance matrices.
Section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdark.compute.aot import AotFunction
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, unit
from jaxdark.optimise.descents import TOLERANCE
from jaxdark.optimise.fit_result import FittedParameter, ParameterCovariance

_EDGE = 1e-6
_NO_CURVATURE = 1e-10
"""Eigenvalue of a matrix of unit diagonal below which a direction is not determined: rounding leaves 1e-12."""
_DRAGS = 0.1
"""A parameter counts as determined if the directions that are not move it, from end to end of the prior, by less than
this share of its error."""
_MOVES = 1e-3
"""Share of a direction above which it is said to move a parameter."""


class Uncertainties(NamedTuple):
    """What is known of the parameters at a best fit.

    Attributes:
        parameters: value and errors by name.
        hessian, fisher: covariances of the parameters that have an error.
        not_determined: directions without information, each as the shares of the parameters' ranges that change
            together.
    """

    parameters: dict[str, FittedParameter]
    hessian: ParameterCovariance
    fisher: ParameterCovariance
    not_determined: list[dict[str, float]]


def uncertainties(like: Likelihood, prior: Prior, u: Float[np.ndarray, " d"]) -> Uncertainties:
    """Values, errors and covariances at the best fit u, in prior quantiles; null with a reason where there is none.

    Parameters that are fixed or on an edge of the prior are held, see `covariance_of`.
    """
    slope, hessian, fisher = curvature(like, prior, u)
    # A slope that the search would follow no further holds nothing: such an edge was met by chance.
    pushed = slope / np.sqrt(1 + np.diag(fisher))
    on_edge = ((u < _EDGE) & (pushed > TOLERANCE)) | ((u > 1 - _EDGE) & (pushed < -TOLERANCE))
    scale = np.asarray(jax.jvp(prior.vector, (u,), (np.ones_like(u),))[1])
    values, names = np.asarray(prior.vector(u)), np.array(prior.names)
    errors, reasons, covariances = {}, {}, {}
    for kind, matrix in (("hessian", hessian), ("fisher", fisher)):
        covariance, undetermined = covariance_of(matrix, ~on_edge & ~prior.fixed)
        in_cube = np.sqrt(np.diag(covariance))
        reasons[kind] = [
            _why_none(i, names, in_cube[i], undetermined, bool(on_edge[i]), bool(prior.fixed[i]))
            for i in range(len(names))
        ]
        errors[kind] = in_cube * np.abs(scale)
        stated = np.array([reason is None for reason in reasons[kind]])
        covariances[kind] = _in_units(covariance, scale, prior.names, stated)
    parameters = {
        name: FittedParameter(
            value=float(values[i]),
            unit=unit(name),
            on_edge=bool(on_edge[i]),
            hessian_error=None if reasons["hessian"][i] else float(errors["hessian"][i]),
            hessian_reason=reasons["hessian"][i],
            fisher_error=None if reasons["fisher"][i] else float(errors["fisher"][i]),
            fisher_reason=reasons["fisher"][i],
        )
        for i, name in enumerate(prior.names)
    }
    directions = [
        {str(names[i]): float(direction[i]) for i in np.flatnonzero(np.abs(direction) > _MOVES)}
        for direction in undetermined  # of the Fisher matrix, the last of the two
    ]
    return Uncertainties(parameters, covariances["hessian"], covariances["fisher"], directions)


def curvature(
    like: Likelihood, prior: Prior, u: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
    """Derivatives of chi2/2 in the prior quantiles: first, second, and J^T J of the whitened residuals (Fisher)."""

    def whitened_residuals(u: Float[Array, " d"]) -> Float[Array, " n"]:
        return jnp.concatenate(list(like.whitened_residuals(prior.model(prior.vector(u))).values()))

    one, other = np.triu_indices(len(u))

    def derivatives(u: Float[Array, " d"]):
        def along(directions):
            def first(u):
                return jax.jvp(whitened_residuals, (u,), (directions[0],))

            # Of the residuals r: r and its change along one direction, and what moves both along the other.
            (r, of_one), (of_other, second) = jax.jvp(first, (u,), (directions[1],))
            return r @ of_one, of_one @ of_other, r @ second

        # Forward twice and pair by pair: a program that takes longer to compile than to run, in reverse even more so.
        slope, *matrices = jax.lax.map(along, (jnp.eye(len(u))[one], jnp.eye(len(u))[other]))
        fisher, bent = (jnp.zeros((len(u), len(u))).at[one, other].set(m).at[other, one].set(m) for m in matrices)
        return slope[one == other], fisher + bent, fisher

    return AotFunction(derivatives)(u)


def covariance_of(
    matrix: Float[np.ndarray, "d d"], free: Bool[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "k d"]]:
    """Covariance of a parabola with the parameters that are not free held, from a pseudo-inverse of its curvature.

    Directions without curvature are left out: they are told by the eigenvalues of the matrix scaled to a unit diagonal,
    which knows no units. A parameter that they move has no error; the others have that of the remaining directions.

    Args:
        matrix: second derivatives of chi2/2 in prior quantiles.
        free: which parameters are not held.

    Returns:
        Covariance in prior quantiles, NaN in rows and columns of parameters without error, and the directions that are
        not determined, the largest component of each 1.
    """
    covariance, curved = np.full(matrix.shape, np.nan), free & (np.diag(matrix) > 0)
    flat = np.eye(len(matrix))[free & ~curved]
    if not curved.any():
        return covariance, flat
    scale = np.sqrt(np.diag(matrix)[curved])
    values, vectors = np.linalg.eigh(matrix[np.ix_(curved, curved)] / np.outer(scale, scale))
    vectors, lost = vectors / scale[:, None], values < _NO_CURVATURE
    undetermined = np.zeros((lost.sum(), len(matrix)))
    undetermined[:, curved] = vectors[:, lost].T
    undetermined /= np.abs(undetermined).max(axis=1, keepdims=True, initial=1e-300)
    remaining = vectors[:, ~lost]
    inverse = (remaining[:, None] * remaining / values[~lost]).sum(axis=2)
    moved = np.abs(undetermined[:, curved]).max(axis=0, initial=0.0)
    determined = moved < _DRAGS * np.sqrt(np.diag(inverse))
    covariance[np.ix_(curved, curved)] = np.where(np.outer(determined, determined), inverse, np.nan)
    return covariance, np.concatenate([flat, undetermined])


def _in_units(
    covariance: Float[np.ndarray, "d d"],
    scale: Float[np.ndarray, " d"],
    names: tuple[str, ...],
    stated: Bool[np.ndarray, " d"],
) -> ParameterCovariance:
    """Covariance and correlation of the parameters whose error is stated, in their units.

    Args:
        covariance: in prior quantiles.
        scale: derivative of each parameter in its quantile.
        names: of the parameters.
        stated: which have an error.
    """
    chosen = np.ix_(stated, stated)
    errors = np.sqrt(np.diag(covariance)[stated]) * np.abs(scale[stated])
    values = (covariance * np.outer(scale, scale))[chosen]
    correlation = values / np.outer(errors, errors)
    np.fill_diagonal(correlation, 1.0)
    chosen_names = tuple(name for name, is_stated in zip(names, stated, strict=True) if is_stated)
    return ParameterCovariance(chosen_names, tuple(unit(name) for name in chosen_names), values, correlation)


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
    mixed = np.abs(undetermined[np.argmax(np.abs(undetermined[:, i]))]) > _MOVES
    if mixed.sum() == 1:
        return "not determined: the data do not depend on it"
    return f"not determined: {', '.join(names[mixed])} can change together without a change of the data"
