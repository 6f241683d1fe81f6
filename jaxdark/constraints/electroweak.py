"""Precision bounds of Sec. 3.2: neutrino trident production (27), Z -> mu mu, perturbativity and the Landau pole.

Inputs: a dark-sector point. Outputs: cross-section ratios, shifts and couplings against their limits.
Limits: data/limits/precision.yaml.
"""

from functools import cache, partial
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import spence
from jaxtyping import Array, Float
from scipy.special import exp1

from jaxdark.constraints.limit import (
    WITH_A_VECTOR,
    Constraint,
    LimitResult,
    WithAVector,
    interval,
    upper_limit,
    without_limit,
)
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.loops import Scalar
from jaxdark.models.split import SplitDarkSector, perturbativity_gauge, perturbativity_yukawa

_PHI_IN_DIRAC_FERMIONS = 3 * 2 / 4
_PLANCK_MASS = 1.22e19  # GeV
_LEAST_CHARGE2 = 1e-3
"""Stands in for a smaller (g_D Q)^2, of which it takes a thousand chi to bring the pole below the Planck mass."""


def trident_limit(m_V: Scalar) -> Float[Array, ""]:
    """Largest coupling of V to muon neutrinos, Eq. (27), dimensionless: 0.002 m_V/GeV, and 0.001 below 1 GeV."""
    bound = _trident()["bound"]
    return jnp.where(m_V < bound["floor_below_GeV"], bound["floor"], bound["slope"] * m_V)


def trident(model: WithAVector, sm: StandardModel, g_nu: Scalar = 0.0) -> LimitResult:
    """Coupling to muon neutrinos against neutrino trident production, Eq. (27), dimensionless.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        g_nu: coupling of V to left-handed muon neutrinos, 0 in the paper's model; the dashed line of Fig. 4 and 5 is
            g_nu = model.g_mu_V.
    """
    return upper_limit(g_nu, trident_limit(model.muon_couplings().m_V))


def trident_ccfr(model: WithAVector, sm: StandardModel, g_nu: Scalar = 0.0) -> LimitResult:
    """Trident cross section over the Standard Model's against the two-sigma interval of CCFR; g_nu as in `trident`."""
    value, error = _ccfr()["value"], _ccfr()["error"]
    return interval(trident_ratio(model, sm, g_nu), value - 2 * error, value + 2 * error)


def trident_ratio(model: WithAVector, sm: StandardModel, g_nu: Scalar = 0.0) -> Float[Array, ""]:
    """Cross section of nu_mu N -> nu_mu N mu mu with W, Z and V over that with W and Z, dimensionless.

    At each squared momentum K2 that the neutrino gives away, exchange of V shifts C_V = 1/2 + 2 sin^2(theta_W) and
    C_A = 1/2 by v^2 g_nu g_mu^V/(m_V^2 + K2) and -v^2 g_nu g_mu^A/(m_V^2 + K2), arXiv:1406.2332. The distribution of
    K2 is that of real photons on muons of their mass, photons equivalent to the field of an iron nucleus, neutrinos
    of 160 GeV. Heavy V: the closed form of arXiv:1406.2332, Eq. (11).

    What is neglected: the spread of the beam, incoherent scattering, cuts on the muons, and what the muon mass does to
    the axial current, 5 per cent of its part of the cross section at s = 10 GeV^2; below M_mu an axial coupling does
    more than is said here.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        g_nu: coupling of V to left-handed muon neutrinos.
    """
    K2, weights = _momentum_transfer()
    m_V, g_V, g_A = model.muon_couplings()
    shift = g_nu / (np.sqrt(2) * sm.GF * (m_V**2 + K2))
    C_V, C_A = 1 / 2 + 2 * sm.sin2_thetaW, 1 / 2
    changed = (C_V + shift * g_V) ** 2 + (C_A - shift * g_A) ** 2
    return jnp.sum(weights * changed) / (C_V**2 + C_A**2)


class _Distribution(NamedTuple):
    """Nodes, GeV^2, and weights that add up to 1."""

    nodes: Float[np.ndarray, " K2"]
    weights: Float[np.ndarray, " K2"]


