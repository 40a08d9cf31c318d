"""Which column a name means: scopes of nested queries, aliases, qualifiers, columns merged by joins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from skyvault.adql.checked import BoundColumn, Relation
from skyvault.adql.faults import did_you_mean, fault, nearest
from skyvault.adql.nodes import ColumnRef, Name
from skyvault.errors import QueryError


@dataclass(slots=True, eq=False)
class Entry:
    """A relation as one FROM clause knows it.

    ``paths`` are the names it answers to, each a tuple such as ("schema", "table") or, with an alias, just that one.
    ``spellings`` are the names its columns answer to (two may be the same, then the name is ambiguous).
    """

    relation: Relation
    paths: tuple[tuple[str, ...], ...]
    spellings: Sequence[str]
    alias: Name | None = None
    _places: dict[str, list[int]] = field(default_factory=dict)

    def answers_to(self, qualifier: tuple[Name, ...]) -> bool:
        """Whether ``qualifier`` (the names before a column) means this relation."""
        if self.alias is not None:
            return len(qualifier) == 1 and matches(qualifier[0], self.alias.text)
        for path in self.paths:
            if len(qualifier) <= len(path) and all(
                matches(name, text) for name, text in zip(qualifier, path[len(path) - len(qualifier) :], strict=True)
            ):
                return True
        return False

    def places(self, name: Name) -> list[int]:
        """Numbers of the columns that ``name`` may mean here.

        A delimited name is matched exactly; others in any case, an exact spelling being preferred.
        """
        if not self._places and self.spellings:
            for place, spelling in enumerate(self.spellings):
                self._places.setdefault(spelling.lower(), []).append(place)
        found = self._places.get(name.text.lower())
        if not found:
            return []
        exact = [place for place in found if self.spellings[place] == name.text]
        if name.quoted:
            return exact
        return exact if len(exact) == 1 else found

    def bind(self, place: int) -> BoundColumn:
        return BoundColumn(self.relation, self.relation.columns[place], place)

    @property
    def shown(self) -> str:
        """The name people call it by."""
        return self.alias.text if self.alias is not None else ".".join(self.paths[0])


@dataclass(slots=True, eq=False)
class Layout:
    """What a FROM clause, or a part of it, offers: relations, and columns that joins have merged."""

    entries: list[Entry]
    #: merged columns under their names, in order; they stand before all others in ``*``
    merged: list[tuple[str, BoundColumn]] = field(default_factory=list)
    #: columns that take part in a merge and so are not found by their bare names
    hidden: set[tuple[Relation, int]] = field(default_factory=set)

    def visible(self) -> Iterator[tuple[str, BoundColumn]]:
        """All columns ``*`` stands for, with their names, in order."""
        yield from self.merged
        hidden = self.hidden
        for entry in self.entries:
            for place, spelling in enumerate(entry.spellings):
                if not hidden or (entry.relation, place) not in hidden:
                    yield spelling, entry.bind(place)

    def find(self, name: Name) -> list[BoundColumn]:
        """Columns the bare ``name`` may mean."""
        found: list[BoundColumn] = []
        if self.merged:
            found = [bound for spelling, bound in self.merged if matches(name, spelling)]
        for entry in self.entries:
            for place in entry.places(name):
                if not self.hidden or (entry.relation, place) not in self.hidden:
                    found.append(entry.bind(place))
        return found

    def column_names(self) -> Iterator[str]:
        for entry in self.entries:
            yield from entry.spellings

    def relations(self) -> set[Relation]:
        return {entry.relation for entry in self.entries}


@dataclass(slots=True, eq=False)
class Scope:
    """A layout, and the scope of the query around it, whose columns a subquery may use."""

    layout: Layout
    parent: Scope | None = None


def matches(name: Name, text: str) -> bool:
    """Whether an identifier means the thing called ``text``."""
    return name.text == text if name.quoted else name.text.lower() == text.lower()


def written(ref: ColumnRef) -> str:
    """A column reference as people write it."""
    return ".".join(name.text for name in (*ref.qualifier, ref.name))


def resolve(text: str, scope: Scope | None, ref: ColumnRef) -> BoundColumn | None:
    """The column ``ref`` means, looked for from the innermost query outwards; None when there is none.

    Raises QueryError when it may mean several, or when the relation is known but has no such column.
    """
    while scope is not None:
        layout = scope.layout
        if not ref.qualifier:
            found = layout.find(ref.name)
        else:
            found = []
            named = [entry for entry in layout.entries if entry.answers_to(ref.qualifier)]
            for entry in named:
                found.extend(entry.bind(place) for place in entry.places(ref.name))
            if named and not found:
                raise _no_column(text, ref, [name for entry in named for name in entry.spellings], named[0].shown)
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(text, ref, layout, found)
        scope = scope.parent
    return None


def _ambiguous(text: str, ref: ColumnRef, layout: Layout, found: list[BoundColumn]) -> QueryError:
    shown = written(ref)
    owners = [entry for entry in layout.entries if any(bound.relation is entry.relation for bound in found)]
    if len(owners) < 2:
        return fault(
            text,
            ref.pos,
            f"The name {shown} may mean several columns of {owners[0].shown if owners else 'the join'}",
            shown,
            "Give the columns different names with AS, or write the name in double quotes exactly as it is.",
        )
    choices = [f"{entry.shown}.{ref.name.text}" for entry in owners[:3]]
    return fault(text, ref.pos, f"The column {shown} is in several tables", shown, f"Write {' or '.join(choices)}.")


def _no_column(text: str, ref: ColumnRef, names: Sequence[str], where: str) -> QueryError:
    shown = ref.name.text
    return fault(text, ref.pos, f"{where} has no column {shown}", written(ref), _column_hint(ref.name, names))


def _column_hint(name: Name, names: Sequence[str]) -> str:
    same = [candidate for candidate in names if candidate.lower() == name.text.lower()]
    if name.quoted and same:
        return f'Names in double quotes must match exactly: write "{same[0]}".'
    close = did_you_mean(name.text, names)
    if close is not None:
        return close
    if name.quoted:
        return f"If it is a text, put it in single quotes: '{name.text}'."
    return f"Columns are {', '.join(list(names)[:8])}{', ...' if len(names) > 8 else ''}."


def unknown_column(text: str, scope: Scope | None, ref: ColumnRef) -> QueryError:
    """The error for a name no scope knows: with the nearest names, or the tables there are."""
    layouts: list[Layout] = []
    while scope is not None:
        layouts.append(scope.layout)
        scope = scope.parent
    shown = written(ref)
    if ref.qualifier:
        tables = [entry.shown for layout in layouts for entry in layout.entries]
        qualifier = ".".join(name.text for name in ref.qualifier)
        close = nearest(qualifier, tables)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"FROM has {', '.join(tables[:8]) or 'no tables'}."
        hidden = [
            entry.alias.text
            for layout in layouts
            for entry in layout.entries
            if entry.alias is not None
            and any(
                len(ref.qualifier) <= len(path)
                and all(matches(a, b) for a, b in zip(reversed(ref.qualifier), reversed(path), strict=False))
                for path in entry.paths
            )
        ]
        if hidden:
            hint = f"It has the alias {hidden[0]} here: write {hidden[0]}.{ref.name.text}."
        return fault(text, ref.pos, f"There is no table {qualifier} in this FROM", shown, hint)
    names = list(dict.fromkeys(name for layout in layouts for name in layout.column_names()))
    return fault(text, ref.pos, f"There is no column {shown}", shown, _column_hint(ref.name, names))
