"""Make a folder of simulated photographic plates to publish with the resource.yaml beside this file.

python make_plates.py FOLDER [--plates 24] [--binning 16]

Full scans, scans reduced sixteen times, and photographs of plates and jackets, from the sandbox's simulated collection.
``--binning 1`` gives scans of the true size, some 23,000 x 18,000 pixels; the standard 16 is quick.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from skyvault.missions.dasch_series import SERIES
from skyvault.sandbox.plate_images import mosaic_file
from skyvault.sandbox.plates import Plates, plates

#: how much smaller the reduced scans are on each side
REDUCTION = 16
_MJD_0 = datetime.datetime(1858, 11, 17)
#: narrow and wide ones, of one star's neighbourhood
SERIES_SHOWN = ("mc", "rb", "i", "a", "b", "ac", "dnb", "ai", "fa")


def chosen(all_plates: Plates, count: int) -> list[int]:
    """Solved plates, of each series in turn, oldest first."""
    by_series = {
        name: [row for row in range(len(all_plates)) if all_plates.series[row] == name and all_plates.is_solved[row]]
        for name in SERIES_SHOWN
    }
    # a plate of two exposures has two solutions: the first one is enough here
    rows = [
        series[turn * 7 % len(series)] for turn in range(count) for series in (by_series[name] for name in SERIES_SHOWN)
    ]
    unique = {all_plates.plate_id(row): row for row in reversed(rows[:count])}
    return sorted(unique.values())


def header_of(all_plates: Plates, row: int, width: int, height: int, scale_deg: float) -> fits.Header:
    """The header of a scan whose north is up: place, time, telescope."""
    series = SERIES[all_plates.series[row]]
    seconds = float(all_plates.minutes[row]) * 60.0
    begin = _MJD_0 + datetime.timedelta(days=float(all_plates.mjd_utc[row]), seconds=-seconds / 2.0)
    header = fits.Header()
    header["PLATE"] = all_plates.plate_id(row)
    header["TELESCOP"] = "Harvard College Observatory"
    header["INSTRUME"] = series.telescope
    header["DATE-OBS"] = begin.isoformat(timespec="milliseconds")
    header["EXPTIME"] = (seconds, "[s]")
    header["LIMMAG"] = float(all_plates.lim_mag[row])
    for key, value in (
        ("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CUNIT1", "deg"), ("CUNIT2", "deg"), ("RADESYS", "ICRS"),
        ("CRVAL1", float(all_plates.ra_deg[row])), ("CRVAL2", float(all_plates.dec_deg[row])),
        ("CRPIX1", width / 2.0 + 0.5), ("CRPIX2", height / 2.0 + 0.5),
        ("CD1_1", -scale_deg), ("CD1_2", 0.0), ("CD2_1", 0.0), ("CD2_2", scale_deg),
    ):  # fmt: skip
        header[key] = value
    return header


def reduced(pixels: Any) -> Any:
    """Means of blocks of 16 x 16 pixels; what is left over at the upper and right edge is cut off."""
    height, width = (side // REDUCTION * REDUCTION for side in pixels.shape)
    blocks = pixels[:height, :width].reshape(height // REDUCTION, REDUCTION, width // REDUCTION, REDUCTION)
    return np.round(blocks.mean(axis=(1, 3))).astype(np.int16)


def write_scan(path: Path, pixels: Any, header: fits.Header) -> None:
    """A tile-compressed scan, as plate archives keep them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = fits.CompImageHDU(np.ascontiguousarray(pixels), header, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)


def write_photographs(folder: Path, name: str, pixels: Any, words: str) -> None:
    """The plate on its light table, and its paper jacket."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    step = max(1, max(pixels.shape) // 600)
    plate = Figure(figsize=(5, 4), facecolor="#e9e6dc")
    axes = plate.add_axes((0.04, 0.04, 0.92, 0.92))
    low, high = np.percentile(pixels[::step, ::step], [1.0, 99.8])
    axes.imshow(pixels[::step, ::step], cmap="gray_r", vmin=low, vmax=high, origin="lower")
    axes.set_axis_off()
    plate.savefig(folder / f"{name}-plate.jpg", dpi=120)
    jacket = Figure(figsize=(5, 4), facecolor="#c9a66b")
    jacket.text(0.08, 0.85, name.upper(), fontsize=22, family="serif", color="#2b2118")
    jacket.text(0.08, 0.30, words, fontsize=12, family="serif", color="#2b2118", linespacing=2.0)
    jacket.savefig(folder / f"{name}-jacket.jpg", dpi=120)


def make_plate(folder: Path, row: int, binning: int) -> Path:
    """All files of one plate below ``folder``; the path of its reduced scan."""
    all_plates = plates()
    name = all_plates.plate_id(row)
    with tempfile.TemporaryDirectory() as scratch, fits.open(mosaic_file(Path(scratch), name, binning)) as file:
        # scans are kept as the plate lay on the scanner
        pixels = np.rot90(file[1].data, -(int(all_plates.rotation[row]) // 90)).copy()
    height, width = (side // REDUCTION * REDUCTION for side in pixels.shape)
    scale = float(all_plates.arcsec_px[row]) * binning / 3600.0
    header = header_of(all_plates, row, pixels.shape[1], pixels.shape[0], scale)
    write_scan(folder / "full" / f"{name}.fits.fz", pixels, header)
    small = header_of(all_plates, row, width // REDUCTION, height // REDUCTION, scale * REDUCTION)
    small["CRPIX1"] = (header["CRPIX1"] - 0.5) / REDUCTION + 0.5
    small["CRPIX2"] = (header["CRPIX2"] - 0.5) / REDUCTION + 0.5
    path = folder / "reduced" / f"{name}.fits.fz"
    write_scan(path, reduced(pixels), small)
    day = header["DATE-OBS"][:10]
    write_photographs(
        folder / "photographs", name, pixels, f"{day}   {header['EXPTIME'] / 60:.0f} min\n{header['INSTRUME']}"
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Make simulated photographic plates.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plates", type=int, default=24)
    parser.add_argument("--binning", type=int, default=16, help="of the full scans; 1 is the scanner's own")
    given = parser.parse_args()
    rows = chosen(plates(), given.plates)
    for row in rows:
        make_plate(given.folder, row, given.binning)
    print(f"{len(rows)} plates are in {given.folder}")


if __name__ == "__main__":
    main()
