"""`jaxdark compare`: two results of the same posterior on top of each other."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored
from jaxdark.errors import RequestError


def compare(
    one: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    other: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of another, by another method.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the figure.")] = Path("comparison"),
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Marginal distributions of two results in one figure, and their Kolmogorov-Smirnov distances."""
    from jaxdark import plots, report, runs
    from jaxdark.inference.agreement import marginal_distances

    if one.resolve() == other.resolve():
        raise RequestError(f"expected two results, got {one} twice; name another one")
    trees = {str(path): stored.load(path) for path in (one, other)}
    with runs.result_folder(out, force=force) as folder:
        found = marginal_distances(*trees.values())
        plots.save_figure(plots.overlay_figure(trees, found), folder, "overlay")
    if as_json:
        print(report.to_json(found))
    options.console(quiet=quiet or as_json).print(report.distances_table(found), f"figure in {out}", sep="\n")
