"""Figure of a profile likelihood in one or two parameters, with a posterior drawn beside it.

Enters: the dataset of `jaxdark.profile` and, if wanted, the result of a sampling run. Leaves: a matplotlib figure.
"""

import json
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxdark import results
from jaxdark.errors import RequestError
from jaxdark.inference.priors import Prior, Range
from jaxdark.inference.profile import record_of
from jaxdark.plots import BLUE, CONTOURS, GREY, LABELS, VERMILION, blank_figure, draw_contours, marker, save_figure

LEVELS = {1: (1.0, 4.0, 9.0), 2: (2.29575, 6.18007, 11.82916)}
"""Delta chi2 that encloses 68.27, 95.45 and 99.73 %, by the number of parameters."""
_SHOWN = 25.0


def posterior(place: Path, prior: Prior):
    """The result of a sampling run of the same model and region; raises RequestError for another one."""
    tree = results.load(place)
    record = results.summary(tree)
    if (record["model"], record["region"]) != (prior.model_name, prior.region):
        raise RequestError(
            f"the posterior in {place} is of the model {record['model']}, region {record['region']}, the profile of "
            f"{prior.model_name}, {prior.region}; give a posterior of the same model and region"
        )
    return tree


def save(dataset: xr.Dataset, folder: Path, tree=None) -> list[str]:
    """Write the figure as profile.png and profile.pdf and return the names of the files."""
    return save_figure(profile_figure(dataset, tree), folder, "profile")


def profile_figure(dataset: xr.Dataset, tree=None) -> Figure:
    """Delta chi2 over the grid with the 1, 2 and 3 sigma lines of the profile, and regions of a posterior."""
    ranges = {name: Range(**fields) for name, fields in json.loads(dataset.attrs["prior"]).items()}
    names = [str(name) for name in dataset["delta_chi2"].dims]
    draws = None if tree is None else [np.asarray(tree["posterior"][name]).ravel() for name in names]
    fig = blank_figure(8.0, 5.8)
    ax = fig.subplots()
    axes = [ranges[name] for name in names]
    best = [record_of(dataset)["best"]["parameters"][name] for name in names]
    if len(names) == 1:
        handles = _line(ax, dataset, axes[0], None if draws is None else draws[0])
        ax.plot(np.abs(best) if axes[0].log else best, [0.0], "*", color=VERMILION, mec="black", ms=15, clip_on=False)
    else:
        handles = _plane(fig, ax, dataset, axes, draws)
        ax.plot(
            *(abs(b) if r.log else b for b, r in zip(best, axes, strict=True)), "*", color=VERMILION, mec="black", ms=15
        )
        ax.set_ylabel(LABELS.get(names[1], names[1]))
        ax.set_yscale("log" if axes[1].log else "linear")
    ax.set_xlabel(LABELS.get(names[0], names[0]))
    ax.set_xscale("log" if axes[0].log else "linear")
    handles.append(marker(VERMILION, "*", "best fit", mec="black", ms=12))
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    _title(fig, dataset, tree)
    return fig


def _shown(values: np.ndarray, r: Range) -> np.ndarray:
    """Magnitudes on a logarithmic axis, where a sign may stand before the whole range."""
    return np.abs(values) if r.log else np.asarray(values)


def _plane(fig: Figure, ax: Axes, dataset: xr.Dataset, ranges: list[Range], draws) -> list[Line2D]:
    x, y = (_shown(dataset[name].values, r) for name, r in zip(dataset["delta_chi2"].dims, ranges, strict=True))
    delta = dataset["delta_chi2"].values.T
    image = ax.pcolormesh(x, y, np.minimum(delta, _SHOWN), cmap="Blues", vmin=0, vmax=_SHOWN, rasterized=True)
    fig.colorbar(image, ax=ax, label=r"$\Delta\chi^2$ of the profile", pad=0.02, extend="max")
    for level, (_, _, style) in zip(LEVELS[2], CONTOURS, strict=True):
        ax.contour(x, y, delta, levels=[level], colors="black", linestyles=style, linewidths=1.3)
    handles = [Line2D([], [], color="black", label="profile")]
    if draws is not None:
        shown = (_shown(d, r) for d, r in zip(draws, ranges, strict=True))
        draw_contours(ax, *shown, *ranges, sigmas=len(CONTOURS), colour=VERMILION)
        handles.append(Line2D([], [], color=VERMILION, label="posterior"))
    handles += [
        Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$: {100 * share:.2f} %")
        for sigma, (share, _, style) in enumerate(CONTOURS, start=1)
    ]
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    return handles


def _line(ax: Axes, dataset: xr.Dataset, r: Range, draws) -> list[Line2D]:
    (name,) = dataset["delta_chi2"].dims
    x, delta = _shown(dataset[name].values, r), dataset["delta_chi2"].values
    ax.plot(x, delta, color=BLUE)
    handles = [Line2D([], [], color=BLUE, label="profile")]
    for sigma, (level, (_, _, style)) in enumerate(zip(LEVELS[1], CONTOURS, strict=True), start=1):
        ax.axhline(level, color=GREY, lw=0.9, ls=style)
        handles.append(Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$"))
    if draws is not None:
        centres, relative = _density(_shown(draws, r), r)
        ax.plot(centres, relative, color=VERMILION, drawstyle="steps-mid")
        handles.append(Line2D([], [], color=VERMILION, label=r"posterior, $-2\ln(p/p_\mathrm{max})$"))
    ax.set(xlim=(x.min(), x.max()), ylim=(0, min(_SHOWN, 1.1 * max(float(delta.max()), 9.5))))
    ax.set_ylabel(r"$\Delta\chi^2$")
    return handles


def _density(draws: np.ndarray, r: Range, bins: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """-2 ln of the density of draws relative to its largest, where the prior is flat; bins with ten draws or more."""
    make = np.geomspace if r.log else np.linspace
    counts, edges = np.histogram(draws, make(r.lower, r.upper, bins + 1))
    centres = np.sqrt(edges[1:] * edges[:-1]) if r.log else (edges[1:] + edges[:-1]) / 2
    enough = counts >= 10
    return centres, np.where(enough, -2 * np.log(np.where(enough, counts, 1) / counts.max()), np.nan)


def _title(fig: Figure, dataset: xr.Dataset, tree) -> None:
    record = record_of(dataset)
    title = (
        f"{record['model']}, {record['region']} region, data {record['data']}, theory {record['theory']}, "
        f"$(g-2)_\\mu$ {record['g_minus_2']}"
    )
    if tree is not None:
        other = results.summary(tree)
        title += f"\nposterior: data {other['data']}, {other['chains']} × {other['draws']} draws"
        if other["verdict"] != "good":
            title += f", verdict {other['verdict']}"
    fig.suptitle(title, fontsize=11)
