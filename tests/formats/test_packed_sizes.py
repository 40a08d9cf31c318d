"""Small files that would become enormous: refused, or taken in pieces that a server can bear."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.errors import TooLarge
from skyvault.formats import open_table
from skyvault.formats.packed_sizes import MOST_DECODED

TEXT = "x" * 1_000_000


def repeated(rows: int) -> pa.Table:
    once = pa.array([TEXT])
    return pa.table({"k": range(rows), "a": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), once)})


def as_parquet(table: pa.Table, **how: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def as_arrow(table: pa.Table, compression: str | None = None, *, is_file: bool = False) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    opened = (pa.ipc.new_file if is_file else pa.ipc.new_stream)(out, table.schema, options=options)
    with opened as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("write", [as_parquet, as_arrow])
def test_a_text_that_is_repeated_by_number_comes_in_small_batches(write: object) -> None:
    content = write(repeated(300))  # type: ignore[operator]
    assert len(content) < 2_000_000
    rows = []
    for batch in open_table(content).batches:
        assert batch.nbytes < MOST_DECODED + 2 * len(TEXT)
        rows += batch.column(0).to_pylist()
    assert rows == list(range(300))


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_batch_packed_beyond_measure_is_refused_before_it_is_unpacked(compression: str, is_file: bool) -> None:
    content = as_arrow(pa.table({"a": pa.repeat(0.0, 50_000_000)}), compression, is_file=is_file)
    assert len(content) < 4_000_000
    with pytest.raises(TooLarge, match="packed too tightly"):
        open_table(content)


def test_a_page_packed_beyond_measure_is_refused_before_it_is_unpacked() -> None:
    table = pa.table({"a": pa.array([TEXT] * 300)})
    content = as_parquet(table, compression="zstd", use_dictionary=False, row_group_size=300)
    with pytest.raises(TooLarge, match="packed too tightly"):
        open_table(content)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_what_is_packed_well_is_read(compression: str | None) -> None:
    table = pa.table({"k": range(200_000), "zero": pa.repeat(0.0, 200_000), "t": ["a", "b"] * 100_000})
    for content in (as_arrow(table, compression), as_arrow(table, compression, is_file=True)):
        assert sum(batch.num_rows for batch in open_table(content).batches) == 200_000


@pytest.mark.timeout(30)
def test_a_row_longer_than_a_block_is_not_looked_at_byte_by_byte() -> None:
    head = b'<VOTABLE><RESOURCE><TABLE><FIELD name="a" datatype="char" arraysize="*"/><DATA><TABLEDATA><TR><TD>'
    document = head + b"x" * 12_000_000 + b"</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    (batch,) = open_table(document).batches
    assert batch.num_rows == 1 and batch.nbytes > 12_000_000
