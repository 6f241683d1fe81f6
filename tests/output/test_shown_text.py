"""Text is text: ids, titles and references of a user come back from every table, page and sentence as they are."""

import re
from html.parser import HTMLParser

import pytest
import xarray as xr
import yaml
from synthetic_result import synthetic_result
from toy_data import POINT, TOY

from jaxdark.cli import main, options
from jaxdark.errors import RequestError, near_name, nearest, shown, visible
from jaxdark.io import results
from jaxdark.io.text_files import read_yaml
from jaxdark.measurements.schema import PROCESSES
from jaxdark.output import html_report, table, tables
from jaxdark.reproduce.claim import Claim, Criterion
from jaxdark.reproduce.estimates import Estimate
from jaxdark.reproduce.thresholds import Threshold

PRINTABLE = [
    '[red"><script>alert(1)</script>]X',
    "Mine [prelim]",
    "Toy[/x]",
    "[/]",
    "[bold]b[/bold] [/bold]",
    "[link=https://x.y]z[/link]",
    "a :smile: b",
    "<b>&amp;\"'</b>",
    "\\[red]",
    "x$\\foo$ {0} %s {task.description}",
    "</title></td><td class='red'>",
    "B⁰ → K*μμ 測定",
]
NASTY = {text: text for text in PRINTABLE} | {
    "\x1b[31mred\x1b[0m": "\\x1b[31mred\\x1b[0m",
    "bell\x07 back\x08 csi\x9b1m": "bell\\x07 back\\x08 csi\\x9b1m",
    "two\nlines\r\tand": "two\\nlines\\r\\tand",
    "turned \u202egnp": "turned \\u202egnp",
    "lone \udcff": "lone \\udcff",
}
"""Text as written, and what is shown of it."""


DERIVED = {"C9": {}, "C10": {}, "C_P_mBs2": [1.0, 0.0]}


def point_with(text):
    """The record of `jaxdark point` with the text wherever words stand."""
    numbers = {"prediction": 1.0, "theory_error": 0.1, "measurement": 1.0, "error": 0.1, "pull": 2.5, "sm_pull": -3.5}
    limit = {"value": 1.0, "limit": 2.0, "ratio": 0.5, "unit": text, "excluded": True}
    return {
        "model": text, "data": text, "parameters": {"bs_current": text}, "derived": DERIVED,
        "observables": [{"id": text, **numbers}],
        "constraints": [{"id": text, **limit}], "log_likelihood": 0.0, "terms": {text: 0.0}, "sm_terms": {text: 0.0},
        "terms_beside": {text: text}, "sm_log_likelihood": 0.0,
        "chi2": {"experiment": 0.0, "rows": 1}, "by_experiment": {text: {"rows": 1, "chi2": 1.0, "sm_chi2": 1.0}},
    }  # fmt: skip


