"""Inputs: shipped values, overrides, refusals."""

import json
import math

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near

from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, form_factor_set, load_inputs, read_data, read_overrides

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
    fields = set(StandardModel.__dataclass_fields__) - {"B_to_K", "B_to_Kst", "Bs_to_phi", "hadronic"}
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


@given(st.sampled_from(sorted(DATA)), st.floats(allow_nan=False, allow_infinity=False))
def test_an_override_changes_one_input_alone(name, value):
    changed, shipped = load_inputs({name: value}), load_inputs()
    for other in DATA:
        assert getattr(changed, other) == (value if other == name else getattr(shipped, other))


def test_overrides_may_be_whole_numbers_and_text():
    """YAML reads 1e-5 as text."""
    sm = load_inputs({"mb": 4, "GF": "1e-5"})
    assert (sm.mb, sm.GF) == (4.0, 1e-5)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"lamda_t": -0.04}, r"^unknown input 'lamda_t'; the nearest names are lambda_t"),
        ({"zzz": 1.0}, r"^unknown input 'zzz'; the nearest names are GF, alpha_em, "),
        ({"GF": "heavy"}, r"^the input GF must be a finite number, got 'heavy'$"),
        ({"GF": float("nan")}, r"^the input GF must be a finite number, got nan$"),
        ({"mb": float("inf")}, r"^the input mb must be a finite number, got inf$"),
        ({"mb": None}, r"^the input mb must be a finite number, got None$"),
        ({"mb": [4.0]}, r"^the input mb must be a finite number, got \[4.0\]$"),
    ],
)
def test_refused_overrides(overrides, words):
    with pytest.raises(RequestError, match=words):
        load_inputs(overrides)


def test_form_factor_choice():
    ours, other = load_inputs(), load_inputs(B_to_K="GRvDV2023")
    assert ours.B_to_K.names[0] == "f+:b0"
    assert other.B_to_K.names[0] == "f+:a0"
    np.testing.assert_array_equal(ours.B_to_Kst.coefficients, other.B_to_Kst.coefficients)
    with pytest.raises(RequestError, match="unknown B -> K form factors 'HPQCD'; take FNALMILC2015 or GRvDV2023"):
        load_inputs(B_to_K="HPQCD")


def test_form_factor_sets():
    """Number of free coefficients and the masses inside z, Sec. 3."""
    kaon, vector, phi = (9, 5.27942, 0.495644), (19, 5.27966, 0.89555), (19, 5.36692, 1.019461)
    expected = {"B_to_K_FNALMILC2015": kaon, "B_to_Kst": vector, "Bs_to_phi": phi}
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
    with pytest.raises(RequestError, match=r"inputs.yaml is not a list of `name: value` lines; write for"):
        read_overrides(path)


@pytest.mark.parametrize("content", [None, b"GF: [1", b"\xff\xfe\x00\xd8"], ids=["missing", "broken", "binary"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "inputs.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError) as caught:
        read_overrides(path)
    message = str(caught.value)
    assert message.startswith(f"cannot read the inputs file {path}: ")
    assert message.endswith("; give a YAML file of `name: value` lines")
    assert "\n" not in message


def test_reading_leaves_the_shipped_data_alone():
    load_inputs({"GF": 2.0})
    assert load_inputs().GF == 1.1663788e-5
