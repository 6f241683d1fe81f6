"""B -> K, B -> K* and B_s -> phi form factors as functions of q2, Section 3 of the semileptonic formulas.

Inputs: q2 in GeV^2 and a `FormFactorSet`. Outputs: named dimensionless form factors of the shape of q2.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Inexact

from jaxdark.compute.roots import root
from jaxdark.inputs import FormFactorSet


class PseudoscalarFormFactors(NamedTuple):
    """f_+, f_0 and f_T of B -> K."""

    plus: Inexact[Array, "*q2"]
    zero: Inexact[Array, "*q2"]
    tensor: Inexact[Array, "*q2"]


class VectorFormFactors(NamedTuple):
    """V, A_0, A_1, A_12, T_1, T_2 and T_23 of B -> K* or B_s -> phi."""

    V: Inexact[Array, "*q2"]
    A0: Inexact[Array, "*q2"]
    A1: Inexact[Array, "*q2"]
    A12: Inexact[Array, "*q2"]
    T1: Inexact[Array, "*q2"]
    T2: Inexact[Array, "*q2"]
    T23: Inexact[Array, "*q2"]


def _z(q2, t_plus, t_0):
    """Conformal variable (sqrt(t_+ - q2) - sqrt(t_+ - t_0))/(sqrt(t_+ - q2) + sqrt(t_+ - t_0))."""
    a, b = root(t_plus - q2), jnp.sqrt(t_plus - t_0)
    return (a - b) / (a + b)


def _bsz_series(q2, ff: FormFactorSet, name: str, coefficients):
    """(1 - q2/m_R^2)^-1 sum_k a_k (z(q2) - z(0))^k, Sec. 3.2."""
    t_plus, t_minus = (ff.m_B + ff.m_M) ** 2, (ff.m_B - ff.m_M) ** 2
    t_0 = t_plus * (1 - jnp.sqrt(1 - t_minus / t_plus))
    dz = _z(q2, t_plus, t_0) - _z(0.0, t_plus, t_0)
    a0, a1, a2 = coefficients
    return (a0 + dz * (a1 + dz * a2)) / (1 - q2 / dict(ff.pole_masses)[name] ** 2)


def _bcl_series(q2, ff: FormFactorSet, name: str, coefficients):
    """BCL series of three terms; the constraint at threshold of f_+ and f_T is built in, Sec. 3.1."""
    t_plus = (ff.m_B + ff.m_M) ** 2
    t_0 = (ff.m_B + ff.m_M) * (jnp.sqrt(ff.m_B) - jnp.sqrt(ff.m_M)) ** 2
    z = _z(q2, t_plus, t_0)
    shift = 0.0 if name == "f0" else z**3 / 3
    b0, b1, b2 = coefficients
    return (b0 + b1 * (z - shift) + b2 * (z**2 + 2 * shift)) / (1 - q2 / dict(ff.pole_masses)[name] ** 2)


def pseudoscalar_form_factors(q2: Inexact[Array, "*q2"], ff: FormFactorSet) -> PseudoscalarFormFactors:
    """B -> K form factors f_+, f_0, f_T at q2 (GeV^2), dimensionless, each of the shape of q2.

    BCL (arXiv:1509.06235): f_0 = (1 - q2/m_R^2)^-1 (b_0 + b_1 z + b_2 z^2), and f_+ and f_T with z - z^3/3 and
    z^2 + 2 z^3/3 for z and z^2. BSZ (arXiv:2305.06301): as `vector_form_factors`, with f_0(0) = f_+(0). The set given
    decides.
    """
    value = dict(zip(ff.names, ff.coefficients, strict=True))
    if "f+:b0" in value:
        return PseudoscalarFormFactors(
            *(_bcl_series(q2, ff, name, [value[f"{name}:b{k}"] for k in range(3)]) for name in ("f+", "f0", "fT"))
        )
    value["f0:a0"] = value["f+:a0"]  # f_+(0) = f_0(0), imposed by the fit
    return PseudoscalarFormFactors(
        *(_bsz_series(q2, ff, name, [value[f"{name}:a{k}"] for k in range(3)]) for name in ("f+", "f0", "fT"))
    )


def vector_form_factors(q2: Inexact[Array, "*q2"], ff: FormFactorSet) -> VectorFormFactors:
    """B -> K* or B_s -> phi form factors at q2 (GeV^2), dimensionless, each of the shape of q2, arXiv:1503.05534.

    F = (1 - q2/m_R^2)^-1 sum_k a_k (z(q2) - z(0))^k, k = 0, 1, 2, with A_12(0) = A_0(0) (m_B^2 - m_V^2)/(8 m_B m_V) and
    T_2(0) = T_1(0).
    """
    value = dict(zip(ff.names, ff.coefficients, strict=True))
    value["A12:a0"] = value["A0:a0"] * (ff.m_B**2 - ff.m_M**2) / (8 * ff.m_B * ff.m_M)
    value["T2:a0"] = value["T1:a0"]
    return VectorFormFactors(
        *(_bsz_series(q2, ff, name, [value[f"{name}:a{k}"] for k in range(3)]) for name in VectorFormFactors._fields)
    )
