"""Tables uploaded with a query: TAP_UPLOAD.name, private to that query's cursor, gone with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from skyvault.adql.emit_duckdb import identifier, sql_type
from skyvault.adql.storage import Stored, storage_names
from skyvault.errors import ParameterError, TooLarge
from skyvault.model.frames import canonical
from skyvault.store.view import Shelved

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.formats.stream import TableStream


@dataclass(slots=True)
class Uploads:
    """Uploaded tables of one query, held as Arrow until a cursor loads them."""

    max_rows: int = 10_000_000
    max_columns: int = 1000
    tables: list[Shelved] = field(default_factory=list)
    _data: list[tuple[str, pa.Table, tuple[str, ...]]] = field(default_factory=list)

    def add(self, name: str, stream: TableStream) -> None:
        """Take a table under TAP_UPLOAD.``name``. Raises ParameterError or TooLarge."""
        import pyarrow as pa

        from skyvault.formats.arrow import arrow_type

        full = f"TAP_UPLOAD.{name}"
        if any(item.table.name.lower() == full.lower() for item in self.tables):
            raise ParameterError(f"two uploads have the name {name!r}", hint="Give each upload its own name.")
        # arraysize="1" is a scalar by another name (VOTable 1.3, erratum 3)
        columns = tuple(replace(c, arraysize=None) if c.arraysize == "1" else c for c in stream.table.columns)
        if not columns:
            raise ParameterError(f"the upload {name!r} has no columns")
        if len(columns) > self.max_columns:
            raise TooLarge(f"the upload {name!r} has {len(columns)} columns; at most {self.max_columns} are taken")
        names = storage_names(tuple(c.name for c in columns))
        schema = pa.schema([pa.field(n, arrow_type(c)) for n, c in zip(names, columns, strict=True)])
        rows, batches = 0, []
        for batch in stream.batches:
            rows += batch.num_rows
            if rows > self.max_rows:
                raise TooLarge(
                    f"the upload {name!r} has more than {self.max_rows} rows",
                    hint="Upload it in parts, or keep it as a user table.",
                )
            arrays = [a if a.type == f.type else a.cast(f.type) for a, f in zip(batch.columns, schema, strict=True)]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        if stream.error:
            raise ParameterError(f"the upload {name!r} is broken: {stream.error}")
        number = len(self.tables)
        sql = f"temp.upload_{number}"
        table = canonical(replace(stream.table, name=full, nrows=rows, columns=columns))
        self.tables.append(Shelved(table, Stored(sql, names, rows)))
        self._data.append((f"upload_{number}", pa.Table.from_batches(batches, schema), names))

    def load(self, cursor: Any) -> None:
        """Put the tables into a cursor's private temporary schema."""
        for (name, data, names), item in zip(self._data, self.tables, strict=True):
            cursor.register("_incoming", data)
            columns = ", ".join(
                f"CAST({identifier(n)} AS {sql_type(c)}) AS {identifier(n)}"
                for n, c in zip(names, item.table.columns, strict=True)
            )
            cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT {columns} FROM _incoming")
            cursor.unregister("_incoming")
        self._data = []
