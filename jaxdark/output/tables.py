"""What is shown of a record: JSON text, tables and sentences.

Inputs: the record of a command, of whatever text it holds. Outputs: its JSON text; tables and sentences, which `table`
shows in a terminal and `html_report` on a page.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxdark.io.results import plain
from jaxdark.likelihood.priors import unit
from jaxdark.output.table import (
    Cell,
    Column,
    Meaning,
    Table,
    data_in_words,
    format_value,
    model_in_words,
    numbers,
    with_unit,
    words,
)

_NULL_BY_MEANING = ("limit", "cl", "ratio", "q2", "Standard Model")
"""Fields whose null says that there is none, as of parameters of the Standard Model."""


def to_json(record: Mapping[str, Any]) -> str:
    """The record as JSON: every digit of a number, null for one that is missing and the reason under `missing`."""
    missing = dict(_missing(record, "")) | record.get("missing", {})
    return json.dumps(plain(record) | ({"missing": missing} if missing else {}), indent=2, allow_nan=False)


def _missing(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths of the numbers that a record lacks, each with the reason."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{path}.{key}".lstrip(".")
            if item is None and (reason := value.get(f"{str(key).removesuffix('_error')}_reason")):
                yield inner, reason  # of an error of a fit
            elif key not in _NULL_BY_MEANING or item is not None:
                yield from _missing(item, inner)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _missing(item, f"{path}[{index}]")
    elif value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield path, "not a finite number"


def _own(record: Mapping[str, Any]) -> str:
    """With which theory errors a model and the Standard Model are compared."""
    return f"theory errors of {record.get('compared_at', 'each model itself, nuisances at their best values')}"


def _covariance(record: Mapping[str, Any]) -> str:
    """Which theory covariance a likelihood has."""
    if record.get("theory") == "following":
        return "theory covariance of each point, with its log-determinant"
    return f"theory covariance at {format_value(record['covariance_at'], '.4g')}"


_DERIVED_UNITS = dict.fromkeys(("g_tilde", "g_tilde_mV2", "d_tilde"), "GeV^-2") | {"width_V": "GeV"}
"""Units of what follows from the parameters, where it has one."""


def point_tables(record: Mapping[str, Any], *, full: bool = True) -> list[Table | str]:
    """What `jaxdark point` shows: parameters, observables, constraints and the likelihood; without full, that alone."""
    chi2, terms = record["chi2"], format_value(record["terms"], ".4g")
    likelihood = (
        f"log-likelihood {record['log_likelihood']:.6g} ({terms}), Standard Model {record['sm_log_likelihood']:.6g}, "
        f"both with {_own(record)}; chi2 with experimental errors alone {chi2['experiment']:.5g} for "
        f"{chi2['rows']} rows"
    )
    experiments = Table("chi2 at the best nuisances", words("rows of") + numbers("rows", "chi2", "SM chi2"))
    for name, row in record["by_experiment"].items():
        experiments.add_row(
            name, str(row["rows"] or ""), *(format_value(row[key], ".4g") for key in ("chi2", "sm_chi2"))
        )
    terms_beside = [_terms_table(record)] if record["terms_beside"] else []
    shown = [experiments, *terms_beside, likelihood]
    if not full:
        return shown
    pulls = Table("Pulls", words("measurement") + numbers("prediction", "measured", "pull", "SM pull"))
    for row in record["observables"]:
        predicted, measured = (
            with_error(row["prediction"], row["theory_error"]),
            with_error(row["measurement"], row["error"]),
        )
        pulls.add_row(row["id"], predicted, measured, _pull(row["pull"]), _pull(row["sm_pull"]))
    constraints = Table("Constraints", words("constraint") + numbers("value", "limit", "value/limit") + words(""))
    for row in record["constraints"]:
        answer = "" if row["limit"] is None else Cell("excluded", "bad") if row["excluded"] else "allowed"
        values = (format_value(row[name]) for name in ("value", "limit", "ratio"))
        constraints.add_row(with_unit(row["id"], row["unit"]), *values, answer)
    return [_values_table(record), pulls, constraints, *shown]


def _terms_table(record: Mapping[str, Any]) -> Table:
    """The log-likelihood term by term, beside that of the Standard Model, and what each one is."""
    forms = {"flavour": "rows of the data set"} | record["terms_beside"]
    table = Table("Terms of the log-likelihood", words("term") + numbers("here", "SM") + words("form"))
    for name, value in record["terms"].items():
        table.add_row(name, f"{value:.3f}", f"{record['sm_terms'][name]:.3f}", forms.get(name, ""))
    return table


def _values_table(record: Mapping[str, Any]) -> Table | str:
    """Parameters, then what follows from them; a sentence in place of Wilson coefficients that all vanish."""
    derived = dict(record["derived"])
    shifts = [derived["C_P_mBs2"], *derived["C9"].values(), *derived["C10"].values()]
    nothing = not any(part for pair in shifts for part in pair)
    if nothing and not any(record["parameters"].get(name) for name in record["parameters"] if name not in derived):
        given = ", ".join(f"{name} = {format_value(value)}" for name, value in record["parameters"].items())
        return f"Model {model_in_words(record)} with {given}: no new physics, everything below is the Standard Model's"
    table = Table(f"Model {model_in_words(record)}, data {data_in_words(record)}", words("quantity", "value"))
    for name, value in record["parameters"].items():
        table.add_row(with_unit(name, unit(name)), format_value(value))
    if nothing:
        table.add_row("C9, C10, C_P", "0: the Standard Model's")
        derived = {name: value for name, value in derived.items() if name not in ("C9", "C10", "C_P_mBs2")}
    for name, value in derived.items():
        if name in ("C9", "C10"):
            for q2, pair in value.items():
                table.add_row(f"{name}(q2 = {q2} GeV^2)", format_value(pair))
        else:
            table.add_row(with_unit(name, _DERIVED_UNITS.get(name, "1")), format_value(value))
    return table


def _title(what: str, record: Mapping[str, Any]) -> str:
    return f"{what}, {model_in_words(record)}, {record['region']} region"


def with_error(value: float, error: float) -> str:
    """Value and error with two digits of the error, such as 0.846 ± 0.060 or (2.8 ± 0.7)e-09."""
    size = max(abs(value), error)
    exponent = 0 if size == 0 or 1e-3 <= size < 1e4 else math.floor(math.log10(size))
    value, error = value / 10**exponent, error / 10**exponent
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 4
    text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"({text})e{exponent:+03d}" if exponent else text


def _pull(pull: float) -> Cell:
    return Cell(f"{pull:+.2f}", "bad" if abs(pull) > 3 else "doubtful" if abs(pull) > 2 else "")


def _pulls_table(record: Mapping[str, Any], best: str) -> Table:
    """Pulls, row by row, of the Standard Model and of the best parameters, which are called `best`."""
    table = Table("Pulls", words("measurement") + numbers("Standard Model", best))
    for row in record["pulls"]:
        table.add_row(row["id"], _pull(row["sm"]), _pull(row["best"]))
    return table


def summary_tables(summary: Mapping[str, Any]) -> list[Table | str]:
    """What `jaxdark sample` shows: pulls of the Standard Model and of the likeliest draw, posterior, convergence."""
    draw = summary["max_likelihood_draw"]
    sampled, profiled = draw["log_likelihood"], draw.get("profile_log_likelihood")
    gain = (sampled if profiled is None else profiled) - summary["sm_log_likelihood"]
    best = f"maximum-likelihood draw: log-likelihood {sampled:.5g}, {gain:.3g} above the Standard Model"
    if profiled is not None:
        best += f", both with {_own(summary)}"
    if "covariance_at" in summary:
        best += f"; {_covariance(summary)}"
    pulls = _pulls_table(summary, "maximum-likelihood draw")
    return [pulls, posterior_table(summary), best, convergence_sentence(summary)]


_SPREAD = numbers("mean", "sd", "95 % HDI", "R-hat", "ESS bulk", "ESS tail")


def posterior_table(summary: Mapping[str, Any]) -> Table:
    """Mean, spread and 95 % interval of every parameter with its convergence, the
    maximum-likelihood draw beside it."""
    table = Table(_title("Posterior", summary), words("parameter") + _SPREAD + numbers("max. likelihood"))
    for name, values in summary["parameters"].items():
        best = format_value(summary["max_likelihood_draw"]["parameters"].get(name))
        table.add_row(with_unit(name, unit(name)), *_spread_and_convergence(values), best)
    return table


def nuisances_table(summary: Mapping[str, Any]) -> Table | None:
    """The same of every nuisance, in units of its prior's standard deviation; None if none was sampled."""
    if not summary.get("nuisances"):
        return None
    table = Table("Nuisances (0 ± 1 a priori)", words("nuisance") + _SPREAD)
    for name, values in summary["nuisances"].items():
        table.add_row(name, *_spread_and_convergence(values))
    return table


