"""What a file says about itself, and what its names give away: types, units, UCDs, positions, identifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skyvault.errors import IngestError
from skyvault.model.table import INTEGRAL, NUMERIC, Column, Table
from skyvault.publish.column_frames import COLUMN_WORDS, with_frames
from skyvault.store.snapshot import Spec
from skyvault.store.user_describe import refuse_duplicate_names

#: pairs of names of a main position, in order of preference; lower case
POSITION_NAMES: tuple[tuple[str, str], ...] = (
    ("s_ra", "s_dec"),
    ("ra", "dec"),
    ("ra", "de"),
    ("ra", "declination"),
    ("raj2000", "dej2000"),
    ("_raj2000", "_dej2000"),
    ("ra_icrs", "de_icrs"),
    ("_ra", "_de"),
    ("ra_deg", "dec_deg"),
    ("radeg", "decdeg"),
    ("radeg", "dedeg"),
    ("ra_j2000", "dec_j2000"),
    ("ramean", "decmean"),
    ("coord_ra", "coord_dec"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("right_ascension", "declination"),
)
#: a column's name that is a value: the file has no header line
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*")
ID_NAMES = ("source_id", "objid", "object_id", "obj_id", "designation", "obs_publisher_did", "obs_id", "id", "name")


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column of this name usually is; applied only where the file says nothing."""

    pattern: str
    ucd: str | None = None
    unit: str | None = None
    description: str | None = None
    xtype: str | None = None
    #: a number that no such column holds but to say "none"
    null: str | None = None


GUESSES: tuple[Guess, ...] = (
    Guess(r"(e_|err_?|sigma_?)?ra_?(err(or)?)", "stat.error;pos.eq.ra"),
    Guess(r"(e_|err_?|sigma_?)?dec?_?(err(or)?)", "stat.error;pos.eq.dec"),
    Guess(r"pm_?ra(_?cosdec)?|pmra", "pos.pm;pos.eq.ra", "mas/yr", "Proper motion in right ascension, times cos(dec)"),
    Guess(r"pm_?dec?|pmde(c)?", "pos.pm;pos.eq.dec", "mas/yr", "Proper motion in declination"),
    Guess(r"plx|parallax", "pos.parallax.trig", "mas", "Trigonometric parallax"),
    Guess(r"(e_|err_)?(plx|parallax)_?(err(or)?)", "stat.error;pos.parallax.trig", "mas"),
    Guess(r"(.*_)?mag_?b(t|mag)?|bmag|btmag", "phot.mag;em.opt.B", "mag"),
    Guess(r"(.*_)?mag_?v(t|mag)?|vmag|vtmag", "phot.mag;em.opt.V", "mag"),
    Guess(r"phot_g_mean_mag|gmag", "phot.mag;em.opt", "mag"),
    Guess(r"jmag|j_m", "phot.mag;em.IR.J", "mag"),
    Guess(r"hmag|h_m", "phot.mag;em.IR.H", "mag"),
    Guess(r"kmag|k_m|ksmag", "phot.mag;em.IR.K", "mag"),
    Guess(r"(.*_)?mag(nitude)?(_.*)?", "phot.mag", "mag"),
    Guess(r"b_?v|b-v|bt_?vt", "phot.color;em.opt.B;em.opt.V", "mag", "Colour index B-V"),
    Guess(r"flux(_.*)?", "phot.flux"),
    Guess(r"redshift|z_?spec", "src.redshift", "", "Redshift"),
    Guess(r"hip(_?(id|no|num(ber)?))?", "meta.id.cross", None, "Hipparcos number", null="-1"),
    Guess(r"mjd(_.*)?", "time.epoch", "d", "Time as Modified Julian Date"),
    Guess(r"(jd|hjd|bjd)(_.*)?", "time.epoch", "d", "Time as Julian Date"),
    Guess(r"s_region", "pos.outline;obs.field", None, "Region covered by the observation", "adql:REGION"),
)


@dataclass(slots=True)
class Inferred:
    """A described table ready to be built, and sentences telling what was guessed."""

    spec: Spec
    notes: list[str] = field(default_factory=list)


