"""Results that lack something, are older, or are none: one sentence, whatever it is; and changes that all survive."""

import json
import os
import threading
import time

import numpy as np
import pytest
import xarray as xr
from synthetic_result import complete_result, synthetic_result

from jaxdark.cli import stored
from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.io.result_schema import GROUPS, problem
from jaxdark.output.tables import to_json

ALL = (*GROUPS, "inputs", "data_sha256", "measured")


@pytest.fixture(scope="module")
def tree():
    return complete_result(chains=2, draws=30)


def written(tmp_path, groups, attributes):
    results.save(results.make_tree(groups, attributes), tmp_path / "posterior.nc")
    return tmp_path


def places_in(record, place=()):
    """Every field of a nested record."""
    for key, value in record.items():
        yield (*place, key)
        if isinstance(value, dict):
            yield from places_in(value, (*place, key))


def changed(record, place, value):
    """A copy with the field at a place set, or without it."""
    copy = json.loads(json.dumps(results.plain(record)))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


def test_a_whole_result_is_read(tree, tmp_path):
    assert results.summary(results.load(written(tmp_path, results.datasets(tree), results.attributes(tree)), *ALL))


OPTIONAL = {("summary", "method"), ("summary", "physics"), ("summary", "covariance_at")}


def test_no_field_of_the_attributes_can_go_or_change_its_type_unseen(tree, tmp_path):
    """Through the check alone, as reading a file for each of the hundred fields would take long."""
    groups, attributes = results.datasets(tree), results.attributes(tree)

    def found(changed_attributes):
        encoded = {name: json.dumps(value) for name, value in changed_attributes.items()}
        return problem({**groups, "posterior": groups["posterior"].drop_attrs().assign_attrs(encoded)}, ALL)

    assert found(attributes) is None
    fields = [place for place in places_in(attributes) if place not in OPTIONAL and place[0] != "inputs"]
    assert len(fields) > 80
    for place in fields:
        if place[:2] != ("summary", "seconds") or len(place) == 2:
            assert found(changed(attributes, place, None)), f"without {place}"
        assert found(changed(attributes, place, [{}])), f"{place} of another type"
    assert found(changed(attributes, ("inputs", "GF"), "1.2e-5"))
    assert "no JSON" in problem({**groups, "posterior": groups["posterior"].assign_attrs(prior=3)}, ())
    pulls = [{"id": "a", "sm": 1.0}]
    assert "pulls.0.best" in found(changed(attributes, ("summary", "pulls"), pulls))


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("fault", ["group", "variable", "dimension", "type", "size"])
def test_a_group_that_is_missing_or_of_another_kind_is_named(tree, name, fault):
    groups = results.datasets(tree)
    dataset, (variable, *_) = groups[name], GROUPS[name]
    values = dataset[variable]
    if fault == "group":
        del groups[name]
    elif fault == "variable":
        groups[name] = dataset.drop_vars(variable)
    elif fault == "dimension":
        groups[name] = dataset.drop_vars(variable).assign({variable: ("other", np.ravel(values))})
    elif fault == "type":
        groups[name] = dataset.assign({variable: values.astype(int)})
    else:
        groups[name] = dataset.isel({values.dims[-1]: slice(1)})
    assert ("another size" if fault == "size" else name) in problem(groups, ALL)
    assert problem(groups, ()) is None  # whoever does not need it reads the rest


@pytest.mark.parametrize("fault", ["group", "parameter", "dimension", "type"])
def test_draws_that_are_missing_are_named(tree, fault):
    groups = results.datasets(tree)
    draws = groups["posterior"]
    if fault == "group":
        groups["prior"] = groups.pop("posterior")
    elif fault == "parameter":
        groups["posterior"] = draws.drop_vars("g_D")
    elif fault == "dimension":
        groups["posterior"] = draws.assign(g_D=draws["g_D"].isel(chain=0, drop=True))
    else:
        groups["posterior"] = draws.assign(g_D=draws["g_D"].astype(str))
    assert "group posterior" in problem(groups, ())


def test_rows_without_names_are_refused(tree):
    groups = results.datasets(tree)
    groups["log_likelihood"] = groups["log_likelihood"].drop_vars("measurement")
    assert "measurements of the group log_likelihood have no ids" in problem(groups, ["log_likelihood"])


def test_a_result_of_another_format_is_refused(tree, tmp_path):
    folder = written(tmp_path, results.datasets(tree), results.attributes(tree) | {"format": 1})
    with pytest.raises(RequestError, match="it has the format 1 of another version of jaxdark, this one reads .* 2"):
        results.load(folder)


def test_what_a_stored_result_lacks_is_said(tree, tmp_path):
    groups = results.datasets(tree)
    del groups["derived"]
    folder = written(tmp_path, groups, results.attributes(tree))
    assert results.summary(results.load(folder))["converged"]
    with pytest.raises(RequestError, match=r"\(it has no log_likelihood in the group derived\); run it again"):
        results.load(folder, "derived")


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "folder", "other", "zeros", "pipe"])
def test_what_is_no_result_is_refused(tree, tmp_path, kind):
    path = tmp_path / "posterior.nc"
    results.save(tree, path)
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "other":
        xr.Dataset({"a": ("x", [1.0])}).to_netcdf(path, engine="h5netcdf")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        zeros = content[:600].ljust(9000, b"\0")
        kinds = {"empty": b"", "truncated": content[: len(content) // 2], "text": b"no", "zeros": zeros}
        path.write_bytes(kinds[kind])
    for place in (tmp_path, path):
        with pytest.raises(RequestError, match=r"not a result of|no result at"):
            results.load(place)


def test_changes_made_at_once_both_survive(tmp_path):
    results.save(synthetic_result(chains=2, draws=30), tmp_path / "posterior.nc")
    started = threading.Barrier(2)

    def add(name):
        def with_more(tree):
            time.sleep(0.3)
            group = xr.Dataset({"a": ("x", [1.0])})
            return results.with_group(tree, name, group, summary=results.summary(tree) | {name: 1})

        started.wait()
        stored.change(tmp_path, with_more)

    threads = [threading.Thread(target=add, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tree = results.load(tmp_path)
    assert {"one", "two"} <= set(results.datasets(tree)) and {"one", "two"} <= set(results.summary(tree))
    assert json.loads((tmp_path / "summary.json").read_text()) == results.summary(tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posterior.nc", "summary.json"]


def test_a_summary_that_a_killed_process_left_behind_is_brought_up_to_date(tmp_path, monkeypatch):
    tree = synthetic_result(chains=2, draws=30)
    results.save(tree, tmp_path / "posterior.nc")
    (tmp_path / "summary.json").write_text(to_json(results.summary(tree)) + "\n")
    before = (tmp_path / "summary.json").stat().st_ino

    def add(tree):
        return results.with_group(tree, "one", xr.Dataset(), summary=results.summary(tree) | {"n_allowed": 7})

    stored.load(tmp_path)
    assert (tmp_path / "summary.json").stat().st_ino == before  # nothing is written without need

    def killed(path, tree):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stored, "_write_summary", killed)
        stored.change(tmp_path, add)
    assert "n_allowed" not in json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / ".posterior.nc.lock").touch()
    (tmp_path / ".posterior.nc.0123abcd").mkdir()
    assert results.summary(stored.load(tmp_path))["n_allowed"] == 7
    assert json.loads((tmp_path / "summary.json").read_text())["n_allowed"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posterior.nc", "summary.json"]
