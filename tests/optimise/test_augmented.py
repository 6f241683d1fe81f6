"""Descents under limits against closed forms: quadratic problems, limits that bend, have a kink or a step, or clash."""

import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from scipy.optimize import minimize

from jaxdark.compute.batch import batched
from jaxdark.optimise.augmented import CONVERGED, FEASIBLE, INFEASIBLE, KEPT, NOT_FINITE, AugmentedLagrangian

RNG = np.random.default_rng(5)


def distance(centre, u):
    return 3.0 * (u - centre)


def solve(excess, centre, starts=None):
    """The point of the unit square nearest to a centre, under limits; chi2 is nine times the squared distance."""
    judged = batched(lambda shared, u: (jnp.sum(distance(shared, u) ** 2), excess(u)))
    starts = RNG.random((8, 2)) if starts is None else starts
    return AugmentedLagrangian(distance, excess, judged)(np.asarray(centre), starts)


def test_two_linear_limits_agree_with_scipy():
    """Of random quadratic problems in three dimensions, edges of the cube included."""
    normals, bounds = np.array([[1.0, 1.0, -0.5], [-1.0, 0.5, 1.0]]), np.array([0.6, 0.2])

    def residuals(shared, u):
        A, b = shared
        return A @ u - b

    def excess(u):
        return normals @ u - bounds

    judged = batched(lambda shared, u: (jnp.sum(residuals(shared, u) ** 2), excess(u)))
    descend, held = AugmentedLagrangian(residuals, excess, judged), 0
    for _ in range(12):
        shared = RNG.normal(size=(5, 3)) + np.eye(5, 3), RNG.normal(size=5) * 2
        found = descend(shared, RNG.random((4, 3)))
        expected = minimize(
            lambda u, of=shared: np.sum((of[0] @ u - of[1]) ** 2), np.full(3, 0.5), method="SLSQP",
            bounds=[(0, 1)] * 3, constraints={"type": "ineq", "fun": lambda u: bounds - normals @ u},
            options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        assert found.status == [CONVERGED] * 4
        assert found.chi2 == near(np.full(4, expected.fun), rel=1e-5, abs=1e-5)
        held += (found.multipliers[0] > 1e-3).sum()
        # Complementarity: no multiplier without its limit.
        assert np.abs(np.minimum(found.multipliers, -found.excess)).max() < 1e-5
    assert held > 6


def test_a_curved_limit_and_its_multiplier():
    """Nearest point of a disc |u - m|^2/r^2 <= 1 to c: on the line m c, multiplier 9 (|c - m| - r) r/2."""
    centre, middle, r = np.array([0.9, 0.8]), np.array([0.4, 0.4]), 0.25
    found = solve(lambda u: (jnp.sum((u - middle) ** 2) / r**2 - 1)[None], centre)
    away = np.linalg.norm(centre - middle)
    assert found.status == [CONVERGED] * 8
    assert found.u == near(np.tile(middle + r * (centre - middle) / away, (8, 1)), abs=1e-5)
    assert found.multipliers[:, 0] == near(np.full(8, 9 * (away - r) * r / 2), rel=1e-4)


def test_a_limit_that_does_not_hold_has_no_multiplier():
    found = solve(lambda u: jnp.stack([u[0] - 0.9, u[1] - 0.95]), np.array([0.3, 0.6]))
    assert found.status == [CONVERGED] * 8 and found.u == near(np.tile([0.3, 0.6], (8, 1)), abs=1e-6)
    assert (found.multipliers == 0).all()


def test_a_kink_between_two_bins_is_kept_and_reached():
    """The larger of two limits, equal where the optimum lies: no gradient vanishes there."""
    found = solve(lambda u: jnp.maximum(u[0] - u[1], u[0] + u[1] - 1.0)[None], np.array([0.9, 0.5]))
    assert set(found.status) <= {CONVERGED, FEASIBLE}
    assert found.u == near(np.tile([0.5, 0.5], (8, 1)), abs=2e-2)
    assert found.chi2.min() == near(9 * 0.4**2, rel=1e-2)


def test_a_step_is_never_crossed():
    """No limit beyond 0.7, none that is kept between 0.5 and 0.7: either side keeps its own optimum."""
    forbidden = lambda u: (jnp.where(u[0] < 0.7, u[0] - 0.5, -1.0))[None]  # noqa: E731
    found = solve(forbidden, np.array([0.65, 0.5]), np.array([[0.2, 0.2], [0.9, 0.9]]))
    assert found.feasible.all()
    assert found.u[0] == near([0.5, 0.5], abs=1e-4) and found.u[1, 0] == near(0.7, abs=0.02)
    assert found.status[0] == CONVERGED


def test_limits_that_clash_are_said_to():
    found = solve(lambda u: jnp.stack([u[0] - 0.3, 0.6 - u[0]]), np.array([0.5, 0.5]))
    assert found.status == [INFEASIBLE] * 8 and (found.excess.max(axis=1) > 0.1).all()


def test_what_is_not_finite_is_said_to_be():
    found = solve(lambda u: jnp.log(u[:1] * 0 - 1), np.array([0.5, 0.5]))
    assert found.status == [NOT_FINITE] * 8 and not found.feasible.any()


@pytest.mark.parametrize("warm", [False, True])
def test_a_descent_goes_on_from_an_earlier_end(warm):
    centre, limit = np.array([0.9, 0.8]), lambda u: (u[0] + u[1] - 1)[None]
    judged = batched(lambda shared, u: (jnp.sum(distance(shared, u) ** 2), limit(u)))
    descend = AugmentedLagrangian(distance, limit, judged)
    first = descend(centre, RNG.random((1, 2)))
    again = descend(centre, first.u, *([first.multipliers, first.stiffness] if warm else []))
    assert again.u == near(first.u, abs=1e-5) and again.excess.max() <= KEPT
    assert (again.steps[0] <= 5) == warm
