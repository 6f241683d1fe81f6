"""A data set of two rows whose programs compile in a second, and a point as on the command line."""

POINT = ["m_V=5.5", "g_mu_V=0.03", "r_AV=-0.4", "g_D=1", "r=-3"]

TOY = """\
schema: jaxdark-measurements-1
title: A toy measurement
entries:
- id: Toy_RK
  experiment: Toy
  year: 2030
  reference: nowhere
  source: made up
  quality: published
  rows:
  - {process: B+->K+ll, observable: R_K, q2: [1.1, 6.0], value: 0.85, total: [0.06, -0.05]}
- id: Toy_Bsmumu
  experiment: Toy
  year: 2030
  reference: nowhere
  source: made up
  quality: unverified
  rows:
  - {process: Bs->mumu, observable: BR, value: 3.0e-9, stat: 0.5e-9, syst: 0.2e-9}
"""

# A second measurement of B_s -> mu mu, so that two parameters leave a degree of freedom.
_AGAIN = TOY[TOY.index("- id: Toy_Bsmumu") :].replace("Toy_Bsmumu", "Toy_again").replace("3.0e-9", "3.4e-9")
TOY_OF_THREE = TOY + _AGAIN.replace("experiment: Toy", "experiment: Other").replace("nowhere", "elsewhere")
