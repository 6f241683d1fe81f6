"""B_s -> mu mu, Section 7 of the semileptonic formulas and Eqs. (19), (20).

Inputs: new physics and inputs. Outputs: the time-integrated branching ratio, A_DeltaGamma and the effective lifetime.
"""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.wilson import HasNewPhysics, NewPhysics, Resonance, weak_parts
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.kinematics import beta_lepton


def resonant_pseudoscalar(resonance: Resonance, sm: StandardModel) -> Complex[Array, ""]:
    """C_10(m_Bs^2) and C_P of the resonance combined, Eqs. (19), (20), in units of C_10, dimensionless.

    C_10(m_Bs^2) (1 - m_Bs^2/m_V^2), or another share by `bs_current`: a narrow V has no peak at m_V = m_Bs. That of the
    b quark: the phase of kappa10 is weak, that of the propagator strong.
    """
    q2 = sm.m_Bs**2
    _, left = resonance.longitudinal(q2)
    numerator = resonance.kappa10 * resonance.numerator(q2) * left
    if resonance.vertex is not None:
        numerator *= resonance.vertex(q2)
    return numerator / resonance.propagator.inverse(q2)


def _amplitudes(physics: NewPhysics, sm: StandardModel) -> tuple[Complex[Array, ""], Complex[Array, ""]]:
    """P and S of new physics alone, in units of C_10, Sec. 7.

    P = C_10 - C_10' + m_Bs^2/(2 m_mu (m_b + m_s)) (C_P - C_P'), S = beta m_Bs^2/(2 m_mu (m_b + m_s)) (C_S - C_S').
    """
    helicity = sm.m_Bs**2 / (2 * sm.m_mu * (sm.mb + sm.ms))
    P, S = jnp.zeros((), complex), jnp.zeros((), complex)
    if physics.contact is not None:
        c = physics.contact
        P += c.C10 - c.C10p + helicity * (c.CP - c.CPp)
        S += beta_lepton(sm.m_Bs**2, sm.m_mu) * helicity * (c.CS - c.CSp)
    if physics.resonance is not None:
        P += resonant_pseudoscalar(physics.resonance, sm)
    return P, S


def _rate_and_asymmetry(model: HasNewPhysics, sm: StandardModel) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """|P|^2 + |S|^2 averaged over the flavours, and that times A_DeltaGamma: see `a_delta_gamma`."""
    check_inputs(sm)
    real, imaginary = weak_parts(model.new_physics(sm))
    P, S = _amplitudes(real, sm)
    odd, even = _square(P + sm.C10), _square(S)
    total, asymmetry = odd + even, odd - even
    if imaginary is not None:
        odd, even = map(_square, _amplitudes(imaginary, sm))
        total, asymmetry = total + odd + even, asymmetry - (odd - even)
    return total, asymmetry


def _square(z: Complex[Array, ""]) -> Float[Array, ""]:
    return z.real**2 + z.imag**2


def a_delta_gamma(model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """A_DeltaGamma of B_s -> mu+ mu-, dimensionless, between -1 and 1; 1 in the Standard Model.

    The muons of P are in a CP-odd state, those of S in a CP-even one, and their sum over helicities does not
    interfere. With the amplitudes Pbar of the anti-B_s and P of the B_s, the phase of mixing taken out of P,
    A_DeltaGamma = Re(conj(P) Pbar - conj(S) Sbar)/<|P|^2 + |S|^2>, the average over the flavours. Let P_R be the part
    of the Standard Model and of the couplings' real parts and P_I that of their imaginary parts, each with its strong
    phase: Pbar = P_R + i P_I, P = P_R - i P_I, hence (|P_R|^2 - |P_I|^2 - |S_R|^2 + |S_I|^2) over the sum of the four
    squares. Weak phases alone give Re(Pbar^2 - Sbar^2)/(|P|^2 + |S|^2), arXiv:1204.1737; strong ones alone, as that of
    a width, do not turn it: (|P|^2 - |S|^2)/(|P|^2 + |S|^2). New physics in the phase of mixing is neglected.
    """
    total, asymmetry = _rate_and_asymmetry(model, sm)
    return asymmetry / total


@usual_rules()
def br_bs_mumu(model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """Time-integrated BR(B_s -> mu+ mu-), dimensionless (arXiv:1204.1737), of a model or a `NewPhysics` record.

    tau G_F^2 alpha^2 lambda_t^2/(16 pi^3) f_Bs^2 m_Bs m_mu^2 beta (|P|^2 + |S|^2) (1 + y_s A_DeltaGamma)/(1 - y_s^2):
    the average over the flavours of the B_s at its production, P and S with the Standard Model's C_10.
    """
    total, asymmetry = _rate_and_asymmetry(model, sm)
    beta = beta_lepton(sm.m_Bs**2, sm.m_mu)
    width = sm.GF**2 * sm.alpha_em**2 * sm.lambda_t**2 / (16 * jnp.pi**3) * sm.f_Bs**2 * sm.m_Bs * sm.m_mu**2 * beta
    return sm.tau_Bs * width * (total + asymmetry * sm.y_s) / (1 - sm.y_s**2)


@usual_rules()
def tau_mumu(model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """Effective lifetime of B_s -> mu+ mu-, ps, of a model or a `NewPhysics` record.

    Mean decay time of the untagged sample, tau_Bs/(1 - y_s^2) (1 + 2 A y_s + y_s^2)/(1 + A y_s) with
    A = A_DeltaGamma (arXiv:1204.1737): the lifetime of the heavy B_s, tau_Bs/(1 - y_s), in the Standard Model.
    """
    A, y = a_delta_gamma(model, sm), sm.y_s
    tau = sm.tau_Bs / (1 - y**2) * (1 + 2 * A * y + y**2) / (1 + A * y)
    return 1e12 * sm.hbar * tau
