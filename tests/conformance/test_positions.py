"""Cones, polygons and positional joins give exactly the rows that exact geometry gives, however they are spelt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Ask
from .sky_tables import AWKWARD, positions, separation, square

LON, LAT = positions()
OTHER_LON, OTHER_LAT = positions(1000, 77)
#: rows whose membership rounding may decide either way
RIM = 1e-11

CONES = [
    "1=CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {a}, {b}, {r}))",
    "CONTAINS(POINT(ra, dec), CIRCLE({a}, {b}, {r})) = 1",
    "1=CONTAINS(POINT({a}, {b}), CIRCLE(ra, dec, {r}))",
    "0<>CONTAINS(POINT(ra, dec), CIRCLE(POINT({a}, {b}), {r}))",
    "1=INTERSECTS(POINT(ra, dec), CIRCLE({a}, {b}, {r}))",
    "1=INTERSECTS(CIRCLE({a}, {b}, {r}), POINT(ra, dec))",
    "DISTANCE(ra, dec, {a}, {b}) <= {r}",
    "DISTANCE({a}, {b}, ra, dec) < {r}",
    "DISTANCE(POINT(ra, dec), POINT({a}, {b})) <= {r}",
    "{r} >= DISTANCE(POINT({a}, {b}), POINT(ra, dec))",
    "NOT DISTANCE(ra, dec, {a}, {b}) > {r}",
]


def inside(lon: float, lat: float, radius: float) -> tuple[set[int], set[int]]:
    """Row ids surely in a cone, and those on its very rim; the first ten rows have no position."""
    apart = separation(LON, LAT, lon, lat)
    ids = np.arange(len(LON))
    known = ids >= 10
    return set(ids[known & (apart < radius - RIM)]), set(ids[known & (np.abs(apart - radius) <= RIM)])


def check_cone(ask: Ask, form: str, lon: float, lat: float, radius: float) -> None:
    condition = form.format(a=repr(lon), b=f"({lat!r})", r=repr(radius))
    found = {row[0] for row in ask(f"SELECT id FROM lab.stars WHERE {condition}")}
    sure, rim = inside(lon, lat, radius)
    assert sure <= found <= sure | rim


@pytest.mark.parametrize("form", CONES)
def test_every_spelling_of_a_cone_finds_the_same_rows(ask: Ask, form: str) -> None:
    for place in AWKWARD[:12]:
        for radius in (0.0001, 0.3, 5.0, 100.0, 179.5):
            check_cone(ask, form, *place, radius)


@settings(max_examples=60)
@given(
    form=st.sampled_from(CONES),
    lon=st.floats(0, 360),
    lat=st.floats(-90, 90),
    radius=st.one_of(st.floats(0, 0.01), st.floats(0.01, 3), st.floats(3, 180)),
)
def test_a_cone_anywhere_agrees_with_exact_distances(
    ask: Ask, form: str, lon: float, lat: float, radius: float
) -> None:
    check_cone(ask, form, lon, lat, radius)


@pytest.mark.parametrize("radius", [0, 180, 180.0])
def test_a_circle_of_no_radius_holds_its_centre_and_one_of_180_deg_the_whole_sky(ask: Ask, radius: float) -> None:
    found = ask(f"SELECT COUNT(*) FROM lab.stars WHERE 1=CONTAINS(POINT(ra, dec), CIRCLE(10, 10, {radius}))")[0][0]
    assert found == (2 if radius == 0 else len(LON) - 10)


def test_a_row_without_position_is_neither_inside_nor_outside(ask: Ask) -> None:
    inside_it = ask("SELECT COUNT(*) FROM lab.stars WHERE 1=CONTAINS(POINT(ra,dec),CIRCLE(0,0,90))")[0][0]
    outside_it = ask("SELECT COUNT(*) FROM lab.stars WHERE 0=CONTAINS(POINT(ra,dec),CIRCLE(0,0,90))")[0][0]
    assert inside_it + outside_it == len(LON) - 10


@pytest.mark.parametrize(
    "source",
    [
        "(SELECT ra, dec, id FROM lab.stars) AS q",
        "(SELECT id, dec, ra FROM (SELECT * FROM lab.stars) AS z WHERE mag > 0) AS q",
        "(SELECT TOP 100000 id, ra, dec FROM lab.stars ORDER BY mag) AS q",
        "(SELECT s.id, s.ra, s.dec FROM lab.stars AS s JOIN lab.stars AS t ON s.id = t.id) AS q",
    ],
)
def test_a_cone_on_a_derived_table_is_the_cone_on_its_source(ask: Ask, source: str) -> None:
    found = {row[0] for row in ask(f"SELECT q.id FROM {source} WHERE DISTANCE(q.ra, q.dec, 45, 0) < 0.7")}
    assert found == inside(45, 0, 0.7)[0]


def test_a_cone_on_a_common_table_is_the_cone_on_its_source(ask: Ask) -> None:
    text = "WITH near AS (SELECT id, ra, dec FROM lab.stars WHERE mag < 20) SELECT id FROM near WHERE DISTANCE(ra, dec, 180, 90) < 0.5"
    assert {row[0] for row in ask(text)} == inside(180, 90, 0.5)[0]


@pytest.mark.parametrize("place", AWKWARD[:12])
@pytest.mark.parametrize("half", [0.2, 8.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_polygon_of_great_circles_holds_what_lies_on_the_inner_side_of_its_sides(
    ask: Ask, place: tuple[float, float], half: float, turned: bool
) -> None:
    corners = square(*place, half)
    if turned:
        corners.reverse()
    numbers = ", ".join(f"{lon!r}, {lat!r}" for lon, lat in corners)
    found = {row[0] for row in ask(f"SELECT id FROM lab.stars WHERE 1=CONTAINS(POINT(ra,dec), POLYGON({numbers}))")}
    a, d = np.radians(np.array(corners).T)
    v = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
    normals = np.cross(v, np.roll(v, -1, axis=0))
    b, e = np.radians(LON), np.radians(LAT)
    p = np.stack([np.cos(e) * np.cos(b), np.cos(e) * np.sin(b), np.sin(e)], axis=-1)
    side = p @ normals.T * (-1 if turned else 1)
    sure = set(np.flatnonzero((side > 1e-12).all(axis=1))[:].tolist()) - set(range(10))
    rim = set(np.flatnonzero((side > -1e-12).all(axis=1)).tolist())
    assert sure <= found <= sure | rim


# ---------------------------------------------------------------- joins

UPLOAD = pa.table({"uid": np.arange(1000), "lon": OTHER_LON, "lat": OTHER_LAT, "reach": np.linspace(0.001, 0.4, 1000)})
PAIRS = separation(LON[None, :], LAT[None, :], OTHER_LON[:, None], OTHER_LAT[:, None])
PAIRS[:, :10] = np.inf


def pairs(radius: float | np.ndarray) -> set[tuple[int, int]]:
    return {(int(u), int(i)) for u, i in zip(*np.nonzero(radius > PAIRS), strict=True)}


JOINS = [
    "FROM TAP_UPLOAD.t AS u JOIN lab.stars AS s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < {r}",
    "FROM lab.stars AS s JOIN TAP_UPLOAD.t AS u ON 1=CONTAINS(POINT('ICRS', s.ra, s.dec), CIRCLE('ICRS', u.lon, u.lat, {r}))",
    "FROM lab.stars AS s, TAP_UPLOAD.t AS u WHERE CONTAINS(POINT(u.lon, u.lat), CIRCLE(s.ra, s.dec, {r})) = 1",
    "FROM (SELECT * FROM lab.stars) AS s JOIN TAP_UPLOAD.t AS u ON DISTANCE(POINT(u.lon, u.lat), POINT(s.ra, s.dec)) < {r}",
    "FROM TAP_UPLOAD.t AS u RIGHT JOIN lab.stars AS s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < {r} WHERE u.uid IS NOT NULL",
]


@pytest.mark.parametrize("form", JOINS)
@pytest.mark.parametrize("radius", [0.0005, 0.05, 2.0])
def test_a_positional_join_yields_each_pair_once(ask: Ask, form: str, radius: float) -> None:
    rows = ask(f"SELECT u.uid, s.id {form.format(r=radius)}", t=UPLOAD)
    assert len(rows) == len(set(rows))
    assert set(rows) == pairs(radius)


def test_a_join_between_published_tables_uses_positions_of_both(ask: Ask) -> None:
    rows = ask("SELECT o.id, s.id FROM lab.others o JOIN lab.stars s ON DISTANCE(o.ra, o.dec, s.ra, s.dec) < 0.05")
    assert set(rows) == {(u, i) for u, i in pairs(0.05) if u >= 10}
    assert len(rows) == len(set(rows))


def test_a_radius_may_be_a_column(ask: Ask) -> None:
    rows = ask(
        "SELECT u.uid, s.id FROM TAP_UPLOAD.t u JOIN lab.stars s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < u.reach",
        t=UPLOAD,
    )
    assert set(rows) == pairs(np.asarray(UPLOAD["reach"])[:, None])
    assert len(rows) == len(set(rows))


def test_a_left_join_keeps_rows_without_a_match_once(ask: Ask) -> None:
    rows = ask(
        "SELECT u.uid, s.id FROM TAP_UPLOAD.t u LEFT JOIN lab.stars s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < 0.05 AND s.mag < 8",
        t=UPLOAD,
    )
    faint = {row[0] for row in ask("SELECT id FROM lab.stars WHERE mag < 8")}
    matched = {(u, i) for u, i in pairs(0.05) if i in faint}
    alone = set(range(1000)) - {u for u, _ in matched}
    assert len(rows) == len(matched) + len(alone)
    assert set(rows) == matched | {(u, None) for u in alone}


def test_a_full_join_keeps_the_rows_of_both_sides(ask: Ask) -> None:
    rows = ask(
        "SELECT u.uid, s.id FROM TAP_UPLOAD.t u FULL OUTER JOIN lab.stars s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < 0.05",
        t=UPLOAD,
    )
    matched = pairs(0.05)
    want = matched | {(u, None) for u in set(range(1000)) - {u for u, _ in matched}}
    want |= {(None, i) for i in set(range(len(LON))) - {i for _, i in matched}}
    assert len(rows) == len(want)
    assert set(rows) == want


@pytest.mark.parametrize("word", ["EXISTS", "NOT EXISTS"])
def test_exists_with_a_position_is_a_semi_join(ask: Ask, word: str) -> None:
    rows = ask(
        f"SELECT u.uid FROM TAP_UPLOAD.t u WHERE {word} (SELECT 1 FROM lab.stars s WHERE DISTANCE(u.lon, u.lat, s.ra, s.dec) < 0.05)",
        t=UPLOAD,
    )
    matched = {u for u, _ in pairs(0.05)}
    assert sorted(row[0] for row in rows) == sorted(matched if word == "EXISTS" else set(range(1000)) - matched)


def test_a_positional_condition_under_or_is_still_exact(ask: Ask) -> None:
    few = UPLOAD.slice(900, 40)
    rows = ask(
        "SELECT u.uid, s.id FROM TAP_UPLOAD.t u JOIN lab.stars s ON DISTANCE(u.lon, u.lat, s.ra, s.dec) < 0.05 OR s.id = u.uid",
        t=few,
    )
    want = {(u, i) for u, i in pairs(0.05) if 900 <= u < 940} | {(u, u) for u in range(900, 940)}
    assert set(rows) == want and len(rows) == len(want)


# ---------------------------------------------------------------- region columns


def region_members(lon: float, lat: float) -> set[str]:
    centre_lon, centre_lat = positions(400, 9)
    rng = np.random.default_rng(9)
    names = set()
    p = np.array(
        [
            np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
            np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
            np.sin(np.radians(lat)),
        ]
    )
    for i in range(400):
        size = float(rng.choice([0.01, 0.3, 2.0, 15.0]))
        if i % 3 == 0:
            if separation(centre_lon[i], centre_lat[i], lon, lat) <= size:
                names.add(f"o{i}")
        else:
            a, d = np.radians(np.array(square(centre_lon[i], centre_lat[i], size)).T)
            v = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
            if (np.cross(v, np.roll(v, -1, axis=0)) @ p > 0).all():
                names.add(f"o{i}")
    return names


@pytest.mark.parametrize("place", [*AWKWARD[:12], (200.0, 33.0), (17.0, -61.0)])
@pytest.mark.parametrize("table", ["ivoa.ObsCore", "lab.footprints"])
def test_a_point_in_string_regions_finds_the_footprints_that_hold_it(
    ask: Ask, table: str, place: tuple[float, float]
) -> None:
    lon, lat = place[0] % 360 + 1e-7, float(np.clip(place[1] + 1e-7, -90, 90))
    rows = ask(f"SELECT obs_id FROM {table} WHERE 1=CONTAINS(POINT('ICRS', {lon!r}, ({lat!r})), s_region)")
    assert {row[0] for row in rows} == region_members(lon, lat)


def test_points_of_an_upload_are_found_in_region_columns(ask: Ask) -> None:
    points = UPLOAD.slice(300, 25)
    rows = ask(
        "SELECT u.uid, o.obs_id FROM TAP_UPLOAD.t u JOIN ivoa.ObsCore o ON 1=CONTAINS(POINT(u.lon, u.lat), o.s_region)",
        t=points,
    )
    want = {(300 + k, name) for k in range(25) for name in region_members(OTHER_LON[300 + k], OTHER_LAT[300 + k])}
    assert set(rows) == want and len(rows) == len(want)


def test_intersects_of_a_circle_holds_at_least_the_footprints_around_its_centre(ask: Ask) -> None:
    rows = {r[0] for r in ask("SELECT obs_id FROM ivoa.ObsCore WHERE 1=INTERSECTS(CIRCLE(180, 89.9, 3), s_region)")}
    exact = {
        r[0]
        for r in ask(
            "SELECT obs_id FROM (SELECT obs_id, s_region FROM ivoa.ObsCore) q WHERE 1=INTERSECTS(CIRCLE(180, 89.9, 3), q.s_region)"
        )
    }
    assert rows == exact
    assert region_members(180.0, 89.9) <= rows
