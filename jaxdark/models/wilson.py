"""The narrow waist between models and b -> s observables: what new physics does to C_9, C_10, C_P, C_S of the muon.

Every model ends in one `NewPhysics` record and every semileptonic observable starts from one.

Phases. Couplings, the values in `Contact` and `Resonance.kappa9` and `kappa10`, are those of b -> s relative to
V_tb V_ts^*; the decay of an anti-b quark has their complex conjugates: their phases are weak. All other phases are
strong and the same in both: those of the propagator and of the Standard Model's loops and non-local terms. What is
quoted as CP average (rates, S_i, P_i, F_L, A_FB, ratios, B_s -> phi mu mu and B_s -> mu mu) is one here; A_i and A_CP
are half differences over the same rate. Of lambda_u/lambda_t the Standard Model keeps the real part alone, so that its
CP asymmetries vanish.

An amplitude is linear in the couplings, so with A from their real parts and the Standard Model and A' from their
imaginary parts, both with all strong phases, it is A + i A', and A - i A' for the conjugate. Every rate F is a
Hermitian form: its CP average is F(A, A) + F(A', A'), half its difference -2 Im F(A', A). In B_s, which mixes with its
conjugate, i A' has the CP parity opposite to that of A; nothing else changes.
"""

from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from jaxdark.errors import RequestError
from jaxdark.models.checks import check_number, one_of

BsCurrent = Literal["paper", "without_C_P", "conserved"]
"""How the resonant C_10 meets the longitudinal part of the propagator, Eq. (20).

paper: the unitary-gauge propagator on the vertex q2 sbar gamma^mu P_L b, a factor 1 - q2/m_V^2 on the timelike part;
without_C_P: that factor is 1, so C_10 alone; conserved: the vertex q2 gamma^mu - q^mu qslash, the timelike part is 0.
B_s mixing has no longitudinal part in any of them (`constraints.mixing.C1_V`).
"""


class ResonanceKind(NamedTuple):
    """What of a resonance is fixed when a program is compiled.

    Attributes:
        power: of q2 in the numerator.
        taken, taken_at_pole: a and b of the share a + b q2/m_V^2 of the timelike C_10 that the longitudinal part takes.
    """

    power: int
    taken: int
    taken_at_pole: int


_TAKEN: dict[BsCurrent, tuple[int, int]] = {"paper": (0, 1), "without_C_P": (0, 0), "conserved": (1, 0)}


LEAST_WIDTH = 1e-60
"""Least Gamma_V/m_V, far below that of any V that decays.

It serves a V of width 0, every channel of which is closed. Outside of a bin its pole is harmless at any width, while a
bin that holds it diverges if V couples to both its currents all the same: such a bin comes out huge, but finite.
"""


def pole_width(m_V: Float[Array, ""] | float, width: Float[Array, ""] | float) -> Float[Array, ""]:
    """m_V Gamma_V, GeV^2, of a mass and a width in GeV, with a width of at least `LEAST_WIDTH` times the mass."""
    return m_V * jnp.maximum(width, LEAST_WIDTH * m_V)


class Contact(eqx.Module):
    """Constant shifts of the muonic coefficients, dimensionless, real or complex; a complex phase is a weak one.

    C_P and C_S multiply alpha/(4 pi) (sbar P_R b)(lbar gamma5 l) and (lbar l), primes exchange P_L and P_R.

    Raises:
        RequestError: a value is not one finite number; inside jit, vmap and grad, it has not the shape of one.
    """

    C9: Inexact[Array, ""] | complex = 0.0
    C10: Inexact[Array, ""] | complex = 0.0
    C9p: Inexact[Array, ""] | complex = 0.0
    C10p: Inexact[Array, ""] | complex = 0.0
    CP: Inexact[Array, ""] | complex = 0.0
    CPp: Inexact[Array, ""] | complex = 0.0
    CS: Inexact[Array, ""] | complex = 0.0
    CSp: Inexact[Array, ""] | complex = 0.0

    def __check_init__(self):
        """Check what the record holds; runs where one is written, not where JAX puts one together again."""
        for name in CONTACT_NAMES:
            check_number(f"{name} of Contact", getattr(self, name), is_complex=True)


CONTACT_NAMES = ("C9", "C10", "C9p", "C10p", "CP", "CPp", "CS", "CSp")


