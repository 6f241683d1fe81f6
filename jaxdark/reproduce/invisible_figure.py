"""B+ -> K+ + invisible at the best point that the paper's own physics allows: what Phi exchange adds to it.

Inputs: a study as printed and the inputs. Outputs: a figure. It is no figure of the paper.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxdark.compute.aot import compiler_options
from jaxdark.constraints.b_to_k_invisible.pairs import br_chichi_bins, dbr_dq2_chichi
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.split import SplitDarkSector
from jaxdark.output.drawing import BLUE, GREY, ORANGE, VERMILION, blank_figure, literal, own_style
from jaxdark.reproduce.figures import captioned
from jaxdark.reproduce.study import Study
from jaxdark.semileptonic.neutrinos import br_k_nunu

_MODE = "B+->K+"
_ABSENT = 1e6
"""Mass in GeV of a V whose exchange vanishes beside that of Phi."""


def best_allowed(study: Study) -> dict[str, float]:
    """Parameters of the likeliest fitted draw that no limit of Appendix A and no Drell-Yan excludes.

    Its Yukawa couplings are perturbative, y_s y_b < 4 pi: for a small g_D those of a given r are not. Where there is no
    such draw, of the likeliest perturbative one, or of all.
    """
    perturbative = study.passes("perturbativity_y_s_y_b")
    allowed = perturbative & study.fitted & study.survives & study.passes("drell_yan")
    chosen = next(some for some in (allowed, perturbative, np.ones_like(allowed)) if some.any())
    best = np.argmax(np.where(chosen, study.log_likelihood, -np.inf))
    return {name: float(values[best]) for name, values in study.parameters.items()}


@own_style()
def figure_invisible(study: Study, sm: StandardModel) -> Figure:
    """dBR(B+ -> K+ chi chi)/dq2 by exchange of Phi, of V and of both, with the paper's own V beside them.

    Args:
        study: of the high region, as printed.
        sm: the inputs.
    """
    point = best_allowed(study)
    cases = _cases(point)
    q2 = np.linspace(1e-3, (sm.m_Bp - sm.m_Kp) ** 2 * (1 - 1e-6), 600)
    fig = blank_figure(7.6, 5.2)
    ax = fig.subplots()

    @partial(jax.jit, compiler_options=compiler_options(quick=True))
    def rates(model):
        return dbr_dq2_chichi(q2, model, sm, _MODE)[0, 0], br_chichi_bins(model, sm, modes=(_MODE,))[_MODE].total

    for name, model, colour, style in cases:
        spectrum, total = rates(model)
        ax.semilogy(q2, spectrum, style, color=colour, label=f"{name}: {float(total):.2g}")
    ax.set(
        xlim=(0, q2[-1]),
        ylim=(1e-9, None),
        xlabel=r"$q^2$ [GeV$^2$]",
        ylabel=r"dBR($B^+\to K^+\chi\bar\chi$)/d$q^2$ [GeV$^{-2}$]",
        title=r"$B^+\to K^+$ + invisible at the best point that the printed formulas allow",
    )
    ax.legend(frameon=False, fontsize=8, title="branching ratio")
    shown = ", ".join(f"{name} = {value:.3g}" for name, value in point.items())
    limit = read_data("limits/invisible.yaml")["belle_semileptonic_2017"]["limit"]
    return captioned(
        fig,
        rf"{literal(study.selection.data)}, high region: {literal(shown, 200)} (GeV, 1). Belle's "
        rf"limit is {limit:.2g}, {float(br_k_nunu(sm)):.2g} of neutrinos in it.",
    )


def _cases(point: dict[str, float]) -> list[tuple[str, SplitDarkSector, str, str]]:
    """Name, model, colour and style of every line."""
    both = SplitDarkSector(**point)
    without_V = eqx.tree_at(lambda model: model.m_V, both, jnp.asarray(_ABSENT))
    return [
        (r"$V$ as printed, Eq. (22)", SplitDarkSector(**point, physics="paper"), GREY, "-."),
        (r"$V$ alone", SplitDarkSector(**point, tree=False), BLUE, "--"),
        (r"$\Phi$ alone, tree level", without_V, ORANGE, ":"),
        (r"both with their interference", both, VERMILION, "-"),
    ]
