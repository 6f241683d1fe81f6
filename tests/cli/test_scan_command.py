"""`jaxdark scan` from arguments to a store."""

import json
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

from jaxdark.scans import scan as scan_module
from jaxdark.scans.store import open_scan

GRID = ["m_V=2:15:5", "g_mu_V=1e-3:0.2:4:log", "r_AV=-0.4", "g_D=1", "r=-3"]
OUTPUTS = ["--outputs", "log_likelihood,Toy_RK"]
AT_SM = ["--reference", "sm"]


def test_a_grid_and_the_written_config(jaxdark, toy, tmp_path):
    out = tmp_path / "deep" / "scan"
    code, shown, err = jaxdark("scan", *GRID, *OUTPUTS, "--data", toy, "--out", out)
    assert (code, err) == (0, "")
    assert {item.name for item in out.iterdir()} == {"scan.zarr", "config.toml"}
    result = open_scan(out / "scan.zarr")
    assert dict(result["log_likelihood"].sizes) == {"m_V": 5, "g_mu_V": 4}
    assert np.isfinite(result["log_likelihood"]).all()
    best = float(result["log_likelihood"].max())
    assert "theory covariance of all points at the Standard Model" in shown
    assert "20 points (m_V 5 x g_mu_V 4)" in shown and f"highest log-likelihood {best:.2f}" in shown
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["parameters"]["m_V"] == "2:15:5" and config["outputs"] == ["log_likelihood", "Toy_RK"]
    again = tmp_path / "again"
    assert jaxdark("scan", "--config", out / "config.toml", "--out", again, "--quiet") == (0, "", "")
    assert open_scan(again / "scan.zarr").identical(result)


def test_points_of_the_prior_as_json(jaxdark, toy, tmp_path):
    request = ["scan", "r_AV=-0.3", "--sobol", 50, "--region", "low", *OUTPUTS, *AT_SM, "--data", toy]
    request += ["--out", tmp_path / "s"]
    code, shown, err = jaxdark(*request, "--json")
    record = json.loads(shown)
    assert (code, err) == (0, "")
    assert (record["points"], record["axes"], record["covariance_at"]) == (50, {"point": 50}, "standard_model")
    assert record["outputs"] == {"log_likelihood": True, "constraints": [], "measurements": ["Toy_RK"]}
    assert 0.6 < record["best"]["parameters"]["m_V"] < 2.0 and record["best"]["parameters"]["r_AV"] == -0.3
    assert json.loads(jaxdark(*request, "--json")[1])["best"] == record["best"]


def test_a_profile_says_how_many_points_have_converged(jaxdark, toy, tmp_path, monkeypatch):
    near = np.array([-0.9, 0.0])
    monkeypatch.setattr(
        scan_module, "fit_with_covariance", lambda *_, **__: SimpleNamespace(reference=near, vector=near)
    )
    request = ["scan", "C9=-2:0.5:20", "--model", "constant", "--profile", "--outputs", "log_likelihood", "--data", toy]
    code, shown, err = jaxdark(*request, "--out", tmp_path / "s", "--json")
    record = json.loads(shown)
    assert (code, err, record["converged_fraction"], record["axes"]) == (0, "", 1.0, {"C9": 20})
    assert record["covariance_at"] == {"C9": -0.9, "C10": 0.0}
    assert set(record["best"]["parameters"]) == {"C9", "C10"}
    config = tomllib.loads((tmp_path / "s" / "config.toml").read_text())
    assert (config["profile"], config["chunk"]) == (True, 1024)
    monkeypatch.setattr(scan_module, "converged_fraction", lambda result: 0.5)
    code, _, err = jaxdark("scan", "--config", tmp_path / "s" / "config.toml", "--out", tmp_path / "s", "--quiet")
    assert code == 1 and err.startswith("jaxdark: only 50 % of the grid points converged; ")


def test_ctrl_c_says_how_to_go_on(jaxdark, toy, tmp_path, monkeypatch):
    def stopped(self, scheduler):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scan_module.Scan, "run", stopped)
        code, out, err = jaxdark("scan", "--random", 50, *OUTPUTS, *AT_SM, "--data", toy, "--out", tmp_path / "s")
    assert (code, out) == (130, "")
    assert err == f"jaxdark: stopped; what is done is in {tmp_path / 's'}, give the same command again to go on\n"
    assert jaxdark("scan", "--random", 50, *OUTPUTS, *AT_SM, "--data", toy, "--out", tmp_path / "s", "--quiet")[0] == 0
    assert np.isfinite(open_scan(tmp_path / "s" / "scan.zarr")["log_likelihood"]).all()


def test_a_failing_disk_is_a_failed_job(jaxdark, toy, tmp_path, monkeypatch):
    def full(self, scheduler):
        raise OSError(28, "No space left on device while writing")

    monkeypatch.setattr(scan_module.Scan, "run", full)
    code, out, err = jaxdark("scan", "--random", 50, *OUTPUTS, *AT_SM, "--data", toy, "--out", tmp_path / "s")
    assert (code, out) == (1, "") and "No space left on device" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "also needs m_V, g_mu_V, r_AV, g_D, r"),
        (["--random", "0"], "expected at least 1 points"),
        (["--random", "ten"], "Invalid value for '--random'"),
        ([*GRID, "--outputs", "log_likelihod"], "the nearest right name is log_likelihood"),
        (["--random", "5", "--region", "hihg"], "nearest: high"),
        (["--random", "5", "--profile"], "expected a profile on a grid"),
        (["--profile"], "expected an axis such as m_V=2:15:200 for --profile"),
        ([*GRID, "--profile"], "expected a parameter left to profile"),
        (["--random", "5", "--scheduler", "tcp://127.0.0.1:1"], "expected the address of a Dask scheduler"),
    ],
)
def test_a_wrong_request(refused, toy, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.setattr("jaxdark.compute.cluster._TIMEOUT", 1)
    assert sentence in refused("scan", *arguments, "--data", toy, "--out", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_folder_of_another_result(jaxdark, refused, toy, tmp_path):
    (tmp_path / "config.toml").write_text("seed = 1")
    request = ["scan", *OUTPUTS, *AT_SM, "--data", toy, "--out", tmp_path, "--random", 20]
    assert "holds another result" in refused(*request)
    assert (tmp_path / "config.toml").read_text() == "seed = 1" and not (tmp_path / "scan.zarr").exists()
    assert jaxdark(*request, "--quiet", "--force")[0] == 0


def test_another_scan_in_the_folder(jaxdark, refused, toy, tmp_path):
    request = ["scan", *OUTPUTS, *AT_SM, "--data", toy, "--out", tmp_path / "s"]
    assert jaxdark(*request, "--random", 20, "--quiet")[0] == 0
    before = (tmp_path / "s" / "config.toml").read_text()
    assert "one of other points, seed" in refused(*request, "--random", 30, "--seed", 1)
    assert (tmp_path / "s" / "config.toml").read_text() == before
    assert jaxdark(*request, "--random", 30, "--seed", 1, "--quiet", "--force")[0] == 0
    assert open_scan(tmp_path / "s" / "scan.zarr").sizes["point"] == 30
