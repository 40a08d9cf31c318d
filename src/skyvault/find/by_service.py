"""Observations of a place as an ObsTAP, SIA2 or SSA service of the Virtual Observatory has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import requests

from skyvault.errors import UsageError
from skyvault.find.faults import QueryRefused, ServiceUnreachable
from skyvault.find.place import Place
from skyvault.find.registry import POSITIONS_A_QUERY, VOService, covers
from skyvault.find.results import read_document, refuse_fault
from skyvault.find.rows import COLUMNS, nothing, rows_from
from skyvault.find.services import token_for
from skyvault.find.session import ArchiveSession, document
from skyvault.find.tap import get_tap_service
from skyvault.net.addresses import shown_address
from skyvault.net.retry import RetryPolicy
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from skyvault.config import Settings

#: rows one service may give in a search
MAXREC: Final = 10_000
#: positions an SIA2 or SSA service is asked for, one request each
_MOST_PLACES: Final = 50
#: the diameter asked for where a place has no radius, degrees
_SMALL_DEG: Final = 2.0 / 3600
#: columns of ObsCore that are asked for: those a search has
_ASKED: Final = tuple(name for name in COLUMNS if name not in ("mission", "separation", "position"))
#: SSA utypes (without their prefix, lower case) and our columns
_SSA: Final = {
    "dataid.collection": "obs_collection",
    "dataid.creatordid": "obs_id",
    "dataid.datasetid": "obs_id",
    "dataid.instrument": "instrument_name",
    "curation.publisherdid": "obs_publisher_did",
    "target.name": "target_name",
    "char.timeaxis.coverage.bounds.start": "t_min",
    "char.timeaxis.coverage.bounds.stop": "t_max",
    "char.timeaxis.coverage.bounds.extent": "t_exptime",
    "char.spectralaxis.coverage.bounds.start": "em_min",
    "char.spectralaxis.coverage.bounds.stop": "em_max",
    "char.spatialaxis.coverage.bounds.extent": "s_fov",
    "char.spatialaxis.coverage.location.value": "location",
    "access.reference": "access_url",
    "access.format": "access_format",
}


def observations_at(
    service: VOService,
    place: Place,
    settings: Settings,
    *,
    collections: frozenset[str] = frozenset(),
    kinds: frozenset[str] = frozenset(),
    total_s: float = 60.0,
) -> tuple[pa.Table, bool, ArchiveSession]:
    """The rows, whether the service left some out, and the session they were asked with.

    Raises ServiceUnreachable, ServiceFault, QueryRefused, WrongAnswer.
    """
    if service.protocol == "obstap":
        return _obstap(service, place, settings, collections, kinds, total_s)
    session = ArchiveSession(
        service.address,
        token=token_for(service.address, settings),
        total_s=total_s,
        retries=RetryPolicy(settings.archive_attempts, settings.archive_backoff_s),
    )
    tables: list[pa.Table] = []
    is_cut = False
    with session.within(total_s):
        for parameters in [_sia2(place, kinds, collections)] if service.protocol == "sia2" else _ssa(place):
            table, was_cut = _asked(service, session, parameters, place)
            tables.append(table)
            is_cut |= was_cut
    return (pa.concat_tables(tables) if tables else nothing()), is_cut, session


def _obstap(
    service: VOService,
    place: Place,
    settings: Settings,
    collections: frozenset[str],
    kinds: frozenset[str],
    total_s: float,
) -> tuple[pa.Table, bool, ArchiveSession]:
    tap = get_tap_service(service.address, settings=settings, total_s=total_s)
    conditions = []
    if place.time is not None:
        if math.isfinite(place.time.lo):
            conditions.append(f"t_max >= {place.time.lo!r}")
        if math.isfinite(place.time.hi):
            conditions.append(f"t_min <= {place.time.hi!r}")
    for name, wanted in (("obs_collection", collections), ("dataproduct_type", kinds)):
        if wanted:
            texts = ", ".join("'" + one.replace("'", "''") + "'" for one in sorted(wanted))
            conditions.append(f"{name} IN ({texts})")
    tables: list[pa.Table] = []
    is_cut = False
    with tap.session.within(total_s):
        for first in range(0, max(1, len(place)), POSITIONS_A_QUERY):
            where = " AND ".join([covers(place, "s_region", first), *conditions])
            # one row more than is taken tells whether there are more
            query = f"SELECT TOP {MAXREC + 1} {', '.join(_ASKED)} FROM ivoa.ObsCore WHERE {where}"
            try:
                results = tap.search(query, maxrec=MAXREC + 1)
            except QueryRefused as error:
                if "column" not in str(error).lower():
                    raise
                # a service that lacks a column of the standard: what it has is taken
                results = tap.search(query.replace(", ".join(_ASKED), "*"), maxrec=MAXREC + 1)
            arrow = results.arrow.slice(0, MAXREC)
            is_cut |= results.is_truncated or len(results) > MAXREC
            columns = dict(zip(results.fieldnames, arrow.columns, strict=True))
            tables.append(rows_from({**columns, "mission": service.name}, arrow.num_rows, place))
    return pa.concat_tables(tables), is_cut, tap.session


def _sia2(place: Place, kinds: frozenset[str], collections: frozenset[str]) -> list[tuple[str, str]]:
    """SIA 2.0, section 2.1: repeated parameters are alternatives."""
    pairs: list[tuple[str, str]] = []
    if place.region is not None:
        from skyvault.model.region import Box, Circle, Polygon

        region = place.region
        if isinstance(region, Circle):
            pairs.append(("POS", f"CIRCLE {region.lon!r} {region.lat!r} {region.radius!r}"))
        elif isinstance(region, Polygon):
            pairs.append(("POS", "POLYGON " + " ".join(f"{lon!r} {lat!r}" for lon, lat in region.vertices)))
        elif isinstance(region, Box):
            pairs.append(("POS", f"RANGE {region.lon1!r} {region.lon2!r} {region.lat1!r} {region.lat2!r}"))
        else:
            raise UsageError("SIA2 services can be asked for circles, polygons and ranges only")
    else:
        _refuse_many(place)
        radius = place.radius_deg or _SMALL_DEG / 2
        pairs += [
            ("POS", f"CIRCLE {float(ra)!r} {float(dec)!r} {radius!r}")
            for ra, dec in zip(place.ra, place.dec, strict=True)
        ]
    if place.time is not None:
        pairs.append(("TIME", place.time.format()))
    pairs += [("DPTYPE", kind) for kind in sorted(kinds & {"image", "cube"})]
    pairs += [("COLLECTION", one) for one in sorted(collections)]
    return [*pairs, ("MAXREC", str(MAXREC))]


def _ssa(place: Place) -> list[list[tuple[str, str]]]:
    """SSA 1.1: one position a request, SIZE is a diameter."""
    if place.region is not None:
        from skyvault.model.region import Circle

        if not isinstance(place.region, Circle):
            raise UsageError("SSA services can be asked for circles only")
        circles = [(place.region.lon, place.region.lat, place.region.radius)]
    else:
        _refuse_many(place)
        radius = place.radius_deg or _SMALL_DEG / 2
        circles = [(float(ra), float(dec), radius) for ra, dec in zip(place.ra, place.dec, strict=True)]
    asked = []
    for ra, dec, radius in circles:
        pairs = [("REQUEST", "queryData"), ("POS", f"{ra:.9f},{dec:.9f}"), ("SIZE", f"{2 * radius:.9f}")]
        if place.time is not None:
            from astropy.time import Time

            with quiet():
                # UTC of a century ago has no leap seconds, which is no news
                ends = [
                    Time(day, format="mjd", scale="utc").isot if math.isfinite(day) else ""
                    for day in (place.time.lo, place.time.hi)
                ]
            pairs.append(("TIME", "/".join(ends)))
        asked.append([*pairs, ("MAXREC", str(MAXREC))])
    return asked


def _refuse_many(place: Place) -> None:
    if len(place) > _MOST_PLACES:
        raise UsageError(f"the service is asked for {_MOST_PLACES} places at most, not for {len(place):,}")


def _asked(
    service: VOService, session: ArchiveSession, parameters: Sequence[tuple[str, str]], place: Place
) -> tuple[pa.Table, bool]:
    try:
        response = session.get(service.address, params=list(parameters), stream=True)
    except requests.RequestException as error:
        raise ServiceUnreachable(str(error), where=shown_address(service.address)) from None
    refuse_fault(response, service.address)
    with document(response) as file:
        skeleton, arrow = read_document(file, service.address)
    status, told = _status(skeleton)
    if status == "ERROR":
        raise QueryRefused(told or "the service reports an error", where=shown_address(service.address))
    fields = [field for table in skeleton.iter_tables() for field in table.fields][: arrow.num_columns]
    columns: dict[str, Any] = {}
    for field, column in zip(fields, arrow.columns, strict=True):
        name = str(field.name).lower()
        utype = str(field.utype or "").lower().rpartition(":")[2]
        key = _SSA.get(utype, name) if service.protocol == "ssa" else name
        columns.setdefault(key, column)
    if service.protocol == "ssa":
        columns.setdefault("dataproduct_type", "spectrum")
        _with_location(columns)
    count = arrow.num_rows
    return rows_from({**columns, "mission": service.name}, count, place), status == "OVERFLOW" or count >= MAXREC


def _with_location(columns: dict[str, Any]) -> None:
    """SSA's position, two numbers in one cell, as right ascension and declination."""
    location = columns.pop("location", None)
    if location is None or "s_ra" in columns:
        return
    if pa.types.is_string(location.type):
        pairs = [(text or "").replace(",", " ").split() for text in location.to_pylist()]
    else:
        pairs = [list(value or ()) for value in location.to_pylist()]
    numbers = [[_number(one) for one in pair] if len(pair) == 2 else [None, None] for pair in pairs]
    columns["s_ra"] = pa.array([pair[0] for pair in numbers], pa.float64())
    columns["s_dec"] = pa.array([pair[1] for pair in numbers], pa.float64())


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _status(skeleton: Any) -> tuple[str, str]:
    """The last QUERY_STATUS of the document (DALI 1.1, section 4.4)."""
    infos = [*skeleton.infos, *(info for resource in skeleton.resources for info in resource.infos)]
    infos += [info for table in skeleton.iter_tables() for info in table.infos]
    value, told = "OK", ""
    for info in infos:
        if str(info.name).upper() == "QUERY_STATUS":
            value, told = str(info.value).upper(), " ".join(str(info.content or "").split())
            if value == "ERROR":
                return value, told
    return value, told
