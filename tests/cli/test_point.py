"""`jaxdark point` against the library's own functions, on two rows."""

import json

import numpy as np
import pytest
from near import near
from toy_data import POINT

import jaxdark as jd
from jaxdark.models.split import g_tilde
from jaxdark.models.wilson import SM_ONLY
from jaxdark.output import tables

OBSERVABLE_FIELDS = {
    "id",
    "name",
    "process",
    "q2",
    "prediction",
    "theory_error",
    "measurement",
    "error",
    "pull",
    "reference",
}


def reject(constant):
    raise AssertionError(f"{constant} in JSON")


@pytest.fixture
def record(jaxdark, toy):
    def call(*arguments):
        code, out, err = jaxdark("point", *POINT, "--data", toy, "--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out, parse_constant=reject)

    return call


def test_the_record_holds_what_the_library_computes(record, toy):
    result = record("--q2", "1,19")
    model = jd.DarkSector(m_V=5.5, g_mu_V=0.03, r_AV=-0.4, g_D=1.0, r=-3.0)
    like = jd.Likelihood(jd.load_dataset(toy))
    assert (result["model"], result["physics"]) == ("split", "complete")
    assert result["parameters"] == {
        "m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -3.0,
        "m_chi": [0.001], "m_Phi": 1000.0, "Q_Phi": 1.0, "loop": "exact", "tree": True, "dipole": True,
        "bs_current": "conserved", "width": "running", "photon_penguin": True, "mixing_transverse": True,
    }  # fmt: skip
    derived = result["derived"]
    assert complex(*derived["g_tilde_mV2"]) == near(complex(jd.g_Vbs(5.5**2, model)) / 5.5**2, rel=1e-14)
    assert derived["width_V"] == near(float(jd.width_total(model, like.sm)), rel=1e-14)
    assert derived["br_V_chichi"] + derived["br_V_mumu"] == near(1.0, rel=1e-14)
    assert list(derived["C9"]) == list(derived["C10"]) == ["1", "19"]
    assert complex(*derived["C9"]["19"]) == near(complex(jd.c9(19.0, model, like.sm)), rel=1e-14)
    assert complex(*derived["C10"]["1"]) == near(complex(jd.c10(1.0, model, like.sm)), rel=1e-14)
    assert complex(*derived["C_P_mBs2"]) == near(complex(jd.c_p(like.sm.m_Bs**2, model, like.sm)), rel=1e-14)
    epsilon = np.sqrt(4 * np.pi / 137.036) / (48 * np.pi**2)  # Eq. (28) with 1/4 of a fermion for Phi in place of 1/8
    assert derived["epsilon"] == near(epsilon, rel=1e-6)

    predictions = np.asarray(like.predictions(model))
    rows = result["observables"]
    assert [row["id"] for row in rows] == ["Toy_RK", "Toy_Bsmumu"]
    assert all(row.keys() >= OBSERVABLE_FIELDS for row in rows)
    assert rows[0]["q2"] == [1.1, 6.0] and rows[1]["q2"] is None
    assert [row["prediction"] for row in rows] == near(predictions.tolist(), rel=1e-9)
    assert [row["theory_error"] for row in rows] == near(like.at(model).theory_error.tolist(), rel=1e-9)
    for row, pull in zip(rows, like.at(SM_ONLY).evaluate(SM_ONLY).pulls, strict=True):
        assert row["sm_pull"] == near(pull, rel=1e-9)
    assert [row["measurement"] for row in rows] == [0.85, 3.0e-9]
    assert [row["error"] for row in rows] == near([0.055, np.hypot(0.5, 0.2) * 1e-9], rel=1e-12)
    assert rows[1]["pull"] == near(
        (predictions[1] - 3.0e-9) / np.hypot(rows[1]["error"], rows[1]["theory_error"]), rel=1e-9
    )
    assert rows[1]["quality"] == "unverified"

    for name, of in (("log_likelihood", model), ("sm_log_likelihood", SM_ONLY)):
        assert result[name] == near(like.evaluate(of).log_likelihood, rel=1e-9)
        # two rows with small theory errors: linear predictions are enough, with the covariance of the model itself
        assert result[name] == near(float(like.at(of)(of)), rel=2e-2)
    assert "itself" in result["compared_at"]
    assert sum(result["terms"].values()) == near(result["log_likelihood"], rel=1e-12)
    assert result["chi2"]["total"] == near(-2 * result["log_likelihood"], rel=1e-12)
    assert result["chi2"]["rows"] == sum(row["rows"] for row in result["by_experiment"].values()) == 2
    of_either = {"chi2": result["terms"]["flavour"], "sm_chi2": result["sm_terms"]["flavour"]}
    for name, flavour in of_either.items():
        assert sum(row[name] for row in result["by_experiment"].values()) == near(-2 * flavour, rel=1e-12)


def test_constraints_compare_values_with_limits(record):
    found = {row["id"]: row for row in record()["constraints"]}
    muon = found["delta_a_mu"]
    assert (muon["limit"], muon["cl"], muon["excluded"], muon["quality"]) == (4e-9, 0.9545, False, "published")
    assert muon["ratio"] == near(muon["value"] / 4e-9, rel=1e-12)
    bare = found["BR_Bs_mumu"]
    assert (bare["limit"], bare["cl"], bare["ratio"], bare["excluded"]) == (None, None, None, False)
    assert found["BR_Bp_Kp_nunu_SM"]["value"] == near(float(jd.br_k_nunu(jd.load_inputs())), rel=1e-12)
    assert found["perturbativity_g_D"]["ratio"] == near(1 / np.sqrt(4 * np.pi), rel=1e-12)
    assert found["perturbativity_y_s_y_b"]["ratio"] == near(3 / (4 * np.pi), rel=1e-12)
    # Later parameters of the same name would be refused, so the excluded point is another call.


def test_a_large_negative_g_minus_2_is_excluded_unless_the_limit_is_an_upper_one(jaxdark, toy):
    axial = ["m_V=5.5", "g_mu_V=0.1", "r_AV=-1", "g_D=1", "r=-3", "--data", toy, "--json"]
    verdicts, terms = {}, {}
    for reading in ("limit", "upper"):
        result = json.loads(jaxdark("point", *axial, "--g-minus-2", reading)[1])
        muon = next(row for row in result["constraints"] if row["id"] == "delta_a_mu")
        assert muon["value"] < -4e-9
        verdicts[reading], terms[reading] = muon["excluded"], result["terms"]["g_minus_2"]
    assert verdicts == {"limit": True, "upper": False}
    assert terms["upper"] == 0.0 and terms["limit"] < -2.0


def test_without_a_gauge_coupling_every_number_is_finite(jaxdark, toy):
    no_gauge_coupling = ["m_V=5.5", "g_mu_V=0.03", "r_AV=-0.4", "g_D=0", "r=-3", "--data", toy, "--json"]
    result = json.loads(jaxdark("point", *no_gauge_coupling)[1], parse_constant=reject)
    found = {row["id"]: row for row in result["constraints"]}
    assert found["perturbativity_y_s_y_b"]["excluded"] and found["bs_mixing_R_BB"]["excluded"]
    assert not found["perturbativity_y_s_y_b"]["applied"]
    assert "missing" not in result


def test_a_missing_value_is_null_with_its_reason():
    text = tables.to_json({"derived": {"x": float("nan"), "y": 1.0}, "limit": None})
    expected = {"derived": {"x": None, "y": 1.0}, "limit": None, "missing": {"derived.x": "not a finite number"}}
    assert json.loads(text, parse_constant=reject) == expected


def test_inputs_data_and_config_change_the_numbers(record, tmp_path):
    (tmp_path / "inputs.yaml").write_text("lambda_t: -0.04\n")
    (tmp_path / "run.toml").write_text("q2 = [2.0]\ng_minus_2 = 'upper'\n[inputs]\nlambda_t = -0.04\n")
    default, from_file = record(), record("--inputs", tmp_path / "inputs.yaml")
    of_default, of_file = (complex(*found["derived"]["C9"]["3.5"]) for found in (default, from_file))
    assert of_file == near(of_default * -0.0411997 / -0.04, rel=1e-12)
    from_config = record("--config", tmp_path / "run.toml")
    model, sm = jd.DarkSector(m_V=5.5, g_mu_V=0.03, r_AV=-0.4, g_D=1.0, r=-3.0), jd.load_inputs({"lambda_t": -0.04})
    assert complex(*from_config["derived"]["C9"]["2"]) == near(complex(jd.c9(2.0, model, sm)), rel=1e-12)
    assert list(from_config["derived"]["C9"]) == ["2"]
    over_config = record("--config", tmp_path / "run.toml", "--q2", "3")
    assert list(over_config["derived"]["C9"]) == ["3"]


def test_two_dark_fermions_and_the_constant_model(jaxdark, toy):
    two = ["m_V=5.5", "g_mu_V=0.03", "r_AV=-0.4", "g_D=1", "r=-3,2.9", "m_chi=0.001,10", "--data", toy, "--json"]
    result = json.loads(jaxdark("point", *two)[1])
    assert result["parameters"]["r"] == [-3.0, 2.9] and result["parameters"]["m_chi"] == [0.001, 10.0]
    model = jd.DarkSector(m_V=5.5, g_mu_V=0.03, r_AV=-0.4, g_D=1.0, r=(-3.0, 2.9), m_chi=(0.001, 10.0))
    assert complex(*result["derived"]["g_tilde_mV2"]) == near(complex(model.vertex(5.5**2)), rel=1e-12)
    printed = json.loads(jaxdark("point", *two, "--physics", "paper")[1])
    assert (result["physics"], printed["physics"]) == ("complete", "paper")
    assert printed["derived"]["g_tilde"] == near(float(g_tilde(model)), rel=1e-12)

    code, out, _ = jaxdark("point", "--model", "constant", "C9=-1", "C10=0.3", "--data", toy, "--json")
    result = json.loads(out)
    assert code == 0 and result["parameters"] == {"C9": -1.0, "C10": 0.3}
    assert result["derived"]["C9"]["3.5"] == [-1.0, 0.0] and "width_V" not in result["derived"]
    assert [row["id"] for row in result["constraints"]] == ["BR_Bs_mumu", "BR_Bp_Kp_nunu_SM", "BR_B0_Kst0_nunu_SM"]


def test_a_point_without_new_physics_says_so_in_place_of_zeros(jaxdark, toy):
    code, out, _ = jaxdark("point", "--model", "constant", "C9=0", "C10=0", "--data", toy)
    text = " ".join(out.split())
    assert code == 0 and text.startswith("Model constant with C9 = 0, C10 = 0: no new physics, everything below is")
    assert "C9(q2" not in out and "Toy_RK" in out
    code, out, _ = jaxdark("point", "--model", "constant", "C9=0", "C10=0.5", "--data", toy)
    assert code == 0 and "C10(q2 = 3.5 GeV^2)" in out and "no new physics" not in out


def test_the_tables_show_the_same_numbers(jaxdark, record, toy):
    result = record()
    code, out, err = jaxdark("point", *POINT, "--data", toy)
    assert (code, err) == (0, "")
    for shown in (
        "Toy_RK",
        f"{result['observables'][0]['pull']:+.2f}",
        f"{result['log_likelihood']:.6g}",
        "delta_a_mu",
        "both with theory errors of each model itself, nuisances at their best values",
    ):
        assert shown in " ".join(out.split())
    code, quiet, _ = jaxdark("point", *POINT, "--data", toy, "--quiet")
    assert code == 0 and "log-likelihood" in quiet and "Toy_RK" not in quiet
