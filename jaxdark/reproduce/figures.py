"""Figures 2 to 6 of the paper, in its axes and with the meaning of its colours.

Inputs: those of the Standard Model and, for Figs. 4 to 6, studies. Outputs: figures, each stating its inputs.
"""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jaxdark.choices import PhysicsName
from jaxdark.constraints.b_to_k_invisible.searches import babar_bin_limits
from jaxdark.constraints.colliders import belle2_invisible, drell_yan_limit
from jaxdark.constraints.mixing import C1_box, bs_mixing_R_BB
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.inputs import StandardModel, read_data
from jaxdark.likelihood.priors import prior_of
from jaxdark.models.base import PERTURBATIVE
from jaxdark.models.box import box_scan
from jaxdark.models.muon_g2 import kernels
from jaxdark.models.split import SplitDarkSector, g_Vbs
from jaxdark.output.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    blank_figure,
    literal,
    marker,
    own_style,
)
from jaxdark.reproduce.study import INVISIBLE, Study
from jaxdark.reproduce.thresholds import IMPROVES, TWO_SIGMA

_IN_WORDS = {"paper": "as printed", "complete": "complete"}
"""The physics, in titles."""
Q2 = 3.5
"""Momentum transfer at which the paper shows g_Vbs, GeV^2."""
_NOT_DRAWN = str.maketrans("", "", "${}_^")
_YELLOW = "#F0E442"
_TUNINGS = (1.0, 0.1, 0.01)
_SHOWN = 6000
"""Draws in a plane at most, so that the lines stay visible."""
_TEV2 = 1e6  # GeV^2
_WITH_V = {5.0: "-.", 6.0: ":"}
"""m_V in GeV, below and above M_Bs, for which Fig. 6 shows what V adds to the box in B_s mixing, and line styles."""
_LIGHT_AND_HEAVY = (1e-3, 10.0)
"""Masses of the two dark fermions of Fig. 6, GeV."""


def captioned(fig: Figure, text: str) -> Figure:
    """The figure with words below it."""
    # Wrapped by what is drawn: formulas are shorter than their source.
    lines, most = [""], 17 * fig.get_figwidth()
    for word in text.split(" "):
        if len(re.sub(r"\\[a-zA-Z]+", "x", f"{lines[-1]} {word}").translate(_NOT_DRAWN)) > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    fig.supxlabel("\n".join(lines), fontsize=8, x=0.02, ha="left", color="#333333")
    return fig


@own_style()
def figure_2(sm: StandardModel, physics: PhysicsName = "paper") -> Figure:
    """|g_Vbs| at 3.5 GeV^2 against the mass of the coloured scalar."""

    def coupling(r, m_chi, m_Phi):
        masses = {"m_V": 1.0, "m_chi": m_chi, "m_Phi": m_Phi}
        return jnp.abs(g_Vbs(Q2, SplitDarkSector(**masses, g_mu_V=0.0, r_AV=0.0, g_D=1.0, r=r, physics=physics)))

    m_Phi, of_m_Phi = np.geomspace(500.0, 10_000.0, 200), jax.jit(jax.vmap(coupling, in_axes=(None, None, 0)))
    fig = blank_figure(6.4, 4.9)
    ax = fig.subplots()
    for r, colour in ((0.1, SKY), (1.0, BLUE), (10.0, VERMILION)):
        for m_chi, style in ((1e-3, "-"), (1.0, "--")):
            label = f"$|r|$ = {r:g}" if style == "-" else None
            ax.loglog(m_Phi, of_m_Phi(r, m_chi, m_Phi), style, color=colour, label=label)
    ax.plot([], [], "-", color=GREY, label=r"$m_{\chi_1}$ = 1 MeV")
    ax.plot([], [], "--", color=GREY, label=r"$m_{\chi_1}$ = 1 GeV")
    ax.set(
        xlabel=r"$m_\Phi$ [GeV]",
        ylabel=r"$|g_{Vbs}|$ at $q^2$ = 3.5 GeV$^2$",
        title=f"Fig. 2: size of $g_{{Vbs}}$, {_IN_WORDS[physics]}",
    )
    ax.legend(frameon=False)
    vertex = "Eq. (11)" if physics == "paper" else "The vertex exact in $q^2$"
    return captioned(
        fig, rf"{vertex}, one dark fermion, $r=g_DQ_\Phi y_sy_b$; the three values of $|r|$ are our choice."
    )


