"""Comparison of draws with known moments, within the Monte Carlo error that their own effective size gives."""

import numpy as np

from jaxdark.sampling.diagnostics import summarised

SIGMAS = 4.0


def mean_and_error(values):
    """Mean of draws (chains, draws) and its standard error."""
    row = summarised({"value": np.asarray(values)})["value"]
    return row["mean"], row["sd"] / np.sqrt(row["ess_bulk"])


def assert_mean(values, expected, label=""):
    """The mean of draws (chains, draws) is the expected one within four of its errors."""
    mean, error = mean_and_error(values)
    assert abs(mean - expected) < SIGMAS * error, f"{label}: {mean} +- {error}, expected {expected}"


def assert_moments(draws, mean, covariance):
    """Means and all second moments about the known mean, of draws (chains, draws, n)."""
    departure = draws - mean
    for i in range(len(mean)):
        assert_mean(draws[..., i], mean[i], f"mean {i}")
        for j in range(i + 1):
            assert_mean(departure[..., i] * departure[..., j], covariance[i, j], f"covariance {i} {j}")
