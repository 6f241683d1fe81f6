"""Tables as plain records, the text of their numbers, and how a terminal shows them.

Inputs: values of a record and text of any origin, such as ids of a user's measurements. Outputs: `Table`, which Rich
draws here and the template of `jaxdark.output.html_report` as HTML. Text is never taken for markup, and control
characters are shown by their escapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from jaxdark.errors import visible

Meaning = Literal["", "good", "doubtful", "bad", "muted"]
_STYLES: dict[Meaning, str] = {"": "", "good": "green", "doubtful": "yellow", "bad": "red", "muted": "dim"}
"""Of each meaning in a terminal; the page has its own in the template's style sheet."""


class Column(NamedTuple):
    """Heading and unit of a column, where its cells are aligned, and whether long ones break into lines."""

    heading: str
    unit: str = "1"
    align: Literal["left", "right"] = "left"
    wrap: bool = True

    @property
    def title(self) -> str:
        """Heading with the unit."""
        return with_unit(self.heading, self.unit)


class Cell(NamedTuple):
    """Text of a cell and what it means for the reader."""

    text: str
    meaning: Meaning = ""


@dataclass
class Table:
    """Title, columns and rows with one cell for each column."""

    title: str
    columns: list[Column]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def add_row(self, *cells: str | Cell) -> None:
        """Append a row; raises ValueError unless there is one cell, or text that means nothing more, per column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} cells, got {len(cells)}")
        self.rows.append(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells))

    def __rich__(self):
        """The table as Rich draws it."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        drawn = RichTable(title=Text(visible(self.title)), title_justify="left", box=SIMPLE_HEAD)
        for column in self.columns:
            drawn.add_column(Text(visible(column.title)), justify=column.align, no_wrap=not column.wrap)
        for row in self.rows:
            drawn.add_row(*(Text(visible(cell.text), style=_STYLES[cell.meaning]) for cell in row))
        return drawn


def words(*headings: str) -> list[Column]:
    """Columns of text."""
    return [Column(heading) for heading in headings]


def numbers(*headings: str) -> list[Column]:
    """Columns of numbers, which stand to the right."""
    return [Column(heading, align="right") for heading in headings]


def with_unit(name: str, unit: str) -> str:
    """A name with its unit, such as m_V [GeV]; the name alone where the unit is 1."""
    return name if unit == "1" else f"{name} [{unit}]"


def format_value(value: Any, form: str = ".6g") -> str:
    """Text of a value of a record.

    Args:
        value: of JSON's types. Integers keep all digits; None, which stands for a number that does not exist, becomes a
            dash; items of lists and mappings stand side by side.
        form: format of floating-point numbers.
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(item, form)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item, form) for item in value)
    if value is None:
        return "-"
    return format(value, form) if isinstance(value, float) else str(value)


def console(*, width: int | None, quiet: bool = False):
    """A Rich console that prints sentences as they are, without markup, emoji codes or control characters."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **style):
            return super().render_str(visible(text), **style | {"markup": False, "emoji": False, "highlight": False})

    return PlainConsole(width=width, highlight=False, markup=False, emoji=False, quiet=quiet)


def data_in_words(record: Mapping[str, Any]) -> str:
    """Name of a result's data set, and the date up to which it holds measurements."""
    cut_off = record.get("data_cut_off")
    return record["data"] if cut_off is None else f"{record['data']} (up to {cut_off})"


def model_in_words(record: Mapping[str, Any]) -> str:
    """Name of a result's model, and which physics of it was computed where there is a choice."""
    physics = record.get("physics")
    return record["model"] if physics is None else f"{record['model']} ({physics} physics)"
