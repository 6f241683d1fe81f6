"""`jaxdark report`: a result as one page."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import stored
from jaxdark.errors import visible


def report(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file for the page.", show_default="DIR/report.html")
    ] = None,
) -> None:
    """One HTML page with figures, tables and diagnostics that needs no other file.

    Constraints and checks stand on it once `jaxdark constrain` and `jaxdark check` have added them to the result.
    """
    from jaxdark.io import result_dir, results
    from jaxdark.output import html_report

    if out is None:
        opened, page = stored.locked(result, *html_report.NEEDS), results.file_of(result).with_name("report.html")
    else:
        opened, page = nullcontext(stored.load(result, *html_report.NEEDS)), out
    with opened as tree, result_dir.new_file(page, replace=out is None) as part:
        result_dir.write_text(part, html_report.result_page(tree))
    print(visible(str(page)))
