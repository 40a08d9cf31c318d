"""What a small Parquet or Arrow file would become in memory, known before it is unpacked: a few kilobytes that say
"the same megabyte, sixty thousand times" must not stop a server.

Layouts: Apache Arrow's columnar format (encapsulated messages, BodyCompression) and Parquet's footer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from skyvault.errors import TooLarge

if TYPE_CHECKING:
    import pyarrow as pa

#: bytes of texts or vectors that one batch may hold once each row has its own
MOST_DECODED: Final = 64 << 20
#: what one column of a row group, or one batch, may unpack to in any case, and, beyond that, times its packed size
MOST_UNPACKED: Final = 256 << 20
MOST_TIMES: Final = 100
#: bytes of Parquet's numbers
_WIDTHS: Final = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2


def bearable(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces so small that its dictionaries' texts, written out row by row, stay below MOST_DECODED."""
    import pyarrow as pa

    each = sum(_longest(column.dictionary) for column in batch.columns if pa.types.is_dictionary(column.type))
    rows = rows_at_once(each, batch.num_rows)
    for first in range(0, batch.num_rows, rows):
        yield batch.slice(first, rows)
    if not batch.num_rows:
        yield batch


def rows_at_once(each_bytes: int, most: int) -> int:
    """Rows of a batch, at most ``most``, whose texts (or vectors) of ``each_bytes`` stay below MOST_DECODED."""
    return max(1, min(most, MOST_DECODED // max(1, each_bytes)))


def parquet_rows_at_once(reader: Any, file: BinaryIO, most: int, **how: Any) -> int:
    """Rows that may be read from a Parquet file at once. Raises TooLarge for what is packed beyond all measure."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata, wordy, groups = reader.metadata, set(), set()
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            _refuse(chunk.total_compressed_size, chunk.total_uncompressed_size)
            if chunk.has_dictionary_page and chunk.physical_type == "BYTE_ARRAY" and "." not in chunk.path_in_schema:
                wordy.add(chunk.path_in_schema)
                groups.add(group)
    # rows that hold long vectors are read some at a time
    most = rows_at_once(max(map(_row_bytes, map(metadata.row_group, range(metadata.num_row_groups))), default=0), most)
    if not wordy:
        return most
    # read so, the dictionary itself comes with the first row
    looking = pq.ParquetFile(file, metadata=metadata, read_dictionary=sorted(wordy), **how)
    longest = 0
    for group in groups:
        for batch in looking.iter_batches(batch_size=1, row_groups=[group], columns=sorted(wordy)):
            each = [_longest(one.dictionary) for one in batch.columns if pa.types.is_dictionary(one.type)]
            longest = max(longest, sum(each))
            break
    return rows_at_once(longest, most)


def _row_bytes(group: Any) -> int:
    """Bytes of the numbers in a row of a row group, on average, however they are packed."""
    chunks = (group.column(index) for index in range(group.num_columns))
    numbers = sum(int(one.num_values) * _WIDTHS.get(one.physical_type, 0) for one in chunks)
    return numbers // max(1, int(group.num_rows))


def refuse_packed_arrow(file: BinaryIO, *, skip_bytes: int) -> None:
    """Raises TooLarge when a batch of an Arrow IPC stream, which begins after ``skip_bytes``, says it will unpack to
    more than its size can bear; ValueError for one that makes no sense. The file is rewound.
    """
    import pyarrow as pa

    file.seek(skip_bytes)
    try:
        messages = pa.ipc.MessageReader.open_stream(file)
        while True:
            try:
                message = messages.read_next_message()
            except StopIteration:
                return
            except MemoryError:
                raise ValueError("a part of the file says that it is larger than any memory") from None
            if message.body is not None and message.type in ("record batch", "dictionary"):
                _refuse(message.body.size, _unpacked(bytes(message.metadata), message.body))
    finally:
        file.seek(0)


def _refuse(packed: int, unpacked: int) -> None:
    if unpacked > MOST_UNPACKED and unpacked > MOST_TIMES * packed:
        raise TooLarge(
            f"the file is packed too tightly: {packed:,} bytes of it would be {unpacked:,}",
            hint="Write it with smaller row groups or batches, or without compression.",
        )


def _longest(dictionary: pa.Array) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = dictionary.type
    if not len(dictionary):
        return 0
    if pa.types.is_nested(kind):
        return int(dictionary.nbytes)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return int(pc.max(pc.binary_length(dictionary)).as_py() or 0)
    return 8


def _unpacked(metadata: bytes, body: pa.Buffer) -> int:
    """Bytes a batch's buffers say they hold; the size of the body where they are not packed."""
    try:
        header_type, header = _message(metadata)
        if header_type == _DICTIONARY_BATCH:
            header = _table_at(metadata, header, 1)
        if header is None or _field(metadata, header, 3) is None:
            return int(body.size)
        total = 0
        place = _field(metadata, header, 2)
        if place is None:
            return int(body.size)
        vector = place + _u32(metadata, place)
        for index in range(_u32(metadata, vector)):
            offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * index)
            if length < 8 or offset < 0 or offset + length > body.size:
                continue
            # -1: this buffer is not packed
            (says,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
            total += length if says < 0 else says
        return max(total, int(body.size))
    except (struct.error, IndexError, TypeError):
        raise ValueError("a message cannot be understood") from None


# --- as much of flatbuffers as that needs ----------------------------------------------------------------------------


def _message(metadata: bytes) -> tuple[int, int | None]:
    """(Kind of header, where it begins) of an encapsulated message."""
    root = _u32(metadata, 0)
    kind = _field(metadata, root, 1)
    return (0 if kind is None else metadata[kind]), _table_at(metadata, root, 2)


def _table_at(data: bytes, table: int | None, slot: int) -> int | None:
    place = None if table is None else _field(data, table, slot)
    return None if place is None else place + _u32(data, place)


def _field(data: bytes, table: int, slot: int) -> int | None:
    """Where a field of a table begins; None when it is not there."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0 or 4 + 2 * slot + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]
    return table + offset if offset else None


def _u32(data: bytes, place: int) -> int:
    found: int = struct.unpack_from("<I", data, place)[0]
    return found
