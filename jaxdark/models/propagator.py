"""Propagators of a vector whose width depends on q2.

Inputs: mass, couplings of the channels, q2. Outputs: P(q2) = 1/(q2 - m_V^2 + i G(q2)), its pole and what is smooth
about it: P = remainder/(q2 - pole).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.compute.roots import root
from jaxdark.models.loops import Scalar, even_polarisation, vacuum_polarisation

_STEPS = 8
"""Newton steps to the pole, from G = G(m_V^2)."""
LEAST_WIDTH = 1e-60
"""Least Gamma_V/m_V, far below that of any V that decays.

It serves a V of width 0, every channel of which is closed. Outside of a bin its pole is harmless at any width, while a
bin that holds it diverges if V couples to both its currents all the same: such a bin comes out huge, but finite.
"""


def pole_width(m_V: Float[Array, ""] | float, width: Float[Array, ""] | float) -> Float[Array, ""]:
    """m_V Gamma_V, GeV^2, of a mass and a width in GeV, with a width of at least `LEAST_WIDTH` times the mass."""
    return m_V * jnp.maximum(width, LEAST_WIDTH * m_V)


class RunningWidth(eqx.Module):
    """Channels of a width that runs with q2, and what they do to the propagator: Eq. (9) with m_V -> sqrt(q2).

    G(s) = sqrt(s) Gamma_V(s) = sum_i beta_i [(s + 2 m_i^2) g_V,i^2 + (s - 4 m_i^2) g_A,i^2]/(12 pi) above their
    thresholds. In the dispersive form the vector couplings `dispersive` have the real part of the one-loop self-energy
    as well: i G -> -(g^2/(2 pi^2)) s [K(s/m^2) - Re K(m_V^2/m^2)], K of `loops.vacuum_polarisation`.

    Attributes:
        mass: of the fermions of each channel, GeV, shape (channels,).
        vector: squared vector couplings of channels without a real part, shape (channels,).
        axial: squared axial-vector couplings, likewise.
        dispersive: squared vector couplings of channels with their real part, likewise.
        has_real_part: whether there are any of the latter.
    """

    mass: Float[Array, " channels"]
    vector: Float[Array, " channels"]
    axial: Float[Array, " channels"]
    dispersive: Float[Array, " channels"]
    has_real_part: bool = eqx.field(static=True, default=False)

    @property
    def thresholds(self) -> Float[Array, " channels"]:
        """4 m_i^2, GeV^2."""
        return 4 * self.mass**2

    def is_open(self, s: Float[Array, "*s"]) -> Bool[Array, "*s channels"]:
        """Which channels are open at s, GeV^2."""
        return s[..., None] > self.thresholds

    def absorptive(self, s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """sqrt(s) Gamma_V(s) at s > 0, GeV^2."""
        total = jnp.zeros_like(s)
        vectors = self.vector + (self.dispersive if self.has_real_part else 0.0)
        # One channel after the other: a sum over a short axis would compute what stands before it several times.
        for mass, vector, axial in zip(self.mass, vectors, self.axial, strict=True):
            above = s - 4 * mass**2
            beta = jnp.sqrt(jnp.where(above > 0, above, s) / s)
            total += jnp.where(above > 0, beta * ((s + 2 * mass**2) * vector + above * axial), 0.0)
        return total / (12 * jnp.pi)

    def real_part(self, s: Float[Array, "*s"], m_V: Scalar) -> Float[Array, "*s"]:
        """What the dispersive form adds to s - m_V^2, GeV^2; vanishes at s = m_V^2."""
        if not self.has_real_part:
            return jnp.zeros_like(s)
        difference = _real_K(s[..., None], self.mass) - _real_K(m_V**2, self.mass)
        return -s * (difference @ self.dispersive) / (2 * jnp.pi**2)

    def divided_difference(
        self, s: Float[Array, "*s"], s0: Float[Array, "*#s"], g: Float[Array, "*#s"]
    ) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
        """[G(s) - G(pole)]/(s - pole) of the running form at pole = s0 - i g, dimensionless, real and imaginary part.

        Without a difference of close numbers: as beta^2(s) - beta^2(pole) = 4 m^2 (s - pole)/(s pole), that of
        (s + c) beta is beta + (pole + c) 4 m^2/[s pole (beta(s) + beta(pole))]. In real arithmetic, which is what the
        nodes of many panels are fastest in.
        """
        pole = jax.lax.complex(s0, -g)
        real, imaginary = jnp.zeros_like(s), jnp.zeros_like(s)
        for mass, vector, axial in zip(self.mass, self.vector, self.axial, strict=True):
            threshold = 4 * mass**2
            is_open = s > threshold
            beta = jnp.sqrt(jnp.where(is_open, s - threshold, s) / s)
            at_pole = root(1 - threshold / pole)
            strength = (vector * (pole + threshold / 2) + axial * (pole - threshold)) * threshold / pole
            both = beta + at_pole.real
            inverse = jnp.where(is_open, 1 / (s * (both**2 + at_pole.imag**2)), 0.0)
            real += jnp.where(is_open, (vector + axial) * beta, 0.0)
            real += (strength.real * both + strength.imag * at_pole.imag) * inverse
            imaginary += (strength.imag * both - strength.real * at_pole.imag) * inverse
        return real / (12 * jnp.pi), imaginary / (12 * jnp.pi)

    def velocities(self, s: Complex[Array, "*s"], is_open: Bool[Array, "*s channels"]) -> Complex[Array, "*s channels"]:
        """sqrt(1 - 4 m_i^2/s) of open channels as they continue from real s to complex s below; 1 for closed ones."""
        return root(jnp.where(is_open, 1 - self.thresholds / s[..., None], 1.0))

    def continued(
        self,
        s: Complex[Array, "*s"],
        beta: Complex[Array, "*s channels"],
        is_open: Bool[Array, "*s channels"],
        m_V: Scalar,
    ) -> tuple[Complex[Array, "*s"], Complex[Array, "*s"]]:
        """`real_part` and G(s) as they continue from real s, where the channels `is_open` are open, GeV^2.

        Args:
            s: complex, GeV^2.
            beta: velocities of the open channels, which choose the sheet, see `velocities`.
            is_open: which ones are open.
            m_V: mass of V, GeV.
        """
        far = s[..., None]
        vectors = self.vector + (self.dispersive if self.has_real_part else 0.0)
        G = beta * ((far + 2 * self.mass**2) * vectors + (far - self.thresholds) * self.axial)
        G = jnp.where(is_open, G, 0.0).sum(-1) / (12 * jnp.pi)
        if not self.has_real_part:
            return jnp.zeros_like(s), G
        K = even_polarisation(s, self.mass, beta, is_open) - _real_K(m_V**2, self.mass)
        return -(s / (2 * jnp.pi**2)) * (K @ self.dispersive.astype(complex)), G


class Propagator(eqx.Module):
    """P(s) = 1/(s - m_V^2 + i G(s)) at real s = q2, GeV^-2, G = m_V Gamma_V or that of a `RunningWidth`.

    Attributes:
        m_V: mass, GeV.
        width: running, or constant in GeV.
    """

    m_V: Float[Array, ""] | float
    width: RunningWidth | Float[Array, ""] | float

    def inverse(self, s: Float[Array, "*s"]) -> Complex[Array, "*s"]:
        """1/P(s), GeV^2."""
        s = jnp.asarray(s, float)
        distance = s - self.m_V**2
        if not isinstance(self.width, RunningWidth):
            return jax.lax.complex(distance, jnp.broadcast_to(pole_width(self.m_V, self.width), jnp.shape(distance)))
        G = jnp.maximum(self.width.absorptive(s), LEAST_WIDTH * self.m_V**2)
        return jax.lax.complex(distance + self.width.real_part(s, self.m_V), G)

    def __call__(self, s: Float[Array, "*s"]) -> Complex[Array, "*s"]:
        """P(s)."""
        return 1 / self.inverse(s)

    def pole(self, s: Float[Array, "*s"]) -> tuple[Float[Array, "*#s"], Float[Array, "*#s"]]:
        """s0 and g > 0 of the pole s0 - i g, GeV^2, that the propagator has as it continues from real s.

        Channels that are closed at s have no part in it, so that P (s - pole) is smooth around s up to the thresholds.
        """
        if not isinstance(self.width, RunningWidth):
            return self.m_V**2, pole_width(self.m_V, self.width)
        s = jnp.asarray(s, float)
        is_open, m2 = self.width.is_open(s), jnp.broadcast_to(self.m_V**2, s.shape)
        start = jax.lax.complex(m2, -jnp.maximum(self.width.absorptive(m2), LEAST_WIDTH * m2))
        held, start = stop_gradient((self, start))
        found = jax.lax.fori_loop(0, _STEPS, lambda _, z: held._newton(z, is_open), start)
        # The last two steps carry first and second derivatives of the pole, which the others need not.
        pole = self._newton(self._newton(found, is_open), is_open)
        return pole.real, jnp.maximum(-pole.imag, LEAST_WIDTH * m2)

    def _newton(self, z: Complex[Array, "*s"], is_open: Bool[Array, "*s channels"]) -> Complex[Array, "*s"]:
        def inverse(z):
            real, G = self.width.continued(z, self.width.velocities(z, is_open), is_open, self.m_V)
            return z - self.m_V**2 + real + 1j * G

        value, slope = jax.jvp(inverse, (z,), (jnp.ones_like(z),))
        found = z - value / slope
        # Never on the real axis, where a threshold may be, at which the velocity has no derivative.
        least = LEAST_WIDTH * self.m_V**2
        return jax.lax.complex(found.real, jnp.where(jnp.abs(found.imag) < least, -least, found.imag))

    def remainder(
        self, s: Float[Array, "*s"], s0: Float[Array, "*#s"], g: Float[Array, "*#s"]
    ) -> tuple[Float[Array, "*s"], Float[Array, "*s"]] | tuple[float, float]:
        """P(s) (s - s0 + i g) with the pole that belongs to real s, dimensionless, real and imaginary part.

        The numbers (1, 0) for a constant width. The running form in divided differences, which keep their digits next
        to the pole of a narrow V.
        """
        if not isinstance(self.width, RunningWidth):
            return 1.0, 0.0
        if self.width.has_real_part:
            product = jax.lax.complex(s - s0, jnp.broadcast_to(g, s.shape)) * self(s)
            return product.real, product.imag
        X, Y = self.width.divided_difference(s, s0, g)
        size = (1 - Y) ** 2 + X**2
        return (1 - Y) / size, -X / size


def _masses_or_one(m: Float[Array, " channels"]) -> tuple[Bool[Array, " channels"], Float[Array, " channels"]]:
    massless = m == 0
    return massless, jnp.where(massless, 1.0, m)


def _real_K(s: Float[Array, "*s"], m: Float[Array, " channels"]) -> Float[Array, "*s channels"]:
    """Re K(s/m^2); for m = 0, where it grows without bounds, ln(s)/6, which has the same differences."""
    massless, m = _masses_or_one(m)
    return jnp.where(massless, jnp.log(s) / 6, vacuum_polarisation(s / m**2).real)
