"""`jaxdark fit`: the best fit with its errors, the other minima and the goodness of fit, or that under limits."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jaxdark.cli import options
from jaxdark.cli.sample import progress_bars
from jaxdark.cli.settings import Flag, RegionSettings, command, parse_names
from jaxdark.errors import RequestError

if TYPE_CHECKING:
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.likelihood.priors import Prior
    from jaxdark.optimise.conditional import Report
    from jaxdark.optimise.constrained import ConstrainedFit
    from jaxdark.optimise.fit_result import FitResult


class FitSettings(RegionSettings):
    """Settings of `jaxdark fit`."""

    subject_to: Annotated[list[str], Flag("LIST", "no limits", parse=parse_names)] = Field(
        [],
        description="Largest gain over the Standard Model that breaks none of these limits: applied, all, a family "
        "(invisible, colliders, mixing, ...) or ids of constraints.",
    )
    n_starts: Annotated[int, Flag(default="256; 64 with --subject-to")] = Field(
        256, gt=0, le=10**6, description="Descents from different points."
    )
    toys: Annotated[int, Flag(default="500; none with --subject-to")] = Field(
        500, ge=0, le=10**6, description="Sets of pseudo-data for the p-value; 0 for none."
    )
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
    status of each descent, p-value from pseudo-data. With --subject-to the best point among those that break none of
    the limits: ratio of value and limit for each, which of them hold it, and what the log-likelihood would gain if one
    were looser. Exit code 1 if the fit has not converged; the result is written all the same and says so.
    """
    from jaxdark.io import result_dir
    from jaxdark.output import tables

    prior = settings.prior
    settings = settings.model_copy(update={"region": prior.region} | _under_limits(settings, scheduler))
    out_folder = options.out_folder(settings.out, "fit", prior, settings.data)

    with result_dir.result_folder(out_folder, force=force) as folder:
        options.prepare()
        like = options.build_likelihood(settings)
        with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
            result = _run(settings, like, prior, scheduler, show)
        record = result.to_dict()
        result_dir.write_text(folder / "fit.json", tables.to_json(record) + "\n")
        result_dir.write_text(folder / "config.toml", result_dir.config_toml("fit", options.resolved(settings, like)))
    if as_json:
        print(tables.to_json(record))
    shown = tables.constrained_tables(record) if settings.subject_to else tables.fit_tables(record)
    options.console(quiet=quiet or as_json).print(*shown, f"written to {out_folder}", sep="\n")
    if not result.converged:
        kept = getattr(result, "feasible", False)  # of a fit under limits, whose point is allowed all the same
        advice = f"the gain in {out_folder} may be too small" if kept else f"do not use the result in {out_folder}"
        options.tell(f"{result.status}; {advice}")
        return 1
    return 0


def _under_limits(settings: FitSettings, scheduler: str | None) -> dict[str, Any]:
    """Settings that are others where the fit is subject to limits.

    Raises:
        RequestError: one was given that only a fit without limits has.
    """
    if not settings.subject_to:
        return {}
    given = settings.model_fields_set
    only_without = {
        "toys": "toys" in given and settings.toys > 0,
        "optimizer": settings.optimizer != "lm",
        "scheduler": scheduler is not None,
    }
    if refused := [f"--{name}" for name, is_given in only_without.items() if is_given]:
        raise RequestError(
            f"{' and '.join(refused)} is for a fit without limits, got --subject-to as well; leave one of the two out"
        )
    from jaxdark.optimise.constrained_search import STARTS

    return {"toys": 0, "n_starts": settings.n_starts if "n_starts" in given else STARTS}


def _run(
    settings: FitSettings, like: "Likelihood", prior: "Prior", scheduler: str | None, show: "Report"
) -> "FitResult | ConstrainedFit":
    """The fit that the settings mean."""
    if settings.subject_to:
        from jaxdark.optimise.constrained import constrained_fit

        return constrained_fit(
            like, prior, subject_to=settings.subject_to, n_starts=settings.n_starts, seed=settings.seed, report=show
        )
    from jaxdark.optimise.fit import fit as best_fit

    return best_fit(
        like,
        prior,
        n_starts=settings.n_starts,
        toys=settings.toys,
        optimizer=settings.optimizer,
        seed=settings.seed,
        report=show,
        scheduler=scheduler,
    )
