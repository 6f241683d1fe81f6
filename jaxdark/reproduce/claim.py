"""The record of a statement of the paper beside what was found, and the verdict that the numbers give.

Inputs: numbers with errors and thresholds. Outputs: records; the rule of the verdict is here alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxdark.choices import PhysicsName
from jaxdark.reproduce.estimates import Estimate
from jaxdark.reproduce.thresholds import Threshold

Outcome = Literal["reproduced", "in part", "not reproduced", "undecided"]


class Criterion(NamedTuple):
    """A number beside the threshold that judges it.

    Attributes:
        quantity: what the number is, with its unit.
        found: the number with its interval.
        threshold: the range in which it agrees with the paper.
    """

    quantity: str
    found: Estimate
    threshold: Threshold

    @property
    def holds(self) -> bool | None:
        """Whether the whole interval lies in the range; None where it straddles an end of it."""
        (_, low, high), threshold = self.found, self.threshold
        if threshold.low <= low and high <= threshold.high:
            return True
        return False if high < threshold.low or low > threshold.high else None

    @property
    def answer(self) -> Literal["yes", "no", "undecided"]:
        """`holds` as a word."""
        return "undecided" if self.holds is None else "yes" if self.holds else "no"

    def __str__(self) -> str:
        return f"{self.quantity}: {self.found}, wanted {self.threshold}: {self.answer}"


class Claim(NamedTuple):
    """A statement of the paper beside what was found.

    Attributes:
        id: number of the claim, equation or section.
        statement: what the paper says.
        paper: its value.
        ours: the value found.
        criteria: the numbers that decide, one for each part of the statement.
        cause: of a difference; empty where there is none.
        study: what was fitted, for claims about a fit.
        physics: with which the claim is judged, "paper" as printed or "complete".
        variations: the same count with one thing changed, by what was changed.
    """

    id: str
    statement: str
    paper: str
    ours: str
    criteria: tuple[Criterion, ...]
    cause: str = ""
    study: str = ""
    physics: PhysicsName = "paper"
    variations: Mapping[str, str] = {}

    @property
    def verdict(self) -> Outcome:
        """What the criteria say, see `verdict`."""
        return verdict(self.criteria)

    def record(self) -> dict[str, Any]:
        """All of it for JSON; an end of an interval or a range that is infinite is left out."""
        criteria = [
            {"quantity": c.quantity, "value": float(c.found.value)}
            | _ends("low", "high", c.found.low, c.found.high)
            | _ends("at_least", "at_most", c.threshold.low, c.threshold.high)
            | {"holds": c.answer, "reason": c.threshold.reason}
            for c in self.criteria
        ]
        return {**self._asdict(), "verdict": self.verdict, "criteria": criteria}


def verdict(criteria: Iterable[Criterion]) -> Outcome:
    """Reproduced if every criterion holds, not if none does, in part if some do and some do not.

    Undecided if what is not known could change that: one that is undecided beside others that agree with each other.
    """
    held = {criterion.holds for criterion in criteria}
    if {True, False} <= held:
        return "in part"
    return "undecided" if None in held else "reproduced" if held == {True} else "not reproduced"


def undecided(records: Sequence[Claim]) -> list[str]:
    """One sentence for each claim without a verdict: which number is too uncertain for which threshold."""
    return [
        f"{f'Claim {record.id}' if record.id.isdigit() else record.id}"
        f" ({record.study or record.physics}) is undecided: "
        + "; ".join(f"{c.quantity}: {c.found}, wanted {c.threshold}" for c in record.criteria if c.holds is None)
        for record in records
        if record.verdict == "undecided"
    ]


def _ends(first: str, second: str, low: float, high: float) -> dict[str, float]:
    return {name: float(end) for name, end in ((first, low), (second, high)) if np.isfinite(end)}
