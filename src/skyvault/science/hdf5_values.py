"""Values that lie in HDF5 files: data sets by their paths, for each group or each row that is a dataset of its own.

A stranger's file is read, too: what lies in other files (external links, external storage, virtual data sets) is not
followed, and sizes are bounded.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.science.reprojected import in_a_line

#: values of one data set that are read at once, bytes
_MOST_BYTES: Final = 2_000_000_000
_MOST_GROUPS: Final = 1_000_000
#: rows read at once
_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Hdf5Paths:
    """Where values are: ``values`` maps a name (flux, time, ra ...) to a path, in the group where ``each`` is set.

    ``in_common`` are names that belong to all rows (the axis), where ``by_row`` each row of the others is a dataset;
    ``missing`` are numbers that stand for no value.
    """

    values: Mapping[str, str]
    each: str | None = None
    by_row: bool = False
    in_common: frozenset[str] = frozenset()
    names: str | None = None
    missing: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Hdf5Values:
    """One dataset's values by name, the units the file gives them, its attributes, and its key among the file's."""

    key: str | None
    arrays: dict[str, Any]
    units: dict[str, str]
    words: dict[str, Any] = field(default_factory=dict)


def hdf5_values(path: Path, wanted: Hdf5Paths) -> Iterator[Hdf5Values]:
    """The datasets of a file. Raises FormatError with what is wrong."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for key, group in _groups(file, wanted.each):
                words = {**_words(file.attrs), **_words(group.attrs)}
                yield from _rows(group, wanted, key, words) if wanted.by_row else [_whole(group, wanted, key, words)]
    except FormatError as problem:
        raise FormatError(problem.what, where=path.name) from None
    except Exception as problem:
        raise FormatError(f"it cannot be read as HDF5 ({in_a_line(problem)})", where=path.name) from None


def _groups(file: Any, pattern: str | None) -> Iterator[tuple[str | None, Any]]:
    if pattern is None:
        yield None, file
        return
    found = [("", file)]
    for part in pattern.strip("/").split("/"):
        found = [
            (f"{place}/{name}", member)
            for place, group in found
            for name in sorted(group)
            if fnmatch.fnmatchcase(name, part)
            if (member := _member(group, name)) is not None and hasattr(member, "keys")
        ]
        if len(found) > _MOST_GROUPS:
            raise FormatError(f"it has more than {_MOST_GROUPS:,} groups {pattern!r}")
    if not found:
        raise FormatError(f"it has no group {pattern!r}")
    yield from ((place.lstrip("/"), group) for place, group in found)


def _member(group: Any, name: str) -> Any:
    """A member that lies in this very file; None when it is not there, or elsewhere."""
    import h5py

    link = group.get(name, getlink=True)
    return group.get(name) if isinstance(link, h5py.HardLink) else None


def _found(group: Any, place: str) -> Any:
    """The data set (or attribute) at a path, from the file's root when it begins with a slash. Raises FormatError."""
    here = group.file if place.startswith("/") else group
    parts = [part for part in place.split("/") if part]
    if not parts or ".." in parts:
        raise FormatError(f"{place!r} is no path in it")
    for part in parts[:-1]:
        here = _member(here, part)
        if here is None or not hasattr(here, "keys"):
            raise FormatError(f"it has no {place!r}")
    found = _member(here, parts[-1])
    if found is None:
        if parts[-1] in here.attrs:
            return here.attrs[parts[-1]]
        raise FormatError(f"it has no {place!r}")
    if hasattr(found, "keys"):
        raise FormatError(f"its {place!r} is a group")
    if found.external or found.is_virtual:
        raise FormatError(f"its {place!r} lies in another file")
    if found.nbytes > _MOST_BYTES:
        raise FormatError(f"its {place!r} has more than {_MOST_BYTES:,} bytes")
    return found


def _unit(found: Any) -> str | None:
    for name in ("unit", "units", "UNIT", "UNITS"):
        value = getattr(found, "attrs", {}).get(name)
        if value is not None:
            return _text(value)
    return None


def _whole(group: Any, wanted: Hdf5Paths, key: str | None, words: dict[str, Any]) -> Hdf5Values:
    arrays, units = {}, {}
    for name, place in wanted.values.items():
        found = _found(group, place)
        arrays[name] = _without(found[()] if hasattr(found, "nbytes") and hasattr(found, "attrs") else found, wanted)
        if (unit := _unit(found)) is not None:
            units[name] = unit
    return Hdf5Values(key, arrays, units, words)


def _rows(group: Any, wanted: Hdf5Paths, key: str | None, words: dict[str, Any]) -> Iterator[Hdf5Values]:
    found = {name: _found(group, place) for name, place in wanted.values.items()}
    units = {name: unit for name, one in found.items() if (unit := _unit(one)) is not None}
    common = {
        name: _without(one[()], wanted) for name, one in found.items() if name in wanted.in_common and one.ndim == 1
    }
    by_row = {name: one for name, one in found.items() if name not in common}
    names = None if wanted.names is None else _found(group, wanted.names)
    counts = {len(one) for one in (*by_row.values(), *([] if names is None else [names]))}
    if len(counts) != 1:
        raise FormatError(f"its values have {', '.join(str(count) for count in sorted(counts))} rows")
    for first in range(0, counts.pop(), _ROWS):
        strip = {name: _without(one[first : first + _ROWS], wanted) for name, one in by_row.items()}
        called = None if names is None else names[first : first + _ROWS]
        for row in range(len(next(iter(strip.values())))):
            own = str(first + row + 1) if called is None else _text(called[row])
            arrays = {**common, **{name: values[row] for name, values in strip.items()}}
            yield Hdf5Values(own if key is None else f"{key}/{own}", arrays, units, words)


def _without(values: Any, wanted: Hdf5Paths) -> Any:
    """Numbers as doubles, NaN for those that stand for no value."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        return array
    numbers = array.astype(np.float64)
    for one in wanted.missing:
        numbers[numbers == one] = np.nan
    return numbers


def _words(attributes: Any) -> dict[str, Any]:
    """Attributes as header cards: names in capitals, texts and single numbers."""
    found: dict[str, Any] = {}
    for name in list(attributes)[:1_000]:
        value = attributes[name]
        if isinstance(value, bytes | str):
            found[name.upper()] = _text(value)
        elif np.ndim(value) == 0 or np.size(value) == 1:
            plain = np.asarray(value).reshape(-1)[0]
            found[name.upper()] = _text(plain) if isinstance(plain, bytes | str) else plain.item()
    return found


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip("\x00 ")
    return str(value.item() if hasattr(value, "item") else value).strip()
