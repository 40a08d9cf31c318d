"""Contact sheet and animation of 100 cutouts of 835 x 835 pixels, and an overlay of 5,000 spectra. Prints JSON.

usage: bench_pictures.py [--rounds 3] [--cutouts 100]

Cutouts are written to a temporary folder first, in the archive's form (16-bit integers). "sheet" reads, checks,
reprojects, draws and writes the PNG. The peer reads the same files with astropy and draws one matplotlib panel each, on
the images' own pixels. ``cpu_s`` is the processor time, which other programs of the machine change less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skyvault.science.blink import blink
from skyvault.science.contact_sheet import contact_sheet
from skyvault.science.cutouts import read_cutout
from skyvault.science.epoch_frames import epoch_frames
from skyvault.science.reprojected import SkyGrid
from skyvault.session.spectra import Spectra, Spectrum

TARGET = (129.97758, 19.82192)


def write_cutouts(folder: Path, count: int) -> list[Path]:
    from astropy.io import fits

    random = np.random.default_rng(1)
    header = SkyGrid(*TARGET, 835, 835, 1.44).header()
    header["BLANK"] = 0
    paths = []
    for number in range(count):
        data = random.normal(5000, 20, (835, 835)).astype(np.int16)
        data[410:425, 410:425] += 2000
        path = folder / f"{number:05d}_a{number:05d}m0s0.fits"
        header["MJD-OBS"] = 10_000.0 + 200 * number
        fits.PrimaryHDU(data, header).writeto(path)
        paths.append(path)
    return paths


def frames(paths: list[Path]) -> Any:
    return epoch_frames([read_cutout(path, target=TARGET, radius_arcmin=2.0) for path in paths], TARGET)


def panels(paths: list[Path], target: Path) -> None:
    """What one would write without us."""
    from astropy.io import fits
    from astropy.visualization import ZScaleInterval
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(20, 20))
    FigureCanvasAgg(figure)
    side = int(np.ceil(np.sqrt(len(paths))))
    for number, path in enumerate(paths):
        with fits.open(path, do_not_scale_image_data=True) as file:
            data = np.array(file[0].data[334:502, 334:502])
        axes = figure.add_subplot(side, side, number + 1)
        low, high = ZScaleInterval().get_limits(data)
        axes.imshow(data, cmap="gray_r", vmin=low, vmax=high, origin="lower")
        axes.set_title(path.stem, fontsize=6)
        axes.set_axis_off()
    figure.savefig(target)


def timed(rounds: int, act: Callable[[], Any]) -> dict[str, float]:
    seconds, busy = [], []
    for _ in range(rounds):
        begun, used = time.perf_counter(), time.process_time()
        act()
        seconds.append(time.perf_counter() - begun)
        busy.append(time.process_time() - used)
    return {
        "median_s": round(statistics.median(seconds), 3),
        "best_s": round(min(seconds), 3),
        "cpu_s": round(statistics.median(busy), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cutouts", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_cutouts(folder, asked.cutouts)
        wave = np.linspace(400.0, 800.0, 1000)
        random = np.random.default_rng(2)
        spectra = Spectra(tuple(Spectrum.of(str(n), wave, random.normal(1.0, 0.1, 1000)) for n in range(5000)))
        ready = frames(paths)
        found = {
            "cutouts": len(paths),
            "sheet": timed(asked.rounds, lambda: contact_sheet(frames(paths)).savefig(folder / "sheet.png")),
            "panels_of_matplotlib": timed(asked.rounds, lambda: panels(paths, folder / "panels.png")),
            "blink_of_frames": timed(asked.rounds, lambda: blink(ready)),
            "overlay_of_5000_spectra": timed(asked.rounds, lambda: spectra.plot(0).savefig(folder / "spectra.png")),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
