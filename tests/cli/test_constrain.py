"""`jaxdark constrain` on made-up draws: verdicts are those of the constraints, and nothing of the result is lost."""

import json

import numpy as np
import pytest
import xarray as xr
from near import near
from synthetic_result import synthetic_result
from toy_data import TOY

import jaxdark as jd
from jaxdark import __version__
from jaxdark.analysis import constrain
from jaxdark.constraints.registry import all_constraints
from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.muon_g2 import delta_a_mu


@pytest.fixture(scope="module")
def constrained(tmp_path_factory):
    """A result with 2 x 25 draws, its folder, and the same with verdicts."""
    folder, tree = tmp_path_factory.mktemp("result"), synthetic_result(chains=2, draws=25)
    results.save(tree, folder / "posterior.nc")
    return folder, tree, constrain.constrain(tree)


def test_every_constraint_has_a_verdict_on_every_draw(constrained):
    _, tree, after = constrained
    group = after["constraints"]
    ids = [entry.id for entry in all_constraints(jd.DarkSector)]
    assert list(np.asarray(group["constraint"])) == ids and len(set(ids)) == len(ids) > 20
    for name in ("value", "ratio"):
        assert group[name].dims == ("constraint", "chain", "draw")
        assert np.isfinite(np.asarray(group[name])).all()
    assert (np.asarray(group["ratio"]) >= 0).all()
    np.testing.assert_array_equal(after["posterior"]["m_V"], tree["posterior"]["m_V"])
    assert results.attributes(after)["inputs"] == results.attributes(tree)["inputs"]


def test_verdicts_are_those_of_the_functions(constrained):
    _, tree, after = constrained
    group, sm = after["constraints"], jd.load_inputs()
    draw = {name: float(tree["posterior"][name][1, 7]) for name in ("m_V", "g_mu_V", "r_AV", "g_D", "r")}
    model = jd.DarkSector(**draw)
    expected = {
        "delta_a_mu": (float(delta_a_mu(model, sm)), 4e-9),
        "BR_Bs_mumu": (float(jd.br_bs_mumu(model, sm)), np.inf),
        "perturbativity_g_D": (draw["g_D"], np.sqrt(4 * np.pi)),
        "perturbativity_y_s_y_b": (draw["r"] / draw["g_D"], 4 * np.pi),
    }
    for name, (value, limit) in expected.items():
        found = group.sel(constraint=name).isel(chain=1, draw=7)
        assert float(found["value"]) == near(value, rel=1e-9)
        assert float(found["limit"]) == near(limit)
        assert float(found["ratio"]) == near(abs(value) / limit, rel=1e-9)


def test_cuts_are_counted():
    """Three constraints, the last of which decides nothing, on six draws."""
    names = ("a", "b", "c")
    wanted = [all_constraints()[0]._replace(id=name, applied=name != "c") for name in names]
    excluded = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]], bool)
    found = constrain.cuts(excluded, wanted)
    assert found["n_allowed"] == 2
    assert [found["constraints"][name]["cut_alone"] for name in names] == [3, 2, 2]
    assert [found["constraints"][name]["cut_given_others"] for name in names] == [2, 1, 1]


def test_the_command_adds_to_the_result_and_may_be_repeated(jaxdark, constrained):
    folder, _, after = constrained
    for _ in range(2):
        code, shown, err = jaxdark("constrain", folder)
        assert (code, err) == (0, "")
        assert "draws allowed" in shown and "cleo_2001" in shown
        stored = results.load(folder / "posterior.nc")
        np.testing.assert_allclose(stored["constraints"]["ratio"], after["constraints"]["ratio"], rtol=1e-12)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_allowed"] == results.summary(after)["n_allowed"]
    ratio = np.asarray(after["constraints"].sel(constraint="cleo_2001")["ratio"])
    assert summary["constraints"]["cleo_2001"]["cut_alone"] == int((ratio > 1).sum())
    assert sorted(path.name for path in folder.iterdir()) == ["posterior.nc", "summary.json"]
    code, shown, _ = jaxdark("constrain", folder, "--json")
    assert code == 0 and json.loads(shown)["n_allowed"] == summary["n_allowed"]


def of_another_version(attributes):
    attributes["summary"]["versions"]["jaxdark"] = "0.0.1"


def of_other_data(attributes):
    attributes["data_sha256"] = "0" * 64


def of_another_prior(attributes):
    attributes["prior"]["g_D"]["upper"] = 12.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (of_another_version, "got one of 0.0.1"),
        (of_other_data, "earlier state of it (000000000000)"),
        (of_another_prior, "got one with other ranges"),
    ],
)
def test_a_result_of_something_else_is_refused(refused, tmp_path, change, sentence):
    tree = synthetic_result(chains=2, draws=5)
    attributes = results.attributes(tree)
    change(attributes)
    results.save(results.with_group(tree, "note", xr.Dataset(), **attributes), tmp_path / "posterior.nc")
    before = (tmp_path / "posterior.nc").read_bytes()
    assert sentence in refused("constrain", tmp_path)
    assert (tmp_path / "posterior.nc").read_bytes() == before


def test_an_own_file_is_not_taken_for_the_data_set_of_its_name(tmp_path):
    (tmp_path / "lhcb_core.yaml").write_text(TOY)
    data, prior = load_dataset(tmp_path / "lhcb_core.yaml"), prior_of("high")
    summary = {"versions": {"jaxdark": __version__}, "data": data.name, "model": "split", "region": "high"}
    ranges = {name: r._asdict() for name, r in prior.ranges.items()}
    constrain._check_origin({"summary": summary, "data_sha256": data.sha256, "prior": ranges})
    with pytest.raises(RequestError, match=r"an earlier state of it .*, or from a file of your own of that name"):
        named = summary | {"data": "lhcb_core"}  # as results of 0.1 have it
        constrain._check_origin({"summary": named, "data_sha256": data.sha256, "prior": ranges})


def test_no_result_is_refused(refused, tmp_path):
    assert "no result at" in refused("constrain", tmp_path / "nothing")
    xr.Dataset({"m_V": ("draw", [1.0])}).to_netcdf(tmp_path / "posterior.nc", group="prior", engine="h5netcdf")
    assert "is not a result of" in refused("constrain", tmp_path)
