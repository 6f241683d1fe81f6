"""Learned transport map: a standard normal z in R^d to prior quantiles u distributed nearly like the posterior.

Inputs: a log-likelihood. Outputs: an invertible, differentiable map z -> u. It is one triangular (Knothe-Rosenblatt)
layer in normal quantiles x of u, x_i = spline(z_i; x_1 .. x_(i-1)), with monotone rational-quadratic splines (Durkan et
al., arXiv:1906.04032), trained by maximum likelihood on posterior draws, which covers every mode, and refined on
importance samples of its own image. The untrained map is the prior, z = x.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, Key
from scipy.special import ndtri as scipy_ndtri

from jaxdark.compute.batch import HostFunction, batched
from jaxdark.likelihood.priors import prior_points
from jaxdark.sampling.importance import (
    ImportanceSample,
    Progress,
    checked,
    effective_size,
    mixture_sample,
    resampled_indices,
    sample_prior,
)

RANGE = 4.5
"""The splines act on (-RANGE, RANGE) and are the identity outside, where the prior has 7e-6 of its mass."""
_MIN_BIN = 1e-3
_MIN_SLOPE = 1e-3
_SLOPE_SHIFT = math.log(math.expm1(1.0 - _MIN_SLOPE))
_HARMONICS = tuple(k * math.pi / RANGE for k in (1, 2, 3))


class Knots(NamedTuple):
    """Bins of a monotone spline, each (bins,): left and right edges in z and x, slopes dx/dz there."""

    z0: Float[Array, " bins"]
    z1: Float[Array, " bins"]
    x0: Float[Array, " bins"]
    x1: Float[Array, " bins"]
    slope0: Float[Array, " bins"]
    slope1: Float[Array, " bins"]


def knots(raw: Float[Array, " n"]) -> Knots:
    """Bins from 3 bins - 1 unconstrained numbers; zeros give the identity."""
    bins = (len(raw) + 1) // 3

    def edges(logits):
        widths = _MIN_BIN + (1.0 - _MIN_BIN * bins) * jax.nn.softmax(logits)
        right = RANGE * (2.0 * jnp.cumsum(widths) - 1.0)
        return jnp.concatenate([jnp.full(1, -RANGE, raw.dtype), right[:-1]]), right

    slopes = _MIN_SLOPE + jax.nn.softplus(raw[2 * bins :] + _SLOPE_SHIFT)
    one = jnp.ones(1, raw.dtype)
    return Knots(
        *edges(raw[:bins]), *edges(raw[bins : 2 * bins]), jnp.concatenate([one, slopes]), jnp.concatenate([slopes, one])
    )


def _bin_of(value: Float[Array, ""], left: Float[Array, " bins"], table: Knots) -> Knots:
    """The one bin whose left edge is the last below value: a masked sum, since gathers have slow gradients."""
    chosen = jnp.arange(len(left)) == jnp.maximum(jnp.sum(value >= left) - 1, 0)
    return Knots(*(jnp.sum(jnp.where(chosen, column, 0.0)) for column in table))


def _log_slope(b: Knots, t: Float[Array, ""]) -> Float[Array, ""]:
    """log dx/dz at the fraction t of bin b."""
    mean = (b.x1 - b.x0) / (b.z1 - b.z0)
    denominator = mean + (b.slope0 + b.slope1 - 2.0 * mean) * t * (1.0 - t)
    numerator = b.slope1 * t**2 + 2.0 * mean * t * (1.0 - t) + b.slope0 * (1.0 - t) ** 2
    return jnp.log(mean**2 * numerator / denominator**2)


def spline(z: Float[Array, ""], table: Knots) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Rational-quadratic spline x(z) and log dx/dz; the identity outside (-RANGE, RANGE)."""
    inside = jnp.abs(z) < RANGE
    b = _bin_of(jnp.where(inside, z, 0.0), table.z0, table)
    mean = (b.x1 - b.x0) / (b.z1 - b.z0)
    t = (jnp.where(inside, z, b.z0) - b.z0) / (b.z1 - b.z0)
    rise = (mean * t**2 + b.slope0 * t * (1.0 - t)) / (mean + (b.slope0 + b.slope1 - 2.0 * mean) * t * (1.0 - t))
    return jnp.where(inside, b.x0 + (b.x1 - b.x0) * rise, z), jnp.where(inside, _log_slope(b, t), 0.0)


def inverse_spline(x: Float[Array, ""], table: Knots) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """z(x) and log dz/dx: the root of a quadratic in the bin of x."""
    inside = jnp.abs(x) < RANGE
    b = _bin_of(jnp.where(inside, x, 0.0), table.x0, table)
    mean = (b.x1 - b.x0) / (b.z1 - b.z0)
    step = jnp.where(inside, x, b.x0) - b.x0
    excess = b.slope0 + b.slope1 - 2.0 * mean
    quadratic = (b.x1 - b.x0) * (mean - b.slope0) + step * excess
    linear = (b.x1 - b.x0) * b.slope0 - step * excess
    discriminant = jnp.maximum(linear**2 + 4.0 * quadratic * mean * step, 0.0)
    # linear > 0 inside a bin, so this form of the root never cancels
    t = 2.0 * mean * step / (linear + jnp.sqrt(discriminant))
    return jnp.where(inside, b.z0 + (b.z1 - b.z0) * t, x), jnp.where(inside, -_log_slope(b, t), 0.0)


