"""`jaxdark plot`: the figures of a result."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options


def plot(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the figures.", show_default="DIR")
    ] = None,
    force: options.Force = False,
) -> int:
    """Draw the figures of a result again, as PNG and PDF, in its folder or in another one.

    Exit code 1 if one cannot be drawn; the others are written.
    """
    from jaxdark import plots, results, runs

    tree = results.load(result)
    home = results.file_of(result).parent
    with runs.result_folder(out or home, force=force or out is None) as folder:
        whole = options.drawn(lambda: plots.save_figures(tree, folder), f"in {home}")
        names = sorted(path.name for path in folder.iterdir())
    print(f"{', '.join(names) or 'nothing'} in {out or home}")
    return 0 if whole else 1
