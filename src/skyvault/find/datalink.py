"""Data links of many rows at once: batched by identifier, each link with the row it belongs to, files fetched by it.

DataLink 1.1. One request carries as many identifiers as the service takes, which is learned from its first answer, so
that a thousand rows cost a dozen requests and time in proportion to the links.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import requests

from skyvault.errors import NotFound, SkyvaultError, UsageError
from skyvault.find.faults import ServiceUnreachable, WrongAnswer
from skyvault.find.results import read_document, refuse_fault
from skyvault.find.session import ArchiveSession, document
from skyvault.model.ports import Progress
from skyvault.net.addresses import shown_address
from skyvault.net.auth import Credentials, Password, Token
from skyvault.net.batch import FetchProblem, FetchReport, fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.remote_file import Order, RemoteFile

if TYPE_CHECKING:
    from skyvault.ledger.downloads import Downloads

DATALINK: Final = "application/x-votable+xml;content=datalink"
#: identifiers of the first request; what the answer leaves out teaches the size of the next ones
FIRST_BATCH: Final = 100
#: columns of a links table (DataLink 1.1, table 1), all that are read
_COLUMNS: Final = (
    "ID",
    "access_url",
    "service_def",
    "error_message",
    "semantics",
    "description",
    "content_type",
    "content_length",
    "content_qualifier",
    "local_semantics",
)
#: narrower terms of the vocabulary http://www.ivoa.net/rdf/datalink/core, so that no network is needed for them
_NARROWER: Final = {
    "#calibration": {"#bias", "#dark", "#flat"},
    "#preview": {"#preview-image", "#preview-plot", "#thumbnail"},
    "#proc": {"#cutout"},
}
_NAME: Final = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True, slots=True)
class Link:
    """One link of one row; ``row`` is the row's place in what was asked about."""

    row: int
    id: str
    semantics: str
    access_url: str | None
    service_def: str | None = None
    error_message: str | None = None
    description: str | None = None
    content_type: str | None = None
    content_length: int | None = None

    def __repr__(self) -> str:
        where = self.error_message or self.service_def or (shown_address(self.access_url) if self.access_url else "")
        return f"<Link {self.semantics} of row {self.row}: {where}>"


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """Rows whose links could not be had, and why."""

    rows: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Links:
    """Links of rows: ``table`` (Arrow, column ``row`` and those of DataLink), ``problems``, and the rows' origin."""

    table: pa.Table
    problems: tuple[LinkProblem, ...] = ()
    results: Any = None
    session: Any = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Link]:
        for values in self.table.to_pylist():
            yield _link(values)

    def __getitem__(self, index: int) -> Link:
        return _link(self.table.slice(range(len(self))[index], 1).to_pylist()[0])

    def bysemantics(self, semantics: str | Sequence[str], *, include_narrower: bool = True) -> Links:
        """Links with these terms ("#this", or "this"), and with the vocabulary's narrower ones."""
        asked = [semantics] if isinstance(semantics, str) else list(semantics)
        terms = {term if "#" in term else f"#{term}" for term in asked}
        if include_narrower:
            terms |= {narrower for term in tuple(terms) for narrower in _NARROWER.get(term, ())}
        return self._where(pc.is_in(self.table["semantics"], pa.array(sorted(terms))))

    def of_row(self, row: int) -> Links:
        """Links of one row."""
        return self._where(pc.equal(self.table["row"], row))

    def original_row(self, link: Link) -> Any:
        """The row a link belongs to, as its results give it."""
        return None if self.results is None else self.results[link.row]

    def to_table(self) -> Any:
        """An astropy Table."""
        from astropy.table import Table

        return Table(
            {name: column.to_pylist() for name, column in zip(self.table.column_names, self.table.columns, strict=True)}
        )

    def _where(self, mask: Any) -> Links:
        return replace(self, table=self.table.filter(pc.fill_null(mask, False)))

    def __repr__(self) -> str:
        told = f", {len(self.problems)} problems" if self.problems else ""
        return f"<Links: {len(self):,} links{told}>"


