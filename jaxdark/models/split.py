"""Models of new physics: named parameters enter and are checked, one `NewPhysics` record leaves, Sec. 2.

A model of your own is a `Model` with two methods; every b -> s observable and (g-2) then works for it.
"""

import abc
from collections.abc import Iterator
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from jaxdark.inputs import StandardModel
from jaxdark.io.checks import check_number
from jaxdark.models.checks import float64, one_of, refuse_unknown, scalar, share_axis
from jaxdark.models.couplings import kappa9, kappa10
from jaxdark.models.loops import Scalar
from jaxdark.models.widths import width_total
from jaxdark.models.wilson import BsCurrent, Contact, NewPhysics, Resonance
from jaxdark.precision import require_x64, usual_rules

_NO_RESONANCE = Resonance(kappa9=0.0, kappa10=0.0, m_V=1.0, width=1.0)


class MuonVector(eqx.Module):
    """What (g-2) needs: mass of V in GeV and its vector and axial-vector coupling to muons, Eq. (6), in this order.

    Raises:
        RequestError: a value is not one finite real number, or the mass is not positive; values that are traced by
            JAX are not checked.
    """

    m_V: Scalar
    g_V: Scalar
    g_A: Scalar

    def __check_init__(self):
        """Check what the record holds; runs where one is written, not where JAX puts one together again."""
        check_number("m_V of MuonVector", self.m_V, positive="a mass in GeV")
        for name in ("g_V", "g_A"):
            check_number(f"{name} of MuonVector", getattr(self, name))

    def __iter__(self) -> Iterator[Scalar]:
        """Mass and couplings, to be unpacked."""
        return iter((self.m_V, self.g_V, self.g_A))


class Model(eqx.Module):
    """New physics in b -> s mu mu and (g-2) of the muon."""

    def __getstate__(self) -> dict[str, Any]:
        """Values as NumPy arrays, which another process reads in double precision whatever JAX is set to there."""
        return {name: _on_host(value) for name, value in self.__dict__.items()}

    @abc.abstractmethod
    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """Shifts of the muonic Wilson coefficients, contact terms and a resonance."""

    @abc.abstractmethod
    def muon_couplings(self) -> MuonVector | None:
        """The vector that enters (g-2) of the muon, None if there is none."""


def _on_host(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, jax.Array) and not isinstance(value, Tracer) else value


class SplitDarkSector(Model):
    """A point of the paper's model: light dark fermions chi, a heavy coloured scalar Phi, a mediator V, Sec. 2.2.

    Inside jit, vmap and grad the values are not checked. Batches are made by vmap over the construction.

    Args:
        m_V: mass of V, GeV.
        g_mu_V: vector coupling of V to muons.
        r_AV: axial over vector coupling of V to muons.
        g_D: dark gauge coupling.
        r: g_D Q_Phi y_s* y_b of each dark fermion, signed; one number for one fermion, else shape (n_chi,).
        m_chi: masses of the dark fermions, GeV, shape (n_chi,).
        m_Phi: mass of the coloured scalar, GeV.
        Q_Phi: dark charge of the scalar, Q_chi = -Q_Phi.
        bs_current: longitudinal part of the V exchange, see `jaxdark.models.wilson.BsCurrent`.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or a value is not a finite number of the right
            shape, or a mass is not positive.
    """

    m_V: Float[Array, ""]
    g_mu_V: Float[Array, ""]
    r_AV: Float[Array, ""]
    g_D: Float[Array, ""]
    r: Float[Array, "*n_chi"]
    m_chi: Float[Array, " n_chi"]
    m_Phi: Float[Array, ""]
    Q_Phi: Float[Array, ""]
    bs_current: BsCurrent = eqx.field(static=True)

    def __init__(
        self,
        *,
        m_V: ArrayLike,
        g_mu_V: ArrayLike,
        r_AV: ArrayLike,
        g_D: ArrayLike,
        r: ArrayLike,
        m_chi: ArrayLike | tuple[ArrayLike, ...] = (1e-3,),
        m_Phi: ArrayLike = 1000.0,
        Q_Phi: ArrayLike = 1.0,
        bs_current: BsCurrent = "paper",
        **unknown: object,
    ):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.m_V = scalar("m_V", m_V, positive="a mass in GeV")
        self.g_mu_V = scalar("g_mu_V", g_mu_V)
        self.r_AV = scalar("r_AV", r_AV)
        self.g_D = scalar("g_D", g_D)
        self.r = float64("r", r)
        self.m_chi = jnp.atleast_1d(float64("m_chi", m_chi, positive="a mass in GeV"))
        self.m_Phi = scalar("m_Phi", m_Phi, positive="a mass in GeV")
        self.Q_Phi = scalar("Q_Phi", Q_Phi)
        self.bs_current = one_of("bs_current", bs_current, get_args(BsCurrent))
        share_axis("chi", self.m_chi, self.r, "dark fermion")

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """C_9 and C_10 of Eq. (7) as one resonance with the constant total width of Eq. (9)."""
        return NewPhysics(
            resonance=Resonance(
                kappa9=kappa9(self, sm),
                kappa10=kappa10(self, sm),
                m_V=self.m_V,
                width=width_total(self, sm),
                bs_current=self.bs_current,
            )
        )

    def muon_couplings(self) -> MuonVector:
        """V with the couplings of Eq. (6)."""
        return MuonVector(self.m_V, self.g_mu_V, self.r_AV * self.g_mu_V)


