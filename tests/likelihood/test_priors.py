"""Table 1 of the paper and the map between the unit cube and parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near

from jaxdark.errors import RequestError
from jaxdark.likelihood.priors import PRIORS, Prior, Range, prior_of
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.split import DarkSector
from jaxdark.models.switches import SETS

NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r")
quantiles = st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).map(np.array)
regions = st.sampled_from(sorted(PRIORS["split"]))


def test_table_1():
    """Ends of the ranges as printed; r is negative in the high region, where C_9 < 0 wants r g_mu^V < 0."""
    start = {"high": [2.0, 1e-3, -1.0, 0.0, -0.03], "low": [0.6, 1e-3, -1.0, 0.0, 0.03]}
    end = {"high": [15.0, 0.2, 0.0, 4.0, -10.0], "low": [2.0, 0.2, 0.0, 4.0, 10.0]}
    assert set(PRIORS["split"]) == {"high", "low"}
    for region in PRIORS["split"]:
        prior = prior_of(region)
        assert (prior.region, prior.names) == (region, NAMES)
        np.testing.assert_allclose(prior.vector(np.zeros(5)), start[region], rtol=1e-15)
        np.testing.assert_allclose(prior.vector(np.ones(5)), end[region], rtol=1e-14)


@pytest.mark.parametrize("region", PRIORS["split"])
def test_medians(region):
    """Of a uniform prior the mean of its ends, of a log-uniform one their geometric mean."""
    middle = prior_of(region).vector(np.full(5, 0.5))
    m_V, sign = {"high": (8.5, -1), "low": (1.3, 1)}[region]
    np.testing.assert_allclose(middle, [m_V, np.sqrt(2e-4), -0.5, 2.0, sign * np.sqrt(0.3)], rtol=1e-14)


@given(regions, quantiles)
def test_there_and_back(region, u):
    prior = prior_of(region)
    np.testing.assert_allclose(prior.cube(prior.vector(u)), u, rtol=0, atol=1e-13)


slopes = {region: jax.jit(jax.jacfwd(prior.cube)) for region, prior in PRIORS["split"].items()}


@given(regions, quantiles)
def test_density_is_uniform_or_log_uniform(region, u):
    """du/dx: 1/(upper - lower), or 1/(x ln(upper/lower))."""
    prior = prior_of(region)
    vector = np.asarray(prior.vector(u))
    slope = np.diag(slopes[region](vector))
    for x, r, s in zip(vector, prior.ranges.values(), slope, strict=True):
        expected = 1 / (x * np.log(r.upper / r.lower)) if r.log else 1 / (r.upper - r.lower)
        assert s == near(expected, rel=1e-12)


def test_any_number_of_leading_axes():
    prior = prior_of("low")
    u = np.random.default_rng(0).random((3, 4, 5))
    batch = prior.vector(u)
    assert batch.shape == u.shape
    np.testing.assert_array_equal(batch[2, 1], prior.vector(u[2, 1]))
    np.testing.assert_allclose(prior.cube(batch), u, atol=1e-13)


def test_outside_the_range():
    """Outside (0, 1), never NaN, also where the logarithm does not exist; so is the gradient."""
    prior = prior_of("high")
    inside = np.array(prior.vector(np.full(5, 0.5)))
    for i, value, low in ((0, 1.0, True), (0, 20.0, False), (1, 1e-4, True), (1, 1.0, False), (2, 0.5, False),
                          (4, -0.001, True), (4, -11.0, False)):  # fmt: skip
        u = prior.cube(jnp.array(inside).at[i].set(value))
        assert (u[i] < 0) if low else (u[i] > 1)
        assert np.isfinite(u).all()
    for i, value in ((1, 0.0), (1, -0.1), (4, 0.0), (4, 3.0)):
        point = jnp.array(inside).at[i].set(value)
        assert prior.cube(point)[i] == -np.inf
        assert np.isfinite(jax.jacfwd(prior.cube)(point)).all()


def test_model_at_a_vector():
    prior = prior_of("high")
    vector = [5.0, 0.03, -0.4, 1.0, -2.0]
    model = prior.model(np.array(vector))
    assert isinstance(model, DarkSector)
    assert [float(getattr(model, name)) for name in NAMES] == vector
    assert model.m_chi.tolist() == [1e-3]
    traced = jax.jit(lambda v: prior.model(v).m_V * prior.model(v).r)(np.array(vector))
    assert traced == -10.0


def test_prior_of_another_model():
    prior = Prior("heavy", {"C9": Range(-3.0, 3.0), "C10": Range(0.1, 10.0, log=True, sign=-1)}, ConstantWilson)
    model = prior.model(prior.vector(np.array([0.25, 1.0])))
    assert isinstance(model, ConstantWilson)
    assert (float(model.C9), float(model.C10)) == near((-1.5, -10.0))


def test_a_vector_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        prior_of("high").model(np.ones(4))


@pytest.mark.parametrize(("name", "nearest"), [("hihg", "high"), ("lo", "low"), ("", "high")])
def test_unknown_region(name, nearest):
    with pytest.raises(RequestError, match=rf"^unknown region '{name}'; take high or low"):
        prior_of(name)
    with pytest.raises(RequestError, match=rf"\(nearest: {nearest}\)$" if name else "take high or low"):
        prior_of(name)


@pytest.mark.parametrize(("model", "region"), [(m, r) for m, regions in PRIORS.items() for r in regions])
def test_every_model_is_built_inside_its_prior(model, region):
    prior = prior_of(region, model)
    assert (prior.model_name, prior.region) == (model, region)
    built = prior.model(prior.vector(np.full(len(prior.names), 0.3)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(built))


def test_defaults_and_priors_of_ones_own():
    assert prior_of(model="constant").region == "all"
    own = prior_of("low")._replace(region="mine")
    assert prior_of(own) is own


@pytest.mark.parametrize(
    ("model", "sentence"), [("zprim", "nearest: zprime"), ("sm", "split or split-paper or zprime or constant")]
)
def test_unknown_model(model, sentence):
    with pytest.raises(RequestError, match=sentence):
        prior_of("high", model)


def test_complete_physics_has_the_ranges_of_table_1():
    printed, complete = prior_of("low", physics="paper"), prior_of("low")
    assert complete.ranges == printed.ranges and printed.model_name == "split-paper"
    assert (printed.physics, complete.physics, prior_of(model="constant").physics) == ("paper", "complete", None)
    middle = np.asarray(complete.vector(np.full(5, 0.5)))
    assert complete.model(middle).switches == SETS["complete"] and printed.model(middle).switches == SETS["paper"]
    with pytest.raises(
        RequestError, match="the physics as printed is of the model split, got the model zprime; leave one"
    ):
        prior_of("low", "zprime", "paper")
    with pytest.raises(RequestError, match="physics must be one of paper, complete, got 'exact'"):
        prior_of("low", physics="exact")
