"""What a table covers of the sky, of time and of the spectrum: measured once, while its snapshot is built.

The coverage of the sky is kept twice: as ranges in a table of the snapshot, fine enough for clients that ask for it,
and as a short text in the ledger, for pages and registry records. Memory does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.adql.emit_duckdb import identifier
from skyvault.adql.storage import KEY_STRIDE
from skyvault.model.region import MAX_ORDER, Moc
from skyvault.model.table import NUMERIC
from skyvault.sky.moc import moc_of, moc_of_cells, moc_of_footprints, moc_text, order_of, union, within

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from skyvault.model.table import Column
    from skyvault.store.snapshot import Spec

#: the table of a snapshot that holds the coverage: ranges of cells of order 29
TABLE: Final = "coverage"
#: a coverage is as fine as the rows are dense, from 1 degree to 3.4 arcmin
COARSEST: Final = 6
FINEST: Final = 10
#: footprints are followed in cells four times narrower than those of their index, down to 51 arcsec
_FINEST_FOOTPRINTS: Final = 12
_FINER: Final = 2
#: positions a cell holds at least, on average, or the cells are taken wider
_DENSE: Final = 4
#: cells of positions that are held at once, and ranges of a coverage that are kept
_MOST_CELLS: Final = 1_000_000
_MOST_RANGES: Final = 200_000
#: ranges of the short form in the ledger, and its order
_SHORT_RANGES: Final = 4_000
_SHORT_ORDER: Final = 8
#: rows read at once
_ROWS: Final = 1_000_000
#: cells that are looked at for all footprints together, for one of them, and at once; a table of more footprints is
#: covered by the cells of its index
_CELLS_IN_ALL: Final = 3_000_000
_CELLS_OF_ONE: Final = 4_096
_CELLS_AT_ONCE: Final = 400_000
_MOST_FOOTPRINTS: Final = 50_000
#: an axis is looked at in so many steps; gaps of a step or less are not seen
_STEPS: Final = 500
_MOST_SPANS: Final = 20
#: days of a year's beginning: MJD of 1800 and 2200, by which days are told from other numbers
_MJD: Final = (-21_504.0, 124_593.0)
_JD_OF_MJD: Final = 2_400_000.5


def measure_coverage(
    connection: duckdb.DuckDBPyConnection, spec: Spec, names: Sequence[str], carried: Sequence[int]
) -> dict[str, Any]:
    """What the ledger keeps of a table's coverage; its ranges are written into the snapshot.

    ``carried`` are region columns whose index was taken over: their regions are not read again.
    Keys: coverage (ASCII MOC), coverage_order, temporal (MJD), spectral (m).
    """
    found: dict[str, Any] = {}
    moc = _of_sky(connection, spec, names, carried)
    if moc is not None:
        moc = within(moc, _MOST_RANGES)
        _keep(connection, moc)
        found["coverage"] = moc_text(within(moc, _SHORT_RANGES, _SHORT_ORDER))
        found["coverage_order"] = order_of(moc)
    columns = spec.table.columns
    time = _limits(columns, names, "t_min", "t_max", "d")
    if time is not None:
        found["temporal"] = _spans(connection, *time)
    else:
        found["temporal"] = [list(span) for span in _times(connection, columns, names)]
    band = _limits(columns, names, "em_min", "em_max", "m")
    if band is not None:
        spans = _spans(connection, f"log10({band[0]})", f"log10({band[1]})", where=f"{band[0]} > 0 AND {band[1]} > 0")
        found["spectral"] = [[float(f"{10.0**low:.6g}"), float(f"{10.0**high:.6g}")] for low, high in spans]
    return {key: value for key, value in found.items() if value not in (None, [])}


# ---------------------------------------------------------------- the sky


def _of_sky(
    connection: duckdb.DuckDBPyConnection, spec: Spec, names: Sequence[str], carried: Sequence[int]
) -> Moc | None:
    if spec.regions:
        # the first is what the rows cover; others are variants of it (a nominal field of view)
        index = spec.regions[0]
        if index in carried:
            found = _of_index(connection, index)
        else:
            found = _of_footprints(connection, index, spec.table.columns[index], names[index])
        if spec.positioned:
            # rows that have a place but no outline
            found = union([found, _of_positions(connection, f" AND {identifier(names[index])} IS NULL")])
        return found
    return _of_positions(connection) if spec.positioned else None


def _of_positions(connection: duckdb.DuckDBPyConnection, where: str = "") -> Moc:
    order, total = FINEST, 0
    held = np.empty(0, np.int64)
    query = f"SELECT _healpix_29 FROM data WHERE _healpix_29 IS NOT NULL{where}"
    for batch in _read(connection, query, _ROWS):
        total += batch.num_rows
        cells = np.unique(batch.column(0).to_numpy() >> (2 * (MAX_ORDER - order)))
        # rows are sorted by place, so that most batches follow on the one before
        follows = not len(held) or not len(cells) or cells[0] > held[-1]
        held = np.concatenate([held, cells]) if follows else np.union1d(held, cells)
        while len(held) > _MOST_CELLS and order > COARSEST:
            held, order = np.unique(held >> 2), order - 1
    while order > COARSEST and total < _DENSE * len(held):
        held, order = np.unique(held >> 2), order - 1
    return moc_of_cells(held, order)


def _of_footprints(connection: duckdb.DuckDBPyConnection, index: int, column: Column, name: str) -> Moc:
    from skyvault.store.snapshot import region_shapes

    source = f"FROM data WHERE {identifier(name)} IS NOT NULL"
    total = connection.execute(f"SELECT count(*) {source}").fetchall()[0][0]
    if total > _MOST_FOOTPRINTS:
        return _of_index(connection, index)
    most = int(np.clip(_CELLS_IN_ALL // max(total, 1), 16, _CELLS_OF_ONE))
    keys = connection.execute(f"SELECT max(key) FROM cells_{index}").fetchall()[0][0]
    order = int(np.clip((keys or 0) // KEY_STRIDE + _FINER, FINEST, _FINEST_FOOTPRINTS))
    found = Moc(np.empty((0, 2), np.int64))
    reader = _read(connection, f"SELECT {identifier(name)} {source}", max(1, _CELLS_AT_ONCE // most))
    for batch in reader:
        shapes, _ = region_shapes(batch.column(0), column)
        found = within(union([found, moc_of_footprints(shapes, order, most)]), 4 * _MOST_RANGES)
    return found


def _of_index(connection: duckdb.DuckDBPyConnection, index: int) -> Moc:
    """The cells that a region index has: they hold the regions, and up to twice as much."""
    found = Moc(np.empty((0, 2), np.int64))
    for batch in _read(connection, f"SELECT DISTINCT key FROM cells_{index}", _ROWS):
        keys = batch.column(0).to_numpy()
        cells = moc_of_cells(keys % KEY_STRIDE, keys // KEY_STRIDE)
        found = within(union([found, moc_of(cells, FINEST)]), 4 * _MOST_RANGES)
    return found


def _read(connection: duckdb.DuckDBPyConnection, query: str, rows: int) -> Iterator[pa.RecordBatch]:
    """The answer by batches, on a cursor of its own: the connection may have a result that was not read to its end."""
    cursor = connection.cursor()
    try:
        place = str(connection.execute("SELECT current_database()").fetchall()[0][0])
        cursor.execute(f"USE {identifier(place)}")
        yield from cursor.sql(query).to_arrow_reader(rows)
    finally:
        cursor.close()


def _keep(connection: duckdb.DuckDBPyConnection, moc: Moc) -> None:
    import pyarrow as pa

    ranges: pa.Table = pa.table({"first": moc.ranges[:, 0], "last": moc.ranges[:, 1]})
    connection.register("incoming_coverage", ranges)
    connection.execute(f"CREATE OR REPLACE TABLE {TABLE} AS SELECT first, last FROM incoming_coverage")
    connection.unregister("incoming_coverage")


# ---------------------------------------------------------------- time and spectrum


def _limits(columns: Sequence[Column], names: Sequence[str], low: str, high: str, unit: str) -> tuple[str, str] | None:
    """The two columns of an axis as ObsCore names them, in SQL; None where the table has no such pair."""
    by_name = {column.name.lower(): i for i, column in enumerate(columns)}
    places = [by_name.get(low), by_name.get(high)]
    found = [i for i in places if i is not None and columns[i].datatype in NUMERIC]
    if len(found) < 2 or any(columns[i].unit not in (unit, None) for i in found):
        return None
    first, last = (f"CAST({identifier(names[i])} AS DOUBLE)" for i in found)
    return f"coalesce({first}, {last})", f"coalesce({last}, {first})"


def _spans(connection: duckdb.DuckDBPyConnection, low: str, high: str, *, where: str = "true") -> list[list[float]]:
    """Spans that hold all of [low, high] of the rows, with the gaps that can be seen in some hundred steps."""
    known = f"{where} AND isfinite({low}) AND isfinite({high}) AND {low} <= {high}"
    ends = connection.execute(f"SELECT min({low}), max({high}) FROM data WHERE {known}").fetchall()[0]
    if ends[0] is None:
        return []
    begin, end = float(ends[0]), float(ends[1])
    step = (end - begin) / _STEPS
    if step <= 0:
        return [[begin, end]]
    rows = connection.execute(
        f"SELECT min({low}), max({high}) FROM data WHERE {known}"
        f" GROUP BY floor(({low} - {begin!r}) / {step!r}) ORDER BY 1"
    ).fetchall()
    spans: list[list[float]] = []
    for first, last in rows:
        if spans and first <= spans[-1][1] + step:
            spans[-1][1] = max(spans[-1][1], float(last))
        else:
            spans.append([float(first), float(last)])
    while len(spans) > _MOST_SPANS:
        gaps = [after[0] - before[1] for before, after in pairwise(spans)]
        at = gaps.index(min(gaps))
        spans[at : at + 2] = [[spans[at][0], spans[at + 1][1]]]
    return spans


def _times(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], names: Sequence[str]
) -> Iterator[tuple[float, float]]:
    """The span of the columns that say when: timestamps, and days that can only be MJD or JD."""
    low, high = [], []
    for column, name in zip(columns, names, strict=True):
        ucd = (column.ucd or "").lower()
        if column.is_array or not ucd.startswith(("time.epoch", "time.start", "time.end", "time.obs")):
            continue
        own = identifier(name)
        if column.is_timestamp:
            own = f"(epoch({own}) / 86400.0 + 40587.0)"
        elif column.datatype in NUMERIC and column.unit == "d":
            own = f"CAST({own} AS DOUBLE)"
        else:
            continue
        ends = connection.execute(f"SELECT min({own}), max({own}) FROM data WHERE isfinite({own})").fetchall()[0]
        if ends[0] is None:
            continue
        for origin in (0.0, _JD_OF_MJD):
            if all(_MJD[0] < end - origin < _MJD[1] and (origin or end > 15_000) for end in ends):
                low.append(float(ends[0]) - origin)
                high.append(float(ends[1]) - origin)
                break
    if low:
        yield min(low), max(high)
