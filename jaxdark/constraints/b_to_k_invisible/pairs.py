"""Branching ratios of B -> K, K* and B_s -> phi with chi chi, and of B_s -> chi chi, to complete leading order.

Inputs: a dark-sector point. Outputs: branching ratios in all of q2 and in ranges of it, spectra, and those of an
on-shell V. Phi exchange, which the paper leaves out, and V exchange interfere; see `pair_spectra`. With the switches
tree=False, dipole=False, loop="printed" and width="constant" this is Eq. (22), for which `rates` is the faster one.
"""

from collections.abc import Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.pair_poles import corrections
from jaxdark.constraints.b_to_k_invisible.pair_quadrature import Cuts, Nodes, Span, nodes
from jaxdark.constraints.b_to_k_invisible.pair_spectra import (
    PairCouplings,
    Squares,
    dgamma_dq2,
    diagonal_couplings,
    open_densities,
    squares,
    width_bs_chichi,
)
from jaxdark.constraints.b_to_k_invisible.rates import InvisibleBR
from jaxdark.constraints.vector_emission import MODES, width_on_shell
from jaxdark.errors import RequestError, shown
from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.split import SplitDarkSector, width_total, yukawa_products
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.kinematics import Bin, Channel


def tree_couplings(model: SplitDarkSector) -> Float[Array, "chi chi"]:
    """T_ij = -y_s^i y_b^j/(2 m_Phi^2), GeV^-2, shape (n_chi, n_chi) with i first; 0 where the switch `tree` is off.

    A model without y_s and y_b has the products y_s^i y_b^i = r_i/(g_D Q_Phi) alone, and a diagonal matrix.
    """
    n = len(model.m_chi)
    if not model.switches.tree:
        return jnp.zeros((n, n))
    if model.y_s is None or model.y_b is None:
        return -jnp.diag(jnp.broadcast_to(yukawa_products(model), (n,))) / (2 * model.m_Phi**2)
    return -jnp.outer(model.y_s, model.y_b) / (2 * model.m_Phi**2)


def _mode(name: str) -> Channel:
    if name not in MODES:
        raise RequestError(f"the decay must be one of {', '.join(MODES)}, got {shown(name)}")
    return MODES[name]


@usual_rules()
def dbr_dq2_chichi(
    q2: ArrayLike,
    model: SplitDarkSector,
    sm: StandardModel,
    mode: str,
) -> Float[Array, "chi chi *q2"]:
    """dBR/dq2 of B -> M chi_j chibar_i for every pair, GeV^-2, shape (n_chi, n_chi, *q2); 0 outside the phase space.

    Args:
        q2: GeV^2, of any shape.
        model: the dark-sector point.
        sm: Standard Model inputs.
        mode: "B+->K+", "B0->K0", "B0->K*0" or "Bs->phi" (CP-averaged, without the lifetime difference of B_s).

    Raises:
        RequestError: the decay is unknown.
    """
    decay, q2 = _mode(mode), jnp.asarray(q2, float)
    T, m = tree_couplings(model), model.m_chi

    def pair(i: int, j: int) -> Float[Array, "*q2"]:
        if i == j:
            couplings = diagonal_couplings(jnp.where(q2 > 4 * m[i] ** 2, q2, 4 * m[i] ** 2 + 1.0), T[i, i], model, sm)
        else:
            couplings = PairCouplings(T[i, j] / 2, T[i, j] / 2)
        return dgamma_dq2(q2, decay, sm, (m[j], m[i]), squares(couplings))

    rates = jnp.stack([jnp.stack([pair(i, j) for j in range(len(m))]) for i in range(len(m))])
    return getattr(sm, decay.lifetime) * rates


