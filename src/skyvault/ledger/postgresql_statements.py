"""The ledger's statements as PostgreSQL takes them, and its rows as the ledger reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

#: what SQLite calls otherwise
_FUNCTIONS = {"json_each": "json_array_elements_text"}
_SPECIAL = re.compile(r"'(?:[^']|'')*'|%|:([A-Za-z_]\w*)|\b(" + "|".join(_FUNCTIONS) + r")\b")


class Row:
    """Values of one row, by number or by name."""

    __slots__ = ("_numbers", "_values")

    def __init__(self, values: Sequence[Any], numbers: dict[str, int]) -> None:
        self._values = values
        self._numbers = numbers

    def __getitem__(self, key: int | str) -> Any:
        return self._values[self._numbers[key] if isinstance(key, str) else key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def keys(self) -> list[str]:
        return list(self._numbers)


def rows(cursor: Any) -> Callable[[Sequence[Any]], Row]:
    # cursor.description would cost as much as the query
    result = cursor.pgresult
    numbers = {} if result is None else {result.fname(number).decode(): number for number in range(result.nfields)}
    return lambda values: Row(values, numbers)


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """A statement of the ledger as psycopg wants it: ``:name`` becomes ``%(name)s``, a few functions other names."""

    def other(match: re.Match[str]) -> str:
        if match[1]:
            return f"%({match[1]})s"
        if match[2]:
            return _FUNCTIONS[match[2]]
        return match[0].replace("%", "%%")

    return _SPECIAL.sub(other, sql)


@lru_cache(maxsize=1024)
def numbered(sql: str) -> tuple[str, list[str]]:
    """A statement of the ledger as PREPARE wants it (``:name`` becomes ``$1``), and the names in their order."""
    names: list[str] = []

    def other(match: re.Match[str]) -> str:
        if match[1]:
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"
        return _FUNCTIONS[match[2]] if match[2] else match[0]

    return _SPECIAL.sub(other, sql), names
