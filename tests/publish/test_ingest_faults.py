"""Whatever happens while files are read (kill -9, a full disk, files that come, go and change, hooks that die): what is
public stays whole, the next publish gives what an undisturbed one gives, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from astropy.io import fits

from processes import environment
from skyvault.config import Settings
from skyvault.errors import Conflict, IngestError, StoreError
from skyvault.model.product import Product
from skyvault.publish import resource_publisher
from skyvault.publish.checker import check
from skyvault.publish.datasets import Dataset
from skyvault.publish.ingest_state import IngestState, SeenFile, file_read
from skyvault.publish.merging import catch_up
from skyvault.publish.publisher import unpublish
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query
from skyvault.store.duckdb_store import DuckStore, remove_orphans

RESOURCE = (
    "schema: sky\ntitle: t\ndescription: d\nservices: [sia2, soda]\nfiles:\n  images:\n    files: 'images/*.fits'\n"
)


def image(path: Path, number: int, size: int = 40, **cards: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    hdu = fits.PrimaryHDU(rng.integers(0, 500, (size, size)).astype(np.int16))
    hdu.header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=number % 360, CRVAL2=20.0, CRPIX1=(size + 1) / 2,
        CRPIX2=(size + 1) / 2, CDELT1=-0.01, CDELT2=0.01, **cards,
    )  # fmt: skip
    hdu.writeto(path, overwrite=True)


def collection(folder: Path, count: int, more: str = "", size: int = 40) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image(folder / "images" / f"i{number:04d}.fits", number, size)
    (folder / "resource.yaml").write_text(RESOURCE + more)
    return folder


#: publishes, and is killed when the collection is public and ivoa.ObsCore does not know of it yet
KILLED_BEFORE_THE_MERGE = """
import os, signal, sys
from pathlib import Path
from skyvault.config import Settings
from skyvault.publish.publisher import Publisher
from skyvault.publish.resource_publisher import publish_resource

if __name__ == "__main__":
    Publisher.merge_obscore = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    publish_resource(Path(sys.argv[1]), settings=Settings(home=Path(sys.argv[2])))
"""


def test_observations_of_a_publish_killed_before_its_end_are_found_once_the_server_starts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    folder = collection(tmp_path / "c", 2)
    program = tmp_path / "killed.py"
    program.write_text(KILLED_BEFORE_THE_MERGE)
    run = subprocess.run([sys.executable, str(program), str(folder), str(settings.home)], env=environment(), timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert "ivoa.ObsCore" in {finding.where for finding in check(settings=settings)}
    assert catch_up(settings) and not catch_up(settings)
    assert rows(settings, "SELECT COUNT(*) AS n FROM ivoa.ObsCore") == [{"n": 2}]


def rows(settings: Settings, adql: str) -> list[dict[str, Any]]:
    return [row for batch in query(adql, settings=settings).batches for row in batch.to_pylist()]


def held(settings: Settings, table: str = "sky.images") -> tuple[Any, ...]:
    """All that is public of a collection: rows, products, observations, and the bytes of what was made."""
    with DuckStore(settings) as store:
        holding = store.holdings.get(table)
        connection = duckdb.connect(str(store.layout.store / holding.snapshot), read_only=True)
        try:
            data = connection.execute("SELECT * FROM data ORDER BY obs_publisher_did").fetchall()
            products = connection.execute("SELECT * FROM products ORDER BY ALL").fetchall()
        finally:
            connection.close()
    observations = rows(settings, "SELECT obs_publisher_did, s_region FROM ivoa.ObsCore ORDER BY obs_publisher_did")
    made = settings.home / "products" / table
    pictures = {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    return [row[:29] for row in data], products, observations, pictures


def left_behind(settings: Settings) -> list[str]:
    """Files that belong to nothing once those that use them have had their time."""
    with DuckStore(settings) as store:
        # the leases of the dead have run out
        store.holdings.clock = lambda: time.time() + 7200
        remove_orphans(store.layout.store, store.holdings.files(), -1.0)
        store.collect()
        snapshots = {holding.snapshot for holding in store.holdings.current().values()}
        found = [path.name for path in store.layout.store.iterdir() if path.name not in snapshots]
        paths = set()
        for holding in store.holdings.current().values():
            if "collection" in holding.extra:
                connection = duckdb.connect(str(store.layout.store / holding.snapshot), read_only=True)
                rows = connection.execute("SELECT path FROM products WHERE place = 'made'").fetchall()
                connection.close()
                paths |= {settings.home / "products" / holding.name / path for (path,) in rows}
    return found + [
        str(path) for path in (settings.home / "products").rglob("*") if path.is_file() and path not in paths
    ]


# --- kill -9 -------------------------------------------------------------------------------------------------------

#: publishes on command in a process of its own group, which is killed whole
NURSERY = """
import os, sys
from pathlib import Path
import cdshealpix, duckdb, mocpy, astropy.wcs, astropy.io.fits
from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource
import skyvault.publish.image_datasets

