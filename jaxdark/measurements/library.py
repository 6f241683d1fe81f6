"""The shipped measurements, one file each, of which those are read that a data set names.

Inputs: ids of entries. Outputs: entries. The file NAME.yaml of data/measurements holds the entry NAME, or those whose
ids begin with NAME and an underscore, so that the id tells the file.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from jaxdark.measurements.schema import Entry, covers, naming_each_other, read_measurements

_FOLDER = files("jaxdark") / "data" / "measurements"


@cache
def file_names() -> tuple[str, ...]:
    """Names of the shipped files without their ending, sorted."""
    found = (path.name for path in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def shipped_entries(names: Iterable[str] | None = None) -> dict[str, Entry]:
    """Entries by id of the files that hold these names, or of all files; names that no file holds are left out."""
    if names is None:
        wanted = list(file_names())
    else:
        holding = (max((f for f in file_names() if covers(f, name)), key=len, default=None) for name in names)
        wanted = list(dict.fromkeys(name for name in holding if name is not None))
    return dict(_read(tuple(wanted)))


@cache
def _read(names: tuple[str, ...]) -> dict[str, Entry]:
    return naming_each_other({key: entry for name in names for key, entry in _file(name).items()})


@cache
def _file(name: str) -> dict[str, Entry]:
    return read_measurements(_FOLDER / f"{name}.yaml").entries
