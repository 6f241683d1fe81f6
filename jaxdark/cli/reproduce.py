"""`jaxdark reproduce`: the figures, claims and printed numbers of the paper."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars
from jaxdark.compute.bounds import LARGEST_SEED


def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder.")] = Path("results/paper"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer draws of two posteriors: minutes; leaves claims undecided.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Fixes the result.")] = 0,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Figures 2 to 6, every claim with its verdict and every printed number, in a new folder.

    Verdicts follow from numbers with errors; a claim that the draws cannot decide is called undecided, with the reason.
    A run that was stopped or killed is taken up again by the same command; posteriors that were finished are kept.
    """
    from jaxdark.io import result_dir
    from jaxdark.output import tables

    with result_dir.resumable_folder(out, force=force, say=options.say(quiet)) as (folder, checkpoints):
        options.prepare()
        from jaxdark.reproduce.claim import undecided
        from jaxdark.reproduce.paper import reproduce as write
        from jaxdark.reproduce.paper import too_few

        with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
            records = write(folder, quick=quick, seed=seed, report=show, checkpoints=checkpoints)
    say = options.console(quiet=quiet)
    say.print(tables.claims_table(records), tables.criteria_table(records), sep="\n")
    if sentences := undecided(records):
        say.print(too_few(quick=quick), *sentences, sep="\n", markup=False)
    say.print(f"written to {out}")
