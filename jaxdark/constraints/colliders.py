"""Collider bounds on V, Sec. 3.2: Drell-Yan (26), e+e- -> mu mu V at Belle II and BaBar, t -> c mu mu (30).

Inputs: a dark-sector point. Outputs: couplings against their limits, which stand in data/limits/colliders.yaml. CMS's
Z -> mu mu V and the Belle II curve of 2022 are missing there, so nothing is said of them.
"""

from functools import cache

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdark.constraints.kinetic_mixing import MassCurves, coupling_size, decays, mass_curves
from jaxdark.constraints.limit import WITH_A_VECTOR, Constraint, LimitResult, WithAVector, upper_limit
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.loops import Scalar
from jaxdark.models.split import SplitDarkSector, g_tilde
from jaxdark.models.widths import width_fermions


def muon_coupling(model: WithAVector) -> Float[Array, ""]:
    """sqrt((g_mu^V)^2 + (g_mu^A)^2), which radiation of V off fast muons measures; dimensionless."""
    _, g_V, g_A = model.muon_couplings()
    return coupling_size(g_V, g_A)


def drell_yan_limit(m_V: Scalar) -> Float[Array, ""]:
    """Right-hand side of Eq. (26), 5.6e-2 (1 + 0.13 m_V/GeV), dimensionless; infinite outside 1 to 5 GeV."""
    data = _data("drell_yan")
    return _within(data, m_V, data["a"] * (1 + data["b"] * m_V))


def drell_yan(model: WithAVector, sm: StandardModel) -> LimitResult:
    """sqrt((g_mu^V)^2 + (g_mu^A)^2) against Drell-Yan production at the LHC, Eq. (26), dimensionless."""
    return upper_limit(muon_coupling(model), drell_yan_limit(model.muon_couplings().m_V))


def top_charm_mumu(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """g_tilde g_mu^V against rare top decays, |g_tilde g_mu^V| < 1e-6 GeV^-2, Eq. (30).

    The up-type couplings have no CKM suppression. A rough estimate for m_V much below m_t, which is read as below a
    tenth of it. With the exact loop |g_tilde(m_V^2)|, on the mass shell of V, takes the place of the printed g_tilde;
    the dipole, which with m_t in place of m_b is the larger part of t -> c V for light V, is left out: BR 4e-9 r^2.
    """
    data = _data("top_charm_mumu")
    g = g_tilde(model) if model.switches.loop == "printed" else jnp.abs(model.vertex(model.m_V**2))
    return upper_limit(g * model.g_mu_V, _within(data, model.m_V, data["limit"]))


def belle2_invisible(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """Coupling to muons against e+e- -> mu mu V, V -> invisible at Belle II in 2019.

    The limit, on g' of a vector coupling with BR(V -> invisible) = 1, is divided by the root of the branching ratio.
    The rate is that of muons of no mass: for m_V below M_mu an axial coupling adds to it.
    """
    return _on_coupling(model, _belle2().at(model.m_V)[0], decays(model, sm).invisible)


def babar_4mu(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """Coupling to muons against e+e- -> mu mu V, V -> mu mu at BaBar in 2016, for a narrow V.

    The limit, on g' of L_mu - L_tau, is multiplied by the root of that model's branching ratio over the one here.
    """
    more_often = decays(model, sm).mumu / jnp.maximum(br_mumu_L_mu_L_tau(model.m_V, sm), 1e-30)
    return _on_coupling(model, _babar().at(model.m_V)[0], more_often)


def br_mumu_L_mu_L_tau(m_V: Scalar, sm: StandardModel) -> Float[Array, ""]:
    """Branching ratio of the vector of L_mu - L_tau, of mass m_V (GeV), into muons, from the widths of Eq. (9)."""
    masses = jnp.asarray([sm.m_mu, sm.m_tau])
    charged = width_fermions(m_V**2, masses, 1.0, 0.0, m_V)
    # Two left-handed neutrinos count as one Dirac fermion.
    return charged[0] / (jnp.sum(charged) + m_V / (12 * jnp.pi))


def _on_coupling(model: SplitDarkSector, limit: Scalar, share: Scalar) -> LimitResult:
    """The coupling against a limit for which a share of the assumed decays is seen; none without any."""
    seen = (share > 0) & jnp.isfinite(limit)
    safe = jnp.where(seen, limit, 1.0) / jnp.sqrt(jnp.where(seen, share, 1.0))
    return upper_limit(muon_coupling(model), jnp.where(seen, safe, jnp.inf))


def _data(name: str) -> dict:
    return read_data("limits/colliders.yaml")[name]


def _within(data: dict, m_V: Scalar, limit: Scalar) -> Float[Array, ""]:
    low, high = data["valid_GeV"]
    return jnp.where((m_V >= low) & (m_V <= high), limit, jnp.inf)


@cache
def _belle2() -> MassCurves:
    return mass_curves([_data("belle2_invisible_2019")])


@cache
def _babar() -> MassCurves:
    return mass_curves([_data("babar_4mu_2016")])


def constraints() -> tuple[Constraint, ...]:
    """Constraints of this module."""
    verdicts = {
        "drell_yan": drell_yan,
        "belle2_invisible_2019": belle2_invisible,
        "babar_4mu_2016": babar_4mu,
        "top_charm_mumu": top_charm_mumu,
    }
    units = {"top_charm_mumu": "GeV^-2"}
    return tuple(
        Constraint(
            name,
            verdict,
            _data(name)["reference"],
            cl=_data(name)["cl"],
            quality=_data(name)["quality"],
            unit=units.get(name, "1"),
            models=WITH_A_VECTOR if verdict is drell_yan else SplitDarkSector,
            power=1 if verdict is top_charm_mumu else 2,
        )
        for name, verdict in verdicts.items()
    )
