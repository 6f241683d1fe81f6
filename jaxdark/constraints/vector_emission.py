"""B -> M V for any vertex of V with b and s, and its dipole: helicity amplitudes and widths on the mass shell.

Inputs: squared mass of V, a dark-sector point. Outputs: widths in GeV, and their parts, which do not know the model.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from jaxdark.inputs import StandardModel
from jaxdark.models.loops import Scalar
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.kinematics import CHANNELS, Channel

MODES: dict[str, Channel] = {name: CHANNELS[name + "mumu"] for name in ("B+->K+", "B0->K0", "B0->K*0", "Bs->phi")}
"""Decays by name; of the lepton and of what else concerns it in `Channel` nothing is used."""


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
"""Parts of the width of a decay for a V of squared mass s, GeV^2, positive."""


def conserved(
    s: Inexact[Array, "*s"], mode: Channel, sm: StandardModel, kallen: Inexact[Array, "*s"]
) -> tuple[Inexact[Array, "*s"], ...]:
    """Coefficients of |C|^2, 2 Re(C^* W_7) and |W_7|^2 in sum_h |H_h(C, W_7)|^2, and of |C|^2 in the timelike part.

    B -> K: H = sqrt(lambda/(4s)) (C f_+ + W_7 f_T/(m_B + m_K)), timelike (m_B^2 - m_K^2)/(2 sqrt(s)) f_0.
    B -> V: H_+- = (par -+ perp)/2 with perp = sqrt(lambda) (C V/(m_B + m_V) + W_7 T_1/s) and
    par = (m_B^2 - m_V^2)(C A_1/(m_B - m_V) + W_7 T_2/s), so that |H_+|^2 + |H_-|^2 = (|par|^2 + |perp|^2)/2,
    H_0 = 4 m_B m_V/sqrt(s) (C A_12 + W_7 T_23/(2 (m_B + m_V))), timelike sqrt(lambda/(4s)) A_0.
    """
    m_B, m_M, _ = mode.masses(sm)
    if mode.spin == 0:
        ff = pseudoscalar_form_factors(s, mode.form_factors(sm))
        size, tensor = kallen / (4 * s), ff.tensor / (m_B + m_M)
        timelike = ((m_B**2 - m_M**2) * ff.zero) ** 2 / (4 * s)
        return size * ff.plus**2, size * ff.plus * tensor, size * tensor**2, timelike
    ff = vector_form_factors(s, mode.form_factors(sm))
    perp, par, zero = kallen / 2, (m_B**2 - m_M**2) ** 2 / 2, (4 * m_B * m_M) ** 2 / s
    C = ff.V / (m_B + m_M), ff.A1 / (m_B - m_M), ff.A12
    W7 = ff.T1 / s, ff.T2 / s, ff.T23 / (2 * (m_B + m_M))

    def sum_of_products(x, y):
        return perp * x[0] * y[0] + par * x[1] * y[1] + zero * x[2] * y[2]

    return sum_of_products(C, C), sum_of_products(C, W7), sum_of_products(W7, W7), kallen / (4 * s) * ff.A0**2


def emission(mode: Channel, s: Float[Array, "*s"], sm: StandardModel) -> Emission:
    """B -> M V: sqrt(lambda)/(16 pi m_B^3) sum_h |H_h(g s, d m_b s)|^2, 0 from (m_B - m_M)^2 on; H_h of `conserved`.

    For B -> K it is lambda^(3/2) s/(64 pi m_B^3) |g f_+ + d m_b f_T/(m_B + m_K)|^2, Eq. (21) with the dipole. The
    dipole's transverse amplitudes in B -> V do not vanish with the mass of V.

    Args:
        mode: of `MODES`.
        s: squared mass of V, positive, GeV^2.
        sm: Standard Model inputs.
    """
    m_B, m_M, _ = mode.masses(sm)
    below = (m_B - m_M) ** 2 - jnp.asarray(s, float)
    is_open = below > 0
    s, below = jnp.where(is_open, s, 1.0), jnp.where(is_open, below, 1.0)
    kallen = below * ((m_B + m_M) ** 2 - s)
    vector, mixed, dipole, _ = conserved(s, mode, sm, kallen)
    factor = jnp.where(is_open, jnp.sqrt(kallen) / (16 * jnp.pi * m_B**3) * s**2, 0.0)
    return Emission(factor * vector, factor * sm.mb * mixed, factor * sm.mb**2 * dipole)


emission_k: EmissionOfB = partial(emission, MODES["B+->K+"])
emission_kst: EmissionOfB = partial(emission, MODES["B0->K*0"])


def width_on_shell(mode: Channel, s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Width of B -> M V for a V of squared mass s (GeV^2) with the model's vertex at s and its dipole, GeV."""
    return emission(mode, s, sm).width(model.vertex(s), model.dipole)


def width_k_v_complete(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """`width_on_shell` of B+ -> K+ V."""
    return width_on_shell(MODES["B+->K+"], s, model, sm)


def width_kst_v_complete(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """`width_on_shell` of B0 -> K*0 V."""
    return width_on_shell(MODES["B0->K*0"], s, model, sm)
