"""How long the missions' filters take, beside DAXA 0.3.7's described algorithm re-implemented and its own figures.

    python benchmarks/bench_missions.py [ERASS1DE.csv] > figures.json

A table goes to stderr, JSON to stdout: milliseconds, medians of ``repeats``, with what is to be reached.

DAXA itself does not run on Python 3.11. Its method is re-implemented as described: for a distance of each position one
pass over all observations a position in a Python loop; for the table of matches a membership test in the list of
filtered ObsIDs for each match. Medians of 5 (1 for the slow ones); the tables of XMM and Swift are random skies.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skyvault.missions import Swift, XMMPointed, eRASS1DE
from skyvault.missions.mission import Mission

RNG = np.random.default_rng(7)


def sky(n: int) -> Any:
    return np.column_stack([RNG.uniform(0, 360, n), np.degrees(np.arcsin(RNG.uniform(-1, 1, n)))])


def archive(cls: type[Mission], rows: int) -> pa.Table:
    """A random table in the archive's own columns."""
    place, start = sky(rows), RNG.uniform(53000, 60000, rows)
    width = 11 if cls is Swift else 10
    made: dict[str, Any] = {}
    for column in cls.declaration.columns:
        if not isinstance(column.source, str):
            continue
        made[column.source] = {
            "ra": lambda: place[:, 0],
            "dec": lambda: place[:, 1],
            "ObsID": lambda: [f"{i:0{width}d}" for i in range(rows)],
            "start": lambda: start,
            "end": lambda: start + 0.3,
            "science_usable": lambda: np.ones(rows, np.bool_),
            "proprietary_end_date": lambda: start + 365,
        }.get(column.name, lambda: RNG.uniform(100, 9000, rows).astype(np.int64))()
    return pa.table(made)


def timed(act: Callable[[], Any], before: Callable[[], Any] = lambda: None, repeat: int = 5) -> float:
    times = []
    for _ in range(repeat):
        before()
        begin = time.perf_counter()
        act()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


FIGURES: list[dict[str, Any]] = []


def line(what: str, ours_ms: float, reach: str, described_ms: float | None, daxa: str, **more: Any) -> None:
    theirs = "-" if described_ms is None else f"{described_ms:,.0f} ms"
    print(f"{what:<68} {ours_ms:>9.1f} ms  {reach:>9}  {theirs:>10}  {daxa:>8}", file=sys.stderr, flush=True)
    FIGURES.append(
        {
            "work": what,
            "skyvault_ms": round(ours_ms, 2),
            "reach_ms": _ms(reach),
            "described_ms": None if described_ms is None else round(described_ms),
            "daxa_ms": _ms(daxa),
            **more,
        }
    )


def _ms(text: str) -> float | None:
    if text == "-":
        return None
    number, unit = text.split()
    return float(number) * (1000 if unit == "s" else 1)


def described(observed: Any, ids: Any, positions: Any, radii: Any, with_table: bool) -> Any:
    """DAXA's way: a Python loop over positions, and a membership test for each match in a list built anew."""
    o = np.radians(observed)
    vectors = np.column_stack([np.cos(o[:, 1]) * np.cos(o[:, 0]), np.cos(o[:, 1]) * np.sin(o[:, 0]), np.sin(o[:, 1])])
    kept = np.zeros(len(observed), np.bool_)
    matches = []
    for (ra, dec), radius in zip(np.radians(positions), np.radians(radii), strict=True):
        place = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        near = np.flatnonzero(vectors @ place >= np.cos(radius))
        kept[near] = True
        matches.append(near)
    if not with_table:
        return kept
    return [",".join(ids[j] for j in near if ids[j] in ids[kept]) for near in matches if len(near)]


