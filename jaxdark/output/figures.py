"""The figures of a result, each in a file of its own family; no physics is computed here.

Inputs: the result of a sampling run. Outputs: figures, made without pyplot so that none stays open and no display is
needed, and their files.
"""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from jaxdark.output.corner_figure import corner_figure
from jaxdark.output.drawing import save_each
from jaxdark.output.plane_figure import plane_figure
from jaxdark.output.pulls_figure import pulls_figure
from jaxdark.output.trace_figure import trace_figure

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