for line in sys.stdin:
    folder, home = line.split()
    pid = os.fork()
    if pid == 0:
        publish_resource(Path(folder), settings=Settings(home=Path(home), snapshot_grace_s=0), processes=1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def kill(pid: int) -> None:
    # the nursery waits for its child only after it has said its number, so the number is still its own
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def killed_at_random(tmp_path: Path, rounds: int) -> None:
    folder = collection(tmp_path / "resource", 12)
    undisturbed = Settings(home=tmp_path / "undisturbed", snapshot_grace_s=0)
    publish_resource(folder, settings=undisturbed, processes=1)
    settings = Settings(home=tmp_path / "home", snapshot_grace_s=0)
    publish_resource(folder, settings=settings, processes=1)
    first = held(settings)
    assert first == held(undisturbed)
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env=environment(),
    )  # fmt: skip
    assert nursery.stdin is not None and nursery.stdout is not None
    chance = random.Random(5)
    killed = 0
    try:
        length = 0.0
        for number in range(rounds):
            # one comes, one goes, one changes
            generation = 1000 + number
            image(folder / "images" / f"n{number:04d}.fits", generation)
            (folder / "images" / (f"n{number - 1:04d}.fits" if number else "i0000.fits")).unlink()
            image(folder / "images" / f"i{1 + number % 11:04d}.fits", generation)
            nursery.stdin.write(f"{folder} {settings.home}\n")
            pid = int(nursery.stdout.readline())
            began = time.monotonic()
            # those that come to their end tell how long a whole one takes
            timer = threading.Timer(length * chance.uniform(0.02, 1.0) if number else 600.0, kill, (pid,))
            timer.start()
            status = int(nursery.stdout.readline())
            timer.cancel()
            timer.join()
            killed += status == signal.SIGKILL
            if status == 0:
                # the machine is now faster, now slower
                length = time.monotonic() - began
            # what is public is what was, or what is now: it is read whole either way
            dids = [row["obs_publisher_did"] for row in rows(settings, "SELECT obs_publisher_did FROM sky.images")]
            assert len(set(dids)) == len(dids) == 12
    finally:
        nursery.stdin.close()
        nursery.wait(20)
        nursery.stdout.close()
    assert killed >= rounds // 4
    publish_resource(folder, settings=settings, processes=1)
    shutil.rmtree(undisturbed.home)
    publish_resource(folder, settings=undisturbed, processes=1)
    assert held(settings) == held(undisturbed)
    assert left_behind(settings) == []


