"""Claims and figures from made-up draws: selections are those stated, and every figure and record can be made."""

import json

import numpy as np
import pytest
import xarray as xr
from near import near

import jaxdark as jd
from jaxdark.constraints.limit import LimitResult
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.likelihood.priors import prior_of
from jaxdark.models.loops import box_F_mixing
from jaxdark.reproduce import figures, paper, survivors
from jaxdark.reproduce.claim import undecided
from jaxdark.reproduce.fit_claims import fit_claims
from jaxdark.reproduce.model_claims import model_claims
from jaxdark.reproduce.numbers import numbers
from jaxdark.reproduce.study import INVISIBLE, Selection, Study
from jaxdark.reproduce.survivors import Survivor

N = 400
IDS = tuple(entry.id for entry in all_constraints(jd.DarkSector))


def synthetic(region="high", seed=0, physics="paper"):
    """A study of independent prior draws whose verdicts are random; row b is out of reach."""
    prior, random = prior_of(region), np.random.default_rng(seed)
    vectors = np.asarray(prior.vector(random.random((N, len(prior.names)))))
    ratio = random.exponential(0.5, (N, len(IDS)))
    pulls = np.stack([random.normal(size=N), 2.1 + random.random(N), random.normal(size=N)], axis=1)
    return Study(
        Selection(region, physics=physics),
        dict(zip(prior.names, vectors.T, strict=True)),
        -50.0 - random.exponential(3.0, N),
        -54.0,
        pulls,
        ("LHCb_RK_2019", "b", "c"),
        IDS,
        LimitResult(ratio * 1e-5, np.full_like(ratio, 1e-5), ratio),
        "converged",
    )


@pytest.fixture(scope="module", params=["high", "low", "high complete"])
def study(request):
    region, *physics = request.param.split()
    return synthetic(region, 0, *physics)


@pytest.fixture(scope="module")
def sm():
    return jd.load_inputs()


def test_selections(study):
    likely = study.most_likely
    assert likely.mean() == near(0.9545, abs=2 / N)
    assert study.log_likelihood[likely].min() > study.log_likelihood[~likely].max()
    assert study.unmoved == ("b",)
    g_minus_2 = study.verdicts.ratio[:, IDS.index("delta_a_mu")] <= 1
    within = (np.abs(study.pulls[:, 0]) <= 2) & (np.abs(study.pulls[:, 2]) <= 2) & g_minus_2
    np.testing.assert_array_equal(study.all_within, within)
    np.testing.assert_array_equal(study.fitted, likely & g_minus_2 & (study.log_likelihood > -52))
    np.testing.assert_array_equal(study.passes("cleo_2001", "delta_a_mu"), study.passes("cleo_2001") & g_minus_2)
    assert set(INVISIBLE) <= set(IDS)


def test_planes_show_the_draws_they_count(study, sm):
    fig = figures.plane(study, sm)
    shown = {text.get_text() for text in fig.legends[0].get_texts()}
    (trident,) = (x for x in fig.axes[0].lines if (x.get_color(), x.get_linestyle()) == (figures.VERMILION, "-."))
    np.testing.assert_array_equal(trident.get_ydata(), figures.trident_line(trident.get_xdata()))
    points = {line.get_color() for line in fig.axes[0].lines if line.get_marker() == "o"}
    assert len(points) == 3 and trident.get_color() not in points
    left = study.fitted & study.passes(*INVISIBLE)
    for words, chosen in (("fitted at 2σ", study.fitted), ("and by the recasts of App. A", left)):
        assert any(text.startswith(f"{words} ({chosen.sum()}, worth ") for text in shown)
    assert sum(len(line.get_xdata()) for line in fig.axes[0].lines if line.get_marker() == "o") == (
        study.fitted.sum() + (study.fitted & study.passes("cleo_2001")).sum() + left.sum()
    )


