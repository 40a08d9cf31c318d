"""A resource.yaml is read with every fault on its line, and publishes what it describes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.config import Settings
from skyvault.errors import ConfigError, FormatError, IngestError
from skyvault.publish.mapping import value_of
from skyvault.publish.resource_checks import check_resource
from skyvault.publish.resource_file import json_schema, read_resource
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query

HEAD = "schema: plates\ntitle: Plates\ndescription: Photographic plates.\n"


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "resource.yaml"
    path.write_text(text)
    return path


def image(path: Path, *, ra: float = 10.0, dec: float = 20.0, size: int = 20, **cards: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.PrimaryHDU(np.arange(size * size, dtype=np.int16).reshape(size, size))
    hdu.header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=dec, CRPIX1=(size + 1) / 2, CRPIX2=(size + 1) / 2,
        CDELT1=-0.01, CDELT2=0.01, **cards,
    )  # fmt: skip
    hdu.writeto(path)


def rows(settings: Settings, adql: str) -> list[dict[str, object]]:
    return [row for batch in query(adql, settings=settings).batches for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "file: {}\n", "line 4: 'file' is not a key of a resource. Did you mean 'files'?"),
        ("title: a\ndescription: b\n", "line 1: 'schema' is missing."),
        (HEAD + "files:\n  a:\n    files: x\n    hdu:\n      - 1\n", "line 7"),
        (HEAD + "files:\n  a:\n    files: x\n    linkz: open\n", "line 7: 'files.a.linkz' is not a key"),
        (HEAD + "tables:\n  a-b: {source: x}\n", "line 5"),
        (HEAD + "actions:\n  - hook: f\n", "give one of every, at and on"),
        (HEAD + "creators: [\n", "line 5"),
        ("- a\n", "a resource is a mapping"),
        (HEAD + "tables: {a: {source: x}}\nfiles: {A: {files: y}}\n", "names both a table and a collection"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_resource(write(tmp_path, text))
    assert told in str(caught.value) and "resource.yaml" in str(caught.value)


def test_the_json_schema_knows_every_key() -> None:
    schema = json_schema()
    assert {"schema", "tables", "files", "actions", "tests"} <= set(schema["properties"])
    assert schema["required"] == ["schema", "title", "description"]


HEADER = fits.Header({"EXPTIME": 30.0, "DATE-OBS": "1951-08-09T09:60:00", "FILTER": "r", "OBJECT": "M 31"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("= EXPTIME * 60", 1800.0),
        ("= mjd(DATE_OBS)", 33867.416666666664),
        ("= shortest(FILTER)", 550e-9),
        ("= stem[:3] + '-' + lower(OBJECT)", "abc-m 31"),
        ("= MISSING * 2", None),
        ("= first(MISSING, EXPTIME)", 30.0),
        ("= 1 if EXPTIME > 20 else 2", 1),
        ("= match('M ([0-9]+)', OBJECT)", "31"),
        ("= None", None),
    ],
)
def test_expressions_read_headers(text: str, value: object) -> None:
    assert value_of(text, {"stem": "abcdef", "None": None}, HEADER) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "= __import__('os')",
        "= EXPTIME.real",
        "= [x for x in y]",
        "= lambda: 1",
        "= f(",
        "= exec('1')",
        "= 'a'.format(1)",
    ],
)
def test_expressions_can_do_nothing_else(text: str) -> None:
    with pytest.raises(ConfigError):
        value_of(text, {}, HEADER)


def test_what_a_header_cannot_give_is_a_sentence() -> None:
    with pytest.raises(FormatError, match="cannot be computed"):
        value_of("= EXPTIME / 0", {}, HEADER)


def test_images_become_rows_products_and_observations(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    image(tmp_path / "r" / "b.fits", ra=40.0)
    image(tmp_path / "r" / "a.fits", **{"DATE-OBS": "29/11/51", "EXPTIME": 600.0, "OBJECT": "Coma", "FILTER": "V"})
    (tmp_path / "r" / "torn.fits").write_bytes((tmp_path / "r" / "a.fits").read_bytes()[:1000])
    write(
        tmp_path / "r",
        HEAD + "files:\n  small:\n    files: '*.fits'\n    map: {calib_level: 1, facility_name: '= upper(stem)'}\n"
        "    extra: {exposure: {value: '= EXPTIME / 60', type: double, unit: min}}\n",
    )
    done = publish_resource(tmp_path / "r", settings=settings)
    (collection,) = done.collections
    assert collection.rows == 2
    assert [path for path, _ in done.problems] == ["torn.fits"]
    assert ("a.fits", "'29/11/51' is read as 1951-11-29") in collection.ingested.remarks
    (row,) = rows(settings, "SELECT * FROM ivoa.ObsCore WHERE CONTAINS(POINT(10.05, 20.05), s_region) = 1")
    assert row["obs_id"] == "a" and row["t_min"] == 33979.0 and row["facility_name"] == "A" and row["exposure"] == 10.0
    assert row["t_max"] == pytest.approx(33979.0 + 600 / 86400) and row["calib_level"] == 1
    assert (row["em_min"], row["em_max"]) == pytest.approx((500e-9, 590e-9))
    assert row["s_region"].startswith("POLYGON ICRS") and row["s_fov"] == pytest.approx(0.2 * 2**0.5, rel=1e-3)
    assert rows(settings, "SELECT obs_id FROM ivoa.ObsCore WHERE CONTAINS(POINT(10.11, 20), s_region) = 1") == []


def test_only_what_changed_is_read_again_and_what_vanished_is_gone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    for name in "abc":
        image(tmp_path / "r" / f"{name}.fits", ra=10.0 * ord(name) % 360)
    path = write(tmp_path / "r", HEAD + "files:\n  small: {files: '*.fits', previews: false}\n")
    first = publish_resource(path, settings=settings).collections[0].ingested
    (tmp_path / "r" / "a.fits").unlink()
    (tmp_path / "r" / "b.fits").unlink()
    image(tmp_path / "r" / "b.fits", ra=1.0, OBJECT="new")
    image(tmp_path / "r" / "d.fits")
    second = publish_resource(path, settings=settings).collections[0].ingested
    assert (first.read, first.known, first.vanished) == (3, 0, 0)
    assert (second.read, second.known, second.vanished) == (2, 1, 1)
    found = rows(settings, "SELECT obs_id, target_name FROM plates.small ORDER BY obs_id")
    assert [(one["obs_id"], one["target_name"]) for one in found] == [("b", "new"), ("c", None), ("d", None)]


def test_a_rule_keeps_wide_plates_out_of_obscore_and_in_their_table(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    image(tmp_path / "r" / "narrow.fits", size=20)
    image(tmp_path / "r" / "wide.fits", size=200)
    write(tmp_path / "r", HEAD + "files:\n  all_plates: {files: '*.fits', obscore: '= s_fov < 1'}\n")
    publish_resource(tmp_path / "r", settings=settings)
    assert [one["obs_id"] for one in rows(settings, "SELECT obs_id FROM ivoa.ObsCore")] == ["narrow"]
    assert len(rows(settings, "SELECT obs_id FROM plates.all_plates")) == 2


def test_hooks_change_rows_and_leave_files_out(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    image(tmp_path / "r" / "a.fits")
    image(tmp_path / "r" / "b.fits")
    (tmp_path / "r" / "hooks.py").write_text(
        "def named(row, path, header):\n    if row['obs_id'] == 'b':\n        return None\n"
        "    return {**row, 'obs_id': 'plate ' + row['obs_id'], 'grade': 7}\n"
    )
    write(tmp_path / "r", HEAD + "files:\n  hooked: {files: '*.fits', hook: named}\n")
    done = publish_resource(tmp_path / "r", settings=settings)
    assert rows(settings, "SELECT obs_id, grade FROM plates.hooked") == [{"obs_id": "plate a", "grade": 7}]
    assert done.problems == [("b.fits", "the hook named leaves it out")]
    (tmp_path / "r" / "hooks.py").write_text("def named(row, path, header)\n    pass\n")
    with pytest.raises(ConfigError, match=r"hooks\.py, line 1"):
        publish_resource(tmp_path / "r", settings=settings)


def test_a_table_and_its_words(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    path = write(
        tmp_path / "r",
        HEAD + "tables:\n  stars:\n    source: stars.csv\n    columns: {b: {unit: mag, ucd: phot.mag;em.opt.B}}\n",
    )
    (tmp_path / "r" / "stars.csv").write_text("id,ra,dec,b\n1,10,20,15.5\n")
    done = publish_resource(path, settings=settings)
    assert done.tables[0].table.column("b").unit == "mag" and done.tables[0].nrows == 1
    (tmp_path / "r" / "stars.csv").unlink()
    with pytest.raises(ConfigError, match=r"line 6: there is no file .stars\.csv"):
        publish_resource(path, settings=settings)


def test_files_outside_of_the_folder_are_never_published(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    image(tmp_path / "secret" / "s.fits")
    image(tmp_path / "r" / "a.fits")
    (tmp_path / "r" / "link.fits").symlink_to(tmp_path / "secret" / "s.fits")
    write(tmp_path / "r", HEAD + "files:\n  small: {files: '**/*.fits'}\n")
    publish_resource(tmp_path / "r", settings=settings)
    assert len(rows(settings, "SELECT obs_id FROM plates.small")) == 1
    write(tmp_path / "r", HEAD + "files:\n  small: {files: '../secret/*.fits'}\n")
    with pytest.raises(ConfigError, match=r"line 5: .*leads out"):
        publish_resource(tmp_path / "r", settings=settings)


def test_no_file_and_no_good_file_are_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    path = write(tmp_path / "r", HEAD + "files:\n  small: {files: '*.fits'}\n")
    with pytest.raises(IngestError, match=r"line 5: no file matches"):
        publish_resource(path, settings=settings)
    (tmp_path / "r" / "a.fits").write_bytes(b"not FITS")
    with pytest.raises(IngestError, match=r"none of its 1 files can be published; a.fits"):
        publish_resource(path, settings=settings)


def test_the_real_plates_are_understood_or_told(shared_data: Path, tmp_path: Path) -> None:
    """Minute 60, 29/11/51, plate polynomials, three filters named g: shared/data/INDEX.md, quirks."""
    settings = Settings(home=tmp_path / "home")
    for name in ("plates_dss", "sdss_ngc6976"):
        shutil.copytree(shared_data / "images" / name, tmp_path / "r" / name)
    write(tmp_path / "r", HEAD + "files:\n  all_of_them: {files: ['**/*.fits', '**/*.fits.gz', '**/*.fits.bz2']}\n")
    done = publish_resource(tmp_path / "r", settings=settings)
    remarks = dict(done.collections[0].ingested.remarks)
    assert remarks["plates_dss/M6707HH.fits.gz"] == "'29/11/51T12:07:00.00' is read as 1951-11-29T12:07:00.00"
    assert "next hour" in remarks["plates_dss/dss_hd219829.fits.gz"]
    assert done.problems == []
    found = rows(settings, "SELECT obs_id, s_ra, s_dec, t_min FROM plates.all_of_them WHERE obs_id = 'dss_hd219829'")
    assert found[0]["t_min"] == pytest.approx(33867.4166667)


def test_publish_refuses_hooks_and_expressions_that_cannot_be_with_their_lines(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    image(tmp_path / "r" / "a.fits")
    path = write(
        tmp_path / "r",
        HEAD + "actions:\n  - {hook: tidied, every: 6h}\nfiles:\n  small:\n    files: '*.fits'\n"
        "    map: {t_exptime: '= EXPTIME +'}\n    companions:\n      - {semantics: '#weight', hook: weighed}\n",
    )
    (tmp_path / "r" / "hooks.py").write_text("def tidy():\n    pass\n")
    with pytest.raises(ConfigError) as caught:
        publish_resource(path, settings=settings)
    assert str(caught.value).splitlines() == [
        "resource.yaml, line 9: 'EXPTIME +' is no expression. For example '= EXPTIME * 60'.",
        "resource.yaml, line 5: hooks.py: there is no function 'tidied' in it. There are tidy.",
        "resource.yaml, line 11: hooks.py: there is no function 'weighed' in it. There are tidy.",
    ]
    assert not (tmp_path / "home" / "ingest").exists()


def test_publish_tells_what_check_calls_wrong(skyvault: Callable[..., Any], tmp_path: Path) -> None:
    image(tmp_path / "r" / "a.fits")
    path = write(
        tmp_path / "r",
        HEAD + "files:\n  small:\n    files: '*.fits'\n    map: {calib_lvl: 2}\n    companions:\n"
        "      - {semantics: '#weights', file: '{stem}.w.fits'}\n",
    )
    published = skyvault("publish", path, "--home", tmp_path / "home")
    told = published.err.splitlines()
    assert published.code == 0
    assert "warning: resource.yaml, line 9: '#weights' is no DataLink term. Did you mean 'weight'?" in told
    assert "warning: resource.yaml, line 7: calib_lvl is no column of ObsCore. Did you mean calib_level?" in told
    assert f"skyvault check {path.parent} tells more." in told
    checked = skyvault("check", path, "--home", tmp_path / "home")
    assert "warning: resource.yaml, line 7: calib_lvl is no column of ObsCore  Did you mean calib_level?" in checked.out


def test_all_faults_are_told_each_with_its_line(tmp_path: Path) -> None:
    text = (
        "schema: plates\ntitle: 12\ndescripton: Plates.\ncreators:\n  - {name: A, orcid: 12-3}\n  - {nane: B}\n"
        "files:\n  a:\n    files: x\n    companions: [{semantics: weight, file: w}]\n    hdu: []\n  b-c: {files: y}\n"
        "actions:\n  - {hook: f, at: 25:30}\n  - {hook: g, every: 20 seconds}\n  - {hook: h}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_resource(write(tmp_path, text))
    assert str(caught.value).splitlines() == [
        "resource.yaml, line 2: title: 12 is no text. Put it in quotes.",
        "resource.yaml, line 3: 'descripton' is not a key of a resource. Did you mean 'description'?",
        "resource.yaml, line 5: creators.0.orcid: '12-3' is not an ORCID such as 0000-0002-1825-0097.",
        "resource.yaml, line 6: 'creators.1.nane' is not a key of a resource. Did you mean 'name'?",
        "resource.yaml, line 10: files.a.companions.0.semantics: 'weight' is not a term of the DataLink vocabulary"
        " such as #weight.",
        "resource.yaml, line 11: files.a.hdu: input should be 'first' or 'all'.",
        "resource.yaml, line 12: files.b-c: 'b-c' is not a name: a letter, then letters, digits and _, at most 63.",
        "resource.yaml, line 14: actions.0.at: '25:30' is not a time such as 03:30 (UTC).",
        "resource.yaml, line 15: actions.1.every: '20 seconds' is not a length such as 30m, 6h or 1d.",
        "resource.yaml, line 16: actions.2: give one of every, at and on.",
    ]


def test_of_very_many_faults_the_first_twenty_are_told(tmp_path: Path) -> None:
    text = HEAD + "".join(f"unheard_of_{number}: 1\n" for number in range(30))
    with pytest.raises(ConfigError) as caught:
        read_resource(write(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 21 and lines[19].startswith("resource.yaml, line 23:") and lines[20] == "and 10 more"


def test_a_time_of_day_needs_no_quotes(tmp_path: Path) -> None:
    """YAML 1.1 reads 12:30 as 750."""
    file = read_resource(write(tmp_path, HEAD + "actions: [{hook: f, at: 12:30}]\n"))
    assert file.resource.actions[0].at == "12:30"
    text = (
        HEAD + "files:\n  a: {files: x, map: {a: 017, b: -1.5e+3, c: 0x1F, d: .5, e: 12, f: 1_000, g: -.inf, h: 1.}}\n"
    )
    mapped = read_resource(write(tmp_path, text)).resource.files["a"].map
    assert list(mapped.values()) == [15, -1500.0, 31, 0.5, 12, 1000, float("-inf"), 1.0]


def test_a_tab_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 5: a tab; YAML wants blanks"):
        read_resource(write(tmp_path, HEAD + "tables:\n\tstars: {source: x}\n"))


@pytest.mark.parametrize("count", [3, 40])
def test_a_card_that_no_header_has_is_told(tmp_path: Path, count: int) -> None:
    settings = Settings(home=tmp_path / "home")
    for number in range(count):
        image(tmp_path / "r" / f"{number}.fits", size=4, PLTSCALE=67.2, EXPTIME=30.0)
    path = write(
        tmp_path / "r",
        HEAD + "files:\n  small:\n    files: '*.fits'\n    previews: false\n    map: {t_exptime: '= EXPOSED * 60'}\n"
        "    extra:\n      scale: {value: '= PLATSCALE', type: double}\n      good: {value: '= EXPTIME'}\n"
        "      either: {value: '= first(MISSING, DATE_OBS, EXPTIME)'}\n      file: {value: '= stem'}\n"
        "      other: {value: \"= first(MISSING, 'none')\"}\n      none: {value: '= first(MISSING, LACKING)'}\n",
    )
    some = "3 files" if count == 3 else "the first 25 of 40 files"
    checked = [one for one in check_resource(path) if "in no header" in one.what]
    assert [(one.where, one.what, one.hint) for one in checked] == [
        ("resource.yaml, line 8", f"'EXPOSED' is in no header of small ({some})", ""),
        ("resource.yaml, line 10", f"'PLATSCALE' is in no header of small ({some})", "Did you mean PLTSCALE?"),
    ]
    done = publish_resource(path, settings=settings, processes=1)
    assert [one.what for one in done.remarks] == [
        f"'EXPOSED' is in no header of small ({some})",
        f"'PLATSCALE' is in no header of small ({count} files)",
        f"'LACKING' is in no header of small ({some})",
        f"'MISSING' is in no header of small ({some})",
    ]
