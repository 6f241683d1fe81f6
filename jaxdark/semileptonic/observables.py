"""Binned observables in LHCb's conventions from integrated rates: ratios of integrals, never averages of ratios.

Inputs: integrated J_i (or dGamma/dq2) per bin. Outputs: dBR, F_L, A_FB, S_i, P_i, P'_i, R_K and R_K*, all CP averages,
and the CP asymmetries A_i and A_CP. Section 6.
"""

from collections.abc import Callable, Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel, check_inputs
from jaxdark.models.wilson import HasNewPhysics
from jaxdark.precision import usual_rules
from jaxdark.semileptonic.amplitudes import J_NAMES, decay_at
from jaxdark.semileptonic.bins import integrated_rates, make_panels, rate_differences
from jaxdark.semileptonic.kinematics import CHANNELS, Bin, Channel

# Linear combinations of the J_i that the observables are ratios of; rows in this order.
INTEGRALS = {
    "rate": {"1s": 1.5, "1c": 0.75, "2s": -0.5, "2c": -0.25},
    "J2s": {"2s": 1.0},
    "minus_J2c": {"2c": -1.0},
    "J3": {"3": 1.0},
    "J4": {"4": 1.0},
    "J5": {"5": 1.0},
    "J6s": {"6s": 1.0},
    "J6c": {"6c": 1.0},
    "J7": {"7": 1.0},
    "J8": {"8": 1.0},
    "J9": {"9": 1.0},
    "J1s": {"1s": 1.0},
    "J1c": {"1c": 1.0},
}
INTEGRAL_MATRIX = np.array([[row.get(name, 0.0) for name in J_NAMES] for row in INTEGRALS.values()])

# Numerator, denominator and factor of each observable. Signs: LHCb's S_4, S_6s, S_6c, S_7, S_9 are minus the theory's
# (and flavio's); P'_6 goes with S_7. S_1s, S_1c, S_2s and S_2c are what an angular fit with lepton masses determines
# apart (arXiv:2512.18053), without them S_1c = -S_2c = F_L and S_1s = 3 S_2s = 3/4 (1 - F_L).
ANGULAR = {
    "FL": ("minus_J2c", "rate", 1.0),
    "AFB": ("forward_backward", "rate", 1.0),
    "S3": ("J3", "rate", 1.0),
    "S4": ("J4", "rate", -1.0),
    "S5": ("J5", "rate", 1.0),
    "S7": ("J7", "rate", -1.0),
    "S8": ("J8", "rate", 1.0),
    "S9": ("J9", "rate", -1.0),
    "S1s": ("J1s", "rate", 1.0),
    "S1c": ("J1c", "rate", 1.0),
    "S2s": ("J2s", "rate", 1.0),
    "S2c": ("minus_J2c", "rate", -1.0),
    "S6s": ("J6s", "rate", -1.0),
    "S6c": ("J6c", "rate", -1.0),
    "P1": ("J3", "J2s", 1 / 2),
    "P2": ("J6s", "J2s", -1 / 8),
    "P3": ("J9", "J2s", 1 / 4),
    "P4p": ("J4", "D", -1.0),
    "P5p": ("J5", "D", 1.0),
    "P6p": ("J7", "D", -1.0),
    "P8p": ("J8", "D", 1.0),
}
ANGULAR_NAMES = tuple(ANGULAR)

# CP asymmetries, numerators from half the differences, then denominator and factor: A_i = (J_i - Jbar_i)/(Gamma +
# Gammabar), the b quark (anti-B) first, as LHCb and flavio have it, with the sign of the S_i of the same number; A_CP
# likewise from the rates, A_T^Im = A_9/(2 S_2s) of arXiv:2010.06011 as flavio has it. They are 0 for real couplings:
# the Standard Model's own, up to 0.003 from the imaginary part of lambda_u, are neglected.
ASYMMETRIES = {"ACP": ("rate", "rate", 1.0), "A6s": ("J6s", "rate", -1.0)}
ASYMMETRIES |= {f"A{i}": (f"J{i}", "rate", -1.0 if i in (4, 7, 9) else 1.0) for i in (3, 4, 5, 7, 8, 9)}
ASYMMETRIES |= {"ATIm": ("J9", "J2s", -1 / 2)}
_UNTAGGED = ("A5", "A6s", "A8", "A9")


def asymmetry_names(channel: Channel) -> tuple[str, ...]:
    """CP asymmetries that can be measured without knowing the flavour of the B from elsewhere.

    B_s -> phi is as common as its conjugate in the same final state: of J_i + zeta_i Jbar_i only A_5, A_6s, A_8 and A_9
    are differences (arXiv:0805.2525), while S_5, A_FB, S_8 and S_9 drop out.
    """
    if channel.untagged:
        return _UNTAGGED
    if not channel.self_tagged:
        return ()
    return tuple(ASYMMETRIES) if channel.spin == 1 else ("ACP",)


def asymmetries(
    names: Iterable[str], differences: dict[str, Float[Array, "*bins"]], averages: dict[str, Float[Array, "*bins"]]
) -> dict[str, Float[Array, "*bins"]]:
    """The CP asymmetries of these names from half the differences and the averages of the flavours, by INTEGRALS."""
    return {
        name: factor * differences[numerator] / averages[denominator]
        for name in names
        for numerator, denominator, factor in [ASYMMETRIES[name]]
    }


