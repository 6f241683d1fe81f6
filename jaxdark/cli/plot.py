"""`jaxdark plot`: the figures of a result."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options
from jaxdark.errors import visible


def plot(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the figures.", show_default="DIR")
    ] = None,
    force: options.Force = False,
) -> None:
    """Draw the figures of a result again, as PNG and PDF, in its folder or in another one."""
    from jaxdark import plots, results, runs

    tree = results.load(result)
    home = results.file_of(result).parent
    with runs.result_folder(out or home, force=force or out is None) as folder:
        names = plots.save_figures(tree, folder)
    print(visible(f"{', '.join(names)} in {out or home}"))
