"""A checked query written out as DuckDB SQL, with holes where its literals go."""

from __future__ import annotations

import re
from collections.abc import Callable

from skyvault.adql.checked import BoundColumn, Checked, OutputColumn, Relation
from skyvault.adql.constants import MOC_FUNCTIONS, constant_shape
from skyvault.adql.duckdb_functions import AGGREGATES, CAST_TYPES, POINT_FUNCTIONS, SQL_TYPES, TEMPLATES
from skyvault.adql.emit_geometry import Geometry, HoleIn, Vector
from skyvault.adql.emit_joins import Joins
from skyvault.adql.emit_vectors import VECTOR_AGGREGATES, vector_call, vector_operation
from skyvault.adql.functions import NOT_OFFERED
from skyvault.adql.meaning import is_vector
from skyvault.adql.nodes import (
    Between,
    Binary,
    Case,
    Cast,
    ColumnRef,
    Comparison,
    Condition,
    Element,
    Exists,
    Expr,
    Function,
    InList,
    InSubquery,
    IsNull,
    Like,
    Literal,
    Logical,
    Node,
    Not,
    OrderItem,
    Query,
    QueryBody,
    ScalarSubquery,
    Select,
    SetOperation,
    Slice,
    TableRef,
    Unary,
)
from skyvault.adql.plan import Hole, Plan, RowLimit, Values, cut, mark
from skyvault.adql.storage import Storage, Stored, StoredRegion
from skyvault.errors import LimitError, QueryError
from skyvault.model.table import INTEGRAL, Column

#: characters of SQL one expression may have, and what each node of the query adds to that
MOST_SQL = 100_000
SQL_A_NODE = 400
#: copies of common tables that one common table may come to
MOST_EXPANSIONS = 32
_GEOMETRY = {
    *("POINT", "CIRCLE", "POLYGON", "BOX", "REGION", "MOC", "CENTROID", "ivo_geom_transform"),
    *(*MOC_FUNCTIONS, *POINT_FUNCTIONS),
}


def emit(checked: Checked, storage: Storage) -> Plan:
    """The plan of a checked query over tables that lie where ``storage`` says."""
    return Emitter(checked, storage).plan()


