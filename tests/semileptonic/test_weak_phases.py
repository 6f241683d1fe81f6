"""Complex couplings: averages and asymmetries from the two flavours one by one, mixing, gradients, records."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near
from scipy.integrate import quad_vec

from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.wilson import CONTACT_NAMES, SM_ONLY, Contact, NewPhysics, Resonance, weak_parts
from jaxdark.semileptonic.amplitudes import (
    J_NAMES,
    Coefficients,
    Transversity,
    amplitude,
    decay_at,
    nonlocal_amplitude,
    rate_form,
    sm_coefficients,
)
from jaxdark.semileptonic.bins import integrated_rates, make_panels, rate_differences, rates
from jaxdark.semileptonic.kinematics import CHANNELS
from jaxdark.semileptonic.leptonic import a_delta_gamma, br_bs_mumu
from jaxdark.semileptonic.observables import (
    ASYMMETRIES,
    asymmetry_names,
    binned_angular,
    binned_asymmetries,
    binned_dBR,
    lepton_ratio,
)

SM = load_inputs()
KST, K, PHI = "B0->K*0mumu", "B+->K+mumu", "Bs->phimumu"
LOW = (1.1, 6.0)
# Every contact term and both kappas, with phases of all kinds; the width is a strong phase.
VALUES = np.array([-0.8 + 0.6j, 0.4 - 1.1j, 0.3j, -0.2 - 0.1j, 0.02 + 0.03j, -0.01j, 0.5 - 0.4j, 0.2j])
CONTACT = Contact(**dict(zip(CONTACT_NAMES, VALUES, strict=True)))
BOTH = NewPhysics(CONTACT, Resonance(0.4 - 0.5j, -0.15 + 0.3j, 2.0, 0.3))


def coefficients(q2, physics, decay):
    """Complex coefficients of the b quark written down at once, without any splitting."""
    C = sm_coefficients(decay, SM)
    if physics.contact is not None:
        C = C._replace(**{name: getattr(C, name) + getattr(physics.contact, name) for name in CONTACT_NAMES})
    R = physics.resonance
    if R is not None:
        D = q2 / (q2 - R.m_V**2 + 1j * R.m_V * R.width)
        C = C._replace(C9=C.C9 + R.kappa9 * D, C10=C.C10 + R.kappa10 * D)
        C = C._replace(C10_timelike=-R.kappa10 * D * q2 / R.m_V**2)
    return C


@partial(jax.jit, static_argnums=2)
def flavours(q2, physics, process):
    """Amplitudes of the b and the anti-b quark, the latter from conjugate couplings, without the factors of mixing."""
    decay = decay_at(q2, CHANNELS[process], SM)._replace(even=1.0, odd=1.0)
    R = physics.resonance
    conjugate_resonance = None if R is None else Resonance(jnp.conj(R.kappa9), jnp.conj(R.kappa10), R.m_V, R.width)
    conjugate = NewPhysics(jax.tree.map(jnp.conj, physics.contact), conjugate_resonance)
    found = []
    for one in (physics, conjugate):
        A = amplitude(Coefficients(*map(lambda c: c + 0j, coefficients(q2, one, decay))), decay, SM)
        extra = nonlocal_amplitude(decay, SM) if isinstance(A, Transversity) else None
        found.append(A if extra is None else jax.tree.map(jnp.add, A, extra))
    return found, decay


@partial(jax.jit, static_argnums=2)
def average_and_half_difference(q2, physics, process):
    (b, anti_b), decay = flavours(q2, physics, process)
    J, J_bar = (jnp.stack(rate_form(A, A, decay, SM)).real for A in (b, anti_b))
    return jnp.stack([(J + J_bar) / 2, (J - J_bar) / 2])


@partial(jax.jit, static_argnums=2)
def untagged(q2, physics, process):
    """J_i + zeta_i Jbar_i over two, time integrated: the mass eigenstates decay one by one, each with its width.

    The parities are those of arXiv:1502.05509: the phi is CP even, leptons of spin 0 in S are so too and in t odd, and
    the P wave between them turns the sign.
    """
    (b, anti_b), decay = flavours(q2, physics, process)
    parity = Transversity(-1, -1, 1, 1, 1, 1, 1, -1)
    light, heavy = (
        jax.tree.map(lambda x, y, p, s=sign: (x + s * p * y) / np.sqrt(2), b, anti_b, parity) for sign in (1, -1)
    )
    J_light, J_heavy = (jnp.stack(rate_form(A, A, decay, SM)).real for A in (light, heavy))
    return (J_light / (1 + SM.y_s) + J_heavy / (1 - SM.y_s)) / 2


def arrays(physics):
    return jax.tree.map(np.asarray, physics)


def integral(f, q2, process, physics=BOTH):
    lower, upper = CHANNELS[process].q2_range(SM)
    marks = [4.0] if physics.resonance is not None else None
    q2 = max(q2[0], lower), min(q2[1], upper)
    return quad_vec(lambda s: np.asarray(f(s, arrays(physics), process)), *q2, points=marks, epsrel=1e-11, norm="max")[
        0
    ]


def ours(of, process, q2, physics):
    panels = make_panels([q2], CHANNELS[process], SM)
    decay = decay_at(panels.nodes, CHANNELS[process], SM)
    return np.asarray(jax.jit(of)(arrays(physics), decay, panels, SM))[0]


@pytest.mark.parametrize(("process", "physics"), [(KST, BOTH), (K, BOTH), (K, NewPhysics(CONTACT))])
def test_averages_and_differences_are_those_of_the_two_flavours(process, physics):
    average, difference = integral(average_and_half_difference, LOW, process, physics)
    assert np.abs(difference).max() > 1e-3 * np.abs(average).max()
    scale = np.abs(average).max()
    np.testing.assert_allclose(ours(integrated_rates, process, LOW, physics), average, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(ours(rate_differences, process, LOW, physics), difference, rtol=0, atol=1e-9 * scale)


def test_untagged_phi_is_the_sum_of_the_mass_eigenstates():
    """zeta_i is -1 for i = 5, 6, 8, 9, where the untagged sum is a CP asymmetry."""
    expected = integral(untagged, LOW, PHI)
    of_difference = np.isin(J_NAMES, ("5", "6s", "6c", "8", "9"))
    average, difference = (ours(of, PHI, LOW, BOTH) for of in (integrated_rates, rate_differences))
    np.testing.assert_allclose(
        np.where(of_difference, difference, average), expected, rtol=0, atol=1e-9 * np.abs(expected).max()
    )


@pytest.mark.parametrize("process", [KST, K])
def test_one_flavour_at_one_q2(process):
    """`rates` is that of the b quark, and with `conjugate` that of the anti-b quark."""
    average, difference = np.asarray(average_and_half_difference(3.0, arrays(BOTH), process))
    for conjugate, sign in ((False, 1), (True, -1)):
        result = rates(np.array(3.0), BOTH, CHANNELS[process], SM, conjugate=conjugate)
        np.testing.assert_allclose(result, average + sign * difference, rtol=1e-10)


def test_field_case_of_an_imaginary_C9():
    """flavio 2.7.1: S_8 = -0.0058, S_9 = -0.0007; one flavour alone has +0.0248 and +0.0024."""
    values = binned_angular(KST, LOW, NewPhysics(Contact(C9=1j)), SM)
    assert float(values["S8"]) == near(-0.0058, abs=2e-4)
    assert float(values["S9"]) == near(-0.0007, abs=1e-4)
    assert float(values["S8"] + values["A8"]) == near(0.0248, abs=1e-4)


def test_strong_phases_make_no_asymmetry():
    """A width and the Standard Model's own phases are the same in both flavours: every A_i and A_CP is 0."""
    strong = NewPhysics(Contact(C9=-0.8, C10=0.4), Resonance(0.4, -0.3, 2.0, 0.5))
    complex_type = NewPhysics(Contact(C9=-0.8 + 0j, C10=0.4), Resonance(0.4 + 0j, -0.3, 2.0, 0.5))
    for process in (KST, K, PHI):
        assert set(binned_asymmetries(process, LOW, strong, SM)) == set(asymmetry_names(CHANNELS[process]))
        for physics in (strong, SM_ONLY, complex_type):
            for name, value in binned_asymmetries(process, LOW, physics, SM).items():
                assert float(value) == near(0.0, abs=0.0), name
    _, difference = np.asarray(average_and_half_difference(3.0, arrays(strong), KST))
    assert np.abs(difference).max() == 0


