"""Poles of V in spectra of chi pairs: where they are, their residues, and what nodes that do not know V miss of them.

Inputs: a dark-sector point, nodes. Outputs: corrections of the integrals over panels.

In the variable y = sqrt(s - S^2) of each point S at which a channel opens, 1/P is analytic, and two of its zeros count:
that of V, and next to S that on the other sheet of the channel. A rate is Re[L P] + Q |P|^2 with L and Q analytic, and
|P|^2 = 1/(D D^c) on the real axis, D = 1/P and D^c = D - 2 i G its conjugate there: at a zero of D the residue is
L/D' + Q/(-2 i G D'), and the conjugate of the second term at the conjugate pole.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Complex, Float

from jaxdark.compute.roots import root
from jaxdark.constraints.b_to_k_invisible.pair_quadrature import (
    ON_A_NODE,
    Nodes,
    Panels,
    missed,
    place_in_panels,
)
from jaxdark.constraints.b_to_k_invisible.pair_spectra import Ends, densities
from jaxdark.inputs import StandardModel
from jaxdark.models.propagator import LEAST_WIDTH, RunningWidth
from jaxdark.models.split import SplitDarkSector
from jaxdark.semileptonic.kinematics import Channel

_STEPS = 5
"""Newton steps to a pole, from the zeros of y^2 - d + i (g + c y)."""
_FAR = 60.0
"""GeV^2: poles beyond count for no panel."""


_MANY, _WINDOW = 40, 12
"""Of so many panels those about m_V^2 are looked at alone."""


class Poles(NamedTuple):
    """Zeros of 1/P in the variable y of each start, shape (2, starts): V first, then the one of another sheet.

    Attributes:
        y: their places, GeV.
        s: S^2 + y^2, GeV^2.
        residue: of P in s, dimensionless.
        G: G(s) on that sheet, GeV^2.
        g_re, g_im: Re and Im of g_tilde at real s, continued, GeV^-2.
        is_found: whether it is one.
    """

    y: Complex[Array, "2 starts"]
    s: Complex[Array, "2 starts"]
    residue: Complex[Array, "2 starts"]
    G: Complex[Array, "2 starts"]
    g_re: Complex[Array, "2 starts"]
    g_im: Complex[Array, "2 starts"]
    is_found: Bool[Array, "2 starts"]


def poles(S: Float[Array, " starts"], model: SplitDarkSector, sm: StandardModel) -> Poles:
    """Those of the propagator of a model.

    Args:
        S: roots of the values of s at which channels open, that of the pair first, GeV.
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    propagator, m_V = model.propagator(sm), model.m_V
    width = propagator.width

    def sheet(y, masses):
        """s, and velocities and openness of channels as they continue from just above S."""
        s = S**2 + y**2
        touched = jnp.abs(2 * masses - S[:, None]) <= 1e-12 * S[:, None]
        is_open = jnp.broadcast_to(touched | (2 * masses < S[:, None]), (*y.shape, len(masses)))
        principal = root(jnp.where(is_open & ~touched, 1 - 4 * masses**2 / s[..., None], 1.0))
        return s, jnp.where(touched, (y / root(s))[..., None], principal), is_open

    d = (m_V - S) * (m_V + S)
    if isinstance(width, RunningWidth):
        touched = jnp.abs(2 * width.mass - S[:, None]) <= 1e-12 * S[:, None]
        couplings = width.vector + (width.dispersive if width.has_real_part else 0.0)
        upper = jnp.maximum(m_V, S)[:, None] ** 2
        opening = couplings * (upper + 2 * width.mass**2) / (12 * jnp.pi * jnp.sqrt(upper))
        c = jnp.where(touched, opening, 0.0).sum(1)
        g = width.absorptive(m_V**2)

        def parts(y):
            s, beta, is_open = sheet(y, width.mass)
            real, G = width.continued(s, beta, is_open, m_V)
            G = G + LEAST_WIDTH * m_V**2
            return y**2 - d + real + 1j * G, G
    else:
        c, g = jnp.zeros_like(S), propagator.inverse(m_V**2).imag

        def parts(y):
            return y**2 - d + 1j * g, jnp.broadcast_to(g, y.shape).astype(complex)

    rest = jnp.maximum(g - c * jnp.sqrt(jnp.maximum(d, 0.0)), 0.0) + LEAST_WIDTH * m_V**2
    offset = root(jax.lax.complex(d - c**2 / 4, -rest))
    held = stop_gradient(-0.5j * c + jnp.stack([offset, -offset]))

    def newton(y):
        (value, _), (slope, _) = jax.jvp(parts, (y,), (jnp.ones_like(y),))
        # The last step carries first derivatives, for which the slope need have none.
        return y - value / stop_gradient(slope)

    start = stop_gradient(jax.lax.fori_loop(0, _STEPS, lambda _, y: stop_gradient(newton(y)), held))
    y = newton(start)
    step = y - start
    s = S**2 + y**2
    size = jnp.abs(y.real) + jnp.abs(y.imag)
    found = jnp.abs(step.real) + jnp.abs(step.imag) < 1e-9 * size
    found &= jnp.abs(s.real) + jnp.abs(s.imag) < _FAR
    apart = y[1] - y[0]
    found &= jnp.stack([jnp.ones_like(d, bool), jnp.abs(apart.real) + jnp.abs(apart.imag) > 1e-7 * size[0]])
    # Elsewhere a place at which nothing is singular, with the sheet of V.
    y = jnp.where(found, y, jax.lax.complex(jnp.ones_like(d), -jnp.ones_like(d)))
    (_, G), (slope, _) = jax.jvp(parts, (y,), (jnp.ones_like(y),))
    s, beta, is_open = sheet(y, model.m_chi)
    return Poles(y, s, 2 * y / slope, G, *model.vertex.continued(s, beta, is_open), found)


