"""Which columns of a table are a position with its motion, a brightness or a time, said so that programs understand it.

A block of MIVOT 1.0 (IVOA, 20 June 2023) beside the table in a VOTable: each row is a ``mango:MangoObject`` with an
``EpochPosition`` (place, proper motion, parallax, radial velocity, epoch, their errors and correlations), a
``Brightness`` for each column of a known photometric system, and a ``meas:Time`` for each column of a known time frame.
What is what is told by the columns' UCDs, units and references; nothing is claimed of a column whose frame is unknown.

Roles and types are those of MANGO (working draft 1.0), Meas 1.0, Coords 1.0 and PhotDM 1.1 in the spelling that pyvo's
``MivotViewer`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from skyvault.formats.mivot_systems import (
    attribute,
    collection,
    instance,
    photometric_system,
    reference,
    space_system,
    time_system,
)
from skyvault.formats.votable_out import element, modern_frame
from skyvault.model.frames import PhotometricSystem, free_id, is_photometric
from skyvault.model.table import NUMERIC, Column, CoordinateFrame, Table, TimeFrame

NAMESPACE: Final = "http://www.ivoa.net/xml/mivot"
_MODELS: Final = {
    "ivoa": "https://www.ivoa.net/xml/VODML/IVOA-v1.vo-dml.xml",
    "mango": "https://raw.githubusercontent.com/ivoa-std/MANGO/refs/heads/wd-v1.0/vo-dml/mango.vo-dml.xml",
    "coords": "https://ivoa.net/xml/VODML/Coords-v1.vo-dml.xml",
    "meas": "https://ivoa.net/xml/VODML/Meas-v1.vo-dml.xml",
    "Phot": "https://ivoa.net/xml/VODML/Phot-v1.vodml.xml",
}
_EQUATORIAL: Final = ("ICRS", "FK5", "FK4")
#: pairs of UCDs of a position and of its proper motion, best first; the frame's system must be one of those given
_PLACES: Final = (
    (("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"), ("pos.pm;pos.eq.ra", "pos.pm;pos.eq.dec"), _EQUATORIAL),
    (("pos_eq_ra_main", "pos_eq_dec_main"), ("pos.pm;pos.eq.ra", "pos.pm;pos.eq.dec"), _EQUATORIAL),
    (("pos.eq.ra", "pos.eq.dec"), ("pos.pm;pos.eq.ra", "pos.pm;pos.eq.dec"), _EQUATORIAL),
    (
        ("pos.galactic.lon;meta.main", "pos.galactic.lat;meta.main"),
        ("pos.pm;pos.galactic.lon", "pos.pm;pos.galactic.lat"),
        ("GALACTIC",),
    ),
    (
        ("pos.galactic.lon", "pos.galactic.lat"),
        ("pos.pm;pos.galactic.lon", "pos.pm;pos.galactic.lat"),
        ("GALACTIC",),
    ),
)  # fmt: skip
_PARALLAX: Final = ("pos.parallax.trig", "pos.parallax")
_VELOCITY: Final = ("spect.dopplerveloc.opt", "spect.dopplerveloc", "phys.veloc;pos.heliocentric")
#: UCDs as Gaia's archive writes them; MANGO's roles
_CORRELATIONS: Final = {
    "stat.correlation;pos.eq.ra;pos.eq.dec": "longitudeLatitude",
    "stat.correlation;pos.eq.ra;pos.parallax": "longitudeParallax",
    "stat.correlation;pos.eq.ra;pos.parallax.trig": "longitudeParallax",
    "stat.correlation;pos.eq.ra;pos.pm;pos.eq.ra": "longitudePmLongitude",
    "stat.correlation;pos.eq.ra;pos.pm;pos.eq.dec": "longitudePmLatitude",
    "stat.correlation;pos.eq.dec;pos.parallax": "latitudeParallax",
    "stat.correlation;pos.eq.dec;pos.parallax.trig": "latitudeParallax",
    "stat.correlation;pos.eq.dec;pos.pm;pos.eq.ra": "latitudePmLongitude",
    "stat.correlation;pos.eq.dec;pos.pm;pos.eq.dec": "latitudePmLatitude",
    "stat.correlation;pos.parallax;pos.pm;pos.eq.ra": "pmLongitudeParallax",
    "stat.correlation;pos.parallax.trig;pos.pm;pos.eq.ra": "pmLongitudeParallax",
    "stat.correlation;pos.parallax;pos.pm;pos.eq.dec": "pmLatitudeParallax",
    "stat.correlation;pos.parallax.trig;pos.pm;pos.eq.dec": "pmLatitudeParallax",
    "stat.correlation;pos.pm;pos.eq.ra;pos.pm;pos.eq.dec": "pmLongitudePmLatitude",
}
_YEARS: Final = frozenset({"yr", "a", "year", "y"})
#: units that go into an attribute as they are
_PLAIN_UNIT: Final = re.compile(r"[A-Za-z0-9 .*/^()+-]{1,60}")


@dataclass(frozen=True, slots=True)
class _Found:
    """Columns of a table by what they are."""

    columns: Sequence[Column]
    by_ucd: dict[str, int]

    @staticmethod
    def of(table: Table) -> _Found:
        by_ucd: dict[str, int] = {}
        for i, column in enumerate(table.columns):
            # of several with one UCD the first stands for it; arrays are no single values
            if column.ucd and not column.is_array:
                by_ucd.setdefault(column.ucd.lower(), i)
        return _Found(table.columns, by_ucd)

    def number(self, *ucds: str) -> int | None:
        """The first numeric column of one of these UCDs."""
        for ucd in ucds:
            i = self.by_ucd.get(ucd)
            if i is not None and self.columns[i].datatype in NUMERIC:
                return i
        return None

    def error_of(self, index: int) -> int | None:
        """The column with the error of another, by its UCD."""
        ucd = (self.columns[index].ucd or "").lower()
        plain = ucd.removesuffix(";meta.main")
        plain = {"pos_eq_ra_main": "pos.eq.ra", "pos_eq_dec_main": "pos.eq.dec"}.get(plain, plain)
        return self.number(f"stat.error;{plain}", f"stat.error;{ucd}")


class _Block:
    """What is written: the referenced columns, the shared systems and the properties of a row."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.found = _Found.of(table)
        self.used: dict[int, str] = {}
        self.shared: dict[str, str] = {}
        self.properties: list[str] = []
        self.taken = {column.id for column in table.columns if column.id}
        self.taken |= {frame.id for frame in table.frames} | {frame.id for frame in table.time_frames}
        self.taken |= {group.id for group in table.groups if group.id}

    def id_of(self, index: int) -> str:
        """The XML ID of a column, which its FIELD gets."""
        if index not in self.used:
            column = self.table.columns[index]
            self.used[index] = column.id or free_id(column.name, index, self.taken)
            self.taken.add(self.used[index])
        return self.used[index]

    def quantity(self, role: str, index: int, dmtype: str = "ivoa:RealQuantity") -> str:
        unit = self.table.columns[index].unit
        told = unit if unit and dmtype == "ivoa:RealQuantity" and _PLAIN_UNIT.fullmatch(unit) else None
        return attribute(role, dmtype, ref=self.id_of(index), unit=told)


