"""A coverage as a FITS file, as Aladin, TOPCAT and mocpy read it (MOC 2.0, section 4.3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from skyvault.formats.fits_header import BLOCK, Value, blocks, card

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Cells = NDArray[np.int64]

CONTENT_TYPE: Final = "application/fits"
_PRIMARY: Final = (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True))


def space_moc_fits(
    numbers: Cells, order: int, ordering: Literal["RANGE", "NUNIQ"] = "RANGE", *, name: str | None = None
) -> bytes:
    """A coverage of the sky.

    RANGE: ``numbers`` are the first cell of order 29 of each range and the one after its last, in turn. NUNIQ, which
    tools of MOC 1.1 read too: 4 * 4**order + cell of each cell, sorted. ``order`` is the finest of its cells.
    """
    own: list[tuple[str, Value, str]] = [
        ("MOCVERS", "2.0", "MOC version"),
        ("MOCDIM", "SPACE", "Physical dimension"),
        ("ORDERING", ordering, "Coding of the cells"),
        ("COORDSYS", "C", "Space reference frame (C: ICRS)"),
        ("MOCORD_S", order, "Finest order of space"),
    ]
    if ordering == "NUNIQ":
        own += [("PIXTYPE", "HEALPIX", "HEALPix cells"), ("MOCORDER", order, "As MOCORD_S, for MOC 1.1")]
    return _file(numbers, "RANGE" if ordering == "RANGE" else "UNIQ", own, name)


def time_moc_fits(numbers: Cells, order: int, *, name: str | None = None) -> bytes:
    """A coverage of time: first microsecond (TCB since JD 0) of each range and the one after its last, in turn."""
    own: list[tuple[str, Value, str]] = [
        ("MOCVERS", "2.0", "MOC version"),
        ("MOCDIM", "TIME", "Physical dimension"),
        ("ORDERING", "RANGE", "Coding of the ranges"),
        ("MOCORD_T", order, "Finest order of time"),
        ("TIMESYS", "TCB", "Time reference system"),
    ]
    return _file(numbers, "RANGE", own, name)


def _file(numbers: Cells, column: str, own: list[tuple[str, Value, str]], name: str | None) -> bytes:
    rows: bytes = numbers.astype(">i8").tobytes()
    cards: list[tuple[str, Value, str]] = [
        ("XTENSION", "BINTABLE", "Coverage"),
        ("BITPIX", 8, ""),
        ("NAXIS", 2, ""),
        ("NAXIS1", 8, "Bytes of a row"),
        ("NAXIS2", len(numbers), "Rows"),
        ("PCOUNT", 0, ""),
        ("GCOUNT", 1, ""),
        ("TFIELDS", 1, ""),
        ("TTYPE1", column, ""),
        ("TFORM1", "1K", ""),
        *own,
        ("MOCTOOL", "Skyvault", "What made it"),
    ]
    if name is not None:
        cards.append(("MOCID", name, "What is covered"))
    primary = blocks(card(keyword, value) for keyword, value in _PRIMARY)
    header = blocks(card(keyword, value, comment) for keyword, value, comment in cards)
    return primary + header + rows + b"\0" * (-len(rows) % BLOCK)