def test_phases_that_meet_no_strong_one_make_no_direct_asymmetry():
    """A weak and a strong phase are needed for A_CP: that of a width does it where C_9 and C_10 have none."""
    without = binned_asymmetries(K, (15.0, 22.0), NewPhysics(Contact(C10=1j)), SM)["ACP"]
    with_width = binned_asymmetries(K, LOW, NewPhysics(resonance=Resonance(0.0, 0.5j, 2.0, 0.5)), SM)["ACP"]
    assert float(without) == near(0.0, abs=1e-17)
    assert abs(float(with_width)) > 0.01


def test_electrons_feel_no_weak_phase():
    process = "B0->K*0ee"
    assert all(float(value) == 0 for value in binned_asymmetries(process, LOW, BOTH, SM).values())
    assert binned_dBR(process, LOW, BOTH, SM) == near(float(binned_dBR(process, LOW, SM_ONLY, SM)), rel=1e-14)
    ratio = binned_dBR(KST, LOW, BOTH, SM) / binned_dBR(process, LOW, SM_ONLY, SM)
    assert lepton_ratio("B0->K*0", LOW, BOTH, SM) == near(float(ratio), rel=1e-13)


def test_a_common_phase_of_pi_is_a_sign_and_conjugation_turns_the_asymmetries():
    turned = NewPhysics(Contact(C9=0.7 * np.exp(1j * np.pi)))
    real = NewPhysics(Contact(C9=-0.7))
    assert binned_dBR(KST, LOW, turned, SM) == near(float(binned_dBR(KST, LOW, real, SM)), rel=1e-13)
    one, other = (binned_angular(KST, LOW, NewPhysics(Contact(C9=0.7 + s * 0.4j)), SM) for s in (1, -1))
    for name, value in one.items():
        sign = -1 if name in ASYMMETRIES else 1
        assert float(other[name]) == near(sign * float(value), rel=1e-10, abs=1e-15), name


