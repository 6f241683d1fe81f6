"""D mixing, the photon penguin and LHC limits on Phi against numbers of the model and formulas written again."""

import math

import jax
import numpy as np
import pytest
from complete_points import checkpoint_inputs, checkpoints
from near import near
from printed import printed

from jaxdark.constraints.scalar import constraints, d_mixing_y_s, lhc_scalar, photon_penguins, sum_y_s2
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector

ENTRIES = {entry.id: entry for entry in constraints()}


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


def point(yy=(0.3,), m_chi=None, g_D=2.0, Q_Phi=0.5, m_Phi=1000.0, **more):
    r = tuple(g_D * Q_Phi * y for y in yy)
    m_chi = m_chi or (1e-3,) * len(yy)
    values = {"m_V": 5.0, "g_mu_V": 0.1, "r_AV": 0.0, "g_D": g_D, "Q_Phi": Q_Phi, "m_Phi": m_Phi, "m_chi": m_chi}
    return printed(**(values | {"r": r} | more))


# D mixing -----------------------------------------------------------------------------------------------------------


def test_bound_of_d_mixing(sm):
    """sum |y_s|^2 < 0.076 at 1 TeV: |yy| < 0.98 for one chi and 0.69 each for two, with |y_b| up to sqrt(4 pi)."""
    assert d_mixing_y_s(point(), sm).limit == near(0.076, abs=5e-4)
    assert d_mixing_y_s(point(m_Phi=2500.0), sm).limit == near(2.5 * float(d_mixing_y_s(point(), sm).limit), rel=1e-12)
    assert math.sqrt(1 / d_mixing_y_s(point((1.0,)), sm).ratio) == near(0.98, abs=5e-3)
    assert math.sqrt(1 / d_mixing_y_s(point((1.0, -1.0)), sm).ratio) == near(0.69, abs=5e-3)


def test_the_least_couplings_to_s():
    """No |y_b| up to sqrt(4 pi) gives less."""
    yy = np.array([0.3, -1.1])
    y_b = np.random.default_rng(1).uniform(0.01, math.sqrt(4 * math.pi), (500, 2))
    least = float(sum_y_s2(point(yy)))
    assert least == near(float(np.sum(yy**2)) / (4 * math.pi), rel=1e-12)
    assert (np.sum((yy / y_b) ** 2, axis=1) > least).all()
    assert sum_y_s2(point((0.3,), y_s=0.2, y_b=1.5)) == near(0.04, rel=1e-12)


@pytest.mark.parametrize(
    ("y_s", "y_b", "sentence"),
    [
        (0.2, None, "y_s and y_b must be given together or not at all"),
        (0.2, 1.4, r"g_D Q_Phi y_s y_b must be r, which is 0.3, got 0.28; leave one of the two out"),
        ((0.1, 0.2), (3.0, 1.5), r"one value per dark fermion, got shapes \(2,\) and \(2,\) for 1"),
        ("a", 1.5, "y_s must be a real number, got 'a'"),
    ],
)
def test_refused_couplings(y_s, y_b, sentence):
    with pytest.raises(RequestError, match=sentence):
        point(y_s=y_s, y_b=y_b)


def test_couplings_that_are_traced():
    slope = jax.grad(lambda y_b: sum_y_s2(point(y_s=0.3 / y_b, y_b=y_b)))(1.5)
    assert slope == near(-2 * 0.3**2 / 1.5**3, rel=1e-12)


def test_terms_that_d_mixing_leaves_out(sm):
    """With all of y_d V^dagger the largest yy for one chi and y_b = sqrt(4 pi) is 0.69 or 1.31, not 0.98."""
    V_us, V_cb, V_ub = 0.2248, 0.04221, 0.00373 * np.exp(-1.27j)
    V_cs, y_b = math.sqrt(1 - V_us**2 - V_cb**2), math.sqrt(4 * math.pi)
    product_limit = float(d_mixing_y_s(point(), sm).limit) * 0.219
    for sign, largest in ((1, 0.69), (-1, 1.31)):
        y_s = sign * np.linspace(0, 0.5, 50001)
        y_u, y_c = y_s * V_us + y_b * np.conj(V_ub), y_s * V_cs + y_b * V_cb
        allowed = np.abs(np.conj(y_u) * y_c) < product_limit
        assert np.abs(y_s[allowed]).max() * y_b == near(largest, abs=5e-3)


# Photon penguin -----------------------------------------------------------------------------------------------------


