"""A picture of the sky a table covers: its MOC in Hammer's equal-area projection, as a few kilobytes of SVG.

North is up, east is left, right ascension 0 is in the middle. The cells are drawn as their common outline: edges that
two cells share cancel each other, so the picture grows with the border of the coverage and not with its area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from skyvault.errors import RegionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skyvault.model.region import Moc

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: half axes of the map in user units
HALF_WIDTH: Final = 1000
HALF_HEIGHT: Final = 500
#: the whole sky, square degrees
SKY_DEG2: Final = 4 * math.pi * math.degrees(1) ** 2
#: the finest cells that are drawn: 1.8 degrees, four pixels on a page
FINEST_ORDER: Final = 5
COARSEST_ORDER: Final = 3
MINUS: Final = "\u2212"
#: J2000 direction of the north galactic pole, degrees (Hipparcos catalogue, ESA SP-1200, vol. 1, eq. 1.5.11)
GALACTIC_POLE: Final = (192.85948, 27.12825)
#: the width of a dot for a cell of order 0, in user units; that of the cell itself would be 325
DOT: Final = 400
#: fewer scattered fields than this are drawn a bit too large, and better seen
MANY_FIELDS: Final = 100
#: a coverage within this many degrees is ringed, since it would be a dot
SPOT_RADIUS: Final = 6.0


@dataclass(frozen=True, slots=True)
class SkyPicture:
    """What a page shows of a coverage: SVG path data, the share of the sky (0 to 1), and where to look for a dot."""

    path: str
    fraction: float
    order: int
    spot: tuple[int, int] | None = None
    #: width of the dots when the path is not an outline but a dot for each cell
    dot: int | None = None
    #: paler where most of the drawn cells is not covered
    opacity: float = 1.0

    @property
    def cell_deg(self) -> float:
        """The width of the cells it is drawn with."""
        return math.sqrt(SKY_DEG2 / (12 << (2 * self.order)))

    @property
    def area_deg2(self) -> float:
        return self.fraction * SKY_DEG2


def sky_picture(coverage: str | None, *, finest: int = FINEST_ORDER, most_edges: int = 10_000) -> SkyPicture | None:
    """The picture of a coverage given as a MOC in ASCII; None when there is none or nothing is covered.

    Cells are merged into coarser ones until their outline has at most ``most_edges`` edges (or order 3 is reached).
    Where that would show more than twice the sky that is covered (scattered fields), each cell is a dot instead.
    """
    from skyvault.model.region import CELLS_29, Moc

    if not coverage:
        return None
    try:
        moc = Moc.from_text(coverage)
    except RegionError:
        return None
    if not len(moc.ranges):
        return None
    fraction = float((moc.ranges[:, 1] - moc.ranges[:, 0] + 1).sum()) / CELLS_29
    for order in range(finest, COARSEST_ORDER - 1, -1):
        cells = cells_of(moc, order)
        lon, lat, edges = outline(cells, order)
        is_scattered = len(cells) > 2 * fraction * (12 << 2 * order)
        for finer in (order + 1, order) if is_scattered and len(cells) > MANY_FIELDS else ():
            dots = cells_of(moc, finer)
            if 2 * len(dots) <= most_edges:
                return SkyPicture(_dots(dots, finer), fraction, finer, None, round(DOT / (1 << finer)))
        if len(edges) <= most_edges or order == COARSEST_ORDER:
            break
    opacity = max(0.3, min(1.0, fraction * (12 << 2 * order) / len(cells))) if len(cells) > MANY_FIELDS else 1.0
    return SkyPicture(_path(lon, lat, edges), fraction, order, _spot(cells, order), None, round(opacity, 2))


def cells_of(moc: Moc, order: int) -> Integers:
    """The cells of one order that a coverage touches, sorted."""
    import numpy as np

    from skyvault.model.region import MAX_ORDER

    shift = 2 * (MAX_ORDER - order)
    spans = [np.arange(first, last + 1) for first, last in (moc.ranges >> shift).tolist()]
    return np.unique(np.concatenate(spans)) if spans else np.empty(0, np.int64)


def outline(cells: Integers, order: int) -> tuple[Floats, Floats, Integers]:
    """The outline of cells of one order: longitudes (-180 to 180) and latitudes of points, and edges (n, 2) of them.

    The map's border, longitude 180, is part of the outline where it cuts through covered sky. No cell edge crosses
    it: in the polar caps it is the border of base cells, elsewhere it is a diagonal of the cells it meets.
    """
    import numpy as np
    from cdshealpix import cdshealpix

    from skyvault.sky.cells import cell_centers

    n = len(cells)
    lon, lat = np.empty((n, 4)), np.empty((n, 4))
    cdshealpix.vertices(np.full(n, order, np.uint8), cells.astype(np.uint64), 1, lon, lat, np.uint16(1))
    lon, lat = np.degrees(lon), np.degrees(lat)
    middle = _wrapped(cell_centers(order, cells)[0])[:, None]
    lon = middle + _wrapped(lon - middle)
    lon[np.abs(lat) > 90 - 1e-6] = 0.0  # a pole is one point whatever its longitude
    beyond_east, beyond_west = (lon > 180 + 1e-6).any(axis=1), (lon < -180 - 1e-6).any(axis=1)
    copies = [(lon, lat), (lon[beyond_east] - 360, lat[beyond_east]), (lon[beyond_west] + 360, lat[beyond_west])]
    x = np.clip(np.concatenate([c[0] for c in copies]), -180, 180).ravel()
    y = np.concatenate([c[1] for c in copies]).ravel()

    keys = np.round((x + 180) * 1e5).astype(np.int64) * 100_000_000 + np.round((y + 90) * 1e5).astype(np.int64)
    _, places, corners = np.unique(keys, return_index=True, return_inverse=True)
    corners = corners.reshape(-1, 4)
    edges = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    count = len(places)
    is_shared = np.isin(edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0])
    return x[places], y[places], edges[~is_shared]


def _wrapped(lon: Floats) -> Floats:
    return (lon + 180) % 360 - 180


def projected(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Hammer's projection in user units, x to the right (west), y downwards; ``lon`` from -180 to 180 degrees."""
    import numpy as np

    half, phi = np.radians(lon) / 2, np.radians(lat)
    scale = 1 / np.sqrt(1 + np.cos(phi) * np.cos(half))
    return -HALF_WIDTH * scale * np.cos(phi) * np.sin(half), -HALF_HEIGHT * scale * np.sin(phi)


