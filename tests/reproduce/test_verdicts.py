"""Verdicts from made-up numbers: intervals against scipy, the rule, every claim as its number crosses a threshold."""

import json
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from near import near
from scipy.stats import binomtest

import jaxdark as jd
from jaxdark.constraints.limit import LimitResult
from jaxdark.constraints.registry import all_constraints
from jaxdark.likelihood.priors import prior_of
from jaxdark.models.box import BoxScan
from jaxdark.reproduce import figures, fit_claims, model_claims, thresholds
from jaxdark.reproduce.claim import Claim, Criterion, undecided, verdict
from jaxdark.reproduce.estimates import LEVEL, Chains, Estimate, exact, mean, median, ratio, share
from jaxdark.reproduce.invisible_figure import best_allowed
from jaxdark.reproduce.numbers import numbers
from jaxdark.reproduce.study import INVISIBLE, Selection, Study
from jaxdark.reproduce.thresholds import Threshold, rounding

IDS = tuple(entry.id for entry in all_constraints(jd.DarkSector))
PROXY = IDS.index(INVISIBLE[1])


@pytest.fixture(scope="module")
def sm():
    return jd.load_inputs()


def made(region="high", n=20_000, chains=None, **parameters):
    """A study of n independent draws, all of them fitted, that no constraint touches."""
    prior, random = prior_of(region), np.random.default_rng(1)
    draws = dict(zip(prior.names, np.asarray(prior.vector(random.random((n, len(prior.names))))).T, strict=True))
    draws |= {name: np.broadcast_to(value, n) for name, value in parameters.items()}
    nothing = np.zeros((n, len(IDS)))
    verdicts = LimitResult(nothing.copy(), np.ones_like(nothing), nothing.copy())
    rows = ("LHCb_RK_2019", "b")
    pulls = np.full((n, 2), 2.5) + 0.01 * random.normal(size=(n, 2))
    likely = -50 + random.random(n)
    return Study(
        Selection(region), draws, likely, -54.0, pulls, rows, IDS, verdicts, "converged", *([chains] if chains else [])
    )


def excluded(study, which, by=10.0):
    """The same study with some of its draws over BaBar's proxy limits."""
    ratio = study.verdicts.ratio.copy()
    ratio[:, PROXY] = np.where(which, by, 0.0)
    return study._replace(verdicts=study.verdicts._replace(ratio=ratio))


def spread(n, share):
    """A share of n draws, at random."""
    return np.random.default_rng(3).permutation(n) < share * n


# Intervals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 7), (2, 7), (7, 7), (40, 1000), (1, 1)])
def test_share_of_independent_draws(k, n):
    """Against scipy's interval of Clopper and Pearson; draws outside of those that are asked do not count."""
    whole = np.arange(n + 50) < n
    part = (np.arange(n + 50) < k) | ~whole
    # Shuffled, as a block of draws is no set of independent ones.
    order = np.random.default_rng(0).permutation(n + 50)
    found = share(part[order], whole[order], Chains(1, np.inf))
    exactly = binomtest(k, n).proportion_ci(LEVEL, method="exact")
    assert (found.part, found.whole, found.estimate.value) == (k, n, k / n)
    if k in (0, n):
        assert found.estimate[1:] == near((exactly.low, exactly.high), rel=1e-9)
    else:
        assert found.estimate.low <= exactly.low + 1e-12 and found.estimate.high >= exactly.high - 1e-12
        assert found.estimate.high - found.estimate.low < 1.6 * (exactly.high - exactly.low)


def test_no_draws_know_nothing():
    none = np.zeros(5, bool)
    assert share(none, none).estimate[1:] == (0.0, 1.0)
    assert median(np.arange(5.0), none)[1:] == mean(np.arange(5.0), none)[1:] == (-np.inf, np.inf)
    assert str(share(none, none)) == "0 of 0" and str(median(np.arange(5.0), none)) == "no draws"


