"""What the paper says its fit shows: claims 1 to 6 and the comparison with a Z' at the end of Sec. 4.

Inputs: studies and inputs. Outputs: records with the paper's value, ours, and the numbers that decide.
"""

from collections.abc import Sequence
from functools import cache

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxdark.constraints.electroweak import trident_limit
from jaxdark.constraints.registry import all_constraints
from jaxdark.inputs import StandardModel, read_data
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.coefficients import c9
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import SplitDarkSector, g_Vbs
from jaxdark.models.wilson import SM_ONLY
from jaxdark.models.zprime import SimplifiedZPrime
from jaxdark.reproduce import thresholds as limits
from jaxdark.reproduce.claim import Claim, Criterion
from jaxdark.reproduce.estimates import Estimate, exact, ratio
from jaxdark.reproduce.figures import Q2
from jaxdark.reproduce.study import INVISIBLE, MUONS, Study, proxy_scales

Draws = Bool[np.ndarray, " n"]


def fit_claims(studies: Sequence[Study], sm: StandardModel) -> list[Claim]:
    """Every claim for every study of the region it is about, in the order of the paper."""
    about = {
        "high": (_threshold, _two_and_a_half, _no_axial, _trident, _z_prime, _any_left),
        "low": (_cut_by_bs, _large_couplings, _any_left),
    }
    found = [
        claim(study, sm)._replace(study=study.selection.words, physics=study.selection.physics)
        for study in studies
        for claim in about[study.selection.region]
    ]
    return sorted(found, key=lambda claim: claim.id)


def _left_of(study: Study, fitted: Draws) -> Estimate:
    """Share of some fitted draws that survives B -> K + invisible, with the errors of sampling and of the proxy."""
    return study.with_proxy_error(lambda survives: study.share(survives, fitted).estimate)


def _variations(study: Study, where: Draws) -> dict[str, str]:
    """Survivors of B -> K + invisible among the fitted draws of a part of the plane, with one thing changed each."""
    fitted, strict, survives = study.fitted & where, study.all_within & where, study.survives
    scaled = {
        f"BaBar's proxy limits times {scale:.3g}": study.share(study.survives_scaled(scale), fitted)
        for scale in proxy_scales()[1:]
    }
    found = {
        "as stated": study.share(survives, fitted),
        "every measurement within 2 sigma in place of the likelihood": study.share(survives, strict),
        **scaled,
        "the weakest proxy limit in the s_B bins without one": study.share(
            survives & study.under_weakest_proxy, fitted
        ),
        "CLEO alone": study.share(study.passes(INVISIBLE[0]), fitted),
        "Drell-Yan and the searches for V -> mu mu as well": study.share(survives & study.passes(*MUONS), fitted),
    }
    return {name: str(share) for name, share in found.items()}


def _threshold(study: Study, sm: StandardModel) -> Claim:
    threshold = float(sm.m_Bp - sm.m_Kp)
    m_V, g_mu_V, survives = study.parameters["m_V"], study.parameters["g_mu_V"], study.survives
    below, above = study.fitted & (m_V < threshold), study.fitted & (m_V > threshold)
    left = below & survives
    where = f"; those left have m_V = {m_V[left].min():.2f} to {m_V[left].max():.2f} GeV" if left.any() else ""
    cause = ""
    if left.any():
        cause = (
            f"the survivors' median g_mu_V is {study.median(g_mu_V, left)} against {study.median(g_mu_V, below)} of "
            "all: with a large muon coupling a small r is enough for C_9, and V decays to muons as well; Drell-Yan "
            f"and the searches for V -> mu mu leave {(left & study.passes(*MUONS)).sum()} of them"
        )
    surviving = f"share of fitted draws below {threshold:.2f} GeV that survives"
    return Claim(
        "1",
        "High region: every fitted point below M_B - M_K is excluded by B -> K + invisible; above it all fits together",
        "none survives below 4.79 GeV, many above",
        f"below, {study.share(survives, below)} fitted draws survive{where}; above, {study.share(survives, above)}",
        (
            Criterion(surviving, _left_of(study, below), limits.NONE),
            Criterion(surviving, _left_of(study, below), limits.NEARLY_NONE),
            Criterion("share of those above that survives", _left_of(study, above), limits.MANY),
        ),
        cause,
        variations=_variations(study, m_V < threshold),
    )


