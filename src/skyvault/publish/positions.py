"""Positions a file gives in other ways than ICRS degrees: hh:mm:ss and dd:mm:ss texts, hours, radians.

Such columns stay as they are; beside them come two columns in degrees, which are the position of the published table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from skyvault.errors import IngestError
from skyvault.formats.stream import TableStream
from skyvault.model.table import NUMERIC, Column

if TYPE_CHECKING:
    import pyarrow as pa

Axis = Literal["lon", "lat"]

#: unit of a coordinate -> degrees in one of it
DEGREES: dict[str, float] = {
    "h": 15.0,
    "hr": 15.0,
    "hour": 15.0,
    "hours": 15.0,
    "hourangle": 15.0,
    "rad": 57.29577951308232,
    "radian": 57.29577951308232,
    "radians": 57.29577951308232,
    "arcmin": 1 / 60,
    "arcsec": 1 / 3600,
    "mas": 1 / 3_600_000,
}
#: three numbers with colons, blanks or letters between: 05:34:31.97, +22 00 52.1, 5h34m31.97s, -0d30'12"
#: (the typographic minus, prime and double prime are \u2212, \u2032 and \u2033)
_PATTERN = (
    "^\\s*(?P<sign>[-+\u2212]?)(?P<whole>[0-9]{1,3})(?:\\s*[:hHdD\u00b0]\\s*|\\s+)(?P<minutes>[0-5]?[0-9])"
    "(?:\\s*[:mM'\u2032]\\s*|\\s+)(?P<seconds>[0-5]?[0-9](?:\\.[0-9]*)?|60(?:\\.0*)?)\\s*(?:[sS\"\u2033]|'')?\\s*$"
)
#: of the texts looked at first, so many must read as angles for a column to be taken as such
_SHARE = 0.9
#: words that stand for "unknown" in such columns
_NONE = frozenset({"", "-", "--", "n/a", "na", "nan", "null", "none"})


@dataclass(slots=True)
class Converted:
    """A stream with columns in degrees after its own; ``position`` names them, None when nothing was converted."""

    stream: TableStream
    position: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)


def in_degrees(stream: TableStream, pair: tuple[int, int], *, skip_bad: bool = False) -> Converted:
    """Add the position of the columns ``pair`` (longitude, latitude) in degrees, where they hold it in another way.

    Looks at the first batch. Texts that are no angle give an IngestError with the row's number, or with ``skip_bad``
    an infinite position, which the builder leaves out and counts.
    """
    columns = [stream.table.columns[i] for i in pair]
    batches = iter(stream.batches)
    first = next(batches, None)
    rest = batches if first is None else chain([first], batches)
    stream = replace(stream, batches=rest)
    ways = [_way(c, None if first is None else first.column(i)) for c, i in zip(columns, pair, strict=True)]
    if ways[0] is None or ways[1] is None or ways == ["deg", "deg"]:
        return Converted(stream)
    if ways[0] == "deg" and ways[1] == "sexagesimal":
        return Converted(stream)
    taken = {name.lower() for name in stream.table.column_names}
    names = tuple(_free(f"{column.name}_deg", taken) for column in columns)
    axes: tuple[Axis, Axis] = ("lon", "lat")
    added = tuple(
        Column(
            name,
            "double",
            unit="deg",
            ucd=f"pos.eq.{word};meta.main",
            description=f"{title} (ICRS), from {column.name}",
            principal=True,
        )
        for name, column, word, title in zip(
            names, columns, ("ra", "dec"), ("Right ascension", "Declination"), strict=True
        )
    )
    # the columns they come from are no longer the main position
    kept = tuple(
        replace(c, ucd=c.ucd.removesuffix(";meta.main")) if i in pair and c.ucd else c
        for i, c in enumerate(stream.table.columns)
    )
    reader = _Reader(pair, (ways[0], ways[1]), axes, stream.table.name, skip_bad)
    table = replace(stream.table, columns=(*kept, *added))
    told = " and ".join(
        f"{column.name} ({_said(way, axis)})" for column, way, axis in zip(columns, ways, axes, strict=True)
    )
    note = f"position: {told} became {names[0]}, {names[1]} in degrees"
    # the producer's own stream learns of errors while it runs dry: the new one asks it
    converted = TableStream(table, iter(()), infos=stream.infos)
    converted.batches = reader.batches(stream, converted)
    return Converted(converted, (names[0], names[1]), [note])


def _said(way: str | None, axis: Axis) -> str:
    if way == "sexagesimal":
        return "hh:mm:ss" if axis == "lon" else "dd:mm:ss"
    return f"in {way}"


def _free(name: str, taken: set[str]) -> str:
    while name.lower() in taken:
        name += "_"
    taken.add(name.lower())
    return name


def _way(column: Column, values: Any) -> str | None:
    """How a column gives a coordinate: a key of DEGREES, "deg" or "sexagesimal"; None: not at all."""
    if column.is_array:
        return None
    unit = (column.unit or "").strip().lower()
    if column.is_text:
        return "sexagesimal" if values is not None and _looks_sexagesimal(values) else None
    if column.datatype not in NUMERIC:
        return None
    if unit in ("", "deg", "degree", "degrees", "deg."):
        return "deg"
    return unit if unit in DEGREES else None


def _looks_sexagesimal(values: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(values.type):
        return False
    head = values.slice(0, 1000)
    known = [text for text in head.to_pylist() if text is not None and text.strip().lower() not in _NONE]
    if not known:
        return False
    matches = pc.sum(pc.match_substring_regex(pa.array(known), _plain())).as_py() or 0
    return bool(matches >= _SHARE * len(known))


def _plain() -> str:
    """The pattern without names of groups."""
    import re

    return re.sub(r"\(\?P<\w+>", "(", _PATTERN)


@dataclass(slots=True)
class _Reader:
    pair: tuple[int, int]
    ways: tuple[str, str]
    axes: tuple[Axis, Axis]
    where: str
    skip_bad: bool
    row: int = 0

    def batches(self, source: TableStream, target: TableStream) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in source.batches:
            arrays, fields = list(batch.columns), list(batch.schema)
            for index, way, axis in zip(self.pair, self.ways, self.axes, strict=True):
                degrees = self._degrees(batch.column(index), way, axis, batch.schema.field(index).name)
                arrays.append(degrees)
                fields.append(pa.field(f"{batch.schema.field(index).name}_{axis}_deg", pa.float64()))
            self.row += batch.num_rows
            yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        target.error, target.overflow, target.limit = source.error, source.overflow, source.limit

    def _degrees(self, values: pa.Array, way: str, axis: Axis, name: str) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if way != "sexagesimal":
            return pc.multiply(pc.cast(values, pa.float64()), 1.0 if way == "deg" else DEGREES[way])
        return self._from_texts(values, axis, name)

    def _from_texts(self, values: pa.Array, axis: Axis, name: str) -> pa.Array:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        folded = pc.utf8_lower(pc.utf8_trim_whitespace(values))
        known = pc.and_(
            pc.is_valid(values), pc.invert(pc.fill_null(pc.is_in(folded, value_set=pa.array(sorted(_NONE))), False))
        ).to_numpy(zero_copy_only=False)
        parts = pc.extract_regex(values, _PATTERN)
        read = parts.is_valid().to_numpy(zero_copy_only=False)

        def number(part: str) -> Any:
            texts = pc.fill_null(pc.struct_field(parts, part), "0")
            return pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)

        sign = pc.fill_null(pc.is_in(pc.struct_field(parts, "sign"), value_set=pa.array(["-", "\u2212"])), False)
        size = number("whole") + number("minutes") / 60 + number("seconds") / 3600
        # an hour angle has 24 hours, a latitude 90 degrees
        read &= size <= (24.0 if axis == "lon" else 90.0)
        wrong = np.flatnonzero(known & ~read)
        if len(wrong) and not self.skip_bad:
            form = "hh:mm:ss" if axis == "lon" else "dd:mm:ss"
            raise IngestError(
                f"row {self.row + int(wrong[0]) + 1}: {name} is {str(values[int(wrong[0])].as_py())[:60]!r},"
                f" which is no {form}",
                where=self.where,
                hint="Use --skip-bad to leave such rows out.",
            )
        degrees = np.where(sign.to_numpy(zero_copy_only=False), -size, size) * (15.0 if axis == "lon" else 1.0)
        degrees[wrong] = np.inf
        return pa.array(degrees, mask=~known)
