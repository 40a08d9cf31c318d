"""Any table as rows the pipeline keeps: numbers, booleans and byte texts under names, shape (n,)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyvault.pipeline.faults import DataError

#: a structured array, shape (n,)
Rows = NDArray[Any]


def rows_of(data: Any) -> Rows:
    """Any table as a structured array: a dict of columns, an Arrow or astropy table, a pandas frame, an array.

    Texts become bytes (UTF-8), masked and null numbers NaN. Raises DataError for what is no table.
    """
    if data is None:
        return np.zeros(0, np.dtype([("time", "f8")]))
    if isinstance(data, np.ndarray) and data.dtype.names is not None and not isinstance(data, np.ma.MaskedArray):
        if not any(data.dtype[name].kind in "OU" for name in data.dtype.names):
            return np.asarray(data)
        columns = {name: data[name] for name in data.dtype.names}
    elif isinstance(data, Mapping):
        columns = {str(name): values for name, values in data.items()}
    elif hasattr(data, "column_names"):
        columns = {name: _from_arrow(data[name]) for name in data.column_names}
    elif hasattr(data, "columns"):
        columns = {str(name): data[name] for name in data.columns}
    else:
        raise DataError(f"{type(data).__name__} is no table of data", hint="Give a dict of columns or a table.")
    plain_columns = {name: _plain_column(name, values) for name, values in columns.items()}
    lengths = {len(values) for values in plain_columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns of a table have different lengths: {sorted(lengths)}")
    kinds = [(name, values.dtype) for name, values in plain_columns.items()] or [("time", np.dtype("f8"))]
    rows = np.zeros(lengths.pop() if lengths else 0, np.dtype(kinds))
    for name, values in plain_columns.items():
        rows[name] = values
    return rows


def _from_arrow(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_integer(column.type) and column.null_count:
        column = column.cast(pa.float64())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _texts(column)
    return column.to_numpy()


def _texts(column: Any) -> Rows:
    """Texts of an Arrow column as bytes: each word is turned once, however often it stands there."""
    import pyarrow as pa

    whole = pa.chunked_array(column).combine_chunks() if not isinstance(column, pa.Array) else column
    encoded = whole.dictionary_encode()
    words = np.array([*(word.encode() for word in encoded.dictionary.to_pylist()), b""], np.bytes_)
    # what is unknown is no word
    texts: Rows = words[encoded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
    return texts


def _plain_column(name: str, values: Any) -> Rows:
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(getattr(values, "value", values) if not hasattr(values, "to_numpy") else values.to_numpy())
    if array.dtype.kind in "OU":
        texts = ["" if v is None or v != v else str(v) for v in array.tolist()]
        array = np.array([text.encode() for text in texts], dtype=np.bytes_) if texts else np.zeros(0, "S1")
    elif array.dtype.kind in "mM":
        raise DataError(f"the column {name!r} holds dates", hint="Give MJD, JD or texts.")
    elif array.dtype.kind not in "biufS":
        raise DataError(f"the column {name!r} holds neither numbers nor texts")
    if array.ndim != 1:
        raise DataError(f"the column {name!r} must have one value a row")
    if mask is not None and mask.any() and array.dtype.kind in "biuf":
        array = np.where(mask, np.nan, array.astype(np.float64))
    if array.dtype.kind == "S" and array.dtype.itemsize == 0:
        array = array.astype("S1")
    # files and other machines read little-endian
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
