"""B -> K + invisible, Eqs. (21), (22), App. A: rates and their integrals; CLEO, BaBar, Belle and Belle II."""
