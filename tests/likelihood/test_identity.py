"""What identifies a model: what it predicts and its code, in every process the same, whatever it is called."""

import functools
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from own_models import Dressed, Maker, built_in, changed_by, counted, renamed

import jaxdark as jd
from jaxdark import _version
from jaxdark.compute import fingerprint
from jaxdark.errors import RequestError
from jaxdark.io.checkpoints import Checkpoints
from jaxdark.likelihood import identity
from jaxdark.likelihood.priors import PRIORS, Prior, Range, prior_of
from jaxdark.likelihood.provenance import provenance
from jaxdark.models.wilson import Contact, NewPhysics

HERE = Path(__file__).parent
HIGH = prior_of("high")


def heavy(m_chi):
    """Builds the paper's model with a mass of the dark fermion, as what it is closed over."""
    return lambda **given: jd.DarkSector(m_chi=m_chi, **given)


BUILDERS = {
    "shipped": jd.DarkSector,
    "partial": partial(jd.DarkSector, m_chi=0.9),
    "other partial": partial(jd.DarkSector, m_chi=0.8),
    "lambda": heavy(0.9),
    "another lambda": heavy(0.7),
    "method": Maker(0.9).build,
    "method of another": Maker(0.8).build,
    "callable": Maker(0.9),
    "another callable": Maker(0.6),
    "static field": partial(jd.DarkSector, bs_current="conserved"),
    "own class": Dressed,
    "jitted": jax.jit(heavy(0.5)),
}


@pytest.fixture(scope="module")
def found():
    return {name: identity.of_prior(HIGH._replace(build=build)) for name, build in BUILDERS.items()}


def test_models_are_told_apart(found):
    assert len({tuple(one.values()) for one in found.values()}) == len(BUILDERS)
    same_physics = {found[name]["behaviour"] for name in ("partial", "lambda", "method", "callable")}
    assert len(same_physics) == 1 and found["shipped"]["behaviour"] not in same_physics


def test_the_same_model_is_the_same_when_it_is_defined_again(found):
    again = {
        "partial": partial(jd.DarkSector, m_chi=0.9),
        "lambda": heavy(0.9),
        "method": Maker(0.9).build,
        "callable": Maker(0.9),
    }
    for name, build in again.items():
        assert identity.of_prior(HIGH._replace(build=build)) == found[name], name


def test_another_process_finds_the_same():
    """With another seed of Python's hashes and another order of imports."""
    code = """
import json, sys
import jaxdark as jd
jd.enable_x64()
import test_identity as t
names = ("partial", "lambda", "method", "callable", "own class")
print(json.dumps([t.identity.of_prior(t.HIGH._replace(build=t.BUILDERS[name])) for name in names]))
"""
    path = os.pathsep.join(map(str, (HERE, HERE.parents[1], *sys.path)))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    names = ("partial", "lambda", "method", "callable", "own class")
    here = [identity.of_prior(HIGH._replace(build=BUILDERS[name])) for name in names]
    assert json.loads(run.stdout) == here


def test_code_behind_a_model_counts_where_its_predictions_are_the_same():
    """A property that only constraints read, a method's code, a global that it names, a default."""
    one, other = (identity.of_prior(HIGH._replace(build=changed_by(value))) for value in (1.0, 2.0))
    assert one["behaviour"] == other["behaviour"] and one["code"] != other["code"]
    assert identity.of_prior(HIGH._replace(build=changed_by(1.0))) == one


def test_a_function_that_counts_its_calls_stays_the_same_function():
    build = counted([])
    assert identity.of_prior(HIGH._replace(build=build)) == identity.of_prior(HIGH._replace(build=build))


@pytest.mark.parametrize("value", [0.1, (1, "a"), {"b": [1.0]}, np.arange(3), functools.lru_cache(len), sys, {3, "x"}])
def test_a_description_depends_on_content_alone(value):
    """Nor does it hold anything's address in memory."""
    text = fingerprint.digest(fingerprint.fingerprint(lambda: value))
    assert text == fingerprint.digest(fingerprint.fingerprint(lambda: value)) and "0x" not in text


def test_what_refers_to_itself_has_a_description():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert fingerprint.fingerprint(even) != fingerprint.fingerprint(odd)


