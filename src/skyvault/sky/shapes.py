"""Regions as flat numbers, for work on many at once and for the database.

One region is a "shape array" of float64, degrees:

    [1, lon, lat]                        point
    [2, lon, lat, radius]                circle
    [3, n, lon1, lat1, lon2, lat2, ...]  polygon of n vertices; -n: the larger side of the line
    [4, lon1, lon2, lat1, lat2]          box of longitudes and latitudes
    [5, n, high, low, high, low, ...]    MOC of n ranges: first and last cell of order 29, each high * 2**31 + low

and a union is its parts one after the other. Many regions are a :class:`Shapes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyvault.errors import RegionError
from skyvault.model.region import CELLS_29, Box, Circle, Moc, Point, Polygon, Region, Shape, Union

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Booleans = NDArray[np.bool_]

POINT: Final = 1
CIRCLE: Final = 2
POLYGON: Final = 3
BOX: Final = 4
MOC: Final = 5

#: numbers of a part of each kind, without the repeated ones
_HEAD: Final = np.array([0, 3, 4, 2, 5, 2])
#: numbers of each repeated element (vertex, range)
_EACH: Final = np.array([0, 0, 0, 2, 0, 4])
#: parts one union may have
MAX_PARTS: Final = 10_000


def encode(region: Region) -> Floats:
    """The shape array of a region."""
    if isinstance(region, Union):
        return np.concatenate([encode(part) for part in region.regions])
    if isinstance(region, Point):
        numbers = [POINT, region.lon, region.lat]
    elif isinstance(region, Circle):
        numbers = [CIRCLE, region.lon, region.lat, region.radius]
    elif isinstance(region, Polygon):
        count = len(region.vertices)
        numbers = [POLYGON, -count if region.is_larger_side else count]
        numbers += [number for vertex in region.vertices for number in vertex]
    elif isinstance(region, Box):
        numbers = [BOX, region.lon1, region.lon2, region.lat1, region.lat2]
    else:
        ends = region.ranges.ravel()
        halves = np.stack([ends >> 31, ends & 0x7FFFFFFF], axis=1).ravel()
        return np.concatenate([[float(MOC), float(len(region.ranges))], halves.astype(np.float64)])
    return np.array(numbers, np.float64)


def decode(values: ArrayLike) -> Region:
    """The region of a shape array. Raises RegionError."""
    numbers = np.asarray(values, np.float64)
    parts: list[Shape] = []
    position = 0
    while position < len(numbers):
        size = part_size(numbers, position)
        part = numbers[position : position + size].tolist()
        position += size
        kind = int(part[0])
        if kind == POINT:
            parts.append(Point(*part[1:]))
        elif kind == CIRCLE:
            parts.append(Circle(*part[1:]))
        elif kind == POLYGON:
            parts.append(Polygon(tuple(zip(part[2::2], part[3::2], strict=True)), is_larger_side=part[1] < 0))
        elif kind == BOX:
            parts.append(Box(*part[1:]))
        else:
            halves = numbers[position - size + 2 : position]
            if not ((halves >= 0) & (halves < 2.0**31) & (halves == np.floor(halves))).all():
                raise RegionError("a shape array holds a MOC whose cell numbers are none")
            parts.append(Moc(_moc_ranges(halves)))
    if not parts:
        raise RegionError("a shape array is empty")
    return parts[0] if len(parts) == 1 else Union(tuple(parts))


def part_size(numbers: Floats, position: int) -> int:
    """How many numbers the part that begins at ``position`` has. Raises RegionError where none begins."""
    left = len(numbers) - position
    kind = numbers[position]
    if kind in (POINT, CIRCLE, POLYGON, BOX, MOC):
        size = int(_HEAD[int(kind)])
        if kind in (POLYGON, MOC) and left >= 2 and float(numbers[position + 1]).is_integer():
            size += int(_EACH[int(kind)]) * abs(int(numbers[position + 1]))
        if size <= left:
            return size
    raise RegionError(f"a shape array cannot be read at number {position + 1} ({kind!r})")


def _moc_ranges(halves: Floats) -> Indices:
    integers = halves.astype(np.int64).reshape(-1, 2)
    return np.asarray(((integers[:, 0] << 31) + integers[:, 1]).reshape(-1, 2), np.int64)


def spread(starts: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Flat indices start, start + 1 ... of each (start, count), and which pair each comes from: (owner, index)."""
    owner = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    return owner, index


