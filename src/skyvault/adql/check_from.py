"""FROM clauses: which tables are meant, what they are called, which columns a join merges."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from skyvault.adql.check_calls import CallChecker
from skyvault.adql.check_expr import Clause
from skyvault.adql.checked import BoundColumn, Checked, Relation
from skyvault.adql.faults import did_you_mean, fault
from skyvault.adql.meaning import kind_of, wider
from skyvault.adql.names import Entry, Layout, Scope, matches
from skyvault.adql.nodes import DerivedTable, FromItem, Join, Name, Node, TableRef
from skyvault.errors import QueryError
from skyvault.model.ports import TableLookup
from skyvault.model.table import Column, Table


@dataclass(slots=True, eq=False)
class Common:
    """A common table expression that has been checked."""

    name: Name
    sql_name: str
    columns: tuple[Column, ...]
    spellings: tuple[str, ...]


class FromChecker(CallChecker):
    """Works out what FROM offers to a select."""

    def __init__(self, text: str, checked: Checked, tables: TableLookup) -> None:
        super().__init__(text, checked)
        self.tables = tables
        self.commons: list[Common] = []
        self.aliases = 0
        #: names the result columns of a query were given, before they were made unique
        self.spellings: dict[Node, tuple[str, ...]] = {}

    def from_item(self, item: FromItem, parent: Scope | None) -> Layout:
        layout = self._from_item(item, parent)
        self.distinct_names(layout)
        return layout

    def _from_item(self, item: FromItem, parent: Scope | None) -> Layout:
        if isinstance(item, TableRef):
            return Layout([self.table(item)])
        if isinstance(item, DerivedTable):
            outputs = self.query(item.query, parent)
            columns = tuple(output.column for output in outputs)
            relation = Relation(self.sql_alias(), "derived", columns, query=item.query)
            self.checked.relations[item] = relation
            return Layout([Entry(relation, (), self.spellings[item.query], item.alias)])
        left, right = self._from_item(item.left, parent), self._from_item(item.right, parent)
        if item.natural or item.using:
            return self.merge(item, left, right)
        joined = Layout([*left.entries, *right.entries], [*left.merged, *right.merged], left.hidden | right.hidden)
        if item.on is not None:
            self.condition(item.on, Clause("ON", Scope(joined, parent)))
        return joined

    def sql_alias(self) -> str:
        self.aliases += 1
        return f"r{self.aliases}"

    def table(self, item: TableRef) -> Entry:
        if item.sample_index is not None:
            self.checked.pinned.add(item.sample_index)
        if len(item.parts) == 1:
            for common in self.commons:
                if matches(item.parts[0], common.name.text):
                    relation = Relation(self.sql_alias(), "common", common.columns, common=common.sql_name)
                    self.checked.relations[item] = relation
                    return Entry(relation, ((common.name.text,),), common.spellings, item.alias)
        parts = tuple((name.text, name.quoted) for name in item.parts)
        table = self.tables.find(parts)
        if table is None and len(parts) == 1:
            table = self._unqualified(item)
        if table is None:
            raise self._unknown_table(item)
        relation = Relation(self.sql_alias(), "table", table.columns, table=table)
        self.checked.relations[item] = relation
        self.checked.tables[table.name] = table
        paths = [split_name(table.name), tuple(name.text for name in item.parts)]
        return Entry(relation, tuple(dict.fromkeys(paths)), table.column_names, item.alias)

    def _unqualified(self, item: TableRef) -> Table | None:
        """A table named without its schema, when only one schema has such a table."""
        name = item.parts[0]
        found = [path for path in map(split_name, self.tables.names()) if len(path) > 1 and matches(name, path[-1])]
        if len(found) > 1:
            choices = " or ".join(".".join(path) for path in sorted(found)[:4])
            raise self.fail(item, f"There are several tables {name.text}", f"Write {choices}.", name.text)
        return self.tables.find(tuple((part, False) for part in found[0])) if found else None

    def _unknown_table(self, item: TableRef) -> QueryError:
        shown = ".".join(name.text for name in item.parts)
        known = [".".join(split_name(name)) for name in self.tables.names()]
        known.extend(common.name.text for common in self.commons)
        hint = did_you_mean(shown, known)
        if hint is None:
            last = item.parts[-1].text.lower()
            by_last = [name for name in known if name.rpartition(".")[2].lower() == last]
            hint = f"Did you mean {' or '.join(by_last[:3])}?" if by_last else None
        if hint is None and len(item.parts) > 1 and item.parts[0].text.lower() == "tap_upload":
            hint = "Give the table with the parameter UPLOAD."
        if hint is None:
            hint = "SELECT table_name FROM TAP_SCHEMA.tables lists all tables."
        return fault(self.text, item.parts[0].pos or item.pos, f"There is no table {shown}", shown, hint)

    def distinct_names(self, layout: Layout) -> None:
        """Refuse two relations that answer to the same name."""
        seen: dict[str, Entry] = {}
        for entry in layout.entries:
            name = entry.shown.lower() if entry.alias is None or not entry.alias.quoted else entry.alias.text
            if name in seen:
                pos = entry.alias.pos if entry.alias is not None else 0
                raise fault(
                    self.text,
                    pos,
                    f"Two tables of one FROM are named {entry.shown}",
                    entry.shown,
                    "Give them different names with AS.",
                )
            seen[name] = entry

    def merge(self, join: Join, left: Layout, right: Layout) -> Layout:
        """NATURAL and USING: columns of the same name become one."""
        pairs: list[tuple[str, BoundColumn, BoundColumn]] = []
        if join.natural:
            theirs: dict[str, list[BoundColumn]] = {}
            for spelling, bound in right.visible():
                theirs.setdefault(spelling.lower(), []).append(bound)
            for spelling, bound in left.visible():
                shared = theirs.get(spelling.lower(), [])
                if len(shared) == 1:
                    pairs.append((spelling, bound, shared[0]))
                elif shared:
                    raise self.fail(
                        join, f"{spelling} is several columns of one side of this join", "Use ON.", spelling
                    )
            if not pairs:
                raise self.fail(
                    join,
                    "The tables of this NATURAL JOIN have no column in common",
                    "Use ON condition, or a comma for all combinations.",
                )
            if len({spelling.lower() for spelling, _, _ in pairs}) < len(pairs):
                raise self.fail(join, "A common column is several columns of one side of this join", "Use ON.")
        for name in join.using:
            mine, other = self._using(name, left), self._using(name, right)
            pairs.append((mine.column.name, mine, other))
        merged: list[tuple[str, BoundColumn]] = []
        hidden = left.hidden | right.hidden
        gone: set[int] = set()
        for spelling, one, two in pairs:
            self.comparable(join, one.column, two.column, f"the common column {spelling}")
            base, other_side = (two, one) if join.kind == "RIGHT" else (one, two)
            column = base.column
            if kind_of(column) == "number" and kind_of(other_side.column) == "number":
                datatype = wider(column.datatype, other_side.column.datatype)
                if datatype != column.datatype:
                    column = replace(column, datatype=datatype)
            merged.append((spelling, BoundColumn(base.relation, column, base.index, merged=(one, two))))
            for side in (one, two):
                gone.add(id(side))
                hidden = hidden | {(leaf.relation, leaf.index) for leaf in _leaves(side) if leaf.relation is not None}
        self.checked.merges[join] = tuple((one, two) for _, one, two in pairs)
        rest = [pair for pair in (*left.merged, *right.merged) if id(pair[1]) not in gone]
        return Layout([*left.entries, *right.entries], [*merged, *rest], hidden)

    def _using(self, name: Name, layout: Layout) -> BoundColumn:
        found = layout.find(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise fault(
                self.text, name.pos, f"{name.text} is in several tables on one side of this join", name.text, "Use ON."
            )
        names = list(layout.column_names())
        tables = ", ".join(entry.shown for entry in layout.entries)
        raise fault(
            self.text,
            name.pos,
            f"{tables} has no column {name.text}",
            name.text,
            did_you_mean(name.text, names) or f"Columns are {', '.join(names[:8])}.",
        )


def _leaves(bound: BoundColumn) -> list[BoundColumn]:
    if bound.merged is None:
        return [bound]
    return [*_leaves(bound.merged[0]), *_leaves(bound.merged[1])]


def split_name(name: str) -> tuple[str, ...]:
    """The parts of a qualified table name, in which parts may be delimited."""
    if '"' not in name:
        return tuple(name.split("."))
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part
        for part in re.findall(r'"(?:[^"]|"")*"|[^."]+', name)
    )
