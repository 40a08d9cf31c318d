"""Files that are deleted, replaced or led astray under a running server, jobs of cutouts that are killed, and disks that
are full: one sentence for whoever asks, and never bytes that were not published."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource
from skyvault.store.products import did_of

RESOURCE = """\
schema: sky
title: Images
description: Made for tests.
services: [sia2, soda]
files:
  plain: {files: 'plain/*.fits'}
  signed: {files: 'signed/*.fits', links: signed}
"""


class Site:
    """A server with two collections, and what asks it."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.base, self.folder = server, server.base_url, folder

    def did(self, name: str, table: str = "plain") -> str:
        return did_of("skyvault.invalid", f"sky.{table}", f"{table}/{name}.fits")

    def get(self, path: str, **query: str) -> tuple[int, bytes]:
        url = f"{self.base}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def post(self, path: str, pairs: list[tuple[str, str]]) -> str:
        request = urllib.request.Request(f"{self.base}{path}", urllib.parse.urlencode(pairs).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.url)

    def rows(self) -> int:
        status, content = self.get("/tap/sync", LANG="ADQL", FORMAT="csv", QUERY="SELECT COUNT(*) AS n FROM sky.plain")
        assert status == 200
        return int(content.split()[1])


def make(folder: Path, names: str, size: int = 200) -> Path:
    header = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 100.5, "CRPIX2": 100.5,
         "CDELT1": -0.001, "CDELT2": 0.001}
    )  # fmt: skip
    for table in ("plain", "signed"):
        (folder / table).mkdir(parents=True, exist_ok=True)
    pixels = np.arange(size * size, dtype=np.int32).reshape(size, size)
    for name in names.split():
        fits.PrimaryHDU(pixels, header).writeto(folder / "plain" / f"{name}.fits")
    fits.PrimaryHDU(pixels, header).writeto(folder / "signed" / "a.fits")
    (folder / "resource.yaml").write_text(RESOURCE)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Iterator[Site]:
    folder = make(tmp_path_factory.mktemp("faults"), "a deleted replaced edited touched led folder")
    publish_resource(folder, settings=Settings(home=folder / "home"))
    yield Site(start_server(folder / "home"), folder)


def everywhere(site: Site, name: str) -> dict[str, tuple[int, bytes]]:
    did = site.did(name)
    return {
        "get": site.get(f"/get/sky.plain/plain/{name}.fits"),
        "soda": site.get("/soda/sync", ID=did, CIRCLE="10 20 0.01"),
        "links": site.get("/datalink/links", ID=did),
    }


def refused(site: Site, name: str, told: bytes) -> None:
    """get and SODA say in one sentence that the file is not what it was; links and searches answer as before."""
    found = everywhere(site, name)
    for service in ("get", "soda"):
        status, content = found[service]
        assert status == 404, (service, content)
        assert told in content and b"Traceback" not in content and str(site.folder).encode() not in content
    assert found["links"][0] == 200 and b"#this" in found["links"][1]
    assert site.rows() == 7


def test_a_deleted_file_is_not_found_and_the_rest_is_served(site: Site) -> None:
    (site.folder / "plain" / "deleted.fits").unlink()
    refused(site, "deleted", b"is not there any more")
    assert everywhere(site, "a")["soda"][0] == 200


def test_a_file_replaced_by_another_of_its_size_is_not_passed_off_as_it(site: Site) -> None:
    path = site.folder / "plain" / "replaced.fits"
    # it was cut out before: what is remembered of it must not be served either
    assert everywhere(site, "replaced")["soda"][0] == 200
    content = bytearray(path.read_bytes())
    content[-5000:] = bytes(5000)
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    refused(site, "replaced", b"was changed since it was published")


def test_a_file_of_another_size_is_not_passed_off_as_it(site: Site) -> None:
    path = site.folder / "plain" / "edited.fits"
    path.write_bytes(path.read_bytes() + bytes(2880))
    refused(site, "edited", b"was changed since it was published")


