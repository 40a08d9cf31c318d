"""Whole plates: the archive's base image turned as it was solved, with everything known about it in one FITS file.

The base image is tile-compressed and keeps its pixel values. It is read and written in strips, so that plates of more
than a gigabyte need little memory. Source: the value-added mosaics of DASCH data release 7.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, ParameterError, UsageError
from skyvault.quiet import quiet
from skyvault.session.archive import MosaicArchive, PlateArchive
from skyvault.session.files import is_whole_fits, written_beside
from skyvault.session.mosaic_header import mosaic_header, original_header, table_hdus
from skyvault.session.plate_ids import PlateId
from skyvault.session.plate_times import old_utc_is_fine

if TYPE_CHECKING:
    from astropy.io import fits

BINNINGS: Final = (1, 16)
#: rotationDelta -> quarter turns (counterclockwise in array terms) from the image as stored to the image as solved
_TURNS: Final = {0: 0, 90: -1, -90: 1, 180: 2, -180: 2, 270: 1, -270: -1}
_STRIP_BYTES: Final = 48 << 20


def make_mosaic(archive: PlateArchive, plate_id: str, binning: int, root: Path) -> tuple[str, bool]:
    """The path, relative to ``root``, of a plate's mosaic, and whether it was there before.

    Raises ParameterError for a wrong name or binning, UsageError where the archive has no whole plates, FormatError
    where the base image is not what the archive says it is.
    """
    if isinstance(binning, bool) or binning not in BINNINGS:
        raise ParameterError(f"Mosaics are binned by 1 or 16, not {binning!r}")
    plate = PlateId.parse(plate_id)
    shown = f"mosaics/{plate}_{binning:02d}.fits"
    path = root / shown
    if is_whole_fits(path):
        return shown, True
    if not isinstance(archive, MosaicArchive):
        raise UsageError("This archive gives no whole plates", hint="Use sess.cutout(...) instead.")
    base = root / "base_mosaics" / f"{plate}_{binning:02d}.fits.fz"
    told = _metadata(archive.mosaic_package(str(plate), binning), plate)
    curated = archive.plate(str(plate))
    if not base.exists():
        base.parent.mkdir(parents=True, exist_ok=True)
        archive.base_mosaic(str(plate), binning, base)
    with old_utc_is_fine():
        _write(base, path, plate, binning, told, curated)
    return shown, False


def _metadata(package: Mapping[str, Any], plate: PlateId) -> Mapping[str, Any]:
    told = package.get("metadata")
    if not isinstance(told, dict) or not isinstance(told.get("mosaic"), dict):
        raise NotFound(f"The archive tells nothing of a mosaic of plate {plate}")
    return told


def _write(
    base: Path, path: Path, plate: PlateId, binning: int, told: Mapping[str, Any], curated: Mapping[str, Any]
) -> None:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    try:
        with (
            quiet(AstropyUserWarning),
            fits.open(base, memmap=False) as file,
        ):
            if len(file) != 2 or not isinstance(file[1], fits.CompImageHDU):
                raise FormatError(
                    "The base image is no tile-compressed FITS file of two parts",
                    where=str(base),
                    hint="Delete it and ask again.",
                )
            image = file[1]
            _check_shape(image.shape, told["mosaic"], binning, base)
            turns = _turns(told)
            header = mosaic_header(plate, binning, told, curated, image.header)
            with written_beside(path) as beside:
                _write_pixels(image, turns, header, beside)
                with fits.open(beside, mode="append", memmap=False) as made:
                    for hdu in table_hdus(told, curated, original_header(image.header)):
                        made.append(hdu)
    except (OSError, ValueError, TypeError, fits.VerifyError) as problem:
        raise FormatError(
            f"The base image cannot be read ({str(problem)[:160].rstrip('.')})",
            where=str(base),
            hint="Delete it and ask again.",
        ) from None


def _check_shape(shape: tuple[int, ...], mosaic: Mapping[str, Any], binning: int, base: Path) -> None:
    try:
        wanted = (int(mosaic["b01Height"]) // binning, int(mosaic["b01Width"]) // binning)
    except (KeyError, TypeError, ValueError):
        raise FormatError("The archive does not tell the plate's size in pixels", where=str(base)) from None
    if shape != wanted:
        raise FormatError(
            f"The base image has {shape} pixels where the archive tells {wanted}",
            where=str(base),
            hint="Delete it and ask again.",
        )


def _turns(told: Mapping[str, Any]) -> int:
    astrometry = told.get("astrometry")
    delta = astrometry.get("rotationDelta") if isinstance(astrometry, dict) else None
    if delta is None:
        return 0
    if delta not in _TURNS:
        raise FormatError(f"A plate cannot be turned by {delta!r} degrees: 0, 90, 180 and 270 are possible")
    return _TURNS[delta]


def _write_pixels(image: fits.CompImageHDU, turns: int, header: fits.Header, path: Path) -> None:
    """The primary HDU: header, then the image turned, strip by strip."""
    height, width = image.shape
    dtype = np.dtype({8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}[image.header["BITPIX"]])
    shape = (height, width) if turns % 2 == 0 else (width, height)
    begin = _header_of(image, shape, header)
    size = height * width * dtype.itemsize
    step = max(1, _STRIP_BYTES // (width * dtype.itemsize))
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(len(begin) + -(-size // 2880) * 2880)
        for first in range(0, height, step):
            last = min(first + step, height)
            strip: Any = np.ascontiguousarray(np.rot90(_raw(image, first, last), turns), dtype=dtype)
            # a quarter turn makes the rows columns: in the same order if counterclockwise
            place = height - last if turns in (2, -1) else first
            if turns % 2 == 0:
                file.seek(len(begin) + place * width * dtype.itemsize)
                file.write(strip)
                continue
            file.flush()
            for row, cells in enumerate(strip):
                offset = len(begin) + (row * height + place) * dtype.itemsize
                if os.pwrite(file.fileno(), cells, offset) != cells.nbytes:
                    raise OSError(errno.ENOSPC, "the disk is full", str(path))


def _raw(image: fits.CompImageHDU, first: int, last: int) -> np.ndarray[Any, Any]:
    """Rows of the stored numbers; a scaling in the header is not applied."""
    try:
        strip = np.asarray(image.section[first:last])
    except OSError as problem:
        raise FormatError(f"The base image cannot be unpacked ({problem})", hint="Delete it and ask again.") from None
    scale, zero = image.header.get("BSCALE", 1), image.header.get("BZERO", 0)
    if scale != 1 or zero != 0:
        strip = np.rint((strip.astype(np.float64) - zero) / scale)
    return strip


def _header_of(image: fits.CompImageHDU, shape: tuple[int, int], header: fits.Header) -> bytes:
    from astropy.io import fits

    begin = fits.Header()
    begin["SIMPLE"] = (True, "FITS standard")
    begin["BITPIX"] = image.header["BITPIX"]
    begin["NAXIS"] = 2
    begin["NAXIS1"], begin["NAXIS2"] = shape[1], shape[0]
    begin["EXTEND"] = True
    for keyword in ("BSCALE", "BZERO", "BLANK"):
        if keyword in image.header:
            begin[keyword] = image.header[keyword]
    begin.extend(header, update=True)
    text: str = begin.tostring()
    return text.encode("ascii")
