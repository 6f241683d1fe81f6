"""`jaxdark report`: a page that is whole by itself and says what the result says."""

import re
from html.parser import HTMLParser

import xarray as xr
from near import near
from synthetic_result import synthetic_result

from jaxdark.cli import main
from jaxdark.io import results
from jaxdark.output import figures
from jaxdark.output.html_report import result_page

_VOID = {"meta", "img"}


class _Outline(HTMLParser):
    """Tables by caption, headings, images and whatever the page would have to fetch; complains of unbalanced tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.headings, self.images, self.fetched, self.marked = [], {}, [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs["src"])
            assert attrs["alt"]
        self.fetched += [attrs[name] for name in ("src", "href") if not attrs.get(name, "data:").startswith("data:")]
        self.fetched += [tag] if tag in ("script", "link", "iframe") else []
        self.style = attrs.get("class")
        if tag == "tr":
            self.row = []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self.tables[self.caption].append(self.row)

    def handle_data(self, data):
        if not data.strip():
            return
        if self.open[-1] in ("td", "th"):
            self.row.append(data)
        if self.open[-1] == "caption":
            self.caption = data
            self.tables[data] = []
        if self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self.style:
            self.marked[data] = self.style


def with_further(tree):
    """The result as after `jaxdark constrain`, with a name that HTML would take for a tag."""
    row = {"cut_alone": 300, "cut_given_others": 12, "quality": "published", "applied": True}
    summary = results.summary(tree) | {"constraints": {"a<b>": row}, "n_allowed": 900}
    return results.with_group(tree, "constraints", xr.Dataset(), summary=summary)


def test_the_page_holds_everything_and_fetches_nothing():
    tree = synthetic_result()
    text = result_page(tree)
    page, summary = _Outline(text), results.summary(tree)
    assert page.fetched == [] and "http" not in text
    assert len(page.images) == len(figures.FIGURES)
    assert page.headings == ["split (complete physics), high region, paper2020", "Posterior", "Measurements", "Chains"]
    settings = dict(page.tables["Settings"][1:])
    assert settings["g_minus_2"] == "limit" and settings["seed"] == "0"
    assert settings["prior"] == (
        "m_V 2 to 15, g_mu_V 0.001 to 0.2 (log-uniform), r_AV -1 to 0, g_D 0 to 4, r -10 to -0.03 (log-uniform)"
    )
    posterior = {row[0]: row for row in page.tables["Posterior, split (complete physics), high region"][1:]}
    assert list(posterior) == ["m_V [GeV]", *list(summary["parameters"])[1:]]
    assert float(posterior["m_V [GeV]"][1]) == near(summary["parameters"]["m_V"]["mean"], rel=1e-5)
    assert len(page.tables["Pulls"]) == 1 + len(summary["pulls"])


def test_constraints_stand_on_the_page_once_they_are_in_the_result():
    page = _Outline(result_page(with_further(synthetic_result())))
    assert "Constraints beside the fit" in page.headings
    (title,) = (
        name
        for name in page.tables
        if name.startswith("Constraints, split (complete physics), high region: 900 of 1200")
    )
    assert page.tables[title][1] == ["a<b>", "25 %", "1 %", "published"]


def test_a_run_that_has_not_converged_is_marked():
    page = _Outline(result_page(synthetic_result(warnings=["R-hat of r is 1.2, above 1.01"])))
    (sentence,) = (text for text in page.marked if "not converged: R-hat of r is 1.2" in text)
    assert page.marked[sentence] == "bad"


def test_the_command_writes_beside_the_result_or_into_a_new_file(tmp_path, capsys):
    results.save(synthetic_result(chains=2, draws=25), tmp_path / "posterior.nc")
    for _ in range(2):  # as often as one likes
        assert main(["report", str(tmp_path)]) == 0
    first = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"2 chains of 25 draws", first)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == first
    capsys.readouterr()
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "other.html")]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "no result" in capsys.readouterr().err
