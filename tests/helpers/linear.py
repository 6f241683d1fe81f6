"""A likelihood whose every number has a closed form: predictions linear in two parameters and three nuisances.

predictions = CENTRE + DESIGN (C9, C10) + SLOPES xi, Gaussian errors SIGMA with correlation CORRELATION, xi standard
normal. Residuals, whitening, terms and densities are those of `Likelihood` itself; only the predictions are made up.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

import jaxdark as jd
from jaxdark.constraints.terms import Terms
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.nuisance_profile import Linearised
from jaxdark.likelihood.priors import Prior, Range
from jaxdark.likelihood.residuals import Residuals
from jaxdark.measurements.dataset import DataSet
from jaxdark.optimise.descents import Solutions
from jaxdark.optimise.region_fit import Modes, RegionFit

_ROW = np.arange(10)
DESIGN = 0.8 * np.stack([np.cos(2.4 * _ROW), np.sin(2.4 * _ROW)], axis=1)
SLOPES = np.stack([0.2 * np.cos(_ROW), 0.15 * np.sin(2 * _ROW), np.zeros(10)], axis=1)
CENTRE = 0.1 * np.sin(_ROW)
VALUES = CENTRE + DESIGN @ [-0.4, 0.3] + 0.2 * np.cos(3 * _ROW)
SIGMA = 0.25 + 0.01 * _ROW
CORRELATION = (-0.5) ** np.abs(_ROW[:, None] - _ROW)
NUISANCES = ("first", "second", "idle")
PRIOR = Prior("all", {"C9": Range(-1.4, 0.6), "C10": Range(-0.7, 1.3)}, jd.ConstantWilson, "constant")
EXPERIMENT = np.outer(SIGMA, SIGMA) * CORRELATION
TOTAL = EXPERIMENT + SLOPES @ SLOPES.T
"""Covariances of the rows, without and with that of the theory."""


class LinearLikelihood(Likelihood):
    """See the module."""

    nuisance_names = NUISANCES

    def __init__(self, theory="marginalised"):
        rows = jd.load_dataset("paper2020").rows[: len(VALUES)]
        rows = tuple(
            replace(row, value=v, error_plus=s, error_minus=s, scan=None)
            for row, v, s in zip(rows, VALUES.tolist(), SIGMA.tolist(), strict=True)
        )
        self.data = DataSet("linear", "A linear toy", "mean", rows, CORRELATION, "0" * 64)
        self.theory, self.g_minus_2, self.reference = theory, "limit", None
        self.sm, self.residuals, self.terms_beside = jd.load_inputs(), Residuals(rows), Terms()

    def predictions(self, model, xi=None):
        parameters = jnp.stack([model.C9, model.C10]) if isinstance(model, jd.ConstantWilson) else jnp.zeros(2)
        return CENTRE + DESIGN @ parameters + SLOPES @ (jnp.zeros(len(NUISANCES)) if xi is None else xi)

    def _linearise(self, model):
        def at(xi):
            with jax.ensure_compile_time_eval():  # the whitening may be wanted first while a program is traced
                predictions = np.asarray(self.predictions(model, xi))
                z = np.asarray(self.residuals(predictions))
                return Linearised(predictions, SLOPES, z, 1 / SIGMA, np.zeros((0, len(NUISANCES))))

        return at, 0.0


def fitted():
    """The fit of the region, from the normal equations."""
    like = LinearLikelihood()
    mean, _ = posterior()
    best = np.asarray(PRIOR.cube(mean))
    minima = Solutions(best[None], np.array([-2 * float(like(PRIOR.model(mean)))]), np.zeros(1), np.zeros(1, int))
    log_likelihood = -0.5 * float(minima.chi2[0])
    return RegionFit(
        like,
        mean,
        mean,
        log_likelihood,
        values=None,
        minima=minima,
        search=None,
        modes=Modes(*minima[:2], minima.chi2),
        settled=True,
    )


def posterior(rows=slice(None)):
    """Mean and covariance of the parameters from some of the rows; the prior's ends are far away."""
    precision = np.linalg.inv(TOTAL[rows][:, rows])
    covariance = np.linalg.inv(DESIGN[rows].T @ precision @ DESIGN[rows])
    return covariance @ DESIGN[rows].T @ precision @ (VALUES - CENTRE)[rows], covariance


def log_marginal(parameters):
    """Log-likelihood with the nuisances integrated, in the normalisation of `Likelihood`: 0 for what fits exactly."""
    distance = VALUES - CENTRE - DESIGN @ parameters
    return -0.5 * distance @ np.linalg.solve(TOTAL, distance)


def log_evidence():
    """Log of the prior mean of exp(log_marginal)."""
    mean, covariance = posterior()
    volume = np.prod([r.upper - r.lower for r in PRIOR.ranges.values()])
    return log_marginal(mean) - np.log(volume) - multivariate_normal(cov=covariance).logpdf([0.0, 0.0])
