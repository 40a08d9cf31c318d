"""Parquet and Arrow files, in and out, with the table's description inside.

Parquet follows the VOParquet convention: the key-value metadata ``IVOA.VOTable-Parquet.version`` ("1.0") and
``IVOA.VOTable-Parquet.content``, a VOTable document without rows (IVOA Note "Parquet in the VO", 2025). Arrow streams
carry our own description of each column in the schema's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import pyarrow as pa

from skyvault.errors import FormatError, SkyvaultError
from skyvault.formats.arrow import COLUMN_KEY, conform, from_schema, plain_schema, to_schema
from skyvault.formats.blocks import begun, sliced
from skyvault.formats.chunks import ChunkSink
from skyvault.formats.packed_sizes import bearable, parquet_rows_at_once, refuse_packed_arrow
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream
from skyvault.formats.votable_in import open_votable
from skyvault.formats.votable_out import dataless
from skyvault.model.table import Column, Info, Table

VERSION_KEY = b"IVOA.VOTable-Parquet.version"
CONTENT_KEY = b"IVOA.VOTable-Parquet.content"
STATUS_KEY = b"skyvault.query_status"

ROW_GROUP = 100_000
_BATCH = 65_536
#: bytes read at a time from each column
_READ_BYTES = 1 << 16


# --- Parquet --------------------------------------------------------------------------------------------------------


def write_parquet(stream: TableStream, *, compression: str = "zstd") -> Iterator[bytes]:
    """The bytes of a Parquet file, a row group at a time (100,000 rows).

    Overflow or a late error is told in the file's metadata (``skyvault.query_status``); a SkyvaultError while rows are
    fetched is raised, as a Parquet file without its footer is none.
    """
    import pyarrow.parquet as pq

    table = stream.table
    schema = to_schema(table)
    metadata = {
        **(schema.metadata or {}),
        VERSION_KEY: b"1.0",
        CONTENT_KEY: dataless(table),
    }
    schema = schema.with_metadata(metadata)
    batches = begun(stream.batches)
    sink = ChunkSink()
    text_columns = [column.name for column in table.columns if column.is_text and not column.is_array]
    writer = pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,
        # a dictionary pays for text that repeats; for measured numbers it only costs
        use_dictionary=text_columns if text_columns else False,
        write_statistics=True,
        store_schema=True,
    )
    with writer:
        for group in _row_groups(batches):
            writer.write_table(pa.Table.from_batches([_named(batch, schema) for batch in group], schema), ROW_GROUP)
            if piece := sink.take():
                yield piece
        status = _status(stream)
        if status:
            writer.add_key_value_metadata({STATUS_KEY.decode(): status})
    yield sink.take()


def _status(stream: TableStream) -> str | None:
    if stream.error:
        return f"ERROR: {stream.error}"
    return "OVERFLOW" if stream.overflow else None


def _named(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches gathered to row groups; the first goes early, so that bytes flow."""
    group: list[pa.RecordBatch] = []
    rows = 0
    for batch in sliced(batches, ROW_GROUP, first=ROW_GROUP):
        group.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP:
            yield group
            group, rows = [], 0
    if group:
        yield group


def open_parquet(
    source: TableSource | ByteSource, *, limits: ReadLimits = DEFAULT_LIMITS, name: str | None = None
) -> TableStream:
    """Any Parquet file as a stream, row group by row group.

    Structures are taken apart into columns named "struct.field"; columns no VOTable type can hold (maps, lists of
    lists) are left out, each told in an INFO ``left-out``. VOParquet metadata is used where the file has it.
    """
    import pyarrow.parquet as pq

    origin = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
    file = origin.spooled()
    try:
        # otherwise pyarrow keeps the bytes of every row group it has read: as much memory as the file is large
        reader = pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BYTES)
        schema: pa.Schema = reader.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as exc:
        file.close()
        raise FormatError(
            f"The Parquet file cannot be read ({_first_line(exc)})",
            where=origin.name,
            hint="It may be cut short: the footer comes last.",
        ) from None
    try:
        flat = _flat(schema.empty_table()).schema if _has_structs(schema) else schema
        metadata = schema.metadata or {}
        table, left_out = from_schema(flat.with_metadata(metadata), name=_stem(origin.name))
        table = _told(table, flat, metadata, origin.name)
        limits.check_columns(len(table.columns))
        limits.check_rows(reader.metadata.num_rows)
        try:
            at_once = parquet_rows_at_once(reader, file, _BATCH, pre_buffer=False, buffer_size=_READ_BYTES)
        except (pa.ArrowException, OSError) as exc:
            raise FormatError(f"The Parquet file is damaged ({_first_line(exc)})", where=origin.name) from None
        table = replace(
            table,
            nrows=reader.metadata.num_rows,
            infos=(*table.infos, *(Info("left-out", column, "No VOTable type holds it") for column in left_out)),
        )
    except BaseException:
        file.close()
        raise
    stream = TableStream(table=table, batches=iter(()))
    stream.batches = _parquet_rows(reader, file, stream, origin.name, limits, at_once)
    return stream


def _has_structs(schema: pa.Schema) -> bool:
    return any(pa.types.is_struct(field.type) for field in schema)


def _flat(table: pa.Table) -> pa.Table:
    while _has_structs(table.schema):
        table = table.flatten()
    return table


