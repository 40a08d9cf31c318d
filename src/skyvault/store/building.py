"""Building snapshot files beside what is there: nobody sees one before a ledger points to it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.adql.storage import storage_names
from skyvault.store.snapshot import Builder, Built, Carried, Spec, disk_full, durable

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Table
    from skyvault.store.layout import Layout
    from skyvault.store.workbench import Workbench


def build_beside(
    layout: Layout,
    spec: Spec,
    stream: TableStream,
    *,
    memory_bytes: int,
    threads: int,
    skip_bad: bool = False,
    keep_bad: bool = False,
    advance: Callable[[int], None] | None = None,
    carried: Mapping[int, Sequence[Carried]] | None = None,
    workbench: Workbench | None = None,
    beside: Mapping[str, pa.RecordBatchReader] | None = None,
) -> Built:
    """Write a snapshot file into the store under a name of its own. Raises what :class:`Builder` does.

    ``skip_bad`` leaves out rows whose position is not on the sky, ``keep_bad`` keeps them without a place.
    """
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", spec.table.name)[:80]
    path = layout.store / f"{stem}-{uuid.uuid4().hex[:12]}.duckdb"
    building = path.with_suffix(".building")
    for left in layout.stale_scratch():
        shutil.rmtree(left, ignore_errors=True)
    scratch = layout.temporary / f"build-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with disk_faults(layout.store):
        scratch.mkdir()
    try:
        builder = Builder(
            spec,
            building,
            scratch,
            memory_bytes=memory_bytes,
            threads=threads,
            skip_bad=skip_bad,
            keep_bad=keep_bad,
            advance=advance,
            carried=carried,
            workbench=workbench,
        )
        with disk_faults(layout.store):
            built = builder.build(stream, beside)
            # the file itself is durable already
            building.rename(path)
            durable(path.parent)
        built.path = path
        return built
    finally:
        building.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def disk_faults(directory: Path) -> Iterator[None]:
    """A full disk is told in a sentence, whoever notices it."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise disk_full(directory) from None
        raise


@contextmanager
def beside_of(layout: Layout, snapshot: str, names: Sequence[str]) -> Iterator[dict[str, pa.RecordBatchReader]]:
    """The further tables of a snapshot, to be taken over into another."""
    import duckdb

    from skyvault.adql.emit_duckdb import identifier

    with ExitStack() as stack:
        readers = {}
        for name in names:
            connection = stack.enter_context(duckdb.connect(str(layout.store / snapshot), read_only=True))
            readers[name] = connection.sql(f"SELECT * FROM {identifier(name)}").to_arrow_reader(50_000)
        yield readers


def rows_of(layout: Layout, table: Table, snapshot: str, *, is_left_out: bool = False) -> Iterator[Any]:
    """All rows of a stored table, in the order of its columns, straight from its snapshot.

    With ``is_left_out`` without the datasets that the collection keeps to itself.
    """
    import duckdb

    from skyvault.adql.emit_duckdb import identifier

    connection = duckdb.connect(str(layout.store / snapshot), read_only=True)
    try:
        names = ", ".join(identifier(name) for name in storage_names(table.column_names))
        but = " WHERE obs_publisher_did NOT IN (SELECT did FROM left_out)" if is_left_out else ""
        yield from connection.sql(f"SELECT {names} FROM data{but}").to_arrow_reader(50_000)
    finally:
        connection.close()
