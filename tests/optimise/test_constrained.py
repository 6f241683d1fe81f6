"""Fits under limits: a closed form, the limits that a request means, and the survivors of the paper's data."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from linear import PRIOR, LinearLikelihood, log_marginal, posterior
from near import near
from scipy.optimize import minimize

import jaxdark as jd
from jaxdark.constraints.choice import choose, families
from jaxdark.constraints.colliders import drell_yan
from jaxdark.constraints.limit import Constraint, upper_limit, without_limit
from jaxdark.constraints.registry import all_constraints
from jaxdark.errors import RequestError
from jaxdark.likelihood.priors import prior_of, prior_points
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.zprime import SimplifiedZPrime
from jaxdark.optimise import constrained_search
from jaxdark.optimise.constrained import constrained_fit
from jaxdark.output.tables import constrained_tables, to_json

NORMAL, BOUND = np.array([-1.0, 0.5]), 0.3
"""Of the limit -C9 + C10/2 <= 0.3, which the best fit at about (-0.4, 0.3) breaks."""
LINE = Constraint(
    "line", lambda model, sm: upper_limit(-model.C9 + 0.5 * model.C10, BOUND, one_sided=True), "made up",
    models=ConstantWilson,
)  # fmt: skip
NO_LIMIT = Constraint("shown", lambda model, sm: without_limit(model.C9), "made up", models=ConstantWilson)
FAR = LINE._replace(id="far", verdict=lambda model, sm: upper_limit(model.C10, 5.0))
CLASH = LINE._replace(id="clash", verdict=lambda model, sm: upper_limit(3.0 + model.C9, 1.0))


@pytest.fixture(scope="module")
def linear():
    return constrained_fit(LinearLikelihood(), PRIOR, subject_to=[LINE, FAR], n_starts=8)


def test_optimum_and_multiplier_of_a_gaussian_under_a_linear_limit(linear):
    """theta = mean - C n (n.mean - b)/(n C n), with d ln L/db = (n.mean - b)/(n C n)."""
    mean, C = posterior()
    slope = (NORMAL @ mean - BOUND) / (NORMAL @ C @ NORMAL)
    assert slope > 0.1
    expected = mean - C @ NORMAL * slope
    found = np.array([entry.value for entry in linear.parameters.values()])
    assert linear.converged and linear.feasible and linear.status == "converged: 8 of 8 starts reached the only optimum"
    assert found == near(expected, abs=1e-4)
    line, far = linear.limits["line"], linear.limits["far"]
    assert line.active and line.ratio == near(1.0, abs=1e-4) and line.ratio <= 1
    assert line.multiplier == near(slope * BOUND, rel=1e-3)
    assert not far.active and far.multiplier == 0 and far.ratio == near(abs(found[1]) / 5, rel=1e-9)
    assert linear.active == ["line"]
    assert linear.gain == near(log_marginal(expected) - log_marginal(np.zeros(2)), abs=1e-3)
    assert linear.log_likelihood == near(log_marginal(expected), abs=1e-3)


def test_the_multiplier_is_the_gain_per_relative_loosening(linear):
    looser = LINE._replace(
        verdict=lambda model, sm: upper_limit(-model.C9 + 0.5 * model.C10, 1.01 * BOUND, one_sided=True)
    )
    more = constrained_fit(LinearLikelihood(), PRIOR, subject_to=looser, n_starts=2)
    mean, C = posterior()
    second_order = (0.01 * BOUND) ** 2 / (2 * NORMAL @ C @ NORMAL)
    gained = more.log_likelihood - linear.log_likelihood
    assert gained == near(0.01 * linear.limits["line"].multiplier - second_order, rel=2e-2)


def test_the_record_is_json_and_shown(linear):
    record = linear.to_dict()
    assert json.loads(to_json(record))["limits"]["line"]["active"] and record["subject_to"] == ["line", "far"]
    assert record["delta_chi2_sm"] == near(2 * record["gain"]) and "itself" in record["compared_at"]
    assert record["starts"] == {"run": 8, "converged": 8, "at_best": 8}
    assert record["descents"]["status"] == ["converged"] * 8 and set(record["descents"]["meaning"]) == {"converged"}
    assert record["optima"][0]["active"] == ["line"] and record["optima_found"] == 1
    assert record["optima"][0]["gain"] == near(record["gain"])
    assert list(record["covariance_at"]) == ["C9", "C10"]
    pulls, values, limits, optima, gain, status = constrained_tables(record)
    assert [row[0].text for row in limits.rows] == ["line", "far"] and status == record["status"]
    assert [cell.meaning for cell in (limits.rows[0][3], limits.rows[1][3])] == ["doubtful", ""]
    assert "above the Standard Model" in gain and "subject to line, far" in gain


def test_limits_that_no_point_keeps_are_said_to_clash():
    found = constrained_fit(LinearLikelihood(), PRIOR, subject_to=[LINE, CLASH], n_starts=4)
    assert not found.feasible and not found.converged and not found.optima
    assert found.status.startswith("no point that keeps all limits was found from 4 starts; the nearest breaks ")
    assert "(ratio 1." in found.status and found.starts.at_best == 0
    json.loads(to_json(found.to_dict()))
    assert constrained_tables(found.to_dict())


def test_every_constraint_belongs_to_one_family():
    everywhere = [entry.id for entry in all_constraints()]
    assert sorted(everywhere) == sorted(id for members in families().values() for id in members)
    assert not {"applied", "all", *families()} & set(everywhere)


def test_groups_and_ids():
    def ids(*words, model=SplitDarkSector):
        return [entry.id for entry in choose(words, model, "limit").constraints]

    assert ids("applied") == [entry.id for entry in all_constraints(SplitDarkSector) if entry.applied]
    assert ids("all") == [entry.id for entry in all_constraints(SplitDarkSector)]
    assert ids("resonance_search", "drell_yan", "lhcb_k_mumu_2016") == [
        "lhcb_kstar_mumu_2015", "lhcb_k_mumu_2016", "BR_B0_Kst0_V_mumu", "drell_yan",
    ]  # fmt: skip
    assert "belle_semileptonic_2017" not in ids("invisible")
    assert "belle_semileptonic_2017" in ids("invisible", "belle_semileptonic_2017")
    assert ids("colliders", model=SimplifiedZPrime) == ["drell_yan"]
    assert choose("drell_yan", SplitDarkSector, "limit").named == {"drell_yan"}
    chosen = choose(["colliders", LINE], SplitDarkSector, "limit")
    assert chosen.words == ("colliders", "line") and chosen.constraints[-1] is LINE


@pytest.mark.parametrize(
    ("words", "model", "sentence"),
    [
        ([], SplitDarkSector, "expected a limit to be subject to, got none"),
        (["drel_yan"], SplitDarkSector, "unknown constraint 'drel_yan'; the nearest right name is drell_yan"),
        (["invisble"], SplitDarkSector, "unknown constraint 'invisble'; the nearest right name is invisible"),
        (["drell_yan"], ConstantWilson, "drell_yan is not defined for the model ConstantWilson"),
        (["mixing"], ConstantWilson, "no constraint of the group mixing is defined for the model ConstantWilson"),
        (["invisible"], SimplifiedZPrime, "no constraint of the group invisible is defined for"),
    ],
)
def test_what_is_no_limit_of_the_model_is_refused(words, model, sentence):
    with pytest.raises(RequestError) as error:
        choose(words, model, "limit")
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("subject_to", "sentence"),
    [
        ("applied", "of the constraints asked for (applied) any has a limit nowhere in the region all of the model"),
        ("BR_Bs_mumu", "BR_Bs_mumu has a limit nowhere in the region all of the model constant; leave it out"),
        ([LINE, NO_LIMIT], "shown has a limit nowhere in the region all"),
    ],
)
def test_what_has_no_limit_anywhere_is_refused(subject_to, sentence):
    with pytest.raises(RequestError) as error:
        constrained_fit(LinearLikelihood(), PRIOR, subject_to=subject_to)
    assert sentence in str(error.value)


def test_a_number_of_starts_and_a_mode_that_cannot_be():
    with pytest.raises(RequestError, match="expected 1 to"):
        constrained_fit(LinearLikelihood(), PRIOR, subject_to=LINE, n_starts=0)
    with pytest.raises(RequestError, match="needs the theory marginalised, got full"):
        constrained_fit(LinearLikelihood("full"), PRIOR, subject_to=LINE)


def test_excess_is_smooth_where_a_limit_is_reached():
    ratio = np.array([0.0, 1 - 1e-6, 1 + 1e-6, np.e])
    tighter = 1e-5
    assert constrained_search.excess_over(ratio) == near(np.array([-1, -1e-6, 1e-6, 1]) + tighter, abs=1e-11)


def test_no_prior_point_that_keeps_the_limits_is_better_than_the_optimum():
    """Of the printed physics, with a limit whose program compiles soon, and R_K alone."""
    data = jd.load_dataset("lhcb_core")
    part = dataclasses.replace(data, rows=data.rows[:1], correlation=data.correlation[:1, :1])
    like, prior = jd.Likelihood(part), prior_of("high", physics="paper")
    found = constrained_fit(like, prior, subject_to="drell_yan", n_starts=8)
    assert found.feasible and 0 < found.limits["drell_yan"].ratio <= 1

    @jax.jit
    @jax.vmap
    def judged(vector):
        model = prior.model(vector)
        return found.like(model), drell_yan(model, like.sm).ratio

    values, ratios = judged(np.asarray(prior.vector(prior_points(5, 4096, 1))))
    assert 100 < (ratios <= 1).sum() < 4096
    assert found.log_likelihood >= values[ratios <= 1].max()
    sm = like.evaluate(jd.NewPhysics()).log_likelihood
    assert found.gain == near(like.evaluate(found.model).log_likelihood - sm, rel=1e-9)


def test_the_gain_itself_is_as_large_as_the_limit_allows():
    """Against SLSQP on the profile log-likelihood; theory errors that change with the model tell it from a fit with a
    fixed covariance, which ends lower.
    """
    data = jd.load_dataset("paper2020")
    rows = [i for i, row in enumerate(data.rows) if row.observable in ("P5p", "P2")][:6]
    part = dataclasses.replace(
        data, rows=tuple(data.rows[i] for i in rows), correlation=data.correlation[np.ix_(rows, rows)]
    )
    like, prior = jd.Likelihood(part), prior_of("all", "constant")
    disc = LINE._replace(id="disc", verdict=lambda model, sm: upper_limit(model.C9**2 + 3 * model.C10**2, 0.3))
    found = constrained_fit(like, prior, subject_to=disc, n_starts=4)
    assert found.converged and found.active == ["disc"]

    def profile(x):
        return like.evaluate(prior.model(np.asarray(x))).log_likelihood

    start = np.array([entry.value for entry in found.parameters.values()])
    expected = minimize(
        lambda x: -profile(x), start * [0.8, 0.5], method="SLSQP",
        constraints={"type": "ineq", "fun": lambda x: 0.3 - x[0] ** 2 - 3 * x[1] ** 2},
        options={"ftol": 1e-10, "eps": 1e-5},
    )  # fmt: skip
    assert found.profile_log_likelihood == near(-expected.fun, abs=1e-4)
    assert start == near(expected.x, abs=3e-3)
    # The multiplier, by scaling the optimum along the profile: the disc of 1 % more.
    looser = disc._replace(verdict=lambda model, sm: upper_limit(model.C9**2 + 3 * model.C10**2, 0.303))
    more = constrained_fit(like, prior, subject_to=looser, n_starts=2)
    assert more.gain - found.gain == near(0.01 * found.limits["disc"].multiplier, rel=3e-2)


PRINTED = ["invisible", "drell_yan", "lhcb_kstar_mumu_2015", "lhcb_k_mumu_2016", "delta_a_mu"]
"""Appendix A, Drell-Yan, the LHCb searches and (g-2): the limits that the paper names."""


@pytest.mark.slow
def test_survivors_of_the_printed_physics(paper2020):
    """By the limits that the paper names: a point that draws miss, and which one fermion's B_s mixing cuts."""
    prior = prior_of("high", physics="paper")
    known = prior.model(np.array([3.03, 0.071, -0.444, 1.9, -0.20]))
    sm = paper2020.evaluate(jd.NewPhysics()).log_likelihood
    gain = paper2020.evaluate(known).log_likelihood - sm
    assert gain > 8.9
    found = constrained_fit(paper2020, prior, subject_to=PRINTED)
    assert found.converged and found.gain > gain
    assert {"drell_yan", "babar_hadronic_sB_bins"} <= set(found.active)
    assert found.parameters["m_V"].value == near(3.01, abs=0.02) and all(
        entry.ratio <= 1 for entry in found.limits.values()
    )
    with_mixing = constrained_fit(paper2020, prior, subject_to=[*PRINTED, "bs_mixing_R_BB"])
    assert with_mixing.feasible and with_mixing.gain < found.gain and "bs_mixing_R_BB" in with_mixing.limits


@pytest.mark.slow
def test_survivors_of_the_low_region(paper2020):
    """An optimum of gain 0.76 was known; there is a better one near 2 GeV."""
    found = constrained_fit(paper2020, prior_of("low", physics="paper"), subject_to="applied")
    assert found.feasible and found.gain > 1.0
    assert any(optimum.gain == near(0.76, abs=0.02) for optimum in found.optima)


@pytest.mark.slow
def test_survivors_of_the_complete_physics(paper2020):
    """The best of a posterior's allowed draws gains 3.56."""
    found = constrained_fit(paper2020, prior_of("high", physics="complete"), subject_to="applied")
    assert found.converged and found.gain > 6.5
    assert {"drell_yan", "babar_hadronic_sB_bins"} <= set(found.active)
    assert all(entry.ratio <= 1 for entry in found.limits.values())
