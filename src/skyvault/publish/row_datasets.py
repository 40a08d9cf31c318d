"""Datasets that are made when somebody asks for them: rows of a table, a query or a function, each with its name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from skyvault.errors import ConfigError, FormatError, IngestError, SkyvaultError
from skyvault.plugins.hooks import call, hook, told
from skyvault.publish.collection import as_described, described_columns
from skyvault.publish.datasets import Dataset, Recipe, finished
from skyvault.publish.file_ingest import Ingested, recipe_hash
from skyvault.publish.files_below import FilesBelow
from skyvault.publish.ingest_state import FileRead, SeenFile, as_kept, file_read
from skyvault.publish.mapping import value_of

if TYPE_CHECKING:
    from skyvault.model.ports import Progress
    from skyvault.publish.ingest_state import IngestState

_AT_ONCE: Final = 500
_LONGEST_ID: Final = 500
_TOLD: Final = 10_000
_TYPES: Final = {"images": "image", "spectra": "spectrum", "timeseries": "timeseries", "events": "event"}


def ingest_rows(recipe: Recipe, state: IngestState, *, progress: Progress | None = None) -> Ingested:
    """Take the rows as they are now; those that have not changed are not looked at again.

    Raises ConfigError (with the line of hooks.py where a function fails), IngestError when there are no rows, or two
    with one identifier; a row that is no dataset is a problem of its own.
    """
    hashed = recipe_hash(recipe)
    spool = _Spool()
    try:
        wanted, known, vanished = state.changed(
            spool.kept(recipe, rows_of(recipe)), hashed, FilesBelow(recipe.root).look
        )
        if not wanted and not known:
            raise IngestError("there are no rows", where=recipe.table, hint="Look at rows:.")
        if progress is not None and wanted:
            progress.start(f"Rows of {recipe.table}", wanted)
        for seen in state.wanted(_AT_ONCE):
            rows = spool.rows(seen)
            state.keep([_read(recipe, one, rows[one.path]) for one in seen], hashed)
            if progress is not None:
                progress.advance(len(seen))
        if progress is not None and wanted:
            progress.finish()
    finally:
        spool.close()
    problems, remarks = tuple(state.problems(_TOLD)), tuple(state.remarks(_TOLD))
    return Ingested(wanted, known, vanished, problems, remarks, *state.counts())


def rows_of(recipe: Recipe) -> Iterator[Mapping[str, Any]]:
    """The rows that ``rows:`` means: of a query, a table file, or a function. Raises ConfigError."""
    origin = str(recipe.section.rows).strip()
    if origin[:7].upper().rstrip() == "SELECT":
        yield from recipe.context().query(origin, maxrec=20_000_000)
    elif "." in origin or "/" in origin:
        yield from _of_file(recipe, origin)
    else:
        yield from _of_hook(recipe, origin)


def _of_file(recipe: Recipe, origin: str) -> Iterator[Mapping[str, Any]]:
    from skyvault.formats import open_table

    path = (recipe.root / origin).resolve()
    if not path.is_file() or not path.is_relative_to(recipe.root.resolve()):
        raise ConfigError(f"there is no file {origin!r}", where=recipe.table)
    for batch in open_table(path).batches:
        for first in range(0, batch.num_rows, _AT_ONCE):
            yield from batch.slice(first, _AT_ONCE).to_pylist()


def _of_hook(recipe: Recipe, name: str) -> Iterator[Mapping[str, Any]]:
    act = hook(recipe.hooks, name)
    try:
        found = call(act, context=recipe.context)
        if not isinstance(found, Iterable):
            raise ConfigError(f"the function {name} gave {type(found).__name__}, not rows", where=recipe.table)
        for row in found:
            if not isinstance(row, Mapping):
                raise ConfigError(f"the function {name} gave {type(row).__name__}, not a row", where=recipe.table)
            yield row
    except SkyvaultError:
        raise
    except Exception as problem:
        raise ConfigError(told(problem, recipe.hooks), where=recipe.table) from None


class _Spool:
    """Rows of one publish, on disk: any number of them."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID")

    def kept(self, recipe: Recipe, rows: Iterable[Mapping[str, Any]]) -> Iterator[SeenFile]:
        self._connection.execute("BEGIN")
        for row in rows:
            text = json.dumps(row, default=_native, sort_keys=True)
            found = value_of(recipe.section.id, {**row, "None": None}, None)
            identifier = "" if found is None else str(found)
            if not identifier or len(identifier) > _LONGEST_ID or not identifier.isprintable():
                raise IngestError(
                    f"a row has no identifier ({text[:80]})",
                    where=recipe.table,
                    hint="Say which by id: '= expression'.",
                )
            try:
                self._connection.execute("INSERT INTO rows VALUES (?, ?)", (identifier, text))
            except sqlite3.IntegrityError:
                raise IngestError(f"two rows are called {identifier!r}", where=recipe.table) from None
            yield SeenFile(identifier, len(text), crc32(text.encode()))
        self._connection.execute("COMMIT")

    def rows(self, wanted: list[SeenFile]) -> dict[str, dict[str, Any]]:
        marks = ",".join("?" * len(wanted))
        found = self._connection.execute(
            f"SELECT id, text FROM rows WHERE id IN ({marks})", [one.path for one in wanted]
        )
        return {identifier: json.loads(text) for identifier, text in found}

    def close(self) -> None:
        self._connection.close()


def _native(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def _read(recipe: Recipe, seen: SeenFile, row: dict[str, Any]) -> FileRead:
    columns = described_columns(recipe.section)
    beside: dict[str, tuple[int, int] | None] = {}
    try:
        dataset = _dataset(replace(recipe, beside=beside), seen.path, row, columns)
        dataset.remarks += as_described(dataset.row, columns)
        return file_read(seen, [dataset], beside)
    except ConfigError:
        raise
    except SkyvaultError as problem:
        return FileRead(seen, problem=problem.what, beside=as_kept(beside))


def _dataset(recipe: Recipe, identifier: str, row: dict[str, Any], columns: Mapping[str, Any]) -> Dataset:
    origin = str(recipe.section.rows)
    is_of_hook = origin.isidentifier()
    # what a function says of its rows are columns; of a table's, those that ObsCore knows
    kept = {name: value for name, value in row.items() if name != "id" and (is_of_hook or name in columns)}
    names: dict[str, Any] = {"path": identifier, "name": identifier, "stem": identifier, "folder": "", "size": 0}
    facts = {"ra": None, "dec": None, **row, **names, "None": None}
    dataset = Dataset({"dataproduct_type": _TYPES[recipe.section.kind], "obs_id": identifier, **kept})
    done = finished(recipe, dataset, identifier, facts, None, None, None)
    if done.row.get("s_ra") is None or done.row.get("s_dec") is None:
        raise FormatError("it does not say where it is: map s_ra and s_dec")
    return done