def _path(lon: Floats, lat: Floats, edges: Integers) -> str:
    """Edges chained to closed loops, as SVG path data in whole user units."""
    import numpy as np

    x, y = (np.round(v).astype(int).tolist() for v in projected(lon, lat))
    ahead: dict[int, list[int]] = {}
    for start, end in edges.tolist():
        ahead.setdefault(start, []).append(end)
    parts = []
    while ahead:
        first = here = next(iter(ahead))
        loop = []
        while here in ahead:
            loop.append((x[here], y[here]))
            ends = ahead[here]
            nearest = ends.pop()
            if not ends:
                del ahead[here]
            here = nearest
            if here == first:
                break
        parts.append(_loop(loop))
    return "".join(parts)


def _dots(cells: Integers, order: int) -> str:
    """Lines of no length at the centres of cells: dots, when their ends are drawn round."""
    import numpy as np

    from skyvault.sky.cells import cell_centers

    lon, lat = cell_centers(order, cells)
    x, y = (np.round(v).astype(int) for v in projected(_wrapped(lon), lat))
    steps = zip(np.diff(x, prepend=0).tolist(), np.diff(y, prepend=0).tolist(), strict=True)
    return "".join(f"m{a} {b}h0" for a, b in steps)


def _loop(points: list[tuple[int, int]]) -> str:
    """One closed loop with relative coordinates; points in line with their neighbours are left out."""
    corners: list[tuple[int, int]] = []
    for point in points:
        while len(corners) > 1 and _in_line(corners[-2], corners[-1], point):
            corners.pop()
        if not corners or corners[-1] != point:
            corners.append(point)
    (x, y), steps = corners[0], []
    for ahead_x, ahead_y in corners[1:]:
        steps.append(f"{ahead_x - x} {ahead_y - y}")
        x, y = ahead_x, ahead_y
    return f"M{corners[0][0]} {corners[0][1]}" + (f"l{' '.join(steps)}" if steps else "h1") + "z"


