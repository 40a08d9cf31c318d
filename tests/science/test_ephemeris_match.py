"""Moving objects against exposures: what a slow, plain comparison finds, on an ephemeris of comet Encke."""

from __future__ import annotations

import re

import numpy as np
import pytest

from skyvault.adql.parse import parse
from skyvault.errors import ParameterError
from skyvault.model.region import Circle, Polygon
from skyvault.science.ephemeris import Ephemeris
from skyvault.science.ephemeris_match import ExposureList, ephemeris_query, match_ephemeris
from skyvault.sky.points import points_in_region
from skyvault.sky.shapes import Shapes
from skyvault.sky.vectors import coordinates, separation, unit_vectors


def comet(count: int = 200, magnitude: float | None = 15.0) -> Ephemeris:
    """A loop over the pole and through longitude 0, a day a row."""
    t = np.arange(float(count))
    lon, lat = 350.0 + 0.3 * t, 60.0 + 29.0 * np.sin(t / 40.0)
    return Ephemeris.from_columns(
        30_000 + t, lon % 360, lat, magnitude=None if magnitude is None else np.full(count, magnitude)
    )


def exposures(seed: int = 0, count: int = 3000) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    begin = random.uniform(29_990, 30_210, count)
    near = unit_vectors(350.0 + 0.3 * (begin - 30_000), 60.0 + 29.0 * np.sin((begin - 30_000) / 40.0))
    lon, lat = coordinates(near + 0.1 * random.normal(size=(count, 3)))
    length = random.choice([0.0, 0.01, 0.1, 3.0], count)
    return {"t_min": begin, "t_max": begin + length, "ra": lon, "dec": lat, "radius": random.uniform(0.2, 8.0, count)}


def slowly(ephemeris: Ephemeris, begin: float, end: float, region) -> bool:
    start, stop = max(begin, ephemeris.mjd[0]), min(end, ephemeris.mjd[-1])
    if start > stop:
        return False
    places = int(np.clip(2 * np.ceil(stop - start) + 1, 3, 65))
    lon, lat = coordinates(ephemeris.at(np.linspace(start, stop, places)))
    return bool(points_in_region(lon, lat, region).any())


def test_circles_hold_what_a_plain_comparison_finds():
    columns, ephemeris = exposures(), comet()
    found = match_ephemeris(ephemeris, ExposureList.from_circles(**columns))
    plain = [
        slowly(ephemeris, begin, end, Circle(lon, lat, radius))
        for begin, end, lon, lat, radius in zip(*columns.values(), strict=True)
    ]
    assert sorted(found.row.tolist()) == np.flatnonzero(plain).tolist() and len(found) > 300
    apart = separation(found.ra, found.dec, columns["ra"][found.row], columns["dec"][found.row])
    assert np.allclose(apart, found.from_centre, atol=1e-9)
    assert (apart[found.is_inside_throughout] <= columns["radius"][found.row][found.is_inside_throughout] + 0.5).all()


def test_footprints_hold_what_a_plain_comparison_finds():
    columns, ephemeris = exposures(1, 800), comet()
    regions = []
    for lon, lat, size in zip(columns["ra"], np.clip(columns["dec"], -85, 85), columns["radius"], strict=True):
        half = size / 2
        wide = half / np.cos(np.radians(lat))
        corners = (
            (lon - wide, lat - half),
            (lon + wide, lat - half),
            (lon + wide, min(lat + half, 89.9)),
            (lon - wide, min(lat + half, 89.9)),
        )
        regions.append(Polygon(corners))
    regions[5] = None
    shapes = Shapes.from_regions(regions)
    found = match_ephemeris(ephemeris, ExposureList.from_footprints(columns["t_min"], columns["t_max"], shapes))
    plain = [
        region is not None and slowly(ephemeris, begin, end, region)
        for begin, end, region in zip(columns["t_min"], columns["t_max"], regions, strict=True)
    ]
    assert sorted(found.row.tolist()) == np.flatnonzero(plain).tolist() and len(found) > 30
    assert (found.area_deg2 > 0).all()


def test_deep_and_narrow_exposures_come_first():
    ephemeris = comet()
    lon, lat = coordinates(ephemeris.at([30_010.5]))
    found = match_ephemeris(
        ephemeris,
        ExposureList.from_circles(
            [30_010.5] * 5, [30_010.5] * 5, [lon[0]] * 5, [lat[0]] * 5, [40.0, 3.0, 3.0, 1.0, 3.0],
            limiting_magnitude=[16.0, 16.0, 17.0, 12.0, np.nan],
        ),
    )  # fmt: skip
    assert found.row.tolist() == [2, 1, 0, 4, 3]
    assert found.margin[:3].tolist() == [2.0, 1.0, 1.0] and found.margin[4] == -3.0 and np.isnan(found.margin[3])
    assert found.area_deg2[4] == pytest.approx(np.pi, rel=1e-3)


