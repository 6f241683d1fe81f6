"""Strict rules that users set for their own JAX code, and double precision of one thread alone."""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_data import TOY

import jaxdark as jd
from jaxdark.compute.batch import batched
from jaxdark.likelihood.priors import Prior, Range

POINT = {"m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -3.0}
ONE = Prior("one", {"C9": Range(-3.0, 3.0)}, lambda C9: jd.ConstantWilson(C9=C9, C10=0.0))


def strictest(stack):
    for setting in (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.transfer_guard("disallow"),
    ):
        stack.enter_context(setting)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    path.write_text(TOY)
    return path


def numbers(toy):
    """Of the calls that a user makes, from the construction on; gradients as in the user's own jit."""
    sm, model, phase = jd.load_inputs(), jd.DarkSector(**POINT), jd.NewPhysics(jd.Contact(C9=1j))
    like = jd.Likelihood(toy)
    return {
        "phase": like(phase),
        "evaluate": like.evaluate(model).log_likelihood,
        "slope": jax.jit(jax.grad(like))(jax.device_put(model)).m_V,
        "A8": jd.binned_angular("B0->K*0mumu", (1.1, 6.0), phase, sm)["A8"],
        "nunu": jd.br_k_nunu(sm),
        "g-2": jd.delta_a_mu(model, sm),
        "C9": abs(jd.c9(3.5, model, sm)),
    }


def test_strict_rules_of_the_user_change_nothing(toy):
    with ExitStack() as stack:
        strictest(stack)
        found = numbers(toy)
    for name, value in numbers(toy).items():
        np.testing.assert_allclose(float(found[name]), float(value), rtol=1e-13, err_msg=name)


def test_what_a_thread_has_set_for_itself_reaches_the_threads_of_the_library():
    """Double precision, where the process has none, and the rules of promotion."""
    points = np.linspace(0.1, 1.0, 600)[:, None] / 3
    function = batched(lambda u: jnp.sum(u) * 2j, batch=4, workers=2)
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    try:
        with jax.enable_x64(True):
            found = function(points)
    finally:
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_numpy_dtype_promotion", "standard")
    np.testing.assert_array_equal(found, points[:, 0] * 2j)


SM = jd.NewPhysics()
CALLS = {
    "binned_dBR": lambda model, sm, like: jd.binned_dBR("B0->K*0ee", (0.0, 1.0), SM, sm),
    "binned_angular": lambda model, sm, like: jd.binned_angular("B0->K*0ee", (0.1, 1.0), SM, sm),
    "lepton_ratio": lambda model, sm, like: jd.lepton_ratio("B+->K+", (1.1, 6.0), SM, sm),
    "br_bs_mumu": lambda model, sm, like: jd.br_bs_mumu(SM, sm),
    "br_k_nunu": lambda model, sm, like: jd.br_k_nunu(sm),
    "br_k_invisible": lambda model, sm, like: jd.br_k_invisible(model, sm),
    "c9": lambda model, sm, like: jd.c9(3.5, model, sm),
    "width_total": lambda model, sm, like: jd.width_total(model, sm),
    "delta_a_mu": lambda model, sm, like: jd.delta_a_mu(model, sm),
    "covariance": lambda model, sm, like: like.at(model).covariance,
    "fit": lambda model, sm, like: jd.fit(like, ONE),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_what_was_made_in_double_precision_is_refused_outside_of_it(call, toy):
    made = jd.DarkSector(**POINT), jd.load_inputs(), jd.Likelihood(toy)
    with jax.enable_x64(False), pytest.raises(jd.RequestError, match="float32"):
        call(*made)
