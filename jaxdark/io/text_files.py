"""Files of a user, read in one place: text in UTF-8, YAML 1.2 and TOML.

Inputs: a path. Outputs: plain Python values, or one sentence that names the file, the line and what to do. Everything
is bounded, so that a wrong file is answered at once.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from jaxdark.errors import RequestError, shortened, shown

_BYTES = 10_000_000
_VALUES = 1_000_000
_LEVELS = 50
_DIGITS = 1000
"""Bounds: the size of a file, its values with every alias written out, lists in lists, characters of a number."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_TAGS = {"tag:yaml.org,2002:" + name: name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_SAFE_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: Traversable, what: str) -> str:
    """Text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        what: the kind of file that is expected, for the message.

    Raises:
        RequestError: there is no such file, it is none, too large, cannot be read or is in another encoding.
    """
    try:
        found = path.stat() if isinstance(path, Path) else None  # what ships may lie in an archive
        wrong = None if found is None else _no_text_file(found)
        content = b"" if wrong else path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"{path}: expected {what}, got no such file; check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        came = getattr(error, "strerror", None) or error
        raise RequestError(f"{path}: expected {what} that can be read, got {came}; check the path.") from None
    if wrong:
        raise RequestError(f"{path}: expected {wrong}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequestError(_other_encoding(path, content, line)) from None
    if "\0" in text:
        raise RequestError(_other_encoding(path, content, text.count("\n", 0, text.index("\0")) + 1))
    return text


def _no_text_file(found: os.stat_result) -> str | None:
    """What was expected, what came and what to do, where that is seen without reading it."""
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "what is no plain file"
        return f"a text file in UTF-8, got {kind}; check the path"
    if found.st_size > _BYTES:
        size = f"a file of {found.st_size / 1e6:.1f} MB"
        return (
            f"a text file of at most {_BYTES / 1e6:g} MB, got {size}; check the path, or leave out what is not needed"
        )
    return None


def _other_encoding(path: Traversable, content: bytes, line: int) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[:200].count(0) > 20:
        came = "UTF-16 or UTF-32"
    elif b"\0" in content:
        came = "binary content"
    else:
        came = f"another encoding, such as Latin-1, from line {line} on"
    return f"{path}: expected a text file in UTF-8, got {came}; save it as UTF-8."


def read_toml(path: Path, what: str = "a TOML file") -> dict[str, Any]:
    """Content of a TOML file; RequestError where it cannot be read."""
    text = read_text(path, what)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise RequestError(f"{path}: expected {what} with few levels, got lists too deep to read.") from None
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path}: expected {what}, got an error ({error}); correct that place.") from None
    except ValueError as error:  # an integer of more digits than Python reads, a date that does not exist
        raise RequestError(f"{path}: expected {what}, got a value that cannot be read ({error}).") from None


def read_yaml(path: Traversable, what: str = "a YAML file") -> Any:
    """Content of a YAML 1.2 file (core schema), with the merge keys `<<` of YAML 1.1.

    Of a key that stands twice YAML leaves open which one counts, so it is refused; so are tags beyond the core schema.

    Raises:
        RequestError: the file cannot be read; with the line where that has one.
    """
    text = read_text(path, what)
    try:
        return _Builder(str(path)).value_of(yaml.parse(text, _SAFE_PARSER))
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f", line {mark.line + 1}" if mark else ""
        came = problem or " ".join(str(error).split())
        raise RequestError(f"{path}{line}: expected valid YAML, got an error ({came}); correct that line.") from None


def plain_value(text: str) -> Any:
    """What an unquoted word means in YAML 1.2: a number, true, false, null, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _DECIMAL.fullmatch(text):
            return float(text)
    return text


class _Merge:
    """Stands for the key `<<`."""


class _Open:
    """A list or a mapping whose end has not come yet."""

    def __init__(self, value: list | dict, anchor: str | None):
        self.value, self.anchor, self.size = value, anchor, 1
        self.merged: list[dict] | None = None
        self.forget_key()

    def forget_key(self) -> None:
        self.key: Any = None
        self.has_key = False


class _Builder:
    """Values from the events of PyYAML's parser, one after the other, so that nothing is ever deep or repeated."""

    def __init__(self, file: str):
        self.file, self.line = file, 0
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open: list[_Open] = []
        self.result: Any = None

    def value_of(self, events: Iterable[yaml.Event]) -> Any:
        documents = 0
        for event in events:
            self.line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._start(event)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    self._fail(f"the alias *{event.anchor} without an anchor &{event.anchor} that ends before it")
                self._add(*self.anchors[event.anchor])
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail("a second document that begins with ---")
        return self.result

    def _fail(self, came: str) -> NoReturn:
        raise RequestError(
            f"{self.file}, line {self.line}: expected valid YAML, got {shortened(came, 200)}; correct that line."
        )

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        tag = event.tag
        if tag in (None, "!"):
            plain = tag is None and event.implicit[0]
            if plain and event.value == "<<" and self.open and isinstance(self.open[-1].value, dict):
                value = _Merge if not self.open[-1].has_key else "<<"
            else:
                value = self._plain(event.value) if plain else event.value
        else:
            value = self._tagged(tag, event.value)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self._add(value, 1)

    def _plain(self, text: str) -> Any:
        if len(text) > _DIGITS and (_INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text)):
            self._fail(f"a number of {len(text)} characters")
        return plain_value(text)

    def _tagged(self, tag: str, text: str) -> Any:
        kind = _TAGS.get(tag)
        if kind in (None, "seq", "map"):
            self._fail(f"the tag {shown(tag)} on the value {shown(text)}; leave the tag out")
        if kind == "str":
            return text
        value = self._plain(text)
        if kind == "float" and type(value) is int:
            value = float(value) if abs(value) < 10**300 else float("inf")
        if type(value).__name__ != {"null": "NoneType"}.get(kind, kind):
            self._fail(f"{shown(text)} with the tag {kind}; leave the tag out")
        return value

    def _start(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!") and _TAGS.get(event.tag) != ("seq" if is_list else "map"):
            self._fail(f"the tag {shown(event.tag)}; leave the tag out")
        if len(self.open) == _LEVELS:
            self._fail(f"more than {_LEVELS} levels of lists and mappings in each other")
        if self.open and isinstance(self.open[-1].value, dict) and not self.open[-1].has_key:
            self._fail("a key that is itself a list or a mapping")
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.open.append(_Open([] if is_list else {}, event.anchor))

    def _end(self) -> None:
        ended = self.open.pop()
        for mapping in ended.merged or ():
            for key, value in mapping.items():
                ended.value.setdefault(key, value)
        if ended.anchor:
            self.anchors[ended.anchor] = (ended.value, ended.size)
        self._add(ended.value, ended.size)

    def _add(self, value: Any, size: int) -> None:
        if not self.open:
            self.result = value
            return
        top = self.open[-1]
        top.size += size
        if top.size > _VALUES:
            self._fail(f"more than {_VALUES} values, aliases written out; leave out what is not needed")
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.has_key:
            if isinstance(value, list | dict) or value != value:
                self._fail(f"the key {shown(value)}")
            if value in top.value or (value is _Merge and top.merged is not None):
                self._fail(f"an error (the key {'<<' if value is _Merge else shortened(str(value), 60)} stands twice)")
            top.key, top.has_key = value, True
        else:
            if top.key is _Merge:
                top.merged = list(self._mappings(value))
            else:
                top.value[top.key] = value
            top.forget_key()

    def _mappings(self, value: Any) -> Iterator[dict]:
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                self._fail(f"<<: {shown(value)}, which is no mapping")
            yield item
