"""Files behind data links, fetched whole or not at all, under harmless names; expired links are asked for again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import requests

from skyvault.errors import NotFound, SkyvaultError, UsageError
from skyvault.find.datalink import Link, Links, Rows, links
from skyvault.find.faults import WrongAnswer
from skyvault.find.session import ArchiveSession
from skyvault.model.ports import Progress
from skyvault.net.addresses import shown_address
from skyvault.net.auth import Credential, Credentials
from skyvault.net.batch import FetchProblem, FetchReport, fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.remote_file import Order, RemoteFile

if TYPE_CHECKING:
    from skyvault.ledger.downloads import Downloads

_NAME: Final = re.compile(r"[^A-Za-z0-9._+-]+")


def fetch(
    what: Any,
    target: str | os.PathLike[str],
    *,
    session: requests.Session | None = None,
    semantics: str = "#this",
    names: Sequence[str] | Callable[[Link], str] | None = None,
    parallel: int = 4,
    progress: Progress | None = None,
    ledger: Downloads | None = None,
    client: HttpClient | None = None,
) -> FetchReport:
    """Fetch the file behind every row, resumable and whole or not at all.

    ``what`` is what :func:`links` takes, or links. ``target`` is a directory, or the file's own name where there is
    one link and the name has an ending. Names are those of the addresses unless ``names`` gives them, one a link. A
    link that expired is asked for again. What failed is in the report's ``problems``.
    """
    all_links = what if isinstance(what, Links) else links(what, session=session)
    chosen = list(all_links.bysemantics(semantics, include_narrower=False))
    files = [link for link in chosen if link.access_url and not link.error_message]
    if not files:
        told = next((link.error_message for link in all_links if link.error_message), None)
        reason = told or next((problem.reason for problem in all_links.problems), None)
        raise NotFound(f"there is no {semantics} to fetch" + (f": {reason}" if reason else ""))
    used = session or all_links.session or requests.Session()
    place = Path(target)
    is_file = len(files) == 1 and names is None and place.suffix != "" and not place.is_dir()
    given = [place.name] if is_file else _names(files, names)
    folder = place.parent if is_file else place
    orders = [
        Order(
            RemoteFile(
                url=link.access_url or "",
                label=name,
                size_bytes=link.content_length,
                content="fits" if "fits" in (link.content_type or "") else "any",
                sign=_signer(link, all_links, used),
            ),
            folder / name,
        )
        for link, name in zip(files, given, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    if client is not None:
        report = fetch_files(orders, client, parallel=parallel, progress=progress, ledger=ledger)
    else:
        with HttpClient(credentials=SessionCredentials(used)) as own:
            report = fetch_files(orders, own, parallel=parallel, progress=progress, ledger=ledger)
    return _with_faults(report, chosen, folder)


def _with_faults(report: FetchReport, chosen: Sequence[Link], folder: Path) -> FetchReport:
    """The report with the links that have an error message instead of an address."""
    faults = []
    for link in chosen:
        if link.error_message:
            order = Order(
                RemoteFile(url="http://none.invalid/", label=link.id), folder / (_NAME.sub("_", link.id) or "x")
            )
            faults.append(FetchProblem(order, SkyvaultError(link.error_message, where=link.id)))
    return FetchReport(report.rows, (*report.problems, *faults)) if faults else report


class SessionCredentials(Credentials):
    """The token of a service's session, for the addresses it covers and no others."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session

    def header_for(self, url: str, instead: Credential | None = None) -> str | None:
        if instead is not None or not isinstance(self._session, ArchiveSession):
            return super().header_for(url, instead)
        prepared = requests.Request("GET", url).prepare()
        header = self._session.auth(prepared).headers.get("Authorization")
        return str(header) if header is not None else None


def _signer(link: Link, origin: Links, session: Any) -> Callable[[], str] | None:
    """Asks the links service once more for the same link; None for an address that is not signed."""
    asked = Rows.of(origin.results).address(link.row) if origin.results is not None else None
    if asked is None or not urlsplit(link.access_url or "").query:
        return None

    def sign() -> str:
        again = links([asked], session=session).bysemantics(link.semantics, include_narrower=False)
        # an identifier may have several links of one kind: the one with the same path is meant
        path = urlsplit(link.access_url or "").path
        for one in again:
            if one.access_url and (urlsplit(one.access_url).path == path or len(again) == 1):
                return one.access_url
        raise WrongAnswer("the service no longer links the file", where=shown_address(asked))

    return sign


def _names(files: Sequence[Link], names: Any) -> list[str]:
    """A name for each file: what is given, or the last part of its address, made unlike the others' and harmless."""
    if callable(names):
        wanted = [str(names(link)) for link in files]
    elif names is not None:
        wanted = [str(name) for name in names]
        if len(wanted) != len(files):
            raise UsageError(f"{len(wanted)} names are given for {len(files)} files")
    else:
        wanted = [_NAME.sub("_", unquote(urlsplit(link.access_url or "").path.rpartition("/")[2])) for link in files]
        wanted = [name.lstrip(".") or "file" for name in wanted]
        seen: dict[str, int] = {}
        for index, name in enumerate(wanted):
            count = seen.get(name, 0)
            seen[name] = count + 1
            if count:
                stem, dot, ending = name.partition(".")
                wanted[index] = f"{stem}_{count}{dot}{ending}"
    for name in wanted:
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise UsageError(f"{name[:80]!r} is no file name")
    return wanted
