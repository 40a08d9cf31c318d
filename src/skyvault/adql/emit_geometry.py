"""Geometry of a query as DuckDB SQL: indexed cones and polygons, exact tests, distances, region columns.

Points are compared by the chord between unit vectors, which is exact at the poles and across RA 0. Where a position is
indexed, at most four HEALPix ranges narrow the rows first; they are a cover, never the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skyvault.adql.constants import (
    MOC_FUNCTIONS,
    Number,
    Shape,
    constant_number,
    constant_shape,
    geometry_arguments,
)
from skyvault.adql.duckdb_functions import EPOCH_PROP_SIX, POINT_FUNCTIONS
from skyvault.adql.nodes import Cast, ColumnRef, Comparison, Condition, Expr, Function, Literal, Logical
from skyvault.adql.plan import Values
from skyvault.adql.storage import KEY_STRIDE, StoredRegion

if TYPE_CHECKING:
    from skyvault.adql.checked import Relation
    from skyvault.adql.emit_duckdb import Emitter
    from skyvault.model.region import Region

#: chord^2 that rounding may add to a point compared with itself (two unit vectors differ by an ulp an axis)
CHORD_TOLERANCE = 1e-30
#: what part of the sky a region is looked for in as a list of rows, and the cells by which that is measured
_SMALL_SHARE = 0.01
_FINE_ORDER = 4


@dataclass(frozen=True, slots=True)
class Vector:
    """SQL of an indexed position: its cell and unit vector."""

    cell: str
    x: str
    y: str
    z: str


@dataclass(slots=True)
class PointSql:
    """A point of a query: SQL of its coordinates, or a constant, or an indexed position of one relation."""

    lon: str
    lat: str
    constant: Shape | None = None
    vector: Vector | None = None
    relations: frozenset[Relation] = field(default_factory=frozenset)


@dataclass(slots=True)
class Near:
    """Two points within a radius: what every spelling of a cone or a positional match comes down to."""

    first: PointSql
    second: PointSql
    radius: Expr
    strict: bool


class Geometry:
    """Writes the geometry of one query."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter

    # ------------------------------------------------------------ points

    def point(self, expr: Expr) -> PointSql | None:
        """``expr`` as a point with coordinates; None when it is no POINT, point column or constant."""
        emitter = self.emitter
        constant = constant_shape(expr)
        if constant is not None and _is_point(expr):
            return PointSql("", "", constant=constant)
        if isinstance(expr, Function) and expr.name == "POINT":
            args = geometry_arguments(expr)
            relations = emitter.relations_of(*args)
            vector = None
            if all(isinstance(arg, ColumnRef) for arg in args):
                vector = emitter.position_vector(args[0], args[1])  # type: ignore[arg-type]
            return PointSql(emitter.number(args[0]), emitter.number(args[1]), vector=vector, relations=relations)
        if isinstance(expr, ColumnRef) and emitter.meaning(expr).xtype == "point":
            sql = emitter.expr(expr)
            return PointSql(
                f"({sql})[1]",
                f"({sql})[2]",
                vector=emitter.point_vector(expr),
                relations=emitter.relations_of(expr),
            )
        if isinstance(expr, Function) and emitter.meaning(expr).xtype == "point":
            shape = self.shape(expr)
            return PointSql(f"({shape})[2]", f"({shape})[3]", relations=emitter.relations_of(expr))
        return None

    def pair(self, lon: Expr, lat: Expr) -> PointSql:
        """The point of two numbers, as in DISTANCE(lon1, lat1, lon2, lat2)."""
        if isinstance(lon, Literal) and lon.kind == "null":
            # as POINT(NULL, lat) it would be taken for a frame and one number
            return PointSql("CAST(NULL AS DOUBLE)", self.emitter.number(lat), relations=self.emitter.relations_of(lat))
        made = self.point(Function(lon.pos, "POINT", (lon, lat)))
        assert made is not None
        return made

    def vector(self, point: PointSql) -> tuple[str, str, str]:
        """SQL of the unit vector of a point."""
        if point.vector is not None:
            return point.vector.x, point.vector.y, point.vector.z
        if point.constant is not None:
            shape = point.constant
            return (
                self.emitter.hole(lambda values: _number(_unit(shape(values))[0])),
                self.emitter.hole(lambda values: _number(_unit(shape(values))[1])),
                self.emitter.hole(lambda values: _number(_unit(shape(values))[2])),
            )
        lon, lat = point.lon, point.lat
        return (
            f"cos(radians({lat})) * cos(radians({lon}))",
            f"cos(radians({lat})) * sin(radians({lon}))",
            f"sin(radians({lat}))",
        )

    def chord_squared(self, first: PointSql, second: PointSql, sign: str = "-") -> str:
        a, b = self.vector(first), self.vector(second)
        terms = [f"(({p}) {sign} ({q})) * (({p}) {sign} ({q}))" for p, q in zip(a, b, strict=True)]
        return f"({' + '.join(terms)})"

    def distance(self, first: PointSql, second: PointSql) -> str:
        """Degrees between two points, exact at all scales: 2 atan2(|p - q|, |p + q|)."""
        if first.constant is not None and second.constant is not None:
            a, b = first.constant, second.constant
            return self.emitter.hole(lambda values: _number(_separation(a(values), b(values))))
        apart = self.chord_squared(first, second)
        together = self.chord_squared(first, second, "+")
        return f"degrees(2e0 * atan2(sqrt{apart}, sqrt{together}))"

    def coordinate(self, expr: Expr, which: int) -> str:
        point = self.point(expr)
        if point is None:
            return f"({self.shape(expr)})[{which + 1}]"
        if point.constant is not None:
            constant = point.constant
            return self.emitter.hole(lambda values: _number(_coordinates(constant(values))[which - 1]))
        return point.lon if which == 1 else point.lat

    # ------------------------------------------------------------ shapes

    def shape(self, expr: Expr) -> str:
        """SQL of ``expr`` as a shape array (see skyvault.sky.shapes)."""
        emitter = self.emitter
        constant = constant_shape(expr)
        if constant is not None:
            return emitter.hole(lambda values: shape_literal(constant(values)))
        if isinstance(expr, Cast):
            return f"sv_shape('{expr.target} ' || {emitter.expr(expr.operand)})"
        if isinstance(expr, Function):
            args = geometry_arguments(expr)
            if expr.name == "POINT":
                return f"[1e0, {emitter.number(args[0])}, {emitter.number(args[1])}]"
            if expr.name == "CIRCLE":
                lon, lat, rest = self._first_point(args)
                return f"[2e0, {lon}, {lat}, {emitter.number(rest[0])}]"
            if expr.name == "BOX":
                lon, lat, rest = self._first_point(args)
                return f"sv_box({lon}, {lat}, {emitter.number(rest[0])}, {emitter.number(rest[1])})"
            if expr.name == "POLYGON":
                numbers = self._vertex_numbers(args)
                return f"[3e0, {len(numbers) // 2}e0, {', '.join(numbers)}]"
            if expr.name == "CENTROID":
                return f"list_concat([1e0], sv_centroid({self.shape(args[0])}))"
            if expr.name == "ivo_geom_transform":
                names = [emitter.expr(arg) for arg in expr.args[:2]]
                return f"sv_geom_transform({names[0]}, {names[1]}, {self.shape(expr.args[2])})"
            if expr.name in MOC_FUNCTIONS:
                act = "sv_moc_union" if expr.name == "gavo_mocunion" else "sv_moc_intersection"
                return f"{act}({self.shape(expr.args[0])}, {self.shape(expr.args[1])})"
            if expr.name in POINT_FUNCTIONS:
                template = POINT_FUNCTIONS[expr.name] if len(expr.args) != 6 else EPOCH_PROP_SIX
                return f"list_concat([1e0], {emitter.fill(template, expr.args)})"
        meaning = emitter.meaning(expr)
        sql = emitter.expr(expr)
        if meaning.xtype == "point":
            return f"list_concat([1e0], {sql})"
        if meaning.xtype == "circle":
            return f"list_concat([2e0], {sql})"
        if meaning.xtype == "polygon":
            return f"list_concat([3e0, len({sql}) / 2e0], {sql})"
        return f"sv_shape({sql})"

    def value(self, expr: Expr) -> str:
        """SQL of ``expr`` as DALI writes it: [lon, lat], [lon, lat, r], [lon1, lat1, ...], or region text."""
        xtype = self.emitter.meaning(expr).xtype
        shape = self.shape(expr)
        if xtype in ("point", "circle"):
            return f"({shape})[2:]"
        if xtype == "polygon":
            return f"({shape})[3:]"
        if xtype == "moc":
            return f"replace(sv_format_shape({shape}), 'MOC ', '')"
        return f"sv_format_shape({shape})"

    def _first_point(self, args: tuple[Expr, ...]) -> tuple[str, str, tuple[Expr, ...]]:
        point = self.point(args[0])
        if point is not None:
            return self.coordinate(args[0], 1), self.coordinate(args[0], 2), args[1:]
        return self.emitter.number(args[0]), self.emitter.number(args[1]), args[2:]

    def _vertex_numbers(self, args: tuple[Expr, ...]) -> list[str]:
        numbers: list[str] = []
        for arg in args:
            if self.emitter.meaning(arg).xtype == "point":
                numbers += [self.coordinate(arg, 1), self.coordinate(arg, 2)]
            else:
                numbers.append(self.emitter.number(arg))
        return numbers

    # ------------------------------------------------------------ conditions

    def near(self, condition: Condition) -> Near | None:
        """``condition`` as "these two points are within a radius", whatever its spelling."""
        if not isinstance(condition, Comparison):
            return None
        function = self.predicate(condition)
        if function is not None:
            if not function[1]:
                return None
            call = function[0]
            small, big = call.args
            if call.name == "INTERSECTS" and _is_circle(small):
                small, big = big, small
            if not _is_circle(big):
                return None
            inner = self.point(small)
            if inner is None or not isinstance(big, Function):
                return None
            args = geometry_arguments(big)
            centre = self.point(args[0]) if len(args) == 2 else self.pair(args[0], args[1])
            if centre is None:
                return None
            return Near(inner, centre, args[-1], strict=False)
        left, right, op = condition.left, condition.right, condition.op
        if _is_distance(right):
            left, right, op = right, left, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)  # type: ignore[assignment]
        if not _is_distance(left) or op not in ("<", "<="):
            return None
        assert isinstance(left, Function)
        points = self.distance_points(left)
        return None if points is None else Near(*points, right, strict=op == "<")

    def distance_points(self, call: Function) -> tuple[PointSql, PointSql] | None:
        if len(call.args) == 4:
            return self.pair(call.args[0], call.args[1]), self.pair(call.args[2], call.args[3])
        first, second = self.point(call.args[0]), self.point(call.args[1])
        return None if first is None or second is None else (first, second)

    def predicate(self, condition: Comparison) -> tuple[Function, bool] | None:
        """CONTAINS or INTERSECTS compared with 1 or 0: the call, and whether it is wanted to be true."""
        for call, other in ((condition.left, condition.right), (condition.right, condition.left)):
            if (
                isinstance(call, Function)
                and call.name in ("CONTAINS", "INTERSECTS")
                and isinstance(other, Literal)
                and other.kind == "integer"
                and other.value in (0, 1)
                and condition.op in ("=", "<>")
            ):
                if other.index is not None:
                    self.emitter.pin(other.index)
                return call, (other.value == 1) == (condition.op == "=")
        return None

    def condition(self, condition: Comparison) -> str | None:
        """SQL of a geometric comparison; None when there is no geometry in it."""
        near = self.near(condition)
        if near is not None:
            return self.near_sql(near)
        function = self.predicate(condition)
        if function is not None:
            sql = self.truth(function[0])
            return sql if function[1] else f"(NOT {sql})"
        return None

    def near_sql(self, near: Near) -> str:
        """Exact test of a :class:`Near`, with the index of either point if the other is constant."""
        first, second = near.first, near.second
        radius = constant_number(near.radius)
        if first.constant is not None:
            first, second = second, first
        if radius is None or (first.constant is not None and second.constant is not None):
            return self._near_exact(first, second, near)
        if second.constant is None or first.vector is None:
            return self._near_constant_radius(first, second, radius, near.strict)
        centre, vector, strict = second.constant, first.vector, near.strict

        def cone(values: Values) -> str:
            lon, lat = _coordinates(centre(values))
            return cone_sql(vector, lon, lat, float(radius(values)), strict)

        return self.emitter.hole(cone)

    def _near_exact(self, first: PointSql, second: PointSql, near: Near) -> str:
        radius = self.emitter.number(near.radius)
        op = "<" if near.strict else "<="
        return f"({self.distance(first, second)} {op} {radius} + {'0e0' if near.strict else '6e-14'})"

    def _near_constant_radius(self, first: PointSql, second: PointSql, radius: Number, strict: bool) -> str:
        apart = self.chord_squared(first, second)
        together = self.chord_squared(first, second, "+")
        return self.emitter.hole_in(
            lambda values, sql: limit_sql(sql[0], sql[1], float(radius(values)), strict), apart, together
        )

    def truth(self, call: Function) -> str:
        """SQL boolean of CONTAINS or INTERSECTS."""
        inner, outer = call.args
        if call.name == "INTERSECTS" and self._is_point(inner) is False and self._is_point(outer):
            inner, outer = outer, inner
        near = self.near(Comparison(call.pos, "=", call, Literal(call.pos, 1, "integer")))
        if near is not None:
            return self.near_sql(near)
        filters = self._prefilter(inner, outer)
        point = self.point(inner)
        constant = constant_shape(outer)
        if point is not None and point.constant is None and constant is not None:
            exact = self._point_in_constant(point, constant)
        elif point is not None and isinstance(outer, ColumnRef) and self.emitter.meaning(outer).is_text:
            lon, lat = self.coordinate(inner, 1), self.coordinate(inner, 2)
            exact = f"sv_region_holds({self.emitter.expr(outer)}, {lon}, {lat})"
        else:
            function = "sv_intersects" if call.name == "INTERSECTS" else "sv_contains"
            first, second = self.shape(outer), self.shape(inner)
            exact = f"{function}({first}, {second})"
        return f"({' AND '.join([*filters, exact])})"

    def _is_point(self, expr: Expr) -> bool:
        return self.emitter.meaning(expr).xtype == "point" or (isinstance(expr, Function) and expr.name == "POINT")

    def _point_in_constant(self, point: PointSql, shape: Shape) -> str:
        lon, lat, vector = point.lon, point.lat, point.vector

        def inside(values: Values, sql: tuple[str, ...]) -> str:
            region = shape(values)
            text = ",".join(_number(n, bare=True) for n in _encode(region))
            exact = f"sv_point_in({sql[0]}, {sql[1]}, '{text}')"
            if vector is None:
                return exact
            return f"({ranges_sql(vector.cell, region)} AND {exact})"

        return self.emitter.hole_in(inside, lon, lat)

    def _prefilter(self, inner: Expr, outer: Expr) -> list[str]:
        """Rows of an indexed region column that a constant region can touch."""
        filters = []
        for column, other in ((outer, inner), (inner, outer)):
            if not isinstance(column, ColumnRef):
                continue
            region = self.emitter.region_index(column)
            constant = constant_shape(other)
            if region is not None and constant is not None:
                filters.append(self._touching(region[0], region[1], constant))
        return filters

    def _touching(self, rowid: str, index: StoredRegion, shape: Shape) -> str:
        def rows(values: Values) -> str:
            from skyvault.sky.cover import cells_for_lookup

            found = list(cells_for_lookup(shape(values), index.orders))
            ranges = [(order * KEY_STRIDE + low, order * KEY_STRIDE + high) for order, low, high in found]
            keys = " OR ".join(_between("key", low, high) for low, high in ranges) or "false"
            # the engine cannot tell how few rows these are, and would test the regions of the whole table first;
            # of a list it takes for granted that it is short
            return f"SELECT {'unnest(list(row))' if _is_small(found) else 'row'} FROM {index.cells} WHERE {keys}"

        return f"{rowid} IN ({self.emitter.hole(rows)})"