def test_nothing_is_matched_in_gaps_outside_the_times_or_without_a_place():
    days = np.r_[np.arange(10.0), np.arange(100.0, 110.0)]
    ephemeris = Ephemeris.from_columns(days, days / 10, days / 20)
    place = {"ra": np.full(6, 2.5), "dec": np.full(6, 1.25), "radius": 100.0}
    begin = np.array([-5.0, 50.0, 5.0, 200.0, np.nan, 5.0])
    place["ra"][5] = np.nan
    assert match_ephemeris(ephemeris, ExposureList.from_circles(begin, begin + 0.1, **place)).row.tolist() == [2]
    over = match_ephemeris(
        ephemeris, ExposureList.from_circles(begin[:2], begin[:2] + 55.0, 0.5 * np.ones(2), np.zeros(2), 50.0)
    )
    assert len(over) == 2 and np.isfinite(over.ra).all()


@pytest.mark.shared
def test_text_of_the_minor_planet_centre_is_read_and_interpolated(shared_data):
    text = (shared_data / "ephem/horizons/mpc/tests/data/2P_ephemeris_500-a-s.html").read_text("latin-1")
    rows = re.findall(
        r"^(\d{4}) (\d\d) (\d\d) (\d\d)(\d\d)(\d\d) (\d\d \d\d [\d.]+) ([+-]\d\d \d\d \d\d) .* (2\d\.\d) ", text, re.M
    )
    assert len(rows) == 21
    when = [f"{y}-{m}-{d}T{h}:{i}:{s}" for y, m, d, h, i, s, *_ in rows]
    ra, dec, mag = ([row[k] for row in rows] for k in (6, 7, 8))
    encke = Ephemeris.from_columns(when, ra, dec, magnitude=[float(m) for m in mag])
    assert encke.mjd[0] == pytest.approx(58_329.740440, abs=1e-6)
    assert (encke.ra[0], encke.dec[0]) == (pytest.approx(346.60333, abs=1e-5), pytest.approx(-5.135, abs=1e-9))
    half = Ephemeris.from_columns(when[::2], ra[::2], dec[::2])
    lon, lat = coordinates(half.at(encke.mjd))
    assert (separation(lon, lat, encke.ra, encke.dec) * 3600).max() < 1.5  # it is printed to 1 arcsec
    assert encke.fastest() == pytest.approx(np.radians(37.3 * 24 / 3600), rel=0.03)  # 35.24, 12.21 arcsec an hour


def test_times_are_mjd_jd_or_iso_text():
    for time in (
        [59_000.5, 59_001.5],
        [2_459_001.0, 2_459_002.0],
        ["2020-05-31T12:00:00", "2020-06-01 12:00:00Z"],
        ["59000.5", "2459002.0"],
    ):
        assert Ephemeris.from_columns(time, [1, 2], [3, 4]).mjd.tolist() == [59_000.5, 59_001.5]


def test_segments_hold_the_way_between_two_rows():
    ephemeris = comet()
    table = ephemeris.segments()
    assert len(table["ra"]) == len(ephemeris) - 1
    for turn in np.linspace(0.0, 1.0, 7):
        lon, lat = coordinates(ephemeris.at(table["epoch_start"] + turn * (table["epoch_end"] - table["epoch_start"])))
        assert (separation(lon, lat, table["ra"], table["dec"]) <= table["radius"]).all()


def test_the_query_is_adql_and_takes_no_other_names():
    query = ephemeris_query("dasch.plates", collection="O'Brien")
    parse(query)
    assert "TAP_UPLOAD.orbit" in query and "'O''Brien'" in query
    with pytest.raises(ParameterError, match="no plain ADQL name"):
        ephemeris_query("plates; DROP")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (([1.0], [2.0], [3.0]), "two different times"),
        (([1.0, 2.0], ["12 x", "1 2 3"], [1.0, 2.0]), "row 1: '12 x' is no right ascension"),
        (([1.0, 2.0], [1.0, 2.0], [1.0, 95.0]), "beyond the pole"),
        ((["yesterday", "now"], [1.0, 2.0], [1.0, 2.0]), "'yesterday' is no time"),
        (([1.0, 2.0], [1.0], [1.0, 2.0]), "differ in length"),
    ],
)
def test_what_is_no_ephemeris_is_refused_in_a_sentence(columns, words):
    with pytest.raises(ParameterError, match=words):
        Ephemeris.from_columns(*columns)
