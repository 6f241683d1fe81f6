"""Models: what construction accepts and refuses, tracing, and the coefficients they hand over."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from near import near
from printed import printed

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.coefficients import c9, c10, c_p
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import DarkSector, SplitDarkSector, width_total
from jaxdark.models.switches import SETS

SM = load_inputs()
GOOD = {"m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -3.0}
observables_at = jax.jit(lambda v, q2: all_observables(v, q2))
jacobian_at = jax.jit(lambda v, q2: jax.jacobian(all_observables)(v, q2))
LOW = {"m_V": (0.6, 2.0), "sign_r": 1.0}
HIGH = {"m_V": (2.0, 15.0), "sign_r": -1.0}


def from_vector(v):
    return printed(m_V=v[0], g_mu_V=v[1], r_AV=v[2], g_D=v[3], r=v[4], m_chi=(v[5],), m_Phi=v[6], Q_Phi=v[7])


VECTOR = np.array([5.5, 0.03, -0.4, 1.0, -3.0, 1e-3, 1000.0, 1.0])


def all_observables(v, q2=3.5):
    """Everything of Section 2 at one point as a vector of real numbers, scaled to order one."""
    model = from_vector(v)
    complex_ones = [f(q2, model, SM) for f in (c9, c10, c_p)]
    parts = [part(z) for z in complex_ones for part in (jnp.real, jnp.imag)]
    return jnp.stack([*parts, width_total(model, SM), delta_a_mu(model, SM)])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"m_v": 5.5}, "unknown parameter 'm_v' of SplitDarkSector; the nearest right name is m_V"),
        ({"zzz": 1}, "unknown parameter 'zzz' of SplitDarkSector; choose one of m_V, g_mu_V, r_AV, g_D, r, m_chi"),
        ({"m_V": 0.0}, "m_V is a mass in GeV and must be positive, got 0.0"),
        ({"m_Phi": -1}, "m_Phi is a mass in GeV and must be positive, got -1.0"),
        ({"m_chi": (1e-3, 0.0), "r": (1, 1)}, "m_chi is a mass in GeV and must be positive"),
        ({"r_AV": np.nan}, "r_AV must be finite, got nan"),
        ({"r": np.inf}, "r must be finite, got inf"),
        ({"g_D": "large"}, "g_D must be a real number, got 'large'"),
        ({"g_D": 1 + 1j}, "g_D must be a real number"),
        ({"g_D": None}, "g_D must be finite, got nan"),
        ({"m_V": np.ones(2)}, r"m_V must be one number, got shape \(2,\): make batches with jax.vmap"),
        ({"m_V": [5.0, 5.0]}, r"m_V must be one number, got 2: \[5.0, 5.0\]; write decimals with a point$"),
        ({"g_D": True}, "g_D must be a real number, got True"),
        ({"g_D": "1"}, "g_D must be a real number, got '1'"),
        ({"g_D": 10**400}, "g_D must be a real number, got 1000"),
        ({"m_chi": (1e-3, 10.0)}, r"share one axis n_chi, got shapes \(2,\) and \(\): give one r per dark fermion"),
        ({"m_chi": (1e-3, 1.0), "r": (1, 2, 3)}, r"share one axis n_chi, got shapes \(2,\) and \(3,\)"),
        ({"m_chi": np.ones((2, 2)), "r": np.ones((2, 2))}, "share one axis n_chi"),
        ({"bs_current": "exact"}, "bs_current must be one of paper, without_C_P, conserved, got 'exact'"),
    ],
)
def test_refusals(change, sentence):
    with pytest.raises(RequestError, match=sentence):
        printed(**(GOOD | change))


def test_refusals_of_the_constant_model():
    with pytest.raises(RequestError, match="unknown parameter 'c9' of ConstantWilson; the nearest right name is C9"):
        ConstantWilson(c9=-1.0)
    with pytest.raises(RequestError, match="C10 must be finite"):
        ConstantWilson(C10=np.inf)


def test_single_precision_is_refused():
    """In a fresh process: the flag cannot be turned back here."""
    code = (
        "from jaxdark import ConstantWilson, DarkSector\n"
        "from jaxdark.errors import RequestError\n"
        f"for make in (lambda: DarkSector(**{GOOD}), lambda: ConstantWilson(C9=-1.0)):\n"
        "    try:\n        make()\n"
        "    except RequestError as error:\n        assert 'jaxdark.enable_x64()' in str(error)\n"
        "    else:\n        raise SystemExit('accepted')\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"JAX_PLATFORMS": "cpu", "PYTHONPATH": ":".join(sys.path)}
    )


def test_defaults_and_conversion():
    model = printed(**(GOOD | {"m_V": 5}))
    assert DarkSector is SplitDarkSector
    for leaf in jax.tree.leaves(model):
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == np.float64
    assert (model.m_chi.shape, model.m_chi[0], model.m_Phi, model.Q_Phi, model.switches) == (
        (1,),
        1e-3,
        1e3,
        1.0,
        SETS["paper"],
    )
    assert (model.muon_couplings().g_V, model.muon_couplings().g_A) == (0.03, -0.4 * model.g_mu_V)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.m_V = 1.0


def test_jit_vmap_and_grad_through_the_construction():
    plain = all_observables(VECTOR)
    np.testing.assert_allclose(observables_at(VECTOR, 3.5), plain, rtol=1e-13)
    batch = np.stack([1.01 * VECTOR, VECTOR])
    np.testing.assert_allclose(jax.vmap(observables_at, (0, None))(batch, 3.5)[1], plain, rtol=1e-13)


def test_a_model_is_an_argument_of_jit_and_vmap():
    model = jax.vmap(from_vector)(np.stack([VECTOR, 2 * VECTOR]))
    batched = jax.jit(jax.vmap(lambda m: width_total(m, SM)))(model)
    np.testing.assert_allclose(batched, [width_total(from_vector(v), SM) for v in (VECTOR, 2 * VECTOR)], rtol=1e-14)
    assert jax.grad(width_total)(printed(**GOOD), SM).m_V > 0


def test_gradients_are_those_of_finite_differences():
    jacobian, scale = np.asarray(jacobian_at(VECTOR, 3.5)), np.abs(observables_at(VECTOR, 3.5))
    for i, step in enumerate(np.diag(1e-5 * VECTOR)):
        difference = (observables_at(VECTOR + step, 3.5) - observables_at(VECTOR - step, 3.5)) / (2 * step[i])
        np.testing.assert_array_less(np.abs(jacobian[:, i] - difference), 1e-8 * scale / abs(VECTOR[i]))


@pytest.mark.parametrize("region", [LOW, HIGH], ids=["low", "high"])
def test_no_nan_over_the_priors(region):
    """5e4 points of Table 1 per region, in value and gradient, at a q2 below, in and above the bins."""
    n = 50_000
    random = np.random.default_rng(7)
    log_uniform = [10 ** random.uniform(np.log10(a), np.log10(b), n) for a, b in ((1e-3, 0.2), (0.03, 10))]
    fixed = np.broadcast_to(VECTOR[5:], (n, 3))
    columns = [random.uniform(*region["m_V"], n), log_uniform[0], random.uniform(-1, 0, n), random.uniform(0, 4, n)]
    vectors = np.column_stack([*columns, region["sign_r"] * log_uniform[1], fixed])
    q2 = 10 ** random.uniform(-3, 1.4, n)

    def weighted(v, q2):
        return jnp.sum(all_observables(v, q2) * np.arange(1, 9))

    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(weighted)))(vectors, q2)
    assert jnp.all(jnp.isfinite(values))
    assert jnp.all(jnp.isfinite(gradients))


@pytest.mark.parametrize(
    "change",
    [{0: 5.366920000000000}, {3: 0.0}, {1: 0.0}, {4: 0.0}, {0: 2 * 0.1056583755}, {0: 2e-3}, {5: 1000.0}, {2: 0.0}],
    ids=["m_V=M_Bs", "g_D=0", "g_mu_V=0", "r=0", "m_V=2M_mu", "m_V=2m_chi", "m_chi=m_Phi", "r_AV=0"],
)
def test_no_nan_at_the_special_points(change):
    vector = VECTOR.copy()
    for i, value in change.items():
        vector[i] = value
    for q2 in (0.0, float(vector[0]) ** 2, 17.0):
        assert np.all(np.isfinite(observables_at(vector, q2)))
        assert np.all(np.isfinite(jacobian_at(vector, q2)))


@given(st.floats(0.01, 20.0), st.floats(0.6, 15.0), st.floats(-1.0, 1.0))
def test_no_effect_without_couplings(q2, m_V, r_AV):
    for g_mu_V, r in ((0.03, 0.0), (0.0, -3.0)):
        vector = np.array([m_V, g_mu_V, r_AV, 1.0, r, *VECTOR[5:]])
        assert np.all(observables_at(vector, q2)[:6] == 0)


def test_sign_of_C9_in_the_two_regions():
    """C_9 < 0 at 3.5 GeV^2 needs r g_mu_V < 0 with V above the bins, > 0 with V below."""
    assert c9(3.5, printed(**(GOOD | {"m_V": 6.0, "r": -1.0})), SM).real < 0
    assert c9(3.5, printed(**(GOOD | {"m_V": 0.8, "r": 1.0})), SM).real < 0


@jax.jit
def pseudoscalar_shift(m_V, g_D):
    """C_10 + M_Bs^2/(2 M_mu (M_b + M_s)) C_P at q2 = M_Bs^2 over kappa10 M_Bs^2/m_V^2."""
    model = printed(**(GOOD | {"m_V": m_V, "g_D": g_D, "g_mu_V": 1e-5}))
    q2 = SM.m_Bs**2
    shift = c10(q2, model, SM) + q2 / (2 * SM.m_mu * (SM.mb + SM.ms)) * c_p(q2, model, SM)
    return shift / (model.new_physics(SM).resonance.kappa10 * q2 / m_V**2)


@pytest.mark.parametrize("m_V", [5.36692 + 1e-2, 5.3, 1.0, 12.0])
def test_Bs_to_mumu_of_a_narrow_V(m_V):
    """-kappa10 M_Bs^2/m_V^2 at any m_V, so no resonance."""
    assert complex(pseudoscalar_shift(m_V, 1e-4)) == near(-1.0, rel=1e-6)


@given(st.floats(5.3, 5.4) | st.just(5.36692), st.floats(0.0, 4.0))
def test_Bs_to_mumu_has_no_pole_at_m_V(m_V, g_D):
    """The narrow limit bounds the effect at every mass and width."""
    assert abs(pseudoscalar_shift(m_V, g_D)) < 1 + 1e-9


@pytest.mark.parametrize(
    ("bs_current", "factor"), [("paper", 1 - 3.5 / 1.21), ("without_C_P", 1.0), ("conserved", 0.0)]
)
def test_longitudinal_options(bs_current, factor):
    """Factor of the timelike part of C_10 at q2 = 3.5 GeV^2 and m_V = 1.1 GeV."""
    model = printed(**(GOOD | {"m_V": 1.1, "bs_current": bs_current}))
    timelike = c10(3.5, model, SM) + 3.5 / (2 * SM.m_mu * (SM.mb + SM.ms)) * c_p(3.5, model, SM)
    assert complex(timelike) == near(factor * complex(c10(3.5, model, SM)), rel=1e-12, abs=1e-16)


def test_constant_model():
    model = ConstantWilson(C9=-1.2, C10=0.3)
    for q2 in (0.5, 1.0, 17.0):
        assert (c9(q2, model, SM), c10(q2, model, SM), c_p(q2, model, SM)) == (-1.2, 0.3, 0)
    assert jax.grad(lambda C9: c9(1.0, ConstantWilson(C9=C9), SM).real)(0.5) == 1
