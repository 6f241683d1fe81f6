"""Overlay of two results' marginals and the shift of each mean, for instance of the two theory modes.

jaxdark sample --region high --out marginalised
jaxdark sample --region high --theory full --out full
python examples/compare_modes.py marginalised full comparison.png
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jaxdark.io import results

# Parameter, axis label, and the function of the parameter on the axis.
AXES = (
    ("m_V", r"$m_V$ [GeV]", np.asarray),
    ("g_mu_V", r"$\log_{10} g_\mu^V$", np.log10),
    ("r_AV", r"$g_\mu^A/g_\mu^V$", np.asarray),
    ("g_D", r"$g_D$", np.asarray),
    ("r", r"$\log_{10} |r|$", lambda r: np.log10(np.abs(r))),
)


def main(first: str, second: str, out: str) -> None:
    trees = {folder: results.load(Path(folder) / "posterior.nc") for folder in (first, second)}
    figure = Figure(figsize=(13, 3), layout="constrained")
    for ax, (name, label, shown) in zip(figure.subplots(1, len(AXES)), AXES, strict=True):
        draws = {folder: np.ravel(tree["posterior"][name]) for folder, tree in trees.items()}
        edges = np.histogram_bin_edges(np.concatenate([shown(values) for values in draws.values()]), 40)
        for (folder, values), colour, style in zip(draws.items(), ("#0072B2", "#D55E00"), ("-", "--"), strict=True):
            weights = np.full(len(values), 1 / len(values))
            ax.hist(shown(values), edges, weights=weights, histtype="step", color=colour, ls=style, label=folder)
        one, other = draws.values()
        shift = (other.mean() - one.mean()) / one.std()
        ax.set(xlabel=label, ylabel="share of draws" if name == "m_V" else None)
        ax.set_title(f"shift of the mean {shift:+.2f} s.d.", fontsize=9)
        print(f"{name:8s} {one.mean():+.4g} {other.mean():+.4g}  shift {shift:+.3f} standard deviations")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
