"""What a service says of user tables: documents of VOSI and JSON, and what it complains of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests

from skyvault.find.faults import WrongAnswer
from skyvault.find.session import document
from skyvault.net.addresses import shown_address
from skyvault.net.faults import said

_ANSWER_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class UserTable:
    """A table of one's own, or one that was lent. ``name`` is how a query writes it; ``rows`` None: not told."""

    name: str
    rows: int | None
    columns: tuple[str, ...]
    description: str = ""
    indexed: tuple[str, ...] = ()
    #: when it will be dropped (UTC); known where one table is asked for
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """A table that stays as it is: since when, the SHA-256 of its rows as CSV, and a text to cite it by; until when the
    service keeps it, and what a DOI would need (the properties of DataCite's schema), where the service tells.
    """

    since: str
    sha256: str
    citation: str
    kept_until: str = ""
    datacite: Mapping[str, Any] = field(default_factory=dict)


def _body(answer: requests.Response, most: int = _ANSWER_BYTES) -> bytes:
    with document(answer) as file:
        body: bytes = file.read(most + 1)
    if len(body) > most:
        raise WrongAnswer("the answer is too long", where=shown_address(answer.url))
    return body


def text_of(answer: requests.Response) -> str:
    return _body(answer).decode("utf-8", "replace")


def json_of(answer: requests.Response) -> Any:
    try:
        told = json.loads(_body(answer))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict | list):
        raise WrongAnswer("the answer is no JSON document", where=shown_address(answer.url))
    return told


def words_of(answer: requests.Response) -> str:
    """What a service says is wrong: the DALI error document (DALI 1.1, section 4.2), or a short text."""
    import html

    body = _body(answer)[:65_536]
    found = re.search(rb"""<(?:[\w.-]+:)?INFO\b[^<>]*QUERY_STATUS[^<>]*>([^<]{0,4000})""", body)
    if found:
        return " ".join(html.unescape(found[1].decode("utf-8", "replace")).split())[:500]
    return "" if answer.headers.get("content-type", "").startswith("text/html") else said(body)


def tables_of(answer: requests.Response) -> list[UserTable]:
    """The tables of a VOSI document, a tableset or one table. Raises WrongAnswer."""
    from skyvault.errors import FormatError
    from skyvault.formats.xml_text import read_small

    try:
        root = read_small(_body(answer), limit=_ANSWER_BYTES)
    except FormatError as error:
        raise WrongAnswer(f"the answer is no VOSI document: {error.what}", where=shown_address(answer.url)) from None
    return [_table(one) for one in root.iter() if _local(one.tag) == "table"]


def _table(element: Any) -> UserTable:
    name, rows, description = "", None, ""
    columns: list[str] = []
    indexed: list[str] = []
    for child in element:
        kind, text = _local(child.tag), " ".join((child.text or "").split())
        if kind == "name":
            name = text
        elif kind == "description":
            description = text
        elif kind == "nrows" and text.isdecimal() and len(text) < 19:
            rows = int(text)
        elif kind == "column":
            told = {_local(part.tag): (part.text or "").strip() for part in child if _local(part.tag) == "name"}
            flags = [(part.text or "").strip() for part in child if _local(part.tag) == "flag"]
            columns.append(_bare(told.get("name", "")))
            if "indexed" in flags:
                indexed.append(columns[-1])
    return UserTable(name, rows, tuple(columns), description, tuple(indexed))


def _bare(name: str) -> str:
    """A column's name without the quotes that a query needs."""
    is_delimited = len(name) > 2 and name.startswith('"') and name.endswith('"')
    return name[1:-1].replace('""', '"') if is_delimited else name


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


def with_end(table: UserTable, answer: requests.Response) -> UserTable:
    from dataclasses import replace

    try:
        return replace(table, ends=parsedate_to_datetime(answer.headers["sunset"]))
    except (KeyError, ValueError, TypeError):
        return table
