"""Widths of B -> M chi chi in mpmath, which takes minutes, kept in tests/checkpoints/pairs.yaml.

`PYTHONPATH=tests/helpers python tests/helpers/pairs_table.py` writes the file anew; a slow test asks whether it would.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from chi_pairs import integrated
from complete_points import checkpoint_inputs

from jaxdark.precision import enable_x64

enable_x64()

MODES = ("B+->K+", "B0->K*0")
KEPT = {True: "with_tree", False: "without_tree"}
_FILE = Path(__file__).parents[1] / "checkpoints" / "pairs.yaml"


@cache
def inputs():
    """Those of the checkpoints, whose B -> K form factors have the meson masses of the decay in z(q2) too."""
    sm = checkpoint_inputs()
    mesons = {"m_B": float(sm.m_Bp), "m_M": float(sm.m_Kp)}
    return dataclasses.replace(sm, B_to_K=dataclasses.replace(sm.B_to_K, **mesons))


def random_rows():
    """Gamma_V/m_V from 1e-8 to 1, V at thresholds of chi, at the ends and at that of the muon, one or two chi."""
    rng = np.random.default_rng(11)
    rows = []
    for k in range(12):
        m = [float(10 ** rng.uniform(-3, 0.3)), float(10 ** rng.uniform(-2, 0.3))][: 1 + k % 2]
        g_D = float(10 ** rng.uniform(-3.2, 0.55))
        m_V = [
            2 * m[0] * (1 + 10 ** rng.uniform(-4, 0.5)), 2 * m[0] * (1 + 1e-7), 2 * m[0] * (1 - 1e-7),
            4.785643 * (1 - 1e-5), 0.2113167 * (1 + 1e-6), float(rng.uniform(0.3, 6)),
        ][k // 2]  # fmt: skip
        rows.append(
            {
                "m_V": float(m_V), "g_mu_V": float(10 ** rng.uniform(-4, -1)), "r_AV": float(rng.uniform(-1, 1)),
                "g_D": g_D, "Q_Phi": 1.0, "r": [0.05, -0.03][: len(m)], "m_chi": m, "m_Phi": 1000.0,
                "width": ("constant", "running", "dispersive")[k % 3], "dipole": True, "eta7": 0.53,
            }
        )  # fmt: skip
    # As close to a threshold above that of the muon, and a V of great width and few muons.
    close = {"m_V": 3.488461178965977, "g_mu_V": 6.5e-4, "g_D": 0.79, "r": [0.07], "m_chi": [1.7442305858323497]}
    rows.append(rows[4] | close | {"width": "running"})
    return rows


def widths(row, tree):
    """GeV, of each of MODES, with Phi exchange or without it."""
    return {mode: float(integrated(row, mode, inputs(), tree)) for mode in MODES}


@cache
def table():
    """Every row with what it gives, under the names of KEPT."""
    return yaml.safe_load(_FILE.read_text())


def _write():
    rows = []
    for row in random_rows():
        rows.append(row | {name: widths(row, tree) for tree, name in KEPT.items()})
        print(rows[-1], flush=True)
    _FILE.write_text(yaml.safe_dump(rows, sort_keys=False))


if __name__ == "__main__":
    _write()
