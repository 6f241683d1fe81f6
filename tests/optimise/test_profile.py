"""Profiles against iminuit and closed cases, and requests that are refused."""

from functools import partial

import jax
import numpy as np
import pytest
from iminuit import Minuit
from near import near
from scipy.interpolate import interp1d
from test_fit import minuit

from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.optimise.profile import profile, record_of

CONSTANT = prior_of("all", "constant")


@pytest.fixture(scope="module")
def like():
    return Likelihood(load_dataset("lhcb_core"))


@pytest.fixture(scope="module")
def line(like):
    return profile(like, CONSTANT, axes={"C9": np.linspace(-2.0, 0.5, 51)})


def with_covariance_of(dataset, like, prior):
    """The likelihood that was profiled."""
    return like.at(prior.model(np.array(list(record_of(dataset)["covariance_at"].values()))))


def test_one_sigma_is_that_of_minos(like, line):
    search = minuit(with_covariance_of(line, like, CONSTANT), CONSTANT, np.array([-0.9, 0.0]))
    search.minos(0)
    x, delta = line["C9"].values, line["delta_chi2"].values
    left = x < search.values[0]
    for side, error in ((left, search.merrors[0].lower), (~left, search.merrors[0].upper)):
        crossing = interp1d(np.sqrt(delta[side]), x[side], kind="cubic")(1.0)
        assert crossing == near(search.values[0] + error, abs=2e-3)


def test_each_point_is_a_minimum_over_the_other_parameter(like, line):
    at_reference = with_covariance_of(line, like, CONSTANT)
    value = jax.jit(jax.value_and_grad(lambda x: -2 * at_reference.log_likelihood(x, CONSTANT)))

    def chi2(c9, x):
        return float(value(np.array([c9, x[0]]))[0])

    def slope(c9, x):
        return [float(value(np.array([c9, x[0]]))[1][1])]

    for i in (3, 20, 44):
        c9 = float(line["C9"][i])
        search = Minuit(partial(chi2, c9), [0.0], grad=partial(slope, c9))
        search.limits = [(-3, 3)]
        search.migrad()
        assert float(line["chi2"][i]) == near(search.fval, abs=1e-4)
        assert float(line["C10"][i]) == near(search.values[0], abs=5e-3)
    assert record_of(line)["converged_fraction"] == 1.0


def test_with_no_parameter_left_it_is_the_likelihood(like):
    axes = {"C9": np.linspace(-2.0, 1.0, 7), "C10": np.linspace(-1.0, 2.0, 5)}
    grid = profile(like, CONSTANT, axes=axes)
    assert grid["chi2"].dims == ("C9", "C10") and grid["chi2"].shape == (7, 5)
    at_reference = with_covariance_of(grid, like, CONSTANT)
    for c9, c10 in ((-2.0, 2.0), (-0.5, 0.5)):
        value = float(grid["chi2"].sel(C9=c9, C10=c10))
        assert value == near(-2 * float(at_reference.log_likelihood(np.array([c9, c10]), CONSTANT)), rel=1e-10)
    assert float(grid["delta_chi2"].min()) >= 0


def test_the_dataset_speaks_for_itself(line):
    assert line["C9"].attrs["units"] == line["C10"].attrs["units"] == "1"
    assert line["delta_chi2"].attrs["long_name"] == "-2 ln(L/L_max)"
    record = record_of(line)
    assert (record["model"], record["region"], record["data"]) == ("constant", "all", "lhcb_core")
    assert float(line["delta_chi2"].min()) < 0.1


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "one or two parameters"),
        ({"m_V": [3.0], "g_D": [1.0], "r": [-1.0]}, "one or two parameters"),
        ({"m_v": [3.0]}, "nearest right name is m_V"),
        ({"m_V": [1.0, 3.0]}, "m_V within its prior, 2 to 15, got 1 to 3"),
        ({"r": [0.1, 1.0]}, "r within its prior, -10 to -0.03"),
    ],
)
def test_wrong_axes_are_refused(like, axes, words):
    with pytest.raises(RequestError, match=words):
        profile(like, "high", axes=axes)


def test_free_nuisances_are_refused(like):
    with pytest.raises(RequestError, match="theory='marginalised'"):
        profile(Likelihood(like.data, theory="full"), "high", axes={"m_V": [3.0]})


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 200])
def test_iminuit_agrees_on_the_paper_at_random_points(size):
    """MIGRAD with our gradients from nine starts at each of 20 points, to 1e-3 in chi2; 200 is the grid of the figures.

    pytest -m slow tests/optimise/test_profile.py -k "random_points and 200"
    """
    like, prior = Likelihood(load_dataset("paper2020")), prior_of("high")
    grid = profile(like, "high", axes={"m_V": np.linspace(2, 15, size), "g_mu_V": np.geomspace(1e-3, 0.2, size)})
    assert record_of(grid)["converged_fraction"] > 0.999
    random, at_reference = np.random.default_rng(0), with_covariance_of(grid, like, prior)
    value = jax.jit(jax.value_and_grad(lambda x: -2 * at_reference.log_likelihood(x, prior)))
    for i, j in random.integers(0, size, (20, 2)):
        outer = [float(grid["m_V"][i]), float(grid["g_mu_V"][j])]
        best = np.inf
        own = [*outer, *(float(grid[name][i, j]) for name in prior.names[2:])]
        close = np.clip(np.asarray(prior.cube(np.array(own))) + random.normal(0, 0.05, 5), 0.01, 0.99)
        # From near our solution, which shows that it is a minimum, and from afar, which shows that it is the lowest.
        for u in (close, *random.random((8, 5))):
            start = np.array(prior.vector(u))
            start[:2] = outer
            search = Minuit(
                lambda x: float(value(np.asarray(x))[0]), start, grad=lambda x: np.asarray(value(np.asarray(x))[1])
            )
            search.limits = [sorted((r.sign * r.lower, r.sign * r.upper)) for r in prior.ranges.values()]
            search.fixed[0] = search.fixed[1] = True
            search.strategy, search.tol = 1, 1e-3
            best = min(best, search.migrad().fval)
        assert float(grid["chi2"][i, j]) == near(best, abs=1e-3)
