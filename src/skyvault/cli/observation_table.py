"""Observations on the screen, in a file, or for a program: tables of missions as streams of described columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.formats.stream import TableStream

#: what is known of columns by their names: unit, UCD
_KNOWN: Final = {
    "ra": ("deg", "pos.eq.ra;meta.main"),
    "dec": ("deg", "pos.eq.dec;meta.main"),
    "pos_ra": ("deg", "pos.eq.ra"),
    "pos_dec": ("deg", "pos.eq.dec"),
    "separation": ("deg", "pos.angDistance"),
    "ObsID": (None, "meta.id;meta.main"),
    "start": (None, "time.start"),
    "end": (None, "time.end"),
    "duration": ("s", "time.duration"),
}
#: the columns a person wants to see first
_FIRST: Final = (
    "pos_name", "ObsID", "separation", "instrument", "ra", "dec", "start", "duration", "target_name", "target_category",
)  # fmt: skip


def flat(matches: pa.Table, observations: pa.Table) -> pa.Table:
    """One row for each pair of a position and an observation: columns of both, and the separation."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = matches["ObsIDs"].combine_chunks()
    parent = pc.list_parent_indices(lists)
    ids = pc.list_flatten(lists)
    made: dict[str, Any] = {
        name: matches[name].combine_chunks().take(parent)
        for name in ("pos_ind", "pos_name", "pos_ra", "pos_dec")
        if name in matches.column_names
    }
    made["separation"] = pc.list_flatten(matches["separation"].combine_chunks())
    if "instruments" in matches.column_names:
        seen = pc.list_flatten(matches["instruments"].combine_chunks())
        made["instruments"] = pc.binary_join(seen, " ")
    rows = observations.take(pc.index_in(ids, observations["ObsID"].combine_chunks()))
    for name in rows.column_names:
        made.setdefault(name, rows[name])
    return pa.table(made)


def stream_of(table: pa.Table, name: str) -> TableStream:
    """A mission's table as a stream that any writer takes: durations in seconds, times in ISO 8601 (UTC)."""
    import pyarrow as pa

    from skyvault.formats.arrow import conform, from_schema, to_schema
    from skyvault.formats.stream import TableStream

    for number, field in enumerate(table.schema):
        if pa.types.is_duration(field.type):
            micros = table[field.name].cast(pa.duration("us")).cast(pa.int64()).cast(pa.float64())
            table = table.set_column(number, field.name, pa.compute.divide(micros, 1e6))
    described, left_out = from_schema(table.schema, name=name)
    columns = []
    for column in described.columns:
        unit, ucd = _KNOWN.get(column.name, ("s" if _is_duration(column.name) else None, None))
        columns.append(replace(column, unit=column.unit or unit, ucd=column.ucd or ucd))
    described = replace(described, columns=tuple(columns), nrows=table.num_rows)
    schema = to_schema(described)
    kept = [conform(table[column.name], column) for column in described.columns if column.name not in left_out]
    batch = pa.RecordBatch.from_arrays(kept, schema=pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema]))
    return TableStream(described, iter([batch]))


def _is_duration(name: str) -> bool:
    return name.endswith("_exposure") or name in ("exposure_a", "exposure_b", "ontime_a", "ontime_b")


def show(table: pa.Table, name: str) -> None:
    """Print the rows, the telling columns first."""
    from skyvault.cli import table_view

    first = [column for column in _FIRST if column in table.column_names]
    rest = [column for column in table.column_names if column not in first]
    table_view.show(stream_of(table.select(first + rest), name))


def write(table: pa.Table, path: Path, name: str) -> None:
    """Write a file in the format its suffix names; what is there is replaced when the new one is whole."""
    from skyvault.formats.registry import format_of_suffix, negotiate

    writer = negotiate(format_of_suffix(path)).writer
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.writelines(writer(stream_of(table, name)))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def documents(table: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON: times in ISO 8601, durations in seconds, what is unknown as null."""
    return [{key: _plain(value) for key, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, float) and value != value:
        return None
    return value
