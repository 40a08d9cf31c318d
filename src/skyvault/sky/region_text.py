"""Regions as text: STC-S in every spelling archives use, and the plain number lists of DALI.

Known: POSITION or POINT, CIRCLE, POLYGON, BOX, RANGE, MOC, ALLSKY, NOT, UNION, and several shapes in a row (a union),
with or without frame (ICRS, FK5 or J2000, FK4 or B1950, GALACTIC, ECLIPTIC ...), reference position and flavour
(STC-S 1.33, section 6; ADQL 2.1, section 4.2.16). Everything is turned into ICRS.
"""

from __future__ import annotations

import math
import re
from typing import Final, Literal

from skyvault.errors import RegionError
from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.frames import transform_coordinates

#: characters of one region; a footprint of ten thousand vertices needs half of it
MAX_TEXT: Final = 1_000_000
#: how deep UNION and NOT may be nested
MAX_DEPTH: Final = 16

#: frame words of the wild -> name in :data:`skyvault.sky.frames.MATRICES`. Plate frames (GSC1) are FK5 at best.
FRAMES: Final[dict[str, str]] = {
    "ICRS": "ICRS",
    "ICRF": "ICRS",
    "UNKNOWNFRAME": "ICRS",
    "FK5": "FK5",
    "J2000": "FK5",
    "GSC1": "FK5",
    "GSC2": "FK5",
    "FK4": "FK4",
    "B1950": "FK4",
    "GALACTIC": "GALACTIC",
    "GALACTIC_II": "GALACTIC",
    "GAL": "GALACTIC",
    "ECLIPTIC": "ECLIPTIC",
    "ECL": "ECLIPTIC",
}
#: words that change nothing about directions: where the observer is, which coordinates are used
SILENT: Final[frozenset[str]] = frozenset(
    {"TOPOCENTER", "BARYCENTER", "HELIOCENTER", "GEOCENTER", "EMBARYCENTER", "LSR", "LSRK", "LSRD", "GALACTIC_CENTER"}
    | {"LOCAL_GROUP_CENTER", "RELOCATABLE", "UNKNOWNREFPOS", "SPHERICAL", "SPHERICAL2", "SPHER2"}
    | {"MOON", "MERCURY", "VENUS", "MARS", "JUPITER", "SATURN", "URANUS", "NEPTUNE", "PLUTO"}
)
UNITS: Final[dict[str, float]] = {"DEG": 1.0, "ARCMIN": 1 / 60, "ARCSEC": 1 / 3600, "RAD": math.degrees(1.0)}
#: tails of STC-S that say nothing about the outline
TAILS: Final[frozenset[str]] = frozenset({"FILLFACTOR", "EPOCH", "ERROR", "RESOLUTION", "SIZE", "PIXSIZE"})
SHAPES: Final[frozenset[str]] = frozenset(
    {"POSITION", "POINT", "CIRCLE", "POLYGON", "BOX", "RANGE", "POSITIONINTERVAL", "MOC", "ALLSKY", "NOT", "UNION"}
    | {"REGION"}
)

_TOKEN: Final = re.compile(
    r"[\s,]*(?:(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?(?![\w.]))|(?P<word>[A-Za-z_][\w.]*)"
    r"|(?P<mark>[()]))",
    re.ASCII,
)
_MOC: Final = re.compile(r"[\s,/0-9-]*", re.ASCII)
#: a MOC without the word: an order and a slash, or JSON; no other region begins so
_BARE_MOC: Final = re.compile(r"[0-9]{1,2}\s*/|\{", re.ASCII)
_DALI_COUNT: Final = {"point": 2, "circle": 3, "range": 4}


