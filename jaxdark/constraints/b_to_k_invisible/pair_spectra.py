"""b -> s chi_j chibar_i by Phi and V exchange: spectra in q2 and B_s -> chi chi.

Inputs: couplings of a point, masses of the pair, q2. Outputs: dGamma/dq2 of B -> K, B -> K* and B_s -> phi, and widths.

L contains T_ij (sbar gamma^mu P_L b)(chibar_j gamma_mu P_R chi_i) from Phi exchange, T_ij = -y_s^i* y_b^j/(2 m_Phi^2),
and for i = j V exchange, W (sbar gamma^mu P_L b)(chibar_i gamma_mu chi_i) and its dipole W_7. V adds to T below m_V and
cancels against it above, whatever the conventions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Inexact

from jaxdark.compute.roots import root
from jaxdark.constraints.vector_emission import conserved
from jaxdark.inputs import StandardModel
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.kinematics import Channel


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


class Squares(NamedTuple):
    """What rates have of `PairCouplings`, real: |C_V|^2, |C_A|^2, Re(C_V^* W_7) and |W_7|^2; 0.0 without a dipole."""

    V: Float[Array, "*q2"]
    A: Float[Array, "*#q2"]
    mixed: Float[Array, "*q2"] | float
    dipole: Float[Array, "*q2"] | float


def squares(couplings: PairCouplings) -> Squares:
    """The squares of couplings, of their shape."""
    V, A, W7 = couplings
    mixed = jnp.real(V) * jnp.real(W7) + jnp.imag(V) * jnp.imag(W7)
    return Squares(_square(V), _square(A), *((0.0, 0.0) if isinstance(W7, float) else (mixed, _square(W7))))


class Densities(NamedTuple):
    """What multiplies |C_V|^2, |C_A|^2, 2 Re(C_V^* W_7) and |W_7|^2 in dGamma/dq2; real or complex."""

    V: Inexact[Array, "*q2"]
    A: Inexact[Array, "*q2"]
    mixed: Inexact[Array, "*q2"]
    dipole: Inexact[Array, "*q2"]


class Ends(NamedTuple):
    """Distances of q2 from the ends of a spectrum, GeV^2, and their roots, GeV; either root may have either sign.

    Attributes:
        above: q2 - (m_1 + m_2)^2.
        below: (m_B - m_M)^2 - q2.
        root_above, root_below: roots of the two.
    """

    above: Inexact[Array, "*q2"]
    below: Inexact[Array, "*q2"]
    root_above: Inexact[Array, "*q2"]
    root_below: Inexact[Array, "*q2"]


def v_exchange(
    q2: Float[Array, "*q2"], model: SplitDarkSector, sm: StandardModel
) -> tuple[Complex[Array, "*q2"], Complex[Array, "*q2"] | float]:
    """W = g_D Q_Phi g_tilde q2 P, GeV^-2, and W_7 = g_D Q_Phi eta7 d_tilde m_b q2 P, GeV^-1, the same for every chi.

    Args:
        q2: GeV^2.
        model: the dark-sector point, whose switches choose g_tilde(q2), the dipole and the propagator P(q2).
        sm: Standard Model inputs.
    """
    inverse = model.propagator(sm).inverse(q2)
    # 1/inverse, which takes longer as a complex division.
    size = model.g_D * model.Q_Phi * q2 / (inverse.real**2 + inverse.imag**2)
    exchange = jax.lax.complex(size * inverse.real, -size * inverse.imag)
    return exchange * model.vertex(q2), exchange * (model.dipole * sm.mb) if model.switches.dipole else 0.0


def diagonal_couplings(
    q2: Float[Array, "*q2"], T: Inexact[Array, ""], model: SplitDarkSector, sm: StandardModel
) -> PairCouplings:
    """Couplings of the pair chi_i chibar_i with T = T_ii (GeV^-2); the other arguments as in `v_exchange`."""
    W, W7 = v_exchange(q2, model, sm)
    return PairCouplings(T / 2 + W, jnp.asarray(T / 2), W7)


def dgamma_dq2(
    q2: Float[Array, "*q2"],
    mode: Channel,
    sm: StandardModel,
    masses: tuple[Float[Array, ""], Float[Array, ""]],
    couplings: Squares,
) -> Float[Array, "*q2"]:
    """dGamma/dq2 of B -> M chi_j chibar_i, GeV^-1; 0 outside of the phase space. Formulas: `densities`.

    Args:
        q2: GeV^2.
        mode: of `vector_emission.MODES`.
        sm: Standard Model inputs.
        masses: of chi_j and chi_i, GeV.
        couplings: `squares` at q2; W and W_7 must vanish for unequal masses, where V does not couple.
    """
    m_B, m_M, _ = mode.masses(sm)
    parts = open_densities(q2, mode, sm, masses, q2 - (masses[0] + masses[1]) ** 2, (m_B - m_M) ** 2 - q2)
    rate = parts.V * couplings.V + parts.A * couplings.A
    return rate + 2 * parts.mixed * couplings.mixed + parts.dipole * couplings.dipole


def open_densities(s, mode: Channel, sm: StandardModel, masses, above, below) -> Densities:
    """`densities` at real s = q2 with its distances from both ends, GeV^2; 0 outside of the phase space."""
    is_open = (above > 0) & (below > 0)
    # Outside, a point of nowhere, at which nothing is singular.
    s = jnp.where(is_open, s, (masses[0] + masses[1]) ** 2 + 1.0)
    above, below = (jnp.where(is_open, x, 1.0) for x in (above, below))
    found = densities(s, mode, sm, masses, Ends(above, below, jnp.sqrt(above), jnp.sqrt(below)))
    return Densities(*(jnp.where(is_open, part, 0.0) for part in found))


def densities(
    s: Inexact[Array, "*s"], mode: Channel, sm: StandardModel, masses: tuple[Array, Array], ends: Ends
) -> Densities:
    """Parts of dGamma/dq2 of B -> M chi_j chibar_i at s = q2 inside the phase space, or at complex s.

    With m_1 = m_j, m_2 = m_i, d = (m_1 - m_2)^2, p = (m_1 + m_2)^2, lambda of B, M and s, and
    k = sqrt(lambda (s - p)(s - d))/(256 pi^3 m_B^3 s),
    a_V = 2 (s - d)(2s + p)/(3s), b_V = 2 d (s - p)/s, a_A = 2 (s - p)(2s + d)/(3s), b_A = 2 p (s - d)/s:

    B -> K: k {lambda/(4s) [a_V |C_V f_+ + W_7 f_T/(m_B + m_K)|^2 + a_A |C_A f_+|^2]
    + (m_B^2 - m_K^2)^2/(4s) f_0^2 [b_V |C_V|^2 + b_A |C_A|^2]};
    B -> V: k {a_V sum_h |H_h(C_V, W_7)|^2 + a_A sum_h |H_h(C_A, 0)|^2 + lambda/(4s) A_0^2 [b_V |C_V|^2 + b_A |C_A|^2]},
    with H_h of `vector_emission.conserved`.
    """
    m_B, m_M, _ = mode.masses(sm)
    p, d = (masses[0] + masses[1]) ** 2, (masses[0] - masses[1]) ** 2
    far = (m_B + m_M) ** 2 - s
    roots = ends.root_above * ends.root_below * root(far) * root(s - d)
    k = roots / (256 * jnp.pi**3 * m_B**3 * s)
    a_V, b_V = 2 * (s - d) * (2 * s + p) / (3 * s), 2 * d * ends.above / s
    a_A, b_A = 2 * ends.above * (2 * s + d) / (3 * s), 2 * p * (s - d) / s
    vector, mixed, dipole, timelike = conserved(s, mode, sm, ends.below * far)
    V, A = a_V * vector + b_V * timelike, a_A * vector + b_A * timelike
    return Densities(k * V, k * A, k * a_V * mixed, k * a_V * dipole)


def _square(x: Inexact[Array, "*axes"]) -> Float[Array, "*axes"]:
    """|x|^2, whose slope is finite at 0."""
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2 if jnp.iscomplexobj(x) else x**2


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
