"""What each may do with users' tables: whose a name is, how much space and time there is, who is refused what."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from skyvault.adql.statements import is_table_name
from skyvault.errors import Conflict, Forbidden, NotFound, ParameterError, Unauthorised
from skyvault.ledger.user_tables import ANONYMOUS, Space, UserTable
from skyvault.serve.identity import Identity
from skyvault.store.user_keep import Keep, UserKeeper
from skyvault.store.user_pieces import PiecedUploads
from skyvault.store.user_space import SCHEMA, Reader, UserSpace
from skyvault.store.view import split_name

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.store.layout import Layout

DAY_S = 86_400.0
#: how long a name stays claimed when its maker dies; the ledger lets only one win in any case
CLAIM_S = 120.0


class UserRules:
    """The rules of one service. Made only where users may keep tables."""

    def __init__(self, settings: Settings, ledger: Ledger, layout: Layout, space: UserSpace) -> None:
        self.settings = settings
        self.ledger = ledger
        self.tables = ledger.user_tables
        self.space = space
        self.keeper = UserKeeper(layout, ledger, settings)
        self.uploads = PiecedUploads(layout.uploads, life_s=settings.user_upload_life_days * DAY_S)
        self._lock = threading.Lock()
        self._made_now: set[tuple[str, str]] = set()

    def refuse_strangers(self, identity: Identity) -> None:
        """Raises Unauthorised where only users who are logged in may keep tables."""
        if identity.user is None and not self.settings.user_tables_anonymous:
            raise Unauthorised("only users who are logged in may keep tables here")

    def place_for(self, identity: Identity, path: str, *, replaces: Literal["any"] | None = "any") -> Keep:
        """Where a new table of this name goes. Raises ParameterError for a name that cannot be one, Forbidden."""
        identity.need("write")
        self.refuse_strangers(identity)
        whose, name = _parts(path)
        if not is_table_name(name):
            raise ParameterError(
                f"{name[:64]!r} cannot be the name of a table",
                hint="It must be a regular ADQL identifier (letters, digits, _) and no reserved word.",
            )
        if whose is not None and not self._is_own(identity, whose):
            raise Forbidden("tables can be made in your own space only", hint=f"Call it {SCHEMA}.{name}.")
        return self.keep_for(identity, name, replaces=replaces)

    def keep_for(self, identity: Identity, name: str, *, replaces: Literal["any"] | None = "any") -> Keep:
        """Room and time of this user for a table of this name."""
        settings, user = self.settings, identity.user
        if user is None:
            space = Space(settings.user_anonymous_quota_bytes, settings.user_anonymous_quota_tables)
            return Keep(ANONYMOUS, name, space, settings.user_anonymous_life_days * DAY_S, replaces=replaces)
        space = Space(
            settings.user_quota_bytes if user.quota_bytes is None else user.quota_bytes,
            settings.user_quota_tables if user.quota_tables is None else user.quota_tables,
        )
        return Keep(user.id, name, space, settings.user_table_life_days * DAY_S, user.name, replaces)

    def readable(self, identity: Identity, path: str) -> UserTable:
        """The table this name means to whoever asks. Raises NotFound, also for what others keep to themselves."""
        identity.need("read")
        whose, name = _parts(path)
        found = self.space.find(Reader(identity.owner, identity.groups), name, whose)
        if found is None:
            raise NotFound(f"there is no user table {path[:200]!r}")
        return found

    def own(self, identity: Identity, path: str) -> UserTable:
        """The same for changing it. Raises Forbidden for a table that is only lent, Unauthorised for shared space
        that is switched off.
        """
        identity.need("write")
        self.refuse_strangers(identity)
        found = self.readable(identity, path)
        if found.owner != identity.owner:
            raise Forbidden("this table belongs to somebody else")
        return found

    def life_until(self, identity: Identity, table: UserTable, asked: float) -> float:
        """The end of a table's life that comes nearest to the moment asked for."""
        days = self.settings.user_table_life_days_most
        if identity.user is None:
            days = self.settings.user_anonymous_life_days
        return min(asked, self.tables.clock() + days * DAY_S)

    @contextmanager
    def claimed(self, keep: Keep) -> Iterator[None]:
        """Be the only one, in all processes, that makes a table of this name. Raises Conflict for all others."""
        key = (keep.owner, keep.name.lower())
        taken = Conflict(f"the table {SCHEMA}.{keep.name} is being made by somebody else", hint="Choose another name.")
        with self._lock:
            if key in self._made_now:
                raise taken
            self._made_now.add(key)
        duty, holder = f"table {keep.owner}/{key[1]}", f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            if not self.ledger.duties.take(duty, holder, CLAIM_S):
                raise taken
            try:
                yield
            finally:
                self.ledger.duties.give_back(duty, holder)
        finally:
            with self._lock:
                self._made_now.discard(key)

    def refuse_taken(self, identity: Identity, owner: str | None, name: str) -> None:
        """Raises now, without waiting for anything, what making a table of this name would certainly raise."""
        keep = self.place_for(identity, _path(owner, name), replaces=None)
        self.tables.refuse_early(keep.owner, keep.name, keep.space, replaces=None)
        with self._lock:
            if (keep.owner, keep.name.lower()) in self._made_now:
                raise Conflict(f"the table {SCHEMA}.{name} is being made by somebody else")

    def _is_own(self, identity: Identity, whose: str) -> bool:
        return whose.lower() == ("anonymous" if identity.name is None else identity.name.lower())


def _path(owner: str | None, name: str) -> str:
    return name if owner is None else f'{SCHEMA}."{owner}".{name}'


def _parts(path: str) -> tuple[str | None, str]:
    """(Whose, name) of NAME, tap_user.NAME, OWNER.NAME or tap_user.OWNER.NAME; an owner's name may hold dots."""
    parts = list(split_name(path))
    if len(parts) > 1 and parts[0].lower() == SCHEMA:
        parts = parts[1:]
    name = parts.pop()
    return (".".join(parts) if parts else None), name
