"""Example queries for the published tables: each runs as it stands, and finds something.

They are made from what was measured at ingest (coverage, extremes, row counts), shown on the pages for people and
served as a DALI-examples document (DALI 1.1, section 2.3; TAP 1.1, section 2.4.4) that pyvo and TOPCAT read. Clients
check them with parsers of ADQL 2.0, so they are valid in 2.0 and 2.1 alike: 'ICRS' in geometries (deprecated by 2.1),
no functions in GROUP BY, no IN_UNIT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skyvault.model.table import FLOATING, INTEGRAL, NUMERIC, Column
from skyvault.serve.page_sky import SKY_DEG2, cells_of
from skyvault.store import obscore
from skyvault.store.tap_schema import spelled, spelled_name
from skyvault.store.view import Shelved, View, split_name

#: tables beyond this number get no examples of their own; their pages still do
MOST_TABLES = 100
#: columns a list of examples names; wider tables show their most interesting ones
FEW_COLUMNS = 6
#: the order of the cells around which examples search: a degree wide
PLACE_ORDER = 6
#: the coordinate system argument that ADQL 2.0 demands
FRAME = "'ICRS', "


@dataclass(frozen=True, slots=True)
class Example:
    """One query worth running. ``table`` is the published table it is about; ``upload`` asks for a table ``mine``."""

    id: str
    name: str
    description: str
    query: str
    table: str
    upload: bool = False

    @property
    def spelled_table(self) -> str:
        """The table's name as queries write it: some names are words of ADQL."""
        return spelled_name(self.table)


def examples(view: View) -> list[Example]:
    """Examples over all that is published: TAP_SCHEMA first, then ObsCore, then the other tables by name."""
    published = sorted(_published(view), key=lambda shelf: (shelf.table.name != obscore.NAME, shelf.table.name.lower()))
    found = list(_schema_examples(published))
    for shelf in published[:MOST_TABLES]:
        found += table_examples(shelf)
    # a publisher's example may be about several tables of a resource
    return list({(one.name, one.query): one for one in reversed(found)}.values())[::-1]


def _published(view: View) -> list[Shelved]:
    return [shelf for shelf in view.tables.values() if shelf.file is not None]


def table_examples(shelf: Shelved) -> list[Example]:
    """Examples for one table: the publisher's own, then what can be made for any, the plainest first."""
    if shelf.file is None:
        return list(_schema_table_examples(shelf))
    own = list(_publishers(shelf))
    makers = (_first_rows, _brightest, _cone, _region, _histogram, _kinds, _upload_join)
    return own + [example for make in makers if (example := make(shelf)) is not None]


def _publishers(shelf: Shelved) -> Iterator[Example]:
    """What the resource.yaml of a table gives for people to begin with: queries of this table, or of ivoa.ObsCore."""
    name = shelf.table.name
    about = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)|\bivoa\.ObsCore\b", re.IGNORECASE)
    for number, said in enumerate((shelf.extra.get("resource") or {}).get("examples") or (), 1):
        if about.search(said["query"]):
            yield Example(
                _id(name, f"own{number}"), said["name"], said.get("description") or "", said["query"].strip(), name
            )


# ---------------------------------------------------------------- TAP_SCHEMA


def _schema_examples(published: list[Shelved]) -> Iterator[Example]:
    yield Example(
        "tables",
        "All tables",
        "What is published here, and what each table holds.",
        "SELECT table_name, description\nFROM TAP_SCHEMA.tables\nORDER BY table_name",
        "TAP_SCHEMA.tables",
    )
    if published:
        name = spelled_name(published[0].table.name).replace("'", "''")
        yield Example(
            "columns",
            "Columns of a table",
            f"Names, units and meaning of the columns of {published[0].table.name}.",
            "SELECT column_name, datatype, unit, ucd, description\nFROM TAP_SCHEMA.columns\n"
            f"WHERE table_name = '{name}'\nORDER BY column_index",
            "TAP_SCHEMA.columns",
        )
        yield Example(
            "positions",
            "Find positions by UCD",
            "Which columns of which tables hold right ascensions.",
            "SELECT table_name, column_name, unit\nFROM TAP_SCHEMA.columns\nWHERE ucd LIKE 'pos.eq.ra%'",
            "TAP_SCHEMA.columns",
        )