def test_repeated_draws_count_once():
    """Every draw ten times in a row: the interval of a tenth of the draws, for shares, means and medians."""
    random = np.random.default_rng(2)
    x = random.normal(size=(4, 1000))
    ten = np.repeat(x, 10, axis=1).ravel()
    all_of_them = np.ones(len(ten), bool)
    some = binomtest(int((x > 1).sum()), x.size).proportion_ci(LEVEL, method="exact")
    chains = Chains(4, np.inf)
    found = share(ten > 1, all_of_them, chains).estimate
    assert found.high - found.low == near(some.high - some.low, rel=0.15)
    assert found.high - found.low > 2.5 * np.diff(binomtest(int((ten > 1).sum()), len(ten)).proportion_ci(LEVEL))[0]
    middle = mean(ten, all_of_them, chains)
    assert middle.high - middle.value == near(2 * x.std() / np.sqrt(x.size), rel=0.15)
    half = median(ten, all_of_them, chains)
    assert half.high - half.low == near(2 * 2 * np.sqrt(np.pi / 2) * x.std() / np.sqrt(x.size), rel=0.2)


def test_what_is_never_seen_is_as_correlated_as_the_slowest_parameter():
    whole = np.ones(2000, bool)
    found = share(~whole, whole, Chains(4, 100.0)).estimate
    assert found[1:] == near((0.0, binomtest(0, 100).proportion_ci(LEVEL, method="exact").high), rel=1e-9)


def test_a_median_needs_six_draws():
    """Two sides of (1/2)^n each: six draws enclose the median at two sigma, five do not."""
    for n, known in ((5, False), (6, True)):
        found = median(np.arange(float(n)), np.ones(n, bool), Chains(n, np.inf))
        assert np.isfinite(found.high) == known and found.value == (n - 1) / 2
    assert "too few draws" in str(median(np.arange(3.0), np.ones(3, bool)))


def test_ratio_of_intervals():
    assert ratio(Estimate(4.0, 2.0, 6.0), Estimate(2.0, 1.0, 4.0)) == (2.0, 0.5, 6.0)
    assert ratio(Estimate(np.nan, -np.inf, np.inf), exact(2.0))[1:] == (0.0, np.inf)


# The rule -------------------------------------------------------------------------------------------------------------

BELOW_ONE = Threshold(-np.inf, 1.0, "a made-up reason")
YES, NO, OPEN = (Criterion("x", Estimate(*x), BELOW_ONE) for x in ((0.5, 0.2, 0.9), (2, 1.1, 3), (0.5, 0.2, 1.1)))


def test_a_criterion_needs_the_whole_interval():
    assert [c.holds for c in (YES, NO, OPEN)] == [True, False, None]
    both = Threshold(1.0, 2.0, "")
    ends = ((1.0, 2.0, True), (0.9, 1.5, None), (1.5, 2.1, None), (0.1, 0.9, False), (2.1, 9.0, False), (0.5, 3, None))
    for low, high, holds in ends:
        assert Criterion("x", Estimate((low + high) / 2, low, high), both).holds is holds


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ((YES,), "reproduced"),
        ((YES, YES), "reproduced"),
        ((NO, NO), "not reproduced"),
        ((YES, NO), "in part"),
        ((YES, NO, OPEN), "in part"),
        ((YES, OPEN), "undecided"),
        ((NO, OPEN), "undecided"),
        ((OPEN,), "undecided"),
    ],
)
def test_verdict(criteria, expected):
    assert verdict(criteria) == Claim("1", "", "", "", criteria).verdict == expected


def test_the_record_holds_every_threshold_beside_its_number():
    content = json.loads(json.dumps(Claim("1", "says", "p", "o", (NO, YES)).record()))
    assert content["verdict"] == "in part"
    assert content["criteria"][0] == {
        "quantity": "x", "value": 2.0, "low": 1.1, "high": 3.0, "at_most": 1.0, "holds": "no",
        "reason": "a made-up reason",
    }  # fmt: skip


def test_undecided_claims_say_why():
    records = [Claim("1", "", "", "", (YES, OPEN), study="data"), Claim("2", "", "", "", (NO,))]
    (sentence,) = undecided(records)
    assert sentence == "Claim 1 (data) is undecided: x: 0.5 (0.2 to 1.1), wanted at most 1"


# Claims about a fit ---------------------------------------------------------------------------------------------------


def below_and_above(share_below, share_above, n=20_000, chains=None):
    study = made(n=n, m_V=np.where(np.arange(n) % 2, 3.0, 10.0), chains=chains)
    below = study.parameters["m_V"] < 5
    survives = np.where(below, spread(n, share_below), spread(n, share_above))
    return excluded(study, ~survives)