# ---------------------------------------------------------------- pieces of SQL worked out from numbers


def _is_small(cells: Sequence[tuple[int, int, int]]) -> bool:
    """Whether (order, first, last) cells are a small part of the sky; the wide cells of low orders hold few regions."""
    shares: dict[int, float] = {}
    for order, low, high in cells:
        if order >= _FINE_ORDER:
            shares[order] = shares.get(order, 0.0) + (high - low + 1) / (12 * 4**order)
    return max(shares.values(), default=0.0) <= _SMALL_SHARE


def _number(value: float, *, bare: bool = False) -> str:
    if math.isnan(value):
        return "'nan'::DOUBLE"
    if math.isinf(value):
        return f"'{'-' if value < 0 else ''}inf'::DOUBLE"
    text = repr(float(value))
    if bare:
        return text
    if "e" not in text:
        text += "e0"
    return f"({text})" if value < 0 else text


def _between(name: str, low: int, high: int) -> str:
    return f"{name} = {low}" if low == high else f"{name} BETWEEN {low} AND {high}"


def _coordinates(region: Region) -> tuple[float, float]:
    return region.lon, region.lat  # type: ignore[union-attr]


def _unit(region: Region) -> tuple[float, float, float]:
    lon, lat = (math.radians(angle) for angle in _coordinates(region))
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def _separation(a: Region, b: Region) -> float:
    p, q = _unit(a), _unit(b)
    apart = math.dist(p, q)
    together = math.dist(p, [-c for c in q])
    return math.degrees(2 * math.atan2(apart, together))


