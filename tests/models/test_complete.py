"""The complete vertex and propagator against the shared checkpoints, mpmath and their own limits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from complete_points import checkpoint_inputs, checkpoints, model_of
from near import near
from printed import printed

from jaxdark.errors import RequestError
from jaxdark.models.coefficients import c7, c9, c10
from jaxdark.models.loops import F7phi, dipole_loop, vacuum_polarisation
from jaxdark.models.propagator import Propagator, RunningWidth
from jaxdark.models.split import SplitDarkSector, width_total
from jaxdark.models.switches import SETS
from jaxdark.models.vertex import eta7, photon_penguin

POINTS = checkpoints()["points"]
GOOD = {"m_V": 5.5, "g_mu_V": 0.08, "r_AV": -0.4, "g_D": 3.0, "r": -0.15}


def complex_of(pair):
    return complex(*pair)


def K_by_quadrature(t):
    """The integral itself, above the threshold with its imaginary part from the roots of the logarithm's argument."""
    with mpmath.workdps(30):
        edges = [mpmath.mpf(0), mpmath.mpf(1) / 2, mpmath.mpf(1)]
        if t > 4:
            root = mpmath.sqrt(mpmath.mpf(1) / 4 - 1 / mpmath.mpf(t))
            edges = sorted([*edges, mpmath.mpf(1) / 2 - root, mpmath.mpf(1) / 2 + root])
        real = mpmath.quad(lambda z: z * (1 - z) * mpmath.log(abs(1 - z * (1 - z) * t)), edges)
        inside = (edges[1], edges[3]) if t > 4 else (0, 0)
        imaginary = -mpmath.pi * mpmath.quad(lambda z: z * (1 - z), inside) if t > 4 else 0
        return complex(real, imaginary)


def test_vacuum_polarisation_checkpoints():
    for row in checkpoints()["K"]:
        assert complex(vacuum_polarisation(row["s"])) == near(complex_of(row["value"]), rel=1e-13)


@pytest.mark.parametrize("t", [-3e7, -40.0, -0.6, -0.4, -1e-5, 1e-9, 0.3, 0.49, 0.51, 2.0, 3.9, 4.1, 7.0, 300.0, 1e9])
def test_vacuum_polarisation_is_its_integral(t):
    assert complex(vacuum_polarisation(t)) == near(K_by_quadrature(t), rel=3e-13)


@pytest.mark.parametrize("t", [-40.0, -0.6, 0.3, 0.51, 3.9, 4.1, 300.0])
def test_slope_of_the_vacuum_polarisation(t):
    def part(of):
        return jax.grad(lambda t: of(vacuum_polarisation(t)))(t)

    h = 1e-3 * abs(t) if abs(t - 4) > 1 else 1e-3
    with mpmath.workdps(30):
        differences = [K_by_quadrature(t + k * h) - K_by_quadrature(t - k * h) for k in (1, 2, 3)]
    slope = (45 * differences[0] - 9 * differences[1] + differences[2]) / (60 * h)
    assert complex(part(jnp.real), part(jnp.imag)) == near(slope, rel=1e-7)


def test_cusp_is_finite():
    value, slope = jax.value_and_grad(lambda t: vacuum_polarisation(t).real)(4.0)
    assert (value, slope) == near((-4 / 9, 1 / 24), rel=1e-15)


@pytest.mark.parametrize("x", [1e-8, 0.3, 0.501, 1.0, 1.999, 2.001, 80.0])
def test_dipole_loops(x):
    with mpmath.workdps(40):
        y = mpmath.mpf(x) if x != 1 else 1 + mpmath.mpf(10) ** -8
        log = mpmath.log(y)
        phi = (1 - 6 * y + 3 * y**2 + 2 * y**3 - 6 * y**2 * log) / (12 * (1 - y) ** 4)
        chi = (2 + 3 * y - 6 * y**2 + y**3 + 6 * y * log) / (12 * (1 - y) ** 4)
    assert (F7phi(x), dipole_loop(x)) == near((float(phi), float(phi + chi)), rel=1e-12 if x != 1 else 2e-8)


