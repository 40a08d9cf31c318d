"""The tree of an ADQL query: one small frozen class a grammar rule.

Nodes compare by identity, so that the checker can hang what it learns (types, resolved columns) beside the tree in
dictionaries keyed by node. ``pos`` is the offset of the first character in the query text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier; ``text`` is without quotes, ``quoted`` tells whether it was a delimited identifier."""

    text: str
    quoted: bool = False
    pos: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    pos: int


# ---------------------------------------------------------------- value expressions


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Node):
    """A constant. ``index`` is its place among the literals of the text (the plan cache replaces it by value).

    Sign is never part of it: -3 is Unary("-", Literal(3)).
    """

    value: int | float | str | None
    kind: Choice["integer", "real", "string", "null"]
    index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRef(Node):
    """[[catalog.]schema.][table.]column"""

    name: Name
    qualifier: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Node):
    op: Choice["+", "-"]
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Node):
    op: Choice["+", "-", "*", "/", "||"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Function(Node):
    """Any call: mathematics, aggregate, geometry constructor and predicate, string and user functions.

    ``name`` is the canonical upper-case name of the standard's functions and the canonical lower-case name of user
    functions, aliases already resolved (GAVO_TO_MJD -> ivo_to_mjd). COUNT(*) has ``star`` and no args.
    """

    name: str
    args: tuple[Expr, ...]
    distinct: bool = False
    star: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Node):
    """CAST(operand AS target).

    ``target`` is upper case with single blanks ("DOUBLE PRECISION"), ``length`` as in CHAR(n).
    """

    operand: Expr
    target: str
    length: int | None = None
    #: place of the length among the literals of the text
    length_index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case(Node):
    """CASE [operand] WHEN .. THEN .. [ELSE ..] END; with an operand the WHENs are values, else conditions."""

    operand: Expr | None
    whens: tuple[tuple[Expr | Condition, Expr], ...]
    otherwise: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarSubquery(Node):
    query: Query


@dataclass(frozen=True, slots=True, eq=False)
class Element(Node):
    """array[index], 1-based (vector extension)."""

    array: Expr
    index: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Node):
    """array[low:high], both ends included (vector extension)."""

    array: Expr
    low: Expr | None
    high: Expr | None


Expr = Literal | ColumnRef | Unary | Binary | Function | Cast | Case | ScalarSubquery | Element | Slice

# ---------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Node):
    """``op`` is one of = <> < <= > >= ("!=" is read as "<>")."""

    op: Choice["=", "<>", "<", "<=", ">", ">="]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Between(Node):
    operand: Expr
    low: Expr
    high: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class InList(Node):
    operand: Expr
    items: tuple[Expr, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class InSubquery(Node):
    operand: Expr
    query: Query
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Like(Node):
    operand: Expr
    pattern: Expr
    negated: bool = False
    ignore_case: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class IsNull(Node):
    operand: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Exists(Node):
    query: Query


@dataclass(frozen=True, slots=True, eq=False)
class Not(Node):
    operand: Condition


@dataclass(frozen=True, slots=True, eq=False)
class Logical(Node):
    """AND or OR over two or more conditions (chains are flattened)."""

    op: Choice["AND", "OR"]
    operands: tuple[Condition, ...]


Condition = Comparison | Between | InList | InSubquery | Like | IsNull | Exists | Not | Logical

# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True, eq=False)
class TableRef(Node):
    """A named table: published, uploaded or a common table expression. ``sample_percent`` from TABLESAMPLE(p)."""

    parts: tuple[Name, ...]
    alias: Name | None = None
    sample_percent: float | None = None
    sample_index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DerivedTable(Node):
    query: Query
    alias: Name


@dataclass(frozen=True, slots=True, eq=False)
class Join(Node):
    """``kind`` "CROSS" is the comma; NATURAL and USING joins have no ``on``."""

    kind: Choice["INNER", "LEFT", "RIGHT", "FULL", "CROSS"]
    left: FromItem
    right: FromItem
    on: Condition | None = None
    using: tuple[Name, ...] = ()
    natural: bool = False


FromItem = TableRef | DerivedTable | Join

# ---------------------------------------------------------------- queries


@dataclass(frozen=True, slots=True, eq=False)
class Star(Node):
    """``*`` or ``qualifier.*`` in a select list."""

    qualifier: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SelectItem(Node):
    expr: Expr
    alias: Name | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Select(Node):
    items: tuple[SelectItem | Star, ...]
    source: FromItem | None
    where: Condition | None = None
    group_by: tuple[Expr, ...] = ()
    having: Condition | None = None
    distinct: bool = False
    top: int | None = None
    top_index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SetOperation(Node):
    op: Choice["UNION", "INTERSECT", "EXCEPT"]
    left: QueryBody
    right: QueryBody
    all: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OrderItem(Node):
    """``expr`` is a value expression; an integer literal is the position of a select item (from 1)."""

    expr: Expr
    descending: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CommonTable(Node):
    name: Name
    query: Query


@dataclass(frozen=True, slots=True, eq=False)
class Query(Node):
    """A whole query, a subquery in parentheses, or a parenthesised operand of a set operation."""

    body: QueryBody
    order_by: tuple[OrderItem, ...] = ()
    offset: int | None = None
    commons: tuple[CommonTable, ...] = ()
    offset_index: int | None = None
    #: the text it was read from (outermost query only), so that later errors can tell line and column
    text: str = ""


QueryBody = Select | SetOperation | Query
