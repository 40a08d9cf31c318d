"""A table on its way to a service: in pieces that go on where a connection broke, each told as it is sent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import quote

import requests

from skyvault.errors import Conflict, NotFound, SkyvaultError, UsageError
from skyvault.find.faults import ServiceFault, ServiceUnreachable, WrongAnswer
from skyvault.find.user_table_answers import json_of
from skyvault.net.addresses import shown_address

if TYPE_CHECKING:
    from skyvault.find.user_tables import UserTables
    from skyvault.model.ports import Progress

#: bytes sent at a time, and held in memory
PIECE_BYTES: Final = 8 << 20
#: breaks in a row, without a byte coming through between them, after which an upload is given up for now
MOST_BREAKS: Final = 8
#: how long one answer may take while the service makes a table; it is asked again afterwards
_MAKING_S: Final = 120.0
#: how long a service may take to make a table
MADE_WITHIN_S: Final = 7200.0


class Sending:
    """One upload in pieces."""

    def __init__(
        self,
        tables: UserTables,
        name: str,
        file: IO[bytes],
        kind: str,
        form: dict[str, str],
        progress: Progress | None,
    ) -> None:
        self.tables = tables
        self.name = name
        self.file = file
        self.kind = kind
        self.form = form
        self.progress = progress
        self.length = file.seek(0, 2)
        if not self.length:
            raise UsageError("the file is empty")
        file.seek(0)
        self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def in_pieces(self, resume: bool) -> bool:
        """Send all and have the table made; False when the service knows no pieces."""
        top = self.tables._place(self.name, "uploads")
        place = self._earlier(top) if resume else None
        if place is None:
            form = {"LENGTH": str(self.length), "SHA256": self.sha256, "TYPE": self.kind, **self.form}
            try:
                answer = self.tables._ask("POST", top, data=form)
            except (ServiceFault, NotFound) as fault:
                is_unknown = isinstance(fault, ServiceFault) and fault._code in (404, 405, 501)
                if is_unknown or (isinstance(fault, NotFound) and "APPEND" not in form):
                    return False
                raise
            identity = json_of(answer).get("id") if answer.status_code == 201 else None
            if not isinstance(identity, str):
                return False
            place = f"{top}/{quote(identity, safe='')}"
        with told_while(self.progress, f"Sending {self.name}", self.length) as advance:
            self._pieces(place, advance)
        if self.progress is not None:
            self.progress.start(f"Making {self.name}")
        try:
            self._finish(place)
        finally:
            if self.progress is not None:
                self.progress.finish()
        return True

    def _earlier(self, top: str) -> str | None:
        """The address of an upload of these very bytes that broke off."""
        if not self.tables._session.has_token:
            return None
        try:
            listed = json_of(self.tables._ask("GET", top))
        except (SkyvaultError, requests.RequestException):
            return None
        for one in listed if isinstance(listed, list) else ():
            same = one.get("sha256") == self.sha256 and one.get("length") == self.length
            if same and bool(one.get("append")) == ("APPEND" in self.form):
                return f"{top}/{quote(str(one.get('id')), safe='')}"
        return None

    def _pieces(self, place: str, advance: Callable[[int], None]) -> None:
        here, told, breaks = self._received(place), 0, 0
        while here < self.length:
            advance(here - told)
            told = here
            self.file.seek(here)
            piece = self.file.read(PIECE_BYTES)
            said_range = f"bytes {here}-{here + len(piece) - 1}/{self.length}"
            try:
                self.tables._ask("PUT", place, data=piece, headers={"Content-Range": said_range})
                now = here + len(piece)
            except (Conflict, ServiceUnreachable) as fault:
                # it broke off, or an earlier try of this piece came through after all
                now = self._received(place)
                breaks = 0 if now > here else breaks + 1
                if breaks >= MOST_BREAKS or now < here:
                    raise ServiceUnreachable(
                        f"the upload broke off after {now:,} of {self.length:,} bytes",
                        where=shown_address(place),
                        hint="Send the same table again: it goes on from there.",
                    ) from fault
                # the service may not know yet that the earlier connection is gone
                time.sleep(0.0 if now > here else min(5.0, 0.1 * 2.0**breaks))
            here = now
        advance(self.length - told)

    def _received(self, place: str) -> int:
        told = json_of(self.tables._ask("GET", place)).get("received")
        if not isinstance(told, int) or not 0 <= told <= self.length:
            raise WrongAnswer("the service does not say how much has arrived", where=shown_address(place))
        return told

    def _finish(self, place: str) -> None:
        session = self.tables._session
        deadline = session.clock() + MADE_WITHIN_S
        while True:
            try:
                with session.within(_MAKING_S):
                    self.tables._ask("POST", place)
                return
            except ServiceUnreachable:
                # it is at work on it, or the answer was lost: asked again, it says the same
                if session.clock() > deadline:
                    raise
                state = json_of(self.tables._ask("GET", place)).get("state")
                if state not in ("making", "done", "receiving"):
                    raise


class Counted:
    """A file that tells how much of it was sent."""

    def __init__(self, file: IO[bytes], length: int, advance: Callable[[int], None]) -> None:
        self._file = file
        self._length = length
        self._advance = advance

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._advance(len(piece))
        return piece


@contextmanager
def told_while(progress: Progress | None, what: str, total: int) -> Iterator[Callable[[int], None]]:
    if progress is None:
        yield lambda by: None
        return
    progress.start(what, total)
    try:
        yield progress.advance
    finally:
        progress.finish()
