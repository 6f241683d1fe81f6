"""What all figures share: style and colours of their own, words that stay words, axes of a prior, whole files.

Inputs: words from data, priors, functions that draw. Outputs: labels, matplotlib figures and their files.
"""

import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxdark.likelihood.priors import Range

PALETTE = BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY = "#777777"
"""Colours that colour-blind readers tell apart (Okabe and Ito), and grey."""

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
    "m_1": "$m_1$ [GeV]",
    "m_2": "$m_2$ [GeV]",
    "m_3": "$m_3$ [GeV]",
    "Y_s": "$Y_s$",
    "Y_b": "$Y_b$",
    "Y_mu": r"$Y_\mu$",
}
"""Of the shipped models' parameters on an axis; bars where a logarithmic prior shows the magnitude."""

own_style = partial(matplotlib.style.context, "default", after_reset=True)
"""Matplotlib's defaults while a figure is made or drawn, so that nothing of the user's matplotlibrc reaches it, such as
LaTeX that is not there. A decorator or a context."""


class FigureError(Exception):
    """Which figures could not be drawn, and why; all others are there."""


class _Figure(Figure):
    """A figure without pyplot that is drawn and saved in the package's style."""

    def draw(self, renderer) -> None:
        with _drawing():
            super().draw(renderer)

    def savefig(self, *args, **options) -> None:
        with _drawing():
            super().savefig(*args, **options)


@contextmanager
def _drawing():
    with own_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands for it
        yield


@own_style()
def blank_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure without pyplot, inches."""
    fig = _Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(fig)
    return fig


def literal(words: object, longest: int = 60) -> str:
    """Words from data as a figure shows them: no mathematics, no line break; what is too long loses its middle."""
    text = "".join(c if c.isprintable() else " " for c in str(words))
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest // 2 - 1) :]}"
    return text.replace("$", r"\$")


def label(name: str, r: Range) -> str:
    """Of an axis that shows a parameter: the symbol of a shipped model, another name as it is; bars at magnitudes."""
    text = LABELS.get(name)
    if text is None:
        return f"|{literal(name, 24)}|" if r.log and r.sign < 0 else literal(name, 24)
    if not r.log:
        return text.replace("|", "")
    return re.sub(r"^\$(.*)\$", r"$|\1|$", text) if r.sign < 0 and "|" not in text else text


def axis(side: Literal["x", "y"], name: str, r: Range) -> dict[str, str]:
    """Label and scale of an axis that shows a parameter, for `Axes.set`."""
    return {f"{side}label": label(name, r), f"{side}scale": "log" if r.log else "linear"}


def shown(values: np.ndarray | float, r: Range) -> np.ndarray:
    """Magnitudes on a logarithmic axis, where a sign may stand before the whole range; else the values."""
    return np.abs(values) if r.log else np.asarray(values)


def ends(r: Range) -> tuple[float, float]:
    """Lower and upper end of a prior on its axis."""
    low, high = (r.lower, r.upper) if r.log else sorted((r.sign * r.lower, r.sign * r.upper))
    return float(low), float(high)


def limits(values: np.ndarray, r: Range, margin: float) -> tuple[float, float]:
    """Where the values lie with a share of their width on either side, within the prior; never empty."""
    scale, back = (np.log, np.exp) if r.log else (np.asarray, np.asarray)
    low, high = scale(values.min()), scale(values.max())
    if not high > low:
        width = 0.1 if r.log else 0.1 * abs(float(low)) or 1.0
        return float(back(low - width)), float(back(high + width))
    lower, upper = ends(r)
    spare = margin * (high - low)
    return max(float(back(low - spare)), lower), min(float(back(high + spare)), upper)


def marker(colour: str, shape: str, label: str, **style) -> Line2D:
    """Entry of a legend for points."""
    return Line2D([], [], color=colour, marker=shape, ls="none", label=label, **style)


def draw_star(ax: Axes, x: float, y: float, label: str) -> Line2D:
    """Mark the best point, also on the edge of the axes, and return its entry of a legend."""
    ax.plot(x, y, "*", color=VERMILION, mec="black", ms=15, clip_on=False, zorder=10)
    return marker(VERMILION, "*", label, mec="black", ms=12)


def bins(low: float, high: float, r: Range, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges and centres of bins that are equally wide on the axis of a parameter."""
    if r.log:
        edges = np.geomspace(low, high, number + 1)
        return edges, np.sqrt(edges[1:] * edges[:-1])
    edges = np.linspace(low, high, number + 1)
    return edges, (edges[1:] + edges[:-1]) / 2


def set_title(fig: Figure, lines: Sequence[Sequence[str]], *, warning: str = "", colour: str = "black") -> None:
    """Title of a figure: each line's parts, broken between parts where the figure is narrow, then a warning."""
    width = int(11 * fig.get_figwidth())
    rows: list[str] = []
    for parts in lines:
        row = ""
        for part in parts:
            longer = f"{row}, {part}" if row else part
            if row and len(longer.replace("\\", "")) > width:
                rows.append(f"{row},")
                longer = part
            row = longer
        rows.append(row)
    if warning:
        rows += textwrap.wrap(warning, width, break_long_words=False, break_on_hyphens=False)
    fig.suptitle("\n".join(rows), fontsize=11, color=colour)


def save_figure(fig: Figure, folder: Path, stem: str) -> list[str]:
    """Write a figure as PNG and PDF into a folder, each under a temporary name first, and return the files' names."""
    names = []
    for kind, options in (("png", {"dpi": 150}), ("pdf", {"metadata": {"CreationDate": None}})):
        name, temporary = f"{stem}.{kind}", folder / f".{stem}.{kind}"
        try:
            fig.savefig(temporary, format=kind, **options)
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        names.append(name)
    return names


def save_each(makers: Mapping[str, Callable[[], Figure]], folder: Path) -> list[str]:
    """Make and write figures by the stems of their files, and return the names of the files.

    Raises:
        FigureError: some could not be drawn, for whatever reason; it is raised after all others are written.
    """
    names, failed = [], []
    for stem, make in makers.items():
        try:
            names += save_figure(make(), folder, stem)
        except Exception as error:
            failed.append(f"{stem} ({type(error).__name__}: {' '.join(str(error).split())})")
    if failed:
        raise FigureError(f"could not draw {', '.join(failed)}")
    return names
