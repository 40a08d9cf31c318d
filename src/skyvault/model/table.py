"""What a table is and what its columns mean: names, types, units, UCDs, descriptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

#: VOTable primitive types (VOTable 1.4, section 2.1).
Datatype = Literal[
    "boolean",
    "bit",
    "unsignedByte",
    "short",
    "int",
    "long",
    "char",
    "unicodeChar",
    "float",
    "double",
    "floatComplex",
    "doubleComplex",
]

NUMERIC: frozenset[str] = frozenset({"unsignedByte", "short", "int", "long", "float", "double"})
INTEGRAL: frozenset[str] = frozenset({"unsignedByte", "short", "int", "long"})
FLOATING: frozenset[str] = frozenset({"float", "double"})
TEXT: frozenset[str] = frozenset({"char", "unicodeChar"})
#: xtypes whose values are a fixed or variable list of floating-point numbers in degrees (DALI 1.1, section 3.3).
GEOMETRY_XTYPES: frozenset[str] = frozenset({"point", "circle", "polygon", "range"})


@dataclass(frozen=True, slots=True)
class Link:
    """A LINK of a column or table: where to read more, or a URL template."""

    href: str
    content_type: str | None = None
    content_role: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class CoordinateFrame:
    """A COOSYS: the frame positions are given in."""

    id: str
    system: str = "ICRS"
    epoch: str | None = None
    equinox: str | None = None
    refposition: str | None = None


@dataclass(frozen=True, slots=True)
class TimeFrame:
    """A TIMESYS: scale, origin (JD, or "JD-origin"/"MJD-origin") and reference position of times."""

    id: str
    timescale: str
    refposition: str
    timeorigin: str | None = None


@dataclass(frozen=True, slots=True)
class Info:
    """A named remark: VOTable INFO, FITS card, comment line."""

    name: str
    value: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One described column (or a named constant, when it has a ``value``).

    ``datatype`` is a VOTable primitive type; ``arraysize`` is VOTable's notation (None = scalar, "*" = any length,
    "12", "8*", "3x*"). Text is ``char`` or ``unicodeChar`` with an arraysize. ``xtype`` refines the type
    ("timestamp", "point", "circle", "polygon", "adql:REGION", "interval", "moc" ...).
    """

    name: str
    datatype: Datatype
    arraysize: str | None = None
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    description: str | None = None
    id: str | None = None
    ref: str | None = None
    nullable: bool = True
    indexed: bool = False
    principal: bool = False
    std: bool = False
    #: the text of VALUES/@null: the integer that stands for NULL in BINARY and TABLEDATA
    null: str | None = None
    #: VALUES MIN and MAX as text
    minimum: str | None = None
    maximum: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    width: int | None = None
    precision: str | None = None
    links: tuple[Link, ...] = ()
    #: the value, for a PARAM
    value: str | None = None

    @property
    def is_text(self) -> bool:
        return self.datatype in TEXT

    @property
    def is_array(self) -> bool:
        """Whether a cell holds several numbers (text is one value, not an array of characters)."""
        if self.arraysize in (None, "", "1"):
            return False
        return not self.is_text or "x" in str(self.arraysize)

    @property
    def is_timestamp(self) -> bool:
        return self.is_text and (self.xtype or "").lower() in ("timestamp", "adql:timestamp")

    def renamed(self, name: str) -> Column:
        return replace(self, name=name)


@dataclass(frozen=True, slots=True)
class Group:
    """A GROUP: columns and constants that belong together."""

    name: str | None = None
    id: str | None = None
    ucd: str | None = None
    utype: str | None = None
    ref: str | None = None
    description: str | None = None
    column_refs: tuple[str, ...] = ()
    param_refs: tuple[str, ...] = ()
    params: tuple[Column, ...] = ()
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A link from columns of this table to columns of another: pairs of (own column, other column)."""

    id: str
    target_table: str
    columns: tuple[tuple[str, str], ...]
    description: str | None = None
    utype: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A described table. ``name`` is qualified ("schema.table") for published tables, plain for files."""

    name: str
    columns: tuple[Column, ...]
    description: str | None = None
    title: str | None = None
    utype: str | None = None
    ucd: str | None = None
    id: str | None = None
    kind: Literal["table", "view"] = "table"
    nrows: int | None = None
    params: tuple[Column, ...] = ()
    infos: tuple[Info, ...] = ()
    groups: tuple[Group, ...] = ()
    links: tuple[Link, ...] = ()
    frames: tuple[CoordinateFrame, ...] = ()
    time_frames: tuple[TimeFrame, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = field(default=())

    @property
    def schema(self) -> str:
        return self.name.rpartition(".")[0]

    def column(self, name: str) -> Column:
        """The column of exactly this name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)
