"""Binned observables in LHCb's conventions from integrated rates: ratios of integrals, never averages of ratios.

Enters: integrated J_i (or dGamma/dq2) per bin. Leaves: dBR, F_L, A_FB, S_i, P_i, P'_i, R_K and R_K*. Section 6.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel
from jaxdark.semileptonic.amplitudes import J_NAMES, decay_at
from jaxdark.semileptonic.bins import Bin, integrated_rates, make_panels
from jaxdark.semileptonic.kinematics import CHANNELS, Channel
from jaxdark.wilson import NewPhysics

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
}
INTEGRAL_MATRIX = np.array([[row.get(name, 0.0) for name in J_NAMES] for row in INTEGRALS.values()])

# Numerator, denominator and factor of each observable. Signs: LHCb's S_4, S_7, S_9 are minus the theory's; P'_6 goes
# with S_7.
ANGULAR = {
    "FL": ("minus_J2c", "rate", 1.0),
    "AFB": ("forward_backward", "rate", 1.0),
    "S3": ("J3", "rate", 1.0),
    "S4": ("J4", "rate", -1.0),
    "S5": ("J5", "rate", 1.0),
    "S7": ("J7", "rate", -1.0),
    "S8": ("J8", "rate", 1.0),
    "S9": ("J9", "rate", -1.0),
    "P1": ("J3", "J2s", 1 / 2),
    "P2": ("J6s", "J2s", -1 / 8),
    "P3": ("J9", "J2s", 1 / 4),
    "P4p": ("J4", "D", -1.0),
    "P5p": ("J5", "D", 1.0),
    "P6p": ("J7", "D", -1.0),
    "P8p": ("J8", "D", 1.0),
}
ANGULAR_NAMES = tuple(ANGULAR)


def building_blocks(integrals: Float[Array, "integrals *bins"]) -> dict[str, Float[Array, "*bins"]]:
    """What the observables are ratios of: the rows of INTEGRALS, the asymmetry's numerator and D of the P'_i."""
    I = dict(zip(INTEGRALS, integrals, strict=True))
    product = I["J2s"] * I["minus_J2c"]
    # Positive, but rounding can turn it where a narrow peak sits on the muon threshold, in which both integrals vanish.
    D = 2 * jnp.sqrt(jnp.where(product > 0, product, I["rate"] ** 2))
    return I | {"forward_backward": -(0.75 * I["J6s"] + 0.375 * I["J6c"]), "D": D}


def angular_observables(integrals: Float[Array, "integrals *bins"]) -> dict[str, Float[Array, "*bins"]]:
    """F_L, A_FB, S_i, P_i and P'_i from the rows of INTEGRALS."""
    blocks = building_blocks(integrals)
    return {name: factor * blocks[n] / blocks[d] for name, (n, d, factor) in ANGULAR.items()}


def channel_of(process: str) -> Channel:
    """Channel by its name, e.g. "B0->K*0mumu"; RequestError with the known names otherwise."""
    if process not in CHANNELS:
        raise RequestError(f"unknown process {process!r}; the known ones are {', '.join(CHANNELS)}")
    return CHANNELS[process]


def _integrals(process: str, q2: Bin, model: NewPhysics, sm: StandardModel) -> Float[Array, " n"]:
    channel = channel_of(process)
    panels = make_panels([q2], channel, sm)
    return integrated_rates(model.new_physics(sm), decay_at(panels.nodes, channel, sm), panels, sm)[0]


def binned_rate(process: str, q2: Bin, model: NewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """Partial width over the bin (GeV^2), GeV."""
    integrals = _integrals(process, q2, model, sm)
    return integrals[0] if channel_of(process).spin == 0 else INTEGRAL_MATRIX[0] @ integrals


def binned_dBR(process: str, q2: Bin, model: NewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """Branching ratio over the bin divided by its nominal width, GeV^-2; time integrated for B_s -> phi."""
    lifetime = getattr(sm, channel_of(process).lifetime)
    return lifetime * binned_rate(process, q2, model, sm) / (q2[1] - q2[0])


def binned_angular(process: str, q2: Bin, model: NewPhysics, sm: StandardModel) -> dict[str, Float[Array, ""]]:
    """Every angular observable of B -> V l l in one bin (GeV^2), LHCb conventions.

    Raises:
        RequestError: unknown process, one without angular observables here (B -> K), or a bin outside the range.
    """
    if channel_of(process).spin == 0:
        raise RequestError(
            f"angular observables need a vector in the final state, got {process}; take B0->K*0mumu for instance"
        )
    return angular_observables(INTEGRAL_MATRIX @ _integrals(process, q2, model, sm))


def lepton_ratio(stem: str, q2: Bin, model: NewPhysics, sm: StandardModel) -> Float[Array, ""]:
    """R_K or R_K*: Gamma(mu mu)/Gamma(e e) of a stem such as "B+->K+" over the bin (GeV^2), no QED corrections."""
    return binned_rate(f"{stem}mumu", q2, model, sm) / binned_rate(f"{stem}ee", q2, model, sm)