def _two_and_a_half(study: Study, sm: StandardModel) -> Claim:
    near = np.abs(study.parameters["m_V"] - 2.5) < limits.WINDOW
    fitted = study.fitted & near
    left = fitted & study.survives
    cause = "the survivors are those of claim 1" if left.any() else ""
    ends = " to ".join(f"{2.5 + side * limits.WINDOW:.2f}" for side in (-1, 1))
    surviving = f"share of fitted draws with m_V = {ends} GeV that survives"
    return Claim(
        "2",
        "m_V = 2.5 GeV is excluded",
        "excluded by B -> K + invisible",
        f"{study.share(left, fitted)} fitted draws with m_V = {ends} GeV survive",
        (
            Criterion(surviving, _left_of(study, fitted), limits.NONE),
            Criterion(surviving, _left_of(study, fitted), limits.NEARLY_NONE),
        ),
        cause if fitted.any() else "no fitted draw is there: the data disfavour a peak inside the bins",
        variations=_variations(study, near),
    )


def _no_axial(study: Study, sm: StandardModel) -> Claim:
    left = study.fitted & study.passes("drell_yan")
    free = _without_axial(study, sm) < _limit()
    found = study.with_proxy_error(lambda survives: study.share(free, left & survives).estimate)
    surviving = "share of the draws that survive B -> K + invisible and Drell-Yan with (g-2) in its limit at g_mu_A = 0"
    return Claim(
        "3",
        "Many allowed points satisfy (g-2) with g_mu^A = 0",
        "a large number",
        f"{study.share(free, left & study.survives)} draws that survive B -> K + invisible and Drell-Yan",
        (Criterion(surviving, found, limits.SOME), Criterion(surviving, found, limits.MANY)),
    )


def _trident(study: Study, sm: StandardModel) -> Claim:
    m_V, g_mu_V, r = (study.parameters[name] for name in ("m_V", "g_mu_V", "r"))
    lowest, highest = limits.TRIDENT_RANGE
    there = study.fitted & (m_V > lowest) & (m_V < highest)
    below = g_mu_V < np.asarray(jax.vmap(trident_limit)(m_V))
    under = there & study.survives & below
    values = np.abs(r)
    span = f" with |r| = {values[under].min():.2g} to {values[under].max():.2g}" if under.any() else ""
    exist = study.with_proxy_error(lambda survives: study.share(below, there & survives).estimate)
    large = study.with_proxy_error(lambda survives: study.median(values, there & survives & below))
    return Claim(
        "4",
        "Points under the trident bound exist for m_V = 5 to 7 GeV with r near the top of its range",
        "exist",
        f"{study.share(under, there & study.survives)} survivors of {lowest:g} to {highest:g} GeV{span}",
        _if_any(
            Criterion("share of these survivors under the bound", exist, limits.SOME),
            Criterion("median |r| of those under the bound", large, limits.LARGE_R),
        ),
    )


def _if_any(exist: Criterion, *of_them: Criterion) -> tuple[Criterion, ...]:
    """What is said of some points counts only if they exist."""
    return (exist,) if exist.holds is False else (exist, *of_them)


