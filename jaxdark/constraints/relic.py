"""Relic density of the lightest dark fermion from chi chibar -> V* -> mu mu: Eq. (31), and the freeze-out it estimates.

A dark-sector point enters; the thermally averaged cross section and Omega h^2 of chi and its antiparticle leave.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.constraints.verdict import Constraint, Verdict, bare
from jaxdark.dark.loops import Scalar
from jaxdark.dark.mediator import width_fermions, width_mumu, width_total
from jaxdark.dark.model import SplitDarkSector
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel
from jaxdark.semileptonic.quadrature import NODES, pole_weights
from jaxdark.wilson import LEAST_WIDTH

G_STAR = 2 + 7 / 8 * (4 + 6)
"""Relativistic degrees of freedom of photons, electrons and three neutrinos: a plasma between 1 and 100 MeV."""

_PLANCK_MASS = 1.220890e19  # GeV, CODATA 2018
_T_TODAY = 2.7255 * 8.617333262e-14  # GeV, arXiv:0911.1955 and the exact SI Boltzmann constant
_ENTROPY_TODAY = 2 * np.pi**2 / 45 * 43 / 11 * _T_TODAY**3  # GeV^3; neutrinos decoupled before e+ e- annihilation
_HUBBLE_100 = 100 / 3.0856775814913673e19  # 1/s: 100 km/s/Mpc

# Estimates with couplings below this g_mu^2 alpha_D count as at it, so that they stay finite.
_NO_COUPLINGS = 1e-30
# Edges of panels in (sqrt(s) - threshold)/T: towards the threshold, where velocities have square roots, and out to
# where the Boltzmann factor beats the highest resonance.
_EDGES = np.array([0.0, *4.0 ** np.arange(-12, 1), 2, 3.5, 5.5, 8, 11, 14.5, 18.5, 23, 28, 34, 41, 49, 58, 68])
# K_nu by the trapezoidal rule over its integral along cosh t, cut off where the integrand is e^-40 of its start.
_BESSEL_STEPS, _BESSEL_CUT = 32, 40.0
# Least <sigma v> whose logarithm is taken, GeV^-2.
_NO_ANNIHILATION = 1e-200
# m_chi/T up to which Y_eq is followed: chi has decoupled long before. The tail needs 1/Y alone.
_X_END = 100.0
_TAIL_NODES, _TAIL_WEIGHTS = np.polynomial.legendre.leggauss(12)


def omega_h2_estimate(
    model: SplitDarkSector, sm: StandardModel, x_f: Scalar = 20.0, exponent: Scalar = -2.0
) -> Float[Array, ""]:
    """Omega h^2 of the lightest dark fermion, Eq. (31), dimensionless; meant for m_chi < M_mu.

    The print has e^(-2 Delta x_f), which vanishes with m_chi; the text below it says, and `omega_h2` finds, that the
    density grows as m_chi drops: that is exponent +2. Above the muon mass Delta is taken as 0.

    Args:
        model: the dark-sector point; g_D Q_Phi enters alpha_D.
        sm: Standard Model inputs.
        x_f: m_chi over the freeze-out temperature.
        exponent: what multiplies Delta x_f, -2 as printed.
    """
    m_chi = jnp.min(model.m_chi)
    delta = jnp.maximum(1 - m_chi / sm.m_mu, 0.0)
    alpha_D = (model.g_D * model.Q_Phi) ** 2 / (4 * jnp.pi)
    couplings = jnp.maximum((model.g_mu_V / 0.05) ** 2 * alpha_D, _NO_COUPLINGS)
    return 0.05 * (0.1 / m_chi) ** 2 * (model.m_V / 8) ** 4 / couplings * jnp.exp(exponent * delta * x_f)


def sigma_v(x: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Thermal average of sigma v for chi chibar -> V* -> mu mu, GeV^-2 (Gondolo, Gelmini, Nucl. Phys. B360, 145).

    sigma = 12 pi Gamma_chi(s) Gamma_mu(s)/(beta_chi^2 |s - m_V^2 + i m_V Gamma_V|^2) with the widths of Eq. (9) at mass
    sqrt(s) and a constant Gamma_V in the propagator. Product integration on fixed panels: 1e-10 relative for x from
    1e-3 to 3e4 and Gamma_V/m_V from 1e-9 to 1, wherever the pole lies; for narrower V too, unless m_V is at the
    threshold itself.

    Args:
        x: m_chi over the temperature.
        model: the dark-sector point; its lightest fermion annihilates.
        sm: Standard Model inputs.
    """
    m, g_chi = jnp.min(model.m_chi), model.g_D * model.Q_Phi
    T, threshold = m / x, 2 * jnp.maximum(m, sm.m_mu)
    edges = (threshold + T * _EDGES) ** 2
    half = (edges[1:] - edges[:-1]) / 2
    s = (edges[:-1] + half)[:, None] + half[:, None] * NODES
    damping = model.m_V * jnp.maximum(width_total(model, sm), LEAST_WIDTH * model.m_V)
    _, weights = pole_weights(edges[:-1], edges[1:], model.m_V**2, damping)
    widths = width_fermions(s, m, g_chi, 0.0) * width_mumu(model, sm, s)
    boltzmann = jnp.exp(-(jnp.sqrt(s) - threshold) / T) * bessel_K(1, jnp.sqrt(s) / T)
    integral = jnp.sum(weights / half[:, None] * s**1.5 * widths * boltzmann)
    forbidden = jnp.exp(-(threshold - 2 * m) / T)
    return 1.5 * jnp.pi * forbidden * integral / (m**4 * T * bessel_K(2, x) ** 2)


