"""Legendre-Q rule against mpmath: moments, integrals over a bin with a resonance, and their derivatives."""

from functools import cache

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath.calculus.quadrature import GaussLegendre

from jaxdark.semileptonic.quadrature import (
    _NEAR,
    LEGENDRE_FINE,
    N_NODES,
    NODES,
    _most_near,
    bend,
    fine_pole_weights,
    pole_weights,
)

# ---- Moments ----

PANELS = ((1.1, 6.0), (4.0, 6.0), (0.044656, 0.046655), (0.204655, 0.6), (15.0, 17.0), (2.5, 2.501))
WIDTHS = (1e-9, 1e-6, 1e-3, 0.03, 0.3, 1.0)


@jax.jit
def moments(lower, upper, s0, g):
    """Legendre moments r_l and v_l, which the weights are to integrate exactly, l on the leading axis."""
    return [jnp.moveaxis(weights @ LEGENDRE_FINE, -1, 0) for weights in fine_pole_weights(lower, upper, s0, g)]


def exact_moments(a, b, s0, g):
    """r_l and v_l by the recursion of the Legendre functions of the second kind.

    Forward it loses a factor rho^2 a step, rho the Bernstein ellipse of the pole; the precision allows for that.
    """
    semiaxis = (abs(b - s0 + 1j * g) + abs(a - s0 + 1j * g)) / (b - a)
    lost = 2.2 * N_NODES * np.log10(semiaxis + np.sqrt(max(semiaxis**2 - 1, 0.0)))
    with mp.workdps(max(200, 40 + int(lost))):
        a, b, s0, g = map(mp.mpf, (a, b, s0, g))
        half = (b - a) / 2
        gamma = g / half
        z = mp.mpc((s0 - (a + b) / 2) / half, -gamma)
        W = [mp.log(1 - z) - mp.log(-1 - z)]
        W.append(2 + z * W[0])
        for l in range(1, N_NODES - 1):
            W.append(((2 * l + 1) * z * W[l] - l * W[l - 1]) / (l + 1))
        return np.array([float(w.real) for w in W]), np.array([float(-w.imag / gamma) for w in W])


def assert_moments(a, b, s0, g):
    for result, expected in zip(moments(a, b, s0, g), exact_moments(a, b, s0, g), strict=True):
        np.testing.assert_allclose(result, expected, rtol=0, atol=3e-11 * np.abs(expected).max())


def places(a, b):
    """Poles inside, at the edges, next to them and away from them, up to m_V = 60 GeV."""
    inside = [a + fraction * (b - a) for fraction in (0.01, 0.31, 0.5, 0.77, 0.999)]
    edges = [edge + (b - a) * shift for edge in (a, b) for shift in (0.0, 1e-4, -1e-4, 1e-7, -1e-7)]
    outside = [b + 0.2 * (b - a), b + (b - a), a * 0.3, 0.01, 36.0, 225.0, 3600.0]
    return [s0 for s0 in inside + edges + outside if s0 > 0]


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_moments(panel):
    for s0 in places(*panel):
        for width in WIDTHS:
            assert_moments(*panel, s0, s0 * width)


@pytest.mark.parametrize("x0", [1.1, 1.15, 1.2, 1.24, 1.2499, 1.2501, 1.3])
def test_moments_where_recursion_and_fraction_meet(x0):
    for gamma in (1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.749, 0.751):
        for side in (1, -1):
            assert_moments(-1.0, 1.0, side * x0, gamma)
            assert_moments(-1.0, 1.0, side * (x0 - 1), gamma)


@given(st.floats(0.05, 19.0), st.floats(1e-3, 5.0), st.floats(0.09, 60.0), st.floats(-9.0, 0.0))
def test_moments_anywhere(a, length, m_V, log_width):
    assert_moments(a, a + length, m_V**2, m_V**2 * 10**log_width)


def test_panels_side_by_side_equal_single_ones():
    lower, upper = np.array(PANELS).T
    together = moments(lower, upper, 2.5, 1e-4)
    for i, panel in enumerate(PANELS):
        alone = moments(*panel, 2.5, 1e-4)
        np.testing.assert_allclose([part[:, i] for part in together], alone, rtol=1e-14, atol=1e-14)


