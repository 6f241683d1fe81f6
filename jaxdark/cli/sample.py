"""`jaxdark sample`: draws of the posterior, with diagnostics that can fail the run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field

from jaxdark.choices import Kernel, Method
from jaxdark.cli import options
from jaxdark.cli.settings import Flag, RegionSettings, command
from jaxdark.errors import visible

_MOST = 10**8


class SampleSettings(RegionSettings):
    """Settings of `jaxdark sample`; draws, warmup and numbers of points are the sampler's own where they are None."""

    method: Method = Field("nuts", description="nuts: Markov chains; nested, importance: weighted samples.")
    kernel: Kernel = Field(
        "flow",
        description="Of the chains. flow: in a trained flow's coordinates, with the force of a standard normal, the "
        "likelihood is weighed and never differentiated; gradient: there, with the likelihood's gradient; plain: "
        "with its gradient in prior quantiles.",
    )
    chains: int = Field(4, gt=0, le=1000, description="Chains.")
    draws: Annotated[int | None, Flag(default="enough for good chains")] = Field(
        None, gt=0, le=_MOST, description="Draws per chain."
    )
    warmup: int | None = Field(None, gt=0, le=_MOST, description="Steps of adaptation per chain, not kept.")
    n_samples: Annotated[int | None, Flag(default="enough for good draws")] = Field(
        None, gt=0, le=_MOST, description="Points of the prior, of the method importance."
    )
    n_live: Annotated[int | None, Flag(default="enough for good draws")] = Field(
        None, gt=0, le=_MOST, description="Live points, of the method nested."
    )
    out: Annotated[str | None, Flag("DIR", "results/REGION-DATA, led by the model if not split")] = Field(
        None, description="New folder."
    )


@command(SampleSettings)
def sample(
    settings: SampleSettings,
    scheduler: options.Scheduler = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Draws of the posterior: posterior.nc, summary.json, config.toml and figures in a new folder.

    A run that was stopped or killed is taken up again by the same command, and ends as if it had not been. Exit code 1
    if the draws cannot be trusted; the result is written all the same and says so. A figure that cannot be drawn is
    named, and does not fail the run.
    """
    from jaxdark.io import result_dir, results
    from jaxdark.output import figures, tables

    prior = settings.prior
    settings = settings.model_copy(update={"region": prior.region})
    out_folder = options.out_folder(settings.out, "", prior, settings.data)

    with result_dir.resumable_folder(out_folder, force=force, say=options.say(quiet)) as (folder, checkpoints):
        options.prepare()
        from jaxdark.sampling.sample import sample as draw_posterior

        like = options.build_likelihood(settings)
        with progress_bars(shown=sys.stderr.isatty() and not quiet) as show:
            tree = draw_posterior(
                like,
                prior,
                method=settings.method,
                kernel=settings.kernel,
                chains=settings.chains,
                draws=settings.draws,
                warmup=settings.warmup,
                n_samples=settings.n_samples,
                n_live=settings.n_live,
                seed=settings.seed,
                report=show,
                checkpoints=checkpoints,
                scheduler=scheduler,
            )
        summary = results.summary(tree)
        results.save(tree, folder / "posterior.nc")
        result_dir.write_text(folder / "summary.json", tables.to_json(summary) + "\n")
        result_dir.write_text(
            folder / "config.toml", result_dir.config_toml("sample", options.resolved(settings, like))
        )
    # After the numbers are safe: nothing that goes wrong in drawing may cost them.
    with result_dir.added_to(out_folder) as folder:
        options.drawn(lambda: figures.save_figures(tree, folder), f"in {out_folder}")
    if as_json:
        print(tables.to_json(summary))
    options.console(quiet=quiet or as_json).print(*tables.summary_tables(summary), f"written to {out_folder}", sep="\n")
    if not summary["converged"]:
        options.tell(f"{tables.convergence_sentence(summary)}; do not use the result in {out_folder}")
        return 1
    return 0


@contextmanager
def progress_bars(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A function (stage, done, all) that moves one bar per stage."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:14}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        "left",
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(visible(stage), total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield show
