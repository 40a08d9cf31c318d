"""Value-added mosaics of a plate: binned by 16, and of more than a gigabyte; time and peak memory. Prints JSON.

usage: bench_mosaic.py [--side 23200] [--without-peer]

The base images are made first, in the archive's form (tile-compressed 16-bit FITS with grain, turned by 90 degrees as it
was scanned). Each mosaic is made by a process of its own; ``peak_MB`` is its highest resident memory (VmHWM) and
``base_MB`` what it was before the image was touched. The peer, in the same run, opens the same file with astropy, turns
the whole image in memory and writes it: the pixels alone, without headers of solutions and tables. ``disk_s`` is how long
the disk takes to write and flush as many bytes.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

PLATE = "a01267"


class Archive:
    """An archive of one plate whose base images lie in a folder."""

    def __init__(self, folder: Path, side: int) -> None:
        self.folder, self.side = folder, side

    def mosaic_package(self, plate_id: str, binning: int) -> dict[str, Any]:
        cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": self.side / 2,
                 "CRPIX2": self.side / 2, "CD1_1": -4e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 4e-4}  # fmt: skip
        text = fits.Header(cards).tostring(sep="\n", endcard=False, padding=False)
        astrometry = {"b01HeaderGz": base64.b64encode(gzip.compress(text.encode())).decode(), "rotationDelta": 90,
                      "exposures": [{"number": 0, "midpointDate": "1901-02-03T04:05:06Z"}]}  # fmt: skip
        mosaic = {"b01Height": self.side, "b01Width": self.side, "scanNum": 1, "mosNum": 1, "b16OrigFileMD5": ""}
        return {"metadata": {"series": "a", "plateNumber": 1267, "mosaic": mosaic, "astrometry": astrometry}}

    def base_mosaic(self, plate_id: str, binning: int, target: Path) -> None:
        os.link(self.folder / f"base_{binning:02d}.fits.fz", target)

    def plate(self, plate_id: str) -> dict[str, Any]:
        return {}


def write_base(path: Path, side: int) -> None:
    random = np.random.default_rng(4)
    # a block of grain, repeated: as hard to compress as a plate, and made in seconds
    block = random.normal(5000.0, 60.0, (512, side)).astype(np.int16)
    pixels = np.tile(block, (-(-side // 512), 1))[:side]
    image = fits.CompImageHDU(pixels, compression_type="RICE_1", tile_shape=(1, side))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)


def peak_mb() -> float:
    """The highest resident memory of this process, MB."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1000.0, 1)


def child(what: str, folder: Path, side: int, binning: int) -> None:
    """One mosaic in this process; prints its figures."""
    from skyvault.session.mosaic import make_mosaic

    before = peak_mb()
    begun, used = time.perf_counter(), time.process_time()
    if what == "ours":
        shown, _ = make_mosaic(Archive(folder, side), PLATE, binning, folder / f"session_{binning}")
        made = folder / f"session_{binning}" / shown
    else:
        made = folder / "peer.fits"
        with fits.open(folder / f"base_{binning:02d}.fits.fz") as file:
            fits.PrimaryHDU(np.ascontiguousarray(np.rot90(file[1].data, -1)), file[1].header).writeto(made)
    seconds, busy = time.perf_counter() - begun, time.process_time() - used
    figures = {"s": round(seconds, 2), "cpu_s": round(busy, 2), "peak_MB": peak_mb(), "base_MB": before,
               "file_MB": round(made.stat().st_size / 1e6, 1)}  # fmt: skip
    print(json.dumps(figures))
    made.unlink()


def disk_s(folder: Path, size: int) -> float:
    block = os.urandom(1 << 24)
    begun = time.perf_counter()
    with (folder / "plain").open("wb") as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    (folder / "plain").unlink()
    return round(seconds, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=23_200, help="pixels a side of the plate (23,200: 1.08 GB)")
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        what, folder, side, binning = asked.child
        child(what, Path(folder), int(side), int(binning))
        return
    side = asked.side // 16 * 16
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for binning in (16, 1):
            base = folder / f"base_{binning:02d}.fits.fz"
            subprocess.run(
                [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
                 f"from bench_mosaic import *; write_base(Path({str(base)!r}), {side // binning})"], check=True,
            )  # fmt: skip
            for what in ("ours",) if asked.without_peer else ("ours", "astropy"):
                done = subprocess.run(
                    [sys.executable, __file__, "--child", what, name, str(side), str(binning)],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
                found[f"{what}_binned_by_{binning}"] = json.loads(done.stdout)
            base.unlink()
        found["disk_s"] = disk_s(folder, 2 * side * side)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
