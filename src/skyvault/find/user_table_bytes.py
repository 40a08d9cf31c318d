"""Tables of astropy, pandas and Arrow, and files, as the bytes of one file to send to a service."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from skyvault.errors import NotFound, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Column

#: rows that are converted at a time
_ROWS: Final = 100_000
PARQUET: Final = "application/vnd.apache.parquet"
VOTABLE: Final = "application/x-votable+xml"
_TYPES: Final = {".tsv": "text/tab-separated-values", ".csv": "text/csv"}


@contextmanager
def bytes_of(table: Any, *, as_votable: bool = False) -> Iterator[tuple[IO[bytes], str]]:
    """The table as a seekable file, and its media type. A path is sent as it is, anything else as Parquet.

    ``table`` is an astropy Table, a pandas DataFrame, a pyarrow Table or RecordBatch, or a path; ``as_votable`` makes a
    VOTable (BINARY2) of any of them. Units, descriptions and UCDs (``column.meta["ucd"]``) of astropy columns are kept.
    Raises NotFound for a file that is not there, UsageError for what is no table.
    """
    from skyvault.formats.parquet import write_parquet
    from skyvault.formats.registry import negotiate, open_table

    if isinstance(table, str | Path):
        path = Path(table)
        if not path.is_file():
            raise NotFound("there is no such file", where=str(path))
        if not as_votable:
            with path.open("rb") as file:
                yield file, _TYPES.get(path.suffix.lower(), "application/octet-stream")
            return
        stream = open_table(path)
    else:
        stream = stream_of(table)
    with tempfile.TemporaryFile() as made:
        made.writelines(negotiate("votable/b2").write(stream) if as_votable else write_parquet(stream))
        made.seek(0)
        yield made, VOTABLE if as_votable else PARQUET


def stream_of(table: Any) -> TableStream:
    """The rows of an astropy, pandas or Arrow table. Raises UsageError naming the column that cannot be sent."""
    import pyarrow as pa

    from skyvault.formats.arrow import conform, from_schema, plain_schema
    from skyvault.formats.stream import TableStream

    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    elif kind == "pandas.DataFrame":
        try:
            table = pa.Table.from_pandas(table, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UsageError(f"the data frame cannot be sent: {str(error).splitlines()[0][:200]}") from None
    elif kind.startswith("astropy.") and hasattr(table, "itercols"):
        return _of_astropy(table)
    if not isinstance(table, pa.Table):
        raise UsageError(
            f"a {type(table).__name__} is no table that can be sent",
            hint="Give a table of astropy, pandas or pyarrow, or the path of a file.",
        )
    table = table.unify_dictionaries()
    for index, one in enumerate(table.schema):
        if pa.types.is_dictionary(one.type):
            table = table.set_column(index, one.name, table.column(index).cast(one.type.value_type))
    described, left_out = from_schema(table.schema)
    if left_out:
        raise UsageError(f"the column {left_out[0]!r} holds what no table format of the field does")
    schema = plain_schema(described)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.to_batches(max_chunksize=_ROWS):
            arrays = [conform(array, column) for array, column in zip(batch.columns, described.columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return TableStream(described, batches())


def _of_astropy(table: Any) -> TableStream:
    import pyarrow as pa

    from skyvault.formats.arrow import plain_schema
    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Table

    given = [part for column in table.itercols() for part in _plain(column)]
    columns = tuple(_described(name, values, told) for name, values, told in given)
    described = Table("table", columns, description=str(table.meta.get("description") or "") or None)
    schema = plain_schema(described)

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(table), _ROWS):
            arrays = [
                _arrow(values[first : first + _ROWS], kind.type, kind.name)
                for (_, values, _), kind in zip(given, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return TableStream(described, batches())


def _plain(column: Any) -> Iterator[tuple[str, Any, Any]]:
    """(Name, numpy values, where unit and meanings are) of a column; two of sky positions."""
    import numpy as np

    name, kind = column.info.name, type(column).__name__
    if kind == "SkyCoord":
        for part, ucd in (("ra", "pos.eq.ra"), ("dec", "pos.eq.dec")):
            yield f"{name}_{part}", getattr(column.icrs, part).deg, {"unit": "deg", "ucd": ucd}
        return
    if kind == "Time":
        yield name, np.char.replace(np.asarray(column.utc.isot), " ", "T"), {"xtype": "timestamp"}
        return
    meta = column.info.meta or {}
    told = {
        "unit": None if column.info.unit is None else _unit(column.info.unit),
        "description": column.info.description or None,
        **{key: str(meta[key]) for key in ("ucd", "utype", "xtype") if meta.get(key)},
    }
    values = column.value if hasattr(column, "value") and not hasattr(column, "mask") else column
    if not isinstance(values, np.ndarray):
        raise UsageError(f"the column {name!r} is a {kind}, which cannot be sent", hint="Make plain columns of it.")
    yield name, np.ma.asarray(values) if hasattr(values, "mask") else np.asarray(values), told


def _unit(unit: Any) -> str:
    try:
        return str(unit.to_string("vounit"))
    except Exception:  # astropy knows units that the standard does not
        return str(unit)


def _described(name: str, values: Any, told: dict[str, Any]) -> Column:
    import pyarrow as pa

    from skyvault.formats.arrow import column_of

    if values.dtype.kind in "OSU":
        if values.ndim > 1 or (values.dtype.kind == "O" and any(not isinstance(v, str) for v in _filled(values))):
            raise UsageError(f"the column {name!r} holds objects that are no texts", hint="Make plain columns of it.")
        scalar = pa.string()
    elif values.dtype.kind in "biuf":
        scalar = pa.from_numpy_dtype(values.dtype.newbyteorder("="))
    else:
        raise UsageError(f"the column {name!r} is of the type {values.dtype}, which cannot be sent")
    column = column_of(pa.field(name, scalar))
    if column is None:
        raise UsageError(f"the column {name!r} is of the type {values.dtype}, which cannot be sent")
    if values.ndim > 1:
        column = replace(column, arraysize="x".join(str(size) for size in reversed(values.shape[1:])))
    return replace(column, **told)


def _filled(values: Any) -> Any:
    import numpy as np

    return values.compressed() if isinstance(values, np.ma.MaskedArray) else values


def _arrow(values: Any, kind: pa.DataType, name: str) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data
    if values.ndim > 1:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1).astype(values.dtype.newbyteorder("=")))
        if mask is not None and mask.any():
            flat = _blanked(flat, mask.reshape(-1))
        size = int(np.prod(values.shape[1:]))
        blank = None if mask is None else pa.array(mask.reshape(len(values), -1).all(axis=1))
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * size)
        return pa.ListArray.from_arrays(offsets, flat.cast(kind.value_type), mask=blank)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind not in "OU":
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    try:
        array = pa.array(values, mask=mask)
        return array if array.type == kind else array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UsageError(f"the column {name!r} cannot be sent: {str(error).splitlines()[0][:160]}") from None


def _blanked(flat: pa.Array, mask: Any) -> pa.Array:
    """Elements of arrays without those that are masked: NaN for numbers that have one, else NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.scalar(float("nan") if pa.types.is_floating(flat.type) else None, flat.type)
    return pc.if_else(pa.array(mask), nothing, flat)
