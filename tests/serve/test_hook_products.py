"""What functions of hooks.py make on demand: products behind links, services on datasets, spectra without files."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits, votable

from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource

RESOURCE = """\
schema: rome
title: Photometry of microlensing fields
description: Brightness of stars in the bulge over three seasons, with light curves made on demand from HDF5.
tables:
  points:
    source: points.csv
    columns: {mjd: {unit: d, ucd: time.epoch}, mag: {unit: mag, ucd: phot.mag;em.opt.I, description: Brightness}}
files:
  light_curves:
    kind: timeseries
    rows: stars
    make: light_curve
    map: {t_min: 57000, t_max: 58000, facility_name: LCO}
  from_table:
    kind: timeseries
    rows: stars.csv
    id: "= 'star ' + str(number)"
    make: points_of
    map: {s_ra: '= lon', s_dec: '= lat', target_name: "= 'R' + str(number)"}
    extra: {number: {value: '= number', type: long, description: Number}}
  spectra:
    kind: spectra
    rows: black_bodies
    make: black_body
    content_type: text/csv
    links: signed
  held:
    kind: spectra
    rows: black_bodies
    make: black_body
    embargo: '2099-01-01'
    services: [{name: again, hook: black_body}]
  images:
    files: '*.fits'
    hook: titled
    companions:
      - {semantics: '#auxiliary', hook: sum_of, content_type: text/plain, description: Sum of the pixels}
    services:
      - name: extract
        hook: extract
        description: Counts around the middle
        content_type: application/json
        parameters:
          RADIUS: {type: real, unit: pix, ucd: phys.angSize, min: 0.5, max: 20, default: 3, description: Aperture}
          METHOD: {values: [sum, mean]}
          deeds: {type: text}
