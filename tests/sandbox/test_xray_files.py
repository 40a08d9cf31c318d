"""The X-ray archives' files: pages, packing, parts and logins as at the archive, and true FITS inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import NotFound
from skyvault.net.lzw import unlzw
from skyvault.sandbox import tiles
from skyvault.sandbox.event_files import HeldFile, Seen, unpacked
from skyvault.sandbox.file_answers import file_answer
from skyvault.sandbox.heasarc import TABLES, Heasarc
from skyvault.sandbox.index_pages import rounded_size
from skyvault.sandbox.lzw_writer import lzw
from skyvault.sandbox.past_missions import UNREVISED_ROSAT
from skyvault.sandbox.present_missions import BIG_CHANDRA, UNSCREENED_NUSTAR

BIG = f"chandra/data/byobsid/{BIG_CHANDRA[-1]}/{BIG_CHANDRA}/primary/acisf{BIG_CHANDRA}N003_evt2.fits.gz"


@dataclass
class Page:
    status: int
    headers: Any
    body: bytes

    @property
    def links(self) -> list[str]:
        return re.findall(r'href="([^"]+)"', self.body.decode())


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *others: Any) -> None:
        return None


def fetch(url: str, method: str = "GET", **headers: str) -> Page:
    request = urllib.request.Request(
        url, method=method, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.build_opener(_Stay).open(request) as answer:
            return Page(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.headers, error.read())


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def files(sandbox: Any) -> str:
    return str(sandbox.endpoints()["heasarc"]["files"])


@pytest.fixture
def heasarc(sandbox: Any) -> Heasarc:
    one = sandbox.emulations["heasarc"]
    assert isinstance(one, Heasarc)
    return one


def opened(name: str, body: bytes) -> bytes:
    if name.endswith((".gz", ".FTZ")):
        return gzip.decompress(body)
    return b"".join(unlzw(io.BytesIO(body))) if name.endswith(".Z") else body


# --- packing ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=3000) | st.text("ab", max_size=20_000).map(str.encode))
def test_what_is_packed_as_compress_does_unpacks_again(data: bytes) -> None:
    assert b"".join(unlzw(io.BytesIO(lzw(data)))) == data


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 767, 768, 769, 200_000])
def test_packing_is_right_where_the_width_of_codes_grows(size: int) -> None:
    data = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(size // 32 + 1))[:size]
    assert b"".join(unlzw(io.BytesIO(lzw(data)))) == data


def test_bodies_are_the_same_each_time(heasarc: Heasarc) -> None:
    obs_id = heasarc.observations("asca")[0]
    first = heasarc.files_of("asca", obs_id)
    again = Heasarc(heasarc.place).files_of("asca", obs_id)
    assert {name: hashlib.sha256(body).hexdigest() for name, body in first.items()} == {
        name: hashlib.sha256(body).hexdigest() for name, body in again.items()
    }


# --- what is inside --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mission", TABLES)
def test_every_kind_of_file_opens_with_astropy_and_its_checksums_are_right(heasarc: Heasarc, mission: str) -> None:
    from astropy.io import fits

    obs_id = heasarc.observations(mission)[0]
    files = heasarc.files_of(mission, obs_id)
    assert sum(map(len, files.values())) > 50_000
    events = 0
    for name, body in files.items():
        content = opened(name, body)
        if not content.startswith(b"SIMPLE"):
            continue
        with fits.open(io.BytesIO(content), checksum=True) as hdus:
            hdus.verify("exception")
            assert hdus[0].header["OBS_ID"] == obs_id
            for hdu in hdus:
                if hdu.data is not None:
                    assert len(hdu.data) > 0
            names = [hdu.name for hdu in hdus]
            if {"EVENTS", "STDEVT"} & set(names):
                events += 1
                assert names[2] in ("GTI", "STDGTI")
                table = hdus[1]
                column = next(c for c in table.columns.names if c.upper() == "TIME")
                times = table.data[column]
                assert (times[1:] >= times[:-1]).all()
                inside = sum((times >= row["START"] - 1e-6) & (times <= row["STOP"] + 1e-6) for row in hdus[2].data)
                assert (inside == 1).all()
                assert table.header["TSTART"] <= times[0] and times[-1] <= table.header["TSTOP"]
    assert events >= 1


def test_images_and_event_lists_lie_on_the_sky_where_the_table_says() -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    seen = Seen("swift", "00035012001", "CRAB", 83.6331, 22.0145, 55000.25, 1234.5)
    with fits.open(io.BytesIO(unpacked(seen, HeldFile("xpc_sk.img", "image", "XRT")))) as hdus:
        middle = WCS(hdus[0].header).pixel_to_world(31.5, 31.5)
        assert (middle.ra.deg, middle.dec.deg) == pytest.approx((83.6331, 22.0145))
        image = hdus[0].data
        assert image[28:36, 28:36].sum() > 10 * image[:8, :8].sum()
    with fits.open(io.BytesIO(unpacked(seen, HeldFile("xpc_cl.evt", "events", "XRT")))) as hdus:
        header, columns = hdus[1].header, hdus[1].columns.names
        number = columns.index("X") + 1
        assert header[f"TCTYP{number}"] == "RA---TAN" and header[f"TCRVL{number}"] == 83.6331
        assert header[f"TLMIN{number}"] <= hdus[1].data["X"].min()
        assert hdus[1].data["X"].max() <= header[f"TLMAX{number}"]
        assert header["EXPOSURE"] == 1234.5


def test_times_in_files_are_those_of_the_table_in_the_missions_own_scale() -> None:
    from astropy.io import fits
    from astropy.time import Time

    for mission, scale in (("swift", "TT"), ("erosita", "TT"), ("rosat_pointed", "UTC"), ("nustar_pointed", "TT")):
        for mjd in (48500.5, 51179.000001, 55000.25, 60000.75):
            seen = Seen(mission, "1", "CRAB", 83.6331, 22.0145, mjd, 1234.5)
            with fits.open(io.BytesIO(unpacked(seen, HeldFile("cl.evt", "events")))) as hdus:
                header = hdus[1].header
                assert header["TIMESYS"] == scale
                reference = Time(header["MJDREFI"], header["MJDREFF"], format="mjd", scale=scale.lower())
                start = Time(mjd, format="mjd", scale="utc")
                # without leap seconds where a clock follows UTC
                since = (getattr(start, scale.lower()).mjd - reference.mjd) * 86400.0
                assert header["TSTART"] == pytest.approx(since, abs=5e-3)
                told = Time(header["DATE-OBS"], scale=scale.lower())
                assert abs((told - start).sec) < 2e-3
                assert header["MJD-OBS"] == pytest.approx(told.mjd, abs=1e-8)
                assert header["DATEREF"] == Time(reference, precision=3).isot


def test_event_lists_of_erosita_name_the_telescopes_that_were_on(sandbox: Any) -> None:
    from astropy.io import fits

    body = sandbox.emulations["erosita"].files_of("erosita_calpv", "700199")["fm00_700199_020_EventList_c001.fits"]
    with fits.open(io.BytesIO(body)) as hdus:
        assert set(hdus[1].data["TM_NR"].tolist()) == {1, 2, 3, 4, 6}


# --- HEASARC's directories -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mission", TABLES)
def test_a_walk_over_index_pages_finds_every_file(files: str, heasarc: Heasarc, mission: str) -> None:
    obs_id = heasarc.observations(mission)[1]
    base = f"{files}{heasarc.path_of(mission, obs_id)}/"

    def walk(url: str) -> dict[str, Page]:
        found: dict[str, Page] = {}
        page = fetch(url)
        assert page.status == 200 and b"Index of" in page.body and "?C=N;O=D" in page.links
        for link in page.links:
            below = urllib.parse.urljoin(url, link)
            if link.startswith("?") or not below.startswith(url):
                continue
            if link.endswith("/"):
                found |= walk(below)
            else:
                found[urllib.parse.unquote(below.removeprefix(base))] = fetch(below)
        return found

    walked = walk(base)
    truth = heasarc.files_of(mission, obs_id)
    assert walked.keys() == truth.keys()
    for name, page in walked.items():
        assert page.body == truth[name]


def test_directories_above_the_observations_lead_to_them(files: str) -> None:
    url = files
    for word in ("chandra/", "data/", "byobsid/", f"{BIG_CHANDRA[-1]}/", f"{BIG_CHANDRA}/"):
        page = fetch(url)
        assert word in page.links
        assert "Parent Directory" in page.body.decode()
        url += word
    assert {"primary/", "secondary/", "oif.fits"} <= set(fetch(url).links)


def test_a_directory_without_its_slash_is_redirected_and_what_is_not_there_is_missing(files: str) -> None:
    page = fetch(f"{files}chandra/data")
    assert page.status == 301 and page.headers["Location"].endswith("/FTP/chandra/data/")
    for path in ("chandra/nothing", "chandra/data/byobsid/1/15541/nothing/", "../etc/passwd", "%2e%2e/x"):
        assert fetch(files + path).status == 404


def test_names_follow_each_missions_own_structure(heasarc: Heasarc) -> None:
    paths = {mission: heasarc.path_of(mission, heasarc.observations(mission)[0]) for mission in TABLES}
    forms = {
        "xmm_pointed": r"xmm/data/rev0/\d{10}",
        "chandra": r"chandra/data/byobsid/(\d)/\d*\1",
        "nustar_pointed": r"nustar/data/obs/(\d\d)/(\d)/\2\1\d{8}",
        "swift": r"swift/data/obs/\d{4}_\d\d/\d{11}",
        "xrism_pointed": r"xrism/data/obs/(\d)/\1\d{8}",
        "rosat_pointed": r"rosat/data/(hri|pspc)/processed_data/\d00000/[rw][hpf]\d{6}([a-z]\d\d)?",
        "rosat_all_sky": r"rosat/data/pspc/processed_data/900000/rs93\d{4}n00",
        "asca": r"asca/data/rev2/\d{8}",
        "suzaku": r"suzaku/data/obs/(\d)/\1\d{8}",
        "integral_pointed": r"integral/data/scw/(\d{4})/\1\d{8}\.001",
    }
    for mission, form in forms.items():
        assert re.fullmatch(form, paths[mission]), (mission, paths[mission])
    shared = heasarc.shared_files_of(heasarc.observations("integral_pointed")[0])
    assert {name.split("/")[4] for name in shared if "/scw/" in name} == {"rev.001"}
    assert any(re.match(r"integral/data/aux/adp/\d{4}\.001/", name) for name in shared)


def test_odd_observations_are_as_odd_as_at_the_archive(heasarc: Heasarc) -> None:
    assert not any(name.startswith("event_cl") for name in heasarc.files_of("nustar_pointed", UNSCREENED_NUSTAR))
    old = heasarc.files_of("rosat_pointed", UNREVISED_ROSAT)
    assert not any("_bas" in name or "_anc" in name for name in old)
    survey = heasarc.observations("rosat_all_sky")
    plain = [n for obs_id in survey[:12] for n in heasarc.files_of("rosat_all_sky", obs_id) if n.endswith("_mex.fits")]
    assert 0 < len(plain) < 12
    with pytest.raises(NotFound, match="no files of swift's observation 1"):
        heasarc.files_of("swift", "1")


def test_what_is_not_public_needs_the_login(files: str, heasarc: Heasarc) -> None:
    for mission in ("chandra", "nustar_pointed", "xrism_pointed", "xmm_pointed"):
        private = heasarc.private_observations(mission)
        assert len(private) >= 3
        name, body = next(iter(heasarc.files_of(mission, private[0]).items()))
        url = f"{files}{heasarc.path_of(mission, private[0])}/{name}"
        page = fetch(url)
        assert page.status == 401 and page.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert fetch(url, Authorization=login("observer", "wrong")).status == 403
        assert fetch(url, Authorization="Basic %%%").status == 403
        assert fetch(url, Authorization=login("observer", "plates")).body == body


# --- parts of files --------------------------------------------------------------------------------------------------


def test_sizes_dates_and_parts_are_told_as_a_web_server_tells_them(files: str) -> None:
    url = f"{files}rosat/data/pspc/processed_data/900000/rs930101n00/rs930101n00_bas.fits.Z"
    whole = fetch(url)
    size = len(whole.body)
    assert whole.headers["Accept-Ranges"] == "bytes" and int(whole.headers["Content-Length"]) == size
    head = fetch(url, "HEAD")
    assert head.body == b"" and head.headers["ETag"] == whole.headers["ETag"]
    assert int(head.headers["Content-Length"]) == size

    part = fetch(url, Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole.body[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{size}"
    assert fetch(url, Range=f"bytes={size - 10}-").body == whole.body[-10:]
    assert fetch(url, Range="bytes=-25").body == whole.body[-25:]
    assert fetch(url, Range=f"bytes=5-{size * 2}").body == whole.body[5:]
    for beyond in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        page = fetch(url, Range=beyond)
        assert page.status == 416 and page.headers["Content-Range"] == f"bytes */{size}"
    for whole_again in ("bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b"):
        assert fetch(url, Range=whole_again).body == whole.body

    tag, date = whole.headers["ETag"], whole.headers["Last-Modified"]
    assert fetch(url, Range="bytes=0-9", If_Range=tag).status == 206
    assert fetch(url, Range="bytes=0-9", If_Range=date).status == 206
    assert fetch(url, Range="bytes=0-9", If_Range='"another"').status == 200
    assert fetch(url, Range="bytes=0-9", If_Range="Mon, 01 Jan 1990 00:00:00 GMT").status == 200
    assert fetch(url, If_None_Match=tag).status == 304
    assert fetch(url, If_Modified_Since=date).status == 304
    assert fetch(url, If_Modified_Since="nonsense").status == 200


@given(first=st.integers(0, 40), last=st.integers(0, 40), size=st.integers(1, 30), form=st.sampled_from("ab-"))
def test_any_single_range_is_answered_as_the_standard_says(first: int, last: int, size: int, form: str) -> None:
    from starlette.requests import Request

    body = bytes(range(size))
    told = {"a": f"bytes={first}-{last}", "b": f"bytes={first}-", "-": f"bytes=-{last}"}[form]
    request = Request({"type": "http", "method": "GET", "headers": [(b"range", told.encode())]})
    answer = file_answer(request, "a.fits", body, datetime(2020, 1, 1, tzinfo=UTC))
    wanted = {"a": body[first : last + 1], "b": body[first:], "-": body[max(size - last, 0) :]}[form]
    if form == "a" and last < first:
        assert (answer.status_code, answer.body) == (200, body)
    elif wanted:
        assert (answer.status_code, answer.body) == (206, wanted)
        assert answer.headers["content-length"] == str(len(wanted))
        begin = body.index(wanted)
        assert answer.headers["content-range"] == f"bytes {begin}-{begin + len(wanted) - 1}/{size}"
    else:
        assert answer.status_code == 416


def test_one_event_list_has_40_megabytes(files: str) -> None:
    head = fetch(files + BIG, "HEAD")
    size = int(head.headers["Content-Length"])
    assert 39_500_000 < size < 41_000_000
    tail = fetch(files + BIG, Range=f"bytes={size - 8}-")
    # the unpacked size stands at the end of a gzip file
    assert int.from_bytes(tail.body[4:], "little") > 40_000_000
    page = fetch(files + BIG.rpartition("/")[0] + "/")
    assert rounded_size(size) in page.body.decode()


def test_rounded_sizes_are_apaches() -> None:
    assert [rounded_size(n).strip() for n in (0, 1023, 1024, 10_239, 24_576, 3_355_443, 40_023_558)] == [
        "0",
        "1023",
        "1.0K",
        "10K",
        "24K",
        "3.2M",
        "38M",
    ]


# --- ESA's and eROSITA's archives ------------------------------------------------------------------------------------


def test_esa_packs_an_observation_in_a_tar_in_a_tar(sandbox: Any) -> None:
    xsa = sandbox.emulations["xsa"]
    address = f"{sandbox.endpoints()['xsa']['files']}data-action-aio?level=ODF&obsno="
    obs_id = xsa.observations()[0]
    page = fetch(address + obs_id)
    assert page.headers["Content-Disposition"] == f'attachment; filename="{obs_id}.tar.gz"'
    with tarfile.open(fileobj=io.BytesIO(page.body)) as outer:
        names = outer.getnames()
        inner_name = next(name for name in names if name.endswith(f"_{obs_id}.TAR"))
        assert len(names) == 2 and any(name.startswith("MANIFEST.") for name in names)
        packed = outer.extractfile(inner_name)
        assert packed is not None
        with tarfile.open(fileobj=packed) as inner:
            held = {one.name: inner.extractfile(one).read() for one in inner}  # type: ignore[union-attr]
    truth = xsa.files_of("xmm_pointed", obs_id)
    assert held == {name: body for name, body in truth.items() if not name.startswith("MANIFEST")}
    codes = {name.split("_")[2][:2] for name in held}
    assert {"M1", "M2", "PN", "OM", "R1", "R2", "SC"} <= codes

    assert fetch(address + "0000000001").status == 404
    assert "not available" in fetch(address + "0000000001").body.decode()
    private = xsa.private_observations()[0]
    assert fetch(address + private).status == 401
    assert fetch(address + private, Authorization=login("observer", "plates")).status == 200


def test_erositas_pages_have_the_form_of_the_archives(sandbox: Any, shared_data: Any) -> None:
    import ast

    base = sandbox.endpoints()["erosita"]["dr1"] + "erodat/data/download/"
    for name, path in (("134135", "135/134/"), ("134135_exp", "135/134/EXP_010/"), ("134135_det", "135/134/DET_010/")):
        real = ast.literal_eval((shared_data / "daxa" / f"{name}.txt").read_text())
        page = fetch(base + path).body.decode()
        row = re.compile(r'<tr class="is(?:dir|file)"><td><a href="([^"]+)"([^>]*)>([^<]+)</a></td><td>(\w+)</td><td>')
        ours, theirs = row.findall(page), row.findall(real)
        assert {attributes for _, attributes, _, _ in ours} == {attributes for _, attributes, _, _ in theirs}
        wanted = {one for one in theirs if re.search("EventList|_Image_|BackgrImage|ExposureMap|EXP|DET", one[0])}
        assert wanted <= set(ours)
        crumbs = r"Archive directory listing for\s*(.*?)\s*</h2>"
        assert re.findall(crumbs, page, re.S) == re.findall(crumbs, real, re.S)


def test_a_tile_has_two_versions_of_its_files(sandbox: Any) -> None:
    erosita = sandbox.emulations["erosita"]
    base = sandbox.endpoints()["erosita"]["dr1"] + "erodat/data/download/"
    name = next(iter(tiles.tiles()))
    files = erosita.files_of("erosita_all_sky_de_dr1", name)
    assert {path.partition("/")[0] for path in files} == {
        "EXP_009",
        "EXP_010",
        "DET_009",
        "DET_010",
        "SOU_010",
        "UPP_010",
    }
    assert sum("BackgrImage" in path and "c010" in path for path in files) == 4
    assert sum("ExposureMap" in path and "c010" in path for path in files) == 7
    for path in list(files)[::9]:
        assert fetch(f"{base}{name[3:]}/{name[:3]}/{path}").body == files[path]
    assert f"{name[3:]}/" in fetch(base).links
    for wrong in ("999/", "135/999/", "135/134/EXP_011/", "135/134/EXP_010/x.fits.gz"):
        assert fetch(base + wrong).status == 404


@pytest.mark.parametrize("field", ["A3391_A3395", "eFEDS", "Crab_I", "47_Tuc"])
def test_a_calibration_field_is_one_tar_archive(sandbox: Any, field: str) -> None:
    erosita = sandbox.emulations["erosita"]
    base = sandbox.endpoints()["erosita"]["edr"] + "eROSITAObservations/CalPvObs/"
    assert f"{field}.tar.gz" in fetch(base).links
    page = fetch(f"{base}{field}.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(page.body)) as archive:
        names = [one.name for one in archive if one.isfile()]
        events = [name for name in names if "EventList" in name]
        assert all(name.startswith(f"{field}/") for name in names) and events
        for name in events:
            match = re.search(r"fm00_(\d{6})_020_EventList_c001\.fits$", name)
            assert match is not None
            member = archive.extractfile(name)
            assert member is not None
            truth = erosita.files_of("erosita_calpv", match[1])
            assert member.read() == truth[name.rpartition("/")[2]]
            assert sum(match[1] in other and "eRO" not in other.rpartition("/")[2] for other in names) == 1
    assert fetch(f"{base}Atlantis.tar.gz").status == 404


def test_no_file_warns_when_its_coordinates_are_read(heasarc: Heasarc) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mission in ("chandra", "nustar_pointed", "rosat_all_sky", "asca", "suzaku", "xrism_pointed"):
            for name, body in heasarc.files_of(mission, heasarc.observations(mission)[2]).items():
                if re.search(r"img|_im\d|_mex|totsky|totexpo", name) and not name.endswith((".jpg", ".gif")):
                    with fits.open(io.BytesIO(opened(name, body))) as hdus:
                        assert WCS(hdus[0].header).has_celestial
