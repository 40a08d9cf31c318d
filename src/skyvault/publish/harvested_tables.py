"""Harvested records as one snapshot: the rows of ``rr`` that came from elsewhere, and which registry each came from.

A harvest changes some of them: the new snapshot is the old one without the records that changed or went, and the rows
of those that came. Rows flow through; what is held is the identifiers that changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import UsageError
from skyvault.formats.oai_in import OaiRecord, read_page
from skyvault.formats.stream import TableStream
from skyvault.store.building import disk_faults
from skyvault.store.registry_shelf import CELLS, HARVESTED, ORIGINS, ROW, SPATIAL, numbered
from skyvault.store.regtap import MAIN, TABLES
from skyvault.store.regtap_rows import Rows
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.publish.publisher import Publisher

#: skipped records that are told one by one
_TOLD: Final = 50
_BATCH: Final = 20_000


@dataclass(slots=True)
class Changes:
    """What a harvest of the registry at ``origin`` brought, as pages in their order; counted when it is applied.

    ``is_full``: what the registry had before and is in no page is gone. ``own_authority`` is ours: nobody else's
    record may bear it.
    """

    origin: str
    own_authority: str
    pages: list[Path]
    is_full: bool
    records: int = 0
    deleted: int = 0
    skipped_count: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, identifier: str, reason: str) -> None:
        self.skipped_count += 1
        if len(self.skipped) < _TOLD:
            self.skipped.append((identifier[:300] or "(no identifier)", reason))


def merged(changes: Changes, publisher: Publisher) -> Changes:
    """Build the snapshot with the changes and let it be the one that is queried.

    Raises Conflict when somebody else has changed it meanwhile: then nothing is done.
    """
    layout = publisher.layout
    before = publisher.holdings.find(HARVESTED)
    if before is not None and "registry" not in before.extra:
        raise UsageError(
            f"{HARVESTED} is published here by other means", hint="Unpublish it, and harvests can have its name."
        )
    counted = Changes(changes.origin, changes.own_authority, changes.pages, changes.is_full)
    scratch = layout.temporary / f"build-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with disk_faults(layout.home):
        scratch.mkdir()
    try:
        with _Old(None if before is None else layout.store / before.snapshot, changes.origin) as old:
            with disk_faults(layout.home):
                new = _New(scratch, counted, old)
                new.read()
            gone = new.deleted
            if changes.is_full:
                gone |= old.own - new.came
            counted.deleted = len(gone & old.own)
            counted.records = len(new.came)
            if not gone & old.own and not new.came:
                return counted
            old.without(new.came | gone)
            rows: dict[str, int] = {}
            names = (*(one for one in TABLES if one != MAIN), ORIGINS, CELLS)
            beside = {name: _reader(name, old, new, rows) for name in names}
            main = TABLES[MAIN]
            stream = TableStream(main, iter(_reader(MAIN, old, new, rows)))
            spec = Spec(main)
            built = publisher.build(spec, stream, beside=beside)
            more = {"beside": list(beside), "registry": {"rows": rows}}
            publisher.commit(spec, built, more, replaces=None if before is None else before.version)
        return counted
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _reader(name: str, old: _Old, new: _New, rows: dict[str, int]) -> pa.RecordBatchReader:
    import pyarrow as pa

    schema = _schema(name)

    def batches() -> Iterator[pa.RecordBatch]:
        rows[name] = 0
        for batch in chain(old.batches(name), new.batches(name)):
            rows[name] += batch.num_rows
            yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _schema(name: str) -> pa.Schema:
    import pyarrow as pa

    if name == CELLS:
        return pa.schema([pa.field(column, pa.int64()) for column in ("key", "row")])
    if name == SPATIAL:
        return Rows().table(name).schema.append(pa.field(ROW, pa.int64()))
    if name == ORIGINS:
        return pa.schema([pa.field(column, pa.string()) for column in ("ivoid", "registry", "datestamp")])
    return Rows().table(name).schema


class _Old:
    """The harvested rows there are, and which records came from this registry before."""

    def __init__(self, path: Path | None, origin: str) -> None:
        import duckdb

        self.connection = duckdb.connect(":memory:")
        self.has_rows = path is not None
        if path is not None:
            quoted = str(path).replace("'", "''")
            self.connection.execute(f"ATTACH '{quoted}' AS old (READ_ONLY)")
        found = self._origins()
        #: records of this registry, and of others: identifier -> its registry
        self.own = {ivoid for ivoid, registry in found if registry == origin}
        self.others = {ivoid: registry for ivoid, registry in found if registry != origin}

    def _origins(self) -> list[tuple[str, str]]:
        if not self.has_rows:
            return []
        found: list[tuple[str, str]] = self.connection.execute(f"SELECT ivoid, registry FROM old.{ORIGINS}").fetchall()
        return found

    def without(self, ivoids: set[str]) -> None:
        """From here on, leave these records out."""
        import pyarrow as pa

        self.connection.register("changed", pa.table({"ivoid": pa.array(sorted(ivoids), pa.string())}))

    def next_row(self) -> int:
        """The number of the first coverage to come."""
        if not self.has_rows:
            return 0
        # all rows are fetched: a result that is left open would block the connection
        return int(self.connection.execute(f"SELECT coalesce(max({ROW}) + 1, 0) FROM old.{SPATIAL}").fetchall()[0][0])

    def batches(self, name: str) -> Iterator[Any]:
        if not self.has_rows:
            return
        if name == CELLS:
            # those of the coverages that stay
            query = (
                f"SELECT cells.key, cells.row FROM old.{CELLS} AS cells JOIN old.{SPATIAL} AS kept"
                f" ON cells.row = kept.{ROW} ANTI JOIN changed ON kept.ivoid = changed.ivoid"
            )
            yield from self.connection.sql(query).to_arrow_reader(_BATCH)
            return
        columns = ", ".join(f'kept."{column}"' for column in _schema(name).names)
        table = f"old.{'data' if name == MAIN else name}"
        # no NOT IN: NULL-aware, it holds both sides
        query = f"SELECT {columns} FROM {table} AS kept ANTI JOIN changed ON kept.ivoid = changed.ivoid"
        yield from self.connection.sql(query).to_arrow_reader(_BATCH)

    def __enter__(self) -> _Old:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class _New:
    """The rows of the pages, written to disk table by table as they are read."""

    def __init__(self, folder: Path, changes: Changes, old: _Old) -> None:
        self.folder = folder
        self.changes = changes
        self.old = old
        self.came: set[str] = set()
        self.deleted: set[str] = set()

    def read(self) -> None:
        """Take in all pages; of a record that is in several, the last one."""
        import pyarrow as pa

        next_row = self.old.next_row()
        with contextlib.ExitStack() as stack:
            writers: dict[str, Any] = {}
            for name in (*TABLES, ORIGINS, CELLS):
                sink = stack.enter_context(pa.OSFile(str(self.folder / f"{name}.arrows"), "wb"))
                writers[name] = stack.enter_context(pa.ipc.new_stream(sink, _schema(name)))
            # from the last to the first: what was seen already is newer
            for path in reversed(self.changes.pages):
                page = read_page(path.read_bytes(), where=path.name)
                rows = Rows()
                origins: list[tuple[str, str, str]] = []
                for record in reversed(page.records):
                    self._take(record, rows, origins)
                for name in TABLES:
                    if name != SPATIAL:
                        writers[name].write_table(rows.table(name))
                covered, cells = numbered(rows.table(SPATIAL), next_row)
                next_row += covered.num_rows
                writers[SPATIAL].write_table(covered)
                writers[CELLS].write_table(cells)
                writers[ORIGINS].write_table(_origin_table(origins))

    def _take(self, record: OaiRecord, rows: Rows, origins: list[tuple[str, str, str]]) -> None:
        ivoid = record.identifier
        if not ivoid.startswith("ivo://") or len(ivoid) > 500:
            self.changes.skip(ivoid, "its identifier is no IVOA identifier")
            return
        if ivoid in self.came or ivoid in self.deleted:
            return
        if _authority(ivoid) == self.changes.own_authority.lower():
            self.changes.skip(ivoid, "its authority is ours")
            return
        if ivoid in self.old.others:
            self.changes.skip(ivoid, f"it belongs to the registry {self.old.others[ivoid]}")
            return
        if record.is_deleted:
            self.deleted.add(ivoid)
            return
        if record.resource is None:
            self.changes.skip(ivoid, "there is no VOResource in it")
            return
        status = (record.resource.get("status") or "active").lower()
        if status in ("deleted", "inactive"):
            self.deleted.add(ivoid)
            return
        try:
            found = rows.add(record.resource, expected=ivoid)
        except ValueError as problem:
            self.changes.skip(ivoid, str(problem))
            return
        self.came.add(found)
        origins.append((found, self.changes.origin, record.datestamp))

    def batches(self, name: str) -> Iterator[Any]:
        import pyarrow as pa

        with pa.OSFile(str(self.folder / f"{name}.arrows"), "rb") as source, pa.ipc.open_stream(source) as reader:
            yield from reader


def _origin_table(origins: list[tuple[str, str, str]]) -> pa.Table:
    import pyarrow as pa

    columns = list(zip(*origins, strict=True)) or [()] * 3
    return pa.table([pa.array(one, pa.string()) for one in columns], schema=_schema(ORIGINS))


def _authority(ivoid: str) -> str:
    return ivoid.removeprefix("ivo://").split("/")[0]
