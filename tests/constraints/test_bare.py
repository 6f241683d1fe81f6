"""Readings of (g-2) beside the fit: couplings are chosen for a shift, the verdict on it is written down by hand."""

import numpy as np
import pytest
from near import near
from printed import printed

from jaxdark.constraints.without_limit import constraints
from jaxdark.inputs import load_inputs

SM = load_inputs()


def shifted(wanted):
    """A model of a heavy V with this shift: (g_V^2 - 5 g_A^2) M_mu^2/(12 pi^2 m_V^2), up to (M_mu/m_V)^2 ln m_V."""
    m_V = 2000.0
    per_coupling = SM.m_mu**2 / (12 * np.pi**2 * m_V**2)
    g_V, r_AV = (np.sqrt(wanted / per_coupling), 0.0) if wanted > 0 else (np.sqrt(-wanted / (4 * per_coupling)), 1.0)
    return printed(m_V=m_V, g_mu_V=g_V, r_AV=r_AV, g_D=1.0, r=1.0)


def verdict(wanted, reading):
    return next(iter(constraints(reading))).verdict(shifted(wanted), SM)


@pytest.mark.parametrize("pull", [-3.0, -1.0, 0.5, 2.5])
def test_the_measurement_is_two_sigma_wide(pull):
    """27.4(7.6) 10^-10, half of the interval on either side; the limit shown is the end on the value's side."""
    found = verdict(2.74e-9 + pull * 0.76e-9, "measurement")
    assert found.ratio == near(abs(pull) / 2, rel=1e-5)
    assert found.limit == near(2.74e-9 + np.sign(pull) * 1.52e-9, rel=1e-12)


@pytest.mark.parametrize(("wanted", "limit", "upper"), [(6e-9, 1.5, 1.5), (-6e-9, 1.5, 0.0), (-1e-9, 0.25, 0.0)])
def test_the_limit_is_on_the_magnitude_or_on_positive_shifts(wanted, limit, upper):
    """Of 4 10^-9."""
    assert verdict(wanted, "limit").ratio == near(limit, rel=1e-5)
    assert verdict(wanted, "upper").ratio == near(upper, rel=1e-5)
