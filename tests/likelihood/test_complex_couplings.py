"""Complex couplings through data, tables and both modes of the likelihood: nothing is dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from near import near

import jaxdark as jd
from jaxdark.errors import RequestError
from jaxdark.inputs import load_inputs
from jaxdark.models.base import Model, MuonVector
from jaxdark.semileptonic.leptonic import br_bs_mumu
from jaxdark.semileptonic.observables import binned_angular, binned_asymmetries, binned_dBR, lepton_ratio

SM = load_inputs()
LOW = (1.1, 6.0)
FILE = """
schema: jaxdark-measurements-1
entries:
- id: Mine_2030
  experiment: Mine
  year: 2030
  reference: nowhere
  source: a test
  quality: published
  rows:
  - {process: B0->K*0mumu, observable: S8, q2: [1.1, 6.0], value: 0.0, total: 0.01}
  - {process: B0->K*0mumu, observable: A8, q2: [1.1, 6.0], value: 0.0, total: 0.01}
  - {process: B0->K*0mumu, observable: ACP, q2: [1.1, 6.0], value: 0.0, total: 0.01}
  - {process: Bs->phimumu, observable: A5, q2: [1.1, 6.0], value: 0.0, total: 0.01}
  - {process: Bs->phimumu, observable: dBR, q2: [1.1, 6.0], value: 2.6e-8, total: 4.0e-9}
  - {process: B+->K+mumu, observable: dBR, q2: [1.1, 6.0], value: 2.4e-8, total: 2.0e-9}
  - {process: B+->K+mumu, observable: ACP, q2: [1.1, 6.0], value: 0.0, total: 0.01}
  - {process: B+->K+ll, observable: R_K, q2: [1.1, 6.0], value: 0.9, total: 0.05}
  - {process: Bs->mumu, observable: BR, value: 2.7e-9, total: 4.0e-10}
"""


class WithPhases(Model):
    """A resonance and a contact term of one modulus and one weak phase each."""

    modulus: jax.Array
    phase: jax.Array
    C10: float

    def new_physics(self, sm):
        kappa = self.modulus * jnp.exp(1j * self.phase)
        contact = jd.Contact(C10=self.C10 * jnp.exp(-1j * self.phase))
        return jd.NewPhysics(contact, jd.Resonance(kappa, -0.5 * kappa, 2.0, 0.3))

    def muon_couplings(self):
        return None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mine.yaml"
    path.write_text(FILE)
    return jd.load_dataset(path)


@pytest.fixture(scope="module")
def like(data):
    return jd.Likelihood(data)


def model(modulus=0.4, phase=0.9, C10=0.5):
    return WithPhases(*map(jnp.asarray, (modulus, phase, C10)))


def by_hand(model):
    """The rows from the functions of one bin, but those of B_s -> phi."""
    kst = binned_angular("B0->K*0mumu", LOW, model, SM)
    values = [kst["S8"], kst["A8"], kst["ACP"]]
    values += [binned_dBR("B+->K+mumu", LOW, model, SM), binned_asymmetries("B+->K+mumu", LOW, model, SM)["ACP"]]
    return jnp.array([*values, lepton_ratio("B+->K+", LOW, model, SM), br_bs_mumu(model, SM)])


def test_every_way_to_the_predictions_is_the_same(like):
    """Tables, full amplitudes and `evaluate`, whose likelihood with a chosen reference is that of the call."""
    evaluated = like.at(jd.NewPhysics()).evaluate(model())
    assert np.abs(evaluated.predictions[[1, 2, 3, 6]]).min() > 1e-3
    predictions, log_likelihood = jax.jit(lambda model: (like.predictions(model), like(model)))(model())
    np.testing.assert_allclose(predictions, evaluated.predictions, rtol=1e-9)
    expected = jax.jit(by_hand)(model())
    np.testing.assert_allclose(np.delete(evaluated.predictions, [3, 4]), expected, rtol=1e-9)
    assert float(log_likelihood) == near(evaluated.log_likelihood, rel=1e-9)
    assert jnp.isrealobj(evaluated.predictions)


def test_the_full_mode_with_moved_nuisances(like, data):
    """Complex couplings and complex hadronic parameters, which are strong, at once; gradients are finite."""
    full = jd.Likelihood(data, theory="full")
    xi = np.random.default_rng(1).normal(size=len(full.nuisance_names))
    h = 1e-4

    def one_phase(phase):
        return full(model(phase=phase), xi), full.predictions(model(phase=phase), xi)

    at = jax.jit(jax.value_and_grad(one_phase, has_aux=True))  # one program for all of it
    ((value, predictions), slope), ((above, _), _), ((below, _), _) = map(at, (0.9, 0.9 + h, 0.9 - h))
    assert float(slope) == near(float(above - below) / (2 * h), rel=1e-5)
    sm = full.predictor.nuisances.inputs(jnp.asarray(xi), SM)
    acp = jax.jit(lambda: binned_asymmetries("B+->K+mumu", LOW, model(), sm)["ACP"])()
    assert float(predictions[6]) == near(float(acp), rel=1e-9)
    assert np.isfinite(value)


def test_asymmetries_of_real_couplings_are_zero_and_cost_no_gradient(like):
    real = jd.NewPhysics(jd.Contact(C9=np.float64(-1.0)))
    assert np.asarray(like.predictions(real))[[1, 2, 3, 6]].tolist() == [0.0] * 4


def test_what_is_not_measured_untagged_is_refused(tmp_path):
    for process, observable in (("Bs->phimumu", "A7"), ("Bs->phimumu", "ACP"), ("B0->K0mumu", "ACP")):
        path = tmp_path / "mine.yaml"
        rows = FILE.split("  rows:\n")[0] + "  rows:\n"
        path.write_text(
            f"{rows}  - {{process: {process}, observable: {observable}, q2: [1.1, 6.0], value: 0.0, total: 0.01}}\n"
        )
        with pytest.raises(RequestError, match=f"an observable of {process}"):
            jd.load_dataset(path)


def test_real_models_refuse_complex_parameters():
    """Also under a trace, where an imaginary part used to be dropped."""
    wanted = r"g_mu_V must be a real number, got"
    build = lambda g: jd.DarkSector(m_V=2.0, g_mu_V=g, r_AV=0.1, g_D=1.0, r=0.1).g_mu_V  # noqa: E731
    for attempt in (build, jax.jit(build)):
        with pytest.raises(RequestError, match=wanted):
            attempt(0.1 + 0.2j)
    for refused in (lambda: MuonVector(-1.0, 0.1, 0.1), lambda: MuonVector(1.0, 0.1j, 0.1)):
        with pytest.raises(RequestError, match="of MuonVector"):
            refused()
    m_V, g_V, g_A = MuonVector(2.0, 0.1, -0.2)
    assert (m_V, g_V, g_A) == (2.0, 0.1, -0.2)
