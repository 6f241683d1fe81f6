"""Integrals of the rates over q2 bins that may hold a resonance.

Inputs: new physics, a channel, the panels of its bins and the inputs. Outputs: one row of integrated J_i (or
dGamma/dq2) per bin, GeV^2 times the rate, as CP average or as half the difference of the flavours. Sections 6, 10.1 and
10.2 of the semileptonic formulas; for complex couplings the two amplitudes of `jaxdark.models.wilson`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import block_diag

from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel
from jaxdark.models.wilson import CONTACT_NAMES, HasNewPhysics, NewPhysics, Resonance, weak_parts
from jaxdark.semileptonic.amplitudes import (
    J_NAMES,
    Coefficients,
    Decay,
    Pseudoscalar,
    amplitude,
    antisymmetric_form,
    decay_at,
    nonlocal_amplitude,
    rate_form,
    sm_coefficients,
    symmetric_form,
)
from jaxdark.semileptonic.charmonium import CHARMONIUM, in_charmonium
from jaxdark.semileptonic.exchange import Weights, exchange_weights
from jaxdark.semileptonic.form_factors import PseudoscalarFormFactors
from jaxdark.semileptonic.kinematics import Bin, Channel
from jaxdark.semileptonic.nonlocal_terms import SPECTATOR_UP_TO
from jaxdark.semileptonic.quadrature import INTERPOLATION, NODES, WEIGHTS, bend, in_panels, pole_weights

# Re A, Im A, A_1 and A_2 of the amplitude A + h D A_1 + k D A_2, on the leading axis of amplitudes in real arithmetic:
# A_1 of the vertex, A_2 of the dipole, where there is one.
_RE, _IM, _RES, _DIP = range(4)
# Where the tables of the Standard Model amplitude have a kink, and the spectator functions a step.
_KINKS = (0.03, SPECTATOR_UP_TO)
# Bernstein ellipse of every panel, in its own variable, up to the nearest singularity of the amplitude: the photon pole
# and the thresholds of charm. An interpolant at 20 nodes is good to a part rho^-20 of that singularity.
_RHO = 3.0


class Panels(NamedTuple):
    """Quadrature panels of bins, plain NumPy; they depend on masses and bins alone.

    Attributes:
        lower, upper: edges, GeV^2, shape (panels,).
        bend: of the panels, see `quadrature.bend`, shape (panels,).
        nodes, weights: Gauss-Legendre nodes (GeV^2) and weights including the half width, shape (panels, 20).
        owner: 1 where the panel is part of the bin, shape (bins, panels).
    """

    lower: np.ndarray
    upper: np.ndarray
    bend: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray
    owner: np.ndarray


def check_bin(q2: Bin, channel: Channel, sm: StandardModel) -> None:
    """Raise RequestError for a bin that is not ordered, lies outside the decay's q2 range or touches CHARMONIUM."""
    lower, upper = q2
    smallest, largest = (float(s) for s in channel.q2_range(sm))
    if not lower < upper:
        raise RequestError(f"a q2 bin needs lower < upper, got [{lower:g}, {upper:g}] for {channel.name}")
    if upper <= smallest or lower >= largest:
        raise RequestError(
            f"the q2 bin [{lower:g}, {upper:g}] GeV^2 lies outside the range "
            f"[{smallest:.4g}, {largest:.4g}] of {channel.name}"
        )
    if in_charmonium(q2):
        low, high = CHARMONIUM
        raise RequestError(
            f"the q2 bin [{lower:g}, {upper:g}] GeV^2 of {channel.name} touches the narrow charmonia "
            f"between {low:g} and {high:g} GeV^2, where nothing is predicted; "
            f"take a bin below {low:g} or above {high:g}"
        )


def join_panels(parts: Sequence[Panels]) -> Panels:
    """Panels of several channels one after the other, the bins likewise."""
    arrays = (np.concatenate(columns) for columns in zip(*(part[:-1] for part in parts), strict=True))
    return Panels(*arrays, owner=block_diag(*(part.owner for part in parts)))


