"""Ask the tables of a data directory without a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.formats import open_table
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.uploads import Uploads

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.formats.stream import TableStream


def query(
    adql: str,
    *,
    home: Path | None = None,
    settings: Settings | None = None,
    uploads: Mapping[str, Path] | None = None,
    maxrec: int | None = None,
) -> TableStream:
    """Run ADQL on the published tables; ``uploads`` (name -> file) are known as TAP_UPLOAD.name.

    All rows unless ``maxrec`` says otherwise. Read the stream to its end: the store is open until then.
    """
    from skyvault.config import Settings as Configuration

    settings = settings or Configuration(**({"home": home} if home is not None else {}))
    store = DuckStore(settings)

    def refresh_registry() -> None:
        from skyvault.serve.registry_records import refresh

        refresh(store.view(), store.ledger, settings, store.view)

    store.registry.refresh = refresh_registry
    try:
        given = None
        if uploads:
            given = Uploads(settings.upload_rows, settings.upload_columns)
            for name, path in uploads.items():
                given.add(name, open_table(path))
        answer = store.query(adql, Limits(rows=maxrec, seconds=settings.async_time_s), uploads=given)
    except BaseException:
        store.close()
        raise
    stream = answer.stream
    batches = stream.batches

    def flow() -> Iterator[Any]:
        try:
            yield from batches
        finally:
            answer.close()
            store.close()

    stream.batches = flow()
    return stream
