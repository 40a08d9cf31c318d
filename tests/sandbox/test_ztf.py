"""ZTF at IRSA in the sandbox: light curves in three formats, the list of images, and the images."""

import csv
import io
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

PLACE = "CIRCLE 129.97758 19.82192 0.0005"


def get(sandbox, service, **asked):
    address = sandbox.endpoints()["ztf"][service]
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(asked)}", timeout=20) as answer:
        return answer.read()


def table(body):
    return list(csv.DictReader(io.StringIO(body.decode())))


def test_light_curves_come_in_every_format(sandbox):
    from astropy.table import Table

    plain = table(get(sandbox, "lightcurves", POS=PLACE, FORMAT="CSV"))
    votable = Table.read(io.BytesIO(get(sandbox, "lightcurves", POS=PLACE)), format="votable")
    ipac = Table.read(get(sandbox, "lightcurves", POS=PLACE, FORMAT="IPAC_TABLE").decode(), format="ascii.ipac")
    assert len(plain) == len(votable) == len(ipac) > 100
    assert [row["oid"] for row in plain] == [str(oid) for oid in votable["oid"]]
    assert set(plain[0]) == set(ipac.colnames)


def test_objects_bands_and_flags_choose_rows(sandbox):
    truth = sandbox.emulations["ztf"].truth
    oids = truth.oids("V* RY Cnc", "zr")
    body = get(sandbox, "lightcurves", ID=",".join(map(str, oids)), FORMAT="CSV")
    rows = table(body)
    assert body.endswith(b"\n")
    assert {row["filtercode"] for row in rows} == {"zr"}
    assert table(get(sandbox, "lightcurves", ID=oids[0], BANDNAME="g", FORMAT="CSV")) == []
    clean = table(get(sandbox, "lightcurves", ID=oids[0], BAD_CATFLAGS_MASK=32768, FORMAT="CSV"))
    seen = truth.measurements(oids[0])
    assert len(clean) == int((~seen.is_spoiled).sum())
    assert np.abs((seen.mag - seen.true_mag) / seen.error)[~seen.is_spoiled].max() < 5.0


@pytest.mark.parametrize("asked", [{"POS": "CIRCLE 1 2 0.5"}, {"POS": "BOX 1 2"}, {"POS": PLACE, "FORMAT": "XLS"}])
def test_what_the_service_cannot_do_is_an_error_votable(asked, sandbox):
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        get(sandbox, "lightcurves", **asked)
    with caught.value as page:
        assert b'QUERY_STATUS" value="ERROR"' in page.read()


def test_images_have_the_names_and_the_sky_the_list_promises(sandbox):
    from astropy.io import fits
    from astropy.wcs import WCS

    rows = table(get(sandbox, "search", POS="129.97758,19.82192", ct="csv"))
    assert len(rows) > 250
    row = next(r for r in rows if r["filtercode"] == "zr")
    day = row["filefracday"]
    name = (
        f"ztf_{day}_{int(row['field']):06d}_zr_c{int(row['ccdid']):02d}_{row['imgtypecode']}_q{row['qid']}_sciimg.fits"
    )
    address = f"{sandbox.endpoints()['ztf']['files']}sci/{day[:4]}/{day[4:8]}/{day[8:]}/{name}"
    with urllib.request.urlopen(address, timeout=20) as answer:
        body = answer.read()
    with fits.open(io.BytesIO(body)) as hdus:
        image, wcs = hdus[0].data, WCS(hdus[0].header)
        assert hdus[0].header["FIELDID"] == int(row["field"])
    x, y = wcs.all_world2pix(129.97758, 19.82192, 0)
    assert image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].max() > np.median(image) + 100
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(address.replace("ztf_2", "ztf_3"), timeout=20)
    caught.value.close()
