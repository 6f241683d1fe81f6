"""R-hat, effective sizes and what is wrong with a run, against closed forms and runs that are bad on purpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near
from scipy.signal import lfilter
from scipy.stats import expon, norm, rankdata

from jaxdark.sampling.diagnostics import Weighted, diagnose, shortest_interval, summarised

CHAINS, DRAWS = 4, 2000
NONE_DIVERGENT = np.zeros((CHAINS, DRAWS), bool)


def independent(seed=0):
    return np.random.default_rng(seed).normal(size=(CHAINS, DRAWS))


def autoregressive(correlation, seed=0):
    """Stationary chains of known autocorrelation time (1 + rho)/(1 - rho)."""
    noise = np.random.default_rng(seed).normal(size=(CHAINS, DRAWS + 1000))
    return lfilter([np.sqrt(1 - correlation**2)], [1, -correlation], noise, axis=1)[:, 1000:]


def diagnosis(draws, importance=None, diverging=NONE_DIVERGENT):
    noise = np.random.default_rng(99).normal(size=draws.shape)
    return diagnose({"m_V": draws}, diverging, noise, importance)


def test_good_run_is_good_and_reports_every_number():
    result = diagnosis(independent())
    assert result.converged and result.warnings == ()
    row = result.parameters["m_V"]
    assert set(row) == {"mean", "sd", "hdi95", "r_hat", "ess_bulk", "ess_tail"}
    assert row["mean"] == near(independent().mean()) and row["sd"] == near(independent().std(ddof=1))
    np.testing.assert_allclose(row["hdi95"], norm.ppf([0.025, 0.975]), atol=0.15)
    assert set(result.parameters) == {"m_V"}


def test_no_false_alarm_in_many_good_runs():
    warnings = [warning for seed in range(60) for warning in diagnosis(independent(seed)).warnings]
    assert warnings == []


def split_r_hat(draws):
    """Split R-hat of normal scores, from the definition of Vehtari et al., arXiv:1903.08008."""

    def plain(x):
        halves = x.reshape(2 * CHAINS, DRAWS // 2)
        scores = norm.ppf((rankdata(halves).reshape(halves.shape) - 3 / 8) / (halves.size + 1 / 4))
        n = scores.shape[1]
        within, between = scores.var(axis=1, ddof=1).mean(), n * scores.mean(axis=1).var(ddof=1)
        return np.sqrt(((n - 1) / n * within + between / n) / within)

    return max(plain(draws), plain(np.abs(draws - np.median(draws))))


@pytest.mark.parametrize("shift, stretch", [(0.0, 1.0), (0.2, 1.0), (0.0, 1.3)])
def test_r_hat_is_that_of_its_definition(shift, stretch):
    draws = autoregressive(0.5) * np.array([[1.0], [1.0], [1.0], [stretch]])
    draws[0] += shift
    assert summarised({"x": draws})["x"]["r_hat"] == near(split_r_hat(draws), abs=1e-10)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_bulk_effective_size_is_that_of_the_autocorrelation(correlation):
    exact = CHAINS * DRAWS * (1 - correlation) / (1 + correlation)
    sizes = [summarised({"x": autoregressive(correlation, seed)})["x"]["ess_bulk"] for seed in range(8)]
    assert np.mean(sizes) == near(exact, rel=0.06)


@given(st.floats(0.05, 0.95))
def test_shortest_interval_of_an_exponential_starts_at_zero(probability):
    values = expon.ppf((np.arange(4000) + 0.5) / 4000)
    low, high = shortest_interval(values, probability)
    assert low == values[0]
    assert high == near(expon.ppf(probability), abs=5e-4 / (1 - probability))


def test_shortest_interval_holds_the_probability():
    values = np.random.default_rng(1).normal(size=1000)
    low, high = shortest_interval(values, 0.95)
    assert np.sum((values >= low) & (values <= high)) == 950


def has(result, *words):
    return not result.converged and any(all(w in warning for w in words) for warning in result.warnings)


def test_shifted_chain_has_a_large_r_hat():
    draws = independent()
    draws[2] += 0.5
    assert has(diagnosis(draws), "R-hat of m_V is 1.0", "above 1.01")


def test_slow_chains_have_too_few_effective_draws():
    assert has(diagnosis(autoregressive(0.995)), "bulk effective sample size of m_V", "below 400")


def test_tails_visited_rarely_have_a_small_tail_size():
    """Bulk well mixed; a state kept for 500 draws decides whether a draw may enter the upper tail."""
    draws = np.minimum(np.abs(independent()), 2.0)
    slow = np.repeat(np.random.default_rng(3).random((CHAINS, DRAWS // 500)) < 0.3, 500, axis=1)
    tail = np.where(slow & (independent(5) > 0.5), 3 + independent(7) ** 2, draws)
    assert has(diagnosis(tail), "tail effective sample size of m_V")


def test_divergences_above_half_a_per_cent_are_bad():
    for count, expected in ((40, True), (41, False)):
        diverging = np.zeros((CHAINS, DRAWS), bool)
        diverging[0, :count] = True
        assert diagnosis(independent(), diverging=diverging).converged == expected
    assert has(diagnosis(independent(), diverging=diverging), "41 of 8000 draws are divergent")


@pytest.mark.parametrize("start", [0, 700, DRAWS - 150])
def test_a_chain_that_stays_is_named(start):
    draws = independent()
    draws[1, start : start + 150] = 0.1
    assert has(diagnosis(draws), "chain 1 stayed on one point for 150 of its 2000 draws")


def test_a_chain_that_never_moved_is_bad():
    draws = independent()
    draws[3] = 0.2
    assert has(diagnosis(draws), "chain 3 stayed on one point")
    assert has(diagnosis(np.zeros((CHAINS, DRAWS))), "R-hat of m_V is nan")


def modes(weights, seed=0):
    """Draws of two separate modes, each chain with its own weight of the upper one."""
    generator = np.random.default_rng(seed)
    upper = generator.random((CHAINS, DRAWS)) < np.array(weights)[:, None]
    return 8.0 * upper + generator.normal(size=(CHAINS, DRAWS))


def test_unequal_modes_are_found_where_r_hat_is_content():
    draws = modes([0.5, 0.5, 0.5, 0.62])
    assert summarised({"m_V": draws})["m_V"]["r_hat"] < 1.01
    result = diagnosis(draws)
    assert has(result, "modes of unequal weight: chain 3", "range of m_V")
    assert len(result.warnings) == 1
    assert diagnosis(modes([0.5] * 4)).converged


def test_chains_locked_in_their_modes_are_unequal():
    assert has(diagnosis(modes([1, 1, 0, 0])), "modes of unequal weight")


def weighted(values, seed=0):
    """The same distribution as drawn from a wider one, with weights."""
    generator = np.random.default_rng(seed)
    return Weighted({"m_V": values(generator)}, np.full(20000, 1 / 20000))


def test_a_mode_that_every_chain_missed_is_found():
    both = weighted(lambda g: 8.0 * (g.random(20000) < 0.2) + g.normal(size=20000))
    assert has(diagnosis(independent(), both), "chains and importance sampling disagree", "m_V")


def test_importance_sample_with_unequal_weights_agrees():
    for seed in range(20):
        wide = np.random.default_rng(seed).normal(size=20000) * 2
        weight = norm.pdf(wide) / norm.pdf(wide, scale=2)
        assert diagnosis(independent(seed), Weighted({"m_V": wide}, weight / weight.sum())).converged


def test_the_error_of_the_draws_counts_beside_that_of_the_importance_sample():
    """Against quantiles of the distribution itself correlated chains are off by their effective size, and no more."""
    exact = weighted(lambda _: norm.ppf((np.arange(20000) + 0.5) / 20000))
    for seed in range(20):
        assert not has(diagnosis(autoregressive(0.8, seed), exact), "importance sampling disagree")


def test_the_worst_nuisance_is_named_and_the_others_counted():
    generator = np.random.default_rng(3)
    nuisances = {name: generator.normal(size=(CHAINS, DRAWS)) for name in "abcd"}
    good = diagnose({"m_V": independent()}, NONE_DIVERGENT, independent(9), nuisances=nuisances)
    assert good.converged and list(good.nuisances) == list("abcd") and list(good.parameters) == ["m_V"]
    nuisances["b"][1] += 0.3
    nuisances["c"][1] += 2.0
    bad = diagnose({"m_V": independent()}, NONE_DIVERGENT, independent(9), nuisances=nuisances)
    assert has(bad, "R-hat of the nuisance c is", "(so for 1 more nuisances)")
    assert has(bad, "bulk effective sample size of the nuisance c")
    assert has(bad, "modes of unequal weight: chain 1", "range of the nuisance c")
    assert not any("m_V" in warning for warning in bad.warnings)


def test_a_parameter_that_the_prior_fixes_is_not_judged():
    values = {"m_V": independent(), "width": np.full((CHAINS, DRAWS), 0.1)}
    assert not diagnose(values, NONE_DIVERGENT, independent(9)).converged
    result = diagnose(values, NONE_DIVERGENT, independent(9), fixed=["width"])
    assert result.converged and result.parameters["width"]["mean"] == near(0.1)
