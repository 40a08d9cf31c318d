"""The TAP services of the sandbox's archives: our own server over tables published once and kept."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.config import Settings
from skyvault.sandbox.emulation import HeldTable

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.applications import Starlette

    from skyvault.model.table import Table

_DONE = "built"


@functools.cache
def makers_version() -> str:
    """Of what makes the tables: the sandbox's own code and the store's format. Another one keeps its tables apart."""
    from skyvault.store.layout import FORMAT

    digest = hashlib.sha256(str(FORMAT).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build(directory: Path, version: str, tables: Callable[[], Iterable[HeldTable]]) -> bool:
    """Publish the tables into a data directory, unless that was done by the same version; whether there are any."""
    from skyvault.publish.publisher import publish

    done = directory / _DONE
    if done.is_file() and (said := done.read_text(encoding="utf-8").split("\n"))[0] == version:
        return said[1] != "0"
    shutil.rmtree(directory, ignore_errors=True)
    held = list(tables())
    if held:
        import pyarrow.parquet as pq

        directory.mkdir(parents=True)
        settings = settings_of(directory, "")
        for table in held:
            if table.described is not None:
                _publish_as_described(table.described, table.rows, settings)
                continue
            file = directory / f"{table.name}.parquet"
            pq.write_table(table.rows, file)
            publish(
                file,
                name=table.name,
                settings=settings,
                overrides=dict(table.metadata),
                obscore=table.is_observations,
            )
            file.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    done.write_text(f"{version}\n{len(held)}", encoding="utf-8")
    return bool(held)


def _publish_as_described(table: Table, rows: pa.Table, settings: Settings) -> None:
    """Publish under any name, in the order of the rows; columns that hold regions by their text are indexed."""
    from skyvault.formats.stream import TableStream
    from skyvault.publish.publisher import Publisher
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout
    from skyvault.store.snapshot import Spec

    layout = Layout.of(settings)
    layout.make()
    regions = tuple(i for i, column in enumerate(table.columns) if column.name in ("s_region", "coverage"))
    with open_home_ledger(layout) as ledger:
        publisher = Publisher(layout, ledger.holdings, settings, None)
        stream = TableStream(table, iter(rows.combine_chunks().to_batches()))
        publisher.publish_stream(Spec(table, regions=regions), stream)


def settings_of(directory: Path, url: str) -> Settings:
    """Settings of a small server whose root is ``url``."""
    return Settings(
        home=directory,
        # what the archives of the sandbox hold is written down beside it, whatever the operator has set
        ledger=None,
        registry=False,
        base_url=url or None,
        requests_per_minute=0,
        memory_limit=500_000_000,
        threads=2,
        log_level="error",
        stop_grace_s=1.0,
        maxrec_default=1_000_000,
    )


def tap_app(directory: Path, url: str) -> Starlette:
    """Our server over such a directory; its lifespan is the caller's to run."""
    from skyvault.serve.app import create_app

    return create_app(settings_of(directory, url))
