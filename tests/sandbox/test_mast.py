"""MAST and the catalogue of white dwarfs in the sandbox, asked as their clients ask the real ones."""

import gzip
import io
import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest


@pytest.fixture
def invoke(sandbox):
    def ask(service, **params):
        form = urllib.parse.urlencode({"request": json.dumps({"service": service, "params": params})}).encode()
        with urllib.request.urlopen(f"{sandbox.url}/mast/api/v0/invoke", form, timeout=20) as answer:
            return json.loads(answer.read())

    return ask


def test_targets_are_found_by_place_and_number(invoke):
    near = invoke("Mast.Catalogs.Tic.Cone", ra=63.37389, dec=-69.22679, radius=0.1)
    assert near["status"] == "COMPLETE"
    assert near["data"][0]["ID"] == 25155310
    assert near["paging"]["rows"] == len(near["data"])
    assert {field["name"] for field in near["fields"]} >= {"ID", "GAIAmag", "Tmag", "dstArcSec"}
    one = invoke("Mast.Catalogs.Filtered.Tic", columns="*", filters=[{"paramName": "ID", "values": ["25155310"]}])
    assert [row["ID"] for row in one["data"]] == [25155310]


def test_observations_lead_to_light_curves_and_pixels(invoke, sandbox):
    from astropy.io import fits

    rows = invoke(
        "Mast.Caom.Filtered",
        columns="*",
        filters=[
            {"paramName": "target_name", "values": ["25155310"]},
            {"paramName": "obs_collection", "values": ["TESS"]},
        ],
    )["data"]
    assert len(rows) == 4
    uri = next(row["dataURL"] for row in rows if row["dataURL"].endswith("s_lc.fits"))
    files = sandbox.endpoints()["mast"]["files"]
    with urllib.request.urlopen(f"{files}?uri={uri}", timeout=20) as answer:
        body = answer.read()
    truth = sandbox.emulations["mast"].truth
    first = min((o for o in truth.observations(25155310) if o.cadence_s == 120), key=lambda o: o.sector)
    with fits.open(io.BytesIO(body)) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "APERTURE"]
        assert hdus[0].header["TICID"] == 25155310
        assert hdus[1].header["BJDREFI"] == 2457000
        if hdus[0].header["SECTOR"] == first.sector:
            data = hdus[1].data
            told = truth.light_curve(first)
            good = (data["QUALITY"] == 0) & np.isfinite(data["PDCSAP_FLUX"])
            assert not told.is_spoiled[good].any()
            away = np.abs(data["PDCSAP_FLUX"][good] - told.true_flux[good]) / told.error[good]
            assert np.median(away) < 1.0
    products = invoke("Mast.Caom.Products", obsid=str(rows[0]["obsid"]))["data"]
    assert {one["productSubGroupDescription"] for one in products} == {"LC", "TP"}
    pixels = next(one["dataURI"] for one in products if one["productSubGroupDescription"] == "TP")
    with (
        urllib.request.urlopen(f"{files}?uri={pixels}", timeout=20) as answer,
        fits.open(io.BytesIO(answer.read())) as h,
    ):
        assert h["PIXELS"].data["FLUX"].shape == (50, 11, 11)


def test_what_is_not_there_is_told(invoke, sandbox):
    assert invoke("Mast.Nothing", a=1)["status"] == "ERROR"
    assert invoke("Mast.Caom.Cone", ra="x", dec=0)["status"] == "ERROR"
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{sandbox.endpoints()['mast']['files']}?uri=mast:TESS/product/../x", timeout=20)
    caught.value.close()


def test_white_dwarfs_come_as_a_packed_fits_table(sandbox):
    from astropy.io import fits

    with urllib.request.urlopen(sandbox.endpoints()["catalogs"]["white_dwarfs"], timeout=20) as answer:
        body = answer.read()
    with fits.open(io.BytesIO(gzip.decompress(body))) as hdus:
        rows = hdus[1].data
        needed = {f"phot_{band}_mean_mag{kind}" for band in ("g", "bp", "rp") for kind in ("", "_error")}
        assert needed | {"source_id", "ra", "dec", "pmra", "pmdec", "parallax"} <= set(rows.names)
        assert np.all(np.diff(rows["ra"]) >= 0)
        known = {int(one.ids["Gaia DR3"]) for one in sandbox.emulations["catalogs"].truth}
        assert known <= {int(number) for number in rows["source_id"]}
        assert len(np.unique(rows["source_id"])) == len(rows) > 1000
