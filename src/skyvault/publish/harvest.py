"""Harvest another registry: its new, changed and deleted records since the last time, into the tables of ``rr``.

Pages are kept on disk as they come, with the registry's token for the next one; so a harvest that was stopped goes on
where it was. Only when all have come do they become rows, in one new snapshot beside the old: whoever queries sees
all of a harvest or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import Busy, Conflict, FormatError, UsageError
from skyvault.formats.oai_in import PAGE_LIMIT, OaiIdentity, OaiPage, read_identity, read_page
from skyvault.formats.voresource import to_the_second
from skyvault.publish.harvested_tables import Changes, merged
from skyvault.store.building import disk_faults
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.regtap_rows import harvest_addresses

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.model.ports import Progress
    from skyvault.net.client import HttpClient

#: seconds that are asked for again: clocks differ, and a record may become visible after its datestamp
OVERLAP_S: Final = 3600
#: pages of one list; a registry that gives more goes round in circles
MOST_PAGES: Final = 20_000
#: bytes of all pages of one harvest
MOST_BYTES: Final = 20_000_000_000
#: longest wait for one page, with all its retries
PAGE_S: Final = 900.0
LEASE_S: Final = 1_200.0
#: seconds after which records that a registry forgets to say are deleted are looked for, by a full harvest
FULL_AFTER_S: Final = 150 * 86_400
_MERGE_TRIES: Final = 10


@dataclass(slots=True)
class Harvested:
    """What one harvest brought. ``skipped`` tells (identifier, why) of the first records that were left out."""

    address: str
    name: str = ""
    #: whether the whole registry was read, not only what changed
    is_full: bool = False
    #: whether this went on where one before was stopped
    is_resumed: bool = False
    pages: int = 0
    records: int = 0
    deleted: int = 0
    skipped_count: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "name": self.name,
            "full": self.is_full,
            "resumed": self.is_resumed,
            "pages": self.pages,
            "records": self.records,
            "deleted": self.deleted,
            "skipped": self.skipped_count,
            "skipped_records": [{"identifier": one, "reason": why} for one, why in self.skipped],
            "seconds": round(self.seconds, 3),
        }


def harvest(
    address: str,
    settings: Settings | None = None,
    *,
    is_full: bool = False,
    only_its_own: bool = True,
    client: HttpClient | None = None,
    progress: Progress | None = None,
) -> Harvested:
    """Bring the records of the registry at ``address`` (the base URL of its OAI-PMH interface) up to date in ``rr``.

    The first time, with ``is_full``, and where the registry does not tell of deleted records, all are read; else what
    changed since. ``only_its_own``: not what it has harvested itself (set ``ivo_managed``). Records that are no
    VOResource, and those of authorities other registries (or we) have brought, are listed and left out.

    Raises UsageError for what is no address, Busy when another process harvests the same registry, FormatError when
    its answers are none, what :class:`~skyvault.net.client.HttpClient` raises, StoreError (disk full). What has come
    until then is kept, and the next harvest goes on.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration()
    address = _plain(address)
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    holder = f"harvest-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    duty = f"harvest {address}"
    with open_home_ledger(layout) as ledger:
        if not ledger.duties.take(duty, holder, LEASE_S):
            raise Busy(f"another process harvests {address} just now", hint="Wait for it.")
        own = client or _client(settings)
        try:
            work = _Harvest(
                address, settings, layout, ledger, own, progress, lambda: ledger.duties.take(duty, holder, LEASE_S)
            )
            return work.run(is_full=is_full, only_its_own=only_its_own)
        finally:
            if client is None:
                own.close()
            ledger.duties.give_back(duty, holder)


