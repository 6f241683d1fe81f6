"""`jaxdark plot`: the figures of a result."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored
from jaxdark.errors import visible


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
    from jaxdark.io import result_dir, results
    from jaxdark.output import figures

    home = results.file_of(result).parent
    if out is None:
        opened, target = stored.locked(result, *figures.NEEDS), result_dir.added_to(home)
    else:
        opened = nullcontext(stored.load(result, *figures.NEEDS))
        target = result_dir.result_folder(out, force=force)
    with opened as tree, target as folder:
        complete = options.drawn(lambda: figures.save_figures(tree, folder), f"in {home}")
        names = sorted(path.name for path in folder.iterdir())
    print(visible(f"{', '.join(names) or 'nothing'} in {out or home}"))
    return 0 if complete else 1
