"""The paper's model, Sec. 2.2: light dark fermions, a heavy coloured scalar and a mediator V.

Inputs: masses and couplings of Table 1. Outputs: g_tilde of the penguin loop, kappa_9 and kappa_10 of Eq. (7), the
widths of V of Eq. (9), and one `NewPhysics` record.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Inexact

from jaxdark.choices import PhysicsName
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.base import PERTURBATIVE, Bound, Model, MuonVector
from jaxdark.models.checks import check_truth, float64, refuse_unknown, scalar, share_axis
from jaxdark.models.coefficients import tree_level
from jaxdark.models.loops import Scalar, penguin_loop
from jaxdark.models.propagator import Propagator, RunningWidth, pole_width
from jaxdark.models.switches import Loop, Switches, WidthScheme, switches_of
from jaxdark.models.vertex import Vertex, eta7
from jaxdark.models.widths import width_fermions
from jaxdark.models.wilson import BsCurrent, NewPhysics, Resonance
from jaxdark.precision import require_x64, usual_rules

_NO_CHARGE = 1e-30
"""Stands in for a dark charge of zero: products of Yukawa couplings are then huge, but no NaN."""
_SAME = 1e-6
"""Relative difference up to which y_s y_b are those of r."""


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
        y_s, y_b: Yukawa couplings of each dark fermion, both or neither, shape (n_chi,), with y_s y_b = r/(g_D Q_Phi).
            The products alone fix all but D mixing and pairs of different fermions.
        g_e_V, g_e_A, g_tau_V, g_tau_A: couplings of V to electrons and taus; left out, there are none of that lepton.
        lepton_universal: whether electrons and taus have the couplings of the muon.
        physics: "complete" for the leading order or "paper" for the formulas as printed, see `jaxdark.models.switches`.
        loop, tree, dipole, eta7, bs_current, width, photon_penguin, mixing_transverse: single switches in place of
            those of `physics`, see `jaxdark.models.switches.Switches`.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or a value is not a finite number of the right
            shape, or a mass is not positive (that of a dark fermion may be 0 in the exact loop), or y_s and y_b are
            not those of r, or two switches contradict each other, or couplings are given of a universal V.
    """

    m_V: Float[Array, ""]
    g_mu_V: Float[Array, ""]
    r_AV: Float[Array, ""]
    g_D: Float[Array, ""]
    r: Float[Array, "*n_chi"]
    m_chi: Float[Array, " n_chi"]
    m_Phi: Float[Array, ""]
    Q_Phi: Float[Array, ""]
    y_s: Float[Array, " n_chi"] | None
    y_b: Float[Array, " n_chi"] | None
    g_e_V: Float[Array, ""] | None
    g_e_A: Float[Array, ""] | None
    g_tau_V: Float[Array, ""] | None
    g_tau_A: Float[Array, ""] | None
    lepton_universal: bool = eqx.field(static=True)
    switches: Switches = eqx.field(static=True)

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
        y_s: ArrayLike | tuple[ArrayLike, ...] | None = None,
        y_b: ArrayLike | tuple[ArrayLike, ...] | None = None,
        g_e_V: ArrayLike | None = None,
        g_e_A: ArrayLike | None = None,
        g_tau_V: ArrayLike | None = None,
        g_tau_A: ArrayLike | None = None,
        lepton_universal: bool = False,
        physics: PhysicsName = "complete",
        loop: Loop | None = None,
        tree: bool | None = None,
        dipole: bool | None = None,
        eta7: float | None = None,
        bs_current: BsCurrent | None = None,
        width: WidthScheme | None = None,
        photon_penguin: bool | None = None,
        mixing_transverse: bool | None = None,
        **unknown: object,
    ):
        """Check the values and convert them to double precision."""
        require_x64()
        refuse_unknown(unknown, type(self))
        self.switches = switches_of(
            physics, loop=loop, tree=tree, dipole=dipole, eta7=eta7, bs_current=bs_current, width=width,
            photon_penguin=photon_penguin, mixing_transverse=mixing_transverse,
        )  # fmt: skip
        self.m_V = scalar("m_V", m_V, positive="a mass in GeV")
        self.g_mu_V = scalar("g_mu_V", g_mu_V)
        self.r_AV = scalar("r_AV", r_AV)
        self.g_D = scalar("g_D", g_D)
        self.r = float64("r", r)
        with jax.ensure_compile_time_eval():  # masses that are known stay so to whoever traces the model
            self.m_chi = jnp.atleast_1d(self._checked_masses(m_chi))
        self.m_Phi = scalar("m_Phi", m_Phi, positive="a mass in GeV")
        self.Q_Phi = scalar("Q_Phi", Q_Phi)
        share_axis("chi", self.m_chi, self.r, "dark fermion")
        self.y_s, self.y_b = self._checked_yukawas(y_s, y_b)
        self.lepton_universal = check_truth("lepton_universal", lepton_universal)
        self.g_e_V, self.g_e_A = self._checked_couplings("g_e", g_e_V, g_e_A)
        self.g_tau_V, self.g_tau_A = self._checked_couplings("g_tau", g_tau_V, g_tau_A)

    def _checked_couplings(self, name: str, g_V, g_A) -> tuple[Float[Array, ""] | None, Float[Array, ""] | None]:
        """Both couplings of a lepton, one that is left out being 0, or neither."""
        if g_V is None and g_A is None:
            return None, None
        if self.lepton_universal:
            raise RequestError(
                f"with lepton_universal {name}_V and {name}_A are the muon's, got others too; leave one of the two out"
            )
        return scalar(f"{name}_V", 0.0 if g_V is None else g_V), scalar(f"{name}_A", 0.0 if g_A is None else g_A)

    def _checked_masses(self, m_chi) -> Float[Array, "..."]:
        """In print the loop diverges for massless fermions; the exact one has a limit."""
        if self.switches.loop == "printed":
            return float64("m_chi", m_chi, positive="a mass in GeV")
        return float64("m_chi", m_chi, least="a mass in GeV")

    def _checked_yukawas(self, y_s, y_b) -> tuple[Float[Array, " n_chi"] | None, Float[Array, " n_chi"] | None]:
        """Both couplings, or neither; of values that JAX traces the products are not checked."""
        if y_s is None and y_b is None:
            return None, None
        if y_s is None or y_b is None:
            raise RequestError("y_s and y_b must be given together or not at all")
        y_s, y_b = (jnp.atleast_1d(float64(name, y)) for name, y in (("y_s", y_s), ("y_b", y_b)))
        if y_s.shape != self.m_chi.shape or y_b.shape != self.m_chi.shape:
            raise RequestError(
                f"y_s and y_b must have one value per dark fermion, got shapes {y_s.shape} and {y_b.shape} for "
                f"{self.m_chi.size} of them"
            )
        given, r = self.g_D * self.Q_Phi * y_s * y_b, jnp.broadcast_to(self.r, y_s.shape)
        if not isinstance(given + r, Tracer) and bool(jnp.any(jnp.abs(given - r) > _SAME * jnp.abs(r))):
            wanted, got = (", ".join(f"{value:.6g}" for value in values) for values in (r, given))
            raise RequestError(f"g_D Q_Phi y_s y_b must be r, which is {wanted}, got {got}; leave one of the two out")
        return y_s, y_b

    @property
    def physics(self) -> str:
        """The switches in words, such as "complete" or "paper tree=True"."""
        return self.switches.name

    @property
    def vertex(self) -> Vertex:
        """g_tilde(q2) and d_tilde of the b s V vertex, by the switch `loop`."""
        return Vertex(jnp.broadcast_to(self.r, self.m_chi.shape), self.m_chi, self.m_Phi, self.switches.loop)

    @property
    def dipole(self) -> Float[Array, ""]:
        """eta7 d_tilde of the b s V vertex at the scale of m_b, GeV^-2; 0 where the switch is off."""
        if not self.switches.dipole:
            return jnp.zeros(())
        running = eta7(self.m_Phi) if self.switches.eta7 is None else self.switches.eta7
        return running * self.vertex.dipole

    def propagator(self, sm: StandardModel) -> Propagator:
        """Propagator of V with the width that the switch `width` means."""
        return Propagator(self.m_V, self._width(sm))

    def _width(self, sm: StandardModel) -> RunningWidth | Float[Array, ""]:
        if self.switches.width == "constant":
            return width_total(self, sm)
        dark = jnp.broadcast_to((self.g_D * self.Q_Phi) ** 2, self.m_chi.shape)
        nothing = jnp.zeros_like(dark)
        has_real_part = self.switches.width == "dispersive"
        vector, dispersive = (nothing, dark) if has_real_part else (dark, nothing)
        leptons = self.lepton_couplings()
        g_V, g_A = (jnp.stack(couplings) for couplings in zip(*leptons.values(), strict=True))
        with jax.ensure_compile_time_eval():
            mass = jnp.concatenate([self.m_chi, jnp.stack([jnp.asarray(getattr(sm, f"m_{l}")) for l in leptons])])
        return RunningWidth(
            mass=mass,
            vector=jnp.concatenate([vector, g_V**2]),
            axial=jnp.concatenate([nothing, g_A**2]),
            dispersive=jnp.concatenate([dispersive, jnp.zeros_like(g_V)]),
            has_real_part=has_real_part,
        )

    def lepton_couplings(self) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
        """Vector and axial-vector coupling to each charged lepton that V couples to, the muon's, Eq. (6), first."""
        muon = self.g_mu_V, self.r_AV * self.g_mu_V
        if self.lepton_universal:
            return dict.fromkeys(("mu", "e", "tau"), muon)
        others = {"e": (self.g_e_V, self.g_e_A), "tau": (self.g_tau_V, self.g_tau_A)}
        given = {name: (g_V, g_A) for name, (g_V, g_A) in others.items() if g_V is not None and g_A is not None}
        return {"mu": muon} | given

    def new_physics(self, sm: StandardModel) -> NewPhysics:
        """C_9 and C_10 as one resonance: Eq. (7) with the constant total width of Eq. (9), or what the switches say.

        With the exact vertex C_9(q2) = (4 pi N/alpha) g_mu^V g_tilde(q2) q2 P(q2), C_10 with g_mu^A, and the dipole's
        C_7 = (2 pi N/alpha) eta7 d_tilde g_mu^V q2 P(q2) in the vector and with g_mu^A in the axial current. Electrons
        likewise, with their couplings.
        """
        width, bs_current = self._width(sm), self.switches.bs_current
        with jax.ensure_compile_time_eval():
            thresholds = 4 * self.m_chi**2
            if "tau" in self.lepton_couplings():
                thresholds = jnp.append(thresholds, 4 * jnp.square(sm.m_tau))
        electron = self.lepton_couplings().get("e")
        if self.switches.loop == "printed" and not self.switches.dipole:
            strengths = {"kappa9": kappa9(self, sm), "kappa10": kappa10(self, sm)}
            if electron is not None:
                per_coupling = tree_level(sm) * g_tilde(self)
                strengths |= {"kappa9_e": per_coupling * electron[0], "kappa10_e": per_coupling * electron[1]}
            strengths |= {"m_V": self.m_V, "width": width, "bs_current": bs_current}
            if self.switches.width == "constant":
                return NewPhysics(resonance=Resonance(**strengths))
            return NewPhysics(resonance=Resonance(**strengths, thresholds=thresholds))
        tree = tree_level(sm)
        vector = tree * self.g_mu_V
        return NewPhysics(
            resonance=Resonance(
                kappa9=vector,
                kappa10=self.r_AV * vector,
                kappa9_e=None if electron is None else tree * electron[0],
                kappa10_e=None if electron is None else tree * electron[1],
                m_V=self.m_V,
                width=width,
                bs_current=bs_current,
                vertex=self.vertex,
                dipole=self.dipole / 2 if self.switches.dipole else None,
                thresholds=thresholds,
            )
        )

    def muon_couplings(self) -> MuonVector:
        """V with the couplings of Eq. (6)."""
        return MuonVector(self.m_V, self.g_mu_V, self.r_AV * self.g_mu_V)


