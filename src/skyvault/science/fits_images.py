"""What the images of a FITS file are: their size, place, outline and pixel scale, read from headers alone.

Outlines come from the WCS at the edges of the pixels (FITS paper II: the first pixel reaches from 0.5 to 1.5), not
from what a header says of the telescope's field. Distorted edges are followed by more corners.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.reprojected import in_a_line

Floats = NDArray[np.float64]

#: an edge whose middle is further than this from the straight one, in pixels, gets more corners
_BENT_PIXELS: Final = 1.0
#: corners along a bent edge
_BENT_CORNERS: Final = 8
#: HDUs looked at in one file
_MOST_HDUS: Final = 2_000
#: planes that accompany an image in the same file, by EXTNAME (Rubin, DECam, HST)
COMPANIONS: Final = frozenset({"MASK", "VARIANCE", "ERR", "DQ", "WHT", "WEIGHT", "CTX", "IVAR", "SIGMA", "FLAGS"})


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image in a file. Angles in degrees (ICRS), ``outline`` of shape (n, 2) counter-clockwise on the sky.

    ``shape`` is (rows, columns) of the sky's axes; ``planes`` are all axes as FITS has them (NAXIS1 first).
    """

    hdu: int
    name: str
    shape: tuple[int, int]
    planes: tuple[int, ...]
    ra: float
    dec: float
    outline: Floats
    fov_deg: float
    pixel_arcsec: float
    header: Any


def images_of(path: Path, *, wanted: str | int = "first") -> list[ImageFacts]:
    """The images of a file that have a place on the sky.

    ``wanted`` is "first" (the first image that is no mask or error plane), "all", a number or an EXTNAME. Raises
    FormatError, with what is wrong, when there is none.
    """
    with opened_fits(path) as file:
        return images_in(file, path.name, wanted=wanted)


@contextmanager
def opened_fits(path: Path) -> Iterator[Any]:
    """A FITS file (``astropy.io.fits.HDUList``) whose HDUs are read as they are looked at. Raises FormatError."""
    from astropy.io import fits

    try:
        with quiet():
            file = fits.open(path, memmap=False, lazy_load_hdus=True)
    except Exception as problem:
        raise FormatError(f"it cannot be read as FITS ({in_a_line(problem)})", where=path.name) from None
    with file:
        yield file


def images_in(file: Any, where: str, *, wanted: str | int = "first") -> list[ImageFacts]:
    """The same as :func:`images_of` for an open file, ``where`` being its name."""
    try:
        with quiet():
            return _chosen(file, wanted, where)
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"it cannot be read as FITS ({in_a_line(problem)})", where=where) from None


def _chosen(file: Any, wanted: str | int, where: str) -> list[ImageFacts]:
    found: list[ImageFacts] = []
    complaint = "it holds no image"
    number = -1
    while number + 1 < _MOST_HDUS:
        number += 1
        try:
            hdu = file[number]
        except IndexError:
            break
        if not _is_picture(hdu):
            continue
        name = str(hdu.name or "")
        if isinstance(wanted, int) and number != wanted:
            continue
        if isinstance(wanted, str) and wanted not in ("first", "all") and name.lower() != wanted.lower():
            continue
        if wanted in ("first", "all") and name.upper() in COMPANIONS:
            continue
        try:
            # the place is what the image's own header says: coordinates of the file's first one are of the first image
            facts = facts_of(hdu.header, number, name, file)
            found.append(replace(facts, header=_whole_header(file, number)))
        except FormatError as problem:
            complaint = problem.what
            continue
        if wanted == "first":
            break
    if not found:
        if wanted not in ("first", "all"):
            raise FormatError(f"there is no image {wanted!r} with a place on the sky ({complaint})", where=where)
        raise FormatError(complaint, where=where)
    return found


def _is_picture(hdu: Any) -> bool:
    if not getattr(hdu, "is_image", False):
        return False
    header = hdu.header
    return int(header.get("NAXIS", 0)) >= 2 and min(int(header[f"NAXIS{i + 1}"]) for i in range(2)) > 1


def _whole_header(file: Any, number: int) -> Any:
    """The image's header, with what only the file's first header says of the exposure."""
    header = file[number].header
    if number == 0:
        return header
    first = file[0].header
    whole = header.copy()
    for card in first.cards:
        if card.keyword and card.keyword not in whole and card.keyword not in ("COMMENT", "HISTORY", "EXTEND"):
            whole.append(card)
    return whole


