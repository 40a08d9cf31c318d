"""Harvard's plate archive in the sandbox, asked as its clients ask the real one, byte by byte."""

import base64
import gzip
import io
import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from skyvault.sandbox import Fault

RY_CNC = {"ra_deg": 129.97758, "dec_deg": 19.82192}


@pytest.fixture
def ask(sandbox):
    """``ask("querycat", ...)`` gives the status and the decoded answer."""

    def post(endpoint, **question):
        request = urllib.request.Request(
            f"{sandbox.url}/dasch/public/dasch/dr7/{endpoint}",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return post


def rows(lines):
    names = lines[0].split(",")
    return [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]


def test_every_answer_is_a_list_of_csv_lines_of_the_right_width(ask):
    status, stars = ask("querycat", refcat="apass", radius_arcsec=850, **RY_CNC)
    assert status == 200
    assert len(stars[0].split(",")) == 18
    star = next(row for row in rows(stars) if row["dra_asec"] == "0.0")
    _, exposures = ask("queryexps", **RY_CNC)
    assert len(exposures[0].split(",")) == 27
    assert len(rows(exposures)) > 200
    _, curve = ask(
        "lightcurve",
        refcat="apass",
        gsc_bin_index=int(star["gsc_bin_index"]),
        ref_number=int(star["ref_number"]),
    )
    assert len(curve[0].split(",")) == 64
    points = rows(curve)
    detected = [row for row in points if row["gsc_bin_index"]]
    assert len(detected) == int(star["num_matches"])
    # upper limits fill six cells only, and all is in the order of time
    assert all(list(row.values())[6:] == [""] * 58 for row in points if not row["gsc_bin_index"])
    days = [float(row["date_jd"]) for row in points]
    assert days == sorted(days)
    assert any(row["magcal_local_error"] == "99" for row in detected)


def test_stars_have_numbers_by_the_archives_own_rules(ask):
    from skyvault.sandbox.star_fields import gsc_bin_index, star_fields

    # four bins of the real catalogue
    assert gsc_bin_index(239.87567, 25.920169) == 121408110
    assert gsc_bin_index(0.0, -90.0) == 0
    field = star_fields()[0]
    assert field.ref_text[0] == "APASS_J083954.6+194918"
    assert str(field.ref_number[0]) == "408395461194918"
    _, stars = ask("querycat", refcat="apass", radius_arcsec=850, **RY_CNC)
    bins = [int(row["gsc_bin_index"]) for row in rows(stars)]
    assert bins == sorted(bins)
    assert {row["ref_text"][0] for row in rows(stars)} == {"A", "N"}


def test_dates_are_middles_and_may_be_asked_for(ask):
    _, all_of = ask("queryexps", **RY_CNC)
    _, some = ask("queryexps", midpoint_min="1930-01-01T00:00:00Z", midpoint_max="1940-01-01T00:00:00Z", **RY_CNC)
    wanted = [line for line in all_of[1:] if "1930" <= line.split(",")[10] < "1940"]
    assert some[1:] == wanted and wanted
    assert {row["wcssource"] for row in rows(all_of)} >= {"imwcs", "logbook"}


@pytest.mark.parametrize(
    ("endpoint", "question", "status", "told"),
    [
        ("querycat", {"refcat": "gaia", "radius_arcsec": 10, **RY_CNC}, 400, "refcat"),
        ("querycat", {"refcat": "apass", "radius_arcsec": 3600, **RY_CNC}, 400, "radius"),
        ("querycat", {"refcat": "apass", "radius_arcsec": 10, "ra_deg": 361, "dec_deg": 0}, 400, "ra_deg"),
        ("queryexps", {"ra_deg": "x", "dec_deg": 0}, 400, "ra_deg"),
        ("cutout", {"plate_id": "zz00001", "solution_number": 0}, 404, "no such plate"),
        ("mosaic_package", {"plate_id": "a00001", "binning": 2}, 404, "no such plate"),
        ("lightcurve", {"refcat": "apass", "ref_number": "1", "gsc_bin_index": 2}, 400, "integers"),
    ],
)
def test_errors_are_objects_with_their_status(endpoint, question, status, told, ask):
    code, document = ask(endpoint, **question)
    assert (code, document["status_code"]) == (status, status)
    assert told in document["error"]


def test_a_mosaic_comes_with_its_astrometry_and_a_link_that_expires(ask, sandbox):
    from astropy.io import fits
    from astropy.wcs import WCS

    _, exposures = ask("queryexps", **RY_CNC)
    one = next(row for row in rows(exposures) if row["series"] == "c" and row["solnum"] == "0")
    plate = f"c{int(one['platenum']):05d}"
    _, package = ask("mosaic_package", plate_id=plate, binning=1)
    metadata = package["metadata"]
    cards = gzip.decompress(base64.b64decode(metadata["astrometry"]["b01HeaderGz"])).decode("ascii").split("\n")
    assert all(len(card) == 80 for card in cards)
    header = fits.Header.fromstring("".join(cards))
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    with urllib.request.urlopen(package["baseFitsUrl"], timeout=20) as answer:
        body = answer.read()
    assert len(body) == package["baseFitsSize"]
    with fits.open(io.BytesIO(body)) as hdus:
        image = hdus[1].data
    assert image.shape == (metadata["mosaic"]["b01Height"], metadata["mosaic"]["b01Width"])
    solved = np.rot90(image, {90: -1, 180: 2, -180: 2, -90: 1}.get(metadata["astrometry"]["rotationDelta"], 0))
    x, y = WCS(header, key=" " if "CTYPE1A" not in header else "A").all_world2pix(129.97758, 19.82192, 0)
    near = solved[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9]
    assert near.max() > np.median(image) + 300
    # half of it, and what no longer works
    part = urllib.request.Request(package["baseFitsUrl"], headers={"Range": "bytes=100-199"})
    with urllib.request.urlopen(part, timeout=20) as answer:
        assert (answer.status, answer.read()) == (206, body[100:200])
    sandbox.faults.set(Fault("expired-links", archive="dasch"))
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        urllib.request.urlopen(package["baseFitsUrl"], timeout=20)
    with caught.value as page:
        assert b"Request has expired" in page.read()
    sandbox.faults.clear()
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        urllib.request.urlopen(package["baseFitsUrl"].replace("Signature=", "Signature=0"), timeout=20)
    caught.value.close()


def test_calibrations_and_plates_are_told_by_get(sandbox):
    with urllib.request.urlopen(f"{sandbox.url}/dasch/public/dasch/dr7/asset/photcal_asdf/{'0' * 32}") as answer:
        location = json.loads(answer.read())["location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read().startswith(b"#ASDF")
    with urllib.request.urlopen(f"{sandbox.url}/dasch/public/plates/p/i00003") as answer:
        plate = json.loads(answer.read())
    assert plate["telescope"].startswith("8-inch Draper")
    assert plate["location"]["lon"] < 0


def test_the_truth_tells_which_measurements_are_spoiled(sandbox):
    truth = sandbox.emulations["dasch"].truth
    seen = truth.measurements("HD 5501")
    good = seen.is_detected & ~seen.is_spoiled
    assert np.abs((seen.mag - seen.true_mag) / seen.error)[good].max() < 5.0
    assert np.abs(seen.mag - seen.true_mag)[seen.is_spoiled].min() > 0.3
    assert 0.03 < seen.is_spoiled.mean() < 0.12
    # its eclipses are in the plates
    assert seen.true_mag.max() - seen.true_mag.min() > 0.4
    variable = truth.field("HD 5501").variable
    assert (variable.period_d, variable.kind) == (7.5352272, "eclipsing")
