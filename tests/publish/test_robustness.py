"""Whatever happens while a table is published (kill -9, a full disk, other publishes, running queries): nothing that is
published is lost or half-visible, and what was left behind is cleared away."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from processes import environment
from skyvault.config import Settings
from skyvault.errors import StoreError
from skyvault.publish.checker import check
from skyvault.publish.publisher import publish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits

OLD, NEW = 20_000, 60_000


def stars(path: Path, number: int, generation: int) -> Path:
    rng = np.random.default_rng(generation)
    table = {
        "source_id": np.arange(number),
        "ra": rng.uniform(0, 360, number),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, number))),
        "generation": np.full(number, generation, np.int32),
    }
    pq.write_table(pa.table(table), path)
    return path


def seen(store: DuckStore, table: str = "lab.stars") -> tuple[int, int, int]:
    """Rows, and the least and greatest generation in them."""
    answer = store.query(
        f"SELECT COUNT(*), MIN(generation), MAX(generation) FROM {table} WHERE source_id >= 0", Limits()
    )
    try:
        batch = next(iter(answer.stream.batches))
        return tuple(column.to_pylist()[0] for column in batch.columns)
    finally:
        answer.close()


def errors(settings: Settings) -> list[str]:
    return [finding.what for finding in check(settings=settings) if finding.severity == "error"]


def publishing(source: Path, home: Path, **more: Any) -> subprocess.Popen[bytes]:
    """A publish in a process of its own, as a user starts it."""
    command = [sys.executable, "-m", "skyvault.cli", "publish", str(source), "--name", "lab.stars"]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment() | {"SKYVAULT_HOME": str(home)},
        **more,
    )


#: publishes on command, each in a process of its own that has everything imported: their moments of death then fall
#: into the work itself
NURSERY = """
import os, sys
from pathlib import Path
import cdshealpix, duckdb, mocpy, pyarrow.parquet
from skyvault.config import Settings
from skyvault.publish.publisher import publish

source, home = sys.argv[1:]
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        publish(Path(source), name="lab.stars", settings=Settings(home=Path(home)))
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Nursery:
    """Starts publishes of one file, and kills them after a while."""

    def __init__(self, source: Path, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(source), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment(),
        )

    def run(self, life_s: float | None = None) -> int:
        """One publish, killed after ``life_s``; its wait status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("go\n")
        pid = int(self.process.stdout.readline())
        timer = None
        if life_s is not None:
            # the nursery waits for its child only after it has said its number, so the number is still its own
            timer = threading.Timer(life_s, self.kill, (pid,))
            timer.start()
        status = int(self.process.stdout.readline())
        if timer is not None:
            timer.cancel()
            timer.join()
        return status

    @staticmethod
    def kill(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.process.communicate()


def killed_at_random(home: Path, tmp_path: Path, rounds: int) -> None:
    settings = Settings(home=home, snapshot_grace_s=0)
    old = stars(tmp_path / "old.parquet", OLD, 1)
    publish(old, name="lab.stars", settings=settings)
    nursery = Nursery(stars(tmp_path / "new.parquet", NEW, 2), home)
    try:
        # how long a whole one takes: the moments of death spread over it and a little beyond
        assert nursery.run() == 0
        began = time.monotonic()
        assert nursery.run() == 0
        length = time.monotonic() - began
        publish(old, name="lab.stars", settings=settings)
        chance = random.Random(4)
        statuses = []
        with DuckStore(settings) as store:
            for number in range(rounds):
                statuses.append(nursery.run(length * chance.uniform(0.05, 1.1)))
                found = seen(store)
                assert found in ((OLD, 1, 1), (NEW, 2, 2)), f"round {number}"
                if found == (NEW, 2, 2):
                    publish(old, name="lab.stars", settings=settings)
                    assert seen(store) == (OLD, 1, 1)
    finally:
        nursery.close()
    assert sum(status == signal.SIGKILL for status in statuses) >= rounds // 2
    assert errors(settings) == []
    cleared_away(settings, old)


def cleared_away(settings: Settings, old: Path) -> None:
    """What the dead have left is deleted when it is old enough to be nobody's."""
    home = settings.home
    for path in [*(home / "store").iterdir(), *(home / "tmp").glob("build-*")]:
        os.utime(path, (time.time() - 7200,) * 2)
    with DuckStore(settings) as store:
        store.collect()
        publish(old, name="lab.stars", settings=settings)
        assert seen(store) == (OLD, 1, 1)
        store.collect()
        assert {path.name for path in (home / "store").iterdir()} == {store.holdings.get("lab.stars").snapshot}
    assert list((home / "tmp").glob("build-*")) == []


