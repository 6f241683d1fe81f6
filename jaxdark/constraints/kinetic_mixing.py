"""Kinetic mixing of V with the photon, Eq. (28), against searches for dark photons, Sec. 3.2.

Inputs: a dark-sector point. Outputs: epsilon, the shares of the decays of V, verdicts. Limits: limits/dark_photon.yaml.
The searches took V to be narrow and their final state to be its only decay: epsilon^2 BR is what they limit.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.constraints.limit import Constraint, LimitResult, without_limit
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.loops import Scalar
from jaxdark.models.split import SplitDarkSector, width_chichi
from jaxdark.models.widths import width_fermions

# Colours, components and hypercharge of Phi, Sec. 2.2.
_PHI = 3 * 2 * (1 / 6)

Column = Literal["best", "median", "weakest"]


def epsilon(
    model: SplitDarkSector, sm: StandardModel, *, muons: bool = False, g_nu: Scalar = 0.0, log: Scalar = 1.0
) -> Scalar:
    """Kinetic mixing of V and the photon from Phi with g_Y cos(theta_W) = e(0), dimensionless.

    As printed in Eq. (28), with the switch `loop`: e/(12 pi^2) (sum_fermions N_3 Y Q g_D + 1/8 sum_scalars N_3 Y Q
    g_D), where Phi is two scalars of N_3 = 3, Y = 1/6: 9.59e-4 Q_Phi (g_D/3); Eq. (29) rounds to 8e-4.

    With the exact loop `epsilon_exact`, twice that for a logarithm of one.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs (not used: every prediction takes the same arguments).
        muons: add the muon and its neutrino to the sum, which Eq. (29) leaves out for g_mu << g_D. They count against
            Phi: the sum is g_D Q_Phi/8 - 3/2 g_mu^V - 1/2 g_mu^A - 1/2 g_nu. As Eq. (28) is without logarithms of
            the masses, which are large for muons, their relative size is a guess.
        g_nu: coupling of V to left-handed muon neutrinos.
        log: ln(Lambda^2/m_Phi^2) of the exact loop.
    """
    if model.switches.loop == "exact":
        return epsilon_exact(model, sm, muons=muons, g_nu=g_nu, log=log)
    return _e() / (12 * jnp.pi**2) * _charges(model, 1 / 8, 1.0, muons, g_nu)


def epsilon_exact(
    model: SplitDarkSector, sm: StandardModel, *, muons: bool = False, g_nu: Scalar = 0.0, log: Scalar = 1.0
) -> Scalar:
    """Kinetic mixing of V and the photon by one loop, dimensionless; arguments as in `epsilon`, whatever the switches.

    e/(12 pi^2) (1/2 sum_Weyl N_3 Y Q g_D + 1/4 sum_scalars N_3 Y Q g_D) ln(Lambda^2/m^2): a complex scalar counts a
    quarter of a Dirac fermion, as in every beta function, where Eq. (28) has 1/8; 1.92e-3 Q_Phi (g_D/3) per logarithm.
    Lambda, where further charged fields cut the logarithm off, is not the model's to say: hence a logarithm of one. The
    one of the muons is larger by ln(m_Phi^2/M_mu^2) = 18 at 1 TeV, which is left out.
    """
    return _e() / (12 * jnp.pi**2) * _charges(model, 1 / 4, 1 / 2, muons, g_nu) * log


def _charges(model: SplitDarkSector, scalar: float, weyl: float, muons: bool, g_nu: Scalar) -> Scalar:
    """Weighted sum of N_3 Y Q g_D over Phi and, if asked, the left- and right-handed muon and the neutrino."""
    charges = scalar * _PHI * model.g_D * model.Q_Phi
    if muons:
        g_V, g_A = model.g_mu_V, model.r_AV * model.g_mu_V
        charges = charges - weyl * (g_V - g_A) / 2 - weyl * (g_V + g_A) - weyl * g_nu / 2
    return charges


def _e() -> float:
    return np.sqrt(4 * np.pi * read_data("limits/dark_photon.yaml")["couplings"]["alpha_em_0"]["value"])


class Decays(NamedTuple):
    """Shares of the decays of V, which add up to 1 but for taus. A V that cannot decay counts as invisible."""

    invisible: Float[Array, ""]
    mumu: Float[Array, ""]
    ee: Float[Array, ""]


def decays(model: SplitDarkSector, sm: StandardModel) -> Decays:
    """Branching ratios of V into dark fermions, muons and electrons: by a coupling of theirs, else by kinetic mixing.

    What V decays into through kinetic mixing beside, hadrons and taus of order epsilon^2, is left out: it matters only
    where g_mu is not above epsilon e. Taus that couple are part of the total.
    """
    invisible, couplings = jnp.sum(width_chichi(model, sm)), model.lepton_couplings()
    couplings.setdefault("e", (_e() * epsilon(model, sm), jnp.zeros(())))
    widths = {
        name: width_fermions(model.m_V**2, jnp.asarray(getattr(sm, f"m_{name}")), g_V, g_A, model.m_V)
        for name, (g_V, g_A) in couplings.items()
    }
    total = sum(widths.values(), invisible)
    stable = total == 0
    shares = [width / jnp.where(stable, 1.0, total) for width in (invisible, widths["mu"], widths["e"])]
    return Decays(jnp.where(stable, 1.0, shares[0]), *shares[1:])


class MassCurves(NamedTuple):
    """Limits against mass, each a power law from edge to edge; there is none where the scale is infinite.

    Attributes:
        edges: increasing, GeV.
        log_scale, slope: logarithm of the limit is log_scale + slope ln(m/GeV); row k lies below edge k.
    """

    edges: Float[np.ndarray, " n"]
    log_scale: Float[np.ndarray, "n+1 curves"]
    slope: Float[np.ndarray, "n+1 curves"]

    def at(self, m: Scalar) -> Float[Array, " curves"]:
        """The limits at a mass in GeV, infinite where there is none."""
        row = jnp.searchsorted(self.edges, m, side="right")
        log_scale, slope = jnp.asarray(self.log_scale)[row], jnp.asarray(self.slope)[row]
        known = jnp.isfinite(log_scale)
        return jnp.where(known, jnp.exp(jnp.where(known, log_scale, 0.0) + slope * jnp.log(m)), jnp.inf)


def mass_curves(tables: Sequence[Mapping[str, Any]], column: str = "limit", rows: Column = "median") -> MassCurves:
    """Curves from tables of limits.

    Args:
        tables: either `m` and the column, points joined by straight lines on double logarithmic axes with both ends
            included; or `rows` of [from, to, best, median, weakest], constant from `from` up to `to`.
        column: name of the limits beside `m`.
        rows: which number of the rows to take.
    """
    pieces = [_pieces(table, column, rows) for table in tables]
    edges = np.unique(np.concatenate([piece[:2].ravel() for piece in pieces]))
    log_scale = np.full((edges.size + 1, len(pieces)), np.inf)
    slope = np.zeros_like(log_scale)
    for curve, (low, high, log_limit, power) in enumerate(pieces):
        for i, (first, last) in enumerate(np.searchsorted(edges, np.stack([low, high], axis=1), side="right")):
            log_scale[first:last, curve] = log_limit[i] - power[i] * np.log(low[i])
            slope[first:last, curve] = power[i]
    return MassCurves(edges, log_scale, slope)


def _pieces(table: Mapping[str, Any], column: str, rows: Column) -> Float[np.ndarray, "4 pieces"]:
    """Lower edge, upper edge, logarithm of the limit at the lower edge and power of the mass, piece by piece."""
    if "rows" in table:
        low, high, *limits = np.array(table["rows"]).T
        log_limit = np.log(limits[("best", "median", "weakest").index(rows)])
        return np.stack([low, high, log_limit, np.zeros_like(low)])
    m, log_limit = np.array(table["m"]), np.log(table[column])
    rising = np.diff(m) > 0
    power = np.diff(log_limit)[rising] / np.diff(np.log(m))[rising]
    low, high = m[:-1][rising], m[1:][rising]
    high[-1] = np.nextafter(high[-1], np.inf)
    return np.stack([low, high, log_limit[:-1][rising], power])


def prompt_verdict(model: SplitDarkSector, sm: StandardModel, *, rows: Column = "median") -> LimitResult:
    """Epsilon, dimensionless, against the strongest search for a resonance in e+e- or mu+mu-.

    The limit of each search is divided by sqrt(BR) of its final states: weaker than the truth, by up to the share of
    muons in the decays of a dark photon, where V goes to muons alone.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        rows: strongest, median or weakest published limit in a mass interval.
    """
    ee, mumu = _seen()
    shares = decays(model, sm)
    return _strongest(epsilon(model, sm), _visible(rows).at(model.m_V), ee * shares.ee + mumu * shares.mumu)


def invisible_verdict(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """Epsilon, dimensionless, against the strongest search for an invisible V, weakened by sqrt(BR(V -> invisible))."""
    return _strongest(epsilon(model, sm), _invisible().at(model.m_V), decays(model, sm).invisible)


def electron_coupling(model: SplitDarkSector) -> Float[Array, ""]:
    """sqrt((g_e^V)^2 + (g_e^A)^2)/e, the mixing at which a dark photon is radiated off electrons as much as V is."""
    return coupling_size(*model.lepton_couplings().get("e", (jnp.zeros(()), jnp.zeros(())))) / _e()


def coupling_size(g_V: Float[Array, ""], g_A: Float[Array, ""]) -> Float[Array, ""]:
    """sqrt(g_V^2 + g_A^2), which radiation of V off fast leptons measures; dimensionless, with a gradient at 0."""
    square = g_V**2 + g_A**2
    coupled = square > 0
    return jnp.where(coupled, jnp.sqrt(jnp.where(coupled, square, 1.0)), 0.0)


def electrons_visible(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """`electron_coupling` against the searches for a resonance whose V is radiated off electrons alone.

    Limits and decays as in `prompt_verdict`; the electron's mass is left out, so that axial couplings count alike.
    """
    ee, mumu = (final[_off_electrons("visible")] for final in _seen())
    shares, limits = decays(model, sm), _visible("median").at(model.m_V)[_off_electrons("visible")]
    return _strongest(electron_coupling(model), limits, ee * shares.ee + mumu * shares.mumu)


def electrons_invisible(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """The same against the searches for an invisible V, limits as in `invisible_verdict`."""
    limits = _invisible().at(model.m_V)[_off_electrons("invisible")]
    return _strongest(electron_coupling(model), limits, decays(model, sm).invisible)


def displaced_verdict(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """Epsilon against the bands that beam dumps and NA64 exclude for a V -> e+e- far from its origin.

    The bands hold for the lifetime of a dark photon, hence only where e+e- is the one open channel.

    Returns:
        For the band that epsilon lies deepest in or nearest to, the limit is its lower edge, the ratio the smaller one
        of epsilon/(lower edge) and (upper edge)/epsilon: an epsilon above the band is not excluded.
    """
    value = epsilon(model, sm)
    lower, upper = (curves.at(model.m_V) for curves in _bands())
    applies = jnp.isfinite(lower) & (decays(model, sm).ee == 1)
    low, high, size = (jnp.where(applies, x, 1.0) for x in (lower, upper, jnp.abs(value)))
    depth = jnp.where(applies, jnp.minimum(size / low, high / size), 0.0)
    band = jnp.argmax(depth)
    return LimitResult(value, jnp.where(applies, low, jnp.inf)[band], depth[band])


def _strongest(value: Scalar, limits: Float[Array, " curves"], br: Float[Array, "*curves"]) -> LimitResult:
    seen = br > 0
    strength = jnp.max(jnp.where(seen, jnp.sqrt(jnp.where(seen, br, 1.0)), 0.0) / limits)
    some = strength > 0
    limit = jnp.where(some, 1 / jnp.where(some, strength, 1.0), jnp.inf)
    return LimitResult(value, limit, jnp.abs(value) * strength)


@cache
def _visible(rows: Column) -> MassCurves:
    return mass_curves(read_data("limits/dark_photon.yaml")["visible"], rows=rows)


@cache
def _seen() -> Float[np.ndarray, "2 curves"]:
    """Which curves see electrons, and which muons."""
    tables = read_data("limits/dark_photon.yaml")["visible"]
    return np.array([[final in table["decays"] for table in tables] for final in ("ee", "mumu")], dtype=float)


@cache
def _off_electrons(kind: str) -> np.ndarray:
    """Indices of the curves of searches in which V is radiated off electrons."""
    return np.flatnonzero([table.get("off_electrons", False) for table in read_data("limits/dark_photon.yaml")[kind]])


@cache
def _bands() -> tuple[MassCurves, MassCurves]:
    tables = read_data("limits/dark_photon.yaml")["displaced"]
    return mass_curves(tables, "limit"), mass_curves(tables, "upper_edge")


@cache
def _invisible() -> MassCurves:
    return mass_curves(read_data("limits/dark_photon.yaml")["invisible"])


def constraints() -> tuple[Constraint, ...]:
    """Constraints of this module: searches with V seen at its origin, seen far from it, and unseen; epsilon both ways.

    Where V couples to electrons the searches with electrons count. As limits on kinetic mixing they are shown but do
    not: further fields of the complete theory change epsilon by a factor, Sec. 3.2, and where the searches see V the
    epsilon of Eq. (28) lies within a factor of their limits.
    """
    verdicts = {"visible": prompt_verdict, "displaced": displaced_verdict, "invisible": invisible_verdict}
    tables = read_data("limits/dark_photon.yaml")

    def printed(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
        return without_limit(_e() / (12 * jnp.pi**2) * _charges(model, 1 / 8, 1.0, False, 0.0))

    def exact(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
        return without_limit(epsilon_exact(model, sm))

    of_electrons = {"visible": electrons_visible, "invisible": electrons_invisible}
    shown = {"epsilon_printed": (printed, "arXiv:2002.11150, Eq. (28)"), "epsilon_per_log": (exact, "one loop of Phi")}
    return (
        *(Constraint(name, *words, models=SplitDarkSector) for name, words in shown.items()),
        *(
            Constraint(
                f"kinetic_mixing_{kind}",
                verdict,
                "; ".join(table["reference"] for table in tables[kind]),
                cl=0.9,
                quality="digitised",
                models=SplitDarkSector,
                applied=False,
            )
            for kind, verdict in verdicts.items()
        ),
        *(
            Constraint(
                f"electrons_{kind}",
                verdict,
                "; ".join(tables[kind][i]["reference"] for i in _off_electrons(kind)),
                cl=0.9,
                quality="digitised",
                models=SplitDarkSector,
                power=2,
            )
            for kind, verdict in of_electrons.items()
        ),
    )