def make_panels(bins: Sequence[Bin], channel: Channel, sm: StandardModel) -> Panels:
    """Panels of the bins, clipped to the kinematic range; raises RequestError as `check_bin`.

    Bins are cut at each other's edges, so that overlapping ones share their panels and each q2 is integrated once.
    Below the narrow charmonia the panels are straight in the root of the distance from threshold, above them in that of
    the distance from the end point; they are as short as the photon pole and the charm threshold want them, whatever
    new physics there is.
    """
    for q2 in bins:
        check_bin(q2, channel, sm)
    smallest, largest = (float(s) for s in channel.q2_range(sm))
    clipped = np.clip(np.array(bins), smallest, largest)
    cuts = np.unique([*clipped.ravel(), *_KINKS])
    charm = 4 * float(sm.mc_pole) ** 2
    parts = [
        panel
        for panel in zip(cuts[:-1], cuts[1:], strict=True)
        if ((clipped[:, 0] <= panel[0]) & (panel[1] <= clipped[:, 1])).any()
    ]
    low, high = (
        np.array([edges for part in parts if (part[0] < charm) == is_low for edges in _shortened(*part, end, charm)])
        for is_low, end in ((True, smallest), (False, largest))
    )
    bends = [bend(*part.T, end) for part, end in ((low, smallest), (high, largest)) if len(part)]
    lower, upper = np.concatenate([part for part in (low, high) if len(part)]).T
    bends = np.concatenate(bends)
    owner = ((clipped[:, :1] <= lower) & (upper <= clipped[:, 1:])).astype(float)
    half = (upper - lower) / 2
    x, weights = in_panels(NODES, WEIGHTS, bends)
    nodes = (lower + half)[:, None] + half[:, None] * x
    return Panels(lower, upper, bends, nodes, half[:, None] * weights, owner)


def _shortened(lower: float, upper: float, end: float, charm: float) -> list[tuple[float, float]]:
    """A panel, or what it falls into when it is halved until the photon pole and the charm threshold are far enough.

    Where u = sqrt(|q2 - end|) is the variable, those are at u = sqrt(-end) and sqrt(charm - end). A panel from
    threshold is halved in arsinh(u/2 m_l), so that the panels grow like q2 itself beyond the photon pole.
    """
    near, far = np.sqrt(np.abs(np.array([lower, upper]) - end))
    singular = np.sqrt(np.array([-end, charm - end]) * (1 if lower >= end else -1) + 0j)
    semiaxis = np.min(np.abs(near - singular) + np.abs(far - singular)) / np.abs(far - near)
    if semiaxis >= (_RHO + 1 / _RHO) / 2:
        return [(lower, upper)]
    if lower >= end:
        unit = np.sqrt(end)
        middle = end + (unit * np.sinh((np.arcsinh(near / unit) + np.arcsinh(far / unit)) / 2)) ** 2
    else:
        middle = end - ((near + far) / 2) ** 2
    return _shortened(lower, middle, end, charm) + _shortened(middle, upper, end, charm)


def with_contact(C: Coefficients, physics: NewPhysics, decay: Decay) -> Coefficients:
    """The coefficients C and the contact terms of each lepton."""
    for contact, share in ((physics.contact, decay.muon), (physics.contact_e, 1 - decay.muon)):
        if contact is not None:
            shifts = {name: share * getattr(contact, name) for name in CONTACT_NAMES}
            C = C._replace(**{name: getattr(C, name) + shift for name, shift in shifts.items()})
    return C


def _strengths(resonance: Resonance, decay: Decay):
    """kappa9 and kappa10 of the lepton at each point; 0 for electrons that do not feel the resonance."""
    kappa9, kappa10 = decay.muon * resonance.kappa9, decay.muon * resonance.kappa10
    if resonance.kappa9_e is None:
        return kappa9, kappa10
    electron = 1 - decay.muon
    return kappa9 + electron * resonance.kappa9_e, kappa10 + electron * resonance.kappa10_e


