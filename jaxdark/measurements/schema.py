"""Measurements as pydantic models: processes and observables, bins, errors, correlations, likelihood scans.

Inputs: a YAML file of the schema in data/README.md. Outputs: records, or one sentence naming file, entry, row and
field.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

import numpy as np
from jaxtyping import Float
from pydantic import FailFast, Field, PlainValidator, TypeAdapter, ValidationInfo, WrapValidator, model_validator

from jaxdark.errors import nearest, shown
from jaxdark.io.text_files import read_yaml
from jaxdark.io.validation import Name, Number, Numbers, Record, Text, fault, fault_at, validated
from jaxdark.measurements import plausibility
from jaxdark.measurements.plausibility import PHYSICAL, Bin
from jaxdark.semileptonic.charmonium import CHARMONIUM, in_charmonium

Schema = Literal["jaxdark-measurements-1"]
(SCHEMA,) = get_args(Schema)
Quality = Literal["published", "digitised", "recast", "unverified"]
ErrorRule = Literal["asymmetric", "mean", "hepfit"]
_END_POINT_MARGIN, _MARGIN_OF_RATIOS = 1.0, 3.0
"""GeV^2 by which a bin may end beyond the end point. No events lie there, so that muons over electrons are given up to
edges far above, while dBR is divided by the nominal width."""
_ARXIV = re.compile(r"(?:[a-z-]+/)?(\d\d)(0[1-9]|1[0-2])\.?\d{3,5}\b")
_MOST_ROWS = 5000
"""Of a file: their correlation takes 200 MB, and every command inverts it."""
_NEAREST = "the nearest right name is "
_ENTRY_WORDS = {
    "covariance": "give the errors in the rows, and the field correlation: covariance over the product of two errors",
    **dict.fromkeys(("measurements", "values"), _NEAREST + "rows"),
    **{"correlations": _NEAREST + "correlation", "name": _NEAREST + "id"},
    **{"collaboration": _NEAREST + "experiment", "date": _NEAREST + "year"},
}
_ROW_WORDS = {
    **dict.fromkeys(("error", "uncertainty", "sigma", "err"), "name it total, or stat and syst"),
    **dict.fromkeys(("bin", "q2_bin", "range", "qsq"), _NEAREST + "q2"),
    **dict.fromkeys(("central", "mean", "measurement", "val"), _NEAREST + "value"),
    "covariance": "errors stand in the rows, and the correlation beside the rows of an entry",
    "correlation": "it stands beside the rows of an entry",
    "scan": _NEAREST + "likelihood_scan",
}
"""What others call these fields, and what to do about it."""
# PDG 2022, only to tell a mistyped bin: predictions clip the bin with the masses of inputs.yaml.
_M_E, _M_MU = 0.000511, 0.105658
_M_BP, _M_B0, _M_BS = 5.27934, 5.27966, 5.36692
_M_KP, _M_K0, _M_KST0, _M_KSTP, _M_PHI = 0.493677, 0.497611, 0.89555, 0.89167, 1.019461


@dataclass(frozen=True)
class Process:
    """Observables defined for a process and its kinematic range of q2 in GeV^2, None where q2 is fixed."""

    observables: tuple[str, ...]
    q2_range: tuple[float, float] | None


def _semileptonic(m_lepton: float, m_parent: float, m_meson: float, *observables: str) -> Process:
    return Process(observables, (4.0 * m_lepton**2, (m_parent - m_meson) ** 2))


# The other S_i, A_i and A_CP drop out of the sum of both flavours.
_UNTAGGED = ("FL", "S1s", "S1c", "S2s", "S2c", "S3", "S4", "S7", "A5", "A6s", "A8", "A9")
PROCESSES = {
    "B+->K+ll": _semileptonic(_M_MU, _M_BP, _M_KP, "R_K"),
    "B0->K0ll": _semileptonic(_M_MU, _M_B0, _M_K0, "R_K"),
    "B0->K*0ll": _semileptonic(_M_MU, _M_B0, _M_KST0, "R_Kst"),
    "B+->K*+ll": _semileptonic(_M_MU, _M_BP, _M_KSTP, "R_Kst"),
    "B0->K*0mumu": _semileptonic(_M_MU, _M_B0, _M_KST0, "dBR", *PHYSICAL),
    "B0->K*0ee": _semileptonic(_M_E, _M_B0, _M_KST0, "dBR", *PHYSICAL),
    "B+->K*+mumu": _semileptonic(_M_MU, _M_BP, _M_KSTP, "dBR", *PHYSICAL),
    "B+->K*+ee": _semileptonic(_M_E, _M_BP, _M_KSTP, "dBR", *PHYSICAL),
    "B+->K+mumu": _semileptonic(_M_MU, _M_BP, _M_KP, "dBR", "ACP"),
    "B+->K+ee": _semileptonic(_M_E, _M_BP, _M_KP, "dBR", "ACP"),
    "B0->K0mumu": _semileptonic(_M_MU, _M_B0, _M_K0, "dBR"),
    "B0->K0ee": _semileptonic(_M_E, _M_B0, _M_K0, "dBR"),
    "Bs->phimumu": _semileptonic(_M_MU, _M_BS, _M_PHI, "dBR", *_UNTAGGED),
    "Bs->phiee": _semileptonic(_M_E, _M_BS, _M_PHI, "dBR", *_UNTAGGED),
    "Bs->mumu": Process(("BR", "tau_mumu"), None),
}

Errors = tuple[float, float]
Scan = tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]


def _errors(raw: Any, numbers: Callable[[Any], Bin]) -> Errors:
    """Upper and lower error, both positive, of one number or of [upper, -lower]."""
    pair = raw if isinstance(raw, list) else [raw, raw]
    upper, lower = numbers(pair) if len(pair) == 2 else (0.0, 0.0)
    lower = -lower if raw is pair else lower
    if min(upper, lower) <= 0.0:
        advice = "write 0.1 or [0.1, -0.2], or leave out a part that vanishes"
        raise fault("a positive number or [upper, -lower]", shown(raw), advice)
    return upper, lower


def _bin(raw: Any, numbers: Callable[[Any], Bin]) -> Bin:
    if not isinstance(raw, list) or len(raw) != 2:
        raise fault("a bin [low, high] in GeV^2", shown(raw), "give both edges")
    low, high = numbers(raw)
    if low >= high:
        raise fault("a bin [low, high] with low < high", shown(raw), "give the lower edge first")
    return low, high


_Errors = Annotated[tuple[Number, Number], Field(strict=False), WrapValidator(_errors)]
Q2Bin = Annotated[tuple[Number, Number], Field(strict=False), WrapValidator(_bin)]
_Luminosity = Annotated[Number, Field(gt=0.0)]


class LikelihoodScan(Record):
    """Likelihood of one number, up to a factor, at increasing x, with one peak."""

    what = "likelihood_scan"

    x: Numbers
    y: Numbers
    note: Text = ""

    @model_validator(mode="after")
    def _is_a_likelihood(self) -> Self:
        x, y = np.array(self.x), np.array(self.y)
        if len(x) != len(y) or len(x) < 5:
            raise fault("x and y of one length, at least 5", f"{len(x)} and {len(y)}", "give y at every x")
        if not np.all(np.diff(x) > 0.0):
            i = int(np.argmin(np.diff(x)))
            raise fault("increasing numbers", f"{x[i + 1]} after {x[i]}", "sort the scan", "x")
        if not np.all(y > 0.0) or _one_peak(-y):
            came, advice = f"{y.min()}", "no likelihood is negative: check the scan"
            if _one_peak(-y):
                came = f"{y.max():g} down to {y.min():g} and up again"
                advice = "this looks like -2 ln L, of which give exp(-y/2), or like -ln L, of which give exp(-y)"
            elif _one_peak(y) and np.any(y < 0.0):
                advice = "this looks like ln L: give exp(y - the largest y)"
            elif np.all(y >= 0.0):
                advice = "cut the scan where it underflows"
            raise fault("positive likelihoods", came, advice, "y")
        if not _one_peak(y):
            raise fault("one peak, inside the scan", "another shape", "check the scan", "y")
        return self


def _scan(raw: Any) -> Scan:
    scan = LikelihoodScan.model_validate(raw)
    return _read_only(scan.x), _read_only(scan.y)


def _read_only(values: Any) -> np.ndarray:
    array = np.array(values)
    array.setflags(write=False)
    return array


def _one_peak(y: Float[np.ndarray, " m"]) -> bool:
    """Up to a greatest value inside, and down from there."""
    peak = int(np.argmax(y))
    return 0 < peak < len(y) - 1 and bool(np.all(np.diff(y[: peak + 1]) >= 0.0) and np.all(np.diff(y[peak:]) <= 0.0))


class EntryRow(Record):
    """One number of an entry as written in the file.

    Attributes:
        process: such as B0->K*0mumu, of PROCESSES.
        observable: of the process, in LHCb's sign and normalisation; dBR in GeV^-2.
        q2: bin in GeV^2, None for Bs -> mu mu.
        value: the centre.
        stat, syst, norm, total: errors (upper, lower), both positive; norm is common to all rows of the entry, and a
            part of total where that is given.
        scan: (x, relative likelihood) where the file has a likelihood_scan.
        quality, source, luminosity: those of the entry where the row has none of its own; fb^-1.
    """

    what = "a row"
    other_names = _ROW_WORDS

    process: Text
    observable: Text
    q2: Q2Bin | None = None
    value: Number
    stat: _Errors | None = None
    syst: _Errors | None = None
    norm: _Errors | None = None
    total: _Errors | None = None
    scan: Annotated[Scan, PlainValidator(_scan)] | None = Field(None, alias="likelihood_scan")
    quality: Quality = "unverified"
    source: Text = ""
    luminosity: _Luminosity | None = None

    @property
    def label(self) -> str:
        """Observable and bin, such as P5p[4,6]."""
        return self.observable + (f"[{self.q2[0]:g},{self.q2[1]:g}]" if self.q2 else "")

    @property
    def parts(self) -> dict[str, Errors]:
        """The published errors that are given, by name, so that their squares add up; total is without norm."""
        given = {name: pair for name in ("stat", "syst", "norm", "total") if (pair := getattr(self, name))}
        if self.total and self.norm:
            sides = zip(self.total, self.norm, strict=True)
            upper, lower = (math.sqrt(max(total**2 - norm**2, 0.0)) for total, norm in sides)
            given["total"] = upper, lower
        return given

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (known := PROCESSES.get(self.process)) is None:
            advice = nearest(self.process, PROCESSES, typos=False)
            raise fault("a known process", shown(self.process), advice, "process")
        if self.observable not in known.observables:
            advice = nearest(self.observable, known.observables, typos=False)
            raise fault(f"an observable of {self.process}", shown(self.observable), advice, "observable")
        if known.q2_range and not self.q2:
            raise fault("a bin [low, high] in GeV^2", "nothing", "give both edges", "q2")
        if self.q2 and not known.q2_range:
            raise fault(f"no bin for {self.process}", shown(list(self.q2)), "leave q2 out", "q2")
        if self.q2 and known.q2_range:
            (low, high), (start, end) = self.q2, known.q2_range
            margin = _MARGIN_OF_RATIOS if self.observable.startswith("R_") else _END_POINT_MARGIN
            if low < 0.0 or high <= start or low >= end or high > end + margin:
                expected = f"a bin in the range of {self.process}, {start:.3g} to {end:.4g} GeV^2"
                raise fault(expected, shown([low, high]), "check the edges and the process", "q2")
        if self.parts.keys() <= {"norm"} or (self.total and (self.stat or self.syst)):
            expected, came = "total, or stat and syst, with norm if any", " and ".join(self.parts) or "none"
            raise fault(expected, came, "give one or the other", "total")
        if self.total and self.norm and min(self.parts["total"]) <= 0.0:
            raise fault("norm as a part of total", f"{self.norm} of {self.total}", "give the whole error", "total")
        plus, minus = (math.hypot(*side) for side in zip(*self.parts.values(), strict=True))
        if wrong := plausibility.impossible(self.observable, self.q2, self.value, plus, minus):
            raise fault(*wrong, "value")
        if self.scan and not self.scan[0][0] < self.value < self.scan[0][-1]:
            came = f"{self.scan[0][0]} to {self.scan[0][-1]} for {self.value}"
            raise fault("a scan around the value", came, "check both", "likelihood_scan", "x")
        return self


_ROWS = TypeAdapter(Annotated[list[EntryRow], Field(min_length=1)])


def _rows(raw: Any, info: ValidationInfo) -> tuple[EntryRow, ...]:
    """The rows of an entry, each with what it leaves to the entry."""
    rows, seen = _ROWS.validate_python(raw), set()
    for i, row in enumerate(rows):
        if (row.process, row.label) in seen:
            raise fault("each observable and bin once per entry", f"{row.label} twice", "remove one", i, "observable")
        seen.add((row.process, row.label))
    common = [(name, info.data.get(name)) for name in ("quality", "source", "luminosity")]
    return tuple(r.model_copy(update={n: v for n, v in common if n not in r.model_fields_set}) for r in rows)


_LINES = TypeAdapter(Annotated[list[Numbers], FailFast()])


def _correlation(raw: Any, info: ValidationInfo) -> Float[np.ndarray, "n n"]:
    """The correlation of the rows of an entry, the unit matrix where none is given."""
    size = len(info.data.get("rows", ()))
    lines = None if raw is None else _LINES.validate_python(raw)
    if lines is None or not size:  # or the rows have a fault themselves
        return _read_only(np.eye(size))
    lengths = [len(line) for line in lines]
    if lengths != [size] * size:
        expected = f"{size} lists of {size} numbers, a line for each row"
        raise fault(expected, f"lists of {shown(lengths)}", "complete the matrix")
    correlation = _read_only(lines)
    for i, j in zip(*np.nonzero(np.abs(correlation - correlation.T) > 1e-9), strict=True):
        came = f"{correlation[i, j]} at [{i}][{j}] and {correlation[j, i]} at [{j}][{i}]"
        raise fault("a symmetric matrix", came, "make the two elements equal")
    if np.any(np.abs(np.diag(correlation) - 1.0) > 1e-9):
        came = shown(np.diag(correlation).tolist())
        raise fault("ones on the diagonal", came, "give the correlation, not the covariance")
    lowest = np.linalg.eigvalsh(correlation)[0]
    if lowest < 1e-9:
        came = f"a lowest eigenvalue of {lowest:.3g}"
        raise fault("a positive definite matrix", came, "check its signs and digits")
    return correlation


_Names = Annotated[tuple[Name, ...], Field(strict=False, min_length=1), FailFast()]


class Entry(Record):
    """One measurement: its rows, their published correlation, and where the numbers come from.

    Attributes:
        id: unique in its file.
        alternative_to: ids of entries that describe the same events.
        supersedes: ids of earlier entries that hold part of these events, or what several of them begin with.
        luminosity: integrated, fb^-1, behind the rows that give none of their own.
        correlation: of the rows in order, on all errors but norm; of the total errors, norm within them, where rows
            give that as a part of total; the unit matrix where the file has none.
    """

    what = "an entry"
    other_names = _ENTRY_WORDS

    id: Name
    experiment: Name
    year: Annotated[int, Field(ge=1900, le=2100)]
    source: Text
    quality: Quality
    arxiv: Text = ""
    reference_in_words: Text = Field("", alias="reference")
    inspire: Text = ""
    note: Text = ""
    alternative_to: _Names = ()
    supersedes: _Names = ()
    luminosity: _Luminosity | None = None
    rows: Annotated[tuple[EntryRow, ...], PlainValidator(_rows)]
    correlation: Annotated[Float[np.ndarray, "n n"], PlainValidator(_correlation)] = Field(None, validate_default=True)

    @property
    def reference(self) -> str:
        """ArXiv number, or words where there is none."""
        return f"arXiv:{self.arxiv}" if self.arxiv else self.reference_in_words or self.source

    @property
    def date(self) -> str:
        """Year and month of the (first) arXiv number, such as 2022-12, else the year."""
        number = _ARXIV.match(self.arxiv)
        if number is None:
            return str(self.year)
        year, month = number.groups()
        return f"{19 if year > '90' else 20}{year}-{month}"


_ENTRIES = TypeAdapter(Annotated[list[Entry], Field(min_length=1)])


def _entries(raw: Any) -> dict[str, Entry]:
    """The entries of a file by id."""
    rows = [item.get("rows") if isinstance(item, dict) else None for item in (raw if isinstance(raw, list) else [])]
    count = sum(len(part) if isinstance(part, list) else 1 for part in rows)
    if count > _MOST_ROWS:
        advice = "split the file, or leave out what is not needed"
        raise fault(f"at most {_MOST_ROWS} rows, whose correlation fits", f"{count}", advice)
    entries: dict[str, Entry] = {}
    for i, entry in enumerate(_ENTRIES.validate_python(raw)):
        if entry.id in entries:
            raise fault("an id used once", "it twice", "rename one of the two", i, "id")
        entries[entry.id] = entry
    return naming_each_other(entries)


def naming_each_other(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries by id; each names its alternatives, also where only the other one did so."""
    partners: dict[str, set[str]] = defaultdict(set)
    for entry in entries.values():
        for other in entry.alternative_to:
            partners[entry.id].add(other)
            partners[other].add(entry.id)
    return {name: e.model_copy(update={"alternative_to": (*sorted(partners[name]),)}) for name, e in entries.items()}


