"""`jaxdark sample` and `jaxdark plot` around a sampler that is replaced by a made-up result."""

import json
import tomllib

import numpy as np
import pytest
from synthetic_result import synthetic_result

import jaxdark.sampling.sample
from jaxdark.io import results
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.likelihood.priors import prior_of
from jaxdark.output import figures

NOT_SETTINGS = ("report", "checkpoints")
FILES = {"posterior.nc", "summary.json", "config.toml", "plane.png", "plane.pdf"}


@pytest.fixture
def sampler(monkeypatch):
    """A sampler that answers with `answer`, or raises it, and keeps what it was asked; one figure is enough here."""

    class Sampler:
        calls, answer = [], synthetic_result()

        def __call__(self, like, prior, **keywords):
            self.calls.append((like, prior, keywords))
            keywords["report"]("chains", 1, 2)
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

    replacement = Sampler()
    replacement.calls = []
    monkeypatch.setattr(jaxdark.sampling.sample, "sample", replacement)
    monkeypatch.setattr(figures, "FIGURES", {"plane": figures.plane_figure})
    return replacement


def test_a_good_run_writes_everything(jaxdark, sampler, toy, tmp_path):
    out = tmp_path / "deep" / "result"
    code, shown, err = jaxdark("sample", "--data", toy, "--out", out, "--chains", 3, "--draws", 200, "--seed", 7)
    assert (code, err) == (0, "")
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["result"]
    like, prior, keywords = sampler.calls[0]
    assert (like.data.ids, prior) == (("Toy_RK", "Toy_Bsmumu"), prior_of("high"))
    assert {name: keywords[name] for name in ("chains", "draws", "warmup", "seed")} == {
        "chains": 3, "draws": 200, "warmup": None, "seed": 7,
    }  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert summary == results.summary(sampler.answer)
    stored = results.load(out / "posterior.nc")
    assert np.array_equal(stored["posterior"]["m_V"], sampler.answer["posterior"]["m_V"])
    for text in ("toy/P5p[3,4]", "R-hat", "): converged", str(out)):
        assert text in shown.replace("\n", "")
    assert (out / "plane.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "plane.pdf").read_bytes().startswith(b"%PDF")


def test_the_written_config_repeats_the_run(jaxdark, sampler, toy, tmp_path):
    inputs = tmp_path / "inputs.yaml"
    inputs.write_text("lambda_t: -0.04\nGF: 1.2e-5\n")
    flags = ["--region", "low", "--theory", "full", "--g-minus-2", "upper", "--seed", 3, "--inputs", inputs]
    assert jaxdark("sample", "--data", toy, "--out", tmp_path / "one", "--chains", 2, *flags)[0] == 0
    config = tmp_path / "one" / "config.toml"
    assert tomllib.loads(config.read_text())["inputs"] == {"lambda_t": -0.04, "GF": 1.2e-5}
    assert jaxdark("sample", "--config", config, "--out", tmp_path / "two")[0] == 0
    assert (tmp_path / "two" / "config.toml").read_text() == config.read_text()
    (one, *first), (two, *second) = sampler.calls
    assert first[0] == second[0] == prior_of("low")
    one_asked, two_asked = ({n: v for n, v in call[1].items() if n not in NOT_SETTINGS} for call in (first, second))
    assert one_asked == two_asked
    assert (one.theory, one.g_minus_2, one.data.sha256) == (two.theory, two.g_minus_2, two.data.sha256)
    assert float(one.sm.lambda_t) == float(two.sm.lambda_t) == -0.04
    toy.write_text(toy.read_text().replace("0.85", "0.95"))
    code, _, err = jaxdark("sample", "--config", config, "--out", tmp_path / "three")
    assert code == 2 and "changed" in err and not (tmp_path / "three").exists()
    assert jaxdark("sample", "--config", config, "--data", toy, "--out", tmp_path / "three")[0] == 0


def test_the_default_folder_is_named_after_region_and_data(jaxdark, sampler, toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jaxdark("sample", "--data", toy, "--region", "low", "--quiet")[0] == 0
    assert {path.name for path in (tmp_path / "results" / "low-toy").iterdir()} == FILES


def test_printed_physics_by_a_flag(jaxdark, refused, sampler, toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jaxdark("sample", "--data", toy, "--region", "low", "--physics", "paper", "--quiet")[0] == 0
    config = tomllib.loads((tmp_path / "results" / "split-paper-low-toy" / "config.toml").read_text())
    assert config["physics"] == "paper"
    assert "of the model split, got the model zprime" in refused(
        "sample", "--data", toy, "--model", "zprime", "--physics", "paper"
    )


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file"])
def test_what_exists_is_not_overwritten(refused, sampler, toy, tmp_path, kind):
    out = tmp_path / "result"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
    if kind == "folder":
        (out / "summary.json").write_text("mine")
    sentence = refused("sample", "--data", toy, "--out", out)
    assert "exists" in sentence and "--out" in sentence and not sampler.calls
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result", "toy.yaml"]
    assert kind == "empty folder" or (out if kind == "file" else out / "summary.json").read_text() == "mine"


def test_force_replaces_the_files_of_a_result_and_no_other(jaxdark, sampler, toy, tmp_path):
    out = tmp_path / "result"
    out.mkdir()
    for name in ("summary.json", "notes.txt"):
        (out / name).write_text("mine")
    assert jaxdark("sample", "--data", toy, "--out", out, "--force")[0] == 0
    assert {path.name for path in out.iterdir()} == FILES | {"notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "summary.json").read_text())["converged"]


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(refused, sampler, toy, tmp_path):
    sentence = refused("sample", "--data", toy, "--out", toy / "result")
    assert "can be written" in sentence and "--out" in sentence and not sampler.calls
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "jaxdark: stopped, nothing unfinished is kept"),
        (OSError(28, "No space left on device"), 1, "jaxdark: the job failed: [Errno 28] No space left on device"),
    ],
)
def test_a_run_that_stops_leaves_nothing(jaxdark, sampler, toy, tmp_path, error, code, sentence):
    sampler.answer = error
    got, out, err = jaxdark("sample", "--data", toy, "--out", tmp_path / "new" / "result")
    assert (got, out) == (code, "") and err.startswith(sentence) and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "jaxdark: stopped, what was done is kept in"),
        (
            OSError(28, "No space left on device"),
            1,
            "jaxdark: the job failed: [Errno 28] No space left on device; what",
        ),
    ],
)
def test_a_run_that_stops_on_its_way_says_how_to_resume(
    jaxdark, refused, sampler, toy, tmp_path, error, code, sentence
):
    def stopping(like, prior, *, seed, checkpoints, **keywords):
        checkpoints.begin({"seed": seed})
        if checkpoints.load("map") is None:
            checkpoints.save("map", {"a": np.zeros(3)})
            raise error
        return sampler.answer

    sampler.__class__.__call__ = lambda self, *args, **keywords: stopping(*args, **keywords)
    out, partial = tmp_path / "result", tmp_path / ".result.partial"
    got, _, err = jaxdark("sample", "--data", toy, "--out", out)
    assert got == code and err.startswith(sentence) and err.count("\n") == 1
    assert "give the same command to resume" in err and partial.is_dir() and not out.exists()
    assert "(seed: 0, now 1)" in refused("sample", "--data", toy, "--out", out, "--seed", 1) and partial.is_dir()
    got, _, err = jaxdark("sample", "--data", toy, "--out", out)
    assert (got, err) == (0, f"jaxdark: resuming the unfinished run kept in {partial}\n")
    assert {path.name for path in out.iterdir()} == FILES and not partial.exists()


