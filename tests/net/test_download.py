"""A file comes whole and right, or not at all, whatever the archive and the line do."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer, File
from hypothesis import given, settings
from hypothesis import strategies as st

from skyvault.errors import Conflict, StoreError
from skyvault.ledger.ledger import open_ledger
from skyvault.net.client import HttpClient
from skyvault.net.download import Downloader
from skyvault.net.faults import FetchError, Missing, Refused, Unreachable, WrongContent
from skyvault.net.partial import Part
from skyvault.net.remote_file import Checksum, Order, Packing, RemoteFile
from skyvault.net.retry import RetryPolicy

BODY = random.Random(1).randbytes(700_000)
FITS = (b"SIMPLE  =                    T" + b" " * 50).ljust(2880, b" ") + bytes(2880 * 40)


def sha256(body: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(body).hexdigest())


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def fetch(archive: FaultServer, client: HttpClient, tmp_path: Path):
    """Fetches one path of the archive to tmp_path/out/file."""

    def one(path: str = "/a", *, target: str = "file", **declared):
        remote = RemoteFile(url=f"{archive.url}{path}", label="ObsID 42, events", **declared)
        return Downloader(client).fetch(Order(remote, tmp_path / "out" / target))

    (tmp_path / "out").mkdir()
    return one


def test_a_file_comes_whole_and_nothing_is_left_beside_it(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    done = fetch(size_bytes=len(BODY), checksum=sha256(BODY))
    assert (tmp_path / "out/file").read_bytes() == BODY
    assert leftovers(tmp_path / "out") == ["file"]
    assert done.received_bytes == len(BODY) and not done.was_there
    assert archive.seen[0].headers["accept-encoding"] == "identity"


def test_a_file_that_is_there_is_not_asked_for_again(archive, fetch) -> None:
    archive.files["/a"] = File(BODY)
    fetch(checksum=sha256(BODY))
    assert fetch(checksum=sha256(BODY)).was_there
    assert len(archive.seen) == 1


def test_a_file_that_is_there_but_wrong_is_fetched(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    (tmp_path / "out/file").write_bytes(b"something else")
    fetch(checksum=sha256(BODY))
    assert (tmp_path / "out/file").read_bytes() == BODY


def test_a_broken_connection_is_resumed_where_it_broke(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(after=300_000), Fault(after=100_001), Fault(refuses=True)]
    done = fetch(checksum=sha256(BODY))
    assert (tmp_path / "out/file").read_bytes() == BODY
    assert done.received_bytes == len(BODY)
    assert archive.seen[1].headers["range"] == "bytes=300000-"
    assert archive.seen[1].headers["if-range"] == '"v1"'


def test_a_server_that_breaks_off_for_ever_is_given_up_and_what_came_is_kept(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(after=300_000)] + [Fault(after=1)] * 10
    with pytest.raises(Unreachable, match=r"ObsID 42, events.*bytes are kept; fetch again"):
        fetch()
    assert "file.part" in leftovers(tmp_path / "out") and "file" not in leftovers(tmp_path / "out")
    archive.faults["/a"] = []
    assert fetch().received_bytes < len(BODY) - 300_000 + 1
    assert (tmp_path / "out/file").read_bytes() == BODY


@pytest.mark.parametrize("status", [429, 503])
def test_an_archive_that_asks_to_come_back_is_obeyed(archive, fetch, pauses, status) -> None:
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(status=status, headers=(("Retry-After", "0"),))]
    fetch()
    assert len(archive.seen) == 2 and sum(pauses) < 0.1


def test_an_archive_that_asks_for_an_hour_is_not_waited_for(archive, fetch, pauses) -> None:
    archive.faults["/a"] = [Fault(status=503, headers=(("Retry-After", "3600"),))]
    with pytest.raises(Unreachable, match="3,600 s"):
        fetch()
    assert pauses == []


def test_a_file_that_changes_between_two_tries_is_never_glued_together(archive, fetch, tmp_path) -> None:
    new = bytes(reversed(BODY))
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(after=300_000), Fault(change_to=File(new, etag='"v2"'))]
    fetch()
    assert (tmp_path / "out/file").read_bytes() == new


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag(archive, fetch, tmp_path) -> None:
    new = bytes(reversed(BODY))
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [
        Fault(after=300_000),
        Fault(change_to=File(new, etag='"v2"', last_modified=1_600_000_500.0), ignores_if_range=True),
    ]
    fetch()
    assert (tmp_path / "out/file").read_bytes() == new


def test_without_validator_and_checksum_a_broken_file_begins_again(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY, etag=None, last_modified=None)
    archive.faults["/a"] = [Fault(after=300_000)]
    fetch()
    assert "range" not in archive.seen[1].headers
    assert (tmp_path / "out/file").read_bytes() == BODY


def test_without_validator_the_checksum_finds_a_change_and_the_file_begins_again(archive, fetch, tmp_path) -> None:
    new = bytes(reversed(BODY))
    archive.files["/a"] = File(BODY, etag=None, last_modified=None)
    archive.faults["/a"] = [Fault(after=300_000), Fault(change_to=File(new, etag=None, last_modified=None))]
    fetch(checksum=sha256(new))
    assert (tmp_path / "out/file").read_bytes() == new


def test_a_weak_etag_is_not_used_for_a_range(archive, fetch) -> None:
    archive.files["/a"] = File(BODY, etag='W/"v1"')
    archive.faults["/a"] = [Fault(after=300_000)]
    fetch()
    assert archive.seen[1].headers["if-range"].endswith("GMT")


def test_a_server_that_ignores_ranges_still_gives_the_file(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY, knows_ranges=False)
    archive.faults["/a"] = [Fault(after=300_000)]
    fetch(checksum=sha256(BODY))
    assert (tmp_path / "out/file").read_bytes() == BODY


@pytest.mark.parametrize("claimed", [len(BODY) + 10, len(BODY) - 10])
def test_a_wrong_content_length_never_makes_a_file(archive, fetch, tmp_path, claimed) -> None:
    archive.files["/a"] = File(BODY, knows_ranges=False)
    archive.faults["/a"] = [Fault(claimed_length=claimed)] * 20
    with pytest.raises((WrongContent, Unreachable), match="ObsID 42"):
        fetch(checksum=sha256(BODY), size_bytes=len(BODY))
    assert not (tmp_path / "out/file").exists()


def test_a_size_other_than_the_declared_one_is_refused_before_it_is_fetched(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    with pytest.raises(WrongContent, match="should have 3 bytes, but the archive sends one of 700,000"):
        fetch(size_bytes=3)
    assert leftovers(tmp_path / "out") == []


def test_a_wrong_checksum_is_told_with_both_sums_and_nothing_is_kept(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    with pytest.raises(WrongContent, match=f"sha256 checksum is {sha256(BODY).digest}, but the archive gives"):
        fetch(checksum=sha256(b"other"))
    assert leftovers(tmp_path / "out") == []
    assert len(archive.seen) == 1


def test_a_web_page_in_place_of_the_file_is_quoted(archive, fetch, tmp_path) -> None:
    page = b"<!DOCTYPE html><html><head><title>Down for maintenance</title></head></html>"
    archive.files["/a"] = File(page)
    with pytest.raises(WrongContent, match=r"web page \('Down for maintenance'\) instead"):
        fetch(content="fits")
    assert leftovers(tmp_path / "out") == []


def test_what_is_no_fits_file_is_refused(archive, fetch) -> None:
    archive.files["/a"] = File(BODY)
    with pytest.raises(WrongContent, match="no FITS file"):
        fetch(content="fits")


def test_a_fits_file_cut_by_a_server_that_tells_no_length_is_found_out(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(FITS[:-100], sends_length=False)
    with pytest.raises(WrongContent, match="FITS file is cut"):
        fetch(content="fits")
    archive.files["/a"] = File(FITS, sends_length=False)
    fetch(content="fits")
    assert (tmp_path / "out/file").read_bytes() == FITS


def test_an_expired_link_is_signed_anew_and_goes_on(archive, client, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(after=300_000)]
    valid = {"now": "first"}

    def allows(seen):
        if len(archive.seen) == 2:
            valid["now"] = "second"
        return None if f"Signature={valid['now']}" in seen.target else 403

    archive.allows = allows
    signed = []

    def sign() -> str:
        signed.append(valid["now"])
        return f"{archive.url}/a?id=7&Signature={valid['now']}"

    remote = RemoteFile(url=f"{archive.url}/a?id=7&Signature=first", sign=sign)
    assert Downloader(client).fetch(Order(remote, tmp_path / "file")).received_bytes == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY and signed == ["second"]
    assert "first" not in repr(remote) and remote.identity.endswith("/a?id=7&Signature=***")


def test_a_link_that_is_refused_however_often_it_is_signed_ends_in_a_sentence(archive, client, tmp_path) -> None:
    archive.allows = lambda seen: 403
    remote = RemoteFile(url=f"{archive.url}/a?sig=x", label="image 5", sign=lambda: f"{archive.url}/a?sig=secret")
    with pytest.raises(Refused, match="image 5: the archive refuses access") as caught:
        Downloader(client).fetch(Order(remote, tmp_path / "file"))
    assert "secret" not in str(caught.value) and len(archive.seen) == 4


def test_the_state_file_holds_no_signature(archive, client, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    archive.faults["/a"] = [Fault(after=300_000), *[Fault(refuses=True)] * 9]
    remote = RemoteFile(url=f"{archive.url}/a?X-Amz-Signature=secret")
    with pytest.raises(Unreachable) as caught:
        Downloader(client).fetch(Order(remote, tmp_path / "file"))
    assert "secret" not in (tmp_path / "file.part.json").read_text() + str(caught.value)


def test_a_missing_file_is_told_at_once(archive, fetch) -> None:
    with pytest.raises(Missing, match=r"ObsID 42, events: the archive has no such file \(404\)"):
        fetch()
    assert len(archive.seen) == 1


def test_a_full_disk_is_a_sentence_and_what_came_is_kept(archive, fetch, tmp_path, monkeypatch) -> None:
    archive.files["/a"] = File(BODY)
    real = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        if offset >= 300_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: 300_000 - offset], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreError, match=r"the disk is full\. Make room and fetch again"):
            fetch(checksum=sha256(BODY))
    assert (tmp_path / "out/file.part").stat().st_size == 300_000
    assert fetch(checksum=sha256(BODY)).received_bytes == len(BODY) - 300_000
    assert (tmp_path / "out/file").read_bytes() == BODY


def test_two_processes_do_not_write_the_same_file(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    with Part(tmp_path / "out/file", None), pytest.raises(Conflict, match="somebody else is fetching"):
        fetch()
    fetch()


def test_a_damaged_state_file_only_means_to_begin_again(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    for state in ("", "[]", "{", '{"version": 1}', '{"version": 1, "identity": 3}', "\0"):
        (tmp_path / "out/file.part").write_bytes(b"x" * 1000)
        (tmp_path / "out/file.part.json").write_text(state)
        fetch()
        assert (tmp_path / "out/file").read_bytes() == BODY
        (tmp_path / "out/file").unlink()


def test_a_gzip_file_is_unpacked_as_declared(archive, fetch, tmp_path) -> None:
    packed = gzip.compress(FITS[:9000]) + gzip.compress(FITS[9000:]) + bytes(600)
    archive.files["/a"] = File(packed, headers={"Content-Encoding": "x-gzip"})
    fetch(packing=Packing.GZIP, content="fits", checksum=sha256(packed))
    assert (tmp_path / "out/file").read_bytes() == FITS
    assert leftovers(tmp_path / "out") == ["file"]


@pytest.mark.parametrize("cut", [20, 100, -1, -9])
def test_a_damaged_gzip_file_leaves_nothing(archive, fetch, tmp_path, cut) -> None:
    archive.files["/a"] = File(gzip.compress(BODY)[:cut])
    with pytest.raises(WrongContent, match="cannot be unpacked: it is cut"):
        fetch(packing=Packing.GZIP)
    assert leftovers(tmp_path / "out") == []


def test_a_gzip_bomb_is_stopped(archive, client, tmp_path) -> None:
    from skyvault.net.unpack import UnpackLimits

    archive.files["/a"] = File(gzip.compress(bytes(50_000_000)))
    remote = RemoteFile(url=f"{archive.url}/a", packing=Packing.GZIP)
    with pytest.raises(WrongContent, match="unpacks to more than 1,000,000 bytes"):
        Downloader(client, limits=UnpackLimits(total_bytes=1_000_000)).fetch(Order(remote, tmp_path / "file"))


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for info, body in members:
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def test_a_tar_archive_becomes_a_folder(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(tar_of((tarfile.TarInfo("x/y.fits"), FITS), (tarfile.TarInfo("z"), b"1")))
    fetch(packing=Packing.TAR, target="folder")
    assert (tmp_path / "out/folder/x/y.fits").read_bytes() == FITS
    assert leftovers(tmp_path / "out") == ["folder"]
    assert fetch(packing=Packing.TAR, target="folder").was_there


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil"])
def test_a_tar_archive_never_writes_outside_its_folder(archive, fetch, tmp_path, name) -> None:
    archive.files["/a"] = File(tar_of((tarfile.TarInfo("fine"), b"1"), (tarfile.TarInfo(name), b"2")))
    with pytest.raises(WrongContent, match="outside its folder"):
        fetch(packing=Packing.TAR, target="folder")
    assert leftovers(tmp_path / "out") == []


ODD_NAMES = ["a\nb", "\x1b[31mred", "gnp.\u202estif", "x" * 5000, "a/" * 2000 + "x", "fine/below-a-file", "."]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:20])
def test_a_tar_archive_with_names_that_no_file_can_have_is_refused(archive, fetch, tmp_path, name) -> None:
    archive.files["/a"] = File(tar_of((tarfile.TarInfo("fine"), b"1"), (tarfile.TarInfo(name), b"2")))
    with pytest.raises(WrongContent, match="no file can have"):
        fetch(packing=Packing.TAR, target="folder")
    assert leftovers(tmp_path / "out") == []


def test_a_small_tar_archive_never_fills_the_disk(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(bz2.compress(gzip.decompress(tar_of((tarfile.TarInfo("zeros"), bytes(10_000_000))))))
    with pytest.raises(WrongContent, match="holds more than"):
        fetch(packing=Packing.TAR, target="folder")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_tar_archive_with_links_or_devices_is_refused(archive, fetch, tmp_path, kind) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    archive.files["/a"] = File(tar_of((info, b"")))
    with pytest.raises(WrongContent, match="a link or device"):
        fetch(packing=Packing.TAR, target="folder")
    assert leftovers(tmp_path / "out") == []


def test_a_cut_tar_archive_is_refused(archive, fetch, tmp_path) -> None:
    archive.files["/a"] = File(tar_of((tarfile.TarInfo("a"), BODY))[:-5000])
    with pytest.raises(WrongContent, match="tar archive is damaged"):
        fetch(packing=Packing.TAR, target="folder")
    assert leftovers(tmp_path / "out") == []


def test_what_was_fetched_is_in_the_ledger(archive, client, tmp_path) -> None:
    archive.files["/a"] = File(BODY)
    order = Order(RemoteFile(url=f"{archive.url}/a?token=hush", checksum=sha256(BODY)), tmp_path / "file")
    with open_ledger(tmp_path / "ledger.db", clock=lambda: 17.0) as ledger:
        downloader = Downloader(client, ledger=ledger.downloads)
        downloader.fetch(order)
        row = ledger.downloads.find(tmp_path / "file")
        assert row is not None and row.fetched_at == 17.0 and row.etag == '"v1"'
        assert row.bytes == row.stored_bytes == len(BODY) and row.checksum == str(sha256(BODY))
        assert row.address.endswith("/a?token=***")
        assert downloader.fetch(order).was_there
        ledger.downloads.forget(tmp_path / "file")
        assert downloader.fetch(order).was_there and ledger.downloads.find(tmp_path / "file") is not None


def test_a_download_may_be_stopped_and_goes_on_later(archive, client, tmp_path) -> None:
    from skyvault.errors import Cancelled

    archive.files["/a"] = File(BODY)
    order = Order(RemoteFile(url=f"{archive.url}/a"), tmp_path / "file")
    came: list[int] = []
    with pytest.raises(Cancelled, match="stopped"):
        Downloader(client, on_bytes=came.append, is_stopped=lambda: bool(sum(came))).fetch(order)
    kept = (tmp_path / "file.part").stat().st_size
    assert kept > 0
    assert Downloader(client).fetch(order).received_bytes == len(BODY) - kept


def test_an_event_list_cut_twenty_times_refetches_less_than_one_percent(archive, tmp_path) -> None:
    body = random.Random(2).randbytes(8_000_000)
    archive.files["/a"] = File(body)
    cuts = random.Random(3)
    archive.faults["/a"] = [Fault(after=cuts.randrange(1, 400_000)) for _ in range(20)]
    with HttpClient(retries=RetryPolicy(attempts=30, base_s=0), sleep=lambda s: None) as client:
        done = Downloader(client).fetch(
            Order(RemoteFile(url=f"{archive.url}/a", checksum=sha256(body)), tmp_path / "file")
        )
    assert (tmp_path / "file").read_bytes() == body
    assert done.tries == 21 and done.received_bytes <= 1.01 * len(body)
    assert archive.sent_bytes <= 1.01 * len(body)


@settings(max_examples=60)
@given(
    size=st.integers(0, 40_000),
    faults=st.lists(
        st.one_of(
            st.builds(Fault, after=st.integers(0, 40_000)),
            st.builds(Fault, after=st.integers(0, 40_000), ignores_range=st.just(True)),
            st.builds(Fault, refuses=st.just(True)),
            st.builds(Fault, status=st.sampled_from([502, 503, 504, 429])),
            st.builds(
                Fault,
                change_to=st.builds(
                    File, body=st.binary(max_size=40_000), etag=st.sampled_from(['"v2"', '"v3"', '"v4"'])
                ),
                after=st.integers(0, 40_000),
            ),
        ),
        max_size=6,
    ),
    etag=st.sampled_from(['"v1"', None]),
)
def test_whatever_happens_the_file_is_a_version_of_the_archives(tmp_path_factory, size, faults, etag) -> None:
    folder = tmp_path_factory.mktemp("any")
    with (
        FaultServer() as archive,
        HttpClient(retries=RetryPolicy(attempts=9, base_s=0), sleep=lambda s: None) as client,
    ):
        first = File(random.Random(size).randbytes(size), etag=etag, last_modified=None)
        archive.files["/a"] = first
        archive.faults["/a"] = list(faults)
        versions = {first.body} | {fault.change_to.body for fault in faults if fault.change_to}
        try:
            Downloader(client).fetch(Order(RemoteFile(url=f"{archive.url}/a"), folder / "file"))
        except FetchError:  # it changed too often
            assert not (folder / "file").exists()
        else:
            assert (folder / "file").read_bytes() in versions
            assert leftovers(folder) == ["file"]
