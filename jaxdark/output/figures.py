"""Figures of a result: the draws of an ArviZ object in, matplotlib figures out; no physics is computed here.

Figures are made without pyplot, so none stays open and no display is needed; colours are safe for colour-blind readers.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from jaxdark.io.results import arviz, attributes, summary
from jaxdark.likelihood.priors import Range
from jaxdark.output.drawing import (
    LABELS,
    blank_figure,
    ends,
    label,
    limits,
    literal,
    own_style,
    save_each,
    save_figure,
    set_title,
    shown,
)

__all__ = ["FIGURES", "LABELS", "blank_figure", "save_figure", "save_figures"]

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#777777"
_ONE_SIGMA, _TWO_SIGMA, _THREE_SIGMA = 0.6827, 0.9545, 0.9973
_ENOUGH = 200
"""Draws from which regions are drawn: nine of them lie outside of the 95.45 % region. Fewer are shown one by one."""


@own_style()
def corner_figure(tree) -> Figure:
    """Marginal distributions of the parameters, alone and in pairs: 68.27 and 95.45 % regions, the best draw marked.

    Axes span 98 % of the draws and a margin, within the prior. Parameters that never change are named in the title.
    """
    draws, ranges = _draws(tree), _ranges(tree)
    best = summary(tree)["max_likelihood_draw"]["parameters"]
    moving = _moving(draws)
    fixed = [_value(name, draws[name].flat[0], ranges[name]) for name in draws if name not in moving]
    width = max(7.0, 2.1 * len(moving))
    fig = blank_figure(width, width + 0.5, layout=None)
    _title(fig, tree, *([["fixed: " + ", ".join(fixed)]] if fixed else []))
    if not moving:
        return fig
    points = np.stack([draws[name].ravel() for name in moving], axis=1)
    enough = len(points) >= _ENOUGH
    truths = [float(shown(best[name], ranges[name])) for name in moving]
    arviz()  # which corner imports, and which announces its next version then
    import corner

    corner.corner(
        np.tile(points, (-(-len(moving) // len(points)), 1)),  # corner wants more draws than parameters
        fig=fig,
        bins=40 if enough else 10,
        range=[_shown_range(draws[name], ranges[name]) for name in moving],
        axes_scale=["log" if ranges[name].log else "linear" for name in moving],
        labels=[label(name, ranges[name]) for name in moving],
        truths=truths if len(moving) > 1 else None,
        truth_color=VERMILION,
        color=BLUE,
        levels=(_ONE_SIGMA, _TWO_SIGMA),
        smooth=1.5 if enough else None,
        plot_datapoints=not enough,
        plot_density=enough,
        plot_contours=enough,
        fill_contours=enough,
        data_kwargs={"alpha": 0.7, "ms": 4},
        label_kwargs={"fontsize": 13},
        max_n_ticks=4,
    )
    for ax in fig.axes:
        ax.minorticks_off()
        _set_ticks(ax)
    shades = [marker(BLUE, "s", "68.27 % region"), marker(BLUE, "s", "95.45 % region", alpha=0.35)]
    handles = [marker(VERMILION, "s", "maximum-likelihood draw")]
    if len(moving) == 1:
        fig.axes[0].axvline(truths[0], color=VERMILION)
    else:
        handles = [*(shades if enough else [marker(BLUE, "o", "draws")]), *handles]
    _lay_out(fig, len(moving), handles)
    return fig


def _value(name: str, value: float, r: Range) -> str:
    symbol, _, unit = label(name, r).partition(" [")
    return f"{symbol} = {value:.6g} {unit.rstrip(']')}".rstrip()


def _lay_out(fig: Figure, panels: int, handles: list[Line2D]) -> None:
    """Room in inches for title, legend and labels, whatever the size of the panels."""
    width, height = fig.get_size_inches()
    header = 0.35 + 0.2 * (fig.get_suptitle().count("\n") + 1) + (0.35 if panels == 1 else 0.0)
    side, right = 1.05, 0.2
    fig.subplots_adjust(left=side / width, right=1 - right / width, bottom=side / height, top=1 - header / height)
    fig.legend(handles=handles, loc="upper right", bbox_to_anchor=(1 - right / width, 1 - (header - 0.35) / height)
               if panels == 1 else (1 - right / width, 1 - header / height), frameon=False)  # fmt: skip
    for ax in fig.axes:
        box = ax.get_position()
        ax.xaxis.set_label_coords(0.5, -0.75 / (box.height * height))
        ax.yaxis.set_label_coords(-0.75 / (box.width * width), 0.5)


def _moving(draws: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the parameters that take more than one value; rounding of a logarithm is none."""
    return [name for name, values in draws.items() if np.ptp(values) > 1e-12 * np.abs(values).max()]


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
            step = math.ceil(decades / 5) if decades > 5 else 1
            tens = np.arange(math.floor(np.log10(low)), math.ceil(np.log10(high)) + 1, step)
            ticks = np.multiply.outer(10.0**tens, digits).ravel()
        inner = _inner(ticks, line, low, high)
        if scale == "log" and len(inner) < 2:
            inner = _inner(MaxNLocator(3).tick_values(low, high), line, low, high)
        axis.set_ticks(inner)
        outside = len(inner) > 0 and not 1e-3 <= np.abs(inner).max() < 1e4
        if scale == "log" or outside:
            axis.set_major_formatter("{x:g}" if labelled else NullFormatter())


