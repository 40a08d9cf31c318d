"""Your own tables at a TAP service: ``service.user_tables.upload(table, "mine")``, queried as ``tap_user.mine``.

The dialect is GAVO's, ``{tap}/user_tables/NAME``. Where the service takes a table in pieces, as this project's does, an
upload goes on where a connection broke, also in another process; elsewhere it is one PUT of a VOTable.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests

from skyvault.errors import (
    Conflict,
    Forbidden,
    NotFound,
    ParameterError,
    QuotaError,
    SkyvaultError,
    TooLarge,
    UsageError,
)
from skyvault.find.faults import ServiceFault, ServiceUnreachable, WrongAnswer
from skyvault.find.results import refuse_fault
from skyvault.find.session import document
from skyvault.find.user_table_bytes import VOTABLE, bytes_of
from skyvault.net.addresses import shown_address
from skyvault.net.faults import said

if TYPE_CHECKING:
    from skyvault.find.session import ArchiveSession
    from skyvault.model.ports import Progress

#: bytes sent at a time, and held in memory
PIECE_BYTES: Final = 8 << 20
#: breaks in a row, without a byte coming through between them, after which an upload is given up for now
MOST_BREAKS: Final = 8
#: how long one answer may take while the service makes a table; it is asked again afterwards
_MAKING_S: Final = 120.0
#: how long a service may take to make a table
MADE_WITHIN_S: Final = 7200.0
_ANSWER_BYTES: Final = 64 << 20
_KINDS: Final[Mapping[int, type[SkyvaultError]]] = {
    400: ParameterError,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    507: QuotaError,
}


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


class UserTables:
    """The tables of whoever the session's token belongs to; without one, those of the service's shared space.

    Every method raises ServiceUnreachable when the service does not answer, Forbidden, NotFound, Conflict, QuotaError,
    TooLarge and ParameterError with the service's own words, and ServiceFault for everything else it may say.
    """

    def __init__(self, base_url: str, session: ArchiveSession) -> None:
        self.address = f"{base_url.rstrip('/')}/user_tables"
        self._session = session

    # ------------------------------------------------------------ looking

    def list(self) -> list[UserTable]:
        """One's own tables and those one was given. Needs a login."""
        return _tables_of(self._ask("GET", self.address))

    def get(self, name: str) -> UserTable:
        """One table, with the time of its end."""
        answer = self._ask("GET", self._place(name))
        found = _tables_of(answer)
        if not found:
            raise WrongAnswer("the answer describes no table", where=shown_address(self.address))
        return _with_end(found[0], answer)

    def __iter__(self) -> Iterator[UserTable]:
        return iter(self.list())

    def __contains__(self, name: object) -> bool:
        try:
            self.get(str(name))
        except NotFound:
            return False
        return True

    def shares(self, name: str) -> tuple[dict[str, Any], ...]:
        """Who else may read it: kind ("user", "group", "link"), name, since."""
        return tuple(_json(self._ask("GET", self._place(name, "shares"))))

    def download(self, name: str, path: str | Path | None = None, *, format: str | None = None) -> Any:
        """All rows: an astropy Table, or, with ``path``, that file in the format of its suffix (or ``format``).

        The file appears when it is whole.
        """
        from skyvault.formats.registry import format_of_suffix

        if path is None:
            from pyvo.dal import DALResults

            from skyvault.find.results import Results

            answer = self._ask("GET", self._place(name, "rows"), params={"RESPONSEFORMAT": format or "votable/b2"})
            with document(answer) as file:
                found: DALResults = Results.read(file, url=self.address, session=self._session)
                return found.to_table()
        target = Path(path)
        wanted = format or format_of_suffix(target)
        answer = self._ask("GET", self._place(name, "rows"), params={"RESPONSEFORMAT": wanted})
        partial = target.with_name(f".{target.name}.part")
        try:
            with document(answer) as file, partial.open("wb") as out:
                shutil.copyfileobj(file, out, 1 << 20)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    # ------------------------------------------------------------ sending

    def upload(
        self,
        table: Any,
        name: str,
        *,
        position: tuple[str, str] | None = None,
        replace: bool = True,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> UserTable:
        """Keep a table (astropy, pandas, pyarrow, or the path of a file) under this name; seen when it is whole.

        ``position`` names the columns of longitude and latitude in degrees where UCDs and names do not tell.
        ``replace`` False raises Conflict when there is such a table. ``resume`` goes on with an upload of the very same
        bytes that broke off earlier (of users who are logged in). ``progress`` counts bytes.
        """
        form = {"POSITION": ",".join(position)} if position else {}
        if not replace:
            form["NEW"] = "true"
        self._send(table, name, form, progress, resume)
        return self.get(name)

    def append(self, name: str, table: Any, *, progress: Progress | None = None, resume: bool = True) -> UserTable:
        """Add rows; columns are found by name. All of them are there, or none."""
        self._send(table, name, {"APPEND": "true"}, progress, resume)
        return self.get(name)

    def keep_result(self, job: Any, name: str, *, position: tuple[str, str] | None = None) -> UserTable:
        """Keep the result of a job (its address, its id, or the job) of the same service as a table."""
        identity = str(getattr(job, "url", job)).rstrip("/").rpartition("/")[2]
        form = {"JOB": identity} | ({"POSITION": ",".join(position)} if position else {})
        with self._session.within(MADE_WITHIN_S):
            self._ask("POST", self._place(name), data=form)
        return self.get(name)

    # ------------------------------------------------------------ changing

    def index(
        self,
        name: str,
        *,
        position: tuple[str, str] | None = None,
        column: str | None = None,
        unique: bool = False,
    ) -> UserTable:
        """Sort it by a position (two columns, degrees), or index one column; where that is ``unique``, no value may
        come twice, now and in rows that are added (ParameterError).
        """
        if (position is None) == (column is None):
            raise UsageError("name either a position or a column to index")
        if unique and column is None:
            raise UsageError("unique belongs to a column")
        form = {"POSITION": ",".join(position)} if position else {"COLUMN": str(column)}
        form |= {"UNIQUE": "true"} if unique else {}
        with self._session.within(MADE_WITHIN_S):
            self._ask("POST", self._place(name, "index"), data=form)
        return self.get(name)

    def share(self, name: str, *, user: str | None = None, group: str | None = None, link: bool = False) -> str:
        """Let a user, a group or everybody with a link read it; returns the name they query it by.

        A link's name holds a secret that is told this once.
        """
        told = _text(self._ask("POST", self._place(name, "shares"), data=_grantee(user, group, link)))
        found = re.search(r" as (\S+)\s*$", told)
        return found[1] if found else told.strip()

    def unshare(self, name: str, *, user: str | None = None, group: str | None = None, link: bool = False) -> None:
        """Take it back; ``link`` from all links."""
        self._ask("DELETE", self._place(name, "shares"), params=_grantee(user, group, link))

    def extend(self, name: str, until: datetime | timedelta | str | Any) -> datetime:
        """Keep it until a time (datetime, astropy Time, ISO text; UTC), or for a timedelta from now.

        Returns the time the service grants, which may be earlier.
        """
        wanted = until
        if isinstance(wanted, timedelta):
            wanted = datetime.now(UTC) + wanted
        elif hasattr(wanted, "utc") and hasattr(wanted, "isot"):
            wanted = f"{wanted.utc.isot}Z"
        if isinstance(wanted, datetime):
            wanted = wanted.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = _text(self._ask("POST", self._place(name, "destruction"), data={"DESTRUCTION": str(wanted)})).strip()
        try:
            return datetime.fromisoformat(told)
        except ValueError:
            raise WrongAnswer(f"{told[:60]!r} is no time", where=shown_address(self.address)) from None

    def describe(
        self,
        name: str,
        description: str | None = None,
        *,
        column: str | None = None,
        unit: str | None = None,
        ucd: str | None = None,
    ) -> None:
        """Say what the table, or one of its columns, is."""
        given = {"DESCRIPTION": description, "COLUMN": column, "UNIT": unit, "UCD": ucd}
        self._ask("POST", self._place(name), data={key: value for key, value in given.items() if value is not None})

    def rename(self, name: str, new_name: str) -> UserTable:
        """Give it another name. Raises Conflict when that is taken."""
        self._ask("POST", self._place(name), data={"NAME": new_name})
        return self.get(new_name)

    def freeze(self, name: str) -> Frozen:
        """It can only be read or dropped from now on, and is kept as long as the service allows. Needs a login."""
        with self._session.within(MADE_WITHIN_S):
            return self._frozen(self._ask("POST", self._place(name, "freeze")))

    def frozen(self, name: str) -> Frozen:
        """How a frozen table is cited, also one that was lent. Raises NotFound when it is not frozen."""
        return self._frozen(self._ask("GET", self._place(name, "freeze")))

    def _frozen(self, answer: requests.Response) -> Frozen:
        told = _json(answer)
        try:
            more = told.get("datacite")
            return Frozen(
                str(told["frozen"]),
                str(told["sha256"]),
                str(told["citation"]),
                str(told.get("kept_until") or ""),
                more if isinstance(more, dict) else {},
            )
        except (KeyError, TypeError, AttributeError):
            raise WrongAnswer("the answer has no checksum", where=shown_address(self.address)) from None

    def drop(self, name: str) -> None:
        """Drop it, at once."""
        self._ask("DELETE", self._place(name))

    # ------------------------------------------------------------ inside

    def _place(self, name: str, child: str = "") -> str:
        if not name.strip():
            raise UsageError("the table has no name")
        bare = name[9:] if name.lower().startswith("tap_user.") else name
        return f"{self.address}/{quote(bare, safe='')}" + (f"/{child}" if child else "")

    def _ask(self, method: str, address: str, **keywords: Any) -> requests.Response:
        try:
            answer = self._session.request(method, address, stream=True, **keywords)
        except requests.RequestException as error:
            raise ServiceUnreachable(str(error), where=shown_address(address)) from None
        if answer.status_code in _KINDS:
            told = _words(answer)
            if told:
                raise _KINDS[answer.status_code](told, where=shown_address(address))
        refuse_fault(answer, address)
        return answer

    def _send(self, table: Any, name: str, form: dict[str, str], progress: Progress | None, resume: bool) -> None:
        with bytes_of(table) as (file, kind):
            sending = _Sending(self, name, file, kind, form, progress)
            if sending.in_pieces(resume):
                return
        if "APPEND" in form:
            raise ServiceFault("the service takes no more rows for a table", where=shown_address(self.address))
        with bytes_of(table, as_votable=True) as (file, _):
            headers = {"Content-Type": VOTABLE} | ({"If-None-Match": "*"} if "NEW" in form else {})
            params = {key: value for key, value in form.items() if key == "POSITION"}
            length = file.seek(0, 2)
            file.seek(0)
            with _told(progress, f"Sending {name}", length) as advance, self._session.within(MADE_WITHIN_S):
                body: Any = _Counted(file, length, advance)
                self._ask("PUT", self._place(name), data=body, params=params, headers=headers)


class _Sending:
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
            identity = _json(answer).get("id") if answer.status_code == 201 else None
            if not isinstance(identity, str):
                return False
            place = f"{top}/{quote(identity, safe='')}"
        with _told(self.progress, f"Sending {self.name}", self.length) as advance:
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
            listed = _json(self.tables._ask("GET", top))
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
        told = _json(self.tables._ask("GET", place)).get("received")
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
                state = _json(self.tables._ask("GET", place)).get("state")
                if state not in ("making", "done", "receiving"):
                    raise


class _Counted:
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
def _told(progress: Progress | None, what: str, total: int) -> Iterator[Callable[[int], None]]:
    if progress is None:
        yield lambda by: None
        return
    progress.start(what, total)
    try:
        yield progress.advance
    finally:
        progress.finish()


def _grantee(user: str | None, group: str | None, link: bool) -> dict[str, str]:
    given = {key: one for key, one in (("USER", user), ("GROUP", group), ("LINK", "true" if link else None)) if one}
    if len(given) != 1:
        raise UsageError("name one of user, group and link")
    return given


def _body(answer: requests.Response, most: int = _ANSWER_BYTES) -> bytes:
    with document(answer) as file:
        body: bytes = file.read(most + 1)
    if len(body) > most:
        raise WrongAnswer("the answer is too long", where=shown_address(answer.url))
    return body


def _text(answer: requests.Response) -> str:
    return _body(answer).decode("utf-8", "replace")


def _json(answer: requests.Response) -> Any:
    import json

    try:
        told = json.loads(_body(answer))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict | list):
        raise WrongAnswer("the answer is no JSON document", where=shown_address(answer.url))
    return told


def _words(answer: requests.Response) -> str:
    """What a service says is wrong: the DALI error document (DALI 1.1, section 4.2), or a short text."""
    import html

    body = _body(answer)[:65_536]
    found = re.search(rb"""<(?:[\w.-]+:)?INFO\b[^<>]*QUERY_STATUS[^<>]*>([^<]{0,4000})""", body)
    if found:
        return " ".join(html.unescape(found[1].decode("utf-8", "replace")).split())[:500]
    return "" if answer.headers.get("content-type", "").startswith("text/html") else said(body)


def _tables_of(answer: requests.Response) -> list[UserTable]:
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


def _with_end(table: UserTable, answer: requests.Response) -> UserTable:
    from dataclasses import replace

    try:
        return replace(table, ends=parsedate_to_datetime(answer.headers["sunset"]))
    except (KeyError, ValueError, TypeError):
        return table
