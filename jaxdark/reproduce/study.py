"""One fit of Sec. 4 with what figures and claims need of every draw: pulls, constraints and the two-sigma criteria.

Inputs: a region, a data set and a reading of (g-2). Outputs: arrays over the draws.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxdark.analysis.constrain import on_vectors
from jaxdark.choices import PhysicsName
from jaxdark.compute.batch import batched
from jaxdark.constraints.b_to_k_invisible.searches import babar_bin_limits, proxy_uncertainty
from jaxdark.constraints.limit import LimitResult
from jaxdark.io import results
from jaxdark.io.checkpoints import atomic_write
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.reproduce import estimates
from jaxdark.reproduce.estimates import INDEPENDENT, Chains, Estimate, Share, hull
from jaxdark.reproduce.thresholds import IMPROVES, TWO_SIGMA
from jaxdark.sampling.sample import sample

INVISIBLE = ("cleo_2001", "babar_hadronic_sB_bins", "babar_semileptonic_low_q2", "babar_semileptonic_high_q2")
"""The limits of Appendix A; the second is a proxy where no limit per bin is public."""
MUONS = ("drell_yan", "babar_4mu_2016", "lhcb_kstar_mumu_2015", "lhcb_k_mumu_2016")
"""Bounds on V by its coupling to muons."""
_PROXY = INVISIBLE[1]
_IN_BINS = "BR_Bp_Kp_inv_sB_"

_WORDS = ("selection", "sm_log_likelihood", "rows", "ids", "chains", "correlation")
_GROUPS = ("parameters", "verdicts")


class Selection(NamedTuple):
    """What is fitted: "high" or "low", a data set, the reading of (g-2), and the physics."""

    region: str
    data: str = "paper2020"
    g_minus_2: str = "limit"
    physics: PhysicsName = "paper"

    @property
    def words(self) -> str:
        """Data, reading and physics, for a column of a table."""
        return f"{self.data}, (g-2) {self.g_minus_2}, {self.physics}"


class Study(NamedTuple):
    """A posterior, draw by draw.

    Attributes:
        selection: what was fitted.
        parameters: draws by name, (n,).
        log_likelihood: (n,).
        sm_log_likelihood: of the Standard Model.
        pulls: (prediction - measurement)/error with the errors of experiment and theory, (n, rows).
        rows: ids of the measurements.
        ids: of the constraints.
        verdicts: each field of shape (n, constraints).
        chains: "converged", or what is wrong with them.
        correlation: how the draws hang together.
    """

    selection: Selection
    parameters: dict[str, Float[np.ndarray, " n"]]
    log_likelihood: Float[np.ndarray, " n"]
    sm_log_likelihood: float
    pulls: Float[np.ndarray, "n rows"]
    rows: tuple[str, ...]
    ids: tuple[str, ...]
    verdicts: LimitResult
    chains: str
    correlation: Chains = INDEPENDENT

    def save(self, path: Path) -> None:
        """Write everything into one file of arrays, whole or not at all; words and the number are JSON in it."""
        words = {name: getattr(self, name) for name in _WORDS}
        parts = {f"{group}.{name}": a for group in _GROUPS for name, a in _named(getattr(self, group)).items()}
        parts |= {"words": np.array(json.dumps(words)), "log_likelihood": self.log_likelihood, "pulls": self.pulls}
        atomic_write(path, lambda file: np.savez(file, **parts))

    @classmethod
    def load(cls, path: Path) -> "Study":
        """The study that `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        words = json.loads(str(arrays.pop("words")))
        words |= {"selection": Selection(*words["selection"]), "rows": tuple(words["rows"]), "ids": tuple(words["ids"])}
        words |= {"correlation": Chains(*words["correlation"])}
        parameters, verdicts = (
            {key.removeprefix(f"{group}."): arrays.pop(key) for key in list(arrays) if key.startswith(f"{group}.")}
            for group in _GROUPS
        )
        return cls(**words, **arrays, parameters=parameters, verdicts=LimitResult(**verdicts))

    def value(self, name: str) -> Float[np.ndarray, " n"]:
        """What a constraint predicts at each draw."""
        return self.verdicts.value[:, self.ids.index(name)]

    def ratio(self, name: str) -> Float[np.ndarray, " n"]:
        """How close to exclusion by a constraint each draw is."""
        return self.verdicts.ratio[:, self.ids.index(name)]

    @property
    def under_weakest_proxy(self) -> Bool[np.ndarray, " n"]:
        """Draws under the weakest of BaBar's limits per s_B bin also in the bins that have none."""
        bins = [i for i, name in enumerate(self.ids) if name.startswith(_IN_BINS)]
        limits = self.verdicts.limit[:, bins]
        weakest = limits[np.isfinite(limits)].max()
        return (self.verdicts.value[:, bins] <= np.where(np.isfinite(limits), np.inf, weakest)).all(axis=1)

    def passes(self, *names: str) -> Bool[np.ndarray, " n"]:
        """Draws that none of the named constraints excludes."""
        return np.all([self.ratio(name) <= 1 for name in names], axis=0)

    @property
    def survives(self) -> Bool[np.ndarray, " n"]:
        """Draws that none of the limits of Appendix A and CLEO excludes."""
        return self.passes(*INVISIBLE)

    def survives_scaled(self, scale: float) -> Bool[np.ndarray, " n"]:
        """`survives` with the proxy for BaBar's limits in s_B bins times a factor."""
        others = (name for name in INVISIBLE if name != _PROXY)
        return self.passes(*others) & (self.ratio(_PROXY) <= scale)

    def with_proxy_error(self, of_survivors: Callable[[Bool[np.ndarray, " n"]], Estimate]) -> Estimate:
        """A number that depends on which draws survive: beside the error of sampling that of the proxy's limits.

        Args:
            of_survivors: the number and its error for some survivors.
        """
        return hull(of_survivors(self.survives_scaled(scale)) for scale in proxy_scales())

    def share(self, part: Bool[np.ndarray, " n"], whole: Bool[np.ndarray, " n"]) -> Share:
        """Share of some draws that have a property, with its error."""
        return estimates.share(part, whole, self.correlation)

    def counted(self, chosen: Bool[np.ndarray, " n"]) -> str:
        """How many draws are chosen, and how many independent ones they are worth."""
        return f"{chosen.sum()}, worth {estimates.effective(chosen, self.correlation):.0f}"

    def median(self, values: Float[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"]) -> Estimate:
        """Median over some draws, with its error."""
        return estimates.median(values, chosen, self.correlation)

    def mean(self, values: Float[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"]) -> Estimate:
        """Mean over some draws, with its error."""
        return estimates.mean(values, chosen, self.correlation)

    @property
    def most_likely(self) -> Bool[np.ndarray, " n"]:
        """Draws of the 95.45 % highest-posterior region (prior quantiles are the measure)."""
        return self.log_likelihood >= np.quantile(self.log_likelihood, 1 - TWO_SIGMA)

    @property
    def unmoved(self) -> tuple[str, ...]:
        """Measurements that no draw brings within two sigma."""
        return tuple(np.array(self.rows)[(np.abs(self.pulls) > 2).all(axis=0)])

    @property
    def all_within(self) -> Bool[np.ndarray, " n"]:
        """Draws with every measurement, those `unmoved` left out, and (g-2) within two sigma."""
        within = (np.abs(self.pulls) <= 2) | np.isin(self.rows, self.unmoved)
        return within.all(axis=1) & self.passes("delta_a_mu")

    @property
    def fitted(self) -> Bool[np.ndarray, " n"]:
        """Points at two sigma that explain something: `fitted_by` a gain of `IMPROVES`."""
        return self.fitted_by(IMPROVES)

    def fitted_by(self, least: float) -> Bool[np.ndarray, " n"]:
        """Draws that are `most_likely`, have (g-2) within its limit and gain a least log-likelihood over the SM."""
        gain = self.log_likelihood - self.sm_log_likelihood
        return self.most_likely & self.passes("delta_a_mu") & (gain > least)


def proxy_scales() -> tuple[float, ...]:
    """Factors on the proxy for BaBar's limits that its uncertainty allows, 1 first; 1 alone once limits are public."""
    if babar_bin_limits().quality != "proxy":
        return (1.0,)
    factor = proxy_uncertainty()
    return (1.0, 1 / factor, factor)


def _named(group: dict[str, np.ndarray] | LimitResult) -> dict[str, np.ndarray]:
    return group._asdict() if isinstance(group, LimitResult) else group


def study(
    selection: Selection, draws: int, *, seed: int = 0, report: Callable[[str, int, int], None] | None = None
) -> Study:
    """Sample a posterior and evaluate every constraint on every draw.

    Args:
        selection: what to fit.
        draws: per chain; there are four.
        seed: fixes the result.
        report: called with (stage, done, all).
    """
    region, data, g_minus_2, physics = selection
    like, prior = Likelihood(load_dataset(data), g_minus_2=g_minus_2), prior_of(region, physics=physics)
    tree = sample(like, prior, draws=draws, seed=seed, report=report)
    summary = results.summary(tree)
    vectors = np.stack([np.ravel(tree["posterior"][name]) for name in prior.names], axis=-1)
    at_fit = like.at(prior.model_at(summary["covariance_at"]))
    at_draw = batched(lambda vector: at_fit.residuals(at_fit.predictions(prior.model(vector))), quick=True)
    residuals = at_draw(vectors)
    wanted, found = on_vectors(vectors, prior, like.sm, g_minus_2)
    return Study(
        selection,
        dict(zip(prior.names, vectors.T, strict=True)),
        np.ravel(tree["derived"]["log_likelihood"]),
        summary["sm_log_likelihood"],
        residuals / np.sqrt(np.diag(at_fit.covariance)),
        tuple(row.id for row in like.data.rows),
        tuple(entry.id for entry in wanted),
        found,
        "; ".join(summary["warnings"]) or "converged",
        # A parameter without an effective size never moved.
        Chains(summary["chains"], min(row["ess_bulk"] or 1.0 for row in summary["parameters"].values())),
    )
