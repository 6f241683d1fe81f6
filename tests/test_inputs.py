"""Inputs: shipped values, overrides, refusals."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from near import near

from jaxdark.errors import RequestError
from jaxdark.inputs import (
    StandardModel,
    form_factor_covariance,
    form_factor_set,
    lambda_t_error,
    load_inputs,
    read_data,
    read_overrides,
)
from jaxdark.semileptonic.form_factors import pseudoscalar_form_factors

DATA = read_data("inputs.yaml")["inputs"]


def test_shipped_values():
    """Against numbers copied by hand from the formulas' Section 1.2."""
    sm = load_inputs()
    expected = {
        "GF": 1.1663788e-5, "alpha_em": 0.007569084896, "mu_b": 4.8, "lambda_t": -0.0411997, "eps_u": -0.008429,
        "mb": 4.094054, "ms": 0.0759073, "mb_pole": 4.797412, "mc_pole": 1.683648,
        "C1": -0.2641726, "C2": 1.014776, "C3": -0.00506932, "C4": -0.07979189, "C5": 0.000351758, "C6": 0.000922188,
        "C7": -0.291495, "C7p": -0.00589796, "C8": -0.1606731, "C9": 4.053152, "C10": -4.166497,
        "m_B0": 5.27966, "m_Bp": 5.27934, "m_Bs": 5.36692, "m_Kst0": 0.89555, "m_Kp": 0.493677, "m_K0": 0.497611,
        "m_phi": 1.019461, "m_mu": 0.1056583755, "m_e": 0.00051099895, "tau_B0": 2.307869836e12,
        "tau_Bp": 2.488800398e12, "tau_Bs": 2.309468822e12, "f_Bs": 0.2303, "DeltaGamma_s_over_Gamma_s": 0.129,
        "X_t": 1.462,
    }  # fmt: skip
    assert {name: float(getattr(sm, name)) for name in expected} == expected
    assert sm.y_s == near(0.0645)


def test_every_entry_says_what_it_is():
    fields = (
        set(StandardModel.__dataclass_fields__)
        - {"B_to_K", "B_to_Kst", "Bs_to_phi", "hadronic"}
        - {"form_factors", "V_cb"}
    )
    assert fields == set(DATA)
    for name, entry in DATA.items():
        assert math.isfinite(entry["value"]), name
        assert entry.get("uncertainty", 1.0) > 0, name
        assert all(isinstance(entry[key], str) and entry[key] for key in ("unit", "description", "reference")), name


def test_inputs_are_a_pytree_of_double_precision():
    leaves = jax.tree.leaves(load_inputs())
    assert {np.asarray(leaf).dtype for leaf in leaves} == {np.dtype(float), np.dtype(complex)}
    # 38 numbers, three sets of form factors, six sets of hadronic parameters.
    assert len(leaves) == len(DATA) + 3 + 6


def test_hadronic_parameters_are_zero_at_the_centre():
    hadronic = load_inputs().hadronic
    assert [len(part) for part in jax.tree.leaves(hadronic)] == [6, 3, 6, 3, 2, 1]
    assert not any(part.any() for part in jax.tree.leaves(hadronic))


@given(st.sampled_from(sorted(DATA)), st.floats(0.0, 1.0))
def test_an_override_changes_one_input_alone(name, part):
    low, high = DATA[name]["range"]
    value = min(low + part * (high - low), high)
    changed, shipped = load_inputs({name: value}), load_inputs()
    for other in DATA:
        assert getattr(changed, other) == (value if other == name else getattr(shipped, other))


def test_overrides_may_be_whole_numbers_text_and_arrays():
    sm = load_inputs({"mb": 4, "GF": "1e-5", "ms": np.float32(0.0625), "m_mu": jnp.array(0.1), "m_e": np.array(5e-4)})
    assert (sm.mb, sm.GF, sm.ms, sm.m_mu, sm.m_e) == (4.0, 1e-5, 0.0625, 0.1, 5e-4)