def annotated(table: Table, *, is_asked: bool = False) -> tuple[Table, str]:
    """A described result with IDs on the columns that are spoken of, and the RESOURCE with the MIVOT block.

    The text is empty when there is nothing to say, unless it ``is_asked`` for: then the block's REPORT says so.
    """
    block = _Block(table)
    _position(block)
    _brightness(block)
    _times(block)
    if not block.properties:
        if not is_asked:
            return table, ""
        why = "No column has a known frame of place or time, or a known photometric system."
        return table, _resource(element("REPORT", {"status": "FAILED"}, why))
    columns = tuple(
        replace(column, id=block.used[i]) if i in block.used else column for i, column in enumerate(table.columns)
    )
    inner = ""
    identifier = block.found.by_ucd.get("meta.id;meta.main")
    if identifier is None:
        identifier = block.found.by_ucd.get("id_main")
    if identifier is not None:
        inner += attribute("mango:MangoObject.identifier", "ivoa:string", ref=block.id_of(identifier))
        columns = tuple(
            replace(column, id=block.used[i]) if i in block.used else column for i, column in enumerate(columns)
        )
    inner += collection("mango:MangoObject.propertyDock", block.properties)
    text = element("REPORT", {"status": "OK"}, "Told by UCDs, units and frames of the columns.")
    models = {
        model for model in _MODELS if f'"{model}:' in inner or any(f'"{model}:' in s for s in block.shared.values())
    }
    text += "".join(element("MODEL", {"name": name, "url": url}) for name, url in _MODELS.items() if name in models)
    text += f"<GLOBALS>\n{''.join(block.shared.values())}</GLOBALS>\n" if block.shared else ""
    text += f"<TEMPLATES>\n{instance('mango:MangoObject', inner)}</TEMPLATES>\n"
    return replace(table, columns=columns), _resource(text)


