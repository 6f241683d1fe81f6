"""The record of a statement of the paper beside what was found."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

Outcome = Literal["reproduced", "in part", "not reproduced"]


class Claim(NamedTuple):
    """A statement of the paper beside what was found.

    Attributes:
        id: number of the claim, equation or section.
        statement: what the paper says.
        paper: its value.
        ours: the value found.
        verdict: reproduced, in part or not reproduced.
        cause: of a difference; empty where there is none.
        study: what was fitted, for claims about a fit.
        variations: the same count with one thing changed, by what was changed.
    """

    id: str
    statement: str
    paper: str
    ours: str
    verdict: Outcome
    cause: str = ""
    study: str = ""
    variations: Mapping[str, str] = {}


def share(part: Bool[np.ndarray, " n"], whole: Bool[np.ndarray, " n"]) -> str:
    """How many of some draws have a property."""
    return f"{(part & whole).sum()} of {whole.sum()}"