def dipole_coefficients(resonance: Resonance, decay: Decay) -> Coefficients:
    """What multiplies the propagator and the dipole's strength."""
    (kappa9, kappa10), numerator = _strengths(resonance, decay), resonance.numerator(decay.q2)
    return Coefficients(C7=kappa9 * numerator, C7A=kappa10 * numerator)


def resonant_coefficients(resonance: Resonance, decay: Decay) -> Coefficients:
    """What multiplies vertex and propagator, longitudinal factor (Sec. 9.3) included."""
    (kappa9, kappa10), numerator = _strengths(resonance, decay), resonance.numerator(decay.q2)
    timelike = -kappa10 * resonance.longitudinal(decay.q2)[0] * decay.q2
    return Coefficients(C9=kappa9 * numerator, C10=kappa10 * numerator, C10_timelike=timelike)


def _real_parts(tree):
    """Real and imaginary part of each leaf along a leading axis."""
    return jax.tree.map(lambda leaf: jnp.stack([jnp.real(leaf), jnp.imag(leaf)]), tree)


def real_amplitudes(physics: NewPhysics, decay: Decay, sm: StandardModel):
    """(Re A, Im A, A_1) along a leading axis, for the amplitude A + h D A_1; without a resonance (Re A, Im A).

    With a dipole A_2 follows. The couplings of `physics` are real. A_1 is so too, because form factors are, and
    amplitudes are linear in the coefficients: so all of them pass through one traced amplitude in real arithmetic,
    which halves both the time to compile and the time to run.
    """
    A = _linear_amplitudes(sm_coefficients(decay, sm), physics, decay, sm)
    if isinstance(A, Pseudoscalar):
        return A
    split = decay._replace(sm=_real_parts(decay.sm), low=_real_parts(decay.low), high=_real_parts(decay.high))
    return jax.tree.map(lambda a, extra: a.at[:2].add(extra), A, nonlocal_amplitude(split, sm))


def weak_amplitudes(physics: NewPhysics, decay: Decay, sm: StandardModel):
    """The same for the imaginary parts of the couplings, held by `physics`, without the Standard Model.

    Their CP parity is the opposite one: see `jaxdark.models.wilson`.
    """
    return _linear_amplitudes(Coefficients(), physics, decay._replace(even=decay.odd, odd=decay.even), sm)


def _linear_amplitudes(C: Coefficients, physics: NewPhysics, decay: Decay, sm: StandardModel):
    """(Re A, Im A), with a resonance A_1 and with a dipole A_2 as well, of the coefficients C and real couplings."""
    shape = jnp.shape(decay.q2)
    C = jax.tree.map(lambda c: jnp.broadcast_to(c, shape), with_contact(C, physics, decay))
    C = _real_parts(C)
    exchanged = []
    if physics.resonance is not None:
        exchanged.append(resonant_coefficients(physics.resonance, decay))
        if physics.resonance.dipole is not None:
            exchanged.append(dipole_coefficients(physics.resonance, decay))
    for more in exchanged:
        C = jax.tree.map(lambda c, c1: jnp.concatenate([c, jnp.broadcast_to(c1, shape)[None]]), C, more)
    return amplitude(C, decay, sm)


def rates(
    q2: Float[Array, "*q2"], model: HasNewPhysics, channel: Channel, sm: StandardModel, *, conjugate: bool = False
) -> Float[Array, "*q2 n"]:
    """(dGamma/dq2,) of B -> K l l or the twelve J_i of B -> V l l at q2 (GeV^2), GeV^-1, of the b quark alone.

    With complex couplings that is no CP average, which is the mean of this and of the `conjugate` decay.
    """
    A = amplitude_at(q2, model, channel, sm, conjugate=conjugate)
    return jnp.stack([J.real for J in rate_form(A, A, decay_at(q2, channel, sm), sm)], axis=-1)


