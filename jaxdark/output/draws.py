"""Draws of a result as its figures show them, and the title that says what they belong to.

Inputs: the result of a sampling run, or its summary. Outputs: arrays by the parameter's name; words of a title.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from jaxdark.io.results import attributes, summary
from jaxdark.likelihood.priors import Range
from jaxdark.output.drawing import VERMILION, literal, set_title, shown
from jaxdark.output.table import data_in_words, model_in_words

ENOUGH = 200
"""Draws from which regions are drawn: nine of them lie outside of the 95.45 % region. Fewer are shown one by one."""


def prior_ranges(tree) -> dict[str, Range]:
    """The prior of each parameter."""
    return {name: Range(**fields) for name, fields in attributes(tree)["prior"].items()}


def shown_draws(tree) -> dict[str, Float[np.ndarray, "chains draws"]]:
    """Draws of the parameters by name; those with a logarithmic prior by magnitude."""
    return {name: shown(tree["posterior"][name].values, r) for name, r in prior_ranges(tree).items()}


def shown_best(tree) -> dict[str, float]:
    """The draw with the largest likelihood, in the same way."""
    best = summary(tree)["max_likelihood_draw"]["parameters"]
    return {name: float(shown(best[name], r)) for name, r in prior_ranges(tree).items()}


def varying(draws: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the parameters that take more than one value; rounding of a logarithm is none."""
    return [name for name, values in draws.items() if np.ptp(values) > 1e-12 * np.abs(values).max()]


def selection(record: Mapping[str, Any]) -> list[str]:
    """What was fitted to what, as parts of a title."""
    return [
        literal(model_in_words(record)),
        f"{literal(record['region'])} region",
        f"data {literal(data_in_words(record))}",
        f"theory {literal(record['theory'])}",
        f"$(g-2)_\\mu$ {literal(record['g_minus_2'])}",
    ]


def number_of_draws(record: Mapping[str, Any]) -> str:
    """How many draws there are, and by which method if there are no chains."""
    if (method := record.get("method", "nuts")) == "nuts":
        return f"{record['chains']} × {record['draws']} draws"
    return f"{record['draws']} draws by {'nested' if method == 'nested' else 'importance'} sampling"


def title_of_draws(fig: Figure, tree, *more: list[str]) -> None:
    """Region, data, theory mode, reading of (g-2), draws, and more lines; in red why it has not converged."""
    record = summary(tree)
    reasons = [*record["warnings"][:2], *(["see summary.json"] if len(record["warnings"]) > 2 else [])]
    warning = "" if record["converged"] else f"not converged: {'; '.join(literal(words, 250) for words in reasons)}"
    lines = [[*selection(record), number_of_draws(record)], *more]
    set_title(fig, lines, warning=warning, colour="black" if record["converged"] else VERMILION)
