"""What of the leading order of the split dark sector is computed, and how: two named sets of switches.

Inputs: the name of a set and single switches in its place. Outputs: one `Switches` record, all of it static.
"""

from typing import Any, Literal, NamedTuple, get_args

from jaxdark.choices import PhysicsName
from jaxdark.errors import RequestError, one_of
from jaxdark.models.checks import check_number, check_truth
from jaxdark.models.wilson import BsCurrent

Loop = Literal["printed", "exact"]
"""The b s V vertex: Eqs. (7), (10) and (11), which expand it at q2 = 0, or `jaxdark.models.vertex`, exact in q2.

With it go what Phi does to kinetic mixing, 1/8 of Eq. (28) or 1/4, and the strong phase of V exchange in B_s mixing.
"""

WidthScheme = Literal["constant", "running", "dispersive"]
"""i m_V Gamma_V in the propagator, or i sqrt(s) Gamma_V(s), or the whole self-energy of one loop."""


class Switches(NamedTuple):
    """One switch per effect; each may be set alone.

    Attributes:
        loop: the vertex of b, s and V.
        tree: whether Phi exchange gives b -> s chi chi.
        dipole: whether the vertex has its dipole term.
        eta7: running of the dipole from m_Phi to m_b; None computes it, see `vertex.eta7`.
        bs_current: longitudinal part of V exchange in b -> s mu mu.
        width: of V.
        photon_penguin: whether the photon and gluon penguins of Phi are shown; no observable has them yet.
        mixing_transverse: whether the exchange of V in B_s mixing has the transverse vertex alone.
    """

    loop: Loop
    tree: bool
    dipole: bool
    eta7: float | None
    bs_current: BsCurrent
    width: WidthScheme
    photon_penguin: bool
    mixing_transverse: bool

    @property
    def name(self) -> str:
        """Name of the set, and the switches that differ from it: that of the set with fewer of them."""
        differing = {name: _differing(self, named) for name, named in SETS.items()}
        nearest = min(differing, key=lambda name: len(differing[name]))
        return " ".join([nearest, *(f"{switch}={getattr(self, switch)}" for switch in differing[nearest])])

    def as_printed(self, *switches: str) -> bool:
        """Whether these switches are those of the paper."""
        return not set(switches) & set(_differing(self, SETS["paper"]))


SETS: dict[PhysicsName, Switches] = {
    "paper": Switches("printed", False, False, None, "paper", "constant", False, False),
    "complete": Switches("exact", True, True, None, "conserved", "running", True, True),
}

_WORDS = {"loop": Loop, "bs_current": BsCurrent, "width": WidthScheme}


def _differing(switches: Switches, named: Switches) -> list[str]:
    return [switch for switch, a, b in zip(Switches._fields, switches, named, strict=True) if a != b]


def switches_of(physics: PhysicsName, **single: Any) -> Switches:
    """The named set with single switches in its place; those that are None stay as they are in the set.

    Raises:
        RequestError: a name or a value is unknown, or two switches contradict each other.
    """
    one_of("physics", physics, get_args(PhysicsName))
    given = {name: value for name, value in single.items() if value is not None}
    for name, value in given.items():
        if name in _WORDS:
            one_of(name, value, get_args(_WORDS[name]))
        elif name == "eta7":
            check_number("eta7", value, positive="a factor of the running")
            given[name] = float(value)
        else:
            given[name] = check_truth(name, value)
    switches = SETS[physics]._replace(**given)
    if "eta7" in given and not switches.dipole:
        raise RequestError(
            f"eta7 = {given['eta7']:g} runs the dipole, which is switched off; give dipole=True or no eta7"
        )
    return switches
