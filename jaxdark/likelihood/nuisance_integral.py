"""The likelihood of one model integrated over its nuisances, the predictions linear in them.

Inputs: residuals z and their Jacobian J, the experimental correlation R. Outputs: residuals whose squares add up to
-2 ln of the integral. With xi standard normal,

    int dxi N(xi) exp(-(z + J xi)^T R^-1 (z + J xi)/2) = exp(-z^T C^-1 z/2) / sqrt(det A),
    C = R + J J^T,  A = 1 + J^T R^-1 J,

and z^T C^-1 z is the smallest (z + J xi)^T R^-1 (z + J xi) + xi^2, reached at xi = -A^-1 J^T R^-1 z. Section 4.
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_BLOCK = 8
"""Columns of a matrix that are eliminated one after the other before the others are."""
_MOST = 1e6
"""Theory error in units of the experimental one, from which on the latter counts as this share of the former.

Next to a narrow peak it is 1e9, and 1 + B^T B has no digits left for the 1; ln det A is then too small by 2 ln(1000).
"""


class Integrated(NamedTuple):
    """Residuals by what they are of; their squares add up to -2 ln L.

    Attributes:
        data: at the best nuisances, whitened with R.
        nuisances: the best ones.
        log_determinant: the root of ln det A, which is not negative.
    """

    data: Float[Array, " residuals"]
    nuisances: Float[Array, " nuisances"]
    log_determinant: Float[Array, " 1"]


def integrated(
    whitening: Float[np.ndarray, "residuals residuals"],
    z: Float[Array, " residuals"],
    jacobian: Float[Array, "residuals nuisances"],
    offset: Float[Array, " residuals"] | float = 0.0,
) -> Integrated:
    """The residuals of a model.

    Args:
        whitening: W with R^-1 = W^T W, lower triangular.
        z: residuals of unit error at the central nuisances.
        jacobian: J.
        offset: added to W z.
    """
    r, B = lower_triangular_times(whitening, z) + offset, lower_triangular_times(whitening, jacobian)
    error = jnp.sqrt(jnp.sum(B**2, axis=1))
    share = _MOST / jnp.maximum(error, _MOST)
    r, B = share * r, share[:, None] * B
    inverse, log_determinant = inverse_and_log_determinant(jnp.eye(B.shape[1]) + B.T @ B)
    xi = -inverse @ (B.T @ r)
    return Integrated(r + B @ xi, xi, jnp.sqrt(log_determinant)[None])


@jax.custom_jvp
def inverse_and_log_determinant(A: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """Inverse and ln det of a matrix 1 + B^T B; derivatives of any order are made of the inverse.

    By Cholesky's factor L, in blocks of columns, with the unit matrix below A: what is done to the columns makes L^-T
    of it. In place of LAPACK, whose threads contend for the processors where several programs run at once, down to a
    standstill. Pivots are 1 at least, also where rounding has left none of them.
    """
    n = len(A)
    rest, blocks, ln_det = jnp.concatenate([A, jnp.eye(n)]), [], jnp.zeros(())
    while rest.shape[1]:
        columns: list[Array] = []
        for j in range(size := min(_BLOCK, rest.shape[1])):
            column = rest[:, j] - sum(before * before[j] for before in columns)
            pivot = jnp.maximum(column[j], 1.0)
            ln_det += jnp.log(pivot)
            columns.append(jnp.where(np.arange(len(rest)) < j, 0.0, column / jnp.sqrt(pivot)))
        block = jnp.stack(columns, axis=1)
        blocks.append(block[-n:])
        rest = rest[size:, size:] - block[size:] @ block[size : rest.shape[1]].T
    upper = jnp.concatenate(blocks, axis=1)
    return upper @ upper.T, ln_det


@inverse_and_log_determinant.defjvp
def _(primals, tangents):
    (A,), (dA,) = primals, tangents
    inverse, ln_det = inverse_and_log_determinant(A)
    return (inverse, ln_det), (-inverse @ dA @ inverse, jnp.sum(inverse * dA))


def lower_triangular_times(matrix: Float[Array, "n n"], right: Float[Array, "n *m"]) -> Float[Array, "n *m"]:
    """The product in three bands of rows, each without the zeros right of it: a third of the work less."""
    n = len(right)
    edges = [0, n // 3, 2 * n // 3, n]
    return jnp.concatenate([matrix[a:b, :b] @ right[:b] for a, b in pairwise(edges)])
