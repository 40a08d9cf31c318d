"""Regions are read in every spelling archives use, and written so that they are read back the same."""

from __future__ import annotations

import gzip
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import RegionError
from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.area import area
from skyvault.sky.predicates import points_in_region, points_in_shapes
from skyvault.sky.region_text import box_corners, format_region, parse_region
from skyvault.sky.shape_text import shapes_of_texts
from skyvault.sky.shapes import Shapes
from skyvault.sky.vectors import separation

TRIANGLE = Polygon(((1, 1), (2, 1), (2, 2)))

lons = st.floats(0, 359.999)
lats = st.floats(-90, 90)
points = st.builds(Point, lons, lats)
circles = st.builds(Circle, lons, lats, st.floats(0, 180))
boxes = st.tuples(lons, lons, lats, lats).map(lambda n: Box(n[0], n[1], min(n[2:]), max(n[2:])))
mocs = st.lists(st.integers(0, 767), max_size=9).map(lambda n: Moc.from_cells((3, i, i) for i in n))
triangles = st.tuples(lons, st.floats(-80, 80), st.floats(0.01, 5), st.booleans()).map(
    lambda n: Polygon(((n[0], n[1]), (n[0] + n[2], n[1]), (n[0], n[1] + n[2])), n[3])
)
shapes = st.one_of(points, circles, boxes, triangles, mocs)
regions = st.one_of(shapes, st.lists(shapes, min_size=2, max_size=4).map(lambda parts: Union(tuple(parts))))


@pytest.mark.parametrize(
    ("text", "region"),
    [
        # DALI, by the number of numbers
        ("10 20", Point(10, 20)),
        ("10.0 20.0 1.5", Circle(10, 20, 1.5)),
        ("1 1 2 1 2 2", TRIANGLE),
        ("1,1,2,1,2,2", TRIANGLE),
        # names with and without frames, in any case
        ("CIRCLE ICRS 10 20 1", Circle(10, 20, 1)),
        ("Circle 10 20 1", Circle(10, 20, 1)),
        ("circle icrs 10 20 1e-3", Circle(10, 20, 0.001)),
        ("POLYGON ICRS 1 1 2 1 2 2", TRIANGLE),
        ("Polygon 1 1 2 1 2 2 1 1", TRIANGLE),
        ("POLYGON UNKNOWNFrame 1 1 2 1 2 2", TRIANGLE),
        ("  POLYGON\tICRS  +1 1. 2 1 2 .2e1\n", TRIANGLE),
        ("POLYGON(1,1,2,1,2,2)", TRIANGLE),
        ("CIRCLE ICRS TOPOCENTER 10 20 1", Circle(10, 20, 1)),
        ("CIRCLE ICRS GEOCENTER SPHERICAL2 10 20 1", Circle(10, 20, 1)),
        ("POSITION ICRS 10 -20", Point(10, -20)),
        ("POINT 10 -20", Point(10, -20)),
        ("RANGE 350 10 -5 5", Box(350, 10, -5, 5)),
        ("PositionInterval ICRS 1 2 3 4", Box(1, 3, 2, 4)),
        ("ALLSKY", Circle(0, 0, 180)),
        # tails of STC-S
        ("CIRCLE ICRS 10 20 1 unit deg", Circle(10, 20, 1)),
        ("CIRCLE ICRS 600 1200 60 unit arcmin", Circle(10, 20, 1)),
        ("Circle ICRS fillfactor 1.0", None),
        ("CIRCLE ICRS 10 20 1 epoch J2000.0", Circle(10, 20, 1)),
        # several shapes
        ("UNION ICRS (CIRCLE 1 2 3 POLYGON ICRS 1 1 2 1 2 2)", Union((Circle(1, 2, 3), TRIANGLE))),
        ("Union ICRS TOPOCENTER ( Circle 1 2 3 Union ( Circle 4 5 6 Circle 7 8 9 ) )",
         Union((Circle(1, 2, 3), Circle(4, 5, 6), Circle(7, 8, 9)))),
        ("CIRCLE ICRS 1 2 3 CIRCLE ICRS 4 5 6", Union((Circle(1, 2, 3), Circle(4, 5, 6)))),
        ("UNION ICRS (POLYGON ICRS 1 1 2 1 2 2)", TRIANGLE),
        ("NOT (CIRCLE ICRS 1 2 3)", Circle(181, -2, 177)),
        ("NOT (POLYGON ICRS 1 1 2 1 2 2)", Polygon(TRIANGLE.vertices, is_larger_side=True)),
        ("MOC 4/13 17-18 8/3002", Moc.from_text("4/13 17-18 8/3002")),
        ("UNION ICRS (CIRCLE 1 2 3 MOC 4/13 17-18)", Union((Circle(1, 2, 3), Moc.from_text("4/13 17-18")))),
        ("MOC '4/13'", Moc.from_text("4/13")),
        ('MOC {"4": [13]}', Moc.from_text("4/13")),
        ("4/13 17-18 8/3002", Moc.from_text("4/13 17-18 8/3002")),
        ('{"4": [13]}', Moc.from_text("4/13")),
        # what CAST(text AS shape) makes of it
        ("CIRCLE CIRCLE 1 2 3", Circle(1, 2, 3)),
        ("REGION CIRCLE ICRS 1 2 3", Circle(1, 2, 3)),
        ("REGION 1 2 3", Circle(1, 2, 3)),
    ],
)  # fmt: skip
def test_a_region_is_read_in_every_spelling_of_the_wild(text: str, region: Region | None) -> None:
    if region is None:
        with pytest.raises(RegionError):
            parse_region(text)
    else:
        assert parse_region(text) == region