def _told(table: Table, schema: pa.Schema, metadata: dict[bytes, bytes], name: str) -> Table:
    """The table with what VOParquet's VOTable says of it; our own metadata, being richer, wins."""
    content = metadata.get(CONTENT_KEY)
    if content is None or any(COLUMN_KEY in (field.metadata or {}) for field in schema):
        return table
    try:
        described = open_votable(content, name=f"the VOTable inside {name}").table
    except SkyvaultError:
        return replace(table, infos=(*table.infos, Info("warning", "VOParquet metadata could not be read")))
    known = {column.name: column for column in described.columns}
    columns = tuple(_merged(column, known.get(column.name)) for column in table.columns)
    return replace(described, name=table.name, columns=columns, nrows=None)


def _merged(column: Column, told: Column | None) -> Column:
    """What the file's values are, with the meaning the description gives."""
    if told is None:
        return column
    same_shape = column.is_text == told.is_text and column.is_array == told.is_array
    return replace(
        told,
        datatype=column.datatype,
        arraysize=told.arraysize if same_shape and column.is_array else column.arraysize,
        xtype=told.xtype or column.xtype,
        null=None,
    )


def _parquet_rows(
    reader: Any, file: BinaryIO, stream: TableStream, name: str, limits: ReadLimits, at_once: int
) -> Iterator[pa.RecordBatch]:
    schema = plain_schema(stream.table)
    told = {column.name: column for column in stream.table.columns}
    rows = 0
    with file:
        try:
            for batch in reader.iter_batches(batch_size=at_once):
                if _has_structs(batch.schema):
                    flat = _flat(pa.Table.from_batches([batch])).combine_chunks()
                    batch = flat.to_batches()[0] if flat.num_rows else batch.slice(0, 0)
                if not batch.num_rows:
                    continue
                yield _conformed(batch, told, schema, name, rows + 1)
                rows += batch.num_rows
                limits.check_rows(rows)
        except (pa.ArrowException, OSError) as exc:
            raise FormatError(
                f"The Parquet file is damaged ({_first_line(exc)})", where=f"{name}, after row {rows}"
            ) from None


def _conformed(
    batch: pa.RecordBatch, told: dict[str, Column], schema: pa.Schema, name: str, row: int
) -> pa.RecordBatch:
    arrays = []
    for index, field in enumerate(batch.schema):
        column = told.get(field.name)
        if column is None:
            continue
        try:
            arrays.append(conform(batch.column(index), column))
        except FormatError as exc:
            raise FormatError(exc.what, where=f"{name}, rows from {row}") from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _first_line(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0].rstrip(".")[:200]


def _stem(name: str) -> str:
    for suffix in (".gz", ".parquet", ".parq", ".pq", ".arrows", ".arrow", ".feather", ".ipc"):
        name = name.removesuffix(suffix) or name
    return name


# --- Arrow IPC ------------------------------------------------------------------------------------------------------


def write_arrow(stream: TableStream) -> Iterator[bytes]:
    """The bytes of an Arrow IPC stream, a batch at a time; overflow is told in an empty last batch's metadata."""
    schema = to_schema(stream.table)
    batches = begun(stream.batches)
    sink = ChunkSink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in sliced(batches, _BATCH):
            writer.write_batch(_named(batch, schema))
            yield sink.take()
        status = _status(stream)
        if status:
            empty = schema.empty_table().to_batches() or [
                pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
            ]
            writer.write_batch(empty[0], custom_metadata={STATUS_KEY: status.encode()})
    yield sink.take()


def open_arrow(
    source: TableSource | ByteSource, *, limits: ReadLimits = DEFAULT_LIMITS, name: str | None = None
) -> TableStream:
    """An Arrow IPC stream or file (Feather 2) as a stream."""
    origin = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
    file = origin.spooled()
    try:
        is_file = file.read(6) == b"ARROW1"
        refuse_packed_arrow(file, skip_bytes=8 if is_file else 0)
        reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
        schema = reader.schema
    except SkyvaultError:
        file.close()
        raise
    except (pa.ArrowException, OSError, ValueError) as exc:
        file.close()
        raise FormatError(f"The Arrow data cannot be read ({_first_line(exc)})", where=origin.name) from None
    try:
        table, left_out = from_schema(schema, name=_stem(origin.name))
        limits.check_columns(len(table.columns))
    except BaseException:
        file.close()
        raise
    infos = (*table.infos, *(Info("left-out", column, "No VOTable type holds it") for column in left_out))
    stream = TableStream(table=replace(table, infos=infos), batches=iter(()))
    stream.batches = _arrow_rows(reader, is_file, file, stream, origin.name, limits)
    return stream


def _arrow_rows(
    reader: Any, is_file: bool, file: BinaryIO, stream: TableStream, name: str, limits: ReadLimits
) -> Iterator[pa.RecordBatch]:
    schema = plain_schema(stream.table)
    told = {column.name: column for column in stream.table.columns}
    rows = 0
    with file:
        try:
            for batch, metadata in _ipc_batches(reader, is_file):
                # the data come from outside: offsets and lengths are checked before anything follows them
                batch.validate(full=True)
                status = (metadata or {}).get(STATUS_KEY, b"").decode("utf-8", "replace")
                if status == "OVERFLOW":
                    stream.overflow = True
                elif status.startswith("ERROR"):
                    stream.error = status.removeprefix("ERROR: ")
                if not batch.num_rows:
                    continue
                for piece in bearable(batch):
                    yield _conformed(piece, told, schema, name, rows + 1)
                    rows += piece.num_rows
                    limits.check_rows(rows)
        except (pa.ArrowException, OSError, ValueError) as exc:
            raise FormatError(
                f"The Arrow data are damaged ({_first_line(exc)})", where=f"{name}, after row {rows}"
            ) from None


def _ipc_batches(reader: Any, is_file: bool) -> Iterator[tuple[pa.RecordBatch, Any]]:
    if is_file:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index), None
        return
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            return
        yield batch, metadata
