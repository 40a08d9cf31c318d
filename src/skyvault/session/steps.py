"""What a session was asked for beyond its tables of plates, in order: for the script that repeats it.

Tables, cutouts and mosaics are seen in the folder; which service was asked for images, and how, is not. Tokens and
passwords are never among the steps, and addresses lose what identifies a user.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.session.files import written_beside

if TYPE_CHECKING:
    from skyvault.session.session import Session

_MOST_STEPS: Final = 10_000
_MOST_BYTES: Final = 8_000_000


class Steps:
    """The steps of one session, in the file ``.skyvault/steps.json``: names of methods and their arguments."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """What was asked for, each once. A damaged file counts as none: the data are in their own files."""
        try:
            if self.path.stat().st_size > _MOST_BYTES:
                return []
            told = json.loads(self.path.read_text(encoding="utf-8"))
            return [(str(step["call"]), dict(step["with"])) for step in told["steps"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []

    def remember(self, call: str, **arguments: Any) -> None:
        """Notes a step unless it is noted. Arguments are numbers, texts, lists of them, or None."""
        plain = json.loads(json.dumps(arguments, default=str))
        known = self.all()
        if (call, plain) in known or len(known) >= _MOST_STEPS:
            return
        steps = [{"call": name, "with": given} for name, given in [*known, (call, plain)]]
        with written_beside(self.path, is_precious=False) as beside:
            beside.write_text(json.dumps({"version": 1, "steps": steps}, indent=1) + "\n", encoding="utf-8")


def steps_of(session: Session) -> Steps:
    """The steps of a session."""
    return Steps(session.path(".skyvault", "steps.json"))


def address_of(service: Any) -> str | None:
    """How a service is named in a script: its address without user, password and query; None for what has none."""
    from urllib.parse import urlsplit, urlunsplit

    text = service if isinstance(service, str) else getattr(service, "baseurl", None)
    if not isinstance(text, str) or not text.strip():
        return None
    parts = urlsplit(text)
    if not parts.scheme or not parts.hostname:
        return text
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, "", ""))


def call_text(method: str, positional: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> str:
    """A call as Python writes it; arguments that are None, and empty lists, are left out."""
    given = [repr(value) for value in positional]
    given += [f"{name}={value!r}" for name, value in (named or {}).items() if value is not None and value != []]
    return f"{method}({', '.join(given)})"
