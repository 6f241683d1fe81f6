"""Marginal distributions of the parameters of a result, alone and in pairs.

Inputs: the result of a sampling run. Outputs: a matplotlib figure.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from jaxdark.io.results import arviz
from jaxdark.likelihood.priors import Range
from jaxdark.output.contours import CONTOURS
from jaxdark.output.drawing import BLUE, VERMILION, blank_figure, label, limits, marker, own_style
from jaxdark.output.draws import ENOUGH, prior_ranges, shown_best, shown_draws, title_of_draws, varying


@own_style()
def corner_figure(tree) -> Figure:
    """Marginal distributions of the parameters, alone and in pairs: 68.27 and 95.45 % regions, the maximum-likelihood
    draw marked.

    Axes span 98 % of the draws and a margin, within the prior. Parameters that never change are named in the title.
    """
    draws, ranges = shown_draws(tree), prior_ranges(tree)
    names = varying(draws)
    fixed = [_value(name, draws[name].flat[0], ranges[name]) for name in draws if name not in names]
    width = max(7.0, 2.1 * len(names))
    fig = blank_figure(width, width + 0.5, layout=None)
    title_of_draws(fig, tree, *([["fixed: " + ", ".join(fixed)]] if fixed else []))
    if not names:
        return fig
    points = np.stack([draws[name].ravel() for name in names], axis=1)
    enough = len(points) >= ENOUGH
    best = [shown_best(tree)[name] for name in names]
    arviz()  # which corner imports, and which announces its next version then
    import corner

    corner.corner(
        np.tile(points, (-(-len(names) // len(points)), 1)),  # corner wants more draws than parameters
        fig=fig,
        bins=40 if enough else 10,
        range=[_axis_limits(draws[name], ranges[name]) for name in names],
        axes_scale=["log" if ranges[name].log else "linear" for name in names],
        labels=[label(name, ranges[name]) for name in names],
        truths=best if len(names) > 1 else None,
        truth_color=VERMILION,
        color=BLUE,
        levels=[share for share, _, _ in CONTOURS[:2]],
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
        _set_ticks(ax)
    handles = [marker(VERMILION, "s", "maximum-likelihood draw")]
    if len(names) == 1:
        fig.axes[0].axvline(best[0], color=VERMILION)
    elif enough:
        handles[:0] = [marker(BLUE, "s", "68.27 % region"), marker(BLUE, "s", "95.45 % region", alpha=0.35)]
    else:
        handles[:0] = [marker(BLUE, "o", "draws")]
    _lay_out(fig, len(names), handles)
    return fig


def _value(name: str, value: float, r: Range) -> str:
    symbol, _, unit = label(name, r).partition(" [")
    return f"{symbol} = {value:.6g} {unit.rstrip(']')}".rstrip()


def _lay_out(fig: Figure, panels: int, handles: list[Line2D]) -> None:
    """Room in inches for title, legend and labels, whatever the size of the panels."""
    width, height = fig.get_size_inches()
    header = 0.35 + 0.2 * (fig.get_suptitle().count("\n") + 1)
    side, right = 1.05, 0.2
    corner = (1 - right / width, 1 - header / height)
    if panels == 1:  # the legend has a line of its own above the panel
        header, corner = header + 0.35, (corner[0], 1 - header / height)
    fig.subplots_adjust(left=side / width, right=1 - right / width, bottom=side / height, top=1 - header / height)
    fig.legend(handles=handles, loc="upper right", bbox_to_anchor=corner, frameon=False)
    for ax in fig.axes:
        box = ax.get_position()
        ax.xaxis.set_label_coords(0.5, -0.75 / (box.height * height))
        ax.yaxis.set_label_coords(-0.75 / (box.width * width), 0.5)


def _set_ticks(ax: Axes) -> None:
    """Few ticks, none near the ends of an axis, where the labels would meet those of the next panel."""
    ax.minorticks_off()
    for axis in (ax.xaxis, ax.yaxis):
        if not len(axis.get_ticklocs()):
            continue  # the height of a histogram
        log = axis.get_scale() == "log"
        line, back = (np.log, np.exp) if log else (np.asarray, np.asarray)
        low, high = line(axis.get_view_interval())
        margin = 0.04 * (high - low)
        low, high = back(low + margin), back(high - margin)
        locator = LogLocator(subs=(1, 3) if high < 500 * low else (1,), numticks=6)
        ticks = (locator if log and high > 10 * low else MaxNLocator(4)).tick_values(low, high)
        axis.set_ticks(ticks[(low < ticks) & (ticks < high)])
        if axis.label.get_text():
            axis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "\N{MINUS SIGN}"))


def _axis_limits(values: np.ndarray, r: Range) -> tuple[float, float]:
    """Where 98 % of the draws are, with a margin of a tenth on either side, within the prior."""
    middle = np.quantile(values, (0.01, 0.99))
    return limits(middle if middle[1] > middle[0] else values, r, 0.1)
