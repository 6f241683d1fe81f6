"""Figures of a result: the draws of an ArviZ object in, matplotlib figures out; no physics is computed here.

Figures are made without pyplot, so none stays open and no display is needed; colours are safe for colour-blind readers.
"""

import math
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import corner
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from jaxdark.inference.priors import Range
from jaxdark.results import attributes, summary

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#777777"
LABELS = {
    "m_V": r"$m_V$ [GeV]",
    "m_Zp": r"$m_{Z'}$ [GeV]",
    "g_mu_V": r"$g_\mu^V$",
    "g_bs": r"$|g_{bs}|$",
    "r_AV": r"$r_{AV} = g_\mu^A/g_\mu^V$",
    "g_D": r"$g_D$",
    "r": r"$|r|$",
    "width": r"$\Gamma$ [GeV]",
    "C9": "$C_9$",
    "C10": "$C_{10}$",
}
_ONE_SIGMA, _TWO_SIGMA, _THREE_SIGMA = 0.6827, 0.9545, 0.9973


def corner_figure(tree) -> Figure:
    """Marginal distributions of the parameters, alone and in pairs: 68.27 and 95.45 % regions, the best draw marked.

    Axes span 98 % of the draws and a margin, within the prior.
    """
    draws, ranges = _draws(tree), _ranges(tree)
    best = summary(tree)["best"]["parameters"]
    fig = blank_figure(10.5, 11.0, layout=None)
    corner.corner(
        np.stack([values.ravel() for values in draws.values()], axis=1),
        fig=fig,
        bins=40,
        range=[_shown_range(values, ranges[name]) for name, values in draws.items()],
        axes_scale=["log" if r.log else "linear" for r in ranges.values()],
        labels=[LABELS.get(name, name) for name in draws],
        truths=[abs(best[name]) if ranges[name].log else best[name] for name in draws],
        truth_color=VERMILION,
        color=BLUE,
        levels=(_ONE_SIGMA, _TWO_SIGMA),
        smooth=1.5,
        plot_datapoints=False,
        fill_contours=True,
        label_kwargs={"fontsize": 13},
        max_n_ticks=4,
    )
    for ax in fig.axes:
        ax.minorticks_off()
        _set_ticks(ax)
    shades = [marker(BLUE, "s", "68.27 % region"), marker(BLUE, "s", "95.45 % region", alpha=0.35)]
    handles = [*shades, marker(VERMILION, "s", "best draw")]
    fig.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.97, 0.9), frameon=False)
    fig.subplots_adjust(top=0.93)
    _title(fig, tree)
    return fig


def _set_ticks(ax: Axes) -> None:
    """Few ticks, none near the ends of an axis, where the labels would meet those of the next panel."""
    for axis, (low, high), scale, labelled in (
        (ax.xaxis, ax.get_xlim(), ax.get_xscale(), bool(ax.get_xlabel())),
        (ax.yaxis, ax.get_ylim(), ax.get_yscale(), bool(ax.get_ylabel())),
    ):
        ticks, line = np.asarray(axis.get_ticklocs()), np.asarray
        if scale == "log":
            decades, line = np.log10(high / low), np.log10
            digits = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)
            ticks = np.multiply.outer(10.0 ** np.arange(-12, 12), digits).ravel()
            axis.set_major_formatter("{x:g}" if labelled else NullFormatter())
        place = (line(ticks) - line(low)) / (line(high) - line(low))
        axis.set_ticks(ticks[(0.04 < place) & (place < 0.96)])


def _shown_range(values: np.ndarray, r: Range) -> tuple[float, float]:
    """Where 98 % of the draws are, with a margin of a tenth on either side, within the prior."""
    scale, back = (np.log, np.exp) if r.log else (np.asarray, np.asarray)
    low, high = scale(np.quantile(values, (0.01, 0.99)))
    margin = 0.1 * (high - low)
    return max(float(back(low - margin)), r.lower), min(float(back(high + margin)), r.upper)


