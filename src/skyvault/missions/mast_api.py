"""The Mikulski Archive (MAST): its JSON question service, TESS's observations and targets, its files.

https://mast.stsci.edu/api/v0/: POST ``request=`` with a JSON object {service, params, format}; the answer is
{status, msg, data, fields, paging}, and ``status`` EXECUTING means: ask again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

import pyarrow as pa

from skyvault.missions.faults import MissionValueError
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService, json_of
from skyvault.net.faults import FetchError, Unreachable, WrongContent, said
from skyvault.net.remote_file import RemoteFile

_MOST_BYTES: Final = 500_000_000
#: rows a page; TESS has a few dozen observations of a target, so that a second page tells of a wrong question
_PAGE: Final = 50_000
_POLL_S: Final = 1.0
_POLLS: Final = 120
_TYPES: Final = {"float": pa.float64(), "int": pa.int64(), "boolean": pa.bool_(), "double": pa.float64()}
_URI: Final = re.compile(r"mast:[A-Za-z0-9_./+-]{1,200}")


class MastApi(ArchiveService):
    """MAST's services for TESS."""

    archive: ClassVar[str] = "mast"
    addresses: ClassVar[Mapping[str, str]] = {
        "api": "https://mast.stsci.edu/api/v0/",
        "files": "https://mast.stsci.edu/api/v0.1/Download/file",
    }

    def invoke(self, service: str, params: Mapping[str, Any], *, refresh: bool = False) -> pa.Table:
        """All rows of an answer of the question service. Raises FetchError with the archive's own words."""
        url = self.address("api").rstrip("/") + "/invoke"
        question = {"service": service, "params": dict(params), "format": "json", "pagesize": _PAGE, "page": 1}
        form = {"request": json.dumps(question, sort_keys=True)}
        for _ in range(_POLLS):
            try:
                return self.asked(
                    url, lambda body: answer_table(body, url), form=form, refresh=refresh, limit_bytes=_MOST_BYTES
                )
            except StillExecuting:
                self.client.sleep(_POLL_S)
        raise Unreachable(f"the question to {service} was not answered in {_POLLS * _POLL_S:g} s", where=url)

    def observations(self, search: Search, *, refresh: bool = False) -> tuple[pa.Table, str]:
        """TESS's time series of a target (``source_id`` is its number in the TIC), or of targets in a circle."""
        filters: list[dict[str, Any]] = [
            {"paramName": "obs_collection", "values": ["TESS"]},
            {"paramName": "dataproduct_type", "values": ["timeseries"]},
        ]
        where = self.address("api").rstrip("/") + "/invoke"
        if search.source_id:
            filters.append({"paramName": "target_name", "values": [str(checked_ticid(search.source_id))]})
            return self.invoke("Mast.Caom.Filtered", {"columns": "*", "filters": filters}, refresh=refresh), where
        place = f"{search.ra_deg:.7f}, {search.dec_deg:.7f}, {search.radius_deg:.7f}"
        params = {"columns": "*", "filters": filters, "position": place}
        return self.invoke("Mast.Caom.Filtered.Position", params, refresh=refresh), where

    def targets(self, search: Search, *, refresh: bool = False) -> pa.Table:
        """Rows of the TESS Input Catalog, by number or in a circle; ``dstArcSec`` is the distance there."""
        if search.source_id:
            filters = [{"paramName": "ID", "values": [str(checked_ticid(search.source_id))]}]
            return self.invoke("Mast.Catalogs.Filtered.Tic", {"columns": "*", "filters": filters}, refresh=refresh)
        params = {"ra": search.ra_deg, "dec": search.dec_deg, "radius": search.radius_deg}
        return self.invoke("Mast.Catalogs.Tic.Cone", params, refresh=refresh)

    def products(self, obsid: str, *, refresh: bool = False) -> pa.Table:
        """The files of an observation, by CAOM's number of it."""
        return self.invoke("Mast.Caom.Products", {"obsid": str(obsid)}, refresh=refresh)

    def file(self, uri: str, label: str = "") -> RemoteFile:
        """A file by its address within MAST, such as mast:TESS/product/....fits. Raises MissionValueError."""
        if not _URI.fullmatch(uri) or ".." in uri:
            raise MissionValueError(f"{uri[:80]!r} is no file of MAST")
        return RemoteFile(
            url=f"{self.address('files')}?uri={quote(uri, safe='/')}",
            label=label or uri.rpartition("/")[2],
            content="fits" if uri.endswith(".fits") else "any",
        )

    def image_of(self, row: Mapping[str, Any]) -> RemoteFile:
        """The target pixels of an observation: a FITS table with an image each exposure."""
        table = self.products(str(row["obsid"]))
        for one in table.to_pylist():
            name = str(one.get("productFilename") or "")
            if name.endswith(("_tp.fits", "-tp.fits")) and name.startswith(str(row["ObsID"])):
                return self.file(str(one["dataURI"]), f"{row['ObsID']}, target pixels")
        raise MissionValueError(f"MAST has no target pixels of {row['ObsID']}")