class Measurements(Record):
    """A measurements file; errors is the rule that turns published errors into total ones."""

    what = "a measurements file"

    schema_: Schema = Field(alias="schema")
    name: Name = ""
    title: Name = ""
    errors: ErrorRule = "asymmetric"
    entries: Annotated[dict[str, Entry], PlainValidator(_entries)]


def _entry_label(raw: Any, position: int) -> str:
    own = raw.get("id") if isinstance(raw, dict) else None
    return f"entry {own if isinstance(own, str) and own else f'number {position + 1}'}"


def _row_label(raw: Any, position: int) -> str:
    given = [raw[key] for key in ("observable", "q2") if raw.get(key)] if isinstance(raw, dict) else []
    words = [item if isinstance(item, str) else shown(item) for item in given]
    return f"row {position + 1}" + (f" ({' '.join(words)})" if words else "")


def read_measurements(path: Traversable) -> Measurements:
    """What a measurements file holds; RequestError, as `Faults` if its fields are wrong."""
    return measurements(read_yaml(path), str(path))


def measurements(content: Any, path: str) -> Measurements:
    """The same from the content of the file at `path`."""
    return validated(Measurements, content, path, {"entries": _entry_label, "rows": _row_label})


def covers(name: str, entry_id: str) -> bool:
    """Whether a name is the id of an entry or what the id begins with, up to an underscore."""
    return entry_id == name or entry_id.startswith(f"{name}_")


