"""Figures show the draws they were given, state what they belong to, and leave matplotlib as it was."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from near import near
from own_prior import result_of
from synthetic_result import synthetic_result

from jaxdark.io.results import summary
from jaxdark.likelihood.priors import PRIORS, Range
from jaxdark.output import drawing, figures
from jaxdark.output.contours import draw_contours
from jaxdark.output.corner_figure import corner_figure
from jaxdark.output.overlay_figure import overlay_figure
from jaxdark.output.plane_figure import plane_figure
from jaxdark.output.pulls_figure import pulls_figure
from jaxdark.output.trace_figure import trace_figure


@pytest.fixture(scope="module")
def tree():
    return synthetic_result()


@pytest.mark.parametrize("name", figures.FIGURES)
def test_the_title_says_what_is_shown_and_warns_of_a_run_that_has_not_converged(name, tree):
    title = figures.FIGURES[name](tree).get_suptitle()
    for part in ("high region", "data paper2020", "theory marginalised", "limit", "4 × 300 draws"):
        assert part in title
    assert "converged" not in title
    bad = figures.FIGURES[name](synthetic_result(warnings=["R-hat of r is 1.2, above 1.01"]))
    assert "not converged: R-hat of r is 1.2, above 1.01" in bad.get_suptitle()


def test_no_figure_is_left_open(tree):
    from matplotlib import pyplot

    for make in figures.FIGURES.values():
        make(tree)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("region", ["high", "low"])
def test_the_plane_holds_the_best_955_per_cent_within_the_prior(region):
    tree = synthetic_result(region)
    ax = plane_figure(tree).axes[0]
    points = ax.collections[0]
    log_likelihood = np.asarray(tree["derived"]["log_likelihood"]).ravel()
    assert len(points.get_offsets()) == round(0.9545 * log_likelihood.size)
    assert points.get_array().min() >= np.quantile(log_likelihood, 0.045) + 62.5
    assert points.get_array().max() == near(log_likelihood.max() + 62.5)
    assert np.all(np.diff(points.get_array()) >= 0)
    prior = PRIORS["split"][region].ranges
    assert ax.get_xlim() == (prior["m_V"].lower, prior["m_V"].upper)
    assert ax.get_ylim() == (prior["g_mu_V"].lower, prior["g_mu_V"].upper) == (1e-3, 0.2)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")


def test_every_legend_lies_within_its_figure(tree):
    for make in figures.FIGURES.values():
        fig = make(tree)
        FigureCanvasAgg(fig).draw()
        for legend in (*fig.legends, *(ax.get_legend() for ax in fig.axes if ax.get_legend())):
            extent = legend.get_window_extent()
            assert extent.x0 >= 0 and extent.x1 <= fig.bbox.x1 and extent.y0 >= 0, (make.__name__, extent)


def test_contours_hold_their_share_of_the_draws():
    rng = np.random.default_rng(0)
    x, y = rng.normal(8.5, 1.0, 200_000), np.exp(rng.normal(np.log(0.014), 0.4, 200_000))
    fig = drawing.blank_figure(5, 5)
    ax = fig.subplots()
    draw_contours(ax, x, y, PRIORS["split"]["high"].ranges["m_V"], PRIORS["split"]["high"].ranges["g_mu_V"])
    radius2 = ((x - 8.5) / 1.0) ** 2 + ((np.log(y) - np.log(0.014)) / 0.4) ** 2
    for lines, share in zip(ax.collections, (0.9545, 0.6827), strict=True):
        (vertices,) = lines.get_paths()[0].to_polygons()
        boundary = ((vertices[:, 0] - 8.5) / 1.0) ** 2 + ((np.log(vertices[:, 1]) - np.log(0.014)) / 0.4) ** 2
        assert np.mean(radius2 < boundary.mean()) == near(share, abs=0.005)


def test_the_corner_has_a_panel_for_each_pair_and_logarithmic_axes_where_the_prior_is(tree):
    axes = np.array(corner_figure(tree).axes).reshape(5, 5)
    scales = [ax.get_xscale() for ax in axes[-1]]
    assert scales == ["linear", "log", "linear", "linear", "log"]
    names = ("m_V", "g_mu_V", "r_AV", "g_D", "r")
    assert [ax.get_xlabel() for ax in axes[-1]] == [drawing.LABELS[name] for name in names]


def test_the_corner_labels_two_to_six_ticks_away_from_the_next_panel():
    """On logarithmic axes of a third of a decade, two decades and twelve, and on linear ones."""
    ranges = {
        "a": Range(0.01, 0.02, log=True), "b": Range(1e-3, 0.2, log=True, sign=-1), "c": Range(1e-12, 1.0, log=True),
        "d": Range(-1.0, 2.0), "e": Range(0.0, 1e-6),
    }  # fmt: skip
    fig = corner_figure(result_of(ranges))
    fig.canvas.draw()
    for ax in np.array(fig.axes).reshape(5, 5)[-1]:
        to_axis = ax.transData + ax.transAxes.inverted()
        position = to_axis.transform([(tick, 1.0) for tick in ax.get_xticks()])[:, 0]
        assert 2 <= len(position) <= 6 and position.min() > 0.03 and position.max() < 0.97, ax.get_xlabel()
        assert all(text.get_text() for text in ax.get_xticklabels())


def test_the_trace_marks_divergences(tree):
    fig = trace_figure(tree)
    crosses = [line for line in fig.axes[0].lines if line.get_marker() == "x"]
    diverging = np.asarray(tree["sample_stats"]["diverging"])
    assert [len(line.get_xdata()) for line in crosses] == diverging.sum(axis=1).tolist()
    assert diverging.any()
    entries = [text.get_text() for text in fig.legends[0].get_texts()]
    assert entries == [*(f"chain {chain}" for chain in range(4)), "expected", "divergence"]


def test_the_pulls_are_all_shown(tree):
    fig = pulls_figure(tree)
    assert [len(ax.get_yticklabels()) for ax in fig.axes] == [14, 14, 12]
    assert len({ax.get_ylim() for ax in fig.axes}) == 1  # rows of the short column are no taller


def test_figures_are_written_as_png_and_pdf(tree, tmp_path):
    names = figures.save_figures(tree, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        if name.endswith("png"):
            image = imread(tmp_path / name)
            assert image.shape[0] > 500 and image.std() > 0.05
        else:
            assert (tmp_path / name).read_bytes().startswith(b"%PDF")


def narrow(n):
    return np.random.default_rng(3).normal(-0.9, 0.12, n)


PRIORS_OF_ALL_KINDS = {
    "one": {"C9": Range(-3.0, 3.0)},
    "one negative": {"x_1": Range(0.0, 3.0, sign=-1)},
    "negative logarithm": {"g_bs": Range(1e-9, 1e-4, log=True, sign=-1), "M_V'": Range(0.1, 3.0)},
    "fixed": {"m_V": Range(2.0, 2.0), "g_mu_V": Range(1e-3, 0.2, log=True), "r": Range(-10.0, 10.0)},
    "fixed logarithm": {"g_mu_V": Range(0.1, 0.1, log=True), "r_AV": Range(-1.0, 0.0)},
    "nothing but fixed": {"m_V": Range(2.0, 2.0)},
    "across zero": {"a": Range(-1.0, 2.0), "b": Range(-1e-9, 1e-9), "c": Range(0.0, 5.0, sign=-1)},
}


@pytest.mark.parametrize("kind", PRIORS_OF_ALL_KINDS)
@pytest.mark.parametrize("draws", [1, 3, 120])
def test_every_figure_can_be_drawn_of_every_prior(kind, draws):
    ranges = PRIORS_OF_ALL_KINDS[kind]
    tree = result_of(ranges, {"C9": narrow} if "C9" in ranges else {}, chains=2, draws=draws)
    for make in figures.FIGURES.values():
        make(tree).canvas.draw()
    overlay_figure({"one": tree, "_other": tree}).canvas.draw()


@pytest.mark.parametrize("parameters", [2, 10])
def test_the_corner_has_one_panel_for_each_pair(parameters):
    tree = result_of({f"p_{i}": Range(-1.0, 1.0 + i) for i in range(parameters)}, chains=2, draws=150)
    axes = np.array(corner_figure(tree).axes).reshape(parameters, parameters)
    assert [ax.get_xlabel() for ax in axes[-1]] == [f"p_{i}" for i in range(parameters)]
    for fig in (trace_figure(tree), plane_figure(tree), overlay_figure({"x": tree})):
        fig.canvas.draw()


def test_axes_hold_the_draws_of_a_negative_parameter():
    """Linear ones by value, logarithmic ones by magnitude; a fixed parameter is named and has no panel."""
    ranges = {"f": Range(2.0, 2.0), "x": Range(0.0, 3.0, sign=-1), "g": Range(1e-3, 1.0, log=True, sign=-1)}
    tree = result_of(ranges)
    fig = corner_figure(tree)
    assert "fixed: f = 2" in fig.get_suptitle()
    x_axis, g_axis = fig.axes[2], fig.axes[3]
    assert -3 <= x_axis.get_xlim()[0] < -2.8 and -0.2 < x_axis.get_xlim()[1] <= 0
    assert (x_axis.get_xlabel(), x_axis.get_ylabel(), g_axis.get_xlabel()) == ("x", "|g|", "|g|")
    assert 1e-3 <= g_axis.get_xlim()[0] < g_axis.get_xlim()[1] <= 1.0 and g_axis.get_xscale() == "log"
    ax = plane_figure(tree).axes[0]
    assert ax.get_xlim() == (-3.0, 0.0) and ax.get_ylim() == (1e-3, 1.0)
    (star,) = (line for line in ax.lines if line.get_marker() == "*")
    best = summary(tree)["max_likelihood_draw"]["parameters"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (best["x"], -best["g"])


def test_one_parameter_is_shown_with_its_likelihood_and_its_histogram():
    tree = result_of({"C9": Range(-3.0, 3.0)}, {"C9": narrow})
    ax = plane_figure(tree).axes[0]
    gain = np.sort(np.asarray(tree["derived"]["log_likelihood"]).ravel()) + 62.5
    np.testing.assert_allclose(
        np.sort(ax.collections[0].get_offsets()[:, 1]), gain[-len(ax.collections[0].get_offsets()) :]
    )
    assert ax.get_xlabel() == "$C_9$" and "SM" in ax.get_ylabel()
    (panel,) = corner_figure(tree).axes
    assert -1.5 < panel.get_xlim()[0] < -1.1 and panel.get_xlabel() == "$C_9$"


def test_a_pull_beyond_the_axis_is_a_triangle_at_its_edge():
    rows = [{"id": "a", "sm": 12.0, "best": 0.5}, {"id": "b", "sm": None, "best": -30.0}]
    left, right = pulls_figure(result_of({"x": Range(0.0, 1.0)}, pulls=rows)).axes
    for ax, shape, edge in ((left, ">", 8.0), (right, "<", -8.0)):
        (line,) = (line for line in ax.lines if line.get_marker() in "<>")
        assert (line.get_marker(), line.get_xdata().tolist(), line.get_ydata().tolist()) == (shape, [edge], [0])
        assert ax.get_xlim() == (-8.0, 8.0)


HOSTILE = ["x$\\foo$", "a_b^c", "$", "$$", "\\", "\\$x", "\x1b[31m\nred", "\\frac{", "_x", "%", "\ud800", "y" * 300]


def test_words_from_data_are_shown_as_they_are(monkeypatch):
    """With the LaTeX that the user asked for and does not have."""
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    pulls = [{"id": words, "sm": 1.0, "best": 0.0} for words in HOSTILE]
    for words in HOSTILE:
        changed = {"data": words, "region": words, "model": words, "pulls": pulls, "converged": False}
        changed["warnings"] = [words]
        tree = result_of(
            {words: Range(0.1, 1.0, log=True, sign=-1), "b": Range(0.0, 1.0)}, chains=2, draws=20, **changed
        )
        for make in (plane_figure, pulls_figure) if words != HOSTILE[0] else figures.FIGURES.values():
            make(tree).canvas.draw()
        overlay_figure({words: tree, "b": tree}, None, words).canvas.draw()
    assert matplotlib.rcParams["text.usetex"] is True


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("x$\\foo$", r"x\$\foo\$"),
        ("a_b^c\\d", r"a_b^c\d"),
        ("a\x1b[31m\nb", "a [31m b"),
        ("q" * 80, "q" * 30 + "…" + "q" * 29),
    ],
)
def test_literal_words(words, text):
    assert drawing.literal(words) == text


def test_labels_follow_the_prior():
    known = {
        ("r", Range(0.03, 10.0, log=True, sign=-1)): "$|r|$",
        ("r", Range(-10.0, 10.0)): "$r$",
        ("m_V", Range(2.0, 15.0)): "$m_V$ [GeV]",
        ("C9", Range(0.1, 3.0, log=True, sign=-1)): "$|C_9|$",
        ("width", Range(1e-6, 1.0, log=True)): r"$\Gamma$ [GeV]",
        ("x_1", Range(0.0, 1.0)): "x_1",
        ("M_V'", Range(0.1, 1.0, log=True, sign=-1)): "|M_V'|",
    }
    assert {key: drawing.label(*key) for key in known} == known


def test_the_users_style_changes_nothing(tree, tmp_path):
    plain = [name for name in drawing.save_each({"pulls": lambda: pulls_figure(tree)}, tmp_path) if "png" in name]
    before = (tmp_path / plain[0]).read_bytes()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        drawing.save_each({"pulls": lambda: pulls_figure(tree)}, tmp_path)
    assert (tmp_path / plain[0]).read_bytes() == before


def test_a_figure_that_fails_leaves_the_others(tree, tmp_path, monkeypatch):
    def broken(tree):
        raise ZeroDivisionError("a\nbug")

    monkeypatch.setattr(figures, "FIGURES", {"broken": broken, "pulls": pulls_figure})
    with pytest.raises(drawing.FigureError, match=r"^could not draw broken \(ZeroDivisionError: a bug\)$"):
        figures.save_figures(tree, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"pulls.png", "pulls.pdf"}
