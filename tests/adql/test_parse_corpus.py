"""Every query of the corpus is read, or refused with a sentence that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.adql.nodes import Query
from skyvault.adql.parse import parse
from skyvault.errors import QueryError

CORPUS = Path(__file__).parent / "corpus"


def cases(name: str, fields: int) -> list[object]:
    """Lines "title :: ... :: query" of a corpus file as test parameters."""
    found: list[object] = []
    for line in (CORPUS / name).read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        parts = [part.strip() if place else part for place, part in enumerate(line.split("::", fields - 1))]
        assert len(parts) == fields, line
        found.append(pytest.param(*parts[1:], id=parts[0].strip()))
    return found


@pytest.mark.parametrize("query", cases("valid_forms.txt", 2))
def test_a_query_of_the_grammar_is_read(query: str) -> None:
    tree = parse(query)
    assert isinstance(tree, Query)
    assert tree.text == query


@pytest.mark.parametrize(("words", "query"), cases("invalid_forms.txt", 3))
def test_a_query_outside_the_grammar_is_refused_with_place_and_suggestion(words: str, query: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    problem = caught.value
    assert words in str(problem)
    assert problem.line >= 1
    assert 1 <= problem.column <= len(query) + 1
    assert problem.token
    assert problem.hint
    if problem.token != "end of the query":
        assert problem.token.removesuffix("...") in query or problem.token.startswith("U+")


def test_the_corpus_is_large_enough() -> None:
    assert len(cases("valid_forms.txt", 2)) >= 190
    assert len(cases("invalid_forms.txt", 3)) >= 200
