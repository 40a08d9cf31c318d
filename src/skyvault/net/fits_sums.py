"""Whether a FITS file is whole and undamaged inside: every HDU's length, DATASUM and CHECKSUM (FITS 4.0, 4.4.2.7)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from skyvault.net.faults import WrongContent

_BLOCK: Final = 2880
_CARD: Final = 80
#: 200,000 cards
_MOST_HEADER_BYTES: Final = 16_000_000
_READ: Final = _BLOCK * 2048
_FIELDS: Final = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|DATASUM|CHECKSUM)\s*=\s*'?\s*([^'/\s]+)")
_MOST_HDUS: Final = 10_000


def refuse_damaged_fits(path: Path, name: str) -> None:
    """Raise WrongContent where the file ends too early or a sum that it carries is not that of its bytes.

    HDUs without DATASUM and CHECKSUM are looked at for their length only. ``name`` is what the file is called.
    """
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        number = 0
        while file.tell() < size:
            if number and not _is_extension(file):
                # anything may follow the last HDU (section 3.5)
                return
            number += 1
            if number > _MOST_HDUS:
                raise WrongContent(f"the FITS file has more than {_MOST_HDUS:,} parts", where=name)
            _check_hdu(file, number, size, name)


def _is_extension(file: BinaryIO) -> bool:
    here = file.tell()
    start = file.read(9)
    file.seek(here)
    return start == b"XTENSION="


def _check_hdu(file: BinaryIO, number: int, size: int, name: str) -> None:
    where = f"{name}, HDU {number - 1}"
    header = _header(file, where)
    fields: dict[bytes, bytes] = {}
    for begin in range(0, len(header), _CARD):
        match = _FIELDS.match(header[begin : begin + _CARD])
        if match:
            fields.setdefault(match[1], match[2])
    length = _data_bytes(fields, where)
    padded = -(-length // _BLOCK) * _BLOCK
    begin = file.tell()
    if begin + padded > size:
        raise WrongContent(f"the FITS file is cut: {begin + padded - size:,} bytes are missing", where=where)
    declared = fields.get(b"DATASUM", b"")
    if not declared.isdigit() and b"CHECKSUM" not in fields:
        file.seek(begin + padded)
        return
    data = 0
    left = padded
    while left:
        piece = file.read(min(_READ, left))
        if not piece:
            raise WrongContent("the FITS file became shorter while it was read", where=where)
        # reads come in whole words except at the end of what the system gives at once
        while len(piece) % 4 and (more := file.read(4 - len(piece) % 4)):
            piece += more
        data = _added(data, _words(piece))
        left -= len(piece)
    if declared.isdigit() and not _is_equal(int(declared), data):
        raise WrongContent(f"the data sum is {data}, but the file says {int(declared)}", where=where)
    if len(fields.get(b"CHECKSUM", b"")) == 16 and not _is_equal(_added(_words(header), data), 0):
        raise WrongContent("the checksum of the FITS file is wrong", where=where)


def _header(file: BinaryIO, where: str) -> bytes:
    header = b""
    while len(header) < _MOST_HEADER_BYTES:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise WrongContent("the FITS file is cut within a header", where=where)
        header += block
        if any(block.startswith(b"END     ", begin) for begin in range(0, _BLOCK, _CARD)):
            return header
    raise WrongContent(f"a header is longer than {_MOST_HEADER_BYTES:,} bytes", where=where)


def _data_bytes(fields: dict[bytes, bytes], where: str) -> int:
    try:
        axes = [int(fields[b"NAXIS%d" % axis]) for axis in range(1, int(fields[b"NAXIS"]) + 1)]
        bits = abs(int(fields[b"BITPIX"]))
        groups, extra = int(fields.get(b"GCOUNT", b"1")), int(fields.get(b"PCOUNT", b"0"))
    except (KeyError, ValueError):
        raise WrongContent("a header of the FITS file is damaged", where=where) from None
    if fields.get(b"GROUPS") == b"T" and axes[:1] == [0]:
        axes = axes[1:]
    if not axes:
        return 0
    if min(axes) < 0 or bits not in (8, 16, 32, 64) or groups < 0 or extra < 0:
        raise WrongContent("a header of the FITS file is damaged", where=where)
    return bits // 8 * groups * (extra + math.prod(axes))


def _words(piece: bytes) -> int:
    """The sum of big-endian 32-bit words."""
    words: np.ndarray[Any, np.dtype[np.uint32]] = np.frombuffer(piece, ">u4")
    return int(words.sum(dtype=np.uint64))


def _added(one: int, other: int) -> int:
    """Ones' complement addition of 32 bits."""
    total = one + other
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _is_equal(one: int, other: int) -> bool:
    """Zero has two forms in ones' complement."""
    return one % 0xFFFFFFFF == other % 0xFFFFFFFF