services: [soda, ssa]
"""
HOOKS = '''\
import os
import time

import h5py
import numpy as np

from skyvault.errors import UsageError


def get_photpoints(folder, field, number):
    """The points of one star as an array (n, 3): time, brightness, error; what is missing is NaN."""
    with h5py.File(folder / f"data/field{field:02d}.hdf5") as file:
        _, found = next(iter(file.items()))
        points = np.array(found[number - 1], float)
    points[(points == 0) | (points == -9999.99)] = np.nan
    return points


def get_photpoints_for_rome_id(folder, rome_id):
    return get_photpoints(folder, rome_id // 1_000_000, rome_id % 1_000_000)


def stars(context):
    # the same function as below: shared by ingest and products
    for rome_id in (1_000_001, 1_000_002, 2_000_001):
        points = get_photpoints_for_rome_id(context.folder, rome_id)
        yield {"id": str(rome_id), "s_ra": 269.0 + rome_id % 10, "s_dec": -30.0, "rome_id": rome_id,
               "t_xel": int(np.isfinite(points[:, 1]).sum()), "mean_mag": float(np.nanmean(points[:, 1]))}


def light_curve(row, context):
    from astropy.table import Table

    points = get_photpoints_for_rome_id(context.folder, row["rome_id"])
    good = np.isfinite(points).all(axis=1)
    return Table(points[good], names=["mjd", "mag", "error"], units=["d", "mag", "mag"])


def points_of(row, context):
    return context.query(f"SELECT mjd, mag FROM rome.points WHERE number = {row['number']} ORDER BY mjd")


def black_bodies():
    for kelvin in (3000, 6000):
        yield {"id": f"bb/{kelvin} K", "s_ra": 10.0, "s_dec": 20.0, "em_min": 4e-7, "em_max": 8e-7, "kelvin": kelvin}


def black_body(row):
    waves = np.linspace(row["em_min"], row["em_max"], 5)
    flux = waves**-5 / np.expm1(0.0143877 / waves / row["kelvin"])
    return "wavelength,flux\\n" + "".join(f"{w},{f}\\n" for w, f in zip(waves, flux))


def titled(row, path, header, context):
    row["target_name"] = context.resource["title"]
    row["o_stars"] = len(context.query("SELECT DISTINCT number FROM rome.points"))
    return row


def sum_of(path):
    from astropy.io import fits

    return str(fits.getdata(path).sum())


def extract(path, RADIUS, METHOD="sum", deeds=None, row=None):
    import json

    from astropy.io import fits

    if deeds == "note and hang":
        path.with_name("pid").write_text(str(os.getpid()))
        deeds = "hang"
    if deeds == "hang":
        while True:
            time.sleep(1)
    if deeds == "die":
        os._exit(3)
    if deeds == "eat":
        eaten = np.ones(20_000_000_000 // 8)
    if deeds == "flood":
        return (b"x" * 1_000_000 for _ in range(100_000))
    if deeds == "fail":
        return {}["secret/place"]
    if deeds == "refuse":
        raise UsageError("this image has no star in the middle", hint="Take another.")
    if deeds == "nothing":
        return None
    print("seen", path.name)
    data = fits.getdata(path)
    y, x = np.indices(data.shape)
    inside = np.hypot(x - 9.5, y - 9.5) <= RADIUS
    return json.dumps({"value": float(getattr(data[inside], METHOD)()), "name": row["obs_id"], "pid": os.getpid()})
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rome")
    (folder / "resource.yaml").write_text(RESOURCE)
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "data").mkdir()
    rng = np.random.default_rng(1)
    for field in (1, 2):
        points = np.stack(
            [57000 + np.sort(rng.random((2, 50))) * 1000, 18 + rng.normal(0, 0.1, (2, 50)), np.full((2, 50), 0.1)], 2
        )
        points[:, 7] = -9999.99
        with h5py.File(folder / "data" / f"field{field:02d}.hdf5", "w") as file:
            file["photometry"] = points
    (folder / "points.csv").write_text(
        "number,mjd,mag\n" + "".join(f"{n},{57000 + i},{15 + n + i / 10}\n" for n in (1, 2) for i in range(4))
    )
    (folder / "stars.csv").write_text("number,lon,lat\n1,30.0,5.0\n2,31.0,5.0\n")
    hdu = fits.PrimaryHDU(np.arange(400, dtype=np.int16).reshape(20, 20))
    hdu.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=10.5, CRPIX2=10.5,
                      CDELT1=-0.01, CDELT2=0.01)  # fmt: skip
    hdu.writeto(folder / "a.fits")
    done = publish_resource(folder, settings=Settings(home=folder / "home"))
    assert done.problems == []
    return folder


@pytest.fixture(scope="module")
def base(folder: Path, start_server: Callable[..., Any]) -> str:
    return str(start_server(folder / "home", SKYVAULT_SYNC_TIME_S="8", SKYVAULT_HOOK_RESULT_BYTES="20MB").base_url)


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read()


def until(true: Callable[[], Any], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    wait = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        wait.wait(0.02)
    return True


def of_kind(links: Any, semantics: str) -> list[Any]:
    # pyvo's own way asks the vocabulary's site
    return [link for link in links if link["semantics"] == semantics]


def url_of(base: str, **values: Any) -> str:
    did = "ivo://skyvault.invalid/~?rome.images/a.fits"
    return f"{base}/soda/sync?" + urllib.parse.urlencode({"ID": did, "SERVICE": "extract", **values})


# --- products ------------------------------------------------------------------------------------------------------


def test_photometry_points_by_id_are_made_of_hdf5_when_somebody_asks(base: str, folder: Path) -> None:
    import pyvo

    rows = pyvo.dal.TAPService(f"{base}/tap").search("SELECT * FROM rome.light_curves WHERE rome_id = 1000002")
    assert rows["t_xel"][0] == 49 and rows["mean_mag"][0] == pytest.approx(18, abs=0.1)
    links = next(rows.iter_datalinks())
    this = of_kind(links, "#this")[0]
    assert this["content_type"] == "application/x-votable+xml"
    with urllib.request.urlopen(this.access_url) as answer:
        assert answer.headers["content-type"].startswith("application/x-votable+xml")
        table = votable.parse_single_table(io.BytesIO(answer.read())).to_table()
    with h5py.File(folder / "data" / "field01.hdf5") as file:
        wanted = np.delete(file["photometry"][1], 7, axis=0)
    assert str(table["mag"].unit) == "mag" and np.allclose(table["mjd"], wanted[:, 0])


def test_a_query_s_result_keeps_the_units_of_the_published_table(base: str) -> None:
    status, body = fetch(f"{base}/get/rome.from_table/star%202")
    assert status == 200, body
    table = votable.parse_single_table(io.BytesIO(body)).to_table()
    assert list(table["mag"]) == pytest.approx([17.0, 17.1, 17.2, 17.3]) and table["mag"].unit == "mag"
    assert table["mag"].description == "Brightness"


def test_a_companion_is_made_of_the_file(base: str) -> None:
    import pyvo

    (links,) = pyvo.dal.TAPService(f"{base}/tap").search("SELECT * FROM rome.images").iter_datalinks()
    (link,) = of_kind(links, "#auxiliary")
    assert fetch(link.access_url) == (200, str(sum(range(400))).encode())


def test_spectra_without_files_are_found_by_ssa_and_made_when_fetched(base: str) -> None:
    import pyvo

    found = pyvo.dal.SSAService(f"{base}/ssa?").search(pos=(10.0, 20.0), diameter=0.1, COLLECTION="rome.spectra")
    assert len(found) == 2 and set(found["mime"]) == {"text/csv"}
    address = found[0].getdataurl()
    # the collection's links are signed, and so are these
    assert "sig=" in address
    status, body = fetch(address)
    assert status == 200 and body.startswith(b"wavelength,flux\n4e-07,") and len(body.splitlines()) == 6
    assert fetch(address.partition("?")[0])[0] == 403
    assert fetch(address.replace("3000", "6000") if "3000" in address else address.replace("6000", "3000"))[0] == 403


def test_a_hook_at_ingest_may_ask_what_is_published(base: str) -> None:
    import pyvo

    (row,) = pyvo.dal.TAPService(f"{base}/tap").search("SELECT target_name, o_stars FROM rome.images")
    assert (row["target_name"], row["o_stars"]) == ("Photometry of microlensing fields", 2)


def test_what_is_not_public_yet_is_not_made_either(base: str) -> None:
    import pyvo

    rows = pyvo.dal.TAPService(f"{base}/tap").search("SELECT * FROM rome.held")
    did = str(rows["obs_publisher_did"][0])
    for url in (
        f"{base}/get/rome.held/bb/3000%20K",
        f"{base}/soda/sync?" + urllib.parse.urlencode({"ID": did, "SERVICE": "again"}),
    ):
        status, body = fetch(url)
        assert status == 403 and "not public before 2099-01-01" in body.decode()
    links = next(rows.iter_datalinks())
    assert [bool(link["link_authorized"]) for link in links] == [False, False]


# --- services ------------------------------------------------------------------------------------------------------


def test_a_service_is_described_beside_the_links_and_done_by_pyvo(base: str) -> None:
    import pyvo

    (links,) = pyvo.dal.TAPService(f"{base}/tap").search("SELECT * FROM rome.images").iter_datalinks()
    procs = of_kind(links, "#proc")
    assert [(one["local_semantics"], one["content_type"]) for one in procs] == [("extract", "application/json")]
    text = urllib.request.urlopen(f"{base}/datalink/links?ID={urllib.parse.quote(procs[0]['ID'])}").read().decode()
    assert 'ID="extract-rome-images"' in text and 'name="SERVICE"' in text and 'value="extract"' in text
    assert '<MIN value="0.5"/>' in text and '<OPTION name="sum" value="sum"/>' in text and "(default: 3)" in text
    service = links.get_adhocservice_by_id("extract-rome-images")
    # what the descriptor says is enough for pyvo to ask
    asked = pyvo.dal.adhoc.DatalinkQuery.from_resource([procs[0]], service, RADIUS=0.8, METHOD="mean")
    assert asked.baseurl == f"{base}/soda/sync" and asked["SERVICE"] == "extract"
    assert json.loads(asked.execute_raw())["value"] == 199.5
    # the cutout is still the first of its kind
    assert len(of_kind(links, "#cutout")) == 2


@pytest.mark.parametrize(
    ("values", "status", "told"),
    [
        ({}, 200, '"name": "a"'),
        ({"radius": "0.8"}, 200, '"value": 798.0'),
        ({"RADIUS": "0.8", "METHOD": "MEAN"}, 200, '"value": 199.5'),
        ({"RADIUS": "50"}, 400, "UsageError: RADIUS='50' is not valid. It must be at most 20"),
        ({"RADIUS": "red"}, 400, "It must be a number"),
        ({"METHOD": "guess"}, 400, "one of sum, mean"),
        ({"SERVICE": "other"}, 400, "SERVICE='other' is none for the datasets of rome.images. There are extract"),
        ({"ID": "ivo://x/y"}, 404, "there is no dataset"),
        ({"deeds": "refuse"}, 400, "this image has no star in the middle. Take another."),
        ({"deeds": "nothing"}, 404, "there is nothing of this dataset"),
        ({"deeds": "fail"}, 500, "the function extract of this resource failed"),
        ({"deeds": "die"}, 500, "the function extract ended its process"),
        ({"deeds": "eat"}, 500, "failed"),
        ({"deeds": "flood"}, 500, "failed"),
    ],
)
def test_what_a_service_answers(base: str, values: dict[str, str], status: int, told: str) -> None:
    found, body = fetch(url_of(base, **values))
    assert found == status and told in body.decode() and b"secret" not in body and b"Traceback" not in body


def test_a_hook_that_hangs_is_ended_and_others_are_served_meanwhile(base: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        hanging = pool.submit(fetch, url_of(base, deeds="hang"))
        assert fetch(url_of(base))[0] == 200
        assert time.monotonic() - began < 7
        status, body = hanging.result(30)
    assert status == 400 and "took too long" in body.decode()
    assert fetch(url_of(base))[0] == 200


def test_processes_are_kept_for_the_next_product(base: str) -> None:
    made = [json.loads(fetch(url_of(base))[1])["pid"] for _ in range(6)]
    assert len(set(made)) <= 2


def test_a_job_makes_one_result_for_each_dataset_and_can_be_aborted(base: str) -> None:
    def post(url: str, **values: str) -> str:
        return str(urllib.request.urlopen(url, urllib.parse.urlencode(values).encode()).geturl())

    did = "ivo://skyvault.invalid/~?rome.images/a.fits"
    job = post(f"{base}/soda/async", ID=did, SERVICE="extract", METHOD="mean", PHASE="RUN")
    assert fetch(f"{job}?WAIT=20")[0] == 200 and fetch(f"{job}/phase")[1] == b"COMPLETED"
    assert json.loads(fetch(f"{job}/results/result")[1])["value"] == pytest.approx(199.5)
    job = post(f"{base}/soda/async", ID=did, SERVICE="extract", deeds="hang", PHASE="RUN")
    fetch(f"{job}?WAIT=20&PHASE=QUEUED")
    post(f"{job}/phase", PHASE="ABORT")
    fetch(f"{job}?WAIT=20&PHASE=EXECUTING")
    assert fetch(f"{job}/phase")[1] == b"ABORTED"
    job = post(f"{base}/soda/async", ID=did, SERVICE="extract", RADIUS="99", PHASE="RUN")
    fetch(f"{job}?WAIT=20")
    assert b"at most 20" in fetch(f"{job}/error")[1]


def test_a_hook_ends_with_the_server_that_is_killed(folder: Path, start_server: Callable[..., Any]) -> None:
    server = start_server(folder / "home")
    noted = folder / "pid"
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(fetch, url_of(server.base_url, deeds="note and hang"))
        assert until(lambda: noted.exists() and noted.read_text())
        pid = int(noted.read_text())
        assert Path(f"/proc/{pid}").exists()
        server.process.kill()
        with pytest.raises(OSError):
            hanging.result(30)
    assert until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())


# --- rows ----------------------------------------------------------------------------------------------------------


def test_rows_that_changed_are_taken_anew_and_those_that_vanished_are_gone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    (tmp_path / "stars.csv").write_text("id,s_ra,s_dec\na,1,2\nb,3,4\nc,5,6\n")
    (tmp_path / "hooks.py").write_text("def made(row):\n    return 'x'\n")
    (tmp_path / "resource.yaml").write_text(
        "schema: few\ntitle: t\ndescription: d\nfiles:\n  rows: {kind: spectra, rows: stars.csv, make: made}\n"
    )
    first = publish_resource(tmp_path, settings=settings).collections[0].ingested
    (tmp_path / "stars.csv").write_text("id,s_ra,s_dec\na,1,2\nb,3,5\nd,,6\n")
    second = publish_resource(tmp_path, settings=settings).collections[0]
    assert (first.read, second.ingested.read, second.ingested.known, second.ingested.vanished) == (3, 2, 1, 1)
    assert second.rows == 2
    assert second.ingested.problems == (("d", "it does not say where it is: map s_ra and s_dec"),)


@pytest.mark.parametrize(
    ("rows", "hooks", "told"),
    [
        ("made", "def made():\n    yield 3\n", "gave int, not a row"),
        ("made", "def made():\n    return 3\n", "gave int, not rows"),
        ("made", "def made():\n    yield {'s_ra': 1}\n", "a row has no identifier"),
        ("made", "def made():\n    yield {'id': 'a'}\n    yield {'id': 'a'}\n", "two rows are called 'a'"),
        ("made", "def made():\n    yield {'id': 1 / 0}\n", "hooks.py, line 2: ZeroDivisionError"),
        ("made", "def other():\n    pass\n", "there is no function 'made' in it"),
        ("made", "def made(a, b):\n    pass\n", "the function made cannot be called as a hook"),
        ("none.csv", "", "there is no file 'none.csv'"),
        ("../none.csv", "", "there is no file '../none.csv'"),
        ("SELECT nothing FROM nowhere", "def made(row):\n    pass\n", "nowhere"),
    ],
)
def test_rows_that_cannot_be_had_are_a_sentence(tmp_path: Path, rows: str, hooks: str, told: str) -> None:
    from skyvault.errors import SkyvaultError

    (tmp_path / "hooks.py").write_text(hooks)
    (tmp_path / "resource.yaml").write_text(
        f"schema: few\ntitle: t\ndescription: d\nfiles:\n  some: {{kind: spectra, rows: {rows}, make: made}}\n"
    )
    with pytest.raises(SkyvaultError) as caught:
        publish_resource(tmp_path, settings=Settings(home=tmp_path / "home"))
    assert told in str(caught.value)