@cache
def _momentum_transfer() -> _Distribution:
    """Distribution of K2 in the Standard Model at CCFR.

    Trapezoidal rule in ln K2: the propagator's pole lies pi off the axis, hence an error of exp(-2 pi^2/step). Inside,
    Gauss-Legendre in ln s and in the rapidity u of the muons, whose pair has the squared mass W2 = 4 m^2 cosh^2 u.
    """
    beam, m2 = _trident()["beam"], read_data("inputs.yaml")["inputs"]["m_mu"]["value"] ** 2
    radius = beam["radius_fm"] * beam["A"] ** (1 / 3) / beam["hbar_c_GeV_fm"]
    # The form factor leaves exp(-40) beyond the largest s.
    ln_s_max = np.log(2 * beam["E_nu"] * np.sqrt(200) / radius)
    ln_K2 = np.arange(-32.0, ln_s_max, 0.5)
    K2 = np.exp(ln_K2)[:, None, None]
    x, w = np.polynomial.legendre.leggauss(64)
    x, w = (x + 1) / 2, w / 2
    ln_s_min = np.log(K2 + 4 * m2)
    s = np.exp(ln_s_min + (ln_s_max - ln_s_min) * x[:, None])
    u_max = np.arccosh(np.sqrt(np.maximum((s - K2) / (4 * m2), 1.0)))
    u = u_max * x
    W2 = 4 * m2 * np.cosh(u) ** 2
    # With dln s the flux of equivalent photons, int dq^2/q^2 exp(-a^2 q^2/5) from (s/2E)^2 on.
    flux = (ln_s_max - ln_s_min) * exp1((radius * s / (2 * beam["E_nu"])) ** 2 / 5)
    per_W2 = _photon_dissociation(K2, W2, s, u, m2) * u_max * np.sinh(2 * u)
    weights = K2[:, 0, 0] * np.einsum("ksu,s,u->k", flux * per_W2, w, w)
    return _Distribution(K2[:, 0, 0], weights / weights.sum())


def _photon_dissociation(K2: np.ndarray, W2: np.ndarray, s: np.ndarray, u: np.ndarray, m2: float) -> np.ndarray:
    """Shape of d sigma/(d K2 d W2) of nu gamma -> nu mu mu by contact interaction.

    Its integral is 2 G_F^2 alpha s/(9 pi^2) (C_V^2 + C_A^2)/2 (ln(s/m^2) - 8/3) for s >> m^2, for either current: the
    traces of Dirac matrices give -8/3 as well, where arXiv:1406.2332 is said to have -19/6 (unverified), which
    would make 8 per cent less at s = 100 GeV^2. Only the shape in K2 matters for `trident_ratio`.

    That is deep inelastic scattering on a photon, whose structure functions F_2, F_L into muons of rapidity u are
    known: Budnev et al., Phys. Rept. 15 (1975) 181; Nisius, hep-ex/9912049.
    """
    x, r, beta, y = K2 / (K2 + W2), m2 / (K2 + W2), np.tanh(u), (K2 + W2) / s
    splitting = x**2 + (1 - x) ** 2 + 4 * (1 - 3 * x) * r - 8 * r**2
    F_2 = x * (splitting * 2 * u + beta * (-1 + 8 * x * (1 - x) - 4 * (1 - x) * r))
    F_L = 4 * x**2 * (beta * (1 - x) - 4 * r * u)
    return ((1 + (1 - y) ** 2) * F_2 - y**2 * F_L) / (K2 + W2)


def z_mumu_shift(model: WithAVector, sm: StandardModel) -> Float[Array, ""]:
    """Relative change of the width of Z -> mu mu by the one-loop exchange of V between the muons, dimensionless.

    2/(16 pi^2) Lambda_2(m_Z^2) times the mean of (g_mu^V -+ g_mu^A)^2 over the widths into left- and right-handed
    muons, g_L = -1/2 + sin^2(theta_W) and g_R = sin^2(theta_W). The virtual part for muons without mass, M_mu << m_V.
    For light V its double logarithm is large and cancels against the radiation of V, so it bounds what an experiment
    that does not count mu mu V would see.
    """
    m_V, g_V, g_A = model.muon_couplings()
    loop = vertex_loop((m_V / _z_mumu()["m_Z"]["value"]) ** 2)
    left, right = -1 / 2 + sm.sin2_thetaW, sm.sin2_thetaW
    mean = ((left * (g_V - g_A)) ** 2 + (right * (g_V + g_A)) ** 2) / (left**2 + right**2)
    return 2 * mean / (16 * jnp.pi**2) * loop


def vertex_loop(w: Scalar) -> Float[Array, ""]:
    """Real part of the vertex function Lambda_2 at s = m_V^2/w for fermions without mass, dimensionless.

    A coupling g_f gets the factor 1 + g_V^2/(16 pi^2) Lambda_2; W. Hollik, Fortschr. Phys. 38 (1990) 165. It vanishes
    like 1/w for heavy V; cancellations leave 1e-15 w^2 of absolute accuracy there.
    """
    dilogarithm = jnp.pi**2 / 3 - jnp.log1p(1 / w) ** 2 / 2 - spence(1 / (1 + w))
    return -7 / 2 - 2 * w - (2 * w + 3) * jnp.log(w) + 2 * (1 + w) ** 2 * (dilogarithm - jnp.pi**2 / 6)


