"""Are published tables in order? Descriptions, units, UCDs, identifiers, positions, ObsCore values, files on disk.

Nothing is changed: each finding says where it is, what is wrong and what to do. An *error* makes queries fail or answer
wrongly, a *warning* misleads people or clients, a *note* is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skyvault.adql.emit_duckdb import identifier
from skyvault.adql.storage import Stored
from skyvault.errors import NotFound, UnitError
from skyvault.ledger.holdings import Holding, Holdings
from skyvault.model.table import Column, Table
from skyvault.store import obscore
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import FORMAT, Layout
from skyvault.store.view import shelved

if TYPE_CHECKING:
    from skyvault.config import Settings

Severity = Literal["error", "warning", "note"]

#: names of columns listed in one finding before the rest is only counted
NAMED = 8
_ORDER: dict[str, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: how bad, where (table, column, file), what, and what to do about it."""

    severity: Severity
    where: str
    what: str
    hint: str = ""


def check(name: str | None = None, *, home: Path | None = None, settings: Settings | None = None) -> list[Finding]:
    """What is wrong with one published table, or with all and the store; worst first, in order of tables.

    Reads every row of each table once or twice: some seconds for ten million rows. Raises NotFound when there is no
    such table.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    layout = Layout.of(settings)
    if not layout.has_ledger():
        if name is not None:
            raise NotFound(f"there is no published table {name!r}", hint="Nothing is published in this data directory.")
        return [
            Finding("note", str(layout.home), "nothing is published here", "Publish a file: skyvault publish FILE.")
        ]
    with open_home_ledger(layout) as ledger:
        current = ledger.holdings.current()
        if name is not None and name.lower() not in current:
            from skyvault.adql.faults import did_you_mean

            known = [holding.name for holding in current.values()]
            raise NotFound(f"there is no published table {name!r}", hint=did_you_mean(name, known))
        findings: list[Finding] = []
        for key, holding in current.items():
            if name is None or key == name.lower():
                findings += _of_table(holding, layout)
        if name is None:
            findings += _of_obscore(current.values())
            findings += _of_directory(layout, ledger.holdings)
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def _of_table(holding: Holding, layout: Layout) -> Iterator[Finding]:
    yield from describe_findings(holding.table)
    yield from _of_statistics(holding)
    yield from _of_snapshot(holding, layout)


# --- what is said about the table ------------------------------------------------------------------------------------


def describe_findings(table: Table) -> Iterator[Finding]:
    """What the description of a table lacks, and what in it is no VOUnit (VOUnits 1.1) or no UCD (UCD1+ 1.5)."""
    name = table.name
    if not table.description:
        yield Finding("warning", name, "the table has no description", "Use --set description='...'.")
    columns = [column for column in table.columns if not column.std]
    yield from _listed(
        "note",
        name,
        "no description",
        (column.name for column in columns if not column.description),
        "Use --set COLUMN.description='...', or --metadata with a YAML file.",
    )
    yield from _listed(
        "note", name, "no UCD", (column.name for column in columns if not column.ucd), "Use --set COLUMN.ucd=..."
    )
    for column in columns:
        where = f"{name}.{column.name}"
        if column.unit:
            problem = _unit_problem(column.unit)
            if problem:
                yield Finding(
                    "warning", where, f"the unit {column.unit!r} is no VOUnit", f"{problem} Use --set COLUMN.unit=..."
                )
        if column.ucd and not _is_ucd(column.ucd):
            yield Finding("warning", where, f"{column.ucd!r} is no UCD", "Use --set COLUMN.ucd=... (UCD1+ words).")
    ids = ("meta.id;meta.main", "meta.ref.ivoid")
    if not any((column.ucd or "").lower() in ids for column in table.columns):
        yield Finding("note", name, "no column is the identifier", "Use --set id=COLUMN, if one column names each row.")


def _unit_problem(unit: str) -> str | None:
    from skyvault.adql.units import parse_unit

    try:
        parse_unit(unit)
    except UnitError as problem:
        return str(problem)
    return None


def _is_ucd(ucd: str) -> bool:
    from astropy.io.votable.ucd import check_ucd

    return bool(check_ucd(ucd, check_controlled_vocabulary=True))


def _listed(severity: Severity, table: str, what: str, names: Iterable[str], hint: str) -> Iterator[Finding]:
    found = list(names)
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        count = "1 column has" if len(found) == 1 else f"{len(found)} columns have"
        yield Finding(severity, table, f"{count} {what}: {', '.join(found[:NAMED])}{more}", hint)


# --- what ingest measured --------------------------------------------------------------------------------------------


def _of_statistics(holding: Holding) -> Iterator[Finding]:
    table, extra = holding.table, holding.extra
    if holding.nrows == 0:
        yield Finding("note", table.name, "the table has no rows")
        return
    empty = [s["name"] for s in extra.get("statistics", ()) if s.get("filled") == 0]
    standard = {column.name for column in table.columns if column.std}
    yield from _listed(
        "note",
        table.name,
        "no value in any row",
        (column for column in empty if column not in standard),
        "Leave such columns out of the file, or look whether they were read rightly.",
    )
    if not extra.get("positions") and not extra.get("regions"):
        yield Finding(
            "note",
            table.name,
            "no position is indexed",
            "Use --set position=RA,DEC when the table has one (ICRS, deg).",
        )
    for repeated in extra.get("duplicate_ids", ()):
        yield Finding(
            "warning",
            f"{table.name}.{repeated['column']}",
            f"{repeated['rows']:,} rows repeat an identifier, {repeated['example']} for one",
            "Correct the file, or name another column with --set id=COLUMN.",
        )
    for region in extra.get("regions", ()):
        if region.get("unreadable"):
            yield Finding(
                "error" if extra.get("obscore") else "warning",
                f"{table.name}.{table.columns[region['column']].name}",
                f"{region['unreadable']:,} values are no region, first {region['example']!r}",
                "No search by region finds these rows. Write them as POLYGON ICRS or CIRCLE ICRS with degrees.",
            )


# --- what lies on disk -----------------------------------------------------------------------------------------------


def _of_snapshot(holding: Holding, layout: Layout) -> Iterator[Finding]:
    import duckdb

    name, path = holding.name, layout.store / holding.snapshot
    again = "Publish the table again, or restore the store from a backup."
    if not path.is_file():
        yield Finding("error", name, f"its snapshot {holding.snapshot} is not in the store", again)
        return
    if holding.format > FORMAT:
        what = f"its snapshot has format {holding.format}; this version reads up to {FORMAT}"
        yield Finding("error", name, what, "Install a newer Skyvault.")
        return
    if holding.format < FORMAT:
        what = f"its snapshot has the older format {holding.format}; this version writes {FORMAT}"
        yield Finding("warning", name, what, "Run skyvault upgrade.")
    if path.stat().st_size != holding.bytes:
        what = f"its snapshot has {path.stat().st_size:,} bytes; {holding.bytes:,} were published"
        yield Finding("error", name, what, again)
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as problem:
        yield Finding("error", name, f"its snapshot cannot be opened ({_first_line(problem)})", again)
        return
    try:
        yield from _of_rows(holding, connection, again)
    except duckdb.Error as problem:
        yield Finding("error", name, f"its snapshot cannot be read ({_first_line(problem)})", again)
    finally:
        connection.close()


def _of_rows(holding: Holding, connection: Any, again: str) -> Iterator[Finding]:
    name = holding.name
    nrows = int(_one(connection, "SELECT count(*) FROM data"))
    if nrows != holding.nrows:
        yield Finding("error", name, f"its snapshot has {nrows:,} rows; {holding.nrows:,} were published", again)
    stored = shelved(holding.table, holding.snapshot, holding.nrows, holding.extra).stored
    if stored.positions:
        if not _is_sorted(connection):
            yield Finding("error", name, "its rows are not sorted by position: searches are slow", again)
        without = int(_one(connection, "SELECT count(*) FROM data WHERE _healpix_29 IS NULL"))
        if without:
            what = f"{without:,} of {nrows:,} rows have no position"
            yield Finding("note", name, what, "No search by position finds them.")
    for region in stored.regions:
        table = region.cells.rpartition(".")[2]
        outside = _one(connection, f"SELECT count(*) FROM {table} WHERE row < 0 OR row >= {nrows}")
        if outside:
            yield Finding("error", name, "its index of regions names rows that are not there", again)
    if holding.extra.get("obscore") or name.lower() == obscore.NAME.lower():
        yield from _of_observations(holding.table, stored, connection)


def _is_sorted(connection: Any) -> bool:
    import numpy as np

    last = np.iinfo(np.int64).min
    query = "SELECT _healpix_29 FROM data WHERE _healpix_29 IS NOT NULL"
    for batch in connection.cursor().sql(query).to_arrow_reader(1 << 18):
        cells = batch.column(0).to_numpy()
        if len(cells) and (cells[0] < last or bool((cells[1:] < cells[:-1]).any())):
            return False
        last = cells[-1] if len(cells) else last
    return True


# --- ObsCore ---------------------------------------------------------------------------------------------------------


def _of_observations(table: Table, stored: Stored, connection: Any) -> Iterator[Finding]:
    """Values that ObsCore 1.1 does not allow, column by column, with the first row that has one."""
    physical = {c.name.lower(): identifier(n) for c, n in zip(table.columns, stored.names, strict=True)}
    columns = {c.name.lower(): c for c in table.columns}
    for rule in obscore.RULES:
        if not all(name in columns and _of_kind(columns[name], rule.kind) for name in rule.columns):
            continue
        condition = rule.condition.format(**{name: physical[name] for name in rule.columns})
        shown = physical[rule.columns[0]]
        count, value, row = connection.execute(
            f"SELECT count(*), arg_min(CAST({shown} AS VARCHAR), rowid), min(rowid) FROM data WHERE {condition}"
        ).fetchall()[0]
        if count:
            example = f", first {value!r} in row {row + 1} of the snapshot" if value is not None else ""
            where = f"{table.name}.{columns[rule.columns[0]].name}"
            yield Finding(rule.severity, where, f"{count:,} rows: {rule.what}{example}", rule.hint)
    missing = [name for name in sorted(obscore.NEEDED) if name not in columns]
    if missing:
        what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield Finding("note", table.name, what, f"{obscore.NAME} shows what can be made from the other columns.")


def _of_kind(column: Column, kind: str) -> bool:
    if column.is_array:
        return False
    return kind == "any" or (column.is_text if kind == "text" else not column.is_text)


def _of_obscore(current: Iterable[Holding]) -> Iterator[Finding]:
    """Whether the merged table is made from what is published now (a publish may have been killed in between)."""
    holdings = list(current)
    merged = next((holding for holding in holdings if holding.name.lower() == obscore.NAME.lower()), None)
    members = {holding.name: holding.snapshot for holding in holdings if holding.extra.get("obscore")}
    if merged is None:
        if members:
            what = f"the table is missing, though {', '.join(members)} take part in it"
            yield Finding("error", obscore.NAME, what, "Publish one of them again, or run skyvault upgrade.")
        return
    used = merged.extra.get("member_snapshots")
    if used is not None and used != members:
        stale = sorted(set(used.items()) ^ set(members.items()))[0][0]
        what = f"the table does not show {stale} as it is published now"
        yield Finding("error", obscore.NAME, what, "Publish it again, or run skyvault upgrade.")


# --- the data directory ----------------------------------------------------------------------------------------------


def _of_directory(layout: Layout, holdings: Holdings) -> Iterator[Finding]:
    known = holdings.files()
    orphans = sorted(p for p in layout.store.iterdir() if p.is_file() and p.name not in known)
    if orphans:
        size = sum(path.stat().st_size for path in orphans) / 1e6
        what = f"{len(orphans)} files ({size:,.1f} MB) belong to no table, {orphans[0].name} for one"
        hint = "A publish is running, or was stopped; the server deletes such files after an hour."
        yield Finding("note", str(layout.store), what, hint)
    floating = layout.stale_scratch()
    if floating:
        what = f"{len(floating)} folders were left behind by a publish that was stopped, {floating[0].name} for one"
        yield Finding("note", str(layout.temporary), what, "The next publish deletes them.")


def _one(connection: Any, sql: str) -> Any:
    rows = connection.execute(sql).fetchall()
    return rows[0][0] if rows else None


def _first_line(problem: BaseException) -> str:
    return str(problem).splitlines()[0][:200]
