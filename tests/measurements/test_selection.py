"""A user's own selection, and what `jaxdark data add` puts into it."""

import pytest
import yaml

from jaxdark.cli import main
from jaxdark.errors import RequestError
from jaxdark.measurements.additions import with_measurement
from jaxdark.measurements.dataset import check_file, load_dataset

ABOUT = {"experiment": "LHCb", "year": 2027, "arxiv": "2701.00001", "source": "a table", "quality": "published"}


def measurement(folder, *rows, name="new.yaml", **more):
    entry = {"id": "LHCb_2027", **ABOUT, "rows": list(rows), **more}
    path = folder / name
    path.write_text(yaml.safe_dump({"schema": "jaxdark-measurements-1", "entries": [entry]}))
    return path


def row(observable, q2, process="B0->K*0mumu", value=0.1, total=0.05):
    return {"process": process, "observable": observable, "q2": q2, "value": value, "total": total}


def selection(folder, **content):
    path = folder / "selection.yaml"
    path.write_text(yaml.safe_dump({"schema": "jaxdark-selection-1", **content}))
    return path


def test_a_selection_takes_leaves_out_and_adds(tmp_path):
    measurement(tmp_path, row("P5p", [4.0, 6.0]))
    without = ["CMS_RK_2024", {"id": "LHCb_2025_B0_S", "rows": [{"q2": [4.0, 6.0]}, {"observable": "dBR"}]}]
    entries = ["LHCb_2027", {"id": "ATLAS_2018_S_4-6", "rows": [{"observable": "S5"}]}]
    path = selection(tmp_path, base="current", without=without, files=["new.yaml"], entries=entries)
    data, base = load_dataset(path), load_dataset("current")
    of_2025 = [r for r in base.rows if r.entry == "LHCb_2025_B0_S" and (r.q2 == (4.0, 6.0) or r.observable == "dBR")]
    gone = {"CMS_RK_2024", *(r.id for r in of_2025)}
    assert data.ids == (*(name for name in base.ids if name not in gone), "LHCb_2027", "ATLAS_2018_S_4-6/S5[4,6]")
    assert (data.name, data.errors, data.cut_off) == ("selection", base.errors, "2027-01")
    assert check_file(path) == []


def test_a_selection_without_a_base_and_with_names_of_its_own(tmp_path):
    own = {"name": "mine", "title": "Of mine", "errors": "mean", "cut_off": "2019-12"}
    data = load_dataset(selection(tmp_path, **own, entries=["LHCb_RK_2019"]))
    assert (data.name, data.title, data.errors, data.cut_off, len(data)) == ("mine", "Of mine", "mean", "2019-12", 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"base": "curent"}, ["field base", "'curent'", "the nearest right name is current"]),
        ({"entries": ["LHCb_RK_2018"]}, ["field entries", "'LHCb_RK_2018'", "the nearest right name is LHCb_RK_2019"]),
        ({"base": "lhcb_core", "without": ["CMS_RK_2024"]}, ["field without", "ids of the base", "'CMS_RK_2024'"]),
        ({"entries": [{"id": "LHCb_RK_2019", "rows": [{"q2": [1, 2]}]}]}, ["entry LHCb_RK_2019", "none kept"]),
        ({"entries": ["LHCb_RK_2019", "LHCb_RK_2019"]}, ["each entry once"]),
        ({"base": "lhcb_core", "entries": ["LHCb_RK_RKst_2022"]}, ["LHCb_RK_2019, which it supersedes"]),
        ({"entries": [{"id": "LHCb_RK_2019", "row": []}]}, ["field entries[0].row", "nearest right name is rows"]),
        ({"entries": [7]}, ["field entries[0]", "the id of an entry", "got 7"]),
        ({}, ["nothing selected"]),
        ({"bases": "current"}, ["an unknown field", "nearest right name is base"]),
        ({"files": ["absent.yaml"], "entries": ["A"]}, ["absent.yaml", "no such file"]),
        ({"base": "current", "cut_off": "April"}, ["field cut_off"]),
    ],
)
def test_faults_of_a_selection(tmp_path, content, words):
    with pytest.raises(RequestError) as error:
        load_dataset(selection(tmp_path, **content))
    assert all(word in str(error.value) for word in words), str(error.value)


