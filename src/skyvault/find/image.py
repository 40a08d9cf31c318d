"""Images as they are on the sky: opened by address, asked whether they really contain a place, and shown.

Outlines in observation tables are often larger than the pixels (Rubin's by half a minute of arc); the WCS in the
image's own header is what counts. For that question only the headers are read, a few kilobytes of each file.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np
import requests

from skyvault.errors import FormatError, NotFound, SkyvaultError, UsageError
from skyvault.net.addresses import shown_address

if TYPE_CHECKING:
    from skyvault.config import Settings

_BLOCK: Final = 2880
#: headers are read in pieces of this size, and given up beyond the second
_HEADER_STEP: Final = 20 * _BLOCK
_HEADER_MOST: Final = 2_000 * _BLOCK
#: length of the arrows to the north and east
ARROW_ARCSEC: Final = 90.0


class ImageWarning(UserWarning):
    """Something about an image could not be told."""


# --- opening --------------------------------------------------------------------------------------------------------


def open_image(
    where: Any,
    *,
    session: requests.Session | None = None,
    settings: Settings | None = None,
    cache: str | Path | None = None,
) -> Any:
    """An astropy HDUList of a file, an address, a link, or a row of results (its #this). Remote files are fetched once.

    ``cache`` is the folder they are kept in (by default below the data directory). Raises what fetching raises, and
    FormatError for what is no FITS file.
    """
    from astropy.io import fits

    path = where if isinstance(where, (str, os.PathLike)) and "://" not in str(where) else None
    if path is None:
        path = _fetched(where, session, settings, cache)
    try:
        return fits.open(Path(path))
    except FileNotFoundError:
        raise NotFound("there is no such file", where=str(path)) from None
    except OSError as error:
        raise FormatError(f"this is no FITS file ({error})", where=str(path)) from None


def _fetched(where: Any, session: Any, settings: Settings | None, cache: str | Path | None) -> Path:
    import hashlib

    from skyvault.find.datalink import Link, SessionCredentials, fetch, links
    from skyvault.net.client import HttpClient
    from skyvault.net.download import Downloader
    from skyvault.net.remote_file import Order, RemoteFile

    if cache is None:
        from skyvault.config import Settings as Configuration

        cache = (settings or Configuration()).home / "cache" / "images"
    folder = Path(cache)
    if isinstance(where, (str, Link)):
        url = where if isinstance(where, str) else where.access_url or ""
        remote = RemoteFile(url=url, content="fits")
        name = hashlib.sha256(remote.identity.encode()).hexdigest()[:24] + ".fits"
        folder.mkdir(parents=True, exist_ok=True)
        with HttpClient(credentials=SessionCredentials(session)) as client:
            Downloader(client).fetch(Order(remote, folder / name))
        return folder / name
    found = links(where, session=session).bysemantics("#this", include_narrower=False)
    report = fetch(found, folder, session=session)
    if report.problems:
        raise report.problems[0].error
    return report.rows[0].order.target


# --- headers and footprints -----------------------------------------------------------------------------------------


def read_header(where: Any, hdu: int | None = None, *, session: requests.Session | None = None) -> Any:
    """The header of one HDU of a file or address (None: of the first with a picture). Remote: only headers are read."""
    from astropy.io import fits

    if isinstance(where, fits.HDUList):
        headers = (one.header for one in where)
    elif isinstance(where, (str, os.PathLike)) and "://" not in str(where):
        headers = _headers(_LocalBytes(Path(where)), str(where))
    else:
        headers = _headers(_RemoteBytes(str(where), session), shown_address(str(where)))
    for index, header in enumerate(headers):
        if index == hdu or (hdu is None and _has_picture(header)):
            return header
    what = "an image" if hdu is None else f"HDU {hdu}"
    raise FormatError(f"the file has no {what}", where="image")


def _has_picture(header: Any) -> bool:
    if header.get("ZIMAGE"):
        return True
    return int(header.get("NAXIS", 0)) >= 2 and header.get("XTENSION", "IMAGE").strip() == "IMAGE"


def _headers(source: Any, place: str) -> Any:
    """Headers one after the other; data between them are skipped."""
    from astropy.io import fits

    offset = 0
    for _ in range(1000):
        text = b""
        while True:
            piece = source.read(offset + len(text), _HEADER_STEP)
            if not piece and not text:
                return
            text += piece
            end = _end_of_header(text)
            if end is not None:
                break
            if len(piece) < _HEADER_STEP or len(text) > _HEADER_MOST:
                raise FormatError("this is no FITS file, or its header has no end", where=place)
        if offset == 0 and not text.startswith(b"SIMPLE"):
            raise FormatError("this is no FITS file", where=place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = fits.Header.fromstring(text[:end])
        yield header
        offset += end + _data_bytes(header)


def _end_of_header(text: bytes) -> int | None:
    for start in range(0, len(text) - len(text) % 80, 80):
        if text[start : start + 8] == b"END     ":
            end = -(-(start + 80) // _BLOCK) * _BLOCK
            return end
    return None


def _data_bytes(header: Any) -> int:
    """Length of an HDU's data with their padding (FITS 4.0, section 4.4.1)."""
    axes = int(header.get("NAXIS", 0))
    if not axes:
        return 0
    count = math.prod(int(header.get(f"NAXIS{i + 1}", 0)) for i in range(min(axes, 999)))
    total = (
        abs(int(header.get("BITPIX", 8))) // 8 * int(header.get("GCOUNT", 1)) * (int(header.get("PCOUNT", 0)) + count)
    )
    return -(-total // _BLOCK) * _BLOCK


class _LocalBytes:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, offset: int, count: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(count)
        except OSError as error:
            raise NotFound(f"the file cannot be read: {error.strerror}", where=str(self._path)) from None


class _RemoteBytes:
    """Reads parts of a remote file; a server without ranges is read from the beginning as far as needed."""

    def __init__(self, url: str, session: requests.Session | None) -> None:
        self._url = url
        self._session = session or requests.Session()

    def read(self, offset: int, count: int) -> bytes:
        from skyvault.find.faults import ServiceUnreachable
        from skyvault.find.results import refuse_fault

        headers = {"Range": f"bytes={offset}-{offset + count - 1}", "Accept-Encoding": "identity"}
        try:
            with self._session.get(self._url, headers=headers, stream=True, timeout=60) as response:
                if response.status_code == 416:
                    return b""
                refuse_fault(response, self._url)
                skip = 0 if response.status_code == 206 else offset
                piece = bytearray()
                for block in response.iter_content(65_536):
                    piece += block[max(0, min(skip, len(block))) :] if skip else block
                    skip = max(0, skip - len(block))
                    if len(piece) >= count:
                        break
                return bytes(piece[:count])
        except requests.RequestException:
            host = urlsplit(self._url).netloc
            raise ServiceUnreachable("the file cannot be read: the connection broke off", where=host) from None


def footprint_wcs(header: Any) -> Any:
    """The WCS of an image with its size; also of one that is compressed inside a table."""
    from astropy.wcs import WCS

    if header.get("ZIMAGE"):
        header = header.copy()
        for axis in range(1, int(header["ZNAXIS"]) + 1):
            header[f"NAXIS{axis}"] = header[f"ZNAXIS{axis}"]
        header["NAXIS"] = header["ZNAXIS"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header, fix=False)
    if not wcs.has_celestial:
        raise FormatError("the image has no WCS of the sky", where="image")
    return wcs.celestial


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
    where = _place(position)
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


def _place(position: Any) -> Any:
    from astropy.coordinates import SkyCoord

    from skyvault.missions.search import place_of

    if isinstance(position, SkyCoord):
        return position.icrs
    ra, dec = place_of(position)
    return SkyCoord(ra, dec, unit="deg", frame="icrs")


# --- showing --------------------------------------------------------------------------------------------------------


def show_image(
    image: Any,
    *,
    target: Any = None,
    region: Any = None,
    hdu: int | None = None,
    title: str | None = None,
    has_grid: bool = True,
    has_arrows: bool = True,
    has_colour_bar: bool = False,
    save: str | os.PathLike[str] | None = None,
    session: requests.Session | None = None,
    size_in: float = 6.0,
) -> Any:
    """A matplotlib Figure of an image: grey, linear between zscale's limits, with its grid of ICRS coordinates.

    ``image`` is what :func:`open_image` takes, or an HDUList. ``target`` is marked by an orange circle, ``region`` (an
    s_region text) drawn as a violet outline; arrows of 90 arcsec point north (yellow) and east (cyan). Right ascension
    grows as the image has it, so to the left where north is up.
    """
    from astropy.io import fits
    from astropy.visualization import ZScaleInterval
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    opened = image if isinstance(image, fits.HDUList) else open_image(image, session=session)
    try:
        chosen = _picture(opened, hdu)
        wcs = footprint_wcs(chosen.header)
        data = np.asarray(chosen.data, dtype=np.float32)
        data = data.reshape(-1, *data.shape[-2:])[0]
    finally:
        if opened is not image:
            opened.close()
    low, high = ZScaleInterval().get_limits(data)
    figure = Figure(figsize=(size_in, size_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection=wcs)
    shown = axes.imshow(data, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
    axes.set_xlim(-0.5, data.shape[1] - 0.5)
    axes.set_ylim(-0.5, data.shape[0] - 0.5)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    if has_grid:
        axes.grid(color="0.7", linestyle="solid", linewidth=0.8)
    if region is not None:
        _draw_outlines(axes, wcs, region, data.shape)
    if target is not None:
        x, y = (float(value) for value in wcs.world_to_pixel(_place(target)))
        axes.plot(x, y, "o", markersize=10, markeredgewidth=2, color="none", markeredgecolor="darkorange")
        _keep_in_view(axes, [x], [y], data.shape)
    if has_arrows:
        _draw_arrows(axes, wcs, data.shape)
    if has_colour_bar:
        figure.colorbar(shown, ax=axes, shrink=0.8, label=str(chosen.header.get("BUNIT", "pixel value")))
    if title:
        axes.set_title(title)
    if save is not None:
        figure.savefig(save, dpi=100)
    return figure


def _picture(opened: Any, hdu: int | None) -> Any:
    if hdu is not None:
        if not 0 <= hdu < len(opened):
            raise UsageError(f"there is no HDU {hdu}: the file has {len(opened)}")
        return opened[hdu]
    for one in opened:
        if one.is_image and one.header.get("NAXIS", 0) >= 2 and one.data is not None:
            return one
    raise FormatError("the file has no image", where=str(opened.filename()))


def _draw_outlines(axes: Any, wcs: Any, region: Any, shape: tuple[int, ...]) -> None:
    from astropy.coordinates import SkyCoord

    from skyvault.find.outline import outlines

    for ra, dec in outlines(region):
        x, y = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
        axes.plot(x, y, linewidth=1, color="darkviolet")
        _keep_in_view(axes, x, y, shape)


def _keep_in_view(axes: Any, x: Any, y: Any, shape: tuple[int, ...]) -> None:
    """Widen the axes for what lies around the image, up to half its size."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    height, width = shape[:2]
    near = (x > -0.5 * width) & (x < 1.5 * width) & (y > -0.5 * height) & (y < 1.5 * height)
    if not near.any():
        return
    margin = 0.02 * max(width, height)
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    axes.set_xlim(min(left, x[near].min() - margin), max(right, x[near].max() + margin))
    axes.set_ylim(min(low, y[near].min() - margin), max(high, y[near].max() + margin))


def _draw_arrows(axes: Any, wcs: Any, shape: tuple[int, ...]) -> None:
    from astropy import units as u

    height, width = shape[:2]
    middle = wcs.pixel_to_world((width - 1) / 2, (height - 1) / 2)
    x0, y0 = (width - 1) / 2, (height - 1) / 2
    for angle, letter, colour in ((0 * u.deg, "N", "yellow"), (90 * u.deg, "E", "cyan")):
        x, y = wcs.world_to_pixel(middle.directional_offset_by(angle, ARROW_ARCSEC * u.arcsec))
        axes.annotate("", (float(x), float(y)), (x0, y0), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4})
        axes.text(
            x0 + 1.25 * (float(x) - x0), y0 + 1.25 * (float(y) - y0), letter, color=colour, ha="center", va="center"
        )


def save_png(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure beside and rename it."""
    target = Path(path)
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".png", delete=False) as file:
        figure.savefig(file, format="png", dpi=100)
    os.replace(file.name, target)
    return target
