"""B_s mixing, Sec. 3.1, H_eff = C_1 (sbar gamma_mu P_L b)^2 + h.c.

Inputs: a dark-sector point. Outputs: the coefficient C_1 of Eq. (17), (18), Delta M_s, and verdicts. Limits and
Standard Model numbers: data/limits/mixing.yaml.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from jaxdark.constraints.limit import Constraint, LimitResult, Term, interval, without_limit
from jaxdark.inputs import StandardModel, read_data
from jaxdark.models.box import TEV
from jaxdark.models.loops import Scalar, mixing_C1_box
from jaxdark.models.split import SplitDarkSector, g_Vbs, yukawa_products

Year = Literal[2017, 2019]
_NEWEST = 2019

_TEV2 = TEV**2


def C1_box(model: SplitDarkSector) -> Float[Array, ""]:
    """Box contribution to C_1, Eq. (17), (18), GeV^-2, of any number of dark fermions, however they cancel.

    sum_ij y_i y_j F(x_i, x_j)/(128 pi^2 m_Phi^2) with y_i of `yukawa_products` and x_i = m_chi_i^2/m_Phi^2.
    """
    return mixing_C1_box(yukawa_products(model), (model.m_chi / model.m_Phi) ** 2, model.m_Phi)


def C1_V(model: SplitDarkSector, sm: StandardModel) -> Complex[Array, ""]:
    """Contribution of V exchanged in the s channel to C_1, GeV^-2.

    -(1/2) g_Vbs^2 P(M_Bs^2) with g_Vbs = g_tilde(M_Bs^2) M_Bs^2, which is complex above 2 m_chi in the exact loop, and
    the model's propagator P = 1/(M_Bs^2 - m_V^2 + i m_V Gamma_V), Gamma_V constant or running; for a heavy V
    g_Vbs^2/(2 m_V^2), which is Eq. (13). As there, this is the part of the propagator with g_munu.

    With the switch `mixing_transverse` times `transverse_share`, as the vertex of the exact loop is conserved. Without
    it the longitudinal part is left out here, while `wilson.BsCurrent` "paper" has it in B_s -> mu mu: by the unitary
    gauge it would make the operator (sbar P_R b)^2 with m_b^2/m_V^2, whose effect on Delta M_s is about
    (5/8) (M_Bs/m_V)^2 of this one (0.7 at m_V = 5 GeV, 37 at 0.7 GeV).

    What is neglected: the dipole of the vertex, a few per cent of C1_V, and the running of C_1 from m_b, where V acts,
    to the 2 M_W of the limits: 19 per cent more.
    """
    M2 = sm.m_Bs**2
    exchange = -(g_Vbs(M2, model) ** 2) / (2 * model.propagator(sm).inverse(M2))
    return exchange * transverse_share(sm) if model.switches.mixing_transverse else exchange


def transverse_share(sm: StandardModel) -> Scalar:
    """What a conserved vertex leaves of V exchange in Delta M_s, 1 - (5/8) (m_b/(m_b + m_s))^2 B_2/B_1, dimensionless.

    q2 gamma^mu - q^mu qslash twice makes O_1 + (m_b^2/M_Bs^2) (sbar P_R b)^2 of O_1, by the equations of motion up to
    m_s/m_b; <(sbar P_R b)^2> = -(5/8) (M_Bs/(m_b + m_s))^2 (B_2/B_1) <O_1>. 0.40 for B_2 = B_1, as in the data file.
    """
    bag_ratio = read_data("limits/mixing.yaml")["bag_ratio"]["value"]
    return 1 - 5 / 8 * (sm.mb / (sm.mb + sm.ms)) ** 2 * bag_ratio


def C1(model: SplitDarkSector, sm: StandardModel) -> Complex[Array, ""]:
    """C_1 of B_s mixing, boxes and V exchange together, GeV^-2; complex where V is near the B_s mass."""
    return C1_box(model) + C1_V(model, sm)


def C1_SM(sm: StandardModel) -> Scalar:
    """C_1 of the Standard Model, G_F^2 M_W^2/(4 pi^2) lambda_t^2 S_0, GeV^-2, at the scale of the bound on R_BB."""
    data = read_data("limits/mixing.yaml")["C1_SM"]
    return (sm.GF * data["m_W"] * sm.lambda_t / (2 * np.pi)) ** 2 * data["S0"]


def R_BB(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Delta M_s/Delta M_s(SM) - 1, dimensionless, with `mass_difference`; C_1/C_1(SM) where C_1 is real and small."""
    return mass_difference(C1(model, sm) / C1_SM(sm), model) - 1