# --- what a row holds -----------------------------------------------------------------------------------------------


def _position(block: _Block) -> None:
    found, table = block.found, block.table
    frames = {frame.id: frame for frame in table.frames}
    for (lon_ucd, lat_ucd), motion_ucds, systems in _PLACES:
        lon, lat = found.number(lon_ucd), found.number(lat_ucd)
        if lon is None or lat is None:
            continue
        frame = frames.get(table.columns[lon].ref or "")
        if frame is None or table.columns[lat].ref != frame.id or modern_frame(frame.system) not in systems:
            continue
        motion = (found.number(motion_ucds[0]), found.number(motion_ucds[1]))
        block.properties.append(_epoch_position(block, frame, lon, lat, motion))
        return


def _epoch_position(
    block: _Block, frame: CoordinateFrame, lon: int, lat: int, motion: tuple[int | None, int | None]
) -> str:
    role = "mango:EpochPosition"
    found = block.found
    inner = block.quantity(f"{role}.longitude", lon) + block.quantity(f"{role}.latitude", lat)
    errors = _pair_errors(block, "position", lon, lat)
    pm_lon, pm_lat = motion
    if pm_lon is not None and pm_lat is not None:
        inner += block.quantity(f"{role}.pmLongitude", pm_lon) + block.quantity(f"{role}.pmLatitude", pm_lat)
        # catalogues give the motion along the parallel
        inner += attribute(f"{role}.pmCosLat_applied", "ivoa:boolean", value="true")
        errors += _pair_errors(block, "properMotion", pm_lon, pm_lat)
    for name, index in (("parallax", found.number(*_PARALLAX)), ("radialVelocity", found.number(*_VELOCITY))):
        if index is not None and block.table.columns[index].unit:
            inner += block.quantity(f"{role}.{name}", index)
            errors += _error(block, f"mango:EpochPositionErrors.{name}", index)
    inner += _epoch(block, frame)
    correlations = "".join(
        block.quantity(f"mango:EpochPositionCorrelations.{name}", index, "ivoa:real")
        for ucd, name in _CORRELATIONS.items()
        if (index := found.number(ucd)) is not None
    )
    if correlations:
        correlations += attribute("mango:EpochPositionCorrelations.isCovariance", "ivoa:boolean", value="false")
        inner += instance("mango:EpochPositionCorrelations", correlations, role=f"{role}.correlations")
    if errors:
        inner += instance("mango:EpochPositionErrors", errors, role=f"{role}.errors")
    inner += reference(f"{role}.spaceSys", space_system(block.shared, frame))
    return instance(role, inner)


def _pair_errors(block: _Block, name: str, first: int, second: int) -> str:
    one, two = block.found.error_of(first), block.found.error_of(second)
    if one is None or two is None:
        return ""
    role = "mango:error.PErrorSym2D"
    inner = block.quantity(f"{role}.sigma1", one) + block.quantity(f"{role}.sigma2", two)
    return instance(role, inner, role=f"mango:EpochPositionErrors.{name}")


def _error(block: _Block, role: str, index: int) -> str:
    error = block.found.error_of(index)
    if error is None:
        return ""
    kind = "mango:error.PErrorSym1D"
    return instance(kind, block.quantity(f"{kind}.sigma", error), role=role)


def _epoch(block: _Block, frame: CoordinateFrame) -> str:
    """The epoch of the positions: a column of years, or the frame's own."""
    role = "mango:EpochPosition.obsDate"
    for ucd in ("meta.ref;time.epoch", "time.epoch;pos", "time.epoch"):
        index = block.found.number(ucd)
        if index is not None and (block.table.columns[index].unit or "") in _YEARS:
            return attribute(role, "mango:JulianEpoch", ref=block.id_of(index))
    match = re.fullmatch(r"([JB]?)(\d{4}(?:\.\d+)?)", (frame.epoch or "").strip())
    if match is None:
        return ""
    kind = "BesselianEpoch" if match[1] == "B" else "JulianEpoch"
    return attribute(role, f"mango:{kind}", value=f"{match[1] or 'J'}{match[2]}")


