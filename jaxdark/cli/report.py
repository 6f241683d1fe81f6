"""`jaxdark report`: a result as one page."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.errors import RequestError, visible


def report(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file for the page.", show_default="DIR/report.html")
    ] = None,
) -> None:
    """One HTML page with figures, tables and diagnostics that needs no other file.

    Constraints and checks stand on it once `jaxdark constrain` and `jaxdark check` have added them to the result.
    """
    from jaxdark import page, results, runs

    tree = results.load(result)
    path = results.file_of(result).with_name("report.html") if out is None else out
    if out is not None and out.exists():
        raise RequestError(f"expected a new file for the page, got {out}, which exists; name another with --out")
    runs.write_text(path, page.result_page(tree))
    print(visible(str(path)))