# Wide panels beside narrow ones, overlapping ones and equal ones, as the bins of several channels have.
TILES = (*zip(np.geomspace(0.045, 6.0, 12)[:-1], np.geomspace(0.045, 6.0, 12)[1:], strict=True), (1.1, 6.0), (1.1, 6.0))


@given(st.floats(0.02, 8.0), st.floats(-9.0, 0.0))
def test_known_panels_choose_the_near_ones(s0, log_width):
    """Panels known ahead take the exact moments of few, each other one its own; rounding grows like 1.8^19 in both."""
    lower, upper = np.array(TILES).T
    g = s0 * 10**log_width
    for known, alone in zip(_of_tiles(s0, g), moments(jnp.array(lower), jnp.array(upper), s0, g), strict=True):
        assert np.all(np.abs(known - alone) <= 2e-11 * np.abs(alone).max(axis=0))


@jax.jit
def _of_tiles(s0, g):
    return [jnp.moveaxis(weights @ LEGENDRE_FINE, -1, 0) for weights in fine_pole_weights(*np.array(TILES).T, s0, g)]


def test_fewer_panels_are_near_than_there_are():
    assert 3 <= _most_near(*np.array(TILES).T) < len(TILES)


# ---- Integrals of a smooth numerator over one bin ----

BIN = (1.1, 6.0)


def numerator(s, sqrt):
    """Like |A_1|^2: s^2 times roots at the muon threshold and of the Kallen function, and a double pole."""
    return s**2 * sqrt(1 - 0.0446548 / s) * sqrt((19.2203 - s) * (38.1375 - s)) / (1 - s / 29.32) ** 2


@jax.jit
def integrals(s0, g):
    """Of N D (real, imaginary part) and of N |D|^2, D = 1/(s - s0 + i g), over the bin."""
    a, b = BIN
    half = (b - a) / 2
    W, V = pole_weights(a, b, s0, g)
    N = numerator(a + half * (1 + NODES), jnp.sqrt)
    return jnp.stack([W @ N, -g / half * V @ N, V @ N / half])


jacobian = jax.jit(jax.jacfwd(integrals, argnums=(0, 1)))


@cache
def nodes_and_weights():
    with mp.workdps(30):
        return GaussLegendre(mp.mp).calc_nodes(5, mp.mp.prec)


def exact_integrals(s0, g):
    """The same integrals and their derivatives by s0 and g; in t of s = s0 + g sinh t the peak is as wide as 1."""
    with mp.workdps(30):
        a, b, s0, g = map(mp.mpf, (*BIN, s0, g))
        ends = [mp.asinh((edge - s0) / g) for edge in (a, b)]
        cuts = [ends[0], *(t for t in map(mp.mpf, range(-60, 61, 2)) if ends[0] < t < ends[1]), ends[1]]
        total = np.zeros((3, 3), object)
        for left, right in zip(cuts[:-1], cuts[1:], strict=True):
            for x, w in nodes_and_weights():
                t = left + (right - left) * (1 + x) / 2
                sinh, cosh = mp.sinh(t), mp.cosh(t)
                # ds, and D = (sinh - i)/(g cosh^2)
                ds = w * (right - left) / 2 * g * cosh * numerator(s0 + g * sinh, mp.sqrt)
                D2 = 1 / (g * cosh) ** 2
                re, im = g * sinh * D2, -g * D2
                square = (re**2 - im**2, 2 * re * im)
                # dD/ds0 = D^2, dD/dg = -i D^2
                total[0] += ds * np.array([re, im, D2])
                total[1] += ds * np.array([*square, 2 * g * sinh * D2**2])
                total[2] += ds * np.array([square[1], -square[0], -2 * g * D2**2])
        return total.astype(float)


def scale(row):
    """Magnitude of the complex integral for its two parts, and the third entry's own."""
    amplitude = np.hypot(row[0], row[1])
    return np.array([amplitude, amplitude, abs(row[2])])


# m_V^2 away from the bin, inside, on an edge and 1e-4 or 1e-7 off it.
POLES = (0.36, 1.1 - 1e-4, 1.1 - 1e-7, 1.1, 1.1 + 1e-7, 1.1 + 1e-4, 2.89, 4.84, 6 - 1e-7, 6.0, 6 + 1e-7, 6.76, 225.0)


