"""B -> K nu nu and B -> K* nu nu in the Standard Model, Section 8 of the semileptonic formulas.

Inputs: q2 and inputs. Outputs: dBR/dq2 summed over three neutrino flavours, and branching ratios in q2 ranges.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors, vector_form_factors
from jaxdark.semileptonic.kinematics import kallen

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def C_L(sm: StandardModel) -> Float[Array, ""]:
    """Coefficient of the left-handed neutrino operator, -X_t/sin^2(theta_W) alpha(m_Z)/alpha, dimensionless."""
    return -sm.X_t / sm.sin2_thetaW * sm.alpha_em_mZ / sm.alpha_em


def _prefactor(m_B, sm: StandardModel):
    """N = 3 G_F^2 alpha^2 lambda_t^2 C_L^2/(3 2^8 pi^5 m_B^3), three flavours summed, GeV^-7."""
    return 3 * sm.GF**2 * sm.alpha_em**2 * sm.lambda_t**2 * C_L(sm) ** 2 / (3 * 2**8 * jnp.pi**5 * m_B**3)


def dbr_dq2_k_nunu(q2: Float[Array, "*q2"], sm: StandardModel) -> Float[Array, "*q2"]:
    """dBR/dq2 of B+ -> K+ nu nu at q2 (GeV^2), tau N lambda^(3/2) f_+^2, GeV^-2, of the shape of q2.

    N as in `_prefactor`, lambda the Kallen function; without the tree-level tau contribution.
    """
    f_plus = pseudoscalar_form_factors(q2, sm.B_to_K).plus
    phase_space = jnp.maximum(kallen(sm.m_Bp, sm.m_Kp, q2), 0.0) ** 1.5
    return sm.tau_Bp * _prefactor(sm.m_Bp, sm) * phase_space * f_plus**2


def dbr_dq2_kst_nunu(q2: Float[Array, "*q2"], sm: StandardModel) -> Float[Array, "*q2"]:
    """dBR/dq2 of B0 -> K*0 nu nu at q2 (GeV^2), GeV^-2, of the shape of q2.

    tau N sqrt(lambda) [2 q2 (lambda V^2/(m_B + m_V)^2 + (m_B + m_V)^2 A_1^2) + 64 m_B^2 m_V^2 A_12^2], N and lambda as
    in `dbr_dq2_k_nunu`.
    """
    m_B, m_V = sm.m_B0, sm.m_Kst0
    ff = vector_form_factors(q2, sm.B_to_Kst)
    kal = kallen(m_B, m_V, q2)
    helicities = 2 * kal * (ff.V / (m_B + m_V)) ** 2 + 2 * ((m_B + m_V) * ff.A1) ** 2
    longitudinal = 64 * (m_B * m_V * ff.A12) ** 2  # already times q2
    return sm.tau_B0 * _prefactor(m_B, sm) * jnp.sqrt(kal) * (q2 * helicities + longitudinal)


def _integral(integrand, lower, upper):
    half = (upper - lower) / 2
    return half * (_WEIGHTS @ integrand(lower + half * (1 + _NODES)))


@usual_rules()
def br_k_nunu(sm: StandardModel) -> Float[Array, ""]:
    """BR(B+ -> K+ nu nu) in the Standard Model, the integral of `dbr_dq2_k_nunu`, dimensionless.

    Without the tree-level tau contribution (about 6e-7).
    """
    check_inputs(sm)
    return _integral(lambda q2: dbr_dq2_k_nunu(q2, sm), 0.0, (sm.m_Bp - sm.m_Kp) ** 2)


def br_k_nunu_bins(sm: StandardModel, edges: Float[Array, " edges"]) -> Float[Array, " bins"]:
    """BR(B+ -> K+ nu nu) as `br_k_nunu`, in adjacent bins of q2 of any width, dimensionless, shape (bins,).

    Args:
        sm: Standard Model inputs.
        edges: of the bins, GeV^2, increasing, shape (bins + 1,).
    """
    edges = jnp.minimum(edges, (sm.m_Bp - sm.m_Kp) ** 2)
    return jax.vmap(lambda lower, upper: _integral(lambda q2: dbr_dq2_k_nunu(q2, sm), lower, upper))(
        edges[:-1], edges[1:]
    )


@usual_rules()
def br_kst_nunu(sm: StandardModel) -> Float[Array, ""]:
    """BR(B0 -> K*0 nu nu) in the Standard Model, the integral of `dbr_dq2_kst_nunu`, dimensionless."""
    check_inputs(sm)
    return _integral(lambda q2: dbr_dq2_kst_nunu(q2, sm), 0.0, (sm.m_B0 - sm.m_Kst0) ** 2)