class StillExecuting(Exception):
    """The archive works on the answer."""


def answer_table(body: bytes, where: str) -> pa.Table:
    """The rows of an answer, typed as its ``fields`` say. Raises StillExecuting, FetchError, WrongContent."""
    document = json_of(body, where)
    if not isinstance(document, dict) or "status" not in document:
        raise WrongContent("the archive's answer has no status", where=where)
    status = str(document["status"]).upper()
    if status == "EXECUTING":
        raise StillExecuting
    if status != "COMPLETE":
        told = said(str(document.get("msg") or "no reason given").encode())
        raise FetchError(f"the archive refuses the question ({status[:20]}): {told}", where=where)
    data, fields = document.get("data"), document.get("fields")
    if not isinstance(data, list) or not isinstance(fields, list) or not all(isinstance(row, dict) for row in data):
        raise WrongContent("the archive's answer holds no rows", where=where)
    paging = document.get("paging")
    total = paging.get("rowsFiltered", paging.get("rowsTotal")) if isinstance(paging, dict) else None
    if isinstance(total, int) and total > len(data):
        raise FetchError(
            f"the archive sends {len(data):,} rows of {total:,}", where=where, hint="Ask for a smaller circle."
        )
    columns = {}
    for one in fields:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or name in columns or name == "_selected_":
            continue
        kind = _TYPES.get(str(one.get("type")).lower(), pa.string())
        columns[name] = _column([row.get(name) for row in data], kind, name, where)
    return pa.table(columns)


def _column(values: list[Any], kind: pa.DataType, name: str, where: str) -> pa.Array:
    if kind == pa.string():
        # numbers beyond 2^53 are declared as text and written as numbers
        return pa.array([None if v is None else v if isinstance(v, str) else str(v) for v in values], kind)
    # Arrow would cut 1.5 down to 1 where a column is declared as whole
    if not (kind == pa.int64() and any(isinstance(v, float) for v in values)):
        try:
            return pa.array([None if v == "" else v for v in values], kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
    try:
        return pa.array([None if v in (None, "") else float(v) for v in values], pa.float64())
    except (TypeError, ValueError):
        raise WrongContent(f"the archive's column {name} holds what is no number", where=where) from None


def checked_ticid(ticid: Any) -> int:
    """A target's number: 25155310, "25155310" or "TIC 25155310". Raises MissionValueError."""
    match = re.fullmatch(r"\s*(?:tic[\s_-]*)?(\d{1,12})\s*", str(ticid).lower())
    if match is None or isinstance(ticid, (bool, float)):
        raise MissionValueError(f"{str(ticid)[:40]!r} is no TIC number", hint="Write TIC 25155310.")
    return int(match[1])