def tables_with(text):
    """Tables of every command that shows ids, with the text wherever a user's text can stand."""
    evidence = {"log_evidence": 0.0, "error": 0.0, "log_bayes_factor": 0.0}
    cut = {"cut_alone": 1, "cut_given_others": 1, "quality": text, "applied": False}
    pulls = [{"id": text, "sm": 1.0, "best": -4.0}]
    fitted = {"value": 1.0, "hessian_error": None, "fisher_error": None, "hessian_reason": text}
    fit = {
        "pulls": pulls, "model": text, "region": text, "parameters": {"m_V": fitted}, "minima": [], "p_value": None,
        "chi2": 1.0, "pseudo_data": {"sets": 0}, "dof": 1, "delta_chi2_sm": 0.0, "status": text,
        "covariance_at": {text: 1.0},
    }  # fmt: skip
    limit = {"value": 1.0, "limit": None, "ratio": 0.5, "active": False, "quality": text, "applied": False}
    constrained = {
        "pulls": pulls, "model": text, "region": text,
        "parameters": {"m_V": {"value": 1.0, "unit": "GeV", "on_edge": False}},
        "limits": {text: limit | {"multiplier": 0.0}}, "gain": 1.0, "subject_to": [text], "status": text,
        "optima": [{"gain": 1.0, "chi2": 1.0, "starts": 1, "parameters": {"m_V": 1.0}, "active": [text]}],
        "covariance_at": {text: 1.0},
    }  # fmt: skip
    checks = {
        "power_scaling": {"m_V": {"prior": 0.0, "likelihood": 0.0}}, "p_value": 0.5, "elpd_loo": 0.0,
        "measurements": [{"id": text, "shift": {"m_V": 0.0}, "pareto_k": 0.9, "p_value": 0.5}],
        "prior_variants": {text: {"shift": {"m_V": 0.0}, "ess": 1.0}}, "unreliable_measurements": [text],
    }  # fmt: skip
    criterion = Criterion(text, Estimate(1.0, 1.0, 1.0), Threshold(0.0, 2.0, text))
    claim = Claim(id=text, statement=text, paper=text, ours=text, criteria=(criterion,), cause=text, study=text)
    summary = results.summary(synthetic_result(chains=2, draws=5)) | {"region": text, "pulls": pulls}
    return [
        *tables.point_tables(point_with(text)),
        *tables.fit_tables(fit),
        *tables.constrained_tables(constrained),
        *tables.summary_tables(summary),
        *tables.check_tables(checks, 1),
        tables.cuts_table(summary | {"constraints": {text: cut}, "n_allowed": 1}),
        tables.evidence_table({"data": text, "physics": {}, "covariances": [text], "models": {text: {text: evidence}}}),
        tables.distances_table({text: {"distance": 0.1, "p_value": 0.5}}),
        tables.claims_table([claim]),
        tables.criteria_table([claim]),
    ]


def test_a_row_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="expected 2 cells, got 3"):
        table.Table("title", table.words("one", "two")).add_row("a", "b", "c")


def test_values_have_one_format():
    known = {0.1234567: "0.123457", 12345678: "12345678", None: "-", "[x]": "[x]", (1.0, 2): "1, 2", 1e-12: "1e-12"}
    assert {value: table.format_value(value) for value in known} == known
    assert table.format_value({"m_V": 5.49999, "r": None}, ".3g") == "m_V 5.5, r -"
    assert (table.with_unit("m_V", "GeV"), table.with_unit("r", "1")) == ("m_V [GeV]", "r")


def test_terminal_and_page_have_the_same_cells_and_meanings(monkeypatch):
    """Headings with units, and what is bad or doubtful, from one record."""
    item = table.Table("title", [table.Column("m_V", "GeV"), *table.numbers("pull")])
    item.add_row("1", table.Cell("+3.20", "bad"))
    console = table.console(width=80)
    drawn = [segment for line in console.render_lines(item) for segment in line]
    assert any("m_V [GeV]" in segment.text for segment in drawn)
    (pull,) = (segment for segment in drawn if "+3.20" in segment.text)
    assert pull.style.color.name == "red"
    monkeypatch.setattr(html_report.tables, "cuts_table", lambda summary: item)
    page = page_with("x", monkeypatch)
    assert '<th class="left">m_V [GeV]</th>' in page and '<td class="right bad">+3.20</td>' in page


def printed(items):
    console = table.console(width=2000)
    with console.capture() as capture:
        console.print(*items, sep="\n")
    return capture.get()


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_the_terminal_shows_text_as_it_is(text):
    plain, nasty = (printed(tables_with(words)) for words in ("plainword", text))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udcff]", nasty)
    # Without spaces, for a long title breaks into lines, and without the lines under the heads, which are as long.
    words, shown_words, wanted = (re.sub(r"[\s─]", "", t) for t in (plain, nasty, NASTY[text]))
    assert words.count("plainword") > 20
    assert shown_words == words.replace("plainword", wanted)


