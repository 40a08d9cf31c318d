"""What a cone and an upload join cost as the table grows: jittered copies of the Tycho-2 stars. Prints JSON.

usage: bench_growth.py [--copies 1,5,27] [--uploads 10000]

Copies of the 1.87 M real stars, each moved by up to 0.2 degrees, make tables of 1.87 M, 9.4 M and 50 M rows. All are
asked in one run, interleaved, so that the ratios mean something on a noisy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyvault.config import Settings
from skyvault.formats.stream import TableStream
from skyvault.ledger.ledger import open_ledger
from skyvault.model.table import Column, Table
from skyvault.publish.inference import infer
from skyvault.publish.publisher import Publisher
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.layout import Layout
from skyvault.store.query import Limits
from skyvault.store.uploads import Uploads

SHARED = Path(os.environ.get("SKYVAULT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def jittered(stars: pa.Table, copies: int) -> Iterator[pa.RecordBatch]:
    ra, dec = stars["ra"].to_numpy(), stars["dec"].to_numpy()
    for copy in range(copies):
        rng = np.random.default_rng(copy)
        shift = rng.uniform(-0.2, 0.2, (2, len(ra))) if copy else np.zeros((2, len(ra)))
        moved = stars.set_column(1, "ra", pa.array((ra + shift[0]) % 360))
        moved = moved.set_column(2, "dec", pa.array(np.clip(dec + shift[1], -90, 90)))
        yield from moved.to_batches(max_chunksize=100_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", default="1,5,27")
    parser.add_argument("--uploads", type=int, default=10_000)
    options = parser.parse_args()
    stars = pq.read_table(SHARED / "data/stars/tycho2.parquet", columns=["source_id", "ra", "dec", "mag_vt"])
    columns = (Column("source_id", "long"), Column("ra", "double"), Column("dec", "double"), Column("mag_vt", "float"))
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        layout = Layout(settings.home).make()
        sizes = [int(copies) for copies in options.copies.split(",")]
        with open_ledger(layout.ledger) as ledger:
            for copies in sizes:
                began = time.perf_counter()
                publisher = Publisher(layout, ledger.holdings, settings, None)
                spec = infer(Table("x", columns), f"lab.stars{copies}").spec
                built = publisher.build(spec, TableStream(spec.table, jittered(stars, copies)))
                publisher.commit(spec, built, {})
                out[f"rows_{copies}"] = {
                    "rows": built.nrows,
                    "ingest_s": time.perf_counter() - began,
                    "bytes": built.bytes,
                }
        rng = np.random.default_rng(1)
        chosen = rng.choice(stars.num_rows, options.uploads, replace=False)
        upload = pa.table({"ra": stars["ra"].to_numpy()[chosen], "dec": stars["dec"].to_numpy()[chosen]})
        places = [(float(a), float(d)) for a, d in zip(rng.uniform(0, 360, 60), rng.uniform(-80, 80, 60), strict=True)]
        with DuckStore(settings) as store:
            cones: dict[int, list[float]] = {copies: [] for copies in sizes}
            joins: dict[int, list[float]] = {copies: [] for copies in sizes}
            for lon, lat in places:
                for copies in sizes:
                    cones[copies].append(
                        timed(store, f"SELECT * FROM lab.stars{copies} WHERE DISTANCE(ra, dec, {lon}, {lat}) < 0.1")
                    )
            for _ in range(3):
                for copies in sizes:
                    text = f"SELECT COUNT(*) FROM lab.stars{copies} s JOIN TAP_UPLOAD.t u ON DISTANCE(s.ra, s.dec, u.ra, u.dec) < 2./3600"
                    joins[copies].append(timed(store, text, upload))
            for copies in sizes:
                out[f"rows_{copies}"]["cone_ms"] = statistics.median(cones[copies]) * 1e3
                out[f"rows_{copies}"]["upload_join_s"] = statistics.median(joins[copies])
    print(json.dumps(out, indent=1))


def timed(store: DuckStore, text: str, upload: pa.Table | None = None) -> float:
    uploads = None
    if upload is not None:
        uploads = Uploads()
        table = Table("t", (Column("ra", "double"), Column("dec", "double")))
        uploads.add("t", TableStream(table, iter(upload.to_batches())))
    began = time.perf_counter()
    answer = store.query(text, Limits(rows=1_000_000, seconds=600), uploads=uploads)
    for _ in answer.stream.batches:
        pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