def _spread_and_convergence(values: Mapping[str, Any]) -> Iterator[str]:
    """Cells of _SPREAD; a dash for what a value that is fixed does not have."""
    low, high = values["hdi95"]
    yield from (format_value(values["mean"]), format_value(values["sd"]), f"{low:.4g} to {high:.4g}")
    for key, form in (("r_hat", ".4f"), ("ess_bulk", ".0f"), ("ess_tail", ".0f")):
        yield format_value(values[key], form)


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
            f", {len(nuisances)} nuisances with R-hat up to {format_value(r_hat, '.4f')} "
            f"({worst(nuisances, 'r_hat')}) and effective sizes from "
            f"{' and '.join(format_value(size, '.0f') for size in sizes)}"
        )
    return f"{work} ({seconds}): {'converged' if summary['converged'] else f'not converged: {warnings}'}"


def fit_tables(record: Mapping[str, Any]) -> list[Table | str]:
    """What `jaxdark fit` shows: pulls, parameters with errors, minima, goodness of fit, status."""
    columns = words("parameter") + numbers("value", "Hessian error", "Fisher error") + words("")
    values = Table(_title("Best fit", record), columns)
    for name, entry in record["parameters"].items():
        errors = (format_value(entry[key]) for key in ("value", "hessian_error", "fisher_error"))
        values.add_row(with_unit(name, unit(name)), *errors, entry.get("hessian_reason", ""))
    parameters = [Column(name, unit(name), align="right") for name in record["parameters"]]
    minima = Table("Minima", numbers("chi2", "starts") + parameters)
    for entry in record["minima"]:
        minima.add_row(*map(format_value, (entry["chi2"], entry["starts"], *entry["parameters"].values())))
    p_value, sets = record["p_value"], record["pseudo_data"]["sets"]
    fraction = "" if p_value is None else f", p-value {p_value:.3g} from {sets} sets of pseudo-data"
    freedom = (
        f" for {record['dof']} degrees of freedom{fraction}"
        if record["dof"] is not None
        else f"; {record['missing']['dof']}"
    )
    goodness = (
        f"chi2 {record['chi2']:.6g}{freedom}, {_covariance(record)}; "
        f"Standard Model {record['delta_chi2_sm']:.4g} higher, both with {_own(record)}"
    )
    return [_pulls_table(record, "best fit"), values, minima, goodness, record["status"]]


