"""HDF5 files as bytes: groups of one table each, laid out by the HDF5 File Format Specification 3.0.

The HDF5 library spends half a millisecond on opening and closing one small file, which for two files a source is more
than all the science. What a light curve needs of the format is little: a superblock, object headers, one table a group.
Headers are of version 1, which carry no checksums; tables are contiguous, or one deflated chunk, which readers since
HDF5 1.10 (2016) know. Reading is left to the library.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.pipeline.faults import DataError

#: smaller tables are not worth deflating: 100 epochs, which gain a kilobyte and cost a tenth of a millisecond
_SMALL_BYTES: Final = 8_192
#: a chunk's length has four bytes
_MOST_BYTES: Final = 2**32 - 1
#: a message of an object header has a length of two bytes; longer descriptions are tables of their own
_LONGEST_MESSAGE: Final = 60_000
_LEVEL: Final = 1
_UNDEFINED: Final = b"\xff" * 8
_SUPERBLOCK_BYTES: Final = 96

# messages of object headers, specification IV.A.2
_DATASPACE, _LINK_INFO, _DATATYPE, _FILL_VALUE, _LINK, _LAYOUT, _GROUP_INFO, _FILTERS, _ATTRIBUTE = (
    0x01, 0x02, 0x03, 0x05, 0x06, 0x08, 0x0A, 0x0B, 0x0C,
)  # fmt: skip
_SHUFFLE, _DEFLATE = 2, 1
_CONSTANT: Final = 1


def hdf5_bytes(groups: Sequence[tuple[str, NDArray[Any], bytes]]) -> bytes:
    """A file with a group for each (key, rows, about): the dataset ``rows`` and the ASCII text ``about``.

    ``rows``, any shape, holds numbers, booleans and byte texts, or records of these. ``about`` is an attribute of the
    group, or a dataset of bytes where it is longer than 60,000 characters. Raises DataError beyond 4 GiB a table.
    """
    file = _File()
    links = []
    for key, rows, about in groups:
        inner = [_link("rows", file.dataset(rows))]
        attributes = []
        if len(about) > _LONGEST_MESSAGE:
            inner.append(_link("about", file.dataset(np.frombuffer(about, np.uint8))))
        else:
            attributes.append(_attribute(b"about", about))
        links.append(_link(key, file.append(_header([_NEW_GROUP, *inner, *attributes]))))
    return file.closed(file.append(_header([_NEW_GROUP, *links])))


class _File:
    """Pieces of a file in their order; each begins at a multiple of eight bytes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = [b""]
        self.end = _SUPERBLOCK_BYTES

    def append(self, piece: bytes) -> int:
        """The address at which the piece lies."""
        address = self.end
        filled = _filled(piece)
        self.pieces.append(filled)
        self.end += len(filled)
        return address

    def dataset(self, rows: NDArray[Any]) -> int:
        """The address of the header of a dataset."""
        rows = np.ascontiguousarray(rows)
        if rows.nbytes > _MOST_BYTES:
            raise DataError(f"a table of {rows.nbytes / 2**30:.1f} GiB is too long for one data set", hint="Cut it.")
        messages = [
            _message(_DATASPACE, struct.pack(f"<BBB5x{rows.ndim}Q", 1, rows.ndim, 0, *rows.shape)),
            _datatype_message(rows.dtype),
            _NO_FILL_VALUE,
        ]
        if rows.nbytes <= _SMALL_BYTES:
            address = self.append(rows.tobytes()) if rows.nbytes else 0
            where = struct.pack("<Q", address) if rows.nbytes else _UNDEFINED
            messages.append(_message(_LAYOUT, struct.pack("<BB", 3, 1) + where + struct.pack("<Q", rows.nbytes)))
        else:
            packed = zlib.compress(_shuffled(rows), _LEVEL)
            messages.append(_filters(rows.dtype.itemsize))
            messages.append(_one_chunk((*rows.shape, rows.dtype.itemsize), len(packed), self.append(packed)))
        return self.append(_header(messages))

    def closed(self, root: int) -> bytes:
        """The whole file, with the address of its root group in front."""
        self.pieces[0] = struct.pack(
            "<8sBBBxBBBxHHI", b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 8, 8, 4, 16, 0
        ) + struct.pack("<Q8sQ8sQQI4x16x", 0, _UNDEFINED, self.end, _UNDEFINED, 0, root, 0)  # fmt: skip
        return b"".join(self.pieces)


