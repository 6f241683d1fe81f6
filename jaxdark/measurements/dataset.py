"""Data sets: the shipped selections or a user's file in, rows with total errors and their correlation out.

Implements the data of Section 4 (fit); the origin of every number is in data/README.md.
"""

import hashlib
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.errors import DataWarning, RequestError, nearest, shown
from jaxdark.io.text_files import read_yaml
from jaxdark.io.validation import Faults, fault_at
from jaxdark.measurements import plausibility
from jaxdark.measurements.library import shipped_entries
from jaxdark.measurements.schema import (
    Entry,
    EntryRow,
    Errors,
    Scan,
    Selected,
    check_selection,
    covers,
    measurements,
    read_measurements,
)
from jaxdark.measurements.selection import Definition, Item, is_selection, read_definitions, read_selection, select

_DATA = files("jaxdark") / "data"


@dataclass(frozen=True, eq=False)
class Row:
    """One number of a data set.

    Attributes:
        id: `entry/observable[low,high]`, or the entry's id where it has one row.
        process: such as B0->K*0mumu.
        observable: such as P5p; angular observables in LHCb's sign and normalisation, dBR in GeV^-2.
        q2: bin in GeV^2, None for Bs -> mu mu.
        value: centre.
        error_plus: total upper error, positive.
        error_minus: total lower error, positive.
        scan: (x, relative likelihood) where the rule uses it, else None.
        reference: arXiv number, or words where there is none.
        quality: published, digitised, recast or unverified.
        source: what the number was taken from.
        parts: published errors (upper, lower) by name, stat, syst, norm or total, as far as the file has them.
        luminosity: integrated luminosity behind it, fb^-1, where the file gives it.
        date: year and month of the arXiv number, or the year.
    """

    id: str
    entry: str
    experiment: str
    year: int
    process: str
    observable: str
    q2: tuple[float, float] | None
    value: float
    error_plus: float
    error_minus: float
    scan: Scan | None
    reference: str
    quality: str
    source: str
    parts: Mapping[str, Errors] = field(default_factory=dict)
    luminosity: float | None = None
    date: str = ""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows in order with the total experimental correlation between them, (n, n).

    Attributes:
        errors: rule by which the published errors became total errors: asymmetric, mean or hepfit.
        sha256: of rows, rule and correlation; the same for the same numbers under another name.
        cut_off: date up to which measurements were taken in, that of the newest one unless the data set says another.
    """

    name: str
    title: str
    errors: str
    rows: tuple[Row, ...]
    correlation: Float[np.ndarray, "n n"]
    sha256: str = field(init=False, repr=False)
    description: str = field(default="", repr=False)
    cut_off: str = ""

    def __post_init__(self):
        """Take the hash, also of a copy with other rows."""
        object.__setattr__(self, "sha256", _sha256(self.errors, self.rows, self.correlation))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def ids(self) -> tuple[str, ...]:
        """Row ids, all different."""
        return tuple(row.id for row in self.rows)

    @property
    def values(self) -> Float[np.ndarray, " n"]:
        """Centres."""
        return np.array([row.value for row in self.rows])

    @property
    def sigma(self) -> Float[np.ndarray, " n"]:
        """Mean of the total upper and lower errors."""
        return np.array([0.5 * (row.error_plus + row.error_minus) for row in self.rows])


def dataset_names() -> tuple[str, ...]:
    """Names of the shipped data sets."""
    return tuple(_shipped_datasets())


def load_entries(path: str | Path | None = None) -> dict[str, Entry]:
    """All entries by id, of the shipped measurements or of a user's file.

    Raises:
        RequestError: the file has a fault.
    """
    return shipped_entries() if path is None else read_measurements(Path(path)).entries


def load_dataset(name_or_path: str | Path, include: Iterable[str] = ()) -> DataSet:
    """A shipped data set by name, or a user's file: measurements, or a selection of such and of the shipped ones.

    A file never bears the name of a data set that ships: `lhcb_core.yaml` is "lhcb_core (own file)". Data that count
    something twice raise a `DataWarning`.

    Args:
        name_or_path: a name of `dataset_names()` or the path of a YAML file.
        include: ids of further shipped entries, such as those a data set keeps off by default.

    Raises:
        RequestError: unknown name or id, or a fault in the file; one sentence saying where and what to do.
    """
    data = _read_dataset(name_or_path, include)
    for sentence in plausibility.counted_twice(data.rows):
        warnings.warn(f"data set {data.name}: {sentence}", DataWarning, stacklevel=2)
    return data


def remarks(data: DataSet) -> list[str]:
    """Sentences on what is most likely a mistake in a data set: implausible numbers, events that count twice."""
    return [s for row in data.rows for s in plausibility.implausible(row)] + plausibility.counted_twice(data.rows)


def _read_dataset(name_or_path: str | Path, include: Iterable[str]) -> DataSet:
    if not isinstance(name_or_path, str | Path):
        known = ", ".join(dataset_names())
        raise RequestError(f"expected a data set, got {shown(name_or_path)}; give the path of a file, or {known}.")
    definitions, include = _shipped_datasets(), [include] if isinstance(include, str) else list(include)
    if isinstance(name_or_path, str) and name_or_path in definitions:
        place = f"data set {name_or_path}"
        header, parts = _defined(name_or_path, include)
    else:
        path = _user_file(name_or_path, definitions)
        place, content = str(path), read_yaml(path)
        header, parts = (_selected_by_user if is_selection(content) else _measured)(path, content, include)
        if header.name in definitions:
            header = header._replace(name=f"{header.name} (own file)")
    check_selection(parts, place)
    return _dataset(header, parts)


def check_file(path: str | Path) -> list[str]:
    """Everything that is wrong with a user's file, one sentence each; an empty list where nothing is."""
    try:
        _read_dataset(Path(path), ())
    except Faults as error:
        return [str(error), *error.others]
    except RequestError as error:
        return [str(error)]
    return []


