"""Cached tables of observations: one Parquet file a mission, with its date, its service and the hash of its content.

A mission made from the cache never touches the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyvault.missions.faults import MissionTableError

_KEY: Final = b"skyvault.mission"
_FORMAT: Final = 1
_GROUP: Final = 50_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a table of observations came from: its mission, service (or file), date (ISO 8601 UTC) and content."""

    mission: str
    service: str
    date: str
    content_hash: str


def content_hash(table: pa.Table) -> str:
    """A hash of a table's values, whatever the order of its columns: "sha256:" and 64 hexadecimal digits.

    The table must be in one chunk a column and without an offset, as :func:`skyvault.missions.columns.observations`
    gives it; validity, values and types count, chunking does not.
    """
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        digest.update(f"{name}:{column.type}:{len(column)}:{column.null_count};".encode())
        # a slice and its copy, a missing and a full validity map must hash alike
        if column.null_count:
            digest.update(pc.is_null(column).cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
        if pa.types.is_string(column.type):
            filled = pc.fill_null(column, "")
            digest.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).tobytes())
            digest.update(pc.binary_join(pa.ListArray.from_arrays([0, len(filled)], filled), "")[0].as_buffer()
                          if len(filled) else b"")  # fmt: skip
        elif pa.types.is_boolean(column.type):
            digest.update(pc.fill_null(column, False).cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
        else:
            plain = column.cast(pa.int64()) if pa.types.is_temporal(column.type) else column
            digest.update(pc.fill_null(plain, 0).to_numpy(zero_copy_only=False).tobytes())
    return "sha256:" + digest.hexdigest()


def cache_path(directory: Path, mission: str) -> Path:
    """Where a mission's table is cached."""
    return directory / f"{mission}.parquet"


def write_cache(directory: Path, table: pa.Table, origin: Origin) -> Path:
    """Put a table into the cache; the old one stays until the new one is whole on disk."""
    directory.mkdir(parents=True, exist_ok=True)
    path = cache_path(directory, origin.mission)
    described = table.replace_schema_metadata({_KEY: json.dumps({"format": _FORMAT, **asdict(origin)}).encode()})
    handle, beside = tempfile.mkstemp(dir=directory, prefix=f".{origin.mission}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            # LZ4 without dictionaries and statistics, in groups for several threads, reads fastest
            pq.write_table(
                described, file, compression="lz4", use_dictionary=False, write_statistics=False, row_group_size=_GROUP
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def read_cache(directory: Path, mission: str) -> tuple[pa.Table, Origin] | None:
    """A mission's cached table and where it came from; None when nothing is cached. Raises MissionTableError."""
    path = cache_path(directory, mission)
    if not path.exists():
        return None
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            table = file.read().combine_chunks()
        facts = json.loads((table.schema.metadata or {})[_KEY])
        if facts.pop("format") != _FORMAT or facts["mission"] != mission:
            raise KeyError("format")
        return table.replace_schema_metadata(None), Origin(**facts)
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
        raise MissionTableError(
            f"the cached table of {mission} cannot be read: {str(error)[:120]}",
            where=str(path),
            hint="Delete the file, then refresh the mission's table.",
        ) from None


def origin_now(mission: str, service: str, table: pa.Table) -> Origin:
    """The origin of a table that was just read."""
    return Origin(mission, service, datetime.now(UTC).isoformat(timespec="seconds"), content_hash(table))
