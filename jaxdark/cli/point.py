"""`jaxdark point`: everything at one parameter point."""

from typing import Annotated, Any

import typer
from pydantic import Field

from jaxdark.cli import options
from jaxdark.errors import RequestError

Q2 = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="q2 in GeV^2 at which to show C9 and C10.", show_default="0.5,3.5,17"),
]


class PointSettings(options.Settings):
    """Settings of `jaxdark point`."""

    parameters: dict[str, Any] = {}
    q2: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = [0.5, 3.5, 17.0]


def point(
    context: typer.Context,
    parameters: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="Parameters, GeV.")] = None,
    model: options.ModelName = None,
    q2: Q2 = None,
    data: options.Data = None,
    theory: options.Theory = None,
    g_minus_2: options.GMinus2 = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Everything at one parameter point: widths, Wilson coefficients, pulls, constraints, likelihood."""
    given: dict[str, Any] = {"parameters": options.parse_parameters(parameters or [])}
    if q2 is not None:
        given["q2"] = _numbers(q2)
    settings = options.resolve(PointSettings, context, **given)
    with options.without_garbage_collection():
        options.prepare()
        from jaxdark.analysis.point import point_record
        from jaxdark.models.registry import build_model
        from jaxdark.output import tables

        chosen = build_model(settings.model, settings.parameters)
        record = point_record(settings.model, chosen, options.build_likelihood(settings), settings.q2)
    if as_json:
        print(tables.to_json(record))
    else:
        options.console().print(*tables.point_tables(record, full=not quiet), sep="\n")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise RequestError(f"expected numbers separated by commas after --q2, such as 0.5,3.5, got {text!r}") from None
