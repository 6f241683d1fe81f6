"""The one exception that means: the request is wrong, and what its sentence is made of.

Inputs: values and names as a user wrote them. Outputs: text that is safe to print, of bounded length.
"""

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import category

_MESSAGE, _VALUE, _NAMES, _NAME = 1000, 60, 12, 60
"""Bounds: characters of a message and of a value in it, names listed, characters of a name."""


class RequestError(ValueError):
    """What was expected, what came and what to do, in one sentence; the command line answers it with exit code 2.

    Whatever a user wrote may stand in the message: control characters are shown by their escapes, and a message that
    is too long loses its middle.
    """

    def __init__(self, message: str = ""):
        super().__init__(shortened(visible(message), _MESSAGE))


class DataWarning(UserWarning):
    """Data that are taken as they are, though something about them is most likely a mistake."""


def visible(text: str) -> str:
    """The text with what a terminal would obey, or nobody could see, as escapes: \\x1b, \\n, \\u202e."""
    if text.isprintable():
        return text
    return "".join(c if category(c) not in _INVISIBLE else c.encode("unicode_escape").decode() for c in text)


_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control, format and surrogate characters, separators of lines and paragraphs."""


def shortened(text: str, most: int) -> str:
    """The text without its middle where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head = (2 * most) // 3
    return f"{text[:head]}...{text[len(text) - (most - head - 3) :]}"


class _Repr(reprlib.Repr):
    """Bounded representations, also of integers whose digits Python refuses to write and of values within values."""

    def __init__(self):
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlist, self.maxdict = 3, _VALUE, _VALUE, 6, 4

    def repr_int(self, x: int, level: int) -> str:
        digits = int(x.bit_length() * 0.30103) + 1
        return f"an integer of about {digits} digits" if digits > 4000 else repr(x)  # Python writes up to 4300


_repr = _Repr()


def shown(value: Any) -> str:
    """A value as an error message shows it: its repr, shortened, on one line."""
    text = visible(_repr.repr(value))
    return text if len(text) <= _VALUE else text[: _VALUE - 3] + "..."


def near_name(name: Any, right_names: Iterable[str], *, typos: bool = True) -> str | None:
    """The right name that a wrong one most likely stands for, or None where no one can know.

    Equal up to case, punctuation and the spelling of K*, B+ and P5'; or, with typos, one letter away (two in names of
    more than eight); or the beginning of one right name alone.

    Args:
        name: what was written.
        right_names: what could have been meant.
        typos: not where one letter makes another thing, as in the symbols of particles and observables.
    """

    def plain(text: str) -> str:
        spelt = text.replace("*", "st").replace("+", "p").replace("'", "p")
        return "".join(filter(str.isalnum, spelt)).lower()

    if not isinstance(name, str) or len(name) > _NAME or not (wrong := plain(name)):
        return None
    right = {plain(item): item for item in right_names}
    if wrong in right:
        return right[wrong]
    if typos:
        distances = {word: _distance(wrong, word) for word in right if abs(len(word) - len(wrong)) <= 2}
        close = [word for word, n in distances.items() if n <= (1 if len(wrong) <= 8 else 2)]
        if close:
            alike = difflib.SequenceMatcher(b=wrong)

            def likeness(word: str) -> tuple[int, float, str]:
                alike.set_seq1(word)
                return -distances[word], alike.ratio(), word  # of two years the later one

            return right[max(close, key=likeness)]
    longer = [word for word in right if word.startswith(wrong)] if len(wrong) > 1 else []
    return right[longer[0]] if len(longer) == 1 else None


def nearest(name: Any, right_names: Iterable[str], *, typos: bool = True) -> str:
    """Advice that names the right name nearest to a wrong one, or what there is to choose from where none is near."""
    right = list(right_names)
    near = near_name(name, right, typos=typos)
    return f"the nearest right name is {near}" if near is not None else f"choose one of {listed(right)}"


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """The value if it is among the known ones; else raises RequestError."""
    if value not in known:
        raise RequestError(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    return value


def listed(names: Iterable[str]) -> str:
    """Names with commas between them, the first dozen and how many more."""
    names = [shortened(item, _NAME) for item in names]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES + 1 else ""
    return ", ".join(names[:_NAMES] if more else names) + more


def _distance(one: str, two: str) -> int:
    """How many letters to insert, delete, change or exchange with their neighbour make one word of the other."""
    rows = [list(range(len(two) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            best = min(row[-1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (two[j - 2], b):
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
