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
    """Marginal distributions of two results in one figure, and their Kolmogorov-Smirnov distances.

    Results of other data, inputs, priors, theory or (g-2) are compared as well; what differs is said first, and stands
    in the title of the figure and under `differences` in the JSON object.
    """
    from jaxdark.check.compare import differences, made_of, marginal_distances
    from jaxdark.io import result_dir, results
    from jaxdark.likelihood.provenance import NEEDS
    from jaxdark.output import tables
    from jaxdark.output.drawing import save_each
    from jaxdark.output.overlay_figure import overlay_figure

    if results.file_of(one).resolve() == results.file_of(other).resolve():
        raise RequestError(f"expected two results, got {one} twice; name another one")
    trees = {str(path): stored.load(path, *NEEDS) for path in (one, other)}
    found = marginal_distances(*trees.values())
    unlike = differences(*map(made_of, trees.values()))
    said = f"not the same posterior: {'; '.join(unlike)}" if unlike else ""

    def draw() -> None:
        figure = {"overlay": lambda: overlay_figure(trees, found, said)}
        with result_dir.result_folder(out, force=force) as folder:
            save_each(figure, folder)

    whole = options.drawn(draw, "printed here")
    if as_json:
        print(tables.to_json(found | ({"differences": unlike} if unlike else {})))
    lines = [
        *([said] if unlike else []),
        tables.distances_table(found),
        *([f"figure in {out}"] if whole else []),
    ]
    options.console(quiet=quiet or as_json).print(*lines, sep="\n")
