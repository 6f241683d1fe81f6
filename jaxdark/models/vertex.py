"""The vertex of b, s and V to leading order in 1/m_Phi^2 and exact in q2.

Inputs: masses and couplings of the split dark sector, q2. Outputs: g_tilde(q2) and d_tilde, GeV^-2, in the vertex
sbar {g_tilde (q2 gamma^mu - q^mu qslash) P_L - eta7 d_tilde m_b i sigma^{mu nu} q_nu P_R} b, which is conserved.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.inputs import read_data
from jaxdark.models.loops import (
    F9,
    F7phi,
    Scalar,
    dipole_loop,
    even_polarisation,
    penguin_loop,
    vacuum_polarisation,
)
from jaxdark.models.switches import Loop

_LEAST_RATIO = 1e-9
"""m_chi/m_Phi that stands for a smaller one where the loops have a limit: they differ from it by its square."""


def Fhat(q2: Float[Array, "*q2"], m_chi: Scalar, m_Phi: Scalar) -> Complex[Array, "*q2"]:
    """F9(x) + G9(x) - 2 K(q2/m_chi^2) with x = m_chi^2/m_Phi^2, dimensionless; q2 (GeV^2) of either sign.

    For m_chi = 0 the logarithms of m_chi cancel: 1/18 + (1/3) ln(m_Phi^2/q2) + i pi/3, q2 > 0. Corrections are of order
    q2/m_Phi^2.
    """
    massless = m_chi == 0
    m2 = jnp.where(massless, 1.0, m_chi) ** 2
    K = vacuum_polarisation(q2 / m2)
    massive = jax.lax.complex(penguin_loop(m2 / m_Phi**2) - 2 * K.real, -2 * K.imag)
    logarithm = jnp.log(m_Phi**2 / jnp.where(massless & (q2 > 0), q2, 1.0))
    limit = jax.lax.complex(1 / 18 + logarithm / 3, jnp.full_like(logarithm, jnp.pi / 3))
    return jnp.where(massless, limit, massive)


class Vertex(eqx.Module):
    """g_tilde as a function of q2, in GeV^-2, with the sign of r.

    Attributes:
        r: g_D Q_Phi y_s* y_b of each dark fermion, shape (n_chi,).
        m_chi: masses of the dark fermions, GeV, shape (n_chi,).
        m_Phi: mass of the coloured scalar, GeV.
        loop: "exact", or "printed" for Eq. (11), which does not depend on q2.
    """

    r: Float[Array, " n_chi"]
    m_chi: Float[Array, " n_chi"]
    m_Phi: Float[Array, ""]
    loop: Loop = eqx.field(static=True, default="exact")

    def __call__(self, q2: Float[Array, "*q2"] | float) -> Complex[Array, "*q2"]:
        """g_tilde(q2) = sum_i r_i Fhat_i(q2)/(16 pi^2 m_Phi^2), GeV^-2, q2 in GeV^2.

        As printed sum_i r_i [F9(x_i) + G9(x_i)]/(32 pi^2 m_Phi^2) at all q2.
        """
        q2 = jnp.asarray(q2, float)
        unit = self.r / (16 * jnp.pi**2 * self.m_Phi**2)
        if self.loop == "printed":
            loops = jax.vmap(penguin_loop)((self.m_chi / self.m_Phi) ** 2)
            return jnp.full_like(q2, jnp.sum(unit * loops) / 2, dtype=complex)
        with jax.ensure_compile_time_eval():  # where the masses are known, once for all points
            each = jax.vmap(lambda m: Fhat(q2, m, self.m_Phi))(self.m_chi)
        # In real arithmetic, which is several times faster.
        return jax.lax.complex(jnp.tensordot(unit, each.real, 1), jnp.tensordot(unit, each.imag, 1))

    def continued(
        self, s: Complex[Array, "*s"], beta: Complex[Array, "*s n_chi"], is_open: Bool[Array, "*s n_chi"]
    ) -> tuple[Complex[Array, "*s"], Complex[Array, "*s"]]:
        """Re and Im of g_tilde at real s, each as it continues to complex s, GeV^-2.

        Args:
            s: complex, GeV^2.
            beta: sqrt(1 - 4 m_i^2/s) of each dark fermion that is open, of the sign that the sheet has.
            is_open: which ones are open at real s.
        """
        unit = self.r / (16 * jnp.pi**2 * self.m_Phi**2)
        if self.loop == "printed":
            return jnp.broadcast_to(self(0.0), s.shape), jnp.zeros_like(s)
        far, massless = s[..., None], self.m_chi == 0
        even = -2 * even_polarisation(s, self.m_chi, beta, is_open)
        x = (jnp.where(massless, 1.0, self.m_chi) / self.m_Phi) ** 2
        at_zero = jnp.where(massless, 1 / 18 + jnp.log(self.m_Phi) * 2 / 3, jax.vmap(penguin_loop)(x))
        odd = jnp.where(is_open, jnp.pi / 3 * beta * (1 + 2 * self.m_chi**2 / far), 0.0)
        return jnp.sum(unit * (at_zero + even), -1), jnp.sum(unit * odd, -1)

    @property
    def dipole(self) -> Float[Array, ""]:
        """d_tilde = sum_i r_i [F7phi(x_i) + F7chi(x_i)]/(16 pi^2 m_Phi^2), GeV^-2, without eta7."""
        massless = self.m_chi == 0
        x = (jnp.where(massless, 1.0, self.m_chi) / self.m_Phi) ** 2
        loops = jnp.where(massless, 0.25, jax.vmap(dipole_loop)(x))
        return jnp.sum(self.r * loops) / (16 * jnp.pi**2 * self.m_Phi**2)


def eta7(m_Phi: Scalar) -> Float[Array, ""]:
    """Running of the dipole from m_Phi to m_b in the leading logarithms, that of m_b included; 0.53 at 1 TeV.

    [alpha_s(m_Phi)/alpha_s(m_t)]^(16/21) [alpha_s(m_t)/alpha_s(m_b)]^(16/23): V's dipole does not mix with the gluon's,
    because quarks are neutral under the dark charge. alpha_s at three scales: data/running.yaml.
    """
    return _running(m_Phi, 16)


def eta78(m_Phi: Scalar) -> Float[Array, ""]:
    """What C_8 at m_Phi adds to C_7 at m_b in the leading logarithms, beside eta7 C_7; 0.117 at 1 TeV.

    (8/3) (eta8 - eta7), eta8 with powers 14/21 and 14/23 where eta7 has 16/21 and 16/23.
    """
    return 8 / 3 * (_running(m_Phi, 14) - _running(m_Phi, 16))


def _running(m_Phi: Scalar, gamma: int) -> Float[Array, ""]:
    """Of a coefficient with the anomalous dimension gamma/3 from m_Phi to m_b, with six flavours down to m_t."""
    known = read_data("running.yaml")["alpha_s"]
    top, bottom = known["m_t"]["value"], known["m_b"]["value"]
    return (_alpha_s(m_Phi) / top) ** (gamma / 21) * (top / bottom) ** (gamma / 23)


def _alpha_s(m_Phi: Scalar) -> Float[Array, ""]:
    """alpha_s at m_Phi (GeV) in six-flavour running from 1 TeV, one loop."""
    start = read_data("running.yaml")["alpha_s"]["m_Phi"]
    return start["value"] / (1 + start["value"] * 7 / (2 * jnp.pi) * jnp.log(m_Phi / start["scale"]))


def photon_penguin(m_chi: Scalar, m_Phi: Scalar, norm: Scalar) -> tuple[Float[Array, ""], ...]:
    """C_9 of all leptons, and C_7, C_8 at m_Phi, per y_s* y_b, of the photon's and the gluon's coupling to Phi alone.

    C_9 = N Q F9(x)/m_Phi^2, C_7 = N Q F7phi(x)/(2 m_Phi^2), C_8 = N F7phi(x)/(2 m_Phi^2) with Q = -1/3.

    Args:
        m_chi, m_Phi: masses, GeV.
        norm: N of Eq. (8), GeV^2.
    """
    x = jnp.maximum(m_chi / m_Phi, _LEAST_RATIO) ** 2
    unit = norm / m_Phi**2
    return -unit / 3 * F9(x), -unit / 6 * F7phi(x), unit / 2 * F7phi(x)