def test_which_asymmetries_a_decay_has():
    names = {process: asymmetry_names(channel) for process, channel in CHANNELS.items()}
    assert names[PHI] == ("A5", "A6s", "A8", "A9")
    assert names[KST] == tuple(ASYMMETRIES)
    assert (names[K], names["B0->K0mumu"]) == (("ACP",), ())


def test_gradients_in_modulus_and_phase():
    """Under jit, vmap and grad, against central differences."""

    @jax.jit
    @jax.vmap
    def value_and_gradient(vector):
        def asymmetry_and_rate(vector):
            modulus, phase, m_V = vector
            kappa = modulus * jnp.exp(1j * phase)
            physics = NewPhysics(Contact(C10=0.3 * jnp.exp(-1j * phase)), Resonance(kappa, 0.5 * kappa, m_V, 0.3))
            asymmetry = binned_asymmetries(K, LOW, physics, SM)["ACP"]
            return asymmetry + 1e7 * binned_dBR(K, LOW, physics, SM) + 1e8 * br_bs_mumu(physics, SM)

        return jax.value_and_grad(asymmetry_and_rate)(vector)

    vectors, h = np.array([[0.4, 0.7, 2.0], [0.9, -2.0, 3.1]]), 1e-4
    shifts = np.concatenate([np.zeros((1, 3)), h * np.eye(3), -h * np.eye(3)])
    values, gradients = value_and_gradient((vectors[:, None] + shifts).reshape(-1, 3))
    values, gradients = values.reshape(2, 7), gradients.reshape(2, 7, 3)[:, 0]
    np.testing.assert_allclose(gradients, (values[:, 1:4] - values[:, 4:]) / (2 * h), rtol=1e-5, atol=1e-7)