def infer(table: Table, name: str, overrides: Mapping[str, Any] | None = None) -> Inferred:
    """Describe a table as it will be published under ``name``.

    ``overrides`` may hold "description", "title", "utype", "position" ([ra, dec] or [point]), "id", "frame" and
    "columns" (name -> {unit, ucd, utype, xtype, description, name, null} and the words about frames of
    :mod:`skyvault.publish.column_frames`). Raises IngestError when they name what is not there.
    """
    given = dict(overrides or {})
    notes: list[str] = []
    columns = [_clean(column) for column in table.columns]
    numbers = [column.name for column in columns if _NUMBER.fullmatch(column.name)]
    if 2 * len(numbers) >= len(columns) > 0:
        notes.append(f"warning: columns are called {', '.join(numbers[:3])}: does the file lack a line of names?")
    columns = [_guessed(column, notes) for column in columns]
    columns = _apply_columns(columns, given.get("columns", {}))
    refuse_duplicate_names(columns, name)
    lon, lat, point = _position(columns, given.get("position"), notes)
    if lon is not None and lat is not None:
        columns[lon] = _as_coordinate(columns[lon], "pos.eq.ra;meta.main", "Right ascension (ICRS)")
        columns[lat] = _as_coordinate(columns[lat], "pos.eq.dec;meta.main", "Declination (ICRS)")
    _identify(columns, given.get("id"), notes)
    regions = tuple(i for i, column in enumerate(columns) if _is_region(column))
    framed = with_frames(columns, table, given, [i for i in (lon, lat, point) if i is not None])
    described = replace(
        table,
        name=name,
        columns=tuple(replace(c, id=None) for c in framed.columns),
        description=given.get("description", table.description),
        title=given.get("title", table.title),
        utype=given.get("utype", table.utype),
        frames=tuple(framed.frames),
        time_frames=tuple(framed.time_frames),
        groups=tuple(framed.groups),
        id=None,
    )
    unknown = set(given) - {"description", "title", "utype", "position", "id", "columns", "frame"}
    if unknown:
        raise IngestError(
            f"nothing called {sorted(unknown)[0]!r} can be set",
            hint="Use description, title, utype, position, id, frame, or"
            " columns.NAME.unit|ucd|utype|xtype|description|null|timescale|filter|...",
        )
    return Inferred(Spec(described, lon, lat, point, regions), notes)


def position_elsewhere(table: Table, wanted: Any = None) -> tuple[int, int] | None:
    """Columns that seem to give the position in another way than degrees; None when one in degrees is there.

    ``wanted`` is what the user said ("position" of the overrides).
    """
    columns = list(table.columns)
    names = {column.name.lower(): i for i, column in enumerate(columns)}
    if wanted is not None:
        parts = [part.strip().lower() for part in (wanted.split(",") if isinstance(wanted, str) else wanted)]
        return (names[parts[0]], names[parts[1]]) if len(parts) == 2 and all(p in names for p in parts) else None
    if any(place is not None for place in _position(columns, None, [])):
        return None
    for suffix in (";meta.main", ""):
        ra, dec = _with_ucd(columns, "pos.eq.ra" + suffix), _with_ucd(columns, "pos.eq.dec" + suffix)
        if ra is not None and dec is not None:
            return ra, dec
    for a, b in POSITION_NAMES:
        if a in names and b in names:
            return names[a], names[b]
    return None


def _clean(column: Column) -> Column:
    name = "".join(c for c in column.name.strip() if c >= " ") or "column"
    return replace(column, name=name, value=None, arraysize=None if column.arraysize == "1" else column.arraysize)


def _guessed(column: Column, notes: list[str]) -> Column:
    lowered = column.name.lower()
    for guess in GUESSES:
        if not re.fullmatch(guess.pattern, lowered):
            continue
        if guess.xtype and not (column.is_text and not column.is_array):
            break
        if guess.unit and column.datatype not in NUMERIC:
            break
        changes: dict[str, Any] = {}
        if column.ucd is None and guess.ucd:
            changes["ucd"] = guess.ucd
        if column.unit is None and guess.unit:
            changes["unit"] = guess.unit
        if column.description is None and guess.description:
            changes["description"] = guess.description
        if column.xtype is None and guess.xtype:
            changes["xtype"] = guess.xtype
        if guess.null and column.null is None and column.datatype in INTEGRAL:
            changes["null"] = guess.null
            notes.append(f"{column.name}: {guess.null} is read as NULL (no such number exists)")
        told = ", ".join(f"{key} {value}" for key, value in changes.items() if key in ("ucd", "unit", "xtype"))
        if told:
            notes.append(f"{column.name}: {told} (from its name)")
        return replace(column, **changes)
    return column


