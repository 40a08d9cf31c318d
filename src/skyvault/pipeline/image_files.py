"""An image's file as photometry needs it: pixels, WCS, which pixels are bad, and what its header says of counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import DataError, DataMissing
from skyvault.quiet import quiet
from skyvault.science.samples import Booleans, Floats

#: images larger than this are cut before they are measured
_MOST_PIXELS: Final = 100_000_000
_MOST_BYTES: Final = 4_000_000_000
#: cards that hold the magnitude of one count, in the order in which they are believed
_ZERO_POINTS: Final = ("MAGZP", "MAGZERO", "MAGZPT", "PHOTZP", "ZEROPNT", "ZEROPOINT", "ZPT", "ZP", "ABZPT")
#: AB magnitude of one unit of flux (Oke & Gunn 1983: 0 mag is 3631 Jy)
_UNITS: Final = {"jy": 8.9, "mjy": 16.4, "ujy": 23.9, "njy": 31.4, "nanomaggy": 22.5, "nmgy": 22.5}
_GAINS: Final = ("GAIN", "EGAIN", "ARAWGAIN", "CCDGAIN")
_SATURATIONS: Final = ("SATURATE", "SATURVAL", "SATLEVEL")
_FILTERS: Final = ("FILTER", "FILTER1", "BAND", "FILTNAM1", "INSFILTE")
#: planes of a mask (cards MP_... of Rubin's images) that spoil a pixel; DETECTED and its kin do not
_BAD_PLANES: Final = ("BAD", "SAT", "NO_DATA", "CR", "EDGE", "SUSPECT", "UNMASKEDNAN", "SENSOR_EDGE")


@dataclass(frozen=True)
class ImageFile:
    """``pixels`` and ``bad`` of shape (rows, columns), ``variance`` in counts squared where the file has it.

    ``zero_point`` is the AB magnitude of one count, ``gain`` electrons a count, ``mjd`` the start of the exposure
    (UTC), ``exptime`` in seconds; None: the header does not say.
    """

    pixels: Floats
    wcs: Any
    bad: Booleans | None
    variance: Floats | None
    header: Any
    zero_point: float | None
    gain: float | None
    saturation: float | None
    mjd: float | None
    exptime: float | None
    filter: str | None

    def pixel_scale_arcsec(self) -> float:
        """The side of a pixel."""
        matrix = self.wcs.pixel_scale_matrix
        return float(np.sqrt(abs(np.linalg.det(matrix)))) * 3600.0

    def place(self, ra_deg: float, dec_deg: float) -> tuple[float, float] | None:
        """Where a place is on the image (pixels); None where it is on the other side of the sky."""
        with quiet():
            try:
                x, y = self.wcs.all_world2pix([[ra_deg, dec_deg]], 0, quiet=True)[0]
            except Exception:  # wcslib's errors have no common kin
                return None
        return (float(x), float(y)) if np.isfinite((x, y)).all() else None


def read_image(path: Path) -> ImageFile:
    """The first image with two axes, its mask and variance where the file has such. Raises DataMissing, DataError."""
    from astropy.io import fits

    if not path.is_file():
        raise DataMissing("the image is gone", where=str(path), hint="Fetch it again.")
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"the image is larger than {_MOST_BYTES:,} bytes", where=str(path))
    try:
        with quiet(), fits.open(path, memmap=False) as file:
            return _image(file, str(path))
    except (DataError, DataMissing):
        raise
    except Exception as error:  # damaged FITS files fail in many ways
        told = " ".join(str(error).split())[:100]
        raise DataError(f"this cannot be read as an image ({told})", where=str(path)) from None


def _image(file: Any, where: str) -> ImageFile:
    from astropy.wcs import WCS

    hdu = next((one for one in file if one.is_image and one.header.get("NAXIS", 0) == 2), None)
    if hdu is None:
        raise DataError("the file has no image of two axes", where=where)
    if hdu.header["NAXIS1"] * hdu.header["NAXIS2"] > _MOST_PIXELS:
        raise DataError(f"the image has more than {_MOST_PIXELS:,} pixels", where=where, hint="Take cutouts.")
    header = file[0].header.copy()
    header.update(hdu.header)
    wcs = WCS(hdu.header, fobj=file, fix=False)
    if not wcs.has_celestial:
        raise DataError("the image has no WCS of the sky", where=where)
    pixels = np.asarray(hdu.data, np.float64)
    names = {str(one.name).upper(): one for one in file if one is not hdu}
    bad = variance = None
    if (mask := names.get("MASK") or names.get("DQ")) is not None and np.shape(mask.data) == pixels.shape:
        bad = _bad(np.asarray(mask.data), mask.header)
    if (found := names.get("VARIANCE") or names.get("VAR")) is not None and np.shape(found.data) == pixels.shape:
        variance = np.asarray(found.data, np.float64)
    name = next((str(header[key]).strip() for key in _FILTERS if str(header.get(key, "")).strip()), None)
    return ImageFile(
        pixels, wcs.celestial, bad, variance, header, zero_point_of(header), _number(header, _GAINS),
        _number(header, _SATURATIONS), mjd_of(header), _number(header, ("EXPTIME", "EXPOSURE", "TEXPTIME")), name,
    )  # fmt: skip


def _bad(mask: Any, header: Any) -> Booleans:
    planes = {key[3:]: int(header[key]) for key in header if str(key).startswith("MP_")}
    if not planes:
        return np.asarray(mask != 0)
    bits = sum(1 << planes[name] for name in _BAD_PLANES if name in planes and 0 <= planes[name] < 63)
    return np.asarray((mask.astype(np.int64) & bits) != 0)


def _number(header: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = header.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value > 0:
            return float(value)
    return None


def zero_point_of(header: Mapping[str, Any]) -> float | None:
    """The AB magnitude of one count, as far as a header states it: a zero point, the flux of magnitude 0 (FLUXMAG0),
    Hubble's PHOTFLAM and PHOTPLAM, or a unit of flux."""
    for name in _ZERO_POINTS:
        value = header.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value < 60.0:
            return float(value)
    if (zero := _number(header, ("FLUXMAG0",))) is not None:
        return 2.5 * float(np.log10(zero))
    flam, plam = _number(header, ("PHOTFLAM",)), _number(header, ("PHOTPLAM",))
    if flam is not None and plam is not None:
        # STScI, ACS Data Handbook, section 5.1: ABMAG zero point
        return float(-2.5 * np.log10(flam) - 21.10 - 5.0 * np.log10(plam) + 18.6921)
    return _UNITS.get(str(header.get("BUNIT", "")).strip().lower())


def mjd_of(header: Mapping[str, Any]) -> float | None:
    """MJD of the start of the exposure, in the header's own scale; None where it does not say."""
    for name in ("MJD-OBS", "OBSMJD", "MJD-BEG", "MJD_OBS", "MJDOBS", "EXPSTART"):
        value = header.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value < 200_000.0:
            return float(value)
    for name in ("DATE-OBS", "DATE-BEG", "DATE_OBS"):
        text = str(header.get(name, "")).strip().rstrip("Z")
        if "T" not in text and header.get("TIME-OBS"):
            text = f"{text}T{str(header['TIME-OBS']).strip()}"
        try:
            day = np.datetime64(text, "us") if text else np.datetime64("NaT")
        except ValueError:
            continue
        if not np.isnat(day):
            return float((day - np.datetime64("1858-11-17", "us")) / np.timedelta64(1, "D"))
    return None
