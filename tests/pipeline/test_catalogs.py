"""Target lists: formats, names, places, motions, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyvault.pipeline import Catalog
from skyvault.pipeline.catalog import make_test_catalog, sexagesimal
from skyvault.pipeline.faults import CatalogError


def test_a_csv_file_is_read_and_rows_are_found_by_number_and_name(tmp_path: Path) -> None:
    path = tmp_path / "stars.csv"
    path.write_text("name,ra,dec,mag,magerr,pmra,pmdec\nA,0.00001,10,15,0.1,1000,-500\nB,359.9999,10,16,,0,0\n")
    catalog = Catalog(filename=str(path), cfg_file=False, pm_ra_column="pmra", pm_dec_column="pmdec")
    row = catalog.get_row("A", "name", "dict")
    assert (row["name"], row["mag_err"], row["pmra"], row["pmdec"]) == ("A", 0.1, 1000.0, -500.0)
    assert catalog.get_row(-1, output="dict")["mag_err"] is None
    moved = catalog.get_row(0, output="dict", obstime=2010)
    # 1000 mas/yr x cos(dec) for ten years are 10 arcsec on the sky
    assert (moved["ra"] - row["ra"]) * 3600 * np.cos(np.radians(10)) == pytest.approx(10.0, abs=1e-3)
    assert (moved["dec"] - row["dec"]) * 3600 == pytest.approx(-5.0, abs=1e-3)
    with pytest.raises(CatalogError, match="no source has the name 'C'"):
        catalog.get_index_from_name("C")


def test_the_nearest_row_is_found_across_right_ascension_zero() -> None:
    catalog = Catalog(data={"name": ["A", "B"], "ra": [0.0, 180.0], "dec": [0.0, 89.9]}, cfg_file=False)
    for ra in (0.1 / 3600, -0.1 / 3600, 360 - 0.1 / 3600):
        assert catalog.get_nearest_row(ra, 0.0, output="dict")["name"] == "A"
    assert catalog.get_nearest_row(0.0, 1.0) is None
    assert catalog.get_nearest_row(0.0, 89.95, radius=None, output="dict")["name"] == "B"


def test_nearest_agrees_with_astropy() -> None:
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    catalog = Catalog(data=make_test_catalog(500), name_column="object_id", cfg_file=False)
    asked = make_test_catalog(2000, seed=5)
    rows, arcsec = catalog.nearest(asked["ra"], asked["dec"], None)
    held = SkyCoord(catalog.data["ra"], catalog.data["dec"], unit=u.deg)
    theirs, separation, _ = SkyCoord(asked["ra"], asked["dec"], unit=u.deg).match_to_catalog_sky(held)
    np.testing.assert_array_equal(rows, theirs)
    np.testing.assert_allclose(arcsec, separation.arcsec, rtol=1e-9)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"name": ["a"], "ra": [1.0]}, "no column 'dec'"),
        ({"name": ["a", "a"], "ra": [1.0, 2.0], "dec": [0.0, 0.0]}, "'a' for one"),
        ({"name": ["a"], "ra": [np.nan], "dec": [0.0]}, "1 rows have no place"),
        ({"name": ["a"], "ra": [1.0], "dec": [91.0]}, "row 0 with dec = 91"),
        ({"name": ["a"], "ra": ["1:2"], "dec": [91.0]}, "must hold degrees"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(columns: dict[str, list[object]], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        Catalog(data=columns, cfg_file=False)


def test_presets_are_known_by_several_names() -> None:
    for name in ("WD", "white_dwarfs", "White Dwarf"):
        assert Catalog(default=name, cfg_file=False).pars.pm_ra_column == "pmra"
    with pytest.raises(ValueError, match="no target list 'dwarves' is known"):
        Catalog(default="dwarves", cfg_file=False)


def test_sexagesimal_keeps_the_sign_between_zero_and_minus_one() -> None:
    assert sexagesimal(-0.5, sign=True) == "-003000.000"
    assert sexagesimal(-88.1137, sign=True) == "-880649.320"
