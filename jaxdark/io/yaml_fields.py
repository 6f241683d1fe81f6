"""Values of a user's file in, fields of the right kind out, or one sentence naming file, entry, row and field.

The readers of fields that every file with entries and rows shares; what the fields mean is the caller's business.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdark.errors import RequestError, nearest, shortened, shown
from jaxdark.io.text_files import plain_value


class Place(NamedTuple):
    """Where in a file something is wrong."""

    file: str
    entry: str = ""
    row: str = ""

    def error(self, field: str, expected: str, came: str, advice: str) -> RequestError:
        """The one-sentence error at this place: what was expected, what came, what to do."""
        named = (("", self.file), ("entry ", self.entry), ("row ", self.row), ("field ", field))
        where = ", ".join(kind + (name if kind == "" else shortened(name, 80)) for kind, name in named if name)
        return RequestError(f"{where}: expected {expected}, got {came}; {advice}.")


def checked_fields(
    raw: Any,
    place: Place,
    what: str,
    required: Collection[str],
    optional: Collection[str],
    others: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The fields of a mapping that are given, after the names are found right and the required ones present.

    Args:
        raw: the mapping.
        place: where it stands.
        what: what it is, for the message.
        required: names of fields that must be there.
        optional: names of fields that may be.
        others: what to do about names that others use for fields.
    """
    if not isinstance(raw, dict):
        raise place.error("", f"{what} as a mapping of fields", shown(raw), "write it as field: value")
    known = (*required, *optional)
    for given in raw:
        if given not in known:
            advice = (others or {}).get(given) or nearest(given, known)
            field = shortened(given, 80) if isinstance(given, str) else shown(given)
            raise place.error(field, f"a field of {what}", "an unknown field", advice)
    for needed in required:
        if raw.get(needed) is None:
            raise place.error(needed, "a value", "nothing", "add the field")
    return {given: value for given, value in raw.items() if value is not None}


def text(raw: Any, place: Place, field: str, *, most: int = 10_000) -> str:
    """Words, not empty, at most so many characters and none that a terminal would obey."""
    if not isinstance(raw, str) or not raw.strip():
        raise place.error(field, "text", shown(raw), "write words, in quotes if they look like a number")
    if len(raw) > most:
        raise place.error(field, f"at most {most} characters", f"{len(raw)}", "shorten it")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in raw):
        raise place.error(field, "text without control characters", shown(raw), "leave them out")
    return raw


def name(raw: Any, place: Place, field: str) -> str:
    """A name: text of one line, at most 200 characters."""
    words = text(raw, place, field, most=200)
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in words):
        raise place.error(field, "a name of one line", shown(raw), "leave out line breaks and tabs")
    return words


def choice(raw: Any, place: Place, field: str, what: str, right_names: Collection[str], *, typos: bool = True) -> str:
    """One of the right names; typos says whether a name that differs by a letter may be meant."""
    if not isinstance(raw, str) or raw not in right_names:
        raise place.error(field, what, shown(raw), nearest(raw, right_names, typos=typos))
    return raw


def filled_list(raw: Any, place: Place, field: str) -> list:
    """A list with at least one item."""
    if not isinstance(raw, list) or not raw:
        raise place.error(field, "a list that is not empty", shown(raw), "start every item with a dash")
    return raw


def number(raw: Any, place: Place, field: str, expected: str = "a finite number") -> float:
    """A finite number as a float."""
    if isinstance(raw, str):
        raise place.error(field, expected, f"the text {shown(raw)}", _about_text(raw[:100].strip()))
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) < 1e300:
        raise place.error(field, expected, shown(raw), "write a plain number, or leave it out if there is none")
    return float(raw)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ADVICE = (
    (r"[-+]?\d+,\d+(e[-+]?\d+)?", "write a point for the decimals, as in 0.3"),
    (_NUMBER + r"\s*%", "write a fraction, 0.05 for 5 %"),
    (r"[-+]?\.?(nan|inf|infinity|none|null|n/?a|-+|\?)", "leave it out if there is no number"),
    (r"[-+]?[\d_]+(\.[\d_]*)?(e[-+]?\d+)?", "write the digits without underscores"),
    (r"0[xob]\w*|[-+]?\d+(:\d+)+", "write a decimal number"),
    (_NUMBER + r"\s*(\+-|\+/-|±|\().*", "write the value alone, and its errors in fields of their own"),
    (r"[-+]?[\d.]+\s*([x*×·]\s*10|d[-+]?\d).*", "write the power of ten as in 1.0e-9"),
    (_NUMBER + r"\s*[^\W\d].*", "write the number alone, without a unit"),
)


def _about_text(word: str) -> str:
    """What to do about text where a number should be."""
    meant = plain_value(word) if word else None
    if type(meant) in (int, float) and abs(meant) < 1e300:
        return f"write {word} without quotes"
    plain = re.sub("[\N{MINUS SIGN}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}]", "-", word)
    if plain != word and not isinstance(plain_value(plain), str):
        return "write the minus sign as the hyphen of the keyboard, -"
    for pattern, advice in _ADVICE:
        if re.fullmatch(pattern, plain, re.IGNORECASE | re.DOTALL):
            return advice
    return "write a number such as 0.85 or 1.0e-9"


def numbers(raw: Any, place: Place, field: str) -> Float[np.ndarray, " n"]:
    """A list of finite numbers as a read-only array."""
    if not isinstance(raw, list):
        raise place.error(field, "a list of numbers", shown(raw), "write [a, b, ...]")
    array = np.array([number(item, place, f"{field}[{i}]") for i, item in enumerate(raw)], dtype=np.float64)
    array.setflags(write=False)
    return array
