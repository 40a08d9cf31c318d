"""Rubin's data access: images found by TAP in ivoa.ObsCore, fetched by way of DataLink and links that expire.

The token goes to the TAP service's own host only; the links it leads to are good for anybody, and get none.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import pyarrow as pa

from skyvault.config import Secret, Settings
from skyvault.errors import FormatError
from skyvault.formats.registry import open_table
from skyvault.missions.declaration import Politeness
from skyvault.missions.faults import MissionTypeError, MissionValueError
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService, not_an_answer
from skyvault.net.addresses import host_of, shown_address
from skyvault.net.auth import Token
from skyvault.net.client import HttpClient
from skyvault.net.faults import FetchError, WrongContent, said
from skyvault.net.remote_file import RemoteFile

#: rows of one search: 2 degrees of the whole survey; more is a wrong question
MOST_ROWS: Final = 500_000
_MOST_BYTES: Final = 1_000_000_000
_MOST_LINK_BYTES: Final = 4_000_000


class RubinApi(ArchiveService):
    """A Rubin science platform. ``token`` is a text, or taken from the credentials file by the client."""

    archive: ClassVar[str] = "rubin"
    addresses: ClassVar[Mapping[str, str]] = {"tap": "https://data.lsst.cloud/api/tap"}
    politeness: ClassVar[Politeness] = Politeness(connections=4, requests_per_minute=120)
    fresh_s: ClassVar[float] = 86400.0

    def __init__(
        self, settings: Settings | None = None, client: HttpClient | None = None, token: str | Secret | None = None
    ) -> None:
        super().__init__(settings, client)
        if token is not None and not isinstance(token, (str, Secret)):
            raise MissionTypeError(f"a token is a text, not {type(token).__name__}")
        given = Secret(token) if isinstance(token, str) else token
        self._token = None if given is None else Token(given)

    def _credential(self, url: str) -> Token | None:
        """The token, for an address of the service's own host."""
        return self._token if host_of(url) == host_of(self.address("tap")) else None

    def query(self, adql: str, *, refresh: bool = False) -> pa.Table:
        """All rows of an ADQL query. Raises FetchError with the service's own words, or when rows were left out."""
        url = self.address("tap").rstrip("/") + "/sync"
        form = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "MAXREC": str(MOST_ROWS), "QUERY": adql}
        return self.asked(
            url,
            lambda body: votable_rows(body, url),
            form=form,
            credential=self._credential(url),
            refresh=refresh,
            limit_bytes=_MOST_BYTES,
        )

    def observations(self, search: Search, *, refresh: bool = False) -> tuple[pa.Table, str]:
        """Rows of ivoa.ObsCore whose outline holds a place, or meets a circle around it."""
        from skyvault.missions.rubin import Rubin

        place = f"{search.ra_deg!r}, {search.dec_deg!r}"
        test = (
            f"CONTAINS(POINT('ICRS', {place}), s_region) = 1"
            if search.radius_deg == 0
            else f"INTERSECTS(CIRCLE('ICRS', {place}, {search.radius_deg!r}), s_region) = 1"
        )
        columns = ", ".join(Rubin.declaration.sources())
        adql = f"SELECT {columns} FROM ivoa.ObsCore WHERE {test} AND dataproduct_type = 'image'"
        return self.query(adql, refresh=refresh), self.address("tap")

    def links(self, access_url: str) -> list[dict[str, Any]]:
        """The DataLink rows of an observation, those that tell of an error included. Never kept: links expire."""
        answer = self.client.request(
            "GET", access_url, credential=self._credential(access_url), limit_bytes=_MOST_LINK_BYTES
        )
        rows: list[dict[str, Any]] = votable_rows(answer.body, shown_address(access_url)).to_pylist()
        return rows

    def image_of(self, row: Mapping[str, Any]) -> RemoteFile:
        """The image of an observation; its link is asked for now, and again when it expires."""
        url = str(row["access_url"])
        is_link = "datalink" in str(row.get("access_format") or "datalink")
        link = self._signed(row) if is_link else url
        return RemoteFile(
            url=link,
            label=f"Rubin image {row['ObsID']}",
            content="fits",
            sign=(lambda: self._signed(row)) if is_link else None,
        )

    def _signed(self, row: Mapping[str, Any]) -> str:
        where = shown_address(str(row["access_url"]))
        told = ""
        for link in self.links(str(row["access_url"])):
            if link.get("semantics") == "#this" and link.get("access_url"):
                return str(link["access_url"])
            told = told or str(link.get("error_message") or "")
        because = f": {said(told.encode())}" if told else ""
        raise MissionValueError(f"the archive gives no image of {row['ObsID']}{because}", where=where)


def votable_rows(body: bytes, where: str) -> pa.Table:
    """The rows of a VOTable. Raises FetchError for an error it tells, WrongContent for what is none or was cut."""
    if body[:400].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise WrongContent(not_an_answer(body, "VOTable"), where=where, hint="Try again later.")
    try:
        stream = open_table(io.BytesIO(body), name=host_of(where))
        batches = list(stream.batches)
    except FormatError as error:
        raise WrongContent(f"the archive's answer is no VOTable, or was cut short: {error.what}", where=where) from None
    if stream.error:
        raise FetchError(f"the archive refuses the question: {said(stream.error.encode())}", where=where)
    if stream.overflow:
        raise FetchError("the archive left rows out", where=where, hint="Ask for a smaller circle.")
    if batches:
        return pa.Table.from_batches(batches)
    from skyvault.formats.arrow import arrow_type

    return pa.schema([(c.name, arrow_type(c)) for c in stream.table.columns]).empty_table()
