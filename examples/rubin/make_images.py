"""Make the simulated images that the resource.yaml beside this file publishes, and the tables that go with them.

python make_images.py FOLDER [--with-pixels 7]

FOLDER/files gets one FITS file an image, FOLDER/butler.parquet what the survey's registry knows of each,
elsewhere.parquet the rows of images without files here, source.parquet and visit.parquet the catalogues. The first
images have pixels; all others have true headers and zeros, which take no room on the disk.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import fits

from skyvault.sandbox.rubin_images import SIDE, file_of, wcs_header
from skyvault.sandbox.rubin_sky import Image, exposures, images
from skyvault.sandbox.rubin_tables import tables

#: kinds of images whose files are here
HELD = ("lsst.calexp", "lsst.deepCoadd_calexp")
#: what only the archive that has the files can say
NOT_KEPT = ("access_url", "access_format", "uuid")


def write_header_only(image: Image, folder: Path) -> None:
    """A file with the image's headers and zeros for its pixels: a hole in the file."""
    first = fits.PrimaryHDU()
    first.header["TELESCOP"] = "LSST"
    first.header["FILTER"] = f"{image.band}_sim_1.4"
    plane: Any = fits.ImageHDU(header=wcs_header(image), name="IMAGE")
    header = plane.header
    header["BITPIX"], header["NAXIS"] = -32, 2
    header.set("NAXIS1", SIDE, after="NAXIS")
    header.set("NAXIS2", SIDE, after="NAXIS1")
    text = first.header.tostring(padding=True) + header.tostring(padding=True)
    length = len(text) + -(-SIDE * SIDE * 4 // 2880) * 2880
    path = folder / f"{image.uuid}.fits"
    with path.open("wb") as file:
        file.write(text.encode("ascii"))
        os.truncate(file.fileno(), length)


def shown_first(count: int) -> list[Image]:
    """The images the tutorial opens: the first exposures in i, and the deep coadds in i of the point."""
    here, _ = exposures()
    coadds = [one for one in images() if one.subtype == "lsst.deepCoadd_calexp" and one.band == "i"]
    return [*[one for one in here if one.band == "i"][: max(0, count - 2)], *coadds[: min(2, count)]]


def make_images(folder: Path, with_pixels: int = 7) -> int:
    """Write everything; how many images have files."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    here, _ = exposures()
    held = [*here, *(one for one in images() if one.subtype == "lsst.deepCoadd_calexp")]
    pictured = {one.uuid for one in shown_first(with_pixels)}
    for image in held:
        if image.uuid in pictured:
            file_of(image, files)
        else:
            write_header_only(image, files)
    found = {one.name: one.rows for one in tables("")}
    rows = found["ivoa.ObsCore"].append_column("uuid", pa.array([one.uuid for one in images()]))
    is_held = pc.is_in(rows["uuid"], pa.array([one.uuid for one in held]))
    pq.write_table(rows.filter(is_held), folder / "butler.parquet")
    pq.write_table(rows.filter(pc.invert(is_held)).drop_columns(list(NOT_KEPT)), folder / "elsewhere.parquet")
    pq.write_table(found["dp02_dc2_catalogs.Source"], folder / "source.parquet")
    pq.write_table(found["dp02_dc2_catalogs.Visit"], folder / "visit.parquet")
    return len(held)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the simulated images of a data preview.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with-pixels", type=int, default=7, help="images that have pixels")
    given = parser.parse_args()
    print(f"{make_images(given.folder, given.with_pixels)} images are in {given.folder}")


if __name__ == "__main__":
    main()
