"""`jaxdark profile`: the profile likelihood on a grid of one or two parameters."""

import math
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars
from jaxdark.cli.settings import Flag, RegionSettings, command

ENOUGH = 0.99
"""Share of the grid points that must have converged."""


class ProfileSettings(RegionSettings):
    """Settings of `jaxdark profile`."""

    axes: Annotated[list[str], Flag("NAME=LOWER:UPPER:COUNT[:log] ...", is_argument=True)] = Field(
        [], description="One or two parameters and their grid points."
    )
    posterior: Annotated[str | None, Flag("DIR")] = Field(
        None, description="Result of jaxdark sample whose posterior is drawn beside."
    )
    out: Annotated[str | None, Flag("DIR", "results/profile-REGION-DATA, led by the model")] = Field(
        None, description="New folder."
    )


@command(ProfileSettings)
def profile(
    settings: ProfileSettings,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Profile likelihood in one or two parameters: profile.nc, config.toml and a figure in a new folder.

    At every grid point chi2 is minimised over all other parameters. Exit code 1 if more than one point in a hundred has
    not converged; the result is written all the same and says so.
    """
    from jaxdark.io import result_dir, results
    from jaxdark.optimise.profile import checked_axes, fits_grid, record_of
    from jaxdark.output import profile_figure, tables
    from jaxdark.scans.points import Axis

    prior = settings.prior
    settings = settings.model_copy(update={"region": prior.region})
    out_folder = options.out_folder(settings.out, "profile", prior, settings.data)
    options.prepare()  # before the axes are held against the prior: in single precision its ends are outside
    axes = {name: Axis.parse(name, str(text)) for name, text in options.parse_parameters(settings.axes).items()}
    fits_grid(math.prod(axis.n for axis in axes.values()))  # before there are arrays of that size
    grid = checked_axes(prior, {name: axis.values() for name, axis in axes.items()})
    like, place = options.build_likelihood(settings), settings.posterior
    tree = None if place is None else profile_figure.posterior(Path(place), prior, like)

    with result_dir.result_folder(out_folder, force=force) as folder:
        from jaxdark.optimise.profile import profile as profiled

        with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
            dataset = profiled(like, prior, axes=grid, seed=settings.seed, report=show)
        results.save(dataset, folder / "profile.nc")
        result_dir.write_text(
            folder / "config.toml", result_dir.config_toml("profile", options.resolved(settings, like))
        )
    # After the numbers are safe: nothing that goes wrong in drawing may cost them.
    with result_dir.added_to(out_folder) as folder:
        options.drawn(lambda: profile_figure.save(dataset, folder, tree), f"in {out_folder}")
    record = record_of(dataset)
    if as_json:
        print(tables.to_json(record))
    options.console(quiet=quiet or as_json).print(*tables.profile_lines(record), f"written to {out_folder}", sep="\n")
    if record["converged_fraction"] < ENOUGH:
        options.tell(
            f"only {100 * record['converged_fraction']:.3g} % of the grid points converged; "
            f"do not use the result in {out_folder}"
        )
        return 1
    return 0
