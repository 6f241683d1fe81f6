"""What is shown of a result: JSON text and the tables of a terminal.

Enters: the record of a point or the summary of a run. Leaves: text and rich tables.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from jaxdark.results import plain

_NULL_BY_MEANING = ("limit", "cl", "ratio", "q2", "Standard Model")
"""Fields whose null says that there is none, as of parameters of the Standard Model."""


def to_json(record: Mapping[str, Any]) -> str:
    """The record as JSON: every digit of a number, null for one that is missing and the reason under `missing`."""
    missing = dict(_missing(record, "")) | record.get("missing", {})
    return json.dumps(plain(record) | ({"missing": missing} if missing else {}), indent=2, allow_nan=False)


def _missing(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            where = f"{place}.{key}".lstrip(".")
            if item is None and (reason := value.get(f"{str(key).removesuffix('_error')}_reason")):
                yield where, reason  # of an error of a fit
            elif key not in _NULL_BY_MEANING or item is not None:
                yield from _missing(item, where)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _missing(item, f"{place}[{index}]")
    elif value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield place, "not a finite number"


def point_tables(record: Mapping[str, Any], *, full: bool = True) -> list[Table | str]:
    """What `jaxdark point` shows: parameters, observables, constraints and the likelihood; without full, that alone."""
    chi2, terms = record["chi2"], ", ".join(f"{name} {value:.4g}" for name, value in record["terms"].items())
    likelihood = (
        f"log-likelihood {record['log_likelihood']:.6g} ({terms}), Standard Model {record['sm_log_likelihood']:.6g}; "
        f"chi2 with experimental errors alone {chi2['experiment']:.5g} for {chi2['rows']} rows"
    )
    if not full:
        return [likelihood]
    return [
        _values_table(record),
        pulls_table(record["observables"]),
        constraints_table(record["constraints"]),
        likelihood,
    ]


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD)


def _values_table(record: Mapping[str, Any]) -> Table:
    table = _table(f"Model {record['model']}", "quantity", "value")
    for name, value in {**record["parameters"], **record["derived"]}.items():
        if name in ("C9", "C10"):
            for q2, pair in value.items():
                table.add_row(f"{name}(q2 = {q2} GeV^2)", _shown(pair))
        else:
            table.add_row(name, _shown(value))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return value if isinstance(value, str) else f"{value:.6g}"


def pulls_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Predictions, measurements and pulls, row by row; pull = (prediction - measurement)/(error and theory error)."""
    table = _table("Pulls", "measurement", "prediction", "measured", "pull", "SM pull")
    for row in rows:
        table.add_row(
            row["id"],
            with_error(row["prediction"], row["theory_error"]),
            with_error(row["measurement"], row["error"]),
            *(_coloured(row[name]) for name in ("pull", "sm_pull")),
        )
    return table


def summary_tables(summary: Mapping[str, Any]) -> list[Table | str]:
    """What `jaxdark sample` shows: pulls of the Standard Model and of the best draw, posterior, verdict."""
    pulls = _table("Pulls", "measurement", "Standard Model", "best draw")
    for row in summary["pulls"]:
        pulls.add_row(row["id"], _coloured(row["sm"]), _coloured(row["best"]))
    gain = summary["best"]["log_likelihood"] - summary["sm_log_likelihood"]
    best = f"best draw: log-likelihood {summary['best']['log_likelihood']:.5g}, {gain:.3g} above the Standard Model"
    return [pulls, posterior_table(summary), best, verdict_sentence(summary)]