def constrained_tables(record: Mapping[str, Any]) -> list[Table | str]:
    """What `jaxdark fit --subject-to` shows: pulls, parameters, limits, the other optima, the gain, status."""
    values = Table(
        f"Best fit under limits, {record['region']} region", words("parameter") + numbers("value") + words("")
    )
    for name, entry in record["parameters"].items():
        edge = "on an edge of the prior" if entry["on_edge"] else ""
        values.add_row(with_unit(name, entry["unit"]), format_value(entry["value"]), edge)
    columns = words("limit") + numbers("value", "limit", "ratio", "gain in ln L per loosening") + words("quality")
    limits = Table("Limits (gain to first order, per relative loosening of the limit)", columns)
    for name, entry in record["limits"].items():
        ratio = Cell(format_value(entry["ratio"], ".5g"), _meaning_of(entry))
        multiplier = format_value(entry["multiplier"], ".3g") if entry["active"] else ""
        cells = format_value(entry["value"], ".4g"), format_value(entry["limit"], ".4g"), ratio, multiplier
        shown = name if entry["applied"] else Cell(f"({name})", "muted")
        limits.add_row(shown, *cells, entry["quality"])
    parameters = [Column(name, entry["unit"], align="right") for name, entry in record["parameters"].items()]
    optima = Table("Optima", numbers("gain", "chi2", "starts") + parameters + words("held by"))
    for entry in record["optima"]:
        cells = (entry["gain"], entry["chi2"], entry["starts"], *entry["parameters"].values())
        optima.add_row(*(format_value(cell, ".5g") for cell in cells), ", ".join(entry["active"]))
    gain = (
        f"log-likelihood {record['gain']:.4g} above the Standard Model, both with {_own(record)}, subject to "
        f"{', '.join(record['subject_to'])}; {_covariance(record)}"
    )
    return [_pulls_table(record, "best fit"), values, limits, optima, gain, record["status"]]


def _meaning_of(limit: Mapping[str, Any]) -> Meaning:
    """Of the ratio of a limit at an optimum: broken, holding the optimum, or neither."""
    return "bad" if limit["ratio"] > 1 else "doubtful" if limit["active"] else ""


def profile_lines(record: Mapping[str, Any]) -> list[str]:
    """What `jaxdark profile` shows: the best fit, where the theory covariance is taken, how many points converged."""
    best = format_value(record["best"]["parameters"], ".4g")
    return [
        f"{_title('Profile likelihood', record)}: smallest chi2 {record['best']['chi2']:.6g} at {best}",
        _covariance(record),
        f"{100 * record['converged_fraction']:.4g} % of the grid converged",
    ]