def perturbative_g_D(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """g_D against sqrt(4 pi), Sec. 2.2."""
    bound = perturbativity_gauge(model)
    return upper_limit(bound.value, bound.limit)


def perturbative_yukawas(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """The largest y_s^i* y_b^i = r_i/(g_D Q_Phi) against 4 pi; out of any proportion, but finite, at g_D Q_Phi = 0."""
    none = model.g_D * model.Q_Phi == 0
    charge = (jnp.where(none, 1e-30, model.g_D), jnp.where(none, 1.0, model.Q_Phi))
    bound = perturbativity_yukawa(eqx.tree_at(lambda m: (m.g_D, m.Q_Phi), model, charge))
    products = jnp.atleast_1d(bound.value)
    return upper_limit(products[jnp.argmax(jnp.abs(products))], bound.limit)


def log_landau_pole(model: SplitDarkSector) -> Float[Array, ""]:
    """ln(mu/GeV) of the scale mu at which the one-loop g_D diverges; g_D is the coupling at m_V.

    1/g_D^2(mu) = 1/g_D^2 - sum_f n_f Q_f^2 ln(mu/mu_f)/(6 pi^2) over mu_f < mu: a chi counts n = 1 from mu_f =
    max(m_chi, m_V) on, since at and below m_V g_D is what it is; Phi, six complex scalars of 1/4 each, n = 3/2 from
    max(m_Phi, m_V) on. Muons are left out, as g_mu << g_D, and so is what gives V its mass. A pole beyond
    the Planck mass is put there.
    """
    masses = jnp.append(model.m_chi, model.m_Phi)
    starts = jnp.log(jnp.maximum(masses, model.m_V))
    order = jnp.argsort(starts)
    n = jnp.append(jnp.ones_like(model.m_chi), _PHI_IN_DIRAC_FERMIONS)[order]
    charge2 = jnp.maximum((model.g_D * model.Q_Phi) ** 2, _LEAST_CHARGE2)
    # The sum over the open channels is the largest of those over the lowest few: so the pole is the nearest of theirs.
    poles = (6 * jnp.pi**2 / charge2 + jnp.cumsum(n * starts[order])) / jnp.cumsum(n)
    return jnp.minimum(jnp.min(poles), np.log(_PLANCK_MASS))


def largest_g_D(model: SplitDarkSector) -> Float[Array, ""]:
    """g_D at m_V whose Landau pole lies at m_Phi, dimensionless; infinite if no chi runs below m_Phi.

    g_D^2 Q^2 = 6 pi^2/sum_i ln(m_Phi/max(m_chi_i, m_V)) over what is positive.
    """
    logs = jnp.log(model.m_Phi / jnp.maximum(model.m_chi, model.m_V))
    total = jnp.sum(jnp.maximum(logs, 0.0))
    runs = (total > 0) & (model.Q_Phi != 0)
    safe = jnp.where(runs, total, 1.0), jnp.where(runs, jnp.abs(model.Q_Phi), 1.0)
    return jnp.where(runs, jnp.sqrt(6 * jnp.pi**2 / safe[0]) / safe[1], jnp.inf)


def landau_pole(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """The one-loop Landau pole of g_D in GeV against m_Phi, below which it must not lie: ratio m_Phi/pole.

    The model without further fields ends there, so its loops of Phi need the pole above m_Phi.
    """
    log_pole = log_landau_pole(model)
    return LimitResult(jnp.exp(log_pole), model.m_Phi, jnp.exp(jnp.log(model.m_Phi) - log_pole))


def _trident() -> dict:
    return read_data("limits/precision.yaml")["neutrino_trident"]


def _ccfr() -> dict:
    return next(row for row in _trident()["ratios_to_SM"] if row["id"] == "CCFR")


def _z_mumu() -> dict:
    return read_data("limits/precision.yaml")["z_mumu"]


def constraints(g_nu_over_g_mu_V: float | None = None) -> tuple[Constraint, ...]:
    """Constraints of this module.

    Args:
        g_nu_over_g_mu_V: coupling of V to muon neutrinos over the one to muons. None: tridents are shown for equal
            couplings, like the line in Fig. 4 and 5, but count for nothing, as the model leaves the neutrinos alone.
    """
    paper, ccfr = _trident()["bound"], _ccfr()
    perturbativity = "arXiv:2002.11150, Sec. 2.2"
    ratio, asked = (1.0, False) if g_nu_over_g_mu_V is None else (g_nu_over_g_mu_V, True)

    def trident_here(model: WithAVector, sm: StandardModel) -> LimitResult:
        return trident(model, sm, ratio * model.muon_couplings().g_V)

    def ccfr_here(model: WithAVector, sm: StandardModel) -> LimitResult:
        return trident_ccfr(model, sm, ratio * model.muon_couplings().g_V)

    def z_mumu(model: WithAVector, sm: StandardModel) -> LimitResult:
        return without_limit(z_mumu_shift(model, sm))

    entry, dark = (partial(Constraint, models=models) for models in (WITH_A_VECTOR, SplitDarkSector))
    return (
        entry("neutrino_trident", trident_here, paper["reference"], applied=asked),
        entry("neutrino_trident_CCFR", ccfr_here, ccfr["reference"], cl=0.9545, applied=asked),
        entry("Z_mumu_width_shift", z_mumu, _z_mumu()["reference"]),
        dark("perturbativity_g_D", perturbative_g_D, perturbativity, applied=False),
        dark("perturbativity_y_s_y_b", perturbative_yukawas, perturbativity, applied=False),
        dark("landau_pole", landau_pole, "one-loop running of g_D", unit="GeV", applied=False),
    )
