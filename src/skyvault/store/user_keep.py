"""Keeping a user's table: rows stream into a snapshot file beside, and only then the name means it."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from skyvault.adql.emit_duckdb import identifier
from skyvault.adql.storage import storage_names
from skyvault.errors import Busy, IngestError, QuotaError, StoreError, TooLarge
from skyvault.formats.stream import TableStream
from skyvault.ledger.user_tables import Space, UserTable
from skyvault.store.building import build_beside, rows_of
from skyvault.store.layout import FORMAT
from skyvault.store.snapshot import Builder, Spec, with_row_count
from skyvault.store.user_describe import describe
from skyvault.store.workbench import Workbench

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.model.table import Table
    from skyvault.store.layout import Layout

#: tables that a process builds at once; the others wait
BUILDS = 2
WAIT_S = 55.0
#: memory that sorts one table's rows; what is more goes to disk
BUILD_BYTES = 176 << 20
#: a sort merges all its runs at once: what is larger than this on its way or on disk needs more (measured: 100 M rows
#: of 13 numbers sort in 320 MB, not in 272)
LARGE_BYTES = 1 << 30
LARGE_BUILD_BYTES = 320 << 20
#: beyond this size one thread sorts, in less memory and more time (measured: 100 M rows of 13 numbers, 372 MB of the
#: whole process above idle, where two threads take 534)
HUGE_BYTES = 3 << 30
HUGE_BUILD_BYTES = 288 << 20
#: uploads up to this size share one database while they are built, and how much memory that has
SMALL_BYTES = 4 << 20
SMALL_MEMORY_BYTES = 128 << 20
#: free disk space below which nothing is written on
SPARE_BYTES = 256 << 20
#: what queries need to know of a stored table
KNOWN = ("nrows", "positions", "regions", "indexed")
#: memory in which values are compared that must differ; more goes to disk
UNIQUE_BYTES = 128 << 20
#: rows in memory are at most so much larger than they are on disk, for stopping early what cannot fit
_PACKED = 16


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a table goes: whose, what it is called, how much room and time it has."""

    owner: str
    name: str
    space: Space
    life_s: float
    actor: str = "anonymous"
    #: "any" replaces what is there, None demands that nothing is, a number that it is that version
    replaces: Literal["any"] | int | None = "any"
    #: the upload in pieces it comes from, kept with the table so that nothing is made twice of one
    upload: str | None = None

    @property
    def replaces_early(self) -> Literal["any"] | None:
        """The same as far as it is known before all rows are there."""
        return None if self.replaces is None else "any"

    def of_upload(self, upload_id: str) -> Keep:
        return replace(self, upload=upload_id)


