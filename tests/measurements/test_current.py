"""The data sets `current` and `current_lfu`: what they hold, and their numbers against relations found elsewhere."""

import math
from itertools import pairwise

import numpy as np
import pytest
from near import near

from jaxdark.errors import RequestError
from jaxdark.measurements.dataset import load_dataset, load_entries
from jaxdark.measurements.library import shipped_entries
from jaxdark.measurements.schema import Selected, check_selection

NAMES = ["current", "current_lfu"]


@pytest.fixture(scope="module")
def entries():
    return load_entries()


@pytest.fixture(scope="module")
def current():
    return load_dataset("current")


def by_label(entry):
    return {(row.observable, row.q2): row for row in entry.rows}


def error(row):
    """Mean total error, norm included."""
    return math.hypot(*(np.mean(pair) for pair in row.parts.values()))


# ---- what is in them ----


def test_row_counts_follow_from_the_list_of_bins_and_observables(current):
    kstar_muons = 12 + 6 * 10  # LHCb 2025: S1c, S2c, S3-S5, AFB, S7-S9, dBR; S2s and S6c too in the first bin
    charged = 7 * 8 + 6  # angles of 2020, rates of 2014
    cms = 5 * 7  # FL, P1, P2, P3, P4p, P5p, P6p
    ratios = 4 + 1 + 1 + 2 + 1 + 2 * 2 * 3  # LHCb 2022, above 14 GeV^2, R_KS and R_K*+; CMS; Belle's four
    electrons = 4 + 8 + 3 * 2
    phi = 7 + 5 * 4
    kaons = 15 + 6 + 13
    bs_mumu = 2 + 2 + 1 + 1
    assert len(current) == kstar_muons + charged + cms + ratios + electrons + phi + kaons + bs_mumu == 275
    assert len(load_dataset("current_lfu")) == ratios + electrons == 39


@pytest.mark.parametrize("name", NAMES)
def test_the_cut_off_is_the_date_of_the_newest_entry(name):
    data = load_dataset(name)
    assert data.cut_off == max(row.date for row in data.rows) == "2026-04"


def test_nothing_is_superseded_unverified_or_in_twice(current, entries):
    selected = {row.entry for row in current.rows}
    for name in selected:
        assert not selected & set(entries[name].alternative_to)
    superseded = {
        old for new in entries.values() for old in entries for stem in new.supersedes
        if old == stem or old.startswith(f"{stem}_")
    }  # fmt: skip
    assert superseded >= {"LHCb_2015_S_4-6", "LHCb_2015_P_4-6", "LHCb_B0Kstmumu_2016", "LHCb_RK_2019", "LHCb_RK_2021"}
    assert not selected & superseded
    assert {row.quality for row in current.rows} == {"published", "recast"}


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("LHCb_2025_B0_S", "LHCb_2015_S_4-6"), "which it supersedes; leave LHCb_2015_S_4-6 out"),
        (("LHCb_2025_B0_S", "LHCb_2025_B0_P_massless"), "also LHCb_2025_B0_P_massless"),
        (("LHCb_RK_RKst_2022", "LHCb_RK_RKst_2022_ee"), "also LHCb_RK_RKst_2022_ee"),
        (("CMS_Bsmumu_2019", "CMS_Bsmumu_2022"), "leave CMS_Bsmumu_2019 out"),
    ],
)
def test_what_holds_the_same_events_is_refused_together(entries, pair, words):
    bins = ((4.0, 6.0), (1.1, 6.0), None)
    chosen = [Selected(e, tuple(i for i, r in enumerate(e.rows) if r.q2 in bins)) for e in map(entries.get, pair)]
    with pytest.raises(RequestError, match=words):
        check_selection(chosen, "a test")


def test_only_the_files_that_are_named_are_read():
    assert set(shipped_entries(["LHCb_RK_2019", "nothing"])) == {"LHCb_RK_2019", "LHCb_RK_2019_hepfit"}
    assert "LHCb_2025_B0_S_wide" in shipped_entries(["LHCb_2025_B0_S"])


# ---- LHCb 2025 ----


def test_lhcb_2025_s_and_p_bases_fulfil_the_relations_of_the_paper(entries):
    """With S_2s = (1 - 3/4 S_1c + 1/4 S_2c)/4, free in the first bin; two fits of one sample, within 0.13 errors.

    The paper's P_2 = A_FB/(6 S_2s) holds where S_6c is 0; in the first bin A_FB - 3/8 S_6c takes the place of A_FB.
    """
    S, checked = by_label(entries["LHCb_2025_B0_S"]), 0
    for (name, q2), row in by_label(entries["LHCb_2025_B0_P"]).items():
        s = {observable: r.value for (observable, edges), r in S.items() if edges == q2}
        s_2s = s.get("S2s", (1 - 0.75 * s["S1c"] + 0.25 * s["S2c"]) / 4)
        root = 2 * math.sqrt(-s_2s * s["S2c"])
        expected = s | {
            "P1": s["S3"] / (2 * s_2s),
            "P2": (s["AFB"] - 0.375 * s.get("S6c", 0.0)) / (6 * s_2s),
            "P3": -s["S9"] / (4 * s_2s),
            **{p: s[other] / root for p, other in (("P4p", "S4"), ("P5p", "S5"), ("P6p", "S7"), ("P8p", "S8"))},
        }
        assert abs(row.value - expected[name]) <= 0.13 * error(row), (name, q2)
        checked += 1
    assert checked == 81