@usual_rules()
def br_chichi_bins(
    model: SplitDarkSector,
    sm: StandardModel,
    modes: Sequence[str] = ("B+->K+", "B0->K*0"),
    s_B: Sequence[Bin] = (),
    q2: Sequence[Bin] = (),
) -> dict[str, InvisibleBR]:
    """Branching ratios of B -> M chi_j chibar_i, summed over all pairs, in all ranges and for several decays at once.

    Integrals of `pair_spectra.dgamma_dq2` from (m_i + m_j)^2 to (m_B - m_M)^2. The decays share nodes, vertex and
    propagator. A V that cannot decay at all leaves unseen as well: then B -> M V on shell is added to the total and to
    the bins [lower, upper) that hold m_V^2.

    Relative accuracy 1e-8 for Gamma_V/m_V from 1e-8 to 1, in total as for tree-level or V exchange alone. Gradients are
    those of the integrals, 0 where a decay is closed; with a width that runs, those in m_V and m_chi lose digits where
    m_V is within 1e-6 of 2 m_chi.

    Args:
        model: the dark-sector point; its switches say what enters.
        sm: Standard Model inputs.
        modes: "B+->K+", "B0->K0", "B0->K*0", "Bs->phi".
        s_B: bins of q2/m_B^2, m_B of the B+ for every decay, plain numbers.
        q2: bins of q2 in GeV^2, plain numbers.

    Returns:
        For each decay branching ratios, dimensionless, of shapes (), (len(s_B),) and (len(q2),).

    Raises:
        RequestError: a decay is unknown, or a bin is not ordered.
    """
    check_inputs(sm)
    decays = [_mode(name) for name in modes]
    for lower, upper in (*s_B, *q2):
        if not 0 <= lower < upper:
            raise RequestError(f"a bin needs 0 <= lower < upper, got [{lower:g}, {upper:g}]")
    cuts, T, n = _cuts(s_B, q2, sm), tree_couplings(model), len(model.m_chi)
    others = np.array([[j for j in range(n) if j != i] for i in range(n)], int).reshape(n, n - 1)
    widths = sum(_diagonal(model.m_chi[i], model.m_chi[others[i]], T[i, i], decays, model, sm, cuts) for i in range(n))
    if model.switches.tree and model.y_s is not None and n > 1:
        first, second = np.triu_indices(n, 1)
        strength = jnp.abs(T[first, second]) ** 2 + jnp.abs(T[second, first]) ** 2
        shapes = jax.vmap(lambda a, b: _off_diagonal(a, b, decays, sm, cuts))(model.m_chi[first], model.m_chi[second])
        widths = widths + jnp.tensordot(strength, shapes, 1)
    widths = widths + _unseen(decays, model, sm, cuts)
    lifetimes = jnp.stack([jnp.asarray(getattr(sm, decay.lifetime)) for decay in decays])
    br = lifetimes[:, None] * widths
    first, last = 1, 1 + len(s_B)
    rates = [InvisibleBR(row[0], row[first:last], row[last:]) for row in br]
    return dict(zip(modes, rates, strict=True))


def _cuts(s_B: Sequence[Bin], q2: Sequence[Bin], sm: StandardModel) -> Cuts:
    """The whole range, the bins in s_B and those in q2; an edge of both kinds of bins makes one cut."""
    in_s_B, in_q2 = (sorted({edge for edges in bins for edge in edges} - {0.0}) for bins in (s_B, q2))
    known_s_B, known_q2 = {0.0: 0}, {0.0: 0}
    known_s_B |= {edge: 1 + k for k, edge in enumerate(in_s_B)}
    known_q2 |= {edge: 1 + len(in_s_B) + k for k, edge in enumerate(in_q2)}
    ends = [[known_s_B[edge] for edge in edges] for edges in s_B] + [[known_q2[edge] for edge in edges] for edges in q2]
    lower, upper = zip((0, 1 + len(in_s_B) + len(in_q2)), *ends, strict=True)
    return Cuts(jnp.concatenate([np.array(in_s_B) * sm.m_Bp**2, np.array(in_q2)]), lower, upper)


def _released(decays: list[Channel], sm: StandardModel) -> Float[Array, " decays"]:
    return jnp.stack([jnp.asarray(m_B - m_M) for m_B, m_M, _ in (decay.masses(sm) for decay in decays)])


