"""In which frame columns give places and times, and in which photometric system magnitudes, as a publisher says it.

What the source file says (COOSYS, TIMESYS, GROUPs of PhotDM) stays; the words of a resource.yaml overrule it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from skyvault.errors import IngestError
from skyvault.model.frames import PhotometricSystem, frame_name, is_photometric, time_name
from skyvault.model.table import Column, CoordinateFrame, Group, Table, TimeFrame

#: words of a column that are about frames
COLUMN_WORDS: Final = (
    "frame", "timescale", "refposition", "timeorigin", "filter", "magnitude_system", "zero_point", "wavelength",
)  # fmt: skip
#: words of a table's frame
FRAME_WORDS: Final = ("system", "epoch", "equinox", "refposition")
#: IVOA vocabularies timescale, refposition and refframe (those that clients know)
TIMESCALES: Final = (
    "TAI",
    "TT",
    "TDT",
    "ET",
    "IAT",
    "UT1",
    "UTC",
    "GMT",
    "GPS",
    "TCG",
    "TCB",
    "TDB",
    "LOCAL",
    "UNKNOWN",
)
REFPOSITIONS: Final = ("TOPOCENTER", "GEOCENTER", "BARYCENTER", "HELIOCENTER", "EMBARYCENTER", "UNKNOWN")
SYSTEMS: Final = ("ICRS", "FK5", "FK4", "GALACTIC", "SUPER_GALACTIC", "ECLIPTIC", "UNKNOWN")
#: beginnings of UCDs of what is given in the frame of the table's positions
_IN_FRAME: Final = ("pos.eq", "pos.pm", "pos.parallax", "pos.outline", "pos.bodyrc")


@dataclass(slots=True)
class Frames:
    """Columns with references, and what they refer to."""

    columns: list[Column]
    frames: list[CoordinateFrame] = field(default_factory=list)
    time_frames: list[TimeFrame] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def keep_frame(self, frame: CoordinateFrame) -> str:
        frame = replace(frame, id=frame_name(frame))
        if frame.id not in [one.id for one in self.frames]:
            self.frames.append(frame)
        return frame.id

    def keep_times(self, frame: TimeFrame) -> str:
        frame = replace(frame, id=time_name(frame))
        if frame.id not in [one.id for one in self.time_frames]:
            self.time_frames.append(frame)
        return frame.id

    def keep_system(self, system: PhotometricSystem) -> str:
        group = system.group()
        if group.id not in [one.id for one in self.groups]:
            self.groups.append(group)
        return str(group.id)


def with_frames(columns: list[Column], source: Table, given: Mapping[str, Any], position: list[int]) -> Frames:
    """Columns (of ``source``, perhaps renamed) that refer to their frames; ``position`` are those of the main position.

    ``given`` is what the publisher said: "frame" of the table, and "columns" with words about frames. Raises
    IngestError for words that no vocabulary knows, and for times whose origin cannot be told.
    """
    found = Frames(list(columns), list(source.frames), list(source.time_frames))
    found.groups = [replace(group, column_refs=()) for group in source.groups if is_photometric(group)]
    in_group = {ref: group.id for group in source.groups if is_photometric(group) for ref in group.column_refs}
    for i, column in enumerate(source.columns):
        if column.id in in_group and found.columns[i].ref is None:
            found.columns[i] = replace(found.columns[i], ref=in_group[column.id])
    _table_frame(found, given.get("frame"), position)
    by_name = {column.name.lower(): i for i, column in enumerate(source.columns)}
    for name, words in (given.get("columns") or {}).items():
        said = {key: words[key] for key in COLUMN_WORDS if words.get(key) is not None}
        if said:
            # a name that is not there was told before
            _column_frame(found, by_name[name.lower()], name, said)
    known = {frame.id for frame in found.frames} | {frame.id for frame in found.time_frames}
    known |= {str(group.id) for group in found.groups}
    found.columns = [one if one.ref is None or one.ref in known else replace(one, ref=None) for one in found.columns]
    return found


def _table_frame(found: Frames, said: Any, position: list[int]) -> None:
    old = {found.columns[i].ref for i in position if found.columns[i].ref}
    if said is None:
        if position and not found.frames:
            name = found.keep_frame(CoordinateFrame("", "ICRS"))
        elif position and not old:
            name = found.frames[0].id
        else:
            return
        for i in position:
            if found.columns[i].ref is None:
                found.columns[i] = replace(found.columns[i], ref=name)
        return
    name = found.keep_frame(coordinate_frame(said, "frame"))
    for i, column in enumerate(found.columns):
        plain = (column.ucd or "").lower().removeprefix("stat.error;")
        is_moved = column.ref in old or (column.ref is None and plain.startswith(_IN_FRAME))
        if i in position or is_moved:
            found.columns[i] = replace(column, ref=name)
    left = {column.ref for column in found.columns}
    found.frames = [one for one in found.frames if one.id in left]


def _column_frame(found: Frames, index: int, name: str, said: Mapping[str, Any]) -> None:
    column, where = found.columns[index], f"columns.{name}"
    if sum(word in said for word in ("frame", "timescale", "filter")) > 1:
        raise IngestError("a column is a place, a time or a brightness", where=where)
    if "frame" in said:
        frame = coordinate_frame(said["frame"], f"{where}.frame")
        if "refposition" in said:
            frame = replace(frame, refposition=_word(said["refposition"], REFPOSITIONS, f"{where}.refposition"))
        ref = found.keep_frame(frame)
    elif "timescale" in said:
        ref = found.keep_times(_time_frame(column, said, where))
        column = replace(column, ucd=column.ucd or "time.epoch")
    elif "filter" in said:
        ref = found.keep_system(_system(said, where))
        if column.unit is None and column.ucd is None:
            column = replace(column, unit="mag", ucd="phot.mag")
    else:
        raise IngestError(
            f"{sorted(said)[0]} says nothing alone",
            where=where,
            hint="Give timescale for times, filter for magnitudes, frame for places.",
        )
    found.columns[index] = replace(column, ref=ref)


def coordinate_frame(said: Any, where: str) -> CoordinateFrame:
    """A frame as a publisher writes it: "ICRS", or {system, epoch, equinox, refposition}. Raises IngestError."""
    words = {"system": said} if isinstance(said, str) else dict(said) if isinstance(said, Mapping) else {}
    unknown = [key for key in words if key not in FRAME_WORDS]
    if unknown or not words:
        raise IngestError(
            f"{str(unknown[0] if unknown else said)!r} is no part of a frame",
            where=where,
            hint=f"Use {', '.join(FRAME_WORDS)}.",
        )
    refposition = words.get("refposition")
    return CoordinateFrame(
        "",
        _word(words.get("system") or "ICRS", SYSTEMS, where),
        _epoch(words.get("epoch"), f"{where}.epoch"),
        _epoch(words.get("equinox"), f"{where}.equinox"),
        None if refposition is None else _word(refposition, REFPOSITIONS, f"{where}.refposition"),
    )


def _epoch(said: Any, where: str) -> str | None:
    """J2016.0 or B1950; a plain year is Julian (VOTable 1.5, COOSYS)."""
    if said is None:
        return None
    text = str(said).strip().upper()
    letter, year = (text[0], text[1:]) if text[:1] in ("J", "B") else ("J", text)
    try:
        number = float(year)
    except ValueError:
        number = 0.0
    if not 1000 < number < 3000:
        raise IngestError(f"{str(said)!r} is no epoch", where=where, hint="Write J2016.0 or B1950.0.")
    return f"{letter}{year}"


def _time_frame(column: Column, said: Mapping[str, Any], where: str) -> TimeFrame:
    scale = _word(said["timescale"], TIMESCALES, f"{where}.timescale")
    place = _word(said.get("refposition") or "UNKNOWN", REFPOSITIONS, f"{where}.refposition")
    origin = said.get("timeorigin")
    if column.is_timestamp:
        if origin is not None:
            raise IngestError("calendar dates have no timeorigin", where=where)
        return TimeFrame("", scale, place)
    return TimeFrame("", scale, place, _origin(column, origin, where))


def _origin(column: Column, said: Any, where: str) -> str | None:
    if said is None:
        lowered = column.name.lower()
        for beginning, origin in (
            ("mjd", "MJD-origin"),
            ("jd", "JD-origin"),
            ("bjd", "JD-origin"),
            ("hjd", "JD-origin"),
        ):
            if lowered.startswith(beginning):
                return origin
        if (column.unit or "") in ("yr", "a", "year"):
            return None
        raise IngestError(
            f"the origin of {column.name} cannot be told from its name",
            where=where,
            hint="Give timeorigin: MJD-origin, JD-origin, or the Julian Date that its zero is.",
        )
    text = str(said).strip()
    if text.lower() in ("mjd-origin", "jd-origin"):
        return text.upper().replace("ORIGIN", "origin")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number < 1e7:
        raise IngestError(
            f"timeorigin {text!r} is no Julian Date", where=where, hint="Use MJD-origin, JD-origin or a number of days."
        )
    return "JD-origin" if number == 0 else "MJD-origin" if number == 2400000.5 else repr(number)


def _system(said: Mapping[str, Any], where: str) -> PhotometricSystem:
    def positive(word: str) -> float | None:
        if word not in said:
            return None
        try:
            number = float(said[word])
        except (TypeError, ValueError):
            number = 0.0
        if not 0 < number < float("inf"):
            unit = "jansky" if word == "zero_point" else "metres"
            raise IngestError(f"{word} {said[word]!r} is no positive number", where=where, hint=f"It is in {unit}.")
        return number

    kind = said.get("magnitude_system")
    return PhotometricSystem(
        str(said["filter"]).strip(),
        None if kind is None else str(kind).strip(),
        positive("zero_point"),
        positive("wavelength"),
    )


def _word(said: Any, known: tuple[str, ...], where: str) -> str:
    text = str(said).strip().upper().removeprefix("EQ_")
    if text not in known:
        raise IngestError(f"{str(said)!r} is not known", where=where, hint=f"Use one of {', '.join(known)}.")
    return text