def test_real_couplings_are_left_alone():
    """Nothing is split, so that they cost nothing; also as Python numbers and under a trace."""
    real = NewPhysics(Contact(C9=np.float64(1)), Resonance(0.1, 0.2, 2.0, 0.1))
    assert weak_parts(real) == (real, None)
    jax.jit(lambda C9: [] if weak_parts(NewPhysics(Contact(C9=C9)))[1] is None else 1 / 0)(1.0)


# ---- B_s -> mu mu ----


def amplitudes_of_both(physics):
    """(P, S) of the anti-B_s and of the B_s: the same strong phases, conjugate couplings."""
    helicity = SM.m_Bs**2 / (2 * SM.m_mu * (SM.mb + SM.ms))
    beta = np.sqrt(1 - 4 * SM.m_mu**2 / SM.m_Bs**2)
    found = []
    for conjugate in (lambda z: z, np.conj):
        c, R = physics.contact or Contact(), physics.resonance or Resonance(0.0, 0.0, 1.0, 1.0)
        P = SM.C10 + conjugate(c.C10 - c.C10p) + helicity * conjugate(c.CP - c.CPp)
        shape = SM.m_Bs**2 / (SM.m_Bs**2 - R.m_V**2 + 1j * R.m_V * R.width) * (1 - SM.m_Bs**2 / R.m_V**2)
        found.append((P + conjugate(R.kappa10) * shape, beta * helicity * conjugate(c.CS - c.CSp)))
    return found


def time_integrated(physics):
    """Both flavours evolve in time, t in lifetimes, to the CP-odd state of P and the CP-even one of S; mean of both.

    B_L = (B + Bbar)/sqrt 2 is CP even and has the width 1 + y; x is any frequency, as it drops out.
    """
    y, x = SM.y_s, 7.0
    (P_bar, S_bar), (P, S) = amplitudes_of_both(physics)

    def at(t):
        light, heavy = np.exp(-(1 + y) * t / 2 + 0.5j * x * t), np.exp(-(1 - y) * t / 2 - 0.5j * x * t)
        same, other = (light + heavy) / 2, (light - heavy) / 2
        squares = 0.0
        for A, A_bar in ((P, -P_bar), (S, S_bar)):
            squares += abs(same * A + other * A_bar) ** 2 + abs(same * A_bar + other * A) ** 2
        return np.array([squares / 2])

    return quad_vec(at, 0.0, 60.0, epsrel=1e-12, limit=10000)[0][0]


@pytest.mark.parametrize(
    "physics",
    [
        SM_ONLY,
        NewPhysics(Contact(C10=1.3j, CS=0.02)),
        NewPhysics(Contact(CP=0.03 - 0.05j, CS=0.02 + 0.03j)),
        NewPhysics(resonance=Resonance(0.0, -0.05, 5.5, 0.6)),
        NewPhysics(Contact(CS=0.04j), Resonance(0.0, 0.3 - 0.4j, 5.0, 0.9)),
    ],
)
def test_bs_mumu_of_two_flavours_that_mix(physics):
    in_time, without = time_integrated(physics), time_integrated(SM_ONLY)
    assert br_bs_mumu(physics, SM) / br_bs_mumu(SM_ONLY, SM) == near(in_time / without, rel=1e-10)
    squares = sum(abs(z) ** 2 for pair in amplitudes_of_both(physics) for z in pair) / 2
    expected = (in_time * (1 - SM.y_s**2) / squares - 1) / SM.y_s
    assert float(a_delta_gamma(physics, SM)) == near(float(expected), rel=1e-9)


def test_a_strong_phase_does_not_turn_A_DeltaGamma_and_a_weak_one_does():
    weak = NewPhysics(Contact(C10=0.8 - 1.5j, CP=0.01j, CS=0.03 + 0.02j))
    (P, S), _ = amplitudes_of_both(weak)
    formula = (P**2 - S**2).real / (abs(P) ** 2 + abs(S) ** 2)
    assert float(a_delta_gamma(weak, SM)) == near(float(formula), rel=1e-13)
    assert formula < 0.9
    strong = NewPhysics(resonance=Resonance(0.0, -0.3, 2.0, 1.0))
    assert float(a_delta_gamma(strong, SM)) == near(1.0, rel=1e-14)
    (P, _), _ = amplitudes_of_both(strong)
    assert (P**2).real / abs(P) ** 2 < 0.99


