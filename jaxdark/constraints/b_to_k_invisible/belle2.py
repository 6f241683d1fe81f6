"""Belle II's measurement of B+ -> K+ nu nu, arXiv:2311.14647, read as SM + V.

Inputs: a dark-sector point. Outputs: signal events, the strength that fits the data, a verdict, and a term of a
likelihood. The spectrum in generated q2 gives the signal of every reconstructed bin. The term is the profile of the
published likelihood (`belle2_profile`); for the verdict the strength that fits the data best, and its error, follow
from expansions of it (`belle2_likelihood`), which take a tenth of the time.
"""

import itertools
from functools import cache
from importlib import resources
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.belle2_likelihood import Expansions
from jaxdark.constraints.b_to_k_invisible.belle2_profile import LOWEST, profile_deviance
from jaxdark.constraints.b_to_k_invisible.histogram import br_k_invisible_histogram
from jaxdark.constraints.b_to_k_invisible.pairs import br_chichi_bins
from jaxdark.constraints.b_to_k_invisible.searches import SearchRates, is_printed, rates_of_the_searches
from jaxdark.constraints.limit import Constraint, LimitResult, SharedPrediction, Term, interval
from jaxdark.inputs import StandardModel
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.neutrinos import br_k_nunu, br_k_nunu_bins

_SAME = 0.1  # distance (squared, in sigma) within which a point counts as that of an expansion


class Strength(NamedTuple):
    """Best-fit factor on a signal, nuisances eliminated, with its standard deviation."""

    value: Float[Array, ""]
    error: Float[Array, ""]


@cache
def expansions() -> Expansions:
    """The shipped `belle2_likelihood.expansions`."""
    with resources.files("jaxdark").joinpath("data/limits/belle2_knunu.npz").open("rb") as file:
        return Expansions(**np.load(file))


def expected_signal(model: SplitDarkSector, sm: StandardModel) -> Float[Array, " signal"]:
    """Signal events of SM + V in the 18 bins with signal, nuisances at their nominal values.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    belle2 = expansions()
    return belle2.undefined + belle2.per_br @ (br_k_nunu_bins(sm, belle2.q2) + _in_bins(model, sm, belle2.q2))


def _in_bins(model: SplitDarkSector, sm: StandardModel, edges: Float[np.ndarray, " edges"]) -> Float[Array, " bins"]:
    """New physics in adjacent bins of q2: a histogram of Eq. (22) as printed, or what the switches say."""
    if is_printed(model):
        return br_k_invisible_histogram(model, sm, edges)
    bins = tuple((float(low), float(high)) for low, high in itertools.pairwise(edges))
    return br_chichi_bins(model, sm, modes=("B+->K+",), q2=bins)["B+->K+"].q2


def strength(signal: Float[Array, " signal"]) -> Strength:
    """Strength at which a signal fits the data best.

    A Gaussian around the best fits at hand, mixed by their distance from that of the signal. Against the full
    likelihood, whose pull is the signed root of twice the drop of its logarithm from the best fit to strength 1, the
    pull (value - 1)/error of SM + V was within 0.15 at some hundreds of random points where it lies within 2.3, the
    boundary of the verdict included, and within 0.45 where it lies within 4: the profile is no parabola, and strengths
    far below 1 are up to 0.4 less excluded than is said.

    Args:
        signal: events at strength 1, as from `expected_signal`.
    """
    belle2 = expansions()
    slopes = belle2.slope @ signal
    curvatures = jnp.einsum("i,kij,j->k", signal, belle2.curvature, signal)
    away = slopes[0] / curvatures[0] * signal - belle2.centre
    distances = jnp.einsum("ki,ij,kj->k", away, belle2.curvature[0], away)
    weights = 1 / (distances + _SAME) ** 2
    curvature = weights @ curvatures
    return Strength(weights @ slopes / curvature, jnp.sqrt(weights.sum() / curvature))


def belle2(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """BR(B+ -> K+ invisible) of SM + V against what Belle II measures for its spectrum, two standard deviations wide.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    return _measured(rates_of_the_searches(model, sm), model, sm)


def _measured(rates: SearchRates, model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    br = br_k_nunu(sm) + rates.K.total
    fitted = strength(expected_signal(model, sm))
    return interval(br, (fitted.value - 2 * fitted.error) * br, (fitted.value + 2 * fitted.error) * br)


def residual(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Root of 2 ln L of the spectrum that fits best over SM + V, nuisances of Belle II at their best for either.

    The difference between two models is that of the published likelihood, whatever spectrum is the standard. That one
    stands for a value measured exactly, so that the term counts as one measured value. Form factors of B -> K enter
    twice where the inputs move: the published likelihood has three nuisances for them.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    return _residual(expected_signal(model, sm), model, sm)


def _residual(signal: Float[Array, " signal"], model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    # Inputs may move the SM part, never beyond the best spectrum; rounding must not either.
    return jnp.sqrt(jnp.maximum(profile_deviance(signal) - LOWEST, 1e-6))


def constraints() -> tuple[Constraint, ...]:
    """The verdict, which is not applied: the SM itself is outside of it. The term is that of a measurement."""
    reference = "Belle II, arXiv:2311.14647, likelihood of arXiv:2507.12393"
    verdict = SharedPrediction(rates_of_the_searches, _measured)
    form = "profile of Belle II's published likelihood of 30 bins, less its value for the spectrum that fits best"
    term = Term(SharedPrediction(expected_signal, _residual), form, is_measurement=True)
    return (
        Constraint("belle2_2023", verdict, reference, 0.9545, models=SplitDarkSector, applied=False, measurement=term),
    )