class Emitter:
    """Writes one query; knows the tree's facts and collects the holes."""

    def __init__(self, checked: Checked, storage: Storage) -> None:
        self.checked = checked
        self.storage = storage
        self.holes: list[Hole] = []
        self._literal_marks: dict[int, str] = {}
        self._stored: dict[Relation, Stored] = {}
        #: hidden cell and vector columns that derived and common tables pass on, by (lon index, lat index)
        self.passed: dict[Relation | str, dict[tuple[int, int | None], Vector]] = {}
        self.geometry = Geometry(self)
        self.joins = Joins(self)
        #: conditions already taken over by a positional join
        self.used: set[Node] = set()

    # ------------------------------------------------------------ plan

    def plan(self) -> Plan:
        query = self.checked.query
        commons = []
        weights: dict[str, int] = {}
        for name, inner, _ in self.checked.commons:
            sql, passed = self.inner(inner)
            self.passed[name] = passed
            # written out at each use, so that conditions reach the index; but not where that doubles and doubles
            used = [
                relation.common
                for node in walk(inner)
                if isinstance(node, TableRef) and (relation := self.checked.relations[node]).common
            ]
            weight = 1 + sum(weights[common] for common in used if common)
            is_heavy = weight > MOST_EXPANSIONS
            weights[name] = 1 if is_heavy else weight
            commons.append(f"{name} AS {'' if is_heavy else 'NOT '}MATERIALIZED ({sql})")
        text = self.query(query, outermost=True)
        if commons:
            text = f"WITH {', '.join(commons)} {text}"
        body = query.body
        tail = f" OFFSET {int(query.offset)}" if query.offset else ""
        return Plan(
            parts=cut(text, self.holes),
            columns=self.checked.columns,
            tables=tuple(self.checked.tables),
            limit=RowLimit(body.top if isinstance(body, Select) else None, always=bool(query.order_by or query.offset)),
            tail=cut(tail, self.holes),
        )

    def hole(self, fill: Hole) -> str:
        self.holes.append(fill)
        return mark(len(self.holes) - 1)

    def hole_in(self, fill: HoleIn, *inner: str) -> str:
        """A hole whose text holds other SQL, which may have holes of its own."""
        self.bounded("", *inner)
        parts = [cut(text, self.holes) for text in inner]

        def render(values: Values) -> str:
            return self.bounded(
                fill(values, tuple("".join(p if isinstance(p, str) else p(values) for p in piece) for piece in parts))
            )

        return self.hole(render)

    def pin(self, index: int) -> None:
        self.checked.pinned.add(index)

    # ------------------------------------------------------------ facts

    def meaning(self, node: Node) -> Column:
        found = self.checked.meanings.get(node)
        if found is not None:
            return found
        if isinstance(node, ColumnRef) and node in self.checked.bound:
            return self.checked.bound[node].column
        if isinstance(node, Function) and node.name == "POINT":
            return Column("", "double", "2", xtype="point")
        return Column("", "double")

    def stored(self, relation: Relation) -> Stored:
        if relation not in self._stored:
            assert relation.table is not None
            self._stored[relation] = self.storage.stored(relation.table)
        return self._stored[relation]

    def relations_of(self, *nodes: Node) -> frozenset[Relation]:
        """Relations of this query whose columns the expressions use."""
        found: set[Relation] = set()
        for node in nodes:
            for child in walk(node):
                if isinstance(child, ColumnRef):
                    found |= _relations(self.checked.bound[child])
        return frozenset(found)

    def position_vector(self, lon: ColumnRef, lat: ColumnRef) -> Vector | None:
        """The index behind a pair of coordinate columns of one relation."""
        a, b = self.checked.bound[lon], self.checked.bound[lat]
        if a.relation is None or a.relation is not b.relation or a.merged or b.merged:
            return None
        return self.vector_of(a.relation, a.index, b.index)

    def point_vector(self, column: ColumnRef) -> Vector | None:
        bound = self.checked.bound[column]
        if bound.relation is None or bound.merged:
            return None
        return self.vector_of(bound.relation, bound.index, None)

    def vector_of(self, relation: Relation, lon: int, lat: int | None) -> Vector | None:
        alias = relation.sql_alias
        if relation.kind == "table":
            for p in self.stored(relation).positions:
                if (p.lon, p.lat) == (lon, lat) or (lat is None and p.point == lon):
                    return Vector(*(f"{alias}.{name}" for name in (p.cell, p.x, p.y, p.z)))
            return None
        key: Relation | str = relation.common if relation.common else relation
        inner = self.passed.get(key, {}).get((lon, lat))
        if inner is None:
            return None
        return Vector(*(f"{alias}.{name}" for name in (inner.cell, inner.x, inner.y, inner.z)))

    def region_index(self, column: ColumnRef) -> tuple[str, StoredRegion] | None:
        """SQL of the row number and the index of a region column."""
        bound = self.checked.bound[column]
        if bound.relation is None or bound.relation.kind != "table":
            return None
        for region in self.stored(bound.relation).regions:
            if region.column == bound.index:
                return f"{bound.relation.sql_alias}.rowid", region
        return None

    # ------------------------------------------------------------ queries

    def query(self, query: Query, *, outermost: bool = False) -> str:
        return self._query(query, outermost)[0]

    def inner(self, query: Query) -> tuple[str, dict[tuple[int, int | None], Vector]]:
        """SQL of a derived or common table, and the position indices it passes on."""
        return self._query(query, False, passing=True)

    def _query(
        self, query: Query, outermost: bool, passing: bool = False
    ) -> tuple[str, dict[tuple[int, int | None], Vector]]:
        body = query.body
        passed: dict[tuple[int, int | None], Vector] = {}
        if isinstance(body, Select):
            text, passed = self.select(body, passing=passing)
        else:
            text = self.body(body)
        if query.order_by:
            keys = [self.order(item, query) for item in query.order_by]
            text += f" ORDER BY {', '.join(keys)}"
        if outermost:
            return text, passed  # LIMIT and OFFSET follow in the plan
        if isinstance(body, Select) and body.top is not None:
            text += f" LIMIT {int(body.top)}"
        if query.offset:
            text += f" OFFSET {int(query.offset)}"
        return text, passed

    def body(self, body: QueryBody) -> str:
        if isinstance(body, Select):
            text, _ = self.select(body)
            return text + (f" LIMIT {int(body.top)}" if body.top is not None else "")
        if isinstance(body, SetOperation):
            word = f"{body.op} ALL" if body.all else body.op
            return f"({self.body(body.left)}) {word} ({self.body(body.right)})"
        return self.query(body)

    def select(self, select: Select, *, passing: bool = False) -> tuple[str, dict[tuple[int, int | None], Vector]]:
        outputs = self.checked.outputs[select]
        source, where = "", select.where
        if select.source is not None:
            source = f" FROM {self.joins.source(select.source, where)}"
        items = [f"{self.output(out)} AS c{i}" for i, out in enumerate(outputs)]
        passed: dict[tuple[int, int | None], Vector] = {}
        if passing and not select.distinct and select not in self.checked.aggregated:
            passed = self._pass_positions(outputs, items)
        text = f"SELECT {'DISTINCT ' if select.distinct else ''}{', '.join(items)}{source}"
        if where is not None:
            condition = self.condition(where)
            if condition != "true":
                text += f" WHERE {condition}"
        if select.group_by:
            text += f" GROUP BY {', '.join(self._group_key(key) for key in select.group_by)}"
        if select.having is not None:
            text += f" HAVING {self.condition(select.having)}"
        return text, passed

    def _pass_positions(
        self, outputs: tuple[OutputColumn, ...], items: list[str]
    ) -> dict[tuple[int, int | None], Vector]:
        """Add the hidden index columns of positions that a derived table hands through unchanged."""
        passed: dict[tuple[int, int | None], Vector] = {}
        plain = [(i, bound) for i, out in enumerate(outputs) if (bound := self._plain(out)) is not None]
        for i, lon in plain:
            candidates: list[tuple[int | None, BoundColumn | None]] = [(None, None)]
            candidates += [(j, lat) for j, lat in plain if lat.relation is lon.relation and j != i]
            for j, lat in candidates:
                assert lon.relation is not None
                vector = self.vector_of(lon.relation, lon.index, lat.index if lat else None)
                if vector is None or (i, j) in passed:
                    continue
                names = [f"_p{len(passed)}{axis}" for axis in "hxyz"]
                sources = (vector.cell, vector.x, vector.y, vector.z)
                items += [f"{sql} AS {name}" for sql, name in zip(sources, names, strict=True)]
                passed[i, j] = Vector(*names)
        return passed

    def _plain(self, out: OutputColumn) -> BoundColumn | None:
        bound = out.bound
        if bound is None and isinstance(out.expr, ColumnRef):
            bound = self.checked.bound.get(out.expr)
        return bound if bound is not None and bound.relation is not None and bound.merged is None else None

    def output(self, out: OutputColumn) -> str:
        """A select item, of exactly the type its description says."""
        if out.expr is None:
            assert out.bound is not None
            return self.bound(out.bound)
        if isinstance(out.expr, ColumnRef):
            return self.expr(out.expr)
        sql = self.expr(out.expr)
        return f"CAST({sql} AS {sql_type(out.column)})"

    def _group_key(self, expr: Expr) -> str:
        # a bare integer would be a position to the engine
        if isinstance(expr, Literal):
            return f"(({self.expr(expr)}))"
        return self.expr(expr)

    def order(self, item: OrderItem, query: Query) -> str:
        direction = " DESC" if item.descending else ""
        expr = item.expr
        if isinstance(expr, Literal) and expr.kind == "integer":
            return f"{int(str(expr.value))}{direction}"
        if isinstance(expr, ColumnRef):
            bound = self.checked.bound[expr]
            if bound.item is not None:
                return f"{bound.item + 1}{direction}"
        return f"{self.expr(expr)}{direction}"

    # ------------------------------------------------------------ expressions

    def number(self, expr: Expr) -> str:
        return self.expr(expr)

    def expr(self, expr: Expr) -> str:
        method: Callable[[Expr], str] | None = getattr(self, f"_expr_{type(expr).__name__.lower()}", None)
        if method is None:  # pragma: no cover - the checker lets nothing else through
            raise QueryError(f"{type(expr).__name__} is not supported")
        return self.bounded(method(expr))

    def bounded(self, sql: str, *inside: str) -> str:
        """``sql``, unless it has grown out of all proportion: geometry names its coordinates many times.

        Raises LimitError. ``inside`` are texts hidden in its holes.
        """
        size = len(sql) + sum(map(len, inside))
        if size > MOST_SQL and size > MOST_SQL + SQL_A_NODE * len(walk(self.checked.query)):
            raise LimitError(
                "the query's functions are nested too deeply for this server",
                hint="Compute the inner value in a subquery: FROM (SELECT ... AS x FROM ...) AS t.",
            )
        return sql

    def _expr_literal(self, expr: Literal) -> str:
        index = expr.index
        if expr.kind == "null" or index is None:
            return literal_sql(expr.kind, expr.value)
        if index not in self._literal_marks:
            kind = expr.kind
            self._literal_marks[index] = self.hole(lambda values: literal_sql(kind, values[index]))
        return self._literal_marks[index]

    def _expr_columnref(self, expr: ColumnRef) -> str:
        return self.bound(self.checked.bound[expr])

    def bound(self, bound: BoundColumn) -> str:
        if bound.merged is not None:
            return f"coalesce({self.bound(bound.merged[0])}, {self.bound(bound.merged[1])})"
        if bound.variable is not None:
            return bound.variable
        if bound.relation is None:
            assert bound.item is not None
            return self._item(bound)
        relation = bound.relation
        if relation.kind == "table":
            return f"{relation.sql_alias}.{identifier(self.stored(relation).names[bound.index])}"
        return f"{relation.sql_alias}.c{bound.index}"

    def _item(self, bound: BoundColumn) -> str:
        """A select item named by its alias inside an expression: the item's own expression."""
        for outputs in self.checked.outputs.values():
            for i, out in enumerate(outputs):
                if i == bound.item and out.column is bound.column:
                    return f"({self.output(out)})"
        return f"c{bound.item}"

    def _expr_unary(self, expr: Unary) -> str:
        if is_vector(self.meaning(expr)):
            return f"list_transform({self.expr(expr.operand)}, lambda _e: {expr.op} _e)"
        return f"({expr.op} {self._wide(expr.operand)})"

    def _wide(self, expr: Expr) -> str:
        """An operand of arithmetic; small integers are computed as INTEGER, or 200 + 100 would overflow."""
        sql = self.expr(expr)
        meaning = self.meaning(expr)
        is_small = meaning.datatype in ("unsignedByte", "short", "bit") and not meaning.is_array
        return f"CAST({sql} AS INTEGER)" if is_small else sql

    def _expr_binary(self, expr: Binary) -> str:
        if is_vector(self.meaning(expr)):
            return vector_operation(self, expr)
        if expr.op == "/":
            if all(self.meaning(side).datatype in INTEGRAL for side in (expr.left, expr.right)):
                return f"({self._wide(expr.left)} // {self._wide(expr.right)})"  # NULL when divided by zero
            return self.fill("({0} / nullif({1}, 0){1:once})", (expr.left, expr.right))
        return f"({self._wide(expr.left)} {expr.op} {self._wide(expr.right)})"

    def _expr_function(self, expr: Function) -> str:
        name = expr.name
        if name == "COUNT" and expr.star:
            return "count(*)"
        if name in ("CONTAINS", "INTERSECTS"):
            return f"CAST({self.geometry.truth(expr)} AS INTEGER)"
        if name == "DISTANCE":
            points = self.geometry.distance_points(expr)
            if points is None:
                raise QueryError("DISTANCE needs two points", hint="Use DISTANCE(POINT(..), POINT(..)).")
            return self.geometry.distance(*points)
        if name in ("COORD1", "COORD2"):
            return self.geometry.coordinate(expr.args[0], int(name[-1]))
        if name == "COORDSYS":
            return f"CASE WHEN {self.geometry.shape(expr.args[0])} IS NOT NULL THEN 'ICRS' END"
        if name == "AREA":
            return f"sv_area({self.geometry.shape(expr.args[0])})"
        if name in _GEOMETRY or (name in ("MIN", "MAX") and constant_shape(expr) is not None):
            return self.geometry.value(expr)
        if name == "ivo_healpix_index":
            return self._healpix_index(expr)
        if name == "gavo_vocmatch":
            return self._vocabulary_match(expr)
        if name == "ivo_histogram":
            return self._histogram(expr)
        if name == "arr_map" or (name in VECTOR_AGGREGATES and is_vector(self.meaning(expr))):
            return vector_call(self, expr)
        if name == "ivo_specconv":
            factor, is_inverse = self.checked.spectral_factors[expr]
            number = literal_sql("real", factor)
            value = self.expr(expr.args[0])
            return f"({number} / nullif({value}, 0))" if is_inverse else f"(({value}) * {number})"
        if name == "IN_UNIT":
            factor = self.checked.unit_factors[expr]
            return f"({self.expr(expr.args[0])} * {literal_sql('real', factor)})"
        if name == "gavo_apply_pm":
            return self._apply_pm(expr)
        if name in NOT_OFFERED:
            raise QueryError("object names are not resolved by this service", hint="Give the position: POINT(ra, dec).")
        template = TEMPLATES.get((name, len(expr.args))) or TEMPLATES.get((name, None))
        if template is None:
            raise QueryError(f"{name} is not available with {len(expr.args)} arguments here")
        if expr.distinct and name in AGGREGATES:
            template = template.replace("({0}", "(DISTINCT {0}", 1)
        return self.fill(template, expr.args)

    def fill(self, template: str, args: tuple[Expr, ...]) -> str:
        """A template with its arguments, each computed once a row however often the template names it.

        An argument that is no mere column or constant and stands in several places is bound to a lambda's parameter:
        repeated text would double with every level of nesting. ``{1:once}`` writes nothing; it counts as a place.
        """
        places = _PLACE.findall(template)
        repeats = any(
            places.count(str(i)) > 1 and not isinstance(arg, Literal | ColumnRef) for i, arg in enumerate(args)
        )
        texts = [self.expr(arg) for arg in args]
        if not repeats:
            return _filled(template, texts)
        bound = [i for i, arg in enumerate(args) if not isinstance(arg, Literal)]
        fields = ", ".join(f"a{i} := {texts[i]}" for i in bound)
        inner = [f"_v.a{i}" if i in bound else text for i, text in enumerate(texts)]
        return f"list_transform([struct_pack({fields})], lambda _v: {_filled(template, inner)})[1]"

    def _vocabulary_match(self, expr: Function) -> str:
        """One of the words that the vocabulary has at and below the term, in any case, with or without a #."""
        from skyvault.vocabularies import vocabulary

        name, term = (str(arg.value) for arg in expr.args[:2] if isinstance(arg, Literal))
        words = {word.lower() for word in vocabulary(name).narrower(term)}
        listed = ", ".join(literal_sql("string", word) for word in sorted(words))
        return f"CAST(lower(ltrim({self.expr(expr.args[2])}, '#')) IN ({listed}) AS INTEGER)"

    def _healpix_index(self, expr: Function) -> str:
        order, *rest = expr.args
        point = self.geometry.pair(rest[0], rest[1]) if len(rest) == 2 else self.geometry.point(rest[0])
        if point is not None and point.vector is not None and isinstance(order, Literal):
            return f"({point.vector.cell} >> (2 * (29 - {self.expr(order)})))"
        if point is None or point.constant is not None:
            shape = self.geometry.shape(rest[0]) if len(rest) == 1 else None
            if shape is None:
                return f"sv_healpix(CAST({self.expr(order)} AS INTEGER), {self.expr(rest[0])}, {self.expr(rest[1])})"
            return f"sv_healpix(CAST({self.expr(order)} AS INTEGER), ({shape})[2], ({shape})[3])"
        return f"sv_healpix(CAST({self.expr(order)} AS INTEGER), {point.lon}, {point.lat})"

    def _histogram(self, expr: Function) -> str:
        value, low, high, bins = (self.expr(arg) for arg in expr.args)
        place = (
            f"CASE WHEN ({value}) >= ({high}) THEN {bins} + 1 WHEN ({value}) >= ({low}) THEN "
            f"least({bins}, CAST(floor((({value}) - ({low})) / (({high}) - ({low})) * {bins}) AS INTEGER) + 1) "
            f"ELSE 0 END"
        )
        return (
            f"list_transform(range(0, CAST({bins} AS INTEGER) + 2), lambda b: "
            f"CAST(coalesce(map_extract_value(histogram({place}), CAST(b AS INTEGER)), 0) AS INTEGER))"
        )

    def _apply_pm(self, expr: Function) -> str:
        ra, dec, pmra, pmdec, epochs = (self.expr(arg) for arg in expr.args)
        return f"[({ra}) + ({pmra}) * ({epochs}) / cos(radians({dec})), ({dec}) + ({pmdec}) * ({epochs})]"

    def _expr_cast(self, expr: Cast) -> str:
        if expr.target in ("POINT", "CIRCLE", "POLYGON"):
            return self.geometry.value(expr)
        operand = self.expr(expr.operand)
        if self.meaning(expr.operand).is_timestamp and expr.target in ("CHAR", "VARCHAR"):
            operand = f"replace(CAST({operand} AS VARCHAR), ' ', 'T')"
        sql = f"CAST({operand} AS {CAST_TYPES[expr.target]})"
        return f"left({sql}, {int(expr.length)})" if expr.length is not None else sql

    def _expr_case(self, expr: Case) -> str:
        whens = []
        for when, then in expr.whens:
            test = self.condition(when) if isinstance(when, CONDITIONS) else self.expr(when)
            whens.append(f"WHEN {test} THEN {self.expr(then)}")
        operand = f" {self.expr(expr.operand)}" if expr.operand is not None else ""
        otherwise = f" ELSE {self.expr(expr.otherwise)}" if expr.otherwise is not None else ""
        return f"CASE{operand} {' '.join(whens)}{otherwise} END"

    def _expr_scalarsubquery(self, expr: ScalarSubquery) -> str:
        return f"({self.query(expr.query)})"

    def _expr_element(self, expr: Element) -> str:
        index = self.expr(expr.index)
        return f"CASE WHEN {index} >= 1 THEN ({self.expr(expr.array)})[{index}] END"

    def _expr_slice(self, expr: Slice) -> str:
        low = self.expr(expr.low) if expr.low is not None else ""
        high = self.expr(expr.high) if expr.high is not None else ""
        return f"({self.expr(expr.array)})[{low}:{high}]"

    # ------------------------------------------------------------ conditions

    def condition(self, condition: Condition | Expr) -> str:
        if condition in self.used:
            return "true"
        method: Callable[..., str] = getattr(self, f"_condition_{type(condition).__name__.lower()}")
        return method(condition)

    def _condition_comparison(self, condition: Comparison) -> str:
        geometric = self.geometry.condition(condition)
        if geometric is not None:
            return geometric
        left, right = self.expr(condition.left), self.expr(condition.right)
        if self.meaning(condition.left).is_timestamp != self.meaning(condition.right).is_timestamp:
            left, right = f"CAST({left} AS TIMESTAMP)", f"CAST({right} AS TIMESTAMP)"
        return f"({left} {condition.op} {right})"

    def _condition_between(self, condition: Between) -> str:
        word = "NOT BETWEEN" if condition.negated else "BETWEEN"
        parts = [self.expr(part) for part in (condition.operand, condition.low, condition.high)]
        if self.meaning(condition.operand).is_timestamp:
            parts = [f"CAST({part} AS TIMESTAMP)" for part in parts]
        return f"({parts[0]} {word} {parts[1]} AND {parts[2]})"

    def _condition_inlist(self, condition: InList) -> str:
        items = ", ".join(self.expr(item) for item in condition.items)
        return f"({self.expr(condition.operand)} {'NOT ' if condition.negated else ''}IN ({items}))"

    def _condition_insubquery(self, condition: InSubquery) -> str:
        word = "NOT IN" if condition.negated else "IN"
        return f"({self.expr(condition.operand)} {word} ({self.query(condition.query)}))"

    def _condition_like(self, condition: Like) -> str:
        word = ("NOT " if condition.negated else "") + ("ILIKE" if condition.ignore_case else "LIKE")
        return f"({self.expr(condition.operand)} {word} {self.expr(condition.pattern)})"

    def _condition_isnull(self, condition: IsNull) -> str:
        return f"({self.expr(condition.operand)} IS {'NOT ' if condition.negated else ''}NULL)"

    def _condition_exists(self, condition: Exists) -> str:
        return self.joins.exists(condition) or f"EXISTS ({self.query(condition.query)})"

    def _condition_not(self, condition: Not) -> str:
        return f"(NOT {self.condition(condition.operand)})"

    def _condition_logical(self, condition: Logical) -> str:
        parts = [part for operand in condition.operands if (part := self.condition(operand)) != "true"]
        if condition.op == "OR":
            parts = [self.condition(operand) for operand in condition.operands]
        if not parts:
            return "true"
        return parts[0] if len(parts) == 1 else f"({f' {condition.op} '.join(parts)})"


