"""B0 -> K*0 V and B+ -> K+ V with V -> mu mu against LHCb's searches for a dimuon resonance, Sec. 3.1.

Inputs: a dark-sector point. Outputs: widths, branching ratios in the bins of the searches, verdicts. A V of any width
is compared with the limits bin by bin, and the strongest bin is the constraint. Limits: data/limits/resonance.yaml.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdark.constraints.b_to_k_invisible.rates import width_kv
from jaxdark.constraints.limit import Constraint, LimitResult, without_limit
from jaxdark.constraints.line_weights import N_MOMENTS, NEAR, closed_form, expansion, is_near
from jaxdark.constraints.vector_emission import Emission, EmissionOfB, emission_k, emission_kst, width_kst_v_complete
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.loops import Scalar
from jaxdark.models.propagator import Propagator, RunningWidth
from jaxdark.models.split import SplitDarkSector, br_mumu, g_tilde, m_gamma, width_total
from jaxdark.models.widths import width_fermions
from jaxdark.semileptonic.form_factors import vector_form_factors
from jaxdark.semileptonic.kinematics import kallen

WidthOfB = Callable[[Scalar, SplitDarkSector, StandardModel], Float[Array, ""]]
"""Width of B -> K(*) V, GeV, as a function of the squared mass of V, GeV^2."""

N_NEAR, N_AWAY = 13, 3
"""Bins about the pole, which contain all the near ones of `line_weights`, and moments that all others take."""
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)
_TO_MOMENTS = _NODE_WEIGHTS[:, None] * _NODES[:, None] ** np.arange(N_MOMENTS)


def width_kst_v(s: Scalar, model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Width of B0 -> K*0 V for a V of squared mass s, Eq. (23) from its helicity amplitudes, GeV, as printed.

    Whatever the switches: that of the complete vertex is `vector_emission.width_kst_v_complete`.

    Gamma = |p|/(8 pi M_B^2) (|H_0|^2 + |H_+|^2 + |H_-|^2) with g = g_tilde s, H_0 = 4 g M_B M_K* A_12(s)/sqrt(s) and
    H_+- = (g/2) [(M_B + M_K*) A_1(s) -+ 2 M_B |p| V(s)/(M_B + M_K*)]; zero from (M_B - M_K*)^2 on. Form factors of
    arXiv:1503.05534; A_0 drops out for a V of definite mass.

    Args:
        s: squared mass, positive, GeV^2.
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    m_B, m_Kst = sm.m_B0, sm.m_Kst0
    is_open = s < (m_B - m_Kst) ** 2
    s = jnp.where(is_open, s, 1.0)
    p = jnp.sqrt(kallen(m_B, m_Kst, s)) / (2 * m_B)
    ff = vector_form_factors(s, sm.B_to_Kst)
    longitudinal = 16 * (m_B * m_Kst * ff.A12) ** 2
    # |H_+|^2 + |H_-|^2: the interference of A_1 and V drops out of the sum.
    transverse = s / 2 * (((m_B + m_Kst) * ff.A1) ** 2 + (2 * m_B * p / (m_B + m_Kst) * ff.V) ** 2)
    width = p / (8 * jnp.pi * m_B**2) * g_tilde(model) ** 2 * s * (longitudinal + transverse)
    return jnp.where(is_open, width, 0.0)


def F1(s: Scalar, sm: StandardModel) -> Float[Array, ""]:
    """The F_1(x, y) that makes Eq. (23) exact, dimensionless; at s = 0 it is 64 x^2 (1-x) A_12(0)^2.

    Gamma = g_tilde^2 s M_B^5/(64 pi M_K*^2 (1 - x)) lambda(1, x, y)^(1/2) F_1(x, y).

    Args:
        s: squared mass of V, 0 < s < (M_B - M_K*)^2, GeV^2; y = s/M_B^2.
        sm: Standard Model inputs; x = M_K*^2/M_B^2.
    """
    x, y = (sm.m_Kst0 / sm.m_B0) ** 2, s / sm.m_B0**2
    root = jnp.sqrt((1 - x - y) ** 2 - 4 * x * y)
    return 64 * jnp.pi * x * (1 - x) / (sm.m_B0**3 * root * s) * _per_coupling(width_kst_v, s, sm)


def br_kst_v_mumu(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """BR(B0 -> K*0 V, V -> mu mu) of a narrow V on its mass shell, tau_B Gamma_K*V Gamma_mumu/Gamma_V, dimensionless.

    Eqs. (23) and (9), or with the vertex at m_V^2 and the dipole of the model.
    """
    width = width_kst_v if _is_printed(model) else width_kst_v_complete
    return sm.tau_B0 * width(model.m_V**2, model, sm) * br_mumu(model, sm)


def _is_printed(model: SplitDarkSector) -> bool:
    """Whether the line of V is the printed one: g_tilde without a dipole and a constant width."""
    return model.switches.as_printed("loop", "dipole", "width")


class Search(NamedTuple):
    """A search in bins of the dimuon mass, with limits that depend on the lifetime of V.

    Attributes:
        width: of B -> K(*) V, as printed.
        emission: its parts for any vertex.
        tau_B: name of the lifetime of the B among the inputs.
        centre, half: of each bin in q2, GeV^2, shape (bins,).
        lifetimes: at which limits are given, ps, increasing, shape (lifetimes,).
        strength: 1/limit, 0 where vetoed, shape (lifetimes, bins).
        reach: beyond the last lifetime limits grow like 1/(1 - exp(-reach/lifetime)), ps; None if there are none.
    """

    width: WidthOfB
    emission: EmissionOfB
    tau_B: str
    centre: Float[np.ndarray, " bins"]
    half: Float[np.ndarray, " bins"]
    lifetimes: Float[np.ndarray, " lifetimes"]
    strength: Float[np.ndarray, "lifetimes bins"]
    reach: float | None


@cache
def kst_search() -> Search:
    """LHCb's search in B0 -> K*0 mu mu, arXiv:1508.04094.

    Its bins are the steps of 5 MeV of the tabulated masses. The windows that the search slid over them are wider (two
    mass resolutions to each side, up to 16 MeV): for a V broader than those, the bins understate what it saw.
    """
    data = read_data("limits/resonance.yaml")["lhcb_kstar_mumu_2015"]
    grid = data["mass_GeV"]
    edges = grid["start"] + grid["step"] * (np.arange(grid["points"] + 1) - 0.5)
    lifetimes, reach = data["lifetime_ps"], data["lifetime_reach_ps"]
    return _search(width_kst_v, emission_kst, "tau_B0", edges, lifetimes, data["limit"], reach)


@cache
def k_search() -> Search:
    """LHCb's search in B+ -> K+ mu mu, arXiv:1612.07818, in the bins of its histogram, 1 to 5 MeV wide in mass.

    A limit holds throughout its bin in lifetime; between two of the bins that are known it is interpolated.
    """
    data = read_data("limits/resonance.yaml")["lhcb_k_mumu_2016"]
    edges = np.array(data["mass_edges_MeV"]) / 1e3
    lifetimes = [edge for low_and_high in data["lifetime_bins_ps"] for edge in low_and_high]
    limits = [row for row in data["limit"] for _ in range(2)]
    return _search(width_kv, emission_k, "tau_Bp", edges, lifetimes, limits, None)


def _search(
    width: WidthOfB, emission: EmissionOfB, tau_B: str, edges, lifetimes, limits, reach: float | None
) -> Search:
    centre, half = (edges[:-1] ** 2 + edges[1:] ** 2) / 2, (edges[1:] ** 2 - edges[:-1] ** 2) / 2
    strength = 1 / np.array([[np.inf if limit is None else limit for limit in row] for row in limits])
    return Search(width, emission, tau_B, centre, half, np.array(lifetimes), strength, reach)


def br_bins(model: SplitDarkSector, sm: StandardModel, search: Search) -> Float[Array, " bins"]:
    """Branching ratio of B -> K(*) V, V -> mu mu in each bin of a search, for a V of any width, Sec. 3.1.

    Integral of (tau_B sqrt(s)/pi) Gamma_{V->mumu}(s) Gamma_{K(*)V}(s)/((s - m_V^2)^2 + m_V^2 Gamma_V^2) over the bin,
    with the constant Gamma_V of Eq. (9); accurate to 1e-4, in the first bin above 2 M_mu to 1e-2.

    In the complete physics |P(s)|^2 of the model's propagator takes the place of the denominator, and Gamma_{K(*)V}(s)
    has the vertex at s and the dipole. But for the pole of P, which is exact, each bin has them at its centre, the
    vertex at the pole where it holds that: accurate to 1e-3, to 1e-2 in bins about the threshold of a chi. That V
    interferes with the Standard Model is left out, as in print.
    """
    line, moments = _line(model, sm), _moments(model, sm, search)
    window = _window(line.pole, search)
    return _away(line, moments, search).at[window].set(_br(line, _moments(model, sm, search, window), search, window))


def strongest_bin(model: SplitDarkSector, sm: StandardModel, search: Search) -> LimitResult:
    """Branching ratio and limit in the bin with the largest ratio of the two, Sec. 3.1.

    The bins about the pole take the limit for the lifetime of V, on straight lines in the logarithms of both between
    the lifetimes of the table. All others, where V is off its mass shell and decays at once, take that for the shortest
    lifetime, and so does a V that lives shorter. The tables are in the proper lifetime: no boost enters.
    """
    line = _line(model, sm)
    window = _window(line.pole, search)
    # Of the bins away from the pole the number of the strongest is kept, and its content evaluated again beside the
    # bins at the pole: so no array over all bins is ever stored, nor differentiated.
    held = jax.lax.stop_gradient((model, line))
    if _is_printed(model):
        strongest = _strongest_away(held[1], _moments(held[0], sm, search), search)
    else:
        strongest = _strongest_of_any_line(*held, sm, search)
    bins = jnp.append(window, strongest)
    strength = jnp.append(_displaced(model, sm, search, window), jnp.asarray(search.strength[0])[bins[-1]])
    br = _br(line, _moments(model, sm, search, bins), search, bins)
    value, strength = (a[jnp.argmax(br * strength)] for a in (br, strength))
    limit = jnp.where(strength > 0, 1 / jnp.where(strength > 0, strength, 1.0), jnp.inf)
    return LimitResult(value, limit, value * strength)


def lhcb_kstar_mumu(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """B0 -> K*0 V, V -> mu mu against LHCb 2015, strongest bin, Eq. (23)."""
    return strongest_bin(model, sm, kst_search())


def lhcb_k_mumu(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """B+ -> K+ V, V -> mu mu against LHCb 2016, strongest bin, Eq. (21)."""
    return strongest_bin(model, sm, k_search())


def constraints() -> tuple[Constraint, ...]:
    """Verdicts of the two searches, and the branching ratio of a narrow V."""
    return (
        _from_data("lhcb_kstar_mumu_2015", lhcb_kstar_mumu),
        _from_data("lhcb_k_mumu_2016", lhcb_k_mumu),
        Constraint(
            "BR_B0_Kst0_V_mumu",
            lambda model, sm: without_limit(br_kst_v_mumu(model, sm)),
            "arXiv:2002.11150, Eq. (23)",
            models=SplitDarkSector,
        ),
    )


def _from_data(name: str, verdict: Callable[[SplitDarkSector, StandardModel], LimitResult]) -> Constraint:
    data = read_data("limits/resonance.yaml")[name]
    return Constraint(name, verdict, data["reference"], data["cl"], data["quality"], models=SplitDarkSector)


def _per_coupling(width: WidthOfB, s: Float[Array, "*axes"], sm: StandardModel) -> Float[Array, "*axes"]:
    """A width of B -> K(*) V over g_tilde^2, which holds all its dependence on the model, GeV^5."""
    unit = SplitDarkSector(m_V=1.0, g_mu_V=1.0, r_AV=0.0, g_D=1.0, r=1.0, physics="paper")
    return jnp.vectorize(lambda s: width(s, unit, sm))(s) / g_tilde(unit) ** 2


class _Line(NamedTuple):
    """A Breit-Wigner line: position and -imaginary part of its pole in GeV^2, weights of both currents of the muon.

    As printed m_V^2, m_V Gamma_V, (g_tilde g_mu^V)^2 in GeV^-4 and (g_mu^A/g_mu^V)^2. In the complete physics vector is
    (g_mu^V)^2, and `_moments` have the rest.
    """

    pole: Float[Array, ""]
    gamma: Float[Array, ""]
    vector: Float[Array, ""]
    axial: Float[Array, ""]


def _line(model: SplitDarkSector, sm: StandardModel) -> _Line:
    if _is_printed(model):
        return _Line(model.m_V**2, m_gamma(model, sm), (g_tilde(model) * model.g_mu_V) ** 2, model.r_AV**2)
    pole, gamma = model.propagator(sm).pole(model.m_V**2)
    return _Line(pole, gamma, model.g_mu_V**2, model.r_AV**2)


def _moments(
    model: SplitDarkSector, sm: StandardModel, search: Search, bins: Int[Array, " some"] | slice = slice(None)
) -> Float[Array, "n 2 some"]:
    """Moments over x = (s - centre)/half of the numerator of the line, for unit couplings to either muon current."""
    if _is_printed(model):
        return _moments_of(lambda s: _per_coupling(search.width, s, sm), sm, search)[:, :, bins]
    centre, half = jnp.asarray(search.centre)[bins], jnp.asarray(search.half)[bins]
    return jnp.einsum("pncb,pb->ncb", _parts(sm, search)[..., bins], _dressing(model, sm, centre, half))


def _parts(sm: StandardModel, search: Search) -> Float[Array, "parts n 2 bins"]:
    """`_moments_of` the parts of an `Emission`."""
    return jnp.stack(
        [_moments_of(lambda s, k=k: search.emission(s, sm)[k], sm, search) for k in range(len(Emission._fields))]
    )


def _moments_of(shape: Callable[[Array], Array], sm: StandardModel, search: Search) -> Float[Array, "n 2 bins"]:
    """Those of the shape of B -> K(*) V, a function of s, times the width into muons; it may not depend on the model.

    Then they do not either: under vmap over draws they are computed once.
    """
    s = search.centre + search.half * _NODES[:, None]
    common = getattr(sm, search.tau_B) * jnp.sqrt(s) / jnp.pi * shape(s) / search.half
    m_mu = jnp.asarray(sm.m_mu)
    numerators = jnp.stack([common * width_fermions(s, m_mu, g_V, 1.0 - g_V) for g_V in (1.0, 0.0)], axis=1)
    return jnp.tensordot(_TO_MOMENTS.T, numerators, 1)


def _dressing(
    model: SplitDarkSector, sm: StandardModel, centre: Float[Array, " bins"], half: Float[Array, " bins"]
) -> Float[Array, "parts bins"]:
    """What multiplies the parts of an `Emission` in each bin, times |P(s) (s - pole)|^2 there, GeV^-4."""
    pole, gamma, *_ = _line(model, sm)
    residue = _residue(model.propagator(sm), model.m_V, centre, pole, gamma)
    g, d = model.vertex(jnp.where(jnp.abs(pole - centre) < half, pole, centre)), model.dipole
    parts = jnp.stack([g.real**2 + g.imag**2, 2 * g.real * d, jnp.full_like(g.real, d**2)])
    return parts * (residue.real**2 + residue.imag**2)


def _residue(propagator: Propagator, m_V: Scalar, s: Float[Array, " bins"], s0: Scalar, g: Scalar):
    """P(s) (s - s0 + i g), dimensionless.

    The pole belongs to the channels open at m_V^2: where others are open the product is no smooth function across
    their thresholds, but has no close numbers to subtract either.
    """
    if not isinstance(propagator.width, RunningWidth):
        return jnp.ones_like(s, complex)
    smooth = jax.lax.complex(*propagator.remainder(s, s0, g))
    same = jnp.all(propagator.width.is_open(s) == propagator.width.is_open(jnp.asarray(m_V**2)), axis=-1)
    return jnp.where(same, smooth, (s - s0 + 1j * g) * propagator(s))


def _window(pole: Float[Array, ""], search: Search) -> Int[Array, " near"]:
    """The bins that may be near the pole."""
    first = jnp.searchsorted(search.centre + search.half, pole) - N_NEAR // 2
    return jnp.clip(first, 0, search.half.size - N_NEAR) + np.arange(N_NEAR)


def _away(line: _Line, moments: Float[Array, "n 2 bins"], search: Search) -> Float[Array, " bins"]:
    """Branching ratio in each bin of a search, zero in those near the pole."""
    inverse = 1 / search.half
    u, v = search.centre * inverse - line.pole * inverse, line.gamma * inverse
    weights = expansion(u, v, N_AWAY)
    return jnp.where(is_near(u, v), 0.0, _sum(weights, line, moments))


def _strongest_away(line: _Line, moments: Float[Array, "n 2 bins"], search: Search) -> Int[Array, ""]:
    """The bin with the largest ratio of branching ratio and limit among those not near the pole.

    The three terms of `expansion` are written out in powers of the propagator, with one division per bin.
    """
    scales = search.strength[0] * search.half ** np.arange(2, 2 + N_AWAY)[:, None]
    m0, m1, m2 = (scale * (V + line.axial * A) for scale, (V, A) in zip(scales, moments, strict=False))
    x = search.centre - line.pole
    distance2 = x**2 + line.gamma**2
    propagator = 1 / distance2
    slope = 2 * x * propagator
    ratio = propagator * (m0 - slope * m1 + (slope**2 - propagator) * m2)
    ratio = jnp.where(distance2 < (NEAR * search.half) ** 2, 0.0, ratio)
    return _argmax(ratio)


def _strongest_of_any_line(model: SplitDarkSector, line: _Line, sm: StandardModel, search: Search) -> Int[Array, ""]:
    """As `_strongest_away` for the complete physics: the numerators of each bin are taken as constant in it.

    That is within 1e-3 of the ratios of `_br`, and leaves one array over the bins for each part of an `Emission`.
    """
    means = _parts(sm, search)[:, 0]
    numerators = [(V + line.axial * A) * search.strength[0] * search.half**2 for V, A in means]
    g, d = model.vertex(search.centre), model.dipole
    inverse = model.propagator(sm).inverse(search.centre)
    x = search.centre - line.pole
    distance2 = x**2 + line.gamma**2
    near = 1 / distance2
    # Mean of 1/|s - pole|^2 over the bin, in units of its value at the centre.
    mean = 1 + search.half**2 / 3 * near * (4 * x**2 * near - 1)
    vector, mixed, dipole = numerators
    size = (g.real**2 + g.imag**2) * vector + 2 * d * g.real * mixed + d**2 * dipole
    ratio = size * mean / (inverse.real**2 + inverse.imag**2)
    return _argmax(jnp.where(distance2 < (NEAR * search.half) ** 2, 0.0, ratio))


def _argmax(values: Float[Array, " n"]) -> Int[Array, ""]:
    """Index of the largest of many numbers >= 0, the last one of those that agree to a part 2^-40.

    The bits of such numbers, read as integers, are in the same order. The index takes the place of their last bits, so
    that one maximum of integers finds both: XLA makes vector instructions of that, not of `jnp.argmax`, which takes
    twice as long for the bins of a search.
    """
    index_bits = 2 ** int(values.size).bit_length() - 1
    keys = jax.lax.bitcast_convert_type(values, jnp.int64) & ~index_bits | np.arange(values.size)
    return keys.max() & index_bits


def _br(line: _Line, moments: Float[Array, "n 2 bins"], search: Search, bins: Int[Array, " some"]):
    """Branching ratio in the given bins of a search, of which the moments are, shape (some,)."""
    half = jnp.asarray(search.half)[bins]
    u, v = (jnp.asarray(search.centre)[bins] - line.pole) / half, line.gamma / half
    near, away = (_sum(f(u, v, N_MOMENTS), line, moments) for f in (closed_form, expansion))
    return jnp.where(is_near(u, v), near, away)


def _sum(weights: list[Float[Array, " bins"]], line: _Line, moments: Float[Array, "n 2 bins"]) -> Float[Array, " bins"]:
    return line.vector * sum(w * (V + line.axial * A) for w, (V, A) in zip(weights, moments, strict=False))


def _displaced(
    model: SplitDarkSector, sm: StandardModel, search: Search, window: Int[Array, " near"]
) -> Float[Array, " near"]:
    """1/limit for the lifetime of V, 0 where either neighbour in the table is vetoed."""
    # A V without decays gets a lifetime beyond every table.
    lifetime = 1e12 * sm.hbar / jnp.maximum(width_total(model, sm), 1e-100)
    grid = np.log(search.lifetimes)
    row = jnp.sum(lifetime >= search.lifetimes[1:-1])
    fraction = jnp.clip((jnp.log(lifetime) - jnp.asarray(grid)[row]) / jnp.asarray(np.diff(grid))[row], 0.0, 1.0)
    shorter, longer = (jnp.asarray(search.strength)[row + i, window] for i in (0, 1))
    limited = (shorter > 0) & ((longer > 0) | (fraction == 0))
    log_shorter, log_longer = (jnp.log(jnp.where(strength > 0, strength, 1.0)) for strength in (shorter, longer))
    strength = jnp.exp(log_shorter + fraction * (log_longer - log_shorter))
    return jnp.where(limited, strength, 0.0) * _beyond(lifetime, search)


def _beyond(lifetime: Float[Array, ""], search: Search) -> Float[Array, ""]:
    """What is left of 1/limit beyond the longest lifetime of the table."""
    last = search.lifetimes[-1]
    if search.reach is None:
        return jnp.where(lifetime > last, 0.0, 1.0)
    return jnp.expm1(-search.reach / jnp.maximum(lifetime, last)) / np.expm1(-search.reach / last)