def _brightness(block: _Block) -> None:
    systems = {group.id: group for group in block.table.groups if is_photometric(group)}
    for index, column in enumerate(block.table.columns):
        group = systems.get(column.ref) if column.ref else None
        ucd = (column.ucd or "").lower()
        if group is None or column.datatype not in NUMERIC or column.is_array or ucd.startswith("stat.error"):
            continue
        system = PhotometricSystem.of(group)
        if system is None:
            continue
        role = "mango:PhotometricProperty"
        inner = attribute("mango:Property.description", "ivoa:string", value=f"Brightness in {system.filter}")
        inner += block.quantity(f"{role}.value", index)
        error = _error_column(block, index)
        if error is not None:
            kind = "mango:error.PErrorSym1D"
            inner += instance(kind, block.quantity(f"{kind}.sigma", error), role=f"{role}.error")
        inner += reference("mango:Brightness.photCal", photometric_system(block.shared, str(group.id), system))
        block.properties.append(instance("mango:Brightness", inner))


def _error_column(block: _Block, index: int) -> int | None:
    """The error of a magnitude: of its UCD and its system, or the only one of its UCD."""
    columns = block.table.columns
    ucd = (columns[index].ucd or "").lower()
    wanted = f"stat.error;{ucd.removesuffix(';meta.main')}"
    alike = [
        i
        for i, one in enumerate(columns)
        if (one.ucd or "").lower() == wanted and one.datatype in NUMERIC and not one.is_array
    ]
    same = [i for i in alike if columns[i].ref == columns[index].ref]
    rivals = [one for one in columns if (one.ucd or "").lower() == ucd]
    if len(same) == 1:
        return same[0]
    return alike[0] if len(alike) == 1 and len(rivals) == 1 else None


def _times(block: _Block) -> None:
    frames = {frame.id: frame for frame in block.table.time_frames}
    for index, column in enumerate(block.table.columns):
        frame = frames.get(column.ref) if column.ref else None
        if frame is None or column.is_array or (column.ucd or "").lower().startswith("stat.error"):
            continue
        coordinate = _instant(block, index, column, frame)
        if not coordinate:
            continue
        measure = instance("meas:Time", coordinate, role="mango:PhysicalProperty.measure")
        about = attribute("mango:Property.description", "ivoa:string", value=column.name)
        block.properties.append(instance("mango:PhysicalProperty", about + measure))


def _instant(block: _Block, index: int, column: Column, frame: TimeFrame) -> str:
    """The coordinate of a time as Coords 1.0 has it: by its type and its frame's origin."""
    system = reference("coords:Coordinate.coordSys", time_system(block.shared, frame))
    role = "meas:Time.coord"
    if column.is_timestamp:
        date = block.quantity("coords:ISOTime.date", index, "ivoa:datetime")
        return instance("coords:ISOTime", date + system, role=role)
    if column.datatype not in NUMERIC:
        return ""
    origin = (frame.timeorigin or "").strip()
    if column.unit == "d" and origin == "MJD-origin":
        return instance("coords:MJD", block.quantity("coords:MJD.date", index, "ivoa:real") + system, role=role)
    if column.unit == "d" and (origin == "JD-origin" or _number(origin) == 0.0):
        return instance("coords:JD", block.quantity("coords:JD.date", index, "ivoa:real") + system, role=role)
    zero = {"MJD-origin": 2400000.5, "JD-origin": 0.0}.get(origin, _number(origin))
    if zero is None or not column.unit:
        return ""
    start = attribute("coords:JD.date", "ivoa:real", value=repr(zero))
    offset = block.quantity("coords:TimeOffset.time", index)
    offset += instance("coords:JD", start, role="coords:TimeOffset.time0")
    return instance("coords:TimeOffset", offset + system, role=role)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _resource(inner: str) -> str:
    return f'<RESOURCE type="meta">\n{element("VODML", {"xmlns": NAMESPACE}, chr(10) + inner)}</RESOURCE>\n'
