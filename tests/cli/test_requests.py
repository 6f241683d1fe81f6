"""Wrong requests: one sentence with the nearest right name, exit code 2, nothing on disk."""

import pytest
from toy_data import POINT, TOY

BROKEN = {
    "field": (("value: 0.85", "valeu: 0.85"), ["toy.yaml", "Toy_RK", "valeu", "nearest right name is value"]),
    "observable": (("observable: R_K", "observable: RK"), ["Toy_RK", "R_K"]),
    "range": (("[1.1, 6.0]", "[25.0, 30.0]"), ["Toy_RK", "q2", "22.9"]),
    "charmonium": (("[1.1, 6.0]", "[8.0, 11.0]"), ["Toy_RK", "(9, 14)"]),
    "edges": (("[1.1, 6.0]", "[6.0, 1.1]"), ["Toy_RK", "low < high"]),
    "not a number": (("value: 0.85", "value: .nan"), ["Toy_RK", "value", "nan"]),
    "correlation": (
        (
            "quality: published\n  rows:\n",
            "quality: published\n  correlation: [[1.0, 1.5], [1.5, 1.0]]\n  rows:\n"
            "  - {process: B+->K+ll, observable: R_K, q2: [14.5, 16.0], value: 0.9, total: 0.1}\n",
        ),
        ["Toy_RK", "correlation", "positive definite", "-0.5"],
    ),
}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (["m_v=5.5"], ["'m_v'", "nearest right name is m_V"]),
        (["g_mu=0.03"], ["'g_mu'", "nearest right name is g_mu_V"]),
        (["mass=3"], ["'mass'", "m_V"]),
        ([*POINT, "m_W=80"], ["'m_W'", "nearest right name is m_V"]),
        (POINT[1:], ["m_V"]),
        (["m_V=0", *POINT[1:]], ["m_V", "positive", "0.0"]),
        (["m_V=-5.5", *POINT[1:]], ["m_V", "positive", "-5.5"]),
        ([*POINT, "m_Phi=0"], ["m_Phi", "positive", "0.0"]),
        ([*POINT, "m_chi=-1"], ["m_chi", "negative", "-1.0"]),
        ([*POINT, "m_chi=0.001,10"], ["m_chi", "r", "one axis"]),
        (["m_V=nan", *POINT[1:]], ["m_V", "finite", "nan"]),
        (["m_V=inf", *POINT[1:]], ["m_V", "finite", "inf"]),
        (["m_V=heavy", *POINT[1:]], ["m_V", "real number", "'heavy'"]),
        (["m_V=5,5", *POINT[1:]], ["m_V must be one number, got 2: [5.0, 5.0]; write decimals with a point\n"]),
        (["mass=" + "9" * 10**6], ["'mass'", "choose one of m_V, "]),
        ([*POINT, "m_V=5"], ["m_V", "twice"]),
        (["m_V", *POINT[1:]], ["NAME=VALUE", "'m_V'"]),
        ([*POINT, "bs_current=conservd"], ["bs_current", "conserved", "'conservd'"]),
        ([*POINT, "--q2", "3,low"], ["--q2", "'3,low'"]),
        ([*POINT, "--q2", "-3"], ["q2", "greater than 0", "-3"]),
        ([*POINT, "--model", "splitt"], ["'splitt'", "split, zprime, constant, box"]),
        (["g_b=1e-6", "--model", "zprime"], ["'g_b'", "g_bs"]),
        (["C99=1", "--model", "constant"], ["'C99'", "C9"]),
        ([*POINT, "--data", "paper2021"], ["'paper2021'", "paper2020"]),
        ([*POINT, "--data", "missing.yaml"], ["missing.yaml", "no such file"]),
        ([*POINT, "--theory", "ful"], ["theory", "marginalised, following, full", "'ful'"]),
        ([*POINT, "--g-minus-2", "limt"], ["g_minus_2", "limit, upper, measurement", "'limt'"]),
        ([*POINT, "--dta", "paper2020"], ["--dta", "--data"]),
        ([*POINT, "--seed", "one"], ["--seed", "integer"]),
        ([*POINT, "--seed", "-1"], ["seed", "greater than or equal to 0", "-1"]),
        ([*POINT, "--config", "missing.toml"], ["missing.toml", "config file"]),
        ([*POINT, "--inputs", "missing.yaml"], ["missing.yaml", "inputs file"]),
    ],
)
def test_point_refuses(refused, parameters, expected):
    sentence = refused("point", *parameters)
    assert all(part in sentence for part in expected), sentence


def test_the_command_and_its_flags_are_named(refused):
    assert "'point'" in refused("pont")
    assert "command" in refused("data").lower()
    assert "--region" in refused("sample", "--regoin", "high")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_data_file_is_refused(refused, toy, fault):
    (right, wrong), expected = BROKEN[fault]
    assert TOY.count(right) == 1
    toy.write_text(TOY.replace(right, wrong))
    for arguments in (["data", "check", toy], ["point", *POINT, "--data", toy]):
        sentence = refused(*arguments)
        assert all(part in sentence for part in expected), sentence


