"""Target lists: formats, names, places, motions, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.pipeline import Catalog
from skyvault.pipeline.catalog import make_test_catalog
from skyvault.pipeline.catalog_parameters import julian_year
from skyvault.pipeline.faults import CatalogError
from skyvault.pipeline.sexagesimal import degrees_of, sexagesimal
from skyvault.pipeline.source_names import SourceNames
from skyvault.science.star_motion import earth_au, unit_vectors


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
        ({"name": ["a"], "ra": ["red"], "dec": [91.0]}, "must hold degrees"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(columns: dict[str, list[object]], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        Catalog(data=columns, cfg_file=False)


def test_presets_are_known_by_several_names() -> None:
    for name in ("WD", "white_dwarfs", "White Dwarf"):
        assert Catalog(default=name, cfg_file=False).pars.pm_ra_column == "pmra"
    assert Catalog(default="RR-Lyrae", cfg_file=False).pars.service == "gaia"
    with pytest.raises(ValueError, match="no target list 'dwarves' is known"):
        Catalog(default="dwarves", cfg_file=False)


# --- formats -------------------------------------------------------------------------------------------------------


def write_hdf5(table: Any, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("catalog/rows", data=np.asarray(table.as_array()))


WRITERS: dict[str, Any] = {
    "fits": lambda table, path: table.write(path),
    "csv": lambda table, path: table.write(path, format="ascii.csv"),
    "ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    "vot": lambda table, path: table.write(path, format="votable"),
    "parquet": lambda table, path: __import__("pyarrow.parquet").parquet.write_table(
        __import__("pyarrow").table({name: table[name].tolist() for name in table.colnames}), path
    ),
    "h5": write_hdf5,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_list(suffix: str, tmp_path: Path) -> None:
    from astropy.table import Table

    ids = [4295806720, 38655544960, 1275606125952]
    columns = {"source_id": ids, "ra": [0.5, 180.25, 359.75], "dec": [-0.5, 89.0, -90.0], "mag": [15.5, np.nan, 17.0]}
    path = tmp_path / f"stars.{suffix}"
    WRITERS[suffix](Table(columns), path)
    made = Catalog(filename=str(path), name_column="source_id", cfg_file=False)
    same = Catalog(data=columns, name_column="source_id", cfg_file=False)
    assert list(made.names) == ["4295806720", "38655544960", "1275606125952"]
    assert made.cat_hash == same.cat_hash
    assert made.get_row(1, output="dict")["mag"] is None and made.get_row(1275606125952, "name")["mag"] == 17.0
    assert made.pars.catalog_name == "stars"
    chosen = Catalog(filename=str(path), name_column="source_id", columns=["ra"], mag_column="none", cfg_file=False)
    assert set(chosen.get_columns()) == {"source_id", "ra", "dec"}


def test_the_checksum_knows_places_and_magnitudes_but_not_columns_nobody_uses() -> None:
    columns = {"name": ["a", "b"], "ra": [1.0, 2.0], "dec": [0.0, 0.0], "mag": [15.0, 16.0], "note": [1, 2]}

    def checksum(**changed: Any) -> str:
        return Catalog(data={**columns, **changed}, cfg_file=False).cat_hash

    assert checksum() == checksum(note=[3, 4]) == checksum(dec=[-0.0, 0.0])
    assert len({checksum(), checksum(ra=[1.0, 2.5]), checksum(mag=[15.0, np.nan]), checksum(name=["a", "c"])}) == 4


def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    from skyvault.errors import SkyvaultError

    for name, content in (("a.h5", b"\x89HDF\r\n"), ("b.fits", b"SIMPLE"), ("c.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SkyvaultError) as told:
            Catalog(filename=str(tmp_path / name), cfg_file=False).load()
        assert "\n" not in str(told.value)
    with pytest.raises(CatalogError, match=r"no file nowhere\.csv"):
        Catalog(filename="nowhere.csv", cfg_file=False).load()
    with pytest.raises(CatalogError, match="no target list is given"):
        Catalog(cfg_file=False).load()
    (tmp_path / "d.csv").write_text("name,ra,dec,mag\na,1,2,bright\n")
    with pytest.raises(CatalogError, match="'mag' must hold numbers"):
        Catalog(filename=str(tmp_path / "d.csv"), cfg_file=False).load()


# --- names ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab 01é", min_size=1, max_size=5).map(str.strip).filter(bool), min_size=1, unique=True))
def test_every_name_is_found_at_its_row_and_no_other(names: list[str]) -> None:
    column = np.array([name.encode() for name in names])
    held = SourceNames(column)
    assert list(held) == names and held.rows(names).tolist() == list(range(len(names)))
    others = [f"{name}x" for name in names] + ["", "0" * 50]
    assert (held.rows(others) == -1).all()
    with pytest.raises(CatalogError, match="names are not unique"):
        SourceNames(np.r_[column, column[-1:]])


def test_identifiers_are_whole_numbers_of_64_bits() -> None:
    held = SourceNames(np.array([2**62 + 1, 2**62 + 2, 7]))
    assert held.rows([str(2**62 + 2), 7, "007", "7.0", "x"]).tolist() == [1, 2, -1, -1, -1]
    assert list(SourceNames(np.array([1.0, 2.0]))) == ["1", "2"]
    for missing in (np.array([1.0, np.nan]), np.array([b"a", b" "])):
        with pytest.raises(CatalogError, match="1 sources have no name"):
            SourceNames(missing)


def test_a_million_rows_cost_no_python_rows(tmp_path: Path) -> None:
    import tracemalloc

    number = 1_000_000
    rng = np.random.default_rng(2)
    rows = np.zeros(number, [("name", "S20"), ("ra", "f8"), ("dec", "f8"), ("mag", "f8")])
    rows["name"] = np.char.add(b"WDJ", np.char.mod(b"%d", np.arange(number)))
    rows["ra"], rows["dec"] = rng.uniform(0, 360, number), np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
    tracemalloc.start()
    catalog = Catalog(data=rows, cfg_file=False)
    assert catalog.get_index_from_name("WDJ654321") == 654321
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # a list of a million texts alone would be 70 MB, and a dict of them 100 more
    assert held < 60e6 and peak < 150e6, (held, peak)


# --- sexagesimal ---------------------------------------------------------------------------------------------------


def test_sexagesimal_keeps_the_sign_between_zero_and_minus_one() -> None:
    assert sexagesimal(-0.5, sign=True) == "-003000.000"
    assert sexagesimal(-88.1137, sign=True) == "-880649.320"
    assert sexagesimal(12.5, separator=":") == "12:30:00.000"


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=20))
def test_what_is_written_in_degrees_and_minutes_is_read_again(values: list[float]) -> None:
    texts = [sexagesimal(value, sign=True, separator=":") for value in values]
    np.testing.assert_allclose(degrees_of(texts, is_hours=False), values, atol=2e-7)


def test_a_list_may_give_hours_minutes_and_seconds() -> None:
    catalog = Catalog(
        data={"name": list("abcd"), "ra": ["01:30:00", "23h59m59.5s", "1 30", "12.5"],
              "dec": ["-00:30:00", "+00 00 00.1", "-89:59", "-45"]}, cfg_file=False,
    )  # fmt: skip
    ra, dec = catalog.places()
    np.testing.assert_allclose(ra, [22.5, 359.99791667, 22.5, 12.5], atol=1e-8)
    np.testing.assert_allclose(dec, [-0.5, 0.1 / 3600, -89.98333333, -45], atol=1e-8)
    with pytest.raises(CatalogError, match="1 rows have no place"):
        Catalog(data={"name": ["a", "b"], "ra": ["1:61:00", "1:30:00"], "dec": ["0:0:0"] * 2}, cfg_file=False)


# --- motions -------------------------------------------------------------------------------------------------------


def test_motions_and_parallaxes_agree_with_erfa() -> None:
    import erfa

    rng = np.random.default_rng(4)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-0.999, 0.999, 300)))
    pmra, pmdec, parallax = rng.normal(0, 2000, 300), rng.normal(0, 2000, 300), rng.uniform(0, 700, 300)
    catalog = Catalog(
        data={"name": np.arange(300), "ra": ra, "dec": dec, "e": pmra, "n": pmdec, "p": parallax},
        pm_ra_column="e", pm_dec_column="n", parallax_column="p", catalog_observation_year=2016, cfg_file=False,
    )  # fmt: skip
    for when in (1890.0, "2023-03-21", 2030.25):
        year = julian_year(when)
        mas = np.radians(1 / 3.6e6)
        earth = erfa.epv00(2451545.0, (year - 2000.0) * 365.25)[1]["p"] if year > 1900 else earth_au(year)
        exact = erfa.pmpx(
            np.radians(ra), np.radians(dec), pmra * mas / np.cos(np.radians(dec)), pmdec * mas, parallax / 1000, 0.0,
            year - 2016.0, earth,
        )  # fmt: skip
        made = unit_vectors(*catalog.places(when))
        # the light's way across the Earth's orbit, which erfa counts, moves the fastest star by a microarcsecond
        assert np.degrees(np.linalg.norm(made - exact, axis=1)).max() * 3.6e9 < 500.0
    # half a year apart, a star at 10 pc near the pole of the ecliptic has gone to and fro by 0.2 arcsec
    one = Catalog(
        data={"name": ["a"], "ra": [270.0], "dec": [66.56], "p": [100.0]}, parallax_column="p", cfg_file=False
    )
    first, second = (unit_vectors(*one.places(year))[0] for year in (2020.0, 2020.5))
    assert np.degrees(np.linalg.norm(first - second)) * 3600 == pytest.approx(0.2, rel=0.03)


def test_the_nearest_row_is_found_where_a_fast_star_stood_then() -> None:
    catalog = Catalog(
        data={"name": ["Barnard", "other"], "ra": [269.448503, 269.44], "dec": [4.739420, 4.80], "pmra": [-801.55, 0.0],
              "pmdec": [10362.39, 0.0]}, pm_ra_column="pmra", pm_dec_column="pmdec", catalog_observation_year=2016.0,
        cfg_file=False,
    )  # fmt: skip
    on_a_plate = catalog.places("1916-01-01")
    assert catalog.get_nearest_row(*on_a_plate) is None
    found = catalog.get_nearest_row(*on_a_plate, output="dict", obstime=1916.0)
    assert found["name"] == "Barnard" and (4.739420 - found["dec"]) * 3600 == pytest.approx(1036.2, abs=0.5)


def test_a_list_in_another_frame_becomes_icrs() -> None:
    from astropy.coordinates import SkyCoord

    here = SkyCoord([10.0, 200.0], [-30.0, 80.0], unit="deg")
    for frame, there in (("galactic", here.galactic), ("FK4", here.fk4), ("fk5", here.fk5)):
        places = there.represent_as("unitspherical")
        columns = {"name": ["a", "b"], "ra": places.lon.deg, "dec": places.lat.deg}
        catalog = Catalog(data=columns, coord_frame=frame, cfg_file=False)
        found = SkyCoord(*catalog.places(), unit="deg")
        assert found.separation(here).arcsec.max() < 1e-3
        assert catalog.convert_coords(1).separation(here[1]).arcsec < 1e-3 and len(catalog.get_data_slice([0])) == 1
    with pytest.raises(CatalogError, match="proper motions of the frame galactic cannot be used"):
        Catalog(data=columns, coord_frame="galactic", pm_ra_column="x", pm_dec_column="y", cfg_file=False)
    with pytest.raises(ValueError, match="no frame 'fk3'"):
        Catalog(data=columns, coord_frame="fk3", cfg_file=False)


# --- from services -------------------------------------------------------------------------------------------------


@pytest.fixture
def archives(sandbox: Any, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sandbox in place of all archives."""
    for archive, services in sandbox.endpoints().items():
        for service, url in services.items():
            monkeypatch.setenv(f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}", url)
    return sandbox


