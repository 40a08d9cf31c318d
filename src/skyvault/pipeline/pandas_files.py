"""AstroRetriever's HDF5 files: pandas' fixed format, read without pandas and without unpickling anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyvault.pipeline.faults import DataError
from skyvault.pipeline.table_rows import Rows, rows_of

_MOST_COLUMNS = 4096


def read_fixed(group: Any) -> tuple[Rows, dict[str, Any]]:
    """Columns of numbers of a frame, and what plain attributes say. ``group`` is an open HDF5 group.

    Columns of texts were pickled; they are left out and named in ``about["skipped_columns"]``, because unpickling a
    stranger's file would run his code.
    """
    names = _texts(group["axis0"])
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"the frame has more than {_MOST_COLUMNS} columns")
    columns: dict[str, Any] = {}
    for number in range(len(names)):
        if f"block{number}_items" not in group:
            break
        values = group[f"block{number}_values"]
        if values.dtype.kind not in "biuf" or values.ndim != 2:
            continue
        for column, name in enumerate(_texts(group[f"block{number}_items"])):
            columns[name] = values[:, column]
    about: dict[str, Any] = {"skipped_columns": [name for name in names if name not in columns]}
    altdata = {}
    for name, value in group.attrs.items():
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            altdata[name] = value.item()
    about["altdata"] = altdata
    return rows_of({name: columns[name] for name in names if name in columns}), about


def _texts(dataset: Any) -> list[str]:
    values = dataset[:].tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
