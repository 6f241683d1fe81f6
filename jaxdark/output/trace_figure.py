"""The chains of a result, draw by draw, and whether they agree.

Inputs: the result of a sampling run. Outputs: a matplotlib figure.
"""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from jaxdark.output.drawing import GREY, PALETTE, axis, blank_figure, marker, own_style
from jaxdark.output.draws import prior_ranges, shown_draws, title_of_draws


@own_style()
def trace_figure(tree) -> Figure:
    """Per parameter the chains' draws in order and the histogram of their ranks, flat where the chains agree."""
    draws, ranges = shown_draws(tree), prior_ranges(tree)
    diverging = np.asarray(tree["sample_stats"]["diverging"])
    fig = blank_figure(10.5, 1.75 * len(draws) + 1.2)
    axes = fig.subplots(len(draws), 2, width_ratios=(2.2, 1), squeeze=False)
    for (left, right), (name, values) in zip(axes, draws.items(), strict=True):
        _draw_chains(left, values, diverging)
        left.set(**axis("y", name, ranges[name]))
        _draw_ranks(right, values)
    axes[-1][0].set_xlabel("draw")
    axes[-1][1].set_xlabel("rank among all draws")
    axes[0][1].set_title("draws per rank bin, by chain", fontsize=10)
    fig.align_ylabels(axes[:, 0])
    colours = PALETTE[: len(diverging)]
    handles = [Line2D([], [], color=colour, label=f"chain {chain}") for chain, colour in enumerate(colours)]
    if len(diverging) > len(PALETTE):
        handles[-1].set_label(f"chain {len(PALETTE) - 1}, then the same colours again")
    handles.append(Line2D([], [], color=GREY, lw=0.8, ls="--", label="expected"))
    if diverging.any():
        handles.append(marker("black", "x", "divergence", ms=4))
    fig.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    title_of_draws(fig, tree)
    return fig


def _draw_chains(
    ax: Axes, values: Float[np.ndarray, "chains draws"], diverging: Bool[np.ndarray, "chains draws"]
) -> None:
    points = "." if values.shape[1] < 10 else None
    for chain, (line, marks) in enumerate(zip(values, diverging, strict=True)):
        ax.plot(line, color=PALETTE[chain % len(PALETTE)], marker=points, lw=0.4, alpha=0.7, rasterized=True)
        ax.plot(np.flatnonzero(marks), line[marks], "x", color="black", ms=4)
    ax.set_xlim(0, values.shape[1])


def _draw_ranks(ax: Axes, values: Float[np.ndarray, "chains draws"]) -> None:
    """Histograms of at most 20 bins, in which a chain has five draws or more if all is well."""
    ranks = rankdata(values).reshape(values.shape)
    bins = min(20, max(1, values.shape[1] // 5))
    expected = values.shape[1] / bins
    for chain, line in enumerate(ranks):
        colour = PALETTE[chain % len(PALETTE)]
        ax.hist(line, bins=bins, range=(0.5, values.size + 0.5), histtype="step", color=colour)
    ax.axhline(expected, color=GREY, lw=0.8, ls="--")
    ax.set(xlim=(0.5, values.size + 0.5), ylim=(0, 2.5 * expected))
