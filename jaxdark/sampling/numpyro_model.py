"""The posterior as an ordinary NumPyro model: one sample site for each parameter, and one factor.

Inputs: a likelihood and a prior. Outputs: a function that NumPyro's MCMC, SVI, Predictive and its other tools take.
"""

from collections.abc import Callable, Mapping

import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior, Range, prior_of


def numpyro_model(like: Likelihood, prior: str | Prior = "high") -> Callable[[], Mapping[str, Float[Array, ""]]]:
    """NumPyro model of the posterior; call it inside a model of your own that has further sites.

    Sites: the prior's parameters by name, each with its `Range` as distribution; `xi`, standard-normal, shape
    (nuisances,), in mode "full"; the factor `log_likelihood`. A parameter that the prior fixes is a deterministic site.

    Args:
        like: the likelihood in either mode. In mode "marginalised" the theory covariance is that of its reference; take
            `like.at(model)` for another one than the Standard Model's.
        prior: as for `jaxdark.sample`.

    Returns:
        A function without arguments that returns the parameters by name.

    Raises:
        RequestError: there is no such region.
    """
    prior = prior_of(prior)

    def model() -> dict[str, Float[Array, ""]]:
        values = {name: _site(name, range_) for name, range_ in prior.ranges.items()}
        xi = None
        if like.theory == "full":
            xi = numpyro.sample("xi", dist.Normal(0.0, 1.0).expand([len(like.nuisance_names)]).to_event(1))
        numpyro.factor("log_likelihood", like(prior.model_at(values), xi))
        return values

    return model


def _site(name: str, range_: Range):
    """Uniform in the value or its logarithm; a negative parameter by the interval that it lies in."""
    if range_.lower == range_.upper:
        return numpyro.deterministic(name, range_.sign * range_.lower)
    if not range_.log:
        ends = sorted((range_.sign * range_.lower, range_.sign * range_.upper))
        return numpyro.sample(name, dist.Uniform(*ends))
    positive = dist.LogUniform(range_.lower, range_.upper)
    if range_.sign > 0:
        return numpyro.sample(name, positive)
    flip = dist.transforms.AffineTransform(0.0, -1.0, domain=positive.support)
    return numpyro.sample(name, dist.TransformedDistribution(positive, flip))
