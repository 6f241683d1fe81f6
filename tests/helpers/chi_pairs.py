"""B -> M chi chi written out once more: traces of explicit gamma matrices, and integrals in mpmath."""

import itertools

import mpmath as mp
import numpy as np

MODES = {
    "B+->K+": ("m_Bp", "m_Kp", "B_to_K"),
    "B0->K*0": ("m_B0", "m_Kst0", "B_to_Kst"),
    "Bs->phi": ("m_Bs", "m_phi", "Bs_to_phi"),
}

# ---- Explicit traces ----

_SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
_ZERO, _ONE = np.zeros((2, 2)), np.eye(2)
GAMMA = np.array([np.block([[_ZERO, _ONE], [_ONE, _ZERO]]), *(np.block([[_ZERO, s], [-s, _ZERO]]) for s in _SIGMA)])
GAMMA5 = np.diag([-1.0, -1, 1, 1])
METRIC = np.diag([1.0, -1, -1, -1])
EPSILON = np.zeros((4, 4, 4, 4))
for _order in itertools.permutations(range(4)):
    EPSILON[_order] = np.linalg.det(np.eye(4)[list(_order)])


def slash(p):
    return np.einsum("m,mn,nab->ab", p, METRIC, GAMMA)


def pair_tensor(s, m_1, m_2, C_V, C_A):
    """sum over spins of j_mu j_nu^*, j = ubar_1 gamma_mu (C_V + C_A gamma_5) v_2, averaged over angles at rest."""
    E_1, E_2 = (s + m_1**2 - m_2**2) / (2 * np.sqrt(s)), (s + m_2**2 - m_1**2) / (2 * np.sqrt(s))
    p = np.sqrt(E_1**2 - m_1**2)
    x, w = np.polynomial.legendre.leggauss(6)
    total = np.zeros((4, 4), complex)
    vertices = np.einsum("mn,nab,bc->mac", METRIC, GAMMA, C_V * np.eye(4) + C_A * GAMMA5)
    conjugate = np.einsum("ab,mcb,cd->mad", GAMMA[0], vertices.conj(), GAMMA[0])
    for cos, weight in zip(x, w, strict=True):
        for phi in np.arange(8) * np.pi / 4:
            sin = np.sqrt(1 - cos**2)
            n = p * np.array([sin * np.cos(phi), sin * np.sin(phi), cos])
            first, second = slash(np.array([E_1, *n])) + m_1 * np.eye(4), slash(np.array([E_2, *-n])) - m_2 * np.eye(4)
            total += weight / 16 * np.einsum("ab,mbc,cd,nda->mn", first, vertices, second, conjugate)
    return total


def hadronic_currents(s, m_B, m_M, ff):
    """<M|sbar gamma^mu P_L b|B> of each polarisation, pair at rest, meson along z, from the usual decompositions."""
    momentum = np.sqrt(((m_B - m_M) ** 2 - s) * ((m_B + m_M) ** 2 - s)) / (2 * np.sqrt(s))
    q = np.array([np.sqrt(s), 0, 0, 0])
    k = np.array([np.sqrt(m_M**2 + momentum**2), 0, 0, momentum])
    p, difference = k + q, m_B**2 - m_M**2
    if hasattr(ff, "plus"):
        return [(ff.plus * (p + k - difference / s * q) + ff.zero * difference / s * q) / 2]
    kallen = 4 * s * momentum**2
    A2 = ((m_B + m_M) ** 2 * (difference - s) * ff.A1 - 16 * m_B * m_M**2 * (m_B + m_M) * ff.A12) / kallen
    A3 = ((m_B + m_M) * ff.A1 - (m_B - m_M) * A2) / (2 * m_M)
    polarisations = [np.array([0, 1, 1j, 0]) / np.sqrt(2), np.array([0, 1, -1j, 0]) / np.sqrt(2)]
    polarisations.append(np.array([momentum, 0, 0, k[0]]) / m_M)
    currents = []
    for e in polarisations:
        along = (e.conj() @ METRIC) @ q
        lower = [METRIC @ vector for vector in (e.conj(), p, k)]
        vector = 2 * ff.V / (m_B + m_M) * np.einsum("mnrs,n,r,s->m", EPSILON, *lower)
        axial = (m_B + m_M) * ff.A1 * e.conj() - A2 / (m_B + m_M) * along * (p + k)
        axial = axial - 2 * m_M * along / s * q * (A3 - ff.A0)
        currents.append((vector - 1j * axial) / 2)
    return currents


