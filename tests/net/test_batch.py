"""Many files: one that fails never stops the others, and a killed fetch ends in the same tree when run again."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer, File

from processes import environment
from skyvault.errors import UsageError
from skyvault.net.batch import fetch_files, plan_fetch, retry
from skyvault.net.cache import ContentCache
from skyvault.net.faults import Missing, Unreachable
from skyvault.net.partial import Part
from skyvault.net.remote_file import Checksum, Order, Packing, RemoteFile


def checksum(body: bytes) -> Checksum:
    return Checksum("md5", hashlib.md5(body).hexdigest())


class Shown:
    """A progress display that remembers."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.done = 0

    def start(self, what: str, total: int | None = None) -> None:
        self.said.append((what, total))

    def advance(self, by: int = 1) -> None:
        self.done += by

    def finish(self) -> None:
        self.said.append("finished")


@pytest.fixture
def orders(archive, tmp_path) -> list[Order]:
    made = []
    for number in range(12):
        body = random.Random(number).randbytes(100_000)
        archive.files[f"/{number}"] = File(body)
        remote = RemoteFile(
            url=f"{archive.url}/{number}", label=f"ObsID {number}", size_bytes=len(body), checksum=checksum(body)
        )
        made.append(Order(remote, tmp_path / "out" / str(number)))
    return made


def test_files_come_side_by_side_with_one_progress(archive, client, orders, tmp_path) -> None:
    shown = Shown()
    archive.faults["/3"] = [Fault(after=50_000)]
    report = fetch_files(orders, client, progress=shown)
    assert report.is_complete and [row.order for row in report.rows] == orders
    assert shown.said == [("12 files", 1_200_000), "finished"] and shown.done == 1_200_000
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(str(n) for n in range(12))


def test_a_failed_file_never_stops_the_others_and_retry_takes_the_report(archive, client, orders) -> None:
    kept = archive.files.pop("/3")
    archive.faults["/5"] = [Fault(after=20_000)] + [Fault(status=503)] * 20
    report = fetch_files(orders, client)
    assert len(report.rows) == 10
    missing, broken = report.problems
    assert isinstance(missing.error, Missing) and not missing.may_pass and "ObsID 3" in missing.reason
    assert isinstance(broken.error, Unreachable) and broken.may_pass and "20,000 bytes are kept" in broken.reason
    archive.files["/3"], archive.faults["/5"] = kept, []
    before = archive.sent_bytes
    again = retry(report, client)
    assert again.is_complete and len(again.rows) == 12
    assert archive.sent_bytes - before == 180_000


def test_a_dry_run_lists_files_and_sizes_and_asks_nobody(archive, client, orders, tmp_path) -> None:
    fetch_files(orders[:1], client)
    asked = len(archive.seen)
    plan = plan_fetch(orders[:2], client)
    assert [(file.size_bytes, file.have_bytes, file.is_here) for file in plan] == [
        (100_000, 100_000, True),
        (100_000, 0, False),
    ]
    assert len(archive.seen) == asked


def test_two_files_are_not_written_to_one_place(client, orders) -> None:
    with pytest.raises(UsageError, match="ObsID 0 and ObsID 1 would be written to the same file"):
        fetch_files([orders[0], Order(orders[1].remote, orders[0].target)], client)


# --- the cache ------------------------------------------------------------------------------------------------------


def test_the_cache_asks_whether_an_answer_changed(archive, client, tmp_path) -> None:
    now = [1000.0]
    cache = ContentCache(tmp_path / "cache", limit_bytes=10_000, clock=lambda: now[0])
    archive.files["/a"] = File(b"one")
    assert cache.get(client, f"{archive.url}/a").body == b"one"
    assert cache.get(client, f"{archive.url}/a").body == b"one"
    assert archive.seen[1].headers["if-none-match"] == '"v1"' and archive.sent_bytes == 3
    assert cache.get(client, f"{archive.url}/a", fresh_s=10).body == b"one" and len(archive.seen) == 2
    archive.files["/a"] = File(b"two", etag='"v2"')
    assert cache.get(client, f"{archive.url}/a").body == b"two"
    archive.faults["/a"] = [Fault(status=503)] * 9
    stale = cache.get(client, f"{archive.url}/a", is_stale_welcome=True)
    assert stale.body == b"two" and stale.is_stale
    with pytest.raises(Unreachable):
        archive.faults["/a"] = [Fault(status=503)] * 9
        cache.get(client, f"{archive.url}/a")


def test_the_cache_drops_what_was_used_longest_ago(tmp_path) -> None:
    now = [1000.0]
    cache = ContentCache(tmp_path / "cache", limit_bytes=4000, clock=lambda: now[0])
    for name in "abc":
        now[0] += 1
        cache.put(f"http://x.org/{name}", bytes(1000), etag=None, content_type=None)
    now[0] += 1
    assert cache.find("http://x.org/a") is not None
    now[0] += 1
    cache.put("http://x.org/d", bytes(1000), etag=None, content_type=None)
    assert [cache.find(f"http://x.org/{name}") is not None for name in "abcd"] == [True, False, True, True]
    cache.put("http://x.org/e", bytes(5000), etag=None, content_type=None)
    assert cache.find("http://x.org/e") is None and cache.used_bytes() <= 4000


