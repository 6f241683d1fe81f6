"""`jaxdark constrain`: the verdict of every further constraint on every draw."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options


def constrain(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Value, ratio and verdict of every constraint on every draw, as the group `constraints` of posterior.nc."""
    options.prepare()
    from jaxdark import report, results, runs
    from jaxdark.constrain import constrain as with_verdicts

    path = results.file_of(result)
    tree = with_verdicts(results.load(path))
    summary = results.summary(tree)
    results.save(tree, path)
    runs.write_text(path.with_name("summary.json"), report.to_json(summary) + "\n")
    if as_json:
        print(report.to_json({name: summary[name] for name in ("constraints", "survivors")}))
    options.console(quiet=quiet or as_json).print(report.cuts_table(summary))