def dgamma_by_traces(s, m_B, m_M, ff, m_1, m_2, C_V, C_A):
    """dGamma/ds, GeV^-1."""
    tensor = pair_tensor(s, m_1, m_2, C_V, C_A)
    squared = sum(np.einsum("m,n,mn->", h, h.conj(), tensor).real for h in hadronic_currents(s, m_B, m_M, ff))
    momentum = np.sqrt(((m_B - m_M) ** 2 - s) * ((m_B + m_M) ** 2 - s)) / (2 * m_B)
    pair = np.sqrt((s - (m_1 + m_2) ** 2) * (s - (m_1 - m_2) ** 2)) / (8 * np.pi * s)
    return squared / (2 * m_B) * momentum / (4 * np.pi * m_B) * pair / (2 * np.pi)


# ---- Integrals in mpmath ----

_LARGE = mp.mpf(10) ** 25  # mpmath stops at an absolute error


def K(t):
    """int dz z(1-z) ln(1 - z(1-z) t - i0) for t > 0."""
    tau = 4 / t
    b = mp.sqrt(abs(1 - tau))
    R = b * (mp.log((1 + b) ** 2 / tau) - 1j * mp.pi) if tau <= 1 else 2 * b * mp.atan(1 / b)
    return (-mp.mpf(5) / 3 - tau + (1 + tau / 2) * R) / 6


def g_tilde(s, row):
    total = mp.mpf(0)
    for r, m in zip(row["r"], row["m_chi"], strict=True):
        x = (m / row["m_Phi"]) ** 2
        loop = (3 * (x - 1) - (x + 2) * mp.log(x)) / (6 * (x - 1) ** 2)
        total += r * (loop - 2 * K(s / m**2))
    return total / (16 * mp.pi**2 * row["m_Phi"] ** 2)


def d_tilde(row):
    total = mp.mpf(0)
    for r, m in zip(row["r"], row["m_chi"], strict=True):
        x = (m / row["m_Phi"]) ** 2
        total += r * (1 - x**2 + 2 * x * mp.log(x)) / (4 * (1 - x) ** 3)
    return total / (16 * mp.pi**2 * row["m_Phi"] ** 2)


def opening(s, m, vector, axial=0):
    """sqrt(s) Gamma(s) of one channel."""
    if s <= 4 * m**2:
        return mp.mpf(0)
    beta = mp.sqrt((s - 4 * m**2) / s)
    return beta * ((s + 2 * m**2) * vector + (s - 4 * m**2) * axial) / (12 * mp.pi)


def inverse_propagator(s, row, m_mu):
    g2, m2 = row["g_D"] ** 2, row["m_V"] ** 2
    muon = (row["g_mu_V"] ** 2, (row["r_AV"] * row["g_mu_V"]) ** 2)
    at = m2 if row["width"] == "constant" else s
    G = opening(at, m_mu, *muon)
    if row["width"] == "dispersive":
        loops = sum(K(s / m**2) - mp.re(K(m2 / m**2)) for m in row["m_chi"])
        return s - m2 - g2 / (2 * mp.pi**2) * s * loops + 1j * G
    return s - m2 + 1j * (G + sum(opening(at, m, g2) for m in row["m_chi"]))


def form_factors(s, ff):
    """BCL for B -> K, BSZ for B -> V, by name."""
    c, poles = dict(zip(ff.names, map(mp.mpf, map(float, ff.coefficients)), strict=True)), dict(ff.pole_masses)
    m_B, m_M = mp.mpf(float(ff.m_B)), mp.mpf(float(ff.m_M))
    t_plus, t_minus = (m_B + m_M) ** 2, (m_B - m_M) ** 2
    is_bcl = "f+:b0" in c
    t_0 = (m_B + m_M) * (mp.sqrt(m_B) - mp.sqrt(m_M)) ** 2 if is_bcl else t_plus * (1 - mp.sqrt(1 - t_minus / t_plus))

    def z(x):
        a, b = mp.sqrt(t_plus - x), mp.sqrt(t_plus - t_0)
        return (a - b) / (a + b)

    found = {}
    if is_bcl:
        for name in ("f+", "f0", "fT"):
            shift = 0 if name == "f0" else z(s) ** 3 / 3
            series = c[f"{name}:b0"] + c[f"{name}:b1"] * (z(s) - shift) + c[f"{name}:b2"] * (z(s) ** 2 + 2 * shift)
            found[name] = series / (1 - s / mp.mpf(float(poles[name])) ** 2)
        return found
    c["A12:a0"], c["T2:a0"] = c["A0:a0"] * (m_B**2 - m_M**2) / (8 * m_B * m_M), c["T1:a0"]
    for name in ("V", "A0", "A1", "A12", "T1", "T2", "T23"):
        dz = z(s) - z(mp.mpf(0))
        series = sum(c[f"{name}:a{k}"] * dz**k for k in range(3))
        found[name] = series / (1 - s / mp.mpf(float(poles[name])) ** 2)
    return found


