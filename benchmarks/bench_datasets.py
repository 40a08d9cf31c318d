"""Images as services: ingest of files, cutouts of a large image, links in bulk, vectors; JSON on stdout.

    python benchmarks/bench_datasets.py [--files 1000] [--large-mb 1000]

Peers in the same run: astropy's Cutout2D over a memory map for cutouts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

HEADER = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CDELT1": -5e-5, "CDELT2": 5e-5,
          "EXPTIME": 30.0, "DATE-OBS": "2020-01-01T00:00:00", "FILTER": "r", "OBJECT": "field"}  # fmt: skip


def _median(act: Callable[[], Any], times: int = 9) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        act()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def ingest(folder: Path, files: int) -> dict[str, Any]:
    """Headers, outlines and previews of Rice-compressed images."""
    from astropy.io import fits

    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import publish_resource

    rng = np.random.default_rng(1)
    pixels = rng.normal(1000, 20, (512, 512)).astype(np.int16)
    images = folder / "images"
    images.mkdir()
    for number in range(files):
        header = fits.Header({**HEADER, "CRVAL1": float(number % 360), "CRPIX1": 256.5, "CRPIX2": 256.5})
        hdu = fits.CompImageHDU(np.roll(pixels, number, axis=0), header, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(images / f"i{number:05d}.fits.fz")
    (folder / "resource.yaml").write_text(
        "schema: bench\ntitle: b\ndescription: b\nservices: [sia2, soda]\nfiles:\n  images: {files: 'images/*.fz'}\n"
        "  large: {files: 'large/*.fits', previews: false}\n"
    )
    settings = Settings(home=folder / "home")
    begin = time.perf_counter()
    publish_resource(folder, settings=settings, only=("images",))
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    publish_resource(folder, settings=settings, only=("images",))
    again = time.perf_counter() - begin
    return {
        "files_per_s": round(files / first, 1), "again_s": round(again, 2),
        "cpu_ms_a_file": round(_cpu_of_a_file(folder) * 1e3, 1),
    }  # fmt: skip


def _cpu_of_a_file(folder: Path) -> float:
    """CPU seconds for reading one file in this process, which hear little of what else the machine does."""
    from skyvault.publish.datasets import Recipe
    from skyvault.publish.file_ingest import files_of, read_chunk
    from skyvault.publish.resource import FilesSection

    section = FilesSection.model_validate({"files": "images/*.fz"})
    recipe = Recipe("bench.images", section, folder, folder / "made", folder / "hooks.py", "bench.invalid")
    some = list(files_of(folder, section.files))[:100]
    read_chunk(recipe, some[:5])
    begin = time.process_time()
    read_chunk(recipe, some)
    return (time.process_time() - begin) / len(some)


def cutouts(folder: Path, megabytes: int) -> dict[str, Any]:
    """256-pixel circles out of one large image by HTTP, and what astropy takes for the same pixels."""
    import subprocess
    import sys

    import httpx2
    from astropy.coordinates import SkyCoord
    from astropy.io import fits
    from astropy.nddata import Cutout2D
    from astropy.wcs import WCS

    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import publish_resource

    (folder / "large").mkdir()
    path = folder / "large" / "large.fits"
    side = int((megabytes * 1e6 / 4) ** 0.5)
    header = fits.Header({**HEADER, "CRPIX1": side / 2, "CRPIX2": side / 2})
    fits.PrimaryHDU(np.zeros((10, 10), np.float32), header).header.totextfile(os.devnull, overwrite=True)
    data = np.lib.format.open_memmap(folder / "raw.npy", "w+", np.float32, (side, side))
    data[:] = np.arange(side, dtype=np.float32)
    fits.PrimaryHDU(data, header).writeto(path)
    del data
    (folder / "raw.npy").unlink()
    publish_resource(folder, settings=Settings(home=folder / "home"), only=("large",))
    process = subprocess.Popen(
        [sys.executable, "-m", "skyvault.cli.main", "serve", "--port", "0", "--workers", "2"],
        env=os.environ | {"SKYVAULT_HOME": str(folder / "home")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    base = next(word for line in process.stdout for word in line.split() if word.startswith("http://")).rstrip("/.,")
    did = "ivo://skyvault.invalid/~?bench.large/large/large.fits"
    rng = np.random.default_rng(2)

    def places(count: int) -> list[str]:
        reach = side * 5e-5 * 0.4
        return [f"{150 + a} {2 + b} 0.0064" for a, b in rng.uniform(-reach, reach, (count, 2))]

    try:
        client = httpx2.Client(timeout=30)
        deadline = time.time() + 30
        while time.time() < deadline:
            try:
                client.get(f"{base}/soda/availability")
                break
            except httpx2.HTTPError:
                time.sleep(0.05)

        idle = _memory(process.pid)

        def one(circle: str) -> int:
            answer = client.get(f"{base}/soda/sync", params={"ID": did, "CIRCLE": circle})
            assert answer.status_code == 200, answer.text
            return len(answer.content)

        for circle in places(10):
            one(circle)
        before = _used(process.pid)
        warm = _median(lambda: one(places(1)[0]), 51)
        cutout_cpu = (_used(process.pid) - before) / 51

        def cold() -> None:
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
            one(places(1)[0])

        cold_s = _median(cold, 21)
        asked = places(400)
        with ThreadPoolExecutor(8) as pool:
            begin = time.perf_counter()
            list(pool.map(one, asked))
            rate = len(asked) / (time.perf_counter() - begin)
        peaks = _memory(process.pid)
        ids = [("ID", f"ivo://skyvault.invalid/~?bench.images/images/i{number:05d}.fits.fz") for number in range(500)]
        before = _used(process.pid)
        links = _median(
            lambda: client.post(f"{base}/datalink/links", data={"ID": [one for _, one in ids]}).raise_for_status(), 15
        )
        links_cpu = (_used(process.pid) - before) / 15
        sia = _median(
            lambda: client.get(f"{base}/sia2/query", params={"POS": "CIRCLE 20 2 0.01"}).raise_for_status(), 31
        )
    finally:
        process.terminate()
        process.wait(20)

    def peer() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=True) as file:
                ra, dec, _ = places(1)[0].split()
                place = SkyCoord(float(ra), float(dec), unit="deg")
                cut = Cutout2D(file[0].data, place, 257, WCS(file[0].header), mode="trim")
                fits.PrimaryHDU(cut.data, cut.wcs.to_header()).writeto(folder / "peer.fits", overwrite=True)

    return {
        "warm_ms": round(warm * 1e3, 1), "cold_ms": round(cold_s * 1e3, 1), "eight_clients_per_s": round(rate, 1),
        "datalink_500_ms": round(links * 1e3, 1), "sia2_ms": round(sia * 1e3, 1), "peak_mb": peaks, "idle_mb": idle,
        "astropy_cutout2d_ms": round(_median(peer, 9) * 1e3, 1), "image_mb": round(path.stat().st_size / 1e6),
        "cutout_server_cpu_ms": round(cutout_cpu * 1e3, 1), "datalink_server_cpu_ms": round(links_cpu * 1e3, 1),
    }  # fmt: skip


def _used(pid: int) -> float:
    """CPU seconds of a process and its children."""
    total = 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [str(pid), *children]:
        words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _memory(pid: int) -> list[int]:
    """Peak resident memory of the server's processes, MB."""
    found = []
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [str(pid), *children]:
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                found.append(int(line.split()[1]) // 1024)
    return found


def vectors(folder: Path) -> dict[str, Any]:
    """arr_avg, a slice and arr_map over 200,000 spectra of 41 points."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from skyvault.config import Settings
    from skyvault.publish.publisher import publish
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    rng = np.random.default_rng(3)
    count = 200_000
    flux = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(count * 41, np.float32)), 41).cast(
        pa.list_(pa.float32())
    )
    table = pa.table(
        {"id": np.arange(count), "ra": rng.uniform(0, 360, count), "dec": rng.uniform(-80, 80, count), "flux": flux}
    )
    pq.write_table(table, folder / "spectra.parquet")
    settings = Settings(home=folder / "vectors")
    publish(folder / "spectra.parquet", name="lab.spectra", settings=settings)
    store = DuckStore(settings)
    told = {}
    for name, text in {
        "arr_avg": "SELECT COUNT(*) AS n FROM lab.spectra WHERE arr_avg(flux) > 0.5",
        "slice": "SELECT AVG(arr_max(flux[10:20])) AS n FROM lab.spectra",
        "arr_map": "SELECT AVG(arr_sum(arr_map(POWER(10, x), flux))) AS n FROM lab.spectra",
        "component_mean": "SELECT AVG(flux) AS n FROM lab.spectra",
    }.items():

        def ask(text: str = text) -> None:
            answer = store.query(text, Limits())
            for _ in answer.stream.batches:
                pass
            answer.close()

        told[f"{name}_s"] = round(_median(ask, 5), 3)
    store.close()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--large-mb", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "ingest": ingest(folder, options.files),
            "services": cutouts(folder, options.large_mb),
            "vectors": vectors(folder),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