def _cut_by_bs(study: Study, sm: StandardModel) -> Claim:
    m_V, axial = study.parameters["m_V"], np.abs(study.parameters["r_AV"])
    fitted, strict = study.fitted, study.all_within
    light = fitted & (m_V < limits.CUT_BELOW)
    ratios = {row: i for i, row in enumerate(study.rows) if row.startswith(("LHCb_RK", "hepfit_RK"))}
    pulls = {row: study.mean(np.abs(study.pulls[:, i]), fitted) for row, i in ratios.items()}
    cause = ""
    if light.any() and study.selection.physics == "complete":
        cause = "the vertex is conserved: no V is exchanged in B_s -> mu mu"
    elif light.any():
        cause = (
            "B_s -> mu mu sees V through its axial coupling alone, and the prior of r_AV reaches 0, where g_mu_V is "
            f"under its (g-2) bound: the light draws have a median |r_AV| of {study.median(axial, light)}"
        )
    below, share = f"share of fitted draws below {limits.CUT_BELOW:g} GeV", study.share(light, fitted)
    return Claim(
        "5",
        "Low region: all points with m_V < 1.4 GeV are cut by B_s -> mu mu; those left have R_K, R_K* 2 to 3 sigma off",
        "none below 1.4 GeV; 2 to 3 sigma",
        f"{share} fitted draws lie below {limits.CUT_BELOW:g} GeV; mean |pull| of "
        + ", ".join(f"{row}: {pull}" for row, pull in pulls.items()),
        (
            Criterion(below, share.estimate, limits.NONE),
            Criterion(below, share.estimate, limits.NEARLY_NONE),
            *(Criterion(f"mean |pull| of {row}", pull, limits.TWO_TO_THREE) for row, pull in pulls.items()),
        ),
        cause,
        variations={
            "as stated": str(share),
            "every measurement within 2 sigma in place of the likelihood": str(
                study.share(m_V < limits.CUT_BELOW, strict)
            ),
            **{f"|r_AV| above {a:g} only": str(study.share(light, fitted & (axial > a))) for a in (0.01, 0.03, 0.1)},
        },
    )


def _large_couplings(study: Study, sm: StandardModel) -> Claim:
    fitted, survives = study.fitted, study.survives
    g, tuning = study.parameters["g_mu_V"], _tuning(study, sm)
    cause = ""
    if (fitted & survives).any():
        ours = _couplings(study, tuning, fitted)
    else:
        nearest = np.max([study.ratio(name)[fitted] for name in INVISIBLE], axis=0).min(initial=np.inf)
        ours = f"{study.share(survives, fitted)} fitted draws survive; the nearest exceeds a limit {nearest:.2g} times"
        some = study.fitted_by(0.5)
        if (some & survives).any():
            cause = f"of draws that gain 0.5 in ln L in place of {limits.IMPROVES:g}, {_couplings(study, tuning, some)}"
    larger = study.with_proxy_error(lambda survives: ratio(study.median(g, fitted & survives), study.median(g, fitted)))
    tuned = study.with_proxy_error(lambda survives: study.median(tuning, fitted & survives))
    less = {f"a gain of {gain:g} in ln L in place of {limits.IMPROVES:g}": study.fitted_by(gain)
            for gain in (1.0, 0.5, 0.0)}  # fmt: skip
    return Claim(
        "6",
        "Low region: what survives B -> K + invisible has large g_mu^V and a large tuning of g_mu^A",
        "large g_mu_V, large tuning",
        ours,
        _if_any(
            Criterion("share of fitted draws that survives", _left_of(study, fitted), limits.SOME),
            Criterion("median g_mu_V of the survivors over that of all", larger, limits.LARGE_COUPLING),
            Criterion("median tuning of g_mu_A of the survivors, where 1 is none", tuned, limits.LARGE_TUNING),
        ),
        cause,
        variations=_variations(study, np.ones(len(fitted), bool))
        | {name: str(study.share(survives, draws)) for name, draws in less.items()},
    )


def _couplings(study: Study, tuning: Float[np.ndarray, " n"], fitted: Draws) -> str:
    """Muon couplings and tuning of the fitted draws that survive against those of all."""
    g, left = study.parameters["g_mu_V"], fitted & study.survives
    return (
        f"{study.share(left, fitted)} survive, with a median g_mu_V of {study.median(g, left)} against "
        f"{study.median(g, fitted)} of all, and a median tuning of g_mu_A of {study.median(tuning, left)} against "
        f"{study.median(tuning, fitted)}, where 1 is none"
    )


