"""A resource's own regression tests: what must stay true of the published tables, and of the addresses they have."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from skyvault.errors import SkyvaultError
from skyvault.publish.checker import Finding
from skyvault.publish.resource import RegressionTest
from skyvault.publish.resource_file import ResourceFile


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave."""

    status: int
    content_type: str
    body: bytes


#: a query to its rows
Ask: TypeAlias = Callable[[str], list[dict[str, Any]]]
#: an address below the service's root to what it gives
Fetch: TypeAlias = Callable[[str], Fetched]


def run_tests(file: ResourceFile, ask: Ask, fetch: Fetch | None = None) -> Iterator[Finding]:
    """An error for each test that fails, with its line; those with an address only where they can be fetched."""
    for index, test in enumerate(file.resource.tests):
        place = file.place("tests", index)
        try:
            if test.query is not None:
                told = _of_rows(test, ask(test.query))
            elif test.url is not None and fetch is not None:
                told = _of_answer(test, fetch(test.url))
            elif test.url is not None:
                continue
            else:
                told = "it has neither a query nor a url"
        except SkyvaultError as problem:
            yield Finding("error", place, f"the test {test.name!r} cannot be run: {problem.what}", problem.hint or "")
            continue
        if told is not None:
            yield Finding("error", place, f"the test {test.name!r} failed: {told}", "")


def _of_rows(test: RegressionTest, rows: list[dict[str, Any]], text: str | None = None) -> str | None:
    """What is not as the test wants it; None when all is."""
    value = next(iter(rows[0].values())) if rows else None
    if test.rows is not None and len(rows) != test.rows:
        return f"{len(rows)} rows came, not {test.rows}"
    if test.least_rows is not None and len(rows) < test.least_rows:
        return f"{len(rows)} rows came, fewer than {test.least_rows}"
    if test.value is not None and value != test.value:
        return f"the first value is {value!r}, not {test.value!r}"
    if test.contains is not None and test.contains not in (str(rows) if text is None else text):
        return f"{test.contains!r} is not in the answer"
    return None


def _of_answer(test: RegressionTest, answer: Fetched) -> str | None:
    if answer.status != test.status:
        said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
        return f"status {answer.status} came, not {test.status}{f' ({said})' if said else ''}"
    if test.content_type is not None and not answer.content_type.startswith(test.content_type):
        return f"{answer.content_type} came, not {test.content_type}"
    wants_rows = test.rows is not None or test.least_rows is not None or test.value is not None
    rows = _rows(answer) if wants_rows else []
    return _of_rows(test, rows, answer.body.decode("utf-8", "replace"))


def _rows(answer: Fetched) -> list[dict[str, Any]]:
    """The rows of an answer that is a table. Raises FormatError."""
    from skyvault.formats import open_table

    kind = answer.content_type
    ending = ".vot" if "xml" in kind else ".csv" if "csv" in kind else ".fits" if "fits" in kind else ".parquet"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"answer{ending}"
        path.write_bytes(answer.body)
        return [row for batch in open_table(path).batches for row in batch.to_pylist()]