def test_check_names_every_faulty_entry(jaxdark, toy):
    toy.write_text(TOY.replace("value: 0.85", "valeu: 0.85").replace("value: 3.0e-9", "value: 3:09"))
    code, out, err = jaxdark("data", "check", toy)
    assert (code, out, err.count("\n")) == (2, "", 2)
    assert "Toy_RK" in err and "Toy_Bsmumu" in err


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("GF: 1.2e-5\nalpha: 0.0075\n", ["field alpha:", "alpha_em"]),
        ("m_Kp: 0.49\nm_e: no\n", ["field m_e:", "the text 'no'"]),
        ("m_Kp: 100\n", ["field m_Kp:", "0.444 to 0.543 GeV", "got 100"]),
        ("lambda_t: 0\n", ["field lambda_t:", "got 0"]),
        ("GF: true\n", ["field GF:", "got True"]),
        ("mb: 4\nmb: 4.1\n", ["inputs.yaml, line 2", "the key mb stands twice"]),
        ("m_Bp: heavy\n", ["m_Bp", "number", "'heavy'"]),
        ("m_Bp: .nan\n", ["m_Bp", "finite", "nan"]),
        ("- m_Bp\n", ["inputs.yaml", "name: value"]),
    ],
)
def test_wrong_inputs_are_refused(refused, tmp_path, toy, content, expected):
    path = tmp_path / "inputs.yaml"
    path.write_text(content)
    sentence = refused("point", *POINT, "--data", toy, "--inputs", path)
    assert all(part in sentence for part in expected), sentence


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("g_minus2 = 'upper'\n", ["run.toml", "'g_minus2'", "nearest right name is g_minus_2"]),
        ("seed = 'one'\n", ["run.toml", "seed", "integer", "'one'"]),
        ("seed = \n", ["run.toml", "config file"]),
        ("seed = 1\nseed = 2\n", ["run.toml", "config file"]),
        (f"seed = {10**30}\n", ["run.toml", "seed", "less than or equal to 9223372036854775807"]),
        (f"seed = {'9' * 5000}\n", ["run.toml", "config file", "cannot be read"]),
        ("q2 = " + "[" * 5000 + "]" * 5000, ["run.toml", "config file", "too deep"]),
        ("q2 = 2001-13-45\n", ["run.toml", "config file"]),
        ("q2 = [true]\n", ["run.toml", "q2.0", "True"]),
        ("[inputs]\nGF = true\n", ["run.toml, inputs, field GF", "got True"]),
        ("[inputs]\ntau_Bs = 1.5\n", ["run.toml, inputs, field tau_Bs", "GeV^-1", "got 1.5"]),
        ("[inputs]\nGG = 1\n", ["run.toml, inputs, field GG", "the nearest right name is GF"]),
        ("inputs = 3\n", ["run.toml", "inputs", "dictionary", "3"]),
        ("parameters = {m_V = true, g_mu_V = 0.03, r_AV = -0.4, g_D = 1, r = -3}\n", ["m_V", "real number", "True"]),
        ("data_sha256 = '0123'\n", ["changed", "0123"]),
    ],
)
def test_a_wrong_config_file_is_refused(refused, tmp_path, toy, content, expected):
    path = tmp_path / "run.toml"
    path.write_text(f"data = '{toy}'\n{content}")
    sentence = refused("point", *([] if "parameters" in content else POINT), "--config", path)
    assert all(part in sentence for part in expected), sentence


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--region", "hihg"], ["'hihg'", "high"]),
        (["--model", "constant", "--region", "low"], ["'low'", "take all"]),
        (["--chains", "1"], ["2 chains", "1"]),
        (["--chains", "0"], ["chains", "greater than 0", "0"]),
        (["--draws", "-5"], ["draws", "greater than 0", "-5"]),
        (["--data", "papr2020"], ["'papr2020'", "paper2020"]),
        (["--n-live", "500"], ["n_live belongs to the method nested, got the method nuts", "leave it out"]),
        (["--method", "nested", "--n-samples", "500"], ["n_samples belongs to the method importance", "nested"]),
        (["--method", "importance", "--n-samples", "50"], ["n_samples must be at least 100", "got 50"]),
        (["--method", "nested", "--scheduler", "tcp://127.0.0.1:1"], ["scheduler", "nuts", "nested", "leave it out"]),
        (["--scheduler", "tcp://127.0.0.1:1"], ["expected the address of a Dask scheduler", "tcp://127.0.0.1:1"]),
    ],
)
def test_sample_refuses_and_leaves_nothing(refused, tmp_path, monkeypatch, toy, arguments, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxdark.compute.cluster._TIMEOUT", 1)
    sentence = refused("sample", "--data", toy, *arguments)
    assert all(part in sentence for part in expected), sentence
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--toys", "0"], ["scheduler", "0 sets", "leave it out"]),
        (["--toys", "5"], ["expected the address of a Dask scheduler", "tcp://127.0.0.1:1"]),
    ],
)
def test_fit_refuses_a_scheduler_and_leaves_nothing(refused, tmp_path, monkeypatch, toy, arguments, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxdark.compute.cluster._TIMEOUT", 1)
    sentence = refused("fit", "--data", toy, "--scheduler", "tcp://127.0.0.1:1", *arguments)
    assert all(part in sentence for part in expected), sentence
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_config_file_of_another_encoding(refused, tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes("data = 'paper2020'\n".encode("utf-16"))
    sentence = refused("point", *POINT, "--config", path)
    assert all(part in sentence for part in ("run.toml", "got UTF-16", "save it as UTF-8"))


def test_an_unknown_id_is_answered_with_the_nearest(refused):
    assert "nearest right name is LHCb_RK_2019" in refused("data", "show", "LHCb_RK_2018")
    assert "nearest right name is inputs" in refused("data", "show", "input")
