"""What the parser makes of a query: precedence, chains, places of literals, positions of errors, limits."""

from __future__ import annotations

import pytest

from skyvault.adql.nodes import (
    Between,
    Binary,
    Case,
    Cast,
    ColumnRef,
    Comparison,
    DerivedTable,
    Element,
    Expr,
    Function,
    InSubquery,
    Join,
    Like,
    Literal,
    Logical,
    Not,
    Query,
    Select,
    SelectItem,
    SetOperation,
    Slice,
    TableRef,
    Unary,
)
from skyvault.adql.parse import parse
from skyvault.adql.tokens import literals, tokenize
from skyvault.adql.tree import walk
from skyvault.errors import QueryError, UsageError


def select(text: str) -> Select:
    body = parse(text).body
    assert isinstance(body, Select)
    return body


def value(text: str) -> Expr:
    item = select(f"SELECT {text} FROM t").items[0]
    assert isinstance(item, SelectItem)
    return item.expr


def condition(text: str) -> object:
    return select(f"SELECT a FROM t WHERE {text}").where


def written(node: object) -> str:
    """An expression with all its parentheses."""
    match node:
        case Literal():
            return repr(node.value)
        case ColumnRef():
            return ".".join(name.text for name in (*node.qualifier, node.name))
        case Unary():
            return f"({node.op}{written(node.operand)})"
        case Binary() | Comparison():
            return f"({written(node.left)} {node.op} {written(node.right)})"
        case Logical():
            return f"({f' {node.op} '.join(written(part) for part in node.operands)})"
        case Not():
            return f"(NOT {written(node.operand)})"
        case Between():
            return f"({written(node.operand)} BETWEEN {written(node.low)} AND {written(node.high)})"
        case Function():
            return f"{node.name}({', '.join(written(arg) for arg in node.args)})"
        case TableRef():
            return ".".join(name.text for name in node.parts)
        case DerivedTable():
            return node.alias.text
        case Join():
            return f"({written(node.left)} {node.kind} {written(node.right)})"
        case Select():
            return written(node.source)
        case SetOperation():
            return f"({written(node.left)} {node.op}{' ALL' if node.all else ''} {written(node.right)})"
        case Query():
            return written(node.body)
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c", "((a / b) * c)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("-a * b", "((-a) * b)"),
        ("a - -b", "(a - (-b))"),
        ("a || b || c", "((a || b) || c)"),
        ("-a.b + 1", "((-a.b) + 1)"),
    ],
)
def test_arithmetic_binds_as_in_mathematics(text: str, tree: str) -> None:
    assert written(value(text)) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1 OR b = 2 AND c = 3", "((a = 1) OR ((b = 2) AND (c = 3)))"),
        ("NOT a = 1 AND b = 2", "((NOT (a = 1)) AND (b = 2))"),
        ("NOT (a = 1 OR b = 2)", "(NOT ((a = 1) OR (b = 2)))"),
        ("a = 1 AND b = 2 AND c = 3", "((a = 1) AND (b = 2) AND (c = 3))"),
        ("a + 1 > b * 2", "((a + 1) > (b * 2))"),
        ("a BETWEEN 1 AND 2 AND b = 3", "((a BETWEEN 1 AND 2) AND (b = 3))"),
        ("((a)) > (b + 1)", "(a > (b + 1))"),
        ("a != 1", "(a <> 1)"),
    ],
)
def test_conditions_bind_not_before_and_before_or(text: str, tree: str) -> None:
    assert written(condition(text)) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("SELECT x FROM a UNION SELECT x FROM b EXCEPT SELECT x FROM c", "((a UNION b) EXCEPT c)"),
        ("SELECT x FROM a UNION SELECT x FROM b INTERSECT SELECT x FROM c", "(a UNION (b INTERSECT c))"),
        (
            "SELECT x FROM a INTERSECT ALL SELECT x FROM b UNION ALL SELECT x FROM c",
            "((a INTERSECT ALL b) UNION ALL c)",
        ),
        ("(SELECT x FROM a UNION SELECT x FROM b) INTERSECT SELECT x FROM c", "((a UNION b) INTERSECT c)"),
        ("SELECT x FROM a EXCEPT (SELECT x FROM b EXCEPT SELECT x FROM c)", "(a EXCEPT (b EXCEPT c))"),
    ],
)
def test_intersect_binds_tighter_than_union_and_except(text: str, tree: str) -> None:
    assert written(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a JOIN b USING (i) JOIN c USING (i)", "((a INNER b) INNER c)"),
        ("a JOIN (b LEFT JOIN c USING (i)) USING (i)", "(a INNER (b LEFT c))"),
        ("a LEFT JOIN b JOIN c ON b.i = c.i ON a.i = b.i", "(a LEFT (b INNER c))"),
        ("a, b JOIN c USING (i), d", "((a CROSS (b INNER c)) CROSS d)"),
        ("((SELECT x FROM a) AS t JOIN b USING (x))", "(t INNER b)"),
        ("((SELECT x FROM a) UNION (SELECT x FROM b)) AS t", "t"),
    ],
)
def test_joins_nest_as_they_are_written(text: str, tree: str) -> None:
    assert written(select(f"SELECT x FROM {text}").source) == tree