def _schema_table_examples(shelf: Shelved) -> Iterator[Example]:
    name = shelf.table.name
    yield Example(
        _id(name, "rows"), "All rows", f"Everything {name} says.", f"SELECT *\nFROM {spelled_name(name)}", name
    )


# ---------------------------------------------------------------- any table


def _first_rows(shelf: Shelved) -> Example:
    name = shelf.table.name
    return Example(
        _id(name, "rows"),
        f"Ten rows of {name}",
        "A first look at the table, all columns.",
        f"SELECT TOP 10 *\nFROM {spelled_name(name)}",
        name,
    )


def _brightest(shelf: Shelved) -> Example | None:
    table = shelf.table
    column = next((c for c in _measured(shelf) if (c.ucd or "").startswith("phot.mag")), None)
    if column is None:
        return None
    magnitude = spelled(column.name)
    shown = list(dict.fromkeys([*_telling(shelf), magnitude]))
    return Example(
        _id(table.name, "brightest"),
        f"The brightest of {table.name}",
        f"The ten rows with the smallest {column.name}.",
        f"SELECT TOP 10 {', '.join(shown)}\nFROM {spelled_name(table.name)}\n"
        f"WHERE {magnitude} IS NOT NULL\nORDER BY {magnitude}",
        table.name,
    )


def _histogram(shelf: Shelved) -> Example | None:
    """Counts in bins of a measured quantity: a magnitude where there is one."""
    table = shelf.table
    columns = _measured(shelf)
    if not columns:
        return None
    column = min(columns, key=lambda c: not (c.ucd or "").startswith("phot.mag"))
    facts = _statistics(shelf)[column.name]
    width = _round_number((float(facts["maximum"]) - float(facts["minimum"])) / 20)
    name, step = spelled(column.name), _number(width)
    low = name if column.datatype in INTEGRAL and width <= 1 else f"FLOOR({name} / {step}) * {step}"
    unit = f" {column.unit}" if column.unit else ""
    return Example(
        _id(table.name, "histogram"),
        f"How {column.name} is distributed in {table.name}",
        f"Rows (n) counted in bins of {step}{unit}; low is where each bin begins.",
        f"SELECT low, COUNT(*) AS n\nFROM (\n  SELECT {low} AS low\n  FROM {spelled_name(table.name)}\n"
        f"  WHERE {name} IS NOT NULL\n) AS binned\nGROUP BY low\nORDER BY low",
        table.name,
    )


def _kinds(shelf: Shelved) -> Example | None:
    """ObsCore: what there is, by collection and type."""
    table = shelf.table
    names = {column.name.lower(): column.name for column in table.columns}
    if "dataproduct_type" not in names or "obs_collection" not in names:
        return None
    keys = f"{spelled(names['obs_collection'])}, {spelled(names['dataproduct_type'])}"
    return Example(
        _id(table.name, "kinds"),
        f"Collections and types in {table.name}",
        "How many images, spectra and others each collection has.",
        f"SELECT {keys}, COUNT(*) AS observations\nFROM {spelled_name(table.name)}\nGROUP BY {keys}\nORDER BY {keys}",
        table.name,
    )


# ---------------------------------------------------------------- on the sky


def _cone(shelf: Shelved) -> Example | None:
    """A cone that holds something: around the centre of a cell that holds rows, as wide as the cell."""
    if not shelf.stored.positions or shelf.stored.regions or (place := some_place(shelf)) is None:
        return None
    table, (lon, lat, radius) = shelf.table, place
    return Example(
        _id(table.name, "cone"),
        f"Cone search in {table.name}",
        f"Rows within {radius:g} deg of RA {lon:g}, Dec {lat:g} (ICRS).",
        f"SELECT TOP 100 {', '.join(_telling(shelf))}\nFROM {spelled_name(table.name)}\n"
        f"WHERE 1 = CONTAINS({_point(shelf, FRAME)}, CIRCLE('ICRS', {lon:g}, {lat:g}, {radius:g}))",
        table.name,
    )


