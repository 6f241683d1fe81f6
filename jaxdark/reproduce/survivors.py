"""The largest effect on C_9 that survives every limit, against the mass of the light dark fermion.

Inputs: masses of chi, limits and inputs. Outputs: the largest |Re C_9| at 4 GeV^2 with the point it is reached at. The
paper has no such number: its figures show draws. It decides the claim that points fit and survive.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.choices import PhysicsName
from jaxdark.compute.batch import batched
from jaxdark.compute.cluster import threads
from jaxdark.constraints.limit import Constraint
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.errors import listed
from jaxdark.inputs import StandardModel
from jaxdark.likelihood.priors import Prior, Range, prior_points
from jaxdark.models.coefficients import c9
from jaxdark.models.split import SplitDarkSector
from jaxdark.optimise.augmented import AugmentedLagrangian, ConstrainedSolutions
from jaxdark.optimise.constrained_search import excess_over
from jaxdark.optimise.multistart import best_of_slices
from jaxdark.reproduce import thresholds as limits
from jaxdark.reproduce.claim import Claim, Criterion
from jaxdark.reproduce.estimates import exact

Q2 = 4.0
"""GeV^2: the middle of the bins below the charmonia that the anomalies are in."""
FURTHER = ("landau_pole", "d_mixing", "perturbativity_g_D", "perturbativity_y_s_y_b",
           "belle_semileptonic_2017", "belle_semileptonic_kst_2017")  # fmt: skip
"""Beside the applied constraints, in the complete physics: theory, D mixing, and limits with the efficiency of the
Standard Model's spectrum, which is that of Phi exchange for light fermions where V is heavy."""
_MASSES_SHOWN = (1e-3, 0.5, 1.0, 1.5, 2.0, 2.3, 2.45, 2.6, 3.0)
"""Of the light fermion in GeV, the paper's first, which alone is taken as printed. Its pairs close at 2.39."""
_OUT_OF_REACH = 5.0
"""|Re C_9| from which the distance is minimised: well above what perturbative couplings give."""
_PENALTY = 20.0
_REACHED = 1e-3
"""Distance from a limit within which it counts as reached."""
_POINTS = 2**12
_MASSES = (1e-4, 100.0)
"""Ends of the axis of the light fermion's mass, GeV."""


class Survivor(NamedTuple):
    """The point of the largest |Re C_9| at a mass of chi.

    Attributes:
        m_chi: of the light fermion, GeV.
        C9: |Re C_9| at 4 GeV^2; 0 where no start ended within all limits.
        parameters: by name.
        at: ids of the constraints that are reached.
    """

    m_chi: float
    C9: float
    parameters: dict[str, float]
    at: tuple[str, ...]


def one_fermion(yy, g_D, **others) -> SplitDarkSector:
    """The model by the product of its Yukawa couplings."""
    return SplitDarkSector(r=g_D * yy, g_D=g_D, **others)


def two_fermions(yy, g_D, m_chi, m_heavy, **others) -> SplitDarkSector:
    """The same with a second fermion whose product cancels the first one's in B_s mixing, delta_Y = 0."""
    return SplitDarkSector(r=g_D * jnp.stack([yy, -yy]), g_D=g_D, m_chi=jnp.stack([m_chi, m_heavy]), **others)


_RANGES = {
    "m_V": Range(4.79, 15.0, log=True),
    "g_mu_V": Range(1e-3, 0.2, log=True),
    "r_AV": Range(-1.0, 0.0),
    "g_D": Range(0.05, 4.0, log=True),
    "yy": Range(1e-3, 4.0, log=True, sign=-1),
}
PRIORS = {
    "one": Prior("above M_B - M_K", _RANGES, one_fermion),
    "two": Prior("above M_B - M_K", _RANGES | {"m_heavy": Range(50.0, 500.0, log=True)}, two_fermions),
}
"""By number of fermions: Table 1 with m_V above M_B - M_K, where claim 1 has its survivors, and with the product of
Yukawa couplings in place of r."""


def limits_of_survivors(physics: PhysicsName) -> tuple[Constraint, ...]:
    """Everything that a surviving point must keep: as printed what is applied, the paper's own limits among it."""
    further = FURTHER if physics == "complete" else ()
    return tuple(c for c in all_constraints(SplitDarkSector) if c.applied or c.id in further)


