"""An archive's table of observations turned into the mission's own: names, times, durations, codes, usability.

Text, numbers and timestamps are all understood, so that the same declaration reads a CSV copy, a VOTable from TAP and
a FITS table. Times are UTC timestamps of microseconds without a zone, durations likewise, angles degrees.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import NotFound
from skyvault.missions.declaration import CategoryRule, Declaration, ObsColumn
from skyvault.missions.faults import MissionTableError
from skyvault.missions.targets import TARGET_TYPES

TIME: Final = pa.timestamp("us")
DURATION: Final = pa.duration("us")
TYPES: Final = {
    "float": pa.float64(),
    "int": pa.int64(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "time": TIME,
    "duration": DURATION,
}
_MJD_OF_1970: Final = 40587.0
_DAY_US: Final = 86400e6
_TRUE: Final = ("true", "t", "1", "y", "yes")
_FALSE: Final = ("false", "f", "0", "n", "no", "")


def read_table(path: str | Path) -> pa.Table:
    """A local copy of an archive's table, in any format Skyvault reads; CSV columns stay text (IDs keep their zeros).

    Raises NotFound, FormatError.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no file {path}", hint="Give the path of a table of observations.")
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        try:
            with pa.input_stream(str(path), compression="detect") as stream:
                return read_csv(stream.read(), str(path))
        except OSError as error:
            raise MissionTableError(f"the file is no CSV table: {str(error)[:200]}", where=str(path)) from None
    from skyvault.formats.registry import open_table

    batches = list((stream := open_table(path)).batches)
    if stream.error:
        raise MissionTableError(stream.error, where=str(path))
    if not batches:
        raise MissionTableError("the table has no rows", where=str(path))
    return pa.Table.from_batches(batches)


def read_csv(content: bytes, where: str) -> pa.Table:
    """A CSV table with all columns as text. Raises MissionTableError."""
    from pyarrow import csv

    try:
        head = content[:1_000_000].split(b"\n", 1)[0].decode("utf-8-sig").strip()
        names = [word.strip().strip('"') for word in head.split(",")]
        options = csv.ConvertOptions(column_types={name: pa.string() for name in names}, strings_can_be_null=False)
        return csv.read_csv(pa.BufferReader(content), convert_options=options)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise MissionTableError(f"the file is no CSV table: {str(error)[:200]}", where=where) from None


def observations(archive: pa.Table, declaration: Declaration, *, where: str, now: datetime | None = None) -> pa.Table:
    """The mission's table from the archive's; the case of column names does not matter.

    Rows that are not this mission's (declared ``keep`` and ``keep_ids``) and those without a position are left out;
    observations without any time on target stay, as not usable. A table already in the mission's own columns passes
    through the same conversions. Raises MissionTableError naming what is missing or wrong; ``where`` names the table.
    """
    if {"ObsID", "science_usable", "start", "end", "duration"} <= set(archive.column_names):
        return check_table(_own(archive, declaration, where), declaration, where)
    found = {name.lower(): name for name in archive.column_names}
    optional = {c.source.lower() for c in declaration.columns if c.optional and isinstance(c.source, str)}
    missing = [s for s in declaration.sources() if s.lower() not in found and s.lower() not in optional]
    if missing:
        raise MissionTableError(
            f"the table of {declaration.pretty_name} has no column {', '.join(missing)}",
            where=where,
            hint="The archive may have renamed it; columns found: " + ", ".join(archive.column_names)[:300] + ".",
        )
    if declaration.prepare is not None:
        spelled = {found[name.lower()]: name for name in declaration.needs}
        archive = declaration.prepare(archive.rename_columns([spelled.get(n, n) for n in archive.column_names]))
        found = {name.lower(): name for name in archive.column_names}
    for source, words in declaration.keep.items():
        column = pc.utf8_lower(_text(archive[found[source.lower()]]))
        archive = archive.filter(pc.is_in(column, pa.array([word.lower() for word in words])))
    made: dict[str, pa.ChunkedArray | pa.Array] = {}
    for column in declaration.columns:
        sources = (column.source,) if isinstance(column.source, str) else column.source or ()
        if sources and all(source.lower() in found for source in sources):
            parts = [archive[found[source.lower()]] for source in sources]
            made[column.name] = _convert(parts, column, where)
        elif column.constant is not None:
            made[column.name] = pa.array([column.constant]).take(pa.array(np.zeros(archive.num_rows, np.int64)))
        elif sources:
            made[column.name] = pa.nulls(archive.num_rows, TYPES[column.kind])
    if declaration.category:
        made["target_category"] = _codes(archive, declaration.category, found)
    _derive(made, declaration, now or datetime.now(UTC), archive.num_rows)
    table = pa.table({column.name: made[column.name] for column in declaration.columns}).combine_chunks()
    if declaration.keep_ids:
        table = table.filter(pc.match_substring_regex(table["ObsID"], declaration.keep_ids))
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    with np.errstate(invalid="ignore"):
        placed = np.isfinite(ra) & (np.abs(dec) <= 90.0) & ~((ra == 0.0) & (dec == 0.0))
    if not placed.all():
        table = table.filter(pa.array(placed))
    return check_table(table.combine_chunks(), declaration, where)


