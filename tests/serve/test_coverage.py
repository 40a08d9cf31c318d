"""Coverages over HTTP: /moc of each table and of the site, read by mocpy; and what registry records say of them."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from mocpy import MOC, TimeMOC

from skyvault.config import Settings
from skyvault.publish.publisher import publish
from skyvault.publish.resource_publisher import publish_resource
from skyvault.store.coverage import Coverage, coverage_of, site_coverage
from skyvault.store.duckdb_store import DuckStore

RESOURCE = """\
schema: sky
title: Two kinds of images
description: Made for tests.
creators: [A. Astronomer]
coverage:
  spatial: 3/100-101
tables:
  said: {source: stars.csv}
"""


class Site:
    """A server with a catalogue, a collection of observations, and a table whose resource says what it covers."""

    def __init__(self, server: Any, stars: Any) -> None:
        self.base, self.home, self.stars = server.base_url, server.home, stars

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.base + path, headers=sent, method=method)
            ) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def moc(self, path: str) -> MOC:
        status, body, _ = self.get(path)
        assert status == 200, body
        return MOC.from_fits(io.BytesIO(body))


def write_observations(path: Path) -> None:
    rows = [
        "dataproduct_type,calib_level,obs_collection,obs_id,obs_publisher_did,s_ra,s_dec,s_region,t_min,t_max,em_min,em_max"
    ]
    for number in range(40):
        ra, dec = 30.0 + 2 * (number % 10), -20.0 + 2 * (number // 10)
        region = f"CIRCLE ICRS {ra} {dec} 0.5" if number else ""
        begin = 51000.0 + number if number < 20 else 58000.0 + number
        rows.append(f"image,2,c,o{number},ivo://x/{number},{ra},{dec},{region},{begin},{begin + 0.5},4e-7,7e-7")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("coverage")
    home = folder / "home"
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(350, 370, 20_000) % 360, rng.uniform(-10, 10, 20_000)
    stars = folder / "stars.csv"
    stars.write_text(
        "id,ra,dec\n" + "".join(f"{i},{a:.6f},{d:.6f}\n" for i, (a, d) in enumerate(zip(lon, lat, strict=True)))
    )
    publish(stars, name="lab.stars", home=home)
    write_observations(folder / "observations.csv")
    publish(folder / "observations.csv", name="lab.observations", home=home, obscore=True)
    (folder / "plain.csv").write_text("a,b\n1,2\n")
    publish(folder / "plain.csv", name="lab.plain", home=home)
    (folder / "resource.yaml").write_text(RESOURCE)
    publish_resource(folder, settings=Settings(home=home))
    yield Site(start_server(home), (lon, lat))


def test_a_catalogue_s_coverage_holds_its_stars_and_little_else(site: Site) -> None:
    moc = site.moc("/moc/lab.stars")
    lon, lat = site.stars
    assert moc.contains_lonlat(lon * u.deg, lat * u.deg).all()
    box = MOC.from_polygon([349, 11, 11, 349] * u.deg, [-11, -11, 11, 11] * u.deg, max_depth=9)
    assert moc.difference(box).sky_fraction == 0
    assert moc.sky_fraction == pytest.approx(400 / 41253, rel=0.15)


def test_outlines_are_followed_and_rows_without_one_count_by_their_place(site: Site) -> None:
    moc = site.moc("/moc/lab.observations")
    circles = [
        MOC.from_cone((30.0 + 2 * (n % 10)) * u.deg, (-20.0 + 2 * (n // 10)) * u.deg, radius=0.5 * u.deg, max_depth=10)
        for n in range(1, 40)
    ]
    true = circles[0].union(*circles[1:])
    assert true.difference(moc).sky_fraction == 0
    assert moc.sky_fraction < 1.1 * true.sky_fraction + 2 / (12 * 4**6)
    assert moc.contains_lonlat([30.0] * u.deg, [-20.0] * u.deg).all()
    # ivoa.ObsCore covers what its collections do
    assert site.moc("/moc/ivoa.ObsCore") == moc


def test_the_site_covers_what_its_tables_do(site: Site) -> None:
    parts = [site.moc(f"/moc/{name}") for name in ("lab.stars", "lab.observations", "sky.said")]
    assert site.moc("/moc") == parts[0].union(*parts[1:])


def test_what_a_resource_says_of_its_coverage_takes_the_place_of_what_was_measured(site: Site) -> None:
    assert site.moc("/moc/sky.said") == MOC.from_string("3/100-101")


def test_the_file_says_what_it_is(site: Site) -> None:
    _, body, headers = site.get("/moc/lab.stars")
    assert headers["content-type"] == "application/fits"
    with fits.open(io.BytesIO(body)) as file:
        file.verify("exception")
        header = file[1].header
        said = {key: header[key] for key in ("MOCVERS", "MOCDIM", "ORDERING", "COORDSYS", "TFORM1")}
        assert said == {"MOCVERS": "2.0", "MOCDIM": "SPACE", "ORDERING": "RANGE", "COORDSYS": "C", "TFORM1": "1K"}
        assert 6 <= header["MOCORD_S"] <= 10
    _, body, _ = site.get("/moc/lab.stars?ORDERING=NUNIQ")
    with fits.open(io.BytesIO(body)) as file:
        assert file[1].header["ORDERING"] == "NUNIQ"
        assert file[1].header["MOCORDER"] == file[1].header["MOCORD_S"]


def test_all_forms_say_the_same(site: Site) -> None:
    moc = site.moc("/moc/lab.observations")
    for path in ("/moc/lab.observations.json", "/moc/lab.observations?RESPONSEFORMAT=json"):
        status, body, headers = site.get(path)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert MOC.from_json(json.loads(body)) == moc
    for path in (
        "/moc/lab.observations.txt",
        "/moc/lab.observations?responseformat=ascii",
        "/moc/lab.observations?FMT=text/plain",
    ):
        status, body, _ = site.get(path)
        assert status == 200
        assert MOC.from_string(body.decode()) == moc
    assert site.moc("/moc/lab.observations.fits?ORDERING=NUNIQ") == moc
    assert site.moc("/moc/lab.observations?ORDER=5") == moc.degrade_to_order(5)


def test_a_client_that_has_it_gets_nothing_and_a_part_when_it_asks_for_one(site: Site) -> None:
    status, body, headers = site.get("/moc/lab.stars")
    tag = headers["etag"]
    assert site.get("/moc/lab.stars", if_none_match=tag)[0] == 304
    assert site.get("/moc/lab.stars", if_none_match=f'"other", W/{tag}')[0] == 304
    assert site.get("/moc/lab.stars", if_none_match='"other"')[0] == 200
    assert site.get("/moc/lab.stars", if_modified_since=headers["last-modified"])[0] == 304
    assert site.get("/moc/lab.stars", range="bytes=0-79")[:2] == (206, body[:80])
    assert site.get("/moc/lab.stars", range="bytes=-10")[:2] == (206, body[-10:])
    assert site.get("/moc/lab.stars", range=f"bytes={len(body)}-")[0] == 416
    assert site.get("/moc/lab.stars", range="bytes=0-79", if_range='"other"')[:2] == (200, body)
    status, nothing, head = site.get("/moc/lab.stars", "HEAD")
    assert (status, nothing, head["content-length"]) == (200, b"", str(len(body)))


def test_what_is_not_there_or_has_no_place_is_told(site: Site) -> None:
    assert site.get("/moc/lab.nothing")[0] == 404
    status, body, _ = site.get("/moc/lab.plain")
    assert status == 404
    assert b"no positions" in body
    status, body, _ = site.get("/moc/lab.stars?RESPONSEFORMAT=gif")
    assert status == 400
    assert b"fits, json or ascii" in body


def test_times_are_covered_with_their_gap(site: Site) -> None:
    from astropy.time import Time

    status, body, _ = site.get("/moc/lab.observations?DIMENSION=TIME")
    assert status == 200
    moc = TimeMOC.from_fits(io.BytesIO(body))
    inside = Time([51000.2, 58025.1], format="mjd", scale="utc")
    outside = Time([50999.0, 54000.0, 58041.0], format="mjd", scale="utc")
    assert moc.contains(inside).all()
    assert not moc.contains(outside).any()
    text = site.get("/moc/lab.observations?DIMENSION=TIME&RESPONSEFORMAT=ascii")[1].decode()
    assert TimeMOC.from_string(text) == moc
    assert site.get("/moc/lab.stars?DIMENSION=TIME")[0] == 404


def test_records_hear_of_sky_time_and_spectrum(site: Site) -> None:
    store = DuckStore(Settings(home=site.home))
    try:
        view = store.view()
        found = coverage_of(view, "LAB.observations")
        assert [(span.lo, span.hi) for span in found.temporal] == [(51000.0, 51019.5), (58020.0, 58039.5)]
        assert [(span.lo, span.hi) for span in found.spectral] == [(4e-7, 7e-7)]
        energies = found.energies()
        assert energies == (pytest.approx((2.8377e-19, 4.9661e-19), rel=1e-3),)
        text = found.moc(6)
        assert text is not None
        assert MOC.from_string(text).max_order == 6
        assert coverage_of(view, "lab.plain") == Coverage()
        assert coverage_of(view, "nothing.at_all") == Coverage()
        assert coverage_of(view, "ivoa.obscore").temporal == found.temporal
        site_text = site_coverage(view).moc(6)
        assert site_text is not None
        assert MOC.from_string(site_text).contains_skycoords(SkyCoord(0, 0, unit="deg"))
    finally:
        store.close()