def survivors_claim(sm: StandardModel, physics: PhysicsName) -> Claim:
    """Whether points fit and survive: the largest |Re C_9| below the charmonia with V above M_B - M_K."""
    cases, masses = (("one",), _MASSES_SHOWN[:1]) if physics == "paper" else (("one", "two"), _MASSES_SHOWN)
    found = {case: largest_c9(case, masses, sm, physics) for case in cases}
    words = {
        case: ", ".join(f"{s.C9:.2g} at m_chi = {s.m_chi:g}" for s in survivors) for case, survivors in found.items()
    }
    best = max((s for survivors in found.values() for s in survivors), key=lambda s: s.C9)
    point = ", ".join(f"{name} = {value:.3g}" for name, value in best.parameters.items())
    return Claim(
        "Figs. 4, 6",
        "Points with V above M_B - M_K fit and survive every limit: the fits want Re C_9 of about -0.8 at 4 GeV^2",
        "exist",
        "largest |Re C_9| at 4 GeV^2: "
        + "; ".join(f"{case} fermion{'s' * (case == 'two')}: {text} GeV" for case, text in words.items())
        + f". The largest has {point} (GeV, 1) and is held by {listed(best.at)}",
        tuple(
            Criterion(f"largest |Re C_9| for m_chi = {s.m_chi:g} GeV, {case} fermion", exact(s.C9), limits.AS_WANTED)
            for case, survivors in found.items() for s in survivors
        ),
        "" if physics == "paper" else "Phi exchange gives b -> s chi chi at tree level, and with it a limit on r/g_D",
        physics=physics,
    )  # fmt: skip


def largest_c9(
    fermions: str,
    masses: Sequence[float],
    sm: StandardModel,
    physics: PhysicsName = "complete",
    *,
    starts: int = 16,
    seed: int = 0,
) -> list[Survivor]:
    """The largest |Re C_9| at each mass of the light fermion, by descents under limits from many starts.

    One program serves all masses: the mass is a coordinate that no descent moves.

    Args:
        fermions: "one" or "two".
        masses: of the light fermion, GeV.
        sm: the inputs.
        physics: of model and limits, see `limits_of_survivors`.
        starts: descents for each mass, one in each slice of m_V.
        seed: of the points that starts are chosen from.
    """
    search = _Search(PRIORS[fermions]._replace(arguments={"physics": physics}), limits_of_survivors(physics), sm)
    ends = search.descend(None, search.starts(search.place(masses), starts, seed))
    return [search.best(ends, m, slice(k * starts, (k + 1) * starts)) for k, m in enumerate(masses)]


class _Search:
    """Descents in prior quantiles and, last, the place of the mass of chi on a logarithmic axis, which stays.

    Attributes:
        descend: from starts (n, d + 1).
    """

    def __init__(self, prior: Prior, constraints: Sequence[Constraint], sm: StandardModel):
        self._prior, self._sm, self._limits = prior, sm, constraints
        self._judge = batched(self._judged, workers=threads())
        self.descend = AugmentedLagrangian(
            lambda _, u: self._distance(u), self._excess, lambda _, u: self._judge(u), threads()
        )

    def place(self, masses: Sequence[float]) -> Float[np.ndarray, " n"]:
        """Places of masses on the axis, from 0 to 1."""
        lower, upper = _MASSES
        return np.log(np.asarray(masses) / lower) / np.log(upper / lower)

    def _model(self, u: Float[Array, " d+1"]) -> SplitDarkSector:
        lower, upper = _MASSES
        m_chi = lower * (upper / lower) ** jax.lax.stop_gradient(u[-1])
        others = dict(zip(self._prior.names, self._prior.vector(u[:-1]), strict=True))
        return self._prior.model_at({**others, "m_chi": m_chi})

    def _distance(self, u: Float[Array, " d+1"]) -> Float[Array, " 1"]:
        return _OUT_OF_REACH - jnp.abs(c9(Q2, self._model(u), self._sm).real)[None]

    def _excess(self, u: Float[Array, " d+1"]) -> Float[Array, " k"]:
        return excess_over(verdicts(self._model(u), self._sm, self._limits).ratio)

    def _judged(self, u: Float[Array, " d+1"]) -> tuple[Float[Array, ""], Float[Array, " k"]]:
        return jnp.sum(self._distance(u) ** 2), self._excess(u)

    def starts(self, places: Float[np.ndarray, " n"], each: int, seed: int) -> Float[np.ndarray, "n*each d+1"]:
        """For each place the best of many prior points in each slice of m_V, by distance and penalised excess."""
        points, chosen = prior_points(len(self._prior.names), _POINTS, seed), []
        for place in places:
            u = np.column_stack([points, np.full(_POINTS, place)])
            chi2, excess = self._judge(u)
            rank = chi2 + _PENALTY * (np.maximum(excess, 0.0) ** 2).sum(axis=1)
            chosen.append(u[best_of_slices(-rank, u[:, 0], each)])
        return np.concatenate(chosen)

    def best(self, ends: ConstrainedSolutions, m_chi: float, mine: slice) -> Survivor:
        """The largest |Re C_9| among the ends of one mass that keep all limits."""
        ends = ends.take(mine)
        if not ends.feasible.any():
            return Survivor(m_chi, 0.0, {}, ())
        k = int(np.argmin(np.where(ends.feasible, ends.chi2, np.inf)))
        values = np.asarray(self._prior.vector(ends.u[k, :-1])).tolist()
        reached = tuple(limit.id for limit, over in zip(self._limits, ends.excess[k], strict=True) if over > -_REACHED)
        return Survivor(
            m_chi,
            _OUT_OF_REACH - float(np.sqrt(ends.chi2[k])),
            dict(zip(self._prior.names, values, strict=True)),
            reached,
        )
