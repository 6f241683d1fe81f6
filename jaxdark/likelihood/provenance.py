"""What a result was made of, in one record, from which all files, checkpoints and refusals take it.

Inputs: a likelihood, a prior or the hashes of a model, and the settings of a method. Outputs: `Provenance` and its form
in JSON's types. It is no part of `io`, which knows nothing of likelihoods and priors.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxdark._version import versions
from jaxdark.inputs import StandardModel
from jaxdark.io.results import plain
from jaxdark.likelihood import identity
from jaxdark.likelihood.likelihood import Likelihood
from jaxdark.likelihood.priors import Prior
from jaxdark.models.base import Model

NEEDS = ("inputs", "data_sha256")
"""What `results.load` must find where numbers of a result are made again, or compared with those of another one."""
_LIBRARIES = ("optax", "numpyro", "arviz", "blackjax")
"""Beside those that every number depends on: they fit, draw and judge."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything that fixes a result; what does not apply is None.

    Attributes:
        settings: those of the method, by name.
        model: name of the model.
        physics: what of it is computed, such as "complete" or "paper", where there is a choice, see `Model.physics`.
        model_identity: hashes of what it predicts and of its code, see `identity`.
        region: name of the prior.
        prior: ranges by parameter.
        data: name of the data set, or several by name.
        data_sha256: hash of the data set, or several by name.
        data_cut_off: date up to which its measurements were taken in, or several by name.
        theory, g_minus_2: modes of the likelihood.
        terms_beside: what the term of each constraint beside the data set is, by its name.
        inputs: the scalar inputs by name.
        form_factors, V_cb: which of each the inputs were loaded with, see `load_inputs`.
        inputs_sha256: hash of all inputs, form factors included.
        seed: of random numbers.
        device: kind of processor.
        versions: of this package, its code and the libraries.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    physics: str | None = None
    model_identity: dict[str, str] | None = None
    region: str | None = None
    prior: dict[str, dict[str, Any]] | None = None
    data: str | None = None
    data_sha256: str | dict[str, str] | None = None
    data_cut_off: str | dict[str, str] | None = None
    theory: str | None = None
    g_minus_2: str | None = None
    terms_beside: Mapping[str, str] | None = None
    inputs: dict[str, Any] | None = None
    form_factors: str | None = None
    V_cb: str | None = None
    inputs_sha256: str | None = None
    seed: int | None = None
    device: str = field(default_factory=lambda: jax.default_backend())
    versions: dict[str, str] = field(default_factory=lambda: versions(*_LIBRARIES))

    def json(self) -> dict[str, Any]:
        """The record in JSON's types without what is None; the settings of the method stand beside the rest."""
        known = {name: value for name, value in vars(self).items() if value is not None and name != "settings"}
        return plain({**self.settings, **known})


def provenance(
    like: Likelihood,
    prior: Prior | None = None,
    *,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    model: Model | None = None,
    model_identity: dict[str, str] | None = None,
) -> Provenance:
    """The record of a result.

    Args:
        like: the likelihood.
        prior: of the parameters; None where the settings say which points there are.
        seed: of random numbers.
        settings: of the method.
        model, model_identity: at one of the points, and its hashes, where there is no prior.
    """
    physics = None if model is None else model.physics
    of_points = {"model_identity": model_identity, "physics": physics}
    return Provenance(
        **of_points if prior is None else prior_provenance(prior),
        settings=settings or {},
        data=like.data.name,
        data_sha256=like.data.sha256,
        data_cut_off=like.data.cut_off,
        theory=like.theory,
        g_minus_2=like.g_minus_2,
        terms_beside=like.terms_beside.forms() or None,
        inputs=like.sm.scalars,
        form_factors=like.sm.form_factors,
        V_cb=like.sm.V_cb,
        inputs_sha256=_inputs_sha256(like.sm),
        seed=seed,
    )


def prior_provenance(prior: Prior) -> dict[str, Any]:
    """The fields of the record that a prior fixes."""
    return {
        "model": prior.model_name,
        "physics": prior.physics,
        "model_identity": identity.of_prior(prior),
        "region": prior.region,
        "prior": {name: limits._asdict() for name, limits in prior.ranges.items()},
    }


def _inputs_sha256(sm: StandardModel) -> str:
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(sm))).hexdigest()
