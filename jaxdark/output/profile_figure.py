"""Figure of a profile likelihood in one or two parameters, with a posterior drawn beside it.

Inputs: the dataset of `jaxdark.profile` and, to compare, the result of a sampling run. Outputs: a matplotlib figure.
"""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxdark.check.compare import differences, made_of
from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, Range
from jaxdark.likelihood.provenance import NEEDS, provenance
from jaxdark.optimise.profile import record_of
from jaxdark.output.contours import CONTOURS, draw_contours
from jaxdark.output.drawing import (
    BLUE,
    GREY,
    VERMILION,
    axis,
    bins,
    blank_figure,
    draw_star,
    ends,
    literal,
    own_style,
    save_each,
    set_title,
    shown,
)
from jaxdark.output.draws import number_of_draws, selection
from jaxdark.output.table import data_in_words

LEVELS = {1: (1.0, 4.0, 9.0), 2: (2.29575, 6.18007, 11.82916)}
"""Delta chi2 that encloses 68.27, 95.45 and 99.73 %, by the number of parameters."""
_SHOWN = 25.0


def posterior(result: Path, prior: Prior, like: Likelihood):
    """The result of a sampling run of the same posterior; raises RequestError for one of another.

    Model, region, prior, data, theory mode, reading of (g-2) and inputs are those of the profile.
    """
    tree = results.load(result, *NEEDS)
    record = results.summary(tree)
    if (record["model"], record["region"]) != (prior.model_name, prior.region):
        raise RequestError(
            f"the posterior in {result} is of the model {record['model']}, region {record['region']}, the profile of "
            f"{prior.model_name}, {prior.region}; give a posterior of the same model and region"
        )
    if unlike := differences(made_of(tree), provenance(like, prior).json()):
        raise RequestError(
            f"the posterior in {result} and the profile differ in {'; '.join(unlike)}; give a posterior of the same "
            "model, region, data, theory, (g-2) and inputs, or leave --posterior out"
        )
    return tree


def save(dataset: xr.Dataset, folder: Path, tree=None) -> list[str]:
    """Write the figure as profile.png and profile.pdf and return the names of the files; raises FigureError."""
    return save_each({"profile": lambda: profile_figure(dataset, tree)}, folder)


@own_style()
def profile_figure(dataset: xr.Dataset, tree=None) -> Figure:
    """Delta chi2 over the grid with the 1, 2 and 3 sigma lines of the profile, and regions of a posterior.

    Args:
        dataset: of `jaxdark.profile`.
        tree: the result of a sampling run of the same posterior, if that is to be drawn too.
    """
    record, names = record_of(dataset), [str(name) for name in dataset["delta_chi2"].dims]
    ranges = [Range(**record["prior"][name]) for name in names]
    draws = [] if tree is None else [
        shown(tree["posterior"][name].values.ravel(), r) for name, r in zip(names, ranges, strict=True)
    ]  # fmt: skip
    parameters = record["best"]["parameters"]
    best = [float(shown(parameters[name], r)) for name, r in zip(names, ranges, strict=True)]
    fig = blank_figure(8.0, 5.8)
    ax = fig.subplots()
    if len(names) == 1:
        handles = _draw_line(ax, dataset, ranges[0], *draws)
        star = draw_star(ax, best[0], 0.0, "best fit")
    else:
        handles = _draw_plane(fig, ax, dataset, ranges, draws)
        star = draw_star(ax, *best, "best fit")
        ax.set(**axis("y", names[1], ranges[1]))
    ax.set(**axis("x", names[0], ranges[0]))
    fig.legend(handles=[*handles, star], loc="outside lower center", ncols=3, frameon=False)
    _set_title(fig, dataset, tree)
    return fig


def _draw_plane(
    fig: Figure, ax: Axes, dataset: xr.Dataset, ranges: list[Range], draws: list[np.ndarray]
) -> list[Line2D]:
    x, y = (shown(dataset[name].values, r) for name, r in zip(dataset["delta_chi2"].dims, ranges, strict=True))
    delta = dataset["delta_chi2"].values.T
    image = ax.pcolormesh(x, y, np.minimum(delta, _SHOWN), cmap="Blues", vmin=0, vmax=_SHOWN, rasterized=True)
    fig.colorbar(image, ax=ax, label=r"$\Delta\chi^2$ of the profile", pad=0.02, extend="max")
    for level, (_, _, style) in zip(LEVELS[2], CONTOURS, strict=True):
        if min(delta.shape) > 1 and np.nanmin(delta) < level < np.nanmax(delta):
            ax.contour(x, y, delta, levels=[level], colors="black", linestyles=style, linewidths=1.3)
    handles = [Line2D([], [], color="black", label="profile")]
    if draws and draw_contours(ax, *draws, *ranges, sigmas=len(CONTOURS), colour=VERMILION):
        handles.append(Line2D([], [], color=VERMILION, label="posterior"))
    handles += [
        Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$: {100 * share:.2f} %")
        for sigma, (share, _, style) in enumerate(CONTOURS, start=1)
    ]
    for values, set_limits in ((x, ax.set_xlim), (y, ax.set_ylim)):
        if np.ptp(values) > 0:
            set_limits(values.min(), values.max())
    return handles


def _draw_line(ax: Axes, dataset: xr.Dataset, r: Range, draws: np.ndarray | None = None) -> list[Line2D]:
    (name,) = dataset["delta_chi2"].dims
    x, delta = shown(dataset[name].values, r), dataset["delta_chi2"].values
    ax.plot(x, delta, color=BLUE)
    handles = [Line2D([], [], color=BLUE, label="profile")]
    for sigma, (level, (_, _, style)) in enumerate(zip(LEVELS[1], CONTOURS, strict=True), start=1):
        ax.axhline(level, color=GREY, lw=0.9, ls=style)
        handles.append(Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$"))
    if draws is not None:
        ax.plot(*_density(draws, r), color=VERMILION, drawstyle="steps-mid")
        handles.append(Line2D([], [], color=VERMILION, label=r"posterior, $-2\ln(p/p_\mathrm{max})$"))
    ax.set(ylim=(0, min(_SHOWN, 1.1 * max(float(np.nanmax(delta)), 9.5))), ylabel=r"$\Delta\chi^2$")
    if np.ptp(x) > 0:
        ax.set_xlim(x.min(), x.max())
    return handles


def _density(draws: np.ndarray, r: Range) -> tuple[np.ndarray, np.ndarray]:
    """-2 ln of the density of draws relative to its largest, where the prior is flat; bins with ten draws or more."""
    edges, centres = bins(*ends(r), r, 50)
    counts = np.histogram(draws, edges)[0]
    enough = counts >= 10
    return centres, np.where(enough, -2 * np.log(np.where(enough, counts, 1) / max(counts.max(), 1)), np.nan)


def _set_title(fig: Figure, dataset: xr.Dataset, tree) -> None:
    lines = [selection(record_of(dataset))]
    if tree is not None:
        record = results.summary(tree)
        warning = [] if record["converged"] else ["not converged"]
        lines.append([f"posterior: data {literal(data_in_words(record))}", number_of_draws(record), *warning])
    set_title(fig, lines)