def trace_figure(tree) -> Figure:
    """Per parameter the chains' draws in order and the histogram of their ranks, flat where the chains agree."""
    draws, ranges = _draws(tree), _ranges(tree)
    diverging = np.asarray(tree["sample_stats"]["diverging"])
    fig = blank_figure(10.5, 1.75 * len(draws) + 0.9)
    axes = fig.subplots(len(draws), 2, width_ratios=(2.2, 1), squeeze=False)
    for (left, right), (name, values) in zip(axes, draws.items(), strict=True):
        _trace(left, values, diverging)
        left.set(ylabel=LABELS.get(name, name), yscale="log" if ranges[name].log else "linear")
        _ranks(right, values)
    axes[-1][0].set_xlabel("draw")
    axes[-1][1].set_xlabel("rank among all draws")
    axes[0][1].set_title("draws per rank bin, by chain", fontsize=10)
    _title(fig, tree)
    return fig


def _trace(ax: Axes, values: Float[np.ndarray, "chains draws"], diverging: np.ndarray) -> None:
    for chain, (line, marks) in enumerate(zip(values, diverging, strict=True)):
        ax.plot(line, color=_colour(chain), lw=0.4, alpha=0.7, rasterized=True)
        ax.plot(np.flatnonzero(marks), line[marks], "x", color="black", ms=4)
    ax.set_xlim(0, values.shape[1])


def _ranks(ax: Axes, values: Float[np.ndarray, "chains draws"], bins: int = 20) -> None:
    ranks = rankdata(values).reshape(values.shape)
    expected = values.shape[1] / bins
    for chain, line in enumerate(ranks):
        ax.hist(line, bins=bins, range=(1, values.size), histtype="step", color=_colour(chain))
    ax.axhline(expected, color=GREY, lw=0.8, ls="--")
    ax.set(xlim=(1, values.size), ylim=(0, 2.5 * expected))


