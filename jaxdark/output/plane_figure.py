"""Draws of a result in the plane of two parameters, as in Figs. 4 and 5 of the paper.

Inputs: the result of a sampling run. Outputs: a matplotlib figure.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxdark.io.results import summary
from jaxdark.likelihood.priors import Range
from jaxdark.output.contours import CONTOURS, draw_contours
from jaxdark.output.drawing import axis, blank_figure, draw_star, ends, limits, marker, own_style
from jaxdark.output.draws import prior_ranges, shown_best, shown_draws, title_of_draws, varying

_SHARE = CONTOURS[1][0]
_GAIN = r"$\ln L - \ln L_{\mathrm{SM}}$"


@own_style()
def plane_figure(tree) -> Figure:
    """Draws in the (m_V, g_mu^V) plane as in Figs. 4 and 5: those inside the 95.45 % highest-density region.

    A model without g_mu^V is shown in the plane of its first two parameters, those that never change left out; one with
    a single parameter by the log-likelihood of its draws. The region is that of all parameters together, in coordinates
    in which the prior is flat: there the density is the likelihood, so it holds the 95.45 % of the draws with the
    largest one. Contours are those of the plane alone, from 200 draws on.
    """
    draws, ranges, best = shown_draws(tree), prior_ranges(tree), shown_best(tree)
    across, up = _axes_of_plane(draws)
    gain = np.asarray(tree["derived"]["log_likelihood"]).ravel() - summary(tree)["sm_log_likelihood"]
    inside = np.argsort(gain)[int(round((1 - _SHARE) * gain.size)) :]
    x, y = draws[across].ravel(), gain if up is None else draws[up].ravel()
    fig = blank_figure(8.0, 5.6)
    ax = fig.subplots()
    points = ax.scatter(x[inside], y[inside], c=gain[inside], s=7, cmap="viridis", lw=0, rasterized=True)
    handles = [marker("#21918c", "o", "draws in the 95.45 % region")]
    ax.set(xlim=_axis_limits(x, ranges[across]), **axis("x", across, ranges[across]))
    if up is None:
        ax.set_ylabel(_GAIN)
    else:
        fig.colorbar(points, ax=ax, label=_GAIN, pad=0.02)
        if draw_contours(ax, x, y, ranges[across], ranges[up]):
            handles += [
                Line2D([], [], color="black", ls=style, label=f"{100 * share:.2f} % contour")
                for share, _, style in CONTOURS[:2]
            ]
        ax.set(ylim=_axis_limits(y, ranges[up]), **axis("y", up, ranges[up]))
    handles.append(draw_star(ax, best[across], gain.max() if up is None else best[up], "maximum-likelihood draw"))
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    title_of_draws(fig, tree)
    return fig


def _axes_of_plane(draws: Mapping[str, np.ndarray]) -> tuple[str, str | None]:
    """Parameters to the right and upwards; the second is None where a single one changes."""
    names = varying(draws) or [*draws][:1]
    if "g_mu_V" in names and len(names) > 1:
        return next(name for name in names if name != "g_mu_V"), "g_mu_V"
    return names[0], names[1] if len(names) > 1 else None


def _axis_limits(values: np.ndarray, r: Range) -> tuple[float, float]:
    """Ends of the prior; if the draws fill less than a tenth of it, their surroundings."""
    line = np.log if r.log else np.asarray
    whole, filled = np.ptp(line(ends(r))), np.ptp(line([values.min(), values.max()]))
    return ends(r) if filled > 0.1 * whole else limits(values, r, 0.5)