@pytest.mark.parametrize(
    ("text", "xtype", "region"),
    [
        ("10 20", "point", Point(10, 20)),
        ("10 20 1", "circle", Circle(10, 20, 1)),
        ("350 10 -5 5", "range", Box(350, 10, -5, 5)),
        ("1 1 2 1 2 2", "polygon", TRIANGLE),
        ("4/13", "moc", Moc.from_text("4/13")),
        ("CIRCLE ICRS 10 20 1", "adql:REGION", Circle(10, 20, 1)),
        ("circle 10 20 1", "shape", Circle(10, 20, 1)),
    ],
)
def test_an_xtype_tells_how_bare_numbers_are_meant(text: str, xtype: str, region: Region) -> None:
    assert parse_region(text, xtype) == region


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the name of a shape"),
        ("ELLIPSE ICRS 1 2 3 4 5", "ELLIPSE"),
        ("CIRCLE 1 2", "2 numbers for a CIRCLE"),
        ("CIRCLE 1 2 3 4", "4 numbers for a CIRCLE"),
        ("CIRCLE 1 2 x", "2 numbers"),
        ("CIRCLE 1 95 3", "95"),
        ("CIRCLE 1 2 3; DROP TABLE x", "cannot be read"),
        ("CIRCLE 1 2 3)", "character 13"),
        ("CIRCLE 0x10 2 3", "cannot be read at character 7"),
        ("CIRCLE nan 2 3", "numbers"),
        ("CIRCLE 1e999 2 3", "inf"),
        ("POLYGON 1 1 2 1 2", "pairs"),
        ("UNION ICRS ()", "empty"),
        ("UNION ICRS (CIRCLE 1 2 3", "lacks"),
        ("UNION (" * 40 + "CIRCLE 1 2 3" + ")" * 40, "nested"),
        ("NOT (RANGE 1 2 3 4)", "NOT"),
        ("CIRCLE CART3 1 2 3", "Cartesian"),
        ("POSITION ICRS 1 2 unit parsec", "unit"),
        ("\u0661 \u0662", "cannot be read"),
        ("x" * 2_000_000, "longer than"),
    ],
)
def test_what_is_no_region_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(RegionError, match=re.escape(message)) as caught:
        parse_region(text)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    with suppress(RegionError):
        parse_region(text)


@given(regions)
def test_a_written_region_is_read_back_the_same(region: Region) -> None:
    assert parse_region(format_region(region)) == region
    if isinstance(region, Point | Circle | Box) or (isinstance(region, Polygon) and not region.is_larger_side):
        xtype = {Point: "point", Circle: "circle", Box: "range", Polygon: "polygon"}[type(region)]
        assert parse_region(format_region(region, "dali"), xtype) == region


@given(st.lists(st.one_of(regions.map(format_region), st.text(max_size=20), st.none()), max_size=30))
def test_many_texts_are_read_as_one_by_one(texts: list[str | None]) -> None:
    together = shapes_of_texts(pa.array(texts, pa.string()))
    alone = []
    for text in texts:
        try:
            alone.append(None if text is None else parse_region(text))
        except RegionError:
            alone.append(None)
    expected = Shapes.from_regions(alone)
    assert together.valid.tolist() == expected.valid.tolist()
    for row in np.flatnonzero(expected.valid).tolist():
        assert together.region(row) == alone[row]


