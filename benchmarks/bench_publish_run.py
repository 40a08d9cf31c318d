"""Publishing a pipeline's run: sources and epochs a second and peak memory, against everything held in memory at once.

./run bench bench_publish_run --sources 2000 8000

Rows are copied from one real run of the simulated survey (100 epochs a source), whose files all sources share, so that
what is measured is reading, describing, sorting and storing. Prints JSON: for each number of sources the streamed way
and the baseline, each in a process of its own; memory is VmHWM of that process, and what it was before the work began.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def prepare(folder: Path, sources: int) -> None:
    """A run of ``sources`` sources in this data folder."""
    import sqlalchemy as sa

    from skyvault.pipeline import Catalog, Lightcurve, Project, Properties, Source, database
    from skyvault.pipeline.catalog import make_test_catalog
    from skyvault.pipeline.run_record import RunRecord, recorded

    catalog = Catalog(data=make_test_catalog(1), name_column="object_id", catalog_name="one", cfg_file=False)
    project = Project("big", catalog=catalog, executor="serial")
    project.run()
    rng = np.random.default_rng(5)
    held = database.current()
    with held.writing() as connection:
        first = {
            table: dict(connection.execute(sa.select(table.__table__)).mappings().one())
            for table in (Source, Lightcurve, Properties)
        }
        for begin in range(2, sources + 1, 2000):
            numbers = range(begin, min(begin + 2000, sources + 1))
            places = {
                n: (float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(-1, 1))))) for n in numbers
            }
            for table, own in ((Source, {}), (Lightcurve, {"source_id": 0}), (Properties, {"source_id": 0})):
                rows = []
                for n in numbers:
                    row = {**first[table], "id": n, **{key: n for key in own}}
                    if table is Source:
                        row |= {"name": f"source {n}", "ra": places[n][0], "dec": places[n][1]}
                    else:
                        row["source_name"] = f"source {n}"
                    rows.append(row)
                connection.execute(sa.insert(table.__table__), rows)
    folder = project.root / "BIG"
    with recorded(folder, RunRecord("BIG", sources=sources, chosen=sources, done=sources)):
        pass


def publish(way: str, home: Path) -> dict[str, Any]:
    """Publish in this process; figures of it."""
    from skyvault.cli.publish_run import publish_run
    from skyvault.config import Settings
    from skyvault.pipeline.publishable import PublishableRun
    from skyvault.pipeline.stored_run import find_run
    from skyvault.publish.publisher import publish as publish_file

    settings = Settings(home=home)
    before = peak_mb()
    began = time.perf_counter()
    if way == "streamed":
        done = publish_run("big", settings)
        rows = {one.table.name: one.nrows for one in done.tables}
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = {}
        for offer in PublishableRun(find_run("big"), base_url=settings.public_url).offers():
            batches = list(offer.batches())
            if not batches:
                continue
            table = pa.Table.from_batches(batches)
            path = home / f"{offer.table.name}.parquet"
            home.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
            rows[offer.table.name] = publish_file(
                path, name=offer.table.name, settings=settings, obscore=offer.is_observations
            ).nrows
            del table, batches
    seconds = time.perf_counter() - began
    epochs = rows["big.light_curves"] or 0
    return {
        "seconds": round(seconds, 2), "epochs": epochs, "epochs_per_second": round(epochs / seconds),
        "sources_per_second": round((rows["big.properties"] or 0) / seconds, 1), "peak_mb": round(peak_mb(), 1),
        "before_mb": round(before, 1),
    }  # fmt: skip


def peak_mb() -> float:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024.0


def child(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"RETRIEVER_DATA": str(folder)},
    )  # fmt: skip
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--prepare", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--publish", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        prepare(Path(os.environ["RETRIEVER_DATA"]), given.prepare)
        return
    if given.publish:
        print(json.dumps(publish(given.publish, given.home)))
        return
    found: dict[str, Any] = {}
    for sources in given.sources:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "data"
            folder.mkdir()
            child("--prepare", str(sources), folder=folder)
            found[f"{sources} sources"] = {
                way: json.loads(child("--publish", way, "--home", str(Path(name) / way), folder=folder))
                for way in ("streamed", "all_in_memory")
            }
            print(f"{sources} sources: {found[f'{sources} sources']}", file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