def links(
    what: Any, *, session: requests.Session | None = None, deadline_s: float | None = None, batch: int = FIRST_BATCH
) -> Links:
    """The links of every row of ``what``: results of a query, rows of them, a table with access_url, or addresses.

    Rows whose access_format is not DataLink's have one link, #this, to the file itself. A service that fails for some
    rows is told in ``problems``; the others' links are there.
    """
    rows = _Rows.of(what)
    used = session or _session_of(what) or requests.Session()
    found: list[pa.Table] = [rows.direct()]
    problems: list[LinkProblem] = []
    for address, identifiers in rows.services().items():
        service = _LinksService(address, used, max(1, batch))
        with used.within(deadline_s) if isinstance(used, ArchiveSession) else _Nothing():
            tables, lost = service.ask(identifiers)
        found += tables
        problems += lost
    table = pa.concat_tables(found).sort_by("row") if len(found) > 1 else found[0]
    return Links(table, tuple(problems), what if hasattr(what, "__getitem__") else None, used)


def _session_of(what: Any) -> Any:
    """The session results were asked with, which each of their rows knows, too."""
    if isinstance(what, (list, tuple)) and what:
        what = what[0]
    return getattr(what, "_session", None)


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

    def header_for(self, url: str, instead: Token | Password | None = None) -> str | None:
        if instead is not None or not isinstance(self._session, ArchiveSession):
            return super().header_for(url, instead)
        prepared = requests.Request("GET", url).prepare()
        header = self._session.auth(prepared).headers.get("Authorization")
        return str(header) if header is not None else None


def _signer(link: Link, origin: Links, session: Any) -> Callable[[], str] | None:
    """Asks the links service once more for the same link; None for an address that is not signed."""
    asked = _Rows.of(origin.results).address(link.row) if origin.results is not None else None
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


class _LinksService:
    """One address that answers with links."""

    def __init__(self, address: str, session: requests.Session, batch: int) -> None:
        self.address = address
        self.session = session
        self.batch = batch

    def ask(self, rows: dict[str, list[int]]) -> tuple[list[pa.Table], list[LinkProblem]]:
        """Links of the identifiers, by the rows they stand in."""
        left = list(rows)
        tables: list[pa.Table] = []
        problems: list[LinkProblem] = []
        while left:
            now, later = left[: self.batch], left[self.batch :]
            try:
                answered, table = self._one(now)
            except SkyvaultError as error:
                if len(now) > 1 and not isinstance(error, ServiceUnreachable):
                    # a service that takes one identifier at a time says so in many ways
                    self.batch = 1
                    continue
                problems.append(LinkProblem(tuple(row for one in now for row in rows[one]), str(error)))
                left = later
                continue
            missing = [one for one in now if one not in answered]
            if missing and len(missing) < len(now):
                # it took the first ones only (DataLink 1.1, section 2.1): the rest is asked for in pieces of that size
                self.batch = len(now) - len(missing)
                later = missing + later
            elif missing:
                reason = f"{shown_address(self.address)}: no links were given"
                problems.append(LinkProblem(tuple(row for one in missing for row in rows[one]), reason))
            tables.append(_spread(table, rows))
            left = later
        return tables, problems

    def _one(self, identifiers: Sequence[str]) -> tuple[set[str], pa.Table]:
        pairs = [("ID", one) for one in identifiers]
        try:
            if len(pairs) == 1:
                response = self.session.get(self.address, params=pairs, stream=True)
            else:
                response = self.session.post(self.address, data=pairs, stream=True)
        except requests.RequestException as error:
            raise ServiceUnreachable(str(error), where=shown_address(self.address)) from None
        refuse_fault(response, self.address)
        with document(response) as file:
            skeleton, arrow = read_document(file, self.address)
        fields = [field.name for table in skeleton.iter_tables() for field in table.fields][: arrow.num_columns]
        if "ID" not in fields or "semantics" not in fields:
            raise WrongAnswer("the answer has no links", where=shown_address(self.address))
        table = _conformed(dict(zip(fields, arrow.columns, strict=True)), arrow.num_rows)
        return set(table["ID"].to_pylist()), table


def _conformed(columns: dict[str, Any], count: int) -> pa.Table:
    """A links table of our columns; what a service leaves out is NULL."""
    arrays = []
    for name in _COLUMNS:
        kind = pa.int64() if name == "content_length" else pa.string()
        column = columns.get(name)
        if column is None:
            arrays.append(pa.nulls(count, kind))
            continue
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        column = column.cast(kind, safe=False)
        if name in ("access_url", "service_def", "error_message"):
            # no text and no value are the same in TABLEDATA
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, kind), column)
        arrays.append(column)
    return pa.table(arrays, names=list(_COLUMNS))


