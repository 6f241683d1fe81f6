"""Numbers with errors: shares, means and medians of draws that are correlated along their chains.

Inputs: arrays over the draws of a study. Outputs: values with the ends of their 95.45 % interval.
"""

from collections.abc import Iterable
from math import isfinite, log2
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import beta

from jaxdark.io.results import arviz

LEVEL = 0.9545
"""Of every interval: two sigma, as the paper's own criteria."""
_TAIL = (1 - LEVEL) / 2
_ENOUGH_FOR_A_MEDIAN = 1 - log2(2 * _TAIL)
"""Fewer independent draws do not enclose the median at this level, not even by their smallest and largest value."""


class Estimate(NamedTuple):
    """A number and the ends of its interval, all three equal where there is no error."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.value:.4g}"
        if not isfinite(self.value):
            return "no draws"
        known = f"{self.low:.3g} to {self.high:.3g}" if isfinite(self.high) else "too few draws for an interval"
        return f"{self.value:.3g} ({known})"


class Share(NamedTuple):
    """How many of some draws have a property.

    Attributes:
        part: number of those that have it.
        whole: number of all.
        estimate: share of the posterior that has it, with its interval.
    """

    part: int
    whole: int
    estimate: Estimate

    def __str__(self) -> str:
        if not self.whole:
            return "0 of 0"
        _, low, high = self.estimate
        return f"{self.part} of {self.whole} ({100 * low:.2g} to {100 * high:.2g} %)"


class Chains(NamedTuple):
    """How the draws of a study hang together.

    Attributes:
        number: of chains; arrays over the draws are these chains one after the other.
        effective: independent draws that the slowest parameter is worth, infinite for independent draws.
    """

    number: int = 1
    effective: float = np.inf


INDEPENDENT = Chains()


def exact(value: float) -> Estimate:
    """A number without an error."""
    return Estimate(float(value), float(value), float(value))


def hull(estimates: Iterable[Estimate]) -> Estimate:
    """The first estimate with the lowest and the highest end of all: an error beside that of sampling."""
    value, low, high = zip(*estimates, strict=True)
    return Estimate(value[0], min(low), max(high))


def share(part: Bool[np.ndarray, " n"], whole: Bool[np.ndarray, " n"], chains: Chains = INDEPENDENT) -> Share:
    """Share of some draws that have a property, with the interval of Clopper and Pearson at the effective size.

    Args:
        part: draws with the property, also outside of `whole`.
        whole: the draws that are asked.
        chains: how the draws hang together.
    """
    part = part & whole
    k, n = int(part.sum()), int(whole.sum())
    if not n:
        return Share(0, 0, Estimate(np.nan, 0.0, 1.0))
    size = _effective(part - k / n * whole, whole, chains)
    return Share(k, n, Estimate(k / n, *_binomial(k / n, size)))


def effective(chosen: Bool[np.ndarray, " n"], chains: Chains = INDEPENDENT) -> float:
    """Number of independent draws that some of the draws are worth."""
    return _effective(chosen - chosen.mean(), chosen, chains)


def mean(values: Float[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"], chains: Chains = INDEPENDENT) -> Estimate:
    """Mean of a quantity over some draws with two standard errors; none from fewer than two independent draws."""
    if not chosen.any():
        return Estimate(np.nan, -np.inf, np.inf)
    middle = values[chosen].mean()
    size = _effective(np.where(chosen, values - middle, 0.0), chosen, chains)
    error = 2 * values[chosen].std(ddof=1) / np.sqrt(size) if size >= 2 else np.inf
    return Estimate(float(middle), float(middle - error), float(middle + error))


def median(values: Float[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"], chains: Chains = INDEPENDENT) -> Estimate:
    """Median of a quantity over some draws, its interval between two of the draws; none where they are too few."""
    if not chosen.any():
        return Estimate(np.nan, -np.inf, np.inf)
    middle = float(np.median(values[chosen]))
    size = _effective(np.where(chosen, (values < middle) - 0.5, 0.0), chosen, chains)
    if size < _ENOUGH_FOR_A_MEDIAN:
        return Estimate(middle, -np.inf, np.inf)
    return Estimate(middle, *map(float, np.quantile(values[chosen], _binomial(0.5, size))))


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """Quotient of two positive numbers, from the least to the largest that their intervals allow."""
    if not isfinite(above.value / below.value):
        return Estimate(np.nan, 0.0, np.inf)
    low, high = max(above.low, 0.0) / below.high, above.high / below.low if below.low > 0 else np.inf
    return Estimate(above.value / below.value, low, high)


def _binomial(p: float, n: float) -> tuple[float, float]:
    """Clopper-Pearson interval of a share p of n draws, which need not be whole numbers."""
    k = p * n
    low = beta.ppf(_TAIL, k, n - k + 1) if k > 0 else 0.0
    high = beta.ppf(1 - _TAIL, k + 1, n - k) if k < n else 1.0
    return float(low), float(high)


def _effective(series: Float[np.ndarray, " n"], whole: Bool[np.ndarray, " n"], chains: Chains) -> float:
    """Independent draws that some draws are worth for a quantity that is `series` less its expectation, 0 elsewhere.

    The autocorrelation time is the longer one of the series and of the slowest parameter: what is rare in the draws
    has no autocorrelation that could be measured. Draws that alternate count as independent.
    """
    times = [1.0, len(series) / chains.effective]
    if np.ptp(series) > 0 and (draws := len(series) // chains.number) >= 4:
        rows = np.asarray(series, float).reshape(chains.number, draws)
        az = arviz()
        found = az.ess(az.convert_to_dataset({"series": rows}), method="mean")
        times.append(len(series) / float(found["series"]))
    return float(whole.sum() / np.nanmax(times))
