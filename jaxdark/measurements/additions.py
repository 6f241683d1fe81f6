"""A new measurement into a user's own selection: what it conflicts with, and the selection with it.

Inputs: a file of measurements and a selection file, which may not exist yet. Outputs: conflicts in words, and the
content of the selection file.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from jaxdark.errors import RequestError
from jaxdark.io.text_files import read_yaml
from jaxdark.measurements.dataset import Row, load_dataset, load_entries
from jaxdark.measurements.plausibility import overlaps, same_quantity
from jaxdark.measurements.schema import Entry, covers
from jaxdark.measurements.selection import SCHEMA, is_selection, read_selection


@dataclass(frozen=True)
class Conflict:
    """A new entry and one that is selected already.

    Attributes:
        new, old: ids of the entries.
        rows: ids of the rows of `old` that hold the same events; none where all do.
        why: in words.
    """

    new: str
    old: str
    rows: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.new} and {self.old}: {self.why}"


def conflicts(
    new: Iterable[Entry], new_rows: Iterable[Row], selected: Iterable[Row], known: Mapping[str, Entry]
) -> list[Conflict]:
    """What must not stand in one selection with new entries.

    That is an entry that either names as an alternative or as superseded; and rows of the same experiment and process
    in overlapping bins that describe the same events, be it in another basis: F_L and S_1c, S_5 and P'_5, and so on.
    They may be other events after all, which no file can tell; then the user's own selection names both.

    Args:
        new, new_rows: the entries of the file, and their rows.
        selected: rows of the selection.
        known: entries by id, those of the selection among them.
    """
    selected = list(selected)
    named = {
        (entry.id, old): Conflict(entry.id, old, (), why)
        for entry in new
        for old in dict.fromkeys(row.entry for row in selected)
        if (why := _named(entry, known[old]))
    }
    overlapping: dict[tuple[str, str], list[tuple[Row, Row]]] = defaultdict(list)
    for row, old in product(new_rows, selected):
        same = (old.experiment, old.process) == (row.experiment, row.process)
        if same and same_quantity(old.observable, row.observable) and any(overlaps([row, old])):
            overlapping[row.entry, old.entry].append((row, old))
    return [
        *named.values(),
        *(
            Conflict(one, old, tuple(dict.fromkeys(before.id for _, before in pairs)), _same_events(*pairs[0]))
            for (one, old), pairs in overlapping.items()
            if (one, old) not in named
        ),
    ]


def _same_events(new: Row, old: Row) -> str:
    def labelled(row: Row) -> str:
        return row.observable + (" in [{:g}, {:g}]".format(*row.q2) if row.q2 else "")

    return f"{new.experiment} measured {labelled(new)} and {labelled(old)} of {new.process}, which hold the same events"


def _named(new: Entry, old: Entry) -> str:
    if any(covers(name, old.id) for name in new.supersedes):
        return f"{new.id} supersedes {old.id}"
    if any(covers(name, new.id) for name in old.supersedes):
        return f"{old.id} supersedes {new.id}"
    if new.id in old.alternative_to or old.id in new.alternative_to:
        return "they describe the same events"
    return ""


def with_measurement(file: Path, selection: Path, base: str, *, replace: bool) -> tuple[dict[str, Any], list[Conflict]]:
    """The content of the selection file with the entries of a measurements file, and what they conflict with.

    Args:
        file: of measurements, without faults.
        selection: the file; it starts as `base` where there is none yet.
        base: a shipped data set.
        replace: leave out what the file conflicts with; else the content is that with conflicts, not to be written.

    Raises:
        RequestError: the selection has a fault, is no selection, or has the file already.
    """
    own, known = load_entries(file), load_entries()
    for name in own.keys() & known.keys():
        raise RequestError(f"{file}: expected ids that no shipped entry has, got {name}; give the entry another id.")
    path = os.path.relpath(file, selection.parent)
    if selection.exists():
        content = read_yaml(selection, "a selection")
        if not is_selection(content):
            raise RequestError(
                f"{selection}: expected a file with schema: {SCHEMA}; name another one with --selection."
            )
        for name in read_selection(content, str(selection)).files:
            known |= load_entries(selection.parent / name)
        present = load_dataset(selection)
    else:
        content, present = {"schema": SCHEMA, "base": base}, load_dataset(base)
    if path in content.get("files", ()):
        raise RequestError(f"{selection}: expected a new file, got {path}, which it has; take it out there first.")
    found = conflicts(own.values(), load_dataset(file).rows, present.rows, known)
    if replace:
        for conflict in found:
            _leave_out(content, conflict, present.rows)
    content["files"] = [*content.get("files", ()), path]
    content["entries"] = [*content.get("entries", ()), *own]
    return content, found


def _leave_out(content: dict[str, Any], conflict: Conflict, rows: Iterable[Row]) -> None:
    """Take the rows of a conflict out of the content of a selection."""
    entries = content.get("entries", [])
    of_entry = [row for row in rows if row.entry == conflict.old]
    kept = [row for row in of_entry if conflict.rows and row.id not in conflict.rows]
    mine = [item for item in entries if (item if isinstance(item, str) else item["id"]) == conflict.old]
    if mine:
        content["entries"] = [item for item in entries if item not in mine]
        content["entries"] += [{"id": conflict.old, "rows": list(map(_filter, kept))}] if kept else []
        return
    former = [item for item in content.get("without", []) if isinstance(item, dict) and item["id"] == conflict.old]
    content["without"] = [item for item in content.get("without", []) if item not in former]
    gone = [_filter(row) for row in of_entry if row.id in conflict.rows]
    content["without"].append(
        {"id": conflict.old, "rows": [*(f for item in former for f in item["rows"]), *gone]} if kept else conflict.old
    )


def _filter(row: Row) -> dict[str, Any]:
    bin_of = {} if row.q2 is None else {"q2": list(row.q2)}
    return {"process": row.process, "observable": row.observable, **bin_of}
