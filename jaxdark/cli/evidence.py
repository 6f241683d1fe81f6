"""`jaxdark evidence`: models against each other and the Standard Model."""

import sys
from typing import Annotated

import typer

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars


class EvidenceSettings(options.Settings):
    """Settings of `jaxdark evidence`."""

    region: str = "high"


def evidence(
    context: typer.Context,
    region: Annotated[
        str | None, typer.Option(metavar="high|low", help="Of models with a mediator.", show_default="high")
    ] = None,
    data: options.Data = None,
    g_minus_2: options.GMinus2 = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Log-evidence of split, zprime, constant and the Standard Model with one theory covariance for all."""
    settings = options.resolve(EvidenceSettings, context)
    options.prepare()
    from jaxdark.check.evidence import evidence as compare
    from jaxdark.output import tables

    like = options.build_likelihood(settings)
    with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
        found = compare(like, settings.region, seed=settings.seed, report=show)
    if as_json:
        print(tables.to_json(found))
    options.console(quiet=quiet or as_json).print(tables.evidence_table(found))
