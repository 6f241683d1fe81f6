"""A covariance that follows the point: against the integral over the nuisances by other routes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near
from scipy.stats import multivariate_normal

from jaxdark.check.calibration import residuals_of
from jaxdark.compute.batch import batched
from jaxdark.errors import RequestError
from jaxdark.io import results
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.nuisance_integral import integrated, inverse_and_log_determinant
from jaxdark.likelihood.priors import prior_of
from jaxdark.measurements.dataset import load_dataset
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.split import DarkSector
from jaxdark.models.wilson import SM_ONLY, Contact, NewPhysics, Resonance
from jaxdark.optimise.constrained import constrained_fit
from jaxdark.optimise.fit import fit
from jaxdark.sampling.sample import sample
from jaxdark.scans.scan import scan
from jaxdark.semileptonic.predictor import moving

ROWS = {
    ("B+->K+ll", "R_K"): 1,
    ("B0->K*0mumu", "S5"): 2,
    ("B0->K*0mumu", "S8"): 1,
    ("Bs->phimumu", "dBR"): 1,
    ("B+->K+mumu", "dBR"): 2,
    ("Bs->mumu", "BR"): 1,
}
"""How many rows of each kind: every form factor, both regions of q2, leptons of both kinds."""


@pytest.fixture(scope="module")
def like():
    data, chosen = load_dataset("current"), []
    for kind, n in ROWS.items():
        of_kind = [i for i, row in enumerate(data.rows) if (row.process, row.observable) == kind]
        chosen += [of_kind[0], of_kind[-1]][:n]
    few = dataclasses.replace(
        data, rows=tuple(data.rows[i] for i in chosen), correlation=data.correlation[np.ix_(chosen, chosen)]
    )
    return Likelihood(few, theory="following")


@pytest.fixture(scope="module")
def narrow(like):
    """Printed physics: the quicker program."""
    return prior_of("high", physics="paper")


POINT = {"m_V": 2.9, "g_mu_V": 0.05, "r_AV": -0.4, "g_D": 2.0, "r": 0.1}
MODELS = {
    "complete": DarkSector(**POINT),
    "paper": DarkSector(**POINT, physics="paper"),
    "universal": DarkSector(**POINT, physics="paper", lepton_universal=True),
    "contact": ConstantWilson(C9=-0.8, C10=0.3),
    "complex": NewPhysics(Contact(C9=-0.7 + 0.4j)),
    "both": NewPhysics(Contact(C10=0.4), Resonance(kappa9=0.6, kappa10=-0.2, m_V=2.2, width=0.1)),
}


# ---- The integral ----


@given(st.sampled_from([(1, 3), (12, 9), (30, 20)]), st.integers(0, 2**31))
def test_it_is_a_normal_density(shape, seed):
    """exp of minus half the squares is N(z; 0, R + J J^T)/N(0; 0, R)."""
    (n, nuisances), random = shape, np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(n, n))).Q
    R = rotation * np.geomspace(0.1, 2.0, n) @ rotation.T
    root, z, J = np.linalg.cholesky(R), 5 * random.normal(size=n), random.normal(size=(n, nuisances))
    parts = integrated(np.linalg.inv(root), jnp.asarray(z), jnp.asarray(J))
    total, experiment = (multivariate_normal(np.zeros(n), C) for C in (R + J @ J.T, R))
    expected = total.logpdf(z) - experiment.logpdf(np.zeros(n))
    assert -0.5 * float(sum(jnp.sum(part**2) for part in parts)) == near(expected, rel=1e-10)


@pytest.mark.parametrize("n", [1, 7, 8, 52])
def test_inverse_and_determinant(n):
    B = np.random.default_rng(n).normal(size=(2 * n, n)) * np.geomspace(1e-3, 1e2, n)
    A = np.eye(n) + B.T @ B
    inverse, log_determinant = jax.jit(inverse_and_log_determinant)(A)
    np.testing.assert_allclose(inverse @ A, np.eye(n), atol=1e-9)
    assert log_determinant == near(np.linalg.slogdet(A)[1], rel=1e-13)


def test_a_matrix_beyond_double_precision_has_finite_numbers():
    """Predictions next to a narrow peak move by 1e9 errors with the nuisances."""
    B = 1e9 * np.random.default_rng(0).normal(size=(3, 10))
    inverse, log_determinant = inverse_and_log_determinant(jnp.eye(10) + B.T @ B)
    assert np.isfinite(inverse).all() and log_determinant > 100


# ---- Tables of derivatives against the full amplitude ----


@pytest.mark.parametrize("name", MODELS)
def test_jacobian_from_tables(like, name):
    predictor, model = like.predictor, MODELS[name]
    zero = np.zeros(len(predictor.nuisances))
    physics, slopes = predictor.new_physics(model, zero)
    expected, jacobian = jax.jit(predictor.linearised)(physics, moving(slopes), zero)
    found, columns = jax.jit(lambda: predictor.tabulated_linearised()(model))()
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    scale = np.abs(jacobian).max(axis=1, keepdims=True)
    np.testing.assert_allclose(columns / scale, jacobian / scale, atol=1e-10)


def test_every_nuisance_moves_a_row(like):
    predictor = like.predictor
    _, jacobian = jax.jit(lambda: predictor.tabulated_linearised()(MODELS["paper"]))()
    assert (np.abs(jacobian).max(axis=0) > 0).all()


# ---- The likelihood ----


@pytest.mark.parametrize("model", [MODELS["paper"], SM_ONLY], ids=["paper", "Standard Model"])
def test_a_call_is_an_evaluation(like, model):
    """The latter has derivatives of the full amplitude, not of tables; chi2 of a sum of covariances by SciPy."""
    assert like(model) == near(like.evaluate(model).log_likelihood, rel=1e-10)
    assert like(model) == near(-0.5 * like.chi2_at_itself(model), rel=1e-10)
    own = Likelihood(like.data).at(model)
    R = like.data.correlation
    density = multivariate_normal(np.zeros(len(R)), own.covariance)
    z = np.asarray(own.standardised(own.predictions(model), model))
    expected = density.logpdf(z) - multivariate_normal(np.zeros(len(R)), R).logpdf(0 * z)
    assert sum(value for name, value in like.terms(model).items() if name != "g_minus_2") == near(expected, rel=1e-9)


def test_a_reference_does_not_matter(like):
    model = MODELS["paper"]
    assert like.at(MODELS["contact"])(model) == near(float(like(model)), rel=1e-14)


def test_gradient(like, narrow):
    vector = np.array([5.5, 0.03, -0.4, 1.0, -3.0])
    value = jax.jit(lambda vector: like.log_likelihood(vector, narrow))
    gradient = jax.jit(jax.grad(lambda vector: like.log_likelihood(vector, narrow)))(vector)
    for i, step in enumerate(1e-5 * np.abs(vector)):
        h = np.eye(5)[i] * step
        slope = (8 * (value(vector + h) - value(vector - h)) - (value(vector + 2 * h) - value(vector - 2 * h))) / 12
        assert gradient[i] == near(float(slope / step), rel=1e-6, abs=1e-7)


def test_finite_on_the_prior_on_two_threads(like, narrow):
    """Batches on as many threads as there are processors: a call of LAPACK's in them could wait for ever."""
    u = np.random.default_rng(1).random((256, 5))
    function = jax.value_and_grad(lambda u: like(narrow.model(narrow.vector(u))))
    values, gradients = batched(function, batch=16, workers=4)(u)
    assert np.isfinite(values).all() and np.isfinite(gradients).all()


