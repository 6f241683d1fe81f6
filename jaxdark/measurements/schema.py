"""Entries of a measurements file, checked: processes and observables, bins, errors, correlations, likelihood scans.

Inputs: a YAML file of the schema in data/README.md. Outputs: records, or one sentence naming file, entry, row and
field.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.errors import RequestError, shown
from jaxdark.io.text_files import read_yaml
from jaxdark.io.yaml_fields import Place, checked_fields, choice, filled_list, name, number, numbers, text
from jaxdark.measurements import plausibility

SCHEMA = "jaxdark-measurements-1"
QUALITIES = ("published", "digitised", "recast", "recalled")
RULES = ("asymmetric", "mean", "hepfit")
CHARMONIUM = (9.0, 14.0)
"""Open interval of q2 in GeV^2 around J/psi and psi(2S) in which nothing is predicted."""

_END_POINT_MARGIN = 1.0
_MOST_ROWS = 5000
"""Of a file: their correlation takes 200 MB, and every command inverts it."""
ERROR_FIELDS = ("stat", "syst", "norm", "total")
_ENTRY_WORDS = {
    "covariance": "give the errors in the rows, and the field correlation: covariance over the product of two errors",
    "correlations": "the nearest right name is correlation",
    "measurements": "the nearest right name is rows",
    "values": "the nearest right name is rows",
    "name": "the nearest right name is id",
    "collaboration": "the nearest right name is experiment",
    "date": "the nearest right name is year",
}
_ROW_WORDS = {
    **dict.fromkeys(("error", "uncertainty", "sigma", "err"), "name it total, or stat and syst"),
    **dict.fromkeys(("bin", "q2_bin", "range", "qsq"), "the nearest right name is q2"),
    **dict.fromkeys(("central", "mean", "measurement", "val"), "the nearest right name is value"),
    "covariance": "errors stand in the rows, and the correlation beside the rows of an entry",
    "correlation": "it stands beside the rows of an entry",
    "scan": "the nearest right name is likelihood_scan",
}
"""What others call these fields, and what to do about it."""
_ANGULAR = ("FL", "AFB", "S3", "S4", "S5", "S7", "S8", "S9", "P1", "P2", "P3", "P4p", "P5p", "P6p", "P8p")
_ASYMMETRIES = ("ACP", "A3", "A4", "A5", "A6s", "A7", "A8", "A9")
# PDG 2022, only to tell a mistyped bin: predictions clip the bin with the masses of inputs.yaml.
_M_E, _M_MU = 0.000511, 0.105658
_M_BP, _M_B0, _M_BS = 5.27934, 5.27966, 5.36692
_M_KP, _M_K0, _M_KST0, _M_KSTP, _M_PHI = 0.493677, 0.497611, 0.89555, 0.89167, 1.019461


@dataclass(frozen=True)
class Process:
    """Observables defined for a process and its kinematic range of q2 in GeV^2, None where q2 is fixed.

    A process that is not predicted may be stored; no likelihood takes it.
    """

    observables: tuple[str, ...]
    q2_range: tuple[float, float] | None
    predicted: bool = True


def _semileptonic(m_lepton: float, m_parent: float, m_meson: float, *observables: str) -> Process:
    return Process(observables, (4.0 * m_lepton**2, (m_parent - m_meson) ** 2))


PROCESSES = {
    "B+->K+ll": _semileptonic(_M_MU, _M_BP, _M_KP, "R_K"),
    "B0->K0ll": _semileptonic(_M_MU, _M_B0, _M_K0, "R_K"),
    "B0->K*0ll": _semileptonic(_M_MU, _M_B0, _M_KST0, "R_Kst"),
    "B+->K*+ll": _semileptonic(_M_MU, _M_BP, _M_KSTP, "R_Kst"),
    "B0->K*0mumu": _semileptonic(_M_MU, _M_B0, _M_KST0, "dBR", *_ANGULAR, *_ASYMMETRIES),
    "B0->K*0ee": _semileptonic(_M_E, _M_B0, _M_KST0, "dBR", *_ANGULAR, *_ASYMMETRIES),
    # Its weak annihilation is not that of the neutral mode, whose table alone there is.
    "B+->K*+mumu": replace(_semileptonic(_M_MU, _M_BP, _M_KSTP, "dBR", *_ANGULAR, *_ASYMMETRIES), predicted=False),
    "B+->K+mumu": _semileptonic(_M_MU, _M_BP, _M_KP, "dBR", "ACP"),
    "B0->K0mumu": _semileptonic(_M_MU, _M_B0, _M_K0, "dBR"),
    # Untagged: the other S_i, A_i and A_CP drop out of the sum of both flavours.
    "Bs->phimumu": _semileptonic(_M_MU, _M_BS, _M_PHI, "dBR", "FL", "S3", "S4", "S7", "A5", "A6s", "A8", "A9"),
    "Bs->mumu": Process(("BR",), None),
}

Bin = tuple[float, float]
Errors = tuple[float, float]
Scan = tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]


@dataclass(frozen=True, eq=False)
class EntryRow:
    """One number of an entry as written in the file; errors are (upper, lower), both positive; q2 in GeV^2, the
    integrated luminosity behind it in fb^-1.
    """

    process: str
    observable: str
    q2: Bin | None
    value: float
    stat: Errors | None
    syst: Errors | None
    norm: Errors | None
    total: Errors | None
    scan: Scan | None
    quality: str
    source: str
    luminosity: float | None = None

    @property
    def label(self) -> str:
        """Observable and bin, such as P5p[4,6]."""
        return self.observable + (f"[{self.q2[0]:g},{self.q2[1]:g}]" if self.q2 else "")


@dataclass(frozen=True, eq=False)
class Entry:
    """One measurement: its rows, their published total correlation, and where the numbers come from."""

    id: str
    experiment: str
    year: int
    reference: str
    inspire: str
    source: str
    quality: str
    note: str
    alternative_to: tuple[str, ...]
    rows: tuple[EntryRow, ...]
    correlation: Float[np.ndarray, "n n"]


class Selected(NamedTuple):
    """An entry and the positions of the rows that a data set takes from it."""

    entry: Entry
    kept: tuple[int, ...]


def read_measurements(path: Traversable, problems: list[str] | None = None) -> tuple[dict[str, Any], dict[str, Entry]]:
    """Header fields and entries by id of a measurements file.

    Args:
        path: the file.
        problems: where given, the message of each bad entry is appended and the reading goes on.

    Raises:
        RequestError: the first thing that is wrong.
    """
    place = Place(str(path))
    raw = read_yaml(path)
    header = checked_fields(raw, place, "a measurements file", ("schema", "entries"), ("name", "title", "errors"))
    choice(header["schema"], place, "schema", f"the schema {SCHEMA}", (SCHEMA,))
    choice(header.setdefault("errors", RULES[0]), place, "errors", "a rule for the errors", RULES)
    for field in header.keys() & {"name", "title"}:
        name(header[field], place, field)
    entries: dict[str, Entry] = {}
    count_rows = 0
    for count, item in enumerate(filled_list(header.pop("entries"), place, "entries"), 1):
        try:
            entry = _entry(item, count, str(path))
            if entry.id in entries:
                raise Place(str(path), entry.id).error("id", "an id used once", "it twice", "rename one of the two")
            entries[entry.id] = entry
            count_rows += len(entry.rows)
        except RequestError as error:
            if problems is None:
                raise
            problems.append(str(error))
    if count_rows > _MOST_ROWS:
        advice = "split the file, or leave out what is not needed"
        raise place.error("entries", f"at most {_MOST_ROWS} rows, whose correlation fits", f"{count_rows}", advice)
    return header, _with_alternatives_both_ways(entries)


def check_selection(selection: Iterable[Selected], file: str) -> None:
    """Refuses alternatives side by side, rows in the charmonium region and overlapping rows of one entry."""
    selection = list(selection)
    ids = {entry.id for entry, _ in selection}
    for entry, kept in selection:
        place = Place(file, entry.id)
        for other in sorted(ids.intersection(entry.alternative_to)):
            raise place.error("alternative_to", "one description of the same events", f"also {other}", "leave one out")
        rows = [entry.rows[i] for i in kept]
        for row in rows:
            if row.q2 and _overlap(row.q2, CHARMONIUM):
                expected = "a bin outside (9, 14) GeV^2, where charmonium forbids a prediction"
                raise place._replace(row=row.label).error("q2", expected, f"{list(row.q2)}", "leave the row out")
        same: dict[tuple[str, str], list[EntryRow]] = defaultdict(list)
        for row in rows:
            same[row.process, row.observable].append(row)
        for members in same.values():
            for one, two in plausibility.overlaps(members):
                raise place.error("rows", "bins that do not overlap", f"{one.label} and {two.label}", "keep one")


def _overlap(one: Bin, two: Bin) -> bool:
    return one[0] < two[1] and two[0] < one[1]


def _with_alternatives_both_ways(entries: dict[str, Entry]) -> dict[str, Entry]:
    partners: dict[str, set[str]] = {name: set(entry.alternative_to) for name, entry in entries.items()}
    for entry in entries.values():
        for other in entry.alternative_to:
            partners.setdefault(other, set()).add(entry.id)
    return {name: replace(entry, alternative_to=tuple(sorted(partners[name]))) for name, entry in entries.items()}


def _entry(raw: Any, count: int, file: str) -> Entry:
    own = raw.get("id") if isinstance(raw, dict) else None
    place = Place(file, own if isinstance(own, str) and own else f"number {count}")
    texts_required, texts_optional = (
        ("id", "experiment", "source", "quality"),
        ("arxiv", "reference", "inspire", "note"),
    )
    required, optional = (
        (*texts_required, "year", "rows"),
        (*texts_optional, "alternative_to", "correlation", "luminosity"),
    )
    fields = checked_fields(raw, place, "an entry", required, optional, _ENTRY_WORDS)
    reader = {"id": name, "experiment": name}
    given = [field for field in (*texts_required, *texts_optional) if field in fields]
    words = {field: reader.get(field, text)(fields[field], place, field) for field in given}
    choice(words["quality"], place, "quality", "a quality", QUALITIES)
    if type(fields["year"]) is not int or not 1900 <= fields["year"] <= 2100:
        raise place.error("year", "a year such as 2019", shown(fields["year"]), "write the number alone")
    common = words["quality"], words["source"], fields.get("luminosity")
    rows = _rows(filled_list(fields["rows"], place, "rows"), place, *common)
    others = filled_list(fields["alternative_to"], place, "alternative_to") if "alternative_to" in fields else []
    return Entry(
        id=words["id"],
        experiment=words["experiment"],
        year=fields["year"],
        reference=f"arXiv:{words['arxiv']}" if "arxiv" in words else words.get("reference", words["source"]),
        inspire=words.get("inspire", ""),
        source=words["source"],
        quality=words["quality"],
        note=words.get("note", ""),
        alternative_to=tuple(name(item, place, "alternative_to") for item in others),
        rows=rows,
        correlation=_correlation(fields.get("correlation"), len(rows), place),
    )


def _rows(raw: list, place: Place, quality: str, source: str, luminosity: Any) -> tuple[EntryRow, ...]:
    places = [place._replace(row=_row_name(item, count)) for count, item in enumerate(raw, 1)]
    rows = tuple(_row(item, where, quality, source, luminosity) for item, where in zip(raw, places, strict=True))
    seen = set()
    for row, where in zip(rows, places, strict=True):
        if (row.process, row.label) in seen:
            expected = "each observable and bin once per entry"
            raise where.error("observable", expected, f"{row.label} twice", "remove one")
        seen.add((row.process, row.label))
    return rows


def _row_name(raw: Any, count: int) -> str:
    given = [raw[key] for key in ("observable", "q2") if raw.get(key)] if isinstance(raw, dict) else []
    words = [item if isinstance(item, str) else shown(item) for item in given]
    return f"{count} ({' '.join(words)})" if words else str(count)


def _row(raw: Any, place: Place, quality: str, source: str, luminosity: Any) -> EntryRow:
    optional = ("q2", *ERROR_FIELDS, "likelihood_scan", "quality", "source", "luminosity")
    fields = checked_fields(raw, place, "a row", ("process", "observable", "value"), optional, _ROW_WORDS)
    process = choice(fields["process"], place, "process", "a known process", PROCESSES, typos=False)
    of_process = PROCESSES[process].observables
    what = f"an observable of {process}"
    observable = choice(fields["observable"], place, "observable", what, of_process, typos=False)
    q2 = _bin(fields.get("q2"), place, process)
    value = number(fields["value"], place, "value")
    errors = {name: _errors(fields[name], place, name) for name in ERROR_FIELDS if name in fields}
    if errors.keys() <= {"norm"} or ("total" in errors and len(errors) > 1):
        came = " and ".join(errors) or "none"
        raise place.error("total", "total alone, or stat and syst with norm if any", came, "give one or the other")
    plus, minus = (math.hypot(*(pair[side] for pair in errors.values())) for side in (0, 1))
    if fault := plausibility.impossible(observable, q2, value, plus, minus):
        raise place.error("value", *fault)
    return EntryRow(
        process=process,
        observable=observable,
        q2=q2,
        value=value,
        **{name: errors.get(name) for name in ERROR_FIELDS},
        scan=_scan(fields["likelihood_scan"], value, place) if "likelihood_scan" in fields else None,
        quality=choice(fields.get("quality", quality), place, "quality", "a quality", QUALITIES),
        source=text(fields.get("source", source), place, "source"),
        luminosity=_luminosity(fields.get("luminosity", luminosity), place),
    )


def _luminosity(raw: Any, place: Place) -> float | None:
    if raw is None:
        return None
    value = number(raw, place, "luminosity")
    if value <= 0.0:
        raise place.error("luminosity", "a positive number of fb^-1", shown(raw), "leave it out if it is not known")
    return value


def _errors(raw: Any, place: Place, field: str) -> Errors:
    expected = "a positive number or [upper, -lower]"
    values = [number(item, place, field, expected) for item in (raw if isinstance(raw, list) else [raw, raw])]
    if isinstance(raw, list) and len(values) == 2:
        values[1] = -values[1]
    if len(values) != 2 or min(values) <= 0.0:
        raise place.error(field, expected, shown(raw), "write 0.1 or [0.1, -0.2], or leave out a part that vanishes")
    return values[0], values[1]


def _bin(raw: Any, place: Place, process: str) -> Bin | None:
    q2_range = PROCESSES[process].q2_range
    if q2_range is None:
        if raw is not None:
            raise place.error("q2", f"no bin for {process}", shown(raw), "leave q2 out")
        return None
    if not isinstance(raw, list) or len(raw) != 2:
        came = "nothing" if raw is None else shown(raw)
        raise place.error("q2", "a bin [low, high] in GeV^2", came, "give both edges")
    low, high = (number(edge, place, "q2") for edge in raw)
    if low >= high:
        raise place.error("q2", "a bin [low, high] with low < high", shown(raw), "give the lower edge first")
    if low < 0.0 or not _overlap((low, high), q2_range) or high > q2_range[1] + _END_POINT_MARGIN:
        expected = f"a bin in the range of {process}, {q2_range[0]:.3g} to {q2_range[1]:.4g} GeV^2"
        raise place.error("q2", expected, shown(raw), "check the edges and the process")
    return low, high


def _scan(raw: Any, value: float, place: Place) -> Scan:
    field = "likelihood_scan"
    fields = checked_fields(raw, place, field, ("x", "y"), ("note",))
    x, y = (numbers(fields[axis], place, f"{field}.{axis}") for axis in ("x", "y"))
    if len(x) != len(y) or len(x) < 5:
        raise place.error(field, "x and y of one length, at least 5", f"{len(x)} and {len(y)}", "give y at every x")
    if not np.all(np.diff(x) > 0.0):
        i = int(np.argmin(np.diff(x)))
        raise place.error(f"{field}.x", "increasing numbers", f"{x[i + 1]} after {x[i]}", "sort the scan")
    if not np.all(y > 0.0) or _one_peak(-y):
        came, advice = f"{y.min()}", "no likelihood is negative: check the scan"
        if _one_peak(-y):
            came = f"{y.max():g} down to {y.min():g} and up again"
            advice = "this looks like -2 ln L, of which give exp(-y/2), or like -ln L, of which give exp(-y)"
        elif _one_peak(y) and np.any(y < 0.0):
            advice = "this looks like ln L: give exp(y - the largest y)"
        elif np.all(y >= 0.0):
            advice = "cut the scan where it underflows"
        raise place.error(f"{field}.y", "positive likelihoods", came, advice)
    if not _one_peak(y):
        raise place.error(f"{field}.y", "one peak, inside the scan", "another shape", "check the scan")
    if not x[0] < value < x[-1]:
        raise place.error(f"{field}.x", "a scan around the value", f"{x[0]} to {x[-1]} for {value}", "check both")
    return x, y


def _one_peak(y: Float[np.ndarray, " m"]) -> bool:
    """Up to a greatest value inside, and down from there."""
    peak = int(np.argmax(y))
    return 0 < peak < len(y) - 1 and bool(np.all(np.diff(y[: peak + 1]) >= 0.0) and np.all(np.diff(y[peak:]) <= 0.0))


def _correlation(raw: Any, size: int, place: Place) -> Float[np.ndarray, "n n"]:
    field = "correlation"
    if raw is None:
        return np.eye(size)
    lines = filled_list(raw, place, field)
    matrix = [numbers(line, place, f"{field}[{i}]") for i, line in enumerate(lines)]
    lengths = [len(line) for line in matrix]
    if lengths != [size] * size:
        expected = f"{size} lists of {size} numbers, a line for each row"
        raise place.error(field, expected, f"lists of {shown(lengths)}", "complete the matrix")
    correlation = np.array(matrix)
    for i, j in zip(*np.nonzero(np.abs(correlation - correlation.T) > 1e-9), strict=True):
        came = f"{correlation[i, j]} at [{i}][{j}] and {correlation[j, i]} at [{j}][{i}]"
        raise place.error(field, "a symmetric matrix", came, "make the two elements equal")
    if np.any(np.abs(np.diag(correlation) - 1.0) > 1e-9):
        came = shown(np.diag(correlation).tolist())
        raise place.error(field, "ones on the diagonal", came, "give the correlation, not the covariance")
    lowest = np.linalg.eigvalsh(correlation)[0]
    if lowest < 1e-9:
        came = f"a lowest eigenvalue of {lowest:.3g}"
        raise place.error(field, "a positive definite matrix", came, "check its signs and digits")
    correlation.setflags(write=False)
    return correlation
