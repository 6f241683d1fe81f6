"""A result as one HTML page that needs no other file: `jaxdark report`.

Inputs: the result of a sampling run. Outputs: the text of the page, with the figures of `plots` and the tables of
`report` inside it.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from jaxdark.errors import visible
from jaxdark.io.results import attributes, summary
from jaxdark.output import figures, tables
from jaxdark.output.table import Cell, Table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; } figcaption { color: #555; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
caption { text-align: left; font-weight: bold; padding: 0.3rem 0; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #eee; }
.red { color: #b00020; font-weight: bold; } .yellow { color: #8a6100; font-weight: bold; }
summary { cursor: pointer; font-weight: bold; }
"""
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

    Args:
        tree: result of `jaxdark.sample`, or as read by `results.load`.
    """
    found = summary(tree)
    pulls, posterior, best, convergence = tables.summary_tables(found)
    title = f"{found['model']}, {found['region']} region, {found['data']}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="{"" if found["converged"] else "red"}">{_text(str(convergence))}</p>',
        _html(_settings(tree)),
        "<h2>Posterior</h2>",
        *map(_html, (posterior, best)),
        *_nuisances(found),
        *(_figure(tree, name) for name in ("plane", "corner")),
        *_section("Constraints beside the fit", [tables.cuts_table(found)] if "constraints" in found else []),
        "<h2>Measurements</h2>",
        _figure(tree, "pulls"),
        f"<details><summary>Pulls as a table</summary>{_html(pulls)}</details>",
        *_section("Checks", tables.check_tables(found["checks"], _INFLUENTIAL) if "checks" in found else []),
        "<h2>Chains</h2>",
        _figure(tree, "trace"),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>jaxdark: {_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _section(title: str, items: Sequence[Table | str]) -> Iterator[str]:
    """Heading and items, or nothing if there are none."""
    if items:
        yield f"<h2>{_text(title)}</h2>"
        yield from map(_html, items)


def _nuisances(found: Mapping[str, Any]) -> Iterator[str]:
    """The table of what was sampled beside the parameters, folded away."""
    if (table := tables.nuisances_table(found)) is not None:
        yield f"<details><summary>Nuisances</summary>{_html(table)}</details>"


def _settings(tree) -> Table:
    """What fixes the result: settings, data, where the theory covariance is taken, prior, versions."""
    table, found, more = Table("Settings", ["setting", "value"]), summary(tree), attributes(tree)
    names = ("model", "region", "data", "theory", "g_minus_2", "covariance_at", "method", "chains", "draws", "seed")
    settings = {name: found[name] for name in names if name in found} | {
        "prior": {name: _range(**fields) for name, fields in more["prior"].items()},
        "data_sha256": more["data_sha256"],
        "versions": found["versions"],
    }
    for name, value in settings.items():
        table.add_row(name, _words(value))
    return table


def _range(lower: float, upper: float, log: bool, **_) -> str:
    return f"{lower:g} to {upper:g}{', log-uniform' if log else ''}"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_words(item)}" for name, item in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _figure(tree, name: str) -> str:
    image = io.BytesIO()
    try:
        figures.FIGURES[name](tree).savefig(image, format="png", dpi=110)
    except Exception as error:  # whatever goes wrong in drawing, the tables are whole
        return f'<p class="red">{escape(f"Could not draw the figure {name}: {error}")}</p>'
    data = base64.b64encode(image.getvalue()).decode()
    caption = _text(_CAPTIONS[name])
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _html(item: Table | str) -> str:
    """A table, or a sentence, as HTML."""
    if not isinstance(item, Table):
        return f"<p>{_text(item)}</p>"
    head = "".join(f"<th>{_text(column)}</th>" for column in item.columns)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in item.rows)
    caption = f"<caption>{_text(item.title)}</caption>" if item.title else ""
    return f'<div class="wide"><table>{caption}<tr>{head}</tr>\n{rows}</table></div>'


def _cell(cell: Cell) -> str:
    style = f' class="{cell.style}"' if cell.style else ""
    return f"<td{style}>{_text(cell.text)}</td>"


def _text(words: str) -> str:
    """Text of any origin as HTML that shows it and does nothing else."""
    return escape(visible(words))