def facts_of(header: Any, hdu: int, name: str = "", file: Any = None) -> ImageFacts:
    """What an image's header says of its place; ``file`` is the open file, for distortions kept in tables of it.

    Raises FormatError where it has none that can be used.
    """
    planes = tuple(int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"])))
    wcs = celestial_wcs(header, file)
    lon_axis, lat_axis = _sky_axes(header, len(planes))
    width, height = planes[lon_axis], planes[lat_axis]
    outline = _outline(wcs, width, height)
    centre = _on_sky(wcs, np.array([[(width - 1) / 2.0, (height - 1) / 2.0]]))[0]
    if not (np.isfinite(centre).all() and np.isfinite(outline).all()):
        raise FormatError("its WCS has no place on the sky for the image's centre or edges")
    outline = _turned(outline, centre)
    scale = np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0
    return ImageFacts(
        hdu,
        name,
        (height, width),
        planes,
        float(centre[0]),
        float(centre[1]),
        outline,
        _diameter(outline, centre),
        float(scale),
        header,
    )


def celestial_wcs(header: Any, file: Any = None) -> Any:
    """The sky's part of a header's WCS, distortions included. Raises FormatError with the reason."""
    try:
        with quiet():
            whole = _all_axes(header, file)
            if not whole.has_celestial:
                raise FormatError("it has no WCS of the sky")
            # two axes of the sky in their order are its part already
            sky = whole if whole.naxis == 2 and whole.wcs.lng == 0 and whole.wcs.lat == 1 else whole.celestial
            sky.wcs.set()
            scale = np.linalg.det(sky.pixel_scale_matrix)
            reference = np.asarray(sky.wcs.crval, np.float64)
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"its WCS cannot be used ({in_a_line(problem)})") from None
    if not (np.isfinite(scale) and scale != 0.0 and np.isfinite(reference).all()):
        raise FormatError("its WCS holds no scale")
    return sky


def _all_axes(header: Any, file: Any) -> Any:
    from astropy.wcs import WCS

    try:
        return WCS(header, file, fix=False)
    except Exception:
        if int(header.get("NAXIS", 0)) <= 2:
            raise
        # a third axis without a scale, as the maps of IRAS have it, spoils the matrix of all
        return WCS(header, file, fix=False, naxis=2)


def _sky_axes(header: Any, axes: int) -> tuple[int, int]:
    """Which of the image's axes are longitude and latitude, counted from 0."""
    kinds = [str(header.get(f"CTYPE{i + 1}", "")).upper() for i in range(axes)]
    lon = next((i for i, kind in enumerate(kinds) if kind.startswith("RA") or kind[1:4] == "LON"), 0)
    lat = next((i for i, kind in enumerate(kinds) if kind.startswith("DEC") or kind[1:4] == "LAT"), 1)
    # the celestial part of a WCS keeps the order of the axes
    return (lon, lat) if lon < lat else (lat, lon)


def _on_sky(wcs: Any, pixels: Floats) -> Floats:
    """ICRS degrees of pixel places, the first pixel's centre being 0."""
    lon, lat = wcs.all_pix2world(pixels[:, 0], pixels[:, 1], 0)
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    if _is_icrs(wcs):
        return np.stack([lon % 360.0, lat], axis=1)
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    try:
        places = SkyCoord(lon, lat, unit="deg", frame=wcs_to_celestial_frame(wcs)).icrs
    except Exception as problem:
        raise FormatError(f"the frame of its WCS is not known ({in_a_line(problem)})") from None
    return np.stack([places.ra.deg, places.dec.deg], axis=1)


def _is_icrs(wcs: Any) -> bool:
    if not str(wcs.wcs.ctype[0]).startswith(("RA", "DEC")):
        return False
    named = str(wcs.wcs.radesys).strip().upper()
    # without an equinox the system is ICRS (FITS paper II, section 3.1)
    return named == "ICRS" or (not named and not np.isfinite(wcs.wcs.equinox))


def _outline(wcs: Any, width: int, height: int) -> Floats:
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    ends = np.roll(corners, -1, axis=0)
    places = _on_sky(wcs, np.concatenate([corners, 0.5 * (corners + ends)]))
    straight, middle = places[:4], places[4:]
    if not np.isfinite(places).all():
        return straight
    a, b = _vectors(straight), _vectors(np.roll(straight, -1, axis=0))
    halfway = a + b
    halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
    off = np.linalg.norm(_vectors(middle) - halfway, axis=1)
    pixel = np.radians(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    if off.max() <= _BENT_PIXELS * pixel:
        return straight
    steps = np.arange(_BENT_CORNERS) / _BENT_CORNERS
    along = corners[:, None, :] + steps[None, :, None] * (ends - corners)[:, None, :]
    return _on_sky(wcs, along.reshape(-1, 2))


def _vectors(places: Floats) -> Floats:
    lon, lat = np.radians(places[:, 0]), np.radians(places[:, 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _turned(outline: Floats, centre: Floats) -> Floats:
    """Counter-clockwise as seen from the Earth with east to the left (DALI 1.1, section 3.3.7)."""
    c = _vectors(centre[None, :])[0]
    corners = _vectors(outline)
    turn = np.einsum("ij,j->i", np.cross(corners, np.roll(corners, -1, axis=0)), c).sum()
    return outline if turn >= 0 else outline[::-1]


def _diameter(outline: Floats, centre: Floats) -> float:
    """Twice the distance from the centre to the farthest corner, degrees."""
    c = _vectors(centre[None, :])[0]
    chord = np.linalg.norm(_vectors(outline) - c, axis=1).max()
    return float(2.0 * np.degrees(2.0 * np.arcsin(min(chord / 2.0, 1.0))))


def polygon_text(outline: Floats) -> str:
    """An outline as ObsCore's s_region."""
    return "POLYGON ICRS " + " ".join(f"{value:.7f}" for value in outline.ravel())
