"""Packing as Unix compress does (.Z), so that ROSAT's files come as they do from the archive.

The inverse of :mod:`skyvault.net.lzw`, where the format is described.
"""

from __future__ import annotations

from typing import Final

import numpy as np

_HEAD: Final = b"\x1f\x9d\x90"  # at most 16 bits a code, code 256 clears
_WIDEST: Final = 16
_FIRST_FREE: Final = 257


def lzw(data: bytes) -> bytes:
    """``data`` packed with codes of 9 to 16 bits; the dictionary is never cleared. 2-12 MB/s."""
    if not data:
        return _HEAD
    # an entry is one byte behind another entry: its key is that one's code and the byte
    known: dict[int, int] = {}
    find = known.get
    codes: list[int] = []
    free = _FIRST_FREE
    held = data[0]
    for byte in memoryview(data)[1:]:
        key = held << 8 | byte
        code = find(key)
        if code is not None:
            held = code
            continue
        codes.append(held)
        if free < 1 << _WIDEST:
            known[key] = free
            free += 1
        held = byte
    codes.append(held)
    return _HEAD + _bits(codes)


def _bits(codes: list[int]) -> bytes:
    """Codes with the lowest bit first; the width grows when the dictionary does, the first code adds nothing."""
    pieces = []
    begin, width = 0, 9
    while begin < len(codes):
        end = len(codes) if width == _WIDEST else (1 << width) - 256
        part = np.array(codes[begin:end], np.uint32)
        pieces.append((part[:, None] >> np.arange(width, dtype=np.uint32) & 1).astype(np.uint8).ravel())
        begin, width = end, width + 1
    return np.packbits(np.concatenate(pieces), bitorder="little").tobytes()
