"""Amplitudes of B -> K l l and B -> V l l, linear in the Wilson coefficients, and the quadratic forms of the rates.

Inputs: a decay at points q2 (GeV^2), the coefficients there and the inputs. Outputs: amplitudes, J_i and dGamma/dq2.
Sections 2, 4 and 5 of the semileptonic formulas.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from jaxdark.inputs import StandardModel
from jaxdark.semileptonic.charmonium import CHARMONIUM
from jaxdark.semileptonic.form_factors import (
    PseudoscalarFormFactors,
    VectorFormFactors,
    pseudoscalar_form_factors,
    vector_form_factors,
)
from jaxdark.semileptonic.kinematics import Channel, beta_lepton, kallen
from jaxdark.semileptonic.nonlocal_terms import Y, dC7, dC9, spectator

J_NAMES = ("1s", "1c", "2s", "2c", "3", "4", "5", "6s", "6c", "7", "8", "9")


class Coefficients(NamedTuple):
    """Wilson coefficients at one q2; C10_timelike is added to C_10 in the timelike part (A_0, f_0) alone.

    C7A is a C_7 with the axial current of the leptons in place of their vector current.
    """

    C7: Complex[Array, "*q2"] | float = 0.0
    C7p: Complex[Array, "*q2"] | float = 0.0
    C7A: Complex[Array, "*q2"] | float = 0.0
    C9: Complex[Array, "*q2"] | float = 0.0
    C9p: Complex[Array, "*q2"] | float = 0.0
    C10: Complex[Array, "*q2"] | float = 0.0
    C10p: Complex[Array, "*q2"] | float = 0.0
    C10_timelike: Complex[Array, "*q2"] | float = 0.0
    CP: Complex[Array, "*q2"] | float = 0.0
    CPp: Complex[Array, "*q2"] | float = 0.0
    CS: Complex[Array, "*q2"] | float = 0.0
    CSp: Complex[Array, "*q2"] | float = 0.0


class Pseudoscalar(NamedTuple):
    """F_V, F_A, F_P and F_S of B -> K l l."""

    V: Complex[Array, "*q2"]
    A: Complex[Array, "*q2"]
    P: Complex[Array, "*q2"]
    S: Complex[Array, "*q2"]


class Transversity(NamedTuple):
    """Transversity amplitudes of B -> V l l: left (L) and right (R) lepton chirality, timelike (t), scalar (S)."""

    perp_L: Complex[Array, "*q2"]
    perp_R: Complex[Array, "*q2"]
    par_L: Complex[Array, "*q2"]
    par_R: Complex[Array, "*q2"]
    zero_L: Complex[Array, "*q2"]
    zero_R: Complex[Array, "*q2"]
    t: Complex[Array, "*q2"]
    S: Complex[Array, "*q2"]


class NonLocal(NamedTuple):
    """Standard Model coefficients at q2 and the spectator functions: what no nuisance parameter touches, Sec. 2."""

    C7: Complex[Array, "*q2"]
    C9: Complex[Array, "*q2"]
    T_perp: Complex[Array, "*q2"]
    T_par: Complex[Array, "*q2"]


class Decay(NamedTuple):
    """One decay, or several side by side, at points q2: all that stands around the Wilson coefficients.

    m_B, m_M and m_l in GeV; low and high are the hadronic parameters of Sec. 2.4 in the order of `HadronicNuisances`;
    even and odd the factors of the time-integrated B_s rate (Sec. 6.1) on CP-even and CP-odd amplitudes, the latter
    perp and S (eta of arXiv:1502.05509); muon is 1 for muons and 0 for electrons.
    """

    q2: Float[Array, "*q2"]
    m_B: Float[Array, "*q2"]
    m_M: Float[Array, "*q2"]
    m_l: Float[Array, "*q2"]
    muon: Float[Array, "*q2"]
    even: Float[Array, "*q2"]
    odd: Float[Array, "*q2"]
    sm: NonLocal
    ff: PseudoscalarFormFactors | VectorFormFactors
    low: tuple[Complex[Array, "*q2"], ...]
    high: tuple[Complex[Array, "*q2"], ...]

    @property
    def kal(self):
        """Kallen function of the squared masses and q2."""
        return kallen(self.m_B, self.m_M, self.q2)


def nonlocal_at(q2: Float[Array, "*q2"], channel: Channel, sm: StandardModel) -> NonLocal:
    """Effective C_7 and C_9 of the Standard Model and the spectator functions (zero for B -> K) at q2, GeV^2."""
    zero = jnp.zeros_like(q2) + 0j
    T = spectator(q2, channel.spectator) if channel.spectator else (zero, zero)
    return NonLocal(sm.C7 + dC7(q2), sm.C9 + Y(q2, sm) + dC9(q2), *T)


def decay_at(q2: Float[Array, "*q2"], channel: Channel, sm: StandardModel, nonlocal_: NonLocal | None = None) -> Decay:
    """The decay at q2 (GeV^2), every entry of the shape of q2; `nonlocal_` where it is known already."""
    m_B, m_M, m_l = channel.masses(sm)
    form_factors = pseudoscalar_form_factors if channel.spin == 0 else vector_form_factors
    untagged = sm.y_s if channel.untagged else 0.0
    decay = Decay(
        q2, m_B, m_M, m_l, float(channel.muon), (1 + untagged) ** -0.5, (1 - untagged) ** -0.5,
        sm=nonlocal_at(q2, channel, sm) if nonlocal_ is None else nonlocal_,
        ff=form_factors(q2, channel.form_factors(sm)),
        low=tuple(getattr(sm.hadronic, channel.low)),
        high=tuple(getattr(sm.hadronic, channel.high)),
    )  # fmt: skip
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, jnp.shape(q2)), decay)


def side_by_side(decays: Sequence[Decay]) -> Decay:
    """Decays of the same spin joined along their leading axis, so that one program serves all channels."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *decays)