def _encode(region: Region) -> list[float]:
    from skyvault.sky.shapes import encode

    return [float(number) for number in encode(region)]


def shape_literal(region: Region) -> str:
    return "[" + ", ".join(_number(number) for number in _encode(region)) + "]"


def ranges_sql(cell: str, region: Region) -> str:
    """At most four HEALPix ranges that cover a region."""
    from skyvault.sky.cover import cover

    ranges = cover(region, max_ranges=4)
    if not ranges:
        return "false"
    return "(" + " OR ".join(_between(cell, low, high) for low, high in ranges) + ")"


def cone_sql(vector: Vector, lon: float, lat: float, radius: float, strict: bool) -> str:
    """Rows of an indexed position inside a circle: ranges first, then the exact chord."""
    from skyvault.model.region import Circle, Point

    if radius < 0 or math.isnan(radius):
        return "false"
    x, y, z = _unit(Point(lon, lat))
    columns = (vector.x, vector.y, vector.z)
    apart = " + ".join(f"({c} - {_number(v)}) * ({c} - {_number(v)})" for c, v in zip(columns, (x, y, z), strict=True))
    together = " + ".join(
        f"({c} + {_number(v)}) * ({c} + {_number(v)})" for c, v in zip(columns, (x, y, z), strict=True)
    )
    exact = limit_sql(f"({apart})", f"({together})", radius, strict)
    if radius >= 90:
        return exact
    # a whisker more than the circle, so that rounding cannot put a row on the rim outside the cover
    return f"({ranges_sql(vector.cell, Circle(lon, lat, radius * (1 + 1e-12) + 1e-12))} AND {exact})"


