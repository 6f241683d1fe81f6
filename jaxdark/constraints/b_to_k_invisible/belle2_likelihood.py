"""Belle II's likelihood of B+ -> K+ nu nu (arXiv:2311.14647 and 2507.12393).

Inputs: signal yields and nuisances. Outputs: log L, its maximum, and expansions of its profile. Five channels of 30
counts, 51 nuisances theta shared among their samples and 180 factors gamma for the size of the simulated samples, from
data/limits/belle2_knunu.yaml. Too slow for draws: those take the `Expansions` of its profile.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from jaxdark.compute.aot import AotFunction
from jaxdark.inputs import read_data

N_Q2_BINS = 100
# Where the profile is expanded: best fits of the SM spectrum with V added as a line (q2 in GeV^2, branching ratio) or
# as a spectrum of null * q2^2, that of a heavy V. Chosen for the spectra of Eq. (22) to need no other.
_LINES, _HEAVY = ((0.81, 3e-6), (6.76, 3e-6), (9.0, 1e-5)), 5e-5
_FLAT = 1e4  # variance of the strength in a step, in place of none


class Histograms(NamedTuple):
    """The likelihood file as arrays; a row is one bin of one sample of one channel, the 18 rows of the signal last.

    Attributes:
        observed: counts, shape (bins,).
        channel_of: name of the channel of each bin, shape (bins,).
        bin_of: bin of each row, shape (rows,).
        yields, stat: nominal events, and relative error from the size of the simulation, shape (rows,).
        shifts: change of the yields per theta in events, shape (rows, thetas).
        names: of the thetas.
        scaling: which thetas scale yields, shape (n,).
        log_low, log_high: logarithms of their factors at theta = -1 and +1, shape (rows, n).
        undefined: signal events of no generated q2, shape (signal,).
        per_br: signal events per branching ratio in each bin of generated q2, shape (signal, q2_bins).
        null: branching ratio in the bins of q2 of the spectrum that the simulation had, shape (q2_bins,).
        q2: edges of those bins, GeV^2, shape (q2_bins + 1,).
    """

    observed: np.ndarray
    channel_of: np.ndarray
    bin_of: np.ndarray
    yields: np.ndarray
    stat: np.ndarray
    shifts: np.ndarray
    names: tuple[str, ...]
    scaling: np.ndarray
    log_low: np.ndarray
    log_high: np.ndarray
    undefined: np.ndarray
    per_br: np.ndarray
    null: np.ndarray
    q2: np.ndarray

    @property
    def nominal_signal(self) -> np.ndarray:
        """Signal yields at mu = 1, shape (signal,)."""
        return self.yields[-len(self.undefined) :]

    def signal(self, br: Float[Array, " q2_bins"]) -> Float[Array, " signal"]:
        """Signal yields of a spectrum: its branching ratios in the bins of q2."""
        return self.undefined + self.per_br @ br


@cache
def histograms() -> Histograms:
    """The likelihood file as arrays."""
    data = read_data("limits/belle2_knunu.yaml")
    channels, density = data["channels"], data["number_density"]
    starts = np.cumsum([0, *(len(channel["observed"]) for channel in channels)])
    blocks = [
        (start, sample) for start, channel in zip(starts[:-1], channels, strict=True) for sample in channel["samples"]
    ]
    blocks.sort(key=lambda block: block[1]["name"] == "signal")
    names = tuple(dict.fromkeys(n for _, sample in blocks for n in (*sample.get("norm", {}), *sample.get("shift", {}))))
    n_rows = sum(len(sample["yield"]) for _, sample in blocks)
    shifts, log_low, log_high = np.zeros((3, n_rows, len(names)))
    first = 0
    for _, sample in blocks:
        rows = slice(first, first + len(sample["yield"]))
        for name, values in sample.get("shift", {}).items():
            shifts[rows, names.index(name)] = values
        for name, factors in sample.get("norm", {}).items():
            log_low[rows, names.index(name)], log_high[rows, names.index(name)] = np.log(factors)
        first = rows.stop
    scaling = np.flatnonzero(log_low.any(0))
    yields = np.concatenate([sample["yield"] for _, sample in blocks])
    tables = [density[channel["id"]] for channel in channels if channel["id"] in density]
    padded = [row + [0.0] * (N_Q2_BINS - len(row)) for table in tables for row in table["density"]]
    null = 1e-8 * np.array(data["sm_signal"]["br_per_q2_bin_1e-8"])
    edges = density["q2_edges"]
    return Histograms(
        observed=np.concatenate([channel["observed"] for channel in channels]).astype(float),
        channel_of=np.repeat([channel["id"] for channel in channels], np.diff(starts)),
        bin_of=np.concatenate([start + np.arange(len(sample["yield"])) for start, sample in blocks]),
        yields=yields,
        stat=np.concatenate([sample["stat"] for _, sample in blocks]) / yields,
        shifts=shifts,
        names=names,
        scaling=scaling,
        log_low=log_low[:, scaling],
        log_high=log_high[:, scaling],
        undefined=1e-3 * np.concatenate([table["undefined_q2"] for table in tables]),
        per_br=1e-3 * np.array(padded) / null,
        null=null,
        q2=np.linspace(edges["first"], edges["last"], N_Q2_BINS + 1),
    )


def log_likelihood(
    signal: Float[Array, " signal"],
    theta: Float[Array, " thetas"],
    gamma: Float[Array, " rows"],
    used: Float[Array, " bins"] | float = 1.0,
) -> Float[Array, ""]:
    """Log-likelihood, all constants included; that of arXiv:2507.12393 for signal = mu * nominal_signal.

    A signal of another spectrum keeps the relative errors of the SM signal in each bin.

    Args:
        signal: signal yields at nominal nuisances, events, in the order of `Histograms.undefined`.
        theta: shared nuisances, standard normal.
        gamma: factors on the yields, normal around 1 with the widths `Histograms.stat`.
        used: 1 for the bins whose counts enter and 0 for the others.
    """
    data = histograms()
    expected = expected_counts(signal, theta, gamma)
    poisson = used * (data.observed * jnp.log(expected) - expected - gammaln(data.observed + 1))
    pulls = jnp.concatenate([theta, (gamma - 1) / data.stat])
    return poisson.sum() - 0.5 * (pulls**2).sum() - 0.5 * len(pulls) * np.log(2 * np.pi) - np.log(data.stat).sum()


def expected_counts(signal, theta, gamma) -> Float[Array, " bins"]:
    """Expected counts of all bins; arguments as in `log_likelihood`."""
    data = histograms()
    factors = interpolated(jnp.asarray(theta)[data.scaling], data.log_low, data.log_high).prod(-1)
    scale = jnp.concatenate([np.ones(len(data.yields) - len(signal)), signal / data.nominal_signal])
    rows = scale * factors * gamma * (data.yields + data.shifts @ theta)
    return (data.bin_of == np.arange(len(data.observed))[:, None]).astype(float) @ rows


def interpolated(theta, log_low, log_high):
    """Exponential beyond |theta| = 1, and between the polynomial of sixth order that joins on twice differentiably."""
    k = np.arange(1, 7.0)
    up = np.stack([np.ones(6), k, k * (k - 1)])
    down = up * (-1.0) ** (k - np.arange(3)[:, None])
    high, low = np.exp(log_high), np.exp(log_low)
    conditions = [high - 1, log_high * high, log_high**2 * high, low - 1, -log_low * low, log_low**2 * low]
    coefficients = np.tensordot(np.linalg.inv(np.concatenate([up, down])), np.stack(conditions), 1)
    inside = jnp.clip(theta, -1.0, 1.0)
    polynomial = 1 + sum(c * inside**n for n, c in enumerate(coefficients, start=1))
    beyond = jnp.exp(jnp.where(theta > 0, theta * log_high, -theta * log_low))
    return jnp.where(jnp.abs(theta) < 1, polynomial, beyond)


class Fit(NamedTuple):
    """Maximum of the likelihood: strength of the signal, pulls of (theta, gamma) in their widths, and log L."""

    strength: float
    pulls: np.ndarray
    log_likelihood: float


def best_fit(signal: Float[np.ndarray, " signal"], strength: float | None = None, tag: str | None = None) -> Fit:
    """Fit of strength * signal and all nuisances by Gauss-Newton steps, to a slope of 1e-8; on concrete numbers only.

    Args:
        signal: signal yields at strength 1, events.
        strength: fixed to this value; None to fit it.
        tag: "ita" or "hta" for the channels of the inclusive or the hadronic tag alone; None for all.
    """
    data = histograms()
    used = np.char.startswith(data.channel_of, tag or "").astype(float)
    z = np.append(1.0 if strength is None else strength, np.zeros(len(data.names) + len(data.yields)))
    spread = np.append(_FLAT if strength is None else 0.0, np.ones(len(z) - 1))
    cost, slope, step = _newton_step(z, signal, spread, used)
    for _ in range(200):
        if np.abs(slope[spread > 0]).max() < 1e-8:
            break
        while not (trial := _newton_step(z + step, signal, spread, used))[0] <= cost + 1e-10:
            step = step / 2
        z, (cost, slope, step) = z + step, trial
    return Fit(float(z[0]), z[1:], -float(cost))


def _at_pulls(pulls):
    data = histograms()
    n = len(data.names)
    return pulls[:n], 1 + data.stat * pulls[n:]


def _cost(z, signal, used):
    return -log_likelihood(z[0] * signal, *_at_pulls(z[1:]), used)


def _newton_steps(z, signal, spread, used):
    """Cost, slope and step, for a curvature without second derivatives of the counts, which is positive."""

    def counts(z):
        return expected_counts(z[0] * signal, *_at_pulls(z[1:]))

    cost, slope = jax.value_and_grad(_cost)(z, signal, used)
    jacobian = used[:, None] * jax.jacfwd(counts)(z)
    covariance = jnp.diag(counts(z) ** 2 / histograms().observed) + (jacobian * spread) @ jacobian.T
    flattest = spread * slope
    return cost, slope, spread * (jacobian.T @ jnp.linalg.solve(covariance, jacobian @ flattest)) - flattest


_newton_step = AotFunction(_newton_steps)


class Expansions(NamedTuple):
    """Expansions of the profile likelihood to second order in the signal, around several best fits.

    Around fit k, log L = const + slope[k] S - S curvature[k] S / 2 for signal yields S.

    Attributes:
        centre, slope: shape (fits, signal); the fit of the SM spectrum is first.
        curvature: shape (fits, signal, signal).
        undefined, per_br: as in `Histograms`.
        q2: edges of the bins of generated q2, GeV^2.
    """

    centre: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    undefined: np.ndarray
    per_br: np.ndarray
    q2: np.ndarray


def expansions() -> Expansions:
    """The content of data/limits/belle2_knunu.npz, written with `numpy.savez(path, **expansions()._asdict())`."""
    data = histograms()
    spectra = [data.null]
    for q2, br in _LINES:
        spectra.append(data.null + br * (np.arange(N_Q2_BINS) == np.searchsorted(data.q2, q2) - 1))
    heavy = data.null * (data.q2[1:] + data.q2[:-1]) ** 2
    spectra.append(data.null + _HEAVY * heavy / heavy.sum())
    around = [_expansion(data.signal(spectrum)) for spectrum in spectra]
    return Expansions(*(np.stack(field) for field in zip(*around, strict=True)), data.undefined, data.per_br, data.q2)


def _expansion(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, slope and curvature of the profile around the best fit of a signal's strength."""
    fit, n = best_fit(signal), len(signal)
    centre = fit.strength * signal
    slope, hessian = _hessian(np.concatenate([centre, fit.pulls]))
    profiled = hessian[:n, :n] - hessian[:n, n:] @ np.linalg.solve(hessian[n:, n:], hessian[n:, :n])
    return centre, profiled @ centre - slope[:n], profiled


def _hessians(x):
    n = len(histograms().undefined)

    def cost(x):
        return -log_likelihood(x[:n], *_at_pulls(x[n:]))

    return jax.grad(cost)(x), jax.hessian(cost)(x)


_hessian = AotFunction(_hessians)