def sm_coefficients(decay: Decay, sm: StandardModel) -> Coefficients:
    """Effective Standard Model coefficients at the points of the decay, with the nuisance shift of B -> K."""
    shift = _nuisance_C9(decay) if isinstance(decay.ff, PseudoscalarFormFactors) else 0.0
    return Coefficients(C7=decay.sm.C7, C7p=sm.C7p, C9=decay.sm.C9 + shift, C10=sm.C10)


def amplitude(C: Coefficients, decay: Decay, sm: StandardModel) -> Pseudoscalar | Transversity:
    """Amplitude linear in the Wilson coefficients C, Secs. 4 and 5.1.

    For B -> K: F_V and F_A, dimensionless, F_P and F_S, GeV. For B -> V: transversity amplitudes, GeV^(-1/2).
    """
    if isinstance(decay.ff, PseudoscalarFormFactors):
        return _pseudoscalar_amplitude(C, decay, sm)
    return _transversity_amplitude(C, decay, sm)


def _pseudoscalar_amplitude(C: Coefficients, decay: Decay, sm: StandardModel) -> Pseudoscalar:
    """F_V, F_A, F_P and F_S of Sec. 4, with C_i for C_i + C_i' and X = (m_B^2 - m_K^2)/(2 (m_b - m_s)) f_0.

    F_V = C_9 f_+ + 2 m_b/(m_B + m_K) C_7 f_T, F_A = C_10 f_+ + 2 m_b/(m_B + m_K) C7A f_T, F_S = X C_S and
    F_P = X C_P + m_l [(m_B^2 - m_K^2)/q2 (C_10 f_0 - F_A) - F_A], where f_0 also multiplies C10_timelike.
    """
    m_B, m_K, q2, ff = decay.m_B, decay.m_M, decay.q2, decay.ff
    C10, dipole = C.C10 + C.C10p, 2 * sm.mb / (m_B + m_K)
    scalar = (m_B**2 - m_K**2) / (2 * (sm.mb - sm.ms)) * ff.zero
    axial = C10 * ff.plus + dipole * C.C7A * ff.tensor
    timelike = (m_B**2 - m_K**2) / q2 * ((C10 + C.C10_timelike) * ff.zero - axial)
    return Pseudoscalar(
        V=(C.C9 + C.C9p) * ff.plus + dipole * (C.C7 + C.C7p) * ff.tensor,
        A=axial,
        P=scalar * (C.CP + C.CPp) + decay.m_l * (timelike - axial),
        S=scalar * (C.CS + C.CSp),
    )