# ---- Records ----

BAD = {
    "m_V of Resonance is a mass in GeV and must be positive, got -1.0": lambda: Resonance(0.1, 0.1, -1.0, 0.1),
    "m_V of Resonance is a mass in GeV and must be positive, got 0": lambda: Resonance(0.1, 0.1, 0, 0.1),
    "m_V of Resonance must be one real number": lambda: Resonance(0.1, 0.1, 2 + 1j, 0.1),
    "width of Resonance is a width in GeV and must not be negative, got -0.1": lambda: Resonance(0.1, 0.1, 2.0, -0.1),
    "width of Resonance must be one real number": lambda: Resonance(0.1, 0.1, 2.0, jnp.array(0.1j)),
    "kappa9 of Resonance must be finite, got nan": lambda: Resonance(np.nan, 0.1, 2.0, 0.1),
    "kappa10 of Resonance must be finite": lambda: Resonance(0.1, complex(0, np.inf), 2.0, 0.1),
    r"kappa9 of Resonance must be one number, got shape \(2,\): make batches": lambda: Resonance(
        np.ones(2), 0.1, 2.0, 0.1
    ),
    "bs_current of Resonance must be one of paper, .* got 'Paper'": lambda: Resonance(
        0.1, 0.1, 2.0, 0.1, bs_current="Paper"
    ),
    "power of Resonance must be 0 or 1, got 2": lambda: Resonance(0.1, 0.1, 2.0, 0.1, power=2),
    "power of Resonance must be 0 or 1, got 1.0": lambda: Resonance(0.1, 0.1, 2.0, 0.1, power=1.0),
    "power of Resonance must be 0 or 1, got True": lambda: Resonance(0.1, 0.1, 2.0, 0.1, power=True),
    "C9 of Contact must be one number, got 'a lot'": lambda: Contact(C9="a lot"),
    "C10 of Contact must be one number, got True": lambda: Contact(C10=True),
    "CP of Contact must be one number, got None": lambda: Contact(CP=None),
    r"CS of Contact must be one number, got \[1.0\]": lambda: Contact(CS=[1.0]),
    "C9p of Contact must be finite, got inf": lambda: Contact(C9p=jnp.inf),
    "contact of NewPhysics must be a Contact or None": lambda: NewPhysics(Resonance(0.1, 0.1, 2.0, 0.1)),
    "resonance of NewPhysics must be a Resonance or None, got 0.1": lambda: NewPhysics(resonance=0.1),
}


@pytest.mark.parametrize("words", BAD)
def test_records_refuse_what_they_cannot_hold(words):
    with pytest.raises(RequestError, match=words) as error:
        BAD[words]()
    assert "\n" not in str(error.value)


def test_traced_records_check_shape_and_type_but_no_value():
    record = jax.jit(lambda m_V: Resonance(0.1, 0.1, m_V, 0.1).m_V)
    assert record(-1.0) == -1
    with pytest.raises(RequestError, match=r"m_V of Resonance must be one real number, got a traced value of type com"):
        record(1j)
    with pytest.raises(RequestError, match=r"m_V of Resonance must be one real number, got shape \(3,\)"):
        record(np.ones(3))
    with pytest.raises(RequestError, match="power of Resonance must be 0 or 1"):
        jax.jit(lambda m_V: Resonance(0.1, 0.1, m_V, 0.1, power=3).m_V)(1.0)


def test_batches_of_records_pass_through_the_transformations():
    batch = jax.vmap(lambda C9, m_V: NewPhysics(Contact(C9=C9 * 1j), Resonance(C9, 0.0, m_V, 0.0)))(
        np.arange(3.0), np.ones(3)
    )
    assert batch.contact.C9.shape == (3,)
    read = jax.vmap(lambda p: p.contact.C9.imag + p.resonance.m_V)
    np.testing.assert_array_equal(jax.jit(read)(batch), [1.0, 2.0, 3.0])
    axes = NewPhysics(Contact(*[0] * 8), Resonance(0, 0, 1.0, 0))
    assert jax.tree.structure(axes) == jax.tree.structure(jax.tree.map(np.asarray, batch))
