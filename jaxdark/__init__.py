"""jaxdark: differentiable b -> s flavour observables of a light dark sector, with gradient-based inference on top.

Nothing happens on import: names are fetched when first used, and JAX's settings are left alone.
"""

from importlib import import_module

TYPE_CHECKING = False  # for type checkers it is true; importing typing would take longer than all the rest here
if TYPE_CHECKING:
    from jaxdark.constraints.invisible import br_k_invisible as br_k_invisible
    from jaxdark.dark.couplings import g_tilde as g_tilde
    from jaxdark.dark.mediator import width_total as width_total
    from jaxdark.dark.model import ConstantWilson as ConstantWilson
    from jaxdark.dark.model import DarkSector as DarkSector
    from jaxdark.dark.model import c9 as c9
    from jaxdark.dark.model import c10 as c10
    from jaxdark.dark.model import c_p as c_p
    from jaxdark.dark.muon_g2 import delta_a_mu as delta_a_mu
    from jaxdark.dark.other_models import BoxModel as BoxModel
    from jaxdark.dark.other_models import SimplifiedZPrime as SimplifiedZPrime
    from jaxdark.errors import RequestError as RequestError
    from jaxdark.inference.fit import fit as fit
    from jaxdark.inference.likelihood import Likelihood as Likelihood
    from jaxdark.inference.profile import profile as profile
    from jaxdark.inference.sample import sample as sample
    from jaxdark.inputs import load_inputs as load_inputs
    from jaxdark.measurements import dataset_names as dataset_names
    from jaxdark.measurements import load_dataset as load_dataset
    from jaxdark.precision import enable_x64 as enable_x64
    from jaxdark.scans.scan import scan as scan
    from jaxdark.semileptonic.leptonic import br_bs_mumu as br_bs_mumu
    from jaxdark.semileptonic.neutrinos import br_k_nunu as br_k_nunu
    from jaxdark.semileptonic.neutrinos import br_kst_nunu as br_kst_nunu
    from jaxdark.semileptonic.observables import binned_angular as binned_angular
    from jaxdark.semileptonic.observables import binned_dBR as binned_dBR
    from jaxdark.semileptonic.observables import lepton_ratio as lepton_ratio
    from jaxdark.wilson import Contact as Contact
    from jaxdark.wilson import NewPhysics as NewPhysics
    from jaxdark.wilson import Resonance as Resonance

_HOME = {
    "constraints.invisible": ("br_k_invisible",),
    "dark.couplings": ("g_tilde",),
    "dark.mediator": ("width_total",),
    "dark.model": ("ConstantWilson", "DarkSector", "c9", "c10", "c_p"),
    "dark.muon_g2": ("delta_a_mu",),
    "dark.other_models": ("BoxModel", "SimplifiedZPrime"),
    "errors": ("RequestError",),
    "inference.fit": ("fit",),
    "inference.likelihood": ("Likelihood",),
    "inference.profile": ("profile",),
    "inference.sample": ("sample",),
    "inputs": ("load_inputs",),
    "measurements": ("dataset_names", "load_dataset"),
    "precision": ("enable_x64",),
    "scans.scan": ("scan",),
    "semileptonic.leptonic": ("br_bs_mumu",),
    "semileptonic.neutrinos": ("br_k_nunu", "br_kst_nunu"),
    "semileptonic.observables": ("binned_angular", "binned_dBR", "lepton_ratio"),
    "wilson": ("Contact", "NewPhysics", "Resonance"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_MODULE_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'jaxdark' has no attribute {name!r}")
    return getattr(import_module(f"jaxdark.{_MODULE_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
