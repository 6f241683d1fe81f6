"""Readers of a user's files: whatever is in them, a value or one sentence comes out, and at once."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jaxdark.cli import main
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, load_inputs, read_data
from jaxdark.io.text_files import read_toml, read_yaml
from jaxdark.measurements.dataset import check_file, load_dataset

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")), max_size=6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
SCRAPS = "a b 1 1.0 010 1e-9 1:30 0x_ .nan ~ no - ? : , [ ] { } & * &a *a <<: ! !!int !!float | > ' \" # % @ ` --- ..."
LINES = [" ", "\n", "\n  ", "\t", ": ", "- ", "schema: jaxdark-measurements-1\n", "entries:\n", "2001-13-45", "\ufeff"]
YAMLISH = st.lists(st.sampled_from(SCRAPS.split() + LINES), max_size=25).map("".join)


def one_sentence(error):
    message = str(error)
    assert message.isprintable() and len(message) <= 1000
    return True


@QUICK
@given(PLAIN)
@example({"a": 1e400 / 1e400} | {"a": -0.0})
def test_json_is_yaml(tmp_path, value):
    """YAML 1.2 holds JSON, and JSON has its own reader."""
    (tmp_path / "a.yaml").write_text(
        json.dumps(value, ensure_ascii=False).replace("Infinity", ".inf"), encoding="utf-8"
    )
    found = read_yaml(tmp_path / "a.yaml")
    assert repr(found) == repr(value)


class _PyYAML(yaml.SafeLoader):
    """As PyYAML ships it: flavio, once imported, has every other loader make ordered mappings, without merges."""


_PyYAML.add_constructor("tag:yaml.org,2002:map", yaml.SafeLoader.construct_yaml_map)


@QUICK
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), max_size=3), min_size=2, max_size=4))
def test_aliases_and_merges_are_those_of_pyyaml(tmp_path, mappings):
    """Every mapping anchored, merged into the next one and listed again."""
    lines = []
    for i, mapping in enumerate(mappings):
        merge = f"<<: [{', '.join(f'*m{j}' for j in range(i))}], " if i else ""
        own = ", ".join(f"{key}: {value}" for key, value in mapping.items())
        lines.append(f"- &m{i} {{{merge}{own}}}".replace(", }", "}"))
    text = "\n".join([*lines, "- *m0", ""])
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml") == yaml.load(text, _PyYAML)


@QUICK
@given(YAMLISH | st.text(max_size=40) | st.binary(max_size=40))
@example("? !!int x\n: 1")
@example("{<<: *a}")
@example("&a [&b [*a]]")
@example("2001-13-45: !!timestamp 2001-13-45")
def test_anything_is_read_or_refused(tmp_path, content):
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for read in (read_yaml, read_toml, load_dataset, load_inputs):
        try:
            read(path)
        except RequestError as error:
            assert one_sentence(error)
    assert all(map(one_sentence, check_file(path)))


NAMES = st.sampled_from(sorted(read_data("inputs.yaml")["inputs"]))
VALUES = st.floats() | st.integers() | st.booleans() | WORDS | st.none() | st.lists(st.floats(), max_size=2)


@QUICK
@given(st.dictionaries(NAMES | WORDS | st.integers(), VALUES, min_size=1, max_size=2))
def test_inputs_of_any_kind_are_taken_or_refused_and_from_a_file_alike(tmp_path, overrides):
    path = tmp_path / "inputs.yaml"
    path.write_text(yaml.safe_dump(overrides, allow_unicode=True), encoding="utf-8")
    outcomes = []
    for given_inputs in (overrides, path):
        try:
            outcomes.append(isinstance(load_inputs(given_inputs), StandardModel))
        except RequestError as error:
            assert one_sentence(error)
            outcomes.append(False)
    assert outcomes[0] == outcomes[1]


TOML = st.dictionaries(
    st.sampled_from(["model", "data", "seed", "inputs", "q2", "parameters", "theory", "nothing"]),
    st.sampled_from(["1", "-1", "1e400", "true", "'x'", "[]", "[1, 'x']", "{}", "{GF = 1}", "{m_V = true}", "nan"])
    | st.sampled_from(
        ["2001-01-01", "9" * 30, "'split'", "'box'", "{m_V = [1, 2]}", "[[1]]", "inf", "''", '"\\u0000"']
    ),
    max_size=3,
)


@settings(QUICK, max_examples=50)
@given(TOML)
def test_a_config_file_of_any_kind_is_refused_in_one_sentence(tmp_path, content):
    """None of them is whole: parameters are missing."""
    path = tmp_path / "run.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in content.items()))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["point", "--config", str(path)])
    assert (code, out.getvalue(), err.getvalue().count("\n")) == (2, "", 1)


@pytest.mark.parametrize("levels", [3, 6, 10, 40])
def test_aliases_of_aliases_cost_what_the_file_costs(tmp_path, levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    for read in (load_dataset, load_inputs):
        with pytest.raises(RequestError) as refused:
            read(path)
        assert one_sentence(refused.value)
