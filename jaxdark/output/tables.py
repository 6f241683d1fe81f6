"""What is shown of a result: JSON text and the tables of a terminal.

Inputs: the record of a point or the summary of a run. Outputs: text and `tables`, of whatever text the record holds.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxdark.io.results import plain
from jaxdark.output.table import Cell, Table

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
        f"log-likelihood {record['log_likelihood']:.6g} ({terms}), Standard Model {record['sm_log_likelihood']:.6g}, "
        f"both {_OWN}; chi2 with experimental errors alone {chi2['experiment']:.5g} for {chi2['rows']} rows"
    )
    if not full:
        return [likelihood]
    return [
        _values_table(record),
        pulls_table(record["observables"]),
        constraints_table(record["constraints"]),
        likelihood,
    ]


_OWN = "with their own theory errors, nuisances at their best values"


def _table(title: str, *columns: str) -> Table:
    return Table(title, list(columns))


def _values_table(record: Mapping[str, Any]) -> Table | str:
    """Parameters, then what follows from them; a sentence in place of Wilson coefficients that all vanish."""
    derived = dict(record["derived"])
    shifts = [derived["C_P_mBs2"], *derived["C9"].values(), *derived["C10"].values()]
    nothing = not any(part for pair in shifts for part in pair)
    if nothing and not any(record["parameters"].get(name) for name in record["parameters"] if name not in derived):
        given = ", ".join(f"{name} = {_shown(value)}" for name, value in record["parameters"].items())
        return f"Model {record['model']} with {given}: no new physics, everything below is the Standard Model's"
    table = _table(f"Model {record['model']}", "quantity", "value")
    for name, value in record["parameters"].items():
        table.add_row(name, _shown(value))
    if nothing:
        table.add_row("C9, C10, C_P", "0: the Standard Model's")
        derived = {name: value for name, value in derived.items() if name not in ("C9", "C10", "C_P_mBs2")}
    for name, value in derived.items():
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


def _number(value: float | None, form: str) -> str:
    """A number in a format, and a dash where it could not be determined."""
    return "-" if value is None else format(value, form)


def pulls_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Predictions, measurements and pulls, row by row; pull = (prediction - measurement)/(error and theory error), each
    model with its own theory error.
    """
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
    """What `jaxdark sample` shows: pulls of the Standard Model and of the best draw, posterior, convergence."""
    pulls = _table("Pulls", "measurement", "Standard Model", "maximum-likelihood draw")
    for row in summary["pulls"]:
        pulls.add_row(row["id"], _coloured(row["sm"]), _coloured(row["best"]))
    draw = summary["max_likelihood_draw"]
    sampled, profiled = draw["log_likelihood"], draw.get("profile_log_likelihood")
    gain = (sampled if profiled is None else profiled) - summary["sm_log_likelihood"]
    best = f"maximum-likelihood draw: log-likelihood {sampled:.5g}, {gain:.3g} above the Standard Model"
    if profiled is not None:
        best += f", both {_OWN}"
    if "covariance_at" in summary:
        best += f"; theory covariance of the sample at {_place(summary['covariance_at'])}"
    return [pulls, posterior_table(summary), best, convergence_sentence(summary)]


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
    freedom = (
        f" for {record['dof']} degrees of freedom{fraction}"
        if record["dof"] is not None
        else f"; {record['missing']['dof']}"
    )
    goodness = (
        f"chi2 {record['chi2']:.6g}{freedom}, theory covariance at {_place(record['covariance_at'])}; "
        f"Standard Model {record['delta_chi2_sm']:.4g} higher, both {_OWN}"
    )
    return [pulls, values, minima, goodness, record["status"]]


def _place(parameters: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())


def profile_lines(record: Mapping[str, Any]) -> list[str]:
    """What `jaxdark profile` shows: the best fit, where the theory covariance is taken, how many points converged."""
    return [
        f"smallest chi2 {record['best']['chi2']:.6g} at {_place(record['best']['parameters'])}; theory covariance at "
        f"{_place(record['covariance_at'])}",
        f"{100 * record['converged_fraction']:.4g} % of the grid converged",
    ]


def _coloured(pull: float) -> Cell:
    return Cell(f"{pull:+.2f}", "red" if abs(pull) > 3 else "yellow" if abs(pull) > 2 else "")


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
        excluded = Cell("excluded", "red") if row["excluded"] else "allowed"
        verdict = "" if row["limit"] is None else excluded
        table.add_row(row["id"], *(_shown(row[name]) for name in ("value", "limit", "ratio")), verdict)
    return table


def cuts_table(summary: Mapping[str, Any]) -> Table:
    """Shares of the draws that each constraint cuts, alone and beyond all the others."""
    total = summary["chains"] * summary["draws"]
    left = f"{summary['n_allowed']} of {total} draws are allowed by all that are applied"
    table = _table(
        f"Constraints, {summary['region']} region: {left}", "constraint", "cuts alone", "cuts given others", "quality"
    )
    for name, row in summary["constraints"].items():
        shares = (f"{100 * row[key] / total:.3g} %" for key in ("cut_alone", "cut_given_others"))
        table.add_row(name if row["applied"] else f"({name})", *shares, row["quality"])
    return table


