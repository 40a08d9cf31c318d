"""Tree to checked tree: which tables and columns a query means, and what its result columns are."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace

from skyvault.adql.check_expr import Clause, is_constant
from skyvault.adql.check_from import Common, FromChecker
from skyvault.adql.checked import BoundColumn, Checked, OutputColumn
from skyvault.adql.faults import did_you_mean
from skyvault.adql.grouping import Grouping, Shape, constants
from skyvault.adql.meaning import NULL, kind_of, told, wider
from skyvault.adql.names import Layout, Scope, matches, unknown_column
from skyvault.adql.nodes import (
    Case,
    Cast,
    ColumnRef,
    Element,
    Expr,
    Function,
    Literal,
    Name,
    Node,
    OrderItem,
    Query,
    QueryBody,
    Select,
    SetOperation,
    Slice,
    Star,
)
from skyvault.errors import QueryError
from skyvault.model.ports import TableLookup
from skyvault.model.table import Column


def check(query: Query, tables: TableLookup) -> Checked:
    """Resolve every name of a parsed query against ``tables`` and work out what its result means.

    Raises QueryError, with line and column, for unknown or ambiguous names (with the nearest ones), operations on
    values they are not made for, functions that are not offered, columns outside of GROUP BY, units that cannot be
    converted. Source: ADQL 2.1, sections 2 to 4.
    """
    checker = Checker(query, tables)
    try:
        return checker.whole()
    except RecursionError:
        raise QueryError("The query is nested too deeply", hint="Use common table expressions (WITH).") from None


class Checker(FromChecker):
    """Checks one query."""

    def __init__(self, query: Query, tables: TableLookup) -> None:
        super().__init__(query.text, Checked(query, ()), tables)
        self.root = query
        #: result columns that are NULL throughout, kept so that their ids stay theirs
        self.nulls: dict[int, Column] = {}

    def whole(self) -> Checked:
        commons: list[tuple[str, Query, tuple[Column, ...]]] = []
        for number, common in enumerate(self.root.commons, start=1):
            outputs = self.query(common.query, None)
            columns = tuple(output.column for output in outputs)
            sql_name = f"w{number}"
            self.commons.append(Common(common.name, sql_name, columns, self.spellings[common.query]))
            commons.append((sql_name, common.query, columns))
        self.checked.commons = tuple(commons)
        outputs = self.query(self.root, None)
        self.checked.columns = tuple(output.column for output in outputs)
        return self.checked

    # ------------------------------------------------------------ queries

    def query(self, query: Query, parent: Scope | None) -> tuple[OutputColumn, ...]:
        if query.offset_index is not None:
            self.checked.pinned.add(query.offset_index)
        if isinstance(query.body, Select):
            outputs = self.select(query.body, parent, query.order_by)
        else:
            outputs = self.body(query.body, parent)
            self.order_by_name(query, outputs)
        self.checked.outputs[query] = outputs
        self.spellings[query] = self.spellings[query.body]
        return outputs

    def body(self, body: QueryBody, parent: Scope | None) -> tuple[OutputColumn, ...]:
        if isinstance(body, Select):
            return self.select(body, parent)
        if isinstance(body, Query):
            return self.query(body, parent)
        return self.set_operation(body, parent)

    def set_operation(self, node: SetOperation, parent: Scope | None) -> tuple[OutputColumn, ...]:
        """Names, units and UCDs come from the left operand; types hold both (ADQL 2.1, section 4.5)."""
        left, right = self.body(node.left, parent), self.body(node.right, parent)
        if len(left) != len(right):
            raise self.fail(
                node,
                f"The queries around {node.op} have {len(left)} and {len(right)} columns",
                "Both must have the same number of columns.",
                node.op,
            )
        outputs = tuple(
            OutputColumn(self._both(node, number, one.column, two.column))
            for number, (one, two) in enumerate(zip(left, right, strict=True), start=1)
        )
        self.checked.outputs[node] = outputs
        self.spellings[node] = self.spellings[node.left]
        return outputs

    def _both(self, node: SetOperation, number: int, one: Column, two: Column) -> Column:
        if id(two) in self.nulls:
            return one
        if id(one) in self.nulls:
            return replace(two, name=one.name, id=None)
        left, right = kind_of(one), kind_of(two)
        if one.ref != two.ref:
            # rows of two frames have none
            one = replace(one, ref=None)
        if left != right:
            raise self.fail(
                node,
                f"Column {number} of the queries around {node.op} is {told(left)} and {told(right)}",
                "Convert one of them with CAST.",
                node.op,
            )
        if left == "number":
            datatype = wider(one.datatype, two.datatype)
            return one if datatype == one.datatype else replace(one, datatype=datatype)
        if (one.datatype, one.arraysize) == (two.datatype, two.arraysize):
            return one
        if left in ("text", "timestamp"):
            wide = "unicodeChar" in (one.datatype, two.datatype)
            size = one.arraysize if one.arraysize == two.arraysize else "*"
            return replace(one, datatype="unicodeChar" if wide else "char", arraysize=size)
        if one.datatype == two.datatype and (one.xtype or "").lower() == (two.xtype or "").lower():
            return replace(one, arraysize="*")
        raise self.fail(
            node,
            f"Column {number} of the queries around {node.op} is of two different types",
            "Convert one of them.",
            node.op,
        )

    # ------------------------------------------------------------ selects

    def select(
        self, select: Select, parent: Scope | None, order_by: Sequence[OrderItem] = ()
    ) -> tuple[OutputColumn, ...]:
        if select.top_index is not None:
            self.checked.pinned.add(select.top_index)
        layout = self.from_item(select.source, parent) if select.source is not None else Layout([])
        scope = Scope(layout, parent)
        if select.where is not None:
            self.condition(select.where, Clause("WHERE", scope, select=select))
        clause = Clause("the select list", scope, allows_aggregates=True)
        outputs, aliases = self.items(select, layout, clause)
        self.checked.outputs[select] = outputs
        after = Clause("GROUP BY", scope, items=outputs, aliases=aliases)
        keys = self.group_keys(select, after, outputs)
        having = Clause("HAVING", scope, allows_aggregates=True, items=outputs, aliases=aliases)
        if select.having is not None:
            self.condition(select.having, having)
        order = Clause("ORDER BY", scope, allows_aggregates=True, items=outputs, aliases=aliases)
        for item in order_by:
            self.order_item(item, order, outputs)
        is_aggregated = bool(
            select.group_by or select.having is not None or clause.has_aggregate or order.has_aggregate
        )
        if is_aggregated:
            self.checked.aggregated.add(select)
            self.check_groups(select, layout, keys, order_by)
        if select.distinct and order_by:
            self.check_distinct_order(outputs, order_by)
        return outputs

    def items(
        self, select: Select, layout: Layout, clause: Clause
    ) -> tuple[tuple[OutputColumn, ...], tuple[str | None, ...]]:
        """Result columns of a select, and the names its items can be called by in later clauses."""
        columns: list[Column] = []
        sources: list[tuple[Expr | None, BoundColumn | None]] = []
        names: list[str] = []
        aliases: list[str | None] = []
        for item in select.items:
            if isinstance(item, Star):
                pairs = self.star(item, layout)
                self.checked.stars[item] = tuple(bound for _, bound in pairs)
                for spelling, bound in pairs:
                    columns.append(bound.column)
                    sources.append((None, bound))
                    names.append(spelling)
                    aliases.append(None)
                continue
            meaning = self.expr(item.expr, clause)
            bound_column = self.checked.bound.get(item.expr) if isinstance(item.expr, ColumnRef) else None
            columns.append(meaning)
            sources.append((item.expr, bound_column))
            names.append(item.alias.text if item.alias is not None else self.generated_name(item.expr))
            aliases.append(item.alias.text if item.alias is not None else None if bound_column else names[-1])
        outputs: list[OutputColumn] = []
        for column, (expr, source), name in zip(columns, sources, unique_names(names), strict=True):
            described = column
            if column.name != name or column.id is not None:
                described = replace(column, name=name, id=None)
            if column is NULL:
                self.nulls[id(described)] = described
            outputs.append(OutputColumn(described, expr, source))
        self.spellings[select] = tuple(names)
        return tuple(outputs), tuple(aliases)

    def star(self, star: Star, layout: Layout) -> list[tuple[str, BoundColumn]]:
        if not star.qualifier:
            return list(layout.visible())
        named = [entry for entry in layout.entries if entry.answers_to(star.qualifier)]
        shown = ".".join(name.text for name in star.qualifier)
        if not named:
            reference = ColumnRef(star.pos, Name("*"), star.qualifier)
            raise unknown_column(self.text, Scope(layout), reference)
        if len(named) > 1:
            raise self.fail(star, f"{shown} may mean several tables", "Give the tables different aliases.", shown)
        entry = named[0]
        return [(spelling, entry.bind(place)) for place, spelling in enumerate(entry.spellings)]

    def generated_name(self, expr: Expr) -> str:
        """A name for a column that was given none: the column's own, or one made of function and column."""
        if isinstance(expr, ColumnRef):
            bound = self.checked.bound[expr]
            return bound.column.name or expr.name.text
        if isinstance(expr, Function):
            base = expr.name.lower()
            if expr.args and isinstance(expr.args[0], ColumnRef):
                base = f"{base}_{expr.args[0].name.text}"
            return _identifier(base)
        if isinstance(expr, Cast) and isinstance(expr.operand, ColumnRef):
            return _identifier(expr.operand.name.text)
        if isinstance(expr, Element | Slice) and isinstance(expr.array, ColumnRef):
            return _identifier(expr.array.name.text)
        return "case" if isinstance(expr, Case) else "expr"

    # ------------------------------------------------------------ GROUP BY, ORDER BY

    def group_keys(self, select: Select, clause: Clause, outputs: tuple[OutputColumn, ...]) -> dict[Hashable, Node]:
        keys: dict[Hashable, Node] = {}
        shape = Shape(self.checked.bound)
        for expr in select.group_by:
            if is_constant(expr):
                raise self.fail(
                    expr,
                    "GROUP BY takes columns or expressions, not constants",
                    "Write the column itself instead of its position.",
                )
            meaning = self.expr(expr, clause)
            if kind_of(meaning) in ("geometry", "complex"):
                raise self.fail(
                    expr, f"Rows cannot be grouped by {told(kind_of(meaning))}", "Group by numbers or texts."
                )
            node: Node = expr
            bound = self.checked.bound.get(expr) if isinstance(expr, ColumnRef) else None
            if bound is not None and bound.item is not None:
                output = outputs[bound.item]
                keys[shape.key(expr)] = expr
                if output.expr is None:
                    continue
                node = output.expr
                self.no_aggregate(node, expr)
            keys[shape.key(node)] = node
        return keys

    def no_aggregate(self, node: Node, where: Node) -> None:
        from skyvault.adql.functions import by_name
        from skyvault.adql.tree import walk

        for inner in walk(node):
            if isinstance(inner, Function) and (spec := by_name().get(inner.name)) and spec.is_aggregate:
                raise self.fail(
                    where,
                    f"Rows cannot be grouped by a value of {inner.name}",
                    "Group by columns or expressions of them.",
                )

    def check_groups(
        self, select: Select, layout: Layout, keys: dict[Hashable, Node], order_by: Sequence[OrderItem]
    ) -> None:
        grouping = Grouping(Shape(self.checked.bound), layout.relations(), keys, self.checked.pinned)
        parts: list[Node] = [*select.items, *order_by]
        if select.having is not None:
            parts.append(select.having)
        for part in parts:
            if isinstance(part, Star):
                for bound in self.checked.stars[part]:
                    if not grouping.bound_is_grouped(bound):
                        raise self.not_grouped(part, bound.column.name, bool(select.group_by))
                continue
            problem = grouping.ungrouped(part)
            if problem is not None:
                raise self.not_grouped(problem, problem.name.text, bool(select.group_by))

    def not_grouped(self, node: Node, name: str, is_grouped: bool) -> QueryError:
        what = (
            f"{name} is neither in GROUP BY nor inside a function that summarises rows"
            if is_grouped
            else f"{name} stands beside a function that summarises all rows"
        )
        return self.fail(node, what, f"Add {name} to GROUP BY, or use MIN({name}), MAX({name}) or AVG({name}).", name)

    def order_item(self, item: OrderItem, clause: Clause, outputs: tuple[OutputColumn, ...]) -> None:
        expr = item.expr
        if is_constant(expr):
            self.position(expr, outputs)
            return
        if isinstance(expr, ColumnRef) and not expr.qualifier:
            # a bare name means a column of the result first
            bound = self.alias(expr, clause)
            if bound is not None:
                self.checked.bound[expr] = bound
                self.checked.meanings[expr] = bound.column
                return
        self.expr(expr, clause)

    def position(self, expr: Expr, outputs: tuple[OutputColumn, ...]) -> None:
        if not (isinstance(expr, Literal) and expr.kind == "integer"):
            raise self.fail(expr, "ORDER BY takes columns, positions or expressions, not constants", "Name a column.")
        self.expr(expr, Clause("ORDER BY", None))
        self.pin(expr)
        value = int(expr.value or 0)
        if not 1 <= value <= len(outputs):
            raise self.fail(
                expr,
                f"ORDER BY {value} points outside of the {len(outputs)} columns of the result",
                f"Positions go from 1 to {len(outputs)}.",
                str(expr.value),
            )

    def order_by_name(self, query: Query, outputs: tuple[OutputColumn, ...]) -> None:
        """ORDER BY of a set operation: positions and names of the result only."""
        names = self.spellings[query.body]
        for item in query.order_by:
            expr = item.expr
            if is_constant(expr):
                self.position(expr, outputs)
                continue
            if not isinstance(expr, ColumnRef) or expr.qualifier:
                raise self.fail(
                    expr,
                    "A set operation can be sorted by columns of its result only",
                    "Use a name or position of the first query's columns.",
                )
            found = [place for place, name in enumerate(names) if matches(expr.name, name)]
            if len(found) != 1:
                what = "no column" if not found else "several columns"
                raise self.fail(
                    expr,
                    f"The result has {what} named {expr.name.text}",
                    did_you_mean(expr.name.text, names) or f"Columns are {', '.join(names[:8])}.",
                    expr.name.text,
                )
            bound = BoundColumn(None, outputs[found[0]].column, item=found[0])
            self.checked.bound[expr] = bound
            self.checked.meanings[expr] = bound.column

    def check_distinct_order(self, outputs: tuple[OutputColumn, ...], order_by: Sequence[OrderItem]) -> None:
        from skyvault.adql.grouping import bound_key

        shape = Shape(self.checked.bound)
        shown: dict[Hashable, Node | None] = {}
        for output in outputs:
            if output.expr is not None:
                shown[shape.key(output.expr)] = output.expr
            elif output.bound is not None:
                shown[bound_key(output.bound)] = None
        for item in order_by:
            expr = item.expr
            bound = self.checked.bound.get(expr) if isinstance(expr, ColumnRef) else None
            if is_constant(expr) or (bound is not None and bound.item is not None):
                continue
            key = shape.key(expr)
            if key not in shown:
                raise self.fail(
                    expr, "SELECT DISTINCT can be sorted by what it selects only", "Add this to the select list."
                )
            if not isinstance(expr, ColumnRef):
                known = shown[key]
                self.checked.pinned |= constants(expr) | (constants(known) if known is not None else set())


def unique_names(names: Sequence[str]) -> list[str]:
    """The names with numbers added to those that come again, whatever the case."""
    seen: set[str] = set()
    wanted = {name.lower() for name in names}
    numbers: dict[str, int] = {}
    unique: list[str] = []
    for name in names:
        # the last number given to this name is where to go on: thousands of equal names cost no more than others
        number = numbers.get(name, 1)
        candidate = name if number == 1 else f"{name}_{number}"
        while candidate.lower() in seen or (number > 1 and candidate.lower() in wanted):
            number += 1
            candidate = f"{name}_{number}"
        numbers[name] = number
        seen.add(candidate.lower())
        unique.append(candidate)
    return unique


def _identifier(text: str) -> str:
    clean = re.sub(r"[^A-Za-z0-9_]+", "_", text)[:60].strip("_")
    return clean if clean[:1].isalpha() else f"expr_{clean}".rstrip("_")
