"""Speed of pipelines: a demo run, a second one, a real ZTF light curve, nearest rows, files, dask workers.

./run bench bench_pipeline --sources 20000

Prints JSON: each value with what is to be reached, AstroRetriever's published figure where there is one, or a baseline
measured in the same run (the HDF5 library writing the same files; one dask worker against two).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

found: dict[str, Any] = {}


def told(what: str, value: float, unit: str, *, reach: str = "", theirs: str = "", **more: Any) -> None:
    """Keep a figure, and show it at once."""
    found[what] = {"value": round(value, 4), "unit": unit, "reach": reach, "astroretriever": theirs, **more}
    print(f"{what:<60} {value:>12,.3f} {unit:<12} {reach and 'reach ' + reach:<16}", file=sys.stderr, flush=True)


class Memory:
    """Memory of this process and its children, each shared page counted once (PSS), looked at every half second."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        me = os.getpid()
        while not self._ended.wait(0.5):
            children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
            self.megabytes.append(sum(_pss_mb(int(pid)) for pid in (me, *children)))


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:"))


def demo(sources: int, workers: int) -> None:
    from skyvault.pipeline import Catalog, Project
    from skyvault.pipeline.catalog import make_test_catalog

    catalog = Catalog(data=make_test_catalog(sources), name_column="object_id", catalog_name="bench", cfg_file=False)
    project = Project("bench", catalog=catalog, num_workers=workers, cfg_file=False)
    with Memory() as memory:
        report = project.run()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    told("demo run", report.done / report.seconds, "sources/s", reach=">= 500", theirs="15-23", sources=sources)
    cpu_ms = 1000.0 * (children.ru_utime + children.ru_stime) / max(report.done, 1)
    told("demo run, CPU of the workers", cpu_ms, "ms/source", theirs="55")
    if memory.megabytes:
        third = max(len(memory.megabytes) // 3, 1)
        told(
            "demo run, peak memory of all processes", max(memory.megabytes), "MB", reach="<= 500, flat", theirs="266",
            first_third_mb=round(max(memory.megabytes[:third])), last_third_mb=round(max(memory.megabytes[-third:])),
        )  # fmt: skip
    again = Project("bench", catalog=catalog, cfg_file=False).run()
    told("second run, all done", again.per_second, "sources/s", reach=">= 20,000", theirs="1,250")
    told("disk, 100 epochs", _kilobytes(Path(os.environ["RETRIEVER_DATA"]), sources), "kB/source", theirs="3,230")


def disk() -> None:
    from skyvault.pipeline import Catalog, Project
    from skyvault.pipeline.catalog import make_test_catalog

    for file_format in ("hdf5", "fits", "parquet"):
        with tempfile.TemporaryDirectory() as folder:
            before, os.environ["RETRIEVER_DATA"] = os.environ["RETRIEVER_DATA"], folder
            catalog = Catalog(data=make_test_catalog(20), name_column="object_id", catalog_name="b", cfg_file=False)
            demo = {"sim_args": {"num_points": 500}, "file_format": file_format}
            Project("bench", catalog=catalog, executor="serial", cfg_file=False, DEMO=demo).run()
            reach = "<= 40" if file_format == "hdf5" else ""
            told(f"disk, 500 epochs, {file_format}", _kilobytes(Path(folder), 20), "kB/source", reach=reach)
            os.environ["RETRIEVER_DATA"] = before


def _kilobytes(folder: Path, sources: int) -> float:
    return sum(path.stat().st_size for path in folder.glob("*/RA*/*")) / 1000 / sources


def real(path: Path, injections: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pipeline"))
    from test_golden_ztf import real_source  # type: ignore[import-not-found]

    from skyvault.pipeline import Analysis, VirtualZTF
    from skyvault.pipeline.dataset import save_lightcurves
    from skyvault.pipeline.rows import keep_sources

    observatory = VirtualZTF(project="bench", cfg_file=False)
    for count, reach, theirs in ((0, "<= 40", "2,800"), (injections, "<= 300", "")):
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
        told(
            f"real ZTF light curve, {count} injections", statistics.median(took), "ms", reach=reach, theirs=theirs,
            best=round(min(took), 1),
        )  # fmt: skip


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
    took = 10.0 * (time.perf_counter() - began)
    told(f"nearest of {rows:,} rows", took, "us", reach="<= 5", theirs="7,400", built_s=round(built, 2))


def files() -> None:
    """A hundred epochs: our bytes against the HDF5 library, writing the same table."""
    import h5py

    from skyvault.pipeline.data_files import write_datasets

    rows = np.random.default_rng(1).normal(size=(100, 7)).view([(name, "<f8") for name in "abcdefg"])[:, 0]
    about = {"source_name": "x", "altdata": {f"key_{number}": number for number in range(30)}}

    def ours(path: Path) -> None:
        write_datasets(path, [("x", rows, about)])

    def library(path: Path) -> None:
        beside = path.with_suffix(".beside")
        with h5py.File(beside, "w", libver=("v110", "v110")) as file:
            group = file.create_group("x")
            group.create_dataset("rows", data=rows)
            group.attrs["about"] = np.bytes_(json.dumps(about))
        os.replace(beside, path)

    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("ours", ours), ("library", library), ("ours", ours), ("library", library)):
            began = time.process_time()
            for number in range(500):
                write(Path(folder) / f"{name}{number}.h5")
            took.setdefault(name, []).append(2.0 * (time.process_time() - began))
    told("one HDF5 file of 100 epochs, CPU", min(took["ours"]), "ms", h5py_ms=round(min(took["library"]), 3))


def dask(rounds: int) -> None:
    """The same compute-bound run on two workers of one thread against one; clusters are started before."""
    from distributed import Client, LocalCluster

    from skyvault.pipeline import Catalog, Project
    from skyvault.pipeline.catalog import make_test_catalog

    took: dict[int, list[float]] = {1: [], 2: []}
    catalog = Catalog(data=make_test_catalog(400), name_column="object_id", catalog_name="b", cfg_file=False)
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):
            for number in range(rounds + 1):
                with tempfile.TemporaryDirectory() as folder:
                    before, os.environ["RETRIEVER_DATA"] = os.environ["RETRIEVER_DATA"], folder
                    report = Project(
                        f"round {number}", catalog=catalog, executor=client, source_batch_size=10, cfg_file=False,
                        analysis_kwargs={"num_injections": 100.0},
                    ).run()  # fmt: skip
                    os.environ["RETRIEVER_DATA"] = before
                # the first one imports what workers need
                took[workers] += [report.seconds] * (number > 0)
    one, two = (statistics.median(took[workers]) for workers in (1, 2))
    told(
        "dask: two workers against one", one / two, "x", reach=">= 1.6", one_worker_s=round(one, 2),
        two_workers_s=round(two, 2), rounds=rounds,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--injections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison of dask workers; 0 leaves it out")
    options = parser.parse_args()
    shared = os.environ.get("SKYVAULT_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RETRIEVER_DATA"] = folder
        files()
        demo(options.sources, options.workers)
        disk()
        if shared:
            real(Path(shared) / "data", options.injections)
        nearest(options.rows)
        if options.rounds:
            dask(options.rounds)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
