"""SIA 1.0 over HTTP, as pyvo and STILTS speak it: images around a place, their files and their pictures."""

from __future__ import annotations

import io
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse

from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource

RESOURCE = """\
schema: sky
title: Images for old clients
description: Made for tests.
services: [sia1, soda]
files:
  plain: {files: 'plain/*.fits', map: {em_min: 5.0e-7, em_max: 6.0e-7}}
  signed: {files: 'signed/*.fits', links: signed, link_lifetime_s: 60}
"""
pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown element")


def write_image(path: Path, lon: float, lat: float, step: float = 0.001) -> None:
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=lon, CRVAL2=lat, CRPIX1=150.5, CRPIX2=100.5, CDELT1=-step,
        CDELT2=step, OBJECT=path.stem, EXPTIME=60.0,
    )  # fmt: skip
    header["DATE-OBS"] = "2020-01-01T00:00:00"
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(np.arange(200 * 300, dtype=np.int32).reshape(200, 300), header).writeto(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> str:
    folder = tmp_path_factory.mktemp("sia1")
    write_image(folder / "plain" / "a.fits", 10.0, 20.0)
    write_image(folder / "plain" / "far.fits", 200.0, -30.0)
    write_image(folder / "signed" / "b.fits", 10.05, 20.0)
    (folder / "resource.yaml").write_text(RESOURCE)
    home = folder / "home"
    publish_resource(folder, settings=Settings(home=home))
    return str(start_server(home).base_url)


def ask(base: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{base}/sia1?{urllib.parse.urlencode(query)}") as answer:
        assert answer.headers["content-type"] == "text/xml;content=x-votable"
        return parse(io.BytesIO(answer.read())).get_first_table()


def titles(table: Any) -> list[str]:
    return sorted({str(one) for one in table.array["target"]} if "target" in table.array.dtype.names else [])


def test_pyvo_finds_images_and_fetches_them(base: str) -> None:
    import pyvo

    service = pyvo.dal.SIAService(f"{base}/sia1?")
    found = service.search(pos=(10.0, 20.0), size=0.1, verbosity=3)
    assert {record.title for record in found} == {"a", "b"}
    plain = next(record for record in found if record.title == "a")
    assert plain.format == "image/fits"
    assert (plain.pos.ra.deg, plain.pos.dec.deg) == (pytest.approx(10.0, abs=1e-4), pytest.approx(20.0, abs=1e-4))
    assert list(plain["naxis"]) == [300, 200]
    assert np.allclose(plain["scale"], [-0.001, 0.001], rtol=1e-3)
    assert plain.dateobs.mjd == pytest.approx(58849.0003, abs=1e-3)
    assert plain["band_low"] == 5e-7
    for record in found:
        with urllib.request.urlopen(record.getdataurl()) as answer, fits.open(io.BytesIO(answer.read())) as file:
            assert file[0].header["OBJECT"] == record.title
    signed = next(record for record in found if record.title == "b")
    assert "sig=" in signed.getdataurl()
    assert signed["ttl"] == 60


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"SIZE": "0.1"}, ["a", "b"]), ({"SIZE": "0"}, ["a", "b"]), ({"SIZE": "0.01", "INTERSECT": "COVERS"}, ["a", "b"]),
        ({"SIZE": "0.25", "INTERSECT": "covers"}, []), ({"SIZE": "1", "INTERSECT": "ENCLOSED"}, ["a", "b"]),
        ({"SIZE": "0.35,0.3", "INTERSECT": "ENCLOSED"}, ["a"]), ({"SIZE": "1", "INTERSECT": "CENTER"}, ["a", "b"]),
        ({"POS": "10.17,20", "SIZE": "0.001"}, ["b"]), ({"POS": "200,-30", "SIZE": "0.1"}, ["far"]),
        ({"SIZE": "360,180"}, ["a", "b", "far"]), ({"POS": "0,90", "SIZE": "1"}, []), ({"SIZE": "0.1", "MAXREC": "1"}, ["?"]),
    ],
)  # fmt: skip
def test_images_lie_as_intersect_says(base: str, query: dict[str, str], expected: list[str]) -> None:
    found = titles(ask(base, VERB="3", **{"POS": "10,20", **query}))
    assert len(found) == 1 if expected == ["?"] else found == expected


