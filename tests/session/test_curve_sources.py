"""Light curves from files and tables: Kepler, TESS, Rubin's forced photometry, any columns whose times are said."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table
from astropy.time import Time

from skyvault.errors import FormatError, ParameterError, SkyvaultError
from skyvault.science.box_periods import box_least_squares
from skyvault.session.curve_sources import curve_of_file, curve_of_table, rubin_curve
from skyvault.session.other_missions import SideBySide
from skyvault.session.session import Session

PLACE = {"ra_deg": 62.0, "dec_deg": -37.0}


def forced(n: int = 40) -> Table:
    """Forced photometry of a star of 20 mag that fades away, as Rubin's TAP gives it."""
    flux = 10.0 ** (0.4 * (31.4 - 20.0)) * np.linspace(1.0, -0.01, n)
    return Table(
        {
            "midpointMjdTai": np.linspace(60_000.0, 60_400.0, n),
            "psfFlux": flux,
            "psfFluxErr": np.full(n, 300.0),
            "band": np.tile(["g", "r"], n // 2),
            "psfFlux_flag": np.arange(n) % 10 == 3,
        }
    )


def test_rubins_fluxes_are_ab_magnitudes_and_the_faint_ones_limits() -> None:
    curve = rubin_curve(forced(), **PLACE)
    assert curve.mag[0] == pytest.approx(20.0) and not curve.is_relative and curve.is_barycentric
    assert np.isnan(curve.mag[-1]) and curve.limit[-1] == pytest.approx(31.4 - 2.5 * np.log10(1500.0))
    assert (np.isfinite(curve.mag) ^ np.isfinite(curve.limit)).all()
    assert set(curve.band) == {"g", "r"} and curve.is_flagged.sum() == 4
    # TAI at the telescope: TDB is 32.184 s later, the barycentre up to 8.4 minutes away
    away = (curve.mjd - np.asarray(forced()["midpointMjdTai"])) * 1440.0
    assert np.abs(away - 32.184 / 60.0).max() < 8.5 and np.ptp(away) > 5


def test_times_of_any_table_are_brought_to_the_barycentre_where_they_are_known() -> None:
    mjd = np.linspace(58_000.0, 58_300.0, 50)
    table = Table({"t": mjd, "m": np.ma.masked_invalid(np.r_[np.nan, np.full(49, 14.0)]), "e": np.full(50, 0.02)})
    how = PLACE | {"mission": "amateur", "time": "t", "value": "m", "error": "e"}
    known = curve_of_table(table, scale="utc", reference="heliocentre", **how)
    unknown = curve_of_table(table, **how)
    assert known.is_barycentric and np.abs(known.mjd - Time(mjd, format="mjd", scale="utc").tdb.mjd).max() < 5 / 86_400
    assert not unknown.is_barycentric and np.array_equal(unknown.mjd, mjd) and "UNKNOWN" in unknown.time_said
    assert np.isnan(known.mag[0]) and known.is_good.sum() == 49
    arrow = pa.table({"t": mjd, "m": np.full(50, 14.0), "e": np.full(50, 0.02)})
    assert curve_of_table(arrow, scale="utc", reference="heliocenter", **how).mjd[3] == known.mjd[3]


@pytest.mark.shared
def test_a_real_kepler_file_shows_the_transit_of_hat_p_7(shared_data: Path) -> None:
    """KIC 10666592, a month of short cadence: P = 2.204735 d, 0.67 % deep (Pal et al. 2008)."""
    curve = curve_of_file(shared_data / "lightcurves/tess_kepler/kplr010666592-2009131110544_slc.fits.gz")
    assert curve.mission == "kepler" and curve.is_barycentric and curve.is_relative
    good = curve.is_good
    assert good.sum() > 10_000
    flux = 10.0 ** (-0.4 * curve.mag[good])
    found = box_least_squares(
        curve.mjd[good], flux, durations=[0.12, 0.16], periods=np.arange(1.5, 3.5, 0.0005), bin_time=0.01
    ).refined()
    assert found.period == pytest.approx(2.204735, abs=0.003) and found.depth == pytest.approx(0.0067, rel=0.15)


@pytest.mark.shared
def test_real_curves_stand_beside_the_missions(shared_data: Path, tmp_path: Path) -> None:
    session = Session(str(tmp_path / "star"), False).select_target(ra_deg=63.37389, dec_deg=-69.22679)
    path = shared_data / "lightcurves/tess_kepler/hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz"
    both = SideBySide("WASP-126", (), (), {}).plus(session.curve_of(path), session.curve_of(forced(), mission="rubin"))
    assert [curve.mission for curve in both.curves] == ["tess", "rubin"]
    table = both.table()
    assert len(table) == sum(map(len, both.curves)) and both.plot() is not None
    assert set(both.series().band) == {"tess TESS", "rubin g", "rubin r"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"time": "nope"}, "no column 'nope' \\(time\\)"),
        ({"scale": "lmst"}, "no time scale"),
        ({"reference": "moon"}, "no place of times"),
        ({"error": "x"}, "no column 'x'"),
    ],
)
def test_wrong_columns_and_words_are_one_sentence(change: dict[str, Any], told: str) -> None:
    how = PLACE | {"mission": "a", "time": "t", "value": "m"} | change
    with pytest.raises(ParameterError, match=told) as caught:
        curve_of_table(Table({"t": [1.0], "m": [2.0]}), **how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["no fits", "cut", "cut gzip", "missing"])
def test_what_is_no_light_curve_is_one_sentence(shared_data: Path, tmp_path: Path, damage: str) -> None:
    source = shared_data / "lightcurves/tess_kepler/test_TESS_interact_generated_custom-lc.fits"
    path = tmp_path / "a.fits"
    whole = source.read_bytes()
    if damage != "missing":
        path.write_bytes(
            {"no fits": b"hello", "cut": whole[: len(whole) // 3], "cut gzip": gzip.compress(whole)[:-200]}[damage]
        )
    with pytest.raises(SkyvaultError) as caught:
        curve_of_file(path)
    assert isinstance(caught.value, FormatError) and "\n" not in str(caught.value)


def test_a_table_without_a_time_of_exposures_is_refused() -> None:
    table = forced()
    table.remove_column("midpointMjdTai")
    with pytest.raises(ParameterError, match="Join the visits"):
        rubin_curve(table, **PLACE)