def test_vertex_checkpoints():
    for row in checkpoints()["g_tilde_GeV^-2"]:
        masses = {name: row[name] for name in ("r", "m_chi", "m_Phi")}
        vertex = SplitDarkSector(**(GOOD | masses), physics="complete").vertex
        assert complex(vertex(row["q2"])) == near(complex_of(row["g_tilde"]), rel=1e-12)
        assert vertex.dipole == near(row["d_tilde"], rel=1e-12)
        if row["g_tilde_paper"] is not None:
            as_printed = printed(**(GOOD | masses)).vertex
            assert complex(as_printed(row["q2"])) == near(row["g_tilde_paper"] + 0j, rel=1e-12)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['m_V']:.3g}-{point['width']}")
def test_coefficient_checkpoints(point):
    sm, model = checkpoint_inputs(), model_of(point)
    assert width_total(model, sm) == near(point["Gamma_V_GeV"], rel=1e-12)
    functions = {
        "C9": c9, "C10": c10, "C7V": lambda *args: c7(*args)[0], "C7A": lambda *args: c7(*args)[1],
        "C9_paper": lambda q2, model, sm: c9(q2, model_of(point, physics="paper", width="constant", dipole=False,
                                                          eta7=None), sm),
    }  # fmt: skip
    compared = 0
    for name, function in functions.items():
        for q2 in (0.5, 3.5, 17):
            if f"{name}({q2})" not in point or (name == "C9_paper" and 0 in point["m_chi"]):
                continue
            expected = complex_of(point[f"{name}({q2})"])
            assert complex(function(float(q2), model, sm)) == near(expected, rel=1e-12, abs=1e-300)
            compared += 1
    assert compared >= 6


def test_photon_penguin_checkpoints():
    sm = checkpoint_inputs()
    from jaxdark.models.coefficients import normalisation

    for row in checkpoints()["photon_gluon_penguin"]:
        found = photon_penguin(row["m_chi"], row["m_Phi"], normalisation(sm))
        assert found == near((row["C9_universal_per_yy"], row["C7_per_yy"], row["C8_per_yy"]), rel=1e-9)


def test_running_of_the_dipole():
    """0.5285 from the recalled values of alpha_s, by hand; slower at a heavier scalar."""
    assert eta7(1000.0) == near((0.0884 / 0.1085) ** (16 / 21) * (0.1085 / 0.2168) ** (16 / 23), rel=1e-14)
    assert eta7(1000.0) == near(0.5285, abs=5e-4)
    assert eta7(2000.0) < eta7(1000.0)


def propagators():
    masses = jnp.array([0.3, 1.1, 0.1056583745])
    couplings = [jnp.array(c) for c in ((2.0, 3.0, 1e-3), (0.0, 0.5, 2e-4), (0.0, 0.0, 0.0))]
    running = RunningWidth(masses, *couplings)
    dispersive = RunningWidth(masses, jnp.array([0.0, 0.0, 1e-3]), couplings[1], jnp.array([2.0, 3.0, 0.0]), True)
    return {"constant": 0.4, "running": running, "dispersive": dispersive}


@pytest.mark.parametrize("kind", propagators())
@pytest.mark.parametrize("m_V", [0.5, 1.7, 2.15, 2.25, 5.0])
def test_propagator_is_its_pole_and_something_smooth(kind, m_V):
    propagator = Propagator(jnp.asarray(m_V), propagators()[kind])
    s = jnp.array([0.01, 0.2, 0.5, 2.0, 4.7, 4.9, 9.0, 22.0])
    s0, g = propagator.pole(s)
    re, im = propagator.remainder(s, s0, g)
    product = (re + 1j * im) / (s - s0 + 1j * g)
    np.testing.assert_array_less(np.abs(np.asarray(product / propagator(s) - 1)), 1e-11)
    assert np.all(np.asarray(g) > 0)


@pytest.mark.parametrize(("m_V", "m_chi"), [(1.9, 1.0), (2.0, 1.0), (0.4, 2.0)])
def test_pole_below_the_threshold_of_chi(m_V, m_chi):
    """Self-energy of chi is real there, and 0 at m_V^2: the pole is m_V^2 - i m_V Gamma/slope of a narrow V."""
    sm, values = checkpoint_inputs(), GOOD | {"m_V": m_V, "g_mu_V": 1e-5, "g_D": 2.0, "m_chi": m_chi}
    model = SplitDarkSector(**values, physics="complete", width="dispersive")
    P, s = model.propagator(sm), m_V**2
    s0, g = P.pole(s)
    assert s0 == near(s, rel=1e-9)
    a, b = (float(P.inverse(s * (1 + h)).real) for h in (-1e-5, -2e-5))
    if m_V < 2 * m_chi:
        assert g == near(float(m_V * width_total(model, sm)) / ((4 * a - b) / (-2e-5 * s)), rel=1e-4)

    def position(m_V):
        model = SplitDarkSector(**values | {"m_V": m_V}, physics="complete", width="dispersive")
        return model.propagator(sm).pole(s)[0]

    assert np.isfinite(jax.grad(position)(m_V))


