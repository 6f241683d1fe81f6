"""jaxdark: differentiable b -> s flavour observables of a light dark sector, with gradient-based inference on top.

Nothing happens on import: names are fetched when first used, and JAX's settings are left alone.
"""

from importlib import import_module

TYPE_CHECKING = False  # for type checkers it is true; importing typing would take longer than all the rest here
if TYPE_CHECKING:
    from jaxdark.constraints.b_to_k_invisible.searches import br_k_invisible as br_k_invisible
    from jaxdark.errors import RequestError as RequestError
    from jaxdark.inputs import load_inputs as load_inputs
    from jaxdark.io import results as results
    from jaxdark.io.checkpoints import Checkpoints as Checkpoints
    from jaxdark.likelihood.likelihood import Likelihood as Likelihood
    from jaxdark.likelihood.priors import Prior as Prior
    from jaxdark.likelihood.priors import Range as Range
    from jaxdark.measurements.dataset import dataset_names as dataset_names
    from jaxdark.measurements.dataset import load_dataset as load_dataset
    from jaxdark.models.base import Model as Model
    from jaxdark.models.base import MuonVector as MuonVector
    from jaxdark.models.box import BoxModel as BoxModel
    from jaxdark.models.coefficients import c9 as c9
    from jaxdark.models.coefficients import c10 as c10
    from jaxdark.models.coefficients import c_p as c_p
    from jaxdark.models.constant import ConstantWilson as ConstantWilson
    from jaxdark.models.muon_g2 import delta_a_mu as delta_a_mu
    from jaxdark.models.split import DarkSector as DarkSector
    from jaxdark.models.split import g_Vbs as g_Vbs
    from jaxdark.models.split import width_total as width_total
    from jaxdark.models.wilson import Contact as Contact
    from jaxdark.models.wilson import NewPhysics as NewPhysics
    from jaxdark.models.wilson import Resonance as Resonance
    from jaxdark.models.zprime import SimplifiedZPrime as SimplifiedZPrime
    from jaxdark.optimise.constrained import constrained_fit as constrained_fit
    from jaxdark.optimise.fit import fit as fit
    from jaxdark.optimise.profile import profile as profile
    from jaxdark.precision import enable_x64 as enable_x64
    from jaxdark.sampling.numpyro_model import numpyro_model as numpyro_model
    from jaxdark.sampling.sample import sample as sample
    from jaxdark.scans.scan import scan as scan
    from jaxdark.semileptonic.leptonic import br_bs_mumu as br_bs_mumu
    from jaxdark.semileptonic.neutrinos import br_k_nunu as br_k_nunu
    from jaxdark.semileptonic.neutrinos import br_kst_nunu as br_kst_nunu
    from jaxdark.semileptonic.observables import binned_angular as binned_angular
    from jaxdark.semileptonic.observables import binned_dBR as binned_dBR
    from jaxdark.semileptonic.observables import lepton_ratio as lepton_ratio

_HOME = {
    "errors": ("RequestError",),
    "precision": ("enable_x64",),
    "io.checkpoints": ("Checkpoints",),
    "inputs": ("load_inputs",),
    "models.wilson": ("Contact", "NewPhysics", "Resonance"),
    "models.base": ("Model", "MuonVector"),
    "models.coefficients": ("c9", "c10", "c_p"),
    "models.split": ("DarkSector", "g_Vbs", "width_total"),
    "models.constant": ("ConstantWilson",),
    "models.zprime": ("SimplifiedZPrime",),
    "models.box": ("BoxModel",),
    "models.muon_g2": ("delta_a_mu",),
    "semileptonic.leptonic": ("br_bs_mumu",),
    "semileptonic.neutrinos": ("br_k_nunu", "br_kst_nunu"),
    "semileptonic.observables": ("binned_angular", "binned_dBR", "lepton_ratio"),
    "measurements.dataset": ("dataset_names", "load_dataset"),
    "constraints.b_to_k_invisible.searches": ("br_k_invisible",),
    "likelihood.priors": ("Prior", "Range"),
    "likelihood.likelihood": ("Likelihood",),
    "optimise.constrained": ("constrained_fit",),
    "optimise.fit": ("fit",),
    "optimise.profile": ("profile",),
    "sampling.sample": ("sample",),
    "sampling.numpyro_model": ("numpyro_model",),
    "scans.scan": ("scan",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted([*_MODULE_OF, "results"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name == "results":
        return import_module("jaxdark.io.results")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'jaxdark' has no attribute {name!r}")
    return getattr(import_module(f"jaxdark.{_MODULE_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
