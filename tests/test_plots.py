"""Figures show the draws they were given, state what they belong to, and leave matplotlib as it was."""

import numpy as np
import pytest
from matplotlib.image import imread
from near import near
from synthetic_result import synthetic_result

from jaxdark import plots
from jaxdark.inference.priors import PRIORS


@pytest.fixture(scope="module")
def tree():
    return synthetic_result()


@pytest.mark.parametrize("name", plots.FIGURES)
def test_the_title_says_what_is_shown_and_warns_of_a_bad_verdict(name, tree):
    title = plots.FIGURES[name](tree).get_suptitle()
    for part in ("high region", "data paper2020", "theory marginalised", "limit", "4 × 300 draws"):
        assert part in title
    assert "verdict" not in title
    bad = plots.FIGURES[name](synthetic_result(verdict="bad", reasons=["R-hat of r is 1.2, above 1.01"]))
    assert "verdict bad: R-hat of r is 1.2, above 1.01" in bad.get_suptitle()


def test_no_figure_is_left_open(tree):
    from matplotlib import pyplot

    for make in plots.FIGURES.values():
        make(tree)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("region", ["high", "low"])
def test_the_plane_holds_the_best_955_per_cent_within_the_prior(region):
    tree = synthetic_result(region)
    ax = plots.plane_figure(tree).axes[0]
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


def test_contours_hold_their_share_of_the_draws():
    rng = np.random.default_rng(0)
    x, y = rng.normal(8.5, 1.0, 200_000), np.exp(rng.normal(np.log(0.014), 0.4, 200_000))
    fig = plots.blank_figure(5, 5)
    ax = fig.subplots()
    plots.draw_contours(ax, x, y, PRIORS["split"]["high"].ranges["m_V"], PRIORS["split"]["high"].ranges["g_mu_V"])
    radius2 = ((x - 8.5) / 1.0) ** 2 + ((np.log(y) - np.log(0.014)) / 0.4) ** 2
    for lines, share in zip(ax.collections, (0.9545, 0.6827), strict=True):
        (vertices,) = lines.get_paths()[0].to_polygons()
        boundary = ((vertices[:, 0] - 8.5) / 1.0) ** 2 + ((np.log(vertices[:, 1]) - np.log(0.014)) / 0.4) ** 2
        assert np.mean(radius2 < boundary.mean()) == near(share, abs=0.005)


def test_the_corner_has_a_panel_for_each_pair_and_logarithmic_axes_where_the_prior_is(tree):
    axes = np.array(plots.corner_figure(tree).axes).reshape(5, 5)
    scales = [ax.get_xscale() for ax in axes[-1]]
    assert scales == ["linear", "log", "linear", "linear", "log"]
    names = ("m_V", "g_mu_V", "r_AV", "g_D", "r")
    assert [ax.get_xlabel() for ax in axes[-1]] == [plots.LABELS[name] for name in names]


def test_the_trace_marks_divergences(tree):
    fig = plots.trace_figure(tree)
    crosses = [line for line in fig.axes[0].lines if line.get_marker() == "x"]
    diverging = np.asarray(tree["sample_stats"]["diverging"])
    assert [len(line.get_xdata()) for line in crosses] == diverging.sum(axis=1).tolist()
    assert diverging.any()


def test_the_pulls_are_all_shown(tree):
    fig = plots.pulls_figure(tree)
    assert [len(ax.get_yticklabels()) for ax in fig.axes] == [14, 14, 12]


def test_figures_are_written_as_png_and_pdf(tree, tmp_path):
    names = plots.save_figures(tree, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        if name.endswith("png"):
            image = imread(tmp_path / name)
            assert image.shape[0] > 500 and image.std() > 0.05
        else:
            assert (tmp_path / name).read_bytes().startswith(b"%PDF")