@pytest.mark.parametrize(
    ("wish", "formats"),
    [
        ("image/fits", {"image/fits"}), ("GRAPHIC", {"image/png"}), ("image/png,image/fits", {"image/png", "image/fits"}),
        ("ALL", {"image/fits"}), ("GRAPHIC-jpeg", set()),
    ],
)  # fmt: skip
def test_files_have_the_format_that_is_asked_for(base: str, wish: str, formats: set[str]) -> None:
    table = ask(base, POS="10,20", SIZE="0.1", FORMAT=wish)
    assert set(table.array["format"]) == formats
    for url, kind in zip(table.array["url"], table.array["format"], strict=True):
        with urllib.request.urlopen(str(url)) as answer:
            start = answer.read(8)
        assert start == (b"SIMPLE  " if kind == "image/fits" else b"\x89PNG\r\n\x1a\n")


def test_verbosity_chooses_columns_by_their_old_ucds(base: str) -> None:
    counts = [len(ask(base, POS="10,20", SIZE="0.1", VERB=str(verb)).fields) for verb in range(4)]
    assert counts == sorted(set(counts))
    fewest = {field.ucd for field in ask(base, POS="10,20", SIZE="0.1", VERB="0").fields}
    assert fewest == {
        "VOX:Image_Title", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN", "VOX:Image_Naxes", "VOX:Image_Naxis",
        "VOX:Image_Scale", "VOX:Image_Format", "VOX:Image_AccessReference",
    }  # fmt: skip


def test_one_collection_can_be_asked_alone(base: str) -> None:
    everywhere = ask(base, POS="10,20", SIZE="1", VERB="3")
    names = {str(row["target"]): str(row["collection"]) for row in everywhere.array}
    assert names == {"a": "sky.plain", "b": "sky.signed"}
    assert titles(ask(base, POS="10,20", SIZE="1", VERB="3", COLLECTION="sky.signed")) == ["b"]
    assert titles(ask(base, POS="10,20", SIZE="1", VERB="3", COLLECTION="x' OR '1'='1")) == []


def test_metadata_are_columns_and_inputs_without_rows(base: str) -> None:
    table = ask(base, FORMAT="METADATA")
    assert len(table.array) == 0
    assert {param.name for param in table.params} >= {"INPUT:POS", "INPUT:SIZE", "INPUT:FORMAT", "INPUT:INTERSECT"}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, "POS and SIZE are needed"), ({"POS": "10,20"}, "POS and SIZE"), ({"POS": "here", "SIZE": "1"}, "POS="),
        ({"POS": "10,99", "SIZE": "1"}, "not on the sky"), ({"POS": "1,2", "SIZE": "-1"}, "SIZE="),
        ({"POS": "1,2", "SIZE": "nan"}, "SIZE="), ({"POS": "1,2", "SIZE": "1", "INTERSECT": "NEAR"}, "INTERSECT"),
        ({"POS": "1,2", "SIZE": "1", "VERB": "7"}, "VERB"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_the_answer(base: str, query: dict[str, str], told: str) -> None:
    with urllib.request.urlopen(f"{base}/sia1?{urllib.parse.urlencode(query)}") as answer:
        root = ElementTree.fromstring(answer.read())
    status = next(one for one in root.iter() if one.tag.endswith("INFO") and one.get("name") == "QUERY_STATUS")
    assert status.get("value") == "ERROR"
    assert told in (status.text or "")


def test_the_service_says_what_it_is(base: str) -> None:
    with urllib.request.urlopen(f"{base}/sia1/capabilities") as answer:
        text = answer.read().decode()
    assert 'standardID="ivo://ivoa.net/std/SIA"' in text
    assert f'<accessURL use="base">{base}/sia1</accessURL>' in text


@pytest.mark.stilts
def test_topcat_s_engine_asks_it(base: str, tmp_path: Path) -> None:
    program = shutil.which("stilts")
    assert program is not None
    (tmp_path / "places.csv").write_text("ra,dec\n10,20\n200,-30\n")
    done = subprocess.run(
        [program, "coneskymatch", f"serviceurl={base}/sia1?", "servicetype=sia", "sr=0.05", "ra=ra", "dec=dec",
         f"in={tmp_path / 'places.csv'}", "ifmt=csv", "ofmt=csv", "find=all"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == 1 + 3
