"""Pulls of all measurements of a result.

Inputs: the result of a sampling run. Outputs: a matplotlib figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdark.io.results import summary
from jaxdark.output.drawing import BLUE, GREY, blank_figure, literal, own_style
from jaxdark.output.draws import title_of_draws

_WIDEST = 8.0
"""Pull at which the axis ends at most; those beyond are triangles at its edge."""


@own_style()
def pulls_figure(tree) -> Figure:
    """Pulls of all measurements in the Standard Model and at the maximum-likelihood draw, in at most three columns."""
    rows = summary(tree)["pulls"]
    per_column = -(-len(rows) // 3)
    columns = -(-len(rows) // per_column)
    fig = blank_figure(5.0 * columns, 0.17 * per_column + 1.4)
    axes = fig.subplots(1, columns, squeeze=False)[0]
    largest = max(3.5, float(np.nanmax(np.abs([_values(rows, name) for name in ("sm", "best")]), initial=0.0)) + 0.3)
    for ax, start in zip(axes, range(0, len(rows), per_column), strict=True):
        _draw_column(ax, rows[start : start + per_column], min(largest, _WIDEST))
        ax.set_ylim(per_column - 0.5, -0.5)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    title_of_draws(fig, tree)
    return fig


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], dtype=float)  # None, for a pull that does not exist, becomes NaN


def _draw_column(ax: Axes, rows: Sequence[Mapping[str, Any]], limit: float) -> None:
    height = np.arange(len(rows))
    sm, best = _values(rows, "sm"), _values(rows, "best")
    for width, shade in ((2, "#eeeeee"), (1, "#dddddd")):
        ax.axvspan(-width, width, color=shade, zorder=0, lw=0, label=f"within ±{width}")
    ax.hlines(height, np.clip(sm, -limit, limit), np.clip(best, -limit, limit), color=GREY, lw=0.8, zorder=1)
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
    ax.set(xlim=(-limit, limit), xlabel="pull: (prediction − measurement)/error")
