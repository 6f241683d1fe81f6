"""What today's data leave of a light vector behind a split dark sector: best fits and evidences, one row per model.

python examples/what_is_left.py                              (data set current, all constraints; hours on two cores)
python examples/what_is_left.py --models constant,constant-universal --without          (the data set alone, minutes)
python examples/what_is_left.py --models split --without --wide        (no narrow bins where charmonium is, minutes)
python examples/what_is_left.py --quick                      (three rows, contact terms alone: that everything runs)

chi2 is that of the best fit with the theory errors there; "gain" half of what it lies below the Standard Model's, each
with the nuisances at its own best values, and "constraints" the part of it that the terms beside the data set have.
Evidences are over the Standard Model, with the theory covariance there, and depend on the ranges of the priors.

The amplitude knows nothing of the charmonia above threshold, and their average over a wide bin alone is what it can be
compared with: a light vector may fit the shape of one of them in the narrow bins of B -> K mu mu. --wide leaves those
out.
"""

import argparse
from dataclasses import replace

import numpy as np

import jaxdark as jd
from jaxdark.check.evidence import evidence
from jaxdark.likelihood.priors import PRIORS
from jaxdark.measurements.dataset import DataSet
from jaxdark.models.wilson import SM_ONLY

SPLIT = ("split", "split-universal", "split-paper", "split-paper-universal", "zprime", "zprime-universal")
CONTACT = ("constant", "constant-universal")


def selected(data: DataSet, keep: list[int]) -> DataSet:
    """The rows of those numbers."""
    return replace(data, rows=tuple(data.rows[i] for i in keep), correlation=data.correlation[np.ix_(keep, keep)])


def narrow_above_threshold(row) -> bool:
    """Whether a row is B -> K mu mu in a bin narrower than 4 GeV^2 above 14 GeV^2."""
    return row.process in ("B+->K+mumu", "B0->K0mumu") and row.q2[0] > 14 and row.q2[1] - row.q2[0] < 4


def rows_of(like: jd.Likelihood, names: tuple[str, ...], toys: int):
    """Name, region, fit and its terms over those of the Standard Model."""
    of_sm = like.at(None).evaluate(SM_ONLY).terms
    for name in names:
        for region, prior in PRIORS[name].items():
            fit = jd.fit(like, prior, toys=toys)
            here = like.at(None).evaluate(fit.model).terms
            yield name, region, fit, {term: here[term] - of_sm[term] for term in here}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="current", help="a data set")
    parser.add_argument("--without", action="store_true", help="without the constraints beside it")
    parser.add_argument("--wide", action="store_true", help="without narrow bins of B -> K mu mu above 14 GeV^2")
    parser.add_argument("--toys", type=int, default=0, help="sets of pseudo-data for the p-values")
    parser.add_argument("--models", help="some of them, such as split-universal,constant")
    parser.add_argument("--quick", action="store_true", help="three rows, contact terms alone")
    options = parser.parse_args()
    jd.enable_x64()
    data, names = jd.load_dataset(options.data), (*SPLIT, *CONTACT)
    if options.quick:
        few = [i for i, row in enumerate(data.rows) if row.observable in ("R_K", "R_Kst")][:3]
        data, names = selected(data, few), CONTACT
    if options.wide:
        data = selected(data, [i for i, row in enumerate(data.rows) if not narrow_above_threshold(row)])
    names = tuple(options.models.split(",")) if options.models else names
    like = jd.Likelihood(data, constraints=() if options.without else "mixing" if options.quick else "all")
    beside = like.terms_beside.names
    print(f"{data.name} as of {data.cut_off}, {len(data.rows)} rows; terms beside: {', '.join(beside) or 'none'}")
    for name, region, fit, terms in rows_of(like, names, options.toys):
        cost = sum(terms[term] for term in beside)
        costly = {t: round(v, 2) for t, v in sorted(terms.items(), key=lambda item: item[1]) if abs(v) > 0.1}
        at = ", ".join(f"{key} = {value.value:.3g}" for key, value in fit.parameters.items())
        p = "" if fit.p_value is None else f", p {fit.p_value:.3f}"
        print(f"{name}, {region}: gain {fit.delta_chi2_sm / 2:.2f} (constraints {cost:.2f}), chi2 {fit.chi2:.1f}{p}")
        print(f"    {at}; {costly}; {fit.status}", flush=True)
    for region in dict.fromkeys(region for name in names for region in PRIORS[name] if region != "all") or ("all",):
        of_region = [PRIORS[name].get(region) or PRIORS[name]["all"] for name in names]
        for name, entries in evidence(like, region, models=of_region)["models"].items():
            entry = entries["Standard Model"]
            print(
                f"{region}, {name}: ln Z over the SM {entry['log_bayes_factor']:+.2f} ± {entry['error']:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
