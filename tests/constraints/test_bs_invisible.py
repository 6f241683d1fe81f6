"""B_s -> chi chi against the shared checkpoints."""

import jax
import numpy as np
import pytest
from complete_points import checkpoint_inputs, checkpoints, model_of
from near import near

from jaxdark.constraints.bs_invisible import br_bs_chichi, bs_invisible, constraints
from jaxdark.models.split import SplitDarkSector

SM = checkpoint_inputs()


@pytest.mark.parametrize("row", checkpoints()["points"], ids=lambda row: f"{row['m_V']:.3g}")
def test_checkpoints(row):
    assert br_bs_chichi(model_of(row), SM) == near(row["BR_Bs_chichi"], rel=1e-12)


def of_yy(yy, m_chi, m_Phi=1000.0, **more):
    values = {"m_V": 5.0, "g_mu_V": 0.1, "r_AV": 0.0, "g_D": 2.0, "Q_Phi": 0.5, "r": yy, "m_chi": m_chi, "m_Phi": m_Phi}
    return SplitDarkSector(**(values | {"physics": "complete"} | more))


@pytest.mark.parametrize("row", checkpoints()["tree_only_mPhi_1TeV"], ids=lambda row: f"{row['m_chi']}")
def test_table(row):
    """Per |yy|^2 at 1 TeV, and (TeV/m_Phi)^4; V has no part in it."""
    assert br_bs_chichi(of_yy(1.0, row["m_chi"]), SM) == near(row["BR_Bs_per_yy2"], rel=1e-12)
    changed = of_yy(-0.3, row["m_chi"], m_Phi=2000.0, m_V=0.9, g_mu_V=0.0)
    assert br_bs_chichi(changed, SM) == near(0.09 / 16 * row["BR_Bs_per_yy2"], rel=1e-12)


def test_verdict():
    """|yy| < 0.36 to 0.5 where B -> K chi chi is closed, 2.39 to 2.68 GeV; nothing at and above M_Bs/2."""
    largest = [1 / np.sqrt(bs_invisible(of_yy(1.0, m), SM).ratio) for m in (2.4, 2.6)]
    assert largest == near([0.366, 0.454], abs=1e-3)
    assert br_bs_chichi(of_yy(1.0, float(SM.m_Bs) / 2), SM) == br_bs_chichi(of_yy(1.0, 3.0), SM) == 0
    (entry,) = constraints()
    assert (entry.id, entry.applied, entry.quality) == ("bs_invisible", False, "unverified")
    assert entry.verdict(of_yy(1.0, 2.5), SM).limit == near(5.6e-4)


def test_without_the_tree():
    for model in (of_yy(1.0, 2.5, physics="paper"), of_yy(1.0, 2.5, tree=False)):
        assert tuple(map(float, bs_invisible(model, SM))) == (0, np.inf, 0)


def test_gradients():
    """In yy quadratic; in m_chi by differences; 0 where it is closed."""

    def br(yy, m):
        return br_bs_chichi(of_yy(yy, m), SM)

    by_yy, by_m = jax.grad(br, (0, 1))(0.3, 2.5)
    h = 1e-4
    a, b, c, d = (float(br(0.3, 2.5 + k * h)) for k in (-2, -1, 1, 2))
    assert by_yy == near(2 * float(br(0.3, 2.5)) / 0.3, rel=1e-12)
    assert by_m == near((a - 8 * b + 8 * c - d) / (12 * h), rel=1e-8)
    for m in (0.0, float(SM.m_Bs) / 2, 3.0):
        assert np.isfinite(jax.grad(br, (0, 1))(0.3, m)).all()
