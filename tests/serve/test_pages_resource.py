"""What pages and results say of a resource: origin, citation, services, pictures, a page for each dataset."""

from __future__ import annotations

import html
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.dataorigin import extract_data_origin
from starlette.testclient import TestClient

from skyvault.config import Settings
from skyvault.model.table import TimeFrame
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.app import create_app
from skyvault.serve.page_citation import bibcode_address, doi_address, reference
from skyvault.serve.page_text import angle, day, frame_of_times, instant, sexagesimal, wavelength
from skyvault.store.products import did_of

HOSTILE = "<script>alert(1)</script>"
RESOURCE = r"""
schema: plates
title: 'Plates of a <b>survey</b>'
description: 'Photographs & more <script>alert(1)</script>'
creators:
  - {name: 'Leavitt, Henrietta', orcid: 0000-0002-1825-0097, affiliation: 'Harvard <College>'}
  - 'Cannon & Team'
licence: CC-BY-4.0
rights: 'Free for all <i>people</i>'
references: ['doi:10.1086/508275', '2006AJ....132.2409N', 'https://example.org/a?b=<c>', 'javascript:alert(1)']
bibcode: 2016A&A...595A...1G
doi: 10.5072/example-1
created: 2021-05-06
version: '1.2'
contact: plates@example.org
subjects: [photographic plates]
services: [sia2, soda]
examples:
  - {name: 'Old <plates>', query: "SELECT TOP 5 obs_id FROM plates.glass WHERE t_min < 20000", description: 'Before 1913'}
  - {name: All observations, query: "SELECT COUNT(*) AS n FROM ivoa.ObsCore"}
tables:
  stars:
    source: stars.parquet
    title: Stars
    frame: {epoch: J2016.0, refposition: BARYCENTER}
    columns:
      bjd: {timescale: TDB, refposition: BARYCENTER, timeorigin: 2400000}
      g: {filter: GAIA/GAIA3.G, magnitude_system: Vega, zero_point: 3228.75, wavelength: 5.8e-7}
      bib: {ucd: meta.bib.bibcode}
files:
  glass:
    files: 'open/*.fits'
    title: 'Open <plates>'
    extra:
      middle: {value: '= mjd(DATE_OBS)', type: double, unit: d, timescale: UT1, refposition: TOPOCENTER, timeorigin: MJD-origin}
      limit_mag: {value: 14.5, type: double, filter: Photographic/Blue, description: Faintest stars}
    companions: [{semantics: '#documentation', url: 'javascript:alert(2)', description: 'An <odd> place'}]
  signed: {files: 'signed/*.fits', links: signed, link_lifetime_s: 3600}
  held: {files: 'held/*.fits', embargo: '2999-01-01'}
"""


def _image(path: Path, name: str) -> None:
    header = fits.Header(
        dict(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=32.5, CRPIX2=32.5, CDELT1=-0.01,
            CDELT2=0.01, OBJECT=name, TELESCOP="Doublet",
        )
    )  # fmt: skip
    header["DATE-OBS"] = "1912-03-04T05:06:07"
    pixels = np.random.default_rng(3).poisson(40, (64, 64)).astype(np.int16)
    pixels[20:24, 30:34] += 3000
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(pixels, header).writeto(path)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("origin")
    for name in ("open", "signed", "held"):
        _image(folder / name / "a.fits", HOSTILE[:20] if name == "open" else name)
    _image(folder / "open" / "b <i>.fits", "second")
    rows = {
        "source_id": [1, 2], "ra": [10.0, 20.0], "dec": [20.0, -5.0], "pmra": [1.0, 2.0], "pmdec": [3.0, -4.0],
        "parallax": [2.0, 5.0], "bjd": [57000.5, 57001.5], "g": [12.5, 13.5],
        "bib": ["2016A&A...595A...1G", "<script>"], "doi": ["10.1086/508275", None],
    }  # fmt: skip
    pq.write_table(pa.table(rows), folder / "stars.parquet")
    (folder / "resource.yaml").write_text(RESOURCE)
    settings = Settings(
        home=folder / "home",
        title="Plates",
        publisher="An <Institute>",
        contact="help@example.org",
        authority="example.org",
    )
    publish_resource(folder, settings=settings, processes=1)
    with TestClient(create_app(settings), base_url="http://testserver") as client:
        yield client


