"""What the paper states of its model without a fit: claims 7 and 8 and those of Sec. 2."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.dark.box_scan import box_scan
from jaxdark.dark.couplings import g_tilde, kappa9
from jaxdark.dark.model import SplitDarkSector
from jaxdark.dark.muon_g2 import delta_a_mu
from jaxdark.dark.other_models import SplitVectorLike
from jaxdark.inputs import StandardModel, read_data
from jaxdark.reproduce.claim import Claim
from jaxdark.reproduce.figures import mixing_bound
from jaxdark.reproduce.study import INVISIBLE


def model_claims(sm: StandardModel) -> list[Claim]:
    """Claims 7 and 8, the boxes of Sec. 2.1 and the vector-like fermion of Sec. 2.2."""
    return [_mixing(sm), _mev(sm), _box(), _vector_like()]


def _mixing(sm: StandardModel) -> Claim:
    g_D = np.array([1.0, 3.0])
    tuned, off, one = (mixing_bound(g_D, delta, sm) for delta in (0.0, 0.05, None))
    return Claim(
        "7",
        "Fig. 6: with m_chi = 1 MeV and 10 GeV and delta_Y = 0 (or 0.05) the B_s mixing bound recedes",
        "excluded region in (g_D, r)",
        f"smallest excluded r of chi_1 at g_D = 1 and 3: delta_Y = 0: {tuned[0]:.3g}, {tuned[1]:.3g}; delta_Y = 0.05: "
        f"{off[0]:.3g}, {off[1]:.3g}; one fermion: {one[0]:.3g}, {one[1]:.3g}",
        "reproduced" if np.all(tuned > one) and np.all(off > one) else "not reproduced",
    )


def _mev(sm: StandardModel) -> Claim:
    """Largest m_V at which C_9 = -0.7 agrees with B -> K + V, V unseen, with g_mu_V at its (g-2) bound."""
    limit = read_data("muon_g2.yaml")["limit"]["delta_a_mu"]
    limits = [entry for entry in all_constraints(SplitDarkSector) if entry.id in INVISIBLE]

    def ratios(m_V):
        def point(g_mu_V, r):
            return SplitDarkSector(m_V=m_V, g_mu_V=g_mu_V, r_AV=0.0, g_D=1.0, r=r, m_chi=5.0)

        g_mu_V = jnp.sqrt(limit / delta_a_mu(point(1.0, 1.0), sm))
        model = point(g_mu_V, -0.7 / kappa9(point(g_mu_V, 1.0), sm))
        return verdicts(model, sm, limits).ratio, g_tilde(model)

    m_V = np.geomspace(1e-3, 0.2, 400)
    ratio, coupling = (np.asarray(values) for values in jax.jit(jax.vmap(ratios))(m_V))
    largest = {entry.id: 1e3 * m_V[ratio[:, i] < 1].max(initial=0.0) for i, entry in enumerate(limits)}
    bound, each = min(largest.values()), ", ".join(f"{name}: {m:.1f}" for name, m in largest.items())
    at_5_MeV = np.abs(coupling)[np.argmin(np.abs(m_V - 5e-3))]
    near = 2.5 < bound < 10
    return Claim(
        "8",
        "MeV-scale V: C_9 = -0.7 needs g_tilde > 1e-6 GeV^-2, possible under B -> K + invisible for m_V < 5 MeV",
        "m_V < about 5 MeV",
        f"m_V < {bound:.1f} MeV with g_mu_V at its (g-2) bound ({each}); at 5 MeV g_tilde is {at_5_MeV:.2g} GeV^-2",
        "reproduced" if near else "in part",
        "" if near else "the bound on m_V goes with the root of the limit on B -> K + invisible",
    )


def _box() -> Claim:
    masses = np.geomspace(10.0, 1000.0, 2000)
    common = masses[np.asarray(box_scan(masses, masses, masses).common)]
    at_100 = box_scan(100.0, 100.0, 100.0)
    return Claim(
        "Sec. 2.1",
        "Boxes: no common region for C_9, (g-2) and perturbative couplings with masses below O(100 GeV); C_9 = -0.6 "
        "needs |Y_mu| > 3 at 100 GeV",
        "none; 3",
        f"equal masses: none below {common.min():.0f} GeV; |Y_mu| = {float(at_100.needed):.2f} at 100 GeV, (g-2) "
        f"allows {float(at_100.g_minus_2):.2f}",
        "in part",
        "the coupling of 3 holds for F = 1; F is 3.2 at 100 GeV and m_4 = 1 TeV",
    )


def _vector_like() -> Claim:
    common = {"m_V": 5.0, "g_mu_V": 0.0, "r_AV": 0.0, "g_D": 1.0, "r": 1.0}
    ratio = float(SplitVectorLike(**common).g_tilde / g_tilde(SplitDarkSector(**common)))
    return Claim(
        "Sec. 2.2",
        "A heavy fermion Psi and a light scalar pi in place of Phi and chi suppress C_9 by a few per cent",
        "a few per cent",
        f"g_tilde is {ratio:.3f} of the one with Phi and chi (1 MeV and 1 TeV)",
        "not reproduced",
        "V sees the light scalar half as strongly: the coefficient of the logarithm is half",
    )