def test_an_ingest_killed_at_any_moment_goes_on_to_what_an_undisturbed_one_gives(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_ingest_killed_a_hundred_times_goes_on_to_what_an_undisturbed_one_gives(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 100)


def test_the_processes_that_read_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    folder = collection(tmp_path / "resource", 16, "    hook: wait\n")
    (folder / "hooks.py").write_text(
        "import os, time\nfrom pathlib import Path\n\ndef wait(row, path, header):\n"
        "    (Path(__file__).parent / f'{os.getpid()}.pid').touch()\n    time.sleep(600)\n"
    )
    script = (
        "import sys\nfrom pathlib import Path\nfrom skyvault.config import Settings\n"
        "from skyvault.publish.resource_publisher import publish_resource\n"
        "publish_resource(Path(sys.argv[1]), settings=Settings(home=Path(sys.argv[2])), processes=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(folder), str(tmp_path / "home")], env=environment())
    assert _until(lambda: len([*folder.glob("*.pid")]) == 2)
    readers = [int(path.stem) for path in folder.glob("*.pid")]
    process.kill()
    process.wait()
    assert _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in readers))


def _until(true: Any, seconds: float = 30.0) -> bool:
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def test_a_file_that_ends_the_process_is_told_and_the_others_are_published(tmp_path: Path) -> None:
    folder = collection(tmp_path / "resource", 20, "    hook: die\n    previews: false\n")
    (folder / "hooks.py").write_text(
        "import os\n\ndef die(row, path, header):\n    if path.name == 'i0007.fits':\n        os._exit(9)\n    return row\n"
    )
    settings = Settings(home=tmp_path / "home")
    done = publish_resource(folder, settings=settings, processes=2)
    assert done.collections[0].rows == 19
    ((path, told),) = done.problems
    assert path == "images/i0007.fits" and "the process that read it was ended" in told
    # it may have been the machine's fault: it is tried again
    again = publish_resource(folder, settings=settings, processes=2).collections[0].ingested
    assert (again.read, again.known) == (1, 19)


# --- full disks and torn files -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 40 MB, or a skip that says why."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("this machine does not allow to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_reading_goes_on_where_it_stopped(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skyvault.ledger.sqlite.file_system_of", lambda path: "ext4")
    settings = Settings(home=small_disk / "home")
    publish_resource(collection(tmp_path / "resource", 2), settings=settings)
    before = held(settings)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free - 3_000_000))
    collection(tmp_path / "resource", 12, size=500)
    with pytest.raises(StoreError, match="the disk is full"):
        publish_resource(tmp_path / "resource", settings=settings)
    assert held(settings)[:3] == before[:3] and set(before[3]) <= set(held(settings)[3])
    ballast.unlink()
    ingested = publish_resource(tmp_path / "resource", settings=settings).collections[0].ingested
    assert ingested.known > 0 and ingested.read + ingested.known == 12 and not ingested.problems
    assert left_behind(settings) == []


@pytest.mark.parametrize("compression", ["RICE_1", "GZIP_1", None])
def test_a_truncated_file_is_told_in_a_sentence_and_the_others_are_published(
    tmp_path: Path, compression: str | None
) -> None:
    folder = collection(tmp_path / "resource", 3)
    path = folder / "images" / "i0001.fits"
    if compression is not None:
        pixels, header = fits.getdata(path), fits.getheader(path)
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, header, compression_type=compression)]).writeto(
            path, overwrite=True
        )
    whole = path.read_bytes()
    path.write_bytes(whole[: 2880 * 2 + 700] if compression else whole[:3000])
    done = publish_resource(folder, settings=Settings(home=tmp_path / "home"))
    assert done.collections[0].rows == 2
    ((name, told),) = done.problems
    assert name == "images/i0001.fits" and "\n" not in told and "Traceback" not in told


def test_a_torn_cache_is_thrown_away_and_the_files_are_read_again(tmp_path: Path) -> None:
    folder, settings = collection(tmp_path / "resource", 3), Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    (settings.home / "ingest" / "sky.images.sqlite").write_bytes(b"torn" * 5000)
    ingested = publish_resource(folder, settings=settings).collections[0].ingested
    assert (ingested.read, ingested.known) == (3, 0)
    assert left_behind(settings) == []