def fit_tables(record: Mapping[str, Any]) -> list[Table | str]:
    """What `jaxdark fit` shows: pulls, parameters with errors, minima, goodness of fit, status."""
    pulls = _table("Pulls", "measurement", "Standard Model", "best fit")
    for row in record["pulls"]:
        pulls.add_row(row["id"], _coloured(row["sm"]), _coloured(row["best"]))
    values = _table(f"Best fit, {record['region']} region", "parameter", "value", "Hessian error", "Fisher error", "")
    for name, entry in record["parameters"].items():
        errors = (_shown(entry[f"{kind}_error"]) for kind in ("hessian", "fisher"))
        values.add_row(name, _shown(entry["value"]), *errors, entry.get("hessian_reason", ""))
    minima = _table("Minima", "chi2", "starts", *record["parameters"])
    for entry in record["minima"]:
        minima.add_row(f"{entry['chi2']:.6g}", str(entry["starts"]), *map(_shown, entry["parameters"].values()))
    p_value, sets = record["p_value"], record["pseudo_data"]["sets"]
    fraction = "" if p_value is None else f", p-value {p_value:.3g} from {sets} sets of pseudo-data"
    goodness = (
        f"chi2 {record['chi2']:.6g} for {record['dof']} degrees of freedom{fraction}; "
        f"Standard Model {record['delta_chi2_sm']:.4g} higher"
    )
    return [pulls, values, minima, goodness, record["status"]]


def profile_lines(record: Mapping[str, Any]) -> list[str]:
    """What `jaxdark profile` shows: the best fit, and how many grid points converged."""
    best = ", ".join(f"{name} {value:.4g}" for name, value in record["best"]["parameters"].items())
    return [
        f"smallest chi2 {record['best']['chi2']:.6g} at {best}",
        f"{100 * record['converged']:.4g} % of the grid converged",
    ]


def _coloured(pull: float) -> str:
    style = "red" if abs(pull) > 3 else "yellow" if abs(pull) > 2 else ""
    return f"[{style}]{pull:+.2f}[/]" if style else f"{pull:+.2f}"


def with_error(value: float, error: float) -> str:
    """Value and error with two digits of the error, such as 0.846 ± 0.060 or (2.8 ± 0.7)e-09."""
    size = max(abs(value), error)
    exponent = 0 if size == 0 or 1e-3 <= size < 1e4 else math.floor(math.log10(size))
    value, error = value / 10**exponent, error / 10**exponent
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 4
    text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"({text})e{exponent:+03d}" if exponent else text


