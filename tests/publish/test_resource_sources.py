"""Where a resource takes its files and rows from: a folder elsewhere, what it has published, files beside files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.config import Settings
from skyvault.errors import ConfigError, QueryError
from skyvault.publish.resource_checks import check_resource
from skyvault.publish.resource_file import read_resource
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.products import collection, did_of, products_of

HEAD = "schema: plates\ntitle: Plates\ndescription: Photographic plates.\n"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resource.yaml").write_text(HEAD + text)
    return folder


def image(path: Path, *, ra: float = 10.0, size: int = 20, scale: float = 0.01) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header(
        dict(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=20.0, CRPIX1=(size + 1) / 2,
             CRPIX2=(size + 1) / 2, CDELT1=-scale, CDELT2=scale)
    )  # fmt: skip
    fits.PrimaryHDU(np.arange(size * size, dtype=np.int16).reshape(size, size), header).writeto(path)


def rows(settings: Settings, adql: str) -> list[dict[str, Any]]:
    return [row for batch in query(adql, settings=settings).batches for row in batch.to_pylist()]


def test_files_lie_in_a_folder_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "archive" / "scans" / "a.fits")
    (tmp_path / "archive" / "logs").mkdir()
    shutil.copy(tmp_path / "archive" / "scans" / "a.fits", tmp_path / "archive" / "logs" / "b.fits")
    (tmp_path / "archive" / "stars.csv").write_text("ra,dec\n1,2\n")
    folder = write(
        tmp_path / "r",
        "root: ${PLATE_ARCHIVE}/scans/..\nfiles: {scans: {files: 'scans/*.fits'}}\ntables: {stars: {source: stars.csv}}\n",
    )
    monkeypatch.setenv("PLATE_ARCHIVE", str(tmp_path / "archive"))
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    assert rows(settings, "SELECT obs_id FROM plates.scans") == [{"obs_id": "a"}]
    assert rows(settings, "SELECT COUNT(*) AS n FROM plates.stars") == [{"n": 1}]
    with DuckStore(settings) as store:
        found = collection(store, "plates.scans")
        did = did_of(settings.authority, "plates.scans", "scans/a.fits")
        assert found.path_of(products_of(store, [did])[did][0]) == tmp_path / "archive" / "scans" / "a.fits"


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("${PLATE_ARCHIVE}/scans", "line 4: the environment variable PLATE_ARCHIVE is not set"),
        ("/no/such/folder", "line 4: there is no folder '/no/such/folder'"),
    ],
)
def test_a_root_that_is_not_there_is_told_with_its_line(tmp_path: Path, root: str, told: str) -> None:
    folder = write(tmp_path / "r", f"root: {root}\nfiles: {{scans: {{files: '*.fits'}}}}\n")
    with pytest.raises(ConfigError, match=told):
        publish_resource(folder, settings=Settings(home=tmp_path / "home"))
    assert [one.what for one in check_resource(folder) if one.severity == "error"] == [told.partition(": ")[2]]


WIDE_AND_NARROW = """\
files:
  scans: {files: '*.fits', obscore: '= s_fov < 5', previews: false}
tables:
  narrow:
    title: Plates of ordinary fields
    query: SELECT * FROM plates.scans WHERE s_fov < 5
"""


def test_a_table_may_be_a_query_over_a_collection_and_leads_to_its_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", WIDE_AND_NARROW)
    image(folder / "narrow.fits")
    image(folder / "wide.fits", ra=40.0, scale=1.0)
    settings = Settings(home=tmp_path / "home")
    done = publish_resource(folder, settings=settings)
    assert [table.table.name for table in done.tables] == ["plates.narrow"] and done.tables[0].nrows == 1
    assert {row["obs_id"] for row in rows(settings, "SELECT obs_id FROM plates.scans")} == {"narrow", "wide"}
    assert rows(settings, "SELECT obs_id FROM ivoa.ObsCore") == [{"obs_id": "narrow"}]
    (row,) = rows(settings, "SELECT * FROM plates.narrow WHERE CONTAINS(POINT(10, 20), s_region) = 1")
    assert row["obs_publisher_did"] == did_of(settings.authority, "plates.scans", "narrow.fits")
    described = {column.name: column for column in done.tables[0].table.columns}
    assert described["s_region"].utype == "obscore:Char.SpatialAxis.Coverage.Support.Area"
    assert described["s_fov"].unit == "deg"
    # asked anew at each publish
    image(folder / "another.fits", ra=12.0)
    assert publish_resource(folder, settings=settings).tables[0].nrows == 2


def test_a_query_that_cannot_be_asked_is_told_with_its_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "tables:\n  narrow:\n    query: SELECT nothing FROM nowhere.at_all\n")
    with pytest.raises(QueryError, match=r"resource\.yaml, line 6"):
        publish_resource(folder, settings=Settings(home=tmp_path / "home"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tables:\n  a: {title: none}\n", "give one of source and query"),
        ("files:\n  a: {files: '*', companions: [{semantics: '#x', file: '{plate}.fits'}]}\n", "may have {stem}"),
    ],
)
def test_what_a_resource_cannot_mean_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_resource(write(tmp_path / "r", text))
    assert told in str(caught.value) and "line 5" in str(caught.value)


REDUCED_AND_FULL = """\
files:
  scans:
    files: 'small/*.fits'
    previews: false
    this:
      local_semantics: reduced
      description: "= 'Reduced scan, ' + str(s_xel1) + ' x ' + str(s_xel2) + ' pixels'"
    companions:
      - semantics: '#progenitor'
        local_semantics: full
        file: "= replace(path, 'small/', 'full/')"
        description: "= 'Full scan, ' + str(s_xel1) + ' x ' + str(NAXIS2) + ' pixels of ' + obs_id"
      - {semantics: '#documentation', file: '../outside.txt', description: Never}
