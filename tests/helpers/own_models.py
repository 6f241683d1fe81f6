"""Models and functions of a user's that build them, in a module that is not jaxdark's."""

import equinox as eqx

import jaxdark as jd
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.wilson import Contact, NewPhysics


class Dressed(SplitDarkSector):
    """The paper's model with a contact term beside the resonance."""

    def new_physics(self, sm):
        return NewPhysics(resonance=super().new_physics(sm).resonance, contact=Contact(C9=-0.1))


class Maker:
    """Builds the paper's model with a mass of the dark fermion, by a method or when it is called."""

    def __init__(self, m_chi):
        self.m_chi = m_chi

    def build(self, **given):
        return jd.DarkSector(m_chi=self.m_chi, **given)

    __call__ = build


def changed_by(value):
    """A class that predicts the same whatever the value, which a property of it returns."""

    class Own(SplitDarkSector):
        @property
        def mixing_C1(self):
            return value * self.m_V

    return Own


def counted(calls):
    """A function that notes every call."""

    def build(**given):
        calls.append(len(calls))
        return jd.DarkSector(**given)

    return build


def built_in():
    """A class of the name `Charm`."""

    class Charm(eqx.Module):
        def new_physics(self, sm):
            return NewPhysics(contact=Contact(C9=-1.0, C10=0.0))

        def muon_couplings(self):
            return None

    return Charm


renamed = built_in
