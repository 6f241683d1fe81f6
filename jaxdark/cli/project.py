"""`jaxdark project`: pseudo-data of a future data set and what it would exclude."""

from pathlib import Path
from typing import Annotated

import typer

from jaxdark.cli import options, stored
from jaxdark.compute.bounds import LARGEST_SEED


def project(
    result: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a result of `jaxdark sample`.")],
    out: Annotated[Path, typer.Option(metavar="FILE.yaml", help="New file for the pseudo-data.")] = Path("future.yaml"),
    inject: Annotated[
        str,
        typer.Option(
            metavar="sm|best", help="Model that the data are made from: SM, or the result's maximum-likelihood draw."
        ),
    ] = "sm",
    scenario: Annotated[str, typer.Option(help="Of jaxdark/data/projections.yaml.")] = "lhcb50_belle50",
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="The data of the result, where they are a file of your own.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Fluctuations.", show_default="none")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Pseudo-data, which every command takes as --data, and the share of the posterior's draws they would exclude."""
    options.prepare()
    import numpy as np

    from jaxdark.analysis import projection
    from jaxdark.errors import RequestError, one_of
    from jaxdark.inputs import stored_inputs
    from jaxdark.io import result_dir, results
    from jaxdark.likelihood.identity import prior_of_result
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.likelihood.provenance import NEEDS
    from jaxdark.measurements.dataset import dataset_names, load_dataset
    from jaxdark.models.wilson import SM_ONLY
    from jaxdark.output import tables

    one_of("inject", inject, ("sm", "best"))
    tree = stored.load(result, *NEEDS)
    summary, sm = results.summary(tree), stored_inputs(results.attributes(tree))
    prior = prior_of_result(
        results.attributes(tree), instead="jaxdark.analysis.projection.pseudo_data and excluded(.., prior, ..)"
    )
    model = SM_ONLY if inject == "sm" else prior.model_at(summary["max_likelihood_draw"]["parameters"])
    if data is None and summary["data"] not in dataset_names():
        raise RequestError(
            f"the data of the result, {summary['data']}, are none that ship; name their file with --data"
        )
    measured, used = load_dataset(data or summary["data"]), results.attributes(tree)["data_sha256"]
    if measured.sha256 != used:
        raise RequestError(
            f"expected the data of the result (sha256 {used[:12]}), got others in {data or measured.name} "
            f"({measured.sha256[:12]}); name their file with --data"
        )
    with result_dir.new_file(out) as part:
        present = Likelihood(measured, inputs=sm)
        content = projection.pseudo_data(present, model, scenario, seed)
        result_dir.write_text(part, projection.file_text(content))
        future = Likelihood(load_dataset(part), inputs=sm, reference=model)
        vectors = np.stack([np.asarray(tree["posterior"][name]).ravel() for name in prior.names], axis=1)
        errors = projection.future_errors(present.data, scenario)
        kept = {row.id: e.reason for row, e in zip(present.data.rows, errors, strict=True) if e.luminosity is None}
        loss = {
            "inject": inject,
            "covariance_at": "the injected model",
            "scenario": scenario,
            "excluded": float(projection.excluded(future, prior, vectors, model).mean()),
            "sm_chi2": -2 * future.evaluate(SM_ONLY).terms["flavour"],
            "scaled_rows": len(errors) - len(kept),
            "rows": len(present.data),
            "not_scaled": kept,
        }
    if as_json:
        print(tables.to_json(loss))
    options.console(quiet=quiet or as_json).print(
        f"{scenario}, injected {inject}: {loss['scaled_rows']} of {loss['rows']} rows scaled; "
        f"{100 * loss['excluded']:.3g} % of the draws would be excluded at 95 %; "
        f"chi2 of the Standard Model {loss['sm_chi2']:.4g}, theory covariance at the injected model",
        *(f"{', '.join(ids)}: not scaled, {reason}" for reason, ids in _by_reason(kept).items()),
        f"written to {out}",
        sep="\n",
    )


def _by_reason(kept: dict[str, str]) -> dict[str, list[str]]:
    """Ids of the rows that keep their errors, by the reason."""
    found: dict[str, list[str]] = {}
    for name, reason in kept.items():
        found.setdefault(reason, []).append(name)
    return found
