"""Publish a file: read, describe, build beside, and only then let the name point to it."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skyvault.errors import Busy, Conflict, FormatError, IngestError, NotFound, UsageError
from skyvault.formats.stream import TableStream
from skyvault.ledger.holdings import Holding, Holdings
from skyvault.model.table import Table
from skyvault.publish.inference import infer, position_elsewhere
from skyvault.publish.ingest_state import forget_files
from skyvault.publish.merging import is_put_off
from skyvault.publish.positions import in_degrees
from skyvault.store import obscore as obs
from skyvault.store.building import build_beside, disk_faults, rows_of
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import FORMAT, Layout
from skyvault.store.snapshot import Built, Carried, Spec, with_row_count
from skyvault.store.view import split_name

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.config import Settings
    from skyvault.model.ports import Progress

#: first path words of the HTTP interface and schemas of the service itself: no schema may bear one
RESERVED_SCHEMAS = frozenset(
    {"tap", "sia1", "sia2", "ssa", "datalink", "soda", "get", "hips", "moc", "oai", "metrics"}
    | {"tap_schema", "tap_upload", "tap_user", "rr", "static", "docs", "jobs", "account", "login", "logout"}
)

#: merges tried while others publish observations, too
MERGE_TRIES = 20
#: nobody deletes the collections' files while they are merged
MERGE_LEASE_S = 3600.0


@dataclass(slots=True)
class Published:
    """What one publish did. ``inferred`` are sentences about what was guessed."""

    table: Table
    nrows: int | None = None
    bytes: int = 0
    seconds: float = 0.0
    inferred: list[str] = field(default_factory=list)
    bad_rows: int = 0
    bad_row_notes: list[str] = field(default_factory=list)
    coverage: str | None = None
    version: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.table.name,
            "rows": self.nrows,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "version": self.version,
            "inferred": self.inferred,
            "bad_rows": self.bad_rows,
            "bad_row_notes": self.bad_row_notes,
            "coverage": self.coverage,
            "columns": [
                {"name": c.name, "datatype": c.datatype, "arraysize": c.arraysize, "unit": c.unit, "ucd": c.ucd}
                for c in self.table.columns
            ],
        }


def publish(
    source: str | Path,
    *,
    name: str | None = None,
    home: Path | None = None,
    settings: Settings | None = None,
    obscore: bool = False,
    replace: bool = True,
    overrides: dict[str, Any] | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    more: Mapping[str, Any] | None = None,
) -> Published:
    """Publish a table file under ``name`` (schema.table); with ``obscore`` its rows also join ivoa.ObsCore.

    ``more`` is what the ledger keeps of it beside what is measured (the resource it belongs to).

    Raises FormatError (cannot be read), IngestError (cannot be published as it is), Conflict (the name is taken and
    ``replace`` is off), StoreError (disk full). Nothing is visible before everything is safely on disk.
    """
    from skyvault.config import Settings as Configuration
    from skyvault.formats import open_table
    from skyvault.formats.blocks import begun

    began = time.perf_counter()
    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    path = Path(source)
    full_name = table_name(name, path)
    stream = open_table(path)
    opened = stream.batches
    as_opened = _state(path)
    try:
        # a file whose rows cannot be read is told before anything else is looked at
        stream.batches = begun(opened)
        stream, overrides, notes = _with_degrees(stream, dict(overrides or {}), skip_bad)
        inferred = infer(stream.table, full_name, overrides)
        inferred.notes[:0] = notes
        if obscore:
            inferred.spec = _with_table(inferred.spec, obs.as_observations(inferred.spec.table))
        if dry_run:
            table = inferred.spec.table
            return Published(table, stream.table.nrows, 0, time.perf_counter() - began, inferred.notes)
        layout = Layout.of(settings)
        with disk_faults(settings.home):
            layout.make()
        with open_home_ledger(layout) as ledger:
            publisher = Publisher(layout, ledger.holdings, settings, progress)
            holding, built = publisher.publish_stream(
                inferred.spec,
                stream,
                obscore=obscore,
                may_replace=replace,
                skip_bad=skip_bad,
                unchanged=lambda: _refuse_changed(path, as_opened),
                more=more,
            )
        return Published(
            holding.table,
            holding.nrows,
            holding.bytes,
            time.perf_counter() - began,
            inferred.notes + _remarks(holding.table, built),
            built.bad_rows,
            built.bad_row_notes,
            built.extra.get("coverage"),
            holding.version,
        )
    finally:
        # a reader that was not read to its end still holds the file
        with suppress(ValueError):
            getattr(opened, "close", lambda: None)()


def _with_degrees(
    stream: TableStream, overrides: dict[str, Any], skip_bad: bool
) -> tuple[TableStream, dict[str, Any], list[str]]:
    """The stream with its position in degrees, if the file gives it in another way; overrides that name it; notes."""
    described = infer(stream.table, stream.table.name or "table", {"columns": overrides.get("columns", {})}).spec.table
    pair = position_elsewhere(described, overrides.get("position"))
    if pair is None:
        return stream, overrides, []
    units = tuple(
        replace(column, unit=described.columns[i].unit) if i in pair else column
        for i, column in enumerate(stream.table.columns)
    )
    stream.table = replace(stream.table, columns=units)
    converted = in_degrees(stream, pair, skip_bad=skip_bad)
    if converted.position is None:
        return converted.stream, overrides, []
    return converted.stream, overrides | {"position": list(converted.position)}, converted.notes


def _state(path: Path) -> tuple[int, ...]:
    try:
        known = path.stat()
    except OSError:
        return ()
    return known.st_ino, known.st_size, known.st_mtime_ns


def _refuse_changed(path: Path, as_opened: tuple[int, ...]) -> None:
    if _state(path) != as_opened:
        raise IngestError(
            "the file was changed while it was read",
            where=path.name,
            hint="Nothing was published; publish it again when it is complete.",
        )


def _remarks(table: Table, built: Built) -> list[str]:
    """What looks wrong in the rows, though they can be published."""
    remarks = [
        f"warning: {r['column']}: {r['rows']:,} rows repeat an identifier, {r['example']} for one"
        for r in built.extra.get("duplicate_ids", ())
    ]
    for region in built.extra.get("regions", ()):
        if region.get("unreadable"):
            remarks.append(
                f"warning: {table.columns[region['column']].name}: {region['unreadable']:,} values are no region,"
                f" first in row {region['row']:,}: {region['example']}"
            )
    for place in built.extra.get("positions", ()):
        if place.get("lon") is None:
            continue
        lon, lat = (built.extra["statistics"][place[axis]] for axis in ("lon", "lat"))
        name = table.columns[place["lon"]].name
        known = None not in (lon["minimum"], lon["maximum"], lat["minimum"], lat["maximum"])
        if not known or lon["filled"] < 100 or lon["minimum"] < 0:
            continue
        # degrees that end at 24 while the latitudes run from pole to pole are hours
        if 23 < lon["maximum"] <= 24 and lat["maximum"] - lat["minimum"] > 90:
            remarks.append(f"warning: {name} runs from 0 to 24: if these are hours, use --set {name}.unit=h")
        if max(abs(lat["minimum"]), lat["maximum"]) < 1.6 and 6 < lon["maximum"] < 6.2832:
            remarks.append(f"warning: {name} runs from 0 to 2 pi: if these are radians, use --set {name}.unit=rad")
    return remarks


def unpublish(name: str, *, home: Path | None = None, settings: Settings | None = None) -> None:
    """Take a table out of the holdings. Raises NotFound; running queries finish on it."""
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    layout = Layout.of(settings)
    if not layout.has_ledger():
        raise NotFound(f"there is no published table {name!r}", hint="Nothing is published in this data directory.")
    layout.make()
    ledger = open_home_ledger(layout)
    try:
        holdings = ledger.holdings
        found = holdings.find(name)
        if found is None:
            from skyvault.adql.faults import did_you_mean

            known = [h.name for h in holdings.current().values()]
            raise NotFound(f"there is no published table {name!r}", hint=did_you_mean(name, known))
        if "registry" in found.extra:
            raise UsageError(f"{name} holds what was harvested", hint="See skyvault registry forget.")
        if name.lower() == obs.NAME.lower():
            raise UsageError(f"{obs.NAME} is made from its collections", hint="Unpublish the collections instead.")
        gone = holdings.unpublish(name)
        if "collection" in gone.extra:
            forget_files(layout.home, gone.name)
        if gone.extra.get("obscore"):
            Publisher(layout, holdings, settings, None).merge_obscore()
    finally:
        ledger.close()


class Publisher:
    """Builds snapshots in one data directory and commits them."""

    def __init__(self, layout: Layout, holdings: Holdings, settings: Settings, progress: Progress | None) -> None:
        self.layout = layout
        self.holdings = holdings
        self.settings = settings
        self.progress = progress

    def publish_stream(
        self,
        spec: Spec,
        stream: TableStream,
        *,
        obscore: bool = False,
        may_replace: bool = True,
        skip_bad: bool = False,
        unchanged: Callable[[], None] = lambda: None,
        beside: Mapping[str, pa.RecordBatchReader] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> tuple[Holding, Built]:
        """Build, let the name point to it, and bring ivoa.ObsCore up to date where that is concerned.

        ``unchanged`` is called before anything becomes visible, and when reading fails: it raises when the source was
        changed meanwhile. ``beside`` are tables kept with it for ourselves, ``more`` what the ledger keeps of it.
        """
        before = self.holdings.find(spec.table.name)
        if before is not None and not may_replace:
            raise Conflict(f"{before.name} is published already", hint="Leave out --no-replace to replace it.")
        if before is not None:
            spec = _with_table(spec, _named(spec.table, before.name))
        try:
            built = self.build(spec, stream, skip_bad=skip_bad, beside=beside)
        except (FormatError, IngestError):
            unchanged()
            raise
        try:
            unchanged()
        except BaseException:
            built.path.unlink(missing_ok=True)
            raise
        kept = {
            **(more or {}),
            **({"obscore": True} if obscore else {}),
            **({"beside": list(beside)} if beside else {}),
        }
        holding = self.commit(spec, built, kept, replaces="any" if may_replace else None)
        is_concerned = obscore or (before is not None and bool(before.extra.get("obscore")))
        if is_concerned and not is_put_off(holding.name):
            self.merge_obscore()
        return holding, built

    def build(
        self,
        spec: Spec,
        stream: TableStream,
        *,
        skip_bad: bool = False,
        carried: Mapping[int, Sequence[Carried]] | None = None,
        beside: Mapping[str, pa.RecordBatchReader] | None = None,
    ) -> Built:
        """Write a snapshot file beside; nobody sees it yet."""
        if self.progress is not None:
            self.progress.start(f"Publishing {spec.table.name}", stream.table.nrows)
        try:
            return build_beside(
                self.layout,
                spec,
                stream,
                memory_bytes=max(self.settings.memory_limit, 256 << 20),
                threads=self.settings.threads,
                skip_bad=skip_bad,
                advance=self.progress.advance if self.progress is not None else None,
                carried=carried,
                beside=beside,
            )
        finally:
            if self.progress is not None:
                self.progress.finish()

    def commit(
        self, spec: Spec, built: Built, more: dict[str, Any], *, replaces: int | Literal["any"] | None = "any"
    ) -> Holding:
        """The last act: the ledger's pointer. Where that fails, the file is not kept."""
        extra = {**built.extra, **more}
        table = with_row_count(spec.table, built.nrows, extra)
        try:
            return self.holdings.publish(
                table,
                built.path.name,
                nrows=built.nrows,
                bytes=built.bytes,
                format=FORMAT,
                extra=extra,
                replaces=replaces,
            )
        except BaseException:
            built.path.unlink(missing_ok=True)
            raise

    def merge_obscore(self) -> None:
        """Rebuild ivoa.ObsCore from all collections that take part; withdraw it when none does.

        Whoever else publishes observations meanwhile does the same: the pointer is swapped only if nobody has swapped
        it since the collections were looked up, so that the last merge has seen every collection.
        """
        for _ in range(MERGE_TRIES):
            before = self.holdings.find(obs.NAME)
            members = [h for h in self.holdings.current().values() if h.extra.get("obscore")]
            members.sort(key=lambda h: h.name.lower())
            if not members:
                if before is not None:
                    self.holdings.unpublish(obs.NAME)
                return
            holder = f"merge-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            self.holdings.lease([h.snapshot for h in members], holder, MERGE_LEASE_S)
            try:
                spec, built = self._merged(members)
                more = {
                    "members": [h.name for h in members],
                    "member_snapshots": {h.name: h.snapshot for h in members},
                }
                self.commit(spec, built, more, replaces=None if before is None else before.version)
                return
            except Conflict:
                continue
            finally:
                self.holdings.lease([], holder, 0)
        raise Busy(f"{obs.NAME} is being changed by others all the time", hint="Run skyvault upgrade to merge it.")

    def is_merged(self) -> bool:
        """Whether ivoa.ObsCore holds its collections as they are now; a publish that was killed may leave it behind."""
        current = self.holdings.current().values()
        members = {h.name: h.snapshot for h in current if h.extra.get("obscore")}
        merged = self.holdings.find(obs.NAME)
        return members == ({} if merged is None else merged.extra.get("member_snapshots", members))

    def _merged(self, members: list[Holding]) -> tuple[Spec, Built]:
        target = obs.obscore_table(obs.extensions(h.table for h in members))
        authority = self.settings.authority

        def batches() -> Iterator[Any]:
            for member in members:
                rows = rows_of(self.layout, member.table, member.snapshot, is_left_out=_leaves_out(member))
                yield from obs.conformed(rows, member.table, target, authority)

        names = target.column_names
        region = names.index("s_region")
        spec = Spec(target, names.index("s_ra"), names.index("s_dec"), None, (region,))
        total = None if any(map(_leaves_out, members)) else sum(h.nrows for h in members)
        carried = self._carried(members) if total is not None else None
        built = self.build(
            spec,
            TableStream(_named(target, target.name, total), batches()),
            # a collection may have another main position, and s_ra or s_dec off the sky
            skip_bad=True,
            carried=None if carried is None else {region: carried},
        )
        return spec, built

    def _carried(self, members: list[Holding]) -> list[Carried] | None:
        """The region indices the collections have already; None when one must be made anew."""
        carried = []
        first = 0
        for member in members:
            index = next((i for i, c in enumerate(member.table.columns) if c.name.lower() == "s_region"), None)
            if index is not None:
                if index not in [region["column"] for region in member.extra.get("regions", ())]:
                    return None
                carried.append(Carried(self.layout.store / member.snapshot, f"cells_{index}", first))
            first += member.nrows
        return carried