def test_running_width_is_that_of_equation_9():
    """With m_V replaced by sqrt(s): at s = m_V^2 the constant one."""
    sm = checkpoint_inputs()
    for width in ("running", "dispersive"):
        model = SplitDarkSector(**GOOD, m_chi=0.7, physics="complete", width=width)
        here = model.propagator(sm).inverse(model.m_V**2)
        assert here.imag == near(float(model.m_V * width_total(model, sm)), rel=1e-13)
        assert abs(here.real) < 1e-12


def test_massless_limit():
    """Value and limit of a light fermion agree with the closed form at m_chi = 0, in vertex and propagator."""
    sm, light, massless = (
        checkpoint_inputs(),
        *(SplitDarkSector(**GOOD, m_chi=m, physics="complete", width="dispersive") for m in (1e-7, 0.0)),
    )
    for q2 in (0.3, 4.0, 17.0):
        assert complex(light.vertex(q2)) == near(complex(massless.vertex(q2)), rel=1e-12)
        inverses = (complex(m.propagator(sm).inverse(q2)) for m in (light, massless))
        assert next(inverses) == near(next(inverses), rel=1e-11)
    slope = jax.grad(lambda m: SplitDarkSector(**GOOD, m_chi=m, physics="complete").vertex(4.0).real)(0.0)
    assert slope == 0


@pytest.mark.parametrize("width", ["constant", "running", "dispersive"])
@pytest.mark.parametrize("m_chi", [1e-3, 0.6, 1.3])
def test_gradients_of_c9(width, m_chi):
    sm = checkpoint_inputs()

    def parts(v):
        model = SplitDarkSector(
            m_V=v[0], g_mu_V=v[1], r_AV=-0.4, g_D=v[2], r=v[3], m_chi=v[4], m_Phi=v[5], physics="complete", width=width
        )
        z = c9(3.5, model, sm)
        return jnp.stack([z.real, z.imag])

    at = np.array([2.2, 0.05, 1.4, -0.2, m_chi, 900.0])
    jacobian = np.asarray(jax.jacfwd(parts)(at))
    for k, step in enumerate(np.diag(3e-5 * np.abs(at))):
        with_step = [np.asarray(parts(at + n * step)) for n in (-2, -1, 1, 2)]
        slope = (with_step[0] - 8 * with_step[1] + 8 * with_step[2] - with_step[3]) / (12 * step[k])
        scale = max(1e-9 / abs(at[k]), float(np.abs(slope).max()))
        assert np.abs(jacobian[:, k] - slope).max() < 1e-8 * scale + 1e-11 / step[k]


def test_switches():
    assert printed(**GOOD).switches == SETS["paper"]
    assert SplitDarkSector(**GOOD, physics="complete").switches == SETS["complete"]
    assert SplitDarkSector(**GOOD, physics="complete", width="dispersive").switches.name == "complete width=dispersive"
    assert printed(**GOOD, tree="true").switches.name == "paper tree=True"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"physics": "exact"}, "physics must be one of paper, complete, got 'exact'"),
        ({"loop": "full"}, "loop must be one of printed, exact, got 'full'"),
        ({"width": 0.3}, "width must be one of constant, running, dispersive, got 0.3"),
        ({"tree": "yes"}, "tree must be true or false, got 'yes'"),
        ({"eta7": 0.5}, "eta7 = 0.5 runs the dipole, which is switched off; give dipole=True or no eta7"),
        ({"eta7": -0.5, "dipole": True}, "eta7 is a factor of the running and must be positive, got -0.5"),
        ({"physics": "complete", "m_chi": -1.0}, "m_chi is a mass in GeV and must not be negative, got -1.0"),
        ({"m_chi": 0.0}, "m_chi is a mass in GeV and must be positive, got 0.0"),
    ],
)
def test_refusals_of_switches(change, sentence):
    with pytest.raises(RequestError, match=sentence):
        printed(**(GOOD | change))
