"""Where an image's pixels really lie on the sky, and which images really contain a place.

Outlines in observation tables are often larger than the pixels (Rubin's by half a minute of arc); the WCS in the
image's own header is what counts. For that question only the headers are read.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import requests

from skyvault.errors import FormatError, NotFound, SkyvaultError
from skyvault.find.image_header import read_header
from skyvault.quiet import quiet


class ImageWarning(UserWarning):
    """Something about an image could not be told."""


def footprint_wcs(header: Any) -> Any:
    """The WCS of an image with its size; also of one that is compressed inside a table."""
    from astropy.wcs import WCS

    if header.get("ZIMAGE"):
        header = header.copy()
        for axis in range(1, int(header["ZNAXIS"]) + 1):
            header[f"NAXIS{axis}"] = header[f"ZNAXIS{axis}"]
        header["NAXIS"] = header["ZNAXIS"]
    with quiet():
        wcs = WCS(header, fix=False)
    if not wcs.has_celestial:
        raise FormatError("the image has no WCS of the sky", where="image")
    # the usual case, for which astropy would make another WCS
    return wcs if wcs.naxis == 2 and wcs.wcs.lng == 0 else wcs.celestial


def really_contains(
    what: Any,
    position: Any,
    *,
    hdu: int | None = None,
    session: requests.Session | None = None,
    parallel: int = 8,
) -> Any:
    """Whether each image's own pixels hold ``position`` (SkyCoord, "ra dec" or (ra, dec), ICRS degrees).

    ``what`` are rows of results, links, addresses of images, files or HDULists. A masked array of bool in their order:
    masked, with a warning, where it cannot be told. Only headers are read.
    """
    where = place_on_sky(position)
    images, row_session = _images(what, session)
    if not images:
        return np.ma.zeros(0, bool)

    def one(image: Any) -> bool | SkyvaultError:
        try:
            if image is None:
                return NotFound("the row links no image")
            wcs = footprint_wcs(read_header(image, hdu, session=row_session))
            return bool(wcs.footprint_contains(where))
        except SkyvaultError as error:
            return error
        except Exception as error:
            # hostile headers have many ways to fail in a WCS
            return FormatError(f"the WCS cannot be used ({type(error).__name__}: {error})", where="image")

    with ThreadPoolExecutor(min(parallel, len(images)), thread_name_prefix="headers") as threads:
        told = list(threads.map(one, images))
    failed = np.array([not isinstance(one, bool) for one in told])
    if failed.any():
        first = next(str(one) for one in told if not isinstance(one, bool))
        warnings.warn(
            f"{int(failed.sum())} of {len(told)} images cannot be looked at: {first}", ImageWarning, stacklevel=2
        )
    return np.ma.array([one is True for one in told], mask=failed, dtype=bool)


def _images(what: Any, session: Any) -> tuple[list[Any], Any]:
    """The images of all rows, in their order (None: a row has none), and the session for them."""
    from astropy.io import fits

    from skyvault.find.datalink import Links, links

    if isinstance(what, fits.HDUList):
        return [what], session
    if isinstance(what, (str, os.PathLike)):
        return [what], session
    if isinstance(what, Sequence) and all(isinstance(one, (str, os.PathLike, fits.HDUList)) for one in what):
        return list(what), session
    found = what if isinstance(what, Links) else links(what, session=session)
    if isinstance(what, Links):
        rows = list(dict.fromkeys(found.table["row"].to_pylist()))
    else:
        rows = list(range(len(what) if hasattr(what, "__len__") and not hasattr(what, "keys") else 1))
    images: dict[int, str] = {}
    for link in found.bysemantics("#this", include_narrower=False):
        if link.access_url:
            images.setdefault(link.row, link.access_url)
    return [images.get(row) for row in rows], session or found.session


def place_on_sky(position: Any) -> Any:
    """A place as an ICRS SkyCoord: one, \"ra dec\", or (ra, dec) in degrees."""
    from astropy.coordinates import SkyCoord

    from skyvault.missions.search import place_of

    if isinstance(position, SkyCoord):
        return position.icrs
    ra, dec = place_of(position)
    return SkyCoord(ra, dec, unit="deg", frame="icrs")
