"""Bytes that are wrong although the transfer looked whole are found, and the file is fetched once more."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer, File

from skyvault.config import Secret
from skyvault.errors import ConfigError
from skyvault.net.auth import Credentials, Password
from skyvault.net.batch import fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.download import Downloader
from skyvault.net.faults import Refused, Unreachable, WrongContent
from skyvault.net.politeness import Manners, Politeness
from skyvault.net.remote_file import Order, Packing, RemoteFile

BODY = random.Random(5).randbytes(300_000)
WRONG = BODY[:1000] + bytes(byte ^ 0x55 for byte in BODY[1000:1016]) + BODY[1016:]


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.mark.parametrize("name", ["Content-MD5", "x-goog-hash"])
def test_a_checksum_that_is_sent_along_is_checked(
    archive: FaultServer, client: HttpClient, tmp_path: Path, name: str
) -> None:
    told = md5(BODY) if name == "Content-MD5" else f"crc32c=AAAAAA==,md5={md5(BODY)}"
    archive.files["/a"] = File(WRONG, headers={name: told})
    order = Order(RemoteFile(url=f"{archive.url}/a", label="ObsID 7"), tmp_path / "a")
    with pytest.raises(WrongContent, match=r"ObsID 7.*md5 checksum"):
        Downloader(client).fetch(order)
    assert list(tmp_path.iterdir()) == []
    archive.faults["/a"] = [Fault(change_to=File(BODY, headers={name: told}))]
    Downloader(client).fetch(order)
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_packed_file_that_is_damaged_is_fetched_once_more(
    archive: FaultServer, client: HttpClient, tmp_path: Path
) -> None:
    packed = gzip.compress(BODY, 1)
    archive.files["/a.gz"] = File(packed[:5000] + b"0123456789" + packed[5010:])
    order = Order(RemoteFile(url=f"{archive.url}/a.gz", label="ObsID 7", packing=Packing.GZIP), tmp_path / "a")
    with pytest.raises(WrongContent, match="ObsID 7"):
        Downloader(client).fetch(order)
    assert len(archive.seen) == 2
    archive.files["/a.gz"] = File(packed)
    Downloader(client).fetch(order)
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_tar_archive_whose_compression_is_damaged_is_refused(
    archive: FaultServer, client: HttpClient, tmp_path: Path
) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("one.txt")
        info.size = len(BODY)
        tar.addfile(info, io.BytesIO(BODY))
    packed = bytearray(gzip.compress(plain.getvalue(), 0))
    packed[5000] ^= 0x55
    archive.files["/a.tar.gz"] = File(bytes(packed))
    remote = RemoteFile(url=f"{archive.url}/a.tar.gz", label="ObsID 7", packing=Packing.TAR)
    with pytest.raises(WrongContent, match="damaged"):
        Downloader(client).fetch(Order(remote, tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_what_a_look_at_the_file_refuses_is_fetched_once_more(
    archive: FaultServer, client: HttpClient, tmp_path: Path
) -> None:
    looked: list[int] = []

    def verify(path: Path) -> None:
        looked.append(path.stat().st_size)
        if len(looked) == 1:
            raise WrongContent("a sum is wrong", where="ObsID 7")

    archive.files["/a"] = File(BODY)
    Downloader(client).fetch(Order(RemoteFile(url=f"{archive.url}/a", verify=verify), tmp_path / "a"))
    assert looked == [len(BODY), len(BODY)] and len(archive.seen) == 2


def test_a_files_own_credential_wins_and_is_never_shown(
    archive: FaultServer, client: HttpClient, tmp_path: Path
) -> None:
    archive.allows = lambda seen: None if seen.headers.get("authorization", "").startswith("Basic Ym9i") else 401
    archive.files["/a"] = File(BODY)
    client.credentials.add(archive.url, Password("ann", Secret("x")))
    remote = RemoteFile(url=f"{archive.url}/a", credential=Password("bob", Secret("secret")))
    assert "bob" not in repr(remote) and "secret" not in repr(remote)
    Downloader(client).fetch(Order(remote, tmp_path / "a"))
    with pytest.raises(Refused, match="were refused"):
        Downloader(client).fetch(Order(RemoteFile(url=f"{archive.url}/a"), tmp_path / "b"))
    with pytest.raises(ConfigError, match="unencrypted"):
        Credentials().header_for("http://archive.example/x", Password("bob", Secret("secret")))


def test_each_file_is_told_of_when_it_is_done(archive: FaultServer, client: HttpClient, tmp_path: Path) -> None:
    archive.files["/a"] = File(BODY)
    orders = [Order(RemoteFile(url=f"{archive.url}/{name}"), tmp_path / name) for name in "ab"]
    told: list[object] = []
    report = fetch_files(orders, client, on_done=told.append)
    assert sorted(map(id, told)) == sorted(map(id, (*report.rows, *report.problems))) and len(told) == 2


def test_manners_are_agreed_on_downwards_only() -> None:
    polite = Politeness(default=Manners(8))
    polite.agree("archive.example", Manners(1, 60))
    polite.agree("archive.example", Manners(5))
    with polite.turn("archive.example"), pytest.raises(Unreachable), polite.turn("archive.example", deadline=0.0):
        pass
