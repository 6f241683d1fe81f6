"""Future data sets: scaled errors by hand, a file that the reader accepts, and what is excluded where it is plain."""

import math

import numpy as np
import pytest
from near import near
from scipy.stats import chi2, kstest

import jaxdark as jd
from jaxdark.analysis import projection
from jaxdark.inputs import read_data
from jaxdark.likelihood.priors import prior_of


@pytest.fixture(scope="module")
def like():
    return jd.Likelihood(jd.load_dataset("lhcb_core"))


def test_errors_scale_as_documented():
    data = jd.load_dataset("paper2020")
    errors = dict(zip(data.ids, projection.future_errors(data), strict=True))
    # R_K: stat +0.060 -0.054, syst +0.016 -0.014, 5 fb^-1 (arXiv:1903.09252)
    found = errors["LHCb_RK_2019"]
    assert found.stat == near(0.057 * math.sqrt(5 / 50)) and found.syst == near(0.5 * 0.015)
    other = next(row for row in data.rows if row.experiment == "CMS")
    assert errors[other.id][:3] == (0.5 * (other.error_plus + other.error_minus), 0.0, None)
    assert errors[other.id].reason == "CMS has no future luminosity in the scenario"
    belle = next(row for row in data.rows if row.experiment == "Belle")
    assert errors[belle.id].luminosity == 711 and errors[belle.id].stat < 0.5 * (belle.error_plus + belle.error_minus)


OWN = """\
schema: jaxdark-measurements-1
entries:
- id: {id}
  experiment: LHCb
  year: 2019
  {reference}
  source: changed by hand
  quality: recast
  {luminosity}
  rows:
  - {{process: B+->K+ll, observable: R_K, q2: [1.1, 6.0], value: 0.846, stat: [0.25, -0.15], syst: 0.08, norm: 0.06}}
  - {{process: Bs->mumu, observable: BR, value: 3.0e-9, total: 4.0e-10, luminosity: 12.5}}
"""


@pytest.mark.parametrize("id", ["LHCb_RK_2019", "mine"])
@pytest.mark.parametrize(
    ("reference", "luminosity", "present"),
    [
        ('arxiv: "1903.09252"', "", 5.0),
        ("reference: private", "luminosity: 8.0", 8.0),
        ('arxiv: "1903.09252"', "luminosity: 2", 2.0),
    ],
)
def test_errors_of_ones_own_data_are_those_of_the_file(id, reference, luminosity, present, tmp_path):
    """Whatever the id: stat 0.20 and syst 0.10, not those of the shipped measurement; a row's luminosity goes first."""
    (tmp_path / "own.yaml").write_text(OWN.format(id=id, reference=reference, luminosity=luminosity))
    ratio, rate = projection.future_errors(jd.load_dataset(tmp_path / "own.yaml"))
    assert ratio == (near(0.20 * math.sqrt(present / 50), rel=1e-12), near(0.5 * 0.10, rel=1e-12), present, "")
    assert rate == (near(4e-10 * math.sqrt(12.5 / 50), rel=1e-12), 0.0, 12.5, "")


def test_rows_that_cannot_be_scaled_say_why(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.format(id="mine", reference="reference: private", luminosity=""))
    found = projection.future_errors(jd.load_dataset(path))[0]
    assert found[:3] == (near((math.hypot(0.25, 0.08, 0.06) + math.hypot(0.15, 0.08, 0.06)) / 2, rel=1e-12), 0.0, None)
    assert "the luminosity behind private is not known; write luminosity:" in found.reason
    path.write_text(OWN.format(id="mine", reference="reference: private", luminosity="luminosity: 300"))
    found = projection.future_errors(jd.load_dataset(path))[0]
    assert found.luminosity is None and "300 fb^-1 already" in found.reason
    for wrong in ("-3", "0", "many", ".inf"):
        path.write_text(OWN.format(id="mine", reference="reference: private", luminosity=f"luminosity: {wrong}"))
        with pytest.raises(jd.RequestError, match="luminosity"):
            jd.load_dataset(path)


def test_the_hash_of_the_numbers_is_unchanged():
    """Parts of errors and luminosities say nothing new to a likelihood."""
    data = jd.load_dataset("paper2020")
    assert all(row.parts for row in data.rows)
    for row in data.rows:
        means = [0.5 * sum(part) for part in row.parts.values()]
        assert math.hypot(*means) == near((row.error_plus + row.error_minus) / 2, rel=0.2)


def test_every_luminosity_states_its_quality_and_source():
    for row in read_data("projections.yaml")["luminosities"].values():
        assert row["luminosity"] > 0 and row["quality"] in ("published", "unverified") and row["source"]
        assert (row["quality"] == "unverified") == row["source"].startswith("from memory, unverified")


def test_an_unknown_scenario_is_refused():
    with pytest.raises(jd.RequestError, match="lhcb50_belle50"):
        projection.future_errors(jd.load_dataset("lhcb_core"), "lhcb300")


def test_pseudo_data_are_read_back_and_sit_on_the_truth(like, tmp_path):
    truth, path = jd.ConstantWilson(C9=-0.8, C10=0.2), tmp_path / "future.yaml"
    path.write_text(projection.file_text(projection.pseudo_data(like, truth)))
    data = jd.load_dataset(path)
    np.testing.assert_allclose(data.values, like.evaluate(truth).predictions, rtol=1e-12)
    np.testing.assert_allclose(data.correlation, like.data.correlation, atol=1e-9)
    assert np.all(data.sigma < like.data.sigma)
    future = jd.Likelihood(data, reference=truth)
    assert future.evaluate(truth).terms["flavour"] == near(0, abs=1e-9)
    prior = prior_of(model="constant")
    points = np.array([[-0.8, 0.2], [-0.79, 0.2], [3.0, 3.0]])
    assert projection.excluded(future, prior, points, truth).tolist() == [False, False, True]


def test_fluctuations_have_the_future_errors(like):
    truth = jd.NewPhysics()
    centre, errors = like.evaluate(truth).predictions, projection.future_errors(like.data)
    sigma = np.array([math.hypot(e.stat, e.syst) for e in errors])
    contents = [projection.pseudo_data(like, truth, seed=seed) for seed in range(6)]
    values = np.array([[row["value"] for entry in c["entries"] for row in entry["rows"]] for c in contents])
    whitened = np.linalg.solve(np.linalg.cholesky(like.data.correlation), ((values - centre) / sigma).T)
    assert 0.001 < chi2.sf((whitened**2).sum(), whitened.size) < 0.999
    assert kstest(whitened.ravel(), "norm").pvalue > 1e-3
