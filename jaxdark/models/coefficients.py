"""Wilson coefficients of the muon at q2 from any model's `NewPhysics`, Eqs. (7), (19), (20), and their normalisation.

Inputs: q2 in GeV^2, a model and the inputs. Outputs: C_9, C_10 and C_P - C_P', dimensionless, of the b quark.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.loops import Scalar
from jaxdark.models.wilson import Contact, HasNewPhysics, Resonance
from jaxdark.precision import usual_rules

_NO_RESONANCE = Resonance(kappa9=0.0, kappa10=0.0, m_V=1.0, width=1.0)


def normalisation(sm: StandardModel) -> Scalar:
    """N of Eq. (8), 1/N = (4 G_F/sqrt 2) V_tb V_ts*, GeV^2; negative as lambda_t = V_tb V_ts* is."""
    return 1 / (4 * sm.GF / np.sqrt(2) * sm.lambda_t)


def tree_level(sm: StandardModel) -> Scalar:
    """4 pi N/alpha of Eq. (19), GeV^2: what turns a product of couplings over q2 - m_V^2 into C_9 or C_10."""
    return 4 * jnp.pi / sm.alpha_em * normalisation(sm)


@usual_rules()
def c9(q2: Scalar, model: HasNewPhysics, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics part of C_9 of the muon at q2 (GeV^2), Eq. (7), dimensionless; that of the b quark, see `wilson`.

    C_9 + kappa_9 n(q2)/(q2 - m_V^2 + i m_V Gamma_V), contact term and resonance, n = q2 for the paper's model; with
    vertex and running width as in `Resonance`.
    """
    contact, resonance = _parts(model, sm)
    return contact.C9 + resonance.kappa9 * resonance.numerator(q2) * resonance.propagate(q2)


@usual_rules()
def c10(q2: Scalar, model: HasNewPhysics, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics part of C_10 of the muon at q2 (GeV^2), Eq. (7) and (19), dimensionless; as `c9`, with kappa_10."""
    contact, resonance = _parts(model, sm)
    return contact.C10 + resonance.kappa10 * resonance.numerator(q2) * resonance.propagate(q2)


@usual_rules()
def c7(q2: Scalar, model: HasNewPhysics, sm: StandardModel) -> tuple[Complex[Array, ""], Complex[Array, ""]]:
    """New-physics part of C_7 at q2 (GeV^2) in the vector and in the axial current of the muon, dimensionless.

    kappa_9 d n(q2) P(q2) and kappa_10 d n(q2) P(q2), the dipole of the resonance; (0, 0) without one.
    """
    _, resonance = _parts(model, sm)
    if resonance.dipole is None:
        return jnp.zeros((), complex), jnp.zeros((), complex)
    exchanged = resonance.dipole * resonance.numerator(q2) * resonance.propagator(q2)
    return resonance.kappa9 * exchanged, resonance.kappa10 * exchanged


@usual_rules()
def c_p(q2: Scalar, model: HasNewPhysics, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics C_P - C_P' of the muon at q2 (GeV^2), Eq. (20), dimensionless.

    C_P - C_P' - 2 M_mu (M_b + M_s)/m_V^2 C_10(q2), C_10 that of the resonance; 1/m_V^2 is (a/q2 + b/m_V^2) for other
    longitudinal parts, see `Resonance.longitudinal`. That difference carries M_b + M_s and is what B_s -> mu mu and B
    -> K* mu mu see. With the conserved current it cancels the timelike part of C_10.
    """
    contact, resonance = _parts(model, sm)
    longitudinal, _ = resonance.longitudinal(q2)
    pseudoscalar = -2 * sm.m_mu * (sm.mb + sm.ms) * longitudinal * resonance.kappa10 * resonance.propagate(q2)
    return contact.CP - contact.CPp + pseudoscalar


def _parts(model: HasNewPhysics, sm: StandardModel) -> tuple[Contact, Resonance]:
    check_inputs(sm)
    new_physics = model.new_physics(sm)
    return new_physics.contact or Contact(), new_physics.resonance or _NO_RESONANCE