def check_table(table: pa.Table, declaration: Declaration, where: str) -> pa.Table:
    """The table, if it holds what the declaration promises. Raises MissionTableError naming row and value."""
    missing = [name for name in ("ra", "dec", "ObsID", "science_usable", "start", "end", "duration")
               if name not in table.column_names]  # fmt: skip
    if missing:
        raise MissionTableError(f"the table has no column {', '.join(missing)}", where=where)
    wrong = pc.invert(pc.fill_null(pc.match_substring_regex(table["ObsID"], declaration.id_pattern), False))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise MissionTableError(
            f"{table['ObsID'][row].as_py()!r} is no ObsID of {declaration.pretty_name}", where=f"{where}, row {row}"
        )
    if "target_category" in table.column_names:
        strange = set(pc.unique(table["target_category"]).to_pylist()) - TARGET_TYPES.keys()
        if strange:
            raise MissionTableError(
                f"{', '.join(map(repr, strange))}: no codes of the target taxonomy", where=f"{where}, target_category"
            )
    return table


def _own(table: pa.Table, declaration: Declaration, where: str) -> pa.Table:
    """A table in the mission's own columns with our types."""
    made: dict[str, Any] = {}
    for column in declaration.columns:
        if column.name not in table.column_names:
            raise MissionTableError(f"the table has no column {column.name}", where=where)
        made[column.name] = _convert([table[column.name]], column, where)
    return pa.table(made).combine_chunks()