class _Text(HTMLParser):
    """The tags of a page in order, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *attrs))

    def handle_data(self, data):
        self.text.append(data)


def page_with(text, monkeypatch):
    monkeypatch.setattr(html_report, "_figure", lambda tree, name: {"png": "", "error": ""})
    tree = synthetic_result(warnings=[text], chains=2, draws=5)
    row = {"cut_alone": 3, "cut_given_others": 1, "quality": text, "applied": True}
    summary = results.summary(tree) | {"model": text, "region": text, "data": text, "n_allowed": 1}
    summary |= {"constraints": {text: row}, "versions": {text: text}, "pulls": [{"id": text, "sm": 4.0, "best": 0.0}]}
    return html_report.result_page(results.with_group(tree, "constraints", xr.Dataset(), summary=summary))


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_the_page_shows_text_as_it_is_and_holds_no_other_element(monkeypatch, text):
    plain, nasty = (_Text(page_with(words, monkeypatch)) for words in ("plainword", text))
    assert nasty.tags == plain.tags
    assert nasty.text == [words.replace("plainword", NASTY[text]) for words in plain.text]
    assert "".join(plain.text).count("plainword") >= 12


def test_a_result_of_every_text_makes_one_page_and_goes_to_a_place_of_every_name(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(html_report, "_figure", lambda tree, name: {"png": "", "error": ""})
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        results.save(synthetic_result(chains=2, draws=5), tmp_path / name / "posterior.nc")
    (tmp_path / "page[").mkdir()
    assert main(["report", "one", "--out", "page[/].html"]) == 0
    assert capsys.readouterr().out == "page[/].html\n"
    assert main(["report", "one", "--out", "page[/]\x1b[1m.html"]) == 2
    assert capsys.readouterr().err == (
        "jaxdark: expected a name of printable characters, got 'page[/]\\x1b[1m.html'; name another one with --out\n"
    )
    monkeypatch.setattr("jaxdark.output.drawing.save_figure", lambda *_: [])
    assert main(["compare", "one", "two", "--out", "cmp[/]x"]) == 0
    assert "figure in cmp[/]x\n" in capsys.readouterr().out
    assert main(["report", "\x1b[31mnothing\nthere"]) == 2
    assert capsys.readouterr().err.startswith("jaxdark: no result at \\x1b[31mnothing\\nthere: ")
    assert main(["point", "m_V\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_ids_of_a_file_come_back_from_the_commands(tmp_path, capsys):
    (tmp_path / "toy.yaml").write_text(TOY)
    content = read_yaml(tmp_path / "toy.yaml")  # not by PyYAML, which flavio, once imported, has make ordered mappings
    first = content["entries"][0]
    content["entries"] = [first | {"id": text, "experiment": f"No {i}"} for i, text in enumerate(PRINTABLE)]
    for entry, low in zip(content["entries"], range(len(PRINTABLE)), strict=True):
        edges = [0.1 + 0.5 * low, 0.6 + 0.5 * low]
        entry["rows"] = [first["rows"][0] | {"q2": edges}]
    path = tmp_path / "ids [x].yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert main(["data", "check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: {len(PRINTABLE)} rows in {len(PRINTABLE)} entries, nothing wrong\n"
    for entry in content["entries"]:
        entry["rows"][0]["value"] = "x"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert main(["data", "check", str(path)]) == 2
    sentences = capsys.readouterr().err.splitlines()
    assert len(sentences) == len(PRINTABLE)
    for sentence, text in zip(sentences, PRINTABLE, strict=True):
        assert f"entry {text}, row 1" in sentence


def test_a_point_shows_ids_as_they_are(monkeypatch, capsys):
    monkeypatch.setattr(options, "build_likelihood", lambda settings: None)
    monkeypatch.setattr("jaxdark.analysis.point.point_record", lambda *_: point_with("[/x] [red]Mine[/red]"))
    assert main(["point", *POINT]) == 0
    (line,) = re.findall(r" (\S+ \S+) +1.00 ± 0.10 ", capsys.readouterr().out)
    assert line == "[/x] [red]Mine[/red]"


def test_the_console_of_the_commands_prints_sentences_as_they_are(capsys):
    options.console().print("written to cmp[/]x :smile:", "a\x1b[1mb", sep="\n")
    assert capsys.readouterr().out == "written to cmp[/]x :smile:\na\\x1b[1mb\n"


def test_warnings_of_data_are_one_sentence(tmp_path, capsys):
    path = tmp_path / "toy.yaml"
    path.write_text(TOY + TOY.split("entries:\n")[1].replace("Toy_RK", "Again").replace("Toy_Bsmumu", "Toy2"))
    assert main(["data", "check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}: 4 rows in 4 entries, 2 likely to be mistaken\n"
    expected = (
        f"jaxdark: warning: {path}: entries Toy_RK and Again hold the same events (R_K[1.1,6]), which count twice"
    )
    assert err.splitlines()[0].startswith(expected)
    request = ["fit", "--region", "high", "--data", str(path), "--theory", "full", "--out", str(tmp_path / "out")]
    assert main(request) == 2
    warned, _, refused = capsys.readouterr().err.splitlines()
    assert warned.startswith("jaxdark: warning: data set toy: entries Toy_RK and Again hold the same events")
    assert "fits and profiles need" in refused


# ---- what errors are made of ----


def test_messages_are_of_one_line_and_bounded():
    message = str(RequestError("a\nb\x1b[31m" + "x" * 10**6 + "end"))
    assert message.startswith("a\\nb\\x1b[31mxxx") and message.endswith("xxxend") and len(message) == 1000
    nested = value = []
    for _ in range(10_000):
        nested.append([])
        nested = nested[0]
    wide = ["x" * 1000] * 1000
    for thing in (value, wide, {str(i): wide for i in range(1000)}, "y" * 10**6, 10**6000, "a\x1b\u202e"):
        assert len(shown(thing)) <= 60 and shown(thing).isprintable()
    assert (shown(-0.3), shown("a'b"), shown([1, 2.0])) == ("-0.3", '"a\'b"', "[1, 2.0]")
    assert visible("plain μ text\N{NO-BREAK SPACE}") == "plain μ text\N{NO-BREAK SPACE}"


ENTRY = ("id", "experiment", "source", "quality", "arxiv", "reference", "year", "rows", "correlation")
ANGULAR = PROCESSES["B0->K*0mumu"].observables


@pytest.mark.parametrize(
    ("wrong", "names", "typos", "right"),
    [
        ("valeu", ("value", "stat"), True, "value"),
        ("experimnt", ENTRY, True, "experiment"),
        ("covariance", ENTRY, True, None),
        ("luminosity", ENTRY, True, None),
        ("hihg", ("high", "low"), True, "high"),
        ("sm", ("split", "zprime", "constant"), True, None),
        ("C99", ("C9", "C10"), True, "C9"),
        ("alpha", ("alpha_em", "alpha_em_mZ"), True, None),
        ("LHCb_RK_2018", ("LHCb_RK_2014", "LHCb_RK_2019"), True, "LHCb_RK_2019"),
        ("hepfit", ("paper2020", "hepfit2019"), True, "hepfit2019"),
        ("B+->K+nunu", PROCESSES, False, None),
        ("B0->mumu", PROCESSES, False, None),
        ("Bs->phill", PROCESSES, False, None),
        ("B0->K*0tautau", PROCESSES, False, None),
        ("B0->Kst0mumu", PROCESSES, False, "B0->K*0mumu"),
        ("Bs -> mu mu", PROCESSES, False, "Bs->mumu"),
        ("S6", ANGULAR, False, None),
        ("f_l", ANGULAR, False, "FL"),
        ("P5'", ANGULAR, False, "P5p"),
        (3, ENTRY, True, None),
        ("", ENTRY, True, None),
        ("x" * 10**6, ENTRY, True, None),
    ],
)
def test_a_name_is_hinted_at_only_where_it_is_near(wrong, names, typos, right):
    assert near_name(wrong, names, typos=typos) == right
    advice = nearest(wrong, names, typos=typos)
    assert advice == (f"choose one of {', '.join(names)}" if right is None else f"the nearest right name is {right}")[
        : len(advice)
    ] or advice.endswith("more")


def test_long_lists_of_names_are_cut():
    advice = nearest("zzz", [f"name{i}" for i in range(100)])
    assert advice.startswith("choose one of name0, name1, ") and advice.endswith("name11 and 88 more")
