"""The publishing registry: records of what is published, by OAI-PMH 2.0 as Registry Interfaces 1.1 wants it.

All six verbs; formats ``ivo_vor`` and ``oai_dc``; one set, ``ivo_managed``. Withdrawn records stay as deleted ones. A
resumption token says itself where the list goes on, and is signed: any process can continue what another began.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.formats.voresource import to_the_second
from skyvault.formats.xml_text import attributes, element, read_small
from skyvault.serve.faults import guarded
from skyvault.serve.oai_dublin_core import dublin_core
from skyvault.serve.params import read_form
from skyvault.serve.registry_records import refresh
from skyvault.store.registry_shelf import BASE

if TYPE_CHECKING:
    from skyvault.ledger.registry import KeptRecord
    from skyvault.serve.service import Service

OAI: Final = "http://www.openarchives.org/OAI/2.0/"
CONTENT_TYPE: Final = "text/xml; charset=UTF-8"
SET: Final = "ivo_managed"
#: bytes of records after which a page ends, however few they are
PAGE_BYTES: Final = 4_000_000

#: prefix -> (schema, namespace)
FORMATS: Final = {
    "ivo_vor": (
        "http://www.ivoa.net/xml/RegistryInterface/v1.0",
        "http://www.ivoa.net/xml/RegistryInterface/v1.0",
    ),
    "oai_dc": (
        "http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
        "http://www.openarchives.org/OAI/2.0/oai_dc/",
    ),
}
#: verb -> (arguments it needs, arguments it may have, the argument that stands alone)
_VERBS: Final[Mapping[str, tuple[frozenset[str], frozenset[str], str | None]]] = {
    "Identify": (frozenset(), frozenset(), None),
    "ListMetadataFormats": (frozenset(), frozenset({"identifier"}), None),
    "ListSets": (frozenset(), frozenset(), "resumptionToken"),
    "GetRecord": (frozenset({"identifier", "metadataPrefix"}), frozenset(), None),
    "ListIdentifiers": (frozenset({"metadataPrefix"}), frozenset({"from", "until", "set"}), "resumptionToken"),
    "ListRecords": (frozenset({"metadataPrefix"}), frozenset({"from", "until", "set"}), "resumptionToken"),
}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SECOND: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_PURPOSE: Final = "oai"
#: characters of a resumption token that is looked at
_LONGEST_TOKEN: Final = 2_000
_MAIL: Final = re.compile(r"[^\s@<>]+@([^\s@<>.]+\.)+[^\s@<>.]+")


class OaiError(Exception):
    """What a request is refused for, in the words of the protocol (OAI-PMH 2.0, section 3.6)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records a list has: by prefix and datestamp, and from where on it goes (the last record sent, how many)."""

    prefix: str
    since: int | None
    until: int
    after: tuple[int, str] | None = None
    sent: int = 0


class Oai:
    """The OAI-PMH endpoint of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.registry = service.store.ledger.registry

    def routes(self) -> list[Route]:
        return [Route("/oai", guarded()(self.answer), methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        async with await read_form(request) as form:
            pairs = list(form.pairs)
        base = self.service.base_url(request)
        body = await self.service.in_thread(self._document, pairs, base)
        headers = {"content-type": CONTENT_TYPE, "cache-control": "no-cache", "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(gzip.compress(body, 5), headers={**headers, "content-encoding": "gzip"})
        return Response(body, headers=headers)

    def _document(self, pairs: Sequence[tuple[str, str]], base: str) -> bytes:
        self.refresh()
        # what changes from here on has this datestamp or a later one, and is had when one asks from here on again
        now = int(time.time())
        said: dict[str, str] = {}
        try:
            verb, arguments = _request(pairs)
            said = {"verb": verb, **arguments}
            content = self._content(verb, arguments, now)
        except OaiError as error:
            # only then may the request's own arguments be repeated (OAI-PMH 2.0, section 3.2)
            if error.code in ("badVerb", "badArgument"):
                said = {}
            content = element("error", str(error), ("code", error.code)) + "\n"
        head = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<OAI-PMH xmlns="{OAI}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            f' xsi:schemaLocation="{OAI} {OAI}OAI-PMH.xsd">\n'
            f"<responseDate>{to_the_second(now)}</responseDate>\n"
            f"<request{attributes(said.items())}>{base}/oai</request>\n"
        )
        return f"{head}{content}</OAI-PMH>\n".replace(BASE, base).encode()

    def refresh(self) -> None:
        """Let the records be those of what is published now."""
        store = self.service.store
        refresh(store.view(), store.ledger, self.service.settings, store.view)

    def _content(self, verb: str, arguments: Mapping[str, str], now: int) -> str:
        if verb == "Identify":
            return self._identify()
        if verb == "ListMetadataFormats":
            if "identifier" in arguments:
                self._known(arguments["identifier"])
            formats = "".join(
                f"<metadataFormat>{element('metadataPrefix', prefix)}{element('schema', schema)}"
                f"{element('metadataNamespace', namespace)}</metadataFormat>\n"
                for prefix, (schema, namespace) in FORMATS.items()
            )
            return f"<ListMetadataFormats>\n{formats}</ListMetadataFormats>\n"
        if verb == "ListSets":
            if "resumptionToken" in arguments:
                raise OaiError("badResumptionToken", "the list of sets is complete without one")
            sets = f"<set>{element('setSpec', SET)}{element('setName', 'Records that begin in this registry')}</set>\n"
            return f"<ListSets>\n{sets}</ListSets>\n"
        if verb == "GetRecord":
            record = self._known(arguments["identifier"])
            prefix = _prefix(arguments["metadataPrefix"])
            return f"<GetRecord>\n{_record(record, prefix)}</GetRecord>\n"
        selection = self._selection(verb, arguments, now)
        return self._list(verb, selection)

    def _known(self, identifier: str) -> KeptRecord:
        record = self.registry.get(identifier)
        if record is None:
            raise OaiError("idDoesNotExist", f"there is no record {identifier[:200]!r} here")
        return record

    def _identify(self) -> str:
        settings = self.service.settings
        earliest = self.registry.earliest()
        contact = settings.contact or ""
        own = self.registry.get(f"ivo://{settings.authority}/registry")
        return "".join(
            (
                "<Identify>\n",
                element("repositoryName", f"{settings.publisher or settings.authority} registry"),
                element("baseURL", f"{BASE}/oai"),
                element("protocolVersion", "2.0"),
                element("adminEmail", contact if _MAIL.fullmatch(contact) else f"registry@{_host(settings.authority)}"),
                element("earliestDatestamp", to_the_second(earliest or 0)),
                element("deletedRecord", "persistent"),
                element("granularity", "YYYY-MM-DDThh:mm:ssZ"),
                element("compression", "gzip"),
                "\n",
                f"<description>\n{own.document}</description>\n" if own is not None else "",
                "</Identify>\n",
            )
        )

    # -- lists -----------------------------------------------------------------------------------------------------

    def _selection(self, verb: str, arguments: Mapping[str, str], now: int) -> Selection:
        if "resumptionToken" in arguments:
            return self._resumed(verb, arguments["resumptionToken"])
        prefix = _prefix(arguments["metadataPrefix"])
        since, until = arguments.get("from"), arguments.get("until")
        if since is not None and until is not None and len(since) != len(until):
            raise OaiError("badArgument", "from and until are not of the same granularity")
        first = None if since is None else _instant("from", since)
        last = now if until is None else _instant("until", until, is_end=True)
        if first is not None and until is not None and first > last:
            raise OaiError("badArgument", "from is later than until")
        if arguments.get("set", SET) != SET:
            raise OaiError("noRecordsMatch", f"there is no set {arguments['set'][:100]!r}; there is {SET}")
        return Selection(prefix, first, min(last, now))

    def _list(self, verb: str, selection: Selection) -> str:
        size = self.service.settings.oai_page_records
        records = self.registry.listed(
            since=selection.since, until=selection.until, after=selection.after, limit=size + 1
        )
        if not records:
            raise OaiError("noRecordsMatch", "no record changed in this time")
        parts: list[str] = []
        length = 0
        for record in records[:size]:
            if length > PAGE_BYTES:
                break
            parts.append(_header(record) if verb == "ListIdentifiers" else _record(record, selection.prefix))
            length += len(parts[-1])
        token = ""
        has_more = len(records) > len(parts)
        if has_more or selection.sent:
            # the last part of a list that came in parts has an empty one (OAI-PMH 2.0, section 3.5)
            last = records[len(parts) - 1]
            following = Selection(
                selection.prefix,
                selection.since,
                selection.until,
                (last.datestamp, last.key),
                selection.sent + len(parts),
            )
            total = self.registry.count(since=selection.since, until=selection.until)
            token = element(
                "resumptionToken",
                self._token(verb, following) if has_more else "",
                ("completeListSize", max(total, selection.sent + len(parts))),
                ("cursor", selection.sent),
            )
        return f"<{verb}>\n{''.join(parts)}{token}</{verb}>\n"

    def _token(self, verb: str, selection: Selection) -> str:
        stamp, key = selection.after or (0, "")
        said = [verb, selection.prefix, selection.since, selection.until, stamp, key, selection.sent]
        text = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{text}.{self.service.accounts.keys.sign(_PURPOSE, text)}"

    def _resumed(self, verb: str, token: str) -> Selection:
        text, _, signature = token.partition(".")
        wrong = OaiError("badResumptionToken", "this token is not one of ours, or no longer good; begin the list anew")
        if len(token) > _LONGEST_TOKEN or not self.service.accounts.keys.is_signed(_PURPOSE, text, signature):
            raise wrong
        try:
            said: list[Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            whose, prefix, since, until, stamp, key, sent = said
        except (ValueError, binascii.Error):
            raise wrong from None
        if whose != verb:
            raise OaiError("badResumptionToken", f"this token is for {whose}")
        return Selection(prefix, since, until, (stamp, key), sent)


def _request(pairs: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """The verb and its arguments. Raises OaiError for what the protocol forbids."""
    verbs = [value for name, value in pairs if name == "verb"]
    if len(verbs) != 1:
        raise OaiError("badVerb", "the verb is missing" if not verbs else "the verb is repeated")
    verb = verbs[0]
    if verb not in _VERBS:
        raise OaiError("badVerb", f"there is no verb {verb[:60]!r}; there are {', '.join(_VERBS)}")
    needed, possible, alone = _VERBS[verb]
    arguments: dict[str, str] = {}
    for name, value in pairs:
        if name == "verb":
            continue
        if name in arguments:
            raise OaiError("badArgument", f"{name[:60]} is repeated")
        if name not in needed | possible and name != alone:
            raise OaiError("badArgument", f"{verb} has no argument {name[:60]!r}")
        arguments[name] = value
    if alone is not None and alone in arguments:
        if len(arguments) > 1:
            raise OaiError("badArgument", f"{alone} stands alone")
        return verb, arguments
    missing = sorted(name for name in needed if not arguments.get(name))
    if missing:
        raise OaiError("badArgument", f"{verb} needs {' and '.join(missing)}")
    return verb, arguments


def _prefix(prefix: str) -> str:
    if prefix not in FORMATS:
        raise OaiError("cannotDisseminateFormat", f"there is no format {prefix[:60]!r}; there are {', '.join(FORMATS)}")
    return prefix


def _instant(name: str, text: str, *, is_end: bool = False) -> int:
    try:
        if _DAY.fullmatch(text):
            begin = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
            return begin + 86_399 if is_end else begin
        if _SECOND.fullmatch(text):
            return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        pass
    raise OaiError("badArgument", f"{name}={text[:40]!r} is no date such as 2026-01-31 or 2026-01-31T12:00:00Z")


def _header(record: KeptRecord) -> str:
    return (
        f"<header{attributes([('status', 'deleted' if record.is_deleted else None)])}>"
        f"{element('identifier', record.key)}{element('datestamp', to_the_second(record.datestamp))}"
        f"{element('setSpec', SET)}</header>\n"
    )


def _record(record: KeptRecord, prefix: str) -> str:
    if record.is_deleted:
        return f"<record>{_header(record)}</record>\n"
    document = record.document
    if prefix == "oai_dc":
        document = dublin_core(read_small(document.encode(), limit=64_000_000))
    return f"<record>{_header(record)}<metadata>\n{document}</metadata></record>\n"


def _host(authority: str) -> str:
    """Something an address of mail may end with."""
    return authority if "." in authority else f"{authority}.invalid"