def test_force_starts_a_run_with_other_settings_anew(jaxdark, sampler, toy, tmp_path):
    checkpoints = Checkpoints(tmp_path / ".result.partial")
    checkpoints.begin({"seed": 5})
    checkpoints.save("map", {"a": np.zeros(3)})
    sampler.__class__.__call__ = lambda self, *_, checkpoints, **__: (checkpoints.begin({"seed": 6}), self.answer)[1]
    assert jaxdark("sample", "--data", toy, "--out", tmp_path / "result", "--force")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"result", "toy.yaml"}


def test_the_method_reaches_the_sampler(jaxdark, refused, sampler, toy, tmp_path):
    flags = ["--method", "importance", "--n-samples", 4096]
    assert jaxdark("sample", "--data", toy, "--out", tmp_path / "one", *flags)[0] == 0
    assert {name: sampler.calls[0][2][name] for name in ("method", "n_samples")} == {
        "method": "importance",
        "n_samples": 4096,
    }


def test_a_programming_error_is_not_hidden(jaxdark, sampler, toy, tmp_path):
    sampler.answer = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        jaxdark("sample", "--data", toy, "--out", tmp_path / "result")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_figure_that_fails_does_not_cost_the_numbers(jaxdark, sampler, toy, tmp_path, monkeypatch):
    def broken(tree):
        raise ZeroDivisionError("a bug")

    out, numbers = tmp_path / "result", {"posterior.nc", "summary.json", "config.toml"}
    monkeypatch.setattr(figures, "FIGURES", {"plane": broken})
    code, shown, err = jaxdark("sample", "--data", toy, "--out", out)
    assert code == 0 and "): converged" in shown
    assert err == f"jaxdark: could not draw plane (ZeroDivisionError: a bug); the numbers are in {out}\n"
    assert {path.name for path in out.iterdir()} == numbers
    monkeypatch.setattr(figures, "FIGURES", {"plane": broken, "pulls": figures.pulls_figure})
    code, _, err = jaxdark("plot", out)
    assert code == 1 and err.startswith("jaxdark: could not draw plane") and err.count("\n") == 1
    assert {path.name for path in out.iterdir()} == numbers | {"pulls.png", "pulls.pdf"}
    monkeypatch.setattr(
        figures,
        "FIGURES",
        {"plane": broken, "pulls": figures.pulls_figure} | dict.fromkeys(("corner", "trace"), figures.pulls_figure),
    )
    assert jaxdark("report", out)[0] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Could not draw the figure plane: a bug" in page and page.count("<img ") == 3


