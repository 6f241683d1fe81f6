"""`jaxdark point`: everything at one parameter point."""

from typing import Annotated, Any

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.settings import Flag, ModelSettings, command
from jaxdark.errors import RequestError


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise RequestError(f"expected numbers separated by commas after --q2, such as 0.5,3.5, got {text!r}") from None


class PointSettings(ModelSettings):
    """Settings of `jaxdark point`."""

    parameters: Annotated[dict[str, Any], Flag("NAME=VALUE...", parse=options.parse_parameters, is_argument=True)] = (
        Field({}, description="Parameters, GeV.")
    )
    q2: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Flag("LIST", parse=_numbers)] = Field(
        [0.5, 3.5, 17.0], description="q2 in GeV^2 at which to show C9 and C10."
    )


@command(PointSettings)
def point(settings: PointSettings, quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """Everything at one parameter point: widths, Wilson coefficients, pulls, constraints, likelihood."""
    with options.without_garbage_collection():
        options.prepare()
        from jaxdark.analysis.point import point_record
        from jaxdark.models.registry import build_model
        from jaxdark.output import tables

        chosen = build_model(settings.model, options.with_switches(settings, settings.parameters))
        record = point_record(settings.model, chosen, options.build_likelihood(settings), settings.q2)
    if as_json:
        print(tables.to_json(record))
    else:
        options.console().print(*tables.point_tables(record, full=not quiet), sep="\n")