@cache
def _shipped_datasets() -> dict[str, Definition]:
    return read_definitions(_DATA / "datasets.yaml")


def _user_file(name_or_path: str | Path, names: Iterable[str]) -> Path:
    path = Path(name_or_path)
    looks_like_a_name = isinstance(name_or_path, str) and path.name == name_or_path and not path.suffix
    if looks_like_a_name and not path.is_file():
        advice = f"{nearest(name_or_path, names)}, or give the path of a file"
        raise RequestError(f"expected a data set, got {shown(name_or_path)}; {advice}.")
    return path


class _Header(NamedTuple):
    """What a data set says of itself; off_by_default are the rows that `include` takes of entries."""

    name: str
    title: str
    errors: str
    description: str = ""
    cut_off: str | None = None
    off_by_default: tuple[Item, ...] = ()


def _defined(name: str, include: list[str]) -> tuple[_Header, list[Selected]]:
    """A shipped data set."""
    one = _shipped_datasets()[name]
    entries = shipped_entries([*(item.id for item in one.entries), *include])
    header = _Header(name, one.title, one.errors, one.description, one.cut_off, one.off_by_default)
    parts = select(one.entries, entries, place=f"data set {name}", known=shipped_entries)
    return header, parts + _included(include, one.off_by_default, entries, parts, f"data set {name}")


def _measured(path: Path, content: Any, include: list[str]) -> tuple[_Header, list[Selected]]:
    """Everything in a file of measurements."""
    file = measurements(content, str(path))
    entries = _with_shipped(file.entries, include, str(path))
    parts = [Selected(entry, tuple(range(len(entry.rows)))) for name in file.entries for entry in [entries[name]]]
    header = _Header(file.name or path.stem, file.title or path.name, file.errors)
    return header, parts + _included(include, (), entries, parts, str(path))


def _selected_by_user(path: Path, content: Any, include: list[str]) -> tuple[_Header, list[Selected]]:
    """What a user's selection takes of a shipped data set, of files of measurements and of the shipped entries."""
    one, own = read_selection(content, str(path)), {}
    if one.base is not None and one.base not in _shipped_datasets():
        advice = nearest(one.base, dataset_names())
        raise fault_at((str(path), "field base"), "a data set that ships", shown(one.base), advice)
    for name in one.files:
        for entry_id, entry in read_measurements(path.parent / name).entries.items():
            if entry_id in own:
                raise fault_at((str(path), "field files"), "an id in one file", f"{entry_id} again in {name}", "rename")
            own[entry_id] = entry
    base = None if one.base is None else _shipped_datasets()[one.base]
    items = (*(base.entries if base else ()), *one.entries)
    entries = _with_shipped(own, [item.id for item in items if item.id not in own] + include, str(path))
    place = str(path)
    parts = select(items, entries, one.without, place=place, known=lambda: shipped_entries() | own)
    if not parts:
        raise fault_at((place, "field entries"), "entries, or a base", "nothing selected", "name some of them")
    errors = one.errors or (base.errors if base else "asymmetric")
    header = _Header(one.name or path.stem, one.title or path.name, errors, one.description, one.cut_off)
    return header, parts + _included(include, (), entries, parts, place)


def _with_shipped(own: dict[str, Entry], names: list[str], place: str) -> dict[str, Entry]:
    """A user's own entries and the shipped ones of these names; raises RequestError for alternatives that are none."""
    others = {other for entry in own.values() for other in (*entry.alternative_to, *entry.supersedes)} - own.keys()
    together = shipped_entries([*names, *others]) | own
    for entry in own.values():
        for kind in ("alternative_to", "supersedes"):
            for other in getattr(entry, kind):
                if not any(covers(other, name) for name in together):
                    where = place, f"entry {entry.id}", f"field {kind}"
                    raise fault_at(where, "ids of entries", other, nearest(other, shipped_entries() | own))
    return together