class UserKeeper:
    """Makes users' tables of one data directory. Safe to use from several threads."""

    def __init__(self, layout: Layout, ledger: Ledger, settings: Settings) -> None:
        self.layout = layout
        self.ledger = ledger
        self.settings = settings
        self._builds = threading.BoundedSemaphore(BUILDS)
        self._workbench = Workbench(layout.temporary, memory_bytes=SMALL_MEMORY_BYTES, threads=min(2, settings.threads))

    def close(self) -> None:
        self._workbench.close()

    def warm(self) -> None:
        """Make a table of one row that nobody sees: the first upload does not wait for modules and databases."""
        import pyarrow.parquet  # noqa: F401

        from skyvault.formats import open_table

        stream = open_table(b"ra,dec\n0,0\n")
        scratch = self.layout.temporary / f"build-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        scratch.mkdir()
        try:
            Builder(
                describe(stream.table, "warm"),
                scratch / "warm.duckdb",
                scratch,
                memory_bytes=SMALL_MEMORY_BYTES,
                threads=1,
                keep_bad=True,
                workbench=self._workbench,
            ).build(stream)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def keep(
        self,
        stream: TableStream,
        where: Keep,
        *,
        position: Sequence[str] | None = None,
        size_bytes: int | None = None,
    ) -> UserTable:
        """Keep all rows of ``stream``, which come from ``size_bytes`` (None: who knows how many); nothing is visible
        before the last one is safely on disk.

        Raises IngestError and FormatError for rows that cannot be kept, TooLarge and QuotaError, Conflict, Busy.
        """
        spec = describe(stream.table, where.name, position=position, most_columns=self.settings.upload_columns)
        return self._build(spec, stream, where, size_bytes=size_bytes)

    def append(self, table: UserTable, stream: TableStream, where: Keep, *, size_bytes: int | None = None) -> UserTable:
        """The rows there are and those of ``stream`` (of ``size_bytes``), whose columns are found by name.

        Raises Conflict when the table was changed meanwhile, IngestError for a column that is not there or values that
        do not fit.
        """
        fitted = _fitted(stream, table.table)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from rows_of(self.layout, table.table, table.snapshot)
            yield from fitted
            if stream.error:
                raise IngestError(stream.error, where=table.name)

        return self._build(
            spec_of(table),
            TableStream(table.table, batches()),
            _at_version(where, table),
            size_bytes=max(SMALL_BYTES + 1, table.bytes + (size_bytes or 0)),
            unique=unique_of(table),
        )

    def index(
        self,
        table: UserTable,
        where: Keep,
        *,
        position: Sequence[str] | None = None,
        column: str | None = None,
        unique: bool = False,
    ) -> UserTable:
        """The same rows, sorted by this position, or with an index of this column, whose values (NULL apart) shall
        differ from now on when it is ``unique``. Raises IngestError, Conflict.
        """
        spec, differing = spec_of(table), unique_of(table)
        if position is not None:
            found = describe(table.table, table.name, position=position, most_columns=len(table.table.columns))
            spec = replace(found, indexed=spec.indexed)
        if column is not None:
            names = [one.lower() for one in table.table.column_names]
            wanted = column.strip().strip('"').lower()
            if wanted not in names:
                raise IngestError(f"there is no column {column[:64]!r}", where=table.name)
            i = names.index(wanted)
            if table.table.columns[i].is_array:
                raise IngestError(f"the column {column[:64]!r} holds arrays, which cannot be indexed", where=table.name)
            spec = replace(spec, indexed=tuple(sorted({*spec.indexed, i})))
            if unique:
                differing = tuple(sorted({*differing, i}))
        stream = TableStream(table.table, rows_of(self.layout, table.table, table.snapshot))
        size_bytes = max(SMALL_BYTES + 1, table.bytes)
        return self._build(spec, stream, _at_version(where, table), size_bytes=size_bytes, unique=differing)

    def _build(
        self,
        spec: Spec,
        stream: TableStream,
        where: Keep,
        *,
        size_bytes: int | None,
        unique: tuple[int, ...] = (),
    ) -> UserTable:
        is_small = size_bytes is not None and size_bytes <= SMALL_BYTES
        memory_bytes, threads = means(size_bytes)
        self.ledger.user_tables.refuse_early(where.owner, where.name, where.space, replaces=where.replaces_early)
        if not self._builds.acquire(timeout=WAIT_S):
            raise Busy("too many tables are being made just now", retry_after_s=10)
        try:
            stream.batches = self._bounded(stream.batches, where)
            named = replace(spec, table=replace(spec.table, name=f"user_{where.name}"))
            try:
                built = build_beside(
                    self.layout,
                    named,
                    stream,
                    memory_bytes=min(memory_bytes, self.settings.memory_limit),
                    threads=min(threads, self.settings.threads),
                    keep_bad=True,
                    workbench=self._workbench if is_small else None,
                )
            except StoreError as error:
                # the sentence of a publish names a setting and a path of the operator's
                if "disk is full" in error.what:
                    raise QuotaError("the server's disk is full", hint="Tell its operator.") from None
                if "too small to sort" in error.what:
                    raise TooLarge(
                        "the table is too large to be put in order in the memory this server has for it",
                        hint="Keep fewer rows or columns, or ask the operator for more memory.",
                    ) from None
                raise StoreError("the table cannot be stored", hint="Tell the operator of the service.") from None
        finally:
            self._builds.release()
        try:
            extra = {key: value for key, value in built.extra.items() if key in KNOWN}
            if where.upload is not None:
                extra["upload"] = where.upload
            if unique:
                self._refuse_repeated(built.path, spec.table, unique)
                extra["unique"] = list(unique)
            table = with_row_count(replace(spec.table, name=where.name), built.nrows, built.extra)
            return self.ledger.user_tables.commit(
                where.owner,
                where.name,
                table,
                built.path.name,
                nrows=built.nrows,
                bytes=built.bytes,
                format=FORMAT,
                extra=extra,
                space=where.space,
                life_s=where.life_s,
                replaces=where.replaces,
                actor=where.actor,
            )
        except BaseException:
            built.path.unlink(missing_ok=True)
            raise

    def _refuse_repeated(self, path: Path, table: Table, unique: tuple[int, ...]) -> None:
        """Raises IngestError when a value that must be unique is there twice."""
        import duckdb

        names = storage_names(table.column_names)
        config = {
            "memory_limit": f"{UNIQUE_BYTES}B",
            "threads": str(min(2, self.settings.threads)),
            "temp_directory": str(self.layout.temporary),
        }
        connection = duckdb.connect(str(path), read_only=True, config=config)
        try:
            for i in unique:
                column = identifier(names[i])
                found = connection.execute(
                    f"SELECT {column} FROM data WHERE {column} IS NOT NULL GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
                ).fetchone()
                if found is not None:
                    raise IngestError(
                        f"the values of {table.columns[i].name[:64]!r} are not unique: {str(found[0])[:64]!r} is there"
                        " more than once",
                        where=table.name,
                    )
        finally:
            connection.close()

    def _bounded(self, batches: Iterator[pa.RecordBatch], where: Keep) -> Iterator[pa.RecordBatch]:
        """The same rows, stopped early where they will not fit."""
        rows = size = checked = 0
        for batch in batches:
            rows += batch.num_rows
            size += batch.nbytes
            if rows > self.settings.user_table_rows:
                raise TooLarge(f"the table has more than the {self.settings.user_table_rows:,} rows kept here")
            if size > _PACKED * where.space.bytes:
                raise QuotaError("the table is larger than your space", hint="Keep fewer rows or columns.")
            if size - checked > 16 << 20:
                checked = size
                if shutil.disk_usage(self.layout.store).free < SPARE_BYTES:
                    raise QuotaError("the server's disk is full", hint="Tell its operator.")
            yield batch