def _inner(ticks: np.ndarray, line: Callable, low: float, high: float) -> np.ndarray:
    """The ticks that are well within an axis."""
    ticks = ticks[(low < ticks) & (ticks < high)]
    place = (line(ticks) - line(low)) / (line(high) - line(low))
    return ticks[(0.04 < place) & (place < 0.96)]


def _shown_range(values: np.ndarray, r: Range) -> tuple[float, float]:
    """Where 98 % of the draws are, with a margin of a tenth on either side, within the prior."""
    middle = np.quantile(values, (0.01, 0.99))
    return limits(middle if middle[1] > middle[0] else values, r, 0.1)


@own_style()
def trace_figure(tree) -> Figure:
    """Per parameter the chains' draws in order and the histogram of their ranks, flat where the chains agree."""
    draws, ranges = _draws(tree), _ranges(tree)
    diverging = np.asarray(tree["sample_stats"]["diverging"])
    fig = blank_figure(10.5, 1.75 * len(draws) + 0.9)
    axes = fig.subplots(len(draws), 2, width_ratios=(2.2, 1), squeeze=False)
    for (left, right), (name, values) in zip(axes, draws.items(), strict=True):
        _trace(left, values, diverging)
        left.set(ylabel=label(name, ranges[name]), yscale="log" if ranges[name].log else "linear")
        _ranks(right, values)
    axes[-1][0].set_xlabel("draw")
    axes[-1][1].set_xlabel("rank among all draws")
    axes[0][1].set_title("draws per rank bin, by chain", fontsize=10)
    _title(fig, tree)
    return fig


def _trace(ax: Axes, values: Float[np.ndarray, "chains draws"], diverging: np.ndarray) -> None:
    points = "." if values.shape[1] < 10 else None
    for chain, (line, marks) in enumerate(zip(values, diverging, strict=True)):
        ax.plot(line, color=_colour(chain), marker=points, lw=0.4, alpha=0.7, rasterized=True)
        ax.plot(np.flatnonzero(marks), line[marks], "x", color="black", ms=4)
    ax.set_xlim(0, values.shape[1])


