"""Belle II's excess in B+ -> K+ nu nu as a two-body B+ -> K+ X, X unseen, on top of the Standard Model.

Inputs: masses of X. Outputs: the best branching ratio and 2 ln L at each mass, the best mass, and their errors.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxdark.compute.aot import AotFunction
from jaxdark.constraints.b_to_k_invisible.belle2_likelihood import histograms
from jaxdark.constraints.b_to_k_invisible.belle2_profile import profile_deviance
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel
from jaxdark.semileptonic.neutrinos import br_k_nunu_bins

_LARGEST, _HALVINGS = 1e-4, 24  # of branching ratios, found to 1e-11


class TwoBodyScan(NamedTuple):
    """A line at m_X against Belle II's data, nuisances at their best everywhere.

    Attributes:
        m_X: masses, GeV, shape (masses,).
        br: BR(B+ -> K+ X) >= 0 that fits best at each mass, dimensionless, shape (masses,).
        delta: 2 ln L of the best point over that of each mass with its own best BR, shape (masses,).
        gain: 2 ln L of the best point over no line, two parameters more.
        best_m_X, m_X_range: the best mass, and where `delta` passes 1 below and above it, GeV.
        best_br, br_range: its BR, and where 2 ln L, the mass at its best, has fallen by 1.
    """

    m_X: np.ndarray
    br: np.ndarray
    delta: np.ndarray
    gain: float
    best_m_X: float
    m_X_range: tuple[float, float]
    best_br: float
    br_range: tuple[float, float]


def _deviances(background, lines, br):
    return jax.vmap(jax.value_and_grad(lambda br, line: profile_deviance(background + br * line)))(br, lines)


_deviance = AotFunction(_deviances)


def two_body_scan(masses: Float[np.ndarray, " masses"] | None = None, sm: StandardModel | None = None) -> TwoBodyScan:
    """Profile likelihood of B+ -> K+ X in mass and branching ratio, for Belle II's data alone.

    The published response has bins of 0.23 GeV^2 in q2; a line is as good anywhere in its bin. What the ranges need
    to be seen, a fall of 2 ln L by 1 on either side, may lie beyond the masses given; they end there then.

    Args:
        masses: of X, GeV, increasing; the middle of every bin of q2 unless given.
        sm: inputs for B -> K nu nu below the line; that of the publication, of 4.97e-6, unless given.

    Raises:
        RequestError: a mass outside the bins of q2.
    """
    data = histograms()
    if masses is None:
        masses = np.sqrt((data.q2[1:] + data.q2[:-1]) / 2)
    masses = np.asarray(masses, float)
    bins = np.searchsorted(data.q2, masses**2, side="right") - 1
    if masses.ndim != 1 or len(masses) == 0 or (bins < 0).any() or (bins >= len(data.null)).any():
        raise RequestError(f"expected masses of X from 0 to {np.sqrt(data.q2[-1]):.4g} GeV, got {masses}")
    nunu = data.null if sm is None else AotFunction(lambda: br_k_nunu_bins(sm, data.q2))()
    background, lines = data.signal(nunu), data.per_br[:, bins].T

    def at(br):
        return _deviance(background, lines, np.broadcast_to(br, masses.shape).astype(float))

    low, high = np.zeros_like(masses), np.full_like(masses, _LARGEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rises = at(middle)[1] > 0
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    br = np.where(low > 0, (low + high) / 2, 0.0)
    deviance = at(br)[0]
    best = int(np.argmin(deviance))
    delta = deviance - deviance[best]

    def end_of_br(inside: float, outside: float) -> float:
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            falls_by_less = at(middle)[0].min() - deviance[best] < 1
            inside, outside = (middle, outside) if falls_by_less else (inside, middle)
        return float(inside + outside) / 2

    return TwoBodyScan(
        m_X=masses,
        br=br,
        delta=delta,
        gain=float(at(0.0)[0][best] - deviance[best]),
        best_m_X=float(masses[best]),
        m_X_range=(_end(masses[best::-1], delta[best::-1]), _end(masses[best:], delta[best:])),
        best_br=float(br[best]),
        br_range=(end_of_br(float(br[best]), 0.0), end_of_br(float(br[best]), _LARGEST)),
    )


def _end(masses: np.ndarray, delta: np.ndarray) -> float:
    """Where delta, 0 at the first mass, passes 1, between masses by a straight line; the last mass if it does not."""
    beyond = np.flatnonzero(delta > 1)
    if not len(beyond):
        return float(masses[-1])
    last = beyond[0]
    share = (1 - delta[last - 1]) / (delta[last] - delta[last - 1])
    return float(masses[last - 1] + share * (masses[last] - masses[last - 1]))
