"""Simulation-based calibration: does the posterior contain the truth as often as it says (Talts et al., 1804.06788)?

Inputs: standardised residuals as a function of prior quantiles. Outputs: for pseudo-data of many true points, the
posterior probability below the truth, parameter by parameter; uniform on (0, 1) if all is right.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri
from scipy.stats import kstest

from jaxdark.compute.batch import batched
from jaxdark.compute.bounds import checked_seed
from jaxdark.errors import RequestError
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, prior_points
from jaxdark.precision import usual_rules
from jaxdark.sampling.density import transported
from jaxdark.sampling.diagnostics import summarised
from jaxdark.sampling.flow import prior_map, trained
from jaxdark.sampling.importance import ImportanceSample, effective_size
from jaxdark.sampling.nuts import NutsSettings, dispersed_init_params, run_nuts

MIN_ESS = 400
"""Data sets whose posterior the fixed points resolve worse are passed over. That is a choice by the data alone, and the
truth is distributed like the posterior whatever the data, so the ranks stay uniform."""
_BLOCK = 50
_MOST_TRIED = 50
"""Data sets tried for each that is wanted."""
_TRAINING = 1500
_NUTS = NutsSettings(warmup=100, draws=500)

Residuals = Callable[[Float[Array, " d"]], Float[Array, " k"]]


class Calibration(NamedTuple):
    """Ranks of the truth.

    Attributes:
        names: of the parameters.
        ranks: posterior probability below the truth, (data sets, d).
        ess: effective size of each data set's posterior.
        tried: data sets made, those passed over included.
    """

    names: tuple[str, ...]
    ranks: Float[np.ndarray, "n d"]
    ess: Float[np.ndarray, " n"]
    tried: int

    @property
    def p_values(self) -> dict[str, float]:
        """Kolmogorov-Smirnov probability of ranks less uniform than these, for each parameter."""
        return {
            name: float(kstest(column, "uniform").pvalue) for name, column in zip(self.names, self.ranks.T, strict=True)
        }


def residuals_of(like: Likelihood, prior: Prior) -> Residuals:
    """Whitened residuals as a function of prior quantiles, see `Likelihood.whitened_residuals`.

    Pseudo-data are shifts of this vector; asymmetric errors keep the shape they have around the measurement.

    Raises:
        RequestError: the likelihood is not in mode "marginalised", or takes (g-2) as an upper limit, which is no
            measurement that could have come out otherwise.
    """
    if like.theory != "marginalised" or like.g_minus_2 == "upper":
        raise RequestError(
            "pseudo-data need the theory marginalised and (g-2) as limit or measurement, got "
            f"{like.theory} and {like.g_minus_2}"
        )
    return lambda u: jnp.concatenate(list(like.whitened_residuals(prior.model(prior.vector(u))).values()))


@usual_rules()
def calibrate(
    residuals: Residuals,
    names: tuple[str, ...],
    *,
    n: int = 200,
    method: Literal["importance", "nuts"] = "importance",
    n_samples: int = 2**18,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Ranks of true points drawn from the prior in the posteriors of pseudo-data made from them.

    Predictions do not depend on the data, so those of one fixed set of prior points serve every data set.

    Args:
        residuals: of prior quantiles, traceable; pseudo-data are normal shifts of it, see `residuals_of`.
        names: of the parameters.
        n: data sets kept.
        method: "importance", the fixed points weighted; or "nuts", chains in a map trained on them, thinned to their
            effective size.
        n_samples: fixed points, a power of two.
        seed: fixes the result.
        report: called with (data sets done, n).

    Raises:
        RequestError: the points resolve the posteriors of too few data sets.
    """
    seed = checked_seed(seed)
    d, generator, on_host = len(names), np.random.default_rng(seed), batched(residuals)
    u = prior_points(d, n_samples, seed)
    table = on_host(u)
    half_squares = 0.5 * np.einsum("nk,nk->n", table, table)
    posterior = _by_nuts(residuals, names, seed) if method == "nuts" else _below
    ranks, sizes, tried = [], [], 0
    while True:
        truths = generator.random((_BLOCK, d))
        data = on_host(truths) + generator.normal(size=(_BLOCK, table.shape[1]))
        for truth, shift in zip(truths, data, strict=True):
            if len(ranks) == n:
                return Calibration(names, np.array(ranks), np.array(sizes), tried)
            if tried == _MOST_TRIED * n:
                raise RequestError(
                    f"expected points that resolve the posterior of one data set in {_MOST_TRIED}, got {len(ranks)} of "
                    f"{tried} with {n_samples} points; increase n_samples"
                )
            tried += 1
            log_likelihood = table @ shift - half_squares - 0.5 * shift @ shift
            if (ess := effective_size(log_likelihood)) < MIN_ESS:
                continue
            ranks.append(posterior(ImportanceSample(u, log_likelihood, log_likelihood), truth, shift))
            sizes.append(ess)
            if report is not None:
                report(len(ranks), n)


def _below(sample: ImportanceSample, truth: Float[np.ndarray, " d"], shift: np.ndarray) -> Float[np.ndarray, " d"]:
    return sample.probability @ (sample.u < truth)


def _by_nuts(residuals: Residuals, names: tuple[str, ...], seed: int):
    """The same probability from chains; one compiled program serves every data set."""

    def log_likelihood(u, shift):
        return -0.5 * jnp.sum((residuals(u) - shift) ** 2)

    def log_density(z, transport, shift, log_best):
        return transported(lambda u: log_likelihood(u, shift))(z, transport, log_best)

    image = batched(lambda transport, z: transport.forward(z)[0])

    def below(sample: ImportanceSample, truth, shift):
        x = ndtri(sample.resampled(2**14, seed))
        transport = trained(prior_map(len(names), seed=seed), x, jax.random.key(seed), _TRAINING, 1e-2)
        init_params = dispersed_init_params(sample, transport, 4, seed=seed)
        best = float(sample.log_likelihood.max())
        draws = run_nuts(log_density, init_params, (transport, shift, best), seed=seed, settings=_NUTS).draws
        u = image(transport, draws.z.reshape(-1, len(names))).reshape(draws.z.shape)
        rows = summarised({name: u[..., i] for i, name in enumerate(names)})
        ess = min(min(row["ess_bulk"], row["ess_tail"]) for row in rows.values())
        thinned = u[:, :: max(1, math.ceil(u[..., 0].size / ess))].reshape(-1, len(names))
        # the middle of the rank of the truth among the draws
        return ((thinned < truth).sum(axis=0) + 0.5) / (len(thinned) + 1)

    return below
