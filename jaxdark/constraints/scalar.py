"""What the coloured scalar Phi does without V: D mixing, the photon penguin, its production at the LHC.

Inputs: a dark-sector point. Outputs: couplings, Wilson coefficients and masses against their limits, which stand in
data/limits/phi.yaml. Those limits are recalled: they are shown and do not count.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdark.constraints.limit import Constraint, LimitResult, upper_limit, without_limit
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.base import PERTURBATIVE
from jaxdark.models.box import TEV
from jaxdark.models.coefficients import normalisation
from jaxdark.models.split import SplitDarkSector, yukawa_products
from jaxdark.models.vertex import eta7, eta78, photon_penguin


def sum_y_s2(model: SplitDarkSector) -> Float[Array, ""]:
    """sum_i |y_s^i|^2, dimensionless; of a model without y_s the least that |y_b^i| <= sqrt(4 pi) leaves.

    That is sum_i |y_s^i y_b^i|^2/(4 pi), by the products r_i/(g_D Q_Phi).
    """
    return jnp.sum((yukawa_products(model) / PERTURBATIVE if model.y_s is None else model.y_s) ** 2)


def d_mixing_y_s(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """sum_i |y_s^i|^2 of `sum_y_s2` against D mixing, 0.076 (m_Phi/TeV), dimensionless.

    Phi couples to up-type quarks by y_u = y_d V^dagger, so C_1^D = (sum_i y_u^i* y_c^i)^2/(128 pi^2 m_Phi^2), for light
    chi, with sum_i y_u^i* y_c^i = V_us V_cs* sum_i |y_s^i|^2 + ..., whose terms cannot cancel each other. The limit on
    |C_1^D| saturates Delta m_D.

    Left out are (V_us V_cb* + V_ub V_cs*) sum_i y_s^i y_b^i and V_ub V_cb* sum_i |y_b^i|^2, which have no fixed sign:
    for one chi with y_b = sqrt(4 pi) they turn the largest y_s y_b of 0.98 at 1 TeV into 0.69 where it is positive,
    1.31 where it is negative.
    """
    data = read_data("limits/phi.yaml")["d_mixing"]
    largest = jnp.sqrt(128 * data["limit_TeV-2"]) * jnp.pi / data["V_us_V_cs"]["value"] * model.m_Phi / TEV
    return upper_limit(sum_y_s2(model), largest)


class PhotonPenguin(NamedTuple):
    """Lepton-universal effects of the photon and the gluon that couple to Phi, dimensionless.

    Attributes:
        C9: of all leptons.
        C7: at m_b, with what C_8 adds to it.
        C7_over_SM: C7 over that of the Standard Model.
    """

    C9: Float[Array, ""]
    C7: Float[Array, ""]
    C7_over_SM: Float[Array, ""]


def photon_penguins(model: SplitDarkSector, sm: StandardModel) -> PhotonPenguin:
    """sum_i y_s^i* y_b^i of `vertex.photon_penguin`, C_7 = eta7 C_7(m_Phi) + eta78 C_8(m_Phi); 0 without the switch.

    -0.0139, 0.0018 and -0.6 per cent per y_s* y_b at 1 TeV: not added to the coefficients of b -> s mu mu. eta7 is the
    computed one, whatever is given for the dipole of V.
    """
    if not model.switches.photon_penguin:
        return PhotonPenguin(*jnp.zeros(3))
    each = jax.vmap(lambda m: jnp.stack(photon_penguin(m, model.m_Phi, normalisation(sm))))(model.m_chi)
    C9, C7, C8 = yukawa_products(model) @ each
    C7 = eta7(model.m_Phi) * C7 + eta78(model.m_Phi) * C8
    return PhotonPenguin(C9, C7, C7 / sm.C7)


def lhc_scalar(model: SplitDarkSector, sm: StandardModel, data: str) -> LimitResult:
    """m_Phi in GeV against the lower limit from pairs of Phi that decay to a quark and a light chi each.

    The ratio is limit/m_Phi. It holds with a chi below m_chi_max, for decays to the third generation: decays shared
    between b, s and their up-type partners weaken it.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs (not used: every verdict takes the same arguments).
        data: entry of limits/phi.yaml.
    """
    entry = read_data("limits/phi.yaml")[data]
    is_light = jnp.min(model.m_chi) <= entry["m_chi_max"]
    limit = jnp.where(is_light, entry["limit"], jnp.inf)
    return LimitResult(model.m_Phi, limit, jnp.where(is_light, entry["limit"] / model.m_Phi, 0.0))


def constraints() -> tuple[Constraint, ...]:
    """D mixing and the LHC, which do not count, and the photon penguin, which has no limit."""

    def shown_penguin(field: str):
        def verdict(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
            return without_limit(getattr(photon_penguins(model, sm), field))

        return Constraint(f"{field}_photon_penguin", verdict, "one loop of Phi and chi", models=SplitDarkSector)

    def recalled(name: str, verdict, unit: str = "1") -> Constraint:
        entry = read_data("limits/phi.yaml")[name]
        words = entry["reference"], entry["cl"], entry["quality"], unit
        return Constraint(name, verdict, *words, models=SplitDarkSector, applied=False)

    searches = ("lhc_scalar_2020", "lhc_scalar_today")
    return (
        recalled("d_mixing", d_mixing_y_s),
        *(shown_penguin(field) for field in PhotonPenguin._fields),
        *(recalled(name, partial(lhc_scalar, data=name), "GeV") for name in searches),
    )
