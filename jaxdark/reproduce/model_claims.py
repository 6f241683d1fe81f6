"""What the paper states of its model without a fit: claims 7 and 8 and those of Sec. 2.

Inputs: inputs of the Standard Model. Outputs: records with the numbers that decide.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.choices import PhysicsName
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.box import TEV, box_scan
from jaxdark.models.coefficients import tree_level
from jaxdark.models.loops import box_F
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import SplitDarkSector, g_tilde, g_Vbs
from jaxdark.models.vector_like import SplitVectorLike
from jaxdark.reproduce import thresholds as limits
from jaxdark.reproduce.claim import Claim, Criterion
from jaxdark.reproduce.estimates import exact, hull
from jaxdark.reproduce.figures import Q2, mixing_bound
from jaxdark.reproduce.study import INVISIBLE, proxy_scales


def model_claims(sm: StandardModel, physics: PhysicsName = "paper") -> list[Claim]:
    """Claims 7 and 8, the boxes of Sec. 2.1 and the vector-like fermion of Sec. 2.2.

    The last two are the same in either physics: they have no V, or one of which a ratio is asked.
    """
    claims = [_mixing(sm, physics), _mev(sm, physics), _box(), _vector_like()]
    return [claim._replace(physics=physics) for claim in claims]


def _mixing(sm: StandardModel, physics: PhysicsName) -> Claim:
    g_D = np.array([1.0, 3.0])
    tuned, off, one = (mixing_bound(g_D, delta, sm, physics) for delta in (0.0, 0.05, None))
    cases = {"0": tuned, "0.05": off}
    near_V = mixing_bound(g_D, 0.0, sm, physics, m_V=5.0)
    return Claim(
        "7",
        "Fig. 6: with m_chi = 1 MeV and 10 GeV and delta_Y = 0 (or 0.05) the B_s mixing bound recedes",
        "excluded region in (g_D, r)",
        f"smallest r of chi_1 that the box excludes at g_D = 1 and 3: delta_Y = 0: {tuned[0]:.3g}, {tuned[1]:.3g}; "
        f"delta_Y = 0.05: {off[0]:.3g}, {off[1]:.3g}; one fermion: {one[0]:.3g}, {one[1]:.3g}; box and V of 5 GeV, "
        f"delta_Y = 0: {near_V[0]:.3g}, {near_V[1]:.3g}",
        tuple(
            Criterion(f"smallest excluded r over that of one fermion, delta_Y = {delta}, g_D = {g:g}",
                      exact(bound / alone), limits.RECEDES)
            for delta, bounds in cases.items() for g, bound, alone in zip(g_D, bounds, one, strict=True)
        ),
    )  # fmt: skip


def _mev(sm: StandardModel, physics: PhysicsName) -> Claim:
    """Largest m_V at which C_9 = -0.7 agrees with B -> K + V, V unseen, with g_mu_V at its (g-2) bound."""
    limit = read_data("muon_g2.yaml")["limit"]["delta_a_mu"]
    # Without the dipole a V of this mass hardly enters B -> K*.
    ids = INVISIBLE if physics == "paper" else (*INVISIBLE, "belle_semileptonic_kst_2017")
    entries = [entry for entry in all_constraints(SplitDarkSector) if entry.id in ids]

    def ratios(m_V):
        def point(g_mu_V, r):
            return SplitDarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=0.0, g_D=1.0, r=r, m_chi=5.0, physics=physics)

        g_mu_V = jnp.sqrt(limit / delta_a_mu(point(1.0, 1.0), sm))
        model = point(g_mu_V, -0.7 / (tree_level(sm) * g_mu_V * _g_tilde(point(g_mu_V, 1.0))))
        return verdicts(model, sm, entries).ratio, _g_tilde(model)

    m_V = np.geomspace(1e-3, 0.2, 400)
    ratio, coupling = (np.asarray(values) for values in jax.jit(jax.vmap(ratios))(m_V))
    names = [entry.id for entry in entries]

    def largest(name: str, scale: float) -> float:
        """m_V in MeV up to which a limit times a factor allows it."""
        allowed = ratio[:, names.index(name)] < scale
        return 1e3 * m_V[allowed].max(initial=0.0)

    def bound(scale: float) -> float:
        return min(largest(name, scale if name == INVISIBLE[1] else 1.0) for name in names)

    found = hull(exact(bound(scale)) for scale in proxy_scales())
    each = ", ".join(f"{name}: {largest(name, 1.0):.1f}" for name in names)
    at_5_MeV = float(np.abs(coupling)[np.argmin(np.abs(m_V - 5e-3))])
    return Claim(
        "8",
        "MeV-scale V: C_9 = -0.7 needs g_tilde > 1e-6 GeV^-2, possible under B -> K + invisible for m_V < 5 MeV",
        "m_V < about 5 MeV",
        f"m_V < {found} MeV with g_mu_V at its (g-2) bound ({each}); at 5 MeV g_tilde is {at_5_MeV:.2g} GeV^-2",
        (
            Criterion("largest m_V in MeV, with the error of BaBar's proxy limits", found, limits.MEV_BOUND),
            Criterion("g_tilde in GeV^-2 at m_V = 5 MeV", exact(at_5_MeV), limits.ABOUT_1E_6),
        ),
        "the bound on m_V goes with the root of the limit on B -> K + invisible",
    )


def _g_tilde(model: SplitDarkSector) -> Float[Array, ""]:
    """|g_tilde| at 3.5 GeV^2, GeV^-2, with the sign of r; constant as printed."""
    return jnp.sign(model.r) * jnp.abs(g_Vbs(Q2, model)) / Q2


def _box() -> Claim:
    masses = np.geomspace(10.0, TEV, 2000)
    common = masses[np.asarray(box_scan(masses, masses, masses).common)].min(initial=np.inf)
    at_100 = box_scan(100.0, 100.0, 100.0)
    three = np.interp(3.0, np.asarray(box_scan(masses, masses, masses).needed), masses)
    needed, loop = float(at_100.needed), float(box_F(*[(100.0 / TEV) ** 2] * 3))
    return Claim(
        "Sec. 2.1",
        "Boxes: no common region for C_9, (g-2) and perturbative couplings with masses below O(100 GeV); C_9 = -0.6 "
        "needs |Y_mu| > 3 at 100 GeV",
        "none; 3",
        f"equal masses, m_4 = 1 TeV: none below {common:.0f} GeV; |Y_mu| = {needed:.2f} at 100 GeV, where (g-2) "
        f"allows {float(at_100.g_minus_2):.2f}; it is 3 at {three:.0f} GeV",
        (
            Criterion("smallest common mass in GeV", exact(common), limits.ORDER_100),
            Criterion("|Y_mu| that C_9 = -0.6 needs at 100 GeV", exact(needed), limits.THREE),
        ),
        f"the paper takes F = 1; at 100 GeV and m_4 = 1 TeV F is {loop:.2g}, and with F = 1 |Y_mu| would be "
        f"{needed * loop**0.5:.2g}",
    )


def _vector_like() -> Claim:
    common = {"m_V": 5.0, "g_mu_V": 0.0, "r_AV": 0.0, "g_D": 1.0, "r": 1.0}
    ratio = float(SplitVectorLike(**common).g_tilde / g_tilde(SplitDarkSector(**common, physics="paper")))
    return Claim(
        "Sec. 2.2",
        "A heavy fermion Psi and a light scalar pi in place of Phi and chi suppress C_9 by a few per cent",
        "a few per cent",
        f"g_tilde is {ratio:.3f} of the one with Phi and chi (1 MeV and 1 TeV)",
        (Criterion("suppression of C_9", exact(1 - ratio), limits.A_FEW_PER_CENT),),
        "V sees the light scalar half as strongly: the coefficient of the logarithm is half",
    )
