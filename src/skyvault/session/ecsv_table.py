"""ECSV files of astropy tables, read quickly: the same columns as astropy makes of them, in a tenth of the time.

Arrow parses the cells; the header tells which of them together are a time, a position or a quantity. What this reader
does not know (a class of another kind, arrays in cells) is left to astropy's own reader.
Source: ECSV 1.0 (astropy APE 6) and the columns astropy writes for its mixin classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skyvault.errors import FormatError
from skyvault.session.cells import arrow_array
from skyvault.session.plate_times import old_utc_is_fine

#: no table of a session is larger
MAX_BYTES: Final = 1 << 30
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_HEADER_NODES: Final = 100_000

_KINDS: Final = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "string"}
)
_CLASS: Final = "__class__"
_QUANTITY: Final = "astropy.units.quantity.Quantity"
_MASKED: Final = "astropy.utils.masked.core.MaskedNDArray"
_TIME: Final = "astropy.time.core.Time"
_POSITION: Final = "astropy.coordinates.sky_coordinate.SkyCoord"
_ANGLES: Final = frozenset(
    {"astropy.coordinates.angles.core.Latitude", "astropy.coordinates.angles.core.Longitude", _QUANTITY}
)


class Unfamiliar(Exception):
    """This file holds something that only astropy's own reader knows."""


@dataclass(frozen=True)
class RawTable:
    """A table as its file holds it: flat columns, how they belong together, and the table's metadata.

    ``columns`` are the header's entries (name, datatype, unit ...), ``objects`` its description of the columns made of
    several (by name of the made column), ``cells`` one Arrow column each, null where the file has none.
    """

    columns: tuple[Mapping[str, Any], ...]
    objects: Mapping[str, Any]
    meta: Mapping[str, Any]
    cells: pa.Table


def read_raw(data: bytes, *, where: str) -> RawTable:
    """Parses the bytes of an ECSV file.

    Raises FormatError where they are no ECSV or cells do not fit their types, Unfamiliar for what astropy must read.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"The table is larger than {MAX_BYTES >> 20} MiB", where=where)
    header, start, line = _header(data, where)
    columns = _columns(header, where)
    meta = _mapping(header.get("meta"))
    objects = _mapping(meta.pop("__serialized_columns__", None))
    cells = _cells(data, start, line, columns, header.get("delimiter", " "), where)
    return RawTable(columns, objects, meta, cells)


# --- the header ------------------------------------------------------------------------------------------------------


def _header(data: bytes, where: str) -> tuple[dict[str, Any], int, int]:
    """The header, the byte where its CSV begins, and how many lines come before."""
    start = number = 0
    lines = []
    while data[start : start + 1] == b"#":
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if end > _MAX_HEADER_BYTES:
            raise FormatError("The ECSV header is longer than 1 MiB", where=where)
        lines.append(data[start + 1 : end].removeprefix(b" ").rstrip(b"\r"))
        start, number = end + 1, number + 1
    if not lines or not lines[0].startswith(b"%ECSV"):
        raise FormatError("This is no ECSV table: it does not begin with # %ECSV", where=where)
    header = _yaml(b"\n".join(line for line in lines[1:] if line.strip() != b"---"), where)
    if not isinstance(header, dict):
        raise FormatError("The ECSV header describes no table", where=where)
    return header, start, number


def _yaml(text: bytes, where: str) -> Any:
    """YAML's plain data. Tags make no objects, and a document that unfolds without end is refused."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    plain: Any = type("Plain", (loader,), {})
    plain.add_multi_constructor("!", _content)
    plain.add_multi_constructor("tag:", _content)
    plain.add_constructor("tag:yaml.org,2002:omap", _pairs)
    try:
        loaded = yaml.load(text, Loader=plain)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, UnicodeDecodeError) as problem:
        told = getattr(problem, "problem", None) or "it is not YAML"
        raise FormatError(f"The ECSV header cannot be read ({told})", where=where) from None
    try:
        return _unfolded(loaded, [_MAX_HEADER_NODES])
    except OverflowError:
        raise FormatError("The ECSV header unfolds without end", where=where) from None