def _spread(table: pa.Table, rows: dict[str, list[int]]) -> pa.Table:
    """The links with the row they belong to; an identifier in several rows has its links in each."""
    identifiers = [one for one, places in rows.items() for _ in places]
    places = pa.table(
        {"ID": pa.array(identifiers, pa.string()), "row": pa.array([p for ps in rows.values() for p in ps], pa.int64())}
    )
    if len(rows) == len(identifiers):
        index = pc.index_in(table["ID"], places["ID"].combine_chunks())
        known = table.filter(pc.is_valid(index))
        row = places["row"].take(index.drop_null())
        return known.add_column(0, "row", row)
    order = pa.array(np.arange(table.num_rows))
    joined = table.append_column("order", order).join(places, "ID", join_type="inner").sort_by("order")
    return joined.select(["row", *_COLUMNS])


@dataclass(frozen=True)
class _Rows:
    """Where each row's data are: an address, and whether it leads to links."""

    addresses: tuple[str | None, ...]
    formats: tuple[str | None, ...]

    @classmethod
    def of(cls, what: Any) -> _Rows:
        if isinstance(what, str):
            what = [what]
        if isinstance(what, (list, tuple)) and all(isinstance(one, str) for one in what):
            return cls(tuple(what), (DATALINK,) * len(what))
        arrow = getattr(what, "arrow", what if isinstance(what, pa.Table) else None)
        if isinstance(arrow, pa.Table):
            names = {name.lower(): name for name in arrow.column_names}
            columns = {key: arrow[names[key]].to_pylist() for key in ("access_url", "access_format") if key in names}
            return cls._from(columns, arrow.num_rows)
        if hasattr(what, "colnames"):
            columns = {
                key: [str(v) for v in what[key]] for key in ("access_url", "access_format") if key in what.colnames
            }
            return cls._from(columns, len(what))
        many = list(what) if isinstance(what, (list, tuple)) else [what] if hasattr(what, "keys") else list(what)
        try:
            return cls(
                tuple(str(one["access_url"]) for one in many),
                tuple(str(one["access_format"]) if "access_format" in one.keys() else None for one in many),  # noqa: SIM118
            )
        except (TypeError, KeyError, IndexError):
            raise UsageError("rows need a column access_url") from None

    @classmethod
    def _from(cls, columns: dict[str, list[Any]], count: int) -> _Rows:
        if "access_url" not in columns:
            raise UsageError("there is no column access_url", hint="Select access_url and access_format.")
        formats = columns.get("access_format", [None] * count)
        return cls(tuple(columns["access_url"]), tuple(formats))

    def _is_links(self, row: int) -> bool:
        form = (self.formats[row] or "").lower().replace(" ", "")
        return "content=datalink" in form if form else "ID=" in (self.addresses[row] or "")

    def address(self, row: int) -> str | None:
        """The address of a row's links; None for a row that leads to the file itself."""
        return self.addresses[row] if self._is_links(row) else None

    def direct(self) -> pa.Table:
        """Rows that lead to the file itself, as links."""
        rows = [i for i, one in enumerate(self.addresses) if one and not self._is_links(i)]
        columns: dict[str, list[Any]] = {
            "ID": [self.addresses[i] for i in rows],
            "access_url": [self.addresses[i] for i in rows],
            "semantics": ["#this"] * len(rows),
            "content_type": [self.formats[i] for i in rows],
        }
        arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return _conformed(arrays, len(rows)).add_column(0, "row", pa.array(rows, pa.int64()))

    def services(self) -> dict[str, dict[str, list[int]]]:
        """Links service -> identifier -> the rows it stands in."""
        services: dict[str, dict[str, list[int]]] = {}
        for row, address in enumerate(self.addresses):
            if not address or not self._is_links(row):
                continue
            parts = urlsplit(address)
            pairs = parse_qsl(parts.query, keep_blank_values=True)
            identifiers = [value for name, value in pairs if name.upper() == "ID"]
            if len(identifiers) == 1:
                others = "&".join(p for p in parts.query.split("&") if not p.upper().startswith("ID="))
                base = urlunsplit((parts.scheme, parts.netloc, parts.path, others, ""))
                services.setdefault(base, {}).setdefault(identifiers[0], []).append(row)
            else:
                raise UsageError("the address has not one ID", where=shown_address(address))
        return services


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _link(values: dict[str, Any]) -> Link:
    return Link(
        row=values["row"],
        id=values["ID"] or "",
        semantics=values["semantics"] or "",
        access_url=values["access_url"],
        service_def=values["service_def"],
        error_message=values["error_message"],
        description=values["description"],
        content_type=values["content_type"],
        content_length=values["content_length"],
    )