@pytest.mark.parametrize("width", [1e-8, 1e-6, 1e-4, 1e-2, 0.1, 1.0])
@pytest.mark.parametrize("s0", POLES)
def test_integrals_and_gradients(s0, width):
    """Sec. 10.3: 4e-12 in the value, 5e-11 in the gradient by the pole's place and a table in that by its width."""
    g = s0 * width
    value, by_s0, by_g = exact_integrals(s0, g)
    result, (d_s0, d_g) = integrals(s0, g), jacobian(s0, g)
    assert np.all(np.abs(result - value) <= 4e-12 * scale(value))
    assert np.all(np.abs(d_s0 - by_s0) <= 5e-11 * np.maximum(scale(by_s0), scale(value) / s0))
    by_width = {1e-8: 2e-6, 1e-6: 1e-8}.get(width, 3e-10)
    assert np.all(np.abs(d_g - by_g) <= by_width * scale(by_g))


@pytest.mark.parametrize("x0", [1.02, 1.1, 1.15, 1.2, 1.2499, 1.3])
@pytest.mark.parametrize("width", [1e-8, 1e-4, 1e-2])
def test_integrals_and_gradients_with_a_pole_just_outside(x0, width):
    """x0 half widths above the centre. The derivative by a tiny width, proportional to it, has fewer digits here."""
    s0 = 3.55 + 2.45 * x0
    value, by_s0, by_g = exact_integrals(s0, s0 * width)
    result, (d_s0, d_g) = integrals(s0, s0 * width), jacobian(s0, s0 * width)
    assert np.all(np.abs(result - value) <= 4e-12 * scale(value))
    assert np.all(np.abs(d_s0 - by_s0) <= 5e-11 * np.maximum(scale(by_s0), scale(value) / s0))
    allowed = 3e-10 * scale(by_g) if width >= 1e-4 else 1e-6 * scale(value) / s0
    assert np.all(np.abs(d_g - by_g) <= allowed)


@pytest.mark.parametrize("angle", [1e-3, 0.1, 0.7, 1.3, np.pi / 2, 2.0, 3.0, np.pi - 1e-3])
def test_nothing_jumps_where_the_rule_changes(angle):
    """On both sides of the ellipse of distances about the panel, 1e-13 apart."""
    half, major = (BIN[1] - BIN[0]) / 2, _NEAR / 2
    minor = np.sqrt(major**2 - 1)
    inner, outer = (
        (BIN[0] + half + half * major * stretch * np.cos(angle), half * minor * stretch * np.sin(angle))
        for stretch in (1 - 1e-13, 1 + 1e-13)
    )
    below, above = integrals(*inner), integrals(*outer)
    assert np.all(np.abs(above - below) <= 2e-12 * scale(above))
    for left, right in zip(jacobian(*inner), jacobian(*outer), strict=True):
        assert np.all(np.abs(right - left) <= 3e-10 * scale(right))


@pytest.mark.parametrize("s0", [*BIN, 3.55, np.nextafter(1.1, 2), np.nextafter(6.0, 0)])
@pytest.mark.parametrize("width", WIDTHS)
def test_finite_on_the_edges(s0, width):
    results = integrals(s0, s0 * width), *jacobian(s0, s0 * width)
    assert all(np.isfinite(part).all() for part in results)


# ---- Panels bent about an end of the spectrum ----

# Edges and end in GeV^2: from a threshold, close to it and away from it, and the same at an end point.
BENT = ((0.25, 0.5, 0.25), (0.2501, 0.5, 0.25), (0.26, 0.7, 0.25), (1.1, 6.0, 0.25))
BENT += ((17.0, 19.0, 19.0), (17.0, 18.99, 19.0), (14.2, 16.0, 19.0))


@jax.jit
def bent_moments(lower, upper, s0, g, bend):
    """Of Legendre polynomials in u, which s = end +- u^2 turns into the variable of the panel."""
    return [(weights @ LEGENDRE_FINE)[0] for weights in fine_pole_weights(lower, upper, s0, g, bend)]