def limit_sql(apart: str, together: str, radius: float, strict: bool) -> str:
    """ "Within ``radius`` degrees" from the squared chord (and, near 180 degrees, from that to the antipode)."""
    if math.isnan(radius) or radius < 0 or (radius == 0 and strict):
        return "false"
    if radius > 180 or (radius == 180 and not strict):
        return f"({apart} <= 5e0)"
    half = math.radians(radius) / 2
    if radius > 120:
        limit = 4 * math.cos(half) ** 2
        return f"({together} {'>' if strict else '>='} {_number(limit if strict else _less(limit))})"
    limit = 4 * math.sin(half) ** 2
    return f"({apart} {'<' if strict else '<='} {_number(limit if strict else _more(limit))})"


def _more(limit: float) -> float:
    """A bound that rounding of equal positions cannot pass."""
    return limit * (1 + 4e-16) + CHORD_TOLERANCE


def _less(limit: float) -> float:
    return limit * (1 - 4e-16) - CHORD_TOLERANCE


def _is_point(expr: Expr) -> bool:
    return (isinstance(expr, Function) and expr.name == "POINT") or (isinstance(expr, Cast) and expr.target == "POINT")


def _is_circle(expr: Expr) -> bool:
    return isinstance(expr, Function) and expr.name == "CIRCLE"


def _is_distance(expr: Expr) -> bool:
    return isinstance(expr, Function) and expr.name == "DISTANCE"


def conjuncts(condition: Condition | None) -> list[Condition]:
    """The conditions that must all hold."""
    if condition is None:
        return []
    if isinstance(condition, Logical) and condition.op == "AND":
        return [part for operand in condition.operands for part in conjuncts(operand)]
    return [condition]


HoleIn = Callable[[Values, tuple[str, ...]], str]
