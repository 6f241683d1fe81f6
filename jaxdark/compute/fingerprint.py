"""What a function, a class or an object of a user's is, by its content, the same in every process.

Inputs: any object. Outputs: a fingerprint in JSON's types: the code of functions and classes, what they close over and
the globals they name, values exactly. What belongs to this package, to an installed one or to Python has its name
alone: versions tell those apart.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

_SHORT = 16
"""Hexadecimal digits of a hash: enough to tell models apart, and short enough for a sentence."""
_PACKAGE = __name__.partition(".")[0]
_INSTALLED = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib")})


def digest(description: Any) -> str:
    """Short hash of something in JSON's types."""
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()[:_SHORT]


def fingerprint(value: Any, *, mutable: bool = True) -> Any:
    """The fingerprint of an object.

    Args:
        value: the object.
        mutable: with the content of lists, dictionaries and sets that functions close over or name; a function may
            change it whenever it is called.
    """
    return _Fingerprint(mutable)(value)


def shape_and_type(array: Any) -> dict[str, list]:
    """Fingerprint of an array whose values do not count."""
    return {"array": [[*np.shape(array)], np.asarray(array).dtype.str]}


def with_values(array: Any) -> dict[str, list]:
    """Fingerprint of an array, with a hash of its values."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no fingerprint")
    return {"array": [*shape_and_type(array)["array"], hashlib.sha256(array.tobytes()).hexdigest()]}


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value)} is no record of {_PACKAGE}")


def record_fingerprint(
    value: Any, of_array: Callable[[Any], Any] = with_values, of_other: Callable[[Any], Any] = _refuse
) -> Any:
    """The fingerprint of plain values, arrays and records of this package, exactly.

    Args:
        value: the value.
        of_array: fingerprint of an array.
        of_other: of anything else, the code of which others may change.

    Raises:
        TypeError: there is anything else and no `of_other`, or an array of objects.
    """
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return of_array(value)
    cls = type(value)
    if cls in (list, tuple):
        return {cls.__name__: [record_fingerprint(part, of_array, of_other) for part in value]}
    if cls is dict and all(type(key) is str for key in value):
        return {"dict": {key: record_fingerprint(value[key], of_array, of_other) for key in sorted(value)}}
    fields = record_fields(cls)
    if fields is None or "." in cls.__qualname__ or cls.__module__.partition(".")[0] != _PACKAGE:
        return of_other(value)
    parts = {name: record_fingerprint(getattr(value, name), of_array, of_other) for name in fields}
    return {f"{cls.__module__}:{cls.__qualname__}": parts}


def record_fields(cls: type) -> tuple[str, ...] | None:
    """Fields of a NamedTuple or dataclass; None for other classes."""
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else None


def short_name(build: Any) -> str:
    """What to call that which a function or class makes: the name it was given in code, or that of its class."""
    while isinstance(build, functools.partial):
        build = build.func
    if isinstance(build, types.MethodType) and not isinstance(build.__self__, type):
        build = build.__self__
    name = getattr(build, "__name__", type(build).__name__)
    return name if name.isidentifier() else "function"


class _Fingerprint:
    """One walk through an object and all that it rests on."""

    def __init__(self, mutable: bool):
        self._mutable = mutable
        self._open: list[int] = []
        self._done: dict[int, tuple[Any, Any]] = {}  # with the object, so that no other gets its id

    def __call__(self, value: Any) -> Any:
        return record_fingerprint(value, of_other=self._of_object)

    def _of_object(self, value: Any) -> Any:
        """Of what is neither plain nor an array; what is met inside itself has the number of the level it is on."""
        if id(value) in self._done:
            return self._done[id(value)][1]
        if id(value) in self._open:
            return {"again": self._open.index(id(value))}
        self._open.append(id(value))
        try:
            found = {type(value).__name__: self._of(value)}
        finally:
            self._open.pop()
        self._done[id(value)] = value, found
        return found

    def _of(self, value: Any) -> Any:
        if isinstance(value, bytes | complex | str | int | float):  # the last three: classes derived from them
            return repr(value)
        if isinstance(value, set | frozenset):
            return sorted(json.dumps(self(part)) for part in value)
        if isinstance(value, dict):
            return [[self(key), self(part)] for key, part in value.items()]
        if isinstance(value, list):
            return [self(part) for part in value]
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, functools.partial):
            return [self(value.func), self(value.args), self(value.keywords), self._state(value)]
        if isinstance(value, types.MethodType):
            return [self(value.__func__), self(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, property):
            return [self(part) for part in (value.fget, value.fset)]
        if isinstance(value, staticmethod | classmethod):
            return self(value.__func__)
        if isinstance(value, functools.cached_property):
            return self(value.func)
        if _is_known(type(value).__module__):
            if callable(inner := getattr(value, "__wrapped__", None)):  # jitted and cached functions
                return self(inner)
            if hasattr(value, "__qualname__"):  # built into Python or a library
                owner = getattr(value, "__self__", None)
                bound = None if owner is None or isinstance(owner, types.ModuleType) else self(owner)
                return [_name(value), bound]
        parts = [self(part) for part in value] if isinstance(value, tuple) else []
        return [self(type(value)), parts, self._state(value)]

    def _function(self, function: types.FunctionType) -> Any:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        captured = {name: self._cell(cell) for name, cell in cells}
        defaults = [self(function.__defaults__), self(function.__kwdefaults__)]
        if _is_known(function.__module__):
            return [_name(function), captured, defaults]
        named = {
            name: self._captured(function.__globals__[name])
            for name in sorted(set(_names(function.__code__)))
            if name in function.__globals__
        }
        return [self._code(function.__code__), captured, defaults, named]

    def _cell(self, cell: Any) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            return "empty"
        return self._captured(content)

    def _captured(self, value: Any) -> Any:
        if not self._mutable and isinstance(value, list | dict | set | bytearray):
            return type(value).__name__
        return self(value)

    def _code(self, code: types.CodeType) -> Any:
        """What it does, without where it stands."""
        return [
            code.co_code.hex(),
            [self(constant) for constant in code.co_consts],
            [*code.co_names],
            [*code.co_varnames, *code.co_cellvars, *code.co_freevars],
            [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        ]

    def _class(self, cls: type) -> Any:
        if _is_known(cls.__module__):
            return _name(cls)
        content = {
            name: self._captured(part)
            for name, part in sorted(vars(cls).items())
            if _is_written(name, part) and name not in getattr(cls, "__dataclass_fields__", ())
        }
        fields = [[n, self._captured(f.default)] for n, f in getattr(cls, "__dataclass_fields__", {}).items()]
        return [cls.__name__, [self(base) for base in cls.__bases__], content, fields]

    def _state(self, value: Any) -> Any:
        """Attributes of an object, other than what it computes and keeps; of one that shows none, nothing."""
        slots = [name for cls in type(value).__mro__ for name in _slots(cls)]
        found = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
        return [
            [name, self._captured(part)]
            for name, part in sorted(found.items())
            if not isinstance(inspect.getattr_static(type(value), name, None), functools.cached_property)
        ]


def _names(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes in a piece of code and those inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', type(value).__qualname__)}"


def _slots(cls: type) -> tuple[str, ...]:
    found = vars(cls).get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _is_written(name: str, value: Any) -> bool:
    """Whether an attribute of a class stands in its source, other than made by Python, dataclasses or Equinox."""
    if isinstance(value, types.FunctionType):
        return not value.__code__.co_filename.startswith("<string>")
    return not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl"


def _is_known(module: str | None) -> bool:
    """Whether a module is Python's, this package's or that of an installed library."""
    if module is None or module == "__main__":
        return False
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == _PACKAGE:
        return True
    place = getattr(sys.modules.get(module), "__file__", None)
    return place is not None and str(Path(place).resolve()).startswith(_INSTALLED)