def _by_region(q2, low, high):
    """low below the narrow charmonia, high above them, 0 between."""
    return jnp.where(q2 < CHARMONIUM[0], low, jnp.where(q2 > CHARMONIUM[1], high, 0.0))


def _nuisance_C9(decay: Decay):
    """Shift of C_9 in B -> K from the hadronic nuisance parameters, Sec. 2.4."""
    a, b = decay.low
    return _by_region(decay.q2, a + b * decay.q2, decay.high[0])


def _normalisation(decay: Decay, sm: StandardModel):
    """N = G_F alpha lambda_t sqrt(q2 sqrt(lambda) beta/(3 2^10 pi^5 m_B^3)) of Sec. 5."""
    phase_space = decay.q2 * jnp.sqrt(decay.kal) * beta_lepton(decay.q2, decay.m_l)
    return sm.GF * sm.alpha_em * sm.lambda_t * jnp.sqrt(phase_space / (3 * 2**10 * jnp.pi**5 * decay.m_B**3))


def _transversity_amplitude(C: Coefficients, decay: Decay, sm: StandardModel) -> Transversity:
    """Transversity amplitudes of Sec. 5.1, times the CP factors of Sec. 6.1; upper signs L, lower ones R.

    With C_7 for C_7 -+ C7A in
    A_perp = sqrt(2) N sqrt(lambda) [(C_9 + C_9' -+ (C_10 + C_10')) V/(m_B + m_V) + 2 m_b/q2 (C_7 + C_7') T_1],
    A_par = -sqrt(2) N (m_B^2 - m_V^2) [(C_9 - C_9' -+ (C_10 - C_10')) A_1/(m_B - m_V) + 2 m_b/q2 (C_7 - C_7') T_2],
    A_0 = -8 N m_B m_V/sqrt(q2) [(C_9 - C_9' -+ (C_10 - C_10')) A_12 + m_b/(m_B + m_V) (C_7 - C_7') T_23],
    A_t = N sqrt(lambda/q2) [2 (C_10 - C_10' + C10_timelike) + q2/(m_l (m_b + m_s)) (C_P - C_P')] A_0,
    A_S = -2 N sqrt(lambda) (C_S - C_S')/(m_b + m_s) A_0.
    """
    m_B, m_V, q2, ff = decay.m_B, decay.m_M, decay.q2, decay.ff
    N, root, dipole = _normalisation(decay, sm), jnp.sqrt(decay.kal), 2 * sm.mb / q2

    def left_right(prefactor, C9, C10, vector, factor, C7, tensor):
        rest, axial = factor * C7 * tensor, factor * C.C7A * tensor
        return prefactor * ((C9 - C10) * vector + (rest - axial)), prefactor * ((C9 + C10) * vector + (rest + axial))

    sum_7, difference_7 = C.C7 + C.C7p, C.C7 - C.C7p
    axial = (C.C9 - C.C9p, C.C10 - C.C10p)
    perp, par, zero = (
        jnp.sqrt(2.0) * N * root,
        -jnp.sqrt(2.0) * N * (m_B**2 - m_V**2),
        -8 * N * m_B * m_V / jnp.sqrt(q2),
    )
    timelike = 2 * (C.C10 - C.C10p + C.C10_timelike) + q2 / (decay.m_l * (sm.mb + sm.ms)) * (C.CP - C.CPp)
    perp_L, perp_R = left_right(perp, C.C9 + C.C9p, C.C10 + C.C10p, ff.V / (m_B + m_V), dipole, sum_7, ff.T1)
    return Transversity(
        decay.odd * perp_L,
        decay.odd * perp_R,
        *(decay.even * A for A in left_right(par, *axial, ff.A1 / (m_B - m_V), dipole, difference_7, ff.T2)),
        *(decay.even * A for A in left_right(zero, *axial, ff.A12, sm.mb / (m_B + m_V), difference_7, ff.T23)),
        t=decay.even * N * root / jnp.sqrt(q2) * timelike * ff.A0,
        S=decay.odd * -2 * N * root * (C.CS - C.CSp) / (sm.mb + sm.ms) * ff.A0,
    )