def _diagonal(m, m_others, T, decays: list[Channel], model: SplitDarkSector, sm: StandardModel, cuts: Cuts):
    """Widths of B -> M chi chibar for one chi of mass m, GeV, shape (decays, ranges)."""
    released = _released(decays, sm)
    m, is_open = _open_mass(m, released)
    starts = jnp.concatenate([2 * m[None], 2 * m_others, 2 * jnp.asarray(sm.m_mu)[None]])
    at = nodes(Span(2 * m, starts[1:], released), cuts)
    factors, at_pole = corrections(at, starts, T, m, decays, model, sm)
    found = squares(diagonal_couplings(at.s, T, model, sm))
    # Phi exchange alone knows no pole.
    found = Squares(found.A + factors * (found.V - found.A), found.A, factors * found.mixed, factors * found.dipole)
    panels = _on_panels(at, (m, m), found, decays, sm, model.switches.dipole) + at_pole
    return jnp.where(is_open, (at.owner @ panels).T, 0.0)


def _off_diagonal(m_1, m_2, decays: list[Channel], sm: StandardModel, cuts: Cuts):
    """Widths of B -> M chi_1 chibar_2 over |T_12|^2, GeV^5, shape (decays, ranges)."""
    released = _released(decays, sm)
    _, is_open = _open_mass((m_1 + m_2) / 2, released)
    m_1, m_2 = (jnp.where(is_open, m, released.max() / 4) for m in (m_1, m_2))
    at = nodes(Span(m_1 + m_2, jnp.zeros(0), released), cuts)
    half = jnp.full_like(at.s, 0.5)
    panels = _on_panels(at, (m_1, m_2), squares(PairCouplings(half, half)), decays, sm, False)
    return jnp.where(is_open, (at.owner @ panels).T, 0.0)


def _open_mass(m, released):
    """The mass, or a harmless one where every decay is closed, and whether one is open."""
    is_open = 2 * m < released.max()
    return jnp.where(is_open, m, released.max() / 4), is_open


def _on_panels(at: Nodes, masses, couplings: Squares, decays: list[Channel], sm: StandardModel, with_dipole: bool):
    """Integrals of the spectra over panels by their nodes, GeV, shape (panels, decays)."""
    known = [
        open_densities(at.s, decay, sm, masses, at.above, below) for decay, below in zip(decays, at.below, strict=True)
    ]
    rows = [(couplings.V, [part.V for part in known]), (couplings.A, [part.A for part in known])]
    if with_dipole:
        rows += [(2 * couplings.mixed, [part.mixed for part in known])]
        rows += [(couplings.dipole, [part.dipole for part in known])]
    # A product of matrices: what the nodes alone fix stays in its own array, computed once for all points.
    of_point = jnp.concatenate([jnp.broadcast_to(row, at.s.shape) for row, _ in rows], axis=1)
    of_nodes = jnp.concatenate([jnp.stack(parts, -1) * at.weights[..., None] for _, parts in rows], axis=1)
    return jnp.einsum("pj,pjd->pd", of_point, of_nodes)


def _unseen(decays: list[Channel], model: SplitDarkSector, sm: StandardModel, cuts: Cuts):
    """Widths of B -> M V for a V that cannot decay, GeV, shape (decays, ranges)."""
    s0, ends = model.m_V**2, jnp.concatenate([jnp.zeros(1), cuts.at, jnp.full(1, jnp.inf)])
    is_inside = (ends[np.array(cuts.lower)] <= s0) & (s0 < ends[np.array(cuts.upper)])
    on_shell = jnp.stack([width_on_shell(decay, model.m_V**2, model, sm) for decay in decays])
    return jnp.where((width_total(model, sm) == 0) & is_inside, on_shell[:, None], 0.0)


@usual_rules()
def br_on_shell(model: SplitDarkSector, sm: StandardModel, mode: str) -> Float[Array, ""]:
    """BR(B -> M V) for a V on its mass shell, dimensionless, see `vector_emission.width_on_shell`; `mode` as there."""
    decay = _mode(mode)
    return getattr(sm, decay.lifetime) * width_on_shell(decay, model.m_V**2, model, sm)


@usual_rules()
def br_bs_chichi(model: SplitDarkSector, sm: StandardModel) -> Float[Array, "chi chi"]:
    """BR(B_s -> chi_j chibar_i) for every pair, dimensionless, see `pair_spectra.width_bs_chichi`."""
    return sm.tau_Bs * width_bs_chichi(tree_couplings(model), model.m_chi, sm)
