"""Science of pipelines: target lists of a million, injections, matched filters, the periods of 483 RR Lyrae stars.

./run bench bench_pipeline_science --every 8

Prints JSON. Beside each figure stands what is to be reached, AstroRetriever's published figure, or a baseline measured
in the same run: all rows looked through for the nearest, astropy's match and its Lomb-Scargle periodogram.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

found: dict[str, Any] = {}


def told(what: str, value: float, unit: str, **more: Any) -> None:
    found[what] = {"value": round(value, 4), "unit": unit, **more}
    beside = ", ".join(f"{key} {one}" for key, one in more.items())
    print(f"{what:<52} {value:>12,.3f} {unit:<10} {beside}", file=sys.stderr, flush=True)


def seconds(act: Callable[[], object], times: int = 3) -> float:
    """The median of some repetitions."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return sorted(took)[times // 2]


def places(number: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.0, 360.0, number), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, number)))


def target_list(rows: int, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    from skyvault.pipeline import Catalog

    ra, dec = places(rows, 1)
    columns = {"name": [f"WDJ{i:09d}" for i in range(rows)], "ra": ra, "dec": dec, "mag": np.full(rows, 18.0)}
    pq.write_table(pa.table(columns), folder / "list.parquet")
    del columns
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    catalog = Catalog(filename=str(folder / "list.parquet"), cfg_file=False)
    catalog.load()
    told(f"a list of {rows:,} rows from Parquet", time.perf_counter() - began, "s")
    told("  memory it took at its peak", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000, "MB")
    asked = places(100_000, 2)
    began = time.perf_counter()
    catalog.nearest(*asked)
    first = time.perf_counter() - began
    each = seconds(lambda: catalog.nearest(*asked, None)) / 1e5 * 1e6

    def all_rows() -> None:
        for a, d in zip(asked[0][:20], asked[1][:20], strict=True):
            away = np.abs((ra - a + 180.0) % 360.0 - 180.0) * np.cos(np.radians(d))
            np.argmin(np.hypot(away, dec - d))

    held, there = SkyCoord(ra, dec, unit=u.deg), SkyCoord(*asked, unit=u.deg)
    there.match_to_catalog_sky(held)
    told(
        "nearest row, each of 100,000 at once", each, "us", reach="<= 5", astroretriever="7,400",
        baseline_all_rows=round(seconds(all_rows, 1) / 20 * 1e6),
        baseline_astropy=round(seconds(lambda: there.match_to_catalog_sky(held), 1) / 1e5 * 1e6, 2),
        with_making_the_index=round(first / 1e5 * 1e6, 2),
    )  # fmt: skip
    names = catalog.names[:: max(rows // 100_000, 1)]
    told(
        "a row by its name, each of 100,000 at once",
        seconds(lambda: catalog.names.rows(names)) / len(names) * 1e6,
        "us",
    )


def injections(path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pipeline"))
    from test_golden_ztf import real_source  # type: ignore[import-not-found]

    from skyvault.pipeline import Analysis, VirtualZTF

    source = real_source(path)
    VirtualZTF(project="bench", cfg_file=False).reduce(source)
    for finder in ("Finder", "MatchedFilterFinder", "PeriodFinder"):
        for count, reach in ((0, "<= 40 with files"), (100, "<= 300 with files")):
            analysis = Analysis(cfg_file=False, num_injections=float(count), finder_class=finder)
            analysis.analyze_sources(source)
            took = seconds(lambda one=analysis: one.analyze_sources(source))  # type: ignore[misc]
            more = {"reach": reach} if finder == "Finder" else {}
            theirs = "2,892" if finder == "Finder" and not count else "-"
            told(f"{finder}, 1,852 epochs, {count} injections", 1000 * took, "ms", astroretriever=theirs, **more)


def rr_lyrae(path: Path, folder: Path, every: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pipeline"))
    from astropy.timeseries import LombScargle
    from test_rr_lyrae import judged, run, stars  # type: ignore[import-not-found]

    periods = stars(path, folder)
    began = time.perf_counter()
    counted = judged(run(periods, folder, every), periods)
    took = time.perf_counter() - began
    total = sum(counted.values())
    # astropy's periodogram of one band over the same frequencies, four harmonics
    names = list(periods)[::every][:10]
    right = 0
    began = time.perf_counter()
    for name in names:
        with (folder / f"RRLyrae/light-curves/{name}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["band"] == "g"]
        mjd, mag, error = (np.array([float(row[key]) for row in rows]) for key in ("time", "mag", "magerr"))
        frequency = np.arange(1.0, 5.0, 0.2 / np.ptp(mjd))
        power = LombScargle(mjd, mag, np.hypot(error, 0.03), nterms=4).power(frequency, method="fastchi2")
        right += bool(abs(1.0 / frequency[np.argmax(power)] / periods[name] - 1.0) < 1e-4)
    told(
        f"{total} RR Lyrae of Stripe 82 through a project", took / total, "s a star", right_to_1e_4=counted["right"],
        alias=counted["alias"], wrong=counted["wrong"], right_fraction=round(counted["right"] / total, 3),
        baseline_astropy_one_band_s=round((time.perf_counter() - began) / len(names), 3),
        baseline_astropy_right=f"{right} of {len(names)}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=1, help="every so many of the 483 stars")
    options = parser.parse_args()
    shared = os.environ.get("SKYVAULT_SHARED")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["RETRIEVER_DATA"] = name
        target_list(options.rows, folder)
        if shared:
            injections(Path(shared) / "data")
            rr_lyrae(Path(shared) / "data", folder, options.every)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
