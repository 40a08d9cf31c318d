"""Right ascensions in hours and declinations in degrees, minutes and seconds: written and read, signs kept."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from skyvault.science.samples import Floats

#: sign, whole, minutes, seconds; between them colons, blanks or letters
_PATTERN: Final = (
    r"""^\s*(?P<s>[+-]?)(?P<w>\d{1,3})[\s:hd°]+(?P<m>\d{1,2})(?:[\s:m']+(?P<r>\d{1,2}(?:\.\d*)?))?[\s"s]*$"""
)


def sexagesimal(value: float, *, sign: bool = False, separator: str = "") -> str:
    """Hours or degrees as ``HHMMSS.sss``, with a sign for declinations, also between 0 and -1."""
    thousandths = round(abs(value) * 3_600_000.0)
    whole, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    mark = ("-" if value < 0.0 else "+") if sign else ""
    return f"{mark}{whole:02d}{separator}{minutes:02d}{separator}{rest / 1000.0:06.3f}"


def degrees_of(texts: Any, *, is_hours: bool) -> Floats:
    """Degrees of a column of texts such as ``12:34:56.7`` or ``-00 30 00``; NaN where a text is none of them.

    ``is_hours``: they are hours of right ascension. Plain decimal numbers are degrees as they are. All at once.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.array(np.asarray(texts), pa.binary()) if np.asarray(texts).dtype.kind == "S" else pa.array(texts)
    column = column.cast(pa.string())
    parts = pc.extract_regex(column, _PATTERN)

    def part(name: str) -> Floats:
        text = pc.struct_field(parts, name)
        # a part that is not there is 0; a text that does not fit has no parts at all
        text = pc.if_else(pc.equal(text, ""), "0", text)
        return np.asarray(pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False), np.float64)

    minutes, seconds = part("m"), part("r")
    value = part("w") + minutes / 60.0 + seconds / 3600.0
    negative = np.asarray(pc.fill_null(pc.equal(pc.struct_field(parts, "s"), "-"), False))
    value = np.where(negative, -value, value) * (15.0 if is_hours else 1.0)
    value[(minutes >= 60.0) | (seconds >= 60.0)] = np.nan
    plain = pc.match_substring_regex(column, r"^\s*[+-]?\d+(\.\d*)?\s*$")
    if pc.any(plain).as_py():
        numbers = pc.cast(pc.if_else(plain, pc.utf8_trim_whitespace(column), None), pa.float64())
        value = np.where(np.asarray(plain), np.asarray(numbers.to_numpy(zero_copy_only=False)), value)
    return np.asarray(value, np.float64)
