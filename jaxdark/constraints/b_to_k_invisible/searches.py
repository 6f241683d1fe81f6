"""B -> K(*) invisible against CLEO, BaBar and Belle, Appendix A of the paper and later measurements.

Inputs: a dark-sector point. Outputs: verdicts. Limits: data/limits/invisible.yaml.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.pairs import br_chichi_bins
from jaxdark.constraints.b_to_k_invisible.rates import S_B_BINS, InvisibleBR, br_k_invisible_bins, br_kst_invisible
from jaxdark.constraints.limit import Constraint, LimitResult, SharedPrediction, upper_limit, without_limit
from jaxdark.constraints.vector_emission import MODES
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.split import SplitDarkSector
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.kinematics import Bin
from jaxdark.semileptonic.neutrinos import br_k_nunu, br_kst_nunu

# Every verdict asks for the same rates: traced once, they are one computation to the compiler.
_printed = jax.jit(br_k_invisible_bins, static_argnames=("s_B", "q2"))


_LIGHT = 0.2
"""Mass of chi in GeV up to which the spectrum of pairs is that of neutrinos but for its first 1 per cent in q2."""


class BinLimits(NamedTuple):
    """Limits on the branching ratio in bins of s_B, with the words of their source."""

    s_B: tuple[Bin, ...]
    limit: np.ndarray
    reference: str
    cl: float | None
    quality: str


@cache
def babar_bin_limits() -> BinLimits:
    """Limits per s_B bin of BaBar's hadronic-tag analysis, arXiv:1303.7465, for Appendix A.

    The published ones (Fig. 6a) if `published_bins` of the data file holds them. Else a proxy: a limit on a two-body
    B -> K X as a function of m_X, recast from the same spectrum, of which each bin takes the weakest value inside it.
    """
    data = _data("babar_hadronic_2013")
    if rows := data["published_bins"]:
        bins, limit = tuple(tuple(row["s_B"]) for row in rows), np.array([row["limit"] for row in rows])
        return BinLimits(bins, limit, data["reference"], data["published_cl"], "published")
    proxy = data["proxy"]
    bins = tuple(tuple(edges) for edges in proxy["s_B"])
    s_B, upper = (np.array(proxy["m_X"]) / proxy["m_B"]) ** 2, np.array(proxy["upper"])
    limit = np.array([upper[(low <= s_B) & (s_B < high)].max() for low, high in bins])
    return BinLimits(bins, limit, proxy["reference"], proxy["cl"], proxy["quality"])


def proxy_uncertainty() -> float:
    """Factor by which the proxy for the limits of BaBar's bins may be off either way."""
    return _data("babar_hadronic_2013")["proxy"]["uncertainty_factor"]


def shown_bins() -> tuple[Bin, ...]:
    """Bins in s_B for which branching ratios are shown: those of BaBar's analysis and any with another limit."""
    return tuple(sorted({*S_B_BINS, *babar_bin_limits().s_B}))


class SearchRates(NamedTuple):
    """What the searches ask for: B+ -> K+ chi chi in their ranges, and BR(B0 -> K*0 chi chi)."""

    K: InvisibleBR
    Kst: Array


def rates_of_the_searches(model: SplitDarkSector, sm: StandardModel) -> SearchRates:
    """BR(B+ -> K+ chi chi) in the s_B bins of `shown_bins` and in the q2 ranges of arXiv:1009.1529, and that of K*0.

    Eq. (22) as printed, or what the switches of the model say; those share the nodes and the poles of V.
    """
    semileptonic = _data("babar_semileptonic_2010")
    bins = {"s_B": shown_bins(), "q2": tuple(tuple(semileptonic[name]["q2"]) for name in ("low_q2", "high_q2"))}
    if is_printed(model):
        return SearchRates(_printed(model, sm, **bins), br_kst_invisible(model, sm))
    both = br_chichi_bins(model, sm, modes=("B+->K+", "B0->K*0"), **bins)
    return SearchRates(both["B+->K+"], both["B0->K*0"].total)


@usual_rules()
def br_k_invisible(model: SplitDarkSector, sm: StandardModel, bin: Bin | None = None) -> Float[Array, ""]:
    """New-physics part of BR(B+ -> K+ invisible), in all of q2 or in one bin of s_B = q2/M_B^2, dimensionless.

    Eq. (22) as printed, or b -> s chi chi by what the switches of the model say, see `pairs.br_chichi_bins`.

    Raises:
        RequestError: the bin is not ordered.
    """
    s_B = () if bin is None else (bin,)
    if is_printed(model):
        rates = br_k_invisible_bins(model, sm, s_B=s_B)
    else:
        rates = br_chichi_bins(model, sm, modes=("B+->K+",), s_B=s_B)["B+->K+"]
    return rates.total if bin is None else rates.s_B[0]


def is_printed(model: SplitDarkSector) -> bool:
    """Whether Eq. (22) as printed is what the switches of a model mean."""
    return model.switches.as_printed("loop", "tree", "dipole", "width")