def mass_difference(shift: Complex[Array, ""], model: SplitDarkSector) -> Float[Array, ""]:
    """Delta M_s/Delta M_s(SM) for C_1/C_1(SM) = shift, dimensionless.

    As printed |1 + shift|. The phase of C_1 is a strong one, the same for B_s and its conjugate: Im C_1 is absorptive
    and belongs to Gamma_12, hence |1 + Re shift| with the exact loop, whose phase does not stop at the pole of V.
    """
    if model.switches.loop == "printed":
        return jnp.abs(1 + shift)
    return jnp.abs(1 + jnp.real(shift))


def delta_m_s_ratio(model: SplitDarkSector, sm: StandardModel) -> Float[Array, ""]:
    """Delta M_s/Delta M_s(SM) = |1 + C_bs/R_SM_loop| as in arXiv:1712.06572, dimensionless; see `mass_difference`.

    C_bs = C_1/((4 G_F/sqrt 2) lambda_t^2), without running from m_Phi to M_W.
    """
    C_bs = C1(model, sm) / (4 * sm.GF / np.sqrt(2) * sm.lambda_t**2)
    return mass_difference(C_bs / read_data("limits/mixing.yaml")["R_SM_loop"]["value"], model)


class DeltaMsRatio(NamedTuple):
    """Measured over predicted Delta M_s: centre and one-sigma errors, dimensionless."""

    value: float
    up: float
    down: float


def measured_ratio(year: Year) -> DeltaMsRatio:
    """Delta M_s(exp)/Delta M_s(SM) with the prediction of a year; errors of both added in quadrature.

    A Standard Model that may lie lower makes the upper error of the ratio, and the other way round.
    """
    data = read_data("limits/mixing.yaml")
    measured, predicted = data["delta_m_s_experiment"], data[f"bs_mixing_dMs_{year}"]
    relative = (predicted[f"error_{side}"] / predicted["delta_m_s_SM"] for side in ("down", "up"))
    value = measured["value"] / predicted["delta_m_s_SM"]
    return DeltaMsRatio(value, *(value * float(np.hypot(r, measured["error"] / measured["value"])) for r in relative))


def residual(model: SplitDarkSector, sm: StandardModel, year: Year) -> Float[Array, ""]:
    """Delta M_s over its Standard Model prediction minus the measured ratio, in the error on its side; dimensionless.

    Args:
        model: the dark-sector point.
        sm: Standard Model inputs.
        year: of the Standard Model prediction, 2017 (arXiv:1712.06572) or 2019 (arXiv:1909.11087).
    """
    measured = measured_ratio(year)
    off = delta_m_s_ratio(model, sm) - measured.value
    return off / jnp.where(off > 0, measured.up, measured.down)


def bs_mixing_R_BB(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
    """R_BB, dimensionless, against its two-sigma interval: that of C_1 (data file) over C_1 of the Standard Model."""
    lower, upper = read_data("limits/mixing.yaml")["bs_mixing_R_BB"]["C1_interval_TeV-2"]
    unit = 1 / (_TEV2 * C1_SM(sm))
    return interval(R_BB(model, sm), lower * unit, upper * unit)


def bs_mixing_dMs(model: SplitDarkSector, sm: StandardModel, year: Year) -> LimitResult:
    """Delta M_s over its prediction of a year against the two-sigma interval, arguments as in `residual`."""
    measured = measured_ratio(year)
    lower, upper = measured.value - 2 * measured.down, measured.value + 2 * measured.up
    return interval(delta_m_s_ratio(model, sm), lower, upper)


def constraints() -> tuple[Constraint, ...]:
    """The bound on R_BB; to put in its place, Delta M_s with the predictions of 2017 and 2019; and C_1.

    C_1 is shown by its magnitude with the sign of its real part. The alternatives do not count: 2017 excludes the
    Standard Model itself.
    """

    def C1_in_TeV(model: SplitDarkSector, sm: StandardModel) -> LimitResult:
        value = C1(model, sm)
        return without_limit(_TEV2 * jnp.where(value.real < 0, -1.0, 1.0) * jnp.abs(value))

    return (
        _from_data("bs_mixing_R_BB", bs_mixing_R_BB, alternative=True),
        Constraint("C1_TeV-2", C1_in_TeV, "arXiv:2002.11150, Eq. (17)", unit="TeV^-2", models=SplitDarkSector),
        *map(_delta_m_s, get_args(Year)),
    )


def _delta_m_s(year: Year) -> Constraint:
    form = "Gaussian of Delta M_s over its prediction, an error on each side"
    return _from_data(
        f"bs_mixing_dMs_{year}",
        partial(bs_mixing_dMs, year=year),
        applied=False,
        measurement=Term(partial(residual, year=year), form, is_measurement=True),
        alternative=year != _NEWEST,
    )


def _from_data(name: str, verdict: Callable[[SplitDarkSector, StandardModel], LimitResult], **options) -> Constraint:
    data = read_data("limits/mixing.yaml")[name]
    return Constraint(name, verdict, data["reference"], data["cl"], data["quality"], models=SplitDarkSector, **options)
