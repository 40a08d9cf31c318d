"""Rejections: rows put aside for a reason that has a name, kept on disk, and taken back when the reason falls.

A table's column ``reject`` holds one bit for each tag (0: accepted); which bit belongs to which tag stands in the
table's metadata. A table of a session also remembers its rejections in a small file beside its data, by the rows' own
names (series, plate, mosaic, solution, exposure, time), so that they survive when the data are fetched anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyvault.errors import LimitError, ParameterError, StoreError
from skyvault.session.cells import values_and_mask
from skyvault.session.files import written_beside

if TYPE_CHECKING:
    from skyvault.session.plate_tables import PlateTable

#: where a table's metadata holds tag -> bit (from 0)
TAGS_KEY: Final = "daschlab_rejection_tags"
MOST_TAGS: Final = 64
_ROW_KEY: Final[tuple[str, ...]] = ("series", "platenum", "mosnum", "solnum", "expnum")


def bit_of(tags: dict[str, int], tag: str) -> int:
    """The bit of a tag: its own, or the first free one. Raises ParameterError for no tag, LimitError beyond 64."""
    if not isinstance(tag, str) or not tag.strip():
        raise ParameterError("A rejection needs a tag that says why", hint='For example tag="blend".')
    if tag in tags:
        return tags[tag]
    taken = set(tags.values())
    free = next((bit for bit in range(MOST_TAGS) if bit not in taken), None)
    if free is None:
        raise LimitError(f"There are {MOST_TAGS} rejection tags already", hint="Un-reject one of them first.")
    return free


class RejectionFile:
    """Where the rejections of one table are kept: a Parquet file of the rejected rows' names and bits."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, table: PlateTable[Any]) -> None:
        """Writes what is rejected now. Raises StoreError where the disk does not take it."""
        bits = np.asarray(table["reject"]).astype(np.uint64)
        tags = table.rejection_tags()
        if not tags and not bits.any():
            self.path.unlink(missing_ok=True)
            return
        rows = np.flatnonzero(bits)
        cells = {name: values[rows] for name, values in _row_names(table).items()} | {"row": rows, "reject": bits[rows]}
        held = pa.table({name: _column(values) for name, values in cells.items()})
        told = json.dumps({"version": 1, "tags": tags, "n_rows": len(table)})
        with written_beside(self.path) as beside:
            pq.write_table(
                held.replace_schema_metadata({b"skyvault": told.encode()}),
                beside,
                compression="none",
                write_statistics=False,
            )

    def restore(self, table: PlateTable[Any]) -> None:
        """Adds what was rejected before. Raises StoreError where the file is damaged."""
        try:
            held = pq.read_table(self.path, use_threads=False)
            told = json.loads(held.schema.metadata[b"skyvault"])
            tags = {str(tag): int(bit) for tag, bit in told["tags"].items()}
            rows = held["row"].to_numpy()
            bits = held["reject"].to_numpy().astype(np.uint64)
        except FileNotFoundError:
            return
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
            raise StoreError(
                "The rejections cannot be read",
                where=str(self.path),
                hint="Delete the file to go on without them.",
            ) from None
        if any(not 0 <= bit < MOST_TAGS for bit in tags.values()):
            raise StoreError("The rejections hold a bit beyond 64", where=str(self.path), hint="Delete the file.")
        if len(rows):
            rows, bits = _found_again(table, held, rows, bits)
            reject = np.asarray(table["reject"]).astype(np.uint64)
            reject[rows] |= bits
            table["reject"][:] = reject
        table.meta[TAGS_KEY] = dict(table.rejection_tags()) | tags


def _row_names(table: PlateTable[Any]) -> dict[str, np.ndarray[Any, Any]]:
    names: dict[str, np.ndarray[Any, Any]] = {}
    for name in _ROW_KEY:
        if name in table.colnames:
            values, mask = values_and_mask(table[name])
            names[name] = values.astype(str) if name == "series" else np.where(mask, -1, values.astype(np.int64))
    names["jd"] = np.round(table.julian_dates(), 5)
    return names


def _column(values: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(values.astype(object), type=pa.string()) if values.dtype.kind == "U" else pa.array(values)


def _found_again(
    table: PlateTable[Any], held: pa.Table, rows: np.ndarray[Any, Any], bits: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The rows meant, in the table as it is now; rows that it no longer holds are dropped."""
    names = _row_names(table)
    keys = [name for name in names if name in held.column_names]
    kept = {name: np.asarray(held[name].to_numpy(zero_copy_only=False)) for name in keys}
    if rows.max(initial=-1) < len(table):
        same = np.ones(len(rows), dtype=bool)
        for name in keys:
            now, then = names[name][rows], kept[name]
            same &= (now == then) if now.dtype.kind != "f" else ((now == then) | (np.isnan(now) & np.isnan(then)))
        if same.all():
            return rows, bits
    # the table has changed: one number for each name, in both
    code = np.zeros(len(table) + len(rows), dtype=np.int64)
    for name in keys:
        both = np.concatenate([names[name].astype(object), kept[name].astype(object)]).astype(str)
        distinct, which = np.unique(both, return_inverse=True)
        code = np.unique(code * distinct.size + which.reshape(code.shape), return_inverse=True)[1].reshape(code.shape)
    now, then = code[: len(table)], code[len(table) :]
    order = np.argsort(now, kind="stable")
    place = np.searchsorted(now[order], then)
    place = np.minimum(place, max(len(order) - 1, 0))
    found = now[order][place] == then if len(order) else np.zeros(len(then), dtype=bool)
    return order[place[found]] if len(order) else rows[:0], bits[found]
