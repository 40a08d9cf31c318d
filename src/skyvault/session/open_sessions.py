"""Which sessions are open in this process, so that a table finds the one it belongs to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.session.session import Session

#: where a table's metadata names its session
SESSION_KEY: Final = "daschlab_sess_key"

#: by the session's folder, absolute; a program that opens thousands must not hold them all
OPEN: Final[WeakValueDictionary[str, Session]] = WeakValueDictionary()
#: the last ones stay, so that tables find theirs even if nobody holds the session itself
_RECENT: Final[deque[Session]] = deque(maxlen=8)


def remember(session: Session) -> None:
    """Makes a session the one its folder's tables belong to."""
    OPEN[str(session.root)] = session
    _RECENT.append(session)


def session_of(table: Any) -> Session:
    """The session a table came from. Raises UsageError for a table that came from none, or one that is closed."""
    found = OPEN.get(str(table.meta.get(SESSION_KEY, "")))
    if found is None:
        raise UsageError(
            "This table belongs to no open session",
            hint="Open the session and take the table from it: sess.exposures().",
        )
    return found
