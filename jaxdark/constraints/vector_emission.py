"""Widths of B -> K V and B -> K* V for any vertex of V with b and s, and its dipole.

Inputs: squared mass of V, a dark-sector point. Outputs: widths in GeV, and their parts, which do not know the model.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from jaxdark.inputs import StandardModel
from jaxdark.models.loops import Scalar
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.kinematics import kallen


class Emission(NamedTuple):
    """Parts of a width, |g|^2 vector + 2 Re(g) d mixed + d^2 dipole, GeV^5, g = g_tilde(s) and d = eta7 d_tilde.

    Attributes:
        vector: of sbar g_tilde (q2 gamma^mu - q^mu qslash) P_L b.
        mixed: of its interference with the dipole.
        dipole: of the dipole, sbar i sigma^{mu nu} q_nu m_b P_R b.
    """

    vector: Float[Array, "*s"]
    mixed: Float[Array, "*s"]
    dipole: Float[Array, "*s"]

    def width(self, g: Complex[Array, "*s"], d: Scalar) -> Float[Array, "*s"]:
        """The width, GeV, for g and d in GeV^-2."""
        return (g.real**2 + g.imag**2) * self.vector + 2 * d * g.real * self.mixed + d**2 * self.dipole


EmissionOfB = Callable[[Float[Array, "*s"], StandardModel], Emission]
"""Of a V of squared mass s, GeV^2, positive."""


def emission_k(s: Float[Array, "*s"], sm: StandardModel) -> Emission:
    """B+ -> K+ V: |p|^3 s/(8 pi) |g f_+ + d m_b f_T/(M_B + M_K)|^2, 0 from (M_B - M_K)^2 on."""
    m_B, m_K = sm.m_Bp, sm.m_Kp
    is_open, s, p = _momentum(s, m_B, m_K)
    ff = pseudoscalar_form_factors(s, sm.B_to_K)
    return _products(is_open, p**3 * s / (8 * jnp.pi), [(ff.plus, sm.mb * ff.tensor / (m_B + m_K))])


def emission_kst(s: Float[Array, "*s"], sm: StandardModel) -> Emission:
    """B0 -> K*0 V: |p|/(8 pi M_B^2) (|H_0|^2 + |H_+|^2 + |H_-|^2), 0 from (M_B - M_K*)^2 on.

    With C = g s and W = d m_b s, H_+- = (par -+ perp)/2 of perp = 2 M_B |p| (C V/(M_B + M_K*) + W T_1/s) and
    par = (M_B^2 - M_K*^2) (C A_1/(M_B - M_K*) + W T_2/s); H_0 = 4 M_B M_K* (C A_12 + W T_23/(2 (M_B + M_K*)))/sqrt(s).
    The dipole's transverse amplitudes do not vanish with the mass of V.
    """
    m_B, m = sm.m_B0, sm.m_Kst0
    is_open, s, p = _momentum(s, m_B, m)
    ff = vector_form_factors(s, sm.B_to_Kst)
    to_perp, to_par, to_0 = jnp.sqrt(2) * m_B * p, (m_B**2 - m**2) / jnp.sqrt(2), 4 * m_B * m * jnp.sqrt(s)
    amplitudes = [
        (to_perp * s * ff.V / (m_B + m), to_perp * sm.mb * ff.T1),
        (to_par * s * ff.A1 / (m_B - m), to_par * sm.mb * ff.T2),
        (to_0 * ff.A12, to_0 * sm.mb * ff.T23 / (2 * (m_B + m))),
    ]
    return _products(is_open, p / (8 * jnp.pi * m_B**2), amplitudes)


def width_k_v_complete(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Width of B+ -> K+ V for a V of squared mass s (GeV^2) with the model's vertex at s and its dipole, GeV."""
    return emission_k(s, sm).width(model.vertex(s), model.dipole)


def width_kst_v_complete(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Width of B0 -> K*0 V for a V of squared mass s (GeV^2) with the model's vertex at s and its dipole, GeV."""
    return emission_kst(s, sm).width(model.vertex(s), model.dipole)


def _momentum(s, m_B, m):
    """Whether the decay is open, a harmless s where it is not, and the momentum of V at it, GeV."""
    s = jnp.asarray(s, float)
    is_open = s < (m_B - m) ** 2
    s = jnp.where(is_open, s, 1.0)
    return is_open, s, jnp.sqrt(kallen(m_B, m, s)) / (2 * m_B)


def _products(is_open, factor, amplitudes) -> Emission:
    """Sums over amplitudes of what multiplies |g|^2, 2 Re(g) d and d^2, times the factor."""
    sums = sum(v**2 for v, _ in amplitudes), sum(v * t for v, t in amplitudes), sum(t**2 for _, t in amplitudes)
    return Emission(*(jnp.where(is_open, factor * total, 0.0) for total in sums))