"""


def test_each_file_of_a_dataset_says_how_large_it_is_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", REDUCED_AND_FULL)
    image(folder / "small" / "a01.fits", size=20)
    image(folder / "full" / "a01.fits", size=320, scale=0.01 / 16)
    (tmp_path / "outside.txt").write_text("not ours")
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    did = did_of(settings.authority, "plates.scans", "small/a01.fits")
    with DuckStore(settings) as store:
        this, full = products_of(store, [did])[did]
    assert (this.local_semantics, this.description) == ("reduced", "Reduced scan, 20 x 20 pixels")
    assert (full.local_semantics, full.description) == ("full", "Full scan, 320 x 320 pixels of a01")
    assert this.size == (folder / "small" / "a01.fits").stat().st_size
    assert full.size == (folder / "full" / "a01.fits").stat().st_size > 100_000
    assert rows(settings, "SELECT s_xel1 FROM plates.scans") == [{"s_xel1": 20}]


def test_what_follows_from_a_mapped_column_follows_it(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        "files:\n  scans: {files: '*.fits', previews: false, map: {t_min: 30000.0, t_exptime: '= 20 * 60', filter: r}}\n",
    )
    image(folder / "a.fits")
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    (row,) = rows(settings, "SELECT t_min, t_max, t_exptime, em_min, em_max FROM plates.scans")
    assert row["t_max"] == pytest.approx(30000.0 + 1200 / 86400) and row["t_exptime"] == 1200
    assert (row["em_min"], row["em_max"]) == pytest.approx((550e-9, 700e-9))


def test_rules_hold_for_the_row_a_hook_gives(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        "files:\n  scans:\n    files: '*.fits'\n    hook: wide\n    previews: false\n"
        "    embargo: '2999-01-01'\n    obscore: '= s_fov < 5'\n",
    )
    (folder / "hooks.py").write_text("def wide(row, path, header):\n    return {**row, 's_fov': 90.0}\n")
    image(folder / "a.fits")
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    (row,) = rows(settings, "SELECT s_fov, data_rights FROM plates.scans")
    assert row == {"s_fov": 90.0, "data_rights": "proprietary"}
    assert rows(settings, "SELECT obs_id FROM ivoa.ObsCore") == []


def test_an_image_without_coordinates_does_not_take_those_of_the_files_first(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "files: {scans: {files: '*.fits', hdu: all, previews: false}}\n")
    image(folder / "a.fits")
    with fits.open(folder / "a.fits", mode="append") as file:
        # the beam of the map
        file.append(fits.ImageHDU(np.ones((5, 5), np.float32)))
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    assert rows(settings, "SELECT s_xel1 FROM plates.scans") == [{"s_xel1": 20}]


def test_a_companion_of_the_kind_of_a_picture_has_an_address_of_its_own(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        "files:\n  scans: {files: '*.fits', companions: [{semantics: '#preview-image', file: '{stem}.jpg'}]}\n",
    )
    image(folder / "a.fits")
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    did = did_of(settings.authority, "plates.scans", "a.fits")
    with DuckStore(settings) as store:
        keys = [one.key for one in products_of(store, [did])[did]]
    assert sorted(keys) == ["preview-image", "preview-image-1", "this", "thumbnail"]


def test_a_third_axis_without_a_scale_hides_no_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "files: {maps: {files: '*.fits', previews: false}}\n")
    header = fits.Header(dict(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CTYPE3="LAMBDA", CRVAL1=10.0, CRVAL2=20.0))
    header.update(CRPIX1=5.5, CRPIX2=5.5, CD1_1=-0.025, CD1_2=0.0, CD2_1=0.0, CD2_2=0.025, CRVAL3=1e-4, CDELT3=0.0)
    fits.PrimaryHDU(np.zeros((1, 10, 10), np.float32), header).writeto(folder / "iras.fits")
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    (row,) = rows(settings, "SELECT dataproduct_type, s_ra, s_xel1 FROM plates.maps")
    assert (row["dataproduct_type"], row["s_xel1"]) == ("image", 10) and row["s_ra"] == pytest.approx(10.0, abs=0.02)


def test_check_tells_expressions_that_are_none_wherever_they_are(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        "files:\n  scans:\n    files: '*.fits'\n    obscore: '= s_fov <'\n    this:\n      description: '= f('\n"
        "    companions:\n      - semantics: '#weight'\n        file: '= import os'\n",
    )
    image(folder / "a.fits")
    found = {one.where for one in check_resource(folder) if one.severity == "error"}
    assert {"resource.yaml, line 7", "resource.yaml, line 9", "resource.yaml, line 12"} <= found
