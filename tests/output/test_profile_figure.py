"""The figure of a profile draws the lines it claims, with the posterior beside them."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread
from near import near
from scipy.stats import chi2, norm
from synthetic_result import synthetic_result

from jaxdark.likelihood.priors import prior_of
from jaxdark.output.profile_figure import LEVELS, profile_figure, save

PRIOR = prior_of("high")


def paraboloid(*names):
    """A dataset as of `jaxdark.profile` whose Delta chi2 is a paraboloid around the middle of the axes."""
    axes = {name: np.asarray(PRIOR.vector(np.linspace(0, 1, 61)[:, None] * np.ones(5)))[:, PRIOR.names.index(name)]
            for name in names}  # fmt: skip
    t = np.meshgrid(*(np.linspace(-5, 5, 61) for _ in names), indexing="ij")
    record = {
        "model": "split", "region": "high", "data": "paper2020", "theory": "marginalised", "g_minus_2": "limit",
        "best": {"chi2": 100.0, "parameters": {n: float(axes[n][30]) for n in names}}, "converged_fraction": 1.0,
        "prior": {name: r._asdict() for name, r in PRIOR.ranges.items()},
    }  # fmt: skip
    return xr.Dataset({"delta_chi2": (names, sum(x**2 for x in t))}, axes, {"record": json.dumps(record)})


def test_levels_are_those_of_one_two_and_three_sigma():
    for parameters, levels in LEVELS.items():
        expected = chi2.isf(2 * norm.sf([1, 2, 3]), parameters)
        np.testing.assert_allclose(levels, expected, rtol=1e-6)


def test_contours_lie_where_the_profile_crosses_the_levels():
    fig = profile_figure(paraboloid("m_V", "g_mu_V"))
    ax = fig.axes[0]
    lines = [c for c in ax.collections if c.get_paths() and len(getattr(c, "levels", ())) == 1]
    assert len(lines) == 3
    for contour, level in zip(lines, LEVELS[2], strict=True):
        for x, y in contour.get_paths()[0].vertices:
            t = 10 * (np.asarray(PRIOR.cube(np.array([x, y, -0.5, 2.0, -1.0])))[:2] - 0.5)
            assert t @ t == near(level, rel=0.05)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$m_V$ [GeV]", r"$g_\mu^V$")


@pytest.mark.parametrize("names", [("m_V",), ("r",), ("m_V", "g_mu_V"), ("r", "g_D")])
def test_a_posterior_is_named_in_legend_and_title(names, tmp_path):
    fig = profile_figure(paraboloid(*names), synthetic_result(warnings=["R-hat of r is 1.2"]))
    title = fig.get_suptitle()
    for part in ("split, high region", "data paper2020", "4 × 300 draws", "not converged"):
        assert part in title
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert "best fit" in labels and any("posterior" in label for label in labels)
    assert sorted(save(paraboloid(*names), tmp_path)) == ["profile.pdf", "profile.png"]
    image = imread(tmp_path / "profile.png")
    assert image.shape[0] > 500 and image.std() > 0.05