# ---- What takes it ----


def test_residuals_of_descents_are_those_of_the_likelihood(like, narrow):
    parts = like.whitened_residuals(MODELS["paper"], offset=np.zeros(like.n_residuals + 1))
    assert [*parts] == ["flavour", "g_minus_2", "nuisances", "log_determinant"]
    assert -0.5 * float(sum(jnp.sum(part**2) for part in parts.values())) == near(
        float(like(MODELS["paper"])), rel=1e-12
    )


@pytest.mark.slow
def test_fit_scan_and_sample(like, narrow, tmp_path):
    best = fit(like, narrow, n_starts=4, toys=0)
    assert best.converged and best.compared_at.endswith("integrated over")
    assert best.log_likelihood == near(float(like(best.model)), rel=1e-9)
    assert best.delta_chi2_sm == near(2 * float(like(best.model) - like(SM_ONLY)), rel=1e-8)
    axes = POINT | {"m_V": "2.9:7:2"}
    stored = scan(like, axes, out=tmp_path / "scan", outputs=["log_likelihood"])
    of_one = float(like(DarkSector(**POINT)))
    assert np.ravel(stored["log_likelihood"])[0] == near(of_one, rel=1e-9)
    tree = sample(like, narrow, method="importance", n_samples=1024)
    summary = results.summary(tree)
    assert summary["theory"] == "following" and summary["compared_at"].endswith("integrated over")
    draw = {name: float(tree["posterior"][name][0, 5]) for name in narrow.names}
    assert tree["derived"]["log_likelihood"][0, 5] == near(float(like(DarkSector(**draw, physics="paper"))), rel=1e-9)


def test_what_does_not_take_it(like, narrow):
    with pytest.raises(RequestError, match="expected no nuisances xi with the theory following"):
        like(MODELS["paper"], np.zeros(len(like.nuisance_names)))
    with pytest.raises(RequestError, match="pseudo-data are drawn from one covariance"):
        fit(like, narrow, toys=10)
    with pytest.raises(RequestError, match="pseudo-data need the theory marginalised"):
        residuals_of(like, narrow)
    with pytest.raises(RequestError, match="a fit under limits needs the theory marginalised"):
        constrained_fit(like, narrow, subject_to="invisible")