def test_a_long_union_becomes_a_shallow_tree_in_the_same_order() -> None:
    text = " UNION ALL ".join(f"SELECT x FROM t{i}" for i in range(500))
    names = [node.parts[0].text for node in walk(parse(text)) if isinstance(node, TableRef)]
    assert names == [f"t{i}" for i in range(500)]


def test_literals_are_numbered_as_they_stand_in_the_text() -> None:
    text = (
        "WITH c AS (SELECT TOP 3 'a' AS x FROM t TABLESAMPLE(2.5)) "
        "SELECT TOP 5 CAST(x AS CHAR(7)), -1.5, NULL FROM c WHERE x IN ('b', 'c') ORDER BY 1 OFFSET 8"
    )
    query = parse(text)
    values = literals(tokenize(text))
    assert values == (3, "a", 2.5, 5, 7, 1.5, "b", "c", 1, 8)
    for node in walk(query):
        if isinstance(node, Literal) and node.kind != "null":
            assert node.index is not None
            assert values[node.index] == node.value
    body = query.body
    assert isinstance(body, Select)
    inner = query.commons[0].query.body
    assert isinstance(inner, Select)
    assert isinstance(inner.source, TableRef)
    [cast] = [node for node in walk(query) if isinstance(node, Cast)]
    assert (inner.top_index, inner.source.sample_index, body.top_index) == (0, 2, 3)
    assert (cast.length_index, query.offset_index) == (4, 9)
    assert (inner.source.sample_percent, cast.length, query.offset) == (2.5, 7, 8)


def test_aliases_of_functions_become_canonical_names() -> None:
    names = [
        node.name
        for node in walk(parse("SELECT GAVO_TO_MJD(a), sqrt(b), sv_median(c), Ivo_To_JD(d) FROM t"))
        if isinstance(node, Function)
    ]
    assert names == ["ivo_to_mjd", "SQRT", "median", "ivo_to_jd"]


def test_signatures_make_other_functions_known() -> None:
    tree = parse("SELECT MY_UDF(a, 'x') FROM t", functions=["my_udf(a DOUBLE, b TEXT) -> DOUBLE"])
    assert [node.name for node in walk(tree) if isinstance(node, Function)] == ["my_udf"]
    with pytest.raises(QueryError, match="MY_UDF takes 2 arguments, here is 1"):
        parse("SELECT MY_UDF(a) FROM t", functions=["my_udf(a DOUBLE, b TEXT) -> DOUBLE"])
    with pytest.raises(QueryError, match="no function my_udf"):
        parse("SELECT my_udf(a, 'x') FROM t")


@pytest.mark.parametrize("signature", ["", "f", "f(", "f(a DOUBLE -> DOUBLE", "f(a, DOUBLE b(c) d)", "1f() -> REAL"])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    with pytest.raises(UsageError):
        parse("SELECT a FROM t", functions=[signature])


def test_case_like_and_arrays_keep_their_parts() -> None:
    case = value("CASE a WHEN 1 THEN b ELSE c END")
    assert isinstance(case, Case) and case.operand is not None and case.otherwise is not None
    like = condition("a NOT ILIKE 'x%'")
    assert isinstance(like, Like) and like.negated and like.ignore_case
    element = value("a[2]")
    assert isinstance(element, Element)
    piece = value("a[:3]")
    assert isinstance(piece, Slice) and piece.low is None and piece.high is not None
    inside = condition("a NOT IN (SELECT b FROM u)")
    assert isinstance(inside, InSubquery) and inside.negated


