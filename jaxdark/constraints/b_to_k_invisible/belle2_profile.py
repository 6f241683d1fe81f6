"""The profile of Belle II's likelihood of B+ -> K+ nu nu over all its nuisances, as a pure function of the signal.

Inputs: signal yields in the 18 bins that hold signal. Outputs: 2 ln of the likelihood ratio to the saturated model,
with derivatives. The 180 factors for the size of the simulated samples are eliminated in closed form, bin by bin; what
is left, 51 nuisances that act on 30 counts, is minimised by Gauss-Newton steps in the space of the counts.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from jaxdark.constraints.b_to_k_invisible.belle2_likelihood import histograms, interpolated

_STEPS, _LONGEST = 5, 2.0
"""Gauss-Newton steps from nominal nuisances, and how far one may take any of them."""
_SOLVED, _MOST_ROUNDS = 1e-5, 30
"""Share of the right-hand side that conjugate gradients may leave, and how many rounds they may take."""
_RATES, _TINY = (-0.8, 0.6), 1e-30
"""Ratios of one step to the next that are believed, and what stands for the square of a step of no length."""
LOWEST = 18.11886
"""`profile_deviance` of the branching ratios, not negative, that fit best: 1.5e-4 in five of the 100 bins of q2."""


class _Slots(NamedTuple):
    """The rows of `Histograms` as a rectangle: bins times the most rows that a bin has, zeros where it has fewer.

    Attributes:
        yields, stat: nominal events and relative errors from the size of the simulation, shape (bins, slots).
        shifts: change of the yields per theta, events, shape (bins, slots, thetas).
        scaled: 1 where a theta scales a row, shape (bins, slots, thetas).
        pattern: which of the `patterns` scales a row, one-hot, shape (bins, slots, patterns).
        patterns: sets of scaling thetas that scale a row together, shape (patterns, scaling).
        log_low, log_high: logarithms of the factors of the scaling thetas, shape (scaling,).
        signal: place of the signal's rows, flat in (bins, slots), shape (signal,).
    """

    yields: np.ndarray
    stat: np.ndarray
    shifts: np.ndarray
    scaled: np.ndarray
    pattern: np.ndarray
    patterns: np.ndarray
    log_low: np.ndarray
    log_high: np.ndarray
    signal: np.ndarray


@cache
def _slots() -> _Slots:
    data = histograms()
    n_bins, n_rows = len(data.observed), len(data.yields)
    slot = np.array([np.count_nonzero(data.bin_of[:row] == data.bin_of[row]) for row in range(n_rows)])
    at = data.bin_of, slot
    shape = n_bins, slot.max() + 1

    def placed(rows: np.ndarray) -> np.ndarray:
        found = np.zeros(shape + rows.shape[1:])
        found[at] = rows
        return found

    touched = data.log_high != 0
    patterns, pattern_of = np.unique(touched, axis=0, return_inverse=True)
    scaled = np.zeros(data.shifts.shape)
    scaled[:, data.scaling] = touched
    return _Slots(
        yields=placed(data.yields),
        stat=placed(data.stat),
        shifts=placed(data.shifts),
        scaled=placed(scaled),
        pattern=placed(np.eye(len(patterns))[pattern_of.ravel()]),
        patterns=patterns,
        log_low=data.log_low.min(0),
        log_high=data.log_high.max(0),
        signal=np.ravel_multi_index(at, shape)[-len(data.undefined) :],
    )


class _Rows(NamedTuple):
    """Rows at some nuisances: the change of their yields with a theta is `per_shift` times the shift, for shifts, and
    `events` times `log_slopes` for the thetas that scale.
    """

    events: Float[Array, "bins slots"]
    per_shift: Float[Array, "bins slots"]
    log_slopes: Float[Array, " scaling"]


def _rows(theta: Float[Array, " thetas"], signal: Float[Array, " signal"]) -> _Rows:
    slots, data = _slots(), histograms()

    def factors(scaling):
        return interpolated(scaling, slots.log_low, slots.log_high)

    scaling = theta[data.scaling]
    by_theta, slopes = jax.jvp(factors, (scaling,), (jnp.ones_like(scaling),))
    by_row = slots.pattern @ jnp.where(slots.patterns, by_theta, 1.0).prod(-1)
    of_signal = jnp.ones(slots.yields.size).at[slots.signal].set(signal / data.nominal_signal)
    per_shift = by_row * of_signal.reshape(slots.yields.shape)
    return _Rows(per_shift * (slots.yields + slots.shifts @ theta), per_shift, slopes / by_theta)


class _Bins(NamedTuple):
    """Half deviance of each bin with the sizes of the samples at their best, its slope in the expected counts and the
    inverse of its curvature.
    """

    cost: Float[Array, " bins"]
    slope: Float[Array, " bins"]
    spread: Float[Array, " bins"]


def _bins(rows: _Rows) -> _Bins:
    """min over d of d^2/(2 A) + Poisson(n; lambda + d), A the variance of the counts from the size of the samples.

    The minimum has nu = lambda + d with nu^2 + (A - lambda) nu = n A; its slope in lambda is 1 - n/nu and the inverse
    of its curvature A + nu^2/n.
    """
    n = histograms().observed
    expected, variance = rows.events.sum(-1), ((_slots().stat * rows.events) ** 2).sum(-1)
    off = expected - variance
    root = jnp.sqrt(off**2 + 4 * n * variance)
    best = jnp.where(off > 0, (off + root) / 2, 2 * n * variance / (root - off))
    cost = (best - expected) ** 2 / (2 * variance) + best - n - n * jnp.log(best / n)
    return _Bins(cost, 1 - n / best, variance + best**2 / n)


def _cost(theta: Float[Array, " thetas"], signal: Float[Array, " signal"]) -> Float[Array, ""]:
    """Half the deviance, with the sizes of the samples at their best."""
    return _bins(_rows(theta, signal)).cost.sum() + 0.5 * theta @ theta


@cache
def _responses() -> np.ndarray:
    """Shifts, and which thetas scale, one above the other: shape (bins, 2 slots, thetas)."""
    return np.concatenate([_slots().shifts, _slots().scaled], axis=1)


def _step(theta: Float[Array, " thetas"], signal: Float[Array, " signal"]) -> Float[Array, " thetas"]:
    """theta after a Gauss-Newton step of nuisances and sample sizes together, the latter eliminated.

    With B and r the slopes of the counts in theta and of the cost in the counts, both at the best sizes and in units of
    the spread, the step ends at B^T (1 + B B^T)^-1 (B theta - r). That is 30 equations, not 51, and positive whatever
    the signal is. Half a dozen eigenvalues are far from 1: conjugate gradients take some twelve rounds. LAPACK, which
    shares out a batch among XLA's threads, would wait for itself where a program runs on each of these.
    """
    rows = _rows(theta, signal)
    bins = _bins(rows)
    sizes = 1 - bins.slope[:, None] * _slots().stat ** 2 * rows.events
    weights = jnp.concatenate([sizes * rows.per_shift, sizes * rows.events], axis=1)
    in_own_units = jnp.ones(theta.shape).at[histograms().scaling].set(rows.log_slopes)
    unit = jnp.sqrt(bins.spread)
    B = jnp.einsum("bk,bkt->bt", weights, _responses()) * in_own_units / unit[:, None]
    solution, _ = cg(lambda x: x + B @ (x @ B), B @ theta - unit * bins.slope, tol=_SOLVED, maxiter=_MOST_ROUNDS)
    away = solution @ B - theta
    return theta + away * jnp.minimum(1.0, _LONGEST / jnp.abs(away).max())


@jax.custom_jvp
def _best_theta(signal: Float[Array, " signal"]) -> Float[Array, " thetas"]:
    def one_step(state, _):
        theta, last, _ = state
        step = _step(theta, signal) - theta
        return (theta + step, step, step @ last / jnp.maximum(last @ last, _TINY)), None

    nominal = jnp.zeros(len(histograms().names))
    (theta, step, rate), _ = jax.lax.scan(one_step, (nominal, nominal, 0.0), length=_STEPS)
    # The steps go on as a geometric series, often of alternating sign: its sum.
    rate = jnp.clip(rate, *_RATES)
    return theta + rate / (1 - rate) * step


@_best_theta.defjvp
def _best_theta_jvp(primals, tangents):
    """By the implicit function theorem, with the full matrix of second derivatives."""
    (signal,), (change,) = primals, tangents
    theta = _best_theta(signal)
    slope_change = jax.jvp(lambda signal: jax.grad(_cost)(theta, signal), (signal,), (change,))[1]
    return theta, -jnp.linalg.solve(jax.hessian(_cost)(theta, signal), slope_change)


@jax.custom_jvp
def profile_deviance(signal: Float[Array, " signal"]) -> Float[Array, ""]:
    """2 (ln L of the saturated model - ln L of a signal with all 231 nuisances at their best), positive.

    The saturated model has the observed counts and no pulls. Against `belle2_likelihood.best_fit` at strength 1 the
    value is too large by less than 1e-3 up to 60, by less than 1e-2 up to 100, and between 100 and 300 by less than
    1e-3 of itself in eight of ten spectra. No spectrum has less than `LOWEST`, the Standard Model has 34. Signals of
    thousands of events have several minima, of which the one reached may lie far above the lowest one: their value
    says no more than that they are excluded.

    Gradients are the slope at fixed nuisances (envelope theorem); second derivatives hold as well.

    Args:
        signal: yields at nominal nuisances, events, not negative, in the order of `Histograms.undefined`, shape (18,).
    """
    return 2 * _cost(_best_theta(signal), signal)


@profile_deviance.defjvp
def _profile_deviance_jvp(primals, tangents):
    (signal,), (change,) = primals, tangents
    value, slope = jax.value_and_grad(_cost, argnums=1)(_best_theta(signal), signal)
    return 2 * value, 2 * slope @ change