def _region(shelf: Shelved) -> Example | None:
    """Footprints that meet a circle."""
    if not shelf.stored.regions or (place := some_place(shelf)) is None:
        return None
    table, (lon, lat, radius) = shelf.table, place
    region = spelled(table.columns[shelf.stored.regions[0].column].name)
    names = {column.name.lower(): spelled(column.name) for column in table.columns}
    wanted = ("obs_id", "target_name", "dataproduct_type", "t_min", "access_url")
    shown = [names[name] for name in wanted if name in names] or _telling(shelf)
    return Example(
        _id(table.name, "region"),
        f"What {table.name} has of a field",
        f"Rows whose {region} meets a circle of {radius:g} deg around RA {lon:g}, Dec {lat:g} (ICRS).",
        f"SELECT TOP 100 {', '.join(dict.fromkeys([*shown, region]))}\nFROM {spelled_name(table.name)}\n"
        f"WHERE 1 = INTERSECTS(CIRCLE('ICRS', {lon:g}, {lat:g}, {radius:g}), {region})",
        table.name,
    )


def _upload_join(shelf: Shelved) -> Example | None:
    if not shelf.stored.positions or shelf.stored.regions:
        return None
    table, place = shelf.table, shelf.stored.positions[0]
    if place.point is not None:
        here = f"t.{spelled(table.columns[place.point].name)}"
    else:
        here = f"POINT('ICRS', {', '.join(f't.{name}' for name in _coordinates(shelf))})"
    there = "POINT('ICRS', mine.ra, mine.dec)"
    shown = ", ".join(f"t.{name}" for name in _telling(shelf))
    return Example(
        _id(table.name, "upload"),
        f"My own list against {table.name}",
        "Upload a table named mine with columns ra and dec (degrees, ICRS); its rows are joined within 2 arcsec.",
        f"SELECT mine.*, {shown},\n  DISTANCE({there}, {here}) AS separation\n"
        f"FROM TAP_UPLOAD.mine AS mine\nJOIN {spelled_name(table.name)} AS t\n"
        f"  ON DISTANCE({there}, {here}) < 2 / 3600.",
        table.name,
        upload=True,
    )


def cone_query(shelf: Shelved, lon: float, lat: float, radius: float) -> str:
    """ADQL for all columns within ``radius`` degrees of a position, the nearest first. The table has positions."""
    centre = f"POINT({_number(lon)}, {_number(lat)})"
    return (
        f"SELECT IN_UNIT(DISTANCE({_point(shelf)}, {centre}), 'arcsec') AS separation, t.*\n"
        f"FROM {spelled_name(shelf.table.name)} AS t\n"
        f"WHERE 1 = CONTAINS({_point(shelf)}, CIRCLE({_number(lon)}, {_number(lat)}, {_number(radius)}))\n"
        "ORDER BY separation"
    )


def _point(shelf: Shelved, frame: str = "") -> str:
    place = shelf.stored.positions[0]
    if place.point is not None:
        return spelled(shelf.table.columns[place.point].name)
    return f"POINT({frame}{', '.join(_coordinates(shelf))})"


def _coordinates(shelf: Shelved) -> list[str]:
    """The position's columns as a query must write them: longitude and latitude, or the point."""
    place = shelf.stored.positions[0]
    return [spelled(shelf.table.columns[i].name) for i in (place.lon, place.lat, place.point) if i is not None]