def amplitude_at(
    q2: Float[Array, "*q2"], model: HasNewPhysics, channel: Channel, sm: StandardModel, *, conjugate: bool = False
):
    """Amplitude of Sec. 4 or 5 at q2 (GeV^2) with everything in it: `Pseudoscalar` or `Transversity`.

    That of the b quark or, `conjugate`, of the anti-b quark in the same convention, with complex conjugate couplings.
    """
    physics, decay = model.new_physics(sm), decay_at(q2, channel, sm)
    real, imaginary = weak_parts(physics)

    def with_propagator(parts):
        if physics.resonance is None:
            return jax.tree.map(lambda x: x[_RE] + 1j * x[_IM], parts)
        exchange = physics.resonance.propagate(q2)
        if physics.resonance.dipole is None:
            return jax.tree.map(lambda x: x[_RE] + 1j * x[_IM] + x[_RES] * exchange, parts)
        of_dipole = physics.resonance.dipole * physics.resonance.propagator(q2)
        return jax.tree.map(lambda x: x[_RE] + 1j * x[_IM] + x[_RES] * exchange + x[_DIP] * of_dipole, parts)

    A = with_propagator(real_amplitudes(real, decay, sm))
    if imaginary is None:
        return A
    turned = -1j if conjugate else 1j
    return jax.tree.map(lambda a, b: a + turned * b, A, with_propagator(weak_amplitudes(imaginary, decay, sm)))


def integrated_rates(physics: NewPhysics, decay: Decay, panels: Panels, sm: StandardModel) -> Float[Array, "bins n"]:
    """CP-averaged integrals over each bin of (dGamma/dq2,) for B -> K or of the twelve J_i for B -> V, GeV.

    `decay` is taken at the nodes of the panels. For B_s -> phi the average is that of the time-integrated decay.
    """
    real, imaginary = weak_parts(physics)
    total = _integrals(real_amplitudes(real, decay, sm), physics.resonance, decay, panels, sm)
    if imaginary is None:
        return total
    return total + _integrals(weak_amplitudes(imaginary, decay, sm), physics.resonance, decay, panels, sm)


def rate_differences(physics: NewPhysics, decay: Decay, panels: Panels, sm: StandardModel) -> Float[Array, "bins n"]:
    """Half of what the b quark's integrals exceed the anti-b quark's by, arguments and order as `integrated_rates`.

    With A + i A' as in `models.wilson` that is -2 Im F(A', A), with the same weights as there; 0 for real couplings.
    For B_s -> phi the differences J_5, J_6, J_8 and J_9 are those of the untagged, time-integrated decay.
    """
    real, imaginary = weak_parts(physics)
    if imaginary is None:
        n = 1 if isinstance(decay.ff, PseudoscalarFormFactors) else len(J_NAMES)
        return jnp.zeros((len(panels.owner), n))
    A, weak = real_amplitudes(real, decay, sm), weak_amplitudes(imaginary, decay, sm)
    if physics.resonance is None:
        for_real = for_imaginary = jax.tree.map(lambda a: panels.weights * a, A)
    else:
        w, of = panels.weights, _weights(physics.resonance, panels)

        def weighted(x):
            re, im, res, *dip = x
            parts = [w * re + of.re * res, w * im + of.im * res, of.re * re + of.im * im + of.square * res]
            if dip:
                extra = of.dipole_re * dip[0], of.dipole_im * dip[0], of.cross_re * dip[0]
                square = of.dipole_re * re + of.dipole_im * im + of.cross_re * res + of.dipole_square * dip[0]
                parts = [*(part + more for part, more in zip(parts, extra, strict=True)), square]
            return jnp.stack(parts)

        def turned_right(full, x):
            """What the imaginary part is made of: Im A in place of Re A, Re A in place of -Im A, no squares."""
            re, im, res, *dip = x
            if not dip:
                return full.at[_RES].set(of.im * re - of.re * im)
            full = full.at[_RES].set(of.im * re - of.re * im + of.cross_im * dip[0])
            return full.at[_DIP].set(of.dipole_im * re - of.dipole_re * im - of.cross_im * res)

        for_real = jax.tree.map(weighted, A)
        for_imaginary = jax.tree.map(turned_right, for_real, A)
    turned = jax.tree.map(lambda x: jnp.concatenate([x[_IM][None], -x[_RE][None], x[_RES:]]), weak)
    symmetric = [-2 * J.sum((0, -1)) for J in symmetric_form(turned, for_imaginary, decay, sm)]
    antisymmetric = [J.sum((0, -1)) for J in antisymmetric_form(weak, for_real, decay)]
    return panels.owner @ jnp.stack(symmetric + antisymmetric, axis=-1)