def cuts_table(summary: Mapping[str, Any]) -> Table:
    """Shares of the draws that each constraint cuts, alone and beyond all the others."""
    total = summary["chains"] * summary["draws"]
    title = f"{_title('Constraints', summary)}: {summary['n_allowed']} of {total} draws allowed by all applied"
    table = Table(title, words("constraint") + numbers("cuts alone", "cuts given others") + words("quality"))
    for name, row in summary["constraints"].items():
        shares = (f"{100 * row[key] / total:.3g} %" for key in ("cut_alone", "cut_given_others"))
        table.add_row(name if row["applied"] else Cell(f"({name})", "muted"), *shares, row["quality"])
    return table


def check_tables(checks: Mapping[str, Any], shown: int) -> list[Table | str]:
    """What `jaxdark check` shows: the most influential measurements, the sensitivities and the p-value of the fit."""
    doubtful, parameters = checks["unreliable_measurements"], numbers(*checks["power_scaling"])
    title = "Mean of a parameter without the measurement, shift in standard deviations"
    influence = Table(title, words("measurement") + parameters + numbers("Pareto k", "p-value"))
    for row in checks["measurements"][:shown]:
        pareto_k = Cell(format_value(row["pareto_k"], ".2f"), "doubtful" if row["id"] in doubtful else "")
        shifts = (format_value(value, "+.2f") for value in row["shift"].values())
        influence.add_row(row["id"], *shifts, pareto_k, format_value(row["p_value"], ".3f"))
    scaling = Table("Power-scaling sensitivity (above 0.05: sensitive)", words("to") + parameters)
    for part in ("prior", "likelihood"):
        scaling.add_row(part, *(format_value(of[part], ".3f") for of in checks["power_scaling"].values()))
    variants = Table("Other priors, shift in standard deviations", words("prior") + parameters + numbers("ESS"))
    for name, variant in checks["prior_variants"].items():
        shifts = (format_value(value, "+.2f") for value in variant["shift"].values())
        variants.add_row(name, *shifts, format_value(variant["ess"], ".0f"))
    p_value = (
        checks["p_value_reason"]
        if checks["p_value"] is None
        else f"posterior predictive p-value of chi2 {checks['p_value']:.3f}"
    )
    fit = f"{p_value}, elpd_loo {format_value(checks['elpd_loo'], '.2f')}" + (
        f"; reweighting is unreliable (Pareto k above 0.7) without {', '.join(doubtful)}" if doubtful else ""
    )
    return [influence, scaling, variants, fit]


def evidence_table(evidences: Mapping[str, Any]) -> Table:
    """Log-evidences of models with errors and log Bayes factors, one column per theory covariance that they share."""
    title = f"Log-evidence (log Bayes factor), data {data_in_words(evidences)}, theory covariance at"
    table = Table(title, words("model") + numbers(*evidences["covariances"]))
    for model, entries in evidences["models"].items():
        cells = (f"{e['log_evidence']:.3f} ± {e['error']:.3f} ({e['log_bayes_factor']:+.2f})" for e in entries.values())
        table.add_row(model_in_words({"model": model, "physics": evidences["physics"].get(model)}), *cells)
    return table


def distances_table(distances: Mapping[str, Any]) -> Table:
    """Distances between the marginals of two results."""
    table = Table("Kolmogorov-Smirnov distances", words("parameter") + numbers("distance", "p-value"))
    for name, row in distances.items():
        table.add_row(name, format_value(row["distance"], ".4f"), format_value(row["p_value"], ".3f"))
    return table


_OUTCOMES: dict[str, Meaning] = {"reproduced": "good", "in part": "doubtful", "not reproduced": "bad"}
_OUTCOMES |= {"yes": "good", "no": "bad", "undecided": "muted"}


def claims_table(records: Sequence[Any]) -> Table:
    """Claims of the paper and printed numbers with their verdicts."""
    table = Table("The paper's claims and numbers", words("claim", "statement", "paper", "found", "verdict"))
    for record in records:
        ours = f"[{record.study or record.physics}] {record.ours}"
        verdict = Cell(record.verdict, _OUTCOMES[record.verdict])
        table.add_row(record.id, record.statement, record.paper, ours, verdict)
    return table


def criteria_table(records: Sequence[Any]) -> Table:
    """Every number that decides the verdict on a claim of the paper, beside its threshold."""
    table = Table("What decides", words("claim", "study", "number", "found", "threshold", "holds"))
    for record in records:
        for criterion in record.criteria:
            cells = (record.study, criterion.quantity, str(criterion.found), str(criterion.threshold))
            table.add_row(record.id, *cells, Cell(criterion.answer, _OUTCOMES[criterion.answer]))
    return table
