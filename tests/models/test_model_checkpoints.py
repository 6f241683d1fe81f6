"""Section 2, (17) and (24) against the shared checkpoints, to their 1e-8 relative."""

import jax.numpy as jnp
import pytest
from near import near
from printed import printed

from jaxdark.models.coefficients import c9, c10, c_p
from jaxdark.models.loops import F9, G9, box_F, box_F_mixing, mixing_C1_box, penguin_loop
from jaxdark.models.muon_g2 import delta_a_mu
from jaxdark.models.split import g_tilde, width_total

PARAMETERS = ("m_V", "g_mu_V", "r_AV", "g_D", "r", "m_chi", "m_Phi")


def points(checkpoints):
    for row in checkpoints["points"]:
        yield row, printed(**{name: row[name] for name in PARAMETERS})


def test_loop_penguin(checkpoints):
    for row in checkpoints["loop_penguin"]:
        assert (F9(row["x"]), G9(row["x"])) == near((row["F9"], row["G9"]), rel=1e-8)
        assert penguin_loop(row["x"]) == near(row["F9"] + row["G9"], rel=1e-8)


def test_loop_mixing(checkpoints):
    for row in checkpoints["loop_mixing"]:
        assert box_F_mixing(row["x"], row["y"]) == near(row["F"], rel=1e-8)


def test_loop_box(checkpoints):
    for row in checkpoints["loop_box"]:
        assert box_F(row["x"], row["y"], row["z"]) == near(row["F"], rel=1e-8)


def test_g_tilde(checkpoints):
    for row in checkpoints["g_tilde_GeV^-2"]:
        model = printed(m_V=1, g_mu_V=0, r_AV=0, g_D=1, r=row["r"], m_chi=row["m_chi"], m_Phi=row["m_Phi"])
        assert g_tilde(model) == near(row["g_tilde"], rel=1e-8)


def test_width_and_coupling(checkpoints, checkpoint_sm):
    for row, model in points(checkpoints):
        assert width_total(model, checkpoint_sm) == near(row["Gamma_V_GeV"], rel=1e-8)
        assert g_tilde(model) == near(row["g_tilde_GeV^-2"], rel=1e-8)


@pytest.mark.parametrize("q2", ["0.5", "3.5", "17"])
@pytest.mark.parametrize(("name", "function"), [("C9", c9), ("C10", c10)])
def test_wilson_coefficients(checkpoints, checkpoint_sm, q2, name, function):
    for row, model in points(checkpoints):
        assert complex(function(float(q2), model, checkpoint_sm)) == near(complex(*row[f"{name}({q2})"]), rel=1e-8)


def test_coefficients_of_Bs_to_mumu(checkpoints, checkpoint_sm):
    q2 = checkpoint_sm.m_Bs**2
    for row, model in points(checkpoints):
        assert complex(c10(q2, model, checkpoint_sm)) == near(complex(*row["C10(MBs^2)"]), rel=1e-8)
        assert complex(c_p(q2, model, checkpoint_sm)) == near(complex(*row["C_P(MBs^2)_GeV^0"]), rel=1e-8)


def test_delta_a_mu_of_the_points(checkpoints, checkpoint_sm):
    for row, model in points(checkpoints):
        assert delta_a_mu(model, checkpoint_sm) == near(row["delta_a_mu"], rel=1e-8)


def test_delta_a_mu(checkpoints, checkpoint_sm):
    for row in checkpoints["amu"]:
        r_AV = row["g_mu_A"] / row["g_mu_V"]
        model = printed(m_V=row["m_V"], g_mu_V=row["g_mu_V"], r_AV=r_AV, g_D=1, r=1)
        assert delta_a_mu(model, checkpoint_sm) == near(row["delta_a_mu"], rel=1e-8)


def test_width_of_the_narrow_points(checkpoints, checkpoint_sm):
    for row in checkpoints["narrow"]:
        model = printed(m_V=row["m_V"], g_mu_V=row["g_mu_V"], r_AV=0, g_D=row["g_D"], r=1, m_chi=row["m_chi"])
        assert width_total(model, checkpoint_sm) == near(row["Gamma_V"], rel=1e-8)


def test_mixing_C1(checkpoints):
    for row in checkpoints["mixing_C1_TeV^-2"]:
        x = (jnp.array(row["m_chi"]) / row["m_Phi"]) ** 2
        assert 1e6 * mixing_C1_box(jnp.array(row["yy"]), x, row["m_Phi"]) == near(row["C1"], rel=1e-8)


def test_every_checkpoint_of_section_2_is_used(checkpoints):
    """A block added to the file must not go unnoticed; `relic` and the branching ratios belong to other modules."""
    assert set(checkpoints) == {
        *("about", "inputs", "loop_penguin", "loop_mixing", "loop_box", "g_tilde_GeV^-2"),
        *("points", "narrow", "amu", "mixing_C1_TeV^-2", "relic"),
    }