DarkSector = SplitDarkSector


class ConstantWilson(Model):
    """New physics far above the b mass: real constant shifts of C_9 and C_10 of the muon, dimensionless."""

    C9: Float[Array, ""]
    C10: Float[Array, ""]

    def __init__(self, *, C9: ArrayLike = 0.0, C10: ArrayLike = 0.0, **unknown: object):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.C9 = scalar("C9", C9)
        self.C10 = scalar("C10", C10)

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """The two shifts as contact terms."""
        return NewPhysics(contact=Contact(C9=self.C9, C10=self.C10))

    def muon_couplings(self) -> None:
        """No vector: nothing is said about (g-2)."""
        return None


@usual_rules()
def c9(q2: Scalar, model: Model, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics part of C_9 of the muon at q2 (GeV^2), Eq. (7), dimensionless; that of the b quark, see `wilson`."""
    contact, resonance = _parts(model, sm)
    return contact.C9 + resonance.kappa9 * resonance.numerator(q2) * _propagator(q2, resonance)


@usual_rules()
def c10(q2: Scalar, model: Model, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics part of C_10 of the muon at q2 (GeV^2), Eq. (7) and (19), dimensionless."""
    contact, resonance = _parts(model, sm)
    return contact.C10 + resonance.kappa10 * resonance.numerator(q2) * _propagator(q2, resonance)


@usual_rules()
def c_p(q2: Scalar, model: Model, sm: StandardModel) -> Complex[Array, ""]:
    """New-physics C_P - C_P' of the muon at q2 (GeV^2), Eq. (20), dimensionless.

    That difference carries M_b + M_s and is what B_s -> mu mu and B -> K* mu mu see. With the conserved current it
    cancels the timelike part of C_10.
    """
    contact, resonance = _parts(model, sm)
    longitudinal = _longitudinal_numerator(q2, resonance)
    pseudoscalar = -2 * sm.m_mu * (sm.mb + sm.ms) * longitudinal * resonance.kappa10 * _propagator(q2, resonance)
    return contact.CP - contact.CPp + pseudoscalar


def _parts(model: Model, sm: StandardModel) -> tuple[Contact, Resonance]:
    new_physics = model.new_physics(sm)
    return new_physics.contact or Contact(), new_physics.resonance or _NO_RESONANCE


def _longitudinal_numerator(q2: Scalar, resonance: Resonance) -> Scalar:
    """The numerator of C_10 over q2 times its longitudinal share, which is q2/m_V^2, 0 or 1 (`BsCurrent`)."""
    if resonance.bs_current == "paper":
        return resonance.numerator(q2) / resonance.m_V**2
    if resonance.bs_current == "without_C_P":
        return 0.0
    return 1.0 if resonance.power == 1 else 1 / q2


def _propagator(q2: Scalar, resonance: Resonance) -> Complex[Array, ""]:
    m2, m_width = resonance.pole
    return 1 / (q2 - m2 + 1j * m_width)