def corrections(
    at: Nodes, S: Float[Array, " starts"], T: Array, m: Array, decays: list[Channel], model, sm: StandardModel
) -> tuple[Float[Array, "panels n"], Float[Array, "panels decays"]]:
    """Factors on the weights of nodes, 1 but next to a pole, and what is added to the integrals over the panels, GeV.

    Args:
        at: the nodes.
        S: of `poles`.
        T: T_ii, GeV^-2.
        m: mass of the pair's chi, GeV.
        decays: of `vector_emission.MODES`.
        model: the dark-sector point.
        sm: Standard Model inputs.
    """
    found, window, panels = poles(S, model, sm), *_near_v(at.panels, model.m_V)
    strength = _strengths(found, T, m, decays, model, sm)  # (2, starts, decays)
    S_held = stop_gradient(S)
    # The last start below each panel.
    middle = panels.middle_s
    below = (S_held**2 < middle[:, None]) & (S_held >= S_held[0])
    own = below & (S_held == jnp.where(below, S_held, 0.0).max(1, keepdims=True))
    own = own & (jnp.cumsum(own, 1) == 1)

    def of_panels(values):
        """Of each panel's own start."""
        return sum(jnp.where(own[:, k], values[..., k, None], 0.0) for k in range(len(S)))

    touches = (panels.sign > 0) & (panels.S == of_panels(S_held))
    # At fixed nodes the variable of the panels does not move with S.
    fixed = found.y + (S**2 - S_held**2) / (2 * found.y)
    y_up, s = of_panels(fixed), of_panels(found.s)[0]
    is_found = of_panels(found.is_found.astype(float)) > 0
    mirrored = root(jnp.where(touches, 1.0 + 0j, panels.sign * (s - panels.S**2)))
    y = jnp.where(touches, y_up, jnp.stack([mirrored, -mirrored]))
    z = place_in_panels(y, panels)
    # Of poles that lie behind the start from a panel it is the start that the panel feels.
    ahead = s.real > of_panels(S_held) ** 2
    close = touches & is_found & (y.real**2 + y.imag**2 < panels.b**2)
    near = (z.real**2 + z.imag**2 < at.rule.reach**2) & (close | ahead & jnp.where(touches, is_found, is_found[0]))
    z = jnp.where(near, z, 2.0 * at.rule.reach + 1j)
    on_node = (jnp.abs(z.real[..., None] - at.rule.nodes) + jnp.abs(z.imag[..., None]) < ON_A_NODE).any(0)
    weights = at.rule.weights + on_node.astype(float) @ at.rule.without
    real, imaginary = missed(z, at.rule.nodes, weights)
    real, imaginary = jnp.where(near, real, 0.0), jnp.where(near, imaginary, 0.0)
    added = []
    for decay, C in zip(decays, jnp.moveaxis(strength, -1, 0), strict=True):
        m_B, m_M, _ = decay.masses(sm)
        released = stop_gradient(m_B - m_M)
        here = of_panels(C)
        # On the other side of its end a spectrum, odd in the root of the distance, changes its sign.
        other = jnp.where((panels.sign < 0) & (panels.S == released), -here[0], here[0])
        here = jnp.where(touches, here, jnp.stack([here[0], other]))
        total = (here.real * real - here.imag * imaginary).sum(0)
        added.append(jnp.where(middle < released**2, total, 0.0))
    factors = jnp.ones_like(at.s).at[window].set(weights / at.rule.weights)
    return factors, jnp.zeros((len(at.s), len(decays))).at[window].set(jnp.stack(added, -1))


def _near_v(panels: Panels, m_V) -> tuple[Array | slice, Panels]:
    """Which panels may be near m_V^2, and those: all of a few, or neighbours of about equal length."""
    n = len(panels.S)
    if n < _MANY:
        return slice(None), panels
    first = jnp.clip((panels.middle_s < stop_gradient(m_V) ** 2).sum() - _WINDOW // 2, 0, n - _WINDOW)
    window = first + jnp.arange(_WINDOW)
    return window, Panels(*(values[window] for values in panels))


def _strengths(
    found: Poles, T, m, decays: list[Channel], model, sm: StandardModel
) -> Complex[Array, "2 starts decays"]:
    """C of each pole: a rate has the poles Re[C/(s - s_pole)] on the real axis."""
    s, kappa, delta = found.s, model.g_D * model.Q_Phi, model.dipole * sm.mb
    above = s - 4 * m**2
    # In the variable of its own start the root of the pair is y.
    is_own = jnp.arange(s.shape[1]) == 0
    root_above = jnp.where(is_own, found.y, root(jnp.where(is_own, 1.0 + 0j, above)))
    g2, twice = found.g_re**2 + found.g_im**2, 2 * found.g_re
    g = found.g_re + 1j * found.g_im
    linear, square = kappa * s * found.residue * jnp.conj(T), 1j * kappa**2 * s**2 * found.residue / found.G
    rows = []
    for decay in decays:
        m_B, m_M, _ = decay.masses(sm)
        below = (m_B - m_M) ** 2 - s
        part = densities(s, decay, sm, (m, m), Ends(above, below, root_above, root(below)))
        rows.append(
            linear * (part.V * g + part.mixed * delta)
            + square * (part.V * g2 + part.mixed * delta * twice + part.dipole * delta**2)
        )
    return jnp.stack(rows, -1)
