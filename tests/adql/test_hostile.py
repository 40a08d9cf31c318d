"""Whatever arrives, the answer is a query or a QueryError: never another exception, never a hang."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from skyvault.adql.check import check
from skyvault.adql.functions import catalogue
from skyvault.adql.nodes import Query
from skyvault.adql.parse import parse
from skyvault.adql.tokens import literals, template, tokenize
from skyvault.adql.words import RESERVED
from skyvault.errors import QueryError
from skyvault.model.ports import TableLookup

PIECES = [
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "TOP 3", "OFFSET 2", "DISTINCT", "AS", "AND", "OR",
    "NOT", "IN", "LIKE", "BETWEEN", "IS NULL", "EXISTS", "UNION", "INTERSECT", "EXCEPT ALL", "JOIN", "LEFT JOIN",
    "NATURAL JOIN", "ON", "USING", "WITH", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "INTEGER", "COUNT(*)", "MAX",
    "POINT", "CIRCLE", "CONTAINS", "DISTANCE", "TABLESAMPLE", "(", ")", "(", ")", ",", ",", ".", "*", "+", "-", "/",
    "||", "=", "<", ">=", "<>", ";", "[", "]", ":", "1", "2.5", "'x'", "NULL", "ra", "dec", "name", "stars", "other",
    "s", "lab", '"size"', "--\n", "place", "ABS", "COALESCE",
]  # fmt: skip


def read(text: str) -> Query | None:
    with contextlib.suppress(QueryError):
        return parse(text)
    return None


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
def test_any_soup_of_tokens_is_a_query_or_refused(text: str) -> None:
    read(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    read(text)
    with contextlib.suppress(QueryError):
        tokens = tokenize(text)
        hash(template(tokens))
        literals(tokens)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*sorted(RESERVED), *sorted(catalogue()), "(", ")", ",", "1", "'a'", "x"]), max_size=25)
)
def test_any_soup_of_words_behind_select_is_a_query_or_refused(words: list[str]) -> None:
    read("SELECT " + " ".join(words) + " FROM t")


def expressions() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(
        [
            "ra",
            "dec",
            "name",
            "hip",
            "place",
            "flux",
            "observed",
            "s.ra",
            "1",
            "2.5",
            "'x'",
            "NULL",
            "is_variable",
            "q.r",
        ]
    )

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            pair.map(lambda t: f"{t[0]} || {t[1]}"),
            pair.map(lambda t: f"COALESCE({t[0]}, {t[1]})"),
            pair.map(lambda t: f"POINT({t[0]}, {t[1]})"),
            pair.map(lambda t: f"DISTANCE({t[0]}, {t[1]})"),
            pair.map(lambda t: f"CASE WHEN {t[0]} > {t[1]} THEN {t[0]} ELSE {t[1]} END"),
            st.tuples(st.sampled_from(["ABS", "MAX", "COUNT", "LOWER", "SQRT", "AREA", "COORD1", "SUM"]), inner).map(
                lambda t: f"{t[0]}({t[1]})"
            ),
            st.tuples(inner, st.sampled_from(["INTEGER", "VARCHAR(3)", "TIMESTAMP", "POINT"])).map(
                lambda t: f"CAST({t[0]} AS {t[1]})"
            ),
            inner.map(lambda text: f"(SELECT MAX({text}) FROM other)"),
        )

    return st.recursive(leaves, grow, max_leaves=8)


CONDITIONS = expressions().flatmap(
    lambda left: st.sampled_from(
        [f"{left} > 1", f"{left} IS NULL", f"{left} IN (1, 'a')", f"{left} LIKE 'x'", f"NOT {left} BETWEEN 1 AND 2"]
    )
)


@settings(max_examples=400, deadline=None)
@given(
    items=st.lists(expressions(), min_size=1, max_size=3),
    source=st.sampled_from(
        ["stars", "stars AS s", "stars AS s JOIN other USING (source_id)", "(SELECT ra AS r FROM stars) AS q"]
    ),
    where=CONDITIONS | st.none(),
    group=expressions() | st.none(),
    order=expressions() | st.none(),
)
def test_any_expression_is_typed_or_refused(
    tables: TableLookup, items: list[str], source: str, where: str | None, group: str | None, order: str | None
) -> None:
    text = f"SELECT {', '.join(items)} FROM {source}"
    text += f" WHERE {where}" if where else ""
    text += f" GROUP BY {group}" if group else ""
    text += f" ORDER BY {order}" if order else ""
    query = read(text)
    if query is None:
        return
    with contextlib.suppress(QueryError):
        checked = check(query, tables)
        assert len(checked.columns) == len(items)
        count = len(literals(tokenize(text)))
        assert all(0 <= index < count for index in checked.pinned)
