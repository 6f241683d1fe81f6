"""What a stored result must hold before anything is read off it: records with their types, groups with their variables.

Inputs: the attributes and groups of posterior.nc. Outputs: the attributes, or what is wrong with the file in words.
"""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jaxdark.choices import FormFactors, GMinus2, Method, Theory, VcbName

if TYPE_CHECKING:
    import xarray as xr

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Undetermined = Number | None
"""A number that may be missing, such as R-hat where there is one chain."""
FORMAT = 2
"""Of a stored result; raised whenever a name in it changes."""
_DRAWS = ("chain", "draw")
GROUPS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "derived": ("log_likelihood", _DRAWS, "f"),
    "sample_stats": ("diverging", _DRAWS, "b"),
    "log_likelihood": ("obs", (*_DRAWS, "measurement"), "f"),
    "posterior_predictive": ("obs", (*_DRAWS, "measurement"), "f"),
    "observed_data": ("obs", ("measurement",), "f"),
}
"""Of each group the variable that is read, its dimensions and the kind of its numbers."""


class _Stored(BaseModel):
    # Others than these are not looked at, so that a later version may add some.
    model_config = ConfigDict(strict=True, extra="ignore")


class _Spread(_Stored):
    mean: Number
    sd: Number
    hdi95: Annotated[list[Number], Field(min_length=2, max_length=2)]
    r_hat: Undetermined
    ess_bulk: Undetermined
    ess_tail: Undetermined


class _Draw(_Stored):
    log_likelihood: Number
    parameters: dict[str, Number]


class _Pull(_Stored):
    id: str
    sm: Number
    best: Number


class _Versions(_Stored):
    jaxdark: str


class _Weights(_Stored):
    ess: Number
    points: Count


class _Cut(_Stored):
    cut_alone: Count
    cut_given_others: Count
    quality: str
    applied: bool


class _Influence(_Stored):
    id: str
    shift: dict[str, Undetermined]
    pareto_k: Undetermined
    p_value: Number


class _Scaling(_Stored):
    prior: Undetermined
    likelihood: Undetermined


class _Variant(_Stored):
    shift: dict[str, Undetermined]
    ess: Undetermined


class _Checks(_Stored):
    p_value: Number
    elpd_loo: Undetermined
    unreliable_measurements: list[str]
    measurements: list[_Influence]
    power_scaling: dict[str, _Scaling]
    prior_variants: dict[str, _Variant]


class _Summary(_Stored):
    model: str
    physics: str | None = None
    region: str
    theory: Theory
    data: str
    data_cut_off: str | None = None
    g_minus_2: GMinus2
    terms_beside: dict[str, str] | None = None
    form_factors: FormFactors = "bsz2015"
    V_cb: VcbName = "inclusive"
    method: Method = "nuts"
    chains: Annotated[int, Field(gt=0)]
    draws: Annotated[int, Field(gt=0)]
    seconds: dict[str, Number]
    divergences: Count
    importance: _Weights | None = None
    parameters: dict[str, _Spread]
    converged: bool
    warnings: list[str]
    max_likelihood_draw: _Draw
    sm_log_likelihood: Number
    pulls: Annotated[list[_Pull], Field(min_length=1)]
    versions: _Versions
    seed: Count
    constraints: dict[str, _Cut] | None = None
    n_allowed: Count | None = None
    checks: _Checks | None = None


class _Range(_Stored):
    model_config = ConfigDict(strict=True, extra="forbid")  # a range that says more is of another kind

    lower: Number
    upper: Number
    log: bool
    sign: Literal[-1, 1]


class _Attributes(_Stored):
    summary: _Summary
    prior: Annotated[dict[str, _Range], Field(min_length=1)]
    inputs: dict[str, Number] | None = None
    data_sha256: str | None = None
    measured: Count | None = None


def problem(groups: "Mapping[str, xr.Dataset]", needs: Collection[str]) -> str | None:
    """The first thing that is wrong with a result; None if it can be read.

    Args:
        groups: of the file, by name.
        needs: names of GROUPS and of attributes that are read beside the draws, their prior and the summary.
    """
    if "posterior" not in groups:
        return "it has no group posterior"
    posterior = groups["posterior"]
    words: dict[str, Any] = {}
    for name, text in posterior.attrs.items():
        try:
            words[name] = json.loads(text)
        except (TypeError, ValueError):
            return f"its attribute {name} is no JSON"
    if (found := words.get("format", 1)) != FORMAT:
        return f"it has the format {found} of another version of jaxdark, this one reads the format {FORMAT}"
    for name in needs:
        if name not in GROUPS and words.get(name) is None:
            return f"it has no attribute {name}"
    try:
        found = _Attributes.model_validate(words)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    best = found.summary.max_likelihood_draw.parameters
    if found.prior.keys() != best.keys() or not found.prior.keys() <= found.summary.parameters.keys():
        return f"its prior is one of {', '.join(found.prior)}, its maximum-likelihood draw has {', '.join(best)}"
    wanted = [("posterior", name, _DRAWS, "f") for name in found.prior]
    wanted += [(group, *of_group) for group, of_group in GROUPS.items() if group in needs]
    sizes: dict[Any, int] = {}
    for group, name, dims, kind in wanted:
        values = groups[group].get(name) if group in groups else None
        if values is None:
            return f"it has no {name} in the group {group}"
        if values.dims != dims or values.dtype.kind != kind:
            dims = ", ".join(map(str, values.dims))
            return f"{name} in the group {group} has the dimensions ({dims}) and the type {values.dtype}"
        if any(sizes.setdefault(dim, size) != size for dim, size in values.sizes.items()):
            return f"{name} in the group {group} has another size than the rest"
        ids = values.coords.get("measurement")
        if "measurement" in dims and (ids is None or ids.dtype.kind not in "OUT"):
            return f"the measurements of the group {group} have no ids"
    return None
