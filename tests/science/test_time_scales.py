"""One axis of time: astropy's numbers where astropy has them, and nothing invented where a frame is unknown."""

from __future__ import annotations

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from skyvault.errors import ParameterError
from skyvault.science.time_scales import (
    HJD_UTC,
    TDB_BARYCENTER,
    Site,
    TimeFrame,
    delta_t_s,
    light_travel_days,
    to_barycenter,
)

RA, DEC = 14.4, 60.24  # HD 5501
DAYS = np.linspace(37_000.0, 60_500.0, 400)  # 1960 to 2024
MILLISECOND = 1e-3 / 86_400


@pytest.fixture
def star():
    return SkyCoord(RA, DEC, unit="deg")


@pytest.fixture(autouse=True)
def no_download():
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        yield


@pytest.mark.parametrize("scale", ["utc", "tai", "tt", "tdb", "tcb", "tcg"])
def test_scales_are_those_of_astropy(scale):
    exact = Time(DAYS, format="mjd", scale=scale).tdb.mjd
    ours = to_barycenter(DAYS, TimeFrame(scale, "barycenter"))
    assert ours.is_converted and np.abs(ours.mjd - exact).max() < 5e-6 / 86_400 + 1e-11


def test_light_takes_as_long_as_astropy_says(star):
    site = EarthLocation.from_geodetic(-71.558 * u.deg, 42.505 * u.deg, 183 * u.m)
    times = Time(DAYS, format="mjd", scale="utc", location=site)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rotation of the Earth before its table begins
        exact = (times.tdb + times.light_travel_time(star, "barycentric", ephemeris="builtin")).mjd
    there = to_barycenter(DAYS, TimeFrame("utc", "topocenter"), RA, DEC, site=Site(-71.558, 42.505, 183.0))
    assert np.abs(there.mjd - exact).max() < 0.1 * MILLISECOND
    centre = to_barycenter(DAYS, TimeFrame("utc", "geocenter"), RA, DEC)
    assert 1 * MILLISECOND < np.abs(centre.mjd - exact).max() < 22 * MILLISECOND


@pytest.mark.filterwarnings("ignore:Tried to get polar motions")
def test_heliocentric_dates_of_plates_go_to_the_barycentre(star):
    centre = EarthLocation.from_geocentric(0, 0, 0, unit="m")
    times = Time(DAYS, format="mjd", scale="utc", location=centre)
    helio = (times + times.light_travel_time(star, "heliocentric", ephemeris="builtin")).mjd
    exact = (times.tdb + times.light_travel_time(star, "barycentric", ephemeris="builtin")).mjd
    assert np.abs(to_barycenter(helio, HJD_UTC, RA, DEC).mjd - exact).max() < 2 * MILLISECOND
    assert np.abs(light_travel_days(DAYS, RA, DEC)).max() < 8.4 / 1440
    assert (
        np.abs(light_travel_days(DAYS, RA, DEC) - light_travel_days(DAYS, RA, DEC, "heliocenter")).max() < 4.5 / 86_400
    )


def test_a_century_ago_ut_was_near_tt_and_the_scale_does_not_jump():
    # observed TT - UT: 1900 -2.7 s, 1920 21.2 s, 1940 24.3 s, 1960 33.2 s
    years = Time([1900.0, 1920.0, 1940.0, 1959.99], format="jyear").mjd
    assert np.allclose(delta_t_s(years), [-2.7, 21.2, 24.3, 33.2], atol=0.4)
    around = np.array([36_933.9999, 36_934.0001])
    tdb = to_barycenter(around, TimeFrame("utc", "barycenter")).mjd
    assert abs((tdb[1] - tdb[0] - 0.0002) * 86_400) < 0.6
    old = to_barycenter([14_671.9859], HJD_UTC, RA, DEC)
    assert old.is_converted and abs(old.mjd[0] - 14_671.9859) < 20 / 86_400


@pytest.mark.parametrize(
    ("frame", "position", "words"),
    [
        (TimeFrame(None, "barycenter"), (RA, DEC), "the scale of these times is not known"),
        (TimeFrame("utc", None), (RA, DEC), "the place of these times is not known"),
        (TimeFrame("utc", "heliocenter"), (None, None), "position on the sky"),
        (TimeFrame("utc", "topocenter"), (RA, DEC), "telescope's place"),
    ],
)
def test_unknown_stays_unknown_and_says_so(frame, position, words):
    times = to_barycenter([50_000.0], frame, *position)
    assert not times.is_converted and times.frame == frame and times.mjd.tolist() == [50_000.0]
    assert words in str(times.reason)


def test_words_of_archives_are_understood_and_others_refused():
    assert TimeFrame("TDB", "SOLARSYSTEM") == TDB_BARYCENTER
    assert TimeFrame("UT1", "Heliocentric") == HJD_UTC
    assert TimeFrame("unknown", "") == TimeFrame() and not TimeFrame().is_known
    with pytest.raises(ParameterError, match="no scale of time"):
        TimeFrame("sidereal", "geocenter")
    with pytest.raises(ParameterError, match="no position"):
        to_barycenter([50_000.0], HJD_UTC, np.nan, 0.0)


def test_many_times_come_out_as_few_do():
    many = np.linspace(50_000.0, 50_100.0, 3000)
    few = [to_barycenter(many[row : row + 1], HJD_UTC, RA, DEC).mjd[0] for row in range(0, 3000, 97)]
    assert np.abs(to_barycenter(many, HJD_UTC, RA, DEC).mjd[::97] - few).max() < 3e-6 / 86_400 + 1e-11
    centre = to_barycenter(many, TimeFrame("utc", "geocenter"), RA, DEC).mjd[::97]
    alone = [
        to_barycenter(many[row : row + 1], TimeFrame("utc", "geocenter"), RA, DEC).mjd[0] for row in range(0, 3000, 97)
    ]
    assert np.abs(centre - alone).max() < 3e-6 / 86_400 + 1e-11


def test_holes_stay_holes():
    times = to_barycenter(np.ma.masked_array([50_000.0, 50_001.0, np.nan], mask=[0, 1, 0]), HJD_UTC, RA, DEC).mjd
    assert np.isfinite(times[0]) and np.isnan(times[1:]).all()
    assert len(to_barycenter([], HJD_UTC, RA, DEC).mjd) == 0
