"""B -> K + invisible, Eqs. (21), (22) and App. A: rates, their integrals over q2, and the searches of CLEO, BaBar, Belle, Belle II."""
