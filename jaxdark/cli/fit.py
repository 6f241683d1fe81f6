"""`jaxdark fit`: the best fit with its errors, the other minima and the goodness of fit."""

import sys
from typing import Annotated, Literal

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars
from jaxdark.cli.settings import Flag, RegionSettings, command


class FitSettings(RegionSettings):
    """Settings of `jaxdark fit`."""

    n_starts: int = Field(256, gt=0, le=10**6, description="Descents from different points.")
    toys: int = Field(500, ge=0, le=10**6, description="Sets of pseudo-data for the p-value; 0 for none.")
    optimizer: Literal["lm", "lbfgs", "adam"] = Field(
        "lm", description="Our own Levenberg-Marquardt (lm), or optax's L-BFGS or Adam, which take longer."
    )
    out: Annotated[str | None, Flag("DIR", "results/fit-REGION-DATA, led by the model")] = Field(
        None, description="New folder."
    )


@command(FitSettings)
def fit(
    settings: FitSettings,
    scheduler: options.Scheduler = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Best fit from many starts: fit.json and config.toml in a new folder, and a table of pulls.

    Descents are by our own Levenberg-Marquardt method, which has the form of an optax transformation, unless
    --optimizer names one of optax's. Errors and correlations from the Hessian and the Fisher matrix, distinct minima,
    status of each descent, p-value from pseudo-data. Exit code 1 if the fit has not converged; the result is written
    all the same and says so.
    """
    from jaxdark.io import result_dir
    from jaxdark.likelihood.priors import prior_of
    from jaxdark.output import tables

    prior = prior_of(settings.region, settings.model, settings.physics)
    settings = settings.model_copy(update={"region": prior.region})
    out_folder = options.out_folder(settings.out, "fit", prior, settings.data)

    with result_dir.result_folder(out_folder, force=force) as folder:
        options.prepare()
        from jaxdark.optimise.fit import fit as best_fit

        like = options.build_likelihood(settings)
        with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
            result = best_fit(
                like,
                prior,
                n_starts=settings.n_starts,
                toys=settings.toys,
                optimizer=settings.optimizer,
                seed=settings.seed,
                report=show,
                scheduler=scheduler,
            )
        record = result.to_dict()
        result_dir.write_text(folder / "fit.json", tables.to_json(record) + "\n")
        result_dir.write_text(folder / "config.toml", result_dir.config_toml("fit", options.resolved(settings, like)))
    if as_json:
        print(tables.to_json(record))
    tables = tables.fit_tables(record)
    options.console(quiet=quiet or as_json).print(*tables, f"written to {out_folder}", sep="\n")
    if not result.converged:
        options.tell(f"{result.status}; do not use the result in {out_folder}")
        return 1
    return 0
