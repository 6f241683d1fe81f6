import pytest

from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.measurements.dataset import load_dataset


@pytest.fixture(scope="session")
def paper2020():
    """The likelihood of the largest data set: asymmetric errors, scans, every kind of row."""
    return Likelihood(load_dataset("paper2020"))
