"""`jaxdark fit` and `jaxdark profile` from start to end on the toy data with two parameters."""

import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import xarray as xr
from synthetic_result import synthetic_result
from toy_data import TOY_OF_THREE

import jaxdark.optimise.fit as module
from jaxdark.io import results
from jaxdark.io.results import save

CONSTANT = ("--model", "constant")
QUICK = (*CONSTANT, "--n-starts", 8, "--toys", 20)


def test_fit_writes_its_record_and_the_written_config_repeats_it(jaxdark, toy, tmp_path):
    """With a third row, so that a degree of freedom is left."""
    out = tmp_path / "one"
    toy.write_text(TOY_OF_THREE)
    code, shown, err = jaxdark("fit", *QUICK, "--data", toy, "--out", out, "--seed", 3)
    assert (code, err) == (0, "")
    assert {path.name for path in out.iterdir()} == {"fit.json", "config.toml"}
    record = json.loads((out / "fit.json").read_text())
    assert record["converged"] and record["seed"] == 3 and record["starts"]["run"] == 8
    assert record["pseudo_data"]["sets"] == 20
    for text in ("Toy_RK", "Hessian error", "converged: ", "p-value", "degrees of freedom", str(out)):
        assert text in shown.replace("\n", "")
    config = tomllib.loads((out / "config.toml").read_text())
    assert (config["model"], config["region"], config["n_starts"]) == ("constant", "all", 8)
    code, shown, _ = jaxdark("fit", "--config", out / "config.toml", "--out", tmp_path / "two", "--json")
    assert code == 0 and json.loads(shown) == record
    assert (tmp_path / "two" / "config.toml").read_text() == (out / "config.toml").read_text()


def test_fit_without_degrees_of_freedom_says_so(jaxdark, toy, tmp_path):
    """Two rows, two parameters: no p-value, whatever number of pseudo-data was asked for."""
    out = tmp_path / "one"
    code, shown, err = jaxdark("fit", *QUICK, "--optimizer", "lbfgs", "--data", toy, "--out", out, "--json")
    record = json.loads(shown)
    assert record["descents"]["optimizer"] == "lbfgs" and 'optimizer = "lbfgs"' in (out / "config.toml").read_text()
    assert (code, err) == (0, "") and record["dof"] is None and record["p_value"] is None
    reason = "there is no goodness of fit: 2 free parameters for 2 measured values"
    assert record["missing"] == {"dof": reason, "p_value": reason}


def test_fit_that_has_not_converged_fails_and_writes(jaxdark, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", 0.0)
    code, _, err = jaxdark("fit", *QUICK, "--data", toy, "--out", tmp_path / "one", "--quiet")
    assert code == 1
    assert err.startswith("jaxdark: not converged") and err.count("\n") == 1
    assert not json.loads((tmp_path / "one" / "fit.json").read_text())["converged"]


def test_profile_writes_dataset_and_figure(jaxdark, toy, tmp_path):
    out = tmp_path / "one"
    code, shown, err = jaxdark("profile", "C9=-2:1:16", *CONSTANT, "--data", toy, "--out", out)
    assert (code, err) == (0, "")
    assert {path.name for path in out.iterdir()} == {"profile.nc", "profile.png", "profile.pdf", "config.toml"}
    assert "100 % of the grid converged" in shown
    with xr.open_dataset(out / "profile.nc", engine="h5netcdf") as dataset:
        np.testing.assert_allclose(dataset["C9"], np.linspace(-2, 1, 16), rtol=0, atol=1e-15)
        assert dataset["delta_chi2"].dims == ("C9",) and float(dataset["delta_chi2"].min()) >= 0
        stored = dataset["chi2"].values
    code, shown, _ = jaxdark("profile", "--config", out / "config.toml", "--out", tmp_path / "two", "--json")
    assert code == 0 and json.loads(shown)["converged_fraction"] == 1.0
    with xr.open_dataset(tmp_path / "two" / "profile.nc", engine="h5netcdf") as dataset:
        assert np.array_equal(dataset["chi2"], stored)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fit", "--n-starts", 0), ["n_starts", "greater than 0"]),
        (("fit", "--theory", "full", *CONSTANT), ["theory='marginalised'", "'full'"]),
        (("fit", "--optimizer", "adm", *CONSTANT), ["'adm'", "nearest right name is adam"]),
        (("fit", "--region", "middle"), ["'middle'", "high or low"]),
        (("profile",), ["one or two parameters", "none"]),
        (("profile", "m_v=2:15:20"), ["'m_v'", "nearest right name is m_V"]),
        (("profile", "C9=-1:0:5", "C99=1:2:5", *CONSTANT), ["'C99'", "nearest right name is C9"]),
        (("profile", "m_V=1:15:20"), ["m_V within its prior, 2 to 15", "1 to 15"]),
        (("profile", "m_V=2:15"), ["LOWER:UPPER:COUNT", "m_V", "'2:15'"]),
        (("profile", "m_V=2:15:twenty"), ["LOWER:UPPER:COUNT", "m_V", "'2:15:twenty'"]),
        (("profile", "m_V=2:15:1"), ["at least 2 values on the axis of m_V", "got 1"]),
        (("profile", "m_V=2:15:9:lin"), ["LOWER:UPPER:COUNT", "m_V", "'2:15:9:lin'"]),
        (("profile", "m_V=nan:15:9"), ["axis of m_V from a smaller to a larger number", "nan to 15"]),
        (("profile", "m_V=5"), ["LOWER:UPPER:COUNT", "m_V", "'5.0'"]),
        (("profile", "m_V=2:15:9", "m_V=2:15:9"), ["m_V twice"]),
        (("profile", "g_D=0:4:9:log"), ["ends of one sign on the logarithmic axis of g_D", "0 to 4"]),
        (("profile", "m_V=2:15:9", "--posterior", "nowhere"), ["no result", "nowhere"]),
    ],
)
def test_wrong_requests_are_refused(refused, tmp_path, toy, arguments, expected):
    sentence = refused(*arguments, "--data", toy, "--out", tmp_path / "result")
    for part in expected:
        assert part in sentence
    assert not (tmp_path / "result").exists()


