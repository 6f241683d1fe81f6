"""The selection language: which rows of which entries make a data set, in datasets.yaml and in a user's own file.

Inputs: a selection file of the schema in data/README.md and entries. Outputs: the rows selected, or one sentence naming
file and field.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PlainValidator

from jaxdark.errors import nearest, shown
from jaxdark.io.text_files import read_yaml
from jaxdark.io.validation import Name, Record, Text, fault, fault_at, validated
from jaxdark.measurements.schema import Entry, EntryRow, ErrorRule, Q2Bin, Selected

Schema = Literal["jaxdark-selection-1"]
(SCHEMA,) = get_args(Schema)
_BEYOND = "name the rows of an entry as {id: ..., rows: [{q2: [1.1, 6.0]}]}"


class RowFilter(Record):
    """Keeps the rows that agree with everything it gives."""

    what = "a filter of rows"

    process: Name | None = None
    observable: Name | None = None
    q2: Q2Bin | None = None

    def agrees(self, row: EntryRow) -> bool:
        """Whether it keeps a row."""
        return all(value == getattr(row, key) for key, value in self if value is not None)


class Item(Record):
    """An entry, or those of its rows that agree with one of the filters."""

    what = "an item of a selection"

    id: Name
    rows: Annotated[tuple[RowFilter, ...], Field(strict=False, min_length=1)] | None = None

    def positions(self, entry: Entry) -> tuple[int, ...]:
        """Positions of its rows in the entry."""
        kept = enumerate(entry.rows)
        return tuple(i for i, row in kept if self.rows is None or any(f.agrees(row) for f in self.rows))


def _item(raw: Any) -> Item:
    if not isinstance(raw, str | dict):
        raise fault("the id of an entry, or some of its rows", shown(raw), _BEYOND)
    return Item.model_validate({"id": raw} if isinstance(raw, str) else raw)


_Items = Annotated[tuple[Annotated[Item, PlainValidator(_item)], ...], Field(strict=False)]
Day = Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
"""Year, or year and month, or the day."""


class Definition(Record):
    """A shipped data set, as datasets.yaml defines it."""

    what = "a data set"

    title: Name
    errors: ErrorRule
    description: Text = ""
    cut_off: Day | None = None
    entries: _Items
    off_by_default: _Items = ()


class Selection(Record):
    """A user's own selection.

    Attributes:
        base: the shipped data set that it starts from, if any.
        without: what it leaves out of that, whole entries or rows of them.
        files: files of measurements, with paths from that of the selection.
        entries: what it adds, of the files or of the shipped ones.
        errors, title, name, cut_off: where they are not those of the base, of the file and of the newest entry.
    """

    what = "a selection"

    schema_: Schema = Field(alias="schema")
    name: Name = ""
    title: Name = ""
    description: Text = ""
    cut_off: Day | None = None
    errors: ErrorRule | None = None
    base: Name | None = None
    without: _Items = ()
    files: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    entries: _Items = ()


class _Definitions(Record):
    what = "a file of data sets"

    schema_: Literal["jaxdark-datasets-1"] = Field(alias="schema")
    datasets: dict[str, Definition]


def read_definitions(path: Traversable) -> dict[str, Definition]:
    """The shipped data sets by name."""
    return validated(_Definitions, read_yaml(path), str(path)).datasets


def read_selection(content: Any, path: str) -> Selection:
    """The selection that the content of a file makes; RequestError, as `Faults` if its fields are wrong."""
    return validated(Selection, content, path)


def is_selection(content: Any) -> bool:
    """Whether the content of a file says that it is a selection."""
    return isinstance(content, dict) and content.get("schema") == SCHEMA


def select(
    items: Iterable[Item],
    entries: Mapping[str, Entry],
    without: Iterable[Item] = (),
    *,
    place: str,
    known: Callable[[], Iterable[str]],
) -> list[Selected]:
    """The rows of the items, less those of the items `without`.

    Args:
        items, without: of a selection.
        entries: those that the items may name, by id.
        place: in messages.
        known: ids of all entries that there are, for the message on one that is not.

    Raises:
        RequestError: an unknown entry, one that is named twice, an item without rows, or one to be left out that is not
            in.
    """
    chosen: dict[str, Selected] = {}
    for item in items:
        where = place, f"entry {item.id}"
        if item.id not in entries:
            raise fault_at((place, "field entries"), "ids of entries", shown(item.id), nearest(item.id, known()))
        if item.id in chosen:
            raise fault_at(where, "each entry once", "it twice", "name all its rows in one item")
        selected = Selected(entries[item.id], item.positions(entries[item.id]))
        if not selected.positions:
            raise fault_at((*where, "field rows"), "filters that keep a row", "none kept", "check the bins")
        chosen[item.id] = selected
    for item in without:
        if item.id not in chosen:
            raise fault_at((place, "field without"), "ids of the base", shown(item.id), nearest(item.id, chosen))
        entry, positions = chosen[item.id]
        left = tuple(i for i in positions if i not in item.positions(entry))
        if left == positions:
            raise fault_at((place, f"entry {item.id}, field rows"), "filters of rows that are in", "none", "check them")
        chosen[item.id] = Selected(entry, left)
    return [selected for selected in chosen.values() if selected.positions]
