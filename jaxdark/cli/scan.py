"""`jaxdark scan`: log-likelihood, constraints and predictions over a grid, a profile or points of the prior."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.profile import ENOUGH
from jaxdark.cli.sample import progress_bars
from jaxdark.cli.settings import Flag, RegionSettings, command, parse_names
from jaxdark.errors import RequestError


def _reference(text: str) -> str | dict[str, Any]:
    return options.parse_parameters(text.split(",")) if "=" in text else text


class ScanSettings(RegionSettings):
    """Settings of `jaxdark scan`."""

    parameters: Annotated[
        dict[str, Any],
        Flag("NAME=LOWER:UPPER:COUNT[:log]|NAME=VALUE...", parse=options.parse_parameters, is_argument=True),
    ] = Field({}, description="Axes and fixed parameters, GeV.")
    random: Annotated[int | None, Flag("N")] = Field(None, description="N random points of the prior, no grid.")
    sobol: Annotated[int | None, Flag("N")] = Field(None, description="N quasi-random points of the prior, no grid.")
    profile: bool = Field(False, description="At each grid point the best fit over the parameters that are not given.")
    outputs: Annotated[list[str], Flag("LIST", parse=parse_names)] = Field(
        ["log_likelihood", "constraints"],
        description="Of log_likelihood, constraints, observables, ids of constraints and measurements.",
    )
    reference: Annotated[
        str | dict[str, Any] | None,
        Flag("sm|fit|NAME=VALUE,...", "fit where there is a prior, else sm", parse=_reference),
    ] = Field(None, description="Theory covariance at the Standard Model, the region's best fit, or a point.")
    chunk: Annotated[int | None, Flag(default="65536; 1024 in a profile")] = Field(
        None, gt=0, description="Points written together, a power of two."
    )
    out: Annotated[str | None, Flag("DIR", "results/scan-DATA")] = Field(
        None, description="Folder; an unfinished scan in it goes on."
    )


@command(ScanSettings)
def scan(
    settings: ScanSettings,
    scheduler: options.Scheduler = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Scan of a grid, or of random or quasi-random points of the prior: scan.zarr and config.toml in a folder.

    A scan that was stopped or killed goes on by the same command, to the same result bit for bit. With --profile the
    exit code is 1 if more than one point in a hundred has not converged; the store is written all the same.
    """
    from jaxdark.io import result_dir
    from jaxdark.output import tables

    options.prepare()
    from jaxdark.compute.cluster import connected
    from jaxdark.scans.scan import Scan, best_point, converged_fraction

    like, drawn = options.build_likelihood(settings), settings.random is not None or settings.sobol is not None
    of_region = drawn or settings.profile or settings.region is not None or settings.reference == "fit"
    prior = settings.prior if of_region else None
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
            options.with_switches(settings, settings.parameters),
            out=folder / "scan.zarr",
            random=settings.random,
            sobol=settings.sobol,
            profile=settings.profile,
            model=settings.model,
            prior=prior,
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
    reached = converged_fraction(result) if settings.profile else None
    record = {
        "store": str(task.path),
        "physics": json.loads(result.attrs["settings"]).get("physics"),
        "points": math.prod(task.work.points.shape),
        "axes": {name: int(result.sizes[name]) for name in task.work.points.dims},
        "outputs": task.work.outputs._asdict(),
        "theory": like.theory,
        "covariance_at": json.loads(result.attrs["covariance_at"]),
        "seconds": time.perf_counter() - start,
        "best": best_point(result),
    } | ({} if reached is None else {"converged_fraction": reached})
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


def _place(record: dict[str, Any]) -> str:
    """Words for where the theory covariance is taken."""
    if record["theory"] == "following":
        return "each point, with its log-determinant"
    covariance_at = record["covariance_at"]
    if isinstance(covariance_at, str):
        return "all points at the Standard Model: a gain over it is that of `jaxdark point` at the best one"
    return "all points at " + ", ".join(
        f"{name.lstrip('.')} = {value:.4g}" for name, value in covariance_at.items() if name
    )


def _lines(record: dict[str, Any]) -> list[str]:
    axes = " x ".join(f"{name} {n}" for name, n in record["axes"].items())
    physics = "" if record["physics"] is None else f", {record['physics']} physics"
    lines = [f"{record['points']} points ({axes}){physics} in {record['seconds']:.1f} s"]
    if record["best"]:
        shown = {n: f"{v:.4g}" if isinstance(v, float) else v for n, v in record["best"]["parameters"].items()}
        parameters = ", ".join(f"{name} = {value}" for name, value in shown.items())
        lines.append(f"highest log-likelihood {record['best']['log_likelihood']:.2f} at {parameters}")
        lines.append(f"theory covariance of {_place(record)}")
    return [*lines, f"written to {record['store']}"]