def test_axes_that_span_the_prior_are_within_it(tmp_path):
    """In a process of its own, where nobody asked for double precision before the command line does."""
    program = "import sys; from jaxdark.cli import main; sys.exit(main())"
    axes = ["m_V=2:15:200", "g_mu_V=1e-3:0.2:200:log"]
    command = [sys.executable, "-c", program, "profile", *axes, "--out", str(tmp_path)]
    environment = os.environ | {"JAXDARK_COMPILE_CACHE": "0"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert found.returncode == 2 and "which exists" in found.stderr  # the next thing that is looked at


def test_a_posterior_of_another_region_is_refused(refused, tmp_path):
    (tmp_path / "low").mkdir()
    save(synthetic_result("low"), tmp_path / "low" / "posterior.nc")
    sentence = refused("profile", "m_V=2:15:9", "--posterior", tmp_path / "low", "--out", tmp_path / "result")
    assert "region low" in sentence and "split, high" in sentence


@pytest.mark.parametrize(
    ("flags", "changed", "sentence"),
    [
        (["--data", "lhcb_core"], {}, "differ in data paper2020 (sha256 "),
        (["--g-minus-2", "upper"], {}, "differ in (g-2) read as limit and upper;"),
        ([], {"theory": "full"}, "differ in theory full and marginalised;"),
        (["--inputs", "inputs.yaml"], {}, "differ in inputs m_mu;"),
    ],
)
def test_a_posterior_of_something_else_is_refused(refused, tmp_path, monkeypatch, flags, changed, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inputs.yaml").write_text("m_mu: 0.106\n")
    tree = synthetic_result()
    attributes = results.attributes(tree)
    attributes["summary"] |= changed
    save(results.make_tree(results.datasets(tree), attributes), tmp_path / "posterior.nc")
    request = ["profile", "m_V=2:15:9", "--posterior", "posterior.nc", "--out", "result", *flags]
    assert sentence in refused(*request) and not (tmp_path / "result").exists()


ZPRIME = ("--model", "zprime", "--region", "high", "--n-starts", 4)


def test_a_fit_under_limits_says_what_holds_it_and_its_config_repeats_it(jaxdark, toy, tmp_path):
    out = tmp_path / "one"
    limits = ("--subject-to", "colliders, delta_a_mu")
    code, shown, err = jaxdark("fit", *ZPRIME, *limits, "--data", toy, "--out", out)
    record = json.loads((out / "fit.json").read_text())
    assert (code, err) == (0, "") if record["converged"] else (
        1, f"jaxdark: {record['status']}; the gain in {out} may be too small\n",
    )  # fmt: skip
    assert {path.name for path in out.iterdir()} == {"fit.json", "config.toml"}
    assert record["feasible"] and record["subject_to"] == ["colliders", "delta_a_mu"]
    assert set(record["limits"]) == {"drell_yan", "delta_a_mu"} and record["starts"]["run"] == 4
    assert all(entry["ratio"] <= 1 for entry in record["limits"].values())
    for text in ("Best fit under limits", "drell_yan", "per relative loosening", "above the Standard Model"):
        assert text in shown.replace("\n", "")
    config = tomllib.loads((out / "config.toml").read_text())
    assert (config["subject_to"], config["toys"], config["n_starts"]) == (["colliders", "delta_a_mu"], 0, 4)
    _, shown, _ = jaxdark("fit", "--config", out / "config.toml", "--out", tmp_path / "two", "--json")
    assert json.loads(shown) == record


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*CONSTANT, "--subject-to", "drel_yan"), ["'drel_yan'", "choose one of applied, all"]),
        ((*ZPRIME, "--subject-to", "drel_yan"), ["'drel_yan'", "nearest right name is drell_yan"]),
        ((*CONSTANT, "--subject-to", "drell_yan"), ["drell_yan is not defined for the model ConstantWilson"]),
        ((*CONSTANT, "--subject-to", "BR_Bs_mumu"), ["BR_Bs_mumu has a limit nowhere in the region all"]),
        ((*ZPRIME, "--subject-to", "applied", "--toys", 5), ["--toys is for a fit without limits"]),
        ((*ZPRIME, "--subject-to", "applied", "--optimizer", "adam"), ["--optimizer is for a fit without limits"]),
    ],
)
def test_limits_that_cannot_be_are_refused(refused, tmp_path, toy, arguments, expected):
    sentence = refused("fit", *arguments, "--data", toy, "--out", tmp_path / "result")
    for part in expected:
        assert part in sentence
    assert not (tmp_path / "result").exists()