def test_many_plain_texts_are_read_the_quick_way_and_the_same() -> None:
    spellings = [
        "POLYGON J2000 1 1 2 1 2 2", "POLYGON ICRS 1 1 2 1 2 2", "CIRCLE FK5 1 2 3", "polygon 1 1 2 1 2 2 3",
        "CIRCLE ICRS 1 95 3", "CIRCLE J2000 1 95 3", None, "POSITION J2000 1 2", "  Circle  1 2 3 ",
        "UNION ICRS (CIRCLE 1 2 3 CIRCLE 4 5 6)", "?", "POLYGON ICRS 1 1 2 1 2 2 1 1", "POLYGON 1 1 1 1 1 1",
        "CIRCLE ICRS 1 2 3 4", "POLYGON ICRS 0 0 180 0 0 10",
    ]  # fmt: skip
    read = shapes_of_texts(pa.array(spellings))
    for row, text in enumerate(spellings):
        try:
            expected = None if text is None else parse_region(text)
        except RegionError:
            expected = None
        assert (read.region(row) if read.valid[row] else None) == expected


@pytest.mark.parametrize("frame", ["FK5", "GALACTIC", "FK4", "ECLIPTIC", "J2000", "B1950"])
def test_other_frames_are_turned_into_icrs(frame: str) -> None:
    from astropy.coordinates import FK4, FK5, BarycentricMeanEcliptic, Galactic, SkyCoord

    known = {"FK5": FK5(), "J2000": FK5(), "FK4": FK4(), "B1950": FK4(), "GALACTIC": Galactic()}
    there = SkyCoord(120, -23, unit="deg", frame=known.get(frame, BarycentricMeanEcliptic()))
    circle = parse_region(f"CIRCLE {frame} 120 -23 1")
    assert isinstance(circle, Circle)
    assert separation(circle.lon, circle.lat, there.icrs.ra.deg, there.icrs.dec.deg) * 3.6e6 < 0.01
    polygon = parse_region(f"POLYGON {frame} 119 -24 121 -24 121 -22 119 -22")
    assert points_in_region([there.icrs.ra.deg], [there.icrs.dec.deg], polygon).all()
    box = parse_region(f"RANGE {frame} 119 121 -24 -22")
    assert area(box) == pytest.approx(area(Box(119, 121, -24, -22)), rel=1e-4)


@given(lons, st.floats(-90, 90), st.floats(0.001, 170), st.floats(0.001, 170))
def test_the_sides_of_an_adql_box_pass_through_the_ends_of_its_axes(
    lon: float, lat: float, width: float, height: float
) -> None:
    corners = np.array(box_corners(lon, lat, width, height))
    sides = separation(corners[:, 0], corners[:, 1], np.roll(corners[:, 0], -1), np.roll(corners[:, 1], -1))
    # opposite sides are equally long, and corners equally far from the centre
    assert sides[0] == pytest.approx(sides[2], rel=1e-6, abs=1e-9)
    far = separation(corners[:, 0], corners[:, 1], lon, lat)
    expected = np.degrees(np.arctan(np.hypot(np.tan(np.radians(width / 2)), np.tan(np.radians(height / 2)))))
    assert far == pytest.approx(np.full(4, expected), rel=1e-6, abs=1e-9)


@pytest.mark.shared
def test_every_s_region_of_real_archives_is_read(shared_data: Path) -> None:
    texts: list[str] = []
    for name in ("obscore/eso.xml.gz", "obscore/obscore.vot.gz"):
        content = gzip.decompress((shared_data / "obslogs" / name).read_bytes()).decode()
        texts += re.findall(r"<TD>((?:POSITION|POLYGON|UNION|CIRCLE|BOX)[^<]*)</TD>", content, re.I)
    folder = shared_data / "obslogs" / "services"
    for path in ("casda/tests/data/partial_unreleased.xml", "mast/tests/data/advSearchPos.json", "mast/tests/data/caom.json"):  # fmt: skip
        content = (folder / path).read_text()
        texts += re.findall(r"[>\"']((?:POLYGON|CIRCLE|Polygon) [^<\"']+)", content)
    assert len(texts) > 1000
    read = shapes_of_texts(pa.array(texts))
    unread = [text for text, valid in zip(texts, read.valid, strict=True) if not valid]
    assert unread == []
    for text in texts[:300]:
        region = parse_region(text)
        again = parse_region(format_region(region))
        assert again == region
        assert 0 <= area(region) < 200


@pytest.mark.shared
def test_synthetic_footprints_hold_their_centres(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "stars" / "obscore_synthetic.parquet", columns=["s_region", "s_ra", "s_dec"])
    shapes = shapes_of_texts(table["s_region"].combine_chunks())
    assert points_in_shapes(table["s_ra"].to_numpy(), table["s_dec"].to_numpy(), shapes).all()
