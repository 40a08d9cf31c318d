"""Tables flow: the first bytes leave with the first batch, order is kept, memory is bounded, errors find their place."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skyvault.errors import FormatError, IngestError
from skyvault.formats import negotiate, open_table
from skyvault.formats.blocks import AHEAD
from skyvault.formats.stream import TableStream
from skyvault.formats.votable_in import open_votable
from skyvault.model.table import Column, Table

TABLE = Table("t", (Column("i", "long"), Column("x", "double"), Column("s", "char", "*")))
FLOWING = ["votable/td", "votable/b", "votable/b2", "csv", "tsv", "json", "html", "ecsv", "arrow"]


def _batch(start: int, rows: int) -> pa.RecordBatch:
    numbers = np.arange(start, start + rows)
    return pa.RecordBatch.from_arrays(
        [pa.array(numbers), pa.array(numbers / 7), pa.array([f"star {number}" for number in numbers])],
        names=["i", "x", "s"],
    )


@pytest.mark.parametrize("name", FLOWING)
def test_the_first_rows_leave_before_the_next_batch_is_asked_for(name: str) -> None:
    asked: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for index in range(3):
            asked.append(index)
            yield _batch(index * 10, 10)

    sent = b""
    blocks = negotiate(name).write(TableStream(TABLE, batches()))
    while b"star 3" not in sent and b"AAAA" not in sent:
        sent += next(blocks)
        assert asked == [0]


@pytest.mark.parametrize("name", FLOWING)
def test_few_batches_are_held_and_their_order_is_kept(name: str) -> None:
    given = 0
    sent = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal given
        for index in range(40):
            given += 1
            assert given - sent <= AHEAD + 4
            yield _batch(index * 500, 500)

    document = b""
    for block in negotiate(name).write(TableStream(TABLE, batches())):
        sent = given
        document += block
    if name in ("json", "html"):
        return
    read = [
        value for batch in open_table(document, name.partition("/")[0]).batches for value in batch.column(0).to_pylist()
    ]
    assert read == list(range(20_000))


@pytest.mark.parametrize("name", [*FLOWING, "fits", "parquet"])
def test_an_error_in_the_first_batch_is_raised_before_any_byte(name: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        raise IngestError("no such column")
        yield

    with pytest.raises(IngestError):
        next(negotiate(name).write(TableStream(TABLE, batches())))


@pytest.mark.parametrize("name", ["votable/td", "votable/b2", "json", "html", "ecsv"])
def test_a_late_error_ends_the_document_with_its_message(name: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        for index in range(10):
            yield _batch(index * 100, 100)
        raise IngestError("the disk is gone")

    stream = TableStream(TABLE, batches())
    document = b"".join(negotiate(name).write(stream))
    assert b"the disk is gone" in document
    assert stream.error is not None
    if name.startswith("votable"):
        again = open_votable(document)
        assert sum(batch.num_rows for batch in again.batches) == 1000
        assert again.error is not None and "the disk is gone" in again.error


def test_text_longer_than_its_column_ends_the_document_with_an_error() -> None:
    table = Table("t", (Column("s", "char", "3"),))
    batch = pa.RecordBatch.from_arrays([pa.array(["abc", "abcd"])], names=["s"])
    document = b"".join(negotiate("votable/b2").write(TableStream(table, iter([batch]))))
    stream = open_votable(document)
    assert list(stream.batches) == []
    assert "longer than its arraysize 3" in str(stream.error)


@pytest.mark.parametrize("name", FLOWING)
def test_a_writer_given_up_leaves_no_thread_behind(name: str) -> None:
    before = threading.active_count()
    blocks = negotiate(name).write(TableStream(TABLE, (_batch(index * 500, 500) for index in range(50))))
    for _ in range(6):
        next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_reader_given_up_leaves_no_thread_behind() -> None:
    document = b"".join(negotiate("votable/td").write(TableStream(TABLE, (_batch(i * 5000, 5000) for i in range(100)))))
    before = threading.active_count()
    batches = open_votable(document).batches
    for _ in range(4):
        next(batches)
    assert len(document) > 10_000_000
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_table_without_rows_is_a_whole_document() -> None:
    for name in [*FLOWING, "fits", "parquet"]:
        document = b"".join(negotiate(name).write(TableStream(TABLE, iter(()))))
        if name not in ("json", "html"):
            stream = open_table(document, "csv" if name == "csv" else "tsv" if name == "tsv" else None)
            assert stream.table.column_names == ("i", "x", "s")
            assert [batch.num_rows for batch in stream.batches if batch.num_rows] == []


class _Endless(io.RawIOBase):
    """A document that is made as it is read."""

    def __init__(self, head: bytes, block: bytes, times: int, tail: bytes) -> None:
        self._parts = iter([head, *[block] * times, tail])
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._rest = part
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@pytest.mark.parametrize("name", ["votable/td", "votable/b2"])
def test_reading_takes_memory_for_blocks_not_for_the_table(name: str) -> None:
    rows = 15_000
    document = b"".join(negotiate(name).write(TableStream(TABLE, iter([_batch(0, 3), _batch(3, rows)]))))
    if name == "votable/td":
        start, stop = document.index(b"<TR>"), document.rindex(b"</TR>") + 6
    else:
        start, stop = document.index(b"base64") + 9, document.index(b"</STREAM>")
        middle = document[start:stop].replace(b"\n", b"")
        document = document[:start] + middle[: len(middle) // 4 * 4].rstrip(b"=") + document[stop:]
        stop = document.index(b"</STREAM>")
        if (stop - start) % 4:
            document = _multiple_of_three(rows)
            start, stop = document.index(b"base64") + 9, document.index(b"</STREAM>")
    head, block, tail = document[:start], document[start:stop], document[stop:]
    times = 120_000_000 // len(block)
    pa.default_memory_pool().release_unused()
    before, peak, count = pa.total_allocated_bytes(), 0, 0
    for batch in open_votable(_Endless(head, block, times, tail)).batches:
        count += batch.num_rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert count >= times * rows
    assert peak < 40_000_000


def _multiple_of_three(rows: int) -> bytes:
    """A BINARY2 document whose rows fill whole groups of three bytes, so that its base64 can be repeated."""
    table = Table("t", (Column("i", "long"), Column("x", "double"), Column("s", "char", "1")))
    batch = pa.RecordBatch.from_arrays(
        [pa.array(np.arange(rows)), pa.array(np.arange(rows) / 7), pa.array(["x"] * rows)], names=["i", "x", "s"]
    )
    document = b"".join(negotiate("votable/b2").write(TableStream(table, iter([batch]))))
    start, stop = document.index(b"base64") + 9, document.index(b"</STREAM>")
    return document[:start] + document[start:stop].replace(b"\n", b"") + document[stop:]


def test_fits_spools_to_the_files_it_is_given() -> None:
    import tempfile

    from skyvault.formats.fits_out import write_fits

    opened: list[Any] = []

    def spool() -> Any:
        opened.append(tempfile.TemporaryFile())  # noqa: SIM115 - closed by the writer
        return opened[-1]

    document = b"".join(write_fits(TableStream(TABLE, iter([_batch(0, 100)])), spool=spool))
    assert sum(batch.num_rows for batch in open_table(document).batches) == 100
    assert opened and all(file.closed for file in opened)


def test_a_fits_cell_of_the_wrong_size_is_refused() -> None:
    table = Table("t", (Column("a", "double", "2"),))
    batch = pa.RecordBatch.from_arrays([pa.array([[1.0, 2.0], [1.0]])], names=["a"])
    with pytest.raises(FormatError, match="asks for 2"):
        b"".join(negotiate("fits").write(TableStream(table, iter([batch]))))


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, skyvault.formats, skyvault.formats.registry\n"
        "print([name for name in ('astropy', 'matplotlib', 'pandas', 'yaml', 'pyarrow.parquet') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
