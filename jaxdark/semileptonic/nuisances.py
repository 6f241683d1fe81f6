"""Theory parameters with a prior: form factors, hadronic parameters, V_tb V_ts^* and f_Bs.

Inputs: which decays and q2 regions a data set uses. Outputs: standard-normal coordinates xi and the inputs at any xi.
Section 2.4 of the semileptonic formulas, priors from data/inputs.yaml and data/form_factors.yaml.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdark.inputs import StandardModel, form_factor_covariance, lambda_t_error, read_data
from jaxdark.semileptonic.charmonium import CHARMONIUM
from jaxdark.semileptonic.kinematics import Bin, Channel


class _Block(NamedTuple):
    """One PyTree leaf of the inputs, shifted by scale @ xi; complex where the leaf is."""

    where: Callable[[StandardModel], Array]
    names: tuple[str, ...]
    scale: np.ndarray


def _scalar(name: str, uncertainty: float) -> _Block:
    return _Block(attrgetter(name), (name,), np.array([uncertainty]))


def _form_factors(field: str, sm: StandardModel) -> _Block:
    chosen = getattr(sm, field)
    scale = np.linalg.cholesky(form_factor_covariance(chosen.source))
    return _Block(attrgetter(f"{field}.coefficients"), tuple(f"{field}/{n}" for n in chosen.names), scale)


def _hadronic(field: str) -> _Block:
    table = {
        "Kst_low": "B_to_V_low", "phi_low": "Bs_to_phi_low", "Kst_high": "B_to_V_high",
        "phi_high": "B_to_V_high", "K_low": "B_to_K_low", "K_high": "B_to_K_high",
    }  # fmt: skip
    widths = read_data("inputs.yaml")["hadronic_nuisance_widths"][table[field]]
    scale = np.array(list(widths.values()))
    names = tuple(f"{part} {field}/{name}" for part in ("Re", "Im") for name in widths)
    return _Block(attrgetter(f"hadronic.{field}"), names, np.hstack([np.diag(scale), 1j * np.diag(scale)]))


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
        hadronic = dict.fromkeys(channel.low if q2[1] <= CHARMONIUM[0] else channel.high for channel, q2 in uses)
        self._blocks = [
            *(_form_factors(field, sm) for field in fields),
            *(_hadronic(field) for field in hadronic),
            _scalar("lambda_t", lambda_t_error(sm.V_cb)),
            *([_scalar("f_Bs", read_data("inputs.yaml")["inputs"]["f_Bs"]["uncertainty"])] if leptonic else []),
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

    def zero(self) -> Float[Array, " n"]:
        """Coordinates of the central inputs."""
        return jnp.zeros(len(self))