@pytest.mark.parametrize(
    ("below", "above", "n", "expected"),
    [
        (0.0, 0.5, 20_000, "reproduced"),
        (0.0, 0.5, 1500, "undecided"),
        (0.02, 0.5, 20_000, "in part"),
        (0.5, 0.5, 20_000, "in part"),
        (0.5, 0.01, 20_000, "not reproduced"),
        (0.0, 0.01, 20_000, "in part"),
    ],
)
def test_claim_1(sm, below, above, n, expected):
    claim = fit_claims._threshold(below_and_above(below, above, n), sm)
    assert claim.verdict == expected
    assert all(c.threshold.reason for c in claim.criteria)


def test_claim_1_on_correlated_draws(sm):
    """The same draws, said to be worth a hundredth, decide nothing."""
    assert fit_claims._threshold(below_and_above(0.0, 0.5, chains=Chains(4, 200.0)), sm).verdict == "undecided"


def test_claim_1_within_the_proxys_uncertainty(sm):
    """Draws that survive only if the proxy for BaBar's limits is 1.5 times too strong leave the claim open."""
    study = below_and_above(0.0, 0.5)
    near_limit = (study.parameters["m_V"] < 5) & spread(20_000, 0.05)
    ratio = study.verdicts.ratio.copy()
    ratio[near_limit, PROXY] = 1.5
    claim = fit_claims._threshold(study._replace(verdicts=study.verdicts._replace(ratio=ratio)), sm)
    assert claim.verdict == "undecided" and claim.criteria[0].found.value == 0


@pytest.mark.parametrize(
    ("left", "n", "expected"),
    [(0.0, 20_000, "reproduced"), (0.0, 100, "undecided"), (0.03, 20_000, "in part"), (0.5, 20_000, "not reproduced")],
)
def test_claim_2(sm, left, n, expected):
    study = made(n=n, m_V=2.45)
    assert fit_claims._two_and_a_half(excluded(study, ~spread(n, left)), sm).verdict == expected


@pytest.mark.parametrize(
    ("free", "n", "expected"),
    [(0.3, 2000, "reproduced"), (0.12, 100, "undecided"), (0.02, 20_000, "in part"), (0.0, 20_000, "not reproduced")],
)
def test_claim_3(sm, free, n, expected):
    study = made(n=n, m_V=8.0, g_mu_V=np.where(spread(n, free), 1e-3, 0.19))
    assert fit_claims._no_axial(study, sm).verdict == expected


@pytest.mark.parametrize(
    ("n", "under", "r", "expected"),
    [
        (7, 0.3, -8.0, "undecided"),
        (2000, 0.3, -8.0, "reproduced"),
        (2000, 0.3, -3.0, "in part"),
        (20_000, 0.0, -8.0, "not reproduced"),
        (100, 0.0, -8.0, "undecided"),
    ],
)
def test_claim_4(sm, n, under, r, expected):
    """The line is at 0.012 for 6 GeV."""
    study = made(n=n, m_V=6.0, r=r, g_mu_V=np.where(spread(n, under), 0.011, 0.013))
    claim = fit_claims._trident(study, sm)
    assert claim.verdict == expected


@pytest.mark.parametrize(
    ("light", "pull", "n", "expected"),
    [
        (0.0, 2.5, 20_000, "reproduced"),
        (0.0, 0.5, 20_000, "in part"),
        (0.3, 2.5, 20_000, "in part"),
        (0.3, 0.5, 20_000, "not reproduced"),
        (0.0, 2.5, 300, "undecided"),
    ],
)
def test_claim_5(sm, light, pull, n, expected):
    study = made("low", n=n, m_V=np.where(spread(n, light), 1.0, 1.8))
    study = study._replace(pulls=study.pulls - 2.5 + pull)
    assert fit_claims._cut_by_bs(study, sm).verdict == expected


@pytest.mark.parametrize(
    ("left", "g_left", "m_V", "n", "expected"),
    [
        (0.1, 0.15, 1.0, 20_000, "reproduced"),
        (0.1, 0.012, 1.0, 20_000, "in part"),
        (0.0, 0.15, 1.0, 20_000, "not reproduced"),
        (0.0, 0.15, 1.0, 300, "undecided"),
        (0.01, 0.15, 1.0, 300, "undecided"),
    ],
)
def test_claim_6(sm, left, g_left, m_V, n, expected):
    some = spread(n, left)
    study = excluded(made("low", n=n, m_V=m_V, g_mu_V=np.where(some, g_left, 0.01)), ~some)
    assert fit_claims._large_couplings(study, sm).verdict == expected