def test_the_normalisation_of_lhcb_2025_is_in_its_correlation(entries):
    """2.2/48.8 of every rate, common to all: what is left of the covariance is one, and the rates' is small."""
    entry = entries["LHCb_2025_B0_S"]
    total = np.array([np.mean(row.total) for row in entry.rows])
    norm = np.array([np.mean(row.norm) if row.norm else 0.0 for row in entry.rows])
    rates = [i for i, row in enumerate(entry.rows) if row.observable == "dBR"]
    values = np.array([entry.rows[i].value for i in rates])
    assert norm[rates] / values == near(np.full(8, 2.2 / 48.8), rel=4e-3)  # of three digits
    common = np.outer(norm / total, norm / total)
    assert np.linalg.eigvalsh(entry.correlation - common)[0] > 0.2
    between = entry.correlation[np.ix_(rates, rates)][np.triu_indices(8, 1)]
    assert (between.min(), between.max()) == (0.41, 0.70)
    assert np.all(np.abs(between - common[np.ix_(rates, rates)][np.triu_indices(8, 1)]) < 0.065)


def test_rows_with_a_norm_within_their_total_keep_total_and_printed_correlation(current, entries):
    ids = [f"LHCb_2025_B0_S/dBR[{edges}]" for edges in ("4,6", "15,17")]
    i, j = map(current.ids.index, ids)
    assert current.correlation[i, j] == 0.66
    assert [current.rows[k].error_plus for k in (i, j)] == near([2.0e-9, 2.8e-9], rel=1e-14)
    labels = by_label(entries["LHCb_2025_B0_S"])
    assert math.hypot(*labels["dBR", (4.0, 6.0)].parts["total"]) < 2.0e-9 * math.sqrt(2)


# ---- conversions ----

NEIGHBOURS = {
    "1.1-2": (1.1, 2.5), "2-4.3": (2.5, 4.0), "4.3-6": (4.0, 6.0), "6-8.68": (6.0, 8.0), "10.09-12.86": (11.0, 12.5),
    "14.18-16": (15.0, 17.0),
}  # fmt: skip


@pytest.mark.parametrize(
    ("observable", "chi2"),
    [("P1", 10.9), ("P2", 9.1), ("P3", 6.2), ("P4p", 7.1), ("P5p", 5.0), ("P6p", 10.8)],
)
def test_cms_2024_as_converted_agrees_with_lhcb_2025(entries, observable, chi2):
    """In six neighbouring bins; as printed P'_4 had 100.6 and P'_6 45.8."""
    lhcb, found = by_label(entries["LHCb_2025_B0_P_massless"]), 0.0
    for name, q2 in NEIGHBOURS.items():
        (cms,) = (row for row in entries[f"CMS_2024_{name}"].rows if row.observable == observable)
        found += (cms.value - lhcb[observable, q2].value) ** 2 / (error(cms) ** 2 + error(lhcb[observable, q2]) ** 2)
    assert found == near(chi2, abs=0.051)


def test_cms_2024_by_hand(entries):
    """In [14.18, 16] the printed P'_4 = -1.159 +0.042 -0.038 +- 0.041 and P'_6 = 0.121 +0.040 -0.039 +- 0.011."""
    rows = {row.observable: row for row in entries["CMS_2024_14.18-16"].rows}
    assert rows.keys() == {"FL", "P1", "P2", "P3", "P4p", "P5p", "P6p"}
    assert (rows["P4p"].value, rows["P4p"].stat, rows["P4p"].syst) == (-0.5795, (0.021, 0.019), (0.0205, 0.0205))
    assert (rows["P6p"].value, rows["P6p"].stat, rows["P6p"].syst) == (-0.121, (0.039, 0.040), (0.011, 0.011))
    assert {rows[name].quality for name in ("P4p", "P6p")} == {"recast"}


def test_electrons_of_2025_in_both_bases_are_one_measurement(entries):
    """Within the rounding to two digits and an error's tenth, as the two fits are of one sample."""
    for edges in ("1.1-6", "1.1-7"):
        s = {row.observable: row.value for row in entries[f"LHCb_2025_Kstee_S_{edges}"].rows}
        root = math.sqrt(s["FL"] * (1 - s["FL"]))
        expected = {"FL": s["FL"], "P1": 2 * s["S3"] / (1 - s["FL"]), "P2": 2 / 3 * s["AFB"] / (1 - s["FL"])}
        expected |= {"P3": -s["S9"] / (1 - s["FL"]), "P4p": s["S4"] / root, "P5p": s["S5"] / root}
        expected |= {"P6p": s["S7"] / root, "P8p": s["S8"] / root}
        for row in entries[f"LHCb_2025_Kstee_P_{edges}"].rows:
            assert abs(row.value - expected[row.observable]) <= 0.1 * error(row) + 0.015, row


def test_bins_of_each_entry_that_is_taken_whole_do_not_overlap(current):
    series = {}
    for row in current.rows:
        if row.q2:
            series.setdefault((row.experiment, row.process, row.observable), []).append(row.q2)
    for (experiment, *_), bins in series.items():
        if experiment != "Belle":  # one series per charge, as the processes are
            assert all(before[1] <= after[0] for before, after in pairwise(sorted(bins)))