def _included(
    include: list[str], off: Iterable[Item], entries: Mapping[str, Entry], parts: list[Selected], place: str
) -> list[Selected]:
    filtered, taken = {item.id: item for item in off}, {part.entry.id for part in parts}
    for name in include:
        if name not in entries:
            known = shipped_entries() | entries
            raise fault_at((place, "field include"), "ids of entries", shown(name), nearest(name, known))
        if name in taken or include.count(name) > 1:
            expected = "entries that are not in yet"
            raise fault_at((place, "field include"), expected, shown(name), "leave it out of include")
    return [
        Selected(entry, filtered[name].positions(entry) if name in filtered else tuple(range(len(entry.rows))))
        for name in include
        for entry in [entries[name]]
    ]


def _mean(errors: Errors | None) -> float:
    return 0.5 * (errors[0] + errors[1]) if errors else 0.0


def _total_errors(row: EntryRow, rule: str) -> tuple[float, float, float]:
    """Centre and total upper and lower error of a row under a rule."""
    parts = row.parts.values()
    if rule == "asymmetric":
        return row.value, math.hypot(*(up for up, _ in parts)), math.hypot(*(down for _, down in parts))
    sigma = math.hypot(*map(_mean, parts))
    interval = row.stat or row.total
    shift = 0.5 * (interval[0] - interval[1]) if rule == "hepfit" and interval else 0.0
    return row.value + shift, sigma, sigma


def _total_correlation(selected: Selected) -> Float[np.ndarray, "k k"]:
    """Correlation of the selected rows: the published one on everything but `norm`, which is common to all rows.

    Where `norm` is a part of published totals, their correlation holds it already.
    """
    (entry, positions), rows = selected, selected.rows
    if any(row.total and row.norm for row in entry.rows):
        return entry.correlation[np.ix_(positions, positions)]
    own = np.array([math.hypot(_mean(row.stat), _mean(row.syst), _mean(row.total)) for row in rows])
    norm = np.array([_mean(row.norm) for row in rows])
    covariance = entry.correlation[np.ix_(positions, positions)] * np.outer(own, own) + np.outer(norm, norm)
    sigma = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sigma, sigma)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _rows(selected: Selected, rule: str) -> list[Row]:
    entry = selected.entry
    count = Counter(row.label for row in entry.rows)
    rows = []
    for row in selected.rows:
        label = row.label if count[row.label] == 1 else f"{row.process}/{row.label}"
        value, plus, minus = _total_errors(row, rule)
        rows.append(
            Row(
                id=entry.id if len(entry.rows) == 1 else f"{entry.id}/{label}",
                entry=entry.id,
                experiment=entry.experiment,
                year=entry.year,
                process=row.process,
                observable=row.observable,
                q2=row.q2,
                value=value,
                error_plus=plus,
                error_minus=minus,
                scan=row.scan if rule == "asymmetric" else None,
                reference=entry.reference,
                quality=row.quality,
                source=row.source,
                parts=row.parts,
                luminosity=row.luminosity,
                date=entry.date,
            )
        )
    return rows


def _dataset(header: _Header, selection: list[Selected]) -> DataSet:
    rule = header.errors
    rows = tuple(row for selected in selection for row in _rows(selected, rule))
    correlation, end = np.zeros((len(rows), len(rows))), 0
    for selected in selection:  # scipy.linalg.block_diag does the same, and takes half a second to import
        start, end = end, end + len(selected.positions)
        correlation[start:end, start:end] = _total_correlation(selected)
    correlation.setflags(write=False)
    return DataSet(
        name=header.name,
        title=header.title,
        errors=rule,
        rows=rows,
        correlation=correlation,
        description=header.description,
        cut_off=header.cut_off or max(row.date for row in rows),
    )


def _sha256(rule: str, rows: Iterable[Row], correlation: np.ndarray) -> str:
    """Hash of the numbers to 12 digits, so that the last bit of a square root does not change it."""

    def digits(values: Iterable[float]) -> list[str]:
        return [f"{value + 0.0:.12g}" for value in values]

    content = []
    for row in rows:
        axes = (row.q2 or (), (row.value, row.error_plus, row.error_minus), *(row.scan or ()))
        content.append([row.id, row.process, row.observable, *map(digits, axes)])
    pairs = np.nonzero(np.triu(correlation, 1))
    off_diagonal = [*map(np.ndarray.tolist, pairs), digits(correlation[pairs])]
    text = json.dumps([rule, content, off_diagonal], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