def _any_left(study: Study, sm: StandardModel) -> Claim:
    """What Figs. 4 and 5 show, with every limit that counts in place of those of Appendix A alone."""
    applied = [limit.id for limit in all_constraints(SplitDarkSector) if limit.applied]
    left = study.fitted & study.passes(*applied)
    share, gain = study.share(left, study.fitted), study.log_likelihood - study.sm_log_likelihood
    best = f"; the largest gain in ln L among them is {gain[left].max():.2g}" if left.any() else ""
    return Claim(
        "Figs. 4, 5",
        "Fitted points survive every limit that counts, those on V -> mu mu, B_s mixing and colliders included",
        "exist",
        f"{share} fitted draws survive{best}",
        (Criterion("share of fitted draws that no applied limit excludes", share.estimate, limits.SOME),),
    )


def _z_prime(study: Study, sm: StandardModel) -> Claim:
    """The Z' of the end of Sec. 4; its width is that into muons."""
    m_Zp, g_mu = 10.0, 1e-2
    width = 2 * g_mu**2 * m_Zp / (12 * np.pi)
    model = SimplifiedZPrime(m_Zp=m_Zp, g_bs=-limits.G_BS, g_mu_V=g_mu, g_mu_A=-g_mu, width=width)
    like = _likelihood(study.selection.data)
    gain = like.evaluate(model).terms["flavour"] - like.evaluate(SM_ONLY).terms["flavour"]
    unit = SplitDarkSector(m_V=1.0, g_mu_V=0.0, r_AV=0.0, g_D=1.0, r=1.0, physics=study.selection.physics)
    per_r = abs(complex(g_Vbs(Q2, unit)))
    largest = per_r * np.abs(study.parameters["r"][study.fitted & study.survives]).max(initial=0.0)
    reach = per_r * prior_of(study.selection.region).ranges["r"].upper
    return Claim(
        "Sec. 4",
        "A simplified Z' of 10 GeV with g_mu_V = -g_mu_A = 0.01 solves the anomalies with g_bs = 5e-6; g_Vbs never "
        "gets there",
        "g_Vbs < 5e-6",
        f"Z': C_9 = {float(c9(Q2, model, sm).real):.2f}, ln L better than the Standard Model's by {gain:.1f} without "
        f"(g-2), which is {float(delta_a_mu(model, sm)):.2g}; largest g_Vbs at 3.5 GeV^2 that survives {largest:.2g}",
        (
            Criterion("gain of the Z' in ln L over the Standard Model", exact(gain), limits.EXPLAINS),
            Criterion("g_Vbs at 3.5 GeV^2 at the end of the prior's range of |r|", exact(reach), limits.BELOW_G_BS),
        ),
    )


@cache
def _likelihood(data: str) -> Likelihood:
    """Of a data set, once for all studies of it: its programs take longer to make than to run."""
    return Likelihood(load_dataset(data))


def _tuning(study: Study, sm: StandardModel) -> Float[np.ndarray, " n"]:
    """Largest relative change of g_mu_A from its cancelling value that (g-2) tolerates, at most 1."""
    return np.minimum(np.sqrt(1 + _limit() / _without_axial(study, sm)) - 1, 1.0)


def _without_axial(study: Study, sm: StandardModel) -> Float[np.ndarray, " n"]:
    """(g-2) of each draw with g_mu_A = 0."""

    def shift(m_V, g_mu_V):
        return delta_a_mu(SplitDarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=0.0, g_D=1.0, r=0.0), sm)

    return np.asarray(jax.jit(jax.vmap(shift))(study.parameters["m_V"], study.parameters["g_mu_V"]))


def _limit() -> float:
    return read_data("muon_g2.yaml")["limit"]["delta_a_mu"]
