"""Loop functions against the printed formulas in 250-digit arithmetic, at and near every coincidence.

250 digits because the printed forms lose up to four powers of |x - 1| or |x - y|. At an exact coincidence the reference
is displaced by 1e-45, relatively, which changes the function by as little.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near

from jaxdark.models.loops import F9, G9, box_F, box_F_mixing, box_mixing_sum, penguin_loop

RANDOM = np.random.default_rng(1)
NEAR = [sign * 10.0**-k for k in range(1, 16) for sign in (1, -1)]
ANCHORS = [1e-16, 1e-12, 1e-6, 1e-3, 0.02, 0.3, 0.5, 1.0, 2.0, 30.0, 1e4]


def precise(function):
    """The mpmath function at displaced arguments, and its gradient by central differences 1e-30 wide, as floats."""

    @functools.cache
    def value_and_gradient(*arguments):
        with mpmath.workdps(250):
            points = [mpmath.mpf(float(x)) * (1 + i * mpmath.mpf(10) ** -45) for i, x in enumerate(arguments, start=1)]
            gradient = []
            for i, x in enumerate(points):
                h = x * mpmath.mpf(10) ** -30
                up, down = points.copy(), points.copy()
                up[i], down[i] = x + h, x - h
                gradient.append(float((function(*up) - function(*down)) / (2 * h)))
            return float(function(*points)), gradient

    return value_and_gradient


@precise
def F9_printed(x):
    return (-2 + 9 * x - 18 * x**2 + 11 * x**3 - 6 * x**3 * mpmath.log(x)) / (36 * (x - 1) ** 4)


@precise
def G9_printed(x):
    return (-16 + 45 * x - 36 * x**2 + 7 * x**3 + 6 * (3 * x - 2) * mpmath.log(x)) / (36 * (x - 1) ** 4)


@precise
def box_F_mixing_printed(x, y):
    def term(x, y):
        return x**2 * mpmath.log(x) / ((1 - x) ** 2 * (x - y))

    return 1 / ((1 - x) * (1 - y)) + term(x, y) + term(y, x)


@precise
def box_F_printed(x, y, z):
    def term(x, y, z):
        return x**2 * mpmath.log(x) / ((x - 1) * (x - y) * (x - z))

    return term(x, y, z) + term(y, z, x) + term(z, x, y)


ONE_ARGUMENT = [
    *10 ** RANDOM.uniform(-16, 4, 150),
    *(1 + d for d in NEAR),
    *(edge * (1 + d) for edge in (0.5, 2.0) for d in (0.0, 1e-15, -1e-15)),
    *ANCHORS,
]
TWO_ARGUMENTS = [
    *10 ** RANDOM.uniform(-16, 4, (60, 2)),
    *itertools.product(ANCHORS, ANCHORS),
    *((x, x * (1 + d)) for x in (1e-16, 1e-9, 0.02, 1.0, 1e4) for d in NEAR),
    *((1 + d, x) for x in (1e-16, 0.02, 7.0) for d in NEAR),
]
THREE_ARGUMENTS = [
    *10 ** RANDOM.uniform(-16, 4, (60, 3)),
    *itertools.combinations_with_replacement([1e-16, 1e-6, 0.3, 1.0, 1e4], 3),
    *((x, x * (1 + d), x * (1 - 2 * d)) for x in (1e-16, 0.02, 1.0, 1e4) for d in NEAR),
    *((x, x * (1 + d), y) for x in (1e-9, 0.5) for y in (1e-12, 1.0, 20.0) for d in NEAR),
]


def assert_matches(function, printed, points):
    points = np.array(points, dtype=float)
    arguments = tuple(range(points.shape[1]))
    computed = jax.jit(jax.vmap(jax.value_and_grad(function, arguments)))(*points.T)
    values, gradients = zip(*(printed(*point) for point in points), strict=True)
    np.testing.assert_allclose(computed[0], values, rtol=1e-12)
    np.testing.assert_allclose(np.stack(computed[1], axis=1), gradients, rtol=1e-11)


@pytest.mark.parametrize(("function", "printed"), [(F9, F9_printed), (G9, G9_printed)])
def test_penguin_functions(function, printed):
    assert_matches(function, printed, np.array(ONE_ARGUMENT)[:, None])


def test_penguin_sum_is_F9_plus_G9():
    """Its sign changes once above x = 1, so the scale is that of the two terms."""
    values, gradients = jax.vmap(jax.value_and_grad(penguin_loop))(jnp.array(ONE_ARGUMENT))
    scalar, fermion = ([printed(x) for x in ONE_ARGUMENT] for printed in (F9_printed, G9_printed))
    (f, df), (g, dg) = ((np.array([v for v, _ in t]), np.array([d[0] for _, d in t])) for t in (scalar, fermion))
    assert np.all(np.abs(values - (f + g)) < 1e-12 * (np.abs(f) + np.abs(g)))
    assert np.all(np.abs(gradients - (df + dg)) < 1e-11 * (np.abs(df) + np.abs(dg)))


def test_box_of_mixing():
    assert_matches(box_F_mixing, box_F_mixing_printed, TWO_ARGUMENTS)


def test_box():
    assert_matches(box_F, box_F_printed, THREE_ARGUMENTS)


@pytest.mark.parametrize(
    ("function", "arguments", "limit"),
    [
        (F9, (1e-16,), -1 / 18),
        (F9, (1.0,), -1 / 24),
        (G9, (1.0,), 1 / 8),
        (box_F_mixing, (0.0, 0.0), 1.0),
        (box_F_mixing, (1.0, 1.0), 1 / 3),
        (box_F, (1.0, 1.0, 1.0), 1 / 3),
    ],
)
def test_closed_limits(function, arguments, limit):
    assert function(*arguments) == near(limit, rel=1e-14)


def test_box_near_100_GeV():
    """The printed "about 1" for three masses of 100 GeV against 1 TeV is 3.22; the function is 1 at 430 GeV."""
    with mpmath.workdps(40):
        expected = mpmath.diff(lambda x: x**2 * mpmath.log(x) / (x - 1), mpmath.mpf("0.01"), 2) / 2
    assert box_F(0.01, 0.01, 0.01) == near(float(expected), rel=1e-13)
    assert box_F(0.01, 0.01, 0.01) == near(3.22, abs=0.005)
    assert box_F(0.1843, 0.1843, 0.1843) == near(1.0, abs=2e-4)


ratios = st.floats(1e-16, 1e4)
couplings = st.floats(-2, 2).filter(lambda y: y == 0 or abs(y) > 1e-9)
box_value_and_gradient = jax.jit(jax.value_and_grad(box_F, (0, 1, 2)))
mixing_sum = jax.jit(box_mixing_sum)


@given(ratios, ratios, ratios)
def test_box_is_symmetric_and_falls(x, y, z):
    value, gradient = box_value_and_gradient(x, y, z)
    assert value > 0
    assert all(slope < 0 for slope in gradient)
    for permuted in itertools.permutations((x, y, z)):
        assert box_value_and_gradient(*permuted)[0] == near(float(value), rel=1e-13)


@given(st.lists(st.tuples(couplings, ratios), min_size=1, max_size=3))
def test_mixing_sum_is_the_double_sum(fermions):
    yy, x = (jnp.array(column) for column in zip(*fermions, strict=True))
    terms = [a * b * box_F_mixing_printed(p, q)[0] for (a, p), (b, q) in itertools.product(fermions, fermions)]
    assert mixing_sum(yy, x) == near(sum(terms), rel=1e-12, abs=1e-13 * sum(map(abs, terms)))


@pytest.mark.parametrize("delta", [0.0, 1e-12, 1e-6])
@pytest.mark.parametrize("x2", [1e-12, 1e-8, 1e-4, 0.1])
def test_mixing_sum_keeps_its_digits_when_the_couplings_cancel(delta, x2):
    x1, yy = 1e-13, (0.7, -0.7 + delta)

    @precise
    def double_sum(x1, x2):
        def F(x, y):
            x, y = x * (1 + mpmath.mpf(10) ** -60), y * (1 - mpmath.mpf(10) ** -60)
            one, two = (a**2 * mpmath.log(a) / ((1 - a) ** 2 * (a - b)) for a, b in ((x, y), (y, x)))
            return 1 / ((1 - x) * (1 - y)) + one + two

        masses, couplings = (x1, x2), [mpmath.mpf(y) for y in yy]
        return sum(couplings[i] * couplings[j] * F(masses[i], masses[j]) for i in (0, 1) for j in (0, 1))

    value, gradient = jax.value_and_grad(box_mixing_sum, argnums=1)(jnp.array(yy), jnp.array([x1, x2]))
    expected, expected_gradient = double_sum(x1, x2)
    assert value == near(expected, rel=1e-11)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-10)
