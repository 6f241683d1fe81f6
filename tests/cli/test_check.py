"""`jaxdark check`, `compare`, `evidence` and `project` as a user calls them, on a result made in a moment."""

import json

import numpy as np
import pytest
import xarray as xr
from near import near
from synthetic_result import ROWS, complete_result

from jaxdark.check.compare import marginal_distances
from jaxdark.io import results
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.output import overlay_figure


@pytest.fixture
def result(tmp_path):
    folder = tmp_path / "result"
    folder.mkdir()
    results.save(complete_result(), folder / "posterior.nc")
    return folder


def test_check_adds_to_the_result_and_shows_it(jaxdark, result):
    code, out, err = jaxdark("check", result)
    assert (code, err) == (0, "") and "Pareto k" in out and "m_V log-uniform" in out and "p-value of chi2" in out
    checks = json.loads((result / "summary.json").read_text())["checks"]
    assert {row["id"] for row in checks["measurements"]} == set(ROWS)
    tree = results.load(result / "posterior.nc")
    assert set(tree["leave_one_out"]["measurement"].values) == set(ROWS) and "m_V" in tree["posterior"]
    code, out, _ = jaxdark("check", result, "--json")
    assert code == 0 and json.loads(out) == checks  # checking twice changes nothing


def test_compare_draws_both_and_tells_equal_from_different(jaxdark, refused, result, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    tree = complete_result()
    shifted = results.datasets(tree)["posterior"]
    tree = results.with_group(tree, "posterior", shifted.assign(m_V=shifted["m_V"] + 3).assign_attrs(shifted.attrs))
    results.save(tree, other / "posterior.nc")
    code, out, err = jaxdark("compare", result, other, "--out", tmp_path / "figures", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "") and found["m_V"]["p_value"] < 1e-6 and found["g_D"] == {"distance": 0, "p_value": 1}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"overlay.png", "overlay.pdf"}
    assert "exists" in refused("compare", result, other, "--out", tmp_path / "figures")
    for again in (result, result / "posterior.nc"):
        assert "twice" in refused("compare", result, again, "--out", tmp_path / "more")
    low = tmp_path / "low"
    low.mkdir()
    results.save(complete_result(region="low"), low / "posterior.nc")
    assert "same region, got high and low" in refused("compare", result, low, "--out", tmp_path / "more")


def with_settings(folder, further=None, **changed):
    """A result in a folder whose attributes and summary are changed."""
    tree = complete_result()
    attributes = results.attributes(tree) | (further or {})
    attributes["summary"] |= changed
    folder.mkdir()
    results.save(results.make_tree(results.datasets(tree), attributes), folder / "posterior.nc")
    return folder


def test_compare_says_what_else_differs(jaxdark, result, tmp_path, monkeypatch):
    titles, draw = [], overlay_figure.overlay_figure
    monkeypatch.setattr(
        overlay_figure, "overlay_figure", lambda *a: (titles.append(draw(*a).get_suptitle()), draw(*a))[1]
    )
    inputs = results.attributes(complete_result())["inputs"] | {"m_mu": 0.2}
    other = with_settings(tmp_path / "other", {"data_sha256": "ab" * 32, "inputs": inputs}, data="mine", theory="full")
    code, out, err = jaxdark("compare", result, other, "--out", tmp_path / "figures", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "") and found["g_D"] == {"distance": 0, "p_value": 1}
    theory, data, of_inputs = found["differences"]
    assert theory == "theory marginalised and full" and of_inputs == "inputs m_mu"
    assert data.startswith("data paper2020 (sha256 ") and data.endswith(" and mine (sha256 abababababab)")
    code, out, _ = jaxdark("compare", result, other, "--out", tmp_path / "more")
    assert code == 0 and "not the same posterior: theory marginalised and full; data paper2020" in " ".join(out.split())
    assert "not the same posterior: theory marginalised and full" in " ".join(titles[-1].split())
    same = with_settings(tmp_path / "same")
    code, out, _ = jaxdark("compare", result, same, "--out", tmp_path / "third", "--json")
    assert code == 0 and "differences" not in json.loads(out)


