"""Rows of the database made of sources and their data, and written many at a time by one writer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from skyvault.pipeline import database
from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.raw_data import RawData
from skyvault.pipeline.source import Detection, Properties, Source
from skyvault.pipeline.spectrum import Spectrum
from skyvault.pipeline.tables import (
    Base,
    JsonText,
    Problem,
    json_text,
    mjd_of_datetime,
    source_raw_data,
    source_raw_photometry,
)

Row = dict[str, Any]


def _columns(table: type[Base], *without: str) -> tuple[str, ...]:
    return tuple(name for name in table.__mapper__.columns.keys() if name not in without)  # noqa: SIM118


_SOURCE: Final = _columns(Source, "id")
_RAW: Final = _columns(RawPhotometry, "id")
_CURVE: Final = _columns(Lightcurve, "id", "source_id", "raw_data_id")
_DETECTION: Final = _columns(Detection, "id", "source_id", "lightcurve_id")
_RAW_DATA: Final = _columns(RawData, "id")
_SPECTRUM: Final = _columns(Spectrum, "id", "source_id", "raw_data_id")
_PROPERTIES: Final = _columns(Properties, "id", "source_id")
_DEFAULTS: Final[dict[str, Any]] = {
    "project": "TEST_PROJECT", "cfg_hash": "", "series_number": 1, "series_total": 1, "was_processed": False,
    "is_simulated": False, "simulated": False,
}  # fmt: skip
_LOOKED_UP: Final = 500


@dataclass
class Parcel:
    """All rows of one source, without numbers: what a worker hands to the writer."""

    source: Row
    raw: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    detections: list[Row] = field(default_factory=list)
    properties: Row | None = None
    #: images, cutouts and spectra as they came, and reduced spectra
    raw_data: list[Row] = field(default_factory=list)
    spectra: list[Row] = field(default_factory=list)


def source_of(cat_row: Mapping[str, Any], project: str, cfg_hash: str, catalog: Any = None) -> Source:
    """A source, not yet in the database, of a row of the catalogue."""
    return Source(
        name=str(cat_row["name"]),
        ra=cat_row["ra"],
        dec=cat_row["dec"],
        project=project,
        cfg_hash=cfg_hash,
        mag=cat_row.get("mag"),
        mag_err=cat_row.get("mag_err"),
        mag_filter=cat_row.get("mag_filter"),
        cat_index=cat_row.get("cat_index"),
        cat_name=catalog.pars.catalog_name if catalog is not None else None,
        cat_row=dict(cat_row),
    )


def parcel_of(source: Source) -> Parcel:
    """The rows of a source and of all that hangs on it."""
    return Parcel(
        source=_row(source, _SOURCE),
        raw=[_row(one, _RAW) for one in source.raw_photometry],
        curves=[_row(one, _CURVE) for one in source.lightcurves if one.filename],
        detections=[_row(one, _DETECTION) for one in source.detections],
        properties=None if source.properties is None else _row(source.properties, _PROPERTIES),
        raw_data=[_row(one, _RAW_DATA) for one in source.raw_data],
        spectra=[_row(one, _SPECTRUM) for one in source.spectra if one.filename],
    )


def _row(one: Any, names: tuple[str, ...]) -> Row:
    held = one.__dict__
    row = {name: held.get(name) for name in names}
    for name, value in row.items():
        if value is None:
            if name in _DEFAULTS:
                row[name] = _DEFAULTS[name]
        elif isinstance(value, dict | list):
            row[name] = JsonText(json_text(clean(value)))
        elif value != value:
            row[name] = None
    return row


def clean(value: Any) -> Any:
    """A value as JSON in every database takes it: NaN and infinities become None, arrays lists."""
    if isinstance(value, Mapping):
        return {str(key): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    if hasattr(value, "tolist"):
        return clean(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def keep_sources(sources: Iterable[Source], session: Any = None) -> None:
    """Write sources and what hangs on them to the database in use; False or NO_DB_SESSION writes nothing."""
    if session is False or database.NO_DB_SESSION:
        return
    with database.current().writing() as connection:
        write_parcels(connection, [parcel_of(source) for source in sources])


def write_parcels(connection: sa.Connection, parcels: Sequence[Parcel]) -> None:
    """Insert all rows of these sources, in place of what was there of them; raw data that are known stay.

    One statement a table, whatever the number of sources. The caller's transaction makes it all or nothing.
    """
    if not parcels:
        return
    known = _known_sources(connection, parcels)
    if known:
        numbers = list(known.values())
        for table in (Lightcurve, Spectrum, Detection, Properties):
            for part in _parts(numbers):
                connection.execute(sa.delete(table).where(table.source_id.in_(part)))
    fresh = [p for p in parcels if _key(p.source) not in known]
    for parcel, number in zip(fresh, _reserve(connection, Source, len(fresh)), strict=True):
        known[_key(parcel.source)] = number
    _insert(connection, Source, [{"id": known[_key(p.source)], **p.source} for p in fresh])
    raw_ids = _write_raw(connection, parcels)
    links = {(known[_key(p.source)], raw_ids[_raw_key(row)]) for p in parcels for row in p.raw}
    _write_links(connection, links, {known[_key(p.source)] for p in fresh})
    curves, detections, properties = [], [], []
    curve_numbers = iter(_reserve(connection, Lightcurve, sum(len(parcel.curves) for parcel in parcels)))
    for parcel in parcels:
        source_id = known[_key(parcel.source)]
        by_observatory = {row["observatory"]: raw_ids[_raw_key(row)] for row in parcel.raw}
        own = [
            {
                "id": next(curve_numbers),
                "source_id": source_id,
                "raw_data_id": by_observatory.get(row["observatory"]),
                **row,
            }
            for row in parcel.curves
        ]
        curves += own
        detections += [
            {"source_id": source_id, "lightcurve_id": _curve_of(row, own), **row} for row in parcel.detections
        ]
        if parcel.properties is not None:
            properties.append({"source_id": source_id, **parcel.properties})
    _write_raw_data(connection, parcels, known, {known[_key(p.source)] for p in fresh})
    _insert(connection, Lightcurve, curves)
    _insert(connection, Detection, detections)
    _insert(connection, Properties, properties)


def _curve_of(detection: Row, curves: Sequence[Row]) -> int | None:
    """The light curve something was found in: of its survey and filter, and its season; None for what is of several."""
    peak = _mjd(detection["peak_time"])
    found = [
        one["id"] for one in curves
        if one["observatory"] == detection["observatory"] and one["filter"] == detection["filter"]
        and _mjd(one["time_start"]) <= peak <= _mjd(one["time_end"])
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _mjd(time: Any) -> float:
    if time is None:
        return float("nan")
    return mjd_of_datetime(time) if isinstance(time, dt.datetime) else float(time)


def _key(row: Row) -> tuple[str, str, str]:
    return row["project"], row["cfg_hash"], row["name"]


def _raw_key(row: Row) -> tuple[str, str]:
    return row["source_name"], row["observatory"]


def _parts(values: list[Any]) -> Iterable[list[Any]]:
    for first in range(0, len(values), _LOOKED_UP):
        yield values[first : first + _LOOKED_UP]


def _known_sources(connection: sa.Connection, parcels: Sequence[Parcel]) -> dict[tuple[str, str, str], int]:
    found = {}
    versions: dict[tuple[str, str], list[str]] = {}
    for parcel in parcels:
        project, cfg_hash, name = _key(parcel.source)
        versions.setdefault((project, cfg_hash), []).append(name)
    for (project, cfg_hash), names in versions.items():
        for part in _parts(names):
            query = sa.select(Source.name, Source.id).where(
                Source.project == project, Source.cfg_hash == cfg_hash, Source.name.in_(part)
            )
            for name, number in connection.execute(query):
                found[(project, cfg_hash, name)] = number
    return found


def _write_raw(connection: sa.Connection, parcels: Sequence[Parcel]) -> dict[tuple[str, str], int]:
    rows = {_raw_key(row): row for parcel in parcels for row in parcel.raw}
    ids: dict[tuple[str, str], int] = {}
    for part in _parts([name for name, _ in rows]):
        query = sa.select(RawPhotometry.source_name, RawPhotometry.observatory, RawPhotometry.id).where(
            RawPhotometry.source_name.in_(part)
        )
        for name, observatory, number in connection.execute(query):
            if (name, observatory) in rows:
                ids[(name, observatory)] = number
    known = [{"number_": number, **rows[key]} for key, number in ids.items()]
    if known:
        table: Any = RawPhotometry.__table__
        renewed: dict[str, Any] = {
            name: sa.bindparam(name) for name in ("altdata", "number", "size", "time_start", "time_end")
        }
        connection.execute(sa.update(table).where(table.c.id == sa.bindparam("number_")).values(renewed), known)
    fresh = [key for key in rows if key not in ids]
    for key, number in zip(fresh, _reserve(connection, RawPhotometry, len(fresh)), strict=True):
        ids[key] = number
    _insert(connection, RawPhotometry, [{"id": ids[key], **rows[key]} for key in fresh])
    return ids


def _write_raw_data(
    connection: sa.Connection, parcels: Sequence[Parcel], known: Mapping[tuple[str, str, str], int], new: set[int]
) -> None:
    """Images, cutouts and spectra: what is known of them stays, and is joined to the sources."""
    rows = {(row["source_name"], row["observatory"], row["kind"]): row for parcel in parcels for row in parcel.raw_data}
    if not rows and not any(parcel.spectra for parcel in parcels):
        return
    table: Any = RawData.__table__
    ids: dict[tuple[str, str, str], int] = {}
    for part in _parts(sorted({name for name, _, _ in rows})):
        query = sa.select(table.c.source_name, table.c.observatory, table.c.kind, table.c.id)
        for *key, number in connection.execute(query.where(table.c.source_name.in_(part))):
            ids[(key[0], key[1], key[2])] = number
    old = [{"number_": ids[key], **row} for key, row in rows.items() if key in ids]
    if old:
        renewed: dict[str, Any] = {
            name: sa.bindparam(name) for name in ("altdata", "number", "size", "time_start", "time_end")
        }
        connection.execute(sa.update(table).where(table.c.id == sa.bindparam("number_")).values(renewed), old)
    fresh = [key for key in rows if key not in ids]
    ids.update(zip(fresh, _reserve(connection, RawData, len(fresh)), strict=True))
    _insert(connection, RawData, [{"id": ids[key], **rows[key]} for key in fresh])
    links = {
        (known[_key(p.source)], ids[(row["source_name"], row["observatory"], row["kind"])])
        for p in parcels for row in p.raw_data
    }  # fmt: skip
    _write_links(connection, links, new, source_raw_data)
    spectra = []
    for parcel in parcels:
        raw = {row["observatory"]: ids[(row["source_name"], row["observatory"], row["kind"])]
               for row in parcel.raw_data if row["kind"] == "spectra"}  # fmt: skip
        spectra += [
            {"source_id": known[_key(parcel.source)], "raw_data_id": raw.get(row["observatory"]), **row}
            for row in parcel.spectra
        ]
    _insert(connection, Spectrum, spectra)


def _write_links(
    connection: sa.Connection, links: set[tuple[int, int]], fresh: set[int], table: sa.Table = source_raw_photometry
) -> None:
    """Which raw data belong to which sources; of sources that are new nothing can be there yet."""
    old = [source for source, _ in links if source not in fresh]
    held = set()
    for part in _parts(old):
        query = sa.select(table).where(table.c.source_id.in_(part))
        held |= {(source, raw) for source, raw in connection.execute(query)}
    missing = sorted(links - held)
    if missing:
        database.insert_rows(connection, table, [{"source_id": source, "raw_id": raw} for source, raw in missing])


def _reserve(connection: sa.Connection, table: type[Base], count: int) -> list[int]:
    """Numbers for new rows. Within the writer's transaction nobody else can take them."""
    if not count:
        return []
    if connection.dialect.name == "postgresql":
        name = table.__tablename__
        query = sa.text(f"SELECT nextval(pg_get_serial_sequence('{name}', 'id')) FROM generate_series(1, :count)")
        return [row[0] for row in connection.execute(query, {"count": count})]
    last = connection.execute(sa.select(sa.func.max(table.id))).scalar() or 0
    return list(range(last + 1, last + 1 + count))


