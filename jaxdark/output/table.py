"""Tables as plain data, and how a terminal shows them.

Inputs: text of any origin, such as ids of a user's measurements. Outputs: the same text; nothing in it is taken for
markup, and control characters are shown by their escapes. `jaxdark.output.html_report` writes the same tables as HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxdark.errors import visible


class Cell(NamedTuple):
    """Text of a cell with its style: red, yellow or none."""

    text: str
    style: str = ""


@dataclass
class Table:
    """Title, column heads and rows; the columns named in `wrapped` may break into lines, or all where it is None."""

    title: str
    columns: list[str]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    wrapped: Sequence[str] | None = None

    def add_row(self, *cells: str | Cell) -> None:
        """One more row, a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} cells, got {len(cells)}")
        self.rows.append(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells))

    def __rich__(self):
        """The table as Rich draws it, with text that is text."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(title=Text(visible(self.title)), title_justify="left", box=SIMPLE_HEAD)
        for column in self.columns:
            whole = self.wrapped is not None and column not in self.wrapped
            drawn.add_column(Text(visible(column)), no_wrap=whole)
        for row in self.rows:
            drawn.add_row(*(Text(visible(cell.text), style=cell.style) for cell in row))
        return drawn


def console(*, width: int | None, quiet: bool = False):
    """A Rich console that prints sentences as they are, without markup, emoji codes or control characters."""
    from rich.console import Console

    class _Plain(Console):
        def render_str(self, text: str, **style):
            return super().render_str(visible(text), **style | {"markup": False, "emoji": False, "highlight": False})

    return _Plain(width=width, highlight=False, markup=False, emoji=False, quiet=quiet)
