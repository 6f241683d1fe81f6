"""What electrons feel: with the muon's mass they are muons, without couplings they have the Standard Model."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
import pytest

import jaxdark as jd
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.split import width_chichi, width_leptons, width_mumu, width_total
from jaxdark.models.wilson import Contact, NewPhysics, Resonance
from jaxdark.semileptonic.predictor import Predictor

SM = load_inputs()
HEAVY = dataclasses.replace(SM, m_e=SM.m_mu)
"""Inputs with electrons of the muon's mass."""


class Row(NamedTuple):
    process: str
    observable: str
    q2: tuple[float, float]


WANTED = [
    *(("B0->K*0", name, (1.1, 6.0)) for name in ("dBR", "FL", "P5p", "S7", "A9")),
    ("B0->K*0", "P5p", (15.0, 19.0)),
    ("B+->K+", "dBR", (1.1, 6.0)),
    ("Bs->phi", "dBR", (0.1, 0.98)),
]
MUONS, ELECTRONS = ([Row(f"{stem}{lepton}", *what) for stem, *what in WANTED] for lepton in ("mumu", "ee"))
DARK = {"m_V": 2.2, "r_AV": -0.4, "g_D": 1.0, "r": -0.3}


def swapped(physics: NewPhysics) -> NewPhysics:
    """What muons feel given to electrons, and nothing left to muons."""
    resonance = physics.resonance
    if resonance is not None:
        fields = {f.name: getattr(resonance, f.name) for f in dataclasses.fields(resonance)}
        strengths = {"kappa9": 0.0, "kappa10": 0.0, "kappa9_e": resonance.kappa9, "kappa10_e": resonance.kappa10}
        resonance = Resonance(**fields | strengths)
    return NewPhysics(None, resonance, physics.contact)


MODELS = {
    "contact": NewPhysics(Contact(C9=-1.0, C10=0.3, CS=0.1)),
    "weak phases": NewPhysics(Contact(C9=-1.0 + 0.5j, C9p=0.2j)),
    "resonance": NewPhysics(resonance=Resonance(0.4, -0.1, 2.2, 0.3)),
    "resonance with weak phases": NewPhysics(Contact(C10=0.2), Resonance(0.4 + 0.2j, -0.1j, 2.2, 0.3)),
    "vertex, dipole, width": jd.DarkSector(**DARK, g_mu_V=0.02, m_chi=0.4).new_physics(SM),
}


@pytest.fixture(scope="module")
def predict():
    """Predictions of muons and of electrons that weigh as much, by quadrature and from tables."""
    found = {}
    for name, rows in (("muons", MUONS), ("electrons", ELECTRONS)):
        predictor = Predictor(rows, HEAVY)
        found[name] = {"quadrature": jax.jit(predictor), "tables": predictor.tabulated()}
    return found


@pytest.mark.parametrize("way", ["quadrature", "tables"])
@pytest.mark.parametrize("name", MODELS)
def test_electrons_of_the_muons_mass_are_muons(predict, name, way):
    physics = MODELS[name]
    of_muons = predict["muons"][way](physics)
    np.testing.assert_allclose(predict["electrons"][way](swapped(physics)), of_muons, rtol=1e-11, atol=1e-17)
    assert abs(float(predict["muons"][way](swapped(physics))[0] / of_muons[0]) - 1) > 0.02


@pytest.mark.parametrize("way", ["quadrature", "tables"])
def test_each_lepton_feels_its_own(predict, way):
    """Without couplings of its own an electron has the Standard Model, a muon beside a coupled electron as well."""
    for name in ("contact", "resonance"):
        physics = MODELS[name]
        nothing = predict["electrons"][way](NewPhysics())
        np.testing.assert_allclose(predict["electrons"][way](physics), nothing, rtol=1e-12)
        np.testing.assert_allclose(
            predict["muons"][way](swapped(physics)), predict["muons"][way](NewPhysics()), rtol=1e-12
        )


def test_ratios_of_a_universal_model_are_those_of_the_standard_model():
    """But for the masses of the leptons, where those of a muonic one are far off."""
    rows = [
        Row("B+->K+ll", "R_K", (1.1, 6.0)),
        Row("B0->K*0ll", "R_Kst", (1.1, 6.0)),
        Row("B+->K+ee", "dBR", (1.1, 6.0)),
    ]
    predict = jax.jit(Predictor(rows, SM))
    of_sm = predict(NewPhysics())
    dark = DARK | {"m_V": 8.0, "r": -10.0, "g_mu_V": 0.05}
    for model, arguments in ((jd.ConstantWilson, {"C9": -1.0, "C10": 0.3}), (jd.DarkSector, dark)):
        universal, muonic = (predict(model(**arguments, lepton_universal=switch)) for switch in (True, False))
        np.testing.assert_allclose(universal[:2], of_sm[:2], rtol=0.01)
        assert abs(float(muonic[0] / of_sm[0]) - 1) > 0.02
        assert abs(float(universal[2] / of_sm[2]) - 1) > 0.02
        np.testing.assert_allclose(muonic[2], of_sm[2], rtol=1e-12)


def test_widths_add_up(sm=SM):
    """Of all channels; a lepton whose pair is too heavy adds nothing."""
    for m_V, open_taus in ((2.2, False), (8.0, True)):
        model = jd.DarkSector(**DARK | {"m_V": m_V}, g_mu_V=0.02, lepton_universal=True)
        muonic = jd.DarkSector(**DARK | {"m_V": m_V}, g_mu_V=0.02)
        others = width_leptons(model, sm) - width_mumu(model, sm)
        massless = m_V / (12 * np.pi) * 0.02**2 * (1 + 0.4**2)
        assert (float(others) > 1.5 * massless) is open_taus and float(others) > 0.999 * massless
        np.testing.assert_allclose(width_leptons(muonic, sm), width_mumu(muonic, sm), rtol=1e-14)
        np.testing.assert_allclose(width_total(model, sm), width_chichi(model, sm).sum() + width_leptons(model, sm))


def test_couplings_of_each_lepton():
    model = jd.DarkSector(**DARK, g_mu_V=0.02, g_e_V=0.01, g_tau_A=0.3)
    couplings = {name: tuple(map(float, pair)) for name, pair in model.lepton_couplings().items()}
    assert couplings == {"mu": (0.02, -0.4 * 0.02), "e": (0.01, 0.0), "tau": (0.0, 0.3)}
    resonance = model.new_physics(SM).resonance
    assert float(resonance.kappa9_e / resonance.kappa9) == 0.5 and float(resonance.kappa10_e) == 0.0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"g_e_V": 0.1, "lepton_universal": True}, "with lepton_universal g_e_V and g_e_A are the muon's"),
        ({"lepton_universal": "yes"}, "lepton_universal must be true or false, got 'yes'"),
        ({"g_e_V": np.nan}, "g_e_V"),
    ],
)
def test_contradictions_are_refused(wrong, sentence):
    with pytest.raises(RequestError, match=sentence):
        jd.DarkSector(**DARK, g_mu_V=0.02, **wrong)
    with pytest.raises(RequestError, match="kappa9_e and kappa10_e of Resonance must be given together"):
        Resonance(1.0, 1.0, 2.0, 0.1, kappa9_e=1.0)