@pytest.mark.parametrize(
    ("gain", "printed", "expected"),
    [(4.0, 5e-6, "reproduced"), (1.0, 5e-6, "in part"), (4.0, 9e-7, "in part"), (1.0, 9e-7, "not reproduced")],
)
def test_the_z_prime(sm, monkeypatch, gain, printed, expected):
    """g_Vbs reaches 3.5 GeV^2 times 2.758e-8 GeV^-2 times 10 = 9.65e-7 at the end of the prior."""

    def evaluate(model):
        return SimpleNamespace(terms={"flavour": gain if isinstance(model, fit_claims.SimplifiedZPrime) else 0.0})

    monkeypatch.setattr(fit_claims, "_likelihood", lambda data: SimpleNamespace(evaluate=evaluate))
    monkeypatch.setattr(thresholds, "BELOW_G_BS", thresholds.BELOW_G_BS._replace(high=printed))
    claim = fit_claims._z_prime(made(n=100), sm)
    assert claim.verdict == expected
    assert claim.criteria[1].found.value == near(3.5 * 2.7579e-7, rel=1e-4)


# Claims without a fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("common", "needed", "expected"),
    [(160.0, 1.4, "in part"), (160.0, 3.2, "reproduced"), (20.0, 3.2, "in part"), (20.0, 1.4, "not reproduced"),
     (np.inf, 3.2, "reproduced")],
)  # fmt: skip
def test_the_box(monkeypatch, common, needed, expected):
    def scan(m_1, m_2, m_3):
        m_1 = np.asarray(m_1)
        return BoxScan(m_1, np.where(m_1 > 0, needed, 0), m_1, m_1, m_1 >= common)

    monkeypatch.setattr(model_claims, "box_scan", scan)
    assert model_claims._box().verdict == expected


@pytest.mark.parametrize(
    ("suppression", "expected"), [(0.03, "reproduced"), (0.5, "not reproduced"), (0.0, "not reproduced")]
)
def test_the_vector_like_fermion(monkeypatch, suppression, expected):
    monkeypatch.setattr(model_claims, "SplitVectorLike", lambda **_: SimpleNamespace(g_tilde=1.0 - suppression))
    monkeypatch.setattr(model_claims, "g_tilde", lambda _: 1.0)
    assert model_claims._vector_like().verdict == expected


def test_mixing_claim(monkeypatch, sm):
    def bound(g_D, delta_Y, sm, physics, m_V=None):
        return g_D * (0.1 if delta_Y is None else 0.2 if delta_Y == 0 else 0.05)

    assert model_claims._mixing(sm, "paper").verdict == "reproduced"
    monkeypatch.setattr(model_claims, "mixing_bound", bound)
    assert model_claims._mixing(sm, "paper").verdict == "in part"


@pytest.mark.parametrize(("printed", "ours", "expected"), [
    ("7e-3", 7.4e-3, "reproduced"), ("7e-3", 7.6e-3, "in part"), ("7e-3", 1.1e-2, "not reproduced"),
    ("-0.44", -0.4415, "reproduced"), ("-0.44", -0.43, "in part"), ("2.76e-8", 2.7549e-8, "in part"),
])  # fmt: skip
def test_printed_number(printed, ours, expected):
    from jaxdark.reproduce.numbers import _record

    assert _record("x", "", printed, ours, "").verdict == expected


def test_rounding_is_half_a_unit_of_the_last_digit():
    for printed, ends in (("2.76e-8", (2.755e-8, 2.765e-8)), ("1", (0.5, 1.5)), ("-0.44", (-0.445, -0.435))):
        assert rounding(printed)[:2] == near(ends, rel=1e-12)


def test_cancelling_axial_coupling(sm):
    """Judged where Figs. 4 and 5 meet, with the value at 1 GeV beside it; by the integral of Eq. (25)."""

    def axial(m_V):
        x2 = mpmath.mpf(float(sm.m_mu)) ** 2 / m_V**2
        down = lambda z: x2 * z + (1 - z) * (1 - x2 * z)  # noqa: E731
        with mpmath.workdps(20):
            V = mpmath.quad(lambda z: 2 * z**2 * (1 - z) / down(z), [0, 0.9, 0.99, 0.999, 1])
            A = mpmath.quad(lambda z: (2 * z * (1 - z) * (z - 4) - 4 * x2 * z**3) / down(z), [0, 0.9, 0.99, 0.999, 1])
        return float(-mpmath.sqrt(-V / A))

    (record,) = (r for r in numbers(sm) if r.id == "-0.44")
    assert float(record.ours) == near(axial(2.0), abs=1e-4) and f"{axial(1.0):.4g} at 1 GeV" in record.statement
    assert record.verdict == "reproduced"


