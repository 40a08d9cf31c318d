"""Data sets in Parquet: all of a file in one table, told apart by the column ``dataset``; what is known is metadata.

One row group a data set; a column that a data set has not is null there. ``pandas.read_parquet`` shows them all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.data_files import MOST_ABOUT, MOST_BYTES, Stored, about_of
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.table_rows import Rows

#: the column that holds the key; a survey's own column of this name would be hidden by it
_KEY: Final = "dataset"
_METADATA: Final = b"skyvault"


class Parquet:
    """Data sets as row groups of a Parquet file."""

    def made(self, datasets: Sequence[Stored]) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        fields = _fields(datasets)
        held = [
            {"key": one.key, "rows": len(one.rows), "kinds": _kinds(one), "about": one.about.decode("ascii")}
            for one in datasets
        ]
        schema = pa.schema([pa.field(_KEY, pa.string()), *(pa.field(name, kind) for name, kind in fields.items())])
        floats = [name for name, kind in fields.items() if pa.types.is_floating(kind)]
        sink = pa.BufferOutputStream()
        with parquet.ParquetWriter(
            sink, schema, compression="zstd", use_dictionary=[name for name in schema.names if name not in floats],
            use_byte_stream_split=floats, store_schema=False,
        ) as writer:  # fmt: skip
            writer.add_key_value_metadata({_METADATA: json.dumps(held).encode("ascii")})
            for one in datasets:
                if not len(one.rows):
                    continue
                columns = [pa.array([one.key] * len(one.rows), pa.string())]
                for name, kind in fields.items():
                    is_own = name in (one.rows.dtype.names or ())
                    columns.append(pa.array(one.rows[name], kind) if is_own else pa.nulls(len(one.rows), kind))
                writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(one.rows))
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def keys(self, path: Path) -> list[str]:
        from pyarrow import parquet

        return [one["key"] for one in _held(parquet.read_metadata(path))]

    def take(self, path: Path, key: str) -> tuple[Rows, dict[str, Any]]:
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            held = _held(file.metadata)
            one = next((one for one in held if one["key"] == key), None)
            if one is None:
                raise KeyError(key)
            kinds = np.dtype([(name, np.dtype(kind)) for name, kind in one["kinds"]])
            if kinds.hasobject or int(one["rows"]) * kinds.itemsize > MOST_BYTES:
                raise ValueError("its columns are no plain numbers and texts, or too long")
            rows = np.zeros(int(one["rows"]), kinds)
            if len(rows):
                # a data set without rows has no row group
                group = sum(1 for other in held[: held.index(one)] if other["rows"])
                table = file.read_row_group(group, columns=list(kinds.names or ()))
                if len(table) != len(rows):
                    raise ValueError("it has lost rows")
                for name in kinds.names or ():
                    column = table[name].cast("binary") if kinds[name].kind == "S" else table[name]
                    rows[name] = column.to_numpy()
            return rows, about_of(one["about"])


def _kinds(one: Stored) -> list[list[str]]:
    dtype = one.rows.dtype
    if dtype.names is None or one.rows.ndim != 1 or any(dtype[name].shape for name in dtype.names):
        raise DataError(f"{one.key} is no table of plain columns, and Parquet keeps nothing else", hint="Take hdf5.")
    if _KEY in dtype.names:
        raise DataError(f"{one.key} has a column {_KEY!r}, which files of Parquet need themselves", hint="Take hdf5.")
    return [[name, dtype[name].str] for name in dtype.names]


def _fields(datasets: Sequence[Stored]) -> dict[str, Any]:
    """Columns of all data sets together, with their Arrow types."""
    import pyarrow as pa

    fields: dict[str, Any] = {}
    for one in datasets:
        for name, _ in _kinds(one):
            kind = pa.string() if one.rows.dtype[name].kind == "S" else pa.from_numpy_dtype(one.rows.dtype[name])
            if fields.setdefault(name, kind) != kind:
                raise DataError(
                    f"the column {name!r} is of different types in the data sets of one file of Parquet",
                    hint="Take hdf5.",
                )
    return fields


def _held(metadata: Any) -> list[dict[str, Any]]:
    text = (metadata.metadata or {}).get(_METADATA)
    if text is None:
        raise ValueError("it is no file of data sets")
    if len(text) > 2 * MOST_ABOUT:
        raise ValueError("its description is too long")
    held = json.loads(text)
    if not isinstance(held, list):
        raise ValueError("its description is damaged")
    return held