class Selected(NamedTuple):
    """An entry and the positions of the rows that a data set takes from it."""

    entry: Entry
    positions: tuple[int, ...]

    @property
    def rows(self) -> list[EntryRow]:
        """The rows that are taken."""
        return [self.entry.rows[i] for i in self.positions]


def check_selection(selection: Iterable[Selected], file: str) -> None:
    """Refuses the same events twice: alternatives, what is superseded, overlapping rows; and rows among charmonia."""
    selection = list(selection)
    ids = {selected.entry.id for selected in selection}
    for selected in selection:
        where = file, f"entry {selected.entry.id}"
        for other in sorted(ids.intersection(selected.entry.alternative_to)):
            expected = "one description of the same events"
            raise fault_at((*where, "field alternative_to"), expected, f"also {other}", "leave one out")
        for earlier in sorted(other for other in ids if any(covers(name, other) for name in selected.entry.supersedes)):
            came = f"also {earlier}, which it supersedes"
            raise fault_at((*where, "field supersedes"), "the same events once", came, f"leave {earlier} out")
        same: dict[tuple[str, str], list[EntryRow]] = defaultdict(list)
        for row in selected.rows:
            if row.q2 and in_charmonium(row.q2):
                low, high = CHARMONIUM
                expected = f"a bin outside ({low:g}, {high:g}) GeV^2, where charmonium forbids a prediction"
                raise fault_at(
                    (*where, f"row {row.label}", "field q2"), expected, f"{list(row.q2)}", "leave the row out"
                )
            same[row.process, row.observable].append(row)
        for members in same.values():
            for one, two in plausibility.overlaps(members):
                came = f"{one.label} and {two.label}"
                raise fault_at((*where, "field rows"), "bins that do not overlap", came, "keep one")
