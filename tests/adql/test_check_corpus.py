"""Every query of the corpus means what it should, or is refused with a sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.adql.check import check
from skyvault.adql.parse import parse
from skyvault.errors import QueryError
from skyvault.model.ports import TableLookup
from skyvault.model.table import Column

CORPUS = Path(__file__).parent / "corpus"


def cases(name: str) -> list[object]:
    """Lines "title :: expected :: query" of a corpus file as test parameters."""
    found: list[object] = []
    for line in (CORPUS / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            title, expected, query = (part.strip() for part in line.split("::", 2))
            found.append(pytest.param(expected, query, id=title))
    return found


def told(column: Column) -> str:
    """A column as the corpus writes it."""
    text = f"{column.name} {column.datatype}"
    if column.arraysize:
        text += f"[{column.arraysize}]"
    return f"{text} ({column.unit})" if column.unit else text


@pytest.mark.parametrize(("expected", "query"), cases("valid_checked.txt"))
def test_a_right_query_has_described_columns(expected: str, query: str, tables: TableLookup) -> None:
    checked = check(parse(query), tables)
    assert ", ".join(told(column) for column in checked.columns) == expected
    assert len({column.name.lower() for column in checked.columns}) == len(checked.columns)
    assert all(column.id is None for column in checked.columns)


@pytest.mark.parametrize(("words", "query"), cases("invalid_checked.txt"))
def test_a_wrong_query_is_refused_with_place_and_suggestion(words: str, query: str, tables: TableLookup) -> None:
    tree = parse(query)
    with pytest.raises(QueryError) as caught:
        check(tree, tables)
    problem = caught.value
    assert words in str(problem)
    assert problem.line == 1
    assert 1 <= problem.column <= len(query)
    assert problem.token
    assert problem.hint


def test_the_corpus_is_large_enough() -> None:
    assert len(cases("valid_checked.txt")) >= 100
    assert len(cases("invalid_checked.txt")) >= 100
