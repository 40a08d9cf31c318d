"""Arrow columns as the numpy arrays astropy and pyvo work with: masked, texts as objects, lists as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def structured(arrow: pa.Table, fields: Sequence[Any]) -> Any:
    """astropy's form of a VOTable's rows: a masked structured array with object columns for texts and lists."""
    rows = arrow.num_rows
    kinds, columns, masks = [], [], []
    for field, column in zip(fields, arrow.columns, strict=True):
        values, mask = values_of(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
        kinds.append((str(field.name), values.dtype, values.shape[1:]))
        columns.append(values)
        masks.append(mask)
    names = distinct([kind[0] for kind in kinds])
    array: Any = np.ma.zeros(rows, dtype=[(name, *kind[1:]) for name, kind in zip(names, kinds, strict=True)])
    array.mask = np.zeros(rows, array.mask.dtype)
    for name, values, mask in zip(names, columns, masks, strict=True):
        array.data[name] = values
        if mask is not None:
            array.mask[name] = mask if values.ndim == 1 else mask.reshape(-1, *([1] * (values.ndim - 1)))
    return array


def distinct(names: Sequence[str]) -> list[str]:
    """Names as they are; a repeated one with the first number behind that makes it another, from 2 on."""
    seen: set[str] = set()
    result = []
    for name in names:
        number, given = 2, name
        while name in seen:
            name, number = f"{given}{number}", number + 1
        seen.add(name)
        result.append(name)
    return result


def values_of(column: pa.Array) -> tuple[Any, Any]:
    """numpy values of an Arrow column, and where they are NULL (None: nowhere)."""
    kind = column.type
    mask = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = column.fill_null("") if mask is not None else column
        return values.to_numpy(zero_copy_only=False), mask
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        flat = column.flatten()
        if not pa.types.is_nested(flat.type) and not flat.null_count:
            return flat.to_numpy(zero_copy_only=False).reshape(len(column), kind.list_size), None
    if pa.types.is_nested(kind):
        values = np.empty(len(column), dtype=object)
        for index, cell in enumerate(column.to_numpy(zero_copy_only=False)):
            values[index] = np.array([]) if cell is None else np.asarray(cell)
        return values, mask
    if pa.types.is_floating(kind):
        # NaN is VOTable's NULL of floating-point numbers, and masked as pyvo has it
        values = (column.fill_null(float("nan")) if mask is not None else column).to_numpy(zero_copy_only=False)
        is_nan = np.isnan(values)
        return values, is_nan if is_nan.any() else None
    if mask is not None:
        column = column.fill_null(pa.scalar(False if pa.types.is_boolean(kind) else 0, kind))
    return column.to_numpy(zero_copy_only=False), mask


def masked(column: pa.ChunkedArray) -> Any:
    """One column as a masked array that may be changed."""
    values, mask = values_of(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    # what Arrow holds is not to be written to
    values = values if values.flags.writeable else values.copy()
    whole = np.zeros(values.shape, bool)
    if mask is not None:
        whole |= mask.reshape(-1, *([1] * (values.ndim - 1)))
    return np.ma.MaskedArray(values, mask=whole)