def test_white_dwarfs_are_fetched_once(archives: Any, data_folder: Path) -> None:
    from skyvault.sandbox.faults import Fault

    catalog = Catalog(default="WD", cfg_file=False)
    assert len(catalog) > 1000 and (data_folder / "catalogs/GaiaEDR3_WD_main.fits").is_file()
    row = catalog.get_row(5, output="dict", obstime=2020.0, preferred_mag="Gaia_BP")
    assert row["mag_filter"] == "Gaia_BP" and row["mag_err"] == pytest.approx(0.02) and row["parallax"] > 0
    archives.faults.set(Fault("dropped", archive="catalogs", path="*"))
    assert Catalog(default="white dwarfs", cfg_file=False).cat_hash == catalog.cat_hash


def test_a_query_is_asked_once_and_its_answer_kept(archives: Any, data_folder: Path) -> None:
    from skyvault.sandbox.faults import Fault

    nearby = Catalog(default="nearby", cfg_file=False)
    assert len(nearby) > 5 and (nearby.data["parallax"] > 40).all()
    rr_lyrae = Catalog(default="rr_lyrae", cfg_file=False)
    assert len(rr_lyrae) >= 40 and np.isnan(rr_lyrae.data["pf"]).any()
    assert "best_classification" in rr_lyrae.get_columns()
    asked = "SELECT TOP 7 source_id, ra, dec FROM gaiadr3.gaia_source ORDER BY phot_g_mean_mag"
    few = Catalog(service="gaia", query=asked, name_column="source_id", cfg_file=False)
    assert len(few) == 7 and len(list((data_folder / "catalogs").glob("*.parquet"))) == 3
    archives.faults.set(Fault("dropped", archive="gaia", path="*"))
    assert Catalog(service="gaia", query=asked, name_column="source_id", cfg_file=False).cat_hash == few.cat_hash