def _convert(parts: list[pa.ChunkedArray], column: ObsColumn, where: str) -> pa.ChunkedArray | pa.Array:
    place = f"{where}, column {column.source}"
    try:
        if len(parts) > 1:
            return pc.binary_join_element_wise(*(_text(part) for part in parts), ",")
        return _CONVERSIONS[column.kind](parts[0], column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        kind = {"time": "times (MJD or ISO 8601)", "duration": "seconds"}.get(
            column.kind, f"values of kind {column.kind}"
        )
        raise MissionTableError(f"these are no {kind}: {str(error)[:160]}", where=place) from None


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(values.type):
        values = values.cast(pa.int64())
    return pc.utf8_trim_whitespace(pc.fill_null(values.cast(pa.string()), ""))


def _to_text(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray:
    text = _text(values)
    if column.after is None:
        return text
    encoded = text.combine_chunks().dictionary_encode()
    return pa.array([column.after(word) for word in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _to_float(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray:
    if _is_text(values):
        values = _empty_is_null(values)
    return pc.fill_null(values.cast(pa.float64()), float("nan"))


def _to_int(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray:
    return (_empty_is_null(values) if _is_text(values) else values).cast(pa.int64())


def _to_bool(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray:
    if pa.types.is_boolean(values.type):
        return pc.fill_null(values, False)
    if not _is_text(values):
        return pc.fill_null(pc.not_equal(values, 0), False)
    words = pc.utf8_lower(_text(values))
    strange = pc.invert(pc.is_in(words, pa.array([*_TRUE, *_FALSE])))
    if pc.any(strange).as_py():
        raise ValueError(f"{words[pc.index(strange, True).as_py()].as_py()!r}")
    return pc.is_in(words, pa.array(_TRUE))


def _to_time(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return values.cast(TIME, safe=False)
    if _is_text(values):
        text = _empty_is_null(values)
        if _is_number(text):
            return _to_time(text.cast(pa.float64()), column)
        text = pc.replace_substring_regex(text, r"(Z|\+00(:?00)?)$", "")
        # beyond microseconds nothing is kept
        text = pc.replace_substring_regex(text, r"(\.\d{6})\d+$", r"\1")
        # archives write the 60th second where a time was rounded up (and in a leap second)
        is_sixtieth = pc.match_substring_regex(text, r":60(\.\d*)?$")
        extra = pc.if_else(is_sixtieth, pa.scalar(1_000_000, DURATION), pa.scalar(0, DURATION))
        return pc.add(pc.replace_substring_regex(text, r":60(\.\d*)?$", r":59\1").cast(TIME), extra)
    mjd = np.array(pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy(), np.float64)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(mjd) & (np.abs(mjd) < 200_000.0)
    for null in column.nulls:
        known &= mjd != null
    micro = np.zeros(len(mjd), np.int64)
    micro[known] = np.rint((mjd[known] - _MJD_OF_1970) * _DAY_US).astype(np.int64)
    return pa.array(micro, pa.int64(), mask=~known).cast(TIME)


def _to_duration(values: pa.ChunkedArray, column: ObsColumn) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_duration(values.type):
        return values.cast(DURATION)
    if _is_text(values):
        values = _empty_is_null(values).cast(pa.float64())
    second = np.array(pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy(), np.float64)
    return pa.array(np.rint(np.nan_to_num(second) * 1e6).astype(np.int64)).cast(DURATION)


_CONVERSIONS: Final = {
    "text": _to_text,
    "float": _to_float,
    "int": _to_int,
    "bool": _to_bool,
    "time": _to_time,
    "duration": _to_duration,
}


def _is_text(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _is_number(text: pa.ChunkedArray) -> bool:
    first = next((value for value in text[:1000].to_pylist() if value), "")
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", first) is not None


def _empty_is_null(values: pa.ChunkedArray) -> pa.ChunkedArray:
    text = _text(values)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _codes(archive: pa.Table, rule: CategoryRule, found: dict[str, str]) -> pa.Array:
    codes = _listed(archive[found[rule.source.lower()]], {k.lower(): v for k, v in rule.codes.items()}, rule.default)
    if rule.fallback is None:
        return codes
    second = {k.lower(): v for k, v in rule.fallback_codes.items()}
    other = _listed(archive[found[rule.fallback.lower()]], second, rule.default)
    return pc.if_else(pc.equal(codes, rule.default), other, codes)


def _listed(values: pa.ChunkedArray, codes: dict[str, str], default: str) -> pa.Array:
    encoded = pc.utf8_lower(_text(values)).combine_chunks().dictionary_encode()
    words = pa.array([codes.get(word, default) for word in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)


def _derive(made: dict[str, Any], declaration: Declaration, now: datetime, rows: int) -> None:
    if "end" not in made and "duration" in made:
        made["end"] = pc.add(made["start"], made["duration"])
    if "duration" not in made:
        made["duration"] = pc.subtract(made["end"], made["start"])
    usable = made.get("science_usable", pa.array(np.ones(rows, np.bool_)))
    if declaration.usable_if_positive:
        positive = [pc.greater(made[name], pa.scalar(0, DURATION)) for name in declaration.usable_if_positive]
        any_positive = positive[0]
        for one in positive[1:]:
            any_positive = pc.or_(any_positive, one)
        usable = pc.and_(usable, pc.fill_null(any_positive, False))
    made["science_usable"] = usable
    if "proprietary_end_date" in made:
        today = pa.scalar(now.astimezone(UTC).replace(tzinfo=None), TIME)
        is_over = pc.fill_null(pc.less_equal(made["proprietary_end_date"], today), False)
        made["proprietary_usable"] = (
            pc.and_(made["proprietary_usable"], is_over) if "proprietary_usable" in made else is_over
        )
