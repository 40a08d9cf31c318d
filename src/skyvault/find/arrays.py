"""Arrow columns as the numpy arrays astropy and pyvo work with: masked, texts as objects, lists as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def structured(arrow: pa.Table, fields: Sequence[Any]) -> Any:
    """astropy's form of a VOTable's rows: a masked structured array with object columns for texts and lists."""
    rows = arrow.num_rows
    kinds, columns, masks = [], [], []
    for field, column in zip(fields, arrow.columns, strict=True):
        values, mask = values_of(_whole(column), shape_in(field))
        kinds.append((str(field.name), values.dtype, values.shape[1:]))
        columns.append(values)
        masks.append(mask)
    names = distinct([kind[0] for kind in kinds])
    array: Any = np.ma.zeros(rows, dtype=[(name, *kind[1:]) for name, kind in zip(names, kinds, strict=True)])
    array.mask = np.zeros(rows, array.mask.dtype)
    for name, values, mask in zip(names, columns, masks, strict=True):
        array.data[name] = values
        if mask is not None:
            array.mask[name] = mask if mask.shape == values.shape else _beside(mask, values)
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


def shape_in(field: Any) -> tuple[int, ...]:
    """numpy's shape of each cell of a VOTable's FIELD, () where it is a scalar or varies from row to row.

    VOTable's first dimension is the one that runs fastest (VOTable 1.4, section 2.2), numpy's last.
    """
    from skyvault.formats.arrow import shape_of

    sizes, varies = shape_of(getattr(field, "arraysize", None))
    return () if varies or getattr(field, "datatype", "char") in ("char", "unicodeChar") else tuple(reversed(sizes))


def values_of(column: pa.Array, shape: tuple[int, ...] = ()) -> tuple[Any, Any]:
    """numpy values of an Arrow column whose cells have this shape, and where they are NULL (None: nowhere)."""
    kind = column.type
    mask = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = column.fill_null("") if mask is not None else column
        return values.to_numpy(zero_copy_only=False), mask
    if pa.types.is_fixed_size_list(kind) and not shape:
        shape = (kind.list_size,)
    if pa.types.is_nested(kind) and shape:
        found = _matrices(column, shape)
        if found is not None:
            return found
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


def _matrices(column: pa.Array, shape: tuple[int, ...]) -> tuple[Any, Any] | None:
    """Cells of one shape as one array of numbers; None when some cell has not as many."""
    rows, count = len(column), int(np.prod(shape))
    is_null = column.is_null().to_numpy(zero_copy_only=False)
    flat = column.flatten()
    if pa.types.is_nested(flat.type) or len(flat) != count * int((~is_null).sum()):
        return None
    lengths = pc.list_value_length(column).drop_null()
    if len(lengths) and pc.min_max(lengths).as_py() != {"min": count, "max": count}:
        return None
    numbers, absent = values_of(flat)
    if not column.null_count:
        return numbers.reshape(rows, *shape), None if absent is None else absent.reshape(rows, *shape)
    values = np.full((rows, count), np.nan if numbers.dtype.kind == "f" else 0, numbers.dtype)
    values[~is_null] = numbers.reshape(-1, count)
    mask = np.repeat(is_null[:, None], count, axis=1)
    if absent is not None:
        mask[~is_null] = absent.reshape(-1, count)
    return values.reshape(rows, *shape), mask.reshape(rows, *shape)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _beside(mask: Any, values: Any) -> Any:
    """A mask of rows as one that goes with cells of several elements."""
    return mask.reshape(-1, *([1] * (values.ndim - 1)))


def masked(column: pa.ChunkedArray, shape: tuple[int, ...] = ()) -> Any:
    """One column, whose cells have this shape, as a masked array that may be changed."""
    values, mask = values_of(_whole(column), shape)
    # what Arrow holds is not to be written to
    values = values if values.flags.writeable else values.copy()
    whole = np.zeros(values.shape, bool)
    if mask is not None:
        whole |= mask if mask.shape == values.shape else _beside(mask, values)
    return np.ma.MaskedArray(values, mask=whole)
