"""Vectors in DuckDB SQL: arithmetic element by element, arr_map, and aggregates over array columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skyvault.adql.meaning import is_vector
from skyvault.adql.nodes import Binary, Function, Literal

if TYPE_CHECKING:
    from skyvault.adql.emit_duckdb import Emitter

#: aggregates that take arrays, and what they do with the elements of one place
VECTOR_AGGREGATES: Final = {"AVG": "avg", "SUM": "sum", "MIN": "min", "MAX": "max"}
_SQL_TYPES: Final = {"int": "INTEGER", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE"}


def vector_operation(emitter: Emitter, expr: Binary) -> str:
    """An operation of arrays and numbers; of two arrays, the shorter counts as filled up with NaN (ADQLVectorMath)."""
    datatype = _SQL_TYPES[emitter.meaning(expr).datatype]
    is_left, is_right = (is_vector(emitter.meaning(side)) for side in (expr.left, expr.right))
    if is_left and is_right:
        one, two = (f"coalesce(_p[{place}], CAST('NaN' AS {_floating(datatype)}))" for place in (1, 2))
        zipped = f"list_transform(list_zip({{0}}, {{1}}), lambda _p: {_operation(expr.op, one, two, datatype)})"
        # list_zip takes a NULL for an empty list
        template = f"CASE WHEN ({{0}}) IS NOT NULL AND ({{1}}) IS NOT NULL THEN {zipped} END"
        return emitter.fill(template, (expr.left, expr.right))
    left, right = emitter.expr(expr.left), emitter.expr(expr.right)
    array, number = (left, right) if is_left else (right, left)
    if isinstance(expr.right if is_left else expr.left, Literal):
        terms = ("_e", number) if is_left else (number, "_e")
        return f"list_transform({array}, lambda _e: {_operation(expr.op, *terms, datatype)})"
    # the number is computed once a row, not once an element
    terms = ("_e", "_s") if is_left else ("_s", "_e")
    inner = f"list_transform({array}, lambda _e: {_operation(expr.op, *terms, datatype)})"
    return f"list_transform([{number}], lambda _s: {inner})[1]"


def _operation(op: str, left: str, right: str, datatype: str) -> str:
    if op == "/":
        return f"CAST(({left}) / nullif({right}, 0) AS {datatype})"
    return f"CAST(({left}) {op} ({right}) AS {datatype})"


def _floating(datatype: str) -> str:
    return datatype if datatype == "FLOAT" else "DOUBLE"


def vector_call(emitter: Emitter, expr: Function) -> str:
    """arr_map, and AVG, SUM, MIN, MAX of an array column."""
    if expr.name == "arr_map":
        body, array = expr.args
        variable = emitter.checked.element_names[expr]
        datatype = _SQL_TYPES[emitter.meaning(expr).datatype]
        return f"list_transform({emitter.expr(array)}, lambda {variable}: CAST({emitter.expr(body)} AS {datatype}))"
    array_sql = emitter.expr(expr.args[0])
    distinct = "DISTINCT " if expr.distinct else ""
    rows = f"list({distinct}{array_sql}) FILTER (WHERE ({array_sql}) IS NOT NULL)"
    datatype = _SQL_TYPES[emitter.meaning(expr).datatype]
    place = f"CAST(list_{VECTOR_AGGREGATES[expr.name]}(list_transform(_g.r, lambda _a: _a[_i])) AS {datatype})"
    # the engine takes no aggregate of an expression with a lambda within another lambda: they come first
    group = f"struct_pack(r := {rows}, n := max(len({array_sql})))"
    return f"list_transform([{group}], lambda _g: list_transform(range(1, _g.n + 1), lambda _i: {place}))[1]"
