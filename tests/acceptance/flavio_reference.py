"""What flavio 2.7.1 predicts, in plain floats: the far side of the acceptance test.

In goes a `Scenario` (what new physics adds to the muonic Wilson coefficients at 4.8 GeV) and, where they matter,
hadronic parameters by their flavio names; out come branching fractions, angular observables (LHCb) and the J_i.

Everything is computed by flavio from its own central inputs. Six things are done around it:
- a coefficient that depends on q2 is added where flavio hands its effective coefficients to the amplitudes, to the
  decay and to its conjugate alike, because a width is a strong phase;
- bins are integrated once for all J_i and their conjugates, adaptively, and flavio's own combinations are then
  formed from the integrals: its default quadrature asks for 0.5 per cent and samples each observable separately;
- B -> K takes all nine FNAL/MILC 2015 coefficients, with the poles and masses of that paper. flavio's BCL form factor
  ignores the last one of f0 and restores f+(0) = f0(0) with the wrong sign instead (-0.136 in place of +0.136, where
  the paper has +0.150), which moves R_K by 3e-4 and dBR by up to 3e-3;
- where a coupling has a weak phase, the imaginary part of lambda_u/lambda_t is left out, as jaxdark does: it moves such
  a rate by 1e-3 and gives the SM itself A_i of up to 3e-3;
- in B_s -> mu mu a width is a strong phase for A_DeltaGamma, where flavio takes every phase for a weak one;
- warnings about the reach of QCD factorisation are silenced.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from unittest import mock

import flavio
import numpy as np
from flavio.physics import ckm
from flavio.physics.bdecays import bll, bpll, bpnunu, bvnunu, wilsoncoefficients
from flavio.physics.bdecays.bvll import amplitudes, observables, observables_bs, qcdf_interpolate
from flavio.physics.bdecays.formfactors.b_p import bcl
from flavio.physics.common import conjugate_par
from flavio.physics.mesonmixing import observables as mixing
from flavio.physics.running import running
from scipy.integrate import quad_vec

Bin = tuple[float, float]
Numbers = dict[str, float]
Hadronic = Mapping[str, float]

SCALE = 4.8
J_KEYS = ("1s", "1c", "2s", "2c", 3, 4, 5, "6s", "6c", 7, 8, 9)
CENTRAL = flavio.default_parameters.get_central_all()
MB = float(running.get_mb(CENTRAL, SCALE))
MS = float(running.get_ms(CENTRAL, SCALE))
HBAR_PS = 6.582119569e-13
"""GeV ps, exact in the SI."""


class Resonance(NamedTuple):
    """C9 = kappa9 q2/(q2 - m_V^2 + i m_V width), C10 with kappa10; bs_current has the three names it has in jaxdark."""

    kappa9: float
    kappa10: float
    m_V: float
    width: float
    bs_current: str = "without_C_P"


@dataclass(frozen=True)
class Scenario:
    """What is added to the muonic coefficients at 4.8 GeV, phases weak; C_S and C_P are dimensionless."""

    c9: complex = 0.0
    c10: complex = 0.0
    c_s: complex = 0.0
    c_p: complex = 0.0
    c9p: complex = 0.0
    c10p: complex = 0.0
    resonance: Resonance | None = None

    def wilson(self) -> flavio.WilsonCoefficients:
        """The constant part in flavio's normalisation, whose scalar operators carry a factor m_b."""
        names = {"C9": self.c9, "C10": self.c10, "CS": self.c_s / MB, "CP": self.c_p / MB}
        names |= {"C9p": self.c9p, "C10p": self.c10p}
        wilson = flavio.WilsonCoefficients()
        wilson.set_initial({f"{name}_bsmumu": value for name, value in names.items() if value}, SCALE)
        return wilson

    @property
    def has_weak_phase(self) -> bool:
        """Whether a coupling is of complex type."""
        return any(isinstance(value, complex) for value in (self.c9, self.c10, self.c_s, self.c_p, self.c9p, self.c10p))

    def peaks(self) -> list[float]:
        """Values of q2 that an adaptive quadrature must not overlook."""
        return [self.resonance.m_V**2] if self.resonance else []


