"""`jaxdark data`: the shipped data, and the check of a user's own file."""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxdark.cli import options
from jaxdark.errors import DataWarning, RequestError, nearest, shown, visible

_LONG = ("title", "description", "reference")
_MOST = 50
"""Faults or remarks shown."""

app = typer.Typer(help="The shipped data and your own.")


@app.command("list", epilog="Example: jaxdark data list")
def list_(as_json: options.Json = False) -> None:
    """The data sets and the measurements they are chosen from."""
    from jaxdark.measurements.dataset import dataset_names, load_dataset, load_entries

    datasets = [load_dataset(name) for name in dataset_names()]
    entries = load_entries()
    if as_json:
        described = [
            {"name": d.name, "title": d.title, "rows": len(d), "cut_off": d.cut_off, "sha256": d.sha256}
            for d in datasets
        ]
        print(
            json.dumps({"datasets": described, "entries": [_described(e, entries) for e in entries.values()]}, indent=2)
        )
        return
    columns = ("name", "rows", "up to", "title")
    _print_table("Data sets", columns, [(d.name, len(d), d.cut_off, d.title) for d in datasets])
    columns = ("id", "experiment", "year", "rows", "quality", "reference")
    listed = [_described(e, entries) for e in entries.values()]
    for one in listed:
        one["quality"] += ", superseded" if one["superseded_by"] else ""
    _print_table("Measurements", columns, [tuple(one[c] for c in columns) for one in listed])


@app.command(epilog="Example: jaxdark data show LHCb_RK_2019")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="A measurement, a data set, or inputs.")],
    as_json: options.Json = False,
) -> None:
    """One measurement, one data set, or the Standard Model inputs."""
    from jaxdark.measurements.dataset import dataset_names, load_dataset, load_entries

    entries = load_entries()
    if name == "inputs":
        _show_inputs(as_json)
    elif name in dataset_names():
        dataset = load_dataset(name)
        title = f"{name} (up to {dataset.cut_off}): {dataset.title}. {dataset.description}"
        _show(title, dataset.rows, dataset.correlation, as_json)
    elif name in entries:
        entry = entries[name]
        title = f"{name}: {entry.experiment} {entry.year}, {entry.reference}, from {entry.source}. {entry.note}"
        if later := _later(entry, entries):
            title += f" Superseded by {later}."
        _show(title, entry.rows, entry.correlation, as_json)
    else:
        known = ("inputs", *dataset_names(), *entries)
        raise RequestError(f"expected a measurement, a data set or inputs, got {shown(name)}; {nearest(name, known)}")


@app.command(epilog="Example: jaxdark data check my_measurements.yaml")
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of measurements.")]) -> int:
    """Check a file of measurements of your own and say everything that is wrong with it.

    What is possible and most likely a mistake is said as well; the exit code is 2 where the file cannot be taken.
    """
    from jaxdark.measurements.dataset import check_file, load_dataset, remarks

    problems = check_file(file)
    for problem in problems[:_MOST]:
        options.tell(problem)
    if problems:
        if len(problems) > _MOST:
            options.tell(f"{file}: and {len(problems) - _MOST} more faults")
        return 2
    with warnings.catch_warnings(action="ignore", category=DataWarning):  # they are among the remarks
        dataset = load_dataset(file)
    found = remarks(dataset)
    for remark in found[:_MOST]:
        options.tell(f"warning: {file}: {remark}")
    entries = len({row.entry for row in dataset.rows})
    result = f"{len(found)} likely to be mistaken" if found else "nothing wrong"
    print(visible(f"{file}: {len(dataset)} rows in {entries} entries, {result}"))
    return 0


