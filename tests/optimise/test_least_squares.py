"""Descents against SciPy on problems with known minima: curved, on edges of the cube, degenerate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from scipy.optimize import lsq_linear, minimize

from jaxdark.optimise.descents import TOLERANCE, gradient_norm
from jaxdark.optimise.least_squares import LeastSquares, _step_in_cube

RNG = np.random.default_rng(0)


def linear(A, b, u):
    """A u - b with A shared by all problems and b their own."""
    return A @ u - b


def rosenbrock(_, scale, u):
    """A curved ridge with its minimum, 0, at (0.6, 0.64) of the cube."""
    x = 4 * u - 2
    return scale * jnp.stack([10 * (x[1] - x[0] ** 2 - 0.4), x[0] - 0.4])


def let_go(_, side, u):
    """The first coordinate is wanted beyond an edge, and at 0.29 or 0.71 once the second has come to 0.9."""
    wanted = 0.5 + side * (0.5 + 0.3 * jnp.tanh(40 * (0.85 - u[1])))
    return jnp.stack([u[0] - wanted, jnp.exp(60 * (0.9 - u[1])) - 1])


@pytest.fixture(scope="module")
def linear_problem():
    A = RNG.normal(size=(6, 3)) * [1.0, 10.0, 0.3]
    b = RNG.normal(size=(40, 6)) * 4
    return A, b, LeastSquares(linear)(A, RNG.random((40, 3)), b)


def test_bounded_linear_problems_agree_with_scipy(linear_problem):
    A, b, found = linear_problem
    expected = [lsq_linear(A, target, (0, 1), tol=1e-14) for target in b]
    np.testing.assert_allclose(found.chi2, [2 * e.cost for e in expected], rtol=1e-7)
    np.testing.assert_allclose(found.u, [e.x for e in expected], atol=2e-4)
    assert found.converged.all()
    edges = np.array([e.active_mask for e in expected])
    assert (edges == 0).any() and (edges == 1).any() and (edges == -1).any()


def test_the_gradient_norm_bounds_distance_and_gain_and_is_zero_at_edges_that_hold():
    """Of chi2/2 = (scale^2/2) |u - (0.7, 0.25)|^2 at (0.5, 0.25), in closed form."""
    for scale in (1e-2, 1.0, 1e3):
        gradient = np.array([scale**2 * (0.5 - 0.7), 0.0])
        norm = float(gradient_norm(np.array([0.5, 0.25]), gradient, scale**2 * np.eye(2)))
        assert norm == near(0.2 * 0.5 * scale**2 / np.sqrt(1 + (0.5 * scale) ** 2), rel=1e-12)
        assert norm <= 0.2 * 0.5 * scale**2 and norm <= scale * 0.2
    assert float(gradient_norm(np.array([0.0, 1.0]), np.array([3.0, -2.0]), np.eye(2))) == 0.0
    assert float(gradient_norm(np.array([0.0, 1.0]), np.array([-3.0, 0.0]), np.zeros((2, 2)))) == 3.0


def test_a_curved_ridge_is_followed_to_its_end():
    found = LeastSquares(rosenbrock)(None, RNG.random((50, 2)), np.ones(50))
    assert found.converged.all()
    np.testing.assert_allclose(found.u, np.tile([0.6, 0.64], (50, 1)), atol=1e-4)
    assert found.steps.mean() < 50


def test_large_residuals_are_no_hindrance():
    """J^T J alone is far from the Hessian here, 1 and 1 against 41 and 0.2 or so, and its steps zigzag for hundreds."""

    def bent(_, own, u):
        x = 4 * u - 2
        far = 20 + 2 * x[0] ** 2 - 0.25 * x[1] ** 2
        return jnp.stack([far / own, x[0] - 0.3 * x[1], 4 - x[1] - 0.3 * x[0]])

    found = LeastSquares(bent)(None, RNG.random((50, 2)), np.full(50, 2.0), tolerance=1e-8)
    objective = lambda u: float(jnp.sum(bent(None, 2.0, u) ** 2))  # noqa: E731
    expected = minimize(objective, [0.5, 0.9], bounds=[(0, 1)] * 2, method="L-BFGS-B", options={"ftol": 1e-15})
    assert found.converged.all()
    np.testing.assert_allclose(found.chi2.min(), expected.fun, rtol=1e-8)
    assert found.steps.mean() < 25


def test_steps_end_at_the_edges_and_are_the_best_within_them():
    """Against the active sets of SciPy, on parabolas of random shapes from random points, those on edges included."""
    bounded = jax.jit(_step_in_cube)
    for _ in range(200):
        A, u = RNG.normal(size=(7, 4)) * 10 ** RNG.uniform(-1, 1, 4), RNG.random(4)
        u[RNG.random(4) < 0.3] = RNG.integers(2)
        target = RNG.normal(size=7) * 3
        gram, slope = A.T @ A, A.T @ (A @ u - target)
        step = np.asarray(bounded(u, slope, gram))
        expected = lsq_linear(A, target - A @ u, (-u - 1e-12, 1 - u + 1e-12), tol=1e-14).x
        assert np.all((u + step >= 0) & (u + step <= 1))
        np.testing.assert_allclose(step, expected, atol=2e-4)


def test_a_descent_that_is_cut_short_says_so():
    found = LeastSquares(rosenbrock)(None, np.full((3, 2), 0.05), np.ones(3), steps=5)
    assert not found.converged.any() and np.all(found.gradient_norm > TOLERANCE)
    assert found.steps.tolist() == [5, 5, 5]


def test_a_start_on_the_wrong_edge_leaves_it():
    found = LeastSquares(linear)(np.eye(2), np.array([[0.0, 1.0]]), np.array([[0.3, 0.6]]))
    np.testing.assert_allclose(found.u, [[0.3, 0.6]], atol=1e-5)


def test_an_edge_that_holds_no_longer_is_left():
    """By then the coordinate has been there for tens of steps."""
    found = LeastSquares(let_go)(None, np.array([[0.4, 0.1], [0.6, 0.1]]), np.array([-1.0, 1.0]))
    away = 0.5 - 0.3 * np.tanh(2.0)
    np.testing.assert_allclose(found.u, [[0.5 - away, 0.9], [0.5 + away, 0.9]], atol=1e-5)
    assert found.converged.all()


def test_a_direction_without_effect_stays_put_and_does_no_harm():
    found = LeastSquares(linear)(np.array([[1.0, 1.0, 0.0]]), np.array([[0.2, 0.2, 0.4]]), np.array([[1.0]]))
    assert found.converged.all() and found.chi2[0] == near(0.0, abs=1e-12)
    assert found.u[0, 2] == near(0.4)


def test_a_value_that_is_no_number_is_never_taken():
    found = LeastSquares(lambda _, own, u: jnp.where(u > own, jnp.nan, u - 0.5))(
        None, np.full((1, 1), 0.1), np.full((1, 1), 0.52)
    )
    assert found.converged.all() and found.u[0, 0] == near(0.5, abs=1e-5)