@pytest.mark.parametrize("draw", [figures.plane, figures.figure_6])
def test_figures_say_when_the_chains_are_not_good(draw, sm):
    study, doubt = synthetic("high"), "the tail effective sample size of r is 323"
    words = lambda study: " ".join(draw(study, sm).get_supxlabel().split())  # noqa: E731
    assert "chains" not in words(study)
    assert f"The chains have not converged: {doubt}." in words(study._replace(chains=doubt))


def test_mixing_bound(sm):
    """One fermion: the box alone, closed form; two that cancel: the bound on r recedes in proportion to g_D."""
    g_D = np.array([0.5, 2.0])
    one = figures.mixing_bound(g_D, None, sm)
    box = float(box_F_mixing(1e-12, 1e-12)) / (128 * np.pi**2 * 1e6)
    np.testing.assert_allclose(one, g_D * np.sqrt(6.0e-12 / box), rtol=2e-3)
    tuned, off = (figures.mixing_bound(g_D, delta, sm) for delta in (0.0, 0.05))
    assert np.all(tuned > 10 * one) and np.all(off > one) and np.all(off < tuned)


def test_printed_numbers(sm):
    """Against the values of an independent evaluation with 30 digits and slightly other inputs."""
    found = {record.id: record for record in numbers(sm)}
    expected = {
        "g_tilde/r": (2.7579e-8, 1e-4), "(12)": (1.4e-10, 0.05), "(13)": (1.2e-7, 0.01), "(14)": (6.8e-3, 0.01),
        "(15)": (4.8e-10, 0.03), "(29)": (9.6e-4, 0.01), "-0.44": (-0.4415, 2e-4),
        "F": (3.22, 1e-3),
    }  # fmt: skip
    for name, (value, accuracy) in expected.items():
        assert float(found[name].ours) == near(value, rel=accuracy), name
    assert found["g_tilde/r"].verdict == "reproduced" and found["F"].verdict == "not reproduced"
    assert all(record.cause for record in found.values() if record.verdict == "not reproduced")


def test_survivors(sm, monkeypatch):
    """One fermion of 1 MeV as printed; complete each mass, of one fermion and of two."""

    def largest_c9(fermions, masses, *_):
        return [Survivor(mass, 0.5 if fermions == "two" else 0.1, {"m_V": 5.0}, ("drell_yan",)) for mass in masses]

    monkeypatch.setattr(survivors, "largest_c9", largest_c9)
    printed, complete = (survivors.survivors_claim(sm, physics) for physics in ("paper", "complete"))
    assert printed.verdict == "not reproduced" and len(printed.criteria) == 1
    assert complete.verdict == "in part" and len(complete.criteria) == 18
    assert "held by drell_yan" in printed.ours and "two fermions: 0.5 at m_chi = 0.001" in complete.ours


