"""b -> s chi_j chibar_i by Phi and V exchange: spectra in q2, B -> K(*) V on shell and B_s -> chi chi.

Inputs: couplings of a point, masses of the pair, q2. Outputs: dGamma/dq2 of B -> K, B -> K* and B_s -> phi, and widths.

L contains T_ij (sbar gamma^mu P_L b)(chibar_j gamma_mu P_R chi_i) from Phi exchange, T_ij = -y_s^i* y_b^j/(2 m_Phi^2),
and for i = j V exchange, W (sbar gamma^mu P_L b)(chibar_i gamma_mu chi_i) and its dipole W_7. V adds to T below m_V and
cancels against it above, whatever the conventions.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from jaxdark.inputs import StandardModel
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.kinematics import CHANNELS, Channel

MODES: dict[str, Channel] = {name: CHANNELS[name + "mumu"] for name in ("B+->K+", "B0->K0", "B0->K*0", "Bs->phi")}
"""Decays by name; of the lepton and of what else concerns it in `Channel` nothing is used."""


class PairCouplings(NamedTuple):
    """Couplings of sbar gamma^mu P_L b to chibar_j gamma_mu (C_V + C_A gamma_5) chi_i, and V's dipole, at some q2.

    Attributes:
        V: C_V = T/2 + W, GeV^-2.
        A: C_A = T/2, GeV^-2.
        dipole: W_7, in C_V f_+ + W_7 f_T/(m_B + m_K), GeV^-1.
    """

    V: Inexact[Array, "*q2"]
    A: Inexact[Array, "*#q2"]
    dipole: Inexact[Array, "*q2"] | float = 0.0


class FromEnds(NamedTuple):
    """Distances of q2 from the ends of a spectrum, GeV^2, where they are known to more digits than differences have.

    Attributes:
        above: q2 - (m_1 + m_2)^2.
        below: (m_B - m_M)^2 - q2.
    """

    above: Float[Array, "*q2"]
    below: Float[Array, "*q2"]


def v_exchange(
    q2: Float[Array, "*q2"], model: SplitDarkSector, sm: StandardModel, from_pole: Float[Array, "*q2"] | None = None
) -> tuple[Complex[Array, "*q2"], Complex[Array, "*q2"]]:
    """W = g_D Q_Phi g_tilde q2 P, GeV^-2, and W_7 = g_D Q_Phi eta7 d_tilde m_b q2 P, GeV^-1, the same for every chi.

    Args:
        q2: GeV^2.
        model: the dark-sector point, whose switches choose g_tilde(q2), the dipole and the propagator P(q2).
        sm: Standard Model inputs.
        from_pole: q2 - m_V^2, GeV^2, where it is known to more digits than the difference has.
    """
    exchange = model.g_D * model.Q_Phi * q2 / model.propagator(sm).inverse(q2, from_pole=from_pole)
    return exchange * model.vertex(q2), exchange * (model.dipole * sm.mb)


def diagonal_couplings(
    q2: Float[Array, "*q2"],
    T: Inexact[Array, ""],
    model: SplitDarkSector,
    sm: StandardModel,
    from_pole: Float[Array, "*q2"] | None = None,
) -> PairCouplings:
    """Couplings of the pair chi_i chibar_i with T = T_ii (GeV^-2); the other arguments as in `v_exchange`."""
    W, W7 = v_exchange(q2, model, sm, from_pole)
    return PairCouplings(T / 2 + W, jnp.asarray(T / 2), W7)


def dgamma_dq2(
    q2: Float[Array, "*q2"],
    mode: Channel,
    sm: StandardModel,
    masses: tuple[Float[Array, ""], Float[Array, ""]],
    couplings: PairCouplings,
    from_ends: FromEnds | None = None,
) -> Float[Array, "*q2"]:
    """dGamma/dq2 of B -> M chi_j chibar_i, GeV^-1; 0 outside of the phase space.

    With m_1 = m_j, m_2 = m_i, s = q2, d = (m_1 - m_2)^2, p = (m_1 + m_2)^2, lambda of B, M and s, and
    k = sqrt(lambda (s - p)(s - d))/(256 pi^3 m_B^3 s),
    a_V = 2 (s - d)(2s + p)/(3s), b_V = 2 d (s - p)/s, a_A = 2 (s - p)(2s + d)/(3s), b_A = 2 p (s - d)/s:

    B -> K: k {lambda/(4s) [a_V |C_V f_+ + W_7 f_T/(m_B + m_K)|^2 + a_A |C_A f_+|^2]
    + (m_B^2 - m_K^2)^2/(4s) f_0^2 [b_V |C_V|^2 + b_A |C_A|^2]};
    B -> V: k {a_V sum_h |H_h(C_V, W_7)|^2 + a_A sum_h |H_h(C_A, 0)|^2 + lambda/(4s) A_0^2 [b_V |C_V|^2 + b_A |C_A|^2]},
    with H_h of `helicity_amplitudes`.

    Args:
        q2: GeV^2.
        mode: of `MODES`.
        sm: Standard Model inputs.
        masses: of chi_j and chi_i, GeV.
        couplings: at q2; W and W_7 must vanish for unequal masses, where V does not couple.
        from_ends: q2's distances from both ends, if known.
    """
    m_B, m_M, _ = mode.masses(sm)
    m_1, m_2 = masses
    p, d = (m_1 + m_2) ** 2, (m_1 - m_2) ** 2
    above, below = (q2 - p, (m_B - m_M) ** 2 - q2) if from_ends is None else from_ends
    is_open = (above > 0) & (below > 0)
    # Outside, a point of nowhere, at which nothing is singular.
    s, above, below = (jnp.where(is_open, x, safe) for x, safe in ((q2, p + 1.0), (above, 1.0), (below, 1.0)))
    kallen = below * ((m_B + m_M) ** 2 - s)
    phase_space = jnp.sqrt(kallen * above * (s - d)) / (256 * jnp.pi**3 * m_B**3 * s)
    a_V, b_V = 2 * (s - d) * (2 * s + p) / (3 * s), 2 * d * above / s
    a_A, b_A = 2 * above * (2 * s + d) / (3 * s), 2 * p * (s - d) / s
    C_V, C_A, W7 = couplings
    timelike = b_V * _square(C_V) + b_A * _square(C_A)
    if mode.spin == 0:
        ff = pseudoscalar_form_factors(s, mode.form_factors(sm))
        vector = _square(C_V * ff.plus + W7 * (ff.tensor / (m_B + m_M)))
        spin_one = kallen * (a_V * vector + a_A * _square(C_A) * ff.plus**2)
        spin_zero = ((m_B**2 - m_M**2) * ff.zero) ** 2 * timelike
        rate = (spin_one + spin_zero) / (4 * s)
    else:
        A0 = vector_form_factors(s, mode.form_factors(sm)).A0
        vector = sum(map(_square, helicity_amplitudes(s, mode, sm, C_V, W7, kallen)))
        axial = sum(map(_square, helicity_amplitudes(s, mode, sm, jnp.ones(()), 0.0, kallen)))
        rate = a_V * vector + a_A * _square(C_A) * axial + kallen * A0**2 * timelike / (4 * s)
    return jnp.where(is_open, phase_space * rate, 0.0)


def helicity_amplitudes(
    s: Float[Array, "*s"],
    mode: Channel,
    sm: StandardModel,
    C: Inexact[Array, "*#s"],
    W7: Inexact[Array, "*#s"] | float,
    kallen: Float[Array, "*s"],
) -> tuple[Inexact[Array, "*s"], ...]:
    """Amplitudes of B -> V and a vector current, sqrt(2) H_perp and sqrt(2) H_par for H_+-, and H_0.

    H_+- = (par -+ perp)/2 with perp = sqrt(lambda) (C V/(m_B + m_V) + W_7 T_1/s) and
    par = (m_B^2 - m_V^2)(C A_1/(m_B - m_V) + W_7 T_2/s); H_0 = 4 m_B m_V/sqrt(s) (C A_12 + W_7 T_23/(2 (m_B + m_V))).
    As |H_+|^2 + |H_-|^2 = (|par|^2 + |perp|^2)/2, what is returned is perp/sqrt(2), par/sqrt(2) and H_0, in GeV times
    the unit of C.

    Args:
        s: q2, GeV^2.
        mode: of `MODES`, with a vector meson.
        sm: Standard Model inputs.
        C, W7: couplings of the vector current and of the dipole.
        kallen: lambda of B, the meson and s, GeV^4.
    """
    m_B, m_V, _ = mode.masses(sm)
    ff = vector_form_factors(s, mode.form_factors(sm))
    perp = jnp.sqrt(kallen / 2) * (C * (ff.V / (m_B + m_V)) + W7 * (ff.T1 / s))
    par = (m_B**2 - m_V**2) / jnp.sqrt(2.0) * (C * (ff.A1 / (m_B - m_V)) + W7 * (ff.T2 / s))
    zero = 4 * m_B * m_V / jnp.sqrt(s) * (C * ff.A12 + W7 * (ff.T23 / (2 * (m_B + m_V))))
    return perp, par, zero


def _square(x: Inexact[Array, "*axes"]) -> Float[Array, "*axes"]:
    """|x|^2, whose slope is finite at 0."""
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2 if jnp.iscomplexobj(x) else x**2


def width_on_shell(mode: Channel, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Width of B -> M V for a V on its mass shell, GeV; 0 from m_V = m_B - m_M on.

    B -> K: |g_tilde f_+ + eta7 d_tilde m_b f_T/(m_B + m_K)|^2 m_V^2 lambda^(3/2)/(64 pi m_B^3), Eq. (21) with the
    dipole; B -> V: sqrt(lambda)/(16 pi m_B^3) sum_h |H_h(g_tilde m_V^2, eta7 d_tilde m_b m_V^2)|^2; g_tilde, the form
    factors and lambda at q2 = m_V^2.

    Args:
        mode: of `MODES`.
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    m_B, m_M, _ = mode.masses(sm)
    below = (m_B - m_M - model.m_V) * (m_B - m_M + model.m_V)
    is_open = below > 0
    s = jnp.where(is_open, model.m_V**2, 1.0)
    kallen = jnp.where(is_open, below, 1.0) * ((m_B + m_M) ** 2 - s)
    g, dipole = model.vertex(s), model.dipole * sm.mb
    if mode.spin == 0:
        ff = pseudoscalar_form_factors(s, mode.form_factors(sm))
        rate = s * kallen / 4 * _square(g * ff.plus + dipole * ff.tensor / (m_B + m_M))
    else:
        rate = sum(map(_square, helicity_amplitudes(s, mode, sm, g * s, dipole * s, kallen)))
    return jnp.where(is_open, jnp.sqrt(kallen) / (16 * jnp.pi * m_B**3) * rate, 0.0)


def width_bs_chichi(
    T: Inexact[Array, "chi chi"], m_chi: Float[Array, " chi"], sm: StandardModel
) -> Float[Array, "chi chi"]:
    """Widths of B_s -> chi_j chibar_i by Phi exchange, GeV, shape (n_chi, n_chi); V exchange, conserved, adds nothing.

    f_Bs^2 |T_ij/2|^2 sqrt(lambda)/(16 pi m_Bs^3) [(m_i^2 + m_j^2) m_Bs^2 - (m_i^2 - m_j^2)^2] with lambda of m_Bs^2,
    m_i^2, m_j^2; for i = j f_Bs^2 |T_ii/2|^2 m_i^2 m_Bs beta_i/(8 pi).

    Args:
        T: T_ij, GeV^-2.
        m_chi: masses of the dark fermions, GeV.
        sm: Standard Model inputs.
    """
    m_1, m_2 = m_chi[:, None], m_chi[None, :]
    released = sm.m_Bs - m_1 - m_2
    is_open = released > 0
    kallen = (sm.m_Bs + m_1 + m_2) * (sm.m_Bs**2 - (m_1 - m_2) ** 2) * jnp.where(is_open, released, 1.0)
    momentum = jnp.sqrt(jnp.where(is_open, kallen, 1.0)) / (16 * jnp.pi * sm.m_Bs**3)
    flips = (m_1**2 + m_2**2) * sm.m_Bs**2 - (m_1**2 - m_2**2) ** 2
    return jnp.where(is_open, sm.f_Bs**2 * _square(T) / 4 * momentum * flips, 0.0)
