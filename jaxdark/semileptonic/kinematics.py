"""Kinematic functions of q2 and the decay channels that the observables know.

Inputs: masses and q2 in GeV. Outputs: phase-space factors, and `Channel` records naming the inputs of each decay.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxdark.inputs import FormFactorSet, StandardModel

Bin = tuple[float, float]
"""Lower and upper edge: of a bin in q2, GeV^2, unless it is said to be in s_B = q2/M_B^2."""


def kallen(m_B, m_M, q2):
    """Kallen function lambda(m_B^2, m_M^2, q2) = ((m_B - m_M)^2 - q2) ((m_B + m_M)^2 - q2), GeV^4.

    The product keeps its digits towards the end point (m_B - m_M)^2. Masses in GeV, q2 in GeV^2.
    """
    return ((m_B - m_M) ** 2 - q2) * ((m_B + m_M) ** 2 - q2)


def beta_lepton(q2, m_lepton):
    """Lepton velocity sqrt(1 - 4 m^2/q2) in the dilepton rest frame, q2 in GeV^2, m in GeV; 0 below threshold."""
    square = (q2 - 4 * m_lepton**2) / q2
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


class Channel(NamedTuple):
    """A decay B -> M l l by the names of its inputs in `StandardModel`.

    spin is that of M; spectator names the table of Sec. 2.3; untagged marks the time-integrated B_s decay of Sec. 6.1;
    self_tagged whether the final state tells the flavour of the B, so that A_CP is that of counts; muon tells whether
    new physics enters.
    """

    name: str
    spin: Literal[0, 1]
    B: str
    M: str
    lifetime: str
    lepton: str
    form_factor_set: str
    low: str
    high: str
    spectator: str | None = None
    untagged: bool = False
    self_tagged: bool = True

    @property
    def muon(self) -> bool:
        """Whether the leptons are muons; else they are electrons."""
        return self.lepton == "m_mu"

    def masses(self, sm: StandardModel):
        """(m_B, m_M, m_lepton), GeV."""
        return getattr(sm, self.B), getattr(sm, self.M), getattr(sm, self.lepton)

    def form_factors(self, sm: StandardModel) -> FormFactorSet:
        """The form-factor set of this transition."""
        return getattr(sm, self.form_factor_set)

    def q2_range(self, sm: StandardModel) -> tuple[float, float]:
        """Kinematic limits (4 m_l^2, (m_B - m_M)^2), GeV^2."""
        m_B, m_M, m_lepton = self.masses(sm)
        return 4 * m_lepton**2, (m_B - m_M) ** 2


def _pair(stem: str, *inputs, **options) -> list[Channel]:
    return [
        Channel(f"{stem}{lepton * 2}", inputs[0], *inputs[1:4], f"m_{lepton}", *inputs[4:], **options)
        for lepton in ("mu", "e")
    ]


_KST = ("B_to_Kst", "Kst_low", "Kst_high")
"""Form factors and hadronic parameters are common to both charges, by isospin."""
CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        *_pair("B0->K*0", 1, "m_B0", "m_Kst0", "tau_B0", *_KST, spectator="B0Kst"),
        *_pair("B+->K*+", 1, "m_Bp", "m_Kstp", "tau_Bp", *_KST, spectator="BpKst"),
        *_pair(
            "Bs->phi",
            1,
            "m_Bs",
            "m_phi",
            "tau_Bs",
            "Bs_to_phi",
            "phi_low",
            "phi_high",
            spectator="Bsphi",
            untagged=True,
            self_tagged=False,
        ),
        *_pair("B+->K+", 0, "m_Bp", "m_Kp", "tau_Bp", "B_to_K", "K_low", "K_high"),
        *_pair("B0->K0", 0, "m_B0", "m_K0", "tau_B0", "B_to_K", "K_low", "K_high", self_tagged=False),
    )
}