def test_everything_is_written(monkeypatch, tmp_path):
    """The whole run with made-up studies in place of sampled ones."""
    monkeypatch.setattr(
        paper, "studies", lambda selections, draws, **_: [synthetic(s.region, 0, s.physics) for s in selections]
    )
    steps = []
    records = paper.reproduce(tmp_path, quick=True, report=lambda *step: steps.append(step))
    stems = {"box", "invisible"} | {f"figure_{n}{suffix}" for n in range(2, 7) for suffix in ("", "-complete")}
    names = {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    draws = {f"draws-{r}-paper2020-limit-{physics}.nc" for r in ("high", "low") for physics in ("paper", "complete")}
    assert {path.name for path in tmp_path.iterdir()} == names | draws | {"claims.json", "claims.md"}
    content = json.loads((tmp_path / "claims.json").read_text())
    assert [claim["id"] for claim in content["claims"]] == [record.id for record in records]
    assert [claim["verdict"] for claim in content["claims"]] == [record.verdict for record in records]
    assert all(c["reason"] and {"at_least", "at_most"} & c.keys() for x in content["claims"] for c in x["criteria"])
    assert content["undecided"] == undecided(records) and len(content["undecided"]) > 0
    fitted = content["studies"][0]["fitted"]
    assert fitted["draws"] == synthetic("high").fitted.sum() and fitted["share_low"] < fitted["share_high"]
    assert {str(n) for n in range(1, 9)} <= {record.id for record in records}
    assert [(study["region"], study["physics"]) for study in content["studies"]] == [
        ("high", "paper"), ("low", "paper"), ("high", "complete"), ("low", "complete")
    ]  # fmt: skip
    text = (tmp_path / "claims.md").read_text()
    assert all(f"### {record.id}" in text if record.study else f"| {record.id} |" in text for record in records)
    assert "--quick takes 2000 draws" in text and all(f"- {sentence}" in text for sentence in content["undecided"])
    stored = xr.load_dataset(tmp_path / "draws-high-paper2020-limit-paper.nc", engine="h5netcdf")
    first = synthetic("high")
    np.testing.assert_array_equal(stored["m_V"], first.parameters["m_V"])
    np.testing.assert_array_equal(stored["fitted"], first.fitted)
    np.testing.assert_allclose(stored["ratio"].sel(constraint="cleo_2001"), first.ratio("cleo_2001"), rtol=1e-6)


def test_claims_of_each_region(study, sm):
    found = {claim.id: claim for claim in fit_claims([study], sm)}
    of_region = {"high": {"1", "2", "3", "4", "Sec. 4"}, "low": {"5", "6"}}[study.selection.region]
    assert set(found) == of_region | {"Figs. 4, 5"}
    assert all(claim.study == f"paper2020, (g-2) limit, {study.selection.physics}" for claim in found.values())
    name = {"high": "1", "low": "6"}[study.selection.region]
    where = study.parameters["m_V"] < {"high": float(sm.m_Bp - sm.m_Kp), "low": 99.0}[study.selection.region]
    passes = study.passes(*INVISIBLE)
    within, fitted = study.all_within & where, study.fitted & where
    looser = study.passes(INVISIBLE[0], *INVISIBLE[2:]) & (study.ratio(INVISIBLE[1]) <= 1.6)
    cells = [
        (fitted & passes, fitted),
        (within & passes, within),
        (fitted & looser, fitted),
        (fitted & study.passes("cleo_2001"), fitted),
    ]
    shown = list(found[name].variations.values())
    counts = [f"{part.sum()} of {whole.sum()} (" for part, whole in cells]
    assert all(shown[k].startswith(count) for k, count in zip((0, 1, 3, 5), counts, strict=True))
    assert all(text.endswith(" %)") for text in shown)


def test_bins_without_a_limit_get_the_weakest(study):
    """Limits of the made-up verdicts are 1e-5 throughout; three bins keep theirs and the others have none."""
    bins = [i for i, name in enumerate(IDS) if name.startswith("BR_Bp_Kp_inv_sB_")]
    limit = study.verdicts.limit.copy()
    limit[:, bins[3:]] = np.inf
    limit[:, bins[:3]] = [1e-6, 3e-6, 2e-6]
    changed = study._replace(verdicts=study.verdicts._replace(limit=limit))
    np.testing.assert_array_equal(changed.under_weakest_proxy, (study.verdicts.value[:, bins[3:]] <= 3e-6).all(axis=1))


def test_claims_without_a_fit(sm):
    found = {claim.id: claim for claim in model_claims(sm)}
    assert set(found) == {"7", "8", "Sec. 2.1", "Sec. 2.2"}
    assert found["8"].verdict == "reproduced"


@pytest.mark.slow
def test_the_largest_c9_keeps_every_limit(sm):
    """0.11 at most for light chi by the estimate at one q2 of the independent calculation, with g_mu_A tuned."""
    (found,) = survivors.largest_c9("one", [1e-3], sm, starts=8)
    model = survivors.one_fermion(**found.parameters, m_chi=1e-3)
    assert 0.04 < found.C9 < 0.11
    assert abs(float(jd.c9(survivors.Q2, model, sm).real)) == near(found.C9, rel=1e-9)
    limits = survivors.limits_of_survivors("complete")
    assert np.max(verdicts(model, sm, limits).ratio) <= 1