def test_a_damaged_entry_of_the_cache_counts_as_none(tmp_path) -> None:
    cache = ContentCache(tmp_path, limit_bytes=4000)
    cache.put("http://x.org/a?token=hush", b"body", etag=None, content_type=None)
    (entry,) = tmp_path.iterdir()
    raw = entry.read_bytes()
    assert b"hush" not in raw
    for damaged in (raw[:-1], b"", b"{}\nbody", raw[:20]):
        entry.write_bytes(damaged)
        assert cache.find("http://x.org/a?token=hush") is None


# --- kill -9 --------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys
from pathlib import Path
from skyvault.ledger.ledger import open_ledger
from skyvault.net.batch import fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.partial import Part
from skyvault.net.remote_file import Checksum, Order, Packing, RemoteFile
out = Path(sys.argv[1])
orders = [Order(RemoteFile(url=url, checksum=Checksum.read(sum), packing=Packing(packing)), out / name)
          for url, sum, packing, name in json.load(sys.stdin)]
with open_ledger(out.with_name("ledger.db")) as ledger, HttpClient() as client:
    report = fetch_files(orders, client, parallel=3, ledger=ledger.downloads)
print(report.received_bytes)
for problem in report.problems:
    print(problem.reason)
sys.exit(0 if report.is_complete else 1)
"""


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _holdings(archive: FaultServer) -> tuple[list[tuple[str, str, str, str]], dict[str, bytes]]:
    """What is ordered, and the tree it must become."""
    wanted, tree = [], {}
    for number in range(6):
        body = random.Random(number).randbytes(400_000)
        name, packing, packed = f"f{number}", Packing.NONE, body
        if number == 1:
            packing, packed = Packing.GZIP, gzip.compress(body, 1)
        if number == 2:
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w:gz") as tar:
                info = tarfile.TarInfo("inner/events")
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
            packing, packed = Packing.TAR, out.getvalue()
        archive.files[f"/{name}"] = File(packed)
        wanted.append((f"{archive.url}/{name}", str(checksum(packed)), str(packing), name))
        tree[f"{name}/inner/events" if packing is Packing.TAR else name] = body
    return wanted, tree


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_fetch_killed_at_any_byte_ends_in_the_right_tree(archive, tmp_path, kills) -> None:
    chance = random.Random(kills)
    killed = done = 0
    while killed < kills:
        out = tmp_path / f"out{done}"
        out.parent.mkdir(exist_ok=True)
        wanted, tree = _holdings(archive)
        before, tries = archive.sent_bytes, 0
        while True:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(),
                text=True,
            )
            left = [chance.randrange(1, 800_000) if killed < kills and tries < 12 else 1 << 60]

            def kill(count: int, left: list[int] = left, pid: int = process.pid) -> None:
                left[0] -= count
                if left[0] <= 0 and left[0] + count > 0:
                    os.kill(pid, signal.SIGKILL)

            archive.on_block = kill
            said, _ = process.communicate(json.dumps(wanted))
            archive.on_block = lambda count: None
            tries += 1
            if process.returncode != -signal.SIGKILL:
                break
            killed += 1
        assert process.returncode == 0, said
        assert _tree(out) == tree
        # what was on its way when the process died: socket buffers on both sides, for three files at once
        assert (
            archive.sent_bytes - before <= sum(len(file.body) for file in archive.files.values()) + tries * 12_000_000
        )
        done += 1


def test_processes_that_fetch_the_same_files_at_once_all_end_with_whole_files(orders, archive, tmp_path) -> None:
    code = """
import json, sys
from pathlib import Path
from skyvault.net.batch import fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.remote_file import Order, RemoteFile

orders = [Order(RemoteFile(url=url), Path(target)) for url, target in json.load(sys.stdin)]
with HttpClient() as client:
    report = fetch_files(orders, client)
print(json.dumps([len(report.rows), [problem.reason for problem in report.problems]]))
"""
    wanted = json.dumps([(one.remote.url, str(one.target)) for one in orders])
    racing = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, env=environment())
        for _ in range(3)
    ]
    for process in racing:
        assert process.stdin is not None
        process.stdin.write(wanted)
        process.stdin.close()
        process.stdin = None
    for process in racing:
        assert json.loads(process.communicate(timeout=60)[0]) == [len(orders), []]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == sorted(one.target.name for one in orders)


def test_a_file_that_another_fetches_is_waited_for(orders, client) -> None:
    part = Part(orders[0].target, None)
    part.append(b"x")
    threading.Timer(0.4, part.close).start()
    assert fetch_files(orders[:1], client).is_complete
