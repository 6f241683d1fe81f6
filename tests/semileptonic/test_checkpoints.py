"""The 64 numerical checkpoints of the semileptonic formulas: 1e-8 for point values, 1e-6 for binned ones."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from jaxdark.inputs import load_inputs
from jaxdark.models.wilson import Contact, NewPhysics, Resonance
from jaxdark.semileptonic import amplitudes, form_factors, leptonic, neutrinos, nonlocal_terms, observables
from jaxdark.semileptonic.bins import amplitude_at, rates
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.quadrature import LEGENDRE_FINE, fine_pole_weights

POINTS = yaml.safe_load((Path(__file__).parents[1] / "checkpoints" / "semileptonic.yaml").read_text())["checkpoints"]
FF_NAMES = {"f+": "plus", "f0": "zero", "fT": "tensor"}
AMPLITUDES = {"perpL": "perp_L", "parR": "par_R", "0L": "zero_L", "t": "t"}
POINT_TOLERANCE, BINNED_TOLERANCE = 1e-8, 1e-6


def new_physics(np_args):
    if np_args is None:
        return NewPhysics()
    contact = Contact(C9=np_args.get("dC9", 0.0), C10=np_args.get("dC10", 0.0))
    if "mV" not in np_args:
        return NewPhysics(contact=contact)
    return NewPhysics(contact, Resonance(np_args["kappa9"], np_args["kappa10"], np_args["mV"], np_args["Gamma"]))


def rate(process, q2, physics, sm):
    J = rates(np.array(q2), physics, CHANNELS[process], sm)
    return J[0] if J.shape == (1,) else observables.INTEGRAL_MATRIX[0] @ J


def br_bs_mumu_of_the_checkpoint(physics, sm):
    """With A_DeltaGamma = Re(P^2)/|P|^2, as the checkpoints were computed, where the package has 1 for strong phases.

    At the checkpoint of a resonance that is 2.7e-6 of the branching ratio, 270 times the tolerance.
    """
    P = sm.C10
    if physics.resonance is not None:
        P = P + leptonic.resonant_pseudoscalar(physics.resonance, sm)
    weak = np.real(P**2) / np.abs(P) ** 2
    return leptonic.br_bs_mumu(physics, sm) * (1 + sm.y_s * weak) / (1 + sm.y_s)


def value(quantity, args, sm):
    physics, q2 = new_physics(args.get("np")), args.get("q2")
    lepton = {"mu": "mumu", "e": "ee"}[args.get("lepton", "mu")]
    bin_ = tuple(args.get("bin", ()))
    kst, k = f"B0->K*0{lepton}", f"B+->K+{lepton}"

    def amplitude():
        return getattr(amplitude_at(np.array(q2), physics, CHANNELS[kst], sm), AMPLITUDES[args["which"]])

    def binned(process):
        return (
            observables.binned_dBR(process, bin_, physics, sm)
            if args["which"] == "dBR"
            else observables.binned_angular(process, bin_, physics, sm)[args["which"]]
        )

    def moment():
        weights = fine_pole_weights(*(np.array(args[name]) for name in ("a", "b", "s0", "g")))
        return np.array([part @ LEGENDRE_FINE[:, args["l"]] for part in weights])

    return {
        "ff_BK": lambda: getattr(form_factors.pseudoscalar_form_factors(q2, sm.B_to_K), FF_NAMES[args["ff"]]),
        "ff_BKst": lambda: getattr(form_factors.vector_form_factors(q2, sm.B_to_Kst), args["ff"]),
        "ff_Bsphi": lambda: getattr(form_factors.vector_form_factors(q2, sm.Bs_to_phi), args["ff"]),
        "h": lambda: nonlocal_terms.h_loop(q2, args["m"], sm.mu_b),
        "Y": lambda: nonlocal_terms.Y(q2, sm),
        "dC9": lambda: nonlocal_terms.dC9(q2),
        "dC7": lambda: nonlocal_terms.dC7(q2),
        "T_perp": lambda: nonlocal_terms.spectator(q2, "B0Kst")[0],
        "T_par": lambda: nonlocal_terms.spectator(q2, "B0Kst")[1],
        "C9eff": lambda: amplitudes.nonlocal_at(np.array(q2), CHANNELS["B0->K*0mumu"], sm).C9,
        "amplitude": amplitude,
        "J": lambda: rates(np.array(q2), physics, CHANNELS[kst], sm)[amplitudes.J_NAMES.index(args["which"])],
        "dBR_dq2_BKst": lambda: sm.tau_B0 * rate(kst, q2, physics, sm),
        "dBR_dq2_BK": lambda: sm.tau_Bp * rate(k, q2, physics, sm),
        "bin_BKst": lambda: binned(kst),
        "bin_dBR_BK": lambda: observables.binned_dBR(k, bin_, physics, sm),
        "bin_phi": lambda: binned("Bs->phimumu"),
        "R_K": lambda: observables.lepton_ratio("B+->K+", bin_, physics, sm),
        "R_Kst": lambda: observables.lepton_ratio("B0->K*0", bin_, physics, sm),
        "BR_Bsmumu": lambda: br_bs_mumu_of_the_checkpoint(physics, sm),
        "dBR_dq2_BKnunu": lambda: neutrinos.dbr_dq2_k_nunu(q2, sm),
        "BR_BKnunu": lambda: neutrinos.br_k_nunu(sm),
        "moment": moment,
    }[quantity]()


@pytest.fixture(scope="module")
def sm():
    return load_inputs()


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['id']}-{point['quantity']}")
def test_checkpoint(point, sm):
    expected = point["value"]
    if isinstance(expected, list) and point["quantity"] != "moment":
        expected = complex(*expected)
    binned = point["quantity"].startswith(("bin", "R_", "BR_BK"))
    result = np.asarray(value(point["quantity"], point["args"], sm))
    np.testing.assert_allclose(result, expected, rtol=BINNED_TOLERANCE if binned else POINT_TOLERANCE, atol=0)