def some_place(shelf: Shelved) -> tuple[float, float, float] | None:
    """A circle (lon, lat, radius in degrees) that surely meets data: it surrounds a covered cell.

    The cell lies in the midst of others. There, in dense tables, the circle is smaller, but so that some hundred rows
    are expected in it.
    """
    import numpy as np

    from skyvault.errors import RegionError
    from skyvault.model.region import CELLS_29, Moc
    from skyvault.sky.cells import cell_centers, largest_cell_radius, neighbours

    try:
        moc = Moc.from_text(str(shelf.extra.get("coverage") or ""))
    except RegionError:
        return None
    if not len(moc.ranges):
        return None
    if shelf.stored.regions:
        # footprints are known by cells of many sizes; around a fine one there is least to search
        order = max(order for order, _ in moc.cells())
        finest = [cell for own, cell in moc.cells() if own == order]
        lon, lat = (round(float(value[0]), 2) for value in cell_centers(order, finest[len(finest) // 2 :][:1]))
        return lon, lat, math.ceil(math.degrees(largest_cell_radius(order)) * 15) / 10
    cells = cells_of(moc, PLACE_ORDER)
    around = np.isin(neighbours(PLACE_ORDER, cells), cells).sum(axis=1)
    inmost = np.flatnonzero(around == around.max())
    chosen = inmost[len(inmost) // 2]
    lon, lat = (round(float(value[0]), 2) for value in cell_centers(PLACE_ORDER, cells[chosen : chosen + 1]))
    # rounding the centre and the radius up keeps the whole cell inside
    radius = math.ceil(math.degrees(largest_cell_radius(PLACE_ORDER)) * 10 + 0.2) / 10
    if around[chosen] < 9:
        return lon, lat, radius
    covered_deg2 = float((moc.ranges[:, 1] - moc.ranges[:, 0] + 1).sum()) / CELLS_29 * SKY_DEG2
    expected = shelf.stored.nrows / covered_deg2 * math.pi * radius**2
    if expected > 2000:
        radius = _round_number(radius * math.sqrt(300 / expected))
    return lon, lat, radius


# ---------------------------------------------------------------- columns worth showing


def _statistics(shelf: Shelved) -> dict[str, dict[str, Any]]:
    return {facts["name"]: facts for facts in shelf.extra.get("statistics", ())}


def _measured(shelf: Shelved) -> list[Column]:
    """Numbers that vary and are no position, identifier or index."""
    facts = _statistics(shelf)
    places = {i for place in shelf.stored.positions for i in (place.lon, place.lat, place.point)}
    found = []
    for index, column in enumerate(shelf.table.columns):
        if index in places or column.datatype not in NUMERIC or column.is_array or column.is_timestamp:
            continue
        if (column.ucd or "").startswith(("meta.id", "pos.eq", "pos.galactic", "pos.ecliptic")):
            continue
        known = facts.get(column.name, {})
        low, high = known.get("minimum"), known.get("maximum")
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not known.get("filled"):
            continue
        if math.isfinite(low) and math.isfinite(high) and low < high:
            found.append(column)
    return sorted(found, key=lambda column: column.datatype not in FLOATING)


def _telling(shelf: Shelved) -> list[str]:
    """A few columns that say what a row is: identifier, position, then what is principal or comes first."""
    table = shelf.table
    places = [i for p in shelf.stored.positions[:1] for i in (p.lon, p.lat, p.point) if i is not None]
    identifiers = [i for i, c in enumerate(table.columns) if (c.ucd or "").startswith("meta.id;meta.main")]
    principal = [i for i, c in enumerate(table.columns) if c.principal]
    plain = [i for i, c in enumerate(table.columns) if not c.is_array]
    chosen = list(dict.fromkeys([*identifiers, *places, *principal, *plain, *range(len(table.columns))]))[:FEW_COLUMNS]
    return [spelled(table.columns[i].name) for i in chosen]


def _round_number(value: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, on a logarithmic scale."""
    power = 10.0 ** math.floor(math.log10(value))
    return min((power * step for step in (1, 2, 5, 10)), key=lambda one: abs(math.log(one / value)))


def _number(value: float) -> str:
    """A number as ADQL writes it, as short as reads back the same."""
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text


def _id(table: str, kind: str) -> str:
    """An identifier that an XML document may hold once (XML 1.0, section 2.3)."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"{'-'.join(split_name(table))}-{kind}").lstrip("-0123456789")


__all__ = ["Example", "cone_query", "examples", "table_examples"]
