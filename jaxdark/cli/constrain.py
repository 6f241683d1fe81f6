"""`jaxdark constrain`: the verdict of every further constraint on every draw."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored


def constrain(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Value, ratio and verdict of every constraint on every draw, as the group `constraints` of posterior.nc."""
    options.prepare()
    from jaxdark.analysis.constrain import constrain as with_verdicts
    from jaxdark.likelihood.provenance import NEEDS
    from jaxdark.output import tables

    summary = stored.change(result, with_verdicts, *NEEDS)
    if as_json:
        print(tables.to_json({name: summary[name] for name in ("constraints", "n_allowed")}))
    options.console(quiet=quiet or as_json).print(tables.cuts_table(summary))