def main() -> None:
    default = Path(os.environ.get("SKYVAULT_SHARED", "../shared")) / "data" / "daxa" / "erass_de_dr1_info.csv"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    print(f"{'':<68} {'Skyvault':>12}  {'reach':>9}  {'described':>10}  {'DAXA':>8}", file=sys.stderr)
    if path.is_file():
        erass = eRASS1DE(table=path)
        ten, million = sky(10_000), sky(1_000_000)
        info = erass.all_obs_info
        tiles = np.column_stack([info["ra"].to_numpy(), info["dec"].to_numpy()])
        ids = erass.obs_ids
        slow = timed(lambda: described(tiles, ids, ten[:1000], np.full(1000, 2.16), True), repeat=1) * 10
        ours = timed(lambda: erass.filter_on_positions(ten, 2.16, True), erass.reset_filter)
        line("10 k positions, 2.16 deg, with table, eRASS1DE", ours, "20 ms", slow, "1.75 s")
        ours = timed(lambda: erass.filter_on_positions(ten, None, True), erass.reset_filter)
        line("the same by true footprints", ours, "-", None, "-")
        ours = timed(lambda: erass.filter_on_positions(million, 2.16), erass.reset_filter)
        line("1 M positions, 2.16 deg, without table", ours, "1 s", None, "-")
        ours = timed(lambda: erass.filter_on_positions(million), erass.reset_filter, repeat=1)
        line("1 M positions by true footprints, without table", ours, "-", None, "-")
    else:
        print(f"no {path}: the rows of eRASS1DE are left out", file=sys.stderr)

    xmm = XMMPointed(table=archive(XMMPointed, 18_000))
    thousand, radii = sky(1000), RNG.uniform(0.1, 1.0, 1000)
    info = xmm.all_obs_info
    places = np.column_stack([info["ra"].to_numpy(), info["dec"].to_numpy()])
    slow = timed(lambda: described(places, xmm.obs_ids, thousand, radii, False), repeat=1)
    ours = timed(lambda: xmm.filter_on_positions(thousand, radii), xmm.reset_filter)
    line("1,000 positions, each its own radius, 18 k XMM-like", ours, "10 ms", slow, "15.4 s")

    rows = archive(Swift, 400_000)
    with tempfile.TemporaryDirectory() as cache:
        Swift("XRT", table=rows, cache=cache).cache_table()
        begin = time.perf_counter()
        Swift("XRT", cache=cache)
        first = (time.perf_counter() - begin) * 1e3
        line("construct from cache, 400 k rows, the first time", first, "60 ms", None, "-")
        ours = timed(lambda: Swift("XRT", cache=cache), repeat=25)
        line("construct from cache, 400 k rows", ours, "60 ms", None, "4.4 s")
        swift = Swift("XRT", cache=cache)
        hundred = sky(100)
        info = swift.all_obs_info
        places = np.column_stack([info["ra"].to_numpy(), info["dec"].to_numpy()])
        news = [Swift("XRT", cache=cache) for _ in range(9)]
        first = timed(lambda: news.pop().filter_on_positions(hundred, None, True), repeat=9)
        line("100 positions, XRT, with table, 400 k Swift-like, first call", first, "30 ms", None, "-")
        ours = timed(lambda: swift.filter_on_positions(hundred, None, True), swift.reset_filter)
        slow = timed(lambda: described(places, np.asarray(swift.obs_ids), hundred, np.full(100, 0.236), True), repeat=1)
        line("the same, later calls", ours, "30 ms", slow, "4.8 s")
        fresh = Swift("XRT", table=rows, cache=Path(cache) / "none")
        ours = timed(lambda: fresh.filter_on_positions(hundred, None, True), repeat=1)
        line("the same of a table from a file, whose positions must be sorted", ours, "-", None, "-")
        both = Swift(cache=cache)
        both.filter_on_positions(sky(1))
        thirty = sky(31)
        ours = timed(lambda: both.filter_on_positions(thirty), both.reset_filter, repeat=15)
        both.reset_filter()
        tracemalloc.start()
        both.filter_on_positions(thirty)
        more = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        slow = timed(lambda: described(places, swift.obs_ids, thirty, np.full(31, 60.0), False), repeat=1)
        what = f"XRT + BAT (60 deg), 31 positions (+{more:.0f} MB at the peak)"
        line(what, ours, "60 ms", slow, "3.1 s", peak_mb=round(more, 1), reach_mb=100)
    names()
    print(json.dumps({"cores": os.cpu_count(), "figures": FIGURES}, indent=2))


def names() -> None:
    """Names that need no network."""
    from skyvault.missions.bright_objects import bright_object, bright_objects

    begin = time.perf_counter()
    bright_object("Sirius")
    line("the first bright object by name", (time.perf_counter() - begin) * 1e3, "-", None, "-")
    known = list(bright_objects())
    line(f"{len(known)} bright objects by name", timed(lambda: [bright_object(one) for one in known]), "-", None, "-")


if __name__ == "__main__":
    main()