def parse_region(text: str, xtype: str | None = None) -> Region:
    """Read a region; ``xtype`` (point, circle, range, polygon, moc, shape) tells how bare numbers are meant.

    Raises RegionError, with the place where the text stops making sense.
    """
    if len(text) > MAX_TEXT:
        raise RegionError(f"a region of {len(text)} characters is longer than the {MAX_TEXT} that are read")
    kind = (xtype or "").lower().removeprefix("adql:")
    stripped = text.strip()
    if kind == "moc" or _BARE_MOC.match(stripped):
        return Moc.from_text(stripped)
    if stripped[:3].upper() == "MOC" and stripped[3:].lstrip()[:1] in ("'", "{"):
        return Moc.from_text(stripped[3:].strip().strip("'"))
    reader = _Reader(text)
    if reader.kind == "number":
        return _dali(reader, kind)
    regions = [reader.region("ICRS", 0)]
    while reader.kind:
        regions.append(reader.region("ICRS", 0))
    return regions[0] if len(regions) == 1 else Union(tuple(regions))  # type: ignore[arg-type]


def format_region(region: Region, style: Literal["stcs", "dali"] = "stcs") -> str:
    """Write a region: "stcs" as ``CIRCLE ICRS 10.0 20.0 0.5``, "dali" as ``10.0 20.0 0.5``.

    DALI has no text for the larger side of a polygon and, before 1.2, none for unions: these are written as the draft
    of 1.2 does ("circle 1.0 2.0 3.0 polygon ..."); for a larger side a RegionError is raised.
    """
    if isinstance(region, Moc):
        return str(region) if style == "dali" else f"MOC {region}"
    if isinstance(region, Union):
        if style == "dali":
            return " ".join(f"{_DALI_NAMES[type(part)]} {format_region(part, 'dali')}" for part in region.regions)
        return f"UNION ICRS ({' '.join(format_region(part) for part in region.regions)})"
    if isinstance(region, Polygon) and region.is_larger_side:
        if style == "dali":
            raise RegionError("DALI cannot write a polygon whose inside is the larger side")
        return f"NOT ({format_region(Polygon(region.vertices))})"
    if isinstance(region, Polygon):
        numbers = [number for vertex in region.vertices for number in vertex]
    elif isinstance(region, Box):
        numbers = [region.lon1, region.lon2, region.lat1, region.lat2]
    elif isinstance(region, Circle):
        numbers = [region.lon, region.lat, region.radius]
    else:
        numbers = [region.lon, region.lat]
    body = " ".join(map(repr, numbers))
    return body if style == "dali" else f"{_STCS_NAMES[type(region)]} ICRS {body}"


_DALI_NAMES: Final = {Point: "point", Circle: "circle", Polygon: "polygon", Box: "range", Moc: "moc"}
_STCS_NAMES: Final = {Point: "POSITION", Circle: "CIRCLE", Polygon: "POLYGON", Box: "RANGE"}


def _dali(reader: _Reader, kind: str) -> Region:
    numbers = reader.numbers()
    reader.end()
    if not kind or kind in ("region", "shape"):
        kind = {2: "point", 3: "circle"}.get(len(numbers), "polygon")
    if kind in _DALI_COUNT and len(numbers) != _DALI_COUNT[kind]:
        raise RegionError(f"a {kind} is {_DALI_COUNT[kind]} numbers, but {reader.shown()} has {len(numbers)}")
    return _build(kind, numbers, "ICRS", reader)


def _build(kind: str, numbers: list[float], frame: str, reader: _Reader) -> Region:
    """A shape of its numbers (degrees in ``frame``), in ICRS."""
    if kind == "polygon":
        if len(numbers) % 2:
            raise RegionError(f"a polygon is pairs of numbers, but {reader.shown()} has {len(numbers)}")
        return _polygon(list(zip(numbers[::2], numbers[1::2], strict=True)), frame)
    if kind == "range":
        box = Box(*numbers)
        if frame == "ICRS":
            return box
        # meridians of another frame are great circles, but its parallels are no parallels here
        if box.width >= 180.0 or box.lat1 <= -90.0 or box.lat2 >= 90.0:
            raise RegionError(f"a range of longitudes and latitudes in {frame} cannot be turned into ICRS")
        return _polygon(_outline(box), frame)
    lon, lat = Point(numbers[0], numbers[1]).lon, numbers[1]
    if kind == "box":
        return _polygon(list(box_corners(lon, lat, numbers[2], numbers[3])), frame)
    if frame != "ICRS":
        moved = transform_coordinates(lon, lat, frame, "ICRS")
        lon, lat = float(moved[0]), float(moved[1])
    return Circle(lon, lat, numbers[2]) if kind == "circle" else Point(lon, lat)