def _in_line(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return (b[0] - a[0]) * (c[1] - b[1]) == (b[1] - a[1]) * (c[0] - b[0])


def _spot(cells: Integers, order: int) -> tuple[int, int] | None:
    """The middle of a coverage so small that it would be overlooked."""
    import numpy as np

    from skyvault.sky.cells import cell_centers

    lon, lat = (np.radians(v) for v in cell_centers(order, cells))
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    middle = vectors.mean(axis=1)
    length = float(np.linalg.norm(middle))
    if length < 0.9 or (middle @ vectors).min() / length < math.cos(math.radians(SPOT_RADIUS)):
        return None
    middle /= length
    x, y = projected(
        np.degrees(np.arctan2(middle[1:2], middle[:1])), np.degrees(np.arcsin(np.clip(middle[2:], -1.0, 1.0)))
    )
    return round(float(x[0])), round(float(y[0]))


# ---------------------------------------------------------------- what every map shows


@dataclass(frozen=True, slots=True)
class Graticule:
    """Path data of the lines each 30 degrees, of the galactic plane and of the border; labels (x, y, text)."""

    lines: str
    galactic: str
    longitudes: tuple[tuple[int, int, str], ...]
    latitudes: tuple[tuple[int, int, str], ...]


@lru_cache(maxsize=1)
def graticule() -> Graticule:
    """The lines and labels of the map, in ICRS."""
    import numpy as np

    dense_lat, dense_lon = np.linspace(-90, 90, 37), np.linspace(-180, 180, 73)
    lines = [_line(np.full(37, float(lon)), dense_lat) for lon in range(-150, 180, 30)]
    lines += [_line(dense_lon, np.full(73, float(lat))) for lat in range(-60, 90, 30)]

    pole_lon, pole_lat = (math.radians(angle) for angle in GALACTIC_POLE)
    node = np.array([-math.sin(pole_lon), math.cos(pole_lon), 0.0])
    pole = np.array(
        [math.cos(pole_lat) * math.cos(pole_lon), math.cos(pole_lat) * math.sin(pole_lon), math.sin(pole_lat)]
    )
    turn = np.radians(np.arange(0, 364, 4))
    circle = np.outer(np.cos(turn), node) + np.outer(np.sin(turn), np.cross(pole, node))
    lon, lat = np.degrees(np.arctan2(circle[:, 1], circle[:, 0])), np.degrees(np.arcsin(circle[:, 2]))
    breaks = np.flatnonzero(np.abs(np.diff(lon)) > 180) + 1
    pieces = zip(np.split(lon, breaks), np.split(lat, breaks), strict=True)
    galactic = "".join(_line(a, b) for a, b in pieces if len(a) > 1)

    return Graticule("".join(lines), galactic, tuple(_longitude_labels()), tuple(_latitude_labels()))


def _line(lon: Floats, lat: Floats) -> str:
    import numpy as np

    x, y = (np.round(v).astype(int).tolist() for v in projected(lon, lat))
    return f"M{x[0]} {y[0]}L" + " ".join(f"{a} {b}" for a, b in zip(x[1:], y[1:], strict=True))


def _longitude_labels() -> list[tuple[int, int, str]]:
    import numpy as np

    shown = np.array([-120.0, -60.0, 0.0, 60.0, 120.0])
    x, y = projected(shown, np.zeros(5))
    return [(round(float(a)), round(float(b)), f"{int(lon) % 360}°") for a, b, lon in zip(x, y, shown, strict=True)]


def _latitude_labels() -> list[tuple[int, int, str]]:
    import numpy as np

    shown = np.array([60.0, 30.0, -30.0, -60.0])
    x, y = projected(np.full(4, 180.0), shown)
    return [
        (round(float(a)), round(float(b)), f"{lat:+.0f}°".replace("-", MINUS))
        for a, b, lat in zip(x, y, shown, strict=True)
    ]