def test_a_connection_that_breaks_is_tried_again(archives: Any) -> None:
    from skyvault.sandbox.faults import Fault

    archives.faults.set(Fault("dropped", archive="catalogs", path="*", times=2))
    assert len(Catalog(default="WD", cfg_file=False)) > 1000


def test_a_service_may_be_handed_in(archives: Any) -> None:
    from skyvault import get_tap_service

    service = get_tap_service(archives.endpoints()["gaia"]["tap"])
    query = "SELECT source_id, ra, dec, phot_g_mean_mag AS mag FROM gaiadr3.gaia_source WHERE phot_g_mean_mag < 8"
    held = Catalog(tap_service=service, query=query, name_column="source_id", cfg_file=False)
    asked = Catalog(service="gaia", query=query, name_column="source_id", cfg_file=False)
    assert len(held) > 10 and sorted(held.names) == sorted(asked.names)


def test_a_query_that_is_refused_says_why_and_leaves_nothing(archives: Any, data_folder: Path) -> None:
    for query, told in (("SELECT wrong FROM gaiadr3.gaia_source", "wrong"), ("SELECT", "quer")):
        with pytest.raises(CatalogError, match=told):
            Catalog(service="gaia", query=query, name_column="source_id", cfg_file=False).load()
    with pytest.raises(CatalogError, match="no rows"):
        Catalog(service="gaia", query="SELECT * FROM gaiadr3.gaia_source WHERE ra < 0", cfg_file=False).load()
    with pytest.raises(ValueError, match="neither an address nor a known service"):
        Catalog(service="gaja", query="SELECT 1", cfg_file=False).load()
    assert not list((data_folder / "catalogs").glob("*"))
