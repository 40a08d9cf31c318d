"""ivoa.ObsCore over 5 million rows in 40 collections: searches by place, time and band, and what a publish costs.

    python benchmarks/bench_observations.py [--rows 5000000] [--collections 40] [--keep DIR]

JSON on stdout. The baseline in the same run is DuckDB over the same merged table without the index of regions: a box
of declinations and right ascensions that must be refined, which is what a table without footprints could do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BANDS = ((3.0e-7, 4.0e-7), (3.9e-7, 5.5e-7), (5.5e-7, 7.0e-7), (6.9e-7, 8.4e-7), (8.2e-7, 9.9e-7))


def _timed(act: Callable[[], Any], times: int) -> tuple[float, float]:
    """Median wall and CPU time of this process, ms."""
    walls, processor = [], []
    for _ in range(times):
        begin, used = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - begin)
        processor.append(time.process_time() - used)
    return statistics.median(walls) * 1e3, statistics.median(processor) * 1e3


def observations(number: int, rows: int) -> Any:
    """One collection: exposures of 0.2 degrees a side all over the sky, in five bands and ten years."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rng = np.random.default_rng(number)
    ra = np.round(rng.uniform(0.5, 359.5, rows), 5)
    dec = np.round(np.degrees(np.arcsin(rng.uniform(-0.98, 0.98, rows))), 5)
    half = np.round(0.1 / np.cos(np.radians(dec)), 5)
    west, east = (pc.cast(pa.array(np.round(ra + sign * half, 5)), pa.string()) for sign in (1, -1))
    south, north = (pc.cast(pa.array(np.round(dec + sign * 0.1, 5)), pa.string()) for sign in (-1, 1))
    corners = [west, south, west, north, east, north, east, south]
    region = pc.binary_join_element_wise(pa.scalar("POLYGON ICRS"), *corners, " ")
    band = rng.integers(0, len(BANDS), rows)
    begin = rng.uniform(55_000, 58_650, rows)
    name = f"survey{number:02d}"
    ids = pc.binary_join_element_wise(pa.scalar(name), pc.cast(pa.array(np.arange(rows)), pa.string()), "/")
    text = {"dataproduct_type": "image", "obs_collection": name, "access_format": "image/fits", "facility_name": "f",
            "instrument_name": "i", "o_ucd": "phot.count", "target_name": "field"}  # fmt: skip
    return pa.table(
        {
            "obs_id": ids,
            "obs_publisher_did": pc.binary_join_element_wise(pa.scalar("ivo://bench/~?x"), ids, "/"),
            "access_url": pc.binary_join_element_wise(pa.scalar("https://bench.invalid"), ids, "/"),
            **{key: pa.array([value] * rows) for key, value in text.items()},
            "calib_level": pa.array(np.full(rows, 2, np.int32)),
            "access_estsize": pa.array(np.full(rows, 8000)),
            "s_ra": ra, "s_dec": dec, "s_fov": np.full(rows, 0.28), "s_region": region,
            "s_xel1": pa.array(np.full(rows, 2048)), "s_xel2": pa.array(np.full(rows, 2048)),
            "t_min": begin, "t_max": begin + 0.001, "t_exptime": np.full(rows, 86.4),
            "em_min": np.array(BANDS)[band, 0], "em_max": np.array(BANDS)[band, 1],
        }
    )  # fmt: skip


