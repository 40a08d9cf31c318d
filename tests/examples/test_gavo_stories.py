"""Stories of the GAVO blog, with pyvo against a server: a plate's astrometry against a catalogue, and samples.

The comet on footprints is in test_plate_archive; Gaia's spectra joined by DISTANCE are in serve/test_xp_spectra.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.table import Table

from conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown element")

#: gear wobble of the scanner: amplitude in arcsec, period in degrees
WOBBLE_ARCSEC, PERIOD_DEG = 3.0, 0.7


@pytest.fixture(scope="module")
def tap(server: Server) -> Any:
    import pyvo

    service = pyvo.dal.TAPService(server.tap)
    yield service
    service._session.close()


@pytest.fixture(scope="module")
def extracted(tap: Any) -> Table:
    """What a source extractor makes of a plate: places with errors, and the UCDs its user set by hand."""
    stars = tap.search(
        "SELECT ra, dec, mag_vt FROM demo.stars WHERE DISTANCE(ra, dec, 83.8, -5.4) < 3 AND mag_vt < 9.5"
    ).to_table()
    rng = np.random.default_rng(7)
    dec = np.asarray(stars["dec"]) + rng.normal(0, 0.2, len(stars)) / 3600
    wobble = WOBBLE_ARCSEC * np.sin(2 * np.pi * np.asarray(stars["ra"]) / PERIOD_DEG)
    found = Table(
        {
            "NUMBER": np.arange(len(stars)),
            "ALPHA_SKY": np.asarray(stars["ra"]) + wobble / 3600 / np.cos(np.radians(dec)),
            "DELTA_SKY": dec,
            "MAG_AUTO": np.asarray(stars["mag_vt"]) + rng.normal(0, 0.1, len(stars)),
        }
    )
    found["ALPHA_SKY"].unit = found["DELTA_SKY"].unit = "deg"
    found["ALPHA_SKY"].meta["ucd"], found["DELTA_SKY"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    assert len(found) > 60
    return found


def test_the_residuals_of_a_plate_show_the_wobble_of_its_scanner(tap: Any, extracted: Table) -> None:
    """TOPCAT's example "Upload Join" with TOP taken out, as the post tells it."""
    found = tap.run_sync(
        """
        SELECT *
        FROM demo.stars AS db
        JOIN TAP_UPLOAD.t1 AS tc
        ON 1=CONTAINS(POINT('ICRS', db.ra, db.dec),
                      CIRCLE('ICRS', tc.ALPHA_SKY, tc.DELTA_SKY, 4./3600.))""",
        uploads={"t1": extracted},
    ).to_table()
    # about as many matches as sources
    assert set(found["NUMBER"]) == set(extracted["NUMBER"]) and len(found) < 1.3 * len(extracted)
    residual = (found["ALPHA_SKY"] - found["ra"]) * np.cos(np.radians(found["dec"])) * 3600
    phase = np.sin(2 * np.pi * np.asarray(found["ra"]) / PERIOD_DEG)
    amplitude = np.polyfit(phase, np.asarray(residual), 1)[0]
    assert amplitude == pytest.approx(WOBBLE_ARCSEC, abs=0.3)
    assert np.std(np.asarray(found["DELTA_SKY"] - found["dec"]) * 3600) < 0.6


def test_uploaded_columns_keep_their_ucds_and_units(tap: Any, extracted: Table) -> None:
    found = tap.run_sync("SELECT ALPHA_SKY, DELTA_SKY, MAG_AUTO FROM TAP_UPLOAD.t1", uploads={"t1": extracted})
    fields = {field.name: field for field in found.fielddescs}
    assert (str(fields["ALPHA_SKY"].unit), fields["ALPHA_SKY"].ucd) == ("deg", "pos.eq.ra;meta.main")
    assert len(found) == len(extracted)


@pytest.mark.parametrize("condition", ["DISTANCE(db.ra, db.dec, tc.ALPHA_SKY, tc.DELTA_SKY) < 4./3600.",
                                       "DISTANCE(POINT(db.ra, db.dec), POINT(tc.ALPHA_SKY, tc.DELTA_SKY)) < 4./3600."])  # fmt: skip
def test_the_idiom_by_distance_finds_the_same_pairs(tap: Any, extracted: Table, condition: str) -> None:
    pairs = []
    for join in (
        condition,
        "1=CONTAINS(POINT(db.ra, db.dec), CIRCLE(tc.ALPHA_SKY, tc.DELTA_SKY, 4./3600.))",
    ):
        found = tap.run_sync(
            f"SELECT source_id, NUMBER FROM demo.stars AS db JOIN TAP_UPLOAD.t1 AS tc ON {join}",
            uploads={"t1": extracted},
        )
        pairs.append({(int(row["source_id"]), int(row["NUMBER"])) for row in found})
    assert pairs[0] == pairs[1] and len(pairs[0]) >= len(extracted)


def test_a_sample_of_a_table_is_asked_for_by_percentage(tap: Any) -> None:
    whole = int(tap.search("SELECT COUNT(*) AS n FROM demo.stars")["n"][0])
    sample = int(tap.search("SELECT COUNT(*) AS n FROM demo.stars TABLESAMPLE(1)")["n"][0])
    assert 0.003 * whole < sample < 0.03 * whole
    rows = tap.search("SELECT source_id, mag_vt FROM demo.stars TABLESAMPLE(0.5) WHERE mag_vt < 8")
    assert len(rows) > 0 and max(rows["mag_vt"]) < 8
