"""`jaxdark reproduce`: studies, figures and claims, written into a folder.

Inputs: quick or full. Outputs: figures as PNG and PDF, claims.json and claims.md, and the draws with their verdicts.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import xarray as xr

from jaxdark.choices import PhysicsName
from jaxdark.compute.bounds import checked_seed
from jaxdark.inputs import StandardModel, load_inputs
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.io.result_dir import write_text
from jaxdark.likelihood.provenance import Provenance
from jaxdark.measurements.dataset import load_dataset
from jaxdark.output.drawing import save_figure
from jaxdark.output.tables import to_json
from jaxdark.reproduce import figures
from jaxdark.reproduce.claim import Claim, undecided
from jaxdark.reproduce.estimates import LEVEL
from jaxdark.reproduce.fit_claims import fit_claims
from jaxdark.reproduce.invisible_figure import figure_invisible
from jaxdark.reproduce.model_claims import model_claims
from jaxdark.reproduce.numbers import numbers
from jaxdark.reproduce.study import Selection, Study
from jaxdark.reproduce.survivors import survivors_claim
from jaxdark.reproduce.thresholds import CUTS
from jaxdark.reproduce.workers import studies

_REGIONS, _DATA = ("high", "low"), ("paper2020", "hepfit2019")
PHYSICS: tuple[PhysicsName, ...] = get_args(PhysicsName)
QUICK = tuple(Selection(region, physics=physics) for physics in PHYSICS for region in _REGIONS)
FULL = (
    *(Selection(*s) for s in product(_REGIONS, _DATA, ("limit", "upper"))),
    *(Selection(*s) for s in product(_REGIONS, _DATA, ("limit",), ("complete",))),
)
_SUFFIX = {"paper": "", "complete": "-complete"}
"""In the names of figures."""
_DRAWS = {True: 500, False: 25_000}
"""Draws per chain, quick or not; there are four chains."""


def reproduce(
    folder: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    report: Callable[[str, int, int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Claim]:
    """Write every figure, the claims and the draws into a folder and return the claims.

    Args:
        folder: an existing folder.
        quick: 2000 draws of four posteriors instead of 1e5 of twelve.
        seed: of every study.
        report: called with (stage, done, all).
        checkpoints: where finished studies are kept, so that an interrupted run goes on with the others.

    Raises:
        RequestError: checkpoints of a run with other settings.
    """
    seed = checked_seed(seed)
    sm, selections, store = load_inputs(), QUICK if quick else FULL, checkpoints or Checkpoints(None)
    store.begin(_provenance(selections, _DRAWS[quick], seed).json())

    def progress(selection: Selection, stage: str, done: int, total: int) -> None:
        if report is not None:
            report(f"{'-'.join(selection)}: {stage}", done, total)

    with TemporaryDirectory(prefix=".studies-", dir=folder) as place, ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(_without_fit, folder, sm, quick)
        found = studies(selections, _DRAWS[quick], seed=seed, folder=store.folder or Path(place), report=progress)
        without_fit = meanwhile.result()
    for result in found:
        _save_draws(result, folder)
        _save_planes(result, folder, sm)
    as_printed = next(result for result in found if result.selection == Selection("high"))
    save_figure(figure_invisible(as_printed, sm), folder, "invisible")
    records = [*fit_claims(found, sm), *without_fit]
    about = {
        "cuts": CUTS,
        "undecided": undecided(records),
        "studies": [_about(result) for result in found],
        "claims": [record.record() for record in records],
    }
    write_text(folder / "claims.json", to_json(about) + "\n")
    write_text(folder / "claims.md", _markdown(records, found, too_few(quick=quick)))
    return records


def too_few(*, quick: bool) -> str:
    """What to know of the claims that are undecided."""
    draws = {kind: 4 * number for kind, number in _DRAWS.items()}
    if quick:
        return (
            f"--quick takes {draws[True]} draws of {len(QUICK)} posteriors, too few to decide what follows; without it "
            f"there are {draws[False]} of each of {len(FULL)}:"
        )
    return f"{draws[False]} draws of each posterior are too few to decide what follows:"


def _provenance(selections: Sequence[Selection], draws: int, seed: int) -> Provenance:
    """All that fixes the studies."""
    settings = {"studies": selections, "kept_of_each": Study._fields, "draws": draws}
    data = [load_dataset(name) for name in sorted({selection.data for selection in selections})]
    return Provenance(
        settings=settings,
        data_sha256={one.name: one.sha256 for one in data},
        data_cut_off={one.name: one.cut_off for one in data},
        seed=seed,
    )


def _without_fit(folder: Path, sm: StandardModel, quick: bool) -> list[Claim]:
    """Write the figures and return the claims that need no study."""
    save_figure(figures.figure_box(), folder, "box")
    for physics in PHYSICS:
        save_figure(figures.figure_2(sm, physics), folder, f"figure_2{_SUFFIX[physics]}")
        save_figure(figures.figure_3(sm, physics), folder, f"figure_3{_SUFFIX[physics]}")
    claims = []
    for physics in PHYSICS:
        # Minutes of compilation.
        claims += [] if quick else [survivors_claim(sm, physics)]
        claims += [*model_claims(sm, physics), *numbers(sm, physics)]
    return claims


def _save_draws(result: Study, folder: Path) -> None:
    """Parameters, log-likelihood and the ratio to every limit of all draws, as draws-REGION-DATA-READING.nc."""
    variables = {name: ("draw", values) for name, values in result.parameters.items()}
    variables["log_likelihood"] = ("draw", result.log_likelihood)
    for name in ("fitted", "most_likely", "all_within"):
        variables[name] = ("draw", getattr(result, name).astype(np.int8))
    variables["ratio"] = (("draw", "constraint"), result.verdicts.ratio.astype(np.float32))
    attributes = {**result.selection._asdict(), "sm_log_likelihood": result.sm_log_likelihood, "chains": result.chains}
    draws = xr.Dataset(variables, {"constraint": list(result.ids)}, attributes)
    path = folder / f"draws-{'-'.join(result.selection)}.nc"
    draws.to_netcdf(path, engine="h5netcdf", encoding={"ratio": {"zlib": True, "complevel": 4}})


def _save_planes(result: Study, folder: Path, sm) -> None:
    region, *rest, physics = result.selection
    suffix = ("" if rest == ["paper2020", "limit"] else "-" + "-".join(rest)) + _SUFFIX[physics]
    save_figure(figures.plane(result, sm), folder, f"figure_{4 if region == 'high' else 5}{suffix}")
    if region == "high":
        save_figure(figures.figure_6(result, sm), folder, f"figure_6{suffix}")


def _about(result: Study) -> dict:
    """What a reader of the claims must know of a study."""
    every = np.ones(len(result.log_likelihood), bool)

    def counted(chosen: np.ndarray) -> dict[str, float]:
        part, _, (_, low, high) = result.share(chosen, every)
        return {"draws": part, "share_low": low, "share_high": high}

    return {
        **result.selection._asdict(),
        "draws": len(result.log_likelihood),
        "independent_draws": min(result.correlation.effective, len(result.log_likelihood)),
        "chains": result.chains,
        "fitted": counted(result.fitted),
        "most_likely": counted(result.most_likely),
        "all_within_2_sigma": counted(result.all_within),
        "left_out_of_all_within": list(result.unmoved),
        "cut_alone": {name: counted(result.verdicts.ratio[:, i] > 1) for i, name in enumerate(result.ids)},
    }


def _markdown(records: Sequence[Claim], found: Sequence[Study], why_undecided: str) -> str:
    open_claims = undecided(records)
    lines = [
        "# What arXiv:2002.11150 says, and what was found",
        "",
        *(f"- {name}: {how}" for name, how in CUTS.items()),
        "",
        "Each part of a statement is a number beside a threshold. A claim is reproduced if the whole interval of every",
        "number lies within its threshold, not reproduced if none does, in part if some do and some do not, and",
        f"undecided if an interval that straddles its threshold could change that. Intervals hold {100 * LEVEL:g} %;",
        "draws are counted as the independent ones that they are worth, and where survivors of B -> K + invisible are",
        "counted, the intervals hold the uncertainty of the proxy for BaBar's limits as well. Variations are the same",
        "count with one thing changed.",
        "",
        "## Undecided",
        "",
        *([why_undecided, "", *(f"- {sentence}" for sentence in open_claims)] if open_claims else ["Nothing."]),
        "",
        "## Claims",
        "",
    ]
    claims, printed = [r for r in records if r.study], [r for r in records if not r.study]
    for _, group in groupby(claims, key=lambda record: record.id):
        lines += _claim(list(group))
    lines += ["## Claims without a fit, and printed numbers", ""]
    of_each = [[record for record in printed if record.physics == physics] for physics in PHYSICS]
    head = ("", "statement", "paper", "as printed", "verdict", "complete physics", "verdict", "cause of a difference")
    lines += _table(head, [_in_both(*records) for records in zip(*of_each, strict=True)])
    lines += _criteria((f"{record.id} {record.physics}", record) for record in printed)
    shown = ("region", "data", "g_minus_2", "physics", "draws", "independent_draws", "chains")
    counts = ("most_likely", "fitted", "all_within_2_sigma")
    rows = [
        (
            *(f"{about[name]:.0f}" if isinstance(about[name], float) else str(about[name]) for name in shown),
            *("{draws} ({share_low:.2g} to {share_high:.2g})".format(**about[name]) for name in counts),
            ", ".join(about["left_out_of_all_within"]) or "none",
        )
        for about in map(_about, found)
    ]
    head = (*(name.replace("_", " ") for name in (*shown, *counts)), "left out of it")
    lines += ["## Studies", "", "Draws, and the interval of their share.", "", *_table(head, rows)]
    return "\n".join(lines[:-1]) + "\n"


def _in_both(printed: Claim, complete: Claim) -> tuple[str, ...]:
    """One statement, judged as printed and in the complete physics."""
    again = "the same" if printed.ours == complete.ours else complete.ours
    about = printed.id, printed.statement, printed.paper
    return *about, printed.ours, printed.verdict, again, complete.verdict, printed.cause


def _claim(of_studies: Sequence[Claim]) -> list[str]:
    """One claim for all studies it was judged on: what was found, what decides, what the variations make of it."""
    first = of_studies[0]
    found = _table(
        ("study", "found", "verdict", "cause of a difference"),
        [(record.study, record.ours, record.verdict, record.cause) for record in of_studies],
    )
    variations = _table(
        ("variation", *(record.study for record in of_studies)),
        [(name, *(record.variations[name] for record in of_studies)) for name in first.variations],
    )
    title = f"### {first.id}. {first.statement}" if first.id.isdigit() else f"### {first.id}: {first.statement}"
    decides = _criteria((record.study, record) for record in of_studies)
    return [title, "", f"Paper: {first.paper}.", "", *found, *decides, *(variations if first.variations else [])]


def _criteria(of: Iterable[tuple[str, Claim]]) -> list[str]:
    """Every number beside the threshold that judges it."""
    return _table(
        ("", "number", "found", "threshold", "holds", "why this threshold"),
        [(name, c.quantity, str(c.found), str(c.threshold), c.answer, c.threshold.reason)
         for name, record in of for c in record.criteria],
    )  # fmt: skip


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, rows), ""]