_PLACE = re.compile(r"\{(\d+)(?::once)?\}")
_HOLDER = re.compile(r"\{(\*|\d+)(:once)?\}")


def _filled(template: str, texts: list[str]) -> str:
    """The template with texts in its places, in one pass: a text (a column may be named "{1}") is never looked at."""
    return _HOLDER.sub(
        lambda found: "" if found[2] else ", ".join(texts) if found[1] == "*" else texts[int(found[1])], template
    )


CONDITIONS = (Comparison, Between, InList, InSubquery, Like, IsNull, Exists, Not, Logical)


def identifier(name: str) -> str:
    """A delimited SQL identifier. Control characters cannot occur in published names."""
    clean = "".join(c for c in name if c >= " " and c != "\x7f").replace('"', '""')
    return f'"{clean}"'


def literal_sql(kind: str, value: int | float | str | None) -> str:
    """A checked constant as SQL: numbers by repr, text quoted; never what the user typed."""
    if kind == "null" or value is None:
        return "NULL"
    if kind == "string":
        return "'" + str(value).replace("'", "''").replace("\x00", "") + "'"
    if kind == "integer":
        return str(int(value))
    text = repr(float(value))
    if text in ("inf", "nan"):
        return f"'{text}'::DOUBLE"
    return text if "e" in text else f"{text}e0"


def sql_type(column: Column) -> str:
    """DuckDB's type of a described column."""
    if column.is_timestamp:
        return "TIMESTAMP"
    base = SQL_TYPES[column.datatype]
    return f"{base}[]" if column.is_array and not base.endswith("[]") else base


def _relations(bound: BoundColumn) -> set[Relation]:
    if bound.merged is not None:
        return _relations(bound.merged[0]) | _relations(bound.merged[1])
    return {bound.relation} if bound.relation is not None else set()


def walk(node: object) -> list[Node]:
    """A node and all nodes below it, subqueries included."""
    found: list[Node] = []
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, tuple):
            stack.extend(current)
        elif isinstance(current, Node):
            found.append(current)
            stack.extend(
                getattr(current, name) for cls in type(current).__mro__ for name in getattr(cls, "__slots__", ())
            )
    return found


__all__ = ["Emitter", "emit", "identifier", "literal_sql", "sql_type", "walk"]