def nonlocal_amplitude(decay: Decay, sm: StandardModel) -> Transversity:
    """Spectator scattering (Sec. 5.2) and hadronic nuisances (Sec. 5.3) of B -> V, the same in L and R."""
    m_B, m_V, q2, ff = decay.m_B, decay.m_M, decay.q2, decay.ff
    N, root = _normalisation(decay, sm), jnp.sqrt(decay.kal)
    hard = jnp.sqrt(2.0) * N * 2 * sm.mb_pole * (m_B**2 - q2) / q2 * decay.sm.T_perp
    longitudinal = N * sm.mb_pole * (m_B**2 - q2) ** 2 / (m_B**2 * m_V * jnp.sqrt(q2)) * decay.sm.T_par

    a_0, b_0, a_m, b_m, a_p, b_p = decay.low
    x_0, x_m, x_p = ((a + b * q2 / m_B**2) * m_B / (2 * sm.mb) for a, b in ((a_0, b_0), (a_m, b_m), (a_p, b_p)))
    S_T = jnp.sqrt(2.0) * N * sm.mb / q2 * (root * ff.T1 + (m_B**2 - m_V**2) * ff.T2)
    to_zero = -8 * N * m_B * m_V / jnp.sqrt(q2)

    c_0, c_m, c_p = decay.high
    U, W = N / jnp.sqrt(2.0) * root * ff.V / (m_B + m_V), N / jnp.sqrt(2.0) * (m_B + m_V) * ff.A1

    perp = hard + _by_region(q2, S_T * (x_p + x_m), c_p * (U - W) + c_m * (U + W))
    par = -hard + _by_region(q2, S_T * (x_p - x_m), c_p * (U - W) - c_m * (U + W))
    zero = longitudinal + to_zero * _by_region(q2, sm.mb / (m_B + m_V) * x_0 * ff.T23, c_0 * ff.A12)
    nothing = jnp.zeros_like(perp)
    perp, par, zero = decay.odd * perp, decay.even * par, decay.even * zero
    return Transversity(perp, perp, par, par, zero, zero, nothing, nothing)


def rate_form(A, B, decay: Decay, sm: StandardModel) -> tuple[Inexact[Array, "*axes"], ...]:
    """Hermitian form whose diagonal is the rate: (dGamma/dq2,) for B -> K, the twelve J_i for B -> V.

    Linear in A and antilinear in B, so that the rate of A + c B is form(A, A) + 2 Re(c form(B, A)) + |c|^2 form(B, B).
    """
    conjugate = jax.tree.map(jnp.conj, B)
    antisymmetric = tuple(J / 2j for J in antisymmetric_form(A, conjugate, decay))
    return symmetric_form(A, conjugate, decay, sm) + antisymmetric


def symmetric_form(X, Y, decay: Decay, sm: StandardModel) -> tuple[Inexact[Array, "*axes"], ...]:
    """Bilinear form S with S(Re A, Re A) + S(Im A, Im A) = (dGamma/dq2,) or (J_1s, ..., J_6c), Secs. 4 and 5.4."""
    if isinstance(decay.ff, PseudoscalarFormFactors):
        return (_pseudoscalar_form(X, Y, decay, sm),)
    return _angular_form(X, Y, decay)


