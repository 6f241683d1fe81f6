"""Bins of b -> s mu mu with the exact vertex, its dipole and a running width, against dense quadrature of the rates."""

from functools import partial

import jax
import numpy as np
import pytest
from near import near

from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.wilson import Contact, NewPhysics, Resonance
from jaxdark.semileptonic.amplitudes import decay_at
from jaxdark.semileptonic.bins import integrated_rates, make_panels, rates
from jaxdark.semileptonic.exchange import exchange_weights, threshold_reach
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.leptonic import br_bs_mumu
from jaxdark.semileptonic.observables import INTEGRAL_MATRIX
from jaxdark.semileptonic.tables import RateTables

SM = load_inputs()
KST, K = "B0->K*0mumu", "B+->K+mumu"
BINS = [(0.045, 1.1), (1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (6.0, 8.0), (15.0, 17.0), (17.0, 19.0)]
NAMES = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi")
X, WEIGHTS = np.polynomial.legendre.leggauss(24)
CHUNK = 2**13

# Thresholds in a bin, on edges, by the end of phase space and below it; V above and below its thresholds, broad and
# narrow.
POINTS = {
    "light chi": (4.2, 0.05, -0.4, 2.5, -1.2, 1e-3),
    "V in a bin, threshold in another": (2.2, 0.05, -0.4, 1.0, 0.5, 0.6),
    "threshold on an edge": (1.7, 0.02, -0.3, 0.8, -0.6, np.sqrt(1.1) / 2),
    "threshold above V": (2.2, 0.03, -0.4, 1.5, 0.4, 1.18),
    "narrow V by the threshold": (2.3, 0.004, -0.4, 0.05, 2.0, 1.1),
    "threshold at the dimuon's": (1.3, 0.05, -0.4, 0.7, 0.4, 0.1057),
    "threshold below the dimuon's": (1.3, 0.05, -0.4, 0.7, 0.4, 0.1),
    "heavy chi": (5.5, 0.08, -0.4, 2.9, -1.0, 2.05),
    "closed": (0.9, 0.01, -0.1, 1.1, 0.3, 30.0),
}


def model_of(v, width):
    return SplitDarkSector(**dict(zip(NAMES, v, strict=True)), physics="complete", width=width)


def matrix(process):
    return INTEGRAL_MATRIX if CHANNELS[process].spin else np.ones((1, 1))


@pytest.fixture(scope="module")
def computed():
    """Functions of a point: the tables, the full amplitude and the rates at CHUNK values of q2, per width and decay."""

    def build(process, width):
        channel = CHANNELS[process]
        panels = make_panels(BINS, channel, SM)
        tables = RateTables.build(lambda sm: decay_at(panels.nodes, channel, sm), panels, matrix(process), SM)
        decay = decay_at(panels.nodes, channel, SM)
        return (
            jax.jit(lambda v: tables(model_of(v, width).new_physics(SM)).T),
            jax.jit(lambda v: integrated_rates(model_of(v, width).new_physics(SM), decay, panels, SM)),
            jax.jit(lambda v, q2: rates(q2, model_of(v, width), channel, SM)),
        )

    made = {}
    return lambda *key: made.setdefault(key, None) or made.update({key: build(*key)}) or made[key]


def dense(rate, process, v):
    """24 nodes on each of many panels that shrink by 3 towards the pole, the threshold and all else that bends."""
    lower, upper = map(float, CHANNELS[process].q2_range(SM))
    marks = np.array([4 * v[5] ** 2, v[0] ** 2, lower, upper, 0.03, 1.0, 4 * float(SM.mc_pole) ** 2])
    steps = 3.0 ** np.arange(3, -40, -1)
    around = np.concatenate([marks, *(marks[:, None] + sign * steps for sign in (-1, 1))], axis=None)
    values = []
    for a, b in BINS:
        a, b = max(a, lower), min(b, upper)
        edges = np.unique([a, b, *around[(a < around) & (around < b)]])
        edges = edges[np.append(True, np.diff(edges) > 1e-15 * edges[1:])]
        half = np.diff(edges)[:, None] / 2
        q2 = (edges[:-1, None] + half * (1 + X)).ravel()
        padded = np.append(q2, np.full(-len(q2) % CHUNK, a))
        found = np.concatenate([rate(v, part) for part in padded.reshape(-1, CHUNK)])[: len(q2)]
        values.append((half * WEIGHTS).ravel() @ found)
    return np.array(values)


@pytest.mark.parametrize("width", ["constant", "running", "dispersive"])
@pytest.mark.parametrize("process", [K, KST])
def test_bins_agree_with_dense_quadrature(process, width, computed):
    """To 1e-9 of the rate; next to the threshold the pole of the other sheet, as near as its own, costs two digits."""
    tables, full, rate = computed(process, width)
    for name, v in POINTS.items():
        v = np.array(v)
        expected = dense(rate, process, v)
        scale = np.abs(expected @ matrix(process).T)[:, :1]
        accuracy = 3e-9 if name != "narrow V by the threshold" else 3e-7
        for found in (tables(v), np.asarray(full(v)) @ matrix(process).T):
            error = np.abs(np.asarray(found) - expected @ matrix(process).T) / scale
            assert error.max() < accuracy, (name, BINS[error.max(1).argmax()], error.max())


def test_gradients_agree_with_differences(computed):
    """In every parameter, with the threshold inside a bin."""
    tables, _, _ = computed(K, "running")
    at = np.array(POINTS["V in a bin, threshold in another"])
    along = jax.jit(lambda v, direction: jax.jvp(tables, (v,), (direction,))[1])
    jacobian = np.stack([np.asarray(along(at, direction))[:, 0] for direction in np.eye(len(at))], axis=1)
    for k, step in enumerate(np.diag(1e-4 * np.abs(at))):
        there = [np.asarray(tables(at + n * step))[:, 0] for n in (-3, -2, -1, 1, 2, 3)]
        slope = sum(c * f for c, f in zip((-1, 9, -45, 45, -9, 1), there, strict=True)) / (60 * step[k])
        error = np.abs(jacobian[:, k] - slope).max() * abs(at[k]) / np.abs(there[2]).max()
        assert error < 3e-7, (NAMES[k], error)


@pytest.mark.slow
def test_reverse_mode_is_forward_mode(computed):
    """pytest -m slow tests/semileptonic/test_exchange.py"""
    tables, _, _ = computed(KST, "running")
    for v in POINTS.values():
        forward = np.asarray(jax.jit(jax.jacfwd(lambda v: tables(v)[:, 0]))(np.array(v)))
        reverse = np.asarray(jax.jit(jax.jacrev(lambda v: tables(v)[:, 0]))(np.array(v)))
        assert np.abs(forward - reverse).max() < 1e-10 * np.abs(forward).max()


def test_masses_known_or_traced_make_no_difference():
    """Known masses let the program leave out the cuts; both know the same integrals."""
    panels = make_panels(BINS, CHANNELS[K], SM)
    v = np.array(POINTS["V in a bin, threshold in another"])

    def weights(m_chi, rest):
        resonance = model_of([*rest, m_chi], "running").new_physics(SM).resonance
        return exchange_weights(resonance, panels.lower, panels.upper, panels.bend)

    traced, known = jax.jit(weights)(v[5], v[:5]), jax.jit(partial(weights, float(v[5])))(v[:5])
    for a, b in zip(traced, known, strict=True):
        np.testing.assert_array_less(np.abs(np.asarray(a) - b), 1e-12 * np.abs(np.asarray(b)).max())


def test_reach_of_a_threshold():
    """The points of s at which the sum of distances to a panel's ends is that of rho = 3, in its own variable."""
    lower, upper = np.array([1.0, 1.0, 2.0]), np.array([2.0, 2.0, 3.0])
    low, high = threshold_reach(lower, upper, np.array([0.0, 1.0, -1.0]))
    long, short = 5 / 3, 4 / 3
    u = 0.5 * (1 + long)  # a panel from the end at u = 0 to u = 1, in u
    beyond = (0.5 * short) ** 2 * (1 - (1 / long) ** 2)
    assert (low[0], high[0]) == near((1.5 - long / 2, 1.5 + long / 2), rel=1e-14)
    assert (low[1], high[1]) == near((1 - beyond, 1 + u**2), rel=1e-14)
    assert (low[2], high[2]) == near((3 - u**2, 3 + beyond), rel=1e-14)


def test_conserved_vertex_keeps_V_out_of_bs_mumu():
    """By its q^mu q^nu part: the timelike C_10 cancels whatever the strength, phase and width."""
    standard = float(br_bs_mumu(NewPhysics(), SM))
    for v in POINTS.values():
        assert float(br_bs_mumu(model_of(v, "running"), SM)) == standard
        printed = model_of(v, "running").new_physics(SM).resonance
        assert float(br_bs_mumu(NewPhysics(resonance=Resonance(printed.kappa9, 5.0, v[0], 0.1)), SM)) != standard


def test_a_users_vertex_is_the_models():
    """A plain function of q2 as vertex, with a contact term beside it."""
    panels = make_panels(BINS, CHANNELS[KST], SM)
    decay = decay_at(panels.nodes, CHANNELS[KST], SM)
    tables = RateTables.build(lambda sm: decay_at(panels.nodes, CHANNELS[KST], sm), panels, INTEGRAL_MATRIX, SM)
    model = model_of(POINTS["light chi"], "constant")
    own = model.new_physics(SM).resonance

    def record(vertex):
        resonance = Resonance(own.kappa9, own.kappa10, own.m_V, own.width, "conserved", 1, vertex, own.dipole)
        return NewPhysics(Contact(C9=-0.3, C10=0.2), resonance)

    plain = record(lambda q2: own.vertex(q2) + 0.0)
    expected = integrated_rates(record(own.vertex), decay, panels, SM) @ INTEGRAL_MATRIX.T
    for found in (tables(plain).T, integrated_rates(plain, decay, panels, SM) @ INTEGRAL_MATRIX.T):
        error = np.abs(np.asarray(found - expected)) / np.abs(np.asarray(expected))[:, :1]
        assert error.max() < 1e-12


def test_dipole_and_phase_are_felt():
    """Without the dipole P'_5 at low q2 is another one; the strong phase of the vertex makes S_7 and S_8."""
    v = POINTS["light chi"]
    panels = make_panels([(0.1, 0.98)], CHANNELS[KST], SM)
    decay = decay_at(panels.nodes, CHANNELS[KST], SM)
    of = lambda **switches: np.asarray(  # noqa: E731
        integrated_rates(
            SplitDarkSector(**dict(zip(NAMES, v, strict=True)), physics="complete", **switches).new_physics(SM),
            decay, panels, SM,
        )
    )[0]  # fmt: skip
    complete, without, printed = of(), of(dipole=False), of(loop="printed")
    assert abs(complete[6] / without[6] - 1) > 1e-3  # J_5
    assert abs(complete[10] / printed[10] - 1) > 1e-3  # J_8
