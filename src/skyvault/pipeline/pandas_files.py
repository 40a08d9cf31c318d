"""AstroRetriever's HDF5 files: pandas' fixed format, read without pandas and without running what a pickle names."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import DataError
from skyvault.pipeline.plain_pickles import plain_value
from skyvault.pipeline.table_rows import Rows, rows_of

_MOST_COLUMNS: Final = 4096
_TYPES: Final = ("photometry", "images", "cutouts", "spectra")


def read_fixed(group: Any) -> tuple[Rows, dict[str, Any]]:
    """Columns of a frame, and what is known about it: ``altdata``, and ``source_name`` by the key of the group.

    ``group`` is an open HDF5 group. Texts and facts were pickled; those that are no plain values are left out, and
    named in ``about["skipped_columns"]`` and ``about["skipped_facts"]``.
    """
    from skyvault.pipeline.hdf5_files import whole

    names = _texts(whole(group["axis0"]))
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"the frame has more than {_MOST_COLUMNS} columns")
    columns: dict[str, Any] = {}
    for number in range(len(names)):
        if f"block{number}_items" not in group:
            break
        stored = group[f"block{number}_values"]
        inside = _texts(whole(group[f"block{number}_items"]))
        if stored.dtype.kind in "biuf" and stored.ndim == 2:
            values = whole(stored)
            columns |= {name: values[:, column] for column, name in enumerate(inside)}
        elif stored.dtype.kind == "O":
            columns |= _pickled_columns(stored, inside)
    altdata, skipped = _facts(group.attrs)
    about: dict[str, Any] = {"altdata": altdata, "skipped_facts": skipped}
    about["skipped_columns"] = [name for name in names if name not in columns]
    row = altdata.get("cat_row")
    named = row.get("name") if isinstance(row, dict) else None
    about["source_name"] = str(named) if named else _name_of(group.name.rpartition("/")[2])
    return rows_of({name: columns[name] for name in names if name in columns}), about


def _pickled_columns(stored: Any, names: list[str]) -> dict[str, Any]:
    """Texts: one pickle of an array of objects, shape (rows, columns), or (rows,) of a single column."""
    try:
        content = plain_value(bytes(stored[0]))
    except ValueError:
        return {}
    rows = content if all(isinstance(row, list) and len(row) == len(names) for row in content) else zip(content)
    return {
        name: np.array(["" if one is None else str(one) for one in column], object)
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def _facts(attributes: Any) -> tuple[dict[str, Any], list[str]]:
    """altdata, of which pandas knows nothing: attributes of the group, which ``altdata_keys`` names."""
    try:
        keys = plain_value(bytes(attributes["altdata_keys"]))
    except (KeyError, TypeError, ValueError):
        keys = []
    altdata: dict[str, Any] = {}
    skipped = []
    for key in (str(key) for key in keys):
        # a list of dicts was written as key_0, key_1 and so on
        several = [f"{key}_{number}" for number in range(10_000) if f"{key}_{number}" in attributes]
        try:
            if key in attributes:
                altdata[key] = _fact(attributes[key])
            elif several:
                altdata[key] = [_fact(attributes[one]) for one in several]
            else:
                skipped.append(key)
        except ValueError:
            skipped.append(key)
    return altdata, skipped


def _fact(value: Any) -> Any:
    if isinstance(value, np.bytes_):
        content = bytes(value)
        # PyTables pickles what is no number and no text, by protocol 0: lines, at last a full stop
        if content.endswith(b".") and (b"\n" in content or content.startswith(b"\x80")):
            return plain_value(content)
        return content.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufSU":
        return value.tolist()
    raise ValueError("it is no plain value")


def _name_of(key: str) -> str:
    return next((key.removeprefix(f"{kind}_") for kind in _TYPES if key.startswith(f"{kind}_")), key)


def _texts(values: Rows) -> list[str]:
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]