class TransportMap(eqx.Module):
    """Triangular map from standard normal coordinates z to prior quantiles u, both (d,).

    Attributes: weights of one small network per coordinate, with the leading axis d; coordinate i sees x_1 .. x_(i-1).
    """

    w1: Float[Array, "d inputs hidden"]
    b1: Float[Array, "d hidden"]
    w2: Float[Array, "d hidden hidden"]
    b2: Float[Array, "d hidden"]
    w3: Float[Array, "d hidden outputs"]
    b3: Float[Array, "d outputs"]

    def _knots(self, x: Float[Array, " d"]) -> Knots:
        """Spline table of one coordinate (self without the axis d) from x, in which coordinates not seen are zero."""
        # sines vanish at zero like x itself, so the unseen coordinates stay unseen; cosines would not matter
        features = jnp.concatenate([x, *(jnp.sin(k * x) for k in _HARMONICS)])
        hidden = jnp.tanh(features @ self.w1 + self.b1)
        hidden = jnp.tanh(hidden @ self.w2 + self.b2)
        return knots(hidden @ self.w3 + self.b3)

    def forward(self, z: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """Prior quantiles u(z) and log |du/dz|."""
        x = jnp.zeros_like(z)
        log_slope = 0.0
        for i in range(len(z)):
            x_i, slope_i = spline(z[i], jax.tree.map(lambda a, i=i: a[i], self)._knots(x.clip(-RANGE, RANGE)))
            x, log_slope = x.at[i].set(x_i), log_slope + slope_i
        return ndtr(x), log_slope + _log_normal(x)

    def inverse(self, u: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """Normal coordinates z(u) and log |dz/du|."""
        x = ndtri(u)
        z, log_slope = self._inverse_normal(x)
        return z, log_slope - _log_normal(x)

    def _inverse_normal(self, x: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        seen = np.tril(np.ones((len(x), len(x)), bool), -1)
        table = jax.vmap(lambda net, s: net._knots(jnp.where(s, x.clip(-RANGE, RANGE), 0.0)))(self, seen)
        z, log_slope = jax.vmap(inverse_spline)(x, table)
        return z, jnp.sum(log_slope)

    def log_density(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """Log-density at u of the image of the standard normal, relative to the prior (uniform on the cube)."""
        return self._relative_log_density(ndtri(u))

    def _relative_log_density(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        z, log_slope = self._inverse_normal(x)
        return _log_normal(z) + log_slope - _log_normal(x)


def _log_normal(x: Float[Array, " d"]) -> Float[Array, ""]:
    return -0.5 * jnp.sum(x**2) - 0.5 * len(x) * math.log(2.0 * math.pi)


def prior_map(dimension: int, *, seed: int = 0, hidden: int = 32, bins: int = 8) -> TransportMap:
    """Untrained map: u is the normal probability of z, the image is the prior. Float64 weights."""
    inputs, outputs = (1 + len(_HARMONICS)) * dimension, 3 * bins - 1
    k1, k2, k3 = jax.random.split(jax.random.key(seed), 3)
    return TransportMap(
        w1=2.0 * jax.random.normal(k1, (dimension, inputs, hidden)) / np.sqrt(inputs),
        b1=jax.random.normal(k2, (dimension, hidden)),
        w2=jax.random.normal(k3, (dimension, hidden, hidden)) / np.sqrt(hidden),
        b2=jnp.zeros((dimension, hidden)),
        w3=jnp.zeros((dimension, hidden, outputs)),
        b3=jnp.zeros((dimension, outputs)),
    )


_image = batched(TransportMap.forward)
_log_density = batched(TransportMap.log_density)


@partial(jax.jit, static_argnames=("batch",))
def trained(
    transport: TransportMap,
    x: Float[Array, "n d"],
    key: Key[Array, ""],
    steps: int,
    rate: float,
    *,
    batch: int = 256,
) -> TransportMap:
    """Map after `steps` Adam steps on the mean log-density of random batches of the draws x (normal quantiles).

    Weights are trained in float32, at half the cost. The learning rate rises over 100 steps and falls to zero along a
    cosine.
    """
    single = jax.tree.map(lambda a: a.astype(jnp.float32), transport)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
    x = x.astype(jnp.float32)

    def loss(candidate, points):
        return -jnp.mean(jax.vmap(candidate._relative_log_density)(points))

    def step(i, carry):
        candidate, state = carry
        points = x[jax.random.randint(jax.random.fold_in(key, i), (batch,), 0, len(x))]
        update, state = optimizer.update(jax.grad(loss)(candidate, points), state)
        size = rate * jnp.minimum(1.0, (i + 1) / 100) * 0.5 * (1.0 + jnp.cos(np.pi * i / steps))
        candidate = jax.tree.map(lambda p, g: p - size.astype(p.dtype) * g, candidate, update)
        return candidate, state

    result, _ = jax.lax.fori_loop(0, steps, step, (single, optimizer.init(single)))
    return jax.tree.map(lambda a, b: a.astype(b.dtype), result, transport)


class TrainedFlow(NamedTuple):
    """A trained map and what it was judged by.

    Attributes:
        transport: the map.
        sample: importance sample over points of the prior and of the map's image together.
        efficiencies: effective size per point of the image of each round's map; 1 for a perfect map.
    """

    transport: TransportMap
    sample: ImportanceSample
    efficiencies: tuple[float, ...]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` takes, by name."""
        weights = {name: np.asarray(value) for name, value in vars(self.transport).items()}
        return {**weights, **self.sample._asdict(), "efficiencies": np.array(self.efficiencies)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TrainedFlow":
        """The same from its arrays."""
        weights = {field.name: jnp.asarray(arrays[field.name]) for field in fields(TransportMap)}
        sample = ImportanceSample(*(arrays[name] for name in ImportanceSample._fields))
        return cls(TransportMap(**weights), sample, tuple(arrays["efficiencies"].tolist()))


class TrainingRound(NamedTuple):
    """One round of training: Adam steps, then the number of points drawn from the map's image."""

    steps: int
    n_image: int


EXPLORATION = TrainingRound(500, 2**14)
REFINEMENT = (TrainingRound(1000, 2**15), TrainingRound(1000, 2**16), TrainingRound(2000, 2**16))
_TRAINING_SIZE = 4000.0
_MAX_EXPLORATIONS = 8


def train_flow(
    log_likelihood: HostFunction,
    dimension: int,
    *,
    seed: int,
    n_prior: int = 2**17,
    exploration: TrainingRound = EXPLORATION,
    refinement: tuple[TrainingRound, ...] = REFINEMENT,
    progress: Progress | None = None,
) -> TrainedFlow:
    """Train a map on the weighted prior, then on importance samples of its own image; no gradient of the likelihood.

    Each round trains on the present sample, draws points of the new map's image and weighs them and the prior's points
    against their mixture. Rounds of exploration, at most 8, go on until the effective size reaches 4000; until then
    the weights are tempered to that size, so that no handful of points is learnt by heart. Then comes refinement.

    Args:
        log_likelihood: host function of (n, d) points, from `batched`.
        dimension: d.
        seed: fixes the result.
        n_prior: points of the prior, a power of two.
        exploration: one round of it.
        refinement: its rounds.
        progress: called with (likelihood points done, all that are foreseen).

    Raises:
        RequestError: the log-likelihood is NaN somewhere.
    """
    ahead = [exploration, *refinement]

    def report(done: int) -> None:
        if progress is not None:
            progress(done, max(n_prior, done) + sum(r.n_image for r in ahead))

    prior = sample_prior(log_likelihood, dimension, n=n_prior, seed=seed, progress=lambda done, _: report(done))
    transport, pool, efficiencies, done = prior_map(dimension, seed=seed), prior, (), n_prior
    while ahead:
        current, k = ahead.pop(0), len(efficiencies)
        draws = pool.u[resampled_indices(tempered(pool.log_weight, _TRAINING_SIZE), 2**16, seed + k)]
        key = jax.random.fold_in(jax.random.key(seed), k)
        transport = trained(transport, scipy_ndtri(draws), key, current.steps, 1e-2)
        image = sample_image(log_likelihood, transport, current.n_image, seed=seed + k)
        efficiencies += (image.ess / current.n_image,)
        pool = _pool(prior, image, transport)
        if len(ahead) == len(refinement) and pool.ess < _TRAINING_SIZE and k + 1 < _MAX_EXPLORATIONS:
            ahead.insert(0, exploration)
        done += current.n_image
        report(done)
    return TrainedFlow(transport, pool, efficiencies)


def _pool(prior: ImportanceSample, image: ImportanceSample, transport: TransportMap) -> ImportanceSample:
    """Points of the prior and of a map's image against their mixture."""
    of_image = np.concatenate([_log_density(transport, prior.u), image.log_likelihood - image.log_weight])
    return mixture_sample([prior, image], [np.zeros(len(of_image)), of_image])


def sample_image(log_likelihood: HostFunction, transport: TransportMap, n: int, *, seed: int) -> ImportanceSample:
    """Importance sample of n points drawn from the map's image (quasi-random, n a power of two)."""
    z = scipy_ndtri(prior_points(len(transport.b1), n, seed))
    u, log_slope = _image(transport, z)
    values = checked(log_likelihood(u), u)
    log_density = -0.5 * np.sum(z**2, axis=1) - 0.5 * z.shape[1] * math.log(2.0 * math.pi) - log_slope
    return ImportanceSample(u, values, values - log_density)


def tempered(log_weight: Float[np.ndarray, " n"], minimum: float) -> Float[np.ndarray, " n"]:
    """The weights to the highest power in (0, 1] that keeps the effective size at the minimum."""
    if effective_size(log_weight) >= minimum:
        return log_weight
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective_size(middle * log_weight) >= minimum else (low, middle)
    return low * log_weight