WRONG = [
    ("lamda_t", -0.04, "expected a field of the inputs, got an unknown field; the nearest right name is lambda_t"),
    ("zzz", 1.0, "choose one of GF, alpha_em, mu_b, lambda_t, "),
    (3, 1.0, "field 3: expected a field of the inputs"),
    ("GF", "heavy", "expected a finite number for the Fermi constant, got the text 'heavy'"),
    ("GF", "1,2e-5", "write a point for the decimals"),
    ("GF", float("nan"), "got nan"),
    ("mb", float("inf"), "got inf"),
    ("mb", None, "got None"),
    ("mb", [4.0], "got [4.0]"),
    ("GF", True, "expected a finite number for the Fermi constant, got True"),
    ("m_e", False, "expected a finite number for the electron mass, got False"),
    ("m_e", "no", "the text 'no'"),
    ("m_e", 0, "GeV for the electron mass, got 0"),
    ("m_mu", -0.105, "GeV for the muon mass, got -0.105"),
    ("m_mu", 3.0, "1e-12 to 0.211 GeV for the muon mass, got 3"),
    ("m_Bs", -5, "4.83 to 5.9 GeV for the B_s mass, got -5"),
    ("m_Kp", 100, "0.444 to 0.543 GeV for the K+ mass, got 100"),
    ("m_phi", 5.3, "GeV for the phi mass, got 5.3"),
    ("lambda_t", 0, "V_tb V_ts^*"),
    ("lambda_t", 0.0412, "real and negative"),
    ("tau_Bs", 1.52, "GeV^-1 for the B_s lifetime, got 1.52; the shipped value is 2.30947e+12 GeV^-1"),
    ("hbar", 6.58e-16, "GeV s for the reduced Planck constant, got 6.58e-16"),
    ("sin2_thetaW", 23.1, "0.116 to 0.462 for the MSbar weak mixing angle"),
    ("f_Bs", 230.3, "GeV for the B_s decay constant, got 230.3"),
    ("GF", 10**400, "got 1000"),
]


@pytest.mark.parametrize(
    ("name", "value", "words"), WRONG, ids=[f"{name}={str(value)[:9]}" for name, value, _ in WRONG]
)
def test_refused_overrides(tmp_path, name, value, words):
    """From Python and from a file alike."""
    with pytest.raises(RequestError) as caught:
        load_inputs({name: value})
    assert words in str(caught.value) and str(caught.value).startswith(f"inputs, field {name}: ")
    path = tmp_path / "inputs.yaml"
    path.write_text(yaml.safe_dump({name: value}))
    for read in (read_overrides, load_inputs):
        with pytest.raises(RequestError) as caught:
            read(path)
        assert words in str(caught.value) and str(caught.value).startswith(f"{path}, field {name}: ")


def test_what_is_no_mapping_and_no_file():
    with pytest.raises(RequestError, match=r"expected values by name, or a file, got \[1\]"):
        load_inputs([1])


def test_every_shipped_value_lies_in_its_range_and_the_masses_leave_every_decay_open():
    """The form factors have their poles at the masses that data/form_factors.yaml gives, beyond the end points."""
    ends = {name: entry["range"] for name, entry in DATA.items()}
    assert all(low < DATA[name]["value"] < high for name, (low, high) in ends.items())
    sm = load_inputs()
    for parent, meson, form_factors in (
        ("m_Bp", "m_Kp", sm.B_to_K),
        ("m_B0", "m_K0", sm.B_to_K),
        ("m_B0", "m_Kst0", sm.B_to_Kst),
        ("m_Bs", "m_phi", sm.Bs_to_phi),
    ):
        assert ends[parent][0] > ends[meson][1] + 2 * ends["m_mu"][1]
        assert ends[parent][1] - ends[meson][0] < min(mass for _, mass in form_factors.pole_masses)


def test_form_factor_choice():
    ours, newer, lattice = (load_inputs(form_factors=name) for name in ("bsz2015", "grvdv2023", "hpqcd2022"))
    assert (ours.B_to_K.names[0], newer.B_to_K.names[0], lattice.B_to_K.names[0]) == ("f+:b0", "f+:a0", "f+:a0")
    np.testing.assert_array_equal(ours.B_to_Kst.coefficients, lattice.B_to_Kst.coefficients)
    assert float(newer.B_to_Kst.coefficients[0]) == 0.34213768  # A_0(0), which is 0.369196 in BSZ 2015
    with pytest.raises(RequestError, match="form_factors must be one of bsz2015, grvdv2023, hpqcd2022, got 'hpqcd'"):
        load_inputs(form_factors="hpqcd")