@own_style()
def figure_3(sm: StandardModel, physics: PhysicsName = "paper") -> Figure:
    """Largest g_Vbs at 3.5 GeV^2 that B -> K(*) transitions allow, against m_V."""
    wanted = [c for c in all_constraints(SplitDarkSector) if c.id in (*INVISIBLE, "lhcb_kstar_mumu_2015")]
    muon = 7e-3
    # Wide lines lie under narrow ones, with which they agree in part.
    cases = ((5.0, 1.0, BLUE, 3.0), (1e-3, 3.0, ORANGE, 2.1), (1e-3, 0.03, GREEN, 1.3))

    def bounds(m_V, m_chi, g_D):
        """Largest g_Vbs by the invisible limits and by the search for muon pairs; every rate goes with r^2."""
        g_mu_V = muon * jnp.minimum(m_V, 1.0)
        model = SplitDarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=0.0, g_D=g_D, r=1.0, m_chi=m_chi, physics=physics)
        ratio = verdicts(model, sm, wanted).ratio
        muons = jnp.array([c.id.startswith("lhcb") for c in wanted])
        strongest = [jnp.max(jnp.where(muons == kind, ratio, 0.0)) for kind in (False, True)]
        return [jnp.abs(g_Vbs(Q2, model)) / jnp.sqrt(jnp.maximum(s, 1e-30)) for s in strongest]

    m_V, of_m_V = np.geomspace(1e-3, 15.0, 600), jax.jit(jax.vmap(bounds, in_axes=(0, None, None)))
    fig = blank_figure(8.2, 5.0)
    ax = fig.subplots()
    for edge in _proxy_edges(sm):
        ax.axvline(edge, color=GREY, lw=0.7, ls="--", zorder=0)
    for m_chi, g_D, colour, width in cases:
        invisible, muons = of_m_V(m_V, m_chi, g_D)
        label = rf"$m_\chi$ = {m_chi:g} GeV, $g_D$ = {g_D:g}"
        ax.loglog(m_V, np.where(np.asarray(invisible) > 1e-2, np.nan, invisible), color=colour, lw=width, label=label)
        ax.loglog(m_V, np.where(np.asarray(muons) > 1e-2, np.nan, muons), ":", color=colour, lw=1.3)
    ax.plot([], [], color=GREY, label=r"$B\to K$ + invisible")
    ax.plot([], [], ":", color=GREY, label=r"$B\to K^*V$, $V\to\mu\mu$")
    if _proxy_edges(sm):
        ax.plot([], [], "--", color=GREY, lw=0.7, label="edges of BaBar's proxy limits")
    ax.set(
        xlabel=r"$m_V$ [GeV]",
        ylabel=r"upper bound on $g_{Vbs}$ at $q^2$ = 3.5 GeV$^2$",
        title=rf"Fig. 3: bounds from $B\to K^{{(*)}}$ transitions, {_IN_WORDS[physics]}",
    )
    fig.legend(loc="outside right center", fontsize=8, frameon=False)
    edges = ", ".join(f"{edge:.2f}" for edge in _proxy_edges(sm))
    proxy = (
        f" BaBar's limits in $s_B$ bins are a proxy with steps at $m_V$ = {edges} GeV and none beyond." if edges else ""
    )
    return captioned(
        fig,
        rf"$Q_\Phi=1$, $m_\Phi$ = 1 TeV; App. A and CLEO. The paper's text gives $m_\chi$ = 5 GeV, a smaller mass, a "
        rf"large and a small $g_D$; the other figures and $g_\mu^V$ = {muon:g} min($m_V$/GeV, 1), $g_\mu^A=0$ are our "
        "choice." + (proxy if edges else ""),
    )


def _proxy_edges(sm: StandardModel) -> list[float]:
    """m_V in GeV at the upper edges of the s_B bins for which BaBar's limits are a proxy; none once they are public."""
    limits = babar_bin_limits()
    return [float(np.sqrt(high) * sm.m_Bp) for _, high in limits.s_B] if limits.quality == "proxy" else []