def found(tmp_path, *rows, **more):
    conflicts = with_measurement(measurement(tmp_path, *rows, **more), tmp_path / "mine.yaml", "current", replace=False)
    return [str(conflict) for conflict in conflicts[1]]


def test_conflicts_are_named(tmp_path):
    (bins,) = found(tmp_path, row("dBR", [1.1, 3.0], value=3e-8, total=1e-9))
    assert "LHCb_2027 and LHCb_2025_B0_S: LHCb measured dBR in [1.1, 3] and dBR in [1.1, 2.5]" in bins
    (basis,) = found(tmp_path, row("P5p", [4.0, 6.0]))
    assert "P5p in [4, 6] and S5 in [4, 6] of B0->K*0mumu, which hold the same events" in basis
    (length,) = found(tmp_path, row("FL", [2.6, 3.0], value=0.7))
    assert "FL in [2.6, 3] and S1c in [2.5, 4]" in length
    (named,) = found(tmp_path, row("S5", [8.0, 9.0], process="B0->K*0ee"), supersedes=["LHCb_2025_Kstee"])
    assert "LHCb_2027 supersedes LHCb_2025_Kstee_S_1.1-6" in named
    assert found(tmp_path, row("S5", [8.0, 9.0])) == []  # no bin of the selection
    assert found(tmp_path, row("P5p", [4.0, 6.0]), experiment="ATLAS") == []


def test_add_writes_nothing_with_conflicts_and_leaves_them_out_with_replace(tmp_path, capsys):
    file, path = measurement(tmp_path, row("P5p", [4.0, 6.0])), tmp_path / "selection.yaml"
    assert main(["data", "add", str(file), "--selection", str(path)]) == 2
    assert "S5 in [4, 6]" in (told := capsys.readouterr().err) and "--replace" in told
    assert not path.exists()
    assert main(["data", "add", str(file), "--selection", str(path), "--replace"]) == 0
    assert "275 rows, data up to 2027-01" in capsys.readouterr().out
    data = load_dataset(path)
    assert "LHCb_2025_B0_S/S5[4,6]" not in data.ids and "LHCb_2025_B0_S/S4[4,6]" in data.ids
    assert data.ids[-1] == "LHCb_2027"
    assert main(["data", "add", str(file), "--selection", str(path), "--replace"]) == 2
    assert "expected a new file, got new.yaml" in capsys.readouterr().err
    # A second measurement replaces another row of the same entry, and the first measurement.
    rows = row("S7", [4.0, 6.0]), row("S5", [4.0, 6.0])
    later = measurement(tmp_path, *rows, name="later.yaml", id="LHCb_2028")
    assert main(["data", "add", str(later), "--selection", str(path), "--replace"]) == 0
    ids = load_dataset(path).ids
    assert ids[-2:] == ("LHCb_2028/S7[4,6]", "LHCb_2028/S5[4,6]") and "LHCb_2027" not in ids
    assert not {"LHCb_2025_B0_S/S5[4,6]", "LHCb_2025_B0_S/S7[4,6]"} & set(ids)


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({"id": "LHCb_RK_2019"}, (), "ids that no shipped entry has, got LHCb_RK_2019"),
        ({"year": "x"}, (), "field year"),
        ({}, ("--base", "curent"), "the nearest right name is current"),
    ],
)
def test_what_cannot_be_added(tmp_path, capsys, change, arguments, words):
    file = measurement(tmp_path, row("P5p", [4.0, 6.0]), **change)
    assert main(["data", "add", str(file), "--selection", str(tmp_path / "s.yaml"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "s.yaml").exists()