def check_tables(checks: Mapping[str, Any], shown: int) -> list[Table | str]:
    """What `jaxdark check` shows: the most influential measurements, the sensitivities and the p-value of the fit."""
    names = list(checks["power_scaling"])
    title = "Mean of a parameter without the measurement, shift in standard deviations"
    rows = _table(title, "measurement", *names, "Pareto k", "p-value")
    for row in checks["measurements"][:shown]:
        values = (*row["shift"].values(), row["pareto_k"])
        rows.add_row(row["id"], *(_number(value, "+.2f") for value in values), f"{row['p_value']:.3f}")
    scaling = _table("Power-scaling sensitivity (above 0.05: sensitive)", "to", *names)
    for part in ("prior", "likelihood"):
        scaling.add_row(part, *(_number(checks["power_scaling"][name][part], ".3f") for name in names))
    variants = _table("Other priors, shift in standard deviations", "prior", *names, "ESS")
    for name, variant in checks["prior_variants"].items():
        shifts = (_number(value, "+.2f") for value in variant["shift"].values())
        variants.add_row(name, *shifts, _number(variant["ess"], ".0f"))
    doubtful = checks["unreliable_measurements"]
    density = _number(checks["elpd_loo"], ".2f")
    p_value = (
        checks["p_value_reason"]
        if checks["p_value"] is None
        else f"posterior predictive p-value of chi2 {checks['p_value']:.3f}"
    )
    fit = f"{p_value}, elpd_loo {density}" + (
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
        table.add_row(name, _fixed_point(row["distance"], 4), _fixed_point(row["p_value"], 3))
    return table


def claims_table(records: Sequence[Any]) -> Table:
    """Claims of the paper and printed numbers with their verdicts."""
    table = _table("The paper's claims and numbers", "claim", "statement", "paper", "found", "verdict")
    for record in records:
        found = f"[{record.study}] {record.ours}" if record.study else record.ours
        table.add_row(record.id, record.statement, record.paper, found, record.verdict)
    return table


def criteria_table(records: Sequence[Any]) -> Table:
    """Every number that decides the verdict on a claim of the paper, beside its threshold."""
    table = _table("What decides", "claim", "study", "number", "found", "threshold", "holds")
    for record in records:
        for criterion in record.criteria:
            cells = (record.study, criterion.quantity, str(criterion.found), str(criterion.threshold))
            table.add_row(record.id, *cells, criterion.answer)
    return table


def posterior_table(summary: Mapping[str, Any]) -> Table:
    """Mean, spread and 95 % interval of every parameter with its convergence, the maximum-likelihood draw beside it."""
    columns = ("parameter", "mean", "sd", "95 % HDI", "R-hat", "ESS bulk", "ESS tail", "max. likelihood")
    table = _table(f"Posterior, {summary['region']} region", *columns)
    best = summary["max_likelihood_draw"]["parameters"]
    for name, values in summary["parameters"].items():
        table.add_row(name, *_spread_and_convergence(values), _shown(best.get(name)))
    return table


def nuisances_table(summary: Mapping[str, Any]) -> Table | None:
    """The same of every nuisance, in units of its prior's standard deviation; None if none was sampled."""
    if not summary.get("nuisances"):
        return None
    table = _table("Nuisances (0 ± 1 a priori)", "nuisance", "mean", "sd", "95 % HDI", "R-hat", "ESS bulk", "ESS tail")
    for name, values in summary["nuisances"].items():
        table.add_row(name, *_spread_and_convergence(values))
    return table


def _spread_and_convergence(values: Mapping[str, Any]) -> Iterator[str]:
    """Mean, spread, 95 % interval, R-hat and effective sizes; a dash for what a value that is fixed does not have."""
    low, high = values["hdi95"]
    yield from (_shown(values["mean"]), _shown(values["sd"]), f"{low:.4g} to {high:.4g}")
    for key, digits in (("r_hat", 4), ("ess_bulk", 0), ("ess_tail", 0)):
        yield _fixed_point(values[key], digits)


def _fixed_point(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def convergence_sentence(summary: Mapping[str, Any]) -> str:
    """One sentence on whether the draws can be trusted."""
    warnings = "; ".join(summary["warnings"])
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in summary["seconds"].items())
    if (weights := summary.get("importance")) is not None:
        kind = "nested sampling" if summary["method"] == "nested" else "importance sampling"
        work = f"{summary['draws']} draws of {kind}, effective size {weights['ess']:.0f} of {weights['points']} points"
    else:
        work = f"{summary['chains']} chains of {summary['draws']} draws, {summary['divergences']} divergences"
    if nuisances := summary.get("nuisances"):
        from jaxdark.sampling.diagnostics import KINDS, worst  # brings scipy.stats, which `jaxdark point` does without

        r_hat, *sizes = (nuisances[worst(nuisances, kind)][kind] for kind in KINDS)
        work += (
            f", {len(nuisances)} nuisances with R-hat up to {_fixed_point(r_hat, 4)} ({worst(nuisances, 'r_hat')}) and "
            f"effective sizes from {' and '.join(_fixed_point(size, 0) for size in sizes)}"
        )
    return f"{work} ({seconds}): {'converged' if summary['converged'] else f'not converged: {warnings}'}"
