"""Where a query went wrong: offsets become lines and columns, and misspelt names meet their neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from skyvault.errors import QueryError

_TOKEN_AT = re.compile(r"[A-Za-z0-9_.]+|\"[^\"]*\"?|'[^']*'?|[<>=!|]{1,2}|\S")


def place(text: str, pos: int) -> tuple[int, int]:
    """Line and column (from 1) of offset ``pos``; "\\r\\n", "\\n" and a lone "\\r" end a line."""
    before = text[: max(pos, 0)].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def fault(text: str, pos: int, what: str, token: str | None = None, hint: str | None = None) -> QueryError:
    """The error to raise for the token at offset ``pos`` of the query ``text``.

    Without ``token`` it is read from the text; without ``hint`` there is a general one.
    """
    line, column = place(text, pos)
    if token is None:
        found = _TOKEN_AT.match(text, max(pos, 0))
        token = found[0] if found else "end of the query"
    if len(token) > 60:
        token = token[:57] + "..."
    if hint is None:
        hint = "Check the query around this place."
    return QueryError(what, line=line, column=column, token=token, hint=hint)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` of the ``known`` names that look most like ``name``, whatever their case."""
    from difflib import get_close_matches

    spelt: dict[str, str] = {}
    for candidate in known:
        spelt.setdefault(candidate.lower(), candidate)
        if len(spelt) >= 20_000:  # a suggestion is not worth more time than the query
            break
    return [spelt[match] for match in get_close_matches(name.lower()[:200], spelt, n=count, cutoff=0.6)]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the nearest of the ``known`` names, or None when nothing is near."""
    found = nearest(name, known)
    if not found:
        return None
    return f"Did you mean {' or '.join(found)}?"