def building_blocks(integrals: Float[Array, "integrals *bins"]) -> dict[str, Float[Array, "*bins"]]:
    """What the observables are ratios of: the rows of INTEGRALS, the asymmetry's numerator and D of the P'_i."""
    I = dict(zip(INTEGRALS, integrals, strict=True))
    product = I["J2s"] * I["minus_J2c"]
    # Positive, but rounding can turn it where a narrow peak sits on the muon threshold, in which both integrals vanish.
    D = 2 * jnp.sqrt(jnp.where(product > 0, product, I["rate"] ** 2))
    return I | {"forward_backward": -(0.75 * I["J6s"] + 0.375 * I["J6c"]), "D": D}


def angular_observables(integrals: Float[Array, "integrals *bins"]) -> dict[str, Float[Array, "*bins"]]:
    """F_L, A_FB, S_i, P_i and P'_i by name from the rows of INTEGRALS, GeV; dimensionless."""
    blocks = building_blocks(integrals)
    return {name: factor * blocks[n] / blocks[d] for name, (n, d, factor) in ANGULAR.items()}


def channel_of(process: str) -> Channel:
    """Channel by its name, e.g. "B0->K*0mumu"; RequestError with the known names otherwise."""
    if process not in CHANNELS:
        raise RequestError(f"unknown process {process!r}; the known ones are {', '.join(CHANNELS)}")
    return CHANNELS[process]


def _integrals(
    process: str, q2: Bin, model: HasNewPhysics, sm: StandardModel, integrate: Callable = integrated_rates
) -> Float[Array, " n"]:
    """The rows of INTEGRALS, of B -> K the rate alone; averages, or with `rate_differences` half differences."""
    check_inputs(sm)
    channel = channel_of(process)
    panels = make_panels([q2], channel, sm)
    integrals = integrate(model.new_physics(sm), decay_at(panels.nodes, channel, sm), panels, sm)[0]
    return integrals if channel.spin == 0 else INTEGRAL_MATRIX @ integrals


@usual_rules()
def binned_rate(process: str, q2: Bin, model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """Partial width, int dGamma/dq2 dq2 over the bin (GeV^2), CP averaged, GeV.

    The bin is clipped to the kinematic range. For a vector meson dGamma/dq2 = 3/4 (2 J_1s + J_1c) - 1/4 (2 J_2s +
    J_2c).

    Args:
        process: the name of a `Channel`, such as "B0->K*0mumu".
        q2: the bin.
        model: a model or a `NewPhysics` record.
        sm: Standard Model inputs.

    Raises:
        RequestError: unknown process, a bin outside the range, or what are no inputs.
    """
    return _integrals(process, q2, model, sm)[0]


@usual_rules()
def binned_dBR(process: str, q2: Bin, model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """CP-averaged branching ratio over the bin divided by its nominal width, tau <dGamma>/(upper - lower), GeV^-2.

    Time integrated for B_s -> phi. Arguments and errors as in `binned_rate`.
    """
    rate = binned_rate(process, q2, model, sm)
    return getattr(sm, CHANNELS[process].lifetime) * rate / (q2[1] - q2[0])


@usual_rules()
def binned_angular(process: str, q2: Bin, model: HasNewPhysics, sm: StandardModel) -> dict[str, Float[Array, ""]]:
    """Every angular observable of B -> V l l in one bin (GeV^2), LHCb conventions: CP averages and CP asymmetries.

    Ratios of integrals over the bin, by name, leptons with their masses; numerators, denominators and signs stand in
    `ANGULAR` and `ASYMMETRIES`, with A_FB = -(3/4 J_6s + 3/8 J_6c)/dGamma = 3/4 S_6s + 3/8 S_6c and
    D = 2 sqrt(-J_2s J_2c) below the P'_i. The rate makes 3/4 (2 S_1s + S_1c) - 1/4 (2 S_2s + S_2c) = 1. Dimensionless.
    Of B_s -> phi, which is untagged, F_L, S_1 to S_4, S_7, P_1, P'_4, P'_6 and the asymmetries can be measured.

    Raises:
        RequestError: unknown process, one without angular observables here (B -> K), or a bin outside the range.
    """
    if channel_of(process).spin == 0:
        raise RequestError(
            f"angular observables need a vector in the final state, got {process}; take B0->K*0mumu for instance"
        )
    return angular_observables(_integrals(process, q2, model, sm)) | binned_asymmetries(process, q2, model, sm)


@usual_rules()
def binned_asymmetries(process: str, q2: Bin, model: HasNewPhysics, sm: StandardModel) -> dict[str, Float[Array, ""]]:
    """The CP asymmetries of `asymmetry_names` in one bin (GeV^2), LHCb conventions; 0 where all couplings are real.

    Raises:
        RequestError: unknown process, or a bin outside the range.
    """
    differences, averages = (
        dict(zip(INTEGRALS, _integrals(process, q2, model, sm, of), strict=False))
        for of in (rate_differences, integrated_rates)
    )
    return asymmetries(asymmetry_names(channel_of(process)), differences, averages)


@usual_rules()
def lepton_ratio(stem: str, q2: Bin, model: HasNewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """R_K or R_K*: Gamma(mu mu)/Gamma(e e) of a stem such as "B+->K+" over the bin (GeV^2), no QED corrections.

    Dimensionless; arguments and errors otherwise as in `binned_rate`.
    """
    return binned_rate(f"{stem}mumu", q2, model, sm) / binned_rate(f"{stem}ee", q2, model, sm)
