"""Figure of a profile likelihood in one or two parameters, with a posterior drawn beside it.

Inputs: the dataset of `jaxdark.profile` and, if wanted, the result of a sampling run. Outputs: a matplotlib figure.
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
from jaxdark.output.drawing import blank_figure, ends, label, literal, own_style, save_each, set_title, shown
from jaxdark.output.figures import BLUE, CONTOURS, GREY, VERMILION, draw_contours, marker, selection

LEVELS = {1: (1.0, 4.0, 9.0), 2: (2.29575, 6.18007, 11.82916)}
"""Delta chi2 that encloses 68.27, 95.45 and 99.73 %, by the number of parameters."""
_SHOWN = 25.0


def posterior(place: Path, prior: Prior, like: Likelihood):
    """The result of a sampling run of the same posterior; raises RequestError for one of another.

    Model, region, prior, data, theory mode, reading of (g-2) and inputs are those of the profile.
    """
    tree = results.load(place, *NEEDS)
    record = results.summary(tree)
    if (record["model"], record["region"]) != (prior.model_name, prior.region):
        raise RequestError(
            f"the posterior in {place} is of the model {record['model']}, region {record['region']}, the profile of "
            f"{prior.model_name}, {prior.region}; give a posterior of the same model and region"
        )
    if found := differences(made_of(tree), provenance(like, prior).json()):
        raise RequestError(
            f"the posterior in {place} and the profile differ in {'; '.join(found)}; give a posterior of the same "
            "model, region, data, theory, (g-2) and inputs, or leave --posterior out"
        )
    return tree


def save(dataset: xr.Dataset, folder: Path, tree=None) -> list[str]:
    """Write the figure as profile.png and profile.pdf and return the names of the files; raises FigureError."""
    return save_each({"profile": lambda: profile_figure(dataset, tree)}, folder)


@own_style()
def profile_figure(dataset: xr.Dataset, tree=None) -> Figure:
    """Delta chi2 over the grid with the 1, 2 and 3 sigma lines of the profile, and regions of a posterior."""
    ranges = {name: Range(**fields) for name, fields in record_of(dataset)["prior"].items()}
    names = [str(name) for name in dataset["delta_chi2"].dims]
    draws = None if tree is None else [np.asarray(tree["posterior"][name]).ravel() for name in names]
    fig = blank_figure(8.0, 5.8)
    ax = fig.subplots()
    axes = [ranges[name] for name in names]
    found = record_of(dataset)["best"]["parameters"]
    best = [float(shown(found[name], ranges[name])) for name in names]
    if len(names) == 1:
        handles = _line(ax, dataset, axes[0], None if draws is None else draws[0])
        ax.plot(best, [0.0], "*", color=VERMILION, mec="black", ms=15, clip_on=False)
    else:
        handles = _plane(fig, ax, dataset, axes, draws)
        ax.plot(*best, "*", color=VERMILION, mec="black", ms=15, clip_on=False)
        ax.set_ylabel(label(names[1], axes[1]))
        ax.set_yscale("log" if axes[1].log else "linear")
    ax.set_xlabel(label(names[0], axes[0]))
    ax.set_xscale("log" if axes[0].log else "linear")
    handles.append(marker(VERMILION, "*", "best fit", mec="black", ms=12))
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    _title(fig, dataset, tree)
    return fig


def _plane(fig: Figure, ax: Axes, dataset: xr.Dataset, ranges: list[Range], draws) -> list[Line2D]:
    x, y = (shown(dataset[name].values, r) for name, r in zip(dataset["delta_chi2"].dims, ranges, strict=True))
    delta = dataset["delta_chi2"].values.T
    image = ax.pcolormesh(x, y, np.minimum(delta, _SHOWN), cmap="Blues", vmin=0, vmax=_SHOWN, rasterized=True)
    fig.colorbar(image, ax=ax, label=r"$\Delta\chi^2$ of the profile", pad=0.02, extend="max")
    for level, (_, _, style) in zip(LEVELS[2], CONTOURS, strict=True):
        if min(delta.shape) > 1 and np.nanmin(delta) < level < np.nanmax(delta):
            ax.contour(x, y, delta, levels=[level], colors="black", linestyles=style, linewidths=1.3)
    handles = [Line2D([], [], color="black", label="profile")]
    if draws is not None:
        values = (shown(d, r) for d, r in zip(draws, ranges, strict=True))
        if draw_contours(ax, *values, *ranges, sigmas=len(CONTOURS), colour=VERMILION):
            handles.append(Line2D([], [], color=VERMILION, label="posterior"))
    handles += [
        Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$: {100 * share:.2f} %")
        for sigma, (share, _, style) in enumerate(CONTOURS, start=1)
    ]
    for values, set_limits in ((x, ax.set_xlim), (y, ax.set_ylim)):
        if np.ptp(values) > 0:
            set_limits(values.min(), values.max())
    return handles


def _line(ax: Axes, dataset: xr.Dataset, r: Range, draws) -> list[Line2D]:
    (name,) = dataset["delta_chi2"].dims
    x, delta = shown(dataset[name].values, r), dataset["delta_chi2"].values
    ax.plot(x, delta, color=BLUE)
    handles = [Line2D([], [], color=BLUE, label="profile")]
    for sigma, (level, (_, _, style)) in enumerate(zip(LEVELS[1], CONTOURS, strict=True), start=1):
        ax.axhline(level, color=GREY, lw=0.9, ls=style)
        handles.append(Line2D([], [], color=GREY, ls=style, label=rf"{sigma} $\sigma$"))
    if draws is not None:
        centres, relative = _density(shown(draws, r), r)
        ax.plot(centres, relative, color=VERMILION, drawstyle="steps-mid")
        handles.append(Line2D([], [], color=VERMILION, label=r"posterior, $-2\ln(p/p_\mathrm{max})$"))
    ax.set_ylim(0, min(_SHOWN, 1.1 * max(float(np.nanmax(delta)), 9.5)))
    if np.ptp(x) > 0:
        ax.set_xlim(x.min(), x.max())
    ax.set_ylabel(r"$\Delta\chi^2$")
    return handles


def _density(draws: np.ndarray, r: Range, bins: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """-2 ln of the density of draws relative to its largest, where the prior is flat; bins with ten draws or more."""
    make = np.geomspace if r.log else np.linspace
    counts, edges = np.histogram(draws, make(*ends(r), bins + 1))
    centres = np.sqrt(edges[1:] * edges[:-1]) if r.log else (edges[1:] + edges[:-1]) / 2
    enough = counts >= 10
    return centres, np.where(enough, -2 * np.log(np.where(enough, counts, 1) / max(counts.max(), 1)), np.nan)


def _title(fig: Figure, dataset: xr.Dataset, tree) -> None:
    record = record_of(dataset)
    lines = [selection(record)]
    if tree is not None:
        other = results.summary(tree)
        verdict = [] if other["verdict"] == "good" else [f"verdict {literal(other['verdict'])}"]
        lines += [
            [f"posterior: data {literal(other['data'])}", f"{other['chains']} × {other['draws']} draws", *verdict]
        ]
    set_title(fig, lines)