def omega_h2(model: SplitDarkSector, sm: StandardModel, g_star: Scalar = G_STAR) -> Float[Array, ""]:
    """Omega h^2 of the lightest dark fermion and its antiparticle from the integrated freeze-out, dimensionless.

    chi starts in equilibrium at a temperature of max(m_chi, M_mu), with Maxwell-Boltzmann statistics, the standard
    expansion and a constant g_star; it annihilates to muons alone, and 2 m_chi Y_chi is counted. The integration is
    accurate to 1e-6.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        g_star: effective relativistic degrees of freedom of energy and entropy.

    Raises:
        RequestError: diffrax is not installed.
    """
    m = jnp.min(model.m_chi)

    def log_Y_eq(x):
        return jnp.log(45 / (4 * jnp.pi**4) * 2 / g_star * x**2 * bessel_K(2, x)) - x

    def log_rate(x):
        """Logarithm of s <sigma v>/H: annihilations per Hubble time and per Y."""
        average = jnp.maximum(sigma_v(x, model, sm), _NO_ANNIHILATION)
        return jnp.log(jnp.sqrt(jnp.pi * g_star / 45) * _PLANCK_MASS * m * average / x)

    def slope(log_x, excess, _):
        """d ln(Y/Y_eq)/d ln x: the equilibrium falls away, annihilation pulls back."""
        x = jnp.exp(log_x)
        pull = jnp.exp(log_rate(x) + log_Y_eq(x) + excess) * jnp.expm1(-2 * excess)
        return x * bessel_K(1, x) / bessel_K(2, x) + pull

    excess = _integrate(slope, jnp.log(m / jnp.maximum(m, sm.m_mu)), np.log(_X_END))
    # Far from equilibrium d(1/Y) = <sigma v> dx/x^2 up to a factor, from the end of the integration to infinity.
    x, weights = _X_END * 2 / (1 + _TAIL_NODES), _TAIL_WEIGHTS / (1 + _TAIL_NODES)
    tail = jnp.sum(weights * jnp.exp(jax.vmap(log_rate)(x)))
    Y = 1 / (jnp.exp(-log_Y_eq(_X_END) - excess) + tail)
    critical = 3 / (8 * jnp.pi) * (_HUBBLE_100 * sm.hbar * _PLANCK_MASS) ** 2
    return 2 * m * Y * _ENTROPY_TODAY / critical


def _integrate(slope, start: Scalar, end: Scalar) -> Float[Array, ""]:
    """Solution at the end that is 0 at the start, by a stiff method."""
    try:
        import diffrax
        import optimistix
    except ImportError:
        raise RequestError(
            "the freeze-out integration needs the package diffrax: install it with `pip install 'jaxdark[relic]'`, "
            "or take omega_h2_estimate"
        ) from None
    # diffrax's own root finder keeps its Jacobian over a step, but annihilation slows down within less than that.
    solver = diffrax.Kvaerno5(root_finder=diffrax.with_stepsize_controller_tols(optimistix.Newton)())
    tolerances = diffrax.PIDController(rtol=1e-9, atol=1e-9)
    zero, term = jnp.zeros(()), diffrax.ODETerm(slope)
    solution = diffrax.diffeqsolve(term, solver, start, end, None, zero, stepsize_controller=tolerances)
    return jnp.squeeze(solution.ys)


def bessel_K(order: int, z: Float[Array, "*axes"] | float) -> Float[Array, "*axes"]:
    """Modified Bessel function K_1 or K_2 times e^z; 1e-10 relative for z from 1e-3 on."""
    z = jnp.asarray(z)[..., None]
    step = jnp.arccosh(1 + _BESSEL_CUT / z) / _BESSEL_STEPS
    above_one = 2 * jnp.sinh(step * np.arange(_BESSEL_STEPS + 1) / 2) ** 2
    cosh = 1 + above_one if order == 1 else 2 * (1 + above_one) ** 2 - 1
    terms = jnp.exp(-z * above_one) * cosh
    return step[..., 0] * (jnp.sum(terms, axis=-1) - terms[..., 0] / 2)


def constraints() -> tuple[Constraint, ...]:
    """The estimate of Eq. (31) as a bare prediction."""

    def estimate(model: SplitDarkSector, sm: StandardModel) -> Verdict:
        return bare(omega_h2_estimate(model, sm))

    return (Constraint("omega_h2", estimate, "arXiv:2002.11150, Eq. (31)", of=SplitDarkSector),)
