"""Standard Model inputs: the shipped YAML files become one frozen `StandardModel` record.

Inputs: data/inputs.yaml, data/form_factors.yaml and the user's overrides. Outputs: a PyTree that every observable
takes.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import equinox as eqx
import numpy as np
from jaxtyping import Array, Complex, Float
from pydantic import AfterValidator, BeforeValidator, Field, create_model

from jaxdark.choices import FormFactors, VcbName
from jaxdark.errors import RequestError, one_of, shown
from jaxdark.io.text_files import plain_value, read_yaml
from jaxdark.io.validation import Number, Record, fault, validated
from jaxdark.precision import require_x64

Real = Float[Array, ""] | float


@cache
def read_data(name: str) -> dict:
    """Content of one shipped YAML file of jaxdark/data."""
    return read_yaml(resources.files("jaxdark") / "data" / name)


class FormFactorSet(eqx.Module):
    """Series coefficients of the form factors of one transition, with what their parametrisation fixes.

    Attributes:
        coefficients: in the order of `names`, dimensionless, shape (n,).
        names: "form factor:coefficient", for instance "f+:b0" (BCL) or "A1:a2" (BSZ).
        pole_masses: subthreshold resonance of each form factor, GeV.
        m_B, m_M: masses used inside z(q2), GeV.
        source: name in data/form_factors.yaml.
    """

    coefficients: Float[Array, " n"]
    names: tuple[str, ...] = eqx.field(static=True)
    pole_masses: tuple[tuple[str, float], ...] = eqx.field(static=True)
    m_B: float = eqx.field(static=True)
    m_M: float = eqx.field(static=True)
    source: str = eqx.field(static=True)


class HadronicNuisances(eqx.Module):
    """Unknown non-local contributions, all zero in the central prediction, Sec. 2.4.

    Attributes:
        Kst_low, phi_low: (a_0, b_0, a_-, b_-, a_+, b_+), shifts of C_7 per helicity below 9 GeV^2.
        Kst_high, phi_high: (c_0, c_-, c_+), shifts of C_9 per helicity above 14 GeV^2.
        K_low: (a, b/GeV^-2), C_9 -> C_9 + a + b q2 in B -> K below 9 GeV^2.
        K_high: (c,), the same above 14 GeV^2.
    """

    Kst_low: Complex[Array, " 6"]
    Kst_high: Complex[Array, " 3"]
    phi_low: Complex[Array, " 6"]
    phi_high: Complex[Array, " 3"]
    K_low: Complex[Array, " 2"]
    K_high: Complex[Array, " 1"]


class StandardModel(eqx.Module):
    """Everything the Standard Model contributes, central values unless changed; GeV and its powers, lifetimes in 1/GeV.

    The meaning and the reference of each number stand in data/inputs.yaml (`jaxdark data show inputs`).
    """

    GF: Real
    alpha_em: Real
    mu_b: Real
    lambda_t: Real
    eps_u: Real
    mb: Real
    ms: Real
    mb_pole: Real
    mc_pole: Real
    C1: Real
    C2: Real
    C3: Real
    C4: Real
    C5: Real
    C6: Real
    C7: Real
    C7p: Real
    C8: Real
    C9: Real
    C10: Real
    m_B0: Real
    m_Bp: Real
    m_Bs: Real
    m_Kst0: Real
    m_Kstp: Real
    m_Kp: Real
    m_K0: Real
    m_phi: Real
    tau_B0: Real
    tau_Bp: Real
    tau_Bs: Real
    f_Bs: Real
    DeltaGamma_s_over_Gamma_s: Real
    m_mu: Real
    m_e: Real
    m_tau: Real
    X_t: Real
    sin2_thetaW: Real
    alpha_em_mZ: Real
    hbar: Real
    B_to_K: FormFactorSet
    B_to_Kst: FormFactorSet
    Bs_to_phi: FormFactorSet
    hadronic: HadronicNuisances
    form_factors: str = eqx.field(static=True)
    V_cb: str = eqx.field(static=True)

    @property
    def scalars(self) -> dict[str, Real]:
        """The inputs that `load_inputs` takes as overrides, by name."""
        return {name: getattr(self, name) for name in read_data("inputs.yaml")["inputs"]}

    @property
    def y_s(self) -> Real:
        """DeltaGamma_s/(2 Gamma_s) of the B_s system."""
        return self.DeltaGamma_s_over_Gamma_s / 2


def form_factor_set(name: str) -> FormFactorSet:
    """Central form factors of data/form_factors.yaml by their name in that file."""
    entry = read_data("form_factors.yaml")[name]
    masses = entry["parametrisation_masses"]
    return FormFactorSet(
        coefficients=_coefficients(name).central,
        names=tuple(entry["names"]),
        pole_masses=tuple(entry["pole_masses"].items()),
        m_B=masses["mB"],
        m_M=masses.get("mV", masses.get("mK")),
        source=name,
    )


def form_factor_covariance(name: str) -> Float[np.ndarray, "n n"]:
    """Covariance of the coefficients of a set, by its name in data/form_factors.yaml."""
    return _coefficients(name).covariance


class _Coefficients(NamedTuple):
    central: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]


@cache
def _coefficients(name: str) -> _Coefficients:
    """Coefficients of a set: as published, or those that its published values at some q2 fix."""
    entry = read_data("form_factors.yaml")[name]
    if "points" in entry:
        return _through_points(entry)
    if "covariance" in entry:
        covariance = np.array(entry["covariance"])
    else:
        covariance = np.array(entry["correlation"]) * np.outer(entry["uncertainty"], entry["uncertainty"])
    return _Coefficients(np.array(entry["central"]), covariance)


def _through_points(entry: dict) -> _Coefficients:
    """Coefficients of the series of `semileptonic.form_factors` that go through as many points as there are of them.

    F = (1 - q2/m_R^2)^-1 sum_k a_k (z(q2) - z(0))^k with a_0 of f_0 that of f_+.
    """
    points, masses = entry["points"], entry["parametrisation_masses"]
    t_plus, t_minus = (masses["mB"] + masses["mK"]) ** 2, (masses["mB"] - masses["mK"]) ** 2
    t_0 = t_plus * (1 - np.sqrt(1 - t_minus / t_plus))

    def z(q2):
        a, b = np.sqrt(t_plus - q2), np.sqrt(t_plus - t_0)
        return (a - b) / (a + b)

    series = np.zeros((len(points), len(entry["names"])))
    for row, point in zip(series, points, strict=True):
        pole = 1 - point["q2"] / entry["pole_masses"][point["form_factor"]] ** 2
        for k in range(3):
            coefficient = f"{point['form_factor']}:a{k}".replace("f0:a0", "f+:a0")
            row[entry["names"].index(coefficient)] = (z(point["q2"]) - z(0.0)) ** k / pole
    inverse, error = np.linalg.inv(series), np.array([point["error"] for point in points])
    covariance = np.array(entry["correlation"]) * np.outer(error, error)
    return _Coefficients(inverse @ [point["value"] for point in points], inverse @ covariance @ inverse.T)


def read_overrides(path: str | Path) -> dict[str, float]:
    """Input overrides from a YAML file of `name: value` lines.

    Raises:
        RequestError: the file is missing, is not such a mapping, or an input is unknown or cannot have its value.
    """
    content = read_yaml(Path(path), "an inputs file, YAML of `name: value` lines")
    if not isinstance(content, dict):
        raise RequestError(
            f"{path}: expected an inputs file of `name: value` lines, got {shown(content)}; "
            "write for instance `GF: 1.1663788e-05`."
        )
    return check_overrides(content, str(path))


def load_inputs(
    overrides: Mapping[str, float] | str | Path | None = None,
    *,
    form_factors: FormFactors = "bsz2015",
    V_cb: VcbName = "inclusive",
) -> StandardModel:
    """Standard Model inputs, the shipped central values with any of them overridden by name.

    Args:
        overrides: new values by input name, in the units of data/inputs.yaml, or the path of a file of them.
        form_factors: "bsz2015", B -> V of arXiv:1503.05534 and B -> K of FNAL/MILC, arXiv:1509.06235; "grvdv2023", all
            of arXiv:2305.06301; "hpqcd2022", B -> K of arXiv:2207.12468 in place of FNAL/MILC's.
        V_cb: |V_cb| that lambda_t = V_tb V_ts^* is taken with, "inclusive" (42.0e-3) or "exclusive" (39.6e-3), which
            has rates lower by 11 per cent; an override of lambda_t comes before it.

    Raises:
        RequestError: JAX is in single precision, a name is unknown, or an override has no finite value, or one outside
            the range that data/inputs.yaml gives.
    """
    require_x64()
    one_of("form_factors", form_factors, get_args(FormFactors))
    one_of("V_cb", V_cb, get_args(VcbName))
    data, sets = read_data("inputs.yaml"), read_data("form_factors.yaml")["sets"]
    values = {name: entry["value"] for name, entry in data["inputs"].items()}
    values["lambda_t"] *= data["V_cb"][V_cb]["value"] / data["V_cb"]["inclusive"]["value"]
    if isinstance(overrides, str | Path):
        values |= read_overrides(overrides)
    elif isinstance(overrides, Mapping):
        values |= check_overrides(overrides)
    elif overrides is not None:
        raise RequestError(f"inputs: expected values by name, or a file, got {shown(overrides)}.")
    zero = HadronicNuisances(*(np.zeros(n, complex) for n in (6, 3, 6, 3, 2, 1)))
    return StandardModel(
        **{name: np.float64(value) for name, value in values.items()},
        **{field: form_factor_set(name) for field, name in sets[form_factors].items()},
        hadronic=zero,
        form_factors=form_factors,
        V_cb=V_cb,
    )


def stored_inputs(attributes: Mapping[str, Any]) -> StandardModel:
    """The inputs of a result, from its `Provenance`."""
    names = {name: attributes[name] for name in ("form_factors", "V_cb") if name in attributes}
    return load_inputs(attributes["inputs"], **names)


def lambda_t_error(V_cb: str) -> float:
    """Error of lambda_t, which is that of |V_cb|."""
    data = read_data("inputs.yaml")
    share = data["V_cb"][V_cb]["error"] / data["V_cb"]["inclusive"]["error"]
    return data["inputs"]["lambda_t"]["uncertainty"] * share


def check_inputs(sm: Any) -> None:
    """Raise RequestError for what are no Standard Model inputs."""
    if not isinstance(sm, StandardModel):
        raise RequestError(
            f"expected the inputs of jaxdark.load_inputs(...), got {type(sm).__name__}; that takes a dictionary or "
            "a file of those that you change"
        )


def check_overrides(overrides: Mapping[Any, Any], origin: str = "inputs") -> dict[str, float]:
    """The overrides as floats, each known and within its range; raises RequestError, which names the origin."""
    checked = validated(_overrides(), dict(overrides), origin)
    return {name: getattr(checked, name) for name in overrides}


class _Overrides(Record):
    what = "the inputs"
    empty_is_absent = False  # an input that is named needs a value


@cache
def _overrides() -> type[_Overrides]:
    """The record with a field for each input of data/inputs.yaml."""
    fields: dict[str, Any] = {
        name: (_override(**about), None) for name, about in read_data("inputs.yaml")["inputs"].items()
    }
    return create_model("Overrides", __base__=_Overrides, **fields)


def _override(*, value: float, range: list[float], unit: str, description: str, **_: Any) -> Any:
    """Type of a number within the range of an input, also as text or as an array of shape ()."""
    (low, high), units = range, "" if unit == "1" else f" {unit}"

    def in_range(number: float) -> float:
        if not low <= number <= high:
            advice = (
                f"the shipped value is {value:.6g}{units}, and nothing is predicted far from it; check sign and unit"
            )
            raise fault(f"{low:.5g} to {high:.5g}{units} for the {description}", f"{number:g}", advice)
        return number

    return Annotated[Number, BeforeValidator(_plain), AfterValidator(in_range), Field(description=description)]


def _plain(raw: Any) -> Any:
    if isinstance(raw, str) and raw.strip():
        return plain_value(raw.strip())
    is_scalar = getattr(raw, "shape", None) == () and np.asarray(raw).dtype.kind in "iuf"
    return np.asarray(raw).item() if is_scalar else raw