def _ranks(ax: Axes, values: Float[np.ndarray, "chains draws"]) -> None:
    """Histograms of at most 20 bins, in which a chain has five draws or more if all is well."""
    ranks = rankdata(values).reshape(values.shape)
    bins = min(20, max(1, values.shape[1] // 5))
    expected = values.shape[1] / bins
    for chain, line in enumerate(ranks):
        ax.hist(line, bins=bins, range=(0.5, values.size + 0.5), histtype="step", color=_colour(chain))
    ax.axhline(expected, color=GREY, lw=0.8, ls="--")
    ax.set(xlim=(0.5, values.size + 0.5), ylim=(0, 2.5 * expected))


@own_style()
def plane_figure(tree) -> Figure:
    """Draws in the (m_V, g_mu^V) plane as in Figs. 4 and 5: those inside the 95.45 % highest-density region.

    A model without g_mu^V is shown in the plane of its first two parameters, those that never change left out; one with
    a single parameter by the log-likelihood of its draws. The region is that of all parameters together, in coordinates
    in which the prior is flat: there the density is the likelihood, so it holds the 95.45 % of the draws with the
    largest one. Contours are those of the plane alone, from 200 draws on.
    """
    draws, ranges, record = _draws(tree), _ranges(tree), summary(tree)
    across, up = _axes_of_plane(draws)
    gain = np.asarray(tree["derived"]["log_likelihood"]).ravel() - record["sm_log_likelihood"]
    kept = np.argsort(gain)[int(round((1 - _TWO_SIGMA) * gain.size)) :]
    best = record["max_likelihood_draw"]["parameters"]
    best = {name: float(shown(value, ranges[name])) for name, value in best.items()}
    x, y = draws[across].ravel(), gain if up is None else draws[up].ravel()
    fig = blank_figure(8.0, 5.6)
    ax = fig.subplots()
    points = ax.scatter(x[kept], y[kept], c=gain[kept], s=7, cmap="viridis", lw=0, rasterized=True)
    handles = [marker("#21918c", "o", "draws in the 95.45 % region")]
    _scale_as(ax.set_xscale, ax.set_xlim, x, ranges[across])
    ax.set_xlabel(label(across, ranges[across]))
    if up is None:
        ax.set_ylabel(_GAIN)
        ax.plot(best[across], gain.max(), "*", color=VERMILION, mec="black", ms=15)
    else:
        fig.colorbar(points, ax=ax, label=_GAIN, pad=0.02)
        if draw_contours(ax, x, y, ranges[across], ranges[up]):
            handles += [
                Line2D([], [], color="black", ls=style, label=f"{100 * share:.2f} % contour")
                for share, _, style in CONTOURS[:2]
            ]
        ax.plot(best[across], best[up], "*", color=VERMILION, mec="black", ms=15)
        _scale_as(ax.set_yscale, ax.set_ylim, y, ranges[up])
        ax.set_ylabel(label(up, ranges[up]))
    handles.append(marker(VERMILION, "*", "maximum-likelihood draw", mec="black", ms=12))
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    _title(fig, tree)
    return fig


_GAIN = r"$\ln L - \ln L_{\mathrm{SM}}$"


def _axes_of_plane(draws: Mapping[str, np.ndarray]) -> tuple[str, str | None]:
    """Parameters to the right and upwards; the second is None where a single one changes."""
    names = _moving(draws) or [*draws][:1]
    if "g_mu_V" in names and len(names) > 1:
        return next(name for name in names if name != "g_mu_V"), "g_mu_V"
    return names[0], names[1] if len(names) > 1 else None


def _scale_as(set_scale: Callable, set_limits: Callable, values: np.ndarray, r: Range) -> None:
    """Scale and limits of an axis as in the prior; if the draws fill less than a tenth of it, their surroundings."""
    set_scale("log" if r.log else "linear")
    line = np.log if r.log else np.asarray
    whole, filled = np.ptp(line(ends(r))), np.ptp(line([values.min(), values.max()]))
    set_limits(*(ends(r) if filled > 0.1 * whole else limits(values, r, 0.5)))


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
) -> bool:
    """Smallest regions of the plane that hold the first `sigmas` shares of CONTOURS, from a smoothed histogram.

    Values are those of the axes, magnitudes where they are logarithmic. Bins lie where the draws are. Returns whether
    there are enough draws, 200, which vary in both directions; else nothing is drawn.
    """
    if len(x) < _ENOUGH or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return False
    edges = []
    for values, r in ((x, x_range), (y, y_range)):
        space = np.geomspace if r.log else np.linspace
        edges.append(space(*limits(values, r, 0.15), bins + 1))
    centres = [
        np.sqrt(e[1:] * e[:-1]) if r.log else (e[1:] + e[:-1]) / 2
        for e, r in zip(edges, (x_range, y_range), strict=True)
    ]
    counts = np.histogram2d(x, y, edges)[0]
    for share, width, style in reversed(CONTOURS[:sigmas]):
        density = gaussian_filter(counts, width, mode="nearest")
        descending = np.argsort(density.ravel())[::-1]
        held = np.cumsum(counts.ravel()[descending]) / counts.sum()
        level = density.ravel()[descending[np.searchsorted(held, share)]]
        if density.min() < level < density.max():
            ax.contour(*centres, density.T, levels=[level], colors=colour, linestyles=style, linewidths=1.2)
    return True


@own_style()
def pulls_figure(tree) -> Figure:
    """Pulls of all measurements in the Standard Model and at the maximum-likelihood draw, in at most three columns."""
    rows = summary(tree)["pulls"]
    per_column = -(-len(rows) // 3)
    columns = -(-len(rows) // per_column)
    fig = blank_figure(5.0 * columns, 0.17 * per_column + 1.4)
    axes = fig.subplots(1, columns, squeeze=False)[0]
    pulls = np.array([[_number(row[name]) for name in ("sm", "best")] for row in rows])
    largest = max(3.5, float(np.nanmax(np.abs(pulls), initial=0.0)) + 0.3)
    for ax, start in zip(axes, range(0, len(rows), per_column), strict=True):
        _pulls(ax, rows[start : start + per_column], min(largest, 8.0))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    _title(fig, tree)
    return fig


def _pulls(ax: Axes, rows: list[dict], limit: float) -> None:
    """One column of the figure; a pull beyond the axis is a triangle at its edge."""
    height = np.arange(len(rows))
    sm, best = (np.array([_number(row[name]) for row in rows]) for name in ("sm", "best"))
    for width, shade in ((2, "#eeeeee"), (1, "#dddddd")):
        ax.axvspan(-width, width, color=shade, zorder=0, lw=0)
    ax.hlines(height, *(np.clip(pull, -limit, limit) for pull in (sm, best)), color=GREY, lw=0.8, zorder=1)
    for pull, style, name in (
        (sm, {"mfc": "white", "mec": GREY}, "Standard Model"),
        (best, {"color": BLUE}, "maximum-likelihood draw"),
    ):
        inside = np.abs(pull) <= limit
        ax.plot(pull[inside], height[inside], "o", ms=4.5, label=name, **style)
        for side, shape in ((-1, "<"), (1, ">")):
            beyond = side * pull > limit
            if beyond.any():  # an empty line that is not clipped would spoil the layout
                ax.plot(np.full(beyond.sum(), side * limit), height[beyond], shape, ms=6, clip_on=False, **style)
    ax.set_yticks(height, [literal(row["id"], 44) for row in rows], fontsize=6.5)
    ax.set(xlim=(-limit, limit), ylim=(len(rows) - 0.5, -0.5), xlabel="(prediction − measurement)/error")


def _number(value: float | None) -> float:
    """The number, NaN where a result has none."""
    return math.nan if value is None else float(value)


_OVERLAID = ((BLUE, "-"), (VERMILION, "--"), (GREEN, ":"), (ORANGE, "-."))


@own_style()
def overlay_figure(
    trees: Mapping[str, Any],
    distances: Mapping[str, Mapping[str, float]] | None = None,
    differences: str = "",
) -> Figure:
    """Distribution functions of each parameter in several results, by label, on the axes of the first one's prior.

    Args:
        trees: results.
        distances: of `marginal_distances`, written into the panels.
        differences: a sentence for the title on what else than the draws differs between the results.
    """
    ranges = _ranges(next(iter(trees.values())))
    columns = min(3, len(ranges))
    lines = math.ceil(len(ranges) / columns)
    fig = blank_figure(max(7.0, 3.5 * columns), 2.3 * lines + 0.8)
    axes = fig.subplots(lines, columns, squeeze=False).ravel()
    for ax, (name, r) in zip(axes, ranges.items(), strict=False):
        for tree, (colour, style) in zip(trees.values(), _OVERLAID, strict=False):
            values = np.sort(shown(np.asarray(tree["posterior"][name]).ravel(), r))
            ax.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour, ls=style, lw=1.4)
        if distances is not None:
            found = distances[name]
            p_value = "" if found["p_value"] is None else f", p = {found['p_value']:.2g}"
            ax.set_title(f"KS distance {found['distance']:.3f}{p_value}", fontsize=9, loc="right")
        ax.set(xlabel=label(name, r), xscale="log" if r.log else "linear", ylim=(0, 1))
    for ax in axes[len(ranges) :]:
        ax.axis("off")
    for ax in axes[::columns]:
        ax.set_ylabel("posterior probability below", fontsize=9)
    records = [summary(tree) for tree in trees.values()]
    same = len({tuple(selection(record)) for record in records}) == 1
    handles = [
        # a legend leaves out what begins with an underscore
        Line2D([], [], color=colour, ls=style, label=" " + "\n".join([f"{literal(name)}: {_work(record)}", *(
            [] if same else [", ".join(selection(record)[:3]), ", ".join(selection(record)[3:])]
        )]))
        for name, record, (colour, style) in zip(trees, records, _OVERLAID, strict=False)
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    first = [selection(records[0])] if same else []
    set_title(fig, first, warning=literal(differences, 400), colour=VERMILION if differences else "black")
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
    """Write every figure as PNG and PDF into a folder and return the names of the files.

    Raises:
        FigureError: some could not be drawn; all others are written.
    """
    return save_each({stem: lambda make=make: make(tree) for stem, make in FIGURES.items()}, folder)


def _draws(tree) -> dict[str, Float[np.ndarray, "chains draws"]]:
    """Draws of the parameters by name; those with a logarithmic prior by magnitude."""
    return {name: shown(tree["posterior"][name].values, r) for name, r in _ranges(tree).items()}


def _ranges(tree) -> dict[str, Range]:
    return {name: Range(**fields) for name, fields in attributes(tree)["prior"].items()}


def _colour(chain: int) -> str:
    return (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)[chain % 6]


def marker(colour: str, shape: str, label: str, **style) -> Line2D:
    """Entry of a legend for points."""
    return Line2D([], [], color=colour, marker=shape, ls="none", label=label, **style)


def _title(fig: Figure, tree, *further: list[str]) -> None:
    """Region, data, theory mode, reading of (g-2) and draws; in red that the run has not converged, and why."""
    record = summary(tree)
    shown = [*record["warnings"][:2], *(["see summary.json"] if len(record["warnings"]) > 2 else [])]
    warning = "" if record["converged"] else f"not converged: {'; '.join(literal(words, 250) for words in shown)}"
    lines = [[*selection(record), _work(record)], *further]
    set_title(fig, lines, warning=warning, colour="black" if record["converged"] else VERMILION)


def selection(record: Mapping[str, Any]) -> list[str]:
    """What was fitted to what, as parts of a title."""
    return [
        literal(record["model"]),
        f"{literal(record['region'])} region",
        f"data {literal(record['data'])}",
        f"theory {literal(record['theory'])}",
        f"$(g-2)_\\mu$ {literal(record['g_minus_2'])}",
    ]


def _work(record: Mapping[str, Any]) -> str:
    """How many draws there are, and by which method if there are no chains."""
    if (method := record.get("method", "nuts")) == "nuts":
        return f"{record['chains']} × {record['draws']} draws"
    return f"{record['draws']} draws by {'nested' if method == 'nested' else 'importance'} sampling"
