"""Rows of a search: ObsCore's columns, where they came from, and how far they lie from what was looked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_TEXT: Final = pa.string()
_NUMBER: Final = pa.float64()

#: name -> type, unit, what it is; times are MJD UTC, places ICRS degrees, wavelengths metres
COLUMNS: Final[Mapping[str, tuple[pa.DataType, str | None, str]]] = {
    "mission": (_TEXT, None, "the mission or service that has it"),
    "obs_collection": (_TEXT, None, "name of the data collection"),
    "obs_id": (_TEXT, None, "observation identifier"),
    "obs_publisher_did": (_TEXT, None, "publisher's identifier of the dataset"),
    "dataproduct_type": (_TEXT, None, "kind of data"),
    "calib_level": (pa.int32(), None, "calibration level, 0 to 4"),
    "target_name": (_TEXT, None, "object observed"),
    "s_ra": (_NUMBER, "deg", "right ascension of the centre, ICRS"),
    "s_dec": (_NUMBER, "deg", "declination of the centre, ICRS"),
    "s_fov": (_NUMBER, "deg", "diameter of the region"),
    "s_region": (_TEXT, None, "region covered, ICRS"),
    "t_min": (_NUMBER, "d", "start, MJD UTC"),
    "t_max": (_NUMBER, "d", "end, MJD UTC"),
    "t_exptime": (_NUMBER, "s", "exposure time"),
    "em_min": (_NUMBER, "m", "shortest wavelength"),
    "em_max": (_NUMBER, "m", "longest wavelength"),
    "facility_name": (_TEXT, None, "telescope"),
    "instrument_name": (_TEXT, None, "instrument"),
    "access_url": (_TEXT, None, "where the data are"),
    "access_format": (_TEXT, None, "media type there"),
    "separation": (_NUMBER, "deg", "from the nearest position that was looked for"),
    "position": (pa.int64(), None, "number of that position, from 0"),
}


def rows_from(columns: Mapping[str, Any], count: int, place: Any) -> pa.Table:
    """A table of exactly COLUMNS from those that are known (any case); separations are measured."""
    known = {name.lower(): column for name, column in columns.items()}
    arrays = {
        name: _as(known.get(name), kind, count)
        for name, (kind, _, _) in COLUMNS.items()
        if name not in ("separation", "position")
    }
    ra = arrays["s_ra"].to_numpy(zero_copy_only=False)
    dec = arrays["s_dec"].to_numpy(zero_copy_only=False)
    separation, position = place.separations(ra, dec)
    arrays["separation"] = pa.array(separation, _NUMBER, mask=~np.isfinite(separation))
    arrays["position"] = pa.array(position, pa.int64(), mask=position < 0)
    return pa.table([arrays[name] for name in COLUMNS], schema=schema())


def schema() -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, (kind, _, _) in COLUMNS.items()])


def nothing() -> pa.Table:
    return schema().empty_table()


def _as(column: Any, kind: pa.DataType, count: int) -> pa.Array:
    """A column of this type; what cannot be one becomes NULL, as an archive's odd value must not lose its row."""
    if column is None:
        return pa.nulls(count, kind)
    if isinstance(column, str):
        return pa.array([column] * count, kind)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not isinstance(column, pa.Array):
        column = pa.array(column)
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return _region_texts(column) if kind == _TEXT else pa.nulls(count, kind)
    if kind == _TEXT:
        text = column.cast(_TEXT)
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, _TEXT), text)
    if pa.types.is_string(column.type):
        numbers = pc.replace_substring_regex(column, r"^\s+|\s+$", "")
        is_number = pc.match_substring_regex(numbers, r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
        column = pc.if_else(is_number, numbers, pa.scalar(None, _TEXT)).cast(_NUMBER)
    if pa.types.is_boolean(column.type):
        return pa.nulls(count, kind)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return column.cast(kind, safe=False)


def _region_texts(column: pa.Array) -> pa.Array:
    """DALI circles and polygons (numbers) as region texts."""
    length = pc.list_value_length(column)
    numbers = pc.binary_join(pc.cast(column, pa.list_(_TEXT)), " ")
    word = pc.if_else(pc.equal(length, 3), "CIRCLE ICRS", "POLYGON ICRS")
    texts = pc.binary_join_element_wise(word, numbers, " ")
    return pc.if_else(pc.greater_equal(length, 3), texts, pa.scalar(None, _TEXT))
