"""`jaxdark plot`: the figures of a result."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored


def plot(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the figures.", show_default="DIR")
    ] = None,
    force: options.Force = False,
) -> None:
    """Draw the figures of a result again, as PNG and PDF, in its folder or in another one."""
    from jaxdark import plots, results, runs

    home = results.file_of(result).parent
    if out is None:
        with stored.held(result, *plots.NEEDS) as tree, runs.added_to(home) as folder:
            names = plots.save_figures(tree, folder)
    else:
        tree = stored.load(result, *plots.NEEDS)
        with runs.result_folder(out, force=force) as folder:
            names = plots.save_figures(tree, folder)
    print(f"{', '.join(names)} in {home if out is None else out}")