class Resonance(eqx.Module):
    """A vector in the s channel: C_9(q2) = kappa9 n(q2)/(q2 - m_V^2 + i m_V Gamma), C_10(q2) with kappa10, Eq. (7).

    The numerator n is q2 for a coupling to b and s from a loop, as in Eq. (7), and 1 for a constant one, as a Z' has.

    Attributes:
        kappa9: strength with the vector muon current, in units of GeV^(2 - 2 power); a complex phase is a weak one,
            that of the propagator strong.
        kappa10: strength with the axial muon current, likewise.
        m_V: mass, GeV, positive.
        width: total width Gamma, GeV, the same at all q2, not negative.
        bs_current: treatment of the longitudinal part.
        power: of q2 in the numerator.

    Raises:
        RequestError: a value is not one finite number or out of its range; inside jit, vmap and grad, it has not the
            shape of one number, or mass or width are complex.
    """

    kappa9: Inexact[Array, ""] | complex
    kappa10: Inexact[Array, ""] | complex
    m_V: Float[Array, ""] | float
    width: Float[Array, ""] | float
    bs_current: BsCurrent = eqx.field(static=True, default="paper")
    power: Literal[0, 1] = eqx.field(static=True, default=1)

    def __check_init__(self):
        """As `Contact.__check_init__`."""
        for name in ("kappa9", "kappa10"):
            check_number(f"{name} of Resonance", getattr(self, name), is_complex=True)
        check_number("m_V of Resonance", self.m_V, positive="a mass in GeV")
        check_number("width of Resonance", self.width, least="a width in GeV")
        one_of("bs_current of Resonance", self.bs_current, get_args(BsCurrent))
        if type(self.power) is not int or self.power not in (0, 1):
            raise RequestError(f"power of Resonance must be 0 or 1, got {self.power!r}")

    def numerator(self, q2: Float[Array, "*q2"] | float) -> Float[Array, "*q2"] | float:
        """q2^power at q2 (GeV^2): what kappa9 and kappa10 multiply."""
        return q2 if self.power == 1 else jnp.ones_like(q2)

    @property
    def kind(self) -> ResonanceKind:
        """Power of q2 in the numerator, and what `bs_current` does to the timelike C_10."""
        return ResonanceKind(self.power, *_TAKEN[self.bs_current])

    def longitudinal(self, q2: Float[Array, "*q2"] | float) -> tuple[Any, Any]:
        """What the longitudinal part of the propagator does to the timelike C_10 at q2 (GeV^2), Eq. (20).

        C_10(q2) (1 - a - b q2/m_V^2) is left of C_10(q2) = kappa10 numerator(q2) D, with a and b of `kind`.

        Returns:
            l = numerator (a/q2 + b/m_V^2), with which kappa10 l q2 D is taken from it, and the share 1 - l q2/numerator
            that is left, which vanishes on the pole exactly where a + b = 1.
        """
        s0, numerator, (power, a, b) = self.m_V**2, self.numerator(q2), self.kind
        l = numerator / s0 if b else 0.0 * numerator
        if a:
            l += q2 ** (power - 1)
        return l, (1 - a - b) + b * ((s0 - q2) / s0)

    @property
    def pole(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Position (m_V^2, m_V Gamma) of the pole in q2, GeV^2, see `pole_width`."""
        return self.m_V**2, pole_width(self.m_V, self.width)


class NewPhysics(eqx.Module):
    """Contact terms and a resonance; None leaves one out and costs nothing.

    Raises:
        RequestError: what is given is not a `Contact` and a `Resonance`.
    """

    contact: Contact | None = None
    resonance: Resonance | None = None

    def __check_init__(self):
        """As `Contact.__check_init__`."""
        for name, kind in (("contact", Contact), ("resonance", Resonance)):
            part = getattr(self, name)
            if not isinstance(part, kind | None):
                raise RequestError(f"{name} of NewPhysics must be a {kind.__name__} or None, got {part!r}")

    def new_physics(self, sm) -> "NewPhysics":
        """Itself, so that an observable takes a model or a record alike."""
        return self


@runtime_checkable
class HasNewPhysics(Protocol):
    """What an observable takes: a model, of jaxdark or of one's own, or a `NewPhysics` record."""

    def new_physics(self, sm: Any) -> NewPhysics:
        """What the model does to b -> s mu mu, for the inputs sm."""
        ...


SM_ONLY = NewPhysics()


def weak_parts(physics: NewPhysics) -> tuple[NewPhysics, NewPhysics | None]:
    """Records of the real and of the imaginary parts of the couplings; None for the latter where all are of real type.

    Whether a coupling is real is read off its type, which is static: real ones cost nothing here or later on.
    """
    contact, resonance = physics.contact, physics.resonance
    complex_contact = contact is not None and any(map(jnp.iscomplexobj, jax.tree.leaves(contact)))
    complex_kappas = resonance is not None and any(map(jnp.iscomplexobj, (resonance.kappa9, resonance.kappa10)))
    if not (complex_contact or complex_kappas):
        return physics, None
    return _part(physics, _real, complex_contact), _part(physics, _imaginary, complex_contact)


def _part(physics: NewPhysics, part, complex_contact: bool) -> NewPhysics:
    contact, resonance = physics.contact, physics.resonance
    if contact is not None:
        contact = jax.tree.map(part, contact) if complex_contact or part is _real else None
    if resonance is not None:
        kappas = part(resonance.kappa9), part(resonance.kappa10)
        resonance = eqx.tree_at(lambda r: (r.kappa9, r.kappa10), resonance, kappas)
    return NewPhysics(contact, resonance)


def _real(value: Any) -> Any:
    return jnp.real(value) if jnp.iscomplexobj(value) else value


def _imaginary(value: Any) -> Any:
    """The number 0 for a real coupling, which is no term at all."""
    return jnp.imag(value) if jnp.iscomplexobj(value) else 0.0
