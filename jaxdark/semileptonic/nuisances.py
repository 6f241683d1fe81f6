"""Theory parameters with a prior: form factors, hadronic parameters, V_tb V_ts^* and f_Bs.

Inputs: which decays and q2 regions a data set uses. Outputs: standard-normal coordinates xi and the inputs at any xi.
Section 2.4 of the semileptonic formulas, priors from data/inputs.yaml and data/form_factors.yaml.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import attrgetter
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdark.inputs import StandardModel, form_factor_covariance, lambda_t_error, read_data
from jaxdark.semileptonic.charmonium import CHARMONIUM
from jaxdark.semileptonic.kinematics import Bin, Channel

LAMBDA_T, F_BS = "lambda_t", "f_Bs"


class _Block(NamedTuple):
    """One PyTree leaf of the inputs, shifted by scale @ xi; complex where the leaf is."""

    field: str
    where: Callable[[StandardModel], Array]
    names: tuple[str, ...]
    scale: np.ndarray


def _scalar(name: str, uncertainty: float) -> _Block:
    return _Block(name, attrgetter(name), (name,), np.array([uncertainty]))


def _form_factors(field: str, sm: StandardModel) -> _Block:
    chosen = getattr(sm, field)
    scale = np.linalg.cholesky(form_factor_covariance(chosen.source))
    return _Block(field, attrgetter(f"{field}.coefficients"), tuple(f"{field}/{n}" for n in chosen.names), scale)


def _hadronic(field: str) -> _Block:
    table = {
        "Kst_low": "B_to_V_low", "phi_low": "Bs_to_phi_low", "Kst_high": "B_to_V_high",
        "phi_high": "B_to_V_high", "K_low": "B_to_K_low", "K_high": "B_to_K_high",
    }  # fmt: skip
    widths = read_data("inputs.yaml")["hadronic_nuisance_widths"][table[field]]
    scale = np.array(list(widths.values()))
    names = tuple(f"{part} {field}/{name}" for part in ("Re", "Im") for name in widths)
    return _Block(field, attrgetter(f"hadronic.{field}"), names, np.hstack([np.diag(scale), 1j * np.diag(scale)]))


def _hadronic_field(channel: Channel, q2: Bin) -> str:
    """Which hadronic parameters a bin has, those below the charmonium resonances or above."""
    return channel.low if q2[1] <= CHARMONIUM[0] else channel.high


class Columns(NamedTuple):
    """A Jacobian's columns, nuisances that no prediction has both of in one: a third of the derivatives to take.

    Attributes:
        along: coordinates xi of the direction of each column, ones and zeros, (columns, nuisances).
        of: column of each nuisance, (nuisances,).
        moves: which predictions each nuisance moves, (predictions, nuisances).
    """

    along: Float[np.ndarray, "columns nuisances"]
    of: Int[np.ndarray, " nuisances"]
    moves: Bool[np.ndarray, "predictions nuisances"]

    def expanded(self, columns: Float[Array, "columns predictions"]) -> Float[Array, "predictions nuisances"]:
        """The Jacobian from the derivatives along the columns' directions."""
        return columns.T[:, self.of] * self.moves


class Nuisances:
    """Standard-normal coordinates of the theory parameters that a set of decays depends on.

    Args:
        uses: (channel, bin) pairs of the predictions.
        sm: central inputs.
        leptonic: whether B_s -> mu mu (f_Bs) is among the predictions.
        form_factors: fields of the inputs whose form factors something else depends on as well.

    Attributes:
        names: one name per coordinate.
    """

    def __init__(
        self,
        uses: Iterable[tuple[Channel, Bin]],
        sm: StandardModel,
        *,
        leptonic: bool,
        form_factors: Sequence[str] = (),
    ):
        uses = list(uses)
        fields = dict.fromkeys([*(channel.form_factor_set for channel, _ in uses), *form_factors])
        hadronic = dict.fromkeys(_hadronic_field(channel, q2) for channel, q2 in uses)
        self._blocks = [
            *(_form_factors(field, sm) for field in fields),
            *(_hadronic(field) for field in hadronic),
            _scalar(LAMBDA_T, lambda_t_error(sm.V_cb)),
            *([_scalar(F_BS, read_data("inputs.yaml")["inputs"]["f_Bs"]["uncertainty"])] if leptonic else []),
        ]
        self.names: tuple[str, ...] = tuple(name for block in self._blocks for name in block.names)

    def __len__(self) -> int:
        return len(self.names)

    def inputs(self, xi: Float[Array, " n"], sm: StandardModel) -> StandardModel:
        """The inputs shifted from their central values in `sm` by the coordinates xi (standard normal a priori)."""
        start = 0
        for block in self._blocks:
            part = xi[start : start + len(block.names)]
            start += len(block.names)
            shift = block.scale @ part if block.scale.ndim == 2 else block.scale[0] * part[0]
            sm = eqx.tree_at(block.where, sm, block.where(sm) + shift)
        return sm

    def columns(self, uses: Sequence[Sequence[tuple[Channel, Bin]]]) -> Columns:
        """Columns for predictions by the (channel, bin) pairs that each is made of, none for B_s -> mu mu."""
        fields = [
            {
                LAMBDA_T,
                *(field for channel, q2 in pairs for field in (channel.form_factor_set, _hadronic_field(channel, q2))),
            }
            if pairs
            else {LAMBDA_T, F_BS}
            for pairs in uses
        ]
        first: dict[str, int] = {}
        for block in self._blocks:
            beside = {field for each in fields if block.field in each for field in each} & set(first)
            taken = {first[b.field] + i for b in self._blocks if b.field in beside for i in range(len(b.names))}
            own = range(len(block.names))
            first[block.field] = next(k for k in count() if taken.isdisjoint(k + i for i in own))
        of = np.array([first[block.field] + i for block in self._blocks for i in range(len(block.names))])
        moves = [[block.field in each for block in self._blocks for _ in block.names] for each in fields]
        return Columns((of == np.arange(of.max() + 1)[:, None]).astype(float), of, np.array(moves))

    def zero(self) -> Float[Array, " n"]:
        """Coordinates of the central inputs."""
        return jnp.zeros(len(self))
