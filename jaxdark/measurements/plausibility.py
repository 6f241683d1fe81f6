"""What a measurement cannot be, what it is unlikely to be, and whether data count something twice.

Inputs: rows of a measurements file. Outputs: bounds and sentences; the reader refuses what is impossible, and
`jaxdark data check` says the rest.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

Bin = tuple[float, float]

_IMPOSSIBLE = 5.0
"""Errors beyond a physical bound from which a value is refused; less may be a fluctuation."""
_FAR = 1 / 3
"""Of the range of an observable; published values fluctuate beyond a bound by up to a quarter of it, and by less than
their error."""
_WIDE, _NARROW = 10.0, 1e-4
"""Errors relative to the range of an observable, or to a rate, beyond which they look mistyped."""

_WHOLE, _ROOT = 1 / math.sqrt(2), math.sqrt(2)
PHYSICAL = {
    "FL": (0.0, 1.0),
    "AFB": (-0.75, 0.75),
    **dict.fromkeys(("S3", "S9", "P2", "P3"), (-0.5, 0.5)),
    **dict.fromkeys(("S4", "S8"), (-_WHOLE / 2, _WHOLE / 2)),
    **dict.fromkeys(("S5", "S7"), (-_ROOT / 2, _ROOT / 2)),
    **{"S1s": (0.0, 0.75), "S1c": (0.0, 4 / 3), "S2s": (0.0, 0.25), "S2c": (-1.0, 0.0)},
    **{"S6s": (-1.0, 1.0), "S6c": (-4 / 3, 4 / 3)},
    "P1": (-1.0, 1.0),
    **dict.fromkeys(("P4p", "P8p"), (-_WHOLE, _WHOLE)),
    **dict.fromkeys(("P5p", "P6p"), (-_ROOT, _ROOT)),
}
PHYSICAL |= {f"A{i}": PHYSICAL[f"S{i}"] for i in (3, 4, 5, 7, 8, 9)} | dict.fromkeys(
    ("A6s", "ACP", "ATIm"), (-1.0, 1.0)
)
"""Bounds of the angular observables from |Re(a b*)| <= |a| |b| for the transversity amplitudes, whose squares add up to
the rate: S5 = sqrt(2) Re(A_0 A_perp*), S4 = Re(A_0 A_par*)/sqrt(2), S9 = Im(A_par* A_perp), AFB = 3/2 Re(A_par
A_perp*), left-handed leptons plus or minus right-handed ones, of arXiv:0811.1214; P_i by their definitions; A_i are
weighted means of S_i and -S_i, A_6s of 4/3 A_FB. S_1 and S_2 from 3/4 (2 S_1s + S_1c) - 1/4 (2 S_2s + S_2c) = 1, S_6c
from S_1c + S_2c >= |S_6c|: no rate is negative at cos(theta_l) = +-1."""
_USUAL = {"BR": (3e-11, 4e-7), "dBR": (1e-10, 1e-4), "tau_mumu": (0.15, 15.0)}
_USUAL |= dict.fromkeys(("R_K", "R_Kst"), (0.1, 10.0))
"""Two orders of magnitude around the Standard Model: BR of Bs -> mu mu 3.7e-9; dBR 1e-8 to 2e-7 GeV^-2, and up to 3e-5
at the photon pole of e+e-; one of the ratios. The lifetime within one order, in ps."""
_SAME = {"P1": "S3", "P2": "AFB", "P3": "S9", "P4p": "S4", "P5p": "S5", "P6p": "S7", "P8p": "S8", "ATIm": "A9"}
_SAME |= {**dict.fromkeys(("S1s", "S1c", "S2s", "S2c"), "FL"), "S6s": "AFB"}
"""An angular observable in the basis of the S_i: both describe the same events."""


@runtime_checkable
class Measured(Protocol):
    """What is asked of a row of a data set."""

    id: str
    entry: str
    experiment: str
    process: str
    observable: str
    q2: Bin | None
    value: float
    error_plus: float
    error_minus: float
    reference: str


class Fault(NamedTuple):
    """What was expected of a value, what came and what to do."""

    expected: str
    came: str
    advice: str


def impossible(observable: str, q2: Bin | None, value: float, plus: float, minus: float) -> Fault | None:
    """What is wrong with a value that no experiment can have found, with its total errors; else None.

    Args:
        observable: its name.
        q2: bin in GeV^2.
        value: the centre.
        plus, minus: total upper and lower error, positive.
    """
    low, high = _bounds(observable, q2)
    if observable in ("BR", "dBR") and value > high:
        what = "a branching ratio" if q2 is None else "dBR in GeV^-2 whose integral over the bin is"
        return Fault(f"{what} below 1", f"{value:g}", "write absolute numbers, such as 3.0e-9")
    away = max((value - high) / minus, (low - value) / plus)
    if away <= _IMPOSSIBLE:
        return None
    advice = "check value and errors, their sign and their unit (no per cent)"
    return Fault(f"{observable} {_range(low, high)}", f"{value:g}, which is {away:.3g} errors away", advice)


def _bounds(observable: str, q2: Bin | None) -> Bin:
    if observable == "BR":
        return 0.0, 1.0
    if observable == "dBR":
        return 0.0, 1.0 if q2 is None else 1.0 / (q2[1] - q2[0])
    positive = observable.startswith("R_") or observable == "tau_mumu"
    return PHYSICAL.get(observable, (0.0 if positive else -math.inf, math.inf))


def _range(low: float, high: float) -> str:
    return f"from {low:.3g} to {high:.3g}" if high < math.inf else f"above {low:g}"


def implausible(row: Measured) -> list[str]:
    """Sentences on the value and the errors of one row that are possible and most likely a mistake."""
    low, high = _bounds(row.observable, row.q2)
    found = []
    beyond = max(row.value - high, low - row.value)
    error = row.error_minus if row.value > high else row.error_plus
    if beyond > error or beyond > _FAR * (high - low):
        found.append(f"the value {row.value:g} lies outside what {row.observable} can be, {_range(low, high)}")
    usual = _USUAL.get(row.observable)
    if usual and row.value > 0.0 and not usual[0] <= row.value <= usual[1]:
        found.append(
            f"the value {row.value:g} is orders of magnitude from the Standard Model's {row.observable}, "
            f"{usual[0]:g} to {usual[1]:g}: check its power of ten"
        )
    scale = 0.5 * (high - low) if row.observable in PHYSICAL else abs(row.value)
    largest, smallest = max(row.error_plus, row.error_minus), min(row.error_plus, row.error_minus)
    if 0.0 < scale < math.inf and (largest > _WIDE * scale or smallest < _NARROW * scale):
        size = f"{largest:g} is implausibly large" if largest > _WIDE * scale else f"{smallest:g} is implausibly small"
        found.append(f"the total error {size}: check its power of ten")
    return [f"{row.id}: {sentence}" for sentence in found]


def counted_twice(rows: Sequence[Measured]) -> list[str]:
    """Sentences on pairs of entries that hold the same events: one analysis in overlapping bins, or the same numbers.

    An analysis is known by its reference, the same numbers by experiment, value and errors; P_i and S_i of one bin
    describe the same events.
    """
    groups: dict[tuple, list[Measured]] = defaultdict(list)
    for row in rows:
        groups["analysis", row.reference, row.process, _quantity(row.observable)].append(row)
        numbers = (row.observable, row.q2, row.value, row.error_plus, row.error_minus)
        groups["numbers", row.experiment, row.process, *numbers].append(row)
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for members in groups.values():
        for one, two in overlaps(members):
            if one.entry != two.entry:
                labels = pairs[one.entry, two.entry]
                label = one.observable + (f"[{one.q2[0]:g},{one.q2[1]:g}]" if one.q2 else "")
                labels += [label] if label not in labels else []
    return [
        f"entries {one} and {two} hold the same events ({_few(labels)}), which count twice; leave one of them out"
        for (one, two), labels in pairs.items()
    ]


def same_quantity(one: str, two: str) -> bool:
    """Whether two observables describe the same events, be it in two bases."""
    return _quantity(one) == _quantity(two)


def _quantity(observable: str) -> str:
    return _SAME.get(observable, observable)


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")


def overlaps(rows: Iterable[Measured]) -> Iterable[tuple[Measured, Measured]]:
    """Pairs of rows whose bins overlap, with a neighbour in the order of the bins; without bins all overlap."""
    ordered = sorted(rows, key=lambda row: row.q2 or (0.0, math.inf))
    furthest = None
    for row in ordered:
        if furthest is not None and (row.q2 or (0.0, math.inf))[0] < (furthest.q2 or (0.0, math.inf))[1]:
            yield furthest, row
        if furthest is None or (row.q2 or (0.0, math.inf))[1] >= (furthest.q2 or (0.0, math.inf))[1]:
            furthest = row
