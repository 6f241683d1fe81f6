"""The narrow waist between models and b -> s observables: what new physics does to C_9, C_10, C_P, C_S of the muon, and
of the electron where it feels it.

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

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Complex, Float, Inexact

from jaxdark.errors import RequestError, one_of
from jaxdark.models.checks import check_number
from jaxdark.models.propagator import Propagator, RunningWidth

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
        has_dipole: whether it comes with a dipole.
    """

    power: int
    taken: int
    taken_at_pole: int
    has_dipole: bool = False


_TAKEN: dict[BsCurrent, tuple[int, int]] = {"paper": (0, 1), "without_C_P": (0, 0), "conserved": (1, 0)}


class Contact(eqx.Module):
    """Constant shifts of the coefficients of one lepton, dimensionless, real or complex; a complex phase is a weak one.

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
KAPPAS = ("kappa9", "kappa10", "kappa9_e", "kappa10_e")


def _as_tree(vertex: Any) -> Any:
    """A plain function as a PyTree without leaves, so that a record that holds one may be mapped over."""
    is_plain = callable(vertex) and not isinstance(vertex, eqx.Module | Partial)
    return Partial(vertex) if is_plain else vertex


class Resonance(eqx.Module):
    """A vector in the s channel: C_9(q2) = kappa9 n(q2)/(q2 - m_V^2 + i m_V Gamma), C_10(q2) with kappa10, Eq. (7).

    The numerator n is q2 for a coupling to b and s from a loop, as in Eq. (7), and 1 for a constant one, as a Z' has.

    In general C_9(q2) = kappa9 n(q2) F(q2) P(q2) with a complex F, the `vertex`, and with the propagator P of a width
    that runs; and C_7(q2) = kappa9 n(q2) d P(q2) in the vector current of the muon, kappa10 in its axial current, with
    a constant d, the `dipole`.

    Attributes:
        kappa9: strength with the vector muon current, in units of GeV^(2 - 2 power); a complex phase is a weak one,
            that of the propagator strong.
        kappa10: strength with the axial muon current, likewise.
        m_V: mass, GeV, positive.
        width: total width Gamma, GeV, the same at all q2, not negative; or a `RunningWidth`.
        bs_current: treatment of the longitudinal part.
        power: of q2 in the numerator.
        vertex: function of q2 (GeV^2, any shape) that is traced by JAX, real or complex; its phase is a strong one.
            None is 1.
        dipole: strength of the dipole relative to a vertex of 1, real; None leaves it out.
        thresholds: where vertex or width have cusps, GeV^2, shape (n,): bins are cut there.
        kappa9_e, kappa10_e: strengths with the currents of the electron, both or neither; None where it feels nothing.

    Raises:
        RequestError: a value is not one finite number or out of its range; inside jit, vmap and grad, it has not the
            shape of one number, or mass or width are complex.
    """

    kappa9: Inexact[Array, ""] | complex
    kappa10: Inexact[Array, ""] | complex
    m_V: Float[Array, ""] | float
    width: RunningWidth | Float[Array, ""] | float
    bs_current: BsCurrent = eqx.field(static=True, default="paper")
    power: Literal[0, 1] = eqx.field(static=True, default=1)
    vertex: Callable[[Array], Array] | None = eqx.field(default=None, converter=_as_tree)
    dipole: Float[Array, ""] | float | None = None
    thresholds: Float[Array, " n"] | tuple[float, ...] = ()
    kappa9_e: Inexact[Array, ""] | complex | None = None
    kappa10_e: Inexact[Array, ""] | complex | None = None

    def __check_init__(self):
        """As `Contact.__check_init__`."""
        given = [name for name in KAPPAS if getattr(self, name) is not None]
        if len(given) == 3:
            raise RequestError("kappa9_e and kappa10_e of Resonance must be given together or not at all")
        for name in given:
            check_number(f"{name} of Resonance", getattr(self, name), is_complex=True)
        check_number("m_V of Resonance", self.m_V, positive="a mass in GeV")
        if not isinstance(self.width, RunningWidth):
            check_number("width of Resonance", self.width, least="a width in GeV")
        if not (self.vertex is None or callable(self.vertex)):
            raise RequestError(f"vertex of Resonance must be a function of q2 or None, got {self.vertex!r}")
        if self.dipole is not None:
            check_number("dipole of Resonance", self.dipole)
        one_of("bs_current of Resonance", self.bs_current, get_args(BsCurrent))
        if type(self.power) is not int or self.power not in (0, 1):
            raise RequestError(f"power of Resonance must be 0 or 1, got {self.power!r}")

    def numerator(self, q2: Float[Array, "*q2"] | float) -> Float[Array, "*q2"] | float:
        """q2^power at q2 (GeV^2): what kappa9 and kappa10 multiply."""
        return q2 if self.power == 1 else jnp.ones_like(q2)

    @property
    def kind(self) -> ResonanceKind:
        """Power of q2 in the numerator, what `bs_current` does to the timelike C_10, and whether there is a dipole."""
        return ResonanceKind(self.power, *_TAKEN[self.bs_current], self.dipole is not None)

    def longitudinal(self, q2: Float[Array, "*q2"] | float) -> tuple[Any, Any]:
        """What the longitudinal part of the propagator does to the timelike C_10 at q2 (GeV^2), Eq. (20).

        C_10(q2) (1 - a - b q2/m_V^2) is left of C_10(q2) = kappa10 numerator(q2) D, with a and b of `kind`.

        Returns:
            l = numerator (a/q2 + b/m_V^2), with which kappa10 l q2 D is taken from it, and the share 1 - l q2/numerator
            that is left, which vanishes on the pole exactly where a + b = 1.
        """
        s0, numerator, (power, a, b) = self.m_V**2, self.numerator(q2), self.kind[:3]
        l = numerator / s0 if b else 0.0 * numerator
        if a:
            l += q2 ** (power - 1)
        return l, (1 - a - b) + b * ((s0 - q2) / s0)

    @property
    def propagator(self) -> Propagator:
        """P(q2), GeV^-2."""
        return Propagator(self.m_V, self.width)

    @property
    def is_narrow_width_form(self) -> bool:
        """Whether it is Eq. (7) as printed, a real strength over q2 - m_V^2 + i m_V Gamma; known to the compiler."""
        return self.vertex is None and self.dipole is None and not isinstance(self.width, RunningWidth)

    def propagate(self, q2: Float[Array, "*q2"] | float) -> Complex[Array, "*q2"]:
        """F(q2) P(q2), vertex and propagator, at real q2, GeV^2."""
        P = self.propagator(q2)
        return P if self.vertex is None else self.vertex(q2) * P


class NewPhysics(eqx.Module):
    """Contact terms and a resonance; None leaves one out and costs nothing.

    Attributes:
        contact: of the muon.
        resonance: of the muon, and of the electron where it has strengths with that.
        contact_e: of the electron.

    Raises:
        RequestError: what is given is not a `Contact` and a `Resonance`.
    """

    contact: Contact | None = None
    resonance: Resonance | None = None
    contact_e: Contact | None = None

    def __check_init__(self):
        """As `Contact.__check_init__`."""
        for name, kind in (("contact", Contact), ("resonance", Resonance), ("contact_e", Contact)):
            part = getattr(self, name)
            if not isinstance(part, kind | None):
                raise RequestError(f"{name} of NewPhysics must be a {kind.__name__} or None, got {part!r}")

    def new_physics(self, sm) -> "NewPhysics":
        """Itself, so that an observable takes a model or a record alike."""
        return self

    @property
    def of_electrons(self) -> "NewPhysics | None":
        """What the electron feels, in place of the muon; None if that is nothing."""
        resonance = self.resonance
        if resonance is None or resonance.kappa9_e is None:
            return None if self.contact_e is None else NewPhysics(self.contact_e)
        strengths = (resonance.kappa9_e, resonance.kappa10_e, None, None)
        resonance = eqx.tree_at(
            lambda r: tuple(getattr(r, name) for name in KAPPAS), resonance, strengths, is_leaf=lambda x: x is None
        )
        return NewPhysics(self.contact_e, resonance)


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
    contacts, resonance = (physics.contact, physics.contact_e), physics.resonance
    if not any(map(jnp.iscomplexobj, jax.tree.leaves((contacts, _kappas(resonance))))):
        return physics, None
    return _part(physics, _real), _part(physics, _imaginary)


def _kappas(resonance: Resonance | None) -> tuple:
    return () if resonance is None else tuple(getattr(resonance, name) for name in KAPPAS)


def _part(physics: NewPhysics, part) -> NewPhysics:
    resonance = physics.resonance

    def of(contact: Contact | None) -> Contact | None:
        is_complex = any(map(jnp.iscomplexobj, jax.tree.leaves(contact)))
        return jax.tree.map(part, contact) if is_complex or part is _real else None

    if resonance is not None:
        given = [name for name in KAPPAS if getattr(resonance, name) is not None]
        parts = [part(getattr(resonance, name)) for name in given]
        resonance = eqx.tree_at(lambda r: [getattr(r, name) for name in given], resonance, parts)
    return NewPhysics(of(physics.contact), resonance, of(physics.contact_e))


def _real(value: Any) -> Any:
    return jnp.real(value) if jnp.iscomplexobj(value) else value


def _imaginary(value: Any) -> Any:
    """The number 0 for a real coupling, which is no term at all."""
    return jnp.imag(value) if jnp.iscomplexobj(value) else 0.0
