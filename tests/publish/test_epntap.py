"""EPN-TAP 2.0: tables of granules completed and checked, made of files or of collections, asked as planetologists do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.adql.units import parse_unit
from skyvault.config import Settings
from skyvault.errors import ConfigError, IngestError
from skyvault.publish.epn_columns import MANDATORY, UTYPE
from skyvault.publish.resource_publisher import publish_resource
from skyvault.publish.templates import make_resource
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits

HEAD = "schema: planets\ntitle: Granules\ndescription: Made for tests.\nservices: [epntap]\n"
RESOURCE = HEAD + "tables:\n  epn_core: {source: granules.csv}\n"


def published(folder: Path, rows: str | None = None) -> Any:
    if rows is not None:
        (folder / "granules.csv").write_text(rows)
        (folder / "resource.yaml").write_text(RESOURCE)
    return publish_resource(folder, settings=Settings(home=folder / "home"))


def ask(folder: Path, text: str) -> list[dict[str, Any]]:
    with DuckStore(Settings(home=folder / "home")) as store:
        return [row for batch in store.query(text, Limits()).stream.batches for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("epn") / "planets"
    make_resource("epntap", folder)
    published(folder)
    return folder


def test_the_template_publishes_at_once_with_all_mandatory_parameters(template: Path) -> None:
    with DuckStore(Settings(home=template / "home")) as store:
        shelf = store.view().get("planets.epn_core")
        assert shelf is not None
        assert shelf.table.utype == UTYPE
        columns = {column.name: column for column in shelf.table.columns}
    assert [column for column in columns][: len(MANDATORY)] == [one.name for one in MANDATORY]
    for one in MANDATORY:
        assert columns[one.name].description
        parse_unit(columns[one.name].unit or "")
    assert (columns["time_min"].unit, columns["time_min"].ucd) == ("d", "time.start;obs")
    assert (columns["spectral_range_max"].unit, columns["spectral_range_max"].ucd) == ("Hz", "em.freq;stat.max")
    # the rows are on a body
    assert (columns["c1min"].unit, columns["c1min"].ucd) == ("deg", "pos.bodyrc.lon;stat.min")
    assert (columns["c3max"].unit, columns["c3max"].ucd) == ("km", "pos.bodyrc.alt;stat.max")
    assert columns["creation_date"].xtype == "timestamp"
    assert columns["access_url"].ucd == "meta.ref.url;meta.file"
    # longitudes on Mars are no places on the sky
    assert "coverage" not in shelf.extra


def test_it_is_asked_as_the_standard_s_examples_do(template: Path) -> None:
    images = "SELECT granule_uid FROM planets.epn_core WHERE ivo_hashlist_has(dataproduct_type, 'im') = 1"
    assert ask(template, images) == [{"granule_uid": "mars-1"}]
    dwarfs = (
        "SELECT granule_uid FROM planets.epn_core WHERE (target_name LIKE '%Ceres%' OR target_name LIKE '%Vesta%')"
        " AND (ivo_hashlist_has(target_class, 'dwarf_planet') = 1 OR ivo_hashlist_has(target_class, 'asteroid') = 1)"
    )
    assert ask(template, dwarfs) == [{"granule_uid": "ceres-1"}]
    boxes = (
        "SELECT granule_uid FROM planets.epn_core WHERE ((c1min <= c1max AND c1min <= 200.0 AND c1max >= 100.0) OR"
        " (c1min > c1max AND (c1min <= 200.0 OR c1max >= 100.0))) AND c2max >= -20.0 AND c2min <= 90.0"
        " AND spatial_frame_type = 'body'"
    )
    assert ask(template, boxes) == [{"granule_uid": "mars-2"}]
    assert len(ask(template, "SELECT * FROM planets.epn_core WHERE time_min BETWEEN 2459000.5 AND 2459001.5")) == 2


def test_what_is_missing_is_filled_in(tmp_path: Path) -> None:
    published(
        tmp_path,
        "granule_uid,dataproduct_type,target_class,time_min,spectral_range_max,creation_date,own\n"
        "a,Image,Dwarf Planet,2450000.5,1e14,2020-01-02T03:04:05Z,1\nb,sp#ts,sky,,,,2\n",
    )
    first, second = ask(tmp_path, "SELECT * FROM planets.epn_core ORDER BY granule_uid")
    assert (first["dataproduct_type"], first["target_class"], second["dataproduct_type"]) == (
        "im",
        "dwarf_planet",
        "sp#ts",
    )
    assert (first["time_max"], first["spectral_range_min"], second["time_max"]) == (2450000.5, 1e14, None)
    assert (first["obs_id"], first["granule_gid"], first["service_title"]) == ("a", "im", "planets")
    assert str(first["creation_date"]) == str(first["modification_date"]) == str(first["release_date"])
    assert str(first["creation_date"]).startswith("2020-01-02 03:04:05")
    assert second["release_date"] is not None
    assert (first["spatial_frame_type"], first["own"]) == ("none", 1)
    empty = "SELECT granule_uid FROM planets.epn_core WHERE " + " OR ".join(
        f"{one.name} IS NULL" for one in MANDATORY if one.is_required
    )
    assert ask(tmp_path, empty) == []
    pairs = [one.name[:-3] for one in MANDATORY if one.name.endswith("min")]
    unequal = " OR ".join(f"({pair}min IS NULL AND {pair}max IS NOT NULL)" for pair in pairs)
    assert ask(tmp_path, f"SELECT granule_uid FROM planets.epn_core WHERE {unequal}") == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("a,b\n1,2\n", "needs a column granule_uid"),
        ("granule_uid,dataproduct_type\na,im\n", "needs a column target_class"),
        (
            "granule_uid,dataproduct_type,target_class\na,im,sky\nb,picture,sky\n",
            "row 2: dataproduct_type is 'picture'",
        ),
        ("granule_uid,dataproduct_type,target_class\na,im,sky\nb,im,galaxy\n", "row 2: target_class is 'galaxy'"),
        ("granule_uid,dataproduct_type,target_class\na,,sky\n", "row 1: dataproduct_type is empty"),
        ("granule_uid,dataproduct_type,target_class\n,im,sky\nb,im,sky\n", "row 1: granule_uid is empty"),
        ("granule_uid,dataproduct_type,target_class,time_min\na,im,sky,58000.0\n", "row 1: time_min is no Julian Date"),
        (
            "granule_uid,dataproduct_type,target_class,time_exp_min,time_exp_max\na,im,sky,2,1\n",
            "time_exp_min is above",
        ),
        ("granule_uid,dataproduct_type,target_class,c1min\na,im,sky,1\n", "need a column spatial_frame_type"),
        ("granule_uid,dataproduct_type,target_class,creation_date\na,im,sky,soon\n", "creation_date cannot be read"),
        ("granule_uid,dataproduct_type,target_class,c1min,spatial_frame_type\na,im,sky,1,galactic\n", "'galactic'"),
    ],
)
def test_what_cannot_be_guessed_or_is_wrong_is_told_with_its_row(tmp_path: Path, rows: str, told: str) -> None:
    with pytest.raises(IngestError) as caught:
        published(tmp_path, rows)
    assert told in str(caught.value)


def test_the_table_must_have_the_name_the_standard_gives(tmp_path: Path) -> None:
    (tmp_path / "granules.csv").write_text("granule_uid,dataproduct_type,target_class\na,im,sky\n")
    (tmp_path / "resource.yaml").write_text(HEAD + "tables:\n  mine: {source: granules.csv, epntap: true}\n")
    with pytest.raises(ConfigError, match=r"named epn_core.*"):
        published(tmp_path)


def write_image(path: Path, lon: float, lat: float) -> None:
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=lon, CRVAL2=lat, CRPIX1=50.5, CRPIX2=50.5, CDELT1=-0.01,
        CDELT2=0.01, OBJECT="Vesta", EXPTIME=60.0, FILTER="V", INSTRUME="CCD", TELESCOP="Schmidt",
    )  # fmt: skip
    header["DATE-OBS"] = "2020-01-01T00:00:00"
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(np.ones((100, 100), np.int16), header).writeto(path)


def test_datasets_of_collections_become_granules(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.fits", 359.9, 10.0)
    write_image(tmp_path / "images" / "pole.fits", 10.0, 89.9)
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "c.csv").write_text("mjd,mag\n" + "".join(f"{58000 + i},12.{i}\n" for i in range(9)))
    (tmp_path / "resource.yaml").write_text(
        HEAD + "files:\n  images: {files: 'images/*.fits', extra: {target_class: {value: asteroid}}}\n"
        "  curves: {kind: timeseries, files: 'curves/*.csv', map: {s_ra: 20.0, s_dec: 5.0}}\n"
    )
    published(tmp_path)
    rows = ask(tmp_path, "SELECT * FROM planets.epn_core ORDER BY granule_uid")
    assert [row["dataproduct_type"] for row in rows] == ["ts", "im", "im"]
    curve, image, pole = rows
    assert (image["target_name"], image["target_class"], curve["target_class"]) == ("Vesta", "asteroid", "sky")
    assert image["time_min"] == pytest.approx(2458849.5)
    assert image["time_exp_min"] == image["time_exp_max"] == 60.0
    assert 5e14 < image["spectral_range_min"] < image["spectral_range_max"] < 7e14
    # over right ascension 0, and around the pole
    assert image["c1min"] > 358 and image["c1max"] < 1
    assert (pole["c1min"], pole["c1max"], pole["c2max"]) == (0, 360, 90)
    assert {row["spatial_frame_type"] for row in rows} == {"celestial"}
    assert image["access_url"] == "/get/planets.images/images/a.fits"
    assert image["datalink_url"].startswith("/datalink/links?ID=")
    assert image["thumbnail_url"].endswith("a.fits?part=thumbnail")
    assert (image["access_format"], curve["access_format"]) == ("application/fits", "text/csv")
    assert (image["processing_level"], image["instrument_host_name"]) == (3, "Schmidt")
    inside = "SELECT granule_uid FROM planets.epn_core WHERE 1 = CONTAINS(POINT(0.1, 10), s_region)"
    assert len(ask(tmp_path, inside)) == 1
