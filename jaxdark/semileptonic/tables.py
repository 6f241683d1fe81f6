"""Bin integrals for fixed inputs: what does not depend on new physics is computed once, Section 10.4.

Inputs: decays at the nodes of panels, combinations of J_i, the inputs. Outputs: a function of `NewPhysics`.
The amplitude is sum_c x_c A_c + D sum_r y_r A_r with constant directions c (the Standard Model, contact terms) and
resonant directions r (kappa9, kappa10 and the longitudinal part); every rate is a quadratic form in (x, y). The
imaginary parts of complex couplings have tables of their own, without the Standard Model: see `jaxdark.models.wilson`.
Derivatives of these forms with respect to the inputs are forms of the same kind, integrals beside the others.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from jaxdark.compute.aot import AotFunction
from jaxdark.inputs import StandardModel
from jaxdark.models.wilson import CONTACT_NAMES, Contact, NewPhysics, Resonance, ResonanceKind, weak_parts
from jaxdark.semileptonic.amplitudes import (
    Coefficients,
    Decay,
    Transversity,
    amplitude,
    nonlocal_amplitude,
    rate_form,
    sm_coefficients,
)
from jaxdark.semileptonic.bins import Panels
from jaxdark.semileptonic.exchange import exchange_weights
from jaxdark.semileptonic.quadrature import INTERPOLATION, fine_pole_weights

_WITHOUT_RESONANCE = Resonance(kappa9=0.0, kappa10=0.0, m_V=1.0, width=1.0).kind
"""Tables of the most common kind serve models without a resonance."""


def _unit_coefficients(q2: np.ndarray, kind: ResonanceKind) -> Coefficients:
    """Coefficients of unit strength in each direction: contact terms, then those of `_resonant_weights`.

    The directions are along a leading axis.
    """
    units = [{name: np.ones_like(q2)} for name in CONTACT_NAMES]
    numerator = q2**kind.power
    units += [{"C9": numerator}, {"C10": numerator, "C10_timelike": -kind.taken * numerator}]
    if kind.taken_at_pole:
        units.append({"C10_timelike": -(q2 ** (kind.power + 1))})
    if kind.has_dipole:
        units += [{"C7": numerator}, {"C7A": numerator}]
    zero = np.zeros_like(q2)
    return Coefficients(*(np.stack([unit.get(name, zero) for unit in units]) for name in Coefficients._fields))


def _vertex_directions(kind: ResonanceKind) -> int:
    """How many of the resonant directions the vertex has; those of the dipole follow."""
    return 2 + bool(kind.taken_at_pole)


def _resonant_weights(resonance: Resonance) -> Float[Array, " r"]:
    """y: how much of each direction of the vertex there is, with the longitudinal factor of Sec. 9.3.

    kappa9, kappa10, and kappa10/m_V^2 where a part of the timelike C_10 grows with q2/m_V^2.
    """
    y = [resonance.kappa9, resonance.kappa10]
    if resonance.kind.taken_at_pole:
        y.append(resonance.kappa10 / resonance.m_V**2)
    return jnp.stack([jnp.asarray(weight, float) for weight in y])


def _products(y: Float[Array, " r"]) -> Float[Array, " pairs"]:
    """Products of pairs in the order of the upper triangle."""
    return jnp.stack([y[a] * y[b] for a, b in zip(*np.triu_indices(len(y)), strict=True)])


def _directions(units: Coefficients, decay: Decay, sm: StandardModel, kind: "_TableKind"):
    """Amplitudes along the constant directions, the Standard Model first, and along the resonant ones.

    Those of new physics vanish for the other lepton. For the imaginary parts of couplings the first one vanishes and
    the CP parities are the opposite ones.
    """
    imaginary = kind.imaginary
    if imaginary:
        decay = decay._replace(even=decay.odd, odd=decay.even)
    feels = 1 - decay.muon if kind.electrons else decay.muon
    shifts = jax.tree.map(lambda a: feels * a, amplitude(units, decay, sm))
    central = amplitude(sm_coefficients(decay, sm), decay, sm)
    if isinstance(central, Transversity):
        central = jax.tree.map(jnp.add, central, nonlocal_amplitude(decay, sm))
    if imaginary:
        central = jax.tree.map(jnp.zeros_like, central)
    n = len(CONTACT_NAMES)
    constant = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:n]]), central, shifts)
    return constant, jax.tree.map(lambda a: a[n:], shifts)


class _Rows(eqx.Module):
    """Which coupling and which integral the rows of numerators belong to; those that vanish on all panels are left out.

    They are the same for all derivatives.

    Attributes:
        coupling: one column of ones and zeros per row, shape (couplings, rows).
        integral: likewise, shape (rows, integrals).
    """

    coupling: Float[Array, "couplings rows"]
    integral: Float[Array, "rows integrals"]

    @classmethod
    def build(cls, values: np.ndarray) -> tuple["_Rows", Float[np.ndarray, "panels fine derivatives rows"]]:
        """Rows and their numerators, from all of shape (couplings, derivatives, integrals, panels, fine)."""
        size = np.abs(values).max(axis=(3, 4), initial=0.0)
        coupling, integral = np.nonzero((size > 1e-15 * size.max(axis=0)).any(axis=1))
        one = [np.eye(values.shape[k])[chosen] for k, chosen in ((0, coupling), (2, integral))]
        return cls(one[0].T, one[1]), np.transpose(values[coupling, :, integral], (2, 3, 1, 0))


class _TableKind(NamedTuple):
    """What a set of tables is for.

    Attributes:
        resonance: kind of resonance.
        imaginary: whether for the imaginary parts of the couplings.
        electrons: whether for what electrons feel, or muons.
        interference: whether the resonance meets contact terms.
    """

    resonance: ResonanceKind
    imaginary: bool = False
    electrons: bool = False
    interference: bool = False


class Directions(NamedTuple):
    """Directions in which inputs move.

    Attributes:
        inputs: a function of coordinates, the central inputs at zero.
        along: coordinates of each direction, (directions, coordinates).
    """

    inputs: Callable[[Float[Array, " coordinates"]], StandardModel]
    along: Float[np.ndarray, "directions coordinates"]


class RateTables:
    """CP-averaged integrals over the bins as a function of new physics; one set of tables per kind of resonance.

    A set is built when the first resonance of its kind turns up, also while JAX traces something else, and another one
    with the first complex couplings, for their imaginary parts, and with the first ones of electrons.

    Args:
        build: makes a set of tables.
    """

    def __init__(self, build: Callable[[_TableKind], "_Tables"]):
        self._tables = cache(build)

    @classmethod
    def build(
        cls,
        decay_of: Callable[[StandardModel], Decay],
        panels: Panels,
        matrix: np.ndarray,
        sm: StandardModel,
        directions: Directions | None = None,
    ) -> "RateTables":
        """Tables of the combinations `matrix` (rows over J_i, or [[1]] for B -> K), or of their derivatives.

        Args:
            decay_of: the decays at the nodes of the panels, a function of the inputs.
            panels: the panels.
            matrix: combinations, shape (integrals, J_i).
            sm: the inputs.
            directions: with respect to which the derivatives are taken, of a given `NewPhysics`; the integrals of the
                first direction come first, then those of the next.
        """
        return cls(lambda kind: _Tables.build(decay_of, panels, matrix, sm, kind, directions))

    def __call__(self, new_physics: NewPhysics) -> Float[Array, "integrals bins"]:
        """Integrals over the bins, GeV."""
        total = self._of(new_physics, electrons=False)
        electron = new_physics.of_electrons
        return total if electron is None else total + self._of(electron, electrons=True)

    def _of(self, new_physics: NewPhysics, *, electrons: bool) -> Float[Array, "integrals bins"]:
        """With what one lepton feels; the Standard Model, of both leptons, is part of that of muons."""
        resonance = _WITHOUT_RESONANCE if new_physics.resonance is None else new_physics.resonance.kind
        real, imaginary = weak_parts(new_physics)
        meets = new_physics.resonance is not None and len(_contact_weights(real.contact)[0]) > 1
        kind = _TableKind(resonance, electrons=electrons, interference=meets)
        total = self._tables(kind)(real)
        return total if imaginary is None else total + self._tables(kind._replace(imaginary=True))(imaginary)


class _Tables(eqx.Module):
    """Integrals of the constant forms per bin and numerators of the resonant ones per panel.

    Attributes:
        plain: of the constant directions, integrated over each bin, GeV.
        linear: interference of the resonance with each contact term, empty for models that have not both.
        real, imaginary, quadratic: rows that Re D, Im D and |D|^2 multiply.
        times_W: numerators of the rows of `real`.
        times_V: those of `imaginary` and of `quadratic`, one after the other.
        dipole: rows and numerators of the dipole by the name of their weights in `exchange.Weights`.
        lower, upper, bend, owner: of the panels of the lepton, as in `Panels`.
        has_sm: whether the Standard Model's own part is among `plain` as it is counted.
    """

    plain: Float[Array, "c c integrals bins"]
    linear: Complex[Array, "r contact integrals panels fine"]
    real: _Rows
    imaginary: _Rows
    quadratic: _Rows
    times_W: Float[Array, "panels fine derivatives rows_W"]
    times_V: Float[Array, "panels fine derivatives rows_V"]
    dipole: dict[str, tuple[_Rows, Float[Array, "panels fine derivatives _"]]]
    lower: Float[Array, " panels"]
    upper: Float[Array, " panels"]
    bend: Float[Array, " panels"]
    owner: Float[Array, "bins panels"]
    has_sm: bool = eqx.field(static=True)

    @classmethod
    def build(
        cls,
        decay_of,
        panels: Panels,
        matrix: np.ndarray,
        sm: StandardModel,
        table_kind: _TableKind,
        directions: Directions | None,
    ):
        """Arguments of `RateTables.build`, and what the tables are for."""
        kind = table_kind.resonance
        units = _unit_coefficients(panels.nodes, kind)

        def forms(sm):
            decay = decay_of(sm)

            def pairs(left, right):
                left, right = jax.tree.map(lambda a: a[:, None], left), jax.tree.map(lambda a: a[None], right)
                return jnp.stack(rate_form(left, right, decay, sm), axis=-1) @ matrix.T

            constant, resonant = _directions(units, decay, sm, table_kind)
            contact = constant if table_kind.interference else jax.tree.map(lambda a: a[:1], constant)
            tables = pairs(constant, constant).real, pairs(resonant, contact), pairs(resonant, resonant)
            return tables, decay.muon[:, 0]

        def integrals(tables, muon):
            plain, linear, quadratic = tables
            # The panels of the other lepton carry no resonant rows.
            own = muon == (0 if table_kind.electrons else 1)
            on_bins = np.einsum("ip,pk,abpkn->abni", panels.owner, panels.weights, plain, optimize=True)
            fine = (
                np.einsum("jk,abpkn->abnpj", INTERPOLATION, part[:, :, own], optimize=True)
                for part in (linear, quadratic)
            )
            return own, on_bins, *fine

        if directions is None:
            derivatives = 1
            own, plain, linear, quadratic = integrals(*AotFunction(forms)(sm))
        else:
            (inputs, along), derivatives = directions, len(directions.along)

            def derivative(direction):
                zero = np.zeros(len(direction))
                return jax.jvp(lambda xi: forms(inputs(xi)), (zero,), (direction,), has_aux=True)[1:]

            program = AotFunction(derivative)
            own, *each = zip(*(integrals(*program(direction)) for direction in along), strict=True)
            own, (plain, linear, quadratic) = own[0], (np.concatenate(parts, axis=2) for parts in each)

        def rows(values):
            return _Rows.build(values.reshape(len(values), derivatives, len(matrix), *values.shape[2:]))

        half, n = (panels.upper - panels.lower)[own] / 2, _vertex_directions(kind)
        quadratic = quadratic / half[:, None]
        real, times_W = rows(linear[:n, 0].real)
        sine, absorptive = rows(linear[:n, 0].imag)
        square, squared = rows(_symmetric(quadratic[:n, :n].real))
        dipole = _dipole_rows(linear[n:, 0], quadratic, n) if kind.has_dipole else {}
        return cls(
            plain=plain,
            linear=linear[:, 1:],
            real=real,
            imaginary=sine,
            quadratic=square,
            times_W=np.ascontiguousarray(2 * times_W),
            times_V=np.concatenate([2 * absorptive, squared], axis=-1),
            dipole={name: rows(values) for name, values in dipole.items()},
            lower=panels.lower[own],
            upper=panels.upper[own],
            bend=panels.bend[own],
            owner=panels.owner[:, own],
            has_sm=not table_kind.electrons,
        )

    def __call__(self, new_physics: NewPhysics) -> Float[Array, "integrals bins"]:
        """Integrals over the bins, of real couplings."""
        present, x = _contact_weights(new_physics.contact)
        total = self._smooth(present, x)
        if new_physics.resonance is None or not len(self.lower):
            return total
        integrate = self._narrow if new_physics.resonance.is_narrow_width_form else self._general
        return total + (self.owner @ integrate(new_physics.resonance, present, x)).T

    def _narrow(self, resonance: Resonance, present: np.ndarray, x: Float[Array, " c"]) -> Float[Array, "panels _"]:
        """The resonant part on each panel for real strengths over q2 - m_V^2 + i m_V Gamma."""
        s0, g = resonance.propagator.pole(np.zeros(()))
        W, V = fine_pole_weights(self.lower, self.upper, s0, g, self.bend)
        gamma = (g / ((self.upper - self.lower) / 2))[:, None]
        # The weights first: what is mapped over points then lies in memory as the product wants it.
        on_W, on_V = (_on_panels(*pair) for pair in ((W, self.times_W), (V, self.times_V)))
        absorptive = self.imaginary.coupling.shape[1]
        on_panels = jnp.concatenate([on_W, gamma[:, None] * on_V[..., :absorptive], on_V[..., absorptive:]], axis=-1)
        y = _resonant_weights(resonance)
        rows = ((self.real, y), (self.imaginary, y), (self.quadratic, _products(y)))
        couplings = jnp.concatenate([weights @ row.coupling for row, weights in rows])
        resonant = (couplings * on_panels) @ np.concatenate([row.integral for row, _ in rows])
        resonant = resonant.reshape(len(resonant), -1)
        if len(x) > 1:
            N1 = self._with_contact(y, present, x, slice(0, len(y)))
            resonant += 2 * jnp.sum(W * N1.real + gamma * V * N1.imag, axis=-1).T
        return resonant

    def _general(self, resonance: Resonance, present: np.ndarray, x: Float[Array, " c"]) -> Float[Array, "panels _"]:
        """The same for any vertex and width."""
        weights = exchange_weights(resonance, self.lower, self.upper, self.bend)
        absorptive, y = self.imaginary.coupling.shape[1], _resonant_weights(resonance)
        groups = {
            "re": (self.real, self.times_W, y),
            "im": (self.imaginary, -self.times_V[..., :absorptive], y),
            "square": (self.quadratic, self.times_V[..., absorptive:], _products(y)),
        }
        kappas = y[:2]
        of_dipole = {
            "dipole_re": kappas,
            "dipole_im": kappas,
            "dipole_square": _products(kappas),
            "cross_re": (y[:, None] * kappas).ravel(),
            "cross_im": (y[:, None] * kappas).ravel(),
        }
        groups |= {name: (*group, of_dipole[name]) for name, group in self.dipole.items()}
        resonant = sum(
            ((strengths @ rows.coupling) * _on_panels(getattr(weights, name), times)) @ rows.integral
            for name, (rows, times, strengths) in groups.items()
        )
        resonant = resonant.reshape(len(resonant), -1)
        if len(x) > 1:
            parts = [(y, slice(0, len(y)), weights.re, weights.im)]
            if self.dipole:
                parts.append((kappas, slice(len(y), None), weights.dipole_re, weights.dipole_im))
            for strengths, directions, re, im in parts:
                N1 = self._with_contact(strengths, present, x, directions)
                resonant += 2 * jnp.sum(re * N1.real - im * N1.imag, axis=-1).T
        return resonant

    def _with_contact(self, y, present: np.ndarray, x, directions: slice) -> Complex[Array, "integrals panels fine"]:
        """Numerators of the interference of resonant directions with the contact terms."""
        return jnp.einsum("a,b,abnpj->npj", y, x[1:], self.linear[directions, present[1:] - 1])

    def _smooth(self, present: np.ndarray, x: Float[Array, " c"]) -> Float[Array, "integrals bins"]:
        """The part without the resonance."""
        plain = self.plain[np.ix_(present, present)]
        pairs = list(zip(*np.triu_indices(len(x)), strict=True))[0 if self.has_sm else 1 :]
        if not pairs:
            return jnp.zeros(plain.shape[2:])
        return jnp.tensordot(jnp.stack([x[a] * x[b] for a, b in pairs]), _symmetric(plain)[-len(pairs) :], 1)


def _on_panels(
    weights: Float[Array, "panels fine"], numerators: Float[Array, "panels fine derivatives rows"]
) -> Float[Array, "panels derivatives rows"]:
    """Numerators integrated with the weights; as plain matrix products, which are ten times faster."""
    panels, fine, *shape = numerators.shape
    product = jnp.einsum("pj,pjr->pr", weights, numerators.reshape(panels, fine, -1))
    return product.reshape(panels, *shape)


def _dipole_rows(linear: np.ndarray, quadratic: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Numerators of the dipole's directions, which follow the n of the vertex.

    Of h and k, vertex and dipole times propagator, the square of their sum has Re(h k^* (F_ab + F_ba^*)), F_ab the form
    of a direction of the vertex and one of the dipole, all amplitudes real: F is real and symmetric, or imaginary and
    antisymmetric for J_7, J_8 and J_9.
    """
    cross = quadratic[:n, n:].reshape(n * (len(quadratic) - n), *quadratic.shape[2:])
    return {
        "dipole_re": 2 * linear.real,
        "dipole_im": -2 * linear.imag,
        "dipole_square": _symmetric(quadratic[n:, n:].real),
        "cross_re": 2 * cross.real,
        "cross_im": -2 * cross.imag,
    }


def _symmetric(quadratic: np.ndarray) -> np.ndarray:
    """The upper triangle of a symmetric form (r, r, ...) with the off-diagonal entries doubled."""
    a, b = np.triu_indices(len(quadratic))
    return quadratic[a, b] * np.where(a == b, 1, 2).reshape(-1, *[1] * (quadratic.ndim - 2))


def _contact_weights(contact: Contact | None) -> tuple[np.ndarray, Float[Array, " c"]]:
    """Which of [1, contact terms] there are, and their values; a number 0 is no term."""
    values = {} if contact is None else {name: getattr(contact, name) for name in CONTACT_NAMES}
    given = {k: v for k, v in enumerate(values.values(), 1) if not (isinstance(v, int | float) and v == 0)}
    return np.array([0, *given]), jnp.stack([jnp.asarray(value, float) for value in (1.0, *given.values())])
