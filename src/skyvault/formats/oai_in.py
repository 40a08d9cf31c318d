"""Answers of other registries (OAI-PMH 2.0): what a page holds, whether the list goes on, what was refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element

from skyvault.errors import FormatError
from skyvault.formats.xml_text import read_small

#: bytes of a page; real ones have a few megabytes
PAGE_LIMIT: Final = 48_000_000
#: characters of an identifier or a resumption token
_LONGEST: Final = 10_000


@dataclass(frozen=True, slots=True)
class OaiRecord:
    """One record of a list. ``identifier`` is in lower case; ``resource`` is None when there is no VOResource in it."""

    identifier: str
    datestamp: str
    is_deleted: bool
    resource: Element | None


@dataclass(frozen=True, slots=True)
class OaiPage:
    """One answer. ``date`` is the registry's own clock (seconds since 1970, None: not told); ``errors`` are pairs of
    (code, message); ``token`` continues the list, None: it is complete.
    """

    date: float | None
    records: tuple[OaiRecord, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    token: str | None = None


@dataclass(frozen=True, slots=True)
class OaiIdentity:
    """What a registry says of itself. ``keeps_deleted`` is persistent, transient or no; ``is_to_the_second``: its
    datestamps are."""

    name: str
    ivoid: str | None
    keeps_deleted: str
    is_to_the_second: bool
    page: OaiPage = field(default_factory=lambda: OaiPage(None))


def read_page(document: bytes, *, where: str) -> OaiPage:
    """Read a ListRecords answer. Raises FormatError when it is none."""
    return _page(_root(document, where))


def read_identity(document: bytes, *, where: str) -> OaiIdentity:
    """Read an Identify answer. Raises FormatError when it is none."""
    root = _root(document, where)
    identify = _child(root, "Identify")
    page = _page(root)
    if identify is None:
        said = "; ".join(message or code for code, message in page.errors) or "no Identify in it"
        raise FormatError(f"the registry does not say who it is ({said[:200]})", where=where)
    if (_text(identify, "protocolVersion") or "2.0") != "2.0":
        raise FormatError(f"the registry speaks OAI-PMH {_text(identify, 'protocolVersion')}, not 2.0", where=where)
    resource = next((one for one in identify.iter() if _local(one) == "Resource"), None)
    return OaiIdentity(
        _text(identify, "repositoryName") or "",
        None if resource is None else _text(resource, "identifier"),
        (_text(identify, "deletedRecord") or "no").lower(),
        "hh" in (_text(identify, "granularity") or "").lower(),
        page,
    )


def _root(document: bytes, where: str) -> Element:
    try:
        root = read_small(document, limit=PAGE_LIMIT)
    except FormatError as error:
        raise FormatError(f"the registry's answer cannot be read: {error.what}", where=where) from None
    if _local(root) != "OAI-PMH":
        raise FormatError(
            f"this is no registry's answer: its root is <{_local(root)[:40]}>, not <OAI-PMH>",
            where=where,
            hint="Is this the address of an OAI-PMH interface?",
        )
    return root


def _page(root: Element) -> OaiPage:
    errors = tuple(
        (one.get("code", "")[:100], " ".join((one.text or "").split())[:300]) for one in root if _local(one) == "error"
    )
    listed = _child(root, "ListRecords")
    records: list[OaiRecord] = []
    token = None
    for one in listed if listed is not None else ():
        if _local(one) == "record":
            records.append(_record(one))
        elif _local(one) == "resumptionToken":
            token = (one.text or "").strip() or None
    if token is not None and len(token) > _LONGEST:
        raise FormatError(f"the registry's resumption token has {len(token):,} characters")
    return OaiPage(_instant(_text(root, "responseDate")), tuple(records), errors, token)


def _record(record: Element) -> OaiRecord:
    header = _child(record, "header")
    metadata = _child(record, "metadata")
    resource = None
    if metadata is not None:
        resource = next((one for one in metadata if _local(one) == "Resource"), None)
    return OaiRecord(
        (_text(header, "identifier") or "")[:_LONGEST].lower(),
        _text(header, "datestamp") or "",
        header is not None and header.get("status") == "deleted",
        resource,
    )


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _child(element: Element, name: str) -> Element | None:
    return next((one for one in element if _local(one) == name), None)


def _text(element: Element | None, name: str) -> str | None:
    found = None if element is None else _child(element, name)
    return None if found is None else " ".join((found.text or "").split()) or None


def _instant(text: str | None) -> float | None:
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
