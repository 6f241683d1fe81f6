"""The paper's model with its formulas as printed, of which most checkpoints are; by itself it is complete."""

from functools import partial

from jaxdark.models.split import SplitDarkSector

printed = partial(SplitDarkSector, physics="paper")
