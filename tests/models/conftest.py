from pathlib import Path

import pytest
import yaml
from printed import printed

from jaxdark.inputs import load_inputs

FILE = Path(__file__).parents[1] / "checkpoints" / "dark_sector.yaml"


@pytest.fixture(scope="session")
def checkpoints():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def checkpoint_sm(checkpoints):
    """The inputs in the head of the checkpoint file under the library's names."""
    given = checkpoints["inputs"]
    names = {"MB": "m_Bp", "MK": "m_Kp", "MBs": "m_Bs", "Mmu": "m_mu", "MB0": "m_B0", "MKst": "m_Kst0"}
    names |= {"alpha": "alpha_em", "VtbVts": "lambda_t"} | {name: name for name in ("GF", "hbar", "mb", "ms")}
    lifetimes = {f"tau_{B}": given[f"tau{B}_ps"] * 1e-12 / given["hbar"] for B in ("Bp", "B0")}
    return load_inputs({ours: given[theirs] for theirs, ours in names.items()} | lifetimes)


@pytest.fixture
def example():
    """A point of the high region."""
    return printed(m_V=5.5, g_mu_V=0.03, r_AV=-0.4, g_D=1.0, r=-3.0)