def _leaves_out(member: Holding) -> bool:
    """Whether some of a collection's rows do not join ivoa.ObsCore."""
    return "left_out" in member.extra.get("beside", ())


def table_name(name: str | None, path: Path) -> str:
    """The qualified name to publish under. Raises IngestError for names a query could not use."""
    if name is None:
        stem = re.sub(r"\W+", "_", path.name.split(".")[0], flags=re.ASCII).strip("_").lower() or "table"
        name = f"data.{stem if stem[0].isalpha() else f't_{stem}'}"
    parts = split_name(name)
    if len(parts) == 1:
        parts = ("data", *parts)
    if len(parts) != 2 or not all(parts):
        raise IngestError(f"{name!r} is not a table name", hint="Use schema.table, for example lab.stars.")
    schema = parts[0].lower()
    if schema in RESERVED_SCHEMAS:
        raise IngestError(f"the schema name {parts[0]!r} is taken by the service itself", hint="Choose another schema.")
    if schema == "ivoa" and parts[1].lower() == "obscore":
        raise IngestError(
            f"{obs.NAME} is made from collections", hint="Publish under a name of its own with --obscore."
        )
    for part in parts:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", part):
            raise IngestError(
                f"{part!r} is not a name a query can use",
                where=name,
                hint="Use letters, digits and underscores, a letter first.",
            )
    return ".".join(parts)


def _with_table(spec: Spec, table: Table) -> Spec:
    return replace(spec, table=table)


def _named(table: Table, name: str, nrows: int | None = None) -> Table:
    return replace(table, name=name, nrows=nrows if nrows is not None else table.nrows)