def publishers(address: str, settings: Settings | None = None, *, client: HttpClient | None = None) -> list[str]:
    """The base URLs of the registries that a registry of registries lists (Registry Interfaces 1.1, section 3.5).

    Raises what :func:`harvest` raises.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration()
    address = _plain(address)
    own = client or _client(settings)
    found: list[str] = []
    arguments = {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "set": "ivo_publishers"}
    try:
        for number in range(1, MOST_PAGES + 1):
            body = own.get(address, params=arguments, limit_bytes=PAGE_LIMIT, total_s=PAGE_S).body
            page = read_page(body, where=f"{address}, page {number}")
            if page.errors and {code for code, _ in page.errors} != {"noRecordsMatch"}:
                code, message = page.errors[0]
                raise FormatError(f"the registry does not list others: {message or code}", where=address)
            for record in page.records:
                if record.resource is not None and not record.is_deleted:
                    found += harvest_addresses(record.resource)
            if page.token is None:
                break
            arguments = {"verb": "ListRecords", "resumptionToken": page.token}
    finally:
        if client is None:
            own.close()
    return list(dict.fromkeys(found))


def forget(address: str, settings: Settings | None = None) -> int:
    """Take all records of a registry out of ``rr`` and know nothing of it any more; how many there were."""
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration()
    address = _plain(address)
    layout = Layout.of(settings).make()
    with open_home_ledger(layout) as ledger:
        work = _Harvest(address, settings, layout, ledger, None, None, lambda: True)
        gone = work.apply(Changes(address, settings.authority, [], is_full=True))
        ledger.registry.forget_harvest(address)
        shutil.rmtree(work.folder, ignore_errors=True)
    return gone.deleted


class _Harvest:
    """One harvest of one registry."""

    def __init__(
        self,
        address: str,
        settings: Settings,
        layout: Layout,
        ledger: Ledger,
        client: HttpClient | None,
        progress: Progress | None,
        renew: Any,
    ) -> None:
        self.address = address
        self.settings = settings
        self.layout = layout
        self.ledger = ledger
        self.client = client
        self.progress = progress
        self.renew = renew
        self.folder = layout.home / "harvest" / hashlib.sha256(address.encode()).hexdigest()[:20]

    def run(self, *, is_full: bool, only_its_own: bool) -> Harvested:
        began = time.perf_counter()
        state = self.ledger.registry.harvest_state(self.address)
        identity = self._identity()
        spool = self._begun()
        is_resumed = spool is not None and not (is_full and not spool["is_full"])
        if spool is None or not is_resumed:
            spool = self._plan(state, identity, is_full, only_its_own)
        done = Harvested(self.address, identity.name, spool["is_full"], is_resumed)
        if self.progress is not None:
            self.progress.start(f"Harvesting {identity.name or self.address}", None)
        try:
            self._fetch(spool)
            done.pages = spool["pages"]
            applied = self.apply(
                Changes(self.address, self.settings.authority, self._pages(spool), is_full=spool["is_full"])
            )
        finally:
            if self.progress is not None:
                self.progress.finish()
        done.records, done.deleted = applied.records, applied.deleted
        done.skipped_count, done.skipped = applied.skipped_count, applied.skipped
        done.seconds = time.perf_counter() - began
        kept = {
            "name": identity.name,
            "ivoid": identity.ivoid,
            "until": spool["until"],
            "full_at": spool["until"] if spool["is_full"] else state.get("full_at"),
            "only_its_own": spool["only_its_own"],
            "at": time.time(),
            "last": done.to_dict(),
        }
        self.ledger.registry.keep_harvest_state(self.address, kept)
        # the last act: until here the pages could have been applied again
        shutil.rmtree(self.folder, ignore_errors=True)
        return done

    # -- asking ----------------------------------------------------------------------------------------------------

    def _identity(self) -> OaiIdentity:
        return read_identity(self._ask({"verb": "Identify"}), where=self.address)

    def _ask(self, arguments: Mapping[str, str]) -> bytes:
        assert self.client is not None
        return self.client.get(self.address, params=arguments, limit_bytes=PAGE_LIMIT, total_s=PAGE_S).body

    def _plan(
        self, state: Mapping[str, Any], identity: OaiIdentity, is_full: bool, only_its_own: bool
    ) -> dict[str, Any]:
        """A new list: from when on, and with a clean folder for its pages."""
        until: float | None = state.get("until")
        is_full = (
            is_full
            or until is None
            or identity.keeps_deleted not in ("persistent", "transient")
            or state.get("only_its_own", True) != only_its_own
            # deletions of a registry that forgets them are found by reading all of it
            or (identity.keeps_deleted == "transient" and until - (state.get("full_at") or 0) > FULL_AFTER_S)
        )
        since = None
        if not is_full and until is not None:
            stamp = to_the_second(until - OVERLAP_S)
            since = stamp if identity.is_to_the_second else stamp[:10]
        spool = {"is_full": is_full, "from": since, "only_its_own": only_its_own, "until": None, "token": None,
                 "pages": 0, "bytes": 0, "is_complete": False}  # fmt: skip
        shutil.rmtree(self.folder, ignore_errors=True)
        with disk_faults(self.layout.home):
            self.folder.mkdir(parents=True)
            self._note(spool)
        return spool

    def _fetch(self, spool: dict[str, Any]) -> None:
        """All pages that have not come yet."""
        is_fresh = spool["pages"] == 0
        seen: set[str] = set()
        while not spool["is_complete"]:
            self.renew()
            arguments = self._arguments(spool)
            body = self._ask(arguments)
            page = read_page(body, where=f"{self.address}, page {spool['pages'] + 1}")
            codes = {code for code, _ in page.errors}
            if "badResumptionToken" in codes and not is_fresh:
                # the registry has forgotten where we were: the list begins anew, once
                is_fresh = True
                spool |= {"token": None, "pages": 0, "bytes": 0, "until": None}
                continue
            if codes & {"noSetHierarchy"} and spool["only_its_own"]:
                spool["only_its_own"] = False
                continue
            if page.errors and codes != {"noRecordsMatch"}:
                code, message = page.errors[0]
                raise FormatError(f"the registry refuses to list its records: {message or code}", where=self.address)
            if page.token is not None and page.token in seen:
                raise FormatError("the registry gives the same resumption token again", where=self.address)
            self._keep(spool, page, body)
            if page.token is not None:
                seen.add(page.token)
            if self.progress is not None:
                self.progress.advance(len(page.records))

    def _arguments(self, spool: Mapping[str, Any]) -> dict[str, str]:
        if spool["token"] is not None:
            return {"verb": "ListRecords", "resumptionToken": spool["token"]}
        arguments = {"verb": "ListRecords", "metadataPrefix": "ivo_vor"}
        if spool["from"] is not None:
            arguments["from"] = spool["from"]
        if spool["only_its_own"]:
            arguments["set"] = "ivo_managed"
        return arguments

    def _keep(self, spool: dict[str, Any], page: OaiPage, body: bytes) -> None:
        """Write the page down, and only then that it is there."""
        number = spool["pages"] + 1
        spool["bytes"] += len(body)
        if number > MOST_PAGES or spool["bytes"] > MOST_BYTES:
            raise FormatError(
                f"the registry's list has more than {MOST_PAGES:,} pages or {MOST_BYTES / 1e9:,.0f} GB",
                where=self.address,
            )
        with disk_faults(self.layout.home):
            _write(self.folder / f"page-{number:06}.xml", body)
            if spool["until"] is None:
                # the registry's own clock: what it changes from here on is asked for next time
                spool["until"] = page.date if page.date is not None else time.time()
            spool |= {"pages": number, "token": page.token, "is_complete": page.token is None}
            self._note(spool)

    # -- what lies on disk -----------------------------------------------------------------------------------------

    def _begun(self) -> dict[str, Any] | None:
        """What a harvest that was stopped has left."""
        try:
            spool: dict[str, Any] = json.loads((self.folder / "list.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return spool if spool["pages"] else None

    def _note(self, spool: Mapping[str, Any]) -> None:
        _write(self.folder / "list.json", json.dumps(spool).encode())

    def _pages(self, spool: Mapping[str, Any]) -> list[Path]:
        return [self.folder / f"page-{number:06}.xml" for number in range(1, spool["pages"] + 1)]

    # -- applying --------------------------------------------------------------------------------------------------

    def apply(self, changes: Changes) -> Changes:
        """Let the harvested snapshot be one with these changes; what others have harvested meanwhile stays."""
        from skyvault.publish.publisher import Publisher

        publisher = Publisher(self.layout, self.ledger.holdings, self.settings, None)
        for _ in range(_MERGE_TRIES):
            try:
                return merged(changes, publisher)
            except Conflict:
                continue
        raise Busy("the harvested records are being changed by others all the time")


def _client(settings: Settings) -> HttpClient:
    from skyvault.net.auth import Credentials
    from skyvault.net.client import Deadlines, HttpClient
    from skyvault.net.retry import RetryPolicy

    path = settings.credentials_file
    return HttpClient(
        credentials=None if path is None else Credentials.from_file(path),
        retries=RetryPolicy(settings.archive_attempts, settings.archive_backoff_s),
        deadlines=Deadlines(read_s=settings.archive_silence_s),
    )


def _plain(address: str) -> str:
    """The base URL without what a verb would add."""
    from skyvault.net.addresses import split_address

    address = address.strip().split("#")[0].rstrip("?&")
    if not address.startswith(("http://", "https://")) or "?verb=" in address.lower():
        raise UsageError(
            f"{address[:200]!r} is not the address of a registry",
            hint="Give the base URL of its OAI-PMH interface, such as https://dc.example/oai.",
        )
    # a password would be kept with what is known of the registry
    split_address(address)
    return address


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