def test_hpqcd_goes_through_its_points():
    """The series with its coefficients has the published values, errors and correlations at the eight points."""
    sm, entry = load_inputs(form_factors="hpqcd2022"), read_data("form_factors.yaml")["B_to_K_HPQCD2022"]
    points = entry["points"]

    def values(coefficients):
        found = pseudoscalar_form_factors(
            np.array([point["q2"] for point in points]), dataclasses.replace(sm.B_to_K, coefficients=coefficients)
        )
        names = {"f+": found.plus, "f0": found.zero, "fT": found.tensor}
        return jnp.stack([names[point["form_factor"]][i] for i, point in enumerate(points)])

    np.testing.assert_allclose(values(sm.B_to_K.coefficients), [point["value"] for point in points], rtol=1e-12)
    slopes = jax.jacfwd(values)(sm.B_to_K.coefficients)
    covariance = slopes @ form_factor_covariance("B_to_K_HPQCD2022") @ slopes.T
    error = np.array([point["error"] for point in points])
    np.testing.assert_allclose(covariance, np.array(entry["correlation"]) * np.outer(error, error), rtol=1e-9)
    # Both lattice calculations at q2 = 0, with the error of the newer one.
    older = pseudoscalar_form_factors(np.zeros(1), load_inputs().B_to_K)
    assert abs(float(older.plus[0]) - 0.331915) < 2 * 0.0115605


def test_uncertainties_of_published_sets_are_those_of_their_covariances():
    """Two columns of the same publication, so that a slip in one of them shows."""
    for name, entry in read_data("form_factors.yaml").items():
        if isinstance(entry, dict) and {"covariance", "uncertainty"} <= entry.keys():
            error = np.sqrt(np.diag(form_factor_covariance(name)))
            np.testing.assert_allclose(error, entry["uncertainty"], rtol=1e-5)


def test_v_cb_moves_lambda_t_and_its_error():
    """|V_cb| 0.03962 +- 0.00047 in place of 0.04197 +- 0.00048: rates are lower by 11 per cent."""
    inclusive, exclusive = load_inputs(), load_inputs(V_cb="exclusive")
    assert float(exclusive.lambda_t / inclusive.lambda_t) == near(0.03962 / 0.04197, rel=1e-12)
    assert float(exclusive.lambda_t / inclusive.lambda_t) ** 2 == near(0.89, abs=0.002)
    assert float(load_inputs({"lambda_t": -0.04}, V_cb="exclusive").lambda_t) == -0.04
    for name, V_cb, error in (("inclusive", 0.04197, 0.00048), ("exclusive", 0.03962, 0.00047)):
        lambda_t = float(load_inputs(V_cb=name).lambda_t)
        assert lambda_t_error(name) / abs(lambda_t) == near(error / V_cb, rel=0.006)


def test_form_factor_sets():
    """Number of free coefficients and the masses inside z, Sec. 3."""
    kaon, vector, phi = (9, 5.27942, 0.495644), (19, 5.27966, 0.89555), (19, 5.36692, 1.019461)
    expected = {"B_to_K_FNALMILC2015": kaon, "B_to_Kst_BSZ2015": vector, "Bs_to_phi_BSZ2015": phi}
    for name, (n, m_B, m_M) in expected.items():
        ff = form_factor_set(name)
        assert (len(ff.names), len(ff.coefficients), ff.m_B, ff.m_M) == (n, n, m_B, m_M)


# ---- Files of overrides ----


def test_overrides_from_a_file(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text("GF: 1.2e-5  # a comment\nlambda_t: -0.04\n")
    sm = load_inputs(read_overrides(path))
    assert (sm.GF, sm.lambda_t) == (1.2e-5, -0.04)
    assert read_overrides(str(path)) == read_overrides(path)


@pytest.mark.parametrize("text", ["", "- GF\n- mb\n", "3.0\n", json.dumps([1, 2])])
def test_a_file_that_is_no_list_of_lines(tmp_path, text):
    path = tmp_path / "inputs.yaml"
    path.write_text(text)
    with pytest.raises(
        RequestError, match=r"inputs.yaml: expected an inputs file of `name: value` lines, got .*; write"
    ):
        read_overrides(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "expected an inputs file, YAML of `name: value` lines, got no such file"),
        (b"GF: [1", "expected valid YAML"),
        (b"GF: 1.1e-5\nmb: 4\nGF: 1.2e-5\n", "line 3: expected valid YAML, got an error (the key GF stands twice)"),
        (b"\xff\xfe\x00\xd8", "got UTF-16 or UTF-32"),
        (b"# \xe9\nGF: 1", "another encoding, such as Latin-1, from line 1 on"),
        (b"GF: !!float x", "'x' with the tag float"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, content, words):
    path = tmp_path / "inputs.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError) as caught:
        read_overrides(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and words in message
    assert "\n" not in message


def test_reading_leaves_the_shipped_data_alone():
    load_inputs({"GF": 2e-5})
    assert load_inputs().GF == 1.1663788e-5
