"""Data links of many rows at once: batched by identifier, each link with the row it belongs to.

DataLink 1.1. One request carries as many identifiers as the service takes, which is learned from its first answer, so
that a thousand rows cost a dozen requests and time in proportion to the links.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import requests

from skyvault.errors import SkyvaultError, UsageError
from skyvault.find.faults import ServiceUnreachable, WrongAnswer
from skyvault.find.results import read_document, refuse_fault
from skyvault.find.session import ArchiveSession, document
from skyvault.net.addresses import shown_address

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
    rows = Rows.of(what)
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
class Rows:
    """Where each row's data are: an address, and whether it leads to links."""

    addresses: tuple[str | None, ...]
    formats: tuple[str | None, ...]

    @classmethod
    def of(cls, what: Any) -> Rows:
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
    def _from(cls, columns: dict[str, list[Any]], count: int) -> Rows:
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