SM = Scenario()


def _resonant_coefficients(q2: float, resonance: Resonance, m_lepton: float) -> dict[str, complex]:
    shape = q2 / (q2 - resonance.m_V**2 + 1j * resonance.m_V * resonance.width)
    c10 = resonance.kappa10 * shape
    # Eq. (20) for the propagator of the paper; for a conserved current C_P removes the timelike part of C10.
    longitudinal = {"without_C_P": 0.0, "paper": 1 / resonance.m_V**2, "conserved": 1 / q2}[resonance.bs_current]
    # flavio divides "p" by m_b +- m_s with m_s = 0, so m_b takes the place of m_b + m_s (K*) and of m_b - m_s (K).
    return {"v": resonance.kappa9 * shape, "a": c10, "p": -2 * m_lepton * MB * longitudinal * c10}


@contextmanager
def _in_flavio(scenario: Scenario) -> Iterator[None]:
    """Add the resonance to the effective coefficients of muons; leave nothing behind."""
    original = wilsoncoefficients.get_wceff

    def shifted(q2, wc, par, B, M, lep, scale):
        coefficients = original(q2, wc, par, B, M, lep, scale)
        if scenario.resonance and lep == "mu":
            for name, value in _resonant_coefficients(q2, scenario.resonance, par["m_mu"]).items():
                coefficients[name] += value
        return coefficients

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="The QCDF corrections should not be trusted")
        for module in (bpll, amplitudes, observables):
            stack.enter_context(mock.patch.object(module, "get_wceff", shifted))
        if scenario.has_weak_phase:
            stack.enter_context(_real_lambda_u())
        yield


@contextmanager
def _real_lambda_u() -> Iterator[None]:
    """Leave out the imaginary part of lambda_u/lambda_t; from the tables of spectator scattering by averaging both."""
    xi, tabulated = ckm.xi, qcdf_interpolate.helicity_amps_qcdf

    def real_xi(a, bc):
        if a != "u":
            return xi(a, bc)
        return lambda par: (xi("u", bc)(par) / xi("t", bc)(par)).real * xi("t", bc)(par)

    def averaged(q2, par, B, V, cp_conjugate=False, contribution="all"):
        # Both tables hold their own lambda_t as a factor.
        lambda_t = xi("t", "bs")(CENTRAL)
        b, anti_b = (tabulated(q2, par, B, V, conjugate, contribution) for conjugate in (False, True))
        turned = lambda_t.conjugate() if cp_conjugate else lambda_t
        return {key: (b[key] / lambda_t + anti_b[key] / lambda_t.conjugate()) / 2 * turned for key in b}

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(ckm, "xi", real_xi))
        stack.enter_context(mock.patch.object(qcdf_interpolate, "helicity_amps_qcdf", averaged))
        yield


@contextmanager
def conjugate_nuisances() -> Iterator[None]:
    """Give the hadronic terms of the conjugate decay the conjugate of lambda_t, as everything else there has.

    flavio leaves lambda_t as it is in them, so that its CP averages hold a spurious phase of 0.036 between these terms
    and the rest, and its T-odd averages are of no use when a nuisance parameter is not zero.
    """
    with ExitStack() as stack:
        for module in (bpll, observables):

            def conjugating(q2, wc_obj, par, *args, cp_conjugate, original=module.get_subleading):
                par = conjugate_par(par) if cp_conjugate else par
                return original(q2, wc_obj, par, *args, cp_conjugate=cp_conjugate)

            stack.enter_context(mock.patch.object(module, "get_subleading", conjugating))
        yield


def fnal_milc_2015(q2: float) -> Numbers:
    """f+, f0 and fT of B -> K, arXiv:1509.06235, from flavio's BCL series and table with all nine coefficients."""
    m_B, m_K = 5.27942, 0.495644
    a = {ff: [CENTRAL[f"B->K BCL a{k}_{ff}"] for k in range(3)] for ff in ("f+", "f0", "fT")}
    vector = {ff: bcl.pole(ff, 5.4154, q2) * bcl.param_fplusT(m_B, m_K, a[ff], q2) for ff in ("f+", "fT")}
    return {**vector, "f0": bcl.pole("f0", 5.711, q2) * bcl.param_f0(m_B, m_K, a["f0"], q2)}