def sync(client: TestClient, query: str, form: str = "votable") -> Any:
    answer = client.get("/tap/sync", params={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": form})
    assert answer.status_code == 200, answer.text
    return answer


def did(table: str) -> str:
    folder = "open" if table == "glass" else table
    return did_of("example.org", f"plates.{table}", f"{folder}/a.fits")


# --- results --------------------------------------------------------------------------------------------------------


def test_a_result_says_whose_data_it_holds_and_how_to_cite_them(client: TestClient) -> None:
    answer = sync(client, "SELECT ra, dec FROM plates.stars")
    told = extract_data_origin(parse(io.BytesIO(answer.content)))
    assert told.query.publisher == "An <Institute>" and told.query.contact == "help@example.org"
    assert told.query.server_software.startswith("Skyvault/")
    assert told.query.service_protocol == "ivo://ivoa.net/std/TAP"
    assert told.query.query == "SELECT ra, dec FROM plates.stars"
    assert parse_qs(urlsplit(told.query.request).query)["QUERY"] == ["SELECT ra, dec FROM plates.stars"]
    (origin,) = told.origin
    assert origin.creator == ["Leavitt, Henrietta", "Cannon & Team"]
    assert origin.citation == ["doi:10.5072/example-1"] and origin.rights_uri == [
        "https://spdx.org/licenses/CC-BY-4.0.html"
    ]
    assert origin.article == ["bibcode:2016A&A...595A...1G"] and origin.publication_date == ["2021-05-06"]
    assert origin.data_ivoid == ["ivo://example.org/plates/stars"]
    assert origin.reference_url == ["http://testserver/plates/stars"]


def test_the_origin_of_a_request_is_one_that_gives_the_same(client: TestClient) -> None:
    first = sync(client, "SELECT ra FROM plates.stars ORDER BY ra")
    told = extract_data_origin(parse(io.BytesIO(first.content))).query.request
    again = client.get(told)
    assert list(parse(io.BytesIO(again.content)).get_first_table().array["ra"]) == [10.0, 20.0]


def test_a_join_tells_the_origin_of_all_its_tables_once(client: TestClient) -> None:
    query = "SELECT s.ra FROM plates.stars AS s JOIN plates.glass AS o ON DISTANCE(s.ra, s.dec, o.s_ra, o.s_dec) < 1"
    (origin,) = extract_data_origin(parse(io.BytesIO(sync(client, query).content))).origin
    assert sorted(origin.reference_url) == ["http://testserver/plates/glass", "http://testserver/plates/stars"]
    assert origin.creator == ["Leavitt, Henrietta", "Cannon & Team"]


def test_nothing_is_claimed_of_tables_that_are_nobodys(client: TestClient) -> None:
    told = extract_data_origin(parse(io.BytesIO(sync(client, "SELECT table_name FROM TAP_SCHEMA.tables").content)))
    assert told.origin == [] and told.query.service_protocol


@pytest.mark.parametrize(
    "path",
    ["/sia2/query?POS=CIRCLE 10 20 1", "/plates/stars/scs?RA=10&DEC=20&SR=1", "/ssa?REQUEST=queryData&POS=10,20"],
)
def test_every_protocol_tells_the_origin(client: TestClient, path: str) -> None:
    answer = client.get(path)
    told = extract_data_origin(parse(io.BytesIO(answer.content)))
    assert told.query.request.startswith("http://testserver" + path.partition("?")[0])
    assert any(one.creator and "Cannon & Team" in one.creator for one in told.origin)


def test_frames_of_time_and_place_reach_the_result_by_alias_and_extreme(client: TestClient) -> None:
    query = "SELECT MIN(bjd) AS earliest, MAX(g) AS faint, AVG(bjd - 5) AS odd FROM plates.stars"
    table = parse(io.BytesIO(sync(client, query, "application/x-votable+xml;version=1.5").content))
    first, faint, odd = table.get_first_table().fields
    (system,) = table.resources[0].time_systems
    assert (system.timescale, system.refposition, system.timeorigin) == ("TDB", "BARYCENTER", 2400000.0)
    assert first.ref == system.ID and odd.ref is None
    (group,) = table.get_first_table().groups
    assert faint.ref == group.ID
    said = {one.utype: one.value for one in group.entries if getattr(one, "utype", None)}
    assert said["photDM:PhotometryFilter.identifier"] == "GAIA/GAIA3.G"


def test_epoch_and_reference_position_of_the_frame_are_told(client: TestClient) -> None:
    document = sync(client, "SELECT ra AS alpha, dec FROM plates.stars", "application/x-votable+xml;version=1.5").text
    assert re.search(r'<COOSYS ID="(\w+)" system="ICRS" epoch="J2016.0" refposition="BARYCENTER"/>', document)
    assert '<VODML xmlns="http://www.ivoa.net/xml/mivot">' in document


def test_columns_of_a_collection_may_have_frames_of_their_own(client: TestClient) -> None:
    document = parse(io.BytesIO(sync(client, "SELECT t_min, middle, limit_mag FROM plates.glass").content))
    start, middle, limit = document.get_first_table().fields
    scales = {system.ID: system.timescale for system in document.resources[0].time_systems}
    assert (scales[start.ref], scales[middle.ref]) == ("UTC", "UT1")
    assert (limit.unit, limit.ucd, limit.ref) == ("mag", "phot.mag", document.get_first_table().groups[0].ID)


def test_obscore_times_are_utc_in_sia_and_tap(client: TestClient) -> None:
    for path in ("/sia2/query?POS=CIRCLE 10 20 1", "/tap/sync?LANG=ADQL&QUERY=SELECT t_min FROM ivoa.ObsCore"):
        table = parse(io.BytesIO(client.get(path).content))
        (system,) = table.resources[0].time_systems
        assert (system.timescale, system.timeorigin) == ("UTC", "MJD-origin")
        refs = {field.name: field.ref for field in table.get_first_table().fields}
        assert refs["t_min"] == system.ID


def test_pyvo_makes_sky_coordinates_of_a_tap_result(client: TestClient) -> None:
    from pyvo.mivot.viewer.mivot_viewer import MivotViewer
    from pyvo.utils import activate_features

    activate_features("MIVOT")
    answer = sync(client, "SELECT * FROM plates.stars ORDER BY source_id", "votable/mivot")
    viewer = MivotViewer(parse(io.BytesIO(answer.content)), resolve_ref=True)
    place = viewer.dm_instance.get_SkyCoord()
    found = (place.ra.deg, place.pm_ra_cosdec.value, place.obstime.jyear)
    assert found == pytest.approx((10.0, 1.0, 2016.0))
    viewer.next_row_view()
    viewer.next_row_view()
    assert viewer.dm_instance.get_SkyCoord().dec.deg == -5.0


def test_a_cone_search_is_annotated_and_leads_to_the_coverage(client: TestClient) -> None:
    from pyvo.mivot.viewer.mivot_viewer import MivotViewer
    from pyvo.utils import activate_features

    activate_features("MIVOT")
    answer = client.get("/plates/stars/scs", params={"RA": 20, "DEC": -5, "SR": 1, "RESPONSEFORMAT": "votable/mivot"})
    document = parse(io.BytesIO(answer.content))
    assert MivotViewer(document, resolve_ref=True).dm_instance.get_SkyCoord().dec.deg == -5.0
    (moc,) = [info.value for info in document.resources[0].infos if info.name == "coverage"]
    assert client.get(moc).content.startswith(b"SIMPLE")


def test_a_result_that_is_written_to_other_formats_keeps_its_origin(client: TestClient) -> None:
    assert "Leavitt" in sync(client, "SELECT ra FROM plates.stars", "ecsv").text
    assert b"Leavitt" in sync(client, "SELECT ra FROM plates.stars", "fits").content


# --- pages ----------------------------------------------------------------------------------------------------------


def page(client: TestClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert HOSTILE not in answer.text and "<i>people" not in answer.text and "<b>survey" not in answer.text
    assert 'href="javascript:' not in answer.text
    return answer.text


def test_the_page_of_a_table_says_whose_it_is_and_how_to_cite_it(client: TestClient) -> None:
    text = page(client, "/plates/stars")
    assert 'href="https://orcid.org/0000-0002-1825-0097"' in text
    assert 'href="https://spdx.org/licenses/CC-BY-4.0.html"' in text
    assert 'href="https://doi.org/10.5072/example-1"' in text and 'href="https://doi.org/10.1086/508275"' in text
    assert 'href="https://ui.adsabs.harvard.edu/abs/2016A%26A...595A...1G/abstract"' in text
    plain = html.unescape(text)
    assert (
        "Leavitt, Henrietta; Cannon & Team (2021). Stars. Version 1.2. An <Institute>. https://doi.org/10.5072/example-1"
        in plain
    )
    assert r"author = {Leavitt, Henrietta and {Cannon \& Team}}" in plain and "doi = {10.5072/example-1}" in plain


def test_the_page_of_a_table_names_its_services_with_lines_that_run(client: TestClient) -> None:
    text = page(client, "/plates/glass")
    for name in ("TAP", "Simple Cone Search", "SIA 2.0", "DataLink 1.1", "SODA 1.0"):
        assert f"<strong>{name}</strong>" in text
    snippets = [
        html.unescape(one) for one in re.findall(r"<pre tabindex=\"0\"><code>(.*?)</code></pre>", text, re.DOTALL)
    ]
    for snippet in snippets:
        if snippet.startswith("import pyvo"):
            compile(snippet, "snippet", "exec")
        if snippet.startswith("import pyvo") and "SCSService" in snippet:
            # the example finds something
            assert "pos=(10.0, 20.0)" in snippet
        if snippet.startswith("curl -G"):
            assert subprocess.run(["sh", "-n", "-c", snippet], check=False).returncode == 0


def test_obscore_lists_its_collections_and_schemas_bear_the_title_of_their_resource(client: TestClient) -> None:
    text = page(client, "/ivoa/ObsCore")
    assert 'href="/plates/glass">Open &lt;plates&gt;</a>' in text and "CC-BY-4.0" in text
    assert "Plates of a &lt;b&gt;survey" in page(client, "/")
    told = sync(client, "SELECT description FROM TAP_SCHEMA.schemas WHERE schema_name = 'plates'", "csv").text
    assert "Plates of a <b>survey</b>" in told


def test_a_collection_shows_its_pictures_lazily_and_they_are_there(client: TestClient) -> None:
    text = page(client, "/plates/glass")
    pictures = [html.unescape(one) for one in re.findall(r'<img loading="lazy"[^>]*src="([^"]*)"', text)]
    assert len(pictures) == 2
    for address in pictures:
        answer = client.get(address)
        assert answer.content.startswith(b"\x89PNG")


def test_pictures_of_a_signed_collection_come_by_fresh_links(client: TestClient) -> None:
    answer = client.get("/thumbnail", params={"ID": did("signed")}, follow_redirects=False)
    assert answer.status_code == 307 and "sig=" in answer.headers["location"]
    assert answer.headers["location"].startswith("/get/")
    assert client.get(answer.headers["location"]).content.startswith(b"\x89PNG")


def test_a_dataset_has_a_page_with_its_picture_files_header_and_cutout(client: TestClient) -> None:
    text = page(client, f"/dataset?ID={quote(did('glass'), safe='')}")
    assert "An &lt;odd&gt; place" in text
    assert "TELESCOP= &#39;Doublet" in text and "Leavitt" in text and "1.2" in text
    source = html.unescape(re.search(r'<figure class="picture"><a href="([^"]*)"', text)[1])  # type: ignore[index]
    assert client.get(source).content.startswith(b"\x89PNG")
    form = re.search(r'<form class="cone" method="get" action="/soda/sync">.*?</form>', text, re.DOTALL)
    assert form is not None
    circle = re.search(r'name="CIRCLE"[^>]*value="([^"]*)"', form[0])[1]  # type: ignore[index]
    cut = client.get("/soda/sync", params={"ID": did("glass"), "CIRCLE": circle})
    assert fits.open(io.BytesIO(cut.content))[0].data.shape[0] < 64
    for address in re.findall(r'<th scope="row"><a rel="nofollow noopener" href="([^"]*)"', text):
        assert client.get(html.unescape(address)).status_code == 200


def test_the_page_of_a_signed_dataset_gives_links_that_work_and_is_not_kept(client: TestClient) -> None:
    answer = client.get("/dataset", params={"ID": did("signed")})
    assert "no-store" in answer.headers["cache-control"]
    (first, *_) = re.findall(r'<th scope="row"><a rel="nofollow noopener" href="([^"]*)"', answer.text)
    assert "sig=" in first and client.get(html.unescape(first)).status_code == 200


def test_what_is_not_public_yet_is_named_but_not_shown(client: TestClient) -> None:
    text = page(client, f"/dataset?ID={quote(did('held'), safe='')}")
    assert "public from 2999-01-01" in text
    # its small picture is everybody's, as in DataLink; the file, its header and cutouts are not
    assert 'href="/get/plates.held/held/a.fits"' not in text
    assert "TELESCOP" not in text and "/soda/sync" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/dataset",
        "/thumbnail",
        "/dataset?ID=x",
        "/thumbnail?ID=ivo://example.org/~?plates.glass/../x",
        "/dataset?ID=%00%27",
    ],
)
def test_datasets_that_are_not_there_are_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_query_shows_pictures_datasets_and_bibcodes(client: TestClient) -> None:
    text = client.post("/query", data={"QUERY": "SELECT access_url, obs_publisher_did FROM plates.glass"}).text
    assert text.count("/thumbnail?ID=") == 2
    assert f"/dataset?ID={quote(did('glass'), safe='')}" in html.unescape(text)
    text = client.post("/query", data={"QUERY": "SELECT s_ra, access_url AS there FROM plates.glass"}).text
    assert text.count("/thumbnail?ID=") == 2
    text = client.post("/query", data={"QUERY": "SELECT bib, doi FROM plates.stars"}).text
    assert (
        '<a rel="noopener noreferrer" href="https://ui.adsabs.harvard.edu/abs/2016A%26A...595A...1G/abstract">' in text
    )
    assert "&lt;script&gt;" in text and "<script>" not in text.split("<main")[1]


def test_a_file_of_a_query_has_whole_addresses(client: TestClient) -> None:
    answer = client.post("/query", data={"QUERY": "SELECT access_url FROM plates.glass", "FORMAT": "csv"})
    assert all(line.startswith("http://testserver/datalink/") for line in answer.text.split()[1:])


def test_pages_are_well_formed(client: TestClient) -> None:
    for path in ("/plates/glass", "/plates/stars", f"/dataset?ID={quote(did('glass'), safe='')}", "/ivoa/ObsCore"):
        text = re.sub(r"<!DOCTYPE html>", "", page(client, path))
        text = re.sub(r"<(meta|link|input|img)([^>]*)>", r"<\1\2/>", text)
        text = re.sub(r"\s(defer|required|selected|hidden)(?=[\s>/])", r' \1=""', text).replace("<wbr>", "")
        ElementTree.fromstring(re.sub(r"&(?!amp|lt|gt|quot|#)\w+;", "", text))


@pytest.mark.parametrize(
    ("text", "label", "address"),
    [
        (
            "2006AJ....132.2409N",
            "2006AJ....132.2409N",
            "https://ui.adsabs.harvard.edu/abs/2006AJ....132.2409N/abstract",
        ),
        ("doi:10.1086/508275", "doi:10.1086/508275", "https://doi.org/10.1086/508275"),
        ("https://doi.org/10.1086/508275", "doi:10.1086/508275", "https://doi.org/10.1086/508275"),
        ("10.1086/508275", "doi:10.1086/508275", "https://doi.org/10.1086/508275"),
        ("arXiv:2208.00211", "arXiv:2208.00211", "https://arxiv.org/abs/2208.00211"),
        ("https://example.org/x", "https://example.org/x", "https://example.org/x"),
        ("javascript:alert(1)", "javascript:alert(1)", None),
        ("Astronomers' lore, 1888", "Astronomers' lore, 1888", None),
    ],
)
def test_references_lead_where_they_are_read(text: str, label: str, address: str | None) -> None:
    found = reference(text)
    assert (found.label, found.address) == (label, address)


def test_what_is_no_bibcode_or_doi_is_no_link() -> None:
    assert bibcode_address("2006AJ....132.2409") is None and bibcode_address(None) is None
    assert bibcode_address("2016A&A...595A...1G\n") is not None
    assert (
        doi_address("10.1") is None
        and doi_address('10.1086/"><script>') == "https://doi.org/10.1086/%22%3E%3Cscript%3E"
    )


def test_positions_and_angles_as_people_read_them() -> None:
    assert sexagesimal(84.05338, -1.20192) == "05:36:12.81 -01:12:06.9"
    assert sexagesimal(359.9999999, 89.99999999) == "00:00:00.00 +90:00:00.0"
    assert sexagesimal(10.0, -0.5) == "00:40:00.00 -00:30:00.0"
    assert [angle(value) for value in (12.0, 0.5, 0.01)] == ["12\u00b0", "30'", '36"']
    assert instant(51544.5) == "2000-01-01 12:00:00" and instant(1e12) == "MJD 1e+12"
    assert frame_of_times(TimeFrame("x", "TDB", "BARYCENTER", "2454833.0")) == "TDB, barycenter, since JD 2454833.0"
    assert frame_of_times(TimeFrame("x", "UTC", "TOPOCENTER", "MJD-origin")) == "UTC, topocenter, MJD"


def test_days_and_wavelengths_as_people_read_them() -> None:
    assert (day(0.0), day(51544.5), day(1e12)) == ("1858-11-17", "2000-01-01", "MJD 1e+12")
    assert (wavelength(5.51e-7), wavelength(0.211), wavelength(1.2e-10), wavelength(21.0)) == (
        "551 nm",
        "21.1 cm",
        "120 pm",
        "21 m",
    )


def test_the_examples_of_a_resource_come_before_those_made_for_any_table(client: TestClient) -> None:
    document = ElementTree.fromstring(client.get("/tap/examples").content)
    text = " ".join("".join(document.itertext()).split())
    assert text.index("Old <plates>") < text.index("Ten rows of plates.glass")
    # it is about observations of all collections, and told once
    assert text.count("All observations") == 1 and "FROM plates.glass WHERE t_min < 20000" in text
    page = client.get("/plates/glass").text
    assert "Old &lt;plates&gt;" in page and "Before 1913" in page and "All observations" in page
    assert "Old &lt;plates&gt;" not in client.get("/plates/stars").text
