"""Results that come as Arrow or Parquet: their rows, their description, and whether they are whole.

The description is the VOTable without rows that VOParquet files carry (IVOA Note "Parquet in the VO"), or is made from
the columns. Neither form has an agreed place to say that rows were left out. This project's server writes it into the
file; of others, a result as long as the service's limit counts as cut.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any, Final, cast

import pyarrow as pa

from skyvault.errors import FormatError
from skyvault.find.faults import QueryRefused, WrongAnswer

_PARQUET_MAGIC: Final = b"PAR1"
_ARROW_FILE: Final = b"ARROW1"
#: an Arrow stream is a sequence of messages (0xffffffff, length), the last of length 0
_ARROW_STREAM: Final = b"\xff\xff\xff\xff"
_ARROW_END: Final = _ARROW_STREAM + bytes(4)
#: a description longer than this is no honest one
_DESCRIPTION_BYTES: Final = 16 << 20
#: how pyarrow meets bytes that make no sense; a wrong letter in a name is a UnicodeDecodeError
_DAMAGES: Final = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def is_columnar(beginning: bytes) -> bool:
    """Whether a body that begins so is Parquet or Arrow."""
    return beginning.startswith((_PARQUET_MAGIC, _ARROW_FILE, _ARROW_STREAM))


def read_columnar(
    file: IO[bytes], place: str, *, row_limit: Callable[[], int | None], is_told_cut: bool = False
) -> tuple[Any, pa.Table]:
    """The description as astropy's VOTableFile, with its QUERY_STATUS, and the rows.

    ``row_limit`` tells the limit that was in force (None: not known), and is asked only where the answer does not say
    whether it is whole; ``is_told_cut``: a header said it is not. Raises QueryRefused, WrongAnswer.
    """
    from skyvault.formats.parquet import open_arrow, open_parquet

    file.seek(0)
    is_parquet = file.read(4) == _PARQUET_MAGIC
    file.seek(0)
    keys, is_ours = (_of_parquet if is_parquet else _of_arrow)(file, place)
    file.seek(0)
    try:
        # the readers close what they are given
        stream = (open_parquet if is_parquet else open_arrow)(cast("IO[bytes]", _Open(file)), name=place)
        batches = list(stream.batches)
    except FormatError as error:
        raise WrongAnswer(f"the answer cannot be read: {error.what}", where=place) from None
    except _DAMAGES as error:
        raise WrongAnswer(f"the answer is damaged ({type(error).__name__})", where=place) from None
    status, told = _status_of(keys, stream)
    document, said = _described(keys, stream.table, place)
    if status == "ERROR" or said == "ERROR":
        raise QueryRefused(told or "the query failed on its way", where=place)
    columns = pa.Table.from_batches(batches) if batches else _none(stream.table)
    fields = [field.name for table in document.iter_tables() for field in table.fields]
    if fields != columns.column_names:
        document, _ = _described({}, stream.table, place)
    is_cut = status == "OVERFLOW" or said == "OVERFLOW" or is_told_cut
    if not is_cut and not is_ours:
        limit = row_limit()
        is_cut = limit is not None and columns.num_rows >= limit > 0
    _set_status(document, "OVERFLOW" if is_cut else "OK")
    return document, columns


class _Open(io.RawIOBase):
    """A view of a file that outlives whoever closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, size: int | None = -1) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _of_parquet(file: IO[bytes], place: str) -> tuple[dict[bytes, bytes], bool]:
    """A file's own notes, and whether this project wrote it (it then says when it is not whole)."""
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(_Open(file))
        return dict(footer.metadata or {}), _is_ours(footer.schema.to_arrow_schema())
    except _DAMAGES as error:
        told = (str(error).splitlines() or [""])[0][:200]
        raise WrongAnswer(f"the Parquet file cannot be read ({told}); it may be cut short", where=place) from None


def _of_arrow(file: IO[bytes], place: str) -> tuple[dict[bytes, bytes], bool]:
    file.seek(-8, 2)
    end = file.read(8)
    if end != _ARROW_END and not end.endswith(_ARROW_FILE):
        # a stream that was cut between two batches looks whole to its reader
        raise WrongAnswer("the answer breaks off", where=place)
    file.seek(0)
    try:
        reader = pa.ipc.open_file if file.read(6) == _ARROW_FILE else pa.ipc.open_stream
        file.seek(0)
        schema = reader(_Open(file)).schema
    except _DAMAGES as error:
        told = (str(error).splitlines() or [""])[0][:200]
        raise WrongAnswer(f"the Arrow data cannot be read ({told})", where=place) from None
    return dict(schema.metadata or {}), _is_ours(schema)


def _is_ours(schema: pa.Schema) -> bool:
    from skyvault.formats.arrow import COLUMN_KEY

    return any(COLUMN_KEY in (field.metadata or {}) for field in schema)


def _status_of(keys: dict[bytes, bytes], stream: Any) -> tuple[str, str]:
    from skyvault.formats.parquet import STATUS_KEY

    status, _, told = keys.get(STATUS_KEY, b"").decode("utf-8", "replace").partition(": ")
    if stream.error:
        return "ERROR", " ".join(str(stream.error).split())[:500]
    if stream.overflow or status == "OVERFLOW":
        return "OVERFLOW", ""
    return ("ERROR", " ".join(told.split())[:500]) if status == "ERROR" else ("", "")


def _described(keys: dict[bytes, bytes], table: Any, place: str) -> tuple[Any, str]:
    """The VOTable of the columns, and the QUERY_STATUS in it."""
    from skyvault.find.results import parse_skeleton
    from skyvault.formats.parquet import CONTENT_KEY
    from skyvault.formats.votable_out import dataless

    content = keys.get(CONTENT_KEY, b"")
    if content and len(content) <= _DESCRIPTION_BYTES:
        try:
            document = parse_skeleton(content, place)
            if any(True for _ in document.iter_tables()):
                return document, _said_status(document)
        except WrongAnswer:
            # the rows are there; a description of them can be made
            pass
    return parse_skeleton(dataless(table), place), ""


def _said_status(document: Any) -> str:
    for holder in (document, *document.resources, *document.iter_tables()):
        for info in holder.infos:
            if info.name == "QUERY_STATUS":
                return str(info.value).upper()
    return ""


def _set_status(document: Any, status: str) -> None:
    from astropy.io.votable.tree import Info

    for holder in (document, *document.resources, *document.iter_tables()):
        holder.infos[:] = [info for info in holder.infos if info.name != "QUERY_STATUS"]
    resource = document.resources[0]
    resource.type = "results"
    resource.infos.append(Info(name="QUERY_STATUS", value=status))


def _none(table: Any) -> pa.Table:
    from skyvault.formats.arrow import plain_schema

    return plain_schema(table).empty_table()
