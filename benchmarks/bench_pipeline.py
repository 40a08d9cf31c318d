"""Speed of pipelines: a demo run, a second one, a real ZTF light curve, nearest rows; beside AstroRetriever's figures.

./run bench bench_pipeline --sources 20000
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def demo(sources: int, workers: int) -> None:
    from skyvault.pipeline import Catalog, Project
    from skyvault.pipeline.catalog import make_test_catalog

    catalog = Catalog(data=make_test_catalog(sources), name_column="object_id", catalog_name="bench", cfg_file=False)
    project = Project("bench", catalog=catalog, num_workers=workers, cfg_file=False)
    report = project.run()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_ms = 1000.0 * (children.ru_utime + children.ru_stime) / max(report.done, 1)
    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    told("demo run, sources/s", report.done / report.seconds, "15-23")
    told("  CPU of the workers, ms a source", cpu_ms, "55")
    told(
        "  peak memory, MB (writer + workers, shared pages counted each time)",
        own_mb + workers * children.ru_maxrss / 1000,
        "266",
    )
    again = Project("bench", catalog=catalog, cfg_file=False).run()
    told("second run, sources/s", again.per_second, "1,250")
    folder = Path(os.environ["RETRIEVER_DATA"])
    size = sum(path.stat().st_size for path in folder.glob("*/RA*/*.h5"))
    told("disk, kB a source of 100 epochs", size / 1000 / max(sources, 1), "3,230")


def real(path: Path, injections: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pipeline"))
    from test_golden_ztf import real_source  # type: ignore[import-not-found]

    from skyvault.pipeline import Analysis, VirtualZTF
    from skyvault.pipeline.dataset import save_lightcurves
    from skyvault.pipeline.rows import keep_sources

    observatory = VirtualZTF(project="bench", cfg_file=False)
    for count, most, theirs in ((0, 40, "2,800"), (injections, 300, "-")):
        analysis = Analysis(cfg_file=False, num_injections=float(count))
        took = []
        for _ in range(7):
            source = real_source(path)
            began = time.perf_counter()
            curves = observatory.reduce(source)
            analysis.analyze_sources(source)
            save_lightcurves(curves, source.ra)
            source.raw_photometry[0].name_file(source.ra)
            keep_sources([source])
            took.append(1000.0 * (time.perf_counter() - began))
        told(f"real ZTF light curve, {count} injections, ms (reach {most})", statistics.median(took), theirs)


def nearest(rows: int) -> None:
    from skyvault.pipeline.catalog_index import CatalogIndex

    rng = np.random.default_rng(1)

    def places(number: int) -> tuple[Any, Any]:
        return rng.uniform(0, 360, number), np.degrees(np.arcsin(rng.uniform(-1, 1, number)))

    began = time.perf_counter()
    index = CatalogIndex(*places(rows))
    built = time.perf_counter() - began
    asked = places(100_000)
    began = time.perf_counter()
    index.nearest(*asked)
    told(
        f"nearest of {rows:,} rows, us a query (built in {built:.1f} s)", 10.0 * (time.perf_counter() - began), "7,400"
    )


def told(what: str, value: float, theirs: str) -> None:
    print(f"{what:<75} {value:>12,.2f}   AstroRetriever {theirs}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--injections", type=int, default=100)
    options = parser.parse_args()
    shared = os.environ.get("SKYVAULT_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RETRIEVER_DATA"] = folder
        demo(options.sources, options.workers)
        if shared:
            real(Path(shared) / "data", options.injections)
        nearest(options.rows)


if __name__ == "__main__":
    main()
