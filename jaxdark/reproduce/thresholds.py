"""What decides the verdicts: every threshold of a claim and every cut on the draws, each with its reason.

Inputs: none. Outputs: ranges that a number must lie in, and the figures of the paper that select draws.
"""

from decimal import Decimal
from typing import NamedTuple

import numpy as np

from jaxdark.reproduce.estimates import LEVEL


class Threshold(NamedTuple):
    """The range in which a number agrees with what the paper says, in the unit of the number.

    Attributes:
        low, high: ends of the range; infinite where there is none.
        reason: why there.
    """

    low: float
    high: float
    reason: str

    def __str__(self) -> str:
        if np.isinf(self.low):
            return f"at most {self.high:.4g}"
        return f"at least {self.low:.4g}" if np.isinf(self.high) else f"{self.low:.4g} to {self.high:.4g}"


def _at_least(low: float, reason: str) -> Threshold:
    return Threshold(low, np.inf, reason)


def _at_most(high: float, reason: str) -> Threshold:
    return Threshold(-np.inf, high, reason)


# Cuts on the draws.
TWO_SIGMA = LEVEL
"""Highest-posterior region that counts as fitted: the paper's two sigma."""
IMPROVES = 2.0
"""Gain in log-likelihood over the Standard Model from which a draw explains anything: two sigma of one parameter."""
WINDOW = 0.15
"""Half-width in GeV of m_V = 2.5: the paper names one mass, and some width is needed for draws to be there."""
TRIDENT_RANGE = (5.0, 7.0)
"""m_V in GeV, as printed in Sec. 4."""
CUT_BELOW = 1.4
"""m_V in GeV, as printed in Sec. 4."""
CUTS = {
    "fitted": f"in the {100 * TWO_SIGMA:g} % highest-posterior region, (g-2) within its two-sigma limit, and better "
    f"than the Standard Model by {IMPROVES:g} in log-likelihood (two sigma of one parameter)",
    "survives": "no limit of Appendix A and CLEO excludes the draw",
    "2.5 GeV": f"m_V within {WINDOW:g} GeV of it, so that draws are there",
}

# Shares of draws.
NONE = _at_most(
    1e-3, "of some ten thousand points at two sigma, out of 5e5, more than one in a thousand would show in a figure"
)
NEARLY_NONE = _at_most(0.1, "nine tenths excluded: the statement holds but for a few points")
MANY = _at_least(0.1, "the paper says many and gives no number: a tenth")
SOME = _at_least(1e-3, "the paper says that there are some: as many as it could have seen, one in a thousand")

# Other numbers of the fits.
LARGE_R = _at_least(5.0, "the upper half of the prior's range of |r|, which ends at 10")
TWO_TO_THREE = Threshold(1.5, 3.5, "2 to 3 sigma as printed, with the rounding to whole sigma")
LARGE_COUPLING = _at_least(2.0, "the paper says large and gives no number: twice the median of all fitted draws")
LARGE_TUNING = _at_most(
    0.1, "the paper says large and gives no number: a tenth, the middle one of the three lines that Fig. 4 draws"
)
G_BS = 5e-6
"""g_bs of the Z', as printed at the end of Sec. 4."""
BELOW_G_BS = _at_most(G_BS, "g_bs of the Z', as printed")
EXPLAINS = _at_least(IMPROVES, "the gain from which draws count as fitted")

# Numbers without a fit.
AS_WANTED = _at_least(0.4, "half of the 0.8 that the fits of 2020 want of -Re C_9 at 4 GeV^2")
RECEDES = _at_least(1.0, "the bound recedes if the smallest excluded r is larger than that of one fermion")
MEV_BOUND = Threshold(2.5, 10.0, "m_V of about 5 MeV, read off by the paper without digits: half to twice")
ABOUT_1E_6 = Threshold(0.5e-6, 1.5e-6, "1e-6 as printed, with the rounding to one digit")
ORDER_100 = _at_least(100 / np.sqrt(10), "O(100 GeV): nearer to 100 GeV than to 10 GeV in the logarithm")
THREE = _at_least(2.5, "at least 3 as printed, with the rounding to one digit")
A_FEW_PER_CENT = Threshold(0.01, 0.1, "a few per cent: one to ten")
_HALF = 0.5


def rounding(printed: str) -> Threshold:
    """Within the rounding of a printed number: half a unit of its last digit either way."""
    number = Decimal(printed)
    half = Decimal(5).scaleb(number.as_tuple().exponent - 1)  # pyright: ignore[reportOperatorIssue]
    return Threshold(float(number - half), float(number + half), "the rounding of the print")


def roughly(printed: str) -> Threshold:
    """Within half of a printed number either way, for agreement in part."""
    low, high = sorted((1 + side) * float(printed) for side in (-_HALF, _HALF))
    return Threshold(low, high, "half of the printed number either way")
