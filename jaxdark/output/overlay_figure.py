"""Marginal distributions of several results on top of each other.

Inputs: results of sampling runs by their labels. Outputs: a matplotlib figure.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxdark.io.results import summary
from jaxdark.output.drawing import PALETTE, VERMILION, axis, blank_figure, literal, own_style, set_title, shown
from jaxdark.output.draws import number_of_draws, prior_ranges, selection

_STYLES = tuple(zip(PALETTE, ("-", "--", ":", "-."), strict=False))


@own_style()
def overlay_figure(
    trees: Mapping[str, Any],
    distances: Mapping[str, Mapping[str, float]] | None = None,
    differences: str = "",
) -> Figure:
    """Distribution functions of each parameter in up to four results, on the axes of the first one's prior.

    Args:
        trees: results by the label that the legend shows.
        distances: of `marginal_distances`, written into the panels.
        differences: a sentence for the title on what else than the draws differs between the results.
    """
    ranges = prior_ranges(next(iter(trees.values())))
    columns = min(3, len(ranges))
    lines = math.ceil(len(ranges) / columns)
    fig = blank_figure(max(7.0, 3.5 * columns), 2.3 * lines + 0.8)
    axes = fig.subplots(lines, columns, squeeze=False).ravel()
    for ax, (name, r) in zip(axes, ranges.items(), strict=False):
        for tree, (colour, style) in zip(trees.values(), _STYLES, strict=False):
            values = np.sort(shown(np.asarray(tree["posterior"][name]).ravel(), r))
            ax.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour, ls=style, lw=1.4)
        if distances is not None:
            distance, p_value = distances[name]["distance"], distances[name]["p_value"]
            tail = "" if p_value is None else f", p = {p_value:.2g}"
            ax.set_title(f"KS distance {distance:.3f}{tail}", fontsize=9, loc="right")
        ax.set(ylim=(0, 1), **axis("x", name, r))
    for ax in axes[len(ranges) :]:
        ax.axis("off")
    for ax in axes[::columns]:
        ax.set_ylabel("cumulative probability", fontsize=9)
    records = [summary(tree) for tree in trees.values()]
    same = len({tuple(selection(record)) for record in records}) == 1
    handles = []
    for name, record, (colour, style) in zip(trees, records, _STYLES, strict=False):
        words = [f"{literal(name)}: {number_of_draws(record)}"]
        if not same:
            words += [", ".join(selection(record)[:3]), ", ".join(selection(record)[3:])]
        text = " " + "\n ".join(words)  # a legend leaves out what begins with an underscore
        handles.append(Line2D([], [], color=colour, ls=style, label=text))
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    first = [selection(records[0])] if same else []
    set_title(fig, first, warning=literal(differences, 400), colour=VERMILION if differences else "black")
    return fig