def test_a_publish_killed_at_any_moment_leaves_the_old_table_or_the_new_one(home, tmp_path):
    killed_at_random(home, tmp_path, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_publish_killed_two_hundred_times_leaves_the_old_table_or_the_new_one(home, tmp_path):
    killed_at_random(home, tmp_path, 200)


def limited() -> None:
    """No file of this process may grow beyond 3 MB: the engine meets it as it meets a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


def test_a_file_that_cannot_be_written_is_told_in_a_sentence_and_nothing_is_lost(home, tmp_path):
    settings = Settings(home=home)
    publish(stars(tmp_path / "old.parquet", 1000, 1), name="lab.stars", settings=settings)
    process = publishing(stars(tmp_path / "new.parquet", 1_000_000, 2), home, preexec_fn=limited)
    said = process.communicate()[1].decode()
    assert process.returncode == 1, said
    assert "disk is full" in said and "Traceback" not in said and "Nothing was published" in said
    with DuckStore(settings) as store:
        assert seen(store) == (1000, 1, 1)
    assert len(list((home / "store").iterdir())) == 1 and list((home / "tmp").glob("build-*")) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB, or a skip that says why."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("this machine does not allow to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_in_a_sentence_and_nothing_is_lost(small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr("skyvault.ledger.sqlite.file_system_of", lambda path: "ext4")
    settings = Settings(home=small_disk / "home")
    publish(stars(tmp_path / "old.parquet", 1000, 1), name="lab.stars", settings=settings)
    with pytest.raises(StoreError, match="disk is full"):
        publish(stars(tmp_path / "new.parquet", 1_500_000, 2), name="lab.stars", settings=settings)
    with DuckStore(settings) as store:
        assert seen(store) == (1000, 1, 1)
    assert len(list((settings.home / "store").iterdir())) == 1
    publish(tmp_path / "old.parquet", name="lab.stars", settings=settings)
    assert errors(settings) == []


def test_a_table_replaced_fifty_times_never_fails_a_query(home, tmp_path):
    settings = Settings(home=home, snapshot_grace_s=0)
    files = [stars(tmp_path / f"{i}.parquet", 3000 + i, i) for i in range(2)]
    publish(files[0], name="lab.stars", settings=settings)
    stop = threading.Event()
    problems: list[BaseException] = []
    answers: set[tuple[int, int, int]] = set()
    asked = [0]
    with DuckStore(settings) as store:

        def asking() -> None:
            while not stop.is_set():
                try:
                    answers.add(seen(store))
                    asked[0] += 1
                except BaseException as problem:
                    problems.append(problem)
                    return

        thread = threading.Thread(target=asking)
        thread.start()
        try:
            for number in range(50):
                publish(files[(number + 1) % 2], name="lab.stars", settings=settings)
                if number % 10 == 9:
                    store.collect()
        finally:
            stop.set()
            thread.join()
        assert problems == []
        assert answers == {(3000, 0, 0), (3001, 1, 1)} and asked[0] >= 50
        store.view()
        store.collect()
        assert len(list((home / "store").iterdir())) == 1


def test_a_running_query_finishes_on_the_table_it_began_with(home, tmp_path):
    settings = Settings(home=home, snapshot_grace_s=0)
    publish(stars(tmp_path / "old.parquet", 200_000, 1), name="lab.stars", settings=settings)
    stars(tmp_path / "new.parquet", 10, 2)
    with DuckStore(settings) as store:
        running = store.query("SELECT source_id, generation FROM lab.stars", Limits())
        batches = iter(running.stream.batches)
        first = next(batches)
        publish(tmp_path / "new.parquet", name="lab.stars", settings=settings)
        store.collect()
        assert seen(store) == (10, 2, 2)
        rest = [first, *batches]
        running.close()
        assert sum(batch.num_rows for batch in rest) == 200_000
        assert {value for batch in rest for value in set(batch.column(1).to_pylist())} == {1}


INGEST = """
import json, sys, time
import numpy as np, pyarrow as pa
from pathlib import Path
from skyvault.config import Settings
from skyvault.formats.stream import TableStream
from skyvault.ledger.ledger import open_ledger
from skyvault.model.table import Column, Table
from skyvault.publish.inference import infer
from skyvault.publish.publisher import Publisher
from skyvault.store.layout import Layout

home, total = Path(sys.argv[1]), int(sys.argv[2])
settings = Settings(home=home, memory_limit=512_000_000, threads=2)
columns = (Column("source_id", "long"), Column("ra", "double", unit="deg"), Column("dec", "double", unit="deg"),
           *(Column(f"x{i}", "double") for i in range(6)), Column("name", "char", "*"))

def batches():
    rng = np.random.default_rng(0)
    for start in range(0, total, 100_000):
        n = min(100_000, total - start)
        ids = np.arange(start, start + n)
        arrays = [ids, rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
        arrays += [rng.normal(size=n) for _ in range(6)]
        texts = pa.array(ids).cast(pa.string())
        yield pa.RecordBatch.from_arrays([*map(pa.array, arrays), texts], names=[c.name for c in columns])

layout = Layout(home).make()
began = time.perf_counter()
with open_ledger(layout.ledger) as ledger:
    publisher = Publisher(layout, ledger.holdings, settings, None)
    spec = infer(Table("big", columns), "lab.big").spec
    holding, built = publisher.publish_stream(spec, TableStream(spec.table, batches()))
# the peak of this program alone: ru_maxrss begins with what the process that started it had
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": holding.nrows, "seconds": time.perf_counter() - began, "peak": peak, "bytes": holding.bytes}))
"""


def bounded(home: Path, total: int, timeout: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", INGEST, str(home), str(total)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    print(told)
    return told


def test_rows_beyond_the_memory_are_published_within_it(home):
    told = bounded(home, 3_000_000, 110)
    assert told["rows"] == 3_000_000
    # the engine's 512 MB, Python with its libraries, and the batches on their way
    assert told["peak"] < 1_100_000_000
    assert errors(Settings(home=home)) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_million_rows_are_published_within_half_a_gigabyte(home):
    told = bounded(home, 20_000_000, 800)
    assert told["rows"] == 20_000_000 and told["bytes"] > 1_000_000_000
    assert told["peak"] < 1_100_000_000