def dgamma(s, row, chi, mode, sm, tree):
    """dGamma/ds of chi chibar of one kind by Sec. 3 of the complete calculation."""
    B, M, name = MODES[mode]
    m_B, m_M, m = mp.mpf(float(getattr(sm, B))), mp.mpf(float(getattr(sm, M))), row["m_chi"][chi]
    T = -row["r"][chi] / row["g_D"] / (2 * row["m_Phi"] ** 2) if tree else mp.mpf(0)
    exchange = row["g_D"] * s / inverse_propagator(s, row, mp.mpf(float(sm.m_mu)))
    W7 = exchange * row["eta7"] * d_tilde(row) * mp.mpf(float(sm.mb)) if row["dipole"] else mp.mpf(0)
    C_V, C_A = T / 2 + exchange * g_tilde(s, row), T / 2
    ff = form_factors(s, getattr(sm, name))
    kallen = ((m_B - m_M) ** 2 - s) * ((m_B + m_M) ** 2 - s)
    beta = mp.sqrt((s - 4 * m**2) / s)
    kin = mp.sqrt(kallen) * beta / (256 * mp.pi**3 * m_B**3)
    a_V, a_A, b_A = mp.mpf(4) / 3 * (s + 2 * m**2), mp.mpf(4) / 3 * (s - 4 * m**2), 8 * m**2
    if "f+" in ff:
        vector = abs(C_V * ff["f+"] + W7 * ff["fT"] / (m_B + m_M)) ** 2
        spin_one = kallen * (a_V * vector + a_A * (C_A * ff["f+"]) ** 2)
        return kin / (4 * s) * (spin_one + ((m_B**2 - m_M**2) * ff["f0"] * C_A) ** 2 * b_A)

    def helicities(C, D):
        perp = mp.sqrt(kallen) * (C * ff["V"] / (m_B + m_M) + D * ff["T1"] / s)
        par = (m_B**2 - m_M**2) * (C * ff["A1"] / (m_B - m_M) + D * ff["T2"] / s)
        zero = 4 * m_B * m_M / mp.sqrt(s) * (C * ff["A12"] + D * ff["T23"] / (2 * (m_B + m_M)))
        return abs((par - perp) / 2) ** 2 + abs((par + perp) / 2) ** 2 + abs(zero) ** 2

    return kin * (a_V * helicities(C_V, W7) + a_A * helicities(C_A, 0) + kallen / (4 * s) * (ff["A0"] * C_A) ** 2 * b_A)


@mp.workdps(25)
def integrated(row, mode, sm, tree=True, bounds=(0, 30)):
    """Width, GeV, by tanh-sinh quadrature between marks that close in on the pole and on thresholds."""
    row = {name: mp.mpf(value) if isinstance(value, float) else value for name, value in row.items()}
    row |= {name: [mp.mpf(x) for x in row[name]] for name in ("r", "m_chi")}
    B, M, _ = MODES[mode]
    end, m_mu = (mp.mpf(float(getattr(sm, B))) - mp.mpf(float(getattr(sm, M)))) ** 2, mp.mpf(float(sm.m_mu))
    s0, total = row["m_V"] ** 2, mp.mpf(0)
    for chi, m in enumerate(row["m_chi"]):
        lower, upper = max(4 * m**2, mp.mpf(bounds[0])), min(end, mp.mpf(bounds[1]))
        if lower >= upper:
            continue
        # The pole and the threshold of the pair at every scale from 1e-18 on, other thresholds with their own ends.
        marks = [s0 + sign * s0 * mp.mpf(10) ** -k for sign in (-1, 1) for k in range(0, 11)]
        marks += [4 * m**2 * (1 + mp.mpf(10) ** k) for k in range(-16, 9)]
        marks += [s0, 4 * m_mu**2, *(4 * other**2 for other in row["m_chi"])]
        marks = sorted({x for x in marks if lower < x < upper})
        total += mp.quad(lambda s, chi=chi: _LARGE * dgamma(s, row, chi, mode, sm, tree), [lower, *marks, upper])
    return mp.re(total) / _LARGE  # a node may round to just outside of the phase space