def _polygon(vertices: list[tuple[float, float]], frame: str) -> Polygon:
    polygon = Polygon(tuple(vertices))
    if frame == "ICRS":
        return polygon
    lons, lats = zip(*polygon.vertices, strict=True)
    lon, lat = transform_coordinates(lons, lats, frame, "ICRS")
    return Polygon(tuple(zip(lon.tolist(), lat.tolist(), strict=True)))


def _outline(box: Box, step: float = 0.5) -> list[tuple[float, float]]:
    """Vertices along a box; half a degree apart, a parallel leaves the great circle by less than 2 arcsec."""
    count = max(1, math.ceil(box.width / step))
    lons = [box.lon1 + box.width * i / count for i in range(count + 1)]
    return [(lon, box.lat1) for lon in lons] + [(lon, box.lat2) for lon in reversed(lons)]


def box_corners(lon: float, lat: float, width: float, height: float) -> tuple[tuple[float, float], ...]:
    """Corners of an ADQL BOX: half-widths along the great circles through its centre (ADQL 2.1, section 4.2.9).

    The corners lie where the perpendiculars at the ends of the two axes meet; sides are great circles. Degrees.
    """
    if not (0.0 < width < 180.0 and 0.0 < height < 180.0):
        raise RegionError(f"a box of {width!r} by {height!r} degrees has no corners; both must be between 0 and 180")
    east, north = math.tan(math.radians(width / 2)), math.tan(math.radians(height / 2))
    a, d = math.radians(lon), math.radians(lat)
    corners = []
    for x, y in ((-east, -north), (east, -north), (east, north), (-east, north)):
        # gnomonic plane at the centre: great circles perpendicular to an axis are straight lines in it
        vx = math.cos(d) * math.cos(a) - x * math.sin(a) - y * math.sin(d) * math.cos(a)
        vy = math.cos(d) * math.sin(a) + x * math.cos(a) - y * math.sin(d) * math.sin(a)
        vz = math.sin(d) + y * math.cos(d)
        corners.append((math.degrees(math.atan2(vy, vx)) % 360.0, math.degrees(math.atan2(vz, math.hypot(vx, vy)))))
    return tuple(corners)


def opposite(region: Region) -> Region:
    """All of the sky outside a circle or polygon. Raises RegionError for other shapes."""
    if isinstance(region, Circle):
        return Circle(region.lon + 180.0, -region.lat, 180.0 - region.radius)
    if isinstance(region, Polygon):
        return Polygon(region.vertices, is_larger_side=not region.is_larger_side)
    raise RegionError("NOT is understood of a circle or polygon only")