def test_a_run_that_has_not_converged_is_written_and_fails_the_command(jaxdark, sampler, toy, tmp_path):
    sampler.answer = synthetic_result(warnings=["R-hat of m_V is 1.05, above 1.01"])
    out = tmp_path / "result"
    code, shown, err = jaxdark("sample", "--data", toy, "--out", out)
    assert code == 1 and "not converged: R-hat of m_V" in shown.replace("\n", " ")
    assert err.count("\n") == 1 and "R-hat of m_V is 1.05, above 1.01" in err
    assert {path.name for path in out.iterdir()} == FILES
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["converged"], summary["warnings"]) == (False, ["R-hat of m_V is 1.05, above 1.01"])


def test_json_and_quiet(jaxdark, sampler, toy, tmp_path):
    _, out, err = jaxdark("sample", "--data", toy, "--out", tmp_path / "one", "--json")
    assert err == "" and json.loads(out) == results.summary(sampler.answer)
    assert jaxdark("sample", "--data", toy, "--out", tmp_path / "two", "--quiet")[1:] == ("", "")


def test_plot_draws_the_figures_again(jaxdark, refused, sampler, toy, tmp_path):
    result = tmp_path / "result"
    assert jaxdark("sample", "--data", toy, "--out", result)[0] == 0
    figures = sorted(name for name in FILES if name.endswith(("png", "pdf")))
    drawn = {name: (result / name).read_bytes() for name in figures}
    for name in figures:
        (result / name).unlink()
    assert jaxdark("plot", result)[0] == 0
    assert {name: (result / name).read_bytes() for name in figures} == drawn
    code, out, _ = jaxdark("plot", result, "--out", tmp_path / "elsewhere")
    assert code == 0 and sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == figures
    assert "exists" in refused("plot", result, "--out", tmp_path / "elsewhere")


def test_plot_refuses_what_is_no_result(refused, tmp_path):
    assert "no result" in refused("plot", tmp_path / "nothing")
    assert "no result" in refused("plot", tmp_path)
    (tmp_path / "posterior.nc").write_text("not netCDF")
    assert "not a result" in refused("plot", tmp_path)