DarkSector = SplitDarkSector


@usual_rules()
def g_tilde(model: SplitDarkSector) -> Float[Array, ""]:
    """Coupling of V to sbar gamma_mu P_L b per q2 as printed, Eq. (11), GeV^-2; the sign is that of r.

    Whatever the switches: the exact one, which depends on q2, is `SplitDarkSector.vertex`.

    sum_i r_i [F9(x_i) + G9(x_i)]/(32 pi^2 m_Phi^2) with x_i = m_chi_i^2/m_Phi^2.
    """
    loops = jax.vmap(penguin_loop)((model.m_chi / model.m_Phi) ** 2)
    return jnp.sum(model.r * loops) / (32 * jnp.pi**2 * model.m_Phi**2)


def g_Vbs(q2: Scalar, model: SplitDarkSector) -> Inexact[Array, ""]:
    """Coupling of V to sbar gamma_mu P_L b at q2 (GeV^2), g_tilde q2 of Eq. (11), dimensionless; complex if exact."""
    if model.switches.loop == "printed":
        return g_tilde(model) * q2
    return model.vertex(q2) * q2


def kappa9(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Strength of C_9(q2) = kappa9 q2/(q2 - m_V^2 + i m_V Gamma_V), Eq. (7), dimensionless.

    kappa9 = (4 pi N/alpha) g_tilde g_mu^V with N of Eq. (8) and g_tilde of Eq. (11).
    """
    return tree_level(sm) * g_tilde(model) * model.g_mu_V


def kappa10(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Strength of C_10(q2), Eq. (7) with the axial coupling, kappa10 = (4 pi N/alpha) g_tilde g_mu^A, dimensionless."""
    return model.r_AV * kappa9(model, sm)


def width_chichi(model: SplitDarkSector, sm: StandardModel, s: Scalar | None = None) -> Float[Array, " n_chi"]:
    """Partial widths of V into each dark fermion, Eq. (9), GeV, shape (n_chi,).

    m_V/(12 pi) beta_i (1 + 2 m_chi_i^2/m_V^2) g_D^2 Q_chi^2 with beta_i^2 = 1 - 4 m_chi_i^2/m_V^2; 0 below threshold.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs (not used: every width takes the same arguments).
        s: squared invariant mass of the pair, GeV^2; m_V^2 unless given, as Eq. (22) needs off the mass shell.
    """
    s, mass = (model.m_V**2, model.m_V) if s is None else (s, None)
    return width_fermions(s, model.m_chi, model.g_D * model.Q_Phi, 0.0, mass)


def width_mumu(model: SplitDarkSector, sm: StandardModel, s: Scalar | None = None) -> Float[Array, ""]:
    """Partial width of V into muons, Eq. (9), GeV; s as in `width_chichi`.

    m_V/(12 pi) [beta (1 + 2 M_mu^2/m_V^2) (g_mu^V)^2 + beta^3 (g_mu^A)^2] with beta^2 = 1 - 4 M_mu^2/m_V^2.
    """
    g_V = model.g_mu_V
    s, mass = (model.m_V**2, model.m_V) if s is None else (s, None)
    return width_fermions(s, jnp.asarray(sm.m_mu), g_V, model.r_AV * g_V, mass)


def width_leptons(model: SplitDarkSector, sm: StandardModel, s: Scalar | None = None) -> Float[Array, ""]:
    """Partial width of V into all charged leptons that it couples to, GeV; each is that of `width_mumu`."""
    s, mass = (model.m_V**2, model.m_V) if s is None else (s, None)
    couplings = model.lepton_couplings().items()
    return sum(
        (width_fermions(s, jnp.asarray(getattr(sm, f"m_{name}")), g_V, g_A, mass) for name, (g_V, g_A) in couplings),
        jnp.zeros(()),
    )


@usual_rules()
def width_total(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Total width of V, Eq. (9), sum of `width_chichi` and `width_leptons`, GeV; 0 when every channel is closed."""
    check_inputs(sm)
    return jnp.sum(width_chichi(model, sm)) + width_leptons(model, sm)


def m_gamma(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """m_V Gamma_V of the propagators in Eqs. (7) and (22), GeV^2, never 0: see `propagator.pole_width`."""
    return pole_width(model.m_V, width_total(model, sm))


def width_running(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Total width Gamma_V(s) of a V of squared mass s (GeV^2), GeV: Eq. (9) with m_V replaced by sqrt(s)."""
    return jnp.sum(width_chichi(model, sm, s)) + width_leptons(model, sm, s)


def br_chichi(model: SplitDarkSector, sm: StandardModel) -> Float[Array, " n_chi"]:
    """Branching ratios of V into each dark fermion from Eq. (9), dimensionless, shape (n_chi,); 0 without decays."""
    return _ratio(width_chichi(model, sm), width_total(model, sm))


def br_mumu(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Branching ratio of V into muons from Eq. (9), dimensionless; 0 when V cannot decay."""
    return _ratio(width_mumu(model, sm), width_total(model, sm))


def _ratio(part: Float[Array, "*axes"], total: Float[Array, ""]) -> Float[Array, "*axes"]:
    return part / jnp.where(total > 0, total, 1.0)


def yukawa_products(model: SplitDarkSector) -> Float[Array, " n_chi"]:
    """y_s^i* y_b^i = r_i/(g_D Q_Phi), dimensionless, shape (n_chi,); without a dark charge 1e30 r_i."""
    charge = model.g_D * model.Q_Phi
    has_charge = jnp.abs(charge) > _NO_CHARGE
    return jnp.atleast_1d(model.r) / jnp.where(has_charge, charge, _NO_CHARGE)


def perturbativity_gauge(model: SplitDarkSector) -> Bound:
    """g_D against sqrt(4 pi), Sec. 2.2, dimensionless."""
    return Bound(model.g_D, PERTURBATIVE)


def perturbativity_yukawa(model: SplitDarkSector) -> Bound:
    """y_s^i* y_b^i = r_i/(g_D Q_Phi) against 4 pi, Sec. 2.2, in the shape of r; infinite without a gauge coupling."""
    return Bound(model.r / (model.g_D * model.Q_Phi), 4 * np.pi)
