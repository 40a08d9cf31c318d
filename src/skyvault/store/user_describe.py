"""What a user's table is: its columns as they were sent, made fit to be queried, and where its positions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skyvault.errors import IngestError, TooLarge
from skyvault.model.frames import is_photometric
from skyvault.model.table import NUMERIC, Column, CoordinateFrame, Table
from skyvault.store.snapshot import Spec

#: letters of a text that somebody sent which are kept
MOST_NAME, MOST_TEXT = 200, 4000
#: letters of all columns' descriptions together: the ledger keeps them
MOST_TEXTS = 400_000
#: photometric systems of a table
MOST_SYSTEMS = 100
#: names of positions in degrees, where no UCD says so; lower case
_POSITION_NAMES = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("_raj2000", "_dej2000"),
    ("ra_icrs", "de_icrs"),
    ("s_ra", "s_dec"),
)
_DEGREES = (None, "", "deg", "degree", "degrees")
_REGION_XTYPES = ("adql:region", "region", "stc-s", "shape")


def describe(table: Table, name: str, *, position: Sequence[str] | None = None, most_columns: int = 1000) -> Spec:
    """How to store a table that somebody sent: types, units and UCDs are kept.

    ``position`` names one column of points or two of degrees; without it the UCDs decide, then usual names. Raises
    IngestError for columns that cannot be told apart or a position that is none, TooLarge for too many columns.
    """
    if not table.columns:
        raise IngestError("the table has no columns", where=name)
    if len(table.columns) > most_columns:
        raise TooLarge(f"the table has {len(table.columns)} columns; at most {most_columns} are taken")
    columns = [_cleaned(column, i) for i, column in enumerate(table.columns)]
    refuse_duplicate_names(columns, name)
    if sum(len(column.description or "") for column in columns) > MOST_TEXTS:
        raise TooLarge(f"the columns' descriptions have more than {MOST_TEXTS:,} letters", hint="Shorten them.")
    lon, lat, point = _asked(columns, position, name) if position else _found(columns)
    systems = tuple(replace(group, column_refs=()) for group in table.groups if is_photometric(group))
    refs = {frame.id for frame in table.frames} | {frame.id for frame in table.time_frames}
    refs |= {str(group.id) for group in systems}
    columns = [column if column.ref in refs else replace(column, ref=None) for column in columns]
    frames = table.frames
    if (lon is not None or point is not None) and not frames:
        frames = (CoordinateFrame("icrs", "ICRS"),)
    if frames:
        for i in (lon, lat, point):
            if i is not None and columns[i].ref is None:
                columns[i] = replace(columns[i], ref=frames[0].id)
    described = Table(
        name,
        tuple(columns),
        description=_clipped(table.description),
        title=_clipped(table.title),
        utype=_clipped(table.utype),
        frames=frames,
        time_frames=table.time_frames,
        groups=systems[:MOST_SYSTEMS],
    )
    regions = tuple(i for i, column in enumerate(columns) if _is_region(column))
    return Spec(described, lon, lat, point, regions)


def _cleaned(column: Column, index: int) -> Column:
    name = "".join(c for c in column.name.strip() if c.isprintable()) or f"col{index + 1}"
    if len(name) > MOST_NAME:
        raise IngestError(f"the name of column {index + 1} has {len(name)} letters; at most {MOST_NAME} are taken")
    return replace(
        column,
        name=name,
        description=_clipped(column.description),
        unit=_clipped(column.unit),
        ucd=_clipped(column.ucd),
        utype=_clipped(column.utype),
        value=None,
        id=None,
        links=(),
        indexed=False,
        std=False,
        arraysize=None if column.arraysize == "1" else column.arraysize,
    )


def _clipped(text: str | None) -> str | None:
    return None if text is None else text[:MOST_TEXT]


def refuse_duplicate_names(columns: Sequence[Column], name: str) -> None:
    """Raise IngestError where two columns of a table bear one name."""
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise IngestError(
                f"two columns are called {column.name!r}",
                where=name,
                hint="Give them different names: a query could not tell them apart.",
            )
        seen.add(column.name)


def _asked(columns: Sequence[Column], position: Sequence[str], name: str) -> tuple[int | None, int | None, int | None]:
    by_name = {column.name.lower(): i for i, column in enumerate(columns)}
    found = []
    for part in position:
        i = by_name.get(part.strip().strip('"').lower())
        if i is None:
            raise IngestError(f"there is no column {part.strip()[:64]!r} for the position", where=name)
        found.append(i)
    if len(found) == 1 and columns[found[0]].xtype == "point" and columns[found[0]].datatype in ("float", "double"):
        return None, None, found[0]
    if len(found) == 2 and all(_is_angle(columns[i]) for i in found):
        return found[0], found[1], None
    raise IngestError(
        "the position must be one column of points, or two columns of numbers in degrees",
        where=name,
        hint="Write POSITION=ra,dec.",
    )


def _found(columns: Sequence[Column]) -> tuple[int | None, int | None, int | None]:
    for suffix in (";meta.main", ""):
        pair = [_with_ucd(columns, f"pos.eq.{axis}{suffix}") for axis in ("ra", "dec")]
        if pair[0] is not None and pair[1] is not None:
            return pair[0], pair[1], None
    for i, column in enumerate(columns):
        if column.xtype == "point" and column.datatype in ("float", "double"):
            return None, None, i
    by_name = {column.name.lower(): i for i, column in enumerate(columns)}
    for a, b in _POSITION_NAMES:
        if a in by_name and b in by_name and all(_is_angle(columns[by_name[one]]) for one in (a, b)):
            return by_name[a], by_name[b], None
    return None, None, None


def _with_ucd(columns: Sequence[Column], ucd: str) -> int | None:
    return next((i for i, c in enumerate(columns) if (c.ucd or "").lower() == ucd and _is_angle(c)), None)


def _is_angle(column: Column) -> bool:
    return not column.is_array and column.datatype in NUMERIC and column.unit in _DEGREES


def _is_region(column: Column) -> bool:
    xtype = (column.xtype or "").lower()
    if column.is_text and not column.is_array:
        return xtype in _REGION_XTYPES
    return column.datatype in ("float", "double") and xtype in ("circle", "polygon")
