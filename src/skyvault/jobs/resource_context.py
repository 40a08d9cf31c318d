"""What a function of hooks.py may know and use: its resource, the settings, published tables, a folder of its own.

One object for rows at ingest, products on demand and scheduled actions: a function that has a parameter ``context`` is
given it.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import LimitError, UsageError
from skyvault.jobs.query_result import QueryResult

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.store.duckdb_store import DuckStore

#: memory of the query engine in a process of hooks, as a part of what the server's may have, and the least it needs
_PART: Final = 8
_LEAST_BYTES: Final = 256_000_000
#: rows a query may give unless the function says otherwise
MOST_ROWS: Final = 1_000_000


class ResourceContext:
    """The resource a hook belongs to.

    ``name`` is its schema, ``resource`` what its YAML says (a mapping, as published last), ``folder`` where YAML and
    hooks.py are, ``settings`` the service's, ``logger`` a place to tell what happens. Make it once a process.
    """

    def __init__(
        self,
        name: str,
        resource: Mapping[str, Any],
        folder: Path,
        settings: Settings,
        *,
        publish: Callable[[tuple[str, ...]], Any] | None = None,
    ) -> None:
        self.name = name
        self.resource = resource
        self.folder = folder
        self.settings = settings
        self.logger = logging.getLogger(f"skyvault.hooks.{name}")
        self._publish = publish
        self._store: DuckStore | None = None

    @property
    def home(self) -> Path:
        """A folder of this resource's own in the data directory, for what its functions want to remember."""
        place = self.settings.home / "actions" / self.name.lower()
        place.mkdir(parents=True, exist_ok=True)
        return place

    def query(self, adql: str, *, maxrec: int = MOST_ROWS) -> QueryResult:
        """Ask the published tables (TAP's ADQL).

        Raises QueryError with line and column, QueryTimeout, and LimitError when there are more rows than ``maxrec``:
        nothing is left out silently.
        """
        import pyarrow as pa

        from skyvault.formats.arrow import arrow_type
        from skyvault.store.query import Limits

        answer = self._opened().query(adql, Limits(rows=maxrec, seconds=self.settings.async_time_s))
        try:
            batches = list(answer.stream.batches)
            if answer.stream.overflow:
                raise LimitError(
                    f"the query has more than {maxrec:,} rows", where=self.name, hint="Ask for fewer, or give maxrec."
                )
            table = answer.stream.table
        finally:
            answer.close()
        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in table.columns])
        rows = pa.Table.from_batches(batches) if batches else schema.empty_table()
        return QueryResult(table, rows)

    def publish(self, *only: str) -> Any:
        """Publish this resource anew, or only the tables and collections named; what has not changed is not read again.

        For actions alone. Raises what :func:`skyvault.publish.resource_publisher.publish_resource` raises.
        """
        if self._publish is None:
            raise UsageError("only actions may publish", where=self.name)
        return self._publish(only)

    def _opened(self) -> DuckStore:
        if self._store is None:
            from skyvault.store.duckdb_store import DuckStore

            least = min(_LEAST_BYTES, self.settings.memory_limit)
            part = dataclasses.replace(
                self.settings,
                memory_limit=max(least, self.settings.memory_limit // _PART),
                threads=max(1, self.settings.threads // 2),
            )
            self._store = DuckStore(part)
        return self._store

    def close(self) -> None:
        """Close what queries have opened."""
        if self._store is not None:
            self._store.close()
            self._store = None


#: contexts of this process, by name and folder
_CONTEXTS: Final[dict[tuple[str, Path], ResourceContext]] = {}


def context_of(name: str, resource: Mapping[str, Any], folder: Path, settings: Settings) -> ResourceContext:
    """The context of a resource in this process, made once; it may query, not publish."""
    found = _CONTEXTS.get((name, folder))
    if found is None or found.settings != settings or found.resource != resource:
        if found is not None:
            found.close()
        found = _CONTEXTS[(name, folder)] = ResourceContext(name, resource, folder, settings)
    return found


def log_to_output(level: int = logging.INFO) -> None:
    """What hooks tell their logger goes to standard output, a line each: for processes of hooks."""
    logger = logging.getLogger("skyvault.hooks")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
