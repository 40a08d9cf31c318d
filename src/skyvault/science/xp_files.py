"""Files of Gaia XP spectra in their continuous representation, as the archive and its bulk downloads give them.

CSV (arrays as text in brackets), ECSV, FITS, VOTable, Parquet, packed or not: what any of our readers takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError
from skyvault.science.xp_instrument import BANDS, COEFFICIENTS
from skyvault.science.xp_sampling import CORRELATIONS, XpCoefficients

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.formats.stream import TableStream

#: spectra handed on at once: 25 MB of correlations
_ROWS: Final = 1024
_WIDTHS: Final = {
    "coefficients": COEFFICIENTS,
    "coefficient_errors": COEFFICIENTS,
    "coefficient_correlations": CORRELATIONS,
}


@dataclass(frozen=True, slots=True)
class XpSpectra:
    """Some spectra of a file: identifiers (n,), both bands, and positions in ICRS degrees where the file has them."""

    source_id: NDArray[np.int64]
    bp: XpCoefficients
    rp: XpCoefficients
    ra: NDArray[np.float64] | None = None
    dec: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.source_id)

    def __getitem__(self, rows: slice) -> XpSpectra:
        ra, dec = (None if one is None else one[rows] for one in (self.ra, self.dec))
        return XpSpectra(self.source_id[rows], self.bp.rows(rows), self.rp.rows(rows), ra, dec)


def xp_spectra(path: Path) -> Iterator[XpSpectra]:
    """The spectra of a file, some hundred at a time. Raises FormatError for a file that holds none."""
    from skyvault.formats import open_table

    stream = open_table(path)
    try:
        places = _places(stream, path.name)
        for batch in stream.batches:
            for first in range(0, batch.num_rows, _ROWS):
                yield _read(batch.slice(first, _ROWS), places, path.name)
        if stream.error:
            raise FormatError(stream.error, where=path.name)
    finally:
        getattr(stream.batches, "close", lambda: None)()


def _places(stream: TableStream, name: str) -> dict[str, int]:
    """Where the columns are that are needed."""
    held = {column.name.lower(): number for number, column in enumerate(stream.table.columns)}
    needed = ["source_id", *(f"{band}_{kind}" for band in BANDS for kind in _WIDTHS)]
    missing = [one for one in needed if one not in held]
    if missing:
        raise FormatError(
            f"it has no column {missing[0]}",
            where=name,
            hint="XP spectra are those of gaiadr3.xp_continuous_mean_spectrum, with all their columns.",
        )
    return held


def _read(batch: pa.RecordBatch, places: dict[str, int], name: str) -> XpSpectra:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = batch.column(places["source_id"])
    try:
        ids = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        raise FormatError("its source_id are no whole numbers", where=name) from None
    if ids.null_count:
        raise FormatError("a spectrum has no source_id", where=name)
    bands = []
    for band in BANDS:
        arrays = [
            _matrix(batch.column(places[f"{band}_{kind}"]), width, f"{band}_{kind}", name)
            for kind, width in _WIDTHS.items()
        ]
        bands.append(XpCoefficients(np.asarray(arrays[0], np.float64), arrays[1], arrays[2]))
    place: list[NDArray[np.float64] | None] = [None, None]
    if {"ra", "dec"} <= set(places):
        place = [
            np.asarray(pc.cast(batch.column(places[one]), pa.float64()).to_numpy(zero_copy_only=False))
            for one in ("ra", "dec")
        ]
    return XpSpectra(np.asarray(ids.to_numpy(zero_copy_only=False), np.int64), bands[0], bands[1], place[0], place[1])


def _matrix(array: Any, width: int, what: str, name: str) -> NDArray[np.floating]:
    """A column of arrays, shape (n, width); rows without an array are NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = _parsed(array, what, name)
    if pa.types.is_null(array.type):
        return np.full((len(array), width), np.nan)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        raise FormatError(f"its {what} are {array.type}, not arrays", where=name)
    if not pa.types.is_floating(array.type.value_type):
        array = array.cast(pa.list_(pa.float64()))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    wrong = (lengths != 0) & (lengths != width)
    if wrong.any():
        raise FormatError(f"an array of {what} has {lengths[wrong][0]} numbers, not {width}", where=name)
    numbers = array.flatten().to_numpy(zero_copy_only=False)
    if (lengths == width).all():
        return np.asarray(numbers.reshape(-1, width))
    found = np.full((len(array), width), np.nan, numbers.dtype)
    found[lengths == width] = numbers.reshape(-1, width)
    return found


def _parsed(array: Any, what: str, name: str) -> Any:
    """Arrays written as text, "(1.0, 2.0)" or "[1.0,2.0]"; empty text is no array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_trim(pc.replace_substring(array, " ", ""), "()[]{}\"'")
    bare = pc.if_else(pc.equal(bare, ""), pa.scalar(None, bare.type), bare)
    pieces = pc.split_pattern(bare, ",")
    try:
        numbers = pc.cast(pieces.flatten(), pa.float64())
    except pa.ArrowInvalid as problem:
        raise FormatError(f"its {what} cannot be read as numbers ({str(problem)[:80]})", where=name) from None
    # offsets of a column without an array in places say nothing of them: lengths do
    lengths = pc.fill_null(pc.list_value_length(pieces), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), numbers)
