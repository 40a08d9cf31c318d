"""What a user may say besides a query where tables may be kept: CREATE TABLE tap_user.x AS SELECT ..., DROP TABLE.

These are no ADQL; a service that does not allow them never looks for them, and the ADQL parser refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skyvault.adql.faults import fault
from skyvault.adql.tokens import END, OP, QUOTED, WORD, Token, tokenize
from skyvault.adql.words import RESERVED

#: the schema of users' tables
SCHEMA = "tap_user"
_MAY_BE = re.compile(r"\A(?:\s|--[^\r\n]*(?:[\r\n]|\Z))*(?:create|drop)\b", re.IGNORECASE)
_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class CreateTable:
    """Keep the rows of ``query`` as ``name``. ``owner`` is as written, None for "mine".

    ``query`` is as long as the whole statement, blanks in place of its beginning: errors point to the right place.
    """

    owner: str | None
    name: str
    query: str


@dataclass(frozen=True, slots=True)
class DropTable:
    """Drop a table; with ``if_exists`` it is no error when there is none."""

    owner: str | None
    name: str
    if_exists: bool = False


def is_table_name(name: str) -> bool:
    """Whether a user's table may be called so: a regular identifier (ADQL 2.1, section 2.1.3), no reserved word."""
    return bool(_REGULAR.fullmatch(name)) and name.lower() not in RESERVED


def read_statement(text: str) -> CreateTable | DropTable | None:
    """The statement, or None for anything that begins otherwise (a query). Raises QueryError."""
    if not _MAY_BE.match(text):
        return None
    tokens = tokenize(text)
    _expect(text, tokens[1], "table")
    if tokens[0].value == "create":
        owner, name, place = _name(text, tokens, 2)
        _expect(text, tokens[place], "as")
        if tokens[place + 1].kind == END:
            raise fault(text, tokens[place + 1].pos, "The query is missing after AS")
        begin = tokens[place + 1].pos
        blank = "".join(c if c in "\r\n" else " " for c in text[:begin])
        return CreateTable(owner, name, blank + text[begin:])
    place, if_exists = 2, False
    if tokens[2].value == "if" and tokens[2].kind == WORD and tokens[3].value == "exists":
        place, if_exists = 4, True
    owner, name, place = _name(text, tokens, place)
    if tokens[place].kind == OP and tokens[place].value == ";":
        place += 1
    if tokens[place].kind != END:
        raise fault(text, tokens[place].pos, "DROP TABLE ends with the table's name")
    return DropTable(owner, name, if_exists)


def _expect(text: str, token: Token, word: str) -> None:
    if token.kind != WORD or token.value != word:
        raise fault(
            text,
            token.pos,
            f"{word.upper()} is missing here",
            hint=f"Write CREATE TABLE {SCHEMA}.name AS SELECT ..., or DROP TABLE {SCHEMA}.name.",
        )


def _name(text: str, tokens: Sequence[Token], place: int) -> tuple[str | None, str, int]:
    """(Owner, name, place after it) of ``tap_user.name`` or ``tap_user.owner.name``."""
    first, parts = place, []
    while True:
        token = tokens[place]
        if token.kind not in (WORD, QUOTED):
            raise fault(text, token.pos, "A table's name is missing here", hint=f"Write {SCHEMA}.name.")
        parts.append(token.text if token.kind == WORD else str(token.value))
        place += 1
        if not (tokens[place].kind == OP and tokens[place].value == "."):
            break
        place += 1
    if len(parts) not in (2, 3) or parts[0].lower() != SCHEMA:
        raise fault(
            text,
            tokens[first].pos,
            f"Tables can be made and dropped in {SCHEMA} only",
            hint=f"Write {SCHEMA}.{parts[-1][:40] if is_table_name(parts[-1]) else 'name'}.",
        )
    if not is_table_name(parts[-1]):
        raise fault(
            text,
            tokens[place - 1].pos,
            f"{parts[-1][:60]!r} cannot be the name of a table",
            hint="It must be a regular ADQL identifier and no reserved word.",
        )
    return (parts[1] if len(parts) == 3 else None), parts[-1], place
