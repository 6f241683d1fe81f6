"""Predictions asked for beside every fit: (g-2) of the muon with its limit, B_s -> mu mu, SM neutrino rates.

Inputs: a model. Outputs: delta a_mu of Eq. (24) against its limit, and branching ratios without one.
"""

from jaxdark.choices import MEASURED_G_MINUS_2, GMinus2
from jaxdark.constraints.limit import WITH_A_VECTOR, Constraint, LimitResult, interval, upper_limit, without_limit
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.base import Model
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.semileptonic.leptonic import br_bs_mumu
from jaxdark.semileptonic.neutrinos import br_k_nunu, br_kst_nunu


def constraints(g_minus_2: GMinus2 = "limit") -> tuple[Constraint, ...]:
    """Constraints of this module.

    Args:
        g_minus_2: "limit" on the magnitude of the shift, "upper" on positive ones alone, or within two sigma of the
            "measurement", "wp2020" or "wp2025".
    """
    measured = g_minus_2 in MEASURED_G_MINUS_2
    entry = read_data("muon_g2.yaml")[g_minus_2 if measured else "limit"]

    def muon_g_minus_2(model: Model, sm: StandardModel) -> LimitResult:
        shift = delta_a_mu(model, sm)
        if measured:
            return interval(shift, entry["value"] - 2 * entry["error"], entry["value"] + 2 * entry["error"])
        return upper_limit(shift, entry["delta_a_mu"], one_sided=g_minus_2 == "upper")

    return (
        Constraint(
            "delta_a_mu",
            muon_g_minus_2,
            entry["reference"],
            0.9545,
            entry["quality"],
            models=WITH_A_VECTOR,
            alternative=True,  # a likelihood has its own term
        ),
        Constraint("BR_Bs_mumu", lambda model, sm: without_limit(br_bs_mumu(model, sm)), "arXiv:1204.1737"),
        Constraint("BR_Bp_Kp_nunu_SM", lambda model, sm: without_limit(br_k_nunu(sm)), "arXiv:2002.11150, App. A"),
        Constraint("BR_B0_Kst0_nunu_SM", lambda model, sm: without_limit(br_kst_nunu(sm)), "arXiv:2002.11150, App. A"),
    )