@app.command(epilog="Example: jaxdark data add cms_2027.yaml --replace")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of measurements.")],
    selection: Annotated[Path, typer.Option(metavar="FILE", help="Your selection; made where there is none.")] = Path(
        "selection.yaml"
    ),
    base: Annotated[str, typer.Option(help="Shipped data set that a new selection starts from.")] = "current",
    replace: Annotated[bool, typer.Option("--replace", help="Leave out of the selection what conflicts.")] = False,
) -> int:
    """Check a file of measurements and put it into a selection of your own, which every command takes as --data.

    Conflicts are named: the same events, overlapping bins, other bases. Then nothing is written and the exit code is 2,
    unless --replace leaves out of the selection what they are with.
    """
    import yaml

    from jaxdark.io.result_dir import new_file
    from jaxdark.measurements.additions import with_measurement
    from jaxdark.measurements.dataset import dataset_names, load_dataset

    if base not in dataset_names():
        raise RequestError(
            f"--base: expected a data set that ships, got {shown(base)}; {nearest(base, dataset_names())}"
        )
    if code := check(file):
        return code
    content, conflicts = with_measurement(file, selection, base, replace=replace)
    for conflict in conflicts[:_MOST]:
        options.tell(f"{'left out of the selection' if replace else 'conflict'}: {conflict}")
    if conflicts and not replace:
        options.tell(f"{file}: {len(conflicts)} conflicts with the selection; --replace leaves out what is in it")
        return 2
    with new_file(selection, replace=True) as part:
        part.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    data = load_dataset(selection)
    print(visible(f"{selection}: {len(data)} rows, data up to {data.cut_off}; take it as --data {selection}"))
    return 0


def _described(entry: Any, entries: Any) -> dict[str, Any]:
    names = ("id", "experiment", "year", "quality", "reference", "source")
    more = {"rows": len(entry.rows), "superseded_by": _later(entry, entries)}
    return {name: getattr(entry, name) for name in names} | more


def _later(entry: Any, entries: Any) -> str:
    """Ids of the entries that supersede one, of those in several bases or bins the first."""
    from jaxdark.measurements.schema import covers

    later: dict[str, str] = {}
    for other in entries.values():
        if any(covers(name, entry.id) for name in other.supersedes):
            later.setdefault(other.reference, other.id)
    return ", ".join(later.values())


def _show(title: str, rows: Any, correlation: Any, as_json: bool) -> None:
    """Rows of an entry, with their separate errors, or of a data set, with total ones."""
    if as_json:
        scans = [None if row.scan is None else [axis.tolist() for axis in row.scan] for row in rows]
        records = [vars(row) | {"scan": scan} for row, scan in zip(rows, scans, strict=True)]
        print(json.dumps({"title": title.strip(), "rows": records, "correlation": correlation.tolist()}, indent=2))
        return
    cells = [_row_cells(row) for row in rows]
    columns = [name for name in cells[0] if any(cell[name] for cell in cells)]
    _print_table(title.strip(), columns, [[cell[name] for name in columns] for cell in cells])


def _row_cells(row: Any) -> dict[str, str]:
    def errors(pair: tuple[float, float] | None) -> str:
        return f"+{pair[0]:.4g} -{pair[1]:.4g}" if pair else ""

    cells = {name: getattr(row, name, "") for name in ("id", "process", "observable")}
    cells |= {"q2": f"[{row.q2[0]:g}, {row.q2[1]:g}]" if row.q2 else "", "value": f"{row.value:.6g}"}
    if hasattr(row, "error_plus"):
        cells["error"] = errors((row.error_plus, row.error_minus))
    else:
        cells |= {name: errors(getattr(row, name)) for name in ("stat", "syst", "norm", "total")}
    return cells | {"quality": row.quality}


def _show_inputs(as_json: bool) -> None:
    from jaxdark.inputs import read_data

    inputs = read_data("inputs.yaml")["inputs"]
    if as_json:
        print(json.dumps(inputs, indent=2))
        return
    columns = ("value", "uncertainty", "unit", "description", "reference")
    lines = [(name, *(entry.get(column, "") for column in columns)) for name, entry in inputs.items()]
    _print_table("Standard Model inputs, overridden with --inputs FILE", ("name", *columns), lines)


def _print_table(title: str, columns: Any, lines: Any) -> None:
    from jaxdark.output.table import Column, Table

    table = Table(title, [Column(name, wrap=name in _LONG) for name in columns])
    for line in lines:
        table.add_row(*map(str, line))
    options.console().print(table)