def exact_bent_moments(a, b, end, s0, g):
    """2u du/(u^2 - z^2) = du/(u - z) + du/(u + z): Legendre functions of the second kind at the pole and its image."""
    with mp.workdps(150):
        a, b, end, s0, g = map(mp.mpf, (a, b, end, s0, g))
        side = 1 if a >= end else -1
        near, far = sorted(mp.sqrt(abs(edge - end)) for edge in (a, b))
        z = mp.sqrt(side * (s0 - end) - 1j * g)
        total = np.zeros(N_NODES, object)
        for image in (1, -1):
            w = (image * z - (far + near) / 2) / ((far - near) / 2)
            W = [mp.log(1 - w) - mp.log(-1 - w)]
            W.append(2 + w * W[0])
            for l in range(1, N_NODES - 1):
                W.append(((2 * l + 1) * w * W[l] - l * W[l - 1]) / (l + 1))
            total += W
        # Along s, panels before an end point run against u.
        signs = np.array([side**l for l in range(N_NODES)])
        real, imaginary = (np.array([getattr(w, part) for w in total]) for part in ("real", "imag"))
        return (signs * side * real).astype(float), (-signs * imaginary * (b - a) / (2 * g)).astype(float)


@pytest.mark.parametrize("panel", BENT, ids=str)
def test_moments_of_bent_panels(panel):
    """Poles on, beyond and before the end, within and around the panel, as narrow as any."""
    a, b, end = panel
    bent = bend(np.array([a]), np.array([b]), end)
    places = [end, a, b, (a + b) / 2, a - 0.1 * (b - a), b + 0.1 * (b - a), b + 0.3 * (b - a)]
    places += [end + sign * d for sign in (1, -1) for d in (1e-12, 1e-8, 1e-4, 0.02, 0.1)]
    for s0 in filter(lambda s: s > 0, places):
        for g in (1e-60, 1e-20, 1e-9, 1e-4, 0.03, 1.0):
            found = bent_moments(np.array([a]), np.array([b]), s0, g, bent)
            for result, expected in zip(found, exact_bent_moments(a, b, end, s0, g), strict=True):
                np.testing.assert_allclose(result, expected, rtol=0, atol=3e-10 * np.abs(expected).max())


def test_slopes_of_bent_weights():
    """By the pole's place and width, against differences of the exact moments, on every kind of row."""
    slopes = jax.jit(jax.jacfwd(bent_moments, argnums=(2, 3)))
    for a, b, end in ((0.25, 0.5, 0.25), (17.0, 19.0, 19.0), (1.1, 6.0, 0.25)):
        bent = bend(np.array([a]), np.array([b]), end)
        for s0 in (end, end + 0.01, end - 0.01, a + 0.4 * (b - a), b + 2.0):
            g = 1e-3
            found = slopes(np.array([a]), np.array([b]), s0, g, bent)
            for part in (0, 1):
                moments = exact_bent_moments(a, b, end, s0, g)[part]
                for argument, (d_s0, d_g) in enumerate(((1e-5, 0.0), (0.0, 1e-5))):
                    steps = (exact_bent_moments(a, b, end, s0 + k * d_s0, g + k * d_g)[part] for k in (1, -1, 2, -2))
                    up, down, far_up, far_down = steps
                    expected = (8 * (up - down) - (far_up - far_down)) / 12e-5
                    allowed = 2e-7 * max(np.abs(expected).max(), np.abs(moments).max() / g)
                    assert np.abs(found[part][argument] - expected).max() < allowed, (s0, part, argument)


def test_bent_panels_known_ahead_equal_those_that_are_not():
    """Those choose the near ones among all panels; here with straight ones among them."""
    edges = np.array([0.25, 0.4, 0.7, 1.5, 6.0])
    low, high = (edges[:-1], edges[1:]), (np.array([14.0, 17.0]), np.array([17.0, 19.0]))
    lower, upper = (np.concatenate(pair) for pair in zip(low, high, strict=True))
    bent = np.concatenate([bend(*low, 0.25), bend(*high, 19.0)])
    bent[3] = 0.0
    known = jax.jit(lambda s0, g: fine_pole_weights(lower, upper, s0, g, bent))
    given = jax.jit(fine_pole_weights)
    for s0 in (0.2, 0.249, 0.25, 0.3, 0.5, 3.0, 6.5, 18.9, 19.0, 19.3):
        for g in (1e-12, 1e-3, 0.3):
            for one, other in zip(known(s0, g), given(lower, upper, s0, g, bent), strict=True):
                assert np.all(np.abs(one - other) <= 2e-11 * np.abs(other).max(axis=1, keepdims=True)), (s0, g)
