"""FITS files made of plain arrays, byte for byte the same each time, with DATASUM and CHECKSUM.

FITS Standard 4.0, sections 3 to 7 and appendix J (checksums).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from skyvault.formats.fits_header import BLOCK, card

#: keyword, value, comment
Cards: TypeAlias = Sequence[tuple[str, Any, str]]

_BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}
_TFORM: Final = {"u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
#: characters a checksum's text must do without
_EXCLUDED: Final = frozenset(b":;<=>?@[\\]^_`")
_NO_SUM: Final = "0" * 16


def primary(cards: Cards, image: npt.NDArray[Any] | None = None) -> bytes:
    """A primary unit, with an image or without data. Cards say what is particular."""
    fixed: list[tuple[str, Any, str]] = [("SIMPLE", True, "FITS standard")]
    fixed += _shape(image)
    return _unit([*fixed, ("EXTEND", True, ""), *cards], b"" if image is None else _big_endian(image), b"\0")


def image_extension(name: str, cards: Cards, image: npt.NDArray[Any]) -> bytes:
    """An image in an extension."""
    fixed: list[tuple[str, Any, str]] = [("XTENSION", "IMAGE", "image extension"), *_shape(image)]
    fixed += [("PCOUNT", 0, ""), ("GCOUNT", 1, ""), ("EXTNAME", name, "name of this extension")]
    return _unit([*fixed, *cards], _big_endian(image), b"\0")


def table_extension(
    name: str,
    rows: npt.NDArray[Any],
    cards: Cards,
    units: Sequence[str],
    of_columns: dict[str, Sequence[tuple[str, Any, str]]] | None = None,
) -> bytes:
    """A binary table from a record array of numbers and texts.

    ``of_columns`` holds further cards of a column by its name, as ("TCRVL", value, comment).
    """
    fields = rows.dtype.names or ()
    fixed: list[tuple[str, Any, str]] = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, ""),
        ("NAXIS", 2, ""),
        ("NAXIS1", rows.dtype.itemsize, "bytes a row"),
        ("NAXIS2", len(rows), "rows"),
        ("PCOUNT", 0, ""),
        ("GCOUNT", 1, ""),
        ("TFIELDS", len(fields), "columns"),
        ("EXTNAME", name, "name of this extension"),
    ]
    for number, (field, unit) in enumerate(zip(fields, units, strict=True), 1):
        kind = rows.dtype[field]
        form = f"{kind.itemsize}A" if kind.kind == "S" else f"1{_TFORM[kind.str[1:]]}"
        fixed += [(f"TTYPE{number}", field, ""), (f"TFORM{number}", form, "")]
        if unit:
            fixed.append((f"TUNIT{number}", unit, ""))
        fixed += [(f"{word}{number}", value, said) for word, value, said in (of_columns or {}).get(field, ())]
    return _unit([*fixed, *cards], rows.tobytes(), b"\0")


def data_sum(data: bytes) -> int:
    """The ones' complement sum of 32-bit words."""
    total = int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _shape(image: npt.NDArray[Any] | None) -> list[tuple[str, Any, str]]:
    if image is None:
        return [("BITPIX", 8, ""), ("NAXIS", 0, "")]
    axes = [(f"NAXIS{number}", size, "") for number, size in enumerate(reversed(image.shape), 1)]
    return [("BITPIX", _BITPIX[image.dtype.str[1:]], ""), ("NAXIS", image.ndim, ""), *axes]


def _big_endian(image: npt.NDArray[Any]) -> bytes:
    return image.astype(image.dtype.newbyteorder(">")).tobytes()


def _unit(cards: Iterable[tuple[str, Any, str]], data: bytes, fill: bytes) -> bytes:
    data += fill * (-len(data) % BLOCK)
    of_data = data_sum(data)
    head = b"".join(card(*one) for one in cards)
    head += card("DATASUM", str(of_data), "data unit checksum")
    at = len(head)
    head += card("CHECKSUM", _NO_SUM) + b"END".ljust(80)
    head += b" " * (-len(head) % BLOCK)
    whole = data_sum(head) + of_data
    whole = (whole & 0xFFFFFFFF) + (whole >> 32)
    told = _checksum_text(~whole & 0xFFFFFFFF)
    # the value begins behind "CHECKSUM= '"
    return head[: at + 11] + told + head[at + 27 :] + data


def _checksum_text(value: int) -> bytes:
    """Sixteen letters and digits that bring the unit's sum to minus zero (FITS 4.0, appendix J.2)."""
    text = bytearray(16)
    for place in range(4):
        byte = value >> (24 - 8 * place) & 0xFF
        four = [byte // 4 + 0x30] * 4
        four[0] += byte % 4
        for first in (0, 2):
            while four[first] in _EXCLUDED or four[first + 1] in _EXCLUDED:
                four[first] += 1
                four[first + 1] -= 1
        text[place::4] = bytes(four)
    return bytes(text[-1:] + text[:-1])