@pytest.mark.parametrize("name", ["inputs", "data_sha256"])
def test_an_older_result_that_does_not_say_what_it_is_of_is_refused(refused, result, tmp_path, name):
    tree = complete_result()
    groups, attributes = results.datasets(tree), results.attributes(tree)
    groups["posterior"] = groups["posterior"].drop_attrs()
    del attributes[name]
    results.save(results.make_tree(groups, attributes), tmp_path / "posterior.nc")
    profile = ["profile", "m_V=2:15:9", "--posterior", tmp_path, "--out", tmp_path / "new"]
    for request in (["compare", result, tmp_path, "--out", tmp_path / "new"], profile):
        assert f"it has no attribute {name}" in refused(*request) and not (tmp_path / "new").exists()


def test_compare_without_a_figure_has_its_numbers(jaxdark, result, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(overlay_figure, "overlay_figure", broken)
    code, out, err = jaxdark("compare", result, with_settings(tmp_path / "same"), "--out", tmp_path / "figures")
    assert code == 0 and "g_D" in out and "figure in" not in out and not (tmp_path / "figures").exists()
    assert err == "jaxdark: could not draw overlay (ZeroDivisionError: a bug); the numbers are printed here\n"


def test_distances_of_the_same_distribution_are_those_of_noise():
    one, values = complete_result(), []
    names, generator = prior_of("high").names, np.random.default_rng(3)
    for _ in range(60):
        sets = []
        for _ in range(2):
            draws = {name: (("chain", "draw"), generator.random((4, 175))) for name in names}  # 700 draws, the ESS
            posterior = xr.Dataset(draws).assign_attrs(results.datasets(one)["posterior"].attrs)
            sets.append(results.make_tree({"posterior": posterior}, results.attributes(one)))
        values += [row["p_value"] for row in marginal_distances(*sets).values()]
    assert 0.02 < np.mean(np.array(values) < 0.1) < 0.2


def test_project_writes_a_data_file(jaxdark, refused, result, tmp_path):
    out = tmp_path / "future.yaml"
    assert "one of sm, best" in refused("project", result, "--out", out, "--inject", "SM")
    code, shown, err = jaxdark("project", result, "--out", out, "--json")
    found = json.loads(shown)
    assert (code, err) == (0, "") and 0 <= found["excluded"] <= 1 and found["sm_chi2"] == near(0, abs=1e-9)
    assert 0 < found["scaled_rows"] < found["rows"] == 120
    assert len(found["not_scaled"]) == found["rows"] - found["scaled_rows"]
    assert {reason for reason in found["not_scaled"].values() if "CMS" in reason}
    assert jaxdark("data", "check", out)[0] == 0
    assert "exists" in refused("project", result, "--out", out)


def test_project_asks_for_data_that_do_not_ship(jaxdark, refused, toy, tmp_path):
    tree, dataset = complete_result(), load_dataset(toy)
    attributes = results.attributes(tree) | {"data_sha256": dataset.sha256}
    attributes["summary"] |= {"data": dataset.name}
    results.save(results.make_tree(results.datasets(tree), attributes), tmp_path / "posterior.nc")
    request = ["project", tmp_path / "posterior.nc", "--out", tmp_path / "future.yaml"]
    assert "toy, are none that ship; name their file with --data" in refused(*request)
    assert "got others in lhcb_core" in refused(*request, "--data", "lhcb_core")
    code, shown, err = jaxdark(*request, "--data", toy, "--json")
    assert (code, err) == (0, "") and json.loads(shown)["rows"] == 2


def test_evidence_refuses_what_it_does_not_know(refused, toy):
    assert "region" in refused("evidence", "--region", "hgih", "--data", toy)