@dataclass(frozen=True, slots=True)
class Parts:
    """The circles, polygons ... of many regions: the row each belongs to, its kind, where its numbers begin.

    ``count`` is the number of vertices or ranges, for polygons and MOCs.
    """

    row: Indices
    kind: Indices
    start: Indices
    count: Indices


@dataclass(frozen=True)
class Shapes:
    """Many regions: row i is ``values[offsets[i]:offsets[i + 1]]``; ``valid`` tells which rows hold a region at all.

    Rows that are NULL, empty or damaged (a latitude beyond a pole, NaN, a polygon of two vertices) are not valid.
    """

    values: Floats
    offsets: Indices
    present: Booleans | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_regions(cls, regions: Iterable[Region | None]) -> Shapes:
        """From region values; None stays a row without a region."""
        arrays = [np.empty(0) if region is None else encode(region) for region in regions]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        return cls(np.concatenate(arrays) if arrays else np.empty(0), offsets)

    @classmethod
    def of_circles(cls, lon: ArrayLike, lat: ArrayLike, radius: ArrayLike) -> Shapes:
        """Circles at places (degrees, shape (n,)), of one radius or one each; a place that is none has no region."""
        lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        values = np.empty((len(lon), 4))
        values[:, 0], values[:, 1], values[:, 2], values[:, 3] = CIRCLE, lon % 360.0, lat, radius
        present = np.isfinite(lon) & (np.abs(lat) <= 90)
        return cls(values.ravel(), np.arange(len(lon) + 1, dtype=np.int64) * 4, present)

    @classmethod
    def from_arrow(cls, column: pa.Array | pa.ChunkedArray) -> Shapes:
        """From an Arrow list<double> column, without a copy where it is one chunk."""
        import pyarrow as pa

        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        offsets = np.asarray(column.offsets.to_numpy(zero_copy_only=False), np.int64)
        values = column.values.to_numpy(zero_copy_only=False)
        present = None
        if column.null_count:
            present = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        return cls(values, offsets, present)

    def to_arrow(self) -> pa.ListArray:
        """As an Arrow list<double> column; rows without a region are NULL."""
        import pyarrow as pa

        mask = None if self.valid.all() else pa.array(~self.valid)
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values), mask=mask)

    @cached_property
    def _read(self) -> tuple[Parts, Booleans]:
        return _read(self)

    @property
    def parts(self) -> Parts:
        """The parts of the valid rows, sorted by row."""
        return self._read[0]

    @property
    def valid(self) -> Booleans:
        """Which rows hold a region."""
        return self._read[1]

    def region(self, row: int) -> Region:
        """One row as a value. Raises RegionError."""
        return decode(self.values[self.offsets[row] : self.offsets[row + 1]])

    def take(self, rows: Indices) -> Shapes:
        """The rows of these numbers, in this sequence."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        present = None if self.present is None else self.present[rows]
        return Shapes(self.values[spread(self.offsets[:-1][rows], counts)[1]], offsets, present)

    @property
    def is_constant(self) -> bool:
        """Whether all rows hold the same numbers."""
        n = len(self)
        if n < 2 or self.present is not None:
            return n == 1
        size = int(self.offsets[1] - self.offsets[0])
        total = int(self.offsets[-1] - self.offsets[0])
        if size * n != total or size == 0:
            return False
        table = self.values[self.offsets[0] : self.offsets[-1]].reshape(n, size)
        # the last row tells most often; the ends of rows must fall where equal sizes put them
        return bool(
            (table[-1] == table[0]).all() and (np.diff(self.offsets) == size).all() and (table == table[0]).all()
        )


def _read(shapes: Shapes) -> tuple[Parts, Booleans]:
    values, offsets = shapes.values, shapes.offsets
    ends = offsets[1:]
    valid = ends > offsets[:-1]
    if shapes.present is not None:
        valid &= shapes.present
    rows = np.flatnonzero(valid)
    positions = offsets[:-1][rows]
    found: list[tuple[Indices, Indices, Indices, Indices]] = []
    # one round reads the next part of every row that has one
    while len(rows):
        with np.errstate(invalid="ignore"):
            kinds = values[positions]
            known = (kinds >= POINT) & (kinds <= MOC) & (kinds == np.floor(kinds))
            kind = np.where(known, kinds, 0).astype(np.int64)
            many = _EACH[kind] > 0
            room = ends[rows] - positions
            numbers = np.where(many & (room >= 2), values[np.minimum(positions + 1, len(values) - 1)], 0.0)
            known &= (np.abs(numbers) < 1e9) & (numbers == np.floor(numbers))
            count = np.where(known, np.abs(numbers), 0.0).astype(np.int64)
            size = _HEAD[kind] + _EACH[kind] * count
            known &= (size <= room) & ~((kind == POLYGON) & (count < 3)) & (len(found) < MAX_PARTS)
        valid[rows[~known]] = False
        rows, positions, kind, count, size = (a[known] for a in (rows, positions, kind, count, size))
        found.append((rows, kind, positions, count))
        positions = positions + size
        more = positions < ends[rows]
        rows, positions = rows[more], positions[more]
    if not found:
        empty = np.empty(0, np.int64)
        return Parts(empty, empty, empty, empty), valid
    row, kind, start, count = (np.concatenate([part[i] for part in found]) for i in range(4))
    valid[row[~_numbers_valid(values, kind, start, count)]] = False
    kept = valid[row]
    row, kind, start, count = row[kept], kind[kept], start[kept], count[kept]
    if len(found) > 1:
        sequence = np.lexsort((start, row))
        row, kind, start, count = row[sequence], kind[sequence], start[sequence], count[sequence]
    return Parts(row, kind, start, count), valid


def _numbers_valid(values: Floats, kind: Indices, start: Indices, count: Indices) -> Booleans:
    """Which parts hold numbers that make a shape."""
    good = np.ones(len(kind), np.bool_)
    for wanted in np.unique(kind).tolist():
        which = np.flatnonzero(kind == wanted)
        at = start[which]
        if wanted == POLYGON:
            owner, vertex = spread(at, count[which])
            # vertex runs over start, start + 1 ...: turn it into positions of longitudes
            vertex = at[owner] + 2 + 2 * (vertex - at[owner])
            lon, lat = values[vertex], values[vertex + 1]
            following = np.arange(1, len(owner) + 1)
            following[np.cumsum(count[which]) - 1] = np.cumsum(count[which]) - count[which]
            step, rise = np.abs(lon - lon[following]), lat + lat[following]
            # edges between opposite points are none (Polygon refuses them), and those without length do not count
            is_open = (rise == 0.0) & ((step == 180.0) | (np.abs(lat) == 90.0))
            has_length = (step != 0.0) | (lat != lat[following])
            wrong = ~_places(lon, lat) | is_open
            good[which[owner[wrong]]] = False
            good[which[np.bincount(owner[has_length], minlength=len(which)) < 3]] = False
        elif wanted == MOC:
            owner, index = spread(at, 4 * count[which])
            halves = values[index + 2]
            wrong = ~((halves >= 0) & (halves < 2.0**31) & (halves == np.floor(halves)))
            good[which[owner[wrong]]] = False
            if not wrong.any():
                ends = _moc_ranges(halves)
                bad = (ends[:, 0] > ends[:, 1]) | (ends[:, 1] >= CELLS_29)
                good[which[owner[::4][bad]]] = False
        elif wanted == BOX:
            lon1, lon2, lat1, lat2 = (values[at + i] for i in (1, 2, 3, 4))
            good[which] = _places(lon1, lat1) & _places(lon2, lat2) & (lat1 <= lat2)
        else:
            good[which] = _places(values[at + 1], values[at + 2])
            if wanted == CIRCLE:
                good[which] &= (values[at + 3] >= 0.0) & (values[at + 3] <= 180.0)
    return good


def _places(lon: Floats, lat: Floats) -> Booleans:
    return np.isfinite(lon) & (np.abs(lat) <= 90.0)
