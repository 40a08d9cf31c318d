"""Frames of place, scales of time, photometric systems and axes of vectors under names made of what they say.

Two tables that are joined may both call their frame "sys"; when a name is made of its content, equal names mean equal
frames, and the columns of a join keep theirs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from skyvault.model.table import Column, CoordinateFrame, Group, Table, TimeFrame

#: GROUPs of this name hold a photometric system (Note on the annotation of time series; PhotDM 1.1)
PHOTCAL: Final = "photcal"
FILTER: Final = "photDM:PhotometryFilter.identifier"
WAVELENGTH: Final = "photDM:PhotometryFilter.spectralLocation.value"
ZERO_FLUX: Final = "photDM:PhotCal.zeroPoint.flux.value"
ZERO_MAGNITUDE: Final = "photDM:PhotCal.zeroPoint.referenceMagnitude.value"
MAGNITUDE_SYSTEM: Final = "photDM:PhotCal.magnitudeSystem.type"

_OTHER: Final = re.compile(r"[^A-Za-z0-9]+")
_LONGEST: Final = 60
_AXIS: Final = "axis_"


@dataclass(frozen=True, slots=True)
class PhotometricSystem:
    """What magnitudes are measured in.

    ``filter`` is the filter's identifier, best that of SVO's Filter Profile Service ("GAIA/GAIA3.G"). ``system`` is
    Vega, AB or ST; ``zero_point_jy`` the flux of magnitude 0 in jansky; ``wavelength_m`` the effective wavelength.
    """

    filter: str
    system: str | None = None
    zero_point_jy: float | None = None
    wavelength_m: float | None = None

    def group(self) -> Group:
        """The GROUP a VOTable describes it by."""
        params = [
            Column("filterIdentifier", "char", "*", ucd="meta.id;instr.filter", utype=FILTER, value=self.filter),
        ]
        if self.zero_point_jy is not None:
            params.append(
                Column(
                    "zeroPointFlux", "double", unit="Jy", ucd="phot.flux.density;arith.zp", utype=ZERO_FLUX,
                    value=repr(self.zero_point_jy),
                )
            )  # fmt: skip
            params.append(
                Column("zeroPointReferenceMagnitude", "double", unit="mag", utype=ZERO_MAGNITUDE, value="0.0")
            )
        if self.system is not None:
            params.append(
                Column("magnitudeSystem", "char", "*", ucd="meta.code", utype=MAGNITUDE_SYSTEM, value=self.system)
            )
        if self.wavelength_m is not None:
            params.append(
                Column(
                    "effectiveWavelength", "double", unit="m", ucd="em.wl.effective", utype=WAVELENGTH,
                    value=repr(self.wavelength_m),
                )
            )  # fmt: skip
        made = Group(PHOTCAL, description=f"Photometric system of {self.filter}", params=tuple(params))
        return replace(made, id=group_name(made))

    @staticmethod
    def of(group: Group) -> PhotometricSystem | None:
        """The system that a GROUP describes; None when it describes none."""
        said = {(param.utype or "").lower(): param for param in group.params}

        def text(utype: str) -> str | None:
            param = said.get(utype.lower())
            return (param.value or "").strip() or None if param is not None else None

        def number(utype: str, unit: str) -> float | None:
            value, param = text(utype), said.get(utype.lower())
            # what is in another unit is left to who reads the GROUP itself
            if value is None or param is None or param.unit != unit:
                return None
            try:
                return float(value)
            except ValueError:
                return None

        name = text(FILTER)
        if name is None:
            return None
        return PhotometricSystem(name, text(MAGNITUDE_SYSTEM), number(ZERO_FLUX, "Jy"), number(WAVELENGTH, "m"))


def frame_name(frame: CoordinateFrame) -> str:
    """The identifier of a frame of place: "icrs", "icrs_j2016_0_barycenter"."""
    return _named("", (frame.system, frame.equinox, frame.epoch, frame.refposition))


def time_name(frame: TimeFrame) -> str:
    """The identifier of a frame of times: "time_tdb_barycenter_mjd_origin"."""
    return _named("time_", (frame.timescale, frame.refposition, frame.timeorigin))


def group_name(group: Group) -> str:
    """The identifier of a photometric system: its filter's name, and a sum of what else it says."""
    system = PhotometricSystem.of(group)
    said = "\n".join(f"{param.utype}={param.value}{param.unit}" for param in group.params)
    return f"{_named('phot_', (system.filter if system else None,))}_{zlib.crc32(said.encode('utf-8', 'replace')):08x}"


def axis_name(axis: Column) -> str:
    """The identifier of the values that vectors are given at: its name, and a sum of what it says."""
    said = f"{axis.unit}\n{axis.value}"
    return f"{_named(_AXIS, (axis.name,))}_{zlib.crc32(said.encode('utf-8', 'replace')):08x}"


def axes_of(table: Table) -> dict[str, Column]:
    """The axes of a table's vectors, by the IDs that columns refer to."""
    wanted = {column.ref for column in table.columns if column.ref}
    return {str(param.id): param for param in table.params if param.id in wanted and is_axis(param)}


