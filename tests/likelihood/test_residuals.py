"""Residuals: symmetric and asymmetric errors, published likelihood scans."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from near import near
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.optimize import minimize_scalar

from jaxdark.likelihood.residuals import Residuals
from jaxdark.measurements.dataset import load_dataset

SCANS = [row for row in load_dataset("paper2020").rows if row.scan is not None]


def row(value, plus, minus, scan=None):
    return SimpleNamespace(value=value, error_plus=plus, error_minus=minus, scan=scan)


def residual(x, value, plus, minus):
    """z at each x."""
    return np.asarray(Residuals([row(value, plus, minus)] * len(x))(np.asarray(x, float)))


values, errors, pulls = st.floats(-10, 10), st.floats(1e-3, 10), st.floats(-8, 8)
asymmetric = st.tuples(errors, st.floats(-3.0, 3.0)).map(lambda pair: (pair[0], pair[0] * 10 ** pair[1]))
"""Errors that differ by up to 1000 to 1, on either side of where another form takes over."""


@given(values, errors, pulls)
def test_equal_errors_are_gaussian(value, error, pull):
    assert residual([value + pull * error], value, error, error)[0] == near(pull, rel=1e-12, abs=1e-12)


@given(values, asymmetric)
def test_one_sigma_points(value, pair):
    """At value + error_plus z is 1, at value - error_minus it is -1."""
    plus, minus = pair
    z = residual([value, value + plus, value - minus], value, plus, minus)
    assert z == near([0, 1, -1], abs=1e-7)


def test_one_sigma_points_of_the_data():
    """The same for every row with two errors."""
    rows = [measured for measured in load_dataset("paper2020").rows if measured.scan is None]
    value, plus, minus = (np.array([getattr(r, name) for r in rows]) for name in ("value", "error_plus", "error_minus"))
    residuals = Residuals(rows)
    off = np.maximum(np.abs(residuals(value + plus) - 1), np.abs(residuals(value - minus) + 1))
    assert not {r.id: float(o) for r, o in zip(rows, off, strict=True) if o > 1e-9}


@given(values, asymmetric)
def test_far_away_each_side_has_its_own_error(value, pair):
    plus, minus = pair
    far = 30 * max(pair)
    z = residual([value + far, value - far], value, plus, minus)
    assert z == near([far / plus, -far / minus], rel=1e-9)


@given(asymmetric, st.floats(0.0, 1.0))
def test_monotonic(pair, start):
    """On a fine grid across each side, out to six of its own errors."""
    plus, minus = pair
    steps = (np.arange(600) + start) * 0.01
    for x in (steps * plus, -steps[::-1] * minus):
        assert np.all(np.diff(residual(x, 0.0, plus, minus)) > 0)


def test_very_different_errors_by_hand():
    """+0.3 -0.02: z would fall by 0.43 between the one-sigma points if a quintic joined the errors."""
    x = np.linspace(-0.02, 0.3, 100_001)
    z = residual(x, 0.0, 0.3, 0.02)
    assert np.diff(z).min() > 0
    assert z[[0, -1]] == near([-1, 1], rel=1e-12)
    # the cubic from (0, 0) to (0.3, 1) that starts with the weighted harmonic mean of 1/0.02 and 1/0.3, (w1 + w2)/(...)
    of_minus, of_plus = 2 * 0.3 + 0.02, 0.3 + 2 * 0.02
    centre = (of_minus + of_plus) / (of_minus * 0.02 + of_plus * 0.3)
    expected = CubicHermiteSpline([-0.02, 0.0, 0.3], [-1.0, 0.0, 1.0], [1 / 0.02, centre, 1 / 0.3])
    np.testing.assert_allclose(z, expected(x), rtol=1e-9, atol=1e-12)


def test_errors_up_to_four_to_one_keep_the_quintic():
    """z as it always was where it is monotonic: at the middle of the way the error is the mean of both."""
    for plus, minus in ((0.3, 0.1), (0.1, 0.4), (0.4, 0.1)):
        middle = (plus - minus) / 2
        assert residual([middle], 0.0, plus, minus)[0] == near(middle / ((plus + minus) / 2), rel=1e-12)


@given(asymmetric)
def test_smooth(pair):
    """The slope has no step at the centre or at the one-sigma points; at the centre it is between those far away."""
    plus, minus = pair
    for place in (0.0, plus, -minus):
        slopes = Residuals([row(0.0, *pair)] * 2).slopes(place + np.array([-1e-11, 1e-11]) * min(pair))
        assert slopes[0] == near(float(slopes[1]), rel=1e-6)
    centre = float(Residuals([row(0.0, *pair)]).slopes(np.zeros(1))[0])
    assert 1 / max(pair) <= centre * (1 + 1e-12)
    assert centre <= (1 + 1e-12) / min(pair)


@given(asymmetric, st.floats(-5, 5))
def test_slopes_are_finite_differences(pair, pull):
    """Within one piece of the map: the third derivative has steps at the one-sigma points, the second at the centre."""
    side = pair[0] if pull > 0 else pair[1]
    x = pull * side
    h = 1e-4 * min(pair)
    assume(min(abs(x - place) for place in (0.0, pair[0], -pair[1])) > 3 * h)
    residuals = Residuals([row(0.0, *pair)] * 5)
    z = residuals(x + h * np.arange(-2, 3))
    expected = (z[0] - 8 * z[1] + 8 * z[3] - z[4]) / (12 * h)
    assert residuals.slopes(np.full(5, x))[2] == near(float(expected), rel=1e-7)


# ---- Likelihood scans ----


@pytest.fixture(params=SCANS, ids=lambda measured: measured.id)
def scan(request):
    """x, ln L - ln L_max, place of the maximum, and z as a function."""
    x, likelihood = (np.asarray(axis) for axis in request.param.scan)
    logarithm = CubicSpline(x, np.log(likelihood))
    top = x[np.argmax(likelihood)]
    step = x[1] - x[0]
    around = {"bounds": (top - step, top + step), "method": "bounded", "options": {"xatol": 1e-12}}
    peak = minimize_scalar(lambda t: -logarithm(t), **around)
    z = jax.jit(jax.vmap(lambda t: Residuals([request.param])(t[None])[0]))
    return x, np.log(likelihood) + peak.fun, peak.x, z


def test_there_are_scans():
    assert sorted(measured.observable for measured in SCANS) == ["R_K", "R_Kst", "R_Kst"]


def test_scan_is_reproduced_at_its_knots(scan):
    x, log_likelihood, _, z = scan
    np.testing.assert_allclose(-(z(x) ** 2) / 2, log_likelihood, rtol=0, atol=1e-10 * np.abs(log_likelihood).max())


def test_scan_between_its_knots(scan):
    """Against a spline of the logarithm itself, another interpolation: half-way they agree to 1e-3 in ln L."""
    x, log_likelihood, peak, z = scan
    middle = (x[1:] + x[:-1]) / 2
    away = np.abs(middle - peak) > 2 * (x[1] - x[0])
    np.testing.assert_allclose((-(z(middle) ** 2) / 2)[away], CubicSpline(x, log_likelihood)(middle)[away], rtol=1e-3)


def test_scan_vanishes_at_its_peak_and_rises_on_both_sides(scan):
    x, _, peak, z = scan
    assert z(np.array([peak]))[0] == near(0.0, abs=0.01)
    fine = np.linspace(x[0] - 0.5, x[-1] + 0.5, 4001)
    assert np.all(np.diff(z(fine)) > 0)
    assert np.sign(z(np.array([peak - 0.02, peak + 0.02]))).tolist() == [-1, 1]


def test_scan_goes_straight_on(scan):
    """Beyond the scan z is a line, with the slope of its end: value and slope have no step there."""
    x, _, _, z = scan
    slope = jax.jit(jax.vmap(jax.grad(lambda t: z(t[None])[0])))
    for end, side in ((x[0], -1), (x[-1], 1)):
        beyond = end + side * np.array([1e-9, 0.1, 1.0, 10.0])
        np.testing.assert_allclose(slope(beyond), slope(np.array([end - side * 1e-9]))[0], rtol=1e-6)
        np.testing.assert_allclose(z(beyond), z(np.array([end]))[0] + slope(beyond) * (beyond - end), rtol=1e-7)


def test_scan_has_no_kinks(scan):
    """First derivative continuous at every knot."""
    x, _, _, z = scan
    slope = jax.jit(jax.vmap(jax.grad(lambda t: z(t[None])[0])))
    inner = x[1:-1]
    np.testing.assert_allclose(slope(inner - 1e-10), slope(inner + 1e-10), rtol=1e-6)


steps = st.lists(st.floats(1e-3, 30.0), min_size=5, max_size=5)


@given(steps, steps, st.lists(st.floats(0.05, 3.0), min_size=11, max_size=11))
def test_every_scan_with_one_peak_is_monotonic(left, right, spacing):
    """Any drops of ln L on either side of the peak at any distances, with steps a cubic spline would swing around."""
    logarithm = np.concatenate([-np.cumsum(left)[::-1], [0.0], -np.cumsum(right)])
    x = np.cumsum(spacing)
    measured = row(x[len(left)], 1.0, 1.0, (x, np.exp(np.maximum(logarithm, -600.0))))
    fine = np.linspace(x[0] - 1.0, x[-1] + 1.0, 2001)
    residuals = jax.vmap(lambda t: Residuals([measured])(t[None])[0])
    z = np.asarray(residuals(fine))
    assert np.all(np.diff(z) > -1e-12)
    # it goes through the scan, up to what the height between the points of the scan is taken to be
    depth = -(np.asarray(residuals(x)) ** 2) / 2
    np.testing.assert_allclose(np.diff(depth), np.diff(logarithm), rtol=1e-6, atol=1e-8 * max(-logarithm.min(), 1.0))
    assert np.all(np.diff(z[[0, 1]]) > 0) and np.all(np.diff(z[[-2, -1]]) > 0)


def test_the_published_scans_keep_their_cubic_splines():
    for measured in SCANS:
        (spline,) = Residuals([measured])._scans.values()
        assert isinstance(spline, CubicSpline)


def test_every_row_of_the_data_is_finite_far_from_its_value():
    rows = load_dataset("paper2020").rows
    residuals = Residuals(rows)
    both = jax.jit(lambda x: (residuals(x), residuals.slopes(x)))
    for far in (-1e6, 0.0, 1e6):
        z, slopes = both(np.full(len(rows), far))
        assert np.isfinite(z).all()
        assert (slopes > 0).all()