def _insert(connection: sa.Connection, table: type[Base], rows: list[Row]) -> None:
    database.insert_rows(connection, table.__table__, rows)  # type: ignore[arg-type]


def write_problems(connection: sa.Connection, problems: Sequence[Row]) -> None:
    """Note failures; one source has one row, and how often it failed."""
    for problem in problems:
        key = [getattr(Problem, name) == problem[name] for name in ("project", "cfg_hash", "source_name")]
        changed = connection.execute(sa.update(Problem).where(*key).values(**problem, times=Problem.times + 1))
        if not changed.rowcount:
            connection.execute(sa.insert(Problem).values(**problem, times=1))


def keep_fetched(sources: Sequence[Source], problems: Sequence[Row]) -> None:
    """Write sources that were fetched and what failed, at once. Sources that are known with the same raw data stay as
    they are, with all that was found out about them."""
    if database.NO_DB_SESSION or not (sources or problems):
        return
    with database.current().writing() as connection:
        parcels = [parcel_of(source) for source in sources]
        known = _known_sources(connection, parcels)
        held = _raw_of(connection, known)
        write_parcels(connection, [
            parcel for parcel in parcels
            if not {(_key(parcel.source), row["observatory"], row["number"]) for row in parcel.raw} <= held
        ])  # fmt: skip
        for parcel in parcels:
            same = [getattr(Problem, name) == parcel.source[key] for name, key in
                    (("project", "project"), ("cfg_hash", "cfg_hash"), ("source_name", "name"))]  # fmt: skip
            connection.execute(sa.delete(Problem).where(*same, Problem.step.in_(("download", "reduce"))))
        write_problems(connection, problems)


def _raw_of(connection: sa.Connection, known: Mapping[tuple[str, str, str], int]) -> set[tuple[Any, str, int | None]]:
    """(source, observatory, rows) of the raw data that sources have in the database."""
    held = set()
    keys = {number: key for key, number in known.items()}
    link = source_raw_photometry
    for part in _parts(list(keys)):
        query = (
            sa.select(link.c.source_id, RawPhotometry.observatory, RawPhotometry.number)
            .join(RawPhotometry, RawPhotometry.id == link.c.raw_id)
            .where(link.c.source_id.in_(part))
        )
        held |= {(keys[source], observatory, number) for source, observatory, number in connection.execute(query)}
    return held
