"""The archive's real answers become tables with the right types, units, order and gaps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.time import Time

from skyvault.errors import FormatError
from skyvault.missions.dasch_api import EXPOSURE_TYPES, PHOTOMETRY_TYPES, REFCAT_TYPES, csv_lines
from skyvault.session import archive_tables
from skyvault.session.cells import values_and_mask
from skyvault.session.columns import exposure_columns, photometry_columns, refcat_columns
from skyvault.session.lightcurve import Lightcurve
from skyvault.session.table_files import read_table, write_table

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def replies(shared_data: Path) -> Path:
    return shared_data / "lightcurves" / "dasch_api"


def as_text(path: Path) -> pa.Table:
    """The cells as the archive sends them, all text."""
    lines = json.loads(path.read_text())
    names = lines[0].split(",")
    rows = [line.split(",") for line in lines[1:]]
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


@pytest.fixture(params=["numbers", "text"])
def photometry(request: pytest.FixtureRequest, replies: Path) -> pa.Table:
    path = replies / "tcrb_lightcurve_sample.json"
    if request.param == "text":
        return as_text(path)
    return csv_lines(path.read_bytes(), path.name, PHOTOMETRY_TYPES, tuple(PHOTOMETRY_TYPES))


def test_a_light_curve_has_all_columns_units_and_gaps(photometry: pa.Table) -> None:
    curve = archive_tables.lightcurve(photometry)
    assert curve.colnames == [*(column.name for column in photometry_columns()), "reject"]
    for column in photometry_columns():
        if column.kind not in ("time", "position", "str"):
            assert curve[column.name].dtype == np.dtype(column.kind), column.name
            assert str(curve[column.name].unit or "") == (column.unit or ""), column.name
    assert len(curve) == 14
    good = curve.magnitudes()[curve.is_detected()]
    assert len(good) == 11
    assert (round(good.mean(), 3), round(good.std(), 3)) == (11.771, 0.204)
    # the archive's codes for "unknown" are gaps
    assert values_and_mask(curve["magcal_local_error"])[1].sum() > (~curve.is_detected()).sum()
    assert np.isnan(curve["pos"].ra.deg[~curve.is_detected()]).all()
    assert (np.diff(curve.julian_dates()) >= 0).all()
    assert np.isfinite(curve.limits()).all()
    assert curve.count.series("i") > 0
    assert curve["time"].info.description


def test_an_extract_has_the_same_columns_without_quantities(photometry: pa.Table) -> None:
    extract = archive_tables.extract(photometry)
    assert type(extract["magcal_magdep"]).__name__ == "MaskedColumn"
    assert extract.count.brighter(11.7) == archive_tables.lightcurve(photometry).count.brighter(11.7) > 0


def test_the_catalogue_is_ordered_by_distance(replies: Path) -> None:
    path = replies / "tcrb_querycat.json"
    table = archive_tables.refcat_sources(csv_lines(path.read_bytes(), path.name, REFCAT_TYPES, ()), "apass")
    assert table.colnames == [*(column.name for column in refcat_columns()), "refcat", "local_id"]
    assert (np.diff(np.hypot(table["dra"], table["ddec"])) >= 0).all()
    row = table[np.flatnonzero(table["ref_text"] == "APASS_J155930.2+255513")[0]]
    assert (row["num_matches"], row["ref_number"]) == (2605, 415593021255513)
    assert abs(row["pos"].ra.deg - 239.8757) < 1e-3


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_exposures_are_ordered_by_time_with_minutes_and_utc(replies: Path, kind: str) -> None:
    path = replies / "exposures_sample_reassembled.json"
    rows = as_text(path) if kind == "text" else csv_lines(path.read_bytes(), path.name, EXPOSURE_TYPES, ())
    table = archive_tables.exposures(rows)
    assert table.colnames == [*(column.name for column in exposure_columns()), "local_id", "reject"]
    assert [str(table.exposure_id(row)) for row in range(2)] == ["ai33112m1s0", "ai34087m0s0"]
    assert table["obs_date"][0].isot == "1937-02-04T09:34:12.400"
    # scans are dated in the time of the eastern United States
    assert table["mos_date"][0].isot == "2020-09-25T22:37:11.000"
    assert table["scan_date"].mask.all()
    assert np.ma.is_masked(table["lim_mag_apass"][1]) and table["lim_mag_apass"][0] == np.float32(13.217)
    assert table.count.has_phot() == 5
    assert table.count.colorterm_range(-0.1, 0) == 2


def test_limits_of_time_are_closed_and_drop_undated_exposures(replies: Path) -> None:
    rows = as_text(replies / "exposures_sample_reassembled.json")
    table = archive_tables.exposures(rows)
    first, last = table["obs_date"][1].jd, table["obs_date"][3].jd
    kept = archive_tables.exposures(rows, earliest_jd=first, latest_jd=last)
    assert kept["obs_date"].isot.tolist() == table["obs_date"][1:4].isot.tolist()
    undated = rows.set_column(rows.column_names.index("expdate"), "expdate", pa.array([""] * 6))
    assert len(archive_tables.exposures(undated)) == 6
    assert len(archive_tables.exposures(undated, earliest_jd=0.0)) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1942-01-06T10:14:47.0Z", "1942-01-06T10:14:47.000"),
        ("1942-01-06T10:14:60.0Z", "1942-01-06T10:15:00.000"),
        ("2014-03-02T10-11-12", "2014-03-02T10:11:12.000"),
        ("1885-10-17T03:23:19.68Z", "1885-10-17T03:23:19.680"),
        ("", "NaT"),
        ("yesterday", "NaT"),
        ("1942-13-06T10:14:47.0Z", "NaT"),
        ("1942-01-06T25:14:47.0Z", "NaT"),
    ],
)
def test_dates_are_read_as_the_archive_writes_them(text: str, wanted: str) -> None:
    assert str(archive_tables.instants(np.array([text, "1900-01-01T00:00:00Z"]))[0]) == wanted


def test_dates_of_scans_are_turned_to_utc() -> None:
    moments = archive_tables.instants(np.array(["2014-07-02T10:11:12", "2014-01-02T10:11:12"]), zone="America/New_York")
    assert [str(moment) for moment in moments] == ["2014-07-02T14:11:12.000", "2014-01-02T15:11:12.000"]
    times = archive_tables.times(np.array(["NaT", "1899-12-31T23:59:59.999"], dtype="datetime64[ms]"))
    assert times.mask.tolist() == [True, False]
    assert times[1].isot == "1899-12-31T23:59:59.999"
    assert isinstance(times, Time)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"date_jd": ["x"] * 14}, "date_jd"),
        ({"date_jd": [""] * 14}, "14 rows without a date"),
        ({"plate_number": ["99999999999"] * 14}, "plate_number"),
        ({"series": None}, "lacks series"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_in_one_sentence(
    replies: Path, change: dict[str, list[str] | None], told: str
) -> None:
    rows = as_text(replies / "tcrb_lightcurve_sample.json")
    for name, cells in change.items():
        place = rows.column_names.index(name)
        rows = rows.remove_column(place) if cells is None else rows.set_column(place, name, pa.array(cells))
    with pytest.raises(FormatError, match=told) as caught:
        archive_tables.lightcurve(rows)
    assert "\n" not in str(caught.value)


def test_an_answer_without_rows_is_an_empty_table(replies: Path, tmp_path: Path) -> None:
    curve = archive_tables.lightcurve(as_text(replies / "tcrb_lightcurve_sample.json")[:0])
    write_table(curve, tmp_path / "empty.ecsv")
    again = read_table(tmp_path / "empty.ecsv", Lightcurve)
    assert len(again) == 0
    assert again.colnames == curve.colnames
    assert "Number of rows: 0" in again.summary_text()
    assert len(archive_tables.exposures(as_text(replies / "exposures_sample_reassembled.json")[:0])) == 0
    assert len(archive_tables.refcat_sources(as_text(replies / "tcrb_querycat.json")[:0], "apass")) == 0


def test_rows_are_linked_to_exposures_by_plate_mosaic_and_solution(hd5501_files: Path) -> None:
    from skyvault.session.exposures import Exposures

    exposures = read_table(hd5501_files / "exposures.ecsv", Exposures)
    curve = read_table(hd5501_files / "lightcurves" / "N311301016169.ecsv", Lightcurve)
    linked = archive_tables.linked_exposures(curve, exposures)
    assert np.array_equal(linked, curve.exposure_rows())
    assert (linked < 0).sum() == 133
    assert archive_tables.are_links_right(curve, exposures)
    assert not archive_tables.are_links_right(curve, exposures[1:])
    assert not archive_tables.are_links_right(curve, exposures[:10])
    assert (archive_tables.linked_exposures(curve, exposures[:0]) == -1).all()
