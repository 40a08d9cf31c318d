"""Frames, epochs and sexagesimal angles agree with astropy, ERFA and the catalogue of functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.sky.frames import MATRICES, parse_dms, parse_hms, propagate, transform, transform_coordinates
from skyvault.sky.vectors import coordinates, normalised, separation, unit_vectors, wrap_longitude

MICROARCSECOND = 1 / 3.6e9


def places(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = coordinates(normalised(np.random.default_rng(5).normal(size=(count, 3))))
    return np.append(lon, [0, 0, 180, 359.999]), np.append(lat, [90, -90, 0, 1e-9])


@pytest.mark.parametrize("name", ["GALACTIC", "FK5", "FK4", "ECLIPTIC"])
def test_frames_agree_with_astropy_both_ways(name: str) -> None:
    from astropy.coordinates import FK4, FK5, ICRS, BarycentricMeanEcliptic, Galactic, SkyCoord

    frame = {"GALACTIC": Galactic(), "FK5": FK5(), "FK4": FK4(), "ECLIPTIC": BarycentricMeanEcliptic()}[name]
    lon, lat = places()
    there = SkyCoord(lon, lat, unit="deg", frame=ICRS()).transform_to(frame).spherical
    found = transform_coordinates(lon, lat, "ICRS", name)
    assert separation(*found, there.lon.deg, there.lat.deg).max() < MICROARCSECOND
    back = SkyCoord(lon, lat, unit="deg", frame=frame).transform_to(ICRS()).spherical
    found = transform_coordinates(lon, lat, name, "ICRS")
    assert separation(*found, back.lon.deg, back.lat.deg).max() < MICROARCSECOND


@pytest.mark.parametrize("first", MATRICES)
@pytest.mark.parametrize("second", MATRICES)
def test_there_and_back_is_where_one_was(first: str, second: str) -> None:
    vectors = unit_vectors(*places())
    back = transform(transform(vectors, first, second), second, first)
    assert np.abs(back - vectors).max() < 2e-15
    assert np.abs(np.linalg.norm(back, axis=1) - 1).max() < 1e-14


def test_galactic_coordinates_are_those_of_the_udf_catalogue() -> None:
    lon, lat = transform_coordinates(120, -23, "ICRS", "GALACTIC")
    assert (float(lon), float(lat)) == pytest.approx((241.121831182, 3.62785788087), abs=1e-9)


def test_an_unknown_frame_is_refused() -> None:
    with pytest.raises(ParameterError, match="galactic"):
        transform_coordinates(1, 2, "ICRS", "galactic")


def test_the_epoch_of_the_udf_catalogue_is_met() -> None:
    moved = propagate(7.606083572, 11.79044105, 125, 300, -428.8, 52.51, 2016.0, 1992.25)
    assert float(moved[0]) == pytest.approx(7.604061404627978, abs=1e-12)
    assert float(moved[1]) == pytest.approx(11.7932703828279, abs=1e-12)


def test_a_motion_without_distance_is_along_a_great_circle() -> None:
    nan = np.nan
    lon, lat, plx, pm_lon, pm_lat, rv = propagate(10, 0, nan, 0, 3.6e6, 50, 2000, 2010)
    # 1 degree a year for ten years, straight: tan = 10 degrees in radians
    assert float(lat) == pytest.approx(np.degrees(np.arctan(np.radians(10))), abs=1e-12)
    assert (float(lon), float(plx), float(rv)) == (pytest.approx(10), 0.0, 50.0)
    assert float(pm_lon) == pytest.approx(0.0, abs=1e-6) and 0 < float(pm_lat) < 3.6e6
    assert [float(a) for a in propagate(10, 20, nan, nan, nan, nan, 2000, 2010)[:2]] == pytest.approx([10, 20])
    assert np.isnan(propagate(nan, 20, 1, 1, 1, 1, 2000, 2010)[0])
    assert np.isnan(propagate(10, 20, 1, 1, 1, 1, nan, 2010)[1])


@given(
    st.floats(0, 359), st.floats(-89, 89), st.floats(0.1, 800), st.floats(-9000, 9000), st.floats(-9000, 9000),
    st.floats(-500, 500), st.floats(-300, 300),
)  # fmt: skip
def test_an_epoch_and_back_is_where_one_was(
    lon: float, lat: float, plx: float, pm_lon: float, pm_lat: float, rv: float, years: float
) -> None:
    there = propagate(lon, lat, plx, pm_lon, pm_lat, rv, 2000, 2000 + years)
    back = propagate(*there, 2000 + years, 2000)
    assert separation(back[0], back[1], lon, lat) < 1e-10
    assert [float(a) for a in back[2:]] == pytest.approx([plx, pm_lon, pm_lat, rv], rel=1e-6, abs=1e-6)


def test_epochs_agree_with_erfa_apart_from_light_time() -> None:
    import erfa

    ra, dec, plx, pmra, pmdec, rv = 269.452, 4.693, 546.976, -801.551, 10362.394, -110.5
    found = propagate(ra, dec, plx, pmra, pmdec, rv, 2000, 2100)
    mas = np.pi / 180 / 3.6e6
    known = erfa.pmsafe(
        np.radians(ra), np.radians(dec), pmra * mas / np.cos(np.radians(dec)), pmdec * mas, plx / 1e3, rv,
        2451545.0, 0.0, 2451545.0, 36525.0,
    )  # fmt: skip
    # Barnard's star over a century: light-time changes by hours, that is milliarcseconds
    assert separation(found[0], found[1], np.degrees(known[0]), np.degrees(known[1])) * 3.6e6 < 20
    assert float(found[2]) == pytest.approx(known[4] * 1e3, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("12:00:00", 180.0),
        ("12h00m00s", 180.0),
        ("12H30M", 187.5),
        ("120000", 180.0),
        ("00:00:01.5", 0.00625),
        ("12 34 56.78", 188.73658333333333),
        (" 1h2m3.5s ", 15.514583333333333),
        ("24:00:00", 360.0),
        ("24:00:01", None),
        ("12:60:00", None),
        ("12:00:60", None),
        ("-01:00:00", None),
        ("12d00m00s", None),
        ("noon", None),
        ("", None),
        ("1" * 100, None),
    ],
)
def test_hours_are_read_in_the_forms_of_the_udf_catalogue(text: str, degrees: float | None) -> None:
    assert parse_hms(text) == (None if degrees is None else pytest.approx(degrees, abs=1e-12))


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("-00:15:00", -0.25),
        ("+41:12:00", 41.2),
        ("41d12m00s", 41.2),
        ("-41D12M", -41.2),
        ("-0d15'0\"", -0.25),
        ("-001500", -0.25),
        ("120 30 0", 120.5),
        ("41:12:61", None),
        ("41h12m00s", None),
        ("--41:12:00", None),
        ("361:00:00", None),
    ],
)
def test_degrees_keep_the_sign_of_minus_zero(text: str, degrees: float | None) -> None:
    assert parse_dms(text) == (None if degrees is None else pytest.approx(degrees, abs=1e-12))


def test_separations_are_exact_at_all_scales() -> None:
    for exact in (1e-12, 1e-9, 1 / 3600, 1.0, 90.0, 179.0, 179.999999, 180.0):
        assert float(separation(0, 0, exact, 0)) == pytest.approx(exact, rel=1e-14)
        assert float(separation(33, 90, 120, 90 - exact)) == pytest.approx(exact, rel=1e-12, abs=1e-14)


def test_longitudes_are_wrapped_below_360() -> None:
    assert wrap_longitude([-1e-20, 360, 720.5, -0.5]).tolist() == [0.0, 0.0, 0.5, 359.5]
