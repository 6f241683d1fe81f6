"""The record of what a result was made of: the same for the same, another one for anything that changes numbers."""

import copy
import json
from dataclasses import replace

import equinox as eqx
import pytest
from linear import PRIOR, LinearLikelihood

import jaxdark as jd
from jaxdark import _version
from jaxdark.likelihood import provenance as module
from jaxdark.likelihood.priors import Range
from jaxdark.likelihood.provenance import Provenance, provenance


@pytest.fixture(scope="module")
def like():
    return LinearLikelihood()


def changed(like, **attributes):
    other = copy.copy(like)
    other.__dict__ |= attributes
    return other


def record(like, prior=PRIOR, *, seed=0, draws=100):
    return provenance(like, prior, seed=seed, settings={"draws": draws}).json()


def test_the_same_is_the_same_in_json_types(like):
    assert record(like) == record(LinearLikelihood()) == json.loads(json.dumps(record(like)))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", lambda like: record(like, seed=1)),
        ("draws", lambda like: record(like, draws=200)),
        ("region", lambda like: record(like, PRIOR._replace(region="other"))),
        ("prior", lambda like: record(like, PRIOR._replace(ranges=PRIOR.ranges | {"C9": Range(-1.4, 0.7)}))),
        ("model", lambda like: record(like, PRIOR._replace(model_name="other"))),
        (
            "model_identity",
            lambda like: record(like, PRIOR._replace(build=lambda C9, C10: jd.ConstantWilson(C9=2 * C9, C10=C10))),
        ),
        ("theory", lambda like: record(changed(like, theory="full"))),
        ("g_minus_2", lambda like: record(changed(like, g_minus_2="upper"))),
        ("data_sha256", lambda like: record(changed(like, data=replace(like.data, rows=like.data.rows[::-1])))),
        ("inputs", lambda like: record(changed(like, sm=jd.load_inputs({"m_mu": 0.2})))),
        (
            "inputs_sha256",
            lambda like: record(changed(like, sm=eqx.tree_at(lambda sm: sm.B_to_K, like.sm, like.sm.B_to_Kst))),
        ),
    ],
)
def test_whatever_changes_numbers_changes_the_record(like, field, change):
    one, other = record(like), change(like)
    assert one.keys() == other.keys()
    different = {name for name in one if one[name] != other[name]}
    of_prior = {"model", "model_identity", "region", "prior"}  # hashes of a model take in the prior that it is built by
    assert field in different and different <= (of_prior if field in of_prior else {field, "inputs_sha256"})


def test_code_libraries_and_device_are_told_apart(like, monkeypatch):
    one = record(like)
    monkeypatch.setattr(_version, "CODE", "0" * 64)
    assert record(like)["versions"] == one["versions"] | {"jaxdark_code": "0" * 16}
    monkeypatch.setattr(module, "versions", lambda *names: dict.fromkeys(names, "1"))
    assert record(like)["versions"].keys() >= {"optax", "numpyro", "arviz"}
    monkeypatch.setattr(module.jax, "default_backend", lambda: "abacus")
    assert record(like)["device"] == "abacus"


def test_what_does_not_apply_is_left_out():
    found = Provenance(settings={"studies": 2}, data_sha256={"a": "0"}, seed=0).json()
    assert found.keys() == {"studies", "data_sha256", "seed", "device", "versions"} and found["seed"] == 0