def kst_invisible(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """BR(B0 -> K*0 chi chi) + BR(B0 -> K*0 nu nu) against the limit on the sum, dimensionless.

    The limit has the efficiency of the Standard Model's spectrum: exact for light chi and no V in the spectrum.
    """
    return _kst_invisible(rates_of_the_searches(model, sm), model, sm)


def _kst_invisible(rates: SearchRates, model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    return upper_limit(rates.Kst + br_kst_nunu(sm), _data("belle_semileptonic_kst_2017")["limit"])


def has_spectrum_of_the_sm(model: SplitDarkSector, sm: StandardModel, decay: str) -> Array:
    """Whether b -> s chi chi has the shape of b -> s nu nu in q2: exchange of Phi, light chi, no V within the range.

    Above the range V bends the spectrum by its propagator alone.
    """
    if not model.switches.tree:
        return jnp.zeros((), bool)
    m_B, m_M, _ = MODES[decay].masses(sm)
    return (model.m_V >= m_B - m_M) & jnp.all((model.m_chi <= _LIGHT) | (2 * model.m_chi >= m_B - m_M))


def _where_sm_like(name: str, decay: str) -> Constraint:
    """Belle's limit where it needs no recast, which therefore counts; elsewhere there is none."""
    data = _data(name)

    def evaluate(rates: SearchRates, model: SplitDarkSector, sm: StandardModel) -> LimitResult:
        total = rates.K.total + br_k_nunu(sm) if decay == "B+->K+" else rates.Kst + br_kst_nunu(sm)
        return upper_limit(total, jnp.where(has_spectrum_of_the_sm(model, sm, decay), data["limit"], jnp.inf))

    return _on_rates(f"{name}_sm_like", evaluate, data["reference"], data["cl"], data["quality"])


def babar_hadronic(model: SplitDarkSector, sm: StandardModel, scale: float = 1.0) -> LimitResult:
    """The strongest s_B bin of BaBar's hadronic-tag analysis, Appendix A.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        scale: factor on the limits; those of the proxy are uncertain by 1.6 either way.
    """
    return _strongest_s_B(rates_of_the_searches(model, sm).K, scale)


def _strongest_s_B(rates: InvisibleBR, scale: float) -> LimitResult:
    limited = np.array([shown_bins().index(edges) for edges in babar_bin_limits().s_B])
    values, limits = rates.s_B[limited], scale * babar_bin_limits().limit
    strongest = jnp.argmax(values / limits)
    return upper_limit(values[strongest], jnp.asarray(limits)[strongest])


def constraints(babar_scale: float = 1.0) -> tuple[Constraint, ...]:
    """Verdicts on B+ -> K+ invisible, Appendix A and later measurements.

    CLEO and BaBar meet the new-physics part, as in the paper; of BaBar's s_B bins the strongest counts and each one is
    shown. Belle's limits, on the whole q2 range with the efficiency of the SM spectrum, meet the sum with
    B+ -> K+ nu nu and do not count in the verdict, but where the spectrum of chi pairs is like that. Belle II's
    measurement: `belle2`.

    Args:
        babar_scale: factor on the limits of `babar_hadronic_sB_bins`, see `babar_hadronic`.
    """
    semileptonic, bins = _data("babar_semileptonic_2010"), babar_bin_limits()

    def total(rates, sm):
        return rates.total

    def with_sm(rates, sm):
        return rates.total + br_k_nunu(sm)

    def in_q2(index, name):
        words = (semileptonic[name]["limit"], *(semileptonic[word] for word in ("reference", "cl", "quality")))
        return _limited(f"babar_semileptonic_{name}", lambda rates, sm: rates.q2[index], *words)

    def in_s_B(index):
        edges = shown_bins()[index]
        known = edges in bins.s_B
        limit = babar_scale * bins.limit[bins.s_B.index(edges)] if known else np.inf
        words = (bins.reference, bins.cl, bins.quality) if known else ("arXiv:2002.11150, Eq. (22)",)
        name = "BR_Bp_Kp_inv_sB_{:g}_{:g}".format(*edges)
        return _limited(name, lambda rates, sm: rates.s_B[index], limit, *words, applied=False)

    def in_all_q2(id, value, applied):
        return _limited(
            id, value, *(_data(id)[name] for name in ("limit", "reference", "cl", "quality")), applied=applied
        )

    def babar(rates, model, sm):
        return _strongest_s_B(rates.K, babar_scale)

    def shown(rates, model, sm):
        return without_limit(rates.K.total)

    babar_words = bins.reference, bins.cl, bins.quality
    return (
        in_all_q2("cleo_2001", total, True),
        _on_rates("babar_hadronic_sB_bins", babar, *babar_words),
        in_q2(0, "low_q2"),
        in_q2(1, "high_q2"),
        _on_rates("BR_Bp_Kp_inv", shown, "arXiv:2002.11150, Eq. (22)"),
        *map(in_s_B, range(len(shown_bins()))),
        in_all_q2("belle_hadronic_2013", with_sm, False),
        in_all_q2("belle_semileptonic_2017", with_sm, False),
        Constraint(
            "belle_semileptonic_kst_2017",
            SharedPrediction(rates_of_the_searches, _kst_invisible),
            *(_data("belle_semileptonic_kst_2017")[name] for name in ("reference", "cl", "quality")),
            models=SplitDarkSector,
            applied=False,
        ),
        _where_sm_like("belle_semileptonic_2017", "B+->K+"),
        _where_sm_like("belle_semileptonic_kst_2017", "B0->K*0"),
    )


def _on_rates(id: str, evaluate: Callable[..., LimitResult], *words, **options) -> Constraint:
    return Constraint(id, SharedPrediction(rates_of_the_searches, evaluate), *words, models=SplitDarkSector, **options)


def _limited(id: str, value: Callable[..., Array], limit: float, *words, **options) -> Constraint:
    def evaluate(rates, model, sm):
        return upper_limit(value(rates.K, sm), limit)

    return _on_rates(id, evaluate, *words, **options)


def _data(name: str) -> dict:
    return read_data("limits/invisible.yaml")[name]