def common_axis(vectors: Iterable[Column]) -> str | None:
    """The axis that vectors of one length have in common, and so what is computed of them element by element."""
    found = {(vector.ref, vector.arraysize) for vector in vectors}
    ref = next(iter(found))[0] if len(found) == 1 else None
    return ref if ref is not None and ref.startswith(_AXIS) else None


def numbers_of(axis: Column) -> list[float]:
    """The values of an axis; none where they are no numbers."""
    try:
        return [float(one) for one in re.split(r"[\s,]+", str(axis.value).strip())]
    except ValueError:
        return []


def is_axis(param: Column) -> bool:
    """Whether a PARAM is an axis (wavelengths of spectra, say) that columns of vectors refer to by its ID."""
    return param.id is not None and param.value is not None and param.is_array


def _named(prefix: str, parts: Iterable[str | None]) -> str:
    words = [part.strip() for part in parts if part and part.strip()]
    text = prefix + _OTHER.sub("_", "_".join(words)).strip("_").lower()
    if len(text) > _LONGEST:
        # what somebody uploaded may say anything
        text = f"{text[:_LONGEST]}_{zlib.crc32(repr(words).encode('utf-8', 'replace')):08x}"
    return text if text[:1].isalpha() else f"frame_{text}"


def is_photometric(group: Group) -> bool:
    """Whether a GROUP describes a photometric system that columns refer to by its ID."""
    return group.id is not None and any((param.utype or "").lower() == FILTER.lower() for param in group.params)


def canonical(table: Table) -> Table:
    """The table with its frames, photometric systems and axes renamed by their content, and its columns' references.

    References to what is not there are dropped.
    """
    if not (table.frames or table.time_frames or table.groups) and not any(
        one.ref or is_axis(one) for one in (*table.columns, *table.params)
    ):
        return table
    frames = {frame.id: replace(frame, id=frame_name(frame)) for frame in table.frames}
    times = {frame.id: replace(frame, id=time_name(frame)) for frame in table.time_frames}
    systems = {group.id: replace(group, id=group_name(group)) for group in table.groups if is_photometric(group)}
    wanted = {column.ref for column in table.columns if column.ref}
    params = tuple(
        replace(param, id=axis_name(param)) if is_axis(param) and param.id in wanted else param
        for param in table.params
    )
    names: dict[str, str | None] = {
        str(old.id): new.id for old, new in zip(table.params, params, strict=True) if is_axis(old)
    }
    names |= {str(old): new.id for old, new in systems.items()}
    names |= {old: new.id for old, new in times.items()}
    names |= {old: new.id for old, new in frames.items()}
    columns = tuple(
        column
        if column.ref is None or names.get(column.ref) == column.ref
        else replace(column, ref=names.get(column.ref))
        for column in table.columns
    )
    others = tuple(group for group in table.groups if not is_photometric(group))
    return replace(
        table,
        columns=columns,
        params=params,
        frames=tuple({frame.id: frame for frame in frames.values()}.values()),
        time_frames=tuple({frame.id: frame for frame in times.values()}.values()),
        groups=(*others, *{group.id: group for group in systems.values()}.values()),
    )


def with_frames_of(table: Table, sources: Iterable[Table]) -> Table:
    """A result with the frames, systems and axes its columns refer to, as the tables it was made of describe them.

    The sources' names must be made of their content (:func:`canonical`). A photometric system names its columns, which
    get IDs for that. References to what none of the sources has are dropped.
    """
    refs = {column.ref for column in table.columns if column.ref}
    if not refs:
        return table
    frames: dict[str, CoordinateFrame] = {}
    times: dict[str, TimeFrame] = {}
    systems: dict[str, Group] = {}
    axes: dict[str, Column] = {}
    for source in sources:
        frames |= {frame.id: frame for frame in source.frames if frame.id in refs}
        times |= {frame.id: frame for frame in source.time_frames if frame.id in refs}
        axes |= {str(param.id): param for param in source.params if param.id in refs and is_axis(param)}
        systems |= {str(group.id): group for group in source.groups if group.id in refs and is_photometric(group)}
    columns = list(table.columns)
    taken = {column.id for column in columns if column.id} | {*frames, *times, *systems, *axes}
    members: dict[str, list[str]] = {}
    for i, column in enumerate(columns):
        if column.ref is None:
            continue
        if column.ref in systems:
            identifier = column.id or free_id(column.name, i, taken)
            taken.add(identifier)
            members.setdefault(column.ref, []).append(identifier)
            columns[i] = replace(column, id=identifier)
        elif not any(column.ref in known for known in (frames, times, axes)):
            columns[i] = replace(column, ref=None)
    return replace(
        table,
        columns=tuple(columns),
        params=(*table.params, *axes.values()),
        frames=tuple(frames.values()),
        time_frames=tuple(times.values()),
        groups=(
            *table.groups,
            *(replace(group, column_refs=tuple(members.get(name, ()))) for name, group in systems.items()),
        ),
    )


def free_id(name: str, index: int, taken: set[str | None] | set[str]) -> str:
    """An XML ID for a column: its name where that can be one and is free, else one made of its number."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name) and name not in taken:
        return name
    made = f"column_{index + 1}"
    while made in taken:
        made += "_"
    return made