@contextmanager
def _with_fnal_milc() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (bpll, bpnunu):
            stack.enter_context(mock.patch.object(module, "get_ff", lambda q2, par, B, P: fnal_milc_2015(q2)))
        yield


def _integral(f: Callable[[float], np.ndarray], low: float, high: float, peaks: list[float]) -> np.ndarray:
    """Adaptive Gauss-Kronrod integral of a vector.

    Asking for 1e-5 gives 1e-7 for every observable (against 1e-8 asked for): the estimate is dominated by the kinks of
    flavio's linear interpolations, which average out.
    """
    return quad_vec(f, low, high, epsabs=0.0, epsrel=1e-5, points=[peak for peak in peaks if low < peak < high])[0]


def _kstar(
    scenario: Scenario, lepton: str, hadronic: Hadronic | None = None, charge: str = "0"
) -> observables.BVllObservable:
    parameters = CENTRAL | dict(hadronic or {})
    return observables.BVllObservable(f"B{charge}", f"K*{charge}", lepton, scenario.wilson(), parameters)


def kstar_j(q2: float, scenario: Scenario = SM, lepton: str = "mu", hadronic: Hadronic | None = None) -> Numbers:
    """CP-averaged J_i of B0 -> K*0 l l in the theory convention, and dGamma/dq2 under "dGamma", GeV^-1."""
    with _in_flavio(scenario):
        decay = _kstar(scenario, lepton, hadronic)
        J, J_bar = decay.j(q2), decay.jbar(q2)
    average = {str(key): float(J[key] + J_bar[key]) / 2 for key in J_KEYS}
    return average | {"dGamma": float(observables.dGdq2_ave(J, J_bar))}


@cache
def kstar_bin(edges: Bin, scenario: Scenario = SM, lepton: str = "mu", charge: str = "0") -> Numbers:
    """Binned dBR/dq2 (GeV^-2), F_L, A_FB, S_i, P_i, P'_i, A_i and A_CP of B0 -> K*0 l l, LHCb convention.

    Of B+ -> K*+ l l where the charge is "+".
    """
    decay = _kstar(scenario, lepton, charge=charge)
    low, high = max(edges[0], 4 * decay.ml**2), min(edges[1], (decay.mB - decay.mV) ** 2)

    def both(q2: float) -> np.ndarray:
        return np.array([[j[key] for key in J_KEYS] for j in (decay.j(q2), decay.jbar(q2))])

    with _in_flavio(scenario):
        integrals = _integral(both, low, high, scenario.peaks())
    J, J_bar = (dict(zip(J_KEYS, row, strict=True)) for row in integrals)

    # Every numerator is linear in the J_i, so flavio's own functions of J apply to the integrals as well.
    rate = observables.dGdq2_ave(J, J_bar)
    s_names = ("FL", "AFB", "S3", "S4", "S5", "S7", "S8", "S9")
    out = {name: observables._observables[name]["func_num"](J, J_bar) / (2 * rate) for name in s_names}
    for i in ("1s", "1c", "2s", "2c", "6s", "6c"):
        out[f"S{i}"] = observables.S_experiment_num(J, J_bar, i) / (2 * rate)
    s_2s = observables.P_den(J, J_bar)
    root = 2 * np.sqrt(-s_2s * observables.S_experiment_num(J, J_bar, "2c"))
    p, p_prime = observables._observables_p, observables._observables_pprime
    out |= {name: p[name]["func_num"](J, J_bar) / s_2s for name in ("P1", "P2", "P3", "ATIm")}
    out |= {name: p_prime[name]["func_num"](J, J_bar) / root for name in ("P4p", "P5p", "P6p", "P8p")}
    a_names = ("A3", "A4", "A5", "A6s", "A7", "A8", "A9")
    out |= {name: observables._observables[name]["func_num"](J, J_bar) / (2 * rate) for name in a_names}
    out["ACP"] = observables._observables["ACP"]["func_num"](J, J_bar) / rate
    out["dBR"] = CENTRAL[f"tau_B{charge}"] * rate / (edges[1] - edges[0])
    return {name: float(value) for name, value in out.items()}


