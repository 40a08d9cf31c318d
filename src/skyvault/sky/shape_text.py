"""Many region texts into flat numbers at once.

Nearly all footprints of an archive are spelled alike: CIRCLE or POLYGON, perhaps a frame, and numbers. Those are split
by Arrow's text kernels, a hundred thousand in a tenth of a second; the others are read one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from skyvault.errors import RegionError
from skyvault.sky.frames import transform_coordinates
from skyvault.sky.region_text import parse_region
from skyvault.sky.shapes import CIRCLE, POINT, POLYGON, Floats, Indices, Shapes, encode, spread

if TYPE_CHECKING:
    import pyarrow as pa

#: a plain shape: its name, perhaps a frame, and numbers with blanks between
_PLAIN: Final = (
    r"^\s*(?i:{kind})(?:\s+(?i:{frame})){often}"
    r"(?:\s+[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?){count}\s*$"
)
_KINDS: Final = ((POLYGON, "POLYGON", "{6,}"), (CIRCLE, "CIRCLE", "{3}"), (POINT, "POINT|POSITION", "{2}"))
_FRAMES: Final = (("ICRS", "ICRS", "?"), ("FK5", "J2000|FK5", ""))
#: kind, frame, pattern; the commonest first
_PATTERNS: Final = tuple(
    (kind, frame, _PLAIN.format(kind=name, frame=words, often=often, count=count))
    for frame, words, often in _FRAMES
    for kind, name, count in _KINDS
)
#: below this many rows, reading one by one is faster
_FEW: Final = 8


def shapes_of_texts(texts: pa.Array) -> Shapes:
    """Shapes of region texts (a string column); rows that are NULL or cannot be read hold no region."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = len(texts)
    sizes = np.zeros(rows, np.int64)
    found: list[tuple[Indices, Floats, Indices]] = []
    left = np.asarray(texts.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    if rows > _FEW:
        for kind, frame, pattern in _PATTERNS:
            if not left.any():
                break
            matches = pc.match_substring_regex(texts, pattern).fill_null(False)
            which = np.flatnonzero(matches.to_numpy(zero_copy_only=False) & left)
            if len(which) == 0:
                continue
            numbers, counts = _numbers(texts.take(pa.array(which)))
            left[which] = False
            found.append(_part(kind, frame, which, numbers, counts))
    for row in np.flatnonzero(left).tolist():
        try:
            one = encode(parse_region(texts[row].as_py()))
        except RegionError:
            continue
        found.append((np.array([row]), one, np.array([len(one)])))
    for which, _, counts in found:
        sizes[which] = counts
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    values = np.empty(offsets[-1])
    for which, numbers, counts in found:
        values[spread(offsets[:-1][which], counts)[1]] = numbers
    return Shapes(values, offsets)


def _numbers(texts: pa.Array) -> tuple[Floats, Indices]:
    """The numbers of plain shapes, all in a row, and how many each has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(texts, r"^\s*[A-Za-z]+(?:\s+[A-Za-z]\w*)?\s+", "")
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(bare))
    counts = np.diff(words.offsets.to_numpy())
    numbers = words.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers, np.asarray(counts, np.int64)


def _part(kind: int, frame: str, which: Indices, numbers: Floats, counts: Indices) -> tuple[Indices, Floats, Indices]:
    """Rows, shape arrays one after the other, and their lengths."""
    head = 2 if kind == POLYGON else 1
    sizes = counts + head
    starts = np.cumsum(sizes) - sizes
    values = np.empty(int(sizes.sum()))
    values[starts] = kind
    if kind == POLYGON:
        # an odd count of numbers makes a shape that its reader refuses
        values[starts + 1] = counts / 2.0
    places = spread(starts + head, counts)[1]
    values[places] = numbers
    if frame != "ICRS":
        pairs = counts // 2 if kind == POLYGON else np.ones(len(counts), np.int64)
        owner, pair = spread(np.zeros(len(counts), np.int64), pairs)
        lons = (starts + head)[owner] + 2 * pair
        # latitudes beyond a pole stay as they are, to be refused
        good = np.abs(values[lons + 1]) <= 90.0
        lons = lons[good]
        values[lons], values[lons + 1] = transform_coordinates(values[lons], values[lons + 1], frame, "ICRS")
    return which, values, sizes
