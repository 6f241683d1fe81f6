"""The second narrow waist: one vector of predictions in the order of a data set's rows.

Inputs: rows (process, observable, q2), the inputs and a model. Outputs: the vector, either with every nuisance
parameter free (`Predictor.__call__`) or at the central inputs from precomputed tables (`Predictor.tabulated`).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.compute.aot import AotFunction
from jaxdark.errors import RequestError
from jaxdark.inputs import StandardModel
from jaxdark.models.wilson import HasNewPhysics, NewPhysics
from jaxdark.semileptonic.amplitudes import Decay, NonLocal, decay_at, nonlocal_at, side_by_side
from jaxdark.semileptonic.bins import Panels, integrated_rates, join_panels, make_panels, rate_differences
from jaxdark.semileptonic.kinematics import CHANNELS, Bin, Channel
from jaxdark.semileptonic.leptonic import br_bs_mumu, tau_mumu
from jaxdark.semileptonic.nuisances import LAMBDA_T, Nuisances
from jaxdark.semileptonic.observables import (
    ANGULAR,
    ANGULAR_NAMES,
    ASYMMETRIES,
    INTEGRAL_MATRIX,
    INTEGRALS,
    asymmetry_names,
    building_blocks,
)
from jaxdark.semileptonic.tables import Directions, RateTables

# The ratio of a charged mode is that of the neutral one: they differ by isospin breaking alone, far below any error.
RATIO_STEMS = {"B+->K+ll": "B+->K+", "B0->K0ll": "B0->K0", "B0->K*0ll": "B0->K*0", "B+->K*+ll": "B0->K*0"}


_ONE = "one"
_LEPTONIC = {"BR": br_bs_mumu, "tau_mumu": tau_mumu}
"""Observables of Bs -> mu mu; with `_ONE` they come before the blocks in the vector that rows are ratios of."""


def _difference(name: str) -> str:
    return f"difference of {name}"


# Numerator, denominator and factor of each observable that is a ratio within one decay.
_RATIOS = ANGULAR | {name: (_difference(above), below, sign) for name, (above, below, sign) in ASYMMETRIES.items()}


@runtime_checkable
class RowLike(Protocol):
    """What a prediction needs to know of a measurement."""

    process: str
    observable: str
    q2: Bin | None


class _Spin(NamedTuple):
    """All bins of all channels with the same spin of the meson, side by side.

    Attributes:
        channels: one per part.
        nodes: q2 of the part's panels, GeV^2.
        nonlocal_: what no nuisance parameter touches, at those nodes.
        panels: of all parts together.
        keys: (process, bin) of each bin.
    """

    channels: tuple[Channel, ...]
    nodes: tuple[np.ndarray, ...]
    nonlocal_: tuple[NonLocal, ...]
    panels: Panels
    keys: tuple[tuple[str, Bin], ...]

    @classmethod
    def build(cls, bins: dict[str, dict[Bin, None]], sm: StandardModel) -> "_Spin":
        channels = tuple(CHANNELS[name] for name in bins)
        parts = [make_panels(list(bins[channel.name]), channel, sm) for channel in channels]
        nodes = tuple(part.nodes for part in parts)

        def at_nodes(q2s, sm):
            return [tuple(nonlocal_at(q2, channel, sm)) for q2, channel in zip(q2s, channels, strict=True)]

        known = AotFunction(at_nodes, closure=("nonlocal", channels))(nodes, sm)
        nonlocal_ = tuple(NonLocal(*parts) for parts in known)
        keys = tuple((name, q2) for name in bins for q2 in bins[name])
        return cls(channels, nodes, nonlocal_, join_panels(parts), keys)

    def decay(self, sm: StandardModel) -> Decay:
        """The decays at all nodes for inputs whose nuisance parameters may have moved."""
        parts = zip(self.nodes, self.channels, self.nonlocal_, strict=True)
        return side_by_side([decay_at(q2, channel, sm, known) for q2, channel, known in parts])

    def integrals(self, of: Callable, physics: NewPhysics, sm: StandardModel) -> Float[Array, "integrals bins"]:
        """The combinations of `matrix` from the amplitude at all nodes, `of` averages or of half the differences."""
        return self.matrix @ of(physics, self.decay(sm), self.panels, sm).T

    @property
    def matrix(self) -> np.ndarray:
        """Combinations of the integrated J_i (or of dGamma/dq2) that the observables are made of."""
        return INTEGRAL_MATRIX if self.channels[0].spin else np.ones((1, 1))


def _decays_of(row: RowLike) -> list[str]:
    """Decays the row is made of, that of a ratio's numerator first; none for B_s -> mu mu."""
    if row.observable in ("R_K", "R_Kst") and row.process in RATIO_STEMS:
        return [f"{RATIO_STEMS[row.process]}{leptons}" for leptons in ("mumu", "ee")]
    channel = CHANNELS.get(row.process)
    if channel and row.observable in ("dBR", *(ANGULAR_NAMES if channel.spin else ()), *asymmetry_names(channel)):
        return [row.process]
    if row.process == "Bs->mumu" and row.observable in _LEPTONIC:
        return []
    raise RequestError(
        f"no prediction for the observable {row.observable!r} of {row.process!r}; known are dBR of "
        f"{', '.join(CHANNELS)}, {', '.join(ANGULAR_NAMES)} of those with a vector, {', '.join(ASYMMETRIES)} of "
        "B0->K*0 (A5, A6s, A8 and A9 of Bs->phi, ACP of B+->K+), "
        f"R_K or R_Kst of {', '.join(RATIO_STEMS)}, and {' and '.join(_LEPTONIC)} of Bs->mumu"
    )


