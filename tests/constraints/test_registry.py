"""All constraints at once: what several of them share is made once, and says the same as each by itself."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdark.constraints.limit import Constraint, LimitResult, SharedPrediction, without_limit
from jaxdark.constraints.registry import all_constraints, verdicts
from jaxdark.inputs import load_inputs
from jaxdark.models.split import SplitDarkSector

MODEL = {"m_V": 5.5, "g_mu_V": 0.03, "r_AV": -0.4, "g_D": 1.0, "r": -3.0}


def test_predictions_are_made_once():
    made = []

    def prediction(model, sm):
        made.append(1)
        return 2 * model.m_V

    def evaluate(prediction, model, sm):
        return without_limit(prediction + model.g_D)

    shared = SharedPrediction(prediction, evaluate)
    entries = [Constraint(str(i), shared, "") for i in range(3)]
    entries.append(Constraint("3", lambda model, sm: without_limit(model.r), ""))
    model, sm = SplitDarkSector(**MODEL), load_inputs()
    np.testing.assert_array_equal(verdicts(model, sm, entries).value, [12.0, 12.0, 12.0, -3.0])
    assert len(made) == 1
    assert shared(model, sm).value == 12.0


def test_together_as_by_themselves():
    sm = load_inputs()
    wanted = all_constraints(SplitDarkSector)

    @jax.jit
    def both(values):
        model = SplitDarkSector(**values)
        each = [constraint.verdict(model, sm) for constraint in wanted]
        return verdicts(model, sm, wanted), LimitResult(*(jnp.stack(field) for field in zip(*each, strict=True)))

    together, alone = both(MODEL)
    assert together.value.shape == (len(wanted),)
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
