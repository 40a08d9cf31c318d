"""The Rubin-like archive: who gets in, what links look like, signatures that expire, cutouts."""

import io
from xml.etree import ElementTree

import pytest
import requests
from astropy.io import fits
from astropy.wcs import WCS

from skyvault.sandbox import Fault
from skyvault.sandbox.rubin import MOST_IDS, TOKEN
from skyvault.sandbox.rubin_sky import detector_name, exposures, images
from skyvault.sandbox.rubin_tables import link_id

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def at(sandbox):
    return sandbox.endpoints()["rubin"]


def test_who_has_no_token_is_asked_for_one(at):
    answer = requests.get(f"{at['tap']}/tables", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sandbox"'
    wrong = requests.get(f"{at['tap']}/tables", headers={"Authorization": "Bearer other"}, timeout=10)
    assert wrong.status_code == 401 and "invalid_token" in wrong.headers["WWW-Authenticate"]
    assert requests.get(f"{at['tap']}/tables", headers=BEARER, timeout=10).status_code == 200


@pytest.mark.parametrize("resource", ["availability", "capabilities"])
def test_what_a_client_must_know_first_is_open(at, resource):
    assert requests.get(f"{at['tap']}/{resource}", timeout=10).status_code == 200
    assert requests.get(f"{at['tap']}/{resource}", headers=BEARER, timeout=10).status_code == 200


def links_of(at, *ids):
    answer = requests.post(at["datalink"], data=[("ID", one) for one in ids], headers=BEARER, timeout=10)
    assert answer.headers["content-type"].replace(" ", "") == "application/x-votable+xml;content=datalink"
    root = ElementTree.fromstring(answer.text)
    space = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
    rows = [[cell.text or "" for cell in row] for row in root.iterfind(".//v:TR", space)]
    statuses = [info.get("value") for info in root.iterfind(".//v:INFO[@name='QUERY_STATUS']", space)]
    return rows, statuses


def test_links_are_a_signed_file_and_a_cutout(at):
    image = exposures()[0][1]
    rows, statuses = links_of(at, link_id(image))
    assert [(row[0], row[4]) for row in rows] == [(link_id(image), "#this"), (link_id(image), "#cutout")]
    assert rows[1][2] == "cutout" and statuses == ["OK"]


def test_many_identifiers_are_cut_and_none_within(at):
    rows, statuses = links_of(at, *(link_id(image) for image in images()[: MOST_IDS + 5]))
    assert len(rows) == 2 * MOST_IDS and statuses == ["OK", "OVERFLOW"]


def test_an_unknown_identifier_has_an_error_message(at):
    rows, _ = links_of(at, "butler://dp02/nothing")
    assert rows[0][3].startswith("NotFoundFault")


def test_signed_files_need_no_token_and_come_in_ranges(at):
    url = links_of(at, link_id(exposures()[0][1]))[0][0][1]
    whole = requests.get(url, timeout=10)
    part = requests.get(url, headers={"Range": "bytes=100-199"}, timeout=10)
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[100:200]
    assert requests.get(url, headers=BEARER, timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [(("Expires=3600", "Expires=360000"), 403), (("Signature=", "Signature=0"), 403), ((".fits", "x.fits"), 403)],
)
def test_a_changed_link_is_refused(at, change, status):
    url = links_of(at, link_id(exposures()[0][1]))[0][0][1]
    assert requests.get(url.replace(*change), timeout=10).status_code == status


def test_an_expired_link_is_answered_as_object_stores_do(at, sandbox):
    url = links_of(at, link_id(exposures()[0][1]))[0][0][1]
    sandbox.faults.set(Fault("expired-links", archive="rubin", times=1))
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 400 and "<Code>ExpiredToken</Code>" in answer.text
    assert requests.get(url, timeout=10).status_code == 200


def test_a_cutout_is_a_part_with_its_own_wcs(at):
    image = exposures()[0][1]
    circle = {"ID": link_id(image), "CIRCLE": f"{image.ra_deg} {image.dec_deg} 0.02"}
    answer = requests.get(at["cutout"], params=circle, headers=BEARER, timeout=10)
    with fits.open(io.BytesIO(answer.content), memmap=False) as hdus:
        assert hdus[1].data.shape[0] < 80
        _, dec = WCS(hdus[1].header).all_pix2world(*((n - 1) / 2 for n in hdus[1].data.shape[::-1]), 0)
    assert abs(float(dec) - image.dec_deg) < 1e-3
    off = {"ID": link_id(image), "CIRCLE": "10 10 0.01"}
    assert requests.get(at["cutout"], params=off, headers=BEARER, timeout=10).status_code == 204
    assert requests.get(at["cutout"], params={"ID": link_id(image)}, headers=BEARER, timeout=10).status_code == 400


def test_images_are_the_same_every_time():
    from skyvault.sandbox.rubin_images import file_bytes

    image = exposures()[0][1]
    assert file_bytes(image) == file_bytes(image)


def test_detectors_have_their_names():
    assert (detector_name(78), detector_name(112), detector_name(188)) == ("R20_S20", "R24_S11", "R43_S22")
