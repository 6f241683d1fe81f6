"""`jaxdark check`: what a posterior rests on, and whether it describes the data."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored


def check(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    rows: Annotated[int, typer.Option(min=1, help="Measurements shown, the most influential first.")] = 10,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Posterior predictive p-values, leave-one-out influence of every measurement, sensitivity to the prior.

    Added to posterior.nc as the group `leave_one_out` and to summary.json as `checks`.
    """
    from jaxdark.check.sensitivity import NEEDS
    from jaxdark.check.sensitivity import check as checked
    from jaxdark.output import tables

    summary = stored.change(result, checked, *NEEDS)
    if as_json:
        print(tables.to_json(summary["checks"]))
    options.console(quiet=quiet or as_json).print(*tables.check_tables(summary["checks"], rows), sep="\n")