def test_photon_penguin():
    """The shared checkpoints, and 0.53 C_7 + 0.117 C_8 = 0.0018 per yy at m_b, 0.6 per cent of the Standard Model's."""
    sm = checkpoint_inputs()
    for row in checkpoints()["photon_gluon_penguin"]:
        model = point((0.4,), (row["m_chi"],), physics="complete")
        found = photon_penguins(model, sm)
        assert found.C9 == near(0.4 * row["C9_universal_per_yy"], rel=1e-12)
        rounded = 0.53 * row["C7_per_yy"] + 0.117 * row["C8_per_yy"]
        assert found.C7 == near(0.4 * rounded, rel=1e-2)
    light = photon_penguins(point((1.0,), physics="complete"), sm)
    assert light.C7 == near(0.0018, abs=6e-5)
    assert light.C7_over_SM == near(-0.006, abs=5e-4)
    assert photon_penguins(point((1.0,), m_chi=(0.0,), physics="complete"), sm).C9 == near(float(light.C9), rel=1e-10)


def test_photon_penguin_of_several(sm):
    """They add up, and cancel for equal masses."""
    many = photon_penguins(point((0.4, -0.1), (1.0, 300.0), physics="complete"), sm)
    each = [photon_penguins(point((yy,), (m,), physics="complete"), sm) for yy, m in ((0.4, 1.0), (-0.1, 300.0))]
    assert tuple(map(float, many)) == near(tuple(float(a + b) for a, b in zip(*each, strict=True)), rel=1e-12)
    assert np.abs(photon_penguins(point((0.4, -0.4), physics="complete"), sm)).max() < 1e-17


def test_photon_penguin_is_a_switch(sm):
    for model in (point(), point(physics="complete", photon_penguin=False)):
        assert tuple(map(float, photon_penguins(model, sm))) == (0, 0, 0)
    assert photon_penguins(point(photon_penguin=True), sm).C9 != 0
    shown = ENTRIES["C7_photon_penguin"].verdict(point(physics="complete"), sm)
    assert (float(shown.limit), float(shown.ratio)) == (math.inf, 0)
    assert shown.value == photon_penguins(point(physics="complete"), sm).C7 != 0


# LHC ----------------------------------------------------------------------------------------------------------------


def test_lhc(sm):
    """1 TeV was at the edge in 2020; a chi that is not light lifts the limit, one light among several does not."""
    for name, limit in (("lhc_scalar_2020", 1200.0), ("lhc_scalar_today", 1250.0)):
        verdict = lhc_scalar(point(), sm, name)
        assert tuple(map(float, verdict)) == near((1000.0, limit, limit / 1000), rel=1e-12)
        assert ENTRIES[name].verdict(point(m_Phi=1400.0), sm).ratio < 1
        assert lhc_scalar(point((0.1, 0.1), (500.0, 1.0)), sm, name).ratio > 1
        heavy = lhc_scalar(point(m_chi=(500.0,)), sm, name)
        assert (float(heavy.limit), float(heavy.ratio)) == (math.inf, 0)


def test_entries(sm):
    """What is recalled does not count; all are facts of a point, whatever the physics, but the photon penguin."""
    penguins = ["C9_photon_penguin", "C7_photon_penguin", "C7_over_SM_photon_penguin"]
    assert list(ENTRIES) == ["d_mixing", *penguins, "lhc_scalar_2020", "lhc_scalar_today"]
    assert [entry.applied for entry in ENTRIES.values()] == [False, True, True, True, False, False]
    assert {ENTRIES[name].quality for name in ENTRIES if name not in penguins} == {"unverified"}
    for name, entry in ENTRIES.items():
        same = entry.verdict(point(), sm) == entry.verdict(point(physics="complete"), sm)
        assert same == (name not in penguins)


def test_gradients_and_finite_everywhere(sm):
    def mixture(row):
        """With weights, as one gradient then holds all."""
        g_D, yy, m_chi, m_Phi = row
        model = SplitDarkSector(
            m_V=5.0, g_mu_V=0.1, r_AV=0.0, g_D=g_D, r=yy, m_chi=m_chi, m_Phi=m_Phi, physics="complete"
        )
        found = [entry.verdict(model, sm) for entry in ENTRIES.values()]
        return sum(k * v.ratio for k, v in enumerate(found, 1)) + sum(k * v.value for k, v in enumerate(found[1:4], 1))

    smooth = np.array([[1.3, -0.4, 0.3, 900.0], [0.2, 0.02, 60.0, 1500.0], [3.0, 5.0, 500.0, 800.0]])
    corners = [[0.0, 0.0, 1e-3, 1e3], [0.0, 1.0, 0.0, 1e3], [1e-200, 1.0, 1e3, 1e3], [1.0, 1.0, 5e3, 1e3]]
    steps = (1e-4 * smooth)[..., None] * np.eye(4)
    moved = np.stack([smooth[:, None] + k * steps for k in (-2, -1, 1, 2)]).reshape(-1, 4)
    values, gradient = jax.jit(jax.vmap(jax.value_and_grad(mixture)))(np.concatenate([smooth, corners, moved]))
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    a, b, c, d = np.asarray(values[7:]).reshape(4, 3, 4)
    expected = (a - 8 * b + 8 * c - d) / 12
    assert np.asarray(gradient[:3]) * 1e-4 * smooth == near(expected, rel=1e-6, abs=1e-13)