def _filled(piece: bytes) -> bytes:
    return piece + bytes(-len(piece) % 8)


def _message(kind: int, body: bytes, flags: int = 0) -> bytes:
    body = _filled(body)
    return struct.pack("<HHB3x", kind, len(body), flags) + body


def _header(messages: list[bytes]) -> bytes:
    body = b"".join(messages)
    # groups count their two messages as one here: see _NEW_GROUP
    count = len(messages) + (messages[0] is _NEW_GROUP)
    return struct.pack("<BxHII4x", 1, count, 1, len(body)) + body


#: link info and group info of a group that keeps its links in its header
_NEW_GROUP: Final = _message(_LINK_INFO, b"\x00\x00" + 2 * _UNDEFINED) + _message(_GROUP_INFO, b"\x00\x00")
#: version 2, allocated late, never written, not defined
_NO_FILL_VALUE: Final = _message(_FILL_VALUE, bytes([2, 2, 1, 0]), _CONSTANT)


def _one_chunk(shape: tuple[int, ...], packed: int, address: int) -> bytes:
    """Layout of version 4, chunked, all in one filtered chunk; ``shape`` ends with the bytes of an element."""
    # the reader insists on the fewest bytes that hold every dimension
    width = (max(shape).bit_length() + 7) // 8
    sizes = b"".join(size.to_bytes(width, "little") for size in shape)
    single_chunk = struct.pack("<BQIQ", 1, packed, 0, address)
    return _message(_LAYOUT, bytes([4, 2, 2, len(shape), width]) + sizes + single_chunk)


def _link(name: str, address: int) -> bytes:
    letters = name.encode("utf-8")
    wide = len(letters) > 255
    # a hard link with its character set (UTF-8) stated
    begin = struct.pack("<BBBH" if wide else "<BBBB", 1, 0x10 | wide, 1, len(letters))
    return _message(_LINK, begin + letters + struct.pack("<Q", address))


def _attribute(name: bytes, text: bytes) -> bytes:
    """A text of fixed length; one of variable length would cost a heap of 4 kB."""
    kind = struct.pack("<BBBBI", 0x13, 1, 0, 0, max(len(text), 1))
    scalar = bytes([2, 0, 0, 0])
    begin = struct.pack("<BBHHHB", 3, 0, len(name) + 1, len(kind), len(scalar), 0)
    return _message(_ATTRIBUTE, begin + name + b"\x00" + kind + scalar + (text or b"\x00"))


@functools.lru_cache(256)
def _datatype_message(dtype: np.dtype[Any]) -> bytes:
    from h5py import h5t

    # the library's own encoding, after two bytes that say what it is
    return _message(_DATATYPE, h5t.py_create(dtype, logical=True).encode()[2:], _CONSTANT)


@functools.lru_cache(256)
def _filters(itemsize: int) -> bytes:
    shuffle = struct.pack("<HHHI", _SHUFFLE, 0, 1, itemsize)
    deflate = struct.pack("<HHHI", _DEFLATE, 0, 1, _LEVEL)
    return _message(_FILTERS, bytes([2, 2]) + shuffle + deflate)


def _shuffled(rows: NDArray[Any]) -> bytes:
    """First bytes of all elements, then all second bytes, and so on: what is alike lies together."""
    letters = rows.reshape(-1).view(np.uint8).reshape(rows.size, rows.dtype.itemsize)
    return letters.T.tobytes()