class _Reader:
    """Tokens of a region text, one at a time: ``kind`` is "number", "word", "mark" or "" at the end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.kind = ""
        self.value = ""
        self.advance()

    def advance(self) -> None:
        self.start = self.position
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            if self.text[self.position :].strip(" \t\r\n\f\v,"):
                self.kind = "?"
                self.fail("cannot be read")
            self.kind = self.value = ""
            return
        self.position = match.end()
        self.kind = match.lastgroup or ""
        self.value = match.group(self.kind)

    def fail(self, why: str) -> None:
        raise RegionError(f"{self.shown()} {why} at character {self.start + 1}")

    def shown(self) -> str:
        return repr(self.text.strip() if len(self.text) <= 80 else self.text[:77] + "...")

    def numbers(self) -> list[float]:
        numbers: list[float] = []
        while self.kind == "number":
            numbers.append(float(self.value))
            self.advance()
        return numbers

    def end(self) -> None:
        if self.kind:
            self.fail("goes on after its end")

    def expect(self, mark: str) -> None:
        if self.value != mark:
            self.fail(f"lacks {mark!r}")
        self.advance()

    def frame(self, inherited: str) -> str:
        """Frame, reference position and flavour words, any of which may be missing."""
        frame = inherited
        while self.kind == "word":
            word = self.value.upper()
            if word in FRAMES:
                frame = FRAMES[word]
            elif word.startswith("CART"):
                self.fail("is in Cartesian coordinates, which are no places on the sky,")
            elif word not in SILENT:
                break
            self.advance()
        return frame

    def region(self, inherited: str, depth: int) -> Region:
        if depth > MAX_DEPTH:
            self.fail(f"is nested deeper than {MAX_DEPTH}")
        if self.kind != "word":
            self.fail("lacks the name of a shape (CIRCLE, POLYGON ...)")
        word = self.value.upper()
        if word not in SHAPES:
            self.fail(
                f"names {self.value[:24]!r}, which is no shape known here (POSITION, CIRCLE, POLYGON, BOX, RANGE,"
                " MOC, ALLSKY, NOT, UNION),"
            )
        if word == "MOC":
            return self.coverage()
        self.advance()
        if self.kind == "word" and self.value.upper() == word:
            # CAST('CIRCLE 1 2 3' AS CIRCLE) comes here as "CIRCLE CIRCLE 1 2 3"
            self.advance()
        if word == "REGION":
            return self.bare_or_region(inherited, depth)
        frame = self.frame(inherited)
        if word in ("UNION", "NOT"):
            return self.compound(word, frame, depth)
        if word == "ALLSKY":
            self.tail()
            return Circle(0.0, 0.0, 180.0)
        return self.shape(word, frame)

    def coverage(self) -> Moc:
        """The cells after the word MOC, which are no numbers of degrees ("4/13 17-18")."""
        match = _MOC.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        self.advance()
        return Moc.from_text(match.group())

    def bare_or_region(self, inherited: str, depth: int) -> Region:
        if self.kind == "number":
            return _dali(self, "")
        return self.region(inherited, depth + 1)

    def compound(self, word: str, frame: str, depth: int) -> Region:
        self.expect("(")
        parts = []
        while self.kind == "word":
            parts.append(self.region(frame, depth + 1))
        self.expect(")")
        self.tail()
        if word == "UNION":
            if not parts:
                self.fail("has an empty UNION")
            return parts[0] if len(parts) == 1 else Union(tuple(parts))  # type: ignore[arg-type]
        if len(parts) != 1:
            self.fail("has a NOT of other than one shape")
        return opposite(parts[0])

    def shape(self, word: str, frame: str) -> Region:
        has_parenthesis = self.value == "("
        if has_parenthesis:
            self.advance()
        start = self.start
        numbers = self.numbers()
        if has_parenthesis:
            self.expect(")")
        scale = self.tail()
        if scale != 1.0:
            numbers = [number * scale for number in numbers]
        kind = {"POSITION": "point", "POSITIONINTERVAL": "range"}.get(word, word.lower())
        wanted = {"point": 2, "circle": 3, "box": 4, "range": 4}.get(kind)
        if wanted is not None and len(numbers) != wanted:
            self.start = start
            self.fail(f"gives {len(numbers)} numbers for a {word}, which takes {wanted},")
        if word == "POSITIONINTERVAL":
            # STC-S writes lower and upper corner, DALI both longitudes first
            numbers = [numbers[0], numbers[2], numbers[1], numbers[3]]
        return _build(kind, numbers, frame, self)

    def tail(self) -> float:
        """Skip what STC-S may say after an outline; return the size of its unit in degrees."""
        scale = 1.0
        while self.kind == "word":
            word = self.value.upper()
            if word == "UNIT":
                self.advance()
                if self.value.upper() not in UNITS:
                    self.fail("names a unit that is no angle")
                scale = UNITS[self.value.upper()]
                self.advance()
                if self.kind == "word" and self.value.upper() in UNITS:
                    self.advance()
            elif word in TAILS:
                self.advance()
                if word == "EPOCH" and self.kind == "word":
                    self.advance()
                self.numbers()
            else:
                break
        return scale