def antisymmetric_form(X, Y, decay: Decay) -> tuple[Inexact[Array, "*axes"], ...]:
    """Bilinear form W with W(Im A, Re A) = (J_7, J_8, J_9), Sec. 5.4; empty for B -> K."""
    if isinstance(decay.ff, PseudoscalarFormFactors):
        return ()
    mass, beta = decay.m_l / jnp.sqrt(decay.q2), beta_lepton(decay.q2, decay.m_l)

    def imaginary(x, y):
        """Im(x y^*)."""
        return getattr(X, x) * getattr(Y, y) - getattr(X, y) * getattr(Y, x)

    scalar = imaginary("perp_L", "S") + imaginary("perp_R", "S")
    return (
        jnp.sqrt(2.0) * beta * (imaginary("zero_L", "par_L") - imaginary("zero_R", "par_R") + mass * scalar),
        beta**2 / jnp.sqrt(2.0) * (imaginary("zero_L", "perp_L") + imaginary("zero_R", "perp_R")),
        beta**2 * (imaginary("perp_L", "par_L") + imaginary("perp_R", "par_R")),
    )


def _pseudoscalar_form(X: Pseudoscalar, Y: Pseudoscalar, decay: Decay, sm: StandardModel):
    """dGamma/dq2 = 2 (a + c/3) of Sec. 4, GeV^-1.

    a = G {q2 (beta^2 |F_S|^2 + |F_P|^2) + lambda/4 (|F_A|^2 + |F_V|^2) + 2 m_l (m_B^2 - m_K^2 + q2) Re(F_P F_A^*)
    + 4 m_l^2 m_B^2 |F_A|^2}, c = -G lambda beta^2/4 (|F_A|^2 + |F_V|^2) and
    G = G_F^2 alpha^2 lambda_t^2 sqrt(lambda) beta/(2^9 pi^5 m_B^3).
    """
    q2, m_B, m_K, m_l, kal = decay.q2, decay.m_B, decay.m_M, decay.m_l, decay.kal
    beta = beta_lepton(q2, m_l)
    G = sm.GF**2 * sm.alpha_em**2 * sm.lambda_t**2 / (2**9 * jnp.pi**5 * m_B**3) * jnp.sqrt(kal) * beta
    V, A, P, S = (x * y for x, y in zip(X, Y, strict=True))
    interference = m_l * (m_B**2 - m_K**2 + q2) * (X.P * Y.A + X.A * Y.P)
    a = q2 * (beta**2 * S + P) + kal / 4 * (A + V) + interference + 4 * m_l**2 * m_B**2 * A
    return 2 * G * (a - kal * beta**2 / 12 * (A + V))


def _angular_form(X: Transversity, Y: Transversity, decay: Decay):
    """J_1s ... J_6c of Sec. 5.4 in the order of J_NAMES, GeV^-1, from products of transversity amplitudes."""
    mass, beta = decay.m_l / jnp.sqrt(decay.q2), beta_lepton(decay.q2, decay.m_l)
    beta2 = beta**2

    def square(name):
        return getattr(X, name) * getattr(Y, name)

    def both(name):
        return square(f"{name}_L") + square(f"{name}_R")

    def real(x, y):
        """Re(x y^*)."""
        return (getattr(X, x) * getattr(Y, y) + getattr(X, y) * getattr(Y, x)) / 2

    perp, par, zero = both("perp"), both("par"), both("zero")
    scalar = mass * (real("par_L", "S") + real("par_R", "S"))
    return (
        (2 + beta2) / 4 * (perp + par) + 4 * mass**2 * (real("perp_L", "perp_R") + real("par_L", "par_R")),
        zero + 4 * mass**2 * (square("t") + 2 * real("zero_L", "zero_R")) + beta2 * square("S"),
        beta2 / 4 * (perp + par),
        -beta2 * zero,
        beta2 / 2 * (perp - par),
        beta2 / jnp.sqrt(2.0) * (real("zero_L", "par_L") + real("zero_R", "par_R")),
        jnp.sqrt(2.0) * beta * (real("zero_L", "perp_L") - real("zero_R", "perp_R") - scalar),
        2 * beta * (real("par_L", "perp_L") - real("par_R", "perp_R")),
        4 * beta * mass * (real("zero_L", "S") + real("zero_R", "S")),
    )
