"""Any optax optimiser in place of Levenberg-Marquardt: the same minima, also on edges, and a status per descent."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from near import near
from scipy.optimize import lsq_linear, minimize
from toy_data import TOY_OF_THREE

from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import prior_of
from jaxdark.optimise.descents import CONVERGED, NOT_FINITE, STEP_LIMIT
from jaxdark.optimise.fit import fit
from jaxdark.optimise.least_squares import LeastSquares
from jaxdark.optimise.multistart import MultiStart
from jaxdark.optimise.optax_descents import OptaxDescents, make_descents

CONSTANT = prior_of("all", "constant")
OPTIMIZERS = ["lbfgs", "adam", optax.lbfgs(memory_size=5), optax.adam(1e-2)]
RNG = np.random.default_rng(0)


def linear(A, b, u):
    """A u - b with A shared by all problems and b their own."""
    return A @ u - b


def with_a_hole(_, wall, u):
    """Least at 0.8, with a logarithm of what is negative beyond the wall."""
    return jnp.stack([u[0] - 0.8, 0.0 * jnp.log(wall - u[0])])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    path.write_text(TOY_OF_THREE)
    return Likelihood(path)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_bounded_problems_agree_with_scipy(optimizer):
    """Minima inside the cube and on its edges; a descent that was held by an edge in passing leaves it."""
    A, b = RNG.normal(size=(6, 3)), RNG.normal(size=(30, 6)) * 2
    solutions = make_descents(optimizer, linear)(A, RNG.random((30, 3)), b)
    expected = [lsq_linear(A, target, (0, 1), tol=1e-14) for target in b]
    edges = np.array([e.active_mask for e in expected])
    assert (edges == 0).any() and (edges == 1).any() and (edges == -1).any()
    assert set(solutions.status) == {CONVERGED}
    np.testing.assert_allclose(solutions.chi2, [2 * e.cost for e in expected], rtol=1e-6)
    np.testing.assert_allclose(solutions.u, [e.x for e in expected], atol=1e-3)


@pytest.fixture(scope="module")
def minima_of_default(toy):
    return MultiStart(toy, CONSTANT, points=2**8, starts=8)(toy.whitening)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["lbfgs", "adam", "own lbfgs", "own adam"])
def test_the_constant_model_has_the_minimum_of_the_default_and_of_scipy(toy, minima_of_default, optimizer):
    solutions = MultiStart(toy, CONSTANT, points=2**8, starts=8, optimizer=optimizer)(toy.whitening)
    assert solutions.converged.all()
    assert solutions.chi2.min() == near(minima_of_default.chi2.min(), abs=1e-7)
    value = jax.jit(jax.value_and_grad(lambda x: -2 * toy.log_likelihood(x, CONSTANT)))
    bounds = [(r.lower, r.upper) for r in CONSTANT.ranges.values()]
    starts = np.asarray(CONSTANT.vector(RNG.random((6, 2))))
    others = [
        minimize(lambda x: jax.device_get(value(x)), s, jac=True, bounds=bounds, method="L-BFGS-B") for s in starts
    ]
    assert solutions.chi2.min() == near(min(other.fun for other in others), abs=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", optax.adam(1e-2)], ids=["lbfgs", "adam"])
def test_a_fit_by_another_optimiser_is_that_of_the_default(toy, optimizer):
    default = fit(toy, CONSTANT, n_starts=8, toys=40)
    other = fit(toy, CONSTANT, n_starts=8, toys=40, optimizer=optimizer)
    assert default.converged and other.converged
    assert other.chi2 == near(default.chi2, abs=1e-6)
    assert other.pseudo_data.mean_chi2 == near(default.pseudo_data.mean_chi2, abs=1e-3)
    for name, parameter in default.parameters.items():
        assert other.parameters[name].value == near(parameter.value, abs=1e-2 * parameter.hessian_error)
    assert default.descents.optimizer == "lm" and "200 steps" in default.descents.stopping_rule
    assert "2000 steps" in other.descents.stopping_rule


def test_descents_say_how_they_ended():
    starts, wall = np.array([[0.1], [0.7]]), np.array([2.0, 0.5])
    for descents in (OptaxDescents(with_a_hole, optax.adam(1e-2)), LeastSquares(with_a_hole)):
        solutions = descents(None, starts, wall)
        assert solutions.status == [CONVERGED, NOT_FINITE]
        assert solutions.u[0, 0] == near(0.8, abs=1e-3)
    cut = OptaxDescents(with_a_hole, optax.adam(1e-4))(None, starts[:1], wall[:1], steps=20)
    assert cut.status == [STEP_LIMIT] and cut.steps.tolist() == [20]


def test_a_descent_that_runs_into_no_number_keeps_the_point_before():
    solutions = OptaxDescents(with_a_hole, optax.sgd(0.2))(None, np.array([[0.1]]), np.array([0.5]))
    assert solutions.status == [NOT_FINITE]
    assert 0.1 < solutions.u[0, 0] < 0.5
    assert solutions.chi2[0] == near(float((solutions.u[0, 0] - 0.8) ** 2), rel=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [("adm", "nearest right name is adam"), ("bfgs", "nearest right name is lbfgs"), (3, "an optax transformation")],
)
def test_what_is_no_optimiser_is_refused(toy, optimizer, words):
    with pytest.raises(RequestError, match=words):
        fit(toy, CONSTANT, optimizer=optimizer)
