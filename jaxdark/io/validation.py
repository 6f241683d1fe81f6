"""Plain values of a user's file become a pydantic model, or one sentence for each fault in them.

Inputs: what a YAML file holds, and the `Record` that it should make. Outputs: that record, or sentences that name file,
entry, row and field, what was expected, what came and what to do. What the fields mean is the caller's business.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from jaxdark.errors import RequestError, nearest, shortened, shown
from jaxdark.io.text_files import plain_value

R = TypeVar("R", bound="Record")


def fault_at(where: Sequence[str], expected: str, came: str, advice: str) -> RequestError:
    """The error for a fault in a file; `where` holds its path and what leads to the fault, such as "entry A"."""
    path, *inner = where
    place = ", ".join([path, *(shortened(part, 90) for part in inner)])
    return RequestError(f"{place}: expected {expected}, got {came}; {advice}.")


class Faults(RequestError):
    """A file with faults: the message is the sentence on the first, `others` yields those on the others once."""

    others: Iterator[str] = iter(())


def fault(expected: str, came: str, advice: str, *field: str | int) -> PydanticCustomError:
    """What a validator raises; `field` leads to the fault from where the validator stands."""
    details = {"expected": expected, "came": came, "advice": advice, "field": field}
    return PydanticCustomError("fault", "expected {expected}, got {came}; {advice}", details)


class Record(BaseModel):
    """A mapping of fields in a file: strict types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    what: ClassVar[str]
    """In a sentence, such as "an entry"."""
    other_names: ClassVar[Mapping[str, str]] = {}
    """What to do about names that others use for the fields."""
    empty_is_absent: ClassVar[bool] = True
    """Whether a field without a value, as in `note:`, counts as left out."""

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise fault(f"{cls.what} as a mapping of fields", shown(raw), "write it as field: value")
        fields = [info.alias or name for name, info in cls.model_fields.items()]
        for name in raw:
            if name not in fields:
                advice = cls.other_names.get(name) or nearest(name, fields)
                field = name if isinstance(name, str) else shown(name)
                raise fault(f"a field of {cls.what}", "an unknown field", advice, field)
        return {name: value for name, value in raw.items() if not (value is None and cls.empty_is_absent)}


# ---- types of fields ----