class Predictor:
    """Predictions for a sequence of rows; pure functions of a model, to be jitted by the caller.

    Args:
        rows: measurements, or anything with process, observable and q2 (GeV^2).
        sm: central inputs; everything that no nuisance parameter moves is taken from them.
        form_factors: as `Nuisances` takes it.

    Attributes:
        nuisances: the theory parameters the rows depend on.

    Raises:
        RequestError: an observable or process without prediction, or a bin outside its range.
    """

    def __init__(self, rows: Sequence[RowLike], sm: StandardModel, form_factors: Sequence[str] = ()):
        self.rows, self.sm = tuple(rows), sm
        bins: dict[int, dict[str, dict[Bin, None]]] = {0: {}, 1: {}}
        for row in self.rows:
            for process in _decays_of(row):
                bins[CHANNELS[process].spin].setdefault(process, {})[tuple(row.q2)] = None
        self._spins = tuple(_Spin.build(channels, sm) for channels in bins.values() if channels)
        uses = [(CHANNELS[process], q2) for spin in self._spins for process, q2 in spin.keys]
        self._with_differences = any(row.observable in ASYMMETRIES for row in self.rows)
        leptonic = any(row.process == "Bs->mumu" for row in self.rows)
        self.nuisances = Nuisances(uses, sm, leptonic=leptonic, form_factors=form_factors)
        index = {key: i for i, key in enumerate(self._keys())}
        ratios = [self._ratio(row) for row in self.rows]
        self._numerator = np.array([index[numerator] for numerator, _, _ in ratios])
        self._denominator = np.array([index[denominator] for _, denominator, _ in ratios])
        self._factor = np.array([factor for _, _, factor in ratios])

    def _keys(self) -> Iterator[Hashable]:
        """Keys of the vector that `_assemble` picks from: (block, process, bin), after the first ones."""
        yield from (_ONE, *_LEPTONIC)
        for spin in self._spins:
            one = np.ones((len(spin.matrix), 1))
            for block in _blocks(one, one if self._with_differences else None):
                yield from ((block, *key) for key in spin.keys)

    def _ratio(self, row: RowLike) -> tuple[Hashable, Hashable, float]:
        """What a row is: the keys of a numerator and of a denominator, and a factor."""
        decays = _decays_of(row)
        if not decays:
            return row.observable, _ONE, 1.0
        q2 = tuple(row.q2)
        if row.observable in _RATIOS:
            above, below, sign = _RATIOS[row.observable]
            return (above, *decays, q2), (below, *decays, q2), sign
        rates = [("rate", process, q2) for process in decays]
        if row.observable == "dBR":
            lifetime = getattr(self.sm, CHANNELS[row.process].lifetime)
            return rates[0], _ONE, float(lifetime) / float(np.ptp(q2))
        muons, electrons = rates
        return muons, electrons, 1.0

    def __call__(self, model: HasNewPhysics, xi: Float[Array, " nuisances"] | None = None) -> Float[Array, " rows"]:
        """Predictions with the full amplitude at every node.

        Args:
            model: a model or a `NewPhysics` record.
            xi: standard-normal coordinates of the nuisance parameters, (len(nuisances),); None for central values.
        """
        sm = self.sm if xi is None else self.nuisances.inputs(xi, self.sm)
        physics = model.new_physics(sm)
        integrals = [spin.integrals(integrated_rates, physics, sm) for spin in self._spins]
        return self._assemble(integrals, physics, sm)

    def new_physics(self, model: HasNewPhysics, xi: Float[Array, " nuisances"]) -> tuple[NewPhysics, NewPhysics]:
        """The record of a model at xi and its slopes there (in that of V_tb V_ts^*), on a trailing axis."""

        def with_value(xi):
            physics = model.new_physics(self.nuisances.inputs(xi, self.sm))
            physics = jax.tree.map(lambda value: jnp.asarray(value, jnp.result_type(value, float)), physics)
            return physics, physics

        slopes, physics = jax.jacfwd(with_value, has_aux=True)(xi)
        return physics, slopes

    def linearised(
        self, physics: NewPhysics, slopes: NewPhysics, xi: Float[Array, " nuisances"]
    ) -> tuple[Float[Array, " rows"], Float[Array, "rows nuisances"]]:
        """Predictions at xi and their derivative with respect to it, from what `new_physics` returns.

        Apart from the model, so that one compiled program serves all models that end in the same record. Slopes that
        are None are those of what xi does not move, see `moving`.
        """

        def shifted(there):
            def moved(slope, value):
                return value if slope is None else value + slope @ (there - xi)

            return self(jax.tree.map(moved, slopes, physics, is_leaf=lambda slope: slope is None), there)

        # One direction after the other: batched over all of them the program takes longer to compile than to run.
        directions = np.eye(len(self.nuisances))
        predictions, columns = jax.lax.map(lambda direction: jax.jvp(shifted, (xi,), (direction,)), directions)
        return predictions[0], columns.T

    def tabulated(self) -> Callable[[NewPhysics], Float[Array, " rows"]]:
        """The same predictions at the central inputs from tables computed once: a function of the model alone."""
        sm = self.sm
        tables = [RateTables.build(spin.decay, spin.panels, spin.matrix, sm) for spin in self._spins]

        def predictions(model: HasNewPhysics) -> Float[Array, " rows"]:
            physics = model.new_physics(sm)
            return self._assemble([table(physics) for table in tables], physics, sm)

        return predictions

    def tabulated_linearised(
        self,
    ) -> Callable[[HasNewPhysics], tuple[Float[Array, " rows"], Float[Array, "rows nuisances"]]]:
        """The same predictions and their derivative with respect to the nuisances: a function of the model alone.

        Of the inputs that nuisances move, a model may depend on V_tb V_ts^* alone.
        """
        sm, nuisances = self.sm, self.nuisances
        uses = [[(CHANNELS[process], tuple(row.q2)) for process in _decays_of(row)] for row in self.rows]
        columns = nuisances.columns(uses)
        directions = Directions(lambda xi: nuisances.inputs(xi, sm), columns.along)
        tables, slopes = (
            [RateTables.build(spin.decay, spin.panels, spin.matrix, sm, of) for spin in self._spins]
            for of in (None, directions)
        )
        lambda_t = nuisances.names.index(LAMBDA_T)
        along_lambda_t = np.eye(len(nuisances))[lambda_t]

        def linearised(model: HasNewPhysics):
            def of_physics(physics):
                integrals = [table(physics) for table in tables]
                return self._assemble(integrals, physics, sm), integrals

            physics, moved = eqx.filter_jvp(
                lambda t: model.new_physics(nuisances.inputs(t * along_lambda_t, sm)), (0.0,), (1.0,)
            )
            (predictions, integrals), (through_model, _) = eqx.filter_jvp(of_physics, (physics,), (moved,))
            # None where no input moves the model.
            through_model = 0.0 if through_model is None else through_model

            def of_inputs(integrals, xi):
                return self._assemble(integrals, physics, nuisances.inputs(xi, sm))

            def derivative(integrals_moved, direction):
                return jax.jvp(of_inputs, (integrals, nuisances.zero()), (integrals_moved, direction))[1]

            parts = [
                slope(physics).reshape(len(columns.along), *part.shape)
                for slope, part in zip(slopes, integrals, strict=True)
            ]
            along = jax.vmap(derivative)(parts, columns.along)
            return predictions, columns.expanded(along.at[columns.of[lambda_t]].add(through_model))

        return linearised

    def _assemble(
        self, integrals: list[Float[Array, "_ _"]], physics: NewPhysics, sm: StandardModel
    ) -> Float[Array, " rows"]:
        """The rows from the CP-averaged integrals of each spin, shape (integrals, bins); half the differences are added
        where a row asks for them.
        """
        blocks = []
        for spin, part in zip(self._spins, integrals, strict=True):
            differences = spin.integrals(rate_differences, physics, sm) if self._with_differences else None
            blocks += _blocks(part, differences).values()
        leptonic = jnp.stack([value(physics, sm) for value in _LEPTONIC.values()])
        flat = jnp.concatenate([jnp.ones(1), leptonic, *blocks])
        return flat[self._numerator] / flat[self._denominator] * self._factor


def moving(slopes: NewPhysics) -> NewPhysics:
    """Slopes of a record that are plain arrays, with None for all of a resonance but its strengths if those are zero.

    That is so where the model takes nothing but its couplings to b and s from V_tb V_ts^*. The weights of the resonance
    in every bin are then no function of xi, and most of the program that differentiates the predictions is not there.
    """
    resonance = slopes.resonance
    if resonance is None:
        return slopes
    shape = [
        name for name in ("m_V", "width", "vertex", "dipole", "thresholds") if getattr(resonance, name) is not None
    ]
    if any(np.any(leaf) for name in shape for leaf in jax.tree.leaves(getattr(resonance, name))):
        return slopes
    return eqx.tree_at(lambda record: [getattr(record.resonance, name) for name in shape], slopes, [None] * len(shape))


def _blocks(
    integrals: Float[Array, "integrals bins"], differences: Float[Array, "integrals bins"] | None
) -> dict[str, Float[Array, " bins"]]:
    """What the rows of one spin are ratios of, per bin."""
    blocks = {"rate": integrals[0]} if len(integrals) == 1 else building_blocks(integrals)
    if differences is None:
        return blocks
    return blocks | {_difference(name): row for name, row in zip(INTEGRALS, differences, strict=False)}
