"""Double precision before any test module is imported, Hypothesis profiles (HYPOTHESIS_PROFILE=nightly), fixtures."""

import os

import pytest
from hypothesis import settings

from jaxdark.precision import enable_x64

enable_x64()
settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def paper2020():
    """The likelihood of the largest data set: asymmetric errors, scans, every kind of row."""
    from jaxdark.likelihood.likelihood import Likelihood
    from jaxdark.measurements.dataset import load_dataset

    return Likelihood(load_dataset("paper2020"))
