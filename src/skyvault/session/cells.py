"""Cells of columns as bare arrays: the values, and which of them are missing, whatever kind of column holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Bools = np.ndarray[Any, np.dtype[np.bool_]]


def arrow_array(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray[Any, Any], Bools | None]:
    """An Arrow column as a numpy array and a mask (True: missing), None where nothing is.

    Missing cells hold 0, or the text "0", as in tables that astropy reads.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    mask: Bools | None = None
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    if array.null_count:
        mask = np.array(pc.is_null(array).to_numpy(zero_copy_only=False))
        empty: Any = "0" if is_text else False if pa.types.is_boolean(array.type) else 0
        array = array.fill_null(pa.scalar(empty, type=array.type))
    if is_text:
        return _texts(array), mask
    return np.array(array.to_numpy(zero_copy_only=False)), mask


def _texts(array: pa.Array) -> np.ndarray[Any, Any]:
    """Texts as a numpy array of fixed width; equal ones are made once."""
    if not len(array):
        return np.array([], dtype=str)
    coded = array.dictionary_encode()
    distinct = np.array(coded.dictionary.to_pylist(), dtype=str)
    return np.asarray(distinct[coded.indices.to_numpy(zero_copy_only=False)])


def values_and_mask(column: Any) -> tuple[np.ndarray[Any, Any], Bools]:
    """The bare numbers (or texts) of a table column, and where they are missing; neither is a copy if it can be helped.

    Takes Column, MaskedColumn, Quantity, masked Quantity and numpy's arrays; a quantity's numbers are in its own unit.
    """
    bare: Any = column.data if isinstance(column, np.ma.MaskedArray) else getattr(column, "unmasked", column)
    values = np.asarray(getattr(bare, "value", bare))
    mask: Any = getattr(column, "mask", None)
    if mask is None or mask is np.ma.nomask:
        return values, np.zeros(values.shape, dtype=bool)
    return values, np.broadcast_to(np.asarray(mask, dtype=bool), values.shape)
