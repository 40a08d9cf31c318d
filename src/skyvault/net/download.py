"""One file from an archive to its place: resumed where it broke off, verified, unpacked, and then renamed."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2

from skyvault.errors import Cancelled, Conflict, StoreError
from skyvault.ledger.downloads import Downloads
from skyvault.net.addresses import host_of
from skyvault.net.client import HttpClient
from skyvault.net.content import HEAD_BYTES, refuse_cut_fits, refuse_wrong_start
from skyvault.net.faults import FetchError, Unreachable, WrongContent
from skyvault.net.partial import Part, PartState, new_state
from skyvault.net.remote_file import Checksum, Order, Packing, RemoteFile, digest_told
from skyvault.net.stopping import look, stopped_when
from skyvault.net.unpack import UnpackLimits, unpack

#: so many new bytes make a try a success, after which the retries count from one again
_PROGRESS_BYTES: Final = 64 * 1024
#: a file that changes so often while it is fetched, or a link signed so often in vain, is given up
_MAX_RESTARTS: Final = 3
#: how object stores answer to a signed link that is no longer valid; Google's says 400 ExpiredToken
_EXPIRED: Final = frozenset((400, 401, 403, 410))
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is at its place. ``received_bytes`` came over the network now, 0 where it was there already."""

    order: Order
    received_bytes: int
    sent_bytes: int
    was_there: bool
    tries: int
    seconds: float


class _Restart(Exception):
    """The bytes here are not those of the archive's present file; begin again."""


