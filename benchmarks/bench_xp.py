"""Gaia XP spectra: sampled with realisations beside GaiaXPy, published, joined by place, coloured; JSON on stdout.

    python benchmarks/bench_xp.py [--spectra 10000] [--published 20000]

The spectra are jittered copies of three real ones (gaia_xp/xp_continuous below the data in SKYVAULT_SHARED). The peer is
GaiaXPy's ``calibrate`` on the same coefficients and grid in the same run, where it is installed (pip install gaiaxpy);
it samples each spectrum once and knows no realisations: ``times_gaiaxpy`` compares ten realisations of ours with that
one sample, ``times_gaiaxpy_same_work`` with as many samples as ours takes. Times are processor and wall seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import xp_copies

REALISATIONS = 10
GRID = np.arange(400.0, 801.0, 10.0)


def _timed(act: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def _median(act: Callable[[], Any], times: int = 5) -> float:
    return statistics.median(_timed(act)[0] for _ in range(times))


def sampling(real: Any, n: int) -> dict[str, Any]:
    """Ten realisations of each spectrum; the exact flux; and what GaiaXPy takes for one sample of each."""
    from skyvault.science.xp_instrument import XpDesign
    from skyvault.science.xp_sampling import sample_xp

    made, design = xp_copies.copies(real, n), XpDesign.of(GRID)

    def ours(realisations: int) -> Callable[[], Any]:
        return lambda: sample_xp(design, made.bp, made.rp, made.source_id, realisations)

    ours(REALISATIONS)()
    told: dict[str, Any] = {"spectra": n, "realisations": REALISATIONS}
    wall, cpu = min((_timed(ours(REALISATIONS)) for _ in range(3)), key=lambda one: one[1])
    told |= {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "us_a_spectrum": round(cpu / n * 1e6, 1)}
    wall, cpu_exact = min((_timed(ours(0)) for _ in range(3)), key=lambda one: one[1])
    told["without_realisations_cpu_s"] = round(cpu_exact, 3)
    try:
        from gaiaxpy import calibrate
        from pandas import DataFrame
    except ImportError:
        return told | {"gaiaxpy": None}
    # as the archive gives them: of correlations the triangle
    columns: dict[str, Any] = {"source_id": made.source_id}
    for name, band in (("bp", made.bp), ("rp", made.rp)):
        errors = np.asarray(band.errors, np.float64)
        columns |= {
            f"{name}_n_parameters": 55, f"{name}_standard_deviation": 1.0, f"{name}_coefficients": list(band.values),
            f"{name}_coefficient_errors": list(errors), f"{name}_n_relevant_bases": 55,
            f"{name}_coefficient_correlations": list(np.asarray(band.correlations, np.float64)),
        }  # fmt: skip
    table = DataFrame(columns)

    def theirs() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            calibrate(table.copy(), sampling=GRID, save_file=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["TQDM_DISABLE"] = "1"
        their_wall, their_cpu = min((_timed(theirs) for _ in range(2)), key=lambda one: one[1])
    return told | {
        "gaiaxpy_wall_s": round(their_wall, 3),
        "gaiaxpy_cpu_s": round(their_cpu, 3),
        "times_gaiaxpy": round(their_cpu / cpu, 1),
        "times_gaiaxpy_exact": round(their_cpu / cpu_exact, 1),
        "times_gaiaxpy_same_work": round(REALISATIONS * their_cpu / cpu, 1),
    }


def published(real: Any, n: int, folder: Path) -> dict[str, Any]:
    """Published from Parquet files; then joined with a survey like LAMOST, coloured, searched by place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from skyvault.config import Settings
    from skyvault.publish.publisher import publish
    from skyvault.publish.resource_publisher import publish_resource
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    xp_copies.write_copies(folder / "xp.parquet", real, n)
    (folder / "resource.yaml").write_text(
        "schema: bench\ntitle: b\ndescription: b\nxp: {spectra: {files: xp.parquet, positions: positions.parquet}}\n"
    )
    settings = Settings(home=folder / "home")
    wall, cpu = _timed(lambda: publish_resource(folder, settings=settings))
    told: dict[str, Any] = {"rows": n, "publish_wall_s": round(wall, 2), "publish_us_a_spectrum": round(cpu / n * 1e6)}
    places = pq.read_table(folder / "positions.parquet")
    ra, dec = places["ra"].to_numpy() + 1e-4, places["dec"].to_numpy()
    flat = pa.array(np.stack([ra, dec], axis=1).reshape(-1))
    survey = pa.table(
        {"obsid": np.arange(n), "ssa_location": pa.FixedSizeListArray.from_arrays(flat, 2), "ra": ra, "dec": dec}
    )
    pq.write_table(survey, folder / "lamost.parquet")
    publish(folder / "lamost.parquet", name="lamost.spectra", settings=settings)
    queries = {
        "join_20000": "SELECT a.source_id, a.flux, a.flux_error, b.obsid FROM bench.spectra AS a JOIN lamost.spectra AS b"
        " ON DISTANCE(a.ssa_location, POINT(b.ra, b.dec)) < 0.001",
        "colours": "SELECT source_id, arr_avg(flux[1:11]) / arr_avg(flux[31:41]) AS colour FROM bench.spectra",
        "cone": "SELECT source_id, flux FROM bench.spectra WHERE DISTANCE(ssa_location, POINT(150, 2)) < 1",
        "by_id": f"SELECT flux FROM bench.spectra WHERE source_id = {int(places['source_id'][n // 2].as_py())}",
    }
    with DuckStore(settings) as store:

        def ask(text: str) -> int:
            answer = store.query(text, Limits(rows=20_000))
            return sum(batch.num_rows for batch in answer.stream.batches)

        for name, text in queries.items():
            rows = ask(text)
            told[name] = {"rows": rows, "ms": round(_median(lambda text=text: ask(text)) * 1e3, 2)}
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spectra", type=int, default=10_000)
    parser.add_argument("--published", type=int, default=20_000)
    arguments = parser.parse_args()
    shared = os.environ.get("SKYVAULT_SHARED")
    if not shared:
        raise SystemExit("SKYVAULT_SHARED does not name the collected real data")
    real = xp_copies.real(Path(shared) / "data" / "spectra" / "gaia_xp" / "xp_continuous")
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "sampling": sampling(real, arguments.spectra),
            "published": published(real, arguments.published, Path(folder)),
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