@own_style()
def plane(study: Study, sm: StandardModel) -> Figure:
    """Figs. 4 and 5: fitted points in the (m_V, g_mu_V) plane and what the invisible limits leave of them."""
    region = prior_of(study.selection.region).ranges
    m_V = np.linspace(region["m_V"].lower, region["m_V"].upper, 200)
    fig = blank_figure(8.2, 6.2)
    ax = fig.subplots()
    ax.set(xlim=m_V[[0, -1]], ylim=(1e-3, 0.2), yscale="log", xlabel=r"$m_V$ [GeV]", ylabel=r"$g_\mu^V$")
    handles = [*_lines_of_limits(ax, m_V, sm), *_points(ax, study)]
    number = {"high": 4, "low": 5}[study.selection.region]
    ax.set_title(f"Fig. {number}: {study.selection.region} region, {_of(study)}")
    fig.legend(handles=handles, loc="outside right center", fontsize=7.5, frameon=False)
    return captioned(
        fig,
        rf"Draws of the {100 * TWO_SIGMA:g} % region with $(g-2)_\mu$ within its limit and "
        rf"ln L − ln L(SM) > {IMPROVES:g}; theory marginalised, $(g-2)_\mu$ read as {study.selection.g_minus_2!r}. "
        rf"Numbers of draws, and of independent ones they are worth; of each kind at most {_SHOWN} are drawn. "
        r"Drell-Yan at $g_\mu^A=-0.44\,g_\mu^V$, drawn beyond its stated range of 1 to 5 GeV as in the paper. "
        r"Trident: Eq. (27) with $g_\nu=g_\mu^V$; below 1 GeV, "
        r"where the paper has 'roughly saturates to 0.001', the slope is continued down to 0.001. Belle II for "
        r"BR(V → invisible) = 1." + _distrust(study),
    )


def _of(study: Study) -> str:
    """Data and physics of a study, for a title."""
    return f"{literal(study.selection.data)}, {_IN_WORDS[study.selection.physics]}"


def _distrust(study: Study) -> str:
    """What is wrong with the chains that the drawn points come from; empty if nothing is."""
    return "" if study.chains == "converged" else f" The chains have not converged: {literal(study.chains, 160)}."


def _points(ax: Axes, study: Study) -> list[Line2D]:
    layers = (
        (study.fitted, _YELLOW, "fitted at 2σ"),
        (study.fitted & study.passes("cleo_2001"), PURPLE, "and allowed by CLEO"),
        (study.fitted & study.survives, GREEN, "and by the recasts of App. A"),
    )
    style = {"ms": 3.2, "mew": 0.2, "mec": "black"}
    for chosen, colour, _ in layers:
        x, y = (study.parameters[name][chosen][:_SHOWN] for name in ("m_V", "g_mu_V"))
        ax.plot(x, y, "o", color=colour, rasterized=True, **style)
    return [marker(colour, "o", f"{label} ({study.counted(chosen)})", **style) for chosen, colour, label in layers]


def _lines_of_limits(ax: Axes, m_V: Float[np.ndarray, " n"], sm: StandardModel) -> list:
    limit = read_data("muon_g2.yaml")["limit"]["delta_a_mu"]
    vector = np.asarray(jax.vmap(lambda m: kernels((sm.m_mu / m) ** 2)[0])(m_V)) * (sm.m_mu / m_V) ** 2 / (8 * np.pi**2)
    without_axial = np.sqrt(limit / vector)
    ax.fill_between(m_V, 1e-3, without_axial, color=SKY, alpha=0.25, lw=0)
    excluded = np.asarray(jax.vmap(drell_yan_limit)(m_V)) / np.hypot(1, 0.44)
    excluded = np.where(np.isfinite(excluded), excluded, 5.6e-2 * (1 + 0.13 * m_V) / np.hypot(1, 0.44))
    ax.fill_between(m_V, excluded, 0.2, color="#999999", alpha=0.6, lw=0)
    ax.plot(m_V, trident_line(m_V), "-.", color=VERMILION, lw=1.6, zorder=5)
    model = lambda m: SplitDarkSector(m_V=m, g_mu_V=1.0, r_AV=0.0, g_D=1e6, r=0.0)  # noqa: E731
    belle = np.asarray(jax.vmap(lambda m: belle2_invisible(model(m), sm).limit)(m_V))
    ax.plot(m_V, np.where(np.isfinite(belle), belle, np.nan), ":", color="black", lw=1.4, zorder=5)
    for tuning in _TUNINGS:
        # g_mu_A may be off its cancelling value by the share `tuning` before (g-2) leaves its limit.
        contour = np.sqrt(limit / (vector * ((1 + tuning) ** 2 - 1)))
        ax.plot(m_V, contour, "--", color=GREY, lw=1.1, zorder=5)
        # To the right, where draws are few, on the part of the line that is shown.
        place = min(int(0.93 * len(m_V)), np.searchsorted(contour, 0.17) - 1)
        ax.text(m_V[place], contour[place], f"{100 * tuning:g} %", fontsize=7, ha="center", va="center", zorder=6,
                color="#444444", bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.8})  # fmt: skip
    return [
        Patch(color=SKY, alpha=0.25, label=r"$(g-2)_\mu$ at 2σ, $g_\mu^A=0$"),
        Patch(color="#999999", alpha=0.6, label="excluded by Drell-Yan"),
        Line2D([], [], ls="-.", color=VERMILION, label=r"trident, $g_\nu=g_\mu^V$"),
        Line2D([], [], ls=":", color="black", label="Belle II 2019"),
        Line2D([], [], ls="--", color=GREY, label=r"tuning of $g_\mu^A$"),
    ]


