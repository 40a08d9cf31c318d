"""A session's table files: ECSV that astropy and daschlab read, with a Parquet copy beside for opening at once.

The copy names the ECSV it was made from by the hash of its bytes, so it can be deleted, and is never stale.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from skyvault.errors import FormatError, SkyvaultError, StoreError
from skyvault.session.ecsv_table import MAX_BYTES, RawTable, Unfamiliar, built, described, read_raw
from skyvault.session.files import written_beside
from skyvault.session.plate_times import old_utc_is_fine

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

T = TypeVar("T", bound="Table")

#: raised when what the copies hold changes
_COPY_VERSION: Final = 1
_TIME_CLASS: Final = "astropy.time.core.Time"


def read_table(path: Path, kind: type[T], *, copies: Path | None = None) -> T:
    """The table in an ECSV file, as ``kind``; ``copies`` is the folder of Parquet copies, None: without.

    Raises FormatError where the file is damaged or no ECSV, and StoreError where it cannot be read.
    """
    data = _bytes(path)
    copy = None if copies is None else copies / f"{path.stem}.parquet"
    digest = hashlib.sha256(data).hexdigest()
    raw = None if copy is None else _read_copy(copy, digest)
    try:
        if raw is None:
            raw = read_raw(data, where=str(path))
            columns = built(raw)
            if copy is not None:
                _write_copy(copy, raw, columns, digest)
        else:
            columns = built(raw)
    except Unfamiliar:
        return _read_by_astropy(path, kind)
    made: T = kind(columns, meta=dict(raw.meta), copy=False)
    return made


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"The table is larger than {MAX_BYTES >> 20} MiB", where=str(path))
        return path.read_bytes()
    except OSError as problem:
        raise StoreError(f"The file cannot be read ({problem.strerror or problem})", where=str(path)) from None


def _read_by_astropy(path: Path, kind: type[T]) -> T:
    try:
        made: T = kind.read(path, format="ascii.ecsv")
    except Exception as problem:  # astropy's readers raise many kinds for a damaged file
        told = str(problem).strip().splitlines() or [type(problem).__name__]
        raise FormatError(f"The table cannot be read ({told[0][:200].rstrip('.')})", where=str(path)) from None
    return made


# --- Parquet copies -------------------------------------------------------------------------------------------------


def _read_copy(copy: Path, digest: str) -> RawTable | None:
    try:
        cells = pq.read_table(copy, memory_map=True, use_threads=False)
        told = json.loads(cells.schema.metadata[b"skyvault"])
        if told["version"] != _COPY_VERSION or told["sha256"] != digest:
            return None
        document = told["table"]
        names = [entry["name"] for entry in document["columns"]]
        if names != cells.column_names:
            return None
        return RawTable(tuple(document["columns"]), document["objects"], document["meta"], cells)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as problem:
        log.debug("the copy %s is not used: %s", copy, problem)
        return None


def _write_copy(copy: Path, raw: RawTable, columns: Mapping[str, Any], digest: str) -> None:
    quick = _with_times_as_numbers(raw, columns)
    document = described(quick)
    if document is None:
        return
    told = json.dumps({"version": _COPY_VERSION, "sha256": digest, "table": json.loads(document)})
    cells = quick.cells.replace_schema_metadata({b"skyvault": told.encode()})
    try:
        with written_beside(copy, is_precious=False) as beside:
            pq.write_table(cells, beside, compression="none", write_statistics=False)
    except SkyvaultError as problem:
        # a folder that may only be read is as good as any other, but for the time it takes
        log.debug("no copy of the table: %s", problem)


def _with_times_as_numbers(raw: RawTable, columns: Mapping[str, Any]) -> RawTable:
    """Dates written as text take long to parse: the copy holds the two Julian dates astropy made of them."""
    entries = {entry["name"]: entry for entry in raw.columns}
    cells = {name: raw.cells[name] for name in entries}
    objects = dict(raw.objects)
    for name, description in raw.objects.items():
        value = description.get("value") if isinstance(description, dict) else None
        if not isinstance(value, dict) or description.get("__class__") != _TIME_CLASS:
            continue
        is_masked = "__class__" in value
        part = value["data"]["name"] if is_masked else value["name"]
        if entries[part]["datatype"] != "string":
            continue
        made = columns[name]
        mask = np.broadcast_to(np.asarray(made.mask), made.shape)
        new = {}
        for half in ("jd1", "jd2"):
            days = getattr(made, half)
            new[f"{name}.{half}"] = pa.array(np.asarray(getattr(days, "unmasked", days)), mask=mask)
        entries = _replaced(entries, part, {key: {"name": key, "datatype": "float64"} for key in new})
        cells = _replaced(cells, part, new)
        kept = {key: item for key, item in description.items() if key != "value"}
        told: dict[str, Any] = {key.rpartition(".")[2]: {"name": key} for key in new}
        if is_masked:
            told = {half: {"__class__": value["__class__"], "data": item} for half, item in told.items()}
        objects[name] = kept | told
    return RawTable(tuple(entries.values()), objects, raw.meta, pa.table(cells))


def _replaced(mapping: dict[str, Any], key: str, new: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        found.update(new if name == key else {name: value})
    return found


# --- writing --------------------------------------------------------------------------------------------------------


def write_table(table: Table, path: Path) -> None:
    """Writes ECSV: the header by astropy, the cells by Arrow; a missing cell is empty.

    Raises StoreError where the disk is full or the folder may not be written.
    """
    from astropy.table.meta import get_yaml_from_table
    from astropy.table.serialize import represent_mixins_as_columns

    with old_utc_is_fine():
        flat = represent_mixins_as_columns(table)
    lines = [
        "# %ECSV 1.0",
        "# ---",
        "# delimiter: ','",
        *(f"# {line}" for line in get_yaml_from_table(flat)),
    ]
    cells = pa.table([_arrow(flat[name]) for name in flat.colnames], names=list(flat.colnames))
    with written_beside(path) as beside, beside.open("wb") as file:
        file.write(("\n".join(lines) + "\n").encode())
        pacsv.write_csv(cells, file, pacsv.WriteOptions(include_header=True, delimiter=",", quoting_style="needed"))


def _arrow(column: Any) -> pa.Array:
    from skyvault.session.cells import values_and_mask

    values, mask = values_and_mask(column)
    if values.dtype.kind == "b":
        return pa.array(np.where(values, "True", "False"), mask=mask)
    if values.dtype.kind in "US":
        return pa.array(values.astype(str).astype(object), type=pa.string(), mask=mask)
    return pa.array(values, mask=mask)