@pytest.mark.parametrize(
    ("text", "place", "token"),
    [
        ("SELECT ra\nFROM stars\nWHERE ra = = 3", (3, 12), "="),
        ("SELECT ra,\n\n  foo(dec)\nFROM stars", (3, 3), "foo"),
        ("SELECT size\nFROM t", (1, 8), "size"),
        ("SELECT ra\nFROM stars WHERE (ra > 1", (2, 18), "("),
        ("SELECT TOP -5 ra FROM t", (1, 12), "-"),
        ("SELECT a FROM t -- comment\n LIMIT 3", (2, 2), "LIMIT"),
        ("SELECT a FROM", (1, 14), "end of the query"),
    ],
)
def test_errors_point_at_the_token(text: str, place: tuple[int, int], token: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.token == token
    assert str(caught.value).startswith(f"line {place[0]}, column {place[1]}: ")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 95 + "a" + ")" * 95 + " FROM t",
        "SELECT " + "ABS(" * 95 + "a" + ")" * 95 + " FROM t",
        "SELECT a FROM t WHERE " + "(" * 95 + "a = 1" + ")" * 95,
        "SELECT a FROM t WHERE " + " AND ".join(["a = 1"] * 5000),
        "SELECT " + " + ".join(["a"] * 90) + " FROM t",
        "SELECT a FROM t WHERE a IN (" + ", ".join(["1"] * 50_000) + ")",
        "SELECT " + ", ".join(["a"] * 10_000) + " FROM t",
        " UNION ".join(["SELECT a FROM t"] * 2_000),
        "SELECT a FROM " + "(SELECT a FROM " * 25 + "t" + "".join(f") AS t{i}" for i in range(25)),
    ],
    ids=["parentheses", "calls", "conditions", "and", "sum", "list", "columns", "union", "subqueries"],
)
def test_large_queries_are_read(text: str) -> None:
    assert isinstance(parse(text), Query)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 101 + "a" + ")" * 101 + " FROM t",
        "SELECT " + "(" * 200_000 + "a" + ")" * 200_000 + " FROM t",
        "SELECT " + "ABS(" * 101 + "a" + ")" * 101 + " FROM t",
        "SELECT " + "-(" * 101 + "a" + ")" * 101 + " FROM t",
        "SELECT " + "CASE WHEN a = 1 THEN " * 101 + "1" + " END" * 101 + " FROM t",
        "SELECT a FROM t WHERE " + "NOT (" * 101 + "a = 1" + ")" * 101,
        "SELECT a FROM t WHERE " + "(a = 1 OR (a = 2 AND " * 60 + "a = 3" + "))" * 60,
        "SELECT " + " + ".join(["a"] * 50_000) + " FROM t",
        "SELECT " + " || ".join(["a"] * 50_000) + " FROM t",
        "SELECT a FROM " + ", ".join(f"t{i}" for i in range(5_000)),
        "SELECT a FROM t" + " NATURAL JOIN u" * 5_000,
        "SELECT a FROM " + "(SELECT a FROM " * 101 + "t" + ") AS t" * 101,
        "SELECT a FROM " + "(" * 5_000 + "a JOIN b USING (i)" + ")" * 5_000,
        "SELECT a FROM t WHERE a IN " + "(SELECT a FROM t WHERE a IN " * 60 + "(1)" + ")" * 60,
        "SELECT a" + "[a" * 200 + "]" * 200 + " FROM t",
        "(" * 5_000 + "SELECT a FROM t" + ")" * 5_000,
        " EXCEPT ".join(["SELECT a FROM t"] * 5_000),
    ],
    ids=[
        "parentheses", "many-parentheses", "calls", "signs", "case", "not", "conditions", "sum", "join-of-texts",
        "tables", "joins", "subqueries", "joined-parentheses", "in", "elements", "queries", "except",
    ],
)  # fmt: skip
def test_queries_nested_too_deeply_are_refused(text: str) -> None:
    with pytest.raises(QueryError, match="deep"):
        parse(text)
