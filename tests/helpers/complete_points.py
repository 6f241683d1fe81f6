"""The shared checkpoints of the complete calculation: their inputs and their points as models."""

from functools import cache
from pathlib import Path

import yaml

from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector

_FILE = Path(__file__).parents[1] / "checkpoints" / "complete.yaml"
_OURS = {
    "GF": "GF", "alpha": "alpha_em", "VtbVts": "lambda_t", "hbar": "hbar", "mb": "mb", "ms": "ms", "fBs": "f_Bs",
    "Mmu": "m_mu", "MB": "m_Bp", "MK": "m_Kp", "MB0": "m_B0", "MKst": "m_Kst0", "MBs": "m_Bs", "Mphi": "m_phi",
}  # fmt: skip
_LIFETIMES = {"tauBp_ps": "tau_Bp", "tauB0_ps": "tau_B0", "tauBs_ps": "tau_Bs"}


@cache
def checkpoints() -> dict:
    """The file."""
    return yaml.safe_load(_FILE.read_text())


@cache
def checkpoint_inputs():
    """The inputs in its head under the library's names."""
    given = checkpoints()["inputs"]
    values = {ours: given[theirs] for theirs, ours in _OURS.items()}
    lifetimes = {ours: given[theirs] * 1e-12 / given["hbar"] for theirs, ours in _LIFETIMES.items()}
    return load_inputs(values | lifetimes)


def model_of(point: dict, **changes) -> SplitDarkSector:
    """A row of `points`, its switches included."""
    names = ("m_V", "g_mu_V", "r_AV", "g_D", "Q_Phi", "r", "m_chi", "m_Phi", "width", "dipole")
    running = {"eta7": point["eta7"]} if point["dipole"] else {}
    return SplitDarkSector(**({name: point[name] for name in names} | running | {"physics": "complete"} | changes))
