"""Speed of each family of observables and of the constraints, at random points of the prior in batches of 256.

`test_one_bin` integrates the full amplitude over one bin; `test_bins_from_tables` is what the likelihood does, here for
six bins of each family.
"""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from measure import prior_vectors

import jaxdark as jd
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.semileptonic.observables import ANGULAR_NAMES
from jaxdark.semileptonic.predictor import Predictor

NARROW = [(0.1, 0.98), (1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (15.0, 17.0), (17.0, 19.0)]


class Wanted(NamedTuple):
    """A row without a measurement."""

    process: str
    observable: str
    q2: tuple[float, float] | None


ONE_BIN = {
    "B->K mumu": lambda model, sm: jd.binned_dBR("B+->K+mumu", (1.1, 6.0), model, sm),
    "B->K* mumu": lambda model, sm: jd.binned_angular("B0->K*0mumu", (1.1, 6.0), model, sm),
    "R_K": lambda model, sm: jd.lepton_ratio("B+->K+", (1.1, 6.0), model, sm),
    "R_K*": lambda model, sm: jd.lepton_ratio("B0->K*0", (1.1, 6.0), model, sm),
    "Bs->phi mumu": lambda model, sm: jd.binned_dBR("Bs->phimumu", (1.1, 6.0), model, sm),
    "Bs->mumu": jd.br_bs_mumu,
    "B->K invisible": jd.br_k_invisible,
}
TABLES = {
    "B->K mumu": [Wanted("B+->K+mumu", "dBR", q2) for q2 in NARROW],
    "B->K* mumu": [Wanted("B0->K*0mumu", name, q2) for name in ANGULAR_NAMES for q2 in NARROW],
    "R_K": [Wanted("B+->K+ll", "R_K", (1.1, 6.0))],
    "R_K*": [Wanted("B0->K*0ll", "R_Kst", q2) for q2 in [(0.045, 1.1), (1.1, 6.0)]],
    "Bs->phi mumu": [Wanted("Bs->phimumu", "dBR", q2) for q2 in NARROW],
}


@pytest.mark.parametrize("family", ONE_BIN)
def test_one_bin(compiled_rate, prior, marginalised, quick, family):
    observable = ONE_BIN[family]
    vectors = prior_vectors(prior, 4 if quick else 256)
    compiled_rate(jax.vmap(lambda v: observable(prior.model(v), marginalised.sm)), vectors)


@pytest.mark.parametrize("observable", [jd.br_k_nunu, jd.br_kst_nunu], ids=["B->K nunu", "B->K* nunu"])
def test_neutrinos(compiled_rate, marginalised, quick, observable):
    """Functions of the inputs alone, which therefore make the batch: of constants the compiler computes the value."""
    n = 4 if quick else 256
    inputs = jax.tree.map(lambda a: np.broadcast_to(a, (n, *np.shape(a))), marginalised.sm)
    compiled_rate(jax.vmap(observable), inputs)


@pytest.mark.parametrize("family", TABLES)
def test_bins_from_tables(compiled_rate, prior, marginalised, quick, family):
    predictions = Predictor(TABLES[family], marginalised.sm).tabulated()
    vectors = prior_vectors(prior, 4 if quick else 256)
    compiled_rate(jax.vmap(lambda v: predictions(prior.model(v))), vectors)


@pytest.mark.parametrize("n", [1, 256, 1024])
def test_all_constraints(compiled_rate, prior, marginalised, quick, n):
    if quick and n > 1:
        pytest.skip("--quick")
    wanted = all_constraints(jd.DarkSector)
    function = jax.vmap(lambda v: verdicts(prior.model(v), marginalised.sm, wanted))
    compiled_rate(function, prior_vectors(prior, n))