def own_prediction(name: str, edges: Bin) -> float:
    """The same for the SM straight from flavio's front door, with its default quadrature.

    Its A_CP of this decay is half the difference of the rates over their sum, hence the factor of 2; that of
    B+ -> K+ mu mu is the difference over the sum.
    """
    with _in_flavio(SM):
        return (2 if name == "ACP" else 1) * float(flavio.sm_prediction(f"<{name}>(B0->K*mumu)", *edges))


def r_kstar(edges: Bin, scenario: Scenario = SM) -> float:
    """R_K* of a bin; new physics for muons only."""
    return kstar_bin(edges, scenario)["dBR"] / kstar_bin(edges, SM, "e")["dBR"]


def k_dbr(q2: float, scenario: Scenario = SM, lepton: str = "mu", hadronic: Hadronic | None = None) -> float:
    """dBR/dq2 of B+ -> K+ l l at one q2, GeV^-2."""
    with _in_flavio(scenario), _with_fnal_milc():
        return float(bpll.bpll_dbrdq2(q2, scenario.wilson(), CENTRAL | dict(hadronic or {}), "B+", "K+", lepton))


def k_bin(edges: Bin, scenario: Scenario = SM, lepton: str = "mu", charge: str = "+") -> float:
    """Binned dBR/dq2 of B+ -> K+ l l, GeV^-2; of B0 -> K0 l l where the charge is "0"."""
    return _k_integrals(edges, scenario, lepton, charge)[0]


def k_acp(edges: Bin, scenario: Scenario = SM, lepton: str = "mu") -> float:
    """A_CP of B+ -> K+ l l."""
    average, half_difference = _k_integrals(edges, scenario, lepton)
    return half_difference / average


@cache
def _k_integrals(edges: Bin, scenario: Scenario, lepton: str, charge: str = "+") -> tuple[float, float]:
    """Binned CP average and half difference of dBR/dq2, GeV^-2."""
    wilson = scenario.wilson()
    low = max(edges[0], 4 * CENTRAL[f"m_{lepton}"] ** 2)
    B, K = f"B{charge}", f"K{charge}"
    high = min(edges[1], (CENTRAL[f"m_{B}"] - CENTRAL[f"m_{K}"]) ** 2)

    def both(J, J_bar) -> np.ndarray:
        return np.array([bpll.dGdq2_cpaverage(J, J_bar), bpll.dGdq2_cpdiff(J, J_bar)])

    def rate(q2: float) -> np.ndarray:
        return bpll.bpll_obs(both, q2, wilson, CENTRAL, B, K, lepton)

    with _in_flavio(scenario), _with_fnal_milc():
        average, difference = _integral(rate, low, high, scenario.peaks())
    scale = CENTRAL[f"tau_{B}"] / (edges[1] - edges[0])
    return float(scale * average), float(scale * difference)


def r_k(edges: Bin, scenario: Scenario = SM, charge: str = "+") -> float:
    """R_K of a bin; new physics for muons only."""
    return k_bin(edges, scenario, charge=charge) / k_bin(edges, SM, "e", charge)