def test_a_file_that_was_only_touched_is_served(site: Site) -> None:
    path = site.folder / "plain" / "touched.fits"
    os.utime(path, ns=(1, 1))
    status, content = site.get("/get/sky.plain/plain/touched.fits")
    assert (status, content) == (200, path.read_bytes())
    assert everywhere(site, "touched")["soda"][0] == 200


@pytest.mark.parametrize("target", ["/etc/passwd", "resource.yaml", "/dev/zero", "plain/led.fits", "."])
def test_a_file_that_became_a_link_to_elsewhere_is_not_served(site: Site, target: str) -> None:
    path = site.folder / "plain" / "led.fits"
    path.unlink()
    path.symlink_to(target if target.startswith("/") else site.folder / target)
    refused(site, "led", b"of ivo://")


def test_a_folder_in_place_of_a_file_is_not_served(site: Site) -> None:
    path = site.folder / "plain" / "folder.fits"
    path.unlink()
    path.mkdir()
    refused(site, "folder", b"is not there any more")


@pytest.mark.parametrize(
    "path",
    [
        "../resource.yaml", "plain/../../etc/passwd", "%2e%2e/resource.yaml", "..%2fresource.yaml", "%252e%252e/x",
        "plain/a.fits%00.png", "%00", "..\\resource.yaml", "..%5cresource.yaml", "/etc/passwd",
        "%2fetc%2fpasswd", "plain//a.fits", "./plain/a.fits/..", "plain/%c0%ae%c0%ae/resource.yaml", "plain/a.fits/",
        "plain", "", ".", "%ff", "plain/%F0%9F%94%AD", "x" * 5000, "home/secret", "home/ledger.sqlite", "hooks.py",
    ],
)  # fmt: skip
def test_paths_that_are_no_dataset_are_not_found(site: Site, path: str) -> None:
    import http.client

    host = urllib.parse.urlsplit(site.base).netloc
    # as it stands: libraries would tidy it up
    for table in ("sky.plain", "sky.signed", "..", "sky.plain%2f..", "%00"):
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.putrequest("GET", f"/get/{table}/{path}", skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status in (400, 403, 404, 405, 414), (table, path, answer.status)
        assert b"schema: sky" not in content and b"root:" not in content and b"SIMPLE" not in content


@pytest.mark.parametrize("did", ["", "\0", "ivo://", "ivo://a/~?", "ivo://a/~?sky.plain/", "../../etc/passwd", "a" * 1999,
                                 "ivo://skyvault.invalid/~?sky.plain/../resource.yaml", "ivo://skyvault.invalid/~?x/y",
                                 "ivo://skyvault.invalid/~?ivoa.obscore/plain/a.fits", "'; DROP TABLE x --"])  # fmt: skip
def test_identifiers_of_nothing_are_a_sentence_in_every_service(site: Site, did: str) -> None:
    status, content = site.get("/soda/sync", ID=did, CIRCLE="10 20 0.01")
    assert status in (400, 404) and b"Traceback" not in content, content
    status, content = site.get("/datalink/links", ID=did)
    assert status in (200, 400) and b"#cutout" not in content
    assert status == 400 or not did or b"NotFoundFault" in content or b"UsageFault" in content, content


# --- jobs that are killed ------------------------------------------------------------------------------------------


def phase(site: Site, job: str, wait: int = 0) -> str:
    text = site.get(urllib.parse.urlsplit(job).path, **({"WAIT": str(wait)} if wait else {}))[1].decode()
    return text.partition("<uws:phase>")[2].partition("<")[0]


def killed_at_random(tmp_path: Path, start_server: Callable[..., Any], lives_s: list[float]) -> None:
    folder = make(tmp_path / "resource", "a b", size=1200)
    settings = Settings(home=folder / "home")
    publish_resource(folder, settings=settings)
    pairs = [("ID", did_of("skyvault.invalid", "sky.plain", f"plain/{name}.fits")) for name in "ab"]
    pairs += [("CIRCLE", f"{10 + n * 1e-4} 20.5 0.55") for n in range(60)] + [("PHASE", "RUN")]
    jobs: list[str] = []
    stopped = 0
    for life_s in lives_s:
        site = Site(start_server(folder / "home"), folder)
        job = urllib.parse.urlsplit(site.post("/soda/async", pairs)).path
        jobs.append(job)
        # the moment of death falls anywhere into the work
        site.get(f"{job}/phase")
        try:
            site.server.process.wait(life_s)
        except subprocess.TimeoutExpired:
            site.server.process.send_signal(signal.SIGKILL)
            site.server.process.wait()
    site = Site(start_server(folder / "home"), folder)
    whole = None
    for job in jobs:
        text = site.get(job, WAIT="60")[1].decode()
        found = text.partition("<uws:phase>")[2].partition("<")[0]
        listed = site.get(f"{job}/results")[1].decode().count("<uws:result ")
        if found == "ERROR":
            stopped += 1
            told = site.get(f"{job}/error")[1].decode()
            assert "did not finish" in told or "was stopped" in told or "ended" in told, told
            assert listed == 0
            # nothing half made is to be had, whatever one guesses
            for name in ("cutout-1", "cutout-1.part", "cutout-120", "cutout-120.part"):
                assert site.get(f"{job}/results/{name}")[0] in (400, 404)
        else:
            assert (found, listed) == ("COMPLETED", 120)
            content = site.get(f"{job}/results/cutout-120")[1]
            whole = whole or content
            assert content == whole
            with fits.open(io.BytesIO(content)) as file:
                file.verify("exception")
    assert stopped, "no job was killed while it ran"
    # a job that is deleted takes what it left with it
    for job in jobs:
        site.post(job, [("ACTION", "DELETE")])
    ends = time.monotonic() + 20
    while any(path.is_file() for path in (folder / "home" / "jobs").rglob("*")) and time.monotonic() < ends:
        time.sleep(0.02)
    assert [path for path in (folder / "home" / "jobs").rglob("*") if path.is_file()] == []


def test_a_job_of_cutouts_killed_with_its_server_leaves_no_half_result(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    killed_at_random(tmp_path, start_server, [0.05])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_jobs_of_cutouts_killed_at_many_moments_leave_no_half_result(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    killed_at_random(tmp_path, start_server, [0.02 * 1.25**n for n in range(20)])


def test_a_job_whose_file_is_deleted_while_it_waits_says_so(site: Site) -> None:
    job = site.post("/soda/async", [("ID", site.did("deleted")), ("CIRCLE", "10 20 0.01"), ("PHASE", "RUN")])
    (site.folder / "plain" / "deleted.fits").unlink(missing_ok=True)
    assert phase(site, job, wait=30) == "ERROR"
    assert "is not there any more" in site.get(f"{urllib.parse.urlsplit(job).path}/error")[1].decode()


# --- full disks ----------------------------------------------------------------------------------------------------


def test_a_job_that_fills_the_disk_ends_with_a_sentence_and_the_server_goes_on(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    folder = make(tmp_path / "resource", "a", size=1500)
    home = folder / "home"
    publish_resource(folder, settings=Settings(home=home))
    disk = home / "jobs"
    disk.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine does not allow to mount a file system")
    try:
        site = Site(start_server(home), folder)
        did = site.did("a")
        circles = [("CIRCLE", f"{10 + n * 1e-4} 20.6 0.69") for n in range(3)]
        job = site.post("/soda/async", [("ID", did), *circles, ("PHASE", "RUN")])
        assert phase(site, job, wait=30) == "ERROR"
        assert "disk is full" in site.get(f"{urllib.parse.urlsplit(job).path}/error")[1].decode()
        small = [("ID", did), ("CIRCLE", "10 20 0.01"), ("PHASE", "RUN")]
        site.post(urllib.parse.urlsplit(job).path, [("ACTION", "DELETE")])
        ends = time.monotonic() + 20
        while phase(site, site.post("/soda/async", small), wait=30) != "COMPLETED":
            assert time.monotonic() < ends, "what the job left was not deleted"
        assert site.get("/soda/sync", ID=did, CIRCLE="10 20 0.01")[0] == 200
        site.server.process.terminate()
        site.server.process.wait(20)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
