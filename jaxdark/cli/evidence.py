"""`jaxdark evidence`: models against each other and the Standard Model."""

import sys
from typing import Annotated

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars
from jaxdark.cli.settings import Flag, Settings, command


class EvidenceSettings(Settings):
    """Settings of `jaxdark evidence`."""

    region: Annotated[str, Flag("high|low")] = Field("high", description="Of models with a mediator.")


@command(EvidenceSettings)
def evidence(settings: EvidenceSettings, quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """Log-evidence of split, complete and printed, zprime, constant and the Standard Model, with one covariance."""
    options.prepare()
    from jaxdark.check.evidence import evidence as compare
    from jaxdark.output import tables

    like = options.build_likelihood(settings)
    with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
        found = compare(like, settings.region, seed=settings.seed, report=show)
    if as_json:
        print(tables.to_json(found))
    options.console(quiet=quiet or as_json).print(tables.evidence_table(found))