def trident_line(m_V: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Largest coupling to muon neutrinos by Eq. (27) at m_V in GeV, without a step.

    Printed for m_V above 1 GeV, where it "roughly saturates for smaller mass to about 0.001": with its slope continued
    it gets there at 0.5 GeV. Read as 0.001 at once below 1 GeV it would drop by half, which no exchange of V does; the
    cross section of `trident_ratio` allows 0.0025 at 0.8 GeV under CCFR.
    """
    bound = read_data("limits/precision.yaml")["neutrino_trident"]["bound"]
    return np.maximum(bound["floor"], bound["slope"] * m_V)


@own_style()
def figure_6(study: Study, sm: StandardModel) -> Figure:
    """Points of the high region in the (g_D, r) plane with the bound from B_s mixing for two dark fermions."""
    chosen = study.fitted & study.survives & (study.parameters["m_V"] > 3)
    physics = study.selection.physics
    factor = _per_light_fermion(physics)
    r = np.abs(study.parameters["r"]) * factor
    heavy, allowed = study.parameters["m_V"] > 8, study.passes("drell_yan")
    groups = (
        (chosen & allowed & ~heavy, GREEN, "*", "allowed by Drell-Yan, $m_V$ < 8 GeV"),
        (chosen & allowed & heavy, BLUE, "o", "allowed by Drell-Yan, $m_V$ > 8 GeV"),
        (chosen & ~allowed, VERMILION, "x", "excluded by Drell-Yan"),
    )
    fig = blank_figure(8.2, 5.4)
    ax = fig.subplots()
    g_D = np.linspace(0.02, 4.0, 200)
    tuned, off = (mixing_bound(g_D, delta, sm, physics) for delta in (0.0, 0.05))
    ax.fill_between(g_D, tuned, 1e3, color="#BBBBBB", alpha=0.7, lw=0)
    ax.plot(g_D, off, "--", color=GREY)
    with_V = {m_V: mixing_bound(g_D, 0.0, sm, physics, m_V) for m_V in _WITH_V}
    for m_V, style in _WITH_V.items():
        ax.plot(g_D, with_V[m_V], ls=style, color="black", lw=0.9)
    for mask, colour, shape, _ in groups:
        ax.plot(study.parameters["g_D"][mask], r[mask], shape, color=colour, ms=4, mew=0.8, rasterized=True)
    handles = [marker(colour, shape, f"{label} ({study.counted(mask)})") for mask, colour, shape, label in groups]
    handles += [Patch(color="#BBBBBB", alpha=0.7, label=r"$B_s$ mixing by the box, $\delta_Y=0$")]
    handles += [Line2D([], [], ls="--", color=GREY, label=r"by the box, $\delta_Y=0.05$")]
    handles += [
        Line2D([], [], ls=style, color="black", lw=0.9, label=rf"by box and $V$ of {m_V:g} GeV, $\delta_Y=0$")
        for m_V, style in _WITH_V.items()
    ]
    ax.set(xlim=(0, 4), ylim=(0.1, 30), yscale="log", xlabel=r"$g_D$", ylabel=r"$r=|g_DQ_\Phi y_s^1y_b^1|$")
    ax.set_title(f"Fig. 6: high region, $m_V$ = 3 to 15 GeV, {_of(study)}")
    fig.legend(handles=handles, loc="outside right center", fontsize=8, frameon=False)
    return captioned(
        fig,
        r"$m_\chi$ = 1 MeV and 10 GeV, $m_\Phi$ = 1 TeV. $B_s$ mixing by Eqs. (17) and (18), the box, as in the paper; "
        r"exchange of $V$ depends on $m_V$ and cancels the box below and near $M_{B_s}$. Numbers of draws, and of "
        r"independent ones they are worth. Points fitted with one fermion stand at the $r$ of $\chi_1$ "
        rf"that gives the same $\tilde{{g}}$ with two (factor {factor:.3f})." + _distrust(study),
    )


@own_style()
def figure_box() -> Figure:
    """Sec. 2.1: muon Yukawa coupling that the box needs for C_9 = -0.6, and what (g-2) and perturbativity allow."""
    masses = np.geomspace(10.0, 1000.0, 300)
    scan = box_scan(masses, masses, masses)
    fig = blank_figure(6.6, 4.9)
    ax = fig.subplots()
    ax.loglog(masses, scan.needed, color=BLUE, label="needed for $C_9=-0.6$ at the $B_s$ mixing bound")
    ax.loglog(masses, scan.g_minus_2, "--", color=VERMILION, label="largest under $(g-2)_\\mu$, Eq. (4)")
    ax.axhline(PERTURBATIVE, ls=":", color="black", label=r"$\sqrt{4\pi}$")
    common = masses[np.asarray(scan.common)]
    if len(common):
        ax.axvspan(common[0], common[-1], color=SKY, alpha=0.25, lw=0, label=f"both: from {common[0]:.0f} GeV")
    ax.set(xlabel="$m_1=m_2=m_3$ [GeV]", ylabel=r"$|Y^{(\mu)}|$", title="Sec. 2.1: muon coupling of the boxes")
    ax.legend(frameon=False, fontsize=8)
    return captioned(fig, "Eqs. (2) to (4), $m_4$ = 1 TeV, $|Y_bY_s|$ at its bound from $B_s$ mixing.")


def _two_fermions(g_D, r, delta_Y, physics: PhysicsName) -> SplitDarkSector:
    """chi_1 with r and chi_2 with the opposite product of Yukawa couplings up to delta_Y."""
    both = jnp.stack([r, g_D * delta_Y - r])
    return SplitDarkSector(m_V=5.0, g_mu_V=0.0, r_AV=0.0, g_D=g_D, r=both, m_chi=_LIGHT_AND_HEAVY, physics=physics)


def _one_fermion(g_D, r, physics: PhysicsName) -> SplitDarkSector:
    return SplitDarkSector(m_V=5.0, g_mu_V=0.0, r_AV=0.0, g_D=g_D, r=r, physics=physics)


def _per_light_fermion(physics: PhysicsName) -> float:
    """r of chi_1 over r of one fermion that gives the same |g_Vbs| at 3.5 GeV^2."""
    one, two = _one_fermion(1.0, 1.0, physics), _two_fermions(1.0, 1.0, 0.0, physics)
    return float(jnp.abs(g_Vbs(Q2, one) / g_Vbs(Q2, two)))


def mixing_bound(
    g_D: Float[np.ndarray, " n"],
    delta_Y: float | None,
    sm: StandardModel,
    physics: PhysicsName = "paper",
    m_V: float | None = None,
) -> Float[np.ndarray, " n"]:
    """Smallest r of chi_1 that B_s mixing excludes, for dark fermions of 1 MeV and 10 GeV, by bisection in log r.

    Mixing "proceeds dominantly via box diagrams and is therefore solely determined by the product" of Yukawa
    couplings, Sec. 4: Eq. (17) against the bound on C_1. Exchange of V adds to it or cancels it, near M_Bs strongly.

    Args:
        g_D: dark gauge couplings.
        delta_Y: sum of the two products of Yukawa couplings; None for the light fermion alone.
        sm: the inputs.
        physics: of V; the box has no choice.
        m_V: mass in GeV of a V that is exchanged as well; None for the box alone.
    """

    def ratio(g, r):
        model = _one_fermion(g, r, physics) if delta_Y is None else _two_fermions(g, r, delta_Y, physics)
        if m_V is None:
            return _TEV2 * C1_box(model) / read_data("limits/mixing.yaml")["bs_mixing_R_BB"]["C1_interval_TeV-2"][1]
        return bs_mixing_R_BB(eqx.tree_at(lambda m: m.m_V, model, jnp.asarray(m_V)), sm).ratio

    of_all = jax.jit(jax.vmap(ratio))
    low, high = np.full_like(g_D, 1e-4), np.full_like(g_D, 1e4)
    for _ in range(50):
        middle = np.sqrt(low * high)
        above = np.asarray(of_all(g_D, middle)) > 1
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.sqrt(low * high)
