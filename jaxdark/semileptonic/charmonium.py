"""The range of q2 around J/psi and psi(2S) in which nothing is predicted.

Inputs: a bin in GeV^2. Outputs: whether it reaches into that range. Imports no JAX, so that data are read at once.
"""

CHARMONIUM = (9.0, 14.0)
"""Open interval of q2, GeV^2; hadronic nuisances change their meaning across it."""


def in_charmonium(q2: tuple[float, float]) -> bool:
    """Whether the bin q2 (GeV^2) overlaps the open interval CHARMONIUM."""
    return q2[0] < CHARMONIUM[1] and q2[1] > CHARMONIUM[0]
