"""Headers of images read by themselves: a few kilobytes of each file, however large its pixels are."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from skyvault.errors import FormatError, NotFound
from skyvault.net.addresses import shown_address
from skyvault.quiet import quiet

_BLOCK: Final = 2880
#: the first headers of most images fit into this; longer ones are read in larger pieces, and given up beyond the most
_FIRST_STEP: Final = 10 * _BLOCK
_HEADER_STEP: Final = 20 * _BLOCK
_HEADER_MOST: Final = 2_000 * _BLOCK


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

    offset, ahead = 0, b""
    for _ in range(1000):
        text = ahead
        while (end := _end_of_header(text)) is None:
            piece = source.read(offset + len(text), _HEADER_STEP if text else _FIRST_STEP)
            if not piece and not text:
                return
            text += piece
            if not piece or len(text) > _HEADER_MOST:
                raise FormatError("this is no FITS file, or its header has no end", where=place)
            if offset == 0 and not text.startswith(b"SIMPLE"):
                raise FormatError("this is no FITS file", where=place)
        with quiet():
            header = fits.Header.fromstring(text[:end])
        yield header
        offset += end + _data_bytes(header)
        # an HDU without data is followed by what has come already
        ahead = text[end:] if not _data_bytes(header) else b""


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