def _content(loader: Any, suffix: str, node: Any) -> Any:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _pairs(loader: Any, node: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in loader.construct_sequence(node, deep=True):
        found.update(entry)
    return found


def _unfolded(value: Any, left: list[int]) -> Any:
    """A copy in which nothing is shared, so that aliases cannot make it grow unseen."""
    left[0] -= 1
    if left[0] < 0:
        raise OverflowError
    if isinstance(value, dict):
        return {key: _unfolded(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unfolded(item, left) for item in value]
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unfamiliar
    return dict(value)


def _columns(header: dict[str, Any], where: str) -> tuple[dict[str, Any], ...]:
    told = header.get("datatype")
    if not isinstance(told, list) or not told:
        raise FormatError("The ECSV header names no columns", where=where)
    for entry in told:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "datatype" not in entry:
            raise FormatError("A column of the ECSV header has no name or datatype", where=where)
        if entry["datatype"] not in _KINDS or "subtype" in entry:
            raise Unfamiliar
    names = [entry["name"] for entry in told]
    if len(set(names)) != len(names):
        raise FormatError("The ECSV header names a column twice", where=where)
    return tuple(told)


# --- the cells -------------------------------------------------------------------------------------------------------


def _cells(
    data: bytes, start: int, line: int, columns: tuple[dict[str, Any], ...], delimiter: Any, where: str
) -> pa.Table:
    if delimiter not in (" ", ","):
        raise FormatError(f"The ECSV delimiter is {delimiter!r}; only a blank or a comma may be", where=where)
    # float32 goes through float64, as astropy reads it: parsing it at once may round differently in the last bit
    types = {
        entry["name"]: pa.float64()
        if entry["datatype"] == "float32"
        else (pa.string() if entry["datatype"] in ("string", "bool") else pa.type_for_alias(entry["datatype"]))
        for entry in columns
    }
    names = [entry["name"] for entry in columns]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(pa.py_buffer(data).slice(start)),
            read_options=pacsv.ReadOptions(use_threads=True, block_size=4 << 20),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, quote_char='"', newlines_in_values=False),
            convert_options=pacsv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as problem:
        raise FormatError(f"The table's cells cannot be read ({_first_line(problem)})", where=where) from None
    if table.column_names != names:
        raise FormatError(f"Line {line + 1} does not name the columns that the header describes", where=where)
    made = []
    for entry, column in zip(columns, table.columns, strict=True):
        if entry["datatype"] == "float32":
            column = pc.cast(column, pa.float32(), safe=False)
        elif entry["datatype"] == "bool":
            column = _booleans(column, entry["name"], where)
        made.append(column)
    return pa.table(made, names=names)


def _booleans(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    words = pc.is_in(pc.drop_null(column), pa.array(["True", "False"]))
    if not pc.all(words).as_py() and len(words):
        raise FormatError(f"Column {name} holds something that is neither True nor False", where=where)
    return pc.equal(column, "True")


def _first_line(problem: Exception) -> str:
    text = str(problem).strip().splitlines()
    return text[0][:200].rstrip(".") if text else type(problem).__name__


# --- astropy's columns -----------------------------------------------------------------------------------------------


def built(raw: RawTable) -> dict[str, Any]:
    """Columns by name, in the file's order: arrays (masked where cells are missing), Column, Quantity, Time, SkyCoord.

    Raises Unfamiliar where the header describes an object this reader does not know.
    """
    parts = {entry["name"]: (entry, *arrow_array(raw.cells[entry["name"]])) for entry in raw.columns}
    taken: dict[str, str] = {}
    for name, description in raw.objects.items():
        for part in _parts_of(description):
            taken[part] = name
    found: dict[str, Any] = {}
    for entry in raw.columns:
        name = entry["name"]
        owner = taken.get(name)
        if owner is None:
            found[name] = _plain_column(*parts[name])
        elif owner not in found:
            found[owner] = _object(raw.objects[owner], parts)
    return found


def _parts_of(description: Any) -> list[str]:
    """The flat columns an object is made of."""
    if not isinstance(description, dict):
        return []
    if _CLASS not in description and set(description) == {"name"}:
        return [str(description["name"])]
    return [part for item in description.values() for part in _parts_of(item)]


_Part = tuple[Mapping[str, Any], np.ndarray[Any, Any], "np.ndarray[Any, np.dtype[np.bool_]] | None"]


def _plain_column(
    entry: Mapping[str, Any], values: np.ndarray[Any, Any], mask: np.ndarray[Any, np.dtype[np.bool_]] | None
) -> Any:
    from astropy.table import Column, MaskedColumn

    told = {key: entry[key] for key in ("unit", "format", "description", "meta") if key in entry}
    if "meta" in told and not isinstance(told["meta"], dict):
        raise Unfamiliar
    if not told:  # the table makes the column, once
        return values if mask is None else np.ma.MaskedArray(values, mask=mask)
    if mask is None:
        return Column(values, name=entry["name"], copy=False, **told)
    return MaskedColumn(values, mask=mask, name=entry["name"], copy=False, **told)


def _object(description: Any, parts: Mapping[str, _Part]) -> Any:
    if not isinstance(description, dict):
        raise Unfamiliar
    make = {_QUANTITY: _quantity, _TIME: _time, _POSITION: _position}.get(description.get(_CLASS, ""))
    if make is None:
        raise Unfamiliar
    made = make(description, parts)
    info = description.get("__info__")
    if isinstance(info, dict):
        for key in ("description", "format"):
            if key in info:
                setattr(made.info, key, info[key])
    return made


def _array(description: Any, parts: Mapping[str, _Part]) -> Any:
    """A flat column as an array, masked where the header says so."""
    from astropy.utils.masked import Masked

    if not isinstance(description, dict):
        raise Unfamiliar
    if _CLASS not in description:
        _, values, mask = _part(description, parts)
        return values if mask is None else Masked(values, mask=mask)
    if description[_CLASS] != _MASKED or set(description) - {_CLASS, "data"}:
        raise Unfamiliar
    _, values, mask = _part(description["data"], parts)
    return Masked(values, mask=np.zeros(values.shape, dtype=bool) if mask is None else mask)


def _part(description: Any, parts: Mapping[str, _Part]) -> _Part:
    if not isinstance(description, dict) or set(description) != {"name"} or description["name"] not in parts:
        raise Unfamiliar
    return parts[description["name"]]


def _unit(description: Any) -> Any:
    import astropy.units as u

    if not isinstance(description, dict) or not isinstance(description.get("unit"), str):
        raise Unfamiliar
    try:
        return u.Unit(description["unit"])
    except ValueError:
        raise Unfamiliar from None


def _quantity(description: Mapping[str, Any], parts: Mapping[str, _Part]) -> Any:
    from astropy.units import Quantity
    from astropy.utils.masked import Masked

    if set(description) - {_CLASS, "__info__", "unit", "value"}:
        raise Unfamiliar
    array = _array(description.get("value"), parts)
    unit = _unit(description.get("unit"))
    if isinstance(array, Masked):
        return Masked(Quantity(array.unmasked, unit, copy=False, dtype=array.dtype), mask=array.mask, copy=False)
    return Quantity(array, unit, copy=False, dtype=array.dtype)


def _time(description: Mapping[str, Any], parts: Mapping[str, _Part]) -> Any:
    from astropy.time import Time

    told = {
        key: description[key]
        for key in ("format", "scale", "precision", "in_subfmt", "out_subfmt")
        if key in description
    }
    rest = set(description) - set(told) - {_CLASS, "__info__"}
    if rest == {"value"}:
        first, second = _array(description["value"], parts), None
    elif rest == {"jd1", "jd2"}:
        first, second = _array(description["jd1"], parts), _array(description["jd2"], parts)
    else:
        raise Unfamiliar
    shown = told.pop("format", "jd")
    try:
        with old_utc_is_fine():
            made = Time(first, second, format=shown if second is None else "jd", **told)
            made.format = shown
    except (ValueError, TypeError):
        raise Unfamiliar from None
    return made


def _position(description: Mapping[str, Any], parts: Mapping[str, _Part]) -> Any:
    from astropy.coordinates import SkyCoord

    known = {_CLASS, "__info__", "ra", "dec", "frame", "representation_type", "pm_ra_cosdec", "pm_dec", "obstime"}
    if set(description) - known or description.get("frame") != "icrs":
        raise Unfamiliar
    if description.get("representation_type", "spherical") != "spherical":
        raise Unfamiliar
    told = {}
    for name in ("ra", "dec", "pm_ra_cosdec", "pm_dec"):
        if name in description:
            angle = description[name]
            if not isinstance(angle, dict) or angle.get(_CLASS) not in _ANGLES:
                raise Unfamiliar
            told[name] = _quantity({key: angle[key] for key in angle if key != "wrap_angle"}, parts)
    if "obstime" in description:
        if not isinstance(description["obstime"], dict) or description["obstime"].get(_CLASS) != _TIME:
            raise Unfamiliar
        told["obstime"] = _time(description["obstime"], parts)
    try:
        return SkyCoord(frame="icrs", **told)
    except (ValueError, TypeError):
        raise Unfamiliar from None


# --- a raw table as a document -------------------------------------------------------------------------------------


def described(raw: RawTable) -> str | None:
    """Everything of a raw table but its cells, as JSON; None where JSON would not give it back as it is."""
    document = {"columns": list(raw.columns), "objects": dict(raw.objects), "meta": dict(raw.meta)}
    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return text if json.loads(text) == document else None