def test_a_name_is_that_of_what_is_built():
    assert Prior("mine", HIGH.ranges).model_name == "split"
    assert Prior("mine", HIGH.ranges, jd.SimplifiedZPrime).model_name == "zprime"
    assert Prior("mine", HIGH.ranges, Dressed).model_name == "Dressed"
    assert Prior("mine", HIGH.ranges, Dressed, "dressed").model_name == "dressed"
    for build, name in ((BUILDERS["partial"], "SplitDarkSector"), (heavy(1.0), "function"), (Maker(1.0), "Maker")):
        assert HIGH._replace(build=build).model_name == name
    assert HIGH._replace(region="mine").model_name == "split" and isinstance(HIGH._replace(region="mine"), Prior)
    assert HIGH._replace(build=Dressed, model_name="x").model_name == "x"
    assert Prior("mine", HIGH.ranges, Dressed, "x")._replace(build=heavy(1.0)).model_name == "x"
    assert prior_of("high", "zprime").model_name == "zprime"


def attributes_of(prior, **summary):
    return {
        "summary": {"model": prior.model_name, "region": prior.region} | summary,
        "prior": {name: r._asdict() for name, r in prior.ranges.items()},
        "model_identity": identity.of_prior(prior),
    }


def test_a_result_is_read_with_its_own_model_alone():
    for model, regions in PRIORS.items():
        for prior in regions.values():
            assert identity.prior_of_result(attributes_of(prior), instead="f") is prior, model
    own = HIGH._replace(build=partial(jd.DarkSector, m_chi=0.9))
    for named in (attributes_of(own), attributes_of(own, model="split")):
        with pytest.raises(RequestError, match="call f from Python with the prior it was sampled with"):
            identity.prior_of_result(named, instead="f")
        assert identity.prior_of_result(named, own, instead="f") is own
        with pytest.raises(RequestError, match="one of a model that predicts something else"):
            identity.prior_of_result(named, HIGH, instead="f")
    wider = HIGH._replace(ranges=HIGH.ranges | {"g_D": Range(0.0, 5.0)})
    with pytest.raises(RequestError, match="got one with other ranges"):
        identity.prior_of_result(attributes_of(wider), instead="f")


class Charm(eqx.Module):
    """The same in name as a model of `own_models`."""

    def new_physics(self, sm):
        return NewPhysics(contact=Contact(C9=-1.0))

    def muon_couplings(self):
        return None


def test_two_classes_of_one_name_are_two_models():
    prior = Prior("mine", {"C9": Range(-1.0, 1.0)}, lambda C9: Charm())
    other = prior._replace(build=lambda C9: built_in()())
    assert prior.model_name == other.model_name == "function"
    assert identity.of_prior(prior)["code"] != identity.of_prior(other)["code"]
    assert renamed().__name__ == "Charm"


def test_an_unfinished_run_of_another_model_is_not_gone_on_with(tmp_path, monkeypatch):
    """The same prior but for what it builds, under the same name."""
    from toy_data import TOY

    (tmp_path / "toy.yaml").write_text(TOY)
    like = jd.Likelihood(jd.load_dataset(str(tmp_path / "toy.yaml")))
    store = Checkpoints(tmp_path / "kept")
    ours, other = (HIGH._replace(build=heavy(m_chi), model_name="split") for m_chi in (0.9, 0.8))
    store.begin(provenance(like, ours, seed=0).json())
    store.save("fit", {"a": np.zeros(1)})
    for another in (other, HIGH):
        with pytest.raises(RequestError, match="has other settings .model_identity"):
            Checkpoints(tmp_path / "kept").begin(provenance(like, another, seed=0).json())
    said = []
    again = ours._replace(build=heavy(0.9), model_name="split")
    Checkpoints(tmp_path / "kept", say=said.append).begin(provenance(like, again, seed=0).json())
    assert said == [f"resuming the unfinished run kept in {tmp_path / 'kept'}"]
    monkeypatch.setattr(_version, "CODE", "0" * 64)
    with pytest.raises(RequestError, match="other settings .versions.jaxdark_code: "):
        Checkpoints(tmp_path / "kept").begin(provenance(like, ours, seed=0).json())
