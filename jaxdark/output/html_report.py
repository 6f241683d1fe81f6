"""A result as one HTML page that needs no other file: `jaxdark report`.

Inputs: the result of a sampling run. Outputs: the text of the page, which the template `report.html.j2` makes of the
tables of `tables` and the figures of `figures`.
"""

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jaxdark.errors import visible
from jaxdark.io.results import attributes, summary
from jaxdark.likelihood.priors import Range
from jaxdark.output import figures, tables
from jaxdark.output.draws import prior_ranges
from jaxdark.output.table import Table, data_in_words, format_value, model_in_words, words

_CAPTIONS = {
    "plane": "Draws and regions in the plane of two parameters, for the model of the paper that of its Figs. 4 and 5.",
    "corner": "Marginal distributions, alone and in pairs; the lines mark the maximum-likelihood draw.",
    "pulls": "Pull of every measurement: (prediction − measurement)/error, errors of experiment and theory together.",
    "trace": "Draws of every chain in their order, and their ranks: chains that agree have flat ranks.",
}
NEEDS = (*figures.NEEDS, "data_sha256")
"""What is read of a result beside draws and summary, see `results.load`."""
_INFLUENTIAL = 15
"""Measurements shown of `jaxdark check`, the most influential first."""


def result_page(tree) -> str:
    """The page: convergence, settings, posterior, figures; constraints and checks where the result has them.

    Text of the result is escaped by the template engine, control characters are shown by their escapes.

    Args:
        tree: result of `jaxdark.sample`, or as read by `results.load`.
    """
    record = summary(tree)
    pulls, posterior, best, convergence = tables.summary_tables(record)
    environment = Environment(
        loader=PackageLoader("jaxdark.output", "."), autoescape=True, undefined=StrictUndefined, finalize=_visible
    )
    return environment.get_template("report.html.j2").render(
        title=f"{model_in_words(record)}, {record['region']} region, {data_in_words(record)}",
        converged=record["converged"],
        convergence=convergence,
        settings=_settings(tree),
        posterior=[posterior, best],
        nuisances=tables.nuisances_table(record),
        constraints=[tables.cuts_table(record)] if "constraints" in record else [],
        pulls=pulls,
        checks=tables.check_tables(record["checks"], _INFLUENTIAL) if "checks" in record else [],
        captions=_CAPTIONS,
        figures={name: _figure(tree, name) for name in _CAPTIONS},
    )


def _visible(value: Any) -> Any:
    """What the template shows of a value, before it is escaped; HTML that the template itself made stays as it is."""
    return value if hasattr(value, "__html__") else visible(str(value))


def _settings(tree) -> Table:
    """What fixes the result: settings, data, where the theory covariance is taken, prior, versions."""
    table, record, more = Table("Settings", words("setting", "value")), summary(tree), attributes(tree)
    names = ["model", "physics", "region", "data", "data_cut_off", "theory", "g_minus_2", "covariance_at"]
    names += ["method", "chains", "draws", "seed"]
    settings = {name: record[name] for name in names if name in record} | {
        "prior": {name: _range(r) for name, r in prior_ranges(tree).items()},
        "data_sha256": more["data_sha256"],
        "versions": record["versions"],
    }
    for name, value in settings.items():
        table.add_row(name, format_value(value))
    return table


def _range(r: Range) -> str:
    low, high = sorted((r.sign * r.lower, r.sign * r.upper))
    return f"{low:g} to {high:g}{' (log-uniform)' if r.log else ''}"


def _figure(tree, name: str) -> dict[str, str]:
    """A figure as PNG in base64, or why it could not be drawn."""
    image = io.BytesIO()
    try:
        figures.FIGURES[name](tree).savefig(image, format="png", dpi=110)
    except Exception as error:  # whatever goes wrong in drawing, the tables are whole
        return {"png": "", "error": str(error)}
    return {"png": base64.b64encode(image.getvalue()).decode(), "error": ""}
