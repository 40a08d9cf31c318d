"""Cached tables of observations: one Parquet file a mission, with its date, its service and the hash of its content.

A mission made from the cache never touches the network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyvault.errors import StoreError
from skyvault.missions.faults import MissionTableError
from skyvault.missions.match import Zones

_KEY: Final = b"skyvault.mission"
_FORMAT: Final = 1
#: of the copies: the table's content, and of sorted positions where each cell begins and how long the table is
_HASH: Final = b"skyvault.content_hash"
_FIRST: Final = b"skyvault.first"
_SIZE: Final = b"skyvault.size"
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
    """Put a table into the cache; the old one stays until the new one is whole on disk. Raises StoreError."""
    path = cache_path(directory, origin.mission)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(path, table, origin)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"it cannot be written ({error.strerror or error})"
        raise StoreError(reason, where=str(path)) from None
    return path


def _write(path: Path, table: pa.Table, origin: Origin) -> None:
    described = table.replace_schema_metadata({_KEY: json.dumps({"format": _FORMAT, **asdict(origin)}).encode()})
    # first the copies, which count only beside the table whose hash they bear
    _write_copies(path.parent, table, origin)
    with _whole(path) as file:
        # LZ4 without dictionaries and statistics, in groups for several threads, reads fastest
        pq.write_table(
            described, file, compression="lz4", use_dictionary=False, write_statistics=False, row_group_size=_GROUP
        )


def read_cache(directory: Path, mission: str) -> tuple[pa.Table, Origin] | None:
    """A mission's cached table and where it came from; None when nothing is cached. Raises MissionTableError."""
    path = cache_path(directory, mission)
    if not path.exists():
        return None
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            facts = json.loads((file.schema_arrow.metadata or {})[_KEY])
            if facts.pop("format") != _FORMAT or facts["mission"] != mission:
                raise KeyError("format")
            origin = Origin(**facts)
            copy = _read_copy(_mapped_path(directory, mission), origin)
            if copy is not None and copy.num_rows == file.metadata.num_rows:
                return copy, origin
            table = file.read().combine_chunks().replace_schema_metadata(None)
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
        raise MissionTableError(
            f"the cached table of {mission} cannot be read: {str(error)[:120]}",
            where=str(path),
            hint="Delete the file, then refresh the mission's table.",
        ) from None
    _write_copies(directory, table, origin)
    return table, origin


def read_zones(directory: Path, origin: Origin) -> Zones | None:
    """The positions of a cached table, sorted into cells; None when they are not kept."""
    copy = _read_copy(_zones_path(directory, origin.mission), origin, with_first=True)
    if copy is None:
        return None
    facts = copy.schema.metadata
    first = np.frombuffer(facts[_FIRST], np.int64)
    rows, lon, lat = (copy[name].to_numpy() for name in ("row", "lon", "lat"))
    return Zones.from_sorted(int(facts[_SIZE]), rows, first, lon, lat)


# --- copies for speed ------------------------------------------------------------------------------------------------
# Of 400,000 observations the Parquet file takes 40-90 ms to read and their sorting 20-80 ms; Arrow files beside it are
# mapped into memory in 2 ms. They hold nothing of their own: a missing, older or damaged one is made again.


def _mapped_path(directory: Path, mission: str) -> Path:
    return directory / f"{mission}.arrow"


def _zones_path(directory: Path, mission: str) -> Path:
    return directory / f"{mission}.zones.arrow"


def _write_copies(directory: Path, table: pa.Table, origin: Origin) -> None:
    if not os.access(directory, os.W_OK):
        return
    zones = Zones(table["ra"].to_numpy(), table["dec"].to_numpy())
    row, lon, lat = zones.sorted_places()
    places = pa.table({"row": row, "lon": lon, "lat": lat}).replace_schema_metadata(
        {_FIRST: zones.first.tobytes(), _SIZE: str(zones.size).encode()}
    )
    copies = ((_mapped_path(directory, origin.mission), table), (_zones_path(directory, origin.mission), places))
    # a cache that cannot be written, or a full disk, costs speed and nothing else
    with contextlib.suppress(OSError):
        for path, copy in copies:
            facts = {**(copy.schema.metadata or {}), _HASH: origin.content_hash.encode()}
            marked = copy.replace_schema_metadata(facts)
            with _whole(path) as file, pa.ipc.new_file(file, marked.schema) as writer:
                writer.write_table(marked)


def _read_copy(path: Path, origin: Origin, *, with_first: bool = False) -> pa.Table | None:
    try:
        with pa.memory_map(str(path)) as file:
            copy = pa.ipc.open_file(file).read_all()
            copy.validate()
    except (pa.ArrowInvalid, OSError):
        return None
    facts = copy.schema.metadata or {}
    if facts.get(_HASH) != origin.content_hash.encode():
        return None
    if any(column.num_chunks != 1 for column in copy.columns):
        copy = copy.combine_chunks()
    return copy if with_first else copy.replace_schema_metadata(None)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole and on the disk."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def origin_now(mission: str, service: str, table: pa.Table) -> Origin:
    """The origin of a table that was just read."""
    return Origin(mission, service, datetime.now(UTC).isoformat(timespec="seconds"), content_hash(table))