def test_two_publishes_of_one_collection_do_not_mix(tmp_path: Path) -> None:
    folder, settings = collection(tmp_path / "resource", 3), Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    state = IngestState(settings.home / "ingest" / "sky.images.sqlite")
    try:
        with pytest.raises(Conflict, match=r"sky\.images is being published by another process"):
            publish_resource(folder, settings=settings)
    finally:
        state.close()
    publish_resource(folder, settings=settings)


# --- what was made of files that are not so any more ----------------------------------------------------------------


def test_pictures_of_changed_and_vanished_files_stay_until_the_next_version_is_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = collection(tmp_path / "resource", 3), Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    before = held(settings)[3]
    assert len(before) == 6
    image(folder / "images" / "i0001.fits", 77)
    (folder / "images" / "i0002.fits").unlink()

    def refused(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(resource_publisher.Publisher, "publish_stream", refused)
        with pytest.raises(StoreError):
            publish_resource(folder, settings=settings)
    now = held(settings)[3]
    assert {name: now[name] for name in before} == before
    publish_resource(folder, settings=settings)
    after = held(settings)[3]
    assert len(after) == 4 and left_behind(settings) == []
    assert sum(name in before for name in after) == 2


def test_pictures_that_a_broken_off_publish_made_and_noted_nowhere_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = collection(tmp_path / "resource", 3), Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    image(folder / "images" / "i0001.fits", 77)

    def killed(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(IngestState, "keep", killed)
        with pytest.raises(StoreError):
            publish_resource(folder, settings=settings)
    assert len(held(settings)[3]) == 8
    image(folder / "images" / "i0001.fits", 78)
    publish_resource(folder, settings=settings)
    assert len(held(settings)[3]) == 6 and left_behind(settings) == []


def test_a_collection_that_is_withdrawn_leaves_nothing_and_can_be_published_again(tmp_path: Path) -> None:
    folder, settings = collection(tmp_path / "resource", 3), Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    first = held(settings)
    unpublish("sky.images", settings=settings)
    assert [path for path in (settings.home / "products").rglob("*") if path.is_file()] == []
    assert [path.name for path in (settings.home / "ingest").iterdir()] == ["sky.images.lock"]
    assert publish_resource(folder, settings=settings).collections[0].ingested.read == 3
    assert held(settings) == first


def test_what_a_column_cannot_hold_is_left_empty_and_told(tmp_path: Path) -> None:
    more = "    map: {calib_level: high, t_exptime: '= LONG', obs_release_date: soon}\n"
    folder, settings = collection(tmp_path / "resource", 1, more), Settings(home=tmp_path / "home")
    image(folder / "images" / "i0000.fits", 3, LONG="an hour")
    remarks = [text for _, text in publish_resource(folder, settings=settings).collections[0].ingested.remarks]
    assert "its calib_level is left empty: 'high' is not of the kind int" in remarks
    assert "its t_exptime is left empty: 'an hour' is not of the kind double" in remarks


def test_columns_that_only_hooks_know_hold_every_kind_of_value(tmp_path: Path) -> None:
    folder = collection(tmp_path / "resource", 3, "    hook: more\n")
    (folder / "hooks.py").write_text(
        "import numpy as np\n\ndef more(row, path, header):\n    n = int(path.stem[1:])\n"
        "    row.update(seen=n > 1, runs=np.int64(n), seeing=n if n else 0.5, mixed='two' if n == 2 else n,\n"
        "               flux=np.arange(n, dtype=np.float32), late=None if n == 2 else 2**40)\n    return row\n"
    )
    settings = Settings(home=tmp_path / "home")
    publish_resource(folder, settings=settings)
    found = rows(settings, "SELECT seen, runs, seeing, mixed, flux, late FROM sky.images ORDER BY runs")
    assert found[0] == {"seen": False, "runs": 0, "seeing": 0.5, "mixed": "0", "flux": [], "late": 2**40}
    assert found[2] == {"seen": True, "runs": 2, "seeing": 2.0, "mixed": "two", "flux": [0.0, 1.0], "late": None}


# --- very many files ------------------------------------------------------------------------------------------------

FLOOD = """
import resource, sys, time
from pathlib import Path
from skyvault.publish.collection import collection_table
from skyvault.publish.ingest_state import IngestState
from skyvault.publish.resource import FilesSection, Resource

state = IngestState(Path(sys.argv[1]))
section = FilesSection.model_validate({"files": "*.fits", "obscore": "= s_fov < 1"})
described = Resource.model_validate({"schema": "sky", "title": "t", "description": "d", "files": {"images": section}})

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

Path("/proc/self/clear_refs").write_text("5")
before, began = peak(), time.process_time()
table = collection_table("images", section, described, state)
counts = [
    sum(batch.num_rows for batch in table.stream().batches),
    sum(batch.num_rows for batch in table.products()),
    sum(batch.num_rows for batch in table.left_out()),
    len(state.remarks(10_000)),
]
print(*counts, peak() - before, time.process_time() - began)
"""


def flooded(path: Path, count: int) -> tuple[list[int], int, float]:
    """Counts of what streams out of a state of so many files; MB above the begin; seconds of CPU."""
    state = IngestState(path)
    did = "ivo://x.y/~?sky.images/images/{}.fits"
    for first in range(0, count, 1000):
        kept = []
        for number in range(first, first + 1000):
            name = did.format(number)
            row = {"obs_publisher_did": name, "obs_id": str(number), "s_ra": 0.5, "s_dec": 1.5, "calib_level": 2,
                   "s_region": "POLYGON ICRS 1 2 3 4 5 6 7 8 " * 3, "_in_obscore": bool(number % 2)}  # fmt: skip
            products = [Product(name, n, word, "made", f"{number}.png", "image/png", 5) for n, word in enumerate("ab")]
            kept.append(file_read(SeenFile(f"{number:08d}", 1, 1), [Dataset(row, products, ["odd"])]))
        state.keep(kept, "recipe")
    state.close()
    done = subprocess.run(
        [sys.executable, "-c", FLOOD, str(path)], capture_output=True, text=True, check=True, env=environment()
    )
    *counts, peak, seconds = done.stdout.split()
    return [int(one) for one in counts], int(peak), float(seconds)


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    few, few_mb, _ = flooded(tmp_path / "few.sqlite", 4_000)
    many, many_mb, _ = flooded(tmp_path / "many.sqlite", 40_000)
    assert few == [4_000, 8_000, 2_000, 4_000] and many == [40_000, 80_000, 20_000, 10_000]
    assert many_mb < few_mb + 30, (few_mb, many_mb)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_two_hundred_thousand_files(tmp_path: Path) -> None:
    counts, peak, seconds = flooded(tmp_path / "many.sqlite", 200_000)
    assert counts == [200_000, 400_000, 100_000, 10_000] and peak < 150 and seconds < 60
    assert sqlite3.connect(tmp_path / "many.sqlite").execute("SELECT count(*) FROM files").fetchone() == (200_000,)


def test_observations_of_a_resource_are_merged_once_also_when_one_of_its_collections_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges: list[int] = []
    merge = resource_publisher.Publisher.merge_obscore
    monkeypatch.setattr(resource_publisher.Publisher, "merge_obscore", lambda self: (merges.append(1), merge(self))[1])
    more = "  others: {files: 'others/*.fits'}\n  none_there: {files: 'none/*.fits'}\n"
    folder, settings = collection(tmp_path / "resource", 3, more), Settings(home=tmp_path / "home")
    image(folder / "others" / "a.fits", 7)
    with pytest.raises(IngestError, match="no file matches"):
        publish_resource(folder, settings=settings)
    assert len(rows(settings, "SELECT obs_id FROM ivoa.ObsCore")) == 4 and len(merges) == 1