def constraints_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Constraints and bare predictions."""
    table = _table("Constraints", "constraint", "value", "limit", "value/limit", "")
    for row in rows:
        verdict = "" if row["limit"] is None else "[red]excluded[/]" if row["excluded"] else "allowed"
        table.add_row(row["id"], *(_shown(row[name]) for name in ("value", "limit", "ratio")), verdict)
    return table


def cuts_table(summary: Mapping[str, Any]) -> Table:
    """Shares of the draws that each constraint cuts, alone and beyond all the others."""
    total = summary["chains"] * summary["draws"]
    left = f"{summary['survivors']} of {total} draws survive all that count"
    table = _table(
        f"Constraints, {summary['region']} region: {left}", "constraint", "cuts alone", "cuts given others", "quality"
    )
    for name, row in summary["constraints"].items():
        shares = (f"{100 * row[key] / total:.3g} %" for key in ("cut_alone", "cut_given_others"))
        table.add_row(name if row["counts"] else f"({name})", *shares, row["quality"])
    return table


def check_tables(checks: Mapping[str, Any], shown: int) -> list[Table | str]:
    """What `jaxdark check` shows: the most influential measurements, the sensitivities and the p-value of the fit."""
    names = list(checks["power_scaling"])
    rows = _table("Mean of a parameter without the measurement, shift in standard deviations", "measurement", *names)
    rows.add_column("Pareto k")
    rows.add_column("p-value")
    for row in checks["rows"][:shown]:
        values = (*row["shift"].values(), row["pareto_k"])
        rows.add_row(row["id"], *(f"{value:+.2f}" for value in values), f"{row['p_value']:.3f}")
    scaling = _table("Power-scaling sensitivity (above 0.05: sensitive)", "to", *names)
    for part in ("prior", "likelihood"):
        scaling.add_row(part, *(f"{checks['power_scaling'][name][part]:.3f}" for name in names))
    variants = _table("Other priors, shift in standard deviations", "prior", *names, "ESS")
    for name, variant in checks["prior_variants"].items():
        variants.add_row(name, *(f"{value:+.2f}" for value in variant["shift"].values()), f"{variant['ess']:.0f}")
    doubtful = checks["unreliable_rows"]
    fit = f"posterior predictive p-value of chi2 {checks['p_value']:.3f}, elpd_loo {checks['elpd_loo']:.2f}" + (
        f"; reweighting is unreliable (Pareto k above 0.7) without {', '.join(doubtful)}" if doubtful else ""
    )
    return [rows, scaling, variants, fit]


def evidence_table(found: Mapping[str, Any]) -> Table:
    """Log-evidences of models, one column per theory covariance that they share."""
    table = _table(f"Log-evidence, data {found['data']}, theory covariance at", "model", *found["covariances"])
    for model, entries in found["models"].items():
        cells = (f"{e['log_evidence']:.3f} ± {e['error']:.3f} ({e['log_bayes_factor']:+.2f})" for e in entries.values())
        table.add_row(model, *cells)
    return table


def distances_table(found: Mapping[str, Any]) -> Table:
    """Distances between the marginals of two results."""
    table = _table("Kolmogorov-Smirnov distances", "parameter", "distance", "p-value")
    for name, row in found.items():
        table.add_row(name, f"{row['distance']:.4f}", f"{row['p_value']:.3f}")
    return table


def claims_table(records: Sequence[Any]) -> Table:
    """Claims of the paper and printed numbers with their verdicts."""
    table = _table("The paper's claims and numbers", "claim", "statement", "paper", "found", "verdict")
    for record in records:
        found = f"[{record.study}] {record.ours}" if record.study else record.ours
        table.add_row(record.id, record.statement, record.paper, escape(found), record.verdict)
    return table


def criteria_table(records: Sequence[Any]) -> Table:
    """Every number that decides the verdict on a claim of the paper, beside its threshold."""
    table = _table("What decides", "claim", "study", "number", "found", "threshold", "holds")
    for record in records:
        for criterion in record.criteria:
            cells = (record.study, criterion.quantity, str(criterion.found), str(criterion.threshold))
            table.add_row(record.id, *map(escape, cells), criterion.answer)
    return table


def posterior_table(summary: Mapping[str, Any]) -> Table:
    """Mean, spread and 95 % interval of every parameter with its convergence, the best draw beside it."""
    columns = ("parameter", "mean", "sd", "95 % HDI", "R-hat", "ESS bulk", "ESS tail", "best draw")
    table = _table(f"Posterior, {summary['region']} region", *columns)
    for name, values in summary["parameters"].items():
        low, high = values["hdi95"]
        best = summary["best"]["parameters"].get(name)
        table.add_row(
            name,
            *(_shown(values[key]) for key in ("mean", "sd")),
            f"{low:.4g} to {high:.4g}",
            "-" if values["r_hat"] is None else f"{values['r_hat']:.4f}",
            *(f"{values[key]:.0f}" for key in ("ess_bulk", "ess_tail")),
            _shown(best),
        )
    return table


def verdict_sentence(summary: Mapping[str, Any]) -> str:
    """One sentence on whether the draws can be trusted."""
    reasons = "; ".join(summary["reasons"])
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in summary["seconds"].items())
    if (weights := summary.get("importance")) is not None:
        kind = "nested sampling" if summary["method"] == "nested" else "importance sampling"
        work = f"{summary['draws']} draws of {kind}, effective size {weights['ess']:.0f} of {weights['points']} points"
    else:
        work = f"{summary['chains']} chains of {summary['draws']} draws, {summary['divergences']} divergences"
    return f"{work} ({seconds}): verdict {summary['verdict']}{': ' + reasons if reasons else ''}"
