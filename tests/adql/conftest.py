"""Tables the checker is tried on: stars, objects of another catalogue, observations with footprints."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from skyvault.model.table import Column, Table

STARS = Table(
    "lab.stars",
    (
        Column("source_id", "long", ucd="meta.id;meta.main", description="Identifier"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", description="Declination"),
        Column("mag_vt", "float", unit="mag", ucd="phot.mag;em.opt.V", utype="phot:vt"),
        Column("bv", "float", unit="mag", ucd="phot.color"),
        Column("pmra", "float", unit="mas/yr", ucd="pos.pm;pos.eq.ra"),
        Column("parallax", "double", unit="mas", ucd="pos.parallax.trig"),
        Column("hip", "int"),
        Column("class", "short"),
        Column("quality", "unsignedByte"),
        Column("completeness", "float", unit="%"),
        Column("Name", "char", "*", description="Common name"),
        Column("remark", "unicodeChar", "40*"),
        Column("observed", "char", "*", xtype="timestamp"),
        Column("flux", "float", "41", unit="Jy", ucd="phot.flux"),
        Column("images", "short", "16x16"),
        Column("place", "double", "2", xtype="point", unit="deg"),
        Column("is_variable", "boolean"),
        Column("size", "float", unit="arcsec"),
        Column("id", "char", "12", id="column_17"),
    ),
)
OTHER = Table(
    "lab.other",
    (
        Column("source_id", "int"),
        Column("ra", "double", unit="deg"),
        Column("dec", "double", unit="deg"),
        Column("redshift", "double"),
        Column("Flag", "int"),
        Column("FLAG", "int"),
    ),
)
OBSCORE = Table(
    "ivoa.ObsCore",
    (
        Column("obs_id", "char", "*"),
        Column("s_ra", "double", unit="deg"),
        Column("s_dec", "double", unit="deg"),
        Column("s_region", "char", "*", xtype="adql:REGION"),
        Column("footprint", "char", "*"),
        Column("outline", "double", "*", xtype="polygon"),
        Column("t_range", "double", "2", xtype="interval", unit="d"),
        Column("access_url", "char", "*"),
    ),
)
OBJECTS_HERE = Table("here.objects", (Column("x", "int"),))
OBJECTS_THERE = Table("there.objects", (Column("y", "int"),))
MIXED = Table("Mixed.Case", (Column("Value", "double"),))
COLUMNS = Table("tap_schema.columns", (Column("column_name", "char", "*"), Column("size", "int")))


class Holdings:
    """A TableLookup over a few described tables."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = list(tables)

    def find(self, parts: tuple[tuple[str, bool], ...]) -> Table | None:
        for table in self._tables:
            names = table.name.split(".")
            if len(names) == len(parts) and all(
                text == name if quoted else text.lower() == name.lower()
                for (text, quoted), name in zip(parts, names, strict=True)
            ):
                return table
        return None

    def names(self) -> Iterable[str]:
        return [table.name for table in self._tables]


@pytest.fixture(scope="session")
def tables() -> Holdings:
    return Holdings((STARS, OTHER, OBSCORE, OBJECTS_HERE, OBJECTS_THERE, MIXED, COLUMNS))
