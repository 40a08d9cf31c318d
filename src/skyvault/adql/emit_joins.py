"""FROM clauses as DuckDB SQL; a join on position becomes an equi-join on HEALPix cells, exact test after.

One side (the smaller, or the one whose column holds the radius) is expanded to the cells its circles touch. The other
side lies in exactly one cell, so no pair can appear twice. Outer joins and EXISTS never see expanded rows: they join
the pairs by row number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skyvault.adql.checked import Relation
from skyvault.adql.constants import Number, constant_number
from skyvault.adql.emit_geometry import Near, PointSql, conjuncts
from skyvault.adql.nodes import (
    ColumnRef,
    Comparison,
    Condition,
    DerivedTable,
    Exists,
    FromItem,
    Join,
    Query,
    Select,
    TableRef,
)
from skyvault.adql.plan import Values
from skyvault.adql.storage import KEY_STRIDE

if TYPE_CHECKING:
    from skyvault.adql.emit_duckdb import Emitter

#: rows guessed for a table nobody counted
UNKNOWN_ROWS = 1_000_000


@dataclass(slots=True)
class Match:
    """A condition that pairs one relation's rows with another's by position."""

    condition: Condition
    near: Near
    #: the point of the side that is expanded, and of the side that is looked up
    small: PointSql
    large: PointSql
    expanded: Relation
    other: Relation


class Joins:
    """Writes the FROM clauses of one query."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        #: FROM text of every relation; a positional match may wrap it
        self.texts: dict[Relation, str] = {}
        self.expanded: set[Relation] = set()
        self.keyed: set[Relation] = set()

    # ------------------------------------------------------------ FROM

    def source(self, item: FromItem, where: Condition | None) -> str:
        text = self._item(item, conjuncts(where), inner=True)
        for relation in self._relations(item):
            text = text.replace(_place(relation), self.texts[relation])
        return text

    def _item(self, item: FromItem, where: list[Condition], inner: bool) -> str:
        if isinstance(item, Join):
            return self._join(item, where, inner)
        relation = self.emitter.checked.relations[item]
        self.texts[relation] = self._raw(item, relation)
        return _place(relation)

    def _raw(self, item: TableRef | DerivedTable, relation: Relation) -> str:
        alias = relation.sql_alias
        if isinstance(item, DerivedTable):
            sql, passed = self.emitter.inner(item.query)
            self.emitter.passed[relation] = passed
            return f"({sql}) AS {alias}"
        if relation.kind == "common":
            assert relation.common is not None
            text = f"{relation.common} AS {alias}"
        else:
            text = f"{self.emitter.stored(relation).sql} AS {alias}"
        if item.sample_percent is not None:
            rowid = ", rowid AS rowid" if relation.kind == "table" else ""
            percent = min(max(item.sample_percent, 0.0), 100.0)
            text = f"(SELECT *{rowid} FROM {text} USING SAMPLE {percent!r} PERCENT (bernoulli)) AS {alias}"
        return text

    def _relations(self, item: FromItem) -> list[Relation]:
        if isinstance(item, Join):
            return [*self._relations(item.left), *self._relations(item.right)]
        return [self.emitter.checked.relations[item]]

    def _join(self, join: Join, where: list[Condition], inner: bool) -> str:
        plain = join.kind in ("INNER", "CROSS")
        left = self._item(join.left, where, inner and join.kind in ("INNER", "CROSS", "LEFT"))
        right = self._item(join.right, where, inner and join.kind in ("INNER", "CROSS", "RIGHT"))
        own = conjuncts(join.on)
        equalities = [
            f"{self.emitter.bound(a)} = {self.emitter.bound(b)}" for a, b in self.emitter.checked.merges.get(join, ())
        ]
        lefts, rights = set(self._relations(join.left)), set(self._relations(join.right))
        if plain:
            conditions = list(equalities)
            for condition in [*own, *(where if inner else [])]:
                text = self._positional(condition, lefts, rights)
                if text is not None:
                    conditions.append(text)
                elif condition in own:
                    conditions.append(self.emitter.condition(condition))
            if not conditions:
                return f"{left} CROSS JOIN {right}"
            return f"({left} JOIN {right} ON {' AND '.join(conditions)})"
        outer = self._outer(join, own, lefts, rights, left, right) if not equalities else None
        if outer is not None:
            return outer
        conditions = [*equalities, *(self.emitter.condition(condition) for condition in own)]
        return f"({left} {join.kind} JOIN {right} ON {' AND '.join(conditions) or 'true'})"

    # ------------------------------------------------------------ positional matches

    def _positional(self, condition: Condition, lefts: set[Relation], rights: set[Relation]) -> str | None:
        """SQL of a condition that pairs a left with a right relation by position, by way of cells; else None."""
        if condition in self.emitter.used:
            return None
        match = self._match(condition, lefts, rights)
        if match is not None and match.expanded not in self.expanded | self.keyed:
            self.emitter.used.add(condition)
            return self._cells(match)
        return self._in_region(condition, lefts, rights)

    def _match(self, condition: Condition, lefts: set[Relation], rights: set[Relation]) -> Match | None:
        near = self.emitter.geometry.near(condition)
        if near is None or near.first.constant is not None or near.second.constant is not None:
            return None
        if len(near.first.relations) != 1 or len(near.second.relations) != 1:
            return None
        first, second = next(iter(near.first.relations)), next(iter(near.second.relations))
        if not ((first in lefts and second in rights) or (first in rights and second in lefts)):
            return None
        radius = self.emitter.relations_of(near.radius)
        one = Match(condition, near, near.first, near.second, first, second)
        two = Match(condition, near, near.second, near.first, second, first)
        if radius:
            return one if radius == {first} else two if radius == {second} else None
        if constant_number(near.radius) is None:
            return None
        return one if self._size(first) <= self._size(second) else two

    def _cells(self, match: Match) -> str:
        """Expand one side to the cells its circles touch; return the condition that joins it to the other."""
        alias = match.expanded.sql_alias
        order = self._order(match, self.texts[match.expanded])
        self.texts[match.expanded] = self._expand(match, self.texts[match.expanded], order)
        self.expanded.add(match.expanded)
        return f"({self._cell(match.large)} >> (2 * (29 - {order}))) = {alias}._cell AND {self._exact(match)}"

    def _exact(self, match: Match) -> str:
        """The exact test; the expanded side's unit vector is computed once a row, not once a pair."""
        alias = match.expanded.sql_alias
        small = match.small
        if small.vector is None:
            from skyvault.adql.emit_geometry import Vector

            small = replace(small, vector=Vector("", *(f"{alias}._m{axis}" for axis in "xyz")))
        near = replace(match.near, first=match.large, second=small)
        return self.emitter.geometry.near_sql(near)

    def _cell(self, point: PointSql) -> str:
        return point.vector.cell if point.vector is not None else f"sv_healpix(29, {point.lon}, {point.lat})"

    def _expand(self, match: Match, text: str, order: str) -> str:
        alias, small = match.expanded.sql_alias, match.small
        radius = self.emitter.number(match.near.radius)
        extra = f", {alias}.rowid AS rowid" if match.expanded.kind == "table" else ""
        if small.vector is not None:
            v = small.vector
            cells = f"sv_cells_of({v.cell}, {v.x}, {v.y}, {v.z}, CAST({radius} AS DOUBLE), CAST({order} AS INTEGER))"
        else:
            x, y, z = self.emitter.geometry.vector(small)
            extra += f", {x} AS _mx, {y} AS _my, {z} AS _mz"
            cells = (
                f"sv_cells(CAST({small.lon} AS DOUBLE), CAST({small.lat} AS DOUBLE), CAST({radius} AS DOUBLE), "
                f"CAST({order} AS INTEGER))"
            )
        return f"(SELECT {alias}.*{extra}, unnest({cells}) AS _cell FROM {text}) AS {alias}"

    def _order(self, match: Match, text: str) -> str:
        radius = constant_number(match.near.radius)
        if radius is not None:
            constant: Number = radius

            def order(values: Values) -> str:
                from skyvault.sky.cells import join_order

                return str(join_order(float(constant(values))))

            return self.emitter.hole(order)
        # a radius in a column: cells wide enough for the largest circle (58.6 deg / 2**order is a cell's width)
        largest = f"SELECT max({self.emitter.number(match.near.radius)}) FROM {text}"
        fitting = f"floor(log2(14e0 / greatest(({largest}), 1e-8)))"
        return f"coalesce((SELECT CAST(greatest(0, least(29, {fitting})) AS INTEGER)), 0)"

    def _size(self, relation: Relation) -> float:
        if relation.kind == "table":
            return self.emitter.stored(relation).nrows
        query = relation.query
        if query is None:
            query = next((q for name, q, _ in self.emitter.checked.commons if name == relation.common), None)
        return UNKNOWN_ROWS if query is None else self._estimate(query)

    def _estimate(self, query: Query) -> float:
        body = query.body
        if not isinstance(body, Select):
            return UNKNOWN_ROWS
        if body.top is not None:
            return float(body.top)
        if body.source is None:
            return 1
        rows = max(self._size(relation) for relation in self._relations(body.source))
        return rows / 3 if body.where is not None else rows

    # ------------------------------------------------------------ points in indexed regions

    def _in_region(self, condition: Condition, lefts: set[Relation], rights: set[Relation]) -> str | None:
        """CONTAINS(point of one relation, indexed region column of another), by the keys of its cells."""
        emitter = self.emitter
        if not isinstance(condition, Comparison):
            return None
        found = emitter.geometry.predicate(condition)
        if found is None or not found[1]:
            return None
        inner, outer = found[0].args
        if found[0].name == "INTERSECTS" and isinstance(inner, ColumnRef) and emitter.geometry.point(inner) is None:
            inner, outer = outer, inner
        point = emitter.geometry.point(inner)
        if point is None or point.constant is not None or len(point.relations) != 1 or not isinstance(outer, ColumnRef):
            return None
        index = emitter.region_index(outer)
        regions = emitter.checked.bound[outer].relation
        points = next(iter(point.relations))
        if index is None or regions is None or points is regions or {regions, points} & (self.keyed | self.expanded):
            return None
        if not ((points in lefts and regions in rights) or (points in rights and regions in lefts)):
            return None
        p, r = points.sql_alias, regions.sql_alias
        rowid = f", {p}.rowid AS rowid" if points.kind == "table" else ""
        keys = ", ".join(f"{order * KEY_STRIDE} + ({p}._h29 >> {2 * (29 - order)})" for order in index[1].orders)
        self.texts[points] = (
            f"(SELECT {p}.* EXCLUDE (_h29), unnest([{keys}]) AS _key "
            f"FROM (SELECT {p}.*{rowid}, {self._cell(point)} AS _h29 "
            f"FROM {self.texts[points]}) AS {p}) AS {p}"
        )
        self.texts[regions] = (
            f"(SELECT {r}.*, {r}.rowid AS rowid, k.key AS _key FROM {self.texts[regions]} "
            f"JOIN {index[1].cells} AS k ON k.row = {r}.rowid) AS {r}"
        )
        self.keyed |= {points, regions}
        emitter.used.add(condition)
        return f"{r}._key = {p}._key AND {emitter.geometry.truth(found[0])}"

    # ------------------------------------------------------------ outer joins and EXISTS

    def _outer(
        self,
        join: Join,
        own: list[Condition],
        lefts: set[Relation],
        rights: set[Relation],
        left: str,
        right: str,
    ) -> str | None:
        for condition in own:
            match = self._match(condition, lefts, rights)
            if match is None:
                continue
            rest = [self.emitter.condition(other) for other in own if other is not condition]
            a, b = (match.other, match.expanded) if match.other in lefts else (match.expanded, match.other)
            if join.kind == "FULL":
                return self._full(match, a, b, rest, left, right) if lefts == {a} and rights == {b} else None
            kept, filled, kept_text = (a, b, left) if join.kind == "LEFT" else (b, a, right)
            filled_side = rights if join.kind == "LEFT" else lefts
            if filled_side != {filled} or kept.kind != "table" or self.expanded & {a, b}:
                return None
            rowid = f", {filled.sql_alias}.rowid AS rowid" if filled.kind == "table" else ""
            if match.expanded is filled:
                rowid = ""  # the expanded side carries it among its columns
            pairs = self._pairs(match, f"{filled.sql_alias}.*{rowid}, {kept.sql_alias}.rowid AS _match")
            self.texts[filled] = f"({pairs}) AS {filled.sql_alias}"
            on = [f"{filled.sql_alias}._match = {kept.sql_alias}.rowid", *rest]
            return f"({kept_text} LEFT JOIN {_place(filled)} ON {' AND '.join(on)})"
        return None

    def _full(self, match: Match, a: Relation, b: Relation, rest: list[str], left: str, right: str) -> str | None:
        if a.kind != "table" or b.kind != "table" or self.expanded & {a, b}:
            return None
        select = f"{a.sql_alias}.rowid AS _a, {b.sql_alias}.rowid AS _b"
        pairs = self._pairs(match, select, rest)
        name = f"_pairs_{a.sql_alias}_{b.sql_alias}"
        return (
            f"(({left} LEFT JOIN ({pairs}) AS {name} ON {name}._a = {a.sql_alias}.rowid) "
            f"FULL JOIN {right} ON {name}._b = {b.sql_alias}.rowid)"
        )

    def _pairs(self, match: Match, select: str, rest: list[str] | None = None, where: str = "") -> str:
        """A select over matched pairs; inside, both relations go by their usual aliases."""
        text = self.texts[match.expanded]
        order = self._order(match, text)
        expanded = self._expand(match, text, order)
        on = [
            f"({self._cell(match.large)} >> (2 * (29 - {order}))) = {match.expanded.sql_alias}._cell",
            self._exact(match),
            *(rest or []),
        ]
        return f"SELECT {select} FROM {expanded} JOIN {self.texts[match.other]} ON {' AND '.join(on)}{where}"

    def exists(self, condition: Exists) -> str | None:
        """EXISTS over a positional match with an outer table, as a semi-join on its row numbers."""
        query = condition.query
        body = query.body
        if not isinstance(body, Select) or body.source is None or isinstance(body.source, Join):
            return None
        if body.top is not None or query.offset or body.group_by or body in self.emitter.checked.aggregated:
            return None
        inner = self.emitter.checked.relations[body.source]
        parts = conjuncts(body.where)
        saved = dict(self.texts)
        self.texts[inner] = self._raw(body.source, inner)
        for part in parts:
            near = self.emitter.geometry.near(part)
            if near is None:
                continue
            outer = {r for point in (near.first, near.second) for r in point.relations} - {inner}
            if len(outer) != 1:
                continue
            kept = next(iter(outer))
            others = [other for other in parts if other is not part]
            if kept.kind != "table" or not self.emitter.relations_of(*others) <= {inner}:
                continue
            match = self._match(part, {inner}, {kept})
            if match is None:
                continue
            where = " AND ".join(self.emitter.condition(other) for other in others)
            self.texts[kept] = f"{self.emitter.stored(kept).sql} AS {kept.sql_alias}"
            pairs = self._pairs(match, f"{kept.sql_alias}.rowid", where=f" WHERE {where}" if where else "")
            self.texts = saved
            return f"{kept.sql_alias}.rowid IN ({pairs})"
        self.texts = saved
        return None


def _place(relation: Relation) -> str:
    return f"\x03{relation.sql_alias}\x04"
