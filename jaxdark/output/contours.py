"""Regions of a plane that hold a share of the draws.

Inputs: draws of two parameters. Outputs: contour lines on given axes.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.ndimage import gaussian_filter

from jaxdark.likelihood.priors import Range
from jaxdark.output.drawing import bins, limits
from jaxdark.output.draws import ENOUGH

CONTOURS = ((0.6827, 1.8, "-"), (0.9545, 2.5, "--"), (0.9973, 3.2, ":"))
"""Share of the draws inside (1, 2 and 3 sigma), smoothing in bins and line style. The outer lines run where draws are
few and want more smoothing; the level is chosen by the draws inside, so that smoothing moves the line but not the share
it holds."""
_BINS = 60


def draw_contours(
    ax: Axes,
    x: Float[np.ndarray, " draws"],
    y: Float[np.ndarray, " draws"],
    x_range: Range,
    y_range: Range,
    *,
    sigmas: int = 2,
    colour: str = "black",
) -> bool:
    """Smallest regions of the plane that hold the first `sigmas` shares of CONTOURS, from a smoothed histogram.

    Values are those of the axes, magnitudes where they are logarithmic. Bins lie where the draws are. Returns whether
    there are enough draws, 200, which vary in both directions; else nothing is drawn.
    """
    if len(x) < ENOUGH or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return False
    x_edges, x_centres = bins(*limits(x, x_range, 0.15), x_range, _BINS)
    y_edges, y_centres = bins(*limits(y, y_range, 0.15), y_range, _BINS)
    counts = np.histogram2d(x, y, (x_edges, y_edges))[0]
    for share, width, style in reversed(CONTOURS[:sigmas]):
        density = gaussian_filter(counts, width, mode="nearest")
        descending = np.argsort(density.ravel())[::-1]
        inside = np.cumsum(counts.ravel()[descending]) / counts.sum()
        level = density.ravel()[descending[np.searchsorted(inside, share)]]
        if density.min() < level < density.max():
            ax.contour(x_centres, y_centres, density.T, levels=[level], colors=colour, linestyles=style, linewidths=1.2)
    return True
