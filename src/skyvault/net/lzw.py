"""Unix compress (.Z): the packing of ROSAT's and ASCA's files, unpacked without another program.

Format: magic 1F 9D, a byte with the largest code width (9-16) and, in its top bit, whether code 256 clears the
dictionary; then codes of growing width, lowest bit first, in groups of eight (compress(1), POSIX 1003.1 Utility
"compress"; Welch 1984).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from skyvault.errors import FormatError

_MAGIC: Final = b"\x1f\x9d"
_CLEAR: Final = 256
_FIRST_WIDTH: Final = 9
#: codes taken from the bit stream at once where the width no longer grows
_RUN: Final = 65_536
#: output held back, so that a dictionary entry can be copied from it, before it is handed on at a clear
_PIECE: Final = 1 << 20


def unlzw(source: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of a .Z file, in pieces of about 1 MB or, without clears in between, all at once.

    A dictionary entry is always a piece of what was already unpacked, one byte longer than the piece its code stood
    for; so entries are kept as places in the output, and a code is one copy. 10-20 MB/s.
    Raises FormatError, with the byte's number, for what is no such file or is damaged.
    """
    data = source.read()
    if len(data) < 3 or data[:2] != _MAGIC:
        raise FormatError("this is no compress (.Z) file", where="byte 0")
    widest, has_clear = data[2] & 0x1F, bool(data[2] & 0x80)
    if not _FIRST_WIDTH <= widest <= 16:
        raise FormatError(f"a largest code of {widest} bits is not possible (9 to 16 are)", where="byte 2")
    packed = np.frombuffer(data + b"\0\0\0", np.uint8).astype(np.uint32)
    end_bit = 8 * len(data)
    at_bit = 24
    while at_bit + _FIRST_WIDTH <= end_bit:
        at_bit, piece = _until_clear(packed, at_bit, end_bit, widest, has_clear)
        yield piece


def _codes(packed: npt.NDArray[np.uint32], at_bit: int, width: int, count: int) -> npt.NDArray[np.uint32]:
    bits = at_bit + width * np.arange(count, dtype=np.int64)
    byte = bits >> 3
    three = packed[byte] | packed[byte + 1] << 8 | packed[byte + 2] << 16
    shifted: npt.NDArray[np.uint32] = three >> (bits & 7).astype(np.uint32)
    return shifted & np.uint32((1 << width) - 1)


def _until_clear(
    packed: npt.NDArray[np.uint32], at_bit: int, end_bit: int, widest: int, has_clear: bool
) -> tuple[int, bytes]:
    """Everything up to the next clear code, or the end: (the bit after it, what it unpacks to)."""
    first_free = 257 if has_clear else 256
    # where entry first_free + k begins in the output, and how long it is
    starts: list[int] = []
    lengths: list[int] = []
    out = bytearray()
    before_start, before_length = -1, 0
    width = _FIRST_WIDTH
    while True:
        # the first code makes no entry, so the width lasts for one code more than there are entries left
        top = 1 << width
        entries_left = top - first_free - len(starts)
        full = width == widest
        wanted = _RUN if full else entries_left + (before_start < 0)
        count = min(wanted, (end_bit - at_bit) // width)
        codes = _codes(packed, at_bit, width, count)
        clears = np.flatnonzero(codes == _CLEAR) if has_clear else np.empty(0, np.int64)
        taken = int(clears[0]) if len(clears) else count
        room = top - first_free if full else 1 << 30
        for index, code in enumerate(codes[:taken].tolist()):
            here = len(out)
            if before_start >= 0 and len(starts) < room:
                starts.append(before_start)
                lengths.append(before_length + 1)
            if code < 256:
                out.append(code)
                before_length = 1
            else:
                entry = code - first_free
                if not 0 <= entry < len(starts):
                    raise FormatError(
                        f"code {code} has no meaning yet: the file is damaged",
                        where=f"byte {(at_bit + index * width) >> 3}",
                    )
                start, before_length = starts[entry], lengths[entry]
                piece = out[start : start + before_length]
                # an entry made by this very code ends with its own first byte
                out += piece if len(piece) == before_length else piece + piece[:1]
            before_start = here
        if len(clears):
            # codes are padded to groups of eight, counted from where the width began
            return _padded(at_bit, taken + 1, width), bytes(out)
        at_bit += count * width
        if count < wanted:
            return end_bit, bytes(out)
        if not full:
            at_bit = _padded(at_bit - count * width, count, width)
            width += 1


def _padded(begin_bit: int, count: int, width: int) -> int:
    return begin_bit + width * 8 * -(-count // 8)
