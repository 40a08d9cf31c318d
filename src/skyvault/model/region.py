"""Pieces of sky: points, circles, polygons, boxes, multi-order coverages and their unions.

All coordinates are ICRS degrees. Longitudes are reduced to [0, 360); a latitude beyond the poles, a number that is not
finite, a polygon of two vertices cannot be built: :class:`~skyvault.errors.RegionError` names the value and its limit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import RegionError

#: deepest HEALPix order: cells of 0.4 milliarcseconds, 12 * 4**29 of them
MAX_ORDER = 29
#: number of cells of MAX_ORDER
CELLS_29 = 12 << (2 * MAX_ORDER)
#: vertices one polygon may have; footprints in the wild have at most some thousands
MAX_VERTICES = 20_000


def _longitude(value: float, what: str) -> float:
    number = _finite(value, what)
    reduced = number % 360.0
    return 0.0 if reduced == 360.0 else reduced


def _latitude(value: float, what: str) -> float:
    number = _finite(value, what)
    if abs(number) > 90.0:
        raise RegionError(f"the latitude of a {what} is {number!r}, but latitudes go from -90 to 90 degrees")
    return number


def _finite(value: float, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise RegionError(f"a {what} needs numbers of degrees, not {value!r}") from None
    if not math.isfinite(number):
        raise RegionError(f"a coordinate of a {what} is {number!r}, but it must be a finite number of degrees")
    return number


@dataclass(frozen=True, slots=True)
class Point:
    """A direction (DALI 1.1, section 3.3.5)."""

    lon: float
    lat: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "lon", _longitude(self.lon, "point"))
        object.__setattr__(self, "lat", _latitude(self.lat, "point"))


@dataclass(frozen=True, slots=True)
class Circle:
    """All points within ``radius`` degrees (0 to 180) of a centre (DALI 1.1, section 3.3.6)."""

    lon: float
    lat: float
    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "lon", _longitude(self.lon, "circle"))
        object.__setattr__(self, "lat", _latitude(self.lat, "circle"))
        radius = _finite(self.radius, "circle")
        if not 0.0 <= radius <= 180.0:
            raise RegionError(f"the radius of a circle is {radius!r}, but radii go from 0 to 180 degrees")
        object.__setattr__(self, "radius", radius)


@dataclass(frozen=True, slots=True)
class Polygon:
    """The inside of a closed line of great-circle arcs between ``vertices``, pairs (lon, lat).

    The inside is the smaller of the two sides, whichever way the vertices run, unless ``is_larger_side``. (DALI 1.1,
    section 3.3.7, asks for counter-clockwise vertices; archives disagree about it.) Vertices that repeat the one
    before, and a last that repeats the first, are dropped.
    """

    vertices: tuple[tuple[float, float], ...]
    is_larger_side: bool = False

    def __post_init__(self) -> None:
        if len(self.vertices) > MAX_VERTICES:
            raise RegionError(f"a polygon has {len(self.vertices)} vertices, more than {MAX_VERTICES}")
        kept: list[tuple[float, float]] = []
        for lon, lat in self.vertices:
            vertex = (_longitude(lon, "polygon"), _latitude(lat, "polygon"))
            if not kept or vertex != kept[-1]:
                kept.append(vertex)
        while len(kept) > 1 and kept[-1] == kept[0]:
            kept.pop()
        if len(kept) < 3:
            raise RegionError(f"a polygon needs at least 3 different vertices, but has {len(kept)}")
        for (lon1, lat1), (lon2, lat2) in zip(kept, kept[1:] + kept[:1], strict=True):
            if lat1 == -lat2 and (abs(lat1) == 90.0 or abs(lon1 - lon2) == 180.0):
                raise RegionError(
                    f"the polygon's vertices ({lon1}, {lat1}) and ({lon2}, {lat2}) are opposite points of the sky,"
                    " so no one arc joins them",
                    hint="Add a vertex between them.",
                )
        object.__setattr__(self, "vertices", tuple(kept))


@dataclass(frozen=True, slots=True)
class Box:
    """A range of longitudes (eastward from ``lon1`` to ``lon2``, over 0 where lon1 > lon2) and of latitudes.

    Its sides run along meridians and parallels (DALI 1.2 draft, "range"). 360 degrees or more are all longitudes and
    are kept as 0 to 360.
    """

    lon1: float
    lon2: float
    lat1: float
    lat2: float

    def __post_init__(self) -> None:
        first, last = _finite(self.lon1, "box"), _finite(self.lon2, "box")
        if last - first >= 360.0:
            first, last = 0.0, 360.0
        else:
            first, last = _longitude(first, "box"), _longitude(last, "box")
        low, high = _latitude(self.lat1, "box"), _latitude(self.lat2, "box")
        if low > high:
            raise RegionError(f"the latitudes of a box go from {low!r} to {high!r}, but the lower must come first")
        for name, value in (("lon1", first), ("lon2", last), ("lat1", low), ("lat2", high)):
            object.__setattr__(self, name, value)

    @property
    def width(self) -> float:
        """Degrees of longitude from ``lon1`` eastward to ``lon2``, 0 to 360."""
        return self.lon2 - self.lon1 if self.lon2 >= self.lon1 else self.lon2 - self.lon1 + 360.0


@dataclass(frozen=True, slots=True, eq=False)
class Moc:
    """A multi-order coverage (IVOA MOC 2.0): a set of HEALPix cells.

    ``ranges`` is an (n, 2) array of int64: first and last cell of order 29 of each run, sorted, disjoint, not touching.
    """

    ranges: NDArray[np.int64]

    def __post_init__(self) -> None:
        ranges = np.array(self.ranges, dtype=np.int64).reshape(-1, 2)
        if len(ranges):
            if ranges.min() < 0 or ranges.max() >= CELLS_29:
                raise RegionError(f"a cell of a MOC lies outside 0 to {CELLS_29 - 1} (order 29)")
            if (ranges[:, 0] > ranges[:, 1]).any():
                raise RegionError("a range of a MOC ends before it begins")
            ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
            ends = np.maximum.accumulate(ranges[:, 1])
            begins = np.flatnonzero(np.r_[True, ranges[1:, 0] > ends[:-1] + 1])
            ranges = np.stack([ranges[begins, 0], ends[np.r_[begins[1:] - 1, len(ranges) - 1]]], axis=1)
        ranges.setflags(write=False)
        object.__setattr__(self, "ranges", ranges)

    @classmethod
    def from_cells(cls, cells: Iterable[tuple[int, int, int]]) -> Moc:
        """From (order, first index, last index) in any sequence. Raises RegionError."""
        ranges = []
        for order, first, last in cells:
            if not 0 <= order <= MAX_ORDER:
                raise RegionError(f"a MOC names order {order}, but orders go from 0 to {MAX_ORDER}")
            if not 0 <= first <= last < 12 << (2 * order):
                raise RegionError(f"cells {first}-{last} of a MOC do not exist at order {order}")
            shift = 2 * (MAX_ORDER - order)
            ranges.append((first << shift, ((last + 1) << shift) - 1))
        return cls(np.array(ranges, dtype=np.int64).reshape(-1, 2))

    @classmethod
    def from_text(cls, text: str) -> Moc:
        """From the ASCII ("4/13 17-18 8/3002") or JSON ('{"4": [13, 17]}') form (MOC 2.0, section 4.3)."""
        stripped = text.strip()
        if stripped.startswith("{"):
            return cls._from_json(stripped)
        cells: list[tuple[int, int, int]] = []
        order: int | None = None
        # an order may stand alone at the end: it tells the resolution ("4/13 8/")
        for token in stripped.replace(",", " ").replace("/", "/ ").split():
            if token.endswith("/"):
                order = _index(token[:-1], stripped)
                continue
            if order is None:
                raise RegionError(f"{text[:80]!r} is not a MOC: it begins with a cell before any order")
            first, dash, last = token.partition("-")
            begin = _index(first, stripped)
            cells.append((order, begin, _index(last, stripped) if dash else begin))
        return cls.from_cells(cells)

    @classmethod
    def _from_json(cls, text: str) -> Moc:
        try:
            content = json.loads(text)
        except ValueError as error:
            raise RegionError(f"{text[:80]!r} is not a MOC in JSON: {error}") from None
        cells: list[tuple[int, int, int]] = []
        for order, indices in content.items() if isinstance(content, Mapping) else ():
            if not isinstance(indices, Sequence) or not all(type(index) is int for index in indices):
                raise RegionError(f"order {order} of a MOC in JSON does not hold a list of cell numbers")
            cells += [(_index(order, text), index, index) for index in indices]
        return cls.from_cells(cells)

    def cells(self) -> list[tuple[int, int]]:
        """The fewest cells (order, index) that make up the coverage, in the order of the sky (canonical form)."""
        cells: list[tuple[int, int]] = []
        for begin, last in self.ranges.tolist():
            end = last + 1
            while begin < end:
                # the largest aligned block that starts here and still fits
                aligned = (begin & -begin).bit_length() - 1 if begin else 2 * MAX_ORDER
                shift = min(aligned, (end - begin).bit_length() - 1, 2 * MAX_ORDER) & ~1
                cells.append((MAX_ORDER - shift // 2, begin >> shift))
                begin += 1 << shift
        return cells

    def __str__(self) -> str:
        by_order: dict[int, list[int]] = {}
        for order, index in self.cells():
            by_order.setdefault(order, []).append(index)
        return " ".join(f"{order}/{_runs(by_order[order])}" for order in sorted(by_order))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moc) and np.array_equal(self.ranges, other.ranges)

    def __hash__(self) -> int:
        return hash(self.ranges.tobytes())


def _index(text: str, where: str) -> int:
    # int() alone would take "+1", "1_0" and digits of other scripts
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RegionError(f"{where[:80]!r} is not a MOC: {text[:24]!r} is not a cell or order number")
    return int(text)


def _runs(indices: list[int]) -> str:
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


#: one piece of sky, or a MOC
Shape = Point | Circle | Polygon | Box | Moc


@dataclass(frozen=True, slots=True)
class Union:
    """Several regions taken together; unions inside are flattened."""

    regions: tuple[Shape, ...]

    def __post_init__(self) -> None:
        flat: list[Shape] = []
        parts: tuple[object, ...] = self.regions
        for region in parts:
            if isinstance(region, Union):
                flat += region.regions
            elif isinstance(region, Point | Circle | Polygon | Box | Moc):
                flat.append(region)
            else:
                raise RegionError(f"a union is made of regions, not of {region!r}")
        if not flat:
            raise RegionError("a union needs at least one region, but has none")
        object.__setattr__(self, "regions", tuple(flat))


#: any piece of sky
Region = Shape | Union