def test_relic_density_as_printed_and_as_meant(sm):
    """0.05 (10/9)^2 exp(-+ 40 Delta) with Delta = 1 - 90 MeV/M_mu."""
    (record,) = (r for r in numbers(sm) if r.id == "(31)")
    delta = 1 - 0.09 / float(sm.m_mu)
    assert float(record.paper) == near(0.05 * (10 / 9) ** 2 * np.exp(-40 * delta), rel=0.04)
    assert float(record.ours) == near(0.05 * (10 / 9) ** 2 * np.exp(40 * delta), rel=1e-3)
    assert record.verdict == "not reproduced" and "sign" in record.cause


# Figures --------------------------------------------------------------------------------------------------------------


def test_trident_line_has_no_step():
    """Eq. (27) above 1 GeV, 0.001 far below, and nowhere steeper than its slope."""
    m_V = np.linspace(0.01, 3, 1000)
    assert np.abs(np.diff(figures.trident_line(m_V))).max() < 1.01 * 2e-3 * (m_V[1] - m_V[0])
    assert figures.trident_line(np.array([0.1, 0.5, 1.0, 5.0])) == near(np.array([1e-3, 1e-3, 2e-3, 1e-2]), rel=1e-12)


def test_mixing_bound_is_that_of_the_box(sm):
    """Eqs. (17), (18) in closed form for two fermions; V of 6 GeV lowers it, and at 5 GeV it cancels the box."""
    x1, x2 = mpmath.mpf("1e-12"), mpmath.mpf("1e-4")

    def F(x, y):
        with mpmath.workdps(60):
            y = y * (1 + mpmath.mpf("1e-20")) if x == y else y
            first = 1 / ((1 - x) * (1 - y))
            return first + sum(a**2 * mpmath.log(a) / ((1 - a) ** 2 * (a - b)) for a, b in ((x, y), (y, x)))

    C1 = (F(x1, x1) - 2 * F(x1, x2) + F(x2, x2)) / (128 * mpmath.pi**2 * 1e6)
    box = figures.mixing_bound(np.array([2.0]), 0.0, sm)
    assert box == near(np.array([2 * float(mpmath.sqrt(6e-12 / C1))]), rel=1e-6)
    with_V = [figures.mixing_bound(np.array([2.0]), 0.0, sm, m_V=m_V)[0] for m_V in (5.0, 6.0)]
    assert with_V[0] > 3 * box[0] and 0.5 * box[0] < with_V[1] < 0.9 * box[0]


def test_figure_6_says_which_V_it_draws(sm):
    fig = figures.figure_6(made(n=50), sm)
    words = [text.get_text() for text in fig.legends[0].get_texts()]
    assert sum("by the box" in word for word in words) == 2
    assert {f"{m:g} GeV" for m in (5.0, 6.0)} <= {word.split("of ")[-1].split(",")[0] for word in words}


def test_figure_3_marks_the_edges_of_the_proxy(sm):
    fig = figures.figure_3(sm)
    marks = [
        ln.get_xdata()[0] for ln in fig.axes[0].lines if len(ln.get_xdata()) == 2 and len(set(ln.get_xdata())) == 1
    ]
    assert marks == near(list(float(sm.m_Bp) * np.sqrt([0.1, 0.2, 0.3])), rel=1e-12)
    words = [text.get_text() for text in fig.legends[0].get_texts()]
    assert "edges of BaBar's proxy limits" in words
    assert "our" in fig.get_supxlabel() and "choice" in fig.get_supxlabel()


def test_the_point_of_the_invisible_figure_is_perturbative():
    """The likeliest draw has y_s y_b beyond 4 pi, the next one is cut by an invisible limit, the third is taken."""
    study = made(n=5)
    study = study._replace(log_likelihood=np.array([1.0, 9.0, 8.0, 7.0, 2.0]) - 40)
    study.verdicts.ratio[1, IDS.index("perturbativity_y_s_y_b")] = 400.0
    some, all_of_them = (excluded(study, which) for which in (np.arange(5) == 2, np.ones(5, bool)))
    assert best_allowed(some) == {name: values[3] for name, values in study.parameters.items()}
    # where none is allowed the likeliest perturbative one
    assert best_allowed(all_of_them) == {name: values[2] for name, values in study.parameters.items()}