def _weights(resonance: Resonance, panels: Panels) -> Weights:
    """Weights at the nodes, those of the squares over the half widths of the panels."""
    half = ((panels.upper - panels.lower) / 2)[:, None]
    if resonance.is_narrow_width_form:
        s0, g = resonance.propagator.pole(np.zeros(()))
        W, V = pole_weights(panels.lower, panels.upper, s0, g, panels.bend)
        return Weights(W, -(g / half) * V, V / half)
    fine = exchange_weights(resonance, panels.lower, panels.upper, panels.bend)
    at_nodes = jax.tree.map(lambda values: values @ INTERPOLATION, fine)
    squares = ("square", "dipole_square", "cross_re", "cross_im")
    return at_nodes._replace(
        **{name: getattr(at_nodes, name) / half for name in squares if getattr(at_nodes, name) is not None}
    )


def _integrals(left, resonance: Resonance | None, decay: Decay, panels: Panels, sm: StandardModel):
    """Integrals of the rates of the amplitude `left`, as `real_amplitudes` returns it.

    The Legendre-Q rule of Sec. 10.1 and 10.2 with weights w for |A|^2, W for A_1 A^* and V for |A_1|^2; by linearity
    they multiply the amplitudes rather than each of the twelve forms:
    sum w S(a, a) + 2 Re(W) S(c, a) + ... = S(a, w a + 2 Re(W) c) + ... with a = Re A, b = Im A, c = A_1. The dipole's
    A_2 likewise, and h k^* for what A_1 and A_2 have together.
    """
    if resonance is None:
        right = jax.tree.map(lambda a: panels.weights * a, left)
    else:
        w, of = panels.weights, _weights(resonance, panels)

        def weighted(x):
            re, im, res, *dip = x
            parts = [w * re + 2 * of.re * res, w * im + 2 * of.im * res, of.square * res]
            if dip:
                extra = of.dipole_re * dip[0], of.dipole_im * dip[0], of.cross_re * dip[0]
                parts = [*(part + 2 * more for part, more in zip(parts, extra, strict=True)), of.dipole_square * dip[0]]
            return jnp.stack(parts)

        right = jax.tree.map(weighted, left)
    symmetric = [J.sum((0, -1)) for J in symmetric_form(left, right, decay, sm)]
    # The form is antisymmetric: (W(b, w a + 2 Re(W) c) - W(a, w b + 2 Im(W) c))/2 holds every term once.
    im_and_re = jax.tree.map(lambda x: jnp.stack([x[_IM], x[_RE]]), left)
    re_and_im = jax.tree.map(lambda x: x[: _IM + 1], right)
    antisymmetric = [((J[0] - J[1]) / 2).sum(-1) for J in antisymmetric_form(im_and_re, re_and_im, decay)]
    if resonance is not None and resonance.dipole is not None:
        vertex, dipole = (jax.tree.map(lambda x, k=k: x[k], left) for k in (_RES, _DIP))
        crossed = jax.tree.map(lambda x: of.cross_im * x, dipole)
        both = antisymmetric_form(vertex, crossed, decay)
        antisymmetric = [J + more.sum(-1) for J, more in zip(antisymmetric, both, strict=True)]
    return panels.owner @ jnp.stack(symmetric + antisymmetric, axis=-1)
