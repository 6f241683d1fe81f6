"""Anomalous magnetic moment of the muon, Eq. (24), (25).

Inputs: mass and couplings to muons of V. Outputs: delta a_mu, dimensionless.

With a = M_mu^2/m_V^2 the denominator of Eq. (25) is 1 - z + a z^2, and its numerators are cubic polynomials in z.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.base import Model
from jaxdark.models.loops import Scalar
from jaxdark.precision import usual_rules

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_Z = (_NODES + 1) / 2
_POWERS = _WEIGHTS / 2 * _Z ** np.arange(1, 4)[:, None]


@usual_rules()
def delta_a_mu(model: Model, sm: StandardModel) -> Float[Array, ""]:
    """Contribution of V to (g-2)/2 of the muon, Eq. (24), dimensionless; 0 for a model without V.

    a/(8 pi^2) [(g_mu^V)^2 K_V(a) + (g_mu^A)^2 K_A(a)] with a = M_mu^2/m_V^2 and the `kernels` of Eq. (25). Relative
    accuracy 1e-12 of the larger of the vector and axial parts for m_V from 1e-5 to 100 GeV.
    """
    check_inputs(sm)
    couplings = model.muon_couplings()
    if couplings is None:
        return jnp.zeros(())
    m_V, g_V, g_A = couplings
    a = (sm.m_mu / m_V) ** 2
    vector, axial = kernels(a)
    return a * (g_V**2 * vector + g_A**2 * axial) / (8 * jnp.pi**2)


def kernels(a: Scalar) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Factors of (g_mu^V)^2 and (g_mu^A)^2 in Eq. (25) at x^2 = a = M_mu^2/m_V^2, dimensionless.

    K_V = int_0^1 2 z^2 (1-z)/(1 - z + a z^2) dz, K_A = int_0^1 [2 z (1-z) (z-4) - 4 a z^3]/(1 - z + a z^2) dz; 2/3 and
    -10/3 for heavy V.
    """
    J1, J2, J3 = _moments(a)
    return 2 * (J2 - J3), -8 * J1 + 10 * J2 - (2 + 4 * a) * J3


def _moments(a: Scalar) -> Float[Array, " 3"]:
    """int_0^1 z^n/(1 - z + a z^2) dz for n = 1, 2, 3."""
    heavy, light = a < 0.2, a > 2.0
    between = _POWERS @ (1 / (1 - _Z + jnp.where(heavy | light, 1.0, a) * _Z**2))
    outside = jnp.where(heavy, _moments_heavy(jnp.where(heavy, a, 0.1)), _moments_light(jnp.where(light, a, 4.0)))
    return jnp.where(heavy | light, outside, between)


def _moments_heavy(a: Float[Array, ""]) -> Float[Array, " 3"]:
    """a < 1/4: the pole at z0, near 1 + a for small a, is integrated exactly, the far one at 1/q by nodes."""
    root = jnp.sqrt(1 - 4 * a)
    q = 2 * a / (1 + root)
    z0 = 1 / (1 - q)
    near = -jnp.log(q) * jnp.stack([z0, z0**2, z0**3]) - jnp.stack([1.0, 1 / 2 + z0, 1 / 3 + z0 / 2 + z0**2])
    return (near - _POWERS @ (q / (1 - q * _Z))) / root


def _moments_light(a: Float[Array, ""]) -> Float[Array, " 3"]:
    """a > 1/4: by recursion in n from the arc tangents of n = 0; it divides by a each time, so not for small a."""
    root = jnp.sqrt(4 * a - 1)
    J0 = 2 / root * (jnp.arctan((2 * a - 1) / root) + jnp.arctan(1 / root))
    J1 = (jnp.log(a) + J0) / (2 * a)
    J2 = (1 + J1 - J0) / a
    J3 = (1 / 2 + J2 - J1) / a
    return jnp.stack([J1, J2, J3])


def muon_yukawa_limit(m: Float[Array, "*m"] | float) -> Float[Array, "*m"] | float:
    """Largest muon Yukawa coupling that (g-2) allows particles without colour, 1e-2 m/GeV, Eq. (4); m in GeV."""
    return 1e-2 * m
