"""Who sends a request: a user with groups and scopes, or nobody known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from skyvault.errors import Forbidden, Unauthorised
from skyvault.ledger.tokens import SCOPES
from skyvault.ledger.user_tables import ANONYMOUS
from skyvault.ledger.users import User

Way = Literal["none", "basic", "bearer", "session"]
#: key of an ASGI scope
KEY = "skyvault.identity"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, by which way this is known, and what the way allows."""

    user: User | None = None
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset(SCOPES)
    way: Way = "none"
    #: id of the token or session
    token_id: str | None = None

    @property
    def owner(self) -> str:
        """Whose tables these are: the user's id, "" for the shared space."""
        return ANONYMOUS if self.user is None else self.user.id

    @property
    def name(self) -> str | None:
        return None if self.user is None else self.user.name

    @property
    def actor(self) -> str:
        """For the audit log."""
        return self.name or "anonymous"

    def known_user(self) -> User:
        """The user. Raises Unauthorised when nobody has logged in."""
        if self.user is None:
            raise Unauthorised("this is only for users who are logged in", hint="Send a name and password, or a token.")
        return self.user

    def need(self, scope: str) -> None:
        """Raises Forbidden when the token is not for this."""
        if scope not in self.scopes:
            raise Forbidden(f"this token is not for that (it lacks the scope {scope!r})", hint="Make another token.")


NOBODY = Identity()


def identity_of(request: Request) -> Identity:
    """Who sends the request."""
    found = request.scope.get(KEY, NOBODY)
    assert isinstance(found, Identity)
    return found
