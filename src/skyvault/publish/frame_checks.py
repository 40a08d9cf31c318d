"""Which times and magnitudes of a resource's tables nobody can compare with others, since no frame is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from skyvault.errors import SkyvaultError
from skyvault.publish.checker import Finding
from skyvault.publish.inference import infer
from skyvault.publish.resource_publisher import overrides_of

if TYPE_CHECKING:
    from skyvault.model.table import Column, Table
    from skyvault.publish.resource_file import ResourceFile

#: columns of one table that are named
_MOST: Final = 5
#: UCDs of instants (durations and periods have no scale)
_INSTANTS: Final = ("time.epoch", "time.start", "time.end", "time.obs")


def frame_findings(file: ResourceFile) -> Iterator[Finding]:
    """Times without a scale, magnitudes without a filter, and words about frames that no vocabulary knows."""
    from skyvault.formats import open_table

    try:
        root = file.root
    except SkyvaultError:
        # told by the check of the sources
        return
    for name, section in file.resource.tables.items():
        if section.source is None or not (root / section.source).is_file():
            continue
        place = file.place("tables", name)
        try:
            stream = open_table(root / section.source)
            try:
                table = infer(stream.table, f"{file.resource.schema_name}.{name}", overrides_of(section)).spec.table
            finally:
                with suppress(ValueError):
                    getattr(stream.batches, "close", lambda: None)()
        except SkyvaultError as problem:
            said = f"{problem.where}: {problem.what}" if problem.where else problem.what
            yield Finding("error", place, said, problem.hint or "")
            continue
        # ObsCore and EPN-TAP say which clock their times are of
        if not (section.obscore or section.epntap):
            yield from _unframed(table, place)


def _unframed(table: Table, place: str) -> Iterator[Finding]:
    for what, columns, hint in (
        (
            "times without a scale",
            _times(table),
            "timescale: UTC, TT or TDB, and refposition:, say which clock they are of.",
        ),
        ("magnitudes without a filter", _magnitudes(table), "filter: says in which photometric system they are."),
    ):
        if columns:
            names = ", ".join(one.name for one in columns[:_MOST]) + (", ..." if len(columns) > _MOST else "")
            yield Finding("note", place, f"{what}: {names}", hint)


def _times(table: Table) -> list[Column]:
    return [
        one
        for one in table.columns
        if one.ref is None and ((one.ucd or "").lower().startswith(_INSTANTS) or one.is_timestamp)
    ]


def _magnitudes(table: Table) -> list[Column]:
    return [one for one in table.columns if one.ref is None and (one.ucd or "").lower().startswith("phot.mag")]
