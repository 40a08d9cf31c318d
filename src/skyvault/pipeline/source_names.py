"""The names of a target list: a column of numbers or texts, and the row of each name. A million cost no Python objects.

Texts are kept as the bytes of the column, identifiers as integers; a sorted list of 64-bit hashes finds a name's row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from skyvault.pipeline.faults import CatalogError
from skyvault.science.samples import Indices

_PRIME: Final = np.uint64(0x100000001B3)
_OFFSET: Final = np.uint64(0xCBF29CE484222325)
#: names that are Python objects at once
_BLOCK: Final = 50_000
#: whole numbers a float can hold without loss
_EXACT: Final = 2.0**53


class SourceNames(Sequence[str]):
    """Names in the order of the list, as texts. Raises CatalogError for a name that is missing or there twice."""

    def __init__(self, column: NDArray[Any], where: str = "target list") -> None:
        self._column = _plain(column, where)
        keys = _keys(self._column)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        self._refuse_twins(where)

    def _refuse_twins(self, where: str) -> None:
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if not len(same):
            return
        left, right = self._order[same], self._order[same + 1]
        twins = self._column[left] == self._column[right]
        if twins.any():
            first = int(left[twins].min())
            raise CatalogError(
                f"{int(twins.sum())} names are not unique, {self[first]!r} for one", where=where,
                hint="Choose another name_column.",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [_text(value) for value in self._column[index].tolist()]
        return _text(self._column[index].item())

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _BLOCK):
            yield from self[first : first + _BLOCK]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} names: {', '.join(self[:3])}{' ...' if len(self) > 3 else ''}>"

    def __contains__(self, name: object) -> bool:
        return bool(self.rows([name])[0] >= 0)

    def rows(self, names: Iterable[Any]) -> Indices:
        """Rows of many names at once, shape (n,); -1 where there is none. About a microsecond each."""
        listed = list(names)
        asked, possible = self._like_mine(listed)
        keys = _keys(asked)
        at = np.searchsorted(self._sorted, keys)
        found = np.full(len(listed), -1, np.int64)
        left = possible & (at < len(self))
        while left.any():
            places = at[left]
            rows = self._order[places]
            alike = self._sorted[places] == keys[left]
            hit = alike & (self._column[rows] == asked[left])
            open_ones = np.flatnonzero(left)
            found[open_ones[hit]] = rows[hit]
            # two names of one hash: the next entry may be the one
            left[open_ones[hit | ~alike]] = False
            at[left] += 1
            left &= at < len(self)
        return found

    def _like_mine(self, listed: list[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The names in the type of the column, and whether they can be among its names at all."""
        texts = [name_text(one) for one in listed]
        if self._column.dtype.kind == "i":
            numbers = [_whole(text) for text in texts]
            possible = np.array([number is not None for number in numbers], np.bool_)
            return np.array([number or 0 for number in numbers], np.int64), possible
        width = max(self._column.dtype.itemsize, 1)
        coded = [text.encode() for text in texts]
        possible = np.array([len(one) <= width and bool(one) for one in coded], np.bool_)
        return np.array([one[:width] for one in coded], f"S{width}"), possible

    def blocks(self) -> Iterator[bytes]:
        """The names joined by line feeds, in blocks: for a checksum that does not depend on how they are kept."""
        for first in range(0, len(self), _BLOCK):
            text = "\n".join(self[first : first + _BLOCK])
            yield (text if first == 0 else "\n" + text).encode()


def name_text(value: Any) -> str:
    """A name as a text, whatever type it comes in."""
    if isinstance(value, bytes | np.bytes_):
        return bytes(value).decode("utf-8", "replace").strip()
    return str(value).strip()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _whole(text: str) -> int | None:
    """The 64-bit integer a text is written as, or None: "007" is no name of number 7."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text and -(2**63) <= number < 2**63 else None


def _plain(column: NDArray[Any], where: str) -> NDArray[Any]:
    """The column as int64 or stripped bytes."""
    if column.dtype.kind in "iu" and (column.dtype.itemsize < 8 or column.dtype.kind == "i"):
        return np.ascontiguousarray(column, np.int64)
    if column.dtype.kind == "f":
        if not np.isfinite(column).all():
            raise CatalogError(f"{int((~np.isfinite(column)).sum())} sources have no name", where=where)
        if ((column == np.rint(column)) & (np.abs(column) < _EXACT)).all():
            return column.astype(np.int64)
    if column.dtype.kind != "S":
        column = column.astype(np.str_).astype(np.bytes_)
    column = np.ascontiguousarray(np.strings.strip(column))
    missing = np.flatnonzero(column == b"")
    if len(missing):
        raise CatalogError(f"{len(missing)} sources have no name, the first is row {missing[0]}", where=where)
    return column


def _keys(column: NDArray[Any]) -> NDArray[np.uint64]:
    """A number for each name, alike for equal names: FNV-1a of its bytes, or the identifier itself."""
    if column.dtype.kind == "i":
        return column.astype(np.uint64)
    letters = np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1)
    keys = np.full(len(column), _OFFSET)
    for position in range(letters.shape[1]):
        keys = (keys ^ letters[:, position]) * _PRIME
    return keys
