"""PNG files of grey pictures, written several times faster than by general means."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np

#: rows looked at to choose how pixels are told: as they are, or as differences from their left neighbours
_LOOKED_AT: Final = 64
_AS_THEY_ARE: Final = 0
_FROM_THE_LEFT: Final = 1


def grey_png(grey: Any) -> bytes:
    """The PNG (ISO/IEC 15948) of an array of bytes, shape (rows, columns), first row on top; 255 is white.

    Pictures of the sky are mostly noise, in which a search for repeated strings finds nothing: runs and Huffman's
    code make files of the same size in a quarter of the time.
    """
    grey = np.ascontiguousarray(grey, np.uint8)
    height, width = grey.shape
    lines = np.empty((height, width + 1), np.uint8)
    kind = _shorter(grey)
    lines[:, 0] = kind
    lines[:, 1] = grey[:, 0]
    if kind == _FROM_THE_LEFT:
        np.subtract(grey[:, 1:], grey[:, :-1], out=lines[:, 2:])
    else:
        lines[:, 2:] = grey[:, 1:]
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    packed = packer.compress(lines.data) + packer.flush()
    # eight bits a pixel, grey, no interlacing
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _shorter(grey: Any) -> int:
    """Which way of telling the pixels has less entropy, by some of the rows."""
    rows = grey[:: max(1, len(grey) // _LOOKED_AT)]
    return _FROM_THE_LEFT if _entropy(rows[:, 1:] - rows[:, :-1]) < _entropy(rows) else _AS_THEY_ARE


def _entropy(values: Any) -> float:
    """Bits a value."""
    counts = np.bincount(values.ravel(), minlength=1)
    shares = counts[counts > 0] / max(1, values.size)
    return float(-(shares * np.log2(shares)).sum())


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