class Downloader:
    """Fetches single files through ``client``; rows go to ``ledger``, if given.

    ``on_bytes`` is told how many bytes of a file are here beyond what was told before, ``is_stopped`` is asked
    while it waits and after each block. Shared by threads.
    """

    def __init__(
        self,
        client: HttpClient,
        *,
        ledger: Downloads | None = None,
        on_bytes: Callable[[int], object] = lambda count: None,
        is_stopped: Callable[[], bool] = lambda: False,
        limits: UnpackLimits | None = None,
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.on_bytes = on_bytes
        self.is_stopped = is_stopped
        self.limits = limits

    def fetch(self, order: Order, *, refresh: bool = False, total_s: float | None = None) -> Fetched:
        """Bring the file to its place; nothing is done when it is there, unless ``refresh``.

        After any error, a kill included, the target is what it was before and ``NAME.part`` keeps what came.
        Raises Missing, Refused, WrongContent, FetchError (trying again is of no use), Unreachable (retries and
        ``total_s`` are used up), StoreError (disk), Conflict (another process fetches it), Cancelled.
        """
        try:
            with stopped_when(self.is_stopped):
                return self._fetch(order, refresh=refresh, total_s=total_s)
        except Cancelled as error:
            error.where = error.where or order.remote.name
            raise

    def _fetch(self, order: Order, *, refresh: bool, total_s: float | None) -> Fetched:
        begun = time.monotonic()
        if not refresh and self.is_whole(order):
            self._tidy(order)
            size = order.remote.size_bytes or (order.target.stat().st_size if order.target.is_file() else 0)
            self.on_bytes(order.remote.size_bytes or 0)
            return Fetched(order, 0, size, True, 0, time.monotonic() - begun)
        one = _One(self, order, self.client.deadline(total_s))
        with Part(order.target, order.remote.checksum) as part:
            one.complete(part)
            sent, etag = part.length, part.state.etag if part.state else None
            try:
                stored = self._place(part, order)
            except WrongContent:
                # damaged inside though whole outside: once more, it may have happened on the way
                one.complete(part)
                sent, etag = part.length, part.state.etag if part.state else None
                stored = self._place(part, order)
            self._record(order, sent, stored, etag)
            if order.remote.packing is not Packing.NONE:
                # last, so that after a kill before the row is written it is unpacked again and written
                part.discard()
        return Fetched(order, one.received, sent, False, one.tries, time.monotonic() - begun)

    def _record(self, order: Order, sent: int, stored: int | None, etag: str | None) -> None:
        if self.ledger is not None:
            self.ledger.record(
                order.target,
                address=order.remote.identity,
                bytes=sent,
                stored_bytes=stored,
                checksum=str(order.remote.checksum) if order.remote.checksum else None,
                etag=etag,
            )

    def _tidy(self, order: Order) -> None:
        """The file is there, but a process was killed between renaming it and its last act."""
        for ending in (".part", ".part.json"):
            if order.target.with_name(f"{order.target.name}{ending}").exists():
                with suppress(Conflict), Part(order.target, None) as part:
                    part.discard()
        if order.remote.packing is Packing.NONE and self.ledger is not None and self.ledger.find(order.target) is None:
            size = order.target.stat().st_size
            self._record(order, size, size, None)

    def is_whole(self, order: Order) -> bool:
        """Whether the target is the file that is wanted, as far as size, checksum and ledger can tell.

        A file gets its name only when it is whole, so one of which nothing is declared is taken to be so.
        """
        target, remote = order.target, order.remote
        row = self.ledger.find(target) if self.ledger is not None else None
        if remote.packing is not Packing.NONE and self.ledger is not None and row is None:
            part = target.with_name(f"{target.name}.part")
            if part.exists():
                return False
        if remote.packing is Packing.TAR:
            return target.is_dir()
        if not target.is_file():
            return False
        size = target.stat().st_size
        if row is not None and row.address == remote.identity and row.stored_bytes == size:
            declared = str(remote.checksum) if remote.checksum else row.checksum
            return row.checksum == declared and remote.size_bytes in (None, row.bytes)
        if row is not None and row.stored_bytes != size:
            # somebody changed it since
            return False
        if remote.packing is not Packing.NONE:
            return size > 0
        if remote.size_bytes is not None and size != remote.size_bytes:
            return False
        if remote.checksum is None:
            return True
        hasher = remote.checksum.hasher()
        with target.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        return bool(hasher.hexdigest() == remote.checksum.digest)

    def _place(self, part: Part, order: Order) -> int | None:
        if order.remote.packing is Packing.NONE:
            if order.target.is_dir():
                raise StoreError("there is a folder where the file shall be", where=str(order.target))
            if order.remote.verify is not None:
                try:
                    order.remote.verify(part.path)
                except WrongContent:
                    part.restart(None)
                    raise
            part.finish()
            return part.length
        try:
            return unpack(part.path, order.target, order.remote, self.limits)
        except WrongContent:
            part.restart(None)
            raise


class _One:
    """The tries for one file."""

    def __init__(self, downloader: Downloader, order: Order, deadline: float | None) -> None:
        self.client = downloader.client
        self.downloader = downloader
        self.remote: RemoteFile = order.remote
        self.deadline = deadline
        self.url = order.remote.url
        self.received = 0
        self.tries = 0
        self.signed = 0
        self.told = 0
        #: the checksum the last answer came with
        self.told_digest: Checksum | None = None
        #: answers the bytes were put together from; 0 when an earlier process began
        self.pieces = 0

    def complete(self, part: Part) -> None:
        """Go on until all bytes are there and right."""
        failures = restarts = 0
        best = part.length if part.can_resume(self.remote.identity) else 0
        while True:
            try:
                self._one_try(part)
                self._verify(part)
                return
            except _Restart as reason:
                part.restart(None)
                restarts += 1
                best = 0
                if restarts > _MAX_RESTARTS:
                    raise WrongContent(
                        f"{reason}, and so again {restarts} times", where=self.remote.name, hint="Try later."
                    ) from None
            except FetchError as error:
                error.where = self.remote.name
                raise
            except Unreachable as error:
                if part.length >= best + _PROGRESS_BYTES:
                    best, failures = part.length, 0
                failures += 1
                kept = f"{part.length:,} bytes are kept; fetch again to go on." if part.length else error.hint
                told = Unreachable(error.what, where=self.remote.name, hint=kept, retry_after_s=error.retry_after_s)
                self.client.pause(
                    told,
                    failures,
                    host_of(self.url),
                    deadline=self.deadline,
                )

    # -- a try ----------------------------------------------------------------------------------------------------

    def _one_try(self, part: Part) -> None:
        offset = part.length if part.can_resume(self.remote.identity) else 0
        state = part.state
        if offset and state is not None and offset == state.total_bytes:
            self._tell(part)
            return
        headers = {"Accept-Encoding": "identity"}
        if offset and state is not None:
            headers["Range"] = f"bytes={offset}-"
            if state.validator is not None:
                headers["If-Range"] = state.validator
        self.tries += 1
        with self.client.open(
            "GET", self.url, headers=headers, credential=self.remote.credential, deadline=self.deadline
        ) as response:
            if response.status_code in _EXPIRED and self.remote.sign is not None and self.signed < _MAX_RESTARTS:
                signed = True
            else:
                signed = False
                total = self._begin(response, part, offset)
                self._read(response, part, total)
        if signed:
            self.signed += 1
            self.url = self.remote.sign() if self.remote.sign else self.url
            self._one_try(part)

    def _begin(self, response: httpx2.Response, part: Part, offset: int) -> int | None:
        """Look at the answer's head and make the part ready for its body; the file's whole length, None: unknown."""
        status = response.status_code
        if status == 416 and offset:
            raise _Restart("the archive has no such part of the file any more")
        self.client.refuse_fault(response, self.url)
        self._refuse_coding(response)
        state = _state_of(response, self.remote.identity)
        if status == 206:
            first, total = _content_range(response)
            if not offset or first != offset:
                raise _Restart("the archive sends another part of the file than was asked for")
            known = part.state
            if known is None or _is_other(known, state) or (known.total_bytes or total) != total:
                raise _Restart("the file changed at the archive while it was fetched")
            self.pieces = max(self.pieces, 1) + 1
        elif status == 200:
            total = state.total_bytes
            part.restart(state)
            self.pieces = 1
        else:
            raise WrongContent(f"the archive answers {status} where a file was expected", where=self.remote.name)
        self.signed = 0
        self.told_digest = digest_told(response.headers, is_whole=status == 200)
        wanted = self.remote.size_bytes
        if wanted is not None and total is not None and total != wanted:
            head = next(self.client.blocks(response, self.url), b"")[:HEAD_BYTES]
            part.restart(None)
            if head:
                refuse_wrong_start(head, self.remote)
            raise WrongContent(
                f"the file should have {wanted:,} bytes, but the archive sends one of {total:,}", where=self.remote.name
            )
        self._refuse_full_disk(part, total)
        return total

    def _refuse_coding(self, response: httpx2.Response) -> None:
        """Some servers call a packed file's own packing a coding of the transfer; no other was asked for."""
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        own = {
            Packing.GZIP: ("gzip", "x-gzip"),
            Packing.COMPRESS: ("compress", "x-compress"),
            Packing.TAR: ("gzip", "x-gzip"),
        }.get(self.remote.packing, ())
        is_named_so = self.remote.identity.partition("?")[0].endswith((".gz", ".tgz", ".Z"))
        if coding not in ("identity", "", *own) and not (is_named_so and "gzip" in coding):
            raise WrongContent(f"the archive sends the file in the coding {coding!r}, unasked", where=self.remote.name)

    def _refuse_full_disk(self, part: Part, total: int | None) -> None:
        if total is None:
            return
        missing = total - part.length
        free = shutil.disk_usage(part.path.parent).free
        if missing > free:
            raise StoreError(
                f"the disk is too full: {missing:,} bytes are to come and {free:,} are free",
                where=str(part.target),
                hint="Make room and fetch again: what has come is kept and not fetched twice.",
            )

    def _read(self, response: httpx2.Response, part: Part, total: int | None) -> None:
        most = total if total is not None else self.remote.size_bytes
        is_looked_at = part.length >= HEAD_BYTES
        self._tell(part)
        for block in self.client.blocks(response, self.url, deadline=self.deadline):
            self.received += len(block)
            part.append(block)
            if most is not None and part.length > most:
                part.restart(None)
                raise WrongContent(
                    f"the archive sends more than the {most:,} bytes of the file", where=self.remote.name
                )
            if not is_looked_at and part.length >= HEAD_BYTES:
                self._look(part)
                is_looked_at = True
            self._tell(part)
            look()
        if total is not None and part.length < total:
            raise Unreachable(f"the connection ended after {part.length:,} of {total:,} bytes", where=self.remote.name)

    def _tell(self, part: Part) -> None:
        """Progress never goes back: a file that begins again is counted when it is further than before."""
        if part.length > self.told:
            self.downloader.on_bytes(part.length - self.told)
            self.told = part.length

    # -- at the end -----------------------------------------------------------------------------------------------

    def _look(self, part: Part) -> None:
        try:
            refuse_wrong_start(part.head(HEAD_BYTES), self.remote)
        except WrongContent:
            part.restart(None)
            raise

    def _verify(self, part: Part) -> None:
        remote = self.remote
        self._look(part)
        if remote.size_bytes is not None and part.length != remote.size_bytes:
            length = part.length
            part.restart(None)
            raise WrongContent(
                f"the file should have {remote.size_bytes:,} bytes, but {length:,} came", where=remote.name
            )
        if remote.checksum is not None and (digest := part.digest()) != remote.checksum.digest:
            part.restart(None)
            if self.pieces != 1:
                # two halves that do not belong together, or a disk that forgot something: once more from the start
                raise _Restart("the checksum is wrong")
            raise WrongContent(
                f"the {remote.checksum.algorithm} checksum is {digest}, but the archive gives {remote.checksum.digest}",
                where=remote.name,
                hint="The file, or the archive's list of checksums, is damaged; try later or tell the archive.",
            )
        if remote.checksum is None and self.told_digest is not None and not _agrees(part, self.told_digest):
            part.restart(None)
            raise _Restart(f"the {self.told_digest.algorithm} checksum the archive sends along is another")
        is_plain_fits = remote.content == "fits" and remote.packing is Packing.NONE
        nothing_known = remote.size_bytes is None and remote.checksum is None
        if is_plain_fits and nothing_known and (part.state is None or part.state.total_bytes is None):
            try:
                refuse_cut_fits(part.length, remote)
            except WrongContent:
                part.restart(None)
                raise


def _agrees(part: Part, told: Checksum) -> bool:
    """Whether the bytes here have the checksum."""
    hasher = told.hasher()
    with part.path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return bool(hasher.hexdigest() == told.digest)


def _state_of(response: httpx2.Response, identity: str) -> PartState:
    """What an answer says of its file: only validators that are strong (RFC 9110 section 8.8.1)."""
    etag = response.headers.get("etag")
    etag = etag.strip() if etag else None
    if etag is None or not re.fullmatch(r'"[\x21\x23-\x7e]*"', etag):
        etag = None
    return new_state(identity, etag, _strong_date(response), _length(response))


def _strong_date(response: httpx2.Response) -> str | None:
    """Last-Modified where the file was not changed in the second in which it was sent (RFC 9110 section 8.8.2.2)."""
    text, date = response.headers.get("last-modified"), response.headers.get("date")
    try:
        if text is None or not text.isascii() or not text.isprintable():
            return None
        modified = parsedate_to_datetime(text)
        if date is not None and (parsedate_to_datetime(date) - modified).total_seconds() < 1:
            return None
    except (ValueError, TypeError):
        return None
    return text


def _is_other(known: PartState, now: PartState) -> bool:
    """Whether a server that should have looked at If-Range sends a part of another version all the same."""
    pairs = ((known.etag, now.etag), (known.last_modified, now.last_modified))
    return any(before is not None and after is not None and before != after for before, after in pairs)


def _length(response: httpx2.Response) -> int | None:
    text: Any = response.headers.get("content-length")
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def _content_range(response: httpx2.Response) -> tuple[int | None, int | None]:
    """(first byte, whole length) of a 206; (None, None) for several ranges or a header that cannot be read."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if match is None or match[1] is None:
        return None, None
    return int(match[1]), None if match[3] == "*" else int(match[3])