def prepare(folder: Path, rows: int, collections: int) -> dict[str, Any]:
    """Publish all; the merged table is made once, as for a site that is set up. Then one small collection beside."""
    import pyarrow.parquet as pq

    from skyvault.config import Settings
    from skyvault.publish.publisher import Publisher, publish

    settings = Settings(home=folder / "home")
    merge = Publisher.merge_obscore
    Publisher.merge_obscore = lambda self: None  # type: ignore[method-assign]
    begin = time.perf_counter()
    for number in range(collections):
        path = folder / "one.parquet"
        pq.write_table(observations(number, rows // collections), path)
        if number == collections - 1:
            Publisher.merge_obscore = merge  # type: ignore[method-assign]
            collected = time.perf_counter()
        publish(path, name=f"bench.survey{number:02d}", settings=settings, obscore=True)
    merged = time.perf_counter()
    pq.write_table(observations(99, 1000), folder / "small.parquet")
    told = {"collections_s": round(collected - begin, 1), "last_and_merge_s": round(merged - collected, 1)}
    for label in ("publish_1000_new_s", "publish_1000_again_s"):
        begin, used = time.perf_counter(), time.process_time()
        publish(folder / "small.parquet", name="bench.small", settings=settings, obscore=True)
        told[label] = round(time.perf_counter() - begin, 2)
        told[label.replace("_s", "_cpu_s")] = round(time.process_time() - used, 2)
    return told


def searches(folder: Path) -> dict[str, Any]:
    """A cone of 0.05 degrees with a month and a band, in this process and by SIA2."""
    import httpx2

    from skyvault.config import Settings
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    rng = np.random.default_rng(7)
    store = DuckStore(Settings(home=folder / "home"))
    found: list[int] = []

    def place() -> tuple[float, float, float]:
        return rng.uniform(1, 359), np.degrees(np.arcsin(rng.uniform(-0.9, 0.9))), rng.uniform(55_000, 58_000)

    def ask() -> None:
        ra, dec, day = place()
        answer = store.query(
            f"SELECT * FROM ivoa.ObsCore WHERE 1=INTERSECTS(s_region, CIRCLE({ra}, {dec}, 0.05))"
            f" AND t_min <= {day + 300} AND t_max >= {day} AND em_min <= 6e-7 AND em_max >= 6e-7",
            Limits(rows=20_000),
        )
        found.append(sum(batch.num_rows for batch in answer.stream.batches))
        answer.close()

    for _ in range(20):
        ask()
    told: dict[str, Any] = dict(zip(("obscore_ms", "obscore_cpu_ms"), _timed(ask, 101), strict=True))
    told["rows_found"] = round(statistics.mean(found), 1)
    holding = store.holdings.get("ivoa.ObsCore")
    told["rows"] = holding.nrows
    told["baseline_box_ms"] = _baseline(store.layout.store / holding.snapshot, place)
    store.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "skyvault.cli", "serve", "--port", "0", "--workers", "1"],
        env=os.environ | {"SKYVAULT_HOME": str(folder / "home")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        base = next(w for line in process.stdout for w in line.split() if w.startswith("http://")).rstrip("/.,")
        client = httpx2.Client(timeout=60)
        ends = time.time() + 60
        while time.time() < ends:
            try:
                client.get(f"{base}/tap/availability")
                break
            except httpx2.HTTPError:
                time.sleep(0.05)

        def sia() -> None:
            ra, dec, day = place()
            words = {"POS": f"CIRCLE {ra} {dec} 0.05", "TIME": f"{day} {day + 300}", "BAND": "6e-7"}
            client.get(f"{base}/sia2/query", params=words).raise_for_status()

        for _ in range(20):
            sia()
        used = _used(process.pid)
        told["sia2_ms"] = _timed(sia, 101)[0]
        told["sia2_server_cpu_ms"] = (_used(process.pid) - used) / 101 * 1e3
    finally:
        process.terminate()
        process.wait(20)
    return {name: round(value, 2) for name, value in told.items()}


def _baseline(path: Path, place: Callable[[], tuple[float, float, float]]) -> float:
    import duckdb

    connection = duckdb.connect(str(path), read_only=True)

    def ask() -> None:
        ra, dec, day = place()
        half = 0.3 / np.cos(np.radians(dec))
        connection.execute(
            "SELECT * FROM data WHERE s_dec BETWEEN ? AND ? AND s_ra BETWEEN ? AND ? AND t_min <= ? AND t_max >= ?"
            " AND em_min <= 6e-7 AND em_max >= 6e-7",
            [dec - 0.3, dec + 0.3, ra - half, ra + half, day + 300, day],
        ).fetchall()

    ask()
    return _timed(ask, 11)[0]


def _used(pid: int) -> float:
    """CPU seconds of a process and its children."""
    total = 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [str(pid), *children]:
        words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--collections", type=int, default=40)
    parser.add_argument("--keep", type=Path, help="a folder that is kept, and used again when it holds the tables")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        told = {} if (folder / "home").exists() else prepare(folder, options.rows, options.collections)
        print(json.dumps({**told, **searches(folder)}, indent=2))


if __name__ == "__main__":
    main()
