"""Models by the names they have on the command line.

Inputs: a name and parameters. Outputs: the model, or one sentence that says which parameter is unknown or missing.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jaxdark.choices import ModelName
from jaxdark.errors import RequestError, nearest
from jaxdark.models.base import Model
from jaxdark.models.box import BoxModel
from jaxdark.models.constant import ConstantWilson
from jaxdark.models.split import SplitDarkSector
from jaxdark.models.zprime import SimplifiedZPrime

MODELS: dict[ModelName, type[Model]] = {
    "split": SplitDarkSector,
    "zprime": SimplifiedZPrime,
    "constant": ConstantWilson,
    "box": BoxModel,
}


def model_class(name: str) -> type[Model]:
    """The class of a model; raises RequestError for an unknown name."""
    if name not in MODELS:
        raise RequestError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    return MODELS[name]


def check_parameters(name: str, build: Callable[..., Model], given: Collection[str]) -> None:
    """Raise RequestError unless the keywords `given` are those that `build` takes, all without a default among them.

    Args:
        name: of the model, for the message.
        build: a model's class, or a function of keywords that returns a model.
        given: names of parameters.
    """
    known = inspect.signature(build).parameters
    named = {n: p for n, p in known.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    for parameter in given:
        if parameter not in named:
            raise RequestError(f"unknown parameter {parameter!r} of the model {name}; {nearest(parameter, named)}")
    missing = [n for n, p in named.items() if p.default is p.empty and n not in given]
    if missing:
        raise RequestError(f"the model {name} also needs {', '.join(missing)}; write for instance {missing[0]}=1")


def build_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """A model from its name and its parameters.

    Raises:
        RequestError: the model is unknown, or a parameter unknown, missing or wrong.
    """
    build = model_class(name)
    check_parameters(name, build, parameters)
    return build(**parameters)
