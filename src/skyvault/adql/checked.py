"""What the checker knows about a query beside its tree: the contract between checker and emitters.

A node's facts are found by the node itself (nodes compare by identity).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Choice

from skyvault.adql.nodes import ColumnRef, Expr, FromItem, Join, Node, Query, Select, Star
from skyvault.model.table import Column, Table


@dataclass(slots=True, eq=False)
class Relation:
    """One table of one FROM clause, under the name the rest of the select knows it by.

    ``sql_alias`` is unique in the whole query ("r1", "r2", ...), a safe identifier in every database.
    ``columns`` are the visible columns in order; for derived tables and common tables they carry the meaning worked
    out for the inner select's items.
    """

    sql_alias: str
    kind: Choice["table", "derived", "common"]
    columns: tuple[Column, ...]
    #: the published or uploaded table (kind "table")
    table: Table | None = None
    #: the inner query (kind "derived")
    query: Query | None = None
    #: SQL name of the common table (kind "common"): unique and safe
    common: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BoundColumn:
    """A resolved column reference. ``index`` is its place in ``relation.columns``.

    For a column merged by NATURAL or USING, ``merged`` holds both sides (COALESCE of them is the value).
    For an ORDER BY, GROUP BY or HAVING name that means a select item's alias, ``relation`` is None and ``item`` is the
    number of the select item (from 0).
    """

    relation: Relation | None
    column: Column
    index: int = 0
    merged: tuple[BoundColumn, BoundColumn] | None = None
    item: int | None = None
    #: the element that arr_map calls x: the name its value bears in SQL
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One column of a select's result: its described meaning and the expression behind it (None for set operations)."""

    column: Column
    expr: Expr | None = None
    bound: BoundColumn | None = None


@dataclass(slots=True)
class Checked:
    """A query known to be valid: every name resolved, every function allowed, every expression typed."""

    query: Query
    #: columns of the whole result, names unique
    columns: tuple[Column, ...]
    #: relation of every TableRef and DerivedTable
    relations: dict[FromItem, Relation] = field(default_factory=dict)
    #: what every ColumnRef means
    bound: dict[ColumnRef, BoundColumn] = field(default_factory=dict)
    #: for ``*`` and ``t.*``: the columns it stands for, in order
    stars: dict[Star, tuple[BoundColumn, ...]] = field(default_factory=dict)
    #: result columns of every Select (stars expanded) and every Query
    outputs: dict[Node, tuple[OutputColumn, ...]] = field(default_factory=dict)
    #: type, unit, UCD ... of every expression, as a Column whose name means nothing; geometry has xtype point, circle,
    #: polygon, adql:REGION or moc
    meanings: dict[Node, Column] = field(default_factory=dict)
    #: for NATURAL/USING joins: pairs of columns that must be equal
    merges: dict[Join, tuple[tuple[BoundColumn, BoundColumn], ...]] = field(default_factory=dict)
    #: literals (by index) whose value, not only type, shaped this result: the plan cache must compare them
    pinned: set[int] = field(default_factory=set)
    #: the number an IN_UNIT call multiplies its first argument by
    unit_factors: dict[Node, float] = field(default_factory=dict)
    #: what each arr_map calls its element in SQL
    element_names: dict[Node, str] = field(default_factory=dict)
    #: how a spectral quantity becomes another: x times the number, or (second True) the number by x
    spectral_factors: dict[Node, tuple[float, bool]] = field(default_factory=dict)
    #: published and uploaded tables named anywhere, by qualified name
    tables: dict[str, Table] = field(default_factory=dict)
    #: SQL names of common tables, in order of definition: (sql name, query, columns)
    commons: tuple[tuple[str, Query, tuple[Column, ...]], ...] = ()
    #: selects that hold a GROUP BY or an aggregate
    aggregated: set[Select] = field(default_factory=set)
