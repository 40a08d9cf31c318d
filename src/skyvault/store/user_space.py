"""Users' tables in queries: ``tap_user.NAME`` means the reader's own, or one the reader was given.

A view for one reader lies over the view of what is published. It is asked only for names it is given, and lists only
what that reader may know of: nobody's table shows itself to others, not even in the hint of an error.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skyvault.ledger.user_tables import ANONYMOUS, UserTable
from skyvault.model.table import Table
from skyvault.store.view import Shelved, View, shelved

if TYPE_CHECKING:
    from skyvault.ledger.ledger import Ledger

SCHEMA = "tap_user"
#: readers whose views (and compiled queries) are kept
MOST_VIEWS = 256


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose tables a query may name: a user's id (or "", nobody) with groups."""

    owner: str = ANONYMOUS
    groups: frozenset[str] = frozenset()


class UserSpace:
    """All users' tables of one data directory."""

    def __init__(self, ledger: Ledger, *, anonymous: bool) -> None:
        self.ledger = ledger
        self.anonymous = anonymous
        self._lock = threading.Lock()
        self._views: OrderedDict[Reader, tuple[int, UserView]] = OrderedDict()

    def view(self, reader: Reader, parent: View) -> UserView:
        """What the reader may query now; kept while neither the published nor any user's tables change."""
        version = self.ledger.user_tables.version()
        with self._lock:
            kept = self._views.get(reader)
            if kept is not None and kept[0] == version and kept[1].parent is parent:
                self._views.move_to_end(reader)
                return kept[1]
            view = UserView(self, reader, parent)
            self._views[reader] = (version, view)
            self._views.move_to_end(reader)
            if len(self._views) > MOST_VIEWS:
                self._views.popitem(last=False)
            return view

    def find(self, reader: Reader, name: str, whose: str | None = None) -> UserTable | None:
        """The reader's own table ``name``, or somebody's (``whose``: a user's name, "anonymous", "link_SECRET")
        that the reader may read; None when there is none or it is not the reader's business.
        """
        tables = self.ledger.user_tables
        if whose is None:
            if reader.owner == ANONYMOUS and not self.anonymous:
                return None
            return tables.find(reader.owner, name)
        lowered = whose.lower()
        if lowered == "anonymous":
            return tables.find(ANONYMOUS, name) if self.anonymous else None
        if lowered.startswith("link_"):
            return tables.by_link(lowered[5:], name)
        user = self.ledger.users.find(whose)
        if user is None:
            return None
        found = tables.find(user.id, name)
        if found is None or user.id == reader.owner:
            return found
        if reader.owner == ANONYMOUS or not tables.may_read(found, reader.owner, reader.groups):
            return None
        return found

    def listed(self, reader: Reader) -> list[tuple[str, UserTable]]:
        """(Qualified name, table) of the reader's own tables and of those the reader was given; nobody's: none."""
        if reader.owner == ANONYMOUS:
            return []
        own = [(f"{SCHEMA}.{one.name}", one) for one in self.ledger.user_tables.of(reader.owner)]
        given = []
        for one in self.ledger.user_tables.shared_with(reader.owner, reader.groups):
            user = self.ledger.users.by_id(one.owner)
            if user is not None:
                given.append((qualified(one.name, user.name), one))
        return own + given


class UserView(View):
    """What is published, and under ``tap_user`` what one reader may read."""

    def __init__(self, space: UserSpace, reader: Reader, parent: View) -> None:
        super().__init__((), parent.version, parent)
        self.parent = parent
        self._space = space
        self._reader = reader
        self._found: dict[str, Shelved] = {}

    def shelf(self, parts: tuple[tuple[str, bool], ...]) -> Shelved | None:
        if len(parts) not in (2, 3) or parts[0][0].lower() != SCHEMA:
            return self.parent.shelf(parts)
        whose = None if len(parts) == 2 else parts[1][0]
        found = self._space.find(self._reader, parts[-1][0], whose)
        if found is None:
            return None
        if whose is None or found.owner == self._reader.owner:
            name = f"{SCHEMA}.{found.name}"
        else:
            name = qualified(found.name, whose)
        item = shelve(found, name)
        self._found[name] = item
        return item

    def names(self) -> Iterable[str]:
        yield from (name for name, _ in self._space.listed(self._reader))
        yield from self.parent.names()

    def item(self, name: str) -> Shelved:
        return self._found[name] if name in self._found else self.parent.item(name)


def qualified(name: str, owner: str) -> str:
    """The name of somebody's table; the owner is delimited, since a user's name may hold anything."""
    return f'{SCHEMA}."{owner}".{name}'


def shelve(table: UserTable, name: str) -> Shelved:
    """A user's table as queries need it, under a qualified name."""
    described: Table = replace(table.table, name=name)
    return shelved(
        described,
        table.snapshot,
        table.nrows,
        table.extra,
        published_at=table.changed_at,
        bytes=table.bytes,
        version=table.version,
    )


def mentions_user_tables(text: str) -> bool:
    """Whether a query may name a user's table; nearly no query does, and all others share one view."""
    return SCHEMA in text.lower()
