"""The words that a request chooses among, where the command line, the library and the stored results share them.

Inputs: none. Outputs: types of text; `typing.get_args` lists their words. Nothing is imported, so that the help of a
command needs no JAX.
"""

from typing import Literal

ModelName = Literal["split", "zprime", "constant", "box"]
"""The shipped models, see `jaxdark.models.registry`."""
PhysicsName = Literal["paper", "complete"]
"""Of the model split. paper: the formulas of arXiv:2002.11150 as printed; complete: the leading order of Eq. (5)."""
FormFactors = Literal["bsz2015", "grvdv2023", "hpqcd2022"]
"""Sets of form factors, see `jaxdark.inputs.load_inputs`."""
VcbName = Literal["inclusive", "exclusive"]
"""Which |V_cb| the couplings V_tb V_ts^* are taken with."""
Theory = Literal["marginalised", "following", "full"]
"""What becomes of the hadronic nuisances.

marginalised: a covariance, taken at one reference; following: that of each point, with its log-determinant, some 40
times the work of a point; full: parameters.
"""
GMinus2 = Literal["limit", "upper", "measurement", "wp2020", "wp2025"]
"""Reading of (g-2) of the muon: Gaussian of mean 0, its upper half alone, or experiment minus Standard Model.

measurement: E821 as known in 2020; wp2020, wp2025: the world average of 2025 minus the White Paper of that year.
"""
MEASURED_G_MINUS_2: tuple[GMinus2, ...] = ("measurement", "wp2020", "wp2025")
Method = Literal["nuts", "nested", "importance"]
"""How a posterior is drawn from: Markov chains, nested sampling, or weighted points of the prior."""
Kernel = Literal["flow", "gradient", "plain"]
"""What moves the chains of the method "nuts"; all three draw from the same posterior and pass the same diagnostics.

flow: NUTS in the coordinates of a flow trained on importance samples, with the force of the standard normal that the
flow makes of the posterior; the likelihood is never differentiated, only weighed. gradient: in the same coordinates
with the likelihood's own gradient, step size and dense mass matrix adapted. plain: the same in prior quantiles, no
flow.
"""
