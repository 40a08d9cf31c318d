"""Positions as people give them on the command line or in a file: degrees, sexagesimal, with names beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skyvault.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: columns whose texts are the user's names of the positions
_NAMES: Final = ("name", "target", "target_name", "object", "main_id", "source_name", "source", "id", "objid")
_MOST: Final = 5_000_000
_UNITS: Final = {
    "": 1.0, "d": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "'": 1 / 60, "m": 1 / 60, "arcmin": 1 / 60,
    '"': 1 / 3600, "''": 1 / 3600, "s": 1 / 3600, "arcsec": 1 / 3600,
}  # fmt: skip
_NUMBER: Final = r"[+-]?\d+(?:\.\d*)?"
_SEXAGESIMAL: Final = re.compile(
    r"(?P<h>\d{1,2})[h: ]\s*(?P<m>\d{1,2})[m: ]\s*(?P<s>\d{1,2}(?:\.\d*)?)s?[\s,]*"
    r"(?P<sign>[+-])\s*(?P<d>\d{1,2})[d: ]\s*(?P<dm>\d{1,2})['m: ]\s*(?P<ds>\d{1,2}(?:\.\d*)?)[\"s]?"
)


@dataclass(frozen=True)
class PositionList:
    """ICRS degrees, shape (n,) each, and the user's names of them (None: there are none)."""

    ra: Floats
    dec: Floats
    names: list[str] | None = None


def position(text: str) -> tuple[float, float]:
    """One position: "10.685 41.269", "10.685,41.269", "00:42:44.3 +41:16:09", "0h42m44.3s +41d16m9s" (ICRS)."""
    plain = text.replace("\u2212", "-").strip()
    degrees = re.fullmatch(rf"({_NUMBER})(?:\s*,\s*|\s+)({_NUMBER})", plain)
    if degrees:
        ra, dec = float(degrees[1]), float(degrees[2])
    else:
        parts = _SEXAGESIMAL.fullmatch(plain)
        if parts is None:
            raise UsageError(f"--position {text!r} is none", hint='Write "10.685 41.269" or "00:42:44.3 +41:16:09".')
        ra = 15.0 * (int(parts["h"]) + int(parts["m"]) / 60 + float(parts["s"]) / 3600)
        dec = int(parts["d"]) + int(parts["dm"]) / 60 + float(parts["ds"]) / 3600
        dec = -dec if parts["sign"] == "-" else dec
    if not -360.0 <= ra <= 360.0 or abs(dec) > 90.0:
        raise UsageError(f"--position {text!r} is no place on the sky")
    return ra % 360.0, dec


def angle(text: str, option: str) -> float:
    """Degrees of "0.5", "30arcmin", "30'", "15 arcsec"."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z'\"]*)\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{option} {text!r} is no angle", hint="Write degrees, or 30arcmin, or 15arcsec.")
    return float(found[1]) * _UNITS[found[2]]


def read_positions(path: Path) -> PositionList:
    """The positions of a table file of any format, found by the names, UCDs or units of its columns.

    Raises UsageError when the file has none, FormatError for a file that cannot be read.
    """
    import numpy as np
    import pyarrow as pa

    from skyvault.formats.registry import open_table
    from skyvault.publish.inference import infer, position_elsewhere
    from skyvault.publish.positions import in_degrees

    stream = open_table(path)
    described = infer(stream.table, "positions")
    pair = position_elsewhere(described.spec.table)
    lon, lat = described.spec.lon, described.spec.lat
    if pair is not None:
        converted = in_degrees(stream, pair)
        stream = converted.stream
        if converted.position is not None:
            columns = [column.name for column in stream.table.columns]
            lon, lat = (columns.index(name) for name in converted.position)
    if lon is None or lat is None:
        known = ", ".join(column.name for column in stream.table.columns)
        raise UsageError(
            f"the file has no columns of positions; it has {known[:200]}",
            where=str(path),
            hint="Call them ra and dec, in degrees (ICRS).",
        )
    batches = list(stream.batches)
    if stream.error:
        raise UsageError(f"the file is not whole: {stream.error}", where=str(path))
    rows = sum(batch.num_rows for batch in batches)
    if not rows or rows > _MOST:
        raise UsageError(f"the file has {rows:,} positions; 1 to {_MOST:,} can be looked for", where=str(path))
    columns = [column.name for column in stream.table.columns]

    def numbers(place: int) -> Floats:
        column = pa.chunked_array([batch.column(place) for batch in batches])
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)

    lower = [name.lower() for name in columns]
    named = next((lower.index(name) for name in _NAMES if name in lower), None)
    names = None
    if named is not None:
        texts = pa.chunked_array([batch.column(named) for batch in batches]).cast(pa.string())
        names = [text or "" for text in texts.to_pylist()]
    return PositionList(numbers(lon), numbers(lat), names)
