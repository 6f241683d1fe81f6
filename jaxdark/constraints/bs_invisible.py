"""B_s -> chi chi by the exchange of Phi, which the paper leaves out, against searches for an invisible B_s.

Inputs: a dark-sector point. Outputs: branching ratio and verdict. Limit: data/limits/invisible.yaml, recalled: it is
shown and does not count.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdark.constraints.limit import Constraint, LimitResult, upper_limit, without_limit
from jaxdark.inputs import StandardModel, check_inputs, read_data
from jaxdark.models.split import SplitDarkSector, yukawa_products


def br_bs_chichi(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """BR(B_s -> chi_i chibar_i) summed over i, dimensionless; 0 where the switch `tree` is off.

    tau_Bs f_Bs^2 |T_i/2|^2 m_i^2 M_Bs sqrt(1 - 4 m_i^2/M_Bs^2)/(8 pi) with T_i = -y_s^i* y_b^i/(2 m_Phi^2) of
    (sbar gamma^mu P_L b)(chibar gamma_mu P_R chi). The exchange of V has no part in it, as its vertex is conserved. Of
    pairs of different chi, which need y_s and y_b separately, nothing is said; nor of the width difference of the two
    B_s, which is below 7 per cent.
    """
    check_inputs(sm)
    if not model.switches.tree:
        return jnp.zeros(())
    beta2 = 1 - 4 * (model.m_chi / sm.m_Bs) ** 2
    is_open = beta2 > 0
    beta = jnp.where(is_open, jnp.sqrt(jnp.where(is_open, beta2, 1.0)), 0.0)
    T = -yukawa_products(model) / (2 * model.m_Phi**2)
    widths = (sm.f_Bs * T / 2 * model.m_chi) ** 2 * sm.m_Bs * beta / (8 * jnp.pi)
    return sm.tau_Bs * jnp.sum(widths)


def bs_invisible(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """BR(B_s -> chi chi) against the limit on BR(B_s -> invisible); none where the switch `tree` is off."""
    br = br_bs_chichi(model, sm)
    return upper_limit(br, _data()["limit"]) if model.switches.tree else without_limit(br)


def constraints() -> tuple[Constraint, ...]:
    """The verdict."""
    data = _data()
    words = data["reference"], data["cl"], data["quality"]
    return (Constraint("bs_invisible", bs_invisible, *words, models=SplitDarkSector, applied=False),)


def _data() -> dict:
    return read_data("limits/invisible.yaml")["bs_invisible"]