def spec_of(table: UserTable) -> Spec:
    """How a table was stored, to store it again in the same way."""
    place: dict[str, int | None] = next(iter(table.extra.get("positions", ())), {})
    regions = tuple(region["column"] for region in table.extra.get("regions", ()))
    indexed = tuple(table.extra.get("indexed", ()))
    return Spec(table.table, place.get("lon"), place.get("lat"), place.get("point"), regions, indexed)


def means(size_bytes: int | None) -> tuple[int, int]:
    """Memory and threads that sort a table that comes from so many bytes; of what nobody knows it may be large."""
    if size_bytes is not None and size_bytes > HUGE_BYTES:
        return HUGE_BUILD_BYTES, 1
    if size_bytes is None or size_bytes > LARGE_BYTES:
        return LARGE_BUILD_BYTES, 2
    return BUILD_BYTES, 2


def unique_of(table: UserTable) -> tuple[int, ...]:
    """Columns whose values differ from row to row, and shall."""
    return tuple(table.extra.get("unique", ()))


def _at_version(where: Keep, table: UserTable) -> Keep:
    return replace(where, replaces=table.version)


def _fitted(stream: TableStream, table: Table) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of ``table``: by name, missing ones NULL, of its types."""
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    names = [column.name.lower() for column in table.columns]
    given = [column.name.lower() for column in stream.table.columns]
    for name, column in zip(given, stream.table.columns, strict=True):
        if name not in names:
            raise IngestError(f"the table has no column {column.name[:64]!r}", where=table.name)
    fields = [pa.field(column.name, arrow_type(column)) for column in table.columns]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            arrays: list[Any] = []
            for name, wanted in zip(names, fields, strict=True):
                if name not in given:
                    arrays.append(pa.nulls(batch.num_rows, wanted.type))
                    continue
                array = batch.column(given.index(name))
                try:
                    arrays.append(array if array.type == wanted.type else array.cast(wanted.type))
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                    raise IngestError(
                        f"the values of {wanted.name[:64]!r} do not fit the column there is", where=table.name
                    ) from None
            yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    return batches()