def phi_bin(edges: Bin, scenario: Scenario = SM, lepton: str = "mu") -> Numbers:
    """Time-integrated, untagged dBR/dq2 (GeV^-2), F_L, S3, S4, S7, A5, A6s, A8 and A9 of B_s -> phi l l.

    flavio has no A_i of this decay; they are its J_i of the same numbers with the sign of zeta_i, arXiv:1502.05509.

    There q/p multiplies the amplitude of the anti-meson. flavio 2.7.1 multiplies that of the meson with it, so that the
    phases of mixing and decay, 0.036 each in the Standard Model, add up where they should cancel. That is put right by
    the conjugate of q/p; it matters where new physics has a weak phase (1.6e-3 of the rate, 5e-4 in A_9).
    """
    wilson = scenario.wilson()
    averages, asymmetries = ("FL", "S3", "S4", "S7"), {"A5": 5, "A6s": "6s", "A8": 8, "A9": 9}
    names = (*averages, *asymmetries)

    def vector(y, J, J_bar, J_h) -> np.ndarray:
        numerators = [observables_bs._observables[name]["func_num"](y, J, J_bar, J_h) for name in averages]
        opposite = {key: -value for key, value in J_bar.items()}
        numerators += [observables_bs.S_experiment_num_Bs(y, J, opposite, J_h, i) for i in asymmetries.values()]
        return np.array([observables_bs.dGdq2_ave_Bs(y, J, J_bar, J_h), *numerators])

    def integrand(q2: float) -> np.ndarray:
        return observables_bs.bsvll_obs(vector, q2, wilson, CENTRAL, "Bs", "phi", lepton)

    high = min(edges[1], (CENTRAL["m_Bs"] - CENTRAL["m_phi"]) ** 2)
    q_over_p = mixing.q_over_p(wilson, CENTRAL, "Bs")
    with _in_flavio(scenario), mock.patch.object(mixing, "q_over_p", lambda *_: q_over_p.conjugate()):
        rate, *numerators = _integral(integrand, edges[0], high, scenario.peaks())
    out = {name: float(value / (2 * rate)) for name, value in zip(names, numerators, strict=True)}
    return out | {"dBR": float(CENTRAL["tau_Bs"] * rate / (edges[1] - edges[0]))}


def bs_mumu(scenario: Scenario = SM) -> float:
    """Time-integrated BR(B_s -> mu mu); a resonance enters at q2 = m_Bs^2."""
    wilson = bll.wctot_dict(scenario.wilson(), "bsmumu", SCALE, CENTRAL)
    if scenario.resonance:
        shift = _resonant_coefficients(CENTRAL["m_Bs"] ** 2, scenario.resonance, CENTRAL["m_mu"])
        wilson["C10_bsmumu"] += shift["a"]
        # Here flavio keeps m_s: m_b/(m_b + m_s) is already in its amplitude.
        wilson["CP_bsmumu"] += shift["p"] * (MB + MS) / MB**2
    in_flavio = float(bll.br_timeint(CENTRAL, wilson, "Bs", "mu", "mu"))
    if not scenario.resonance:
        return in_flavio
    assert not scenario.has_weak_phase
    y, of_weak = CENTRAL["DeltaGamma/Gamma_Bs"] / 2, bll.ADeltaGamma(CENTRAL, wilson, "Bs", "mu")
    P2, S2 = (abs(amplitude) ** 2 for amplitude in bll.amplitudes(CENTRAL, wilson, "Bs", "mu", "mu"))
    return in_flavio * (1 + y * (P2 - S2) / (P2 + S2)) / (1 + y * of_weak)


def bs_mumu_lifetime(scenario: Scenario = SM) -> float:
    """Effective lifetime of B_s -> mu mu, ps; contact terms alone."""
    wilson = bll.wctot_dict(scenario.wilson(), "bsmumu", SCALE, CENTRAL)
    return float(bll.tau_ll(wilson, CENTRAL, "Bs", "mu")) * HBAR_PS


def k_nunu(q2: float) -> float:
    """dBR/dq2 of B+ -> K+ nu nu in the SM, three flavours, GeV^-2."""
    with _with_fnal_milc():
        return float(bpnunu.bpnunu_dbrdq2_summed(q2, flavio.WilsonCoefficients(), CENTRAL, "B+", "K+"))


def kstar_nunu(q2: float) -> float:
    """dBR/dq2 of B0 -> K*0 nu nu in the SM, three flavours, GeV^-2."""
    return float(bvnunu.bvnunu_dbrdq2_summed(q2, flavio.WilsonCoefficients(), CENTRAL, "B0", "K*0"))
