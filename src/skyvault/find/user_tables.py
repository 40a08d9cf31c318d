"""Your own tables at a TAP service: ``service.user_tables.upload(table, "mine")``, queried as ``tap_user.mine``.

The dialect is GAVO's, ``{tap}/user_tables/NAME``. Where the service takes a table in pieces, as this project's does, an
upload goes on where a connection broke, also in another process; elsewhere it is one PUT of a VOTable.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
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
from skyvault.find.user_table_answers import Frozen, UserTable, json_of, tables_of, text_of, with_end, words_of
from skyvault.find.user_table_bytes import VOTABLE, bytes_of
from skyvault.find.user_table_sending import MADE_WITHIN_S, Counted, Sending, told_while
from skyvault.net.addresses import shown_address

if TYPE_CHECKING:
    from skyvault.find.session import ArchiveSession
    from skyvault.model.ports import Progress

_KINDS: Final[Mapping[int, type[SkyvaultError]]] = {
    400: ParameterError,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    507: QuotaError,
}


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
        return tables_of(self._ask("GET", self.address))

    def get(self, name: str) -> UserTable:
        """One table, with the time of its end."""
        answer = self._ask("GET", self._place(name))
        found = tables_of(answer)
        if not found:
            raise WrongAnswer("the answer describes no table", where=shown_address(self.address))
        return with_end(found[0], answer)

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
        return tuple(json_of(self._ask("GET", self._place(name, "shares"))))

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
        told = text_of(self._ask("POST", self._place(name, "shares"), data=_grantee(user, group, link)))
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
        told = text_of(self._ask("POST", self._place(name, "destruction"), data={"DESTRUCTION": str(wanted)})).strip()
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
        told = json_of(answer)
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
            words = words_of(answer)
            if words:
                raise _KINDS[answer.status_code](words, where=shown_address(address))
        refuse_fault(answer, address)
        return answer

    def _send(self, table: Any, name: str, form: dict[str, str], progress: Progress | None, resume: bool) -> None:
        with bytes_of(table) as (file, kind):
            sending = Sending(self, name, file, kind, form, progress)
            if sending.in_pieces(resume):
                return
        if "APPEND" in form:
            raise ServiceFault("the service takes no more rows for a table", where=shown_address(self.address))
        with bytes_of(table, as_votable=True) as (file, _):
            headers = {"Content-Type": VOTABLE} | ({"If-None-Match": "*"} if "NEW" in form else {})
            params = {key: value for key, value in form.items() if key == "POSITION"}
            length = file.seek(0, 2)
            file.seek(0)
            with told_while(progress, f"Sending {name}", length) as advance, self._session.within(MADE_WITHIN_S):
                body: Any = Counted(file, length, advance)
                self._ask("PUT", self._place(name), data=body, params=params, headers=headers)


def _grantee(user: str | None, group: str | None, link: bool) -> dict[str, str]:
    given = {key: one for key, one in (("USER", user), ("GROUP", group), ("LINK", "true" if link else None)) if one}
    if len(given) != 1:
        raise UsageError("name one of user, group and link")
    return given
