"""What a value is and means: its type, unit, UCD. The description of a column, carried through an expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal as Choice
from typing import cast

from skyvault.model.table import GEOMETRY_XTYPES, INTEGRAL, NUMERIC, Column, Datatype

#: kinds of values, as far as operators tell them apart
ValueKind = Choice[
    "number", "text", "timestamp", "boolean", "point", "geometry", "interval", "array", "complex", "null"
]

INT = Column("", "int")
LONG = Column("", "long")
REAL = Column("", "float")
DOUBLE = Column("", "double")
TEXT = Column("", "char", "*")
#: the constant NULL, recognised by identity; when it must have a type it is a text
NULL = Column("", "char", "*")
COUNT = Column("", "long", ucd="meta.number")

_REGION_XTYPES = (GEOMETRY_XTYPES - {"point"}) | {
    "adql:region",
    "adql:circle",
    "adql:polygon",
    "adql:box",
    "region",
    "moc",
    "smoc",
    "shape",
    "multipolygon",
}
_KIND_NAMES: dict[ValueKind, str] = {
    "number": "a number",
    "text": "a text",
    "timestamp": "a timestamp",
    "boolean": "a truth value",
    "point": "a point",
    "geometry": "a geometry",
    "interval": "an interval",
    "array": "an array",
    "complex": "a complex number",
    "null": "NULL",
}


def kind_of(column: Column) -> ValueKind:
    """The kind of values a column (or the meaning of an expression) holds."""
    if column is NULL:
        return "null"
    xtype = column.xtype
    if xtype is not None:
        folded = xtype.lower()
        if folded in ("point", "adql:point"):
            return "point"
        if folded in _REGION_XTYPES:
            return "geometry"
        if folded == "interval":
            return "interval"
    datatype = column.datatype
    if column.is_array:
        return "array"
    if datatype in NUMERIC:
        return "number"
    if datatype in ("char", "unicodeChar"):
        return "timestamp" if column.is_timestamp else "text"
    return "complex" if datatype in ("floatComplex", "doubleComplex") else "boolean"


def told(kind: ValueKind) -> str:
    """The kind in words, with its article."""
    return _KIND_NAMES[kind]


# ---------------------------------------------------------------- types

_RANK: dict[str, int] = {"unsignedByte": 0, "short": 1, "int": 2, "long": 3, "float": 4, "double": 5}


def wider(left: str, right: str) -> Datatype:
    """The numeric type that holds values of both (VOTable names)."""
    low, high = sorted((left, right), key=_RANK.__getitem__)
    # 32-bit floats do not hold all 32-bit integers
    if high == "float" and low in ("int", "long"):
        return "double"
    return cast(Datatype, high)


def arithmetic_type(left: str, right: str) -> Datatype:
    """The type of a sum, difference, product or quotient; small integers are computed as int."""
    result = wider(left, right)
    return "int" if result in ("unsignedByte", "short") else result


def is_vector(column: Column) -> bool:
    """Whether values are arrays of numbers that can be computed with."""
    return column is not NULL and kind_of(column) == "array" and column.datatype in NUMERIC


@cache
def vector_of(datatype: Datatype, size: str | None = "*") -> Column:
    """The meaning of a computed array."""
    return Column("", "int" if datatype in ("unsignedByte", "short") else datatype, size or "*")


def is_integral(column: Column) -> bool:
    return column is not NULL and column.datatype in INTEGRAL and not column.is_array


@cache
def number(datatype: Datatype, unit: str | None = None, ucd: str | None = None) -> Column:
    """The meaning of a computed number."""
    return Column("", datatype, unit=unit or None, ucd=ucd)


def text_like(columns: Sequence[Column]) -> Column:
    """The meaning of a text computed from others: Unicode if one of them is."""
    wide = any(column.datatype == "unicodeChar" for column in columns)
    return Column("", "unicodeChar", "*") if wide else TEXT


_TYPES: dict[str, Column] = {
    "SMALLINT": Column("", "short"),
    "INTEGER": INT,
    "BIGINT": LONG,
    "REAL": REAL,
    "DOUBLE": DOUBLE,
    "DOUBLE PRECISION": DOUBLE,
    "NUMERIC": DOUBLE,
    "TEXT": TEXT,
    "CHAR": TEXT,
    "VARCHAR": TEXT,
    "TIMESTAMP": Column("", "char", "*", xtype="timestamp"),
    "POINT": Column("", "double", "2", xtype="point", unit="deg"),
    "CIRCLE": Column("", "double", "3", xtype="circle", unit="deg"),
    "POLYGON": Column("", "double", "*", xtype="polygon", unit="deg"),
    "REGION": Column("", "char", "*", xtype="adql:REGION"),
    "GEOMETRY": Column("", "char", "*", xtype="adql:REGION"),
    "MOC": Column("", "char", "*", xtype="moc"),
}
_ARRAY = re.compile(r"([A-Z ]+)\[([0-9]*)\]")


@cache
def column_of_type(type_name: str) -> Column:
    """The meaning of a value of an ADQL type as signatures write it ("BIGINT", "DOUBLE[6]"); unknown types are texts.

    ADQL 2.1, section 3 (types and their VOTable serialisation).
    """
    folded = " ".join(type_name.upper().split())
    array = _ARRAY.fullmatch(folded)
    if array is not None:
        return replace(_TYPES.get(array[1].strip(), DOUBLE), arraysize=array[2] or "*")
    return _TYPES.get(folded.partition("(")[0].strip(), TEXT)


def cast_to(source: Column, target: str, length: int | None) -> Column:
    """The meaning of CAST(source AS target); a number that stays one keeps its unit, UCD and description."""
    result = _TYPES[target]
    if target in ("CHAR", "VARCHAR"):
        size = "*" if length is None else f"{length}*" if target == "VARCHAR" else str(length)
        datatype: Datatype = "unicodeChar" if source.datatype == "unicodeChar" else "char"
        return Column("", datatype, size, ucd=source.ucd, utype=source.utype, description=source.description)
    if result.datatype in NUMERIC and result.xtype is None and kind_of(source) == "number":
        return Column(
            "",
            result.datatype,
            unit=source.unit,
            ucd=source.ucd,
            utype=source.utype,
            description=source.description,
            ref=source.ref,
        )
    return result


# ---------------------------------------------------------------- meanings


def computed(source: Column, datatype: Datatype | None = None) -> Column:
    """A number computed from one column that still means the same (rounded, smallest, of another precision)."""
    return Column(
        "",
        datatype or source.datatype,
        unit=source.unit,
        ucd=source.ucd,
        utype=source.utype,
        description=source.description,
        ref=source.ref,
    )


def with_statistic(ucd: str | None, word: str) -> str | None:
    """The UCD of a statistic of a column. Words like stat.mean are secondary in UCD1+, so they come last."""
    if not ucd or word in ucd.lower().split(";"):
        return ucd
    return f"{ucd};{word}"


def common_meaning(columns: Sequence[Column]) -> tuple[str | None, str | None, str | None, str | None]:
    """Unit, UCD, utype and description on which all the columns agree."""
    from skyvault.adql.units import same_unit

    first, rest = columns[0], columns[1:]
    unit = first.unit if all(same_unit(first.unit, other.unit) for other in rest) else None
    ucd = first.ucd if all(first.ucd == other.ucd for other in rest) else None
    utype = first.utype if all(first.utype == other.utype for other in rest) else None
    description = first.description if all(first.description == other.description for other in rest) else None
    return unit, ucd, utype, description
