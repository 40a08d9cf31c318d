"""TOPCAT's engine (STILTS) finds nothing wrong with services of datasets: TAP and ObsCore, DataLink, every VOTable."""

from __future__ import annotations

import re
import subprocess
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from example_sites import Site
from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource

pytestmark = pytest.mark.stilts

RESOURCE = """\
schema: sky
title: Images and spectra made for a test
description: Two images of one place, one of them with a weight, a spectrum and a light curve, all of them made up here.
services: [sia2, ssa, soda, scs]
files:
  images:
    files: '*.fits'
    map: {target_name: "= OBJECT"}
    extra:
      obs_title: {value: "= OBJECT", description: Title}
      dataproduct_subtype: {value: scan, description: Kind}
      seeing: {value: 1.5, type: double, unit: arcsec, ucd: instr.obsty.seeing, description: Seeing}
      number: {value: 7, type: long, unit: "", description: A number}
    companions: [{semantics: '#weight', file: '{stem}.wht'}]
  signed: {files: 'a.fits', links: signed}
  space:
    kind: spectra
    files: '*.csv'
    map: {s_ra: 10.0, s_dec: 20.0}
  curves:
    kind: timeseries
    files: 'curves/*.csv'
    map: {s_ra: 10.0, s_dec: 20.0, em_min: 5e-7, em_max: 6e-7}
tables:
  stars: {source: stars/stars.txt.csv, description: Stars of the field}
  elsewhere: {source: stars/elsewhere.txt.csv, obscore: true, description: Images that are kept elsewhere}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Site:
    folder = tmp_path_factory.mktemp("stilts")
    for name in ("a", "b"):
        header = fits.Header(
            dict(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=50.5, CRPIX2=50.5, CDELT1=-1e-3,
                 CDELT2=1e-3, OBJECT=f"field {name}", EXPTIME=60.0, FILTER="r")
        )  # fmt: skip
        header["DATE-OBS"] = "2020-01-02T03:04:05"
        fits.PrimaryHDU(np.arange(10_000, dtype=np.int16).reshape(100, 100), header).writeto(folder / f"{name}.fits")
    (folder / "a.wht").write_bytes(b"1" * 100)
    (folder / "s.csv").write_text("wavelength,flux\n" + "".join(f"{4000 + i},{i}\n" for i in range(50)))
    (folder / "curves").mkdir()
    (folder / "curves" / "c.csv").write_text("mjd,mag\n" + "".join(f"{50_000 + i},{12 + i / 10}\n" for i in range(9)))
    (folder / "stars").mkdir()
    (folder / "stars" / "stars.txt.csv").write_text("id,ra,dec,mag\n1,10.0,20.0,12.5\n2,10.01,20.01,13.5\n")
    (folder / "stars" / "elsewhere.txt.csv").write_text(
        "obs_id,s_ra,s_dec,obs_title,dataproduct_subtype\nz,10.0,20.0,A raw image,raw\n"
    )
    (folder / "resource.yaml").write_text(RESOURCE)
    settings = Settings(home=folder / "home")
    done = publish_resource(folder, settings=settings, processes=1)
    return Site(start_server(settings.home).base_url, settings, {"sky": done})


def said(*arguments: str, folder: Path) -> str:
    """What a task of STILTS prints, whether it is content or not."""
    done = subprocess.run(
        ["stilts", *arguments], cwd=folder, capture_output=True, text=True, timeout=110, stdin=subprocess.DEVNULL
    )
    return done.stdout + done.stderr


def complaints(report: str) -> list[str]:
    """Errors, failures and warnings but those of what STILTS 3.4 does not know yet."""
    found = [line for line in report.splitlines() if re.match(r"(ERROR|WARNING|[EFW]-)", line)]
    # #thumbnail is a term of the vocabulary since 2021
    known = ("W-CAP-CULF", "F-LOC-NOTP", "E-SMCO-1 Unknown predicate 'thumbnail'", "E-SMCO-2 Unknown predicate 'thumbnail'",
             "E-SMCO-3 Unknown predicate 'thumbnail'")  # fmt: skip
    return [line for line in found if not line.startswith(known)]


def test_taplint_finds_nothing_wrong_with_tables_of_datasets(site: Site, tmp_path: Path) -> None:
    report = said("taplint", f"tapurl={site.base}/tap", "report=EWFS", "maxrepeat=20", folder=tmp_path)
    assert "Section OBS" in report and "Totals: " in report
    assert complaints(report) == []
    # the standard's columns, and those an archive may add
    assert re.search(r"ivoa\.ObsCore columns: 30/30 required, [2-9]/\d+ optional", report), report


def _did(site: Site, table: str, name: str) -> str:
    return f"ivo://{site.settings.authority}/~?sky.{table}/{name}"


def test_datalinklint_finds_nothing_wrong_with_links(site: Site, tmp_path: Path) -> None:
    ids = [_did(site, "images", "a.fits"), _did(site, "signed", "a.fits"), _did(site, "space", "s.csv"), "ivo://none/x"]
    query = urllib.parse.urlencode([("ID", one) for one in ids])
    (tmp_path / "links.vot").write_bytes(site.get(f"/datalink/links?{query}")[1])
    assert complaints(said("datalinklint", "votable=links.vot", folder=tmp_path)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+ivoa.ObsCore",
        "/tap/sync?LANG=ADQL&QUERY=SELECT+*+FROM+sky.images&RESPONSEFORMAT=votable/td",
        "/tap/sync?LANG=ADQL&QUERY=SELECT+nothing+FROM+sky.images",
        "/sia2/query?POS=CIRCLE+10+20+1",
        "/sia2/query?POS=NONE",
        "/sia2/query?MAXREC=0",
        "/ssa?REQUEST=queryData&POS=10,20&SIZE=1",
        "/sky/stars/scs?RA=10&DEC=20&SR=1&VERB=3",
        "/datalink/links?ID=ivo%3A//skyvault.invalid/~%3Fsky.images/a.fits",
    ],
)
def test_votlint_finds_nothing_wrong_with_answers(site: Site, tmp_path: Path, path: str) -> None:
    content = site.get(path)[1]
    assert b"<VOTABLE" in content
    (tmp_path / "answer.vot").write_bytes(content)
    assert complaints(said("votlint", "votable=answer.vot", "ucd=true", "unit=true", folder=tmp_path)) == []
