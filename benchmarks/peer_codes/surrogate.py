"""The strongest opponent we know of: the likelihood of constant C9 and C10 as plain NumPy, without any of our tables.

Every bin integral is a quadratic polynomial in (C9, C10), so that six evaluations of the amplitudes fix its
coefficients. A batch of points is then one matrix product for all numerators and denominators, their ratios, the
residuals, and one product with the whitening matrix. Arrays are (rows, points), so that rows of a kind are contiguous.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

import jaxdark as jd
from jaxdark.semileptonic.amplitudes import J_NAMES, decay_at
from jaxdark.semileptonic.bins import integrated_rates, make_panels
from jaxdark.semileptonic.kinematics import CHANNELS

# What is made of the J_i beside them.
COMBINATIONS = {
    "rate": {"1s": 1.5, "1c": 0.75, "2s": -0.5, "2c": -0.25},
    "AFB": {"6s": -0.75, "6c": -0.375},
    "minus 2c": {"2c": -1.0},
}
# Observable: the integral above, its factor, and what it is divided by.
RATIOS = {
    "FL": ("minus 2c", 1.0, "rate"),
    "AFB": ("AFB", 1.0, "rate"),
    **{f"S{i}": (i, sign, "rate") for i, sign in zip("345789", (1, -1, 1, -1, 1, -1), strict=True)},
    "P1": ("3", 0.5, "2s"),
    "P2": ("6s", -0.125, "2s"),
    "P3": ("9", 0.25, "2s"),
}
# The same for what is divided by the root of J_2s times -J_2c.
ROOTS = {"P4p": ("4", -0.5), "P5p": ("5", 0.5), "P6p": ("7", -0.5), "P8p": ("8", 0.5)}
STEMS = {"B+->K+ll": "B+->K+", "B0->K*0ll": "B0->K*0", "B+->K*+ll": "B0->K*0"}
_FIT_POINTS = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)], float)


def monomials(points: np.ndarray) -> np.ndarray:
    """1, C9, C10, C9^2, C9 C10, C10^2 of points (n, 2), shape (6, n)."""
    c9, c10 = points.T
    return np.stack([np.ones_like(c9), c9, c10, c9 * c9, c9 * c10, c10 * c10])


def _coefficients(function) -> np.ndarray:
    """Coefficients (n, 6) of n quadratic polynomials, from a function of `NewPhysics`."""
    values = jax.vmap(lambda p: function(jd.NewPhysics(jd.Contact(C9=p[0], C10=p[1]))))
    return np.linalg.solve(monomials(_FIT_POINTS).T, np.asarray(jax.jit(values)(_FIT_POINTS))).T


def bin_integrals(rows, sm) -> dict[tuple[str, tuple[float, float]], dict[str, np.ndarray]]:
    """Coefficients of every integral by process and bin, then by its name, (6,)."""
    bins: dict[str, dict[tuple[float, float], None]] = {}
    for row in rows:
        stem = STEMS.get(row.process)
        for process in [row.process] if stem is None else [f"{stem}mumu", f"{stem}ee"]:
            if row.q2 is not None:
                bins.setdefault(process, {})[row.q2] = None
    found = {}
    for process, edges in bins.items():
        channel = CHANNELS[process]
        panels = make_panels(list(edges), channel, sm)
        decay = decay_at(panels.nodes, channel, sm)
        flat = _coefficients(lambda p, d=decay, panels=panels: integrated_rates(p, d, panels, sm).ravel())
        for q2, J in zip(edges, flat.reshape(len(edges), -1, 6), strict=True):
            found[process, q2] = _named(J) if channel.spin else {"rate": J[0]}
    return found


def _named(J: np.ndarray) -> dict[str, np.ndarray]:
    known = dict(zip(J_NAMES, J, strict=True))
    return known | {name: sum(f * known[i] for i, f in parts.items()) for name, parts in COMBINATIONS.items()}


class Surrogate:
    """Log-likelihood of points (n, 2) of (C9, C10) for a likelihood in mode "marginalised"."""

    def __init__(self, like: jd.Likelihood):
        rows = like.data.rows
        self._sm, self._integrals = like.sm, bin_integrals(rows, like.sm)
        kinds = [0 if self._is_polynomial(row) else 1 if row.observable in RATIOS else 2 for row in rows]
        order = np.argsort(kinds, kind="stable")
        self._counts = np.bincount(kinds, minlength=3)
        self._spline_of = {int(np.flatnonzero(order == i)[0]): spline for i, spline in like.residuals._scans.items()}
        parts = [self._polynomials(rows[i]) for i in order]
        # numerators of all rows, then the single denominators of ratios, then the two factors below each root
        above = [part[0] for part in parts]
        below = [part[1] for part in parts if len(part) == 2]
        first, second = ([part[k] for part in parts if len(part) == 3] for k in (1, 2))
        self._C = np.array(above + below + first + second)
        column = lambda values: np.array(values)[order][:, None]  # noqa: E731
        self._value = column([row.value for row in rows])
        self._plus, self._minus = (
            column([getattr(row, f"error_{side}") for row in rows]) for side in ("plus", "minus")
        )
        self._W = np.ascontiguousarray(like.whitening[:, order])

    def _is_polynomial(self, row) -> bool:
        return row.q2 is None or row.observable.startswith("R_") or row.process.endswith("ee")

    def _polynomials(self, row) -> tuple[np.ndarray, ...]:
        """(numerator,), (numerator, denominator) or (numerator, factor, factor): the row is n, n/d or n/sqrt(f f)."""
        if row.q2 is None:
            return (_coefficients(lambda physics: jd.br_bs_mumu(physics, self._sm)[None])[0],)
        if row.observable.startswith("R_"):
            muons, electrons = (self._integrals[STEMS[row.process] + l, row.q2]["rate"] for l in ("mumu", "ee"))
            return (muons / electrons[0],)
        I = self._integrals[row.process, row.q2]
        if row.observable in RATIOS:
            above, factor, below = RATIOS[row.observable]
            parts = factor * I[above], I[below]
        else:
            above, factor = ROOTS[row.observable]
            parts = factor * I[above], I["2s"], I["minus 2c"]
        return parts if row.process.endswith("mumu") else (_constant(parts),)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Log-likelihood, (n,)."""
        n_polynomial, n_ratio, n_root = self._counts
        n_rows, roots = n_polynomial + n_ratio + n_root, n_polynomial + n_ratio
        all_ = self._C @ monomials(points)
        P, below = all_[:n_rows], all_[n_rows:]
        P[n_polynomial:roots] /= below[:n_ratio]
        product = below[n_ratio : n_ratio + n_root]
        product *= below[n_ratio + n_root :]
        P[roots:] /= np.sqrt(product, out=product)
        whitened = self._W @ self._residuals(P)
        return -0.5 * np.einsum("rn,rn->n", whitened, whitened)

    def _residuals(self, P: np.ndarray) -> np.ndarray:
        """z of `jaxdark.likelihood.residuals`; overwrites the predictions."""
        scans = {k: _spline(spline, P[k]) for k, spline in self._spline_of.items()}
        P -= self._value
        t = P + self._minus
        t /= self._plus + self._minus
        np.clip(t, 0.0, 1.0, out=t)
        switch = t * 6.0
        switch -= 15.0
        switch *= t
        switch += 10.0
        switch *= t
        switch *= t
        switch *= t
        switch *= self._plus - self._minus
        switch += self._minus
        P /= switch
        for k, z in scans.items():
            P[k] = z
        return P


def _constant(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """Polynomial of a row of electrons, which feel no new physics."""
    above, *below = (part[0] for part in parts)
    value = above / (below[0] if len(below) == 1 else np.sqrt(below[0] * below[1]))
    return value * np.eye(6)[0]


def _spline(spline, x: np.ndarray) -> np.ndarray:
    """A cubic spline, continued straight beyond its ends."""
    knots, c = spline.x, spline.c
    inside = np.clip(x, knots[0], knots[-1])
    piece = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
    step = inside - knots[piece]
    value = ((c[0, piece] * step + c[1, piece]) * step + c[2, piece]) * step + c[3, piece]
    return value + np.where(x < knots[0], spline(knots[0], 1), spline(knots[-1], 1)) * (x - inside)


def in_batches(surrogate: Surrogate, points: np.ndarray, batch: int, threads: int) -> np.ndarray:
    """The same for many points, batch by batch, in threads: NumPy lets go of the interpreter's lock in its loops."""
    parts = [points[start : start + batch] for start in range(0, len(points), batch)]
    if threads == 1:
        return np.concatenate([surrogate(part) for part in parts])
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(surrogate, parts)))