def _apply_columns(columns: list[Column], wanted: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    by_name = {column.name.lower(): i for i, column in enumerate(columns)}
    out = list(columns)
    allowed = ("unit", "ucd", "utype", "xtype", "description", "name", "null", *COLUMN_WORDS)
    for name, changes in wanted.items():
        if name.lower() not in by_name:
            raise IngestError(f"there is no column {name!r}", hint=_known(columns))
        wrong = set(changes) - set(allowed)
        if wrong:
            raise IngestError(
                f"{sorted(wrong)[0]!r} of a column cannot be set", hint=f"Use one of {', '.join(allowed)}."
            )
        i = by_name[name.lower()]
        texts: dict[str, Any] = {
            key: None if value is None else str(value) for key, value in changes.items() if key not in COLUMN_WORDS
        }
        out[i] = replace(out[i], **texts)
    return out


def _known(columns: list[Column]) -> str:
    """The columns there are, for a hint; a wide table's are not all told."""
    more = f" and {len(columns) - 40} more" if len(columns) > 40 else ""
    return f"The columns are {', '.join(c.name for c in columns[:40])}{more}."


def _position(columns: list[Column], wanted: Any, notes: list[str]) -> tuple[int | None, int | None, int | None]:
    names = {column.name.lower(): i for i, column in enumerate(columns)}
    if wanted is not None:
        parts = [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
        missing = [part for part in parts if part.lower() not in names]
        if missing or len(parts) not in (1, 2):
            raise IngestError(
                f"position {wanted!r} does not name columns of this table",
                hint=_known(columns),
            )
        found = [names[part.lower()] for part in parts]
        return (found[0], found[1], None) if len(found) == 2 else (None, None, found[0])
    for suffix in (";meta.main", ""):
        ra = _with_ucd(columns, "pos.eq.ra" + suffix)
        dec = _with_ucd(columns, "pos.eq.dec" + suffix)
        if ra is not None and dec is not None and _usable(columns, ra, dec, notes):
            return ra, dec, None
    for i, column in enumerate(columns):
        if column.xtype == "point" and column.datatype in ("float", "double"):
            return None, None, i
    for a, b in POSITION_NAMES:
        if a in names and b in names and _usable(columns, names[a], names[b], notes):
            notes.append(f"position: {columns[names[a]].name}, {columns[names[b]].name} (from their names)")
            return names[a], names[b], None
    notes.append("no position columns were found: cones will not be indexed")
    return None, None, None


def _with_ucd(columns: list[Column], ucd: str) -> int | None:
    found = [i for i, c in enumerate(columns) if (c.ucd or "").lower().replace("_", ".") == ucd]
    return found[0] if found else None


def _usable(columns: list[Column], a: int, b: int, notes: list[str]) -> bool:
    for column in (columns[a], columns[b]):
        if column.is_array or column.datatype not in NUMERIC:
            notes.append(f"{column.name} is not a number: it is not used as a position")
            return False
        if column.unit not in (None, "", "deg", "degree", "degrees", "deg."):
            notes.append(f"{column.name} is in {column.unit}, not in deg: it is not used as a position")
            return False
    return True


def _as_coordinate(column: Column, ucd: str, description: str) -> Column:
    return replace(
        column,
        ucd=ucd if column.ucd is None or column.ucd == ucd.split(";")[0] else column.ucd,
        unit="deg",
        description=column.description or description,
        principal=True,
    )


def _identify(columns: list[Column], wanted: Any, notes: list[str]) -> None:
    if wanted is not None:
        for i, column in enumerate(columns):
            if column.name.lower() == str(wanted).lower():
                columns[i] = replace(column, ucd="meta.id;meta.main", principal=True)
                return
        raise IngestError(f"there is no column {wanted!r}", hint=_known(columns))
    if any((column.ucd or "").lower() == "meta.id;meta.main" for column in columns):
        return
    for name in ID_NAMES:
        for i, column in enumerate(columns):
            scalar = not column.is_array and column.datatype in ("short", "int", "long", "char", "unicodeChar")
            if column.name.lower() == name and column.ucd is None and scalar:
                columns[i] = replace(column, ucd="meta.id;meta.main", principal=True)
                notes.append(f"identifier: {column.name} (from its name)")
                return


def _is_region(column: Column) -> bool:
    xtype = (column.xtype or "").lower()
    if column.is_text and not column.is_array:
        return xtype in ("adql:region", "region", "stc-s", "shape") or column.name.lower() == "s_region"
    return column.datatype in ("float", "double") and xtype in ("circle", "polygon")
