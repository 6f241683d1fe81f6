"""`jaxdark scan`: log-likelihood, constraints and predictions over a grid, a profile or points of the prior."""

import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.profile import ENOUGH
from jaxdark.cli.sample import progress_bars
from jaxdark.errors import RequestError


class ScanSettings(options.Settings):
    """Settings of `jaxdark scan`."""

    parameters: dict[str, Any] = {}
    random: int | None = None
    sobol: int | None = None
    profile: bool = False
    region: str | None = None
    outputs: list[str] = ["log_likelihood", "constraints"]
    reference: str | dict[str, Any] | None = None
    chunk: Annotated[int, Field(gt=0)] | None = None
    out: str | None = None


def scan(
    context: typer.Context,
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=LOWER:UPPER:COUNT[:log]|NAME=VALUE...", help="Axes and fixed parameters, GeV."),
    ] = None,
    random: Annotated[int | None, typer.Option(metavar="N", help="N random points of the prior, no grid.")] = None,
    sobol: Annotated[int | None, typer.Option(metavar="N", help="N quasi-random points of the prior, no grid.")] = None,
    profile: Annotated[
        bool | None,
        typer.Option("--profile", help="At each grid point the best fit over the parameters that are not given."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="high|low|all", help="Prior of points or profile.", show_default="the model's first"),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Of log_likelihood, constraints, observables, ids of constraints and rows.",
            show_default="log_likelihood,constraints",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="sm|fit|NAME=VALUE,...",
            help="Theory covariance at the Standard Model, the region's best fit, or a point.",
            show_default="fit where there is a prior, else sm",
        ),
    ] = None,
    scheduler: options.Scheduler = None,
    chunk: Annotated[
        int | None,
        typer.Option(help="Points written together, a power of two.", show_default="65536; 1024 in a profile"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder; an unfinished scan in it goes on.", show_default="results/scan-DATA"),
    ] = None,
    model: options.ModelName = None,
    data: options.Data = None,
    theory: options.Theory = None,
    g_minus_2: options.GMinus2 = None,
    inputs: options.Inputs = None,
    seed: options.Seed = None,
    config: options.Config = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Scan of a grid, or of random or quasi-random points of the prior: scan.zarr and config.toml in a folder.

    A scan that was stopped or killed goes on by the same command, to the same result bit for bit. With --profile the
    exit code is 1 if more than one point in a hundred has not converged; the store is written all the same.
    """
    given: dict[str, Any] = {"parameters": options.parse_parameters(parameters or [])}
    if outputs is not None:
        given["outputs"] = [name.strip() for name in re.split(r",(?![^\[]*\])", outputs) if name.strip()]
    if reference is not None and "=" in reference:
        given["reference"] = options.parse_parameters(reference.split(","))
    settings = options.resolve(ScanSettings, context, **given)
    from jaxdark.io import result_dir
    from jaxdark.output import tables

    options.prepare()
    from jaxdark.compute.cluster import connected
    from jaxdark.scans.scan import Scan, best_point, converged

    like = options.build_likelihood(settings)
    folder = Path(f"results/scan-{Path(settings.data).stem}" if settings.out is None else settings.out)
    of_another = result_dir.holds_result(folder) and not (folder / "scan.zarr").exists()
    if of_another and not force:
        raise RequestError(
            f"expected a new folder or that of a scan, got {folder}, which holds another result; name another one with "
            "--out, or replace its files with --force"
        )
    bars = progress_bars(shown=sys.stderr.isatty() and not quiet)
    with connected(scheduler) as client, bars as show:
        task = Scan(
            like,
            settings.parameters,
            out=folder / "scan.zarr",
            random=settings.random,
            sobol=settings.sobol,
            profile=settings.profile,
            model=settings.model,
            region=settings.region,
            outputs=settings.outputs,
            reference=settings.reference,
            chunk=settings.chunk,
            seed=settings.seed,
            force=force,
            report=show,
        )
        resolved = result_dir.config_toml("scan", options.resolved(settings, like) | {"chunk": task.chunk})
        if of_another:  # now that there is a store
            with result_dir.result_folder(folder, force=True, keep=("scan.zarr",)) as stage:
                result_dir.write_text(stage / "config.toml", resolved)
        else:
            result_dir.write_text(folder / "config.toml", resolved)
        start = time.perf_counter()
        try:
            result = task.run(client)
        except KeyboardInterrupt as stop:
            options.tell(f"stopped; what is done is in {folder}, give the same command again to go on")
            return 128 + getattr(stop, "signum", 2)
    reached = converged(result) if settings.profile else None
    record = {
        "store": str(task.path),
        "points": math.prod(task.work.points.shape),
        "axes": {name: int(result.sizes[name]) for name in task.work.points.dims},
        "outputs": task.work.outputs._asdict(),
        "covariance_at": json.loads(result.attrs["covariance_at"]),
        "seconds": time.perf_counter() - start,
        "best": best_point(result),
    } | ({} if reached is None else {"converged": reached})
    if as_json:
        print(tables.to_json(record))
    options.console(quiet=quiet or as_json).print(*_lines(record), sep="\n")
    if reached is not None and reached < ENOUGH:
        options.tell(
            f"only {100 * reached:.3g} % of the grid points converged; leave out those of {task.path} whose "
            "gradient_norm is above 1e-4"
        )
        return 1
    return 0


def _place(covariance_at: str | dict[str, Any]) -> str:
    """Words for where the theory covariance is taken."""
    if isinstance(covariance_at, str):
        return "the Standard Model: a gain over it is that of `jaxdark point` at the best one"
    return ", ".join(f"{name.lstrip('.')} = {value:.4g}" for name, value in covariance_at.items() if name)


def _lines(record: dict[str, Any]) -> list[str]:
    axes = " x ".join(f"{name} {n}" for name, n in record["axes"].items())
    lines = [f"{record['points']} points ({axes}) in {record['seconds']:.1f} s"]
    if record["best"]:
        shown = {n: f"{v:.4g}" if isinstance(v, float) else v for n, v in record["best"]["parameters"].items()}
        parameters = ", ".join(f"{name} = {value}" for name, value in shown.items())
        lines.append(f"highest log-likelihood {record['best']['log_likelihood']:.2f} at {parameters}")
        lines.append(f"theory covariance of all points at {_place(record['covariance_at'])}")
    return [*lines, f"written to {record['store']}"]