Text = Annotated[str, Field(max_length=10_000, pattern=r"^[\P{Cc}\n\t]*[^\p{Cc}\s][\P{Cc}\n\t]*$")]
Name = Annotated[str, Field(max_length=200, pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*[^\p{Cc}\s][^\p{Cc}\p{Zl}\p{Zp}]*$")]
"""Words without control characters; a name is of one line."""
Number = Annotated[float, Field(strict=True, ge=-1e300, le=1e300, allow_inf_nan=False)]
Numbers = Annotated[list[Number], FailFast()]
"""Of a million wrong numbers the first is reported."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ABOUT_TEXT = (
    (r"[-+]?\d+,\d+(e[-+]?\d+)?", "write a point for the decimals, as in 0.3"),
    (_NUMBER + r"\s*%", "write a fraction, 0.05 for 5 %"),
    (r"[-+]?\.?(nan|inf|infinity|none|null|n/?a|-+|\?)", "leave it out if there is no number"),
    (r"[-+]?[\d_]+(\.[\d_]*)?(e[-+]?\d+)?", "write the digits without underscores"),
    (r"0[xob]\w*|[-+]?\d+(:\d+)+", "write a decimal number"),
    (_NUMBER + r"\s*(\+-|\+/-|±|\().*", "write the value alone, and its errors in fields of their own"),
    (r"[-+]?[\d.]+\s*([x*×·]\s*10|d[-+]?\d).*", "write the power of ten as in 1.0e-9"),
    (_NUMBER + r"\s*[^\W\d].*", "write the number alone, without a unit"),
)


def _about_number(raw: Any) -> str:
    """What to do about a value that is no finite number."""
    if not isinstance(raw, str):
        return "write a plain number, or leave it out if there is none"
    word = raw[:100].strip()
    meant = plain_value(word) if word else None
    if type(meant) in (int, float) and abs(meant) < 1e300:
        return f"write {word} without quotes"
    plain = re.sub("[\N{MINUS SIGN}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}]", "-", word)
    if plain != word and not isinstance(plain_value(plain), str):
        return "write the minus sign as the hyphen of the keyboard, -"
    for pattern, advice in _ABOUT_TEXT:
        if re.fullmatch(pattern, plain, re.IGNORECASE | re.DOTALL):
            return advice
    return "write a number such as 0.85 or 1.0e-9"


# ---- pydantic's errors in our words ----

_PRINTABLE = ("words without control characters, a name on one line", "change it, or leave it out")
_LIST = ("a list that is not empty", "write [a, b, ...], or start every item with a dash")
_ADVICE = {
    "missing": ("a value", "add the field"),
    "string_type": ("text", "write words, in quotes if they look like a number"),
    **dict.fromkeys(("string_pattern_mismatch", "string_unicode"), _PRINTABLE),
    "string_too_long": ("at most {max_length} characters", "shorten it"),
    **dict.fromkeys(("list_type", "tuple_type", "too_short"), _LIST),
    "int_type": ("a whole number", "write the number alone"),
    "greater_than": ("a number above {gt:g}", "check its sign, or leave it out"),
    "greater_than_equal": ("a number of at least {ge:g}", "check its digits"),
    "less_than_equal": ("a number of at most {le:g}", "check its digits"),
}
"""What was expected, and what to do, by pydantic's type of error."""

Labels = Mapping[str, Callable[[Any, int], str]]
"""By the name of a list, what its items are called in messages, from the item and its position."""


def validated(record: type[R], raw: Any, path: str, labels: Labels | None = None) -> R:
    """The record that the content of a file makes; raises Faults, with one sentence for each of pydantic's errors."""
    try:
        return record.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
    sentences = _sentences(details, record, raw, path, labels or {})
    faults = Faults(next(sentences))
    faults.others = sentences
    raise faults


def _sentences(details: list, record: type[Record], raw: Any, path: str, labels: Labels) -> Iterator[str]:
    """What pydantic found in our words, one sentence for each place."""
    places = set()
    for one in details:
        kind, came, context, location = one["type"], shown(one["input"]), one.get("ctx", {}), one["loc"]
        if kind == "fault":
            expected, came, advice = context["expected"], context["came"], context["advice"]
            location += context["field"]
        elif kind in ("float_type", "finite_number"):
            field = record.model_fields.get(str(location[0]))
            expected = "a finite number" + (f" for the {field.description}" if field and field.description else "")
            came, advice = f"the text {came}" if isinstance(one["input"], str) else came, _about_number(one["input"])
        elif kind == "literal_error":
            expected, advice = "a known name", nearest(one["input"], re.findall("'(.*?)'", context["expected"]))
        else:
            expected, advice = _ADVICE.get(kind, ("another value", "correct it"))
            expected = expected.format(**context)
            came = {"missing": "nothing", "string_too_long": str(len(str(one["input"])))}.get(kind, came)
        place = _place(location, raw, labels)
        if place not in places and not (kind == "too_short" and one["input"]):  # its items have faults of their own
            places.add(place)
            yield str(fault_at((path, *place), expected, came, advice))


def _place(location: Sequence[str | int], raw: Any, labels: Labels) -> tuple[str, ...]:
    """The way to a fault in words, as far as the file has it: "entry A", "row 1 (FL)", "field correlation[0]"."""
    words, field = [], ""
    for step in location:
        if isinstance(step, int) and not isinstance(raw, list):
            break
        raw = raw[step] if isinstance(step, int) else raw.get(step) if isinstance(raw, dict) else None
        if isinstance(step, int) and field in labels:
            words.append(labels[field](raw, step))
            field = ""
        elif isinstance(step, int):
            field += f"[{step}]"
        else:
            field += f".{step}" if field else step
    return (*words, f"field {field}") if field else tuple(words)
