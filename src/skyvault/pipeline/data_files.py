"""Data sets in HDF5: one group a data set, its rows as one table, and what is known about it as JSON.

Readable without Skyvault: ``astropy.table.Table.read("RA012/ZTF_photometry_X.h5", path="photometry_X/rows")``. Written
beside and then moved in place, so that no half file is ever seen. Files of AstroRetriever (pandas' fixed format) are
read, too.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.pipeline.faults import DataError, DataMissing
from skyvault.pipeline.parameter_files import plain

Rows = NDArray[Any]
FORMAT: Final = "skyvault-dataset 1"
#: rows one data set may have, and characters of what is known about it
_MOST_ROWS: Final = 20_000_000
_MOST_ABOUT: Final = 50_000_000
_CHUNK: Final = 100_000
#: headers of HDF5 end at 64 kB: longer descriptions lie beside the rows
_LONGEST_ATTRIBUTE: Final = 60_000


def write_datasets(path: Path, datasets: Sequence[tuple[str, Rows, Mapping[str, Any]]]) -> int:
    """Write a file of (key, rows, about); returns its size in bytes. Half a millisecond for a hundred rows.

    ``rows`` is a structured array of numbers, booleans and byte texts, shape (n,), also n = 0.
    """
    from h5py import h5f, h5g

    name = os.fspath(path)
    folder, _, last = name.rpartition("/")
    beside = f"{folder}/.{last}.{os.getpid()}"
    try:
        try:
            file = h5f.create(os.fsencode(beside), h5f.ACC_TRUNC, _file_creation(), _access())
        except OSError:
            if os.path.isdir(folder):
                raise
            os.makedirs(folder, exist_ok=True)
            file = h5f.create(os.fsencode(beside), h5f.ACC_TRUNC, _file_creation(), _access())
        try:
            for key, rows, about in datasets:
                _write_one(h5g.create(file, key.encode(), gcpl=_group_creation()), rows, about)
        finally:
            file.close()
        size = os.stat(beside).st_size
        os.replace(beside, name)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise DataError(f"the file cannot be written: {' '.join(str(error).split())[:120]}", where=name) from None
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return size


@functools.cache
def _access() -> Any:
    from h5py import h5f, h5p

    access = h5p.create(h5p.FILE_ACCESS)
    # newer formats make smaller files; that of HDF5 1.10 (2016) is one every reader of today knows
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


@functools.cache
def _file_creation() -> Any:
    from h5py import h5p

    creation = h5p.create(h5p.FILE_CREATE)
    # without the time of writing, the same data make the same bytes
    creation.set_obj_track_times(False)
    return creation


@functools.cache
def _group_creation() -> Any:
    from h5py import h5p

    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return creation


@functools.cache
def _row_type(dtype: np.dtype[Any]) -> Any:
    from h5py import h5t

    return h5t.py_create(dtype, logical=True)


def _write_one(group: Any, rows: Rows, about: Mapping[str, Any]) -> None:
    from h5py import h5a, h5d, h5p, h5s, h5t

    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    if len(rows):
        creation.set_chunk(rows.shape if len(rows) <= _CHUNK else (_CHUNK,))
        creation.set_fill_time(h5d.FILL_TIME_NEVER)
        creation.set_shuffle()
        creation.set_deflate(1)
    kind = _row_type(rows.dtype)
    dataset = h5d.create(group, b"rows", kind, h5s.create_simple(rows.shape), creation)
    if len(rows):
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(rows), kind)
    text = json.dumps({"format": FORMAT, **plain(about)}).encode("ascii")
    if len(text) > _LONGEST_ATTRIBUTE:
        letters = np.frombuffer(text, np.uint8)
        packed = h5p.create(h5p.DATASET_CREATE)
        packed.set_obj_track_times(False)
        packed.set_chunk((min(len(letters), 1_000_000),))
        packed.set_deflate(1)
        long = h5d.create(group, b"about", h5t.NATIVE_UINT8, h5s.create_simple(letters.shape), packed)
        long.write(h5s.ALL, h5s.ALL, letters)
        return
    # a text of fixed length lies in the header; one of variable length would cost a heap of 4 kB
    fixed = h5t.C_S1.copy()
    fixed.set_size(len(text))
    fixed.set_strpad(h5t.STR_NULLPAD)
    h5a.create(group, b"about", fixed, h5s.create(h5s.SCALAR)).write(np.array(np.bytes_(text)))


def file_keys(path: Path) -> list[str]:
    """Keys of the data sets in a file, sorted. Raises DataMissing and DataError."""
    with _opened(path) as file:
        return sorted(file)


def read_dataset(path: Path, key: str | None = None) -> tuple[Rows, dict[str, Any]]:
    """Rows and what is known about them; ``key`` None takes the only data set.

    Raises DataMissing where there is no such file or key, DataError where it is damaged.
    """
    try:
        with _opened(path) as file:
            if key is None:
                keys = list(file)
                if len(keys) != 1:
                    raise DataError(f"the file holds {len(keys)} data sets", where=str(path), hint="Give a key.")
                key = keys[0]
            if key not in file:
                raise DataMissing(f"the file has no data set {key!r}", where=str(path))
            group = file[key]
            if "axis0" in group:
                from skyvault.pipeline.pandas_files import read_fixed

                return read_fixed(group)
            if "rows" not in group or group["rows"].shape[:1] > (_MOST_ROWS,) or group["rows"].ndim != 1:
                raise DataError(f"{key!r} is no data set of the pipeline", where=str(path))
            rows = group["rows"][:]
            if rows.dtype.names is None:
                raise DataError(f"{key!r} holds no table", where=str(path))
            if "about" in group:
                stored: Any = group["about"][:_MOST_ABOUT].tobytes()
            else:
                stored = group.attrs.get("about", b"{}")
            about = json.loads(stored)
            if not isinstance(about, dict):
                raise DataError(f"what is said about {key!r} is damaged", where=str(path))
            return rows, about
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, DataError | DataMissing):
            raise
        raise DataError(
            f"the file is damaged: {' '.join(str(error).split())[:120]}", where=str(path),
            hint="Delete it, and it will be made again.",
        ) from None  # fmt: skip


def _opened(path: Path) -> Any:
    import h5py

    if not path.is_file():
        raise DataMissing("there is no such file", where=str(path))
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"the file is damaged: {' '.join(str(error).split())[:120]}", where=str(path),
            hint="Delete it, and it will be made again.",
        ) from None  # fmt: skip


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
    return column.to_numpy()


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
