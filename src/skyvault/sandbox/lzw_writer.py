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
    """``data`` packed with codes of 9 to 16 bits; the dictionary is never cleared. About 4 MB/s."""
    if not data:
        return _HEAD
    known = {bytes((byte,)): byte for byte in range(256)}
    codes: list[int] = []
    free = _FIRST_FREE
    held = b""
    for byte in data:
        longer = held + bytes((byte,))
        if longer in known:
            held = longer
            continue
        codes.append(known[held])
        if free < 1 << _WIDEST:
            known[longer] = free
            free += 1
        held = longer[-1:]
    codes.append(known[held])
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
