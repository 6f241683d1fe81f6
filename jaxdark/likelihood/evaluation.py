"""What a likelihood says of one model that is not traced.

Inputs: linearised predictions of the model and those that the theory errors are taken from. Outputs: predictions,
pulls, chi2 and log-likelihood terms as plain numbers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.likelihood.nuisance_profile import Linearised


class Evaluation(NamedTuple):
    """A model against the data.

    Attributes:
        predictions: at the central nuisances, in the units of the rows.
        theory_error: of each prediction there: that of the model itself, or of the reference where one was chosen.
        pulls: (prediction - measurement)/error of each row, errors of experiment and theory together, uncorrelated.
        terms: named log-likelihood terms; "flavour" has the prior of the nuisances in it where they are profiled, and
            with a fixed covariance those of constraints are conditional on the rows and on each other in their order.
        log_likelihood: their sum.
        chi2: "experiment" (flavour rows with the experimental covariance alone), "total" (minus twice the
            log-likelihood) and "rows".
        by_experiment: chi2 of the rows of each experiment at the best nuisances, and what these cost ("nuisances"):
            minus twice the terms of rows and constraints, but for those of the latter and the log-determinant.
    """

    predictions: Float[np.ndarray, " rows"]
    theory_error: Float[np.ndarray, " rows"]
    pulls: Float[np.ndarray, " rows"]
    terms: dict[str, float]
    log_likelihood: float
    chi2: dict[str, float]
    by_experiment: dict[str, float]

    @classmethod
    def build(
        cls,
        central: Linearised,
        theory: Linearised,
        correlation: Float[np.ndarray, "rows rows"],
        terms: dict[str, float],
        by_experiment: dict[str, float],
    ) -> "Evaluation":
        """The evaluation of a model.

        Args:
            central: its predictions at the central nuisances.
            theory: those whose derivatives give the theory errors.
            correlation: experimental, between the rows.
            terms: log-likelihood by name.
            by_experiment: as the attribute.
        """
        n = len(correlation)
        experiment = float(central.z[:n] @ np.linalg.solve(correlation, central.z[:n]))
        log_likelihood = sum(terms.values())
        return cls(
            predictions=central.predictions,
            theory_error=np.sqrt((theory.jacobian**2).sum(axis=1)),
            pulls=(central.z / np.sqrt(1 + (theory.standardised_jacobian**2).sum(axis=1)))[:n],
            terms=terms,
            log_likelihood=log_likelihood,
            chi2={"experiment": experiment, "total": -2 * log_likelihood, "rows": n},
            by_experiment=by_experiment,
        )