def plane_figure(tree) -> Figure:
    """Draws in the (m_V, g_mu^V) plane as in Figs. 4 and 5: those inside the 95.45 % highest-density region.

    A model without g_mu^V is shown in the plane of its first two parameters. The region is that of all parameters
    together, in coordinates in which the prior is flat: there the density is the likelihood, so it holds the 95.45 % of
    the draws with the largest one. Contours are those of the plane alone.
    """
    draws, ranges, record = _draws(tree), _ranges(tree), summary(tree)
    across, second, *_ = ranges
    up = "g_mu_V" if "g_mu_V" in ranges else second
    x, y = draws[across].ravel(), draws[up].ravel()
    gain = np.asarray(tree["derived"]["log_likelihood"]).ravel() - record["sm_log_likelihood"]
    kept = np.argsort(gain)[int(round((1 - _TWO_SIGMA) * gain.size)) :]
    fig = blank_figure(8.0, 5.6)
    ax = fig.subplots()
    points = ax.scatter(x[kept], y[kept], c=gain[kept], s=7, cmap="viridis", lw=0, rasterized=True)
    fig.colorbar(points, ax=ax, label=r"$\ln L - \ln L_{\mathrm{SM}}$", pad=0.02)
    draw_contours(ax, x, y, ranges[across], ranges[up])
    best = record["best"]["parameters"]
    ax.plot(best[across], best[up], "*", color=VERMILION, mec="black", ms=15)
    handles = [
        marker("#21918c", "o", "draws in the 95.45 % region"),
        Line2D([], [], color="black", ls="-", label="68.27 % contour"),
        Line2D([], [], color="black", ls="--", label="95.45 % contour"),
        marker(VERMILION, "*", "best draw", mec="black", ms=12),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    scale_as(ax.set_xscale, ax.set_xlim, ranges[across])
    scale_as(ax.set_yscale, ax.set_ylim, ranges[up])
    ax.set(xlabel=LABELS.get(across, across), ylabel=LABELS.get(up, up))
    _title(fig, tree)
    return fig


CONTOURS = ((_ONE_SIGMA, 1.8, "-"), (_TWO_SIGMA, 2.5, "--"), (_THREE_SIGMA, 3.2, ":"))
"""Share of the draws inside, smoothing in bins and line style. The outer lines run where draws are few and want more
smoothing; the level is chosen by the draws inside, so that the smoothing moves the line but not the share it holds."""


def draw_contours(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    x_range: Range,
    y_range: Range,
    *,
    sigmas: int = 2,
    bins: int = 60,
    colour: str = "black",
) -> None:
    """Smallest regions of the plane that hold the first `sigmas` shares of CONTOURS, from a smoothed histogram."""
    edges = [
        np.geomspace(r.lower, r.upper, bins + 1) if r.log else np.linspace(r.lower, r.upper, bins + 1)
        for r in (x_range, y_range)
    ]
    centres = [
        np.sqrt(e[1:] * e[:-1]) if r.log else (e[1:] + e[:-1]) / 2
        for e, r in zip(edges, (x_range, y_range), strict=True)
    ]
    counts = np.histogram2d(x, y, edges)[0]
    for share, width, style in reversed(CONTOURS[:sigmas]):
        density = gaussian_filter(counts, width, mode="nearest")
        descending = np.argsort(density.ravel())[::-1]
        held = np.cumsum(counts.ravel()[descending]) / len(x)
        level = density.ravel()[descending[np.searchsorted(held, share)]]
        ax.contour(*centres, density.T, levels=[level], colors=colour, linestyles=style, linewidths=1.2)


def pulls_figure(tree) -> Figure:
    """Pulls of all measurements in the Standard Model and at the best draw, in at most three columns."""
    rows = summary(tree)["pulls"]
    per_column = -(-len(rows) // 3)
    columns = -(-len(rows) // per_column)
    fig = blank_figure(5.0 * columns, 0.17 * per_column + 1.4)
    axes = fig.subplots(1, columns, squeeze=False)[0]
    largest = max(3.5, *(abs(row[name]) + 0.3 for row in rows for name in ("sm", "best")))
    for ax, start in zip(axes, range(0, len(rows), per_column), strict=True):
        _pulls(ax, rows[start : start + per_column], min(largest, 8.0))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    _title(fig, tree)
    return fig


def _pulls(ax: Axes, rows: list[dict], limit: float) -> None:
    height = np.arange(len(rows))
    sm, best = (np.clip([row[name] for row in rows], -limit, limit) for name in ("sm", "best"))
    for width, shade in ((2, "#eeeeee"), (1, "#dddddd")):
        ax.axvspan(-width, width, color=shade, zorder=0, lw=0)
    ax.hlines(height, sm, best, color=GREY, lw=0.8, zorder=1)
    ax.plot(sm, height, "o", mfc="white", mec=GREY, ms=4.5, label="Standard Model")
    ax.plot(best, height, "o", color=BLUE, ms=4.5, label="best draw")
    ax.set_yticks(height, [row["id"] for row in rows], fontsize=6.5)
    ax.set(xlim=(-limit, limit), ylim=(len(rows) - 0.5, -0.5), xlabel="(prediction − measurement)/error")


_OVERLAID = ((BLUE, "-"), (VERMILION, "--"), (GREEN, ":"), (ORANGE, "-."))


def overlay_figure(trees: Mapping[str, Any], distances: Mapping[str, Mapping[str, float]] | None = None) -> Figure:
    """Distribution functions of each parameter in several results, by label, on the axes of the first one's prior.

    Args:
        trees: results.
        distances: of `marginal_distances`, written into the panels.
    """
    ranges = _ranges(next(iter(trees.values())))
    fig = blank_figure(10.5, 2.3 * math.ceil(len(ranges) / 3) + 0.6)
    axes = fig.subplots(math.ceil(len(ranges) / 3), 3, squeeze=False).ravel()
    for ax, (name, r) in zip(axes, ranges.items(), strict=False):
        for tree, (colour, style) in zip(trees.values(), _OVERLAID, strict=False):
            values = np.sort(_draws(tree)[name].ravel())
            ax.plot(values, np.arange(1, len(values) + 1) / len(values), color=colour, ls=style, lw=1.4)
        if distances is not None:
            found = distances[name]
            text = f"KS distance {found['distance']:.3f}, p = {found['p_value']:.2g}"
            ax.set_title(text, fontsize=9, loc="right")
        ax.set(xlabel=LABELS.get(name, name), xscale="log" if r.log else "linear", ylim=(0, 1))
    for ax in axes[len(ranges) :]:
        ax.axis("off")
    for ax in axes[::3]:
        ax.set_ylabel("posterior probability below")
    selections = [_selection(summary(tree)) for tree in trees.values()]
    same = len(set(selections)) == 1
    handles = [
        Line2D([], [], color=colour, ls=style, label=f"{label}: {_work(summary(tree))}" + ("" if same else f"\n{text}"))
        for (label, tree), text, (colour, style) in zip(trees.items(), selections, _OVERLAID, strict=False)
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    if same:
        fig.suptitle(selections[0], fontsize=11)
    return fig


FIGURES: dict[str, Callable[..., Figure]] = {
    "corner": corner_figure,
    "trace": trace_figure,
    "plane": plane_figure,
    "pulls": pulls_figure,
}


NEEDS = ("derived", "sample_stats")
"""What FIGURES read of a result beside draws and summary, see `results.load`."""


def save_figures(tree, folder: Path) -> list[str]:
    """Write every figure as PNG and PDF into a folder and return the names of the files."""
    return [name for stem, make in FIGURES.items() for name in save_figure(make(tree), folder, stem)]


def save_figure(fig: Figure, folder: Path, stem: str) -> list[str]:
    """Write a figure as PNG and PDF into a folder, each under a temporary name first, and return the files' names."""
    names = []
    for kind, options in (("png", {"dpi": 150}), ("pdf", {"metadata": {"CreationDate": None}})):
        name = f"{stem}.{kind}"
        fig.savefig(folder / f".{name}", format=kind, **options)
        (folder / f".{name}").replace(folder / name)
        names.append(name)
    return names


def _draws(tree) -> dict[str, Float[np.ndarray, "chains draws"]]:
    """Draws of the parameters by name; those with a logarithmic prior by magnitude."""
    return {
        name: np.abs(tree["posterior"][name].values) if r.log else np.asarray(tree["posterior"][name].values)
        for name, r in _ranges(tree).items()
    }


def _ranges(tree) -> dict[str, Range]:
    return {name: Range(**fields) for name, fields in attributes(tree)["prior"].items()}


def scale_as(set_scale: Callable, set_limits: Callable, r: Range) -> None:
    """Scale and limits of an axis as in the prior."""
    set_scale("log" if r.log else "linear")
    set_limits(r.lower, r.upper)


def _colour(chain: int) -> str:
    return (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)[chain % 6]


def marker(colour: str, shape: str, label: str, **style) -> Line2D:
    """Entry of a legend for points."""
    return Line2D([], [], color=colour, marker=shape, ls="none", label=label, **style)


def blank_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure without pyplot, inches."""
    fig = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(fig)
    return fig


def _title(fig: Figure, tree) -> None:
    """Region, data, theory mode, reading of (g-2) and draws; a bad verdict, in red, with its reasons."""
    record = summary(tree)
    title = f"{_selection(record)}, {_work(record)}"
    good = record["verdict"] == "good"
    if not good:
        reasons = [*record["reasons"][:2], *(["see summary.json"] if len(record["reasons"]) > 2 else [])]
        sentence = f"verdict {record['verdict']}: {'; '.join(reasons)}"
        title += "\n" + textwrap.fill(sentence, int(11 * fig.get_figwidth()))
    fig.suptitle(title, fontsize=11, color="black" if good else VERMILION)


def _selection(record: Mapping[str, Any]) -> str:
    """What was fitted to what."""
    return (
        f"{record['model']}, {record['region']} region, data {record['data']}, theory {record['theory']}, "
        f"$(g-2)_\\mu$ {record['g_minus_2']}"
    )


def _work(record: Mapping[str, Any]) -> str:
    """How many draws there are, and by which method if there are no chains."""
    if (method := record.get("method", "nuts")) == "nuts":
        return f"{record['chains']} × {record['draws']} draws"
    return f"{record['draws']} draws by {'nested' if method == 'nested' else 'importance'} sampling"
