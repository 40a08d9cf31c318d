"""Opening a plate session of 25,556 exposures, and loading, rejecting and merging 11 light curves. Prints JSON.

usage: bench_session.py FOLDER [--rounds 5] [--without-peer-merge]

FOLDER holds the files of a real session, plain or packed (``*.ecsv.gz``), light curves in ``lightcurves`` or beside the
others. Peers in the same run: astropy's ECSV reader on the same files, and the merge as daschlab's documentation
describes it, row by row over astropy tables. "cold" begins without Parquet copies, "warm" with them; the first import of
astropy is counted by neither. ``cpu_s`` is the processor time, which other programs of the machine change less.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, Table

from skyvault.session.lightcurve import Lightcurve
from skyvault.session.merging import merge
from skyvault.session.session import Session

N_SOURCES = 11


def unpacked(source: Path, target: Path) -> None:
    """The session's folder as it should be."""
    (target / "lightcurves").mkdir(parents=True)
    shutil.copyfile(source / "query.json", target / "query.json")
    for path in [*source.rglob("*.ecsv.gz"), *source.rglob("*.ecsv")]:
        name = path.name.removesuffix(".gz")
        place = target if name in ("refcat.ecsv", "exposures.ecsv") else target / "lightcurves"
        data = path.read_bytes()
        (place / name).write_bytes(gzip.decompress(data) if path.suffix == ".gz" else data)


def timed(rounds: int, act: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> dict[str, float]:
    seconds, busy = [], []
    for _ in range(rounds):
        before()
        begun, used = time.perf_counter(), time.process_time()
        act()
        seconds.append(time.perf_counter() - begun)
        busy.append(time.process_time() - used)
    return {
        "median_s": round(statistics.median(seconds), 4),
        "best_s": round(min(seconds), 4),
        "cpu_s": round(statistics.median(busy), 4),
    }


def session(folder: Path) -> Session:
    return Session(str(folder), False)


def opened(folder: Path) -> None:
    made = session(folder)
    assert len(made.refcat()) and len(made.exposures())


def curves(folder: Path) -> list[Lightcurve]:
    made = session(folder)
    return [made.lightcurve(number) for number in range(N_SOURCES)]


def load_reject_merge(folder: Path) -> None:
    made = session(folder)
    for number in range(N_SOURCES):
        made.lightcurve(number).apply_standard_rejections(verbose=False)
    assert len(made.merge_lightcurves(range(N_SOURCES)))


def merge_row_by_row(tables: list[Any]) -> Any:
    """The described algorithm over rows of astropy tables; the peer."""
    private: dict[tuple[Any, ...], int] = {}
    hits: dict[int, list[tuple[int, int]]] = {}

    def key(row: Any) -> int:
        if row["exp_local_id"] >= 0:
            return int(row["exp_local_id"])
        plate = (row["series"], row["platenum"], row["mosnum"], row["solnum"])
        return private.setdefault(plate, -2 - len(private))

    empty = []
    for number, table in enumerate(tables):
        for place, row in enumerate(table):
            where = key(row)
            if not row["magcal_magdep"].mask and row["reject"] == 0:
                hits.setdefault(where, []).append((number, place))
    for place, row in enumerate(tables[0]):
        if key(row) not in hits:
            empty.append((0, place, 0))
    total = weight = 0.0
    for found in hits.values():
        if len(found) == 1:
            row = tables[found[0][0]][found[0][1]]
            if not row["magcal_local_rms"].mask and row["magcal_local_rms"].value > 0:
                one = float(row["magcal_local_rms"].value) ** -2
                total, weight = total + float(row["magcal_magdep"].value) * one, weight + one
    mean = total / weight
    chosen = list(empty)
    for found in hits.values():
        best = min(found, key=lambda where: abs(float(tables[where[0]][where[1]]["magcal_magdep"].value) - mean))
        chosen.append((*best, len(found)))
    chosen.sort(key=lambda where: (tables[where[0]]["time"][where[1]].jd, where))
    columns: dict[str, list[Any]] = {name: [] for name in tables[0].colnames}
    for number, place, _ in chosen:
        row = tables[number][place]
        for name, cells in columns.items():
            cells.append(row[name])
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-peer-merge", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "session"
        unpacked(asked.folder, folder)
        names = ["refcat.ecsv", "exposures.ecsv"]
        opened(folder)  # imports what must be imported

        def forget() -> None:
            shutil.rmtree(folder / ".skyvault", ignore_errors=True)

        found: dict[str, Any] = {
            "open_cold": timed(asked.rounds, lambda: opened(folder), forget),
            "open_warm": timed(asked.rounds, lambda: opened(folder)),
            "open_astropy": timed(
                asked.rounds, lambda: [Table.read(folder / name, format="ascii.ecsv") for name in names]
            ),
            "curves_cold": timed(asked.rounds, lambda: curves(folder), forget),
            "curves_warm": timed(asked.rounds, lambda: curves(folder)),
            "load_reject_merge_warm": timed(asked.rounds, lambda: load_reject_merge(folder)),
        }
        loaded = curves(folder)
        paths = [folder / "lightcurves" / f"{name}.ecsv" for name in session(folder).refcat()["ref_text"][:N_SOURCES]]
        found["curves_astropy"] = timed(
            min(asked.rounds, 2), lambda: [QTable.read(path, format="ascii.ecsv") for path in paths]
        )
        found["merge"] = timed(asked.rounds, lambda: merge(loaded))
        merged = merge(loaded)
        found["rows"] = {
            "in": sum(map(len, loaded)),
            "merged": len(merged),
            "exposures": len(session(folder).exposures()),
        }
        if not asked.without_peer_merge:
            begun = time.perf_counter()
            columns = merge_row_by_row(loaded)
            found["merge_row_by_row"] = {"median_s": round(time.perf_counter() - begun, 2)}
            # the same rows, in the same order
            assert [time.jd for time in columns["time"]] == np.asarray(merged["time"].jd).tolist()
            found["same_rows"] = bool(np.array_equal(np.array(columns["platenum"]), np.asarray(merged["platenum"])))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
